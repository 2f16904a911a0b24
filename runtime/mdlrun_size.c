/* mdlrun_size.c -- what takes the bytes of an artifact: `modelc size`, and the figures that budgets are held against.
 *
 * Read from the file alone, of any architecture: sections by their flags (libelf), functions by their symbols. Generated functions
 * are known by name (codegen/tile.h and entry.c give them): k12_contract, and k12_contract.thunk beside it, are a kernel, m1.k3_rows
 * one of the second module; run.predict, arena.predict, init.net.0.weight ... belong to entries; the rest of the code is the
 * runtime's. Which kernel is which product of which layer says the description ("kernels"). */
#include "runtime/mdlrun.h"

#include <ctype.h>
#include <gelf.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name, *help;
} parts[] = {
#define X(name, said, help) {said, help},
    SIZE_PARTS(X)
#undef X
};

const char *size_part_name(SizePart part) {
    return parts[part].name;
}

/* ---- reading ------------------------------------------------------------------------------------------------------------- */

static void not_readable(Tool *t, const char *path) __attribute__((noreturn));
static void not_readable(Tool *t, const char *path) {
    int code = elf_errno();
    tool_fail(t, EXIT_INPUT, "%s is not an artifact of modelc: %s", path, code ? elf_errmsg(code) : "it is no ELF file");
}

/* Characters of a function's name that name its kernel: of "m1.k3_rows.thunk" the first ten; 0: it is none. */
static size_t kernel_name_length(const char *name) {
    const char *at = name;
    if (*at == 'm' && isdigit((unsigned char)at[1])) {
        for (at++; isdigit((unsigned char)*at); at++);
        if (*at++ != '.') return 0;
    }
    if (*at++ != 'k' || !isdigit((unsigned char)*at)) return 0;
    while (isdigit((unsigned char)*at)) at++;
    if (*at != '_') return 0;
    return (size_t)(at - name) + strcspn(at, ".");
}

static bool entry_function(const char *name, const char *model) {
    static const char *const beginnings[] = {"run.", "arena.", "init.", "bytes.", "shape.", "value.", "entry.", "flops.", "mdl_model_"};
    for (size_t i = 0; i < sizeof beginnings / sizeof *beginnings; i++)
        if (!strncmp(name, beginnings[i], strlen(beginnings[i]))) return true;
    size_t n = strlen(model);
    return !strncmp(name, model, n) && name[n] == '_';
}

static void kernel_add(Tool *t, Sizes *s, const char *name, size_t length, int64_t bytes) {
    for (int i = 0; i < s->n_kernels; i++) {
        SizeKernel *k = &s->kernels[i];
        if (strncmp(k->function, name, length) || k->function[length]) continue;
        k->bytes += bytes;
        return;
    }
    if (s->n_kernels % 64 == 0)
        s->kernels = tool_resize(t, s->kernels, sizeof *s->kernels * (size_t)s->n_kernels, sizeof *s->kernels * (size_t)(s->n_kernels + 64));
    s->kernels[s->n_kernels++] = (SizeKernel){.function = tool_copy(t, name, length), .bytes = bytes, .name = "", .path = "", .source = ""};
}

/* Functions of one table of symbols; *code loses what they take of it. */
static void symbols_count(Tool *t, Sizes *s, Elf *elf, Elf_Scn *section, const GElf_Shdr *head, const char *model, int64_t *code) {
    Elf_Data *data = elf_getdata(section, NULL);
    size_t n = data && head->sh_entsize ? data->d_size / head->sh_entsize : 0;
    for (size_t i = 0; i < n; i++) {
        GElf_Sym symbol;
        if (!gelf_getsym(data, (int)i, &symbol) || GELF_ST_TYPE(symbol.st_info) != STT_FUNC || symbol.st_shndx == SHN_UNDEF) continue;
        const char *name = elf_strptr(elf, head->sh_link, symbol.st_name);
        int64_t bytes = (int64_t)symbol.st_size;
        if (!name || bytes < 0 || bytes > *code) continue;
        size_t kernel = kernel_name_length(name);
        *code -= bytes;
        if (kernel) kernel_add(t, s, name, kernel, bytes);
        s->bytes[kernel ? SIZE_KERNELS : entry_function(name, model) ? SIZE_ENTRIES : SIZE_RUNTIME] += bytes;
    }
}

/* What a section that is no code is. */
static SizePart section_part(const GElf_Shdr *head, const char *name) {
    if (!strcmp(name, ".mdl.weights")) return SIZE_WEIGHTS;
    if (!strcmp(name, ".mdl.meta")) return SIZE_DESCRIPTION;
    switch (head->sh_type) {
    case SHT_RELA:
    case SHT_REL:
    case SHT_DYNSYM:
    case SHT_HASH:
    case SHT_GNU_HASH:
    case SHT_DYNAMIC: return SIZE_LINKING;
    default: break;
    }
    if (!strcmp(name, ".dynstr") || !strncmp(name, ".got", 4)) return SIZE_LINKING;
    return head->sh_flags & SHF_ALLOC ? SIZE_TABLES : SIZE_SYMBOLS;
}

