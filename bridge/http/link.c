/* SPDX-License-Identifier: MIT */
#include "http/link.h"

#include "base/alloc.h"
#include "host/host.h"

#include <libwebsockets.h>
#include <pubsub/log.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

/* libwebsockets brings TLS and the sockets' service; what is said over them is the server's. Its own
 * HTTP role is not used: it answers no chunked body and no malformed head, turns in a circle when
 * bytes come while an answer is awaited, and tells time in seconds. */

enum {
    SECONDS = 30,       /* for a TLS handshake */
    FDS_MAX = 64 * 1024 /* its tables have 16 bytes for each descriptor that could be */
};

struct bridge_links {
    pubsub_host *host;
    struct lws_context *context;
    uv_handle_t *own[8]; /* its handles that outlive its connections */
    size_t own_count;
    size_t own_left;
    bridge_links *next;
};

struct bridge_port {
    bridge_links *links;
    struct lws_vhost *vhost;
    bool tls;
};

struct bridge_link {
    bridge_port *port;
    struct lws *wsi; /* NULL while it is being taken over, or gone */
    bridge_link_events events;
    void *ctx;
    bool reading; /* as asked for */
    bool clogged; /* libwebsockets holds bytes it could not send */
    bool dead;    /* nobody is told anything any more */
    bool heard;
};

/* One for each host that is in use; the hosts' threads do not share a libwebsockets. */
static bridge_links *all_links;
static pubsub_host *log_host;

static void log_line(int level, const char *line)
{
    char text[256];
    size_t len = strlen(line);
    if (log_host == NULL) {
        return;
    }
    while (len > 0 && (line[len - 1] == '\n' || line[len - 1] == '\r')) {
        len--;
    }
    (void)snprintf(text, sizeof(text), "libwebsockets: %.*s", (int)len, line);
    log_host->log(log_host, PUBSUB_LOG_DEBUG, text);
    (void)level;
}

/* ---- one connection ------------------------------------------------------------------------ */

static void apply_read(bridge_link *link)
{
    /* With unsent bytes it would look at what has come, leave it, and be called again at once. */
    (void)lws_rx_flow_control(link->wsi, link->reading && !link->clogged ? 1 : 0);
}

static int link_bytes(bridge_link *link, const void *data, size_t len)
{
    if (!link->heard) {
        /* The handshake's limit of time would go on for a connection that is established. */
        link->heard = true;
        lws_set_timeout(link->wsi, NO_PENDING_TIMEOUT, 0);
    }
    if (!link->dead && len > 0) {
        link->events.on_bytes(link->ctx, data, len);
    }
    return link->dead ? -1 : 0;
}

static int link_writable(bridge_link *link)
{
    if (link->clogged) {
        link->clogged = false;
        apply_read(link);
    }
    if (!link->dead) {
        link->events.on_writable(link->ctx);
    }
    return link->dead ? -1 : 0;
}

static void link_closed(bridge_link *link)
{
    link->wsi = NULL;
    if (!link->dead) {
        link->dead = true;
        link->events.on_closed(link->ctx);
    }
    pubsub__free(link);
}

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *data,
                    size_t len)
{
    bridge_link *link = NULL;
    (void)user;
    if (reason != LWS_CALLBACK_RAW_ADOPT && reason != LWS_CALLBACK_RAW_RX &&
        reason != LWS_CALLBACK_RAW_WRITEABLE && reason != LWS_CALLBACK_RAW_CLOSE) {
        return 0;
    }
    link = lws_get_opaque_user_data(wsi);
    if (link == NULL) {
        return 0;
    }
    switch (reason) {
    case LWS_CALLBACK_RAW_ADOPT:
        link->wsi = wsi;
        return 0;
    case LWS_CALLBACK_RAW_RX:
        return link_bytes(link, data, len);
    case LWS_CALLBACK_RAW_WRITEABLE:
        return link_writable(link);
    case LWS_CALLBACK_RAW_CLOSE:
        lws_set_opaque_user_data(wsi, NULL);
        link_closed(link);
        return 0;
    default:
        return 0;
    }
}

bridge_link *bridge_link_new(bridge_port *port, int fd, const bridge_link_events *events, void *ctx)
{
    lws_adopt_desc_t adopt;
    bridge_link *link = pubsub__calloc(1, sizeof(*link));
    struct lws *wsi = NULL;
    if (link == NULL) {
        (void)close(fd);
        return NULL;
    }
    link->port = port;
    link->events = *events;
    link->ctx = ctx;
    link->reading = true;
    link->dead = true; /* until it stands: a failure is told by the result */
    memset(&adopt, 0, sizeof(adopt));
    adopt.vh = port->vhost;
    adopt.type = LWS_ADOPT_SOCKET | (port->tls ? LWS_ADOPT_ALLOW_SSL : 0);
    adopt.fd.sockfd = fd;
    adopt.vh_prot_name = "bridge";
    adopt.opaque = link;
    wsi = lws_adopt_descriptor_vhost_via_info(&adopt);
    if (wsi == NULL) {
        return NULL; /* the link was freed with its close event */
    }
    link->wsi = wsi;
    link->dead = false;
    if (port->tls && lws_get_ssl(wsi) == NULL) {
        bridge_link_close(link); /* never plain where TLS was asked for */
        return NULL;
    }
    return link;
}

