/* SPDX-License-Identifier: MIT */
#include "mqtt/adapter.h"
#include "mqtt/map.h"

#include "base/alloc.h"

#include <stdio.h>
#include <string.h>

/* Subscriptions: on which link, with which filters, and what the broker says to them. */

/* ---- where it may live --------------------------------------------------------------------------- */

static bool clash(const mqtt_link *link, const mqtt_sub *a, const mqtt_sub *b)
{
    const pubsub_subscribe_request *ra = &a->spi->request;
    const pubsub_subscribe_request *rb = &b->spi->request;
    bool told_apart = link->connack.ids_available;
    for (size_t i = 0; i < ra->pattern_count; i++) {
        for (size_t k = 0; k < rb->pattern_count; k++) {
            if (told_apart ? strcmp(a->filters[i], b->filters[k]) == 0
                           : pubsub__mqtt_overlap(ra->patterns[i], rb->patterns[k])) {
                return true;
            }
        }
    }
    return false;
}

static bool fits(const mqtt_link *link, const mqtt_sub *sub)
{
    for (const mqtt_sub *other = link->subs; other != NULL; other = other->next) {
        if (clash(link, sub, other)) {
            return false;
        }
    }
    return true;
}

static mqtt_link_kind kind_of(const mqtt_sub *sub)
{
    return sub->spi->request.durable[0] != '\0' ? MQTT_LINK_DURABLE
           : sub->spi->request.group[0] != '\0' ? MQTT_LINK_GROUP
                                                : MQTT_LINK_PLAIN;
}

static bool is_usable(const mqtt_link *link)
{
    return !link->orphan && link->state <= MQTT_LINK_UP;
}

static mqtt_link *find_place(mqtt_self *self, const mqtt_sub *sub, mqtt_link_kind kind)
{
    for (mqtt_link *link = self->links; link != NULL; link = link->next) {
        if (link->kind == kind && kind != MQTT_LINK_DURABLE && is_usable(link) && fits(link, sub)) {
            return link;
        }
    }
    return NULL;
}

static mqtt_link *new_place(mqtt_self *self, const mqtt_sub *sub, mqtt_link_kind kind,
                            pubsub_error *err)
{
    char name[320];
    const char *id = sub->spi->request.durable;
    if (kind != MQTT_LINK_DURABLE) {
        (void)snprintf(name, sizeof(name), "%s-%u", self->client_id, ++self->next_link_name);
        id = name;
    }
    uint32_t number = pubsub_sink_link_new(self->sink);
    mqtt_link *link = number == 0 ? NULL : pubsub__mqtt_link_add(self, number, kind, id);
    if (link == NULL) {
        if (number != 0) {
            pubsub_sink_link_free(self->sink, number);
        }
        pubsub_error_set(err, PUBSUB_ENOMEM, "no further connection can be opened");
    }
    return link;
}

static pubsub_err place(mqtt_self *self, mqtt_sub *sub, pubsub_error *err)
{
    mqtt_link_kind kind = kind_of(sub);
    const char *durable = sub->spi->request.durable;
    for (mqtt_link *link = self->links; kind == MQTT_LINK_DURABLE && link != NULL;
         link = link->next) {
        if (is_usable(link) && strcmp(link->client_id, durable) == 0) {
            return pubsub_error_set(err, PUBSUB_EBUSY, "this client uses the name '%.80s' already",
                                    durable);
        }
    }
    mqtt_link *link = find_place(self, sub, kind);
    if (link == NULL) {
        link = new_place(self, sub, kind, err);
    }
    if (link == NULL) {
        return PUBSUB_ENOMEM;
    }
    link->reset = kind == MQTT_LINK_DURABLE && sub->spi->request.reset;
    mqtt_sub **at = &link->subs;
    while (*at != NULL) {
        at = &(*at)->next;
    }
    *at = sub;
    sub->link = link;
    return PUBSUB_OK;
}

/* ---- life ---------------------------------------------------------------------------------------- */

/* Identifiers of a durable name must be the same in the process that comes after this one, because the
 * broker stores them with its messages: they are made from the pattern (FNV-1a). */
static uint32_t stable_id(pubsub_bytes pattern)
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < pattern.len; i++) {
        hash = (hash ^ ((const unsigned char *)pattern.data)[i]) * 16777619u;
    }
    return hash % 268435455u + 1;
}

