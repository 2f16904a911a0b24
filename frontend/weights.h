/* weights.h -- reading .safetensors: files of other programs and our own checkpoints. Nothing in a file is believed before it
 * is checked: lengths, offsets, overlaps, types, shapes. */
#ifndef FRONTEND_WEIGHTS_H
#define FRONTEND_WEIGHTS_H
#include "ir/arena.h"
#include "ir/type.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FILE_RANK = 16 }; /* dimensions that a tensor of a file may have */

typedef struct FileTensor {
    const char *name;
    DType dtype;
    int rank;
    int64_t dim[FILE_RANK];
    const unsigned char *data; /* little-endian, row-major, perhaps not aligned; NULL: the file ends before it, see `broken` */
    size_t bytes;
} FileTensor;

typedef struct WeightFile {
    const char *path, *name; /* as given; without folders */
    LIST(FileTensor) tensors; /* sorted by name */
    LIST(const char *) read;  /* the files themselves: one, or the shards of a folder */
    const unsigned char *bytes; /* of the whole file, where it lies */
    size_t size;
    const char *broken;       /* the header is fine, the data is not: what is wrong; NULL: nothing */
} WeightFile;

typedef enum { WEIGHTS_OK, WEIGHTS_MISSING, WEIGHTS_BAD } WeightStatus;

/* Reads a file, or all .safetensors of a folder (shards; a name in two of them is an error), into the arena. MISSING: nothing
 * there; BAD: `error` says what is wrong with it, one sentence without the file's name. OK with `broken`
 * set: names and shapes can be compared, so that those faults are told first, but no data may be used. The data stays in the file: whoever
 * cuts it short meanwhile ends the process with status 1 and E0710. */
WeightStatus weights_read(Arena *arena, const char *path, WeightFile *out, const char **error);
const FileTensor *weights_find(const WeightFile *f, const char *name); /* NULL: none */

#endif
