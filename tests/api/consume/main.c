/* SPDX-License-Identifier: MIT */
/* A program of somebody else: prints the version of the library it runs with. */
#include <pubsub/pubsub.h>

#include <stdio.h>
#include <string.h>

int main(void)
{
    if (strcmp(pubsub_version(), PUBSUB_VERSION_STRING) != 0) {
        (void)fprintf(stderr, "headers %s, library %s\n", PUBSUB_VERSION_STRING, pubsub_version());
        return 1;
    }
    printf("%s: %s\n", pubsub_version(), pubsub_strerror(PUBSUB_OK));
    return 0;
}
