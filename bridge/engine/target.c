/* SPDX-License-Identifier: MIT */
#include "engine/target.h"

#include "base/alloc.h"
#include "connectors/client_end.h"

#include <string.h>

#define BATCH_MESSAGES 256
#define BATCH_BYTES (256u * 1024u)
#define POOL_MAX 1024            /* flights that are kept for reuse */
#define KEEP_BYTES (64u * 1024u) /* a flight with more is not kept */
#define FULL_PAUSE_MS 5          /* the client's queue is full */
#define RETRY_PAUSE_MS 1000
/* With so many messages at the client, reports are fetched at most every GATHER_MS unless this many come at
 * a time: fetching a few means waking up for a few, and then the source's client, too. */
#define GATHER_ABOVE 256
#define GATHER_WORTH 128
#define GATHER_MS 1

typedef struct flight_list {
    bridge_flight *head;
    bridge_flight *tail;
    size_t count;
    size_t bytes;
} flight_list;

struct bridge_target {
    pubsub_host *host;
    pubsub_client *client;
    char *url;
    pubsub_host_watch *watch;
    pubsub_host_timer *flush;
    pubsub_host_timer *again;
    pubsub_host_timer *gather;
    size_t reports; /* since they were fetched last */
    size_t at_client;
    bridge_target_user *users;
    flight_list pending;
    flight_list later; /* to be tried again after a pause */
    bridge_flight *pool;
    size_t pooled;
    pubsub_state state;
    bool failed;
    bool flushing;
    pubsub_error error;
    pubsub_caps caps;
    char *name;
    void (*gone)(void *ctx);
    void *gone_ctx;
};

/* ---- flights ---- */

static void append(flight_list *list, bridge_flight *flight)
{
    flight->next = NULL;
    if (list->head == NULL) {
        list->head = flight;
    } else {
        list->tail->next = flight;
    }
    list->tail = flight;
    list->count++;
    list->bytes += flight->publication.payload.len;
}

static bridge_flight *pop(flight_list *list)
{
    bridge_flight *flight = list->head;
    if (flight != NULL) {
        list->head = flight->next;
        list->count--;
        list->bytes -= flight->publication.payload.len;
    }
    return flight;
}

bridge_flight *bridge_target_flight(bridge_target_user *user)
{
    bridge_target *target = user->target;
    bridge_flight *flight = target->pool;
    if (flight != NULL) {
        target->pool = flight->next;
        target->pooled--;
    } else {
        flight = pubsub__calloc(1, sizeof *flight);
        if (flight == NULL) {
            return NULL;
        }
        flight->target = target;
        pubsub__buf_init(&flight->data, SIZE_MAX / 4);
    }
    flight->user = user;
    user->flights++;
    return flight;
}

static void release(bridge_flight *flight)
{
    pubsub__buf_fini(&flight->data);
    pubsub__free(flight->headers);
    pubsub__free(flight);
}

void bridge_target_flight_free(bridge_flight *flight)
{
    bridge_target *target = flight->target;
    if (flight->user != NULL && --flight->user->flights == 0 && flight->user->gone) {
        pubsub__free(flight->user);
    }
    if (target->pooled >= POOL_MAX || flight->data.cap > KEEP_BYTES) {
        release(flight);
        return;
    }
    pubsub__buf data = flight->data;
    pubsub_header *headers = flight->headers;
    size_t capacity = flight->header_capacity;
    pubsub__buf_reset(&data);
    *flight = (bridge_flight){.target = target,
                              .data = data,
                              .headers = headers,
                              .header_capacity = capacity,
                              .next = target->pool};
    target->pool = flight;
    target->pooled++;
}

/* ---- reports ---- */

static void report(bridge_flight *flight, const pubsub_report *what)
{
    if (!flight->user->gone) {
        flight->user->report(flight, what);
    } else {
        bridge_target_flight_free(flight);
    }
}

static void on_delivery(void *ctx, const pubsub_report *what)
{
    bridge_target *target = ctx;
    target->reports++;
    target->at_client--;
    report(what->token, what);
}

/* It never got into the client. */
static void refused(bridge_flight *flight, const pubsub_error *error)
{
    pubsub_report what = {
        flight, PUBSUB_REJECTED, PUBSUB_CONFIRM_NONE, PUBSUB_QOS_UNSET, 0, PUBSUB_POSITION_NONE,
        error};
    report(flight, &what);
}

static void tell_settled(bridge_target *target)
{
    bridge_target_user *next = NULL;
    for (bridge_target_user *user = target->users; user != NULL; user = next) {
        next = user->next;
        user->settled(user->ctx);
    }
}

