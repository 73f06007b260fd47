/* SPDX-License-Identifier: MIT */
#include "transport/lookup.h"

#include "base/alloc.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Most look-ups at the same time; further ones wait. */
#define THREADS_MAX 8u

struct pubsub__lookup {
    atomic_uint refs; /* who asked, and the thread */
    int fd;
    char *host;
    uint16_t port;
    pubsub__lookup *next;
    /* Written by the thread before `answered`. */
    atomic_bool answered;
    int code; /* of getaddrinfo */
    int sys_errno;
    pubsub__addresses found;
};

static struct {
    pthread_mutex_t lock;
    pubsub__lookup *head;
    pubsub__lookup **tail;
    unsigned threads;
} g_work = {.lock = PTHREAD_MUTEX_INITIALIZER, .tail = &g_work.head};

static pthread_once_t g_once = PTHREAD_ONCE_INIT;

/* ---- fork: the child has the memory of the threads, but not the threads ---- */

static void before_fork(void)
{
    pthread_mutex_lock(&g_work.lock);
}

static void after_fork(void)
{
    pthread_mutex_unlock(&g_work.lock);
}

static void in_child(void)
{
    g_work.head = NULL; /* the parent's */
    g_work.tail = &g_work.head;
    g_work.threads = 0;
    pthread_mutex_unlock(&g_work.lock);
}

static void set_up(void)
{
    pthread_atfork(before_fork, after_fork, in_child);
}

/* ---- addresses ---- */

static void set_port(pubsub__address *address, uint16_t port)
{
    if (address->at.ss_family == AF_INET) {
        ((struct sockaddr_in *)(void *)&address->at)->sin_port = htons(port);
    } else {
        ((struct sockaddr_in6 *)(void *)&address->at)->sin6_port = htons(port);
    }
}

static bool usable(const struct addrinfo *info)
{
    return (info->ai_family == AF_INET || info->ai_family == AF_INET6) &&
           info->ai_addrlen <= sizeof(struct sockaddr_storage);
}

/* The next one of the family wanted (or of any other family), from `at` on. */
static const struct addrinfo *next_of(const struct addrinfo *at, int family, bool same)
{
    while (at != NULL && (!usable(at) || (at->ai_family == family) != same)) {
        at = at->ai_next;
    }
    return at;
}

/* The resolver's order, except that the families take turns: when one of them leads nowhere, the other
 * is tried second, not last. */
static void take_all(pubsub__addresses *out, const struct addrinfo *list, uint16_t port)
{
    int family = list->ai_family;
    const struct addrinfo *first = next_of(list, family, true);
    const struct addrinfo *other = next_of(list, family, false);
    bool turn = true;
    out->count = 0;
    while ((first != NULL || other != NULL) && out->count < PUBSUB__ADDRESSES_MAX) {
        const struct addrinfo **from = (turn && first != NULL) || other == NULL ? &first : &other;
        pubsub__address *to = &out->items[out->count++];
        memcpy(&to->at, (*from)->ai_addr, (*from)->ai_addrlen);
        to->len = (*from)->ai_addrlen;
        set_port(to, port);
        *from = next_of((*from)->ai_next, family, from == &first);
        turn = !turn;
    }
}

bool pubsub__lookup_literal(const char *host, uint16_t port, pubsub__addresses *out)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST};
    struct addrinfo *list = NULL;
    if (getaddrinfo(host, NULL, &hints, &list) != 0) {
        return false;
    }
    take_all(out, list, port);
    freeaddrinfo(list);
    return out->count > 0;
}

/* ---- threads ---- */

static void unref(pubsub__lookup *lookup)
{
    if (atomic_fetch_sub_explicit(&lookup->refs, 1, memory_order_acq_rel) == 1) {
        close(lookup->fd);
        pubsub__free(lookup->host);
        pubsub__free(lookup);
    }
}

