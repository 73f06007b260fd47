/* SPDX-License-Identifier: MIT */
/* Two threads write one word without any order between them; ThreadSanitizer must say so. */
#include <pthread.h>
#include <stddef.h>

static volatile int g_shared; /* volatile: each round is an access of its own */

static void *write_it(void *ctx)
{
    for (int i = 0; i < 100000; i++) {
        g_shared = g_shared ^ *(const int *)ctx;
    }
    return NULL;
}

int main(void)
{
    pthread_t other;
    int one = 1;
    if (pthread_create(&other, NULL, write_it, &one) != 0) {
        return 0;
    }
    (void)write_it(&one);
    (void)pthread_join(other, NULL);
    return g_shared == 2;
}
