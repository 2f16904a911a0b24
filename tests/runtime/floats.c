/* floats.c -- tensors of files whose floats have another width than the model's, against the reference's roundings: every number of
 * 16 bits widened, and floats of 32 bits narrowed, around each of those and its neighbours' middles. */
#include "ir/eval.h"
#include "ir/op.h"
#include "runtime/host/safetensors.h"

#include <math.h>
#include <string.h>

static int wrong;

static double value_of(Arena *a, DType d, uint32_t bits) { return tensor_from_bytes(a, d, 0, NULL, &bits)->f[0]; }

static void converts(Arena *a, DType from, const char *from_name, uint32_t bits, DType to, const char *to_name) {
    StTensor t = {.dtype = from_name, .begin = 0, .end = dtype_bytes(from)};
    uint32_t got = 0;
    st_copy(&got, to_name, &bits, &t);
    double want = round_float(to, value_of(a, from, bits)), is = value_of(a, to, got);
    if (isnan(want) ? isnan(is) : want == is && signbit(want) == signbit(is)) return;
    if (wrong++ < 9) printf("%s %08x as %s: %g, expected %g\n", from_name, bits, to_name, is, want);
}

static void all_of(DType d, const char *name) {
    for (uint32_t bits = 0; bits < 0x10000; bits++) {
        Arena *a = arena_new();
        converts(a, d, name, bits, DT_F32, "F32");
        converts(a, d, name, bits, d, name);
        converts(a, d, name, bits, d == DT_F16 ? DT_BF16 : DT_F16, d == DT_F16 ? "BF16" : "F16");
        float x = (float)value_of(a, d, bits), y = (float)value_of(a, d, bits ^ 1), middle = x / 2 + y / 2;
        uint32_t wide[2];
        memcpy(&wide[0], &x, 4);
        memcpy(&wide[1], &middle, 4);
        for (int k = 0; k < 2; k++)
            for (uint32_t step = 0; step < 3; step++) converts(a, DT_F32, "F32", wide[k] + step - 1, d, name);
        arena_free(a);
    }
}

int main(void) {
    all_of(DT_F16, "F16");
    all_of(DT_BF16, "BF16");
    wrong += !st_converts("F32", "BF16") + !st_converts("I64", "I64") + st_converts("F64", "F32") + st_converts("I16", "BF16") +
             st_converts("BF16", "I16");
    return wrong ? 1 : 0;
}
