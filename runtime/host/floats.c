/* floats.c -- floats of 16 and 32 bits in files: a checkpoint of either serves a model that stores the other. */
#include "runtime/internal.h"
#include "runtime/host/libc.h"
#include "runtime/host/safetensors.h"

static int width(const char *dtype) { return !rt_text_order(dtype, "F32") ? 4 : !rt_text_order(dtype, "F16") || !rt_text_order(dtype, "BF16") ? 2 : 0; }

static float float_of(uint32_t bits) {
    float x;
    memcpy(&x, &bits, 4);
    return x;
}

static uint32_t bits_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    return bits;
}

static float element_read(const char *dtype, const unsigned char *from) {
    uint32_t bits = 0;
    memcpy(&bits, from, (size_t)width(dtype)); /* little-endian, as the file */
    if (*dtype == 'B') return float_of(bits << 16);
    if (!rt_text_order(dtype, "F32")) return float_of(bits);
    uint32_t sign = bits >> 15 << 31, rest = (bits & 0x7fff) << 13;
    if (rest >= 0x1f << 23) return float_of(sign | 0x7f800000 | rest); /* infinite or NaN */
    return float_of(sign | bits_of(float_of(rest) * 0x1p112f));        /* from a bias of 15 to one of 127; exact, subnormal ones too */
}

/* To the nearest, ties to even. */
static uint32_t half_bits(uint32_t bits) {
    uint32_t sign = bits >> 31 << 15, x = bits & 0x7fffffff;
    if (x > 0x7f800000) return sign | 0x7e00;
    if (x >= 0x477ff000) return sign | 0x7c00;                                     /* from 65520 on */
    if (x < 0x38800000) return sign | (bits_of(float_of(x) + 0.5f) - bits_of(0.5f)); /* below 2^-14: the sum rounds at 2^-24 */
    return sign | (x - (112u << 23) + 0xfff + (x >> 13 & 1)) >> 13;
}

static void element_write(const char *dtype, unsigned char *to, float x) {
    uint32_t bits = bits_of(x);
    if (*dtype == 'B') bits = x != x ? bits >> 16 | 0x40 : (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    else if (width(dtype) == 2) bits = half_bits(bits);
    memcpy(to, &bits, (size_t)width(dtype));
}

int st_converts(const char *from, const char *to) { return !rt_text_order(from, to) || (width(from) && width(to)); }

void st_copy(void *to, const char *to_dtype, const void *from, const StTensor *t) {
    int in = width(t->dtype), out = width(to_dtype);
    if (!rt_text_order(t->dtype, to_dtype)) {
        memcpy(to, from, (size_t)(t->end - t->begin));
        return;
    }
    for (int64_t i = 0; i < (t->end - t->begin) / in; i++)
        element_write(to_dtype, (unsigned char *)to + i * out, element_read(t->dtype, (const unsigned char *)from + i * in));
}
