/* SPDX-License-Identifier: MIT */
#include "support/net.h"

#include <stdio.h>
#include <stdlib.h>

const char *kit_mode_name(kit_mode mode)
{
    static const char *const names[] = {"thread", "inline", "dispatch"};
    return names[mode];
}

/* ---- checks -------------------------------------------------------------------------------- */

void kit_check_ok(pubsub_err result, const pubsub_error *error, const char *what, const char *file,
                  int line)
{
    if (result != PUBSUB_OK) {
        print_error("%s: %s (%s)\n", what, pubsub_err_name(result),
                    error != NULL ? error->text : "");
        _fail(file, line);
    }
}

void kit_check_err(pubsub_err want, pubsub_err got, const char *what, const char *file, int line)
{
    if (want != got) {
        print_error("%s: %s instead of %s\n", what, pubsub_err_name(got), pubsub_err_name(want));
        _fail(file, line);
    }
}

void kit_check_says(const char *text, const char *part, const char *file, int line)
{
    if (strstr(text, part) == NULL) {
        print_error("\"%s\" does not say \"%s\"\n", text, part);
        _fail(file, line);
    }
}

/* ---- clients ------------------------------------------------------------------------------- */

static void set_option(pubsub_options *options, char *assignment)
{
    pubsub_error error = PUBSUB_ERROR_INIT;
    char *value = strchr(assignment, '=');
    assert_non_null(value);
    *value++ = '\0';
    KIT_OK(pubsub_options_set(options, assignment, value, &error), &error);
}

pubsub_options *kit_options(const char *text)
{
    pubsub_options *options = NULL;
    char copy[1024];
    char *word = copy;
    KIT_OK(pubsub_options_new(&options), NULL);
    assert_true(snprintf(copy, sizeof(copy), "%s", text != NULL ? text : "") < (int)sizeof(copy));
    while (*word != '\0') {
        size_t len = strcspn(word, " ");
        bool last = word[len] == '\0';
        word[len] = '\0';
        if (len > 0) {
            set_option(options, word);
        }
        word += last ? len : len + 1;
    }
    return options;
}

static void on_delivery(void *ctx, const pubsub_report *report)
{
    kit_list_add(&((kit_peer *)ctx)->reports, kit_report_copy(report));
}

static void on_event(void *ctx, const pubsub_event *event)
{
    kit_list_add(&((kit_peer *)ctx)->events, kit_event_copy(event));
}

static kit_peer *add_peer(kit_net *net)
{
    kit_peer **end = &net->peers;
    kit_peer *peer = calloc(1, sizeof(*peer));
    assert_non_null(peer);
    peer->net = net;
    kit_list_init(&peer->inbox);
    kit_list_init(&peer->reports);
    kit_list_init(&peer->events);
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = peer;
    return peer;
}

pubsub_err kit_peer_try(kit_net *net, const char *url, const char *options, kit_peer **out,
                        pubsub_error *error)
{
    static const char *const mode_options[] = {"io=thread", "io=inline",
                                               "io=thread dispatch=thread"};
    char text[1024];
    pubsub_options *set = NULL;
    pubsub_client *client = NULL;
    pubsub_err result = PUBSUB_OK;
    *out = NULL;
    (void)snprintf(text, sizeof(text), "%s %s", mode_options[net->mode],
                   options != NULL ? options : "");
    set = kit_options(text);
    result = pubsub_client_new(&client, url, set, error);
    pubsub_options_free(set);
    if (result == PUBSUB_OK) {
        *out = add_peer(net);
        (*out)->client = client;
        KIT_OK(pubsub_client_on_event(client, on_event, *out), NULL);
    }
    return result;
}

kit_peer *kit_peer_plain(kit_net *net, const char *url, const char *options)
{
    pubsub_error error = PUBSUB_ERROR_INIT;
    kit_peer *peer = NULL;
    KIT_OK(kit_peer_try(net, url, options, &peer, &error), &error);
    return peer;
}

kit_peer *kit_peer_new(kit_net *net, const char *url, const char *options)
{
    kit_peer *peer = kit_peer_plain(net, url, options);
    KIT_OK(pubsub_client_on_delivery(peer->client, on_delivery, peer), NULL);
    return peer;
}

pubsub_err kit_try_connect(kit_net *net, const char *url, const char *options, pubsub_error *error)
{
    enum { PROMPTLY = 8000 };
    kit_peer *peer = kit_peer_new(net, url, options);
    uint64_t start = kit_now();
    /* Not connect and then ready: what failed before ready asks, it would only call closed. */
    pubsub_err rc = pubsub_client_ready(peer->client, kit_ms(KIT_PATIENCE), error);
    assert_true((int64_t)((kit_now() - start) / 1000000) < kit_ms(PROMPTLY));
    return rc;
}

