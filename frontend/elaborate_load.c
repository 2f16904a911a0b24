/* elaborate_load.c -- `load net from "x.safetensors" [as f { ... }]` and the option --load: values of slots at compile time.
 *
 * In the block, `f["name"]` is a FileRef: a tensor of the file, or a whole group of them (what is below "name."), perhaps
 * transposed, cut or joined. An assignment notes which FileRef a weight gets; when the block is done each is looked up, brought
 * into shape and converted. Without a block the names in the file are the paths below the network, behind `prefix`. */
#include "frontend/elab.h"
#include "ir/eval.h"
#include "ir/op.h"

#include <fnmatch.h>
#include <math.h>
#include <string.h>

typedef enum { REF_NAME, REF_TRANSPOSE, REF_SLICE, REF_CONCAT } RefKind;

typedef struct Cut { /* one subscript */
    int64_t lo, hi;  /* hi INT64_MAX: to the end */
    bool single;     /* the axis goes */
    bool window;     /* lo : +length: nothing counts from the end */
    bool rest;       /* `...` */
} Cut;

struct FileRef {
    RefKind kind;
    const char *name; /* NAME; of others for messages: of the first operand */
    FileRef *base;    /* TRANSPOSE, SLICE */
    Cut cut[FILE_RANK];

    int n; /* SLICE: subscripts; CONCAT: parts */
    FileRef **part;
    int axis;
    const Ast *node;
};

typedef struct Loaded {
    SlotInfo *slot;
    FileRef *ref;
    const char *suffix; /* "" or ".attn.weight": of a group */
} Loaded;

typedef struct LoadMap {
    LIST(Loaded) at;
} LoadMap;

typedef struct Loading {
    const Ast *st; /* NULL: --load */
    const Ast *file_node;
    WeightFile file;
    const char *prefix;
    Names ignore;
    bool block, converts; /* converts: tensors of this type, though a weight has another */
    DType dtype;
    int total, missing;
} Loading;

/* ---- expressions on the file */

static FileRef *ref_new(Elab *el, RefKind kind, const Ast *n) {
    FileRef *r = NEW(el->arena, FileRef);
    r->kind = kind;
    r->node = n;
    return r;
}

static Value ref_value(FileRef *r) {
    return (Value){.kind = V_FILEREF, .file = r};
}

Value load_ref(Elab *el, Value file, const char *name, const Ast *n) {
    (void)file;
    FileRef *r = ref_new(el, REF_NAME, n);
    r->name = name;
    return ref_value(r);
}

Value load_member(Elab *el, Value ref, const char *member, const Ast *n) {
    if (strcmp(member, "T")) {
        fault(el, n, 503, "a tensor of a file has no `.%s`", member);
        fault_help(el, "it has .T, slices, and concat([...], axis)");
        fault_throw(el);
    }
    FileRef *r = ref_new(el, REF_TRANSPOSE, n);
    r->base = ref.file;
    r->name = ref.file->name;
    return ref_value(r);
}

static int64_t whole_of(Elab *el, const Ast *n, Env *env, int64_t missing) {
    if (!ast_given(n)) return missing;
    Value v = ev_const(el, n, env);
    if (v.kind == V_INT) return v.whole;
    fault(el, n, 203, "an index must be an integer");
    fault_label(el, "this is %s", value_a(el, v));
    fault_throw(el);
}

static Cut cut_of(Elab *el, const Ast *x, Env *env) {
    if (ast_is(x, AST_PACK)) return (Cut){.rest = true};
    if (ast_is(x, AST_SLICE))
        return (Cut){.lo = whole_of(el, ast_kid(x, 0), env, 0), .hi = whole_of(el, ast_kid(x, 1), env, INT64_MAX)};
    if (ast_is(x, AST_STAR)) {
        fault(el, x, 501, "`[*]` selects parameters and has no value here");
        fault_throw(el);
    }
    int64_t lo = whole_of(el, ast_is(x, AST_WINDOW) ? ast_kid(x, 0) : x, env, 0);
    if (!ast_is(x, AST_WINDOW)) return (Cut){.lo = lo, .single = true};
    return (Cut){.lo = lo, .hi = lo + whole_of(el, ast_kid(x, 1), env, 0), .window = true};
}

