/* eval.c -- the meaning of every op on small cases, corners first: NaN, infinities, wrapping, saturation, ties, empty axes. A
 * case is the text of a graph, its inputs, and what must come out, to the last bit of f32 (nine digits). */
#include "tests/ir/kit.h"
#include "tests/seen.h"

#include "runtime/mdl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct Case {
    const char *name;
    const char *text;   /* "a: T, b: T | lines", the last value is y */
    const char *inputs; /* "1 2 3; 4 5" */
    const char *y;      /* "1 2 3", or the sentence of an error */
    int status;
} Case;

#define ONE(op, type) "x: " type " | %y: " type " = " op " %x\n"
#define TWO(op, type) "a: " type ", b: " type " | %y: " type " = " op " %a, %b\n"
#define TEST(op, type, n) "a: " type ", b: " type " | %y: bool[" n "] = " op " %a, %b\n"

#define CONV(inputs, type, what) inputs " | %y: " type " = conv " what " taps 2 2 "
#define POOL(inputs, type, what) inputs " | %y: " type " = " what " taps 2 2 "

static const Case CASES[] = {
    /* leaves */
    {"const", "| %y: f32[2] = const 0.1\n", "", "0.100000001 0.100000001", 0},
    {"const of u8", "| %y: u8[2] = const 255\n", "", "255 255", 0},
    {"const of bool", "| %y: bool[1] = const true\n", "", "1", 0},
    {"tensor", "| %y: f32[2, 2] = tensor [1.5, -inf, nan, 0.1]\n", "", "1.5 -inf nan 0.100000001", 0},
    {"tensor of f16 in hex",
     "| %y: f16[65] = tensor 0x003c00c0"
     "00000000000000000000000000000000000000000000000000000000000000"
     "00000000000000000000000000000000000000000000000000000000000000"
     "00000000000000000000000000000000000000000000000000000000000000"
     "00000000000000000000000000000000000000000000000000000000000000"
     "007c\n",
     "",
     "1 -2 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 "
     "0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 inf",
     0},
    {"iota", "| %y: i32[2, 3] = iota axis 1\n", "", "0 1 2 0 1 2", 0},
    {"iota of f16 rounds", "| %a: f16[2050] = iota axis 0\n %y: f16[2] = slice %a [2048:2050]\n", "", "2048 2048", 0},
    {"size", "| %y: i64[] = size 4*n - 1\n", "", "11", 0},
    {"size as f32", "| %y: f32[] = size floor(n/2)\n", "", "1", 0},
    /* maps of one operand */
    {"neg", ONE("neg", "f32[4]"), "1 -2 0 nan", "-1 2 -0 nan", 0},
    {"neg of u8 wraps", ONE("neg", "u8[3]"), "1 0 255", "255 0 1", 0},
    {"neg of i32 wraps", ONE("neg", "i32[2]"), "-2147483648 5", "-2147483648 -5", 0},
    {"exp", ONE("exp", "f32[5]"), "0 1 -inf 1000 nan", "1 2.71828175 0 inf nan", 0},
    {"expm1", ONE("expm1", "f32[3]"), "1e-8 -inf 1", "9.99999994e-09 -1 1.71828186", 0},
    {"log", ONE("log", "f32[4]"), "1 0 -1 inf", "0 -inf nan inf", 0},
    {"log1p", ONE("log1p", "f32[4]"), "1e-8 -1 -2 1", "9.99999994e-09 -inf nan 0.693147182", 0},
    {"sqrt", ONE("sqrt", "f32[4]"), "4 2 -1 inf", "2 1.41421354 nan inf", 0},
    {"rsqrt", ONE("rsqrt", "f32[4]"), "4 0 inf -1", "0.5 inf 0 nan", 0},
    {"sin", ONE("sin", "f32[3]"), "0 1 inf", "0 0.841470957 nan", 0},
    {"cos", ONE("cos", "f32[3]"), "0 1 -inf", "1 0.540302277 nan", 0},
    {"tanh", ONE("tanh", "f32[4]"), "0 0.5 inf -100", "0 0.46211717 1 -1", 0},
    {"erf", ONE("erf", "f32[4]"), "0 1 -10 nan", "0 0.842700779 -1 nan", 0},
    {"sigmoid", ONE("sigmoid", "f32[5]"), "0 1 -1000 1000 nan", "0.5 0.731058598 0 1 nan", 0},
    {"abs", ONE("abs", "f32[3]"), "-1.5 2 -inf", "1.5 2 inf", 0},
    {"abs of the smallest", ONE("abs", "i8[3]"), "-128 -127 3", "-128 127 3", 0},
    {"sign", ONE("sign", "f32[5]"), "-3 0 2 nan -inf", "-1 0 1 nan -1", 0},
    {"sign of whole", ONE("sign", "i32[3]"), "-3 0 2", "-1 0 1", 0},
    {"floor", ONE("floor", "f32[3]"), "1.5 -1.5 2", "1 -2 2", 0},
    {"ceil", ONE("ceil", "f32[3]"), "1.5 -1.5 2", "2 -1 2", 0},
    {"round to even", ONE("round", "f32[5]"), "2.5 -1.5 0.5 1.4 nan", "2 -2 0 1 nan", 0},
    {"not", ONE("not", "bool[2]"), "0 1", "1 0", 0},
    {"isnan", "x: f32[3] | %y: bool[3] = isnan %x\n", "nan 0 inf", "1 0 0", 0},
    {"cast to u8 saturates", "x: f32[7] | %y: u8[7] = cast %x\n", "2.7 -2.7 300 -1 nan inf 255.9", "2 0 255 0 0 255 255", 0},
    {"cast to i32 truncates", "x: f32[4] | %y: i32[4] = cast %x\n", "-2.7 2.7 3e9 -inf", "-2 2 2147483647 -2147483648", 0},
    {"cast to i64", "x: f32[2] | %y: i64[2] = cast %x\n", "1e19 -1e19", "9.22337204e+18 -9.22337204e+18", 0},
    {"cast of whole saturates", "x: i32[3] | %y: i8[3] = cast %x\n", "300 -300 7", "127 -128 7", 0},
    {"cast to bool", "x: f32[4] | %y: bool[4] = cast %x\n", "0 -0 nan 0.1", "0 0 1 1", 0},
    {"cast of bool", "x: bool[2] | %y: f32[2] = cast %x\n", "0 1", "0 1", 0},
    {"cast to f16", "x: f32[4] | %y: f16[4] = cast %x\n", "65519 65520 1e-8 0.1", "65504 inf 0 0.0999755859", 0},
    {"cast to bf16", "x: f32[3] | %y: bf16[3] = cast %x\n", "1.00390625 1.01171875 3.4e38", "1 1.015625 inf", 0},
    {"cast to f8e4m3 saturates", "x: f32[4] | %y: f8e4m3[4] = cast %x\n", "1e9 -inf 17 nan", "448 -448 16 nan", 0},
    {"cast to f8e5m2 saturates", "x: f32[5] | %y: f8e5m2[5] = cast %x\n", "1e9 9 -70000 inf 1e-5", "57344 8 -57344 inf 1.52587891e-05", 0},
    {"cast to i4 saturates", "x: f32[6] | %y: i4[6] = cast %x\n", "7.9 8 -8.9 -100 nan -0.9", "7 7 -8 -8 0 0", 0},
    {"cast to u4 saturates", "x: i32[4] | %y: u4[4] = cast %x\n", "-1 15 16 3", "0 15 15 3", 0},
    {"cast of i4", "x: i32[3] | %c: i4[3] = cast %x\n %y: f32[3] = cast %c\n", "-8 7 0", "-8 7 0", 0},
    {"i4 in bytes", "| %y: i4[2, 3] = tensor 0x21037805\n", "", "1 2 3 -8 7 5", 0},
    /* maps of two and three operands */
    {"add", TWO("add", "f32[3]"), "1 inf 16777216; 2 -inf 1", "3 nan 16777216", 0},
    {"add of u8 wraps", TWO("add", "u8[2]"), "200 1; 100 1", "44 2", 0},
    {"sub of i64 wraps",
     "| %a: i64[] = const -9223372036854775808\n %b: i64[] = const 1\n %c: i64[] = sub %a, %b\n"
     "%d: i64[] = const 9223372036854775807\n %y: bool[] = eq %c, %d\n",
     "", "1", 0},
    {"mul of i32 wraps", TWO("mul", "i32[2]"), "65536 3; 65536 -4", "0 -12", 0},
    {"mul", TWO("mul", "f32[3]"), "0 2 1e30; inf 3 1e30", "nan 6 inf", 0},
    {"mulz", TWO("mulz", "f32[4]"), "0 2 -0 nan; inf 3 nan 2", "0 6 0 nan", 0},
    {"div", TWO("div", "f32[4]"), "1 0 1 -1; 3 0 0 0", "0.333333343 nan inf -inf", 0},
    {"mod", TWO("mod", "f32[4]"), "5 -5 5 -5; 3 3 -3 -3", "2 1 -1 -2", 0},
    {"mod by 0", TWO("mod", "f32[1]"), "5; 0", "nan", 0},
    {"mod of whole", TWO("mod", "i32[5]"), "5 -5 5 -5 7; 3 3 -3 -3 -1", "2 1 -1 -2 0", 0},
    {"whole mod by 0", TWO("mod", "i32[2]"), "5 1; 3 0", "remainder by 0", MDL_RANGE},
    {"pow", TWO("pow", "f32[6]"), "2 0 -2 -2 inf 0; 10 0 3 0.5 -1 -1", "1024 1 -8 nan 0 inf", 0},
    {"atan2", TWO("atan2", "f32[6]"), "0 0 1 -1 inf nan; 1 -1 0 -1 -inf 1", "0 3.14159274 1.57079637 -2.3561945 2.3561945 nan", 0},
    {"max", TWO("max", "f32[4]"), "1 nan 1 -inf; 2 1 nan inf", "2 nan nan inf", 0},
    {"min", TWO("min", "f32[4]"), "1 nan 1 -inf; 2 1 nan inf", "1 nan nan -inf", 0},
    {"max of whole", TWO("max", "i32[2]"), "1 5; 2 -6", "2 5", 0},
    {"min of u32", TWO("min", "u32[2]"), "4294967295 5; 1 6", "1 5", 0},
    {"eq", TEST("eq", "f32[4]", "4"), "1 nan 0 2; 1 nan -0 3", "1 0 1 0", 0},
    {"eq of bool", TEST("eq", "bool[2]", "2"), "1 0; 1 1", "1 0", 0},
    {"ne", TEST("ne", "f32[3]", "3"), "1 nan 0; 1 nan 1", "0 1 1", 0},
    {"lt", TEST("lt", "f32[3]", "3"), "1 nan 2; 2 1 2", "1 0 0", 0},
    {"le", TEST("le", "f32[3]", "3"), "1 nan 2; 2 1 2", "1 0 1", 0},
    {"gt", TEST("gt", "i32[3]", "3"), "1 -3 3; 2 -4 3", "0 1 0", 0},
    {"ge", TEST("ge", "f32[3]", "3"), "1 nan 3; 2 nan 3", "0 0 1", 0},
    {"nibble", TWO("nibble", "u8[6]"), "0 171 171 255 16 15; 0 0 1 1 3 2", "0 11 10 15 1 15", 0},
    {"shr", TWO("shr", "i32[4]"), "5 -5 -1 2147483647; 1 1 31 34", "2 -3 -1 536870911", 0},
    {"rescale", "a: i32[8], b: f32[8] | %y: i32[8] = rescale %a, %b\n", "5 -5 7 3 2147483647 -2147483648 1 16777217; 0.5 0.5 0.5 1e-38 1 1e38 nan 1",
     "2 -2 4 0 1073741760 -1073741760 -1073741760 16777216", 0},
    {"and", TWO("and", "bool[4]"), "0 0 1 1; 0 1 0 1", "0 0 0 1", 0},
    {"or", TWO("or", "bool[4]"), "0 0 1 1; 0 1 0 1", "0 1 1 1", 0},
    {"where", "c: bool[2], a: f32[2], b: f32[2] | %y: f32[2] = where %c, %a, %b\n", "1 0; 1 nan; nan 4", "1 4", 0},
    {"clamp", "x: f32[4], l: f32[4], h: f32[4] | %y: f32[4] = clamp %x, %l, %h\n", "-1 5 1 nan; 0 0 3 0; 2 2 2 2", "0 2 2 nan",
     0},
    /* views */
    {"reshape", "x: f32[2, n] | %y: f32[n, 2] = reshape %x\n", "1 2 3 4 5 6", "1 2 3 4 5 6", 0},
    {"reshape that cannot be", "x: f32[n] | %y: f32[floor(n/2), 2] = reshape %x\n", "1 2 3",
     "3 elements do not make f32[floor(n/2), 2]", MDL_RANGE},
    {"permute", "x: i32[2, 3] | %y: i32[3, 2] = permute %x [1, 0]\n", "1 2 3 4 5 6", "1 4 2 5 3 6", 0},
    {"expand", "x: f32[2, 1] | %y: f32[2, 2, 3] = expand %x\n", "1 2", "1 1 1 2 2 2 1 1 1 2 2 2", 0},
    {"slice", "x: f32[2, n] | %y: f32[1, n - 1] = slice %x [1:2, 1:n]\n", "1 2 3 4 5 6", "5 6", 0},
    {"window", "x: f32[5] | %y: f32[2, 2] = window %x axis 0 taps 2 1 stride 2 1 dilation 2 1 before 0 0 groups 0 extent 2\n",
     "1 2 3 4 5", "1 3 3 5", 0},
    {"window beyond the end",
     "x: f32[n] | %y: f32[2, 2] = window %x axis 0 taps 2 1 stride 2 1 dilation 1 1 before 0 0 groups 0 extent 2\n", "1 2 3",
     "2 windows in 3", MDL_RANGE},
    {"conv", CONV("x: f32[1, 1, 2, 3], w: f32[1, 1, 2, 2]", "f32[1, 1, 1, 2]", "y %x, %w") "stride 1 1 dilation 1 1 before 0 0 groups 1\n",
     "1 2 3 4 5 6; 1 2 3 4", "37 47", 0},
    {"conv for x", CONV("d: f32[1, 1, 1, 2], w: f32[1, 1, 2, 2]", "f32[1, 1, 2, 3]", "x %d, %w") "stride 1 1 dilation 1 1 before 0 0 groups 1\n",
     "1 10; 1 2 3 4", "1 12 20 3 34 40", 0},
    {"conv for w", CONV("d: f32[1, 1, 1, 2], x: f32[1, 1, 2, 3]", "f32[1, 1, 2, 2]", "w %d, %x") "stride 1 1 dilation 1 1 before 0 0 groups 1\n",
     "1 10; 1 2 3 4 5 6", "21 32 54 65", 0},
    {"conv in groups",
     "x: f32[1, 2, 2, 2], w: f32[2, 1, 1, 1] | %y: f32[1, 2, 2, 2] = conv y %x, %w taps 1 1 stride 2 2 dilation 1 1 before 1 1 groups 2\n",
     "1 2 3 4 5 6 7 8; 10 100", "0 0 0 40 0 0 0 800", 0},
    {"conv, dilated", CONV("x: f32[1, 1, 3, 3], w: f32[1, 1, 2, 2]", "f32[1, 1, 1, 1]", "y %x, %w") "stride 1 1 dilation 2 2 before 0 0 groups 1\n",
     "1 2 3 4 5 6 7 8 9; 1 10 100 1000", "9731", 0},
    {"window_argmax", POOL("x: f32[1, 1, 2, 3]", "u8[1, 1, 1, 2]", "window_argmax %x") "stride 1 1 dilation 1 1 before 0 0 groups 1\n",
     "1 5 2 nan 5 3", "2 0", 0},
    {"window_argmax, padded", POOL("x: f32[1, 1, 2, 2]", "u8[1, 1, 1, 1]", "window_argmax %x") "stride 2 2 dilation 1 1 before 1 1 groups 1\n",
     "-inf 5 2 3", "3", 0},
    {"window_take", POOL("x: f32[1, 1, 2, 3], p: u8[1, 1, 1, 2]", "f32[1, 1, 1, 2]", "window_take %x, %p") "stride 1 1 dilation 1 1 before 0 0 groups 1\n",
     "1 5 2 nan 5 3; 2 0", "nan 5", 0},
    {"window_put", POOL("v: f32[1, 1, 1, 2], p: u8[1, 1, 1, 2]", "f32[1, 1, 2, 3]", "window_put %v, %p") "stride 1 1 dilation 1 1 before 0 0 groups 1\n",
     "10 20; 1 0", "0 30 0 0 0 0", 0},
    {"pad", "x: f32[1, 2] | %y: f32[2, 4] = pad %x [1:0, 1:1] value -inf\n", "1 2", "-inf -inf -inf -inf -inf 1 2 -inf", 0},
    {"pad of bool", "x: bool[1] | %y: bool[3] = pad %x [1:1] value false\n", "1", "0 1 0", 0},
    {"concat", "a: i32[2, 1], b: i32[2, 2] | %y: i32[2, 3] = concat %a, %b axis 1\n", "1 2; 3 4 5 6", "1 3 4 2 5 6", 0},
    {"concat with nothing", "a: i32[0], b: i32[2] | %y: i32[2] = concat %a, %b axis 0\n", "; 3 4", "3 4", 0},
    {"rev", "x: f32[2, 3] | %y: f32[2, 3] = rev %x axis 1\n", "1 2 3 4 5 6", "3 2 1 6 5 4", 0},
    {"diagonal", "x: f32[2, 2, 2] | %y: f32[2, 2] = diagonal %x\n", "1 2 3 4 5 6 7 8", "1 4 5 8", 0},
    /* run-time places */
    {"slice_at", "x: f32[2, 4], s: i32[] | %y: f32[2, 2] = slice_at %x, %s axis 1 extent 2\n", "1 2 3 4 5 6 7 8; 1", "2 3 6 7",
     0},
    {"slice_at clamps", "x: f32[4], s: i32[] | %y: f32[2] = slice_at %x, %s axis 0 extent 2\n", "1 2 3 4; 9", "3 4", 0},
    {"update_at", "x: f32[2, 3], v: f32[2, 1], s: i32[] | %y: f32[2, 3] = update_at %x, %v, %s axis 1\n", "1 2 3 4 5 6; 7 8; 2",
     "1 2 7 4 5 8", 0},
    {"update_at clamps", "x: f32[3], v: f32[2], s: i32[] | %y: f32[3] = update_at %x, %v, %s axis 0\n", "1 2 3; 7 8; -5",
     "7 8 3", 0},
    {"gather rows", "x: f32[3, 2], ids: i32[2, 2] | %y: f32[2, 2, 2] = gather %x, %ids axis 0\n", "1 2 3 4 5 6; 2 0 1 1",
     "5 6 1 2 3 4 3 4", 0},
    {"gather of a middle axis", "x: f32[2, 2, 2], ids: u8[1] | %y: f32[2, 1, 2] = gather %x, %ids axis 1\n",
     "1 2 3 4 5 6 7 8; 1", "3 4 7 8", 0},
    {"gather along", "x: f32[2, 3], ids: i32[2, 1] | %y: f32[2, 1] = gather %x, %ids axis 1 flag\n", "1 2 3 4 5 6; 2 0", "3 4",
     0},
    {"gather clamps", "x: f32[3], ids: i32[2] | %y: f32[2] = gather %x, %ids axis 0\n", "1 2 3; -7 99", "1 3", 0},
    {"scatter_add", "v: f32[3, 2], ids: i32[3] | %y: f32[2, 2] = scatter_add %v, %ids axis 0\n", "1 2 3 4 5 6; 1 0 1",
     "3 4 6 8", 0},
    {"scatter_add along", "v: i32[2, 3], ids: i32[2, 3] | %y: i32[2, 2] = scatter_add %v, %ids axis 1 flag\n",
     "1 2 3 4 5 6; 0 1 0 1 1 1", "4 2 0 15", 0},
    /* along axes */
    {"sum", "x: f32[2, 3] | %y: f32[3] = reduce sum %x [0]\n", "1 2 3 4 5 6", "5 7 9", 0},
    {"sum of nothing", "x: f32[2, 0] | %y: f32[2] = reduce sum %x [1]\n", "", "0 0", 0},
    {"sum of u8 is i32", "x: u8[3] | %y: i32[] = reduce sum %x [0]\n", "200 200 200", "600", 0},
    {"sum of i32 wraps", "x: i32[2] | %y: i32[] = reduce sum %x [0]\n", "2147483647 1", "-2147483648", 0},
    {"var", "x: f32[2, 4] | %y: f32[2] = reduce var %x [1]\n", "1 2 3 4 16777216 16777218 16777216 16777218", "1.25 1", 0},
    {"var of one", "x: f32[2, 1] | %y: f32[2] = reduce var %x [1]\n", "1 2", "0 0", 0},
    {"var of nothing", "x: f32[0] | %y: f32[] = reduce var %x [0]\n", "", "nan", 0},
    {"amax", "x: f32[2, 3] | %y: f32[2] = reduce max %x [1]\n", "1 3 2 nan 5 6", "3 nan", 0},
    {"amin over two axes", "x: f32[2, 2, 2] | %y: f32[2] = reduce min %x [0, 2]\n", "1 3 2 9 5 6 -7 8", "1 -7", 0},
    {"amax of nothing", "x: f32[0] | %y: f32[] = reduce max %x [0]\n", "", "-inf", 0},
    {"amin of nothing", "x: i8[0] | %y: i8[] = reduce min %x [0]\n", "", "127", 0},
    {"argmax of nothing", "x: i8[0] | %y: i32[] = reduce argmax %x [0]\n", "", "0", 0},
    {"any", "x: bool[3, 2] | %y: bool[3] = reduce any %x [1]\n", "0 0 0 1 1 1", "0 1 1", 0},
    {"all", "x: bool[3, 2] | %y: bool[3] = reduce all %x [1]\n", "0 0 0 1 1 1", "0 0 1", 0},
    {"any and all of nothing",
     "x: bool[0] | %a: bool[] = reduce any %x [0]\n %b: bool[] = reduce all %x [0]\n %y: bool[] = eq %a, %b\n", "", "0", 0},
    {"argmax", "x: f32[3, 3] | %y: i32[3] = reduce argmax %x [1]\n", "1 3 3 nan 5 nan -1 -2 -1", "1 0 0", 0},
    {"argmin", "x: f32[3, 3] | %y: i32[3] = reduce argmin %x [1]\n", "1 3 1 2 nan nan 0 -0 0", "0 1 0", 0},
    {"contract", "a: f32[2, 3], b: f32[3, 2] | %y: f32[2, 2] = contract %a[m k], %b[k n] -> [m n]\n",
     "1 2 3 4 5 6; 1 0 0 1 1 1", "4 5 10 11", 0},
    {"contract of i8 is i32", "a: i8[2], b: i8[2] | %y: i32[] = contract %a[k], %b[k] -> []\n", "100 100; 100 100", "20000", 0},
    {"contract with codes", "a: f32[2], b: i8[2] | %y: f32[] = contract %a[k], %b[k] -> []\n", "0.5 3; 7 -128", "-380.5", 0},
    {"contract over nothing", "a: f32[2, 0], b: f32[0, 1] | %y: f32[2, 1] = contract %a[m k], %b[k n] -> [m n]\n", ";", "0 0",
     0},
    {"cumsum", "x: f32[2, 3] | %y: f32[2, 3] = cumsum %x axis 1\n", "1 2 3 4 5 6", "1 3 6 4 9 15", 0},
    {"cumsum from the end", "x: i16[3] | %y: i32[3] = cumsum %x axis 0 flag\n", "32767 2 3", "32772 5 3", 0},
    {"sort_ids", "x: f32[6] | %y: i32[6] = sort_ids %x\n", "3 nan 1 3 -inf inf", "4 2 0 3 5 1", 0},
    {"sort_ids, descending", "x: f32[2, 4] | %y: i32[2, 4] = sort_ids %x flag\n", "3 nan 3 4 1 1 1 2", "1 3 0 2 3 0 1 2", 0},
    {"topk_ids", "x: f32[2, 4] | %y: i32[2, 2] = topk_ids %x extent 2\n", "3 nan 3 4 1 1 1 2", "1 3 3 0", 0},
    /* draws: the known answers of INTRINSICS.md section 9; seed 1, site 0 */
    {"uniform", "| %a: f32[] = const 0.0\n %b: f32[] = const 1.0\n %y: f32[4] = random uniform %a, %b site 0\n", "",
     "0.890259147 0.894684672 0.585725904 0.711268067", 0},
    {"normal", "| %a: f32[] = const 0.0\n %b: f32[] = const 1.0\n %y: f32[4] = random normal %a, %b site 0\n", "",
     "1.22790778 1.25183356 0.216564089 0.557093263", 0},
    {"a step of a scan moves on",
     "t: i32[] | %a: f32[] = const 0.0\n %b: f32[] = const 1.0\n %y: f32[2] = random uniform %a, %b, %t site 0\n", "1",
     "0.585725904 0.711268067", 0},
    {"bernoulli", "| %p: f32[] = const 0.8\n %y: bool[4] = random bernoulli %p site 0\n", "", "0 0 1 1", 0},
    {"randint", "| %a: i32[] = const 10\n %b: i32[] = const 20\n %y: i32[4] = random randint %a, %b site 0\n", "",
     "18 18 15 17", 0},
    {"randint of nothing", "| %a: i32[] = const 10\n %b: i32[] = const 10\n %y: i32[4] = random randint %a, %b site 0\n", "",
     "random integers from 10 below 10", MDL_RANGE},
    {"categorical", "x: f32[2, 3] | %y: i32[2] = categorical %x site 0\n", "1 8 1 0 2 2", "1 2", 0},
    {"categorical of a bad row", "x: f32[2, 2] | %y: i32[2] = categorical %x site 0\n", "1 1 0 0",
     "row 1 of the weights of a draw has a negative number, a NaN, or a sum of 0 or inf", MDL_RANGE},
    {"stop", ONE("stop", "f32[2]"), "1 nan", "1 nan", 0},
    /* bodies */
    {"scan",
     "a: f32[], x: f32[n] | %z: f32[] = const 0.0\n %s: (f32[], f32[n]) = scan %a, %z, %x counts 1 1 1 1 extent n {\n"
     "  %t: i32[] = arg 0\n  %f: f32[] = arg 1\n  %c: f32[] = arg 2\n  %e: f32[] = arg 3\n  %m: f32[] = mul %c, %f\n"
     "  %u: f32[] = add %m, %e\n  %w: f32[] = cast %t\n  %v: f32[] = add %u, %w\n  results %v, %c\n }\n"
     "%1: f32[] = get %s 0\n %2: f32[n] = get %s 1\n %3: f32[1] = reshape %1\n %y: f32[n + 1] = concat %3, %2 axis 0\n",
     "10; 1 2 3", "135 0 1 13", 0},
    {"scan from the end",
     "x: f32[n] | %z: f32[] = const 0.0\n %s: (f32[], f32[n]) = scan %z, %x counts 0 1 1 1 flag extent n {\n"
     "  %t: i32[] = arg 0\n  %c: f32[] = arg 1\n  %e: f32[] = arg 2\n  %u: f32[] = add %c, %e\n  results %u, %u\n }\n"
     "%y: f32[n] = get %s 1\n",
     "1 2 3", "6 5 3", 0},
#define STOPS(flag)                                                                                                            \
    "x: f32[n] | %z: f32[] = const 0.0\n %s: (f32[], f32[n]) = scan %z, %x counts 0 1 1 1 stop" flag " extent n {\n"             \
    "  %t: i32[] = arg 0\n  %c: f32[] = arg 1\n  %e: f32[] = arg 2\n  %u: f32[] = add %c, %e\n  %b: f32[] = const 4.0\n"         \
    "  %o: bool[] = gt %u, %b\n  results %u, %u, %o\n }\n"                                                                       \
    "%1: f32[] = get %s 0\n %2: f32[n] = get %s 1\n %3: f32[1] = reshape %1\n %y: f32[n + 1] = concat %3, %2 axis 0\n"
    {"scan that stops", STOPS(""), "4 5 1", "9 4 9 0", 0},
    {"scan that stops in its last step", STOPS(""), "1 2 3", "6 1 3 6", 0},
    {"scan from the end that stops", STOPS(" flag"), "1 2 5", "5 0 0 5", 0},
    {"call",
     "x: f32[2] | %c: (f32[2], f32[2]) = call \"twice\" %x {\n  %a: f32[2] = arg 0\n  %b: f32[2] = add %a, %a\n  results %a, "
     "%b\n }\n"
     "%y: f32[2] = get %c 1\n",
     "1 2", "2 4", 0},
    /* effects */
    {"an index out of range", "ids: i32[2, 3] | %y: i32[2, 3] = neg %ids\n range %ids \"ids\" [0:50257]\n", "1 2 3 4 5 50257",
     "ids[1, 2] = 50257 is not in 0 to 50256", MDL_RANGE},
    {"a scalar out of range", "pos: i32[] | %y: i32[] = neg %pos\n range %pos \"pos\" [0:n]\n", "-1",
     "pos = -1 is not in 0 to 2", MDL_RANGE},
    {"a check", "x: f32[] | %o: f32[] = const 1.0\n %y: bool[] = lt %x, %o\n check %y \"x is below 1\"\n", "2", "x is below 1",
     MDL_ASSERT},
    {"checks speak before a fault", "x: i32[1] | %y: i32[1] = mod %x, %x\n range %x \"x\" [1:5]\n", "0",
     "x[0] = 0 is not in 1 to 4", MDL_RANGE},
};

