/* bare.h -- what call.c wants of libc, on a Cortex-M without one: text through semihosting (a debugger's way, which qemu plays), memory
 * from an array, and the way from reset to main. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

/* Of the runtime: it is linked once more for these. */
size_t rt_text_list(char *out, size_t size, const char *format, va_list ap);
size_t rt_text_double(char *out, size_t size, double v, int digits);
#define number_text(out, size, v) rt_text_double(out, size, v, 9)
int main(int argc, char **argv);
const mdl_model *MODEL(void);

static uint32_t semihost(uint32_t what, const void *with) {
    register uint32_t r0 __asm__("r0") = what;
    register const void *r1 __asm__("r1") = with;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static void exit(int code) {
    semihost(0x20, (uint32_t[]){0x20026, (uint32_t)code}); /* SYS_EXIT_EXTENDED, ADP_Stopped_ApplicationExit */
    for (;;) {
    }
}

static int printf(const char *format, ...) {
    static char text[512];
    va_list ap;
    va_start(ap, format);
    rt_text_list(text, sizeof text, format, ap);
    va_end(ap);
    semihost(4, text); /* SYS_WRITE0 */
    return 0;
}

static _Alignas(64) char heap[3 << 20];
static size_t used;

static void *calloc(size_t n, size_t width) {
    size_t bytes = (n * width + 63) / 64 * 64;
    if (bytes > sizeof heap - used) printf("no memory for %d bytes\n", (int)bytes), exit(1);
    char *p = heap + used;
    used += bytes;
    for (size_t i = 0; i < bytes; i++) p[i] = 0;
    return p;
}

static void free(void *p) { /* and all that came after it */
    size_t at = (size_t)((char *)p - heap);
    if (at < used) used = at;
}

static char *strchr(const char *s, int c) {
    for (; *s && *s != c; s++) {
    }
    return *s == c ? (char *)s : NULL;
}

static int strcmp(const char *a, const char *b) {
    while (*a && *a == *b) a++, b++;
    return *a - *b;
}

static size_t strcspn(const char *s, const char *of) {
    size_t n = 0;
    while (s[n] && !strchr(of, s[n])) n++;
    return n;
}

static long atol(const char *s) {
    long v = 0;
    for (; *s >= '0' && *s <= '9'; s++) v = 10 * v + *s - '0';
    return v;
}
#define atoi (int)atol

static int snprintf(char *out, size_t size, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    size_t n = rt_text_list(out, size, format, ap);
    va_end(ap);
    return (int)n;
}

extern char stack_top[];
void start(void);
__attribute__((section(".vectors"), used)) static const void *const vectors[16] = {stack_top, (void *)start};

void start(void) {
    *(volatile uint32_t *)0xe000ed88 |= 0xf << 20; /* CPACR: floats are allowed */
    __asm__ volatile("dsb\nisb");
    static char *words[] = {"call", "the artifact", CALLS, NULL};
    exit(main((int)(sizeof words / sizeof *words) - 1, words));
}
