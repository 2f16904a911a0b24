/* mdlrun.c -- run, train, evaluate and inspect any artifact of modelc from the command line. The contract: `mdlrun --help`. */
#include "runtime/mdlrun.h"

#include <signal.h>
#include <string.h>

static const struct Command {
    const char *name;
    int (*run)(Tool *t, int n, char **words);
} commands[] = {
    {"run", command_run},           {"train", command_train}, {"eval", command_eval},
    {"generate", command_generate}, {"bench", command_bench},
    {"compare", command_compare},   {"selftest", command_selftest},
};

/* What the words say: MODEL.so [COMMAND [word...]]. */
static int dispatch(Tool *t, int n, char **words) {
    if (n == 0) tool_fail(t, EXIT_USAGE, "which artifact? mdlrun MODEL.so COMMAND ...; see mdlrun --help");
    const char *path = words[0], *command = n > 1 ? words[1] : "info";
    if (!strcmp(command, "info")) {
        if (n > 2) tool_fail(t, EXIT_USAGE, "info takes no \"%s\"", words[2]);
        t->artifact = path;
        t->meta = meta_read(t, path);
        return command_info(t);
    }
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        if (strcmp(commands[i].name, command) != 0) continue;
        model_load(t, path);
        if (!t->o.seed_given && commands[i].run != command_selftest) t->o.seed = (uint64_t)run_int(t, "seed", 0);
        if (commands[i].run == command_compare) t->watch = watch_floats;
        model_open(t);
        return commands[i].run(t, n - 2, words + 2);
    }
    tool_fail(t, EXIT_USAGE, "unknown command %s: info, run, train, eval, generate, bench, compare, selftest", command);
}

int main(int argc, char **argv) {
    signal(SIGXFSZ, SIG_IGN); /* a limit on file sizes is an error of write, with a message */
    Tool t;
    tool_init(&t, "mdlrun");
    t.pictures = &pictures;
    int n = argc - 1, status = EXIT_DONE;
    if (options_parse(&t, &n, argv + 1)) status = dispatch(&t, n, argv + 1);
    tool_free(&t);
    if (fflush(stdout) || ferror(stdout)) {
        fputs("mdlrun: cannot write to standard output\n", stderr);
        if (status == EXIT_DONE) status = EXIT_INPUT;
    }
    return status;
}
