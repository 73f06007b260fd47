/* SPDX-License-Identifier: MIT */
#include "support/scripted_internal.h"

#include <stdio.h>
#include <stdlib.h>

enum { BROKERS_MAX = 64 };

static scripted *brokers[BROKERS_MAX];
static unsigned brokers_made;
static pthread_mutex_t brokers_lock = PTHREAD_MUTEX_INITIALIZER;

void scripted__lock(scripted *broker)
{
    (void)pthread_mutex_lock(&broker->lock);
}

void scripted__unlock(scripted *broker)
{
    (void)pthread_mutex_unlock(&broker->lock);
}

scripted *scripted__find(const pubsub_url *url)
{
    const char *name = pubsub_url_path(url);
    scripted *found = NULL;
    name += name[0] == '/' ? 1 : 0;
    (void)pthread_mutex_lock(&brokers_lock);
    for (size_t i = 0; i < BROKERS_MAX; i++) {
        if (brokers[i] != NULL && strcmp(brokers[i]->name, name) == 0) {
            found = brokers[i];
        }
    }
    (void)pthread_mutex_unlock(&brokers_lock);
    return found;
}

pubsub_error scripted__error(pubsub_err code)
{
    pubsub_error error = PUBSUB_ERROR_INIT;
    (void)pubsub_error_set(&error, code, "as scripted: %s", pubsub_strerror(code));
    (void)snprintf(error.adapter, sizeof(error.adapter), "scripted");
    return error;
}

static void default_caps(pubsub_caps *caps)
{
    caps->size = sizeof(*caps);
    for (int i = 0; i < PUBSUB_FEATURES_MAX; i++) {
        caps->features[i] = (pubsub_cap){PUBSUB_NATIVE, ""};
    }
    caps->features[PUBSUB_FEATURE_QOS2] = (pubsub_cap){PUBSUB_REFUSED, "only once or less"};
    caps->features[PUBSUB_FEATURE_DELAY].support = PUBSUB_REFUSED;
    caps->features[PUBSUB_FEATURE_NACK_DELAY].support = PUBSUB_EMULATED;
    caps->features[PUBSUB_FEATURE_ATTEMPTS].support = PUBSUB_EMULATED;
    caps->features[PUBSUB_FEATURE_DEAD_LETTER].support = PUBSUB_EMULATED;
    caps->confirm = PUBSUB_CONFIRM_WRITTEN;
    caps->confirm_note = "";
    caps->max_payload = 1u << 20;
    caps->max_topic = PUBSUB_TOPIC_MAX;
}

scripted *scripted_new(kit_net *net)
{
    static bool registered;
    pubsub_error error = PUBSUB_ERROR_INIT;
    scripted *broker = calloc(1, sizeof(*broker));
    assert_non_null(broker);
    if (!registered) {
        KIT_OK(pubsub_adapter_register(&scripted__table, &error), &error);
        registered = true;
    }
    (void)pthread_mutex_init(&broker->lock, NULL);
    broker->net = net;
    broker->take = SIZE_MAX;
    default_caps(&broker->caps);
    (void)pthread_mutex_lock(&brokers_lock);
    (void)snprintf(broker->name, sizeof(broker->name), "b%u", brokers_made++);
    for (size_t i = 0; i < BROKERS_MAX; i++) {
        if (brokers[i] == NULL) {
            brokers[i] = broker;
            break;
        }
    }
    (void)pthread_mutex_unlock(&brokers_lock);
    (void)snprintf(broker->url, sizeof(broker->url), "scripted:%s", broker->name);
    return broker;
}

void scripted_free(scripted *broker)
{
    if (broker == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&brokers_lock);
    for (size_t i = 0; i < BROKERS_MAX; i++) {
        if (brokers[i] == broker) {
            brokers[i] = NULL;
        }
    }
    (void)pthread_mutex_unlock(&brokers_lock);
    (void)pthread_mutex_destroy(&broker->lock);
    free(broker->notes);
    free(broker);
}

const char *scripted_url(const scripted *broker)
{
    return broker->url;
}

const char *scripted_name(const scripted *broker)
{
    return broker->name;
}

pubsub_caps *scripted_caps(scripted *broker)
{
    return &broker->caps;
}

/* ---- changing the plan --------------------------------------------------------------------- */

#define SET(broker, assignment)                                                                    \
    do {                                                                                           \
        scripted__lock(broker);                                                                    \
        assignment;                                                                                \
        scripted__unlock(broker);                                                                  \
    } while (0)

void scripted_connects(scripted *broker, pubsub_err code, int64_t delay_ms)
{
    scripted__lock(broker);
    if (broker->planned < PLAN_MAX) {
        broker->plan[broker->planned++] = (planned){code, delay_ms};
    }
    scripted__unlock(broker);
}

void scripted_always_fails(scripted *broker, pubsub_err code)
{
    SET(broker, broker->always = code);
}

void scripted_server_caps(scripted *broker, const pubsub_caps *caps)
{
    SET(broker, broker->server_caps = *caps; broker->has_server_caps = true);
}

