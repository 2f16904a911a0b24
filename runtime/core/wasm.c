/* wasm.c -- what compilers call on WebAssembly for products of 128 bits: how they find that one of 64 overflows. Hidden, as memory.c is. */
#include "runtime/internal.h"

#ifdef __wasm__
typedef __int128 Wide;
Wide __multi3(Wide a, Wide b);

Wide __multi3(Wide a, Wide b) {
    uint64_t x = (uint64_t)a, y = (uint64_t)b;
    uint64_t x0 = (uint32_t)x, x1 = x >> 32, y0 = (uint32_t)y, y1 = y >> 32;
    uint64_t low = x0 * y0, cross = x1 * y0 + (low >> 32), other = x0 * y1 + (uint32_t)cross;
    uint64_t high = x1 * y1 + (cross >> 32) + (other >> 32);
    high += x * (uint64_t)(b >> 64) + (uint64_t)(a >> 64) * y;
    return (Wide)((unsigned __int128)high << 64 | (other << 32 | (uint32_t)low));
}
#endif
