/* size.c -- sizes: normal forms, text and back, ranges, values. */
#include "tests/ir/kit.h"

#include <stdlib.h>
#include <string.h>

static SizeTable *table;
static Arena *arena;

/* What is read as `text` prints as `want`, and that reads back as the same size. */
static void normal(const char *text, const char *want) {
    const char *end;
    Size s = size_parse(table, text, &end);
    if (!kit_check(s && *end == 0, "`%s` does not parse", text)) return;
    kit_check(strcmp(size_text(arena, s), want) == 0, "`%s` prints as `%s`, not `%s`", text, size_text(arena, s), want);
    kit_check(size_parse(table, want, &end) == s, "`%s` is not what `%s` reads as", text, want);
}

static void range(const char *text, int64_t low, int64_t high) {
    int64_t l, h;
    size_range(size_parse(table, text, NULL), &l, &h);
    kit_check(l == low && h == high, "`%s` is in %lld to %lld, not %lld to %lld", text, (long long)l, (long long)h,
              (long long)low, (long long)high);
}

static void refused(const char *text) { kit_check(!size_parse(table, text, NULL), "`%s` parses", text); }

static void normal_forms(void) {
    normal("h", "h");
    normal("4*h + 16*h*h - 1", "16*h**2 + 4*h - 1");
    normal("(h + 1)*(h - 1)", "h**2 - 1");
    normal("h - h", "0");
    normal("1 - h", "-h + 1");
    normal("t*h + h*t", "2*h*t");
    normal("t + h", "h + t");
    normal("(h + t)**2", "h**2 + 2*h*t + t**2");
    normal("floor(h/2)", "floor(h/2)");
    normal("floor((2*h + 4*t + 3)/2)", "h + 2*t + 1");
    normal("floor((h - 1)/2) + 1", "floor((h + 1)/2)");
    normal("floor(floor(h/2)/2)", "floor(h/4)");
    normal("floor((floor(h/2) + 1)/3)", "floor((h + 2)/6)");
    normal("floor((3*h)/2)", "h + floor(h/2)");
    normal("floor((2*h + 1)/4)", "floor(h/2)");
    normal("floor((h*t + h)/h)", "t + 1");
    normal("floor((h*t + t)/h)", "t + floor(t/h)");
    normal("floor(7/2)", "3");
    normal("floor((0 - 7)/2)", "-4");
    normal("floor(small/8)", "0");
    normal("h % 4", "h % 4");
    normal("(5*h + 6) % 4", "(h + 2) % 4");
    normal("(2*h + 1) % 4", "2*(h % 2) + 1");
    normal("(4*h + 6) % 4", "2");
    normal("3*(h % 4)", "3*(h % 4)");
    normal("small % 8", "small");
    normal("floor((h % 4)/2)", "floor((h % 4)/2)");
    normal("min(h, h + 1)", "h");
    normal("max(h, h + 1)", "h + 1");
    normal("min(t, h)", "min(h, t)");
    normal("max(small, 100)", "100");
    normal("min(3, 5) + 2*min(h, t)", "2*min(h, t) + 3");
    normal("h*min(h, t)**2", "h*min(h, t)**2");
}

static void divisions(void) {
    Size q, h = size_parse(table, "h", NULL), one = size_const(table, 1);
    Size square = size_parse(table, "h**2 + 2*h + 1", NULL);
    kit_check(size_divides(square, size_add(h, one), &q) && q == size_add(h, one), "(h + 1)**2 by h + 1");
    kit_check(!size_divides(square, h, &q), "(h + 1)**2 by h");
    kit_check(!size_divides(h, size_const(table, 2), &q), "h by 2");
    kit_check(!size_divides(h, size_const(table, 0), &q), "h by 0");
    kit_check(size_divides(size_const(table, 0), h, &q) && size_is(q, 0), "0 by h");
    kit_check(size_ceildiv(h, size_const(table, 4)) == size_parse(table, "floor((h + 3)/4)", NULL), "ceil(h / 4)");
    Size s = size_parse(table, "floor(h/2)*t + h", NULL);
    kit_check(
        size_is(size_substitute(size_substitute(s, size_name_at(table, 0), size_const(table, 7)), size_name_at(table, 1), one),
                10),
        "substitution");
    Size big = size_const(table, INT64_MAX);
    kit_check(!size_is_static(size_add(big, one)) && size_mul(big, h)->overflow == false &&
                  size_mul(size_mul(big, h), h) != NULL && size_scale(size_mul(big, h), 2)->overflow,
              "overflow");
    kit_check(size_add(size_add(big, one), h)->overflow && size_floordiv(size_add(big, one), h)->overflow, "overflow is kept");
}

static void ranges(void) { /* h in 1..100, t in 0.., small in 0..7 */
    range("h", 1, 100);
    range("4*h - 1", 3, 399);
    range("h*h - h", 0, 9900);
    range("h**3 - 3*h**2 + 3*h", 1 - 30000 + 3, 1000000 - 3 + 300); /* the slope has no provable sign: sound, not tight */
    range("t + 1", 1, SIZE_NO_LIMIT);
    range("h - t", INT64_MIN, 100);
    range("floor(h/8)", 0, 12);
    range("h % 8", 0, 7);
    range("min(h, 8)", 1, 8);
    range("max(h, t)", 1, SIZE_NO_LIMIT);
    range("small**2", 0, 49);
    range("(small - 4)**2", -40, 65);
}

