/* prelude.cu -- what stands before every kernel that codegen/cuda writes: types, the arithmetic of the tile IR, what crosses the
 * lanes of a warp. NVRTC has no headers of CUDA inside, and none is used. The text is C and CUDA C++ at once: with NT_EMULATOR a
 * C compiler takes it (tests/cuda/emulator.h says what a thread is there), so that the very text which runs on a device runs on
 * a processor.
 *
 * A vector of n lanes lies across a warp: thread t holds lane t % n. A scalar is the same in all 32 threads. Every thread
 * computes what the processor's code computes for its lane, operation by operation (codegen/cpu/lower_math.c has the
 * explanations of the functions), so results do not depend on where they are computed; compile with --fmad=false. */
#ifdef NT_EMULATOR
#include "tests/cuda/emulator.h"
#else
#define NT_DEVICE static __device__ __forceinline__
#define NT_KERNEL(name) extern "C" __global__ void __launch_bounds__(128) name
/* Of four blocks at once: the compiler, which otherwise keeps registers in memory where that makes room for more, has 128 for each thread. Of
 * three 168, of two 255. */
#define NT_LARGE_KERNEL(name) extern "C" __global__ void __launch_bounds__(128, 4) name
#define NT_LARGER_KERNEL(name) extern "C" __global__ void __launch_bounds__(128, 3) name
#define NT_LARGEST_KERNEL(name) extern "C" __global__ void __launch_bounds__(128, 2) name
#define NT_SHARED(name, bytes) __shared__ __align__(64) char name[bytes]
#define NT_GROUP_SHARED(name) extern __shared__ __align__(1024) char name[]
#define NT_RESTRICT __restrict__
#define NT_UNROLLED _Pragma("unroll")
#define NT_ROLLED _Pragma("unroll 1") /* before a loop: no copies of its body */
NT_DEVICE unsigned nt_shuffle(unsigned x, int lane) { return __shfl_sync(0xffffffffu, x, lane); }
NT_DEVICE void nt_sync(void) { __syncwarp(); }
NT_DEVICE unsigned nt_bits_f32(float x) { return __float_as_uint(x); }
NT_DEVICE float nt_float_bits(unsigned x) { return __uint_as_float(x); }
NT_DEVICE long long nt_bits_f64(double x) { return __double_as_longlong(x); }
NT_DEVICE double nt_double_bits(long long x) { return __longlong_as_double(x); }
NT_DEVICE float nt_fma_f32(float a, float b, float c) { return __fmaf_rn(a, b, c); }
NT_DEVICE double nt_fma_f64(double a, double b, double c) { return __fma_rn(a, b, c); }
NT_DEVICE float nt_root_f32(float x) { return __fsqrt_rn(x); }
NT_DEVICE double nt_root_f64(double x) { return __dsqrt_rn(x); }
NT_DEVICE unsigned nt_mulhi_u32(unsigned a, unsigned b) { return __umulhi(a, b); }
/* 16 bytes (or 4) to shared memory, of which `bytes` are copied and the others are zero; some time before nt_wait has seen its group */
NT_DEVICE void nt_copy_16(void *to, const void *from, int bytes) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"((unsigned)__cvta_generic_to_shared(to)), "l"(from), "r"(bytes) : "memory");
}
NT_DEVICE void nt_copy_4(void *to, const void *from, int bytes) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"((unsigned)__cvta_generic_to_shared(to)), "l"(from), "r"(bytes) : "memory");
}
NT_DEVICE void nt_commit(void) { asm volatile("cp.async.commit_group;" ::: "memory"); }
#define nt_wait(n) asm volatile("cp.async.wait_group %0;" ::"n"(n) : "memory")
/* Four matrices of 8 x 8 halves: lane l has the address of row l % 8 of matrix l / 8. It gets of each row l / 4, columns l % 4 * 2 and the
 * next, or (across) those rows of column l / 4. */
NT_DEVICE void nt_matrices(unsigned *r0, unsigned *r1, unsigned *r2, unsigned *r3, const void *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(*r0), "=r"(*r1), "=r"(*r2), "=r"(*r3)
                 : "r"((unsigned)__cvta_generic_to_shared(row))
                 : "memory");
}
NT_DEVICE void nt_matrices_across(unsigned *r0, unsigned *r1, unsigned *r2, unsigned *r3, const void *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(*r0), "=r"(*r1), "=r"(*r2), "=r"(*r3)
                 : "r"((unsigned)__cvta_generic_to_shared(row))
                 : "memory");
}
/* The nearest number of 10 bits behind the point, of two the one further from 0 */
NT_DEVICE unsigned nt_tf32(float x) {
    unsigned y;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(y) : "f"(x));
    return y;
}
/* Two numbers as halves, to the nearest, halves to even */
NT_DEVICE unsigned nt_pair_bf16(float low, float high) {
    unsigned y;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(y) : "f"(high), "f"(low));
    return y;
}
NT_DEVICE unsigned nt_pair_f16(float low, float high) {
    unsigned y;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(y) : "f"(high), "f"(low));
    return y;
}
/* Sums of 16 x 8 += 16 x 16 by 16 x 8 (of tf32: 16 x 8 by 8 x 8), as PTX lays them out over a warp */
#define NT_MMA(s, shape)                                                                                                              \
    NT_DEVICE void nt_mma_##s(float *c0, float *c1, float *c2, float *c3, unsigned a0, unsigned a1, unsigned a2, unsigned a3,  \
                              unsigned b0, unsigned b1) {                                                                      \
        asm volatile("mma.sync.aligned." shape ".row.col.f32." #s "." #s ".f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "  \
                     "{%0, %1, %2, %3};"                                                                                       \
                     : "+f"(*c0), "+f"(*c1), "+f"(*c2), "+f"(*c3)                                                              \
                     : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));                                                  \
    }
