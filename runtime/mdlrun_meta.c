/* mdlrun_meta.c -- what an artifact says about itself, read from the file without loading it: `info` works for artifacts of any
 * architecture, and nothing is loaded whose .mdl.meta does not hold together.
 *
 * The section .mdl.meta, in a little-endian ELF file, or the custom section mdl.meta of a module of WebAssembly:
 *
 *     8 bytes   "MDLMETA1"
 *     8 bytes   length of the JSON, little-endian
 *     the JSON  one object, UTF-8
 *     32 bytes  SHA-256 of the JSON
 *
 * The object (writer: codegen/meta.c). Everything may be missing but name; what is not known here is passed over:
 *
 *     {"name": "gpt", "version": "...", "compiler": "modelc 0.1", "target": "x86-64-v3",
 *      "content_hash": "hex", "source_hash": "hex", "interface_hash": "hex", "weights_hash": "hex",
 *      "weights_file": {"name": "gpt.safetensors", "bytes": 123, "hash": "hex"} (with --weights=external),
 *      "sizes":   [{"name": "batch", "low": 1, "high": 64, "entry": -1}],
 *      "entries": [{"name": "step", "train": true, "sizes": ["b", "n"], "source": "gpt.mdl:94", "bytes": 123 or null,
 *                   "bytes_most": 123 or null (where bytes is null: at the upper limits of its sizes),
 *                   "inputs":  [{"name": "ids", "dtype": "i32", "shape": "i32[b, n]"}],
 *                   "outputs": [{"name": "loss", "dtype": "f32", "shape": "f32", "cached": false}]}],
 *      "values":  [{"name": "gpt.wte.weight", "kind": "param" | "state" | "cache", "optimizer": false, "dtype": "f32",
 *                   "shape": "f32[256, 128]", "dims": [256, 128]}],  a dim is null where a run-time size decides
 *      "kernels": [["k2_contract", "contract 384 x 128", "net.0", "gpt.mdl:29"]],  function, name, layer, place
 *      "run":     {"each": "step", ...} or null}
 *
 * "cached" marks a result that depends on a cache: `eval` reports its last value instead of the mean. */
#include "runtime/mdlrun.h"

#include <gelf.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

static void not_artifact(Tool *t, const char *path, const char *why) __attribute__((noreturn));
static void not_artifact(Tool *t, const char *path, const char *why) {
    tool_fail(t, EXIT_INPUT, "%s is not an artifact of modelc: %s", path, why);
}

static uint64_t number_at(const char *at, int bytes) {
    uint64_t v = 0;
    for (int i = bytes; i-- > 0;) v = v << 8 | (unsigned char)at[i];
    return v;
}

/* libelf holds every offset against the file's length before it gives anything away. */
const char *meta_section(Elf *elf, size_t *size, const char **why) {
    size_t names;
    *why = "its table of sections is damaged or missing";
    if (elf_getshdrstrndx(elf, &names)) return NULL;
    size_t length;
    const char *file = elf_rawfile(elf, &length), *found = NULL;
    for (Elf_Scn *section = NULL; (section = elf_nextscn(elf, section));) {
        GElf_Shdr head;
        const char *name = gelf_getshdr(section, &head) ? elf_strptr(elf, names, head.sh_name) : NULL;
        if (!file || !name || strcmp(name, ".mdl.meta")) continue;
        *why = "its section .mdl.meta is cut off";
        if (head.sh_type == SHT_NOBITS || head.sh_offset > length || length - head.sh_offset < head.sh_size) return NULL;
        *size = head.sh_size;
        found = file + head.sh_offset;
    }
    *why = "it has no section .mdl.meta";
    return found;
}

/* Weights stand at the end of a file. */
static bool is_cut(Elf *elf, size_t length) {
    for (Elf_Scn *section = NULL; (section = elf_nextscn(elf, section));) {
        GElf_Shdr head;
        if (!gelf_getshdr(section, &head) || head.sh_type == SHT_NOBITS) continue;
        if (head.sh_offset > length || length - head.sh_offset < head.sh_size) return true;
    }
    return false;
}

static const char *elf_meta(Tool *t, const char *path, const char *file, size_t length, size_t *size) {
    const char *why = "it is no little-endian ELF file", *at = NULL;
    GElf_Ehdr head;
    elf_version(EV_CURRENT);
    Elf *elf = elf_memory((char *)(uintptr_t)file, length);
    if (elf && elf_kind(elf) == ELF_K_ELF && gelf_getehdr(elf, &head) && head.e_ident[EI_DATA] == ELFDATA2LSB) {
        size_t row = gelf_fsize(elf, ELF_T_SHDR, 1, EV_CURRENT);
        if (head.e_type != ET_DYN) why = "it is no shared library (compile with -o NAME.so)";
        else if (head.e_shentsize != row || head.e_shoff > length || (length - head.e_shoff) / row < head.e_shnum)
            why = "its table of sections is damaged or missing";
        else if (is_cut(elf, length)) why = "its end is missing";
        else at = meta_section(elf, size, &why);
    }
    elf_end(elf);
    if (!at) not_artifact(t, path, why);
    return at; /* in the file, not in what libelf made of it */
}

