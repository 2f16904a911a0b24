/* elf.c -- small writers of ELF: an object of raw data, and its place in a library where the linker should not see so much of it; a
 * shared library of names to link with, a relocatable object whose hidden symbols become local, and an archive around it. Formats: System V
 * gABI, chapters 4 and 5; ar(5). */
#include "codegen/elf.h"

#include "ir/diag.h"

#include <elf.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static size_t round_up(size_t n, size_t to) {
    return (n + to - 1) / to * to;
}

/* ---- 32 and 64 bits ------------------------------------------------------------------------------------------------------ */
/* Tables are kept in their 64-bit form; a file has them in the form of its class. wide: ELFCLASS64. */

typedef enum { IN_HEADER, IN_SEGMENT, IN_SECTION, IN_SYMBOL, IN_DYNAMIC } Part;

static size_t part_bytes(bool wide, Part p) {
    static const size_t bytes[][2] = {[IN_HEADER] = {sizeof(Elf32_Ehdr), sizeof(Elf64_Ehdr)},
                                      [IN_SEGMENT] = {sizeof(Elf32_Phdr), sizeof(Elf64_Phdr)},
                                      [IN_SECTION] = {sizeof(Elf32_Shdr), sizeof(Elf64_Shdr)},
                                      [IN_SYMBOL] = {sizeof(Elf32_Sym), sizeof(Elf64_Sym)},
                                      [IN_DYNAMIC] = {sizeof(Elf32_Dyn), sizeof(Elf64_Dyn)}};
    return bytes[p][wide];
}

static void header_put(char *at, bool wide, Elf64_Ehdr h) {
    h.e_ident[EI_CLASS] = wide ? ELFCLASS64 : ELFCLASS32;
    h.e_ehsize = (Elf64_Half)part_bytes(wide, IN_HEADER);
    h.e_shentsize = (Elf64_Half)part_bytes(wide, IN_SECTION);
    Elf32_Ehdr n = {.e_type = h.e_type,
                    .e_machine = h.e_machine,
                    .e_version = h.e_version,
                    .e_shoff = (Elf32_Off)h.e_shoff,
                    .e_flags = h.e_flags,
                    .e_ehsize = h.e_ehsize,
                    .e_shentsize = h.e_shentsize,
                    .e_shnum = h.e_shnum,
                    .e_shstrndx = h.e_shstrndx};
    memcpy(n.e_ident, h.e_ident, sizeof n.e_ident);
    memcpy(at, wide ? (void *)&h : (void *)&n, part_bytes(wide, IN_HEADER));
}

static Elf64_Ehdr header_get(const char *at, bool wide) {
    Elf64_Ehdr h;
    Elf32_Ehdr n;
    if (wide) {
        memcpy(&h, at, sizeof h);
        return h;
    }
    memcpy(&n, at, sizeof n);
    return (Elf64_Ehdr){.e_type = n.e_type, .e_phoff = n.e_phoff, .e_phnum = n.e_phnum, .e_shoff = n.e_shoff, .e_shnum = n.e_shnum};
}

static void segment_put(char *at, bool wide, const Elf64_Phdr *s) {
    Elf32_Phdr n = {.p_type = s->p_type,
                    .p_offset = (Elf32_Off)s->p_offset,
                    .p_vaddr = (Elf32_Addr)s->p_vaddr,
                    .p_paddr = (Elf32_Addr)s->p_paddr,
                    .p_filesz = (Elf32_Word)s->p_filesz,
                    .p_memsz = (Elf32_Word)s->p_memsz,
                    .p_flags = s->p_flags,
                    .p_align = (Elf32_Word)s->p_align};
    memcpy(at, wide ? (const void *)s : (const void *)&n, part_bytes(wide, IN_SEGMENT));
}

static Elf64_Phdr segment_get(const char *at, bool wide) {
    Elf64_Phdr s;
    Elf32_Phdr n;
    if (wide) {
        memcpy(&s, at, sizeof s);
        return s;
    }
    memcpy(&n, at, sizeof n);
    return (Elf64_Phdr){n.p_type, n.p_flags, n.p_offset, n.p_vaddr, n.p_paddr, n.p_filesz, n.p_memsz, n.p_align};
}