/* f["x"][a:b, -1, ..., c : +d] */
Value load_slice(Elab *el, Value ref, const Ast *n, Env *env) {
    const Ast *subs = ast_kid(n, 1);
    FileRef *r = ref_new(el, REF_SLICE, n);
    bool rest = false;
    r->base = ref.file;
    r->name = ref.file->name;
    if (subs->n > FILE_RANK) {
        fault(el, n, 407, "%d indices; a tensor of a file has at most %d dimensions", subs->n, FILE_RANK);
        fault_throw(el);
    }
    for (r->n = 0; r->n < subs->n; r->n++) {
        Cut c = r->cut[r->n] = cut_of(el, ast_kid(subs, r->n), env);
        if (c.rest && rest) {
            fault(el, ast_kid(subs, r->n), 407, "`...` stands twice in one index");
            fault_throw(el);
        }
        rest = rest || c.rest;
    }
    return ref_value(r);
}

Value load_concat(Elab *el, Call *c) {
    const ValueList *list = c->arg[0].value.list;
    FileRef *r = ref_new(el, REF_CONCAT, c->node);
    r->n = list->item.n;
    r->part = NEW_ARRAY(el->arena, FileRef *, r->n);
    r->axis = (int)need_int(el, &c->arg[1], "an axis");
    for (int i = 0; i < r->n; i++) {
        if (list->item.at[i].kind != V_FILEREF) {
            fault(el, c->arg[0].node, 705, "only tensors of the file can be loaded");
            fault_label(el, "element %d is %s", i, value_a(el, list->item.at[i]));
            fault_throw(el);
        }
        r->part[i] = list->item.at[i].file;
    }
    r->name = r->part[0]->name;
    return ref_value(r);
}

void load_assign(Elab *el, const Ast *target, Value v, Env *env, const Ast *from) {
    Value t = ev_raw(el, target, env);
    if (!value_path(t)) {
        fault(el, target, 705, "`%s` is %s, not a network or a weight", ast_text(el->arena, target), value_a(el, t));
        fault_throw(el);
    }
    if (v.kind != V_FILEREF) {
        fault(el, from, 705, "only tensors of the file can be loaded");
        fault_label(el, "this is %s", value_a(el, v));
        fault_throw(el);
    }
    WeightList weights = {0};
    value_weights(el, t, &weights);
    LoadMap *map = el->load_map;
    for (int i = 0; i < weights.n; i++) {
        Weight *w = weights.at[i];
        if (w->kind == SLOT_CACHE) continue;
        SlotInfo *s = weight_slot(el, w, target);
        for (int k = 0; k < map->at.n; k++) {
            if (map->at.at[k].slot != s) continue;
            fault(el, target, 705, "`%s` is loaded twice", w->path);
            fault_throw(el);
        }
        PUSH(el->arena, map->at, ((Loaded){s, v.file, w->path + strlen(value_path(t))}));
    }
}

/* ---- names of the file */

/* gamma and beta stand for weight and bias in old files. */
static const FileTensor *find_tensor(Elab *el, const Loading *l, const char *name) {
    const FileTensor *t = weights_find(&l->file, name);
    static const char *const other[2][2] = {{"weight", "gamma"}, {"bias", "beta"}};
    size_t n = strlen(name);
    for (int i = 0; i < 2 && !t; i++) {
        size_t k = strlen(other[i][0]);
        if (n >= k && !strcmp(name + n - k, other[i][0]) && (n == k || name[n - k - 1] == '.'))
            t = weights_find(&l->file, arena_printf(el->arena, "%.*s%s", (int)(n - k), name, other[i][1]));
    }
    return t;
}

static const char *similar_name(Elab *el, const Loading *l, const char *name) {
    Names names = {0};
    size_t n = strlen(name);
    for (int i = 0; i < l->file.tensors.n; i++) {
        const char *have = l->file.tensors.at[i].name;
        size_t k = strlen(have);
        if (k > n && have[k - n - 1] == '.' && !strcmp(have + k - n, name)) return have;
        names_push(el, &names, have);
    }
    return names_closest(&names, name);
}

