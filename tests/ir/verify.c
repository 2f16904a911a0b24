/* verify.c -- every rule of the verifier: a sound program is damaged in one place, and the message says which. */
#include "tests/ir/kit.h"

#include <string.h>

static const char SOUND[] =
    "program p\nsize n in 1..8\nslot w state f32[2]\nslot c cache f32[n]\ninit\n %0: f32[2] = const 0.0\n store w = %0\n"
    "entry f[n](x: f32[n, 2], i: i32[]) -> (y: f32[n])\n"
    " %x: f32[n, 2] = input 0 x\n"                                                                   /* 0 */
    " %i: i32[] = input 1 i\n"                                                                       /* 1 */
    " %w: f32[2] = slot w\n"                                                                         /* 2 */
    " %3: f32[n] = contract %x[a b], %w[b] -> [a]\n"                                                 /* 3 */
    " %4: f32[n, 2] = exp %x\n"                                                                      /* 4 */
    " %5: f32[2] = reduce sum %4 [0]\n"                                                              /* 5 */
    " %6: f32[n, 1] = slice %x [0:n, 1:2]\n"                                                         /* 6 */
    " %7: bool[] = const true\n"                                                                     /* 7 */
    " %8: (f32[]) = call \"g\" %i {\n  %0: i32[] = arg 0\n  %1: f32[] = cast %0\n  results %1\n }\n" /* 8 */
    " %9: f32[] = get %8 0\n"                                                                        /* 9 */
    " %10: f32[n, 2] = stop %x\n"                                                                    /* 10 */
    " range %i [0:5]\n check %7\n store w = %5\n results y = %3\n";

typedef struct Damage {
    const char *name;
    void (*damage)(Program *p, Graph *g);
    const char *message;
} Damage;

static Node *at(Graph *g, int k) { return g->nodes.at[k]; }