NT_MMA(bf16, "m16n8k16")
NT_MMA(f16, "m16n8k16")
NT_MMA(tf32, "m16n8k8")
NT_DEVICE void nt_sync_group(void) { __syncthreads(); }
NT_DEVICE unsigned nt_shared_place(const void *p) { return (unsigned)__cvta_generic_to_shared(p); }
/* Units of sm_90a that multiply for four warps at once, and read shared memory by themselves: what a thread has written they see when it has
 * published that. The sums are theirs from nt_wgmma_begin on until nt_wgmma_end has seen all that was committed. */
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
#define NT_WGMMA 1
#define NT_TMA 1
NT_DEVICE void nt_publish(void) { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }
NT_DEVICE void nt_wgmma_begin(void) { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
NT_DEVICE void nt_wgmma_commit(void) { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
NT_DEVICE void nt_wgmma_end(void) { asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory"); }
/* A barrier in shared memory goes on to its next phase when a thread has arrived and all bytes have come that were expected: those of boxes of tensors,
 * which a unit of their own (TMA) brings. Parity 0: has the first phase passed, the third .. */
NT_DEVICE void nt_barrier_begin(unsigned long long *b) { asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(nt_shared_place(b)) : "memory"); }
NT_DEVICE void nt_barrier_expect(unsigned long long *b, int bytes) {
    asm volatile("mbarrier.expect_tx.relaxed.cta.shared::cta.b64 [%0], %1;" ::"r"(nt_shared_place(b)), "r"(bytes) : "memory");
}
/* If `who` is no 0; no branch, which the compiler would make copies of products for. */
NT_DEVICE void nt_barrier_arrive(unsigned long long *b, int who) {
    asm volatile("{ .reg .pred p; setp.ne.s32 p, %1, 0; @p mbarrier.arrive.shared::cta.b64 _, [%0]; }" ::"r"(nt_shared_place(b)), "r"(who) : "memory");
}
NT_DEVICE void nt_publish_if(int wanted) {
    asm volatile("{ .reg .pred p; setp.ne.s32 p, %0, 0; @p fence.proxy.async.shared::cta; }" ::"r"(wanted) : "memory");
}
NT_DEVICE void nt_barrier_wait(unsigned long long *b, unsigned parity) {
    int passed = 0;
    while (!passed) {
        asm volatile("{ .reg .pred p; mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2; selp.s32 %0, 1, 0, p; }"
                     : "=r"(passed)
                     : "r"(nt_shared_place(b)), "r"(parity)
                     : "memory");
    }
}
/* A map lies in memory that the processor wrote. */
NT_DEVICE void nt_map_begin(const char *map) { asm volatile("fence.proxy.tensormap::generic.acquire.sys [%0], 128;" ::"l"(map) : "memory"); }
#define NT_TENSOR(rank, places, ...)                                                                                           \
    asm volatile("cp.async.bulk.tensor." #rank "d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, " places "], [%2];" ::"r"(nt_shared_place(to)), \
                 "l"(map), "r"(nt_shared_place(b)), __VA_ARGS__                                                                       \
                 : "memory")
NT_DEVICE void nt_tensor(void *to, const char *map, unsigned long long *b, int rank, int x0, int x1, int x2, int x3, int x4) {
    if (rank == 2) NT_TENSOR(2, "{%3, %4}", "r"(x0), "r"(x1));
    else if (rank == 3) NT_TENSOR(3, "{%3, %4, %5}", "r"(x0), "r"(x1), "r"(x2));
    else if (rank == 4) NT_TENSOR(4, "{%3, %4, %5, %6}", "r"(x0), "r"(x1), "r"(x2), "r"(x3));
    else NT_TENSOR(5, "{%3, %4, %5, %6, %7}", "r"(x0), "r"(x1), "r"(x2), "r"(x3), "r"(x4));
}
#define NT_SUMS_8(d) "+f"((d)[0]), "+f"((d)[1]), "+f"((d)[2]), "+f"((d)[3]), "+f"((d)[4]), "+f"((d)[5]), "+f"((d)[6]), "+f"((d)[7])
#define NT_SUMS_32(d) NT_SUMS_8(d), NT_SUMS_8(d + 8), NT_SUMS_8(d + 16), NT_SUMS_8(d + 24)
#define NT_WGMMA_OF(s, x, y)                                                                                                   \
    NT_DEVICE void nt_wgmma_##s##_64_##x##y(float *d, unsigned long long a, unsigned long long b) {                            \
        asm volatile("{ .reg .pred p; setp.eq.u32 p, 0, 0; wgmma.mma_async.sync.aligned.m64n64k16.f32." #s "." #s             \
                     " {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, " \
                     "%25, %26, %27, %28, %29, %30, %31}, %32, %33, p, 1, 1, " #x ", " #y "; }"                                \
                     : NT_SUMS_32(d)                                                                                           \
                     : "l"(a), "l"(b));                                                                                        \
    }                                                                                                                          \
    NT_DEVICE void nt_wgmma_##s##_128_##x##y(float *d, unsigned long long a, unsigned long long b) {                           \
        asm volatile("{ .reg .pred p; setp.eq.u32 p, 0, 0; wgmma.mma_async.sync.aligned.m64n128k16.f32." #s "." #s            \
                     " {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, " \
                     "%25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, " \
                     "%49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, %64, %65, p, 1, 1, " #x ", " #y "; }" \
                     : NT_SUMS_32(d), NT_SUMS_32(d + 32)                                                                       \
                     : "l"(a), "l"(b));                                                                                        \
    }
#else
#define NT_WGMMA 0
#define NT_TMA 0
NT_DEVICE void nt_publish(void) {}
NT_DEVICE void nt_wgmma_begin(void) {}
NT_DEVICE void nt_wgmma_commit(void) {}
NT_DEVICE void nt_wgmma_end(void) {}
NT_DEVICE void nt_barrier_begin(unsigned long long *) {}
NT_DEVICE void nt_barrier_expect(unsigned long long *, int) {}
NT_DEVICE void nt_barrier_arrive(unsigned long long *, int) {}
NT_DEVICE void nt_publish_if(int) {}
NT_DEVICE void nt_barrier_wait(unsigned long long *, unsigned) {}
NT_DEVICE void nt_map_begin(const char *) {}
NT_DEVICE void nt_tensor(void *, const char *, unsigned long long *, int, int, int, int, int, int) {}
#define NT_WGMMA_OF(s, x, y)                                                                                                   \
    NT_DEVICE void nt_wgmma_##s##_64_##x##y(float *, unsigned long long, unsigned long long) {}                                \
    NT_DEVICE void nt_wgmma_##s##_128_##x##y(float *, unsigned long long, unsigned long long) {}
#endif
#define NT_WGMMAS(s) NT_WGMMA_OF(s, 0, 0) NT_WGMMA_OF(s, 0, 1) NT_WGMMA_OF(s, 1, 0) NT_WGMMA_OF(s, 1, 1)
NT_WGMMAS(bf16)
NT_WGMMAS(f16)
/* A number of two bytes to shared memory */
NT_DEVICE void nt_store_u16(unsigned short *to, unsigned short x) { *to = x; }
NT_DEVICE void nt_touched(void) {} /* more of shared memory, which the emulator notes */
#endif
typedef long long nt_i64;
typedef unsigned long long nt_u64;
typedef unsigned short nt_u16;
#define NT_WARPS 4 /* of a block */
#define NT_WARP_OF(lane, warp, warps)                                                                                          \
    const int lane = (int)(threadIdx.x & 31);                                                                                  \
    const unsigned warp = blockIdx.x * NT_WARPS + (threadIdx.x >> 5), warps = gridDim.x * NT_WARPS
#define NT_GROUP_OF(lane, own, group, groups)                                                                                  \
    const int lane = (int)(threadIdx.x & 31), own = (int)(threadIdx.x >> 5);                                                   \
    const unsigned group = blockIdx.x, groups = gridDim.x
/* Of calls that run at once (codegen/cuda/lower.h): the row of the block, the warp's number among those that have this row, and how many they are */
NT_DEVICE const nt_i64 *nt_row_of(const nt_i64 *table, nt_i64 rows, int words) {
    nt_i64 row = 0;
    for (nt_i64 end = rows; end - row > 1;) {
        const nt_i64 middle = (row + end) / 2;
        if (table[middle * words] <= (nt_i64)blockIdx.x) row = middle;
        else end = middle;
    }
    return table + row * words;
}
#define NT_ROW_OF(row, warp, warps, table, rows, words)                                                                        \
    const nt_i64 *const row = nt_row_of(table, rows, words);                                                                   \
    const unsigned warp = (blockIdx.x - (unsigned)row[0]) * NT_WARPS + (threadIdx.x >> 5), warps = (unsigned)(row[words] - row[0]) * NT_WARPS
#define NT_GROUP_ROW_OF(row, group, groups, table, rows, words)                                                                \
    const nt_i64 *const row = nt_row_of(table, rows, words);                                                                   \
    const unsigned group = blockIdx.x - (unsigned)row[0], groups = (unsigned)(row[words] - row[0])
#define NT_INF_F32 nt_float_bits(0x7f800000u)
#define NT_NAN_F32 nt_float_bits(0x7fc00000u)
#define NT_INF_F64 nt_double_bits(0x7ff0000000000000LL)
#define NT_NAN_F64 nt_double_bits(0x7ff8000000000000LL)

/* ---- integers: wrapping; division rounds down and gives 0 by zero; shifts modulo the width */

#define NT_INTEGER(s, T, U, bits)                                                                                              \
    NT_DEVICE T nt_add_##s(T a, T b) { return (T)((U)a + (U)b); }                                                              \
    NT_DEVICE T nt_sub_##s(T a, T b) { return (T)((U)a - (U)b); }                                                              \
    NT_DEVICE T nt_mul_##s(T a, T b) { return (T)((U)a * (U)b); }                                                              \
    NT_DEVICE T nt_fma_##s(T a, T b, T c) { return (T)((U)a * (U)b + (U)c); }                                                  \
    NT_DEVICE T nt_neg_##s(T a) { return (T)((U)0 - (U)a); }                                                                   \
    NT_DEVICE T nt_min_##s(T a, T b) { return a < b ? a : b; }                                                                 \
    NT_DEVICE T nt_max_##s(T a, T b) { return a > b ? a : b; }                                                                 \
    NT_DEVICE T nt_min_fast_##s(T a, T b) { return a < b ? a : b; }                                                            \
    NT_DEVICE T nt_max_fast_##s(T a, T b) { return a > b ? a : b; }                                                            \
    NT_DEVICE T nt_and_##s(T a, T b) { return (T)(a & b); }                                                                    \
    NT_DEVICE T nt_or_##s(T a, T b) { return (T)(a | b); }                                                                     \
    NT_DEVICE T nt_xor_##s(T a, T b) { return (T)(a ^ b); }                                                                    \
    NT_DEVICE T nt_not_##s(T a) { return (T)~a; }                                                                              \
    NT_DEVICE T nt_shl_##s(T a, T b) { return (T)((U)a << ((U)b & (bits - 1))); }                                              \
    NT_DEVICE T nt_shr_##s(T a, T b) { return (T)(a >> ((U)b & (bits - 1))); }
