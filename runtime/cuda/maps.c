/* maps.c -- see maps.h. The driver looks at maps, too, but not at all that its documentation wants. */
#include "runtime/cuda/maps.h"

enum { TWO_BYTES = 1, SWIZZLE_128 = 3, PROMOTION_256 = 3, ELEMENT = 2, ALIGNED = 16 };
#define MOST_SIZE   (INT32_MAX - 1024) /* indices have 32 bits, those of squares beyond the end, too; the driver allows twice as many */
#define MOST_STRIDE ((int64_t)1 << 40)

static int64_t polynomial(const int64_t **word, const int64_t *sizes) {
    const int64_t *w = *word;
    int64_t y = 0;
    for (int64_t terms = *w++; terms > 0; terms--) {
        int64_t term = *w++;
        for (int64_t n = *w++; n > 0; n--) term *= sizes[*w++];
        y += term;
    }
    *word = w;
    return y;
}

static bool map_make(CuMapMake *make, const int64_t **word, const int64_t *args, const int64_t *sizes, void *map) {
    const int64_t arg = (*word)[0], rank = (*word)[1], row = (*word)[2];
    *word += 3;
    int64_t base = args[arg] + ELEMENT * polynomial(word, sizes), within = 0; /* bytes of the dimensions so far */
    uint64_t dim[RT_MAP_RANK], stride[RT_MAP_RANK]; /* stride[0]: of an element, which the driver is not told */
    uint32_t box[RT_MAP_RANK], step[RT_MAP_RANK];
    bool fits = base % ALIGNED == 0;
    for (int i = 0; i < rank; i++) {
        int64_t n = polynomial(word, sizes), bytes = ELEMENT * polynomial(word, sizes);
        if (i && n == 1) bytes = i == 1 ? (within + ALIGNED - 1) / ALIGNED * ALIGNED : within; /* nobody takes this step */
        fits = fits && n > 0 && n <= MOST_SIZE && bytes < MOST_STRIDE;
        if (i) fits = fits && bytes % ALIGNED == 0 && bytes >= within && (i == 1 || bytes % (int64_t)stride[i - 1] == 0);
        within = fits ? bytes * n : 0;
        dim[i] = (uint64_t)n;
        stride[i] = (uint64_t)bytes;
        box[i] = i && i != row ? 1 : RT_SQUARE;
        step[i] = 1;
    }
    return fits && !make(map, TWO_BYTES, (unsigned)rank, (void *)(uintptr_t)base, dim, stride + 1, box, step, 0, SWIZZLE_128, PROMOTION_256, 0);
}

bool cu_maps_make(CuMapMake *make, const RtDeviceKernel *k, const int64_t *args, const int64_t *sizes, char *maps) {
    const int64_t *word = k->maps;
    for (int64_t i = 0; i < k->n_maps; i++)
        if (!map_make(make, &word, args, sizes, maps + i * RT_MAP_BYTES)) return false;
    return true;
}
