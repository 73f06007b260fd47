/* SPDX-License-Identifier: MIT */
/* Connecting, and what the server says to it. */
#include "mqtt/paho_internal.h"

#include "base/alloc.h"
#include "base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define NS_IN_MS 1000000u

/* ---- handles ------------------------------------------------------------------------------- */

/* What the library holds of publishes is of two parts: those it wrote, which it gives up when the server
 * has no session any more, and those it did not get to, which it sends whatever became of the others, and
 * so before them. The core alone has both in order, so none may stay behind in a handle; but the half
 * of an exchange of qos 2 is in there too, and without it messages are lost or doubled. */
static bool is_worth_keeping(const mqtt_engine *engine)
{
    return engine->in_flight == 0 || engine->twos_due > 0 || engine->takes_twos;
}

/* Whether the handle there is can make this attempt. */
static bool serves(mqtt_engine *engine, const mqtt_target *target)
{
    const paho_link *link = engine->link;

    if (link == NULL || !is_worth_keeping(engine)) {
        return false;
    }
    pthread_mutex_lock(&engine->lock);
    bool free_to_go = !link->busy && !link->poisoned;
    pthread_mutex_unlock(&engine->lock);
    return free_to_go && link->version == target->version && link->tls == target->tls &&
           link->websocket == target->websocket && strcmp(link->client_id, target->client_id) == 0;
}

static void make_uri(const mqtt_target *target, char *out, size_t size)
{
    static const char *const schemes[2][2] = {{"tcp", "ssl"}, {"ws", "wss"}};
    bool bare_v6 = strchr(target->host, ':') != NULL && target->host[0] != '[';

    snprintf(out, size, "%s://%s%s%s:%u%s", schemes[target->websocket][target->tls],
             bare_v6 ? "[" : "", target->host, bare_v6 ? "]" : "", (unsigned)target->port,
             target->websocket && target->path != NULL ? target->path : "");
}

static pubsub_err make_link(mqtt_engine *engine, const mqtt_target *target, const char *uri,
                            pubsub_error *err)
{
    paho_link *link = pubsub__calloc(1, sizeof(*link));

    if (link == NULL) {
        return pubsub_error_set(err, PUBSUB_ENOMEM, "out of memory");
    }
    engine->link = link;
    link->engine = engine;
    link->version = target->version;
    link->tls = target->tls;
    link->websocket = target->websocket;
    link->client_id = pubsub__strdup(target->client_id);
    if (link->client_id == NULL) {
        pubsub__paho_destroy(engine);
        return pubsub_error_set(err, PUBSUB_ENOMEM, "out of memory");
    }
    int rc = pubsub__paho_create(&link->handle, uri, target->client_id, target->version);
    if (rc != MQTTASYNC_SUCCESS ||
        MQTTAsync_setCallbacks(link->handle, link, pubsub__paho_lost, pubsub__paho_arrived, NULL) !=
            MQTTASYNC_SUCCESS ||
        MQTTAsync_setDisconnected(link->handle, link, pubsub__paho_disconnected) !=
            MQTTASYNC_SUCCESS) {
        pubsub__paho_destroy(engine);
        return pubsub_error_set(err, PUBSUB_EINTERNAL, "the MQTT library refuses a client: %d", rc);
    }
    return PUBSUB_OK;
}

/* ---- CONNACK, on the library's thread ------------------------------------------------------- */

static void read_connack(mqtt_connack *connack, MQTTProperties *properties)
{
    for (int i = 0; i < properties->count; i++) {
        const MQTTProperty *property = &properties->array[i];
        switch (property->identifier) {
        case MQTTPROPERTY_CODE_RECEIVE_MAXIMUM:
            connack->receive_maximum = property->value.integer2;
            break;
        case MQTTPROPERTY_CODE_MAXIMUM_QOS:
            connack->maximum_qos = property->value.byte;
            break;
        case MQTTPROPERTY_CODE_RETAIN_AVAILABLE:
            connack->retain_available = property->value.byte != 0;
            break;
        case MQTTPROPERTY_CODE_WILDCARD_SUBSCRIPTION_AVAILABLE:
            connack->wildcards_available = property->value.byte != 0;
            break;
        case MQTTPROPERTY_CODE_SUBSCRIPTION_IDENTIFIERS_AVAILABLE:
            connack->ids_available = property->value.byte != 0;
            break;
        case MQTTPROPERTY_CODE_SHARED_SUBSCRIPTION_AVAILABLE:
            connack->shared_available = property->value.byte != 0;
            break;
        case MQTTPROPERTY_CODE_MAXIMUM_PACKET_SIZE:
            connack->maximum_packet = property->value.integer4;
            break;
        case MQTTPROPERTY_CODE_SERVER_KEEP_ALIVE:
            connack->keep_alive_s = property->value.integer2;
            break;
        case MQTTPROPERTY_CODE_ASSIGNED_CLIENT_IDENTIFER:
            snprintf(connack->client_id, sizeof(connack->client_id), "%.*s",
                     property->value.data.len, property->value.data.data);
            break;
        default:
            break;
        }
    }
}

