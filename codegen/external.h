/* external.h -- weights in a file of their own beside the artifact: a .safetensors that every tool reads, and what the artifact says of it. */
#ifndef CODEGEN_EXTERNAL_H
#define CODEGEN_EXTERNAL_H
#include "codegen/link.h"
#include "codegen/module.h"
#include "ir/graph.h"

typedef struct External {
    Content content;
    int64_t bytes, *places; /* places: by slot, bytes from the start of the file; 0: the value is not in it */
    int n;                  /* values in it */
    uint8_t hash[32];       /* SHA-256 of the file */
} External;

/* Of all slots whose value is known at compile time. In the arena; values are the program's own. */
External *external_new(Arena *arena, const Program *p);

/* False, and a message: it is empty, or path is a file that the weights came from (load: of --load, or NULL), which may hold more. */
bool external_fits(const External *e, const char *path, const char *load, const Program *p);

/* RtExternal (runtime.h); name: of the file, without a folder. */
LLVMValueRef external_table(Module *m, const External *e, const char *name, int n_slots);

#endif
