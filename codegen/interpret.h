/* interpret.h -- a program as a model whose calls go to the reference interpreter: the same interface as a compiled artifact
 * (mdl.h), so that whatever runs artifacts runs it, too. Saving and loading files is not among its gifts: weights come with the
 * program. */
#ifndef CODEGEN_INTERPRET_H
#define CODEGEN_INTERPRET_H
#include "ir/eval.h"
#include "runtime/mdl.h"

typedef struct Interpreter Interpreter;

/* In the arena; the program must have gone through the passes as far as gradients are nodes like others. */
Interpreter *interpreter_new(Arena *arena, const Program *program);
const mdl_model *interpreter_model(Interpreter *i);

/* Entries run by this function instead of eval_graph, with the same contract: tests put plans and tile kernels under whole
 * models. */
typedef bool InterpreterRun(void *context, Eval *e, const Entry *entry, Tensor **results);
void interpreter_by(Interpreter *i, InterpreterRun *run, void *context);

#endif
