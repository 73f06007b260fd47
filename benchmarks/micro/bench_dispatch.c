/* SPDX-License-Identifier: MIT */
/* What the library itself costs between an adapter and a handler: messages are made in memory, handled
 * by a function that counts, and acknowledged to nobody. Prints nanoseconds per message for each way to
 * run handlers; the best of some rounds, because others use the machine too. */

#include "base/clock.h"

#include <pubsub/pubsub.h>
#include <pubsub/spi/adapter.h>
#include <pubsub/spi/sink.h>

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROUNDS 5
#define BODY 64u

/* ---- an adapter that has messages without end ---- */

static uint64_t g_total;
static uint64_t g_keys; /* different ones; 0 = without */

typedef struct pump {
    pubsub_sink *sink;
    pubsub_spi_subscription *subscription;
    uint64_t given, acked;
} pump;

static pubsub_err pump_caps(const pubsub_adapter_config *config, pubsub_caps *out,
                            pubsub_error *err)
{
    (void)config;
    (void)err;
    memset(out, 0, sizeof(*out));
    out->size = sizeof(*out);
    for (unsigned i = 0; i < PUBSUB_FEATURES_MAX; i++) {
        out->features[i] = (pubsub_cap){PUBSUB_NATIVE, ""};
    }
    out->confirm_note = "";
    out->max_topic = PUBSUB_TOPIC_MAX;
    return PUBSUB_OK;
}

static pubsub_err pump_init(void *ctx, const pubsub_adapter_config *config, pubsub_sink *sink,
                            pubsub_error *err)
{
    pump *self = ctx;
    (void)config;
    (void)err;
    self->sink = sink;
    return PUBSUB_OK;
}

static pubsub_err pump_connect(void *ctx, uint32_t link, pubsub_error *err)
{
    pump *self = ctx;
    (void)err;
    pubsub_sink_link_up(self->sink, link);
    return PUBSUB_OK;
}

static void pump_disconnect(void *ctx, uint32_t link, bool final)
{
    (void)ctx;
    (void)link;
    (void) final;
}

static size_t pump_submit(void *ctx, pubsub_spi_publish *const *publishes, size_t count)
{
    (void)ctx;
    (void)publishes;
    return count;
}

static void give_block(pump *self, size_t count)
{
    static const char body[BODY] = "body";
    pubsub_block *block = pubsub_sink_block(self->sink, count, count * (BODY + 24) + 16);
    if (block == NULL) {
        abort();
    }
    pubsub_bytes topic = pubsub_block_copy(block, pubsub_bytes_of("bench"));
    for (size_t i = 0; i < count; i++) {
        pubsub_spi_message *message = pubsub_block_message(block);
        uint64_t *key = pubsub_block_take(block, sizeof(*key));
        if (message == NULL || key == NULL) {
            abort();
        }
        message->topic = topic;
        message->payload = pubsub_block_copy(block, (pubsub_bytes){body, BODY});
        message->token = self->given;
        if (g_keys > 0) {
            *key = self->given % g_keys;
            message->key = (pubsub_bytes){key, sizeof(*key)};
        }
        self->given++;
    }
    pubsub_sink_messages(self->sink, self->subscription, block);
}

static void give(pump *self)
{
    uint32_t messages = 0;
    uint64_t bytes = 0;
    while (self->subscription != NULL && self->given < g_total &&
           pubsub_sink_credit(self->sink, self->subscription, &messages, &bytes)) {
        size_t count = messages < PUBSUB_BLOCK_MESSAGES ? messages : PUBSUB_BLOCK_MESSAGES;
        uint64_t left = g_total - self->given;
        give_block(self, left < count ? (size_t)left : count);
    }
}

static void pump_subscribe(void *ctx, pubsub_spi_subscription *subscription)
{
    pump *self = ctx;
    pubsub_spi_subscribed answer = {.qos = PUBSUB_AT_LEAST_ONCE};
    self->subscription = subscription;
    pubsub_sink_subscribed(self->sink, subscription, &answer, NULL);
    give(self);
}

static void pump_unsubscribe(void *ctx, pubsub_spi_subscription *subscription, bool forget)
{
    pump *self = ctx;
    (void)subscription;
    (void)forget;
    self->subscription = NULL;
}

static void pump_ack(void *ctx, const pubsub_spi_ack *acks, size_t count)
{
    pump *self = ctx;
    (void)acks;
    self->acked += count;
}

static void pump_credit(void *ctx, pubsub_spi_subscription *subscription)
{
    (void)subscription;
    give(ctx);
}

static void pump_close(void *ctx, pubsub_duration_ms left)
{
    pump *self = ctx;
    (void)left;
    pubsub_sink_closed(self->sink);
}

static void pump_fini(void *ctx, bool forked)
{
    (void)ctx;
    (void)forked;
}