void scripted_take(scripted *broker, size_t count)
{
    SET(broker, broker->take = count);
}

void scripted_hold(scripted *broker, bool hold)
{
    SET(broker, broker->hold = hold);
}

void scripted_hold_subscribes(scripted *broker, bool hold)
{
    SET(broker, broker->hold_subscribes = hold);
}

void scripted_echoes(scripted *broker, bool echoes)
{
    SET(broker, broker->echoes = echoes);
}

void scripted_refuse(scripted *broker, const char *pattern, pubsub_err code)
{
    scripted__lock(broker);
    (void)snprintf(broker->refused, sizeof(broker->refused), "%s",
                   code != PUBSUB_OK ? pattern : "");
    broker->refusal = code;
    scripted__unlock(broker);
}

void scripted_resumes(scripted *broker, bool resumes)
{
    SET(broker, broker->resumes = resumes);
}

void scripted_gaps(scripted *broker, bool gaps)
{
    SET(broker, broker->gaps = gaps);
}

void scripted_native_nack(scripted *broker, bool native)
{
    SET(broker, broker->native_nack = native);
}

void scripted_redelivers(scripted *broker, bool redelivers)
{
    SET(broker, broker->redelivers = redelivers);
}

void scripted_keys(scripted *broker, bool keys)
{
    SET(broker, broker->keys = keys);
}

void scripted_lingers(scripted *broker, bool lingers)
{
    SET(broker, broker->lingers = lingers);
}

void scripted_own_links(scripted *broker, bool own)
{
    SET(broker, broker->own_links = own);
}

void scripted_slow_close(scripted *broker, int64_t delay_ms)
{
    SET(broker, broker->close_delay_ms = delay_ms);
}

void scripted_respect_credit(scripted *broker, bool respect)
{
    SET(broker, broker->respect_credit = respect);
}

/* ---- writing the journal --------------------------------------------------------------------------- */

scripted_note *scripted__note(scripted *broker, scripted_kind kind, const char *text,
                              uint64_t number)
{
    scripted_note *added = NULL;
    if (broker->note_count == broker->note_capacity) {
        broker->note_capacity = broker->note_capacity == 0 ? 256 : broker->note_capacity * 2;
        broker->notes = realloc(broker->notes, broker->note_capacity * sizeof(*broker->notes));
        if (broker->notes == NULL) {
            abort();
        }
    }
    added = &broker->notes[broker->note_count++];
    memset(added, 0, sizeof(*added));
    added->kind = kind;
    added->number = number;
    added->at_ns = kit_now();
    (void)snprintf(added->text, sizeof(added->text), "%s", text);
    return added;
}

void scripted__jot(scripted *broker, scripted_kind kind, const char *text, uint64_t number)
{
    scripted__lock(broker);
    (void)scripted__note(broker, kind, text, number);
    scripted__unlock(broker);
}

/* ---- reading the journal ------------------------------------------------------------------- */

/* The wanted ones from the first on; text NULL and number UINT64_MAX = any. */
static size_t count_notes(scripted *broker, scripted_kind kind, const char *text, uint64_t number)
{
    size_t count = 0;
    scripted__lock(broker);
    for (size_t i = 0; i < broker->note_count; i++) {
        const scripted_note *one = &broker->notes[i];
        count += one->kind == kind && (text == NULL || strcmp(one->text, text) == 0) &&
                 (number == UINT64_MAX || one->number == number);
    }
    scripted__unlock(broker);
    return count;
}

size_t scripted_count(scripted *broker, scripted_kind kind)
{
    return count_notes(broker, kind, NULL, UINT64_MAX);
}

size_t scripted_count_text(scripted *broker, scripted_kind kind, const char *text)
{
    return count_notes(broker, kind, text, UINT64_MAX);
}

size_t scripted_count_number(scripted *broker, scripted_kind kind, uint64_t number)
{
    return count_notes(broker, kind, NULL, number);
}

size_t scripted_where(scripted *broker, scripted_kind kind, size_t nth)
{
    size_t found = SIZE_MAX;
    scripted__lock(broker);
    for (size_t i = 0; i < broker->note_count; i++) {
        if (broker->notes[i].kind == kind && nth-- == 0) {
            found = i;
            break;
        }
    }
    scripted__unlock(broker);
    return found;
}

scripted_note scripted_nth(scripted *broker, scripted_kind kind, size_t nth)
{
    size_t where = scripted_where(broker, kind, nth);
    scripted_note copy;
    memset(&copy, 0, sizeof(copy));
    if (where == SIZE_MAX) {
        fail_msg("the journal has no note %zu of kind %d", nth, (int)kind);
    }
    scripted__lock(broker);
    copy = broker->notes[where];
    scripted__unlock(broker);
    return copy;
}

size_t scripted_in_flight(scripted *broker)
{
    size_t count = 0;
    scripted__lock(broker);
    count = broker->in_flight;
    scripted__unlock(broker);
    return count;
}
