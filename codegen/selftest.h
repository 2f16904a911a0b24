/* selftest.h -- recorded calls inside an artifact: modelc --self-test. */
#ifndef CODEGEN_SELFTEST_H
#define CODEGEN_SELFTEST_H
#include "codegen/elf.h"
#include "codegen/module.h"
#include "ir/graph.h"
#include "runtime/selftest.h"

typedef struct SelfTests {
    const Record *records;
    int n;
} SelfTests;

/* Can a device call the entry and be as before? It neither trains nor draws, and stores nothing but caches. */
bool selftest_possible(const Entry *e);

/* Inputs and expected values as one piece of data, under the name that selftest_table refers to it by. */
ElfData selftest_data(Arena *arena, const SelfTests *tests, const Program *p);

/* RtTests (runtime.h). */
LLVMValueRef selftest_table(Module *m, const Program *p, const SelfTests *tests);

#endif
