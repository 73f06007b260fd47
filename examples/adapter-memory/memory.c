/* SPDX-License-Identifier: MIT */
/* An adapter of somebody else's: `memory:NAME` is a broker inside the process. All clients of one NAME meet
 * there; it keeps nothing and ends with the process. It is built against the installed package alone and put
 * where adapters are looked for, see README.md. Read bus.c for the broker, then this for the adapter. */
#include "bus.h"

#include <pubsub/spi/support.h>

#include <string.h>

/* How many are reported, or given, at once. */
enum { BATCH = 64 };

/* ---- what it promises ---------------------------------------------------------------------- */

static const pubsub_option_row options[] = {
    {.name = "queue",
     .type = PUBSUB_OPTION_INT,
     .scopes = PUBSUB_SCOPE_CLIENT,
     .min = 1,
     .max = 10000000,
     .default_text = "100000",
     .unit = "messages",
     .adapter = "memory",
     .help = "how many wait for one subscription before publishers have to wait"},
    {.name = "lose",
     .type = PUBSUB_OPTION_INT,
     .scopes = PUBSUB_SCOPE_CLIENT,
     .min = 0,
     .max = 1000000,
     .default_text = "0",
     .adapter = "memory",
     .help = "confirm each so many-th message and lose it, to see that a test notices"},
    {.name = NULL},
};

static void cell(pubsub_caps *caps, pubsub_feature feature, pubsub_support support,
                 const char *note)
{
    caps->features[feature].support = support;
    caps->features[feature].note = note;
}

/* Every cell has an answer. What is refused says why; what the core does on this side is emulated. */
static pubsub_err memory_caps(const pubsub_adapter_config *config, pubsub_caps *out,
                              pubsub_error *err)
{
    static const pubsub_feature kept[] = {
        PUBSUB_FEATURE_DURABLE,   PUBSUB_FEATURE_DURABLE_GROUP, PUBSUB_FEATURE_FROM_EARLIEST,
        PUBSUB_FEATURE_FROM_TIME, PUBSUB_FEATURE_FROM_POSITION, PUBSUB_FEATURE_RETAIN};
    static const pubsub_feature ours[] = {PUBSUB_FEATURE_ACK, PUBSUB_FEATURE_NACK_DELAY,
                                          PUBSUB_FEATURE_ATTEMPTS, PUBSUB_FEATURE_DEAD_LETTER};
    (void)config;
    (void)err;
    memset(out, 0, sizeof(*out));
    out->size = sizeof(*out);
    for (unsigned i = 0; i < PUBSUB_FEATURE_COUNT; i++) {
        cell(out, (pubsub_feature)i, PUBSUB_NATIVE, "");
    }
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
        cell(out, kept[i], PUBSUB_REFUSED, "nothing is kept");
    }
    for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++) {
        cell(out, ours[i], PUBSUB_EMULATED, "by the client, as long as it lives");
    }
    cell(out, PUBSUB_FEATURE_EXPIRY, PUBSUB_EMULATED, "who receives it looks at the time");
    cell(out, PUBSUB_FEATURE_QOS2, PUBSUB_REFUSED, "use qos 1 and drop what comes twice");
    cell(out, PUBSUB_FEATURE_GROUP, PUBSUB_REFUSED, "each subscription gets all");
    cell(out, PUBSUB_FEATURE_ORDER_KEY_GROUP, PUBSUB_REFUSED, "there are no groups");
    cell(out, PUBSUB_FEATURE_DELAY, PUBSUB_REFUSED, "there are no delayed messages");
    out->confirm = PUBSUB_CONFIRM_RECEIVED;
    out->confirm_note = "in the memory of this process, and ends with it";
    out->max_payload = 16u << 20;
    out->max_topic = PUBSUB_TOPIC_MAX;
    return PUBSUB_OK;
}

/* ---- life ---------------------------------------------------------------------------------- */

static pubsub_err memory_init(void *ctx, const pubsub_adapter_config *config, pubsub_sink *sink,
                              pubsub_error *err)
{
    memory *self = ctx;
    self->sink = sink;
    (void)pubsub_options_int(config->options, "memory.queue", &self->queue_max);
    (void)pubsub_options_int(config->options, "memory.lose", &self->lose);
    self->bus = bus_of(pubsub_url_path(config->url));
    return self->bus != NULL ? PUBSUB_OK : pubsub_error_set(err, PUBSUB_ENOMEM, "no memory");
}

