/* blas.c -- see blas.h. The library is told to use one thread, its caller's, before each product: the number is one for all the process. */
#include "codegen/cpu/blas.h"

#include "ir/diag.h"

/* Of cblas.h. */
enum { ROW_MAJOR = 101, COLUMN_MAJOR = 102, AS_IT_IS = 111, TURNED = 112 };

enum { SIZE_M, SIZE_N, SIZE_K, SIZE_LINE, SIZE_ROW_A = 6, SIZE_ROW_OUT, SIZE_BEGIN, SIZE_BATCH = 11, BATCH_SIZES = 4 };

typedef LLVMValueRef V;

typedef struct Blas {
    const BlasForm *form;
    LLVMModuleRef m;
    LLVMBuilderRef b;
    LLVMTypeRef i32, i64, f32, ptr, none;
    V fn;
    V matrix[3]; /* where a, b and the result begin */
} Blas;

static V number(const Blas *x, int64_t v) { return LLVMConstInt(x->i64, (unsigned long long)v, true); }

static V element(const Blas *x, LLVMTypeRef type, unsigned parameter, int i) {
    V at = number(x, i);
    return LLVMBuildLoad2(x->b, type, LLVMBuildInBoundsGEP2(x->b, type, LLVMGetParam(x->fn, parameter), &at, 1, ""), "");
}

static V size(const Blas *x, int i) { return element(x, x->i64, 1, i); }
static V narrow(const Blas *x, V v) { return LLVMBuildTrunc(x->b, v, x->i32, ""); }

static V moved(const Blas *x, V pointer, V elements) {
    return LLVMBuildInBoundsGEP2(x->b, x->f32, pointer, &elements, 1, "");
}

static V function(const Blas *x, const char *name, LLVMTypeRef type) {
    V fn = LLVMGetNamedFunction(x->m, name);
    return fn ? fn : LLVMAddFunction(x->m, name, type);
}

static V code(const Blas *x, int v) { return LLVMConstInt(x->i32, (unsigned)v, false); }

/* One product of m rows. */
static void sgemm(const Blas *x, V m, const V *at) {
    LLVMTypeRef t[14] = {x->i32, x->i32, x->i32, x->i32, x->i32, x->i32, x->f32, x->ptr, x->i32, x->ptr, x->i32, x->f32, x->ptr, x->i32};
    LLVMTypeRef threads = LLVMFunctionType(x->none, t, 1, false), type = LLVMFunctionType(x->none, t, 14, false);
    V one = code(x, 1);
    LLVMBuildCall2(x->b, threads, function(x, "openblas_set_num_threads", threads), &one, 1, "");
    V arg[14] = {code(x, x->form->rows ? ROW_MAJOR : COLUMN_MAJOR),
                 code(x, x->form->turned[0] ? TURNED : AS_IT_IS),
                 code(x, x->form->turned[1] ? TURNED : AS_IT_IS),
                 narrow(x, m),
                 narrow(x, size(x, SIZE_N)),
                 narrow(x, size(x, SIZE_K)),
                 LLVMConstReal(x->f32, 1),
                 at[0],
                 narrow(x, size(x, SIZE_LINE)),
                 at[1],
                 narrow(x, size(x, SIZE_LINE + 1)),
                 LLVMConstReal(x->f32, 0),
                 at[2],
                 narrow(x, size(x, SIZE_LINE + 2))};
    LLVMBuildCall2(x->b, type, function(x, "cblas_sgemm", type), arg, 14, "");
}

/* Rows p0 * BLAS_ROWS to p1 * BLAS_ROWS, as far as there are rows. */
static void some_rows(const Blas *x, V p0, V p1) {
    V first = LLVMBuildMul(x->b, p0, number(x, BLAS_ROWS), ""), end = LLVMBuildMul(x->b, p1, number(x, BLAS_ROWS), "");
    V m = size(x, SIZE_M);
    end = LLVMBuildSelect(x->b, LLVMBuildICmp(x->b, LLVMIntSLT, end, m, ""), end, m, "");
    V at[3] = {moved(x, x->matrix[0], LLVMBuildMul(x->b, first, size(x, SIZE_ROW_A), "")), x->matrix[1],
               moved(x, x->matrix[2], LLVMBuildMul(x->b, first, size(x, SIZE_ROW_OUT), ""))};
    sgemm(x, LLVMBuildSub(x->b, end, first, ""), at);
}

