/* tile_number.h -- numbers as the machine has them, for the interpreter: saturating casts, Philox, normal
 * numbers. Pure functions. */
#ifndef CODEGEN_TILE_NUMBER_H
#define CODEGEN_TILE_NUMBER_H
#include "ir/type.h"

#include <stdint.h>

int64_t tile_int_wrap(DType d, int64_t x);  /* modulo the width */
int64_t tile_int_saturate(DType d, int64_t x);
int64_t tile_int_from_float(DType d, double x); /* truncated, saturated, NaN 0 */
uint32_t tile_philox_word(uint32_t k0, uint32_t k1, uint32_t step_lo, uint32_t step_hi, int64_t element);
float tile_normal_number(uint32_t r);
#endif
