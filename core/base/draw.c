/* SPDX-License-Identifier: MIT */
#include "base/rand.h"

/* What is made of pubsub__rand_u64: apart from it, so that a module of the library can have these and the
 * library's one seed. */

uint64_t pubsub__rand_below(uint64_t limit)
{
    if (limit == 0) {
        return 0;
    }
    /* Values below this would make the small remainders more likely than the others. */
    uint64_t reject_below = (UINT64_MAX - limit + 1) % limit;
    uint64_t value;
    do {
        value = pubsub__rand_u64();
    } while (value < reject_below);
    return value % limit;
}

double pubsub__rand_unit(void)
{
    return (double)(pubsub__rand_u64() >> 11) * 0x1.0p-53;
}

void pubsub__rand_name(char *out, size_t len)
{
    static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    for (size_t i = 0; i < len; i++) {
        out[i] = alphabet[pubsub__rand_below(sizeof(alphabet) - 1)];
    }
    out[len] = '\0';
}
