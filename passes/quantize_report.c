/* quantize_report.c -- `modelc --report`: what `quantize` did to each weight, and what calibration saw flow into its products. */
#include "passes/passes.h"

#include <math.h>
#include <string.h>

static const char *scheme_text(const Quantized *q, char *text, size_t size) {
    static const char *const names[] = {"", "int8", "int4", "nf4", "fp8"};
    char group[24] = "";
    if (q->group) snprintf(group, sizeof group, " in %ds", q->group);
    snprintf(text, size, "%s%s%s%s%s%s%s", names[q->scheme], group, q->one_scale ? ", one scale" : "", q->zero_point ? ", zeros" : "", q->gptq ? ", gptq" : "",
             q->activations ? ", " : "", q->activations ? activation_names[q->activations] : "");
    return text;
}

static void print_range(FILE *f, double lo, double hi) {
    char text[48];
    snprintf(text, sizeof text, "%.4g .. %.4g", lo, hi);
    fprintf(f, "  %-22s", text);
}

/* What codes are away from the floats. */
static void print_measured(FILE *f, const Quantized *q) {
    if (!q->measured) {
        fprintf(f, "  %9s  %9s  %-22s  %8s", "-", "-", "-", "-");
        return;
    }
    if (q->error == 0) fprintf(f, "  %9s  %9s", "same", "1.000000");
    else fprintf(f, "  %6.1f dB  %9.6f", 10 * log10(q->signal / q->error), q->both / sqrt(q->signal * q->kept));
    print_range(f, q->least, q->most);
    bool rounded = !q->gptq && q->scheme != QUANT_NF4 && q->scheme != QUANT_FP8; /* codes of others may lie further away, and mean to */
    if (rounded) fprintf(f, "  %6.3f %%", 100 * (double)q->clipped / (double)q->count);
    else fprintf(f, "  %8s", "-");
}

static void print_input(FILE *f, const Program *p, const Quantized *q) {
    const Observed *o = program_observed(p, observed_path(p->arena, q->path));
    if (!o) {
        fputs("  -\n", f);
        return;
    }
    print_range(f, o->lo, o->hi);
    fprintf(f, "  %6.3f %%  %s\n", 100 * o->clipped, o->method);
}

void quantized_print(FILE *f, const Program *p) {
    int width = 6;
    int64_t before = 0, after = 0;
    char text[64];
    for (int i = 0; i < p->quantized.n; i++)
        width = (int)strlen(p->quantized.at[i].path) > width ? (int)strlen(p->quantized.at[i].path) : width;
    fprintf(f, "%-*s  %-22s %12s %12s  %9s  %9s  %-22s  %8s", width, "weight", "stored as", "bytes", "were", "signal", "cosine", "range",
            "clipped");
    fputs(p->observed.n ? "  input's range           clipped   by\n" : "\n", f);
    for (int i = 0; i < p->quantized.n; i++) {
        const Quantized *q = &p->quantized.at[i];
        fprintf(f, "%-*s  %-22s %12lld %12lld", width, q->path, scheme_text(q, text, sizeof text), (long long)q->after, (long long)q->before);
        print_measured(f, q);
        if (p->observed.n) print_input(f, p, q);
        else fputc('\n', f);
        before += q->before;
        after += q->after;
    }
    fprintf(f, "%lld bytes of %lld\n", (long long)after, (long long)before);
}