static void tell_changed(bridge_target *target)
{
    bridge_target_user *next = NULL;
    for (bridge_target_user *user = target->users; user != NULL; user = next) {
        next = user->next;
        user->changed(user->ctx);
    }
}

/* ---- publishing ---- */

static pubsub_err publish_some(bridge_target *target, size_t *queued, pubsub_error *err)
{
    pubsub_publication batch[BATCH_MESSAGES];
    size_t count = 0;
    size_t bytes = 0;
    for (bridge_flight *f = target->pending.head;
         f != NULL && count < BATCH_MESSAGES && bytes < BATCH_BYTES; f = f->next) {
        bytes += f->publication.payload.len;
        batch[count++] = f->publication;
    }
    *queued = 0;
    return pubsub_client_publish_batch(target->client, batch, count, 0, queued, err);
}

static void flush(void *ctx)
{
    bridge_target *target = ctx;
    if (target->flushing) {
        return;
    }
    target->flushing = true;
    bool any_refused = false;
    /* A client that has failed would open again with the next message. */
    while (target->failed && target->pending.head != NULL) {
        any_refused = true;
        refused(pop(&target->pending), &target->error);
    }
    while (target->pending.head != NULL) {
        pubsub_error err = PUBSUB_ERROR_INIT;
        size_t queued = 0;
        pubsub_err rc = publish_some(target, &queued, &err);
        target->at_client += queued;
        while (queued-- > 0) {
            (void)pop(&target->pending);
        }
        if (rc == PUBSUB_EAGAIN) {
            target->host->timer_start(target->flush, FULL_PAUSE_MS);
            break;
        }
        if (rc != PUBSUB_OK) {
            any_refused = true;
            refused(pop(&target->pending), &err);
        }
    }
    target->flushing = false;
    if (any_refused) {
        tell_settled(target);
    }
}

static void wait_for_again(bridge_flight *flight)
{
    bridge_target *target = flight->target;
    if (target->later.head == NULL) {
        target->host->timer_start(target->again, RETRY_PAUSE_MS);
    }
    flight->user->waiting++;
    append(&target->later, flight);
}

void bridge_target_submit(bridge_flight *flight)
{
    bridge_target *target = flight->target;
    flight->publication.token = flight;
    if (flight->user->waiting > 0) { /* what is newer must not overtake */
        wait_for_again(flight);
        return;
    }
    bool idle = target->pending.head == NULL;
    append(&target->pending, flight);
    /* A message that is by itself leaves at the end of the turn; a crowd leaves in batches. */
    if (idle) {
        target->host->timer_start(target->flush, 0);
    }
}

static void on_again(void *ctx)
{
    bridge_target *target = ctx;
    bridge_flight *flight = NULL;
    for (bridge_flight *f = target->later.head; f != NULL; f = f->next) {
        f->user->waiting = 0;
    }
    while ((flight = pop(&target->later)) != NULL) {
        bridge_target_submit(flight);
    }
}

void bridge_target_retry(bridge_flight *flight)
{
    wait_for_again(flight);
}

/* ---- the client ---- */

static void learn(bridge_target *target)
{
    target->caps.size = sizeof target->caps;
    (void)pubsub_client_caps(target->client, &target->caps);
}

static void on_event(void *ctx, const pubsub_event *event)
{
    bridge_target *target = ctx;
    if (event->type == PUBSUB_EVENT_CONNECT) {
        learn(target);
    }
    if (event->type == PUBSUB_EVENT_STATE) {
        target->state = event->state;
    }
    if (event->error != NULL) {
        target->error = *event->error;
    }
    target->failed =
        target->failed || (event->type == PUBSUB_EVENT_STATE &&
                           event->state == PUBSUB_STATE_CLOSED && event->error != NULL);
    tell_changed(target);
}

/* Reports, events; then what they made room for. */
static void fetch(bridge_target *target)
{
    target->reports = 0;
    bool over = pubsub_client_poll(target->client, 0, NULL) == PUBSUB_ECLOSED;
    tell_settled(target);
    if (target->pending.head != NULL) {
        flush(target);
    }
    if (over) {
        target->host->watch_set(target->watch, 0);
    } else if (target->at_client > GATHER_ABOVE && target->reports > 0 &&
               target->reports < GATHER_WORTH) { /* none at all: the broker is away, or slow */
        target->host->watch_set(target->watch, 0);
        target->host->timer_start(target->gather, GATHER_MS);
    } else {
        target->host->watch_set(target->watch, PUBSUB_HOST_READ);
    }
}

static void on_ready(void *ctx, uint32_t bits)
{
    (void)bits;
    fetch(ctx);
}

static void on_gather(void *ctx)
{
    fetch(ctx);
}

