/* text.h -- what print.c and parse.c share. */
#ifndef IR_TEXT_H
#define IR_TEXT_H
#include "ir/op.h"

enum {
    TEXT_NUMBERS = 64,    /* a constant tensor of more elements is printed as bytes, in hex */
    TEXT_DATA = 64 * 1024 /* data of slots of more bytes is left out; such a text does not parse back */
};

/* Names by value of the enum; NULL ends. */
extern const char *const reduce_names[];
extern const char *const random_names[];
extern const char *const conv_names[];
extern const char *const slot_kind_names[];
extern const char *const quant_names[];

#endif