static void d_id(Program *p, Graph *g) { (void)p, at(g, 4)->id = 7; }
static void d_graph(Program *p, Graph *g) { (void)g, at(g, 4)->graph = p->init; }
static void d_missing(Program *p, Graph *g) { (void)p, at(g, 4)->in[0] = NULL; }
static void d_foreign(Program *p, Graph *g) { at(g, 4)->in[0] = p->init->nodes.at[0]; }
static void d_later(Program *p, Graph *g) { (void)p, at(g, 4)->in[0] = at(g, 6); }
static void d_stray(Program *p, Graph *g) {
    Node *copy = NEW(p->arena, Node);
    *copy = *at(g, 0);
    at(g, 4)->in[0] = copy;
}
static void d_count(Program *p, Graph *g) { (void)p, at(g, 4)->n_in = 0; }
static void d_type(Program *p, Graph *g) { at(g, 5)->type.dim[0] = size_const(p->sizes, 3); }
static void d_dtype(Program *p, Graph *g) { (void)p, at(g, 4)->type.dtype = DT_F64; }
static void d_attr(Program *p, Graph *g) { (void)p, at(g, 4)->attrs.axis = 1; }
static void d_extent(Program *p, Graph *g) { at(g, 4)->attrs.extent = size_const(p->sizes, 3); }
static void d_number(Program *p, Graph *g) { (void)p, at(g, 7)->attrs.number = 0; }
static void d_axis(Program *p, Graph *g) { (void)p, at(g, 5)->attrs.axes[0] = 2; }
static void d_unsorted(Program *p, Graph *g) {
    (void)p;
    at(g, 5)->attrs.n_axes = 2;
    at(g, 5)->attrs.axes[0] = 1;
}
static void d_labels(Program *p, Graph *g) { (void)p, at(g, 3)->attrs.labels[1] = "c"; }
static void d_alone(Program *p, Graph *g) { (void)p, at(g, 3)->attrs.labels[0] = "ab", at(g, 3)->attrs.labels[1] = "a"; }
static void d_letters(Program *p, Graph *g) { (void)p, at(g, 3)->attrs.labels[0] = "a"; }
static void d_range(Program *p, Graph *g) { at(g, 6)->attrs.hi[1] = size_const(p->sizes, 3); }
static void d_input(Program *p, Graph *g) { (void)p, at(g, 1)->attrs.index = 2; }
static void d_input_type(Program *p, Graph *g) { (void)p, at(g, 1)->attrs.index = 0; }
static void d_slot(Program *p, Graph *g) { (void)p, at(g, 2)->attrs.index = 9; }
static void d_slot_type(Program *p, Graph *g) { (void)p, at(g, 2)->attrs.index = 1; }
static void d_mirror(Program *p, Graph *g) { (void)p, at(g, 7)->attrs.dtype = DT_F64; }
static void d_body(Program *p, Graph *g) { (void)p, at(at(g, 8)->attrs.body, 1)->type.dtype = DT_I64; }
static void d_body_open(Program *p, Graph *g) { (void)p, at(at(g, 8)->attrs.body, 1)->in[0] = at(g, 1); }
static void d_body_gone(Program *p, Graph *g) { (void)p, at(g, 8)->attrs.body = NULL; }
static void d_body_slot(Program *p, Graph *g) {
    (void)p;
    node_leaf(at(g, 8)->attrs.body, OP_SLOT, NULL, p->slots.at[0]->type);
}
static void d_body_store(Program *p, Graph *g) {
    (void)p;
    Graph *body = at(g, 8)->attrs.body;
    graph_effect(body, (Effect){.kind = EFFECT_STORE, .value = at(body, 1)});
}
static void d_arg(Program *p, Graph *g) {
    (void)p;
    node_leaf(g, OP_ARG, NULL, type_scalar(DT_F32));
}
static void d_several(Program *p, Graph *g) { (void)p, at(g, 10)->in[0] = at(g, 8); }
static void d_get(Program *p, Graph *g) { (void)p, at(g, 9)->attrs.index = 1; }
static void d_check(Program *p, Graph *g) { (void)p, g->effects.at[1].value = at(g, 1); }
static void d_ranged(Program *p, Graph *g) { (void)p, g->effects.at[0].value = at(g, 4); }
static void d_limits(Program *p, Graph *g) { (void)p, g->effects.at[0].hi = NULL; }
static void d_store_type(Program *p, Graph *g) { (void)p, g->effects.at[2].value = at(g, 4); }
static void d_store_slot(Program *p, Graph *g) { (void)p, g->effects.at[2].index = 2; }
static void d_store_twice(Program *p, Graph *g) {
    (void)p;
    graph_effect(g, g->effects.at[2]);
}
static void d_reset_state(Program *p, Graph *g) {
    (void)p;
    graph_effect(g, (Effect){.kind = EFFECT_RESET, .index = 0});
}
static void d_reset_twice(Program *p, Graph *g) {
    (void)p;
    for (int i = 0; i < 2; i++) graph_effect(g, (Effect){.kind = EFFECT_RESET, .index = 1});
}
static void d_reset_value(Program *p, Graph *g) {
    (void)p;
    graph_effect(g, (Effect){.kind = EFFECT_RESET, .index = 1, .value = at(g, 4)});
}
static void d_effect_foreign(Program *p, Graph *g) { g->effects.at[2].value = p->init->nodes.at[0]; }
static void d_result(Program *p, Graph *g) { g->results.at[0].value = p->init->nodes.at[0]; }
static void d_result_several(Program *p, Graph *g) { (void)p, g->results.at[0].value = at(g, 8); }
static void d_slot_size(Program *p, Graph *g) { (void)g, p->slots.at[1]->kind = SLOT_STATE; }
static void d_slot_index(Program *p, Graph *g) { (void)g, p->slots.at[1]->index = 0; }

