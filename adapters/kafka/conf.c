/* SPDX-License-Identifier: MIT */
#include "kafka/adapter.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/nearest.h"

#include <stdio.h>
#include <string.h>

/* librdkafka's configuration from URL and options. */

enum { PORT = 9092, HOSTS_MAX = 16 * 1024, WHY_SIZE = 160 };
/* librdkafka's own patience with a request, and with one that is answered by a broker's disk; the least it takes with
 * a consumer that waits half a second for messages. */
enum { DEAD_MS = 60000, ANSWER_MS = 30000, DEAD_LEAST_MS = 2000 };

#define PREFIX "kafka."
/* Of the table of all settings: in librdkafka 2.0.2 it has 56 KB. */
#define TABLE_SIZE ((size_t)512 * 1024)

/* ---- settings that are not the user's ----------------------------------------------------------- */

static const struct owned {
    const char *name;
    const char *why;
} g_owned[] = {
    {"bootstrap.servers", "the hosts are those of the URL"},
    {"metadata.broker.list", "the hosts are those of the URL"},
    {"security.protocol", "the scheme or option tls says whether TLS is used, a user that SASL is"},
    {"sasl.username", "give it in the URL or as option user"},
    {"sasl.password", "give it in the URL or as option password"},
    {"ssl.ca.location", "give it as option tls_ca"},
    {"ssl.certificate.location", "give it as option tls_cert"},
    {"ssl.key.location", "give it as option tls_key"},
    {"enable.ssl.certificate.verification", "use option tls_verify"},
    {"ssl.endpoint.identification.algorithm", "use option tls_verify"},
    {"client.id", "give it as option client_id"},
    {"group.id", "give it as option group or durable"},
    {"group.instance.id", "it is made from option durable"},
    {"auto.offset.reset", "use option from"},
    {"enable.auto.commit", "a message is committed when its handler succeeded"},
    {"auto.commit.enable", "a message is committed when its handler succeeded"},
    {"enable.auto.offset.store", "a message is committed when its handler succeeded"},
    {"auto.commit.interval.ms", "a message is committed when its handler succeeded"},
    {"enable.partition.eof", "nothing is told of it"},
    {"partition.assignment.strategy", "it is range, others lose messages in this version"},
    {"allow.auto.create.topics", "use option kafka.create"},
    {"transactional.id", "there are no transactions"},
    {"plugin.library.paths", "no code is loaded for a setting"},
    {"log.queue", "the log is that of this library"},
    {"log_level", "the log is that of this library"},
    {"enabled_events", "it is set by this library"},
    {"opaque", "it is set by this library"},
    {"default_topic_conf", "its settings can be given one by one"},
    {"topic.blacklist", "patterns say what is subscribed to"},
};

static const char *owned(const char *name)
{
    for (size_t i = 0; i < sizeof(g_owned) / sizeof(g_owned[0]); i++) {
        if (strcmp(g_owned[i].name, name) == 0) {
            return g_owned[i].why;
        }
    }
    size_t len = strlen(name);
    return len > 3 && strcmp(name + len - 3, "_cb") == 0 ? "it is a function" : NULL;
}

/* ---- the "*" row --------------------------------------------------------------------------------- */

/* The library prints its settings as a table whose first column are the names. */
static pubsub_err unknown(const char *name, const char *bare, pubsub_error *err)
{
    char *table = pubsub__calloc(1, TABLE_SIZE);
    FILE *out = table == NULL ? NULL : fmemopen(table, TABLE_SIZE - 1, "w");
    pubsub__nearest nearest;
    pubsub__nearest_init(&nearest, bare);
    if (out != NULL) {
        rd_kafka_conf_properties_show(out);
        (void)fclose(out);
    }
    for (char *line = table; line != NULL && *line != '\0';) {
        char *next = strchr(line, '\n');
        line[strcspn(line, " |\n")] = '\0';
        if (line[0] >= 'a' && line[0] <= 'z' && owned(line) == NULL) {
            pubsub__nearest_offer(&nearest, line);
        }
        line = next == NULL ? NULL : next + 1;
    }
    for (const pubsub_option_row *row = pubsub__kafka_option_rows; row->name != NULL; row++) {
        if (strcmp(row->name, "*") != 0) {
            pubsub__nearest_offer(&nearest, row->name);
        }
    }
    const char *best = pubsub__nearest_result(&nearest);
    pubsub_err rc = pubsub_error_set(err, PUBSUB_EOPTION,
                                     "unknown option '%.64s': librdkafka has no such setting%s%s%s",
                                     name, best == NULL ? "" : ", did you mean '" PREFIX,
                                     best == NULL ? "" : best, best == NULL ? "" : "'?");
    pubsub__free(table);
    return rc;
}

