/* SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* accept4 */
#endif
#include "base/alloc.h"
#include "base/units.h"
#include "http/server_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <pubsub/log.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Addresses that are listened on. Accepting is done here and not by libwebsockets, which counts no
 * connections of an address and turns in a circle when descriptors have run out. */

enum {
    BACKLOG = 1024,
    ACCEPT_AT_ONCE = 64,
    AGAIN_MS = 200,
    HOST_MAX = 255,
};

typedef struct address_text {
    char host[HOST_MAX + 1]; /* "" = loopback, "*" = every address */
    unsigned port;
} address_text;

static bool split_address(const char *listen, address_text *out)
{
    const char *colon = strrchr(listen, ':');
    const char *port = colon != NULL ? colon + 1 : listen;
    const char *host = listen;
    size_t len = colon != NULL ? (size_t)(colon - listen) : 0;
    int64_t number = 0;
    if (*port == '\0' || *port == '-' || pubsub__parse_int(port, &number) != PUBSUB__UNITS_OK ||
        number < 0 || number > 65535) {
        return false;
    }
    if (len >= 2 && host[0] == '[' && host[len - 1] == ']') {
        host++;
        len -= 2;
    } else if (memchr(host, ':', len) != NULL) {
        return false; /* an IPv6 address without brackets */
    }
    if (len > HOST_MAX) {
        return false;
    }
    memcpy(out->host, host, len);
    out->host[len] = '\0';
    out->port = (unsigned)number;
    return true;
}

static struct addrinfo *resolve(const address_text *address, int flags, int *code)
{
    struct addrinfo hints;
    struct addrinfo *found = NULL;
    char port[8];
    const char *host = address->host[0] == '\0' ? "127.0.0.1" : address->host;
    memset(&hints, 0, sizeof(hints));
    hints.ai_family = strcmp(host, "*") == 0 ? AF_INET6 : AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV | flags;
    (void)snprintf(port, sizeof(port), "%u", address->port);
    *code = getaddrinfo(strcmp(host, "*") == 0 ? NULL : host, port, &hints, &found);
    return *code == 0 ? found : NULL;
}

static bool is_loopback(const struct sockaddr *address)
{
    static const unsigned char mapped[13] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 127};
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)address;
        return (ntohl(in->sin_addr.s_addr) >> 24) == 127;
    }
    if (address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)(const void *)address;
        return IN6_IS_ADDR_LOOPBACK(&in->sin6_addr) ||
               memcmp(&in->sin6_addr, mapped, sizeof(mapped)) == 0;
    }
    return false;
}

bool bridge_listen_is_loopback(const char *listen)
{
    address_text address;
    struct addrinfo *found = NULL;
    bool all = true;
    int code = 0;
    if (!split_address(listen, &address) || strcmp(address.host, "*") == 0) {
        return false;
    }
    if (strcmp(address.host, "localhost") == 0) {
        return true;
    }
    found = resolve(&address, AI_NUMERICHOST, &code);
    for (struct addrinfo *at = found; at != NULL; at = at->ai_next) {
        all = all && is_loopback(at->ai_addr);
    }
    if (found != NULL) {
        freeaddrinfo(found);
    }
    return found != NULL && all;
}

bool bridge_listen_is_same(const char *a, const char *b)
{
    address_text one;
    address_text two;
    return split_address(a, &one) && split_address(b, &two) && one.port != 0 &&
           one.port == two.port && strcmp(one.host, two.host) == 0;
}

/* ---- accepting ----------------------------------------------------------------------------- */

static void watch_all(server_listener *listener, uint32_t bits)
{
    for (size_t i = 0; i < listener->socket_count; i++) {
        if (listener->sockets[i].watch != NULL) {
            listener->host->watch_set(listener->sockets[i].watch, bits);
        }
    }
}

static void accept_again(void *ctx)
{
    watch_all(ctx, PUBSUB_HOST_READ);
}