void kit_peer_close(kit_peer *peer)
{
    for (kit_sub *sub = peer->subs; sub != NULL; sub = sub->next) {
        pubsub_subscription_free(sub->handle);
        sub->handle = NULL;
    }
    pubsub_client_free(peer->client);
    peer->client = NULL;
}

static void free_message(void *item)
{
    kit_message_free(item);
}

static void free_peer(kit_peer *peer)
{
    kit_peer_close(peer);
    while (peer->subs != NULL) {
        kit_sub *sub = peer->subs;
        peer->subs = sub->next;
        kit_list_fini(&sub->inbox, free_message);
        free(sub->pattern);
        free(sub);
    }
    kit_list_fini(&peer->inbox, free_message);
    kit_list_fini(&peer->reports, free);
    kit_list_fini(&peer->events, free);
    free(peer);
}

void kit_net_init(kit_net *net, kit_mode mode)
{
    net->mode = mode;
    net->peers = NULL;
}

void kit_net_fini(kit_net *net)
{
    while (net->peers != NULL) {
        kit_peer *peer = net->peers;
        net->peers = peer->next;
        free_peer(peer);
    }
}

void kit_turn(kit_net *net)
{
    bool busy = false;
    if (net->mode != KIT_DISPATCH) {
        for (kit_peer *peer = net->peers; peer != NULL; peer = peer->next) {
            if (peer->client != NULL && !peer->unpolled) {
                busy = pubsub_client_poll(peer->client, 0, NULL) > 0 || busy;
            }
        }
    }
    if (!busy) {
        kit_breathe();
    }
}

/* ---- subscriptions ------------------------------------------------------------------------- */

int kit_collect(void *ctx, pubsub_message *message)
{
    kit_sub *sub = ctx;
    kit_message *copy = kit_message_copy(message);
    int result = sub->result;
    if (atomic_load(&sub->quiet)) {
        atomic_fetch_add(&sub->intruders, 1);
    }
    atomic_fetch_add(&sub->running, 1);
    if (sub->keep) {
        copy->ref = pubsub_message_ref(message);
    }
    if (sub->decide != NULL) {
        result = sub->decide(sub, copy, message);
    }
    kit_list_add(&sub->inbox, copy);
    atomic_fetch_sub(&sub->running, 1);
    return result;
}

kit_sub *kit_sub_new(kit_peer *peer, const char *pattern)
{
    kit_sub *sub = calloc(1, sizeof(*sub));
    assert_non_null(sub);
    sub->peer = peer;
    sub->pattern = strdup(pattern);
    assert_non_null(sub->pattern);
    kit_list_init(&sub->inbox);
    sub->next = peer->subs;
    peer->subs = sub;
    return sub;
}

static kit_sub *subscribe(kit_peer *peer, const char *pattern, const char *options, kit_sub *sub,
                          pubsub_message_fn fn)
{
    pubsub_error error = PUBSUB_ERROR_INIT;
    pubsub_options *set = kit_options(options);
    pubsub_err result =
        pubsub_client_subscribe(peer->client, pattern, set, fn, sub, &sub->handle, &error);
    pubsub_options_free(set);
    KIT_OK(result, &error);
    return sub;
}

static kit_sub *subscribed(kit_sub *sub)
{
    pubsub_error error = PUBSUB_ERROR_INIT;
    KIT_OK(pubsub_subscription_wait(sub->handle, kit_ms(KIT_PATIENCE), NULL, &error), &error);
    return sub;
}

kit_sub *kit_subscribe_later(kit_peer *peer, const char *pattern, const char *options,
                             kit_decide_fn decide, void *ctx)
{
    kit_sub *sub = kit_sub_new(peer, pattern);
    sub->decide = decide;
    sub->ctx = ctx;
    return subscribe(peer, pattern, options, sub, kit_collect);
}

kit_sub *kit_subscribe_with(kit_peer *peer, const char *pattern, const char *options,
                            kit_decide_fn decide, void *ctx)
{
    return subscribed(kit_subscribe_later(peer, pattern, options, decide, ctx));
}

kit_sub *kit_subscribe(kit_peer *peer, const char *pattern, const char *options)
{
    return kit_subscribe_with(peer, pattern, options, NULL, NULL);
}

kit_sub *kit_pull(kit_peer *peer, const char *pattern, const char *options)
{
    return subscribed(subscribe(peer, pattern, options, kit_sub_new(peer, pattern), NULL));
}

