/* elaborate_arith.c -- operators: on numbers (computed now), on sizes (polynomials), on tensors (nodes).
 *
 * Numbers take the type of the tensor they meet. Of two tensors, one already has the shape of the result; the other may lack
 * leading axes or have literal 1s (LANGUAGE.md 5.3). A number made of run-time sizes that is no polynomial (sqrt(t), t * 0.5)
 * is a weak tensor: an f32 scalar that behaves as a number. */
#include "frontend/elab.h"

#include <math.h>
#include <string.h>

bool dims_equal(int n, const Size *a, int m, const Size *b) {
    if (n != m) return false;
    for (int i = 0; i < n; i++)
        if (a[i] != b[i]) return false;
    return true;
}

/* May a[n] be stretched to b[m]? */
bool dims_fit(int n, const Size *a, int m, const Size *b) {
    if (n > m) return false;
    for (int i = 0; i < n; i++)
        if (a[i] != b[m - n + i] && !size_is(a[i], 1)) return false;
    return true;
}

double number_value(Value v) {
    return v.kind == V_INT ? (double)v.whole : v.number;
}

/* ---- numbers and tensors as nodes */

Node *scalar_of(Elab *el, Value v, DType d) {
    switch (v.kind) {
    case V_INT: return dtype_is_float(d) ? emit_scalar(el, d, (double)v.whole) : emit_whole(el, type_scalar(d), v.whole);
    case V_NUM: return emit_scalar(el, d, v.number);
    case V_BOOL: return emit_whole(el, type_scalar(DT_BOOL), v.truth);
    case V_SIZE: return emit_size(el, v.size, d);
    default: return emit_cast(el, v.node, d);
    }
}

Node *operand(Elab *el, Value v, const Type *want) {
    if (v.kind == V_INT && !dtype_is_float(want->dtype)) return emit_whole(el, *want, v.whole);
    if (v.kind == V_INT) return emit_const(el, *want, (double)v.whole);
    if (v.kind == V_NUM) return emit_const(el, *want, v.number);
    if (v.kind == V_BOOL) return emit_whole(el, *want, v.truth);
    return emit_expand(el, scalar_of(el, v, want->dtype), want->rank, want->dim);
}

static Value weak(Node *n) {
    return (Value){.kind = V_TENSOR, .weak = true, .policy = true, .node = n};
}

static const char *parens(Elab *el, const Ast *n) {
    bool simple =
        ast_is(n, AST_NAME) || ast_is(n, AST_CALL) || ast_is(n, AST_INDEX) || ast_is(n, AST_DOT) || ast_is(n, AST_PAREN);
    return simple ? ast_text(el->arena, n) : arena_printf(el->arena, "(%s)", ast_text(el->arena, n));
}

/* ---- the common type and shape of several operands */

static const char *whole_limits(DType d, int64_t *low, int64_t *high) {
    int bits = dtype_bits(d);
    bool is_unsigned = dtype_kind(d) == 'u';
    *low = is_unsigned ? 0 : bits == 64 ? INT64_MIN : -((int64_t)1 << (bits - 1));
    *high = bits == 64 ? INT64_MAX : ((int64_t)1 << (is_unsigned ? bits : bits - 1)) - 1;
    return dtype_name(d);
}

static void number_meets(Elab *el, Value number, const Ast *number_node, Value tensor, const Ast *tensor_node,
                         const Ast *where) {
    const char *name = ast_text(el->arena, tensor_node);
    DType d = tensor_dtype(tensor);
    if (d == DT_BOOL) {
        fault(el, where, 203, "bool is not a number");
        fault_label(el, "%s is %s", name, tensor_text(el, tensor));
        fault_help(el, "convert first: cast(%s, float)", name);
        fault_throw(el);
    }
    if (dtype_is_float(d)) return;
    if (number.kind == V_NUM || number.kind == V_TENSOR) {
        fault(el, where, 203, "%s and the fraction %s do not mix", dtype_name(d),
              number.kind == V_NUM ? value_text(el, number) : ast_text(el->arena, number_node));
        fault_label(el, "%s is %s", name, tensor_text(el, tensor));
        fault_help(el, "convert first: cast(%s, float)", name);
        fault_throw(el);
    }
    int64_t low, high;
    whole_limits(d, &low, &high);
    if (number.kind == V_INT && (number.whole < low || number.whole > high)) {
        fault(el, where, 203, "%lld does not fit in %s", (long long)number.whole, dtype_name(d));
        fault_label(el, "%s is %s", name, tensor_text(el, tensor));
        fault_throw(el);
    }
}

