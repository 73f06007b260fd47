/* SPDX-License-Identifier: MIT */
#include "http/server.h"

#include "base/alloc.h"
#include "http/server_internal.h"

#include <string.h>

/* Paths on addresses: who gets a request, and how an address is given up. The connections of the last
 * mount end before it is done. */

enum { LAST_MS = 1000 }; /* for answers on their way when nothing was to be drained */

/* ---- finding ------------------------------------------------------------------------------- */

static bool fits(const char *prefix, pubsub_bytes path)
{
    size_t len = strlen(prefix);
    while (len > 0 && prefix[len - 1] == '/') {
        len--;
    }
    return path.len >= len && memcmp(prefix, path.data, len) == 0 &&
           (path.len == len || ((const char *)path.data)[len] == '/');
}

bridge_mount *server_mount_find(server_listener *listener, pubsub_bytes path)
{
    bridge_mount *best = NULL;
    for (bridge_mount *at = listener->mounts; at != NULL; at = at->next) {
        if (fits(at->options.path, path) &&
            (best == NULL || (best->ending && !at->ending) ||
             (best->ending == at->ending &&
              strlen(at->options.path) > strlen(best->options.path)))) {
            best = at;
        }
    }
    return best;
}

static bool is_path_taken(const server_listener *listener, const char *path)
{
    for (const bridge_mount *at = listener->mounts; at != NULL; at = at->next) {
        if (!at->ending && strcmp(at->options.path, path) == 0) {
            return true;
        }
    }
    return false;
}

/* ---- mounting ------------------------------------------------------------------------------ */

/* A listener that was opened for a mount that then cannot be. */
static void drop_unused(server_listener *listener);

static void no_request(void *ctx, bridge_request *request)
{
    (void)ctx;
    (void)request;
}

static void no_piece(void *ctx, bridge_request *request, pubsub_bytes piece)
{
    (void)ctx;
    (void)request;
    (void)piece;
}

/* What is left out does nothing. */
static void fill_callbacks(bridge_mount_options *options)
{
    options->on_head = options->on_head != NULL ? options->on_head : no_request;
    options->on_body = options->on_body != NULL ? options->on_body : no_piece;
    options->on_gone = options->on_gone != NULL ? options->on_gone : no_request;
}

pubsub_err bridge_mount_new(bridge_mount **out, pubsub_host *host,
                            const bridge_mount_options *options, pubsub_error *err)
{
    pubsub_error detail = PUBSUB_ERROR_INIT;
    server_listener *listener = NULL;
    bridge_mount *mount = NULL;
    *out = NULL;
    if ((options->cert_file == NULL) != (options->key_file == NULL)) {
        return pubsub_error_set(err, PUBSUB_EINVAL,
                                "TLS needs both, a certificate's and a key's file");
    }
    if (options->path == NULL || options->path[0] != '/') {
        return pubsub_error_set(err, PUBSUB_EINVAL, "the path must begin with a slash");
    }
    listener = server_listener_get(host, options, &detail);
    if (listener == NULL) {
        return pubsub_error_set(err, detail.code, "%s", detail.text);
    }
    if (is_path_taken(listener, options->path)) {
        return pubsub_error_set(err, PUBSUB_EINVAL, "%s is used already on '%s'", options->path,
                                options->listen);
    }
    mount = pubsub__calloc(1, sizeof(*mount));
    if (mount != NULL) {
        mount->options = *options;
        fill_callbacks(&mount->options);
        mount->options.path = pubsub__strdup(options->path);
    }
    if (mount == NULL || mount->options.path == NULL) {
        pubsub__free(mount);
        drop_unused(listener);
        return pubsub_error_set(err, PUBSUB_ENOMEM, "out of memory");
    }
    mount->listener = listener;
    mount->next = listener->mounts;
    listener->mounts = mount;
    *out = mount;
    return PUBSUB_OK;
}

unsigned bridge_mount_port(const bridge_mount *mount)
{
    return mount->listener->port_number;
}

size_t bridge_mount_open(const bridge_mount *mount)
{
    return mount->open;
}

