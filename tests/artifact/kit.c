/* kit.c -- see kit.h. */
#include "tests/artifact/kit.h"

#include "passes/passes.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void kit_fail(const char *file, int line, const char *what) {
    fprintf(stderr, "%s:%d: %s\n", file, line, what);
    exit(1);
}

static void load(Kit *k) {
    char path[64];
    k->fd = memory_file("kit", content_of(k->file));
    CHECK(k->fd >= 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", k->fd);
    k->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!k->handle) kit_fail(__FILE__, __LINE__, dlerror());
    mdl_model_function *model = NULL;
    *(void **)&model = dlsym(k->handle, MDL_MODEL_SYMBOL);
    CHECK(model);
    k->model = model();
}

Kit kit_make(const char *text, ArtifactKind kind, int level) {
    Kit k = {.arena = arena_new()};
    Diag *diag = diag_new();
    Source *source = NEW(k.arena, Source);
    *source = (Source){.path = "test", .name = "test", .text = text, .length = strlen(text)};
    k.program = program_parse(k.arena, source, diag);
    PassOptions passes = {.level = level};
    PlanOptions planning = {.level = level};
    bool fine = k.program && passes_run(k.program, &passes, diag);
    if (fine) {
        k.entries = NEW_ARRAY(k.arena, Plan *, k.program->entries.n + 1);
        k.inits = NEW_ARRAY(k.arena, Plan *, k.program->slots.n + 1);
        for (int i = 0; i < k.program->entries.n; i++)
            k.entries[i] = plan_entry(k.arena, k.program->entries.at[i]->graph, &planning, diag);
        for (int i = 0; i < k.program->slots.n; i++) {
            Graph *init = artifact_init_graph(k.program, i);
            if (init) k.inits[i] = plan_entry(k.arena, init, &planning, diag);
        }
    }
    if (diag_print(diag, stderr, false)) exit(1);
    diag_free(diag);
    Target target;
    CHECK(target_find("x86-64-v2", level, &target));
    ArtifactOptions options = {.program = k.program,
                               .entries = k.entries,
                               .inits = k.inits,
                               .target = &target,
                               .source = source,
                               .kind = kind,
                               .modules = 2};
    Artifact *artifact = artifact_new(k.arena, &options);
    artifact_compile(artifact);
    Content file;
    CHECK(artifact_link(artifact, &file) && !file.n_more); /* too little data for pieces */
    k.file = file.bytes;
    artifact_free(artifact);
    if (kind == ARTIFACT_SHARED) load(&k);
    return k;
}

void kit_free(Kit *k) {
    if (k->handle) {
        dlclose(k->handle);
        close(k->fd);
    }
    arena_free(k->arena);
}