#define NT_SIGNED(s, T, U, bits)                                                                                               \
    NT_INTEGER(s, T, U, bits)                                                                                                  \
    NT_DEVICE T nt_abs_##s(T a) { return a < 0 ? (T)((U)0 - (U)a) : a; }                                                       \
    NT_DEVICE T nt_sign_##s(T a) { return (T)((a > 0) - (a < 0)); }                                                            \
    NT_DEVICE T nt_relu_##s(T a) { return a > 0 ? a : (T)0; }                                                                  \
    NT_DEVICE T nt_div_##s(T a, T b) {                                                                                         \
        if (b == 0) return 0;                                                                                                  \
        if (b == -1) return (T)((U)0 - (U)a);                                                                                  \
        const T q = (T)(a / b), r = (T)(a % b);                                                                                \
        return r != 0 && (r < 0) != (b < 0) ? (T)(q - 1) : q;                                                                  \
    }                                                                                                                          \
    NT_DEVICE T nt_mod_##s(T a, T b) {                                                                                         \
        if (b == 0 || b == -1) return 0;                                                                                       \
        const T r = (T)(a % b);                                                                                                \
        return r != 0 && (r < 0) != (b < 0) ? (T)(r + b) : r;                                                                  \
    }
#define NT_UNSIGNED(s, T, U, bits)                                                                                             \
    NT_INTEGER(s, T, U, bits)                                                                                                  \
    NT_DEVICE T nt_abs_##s(T a) { return a; }                                                                                  \
    NT_DEVICE T nt_sign_##s(T a) { return (T)(a != 0); }                                                                       \
    NT_DEVICE T nt_relu_##s(T a) { return a; }                                                                                 \
    NT_DEVICE T nt_div_##s(T a, T b) { return b == 0 ? (T)0 : (T)(a / b); }                                                    \
    NT_DEVICE T nt_mod_##s(T a, T b) { return b == 0 ? (T)0 : (T)(a % b); }
NT_SIGNED(i64, long long, unsigned long long, 64)
NT_SIGNED(i32, int, unsigned, 32)
NT_SIGNED(i16, short, unsigned, 16)
NT_SIGNED(i8, signed char, unsigned, 8)
NT_UNSIGNED(u32, unsigned, unsigned, 32)
NT_UNSIGNED(u8, unsigned char, unsigned, 8)

/* ---- floats: the same for both widths */

#define NT_FLOAT(s, T, I, FROM, TO, TOP)                                                                                       \
    NT_DEVICE T nt_min_##s(T a, T b) { return b < a || b != b ? b : a; }                                                       \
    NT_DEVICE T nt_max_##s(T a, T b) { return b > a || b != b ? b : a; }                                                       \
    NT_DEVICE T nt_min_fast_##s(T a, T b) { return a < b ? a : b; }                                                            \
    NT_DEVICE T nt_max_fast_##s(T a, T b) { return a > b ? a : b; }                                                            \
    NT_DEVICE T nt_abs_##s(T x) { return TO(FROM(x) & ~(TOP)); }                                                               \
    NT_DEVICE T nt_with_sign_##s(T x, T sign) { return TO(FROM(x) | (FROM(sign) & (TOP))); }                                   \
    NT_DEVICE T nt_sign_##s(T x) { return x > 0 ? (T)1 : x < 0 ? (T)-1 : x; }                                                  \
    NT_DEVICE T nt_relu_##s(T x) { return 0 > x ? (T)0 : x; }                                                                  \
    NT_DEVICE T nt_sqrt_##s(T x) { return nt_root_##s(x); }                                                                    \
    NT_DEVICE T nt_rsqrt_##s(T x) { return (T)1 / nt_root_##s(x); }                                                            \
    /* Adding and taking away 2^23 (2^52) leaves a whole number, rounded half to even; what is larger is whole already. */    \
    NT_DEVICE T nt_round_##s(T x) {                                                                                            \
        const T size = nt_abs_##s(x), much = sizeof(T) == 8 ? (T)4503599627370496.0 : (T)8388608.0;                            \
        return size < much ? nt_with_sign_##s((size + much) - much, x) : x;                                                    \
    }                                                                                                                          \
    NT_DEVICE T nt_floor_##s(T x) {                                                                                            \
        const T r = nt_round_##s(x);                                                                                           \
        return r > x ? nt_with_sign_##s(nt_abs_##s(r - 1), x) : r;                                                             \
    }                                                                                                                          \
    NT_DEVICE T nt_ceil_##s(T x) {                                                                                             \
        const T r = nt_round_##s(x);                                                                                           \
        return r < x ? nt_with_sign_##s(nt_abs_##s(r + 1), x) : r;                                                             \
    }                                                                                                                          \
    NT_DEVICE T nt_mod_##s(T a, T b) { return a - nt_floor_##s(a / b) * b; }                                                   \
    NT_DEVICE T nt_below_##s(T x, T most) { return x > most ? most : x; }                                                      \
    NT_DEVICE T nt_above_##s(T x, T least) { return x < least ? least : x; }
NT_FLOAT(f32, float, unsigned, nt_bits_f32, nt_float_bits, 0x80000000u)
NT_FLOAT(f64, double, nt_i64, nt_bits_f64, nt_double_bits, (nt_i64)0x8000000000000000ULL)

NT_DEVICE int nt_rescale_f32(int x, float m) {
    const float y = (float)x * m, most = 1073741760.0f;
    return y > most ? 1073741760 : y > -most ? (int)nt_round_f32(y) : -1073741760;
}

/* Horner's rule: coefficients from the highest power down. */
#define NT_H2(s, x, a, b) nt_fma_##s(a, x, b)
#define NT_H3(s, x, a, b, c) nt_fma_##s(NT_H2(s, x, a, b), x, c)
#define NT_H4(s, x, a, b, c, d) nt_fma_##s(NT_H3(s, x, a, b, c), x, d)
#define NT_H5(s, x, a, b, c, d, e) nt_fma_##s(NT_H4(s, x, a, b, c, d), x, e)
#define NT_H6(s, x, a, b, c, d, e, f) nt_fma_##s(NT_H5(s, x, a, b, c, d, e), x, f)
#define NT_H7(s, x, a, b, c, d, e, f, g) nt_fma_##s(NT_H6(s, x, a, b, c, d, e, f), x, g)
#define NT_H8(s, x, a, b, c, d, e, f, g, h) nt_fma_##s(NT_H7(s, x, a, b, c, d, e, f, g), x, h)
#define NT_H9(s, x, a, b, c, d, e, f, g, h, i) nt_fma_##s(NT_H8(s, x, a, b, c, d, e, f, g, h), x, i)