void bridge_link_read(bridge_link *link, bool on)
{
    if (link->dead || link->reading == on) {
        return;
    }
    link->reading = on;
    apply_read(link);
    if (on && link->port->tls) {
        /* What was decrypted already makes no descriptor readable. */
        lws_cancel_service(link->port->links->context);
    }
}

void bridge_link_want_write(bridge_link *link)
{
    if (!link->dead) {
        (void)lws_callback_on_writable(link->wsi);
    }
}

int bridge_link_write(bridge_link *link, const void *data, size_t len)
{
    /* Not written to, whatever its type says. */
    union {
        const void *in;
        unsigned char *out;
    } bytes;
    bytes.in = data;
    if (link->dead || lws_write(link->wsi, bytes.out, len, LWS_WRITE_RAW) < 0) {
        return -1;
    }
    if (lws_partial_buffered(link->wsi)) {
        link->clogged = true;
        apply_read(link);
    }
    return link->clogged ? 0 : 1;
}

void bridge_link_end(bridge_link *link)
{
    if (!link->dead) {
        (void)shutdown(lws_get_socket_fd(link->wsi), SHUT_WR);
    }
}

/* libwebsockets frees a connection only from its own calls, so it is made to have one. */
void bridge_link_close(bridge_link *link)
{
    if (link->dead) {
        return;
    }
    link->dead = true;
    (void)shutdown(lws_get_socket_fd(link->wsi), SHUT_RDWR);
    link->reading = true;
    link->clogged = false;
    apply_read(link);
    (void)lws_callback_on_writable(link->wsi);
}

/* ---- ports --------------------------------------------------------------------------------- */

static const struct lws_protocols protocols[] = {
    {.name = "bridge", .callback = on_event},
    {.name = NULL},
};

bridge_port *bridge_port_new(bridge_links *links, const char *cert_file, const char *key_file,
                             pubsub_error *err)
{
    struct lws_context_creation_info info;
    bridge_port *port = NULL;
    memset(&info, 0, sizeof(info));
    if (cert_file != NULL && (access(cert_file, R_OK) != 0 || access(key_file, R_OK) != 0)) {
        (void)pubsub_error_set(err, PUBSUB_ETLS, "cannot read %s",
                               access(cert_file, R_OK) != 0 ? cert_file : key_file);
        return NULL;
    }
    port = pubsub__calloc(1, sizeof(*port));
    if (port == NULL) {
        (void)pubsub_error_set(err, PUBSUB_ENOMEM, "out of memory");
        return NULL;
    }
    info.port = CONTEXT_PORT_NO_LISTEN_SERVER;
    info.protocols = protocols;
    info.vhost_name = cert_file == NULL ? "-plain" : "-tls"; /* no name a client could ask for */
    info.ssl_cert_filepath = cert_file;
    info.ssl_private_key_filepath = key_file;
    info.alpn = "http/1.1";
    info.listen_accept_role = "raw-skt";
    info.listen_accept_protocol = "bridge";
    info.timeout_secs = SECONDS;
    /* Without the last one it would speak plainly, certificate or not. */
    info.options = LWS_SERVER_OPTION_ADOPT_APPLY_LISTEN_ACCEPT_CONFIG |
                   LWS_SERVER_OPTION_DISABLE_OS_CA_CERTS | LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
    port->links = links;
    port->tls = cert_file != NULL;
    port->vhost = lws_create_vhost(links->context, &info);
    if (port->vhost == NULL) {
        pubsub__free(port);
        (void)pubsub_error_set(err, PUBSUB_ETLS,
                               "the certificate and key cannot be used: %s, %s (PEM files that "
                               "belong together are needed)",
                               cert_file != NULL ? cert_file : "-",
                               key_file != NULL ? key_file : "-");
        return NULL;
    }
    return port;
}

pubsub_err bridge_port_reload(bridge_port *port, const char *cert_file, const char *key_file,
                              pubsub_error *err)
{
    /* It changes what it has piece by piece, so that files which do not belong together would leave half of
     * both: they are tried elsewhere first. */
    bridge_port *tried = bridge_port_new(port->links, cert_file, key_file, err);
    if (tried == NULL) {
        return PUBSUB_ETLS;
    }
    bridge_port_free(tried);
    if (lws_tls_cert_updated(port->links->context, cert_file, key_file, NULL, 0, NULL, 0) != 0) {
        return pubsub_error_set(err, PUBSUB_ETLS, "%s, %s: the new certificate was not taken",
                                cert_file, key_file);
    }
    return PUBSUB_OK;
}

