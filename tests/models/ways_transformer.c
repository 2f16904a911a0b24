/* ways_transformer.c -- every entry of the transformer by the interpreter, without optimization and with it, for all instruction
 * sets. */
#include "tests/models/scripts.h"

int main(void) {
    static const Way ways[] = {BY_O0, BY_O2, BY_O2_V3, BY_O2_V2};
    return ways_agree("transformer.mdl", NULL, transformer_defines, transformer_script, 4, ways) ? 1 : 0;
}