static void section_put(char *at, bool wide, const Elf64_Shdr *s) {
    Elf32_Shdr n = {.sh_name = s->sh_name,
                    .sh_type = s->sh_type,
                    .sh_flags = (Elf32_Word)s->sh_flags,
                    .sh_addr = (Elf32_Addr)s->sh_addr,
                    .sh_offset = (Elf32_Off)s->sh_offset,
                    .sh_size = (Elf32_Word)s->sh_size,
                    .sh_link = s->sh_link,
                    .sh_info = s->sh_info,
                    .sh_addralign = (Elf32_Word)s->sh_addralign,
                    .sh_entsize = (Elf32_Word)s->sh_entsize};
    memcpy(at, wide ? (const void *)s : (const void *)&n, part_bytes(wide, IN_SECTION));
}

static Elf64_Shdr section_get(const char *at, bool wide) {
    Elf64_Shdr s;
    Elf32_Shdr n;
    if (wide) {
        memcpy(&s, at, sizeof s);
        return s;
    }
    memcpy(&n, at, sizeof n);
    return (Elf64_Shdr){n.sh_name, n.sh_type, n.sh_flags, n.sh_addr,      n.sh_offset,
                        n.sh_size, n.sh_link, n.sh_info,  n.sh_addralign, n.sh_entsize};
}

static void symbol_put(char *at, bool wide, const Elf64_Sym *s) {
    Elf32_Sym n = {.st_name = s->st_name,
                   .st_value = (Elf32_Addr)s->st_value,
                   .st_size = (Elf32_Word)s->st_size,
                   .st_info = s->st_info,
                   .st_other = s->st_other,
                   .st_shndx = s->st_shndx};
    memcpy(at, wide ? (const void *)s : (const void *)&n, part_bytes(wide, IN_SYMBOL));
}

static Elf64_Sym symbol_get(const char *at, bool wide) {
    Elf64_Sym s;
    Elf32_Sym n;
    if (wide) {
        memcpy(&s, at, sizeof s);
        return s;
    }
    memcpy(&n, at, sizeof n);
    return (Elf64_Sym){n.st_name, n.st_info, n.st_other, n.st_shndx, n.st_value, n.st_size};
}

static void dynamic_put(char *at, bool wide, Elf64_Dyn d) {
    Elf32_Dyn n = {.d_tag = (Elf32_Sword)d.d_tag, .d_un.d_val = (Elf32_Word)d.d_un.d_val};
    memcpy(at, wide ? (void *)&d : (void *)&n, part_bytes(wide, IN_DYNAMIC));
}

static Elf64_Ehdr elf_header(const Platform *platform, Elf64_Half type, size_t sections_at, Elf64_Half n_sections,
                             Elf64_Half names) {
    return (Elf64_Ehdr){.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, 0, ELFDATA2LSB, EV_CURRENT},
                        .e_type = type,
                        .e_machine = (Elf64_Half)platform->elf_machine,
                        .e_flags = platform->elf_flags,
                        .e_version = EV_CURRENT,
                        .e_shoff = sections_at,
                        .e_shnum = n_sections,
                        .e_shstrndx = names};
}

/* A growing string table: returns the offset of the text. */
static Elf64_Word string_add(char *table, size_t *used, const char *text) {
    size_t at = *used, n = strlen(text) + 1;
    memcpy(table + at, text, n);
    *used += n;
    return (Elf64_Word)at;
}

/* The table of sections, with their names. */
static void sections_put(char *file, size_t at, bool wide, Elf64_Shdr *sections, int n, const Elf64_Word *names) {
    for (int i = 0; i < n; i++) {
        sections[i].sh_name = names[i];
        section_put(file + at + part_bytes(wide, IN_SECTION) * (size_t)i, wide, &sections[i]);
    }
}

