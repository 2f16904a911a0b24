/* variants.h -- which variants of models a build makes: from the command line or from variants.json, as a product.
 *
 *     {"model": "m.mdl", "out": "libs", "options": ["--target=x86-64-v3"],
 *      "each": {"layers": [2, 4, 8], "target": ["x86-64-v2", "x86-64-v3"]},
 *      "variants": [{"name": "small", "set": {"width": 4}, "options": ["--budget=arena<=64Ki"]}]}
 *
 * `each` and `set` name a config or dim of the program, or an option that takes a value: target, load, entries, runtime, kind (so, a, o),
 * level (0, 2). Files are relative to the folder of the .json. */
#ifndef CODEGEN_VARIANTS_H
#define CODEGEN_VARIANTS_H
#include "ir/arena.h"

#include <stdbool.h>

typedef LIST(const char *) Strings;

typedef struct Variant {
    const char *name, *model, *kind; /* "gpt-layers-2", "gpt.mdl", "so" */
    Strings options;                 /* for modelc, without -o */
} Variant;

typedef struct Axis {
    const char *name;
    Strings values;
} Axis;

typedef struct Variants {
    Arena *arena;
    const char *out; /* folder */
    LIST(Variant) list;
} Variants;

/* "layers=2,4,8"; NULL, or what is wrong. */
const char *axis_parse(Arena *arena, const char *text, Axis *axis);
/* The product of axes, each with options beside; NULL, or what is wrong, as a sentence. */
const char *variants_product(Variants *v, const char *model, const Axis *axes, int n, const Strings *options);
const char *variants_read(Variants *v, const char *path, const Axis *axes, int n, const Strings *options);

#endif
