/* unpack.c -- LZMA without a header, after Igor Pavlov's specification (lzma-specification.txt, in the public domain). A range coder gives one
 * bit at a time, each with the chance that the bits before it in the same place had; the bits say: a byte as it is, or a length and how far back
 * the same bytes stand, the last four distances by their number. */
#include "runtime/unpack.h"

enum { STATES = 12, PLACES = 1 << PACK_PLACE, NEAR = 14 /* distances from this slot on have bits that are not guessed */, HALF = 1024 };

typedef uint16_t Chance; /* of a 0, of 2048 */

typedef struct Lengths {
    Chance choice[2], low[PLACES][8], middle[PLACES][8], high[256];
} Lengths;

typedef struct Model {
    Chance match[STATES][PLACES], repeat[STATES], first[STATES], second[STATES], third[STATES], one[STATES][PLACES];
    Chance slot[4][64], near[1 + 128 - NEAR], align[16];
    Lengths lengths, repeat_lengths;
    Chance literal[1 << PACK_LITERAL][0x300];
} Model;
_Static_assert(sizeof(Model) <= RT_UNPACK_WORK, "RT_UNPACK_WORK");

typedef struct Reader {
    const unsigned char *at, *end;
    uint32_t range, code;
    bool over; /* it wanted more than there is */
} Reader;

static uint32_t byte_next(Reader *r) {
    if (r->at < r->end) return *r->at++;
    r->over = true;
    return 0;
}

static void normalize(Reader *r) {
    if (r->range >> 24) return;
    r->range <<= 8;
    r->code = r->code << 8 | byte_next(r);
}

static unsigned bit(Reader *r, Chance *p) {
    uint32_t bound = (r->range >> 11) * *p;
    unsigned one = r->code >= bound;
    if (one) {
        r->range -= bound;
        r->code -= bound;
        *p = (Chance)(*p - (*p >> 5));
    } else {
        r->range = bound;
        *p = (Chance)(*p + ((2048 - *p) >> 5));
    }
    normalize(r);
    return one;
}

/* n bits, the highest first. */
static unsigned tree(Reader *r, Chance *p, int n) {
    unsigned m = 1;
    for (int i = 0; i < n; i++) m = m << 1 | bit(r, p + m);
    return m - (1u << n);
}

/* .. the lowest first. */
static unsigned tree_reversed(Reader *r, Chance *p, int n) {
    unsigned m = 1, value = 0;
    for (int i = 0; i < n; i++) {
        unsigned b = bit(r, p + m);
        m = m << 1 | b;
        value |= b << i;
    }
    return value;
}

/* .. each as likely as not. */
static unsigned plain(Reader *r, int n) {
    unsigned value = 0;
    for (int i = 0; i < n; i++) {
        r->range >>= 1;
        unsigned b = r->code >= r->range;
        if (b) r->code -= r->range;
        normalize(r);
        value = value << 1 | b;
    }
    return value;
}

/* Less 2, the shortest. */
static unsigned length(Reader *r, Lengths *l, unsigned place) {
    if (!bit(r, &l->choice[0])) return tree(r, l->low[place], 3);
    if (!bit(r, &l->choice[1])) return 8 + tree(r, l->middle[place], 3);
    return 16 + tree(r, l->high, 8);
}

static unsigned distance(Reader *r, Model *m, unsigned length) {
    unsigned slot = tree(r, m->slot[length < 3 ? length : 3], 6);
    if (slot < 4) return slot;
    int n = (int)(slot >> 1) - 1;
    unsigned high = (2 | (slot & 1)) << n;
    if (slot < NEAR) return high + tree_reversed(r, m->near + high - slot, n);
    high += plain(r, n - 4) << 4;
    return high + tree_reversed(r, m->align, 4);
}

/* A byte; where the one before it was repeated, the byte that would go on with that is a guess, until they differ. */
static unsigned literal(Reader *r, Chance *p, bool guessed, unsigned guess) {
    unsigned m = 1;
    while (guessed && m < 0x100) {
        unsigned want = guess >> 7 & 1, got = bit(r, p + ((1 + want) << 8) + m);
        guess <<= 1;
        m = m << 1 | got;
        guessed = want == got;
    }
    while (m < 0x100) m = m << 1 | bit(r, p + m);
    return m & 0xff;
}

/* One of the last four distances, which becomes the last. */
static void distance_old(Reader *r, Model *m, unsigned state, unsigned *back) {
    int i = !bit(r, &m->second[state]) ? 1 : !bit(r, &m->third[state]) ? 2 : 3;
    unsigned d = back[i];
    for (; i; i--) back[i] = back[i - 1];
    back[0] = d;
}

bool rt_unpack(void *work, const unsigned char *packed, int64_t n_packed, unsigned char *out, int64_t n) {
    Model *m = work;
    Reader r = {.at = packed, .end = packed + n_packed, .range = UINT32_MAX};
    unsigned state = 0, back[4] = {0};
    for (unsigned i = 0; i < sizeof *m / sizeof(Chance); i++) ((Chance *)m)[i] = HALF;
    if (byte_next(&r)) return false;
    for (int i = 0; i < 4; i++) r.code = r.code << 8 | byte_next(&r);
    for (int64_t at = 0; at < n && !r.over;) {
        unsigned place = (unsigned)at & (PLACES - 1), count;
        if (!bit(&r, &m->match[state][place])) {
            unsigned before = at ? out[at - 1] : 0;
            bool guessed = state >= 7;
            out[at] = (unsigned char)literal(&r, m->literal[before >> (8 - PACK_LITERAL)], guessed, guessed ? out[at - back[0] - 1] : 0);
            at++;
            state = state < 4 ? 0 : state < 10 ? state - 3 : state - 6;
            continue;
        }
        if (!bit(&r, &m->repeat[state])) {
            for (int i = 3; i; i--) back[i] = back[i - 1];
            count = length(&r, &m->lengths, place);
            back[0] = distance(&r, m, count);
            count += 2;
            state = state < 7 ? 7 : 10;
        } else if (bit(&r, &m->first[state])) {
            distance_old(&r, m, state, back);
            count = 2 + length(&r, &m->repeat_lengths, place);
            state = state < 7 ? 8 : 11;
        } else if (bit(&r, &m->one[state][place])) {
            count = 2 + length(&r, &m->repeat_lengths, place);
            state = state < 7 ? 8 : 11;
        } else {
            count = 1;
            state = state < 7 ? 9 : 11;
        }
        if (back[0] >= at || count > n - at) return false;
        for (; count; count--, at++) out[at] = out[at - back[0] - 1];
    }
    return !r.over;
}
