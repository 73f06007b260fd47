/* SPDX-License-Identifier: MIT */
/* What keeps the library's threads awake, and its ways with signals and forks away from the program.
 *
 * Its receiving thread polls for a second and does not learn of sockets that come meanwhile, nor of one
 * that can be written to again; finding nothing it sleeps a tenth of a second on top. Its sending thread
 * waits a second on a condition that not every piece of work signals, and both end with the last handle,
 * which takes up to a second again. So one more handle, connected to ourselves, lives as long as the
 * process: a PINGRESP into it wakes the one thread, a publish on it the other. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* accept4 */
#endif
#include "mqtt/paho_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* The library multiplies seconds by a thousand in an int. */
#define NEVER_S 2000000
#define FDS_SEARCHED 65536

static const unsigned char connack[] = {0x20, 0x02, 0x00, 0x00};
static const unsigned char pingresp[] = {0xD0, 0x00};

static pthread_mutex_t g_lock = PTHREAD_MUTEX_INITIALIZER; /* guards what follows */
static MQTTAsync g_handle;
static char g_uri[64];
static bool g_begun;
static int g_listener = -1;
static int g_wire = -1; /* our end of the connection */
static bool g_greeted;
static atomic_bool g_slow_checks; /* somebody connected since we last did */
/* No lock: in a child the lock may be held by a thread that is not there. */
static atomic_bool g_touched;
static atomic_uint g_touched_in; /* the forks there had been */
static atomic_uint g_forks;

static void in_child(void)
{
    atomic_fetch_add(&g_forks, 1);
}

uint32_t pubsub__paho_forks(void)
{
    return atomic_load(&g_forks);
}

/* Whether this process is a child of one that used the library. */
static bool inherited(void)
{
    return atomic_load(&g_touched) && atomic_load(&g_touched_in) != atomic_load(&g_forks);
}

/* ---- signals ------------------------------------------------------------------------------- */

void pubsub__paho_mask(paho_mask *mask)
{
    sigset_t all, pending;

    sigfillset(&all);
    sigpending(&pending);
    mask->pending = sigismember(&pending, SIGPIPE) == 1;
    pthread_sigmask(SIG_SETMASK, &all, &mask->old);
}

void pubsub__paho_unmask(paho_mask *mask)
{
    static const struct timespec at_once = {0, 0};
    sigset_t pipe_only, pending;

    sigpending(&pending);
    if (!mask->pending && sigismember(&pending, SIGPIPE) == 1) {
        sigemptyset(&pipe_only);
        sigaddset(&pipe_only, SIGPIPE);
        while (sigtimedwait(&pipe_only, NULL, &at_once) < 0 && errno == EINTR) {
        }
    }
    pthread_sigmask(SIG_SETMASK, &mask->old, NULL);
}

/* @locks g_lock, as two threads would take the other's SIG_IGN for the program's wish. */
static int create(MQTTAsync *handle, const char *uri, const char *client_id, int version, int room)
{
    MQTTAsync_createOptions options = MQTTAsync_createOptions_initializer;
    struct sigaction before;
    paho_mask mask;

    options.MQTTVersion = version;
    options.maxBufferedMessages = room;
    *handle = NULL;
    pubsub__paho_mask(&mask);
    sigaction(SIGPIPE, NULL, &before);
    int rc = MQTTAsync_createWithOptions(handle, uri, client_id, MQTTCLIENT_PERSISTENCE_NONE, NULL,
                                         &options);
    sigaction(SIGPIPE, &before, NULL);
    pubsub__paho_unmask(&mask);
    return rc;
}

int pubsub__paho_create(MQTTAsync *handle, const char *uri, const char *client_id, int version)
{
    pthread_mutex_lock(&g_lock);
    /* Far above our own bound: at its own, the library loses messages without a word. */
    int rc = create(handle, uri, client_id, version, 200000);
    pthread_mutex_unlock(&g_lock);
    return rc;
}

/* ---- the connection to ourselves ------------------------------------------------------------- */

static int take_nothing(void *context, char *topic, int topic_len, MQTTAsync_message *message)
{
    (void)context;
    (void)topic_len;
    MQTTAsync_freeMessage(&message);
    MQTTAsync_free(topic);
    return 1;
}

static bool start_listening(struct sockaddr_in *address)
{
    socklen_t size = sizeof(*address);

    memset(address, 0, sizeof(*address));
    address->sin_family = AF_INET;
    address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    g_listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return g_listener >= 0 && bind(g_listener, (struct sockaddr *)address, size) == 0 &&
           listen(g_listener, 4) == 0 &&
           getsockname(g_listener, (struct sockaddr *)address, &size) == 0;
}

/* How often keep alives are looked at, for all handles, is a tenth of that of the one that connected
 * last, five seconds at most: too late for a shorter one. Ours is none, which makes it a tenth of a second. */