/* exp(r) - 1 for x = k log 2 + r */
NT_DEVICE float nt_reduce_f32(float x, int *bits) {
    const float magic = 12582912.0f, t = nt_fma_f32(x, 1.44269504088896340736f, magic), k = t - magic;
    *bits = (int)(nt_bits_f32(t) - nt_bits_f32(magic));
    float r = nt_fma_f32(k, -0.693359375f, x);
    r = nt_fma_f32(k, 2.12194440e-4f, r);
    const float q = NT_H6(f32, r, 1.9875691500E-4f, 1.3981999507E-3f, 8.3334519073E-3f, 4.1665795894E-2f, 1.6666665459E-1f,
                          5.0000001201E-1f);
    return nt_fma_f32(r * r, q, r);
}
NT_DEVICE double nt_reduce_f64(double x, nt_i64 *bits) {
    const double magic = 6755399441055744.0, t = nt_fma_f64(x, 1.44269504088896340736, magic), k = t - magic;
    *bits = nt_bits_f64(t) - nt_bits_f64(magic);
    double r = nt_fma_f64(k, -6.93147180369123816490e-01, x);
    r = nt_fma_f64(k, -1.90821492927058770002e-10, r);
    double q = NT_H6(f64, r, 1.0 / 6227020800, 1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880, 1.0 / 40320);
    q = NT_H7(f64, r, q, 1.0 / 5040, 1.0 / 720, 1.0 / 120, 1.0 / 24, 1.0 / 6, 0.5);
    return nt_fma_f64(r * r, q, r);
}
NT_DEVICE float nt_power2_f32(int k) { return nt_float_bits((unsigned)(k + 127) << 23); }
NT_DEVICE double nt_power2_f64(nt_i64 k) { return nt_double_bits((nt_i64)((nt_u64)(k + 1023) << 52)); }
NT_DEVICE float nt_scale_f32(float x, int k) { return x * nt_power2_f32(k >> 1) * nt_power2_f32(k - (k >> 1)); }
NT_DEVICE double nt_scale_f64(double x, nt_i64 k) { return x * nt_power2_f64(k >> 1) * nt_power2_f64(k - (k >> 1)); }

#define NT_EXPONENTIAL(s, T, K, MOST, LEAST, FAR, SMALL)                                                                       \
    NT_DEVICE T nt_exp_##s(T x) {                                                                                              \
        K k;                                                                                                                   \
        const T p = nt_reduce_##s(nt_above_##s(nt_below_##s(x, MOST), LEAST), &k);                                             \
        return nt_scale_##s(p + 1, k);                                                                                         \
    }                                                                                                                          \
    NT_DEVICE T nt_expm1_##s(T x) {                                                                                            \
        K k;                                                                                                                   \
        x = nt_above_##s(nt_below_##s(x, MOST), -(FAR));                                                                       \
        const T p = nt_reduce_##s(x, &k);                                                                                      \
        if (x > (FAR)) return nt_scale_##s(p + 1, k);                                                                          \
        const T unit = nt_power2_##s(k);                                                                                       \
        return nt_fma_##s(unit, p, unit - 1);                                                                                  \
    }                                                                                                                          \
    NT_DEVICE T nt_tanh_##s(T x) {                                                                                             \
        K k;                                                                                                                   \
        const T a = nt_below_##s(nt_abs_##s(x), SMALL), p = nt_reduce_##s(a + a, &k), unit = nt_power2_##s(k),                 \
                em = nt_fma_##s(unit, p, unit - 1);                                                                            \
        return nt_with_sign_##s(em / (em + 2), x);                                                                             \
    }                                                                                                                          \
    NT_DEVICE T nt_sigmoid_##s(T x) { return (T)1 / ((T)1 + nt_exp_##s(-x)); }
NT_EXPONENTIAL(f32, float, int, 89.0f, -105.0f, 20.0f, 10.0f)
NT_EXPONENTIAL(f64, double, nt_i64, 710.0, -746.0, 40.0, 20.0)

NT_DEVICE float nt_log_f32(float x) {
    const int tiny = x < 1.17549435e-38f, root = 0x3f3504f3;
    const float y = tiny ? x * 8388608.0f : x;
    const int i = (int)(nt_bits_f32(y) - (unsigned)root), k = i >> 23;
    const float e = (float)k - (tiny ? 23.0f : 0.0f), f = nt_float_bits((unsigned)((i & 0x7fffff) + root)) - 1.0f, s = f * f;
    float r = NT_H9(f32, f, 7.0376836292E-2f, -1.1514610310E-1f, 1.1676998740E-1f, -1.2420140846E-1f, 1.4249322787E-1f,
                    -1.6668057665E-1f, 2.0000714765E-1f, -2.4999993993E-1f, 3.3333331174E-1f);
    r = r * f * s;
    r = nt_fma_f32(e, -2.12194440e-4f, r);
    r = nt_fma_f32(s, -0.5f, r);
    r = nt_fma_f32(e, 0.693359375f, f + r);
    if (!(x > 0)) r = x == 0 ? -NT_INF_F32 : NT_NAN_F32;
    return x == NT_INF_F32 ? x : r;
}
NT_DEVICE double nt_log_f64(double x) {
    const int tiny = x < 2.2250738585072014e-308;
    const nt_i64 root = 0x3fe6a09e667f3bcdLL;
    const double y = tiny ? x * 4503599627370496.0 : x;
    const nt_i64 i = (nt_i64)((nt_u64)nt_bits_f64(y) - (nt_u64)root), k = i >> 52;
    const double e = (double)k - (tiny ? 52.0 : 0.0), f = nt_double_bits((i & 0xfffffffffffffLL) + root) - 1.0;
    const double s = f / (f + 2), z = s * s;
    double r = NT_H6(f64, z, 2.0 / 23, 2.0 / 21, 2.0 / 19, 2.0 / 17, 2.0 / 15, 2.0 / 13);
    r = z * NT_H6(f64, z, r, 2.0 / 11, 2.0 / 9, 2.0 / 7, 2.0 / 5, 2.0 / 3);
    const double half = f * f * 0.5, low = s * (half + r) + e * 1.90821492927058770002e-10;
    r = e * 6.93147180369123816490e-01 - ((half - low) - f);
    if (!(x > 0)) r = x == 0 ? -NT_INF_F64 : NT_NAN_F64;
    return x == NT_INF_F64 ? x : r;
}
#define NT_LOG1P(s, T, INF)                                                                                                    \
    NT_DEVICE T nt_log1p_##s(T x) {                                                                                            \
        const T u = x + 1, r = nt_log_##s(u);                                                                                  \
        return u == 0 || u == INF ? r : r + (x - (u - 1)) / u;                                                                 \
    }
NT_LOG1P(f32, float, NT_INF_F32)
NT_LOG1P(f64, double, NT_INF_F64)

/* x = k pi/2 + (high + low), |high| < 0.8; returns the quadrant k + turn modulo 4 */
NT_DEVICE double nt_quadrant(double x, double turn, double *high, double *low) {
    const double k = nt_round_f64(x * 0.63661977236758134308), t = x - k * 1.57079632673412561417e+00;
    double w = k * 6.07710050630396597660e-11;
    const double r = t - w;
    w = k * 2.02226624879595063154e-21 - ((t - r) - w);
    const double h = r - w;
    *low = (r - h) - w;
    *high = nt_above_f64(nt_below_f64(h, 0.8), -0.8);
    const double q = k + turn;
    return q - nt_floor_f64(q * 0.25) * 4;
}
NT_DEVICE float nt_sine_f32(float x, double turn) {
    double high, low;
    const float q = (float)nt_quadrant((double)x, turn, &high, &low), h = (float)high, z = h * h;
    const float s = nt_fma_f32(z * h, NT_H3(f32, z, -1.9515295891E-4f, 8.3321608736E-3f, -1.6666654611E-1f), h);
    const float c = nt_fma_f32(z, -0.5f, 1.0f) +
                    z * z * NT_H3(f32, z, 2.443315711809948E-5f, -1.388731625493765E-3f, 4.166664568298827E-2f);
    const float r = (q >= 2 ? q - 2 : q) == 1 ? c : s;
    return q >= 2 ? -r : r;
}
NT_DEVICE double nt_sine_f64(double x, double turn) {
    double high, low;
    const double q = nt_quadrant(x, turn, &high, &low), z = high * high, v = z * high, half = z * 0.5;
    const double p = NT_H6(f64, z, -1.0 / 1307674368000.0, 1.0 / 6227020800.0, -1.0 / 39916800.0, 1.0 / 362880.0, -1.0 / 5040.0,
                           1.0 / 120.0);
    const double a = z * (low * 0.5 - v * p) - low, s = high - (a - v * (-1.0 / 6));
    const double w = 1 - half, d = z * z * NT_H7(f64, z, 1.0 / 20922789888000.0, -1.0 / 87178291200.0, 1.0 / 479001600.0,
                                                 -1.0 / 3628800.0, 1.0 / 40320.0, -1.0 / 720.0, 1.0 / 24.0);
    const double c = w + (((1 - w) - half) + (d - high * low)), r = (q >= 2 ? q - 2 : q) == 1 ? c : s;
    return q >= 2 ? -r : r;
}
NT_DEVICE float nt_sin_f32(float x) { return nt_sine_f32(x, 0); }
NT_DEVICE float nt_cos_f32(float x) { return nt_sine_f32(x, 1); }
NT_DEVICE double nt_sin_f64(double x) { return nt_sine_f64(x, 0); }
NT_DEVICE double nt_cos_f64(double x) { return nt_sine_f64(x, 1); }

