/* mdlrun_cut.c -- files that are used where they are mapped, the artifact and its weights: what is cut off meanwhile raises SIGBUS at the
 * next touch. A sentence that names the file ends the command then. Nothing but system calls: a signal handler may do no more. */
#include "runtime/mdlrun.h"

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

static const char *cut_program;

static uintptr_t hexadecimal(const char **text) {
    uintptr_t v = 0;
    for (;; ++*text) {
        const char *digits = "0123456789abcdef", *d = **text ? strchr(digits, **text) : NULL;
        if (!d) return v;
        v = v << 4 | (uintptr_t)(d - digits);
    }
}

/* Does a line of /proc/self/maps, "7f1200-7f1300 r--p 00000000 08:01 1234   /lib/a.so", say what lies at `at`? The path; NULL: no. */
static const char *path_at(const char *line, uintptr_t at) {
    uintptr_t low = hexadecimal(&line), high = *line == '-' ? (line++, hexadecimal(&line)) : 0;
    return low <= at && at < high ? strchr(line, '/') : NULL;
}

static void say(const char *text) {
    if (write(STDERR_FILENO, text, strlen(text)) < 0) _exit(EXIT_INPUT);
}

static atomic_flag told = ATOMIC_FLAG_INIT;

static void cut_short(int signal_number, siginfo_t *info, void *context) {
    (void)signal_number, (void)context;
    char line[4096 + 128], c;
    size_t n = 0;
    int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    while (read(fd, &c, 1) == 1) {
        if (n < sizeof line - 1) line[n++] = c;
        if (c != '\n') continue;
        line[n - 1] = 0;
        n = 0;
        const char *path = path_at(line, (uintptr_t)info->si_addr);
        if (!path) continue;
        while (atomic_flag_test_and_set(&told)) pause(); /* another thread says it, and ends all */
        say(cut_program);
        say(": ");
        say(path);
        say(" became shorter while it was in use\n");
        _exit(EXIT_INPUT);
    }
    signal(SIGBUS, SIG_DFL); /* something else: it comes again */
}

void cut_watch(const char *program) {
    cut_program = program;
    struct sigaction action = {.sa_sigaction = cut_short, .sa_flags = SA_SIGINFO};
    sigaction(SIGBUS, &action, NULL);
}
