/* command.h -- what a user of modelc typed. */
#ifndef CODEGEN_COMMAND_H
#define CODEGEN_COMMAND_H
#include "codegen/budget.h"

typedef enum {
    EMIT_LIBRARY,
    EMIT_AST,
    EMIT_GRAPH,
    EMIT_PLANNED,
    EMIT_TILE,
    EMIT_LLVM,
    EMIT_ASM,
    EMIT_OBJ,
    EMIT_HEADER,
    EMIT_CUDA,
    EMIT_PTX
} EmitStage;

typedef LIST(const char *) Words;

typedef struct Define { /* -D NAME=VALUE */
    const char *name, *value;
} Define;

typedef struct Command {
    Arena *arena;
    const char *command; /* "compile", or the first word */
    Words files;         /* what is no option; of `run`: the model, then what mdlrun gets */
    LIST(Define) defines;
    Words entries, silenced, quantize; /* --entries, -Wno-NAME, --quantize */
    Budgets budgets;
    Accuracies accuracies;
    const char *measure; /* --measure: "ENTRY NAME=SOURCE ..." */
    int64_t memory; /* --memory; 0: none */
    const char *output, *load, *name, *target, *after, *depfile, *cache, *tune, *nvrtc;
    EmitStage emit;
    int level, selftest; /* 0, 1 or 2; samples of each entry */
    Words samples;       /* --self-test-data */
    bool small, core, blas, strip, external, depfile_wanted, time, report, verbose, quiet, json, check, interpret, warnings_are_errors, color;
} Command;

extern const char *const emit_names[]; /* by EmitStage: "ast" */
/* Reads the words behind the program's name. Wrong ones end the compiler with a message, --help and --version with what was asked. */
void command_read(Command *o, int argc, char **argv);
void usage(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn)); /* the message, and EXIT_USAGE */
/* The exit status, once all that was printed is written. A reader that has seen enough (| head) needs no message. */
int command_output_end(int status);

#endif
