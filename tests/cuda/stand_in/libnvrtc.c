/* libnvrtc.c -- a stand-in for NVRTC: its machine code is the text, which the stand-in for the driver gives to a C compiler. FAKE_NVRTC=error:
 * refuses everything, with a log like NVRTC's. */
#include "image.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Program {
    char *text;
    unsigned arch;
    char own; /* 'a' of 90a */
    const char *log;
} Program;

int nvrtcVersion(int *major, int *minor) { return *major = 0, *minor = 0, 0; }
const char *nvrtcGetErrorString(int code) { return code ? "NVRTC_ERROR_COMPILATION" : "NVRTC_SUCCESS"; }
int nvrtcCreateProgram(Program **p, const char *text, const char *name, int n, const char *const *headers, const char *const *names) {
    (void)name, (void)n, (void)headers, (void)names;
    *p = calloc(1, sizeof **p);
    (*p)->text = strdup(text);
    (*p)->log = "";
    return 0;
}
int nvrtcDestroyProgram(Program **p) {
    free((*p)->text);
    free(*p);
    return 0;
}
int nvrtcCompileProgram(Program *p, int n, const char *const *options) {
    for (int i = 0; i < n; i++) sscanf(options[i], "--gpu-architecture=sm_%u%c", &p->arch, &p->own);
    if (!getenv("FAKE_NVRTC")) return !p->arch;
    p->log = "kernels.cu(3): error: this is refused\n";
    return 6;
}
int nvrtcGetCUBINSize(Program *p, size_t *n) { return *n = sizeof(Image) + strlen(p->text) + 1, 0; }
int nvrtcGetCUBIN(Program *p, char *to) {
    Image head = {{0177, 'E', 'L', 'F'}, p->arch, (unsigned)p->own};
    memcpy(to, &head, sizeof head);
    strcpy(to + sizeof head, p->text);
    return 0;
}
int nvrtcGetPTXSize(Program *p, size_t *n) { return *n = (size_t)snprintf(NULL, 0, PTX_HEAD "%s", p->arch, p->text) + 1, 0; }
int nvrtcGetPTX(Program *p, char *to) { return sprintf(to, PTX_HEAD "%s", p->arch, p->text) < 0; }
int nvrtcGetProgramLogSize(Program *p, size_t *n) { return *n = strlen(p->log) + 1, 0; }
int nvrtcGetProgramLog(Program *p, char *to) { return strcpy(to, p->log), 0; }