static pubsub_err memory_connect(void *ctx, uint32_t link, pubsub_error *err)
{
    memory *self = ctx;
    (void)err;
    bus_enter(self);
    pubsub_sink_link_up(self->sink, link);
    return PUBSUB_OK;
}

/* No publish is ever in flight: each got its outcome inside `submit`. */
static void memory_disconnect(void *ctx, uint32_t link, bool final)
{
    (void)link;
    (void) final;
    bus_leave(ctx);
}

static void memory_close(void *ctx, pubsub_duration_ms left)
{
    memory *self = ctx;
    (void)left;
    bus_leave(self);
    pubsub_sink_closed(self->sink);
}

static void memory_fini(void *ctx, bool forked)
{
    memory *self = ctx;
    if (!forked && self->bus != NULL) {
        bus_leave(self); /* after fork the lock may be held by a thread that is not here */
    }
}

/* ---- publishing ---------------------------------------------------------------------------- */

static size_t memory_submit(void *ctx, pubsub_spi_publish *const *publishes, size_t count)
{
    memory *self = ctx;
    pubsub_spi_outcome outcomes[BATCH];
    size_t taken = 0;
    size_t n = 0;
    bus_answer answer = BUS_TAKEN;
    while (taken < count && answer != BUS_FULL) {
        pubsub_spi_publish *publish = publishes[taken];
        pubsub_error error = PUBSUB_ERROR_INIT;
        bool lost = self->lose > 0 && ++self->published % (uint64_t)self->lose == 0;
        answer = lost ? BUS_TAKEN : bus_publish(self, publish);
        if (answer != BUS_FULL) {
            bool qos0 = publish->pub.qos == PUBSUB_AT_MOST_ONCE;
            taken++;
            outcomes[n++] = (pubsub_spi_outcome){
                .publish = publish,
                .outcome = PUBSUB_ACCEPTED,
                .confirm = qos0 ? PUBSUB_CONFIRM_NONE : PUBSUB_CONFIRM_RECEIVED,
                .flags = answer == BUS_NOBODY ? PUBSUB_REPORT_NO_SUBSCRIBER : 0,
                .position = PUBSUB_POSITION_NONE};
        }
        if (answer == BUS_NO_MEMORY) {
            pubsub_error_set(&error, PUBSUB_ENOMEM, "no memory for a message");
            outcomes[n - 1].outcome = PUBSUB_NOT_SENT;
            outcomes[n - 1].flags = PUBSUB_OUTCOME_FINAL;
            outcomes[n - 1].error = &error;
        }
        if (n == BATCH || answer == BUS_NO_MEMORY) {
            pubsub_sink_outcomes(self->sink, outcomes, n);
            n = 0;
        }
    }
    if (n > 0) {
        pubsub_sink_outcomes(self->sink, outcomes, n);
    }
    return taken;
}

/* ---- receiving ----------------------------------------------------------------------------- */

/* One of the slices that lie behind each other in `body`. */
static pubsub_bytes slice(unsigned char **body, size_t len)
{
    pubsub_bytes bytes = {*body, len};
    *body += len;
    return bytes;
}

/* Bytes in a block: the slices, and an array for the headers. Both are rounded up to 8. */
static size_t room_for(const bus_message *message)
{
    return ((message->body_len + 7) & ~(size_t)7) + message->header_count * sizeof(pubsub_header) +
           8;
}

static void fill(const subscription *sub, pubsub_block *block, const bus_message *message)
{
    unsigned char *body = pubsub_block_take(block, message->body_len);
    pubsub_header *headers = NULL;
    pubsub_spi_message *out = pubsub_block_message(block);
    if (message->header_count > 0) {
        headers = pubsub_block_take(block, message->header_count * sizeof(*headers));
    }
    memcpy(body, message->body, message->body_len);
    out->topic = slice(&body, message->topic_len);
    out->payload = slice(&body, message->payload_len);
    if (message->has_key) {
        out->key = slice(&body, message->key_len);
    }
    out->content_type = slice(&body, message->content_type_len);
    out->reply_to = slice(&body, message->reply_to_len);
    out->correlation = slice(&body, message->correlation_len);
    for (size_t i = 0; i < message->header_count; i++) {
        headers[i].name = slice(&body, message->header_lens[2 * i]);
        headers[i].value = slice(&body, message->header_lens[2 * i + 1]);
    }
    out->headers = headers;
    out->header_count = (uint32_t)message->header_count;
    out->qos = message->qos < sub->qos ? message->qos : sub->qos;
    out->flags = out->qos == PUBSUB_AT_MOST_ONCE ? PUBSUB_SPI_NO_ACK : 0;
    out->flags |= message->tombstone ? PUBSUB_SPI_TOMBSTONE : 0;
    out->timestamp_ns = message->timestamp_ns;
    out->expires_ns = message->expires_ns;
}

