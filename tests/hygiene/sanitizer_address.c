/* SPDX-License-Identifier: MIT */
/* Reads one byte behind an allocation; AddressSanitizer must stop it. */
#include <stdlib.h>

int main(int argc, char **argv)
{
    size_t len = (size_t)argc + 7;
    char *bytes = calloc(len, 1);
    (void)argv;
    if (bytes == NULL) {
        return 0;
    }
    volatile size_t at = len;
    int found = bytes[at];
    free(bytes);
    return found;
}