void pubsub__mqtt_sub_free(mqtt_sub *sub)
{
    pubsub__mqtt_backlog_clear(sub);
    for (size_t i = 0; sub->filters != NULL && i < sub->spi->request.pattern_count; i++) {
        pubsub__free(sub->filters[i]);
    }
    pubsub__free(sub->filters);
    pubsub__free(sub->ids);
    sub->spi->data = NULL;
    pubsub__free(sub);
}

static pubsub_err make_filters(mqtt_self *self, mqtt_sub *sub, pubsub_error *err)
{
    const pubsub_subscribe_request *request = &sub->spi->request;
    sub->filters = pubsub__calloc(request->pattern_count, sizeof(char *));
    sub->ids = pubsub__calloc(request->pattern_count, sizeof(uint32_t));
    if (sub->filters == NULL || sub->ids == NULL) {
        return pubsub_error_set(err, PUBSUB_ENOMEM, "no memory for a subscription");
    }
    for (size_t i = 0; i < request->pattern_count; i++) {
        pubsub_err rc = pubsub__mqtt_filter_new(request->patterns[i], request->group,
                                                &sub->filters[i], &sub->superset, err);
        if (rc != PUBSUB_OK) {
            return rc;
        }
        bool stable = request->durable[0] != '\0';
        self->next_id = self->next_id % 268435455u + 1;
        sub->ids[i] = stable ? stable_id(request->patterns[i]) : self->next_id;
    }
    return PUBSUB_OK;
}

static mqtt_sub *sub_new(mqtt_self *self, pubsub_spi_subscription *spi, pubsub_error *err)
{
    mqtt_sub *sub = pubsub__calloc(1, sizeof(*sub));
    if (sub == NULL) {
        pubsub_error_set(err, PUBSUB_ENOMEM, "no memory for a subscription");
        return NULL;
    }
    sub->self = self;
    sub->spi = spi;
    spi->data = sub;
    sub->retained = spi->request.from.kind == PUBSUB_FROM_LAST;
    if (make_filters(self, sub, err) != PUBSUB_OK || place(self, sub, err) != PUBSUB_OK) {
        pubsub__mqtt_sub_free(sub);
        return NULL;
    }
    return sub;
}

/* ---- asking -------------------------------------------------------------------------------------- */

static void give_answer(mqtt_sub *sub, bool continuous)
{
    static const char reason[] =
        "reconnected: the broker kept nothing meanwhile, or perhaps not all";
    pubsub_gap gap = {reason, PUBSUB_POSITION_NONE, PUBSUB_POSITION_NONE, 0};
    bool first = !sub->ever;
    continuous = continuous && !sub->broken;
    bool durable = sub->link->kind == MQTT_LINK_DURABLE;
    pubsub_spi_subscribed answer = {continuous && (durable || !first), (pubsub_qos)sub->granted,
                                    first || (continuous && sub->granted > 0) ? NULL : &gap, 0};
    sub->subscribed = true;
    sub->ever = true;
    sub->broken = false;
    pubsub_sink_subscribed(sub->self->sink, sub->spi, &answer, NULL);
}

static void refused_by(pubsub_error *err, int reason)
{
    pubsub_err code = reason == MQTT_NOT_AUTHORIZED || reason == MQTT_UNSPECIFIED ? PUBSUB_EDENIED
                      : reason == 0x8F                                            ? PUBSUB_EPATTERN
                      : reason == MQTT_QUOTA_EXCEEDED                             ? PUBSUB_EFULL
                      : reason >= 0x9E && reason <= 0xA2                          ? PUBSUB_ENOTSUP
                                                         : PUBSUB_EREJECTED;
    const char *text = pubsub__mqtt_reason(reason);
    pubsub_error_set(err, code, "the broker refuses the subscription: %s%s",
                     text == NULL ? "unknown reason" : text,
                     reason == MQTT_UNSPECIFIED ? " (3.1.1 gives no reason; often a missing "
                                                  "permission)"
                                                : "");
    err->native_code = reason;
}

