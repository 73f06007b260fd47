/* SPDX-License-Identifier: MIT */
#include "transport/target.h"

#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#define DEFAULT_HOST "localhost"

static const char *socket_option(const pubsub_adapter_config *config)
{
    return pubsub_options_get(config->options, "socket");
}

size_t pubsub__target_count(const pubsub_adapter_config *config)
{
    size_t hosts = pubsub_url_host_count(config->url);
    return hosts == 0 || socket_option(config) != NULL ? 1 : hosts;
}

/* The option `host` already has what a URL with a single host says. */
static const char *only_host(const pubsub_adapter_config *config)
{
    const char *host = pubsub_options_get(config->options, "host");
    return host == NULL ? DEFAULT_HOST : host;
}

pubsub__target pubsub__target_at(const pubsub_adapter_config *config, size_t index,
                                 uint16_t default_port)
{
    pubsub__target target = {NULL, 0, false, NULL};
    int64_t port = 0;
    if (pubsub_url_host_count(config->url) > 1) {
        target.host = pubsub_url_host(config->url, index, &target.port);
    } else {
        target.host = only_host(config);
    }
    if (target.port == 0) {
        bool set = pubsub_options_int(config->options, "port", &port) == PUBSUB_OK;
        target.port = set ? (uint16_t)port : default_port;
    }
    target.name = target.host[0] == '/' ? NULL : target.host;
    if (socket_option(config) != NULL) {
        target.host = socket_option(config);
    }
    if (target.host[0] == '/') {
        target.path = true;
        target.port = 0;
    }
    const char *name = pubsub_options_get(config->options, "tls_server_name");
    if (name != NULL) {
        target.name = name;
    } else if (target.path && pubsub_url_host_count(config->url) == 0 &&
               !pubsub_options_is_set(config->options, "host")) {
        target.name = NULL; /* localhost was nobody's choice */
    }
    return target;
}

pubsub_err pubsub__target_check(const pubsub_adapter_config *config, pubsub_error *err)
{
    const char *path = socket_option(config);
    if (path != NULL && path[0] != '/') {
        return pubsub_error_set(err, PUBSUB_EOPTION,
                                "option 'socket' must be an absolute path, '%.64s' is none", path);
    }
    if (path != NULL && pubsub_url_host_count(config->url) > 1) {
        return pubsub_error_set(err, PUBSUB_EOPTION,
                                "option 'socket' is given, but the URL has several hosts");
    }
    bool tls = false;
    bool verify = true;
    pubsub_options_bool(config->options, "tls", &tls);
    pubsub_options_bool(config->options, "tls_verify", &verify);
    for (size_t i = 0; i < pubsub__target_count(config); i++) {
        pubsub__target target = pubsub__target_at(config, i, 0);
        if (target.path && strlen(target.host) >= sizeof((struct sockaddr_un *)0)->sun_path) {
            return pubsub_error_set(err, PUBSUB_EOPTION,
                                    "the path of a Unix socket has at most %zu bytes, this one has "
                                    "%zu",
                                    sizeof((struct sockaddr_un *)0)->sun_path - 1,
                                    strlen(target.host));
        }
        if (tls && verify && target.name == NULL) {
            return pubsub_error_set(err, PUBSUB_EOPTION,
                                    "TLS over a Unix socket has no host name to check: set "
                                    "tls_server_name, or tls_verify=no");
        }
    }
    return PUBSUB_OK;
}

void pubsub__target_text(const pubsub__target *target, char out[PUBSUB__PEER_MAX])
{
    if (target->path) {
        snprintf(out, PUBSUB__PEER_MAX, "%s", target->host);
    } else if (strchr(target->host, ':') != NULL) {
        snprintf(out, PUBSUB__PEER_MAX, "[%s]:%u", target->host, (unsigned)target->port);
    } else {
        snprintf(out, PUBSUB__PEER_MAX, "%s:%u", target->host, (unsigned)target->port);
    }
}
