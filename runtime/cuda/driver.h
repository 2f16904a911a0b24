/* driver.h -- the part of NVIDIA's driver library that the runtime calls, with prototypes of our own: libcuda.so.1 is opened when a session
 * first wants it, and nothing of CUDA is needed before. */
#ifndef RUNTIME_CUDA_DRIVER_H
#define RUNTIME_CUDA_DRIVER_H
#include "runtime/cuda/maps.h"

#include <stddef.h>
#include <stdint.h>

typedef uint64_t CuAddress; /* of the device's memory */
typedef void *CuHandle;     /* context, stream, module, function */

/* X(name of the function without "cu", our name, arguments): each returns 0 or a code. */
#define CU_DRIVER(X)                                                                                                                               \
    X(Init, init, (unsigned flags))                                                                                                                \
    X(DeviceGetCount, device_count, (int *n))                                                                                                      \
    X(DeviceGet, device_get, (int *device, int number))                                                                                            \
    X(DeviceGetAttribute, device_attribute, (int *value, int attribute, int device))                                                               \
    X(DevicePrimaryCtxRetain, context_retain, (CuHandle *context, int device))                                                                     \
    X(DevicePrimaryCtxRelease_v2, context_release, (int device))                                                                                   \
    X(CtxGetCurrent, context_get, (CuHandle *context))                                                                                             \
    X(CtxSetCurrent, context_set, (CuHandle context))                                                                                              \
    X(MemGetInfo_v2, memory_info, (size_t *left, size_t *all))                                                                                     \
    X(MemAlloc_v2, memory_take, (CuAddress *at, size_t bytes))                                                                                     \
    X(MemFree_v2, memory_give, (CuAddress at))                                                                                                     \
    X(MemcpyHtoDAsync_v2, copy_to, (CuAddress to, const void *from, size_t bytes, CuHandle stream))                                                \
    X(MemcpyDtoHAsync_v2, copy_from, (void *to, CuAddress from, size_t bytes, CuHandle stream))                                                    \
    X(MemcpyDtoDAsync_v2, copy_inside, (CuAddress to, CuAddress from, size_t bytes, CuHandle stream))                                              \
    X(MemsetD8Async, memory_set, (CuAddress to, unsigned char byte, size_t bytes, CuHandle stream))                                                \
    X(StreamCreate, stream_new, (CuHandle *stream, unsigned flags))                                                                                \
    X(StreamDestroy_v2, stream_free, (CuHandle stream))                                                                                            \
    X(StreamSynchronize, stream_wait, (CuHandle stream))                                                                                           \
    X(ModuleLoadData, module_load, (CuHandle *module, const void *image))                                                                          \
    X(ModuleUnload, module_free, (CuHandle module))                                                                                                \
    X(ModuleGetFunction, module_function, (CuHandle *function, CuHandle module, const char *name))                                                 \
    X(FuncSetAttribute, function_set, (CuHandle function, int attribute, int value))                                                               \
    X(LaunchKernel, launch, (CuHandle function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared,     \
                             CuHandle stream, void **parameters, void **extra))                                                                    \
    X(StreamBeginCapture_v2, capture_begin, (CuHandle stream, int mode))                                                                           \
    X(StreamEndCapture, capture_end, (CuHandle stream, CuHandle *captured))                                                                        \
    X(GraphInstantiateWithFlags, graph_new, (CuHandle *graph, CuHandle captured, unsigned long long flags))                                        \
    X(GraphLaunch, graph_launch, (CuHandle graph, CuHandle stream))                                                                                \
    X(GraphExecDestroy, graph_free, (CuHandle graph))                                                                                              \
    X(GraphDestroy, captured_free, (CuHandle captured))                                                                                            \
    X(GetErrorString, error_text, (int code, const char **text))
enum { CU_OUT_OF_MEMORY = 2, CU_PROCESSORS = 16, CU_MAJOR = 75, CU_MINOR = 76, CU_SHARED = 8 /* of a function: bytes that a launch asks for, at most */, CU_CAPTURE_RELAXED = 2 /* what other threads do is not looked at */ };

typedef struct CuDriver {
#define X(name, ours, arguments) int(*ours) arguments;
    CU_DRIVER(X)
#undef X
    CuMapMake *map_make; /* NULL: the driver is older than that */
} CuDriver;

/* NULL and *why: there is no driver, or none that has all of these. Opened once. */
const CuDriver *cu_driver(const char **why);

#endif
