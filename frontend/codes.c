/* codes.c -- the table of error codes (codes.def) and finding a row in it. */
#include "frontend/codes.h"

#include <ctype.h>
#include <stddef.h>

const Code codes[] = {
#define CODE(number, title, text) {number, title, text},
#include "frontend/codes.def"
#undef CODE
    {0, NULL, NULL},
};

const Code *code_find(const char *name) {
    int number = 0, digits = 0;
    if (*name && tolower((unsigned char)*name) == 'e') name++;
    else if (*name && tolower((unsigned char)*name) == 'w') name++;
    for (; isdigit((unsigned char)*name) && digits < 6; name++, digits++) number = 10 * number + (*name - '0');
    if (*name || !digits) return NULL;
    for (const Code *c = codes; c->number; c++)
        if (c->number == number) return c;
    return NULL;
}
