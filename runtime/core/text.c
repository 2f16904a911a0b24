/* text.c -- messages without printf: %s %c %d %u %x %%, with 0, width, precision (* too) and the lengths l, ll, z.
 *
 * Doubles have a function of their own, so that only artifacts that print some have its code. It is exact, as C's %g is in the usual
 * rounding: a double is an integer times a power of two, so it has finitely many decimal digits, up to 309 before the point and 1074
 * behind it. They are all computed, nine in a word, and then rounded once. */
#include "runtime/internal.h"

typedef struct Out {
    char *at;
    size_t size, n; /* n: of the whole text, also where it is longer than size */
} Out;

static void put(Out *o, char c) {
    if (o->n + 1 < o->size) o->at[o->n] = c;
    o->n++;
}

/* The final 0, also of what was cut; returns the length of the whole. */
static size_t end(const Out *o) {
    if (o->size) o->at[o->n < o->size ? o->n : o->size - 1] = 0;
    return o->n;
}

static void put_padded(Out *o, const char *text, size_t n, int width, char with) {
    for (size_t i = n; i < (size_t)(width < 0 ? 0 : width); i++) put(o, with);
    for (size_t i = 0; i < n; i++) put(o, text[i]);
}

static void put_whole(Out *o, uint64_t v, bool minus, unsigned base, int width, char with) {
    char digits[24];
    size_t at = sizeof digits;
    do digits[--at] = "0123456789abcdef"[v % base];
    while (v /= base);
    if (minus && with == '0') {
        put(o, '-');
        width--;
    } else if (minus) {
        digits[--at] = '-';
    }
    put_padded(o, digits + at, sizeof digits - at, width, with);
}

/* ---- doubles */

#define NINE 1000000000u
#define WHOLE 36                     /* words before the point: 36 * 9 digits */
#define WORDS (WHOLE + 1074 / 9 + 2)
#define MOST 40                      /* digits that can be asked for */

/* word[i] holds digits of weight 10^(9 * (WHOLE - 1 - i)): the value of |v|, not infinite, not NaN. */
static void decimal_of(double v, uint32_t word[WORDS]) {
    uint64_t bits;
    __builtin_memcpy(&bits, &v, sizeof bits);
    int exponent = (int)(bits >> 52 & 2047);
    uint64_t mantissa = (bits & (((uint64_t)1 << 52) - 1)) | (uint64_t)(exponent != 0) << 52;
    exponent = (exponent ? exponent : 1) - 1075;
    for (int i = 0; i < WORDS; i++) word[i] = 0;
    word[WHOLE - 1] = (uint32_t)(mantissa % NINE);
    word[WHOLE - 2] = (uint32_t)(mantissa / NINE);
    for (int shift; exponent > 0; exponent -= shift) {
        uint64_t carry = 0;
        shift = exponent < 29 ? exponent : 29;
        for (int i = WHOLE - 1; i >= 0; i--) {
            carry += (uint64_t)word[i] << shift;
            word[i] = (uint32_t)(carry % NINE);
            carry /= NINE;
        }
    }
    for (int shift; exponent < 0; exponent += shift) { /* 10^9 is divisible by 2^9: nothing is lost */
        uint32_t rest = 0;
        shift = exponent > -9 ? -exponent : 9;
        for (int i = 0; i < WORDS; i++) {
            uint32_t low = word[i] & ((1u << shift) - 1);
            word[i] = (word[i] >> shift) + rest * (NINE >> shift);
            rest = low;
        }
    }
}

static int decimal_digit(const uint32_t word[WORDS], int i) { /* digit i of all, from the front */
    uint32_t v = word[i / 9];
    for (int k = i % 9; k < 8; k++) v /= 10;
    return (int)(v % 10);
}

/* The first `wanted` digits of |v|, rounded half to even; returns the decimal exponent of the first. */
static int decimal_round(double v, int wanted, char digits[MOST + 1]) {
    uint32_t word[WORDS];
    int first = 0;
    decimal_of(v, word);
    while (first < 9 * WORDS && decimal_digit(word, first) == 0) first++;
    if (first == 9 * WORDS) { /* zero */
        for (int i = 0; i < wanted; i++) digits[i] = '0';
        return 0;
    }
    for (int i = 0; i < wanted; i++) digits[i] = (char)('0' + (first + i < 9 * WORDS ? decimal_digit(word, first + i) : 0));
    int behind = first + wanted, next = behind < 9 * WORDS ? decimal_digit(word, behind) : 0;
    bool more = false;
    for (int i = behind + 1; i < 9 * WORDS && !more; i++) more = decimal_digit(word, i) != 0;
    int exponent = 9 * WHOLE - 1 - first;
    if (next < 5 || (next == 5 && !more && (digits[wanted - 1] - '0') % 2 == 0)) return exponent;
    int i = wanted - 1;
    while (i >= 0 && digits[i] == '9') digits[i--] = '0';
    if (i >= 0) {
        digits[i]++;
        return exponent;
    }
    digits[0] = '1'; /* 999 became 1000 */
    return exponent + 1;
}

