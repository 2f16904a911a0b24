/* quantize_taps.c -- depthwise convolutions of quantized weights: products up to here, sums of maps over the taps from here on, as the pass
 * layout makes them of other weights at once.
 *
 *   %y: f32[n, i, j, c] = contract %x[n i u j v c], %w[u v c] -> [n i j c]      %x: windows
 *   →   %y = sum over u, v of (%x at u, v) * (expand %w at u, v)                of whole numbers in i32 if %x is codes
 */
#include "passes/quantize.h"

#include <string.h>

enum { TAPS_MOST = 64 };

bool quantize_is_windows(const Node *x) {
    for (; x->op == OP_PERMUTE || x->op == OP_RESHAPE || x->op == OP_WINDOW; x = x->in[0])
        if (x->op == OP_WINDOW) return true;
    return false;
}

/* Do windows meet weights of their own channels alone, which lie innermost? */
static bool is_depthwise(const Node *x, const Node *w, const char *of_x, const char *of_w, const char *result) {
    size_t last = strlen(of_x) - 1, end = strlen(result) - 1;
    int64_t taps = 1, n;
    if (!quantize_is_windows(x) || of_x[last] != result[end] || !strchr(of_w, of_x[last])) return false;
    for (int i = 0; of_w[i]; i++) {
        if (!strchr(of_x, of_w[i]) || (of_w[i] != of_x[last] && strchr(result, of_w[i]))) return false;
        if (of_w[i] == of_x[last]) continue;
        if (!size_is_const(w->type.dim[i], &n)) return false;
        taps *= n;
    }
    return taps <= TAPS_MOST;
}

/* The part of x where the axes of some letters are at their places: without these axes. */
static Node *part_at(Graph *g, Node *x, const char *letters, const char *summed, const int64_t *place) {
    Size lo[MAX_RANK], hi[MAX_RANK], dim[MAX_RANK];
    int rank = 0;
    for (int i = 0; letters[i]; i++) {
        const char *at = strchr(summed, letters[i]);
        lo[i] = size_const(g->program->sizes, at ? place[at - summed] : 0);
        hi[i] = at ? size_const(g->program->sizes, place[at - summed] + 1) : x->type.dim[i];
        if (!at) dim[rank++] = x->type.dim[i];
    }
    return node_reshape(g, node_slice(g, x, lo, hi), rank, dim);
}

/* w with the axis of its channels last, as another type: one small value, of which all taps are parts. */
static Node *channels_last(Graph *g, Node *w, const char *of_w, char channel, DType type, char *letters) {
    int order[MAX_RANK], n = 0, last = (int)(strchr(of_w, channel) - of_w);
    for (int i = 0; of_w[i]; i++)
        if (i != last) order[n++] = i;
    order[n] = last;
    for (int i = 0; i <= n; i++) letters[i] = of_w[order[i]];
    letters[n + 1] = 0;
    return node_cast(g, node_permute(g, w, order), type);
}

static Node *sum_of_taps(Graph *g, Node *x, Node *w, const char *of_x, const char *of_w, const char *result) {
    if (!is_depthwise(x, w, of_x, of_w, result)) return NULL;
    DType type = x->type.dtype == DT_I8 ? DT_I32 : x->type.dtype;
    char letters[MAX_RANK + 1], summed[MAX_RANK + 1];
    w = channels_last(g, w, of_w, result[strlen(result) - 1], type, letters);
    int n = (int)strlen(letters) - 1;
    memcpy(summed, letters, (size_t)n);
    summed[n] = 0;
    int64_t place[MAX_RANK] = {0};
    Node *sum = NULL;
    for (int i = n; i >= 0;) { /* the places of the summed letters, like the digits of a number */
        Node *tap = node_cast(g, part_at(g, x, of_x, summed, place), type), *one = part_at(g, w, letters, summed, place);
        Node *term = node_map2(g, OP_MUL, tap, node_expand(g, one, tap->type.rank, tap->type.dim));
        sum = sum ? node_map2(g, OP_ADD, sum, term) : term;
        for (i = n - 1; i >= 0 && ++place[i] == size_value(w->type.dim[i]); i--) place[i] = 0;
    }
    return sum;
}

Node *quantize_contract(Graph *g, Node *x, Node *w, const char *of_x, const char *of_w, const char *result) {
    Node *taps = sum_of_taps(g, x, w, of_x, of_w, result);
    return taps ? taps : node_contract(g, x, w, of_x, of_w, result);
}

Node *quantize_copy(Rewrite *r, const Node *n) {
    const char *const *labels = n->attrs.labels;
    Node *taps = n->op == OP_CONTRACT ? sum_of_taps(r->to, r->map[n->in[0]->id], r->map[n->in[1]->id], labels[0], labels[1], labels[2]) : NULL;
    return taps ? taps : rewrite_copy(r, n);
}
