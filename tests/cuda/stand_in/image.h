/* image.h -- what the stand-in for NVRTC makes and the one for the driver loads: a head that looks like a cubin's, and the text itself; as PTX,
 * the text behind a line that names the architecture. */
#ifndef TESTS_CUDA_STAND_IN_IMAGE_H
#define TESTS_CUDA_STAND_IN_IMAGE_H
typedef struct Image {
    unsigned char magic[4]; /* \177ELF */
    unsigned arch;          /* 90 */
    unsigned own;           /* .. and its letter, of 90a, or 0 */
    char text[];            /* ended by a zero */
} Image;
#define PTX_HEAD "// .target sm_%u\n"
#endif