/* Every address as IPv6, so that they compare. */
static void peer_of(const struct sockaddr_storage *from, struct in6_addr *address, char *text)
{
    memset(address, 0, sizeof(*address));
    text[0] = '\0';
    if (from->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)from;
        memset(&address->s6_addr[10], 0xff, 2);
        memcpy(&address->s6_addr[12], &in->sin_addr, 4);
    } else if (from->ss_family == AF_INET6) {
        *address = ((const struct sockaddr_in6 *)(const void *)from)->sin6_addr;
    }
    if (IN6_IS_ADDR_V4MAPPED(address)) {
        (void)inet_ntop(AF_INET, &address->s6_addr[12], text, SERVER_PEER_MAX);
    } else {
        (void)inet_ntop(AF_INET6, address, text, SERVER_PEER_MAX);
    }
}

static bool has_room(server_listener *listener, const struct in6_addr *address)
{
    size_t same = 0;
    server_conn *idle = NULL;
    for (server_conn *conn = listener->conns; conn != NULL; conn = conn->next) {
        same += memcmp(&conn->address, address, sizeof(*address)) == 0 ? 1 : 0;
        if (conn->state == CONN_HEAD && conn->in.len == 0 && conn->out.len == 0) {
            idle = conn; /* the oldest one in the end */
        }
    }
    if (same >= listener->limits.connections_address) {
        return false;
    }
    if (listener->conn_count >= listener->limits.connections && idle != NULL) {
        server_conn_free(idle); /* says nothing, so that somebody else may */
    }
    return listener->conn_count < listener->limits.connections;
}

