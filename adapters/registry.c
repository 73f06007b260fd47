/* SPDX-License-Identifier: MIT */
#include "registry.h"

#include "base/nearest.h"
#include "options/known.h"

#include <pubsub/caps.h>
#include <pubsub/spi/adapter.h>

#include <pthread.h>
#include <string.h>

/* Every scheme this library knows, whether its adapter is built or not, so that an error can tell the
 * difference. An adapter that is built in has its table named here. */

#ifdef PUBSUB_HAVE_ADAPTER_LOCAL
extern const pubsub_adapter pubsub__adapter_local;
#define LOCAL &pubsub__adapter_local
#else
#define LOCAL NULL
#endif

#ifdef PUBSUB_HAVE_ADAPTER_MQTT
extern const pubsub_adapter pubsub__adapter_mqtt;
#define MQTT &pubsub__adapter_mqtt
#else
#define MQTT NULL
#endif

#ifdef PUBSUB_HAVE_ADAPTER_AMQP
extern const pubsub_adapter pubsub__adapter_amqp;
#define AMQP &pubsub__adapter_amqp
#else
#define AMQP NULL
#endif

#ifdef PUBSUB_HAVE_ADAPTER_KAFKA
extern const pubsub_adapter pubsub__adapter_kafka;
#define KAFKA &pubsub__adapter_kafka
#else
#define KAFKA NULL
#endif

#ifdef PUBSUB_HAVE_ADAPTER_REDIS
extern const pubsub_adapter pubsub__adapter_redis;
#define REDIS &pubsub__adapter_redis
#else
#define REDIS NULL
#endif

static const struct known {
    const char *scheme;
    const char *adapter;
    const pubsub_adapter *table; /* NULL = not built */
    bool tls;
    const char *cmake_name;
    const char *summary;
} g_known[] = {
    {"local", "local", LOCAL, false, "LOCAL", "embedded, durable, no broker needed"},
    {"mqtt", "mqtt", MQTT, false, "MQTT", "MQTT 5 and 3.1.1"},
    {"mqtts", "mqtt", MQTT, true, "MQTT", "MQTT over TLS"},
    {"ws", "mqtt", MQTT, false, "MQTT", "MQTT over WebSocket"},
    {"wss", "mqtt", MQTT, true, "MQTT", "MQTT over WebSocket and TLS"},
    {"kafka", "kafka", KAFKA, false, "KAFKA", "Apache Kafka"},
    {"kafka+ssl", "kafka", KAFKA, true, "KAFKA", "Apache Kafka over TLS"},
    {"redis", "redis", REDIS, false, "REDIS", "Redis pub/sub"},
    {"rediss", "redis", REDIS, true, "REDIS", "Redis pub/sub over TLS"},
    {"redis+streams", "redis", REDIS, false, "REDIS", "Redis streams"},
    {"rediss+streams", "redis", REDIS, true, "REDIS", "Redis streams over TLS"},
    {"amqp", "amqp", AMQP, false, "AMQP", "AMQP 0-9-1 (RabbitMQ)"},
    {"amqps", "amqp", AMQP, true, "AMQP", "AMQP 0-9-1 over TLS"},
};

#define KNOWN (sizeof g_known / sizeof g_known[0])
#define REGISTERED_MAX 32u

static pthread_mutex_t g_lock = PTHREAD_MUTEX_INITIALIZER;
static const pubsub_adapter *g_registered[REGISTERED_MAX];
static size_t g_registered_count;

static bool has_scheme(const pubsub_adapter *adapter, const char *scheme)
{
    for (size_t i = 0; adapter->schemes[i] != NULL; i++) {
        if (strcmp(adapter->schemes[i], scheme) == 0) {
            return true;
        }
    }
    return false;
}

static const struct known *find_known(const char *scheme)
{
    for (size_t i = 0; i < KNOWN; i++) {
        if (strcmp(g_known[i].scheme, scheme) == 0) {
            return &g_known[i];
        }
    }
    return NULL;
}

/* Registered tables are never removed, so that what was found stays good without the lock. */
static const pubsub_adapter *registered_at(size_t index)
{
    pthread_mutex_lock(&g_lock);
    const pubsub_adapter *adapter = index < g_registered_count ? g_registered[index] : NULL;
    pthread_mutex_unlock(&g_lock);
    return adapter;
}

static const char *nearest_scheme(const char *scheme)
{
    pubsub__nearest nearest;
    pubsub__nearest_init(&nearest, scheme);
    for (size_t i = 0; i < KNOWN; i++) {
        pubsub__nearest_offer(&nearest, g_known[i].scheme);
    }
    return pubsub__nearest_result(&nearest);
}

