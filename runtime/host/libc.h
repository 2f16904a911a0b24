/* libc.h -- what the hosted runtime asks of libc, declared here: the runtime is compiled for every target with no header of that
 * target's libc at hand. The functions are those of codegen/libc.def; their types and the numbers beside them are the same on
 * all targets in glibc and in musl, but where it says so. tests/runtime/libc.test compares with the real headers. */
#ifndef RUNTIME_HOST_LIBC_H
#define RUNTIME_HOST_LIBC_H
#include <stddef.h>

void *aligned_alloc(size_t align, size_t n);
void free(void *p);
void qsort(void *at, size_t n, size_t width, int (*order)(const void *, const void *));
char *strchr(const char *s, int c);
char *strrchr(const char *s, int c);
char *strerror(int code);

unsigned long getauxval(unsigned long what);
#define AT_HWCAP 16
#define AT_HWCAP2 26
char *getenv(const char *name);

int *__errno_location(void);
#define errno (*__errno_location ())
#define EINTR 4

/* Files. ptrdiff_t is what ssize_t is, and long what off_t is in the functions without a number in their names. */
int open(const char *path, int flags, ...);
int close(int fd);
ptrdiff_t read(int fd, void *to, size_t n);
ptrdiff_t write(int fd, const void *from, size_t n);
long lseek(int fd, long offset, int from);
int fsync(int fd);
int rename(const char *from, const char *to);
int unlink(const char *path);
int getpid(void);
#define O_RDONLY 00
#define O_WRONLY 01
#define O_CREAT 0100
#define O_TRUNC 01000
#define O_CLOEXEC 02000000
#if defined __aarch64__ || defined __arm__
#define O_DIRECTORY 040000
#else
#define O_DIRECTORY 0200000
#endif
#define SEEK_SET 0
#define SEEK_END 2

void *mmap(void *at, size_t n, int access, int flags, int fd, long offset);
int munmap(void *at, size_t n);
#define PROT_READ 1
#define MAP_SHARED 1
#define MAP_FAILED ((void *)-1)

struct timespec;
int clock_gettime(int clock, struct timespec *t);
#define CLOCK_MONOTONIC 1
int madvise(void *at, size_t n, int advice);
#define MADV_HUGEPAGE 14

typedef unsigned long pthread_t;
union pthread_attr_t;
int pthread_create(pthread_t *thread, const union pthread_attr_t *attributes, void *(*body)(void *), void *argument);
int pthread_join(pthread_t thread, void **result);

long syscall(long number, ...);
#define FUTEX_WAIT_PRIVATE 128 /* FUTEX_WAIT, FUTEX_WAKE with FUTEX_PRIVATE_FLAG */
#define FUTEX_WAKE_PRIVATE 129
#if defined __x86_64__
enum { RT_SYS_FUTEX = 202, RT_SYS_GETAFFINITY = 204 };
#elif defined __arm__
enum { RT_SYS_FUTEX = 240, RT_SYS_GETAFFINITY = 242 };
#else /* the numbers of asm-generic: aarch64, riscv64 */
enum { RT_SYS_FUTEX = 98, RT_SYS_GETAFFINITY = 123 };
#endif

#endif
