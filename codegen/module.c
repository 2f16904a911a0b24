/* module.c -- constants, declarations and sizes in LLVM IR. Everything made here is private or hidden, and named by what it
 * holds, so that the same program gives the same module. */
#include "codegen/module.h"

#include "ir/diag.h"

#include <llvm-c/Target.h>
#include <string.h>

Module *module_new(Arena *arena, LLVMModuleRef module) {
    Module *m = NEW(arena, Module);
    m->arena = arena;
    m->module = module;
    m->context = LLVMGetModuleContext(module);
    m->ptr = LLVMPointerTypeInContext(m->context, 0);
    m->nothing = LLVMVoidTypeInContext(m->context);
    m->i1 = LLVMInt1TypeInContext(m->context);
    m->i8 = LLVMInt8TypeInContext(m->context);
    m->i16 = LLVMInt16TypeInContext(m->context);
    m->i32 = LLVMInt32TypeInContext(m->context);
    m->i64 = LLVMInt64TypeInContext(m->context);
    m->pointer_bytes = (int)LLVMPointerSize(LLVMGetModuleDataLayout(module));
    m->word = m->pointer_bytes == 8 ? m->i64 : m->i32;
    return m;
}

LLVMValueRef module_i32(const Module *m, int64_t value) {
    return LLVMConstInt(m->i32, (unsigned long long)value, true);
}
LLVMValueRef module_i64(const Module *m, int64_t value) {
    return LLVMConstInt(m->i64, (unsigned long long)value, true);
}
LLVMValueRef module_null(const Module *m) {
    return LLVMConstPointerNull(m->ptr);
}

LLVMValueRef module_constant(Module *m, LLVMValueRef value) {
    LLVMValueRef global = LLVMAddGlobal(m->module, LLVMTypeOf(value), "");
    LLVMSetInitializer(global, value);
    LLVMSetGlobalConstant(global, true);
    LLVMSetLinkage(global, LLVMPrivateLinkage);
    LLVMSetUnnamedAddress(global, LLVMGlobalUnnamedAddr);
    return global;
}

static uint32_t text_hash(const char *text) {
    uint32_t h = 2166136261u;
    for (; *text; text++) h = (h ^ (unsigned char)*text) * 16777619u;
    return h;
}

/* The place of a text in the table: its own, or the free one where it belongs. */
static ModuleText *text_place(ModuleText *table, int cap, const char *text) {
    uint32_t at = text_hash(text) & (uint32_t)(cap - 1);
    while (table[at].text && strcmp(table[at].text, text)) at = (at + 1) & (uint32_t)(cap - 1);
    return &table[at];
}

static void texts_grow(Module *m) {
    int cap = m->cap_texts ? 2 * m->cap_texts : 256;
    ModuleText *table = NEW_ARRAY(m->arena, ModuleText, cap);
    for (int i = 0; i < m->cap_texts; i++) {
        if (m->texts[i].text) *text_place(table, cap, m->texts[i].text) = m->texts[i];
    }
    m->texts = table;
    m->cap_texts = cap;
}

LLVMValueRef module_text(Module *m, const char *text) {
    if (!text) return module_null(m);
    if (2 * m->n_texts >= m->cap_texts) texts_grow(m);
    ModuleText *place = text_place(m->texts, m->cap_texts, text);
    if (!place->text) {
        place->text = arena_copy(m->arena, text, strlen(text));
        place->global = module_constant(m, LLVMConstStringInContext2(m->context, text, strlen(text), false));
        LLVMSetAlignment(place->global, 1);
        m->n_texts++;
    }
    return place->global;
}

LLVMValueRef module_struct(const Module *m, int n, LLVMValueRef *fields) {
    return LLVMConstStructInContext(m->context, fields, (unsigned)n, false);
}

LLVMValueRef module_array(Module *m, LLVMTypeRef element, int n, LLVMValueRef *values) {
    return n ? module_constant(m, LLVMConstArray2(element, values, (uint64_t)n)) : module_null(m);
}

LLVMValueRef module_external(Module *m, const char *name) {
    LLVMValueRef global = LLVMGetNamedGlobal(m->module, name);
    if (!global) {
        global = LLVMAddGlobal(m->module, m->i8, name);
        LLVMSetVisibility(global, LLVMHiddenVisibility);
    }
    return global;
}

LLVMValueRef module_function(Module *m, const char *name, LLVMTypeRef type) {
    LLVMValueRef function = LLVMGetNamedFunction(m->module, name);
    if (!function) {
        function = LLVMAddFunction(m->module, name, type);
        LLVMSetVisibility(function, LLVMHiddenVisibility);
        module_attribute(m, function, "nounwind");
    }
    return function;
}

LLVMTypeRef module_type(const Module *m, LLVMTypeRef result, int n, const LLVMTypeRef *arguments) {
    (void)m;
    return LLVMFunctionType(result, (LLVMTypeRef *)arguments, (unsigned)n, false);
}

LLVMValueRef module_call(const Module *m, LLVMBuilderRef b, LLVMValueRef function, int n, LLVMValueRef *arguments) {
    (void)m;
    return LLVMBuildCall2(b, LLVMGlobalGetValueType(function), function, arguments, (unsigned)n, "");
}

void module_attribute(const Module *m, LLVMValueRef function, const char *name) {
    unsigned kind = LLVMGetEnumAttributeKindForName(name, strlen(name));
    if (!kind) bug("LLVM has no attribute %s", name);
    LLVMAddAttributeAtIndex(function, (LLVMAttributeIndex)LLVMAttributeFunctionIndex,
                            LLVMCreateEnumAttribute(m->context, kind, 0));
}

/* ---- sizes in code ------------------------------------------------------------------------------------------------------- */

