/* files.c -- what a linked file holds: an archive and an object of a model define its exported functions and nothing else that
 * is global, twice the same input gives the same bytes, and the shared library needs no library but libc and libm. */
#include "tests/artifact/kit.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char program[] = "program tiny\n"
                              "slot w param f32[4]\n"
                              "init\n"
                              "  %0: f32[4] = const 2.0\n"
                              "  store w = %0\n"
                              "entry twice(x: f32[4]) -> (y: f32[4])\n"
                              "  %0: f32[4] = input 0 x\n"
                              "  %1: f32[4] = slot w\n"
                              "  %2: f32[4] = mul %0, %1\n"
                              "  results y = %2\n";

typedef struct Section {
    Elf64_Shdr header;
    const char *at;
} Section;

static Section section_at(const char *object, int index) {
    Elf64_Ehdr e;
    Section s;
    memcpy(&e, object, sizeof e);
    memcpy(&s.header, object + e.e_shoff + sizeof s.header * (size_t)index, sizeof s.header);
    s.at = object + s.header.sh_offset;
    return s;
}

static Section section_of(const char *object, Elf64_Word type) {
    Elf64_Ehdr e;
    memcpy(&e, object, sizeof e);
    for (int i = 1; i < e.e_shnum; i++) {
        Section s = section_at(object, i);
        if (s.header.sh_type == type) return s;
    }
    CHECK(!"section not found");
}

/* Every symbol that is global and defined is exported on purpose; all three are there. */
static void symbols_check(const char *object) {
    Section table = section_of(object, SHT_SYMTAB);
    const char *names = section_at(object, (int)table.header.sh_link).at;
    int found = 0;
    for (size_t i = 1; i < table.header.sh_size / sizeof(Elf64_Sym); i++) {
        Elf64_Sym s;
        memcpy(&s, table.at + i * sizeof s, sizeof s);
        bool global = ELF64_ST_BIND(s.st_info) != STB_LOCAL;
        CHECK(global == (i >= table.header.sh_info));
        if (!global || s.st_shndx == SHN_UNDEF) continue;
        const char *name = names + s.st_name;
        CHECK(!strcmp(name, "tiny_model") || !strcmp(name, "tiny_open") || !strcmp(name, "tiny_twice"));
        found++;
    }
    CHECK(found == 3);
}

static void needed_check(const char *library) {
    Section dynamic = section_of(library, SHT_DYNAMIC);
    const char *names = section_at(library, (int)dynamic.header.sh_link).at;
    for (size_t i = 0; i < dynamic.header.sh_size / sizeof(Elf64_Dyn); i++) {
        Elf64_Dyn d;
        memcpy(&d, dynamic.at + i * sizeof d, sizeof d);
        if (d.d_tag != DT_NEEDED) continue;
        const char *name = names + d.d_un.d_val;
        CHECK(!strcmp(name, "libc.so.6") || !strcmp(name, "libm.so.6"));
    }
}

static void shared_check(void) {
    Kit k = kit_make(program, ARTIFACT_SHARED, 2), again = kit_make(program, ARTIFACT_SHARED, 2);
    CHECK(k.file.n == again.file.n && !memcmp(k.file.at, again.file.at, again.file.n));
    needed_check(k.file.at);
    Bytes header = artifact_header(k.arena, k.program, k.entries, false, NULL);
    CHECK(strstr(header.at, "int tiny_twice(mdl_session *s, const float *x, float *y);   /* x[4], y[4] */\n"));
    CHECK(strstr(header.at, "#define TINY_ARENA_TWICE "));
    kit_free(&k);
    kit_free(&again);
}

static void object_check(void) {
    Kit k = kit_make(program, ARTIFACT_OBJECT, 2);
    symbols_check(k.file.at);
    kit_free(&k);
}

static void archive_check(void) {
    Kit k = kit_make(program, ARTIFACT_ARCHIVE, 2);
    CHECK(!memcmp(k.file.at, "!<arch>\n/ ", 10));
    kit_free(&k);
}

/* lld 19 keeps pointers of a shared link that a relocatable one trips over; modelc links once in its life, and each kind has a
 * process here. */
int main(void) {
    void (*const checks[])(void) = {shared_check, object_check, archive_check};
    int failed = 0;
    for (int i = 0; i < 3; i++) {
        int status;
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            checks[i]();
            exit(0);
        }
        CHECK(waitpid(child, &status, 0) == child);
        failed += status != 0;
    }
    return failed != 0;
}
