/* tune.h -- which tiles products run fastest with on this machine. */
#ifndef CODEGEN_TUNE_H
#define CODEGEN_TUNE_H
#include "codegen/tuning.h"

/* Sets target->tuning: to what the file says; where there is none, the candidates of each distinct product of the plans (n of them) are
 * timed, on one thread and for a minute at most, and the file is written. *said: what was done; false: what is wrong, a sentence. */
bool tune_target(Arena *a, const char *path, Plan *const *plans, int n, Target *target, const char **said);

#endif
