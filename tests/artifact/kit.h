/* kit.h -- from the text of a graph to a library that is loaded in this process, for the tests of this folder. */
#ifndef TESTS_ARTIFACT_KIT_H
#define TESTS_ARTIFACT_KIT_H
#include "codegen/artifact.h"
#include "runtime/mdl.h"

typedef struct Kit {
    Arena *arena;
    Program *program;
    Plan **entries, **inits;
    Bytes file;   /* the linked library, archive or object */
    void *handle; /* of dlopen, NULL for other kinds */
    int fd;       /* of the file behind it: dlopen takes a second library of the same name for the first, so the number stays in use */
    const mdl_model *model;
} Kit;

/* Parses, runs the passes at this level, plans, compiles, links, loads. Ends the test with a message when a stage fails. */
Kit kit_make(const char *program_text, ArtifactKind kind, int level);
void kit_free(Kit *k);

/* Ends the test when the condition is false. */
#define CHECK(condition)                                                                                                       \
    do {                                                                                                                       \
        if (!(condition)) kit_fail(__FILE__, __LINE__, #condition);                                                            \
    } while (0)
void kit_fail(const char *file, int line, const char *what) __attribute__((noreturn));

#endif