pubsub_err kit_try_subscribe(kit_peer *peer, const char *pattern, const char *options,
                             pubsub_grant *grant, pubsub_error *error)
{
    pubsub_options *set = kit_options(options);
    kit_sub *sub = kit_sub_new(peer, pattern);
    pubsub_err result =
        pubsub_client_subscribe(peer->client, pattern, set, kit_collect, sub, &sub->handle, error);
    pubsub_options_free(set);
    if (result == PUBSUB_OK) {
        result = pubsub_subscription_wait(sub->handle, kit_ms(KIT_PATIENCE), grant, error);
        (void)pubsub_subscription_unsubscribe(sub->handle, PUBSUB_UNSUBSCRIBE_FORGET, NULL);
    }
    return result;
}

void kit_quiet(kit_sub *sub)
{
    atomic_store(&sub->quiet, true);
}

/* ---- what came ----------------------------------------------------------------------------- */

size_t kit_count(kit_sub *sub)
{
    return kit_list_count(&sub->inbox);
}

kit_message *kit_at(kit_sub *sub, size_t index)
{
    kit_message *copy = kit_list_at(&sub->inbox, index);
    if (copy == NULL) {
        fail_msg("%s: no message %zu of %zu", sub->pattern, index, kit_count(sub));
    }
    return copy;
}

size_t kit_count_of(kit_sub *sub, const char *payload)
{
    size_t found = 0;
    size_t count = kit_count(sub);
    for (size_t i = 0; i < count; i++) {
        const kit_message *copy = kit_list_at(&sub->inbox, i);
        found += kit_is(copy->payload, payload) ? 1 : 0;
    }
    return found;
}

kit_message *kit_find(kit_sub *sub, const char *payload)
{
    size_t count = kit_count(sub);
    for (size_t i = 0; i < count; i++) {
        kit_message *copy = kit_list_at(&sub->inbox, i);
        if (kit_is(copy->payload, payload)) {
            return copy;
        }
    }
    return NULL;
}

kit_event *kit_event_find(kit_peer *peer, pubsub_event_type type, size_t nth)
{
    size_t count = kit_list_count(&peer->events);
    for (size_t i = 0; i < count; i++) {
        kit_event *event = kit_list_at(&peer->events, i);
        if (event->type == type && nth-- == 0) {
            return event;
        }
    }
    return NULL;
}

size_t kit_events_of(kit_peer *peer, pubsub_event_type type)
{
    size_t nth = 0;
    while (kit_event_find(peer, type, nth) != NULL) {
        nth++;
    }
    return nth;
}

bool kit_went_through(kit_peer *peer, pubsub_state state)
{
    for (size_t nth = 0;; nth++) {
        const kit_event *event = kit_event_find(peer, PUBSUB_EVENT_STATE, nth);
        if (event == NULL || event->state == state) {
            return event != NULL;
        }
    }
}

pubsub_stats kit_stats(kit_peer *peer)
{
    pubsub_stats stats;
    memset(&stats, 0, sizeof(stats));
    stats.size = sizeof(stats);
    KIT_OK(pubsub_client_stats(peer->client, &stats), NULL);
    return stats;
}

/* ---- publishing ---------------------------------------------------------------------------- */

pubsub_publication kit_publication(const char *topic, const char *payload)
{
    pubsub_publication publication = PUBSUB_PUBLICATION_INIT;
    publication.topic = pubsub_bytes_of(topic);
    publication.payload = pubsub_bytes_of(payload);
    return publication;
}

void kit_send(kit_peer *peer, const pubsub_publication *publication)
{
    pubsub_error error = PUBSUB_ERROR_INIT;
    KIT_OK(pubsub_client_publish(peer->client, publication, kit_ms(KIT_PATIENCE), &error), &error);
}

void kit_publish(kit_peer *peer, const char *topic, const char *payload)
{
    pubsub_publication publication = kit_publication(topic, payload);
    kit_send(peer, &publication);
}

pubsub_receipt kit_store(kit_peer *peer, const pubsub_publication *publication)
{
    pubsub_error error = PUBSUB_ERROR_INIT;
    pubsub_receipt receipt;
    memset(&receipt, 0xff, sizeof(receipt));
    KIT_OK(pubsub_client_publish_wait(peer->client, publication, kit_ms(KIT_PATIENCE), &receipt,
                                      &error),
           &error);
    assert_int_equal(receipt.outcome, PUBSUB_ACCEPTED);
    return receipt;
}

pubsub_receipt kit_store_text(kit_peer *peer, const char *topic, const char *payload)
{
    pubsub_publication publication = kit_publication(topic, payload);
    return kit_store(peer, &publication);
}

void kit_flush(kit_peer *peer)
{
    pubsub_error error = PUBSUB_ERROR_INIT;
    KIT_OK(pubsub_client_flush(peer->client, kit_ms(KIT_PATIENCE), &error), &error);
}
