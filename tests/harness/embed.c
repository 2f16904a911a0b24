/* embed.c -- the tables of ir/embed.h hold the files of the checkout, byte for byte. */
#include "ir/embed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Compares each entry of the table with the file FOLDER/NAME below ROOT; returns the number of entries, -1 after a message. */
static int table_check(const Embedded *table, const char *folder) {
    int n = 0;
    for (; table[n].name; n++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s/%s", getenv("ROOT"), folder, table[n].name);
        FILE *f = fopen(path, "rb");
        if (!f) {
            printf("%s: cannot open\n", path);
            return -1;
        }
        char *text = malloc(table[n].length + 2);
        size_t got = text ? fread(text, 1, table[n].length + 1, f) : 0;
        fclose(f);
        int same = text && got == table[n].length && !memcmp(text, table[n].text, got) && table[n].text[got] == 0;
        free(text);
        if (!same) {
            printf("%s differs from what is embedded\n", path);
            return -1;
        }
        if (n && strcmp(table[n - 1].name, table[n].name) >= 0) {
            printf("%s is out of order\n", path);
            return -1;
        }
    }
    return n;
}

int main(void) {
    if (table_check(embedded_std, "frontend/std") < 1) return 1;
    if (table_check(embedded_header, "runtime") != 1) return 1;
    static const char *const runtimes[] = {"runtime-x86-64.o", "runtime-core-x86-64.o", "runtime-aarch64.o",
                                           "runtime-core-aarch64.o", "runtime-armv7.o", "runtime-core-armv7.o", "runtime-riscv64.o", "runtime-core-riscv64.o"};
    int n = sizeof runtimes / sizeof *runtimes;
    for (int i = 0; i < n; i++) {
        const Embedded *e = &embedded_runtime[i];
        if (e->name && !strcmp(e->name, runtimes[i]) && !memcmp(e->text, "\177ELF", 4)) continue;
        printf("%s is not number %d of embedded_runtime\n", runtimes[i], i);
        return 1;
    }
    if (embedded_runtime[n].name) return puts("embedded_runtime has an object that this test does not know"), 1;
    return 0;
}