/* Product number p. */
static void one_batch(const Blas *x, V p) {
    V at[3] = {x->matrix[0], x->matrix[1], x->matrix[2]};
    for (int q = x->form->batches - 1; q >= 0; q--) {
        int from = SIZE_BATCH + q * BATCH_SIZES;
        V n = size(x, from), index = q ? LLVMBuildSRem(x->b, p, n, "") : p;
        if (q) p = LLVMBuildSDiv(x->b, p, n, "");
        for (int i = 0; i < 3; i++) at[i] = moved(x, at[i], LLVMBuildMul(x->b, index, size(x, from + 1 + i), ""));
    }
    sgemm(x, size(x, SIZE_M), at);
}

static void all_batches(const Blas *x, LLVMContextRef c, LLVMBasicBlockRef entry, LLVMBasicBlockRef end, V p0, V p1) {
    LLVMBasicBlockRef loop = LLVMAppendBasicBlockInContext(c, x->fn, "loop");
    LLVMBuildBr(x->b, loop);
    LLVMPositionBuilderAtEnd(x->b, loop);
    V p = LLVMBuildPhi(x->b, x->i64, "");
    one_batch(x, p);
    V next = LLVMBuildAdd(x->b, p, number(x, 1), "");
    LLVMAddIncoming(p, (V[]){p0, next}, (LLVMBasicBlockRef[]){entry, loop}, 2);
    LLVMBuildCondBr(x->b, LLVMBuildICmp(x->b, LLVMIntSLT, next, p1, ""), loop, end);
}

void blas_lower(const BlasForm *form, LLVMModuleRef m, const char *name) {
    LLVMContextRef c = LLVMGetModuleContext(m);
    Blas x = {.form = form,
              .m = m,
              .b = LLVMCreateBuilderInContext(c),
              .i32 = LLVMInt32TypeInContext(c),
              .i64 = LLVMInt64TypeInContext(c),
              .f32 = LLVMFloatTypeInContext(c),
              .ptr = LLVMPointerTypeInContext(c, 0),
              .none = LLVMVoidTypeInContext(c)};
    if (form->batches > BLAS_BATCHES) bug("%d axes of batches", form->batches);
    LLVMTypeRef types[5] = {x.ptr, x.ptr, x.ptr, x.i64, x.i64};
    x.fn = LLVMAddFunction(m, name, LLVMFunctionType(x.none, types, 5, false));
    LLVMSetVisibility(x.fn, LLVMHiddenVisibility);
    LLVMBasicBlockRef entry = LLVMAppendBasicBlockInContext(c, x.fn, "entry"), work = LLVMAppendBasicBlockInContext(c, x.fn, "work");
    LLVMBasicBlockRef end = LLVMAppendBasicBlockInContext(c, x.fn, "end");
    LLVMPositionBuilderAtEnd(x.b, entry);
    V p0 = LLVMGetParam(x.fn, 3), p1 = LLVMGetParam(x.fn, 4);
    LLVMBuildCondBr(x.b, LLVMBuildICmp(x.b, LLVMIntSLT, p0, p1, ""), work, end);
    LLVMPositionBuilderAtEnd(x.b, work);
    for (int i = 0; i < 3; i++) x.matrix[i] = moved(&x, element(&x, x.ptr, 0, i), size(&x, SIZE_BEGIN + i));
    if (form->batches) {
        all_batches(&x, c, work, end, p0, p1);
    } else {
        some_rows(&x, p0, p1);
        LLVMBuildBr(x.b, end);
    }
    LLVMPositionBuilderAtEnd(x.b, end);
    LLVMBuildRetVoid(x.b);
    LLVMDisposeBuilder(x.b);
}