/* "model." if all names begin with it. */
static const char *common_prefix(Elab *el, const WeightFile *f) {
    if (!f->tensors.n) return NULL;
    const char *first = f->tensors.at[0].name;
    size_t n = strlen(first);
    for (int i = 1; i < f->tensors.n; i++) {
        size_t k = 0;
        while (k < n && first[k] == f->tensors.at[i].name[k]) k++;
        n = k;
    }
    while (n > 0 && first[n - 1] != '.') n--;
    return n ? arena_copy(el->arena, first, n) : NULL;
}

static void no_tensor(Elab *el, const Loading *l, const char *name, const SlotInfo *s) __attribute__((noreturn));
static void no_tensor(Elab *el, const Loading *l, const char *name, const SlotInfo *s) {
    fault(el, l->file_node, 706, "%s has no tensor \"%s\"", l->file.name, name);
    const char *needed = arena_printf(el->arena, "needed by %s: %s", s->path, typev_text(el, &s->type));
    if (l->file_node) fault_label(el, "%s", needed);
    else fault_fact(el, "%s", needed);
    if (!l->block && l->st)
        fault_fact(el, "%d of %d tensors of `%s` are missing", l->missing, l->total, ast_text(el->arena, ast_kid(l->st, 0)));
    const char *near = similar_name(el, l, name), *prefix = common_prefix(el, &l->file);
    if (near) fault_help(el, "the file has \"%s\"", near);
    if (prefix && !*l->prefix && !l->block && l->st)
        fault_help(el, "all names there begin with \"%s\": load ... , prefix = \"%s\";", prefix, prefix);
    fault_throw(el);
}

/* ---- values */

static const char *file_type(Elab *el, const FileTensor *t) {
    const char *text = dtype_name(t->dtype);
    if (!t->rank) return text;
    for (int i = 0; i < t->rank; i++) text = arena_printf(el->arena, "%s%s%lld", text, i ? ", " : "[", (long long)t->dim[i]);
    return arena_printf(el->arena, "%s]", text);
}

static FileTensor *tensor_like(Elab *el, const FileTensor *t) {
    FileTensor *r = NEW(el->arena, FileTensor);
    *r = *t;
    r->bytes = (size_t)dtype_bytes(t->dtype);
    for (int i = 0; i < t->rank; i++) r->bytes *= (size_t)t->dim[i];
    return r;
}

static int64_t elements(const FileTensor *t, int from, int to) {
    int64_t n = 1;
    for (int i = from; i < to; i++) n *= t->dim[i];
    return n;
}

static void need_data(Elab *el, const Loading *l) {
    if (!l->file.broken) return;
    fault(el, l->file_node, 710, "\"%s\" cannot be loaded: %s", l->file.path, l->file.broken);
    fault_throw(el);
}

static const FileTensor *transposed(Elab *el, const FileTensor *x) {
    FileTensor *r = NEW(el->arena, FileTensor);
    *r = *x;
    r->dim[x->rank - 1] = x->dim[x->rank - 2];
    r->dim[x->rank - 2] = x->dim[x->rank - 1];
    size_t width = (size_t)dtype_bytes(x->dtype);
    unsigned char *to = arena_alloc(el->arena, x->bytes + 1);
    int64_t lead = elements(x, 0, x->rank - 2), rows = x->dim[x->rank - 2], columns = x->dim[x->rank - 1];
    for (int64_t b = 0; b < lead; b++)
        for (int64_t i = 0; i < rows; i++)
            for (int64_t j = 0; j < columns; j++)
                memcpy(to + (size_t)((b * columns + j) * rows + i) * width,
                       x->data + (size_t)((b * rows + i) * columns + j) * width, width);
    r->data = to;
    return r;
}

