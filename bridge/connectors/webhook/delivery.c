/* SPDX-License-Identifier: MIT */
#include "connectors/webhook/delivery.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "http/head.h"

#include <stdio.h>
#include <string.h>

enum {
    ID_MAX = 255,
    TYPE_MAX = 255,
};

webhook_delivery *webhook_delivery_new(webhook_receiver *receiver, bridge_request *request)
{
    webhook_delivery *made = pubsub__calloc(1, sizeof(*made));
    if (made == NULL) {
        return NULL;
    }
    made->receiver = receiver;
    made->request = request;
    pubsub__buf_init(&made->model, PUBSUB_MODEL_MAX);
    pubsub__buf_init(&made->body, receiver->config->max_body);
    pubsub__buf_init(&made->id, ID_MAX);
    pubsub__buf_init(&made->type, TYPE_MAX);
    made->next = receiver->deliveries;
    if (made->next != NULL) {
        made->next->prev = made;
    }
    receiver->deliveries = made;
    return made;
}

static webhook_delivery **chain_of(const webhook_delivery *d)
{
    uint32_t hash = 0;
    memcpy(&hash, d->digest.bytes, sizeof(hash));
    return &d->receiver->under_way[hash & (WEBHOOK_UNDER_WAY - 1)];
}

bool webhook_is_under_way(const webhook_delivery *d)
{
    for (const webhook_delivery *at = *chain_of(d); at != NULL; at = at->chain) {
        if (at != d && memcmp(&at->digest, &d->digest, sizeof(d->digest)) == 0) {
            return true;
        }
    }
    return false;
}

static void set_out(webhook_delivery *d)
{
    d->emitted = true;
    d->receiver->pending++;
    if (d->has_digest) {
        webhook_delivery **chain = chain_of(d);
        d->chain = *chain;
        *chain = d;
    }
}

static void take_back(webhook_delivery *d)
{
    d->receiver->pending--;
    if (d->has_digest) {
        webhook_delivery **at = chain_of(d);
        while (*at != d) {
            at = &(*at)->chain;
        }
        *at = d->chain;
    }
}

static void drop_body(webhook_delivery *d)
{
    d->receiver->bodies -= d->body.len;
    pubsub__buf_fini(&d->body);
    pubsub__buf_init(&d->body, 0);
}

void webhook_delivery_free(webhook_delivery *d)
{
    if (d->next != NULL) {
        d->next->prev = d->prev;
    }
    if (d->prev != NULL) {
        d->prev->next = d->next;
    } else {
        d->receiver->deliveries = d->next;
    }
    if (d->emitted) {
        take_back(d);
    }
    drop_body(d);
    pubsub__buf_fini(&d->model);
    pubsub__buf_fini(&d->id);
    pubsub__buf_fini(&d->type);
    pubsub__free(d->parts);
    pubsub__free(d);
}

void webhook_refuse(webhook_delivery *d, int status, const char *text)
{
    bridge_request *request = d->request;
    char header[64] = "";
    if (status == 503) {
        (void)snprintf(header, sizeof(header), "Retry-After: %lld\r\n",
                       (long long)d->receiver->config->retry_after_s);
    }
    webhook_delivery_free(d);
    if (request != NULL) {
        bridge_request_answer_text(request, status, header, text);
    }
}

void webhook_accept(webhook_delivery *d)
{
    bridge_request *request = d->request;
    int status = d->receiver->config->status;
    const pubsub_bytes nothing = {NULL, 0};
    webhook_delivery_free(d);
    if (request != NULL) {
        bridge_request_answer(request, status, NULL, nothing);
    }
}

/* The status of an event that can never be kept, however often it is sent; 0 when it may be another time. */
static int final_status(pubsub_err result)
{
    switch (result) {
    case PUBSUB_ETOOBIG:
        return 413;
    case PUBSUB_EINVAL:
    case PUBSUB_ETOPIC:
    case PUBSUB_EUTF8:
        return 422;
    default:
        return 0;
    }
}

static void refuse_kept(webhook_delivery *d)
{
    char text[128];
    int status = final_status(d->result);
    if (status != 0) {
        (void)snprintf(text, sizeof(text),
                       "this can never be passed on from here (%s), do not send it again",
                       pubsub_strerror(d->result));
        webhook_refuse(d, status, text);
    } else {
        webhook_refuse(d, 503,
                       d->result == PUBSUB_EAGAIN ? "too much is waiting, come again"
                                                  : "not stored, come again");
    }
}

