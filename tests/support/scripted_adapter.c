/* SPDX-License-Identifier: MIT */
#include "support/scripted_internal.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- connecting ---------------------------------------------------------------------------- */

static void answer_connect(void *ctx)
{
    delayed *link = ctx;
    scripted *broker = link->self->broker;
    pubsub_error error = scripted__error(link->code);
    pubsub_caps caps;
    bool has_caps = false;
    scripted__lock(broker);
    caps = broker->server_caps;
    has_caps = broker->has_server_caps;
    scripted__unlock(broker);
    if (link->code != PUBSUB_OK) {
        pubsub_sink_link_down(link->self->sink, link->link, &error);
        return;
    }
    if (has_caps && link->link == 0) {
        pubsub_sink_caps(link->self->sink, &caps);
    }
    pubsub_sink_link_up(link->self->sink, link->link);
}

static planned next_planned(scripted *broker, uint32_t link)
{
    planned next = {PUBSUB_OK, 0};
    scripted__lock(broker);
    (void)scripted__note(broker, SCRIPTED_CONNECT, "", link);
    if (link == 0 && broker->always != PUBSUB_OK) {
        next.code = broker->always;
    } else if (link == 0 && broker->used < broker->planned) {
        next = broker->plan[broker->used++];
    }
    scripted__unlock(broker);
    return next;
}

static pubsub_err script_connect(void *ctx, uint32_t link, pubsub_error *err)
{
    instance *self = ctx;
    planned next = next_planned(self->broker, link);
    delayed *mine = &self->links[link];
    mine->self = self;
    mine->link = link;
    mine->code = next.code;
    if (mine->timer == NULL) {
        mine->timer = pubsub_timer_new(self->sink, answer_connect, mine);
    }
    if (mine->timer == NULL) {
        return pubsub_error_set(err, PUBSUB_ENOMEM, "no timer");
    }
    if (next.delay_ms >= 0) {
        pubsub_timer_start(mine->timer, next.delay_ms);
    }
    return PUBSUB_OK;
}

static void script_disconnect(void *ctx, uint32_t link, bool final)
{
    instance *self = ctx;
    scripted__jot(self->broker, SCRIPTED_DISCONNECT, "", link);
    if (self->links[link].timer != NULL) {
        pubsub_timer_stop(self->links[link].timer);
    }
    if (link == 0 && final) {
        scripted__fly_home(self, SIZE_MAX, PUBSUB_ELOST);
    }
}

/* ---- answering ----------------------------------------------------------------------------- */

bool scripted__reply(instance *self, pubsub_bytes inbox, pubsub_bytes correlation,
                     pubsub_bytes payload)
{
    for (size_t i = 0; i < self->sub_count; i++) {
        pubsub_spi_subscription *subscription = self->subs[i].subscription;
        if (!kit_same(subscription->request.patterns[0], inbox)) {
            continue;
        }
        pubsub_block *block =
            pubsub_sink_block(self->sink, 1, inbox.len + correlation.len + payload.len + 64);
        pubsub_spi_message *message = block != NULL ? pubsub_block_message(block) : NULL;
        if (message == NULL) {
            abort();
        }
        message->topic = pubsub_block_copy(block, inbox);
        message->correlation = pubsub_block_copy(block, correlation);
        message->payload = pubsub_block_copy(block, payload);
        message->flags = PUBSUB_SPI_NO_ACK;
        pubsub_sink_messages(self->sink, subscription, block);
        return true;
    }
    return false;
}

/* ---- publishing ---------------------------------------------------------------------------- */

void scripted__finish(instance *self, pubsub_spi_publish *publish, pubsub_outcome outcome,
                      pubsub_err code)
{
    pubsub_error error = scripted__error(code);
    pubsub_spi_outcome done;
    memset(&done, 0, sizeof(done));
    done.publish = publish;
    done.outcome = outcome;
    done.confirm = outcome == PUBSUB_ACCEPTED && publish->pub.qos > PUBSUB_AT_MOST_ONCE
                       ? PUBSUB_CONFIRM_WRITTEN
                       : PUBSUB_CONFIRM_NONE;
    done.error = outcome == PUBSUB_ACCEPTED ? NULL : &error;
    pubsub_sink_outcomes(self->sink, &done, 1);
}