static pubsub_err open_client(bridge_target *target, const char *url, const pubsub_options *options,
                              pubsub_error *err)
{
    pubsub_options *own = NULL;
    pubsub_err rc = pubsub_options_copy(&own, options);
    /* A broker that is not there yet when the bridge starts is a broker that is away. */
    if (rc == PUBSUB_OK && !pubsub_options_is_set(own, "connect_retry")) {
        rc = pubsub_options_set_bool(own, "connect_retry", true, err);
    }
    if (rc == PUBSUB_OK) {
        rc = pubsub_client_new(&target->client, url, own, err);
    }
    pubsub_options_free(own);
    if (rc != PUBSUB_OK) {
        return rc;
    }
    (void)pubsub_client_on_delivery(target->client, on_delivery, target);
    (void)pubsub_client_on_event(target->client, on_event, target);
    learn(target);
    return PUBSUB_OK;
}

static void release_all(bridge_target *target)
{
    bridge_flight *flight = NULL;
    while ((flight = pop(&target->pending)) != NULL || (flight = pop(&target->later)) != NULL) {
        bridge_target_flight_free(flight);
    }
    while ((flight = target->pool) != NULL) {
        target->pool = flight->next;
        release(flight);
    }
    pubsub__free(target->url);
    pubsub__free(target->name);
    pubsub__free(target);
}

bridge_target *bridge_target_new(pubsub_host *host, const char *name, const char *url,
                                 const pubsub_options *options, pubsub_error *err)
{
    bridge_target *target = pubsub__calloc(1, sizeof *target);
    if (target == NULL) {
        (void)pubsub_error_set(err, PUBSUB_ENOMEM, "no memory for the broker '%s'", name);
        return NULL;
    }
    target->host = host;
    target->url = pubsub__strdup(url);
    target->name = pubsub__strdup(name);
    if (open_client(target, url, options, err) != PUBSUB_OK) {
        release_all(target);
        return NULL;
    }
    target->watch = host->watch_new(host, pubsub_client_fd(target->client), on_ready, target);
    target->flush = host->timer_new(host, flush, target);
    target->again = host->timer_new(host, on_again, target);
    target->gather = host->timer_new(host, on_gather, target);
    if (target->url == NULL || target->name == NULL || target->watch == NULL ||
        target->flush == NULL || target->again == NULL || target->gather == NULL) {
        (void)pubsub_error_set(err, PUBSUB_ENOMEM, "no memory for the broker '%s'", name);
        host->watch_free(target->watch);
        host->timer_free(target->flush);
        host->timer_free(target->again);
        host->timer_free(target->gather);
        pubsub_client_free(target->client);
        release_all(target);
        return NULL;
    }
    host->watch_set(target->watch, PUBSUB_HOST_READ);
    return target;
}

static void on_ended(void *ctx)
{
    bridge_target *target = ctx;
    void (*gone)(void *) = target->gone;
    void *gone_ctx = target->gone_ctx;
    release_all(target);
    gone(gone_ctx);
}

void bridge_target_end(bridge_target *target, pubsub_duration_ms timeout, void (*done)(void *ctx),
                       void *ctx)
{
    target->host->watch_free(target->watch);
    target->host->timer_free(target->flush);
    target->host->timer_free(target->again);
    target->host->timer_free(target->gather);
    target->gone = done;
    target->gone_ctx = ctx;
    bridge_client_end(target->host, target->client, timeout, on_ended, target);
}

bridge_target_user *bridge_target_join(bridge_target *target, void *ctx)
{
    bridge_target_user *user = pubsub__calloc(1, sizeof *user);
    if (user != NULL) {
        user->target = target;
        user->ctx = ctx;
        user->next = target->users;
        target->users = user;
    }
    return user;
}

void bridge_target_leave(bridge_target_user *user)
{
    bridge_target_user **at = &user->target->users;
    while (*at != user) {
        at = &(*at)->next;
    }
    *at = user->next;
    user->gone = true;
    if (user->flights == 0) {
        pubsub__free(user);
    }
}

void bridge_target_connect(bridge_target *target)
{
    (void)pubsub_client_connect(target->client, NULL); /* it may be under way already */
}

const char *bridge_target_name(const bridge_target *target)
{
    return target->name;
}

const pubsub_caps *bridge_target_caps(const bridge_target *target)
{
    return &target->caps;
}

const char *bridge_target_url(const bridge_target *target)
{
    return target->url;
}

pubsub_state bridge_target_state(const bridge_target *target)
{
    return target->state;
}

bool bridge_target_failed(const bridge_target *target)
{
    return target->failed;
}

const pubsub_error *bridge_target_error(const bridge_target *target)
{
    return &target->error;
}

bool bridge_target_has(const bridge_target *target, pubsub_feature feature)
{
    return target->caps.features[feature].support != PUBSUB_REFUSED;
}
