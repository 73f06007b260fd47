/* SPDX-License-Identifier: MIT */
#include <pubsub/version.h>

const char *pubsub_version(void)
{
    return PUBSUB_VERSION_STRING;
}