NT_DEVICE float nt_erf_f32(float x) {
    x = nt_above_f32(nt_below_f32(x, 4), -4);
    const float y = x * x;
    const float a = NT_H7(f32, y, -2.72614225801306e-10f, 2.77068142495902e-08f, -2.10102402082508e-06f, -5.69250639462346e-05f,
                          -7.34990630326855e-04f, -2.95459980854025e-03f, -1.60960333262415e-02f);
    const float b = NT_H5(f32, y, -1.45660718464996e-05f, -2.13374055278905e-04f, -1.68282697438203e-03f, -7.37332916720468e-03f,
                          -1.42647390514189e-02f);
    return x * a / b;
}
NT_DEVICE double nt_erf_f64(double x) {
    const double a = nt_abs_f64(x), low = nt_below_f64(a, 1), y = low * low;
    double term = 1, near = 0; /* the series from its small end: 2/sqrt(pi) (-1)^n / (n! (2n + 1)) */
    double c[20];
    for (int n = 0; n < 20; n++) {
        if (n) term *= -n;
        c[n] = 1.12837916709551257390 / (term * (2 * n + 1));
    }
    near = c[19];
    for (int n = 18; n >= 0; n--) near = nt_fma_f64(near, y, c[n]);
    const double high = nt_above_f64(nt_below_f64(a, 6), 1), t = (high - 2) / (high + 2);
    double q = NT_H6(f64, t, -4.215301054238320988e-7, -5.322696855655786338e-7, 1.178077521562558259e-6,
                     3.789215643758463971e-6, 1.392621183618802935e-6, -1.396807230177146069e-5);
    q = NT_H7(f64, t, q, -2.757986467430578585e-5, 2.75254803612060667e-5, 1.743611654539226372e-4, 4.355560219515472207e-5,
              -9.819770265678889227e-4, -8.471432509203844009e-4);
    q = NT_H7(f64, t, q, 6.997461739200443767e-3, 3.732892404327763925e-3, -7.897858101573212542e-2, 2.416581942424664639e-1,
              -4.271858474139583965e-1, 2.553956763105057438e-1);
    const double tail = nt_exp_f64(-(high * high)) * q;
    return nt_with_sign_f64(a > 1 ? 1 - tail : low * near, x);
}
#define NT_GELU(s, T, R)                                                                                                       \
    NT_DEVICE T nt_gelu_##s(T x) {                                                                                             \
        const T h = x * (T)0.5;                                                                                                \
        return nt_fma_##s(h, nt_erf_##s(x * R), h);                                                                            \
    }
NT_GELU(f32, float, 0.70710678118654752f)
NT_GELU(f64, double, 0.70710678118654752)

#define NT_POWER(s, T, FROM, INF, NOT)                                                                                         \
    NT_DEVICE T nt_pow_##s(T a, T b) {                                                                                         \
        const T size = nt_abs_##s(a), half = b * (T)0.5;                                                                       \
        T r = nt_exp_##s(b * nt_log_##s(size));                                                                                \
        const int whole = nt_floor_##s(b) == b, odd = whole && nt_floor_##s(half) != half;                                     \
        if (nt_with_sign_##s(1, a) < 0 && odd) r = -r;                                                                         \
        if (a < 0 && !whole && b == b && size != INF) r = NOT;                                                                 \
        return b == 0 || a == 1 || (size == 1 && nt_abs_##s(b) == INF) ? (T)1 : r;                                             \
    }                                                                                                                          \
    /* Cephes' arc tangent of the smaller over the larger */                                                                  \
    NT_DEVICE T nt_atan2_##s(T y, T x) {                                                                                       \
        const T ax = nt_abs_##s(x), ay = nt_abs_##s(y), large = ay > ax ? ay : ax, small = ay > ax ? ax : ay;                  \
        T ratio = small / large;                                                                                               \
        if (large == 0) ratio = 0;                                                                                             \
        if (small == INF) ratio = 1;                                                                                           \
        const int far = ratio > (T)0.41421356237309505;                                                                        \
        const T t = far ? (ratio - 1) / (ratio + 1) : ratio, z = t * t;                                                        \
        T r = nt_fma_##s(NT_H4(s, z, (T)8.05374449538e-2, (T)-1.38776856032E-1, (T)1.99777106478E-1, (T)-3.33329491539E-1) * z, \
                         t, t);                                                                                                \
        r = r + (far ? (T)0.78539816339744831 : (T)0);                                                                         \
        if (ay > ax) r = (T)1.57079632679489662 - r;                                                                           \
        if (nt_with_sign_##s(1, x) < 0) r = (T)3.14159265358979324 - r;                                                        \
        r = nt_with_sign_##s(r, y);                                                                                            \
        return x != x || y != y ? x + y : r;                                                                                   \
    }
NT_POWER(f32, float, nt_bits_f32, NT_INF_F32, NT_NAN_F32)
NT_POWER(f64, double, nt_bits_f64, NT_INF_F64, NT_NAN_F64)

/* ---- conversions: to integers truncated and saturated, NaN 0; to floats rounded once to nearest even */

#define NT_TO_INTEGER(s, T, LOW, HIGH)                                                                                         \
    NT_DEVICE T nt_##s##_of_i64(nt_i64 x) { return x < (nt_i64)(LOW) ? (T)(LOW) : x > (nt_i64)(HIGH) ? (T)(HIGH) : (T)x; }     \
    NT_DEVICE T nt_##s##_of_f32(float x) {                                                                                     \
        return x != x ? (T)0 : x <= (float)(LOW) ? (T)(LOW) : x >= (float)(HIGH) ? (T)(HIGH) : (T)x;                           \
    }                                                                                                                          \
    NT_DEVICE T nt_##s##_of_f64(double x) {                                                                                    \
        return x != x ? (T)0 : x <= (double)(LOW) ? (T)(LOW) : x >= (double)(HIGH) ? (T)(HIGH) : (T)x;                         \
    }
NT_TO_INTEGER(i64, long long, (-9223372036854775807LL - 1), 9223372036854775807LL)
NT_TO_INTEGER(i32, int, (-2147483647 - 1), 2147483647)
NT_TO_INTEGER(i16, short, -32768, 32767)
NT_TO_INTEGER(i8, signed char, -128, 127)
NT_TO_INTEGER(u32, unsigned, 0, 4294967295LL)
NT_TO_INTEGER(u8, unsigned char, 0, 255)

/* Inexact results odd in the last place, so that rounding them again is like rounding once. */
NT_DEVICE float nt_odd_of_f64(double x) {
    const float f = (float)x;
    const unsigned i = nt_bits_f32(f);
    if ((i & 1) || (double)f == x || x != x) return f;
    return nt_float_bits(nt_abs_f64((double)f) < nt_abs_f64(x) ? i + 1 : i - 1);
}
NT_DEVICE nt_u16 nt_bf16_of_f32(float f) {
    const unsigned i = nt_bits_f32(f);
    return (nt_u16)(f != f ? i >> 16 | 0x40 : (i + (i >> 16 & 1) + 0x7fff) >> 16);
}
NT_DEVICE float nt_f32_of_bf16(nt_u16 x) { return nt_float_bits((unsigned)x << 16); }
/* Floats with fewer places than f32 (codegen/cpu/lower_cast.c says how): mantissa and sign bits, bias, from where
 * on codes are no numbers, what overflow becomes, what an infinity, NaN. */
