/* infer.c -- what every op refuses: operands and attributes that do not fit, one fault each, with what is said about it. */
#include "tests/ir/kit.h"
#include "tests/seen.h"

#include <string.h>

typedef struct Case {
    const char *line, *message;
} Case;

/* Values at hand: %x f32[n, 3]  %v f32[n]  %s f32[]  %i i32[2]  %p i32[]  %b bool[n, 3]  %q f32[3, 3]  %e f8e4m3[n, 3]  %k i4[2] */
static const Case CASES[] = {
    {"f8e4m3[n, 3] = neg %e", "neg: it does not compute with f8e4m3"},
    {"i4[2] = add %k, %k", "add: it does not compute with i4"},
    {"i4[] = reduce sum %k [0]", "reduce: it does not compute with i4"},
    {"i4[3] = iota axis 0", "iota: it does not make i4"},
    {"f32[n, 3] = exp %b", "exp: not for bool"},
    {"i32[2] = sqrt %i", "sqrt: not for i32"},
    {"f32[n, 3] = not %x", "not: not for f32"},
    {"i32[2] = isnan %i", "isnan: not for i32"},
    {"f32[n, 3] = add %x, %v", "add: operands are f32[n, 3] and f32[n]"},
    {"f32[n, 3] = add %x, %b", "add: operands are f32[n, 3] and bool[n, 3]"},
    {"f32[n, 3] = add %x", "add: 1 operands, 2 are wanted"},
    {"i32[2] = div %i, %i", "div: not for i32"},
    {"i32[2] = pow %i, %i", "pow: not for i32"},
    {"bool[n, 3] = lt %b, %b", "lt: not for bool"},
    {"f32[n, 3] = and %x, %x", "and: not for f32"},
    {"i32[2] = nibble %i, %i", "nibble: not for i32"},
    {"f32[n, 3] = shr %x, %x", "shr: not for f32"},
    {"i32[2] = rescale %i, %i", "rescale: operands are i32[2] and i32[2]"},
    {"f32[n, 3] = where %x, %x, %x", "where: the condition is f32[n, 3]"},
    {"f32[n, 3] = where %b, %x, %b", "where: operands are f32[n, 3] and bool[n, 3]"},
    {"f32[n, 3] = clamp %x, %x, %v", "clamp: operands are f32[n, 3] and f32[n]"},
    {"f32[n, 4] = reshape %x", "reshape: 3*n elements as f32[n, 4]"},
    {"f32[3, n] = permute %x [0, 0]", "permute: axis 0 twice"},
    {"f32[3, n] = permute %x [1]", "permute: 1 axes of rank 2"},
    {"f32[3, n] = permute %x [1, 2]", "permute: axis 2 of rank 2"},
    {"f32[n, 4] = expand %v", "expand: f32[n] to f32[n, 4]"},
    {"f32[] = expand %v", "expand: rank 1 to rank 0"},
    {"f32[n, 1] = slice %x [0:n, 2:1]", "slice: axis 1: 2 to 1 of 3"},
    {"f32[n, 4] = slice %x [0:n, 0:4]", "slice: axis 1: 0 to 4 of 3"},
    {"f32[n, 1] = slice %x [0:n]", "slice: no range of axis 1"},
    {"f32[n, 1] = pad %x [0:0, 0:-2] value 0.0", "pad: negative padding of axis 1"},
    {"f32[n, 3] = concat %x, %v axis 0", "concat: operand 1 has rank 1, not 2"},
    {"f32[n, 3] = concat %x, %q axis 1", "concat: operand 1 is f32[3, 3]"},
    {"f32[n, 3] = concat %x axis 2", "concat: axis 2 of rank 2"},
    {"f32[n, 3] = concat axis 0", "concat: no operands"},
    {"f32[n, 3] = rev %x axis -1", "rev: axis -1 of rank 2"},
    {"f32[n] = diagonal %x", "diagonal: f32[n, 3] is not square"},
    {"f32[n, 1] = slice_at %x, %s axis 1 extent 1", "slice_at: the start is f32[], not an i32 scalar"},
    {"f32[n, 3] = update_at %x, %v, %p axis 1", "update_at: f32[n] into f32[n, 3]"},
    {"f32[n, 3] = gather %x, %x axis 0", "gather: ids are f32"},
    {"f32[n, 3] = gather %x, %i axis 0 flag", "gather: ids are i32[2] along axis 0 of f32[n, 3]"},
    {"f32[2] = gather %s, %i axis 0", "gather: axis 0 of rank 0"},
    {"f32[4, 3] = scatter_add %x, %i axis 0", "scatter_add: v is f32[n, 3], not f32[2, 3]"},
    {"f32[n] = reduce any %x [1]", "reduce: function 4 of f32"},
    {"bool[n] = reduce sum %b [1]", "reduce: function 0 of bool"},
    {"i32[] = reduce argmax %x [0, 1]", "reduce: places along 2 axes"},
    {"f32[n] = reduce sum %x [1, 1]", "reduce: axes are not sorted"},
    {"f32[n] = reduce sum %x [2]", "reduce: axis 2 of rank 2"},
    {"f32[n, n] = contract %x[a b], %q[c d] -> [a d]", "contract: the letter b of operand 0 is alone"},
    {"f32[n, 3] = contract %x[a b], %q[b c] -> [a d]", "contract: the letter d of the result is in no operand"},
    {"f32[n] = contract %x[a b], %q[a b] -> [a]", "contract: the letter a is n and 3"},
    {"f32[3] = contract %q[a a], %q[a b] -> [b]", "contract: the letter a is twice in operand 0"},
    {"f32[n, 3] = contract %x[a b], %b[a b] -> [a b]", "contract: operands are f32 and bool"},
    {"f32[] = cumsum %s axis 0", "cumsum: axis 0 of rank 0"},
    {"i32[] = sort_ids %s", "sort_ids: a scalar"},
    {"i32[n, 4] = topk_ids %x extent 4", "topk_ids: 4 of 3"},
    {"i32[] = categorical %i site 1", "categorical: weights are i32[2]"},
    {"f32[2] = random uniform %s site 1", "random: 1 operands, 2 or 3 are wanted"},
    {"f32[2] = random bernoulli %s site 1", "random: draws of function 2 as f32"},
    {"f32[2] = random normal %p, %s site 1", "random: parameter 0 is i32[]"},
    {"f32[2] = random normal %s, %s, %s site 1", "random: the step of the scan is no whole scalar"},
    {"i32[3] = iota axis 1", "iota: axis 1 of rank 1"},
    {"f32[2] = get %x 0", "get: `neg` has one result"},
    {"(f32[]) = grad %v, %x", "grad: of f32[n], not a scalar"},
    {"(f32[]) = grad %s", "grad: 1 operands"},
    {"(f32[]) = grad %s, %i", "grad: operand 1 is i32[2]"},
    {"f32[2, 2, 2, 2, 2, 2, 2, 2] = expand %g", "expand: f32[3, 3] to f32[2, 2, 2, 2, 2, 2, 2, 2]"},
    {"(f32[]) = call \"f\" %s {\n %a: f32[] = arg 0\n %b: f32[] = arg 1\n results %b\n }", "call: 1 operands, the body has 2 arguments"},
    {"(f32[]) = call \"f\" %v {\n %a: f32[] = arg 0\n results %a\n }", "call: argument 0 of the body is f32[], its operand is f32[n]"},
    {"(f32[]) = scan %s counts 0 1 0 0 extent n {\n %t: i32[] = arg 0\n %c: f32[] = arg 1\n %d: f32[1] = reshape %c\n results %d\n }",
     "scan: carry 0 is f32[] and becomes f32[1]"},
    {"(f32[]) = scan %v counts 0 0 1 0 extent 3 {\n %t: i32[] = arg 0\n %c: f32[] = arg 1\n }", "scan: operand 0 is f32[n], the scan has 3 steps"},
    {"(f32[]) = scan %s counts 0 1 0 0 extent n {\n %t: f32[] = arg 0\n %c: f32[] = arg 1\n results %c\n }",
     "scan: argument 0 of the body is f32[], the step is i32[]"},
    {"(f32[]) = scan %s counts 1 1 0 0 extent n {\n %t: i32[] = arg 0\n %c: f32[] = arg 1\n results %c\n }",
     "scan: 1 operands for 1 invariants, 1 carries, 0 sequences"},
    {"(f32[]) = custom %s, %v {\n %dy: f32[] = arg 0\n %v: f32[n] = arg 1\n results %dy\n }", "custom: the gradient of operand 1 is f32[]"},
    {"(f32[n], f32[]) = custom %v, %s values 2 {\n %d: f32[n] = arg 0\n %e: f32[] = arg 1\n results %d\n }", "custom: 1 gradients for 0 operands"},
    {"(f32[n], f32[]) = custom %v values 2 {\n %d: f32[n] = arg 0\n }", "custom: 1 operands, 2 of them values, the body has 1 arguments"},
};