void scripted__finish_nobody(instance *self, pubsub_spi_publish *publish)
{
    pubsub_spi_outcome done;
    memset(&done, 0, sizeof(done));
    done.publish = publish;
    done.outcome = PUBSUB_ACCEPTED;
    done.confirm = PUBSUB_CONFIRM_RECEIVED;
    done.flags = PUBSUB_REPORT_NO_SUBSCRIBER;
    pubsub_sink_outcomes(self->sink, &done, 1);
}

/* The oldest publish in flight, no longer in flight. */
pubsub_spi_publish *scripted__land(instance *self)
{
    pubsub_spi_publish *first = NULL;
    if (self->flight_count == 0) {
        return NULL;
    }
    first = self->flight[0];
    self->flight_count--;
    memmove(self->flight, self->flight + 1, self->flight_count * sizeof(*self->flight));
    scripted__lock(self->broker);
    self->broker->in_flight = self->flight_count;
    scripted__unlock(self->broker);
    return first;
}

void scripted__fly_home(instance *self, size_t unknown, pubsub_err code)
{
    pubsub_spi_publish *publish = NULL;
    while ((publish = scripted__land(self)) != NULL) {
        scripted__finish(self, publish, unknown > 0 ? PUBSUB_UNKNOWN : PUBSUB_NOT_SENT, code);
        unknown -= unknown > 0 ? 1 : 0;
    }
}

static void take_off(instance *self, pubsub_spi_publish *publish)
{
    if (self->flight_count == self->flight_capacity) {
        self->flight_capacity = self->flight_capacity == 0 ? 256 : self->flight_capacity * 2;
        self->flight = realloc(self->flight, self->flight_capacity * sizeof(pubsub_spi_publish *));
        if (self->flight == NULL) {
            abort();
        }
    }
    self->flight[self->flight_count++] = publish;
}

static void note_submit(scripted *broker, const pubsub_spi_publish *publish)
{
    const pubsub_publication *pub = &publish->pub;
    scripted_note *added = scripted__note(broker, SCRIPTED_SUBMIT, "", publish->sends);
    size_t used = 0;
    (void)snprintf(added->text, sizeof(added->text), "%.*s", (int)pub->payload.len,
                   pub->payload.len > 0 ? (const char *)pub->payload.data : "");
    (void)snprintf(added->topic, sizeof(added->topic), "%.*s", (int)pub->topic.len,
                   (const char *)pub->topic.data);
    (void)snprintf(added->reply_to, sizeof(added->reply_to), "%.*s", (int)pub->reply_to.len,
                   pub->reply_to.len > 0 ? (const char *)pub->reply_to.data : "");
    (void)snprintf(added->correlation, sizeof(added->correlation), "%.*s",
                   (int)pub->correlation.len,
                   pub->correlation.len > 0 ? (const char *)pub->correlation.data : "");
    for (size_t i = 0; i < pub->header_count && used < sizeof(added->headers); i++) {
        const pubsub_header *header = &pub->headers[i];
        int len =
            snprintf(added->headers + used, sizeof(added->headers) - used, "%.*s=%.*s;",
                     (int)header->name.len, (const char *)header->name.data, (int)header->value.len,
                     header->value.len > 0 ? (const char *)header->value.data : "");
        used += (size_t)len;
    }
}

static size_t script_submit(void *ctx, pubsub_spi_publish *const *publishes, size_t count)
{
    instance *self = ctx;
    scripted *broker = self->broker;
    bool hold = false;
    bool echoes = false;
    scripted__lock(broker);
    hold = broker->hold;
    echoes = broker->echoes;
    count = count < broker->take ? count : broker->take;
    broker->take -= broker->take == SIZE_MAX ? 0 : count;
    for (size_t i = 0; i < count; i++) {
        note_submit(broker, publishes[i]);
        take_off(self, publishes[i]);
    }
    broker->in_flight = self->flight_count;
    scripted__unlock(broker);
    while (!hold && self->flight_count > 0) {
        pubsub_spi_publish *publish = scripted__land(self);
        if (echoes && publish->pub.reply_to.len > 0) {
            (void)scripted__reply(self, publish->pub.reply_to, publish->pub.correlation,
                                  publish->pub.payload);
        }
        scripted__finish(self, publish, PUBSUB_ACCEPTED, PUBSUB_OK);
    }
    return count;
}

