/* scripts.h -- calls that several tests make. */
#ifndef TESTS_MODELS_SCRIPTS_H
#define TESTS_MODELS_SCRIPTS_H
#include "tests/models/kit.h"

/* Every entry of a small transformer: windows of odd length, prompts of 1, 7 and 63 tokens, one and three at a time; dropout. */
extern const char transformer_defines[];
void transformer_script(Run *r);

#endif
