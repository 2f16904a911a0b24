/* near.c -- near A.npy B.npy: are two arrays of f32 equal within 1e-5 + 1e-4 |b|? Prints how many values agree, or the first
 * that do not. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Npy {
    char header[512]; /* as text, with the shape */
    float *at;
    long n;
} Npy;

static Npy npy_read(const char *path) {
    Npy a = {0};
    FILE *f = fopen(path, "rb");
    unsigned char head[10];
    if (!f || fread(head, 1, 10, f) != 10 || memcmp(head, "\x93NUMPY\1", 7)) {
        printf("%s is no .npy\n", path);
        exit(1);
    }
    size_t length = head[8] + 256u * head[9];
    if (length >= sizeof a.header || fread(a.header, 1, length, f) != length || !strstr(a.header, "<f4")) {
        printf("%s: not an array of f32: %s\n", path, a.header);
        exit(1);
    }
    long begin = ftell(f);
    fseek(f, 0, SEEK_END);
    a.n = (ftell(f) - begin) / 4;
    a.at = malloc((size_t)a.n * 4 + 1);
    fseek(f, begin, SEEK_SET);
    if (!a.at || fread(a.at, 4, (size_t)a.n, f) != (size_t)a.n) exit(1);
    fclose(f);
    return a;
}

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    Npy a = npy_read(argv[1]), b = npy_read(argv[2]);
    int wrong = strcmp(a.header, b.header) != 0;
    if (wrong) printf("%s is %s%s is %s", argv[1], a.header, argv[2], b.header);
    for (long i = 0; i < a.n && !wrong; i++) {
        wrong = !(fabs((double)a.at[i] - (double)b.at[i]) <= 1e-5 + 1e-4 * fabs((double)b.at[i]));
        if (wrong) printf("[%ld]: %.9g and %.9g\n", i, (double)a.at[i], (double)b.at[i]);
    }
    if (!wrong) printf("%ld values agree\n", a.n);
    free(a.at);
    free(b.at);
    return wrong;
}