static void put_general(Out *o, double v, int wanted) {
    char digits[MOST + 1];
    if (__builtin_signbit(v)) put(o, '-');
    if (v != v || v - v != 0) {
        put_padded(o, v != v ? "nan" : "inf", 3, 0, ' ');
        return;
    }
    int exponent = decimal_round(v, wanted, digits), n = wanted;
    while (n > 1 && digits[n - 1] == '0') n--;
    if (exponent < -4 || exponent >= wanted) {
        put(o, digits[0]);
        if (n > 1) put(o, '.');
        for (int i = 1; i < n; i++) put(o, digits[i]);
        put(o, 'e');
        put(o, exponent < 0 ? '-' : '+');
        put_whole(o, (uint64_t)(exponent < 0 ? -exponent : exponent), false, 10, 2, '0');
        return;
    }
    if (exponent < 0) put(o, '0');
    for (int i = 0; i <= exponent; i++) put(o, i < n ? digits[i] : '0');
    if (n > exponent + 1) put(o, '.');
    for (int i = exponent + 1; i < 0; i++) put(o, '0');
    for (int i = exponent + 1 > 0 ? exponent + 1 : 0; i < n; i++) put(o, digits[i]);
}

size_t rt_text_double(char *out, size_t size, double v, int digits) {
    Out o = {out, size, 0};
    put_general(&o, v, digits < 1 ? 1 : digits > MOST ? MOST : digits);
    return end(&o);
}

/* ---- formats */

/* One directive, from behind its %. */
typedef struct Directive {
    char kind, with; /* with: '0' or ' ' */
    int width, precision, length; /* precision -1: none; length: 0 int, 1 long, 2 long long, 3 size_t */
} Directive;

static const char *number_read(const char *f, int *v) {
    for (*v = 0; *f >= '0' && *f <= '9'; f++) *v = 10 * *v + (*f - '0');
    return f;
}

typedef struct Arguments { /* a struct, so that functions can go on where others have stopped */
    va_list ap;
} Arguments;

static const char *directive_read(const char *f, Directive *d, Arguments *a) {
    *d = (Directive){.with = ' ', .precision = -1};
    if (*f == '0') d->with = *f++;
    if (*f == '*') d->width = va_arg(a->ap, int), f++;
    else f = number_read(f, &d->width);
    if (*f == '.' && f[1] == '*') d->precision = va_arg(a->ap, int), f += 2;
    else if (*f == '.') f = number_read(f + 1, &d->precision);
    if (*f == 'z') d->length = 3, f++;
    while (*f == 'l') d->length++, f++;
    d->kind = *f;
    return *f ? f + 1 : f;
}

static void put_directive(Out *o, const Directive *d, Arguments *a) {
    switch (d->kind) {
    case 's': {
        const char *text = va_arg(a->ap, const char *);
        size_t n = 0;
        if (!text) text = "(null)";
        while ((d->precision < 0 || n < (size_t)d->precision) && text[n]) n++;
        put_padded(o, text, n, d->width, ' ');
        break;
    }
    case 'd': {
        int64_t v = d->length == 0 ? va_arg(a->ap, int) : d->length == 1 ? va_arg(a->ap, long) : va_arg(a->ap, long long);
        put_whole(o, v < 0 ? -(uint64_t)v : (uint64_t)v, v < 0, 10, d->width, d->with);
        break;
    }
    case 'u':
    case 'x': {
        uint64_t v = d->length == 0   ? va_arg(a->ap, unsigned)
                     : d->length == 1 ? va_arg(a->ap, unsigned long)
                     : d->length == 2 ? va_arg(a->ap, unsigned long long)
                                      : va_arg(a->ap, size_t);
        put_whole(o, v, false, d->kind == 'x' ? 16 : 10, d->width, d->with);
        break;
    }
    case 'c': put(o, (char)va_arg(a->ap, int)); break;
    default: put(o, d->kind ? d->kind : '%'); break;
    }
}

size_t rt_text_list(char *out, size_t size, const char *format, va_list ap) {
    Out o = {out, size, 0};
    Arguments a;
    va_copy(a.ap, ap);
    while (*format) {
        Directive d;
        if (*format != '%') {
            put(&o, *format++);
            continue;
        }
        format = directive_read(format + 1, &d, &a);
        put_directive(&o, &d, &a);
    }
    va_end(a.ap);
    return end(&o);
}

size_t rt_text(char *out, size_t size, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    size_t n = rt_text_list(out, size, format, ap);
    va_end(ap);
    return n;
}

size_t rt_text_length(const char *text) {
    size_t n = 0;
    while (text[n]) n++;
    return n;
}

int rt_text_order(const char *a, const char *b) {
    while (*a && *a == *b) a++, b++;
    return (unsigned char)*a - (unsigned char)*b;
}
