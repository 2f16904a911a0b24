/* budget.h -- limits on what an artifact may take. */
#ifndef CODEGEN_BUDGET_H
#define CODEGEN_BUDGET_H
#include "codegen/artifact.h"
#include "runtime/sizes.h"

/* "arena<=512Ki,accuracy>=0.98*float": bytes are appended to *budgets, comparisons with results of an entry to *accuracies, without a
 * place. NULL, or what is wrong, as a sentence. */
typedef LIST(Budget) Budgets;
typedef LIST(Accuracy) Accuracies;
const char *budget_parse(Arena *arena, const char *text, Budgets *budgets, Accuracies *accuracies);

const char *budget_names(Arena *arena); /* of bytes: "library, arena, ..." */

bool budget_bytes(const char *text, int64_t *bytes); /* "512Ki", 65536; false: it is no such number */

/* An error for each entry whose arena may take more than `bytes`, with the largest contributors. */
void budget_check_arena(Arena *arena, const Program *program, Plan *const *plans, int64_t bytes, Diag *diag);

/* Holds the program's budgets against the sizes of the artifact made of it: an error for each that is exceeded, with the largest
 * contributors. plans: of the entries. */
void budget_check(Arena *arena, const Program *program, Plan *const *plans, const Artifact *artifact, const Sizes *sizes, Diag *diag);

#endif