Common common_type(Elab *el, const Ast *where, int count, const Value *v, const Ast *const *n) {
    Common c = {float_type(el).type.dtype, float_type(el).policy, false};
    int first = -1;
    for (int i = 0; i < count; i++) {
        if (!is_strong(v[i])) continue;
        DType d = tensor_dtype(v[i]);
        if (first < 0) {
            first = i;
            c = (Common){d, v[i].policy, true};
        } else if (tensor_checked(v[i]) != type_checked(c.dtype, c.policy)) {
            fault(el, where, 203, "%s and %s do not mix", c.policy ? "float" : dtype_name(c.dtype),
                  v[i].policy ? "float" : dtype_name(d));
            fault_fact(el, "left:  %s", tensor_text(el, v[first]));
            fault_fact(el, "right: %s", tensor_text(el, v[i]));
            fault_help(el, "convert one: cast(%s, %s) or cast(%s, %s)", ast_text(el->arena, n[i]),
                       c.policy ? "float" : dtype_name(c.dtype), ast_text(el->arena, n[first]),
                       v[i].policy ? "float" : dtype_name(d));
            fault_throw(el);
        } else {
            c.policy = c.policy && v[i].policy;
            if (d != c.dtype) c.dtype = DT_F32; /* `float` widens */
        }
    }
    if (first >= 0)
        for (int i = 0; i < count; i++)
            if (is_numeric(v[i])) number_meets(el, v[i], n[i], v[first], n[first], where);
    return c;
}

void hint_broadcast(Elab *el, int na, const Size *a, int nb, const Size *b, const Ast *an, const Ast *bn) {
    const Ast *longer = nb == na + 1 ? bn : na == nb + 1 ? an : NULL;
    const Size *big = longer == bn ? b : a, *small = longer == bn ? a : b;
    int n = na < nb ? na : nb;
    if (!longer || !dims_equal(n, small, n, big) || !size_is(big[n], 1)) return;
    const char *colons = "";
    for (int i = 0; i < n; i++) colons = arena_printf(el->arena, "%s%s:", colons, i ? ", " : "");
    fault_help(el, "drop the extra dimension of size 1: %s[%s, 0]", parens(el, longer), colons);
}

static void shapes_differ(Elab *el, const Ast *where, const char *op, Value a, Value b, const Ast *an, const Ast *bn)
    __attribute__((noreturn));
static void shapes_differ(Elab *el, const Ast *where, const char *op, Value a, Value b, const Ast *an, const Ast *bn) {
    const Type *x = tensor_type(a), *y = tensor_type(b);
    fault(el, where, 301, "shapes do not fit `%s`", op);
    fault_fact(el, "left:  %s", tensor_text(el, a));
    fault_fact(el, "right: %s", tensor_text(el, b));
    int rank = x->rank > y->rank ? x->rank : y->rank, bad = 0;
    for (int i = 1; i <= rank && !bad; i++) {
        if (i > x->rank || i > y->rank) continue;
        Size p = x->dim[x->rank - i], q = y->dim[y->rank - i];
        if (p != q && !size_is(p, 1) && !size_is(q, 1)) bad = i;
    }
    if (bad) {
        fault_fact(el, "they differ in dimension %d: %s and %s", -bad, size_text(el->arena, x->dim[x->rank - bad]),
                   size_text(el->arena, y->dim[y->rank - bad]));
        if (x->rank == 2 && y->rank == 2 && x->dim[0] == y->dim[1] && x->dim[1] == y->dim[0])
            fault_help(el, "did you mean %s.T?", ast_text(el->arena, bn));
    } else {
        fault_fact(el, "both sides would have to be stretched; only one side may be");
        hint_broadcast(el, x->rank, x->dim, y->rank, y->dim, an, bn);
        if (!el->fault.helps.n) fault_help(el, "make one side explicit with rearrange or expand");
    }
    fault_throw(el);
}

