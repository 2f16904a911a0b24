/* text.c -- programs as text: what is printed parses back to a program that prints the same bytes; what is wrong is refused
 * with a message at its place. */
#include "tests/ir/kit.h"

#include <stdlib.h>
#include <string.h>

static void round_trip(const char *name, const char *text) {
    Arena *a = arena_new();
    Program *p = kit_program(a, text);
    char *once = kit_print(p);
    Program *again = kit_program(a, once);
    char *twice = kit_print(again);
    kit_check(strcmp(once, twice) == 0, "%s: printed twice it differs:\n%s\nand\n%s", name, once, twice);
    free(once);
    free(twice);
    arena_free(a);
}

/* The text is already what the printer writes. */
static void fixed_point(const char *name, const char *text) {
    Arena *a = arena_new();
    char *printed = kit_print(kit_program(a, text));
    kit_check(strcmp(printed, text) == 0, "%s prints as\n%s", name, printed);
    free(printed);
    arena_free(a);
}

static const char PROGRAM[] =
    "program model\n"
    "source \"dir/a \\\"b\\\".mdl\"\n"
    "target \"cpu\"\n"
    "run \"{\\\"n\\\": 1}\\n\\x01\"\n"
    "products tf32\n"
    "size batch in 1..64\n"
    "size t in 1..\n"
    "size t in 2..9\n"
    "slot net.0.weight param f32[2] frozen data 0x0000803f00000040   // a.mdl:3\n"
    "slot opt.m state f32[3, 4] optimizer\n"
    "slot keys cache f32[batch, t, 2]\n"
    "init\n"
    "  %0: f32[2] = tensor [0.1, -inf]\n"
    "  %1: f32[] = const 0.0\n"
    "  %2: f32[] = const 0.02\n"
    "  %3: f32[3, 4] = random normal %1, %2 site 4294967295 step 18446744073709551615\n"
    "  store net.0.weight = %0\n"
    "  store opt.m = %3\n"
    "entry f[batch, t@2](x: f32[batch, 4], ids: i32[t]) -> (y: f32[batch, 4]) draws 2 export \"classify\"   // - my net.mdl:20\n"
    "  %x: f32[batch, 4] = input 0 x\n"
    "  %ids: i32[t] = input 1 ids\n"
    "  %2: f32[2] = slot net.0.weight\n"
    "  %3: f32[batch, 4] = exp %x   // net.0\n"
    "  %4: f32[batch, 4] = neg %3   // net.0 a.mdl:10\n"
    "  %5: f32[batch, 4] = neg %4 recompute 3   // a.mdl:7\n"
    "  %h.x_1: f32[batch, 4] = add %5, %x   // net.1 my net.mdl:9\n"
    "  %7: i32[t, batch] = iota axis 1\n"
    "  %8: i64[] = size 4*batch + floor(t/2)\n"
    "  %9: bool[batch, 4] = isnan %x recompute -2 kept\n"
    "  %10: f32[batch, 4] = where %9, %x, %h.x_1\n"
    "  %11: u8[batch, 4] = cast %10\n"
    "  %12: f32[4, batch] = permute %10 [1, 0]\n"
    "  %13: f32[4*batch] = reshape %12\n"
    "  %14: f32[t, 4, batch] = expand %12\n"
    "  %15: f32[2, batch] = slice %12 [1:3, 0:batch]\n"
    "  %16: f32[5, batch + 1] = pad %15 [1:2, 0:1] value -inf\n"
    "  %17: f32[6, batch] = concat %12, %15 axis 0\n"
    "  reset keys   // a.mdl:8\n"
    "  results y = %10\n";

