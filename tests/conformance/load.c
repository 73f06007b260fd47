/* SPDX-License-Identifier: MIT */
#include "conformance/load.h"

#include <stdio.h>
#include <stdlib.h>

enum { BURST = 4 };

/* ---- publishing ---------------------------------------------------------------------------- */

static pubsub_err publish_next(conf_load *load)
{
    char payload[32];
    size_t number = atomic_load(&load->published);
    pubsub_publication pub;
    pubsub_err result = PUBSUB_OK;
    (void)snprintf(payload, sizeof(payload), "m%zu", number);
    pub = kit_publication(load->topic, payload);
    pub.qos = load->qos;
    pub.token = (char *)load + number; /* only compared */
    result = pubsub_client_publish(load->peer->client, &pub, 0, NULL);
    if (result == PUBSUB_OK) {
        atomic_store(&load->published, number + 1);
    }
    return result == PUBSUB_EAGAIN ? PUBSUB_OK : result;
}

static void *publish_on(void *ctx)
{
    conf_load *load = ctx;
    pubsub_err result = PUBSUB_OK;
    while (result == PUBSUB_OK && !atomic_load(&load->stop)) {
        int polled = 0;
        for (int i = 0; i < BURST && result == PUBSUB_OK; i++) {
            size_t open = atomic_load(&load->published) - kit_list_count(&load->peer->reports);
            result = open < CONF_LOAD_WINDOW ? publish_next(load) : PUBSUB_OK;
        }
        polled = pubsub_client_poll(load->peer->client, 0, NULL);
        if (result == PUBSUB_OK && polled < 0) {
            result = (pubsub_err)polled;
        }
        kit_breathe();
    }
    atomic_store(&load->result, result);
    return NULL;
}

static void stop(conf_load *load)
{
    if (load->running) {
        atomic_store(&load->stop, true);
        (void)pthread_join(load->thread, NULL);
        load->running = false;
        load->peer->unpolled = false;
    }
}

static void undo(void *ctx)
{
    conf_load *load = ctx;
    stop(load);
    free(load->outcomes);
    free(load);
}

conf_load *conf_load_start(conf *t, kit_peer *peer, const char *topic, pubsub_qos qos)
{
    conf_load *load = calloc(1, sizeof(*load));
    assert_non_null(load);
    load->t = t;
    load->peer = peer;
    load->topic = topic;
    load->qos = qos;
    peer->unpolled = true; /* its thread does it */
    assert_null(t->undo);
    t->undo_ctx = load;
    t->undo = undo;
    assert_int_equal(pthread_create(&load->thread, NULL, publish_on, load), 0);
    load->running = true;
    return load;
}

void conf_load_advance(conf_load *load, size_t more)
{
    size_t want = kit_list_count(&load->peer->reports) + more;
    KIT_AWAIT(load->t->net, kit_list_count(&load->peer->reports) >= want ||
                                atomic_load(&load->result) != PUBSUB_OK);
    KIT_ERR(PUBSUB_OK, (pubsub_err)atomic_load(&load->result));
}

void conf_load_finish(conf_load *load)
{
    size_t count = 0;
    size_t unheard = 0;
    bool *seen = NULL;
    stop(load);
    KIT_ERR(PUBSUB_OK, (pubsub_err)atomic_load(&load->result));
    count = atomic_load(&load->published);
    KIT_AWAIT(load->t->net, kit_list_count(&load->peer->reports) >= count);
    assert_int_equal(kit_list_count(&load->peer->reports), count);
    load->outcomes = calloc(count + 1, sizeof(*load->outcomes));
    assert_non_null(load->outcomes);
    seen = test_calloc(count + 1, sizeof(*seen));
    for (size_t i = 0; i < count; i++) {
        const kit_report *got = kit_list_at(&load->peer->reports, i);
        size_t number = (size_t)((const char *)got->report.token - (const char *)load);
        assert_true(number < count && !seen[number]);
        assert_true(got->report.outcome <= PUBSUB_DROPPED);
        seen[number] = true;
        load->outcomes[number] = got->report.outcome;
        load->counts[got->report.outcome]++;
        unheard += (got->report.flags & PUBSUB_REPORT_NO_SUBSCRIBER) != 0 ? 1 : 0;
    }
    test_free(seen);
    print_message(
        "             %zu published: %zu accepted, %zu rejected, %zu not sent, %zu unknown, "
        "%zu dropped; %zu without subscriber\n",
        count, load->counts[0], load->counts[1], load->counts[2], load->counts[3], load->counts[4],
        unheard);
    assert_true(load->counts[PUBSUB_ACCEPTED] > 0);
    assert_int_equal(load->counts[PUBSUB_REJECTED] + load->counts[PUBSUB_DROPPED], 0);
}

/* ---- judging ------------------------------------------------------------------------------- */

