/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_TRANSPORT_TARGET_H
#define PUBSUB_TRANSPORT_TARGET_H

/* Where URL and options lead: one or several hosts, or a Unix socket. */

#include <pubsub/spi/adapter.h>

#define PUBSUB__PEER_MAX 280

typedef struct pubsub__target {
    const char *host; /* name, address or path; belongs to the URL or the options */
    uint16_t port;    /* 0 for a path */
    bool path;        /* host is the path of a Unix socket */
    const char *name; /* what a certificate must be for: NULL when only a path is known */
} pubsub__target;

/* At least 1: without a host it is localhost. */
size_t pubsub__target_count(const pubsub_adapter_config *config);
pubsub__target pubsub__target_at(const pubsub_adapter_config *config, size_t index,
                                 uint16_t default_port);
/* What cannot work whoever answers: contradictions between URL and options. */
pubsub_err pubsub__target_check(const pubsub_adapter_config *config, pubsub_error *err);
/* "host:1883", "[::1]:1883", "/run/x.sock"; cut when too long. */
void pubsub__target_text(const pubsub__target *target, char out[PUBSUB__PEER_MAX]);

#endif
