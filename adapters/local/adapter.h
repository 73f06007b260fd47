/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_LOCAL_ADAPTER_H
#define PUBSUB_LOCAL_ADAPTER_H

/* What the files of the adapter share. The store does the work; the adapter turns publishes into
 * records and records into blocks, and keeps one helper thread that sleeps until the log grows. */

#include <pthread.h>
#include <pubsub/spi/sink.h>

#include "local/store.h"

typedef struct local_sub local_sub;

/* A publish that is written and waits for the flush at the end of the turn. */
typedef struct local_pending {
    pubsub_spi_publish *publish;
    local_position end;
} local_pending;

typedef struct local_self {
    pubsub_sink *sink;
    const pubsub_adapter_config *config;
    local_options options;
    char *dir;
    bool durable; /* sync=durable */
    local_store *store;
    bool closing;

    /* publishing */
    local_record *records;
    pubsub_spi_outcome *outcomes;
    size_t batch_cap;
    local_prop *props;
    size_t prop_cap;
    local_pending *pending;
    size_t pending_count, pending_cap;

    /* subscriptions */
    local_sub *subs;
    pubsub_timer *timer;
    bool pumping, again;

    /* the helper; all under mu */
    pthread_t helper;
    bool helper_runs;
    pthread_mutex_t mu;
    pthread_cond_t cond;
    bool mu_ready;
    bool armed, stop;
    uint32_t armed_generation, armed_bits;
} local_self;

struct local_sub {
    local_sub *next;
    local_self *self;
    pubsub_spi_subscription *spi;
    local_cursor *cursor; /* without group or durable name */
    local_group *group;   /* with one */
    local_claim *claims;  /* taken and not yet given to the core */
    size_t claim_count, claim_next;
    uint64_t wake_at_ns, renew_at_ns;
    uint32_t bits;
    bool starved;  /* the core has no credit for it */
    bool broken;   /* reading failed; it was reported lost */
    bool has_view; /* read, but not given yet for want of credit */
    local_view view;
};

extern const pubsub_adapter pubsub__adapter_local;

/* adapter_caps.c: the pure members */
pubsub_err pubsub__local_adapter_caps(const pubsub_adapter_config *config, pubsub_caps *out,
                                      pubsub_error *err);
pubsub_err pubsub__local_adapter_negotiate(const pubsub_adapter_config *config,
                                           const pubsub_caps *caps, const pubsub_request *request,
                                           pubsub_answer *answer, pubsub_error *err);
pubsub_err pubsub__local_adapter_check(const pubsub_adapter_config *config, const pubsub_caps *caps,
                                       const pubsub_publication *publication, pubsub_error *err);
size_t pubsub__local_adapter_position_text(const pubsub_position *position, char *text,
                                           size_t size);
pubsub_err pubsub__local_adapter_position_parse(const char *text, pubsub_position *out,
                                                pubsub_error *err);
/* What the options say; PUBSUB_EOPTION. *dir to be freed. */
pubsub_err pubsub__local_adapter_options(const pubsub_adapter_config *config, local_options *out,
                                         char **dir, bool *durable, pubsub_error *err);
extern const pubsub_option_row pubsub__local_option_rows[];
pubsub_position pubsub__local_adapter_position(local_position position);

/* adapter_publish.c */
size_t pubsub__local_adapter_submit(void *ctx, pubsub_spi_publish *const *publishes, size_t count);
/* Flush what waits for it and report. */
void pubsub__local_adapter_settle(local_self *self);
void pubsub__local_adapter_publish_fini(local_self *self);

/* adapter_read.c */
void pubsub__local_adapter_subscribe(void *ctx, pubsub_spi_subscription *subscription);
void pubsub__local_adapter_unsubscribe(void *ctx, pubsub_spi_subscription *subscription,
                                       bool forget);
void pubsub__local_adapter_ack(void *ctx, const pubsub_spi_ack *acks, size_t count);
void pubsub__local_adapter_credit(void *ctx, pubsub_spi_subscription *subscription);
/* Read for all subscriptions that have credit; then sleep on the log through the helper. */
void pubsub__local_adapter_pump(local_self *self);
void pubsub__local_adapter_drop_subs(local_self *self);

/* adapter_helper.c */
void pubsub__local_helper_arm(local_self *self, uint32_t generation, uint32_t bits);
void pubsub__local_helper_stop(local_self *self);

#endif