void bridge_port_free(bridge_port *port)
{
    if (port != NULL) {
        lws_vhost_destroy(port->vhost);
        pubsub__free(port);
    }
}

/* ---- the library on the loop --------------------------------------------------------------- */

static void collect(uv_handle_t *handle, void *ctx)
{
    bridge_links *links = ctx;
    (void)handle;
    links->own_left++;
}

static void is_own(uv_handle_t *handle, void *ctx)
{
    bridge_links *links = ctx;
    for (size_t i = 0; i < links->own_count; i++) {
        links->own_left += links->own[i] == handle ? 1 : 0;
    }
}

/* The handles it has just added stand at the end of the loop's list. Those inside of its own memory
 * are meant; the others are freed, and their addresses used again, while this waits. */
static void keep_new(uv_handle_t *handle, void *ctx)
{
    bridge_links *links = ctx;
    if (links->own_left > 0) {
        links->own_left--;
    } else if (links->own_count < sizeof(links->own) / sizeof(links->own[0]) &&
               (handle->type == UV_IDLE || handle->type == UV_TIMER)) {
        links->own[links->own_count++] = handle;
    }
}

static struct lws_context *make_context(bridge_links *links)
{
    struct lws_context_creation_info info;
    struct lws_context *context = NULL;
    void *loops[1] = {bridge_host_loop(links->host)};
    struct rlimit limit = {0, 0};
    struct rlimit lower;
    struct sigaction pipes;
    bool is_high = getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur > FDS_MAX;
    memset(&info, 0, sizeof(info));
    info.port = CONTEXT_PORT_NO_LISTEN;
    info.options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS |
                   LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT | LWS_SERVER_OPTION_DISABLE_OS_CA_CERTS |
                   LWS_SERVER_OPTION_UV_NO_SIGSEGV_SIGFPE_SPIN;
    info.foreign_loops = loops;
    info.pt_serv_buf_size = BRIDGE_LINK_PIECE + LWS_PRE;
    info.timeout_secs = SECONDS;
    info.gid = -1;
    info.uid = -1;
    /* Its tables are as large as the limit of descriptors, which may be a billion; a limit told to it
     * makes it search. And it takes SIGPIPE from the whole process, which is not its. */
    lower = limit;
    lower.rlim_cur = FDS_MAX;
    if (is_high) {
        (void)setrlimit(RLIMIT_NOFILE, &lower);
    }
    (void)sigaction(SIGPIPE, NULL, &pipes);
    context = lws_create_context(&info);
    (void)sigaction(SIGPIPE, &pipes, NULL);
    if (is_high) {
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
    return context;
}

/* Closing goes through the loop: begun here, completed once its handles are out of it. It is done once,
 * at the host's end, because it closes a descriptor twice, which may be somebody's by then. */
static void end_links(void *ctx)
{
    bridge_links *links = ctx;
    bridge_links **at = &all_links;
    uv_loop_t *loop = bridge_host_loop(links->host);
    lws_context_destroy(links->context);
    do {
        (void)uv_run(loop, UV_RUN_NOWAIT);
        links->own_left = 0;
        uv_walk(loop, is_own, links);
    } while (links->own_left > 0);
    lws_context_destroy(links->context);
    while (*at != links) {
        at = &(*at)->next;
    }
    *at = links->next;
    if (log_host == links->host) {
        log_host = NULL;
    }
    pubsub__free(links);
}

bridge_links *bridge_links_of(pubsub_host *host, pubsub_error *err)
{
    bridge_links *links = all_links;
    uv_loop_t *loop = bridge_host_loop(host);
    while (links != NULL && links->host != host) {
        links = links->next;
    }
    if (links != NULL) {
        return links;
    }
    links = pubsub__calloc(1, sizeof(*links));
    if (links == NULL) {
        (void)pubsub_error_set(err, PUBSUB_ENOMEM, "out of memory");
        return NULL;
    }
    links->host = host;
    log_host = host;
    lws_set_log_level(LLL_ERR | LLL_WARN, log_line);
    uv_walk(loop, collect, links);
    links->context = make_context(links);
    if (links->context == NULL) {
        pubsub__free(links);
        (void)pubsub_error_set(err, PUBSUB_ENOTSUP,
                               "libwebsockets cannot use the event loop: its libuv plugin is "
                               "missing (package libwebsockets-evlib-uv on Debian and Ubuntu)");
        return NULL;
    }
    uv_walk(loop, keep_new, links);
    links->next = all_links;
    all_links = links;
    if (!bridge_host_at_end(host, end_links, links)) {
        end_links(links);
        (void)pubsub_error_set(err, PUBSUB_ENOMEM, "out of memory");
        return NULL;
    }
    return links;
}