/* ---- data ---------------------------------------------------------------------------------------------------------------- */

enum { LARGEST_PAGE = 64 << 10 }; /* of any platform */
enum { WEIGHTS_ALIGN = 64 };      /* what kernels expect: weights on a page of their own would cost a page */
enum { S_NULL, S_WEIGHTS, S_META, S_SYMBOLS, S_STRINGS, S_NAMES, S_STACK, SECTIONS };

static const char section_names[] = "\0.mdl.weights\0.mdl.meta\0.symtab\0.strtab\0.shstrtab\0.note.GNU-stack";
static const Elf64_Word section_name[SECTIONS] = {0, 1, 14, 24, 32, 40, 50}; /* offsets in section_names */

static Elf64_Sym hidden_symbol(Elf64_Word name, Elf64_Half section, size_t value, size_t bytes) {
    return (Elf64_Sym){.st_name = name,
                       .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_OBJECT),
                       .st_other = STV_HIDDEN,
                       .st_shndx = section,
                       .st_value = value,
                       .st_size = bytes};
}

Bytes elf_data(Arena *arena, const Platform *platform, const ElfData *items, int n, Bytes meta, bool apart) {
    bool wide = platform->wide;
    size_t *offset = NEW_ARRAY(arena, size_t, n + 1), weights = 0, text = 1;
    for (int i = 0; i < n; i++) {
        offset[i] = weights;
        weights += round_up(items[i].bytes, WEIGHTS_ALIGN);
        text += strlen(items[i].symbol) + 1;
    }
    int n_symbols = 1 + n;
    Elf64_Sym *symbols = NEW_ARRAY(arena, Elf64_Sym, n_symbols);
    char *strings = arena_alloc(arena, text);
    size_t used = 1;
    for (int i = 0; i < n; i++)
        symbols[1 + i] = hidden_symbol(string_add(strings, &used, items[i].symbol), S_WEIGHTS, offset[i], items[i].bytes);

    size_t weights_at = WEIGHTS_ALIGN, meta_at = round_up(weights_at + (apart ? 0 : weights), 8);
    size_t symbols_at = round_up(meta_at + meta.n, 8);
    size_t symbol = part_bytes(wide, IN_SYMBOL), strings_at = symbols_at + symbol * (size_t)n_symbols;
    size_t names_at = strings_at + used, sections_at = round_up(names_at + sizeof section_names, 8);
    size_t total = sections_at + SECTIONS * part_bytes(wide, IN_SECTION);
    char *file = arena_alloc(arena, total);
    for (int i = 0; i < n && !apart; i++) memcpy(file + weights_at + offset[i], items[i].data, items[i].bytes);
    if (meta.n) memcpy(file + meta_at, meta.at, meta.n);
    for (int i = 0; i < n_symbols; i++) symbol_put(file + symbols_at + symbol * (size_t)i, wide, &symbols[i]);
    memcpy(file + strings_at, strings, used);
    memcpy(file + names_at, section_names, sizeof section_names);

    Elf64_Shdr sections[SECTIONS] = {
        [S_WEIGHTS] = {.sh_type = apart ? SHT_NOBITS : SHT_PROGBITS,
                       .sh_flags = SHF_ALLOC,
                       .sh_offset = weights_at,
                       .sh_size = weights,
                       .sh_addralign = apart ? LARGEST_PAGE : WEIGHTS_ALIGN},
        [S_META] = {.sh_type = SHT_PROGBITS, .sh_offset = meta_at, .sh_size = meta.n, .sh_addralign = 8},
        [S_SYMBOLS] = {.sh_type = SHT_SYMTAB,
                       .sh_offset = symbols_at,
                       .sh_size = symbol * (size_t)n_symbols,
                       .sh_link = S_STRINGS,
                       .sh_info = 1,
                       .sh_addralign = 8,
                       .sh_entsize = symbol},
        [S_STRINGS] = {.sh_type = SHT_STRTAB, .sh_offset = strings_at, .sh_size = used, .sh_addralign = 1},
        [S_NAMES] = {.sh_type = SHT_STRTAB, .sh_offset = names_at, .sh_size = sizeof section_names, .sh_addralign = 1},
        [S_STACK] = {.sh_type = SHT_PROGBITS, .sh_offset = sections_at, .sh_addralign = 1},
    };
    sections_put(file, sections_at, wide, sections, SECTIONS, section_name);
    header_put(file, wide, elf_header(platform, ET_REL, sections_at, SECTIONS, S_NAMES));
    return (Bytes){file, total};
}