static void take_answer(mqtt_sub *sub, const uint8_t *reasons, size_t count)
{
    sub->waiting--;
    for (size_t i = 0; reasons != NULL && i < count; i++) {
        if (reasons[i] >= MQTT_UNSPECIFIED && sub->refused.code == PUBSUB_OK) {
            refused_by(&sub->refused, reasons[i]);
        } else if (reasons[i] < sub->granted) {
            sub->granted = reasons[i];
        }
    }
    if (reasons == NULL && sub->refused.code == PUBSUB_OK) {
        pubsub_error_set(&sub->refused, PUBSUB_ELOST, "the connection was lost while subscribing");
    }
    if (sub->waiting > 0) {
        return;
    }
    if (sub->refused.code != PUBSUB_OK) {
        pubsub_sink_subscribed(sub->self->sink, sub->spi, NULL, &sub->refused);
        return;
    }
    give_answer(sub, sub->link->connack.session_present);
}

void pubsub__mqtt_subscribed(void *host, void *token, const uint8_t *reasons, size_t count)
{
    mqtt_self *self = ((mqtt_link *)host)->self;
    mqtt_op *op = token;
    for (mqtt_op **at = &self->ops; *at != NULL; at = &(*at)->next) {
        if (*at == op) {
            *at = op->next;
            break;
        }
    }
    self->progress++;
    mqtt_sub *sub = op->sub;
    pubsub__free(op);
    if (sub != NULL) {
        take_answer(sub, reasons, count);
    }
}

void pubsub__mqtt_unsubscribed(void *host, void *token, bool answered)
{
    (void)token;
    (void)answered;
    ((mqtt_link *)host)->self->progress++;
}

void pubsub__mqtt_ops_drop(mqtt_self *self, const mqtt_link *link)
{
    for (mqtt_op **at = &self->ops; *at != NULL;) {
        mqtt_op *op = *at;
        if (op->link == link) {
            *at = op->next;
            pubsub__free(op);
        } else {
            at = &op->next;
        }
    }
}

static pubsub_err send_packet(mqtt_sub *sub, size_t first, size_t count, uint32_t id,
                              pubsub_error *err)
{
    mqtt_self *self = sub->self;
    mqtt_filter filters[MQTT_FILTERS_MAX];
    bool no_local = false;
    (void)pubsub_options_bool(sub->spi->request.options, "mqtt.no_local", &no_local);
    for (size_t i = 0; i < count; i++) {
        filters[i] = (mqtt_filter){sub->filters[first + i], (uint8_t)sub->spi->request.qos,
                                   no_local, false, sub->retained ? 0 : 2};
    }
    mqtt_op *op = pubsub__calloc(1, sizeof(*op));
    if (op == NULL) {
        return pubsub_error_set(err, PUBSUB_ENOMEM, "no memory to subscribe");
    }
    op->link = sub->link;
    op->sub = sub;
    pubsub_err rc = self->engine->subscribe(sub->link->engine, filters, count, id, op, err);
    if (rc != PUBSUB_OK) {
        pubsub__free(op);
        return rc;
    }
    op->next = self->ops;
    self->ops = op;
    sub->waiting++;
    return PUBSUB_OK;
}

/* Nobody waits for the answers any more. */
static void leave_ops(mqtt_sub *sub)
{
    for (mqtt_op *op = sub->self->ops; op != NULL; op = op->next) {
        if (op->sub == sub) {
            op->sub = NULL;
        }
    }
    sub->waiting = 0;
}

static void ask(mqtt_sub *sub)
{
    size_t count = sub->spi->request.pattern_count;
    bool ids = sub->link->connack.ids_available;
    pubsub_error error = PUBSUB_ERROR_INIT;
    pubsub_err rc = PUBSUB_OK;
    leave_ops(sub);
    sub->granted = sub->spi->request.qos;
    sub->refused.code = PUBSUB_OK;
    if (!ids) {
        rc = send_packet(sub, 0, count, 0, &error);
        sub->asked = sub->asked || rc == PUBSUB_OK;
    }
    for (size_t i = 0; ids && rc == PUBSUB_OK && i < count; i++) {
        rc = send_packet(sub, i, 1, sub->ids[i], &error);
        sub->asked = sub->asked || rc == PUBSUB_OK;
    }
    if (rc != PUBSUB_OK) {
        leave_ops(sub);
        pubsub_sink_subscribed(sub->self->sink, sub->spi, NULL, &error);
        return;
    }
    pubsub__mqtt_timer_set(sub->self);
}

