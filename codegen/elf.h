/* elf.h -- ELF files that we write ourselves: data that LLVM should not have to chew, symbols made local, archives,
 * libraries to link with. Everything
 * is little-endian, for the machine of a platform, in 32 or 64 bits, and the same bytes for the same input. */
#ifndef CODEGEN_ELF_H
#define CODEGEN_ELF_H
#include "codegen/target.h"

#include <stdbool.h>

typedef struct Bytes {
    const char *at;
    size_t n;
} Bytes;

/* Read-only data under a hidden symbol. */
typedef struct ElfData {
    const char *symbol;
    const void *data;
    size_t bytes;
} ElfData;

/* A relocatable object: section .mdl.weights (each item on 64 bytes), .mdl.meta. The
 * result is in the arena. apart: the section has its size and no bytes yet, for elf_place_data. */
Bytes elf_data(Arena *arena, const Platform *platform, const ElfData *items, int n, Bytes meta, bool apart);

/* Gives the section that was left without bytes its place behind the end of a linked library, whose tables are changed: how many
 * bytes stand between the end and that place. */
size_t elf_place_data(const Platform *platform, Bytes library);

/* The same relocatable object with every hidden symbol that it defines made local, so that two artifacts link into one program.
 * False and *error when the object is not what a linker writes. */
bool elf_localize(Arena *arena, Bytes object, Bytes *result, const char **error);

/* n words of 32 bits of the constant `symbol` in a relocatable object; false: it has none. */
bool elf_words(Arena *arena, Bytes object, const char *symbol, int32_t *words, int n);

/* A shared library that has these names and nothing behind them, to link with: `soname` is what the result will need. */
Bytes elf_names(Arena *arena, const Platform *platform, const char *soname, const char *const *names, int n);

/* A static library of one member, with the index of its global symbols. name: of the member, at most 15 characters of it are
 * kept. */
bool elf_archive(Arena *arena, Bytes object, const char *name, Bytes *result, const char **error);

#endif
