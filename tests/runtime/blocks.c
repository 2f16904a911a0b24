/* blocks.c -- slots and packs that are needed together lie in one block, those that are not stand by themselves; in the caller's memory nothing
 * is added. */
#include "runtime/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failed;

#define WANT(x) ((x) ? (void)0 : (void)(failed++, printf("%d: %s\n", __LINE__, #x)))

static bool is_zero(const char *p, int n) {
    for (int i = 0; i < n; i++)
        if (p[i]) return false;
    return true;
}

int main(void) {
    enum { A = 1 << 20, B = 100, C = 700000 };
    mdl_session s = {0};
    rt_room(&s, rt_aligned(A) + rt_aligned(B) + rt_aligned(C));
    char *a = rt_place(&s, A), *b = rt_place(&s, B), *c = rt_place(&s, C);
    WANT(b == a + rt_aligned(A) && c == b + rt_aligned(B)); /* one behind the other, to the last byte */
    WANT((uintptr_t)a % RT_ALIGN == 0 && s.room_bytes == 0);
    char *none = rt_place(&s, 0); /* not behind the last one: it would belong to nobody */
    WANT(none && none != s.room);
    WANT(is_zero(a, A) && is_zero(b, B) && is_zero(c, C));
    memset(a, 1, A), memset(b, 1, B), memset(c, 1, C);
    char *alone = rt_place(&s, B); /* there is no room any more */
    WANT(alone && is_zero(alone, B));
    WANT(!rt_place(&s, -1) && !rt_place(&s, (int64_t)1 << 60));

    rt_room(&s, 640);
    char *block = s.room;
    rt_room(&s, 320); /* there is that much */
    rt_room(&s, 0);
    WANT(s.room == block);
    char *large = rt_place(&s, 1000); /* more than that */
    WANT(large && large != block);
    WANT(rt_place(&s, 640) == block);
    rt_room(&s, (int64_t)1 << 60); /* more than there is: not an error yet */
    WANT(s.room_bytes == 0);

    rt_displace(&s, alone), rt_displace(&s, large), rt_displace(&s, none); /* freed: AddressSanitizer sees it where one of the others is, too, or one of these is not */
    rt_displace(&s, a), rt_displace(&s, b), rt_displace(&s, c), rt_displace(&s, block);
    a[0] = b[0] = c[0] = block[0] = 2;
    int n = 0;
    for (RtBlock *p = s.blocks, *next; p; p = next, n++) {
        next = p->next;
        free(p);
    }
    WANT(n == 2);

    char *own = aligned_alloc(RT_ALIGN, 4096);
    mdl_session caller = {.memory = own, .memory_bytes = 4096};
    rt_room(&caller, 1024);
    WANT(!caller.blocks && caller.memory_used == 0);
    WANT(rt_place(&caller, 100) == own && rt_place(&caller, 1) == own + 128);
    free(own);
    return failed != 0;
}
