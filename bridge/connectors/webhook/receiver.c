/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/rand.h"
#include "base/utf8.h"
#include "connectors/webhook/delivery.h"
#include "http/head.h"
#include "json/slice.h"

#include <stdio.h>
#include <string.h>

/* What a sender is told, from the head of its request on: 2xx says that it may forget the event. */

enum {
    DRAIN_MS = 1000,
    BODIES_MAX = 64 * 1024 * 1024, /* bytes of bodies that are on their way in */
    RANDOM_ID = 24,
};

static webhook_receiver *all_receivers;

/* ---- requests ------------------------------------------------------------------------------ */

static bool is_allowed(const webhook_config *config, bridge_request *request)
{
    pubsub_bytes method = bridge_request_method(request);
    for (size_t i = 0; i < config->method_count; i++) {
        if (strlen(config->methods[i]) == method.len &&
            memcmp(config->methods[i], method.data, method.len) == 0) {
            return true;
        }
    }
    return false;
}

static void refuse_method(const webhook_config *config, bridge_request *request)
{
    char header[256] = "Allow: ";
    for (size_t i = 0; i < config->method_count; i++) {
        size_t used = strlen(header);
        (void)snprintf(header + used, sizeof(header) - used, "%s%s", i > 0 ? ", " : "",
                       config->methods[i]);
    }
    if (strlen(header) + 3 > sizeof(header)) {
        header[0] = '\0';
    } else {
        memcpy(header + strlen(header), "\r\n", 3);
    }
    bridge_request_answer_text(request, 405, header, "this method is not accepted here");
}

static bool is_wanted(const webhook_receiver *receiver, const pubsub__buf *model)
{
    const pubsub_bytes name = {model->data, model->len};
    for (const webhook *at = receiver->instances; at != NULL; at = at->next) {
        if (webhook_wants(at, name)) {
            return true;
        }
    }
    return false;
}

static bool takes_encoding(bridge_request *request)
{
    pubsub_bytes coding = bridge_request_header(request, "content-encoding", NULL);
    return coding.data == NULL || bridge_bytes_are(coding, "identity");
}

/* What can be said before the body is there is said now. */
static void on_head(void *ctx, bridge_request *request)
{
    webhook_receiver *receiver = ctx;
    const webhook_config *config = receiver->config;
    const webhook_signer *signer = &config->signer;
    webhook_delivery *d = NULL;
    if (!is_allowed(config, request)) {
        refuse_method(config, request);
        return;
    }
    d = webhook_delivery_new(receiver, request);
    if (d == NULL) {
        bridge_request_answer_text(request, 503, "Retry-After: 5\r\n", "come again");
        return;
    }
    bridge_request_set(request, d);
    if (!webhook_model_of(config, bridge_request_path(request), &d->model) ||
        !is_wanted(receiver, &d->model)) {
        webhook_refuse(d, 404, "there is no such model here");
    } else if (signer->scheme != WEBHOOK_NONE &&
               bridge_request_header(request, signer->header, NULL).data == NULL) {
        webhook_refuse(d, 401, "the signature is missing");
    } else if (!takes_encoding(request)) {
        webhook_refuse(d, 415, "a compressed body is not taken");
    } else if (receiver->pending >= config->max_pending) {
        webhook_refuse(d, 503, "too much is waiting, come again");
    }
}

static void on_body(void *ctx, bridge_request *request, pubsub_bytes piece)
{
    webhook_receiver *receiver = ctx;
    webhook_delivery *d = bridge_request_get(request);
    if (receiver->bodies + piece.len > BODIES_MAX ||
        pubsub__buf_add(&d->body, piece.data, piece.len) != PUBSUB__BUF_OK) {
        webhook_refuse(d, 503, "too much is on its way in, come again");
        return;
    }
    receiver->bodies += piece.len;
}

