/* SPDX-License-Identifier: MIT */
#include "registry.h"

#include "base/alloc.h"
#include "base/nearest.h"
#include "module/options.h"
#include "modules.h"
#include "options/known.h"

#include <pubsub/caps.h>
#include <pubsub/spi/adapter.h>

#include <pthread.h>
#include <string.h>

/* Every scheme this library knows, whether its adapter is built or not, so that an error can tell the
 * difference. An adapter that is built in has its table named here; of one that is a module only the rows
 * of its options are here. */

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

#ifdef PUBSUB_MODULE_ADAPTER_MQTT
extern const pubsub_option_row pubsub__mqtt_option_rows[];
#define MQTT_ROWS pubsub__mqtt_option_rows
#else
#define MQTT_ROWS NULL
#endif

#ifdef PUBSUB_HAVE_ADAPTER_KAFKA
extern const pubsub_adapter pubsub__adapter_kafka;
#define KAFKA &pubsub__adapter_kafka
#else
#define KAFKA NULL
#endif

#ifdef PUBSUB_MODULE_ADAPTER_KAFKA
extern const pubsub_option_row pubsub__kafka_option_rows[];
#define KAFKA_ROWS pubsub__kafka_option_rows
#else
#define KAFKA_ROWS NULL
#endif

#ifdef PUBSUB_HAVE_ADAPTER_AMQP
extern const pubsub_adapter pubsub__adapter_amqp;
#define AMQP &pubsub__adapter_amqp
#else
#define AMQP NULL
#endif

#ifdef PUBSUB_HAVE_ADAPTER_REDIS
extern const pubsub_adapter pubsub__adapter_redis;
#define REDIS &pubsub__adapter_redis
#else
#define REDIS NULL
#endif

/* The adapters of this tree. */
static const struct ours {
    const char *name;
    const char *cmake_name;
    const pubsub_adapter *table;   /* NULL = not built in */
    const pubsub_option_row *rows; /* not NULL = a module */
    const char *package;           /* with the library of a module, on Debian and Ubuntu */
} g_ours[] = {
    {"local", "LOCAL", LOCAL, NULL, NULL},
    {"mqtt", "MQTT", MQTT, MQTT_ROWS, "libpaho-mqtt1.3"},
    {"kafka", "KAFKA", KAFKA, KAFKA_ROWS, "librdkafka1"},
    {"redis", "REDIS", REDIS, NULL, NULL},
    {"amqp", "AMQP", AMQP, NULL, NULL},
};

#define OURS (sizeof g_ours / sizeof g_ours[0])

enum { OUR_LOCAL, OUR_MQTT, OUR_KAFKA, OUR_REDIS, OUR_AMQP };

static const struct known {
    const char *scheme;
    unsigned ours; /* index in g_ours */
    bool tls;
    const char *summary;
} g_known[] = {
    {"local", OUR_LOCAL, false, "embedded, durable, no broker needed"},
    {"mqtt", OUR_MQTT, false, "MQTT 5 and 3.1.1"},
    {"mqtts", OUR_MQTT, true, "MQTT over TLS"},
    {"ws", OUR_MQTT, false, "MQTT over WebSocket"},
    {"wss", OUR_MQTT, true, "MQTT over WebSocket and TLS"},
    {"kafka", OUR_KAFKA, false, "Apache Kafka"},
    {"kafka+ssl", OUR_KAFKA, true, "Apache Kafka over TLS"},
    {"redis", OUR_REDIS, false, "Redis pub/sub"},
    {"rediss", OUR_REDIS, true, "Redis pub/sub over TLS"},
    {"redis+streams", OUR_REDIS, false, "Redis streams"},
    {"rediss+streams", OUR_REDIS, true, "Redis streams over TLS"},
    {"amqp", OUR_AMQP, false, "AMQP 0-9-1 (RabbitMQ)"},
    {"amqps", OUR_AMQP, true, "AMQP 0-9-1 over TLS"},
};

#define KNOWN (sizeof g_known / sizeof g_known[0])
#define REGISTERED_MAX 32u