SizeCode *size_code_new(Module *m, LLVMBuilderRef b, LLVMValueRef sizes, const SizeTable *table, bool checked) {
    SizeCode *c = NEW(m->arena, SizeCode);
    c->m = m;
    c->b = b;
    c->sizes = sizes;
    c->checked = checked;
    c->names = NEW_ARRAY(m->arena, LLVMValueRef, size_names(table));
    return c;
}

/* x op y with the overflow noted. intrinsic: llvm.sadd or llvm.smul. */
static LLVMValueRef checked_binary(SizeCode *c, const char *intrinsic, LLVMValueRef x, LLVMValueRef y) {
    unsigned id = LLVMLookupIntrinsicID(intrinsic, strlen(intrinsic));
    LLVMTypeRef types[] = {c->m->i64};
    LLVMValueRef function = LLVMGetIntrinsicDeclaration(c->m->module, id, types, 1);
    LLVMValueRef arguments[] = {x, y};
    LLVMValueRef both = module_call(c->m, c->b, function, 2, arguments);
    LLVMValueRef overflow = LLVMBuildExtractValue(c->b, both, 1, "");
    c->overflow = c->overflow ? LLVMBuildOr(c->b, c->overflow, overflow, "") : overflow;
    return LLVMBuildExtractValue(c->b, both, 0, "");
}

static LLVMValueRef size_code_mul(SizeCode *c, LLVMValueRef x, LLVMValueRef y) {
    if (c->checked && !(LLVMIsConstant(x) && LLVMIsConstant(y))) return checked_binary(c, "llvm.smul.with.overflow", x, y);
    return LLVMBuildMul(c->b, x, y, "");
}

LLVMValueRef size_code_add(SizeCode *c, LLVMValueRef x, LLVMValueRef y) {
    if (c->checked && !(LLVMIsConstant(x) && LLVMIsConstant(y))) return checked_binary(c, "llvm.sadd.with.overflow", x, y);
    return LLVMBuildAdd(c->b, x, y, "");
}

LLVMValueRef size_code_max(SizeCode *c, LLVMValueRef x, LLVMValueRef y) {
    return LLVMBuildSelect(c->b, LLVMBuildICmp(c->b, LLVMIntSGT, x, y, ""), x, y, "");
}

/* floor(x / y) or x - floor(x / y) * y; a divisor 0 (only in a call that is refused) does not trap. */
static LLVMValueRef floor_division(SizeCode *c, LLVMValueRef x, LLVMValueRef y, bool remainder) {
    LLVMBuilderRef b = c->b;
    LLVMValueRef zero = module_i64(c->m, 0);
    LLVMValueRef d = LLVMBuildSelect(b, LLVMBuildICmp(b, LLVMIntEQ, y, zero, ""), module_i64(c->m, 1), y, "");
    LLVMValueRef q = LLVMBuildSDiv(b, x, d, "");
    LLVMValueRef r = LLVMBuildSub(b, x, LLVMBuildMul(b, q, d, ""), "");
    LLVMValueRef rest = LLVMBuildICmp(b, LLVMIntNE, r, zero, "");
    LLVMValueRef signs = LLVMBuildICmp(b, LLVMIntSLT, LLVMBuildXor(b, r, d, ""), zero, "");
    LLVMValueRef below = LLVMBuildAnd(b, rest, signs, "");
    if (remainder) return LLVMBuildSelect(b, below, LLVMBuildAdd(b, r, d, ""), r, "");
    return LLVMBuildSub(b, q, LLVMBuildZExt(b, below, c->m->i64, ""), "");
}

static LLVMValueRef name_code(SizeCode *c, const SizeName *name) {
    LLVMValueRef *value = &c->names[name->index];
    if (!*value) {
        LLVMValueRef index[] = {module_i64(c->m, name->index)};
        LLVMValueRef at = LLVMBuildInBoundsGEP2(c->b, c->m->i64, c->sizes, index, 1, "");
        *value = LLVMBuildLoad2(c->b, c->m->i64, at, name->name);
    }
    return *value;
}

static LLVMValueRef atom_code(SizeCode *c, const Atom *atom) {
    if (atom->kind == ATOM_NAME) return name_code(c, atom->name);
    LLVMValueRef x = size_code(c, atom->a), y = size_code(c, atom->b);
    switch (atom->kind) {
    case ATOM_FLOORDIV: return floor_division(c, x, y, false);
    case ATOM_MOD: return floor_division(c, x, y, true);
    case ATOM_MIN: return LLVMBuildSelect(c->b, LLVMBuildICmp(c->b, LLVMIntSLT, x, y, ""), x, y, "");
    case ATOM_MAX: return size_code_max(c, x, y);
    case ATOM_NAME: break;
    }
    bug("atom of kind %d", (int)atom->kind);
}

LLVMValueRef size_code(SizeCode *c, Size s) {
    if (size_is_static(s)) return module_i64(c->m, size_value(s));
    for (int i = 0; i < c->known.n; i++) {
        if (c->known.at[i] == s) return c->values.at[i];
    }
    LLVMValueRef sum = NULL;
    for (int i = 0; i < s->n; i++) {
        const Monomial *term = &s->term[i];
        LLVMValueRef product = NULL;
        for (int k = 0; k < term->n; k++) {
            LLVMValueRef factor = atom_code(c, term->factor[k]);
            product = product ? size_code_mul(c, product, factor) : factor;
        }
        if (term->coefficient != 1) product = size_code_mul(c, product, module_i64(c->m, term->coefficient));
        sum = sum ? size_code_add(c, sum, product) : product;
    }
    if (s->constant) sum = size_code_add(c, sum, module_i64(c->m, s->constant));
    PUSH(c->m->arena, c->known, s);
    PUSH(c->m->arena, c->values, sum);
    return sum;
}
