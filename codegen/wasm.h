/* wasm.h -- data as an object of WebAssembly. */
#ifndef CODEGEN_WASM_H
#define CODEGEN_WASM_H
#include "codegen/link.h"

/* As elf_data; the description becomes the custom section mdl.meta. False with errno: the system refused memory. */
bool wasm_data(Arena *arena, const Platform *platform, const ElfData *items, int n, Bytes meta, Bytes *object);

#endif