/* Guards the list; held for moments. */
static pthread_mutex_t g_lock = PTHREAD_MUTEX_INITIALIZER;
static struct registered {
    const pubsub_adapter *table;
    const pubsub_adapter *given; /* before it was made as large as ours */
    bool module;
} g_registered[REGISTERED_MAX];
static size_t g_registered_count;
/* One opens modules at a time, so that each is opened once. Taken before g_lock. */
static pthread_mutex_t g_loading = PTHREAD_MUTEX_INITIALIZER;

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

static const struct ours *find_ours(const char *adapter)
{
    for (size_t i = 0; i < OURS; i++) {
        if (strcmp(g_ours[i].name, adapter) == 0) {
            return &g_ours[i];
        }
    }
    return NULL;
}

/* Registered tables are never removed, so that what was found stays good without the lock. */
static struct registered registered_at(size_t index)
{
    struct registered none = {NULL, NULL, false};
    pthread_mutex_lock(&g_lock);
    struct registered found = index < g_registered_count ? g_registered[index] : none;
    pthread_mutex_unlock(&g_lock);
    return found;
}

static const pubsub_adapter *registered_by_scheme(const char *scheme)
{
    const pubsub_adapter *adapter = NULL;
    for (size_t i = 0; (adapter = registered_at(i).table) != NULL; i++) {
        if (has_scheme(adapter, scheme)) {
            return adapter;
        }
    }
    return NULL;
}

