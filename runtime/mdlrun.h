/* mdlrun.h -- between the files of the command mdlrun. How to read it, in the order of the data:
 *
 *   mdlrun.c           main: options, then one command
 *   mdlrun_tool.c      memory, messages, exit statuses
 *   mdlrun_meta.c      the section .mdl.meta of an artifact, read without loading it; `info`
 *   mdlrun_size.c      what takes the bytes of an artifact: `modelc size`, budgets
 *   mdlrun_diff.c      two artifacts side by side: `modelc diff`
 *   mdlrun_model.c     loads the artifact, opens its session; --load, --save, --only
 *   mdlrun_cut.c       an artifact or its weights cut short while in use
 *   mdlrun_array.c     arrays: dtypes, conversion, .npy files
 *   mdlrun_file.c      array files: .npz, .safetensors; VALUE as the user writes it
 *   mdlrun_source.c    SOURCE as the user writes it: array files, IDX, CSV, text
 *   mdlrun_token.h     text to tokens and back: its five files
 *   mdlrun_call.c      one call of an entry: sizes follow from arrays, results are allocated, printed, stored; `run`
 *   mdlrun_batch.c     the next batch, made while the model computes
 *   mdlrun_data.c      data sets: batches of samples or windows, in an order that is a pure function of seed, epoch and step
 *   mdlrun_train.c     `train`      mdlrun_eval.c  `eval`      mdlrun_generate.c  `generate`      mdlrun_bench.c  `bench`
 *   mdlrun_record.c    a call with what its layers store, for `modelc --self-test`; `selftest`
 *   mdlrun_plot.c      curves and a confusion matrix as PNG       mdlrun_image.c  results as pictures: --image, --confusion
 *
 * Everything of an artifact is reached through mdl.h. A fault of the user or of a file ends the command through tool_fail();
 * memory belongs to the Tool and lives until its end, so nothing is freed alone except what grows. */
#ifndef RUNTIME_MDLRUN_H
#define RUNTIME_MDLRUN_H
#include "runtime/mdl.h"
#include "runtime/sizes.h"

#include <gelf.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

/* Exit statuses: COMMANDS.md. */
enum { EXIT_DONE = 0, EXIT_INPUT = 1, EXIT_USAGE = 2, EXIT_ARTIFACT = 3, EXIT_FAULT = 70, EXIT_INTERRUPTED = 130 };

#define RANK_MAX  16
#define SIZES_MAX 64

typedef struct Array {
    mdl_dtype dtype;
    int rank;
    int64_t shape[RANK_MAX];
    int64_t count;    /* elements: the product of shape */
    char *data;       /* row-major without gaps */
    int64_t *lengths; /* rows of text, padded to the longest: their elements (bytes or tokens); else NULL */
    const struct Tokenizer *tokens; /* what made tokens of text; NULL: elements are bytes, or no text */
    const char *strange; /* rows of text from a column: where its first cell is that is no number; else NULL */
} Array;

/* Options of all commands; a field keeps its initial value (options_init) where the user said nothing. */
typedef struct Options {
    const char *load, *save, *only, *out, *image, *confusion, *look, *log, *plot, *trace, *resume, *test, *test_data, *data, *keep_best, *prompt, *prompt_file;
    const char *tokenizer, *budget;
    int64_t batch, epochs, steps, every, test_every, patience, rounds, n, top_k; /* -1: not given */
    int threads;
    mdl_device device; /* {0, 0}: not given */
    uint64_t seed;
    bool seed_given, quiet, json, profile, truncate, check_nan, copy_weights;
    double temperature, top_p;
} Options;

typedef struct Block Block;
typedef struct Pictures Pictures;
typedef struct Trace Trace;
typedef struct Profile Profile;