/* The shape of the operand that all others stretch to. */
void common_shape(Elab *el, const Ast *where, const char *name, int count, const Value *v, const Ast *const *n, Type *shape) {
    int big = -1;
    for (int i = 0; i < count; i++)
        if (v[i].kind == V_TENSOR &&
            (big < 0 || dims_fit(tensor_rank(v[big]), tensor_type(v[big])->dim, tensor_rank(v[i]), tensor_type(v[i])->dim)))
            big = i;
    shape->rank = big < 0 ? 0 : tensor_rank(v[big]);
    if (big < 0) return;
    memcpy(shape->dim, tensor_type(v[big])->dim, sizeof shape->dim);
    for (int i = 0; i < count; i++) {
        if (v[i].kind != V_TENSOR || dims_fit(tensor_rank(v[i]), tensor_type(v[i])->dim, shape->rank, shape->dim)) continue;
        int a = i < big ? i : big, b = i < big ? big : i;
        shapes_differ(el, where, name, v[a], v[b], n[a], n[b]);
    }
}

/* ---- sizes */

bool require_ge(Elab *el, Size a, Size b, const char *text) {
    int64_t low, high;
    size_range(size_sub(a, b), &low, &high);
    if (low >= 0) return true;
    if (high < 0) return false;
    Node *x = emit_size(el, a, DT_I64), *y = emit_size(el, b, DT_I64);
    emit_check(el, emit2(el, OP_GE, x, y), text);
    return true;
}

void require_divides(Elab *el, Size a, Size b, const char *text) {
    Size rest = size_mod(a, b);
    if (size_is(rest, 0)) return;
    Node *x = emit_size(el, rest, DT_I64), *zero = emit_whole(el, type_scalar(DT_I64), 0);
    emit_check(el, emit2(el, OP_EQ, x, zero), text);
}

/* a < b and so on of whole numbers, at least one known at run time only: known if the ranges decide it. */
Value size_compare(Elab *el, const char *op, Value a, Value b) {
    Size x = value_as_size(el, a), y = value_as_size(el, b);
    int64_t low, high;
    size_range(size_sub(x, y), &low, &high);
    bool above = low > 0, at_least = low >= 0, below = high < 0, at_most = high <= 0, same = x == y;
    static const struct {
        const char *name;
        Op node;
    } rows[] = {{"<", OP_LT}, {"<=", OP_LE}, {">", OP_GT}, {">=", OP_GE}, {"==", OP_EQ}, {"!=", OP_NE}};
    const bool is_true[] = {below, at_most, above, at_least, same, above || below};
    const bool is_false[] = {at_least, above, at_most, below, above || below, same};
    for (int i = 0; i < 6; i++) {
        if (strcmp(rows[i].name, op)) continue;
        if (is_true[i] || is_false[i]) return value_bool(is_true[i]);
        Node *left = emit_size(el, x, DT_I64), *right = emit_size(el, y, DT_I64);
        return value_tensor(emit2(el, rows[i].node, left, right), false);
    }
    bug("`%s` is no comparison", op);
}

static Value checked_size(Elab *el, const Ast *n, Size s) {
    if (s->overflow) {
        fault(el, n, 415, "this size does not fit in 64 bits");
        fault_throw(el);
    }
    return value_size(s);
}

static Value size_power(Elab *el, const Ast *n, Size base, int64_t exponent) {
    Size s = emit_size_const(el, 1);
    if (exponent < 0 || exponent > 64) {
        fault(el, n, 411, "`**` on a dimension needs an exponent from 0 to 64");
        fault_throw(el);
    }
    for (int64_t i = 0; i < exponent; i++) s = size_mul(s, base);
    return checked_size(el, n, s);
}

static Value exact_division(Elab *el, const Ast *n, Value a, Value b) {
    const char *written = ast_text(el->arena, n);
    Size x = value_as_size(el, a), y = value_as_size(el, b), q;
    if (!size_is(y, 0) && size_divides(x, y, &q)) return checked_size(el, n, q);
    if (a.kind == V_INT && b.kind == V_INT) {
        fault(el, n, 413, "%s / %s is not a whole number", value_text(el, a), value_text(el, b));
        fault_label(el, "%s", written);
        if (b.whole) {
            fault_help(el, "integers divide exactly; for rounding write floor(%s) or ceil(%s)", written, written);
            fault_help(el, "for a fraction write %s.0 / %s", value_text(el, a), value_text(el, b));
        }
        fault_throw(el);
    }
    if (el->cx.g)
        require_divides(
            el, x, y, arena_printf(el->arena, "%s must be divisible by %s", size_text(el->arena, x), size_text(el->arena, y)));
    return checked_size(el, n, size_floordiv(x, y));
}

