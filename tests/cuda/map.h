/* map.h -- a CUtensorMap as the stand-in for the driver makes it and the emulator reads it; a driver's own is opaque. map_encode refuses what the
 * documentation of cuTensorMapEncodeTiled does. */
#ifndef TESTS_CUDA_MAP_H
#define TESTS_CUDA_MAP_H
#include <stdint.h>
#include <string.h>

enum { MAP_MADE = 0x7ea50a, MAP_RANK = 5, MAP_BYTES = 128 };
typedef struct Map {
    uint64_t base, stride[MAP_RANK - 1]; /* bytes: from one element of dimension 1 .. to the next */
    uint64_t dim[MAP_RANK];
    uint32_t made, rank;
    uint16_t box[MAP_RANK], element, span; /* bytes of an element, and within which chunks of 16 change places */
} Map;
_Static_assert(sizeof(Map) <= MAP_BYTES, "it is a CUtensorMap");

static inline int map_encode(void *to, int type, uint32_t rank, void *base, const uint64_t *dim, const uint64_t *stride, const uint32_t *box, const uint32_t *step,
                             int interleave, int swizzle, int promotion, int fill) {
    static const int bytes[] = {1, 2, 4, 4, 8, 8, 2, 4, 8, 2, 4, 4, 4}, spans[] = {0, 32, 64, 128};
    enum { INVALID = 1 };
    if ((uintptr_t)to % 64 || type < 0 || type > 12 || rank < 1 || rank > MAP_RANK || (uintptr_t)base % 16) return INVALID;
    if (interleave || swizzle < 0 || swizzle > 3 || promotion < 0 || promotion > 3 || fill) return INVALID; /* others are documented, and not wanted */
    Map m = {.base = (uint64_t)(uintptr_t)base, .made = MAP_MADE, .rank = rank, .element = (uint16_t)bytes[type], .span = (uint16_t)spans[swizzle]};
    uint64_t within = (uint64_t)bytes[type] * dim[0]; /* of the dimensions so far */
    for (uint32_t i = 0; i < rank; i++) {
        if (!dim[i] || dim[i] > (uint64_t)1 << 32 || !box[i] || box[i] > 256 || !step[i] || step[i] > 8 || step[i] != 1) return INVALID;
        m.dim[i] = dim[i];
        m.box[i] = (uint16_t)box[i];
        if (!i) continue;
        if (stride[i - 1] % 16 || stride[i - 1] >= (uint64_t)1 << 40 || stride[i - 1] < within) return INVALID;
        if (i > 1 && stride[i - 1] % stride[i - 2]) return INVALID;
        within = stride[i - 1] * dim[i];
        m.stride[i - 1] = stride[i - 1];
    }
    if (box[0] * bytes[type] % 16 || (swizzle && (int)box[0] * bytes[type] > spans[swizzle])) return INVALID;
    memset(to, 0, MAP_BYTES);
    memcpy(to, &m, sizeof m);
    return 0;
}
#endif
