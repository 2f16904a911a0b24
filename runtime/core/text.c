/* text.c -- messages without printf: %s, cut (%.80s, %.*s) or not, %c, whole numbers (%d %u %x, of 64 bits with ll, %04x), %%.
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

static void put_text(Out *o, const char *text, int most) {
    for (; most > 0 && *text; most--) put(o, *text++);
}

/* At least `width` digits. */
static void put_whole(Out *o, uint64_t v, unsigned base, int width) {
    char digits[24];
    int at = sizeof digits - 1;
    for (digits[at] = 0; v || width > 0; width--, v /= base) digits[--at] = "0123456789abcdef"[v % base];
    put_text(o, digits + at, sizeof digits);
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
        put_text(o, v != v ? "nan" : "inf", 3);
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
        put_whole(o, (uint64_t)(exponent < 0 ? -exponent : exponent), 10, 2);
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

static const char *number_read(const char *f, int *v) {
    for (*v = 0; *f >= '0' && *f <= '9'; f++) *v = 10 * *v + (*f - '0');
    return f;
}

size_t rt_text_list(char *out, size_t size, const char *format, va_list ap) {
    Out o = {out, size, 0};
    for (; *format; format++) {
        int width, most = INT32_MAX;
        if (*format != '%') {
            put(&o, *format);
            continue;
        }
        format = number_read(format + 1, &width);
        if (*format == '.' && format[1] == '*') most = va_arg(ap, int), format += 2;
        else if (*format == '.') format = number_read(format + 1, &most);
        bool wide = *format == 'l';
        if (wide) format += 2;
        char kind = *format;
        if (kind == 's') {
            put_text(&o, va_arg(ap, const char *), most);
        } else if (kind == 'c') {
            put(&o, (char)va_arg(ap, int));
        } else if (kind == '%') {
            put(&o, kind);
        } else {
            int64_t v = wide ? va_arg(ap, long long) : kind == 'd' ? va_arg(ap, int) : (int64_t)va_arg(ap, unsigned);
            bool minus = kind == 'd' && v < 0;
            if (minus) put(&o, '-');
            put_whole(&o, minus ? -(uint64_t)v : (uint64_t)v, kind == 'x' ? 16 : 10, width ? width : 1);
        }
    }
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
