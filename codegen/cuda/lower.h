/* lower.h -- tile IR to CUDA C: the text that NVRTC compiles for a device and a C compiler for the emulator of the tests.
 *
 * A warp runs the iterations of the parallel nest one after another, as a thread of the processor does, and its 32 threads are
 * the lanes of the vectors: a schedule for a machine of 32 lanes is a schedule for a warp. Loads and stores of neighbouring
 * lanes are one transaction, hadd and its like are shuffles in the interpreter's order, scalars are the same in all threads,
 * and no branch parts them. Memory that lanes hand to each other is behind nt_sync. Iterations are independent (tile_verify
 * proves it), so warps need nothing of each other, and results depend neither on the grid nor on the order of anything.
 *
 *   NAME(buffers and scalars, by pointer, in the order of declaration; sizes, as i64; memory)
 *
 * with a block of CUDA_THREADS threads and any number of blocks; memory: CudaKernel.memory bytes a warp, of all warps of the
 * grid one after another. Of calls that run at once (Kernel.together), and of one with more than
 * CUDA_PARAMETERS arguments and sizes:
 *
 *   NAME(table; rows, as i64; memory)
 *
 * Of a kernel of groups (tile.h) a block is one: its four warps run an iteration together, nt_own says which of them this is, and its buffers lie in
 * shared memory that the launch asks for. What all warps do they do alike; nt_sync_group is where they meet. Where it has maps (lower_maps.c),
 * `memory` is those of this call, of 128 bytes each, at a multiple of 64 bytes, or NULL: then its lanes copy, as they do on devices other than sm_90a.
 *
 * A row of the table is a call: the number of its first block, then what it would be given above but for memory, each a word of 8 bytes. Behind
 * the last row stands the number of all blocks. */
#ifndef CODEGEN_CUDA_LOWER_H
#define CODEGEN_CUDA_LOWER_H
#include "codegen/text.h"
#include "codegen/tile.h"

enum { CUDA_THREADS = 128, CUDA_WARPS = CUDA_THREADS / 32, CUDA_SHARED_MOST = 48 << 10 /* without asking for more */, CUDA_PARAMETERS = 100 /* a launch takes 4 KB of them */ };

/* The compiler makes copies of loops, and keeps registers in memory where that makes room for more warps. Of a kernel with several products,
 * one after another, it makes no copies: it has so many registers as leave room for this many blocks at once. */
typedef enum CudaRoom { CUDA_ANY, CUDA_FOUR, CUDA_THREE, CUDA_TWO } CudaRoom;

typedef struct CudaKernel {
    const char *name;
    int64_t memory; /* bytes a warp, of device memory: what the kernel's buffers take, where they are too large to be shared */
    int64_t shared; /* bytes of a block's shared memory; one of the two is 0 */
    bool group;     /* a block runs an iteration, and .shared is what its launch asks for */
    bool table;     /* it takes a table of calls */
    int n_maps, n_words;
    const int64_t *maps; /* n_words: RtDeviceKernel.maps */
} CudaKernel;

/* Appends the kernel to *text, behind cuda_prelude(). The kernel must have passed tile_verify for the machine "cuda". table: it takes
 * a table of calls. false and *error (in its arena) when something has no lowering. */
bool cuda_lower(TileKernel *k, const char *name, CudaRoom room, bool table, Text *text, CudaKernel *made, const char **error);

const char *cuda_prelude(void); /* what every file of kernels begins with */

#endif
