/* quantize_report.c -- `modelc --report`: what `quantize` did to each weight. */
#include "passes/passes.h"

#include <math.h>
#include <string.h>

void quantized_print(FILE *f, const Program *p) {
    int width = 6;
    int64_t before = 0, after = 0;
    for (int i = 0; i < p->quantized.n; i++)
        width = (int)strlen(p->quantized.at[i].path) > width ? (int)strlen(p->quantized.at[i].path) : width;
    fprintf(f, "%-*s  %-16s %12s %12s  %9s  %9s\n", width, "weight", "stored as", "bytes", "were", "signal", "cosine");
    for (int i = 0; i < p->quantized.n; i++) {
        const Quantized *q = &p->quantized.at[i];
        char scheme[32];
        const char *bits = q->scheme == QUANT_INT8 ? "int8" : "int4";
        if (q->group) snprintf(scheme, sizeof scheme, "%s in %ds", bits, q->group);
        else snprintf(scheme, sizeof scheme, "%s", bits);
        fprintf(f, "%-*s  %-16s %12lld %12lld  ", width, q->path, scheme, (long long)q->after, (long long)q->before);
        if (!q->measured) fputs("        -          -\n", f);
        else if (q->error == 0) fputs("     same   1.000000\n", f);
        else fprintf(f, "%6.1f dB  %9.6f\n", 10 * log10(q->signal / q->error), q->both / sqrt(q->signal * q->kept));
        before += q->before;
        after += q->after;
    }
    fprintf(f, "%lld bytes of %lld\n", (long long)after, (long long)before);
}