/* One axis cut to lo..hi. */
static const FileTensor *cut(Elab *el, const FileTensor *x, int axis, int64_t lo, int64_t hi) {
    FileTensor shape = *x;
    shape.dim[axis] = hi - lo;
    FileTensor *r = tensor_like(el, &shape);
    size_t inner = (size_t)elements(x, axis + 1, x->rank) * (size_t)dtype_bytes(x->dtype);
    unsigned char *to = arena_alloc(el->arena, r->bytes + 1);
    int64_t outer = elements(x, 0, axis);
    for (int64_t b = 0; b < outer; b++)
        memcpy(to + (size_t)(b * (hi - lo)) * inner, x->data + (size_t)(b * x->dim[axis] + lo) * inner,
               (size_t)(hi - lo) * inner);
    r->data = to;
    return r;
}

static const FileTensor *joined(Elab *el, const FileTensor **x, int n, int axis, const Ast *node) {
    FileTensor shape = *x[0];
    if (axis < 0) axis += shape.rank;
    bool fits = axis >= 0 && axis < shape.rank;
    for (int i = 1; i < n && fits; i++) {
        fits = x[i]->rank == shape.rank && x[i]->dtype == shape.dtype;
        for (int k = 0; fits && k < shape.rank; k++) fits = k == axis || x[i]->dim[k] == shape.dim[k];
        if (fits) shape.dim[axis] += x[i]->dim[axis];
    }
    if (!fits) {
        fault(el, node, 301, "shapes do not fit concat along axis %d", axis);
        for (int i = 0; i < n; i++) fault_fact(el, "%d: %s", i + 1, file_type(el, x[i]));
        fault_throw(el);
    }
    FileTensor *r = tensor_like(el, &shape);
    unsigned char *to = arena_alloc(el->arena, r->bytes + 1);
    int64_t outer = elements(&shape, 0, axis);
    size_t width = (size_t)dtype_bytes(shape.dtype), place = 0;
    for (int64_t b = 0; b < outer; b++)
        for (int i = 0; i < n; i++) {
            size_t part = (size_t)elements(x[i], axis, x[i]->rank) * width;
            if (part) memcpy(to + place, x[i]->data + (size_t)b * part, part);
            place += part;
        }
    r->data = to;
    return r;
}

static void outside(Elab *el, const FileRef *r, const Cut *c, int64_t d) __attribute__((noreturn));
static void outside(Elab *el, const FileRef *r, const Cut *c, int64_t d) {
    if (c->single) fault(el, r->node, 409, "index %lld in a dimension of size %lld", (long long)c->lo, (long long)d);
    else
        fault(el, r->node, 409, "slice %lld : %lld of a dimension of size %lld", (long long)c->lo, (long long)c->hi,
              (long long)d);
    fault_throw(el);
}

static const FileTensor *sliced(Elab *el, const FileRef *r, const FileTensor *x) {
    int named = r->n, axis = 0, kept = 0;
    bool single[FILE_RANK] = {false};
    for (int i = 0; i < r->n; i++) named -= r->cut[i].rest;
    if (named > x->rank) {
        fault(el, r->node, 407, "%d indices for %d dimension%s", named, x->rank, x->rank == 1 ? "" : "s");
        fault_throw(el);
    }
    for (int i = 0; i < r->n; i++, axis++) {
        Cut c = r->cut[i];
        if (c.rest) {
            axis += x->rank - named - 1;
            continue;
        }
        int64_t d = x->dim[axis];
        if (c.lo < 0 && !c.window) c.lo += d;
        if (c.single) c.hi = c.lo + 1;
        else if (c.hi == INT64_MAX) c.hi = d;
        else if (c.hi < 0 && !c.window) c.hi += d;
        if (c.lo < 0 || c.hi < c.lo || c.hi > d) outside(el, r, c.single ? &r->cut[i] : &c, d);
        x = cut(el, x, axis, c.lo, c.hi);
        single[axis] = c.single;
    }
    FileTensor *y = NEW(el->arena, FileTensor);
    *y = *x;
    for (int i = 0; i < x->rank; i++)
        if (!single[i]) y->dim[kept++] = x->dim[i];
    y->rank = kept;
    return y;
}

