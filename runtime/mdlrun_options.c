/* mdlrun_options.c -- the options of all commands, one row each. */
#include "runtime/mdlrun.h"

#include <getopt.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "mdlrun MODEL.so [info] [--json]             what is inside: entries, parameters, bytes, targets\n"
    "mdlrun MODEL.so run ENTRY NAME=VALUE ... [then ENTRY NAME=VALUE ...]...\n"
    "mdlrun MODEL.so train [STEP] NAME=SOURCE ... [--test ENTRY] [--batch N] [--epochs N | --steps N] [--resume CKPT]\n"
    "mdlrun MODEL.so eval ENTRY NAME=SOURCE ... [--batch N]\n"
    "mdlrun MODEL.so generate [ENTRY] --prompt TEXT | --prompt-file F [-n N] [--temperature T] [--top-k K] [--top-p P]\n"
    "mdlrun MODEL.so bench ENTRY [NAME=VALUE ...] [--rounds N] [--profile] [--trace FILE] [--json]\n"
    "mdlrun MODEL.so selftest                                              does it compute here what it did where it was compiled?\n"
    "mdlrun MODEL.so compare OTHER.so ENTRY NAME=SOURCE ... [--batch N]    where the two drift apart, kernel by kernel\n"
    "\n"
    "VALUE    a number, FILE.npy, FILE.npz:NAME, FILE.safetensors:NAME; sizes follow from arrays, or are given like numbers;\n"
    "         \"text:WORDS\" is a row of text\n"
    "SOURCE   FILE.npy, FILE.npz:NAME, FILE.safetensors:NAME, FILE.csv:COLUMN, FILE.txt, IDX (.gz too), \"text:WORDS\"; @A:B\n"
    "         picks a part: ids=text.txt@:90%. One axis given to an input [b, n] is cut into windows of n. Rows of text fill the\n"
    "         inputs lengths and mask, too. Texts are bytes, or tokens:\n"
    "  --tokenizer F    vocab.txt (WordPiece) or tokenizer.json (WordPiece, or BPE over bytes)\n"
    "  --truncate       cuts rows of text that are longer than the input; else they are an error\n"
    "\n"
    "  --load F         weights before anything runs      --save F         weights afterwards; in train a checkpoint\n"
    "  --only PATHS     of these alone: head,h[*].attn    --out DIR        each result as DIR/RESULT.npy\n"
    "  --threads N      --seed N      --quiet             --check-nan      a call stops at its first NaN and names the layer (slower)\n"
    "  --copy-weights   the library's weights move to memory in large pages first: a slower start, faster calls that read all of them\n"
    "  --device D       cpu, cuda or cuda:1; without, the first device that the library was compiled for, else the processor\n"
    "  --image RESULT=FILE.png      a result [n, h, w], [n, 1 or 3, h, w] or [n, h * h] as a grid of pictures: u8, or floats from 0\n"
    "                   (where some are negative, -1) to 1\n"
    "  --confusion RESULT:SOURCE=FILE.png  eval, train: predicted labels against the true ones of SOURCE\n"
    "train:\n"
    "  --data DIR       where the data of run { } lies    --every N        saves every N steps\n"
    "  --test ENTRY     with --test-data \"NAME=SOURCE ...\" every --test-every N steps (an epoch, or a tenth of the "
    "training)\n"
    "  --keep-best RESULT[:min|max]  the best test's weights go to F.best   --patience N  stops after N tests without a better "
    "one\n"
    "  --look \"ENTRY NAME=VALUE ...\"  is called when a test is due, for --image; {epoch} in names of pictures is the epoch\n"
    "  --log F.csv      a row a step                      --plot F.png     the curves of the losses\n"
    "bench:\n"
    "  --profile        each kernel: time, share, GFLOP/s of its products, MB that it must move at least, its share of this machine's\n"
    "                   floor (arithmetic at the FMA peak, or reading as much as a call moves, both measured now), layer, source line\n"
    "  --trace F.json   every kernel of 10 calls (--rounds) on each thread's line of time; ui.perfetto.dev opens it\n"
    "bench, eval:\n"
    "  --json           the figures as JSON\n"
    "  --budget NAME<=NUMBER,...   status 1 where it does not hold; >= too; NUMBER*FILE.json: that many times what --json printed\n"
    "                   before. NAME is a result; of bench: median_ms, min_ms, bytes, relative (min_ms over that of a plain product\n"
    "                   of 192 x 192 in the same run)\n"
    "\n"
    "Exit status: 0 done, 1 wrong input, 2 wrong usage, 3 the artifact reported an error, 130 interrupted\n";

enum { OPT_INT, OPT_REAL, OPT_TEXT, OPT_FLAG };

