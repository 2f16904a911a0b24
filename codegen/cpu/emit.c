/* emit.c -- LLVM modules and machine code: context, module, target machine; objects, assembler and IR as text. Kernels name
 * their own cpu by function attributes, so the machine here is the least of the platform. The only process-wide state is LLVM's
 * own: targets and two options, set once. */
#include "codegen/cpu/lower.h"

#include <llvm-c/BitWriter.h>
#include <llvm-c/Analysis.h>
#include <llvm-c/Support.h>
#include <llvm-c/Target.h>
#include <llvm-c/TargetMachine.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct Emit {
    LLVMContextRef context;
    LLVMModuleRef module;
    LLVMTargetMachineRef machine;
    const Platform *platform;
};

/* Loop strength reduction and post-allocation scheduling cost a third of the time and gain nothing on this IR (CPU.md,
 * "Compiling"). */
static void set_up_options(void) {
    const char *options[] = {"modelc", "-disable-lsr", "-disable-post-ra"};
    LLVMParseCommandLineOptions(3, options, NULL);
}

/* LLVM's back ends; one is set up when it is first asked for. */
#define BACK_ENDS(X) X(X86) X(AArch64) X(ARM) X(RISCV) X(WebAssembly)
#define X(name)                                                                                                                \
    static void set_up_##name(void) {                                                                                          \
        LLVMInitialize##name##TargetInfo();                                                                                    \
        LLVMInitialize##name##Target();                                                                                        \
        LLVMInitialize##name##TargetMC();                                                                                      \
        LLVMInitialize##name##AsmPrinter();                                                                                    \
        LLVMInitialize##name##AsmParser();                                                                                     \
    }
BACK_ENDS(X)
#undef X

static void set_up_llvm(const char *back_end) {
    static pthread_once_t options = PTHREAD_ONCE_INIT;
    pthread_once(&options, set_up_options);
#define X(name)                                                                                                                \
    if (!strcmp(back_end, #name)) {                                                                                            \
        static pthread_once_t once = PTHREAD_ONCE_INIT;                                                                        \
        pthread_once(&once, set_up_##name);                                                                                    \
    }
    BACK_ENDS(X)
#undef X
}

static LLVMTargetMachineRef machine_new(LLVMTargetRef target, const Platform *platform, bool optimize) {
    LLVMCodeGenOptLevel level = optimize ? LLVMCodeGenLevelDefault : LLVMCodeGenLevelNone;
    return LLVMCreateTargetMachine(target, platform->triple, platform->cpu, platform->features, level,
                                   platform->bare ? LLVMRelocStatic : LLVMRelocPIC, LLVMCodeModelSmall);
}

Emit *emit_new(const char *module_name, const Platform *platform, bool optimize) {
    LLVMTargetRef target;
    char *message = NULL;
    set_up_llvm(platform->back_end);
    if (LLVMGetTargetFromTriple(platform->triple, &target, &message)) {
        LLVMDisposeMessage(message);
        return NULL;
    }
    Emit *e = calloc(1, sizeof *e);
    if (!e) return NULL;
    e->context = LLVMContextCreate();
    e->module = LLVMModuleCreateWithNameInContext(module_name, e->context);
    e->platform = platform;
    e->machine = machine_new(target, platform, optimize);
    LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(e->machine);
    LLVMSetModuleDataLayout(e->module, layout);
    LLVMDisposeTargetData(layout);
    LLVMSetTarget(e->module, platform->triple);
    return e;
}

void emit_plain(Emit *e) {
    LLVMTargetRef target = LLVMGetTargetMachineTarget(e->machine);
    LLVMDisposeTargetMachine(e->machine);
    e->machine = machine_new(target, e->platform, false);
}

void emit_free(Emit *e) {
    if (!e) return;
    LLVMDisposeTargetMachine(e->machine);
    LLVMDisposeModule(e->module);
    LLVMContextDispose(e->context);
    free(e);
}

LLVMModuleRef emit_module(Emit *e) {
    return e->module;
}

static bool refused(Arena *a, char *message, const char **error) {
    *error = arena_printf(a, "LLVM: %s", message ? message : "unknown error");
    LLVMDisposeMessage(message);
    return false;
}

bool emit_verify(Emit *e, Arena *a, const char **error) {
    char *message = NULL;
    *error = NULL;
    if (LLVMVerifyModule(e->module, LLVMReturnStatusAction, &message)) return refused(a, message, error);
    LLVMDisposeMessage(message);
    return true;
}

static bool generate(Emit *e, LLVMModuleRef m, LLVMCodeGenFileType kind, Arena *a, const char **bytes, size_t *n,
                     const char **error) {
    LLVMMemoryBufferRef buffer;
    char *message = NULL;
    *error = NULL;
    if (LLVMTargetMachineEmitToMemoryBuffer(e->machine, m, kind, &message, &buffer)) return refused(a, message, error);
    *n = LLVMGetBufferSize(buffer);
    *bytes = arena_copy(a, LLVMGetBufferStart(buffer), *n);
    LLVMDisposeMemoryBuffer(buffer);
    return true;
}

bool emit_object(Emit *e, Arena *a, const char **bytes, size_t *n, const char **error) {
    return generate(e, e->module, LLVMObjectFile, a, bytes, n, error);
}

/* Code generation changes the module: the text is made from a copy. */
bool emit_asm(Emit *e, Arena *a, const char **text, const char **error) {
    LLVMModuleRef copy = LLVMCloneModule(e->module);
    size_t n;
    bool ok = generate(e, copy, LLVMAssemblyFile, a, text, &n, error);
    LLVMDisposeModule(copy);
    return ok;
}

const char *emit_ir(Emit *e, Arena *a) {
    char *text = LLVMPrintModuleToString(e->module);
    const char *copy = arena_copy(a, text, strlen(text));
    LLVMDisposeMessage(text);
    return copy;
}

LLVMMemoryBufferRef emit_bitcode(Emit *e) {
    return LLVMWriteBitcodeToMemoryBuffer(e->module);
}