static void errors(void) {
    static const struct {
        const char *text, *message;
    } BAD[] = {
        {"graph x\n", "error[E0901]: `program` is expected"},
        {"program p\nsiez b in 1..2\n", "error[E0901]: a line of a program is expected"},
        {"program p\nentry f(x: f33[2]) -> ()\n", "error[E0901]: `f33` is no dtype"},
        {"program p\nentry f(x: f32[b]) -> ()\n", "error[E0901]: a size is expected"},
        {"program p\nentry f() -> ()\n %0: f32[2] = konst 1\n", "error[E0901]: no operation `konst`"},
        {"program p\nentry f() -> ()\n %0: f32[2] = const 1.0\n %1: f32[3] = neg %0\n",
         "error[E0901]: neg has the type f32[2]"},
        {"program p\nentry f() -> ()\n %0: f32[2] = const 1.0\n %1: f32[2] = add %0\n",
         "error[E0901]: add: 1 operands, 2 are wanted"},
        {"program p\nentry f() -> ()\n %0: f32[2] = neg %1\n", "error[E0901]: no value %1 before"},
        {"program p\nentry f() -> ()\n store w = %1\n", "error[E0901]: no slot w"},
        {"program p\nentry f() -> ()\n %0: i32[2] = tensor [1, 2, 3]\n", "error[E0901]: `]` is expected"},
        {"program p\nentry f() -> ()\n %0: i32[2] = tensor 0x01\n", "error[E0901]: 8 bytes in hex are expected"},
        {"program p\nentry f() -> ()\n %0: i32[2] = const 1 axis 3\n", "error[E0901]: the end of the line is expected"},
        {"program p\nentry f() -> ()\n %0: i32[2] = iota axis 1\n", "error[E0901]: iota: axis 1 of rank 1"},
        {"program p\nentry f() -> ()\n check \"x\n", "error[E0901]: `%` is expected"},
        {"program p\nentry f() -> ()\n print \"x\n", "error[E0901]: the string has no end"},
        {"program p\nslot w weight f32[2]\n", "error[E0901]: `weight` is no kind of slot"},
        {"program p\nslot w param f32[2] data (100000 bytes)\n", "error[E0901]: the data of w was left out of the text"},
        {"program p\nentry f() -> ()\n %0: (f32[2]) = call \"x\" {\n %0: f32[2] = const 1.0\n results %0\n",
         "error[E0901]: `}` is expected"},
        {"program p\nentry f() -> ()\n %0: f32[2] = arg 1\n", "error[E0901]: argument 1 stands where argument 0 should"},
        {"program p\ninit\ninit\n", "error[E0901]: a second init"},
    };
    for (size_t k = 0; k < sizeof BAD / sizeof *BAD; k++) {
        Arena *a = arena_new();
        const char *error = kit_parse_error(a, BAD[k].text);
        kit_check(error && strcmp(error, BAD[k].message) == 0, "%s says %s, not %s", BAD[k].text, error ? error : "nothing",
                  BAD[k].message);
        arena_free(a);
    }
}