static const FileTensor *resolve(Elab *el, const Loading *l, const FileRef *r, const Loaded *to) {
    switch (r->kind) {
    case REF_NAME: {
        const char *name = arena_printf(el->arena, "%s%s%s", l->prefix, r->name, to->suffix);
        const FileTensor *t = find_tensor(el, l, name);
        if (!t) no_tensor(el, l, name, to->slot);
        if (to->ref->kind != REF_NAME) need_data(el, l);
        return t;
    }
    case REF_TRANSPOSE: {
        const FileTensor *x = resolve(el, l, r->base, to);
        if (x->rank >= 2) return transposed(el, x);
        if (*to->suffix) return x; /* of a group: its matrices */
        fault(el, r->node, 407, "`.T` needs two dimensions");
        fault_label(el, "this is %s", file_type(el, x));
        fault_throw(el);
    }
    case REF_SLICE: return sliced(el, r, resolve(el, l, r->base, to));
    case REF_CONCAT: {
        const FileTensor **x = NEW_ARRAY(el->arena, const FileTensor *, r->n);
        for (int i = 0; i < r->n; i++) x[i] = resolve(el, l, r->part[i], to);
        return joined(el, x, r->n, r->axis, r->node);
    }
    }
    return NULL;
}

static bool has_shape(const FileTensor *t, const Type *want) {
    bool same = t->rank == want->rank;
    for (int i = 0; same && i < t->rank; i++) same = size_is(want->dim[i], t->dim[i]);
    return same;
}

/* Does it hold numbers of 4 bits as they are stored, two in a byte? */
static bool is_packed(Elab *el, const FileTensor *t, const Type *want) {
    Type packed = type_packed(el->program->sizes, want);
    return dtype_is_nibble(want->dtype) && t->dtype == DT_U8 && has_shape(t, &packed);
}

/* The elements as those of another type, which holds each: between floats they are rounded or widened, whatever else must be
 * the same number. The place of the first that is not goes to `bad`, and NULL is returned. */
static const void *converted(Elab *el, const FileTensor *t, const Type *want, int64_t *bad) {
    bool same_type = t->dtype == want->dtype || is_packed(el, t, want);
    if (same_type && t->bytes && (uintptr_t)t->data % (uintptr_t)dtype_bytes(t->dtype) == 0) return t->data; /* in the file */
    unsigned char *data = arena_alloc(el->arena, t->bytes + 16);
    if (t->bytes) memcpy(data, t->data, t->bytes);
    if (same_type) return data;
    int64_t count = elements(t, 0, t->rank);
    bool from_float = dtype_is_float(t->dtype), to_float = dtype_is_float(want->dtype);
    Tensor *from = tensor_from_bytes(el->arena, t->dtype, 1, &count, data);
    Tensor *to = tensor_new(el->arena, want->dtype, t->rank, t->dim); /* of the shape wanted */
    for (int64_t i = 0; i < count; i++) {
        bool same = true;
        if (from_float && to_float) {
            to->f[i] = from->f[i];
        } else if (to_float) {
            to->f[i] = round_float(want->dtype, (double)from->i[i]);
            same = fabs(to->f[i]) < 0x1p63 && (int64_t)to->f[i] == from->i[i];
        } else {
            int64_t whole = 0;
            if (from_float) same = fabs(from->f[i]) < 0x1p63 && from->f[i] == floor(from->f[i]);
            if (same) whole = from_float ? (int64_t)from->f[i] : from->i[i];
            to->i[i] = wrap_int(want->dtype, (uint64_t)whole);
            same = same && to->i[i] == whole;
        }
        if (same) continue;
        *bad = i;
        return NULL;
    }
    void *out = arena_alloc(el->arena, (size_t)type_fixed_bytes(want) + 16);
    tensor_to_bytes(to, out);
    return out;
}