static const int64_t SIZES[] = {3};
static bool seen[OP_COUNT];

static bool near(double a, double b) {
    if (isnan(a) || isnan(b)) return isnan(a) && isnan(b);
    if (isinf(a) || isinf(b)) return a == b;
    return (float)a == (float)b && (b != 0 || signbit(a) == signbit(b));
}

static void run_case(const Case *c) {
    Arena *a = arena_new();
    const char *bar = strchr(c->text, '|'), *lines = "", *values = c->inputs;
    const char *inputs = arena_copy(a, c->text, (size_t)(bar - c->text));
    int n = 0;
    for (const char *p = inputs; strchr(p, ':'); n++) {
        const char *colon = strchr(p, ':'), *close = strchr(p, ']') + 1;
        lines = arena_printf(a, "%s %%%.*s%.*s = input %d %.*s\n", lines, (int)(colon - p), p, (int)(close - colon), colon, n,
                             (int)(colon - p), p);
        p = close + strspn(close, ", ");
    }
    char *after = arena_copy(a, bar + 1, strlen(bar + 1));
    Program *p = kit_program(a, arena_printf(a, "program t\nsize n in 1..9\nentry f[n](%s) -> ()\n%s%s results y = %%y\n",
                                             n ? inputs : "", lines, after));
    Entry *e = kit_entry(p, "f");
    seen_graph(seen, e->graph);
    Tensor **in = NEW_ARRAY(a, Tensor *, n + 1);
    for (int k = 0; k < n; k++) {
        const Type *t = &e->inputs[k].type;
        int64_t dim[MAX_RANK];
        for (int i = 0; i < t->rank; i++) size_eval(t->dim[i], SIZES, &dim[i]);
        in[k] = tensor_new(a, t->dtype, t->rank, dim);
        for (int64_t j = 0; j < in[k]->count; j++) {
            char *end;
            double x = strtod(values, &end);
            if (end == values) kit_check(false, "%s: too few inputs", c->name);
            values = end;
            if (in[k]->f) in[k]->f[j] = round_float(t->dtype, x);
            else in[k]->i[j] = (int64_t)x;
        }
        values += strspn(values, " ;");
    }
    KitRun r = kit_run(a, p, e->graph, in, SIZES, NULL, false);
    if (c->status || !r.good) {
        kit_check(!r.good && r.status == c->status && strcmp(r.error, c->y) == 0, "%s: status %d, %s", c->name, r.status,
                  r.good ? "good" : r.error);
    } else {
        const char *want = c->y;
        for (int64_t k = 0; k < r.results[0]->count; k++) {
            char *end;
            double x = strtod(want, &end);
            kit_check(end != want && near(kit_at(r.results[0], k), x), "%s: [%lld] is %.9g, not %.9g", c->name, (long long)k,
                      kit_at(r.results[0], k), x);
            want = end;
        }
        kit_check(want[strspn(want, " ")] == 0, "%s: too few results", c->name);
    }
    arena_free(a);
}

