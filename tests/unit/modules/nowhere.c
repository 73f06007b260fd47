/* SPDX-License-Identifier: MIT */
/* A library that is no adapter. */
int pubsub_test_nowhere(void);

__attribute__((visibility("default"))) int pubsub_test_nowhere(void)
{
    return 0;
}
