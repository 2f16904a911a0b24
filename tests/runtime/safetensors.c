/* Headers of safetensors files, good and hostile: each bad one is refused with its own sentence. */
#include "runtime/host/safetensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failed;
static unsigned char *parsed; /* the bytes of the last file, which its texts are in */

/* length -1: the true one. */
static int parse(StFile *f, const char *header, int64_t length, int data) {
    size_t n = strlen(header);
    unsigned char *bytes = calloc(1, 8 + n + (size_t)data);
    uint64_t claimed = length == -1 ? n : (uint64_t)length;
    for (int i = 0; i < 8; i++) bytes[i] = (unsigned char)(claimed >> 8 * i);
    memcpy(bytes + 8, header, n);
    free(parsed);
    parsed = bytes;
    return st_parse(f, bytes, (int64_t)(8 + n) + data);
}

static void refuse(const char *header, int64_t length, int data, const char *why) {
    StFile f;
    if (parse(&f, header, length, data) || !strstr(f.error, why)) {
        printf("%.80s: \"%s\" does not say \"%s\"\n", header, f.error, why);
        failed = 1;
    }
    st_free(&f);
}

#define T(name, dtype, shape, a, b) "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":[" shape "],\"data_offsets\":[" #a "," #b "]}"

int main(void) {
    StFile f;
    if (!parse(&f, " { \"__metadata__\" : {\"k\\u00e9\\n\":\"\\ud83d\\ude00\\u20ac\"}, " T("a", "F32", "2,3", 0, 24) "," T("b", "I64", "", 24, 32) "}  ", -1, 32) || f.n != 2 ||
        strcmp(f.metadata[0].key, "k\xc3\xa9\n") != 0 || strcmp(f.metadata[0].value, "\xf0\x9f\x98\x80\xe2\x82\xac") != 0 || st_find(&f, "b")->begin != 24 || st_find(&f, "a")->dims[1] != 3 || st_find(&f, "c")) {
        printf("a good file: %s\n", f.error);
        failed = 1;
    }
    st_free(&f);
    if (!parse(&f, "{}", -1, 0)) failed = printf("an empty object: %s\n", f.error);
    st_free(&f);
    if (st_parse(&f, (unsigned char[]){"abc"}, 3) || !strstr(f.error, "too short")) failed = printf("three bytes\n");
    st_free(&f);
    refuse("{}", INT64_MAX, 0, "the header claims 9223372036854775807 bytes");
    refuse("{}", INT64_MIN, 0, "the header claims 9223372036854775808 bytes");
    refuse("{}", 3, 0, "the header claims 3 bytes, and the file has 2");
    refuse("", -1, 0, "not valid JSON");
    refuse("{", -1, 0, "missing");
    refuse("[]", -1, 0, "`{` is missing");
    refuse("{\"a", -1, 0, "ends inside a string");
    refuse("{\"a\\", -1, 0, "ends inside a string");
    refuse("{\"a\\q\":1}", -1, 0, "bad escape");
    refuse("{\"a\\ud800\":1}", -1, 0, "bad \\u escape");
    refuse("{\"a\\u0000\":1}", -1, 0, "bad \\u escape");
    refuse("{\"a\x01\":1}", -1, 0, "control character");
    refuse("{\"a\":3}", -1, 0, "`{` is missing");
    refuse("{" T("a", "F32", "2", 0, 8) "} x", -1, 8, "goes on after its end");
    refuse("{" T("a", "F99", "2", 0, 8) "}", -1, 8, "unknown dtype \"F99\"");
    refuse("{" T("a", "F32", "2", 0, 9) "}", -1, 9, "which its shape and dtype do not fit");
    refuse("{" T("a", "F32", "2", 0, 8) "}", -1, 4, "outside the file: bytes 0 to 8 of 4");
    refuse("{" T("a", "F32", "2", 8, 0) "}", -1, 8, "outside the file");
    refuse("{" T("a", "F32", "-2", 0, 8) "}", -1, 8, "whole number");
    refuse("{" T("a", "F32", "1,1,1,1,1,1,1,1,1", 0, 4) "}", -1, 4, "more than 8 axes");
    refuse("{" T("a", "F32", "4611686018427387904,4", 0, 0) "}", -1, 0, "do not fit");
    refuse("{" T("a", "F32", "99999999999999999999", 0, 0) "}", -1, 0, "beyond 63 bits");
    refuse("{" T("a", "F32", "2", 0, 8) "," T("b", "F32", "2", 4, 12) "}", -1, 12, "\"a\" and \"b\" overlap");
    refuse("{" T("a", "F32", "2", 0, 8) "," T("a", "F32", "2", 8, 16) "}", -1, 16, "two tensors \"a\"");
    refuse("{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\"}}", -1, 0, "surplus key");
    refuse("{\"a\":{\"dtype\":\"F32\"}}", -1, 0, "lacks its dtype, shape or offsets");
    refuse("{\"__metadata__\":{},\"__metadata__\":{}}", -1, 0, "two tensors \"__metadata__\"");
    refuse("{\"__metadata__\":{\"a\":1}}", -1, 0, "`\"` is missing");
    free(parsed);
    return failed;
}
