/* inspect.h -- tables of what is in a program, on standard output: for people, and as JSON. */
#ifndef CODEGEN_INSPECT_H
#define CODEGEN_INSPECT_H
#include "ir/graph.h"

void params_print(Arena *arena, const Program *p); /* parameters, states, caches: shapes, elements */
void params_json(Arena *arena, const Program *p);
void entries_print(Arena *arena, const Program *p); /* entries: sizes, inputs, results */
void entries_json(Arena *arena, const Program *p);

#endif