static bool script_flush(void *ctx)
{
    instance *self = ctx;
    bool lingers = false;
    scripted__lock(self->broker);
    (void)scripted__note(self->broker, SCRIPTED_FLUSH, "", 0);
    lingers = self->broker->lingers;
    scripted__unlock(self->broker);
    return !lingers;
}

/* ---- subscribing --------------------------------------------------------------------------- */

static const char *pattern_of(const pubsub_spi_subscription *subscription)
{
    return subscription->request.patterns[0].data;
}

static served *served_of(instance *self, const pubsub_spi_subscription *subscription)
{
    for (size_t i = 0; i < self->sub_count; i++) {
        if (self->subs[i].subscription == subscription) {
            return &self->subs[i];
        }
    }
    return NULL;
}

served *scripted__served(instance *self, const char *pattern)
{
    for (size_t i = 0; i < self->sub_count; i++) {
        if (strcmp(pattern_of(self->subs[i].subscription), pattern) == 0) {
            return &self->subs[i];
        }
    }
    return NULL;
}

static void serve(instance *self, pubsub_spi_subscription *subscription)
{
    if (served_of(self, subscription) == NULL && self->sub_count < SUBS_MAX) {
        memset(&self->subs[self->sub_count], 0, sizeof(self->subs[0]));
        self->subs[self->sub_count++].subscription = subscription;
    }
}

void scripted__answer_subscribe(instance *self, pubsub_spi_subscription *subscription)
{
    static const pubsub_position nowhere = PUBSUB_POSITION_NONE;
    static const char reason[] = "as scripted";
    scripted *broker = self->broker;
    pubsub_gap gap = {reason, nowhere, nowhere, 0};
    pubsub_spi_subscribed answer = {false, subscription->request.qos, NULL, 0};
    pubsub_error refusal = PUBSUB_ERROR_INIT;
    scripted__lock(broker);
    answer.resumed = broker->resumes;
    answer.gap = broker->gaps && subscription->subscribes > 0 ? &gap : NULL;
    if (strcmp(broker->refused, pattern_of(subscription)) == 0) {
        refusal = scripted__error(broker->refusal);
    }
    scripted__unlock(broker);
    answer.qos = answer.qos == PUBSUB_QOS_UNSET ? PUBSUB_AT_LEAST_ONCE : answer.qos;
    if (refusal.code != PUBSUB_OK) {
        pubsub_sink_subscribed(self->sink, subscription, NULL, &refusal);
    } else {
        pubsub_sink_subscribed(self->sink, subscription, &answer, NULL);
    }
}

static void script_subscribe(void *ctx, pubsub_spi_subscription *subscription)
{
    instance *self = ctx;
    scripted *broker = self->broker;
    bool hold = false;
    bool own = false;
    scripted__lock(broker);
    (void)scripted__note(broker, SCRIPTED_SUBSCRIBE, pattern_of(subscription),
                         subscription->subscribes);
    hold = broker->hold_subscribes;
    own = broker->own_links && subscription->link == 0;
    subscription->native_nack = broker->native_nack;
    subscription->broker_redelivers = broker->redelivers;
    scripted__unlock(broker);
    serve(self, subscription);
    if (own) {
        pubsub_sink_bind(self->sink, subscription, pubsub_sink_link_new(self->sink));
    } else if (!hold) {
        scripted__answer_subscribe(self, subscription);
    }
}

static void script_unsubscribe(void *ctx, pubsub_spi_subscription *subscription, bool forget)
{
    instance *self = ctx;
    served *mine = served_of(self, subscription);
    scripted__jot(self->broker, SCRIPTED_UNSUBSCRIBE, pattern_of(subscription), forget);
    if (mine != NULL) {
        free(mine->waiting);
        *mine = self->subs[--self->sub_count];
    }
}

