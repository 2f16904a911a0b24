/* tile_transformer.c -- every entry of the transformer by the tile interpreter over planned memory: optimized kernels for
 * x86-64-v4 and -v2, and unoptimized ones. */
// plain
#include "tests/models/scripts.h"

int main(void) {
    static const Way ways[] = {BY_TILE, BY_TILE_V2, BY_TILE_O0};
    return ways_agree("transformer.mdl", NULL, transformer_defines, transformer_script, 3, ways) ? 1 : 0;
}
