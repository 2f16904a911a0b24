/* host.h -- the seam of the runtime: all that its core asks of the system it runs on. The core (runtime/core) is freestanding: it keeps
 * sessions, checks arguments, hands out memory that it was given, and calls kernels. What it cannot have by itself is here, and there
 * are two parts to link it with:
 *
 *   runtime/host   Linux with any libc: heap, threads, files, a clock
 *   runtime/bare   nothing (--runtime=core): the caller brings the memory, everything runs on his thread, there are no files
 *
 * Each function may say that it has nothing to give, and the core turns that into a code and a sentence. */
#ifndef RUNTIME_HOST_H
#define RUNTIME_HOST_H
#include "runtime/mdl.h"

#include <stdbool.h>

/* Memory: zeroed, aligned to 64 bytes. NULL: there is none, or no more. Large blocks ask for huge pages. */
void *rt_host_take(int64_t bytes);
void rt_host_give(void *p); /* NULL is fine */

/* Threads of a session that wants that many; 0: as many as the process may use. 1 where there is no way to start one. */
int rt_host_threads(int wanted);

/* A pool of `threads` threads, the caller being thread 0. NULL: not all of them could be started. */
typedef struct RtPool RtPool;
RtPool *rt_host_pool(int threads);
void rt_host_pool_free(RtPool *p); /* NULL is fine */
/* Runs body(context, i) for i in 0..threads-1. */
void rt_host_pool_run(RtPool *p, void (*body)(void *context, int32_t i), void *context);

/* Files. The session's table of functions has these two as they are. */
int rt_load(mdl_session *s, const char *path);
int rt_save(mdl_session *s, const char *path, int32_t optimizer);

const char *rt_host_cpu(void); /* the environment's MDL_CPU: x86-64-v2 and so on, the most that may be used; NULL: not set */

uint64_t rt_host_processor(int word); /* AT_HWCAP of Linux, 1: AT_HWCAP2: what the processor has, a bit each; all ones: not known */

extern const bool rt_host_clock; /* is there one? Known when the parts are optimized as one: without a clock no profile takes room */
int64_t rt_host_now(void);       /* ns, of a clock that only rises */

/* RT_ERROR bytes in which to leave why an open failed: of this thread; without threads, the one there is. */
#define RT_ERROR 1024
char *rt_host_open_error(void);

#endif