/* ---- numbers */

static void refuse_overflow(Elab *el, const Ast *n, bool overflow) {
    if (!overflow) return;
    fault(el, n, 415, "the result does not fit in 64 bits");
    fault_throw(el);
}

static Value int_arith(Elab *el, const Ast *n, const char *op, int64_t a, int64_t b) {
    int64_t r = 0;
    bool power = !strcmp(op, "**");
    if (op[0] == '+') refuse_overflow(el, n, __builtin_add_overflow(a, b, &r));
    if (op[0] == '-') refuse_overflow(el, n, __builtin_sub_overflow(a, b, &r));
    if (op[0] == '*' && !power) refuse_overflow(el, n, __builtin_mul_overflow(a, b, &r));
    if (op[0] == '%') {
        if (b == 0) {
            fault(el, n, 413, "%% by 0");
            fault_throw(el);
        }
        r = b == -1 ? 0 : a % b;
        if (r != 0 && (r < 0) != (b < 0)) r += b; /* the sign of b */
    }
    if (power) {
        if (b < 0) return value_num(pow((double)a, (double)b));
        if (a == -1) return value_int(b % 2 ? -1 : 1);
        if (a == 0 || a == 1) return value_int(b == 0 ? 1 : a);
        r = 1;
        for (int64_t i = 0; i < b; i++) refuse_overflow(el, n, __builtin_mul_overflow(r, a, &r));
    }
    return value_int(r);
}

static double float_arith(const char *op, double a, double b) {
    switch (op[0]) {
    case '+': return a + b;
    case '-': return a - b;
    case '/': return a / b;
    case '%': return a - floor(a / b) * b;
    default: return op[1] == '*' ? pow(a, b) : a * b;
    }
}

static bool is_comparison(const char *op) {
    return strchr("<>=!", op[0]) != NULL;
}

static bool compare_doubles(const char *op, double a, double b) {
    if (!strcmp(op, "==")) return a == b;
    if (!strcmp(op, "!=")) return a != b;
    if (!strcmp(op, "<")) return a < b;
    if (!strcmp(op, "<=")) return a <= b;
    if (!strcmp(op, ">")) return a > b;
    return a >= b;
}