static bool is_apart(const Elf64_Shdr *s) {
    return s->sh_type == SHT_NOBITS && (s->sh_flags & SHF_ALLOC) && !(s->sh_flags & SHF_WRITE);
}

/* The linker put the section at the end of what is read only, as memory without bytes. It becomes a segment of its own, whose entry
 * takes the room of the one that describes the table itself, which libraries need not have. */
size_t elf_place_data(const Platform *platform, Bytes library) {
    bool wide = platform->wide;
    char *file = (char *)(uintptr_t)library.at;
    Elf64_Ehdr head = header_get(file, wide);
    Elf64_Shdr section = {0};
    size_t place = round_up(library.n, LARGEST_PAGE);
    for (int i = 0; i < head.e_shnum && !is_apart(&section); i++) {
        char *at = file + head.e_shoff + (size_t)i * part_bytes(wide, IN_SECTION);
        section = section_get(at, wide);
        if (!is_apart(&section)) continue;
        Elf64_Shdr filled = section;
        filled.sh_type = SHT_PROGBITS;
        filled.sh_offset = place;
        section_put(at, wide, &filled);
    }
    char *at = file + head.e_phoff;
    if (!is_apart(&section) || segment_get(at, wide).p_type != PT_PHDR) bug("a library without room for its weights");
    for (int i = 1; i < head.e_phnum; i++, at += part_bytes(wide, IN_SEGMENT)) {
        Elf64_Phdr segment = segment_get(at + part_bytes(wide, IN_SEGMENT), wide);
        bool holds = segment.p_type == PT_LOAD && segment.p_vaddr <= section.sh_addr && section.sh_addr - segment.p_vaddr < segment.p_memsz;
        if (holds) segment.p_memsz = segment.p_filesz;
        segment_put(at, wide, &segment);
        if (!holds) continue;
        if (segment.p_vaddr + segment.p_filesz > section.sh_addr) bug("weights are not the last of what is read only");
        segment.p_offset = place;
        segment.p_vaddr = segment.p_paddr = section.sh_addr;
        segment.p_filesz = segment.p_memsz = section.sh_size;
        segment_put(at + part_bytes(wide, IN_SEGMENT), wide, &segment);
        return place - library.n;
    }
    bug("weights are in no segment");
}

/* ---- a library of names -------------------------------------------------------------------------------------------------- */

enum { N_NULL, N_SYMBOLS, N_DYNAMIC, N_STRINGS, N_NAMES, N_SECTIONS };

static const char names_names[] = "\0.dynsym\0.dynamic\0.dynstr\0.shstrtab";
static const Elf64_Word names_name[N_SECTIONS] = {0, 1, 9, 18, 26}; /* offsets in names_names */

