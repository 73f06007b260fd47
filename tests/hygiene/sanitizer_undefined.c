/* SPDX-License-Identifier: MIT */
/* Overflows a signed integer; UndefinedBehaviorSanitizer must stop it. */
#include <limits.h>

int main(int argc, char **argv)
{
    volatile int big = INT_MAX;
    (void)argv;
    big = big + argc;
    return big == 0;
}