static void script_ack(void *ctx, const pubsub_spi_ack *acks, size_t count)
{
    static const scripted_kind kinds[] = {SCRIPTED_ACK, SCRIPTED_NACK, SCRIPTED_RELEASE};
    instance *self = ctx;
    scripted__lock(self->broker);
    for (size_t i = 0; i < count; i++) {
        scripted_note *added = scripted__note(self->broker, kinds[acks[i].settle],
                                              pattern_of(acks[i].subscription), acks[i].token);
        added->delay_ms = acks[i].delay_ms;
    }
    scripted__unlock(self->broker);
}

static void fill(pubsub_block *block, const scripted_message *from, const char *pattern, bool keys)
{
    size_t key_len = keys ? strcspn(from->payload, ":") : 0;
    pubsub_spi_message *message = pubsub_block_message(block);
    if (message == NULL) {
        abort();
    }
    message->topic =
        pubsub_block_copy(block, pubsub_bytes_of(from->topic != NULL ? from->topic : pattern));
    message->payload = pubsub_block_copy(block, pubsub_bytes_of(from->payload));
    if (keys && from->payload[key_len] == ':') {
        message->key = (pubsub_bytes){message->payload.data, key_len};
    }
    message->flags = from->flags;
    message->attempt = from->attempt;
    message->qos = from->qos;
    message->expires_ns = from->expires_ns;
    message->token = from->token;
    message->position[0] = from->token;
    message->position[1] = 0;
}

void scripted__give(instance *self, pubsub_spi_subscription *subscription,
                    const scripted_message *messages, size_t count)
{
    const char *pattern = pattern_of(subscription);
    size_t bytes = 0;
    pubsub_block *block = NULL;
    bool keys = false;
    if (count == 0) {
        return;
    }
    scripted__lock(self->broker);
    keys = self->broker->keys;
    scripted__unlock(self->broker);
    for (size_t i = 0; i < count; i++) {
        bytes += strlen(messages[i].payload) + strlen(pattern) + 64 +
                 (messages[i].topic != NULL ? strlen(messages[i].topic) : 0);
    }
    block = pubsub_sink_block(self->sink, count, bytes);
    if (block == NULL) {
        abort();
    }
    for (size_t i = 0; i < count; i++) {
        fill(block, &messages[i], pattern, keys);
    }
    pubsub_sink_messages(self->sink, subscription, block);
}

/* Give as much of what waits as credit allows. */
void scripted__give_waiting(instance *self, served *mine)
{
    uint32_t messages = 0;
    uint64_t bytes = 0;
    scripted_message *waiting = mine->waiting;
    size_t count = mine->waiting_count;
    size_t now = 0;
    if (count == 0) {
        return;
    }
    if (pubsub_sink_credit(self->sink, mine->subscription, &messages, &bytes)) {
        now = count < messages ? count : messages;
        mine->waiting = NULL;
        mine->waiting_count = count - now;
        if (now < count) {
            mine->waiting = malloc((count - now) * sizeof(*waiting));
            if (mine->waiting == NULL) {
                abort();
            }
            memcpy(mine->waiting, waiting + now, (count - now) * sizeof(*waiting));
        }
        scripted__give(self, mine->subscription, waiting, now);
        free(waiting);
        /* Asking again tells the core that there is more. */
        (void)pubsub_sink_credit(self->sink, mine->subscription, &messages, &bytes);
    }
}

static void script_credit(void *ctx, pubsub_spi_subscription *subscription)
{
    instance *self = ctx;
    served *mine = served_of(self, subscription);
    scripted__jot(self->broker, SCRIPTED_CREDIT, pattern_of(subscription), 0);
    if (mine != NULL) {
        scripted__give_waiting(self, mine);
    }
}

/* ---- life ---------------------------------------------------------------------------------- */

static pubsub_err script_caps(const pubsub_adapter_config *config, pubsub_caps *out,
                              pubsub_error *err)
{
    scripted *broker = scripted__find(config->url);
    if (broker == NULL) {
        return pubsub_error_set(err, PUBSUB_EURL, "no scripted broker of that name");
    }
    scripted__lock(broker);
    *out = broker->caps;
    scripted__unlock(broker);
    return PUBSUB_OK;
}