const pubsub_adapter *pubsub__registry_find(const char *scheme, pubsub_error *err)
{
    const struct known *known = find_known(scheme);
    if (known != NULL && known->table != NULL) {
        return known->table;
    }
    const pubsub_adapter *adapter = NULL;
    for (size_t i = 0; (adapter = registered_at(i)) != NULL; i++) {
        if (has_scheme(adapter, scheme)) {
            return adapter;
        }
    }
    if (known != NULL) {
        pubsub_error_set(err, PUBSUB_ENOTBUILT,
                         "'%s:' is known, but its adapter is not built in; configure with "
                         "-DPUBSUB_ADAPTER_%s=ON",
                         scheme, known->cmake_name);
        return NULL;
    }
    const char *nearest = nearest_scheme(scheme);
    pubsub_error_set(err, PUBSUB_ESCHEME, "unknown scheme '%.40s:'%s%s%s", scheme,
                     nearest != NULL ? ", did you mean '" : "", nearest != NULL ? nearest : "",
                     nearest != NULL ? ":'?" : "");
    return NULL;
}

bool pubsub__registry_implies_tls(const char *scheme)
{
    const struct known *known = find_known(scheme);
    return known != NULL && known->tls;
}

static pubsub_err check_table(const pubsub_adapter *a, pubsub_error *err)
{
    if (a == NULL) {
        return pubsub_error_set(err, PUBSUB_EINVAL, "no adapter");
    }
    if (a->abi != PUBSUB_SPI_ABI || a->size < sizeof *a) {
        return pubsub_error_set(err, PUBSUB_EVERSION,
                                "the adapter was built for interface %u, this library has %u",
                                a->abi, PUBSUB_SPI_ABI);
    }
    bool complete = a->name != NULL && a->schemes != NULL && a->schemes[0] != NULL &&
                    a->caps != NULL && a->init != NULL && a->connect != NULL &&
                    a->disconnect != NULL && a->submit != NULL && a->subscribe != NULL &&
                    a->unsubscribe != NULL && a->ack != NULL && a->credit != NULL &&
                    a->close != NULL && a->fini != NULL && a->instance_size > 0;
    return complete ? PUBSUB_OK
                    : pubsub_error_set(err, PUBSUB_EINVAL, "the adapter's table is incomplete");
}

pubsub_err pubsub_adapter_register(const pubsub_adapter *adapter, pubsub_error *err)
{
    pubsub_err rc = check_table(adapter, err);
    if (rc != PUBSUB_OK) {
        return rc;
    }
    for (size_t i = 0; adapter->schemes[i] != NULL; i++) {
        const struct known *known = find_known(adapter->schemes[i]);
        if (known != NULL && known->table != NULL) {
            return pubsub_error_set(err, PUBSUB_EBUSY, "the scheme '%s:' is taken",
                                    adapter->schemes[i]);
        }
    }
    pthread_mutex_lock(&g_lock);
    for (size_t k = 0; rc == PUBSUB_OK && k < g_registered_count; k++) {
        for (size_t i = 0; adapter->schemes[i] != NULL; i++) {
            if (has_scheme(g_registered[k], adapter->schemes[i]) ||
                strcmp(g_registered[k]->name, adapter->name) == 0) {
                rc = pubsub_error_set(err, PUBSUB_EBUSY, "'%s' is registered already",
                                      adapter->name);
                break;
            }
        }
    }
    if (rc == PUBSUB_OK && g_registered_count == REGISTERED_MAX) {
        rc = pubsub_error_set(err, PUBSUB_EFULL, "no room for more than %u adapters",
                              REGISTERED_MAX);
    }
    if (rc == PUBSUB_OK) {
        g_registered[g_registered_count++] = adapter;
    }
    pthread_mutex_unlock(&g_lock);
    return rc;
}

bool pubsub_scheme_at(size_t index, pubsub_scheme *out)
{
    if (out == NULL) {
        return false;
    }
    if (index < KNOWN) {
        out->scheme = g_known[index].scheme;
        out->adapter = g_known[index].adapter;
        out->built = g_known[index].table != NULL;
        out->summary = g_known[index].summary;
        return true;
    }
    index -= KNOWN;
    const pubsub_adapter *adapter = NULL;
    for (size_t i = 0; (adapter = registered_at(i)) != NULL; i++) {
        size_t count = 0;
        while (adapter->schemes[count] != NULL) {
            count++;
        }
        if (index < count) {
            out->scheme = adapter->schemes[index];
            out->adapter = adapter->name;
            out->built = true;
            out->summary = adapter->summary;
            return true;
        }
        index -= count;
    }
    return false;
}

/* ---- what the option table asks ---- */

const pubsub_option_row *pubsub__registry_option_rows(const char *adapter, bool *known)
{
    *known = false;
    for (size_t i = 0; i < KNOWN; i++) {
        if (strcmp(g_known[i].adapter, adapter) == 0) {
            *known = true;
            if (g_known[i].table != NULL) {
                return g_known[i].table->options;
            }
        }
    }
    const pubsub_adapter *table = NULL;
    for (size_t i = 0; (table = registered_at(i)) != NULL; i++) {
        if (strcmp(table->name, adapter) == 0) {
            *known = true;
            return table->options;
        }
    }
    return NULL;
}

const char *pubsub__registry_adapter_name(size_t index)
{
    for (size_t i = 0; i < KNOWN; i++) {
        bool again = i > 0 && strcmp(g_known[i].adapter, g_known[i - 1].adapter) == 0;
        if (!again && index-- == 0) {
            return g_known[i].adapter;
        }
    }
    const pubsub_adapter *adapter = registered_at(index);
    return adapter == NULL ? NULL : adapter->name;
}
