/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"

#include <string.h>

/* Apart from alloc.c, so that a module of the library can have these over the library's memory. */

char *pubsub__strndup(const char *text, size_t len)
{
    char *copy = pubsub__alloc(len + 1);
    if (copy != NULL) {
        if (len > 0) {
            memcpy(copy, text, len);
        }
        copy[len] = '\0';
    }
    return copy;
}

char *pubsub__strdup(const char *text)
{
    return text == NULL ? NULL : pubsub__strndup(text, strlen(text));
}
