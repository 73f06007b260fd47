/* SPDX-License-Identifier: MIT */
#include <pubsub/types.h>

#include <string.h>

pubsub_bytes pubsub_bytes_of(const char *text)
{
    return (pubsub_bytes){.data = text, .len = text == NULL ? 0 : strlen(text)};
}