/* The element at a place, as text. */
static const char *element_text(Elab *el, const FileTensor *t, int64_t place) {
    int64_t one = 1;
    unsigned char data[16] = {0};
    memcpy(data, t->data + place * dtype_bytes(t->dtype), (size_t)dtype_bytes(t->dtype));
    Tensor *x = tensor_from_bytes(el->arena, t->dtype, 1, &one, data);
    return dtype_is_float(t->dtype) ? number_text(el->arena, x->f[0]) : arena_printf(el->arena, "%lld", (long long)x->i[0]);
}

static void misfit(Elab *el, const Loading *l, const char *name, const FileTensor *t, const SlotInfo *s) {
    fault(el, l->file_node, 707, "\"%s\" does not fit %s", name, s->path);
    if (!l->file_node) fault_fact(el, "in:    %s", l->file.name);
    fault_fact(el, "file:  %s", file_type(el, t));
    fault_fact(el, "model: %s", typev_text(el, &s->type));
}

static bool is_range(const FileTensor *t) {
    static const char *const end[] = {".input.range", ".pooled.range"};
    bool named = false;
    for (int i = 0; i < 2; i++) {
        size_t n = strlen(t->name), k = strlen(end[i]);
        named |= n > k && !strcmp(t->name + n - k, end[i]);
    }
    return named && t->dtype == DT_F32 && t->rank == 1 && t->dim[0] == 2;
}

/* The range that the file calls `name`, if it is there, as that of `path`. */
static void find_range(Elab *el, const Loading *l, const char *name, const char *path) {
    float range[2];
    const FileTensor *t = weights_find(&l->file, range_path(el->arena, name));
    if (!t || !is_range(t) || !t->data) return;
    memcpy(range, t->data, sizeof range);
    PUSH(el->arena, el->ranges, ((Observed){.path = path, .lo = range[0], .hi = range[1], .method = "trained"}));
}

/* What flowed into products with weight s, which the file calls `name`, and into sums in front of them, when it was trained to be quantized. */
static void find_ranges(Elab *el, const Loading *l, const char *name, const SlotInfo *s) {
    Arena *a = el->program->arena;
    find_range(el, l, observed_path(el->arena, name), observed_path(a, s->path));
    find_range(el, l, pooled_path(el->arena, name), pooled_path(a, s->path));
}

static void store(Elab *el, const Loading *l, const char *name, const FileTensor *t, SlotInfo *s) {
    const Type *want = &s->type.type;
    bool packed = is_packed(el, t, want), same = packed || has_shape(t, want),
         turned = t->rank == 2 && want->rank == 2 && size_is(want->dim[0], t->dim[1]) && size_is(want->dim[1], t->dim[0]);
    bool types = packed || t->dtype == want->dtype || (dtype_is_float(t->dtype) && dtype_is_float(want->dtype)) ||
                 (dtype_is_nibble(want->dtype) && (t->dtype == DT_I8 || t->dtype == DT_U8));
    types = types || (l->converts && t->dtype == l->dtype);
    if (!same || !types) {
        misfit(el, l, name, t, s);
        if (!same && turned) fault_help(el, "the file stores the transpose: use f[\"...\"].T");
        if (same && l->st && t->dtype != DT_U32) fault_help(el, "convert it: load ... , dtype = %s;", dtype_name(t->dtype));
        fault_throw(el);
    }
    need_data(el, l);
    int64_t bad = 0;
    s->data = converted(el, t, want, &bad);
    if (s->data) {
        find_ranges(el, l, name, s);
        return;
    }
    misfit(el, l, name, t, s);
    fault_fact(el, "element %lld is %s, which %s does not hold", (long long)bad, element_text(el, t, bad),
               dtype_text(&s->type));
    fault_throw(el);
}

static void read_file(Elab *el, Loading *l, const char *path, const char *shown) {
    const char *error;
    WeightStatus status = weights_read(el->arena, path, &l->file, &error);
    for (int i = 0; i < l->file.read.n; i++) program_file(el->program, l->file.read.at[i]);
    if (status == WEIGHTS_OK) return;
    if (status == WEIGHTS_MISSING) {
        fault(el, l->file_node, 708, "cannot find \"%s\"", shown);
        if (l->file_node) fault_label(el, "looked for %s", path);
    } else {
        fault(el, l->file_node, 710, "\"%s\" cannot be loaded: %s", shown, error);
    }
    fault_throw(el);
}