/* A linker reads of a library its dynamic symbols and its soname, and finds both through the table of sections. */
Bytes elf_names(Arena *arena, const Platform *platform, const char *soname, const char *const *names, int n) {
    bool wide = platform->wide;
    size_t text = 1 + strlen(soname) + 1, used = 1;
    for (int i = 0; i < n; i++) text += strlen(names[i]) + 1;
    Elf64_Sym *symbols = NEW_ARRAY(arena, Elf64_Sym, n + 1);
    char *strings = arena_alloc(arena, text);
    for (int i = 0; i < n; i++)
        symbols[1 + i] = (Elf64_Sym){.st_name = string_add(strings, &used, names[i]),
                                     .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC),
                                     .st_shndx = SHN_ABS};
    Elf64_Dyn dynamic[] = {{.d_tag = DT_SONAME, .d_un.d_val = string_add(strings, &used, soname)}, {.d_tag = DT_NULL}};

    size_t symbol = part_bytes(wide, IN_SYMBOL), pair = part_bytes(wide, IN_DYNAMIC);
    size_t symbols_at = sizeof(Elf64_Ehdr), symbols_bytes = symbol * (size_t)(n + 1);
    size_t dynamic_at = symbols_at + symbols_bytes, strings_at = dynamic_at + 2 * pair, names_at = strings_at + used;
    size_t sections_at = round_up(names_at + sizeof names_names, 8),
           total = sections_at + N_SECTIONS * part_bytes(wide, IN_SECTION);
    char *file = arena_alloc(arena, total);
    for (int i = 0; i <= n; i++) symbol_put(file + symbols_at + symbol * (size_t)i, wide, &symbols[i]);
    for (int i = 0; i < 2; i++) dynamic_put(file + dynamic_at + pair * (size_t)i, wide, dynamic[i]);
    memcpy(file + strings_at, strings, used);
    memcpy(file + names_at, names_names, sizeof names_names);

    Elf64_Shdr sections[N_SECTIONS] = {
        [N_SYMBOLS] = {.sh_type = SHT_DYNSYM,
                       .sh_flags = SHF_ALLOC,
                       .sh_offset = symbols_at,
                       .sh_size = symbols_bytes,
                       .sh_link = N_STRINGS,
                       .sh_info = 1,
                       .sh_addralign = 8,
                       .sh_entsize = symbol},
        [N_DYNAMIC] = {.sh_type = SHT_DYNAMIC,
                       .sh_flags = SHF_ALLOC,
                       .sh_offset = dynamic_at,
                       .sh_size = 2 * pair,
                       .sh_link = N_STRINGS,
                       .sh_addralign = 8,
                       .sh_entsize = pair},
        [N_STRINGS] =
            {.sh_type = SHT_STRTAB, .sh_flags = SHF_ALLOC, .sh_offset = strings_at, .sh_size = used, .sh_addralign = 1},
        [N_NAMES] = {.sh_type = SHT_STRTAB, .sh_offset = names_at, .sh_size = sizeof names_names, .sh_addralign = 1},
    };
    sections_put(file, sections_at, wide, sections, N_SECTIONS, names_name);
    header_put(file, wide, elf_header(platform, ET_DYN, sections_at, N_SECTIONS, N_NAMES));
    return (Bytes){file, total};
}

/* ---- reading what a linker wrote ----------------------------------------------------------------------------------------- */

/* A relocatable object taken apart: copies of its tables (the bytes may lie anywhere), checked against its length. */
typedef struct Object {
    bool wide;
    Elf64_Ehdr header;
    Elf64_Shdr *sections;
    Elf64_Sym *symbols;
    int symtab, n_symbols;
    const char *strings;
    size_t strings_bytes;
} Object;

static bool inside(Bytes file, size_t at, size_t bytes) {
    return at <= file.n && bytes <= file.n - at;
}

