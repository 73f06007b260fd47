/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_BRIDGE_WEBHOOK_INTERNAL_H
#define PUBSUB_BRIDGE_WEBHOOK_INTERNAL_H

/* webhook.c is the connector: settings and life. receiver.c takes the requests of one source, for all
 * of its instances together. */

#include "base/buf.h"
#include "connectors/webhook/seen.h"
#include "connectors/webhook/signature.h"
#include "http/server.h"

enum { WEBHOOK_LIST_MAX = 16 };

/* What the settings say. Counted: a receiver may outlive the instance it had it from. */
typedef struct webhook_config {
    size_t refs;
    char *source;
    char *listen;
    char *path;  /* as written, with {model} or without */
    char *mount; /* what is mounted: the path up to the level with {model} */
    char *cert_file;
    char *key_file;
    webhook_signer signer;
    char *sign_header; /* what the signer points to */
    char *sign_prefix;
    char *id_header; /* "" = none */
    char *type_header;
    char *id_member; /* of the body */
    char *type_member;
    char *methods[WEBHOOK_LIST_MAX];
    size_t method_count;
    char *headers[WEBHOOK_LIST_MAX];
    size_t header_count;
    size_t max_body;
    size_t max_pending;
    size_t dedupe_size;
    int64_t dedupe_window_ms;
    int64_t retry_after_s;
    int status;
    bool any_body;
    bridge_server_limits limits;
    uint64_t same; /* of all the settings: instances share a receiver only when they are equal */
} webhook_config;

typedef struct webhook_receiver webhook_receiver;

typedef struct webhook {
    pubsub_host *host;
    webhook_config *config;
    char **models;
    size_t model_count;
    pubsub_emitter *emitter; /* while it runs */
    webhook_receiver *receiver;
    void (*done)(void *ctx);
    void *done_ctx;
    struct webhook *next; /* of the receiver */
    struct webhook *next_known;
} webhook;

void webhook_config_unref(webhook_config *config);

/* Take requests for an instance. */
pubsub_err webhook_receiver_join(webhook *self, pubsub_error *err);
/* No more of them; self->done is called, inside or later. */
void webhook_receiver_leave(webhook *self);
void webhook_receiver_settled(const pubsub_settled *settled);

/* model.c */
bool webhook_wants(const webhook *self, pubsub_bytes model);
/* The model a path names: the level in the place of {model}; empty when there is none in it. False: the path is
 * not ours, or names none. */
bool webhook_model_of(const webhook_config *config, pubsub_bytes path, pubsub__buf *out);

#endif