/* The id and the kind, from a header or a member of the body. False: they cannot be used. */
static bool find_text(const webhook_delivery *d, const char *header, const char *member,
                      pubsub__buf *out)
{
    pubsub_bytes body = {d->body.data, d->body.len};
    pubsub_bytes value = {NULL, 0};
    if (header[0] != '\0') {
        value = bridge_request_header(d->request, header, NULL);
        return pubsub__buf_add(out, value.data, value.len) == PUBSUB__BUF_OK &&
               pubsub__utf8_check(out->data, out->len);
    }
    if (member[0] != '\0') {
        value = bridge_json_member(body, member);
        return value.data == NULL || bridge_json_type_of(value) != BRIDGE_JSON_STRING ||
               bridge_json_unescape(value, out);
    }
    return true;
}

/* True: it is new and may go on; else it is answered. */
static bool is_new(webhook_delivery *d)
{
    webhook_receiver *receiver = d->receiver;
    const pubsub_bytes model = {d->model.data, d->model.len};
    pubsub_bytes id = {d->id.data, d->id.len};
    if (d->id.len == 0) {
        char name[RANDOM_ID + 1];
        pubsub__rand_name(name, RANDOM_ID); /* nothing tells two equal bodies from one sent twice */
        if (pubsub__buf_add_text(&d->id, name) != PUBSUB__BUF_OK) {
            webhook_refuse(d, 503, "come again");
            return false;
        }
        return true;
    }
    if (receiver->config->dedupe_size == 0) {
        return true;
    }
    d->has_digest = webhook_digest_of(receiver->seen, model, id, &d->digest);
    if (d->has_digest &&
        webhook_seen_has(receiver->seen, &d->digest, receiver->host->now_ns(receiver->host))) {
        webhook_accept(d);
        return false;
    }
    if (d->has_digest && webhook_is_under_way(d)) {
        webhook_refuse(d, 503, "the same delivery is under way");
        return false;
    }
    return true;
}

static bool is_signed(webhook_delivery *d, int64_t *time_s)
{
    const webhook_signer *signer = &d->receiver->config->signer;
    webhook_signed what = {{NULL, 0}, {NULL, 0}, {NULL, 0}, {d->body.data, d->body.len}, 0};
    size_t count = 0;
    what.signature = bridge_request_header(d->request, signer->header, &count);
    what.id = bridge_request_header(d->request, "webhook-id", NULL);
    what.timestamp = bridge_request_header(d->request, "webhook-timestamp", NULL);
    what.now_s = (int64_t)(pubsub__clock_wall_ns() / 1000000000u);
    switch (count > 1 ? WEBHOOK_BAD : webhook_verify(signer, &what, time_s)) {
    case WEBHOOK_GOOD:
        return true;
    case WEBHOOK_MISSING:
        webhook_refuse(d, 401, "the signature is missing");
        return false;
    case WEBHOOK_STALE:
        webhook_refuse(d, 401, "the signed time is too far from now");
        return false;
    default:
        webhook_refuse(d, 401, "the signature is wrong");
        return false;
    }
}

static void on_end(void *ctx, bridge_request *request)
{
    webhook_receiver *receiver = ctx;
    const webhook_config *config = receiver->config;
    webhook_delivery *d = bridge_request_get(request);
    pubsub_bytes body = {d->body.data, d->body.len};
    int64_t time_s = 0;
    if (!is_signed(d, &time_s)) {
        return;
    }
    if (!config->any_body && bridge_json_check(body, NULL) != NULL) {
        webhook_refuse(
            d, 400, "the body is no JSON (with GitHub, choose the content type application/json)");
    } else if (!find_text(d, config->id_header, config->id_member, &d->id) ||
               !find_text(d, config->type_header, config->type_member, &d->type)) {
        webhook_refuse(d, 400, "the delivery's id or type is too long or no UTF-8");
    } else if (receiver->pending >= config->max_pending) {
        webhook_refuse(d, 503, "too much is waiting, come again");
    } else if (is_new(d)) {
        webhook_emit(d, time_s);
    }
}

/* The sender does not wait. What was emitted is still told to `seen`, for when it comes again. */
static void on_gone(void *ctx, bridge_request *request)
{
    webhook_delivery *d = bridge_request_get(request);
    (void)ctx;
    d->request = NULL;
    if (!d->emitted) {
        webhook_delivery_free(d);
    }
}

/* ---- life ---------------------------------------------------------------------------------- */