static size_t script_position_text(const pubsub_position *position, char *text, size_t size)
{
    int len = snprintf(text, size, "s%llu", (unsigned long long)position->word[0]);
    return len > 0 ? (size_t)len : 0;
}

static pubsub_err script_position_parse(const char *text, pubsub_position *out, pubsub_error *err)
{
    char *end = NULL;
    if (text[0] == 's' && text[1] >= '0' && text[1] <= '9') {
        out->word[0] = strtoull(text + 1, &end, 10);
        out->word[1] = 0;
        if (*end == '\0') {
            return PUBSUB_OK;
        }
    }
    return pubsub_error_set(err, PUBSUB_EOPTION, "a position here is s and a number");
}

static pubsub_err script_init(void *ctx, const pubsub_adapter_config *config, pubsub_sink *sink,
                              pubsub_error *err)
{
    instance *self = ctx;
    self->broker = scripted__find(config->url);
    self->sink = sink;
    if (self->broker == NULL) {
        return pubsub_error_set(err, PUBSUB_EURL, "no scripted broker of that name");
    }
    scripted__lock(self->broker);
    self->broker->live = self;
    scripted__unlock(self->broker);
    return PUBSUB_OK;
}

static void free_timers(instance *self)
{
    for (size_t i = 0; i < LINKS_MAX; i++) {
        pubsub_timer_free(self->links[i].timer);
        self->links[i].timer = NULL;
    }
    pubsub_timer_free(self->closing.timer);
    self->closing.timer = NULL;
}

static void answer_close(void *ctx)
{
    delayed *closing = ctx;
    free_timers(closing->self);
    pubsub_sink_closed(closing->self->sink);
}

static void script_close(void *ctx, pubsub_duration_ms left)
{
    instance *self = ctx;
    int64_t delay_ms = 0;
    scripted__lock(self->broker);
    (void)scripted__note(self->broker, SCRIPTED_CLOSE, "", (uint64_t)left);
    delay_ms = self->broker->close_delay_ms;
    scripted__unlock(self->broker);
    scripted__fly_home(self, SIZE_MAX, PUBSUB_ECLOSED);
    self->closing.self = self;
    if (delay_ms == 0) {
        answer_close(&self->closing);
    } else if (delay_ms > 0) {
        self->closing.timer = pubsub_timer_new(self->sink, answer_close, &self->closing);
        pubsub_timer_start(self->closing.timer, delay_ms);
    }
}

static void script_fini(void *ctx, bool forked)
{
    instance *self = ctx;
    (void)forked;
    if (self->broker == NULL) {
        return;
    }
    free_timers(self);
    for (size_t i = 0; i < self->sub_count; i++) {
        free(self->subs[i].waiting);
    }
    free(self->flight);
    scripted__lock(self->broker);
    (void)scripted__note(self->broker, SCRIPTED_FINI, "", 0);
    if (self->broker->live == self) {
        self->broker->live = NULL;
    }
    scripted__unlock(self->broker);
}

static void script_wake(void *ctx)
{
    scripted__act(ctx);
}

static const char *const schemes[] = {"scripted", NULL};
static const pubsub_option_row rows[] = {{.name = "colour",
                                          .type = PUBSUB_OPTION_TEXT,
                                          .scopes = PUBSUB_SCOPE_CLIENT,
                                          .adapter = "scripted",
                                          .help = "a word that means nothing"},
                                         {.name = NULL}};

const pubsub_adapter scripted__table = {
    .abi = PUBSUB_SPI_ABI,
    .size = sizeof(pubsub_adapter),
    .name = "scripted",
    .schemes = schemes,
    .summary = "does what a test says",
    .options = rows,
    .instance_size = sizeof(instance),
    .caps = script_caps,
    .position_text = script_position_text,
    .position_parse = script_position_parse,
    .init = script_init,
    .connect = script_connect,
    .disconnect = script_disconnect,
    .submit = script_submit,
    .subscribe = script_subscribe,
    .unsubscribe = script_unsubscribe,
    .ack = script_ack,
    .credit = script_credit,
    .wake = script_wake,
    .flush = script_flush,
    .close = script_close,
    .fini = script_fini,
};
