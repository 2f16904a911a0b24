/* main.c -- a C program that trains a line y = 2 x + 1 and asks it for x = 10. Built by the Makefile and the CMakeLists.txt beside it. */
#include "line.h"

#include <stdio.h>

int main(void) {
    const float x[4] = {-1, 0, 1, 2}, y[4] = {-1, 1, 3, 5}, far = 10;
    float loss = 0, answer = 0;
    mdl_session *s;
    if (line_open(&s, NULL)) return puts(line_model()->error(NULL)), 1;
    for (int i = 0; i < 500; i++)
        if (line_step(s, 4, x, y, &loss)) return puts(mdl_error(s)), 1;
    if (line_predict(s, 1, &far, &answer)) return puts(mdl_error(s)), 1;
    printf("C: y(10) = %.2f\n", (double)answer);
    mdl_close(s);
    return 0;
}