static const char OPS[] =
    "program ops\n"
    "size n in 1..8\n"
    "slot w state f32[2]\n"
    "train f[n](x: f32[n, 3], v: f32[n], ids: i32[2], pos: i32[], go: bool[]) -> ()\n"
    "  %x: f32[n, 3] = input 0 x\n"
    "  %v: f32[n] = input 1 v\n"
    "  %ids: i32[2] = input 2 ids\n"
    "  %pos: i32[] = input 3 pos\n"
    "  %go: bool[] = input 4 go\n"
    "  %5: f32[n, 3, 3] = contract %x[a b], %x[a c] -> [a b c]   // net.0 m.mdl:4\n"
    "  %6: f32[n, 3] = diagonal %5\n"
    "  %7: f32[n, 3] = rev %6 axis 1\n"
    "  %8: f32[n, 1] = slice_at %7, %pos axis 1 extent 1\n"
    "  %9: f32[n, 3] = update_at %7, %8, %pos axis 1\n"
    "  %10: f32[n, 2] = gather %9, %ids axis 1\n"
    "  %11: f32[n, 3] = scatter_add %10, %ids axis 1\n"
    "  %12: i32[n, 1] = topk_ids %11 extent 1\n"
    "  %13: f32[n, 1] = gather %11, %12 axis 1 flag\n"
    "  %14: f32[n, 3] = scatter_add %13, %12 axis 1 flag\n"
    "  %15: f32[] = reduce sum %14 [0, 1]\n"
    "  %16: f32[n, 3] = reduce var %14 []\n"
    "  %17: i32[n] = reduce argmax %14 [1]\n"
    "  %18: f32[n, 3] = cumsum %14 axis 0\n"
    "  %19: f32[n, 3] = cumsum %14 axis 0 flag\n"
    "  %20: i32[n, 3] = sort_ids %14\n"
    "  %21: i32[n, 3] = sort_ids %14 flag\n"
    "  %22: i32[n] = categorical %x site 7\n"
    "  %23: f32[] = const -0.25\n"
    "  %24: f32[n] = random uniform %23, %15 site 8\n"
    "  %25: bool[4] = random bernoulli %15, %pos site 9\n"
    "  %26: f32[] = const nan\n"
    "  %27: i64[] = const -9223372036854775808\n"
    "  %28: bool[2] = const true\n"
    "  %29: bool[3] = tensor [true, false, true]\n"
    "  %30: (f32[], f32[n, 3]) = scan %23, %26, %v, %x counts 1 1 2 1 flag extent n {   // net.1 m.mdl:9\n"
    "    %t: i32[] = arg 0\n"
    "    %1: f32[] = arg 1\n"
    "    %carry: f32[] = arg 2\n"
    "    %3: f32[] = arg 3\n"
    "    %4: f32[3] = arg 4\n"
    "    %5: (f32[3]) = call \"attention\" %4 {\n"
    "      %0: f32[3] = arg 0\n"
    "      %1: f32[3] = exp %0\n"
    "      results %1\n"
    "    }\n"
    "    %6: f32[3] = get %5 0\n"
    "    %7: f32[] = add %carry, %3\n"
    "    print %t \"step\"\n"
    "    results %7, %6\n"
    "  }\n"
    "  %last: f32[] = get %30 0\n"
    "  %32: f32[n, 3] = get %30 1\n"
    "  %33: f32[n] = stop %v\n"
    "  %34: (f32[n]) = custom %33, %v {\n"
    "    %0: f32[n] = arg 0\n"
    "    %1: f32[n] = arg 1\n"
    "    results %0\n"
    "  }\n"
    "  %35: (f32[n, 3]) = grad %15, %x   // minimize\n"
    "  %36: f32[n, 3] = get %35 0\n"
    "  %37: f32[2] = slot w\n"
    "  %38: (f32[], f32[n]) = scan %23, %v counts 0 1 1 1 stop extent n {\n"
    "    %t: i32[] = arg 0\n"
    "    %1: f32[] = arg 1\n"
    "    %2: f32[] = arg 2\n"
    "    %3: bool[] = lt %1, %2\n"
    "    results %2, %1, %3\n"
    "  }\n"
    "  %39: (f32[n], f32[]) = custom %33, %23, %v values 2 {\n"
    "    %0: f32[n] = arg 0\n"
    "    %1: f32[] = arg 1\n"
    "    %2: f32[n] = arg 2\n"
    "    results %0\n"
    "  }\n"
    "  range %ids \"ids\" [0:3]   // m.mdl:2\n"
    "  range %pos [0:n - 1]\n"
    "  check %go \"it \\\"goes\\\"\"\n"
    "  print \"only text\"\n"
    "  print %last\n"
    "  store w = %37\n";

int main(void) {
    fixed_point("the ops", OPS);
    fixed_point("the program", PROGRAM);
    round_trip(
        "spaces and line ends",
        "program p\r\n\nsize  n  in 1..2 \n entry f[ n ]( x : f32[ n ] )  -> ( )\n\n%x : f32[n]=input 0 x\n results   y = %x");
    errors();
    return kit_end();
}