static int connect_handle(void)
{
    MQTTAsync_connectOptions options = MQTTAsync_connectOptions_initializer;
    char *uris[1] = {g_uri};
    paho_mask mask;

    options.MQTTVersion = MQTTVERSION_3_1_1;
    options.keepAliveInterval = 0;
    options.connectTimeout = NEVER_S;
    options.serverURIcount = 1;
    options.serverURIs = uris;
    pubsub__paho_mask(&mask);
    int rc = MQTTAsync_connect(g_handle, &options);
    pubsub__paho_unmask(&mask);
    return rc;
}

static bool start_connecting(void)
{
    struct sockaddr_in address;

    if (!start_listening(&address)) {
        return false;
    }
    snprintf(g_uri, sizeof(g_uri), "tcp://127.0.0.1:%u", ntohs(address.sin_port));
    MQTTAsync_setCallbacks(g_handle, NULL, NULL, take_nothing, NULL);
    return connect_handle() == MQTTASYNC_SUCCESS;
}

static void stop_listening(void)
{
    if (g_listener >= 0) {
        close(g_listener);
        g_listener = -1;
    }
}

static void hang_up(void)
{
    if (g_wire >= 0) {
        close(g_wire);
        g_wire = -1;
    }
    g_greeted = false;
}

/* Whether the other end is a socket of this process; anybody can connect to a loopback port. */
static bool is_ours(int wire)
{
    struct sockaddr_in peer = {0};
    struct sockaddr_in own = {0};
    socklen_t size = sizeof(peer);
    long most = sysconf(_SC_OPEN_MAX);

    if (getpeername(wire, (struct sockaddr *)&peer, &size) != 0) {
        return false;
    }
    if (most < 0 || most > FDS_SEARCHED) {
        most = FDS_SEARCHED;
    }
    for (int fd = 0; fd < (int)most; fd++) {
        size = sizeof(own);
        if (fd != wire && getsockname(fd, (struct sockaddr *)&own, &size) == 0 &&
            own.sin_family == AF_INET && own.sin_port == peer.sin_port &&
            own.sin_addr.s_addr == peer.sin_addr.s_addr) {
            return true;
        }
    }
    return false;
}

/* @locks g_lock. A step towards the connection, if one can be made now. */
static void come_up(void)
{
    while (g_wire < 0 && g_listener >= 0) {
        int wire = accept4(g_listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (wire < 0) {
            return;
        }
        if (is_ours(wire)) {
            g_wire = wire;
            stop_listening();
        } else {
            close(wire);
        }
    }
    if (g_wire >= 0 && !g_greeted) {
        char hello[256];
        if (recv(g_wire, hello, sizeof(hello), MSG_DONTWAIT) > 0) {
            g_greeted = send(g_wire, connack, sizeof(connack), MSG_NOSIGNAL | MSG_DONTWAIT) ==
                        (ssize_t)sizeof(connack);
        }
    }
}

static void tell(const mqtt_host *host, const char *text)
{
    if (host->log != NULL) {
        host->log(host->wake_ctx, 2, text);
    }
}

static void watch_forks(void)
{
    pthread_atfork(NULL, NULL, in_child);
}

static bool begin(const mqtt_host *host)
{
    if (create(&g_handle, "tcp://127.0.0.1:1", "wake", MQTTVERSION_3_1_1, 4) != MQTTASYNC_SUCCESS) {
        return false;
    }
    pubsub__paho_trace_install();
    g_begun = true;
    if (!start_connecting()) {
        stop_listening();
        tell(host, "cannot connect to myself over the loopback: MQTT connects and ends slowly");
    }
    return true;
}

bool pubsub__paho_begin(const mqtt_host *host)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, watch_forks);
    if (inherited()) {
        return false;
    }
    atomic_store(&g_touched_in, atomic_load(&g_forks));
    atomic_store(&g_touched, true);
    pthread_mutex_lock(&g_lock);
    bool good = g_begun || begin(host);
    pthread_mutex_unlock(&g_lock);
    return good;
}

void pubsub__paho_settled(void)
{
    atomic_store(&g_slow_checks, true);
}

/* @locks g_lock */
static void kick(void)
{
    char heard[256];

    come_up();
    if (g_wire < 0 || !g_greeted) {
        return;
    }
    ssize_t got;
    while ((got = recv(g_wire, heard, sizeof(heard), MSG_DONTWAIT)) > 0) {
    }
    if (got == 0 || (send(g_wire, pingresp, sizeof(pingresp), MSG_NOSIGNAL | MSG_DONTWAIT) < 0 &&
                     errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)) {
        hang_up();
        return;
    }
    MQTTAsync_send(g_handle, "k", 0, "", 0, 0, NULL);
    if (atomic_exchange(&g_slow_checks, false)) {
        connect_handle(); /* it is connected, so nothing comes of it but the interval */
    }
}

void pubsub__paho_kick(void)
{
    if (inherited()) {
        return;
    }
    pthread_mutex_lock(&g_lock);
    if (g_begun) {
        kick();
    }
    pthread_mutex_unlock(&g_lock);
}
