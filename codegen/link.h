/* link.h -- objects in memory become one library in memory, and bytes become files. */
#ifndef CODEGEN_LINK_H
#define CODEGEN_LINK_H
#include "codegen/elf.h"

/* A shared library of the objects, without the names of what it does not export if `strip`: only symbols of default visibility are exported, sections that nobody needs are left out,
 * and libc.so.6 is needed at most, in no particular version (libc.def). It has no soname: who links it needs it by the path that it was linked by. False:
 * *error (in the arena) is a fault of ours, or NULL where the system refused memory or a file, and errno says why. */
bool link_shared(Arena *arena, const Platform *platform, bool strip, const Bytes *objects, int n, Bytes *result, const char **error);

/* A module of WebAssembly of the objects, that imports nothing. */
bool link_module(Arena *arena, const Bytes *objects, int n, Bytes *result, const char **error);

bool link_hides(const char *name); /* does the C library have a function of this name? */

/* One relocatable object of the objects, hidden symbols made local. */
bool link_object(Arena *arena, const Bytes *objects, int n, Bytes *result, const char **error);

/* What a file will hold: bytes, and others behind them that nobody needs to have in one piece. */
typedef struct Content {
    Bytes bytes;
    const Bytes *more;
    int n_more;
} Content;

Content content_of(Bytes bytes);
size_t content_size(const Content *c);

/* A file of memory alone, closed on exec, that holds this; /proc/self/fd/N is its path. -1 with errno set. */
int memory_file(const char *name, Content content);

typedef struct OutputFile {
    const char *path;
    Content content;
} OutputFile;

/* Writes files as a whole, all of them or none: each to a temporary name beside it, synced; then they are renamed. False with
 * errno set and the number of the file in *failed; the old files are as they were. A path that is no regular file (a pipe,
 * /dev/null) is written directly;
 * "-" is standard output. */
bool output_write(const OutputFile *files, int n, int *failed);

#endif
