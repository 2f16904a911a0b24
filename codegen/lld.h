/* lld.h -- the linker as a function of this process. */
#ifndef CODEGEN_LLD_H
#define CODEGEN_LLD_H
#include <stddef.h>
#ifdef __cplusplus
extern "C" {
#endif

/* ld.lld or wasm-ld, by the name in arguments[0], with these arguments. Returns its exit status; what it said is in messages,
 * 0-terminated and cut to `size`. -1: lld cannot run again in this process. LLD_REFUSED: the system refused to write the
 * result, errno says why. */
#define LLD_REFUSED (-2)
int lld_run(int n, const char **arguments, char *messages, size_t size);

#ifdef __cplusplus
}
#endif
#endif
