/* embed.c -- a model inside a C program: trains steps on its own text, then writes. After `modelc transformer.mdl -o transformer.so`:
 *   cc embed.c ./transformer.so -o embed && ./embed
 * or with transformer.a instead of transformer.so, to have everything in one file (before glibc 2.34 add -lpthread, else it runs on one thread). */
#include "transformer.h"

#include <stdio.h>

int main(void) {
    const char *text = "In the beginning was the Word, and the Word was with God.";
    int32_t ids[1][57], out[20];
    float loss = 0;
    mdl_session *s;
    if (transformer_open(&s, NULL)) return puts(transformer_model()->error(NULL)), 1;
    for (int i = 0; i < 57; i++) ids[0][i] = (unsigned char)text[i];
    for (int i = 0; i < 120; i++)
        if (transformer_step(s, 1, 57, ids[0], &loss)) return puts(mdl_error(s)), 1;
    if (transformer_generate(s, 1, 37, 20, ids[0], 0.1f, out)) return puts(mdl_error(s)), 1;
    printf("loss %.1f\n%.37s", (double)loss, text);
    for (int i = 0; i < 20; i++) putchar(out[i]);
    putchar('\n');
    mdl_close(s);
    return 0;
}