typedef struct Tool {
    const char *program;  /* what messages begin with */
    const char *artifact; /* path as given; NULL when the model came from memory */
    Block *blocks;        /* all memory */
    Options o;
    json_t *meta; /* of .mdl.meta, or NULL */
    json_t *run;  /* the program's run { }, or NULL */
    const mdl_model *model;
    mdl_session *session;
    Profile *profile;     /* NULL: no profile (yet) */
    Trace *trace;         /* NULL: nothing is recorded (yet) */
    const Pictures *pictures; /* NULL in `modelc run`, which does without libpng */
    mdl_watch *watch;         /* of the session to be opened, with the Tool as its context; NULL: none */
    struct Watched *watched;  /* what it has seen (mdlrun_compare.c) */
    struct Tokenizer *tokenizer; /* NULL: none, or not asked for yet: tokenizer_of */
    struct Data *data;           /* those whose next batch a thread makes */
} Tool;

/* ---- mdlrun_tool.c ------------------------------------------------------------------------------------------------------- */

void tool_init(Tool *t, const char *program);
void tool_free(Tool *t);                 /* closes the session too */
void *tool_alloc(Tool *t, size_t bytes); /* zeroed, aligned to 64; ends the command when there is none */
void *tool_resize(Tool *t, void *old, size_t old_bytes, size_t new_bytes); /* frees old; new bytes are zero */
void tool_release(Tool *t, void *p);                                       /* for what is large and short-lived; NULL is fine */
char *tool_printf(Tool *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
char *tool_copy(Tool *t, const char *text, size_t n);

/* Prints "mdlrun: sentence" and ends with the status. */
void tool_fail(Tool *t, int status, const char *format, ...) __attribute__((format(printf, 3, 4), noreturn));
/* The same, with the artifact's own sentence when code is not MDL_OK; status 3. */
void tool_check(Tool *t, int code, const char *doing);
void tool_note(Tool *t, const char *format, ...) __attribute__((format(printf, 2, 3))); /* to standard error unless --quiet */
double tool_now(void);                                                                  /* seconds, monotonic */
void stop_watch(void); /* from now on Ctrl-C (once) and SIGTERM only leave a mark */
bool stop_asked(void); /* the mark */

/* Reads a whole file, with a final 0 that length does not count. Ends the command where it cannot. */
char *tool_file_read(Tool *t, const char *path, size_t *length);
/* Creates PATH.tmp, to be filled; file_commit syncs and renames it to path. */
FILE *tool_file_create(Tool *t, const char *path);
void tool_file_commit(Tool *t, FILE *f, const char *path);
void tool_folder(Tool *t, const char *path); /* with its parents */
bool tool_suffix(const char *text, const char *suffix);
bool tool_int(const char *text, int64_t *value); /* whole text; underscores and k, M not accepted */

/* ---- mdlrun_meta.c ------------------------------------------------------------------------------------------------------- */

json_t *meta_read(Tool *t, const char *path); /* verified; ends the command when path is not an artifact */
/* The bytes of section .mdl.meta, inside the file that elf reads. NULL: there are none, *why says so. */
const char *meta_section(Elf *elf, size_t *size, const char **why);
json_t *meta_parse(Tool *t, const char *path, const char *section, size_t size); /* of the section's bytes */
char *meta_entry_text(Tool *t, const json_t *meta, const json_t *entry); /* "train step[b](x: f32[b, 8]) -> (loss: f32)" */
int command_info(Tool *t);

/* ---- mdlrun_size.c ------------------------------------------------------------------------------------------------------- */

/* Of the bytes of an artifact (.so, .o, .a), with its description, which the caller releases; ends the command where they are none. */
Sizes sizes_of(Tool *t, const char *path, const char *bytes, size_t n, json_t **meta);
const char *size_part_name(SizePart part);
/* Bytes of a call's memory from an entry of the description; *most: at the upper limits of its run-time sizes. -1: they have none. */
int64_t size_arena(const json_t *entry, bool *most);
json_t *sizes_json(const Sizes *s, const json_t *meta);
/* The same for a caller without a Tool, of a file of which he has the first n bytes, all but its weights; what *sizes points to lives
 * until the process ends. */
void mdlrun_sizes(const char *program, const char *path, const char *bytes, size_t n, size_t file, Sizes *sizes);
json_t *mdlrun_report(const char *program, const char *path); /* sizes_json of a file, with its hashes */
int mdlrun_size(const char *program, bool json, const char *path); /* `modelc size` */

/* ---- mdlrun_diff.c ------------------------------------------------------------------------------------------------------- */

/* `modelc diff`: EXIT_DONE, or EXIT_INPUT where a caller of a would not work with b. */
int mdlrun_diff(const char *program, const char *a, const char *b);

/* ---- mdlrun_model.c ------------------------------------------------------------------------------------------------------ */

void cut_watch(const char *program);                    /* a mapped file that is cut short ends the command with a sentence */
void model_load(Tool *t, const char *path);           /* .mdl.meta is verified first; fills meta, model, run */
void model_open(Tool *t);                             /* a session; --load; options threads, seed */
void model_save(Tool *t, const char *path);           /* whole, or --only some paths */
int model_entry(const Tool *t, const char *name);     /* index, or -1 */
int model_entry_must(Tool *t, const char *name);      /* ends the command with the names that exist */
const char *run_text(const Tool *t, const char *key); /* a string of run { }, or NULL */
int64_t run_int(const Tool *t, const char *key, int64_t otherwise);
bool selection_match(const char *selection, const char *path); /* "net.*,h[*].attn" and everything below what matches */

/* ---- mdlrun_array.c ------------------------------------------------------------------------------------------------------ */

const char *element_type_text(mdl_dtype d); /* "f32"; "?" for what is unknown */
bool element_type_same(mdl_dtype a, mdl_dtype b);
int64_t element_size(mdl_dtype d);                                     /* bytes of an element, 0 for what files cannot hold */
mdl_dtype element_type(const char *name);                              /* of "f32"; bits 0 when unknown */
Array array_new(Tool *t, mdl_dtype d, int rank, const int64_t *shape); /* zeros */
char *array_shape_text(Tool *t, const Array *a);                       /* "f32[2, 3]" */
/* Converts n elements: integers to integers and floats when the value fits, floats to floats rounded. Returns n, or the index of the first
 * element that does not fit, or -1 when the types do not go together. */
int64_t array_convert(void *to, mdl_dtype to_type, const void *from, mdl_dtype from_type, int64_t n);
double element_double(const void *data, mdl_dtype d, int64_t i);
int64_t element_int(const void *data, mdl_dtype d, int64_t i);
Array npy_parse(Tool *t, const char *name, const char *bytes, size_t length);
void npy_write(Tool *t, const char *path, const Array *a); /* bf16 and f8 as f32 */

/* ---- mdlrun_file.c ------------------------------------------------------------------------------------------------------- */

Array value_read(Tool *t,
                 const char *text); /* VALUE but text: a number (rank 0, i64 or f64), FILE.npy, FILE.npz:KEY, FILE.safetensors:KEY */
/* Splits "FILE.ext:KEY" behind the extension; NULL when text has no ".ext:". */
const char *key_split(Tool *t, const char *text, const char *extension, char **path);
/* Arrays in files that both VALUE and SOURCE allow; false: text is none of them. */
bool array_file_read(Tool *t, const char *text, Array *a);

typedef struct Tensors {
    json_t *header; /* name -> {dtype, shape, data_offsets}; without __metadata__; sorted by name */
    const char *data;
    size_t length;
    const char *path;
} Tensors;
Tensors tensors_open(Tool *t, const char *path);                         /* a .safetensors; every offset checked */
bool tensors_get(Tool *t, const Tensors *f, const char *name, Array *a); /* false: no such tensor */
void tensors_write(Tool *t, const char *path, int n, const char *const *names, const Array *arrays);

/* ---- mdlrun_source.c ----------------------------------------------------------------------------------------------------- */

Array sample_read(Tool *t, const char *text); /* SOURCE */
bool text_words(Tool *t, const char *text, Array *a); /* text:WORDS as one row; false: text is none */
/* What follows from rows of text: "lengths", i64[n], or "mask", u8[n, width]; false: any other name. */
bool text_follows(Tool *t, const Array *rows, const char *name, Array *a);
/* Row i of rows of text becomes n elements and padding. */
void text_row_set(Array *a, int64_t i, const void *elements, int64_t n);

/* ---- mdlrun_profile.c ---------------------------------------------------------------------------------------------------- */

void profile_begin(Tool *t); /* of a session with MDL_PROFILE: what follows counts */
void profile_print(Tool *t, int64_t calls); /* calls: of the entry */
json_t *profile_json(Tool *t, int64_t calls);
/* --trace: kernels are recorded from trace_begin on, calls (seconds, monotonic) as they are told, and all is written at the end. */
mdl_trace trace_kernel; /* its context is the tool */
void trace_begin(Tool *t);
void trace_call(Tool *t, const char *entry, double begin, double end);
void trace_write(Tool *t);

/* ---- mdlrun_call.c ------------------------------------------------------------------------------------------------------- */

/* A NAME=TEXT argument. */
typedef struct Binding {
    const char *name, *text;
    bool optional; /* from run { }: passed over where the entry has no such input */
} Binding;
typedef struct Bindings {
    Binding *at;
    int n;
} Bindings;
bool binding_split(Tool *t, const char *argument, Binding *b); /* false: no '=' */
Bindings bindings_split(Tool *t, const char *text);            /* words divided by spaces: the strings of run { } */
const char *binding_find(const Bindings *b, const char *name);
/* The NAME=SOURCE words among `words`, and those of `defaults` (a string of run { }, NULL: none) for names that no word gives;
 * paths of defaults are below --data. *first: the first word without a '=', or NULL; a second one ends the command. */
Bindings bindings_merge(Tool *t, int n, char **words, const char *defaults, const char **first);

/* One call in the making: what is known of sizes, inputs ready to go, results. */
typedef struct Call {
    int index;
    const mdl_entry *entry;
    int64_t sizes[SIZES_MAX]; /* in the order of entry->sizes; -1 unknown */
    Array *inputs, *outputs;
} Call;
Call call_new(Tool *t, const char *entry);
int call_input(const Call *c, const char *name); /* index, or -1 */
int call_size(const Tool *t, const Call *c, const char *name);
void call_set_size(Tool *t, Call *c, const char *name, int64_t value, const char *why);
/* Takes array for input i: converted to its dtype; sizes follow from its shape. Ends the command where it does not fit. */
void call_set_input(Tool *t, Call *c, int i, const Array *a);
/* The shape of a value where the sizes are known; false and the size's name when one is missing. */
bool call_shape(Tool *t, const Call *c, const mdl_value *v, int64_t *shape, const char **missing);
/* Allocates outputs (kept between calls of the same shape) and calls; returns the artifact's code. */
int call_try(Tool *t, Call *c);
void call_run(Tool *t, Call *c); /* call_try; ends the command with the artifact's message */
void value_print(Tool *t, FILE *f, const char *name, const Array *a);
/* Gives the call what the user wrote: numbers for sizes first, then the arrays, then what follows
 * from words among them. */
void call_bind(Tool *t, Call *c, const Bindings *b);
int command_run(Tool *t, int n, char **words);

/* ---- mdlrun_data.c ------------------------------------------------------------------------------------------------------- */

/* Makes rows of text as wide as input v of a call wants them: its fixed length or the size that was given, else the longest. A
 * row that is longer than that, or than the tokenizer's file allows, is cut by --truncate alone, and keeps the marks at its end. */
void texts_widen(Tool *t, const Call *c, Array *rows, const mdl_value *v, const char *text);

typedef struct Data Data;
/* The data of an entry: each binding feeds an input (a number fixes a size). batch: samples a call, -1: run { }, the fixed size
 * or 32. */
Data *data_open(Tool *t, const char *entry, const Bindings *b, int64_t batch);
Call *data_call(Data *d);
int64_t data_epoch_steps(const Data *d); /* calls that go through the data once, at least 1 */
int64_t data_tokens(const Data *d);   /* elements a sample of the stream, 0 where there is none */
int64_t data_left_out(const Data *d); /* samples (or elements of a stream) that no call of a pass in order sees */
int64_t data_batch(const Data *d);

/* ---- mdlrun_batch.c ------------------------------------------------------------------------------------------------------ */

/* Fills the inputs for a step of training (counted from 0 over all epochs); returns the number of samples. The batch after it is
 * made meanwhile by a thread; a fault of that one ends the command when it is asked for. */
int64_t data_train(Tool *t, Data *d, uint64_t seed, int64_t step);
/* Fills the inputs for call i of a pass in order; returns the samples, 0 at the end. The next one is made meanwhile. */
int64_t data_next(Tool *t, Data *d, int64_t i);
bool data_ahead(Data *d); /* is the next batch ready? For tests: it may be at any time */
/* Calls the entry with the batch. Where that fails it ends the command, and says which sample it was, and which step (-1: none). */
void data_call_run(Tool *t, Data *d, int64_t step);
void data_close(Tool *t); /* ends the threads of all data sets */

/* ---- the commands -------------------------------------------------------------------------------------------------------- */

int command_train(Tool *t, int n, char **words);
int command_eval(Tool *t, int n, char **words);
int command_generate(Tool *t, int n, char **words);
int command_bench(Tool *t, int n, char **words);
/* Makes up the sizes and inputs of a call that are not set: floats from the normal distribution by the seed, integers 0. */
void call_make(Tool *t, Call *c);
int command_selftest(Tool *t, int n, char **words); /* mdlrun_record.c */
int command_compare(Tool *t, int n, char **words);
mdl_watch watch_floats; /* of a Tool whose `watched` is there: keeps a copy */

typedef struct Results {
    int n; /* scalar results of an entry */
    const char **names;
    double *values;
    int64_t samples; /* that they are the mean of */
} Results;
/* Resets caches, then goes through the data once, in order: means of the scalar results weighted by samples (the last value
 * where a result depends on a cache). Tensors go to folder, all batches as one array, where that is not NULL. Stops early when
 * stop_asked(). */
Results eval_pass(Tool *t, Data *d, const char *folder, int64_t epoch);

typedef struct Curve {
    const char *name;
    double *x, *y;
    int n;
    bool dots; /* mark each point */
} Curve;
void plot_write(Tool *t, const char *path, const char *title, const Curve *curves, int n);
/* counts[actual * classes + predicted] */
void plot_confusion(Tool *t, const char *path, const char *title, const int64_t *counts, int classes);

/* ---- mdlrun_budget.c ----------------------------------------------------------------------------------------------------- */

typedef struct Figure {
    const char *name;
    double value;
} Figure;
/* Ends the command where --budget is nonsense or names none of these: before the work, so that none is wasted. */
void budget_names_check(Tool *t, const char *const *names, int n);
/* EXIT_INPUT, and a sentence for each, where a figure is beyond its budget. */
int budget_status(Tool *t, const Figure *figures, int n);
/* The least time of a plain product [192, 192] x [192, 192], one thread, three loops, out of some rounds. */
double product_seconds(Tool *t, int rounds);

/* ---- mdlrun_image.c ------------------------------------------------------------------------------------------------------ */

void png_store(Tool *t, const char *path, const unsigned char *rgb, int width, int height);
char *epoch_path(Tool *t, const char *path, int64_t epoch); /* "{epoch}" replaced; epoch -1: there are none */
bool picture_wanted(Tool *t, const char *result);           /* do --image or --confusion name it? */

struct Pictures {
    /* Ends the command where an option names no array among the results of the entries. */
    void (*check)(Tool *t, const mdl_entry *const *entries, int n);
    /* Draws what the options want of a result. epoch -1: not in a training. */
    void (*write)(Tool *t, const char *result, const Array *a, int64_t epoch);
};
extern const Pictures pictures;

/* For `modelc run`: the words after the model, with mdlrun's options among them; returns the exit status. */
int mdlrun_run_model(const char *program, const mdl_model *m, int argc, char **argv);
bool options_parse(Tool *t, int *argc, char **argv); /* leaves the words, in order; false: --help was printed */

#endif
