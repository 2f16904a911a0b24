/* lower_impl.h -- state and helpers of the lowering to CUDA C, private to codegen/cuda/lower*.c. */
#ifndef CODEGEN_CUDA_LOWER_IMPL_H
#define CODEGEN_CUDA_LOWER_IMPL_H
#include "codegen/cuda/lower.h"
#include "codegen/tile_walk.h"
#include "runtime/runtime.h"

/* What a square of a matrix is a part of: `rank` dimensions of an argument, that of the vectors first; dim[row]: that of the rows. */
typedef struct CudaMap {
    const TileSym *s;
    int rank, row, dim[RT_MAP_RANK];
} CudaMap;

typedef struct Cuda {
    TileWalk w;
    TileKernel *k;
    Text body;
    const char **name; /* of each symbol in C, by id */
    bool *shared;      /* by id: what one lane stores another may load */
    int temporaries;
    int levels;         /* loops and indices around the place under way */
    int64_t used, most; /* bytes of buffers: here, and at most */
    CudaRoom room;      /* as cuda_lower says */
    bool table;
    bool sharing; /* in a loop that the warps of a group share: its tile's registers are free again */
    bool by_maps, unmapped; /* squares come by maps, where the device can; one of them does not */
    CudaMap maps[RT_MAPS];
    int n_maps;
    bool collective;    /* it has statements of a warp, or a group: its buffers must lie in shared memory */
} Cuda;

/* A value: what this thread holds of it, as an expression in C. literal != NULL: a number without a type so far. */
typedef struct CudaValue {
    const char *text;
    TileType t;
    const TileExpr *literal;
} CudaValue;

const char *cuda_type(DType d);   /* of a value: f16 and bf16 as their bits, bool as int */
const char *cuda_memory(DType d); /* of an element in memory: a bool is a byte */
const char *cuda_lane(Cuda *c, int n); /* the lane of n that this thread holds */
const char *cuda_poly(Cuda *c, TilePoly p);
const char *cuda_zero(DType d);

void cuda_warp_statement(Cuda *c, const TileStmt *s);  /* copy to weigh, of tile.h, in a kernel of warps */
/* The number of the map by which a copy to a square may come; *at: the map's rank, indices of the square in its order, 0 behind them. -1: by none. */
int cuda_map(Cuda *c, const TileStmt *s, const char **at);
void cuda_maps_write(Cuda *c, CudaKernel *made); /* what the runtime must know of them */
void cuda_group_statement(Cuda *c, const TileStmt *s); /* .. of groups */
CudaValue cuda_expr(Cuda *c, const TileExpr *e);
const char *cuda_as(Cuda *c, CudaValue v, TileType t); /* literals get the element type; one lane is every lane */
const char *cuda_cast(Cuda *c, const char *x, DType from, DType to);
const char *cuda_element(Cuda *c, const TileSym *reg, int i); /* of a register tile */
const char *cuda_place(Cuda *c, const TileAccess *a, int n);  /* this thread's element: "a0[128 * x0 + nt_lane]" */
const char *cuda_inside(Cuda *c, const TileAccess *a, int n); /* is its lane below the limit? NULL: always */

#endif
