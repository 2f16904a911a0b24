/* build.h -- `modelc build`: many variants of models at once, each compiled by a process of its own or taken from the cache. */
#ifndef CODEGEN_BUILD_H
#define CODEGEN_BUILD_H
#include "codegen/variants.h"

#include <jansson.h>

/* What the command needs of the rest of the compiler. */
typedef struct BuildTools {
    const char *machine;                  /* what --target=native means here: part of what an artifact is made of */
    json_t *(*report)(const char *path);  /* sizes and hashes of an artifact (runtime/mdlrun_size.c) */
} BuildTools;

typedef enum { BUILD_BUILT, BUILD_CACHED, BUILD_FRESH, BUILD_FAILED } BuildStatus;

/* A variant and what became of it. */
typedef struct Build {
    const Variant *variant;
    const char *path;     /* of the library */
    const char *key;      /* in the cache */
    BuildStatus status;
    json_t *report;       /* of BuildTools; NULL where it failed */
    const char *message;  /* what the compiler printed: "" mostly */
    double ms;
} Build;

/* The words after `build`; returns the exit status. */
int build_command(Arena *arena, const BuildTools *tools, int argc, char **argv);

/* build_report.c */
const char *build_status_name(BuildStatus status);
void build_table(const Build *builds, int n);
json_t *build_json(const Build *builds, int n);
char *build_junit(const Build *builds, int n); /* for free() */

#endif