static void push_connected(paho_link *link, bool session_present, MQTTProperties *properties)
{
    mqtt_engine *engine = link->engine;
    paho_connected *node;

    pthread_mutex_lock(&engine->lock);
    bool dying = link->dying;
    pthread_mutex_unlock(&engine->lock);
    (void)pubsub__paho_heard();
    pubsub__paho_unlisten(link);
    pubsub__paho_settled();
    if (dying || (node = pubsub__calloc(1, sizeof(*node))) == NULL) {
        return;
    }
    node->node.kind = PAHO_CONNECTED;
    node->node.attempt = link->attempt;
    node->connack = (mqtt_connack){.version = link->version,
                                   .session_present = session_present,
                                   .receive_maximum = 65535,
                                   .maximum_qos = 2,
                                   .retain_available = true,
                                   .wildcards_available = true,
                                   .ids_available = link->version == MQTT_V5,
                                   .shared_available = true,
                                   .maximum_packet = UINT32_MAX,
                                   .keep_alive_s = link->keep_alive_s};
    if (properties != NULL) {
        read_connack(&node->connack, properties);
    }
    pubsub__paho_push(engine, &node->node);
}

static void on_connected3(void *context, MQTTAsync_successData *data)
{
    push_connected(context, data->alt.connect.sessionPresent != 0, NULL);
}

static void on_connected5(void *context, MQTTAsync_successData5 *data)
{
    push_connected(context, data->alt.connect.sessionPresent != 0, &data->properties);
}

/* ---- an attempt ---------------------------------------------------------------------------- */

typedef struct attempt {
    MQTTAsync_connectOptions options;
    MQTTAsync_SSLOptions tls;
    MQTTAsync_willOptions will;
    MQTTProperties properties;
    MQTTProperty property[2];
    char uri[640];
    char *uris[1];
} attempt;

static void set_tls(attempt *a, const mqtt_target *target, paho_link *link)
{
    MQTTAsync_SSLOptions tls = MQTTAsync_SSLOptions_initializer;
    struct stat found;

    tls.enableServerCertAuth = target->tls_verify;
    tls.verify = target->tls_verify;
    tls.keyStore = target->tls_cert;
    tls.privateKey = target->tls_key;
    if (target->tls_ca != NULL) {
        bool directory = stat(target->tls_ca, &found) == 0 && S_ISDIR(found.st_mode);
        *(directory ? &tls.CApath : &tls.trustStore) = target->tls_ca;
        tls.disableDefaultTrustStore = 1;
    }
    tls.ssl_error_cb = pubsub__paho_tls_error;
    tls.ssl_error_context = link;
    a->tls = tls;
    a->options.ssl = &a->tls;
}

static void set_version5(attempt *a, const mqtt_target *target)
{
    a->options.cleansession = 0;
    a->options.cleanstart = target->clean;
    a->options.onSuccess5 = on_connected5;
    a->options.onFailure5 = pubsub__paho_failed5;
    /* Always said: the library takes what was said last for what holds. */
    a->property[0].identifier = MQTTPROPERTY_CODE_SESSION_EXPIRY_INTERVAL;
    a->property[0].value.integer4 = target->session_expiry_s;
    a->properties.count = 1;
    if (target->receive_maximum > 0) {
        a->property[1].identifier = MQTTPROPERTY_CODE_RECEIVE_MAXIMUM;
        a->property[1].value.integer2 = target->receive_maximum;
        a->properties.count = 2;
    }
    a->properties.max_count = 2;
    a->properties.array = a->property;
    a->options.connectProperties = &a->properties;
}

static void set_will(attempt *a, const mqtt_target *target)
{
    MQTTAsync_willOptions will = MQTTAsync_willOptions_initializer;

    will.topicName = target->will_topic;
    will.payload.len = (int)target->will_payload.len;
    will.payload.data = target->will_payload.data;
    will.qos = target->will_qos;
    will.retained = target->will_retain;
    a->will = will;
    a->options.will = &a->will;
}

static int seconds(pubsub_duration_ms ms)
{
    return ms < 0 || ms > 2000000000 ? 2000000 : (int)((ms + 999) / 1000);
}