/* name, kind, field of Options, smallest value */
static const struct Row {
    const char *name;
    int kind;
    size_t field;
    int64_t low;
} rows[] = {
#define ROW(name, kind, field, low)                                                                                            \
    { name, kind, offsetof(Options, field), low }
    ROW("load", OPT_TEXT, load, 0),
    ROW("save", OPT_TEXT, save, 0),
    ROW("only", OPT_TEXT, only, 0),
    ROW("out", OPT_TEXT, out, 0),
    ROW("image", OPT_TEXT, image, 0),
    ROW("confusion", OPT_TEXT, confusion, 0),
    ROW("look", OPT_TEXT, look, 0),
    ROW("log", OPT_TEXT, log, 0),
    ROW("plot", OPT_TEXT, plot, 0),
    ROW("trace", OPT_TEXT, trace, 0),
    ROW("resume", OPT_TEXT, resume, 0),
    ROW("test", OPT_TEXT, test, 0),
    ROW("test-data", OPT_TEXT, test_data, 0),
    ROW("data", OPT_TEXT, data, 0),
    ROW("keep-best", OPT_TEXT, keep_best, 0),
    ROW("prompt", OPT_TEXT, prompt, 0),
    ROW("prompt-file", OPT_TEXT, prompt_file, 0),
    ROW("tokenizer", OPT_TEXT, tokenizer, 0),
    ROW("budget", OPT_TEXT, budget, 0),
    ROW("batch", OPT_INT, batch, 1),
    ROW("epochs", OPT_INT, epochs, 0),
    ROW("steps", OPT_INT, steps, 0),
    ROW("every", OPT_INT, every, 1),
    ROW("test-every", OPT_INT, test_every, 1),
    ROW("patience", OPT_INT, patience, 1),
    ROW("rounds", OPT_INT, rounds, 1),
    ROW("top-k", OPT_INT, top_k, 0),
    ROW("temperature", OPT_REAL, temperature, 0),
    ROW("top-p", OPT_REAL, top_p, 0),
    ROW("quiet", OPT_FLAG, quiet, 0),
    ROW("json", OPT_FLAG, json, 0),
    ROW("profile", OPT_FLAG, profile, 0),
    ROW("truncate", OPT_FLAG, truncate, 0),
    ROW("check-nan", OPT_FLAG, check_nan, 0),
    ROW("copy-weights", OPT_FLAG, copy_weights, 0),
#undef ROW
};
#define N_ROWS ((int)(sizeof rows / sizeof *rows))
enum { OPT_HELP = 1000, OPT_THREADS, OPT_SEED, OPT_DEVICE };

static int64_t number(Tool *t, const char *name, const char *text, int64_t low) {
    int64_t v;
    if (!tool_int(text, &v)) tool_fail(t, EXIT_USAGE, "--%s %s: not a whole number", name, text);
    if (v < low) tool_fail(t, EXIT_USAGE, "--%s %s: at least %lld", name, text, (long long)low);
    return v;
}

/* cpu, cuda, cuda:1 */
static mdl_device device(Tool *t, const char *text) {
    int64_t id = 0;
    if (!strcmp(text, "cpu")) return (mdl_device){1, 0};
    if (strcmp(text, "cuda") && (strncmp(text, "cuda:", 5) || !tool_int(text + 5, &id) || id < 0 || id > INT32_MAX))
        tool_fail(t, EXIT_USAGE, "--device %s: cpu, cuda or, of several, cuda:1", text);
    return (mdl_device){2, (int32_t)id};
}

static void option_set(Tool *t, const struct Row *row, const char *text) {
    void *field = (char *)&t->o + row->field;
    char *end;
    switch (row->kind) {
    case OPT_INT: *(int64_t *)field = number(t, row->name, text, row->low); break;
    case OPT_TEXT: *(const char **)field = text; break;
    case OPT_FLAG: *(bool *)field = true; break;
    default:
        *(double *)field = strtod(text, &end);
        if (!*text || *end || !(*(double *)field >= 0))
            tool_fail(t, EXIT_USAGE, "--%s %s: not a number of 0 or more", row->name, text);
    }
}

bool options_parse(Tool *t, int *argc, char **argv) {
    struct option options[N_ROWS + 5];
    memset(options, 0, sizeof options);
    for (int i = 0; i < N_ROWS; i++) {
        options[i].name = rows[i].name;
        options[i].has_arg = rows[i].kind == OPT_FLAG ? no_argument : required_argument;
        options[i].val = 256 + i;
    }
    options[N_ROWS] = (struct option){"help", no_argument, NULL, OPT_HELP};
    options[N_ROWS + 1] = (struct option){"threads", required_argument, NULL, OPT_THREADS};
    options[N_ROWS + 2] = (struct option){"seed", required_argument, NULL, OPT_SEED};
    options[N_ROWS + 3] = (struct option){"device", required_argument, NULL, OPT_DEVICE};

    /* getopt wants the program's name before the words. */
    char **words = tool_alloc(t, sizeof *words * (size_t)(*argc + 2));
    words[0] = (char *)(uintptr_t)t->program;
    memcpy(words + 1, argv, sizeof *words * (size_t)*argc);
    int count = *argc + 1, c;
    optind = 0;
    opterr = 0;
    while ((c = getopt_long(count, words, ":n:hq", options, NULL)) != -1) {
        switch (c) {
        case 'h':
        case OPT_HELP: fputs(help, stdout); return false;
        case 'q': t->o.quiet = true; break;
        case 'n': t->o.n = number(t, "n", optarg, 0); break;
        case OPT_THREADS: {
            int64_t v = number(t, "threads", optarg, 0);
            if (v > 4096) tool_fail(t, EXIT_USAGE, "--threads %s: at most 4096", optarg);
            t->o.threads = (int)v;
            break;
        }
        case OPT_SEED: {
            char *end;
            errno = 0;
            t->o.seed = strtoull(optarg, &end, 0);
            if (!*optarg || *end || errno || *optarg == '-')
                tool_fail(t, EXIT_USAGE, "--seed %s: not a number from 0 to 2^64 - 1", optarg);
            t->o.seed_given = true;
            break;
        }
        case OPT_DEVICE: t->o.device = device(t, optarg); break;
        case ':': tool_fail(t, EXIT_USAGE, "%s needs a value", words[optind - 1]);
        case '?': tool_fail(t, EXIT_USAGE, "unknown option %s; see %s --help", words[optind - 1], t->program);
        default: option_set(t, &rows[c - 256], optarg);
        }
    }
    *argc = count - optind;
    memcpy(argv, words + optind, sizeof *argv * (size_t)*argc);
    return true;
}
