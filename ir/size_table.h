/* size_table.h -- what the size_*.c files share: the table itself. Others use ir/size.h. */
#ifndef IR_SIZE_TABLE_H
#define IR_SIZE_TABLE_H
#include "ir/size.h"

struct SizeTable {
    Arena *arena;
    LIST(Atom *) names;  /* atom of each name, by index */
    LIST(Atom *) others; /* floor, mod, min, max */
    int n_atoms;
    Size *bucket;        /* open addressing; a power of two */
    int bucket_cap, n_nodes;
};

#endif