static void answer(pubsub__lookup *lookup)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    uint64_t one = 1;
    errno = 0;
    lookup->code = getaddrinfo(lookup->host, NULL, &hints, &list);
    lookup->sys_errno = errno;
    if (lookup->code == 0) {
        take_all(&lookup->found, list, lookup->port);
        freeaddrinfo(list);
    }
    atomic_store_explicit(&lookup->answered, true, memory_order_release);
    while (write(lookup->fd, &one, sizeof one) < 0 && errno == EINTR) {
    }
}

/* Takes work until there is none. */
static void *thread_main(void *arg)
{
    pubsub__lookup *lookup = arg;
    while (lookup != NULL) {
        /* One reference left: nobody waits for it any more. */
        if (atomic_load_explicit(&lookup->refs, memory_order_acquire) > 1) {
            answer(lookup);
        }
        unref(lookup);
        pthread_mutex_lock(&g_work.lock);
        lookup = g_work.head;
        if (lookup == NULL) {
            g_work.threads--;
        } else {
            g_work.head = lookup->next;
            g_work.tail = g_work.head == NULL ? &g_work.head : g_work.tail;
        }
        pthread_mutex_unlock(&g_work.lock);
    }
    return NULL;
}

static bool start_thread(pubsub__lookup *lookup)
{
    pthread_t thread;
    pthread_attr_t attr;
    sigset_t all;
    sigset_t old;
    if (pthread_attr_init(&attr) != 0) {
        return false;
    }
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old); /* signals belong to the program's threads */
    int rc = pthread_create(&thread, &attr, thread_main, lookup);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    return rc == 0;
}

/* To a new thread, or into the line behind those that run. */
static bool hand_over(pubsub__lookup *lookup)
{
    pthread_mutex_lock(&g_work.lock);
    bool fresh = g_work.threads < THREADS_MAX;
    if (fresh) {
        g_work.threads++;
    } else {
        *g_work.tail = lookup;
        g_work.tail = &lookup->next;
    }
    pthread_mutex_unlock(&g_work.lock);
    if (fresh && !start_thread(lookup)) {
        pthread_mutex_lock(&g_work.lock);
        g_work.threads--;
        pthread_mutex_unlock(&g_work.lock);
        return false;
    }
    return true;
}

pubsub__lookup *pubsub__lookup_start(const char *host, uint16_t port)
{
    pthread_once(&g_once, set_up);
    pubsub__lookup *lookup = pubsub__calloc(1, sizeof *lookup);
    if (lookup == NULL) {
        return NULL;
    }
    atomic_init(&lookup->refs, 2);
    lookup->port = port;
    lookup->host = pubsub__strdup(host);
    lookup->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (lookup->host != NULL && lookup->fd >= 0 && hand_over(lookup)) {
        return lookup;
    }
    if (lookup->fd >= 0) {
        close(lookup->fd);
    }
    pubsub__free(lookup->host);
    pubsub__free(lookup);
    return NULL;
}

int pubsub__lookup_fd(const pubsub__lookup *lookup)
{
    return lookup->fd;
}

pubsub_err pubsub__lookup_result(pubsub__lookup *lookup, pubsub__addresses *out, pubsub_error *err)
{
    if (!atomic_load_explicit(&lookup->answered, memory_order_acquire)) {
        return PUBSUB_EAGAIN;
    }
    if (lookup->code == 0 && lookup->found.count > 0) {
        *out = lookup->found;
        return PUBSUB_OK;
    }
    if (lookup->code == EAI_SYSTEM) {
        return pubsub_error_set_errno(err, PUBSUB_ECONNECT, lookup->sys_errno,
                                      "cannot look up the host '%.100s'", lookup->host);
    }
    pubsub_error_set(err, PUBSUB_ECONNECT, "cannot look up the host '%.100s': %s", lookup->host,
                     lookup->code == 0 ? "it has no address for TCP" : gai_strerror(lookup->code));
    if (err != NULL) {
        err->native_code = lookup->code;
    }
    return PUBSUB_ECONNECT;
}

void pubsub__lookup_free(pubsub__lookup *lookup)
{
    if (lookup != NULL) {
        unref(lookup);
    }
}