void conf_load_fence(conf *t, kit_peer *publisher, kit_sub *sub, pubsub_qos qos)
{
    static unsigned fences;
    kit_deadline until = kit_in(2 * KIT_PATIENCE);
    const char *prefix = conf_text(t, "fence-%u-", fences++);
    size_t seen = kit_count(sub);
    for (unsigned i = 0;; i++) {
        const char *text = conf_text(t, "%s%u", prefix, i);
        kit_deadline next = kit_in(300);
        pubsub_publication pub = kit_publication(sub->pattern, text);
        pub.qos = qos;
        pub.flags = PUBSUB_PUBLISH_NO_REPORT;
        kit_send(publisher, &pub);
        while (!kit_over(next)) {
            for (; seen < kit_count(sub); seen++) {
                if (conf_number(kit_at(sub, seen), prefix) != SIZE_MAX) {
                    return;
                }
            }
            kit_turn(t->net);
        }
        if (kit_over(until)) {
            fail_msg("nothing comes any more on %s", sub->pattern);
        }
    }
}

size_t conf_times_lost(kit_peer *peer)
{
    size_t count = 0;
    for (size_t nth = 0;; nth++) {
        const kit_event *event = kit_event_find(peer, PUBSUB_EVENT_STATE, nth);
        if (event == NULL) {
            return count;
        }
        count += event->state == PUBSUB_STATE_RECONNECTING ? 1 : 0;
    }
}

/* Put a number at the end of one of the streams, whose ends are kept in descending order: of those it may
 * follow the first leaves the fewest streams in the end. */
static void add_to_streams(size_t *ends, size_t *streams, size_t number)
{
    size_t at = 0;
    while (at < *streams && ends[at] >= number) {
        at++;
    }
    *streams += at == *streams ? 1 : 0;
    ends[at] = number;
}

static void judge_order(const conf_load *load, const conf_tally *tally, kit_sub *sub,
                        const char *name)
{
    size_t connections = conf_times_lost(load->peer) + 1;
    if (tally->behind == 0) {
        return;
    }
    if (!load->t->adapter->network->drains || kit_events_of(sub->peer, PUBSUB_EVENT_GAP) == 0) {
        fail_msg("%s: %zu came for the first time behind later ones", name, tally->behind);
    }
    print_message("             %s: %zu behind later ones: %zu streams of %zu connections\n", name,
                  tally->behind, tally->streams, connections);
    assert_true(tally->streams <= connections);
}

conf_tally conf_load_judge(conf_load *load, kit_sub *sub, const char *name)
{
    conf_tally tally = {0, 0, 0, 0, 0};
    size_t count = atomic_load(&load->published);
    size_t *times = test_calloc(count + 1, sizeof(*times));
    size_t *ends = test_calloc(kit_count(sub) + 1, sizeof(*ends));
    size_t newest = 0;
    for (size_t i = 0; i < kit_count(sub); i++) {
        size_t number = conf_number(kit_at(sub, i), "m");
        if (number == SIZE_MAX) {
            continue; /* a fence */
        }
        if (number >= count) {
            fail_msg("%s: m%zu came, %zu were published", name, number, count);
        }
        if (times[number] == 0 && number < newest && tally.behind++ == 0) {
            print_message("             %s: m%zu of %zu came for the first time after m%zu\n", name,
                          number, count, newest);
        }
        tally.doubled += times[number] > 0 ? 1 : 0;
        times[number]++;
        add_to_streams(ends, &tally.streams, number);
        newest = number > newest ? number : newest;
    }
    for (size_t i = 0; i < count; i++) {
        tally.holes += times[i] == 0 ? 1 : 0;
        if (times[i] == 0 && load->outcomes[i] == PUBSUB_ACCEPTED && tally.lost++ == 0) {
            print_message("             %s: m%zu of %zu was confirmed and never came\n", name, i,
                          count);
        }
    }
    test_free(times);
    test_free(ends);
    print_message("             %s: %zu confirmed ones lost, %zu came again, %zu never came, "
                  "%zu gaps told\n",
                  name, tally.lost, tally.doubled, tally.holes,
                  kit_events_of(sub->peer, PUBSUB_EVENT_GAP));
    judge_order(load, &tally, sub, name);
    return tally;
}

size_t conf_load_settled(conf *t, kit_sub *sub)
{
    kit_peer *peer = sub->peer;
    KIT_AWAIT(t->net, kit_events_of(peer, PUBSUB_EVENT_REFUSED) > 0 ||
                          kit_events_of(peer, PUBSUB_EVENT_SUBSCRIBED) ==
                              kit_events_of(peer, PUBSUB_EVENT_INTERRUPTED) + 1);
    if (kit_events_of(peer, PUBSUB_EVENT_REFUSED) > 0) {
        fail_msg("refused: %s", kit_event_find(peer, PUBSUB_EVENT_REFUSED, 0)->error.text);
    }
    return kit_events_of(peer, PUBSUB_EVENT_INTERRUPTED);
}

void conf_load_gaps_told(const conf_tally *tally, kit_sub *sub)
{
    if (tally->lost > 0) {
        assert_true(kit_events_of(sub->peer, PUBSUB_EVENT_GAP) > 0);
    }
}
