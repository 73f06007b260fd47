/* SPDX-License-Identifier: MIT */
#include "conformance/conf_place.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* Started when the first case needs them, for all cases of the program. */
static struct {
    bool installed; /* private brokers can be had */
    kit_broker *stock;
    kit_broker *own;
    bool down; /* own was killed and not started again */
    kit_proxy *proxy;
    int dead; /* a socket that holds a port and does not listen */
    uint16_t dead_port;
} places;

/* ---- is there a broker --------------------------------------------------------------------- */

conf_presence conf_place_look(const conf_adapter *adapter)
{
    const char *required = getenv("PUBSUB_TEST_REQUIRE_BROKERS");
    const char *kind = NULL;
    if (adapter->network == NULL) {
        return CONF_PRESENT;
    }
    kind = adapter->network->kind;
    if (!kit_broker_asked(kind)) {
        (void)printf("%s was not asked for: skipped\n", kind);
        return CONF_ABSENT;
    }
    places.installed = kit_broker_installed(kind);
    if (places.installed || kit_broker_given(kind) != NULL) {
        return CONF_PRESENT;
    }
    if (required != NULL && strcmp(required, "1") == 0) {
        (void)printf("%s is not installed, and PUBSUB_TEST_REQUIRE_BROKERS is set\n", kind);
        return CONF_MISSING;
    }
    (void)printf("%s is not installed: skipped\n", kind);
    return CONF_ABSENT;
}

/* ---- URLs ---------------------------------------------------------------------------------- */

/* The broker's own URL with the adapter's scheme and query. */
static void write_url(const conf_network *network, const char *broker_url, const char *unique,
                      char *url, size_t size)
{
    const char *rest = strstr(broker_url, "://");
    const char *before = strchr(broker_url, '?') != NULL ? "&" : "/?";
    size_t len = 0;
    if (network->scheme == NULL || rest == NULL) {
        (void)snprintf(url, size, "%s", broker_url);
    } else {
        (void)snprintf(url, size, "%s%s", network->scheme, rest);
    }
    for (const char *at = network->query; at != NULL && *at != '\0'; before = unique) {
        size_t piece = strcspn(at, "%");
        len = strlen(url);
        (void)snprintf(url + len, size - len, "%s%.*s", before, (int)piece, at);
        at += piece;
        if (*at == '%' && *++at == '\0') {
            len = strlen(url);
            (void)snprintf(url + len, size - len, "%s", unique);
        }
    }
}

static uint16_t dead_port(void)
{
    struct sockaddr_in at;
    socklen_t len = sizeof(at);
    if (places.dead_port != 0) {
        return places.dead_port;
    }
    memset(&at, 0, sizeof(at));
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    places.dead = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (places.dead >= 0 && bind(places.dead, (struct sockaddr *)&at, sizeof(at)) == 0 &&
        getsockname(places.dead, (struct sockaddr *)&at, &len) == 0) {
        places.dead_port = ntohs(at.sin_port);
    }
    return places.dead_port;
}

void conf_place_nominal(const conf_adapter *adapter, char *url, size_t size)
{
    const conf_network *network = adapter->network;
    if (network == NULL) {
        adapter->url(url, size);
    } else {
        char dead[64];
        (void)snprintf(dead, sizeof(dead), "%s://127.0.0.1:%u", adapter->name,
                       (unsigned)dead_port());
        write_url(network, dead, "none", url, size);
    }
}

void conf_dead_url(conf *t, char *url, size_t size)
{
    if (t->adapter->network != NULL) {
        conf_place_nominal(t->adapter, url, size);
    } else if (t->adapter->dead_url != NULL) {
        t->adapter->dead_url(url, size);
    } else {
        conf_skip(t, "every URL can be connected to");
    }
}

/* ---- what fault cases break ---------------------------------------------------------------- */

static void proxy_as_new(kit_proxy *proxy)
{
    for (int way = 0; way < 2; way++) {
        kit_proxy_stall(proxy, (kit_way)way, false);
        kit_proxy_delay(proxy, (kit_way)way, 0);
        kit_proxy_bandwidth(proxy, (kit_way)way, 0);
        kit_proxy_filter(proxy, (kit_way)way, NULL);
    }
    kit_proxy_door(proxy, KIT_DOOR_OPEN);
    kit_proxy_cut(proxy);
}

/* The proxy comes first: some brokers have to name its port to their clients. */
static void start_own(const conf_network *network)
{
    char line[128];
    const char *settings[2] = {NULL, NULL};
    if (places.proxy == NULL) {
        places.proxy = kit_proxy_start(0);
    }
    if (network->advertise != NULL) {
        (void)snprintf(line, sizeof(line), "%s:%u", network->advertise,
                       (unsigned)kit_proxy_port(places.proxy));
        settings[0] = line;
    }
    places.own = kit_broker_start_with(network->kind, network->own, settings);
    kit_proxy_target(places.proxy, kit_url_port(kit_broker_url(places.own)));
}

static void prepare_faults(conf *t)
{
    const conf_network *network = t->adapter->network;
    char proxied[CONF_URL_MAX];
    if (network->own == NULL) {
        conf_skip(t, "no broker is set up to fail");
    }
    if (!places.installed) {
        conf_skip(t, "no broker of our own can be started here");
    }
    if (places.own == NULL) {
        start_own(network);
    } else if (places.down) {
        kit_broker_restart(places.own);
        places.down = false;
    }
    proxy_as_new(places.proxy);
    t->proxy = places.proxy;
    kit_proxy_url(t->proxy, kit_broker_url(places.own), proxied, sizeof(proxied));
    write_url(network, proxied, t->unique, t->behind, sizeof(t->behind));
    write_url(network, kit_broker_url(places.own), t->unique, t->url, sizeof(t->url));
}

void conf_place_prepare(conf *t, unsigned modes)
{
    const conf_network *network = t->adapter->network;
    if ((modes & CONF_FAULT) != 0) {
        prepare_faults(t);
    } else if (network == NULL) {
        t->adapter->url(t->url, sizeof(t->url));
    } else if (network->stock == NULL || (modes & CONF_LOAD) != 0 || !places.installed) {
        write_url(network, kit_broker_shared(network->kind), t->unique, t->url, sizeof(t->url));
    } else {
        if (places.stock == NULL) {
            places.stock = kit_broker_start(network->kind, network->stock);
        }
        write_url(network, kit_broker_url(places.stock), t->unique, t->url, sizeof(t->url));
    }
}

void conf_place_release(conf *t)
{
    if (t->proxy != NULL) {
        kit_proxy_cut(t->proxy);
    }
}

void conf_kill_broker(conf *t)
{
    (void)t;
    places.down = true;
    kit_broker_kill(places.own);
}

void conf_restart_broker(conf *t)
{
    (void)t;
    places.down = true; /* until it is there again */
    kit_broker_restart(places.own);
    places.down = false;
}

void conf_place_end(void)
{
    kit_proxy_stop(places.proxy);
    kit_broker_stop(places.own);
    kit_broker_stop(places.stock);
    if (places.dead_port != 0) {
        (void)close(places.dead);
    }
    memset(&places, 0, sizeof(places));
}
