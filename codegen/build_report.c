/* build_report.c -- what a build has made: a table for people, JSON, and JUnit's XML, which CI services show. */
#include "codegen/build.h"

#include "ir/diag.h"

#include <stdlib.h>
#include <string.h>

const char *build_status_name(BuildStatus status) {
    static const char *const names[] = {"built", "cached", "fresh", "failed"};
    return names[status];
}

static int64_t number(const Build *b, const char *key) {
    return json_integer_value(json_object_get(b->report, key));
}

/* The largest memory of a call; -1: some entry's has no limit. */
static int64_t arena_most(const Build *b) {
    int64_t most = 0;
    const char *entry;
    json_t *bytes;
    json_object_foreach(json_object_get(b->report, "arena"), entry, bytes) {
        if (!json_is_integer(bytes)) return -1;
        if (json_integer_value(bytes) > most) most = json_integer_value(bytes);
    }
    return most;
}

static const char *content(const Build *b) {
    const char *hash = json_string_value(json_object_get(b->report, "content_hash"));
    return hash ? hash : "";
}

void build_table(const Build *builds, int n) {
    int width = 7, counts[BUILD_FAILED + 1] = {0};
    for (int i = 0; i < n; i++) {
        int length = (int)strlen(builds[i].path);
        if (length > width) width = length;
    }
    printf("%-*s  %-6s  %10s  %10s  %10s  %7s  %7s  content\n", width, "library", "status", "bytes", "arena", "weights", "kernels", "ms");
    for (int i = 0; i < n; i++) {
        const Build *b = &builds[i];
        counts[b->status]++;
        printf("%-*s  %-6s", width, b->path, build_status_name(b->status));
        if (b->report) {
            int64_t arena = arena_most(b);
            printf("  %10lld", (long long)number(b, "library"));
            if (arena < 0) printf("  %10s", "-");
            else printf("  %10lld", (long long)arena);
            printf("  %10lld  %7zu  %7.0f  %.12s", (long long)number(b, "weights"), json_array_size(json_object_get(b->report, "functions")),
                   b->ms, content(b));
        }
        putchar('\n');
    }
    printf("%d variant%s: %d built, %d cached, %d fresh, %d failed\n", n, n == 1 ? "" : "s", counts[BUILD_BUILT], counts[BUILD_CACHED], counts[BUILD_FRESH],
           counts[BUILD_FAILED]);
}

/* A copy, to be freed, in which what neither JSON nor XML 1.0 can hold is a question mark: bytes that are no UTF-8, control characters. */
static char *legal(const char *text) {
    char *copy = strdup(text);
    if (!copy) bug("no memory for a report");
    for (unsigned char *p = (unsigned char *)copy; *p;) {
        int n = utf8_length(p);
        bool none = n == 3 && p[0] == 0xef && p[1] == 0xbf && p[2] >= 0xbe; /* U+FFFE, U+FFFF */
        if (n == 0 || none || (*p < 32 && *p != '\n' && *p != '\t')) *p = '?', n = 1;
        p += n;
    }
    return copy;
}

static json_t *legal_string(const char *text) {
    char *copy = text ? legal(text) : NULL;
    json_t *string = copy ? json_string(copy) : NULL;
    free(copy);
    return string;
}

static json_t *one_json(const Build *b) {
    json_t *o = b->report ? json_deep_copy(b->report) : json_object(), *options = json_array();
    for (int i = 0; i < b->variant->options.n; i++) json_array_append_new(options, legal_string(b->variant->options.at[i]));
    json_object_set_new(o, "kernels_count", json_integer((json_int_t)json_array_size(json_object_get(o, "functions"))));
    json_object_del(o, "functions");
    json_object_del(o, "library_bytes");
    json_object_del(o, "header_bytes");
    json_object_set_new(o, "name", legal_string(b->variant->name));
    json_object_set_new(o, "model", json_string(b->variant->model));
    json_object_set_new(o, "options", options);
    json_object_set_new(o, "path", legal_string(b->path));
    json_object_set_new(o, "status", json_string(build_status_name(b->status)));
    json_object_set_new(o, "ms", json_real(b->ms));
    json_object_set_new(o, "message", legal_string(b->message));
    return o;
}

json_t *build_json(const Build *builds, int n) {
    json_t *list = json_array();
    for (int i = 0; i < n; i++) json_array_append_new(list, one_json(&builds[i]));
    return list;
}

/* Text inside XML, up to `end` or its own end. */
static void xml_text(FILE *f, const char *text, char end) {
    char *copy = legal(text);
    for (const char *p = copy; *p && *p != end; p++) {
        if (*p == '&') fputs("&amp;", f);
        else if (*p == '<') fputs("&lt;", f);
        else if (*p == '>') fputs("&gt;", f);
        else if (*p == '"') fputs("&quot;", f);
        else fputc(*p, f);
    }
    free(copy);
}

char *build_junit(const Build *builds, int n) {
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    if (!f) bug("no memory for a report");
    int failures = 0;
    double seconds = 0;
    for (int i = 0; i < n; i++) {
        failures += builds[i].status == BUILD_FAILED;
        seconds += 1e-3 * builds[i].ms;
    }
    fprintf(f, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"modelc build\" tests=\"%d\" failures=\"%d\" time=\"%.3f\">\n", n,
            failures, seconds);
    for (int i = 0; i < n; i++) {
        const Build *b = &builds[i];
        fputs("  <testcase classname=\"", f);
        xml_text(f, b->variant->model, 0);
        fputs("\" name=\"", f);
        xml_text(f, b->variant->name, 0);
        fprintf(f, "\" time=\"%.3f\">\n", 1e-3 * b->ms);
        if (b->status == BUILD_FAILED) {
            fputs("    <failure message=\"", f);
            xml_text(f, b->message, '\n');
            fputs("\">", f);
            xml_text(f, b->message, 0);
            fputs("</failure>\n", f);
        } else {
            int64_t arena = arena_most(b);
            char memory[32] = "without limit";
            if (arena >= 0) snprintf(memory, sizeof memory, "%lld", (long long)arena);
            fprintf(f, "    <system-out>%s, %lld bytes, arena %s, weights %lld, content %s</system-out>\n", build_status_name(b->status),
                    (long long)number(b, "library"), memory, (long long)number(b, "weights"), content(b));
        }
        fputs("  </testcase>\n", f);
    }
    fputs("</testsuite>\n", f);
    if (fclose(f)) bug("no memory for a report");
    return text;
}
