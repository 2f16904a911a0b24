/* cost.h -- what the kernels of entries cost on a device, on paper: nothing is measured. */
#ifndef CODEGEN_CUDA_COST_H
#define CODEGEN_CUDA_COST_H
#include "codegen/kernel_code.h"

/* A table for each entry: kernels with calls, bytes, operations, occupancy, time and the share of an H100's peak that their shape can reach;
 * totals; what was assumed. s: the scheduler of the device, which has met all kernels. plans: of the program's entries. */
void cuda_cost_print(FILE *f, Arena *arena, Scheduler *s, const Program *p, Plan *const *plans);
#endif