pubsub_err pubsub__kafka_check_setting(const pubsub_option_row *row, const char *name,
                                       const char *value, pubsub_error *err)
{
    const char *bare =
        strncmp(name, PREFIX, sizeof(PREFIX) - 1) == 0 ? name + sizeof(PREFIX) - 1 : name;
    const char *why = owned(bare);
    char text[WHY_SIZE] = "";
    (void)row;
    if (why != NULL) {
        return pubsub_error_set(err, PUBSUB_EOPTION, "'%s' cannot be set: %s", name, why);
    }
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_res_t rc = rd_kafka_conf_set(conf, bare, value, text, sizeof(text));
    rd_kafka_conf_destroy(conf);
    if (rc == RD_KAFKA_CONF_UNKNOWN) {
        return unknown(name, bare, err);
    }
    if (rc != RD_KAFKA_CONF_OK) {
        return pubsub_error_set(err, PUBSUB_EOPTION, "option '%s': %s", name, text);
    }
    return PUBSUB_OK;
}

/* ---- a configuration ------------------------------------------------------------------------------ */

typedef struct maker {
    rd_kafka_conf_t *conf;
    const pubsub_options *options;
    pubsub_error *err;
    bool failed;
} maker;

static void set(maker *to, const char *name, const char *value)
{
    char text[WHY_SIZE] = "";
    if (!to->failed && value != NULL &&
        rd_kafka_conf_set(to->conf, name, value, text, sizeof(text)) != RD_KAFKA_CONF_OK) {
        pubsub_error_set(to->err, PUBSUB_EOPTION, "librdkafka refuses %s: %s", name, text);
        to->failed = true;
    }
}

static void set_int(maker *to, const char *name, int64_t value)
{
    char text[24];
    (void)snprintf(text, sizeof(text), "%lld", (long long)value);
    set(to, name, text);
}

static bool flag(const maker *to, const char *name)
{
    bool value = false;
    (void)pubsub_options_bool(to->options, name, &value);
    return value;
}

static int64_t number(const maker *to, const char *name, int64_t least, int64_t most)
{
    int64_t value = 0;
    (void)pubsub_options_int(to->options, name, &value);
    value = value < least ? least : value;
    return value > most ? most : value;
}

static void add_host(pubsub__buf *text, const char *host, unsigned port)
{
    bool six = strchr(host, ':') != NULL;
    (void)pubsub__buf_printf(text, "%s%s%s%s:%u", text->len > 0 ? "," : "", six ? "[" : "", host,
                             six ? "]" : "", port);
}

static void set_hosts(maker *to, const pubsub_url *url)
{
    pubsub__buf text;
    size_t count = pubsub_url_host_count(url);
    int64_t port = number(to, "port", 0, UINT16_MAX);
    pubsub__buf_init(&text, HOSTS_MAX);
    for (size_t i = 0; count > 1 && i < count; i++) {
        uint16_t own = 0;
        const char *host = pubsub_url_host(url, i, &own);
        add_host(&text, host, own != 0 ? own : port != 0 ? (unsigned)port : PORT);
    }
    if (count <= 1) {
        const char *host = pubsub_options_get(to->options, "host");
        add_host(&text, host != NULL ? host : "localhost", port != 0 ? (unsigned)port : PORT);
    }
    set(to, "bootstrap.servers", pubsub__buf_text(&text));
    pubsub__buf_fini(&text);
}

static void set_security(maker *to)
{
    bool tls = flag(to, "tls");
    const char *user = pubsub_options_get(to->options, "user");
    bool sasl = user != NULL || pubsub_options_is_set(to->options, PREFIX "sasl.mechanism") ||
                pubsub_options_is_set(to->options, PREFIX "sasl.mechanisms");
    set(to, "security.protocol",
        sasl ? (tls ? "sasl_ssl" : "sasl_plaintext") : (tls ? "ssl" : "plaintext"));
    if (sasl) {
        set(to, "sasl.mechanism", "PLAIN"); /* unless the user's setting says another one */
        set(to, "sasl.username", user);
        set(to, "sasl.password", pubsub_options_get(to->options, "password"));
    }
    if (tls) {
        set(to, "ssl.ca.location", pubsub_options_get(to->options, "tls_ca"));
        set(to, "ssl.certificate.location", pubsub_options_get(to->options, "tls_cert"));
        set(to, "ssl.key.location", pubsub_options_get(to->options, "tls_key"));
        bool verify = flag(to, "tls_verify");
        set(to, "enable.ssl.certificate.verification", verify ? "true" : "false");
        set(to, "ssl.endpoint.identification.algorithm", verify ? "https" : "none");
    }
}

static void set_common(maker *to)
{
    set(to, "client.id", pubsub_options_get(to->options, "client_id"));
    set(to, "socket.nagle.disable", "true");
    set(to, "socket.keepalive.enable", "true");
    set(to, "log.connection.close", "false");
    set(to, "allow.auto.create.topics", "false");
    set_int(to, "socket.connection.setup.timeout.ms",
            number(to, "connect_timeout", 1000, INT32_MAX));
    int64_t alive = number(to, PREFIX "keep_alive", 0, DEAD_MS);
    if (alive > 0) { /* a request without an answer for so long ends its connection */
        int64_t dead = alive * 2 < DEAD_LEAST_MS ? DEAD_LEAST_MS : alive * 2;
        set_int(to, "socket.timeout.ms", dead < DEAD_MS ? dead : DEAD_MS);
    }
    int64_t most = number(to, "reconnect_max", 1, INT64_C(3600) * 1000);
    set_int(to, "reconnect.backoff.max.ms", most);
    set_int(to, "reconnect.backoff.ms", number(to, "reconnect_min", 1, most));
}