/* Give what waits for a subscription to the core, as far as its credit goes; `credit` comes for the rest. */
static void deliver(subscription *sub)
{
    memory *self = sub->owner;
    uint32_t messages = 0;
    uint64_t bytes = 0;
    while (pubsub_sink_credit(self->sink, sub->spi, &messages, &bytes)) {
        bus_message *batch[BATCH];
        size_t count = bus_look(sub, batch, messages < BATCH ? messages : BATCH, bytes);
        size_t room = 0;
        pubsub_block *block = NULL;
        for (size_t i = 0; i < count; i++) {
            room += room_for(batch[i]);
        }
        block = count == 0 ? NULL : pubsub_sink_block(self->sink, count, room);
        if (block == NULL) {
            break; /* nothing there; or no memory, and the next wake or credit tries again */
        }
        for (size_t i = 0; i < count; i++) {
            fill(sub, block, batch[i]);
        }
        bus_drop(sub, count);
        pubsub_sink_messages(self->sink, sub->spi, block);
    }
}

static void memory_subscribe(void *ctx, pubsub_spi_subscription *spi)
{
    memory *self = ctx;
    const pubsub_subscribe_request *request = &spi->request;
    bool qos0 = request->qos == PUBSUB_AT_MOST_ONCE;
    pubsub_spi_subscribed answer = {.qos = qos0 ? PUBSUB_AT_MOST_ONCE : PUBSUB_AT_LEAST_ONCE};
    pubsub_error error = PUBSUB_ERROR_INIT;
    subscription *sub = spi->data;
    spi->lazy_ack = true; /* the broker has no acks: the core holds what is refused */
    if (sub == NULL) {
        sub = pubsub_spi_calloc(1, sizeof(*sub));
        if (sub == NULL) {
            pubsub_error_set(&error, PUBSUB_ENOMEM, "no memory for a subscription");
            pubsub_sink_subscribed(self->sink, spi, NULL, &error);
            return;
        }
        *sub = (subscription){.owner = self, .spi = spi, .qos = answer.qos};
        spi->data = sub;
        bus_subscribe(sub); /* every publish from here on is in its queue */
    }
    pubsub_sink_subscribed(self->sink, spi, &answer, NULL);
}

static void memory_unsubscribe(void *ctx, pubsub_spi_subscription *spi, bool forget)
{
    (void)ctx;
    (void)forget;
    if (spi->data != NULL) {
        bus_unsubscribe(spi->data);
        pubsub_spi_free(spi->data);
        spi->data = NULL;
    }
}

static void memory_ack(void *ctx, const pubsub_spi_ack *acks, size_t count)
{
    (void)ctx;
    (void)acks;
    (void)count;
}

static void memory_credit(void *ctx, pubsub_spi_subscription *spi)
{
    (void)ctx;
    if (spi->data != NULL) {
        deliver(spi->data);
    }
}

/* Another client published, or made room. */
static void memory_wake(void *ctx)
{
    memory *self = ctx;
    for (subscription *sub = self->subs; sub != NULL; sub = sub->mine) {
        deliver(sub);
    }
    if (bus_unblock(self)) {
        pubsub_sink_writable(self->sink);
    }
}

static const char *const schemes[] = {"memory", NULL};

const pubsub_adapter pubsub_adapter_v1 = {
    .abi = PUBSUB_SPI_ABI,
    .size = sizeof(pubsub_adapter),
    .name = "memory",
    .schemes = schemes,
    .summary = "a broker inside the process",
    .options = options,
    .instance_size = sizeof(memory),
    .caps = memory_caps,
    .init = memory_init,
    .connect = memory_connect,
    .disconnect = memory_disconnect,
    .submit = memory_submit,
    .subscribe = memory_subscribe,
    .unsubscribe = memory_unsubscribe,
    .ack = memory_ack,
    .credit = memory_credit,
    .wake = memory_wake,
    .close = memory_close,
    .fini = memory_fini,
};
