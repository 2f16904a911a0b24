/* guards.c -- memory of guard.h: all of it may be used, and one byte beyond either end that was asked for ends the process. */
#include "tests/schedule/guard.h"

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int failures;

/* Does writing a byte at `offset` of a buffer end a process that does nothing else? */
static bool ends(size_t bytes, long offset, const char *place) {
    pid_t child = fork();
    if (child == 0) {
        setenv("GUARD", place, 1);
        if (!freopen("/dev/null", "w", stderr)) _exit(2);
        volatile char *p = guard_alloc(bytes);
        p[offset] = 1;
        _exit(0);
    }
    int status;
    if (child < 0 || waitpid(child, &status, 0) != child) return printf("no process\n"), failures++, false;
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV;
}

static void expect(bool want, size_t bytes, long offset, const char *place) {
    if (ends(bytes, offset, place) == want) return;
    failures++;
    printf("GUARD=%s: byte %ld of %zu %s\n", place, offset, bytes, want ? "may be written" : "may not be written");
}

int main(void) {
    static const size_t BYTES[] = {1, 4, 40, 4096, 4100, 10000};
    for (size_t i = 0; i < sizeof BYTES / sizeof *BYTES; i++) {
        long n = (long)BYTES[i];
        for (int start = 0; start < 2; start++) {
            const char *place = start ? "start" : "end";
            expect(false, BYTES[i], 0, place);
            expect(false, BYTES[i], n - 1, place);
            expect(true, BYTES[i], start ? -1 : n, place);
        }
    }
    expect(true, 0, 0, "end");
    char *a = guard_alloc(8), *b = guard_alloc(5000); /* each is given back by itself */
    guard_free(a);
    memset(b, 1, 5000);
    guard_free(b);
    guard_free(NULL);
    return failures != 0;
}