static bool accept_one(server_socket *socket)
{
    server_listener *listener = socket->listener;
    struct sockaddr_storage from = {.ss_family = AF_UNSPEC};
    socklen_t len = sizeof(from);
    struct in6_addr address;
    char peer[SERVER_PEER_MAX];
    int on = 1;
    int fd =
        accept4(socket->fd, (struct sockaddr *)(void *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            /* The descriptor stays readable: look away for a moment instead of spinning. */
            watch_all(listener, 0);
            listener->host->timer_start(listener->again, AGAIN_MS);
            listener->host->log(listener->host, PUBSUB_LOG_WARN,
                                "no descriptors left: connections wait to be accepted");
        }
        return errno == ECONNABORTED || errno == EINTR;
    }
    peer_of(&from, &address, peer);
    if (!has_room(listener, &address)) {
        (void)close(fd);
        return true;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    server_conn_new(listener, fd, &address, peer);
    return true;
}

static void on_ready(void *ctx, uint32_t bits)
{
    int left = ACCEPT_AT_ONCE;
    (void)bits;
    while (left-- > 0 && accept_one(ctx)) {
    }
}

/* ---- opening ------------------------------------------------------------------------------- */

static int open_socket(const struct addrinfo *at, unsigned port, bool is_any)
{
    struct sockaddr_storage address;
    int on = 1;
    int off = 0;
    int saved = 0;
    int fd = socket(at->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    memset(&address, 0, sizeof(address));
    memcpy(&address, at->ai_addr, at->ai_addrlen);
    if (at->ai_family == AF_INET6) {
        ((struct sockaddr_in6 *)(void *)&address)->sin6_port = htons((uint16_t)port);
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, is_any ? &off : &on, sizeof(on));
    } else {
        ((struct sockaddr_in *)(void *)&address)->sin_port = htons((uint16_t)port);
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, (struct sockaddr *)(void *)&address, at->ai_addrlen) != 0 ||
        listen(fd, BACKLOG) != 0) {
        saved = errno;
        (void)close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

static unsigned port_of(int fd)
{
    struct sockaddr_storage address;
    socklen_t len = sizeof(address);
    memset(&address, 0, sizeof(address));
    (void)getsockname(fd, (struct sockaddr *)(void *)&address, &len);
    return address.ss_family == AF_INET6
               ? ntohs(((struct sockaddr_in6 *)(void *)&address)->sin6_port)
               : ntohs(((struct sockaddr_in *)(void *)&address)->sin_port);
}

static pubsub_err open_all(server_listener *listener, const address_text *address,
                           const char *listen, pubsub_error *err)
{
    int code = 0;
    int saved = 0;
    bool is_any = strcmp(address->host, "*") == 0;
    unsigned port = address->port;
    struct addrinfo *found = resolve(address, 0, &code);
    if (found == NULL) {
        return pubsub_error_set(err, PUBSUB_EINVAL, "cannot listen on '%s': %s", listen,
                                gai_strerror(code));
    }
    for (struct addrinfo *at = found; at != NULL && listener->socket_count < SERVER_SOCKETS_MAX;
         at = at->ai_next) {
        server_socket *socket = &listener->sockets[listener->socket_count];
        int fd = open_socket(at, port, is_any);
        if (fd < 0) {
            saved = errno;
            continue; /* a machine without IPv6 has ::1 in its table all the same */
        }
        socket->listener = listener;
        socket->fd = fd;
        listener->socket_count++;
        port = port_of(fd);
    }
    freeaddrinfo(found);
    listener->port_number = port;
    if (listener->socket_count > 0 && saved != EADDRINUSE) {
        return PUBSUB_OK;
    }
    return pubsub_error_set_errno(err, saved == EADDRINUSE ? PUBSUB_EBUSY : PUBSUB_ESYSTEM, saved,
                                  "cannot listen on '%s'", listen);
}

static pubsub_err watch_sockets(server_listener *listener)
{
    pubsub_host *host = listener->host;
    listener->again = host->timer_new(host, accept_again, listener);
    for (size_t i = 0; i < listener->socket_count; i++) {
        server_socket *socket = &listener->sockets[i];
        socket->watch = host->watch_new(host, socket->fd, on_ready, socket);
        if (socket->watch == NULL || listener->again == NULL) {
            return PUBSUB_ENOMEM;
        }
        host->watch_set(socket->watch, PUBSUB_HOST_READ);
    }
    return PUBSUB_OK;
}

void server_listener_stop(server_listener *listener)
{
    pubsub_host *host = listener->host;
    for (size_t i = 0; i < listener->socket_count; i++) {
        host->watch_free(listener->sockets[i].watch);
        (void)close(listener->sockets[i].fd);
    }
    listener->socket_count = 0;
    if (listener->again != NULL) {
        host->timer_free(listener->again);
        listener->again = NULL;
    }
}

void server_listener_free(server_listener *listener)
{
    if (listener != NULL) {
        server_listener_stop(listener);
        bridge_port_free(listener->port);
        server_pool_free(listener);
        pubsub__free(listener->host_name);
        pubsub__free(listener->cert_file);
        pubsub__free(listener->key_file);
        pubsub__free(listener);
    }
}

/* ---- one for each address ------------------------------------------------------------------ */

static server_listener *all_listeners;

static const bridge_server_limits default_limits = {16 * 1024, 2000, 500, 10000, 30000, 60000};

static void take_limits(bridge_server_limits *limits, const bridge_server_limits *asked)
{
    limits->head_bytes = asked->head_bytes > 0 ? asked->head_bytes : limits->head_bytes;
    limits->connections = asked->connections > 0 ? asked->connections : limits->connections;
    limits->connections_address =
        asked->connections_address > 0 ? asked->connections_address : limits->connections_address;
    limits->head = asked->head > 0 ? asked->head : limits->head;
    limits->body = asked->body > 0 ? asked->body : limits->body;
    limits->idle = asked->idle > 0 ? asked->idle : limits->idle;
}

/* The sockets first: what fails often then needs nothing undone that takes turns of the loop. */
static pubsub_err open_listener(server_listener *listener, const address_text *address,
                                const bridge_mount_options *options, pubsub_error *err)
{
    pubsub_err code = PUBSUB_OK;
    listener->limits = default_limits;
    take_limits(&listener->limits, &options->limits);
    listener->host_name = pubsub__strdup(address->host);
    listener->cert_file = pubsub__strdup(options->cert_file);
    listener->key_file = pubsub__strdup(options->key_file);
    if (listener->host_name == NULL ||
        (options->cert_file != NULL &&
         (listener->cert_file == NULL || listener->key_file == NULL))) {
        return pubsub_error_set(err, PUBSUB_ENOMEM, "out of memory");
    }
    code = open_all(listener, address, options->listen, err);
    if (code != PUBSUB_OK) {
        return code;
    }
    listener->links = bridge_links_of(listener->host, err);
    if (listener->links == NULL) {
        return err->code;
    }
    listener->port = bridge_port_new(listener->links, options->cert_file, options->key_file, err);
    if (listener->port == NULL) {
        return err->code;
    }
    code = watch_sockets(listener);
    return code == PUBSUB_OK ? code : pubsub_error_set(err, code, "out of memory");
}

static server_listener *new_listener(pubsub_host *host, const address_text *address,
                                     const bridge_mount_options *options, pubsub_error *err)
{
    pubsub_error detail = PUBSUB_ERROR_INIT;
    server_listener *listener = pubsub__calloc(1, sizeof(*listener));
    if (listener == NULL) {
        (void)pubsub_error_set(err, PUBSUB_ENOMEM, "out of memory");
        return NULL;
    }
    listener->host = host;
    if (open_listener(listener, address, options, &detail) != PUBSUB_OK) {
        (void)pubsub_error_set(err, detail.code, "%s", detail.text);
        server_listener_free(listener);
        return NULL;
    }
    listener->next = all_listeners;
    all_listeners = listener;
    return listener;
}

static bool is_same_file(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

server_listener *server_listener_get(pubsub_host *host, const bridge_mount_options *options,
                                     pubsub_error *err)
{
    address_text address;
    if (options->listen == NULL || !split_address(options->listen, &address)) {
        (void)pubsub_error_set(err, PUBSUB_EINVAL,
                               "'%s' is no address to listen on; write host:port, [IPv6]:port, "
                               ":port for this machine only or *:port for every address",
                               options->listen != NULL ? options->listen : "");
        return NULL;
    }
    for (server_listener *at = all_listeners; at != NULL; at = at->next) {
        if (at->host == host && !at->closing && address.port != 0 &&
            at->port_number == address.port && strcmp(at->host_name, address.host) == 0) {
            if (is_same_file(at->cert_file, options->cert_file)) {
                take_limits(&at->limits, &options->limits);
                return at;
            }
            (void)pubsub_error_set(err, PUBSUB_EINVAL,
                                   "'%s' is used already with another certificate or without one",
                                   options->listen);
            return NULL;
        }
    }
    return new_listener(host, &address, options, err);
}

void server_listener_forget(server_listener *listener)
{
    server_listener **at = &all_listeners;
    while (*at != NULL && *at != listener) {
        at = &(*at)->next;
    }
    if (*at != NULL) {
        *at = listener->next;
    }
}

void bridge_server_reload(pubsub_host *host)
{
    for (server_listener *at = all_listeners; at != NULL; at = at->next) {
        pubsub_error err = PUBSUB_ERROR_INIT;
        char line[sizeof(err.text) + 400];
        if (at->host != host || at->cert_file == NULL || at->closing) {
            continue;
        }
        bool done = bridge_port_reload(at->port, at->cert_file, at->key_file, &err) == PUBSUB_OK;
        (void)snprintf(line, sizeof(line), "%.200s:%u: %s%s", at->host_name, at->port_number,
                       done ? "the certificate was read again"
                            : "the certificate stays as it was: ",
                       done ? "" : pubsub_error_text(&err));
        host->log(host, done ? PUBSUB_LOG_INFO : PUBSUB_LOG_ERROR, line);
    }
}
