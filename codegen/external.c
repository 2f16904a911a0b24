/* external.c -- the file of --weights=external, as the compiler makes it and as the runtime finds things in it. Format: u64
 * little-endian length, that many bytes of JSON, tensors without gaps (github.com/huggingface/safetensors). */
#include "codegen/external.h"

#include "codegen/digest.h"
#include "codegen/initial.h"
#include "runtime/runtime.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct Value {
    int slot;
    SlotInitial initial;
} Value;

static const char *file_dtype(DType d) {
    static const char *const names[DT_COUNT] = {
        [DT_F64] = "F64", [DT_F32] = "F32", [DT_F16] = "F16", [DT_BF16] = "BF16", [DT_I64] = "I64",       [DT_I32] = "I32",      [DT_I16] = "I16",
        [DT_I8] = "I8",   [DT_U32] = "U32", [DT_U8] = "U8",   [DT_BOOL] = "BOOL", [DT_F8E4M3] = "F8_E4M3", [DT_F8E5M2] = "F8_E5M2"};
    if (!names[d]) bug("no file holds %s", dtype_name(d));
    return names[d];
}

/* Wide elements first: each tensor is aligned to its element where no gaps are allowed. */
static int collect(Arena *arena, const Program *p, Value *values) {
    int n = 0;
    for (int width = 8; width; width /= 2) {
        for (int i = 0; i < p->slots.n; i++) {
            if (dtype_bytes(p->slots.at[i]->type.dtype) != width) continue;
            SlotInitial initial = initial_graph(arena, p, i);
            if (initial.kind == INITIAL_DATA && initial.bytes) values[n++] = (Value){i, initial};
        }
    }
    return n;
}

static void row_add(json_t *header, const Slot *slot, int64_t begin, int64_t end) {
    json_t *shape = json_array();
    for (int k = 0; k < slot->type.rank; k++) json_array_append_new(shape, json_integer(size_value(slot->type.dim[k])));
    json_t *row = json_pack("{s:s, s:o, s:[I, I]}", "dtype", file_dtype(slot->type.dtype), "shape", shape, "data_offsets", (json_int_t)begin, (json_int_t)end);
    if (!row || json_object_set_new(header, slot->path, row)) bug("no memory for a file of weights");
}

/* Length and header, filled up so that what follows is aligned to 64 bytes. */
static Bytes header_bytes(Arena *arena, const json_t *header) {
    char *text = json_dumps(header, JSON_COMPACT);
    if (!text) bug("no memory for a file of weights");
    size_t n = strlen(text), whole = (8 + n + 63) / 64 * 64;
    char *at = arena_alloc(arena, whole);
    memset(at, ' ', whole);
    for (int i = 0; i < 8; i++) at[i] = (char)((uint64_t)(whole - 8) >> 8 * i);
    memcpy(at + 8, text, n);
    free(text);
    return (Bytes){at, whole};
}

External *external_new(Arena *arena, const Program *p) {
    External *e = NEW(arena, External);
    Value *values = NEW_ARRAY(arena, Value, p->slots.n + 1);
    Bytes *data = NEW_ARRAY(arena, Bytes, p->slots.n + 1);
    json_t *header = json_object();
    int64_t end = 0;
    e->n = collect(arena, p, values);
    e->places = NEW_ARRAY(arena, int64_t, p->slots.n + 1);
    for (int i = 0; i < e->n; i++) {
        const SlotInitial *v = &values[i].initial;
        data[i] = (Bytes){v->data, v->bytes};
        e->places[values[i].slot] = end;
        row_add(header, p->slots.at[values[i].slot], end, end + (int64_t)v->bytes);
        end += (int64_t)v->bytes;
    }
    e->content = (Content){header_bytes(arena, header), data, e->n};
    json_decref(header);
    for (int i = 0; i < e->n; i++) e->places[values[i].slot] += (int64_t)e->content.bytes.n;
    e->bytes = (int64_t)content_size(&e->content);
    Digest *d = digest_new();
    digest_add(d, e->content.bytes.at, e->content.bytes.n);
    for (int i = 0; i < e->n; i++) digest_add(d, data[i].at, data[i].n);
    digest_end(d, e->hash);
    return e;
}

static bool same_file(const char *a, const char *b) {
    struct stat x, y;
    return !stat(a, &x) && !stat(b, &y) && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

bool external_fits(const External *e, const char *path, const char *load, const Program *p) {
    const char *from = load && same_file(path, load) ? load : NULL;
    for (int i = 0; i < p->files.n && !from; i++)
        if (same_file(path, p->files.at[i])) from = p->files.at[i];
    if (!e->n) fputs("modelc: --weights=external: no weight has a value yet; --load, or `load` in the program, brings them\n", stderr);
    else if (from) fprintf(stderr, "modelc: --weights=external would write over %s, which was read: give the library another name\n", from);
    return e->n && !from;
}

LLVMValueRef external_table(Module *m, const External *e, const char *name, int n_slots) {
    LLVMTypeRef pointers[] = {m->ptr, m->ptr};
    LLVMValueRef *places = NEW_ARRAY(m->arena, LLVMValueRef, n_slots + 1);
    for (int i = 0; i < n_slots; i++) places[i] = module_i64(m, e->places[i]);
    LLVMValueRef fields[] = {module_function(m, "rt_external_open", module_type(m, m->i32, 2, pointers)),
                             module_function(m, "rt_external_close", module_type(m, m->nothing, 2, pointers)),
                             module_text(m, name),
                             module_i64(m, e->bytes),
                             module_array(m, m->i64, n_slots, places),
                             LLVMConstStringInContext2(m->context, (const char *)e->hash, 32, true)};
    return module_constant(m, module_struct(m, 6, fields));
}
