/* digest.c -- SHA-256 of bytes, files and of the compiler itself. */
#include "codegen/digest.h"

#include "ir/diag.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct Digest {
    EVP_MD_CTX *context;
};

Digest *digest_new(void) {
    Digest *d = calloc(1, sizeof *d);
    if (d) d->context = EVP_MD_CTX_new();
    if (!d || !d->context || !EVP_DigestInit_ex(d->context, EVP_sha256(), NULL)) bug("SHA-256 is not available");
    return d;
}

void digest_add(Digest *d, const void *bytes, size_t n) {
    if (n && !EVP_DigestUpdate(d->context, bytes, n)) bug("SHA-256 fails");
}

void digest_text(Digest *d, const char *text) {
    uint64_t n = strlen(text);
    unsigned char length[8];
    for (int i = 0; i < 8; i++) length[i] = (unsigned char)(n >> (8 * i));
    digest_add(d, length, sizeof length);
    digest_add(d, text, n);
}

void digest_end(Digest *d, uint8_t hash[32]) {
    unsigned int n = 0;
    unsigned char bytes[EVP_MAX_MD_SIZE];
    if (!EVP_DigestFinal_ex(d->context, bytes, &n) || n != 32) bug("SHA-256 fails");
    memcpy(hash, bytes, 32);
    EVP_MD_CTX_free(d->context);
    free(d);
}

const char *digest_hex(Arena *arena, const uint8_t hash[32]) {
    char *text = arena_alloc(arena, 65);
    for (int i = 0; i < 32; i++) {
        text[2 * i] = "0123456789abcdef"[hash[i] >> 4];
        text[2 * i + 1] = "0123456789abcdef"[hash[i] & 15];
    }
    text[64] = 0;
    return text;
}

bool digest_file(const char *path, uint8_t hash[32]) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    Digest *d = digest_new();
    char bytes[1 << 16];
    ssize_t n;
    while ((n = read(fd, bytes, sizeof bytes)) > 0 || (n < 0 && errno == EINTR))
        if (n > 0) digest_add(d, bytes, (size_t)n);
    int reason = errno;
    digest_end(d, hash);
    close(fd);
    errno = reason;
    return n == 0;
}

/* The bytes of the note NT_GNU_BUILD_ID among the notes of a segment; 0: there is none. */
static size_t build_id(const char *notes, size_t size, const char **id) {
    while (size >= sizeof(ElfW(Nhdr))) {
        ElfW(Nhdr) note;
        memcpy(&note, notes, sizeof note);
        size_t name = (note.n_namesz + 3u) & ~3u, data = (note.n_descsz + 3u) & ~3u;
        if (name > size - sizeof note || data > size - sizeof note - name) return 0;
        *id = notes + sizeof note + name;
        if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && !memcmp(notes + sizeof note, "GNU", 4)) return note.n_descsz;
        notes += sizeof note + name + data;
        size -= sizeof note + name + data;
    }
    return 0;
}

static int object_digest(struct dl_phdr_info *object, size_t size, void *context) {
    (void)size;
    Digest *d = context;
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
        const char *id;
        if (segment->p_type != PT_NOTE) continue;
        size_t n = build_id((const char *)object->dlpi_addr + segment->p_vaddr, segment->p_memsz, &id);
        if (!n) continue;
        digest_add(d, id, n);
        return 0;
    }
    uint8_t hash[32];
    const char *path = object->dlpi_name && *object->dlpi_name ? object->dlpi_name : "/proc/self/exe";
    if (digest_file(path, hash)) digest_add(d, hash, sizeof hash); /* else: the kernel's own vdso */
    return 0;
}

void digest_compiler(uint8_t hash[32]) {
    Digest *d = digest_new();
    dl_iterate_phdr(object_digest, d);
    digest_end(d, hash);
}
