/* SPDX-License-Identifier: MIT */
#include "local/adapter.h"

#include <string.h>

#include "base/alloc.h"

#define FIXED_PROPS 3u
#define PENDING_MAX 4096u /* publishes that wait for one flush */

static bool want_props(local_self *self, size_t count)
{
    if (self->prop_cap >= count) {
        return true;
    }
    local_prop *props = pubsub__realloc(self->props, count * sizeof(*props));
    if (props != NULL) {
        self->props = props;
        self->prop_cap = count;
    }
    return props != NULL;
}

static bool want_batch(local_self *self, size_t count)
{
    if (self->batch_cap >= count) {
        return true;
    }
    if (self->durable && self->pending == NULL) {
        self->pending = pubsub__alloc(PENDING_MAX * sizeof(*self->pending));
        self->pending_cap = self->pending == NULL ? 0 : PENDING_MAX;
        if (self->pending == NULL) {
            return false;
        }
    }
    local_record *records = pubsub__realloc(self->records, count * sizeof(*records));
    if (records == NULL) {
        return false;
    }
    self->records = records;
    pubsub_spi_outcome *outcomes = pubsub__realloc(self->outcomes, count * sizeof(*outcomes));
    if (outcomes == NULL) {
        return false;
    }
    self->outcomes = outcomes;
    self->batch_cap = count;
    return true;
}

static void add_prop(local_self *self, size_t *used, local_prop_kind kind, pubsub_bytes name,
                     pubsub_bytes value)
{
    self->props[(*used)++] = (local_prop){kind, name, value};
}

/* The properties of one publication, appended to self->props, which has room. */
static size_t add_props(local_self *self, size_t used, const pubsub_publication *pub)
{
    static const pubsub_bytes none = {NULL, 0};
    const struct {
        local_prop_kind kind;
        pubsub_bytes value;
    } fixed[FIXED_PROPS] = {{LOCAL_PROP_CONTENT_TYPE, pub->content_type},
                            {LOCAL_PROP_REPLY_TO, pub->reply_to},
                            {LOCAL_PROP_CORRELATION, pub->correlation}};
    for (size_t i = 0; i < FIXED_PROPS; i++) {
        if (fixed[i].value.len > 0) {
            add_prop(self, &used, fixed[i].kind, none, fixed[i].value);
        }
    }
    for (size_t i = 0; i < pub->header_count; i++) {
        add_prop(self, &used, LOCAL_PROP_HEADER, pub->headers[i].name, pub->headers[i].value);
    }
    return used;
}

static bool build(local_self *self, pubsub_spi_publish *const *publishes, size_t count)
{
    size_t props = 0;
    for (size_t i = 0; i < count; i++) {
        props += publishes[i]->pub.header_count + FIXED_PROPS;
    }
    if (!want_batch(self, count) || !want_props(self, props)) {
        return false;
    }
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        const pubsub_publication *pub = &publishes[i]->pub;
        size_t first = used;
        used = add_props(self, used, pub);
        self->records[i] = (local_record){
            .topic = pub->topic,
            .key = pub->key,
            .payload = pub->payload,
            .props = self->props + first,
            .prop_count = used - first,
            .expiry_ns = publishes[i]->expires_ns,
            .qos = (uint8_t)(pub->qos > 0 ? 1 : 0),
            .retain = (pub->flags & PUBSUB_PUBLISH_RETAIN) != 0,
            .tombstone = (pub->flags & PUBSUB_PUBLISH_TOMBSTONE) != 0,
        };
    }
    return true;
}

static pubsub_spi_outcome accepted(pubsub_spi_publish *publish, local_position end, bool durable)
{
    pubsub_confirm confirm = publish->pub.qos == PUBSUB_AT_MOST_ONCE ? PUBSUB_CONFIRM_NONE
                             : durable                               ? PUBSUB_CONFIRM_DURABLE
                                                                     : PUBSUB_CONFIRM_WRITTEN;
    return (pubsub_spi_outcome){.publish = publish,
                                .outcome = PUBSUB_ACCEPTED,
                                .confirm = confirm,
                                .position = pubsub__local_adapter_position(end)};
}

/* A message the bus will never take is rejected; what failed for another reason was not stored, and the
 * caller decides whether to send it again. */
