/* command.c -- the options of modelc. */
#include "codegen/command.h"

#include "runtime/mdlrun.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "modelc MODEL.mdl -o OUT            OUT ends in .so, .a or .o; a header of the same name is written beside it\n"
    "modelc run MODEL.mdl ENTRY NAME=VALUE ...   compiles to memory and runs, as mdlrun run does; --interpret: the reference "
    "interpreter\n"
    "modelc calibrate MODEL.mdl ENTRY NAME=SOURCE ... [-o FILE.json]   ranges of what flows into quantized layers\n"
    "modelc build MODEL.mdl --each NAME=VALUE,... | VARIANTS.json   many variants, with a cache; see modelc build --help\n"
    "modelc check MODEL.mdl ...         errors and warnings only\n"
    "modelc params|entries MODEL.mdl    what is in it, as a table, or --json\n"
    "modelc size LIBRARY                what takes the bytes, as a table, or --json\n"
    "modelc diff LIBRARY LIBRARY        what changed: entries, weights, bytes, kernels, results; status 1: the interface\n"
    "modelc fmt [--check] FILE ...      one style\n"
    "modelc explain E0204               the long text of an error; without a code: all, a line each\n"
    "\n"
    "-D NAME=VALUE          a config or dim of the program\n"
    "--load=F.safetensors   weights to put inside\n"
    "--weights=external    they are in a .safetensors beside the library, which holds its hash (default: embed)\n"
    "--self-test=N          N calls inside, with what each layer stored in them: mdlrun OUT selftest, NAME_selftest()\n"
    "--self-test-data=NAME=SOURCE   the samples of an input, as for mdlrun; made up where not given\n"
    "--quantize='SEL: S'    weights of a selection in fewer bits: S is int8, int8(group = 64), int4 or int4(group = 128)\n"
    "--entries=A,B          keep these entries only\n"
    "--name=NAME            prefix of exported names (default: the name of the source file)\n"
    "--target=TARGET        native (default), x86-64 (the next three in one, chosen at load), x86-64-v2, x86-64-v3, x86-64-v4,\n"
    "                       x86-64-v4+vnni (products of int8 by one instruction), x86-64-v4+bf16 (of bf16, too; native and x86-64\n"
    "                       know when to take them),\n"
    "                       aarch64-linux-gnu (with the next three, chosen at load, where products want them),\n"
    "                       aarch64-linux-gnu+dotprod, aarch64-linux-gnu+i8mm, aarch64-linux-gnu+bf16,\n"
    "                       armv7-linux-gnueabihf, riscv64-linux-gnu, riscv64-linux-gnu+v,\n"
    "                       thumbv7em-none-eabihf (.a or .o without libc), wasm32 (.wasm); cuda:sm_80 to cuda:sm_121, several\n"
    "                       behind commas: for NVIDIA's devices, too, with code for this processor where there is none\n"
    "--nvrtc=PATH           libnvrtc.so or its folder, which compiles for devices (default: $CUDA_HOME, /usr/local/cuda)\n"
    "--runtime=core         no libc: no files, one thread, and memory that the caller brings (mdl_options)\n"
    "--blas=openblas        products of f32 matrices call OpenBLAS, which the library then needs; default: none\n"
    "--budget='arena<=512Ki,library<=1Mi'   more is an error; names as modelc size prints them\n"
    "--budget='accuracy>=0.98*float'        what quantization may cost: layers that cost more stay float; float-0.005, 0.9 likewise\n"
    "--measure='ENTRY NAME=SOURCE ...'      what that is measured on; without: test and test_data of run { }\n"
    "--memory=64Mi          gradients compute values again instead of keeping them, until a call's arena takes no more; else an error\n"
    "--tune=FILE            tiles of products and convolutions: those of FILE, if it exists; else timed on this machine, and written there\n"
    "--cache=FOLDER         keeps compiled kernels there, and takes them from there\n"
    "--strip                a library without the names of its kernels, which only profilers and debuggers read\n"
    "-O0 -O1 -O2 -O3 -Os    -O2 is the default; -O1 sums convolutions as they are written (not by tiles, which\n"
    "                       rounds otherwise); -O0 keeps every op a kernel of its own; -Os: small code, products row by row\n"
    "--emit=STAGE           ast, graph, planned, tile, llvm, asm, obj, header, cuda, ptx: to -o or standard output\n"
    "--after=PASS           the graph after one pass\n"
    "--report               a table of the weights that were quantized: bytes, what the codes are away from the floats, ranges\n"
    "--time                 a table of stages with times and sizes\n"
    "-MD -MF FILE           a depfile for make and ninja\n"
    "-Werror -Wno-NAME      warnings are errors; a warning is off (-Wno-W0801)\n"
    "-v -q                  what every stage did; errors alone\n"
    "--color=auto|always|never   --help   --version\n"
    "\n"
    "Exit status: 0 done, 1 the input is wrong, 2 wrong usage, 3 the model reported an error, 70 a fault of the compiler\n";

