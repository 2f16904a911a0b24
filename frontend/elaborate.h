/* elaborate.h -- syntax tree to graphs: names, instances, calls, sizes, directives. All semantic errors are found here.
 *
 * Elaboration executes each entry symbolically: what is known at compile time (numbers, lists, layers, sizes) is computed, what is
 * known at run time only becomes nodes of the entry's graph. Shape check and construction of the graph are one pass. How the parts
 * hang together is said at the top of elaborate.c. */
#ifndef FRONTEND_ELABORATE_H
#define FRONTEND_ELABORATE_H
#include "frontend/ast.h"
#include "ir/diag.h"
#include "ir/graph.h"

typedef struct ElabDefine { /* -D NAME=VALUE */
    const char *name, *value;
} ElabDefine;

typedef struct ElabOptions {
    const ElabDefine *defines;
    int n_defines;
    const char *const *entries; /* --entries: the names to keep */
    int n_entries;              /* 0: all */
    const char *name;           /* prefix of exported names; NULL: from the name of the file, made a C identifier */
    const char *load;           /* --load: a .safetensors whose values win over `init` and `load`; NULL: none */
    const char *const *quantize; /* --quantize: "SELECTION: SCHEME" each, after the directives of the program */
    int n_quantize;
    bool check;                 /* `modelc check`: a program without entries, a train without minimize are warnings */
} ElabOptions;

/* The program of a file that parsed. Everything is in the arena (the tree and its source must live as long). NULL after errors;
 * they are in the diagnostics. The std library is parsed from ir/embed.h; imports are read relative to the importing file. */
Program *elaborate(Arena *arena, Ast *file, const Source *source, const ElabOptions *options, Diag *diag);

#endif
