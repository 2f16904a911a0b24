/* coverage.c -- every row of ops.def has inference, meaning, and a derivative or the reason why there is none; rows are well
 * formed. */
#include "tests/ir/kit.h"
#include "tests/seen.h"

#include <string.h>

int main(void) {
    for (int k = 0; k < OP_COUNT; k++) {
        Op op = (Op)k, back = OP_COUNT;
        const OpRow *row = op_row(op);
        kit_check(op_eval(op) != NULL, "%s has no meaning", row->name);
        kit_check((op_grad(op) != NULL) != (op_no_grad_reason(op) != NULL), "%s: a derivative %s", row->name,
                  op_grad(op) ? "and a reason why not" : "or a reason is missing");
        kit_check(op_parse(row->name, &back) && back == op, "the name %s is not its own", row->name);
        kit_check(row->help && *row->help, "%s has no help", row->name);
        kit_check(row->class != CLASS_LEAF || row->n_in == 0, "the leaf %s has operands", row->name);
    }
    const char *path = getenv("SEEN");
    FILE *f = path ? fopen(path, "a") : NULL;
    for (int k = 0; f && k < OP_COUNT; k++) {
        const OpRow *row = op_row((Op)k);
        fprintf(f, "row %s\n", row->name);
        if (row->class == CLASS_LEAF) fprintf(f, "leaf %s\n", row->name);
        if (op_no_grad_reason((Op)k)) fprintf(f, "reason %s %s\n", row->name, op_no_grad_reason((Op)k));
    }
    if (f) fclose(f);
    Op op;
    kit_check(!op_parse("no such op", &op), "a name that is none");
    return kit_end();
}