static const char *const g_schemes[] = {"pump", NULL};
static const pubsub_adapter g_pump = {
    .abi = PUBSUB_SPI_ABI,
    .size = sizeof(pubsub_adapter),
    .name = "pump",
    .schemes = g_schemes,
    .summary = "messages without end",
    .instance_size = sizeof(pump),
    .caps = pump_caps,
    .init = pump_init,
    .connect = pump_connect,
    .disconnect = pump_disconnect,
    .submit = pump_submit,
    .subscribe = pump_subscribe,
    .unsubscribe = pump_unsubscribe,
    .ack = pump_ack,
    .credit = pump_credit,
    .close = pump_close,
    .fini = pump_fini,
};

/* ---- measuring ---- */

static atomic_uint_fast64_t g_handled;

static int on_message(void *ctx, pubsub_message *message)
{
    (void)ctx;
    (void)message;
    atomic_fetch_add_explicit(&g_handled, 1, memory_order_relaxed);
    return 0;
}

static pubsub_options *options_of(const char *const *pairs)
{
    pubsub_options *options = NULL;
    if (pubsub_options_new(&options) != PUBSUB_OK) {
        return NULL;
    }
    for (; *pairs != NULL; pairs += 2) {
        pubsub_error err = PUBSUB_ERROR_INIT;
        if (pubsub_options_set(options, pairs[0], pairs[1], &err) != PUBSUB_OK) {
            fprintf(stderr, "%s\n", pubsub_error_text(&err));
            exit(1);
        }
    }
    return options;
}

static uint64_t cpu_ns(void)
{
    struct timespec at;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &at);
    return (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec;
}

/* Nanoseconds for all; 0 when that way does not exist. CPU time is that of all threads together, and says
 * something also while others use the machine. */
static uint64_t run(const char *const *client_pairs, const char *workers, uint64_t *cpu)
{
    pubsub_client *client = NULL;
    pubsub_error err = PUBSUB_ERROR_INIT;
    pubsub_options *options = options_of(client_pairs);
    const char *const sub_pairs[] = {"workers", workers, NULL};
    pubsub_options *own = options_of(sub_pairs);
    uint64_t took = 0;
    const char *dispatch = pubsub_options_get(options, "dispatch");
    bool poll = dispatch == NULL || strcmp(dispatch, "thread") != 0;
    atomic_store(&g_handled, 0);
    if (pubsub_client_new(&client, "pump:", options, &err) != PUBSUB_OK) {
        fprintf(stderr, "%s\n", pubsub_error_text(&err));
        exit(1);
    }
    uint64_t since = pubsub__clock_mono_ns();
    uint64_t cpu_since = cpu_ns();
    if (pubsub_client_subscribe(client, "bench", own, on_message, NULL, NULL, &err) == PUBSUB_OK) {
        while (atomic_load_explicit(&g_handled, memory_order_relaxed) < g_total) {
            if (poll) {
                (void)pubsub_client_poll(client, 1000, NULL);
            } else {
                struct timespec rest = {0, 200000};
                (void)nanosleep(&rest, NULL);
            }
        }
        took = pubsub__clock_mono_ns() - since;
        *cpu = cpu_ns() - cpu_since;
    }
    (void)pubsub_client_end(client, 1000, NULL);
    pubsub_client_free(client);
    pubsub_options_free(options);
    pubsub_options_free(own);
    return took;
}

int main(int argc, char **argv)
{
    static const char *const inline_io[] = {"io", "inline", NULL};
    static const char *const polled[] = {"io", "thread", NULL};
    static const char *const thread[] = {"dispatch", "thread", NULL};
    static const struct {
        const char *what;
        const char *const *client;
        const char *workers;
        uint64_t keys;
    } ways[] = {
        {"io=inline", inline_io, "1", 0},
        {"io=inline, 1,000 keys", inline_io, "1", 1000},
        {"polled", polled, "1", 0},
        {"dispatch=thread", thread, "1", 0},
        {"dispatch=thread, 4 workers, no keys", thread, "4", 0},
        {"dispatch=thread, 4 workers, 1,000 keys", thread, "4", 1000},
        {"dispatch=thread, 4 workers, 10 keys", thread, "4", 10},
        {"dispatch=thread, 4 workers, 1 key", thread, "4", 1},
    };
    pubsub_error err = PUBSUB_ERROR_INIT;
    g_total = argc > 1 ? strtoull(argv[1], NULL, 10) : 500000;
    if (g_total == 0 || pubsub_adapter_register(&g_pump, &err) != PUBSUB_OK) {
        fprintf(stderr, "usage: bench_dispatch [messages]\n");
        return 2;
    }
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        uint64_t best = 0;
        uint64_t least = 0;
        g_keys = ways[i].keys;
        for (int round = 0; round < ROUNDS; round++) {
            uint64_t cpu = 0;
            uint64_t took = run(ways[i].client, ways[i].workers, &cpu);
            best = best == 0 || took < best ? took : best;
            least = least == 0 || cpu < least ? cpu : least;
        }
        printf("%-42s %7.1f ns per message, %7.1f of CPU\n", ways[i].what,
               (double)best / (double)g_total, (double)least / (double)g_total);
    }
    return 0;
}