/* ---- giving up ----------------------------------------------------------------------------- */

static void nothing(void *ctx)
{
    (void)ctx;
}

static void listener_gone(server_listener *listener)
{
    pubsub_host *host = listener->host;
    void (*done)(void *ctx) = listener->done;
    void *ctx = listener->done_ctx;
    host->timer_free(listener->end);
    server_listener_free(listener);
    done(ctx);
}

/* In a turn of its own: whoever freed the last connection still looks at the listener. */
static void end_now(void *ctx)
{
    server_listener *listener = ctx;
    while (listener->conns != NULL) {
        server_conn_free(listener->conns);
    }
    listener_gone(listener);
}

void server_conn_count_changed(server_listener *listener)
{
    if (listener->end != NULL && listener->conn_count == 0) {
        listener->host->timer_start(listener->end, 0);
    }
}

/* No mount is left. Answers that are on their way are sent, for a while. */
static void end_listener(server_listener *listener, void (*done)(void *ctx), void *done_ctx)
{
    server_conn *next = NULL;
    listener->done = done;
    listener->done_ctx = done_ctx;
    listener->end = listener->host->timer_new(listener->host, end_now, listener);
    if (listener->end == NULL) {
        return; /* no memory for a timer: the listener stays, closed */
    }
    listener->host->timer_start(listener->end, LAST_MS);
    for (server_conn *conn = listener->conns; conn != NULL; conn = next) {
        next = conn->next;
        conn->closing = true;
        if (conn->state != CONN_LINGER && !conn->unsent && conn->out_sent == conn->out.len) {
            server_conn_free(conn);
        }
    }
    server_conn_count_changed(listener);
}

static void drop_unused(server_listener *listener)
{
    if (listener->mounts == NULL) {
        listener->closing = true;
        server_listener_stop(listener);
        server_listener_forget(listener);
        end_listener(listener, nothing, NULL);
    }
}

static bool is_last(const bridge_mount *mount)
{
    for (const bridge_mount *at = mount->listener->mounts; at != NULL; at = at->next) {
        if (at != mount && !at->ending) {
            return false;
        }
    }
    return true;
}

/* In a turn of its own, when nothing is open or the time is over. */
static void mount_over(void *ctx)
{
    bridge_mount *mount = ctx;
    server_listener *listener = mount->listener;
    pubsub_host *host = listener->host;
    void (*done)(void *ctx) = mount->done;
    void *done_ctx = mount->done_ctx;
    bridge_mount **at = &listener->mounts;
    server_conn *next = NULL;
    for (server_conn *conn = listener->conns; conn != NULL && mount->open > 0; conn = next) {
        next = conn->next;
        if (conn->request != NULL && conn->request->mount == mount) {
            server_conn_fail(conn, 503, "going down");
        }
    }
    while (*at != mount) {
        at = &(*at)->next;
    }
    *at = mount->next;
    host->timer_free(mount->drain);
    pubsub__free((char *)(uintptr_t)mount->options.path);
    pubsub__free(mount);
    if (listener->closing && listener->mounts == NULL) {
        end_listener(listener, done, done_ctx);
    } else if (host->post(host, done, done_ctx) != PUBSUB_OK) {
        done(done_ctx);
    }
}

void server_mount_released(bridge_mount *mount)
{
    mount->open--;
    if (mount->ending && mount->open == 0 && mount->drain != NULL) {
        mount->listener->host->timer_start(mount->drain, 0);
    }
}

void bridge_mount_free(bridge_mount *mount, pubsub_duration_ms drain, void (*done)(void *ctx),
                       void *ctx)
{
    server_listener *listener = mount->listener;
    pubsub_host *host = listener->host;
    mount->done = done;
    mount->done_ctx = ctx;
    mount->drain = host->timer_new(host, mount_over, mount);
    if (is_last(mount)) {
        listener->closing = true;
        server_listener_stop(listener);
        server_listener_forget(listener);
    }
    mount->ending = true;
    if (mount->drain == NULL) {
        mount_over(mount);
        return;
    }
    host->timer_start(mount->drain, mount->open == 0 ? 0 : drain);
}