/* Slots change only if all goes well, and reads see the values from before. */
static void stores(void) {
    Arena *a = arena_new();
    Program *p = kit_program(
        a, "program t\nslot w state f32[2]\nslot v state f32[2]\nentry f(go: bool[]) -> ()\n %go: bool[] = input 0 go\n"
           " %w: f32[2] = slot w\n %v: f32[2] = slot v\n %x: f32[2] = add %w, %v\n"
           " store w = %x\n store v = %w\n check %go \"go\"\n results w = %w\n");
    const int64_t two[] = {2};
    Tensor *slots[2] = {kit_tensor(a, DT_F32, 1, two, (double[]){1, 2}), kit_tensor(a, DT_F32, 1, two, (double[]){10, 20})};
    Tensor *stop = kit_tensor(a, DT_BOOL, 0, NULL, (double[]){0}), *go = kit_tensor(a, DT_BOOL, 0, NULL, (double[]){1});
    const Graph *g = kit_entry(p, "f")->graph;
    KitRun r = kit_run(a, p, g, &stop, NULL, slots, false);
    kit_check(!r.good && r.status == MDL_ASSERT && slots[0]->f[0] == 1 && slots[1]->f[1] == 20,
              "a refused call changed a slot");
    r = kit_run(a, p, g, &go, NULL, slots, false);
    kit_check(r.good && slots[0]->f[0] == 11 && slots[0]->f[1] == 22 && slots[1]->f[0] == 1 && slots[1]->f[1] == 2, "stores");
    kit_check(r.results[0]->f[0] == 1, "a result read after the store");
    arena_free(a);
}

