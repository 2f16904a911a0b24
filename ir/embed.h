/* embed.h -- files that are part of the compiler's binary. The Makefile writes the tables (build/gen/embed.S): a new
 * frontend/std/NAME.mdl, frontend/explain/CODE.md or codegen/NAME.tile is in them by itself, in the order of the names. */
#ifndef IR_EMBED_H
#define IR_EMBED_H
#include <stddef.h>

typedef struct Embedded {
    const char *name; /* without folders: "nn.mdl"; NULL ends a table */
    const char *text; /* the bytes, followed by a 0 that length does not count */
    size_t length;
} Embedded;

extern const Embedded embedded_std[];     /* frontend/std/ *.mdl */
extern const Embedded embedded_pages[];   /* frontend/explain/ *.md */
extern const Embedded embedded_tile[];    /* codegen/ *.tile and codegen/cpu/ *.tile */
extern const Embedded embedded_cuda[];    /* one: prelude.cu */
extern const Embedded embedded_runtime[]; /* two a target: runtime-TARGET.o, runtime-core-TARGET.o; runtime-device-x86-64.o, the first with cuda/; every artifact is linked with one of them */
extern const Embedded embedded_header[];  /* one: mdl.h */

#endif
