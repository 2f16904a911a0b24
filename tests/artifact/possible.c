/* possible.c -- a target that this LLVM has no code generator for, and one whose runtime is not inside, are refused with the reason; all that
 * there are, are possible. */
#include "tests/artifact/kit.h"

#include <stdlib.h>
#include <string.h>

static const char *refused(Arena *arena, Platform platform, const Target *like) {
    Target target = *like;
    const char *why;
    target.platform = &platform;
    return artifact_possible(arena, &target, false, &why) ? "nothing" : why;
}

int main(void) {
    static const char *const names[] = {"native", "x86-64", "aarch64-linux-gnu", "armv7-linux-gnueabihf", "riscv64-linux-gnu",
                                        "riscv64-linux-gnu+v"};
    static const char *const bare[] = {"thumbv7em-none-eabihf", "wasm32"};
    Arena *arena = arena_new();
    Target target;
    const char *why;
    for (size_t i = 0; i < sizeof bare / sizeof *bare; i++) {
        CHECK(target_find(bare[i], 2, &target) && artifact_possible(arena, &target, true, &why));
        CHECK(!artifact_possible(arena, &target, false, &why) && strstr(why, "without a runtime"));
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        CHECK(target_find(names[i], 2, &target) && artifact_possible(arena, &target, i % 2, &why));
    Platform platform = *target.platform;
    platform.back_end = platform.triple = "pdp11-dec-unix";
    CHECK(strstr(refused(arena, platform, &target), "no code generator for pdp11-dec-unix"));
    platform = *target.platform;
    platform.runtime = "pdp11";
    CHECK(strstr(refused(arena, platform, &target), "without a runtime"));
    CHECK(!target_find("pdp11-dec-unix", 2, &target));
    arena_free(arena);
    return 0;
}