static int begin_attempt(paho_link *link, const mqtt_target *target)
{
    MQTTAsync_connectOptions options = MQTTAsync_connectOptions_initializer;
    attempt a;
    paho_mask mask;

    memset(&a, 0, sizeof(a));
    a.options = options;
    make_uri(target, a.uri, sizeof(a.uri));
    a.uris[0] = a.uri;
    a.options.serverURIcount = 1;
    a.options.serverURIs = a.uris;
    a.options.MQTTVersion = target->version;
    a.options.keepAliveInterval = target->keep_alive_s;
    a.options.username = target->user;
    a.options.password = target->password;
    a.options.connectTimeout = seconds(target->timeout);
    a.options.context = link;
    if (target->version == MQTT_V5) {
        set_version5(&a, target);
    } else {
        a.options.cleansession = target->clean;
        a.options.onSuccess = on_connected3;
        a.options.onFailure = pubsub__paho_failed3;
    }
    if (target->tls) {
        set_tls(&a, target, link);
    }
    if (target->will_topic != NULL) {
        set_will(&a, target);
    }
    pubsub__paho_mask(&mask);
    int rc = MQTTAsync_connect(link->handle, &a.options);
    pubsub__paho_unmask(&mask);
    return rc;
}

static pubsub_err check_file(const char *option, const char *path, pubsub_error *err)
{
    return path == NULL || access(path, R_OK) == 0
               ? PUBSUB_OK
               : pubsub_error_set_errno(err, PUBSUB_EOPTION, errno,
                                        "option '%s': cannot read '%.120s'", option, path);
}

static pubsub_err check(const mqtt_engine *engine, const mqtt_target *target, pubsub_error *err)
{
    if (engine->state != PAHO_IDLE) {
        return pubsub_error_set(err, PUBSUB_ESTATE, "already connected or connecting");
    }
    if (target->tls && target->tls_verify && target->tls_server_name != NULL &&
        strcmp(target->tls_server_name, target->host) != 0) {
        return pubsub_error_set(err, PUBSUB_ENOTSUP,
                                "the MQTT library verifies only the name it connects to: "
                                "tls_server_name must be %s or not given",
                                target->host);
    }
    pubsub_err code = check_file("tls_ca", target->tls_ca, err);
    if (code == PUBSUB_OK) {
        code = check_file("tls_cert", target->tls_cert, err);
    }
    return code == PUBSUB_OK ? check_file("tls_key", target->tls_key, err) : code;
}

/* Begin on the handle there is. Returns what the library says. */
static int begin(mqtt_engine *engine, const mqtt_target *target)
{
    paho_link *link = engine->link;

    link->attempt = engine->attempt;
    link->keep_alive_s = target->keep_alive_s;
    link->tls_text[0] = '\0';
    snprintf(link->host, sizeof(link->host), "%s:%u", target->host, (unsigned)target->port);
    link->session = !target->clean || (target->version == MQTT_V5 && target->session_expiry_s > 0);
    link->own_ca = target->tls_ca != NULL;
    link->own_certificate = target->tls_cert != NULL;
    pthread_mutex_lock(&engine->lock);
    link->busy = true;
    link->leaving = false;
    pthread_mutex_unlock(&engine->lock);
    pubsub__paho_listen(link);
    return begin_attempt(link, target);
}

/* After a write failed, the library may have told of the lost connection and still have to close it; until
 * then it ignores a connect. That is soon, and keeping its half of the session is worth a millisecond. */
static int begin_soon(mqtt_engine *engine, const mqtt_target *target)
{
    static const struct timespec a_moment = {0, 100000};
    int rc = begin(engine, target);

    for (int i = 0; i < 10 && rc == MQTTASYNC_COMMAND_IGNORED; i++) {
        nanosleep(&a_moment, NULL);
        rc = begin(engine, target);
    }
    return rc;
}

pubsub_err pubsub__paho_connect(mqtt_engine *engine, const mqtt_target *target, pubsub_error *err)
{
    char uri[640];
    pubsub_err code = check(engine, target, err);
    int rc = MQTTASYNC_COMMAND_IGNORED;

    if (code != PUBSUB_OK) {
        return code;
    }
    if (!pubsub__paho_begin(&engine->host)) {
        return pubsub_error_set(err, PUBSUB_ESTATE,
                                "MQTT cannot be used in a child process of one that used it; "
                                "connect after exec");
    }
    engine->attempt++;
    if (serves(engine, target)) {
        rc = begin_soon(engine, target);
    }
    if (rc == MQTTASYNC_COMMAND_IGNORED) {
        make_uri(target, uri, sizeof(uri));
        pubsub__paho_destroy(engine);
        code = make_link(engine, target, uri, err);
        if (code != PUBSUB_OK) {
            return code;
        }
        rc = begin(engine, target);
    }
    if (rc != MQTTASYNC_SUCCESS) {
        pubsub__paho_destroy(engine);
        return pubsub_error_set(err, rc == MQTTASYNC_BAD_UTF8_STRING ? PUBSUB_EUTF8 : PUBSUB_EINVAL,
                                "the MQTT library refuses to connect: %s", MQTTAsync_strerror(rc));
    }
    engine->state = PAHO_CONNECTING;
    engine->deadline_ns =
        target->timeout < 0 ? 0 : pubsub__clock_mono_ns() + (uint64_t)target->timeout * NS_IN_MS;
    pubsub__paho_kick();
    return PUBSUB_OK;
}