const char *const emit_names[] = {"", "ast", "graph", "planned", "tile", "llvm", "asm", "obj", "header", "cuda", "ptx"};

int command_output_end(int status) {
    if (!fflush(stdout) && !ferror(stdout)) return status;
    if (errno != EPIPE) fprintf(stderr, "modelc: cannot write standard output: %s\n", strerror(errno));
    return EXIT_INPUT;
}

void usage(const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    fputs("modelc: ", stderr);
    vfprintf(stderr, format, ap);
    fputs("\nmodelc: modelc --help lists what there is\n", stderr);
    va_end(ap);
    exit(EXIT_USAGE);
}

/* The value of --name=value; NULL: another option. */
static const char *option_value(const char *argument, const char *name) {
    size_t n = strlen(name);
    return !strncmp(argument, name, n) && argument[n] == '=' ? argument + n + 1 : NULL;
}

static void words_split(Arena *arena, Words *list, const char *text) {
    while (*text) {
        size_t n = strcspn(text, ",");
        if (n) PUSH(arena, *list, arena_copy(arena, text, n));
        text += n + (text[n] == ',');
    }
}

static void option_define(Command *o, const char *text) {
    const char *equal = strchr(text, '=');
    if (!equal || equal == text) usage("-D wants NAME=VALUE, not \"%s\"", text);
    Define define = {arena_copy(o->arena, text, (size_t)(equal - text)), equal + 1};
    PUSH(o->arena, o->defines, define);
}

static EmitStage emit_stage(const char *name) {
    for (int i = 1; i < (int)(sizeof emit_names / sizeof *emit_names); i++) {
        if (!strcmp(emit_names[i], name)) return (EmitStage)i;
    }
    usage("--emit=%s: a stage is ast, graph, planned, tile, llvm, asm, obj, header, cuda or ptx", name);
}

static bool c_identifier(const char *text) {
    if (!isalpha((unsigned char)*text) && *text != '_') return false;
    for (; *text; text++) {
        if (!isalnum((unsigned char)*text) && *text != '_') return false;
    }
    return true;
}

static void option_color(Command *o, const char *value) {
    if (!strcmp(value, "always")) o->color = true;
    else if (!strcmp(value, "never")) o->color = false;
    else if (strcmp(value, "auto")) usage("--color is auto, always or never");
}

static void option_runtime(Command *o, const char *value) {
    o->core = !strcmp(value, "core");
    if (!o->core && strcmp(value, "hosted")) usage("--runtime is hosted or core");
}

static void option_weights(Command *o, const char *value) {
    o->external = !strcmp(value, "external");
    if (!o->external && strcmp(value, "embed")) usage("--weights is embed or external");
}

static void option_selftest(Command *o, const char *value) {
    char *end;
    long n = strtol(value, &end, 10);
    if (end == value || *end || n < 1 || n > 1000) usage("--self-test=%s: a number from 1 to 1000", value);
    o->selftest = (int)n;
}

static void option_budget(Command *o, const char *value) {
    const char *wrong = budget_parse(o->arena, value, &o->budgets, &o->accuracies);
    if (wrong) usage("--budget: %s", wrong);
}

static void option_blas(Command *o, const char *value) {
    o->blas = !strcmp(value, "openblas");
    if (!o->blas && strcmp(value, "none")) usage("--blas is openblas or none");
}

static void option_memory(Command *o, const char *value) {
    if (!budget_bytes(value, &o->memory) || o->memory == 0) usage("--memory: \"%s\" is no number of bytes such as 65536, 64Ki, 2Mi", value);
}

/* An option of the compiler that carries its value after '='. */
static bool option_long(Command *o, const char *a) {
    const char *value;
    if ((value = option_value(a, "--load"))) o->load = value;
    else if ((value = option_value(a, "--entries"))) {
        words_split(o->arena, &o->entries, value);
        if (!o->entries.n) usage("--entries wants names of entries, with commas between them");
    }
    else if ((value = option_value(a, "--quantize"))) PUSH(o->arena, o->quantize, value);
    else if ((value = option_value(a, "--name"))) o->name = value;
    else if ((value = option_value(a, "--target"))) o->target = value;
    else if ((value = option_value(a, "--emit"))) o->emit = emit_stage(value);
    else if ((value = option_value(a, "--runtime"))) option_runtime(o, value);
    else if ((value = option_value(a, "--cache"))) o->cache = value;
    else if ((value = option_value(a, "--nvrtc"))) o->nvrtc = value;
    else if ((value = option_value(a, "--budget"))) option_budget(o, value);
    else if ((value = option_value(a, "--measure"))) o->measure = value;
    else if ((value = option_value(a, "--memory"))) option_memory(o, value);
    else if ((value = option_value(a, "--after"))) o->after = value;
    else if ((value = option_value(a, "--color"))) option_color(o, value);
    else if ((value = option_value(a, "--weights"))) option_weights(o, value);
    else if ((value = option_value(a, "--self-test"))) option_selftest(o, value);
    else if ((value = option_value(a, "--self-test-data"))) PUSH(o->arena, o->samples, value);
    else if ((value = option_value(a, "--blas"))) option_blas(o, value);
    else if ((value = option_value(a, "--tune"))) o->tune = value;
    else return false;
    return true;
}

