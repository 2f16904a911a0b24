/* wasm.c -- what elf.c does for other targets: weights and description as an object. LLVM's assembler reads them from memory
 * files, so the bytes are copied, never turned into constants. */
#include "codegen/wasm.h"

#include "codegen/cpu/lower.h"
#include "ir/diag.h"

#include <llvm-c/Core.h>
#include <string.h>
#include <unistd.h>

typedef struct Assembly {
    Arena *arena;
    char *text;
    int *fd, n;
    bool refused;
} Assembly;

static void line(Assembly *s, const char *text) {
    s->text = s->text ? arena_printf(s->arena, "%s%s\n", s->text, text) : arena_printf(s->arena, "%s\n", text);
}

/* The bytes stand here. */
static void include(Assembly *s, Bytes bytes) {
    int fd = memory_file("data", content_of(bytes));
    s->refused = s->refused || fd < 0;
    s->fd[s->n++] = fd;
    line(s, arena_printf(s->arena, "\t.incbin \"/proc/self/fd/%d\"", fd));
}

/* One section of its own for each item, so that the linker leaves out what nobody needs. */
static void item(Assembly *s, const ElfData *d) {
    Arena *a = s->arena;
    line(s, arena_printf(a, "\t.section .rodata.%s,\"\",@", d->symbol));
    line(s, arena_printf(a, "\t.hidden %s\n\t.globl %s\n\t.p2align 6\n%s:", d->symbol, d->symbol, d->symbol));
    include(s, (Bytes){d->data, d->bytes});
    line(s, arena_printf(a, "\t.size %s, %zu\n\t.type %s,@object", d->symbol, d->bytes, d->symbol));
}

bool wasm_data(Arena *arena, const Platform *platform, const ElfData *items, int n, Bytes meta, Bytes *object) {
    Assembly s = {.arena = arena, .fd = NEW_ARRAY(arena, int, n + 1)};
    for (int i = 0; i < n; i++) {
        if (items[i].bytes) item(&s, &items[i]);
    }
    line(&s, "\t.section .custom_section.mdl.meta,\"\",@");
    include(&s, meta);
    bool done = !s.refused;
    if (done) {
        const char *error;
        Emit *e = emit_new("data", platform, true);
        if (!e) bug("LLVM has no code generator for %s", platform->triple);
        LLVMSetModuleInlineAsm2(emit_module(e), s.text, strlen(s.text));
        if (!emit_object(e, arena, &object->at, &object->n, &error)) bug("%s", error);
        emit_free(e);
    }
    for (int i = 0; i < s.n; i++)
        if (s.fd[i] >= 0) close(s.fd[i]);
    return done;
}
