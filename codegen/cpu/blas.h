/* blas.h -- functions that compute a product by cblas_sgemm.
 *
 *   void NAME(void *const *args, const int64_t *sizes, char *scratch, int64_t p0, int64_t p1)     external, hidden
 *
 * args: a [m, k], b [k, n], result [m, n], all f32. sizes, in elements: m, n, k; from line to line of a, b and the result; from row to row of
 * a and the result; where a, b and the result begin; then for each axis of batches, outermost first, how many, and the steps of a, b
 * and the result. Iterations: BLAS_ROWS rows of the result each; with batches, one product each. */
#ifndef CODEGEN_CPU_BLAS_H
#define CODEGEN_CPU_BLAS_H
#include "codegen/target.h"

#include <llvm-c/Core.h>

#define BLAS_LIBRARY "libopenblas.so.0"
#define BLAS_NAMES   {"cblas_sgemm", "openblas_set_num_threads"}

enum { BLAS_ROWS = 16, BLAS_BATCHES = 2 /* axes */ };

typedef struct BlasForm {
    bool rows;      /* a line of the result is a row; else a column */
    bool turned[2]; /* a, b: a line is the other thing */
    int batches;    /* axes */
} BlasForm;

void blas_lower(const BlasForm *form, LLVMModuleRef m, const char *name);

#endif