static bool option_flag(Command *o, const char *a) {
    if (!strncmp(a, "-O", 2)) o->small = a[2] == 's'; /* the last one counts */
    if (!strcmp(a, "-O0")) o->level = 0;
    else if (!strcmp(a, "-O1")) o->level = 1;
    else if (!strcmp(a, "-O2") || !strcmp(a, "-O3") || !strcmp(a, "-Os")) o->level = 2;
    else if (!strcmp(a, "--time")) o->time = true;
    else if (!strcmp(a, "--strip")) o->strip = true;
    else if (!strcmp(a, "--report")) o->report = true;
    else if (!strcmp(a, "-MD")) o->depfile_wanted = true;
    else if (!strcmp(a, "-v")) o->verbose = true;
    else if (!strcmp(a, "-q")) o->quiet = true;
    else if (!strcmp(a, "--interpret")) o->interpret = true;
    else if (!strcmp(a, "-Werror")) o->warnings_are_errors = true;
    else if (!strncmp(a, "-Wno-", 5) && a[5]) PUSH(o->arena, o->silenced, a + 5);
    else if (!strncmp(a, "-W", 2) && a[2]) return true; /* every warning is on */
    else if (!strcmp(a, "--json") && strcmp(o->command, "run")) o->json = true;
    else if (!strcmp(a, "--check") && !strcmp(o->command, "fmt")) o->check = true;
    else return false;
    return true;
}

/* The value of an option that is written apart or glued on: -o F, -oF. Advances *i in the first case. */
static const char *option_short(int argc, char **argv, int *i, const char *name) {
    size_t n = strlen(name);
    if (strncmp(argv[*i], name, n)) return NULL;
    if (argv[*i][n]) return argv[*i] + n;
    if (*i + 1 == argc) usage("%s wants a value", name);
    return argv[++*i];
}

/* Goes on to mdlrun, with its value where that stands apart. */
static void option_of_mdlrun(Command *o, int argc, char **argv, int *i) {
    const char *a = argv[*i];
    PUSH(o->arena, o->files, a);
    if (!strchr(a, '=') && strcmp(a, "--quiet") && *i + 1 < argc) PUSH(o->arena, o->files, argv[++*i]);
}

static const char *const commands[] = {"run", "calibrate", "check", "params", "entries", "size", "diff", "fmt", "explain"};

/* The first word that is no option is the command, or a file to compile. */
static bool option_command(Command *o, const char *word) {
    for (size_t i = 0; o->files.n == 0 && i < sizeof commands / sizeof *commands; i++) {
        if (strcmp(word, commands[i]) || strcmp(o->command, "compile")) continue;
        o->command = commands[i];
        return true;
    }
    return false;
}

void command_read(Command *o, int argc, char **argv) {
    bool words_only = false;
    o->command = "compile";
    for (int i = 1; i < argc; i++) {
        const char *a = argv[i], *value;
        bool run = !strcmp(o->command, "run"), calibrate = !strcmp(o->command, "calibrate");
        if (!words_only && option_command(o, a)) continue;
        if (words_only || a[0] != '-' || !a[1]) PUSH(o->arena, o->files, a);
        else if (!strcmp(a, "--")) words_only = true;
        else if (!strcmp(a, "--help") || !strcmp(a, "-h")) {
            fputs(help, stdout);
            exit(command_output_end(EXIT_DONE));
        } else if (!strcmp(a, "--version")) {
            puts("modelc " MODELC_VERSION);
            exit(command_output_end(EXIT_DONE));
        } else if (option_flag(o, a) || option_long(o, a)) continue;
        else if ((value = option_short(argc, argv, &i, "-D"))) option_define(o, value);
        else if (run) option_of_mdlrun(o, argc, argv, &i);
        else if ((value = option_short(argc, argv, &i, "-MF"))) o->depfile = value;
        else if ((value = option_short(argc, argv, &i, "-o"))) o->output = value;
        else if (calibrate) option_of_mdlrun(o, argc, argv, &i);
        else usage("unknown option %s", a);
    }
    if (o->name && !c_identifier(o->name)) usage("--name=%s is no name in C", o->name);
}
