/* programs.c -- the random programs of the tests of passes serve the schedules, too. */
#include "tests/passes/graphs.c"
