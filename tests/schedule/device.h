/* device.h -- kernels for a device, run by the emulator (tests/cuda/emulator.h): the text that NVRTC would get, compiled by a C
 * compiler and loaded. */
#ifndef TESTS_SCHEDULE_DEVICE_H
#define TESTS_SCHEDULE_DEVICE_H
#include "codegen/kernel_code.h"

typedef struct Device Device;
Device *device_new(Arena *arena, const Scheduler *s); /* its kernels so far */
int device_free(Device *d); /* how many calls had maps */
/* One call under all orders, each on the same bytes; false, and said: they differ, or a thread is lost. bytes: of each
 * argument, 0 where it is not written. A kernel whose squares come by maps runs under all orders of a device that can, then under some without maps;
 * MAPS=1: these alone. rows: 0, or so many calls that run at once: args[rows][call->n_args], bytes and sizes alike, counts[rows]. */
bool device_run(Device *d, const KernelCall *call, int rows, void *const *args, const size_t *bytes, const int64_t *sizes, const int64_t *counts);
#endif