static void receiver_free(webhook_receiver *receiver)
{
    webhook_seen_free(receiver->seen);
    webhook_config_unref(receiver->config);
    pubsub__free(receiver);
}

static pubsub_err receiver_open(webhook_receiver *receiver, pubsub_error *err)
{
    const webhook_config *config = receiver->config;
    bridge_mount_options options;
    memset(&options, 0, sizeof(options));
    options.listen = config->listen;
    options.cert_file = config->cert_file;
    options.key_file = config->key_file;
    options.path = config->mount;
    options.max_body = config->max_body;
    options.limits = config->limits;
    options.on_head = on_head;
    options.on_body = on_body;
    options.on_end = on_end;
    options.on_gone = on_gone;
    options.ctx = receiver;
    return bridge_mount_new(&receiver->mount, receiver->host, &options, err);
}

static webhook_receiver *receiver_new(webhook *self, pubsub_err *code, pubsub_error *err)
{
    webhook_receiver *receiver = pubsub__calloc(1, sizeof(*receiver));
    const webhook_config *config = self->config;
    *code = PUBSUB_ENOMEM;
    if (receiver == NULL) {
        (void)pubsub_error_set(err, PUBSUB_ENOMEM, "out of memory");
        return NULL;
    }
    receiver->host = self->host;
    receiver->config = self->config;
    self->config->refs++;
    if (config->dedupe_size > 0) {
        receiver->seen =
            webhook_seen_new(config->dedupe_size, (uint64_t)config->dedupe_window_ms * 1000000u);
    }
    if (config->dedupe_size > 0 && receiver->seen == NULL) {
        (void)pubsub_error_set(err, PUBSUB_ENOMEM, "out of memory");
    } else {
        *code = receiver_open(receiver, err);
    }
    if (*code != PUBSUB_OK) {
        receiver_free(receiver);
        return NULL;
    }
    receiver->next = all_receivers;
    all_receivers = receiver;
    return receiver;
}

pubsub_err webhook_receiver_join(webhook *self, pubsub_error *err)
{
    webhook_receiver *receiver = all_receivers;
    pubsub_err code = PUBSUB_OK;
    while (receiver != NULL &&
           (receiver->host != self->host || receiver->config->same != self->config->same)) {
        receiver = receiver->next;
    }
    if (receiver == NULL) {
        receiver = receiver_new(self, &code, err);
        if (receiver == NULL) {
            return code;
        }
    }
    self->receiver = receiver;
    self->next = receiver->instances;
    receiver->instances = self;
    return PUBSUB_OK;
}

/* The mount is gone and every request answered; what was not settled by now came too late. */
static void receiver_over(void *ctx)
{
    webhook_receiver *receiver = ctx;
    webhook *last = receiver->last;
    while (receiver->deliveries != NULL) {
        webhook_delivery_free(receiver->deliveries);
    }
    receiver_free(receiver);
    last->receiver = NULL;
    last->done(last->done_ctx);
}

/* What this instance has not settled is answered now: its routes go, others stay. */
static void give_up_parts(webhook *self)
{
    webhook_delivery *next = NULL;
    for (webhook_delivery *d = self->receiver->deliveries; d != NULL; d = next) {
        next = d->next;
        for (size_t i = 0; i < d->part_count; i++) {
            if (d->parts[i].instance == self) {
                d->parts[i].instance = NULL;
                webhook_part_over(d,
                                  PUBSUB_ECLOSED); /* the last one frees it; an instance has one */
                break;
            }
        }
    }
}

void webhook_receiver_leave(webhook *self)
{
    webhook_receiver *receiver = self->receiver;
    webhook **at = &receiver->instances;
    webhook_receiver **link = &all_receivers;
    if (receiver->instances != self || self->next != NULL) {
        give_up_parts(self);
        while (*at != self) {
            at = &(*at)->next;
        }
        *at = self->next;
        self->receiver = NULL;
        self->done(self->done_ctx);
        return;
    }
    while (*link != receiver) {
        link = &(*link)->next;
    }
    *link = receiver->next;
    receiver->last = self;
    bridge_mount_free(receiver->mount, DRAIN_MS, receiver_over, receiver);
}