/* The first ELF file of an archive (ar(5): a magic word, then members, each with a header of 60 characters, its size at 48), which
 * for libelf needs a file descriptor; other bytes as they are. */
static void archive_member(const char **bytes, size_t *n) {
    enum { MAGIC = 8, HEADER = 60 };
    if (*n < MAGIC || memcmp(*bytes, "!<arch>\n", MAGIC)) return;
    size_t at = MAGIC;
    while (*n - at >= HEADER) {
        char text[11] = "";
        memcpy(text, *bytes + at + 48, 10);
        size_t size = strtoul(text, NULL, 10), room = *n - at - HEADER;
        if (size > room) return;
        if (size >= 4 && !memcmp(*bytes + at + HEADER, "\177ELF", 4)) {
            *bytes += at + HEADER;
            *n = size;
            return;
        }
        at += HEADER + size + (size & 1);
        if (at > *n) return;
    }
}

static void sections_count(Tool *t, Sizes *s, const char *path, Elf *elf, const char *model) {
    size_t names;
    int64_t code = 0, dynamic = 0;
    Elf_Scn *symbols = NULL;
    if (elf_getshdrstrndx(elf, &names)) not_readable(t, path);
    for (Elf_Scn *section = NULL; (section = elf_nextscn(elf, section));) {
        GElf_Shdr head;
        const char *name = gelf_getshdr(section, &head) ? elf_strptr(elf, names, head.sh_name) : NULL;
        if (!name) not_readable(t, path);
        if (head.sh_type == SHT_NOBITS) continue;
        if (head.sh_size > (uint64_t)s->file) not_readable(t, path);
        if (head.sh_type == SHT_SYMTAB) symbols = section;
        if (head.sh_flags & SHF_EXECINSTR) code += (int64_t)head.sh_size;
        else s->bytes[section_part(&head, name)] += (int64_t)head.sh_size;
        if (!strcmp(name, ".plt")) dynamic += (int64_t)head.sh_size;
    }
    code -= dynamic;
    s->bytes[SIZE_LINKING] += dynamic;
    GElf_Shdr head;
    if (symbols && gelf_getshdr(symbols, &head)) symbols_count(t, s, elf, symbols, &head, model, &code);
    else s->bytes[SIZE_RUNTIME] += code; /* stripped: whose code it is cannot be told */
}

/* Names of kernels from the description. */
static void kernels_name(Sizes *s, const json_t *meta) {
    const json_t *row;
    size_t i;
    json_array_foreach(json_object_get(meta, "kernels"), i, row) {
        const char *words[4];
        for (size_t k = 0; k < 4; k++) {
            words[k] = json_string_value(json_array_get(row, k));
            if (!words[k]) words[k] = "";
        }
        for (int k = 0; k < s->n_kernels; k++) {
            SizeKernel *kernel = &s->kernels[k];
            if (strcmp(kernel->function, words[0])) continue;
            kernel->name = words[1];
            kernel->path = words[2];
            kernel->source = words[3];
        }
    }
}

static int kernel_compare(const void *a, const void *b) {
    const SizeKernel *x = a, *y = b;
    return x->bytes != y->bytes ? (x->bytes < y->bytes) - (x->bytes > y->bytes) : strcmp(x->function, y->function);
}

static Sizes sizes_begun(Tool *t, const char *path, const char *bytes, size_t n, size_t file, json_t **meta) {
    Sizes s = {.file = (int64_t)file};
    elf_version(EV_CURRENT);
    archive_member(&bytes, &n);
    Elf *elf = elf_memory((char *)(uintptr_t)bytes, n);
    if (!elf || elf_kind(elf) != ELF_K_ELF) not_readable(t, path);
    size_t size = 0;
    const char *why, *description = meta_section(elf, &size, &why);
    if (!description) tool_fail(t, EXIT_INPUT, "%s is not an artifact of modelc: %s", path, why);
    *meta = meta_parse(t, path, description, size);
    sections_count(t, &s, path, elf, json_string_value(json_object_get(*meta, "name")));
    elf_end(elf);
    int64_t rest = s.file;
    for (int i = 0; i < SIZE_PART_COUNT; i++) rest -= i == SIZE_PADDING ? 0 : s.bytes[i];
    if (rest < 0) tool_fail(t, EXIT_INPUT, "%s is not an artifact of modelc: its sections overlap", path);
    s.bytes[SIZE_PADDING] = rest;
    kernels_name(&s, *meta);
    if (s.n_kernels) qsort(s.kernels, (size_t)s.n_kernels, sizeof *s.kernels, kernel_compare);
    return s;
}

Sizes sizes_of(Tool *t, const char *path, const char *bytes, size_t n, json_t **meta) {
    return sizes_begun(t, path, bytes, n, n, meta);
}