/* At most so long does the library keep a message that cannot be sent; 0 = as long as it takes. The core
 * would only send again what is given up here. */
static void set_producer(maker *to, uint32_t batch_size)
{
    if (batch_size > 0) {
        set_int(to, "batch.size", batch_size);
    }
    set(to, "partitioner", "murmur2_random");
    set(to, "linger.ms", "0");
    int64_t alive = number(to, PREFIX "keep_alive", 0, DEAD_MS);
    if (alive > 0 && alive * 2 < ANSWER_MS) {
        set_int(to, "request.timeout.ms", alive * 2 < DEAD_LEAST_MS ? DEAD_LEAST_MS : alive * 2);
    }
    set_int(to, "message.timeout.ms", number(to, "publish_timeout", 0, INT32_MAX));
    const char *acks = pubsub_options_get(to->options, PREFIX "acks");
    acks = acks != NULL ? acks : pubsub_options_get(to->options, PREFIX "request.required.acks");
    bool all = acks == NULL || strcmp(acks, "all") == 0 || strcmp(acks, "-1") == 0;
    set(to, "acks", "all");
    if (all) {
        set(to, "enable.idempotence", "true");
    } else { /* one request at a time keeps the order where the library does not */
        set(to, "enable.idempotence", "false");
        set(to, "max.in.flight.requests.per.connection", "1");
    }
}

/* What the user asked for by its own name. */
static void set_native(maker *to)
{
    for (size_t i = 0; i < pubsub_options_count(to->options); i++) {
        const char *value = NULL;
        const char *name = pubsub_options_at(to->options, i, &value, NULL);
        const char *bare = name + sizeof(PREFIX) - 1;
        if (strncmp(name, PREFIX, sizeof(PREFIX) - 1) == 0 && !pubsub__kafka_own_option(bare)) {
            set(to, bare, value);
        }
    }
}

/* Thread: any of the library's. Lost connections are told as such, so here they are for those who look closer. */
static void log_line(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
    const kaf_self *self = rd_kafka_opaque(rk);
    pubsub_log_level as = level <= 3   ? PUBSUB_LOG_WARN
                          : level == 4 ? PUBSUB_LOG_INFO
                                       : PUBSUB_LOG_DEBUG;
    if (strcmp(facility, "FAIL") == 0 || strcmp(facility, "ERROR") == 0) {
        as = PUBSUB_LOG_INFO;
    }
    if (strcmp(facility, "CONFWARN") == 0 || strcmp(facility, "FATAL") == 0 ||
        strcmp(facility, "GETPID") == 0) { /* told where it matters */
        as = PUBSUB_LOG_DEBUG;
    }
    pubsub_sink_log(self->sink, as, "%s: %s: %s", rd_kafka_name(rk), facility, text);
}

rd_kafka_conf_t *pubsub__kafka_conf(const kaf_self *self, const pubsub_options *options,
                                    rd_kafka_type_t type, pubsub_error *err)
{
    maker to = {rd_kafka_conf_new(), options, err, false};
    set_hosts(&to, self->config->url);
    set_security(&to);
    set_common(&to);
    if (type == RD_KAFKA_PRODUCER) {
        set_producer(&to, self->batch_size);
    }
    set_native(&to);
    if (to.failed) {
        rd_kafka_conf_destroy(to.conf);
        return NULL;
    }
    rd_kafka_conf_set_opaque(to.conf, (void *)(uintptr_t)self);
    rd_kafka_conf_set_log_cb(to.conf, log_line);
    return to.conf;
}

pubsub_err pubsub__kafka_conf_check(const pubsub_adapter_config *config, pubsub_error *err)
{
    if (pubsub_options_get(config->options, "socket") != NULL) {
        return pubsub_error_set(err, PUBSUB_EOPTION, "librdkafka has no Unix sockets; give a host");
    }
    if (pubsub_options_get(config->options, "tls_server_name") != NULL) {
        return pubsub_error_set(err, PUBSUB_EOPTION,
                                "librdkafka compares a certificate with the host's name only; "
                                "remove tls_server_name");
    }
    const char *path = pubsub_url_path(config->url);
    if (path[0] != '\0' && strcmp(path, "/") != 0) {
        return pubsub_error_set(err, PUBSUB_EURL,
                                "a kafka URL has no path, '%.60s' means nothing; a topic for "
                                "everything is given as ?topic=NAME",
                                path);
    }
    return PUBSUB_OK;
}
