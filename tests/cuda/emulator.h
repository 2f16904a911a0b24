/* emulator.h -- kernels of codegen/cuda as C: what a thread of a device is on a processor. Included by the text itself
 * (codegen/cuda/prelude.cu, with NT_EMULATOR); emulator.c runs it. Text and emulator.c are one shared library. */
#ifndef TESTS_CUDA_EMULATOR_H
#define TESTS_CUDA_EMULATOR_H
#include <math.h>
#include <string.h>

typedef struct NtIndex {
    unsigned x;
} NtIndex;
extern NtIndex nt_thread_index, nt_block_index, nt_grid_size; /* of the thread that runs */
extern char *nt_shared_memory;                                /* of its block */
#define threadIdx nt_thread_index
#define blockIdx nt_block_index
#define gridDim nt_grid_size
#define NT_DEVICE static inline __attribute__((unused))
#define NT_KERNEL(name) void name
#define NT_LARGE_KERNEL(name) void name
#define NT_LARGER_KERNEL(name) void name
#define NT_LARGEST_KERNEL(name) void name
#define NT_SHARED(name, bytes) char *const name = nt_shared_memory
#define NT_GROUP_SHARED(name) char *const name = nt_shared_memory
#define NT_RESTRICT __restrict__
#define NT_ROLLED
#define NT_UNROLLED

unsigned nt_shuffle(unsigned x, int lane); /* all 32 threads of a warp are here before one goes on */
void nt_sync(void);
/* Copies happen at once, or as late as they may (under odd orders): when the thread that has waited for them meets others. What is there
 * until then is NaN. */
void nt_copy_16(void *to, const void *from, int bytes);
void nt_copy_4(void *to, const void *from, int bytes);
void nt_commit(void);
void nt_wait(int n);
void nt_matrices(unsigned *r0, unsigned *r1, unsigned *r2, unsigned *r3, const void *row);
void nt_matrices_across(unsigned *r0, unsigned *r1, unsigned *r2, unsigned *r3, const void *row);
unsigned nt_pair_bf16(float low, float high);
unsigned nt_pair_f16(float low, float high);
void nt_mma_bf16(float *c0, float *c1, float *c2, float *c3, unsigned a0, unsigned a1, unsigned a2, unsigned a3, unsigned b0, unsigned b1);
void nt_mma_f16(float *c0, float *c1, float *c2, float *c3, unsigned a0, unsigned a1, unsigned a2, unsigned a3, unsigned b0, unsigned b1);
void nt_mma_tf32(float *c0, float *c1, float *c2, float *c3, unsigned a0, unsigned a1, unsigned a2, unsigned a3, unsigned b0, unsigned b1);

void nt_sync_group(void); /* all threads of the block */
/* Has the device units that multiply for four warps? They have a view of shared memory of their own: what a thread copies or stores there is NaN
 * in it until that thread publishes it, and its copies only when it has waited for them. Products happen at once, or when they are waited for. */
int nt_has_wgmma(void);
#define NT_WGMMA nt_has_wgmma()
void nt_publish(void);
NT_DEVICE void nt_publish_if(int wanted) {
    if (wanted) nt_publish();
}
void nt_stored(void *to);
NT_DEVICE void nt_store_u16(unsigned short *to, unsigned short x) {
    *to = x;
    nt_stored(to);
}
/* Those devices bring boxes of tensors by themselves, at once or when no thread can go on (under odd orders), into both views. What they know of a
 * tensor is a map (map.h). A barrier lets nobody pass whose thread has not published it, and boxes fall on no memory that a thread has touched and
 * not published since. */
#define NT_TMA nt_has_wgmma()
void nt_barrier_begin(unsigned long long *b);
void nt_barrier_expect(unsigned long long *b, int bytes);
void nt_barrier_arrive(unsigned long long *b, int who);
void nt_barrier_wait(unsigned long long *b, unsigned parity);
void nt_map_begin(const char *map);
void nt_tensor(void *to, const char *map, unsigned long long *b, int rank, int x0, int x1, int x2, int x3, int x4);
void nt_touched(void);
unsigned nt_shared_place(const void *p); /* from the block's first byte on */
void nt_wgmma_begin(void);
void nt_wgmma_commit(void);
void nt_wgmma_end(void);
void nt_wgmma(float *d, unsigned long long a, unsigned long long b, int columns, int across_a, int across_b, int f16);
#define NT_WGMMA_OF(s, n, x, y, f16)                                                                                                       \
    NT_DEVICE void nt_wgmma_##s##_##n##_##x##y(float *d, unsigned long long a, unsigned long long b) { nt_wgmma(d, a, b, n, x, y, f16); }
#define NT_WGMMAS(s, n, f16) NT_WGMMA_OF(s, n, 0, 0, f16) NT_WGMMA_OF(s, n, 0, 1, f16) NT_WGMMA_OF(s, n, 1, 0, f16) NT_WGMMA_OF(s, n, 1, 1, f16)
NT_WGMMAS(bf16, 64, 0)
NT_WGMMAS(bf16, 128, 0)
NT_WGMMAS(f16, 64, 1)
NT_WGMMAS(f16, 128, 1)

NT_DEVICE unsigned nt_bits_f32(float x) {
    unsigned u;
    memcpy(&u, &x, 4);
    return u;
}
NT_DEVICE float nt_float_bits(unsigned u) {
    float x;
    memcpy(&x, &u, 4);
    return x;
}
/* As cvt.rna.tf32.f32 rounds. */
NT_DEVICE unsigned nt_tf32(float x) { return x != x ? 0x7fffffffu : (nt_bits_f32(x) + 0x1000u) & ~0x1fffu; }
NT_DEVICE long long nt_bits_f64(double x) {
    long long u;
    memcpy(&u, &x, 8);
    return u;
}
NT_DEVICE double nt_double_bits(long long u) {
    double x;
    memcpy(&x, &u, 8);
    return x;
}
NT_DEVICE float nt_fma_f32(float a, float b, float c) { return fmaf(a, b, c); }
NT_DEVICE double nt_fma_f64(double a, double b, double c) { return fma(a, b, c); }
NT_DEVICE float nt_root_f32(float x) { return sqrtf(x); }
NT_DEVICE double nt_root_f64(double x) { return sqrt(x); }
NT_DEVICE unsigned nt_mulhi_u32(unsigned a, unsigned b) { return (unsigned)((unsigned long long)a * b >> 32); }

/* Runs a kernel, each of whose parameters is one word (a pointer or an i64), on `blocks` blocks of `threads` threads. Blocks
 * come one after another; the threads of a block take turns, each running until it waits for others of its warp. order decides
 * who is next: 0 the first that can go on, 1 the last, else a random one; 8 more: the device has units that multiply for four warps. Shared memory
 * holds NaN at first. NULL, or what is wrong: threads that wait for each other at different places, or for one that has ended; copies and products
 * that nobody waits for; a box of a tensor that no map is of, or beside shared memory; bytes that came and were not expected; a matrix whose rows do not begin at a multiple of 16 bytes; a product in tf32 of a number with more bits than that. */
const char *nt_emulate(void *kernel, const long long *arguments, int n, int blocks, int threads, int shared, unsigned order);

#endif