static bool ignored(const Loading *l, const char *name) {
    for (int i = 0; i < l->ignore.n; i++)
        if (!fnmatch(l->ignore.at[i], name, 0)) return true;
    return false;
}

static void bad_option(Elab *el, const Ast *o, const char *must) __attribute__((noreturn));
static void bad_option(Elab *el, const Ast *o, const char *must) {
    fault(el, ast_kid(o, 0), 305, "`%s` must be %s", o->text, must);
    fault_throw(el);
}

static void read_load_options(Elab *el, Loading *l, const Ast *options, Env *env) {
    static const char *const known[] = {"prefix", "ignore", "dtype"};
    for (int i = 0; i < options->n; i++) {
        const Ast *o = ast_kid(options, i), *given = ast_kid(o, 0);
        Names names = {0};
        int which = -1;
        for (int k = 0; k < 3; k++) {
            names_push(el, &names, known[k]);
            if (!strcmp(o->text, known[k])) which = k;
        }
        if (which < 0) {
            fault(el, o, 703, "`load` has no option `%s`", o->text);
            fault_close(el, &names, o->text);
            fault_throw(el);
        }
        if (which == 2) { /* any that a file may have; not all of them are types of tensors yet */
            if (!ast_is(given, AST_DTYPE) || !dtype_parse(given->text, &l->dtype))
                bad_option(el, o, "the type of tensors of the file, such as i64");
            l->converts = true;
            continue;
        }
        Value v = ev(el, given, env);
        if (which == 0) {
            if (v.kind != V_STR) bad_option(el, o, "a string");
            l->prefix = v.text;
            continue;
        }
        if (v.kind != V_LIST) bad_option(el, o, "a list of strings");
        for (int k = 0; k < v.list->item.n; k++) {
            if (v.list->item.at[k].kind != V_STR) bad_option(el, o, "a list of strings");
            PUSH(el->arena, l->ignore, v.list->item.at[k].text);
        }
    }
}

static const char *below_path(const char *path, const char *base) {
    size_t n = strlen(base);
    return path[n] == '.' ? path + n + 1 : path[n] ? path + n : strrchr(path, '.') ? strrchr(path, '.') + 1 : path;
}

/* Names that nothing took: a sign of another network. */
static void surplus(Elab *el, const Loading *l, const bool *taken) {
    const char *first = NULL;
    int count = 0;
    size_t n = strlen(l->prefix);
    for (int i = 0; i < l->file.tensors.n; i++) {
        const char *name = l->file.tensors.at[i].name, *dot = strrchr(name, '.');
        if (taken[i] || strncmp(name, l->prefix, n) || ignored(l, name + n)) continue;
        if (!strcmp(dot ? dot + 1 : name, "num_batches_tracked") || is_range(&l->file.tensors.at[i])) continue;
        if (!count++) first = name;
    }
    if (!count) return;
    fault(el, l->file_node, 709, "%s has %d tensor%s that `%s` has not", l->file.name, count, count == 1 ? "" : "s",
          ast_text(el->arena, ast_kid(l->st, 0)));
    fault_label(el, "%s\"%s\"", count == 1 ? "" : "the first is ", first);
    fault_help(el, "leave them out: load ... , ignore = [\"%s\"];", first + n);
    fault_throw(el);
}

static void load_by_name(Elab *el, Loading *l, const Values *base) {
    bool *taken = NEW_ARRAY(el->arena, bool, l->file.tensors.n + 1);
    LIST(SlotInfo *) slots = {0};
    Names names = {0};
    for (int b = 0; b < base->n; b++) {
        WeightList weights = {0};
        value_weights(el, base->at[b], &weights);
        for (int i = 0; i < weights.n; i++) {
            const char *relative = below_path(weights.at[i]->path, value_path(base->at[b]));
            if (weights.at[i]->kind == SLOT_CACHE || ignored(l, relative)) continue;
            PUSH(el->arena, slots, weight_slot(el, weights.at[i], l->st));
            PUSH(el->arena, names, arena_printf(el->arena, "%s%s", l->prefix, relative));
        }
    }
    l->total = slots.n;
    for (int i = 0; i < slots.n; i++) l->missing += !find_tensor(el, l, names.at[i]);
    for (int i = 0; i < slots.n; i++) {
        const FileTensor *t = find_tensor(el, l, names.at[i]);
        if (!t) no_tensor(el, l, names.at[i], slots.at[i]);
        taken[t - l->file.tensors.at] = true;
        store(el, l, names.at[i], t, slots.at[i]);
    }
    surplus(el, l, taken);
}

