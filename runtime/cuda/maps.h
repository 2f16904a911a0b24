/* maps.h -- maps of matrices for one call of a kernel (RtDeviceKernel.maps), by which the device brings squares of them (TMA). */
#ifndef RUNTIME_CUDA_MAPS_H
#define RUNTIME_CUDA_MAPS_H
#include "runtime/runtime.h"

/* cuTensorMapEncodeTiled: 0, or a code. */
typedef int CuMapMake(void *map, int type, unsigned rank, void *base, const uint64_t *dim, const uint64_t *stride, const uint32_t *box, const uint32_t *step,
                      int interleave, int swizzle, int promotion, int fill);

/* args: addresses, sizes: as the kernel has them; maps: at a multiple of 64 bytes. False: a matrix has rows or places that are no multiples of 16 bytes,
 * dimensions that are not one inside of the other, or the driver refuses it. */
bool cu_maps_make(CuMapMake *make, const RtDeviceKernel *k, const int64_t *args, const int64_t *sizes, char *maps);
#endif
