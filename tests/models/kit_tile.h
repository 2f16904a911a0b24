/* kit_tile.h -- entries run by the tile interpreter over planned memory: an InterpreterRun of codegen/interpret.h. */
#ifndef TESTS_MODELS_KIT_TILE_H
#define TESTS_MODELS_KIT_TILE_H
#include "codegen/kernel_code.h"
#include "ir/diag.h"
#include "ir/eval.h"

typedef struct TileRunner TileRunner;

/* Plans the program, which has gone through the passes at the target's level. NULL after an error, which is in d. */
TileRunner *tile_runner_new(Arena *arena, Program *p, const Target *target, Diag *d);
void tile_runner_free(TileRunner *t);
bool tile_runner_run(void *runner, Eval *e, const Entry *entry, Tensor **results);

#endif
