/* type.h -- dtypes. One row each: enum, name in the language and in IR text, bytes, DLPack code, DLPack bits, kind. */
#ifndef IR_TYPE_H
#define IR_TYPE_H
#include <stdbool.h>

/* kind: f float, i signed integer, u unsigned integer, b bool. FLOAT ("the float type that flows here") is resolved to F32 by
 * elaboration before it reaches a graph. i4 and u4 hold bytes = 0: two lie in a
 * byte (type_packed in graph.h). */
#define DTYPES(X)                                                                                                              \
    X(F64, "f64", 8, 2, 64, 'f') X(F32, "f32", 4, 2, 32, 'f') X(F16, "f16", 2, 2, 16, 'f') X(BF16, "bf16", 2, 4, 16, 'f')       \
    X(F8E4M3, "f8e4m3", 1, 10, 8, 'f') X(F8E5M2, "f8e5m2", 1, 12, 8, 'f')                                                       \
    X(I64, "i64", 8, 0, 64, 'i') X(I32, "i32", 4, 0, 32, 'i') X(I16, "i16", 2, 0, 16, 'i') X(I8, "i8", 1, 0, 8, 'i')            \
    X(I4, "i4", 0, 0, 4, 'i') X(U32, "u32", 4, 1, 32, 'u') X(U8, "u8", 1, 1, 8, 'u') X(U4, "u4", 0, 1, 4, 'u') X(BOOL, "bool", 1, 6, 8, 'b')

typedef enum DType {
#define X(e, name, bytes, code, bits, kind) DT_##e,
    DTYPES(X)
#undef X
    DT_COUNT
} DType;

const char *dtype_name(DType d);
int dtype_bytes(DType d);             /* in memory; bool is one byte */
int dtype_code(DType d), dtype_bits(DType d); /* of DLPack; bool has 8 bits */
char dtype_kind(DType d);             /* f i u b */
bool dtype_parse(const char *name, DType *d);
static inline bool dtype_is_float(DType d) { return dtype_kind(d) == 'f'; }
/* Floats that are stored only: their arithmetic is f32's. */
static inline bool dtype_is_narrow(DType d) { return dtype_is_float(d) && dtype_bytes(d) < 4; }
/* Programs cast, load, move and store these, and no more. */
static inline bool dtype_is_kept(DType d) { return d == DT_F8E4M3 || d == DT_F8E5M2 || d == DT_I4 || d == DT_U4; }
static inline bool dtype_is_nibble(DType d) { return d == DT_I4 || d == DT_U4; }
static inline bool dtype_has_gradient(DType d) { return dtype_is_float(d) && !dtype_is_kept(d); }
static inline bool dtype_is_int(DType d) { return dtype_kind(d) == 'i' || dtype_kind(d) == 'u'; }

#endif
