/* tuning.h -- tiles of products that were chosen by timing (--tune=FILE). The file is JSON, sorted, to be committed:
 *
 *   {"tune": 1, "choices": [
 *     {"gain": 1.12, "kernel": "contract [batch, 256] + add max", "key": "3f2a..", "machine": "x86-64-v4", "rows": 0, "tile": [8, 3]},
 *     ..
 *
 * Every product that is computed by panels has a choice for each machine that the artifact has code for; one without is stale. */
#ifndef CODEGEN_TUNING_H
#define CODEGEN_TUNING_H
#include "codegen/target.h"
#include "ir/plan.h"

typedef struct TileChoice {
    int mr, nv;   /* rows and vectors of a register tile; 0: those of the cost model */
    int rows;     /* of a block that shares a panel, about; 0: the model's */
    bool written; /* a convolution is summed as it is written, not by tiles of Winograd's */
} TileChoice;

enum { TUNING_MOST = 20 /* candidates of a kernel */ };

typedef struct Tuning Tuning;
Tuning *tuning_new(Arena *a);
/* The choices of a file. *said: how many; NULL: what is wrong, a sentence. */
Tuning *tuning_read(Arena *a, const char *path, const char **said);
const char *tuning_text(Arena *a, const Tuning *t);
/* Sets the choice of a kernel; gain: how much faster than the cost model's. */
void tuning_set(Tuning *t, const char *machine, const Kernel *k, const char *said, const TileChoice *c, double gain);
bool tuning_has(const Tuning *t, const char *machine, const Kernel *k);
int tuning_count(const Tuning *t);
int tuning_better(const Tuning *t, double *best); /* choices that are faster than the model's; *best: the largest gain */

/* NULL; or, where products were looked for and are not in it, that it is stale, a sentence. */
const char *tuning_stale(const Tuning *t, const char *path);

/* ---- for schedules */

/* Are candidates asked for? Then they are offered, the cost model's first. */
bool tuning_lists(const Tuning *t);
void tuning_offer(Tuning *t, TileChoice c);
/* The choice of a kernel; false: the cost model's. said: what the kernel is, where it is missing without a choice; or NULL. */
bool tuning_find(Tuning *t, const char *machine, const Kernel *k, const char *said, TileChoice *c);

/* ---- for what measures (tune.c) */

void tuning_list(Tuning *t); /* from now on candidates are listed, from none on */
const TileChoice *tuning_offered(const Tuning *t, int *n);
void tuning_force(Tuning *t, const TileChoice *c); /* every kernel gets this one; NULL: what was set */

#endif
