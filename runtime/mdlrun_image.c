/* mdlrun_image.c -- results as pictures: --image RESULT=FILE.png draws an array of pictures as a grid, --confusion
 * RESULT:SOURCE=FILE.png how often each predicted label met each true one.
 *
 * "{epoch}" in a file's name becomes the number of epochs that a training has done. */
#include "runtime/mdlrun.h"

#include <math.h>
#include <png.h>
#include <string.h>

enum { GAP = 2, CLASSES_MAX = 64, PIXELS_MAX = 1 << 26 };

char *epoch_path(Tool *t, const char *path, int64_t epoch) {
    const char *mark = strstr(path, "{epoch}");
    if (!mark || epoch < 0) return tool_copy(t, path, strlen(path));
    return tool_printf(t, "%.*s%lld%s", (int)(mark - path), path, (long long)epoch, mark + strlen("{epoch}"));
}

/* ---- PNG ----------------------------------------------------------------------------------------------------------------- */

typedef struct Target {
    Tool *t;
    const char *path;
} Target;

static void png_failed(png_structp png, png_const_charp why) {
    const Target *target = png_get_error_ptr(png);
    tool_fail(target->t, EXIT_INPUT, "cannot write %s: %s", target->path, why);
}

static void png_warned(png_structp png, png_const_charp what) {
    (void)png;
    (void)what;
}

void png_store(Tool *t, const char *path, const unsigned char *rgb, int width, int height) {
    Target target = {t, path};
    FILE *f = tool_file_create(t, path);
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &target, png_failed, png_warned);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    if (!info) tool_fail(t, EXIT_INPUT, "cannot write %s: libpng refused", path);
    png_init_io(png, f);
    png_set_IHDR(png, info, (png_uint_32)width, (png_uint_32)height, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, info);
    for (int y = 0; y < height; y++) png_write_row(png, rgb + 3 * (size_t)y * (size_t)width);
    png_write_end(png, NULL);
    png_destroy_write_struct(&png, &info);
    tool_file_commit(t, f, path);
}

/* ---- a grid of pictures -------------------------------------------------------------------------------------------------- */

/* An element as a byte: u8 as it is; floats from `low` (0, or -1 where some are negative) to 1. NaN is black. */
static unsigned char shade(const Array *a, int64_t i, double low) {
    double v = element_double(a->data, a->dtype, i);
    if (a->dtype.code != 2) return (unsigned char)(v < 0 ? 0 : v > 255 ? 255 : v);
    v = (v - low) / (1 - low);
    return (unsigned char)(v > 0 ? lround(255 * fmin(v, 1)) : 0);
}

/* a: [n, h, w], [n, 1, h, w], [n, 3, h, w] or [n, h * h]; as near to a square of pictures as n allows. */
static void grid_write(Tool *t, const char *path, const char *name, const Array *a) {
    int64_t n = a->rank ? a->shape[0] : 0, side = a->rank == 2 ? (int64_t)lround(sqrt((double)a->shape[1])) : 0;
    int64_t colors = a->rank == 4 ? a->shape[1] : 1;
    int64_t h = a->rank == 2 ? side : a->rank > 2 ? a->shape[a->rank - 2] : 0, w = a->rank == 2 ? side : a->rank > 2 ? a->shape[a->rank - 1] : 0;
    bool fits = (a->rank == 2 && side * side == a->shape[1]) || a->rank == 3 || (a->rank == 4 && (colors == 1 || colors == 3));
    if (!fits || a->count == 0)
        tool_fail(t, EXIT_INPUT, "--image %s: pictures are [n, h, w], [n, 1 or 3, h, w] or [n, h * h], and this is %s", name,
                  array_shape_text(t, a));
    int64_t columns = (int64_t)ceil(sqrt((double)n)), rows = (n + columns - 1) / columns;
    double width = (double)columns * (double)(w + GAP) + GAP, height = (double)rows * (double)(h + GAP) + GAP;
    if (width * height > PIXELS_MAX)
        tool_fail(t, EXIT_INPUT, "--image %s: %s is too much for one picture", name, array_shape_text(t, a));
    int wide = (int)width, high = (int)height;
    unsigned char *rgb = tool_alloc(t, 3 * (size_t)wide * (size_t)high);
    memset(rgb, 255, 3 * (size_t)wide * (size_t)high);
    double low = 0;
    for (int64_t i = 0; i < a->count; i++)
        if (element_double(a->data, a->dtype, i) < 0) low = -1;
    for (int64_t i = 0; i < n; i++) {
        for (int64_t p = 0; p < h * w; p++) {
            int64_t x = GAP + i % columns * (w + GAP) + p % w, y = GAP + i / columns * (h + GAP) + p / w;
            for (int64_t c = 0; c < 3; c++)
                rgb[3 * (y * wide + x) + c] = shade(a, (i * colors + (colors == 3 ? c : 0)) * h * w + p, low);
        }
    }
    png_store(t, path, rgb, wide, high);
    tool_release(t, rgb);
}