/* A number of WebAssembly: seven bits a byte, lowest first. False: it does not end where it must. */
static bool leb_read(const char *file, size_t length, size_t *at, uint64_t *v) {
    *v = 0;
    for (int shift = 0; shift < 35 && *at < length; shift += 7) {
        unsigned char byte = (unsigned char)file[(*at)++];
        *v |= (uint64_t)(byte & 127) << shift;
        if (byte < 128) return true;
    }
    return false;
}

/* The custom section mdl.meta of a module: sections follow a head of 8 bytes, each with a number, its length, and, if custom
 * (0), a name. */
static const char *wasm_meta(Tool *t, const char *path, const char *file, size_t length, size_t *size) {
    const char wanted[] = "mdl.meta";
    uint64_t bytes, n;
    for (size_t at = 8; at < length;) {
        bool custom = file[at++] == 0;
        if (!leb_read(file, length, &at, &bytes) || bytes > length - at)
            not_artifact(t, path, "one of its sections is cut off");
        size_t name = at, end = at + bytes;
        if (custom && leb_read(file, end, &name, &n) && n == sizeof wanted - 1 && n <= end - name &&
            !memcmp(file + name, wanted, n)) {
            *size = end - name - n;
            return file + name + n;
        }
        at = end;
    }
    not_artifact(t, path, "it has no section mdl.meta");
}

static const char *section_find(Tool *t, const char *path, const char *file, size_t length, size_t *size) {
    if (length >= 8 && !memcmp(file, "\0asm", 4)) return wasm_meta(t, path, file, length, size);
    if (length < SELFMAG || memcmp(file, ELFMAG, SELFMAG))
        not_artifact(t, path, "it is no ELF file and no module of WebAssembly");
    return elf_meta(t, path, file, length, size);
}

json_t *meta_parse(Tool *t, const char *path, const char *section, size_t size) {
    const unsigned char *at = (const unsigned char *)section;
    if (size < 48 || memcmp(at, "MDLMETA1", 8)) not_artifact(t, path, "its section .mdl.meta does not begin with MDLMETA1");
    uint64_t n = number_at((const char *)at + 8, 8);
    if (n > size - 48) not_artifact(t, path, "its section .mdl.meta is cut off");
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned int hash_length = 0;
    if (!EVP_Digest(at + 16, n, hash, &hash_length, EVP_sha256(), NULL) || hash_length != 32)
        tool_fail(t, EXIT_FAULT, "SHA-256 is not available");
    if (memcmp(hash, at + 16 + n, 32)) not_artifact(t, path, "the hash of its section .mdl.meta is wrong");
    json_error_t error;
    json_t *meta = json_loadb((const char *)at + 16, n, 0, &error);
    if (!json_is_object(meta) || !json_is_string(json_object_get(meta, "name"))) {
        json_decref(meta);
        not_artifact(t, path, "its section .mdl.meta holds no description");
    }
    return meta;
}

json_t *meta_read(Tool *t, const char *path) {
    size_t length, size;
    char *file = tool_file_read(t, path, &length);
    const char *section = section_find(t, path, file, length, &size);
    json_t *meta = meta_parse(t, path, section, size);
    tool_release(t, file);
    return meta;
}

/* ---- info ---------------------------------------------------------------------------------------------------------------- */

static const char *text_of(const json_t *object, const char *key) {
    const char *s = json_string_value(json_object_get(object, key));
    return s ? s : "";
}

/* Bytes of a value where its dims are fixed; 0 where not known. */
static int64_t value_bytes(const json_t *value, int64_t *elements) {
    const json_t *dims = json_object_get(value, "dims"), *dim;
    size_t i;
    int64_t count = 1;
    *elements = 0;
    if (!json_is_array(dims)) return 0;
    json_array_foreach(dims, i, dim) {
        int64_t d = json_integer_value(dim);
        if (!json_is_integer(dim) || d < 0 || __builtin_mul_overflow(count, d, &count)) return 0;
    }
    *elements = count;
    int64_t bytes;
    if (__builtin_mul_overflow(count, element_size(element_type(text_of(value, "dtype"))), &bytes)) return 0;
    return bytes;
}

static void bytes_print(double bytes) {
    const char *units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    int u = 0;
    for (; bytes >= 1024 && u < 4; u++) bytes /= 1024;
    printf(u ? "%.1f %s" : "%.0f %s", bytes, units[u]);
}

/* "ids: i32[b, n], x: f32" */
static char *values_text(Tool *t, const json_t *values) {
    const json_t *v;
    size_t i;
    char *text = tool_printf(t, "%s", "");
    json_array_foreach(values, i, v) text = tool_printf(t, "%s%s%s: %s", text, i ? ", " : "", text_of(v, "name"), text_of(v, "shape"));
    return text;
}

