/* SPDX-License-Identifier: MIT */
#include "mqtt/adapter.h"
#include "mqtt/map.h"

#include <string.h>

/* Where to connect, and with what. */

enum { PORT = 1883, PORT_TLS = 8883, PORT_WS = 80, PORT_WSS = 443 };

static bool is_websocket(const pubsub_adapter_config *config)
{
    return strncmp(pubsub_url_scheme(config->url), "ws", 2) == 0;
}

static bool flag(const pubsub_options *options, const char *name)
{
    bool value = false;
    (void)pubsub_options_bool(options, name, &value);
    return value;
}

uint32_t pubsub__mqtt_seconds(const pubsub_options *options, const char *name)
{
    int64_t ms = 0;
    (void)pubsub_options_int(options, name, &ms);
    uint64_t s = ms < 0 ? UINT64_MAX : ((uint64_t)ms + 999) / 1000;
    return s >= MQTT_EXPIRY_NONE ? MQTT_EXPIRY_NONE : (uint32_t)s;
}

size_t pubsub__mqtt_host_count(const pubsub_adapter_config *config)
{
    size_t count = pubsub_url_host_count(config->url);
    return count == 0 ? 1 : count;
}

static void choose_host(const pubsub_adapter_config *config, size_t host, mqtt_target *out)
{
    static const uint16_t ports[] = {PORT, PORT_TLS, PORT_WS, PORT_WSS};
    int64_t port = 0;
    if (pubsub_url_host_count(config->url) > 1) {
        out->host = pubsub_url_host(config->url, host, &out->port);
    } else { /* the option has what the URL says */
        out->host = pubsub_options_get(config->options, "host");
    }
    if (out->host == NULL) {
        out->host = "localhost";
    }
    if (out->port == 0 && pubsub_options_int(config->options, "port", &port) == PUBSUB_OK) {
        out->port = (uint16_t)port;
    }
    if (out->port == 0) {
        out->port = ports[(out->websocket ? 2 : 0) + (out->tls ? 1 : 0)];
    }
}

static void choose_will(const pubsub_options *options, mqtt_target *out)
{
    int64_t qos = 0;
    out->will_topic = pubsub_options_get(options, "mqtt.will_topic");
    if (out->will_topic == NULL) {
        return;
    }
    out->will_payload = pubsub_bytes_of(pubsub_options_get(options, "mqtt.will_payload"));
    (void)pubsub_options_int(options, "mqtt.will_qos", &qos);
    out->will_qos = (uint8_t)qos;
    out->will_retain = flag(options, "mqtt.will_retain");
}

void pubsub__mqtt_target(const mqtt_self *self, size_t host, mqtt_target *out)
{
    const pubsub_adapter_config *config = self->config;
    const pubsub_options *options = config->options;
    int64_t timeout = 0;
    memset(out, 0, sizeof(*out));
    out->websocket = is_websocket(config);
    out->path = pubsub_url_path(config->url);
    if (out->path[0] == '\0') {
        out->path = "/mqtt";
    }
    out->tls = flag(options, "tls");
    out->tls_ca = pubsub_options_get(options, "tls_ca");
    out->tls_cert = pubsub_options_get(options, "tls_cert");
    out->tls_key = pubsub_options_get(options, "tls_key");
    out->tls_server_name = pubsub_options_get(options, "tls_server_name");
    out->tls_verify = flag(options, "tls_verify");
    out->user = pubsub_options_get(options, "user");
    out->password = pubsub_options_get(options, "password");
    (void)pubsub_options_int(options, "connect_timeout", &timeout);
    out->timeout = timeout;
    out->keep_alive_s = self->keep_alive_s;
    choose_host(config, host, out);
}

/* A will is the main connection's only: others come and go. */
void pubsub__mqtt_target_will(const mqtt_self *self, mqtt_target *out)
{
    choose_will(self->config->options, out);
}

static pubsub_err check_text(const pubsub_options *options, const char *name, pubsub_error *err)
{
    const char *text = pubsub_options_get(options, name);
    if (text != NULL && !pubsub__mqtt_is_text(pubsub_bytes_of(text))) {
        return pubsub_error_set(err, PUBSUB_EOPTION,
                                "%s has control or non-characters, which MQTT does not allow",
                                name);
    }
    return PUBSUB_OK;
}

pubsub_err pubsub__mqtt_target_check(const pubsub_adapter_config *config, pubsub_error *err)
{
    const pubsub_options *options = config->options;
    if (pubsub_options_get(options, "socket") != NULL) {
        return pubsub_error_set(err, PUBSUB_EOPTION,
                                "this MQTT engine (Paho) has no Unix sockets; remove the option "
                                "socket and give a host");
    }
    if (!is_websocket(config) && pubsub_url_path(config->url)[0] != '\0' &&
        strcmp(pubsub_url_path(config->url), "/") != 0) {
        return pubsub_error_set(err, PUBSUB_EURL,
                                "an mqtt URL has no path, '%.60s' means nothing; topics are not "
                                "part of the URL",
                                pubsub_url_path(config->url));
    }
    pubsub_err rc = check_text(options, "client_id", err);
    rc = rc == PUBSUB_OK ? check_text(options, "user", err) : rc;
    const char *will = pubsub_options_get(options, "mqtt.will_topic");
    if (rc == PUBSUB_OK && will != NULL) {
        rc = pubsub_topic_check(will, strlen(will), err);
        rc = rc == PUBSUB_OK ? pubsub__mqtt_topic_check(pubsub_bytes_of(will), "will topic", err)
                             : rc;
    }
    return rc;
}
