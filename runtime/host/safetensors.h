/* safetensors.h -- the header of a .safetensors file, read strictly: a file is hostile until every number in it has been checked.
 * Format: u64 little-endian length, that many bytes of JSON, data. github.com/huggingface/safetensors, README. */
#ifndef RUNTIME_SAFETENSORS_H
#define RUNTIME_SAFETENSORS_H
#include <stddef.h>
#include <stdint.h>

#define ST_MAX_RANK 8

typedef struct StTensor {
    const char *name, *dtype; /* "F32"; texts lie in the file's own bytes */
    int width;          /* bytes an element */
    int rank;
    int64_t dims[ST_MAX_RANK];
    int64_t begin, end; /* bytes from the start of the data; end - begin fits dtype and dims, and no two tensors overlap */
} StTensor;

typedef struct StPair {
    const char *key, *value;
} StPair;

typedef struct StFile {
    int n, n_metadata;
    StTensor *tensor;  /* in the order of their data */
    StPair *metadata;
    int64_t data;      /* where the data begins, in bytes from the start of the file */
    char error[256];   /* a sentence if st_parse returned 0 */
} StFile;

/* Reads the header of a whole file of `size` bytes at `bytes`, in which it decodes the texts: they must live as long as f. 1: fine; 0:
 * f->error says why. Call st_free in both cases. */
int st_parse(StFile *f, unsigned char *bytes, int64_t size);
void st_free(StFile *f);
const StTensor *st_find(const StFile *f, const char *name); /* NULL: none */
const char *st_metadata(const StFile *f, const char *key);  /* NULL: none */

/* Do tensors of one dtype of a file serve where another is wanted? They are the same, or both F32, BF16 or F16. */
int st_converts(const char *from, const char *to);
/* All elements of t, which begin at `from`, as to_dtype: rounded to nearest even. Needs st_converts. */
void st_copy(void *to, const char *to_dtype, const void *from, const StTensor *t);

#endif