void pubsub__mqtt_subscribe(void *ctx, pubsub_spi_subscription *subscription)
{
    mqtt_self *self = ctx;
    mqtt_sub *sub = subscription->data;
    pubsub_error error = PUBSUB_ERROR_INIT;
    subscription->native_nack = false;
    subscription->broker_redelivers = self->engine->withholds_acks;
    subscription->lazy_ack = !self->engine->withholds_acks;
    if (sub == NULL) {
        sub = sub_new(self, subscription, &error);
        if (sub == NULL) {
            pubsub_sink_subscribed(self->sink, subscription, NULL, &error);
            return;
        }
    }
    pubsub_sink_bind(self->sink, subscription, sub->link->number);
    if (sub->link->state != MQTT_LINK_UP) {
        return; /* called again when it is */
    }
    if (sub->subscribed && !sub->broken) {
        give_answer(sub, true);
    } else {
        ask(sub);
    }
}

/* ---- ending -------------------------------------------------------------------------------------- */

static void remove_from_link(mqtt_sub *sub)
{
    for (mqtt_sub **at = &sub->link->subs; *at != NULL; at = &(*at)->next) {
        if (*at == sub) {
            *at = sub->next;
            return;
        }
    }
}

void pubsub__mqtt_stale_end(mqtt_link *link, bool session_present)
{
    for (size_t at = 0; session_present && at < link->stale_count; at += MQTT_FILTERS_MAX) {
        size_t left = link->stale_count - at;
        pubsub_error error = PUBSUB_ERROR_INIT;
        (void)link->self->engine->unsubscribe(link->engine, (const char *const *)link->stale + at,
                                              left < MQTT_FILTERS_MAX ? left : MQTT_FILTERS_MAX,
                                              NULL, &error);
    }
    for (size_t i = 0; i < link->stale_count; i++) {
        pubsub__free(link->stale[i]);
    }
    pubsub__free(link->stale);
    link->stale = NULL;
    link->stale_count = 0;
}

/* The session that waits at the broker goes on collecting for its filters until it is told. */
static void leave_stale(mqtt_sub *sub)
{
    mqtt_link *link = sub->link;
    size_t count = sub->spi->request.pattern_count;
    char **more = pubsub__realloc(link->stale, (link->stale_count + count) * sizeof(char *));
    if (more == NULL) {
        return; /* what comes for them is for nobody and is thrown away */
    }
    link->stale = more;
    for (size_t i = 0; i < count; i++) {
        link->stale[link->stale_count++] = sub->filters[i];
        sub->filters[i] = NULL;
    }
}

static void say_goodbye(mqtt_sub *sub, bool forget)
{
    mqtt_link *link = sub->link;
    pubsub_error error = PUBSUB_ERROR_INIT;
    bool durable = link->kind == MQTT_LINK_DURABLE;
    if (link->state == MQTT_LINK_UP && (!durable || forget) && sub->asked) {
        pubsub_err rc =
            sub->self->engine->unsubscribe(link->engine, (const char *const *)sub->filters,
                                           sub->spi->request.pattern_count, NULL, &error);
        if (rc != PUBSUB_OK) {
            pubsub_sink_error(sub->self->sink, NULL, &error);
        }
    }
    if (link->state != MQTT_LINK_UP && link->kind == MQTT_LINK_PLAIN && sub->asked) {
        leave_stale(sub);
    }
    if (forget && durable && link->state != MQTT_LINK_UP) {
        pubsub_error_set(&error, PUBSUB_ELOST,
                         "the broker still keeps messages for '%.80s': there is no connection to "
                         "tell it to forget them",
                         link->client_id);
        pubsub_sink_error(sub->self->sink, NULL, &error);
    }
}

void pubsub__mqtt_unsubscribe(void *ctx, pubsub_spi_subscription *subscription, bool forget)
{
    mqtt_self *self = ctx;
    mqtt_sub *sub = subscription->data;
    if (sub == NULL) {
        return; /* it was refused before it lived */
    }
    mqtt_link *link = sub->link;
    say_goodbye(sub, forget);
    leave_ops(sub);
    remove_from_link(sub);
    pubsub__mqtt_sub_free(sub);
    if (link->number != 0 && link->subs == NULL) {
        if (!link->orphan) {
            pubsub_sink_link_free(self->sink, link->number);
        }
        pubsub__mqtt_link_end(link, forget);
    }
}