static pubsub_spi_outcome failed(pubsub_spi_publish *publish, const pubsub_error *error)
{
    bool never =
        pubsub_err_class_of(error->code) == PUBSUB_CLASS_USAGE || error->code == PUBSUB_EDENIED;
    return (pubsub_spi_outcome){.publish = publish,
                                .outcome = never ? PUBSUB_REJECTED : PUBSUB_NOT_SENT,
                                .flags = PUBSUB_OUTCOME_FINAL,
                                .error = error};
}

/* Report written records: at once, or keep those that wait for the flush. */
static void report_stored(local_self *self, pubsub_spi_publish *const *publishes, size_t first,
                          size_t count, uint32_t epoch)
{
    size_t n = 0;
    for (size_t i = first; i < first + count; i++) {
        local_position end = {epoch, self->records[i].end};
        if (!self->durable || publishes[i]->pub.qos == PUBSUB_AT_MOST_ONCE) {
            self->outcomes[n++] = accepted(publishes[i], end, false);
            continue;
        }
        if (self->pending_count == self->pending_cap) {
            pubsub__local_adapter_settle(self);
        }
        self->pending[self->pending_count++] = (local_pending){publishes[i], end};
    }
    if (n > 0) {
        pubsub_sink_outcomes(self->sink, self->outcomes, n);
    }
}

size_t pubsub__local_adapter_submit(void *ctx, pubsub_spi_publish *const *publishes, size_t count)
{
    local_self *self = ctx;
    pubsub_error error = PUBSUB_ERROR_INIT;
    if (!build(self, publishes, count)) {
        pubsub_error_set(&error, PUBSUB_ENOMEM, "no memory for a batch of %zu messages", count);
        for (size_t i = 0; i < count; i++) {
            pubsub_spi_outcome outcome = failed(publishes[i], &error);
            pubsub_sink_outcomes(self->sink, &outcome, 1);
        }
        return count;
    }
    size_t done = 0;
    while (done < count) {
        size_t stored = 0;
        local_position end = {0, 0};
        size_t n = count - done;
        pubsub_err rc =
            pubsub__local_append(self->store, self->records + done, n, &stored, &end, &error);
        if (rc != PUBSUB_OK && stored == 0 && pubsub_err_class_of(rc) == PUBSUB_CLASS_USAGE &&
            n > 1) {
            /* One of them is impossible: find it by storing them one by one. */
            rc = pubsub__local_append(self->store, self->records + done, 1, &stored, &end, &error);
            n = 1;
        }
        report_stored(self, publishes, done, stored, end.epoch);
        done += stored;
        if (rc != PUBSUB_OK) {
            size_t bad = n > 1 && pubsub_err_class_of(rc) != PUBSUB_CLASS_USAGE ? count - done : 1;
            for (size_t i = 0; i < bad; i++) {
                self->outcomes[i] = failed(publishes[done + i], &error);
            }
            done += bad;
            pubsub_sink_outcomes(self->sink, self->outcomes, bad);
        }
    }
    return count;
}

void pubsub__local_adapter_settle(local_self *self)
{
    if (self->pending_count == 0) {
        return;
    }
    pubsub_error error = PUBSUB_ERROR_INIT;
    local_position last = self->pending[self->pending_count - 1].end;
    pubsub_err rc =
        self->store == NULL ? PUBSUB_ESTATE : pubsub__local_sync(self->store, last, &error);
    size_t count = self->pending_count;
    self->pending_count = 0;
    for (size_t at = 0; at < count;) {
        pubsub_spi_outcome outcomes[64];
        size_t n = 0;
        for (; at < count && n < sizeof(outcomes) / sizeof(outcomes[0]); at++, n++) {
            outcomes[n] = accepted(self->pending[at].publish, self->pending[at].end, true);
            if (rc != PUBSUB_OK) { /* others can read it, but it may not survive */
                outcomes[n].outcome = PUBSUB_UNKNOWN;
                outcomes[n].confirm = PUBSUB_CONFIRM_NONE;
                outcomes[n].flags = PUBSUB_OUTCOME_FINAL;
                outcomes[n].error = &error;
            }
        }
        pubsub_sink_outcomes(self->sink, outcomes, n);
    }
}

void pubsub__local_adapter_publish_fini(local_self *self)
{
    pubsub__free(self->records);
    pubsub__free(self->outcomes);
    pubsub__free(self->props);
    pubsub__free(self->pending);
    self->records = NULL;
    self->outcomes = NULL;
    self->props = NULL;
    self->pending = NULL;
}