/* ---- the options --------------------------------------------------------------------------------------------------------- */

/* RESULT of "RESULT=FILE" or "RESULT:SOURCE=FILE"; the rest ends the command when it is not so. */
static char *option_result(Tool *t, const char *option, const char *text, bool source, char **source_text, const char **path) {
    const char *equal = strrchr(text, '='), *colon = source ? strchr(text, ':') : equal;
    if (!equal || !colon || colon >= equal + 1 || colon == text || (source && colon + 1 >= equal) || !tool_suffix(equal + 1, ".png"))
        tool_fail(t, EXIT_USAGE, "--%s %s: write %s", option, text, source ? "RESULT:SOURCE=FILE.png" : "RESULT=FILE.png");
    *path = equal + 1;
    if (source) *source_text = tool_copy(t, colon + 1, (size_t)(equal - colon - 1));
    return tool_copy(t, text, (size_t)(colon - text));
}

static bool option_names(Tool *t, const char *option, const char *text, bool source, const char *result) {
    char *of;
    const char *path;
    return text && !strcmp(option_result(t, option, text, source, &of, &path), result);
}

bool picture_wanted(Tool *t, const char *result) {
    return option_names(t, "image", t->o.image, false, result) || option_names(t, "confusion", t->o.confusion, true, result);
}

static void pictures_check(Tool *t, const mdl_entry *const *entries, int n) {
    const char *texts[2] = {t->o.image, t->o.confusion}, *options[2] = {"image", "confusion"};
    for (int k = 0; k < 2; k++) {
        char *source, *names = tool_printf(t, "%s", "");
        const char *path;
        if (!texts[k]) continue;
        char *result = option_result(t, options[k], texts[k], k == 1, &source, &path);
        bool found = false;
        for (int e = 0; e < n; e++) {
            for (int i = 0; i < entries[e]->n_outputs; i++) {
                if (entries[e]->outputs[i].rank == 0) continue;
                found = found || !strcmp(entries[e]->outputs[i].name, result);
                names = tool_printf(t, "%s%s%s", names, *names ? ", " : "", entries[e]->outputs[i].name);
            }
        }
        if (!found)
            tool_fail(t, EXIT_USAGE, "--%s %s: no result %s that is an array; there %s %s", options[k], texts[k], result,
                      strchr(names, ',') ? "are" : "is", *names ? names : "none");
    }
}

static int64_t label_at(Tool *t, const Array *a, int64_t i, const char *what) {
    double v = element_double(a->data, a->dtype, i);
    if (!(v >= 0 && v < CLASSES_MAX && v == floor(v)))
        tool_fail(t, EXIT_INPUT, "--confusion: labels are 0 to %d, and element %lld of %s is %g", CLASSES_MAX - 1, (long long)i,
                  what, v);
    return (int64_t)v;
}

static void confusion(Tool *t, const char *path, const char *result, const Array *got, const char *source) {
    Array want = sample_read(t, source);
    if (got->rank != 1 || want.rank != 1 || got->count != want.count)
        tool_fail(t, EXIT_INPUT, "--confusion: %s is %s, and %s is %s", result, array_shape_text(t, got), source,
                  array_shape_text(t, &want));
    int64_t *counts = tool_alloc(t, sizeof *counts * CLASSES_MAX * CLASSES_MAX), classes = 1;
    for (int64_t i = 0; i < got->count; i++) {
        int64_t row = label_at(t, &want, i, source), column = label_at(t, got, i, result);
        counts[row * CLASSES_MAX + column]++;
        classes = row >= classes ? row + 1 : classes;
        classes = column >= classes ? column + 1 : classes;
    }
    for (int64_t i = 1; i < classes; i++) memmove(counts + i * classes, counts + i * CLASSES_MAX, sizeof *counts * (size_t)classes);
    plot_confusion(t, path, result, counts, (int)classes);
    tool_release(t, counts);
}

static void picture_write(Tool *t, const char *result, const Array *a, int64_t epoch) {
    char *source;
    const char *path;
    if (option_names(t, "image", t->o.image, false, result)) {
        option_result(t, "image", t->o.image, false, &source, &path);
        grid_write(t, epoch_path(t, path, epoch), result, a);
    }
    if (option_names(t, "confusion", t->o.confusion, true, result)) {
        option_result(t, "confusion", t->o.confusion, true, &source, &path);
        confusion(t, epoch_path(t, path, epoch), result, a, source);
    }
}

const Pictures pictures = {pictures_check, picture_write};
