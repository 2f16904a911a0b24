/* guard.h -- memory between two pages that nothing may touch: an access outside a buffer ends the test, and says in which kernel.
 *
 * A buffer ends where the second page begins, to the byte; with GUARD=start in the environment it begins where the first one ends. */
#ifndef TESTS_SCHEDULE_GUARD_H
#define TESTS_SCHEDULE_GUARD_H
#include <stddef.h>

void *guard_alloc(size_t bytes); /* zeros; aligned as the largest power of two in bytes, at most to a page. Never NULL */
void guard_free(void *p);        /* of guard_alloc, or NULL */
/* What runs from now on, for the message: a test and a function. They are not copied. */
void guard_context(const char *test, const char *function);

#endif