/* "[b, n in 2..65]" with the ranges of sizes that belong to this entry. */
static char *sizes_text(Tool *t, const json_t *entry, const json_t *sizes) {
    const json_t *name, *size;
    size_t i, k;
    const json_t *names = json_object_get(entry, "sizes");
    char *all = tool_printf(t, "%s", json_array_size(names) ? "[" : "");
    if (!json_array_size(names)) return all;
    json_array_foreach(names, i, name) {
        const char *text = json_string_value(name);
        if (json_is_integer(name)) {
            size = json_array_get(sizes, (size_t)json_integer_value(name));
            text = text_of(size, "name");
        } else {
            size = NULL;
            json_array_foreach(sizes, k, size) if (text && !strcmp(text_of(size, "name"), text)) break;
            if (k == json_array_size(sizes)) size = NULL;
        }
        all = tool_printf(t, "%s%s%s", all, i ? ", " : "", text ? text : "?");
        long long low = json_integer_value(json_object_get(size, "low")), high = json_integer_value(json_object_get(size, "high"));
        if (size && json_is_integer(json_object_get(size, "high")) && high >= 0 && high < INT64_MAX)
            all = tool_printf(t, "%s in %lld..%lld", all, low, high);
        else if (size && low > 1) all = tool_printf(t, "%s in %lld..", all, low);
    }
    return tool_printf(t, "%s]", all);
}

char *meta_entry_text(Tool *t, const json_t *meta, const json_t *entry) {
    const json_t *train = json_object_get(entry, "train");
    bool trains = json_is_true(train) || json_integer_value(train) == 1;
    return tool_printf(t, "%s %s%s(%s) -> (%s)", trains ? "train" : "entry", text_of(entry, "name"),
                       sizes_text(t, entry, json_object_get(meta, "sizes")), values_text(t, json_object_get(entry, "inputs")),
                       values_text(t, json_object_get(entry, "outputs")));
}

/* Values of one kind (NULL: any), optimizer slots or not: a line with their sum, then each; slots only as a sum. */
static void values_summary(const json_t *meta, const char *kind, bool optimizer, const char *title) {
    const json_t *values = json_object_get(meta, "values"), *value;
    size_t i;
    int64_t n = 0, bytes = 0, elements = 0;
    for (int pass = 0; pass < 2; pass++) {
        json_array_foreach(values, i, value) {
            if (json_is_true(json_object_get(value, "optimizer")) != optimizer) continue;
            if (kind && strcmp(text_of(value, "kind"), kind)) continue;
            int64_t own_elements, own_bytes = value_bytes(value, &own_elements);
            if (pass) printf("    %s: %s\n", text_of(value, "name"), text_of(value, "shape"));
            n += !pass;
            bytes += pass ? 0 : own_bytes;
            elements += pass ? 0 : own_elements;
        }
        if (pass || n == 0) continue;
        printf("%s: %lld", title, (long long)n);
        if (elements) { /* none are known where run-time sizes decide */
            printf(", %lld element%s, ", (long long)elements, elements == 1 ? "" : "s");
            bytes_print((double)bytes);
        }
        putchar('\n');
        if (optimizer) return;
    }
}

int command_info(Tool *t) {
    const json_t *meta = t->meta;
    if (t->o.json) {
        char *text = json_dumps(meta, JSON_INDENT(2) | JSON_SORT_KEYS);
        if (!text) tool_fail(t, EXIT_INPUT, "%s: its description cannot be printed", t->artifact);
        puts(text);
        free(text);
        return EXIT_DONE;
    }
    printf("%s", text_of(meta, "name"));
    if (*text_of(meta, "version")) printf(" %s", text_of(meta, "version"));
    printf("  (%s, %s)\n", *text_of(meta, "compiler") ? text_of(meta, "compiler") : "unknown compiler",
           *text_of(meta, "target") ? text_of(meta, "target") : "unknown target");

    const json_t *entry;
    size_t i;
    puts("entries");
    json_array_foreach(json_object_get(meta, "entries"), i, entry) {
        printf("    %s\n", meta_entry_text(t, meta, entry));
        const json_t *bytes = json_object_get(entry, "bytes");
        if (json_is_integer(bytes)) {
            printf("        memory ");
            bytes_print((double)json_integer_value(bytes));
            putchar('\n');
        }
    }
    values_summary(meta, "param", false, "parameters");
    values_summary(meta, "state", false, "state");
    values_summary(meta, NULL, true, "optimizer slots");
    values_summary(meta, "cache", false, "caches");
    const json_t *run = json_object_get(meta, "run");
    if (json_is_object(run) && json_object_size(run)) {
        char *text = json_dumps(run, JSON_COMPACT | JSON_SORT_KEYS);
        if (text) printf("run %s\n", text);
        free(text);
    }
    return EXIT_DONE;
}
