/* type.c -- the table of dtypes. */
#include "ir/type.h"

#include <stddef.h>
#include <string.h>

static const struct {
    const char *name;
    int bytes, code, bits;
    char kind;
} ROW[DT_COUNT] = {
#define X(e, name, bytes, code, bits, kind) {name, bytes, code, bits, kind},
    DTYPES(X)
#undef X
};

const char *dtype_name(DType d) { return ROW[d].name; }
int dtype_bytes(DType d) { return ROW[d].bytes; }
int dtype_code(DType d) { return ROW[d].code; }
int dtype_bits(DType d) { return ROW[d].bits; }
char dtype_kind(DType d) { return ROW[d].kind; }

bool dtype_parse(const char *name, DType *d) {
    for (int i = 0; i < DT_COUNT; i++) {
        if (strcmp(ROW[i].name, name) != 0) continue;
        *d = (DType)i;
        return true;
    }
    return false;
}
