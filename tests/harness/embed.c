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

/* 1; ends the program where modelc has no such runtime inside. */
static int runtime_there(const char *kind, const char *target) {
    char name[64];
    snprintf(name, sizeof name, "%s-%s.o", kind, target);
    for (const Embedded *e = embedded_runtime; e->name; e++)
        if (!strcmp(e->name, name) && !memcmp(e->text, strcmp(target, "wasm32") ? "\177ELF" : "\0asm", 4)) return 1;
    printf("%s is not in embedded_runtime\n", name);
    exit(1);
}

int main(void) {
    if (table_check(embedded_std, "frontend/std") < 1) return 1;
    if (table_check(embedded_header, "runtime") != 1) return 1;
    static const char *const hosted[] = {"x86-64", "aarch64", "armv7", "riscv64"}, *const bare[] = {"thumbv7em", "wasm32"};
    int n = 0, n_hosted = sizeof hosted / sizeof *hosted, n_bare = sizeof bare / sizeof *bare;
    for (int i = 0; i < n_hosted; i++) n += runtime_there("runtime", hosted[i]) + runtime_there("runtime-core", hosted[i]);
    for (int i = 0; i < n_bare; i++) n += runtime_there("runtime-core", bare[i]);
    n += runtime_there("runtime-device", "x86-64");
    if (embedded_runtime[n].name) return puts("embedded_runtime has an object that this test does not know"), 1;
    return 0;
}