static void load_by_block(Elab *el, Loading *l, const Values *base, Env *env) {
    LoadMap *map = NEW(el->arena, LoadMap), *outer = el->load_map;
    Env *inner = env_new(el, env, ENV_BLOCK);
    env_set(el, inner, ast_kid(l->st, 3)->text, (Value){.kind = V_FILE});
    el->load_map = map;
    el->cx.collecting = true;
    exec_block(el, ast_kid(l->st, 4), inner);
    el->cx.collecting = false;
    el->load_map = outer;
    for (int b = 0; b < base->n; b++) {
        WeightList weights = {0};
        value_weights(el, base->at[b], &weights);
        for (int i = 0; i < weights.n; i++) {
            Weight *w = weights.at[i];
            if (w->kind == SLOT_CACHE || ignored(l, below_path(w->path, value_path(base->at[b]))) || ignored(l, w->path))
                continue;
            SlotInfo *s = weight_slot(el, w, l->st);
            bool done = false;
            for (int k = 0; k < map->at.n; k++) done = done || map->at.at[k].slot == s;
            if (done) continue;
            fault(el, l->st, 704, "`%s` is not loaded", s->path);
            fault_label(el, "%s", typev_text(el, &s->type));
            fault_help(el, "assign it in this block, or list it: ignore = [\"%s\"]", s->path);
            fault_throw(el);
        }
    }
    for (int k = 0; k < map->at.n; k++) {
        const Loaded *x = &map->at.at[k];
        store(el, l, arena_printf(el->arena, "%s%s%s", l->prefix, x->ref->name, x->suffix), resolve(el, l, x->ref, x), x->slot);
    }
}

void ev_load(Elab *el, const Ast *st, Env *env) {
    Loading l = {.st = st, .file_node = ast_kid(st, 1), .prefix = "", .block = ast_given(ast_kid(st, 4))};
    Values base = {0};
    select_values(el, ast_kid(st, 0), env, &base);
    Value path = ev(el, l.file_node, env);
    if (path.kind != V_STR) {
        fault(el, l.file_node, 703, "the file of `load` is a string");
        fault_label(el, "this is %s", value_a(el, path));
        fault_throw(el);
    }
    read_load_options(el, &l, ast_kid(st, 2), env);
    const char *here = st->loc.source->path, *slash = strrchr(here, '/');
    const char *full =
        path.text[0] == '/' || !slash ? path.text : arena_printf(el->arena, "%.*s/%s", (int)(slash - here), here, path.text);
    read_file(el, &l, full, path.text);
    if (l.block) load_by_block(el, &l, &base, env);
    else load_by_name(el, &l, &base);
}

/* --load: parameters and states by path, all of them; what else a checkpoint holds (optimizer slots) where it fits. */
void load_option(Elab *el, const char *path) {
    Loading l = {.prefix = ""};
    read_file(el, &l, path, path);
    for (int i = 0; i < el->slots.n; i++) {
        SlotInfo *s = el->slots.at[i];
        if (s->kind == SLOT_CACHE) continue;
        l.total++;
        const FileTensor *t = weights_find(&l.file, s->path);
        if (!t && (s->optimizer || s->range_of)) continue; /* training of codes may begin with floats */
        if (!t) no_tensor(el, &l, s->path, s);
        store(el, &l, s->path, t, s);
    }
    for (int i = 0; i < el->slots.n; i++) el->slots.at[i]->slot->data = el->slots.at[i]->data;
}
