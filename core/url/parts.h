/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_URL_PARTS_H
#define PUBSUB_URL_PARTS_H

/* The insides of a parsed URL, shared by the parser and the getters. */

#include <pubsub/url.h>

typedef struct pubsub__url_host {
    const char *name;
    uint16_t port;
    bool bracketed;
} pubsub__url_host;

typedef struct pubsub__url_pair {
    const char *key;
    const char *value;
} pubsub__url_pair;

/* All strings lie in `store`, one after the other. Decoding never makes text longer, so a store as
 * long as the URL plus one NUL for each piece is enough and is allocated once. */
struct pubsub_url {
    const char *scheme;
    const char *user;
    const char *password;
    const char *path;
    pubsub__url_host hosts[PUBSUB_URL_HOSTS_MAX];
    size_t nhosts;
    pubsub__url_pair query[PUBSUB_URL_QUERY_MAX];
    size_t nquery;
    bool has_authority;
    size_t store_size;
    size_t store_used;
    char store[];
};

#endif