void webhook_part_over(webhook_delivery *d, pubsub_err result)
{
    webhook_receiver *receiver = d->receiver;
    /* What may succeed another time outweighs what never will: the sender has to come again. */
    if (result != PUBSUB_OK && (d->result == PUBSUB_OK || final_status(d->result) != 0)) {
        d->result = result;
    }
    if (--d->waiting > 0) {
        return;
    }
    if (d->result == PUBSUB_OK) {
        if (d->has_digest) {
            webhook_seen_add(receiver->seen, &d->digest, receiver->host->now_ns(receiver->host));
        }
        webhook_accept(d);
    } else {
        refuse_kept(d);
    }
}

void webhook_receiver_settled(const pubsub_settled *settled)
{
    webhook_part *p = settled->token;
    if (p->instance != NULL) {
        p->instance = NULL;
        webhook_part_over(p->whole, settled->result);
    }
}

/* Nobody but the sender would hear of it otherwise. */
static void tell_refused(webhook *to, pubsub_bytes model, pubsub_err code)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    if (to->emitter != NULL && final_status(code) != 0) {
        (void)pubsub_error_set(&err, code,
                               "an event was refused for good: %s; its sender was told (status %d)",
                               pubsub_strerror(code), final_status(code));
        to->emitter->error(to->emitter, model, &err);
    }
}

/* ---- events -------------------------------------------------------------------------------- */

static size_t put_headers(const webhook_delivery *d, pubsub_header *out)
{
    const webhook_config *config = d->receiver->config;
    size_t count = 0;
    if (d->type.len > 0) {
        out[count].name = pubsub_bytes_of("pubsub-type");
        out[count].value.data = d->type.data;
        out[count++].value.len = d->type.len;
    }
    for (size_t i = 0; i < config->header_count; i++) {
        pubsub_bytes value = bridge_request_header(d->request, config->headers[i], NULL);
        if (value.data != NULL) {
            out[count].name = pubsub_bytes_of(config->headers[i]);
            out[count++].value = value;
        }
    }
    return count;
}

void webhook_emit(webhook_delivery *d, int64_t time_s)
{
    webhook_receiver *receiver = d->receiver;
    pubsub_header headers[WEBHOOK_LIST_MAX + 1];
    pubsub_source_event event = PUBSUB_SOURCE_EVENT_INIT;
    const pubsub_bytes model = {d->model.data, d->model.len};
    size_t count = 0;
    for (webhook *at = receiver->instances; at != NULL; at = at->next) {
        count += webhook_wants(at, model) ? 1 : 0;
    }
    d->parts = count > 0 ? pubsub__calloc(count, sizeof(*d->parts)) : NULL;
    if (d->parts == NULL) {
        webhook_refuse(d, 503, "come again");
        return;
    }
    event.document.data = d->body.data;
    event.document.len = d->body.len;
    event.id.data = d->id.data;
    event.id.len = d->id.len;
    event.headers = headers;
    event.header_count = put_headers(d, headers);
    event.timestamp_ns = time_s > 0 ? (uint64_t)time_s * 1000000000u : pubsub__clock_wall_ns();
    if (receiver->config->any_body) {
        event.content_type = bridge_request_header(d->request, "content-type", NULL);
    }
    set_out(d);
    d->waiting = count + 1;
    for (webhook *at = receiver->instances; at != NULL && d->part_count < count; at = at->next) {
        webhook_part *p = &d->parts[d->part_count];
        pubsub_err code = PUBSUB_OK;
        if (!webhook_wants(at, model)) {
            continue;
        }
        event.model = model.len > 0 ? model : pubsub_bytes_of(at->models[0]);
        d->part_count++;
        p->whole = d;
        p->instance = at;
        event.token = p;
        code = at->emitter != NULL ? at->emitter->event(at->emitter, &event) : PUBSUB_ECLOSED;
        if (code != PUBSUB_OK) {
            p->instance = NULL;
            tell_refused(at, event.model, code);
            webhook_part_over(d, code);
        }
    }
    drop_body(d); /* whoever took it has a copy; many may wait */
    webhook_part_over(d, PUBSUB_OK);
}