static bool object_read(Arena *arena, Bytes file, Object *o, const char **error) {
    *error = "it is no ELF object";
    if (file.n < sizeof o->header || memcmp(file.at, ELFMAG, SELFMAG)) return false;
    bool wide = o->wide = file.at[EI_CLASS] == ELFCLASS64;
    o->header = header_get(file.at, wide);
    size_t n = o->header.e_shnum, section = part_bytes(wide, IN_SECTION), symbol = part_bytes(wide, IN_SYMBOL);
    if (o->header.e_type != ET_REL || !inside(file, o->header.e_shoff, section * n)) return false;
    o->sections = NEW_ARRAY(arena, Elf64_Shdr, n);
    for (size_t i = 0; i < n; i++) o->sections[i] = section_get(file.at + o->header.e_shoff + section * i, wide);
    o->symtab = 0;
    for (int i = 1; i < o->header.e_shnum; i++) {
        if (o->sections[i].sh_type == SHT_SYMTAB) o->symtab = i;
    }
    const Elf64_Shdr *table = &o->sections[o->symtab];
    *error = "it has no table of symbols";
    if (!o->symtab || !inside(file, table->sh_offset, table->sh_size) || table->sh_link >= o->header.e_shnum) return false;
    const Elf64_Shdr *strings = &o->sections[table->sh_link];
    if (!inside(file, strings->sh_offset, strings->sh_size) || strings->sh_size == 0 ||
        file.at[strings->sh_offset + strings->sh_size - 1])
        return false;
    o->n_symbols = (int)(table->sh_size / symbol);
    o->symbols = NEW_ARRAY(arena, Elf64_Sym, o->n_symbols + 1);
    for (int i = 0; i < o->n_symbols; i++) o->symbols[i] = symbol_get(file.at + table->sh_offset + symbol * (size_t)i, wide);
    o->strings = file.at + strings->sh_offset;
    o->strings_bytes = strings->sh_size;
    for (int i = 0; i < o->n_symbols; i++) {
        if (o->symbols[i].st_name >= o->strings_bytes) return false;
    }
    return true;
}

bool elf_words(Arena *arena, Bytes object, const char *symbol, int32_t *words, int n) {
    Object o;
    const char *error;
    if (!object_read(arena, object, &o, &error)) return false;
    for (int i = 0; i < o.n_symbols; i++) {
        const Elf64_Sym *s = &o.symbols[i];
        if (strcmp(o.strings + s->st_name, symbol) || s->st_shndx == SHN_UNDEF || s->st_shndx >= o.header.e_shnum) continue;
        size_t at = o.sections[s->st_shndx].sh_offset + s->st_value, bytes = sizeof *words * (size_t)n;
        if (s->st_size < bytes || !inside(object, at, bytes)) return false;
        memcpy(words, object.at + at, bytes);
        return true;
    }
    return false;
}

static bool symbol_global(const Elf64_Sym *s) {
    return ELF64_ST_BIND(s->st_info) != STB_LOCAL;
}

/* ---- hidden symbols become local ----------------------------------------------------------------------------------------- */

/* r_info stands behind r_offset, in both classes and with or without an addend. */
static bool relocations_renumber(char *table, const Elf64_Shdr *section, bool wide, const Elf64_Word *number, int n) {
    bool addend = section->sh_type == SHT_RELA;
    size_t bytes = wide ? addend ? sizeof(Elf64_Rela) : sizeof(Elf64_Rel) : addend ? sizeof(Elf32_Rela) : sizeof(Elf32_Rel);
    for (size_t at = 0; at + bytes <= section->sh_size; at += bytes) {
        Elf64_Xword long_info = 0;
        Elf32_Word info = 0;
        char *place = table + at + (wide ? sizeof(Elf64_Addr) : sizeof(Elf32_Addr));
        memcpy(wide ? (void *)&long_info : (void *)&info, place, wide ? sizeof long_info : sizeof info);
        size_t symbol = wide ? ELF64_R_SYM(long_info) : ELF32_R_SYM(info);
        if (symbol >= (size_t)n) return false;
        long_info = ELF64_R_INFO((Elf64_Xword)number[symbol], ELF64_R_TYPE(long_info));
        info = ELF32_R_INFO(number[symbol], ELF32_R_TYPE(info));
        memcpy(place, wide ? (void *)&long_info : (void *)&info, wide ? sizeof long_info : sizeof info);
    }
    return true;
}

