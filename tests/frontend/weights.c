/* weights.c -- files of weights that change or lie: one that is cut short behind the compiler's back ends it with a sentence and status 1, not
 * by a signal; the checksum of a checkpoint is that of its data. */
#include "frontend/weights.h"
#include "runtime/checksum.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BYTES = 1 << 16 };

static char path[] = "/tmp/weights.XXXXXX";

static void fail(const char *what) {
    fprintf(stderr, "%s\n", what);
    unlink(path);
    exit(1);
}

static void write_file(uint64_t sum, const unsigned char *data) {
    char header[200];
    int n = snprintf(header, sizeof header,
                     "{\"__metadata__\":{\"sum\":\"%llu\"},\"b\":{\"dtype\":\"U8\",\"shape\":[%d],\"data_offsets\":[3,%d]},"
                     "\"a\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]}}",
                     (unsigned long long)sum, BYTES - 3, BYTES);
    uint64_t length = (uint64_t)n; /* little endian, as every machine we build on */
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(&length, 8, 1, f) != 1 || fwrite(header, (size_t)n, 1, f) != 1 || fwrite(data, BYTES, 1, f) != 1 || fclose(f)) fail("no file");
}

/* In a process of its own: what it says, and its status. */
static int touch_behind_the_end(char *said, size_t room) {
    int ends[2];
    if (pipe(ends)) fail("no pipe");
    pid_t child = fork();
    if (!child) {
        Arena *arena = arena_new();
        WeightFile file;
        const char *error;
        dup2(ends[1], STDERR_FILENO);
        if (weights_read(arena, path, &file, &error) != WEIGHTS_OK || truncate(path, 10)) _exit(2);
        const volatile unsigned char *last = weights_find(&file, "b")->data + BYTES - 4;
        _exit(*last ? 3 : 4);
    }
    close(ends[1]);
    size_t n = 0;
    for (ssize_t got; n < room - 1 && (got = read(ends[0], said + n, room - 1 - n)) > 0;) n += (size_t)got;
    said[n] = 0;
    close(ends[0]);
    int status;
    if (waitpid(child, &status, 0) != child) fail("no child");
    return status;
}

int main(void) {
    static unsigned char data[BYTES];
    for (int i = 0; i < BYTES; i++) data[i] = (unsigned char)(i * 7 + i / 256);
    int fd = mkstemp(path);
    if (fd < 0) return 1;
    close(fd);
    Arena *arena = arena_new();
    WeightFile file;
    const char *error;
    uint64_t sum = checksum_add(checksum_add(0, data, 3), data + 3, BYTES - 3);
    write_file(sum, data);
    if (weights_read(arena, path, &file, &error) != WEIGHTS_OK || memcmp(weights_find(&file, "b")->data, data + 3, BYTES - 3)) fail("a good file is refused");
    data[BYTES - 1] ^= 1;
    write_file(sum, data);
    if (weights_read(arena, path, &file, &error) != WEIGHTS_BAD || strcmp(error, "it is damaged: its data is not what was saved")) fail("damage passes");
    data[BYTES - 1] ^= 1;
    write_file(sum, data);
    char said[600], wanted[200];
    snprintf(wanted, sizeof wanted, "error[E0710]: \"%s\" cannot be loaded: it became shorter while it was read\n", path);
    int status = touch_behind_the_end(said, sizeof said);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 1 || strcmp(said, wanted)) fail(said);
    arena_free(arena);
    unlink(path);
    return 0;
}
