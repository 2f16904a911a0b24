/* unpack.h -- the code of a device as it lies in an artifact: packed, since machine code for several generations and PTX say much the same many
 * times. The format is raw LZMA: of all that were measured it packs best (10 to 1, where DEFLATE and LZ4, which see no more than 64 KiB, reach
 * 5 to 1 and zstd 8 to 1), and what unpacks it is the 2 KiB of code in cuda/unpack.c. */
#ifndef RUNTIME_UNPACK_H
#define RUNTIME_UNPACK_H
#include <stdbool.h>
#include <stdint.h>

enum { PACK_LITERAL = 3, PACK_PLACE = 2 }; /* LZMA's lc and pb: bits of the byte before and of the place that a byte is guessed from; lp is 0 */

/* Packed bytes become exactly n, at out. work: RT_UNPACK_WORK bytes, aligned as numbers of 16 bits. False: they are damaged. */
#define RT_UNPACK_WORK (16 << 10)
bool rt_unpack(void *work, const unsigned char *packed, int64_t n_packed, unsigned char *out, int64_t n);

#endif
