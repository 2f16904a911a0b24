/* pages.c -- memory of a session comes in huge pages, but a block of two pages and a quarter does not take three. */
#include "runtime/host.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static long resident(void) {
    long all, pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f || fscanf(f, "%ld %ld", &all, &pages) != 2) exit(1);
    fclose(f);
    return pages * sysconf(_SC_PAGESIZE);
}

int main(void) {
    enum { BLOCKS = 24, BYTES = (4 << 20) + (1 << 19) };
    char *block[BLOCKS];
    int failed = 0;
    long before = resident();
    for (int i = 0; i < BLOCKS; i++) {
        block[i] = rt_host_take(BYTES);
        if (!block[i] || (uintptr_t)block[i] % 64 || block[i][0] || block[i][BYTES - 1]) failed++;
    }
    long taken = resident() - before, most = BLOCKS * (long)BYTES / 8 * 9 + BYTES; /* AddressSanitizer: an eighth more */
    if (taken < BLOCKS * (long)BYTES || taken > most) failed++, printf("%ld bytes are resident, %ld wanted\n", taken, BLOCKS * (long)BYTES);
    for (int i = 0; i < BLOCKS; i++) rt_host_give(block[i]);
    return failed != 0;
}