static void at_most_zero(void) {
    kit_check(size_at_most_zero(size_parse(table, "2*floor((h + 7)/8) - floor((h + 3)/4) - 1", NULL)), "windows of one element, 2 apart, in a row");
    kit_check(!size_at_most_zero(size_parse(table, "2*floor((h + 7)/8) - floor((h + 3)/4)", NULL)), "windows of two");
    kit_check(size_at_most_zero(size_parse(table, "floor(t/3) - floor(t/2)", NULL)), "a third, and a half");
    kit_check(!size_at_most_zero(size_parse(table, "floor(t/65537) - floor(t/2)", NULL)), "divisors without a small multiple");
    kit_check(size_at_most_zero(size_parse(table, "1 - h", NULL)) && !size_at_most_zero(size_parse(table, "2 - h", NULL)), "no floors");
}

static void values(void) {
    int64_t x = 0, at[] = {9, 5, 3};
    kit_check(size_eval(size_parse(table, "h**2 - 2*t + floor(h/2) + h % 4 + min(h, t)", NULL), at, &x) &&
                  x == 81 - 10 + 4 + 1 + 5,
              "a value: %lld", (long long)x);
    kit_check(!size_eval(size_floordiv(size_parse(table, "h", NULL), size_parse(table, "t - 5", NULL)), at, &x),
              "division by 0");
    at[0] = INT64_MAX / 2;
    kit_check(!size_eval(size_parse(table, "3*h", NULL), at, &x), "a value beyond 64 bits");
    at[0] = -7;
    kit_check(size_eval(size_parse(table, "floor(h/2)", NULL), at, &x) && x == -4, "floor of a negative");
    kit_check(size_eval(size_parse(table, "h % 4", NULL), at, &x) && x == 1, "remainder of a negative");
}

/* Normal forms have the value of what was written: random expressions. */
static void random_values(void) {
    uint64_t random = 3;
    static const char *const ATOM[] = {"h", "t", "small", "2", "3", "5"};
    for (int round = 0; round < 2000; round++) {
        Size stack[3];
        int64_t value[3], x = 0;
        int64_t at[3] = {1 + (int64_t)kit_uniform(&random, 0, 20), (int64_t)kit_uniform(&random, 0, 20),
                         (int64_t)kit_uniform(&random, 0, 8)};
        for (int k = 0; k < 3; k++) {
            int which = (int)kit_uniform(&random, 0, 6);
            stack[k] = size_parse(table, ATOM[which], NULL);
            value[k] = which < 3 ? at[which] : atoi(ATOM[which]);
        }
        for (int step = 0; step < 6; step++) {
            int a = (int)kit_uniform(&random, 0, 3), b = (int)kit_uniform(&random, 0, 3), to = (int)kit_uniform(&random, 0, 3);
            int64_t c = 2 + (int64_t)kit_uniform(&random, 0, 6), va = value[a], vb = value[b];
            if (llabs(va) > 100000 || llabs(vb) > 100000) break;
            switch ((int)kit_uniform(&random, 0, 7)) {
            case 0: stack[to] = size_add(stack[a], stack[b]), value[to] = va + vb; break;
            case 1: stack[to] = size_sub(stack[a], stack[b]), value[to] = va - vb; break;
            case 2: stack[to] = size_mul(stack[a], stack[b]), value[to] = va * vb; break;
            case 3: stack[to] = size_floordiv(stack[a], size_const(table, c)), value[to] = (va - ((va % c) + c) % c) / c; break;
            case 4: stack[to] = size_mod(stack[a], size_const(table, c)), value[to] = ((va % c) + c) % c; break;
            case 5: stack[to] = size_min(stack[a], stack[b]), value[to] = va < vb ? va : vb; break;
            default: stack[to] = size_max(stack[a], stack[b]), value[to] = va > vb ? va : vb; break;
            }
        }
        for (int k = 0; k < 3; k++) {
            int64_t low, high;
            const char *text = size_text(arena, stack[k]);
            kit_check(size_eval(stack[k], at, &x) && x == value[k], "%s at %lld %lld %lld is %lld, not %lld", text,
                      (long long)at[0], (long long)at[1], (long long)at[2], (long long)x, (long long)value[k]);
            size_range(stack[k], &low, &high);
            kit_check(low <= x && x <= high, "%s is %lld, outside of its range %lld to %lld", text, (long long)x,
                      (long long)low, (long long)high);
            kit_check(x <= 0 || !size_at_most_zero(stack[k]), "%s is %lld, so it is not at most 0", text, (long long)x);
            kit_check(size_parse(table, text, NULL) == stack[k], "%s does not read back", text);
        }
    }
}

int main(void) {
    arena = arena_new();
    table = size_table_new(arena);
    size_declare(table, "h", 1, 100);
    size_declare(table, "t", 0, SIZE_NO_LIMIT);
    size_declare(table, "small", 0, 7);
    normal_forms();
    divisions();
    ranges();
    at_most_zero();
    values();
    random_values();
    refused("");
    refused("x");
    refused("h +");
    refused("floor(h)");
    refused("(h");
    refused("9223372036854775808");
    arena_free(arena);
    return kit_end();
}
