/* classify.c -- names clothes on a device. Reads pictures in the IDX format of Fashion-MNIST from standard input, and their labels behind
 * them; prints the first five and how many of the first 1,000 it got right. The session lies in memory of the program's own. */
#include "mlp.h"

#include <stdio.h>

#define PICTURES 1000

static const char *const kind[] = {"T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot"};
static _Alignas(64) char memory[1 << 18];
static unsigned char pictures[PICTURES][28 * 28], labels[PICTURES];

/* Reads `wanted` items of `bytes` behind a head of `head` bytes, whose second word is the number of items, and passes over the rest. */
static int idx_read(void *to, int head, int bytes, int wanted) {
    unsigned char word[16], rest[28 * 28];
    if (fread(word, 1, (size_t)head, stdin) != (size_t)head) return 0;
    int n = word[4] << 24 | word[5] << 16 | word[6] << 8 | word[7];
    if (n < wanted || fread(to, (size_t)bytes, (size_t)wanted, stdin) != (size_t)wanted) return 0;
    while (n-- > wanted)
        if (fread(rest, (size_t)bytes, 1, stdin) != 1) return 0;
    return 1;
}

int main(void) {
    mdl_options options = {.size = sizeof options, .threads = 1, .memory = memory, .memory_bytes = sizeof memory};
    mdl_session *session;
    int right = 0;
    if (!idx_read(pictures, 16, 28 * 28, PICTURES) || !idx_read(labels, 8, 1, PICTURES)) return puts("no pictures and labels"), 1;
    if (mlp_open(&session, &options)) return puts(mlp_model()->error(NULL)), 1;
    for (int i = 0; i < PICTURES; i++) {
        int32_t label;
        float probability[10];
        if (mlp_predict(session, 1, pictures[i], &label, probability)) return puts(mdl_error(session)), 1;
        right += label == labels[i];
        if (i < 5) printf("picture %d: %s, %.0f %%\n", i, kind[label], 100 * (double)probability[label]);
    }
    printf("%d of %d are right\n", right, PICTURES);
    mdl_close(session);
    return 0;
}
