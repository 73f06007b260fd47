/* SPDX-License-Identifier: MIT */
/* The descriptors libcurl wants watched. */
#include "base/alloc.h"
#include "http/client_internal.h"

struct http_socket {
    bridge_http *http;
    curl_socket_t fd;
    pubsub_host_watch *watch;
    http_socket *next;
    http_socket *previous;
};

static void on_ready(void *ctx, uint32_t bits)
{
    http_socket *socket = ctx;
    http_act(socket->http, socket->fd,
             ((bits & PUBSUB_HOST_READ) != 0 ? CURL_CSELECT_IN : 0) |
                 ((bits & PUBSUB_HOST_WRITE) != 0 ? CURL_CSELECT_OUT : 0));
}

static void free_socket(http_socket *socket)
{
    bridge_http *http = socket->http;
    if (socket->previous != NULL) {
        socket->previous->next = socket->next;
    } else {
        http->sockets = socket->next;
    }
    if (socket->next != NULL) {
        socket->next->previous = socket->previous;
    }
    http->host->watch_free(socket->watch);
    pubsub__free(socket);
}

static http_socket *new_socket(bridge_http *http, curl_socket_t fd)
{
    http_socket *socket = pubsub__calloc(1, sizeof(*socket));
    if (socket == NULL) {
        return NULL;
    }
    socket->http = http;
    socket->fd = fd;
    socket->watch = http->host->watch_new(http->host, fd, on_ready, socket);
    if (socket->watch == NULL) {
        pubsub__free(socket);
        return NULL;
    }
    socket->next = http->sockets;
    if (socket->next != NULL) {
        socket->next->previous = socket;
    }
    http->sockets = socket;
    (void)curl_multi_assign(http->multi, fd, socket);
    return socket;
}

int http_on_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *assigned)
{
    bridge_http *http = ctx;
    http_socket *socket = assigned;
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (socket != NULL) {
            (void)curl_multi_assign(http->multi, fd, NULL);
            free_socket(socket);
        }
        return 0;
    }
    if (socket == NULL) {
        socket = new_socket(http, fd);
        if (socket == NULL) {
            return -1;
        }
    }
    http->host->watch_set(socket->watch,
                          ((what & CURL_POLL_IN) != 0 ? PUBSUB_HOST_READ : 0u) |
                              ((what & CURL_POLL_OUT) != 0 ? PUBSUB_HOST_WRITE : 0u));
    return 0;
}

void http_sockets_free(bridge_http *http)
{
    while (http->sockets != NULL) {
        free_socket(http->sockets);
    }
}