static const Damage DAMAGES[] = {
    {"id", d_id, "f: %7 exp: it is number 4 of the list"},
    {"graph", d_graph, "f: %4 exp: it belongs to another graph"},
    {"operand missing", d_missing, "f: %4 exp: operand 0 is missing"},
    {"operand of another graph", d_foreign, "f: %4 exp: operand 0 is of another graph"},
    {"operand later", d_later, "f: %4 exp: operand 0, %6, does not come before"},
    {"operand not in the list", d_stray, "f: %4 exp: operand 0 is not in the list"},
    {"count of operands", d_count, "f: %4 exp: 0 operands, 1 are wanted"},
    {"shape", d_type, "f: %5 reduce: the type is f32[3], it should be f32[2]"},
    {"dtype", d_dtype, "f: %4 exp: the type is f64[n, 2], it should be f32[n, 2]"},
    {"attribute of another op", d_attr, "f: %4 exp: the attribute axis is set"},
    {"extent of another op", d_extent, "f: %4 exp: the attribute extent is set"},
    {"number and whole", d_number, "f: %7 const: number and whole differ"},
    {"axis", d_axis, "f: %5 reduce: axis 2 of rank 2"},
    {"unsorted axes", d_unsorted, "f: %5 reduce: axes are not sorted"},
    {"labels disagree", d_labels, "f: %3 contract: the letter b of operand 0 is alone"},
    {"sizes of a letter", d_alone, "f: %3 contract: the letter a is n and 2"},
    {"letters and rank", d_letters, "f: %3 contract: operand 0 has rank 2, its letters are a"},
    {"range", d_range, "f: %6 slice: axis 1: 1 to 3 of 2"},
    {"input", d_input, "f: %1 input i: input 2 of 2"},
    {"type of an input", d_input_type, "f: %1 input i: the input is f32[n, 2]"},
    {"slot", d_slot, "f: %2 slot w: slot 9 of 2"},
    {"type of a slot", d_slot_type, "f: %2 slot w: slot c is f32[n]"},
    {"attributes of a leaf", d_mirror, "f: %7 const: attributes say f64[], the type is bool[]"},
    {"in a body", d_body, "f: in the body of %8: %1 cast: the type is i64[], it should be f32[]"},
    {"a body that is open", d_body_open, "f: in the body of %8: %1 cast: operand 0 is of another graph"},
    {"no body", d_body_gone, "f: %8 call: no body"},
    {"a slot in a body", d_body_slot, "f: in the body of %8: %2 slot: a body sees its arguments only"},
    {"a store in a body", d_body_store, "f: in the body of %8: %1 cast: a store in a body"},
    {"an argument outside", d_arg, "f: %11 arg: an argument outside of a body"},
    {"several results used as one", d_several, "f: %10 stop: operand 0 has several results: get one of them"},
    {"get", d_get, "f: %9 get: result 1 of 1"},
    {"check", d_check, "f: %1 input i: a check of i32[]"},
    {"range of floats", d_ranged, "f: %4 exp: a range of f32[n, 2]"},
    {"range without limits", d_limits, "f: %1 input i: a range without limits"},
    {"type of a store", d_store_type, "f: %4 exp: f32[n, 2] is stored to w, which is f32[2]"},
    {"slot of a store", d_store_slot, "f: %5 reduce: a store to slot 2 of 2"},
    {"a second store", d_store_twice, "f: %5 reduce: a second store to w"},
    {"a reset of a state", d_reset_state, "f: a reset of w, which is no cache"},
    {"a second reset", d_reset_twice, "f: a reset of c beside another change"},
    {"a reset with a value", d_reset_value, "f: %4 exp: a reset with a value"},
    {"effect of another graph", d_effect_foreign, "f: effect 2: its value is not of this graph"},
    {"result of another graph", d_result, "f: result 0 is not of this graph"},
    {"result of several", d_result_several, "f: %8 call: result 0 has several values"},
    {"slot with a run-time size", d_slot_size, "slot c has a run-time size"},
    {"number of a slot", d_slot_index, "slot c is number 1 of the list, not 0"},
};

int main(void) {
    for (size_t k = 0; k < sizeof DAMAGES / sizeof *DAMAGES; k++) {
        Arena *a = arena_new();
        Program *p = kit_program(a, SOUND);
        const char *message = NULL;
        DAMAGES[k].damage(p, kit_entry(p, "f")->graph);
        bool good = program_verify(p, a, &message);
        kit_check(!good && strcmp(message, DAMAGES[k].message) == 0, "%s: %s", DAMAGES[k].name,
                  good ? "nothing is wrong" : message);
        arena_free(a);
    }
    Arena *a = arena_new();
    Program *p = kit_program(a, SOUND);
    const char *message = NULL;
    kit_check(!graph_verify_no_marks(kit_entry(p, "f")->graph, a, &message) &&
                  strcmp(message, "%10 stop: it should be gone after the pass grad") == 0,
              "marks: %s", message ? message : "none");
    kit_check(graph_verify_no_marks(p->init, a, &message), "marks in init");
    kit_check(graph_verify(p->init, a, &message), "init alone: %s", message ? message : "?");
    arena_free(a);
    return kit_end();
}