#define NT_NARROW(s, T, MANTISSA, BITS, BIAS, SPECIAL, MOST, INF, NOT)                                                              \
    NT_DEVICE T nt_##s##_of_f32(float f) {                                                                                     \
        const unsigned i = nt_bits_f32(f), sign = i >> (32 - BITS) & 1u << (BITS - 1), a = i & 0x7fffffff;                     \
        const float unit = nt_float_bits((127u + 23 + 1 - BIAS - MANTISSA) << 23); /* its last place is theirs */              \
        unsigned r = (a + (a >> (23 - MANTISSA) & 1) + (1u << (22 - MANTISSA)) - 1 - ((127u - BIAS) << 23)) >> (23 - MANTISSA); \
        if (r > MOST) r = MOST;                                                                                                \
        if (a < (128u - BIAS) << 23) r = nt_bits_f32(nt_float_bits(a) + unit) - nt_bits_f32(unit); /* the adder rounds */      \
        if (a >= 0x7f800000) r = a > 0x7f800000 ? NOT : INF;                                                                   \
        return (T)(r | sign);                                                                                                  \
    }                                                                                                                          \
    NT_DEVICE float nt_f32_of_##s(T x) {                                                                                       \
        const unsigned sign = (unsigned)(x >> (BITS - 1)) << 31, m = (x & ((1u << (BITS - 1)) - 1)) << (23 - MANTISSA);        \
        const float scaled = nt_float_bits(m) * nt_float_bits((127u + 127 - BIAS) << 23); /* exact */                          \
        return nt_float_bits((m >= (unsigned)SPECIAL << (23 - MANTISSA) ? m | 0x7f800000 : nt_bits_f32(scaled)) | sign);       \
    }
NT_NARROW(f16, nt_u16, 10, 16, 15, 0x7c00, 0x7c00, 0x7c00, 0x7e00)
NT_NARROW(f8e4m3, unsigned char, 3, 8, 7, 0x7f, 0x7e, 0x7e, 0x7f)
NT_NARROW(f8e5m2, unsigned char, 2, 8, 15, 0x7c, 0x7b, 0x7c, 0x7e)

/* ---- across the lanes: in halves, as on a processor; every lane gets the result */

#define NT_SHUFFLE_WORD(s, T, TO, FROM) \
    NT_DEVICE T nt_shuffle_##s(T x, int lane) { return TO(nt_shuffle(FROM(x), lane)); }
#define NT_SHUFFLE_TWO(s, T, TO, FROM)                                                                                         \
    NT_DEVICE T nt_shuffle_##s(T x, int lane) {                                                                                \
        const nt_u64 bits = (nt_u64)FROM(x);                                                                                   \
        const unsigned low = nt_shuffle((unsigned)bits, lane), high = nt_shuffle((unsigned)(bits >> 32), lane);                \
        return TO((nt_i64)((nt_u64)high << 32 | low));                                                                         \
    }
NT_SHUFFLE_WORD(f32, float, nt_float_bits, nt_bits_f32)
NT_SHUFFLE_WORD(i32, int, (int), (unsigned))
NT_SHUFFLE_WORD(u32, unsigned, (unsigned), (unsigned))
NT_SHUFFLE_WORD(i16, short, (short), (unsigned))
NT_SHUFFLE_WORD(i8, signed char, (signed char), (unsigned))
NT_SHUFFLE_WORD(u8, unsigned char, (unsigned char), (unsigned))
NT_SHUFFLE_WORD(u16, nt_u16, (nt_u16), (unsigned))
NT_SHUFFLE_TWO(f64, double, nt_double_bits, nt_bits_f64)
NT_SHUFFLE_TWO(i64, nt_i64, (nt_i64), (nt_u64))

#define NT_FOLD(name, s, T, OP)                                                                                                \
    NT_DEVICE T nt_##name##_##s(T x, int n, int lane) {                                                                        \
        for (int m = n / 2; m; m /= 2) {                                                                                       \
            const T y = nt_shuffle_##s(x, lane ^ m);                                                                           \
            x = lane & m ? OP(y, x) : OP(x, y);                                                                                \
        }                                                                                                                      \
        return x;                                                                                                              \
    }
#define NT_PLUS(a, b) ((a) + (b))
/* Of equals, and of NaNs, the lowest place. */
#define NT_BEST(name, s, T, CMP)                                                                                               \
    NT_DEVICE int nt_##name##_##s(T x, int at, int n, int lane) {                                                              \
        for (int m = n / 2; m; m /= 2) {                                                                                       \
            const T y = nt_shuffle_##s(x, lane ^ m);                                                                           \
            const int other = nt_shuffle_i32(at, lane ^ m), wins = y CMP x || (y != y && x == x),                              \
                      even = y == x || (y != y && x != x);                                                                     \
            if (wins || (even && other < at)) x = y, at = other;                                                               \
        }                                                                                                                      \
        return at;                                                                                                             \
    }
