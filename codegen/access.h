/* access.h -- index maps: from the iteration symbols of a kernel, through chains of views, to places in stored memory.
 *
 * A Space is a list of axes. Each axis is walked by one or several loop symbols: at first one, more when a view splits the axis
 * (the reshape of a permute), so that every index stays affine in the symbols. Splitting is asked for while accesses are
 * followed and takes effect when they are followed again: callers loop
 *
 *     do { space_begin(sp); ... access_follow(sp, ...) ... } while (sp->again);
 *
 * Where no split helps, and for indices known at run time only (gather, slice_at), a derived symbol stands for the index: a
 * quotient `of / div % mod`, or a loaded integer. An Access is a base (a stored node, or an iota) and an affine address: offset
 * and one stride a symbol, in elements. So every access is a strided view over the symbols, which is just what the tile IR's
 * buffers are. */
#ifndef CODEGEN_ACCESS_H
#define CODEGEN_ACCESS_H
#include "ir/graph.h"

#define MAX_SYMBOLS 32

/* c + sum of coef[s] * symbol s; coef NULL: 0. */
typedef struct Affine {
    Size c;
    Size coef[MAX_SYMBOLS];
} Affine;

typedef struct Access Access;

typedef struct Symbol {
    Size n;    /* values 0 .. n - 1 */
    int axis;  /* of a loop symbol: its axis; -1: derived */
    bool gone; /* merged into the next one */
    /* derived */
    Affine *of; /* of / div % mod; mod NULL: of / div, clamped */
    Size all;   /* of lies in 0 .. all - 1; NULL: not known */
    Size div, mod;
    Access *load; /* the loaded integer, clamped into 0 .. n - 1 */
    Node *scalar; /* the same, of a value of the kernel */
} Symbol;

struct Access {
    Node *base; /* what is read: a stored value; CONST, IOTA or SIZE leaf */
    Affine at;  /* address in elements; of an iota: the index along its axis; of const and size: nothing */
    /* free for the schedule: */
    const char *name;  /* of the buffer declared for it */
    const char *value; /* what was loaded, in the block `block` */
    int block;
    int64_t step; /* Point.step at that time */
    bool vector;
};

typedef struct Space {
    Arena *arena;
    SizeTable *table;
    int n_axes;
    Size dim[MAX_SYMBOLS];
    Size origin[MAX_SYMBOLS];        /* where the index along an axis begins; NULL: 0 */
    LIST(Size) factors[MAX_SYMBOLS]; /* of each axis, outermost first */
    int n;                           /* symbols */
    Symbol symbol[MAX_SYMBOLS];
    LIST(Affine *) affines; /* those in use: merging must suit them */
    LIST(Access *) accesses;
    bool again; /* an axis was split: follow everything again */
} Space;

Space *space_new(Arena *arena, SizeTable *table, int n_axes, const Size *dim);
void space_begin(Space *sp);             /* forgets accesses and derived symbols, makes the loop symbols */
Affine *space_axis(Space *sp, int axis); /* the index along an axis */
Affine *affine_const(Space *sp, Size c);
void space_keep(Space *sp, Affine *a); /* the schedule will use this one: merging must suit it */
/* Row-major index over the axes listed. */
Affine *space_linear(Space *sp, int n, const int *axes);

/* Index of each axis of shape `to` from those of shape `from` (equal numbers of elements, row-major order kept). */
void space_reshape(Space *sp, int n_from, const Size *from, Affine *const *index, int n_to, const Size *to, Affine **out);
/* What the views from x on are made of, and its index[] where x has the index given[]. */
Node *access_behind(Space *sp, Node *x, Affine *const *given, Affine **index);
/* Follows views from x, indexed by index[] (one an axis of x), to what they are made of. */
Access *access_follow(Space *sp, Node *x, Affine *const *index);
/* The same for a node's own memory: row-major. */
Access *access_own(Space *sp, Node *x, Affine *const *index);
/* A node's own memory at a row-major index. */
Access *access_linear(Space *sp, Node *x, const Affine *linear);
/* A symbol for a loaded integer, clamped to 0 .. n - 1; an affine if the integer is a constant or an iota in range. */
Affine *access_index(Space *sp, Access *load, Size n);
/* The same as a derived symbol in any case. */
Affine *access_place(Space *sp, Access *load, Size n);

/* The same for a rank 0 value that the kernel computes. */
Affine *access_scalar(Space *sp, Node *scalar, Size n);
/* The index brought into 0 .. n - 1: itself if it is provably there. */
Affine *access_clamped(Space *sp, const Affine *index, Size n);
/* 1: the index always lies in 0 .. n - 1; -1: never; 0: not known. */
int affine_inside(Space *sp, const Affine *index, Size n);

/* Merges neighbouring loop symbols of one class (class[axis]) wherever every affine allows it. A run-time outer symbol stays
 * apart from an inner one of a static size that is a multiple of `keep` and at least twice it (0: never apart). */
void space_merge(Space *sp, const int *class, int keep);
/* Does the affine depend on the symbol, derived ones included? */
bool affine_uses(const Space *sp, const Affine *a, int symbol);
/* Does the address depend on the symbol through a derived one? Then lanes along the symbol cannot be one load. */
bool access_bends(const Space *sp, const Access *a, int symbol);
bool affine_equal(const Affine *a, const Affine *b);
/* Are the places of a after m and of b after n more steps along symbol s always the same? */
bool access_meets(const Access *a, int64_t m, const Access *b, int64_t n, int s);
Affine *affine_copy(Space *sp, const Affine *a);
void affine_add(Affine *to, const Affine *a); /* to += a */
void affine_add_scaled(Affine *to, const Affine *a, Size by);
/* The access through one loop symbol, *joined, that counts the places of two: outer ones of inner ones. NULL: the inner ones do not lie one
 * behind the other. Merging is over. */
Access *access_joined(Space *sp, const Access *a, int outer, int inner, int *joined);

#endif