int main(void) {
    bool seen[OP_COUNT] = {false};
    for (size_t k = 0; k < sizeof CASES / sizeof *CASES; k++) {
        Arena *a = arena_new();
        const char *text = arena_printf(a,
                                        "program p\nsize n in 1..8\nentry f[n](x: f32[n, 3]) -> ()\n %%0: f32[n, 3] = input 0 x\n"
                                        " %%x: f32[n, 3] = neg %%0\n %%v: f32[n] = const 1.0\n %%s: f32[] = const 1.0\n"
                                        " %%i: i32[2] = const 1\n %%p: i32[] = const 1\n %%b: bool[n, 3] = const true\n"
                                        " %%q: f32[3, 3] = const 1.0\n %%g: f32[3, 3] = neg %%q\n %%e: f8e4m3[n, 3] = cast %%x\n %%k: i4[2] = cast %%i\n %%y: %s\n",
                                        CASES[k].line);
        const char *error = kit_parse_error(a, text), *want = arena_printf(a, "error[E0901]: %s", CASES[k].message);
        kit_check(error && strcmp(error, want) == 0, "%s: %s", CASES[k].line, error ? error : "it is taken");
        char name[40];
        Op op;
        if (sscanf(strchr(CASES[k].line, '=') + 1, " %39s", name) == 1 && op_parse(name, &op)) seen[op] = true;
        arena_free(a);
    }
    seen_write("shape", seen);
    return kit_end();
}