static struct registered registered_by_name(const char *name)
{
    struct registered found = {NULL, NULL, false};
    for (size_t i = 0; (found = registered_at(i)).table != NULL; i++) {
        if (strcmp(found.table->name, name) == 0) {
            break;
        }
    }
    return found;
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

bool pubsub__registry_implies_tls(const char *scheme)
{
    const struct known *known = find_known(scheme);
    return known != NULL && known->tls;
}

/* ---- registering --------------------------------------------------------------------------- */

/* Everything up to `flags` must be there: the first table that others could build for. */
#define NEEDED (offsetof(pubsub_adapter, flags) + sizeof(uint32_t))

static pubsub_err check_table(const pubsub_adapter *a, pubsub_error *err)
{
    if (a == NULL) {
        return pubsub_error_set(err, PUBSUB_EINVAL, "no adapter");
    }
    if (a->abi != PUBSUB_SPI_ABI) {
        return pubsub_error_set(err, PUBSUB_EVERSION,
                                "the adapter was built for interface %u, this library has %u",
                                (unsigned)a->abi, PUBSUB_SPI_ABI);
    }
    if (a->size < NEEDED) {
        return pubsub_error_set(err, PUBSUB_EVERSION,
                                "the adapter's table has %u bytes, at least %zu are needed; set "
                                ".size to sizeof(pubsub_adapter)",
                                (unsigned)a->size, NEEDED);
    }
    bool complete = a->name != NULL && a->schemes != NULL && a->schemes[0] != NULL &&
                    a->caps != NULL && a->init != NULL && a->connect != NULL &&
                    a->disconnect != NULL && a->submit != NULL && a->subscribe != NULL &&
                    a->unsubscribe != NULL && a->ack != NULL && a->credit != NULL &&
                    a->close != NULL && a->fini != NULL && a->instance_size > 0;
    return complete ? PUBSUB_OK
                    : pubsub_error_set(err, PUBSUB_EINVAL, "the adapter's table is incomplete");
}

/* Whether this library has an adapter with that name or scheme already. */
static pubsub_err check_ours(const pubsub_adapter *adapter, const struct ours *expected,
                             pubsub_error *err)
{
    const struct ours *ours = find_ours(adapter->name);
    if (ours != expected && ours != NULL && (ours->table != NULL || ours->rows != NULL)) {
        return pubsub_error_set(err, PUBSUB_EBUSY, "the name '%.40s' is taken", adapter->name);
    }
    for (size_t i = 0; adapter->schemes[i] != NULL; i++) {
        const struct known *known = find_known(adapter->schemes[i]);
        ours = known == NULL ? NULL : &g_ours[known->ours];
        if (ours != expected && ours != NULL && (ours->table != NULL || ours->rows != NULL)) {
            return pubsub_error_set(err, PUBSUB_EBUSY, "the scheme '%.40s:' is taken",
                                    adapter->schemes[i]);
        }
    }
    return PUBSUB_OK;
}

/* @locks g_lock held */
static pubsub_err check_registered(const pubsub_adapter *adapter, pubsub_error *err)
{
    for (size_t k = 0; k < g_registered_count; k++) {
        for (size_t i = 0; adapter->schemes[i] != NULL; i++) {
            if (has_scheme(g_registered[k].table, adapter->schemes[i]) ||
                strcmp(g_registered[k].table->name, adapter->name) == 0) {
                return pubsub_error_set(err, PUBSUB_EBUSY, "'%.40s' is registered already",
                                        adapter->name);
            }
        }
    }
    if (g_registered_count == REGISTERED_MAX) {
        return pubsub_error_set(err, PUBSUB_EFULL, "no room for more than %u adapters",
                                REGISTERED_MAX);
    }
    return PUBSUB_OK;
}

/* A table as large as ours: what an older one does not reach is empty. It stays for ever, as the given one
 * does. NULL when memory is short. */
static const pubsub_adapter *whole_table(const pubsub_adapter *given)
{
    pubsub_adapter *whole = NULL;
    if (given->size >= sizeof(*given)) {
        return given;
    }
    whole = pubsub__calloc(1, sizeof(*whole));
    if (whole != NULL) {
        memcpy(whole, given, given->size);
    }
    return whole;
}

/* `expected`: the adapter of this tree that it is allowed to be. */
static pubsub_err register_table(const pubsub_adapter *given, const struct ours *expected,
                                 bool module, const pubsub_adapter **out, pubsub_error *err)
{
    const pubsub_adapter *whole = NULL;
    pubsub_err rc = check_table(given, err);
    if (rc == PUBSUB_OK) {
        rc = check_ours(given, expected, err);
    }
    if (rc != PUBSUB_OK) {
        return rc;
    }
    pthread_mutex_lock(&g_lock);
    rc = check_registered(given, err);
    if (rc == PUBSUB_OK) {
        whole = whole_table(given);
        rc = whole == NULL ? pubsub_error_set(err, PUBSUB_ENOMEM, "no memory for an adapter")
                           : PUBSUB_OK;
    }
    if (rc == PUBSUB_OK) {
        g_registered[g_registered_count++] = (struct registered){whole, given, module};
        *out = whole;
    }
    pthread_mutex_unlock(&g_lock);
    return rc;
}

pubsub_err pubsub_adapter_register(const pubsub_adapter *adapter, pubsub_error *err)
{
    const pubsub_adapter *whole = NULL;
    return register_table(adapter, NULL, false, &whole, err);
}

/* ---- modules ------------------------------------------------------------------------------- */

/* Open a file and register what is in it. `name`: how the adapter must be called, NULL = anything.
 * @locks g_loading held */
static const pubsub_adapter *load_file(const char *path, const char *name, pubsub_error *err)
{
    const struct ours *ours = name == NULL ? NULL : find_ours(name);
    const pubsub_adapter *table = NULL;
    const pubsub_adapter *whole = NULL;
    void *object = NULL;
    pubsub_error inner = PUBSUB_ERROR_INIT;
    if (pubsub__module_open(path, ours == NULL ? NULL : ours->package, &object, &table, err) !=
        PUBSUB_OK) {
        return NULL;
    }
    struct registered before = {NULL, NULL, false};
    for (size_t i = 0; (before = registered_at(i)).table != NULL; i++) {
        if (before.given == table) {
            pubsub__module_close(object); /* counted; the first one stays */
            return before.table;
        }
    }
    pubsub_err rc = check_table(table, &inner);
    if (rc == PUBSUB_OK && name != NULL && strcmp(table->name, name) != 0) {
        rc = pubsub_error_set(&inner, PUBSUB_ENOTFOUND, "it is the adapter '%.40s', not '%.40s'",
                              table->name, name);
    }
    if (rc == PUBSUB_OK) {
        /* Given by its path the module of ours is as good as found. */
        ours = find_ours(table->name);
        rc = register_table(table, ours != NULL && ours->table == NULL ? ours : NULL, true, &whole,
                            &inner);
    }
    if (rc != PUBSUB_OK) {
        pubsub_error_set(err, rc, "%s: %s", path, inner.text);
        pubsub__module_close(object);
        return NULL;
    }
    return whole;
}

pubsub_err pubsub_adapter_load(const char *path, const pubsub_adapter **out, pubsub_error *err)
{
    pubsub_error inner = PUBSUB_ERROR_INIT;
    if (path == NULL || path[0] == '\0') {
        return pubsub_error_set(err, PUBSUB_EINVAL, "no file name");
    }
    pthread_mutex_lock(&g_loading);
    const pubsub_adapter *table = load_file(path, NULL, &inner);
    pthread_mutex_unlock(&g_loading);
    if (out != NULL) {
        *out = table;
    }
    if (table == NULL) {
        return pubsub_error_set(err, inner.code, "%s", inner.text);
    }
    return PUBSUB_OK;
}

/* The adapter NAME from its module, opened now if it was not. NULL with err->code PUBSUB_OK: there is no
 * such file. A failure is not kept: the next call tries again. */
static const pubsub_adapter *load_named(const char *name, char *tried, pubsub_error *err)
{
    char path[PUBSUB__MODULE_PATH];
    const pubsub_adapter *table = NULL;
    pthread_mutex_lock(&g_loading);
    table = registered_by_name(name).table; /* somebody else may have been faster */
    if (table == NULL && pubsub__module_find(name, path, tried)) {
        table = load_file(path, name, err);
    }
    pthread_mutex_unlock(&g_loading);
    return table;
}

/* A scheme of this tree's whose adapter is a module. */
static const pubsub_adapter *load_ours(const struct ours *ours, const char *scheme,
                                       pubsub_error *err)
{
    char tried[PUBSUB__MODULE_PATH] = "";
    pubsub_error inner = PUBSUB_ERROR_INIT;
    const pubsub_adapter *table = load_named(ours->name, tried, &inner);
    if (table == NULL && inner.code == PUBSUB_OK) {
        pubsub_error_set(err, PUBSUB_ENOTBUILT,
                         "'%s:' needs the module %s.so, which is not installed: not in %s nor in "
                         "PUBSUB_ADAPTER_PATH",
                         scheme, ours->name, tried);
    } else if (table == NULL) {
        pubsub_error_set(err, inner.code, "%s", inner.text);
    } else if (!has_scheme(table, scheme)) {
        pubsub_error_set(err, PUBSUB_ENOTFOUND, "the module %s.so has no scheme '%s:'", ours->name,
                         scheme);
        table = NULL;
    }
    return table;
}

/* A scheme that this tree does not know: `nats+tls` may be in nats.so. */
static const pubsub_adapter *load_other(const char *scheme, pubsub_error *err)
{
    char name[40];
    size_t len = strcspn(scheme, "+");
    const pubsub_adapter *table = NULL;
    if (len < sizeof(name)) {
        memcpy(name, scheme, len);
        name[len] = '\0';
        table = load_named(name, NULL, err);
    }
    return table != NULL && has_scheme(table, scheme) ? table : NULL;
}

const pubsub_adapter *pubsub__registry_find(const char *scheme, pubsub_error *err)
{
    const struct known *known = find_known(scheme);
    const struct ours *ours = known == NULL ? NULL : &g_ours[known->ours];
    const pubsub_adapter *adapter = ours == NULL ? NULL : ours->table;
    pubsub_error inner = PUBSUB_ERROR_INIT;
    if (adapter == NULL) {
        adapter = registered_by_scheme(scheme);
    }
    if (adapter != NULL) {
        return adapter;
    }
    if (ours != NULL && ours->rows != NULL) {
        return load_ours(ours, scheme, err);
    }
    adapter = load_other(scheme, &inner);
    if (adapter != NULL) {
        return adapter;
    }
    const char *nearest = nearest_scheme(scheme);
    if (inner.code != PUBSUB_OK) {
        pubsub_error_set(err, inner.code, "%s", inner.text);
    } else if (ours != NULL) {
        pubsub_error_set(err, PUBSUB_ENOTBUILT,
                         "'%s:' is known, but its adapter is not built in; configure with "
                         "-DPUBSUB_ADAPTER_%s=ON",
                         scheme, ours->cmake_name);
    } else {
        pubsub_error_set(err, PUBSUB_ESCHEME, "unknown scheme '%.40s:'%s%s%s", scheme,
                         nearest != NULL ? ", did you mean '" : "", nearest != NULL ? nearest : "",
                         nearest != NULL ? ":'?" : "");
    }
    return NULL;
}

/* ---- lists --------------------------------------------------------------------------------- */

static pubsub_adapter_place place_of(const struct ours *ours)
{
    char path[PUBSUB__MODULE_PATH];
    struct registered found = {NULL, NULL, false};
    if (ours->table != NULL) {
        return PUBSUB_ADAPTER_BUILT_IN;
    }
    found = registered_by_name(ours->name);
    if (found.table != NULL) {
        return found.module ? PUBSUB_ADAPTER_LOADED : PUBSUB_ADAPTER_BUILT_IN;
    }
    if (ours->rows == NULL) {
        return PUBSUB_ADAPTER_NOT_BUILT;
    }
    return pubsub__module_find(ours->name, path, NULL) ? PUBSUB_ADAPTER_MODULE
                                                       : PUBSUB_ADAPTER_MISSING;
}

const char *pubsub_adapter_place_name(pubsub_adapter_place place)
{
    static const char *const names[] = {"not built", "built in", "module", "module, not loaded",
                                        "module, not found"};
    return (unsigned)place < sizeof(names) / sizeof(names[0]) ? names[place] : "?";
}

bool pubsub_scheme_at(size_t index, pubsub_scheme *out)
{
    if (out == NULL) {
        return false;
    }
    if (index < KNOWN) {
        const struct ours *ours = &g_ours[g_known[index].ours];
        out->scheme = g_known[index].scheme;
        out->adapter = ours->name;
        out->place = place_of(ours);
        out->built = out->place != PUBSUB_ADAPTER_NOT_BUILT && out->place != PUBSUB_ADAPTER_MISSING;
        out->summary = g_known[index].summary;
        return true;
    }
    index -= KNOWN;
    struct registered found = {NULL, NULL, false};
    for (size_t i = 0; (found = registered_at(i)).table != NULL; i++) {
        const pubsub_adapter *adapter = found.table;
        for (size_t k = 0; adapter->schemes[k] != NULL; k++) {
            if (find_known(adapter->schemes[k]) != NULL || index-- > 0) {
                continue; /* in the list above */
            }
            out->scheme = adapter->schemes[k];
            out->adapter = adapter->name;
            out->built = true;
            out->summary = adapter->summary;
            out->place = found.module ? PUBSUB_ADAPTER_LOADED : PUBSUB_ADAPTER_BUILT_IN;
            return true;
        }
    }
    return false;
}

/* ---- what the option table asks ---- */

const pubsub_option_row *pubsub__registry_option_rows(const char *adapter, bool *known)
{
    const struct ours *ours = find_ours(adapter);
    *known = true;
    if (ours != NULL && ours->rows != NULL) {
        return ours->rows;
    }
    if (ours != NULL && ours->table != NULL) {
        return ours->table->options;
    }
    pubsub_error inner = PUBSUB_ERROR_INIT;
    const pubsub_adapter *table = registered_by_name(adapter).table;
    if (table == NULL) {
        table = load_named(adapter, NULL, &inner);
    }
    /* One that is there and cannot be opened is known: its scheme will say why. */
    *known = ours != NULL || table != NULL || inner.code != PUBSUB_OK;
    return table != NULL ? table->options : NULL;
}

const char *pubsub__registry_adapter_name(size_t index)
{
    if (index < OURS) {
        return g_ours[index].name;
    }
    index -= OURS;
    const pubsub_adapter *adapter = NULL;
    for (size_t i = 0; (adapter = registered_at(i).table) != NULL; i++) {
        if (find_ours(adapter->name) == NULL && index-- == 0) {
            return adapter->name;
        }
    }
    return NULL;
}

#ifdef PUBSUB_MODULE_DIR

pubsub_err pubsub__module_check(const pubsub_option_row *row, const char *name, const char *value,
                                pubsub_error *err)
{
    const pubsub_adapter *table = load_named(row->adapter, NULL, NULL);
    const pubsub_option_row *rows = table == NULL ? NULL : table->options;
    for (; rows != NULL && rows->name != NULL; rows++) {
        if (strcmp(rows->name, row->name) == 0) {
            return rows->check == NULL ? PUBSUB_OK : rows->check(rows, name, value, err);
        }
    }
    return PUBSUB_OK;
}

#endif