#define NT_FOLDS(s, T, ADD)                                                                                                    \
    NT_FOLD(hadd, s, T, ADD)                                                                                                   \
    NT_FOLD(hmax, s, T, nt_max_##s)                                                                                            \
    NT_FOLD(hmin, s, T, nt_min_##s)                                                                                            \
    NT_BEST(hargmax, s, T, >)                                                                                                  \
    NT_BEST(hargmin, s, T, <)
NT_FOLDS(f32, float, NT_PLUS)
NT_FOLDS(f64, double, NT_PLUS)
NT_FOLDS(i64, long long, nt_add_i64)
NT_FOLDS(i32, int, nt_add_i32)
NT_FOLDS(i16, short, nt_add_i16)
NT_FOLDS(i8, signed char, nt_add_i8)
NT_FOLDS(u32, unsigned, nt_add_u32)
NT_FOLDS(u8, unsigned char, nt_add_u8)

/* ---- both values are computed: what they ask of other lanes is asked by all */

#define NT_SELECT(s, T) \
    NT_DEVICE T nt_select_##s(int c, T a, T b) { return c ? a : b; }
NT_SELECT(f32, float)
NT_SELECT(f64, double)
NT_SELECT(i64, nt_i64)
NT_SELECT(i32, int)
NT_SELECT(i16, short)
NT_SELECT(i8, signed char)
NT_SELECT(u32, unsigned)
NT_SELECT(u8, unsigned char)
NT_SELECT(f16, nt_u16)
NT_SELECT(bf16, nt_u16)
NT_SELECT(f8e4m3, unsigned char)
NT_SELECT(f8e5m2, unsigned char)
NT_SELECT(bool, int)

/* ---- random numbers (INTRINSICS.md, section 9): the word of an element, and what is made of it */

NT_DEVICE unsigned nt_philox(unsigned k0, unsigned k1, unsigned step_low, unsigned step_high, nt_i64 element) {
    const nt_u64 block = (nt_u64)element >> 2;
    unsigned a = (unsigned)block, b = (unsigned)(block >> 32), c = step_low, d = step_high;
    for (int round = 0; round < 10; round++) {
        const unsigned h0 = nt_mulhi_u32(0xD2511F53u, a), l0 = 0xD2511F53u * a, h1 = nt_mulhi_u32(0xCD9E8D57u, c),
                       l1 = 0xCD9E8D57u * c;
        a = h1 ^ b ^ k0;
        b = l1;
        c = h0 ^ d ^ k1;
        d = l0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    const int word = (int)(element & 3);
    return word == 0 ? a : word == 1 ? b : word == 2 ? c : d;
}
NT_DEVICE float nt_uniform01(unsigned word) { return (float)(int)(word >> 8) * 5.9604644775390625e-8f; }
/* -log(v) for 0 < v <= 1, v normal */
NT_DEVICE float nt_minus_log(float v) {
    const unsigned i = nt_bits_f32(v);
    int e = (int)(i >> 23) - 126;
    float m = nt_float_bits((i & 0x7fffff) | 0x3f000000);
    if (m < 0.70710678f) m = m + m, e--;
    const float f = m - 1.0f, s = f * f, fs = f * s;
    float y = NT_H9(f32, f, 7.0376836292e-2f, -1.1514610310e-1f, 1.1676998740e-1f, -1.2420140846e-1f, 1.4249322787e-1f,
                    -1.6668057665e-1f, 2.0000714765e-1f, -2.4999993993e-1f, 3.3333331174e-1f);
    y = y * fs;
    y = nt_fma_f32(-2.12194440e-4f, (float)e, y);
    y = nt_fma_f32(-0.5f, s, y);
    return -nt_fma_f32(0.693359375f, (float)e, f + y);
}
/* Giles, "Approximating the erfinv function", 2010 */
NT_DEVICE float nt_normal(unsigned word) {
    const float x = (float)(2 * (int)(word >> 9) + 1 - (1 << 23)) * 1.1920928955078125e-7f;
    const float w = nt_minus_log((1.0f - x) * (1.0f + x)), mid = w - 2.5f, tail = nt_root_f32(w) - 3.0f;
    const float p = w < 5.0f ? NT_H9(f32, mid, 2.81022636e-8f, 3.43273939e-7f, -3.5233877e-6f, -4.39150654e-6f, 2.1858087e-4f,
                                     -1.25372503e-3f, -4.17768164e-3f, 2.46640727e-1f, 1.50140941f)
                             : NT_H9(f32, tail, -2.00214257e-4f, 1.00950558e-4f, 1.34934322e-3f, -3.67342844e-3f,
                                     5.73950773e-3f, -7.6224613e-3f, 9.43887047e-3f, 1.00167406f, 2.83297682f);
    return 1.41421356f * (p * x);
}

/* ---- what a warp does as one (tile.h has the meanings) */

/* An element; zero where there is none. Of f32 behind the back, too: there are copies of four bytes, and none of two. */
NT_DEVICE void nt_copy_one_u16(nt_u16 *to, const nt_u16 *from, int there) { *to = there ? *from : (nt_u16)0; }
NT_DEVICE void nt_copy_one_f32(float *to, const float *from, int there) { nt_copy_4(to, from, there ? 4 : 0); }
/* Rows of `columns` elements, those from `rows_left` on and elements from `columns_left` on zero. By 16 bytes where all addresses are
 * multiples of that. */
#define NT_COPY(s, T, size)                                                                                                    \
    NT_DEVICE void nt_copy_##s(T *to, int pitch, const T *from, nt_i64 step, int rows, int columns, nt_i64 rows_left,          \
                               nt_i64 columns_left, int lane) {                                                                \
        const nt_u64 places = (nt_u64)from | (nt_u64)to | (nt_u64)(size * step) | (nt_u64)(size * pitch) | (nt_u64)(size * columns); \
        const int some = 16 / size;                                                                                            \
        if (!(places & 15)) {                                                                                                  \
            const int chunks = columns / some;                                                                                 \
            for (int i = lane; i < rows * chunks; i += 32) {                                                                   \
                const int row = i / chunks, column = i % chunks * some;                                                        \
                const nt_i64 left = row < rows_left ? columns_left - column : 0;                                               \
                const int bytes = left >= some ? 16 : left > 0 ? (int)(size * left) : 0;                                       \
                nt_copy_16(to + row * pitch + column, bytes ? from + row * step + column : from, bytes);                       \
            }                                                                                                                  \
        } else {                                                                                                               \
            NT_ROLLED for (int i = lane; i < rows * columns; i += 32) { /* copies of it would want many registers */           \
                const int row = i / columns, column = i % columns, there = row < rows_left && column < columns_left;           \
                nt_copy_one_##s(to + row * pitch + column, there ? from + row * step + column : from, there);                  \
            }                                                                                                                  \
        }                                                                                                                      \
    }
NT_COPY(u16, nt_u16, 2)
NT_COPY(f32, float, 4)
NT_DEVICE void nt_fragment_u16(unsigned *f0, unsigned *f1, unsigned *f2, unsigned *f3, const nt_u16 *at, int pitch, int lane) {
    nt_matrices(f0, f1, f2, f3, at + (lane & 15) * pitch + (lane >> 4) * 8);
}
NT_DEVICE void nt_fragment_across_u16(unsigned *f0, unsigned *f1, unsigned *f2, unsigned *f3, const nt_u16 *at, int pitch, int lane) {
    nt_matrices_across(f0, f1, f2, f3, at + ((lane & 7) + (lane >> 4) * 8) * pitch + (lane >> 3 & 1) * 8);
}
/* Two neighbouring halves are a number; ldmatrix cannot turn those. */
NT_DEVICE void nt_fragment_f32(unsigned *f0, unsigned *f1, unsigned *f2, unsigned *f3, const float *at, int pitch, int lane) {
    nt_matrices(f0, f1, f2, f3, at + (lane & 15) * pitch + (lane >> 4) * 4);
    *f0 = nt_tf32(nt_float_bits(*f0));
    *f1 = nt_tf32(nt_float_bits(*f1));
    *f2 = nt_tf32(nt_float_bits(*f2));
    *f3 = nt_tf32(nt_float_bits(*f3));
}
NT_DEVICE void nt_fragment_across_f32(unsigned *f0, unsigned *f1, unsigned *f2, unsigned *f3, const float *at, int pitch, int lane) {
    const float *const p = at + (lane & 3) * pitch + (lane >> 2), *const q = p + 4 * pitch;
    *f0 = nt_tf32(p[0]);
    *f1 = nt_tf32(p[8]);
    *f2 = nt_tf32(q[0]);
    *f3 = nt_tf32(q[8]);
}
#define NT_FRAGMENT_ROUNDED(s)                                                                                                 \
    NT_DEVICE void nt_fragment_##s##_of_f32(unsigned *f0, unsigned *f1, unsigned *f2, unsigned *f3, const float *at, int pitch, int lane) { \
        const float *const p = at + (lane >> 2) * pitch + (lane & 3) * 2, *const q = p + 8 * pitch;                            \
        *f0 = nt_pair_##s(p[0], p[1]);                                                                                         \
        *f1 = nt_pair_##s(q[0], q[1]);                                                                                         \
        *f2 = nt_pair_##s(p[8], p[9]);                                                                                         \
        *f3 = nt_pair_##s(q[8], q[9]);                                                                                         \
    }                                                                                                                          \
    NT_DEVICE void nt_fragment_across_##s##_of_f32(unsigned *f0, unsigned *f1, unsigned *f2, unsigned *f3, const float *at, int pitch, int lane) { \
        const float *const p = at + (lane & 3) * 2 * pitch + (lane >> 2), *const q = p + 8 * pitch;                            \
        *f0 = nt_pair_##s(p[0], p[pitch]);                                                                                     \
        *f1 = nt_pair_##s(p[8], p[pitch + 8]);                                                                                 \
        *f2 = nt_pair_##s(q[0], q[pitch]);                                                                                     \
        *f3 = nt_pair_##s(q[8], q[pitch + 8]);                                                                                 \
    }
NT_FRAGMENT_ROUNDED(bf16)
NT_FRAGMENT_ROUNDED(f16)
#define NT_PRODUCT(s)                                                                                                          \
    NT_DEVICE void nt_product_##s(float *t0, float *t1, float *t2, float *t3, float *t4, float *t5, float *t6, float *t7,      \
                                  unsigned f0, unsigned f1, unsigned f2, unsigned f3, unsigned g0, unsigned g1, unsigned g2,   \
                                  unsigned g3) {                                                                               \
        nt_mma_##s(t0, t1, t2, t3, f0, f1, f2, f3, g0, g2);                                                                    \
        nt_mma_##s(t4, t5, t6, t7, f0, f1, f2, f3, g1, g3);                                                                    \
    }
NT_PRODUCT(bf16)
NT_PRODUCT(f16)
NT_PRODUCT(tf32)
NT_DEVICE void nt_put(float *at, int pitch, float t0, float t1, float t2, float t3, float t4, float t5, float t6, float t7, int lane) {
    float *const p = at + (lane >> 2) * pitch + (lane & 3) * 2, *const q = p + 8 * pitch;
    p[0] = t0;
    p[1] = t1;
    q[0] = t2;
    q[1] = t3;
    p[8] = t4;
    p[9] = t5;
    q[8] = t6;
    q[9] = t7;
}
NT_DEVICE void nt_weigh(float *t0, float *t1, float *t2, float *t3, float *t4, float *t5, float *t6, float *t7, const float *at, int lane) {
    const float upper = at[lane >> 2], lower = at[(lane >> 2) + 8];
    *t0 *= upper;
    *t1 *= upper;
    *t2 *= lower;
    *t3 *= lower;
    *t4 *= upper;
    *t5 *= upper;
    *t6 *= lower;
    *t7 *= lower;
}

