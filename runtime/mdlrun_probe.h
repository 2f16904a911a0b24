/* mdlrun_probe.h -- what this machine can do at most, measured in a tenth of a second or so. Used by mdlrun's profile and, as a
 * shared library, by tests/bench. */
#ifndef MDLRUN_PROBE_H
#define MDLRUN_PROBE_H
#include <stdint.h>

/* f32 multiplications and additions a second that fused multiply-adds on registers reach, over all threads. */
double probe_flops(int threads);

/* Bytes a second that a repeated reading of `bytes` reaches, split over the threads: small sets stay in the caches, and are
 * faster. 0 where there is no memory for it. */
double probe_bandwidth(int64_t bytes, int threads);

#endif