static void prints(void) {
    Arena *a = arena_new();
    Program *p = kit_program(a, "program t\nentry f(x: f32[9]) -> ()\n %x: f32[9] = input 0 x\n %s: f32[] = reduce sum %x [0]\n"
                                " print \"begin\"\n print %s \"loss\"\n print %x \"x\"\n");
    Tensor *in = kit_tensor(a, DT_F32, 1, (int64_t[]){9}, (double[]){1, 2, 3, 4, 5, 6, 7, 8, 9});
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    Eval e = {.arena = a, .program = p, .inputs = &in, .print = f};
    kit_check(eval_graph(&e, kit_entry(p, "f")->graph, NULL), "print fails");
    fclose(f);
    kit_check(strcmp(text, "begin\nloss 45\nx f32 min 1 mean 5 max 9: 1 2 3 4 5 6 7 8\n") == 0, "print says\n%s", text);
    free(text);
    arena_free(a);
}

int main(void) {
    for (size_t k = 0; k < sizeof CASES / sizeof *CASES; k++) run_case(&CASES[k]);
    stores();
    prints();
    seen[OP_INPUT] = seen[OP_SLOT] = seen[OP_ARG] = true;
    for (int op = 0; op < OP_COUNT; op++) /* custom and grad: marks, gone before anything runs */
        kit_check(seen[op] || op == OP_CUSTOM || op == OP_GRAD, "the meaning of %s is not tested", op_row((Op)op)->name);
    seen_write("meaning", seen);
    return kit_end();
}