/* Local symbols come first in a table, so making one local renumbers them all, and every relocation with them. */
bool elf_localize(Arena *arena, Bytes object, Bytes *result, const char **error) {
    Object o;
    if (!object_read(arena, object, &o, error)) return false;
    Elf64_Word *number = NEW_ARRAY(arena, Elf64_Word, o.n_symbols), next = 0;
    for (int i = 0; i < o.n_symbols; i++) {
        Elf64_Sym *s = &o.symbols[i];
        if (symbol_global(s) && ELF64_ST_VISIBILITY(s->st_other) == STV_HIDDEN && s->st_shndx != SHN_UNDEF) {
            s->st_info = ELF64_ST_INFO(STB_LOCAL, ELF64_ST_TYPE(s->st_info));
            s->st_other = STV_DEFAULT;
        }
        if (!symbol_global(s)) number[i] = next++;
    }
    Elf64_Word locals = next;
    for (int i = 0; i < o.n_symbols; i++) {
        if (symbol_global(&o.symbols[i])) number[i] = next++;
    }
    char *file = arena_copy(arena, object.at, object.n);
    size_t symbol = part_bytes(o.wide, IN_SYMBOL);
    for (int i = 0; i < o.n_symbols; i++)
        symbol_put(file + o.sections[o.symtab].sh_offset + symbol * number[i], o.wide, &o.symbols[i]);
    for (int i = 1; i < o.header.e_shnum; i++) {
        Elf64_Shdr *section = &o.sections[i];
        if (section->sh_type == SHT_GROUP && section->sh_info < (Elf64_Word)o.n_symbols)
            section->sh_info = number[section->sh_info];
        if (section->sh_type != SHT_RELA && section->sh_type != SHT_REL) continue;
        *error = "it has a damaged table of relocations";
        if (!inside(object, section->sh_offset, section->sh_size)) return false;
        if (!relocations_renumber(file + section->sh_offset, section, o.wide, number, o.n_symbols)) return false;
    }
    o.sections[o.symtab].sh_info = locals;
    for (int i = 0; i < o.header.e_shnum; i++)
        section_put(file + o.header.e_shoff + part_bytes(o.wide, IN_SECTION) * (size_t)i, o.wide, &o.sections[i]);
    *result = (Bytes){file, object.n};
    return true;
}

/* ---- archives ------------------------------------------------------------------------------------------------------------ */

static char *big_endian(char *at, size_t value) {
    for (int i = 3; i >= 0; i--) *at++ = (char)(value >> (8 * i));
    return at;
}

/* The 60 bytes before a member: no date, owner 0. */
static char *member_header(char *at, const char *name, size_t bytes) {
    char text[128]; /* 60 are used: elf_archive refuses what has more than ten digits of bytes */
    snprintf(text, sizeof text, "%-16.16s%-12d%-6d%-6d%-8d%-10zu`\n", name, 0, 0, 0, 100644, bytes);
    memcpy(at, text, 60);
    return at + 60;
}

bool elf_archive(Arena *arena, Bytes object, const char *name, Bytes *result, const char **error) {
    Object o;
    if (!object_read(arena, object, &o, error)) return false;
    *error = "an archive holds less than 10 GB";
    if (object.n > 9999999999) return false;
    size_t names = 0, count = 0;
    for (int i = 0; i < o.n_symbols; i++) {
        if (!symbol_global(&o.symbols[i]) || o.symbols[i].st_shndx == SHN_UNDEF) continue;
        names += strlen(o.strings + o.symbols[i].st_name) + 1;
        count++;
    }
    size_t index = round_up(4 + 4 * count + names, 2), member = 8 + 60 + index, total = member + 60 + round_up(object.n, 2);
    char *file = arena_alloc(arena, total), *at = file;
    memcpy(at, "!<arch>\n", 8);
    at = member_header(at + 8, "/", index);
    at = big_endian(at, count);
    for (size_t i = 0; i < count; i++) at = big_endian(at, member);
    for (int i = 0; i < o.n_symbols; i++) {
        if (!symbol_global(&o.symbols[i]) || o.symbols[i].st_shndx == SHN_UNDEF) continue;
        size_t n = strlen(o.strings + o.symbols[i].st_name) + 1;
        memcpy(at, o.strings + o.symbols[i].st_name, n);
        at += n;
    }
    at = member_header(file + member, arena_printf(arena, "%.15s/", name), object.n);
    memcpy(at, object.at, object.n);
    if (object.n % 2) at[object.n] = '\n';
    *result = (Bytes){file, total};
    return true;
}
