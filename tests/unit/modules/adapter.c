/* SPDX-License-Identifier: MIT */
/* An adapter that refuses everything, in a file of its own. The build may spoil one thing of it, to see that
 * it is found. */
#include <pubsub/spi/sink.h>

#include <stdint.h>
#include <string.h>

#ifndef ADAPTER_ABI
#define ADAPTER_ABI PUBSUB_SPI_ABI
#endif
#ifndef ADAPTER_SIZE
#define ADAPTER_SIZE sizeof(pubsub_adapter)
#endif
#ifndef ADAPTER_SCHEME
#define ADAPTER_SCHEME ADAPTER_NAME
#endif
#ifdef ADAPTER_NEEDS
int pubsub_test_nowhere(void);
#endif

typedef struct instance {
    pubsub_sink *sink;
} instance;

#ifdef ADAPTER_STAR
static pubsub_err adapter_check_option(const pubsub_option_row *row, const char *name,
                                       const char *value, pubsub_error *err)
{
    (void)row;
    return strcmp(value, "all") == 0
               ? PUBSUB_OK
               : pubsub_error_set(err, PUBSUB_EOPTION, "option '%s': the module says no", name);
}
#endif

static const pubsub_option_row options[] = {
    {.name = "speed",
     .type = PUBSUB_OPTION_INT,
     .scopes = PUBSUB_SCOPE_CLIENT,
     .max = 9,
     .adapter = ADAPTER_NAME,
     .help = "how fast"},
#ifdef ADAPTER_STAR
    {.name = "*",
     .type = PUBSUB_OPTION_TEXT,
     .scopes = PUBSUB_SCOPE_CLIENT,
     .adapter = ADAPTER_NAME,
     .check = adapter_check_option,
     .help = "anything"},
#endif
    {.name = NULL},
};
static const char *const schemes[] = {ADAPTER_SCHEME, ADAPTER_SCHEME "+tls", NULL};

static pubsub_err adapter_caps(const pubsub_adapter_config *config, pubsub_caps *out,
                               pubsub_error *err)
{
    (void)config;
    (void)err;
#ifdef ADAPTER_NEEDS
    (void)pubsub_test_nowhere();
#endif
    for (unsigned i = 0; i < PUBSUB_FEATURE_COUNT; i++) {
        out->features[i].support = PUBSUB_REFUSED;
        out->features[i].note = "an adapter of a test";
    }
    out->max_topic = 7;
    return PUBSUB_OK;
}

static pubsub_err adapter_init(void *self, const pubsub_adapter_config *config, pubsub_sink *sink,
                               pubsub_error *err)
{
    (void)config;
    (void)err;
    ((instance *)self)->sink = sink;
    return PUBSUB_OK;
}

static pubsub_err adapter_connect(void *self, uint32_t link, pubsub_error *err)
{
    (void)self;
    (void)link;
    return pubsub_error_set(err, PUBSUB_EDENIED, "nobody is here");
}

static void adapter_disconnect(void *self, uint32_t link, bool final)
{
    (void)self;
    (void)link;
    (void) final;
}

static size_t adapter_submit(void *self, pubsub_spi_publish *const *publishes, size_t count)
{
    (void)self;
    (void)publishes;
    (void)count;
    return 0;
}

static void adapter_subscribe(void *self, pubsub_spi_subscription *subscription)
{
    (void)self;
    (void)subscription;
}

static void adapter_unsubscribe(void *self, pubsub_spi_subscription *subscription, bool forget)
{
    (void)self;
    (void)subscription;
    (void)forget;
}

static void adapter_ack(void *self, const pubsub_spi_ack *acks, size_t count)
{
    (void)self;
    (void)acks;
    (void)count;
}

#ifndef ADAPTER_CLOSE
static void adapter_close(void *self, pubsub_duration_ms left)
{
    (void)left;
    pubsub_sink_closed(((instance *)self)->sink);
}
#define ADAPTER_CLOSE adapter_close
#endif

static void adapter_fini(void *self, bool forked)
{
    (void)self;
    (void)forked;
}

const pubsub_adapter pubsub_adapter_v1 = {
    .abi = ADAPTER_ABI,
    .size = ADAPTER_SIZE,
    .name = ADAPTER_NAME,
    .schemes = schemes,
    .summary = "an adapter of a test",
    .options = options,
    .instance_size = sizeof(instance),
    .caps = adapter_caps,
    .init = adapter_init,
    .connect = adapter_connect,
    .disconnect = adapter_disconnect,
    .submit = adapter_submit,
    .subscribe = adapter_subscribe,
    .unsubscribe = adapter_unsubscribe,
    .ack = adapter_ack,
    .credit = adapter_subscribe,
    .close = ADAPTER_CLOSE,
    .fini = adapter_fini,
};