static Op node_op(const char *op) {
    static const struct {
        const char *name;
        Op op;
    } rows[] = {{"+", OP_ADD}, {"-", OP_SUB}, {"*", OP_MUL}, {"/", OP_DIV}, {"%", OP_MOD}, {"**", OP_POW}, {"==", OP_EQ},
                {"!=", OP_NE}, {"<", OP_LT},  {"<=", OP_LE}, {">", OP_GT},  {">=", OP_GE}, {"&&", OP_AND}, {"||", OP_OR}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (!strcmp(rows[i].name, op)) return rows[i].op;
    bug("`%s` is no operator", op);
}

static Value number_binary(Elab *el, const Ast *n, const char *op, Value a, Value b, const Ast *an, const Ast *bn) {
    if (!is_numeric(a) || !is_numeric(b)) {
        bool first = !is_numeric(a);
        Value bad = first ? a : b;
        fault(el, first ? an : bn, 411, "`%s` cannot take %s", op, value_a(el, bad));
        fault_label(el, "this is %s", value_a(el, bad));
        if (is_callable(bad)) fault_help(el, "call it first: `f(x)`");
        fault_throw(el);
    }
    bool known = a.kind != V_SIZE && b.kind != V_SIZE && a.kind != V_TENSOR && b.kind != V_TENSOR;
    if (known && is_comparison(op)) return value_bool(compare_doubles(op, number_value(a), number_value(b)));
    if (is_size(a) && is_size(b) && !known && is_comparison(op)) return size_compare(el, op, a, b);
    if (a.kind == V_INT && b.kind == V_INT && op[0] != '/') return int_arith(el, n, op, a.whole, b.whole);
    if (is_size(a) && is_size(b)) {
        Size x = value_as_size(el, a), y = value_as_size(el, b);
        switch (op[0]) {
        case '+': return checked_size(el, n, size_add(x, y));
        case '-': return checked_size(el, n, size_sub(x, y));
        case '/': return exact_division(el, n, a, b);
        case '%': return checked_size(el, n, size_mod(x, y));
        case '*':
            if (op[1] != '*') return checked_size(el, n, size_mul(x, y));
            if (b.kind == V_INT) return size_power(el, n, x, b.whole);
            break;
        default: break;
        }
    }
    if (known) return value_num(float_arith(op, number_value(a), number_value(b)));
    Node *x = scalar_of(el, a, DT_F32), *y = scalar_of(el, b, DT_F32), *r = emit2(el, node_op(op), x, y);
    return is_comparison(op) ? value_tensor(r, false) : weak(r);
}

Value number_map(Elab *el, Value v, const Ast *n, Op op) {
    if (v.kind == V_SIZE || v.kind == V_TENSOR) return weak(emit1(el, op, scalar_of(el, v, DT_F32)));
    double x = number_value(v);
    (void)n;
    switch (op) {
    case OP_EXP: return value_num(exp(x));
    case OP_EXPM1: return value_num(expm1(x));
    case OP_LOG: return value_num(log(x));
    case OP_LOG1P: return value_num(log1p(x));
    case OP_SQRT: return value_num(sqrt(x));
    case OP_RSQRT: return value_num(1.0 / sqrt(x));
    case OP_SIN: return value_num(sin(x));
    case OP_COS: return value_num(cos(x));
    case OP_TANH: return value_num(tanh(x));
    case OP_ERF: return value_num(erf(x));
    case OP_SIGMOID: return value_num(1.0 / (1.0 + exp(-x)));
    default: bug("number_map of `%s`", op_row(op)->name);
    }
}

/* ---- tensors */

/* x ** n by repeated multiplication; x ** -n is 1 / x ** n. */
static Node *whole_power(Elab *el, Node *x, int64_t n) {
    int64_t left = n < 0 ? -n : n;
    Node *result = NULL, *square = x;
    for (; left; left >>= 1) {
        if (left & 1) result = result ? emit2(el, OP_MUL, result, square) : square;
        if (left > 1) square = emit2(el, OP_MUL, square, square);
    }
    if (!result) return dtype_is_float(x->type.dtype) ? emit_const(el, x->type, 1) : emit_whole(el, x->type, 1);
    if (n > 0) return result;
    Node *one = emit_const(el, x->type, 1);
    return emit2(el, OP_DIV, one, result);
}

static Value logic(Elab *el, const Ast *n, const char *op, Value a, Value b, const Ast *an, const Ast *bn) {
    const Value v[] = {a, b};
    const Ast *const nodes[] = {an, bn};
    for (int i = 0; i < 2; i++) {
        if (v[i].kind == V_BOOL || (is_strong(v[i]) && tensor_dtype(v[i]) == DT_BOOL)) continue;
        fault(el, nodes[i], 411, "`%s` needs bool", op);
        fault_label(el, "this is %s", v[i].kind == V_TENSOR ? tensor_text(el, v[i]) : value_a(el, v[i]));
        fault_throw(el);
    }
    Type t = {.dtype = DT_BOOL};
    common_shape(el, n, op, 2, v, nodes, &t);
    Node *x = operand(el, a, &t), *y = operand(el, b, &t);
    return value_tensor(emit2(el, node_op(op), x, y), false);
}

static Value matmul(Elab *el, const Ast *n, Value a, Value b, const Ast *an, const Ast *bn) {
    Value v[] = {a, b};
    const Ast *const nodes[] = {an, bn};
    for (int i = 0; i < 2; i++) {
        if (is_strong(v[i]) && tensor_rank(v[i]) > 0) continue;
        fault(el, nodes[i], 411, "`@` needs tensors with at least one dimension");
        fault_label(el, "this is %s", v[i].kind == V_TENSOR ? tensor_text(el, v[i]) : value_a(el, v[i]));
        fault_throw(el);
    }
    Common c = common_type(el, n, 2, v, nodes);
    const Type *x = tensor_type(a), *y = tensor_type(b);
    const char *left = ast_text(el->arena, an), *right = ast_text(el->arena, bn);
    if (x->rank == 1) {
        fault(el, n, 301, "a vector on the left of `@`");
        fault_fact(el, "left:  %s", tensor_text(el, a));
        fault_fact(el, "right: %s", tensor_text(el, b));
        fault_help(el, "write sum(%s * %s) for two vectors, or einsum", left, right);
        fault_throw(el);
    }
    Size kx = x->dim[x->rank - 1], ky = y->rank > 1 ? y->dim[y->rank - 2] : y->dim[0];
    if (kx != ky) {
        fault(el, n, 301, "shapes do not fit `@`");
        fault_fact(el, "left:  %s", tensor_text(el, a));
        fault_fact(el, "right: %s", tensor_text(el, b));
        fault_fact(el, "the last dimension of the left side is %s, the %s of the right side is %s", size_text(el->arena, kx),
                   y->rank > 1 ? "second to last" : "only", size_text(el->arena, ky));
        if (y->rank > 1 && kx == y->dim[y->rank - 1]) fault_help(el, "did you mean %s @ %s.T?", left, right);
        else if (x->dim[x->rank - 2] == ky) fault_help(el, "did you mean %s.T @ %s?", left, right);
        fault_throw(el);
    }
    /* labels: leading axes a.., then m k, k n; an axis of size 1 that the other side stretches is dropped */
    int bx = x->rank - 2, by = y->rank > 1 ? y->rank - 2 : 0, lead = bx > by ? bx : by;
    bool x_fits = dims_fit(bx, x->dim, by, y->dim), y_fits = dims_fit(by, y->dim, bx, x->dim);
    if (!x_fits && !y_fits) {
        fault(el, n, 301, "the leading dimensions of `@` do not fit");
        fault_fact(el, "left:  %s", tensor_text(el, a));
        fault_fact(el, "right: %s", tensor_text(el, b));
        fault_throw(el);
    }
    const Type *side[] = {x, y};
    const int leading[] = {bx, by};
    char label[2][MAX_RANK + 1] = {"", ""}, out[MAX_RANK + 1] = "";
    Node *node[2];
    for (int s = 0; s < 2; s++) {
        Size dim[MAX_RANK];
        int rank = 0;
        for (int i = 0; i < side[s]->rank; i++) {
            bool is_lead = i < leading[s];
            int place = lead - leading[s] + i, other = place - (lead - leading[1 - s]);
            bool stretched = is_lead && size_is(side[s]->dim[i], 1) && other >= 0 && !size_is(side[1 - s]->dim[other], 1);
            if (stretched) continue;
            char letter = is_lead        ? (char)('a' + place)
                          : s == 0       ? "mk"[i - leading[0]]
                          : y->rank == 1 ? 'k'
                                         : "kn"[i - leading[1]];
            label[s][rank] = letter;
            label[s][rank + 1] = 0;
            dim[rank++] = side[s]->dim[i];
        }
        node[s] = emit_reshape(el, emit_cast(el, v[s].node, c.dtype), rank, dim);
    }
    for (int i = 0; i < lead; i++) out[i] = (char)('a' + i);
    out[lead] = 'm';
    out[lead + 1] = y->rank > 1 ? 'n' : 0;
    out[lead + 2 < MAX_RANK + 1 ? lead + 2 : MAX_RANK] = 0;
    return value_tensor(emit_contract(el, node[0], node[1], label[0], label[1], out), c.policy);
}

static Value elementwise(Elab *el, const Ast *n, const char *op, Value a, Value b, const Ast *an, const Ast *bn) {
    const Value v[] = {a, b};
    const Ast *const nodes[] = {an, bn};
    if (op[0] == '&' || op[0] == '|') return logic(el, n, op, a, b, an, bn);
    bool compares = is_comparison(op);
    for (int i = 0; i < 2; i++) {
        if (is_numeric(v[i]) || v[i].kind == V_TENSOR || (compares && v[i].kind == V_BOOL)) continue;
        fault(el, nodes[i], 411, "`%s` cannot take %s", op, value_a(el, v[i]));
        fault_label(el, "this is %s", value_a(el, v[i]));
        if (is_callable(v[i])) fault_help(el, "call it first: `f(x)`");
        fault_throw(el);
    }
    bool both_bool = true;
    for (int i = 0; i < 2; i++)
        both_bool = both_bool && (v[i].kind == V_BOOL || (is_strong(v[i]) && tensor_dtype(v[i]) == DT_BOOL));
    Type t = {.dtype = DT_BOOL};
    Common c = {DT_BOOL, false, true};
    if (!(both_bool && (op[0] == '=' || op[0] == '!'))) {
        c = common_type(el, n, 2, v, nodes);
        t.dtype = c.dtype;
        if (c.dtype == DT_BOOL) {
            fault(el, n, 203, "`%s` on bool", op);
            fault_help(el, "use && and ||, or cast(x, float)");
            fault_throw(el);
        }
    }
    if (op[0] == '/' && dtype_is_int(c.dtype)) {
        fault(el, n, 203, "`/` on integer tensors");
        fault_label(el, "both sides are %s", dtype_name(c.dtype));
        fault_help(el, "use floor(a / b) on cast values, or cast(x, float)");
        fault_throw(el);
    }
    common_shape(el, n, op, 2, v, nodes, &t);
    if (!strcmp(op, "**")) {
        bool whole = b.kind == V_INT || (b.kind == V_NUM && b.number == floor(b.number) && fabs(b.number) <= 64);
        int64_t exponent = b.kind == V_INT ? b.whole : whole ? (int64_t)b.number : 0;
        if (dtype_is_int(c.dtype) && (b.kind != V_INT || exponent < 0)) {
            fault(el, n, 203, "`**` on integer tensors needs a constant exponent of 0 or more");
            fault_throw(el);
        }
        if (whole && exponent >= -64 && exponent <= 64) {
            Node *x = operand(el, a, &t);
            return value_tensor(whole_power(el, x, exponent), c.policy);
        }
    }
    Node *x = operand(el, a, &t), *y = operand(el, b, &t);
    return value_tensor(emit2(el, node_op(op), x, y), compares ? false : c.policy);
}

Value arith_binary(Elab *el, const Ast *n, const char *op, Value a, Value b, const Ast *an, const Ast *bn) {
    at(el, n);
    bool equality = !strcmp(op, "==") || !strcmp(op, "!=");
    if (a.kind == V_POISON || b.kind == V_POISON) fault_silent(el);
    if (a.kind == V_NONE || b.kind == V_NONE) {
        if (equality) return value_bool((a.kind == b.kind) == (op[0] == '='));
        const Ast *x = a.kind == V_NONE ? an : bn;
        const char *text = ast_text(el->arena, x);
        fault(el, x, 412, "`%s` is none here", text);
        fault_label(el, "an optional argument that was not given");
        fault_help(el, "test it first: if %s != none { ... }", text);
        fault_throw(el);
    }
    if (a.kind != V_TENSOR && b.kind != V_TENSOR) {
        bool numbers = is_number(a) && is_number(b);
        if (equality && !numbers) return value_bool(value_same(a, b) == (op[0] == '='));
        if (op[0] == '&' || op[0] == '|') {
            if (a.kind == V_BOOL && b.kind == V_BOOL) return value_bool(op[0] == '&' ? a.truth && b.truth : a.truth || b.truth);
            return logic(el, n, op, a, b, an, bn);
        }
        if (op[0] == '@') return matmul(el, n, a, b, an, bn);
        return number_binary(el, n, op, a, b, an, bn);
    }
    if (op[0] == '@') return matmul(el, n, a, b, an, bn);
    if (is_numeric(a) && is_numeric(b)) return number_binary(el, n, op, a, b, an, bn);
    return elementwise(el, n, op, a, b, an, bn);
}

Value arith_unary(Elab *el, const Ast *n, const char *op, Value v) {
    at(el, n);
    if (v.kind == V_POISON) fault_silent(el);
    if (op[0] == '!') {
        if (v.kind == V_BOOL) return value_bool(!v.truth);
        if (is_strong(v) && tensor_dtype(v) == DT_BOOL) return value_tensor(emit1(el, OP_NOT, v.node), false);
        fault(el, n, 411, "`!` needs bool");
        fault_label(el, "this is %s", v.kind == V_TENSOR ? tensor_text(el, v) : value_a(el, v));
        fault_throw(el);
    }
    switch (v.kind) {
    case V_INT: refuse_overflow(el, n, v.whole == INT64_MIN); return value_int(-v.whole);
    case V_NUM: return value_num(-v.number);
    case V_SIZE: return checked_size(el, n, size_scale(v.size, -1));
    default: break;
    }
    if (v.kind == V_TENSOR && tensor_dtype(v) != DT_BOOL) {
        Value r = value_tensor(emit1(el, OP_NEG, v.node), v.policy);
        r.weak = v.weak;
        return r;
    }
    fault(el, n, 411, "`-` needs a number");
    fault_label(el, "this is %s", v.kind == V_TENSOR ? tensor_text(el, v) : value_a(el, v));
    fault_throw(el);
}