int64_t size_arena(const json_t *entry, bool *most) {
    const json_t *bytes = json_object_get(entry, "bytes");
    *most = !json_is_integer(bytes);
    if (*most) bytes = json_object_get(entry, "bytes_most");
    return json_is_integer(bytes) ? json_integer_value(bytes) : -1;
}

/* ---- printing ------------------------------------------------------------------------------------------------------------ */

static void print_table(const Sizes *s, const json_t *meta) {
    printf("%12lld  %s\n", (long long)s->file, SIZE_LIBRARY);
    for (int i = 0; i < SIZE_PART_COUNT; i++) printf("%12lld    %-12s %s\n", (long long)s->bytes[i], parts[i].name, parts[i].help);
    const json_t *entry;
    size_t i;
    printf("\n%12s  memory of a call\n", SIZE_ARENA);
    json_array_foreach(json_object_get(meta, "entries"), i, entry) {
        bool most;
        int64_t bytes = size_arena(entry, &most);
        const char *name = json_string_value(json_object_get(entry, "name"));
        if (bytes < 0) printf("%12s    %s, as much as its run-time sizes want\n", "-", name ? name : "");
        else printf("%12lld    %s%s\n", (long long)bytes, name ? name : "", most ? ", at the most that its run-time sizes may be" : "");
    }
    enum { SHOWN = 10 };
    if (s->n_kernels) printf("\n%12s  of %d, the largest\n", "kernels", s->n_kernels);
    for (int k = 0; k < s->n_kernels && k < SHOWN; k++) {
        const SizeKernel *kernel = &s->kernels[k];
        printf("%12lld    %s", (long long)kernel->bytes, *kernel->name ? kernel->name : kernel->function);
        if (*kernel->path) printf("  %s", kernel->path);
        if (*kernel->source) printf("  // %s", kernel->source);
        putchar('\n');
    }
}

json_t *sizes_json(const Sizes *s, const json_t *meta) {
    json_t *o = json_object(), *arena = json_object(), *kernels = json_array();
    const json_t *entry;
    size_t i;
    json_object_set_new(o, SIZE_LIBRARY, json_integer(s->file));
    for (int k = 0; k < SIZE_PART_COUNT; k++) json_object_set_new(o, parts[k].name, json_integer(s->bytes[k]));
    json_array_foreach(json_object_get(meta, "entries"), i, entry) {
        bool most;
        int64_t bytes = size_arena(entry, &most);
        const char *name = json_string_value(json_object_get(entry, "name"));
        json_object_set_new(arena, name ? name : "", bytes < 0 ? json_null() : json_integer(bytes));
    }
    for (int k = 0; k < s->n_kernels; k++) {
        const SizeKernel *kernel = &s->kernels[k];
        json_array_append_new(kernels, json_pack("{s:s, s:s, s:s, s:s, s:I}", "function", kernel->function, "name", kernel->name, "path",
                                                 kernel->path, "source", kernel->source, "bytes", (json_int_t)kernel->bytes));
    }
    json_object_set_new(o, SIZE_ARENA, arena);
    json_object_set_new(o, "functions", kernels);
    return o;
}

void mdlrun_sizes(const char *program, const char *path, const char *bytes, size_t n, size_t file, Sizes *sizes) {
    static Tool t; /* reachable until the end, with all that the figures point to */
    tool_init(&t, program);
    *sizes = sizes_begun(&t, path, bytes, n, file, &t.meta);
}

json_t *mdlrun_report(const char *program, const char *path) {
    static const char *const hashes[] = {"content_hash", "interface_hash", "weights_hash", "target"};
    Tool tool, *t = &tool;
    tool_init(t, program);
    size_t n;
    char *bytes = tool_file_read(t, path, &n);
    Sizes s = sizes_of(t, path, bytes, n, &t->meta);
    json_t *o = sizes_json(&s, t->meta);
    for (size_t i = 0; i < sizeof hashes / sizeof *hashes; i++) {
        json_t *hash = json_object_get(t->meta, hashes[i]);
        if (hash) json_object_set(o, hashes[i], hash);
    }
    tool_free(t);
    return o;
}

int mdlrun_size(const char *program, bool json, const char *path) {
    Tool tool, *t = &tool;
    tool_init(t, program);
    size_t n;
    char *bytes = tool_file_read(t, path, &n);
    json_t *meta;
    Sizes s = sizes_of(t, path, bytes, n, &meta);
    if (json) {
        json_t *o = sizes_json(&s, meta);
        char *text = json_dumps(o, JSON_INDENT(2) | JSON_SORT_KEYS);
        json_decref(o);
        if (!text) tool_fail(t, EXIT_INPUT, "not enough memory");
        puts(text);
        free(text);
    } else {
        print_table(&s, meta);
    }
    json_decref(meta);
    tool_free(t);
    return EXIT_DONE;
}
