/* nvrtc.h -- NVIDIA's run-time compiler, from CUDA C to machine code of a device. It is a library that is opened when it is needed: modelc is
 * built without a header of CUDA, and neither a device nor a driver is needed to compile. */
#ifndef CODEGEN_CUDA_NVRTC_H
#define CODEGEN_CUDA_NVRTC_H
#include "codegen/elf.h"
#include "ir/arena.h"

typedef struct Nvrtc Nvrtc;

/* path: the library, or a folder that it lies in, or NULL: $CUDA_HOME, $CUDA_PATH, /usr/local/cuda, then where the loader looks. The result
 * lives as long as the process. NULL and *error, which says what was tried. */
Nvrtc *nvrtc_open(Arena *arena, const char *path, const char **error);
const char *nvrtc_version(const Nvrtc *n); /* "13.5" */

typedef struct CudaImage {
    Bytes cubin, ptx; /* the latter ended by a zero, which is counted */
    const char *log;  /* what ptxas says of each kernel: registers, spills, shared memory */
} CudaImage;

/* Compiles for the device arch: "80", "90a". May run on several threads, each with an arena of its own. False and *error: the log and the
 * numbered lines around the first complaint, a fault of ours. */
bool nvrtc_compile(const Nvrtc *n, Arena *arena, const char *text, const char *arch, CudaImage *image, const char **error);

#endif