/* ---- what a group does as one: four warps, or 128 threads. A square is 64 x 64 numbers of two bytes, rows of 128 bytes: of row r, 16 bytes c lie
 * at place c ^ r % 8, so that whoever reads eight rows at one c reads all banks. */

/* Rows of 64 numbers to a square; those from rows_left on and numbers from columns_left on zero. */
NT_DEVICE void nt_copy_square(nt_u16 *to, const nt_u16 *from, nt_i64 step, nt_i64 rows_left, nt_i64 columns_left, int thread) {
    if (!(((nt_u64)from | (nt_u64)(2 * step)) & 15)) {
        const int chunk = thread & 7, first = thread >> 3;
        const nt_i64 left = columns_left - 8 * chunk;
        const int bytes = left >= 8 ? 16 : left > 0 ? (int)(2 * left) : 0;
        nt_u16 *const place = to + 64 * first + 8 * (chunk ^ (first & 7));
        const nt_u16 *row = from + first * step + 8 * chunk;
        NT_UNROLLED for (int i = 0; i < 4; i++, row += 16 * step) {
            const int there = first + 16 * i < rows_left ? bytes : 0;
            nt_copy_16(place + 64 * 16 * i, there ? row : from, there);
        }
    } else {
        NT_ROLLED for (int i = thread; i < 64 * 64; i += 128) {
            const int row = i >> 6, column = i & 63, there = row < rows_left && column < columns_left;
            nt_store_u16(to + 64 * row + (column ^ (row & 7) << 3), there ? from[row * step + column] : (nt_u16)0);
        }
    }
}
/* On sm_90a, where the runtime has made maps of the matrices, thread 0 alone asks for squares, and the unit that brings them computes addresses, turns
 * rows of 16 bytes and fills up with zeros. A group of copies has a barrier of the ring, which all wait for; it is taken again when they
 * have met behind that. */
#define NT_RING 4 /* TILE_AHEAD */
NT_DEVICE void nt_ring_begin(nt_u64 *ring, const char *maps, int n, int thread) {
    if (thread == 0) {
        for (int i = 0; i < n; i++) nt_map_begin(maps + 128 * i);
        for (int i = 0; i < NT_RING; i++) nt_barrier_begin(ring + i);
        nt_publish();
    }
    nt_sync_group();
}
NT_DEVICE void nt_bring(nt_u16 *to, const char *map, nt_u64 *ring, unsigned group, int thread, int rank, int x0, int x1, int x2, int x3, int x4) {
    if (thread == 0) {
        nt_barrier_expect(ring + group % NT_RING, 2 * 64 * 64);
        nt_tensor(to, map, ring + group % NT_RING, rank, x0, x1, x2, x3, x4);
    }
}
/* by: are there maps? Returns how many more groups were sent. */
NT_DEVICE unsigned nt_send(nt_u64 *ring, unsigned group, int by, int thread) {
    nt_barrier_arrive(ring + group % NT_RING, by & (thread == 0));
    return (unsigned)by;
}
/* All groups but the last are there; returns how many. */
NT_DEVICE unsigned nt_receive(nt_u64 *ring, unsigned seen, unsigned sent, unsigned but) {
    for (; seen + but < sent; seen++) nt_barrier_wait(ring + seen % NT_RING, seen / NT_RING % 2);
    return seen;
}
/* 16 of a square's rows (across: columns), the block-th of them, terms 16 * k .. + 15 */
NT_DEVICE void nt_square_fragment_0(unsigned *f, const nt_u16 *square, int block, int k, int lane) {
    const int row = 16 * block + (lane & 15), chunk = 2 * k + (lane >> 4);
    nt_matrices(f, f + 1, f + 2, f + 3, square + 64 * row + 8 * (chunk ^ (row & 7)));
}
NT_DEVICE void nt_square_fragment_1(unsigned *f, const nt_u16 *square, int block, int k, int lane) {
    const int row = 16 * k + (lane & 7) + (lane >> 4) * 8, chunk = 2 * block + (lane >> 3 & 1);
    nt_matrices_across(f, f + 1, f + 2, f + 3, square + 64 * row + 8 * (chunk ^ (row & 7)));
}
/* Where the units of sm_90a find squares, one behind the other: PTX's descriptor of a matrix, of rows of 128 swizzled bytes. Eight rows are 1024
 * bytes; across, the next 64 rows of the factor are 8192 bytes on. */
NT_DEVICE nt_u64 nt_squares_at(const nt_u16 *squares, int across) {
    return (nt_u64)(nt_shared_place(squares) & 0x3ffff) >> 4 | (nt_u64)(across ? 8192 >> 4 : 1) << 16 | (nt_u64)(1024 >> 4) << 32 | (nt_u64)1 << 62;
}
NT_DEVICE void nt_finish(void) { nt_wgmma_end(); }
/* Sums of 64 * squares x `columns` += A B^T over 64 terms; x, y: A and B across. 16 terms are 32 bytes of each row, or across 16 rows. */
#define NT_MULTIPLY(s, columns, x, y)                                                                                          \
    NT_DEVICE void nt_multiply_##s##_##columns##_##x##y(float *sums, int squares, const nt_u16 *a, const nt_u16 *b, int lane, int own) { \
        if (NT_WGMMA) {                                                                                                        \
            const nt_u64 at_a = nt_squares_at(a, x), at_b = nt_squares_at(b, y);                                               \
            nt_wgmma_begin();                                                                                                  \
            NT_UNROLLED for (int r = 0; r < squares; r++) {                                                                    \
                NT_UNROLLED for (int k = 0; k < 4; k++)                                                                        \
                    nt_wgmma_##s##_##columns##_##x##y(sums + columns / 2 * r, at_a + 512 * r + (x ? 128 : 2) * k, at_b + (y ? 128 : 2) * k); \
            }                                                                                                                  \
            nt_wgmma_commit();                                                                                                 \
        } else {                                                                                                               \
            NT_UNROLLED for (int k = 0; k < 4; k++) {                                                                          \
                unsigned f[2][4], g[4];                                                                                        \
                NT_UNROLLED for (int r = 0; r < squares; r++) nt_square_fragment_##x(f[r], a + 4096 * r, own, k, lane);        \
                NT_UNROLLED for (int v = 0; v < columns / 16; v++) {                                                           \
                    nt_square_fragment_##y(g, b + 4096 * (v / 4), v % 4, k, lane);                                             \
                    NT_UNROLLED for (int r = 0; r < squares; r++) {                                                            \
                        float *const t = sums + columns / 2 * r + 8 * v;                                                       \
                        nt_product_##s(t, t + 1, t + 2, t + 3, t + 4, t + 5, t + 6, t + 7, f[r][0], f[r][1], f[r][2], f[r][3], g[0], g[1], g[2], \
                                       g[3]);                                                                                  \
                    }                                                                                                          \
                }                                                                                                              \
            }                                                                                                                  \
        }                                                                                                                      \
    }
#define NT_MULTIPLIES(s, columns) NT_MULTIPLY(s, columns, 0, 0) NT_MULTIPLY(s, columns, 0, 1) NT_MULTIPLY(s, columns, 1, 0) NT_MULTIPLY(s, columns, 1, 1)
NT_MULTIPLIES(bf16, 64)
NT_MULTIPLIES(bf16, 128)
NT_MULTIPLIES(f16, 64)
NT_MULTIPLIES(f16, 128)
NT_DEVICE void nt_put_group(float *at, int pitch, const float *sums, int squares, int blocks, int lane, int own) {
    nt_touched();
    NT_UNROLLED for (int r = 0; r < squares; r++) {
        NT_UNROLLED for (int v = 0; v < blocks; v++) {
            const float *const t = sums + 8 * (blocks * r + v);
            nt_put(at + (64 * r + 16 * own) * pitch + 16 * v, pitch, t[0], t[1], t[2], t[3], t[4], t[5], t[6], t[7], lane);
        }
    }
}
