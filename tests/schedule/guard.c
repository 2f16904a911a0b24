/* guard.c -- see guard.h. A mapping is  page | buffer, in whole pages | page  with both outer pages without access. */
#include "tests/schedule/guard.h"

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGE = 4096 };

typedef struct Guarded {
    char *map, *at;
    size_t pages, bytes; /* pages: of the buffer */
    struct Guarded *next;
} Guarded;

static Guarded *all;
static const char *running[2] = {"", ""};

void guard_context(const char *test, const char *function) {
    running[0] = test;
    running[1] = function;
}

/* Which buffer an address is beside, if it lies in one of its outer pages. */
static void fault_say(const char *address) {
    fprintf(stderr, "%s: %s reads or writes outside its buffers", running[0], running[1]);
    for (const Guarded *g = all; g; g = g->next) {
        if (address < g->map || address >= g->map + (g->pages + 2) * PAGE) continue;
        bool before = address < g->at;
        fprintf(stderr, ": %lld bytes %s one of %zu bytes", (long long)(before ? g->at - address : address - (g->at + g->bytes)),
                before ? "before" : "after", g->bytes);
    }
    fputc('\n', stderr);
}

/* The process is lost: what was said so far matters more than what a handler may call. */
static void on_fault(int signal_number, siginfo_t *info, void *context) {
    (void)context;
    fflush(stdout);
    fault_say(info->si_addr);
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

static bool at_start(void) {
    const char *place = getenv("GUARD");
    return place && !strcmp(place, "start");
}

void *guard_alloc(size_t bytes) {
    if (!all) {
        struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
        sigaction(SIGSEGV, &action, NULL);
    }
    Guarded *g = calloc(1, sizeof *g);
    if (!g) abort();
    g->bytes = bytes;
    g->pages = (bytes + PAGE - 1) / PAGE;
    g->map = mmap(NULL, (g->pages + 2) * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (g->map == MAP_FAILED || (bytes && mprotect(g->map + PAGE, g->pages * PAGE, PROT_READ | PROT_WRITE))) abort();
    g->at = g->map + PAGE + (at_start() ? 0 : g->pages * PAGE - bytes);
    g->next = all;
    all = g;
    return g->at;
}

void guard_free(void *p) {
    for (Guarded **at = &all; p && *at; at = &(*at)->next) {
        Guarded *g = *at;
        if (g->at != p) continue;
        munmap(g->map, (g->pages + 2) * PAGE);
        *at = g->next;
        free(g);
        return;
    }
}
