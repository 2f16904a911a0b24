/* images.h -- the kernels of an artifact as machine code for each architecture that it is made for. */
#ifndef CODEGEN_CUDA_IMAGES_H
#define CODEGEN_CUDA_IMAGES_H
#include "codegen/cache.h"
#include "codegen/target.h"

/* What ptxas says of the kernels of an architecture: the most of one of them. */
typedef struct CudaUse {
    int registers, shared, spilled;
    double seconds; /* 0: the image comes from the cache */
} CudaUse;

typedef struct CudaImages {
    int n;
    Bytes data[TARGET_ARCHS + 1]; /* RtDeviceImage.data: machine code of target->archs, then the PTX of the first, packed */
    Bytes ptx;                    /* that PTX as it is, with its final 0 */
    CudaUse use[TARGET_ARCHS];
} CudaImages;

/* RtDeviceImage.data of code that is not empty. */
Bytes cuda_packed(Arena *arena, Bytes code);

/* nvrtc: as nvrtc_open takes it. cache: may be NULL. One thread an architecture. false and *error: there is no NVRTC; that it refuses a
 * kernel is a fault of ours and ends the compiler. */
bool cuda_images(Arena *arena, const char *text, const Target *target, const char *nvrtc, Cache *cache, CudaImages *images, const char **error);

#endif
