/* SPDX-License-Identifier: MIT */
#include "support/proxy.h"

#include "support/cmocka.h"
#include "support/proxy_internal.h"
#include "support/wait.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LINKS_MAX = 128 };

/* Something only the thread may do, because it may be waiting on the descriptors meanwhile. */
typedef struct job {
    void (*run)(kit_proxy *proxy, const struct job *job);
    kit_way way;
    const void *data;
    size_t len;
    kit_door door;
    bool done;
} job;

struct kit_proxy {
    pthread_t thread;
    pthread_mutex_t lock; /* the thread holds it except while it waits */
    pthread_cond_t changed;
    job *job;
    bool stopping;
    int wake[2];
    int listener; /* -1 = nobody listens */
    uint16_t port;
    uint16_t target;
    kit_door door;
    proxy_rules rules[2];
    proxy_link *links;
    size_t open;
    size_t accepted;
};

static int listen_on(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    int on = 1;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0) {
        return -1;
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (!proxy_prepare_socket(fd) || bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(fd, LINKS_MAX) != 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

/* --- the thread --- */

static void accept_all(kit_proxy *proxy)
{
    while (proxy->open < LINKS_MAX) {
        int fd = accept(proxy->listener, NULL, NULL);
        proxy_link *link = NULL;
        if (fd < 0) {
            return;
        }
        proxy->accepted++;
        link = proxy_link_new(fd, proxy->door == KIT_DOOR_MUTE ? 0 : proxy->target, proxy->rules);
        if (link != NULL) {
            link->next = proxy->links;
            proxy->links = link;
            proxy->open++;
        }
    }
}

static size_t prepare(kit_proxy *proxy, struct pollfd *polls, int *timeout_ms)
{
    uint64_t now = kit_now();
    uint64_t due_ns = UINT64_MAX;
    size_t count = 0;
    polls[count++] = (struct pollfd){proxy->wake[0], POLLIN, 0};
    polls[count++] = (struct pollfd){proxy->open < LINKS_MAX ? proxy->listener : -1, POLLIN, 0};
    for (proxy_link *link = proxy->links; link != NULL; link = link->next) {
        proxy_link_prepare(link, proxy->rules, now, polls + count, &due_ns);
        count += 2;
    }
    *timeout_ms = -1;
    if (due_ns != UINT64_MAX) {
        uint64_t ms = (due_ns - now + 999999u) / 1000000u;
        *timeout_ms = ms < 60000 ? (int)ms : 60000;
    }
    return count;
}

static void serve_links(kit_proxy *proxy, const struct pollfd *polls)
{
    uint64_t now = kit_now();
    proxy_link **at = &proxy->links;
    while (*at != NULL) {
        proxy_link *link = *at;
        if (proxy_link_serve(link, proxy->rules, now, polls)) {
            at = &link->next;
        } else {
            *at = link->next;
            proxy_link_free(link);
            proxy->open--;
        }
        polls += 2;
    }
}

static void run_job(kit_proxy *proxy)
{
    if (proxy->job != NULL && !proxy->job->done) {
        proxy->job->run(proxy, proxy->job);
        proxy->job->done = true;
        (void)pthread_cond_broadcast(&proxy->changed);
    }
}

static void *proxy_main(void *argument)
{
    static const size_t most = 2 + 2 * LINKS_MAX;
    kit_proxy *proxy = argument;
    struct pollfd polls[2 + 2 * LINKS_MAX];
    (void)pthread_mutex_lock(&proxy->lock);
    while (!proxy->stopping) {
        int timeout_ms = -1;
        size_t count = prepare(proxy, polls, &timeout_ms);
        char drain[64];
        (void)pthread_mutex_unlock(&proxy->lock);
        (void)poll(polls, (nfds_t)(count < most ? count : most), timeout_ms);
        (void)pthread_mutex_lock(&proxy->lock);
        while (read(proxy->wake[0], drain, sizeof(drain)) > 0) {
        }
        serve_links(proxy, polls + 2); /* before anything adds or removes a link */
        run_job(proxy);
        if ((polls[1].revents & POLLIN) != 0 && proxy->listener >= 0) {
            accept_all(proxy);
        }
    }
    (void)pthread_mutex_unlock(&proxy->lock);
    return NULL;
}

/* --- what tests ask for --- */

static void wake(kit_proxy *proxy)
{
    (void)!write(proxy->wake[1], "", 1);
}

static void ask(kit_proxy *proxy, job *work)
{
    (void)pthread_mutex_lock(&proxy->lock);
    while (proxy->job != NULL) {
        (void)pthread_cond_wait(&proxy->changed, &proxy->lock);
    }
    proxy->job = work;
    wake(proxy);
    while (!work->done) {
        (void)pthread_cond_wait(&proxy->changed, &proxy->lock);
    }
    proxy->job = NULL;
    (void)pthread_cond_broadcast(&proxy->changed);
    (void)pthread_mutex_unlock(&proxy->lock);
}

static void do_cut(kit_proxy *proxy, const job *work)
{
    (void)work;
    while (proxy->links != NULL) {
        proxy_link *link = proxy->links;
        proxy->links = link->next;
        proxy_link_reset(link);
        proxy_link_free(link);
    }
    proxy->open = 0;
}

static void do_half_close(kit_proxy *proxy, const job *work)
{
    for (proxy_link *link = proxy->links; link != NULL; link = link->next) {
        proxy_link_half_close(link, work->way);
    }
}

static void do_inject(kit_proxy *proxy, const job *work)
{
    for (proxy_link *link = proxy->links; link != NULL; link = link->next) {
        proxy_link_inject(link, work->way, work->data, work->len, kit_now());
    }
}

static void do_door(kit_proxy *proxy, const job *work)
{
    proxy->door = work->door;
    if (work->door == KIT_DOOR_CLOSED && proxy->listener >= 0) {
        (void)close(proxy->listener);
        proxy->listener = -1;
    } else if (work->door != KIT_DOOR_CLOSED && proxy->listener < 0) {
        proxy->listener = listen_on(proxy->port);
    }
}

void kit_proxy_cut(kit_proxy *proxy)
{
    job work = {.run = do_cut};
    ask(proxy, &work);
}

void kit_proxy_half_close(kit_proxy *proxy, kit_way way)
{
    job work = {.run = do_half_close, .way = way};
    ask(proxy, &work);
}

void kit_proxy_inject(kit_proxy *proxy, kit_way way, const void *data, size_t len)
{
    job work = {.run = do_inject, .way = way, .data = data, .len = len};
    ask(proxy, &work);
}

void kit_proxy_door(kit_proxy *proxy, kit_door door)
{
    job work = {.run = do_door, .door = door};
    ask(proxy, &work);
    (void)pthread_mutex_lock(&proxy->lock);
    bool open = proxy->listener >= 0;
    (void)pthread_mutex_unlock(&proxy->lock);
    assert_int_equal(open, door != KIT_DOOR_CLOSED);
}

/* Run statements on the proxy's fields under its lock, then let the thread look at them. */
#define UNDER_LOCK(proxy, statement)                                                               \
    do {                                                                                           \
        (void)pthread_mutex_lock(&(proxy)->lock);                                                  \
        statement;                                                                                 \
        wake(proxy);                                                                               \
        (void)pthread_mutex_unlock(&(proxy)->lock);                                                \
    } while (0)

void kit_proxy_target(kit_proxy *proxy, uint16_t target)
{
    UNDER_LOCK(proxy, proxy->target = target);
}

void kit_proxy_delay(kit_proxy *proxy, kit_way way, int64_t ms)
{
    UNDER_LOCK(proxy, proxy->rules[way].delay_ns = (uint64_t)ms * 1000000u);
}

void kit_proxy_bandwidth(kit_proxy *proxy, kit_way way, uint64_t bytes_per_second)
{
    UNDER_LOCK(proxy, proxy->rules[way].bytes_per_second = bytes_per_second);
}

void kit_proxy_stall(kit_proxy *proxy, kit_way way, bool on)
{
    UNDER_LOCK(proxy, proxy->rules[way].stall = on);
}

void kit_proxy_filter(kit_proxy *proxy, kit_way way, const kit_filter *filter)
{
    kit_filter none = {NULL, NULL, 0};
    UNDER_LOCK(proxy, proxy->rules[way].filter = filter != NULL ? *filter : none);
}

uint64_t kit_proxy_bytes(kit_proxy *proxy, kit_way way)
{
    uint64_t bytes = 0;
    UNDER_LOCK(proxy, bytes = proxy->rules[way].bytes);
    return bytes;
}

size_t kit_proxy_open(kit_proxy *proxy)
{
    size_t open = 0;
    UNDER_LOCK(proxy, open = proxy->open);
    return open;
}

size_t kit_proxy_accepted(kit_proxy *proxy)
{
    size_t accepted = 0;
    UNDER_LOCK(proxy, accepted = proxy->accepted);
    return accepted;
}

uint16_t kit_proxy_port(const kit_proxy *proxy)
{
    return proxy->port;
}

kit_proxy *kit_proxy_start(uint16_t target)
{
    kit_proxy *proxy = calloc(1, sizeof(*proxy));
    struct sockaddr_in address;
    socklen_t len = sizeof(address);
    assert_non_null(proxy);
    proxy->target = target;
    proxy->listener = listen_on(0);
    assert_true(proxy->listener >= 0);
    assert_int_equal(getsockname(proxy->listener, (struct sockaddr *)&address, &len), 0);
    proxy->port = ntohs(address.sin_port);
    assert_int_equal(pipe(proxy->wake), 0);
    for (int i = 0; i < 2; i++) {
        (void)fcntl(proxy->wake[i], F_SETFL, O_NONBLOCK);
        (void)fcntl(proxy->wake[i], F_SETFD, FD_CLOEXEC);
    }
    assert_int_equal(pthread_mutex_init(&proxy->lock, NULL), 0);
    assert_int_equal(pthread_cond_init(&proxy->changed, NULL), 0);
    assert_int_equal(pthread_create(&proxy->thread, NULL, proxy_main, proxy), 0);
    return proxy;
}

void kit_proxy_stop(kit_proxy *proxy)
{
    if (proxy == NULL) {
        return;
    }
    UNDER_LOCK(proxy, proxy->stopping = true);
    (void)pthread_join(proxy->thread, NULL);
    do_cut(proxy, NULL);
    if (proxy->listener >= 0) {
        (void)close(proxy->listener);
    }
    (void)close(proxy->wake[0]);
    (void)close(proxy->wake[1]);
    (void)pthread_cond_destroy(&proxy->changed);
    (void)pthread_mutex_destroy(&proxy->lock);
    free(proxy);
}

/* --- URLs --- */

/* The part of a url that is host and port. */
static const char *authority(const char *url, size_t *len)
{
    const char *host = strstr(url, "://");
    const char *user = NULL;
    host = host != NULL ? host + 3 : url;
    *len = strcspn(host, "/?#");
    for (const char *at = host; at < host + *len; at++) {
        if (*at == '@') {
            user = at;
        }
    }
    if (user != NULL) {
        *len -= (size_t)(user + 1 - host);
        host = user + 1;
    }
    return host;
}

uint16_t kit_url_port(const char *url)
{
    size_t len = 0;
    const char *host = authority(url, &len);
    const char *colon = memchr(host, ':', len);
    unsigned long port = colon != NULL ? strtoul(colon + 1, NULL, 10) : 0;
    return port <= 65535 ? (uint16_t)port : 0;
}

void kit_proxy_url(const kit_proxy *proxy, const char *url, char *out, size_t size)
{
    size_t len = 0;
    const char *host = authority(url, &len);
    bool named = len >= 9 && strncmp(host, "localhost", 9) == 0;
    (void)snprintf(out, size, "%.*s%s:%u%s", (int)(host - url), url,
                   named ? "localhost" : "127.0.0.1", (unsigned)proxy->port, host + len);
}
