/* SPDX-License-Identifier: MIT */
#include "engine/pipe.h"

#include "base/alloc.h"
#include "engine/checkpoint.h"
#include "support/cmocka.h"
#include "support/wait.h"
#include "unit/bridge/scripted.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* One pipe without an engine around it; the test is its source. */
typedef struct bench {
    scripted_bridge b;
    bridge_target *target;
    bridge_committer *committer;
    bridge_pipe *pipe;
    bool stopped;
    bool gone;
    unsigned changes;
    char positions[KIT_PATH_MAX + 32];
    char last_error[256];
} bench;

static void on_note(void *ctx, bridge_note_kind kind, const char *route, pubsub_bytes model,
                    pubsub_bytes text)
{
    bench *t = ctx;
    (void)route;
    (void)model;
    if (kind == BRIDGE_NOTE_ERROR) {
        (void)snprintf(t->last_error, sizeof t->last_error, "%.*s", (int)text.len,
                       (const char *)text.data);
    }
}

static void on_changed(void *ctx)
{
    bench *t = ctx;
    t->changes++;
}

static void on_stopped(void *ctx, bool clean)
{
    bench *t = ctx;
    (void)clean;
    t->stopped = true;
}

static void on_gone(void *ctx)
{
    bench *t = ctx;
    t->gone = true;
}

static void set_up_as(bench *t, const pubsub_connector *connector, bool to_spool)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    memset(t, 0, sizeof *t);
    scripted_bridge_init(&t->b, connector);
    if (to_spool) { /* one that takes little at a time */
        (void)snprintf(t->b.url + strlen(t->b.url), 40, "?local.segment_bytes=64k");
        t->b.route[0].on_reject = BRIDGE_REJECT_STOP;
    }
    scripted.silent = true;
    scripted.endless = true;
    t->b.route[0].in_flight = 4;
    (void)snprintf(t->positions, sizeof t->positions, "%s/positions", t->b.dir);
    assert_int_equal(mkdir(t->positions, 0700), 0);
    assert_int_equal(pubsub_host_new(&t->b.host, &err), PUBSUB_OK);
    t->target = bridge_target_new(t->b.host, "bus", t->b.url, NULL, &err);
    t->committer = bridge_committer_new(t->b.host);
    assert_non_null(t->target);
    assert_non_null(t->committer);
    const bridge_pipe_init init = {.host = t->b.host,
                                   .committer = t->committer,
                                   .directory = t->positions,
                                   .name = "r1",
                                   .source = "script",
                                   .reader = "reader",
                                   .connector = connector,
                                   .to_spool = to_spool,
                                   .route = &t->b.route[0],
                                   .target = t->target,
                                   .note = on_note,
                                   .note_ctx = t,
                                   .notes = ~0u,
                                   .changed = on_changed,
                                   .changed_ctx = t};
    t->pipe = bridge_pipe_new(&init);
    assert_non_null(t->pipe);
    bridge_pipe_start(t->pipe);
}

static void set_up(bench *t)
{
    set_up_as(t, &scripted_replays, false);
}

static void until(bench *t, bool (*holds)(bench *t))
{
    kit_deadline deadline = kit_in(KIT_PATIENCE);
    while (!holds(t)) {
        if (kit_over(deadline)) {
            fail_msg("it did not come to that; last error: %s", t->last_error);
        }
        (void)pubsub_host_run(t->b.host, 1);
    }
}

static bool is_stopped(bench *t)
{
    return t->stopped;
}

static bool is_gone(bench *t)
{
    return t->gone;
}

static void tear_down(bench *t)
{
    if (!t->stopped) {
        bridge_pipe_stop(t->pipe, 5000, on_stopped, t);
        until(t, is_stopped);
    }
    bridge_pipe_free(t->pipe);
    bridge_target_end(t->target, 2000, on_gone, t);
    until(t, is_gone);
    bridge_committer_free(t->committer);
    pubsub_host_free(t->b.host);
    scripted_bridge_fini(&t->b);
}

static pubsub_err tell(bench *t, const char *model, const char *position, pubsub_bytes id)
{
    pubsub_source_event event = PUBSUB_SOURCE_EVENT_INIT;
    event.model = pubsub_bytes_of(model);
    event.document = pubsub_bytes_of("{}");
    event.position = pubsub_bytes_of(position);
    event.id = id;
    event.change = PUBSUB_CHANGE_CREATE;
    return t->pipe->emitter.event(&t->pipe->emitter, &event);
}

static void pass(bench *t, const char *model, const char *position)
{
    t->pipe->emitter.position(&t->pipe->emitter, pubsub_bytes_of(model), pubsub_bytes_of(position));
    bridge_pipe_store_now(t->pipe);
}

static bool is_written(bench *t)
{
    return t->pipe->writing == 0 && t->pipe->dirty == NULL;
}

/* A write may be under way, or wait for a slow disk, while one configuration follows the other. */
static void test_pipe_writes_under_its_own_name(void **state)
{
    (void)state;
    bench t;
    char fifo[KIT_PATH_MAX + 64];
    char *text = NULL;
    size_t len = 0;
    set_up(&t);
    (void)snprintf(fifo, sizeof fifo, "%s/r1@slow.pos.tmp", t.positions);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    pass(&t, "slow", "1"); /* opening it waits for a reader */
    bridge_route *next = pubsub__alloc(sizeof *next);
    assert_non_null(next);
    *next = t.b.route[0];
    next->name = pubsub__strdup("r1");
    bridge_pipe_rebind(t.pipe, next, "script");
    pass(&t, "accounts", "7");
    bridge_pipe_rebind(t.pipe, &t.b.route[0], "script");
    pubsub__free(next->name);
    pubsub__free(next);
    int fd = open(fifo, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    assert_true(fd >= 0);
    until(&t, is_written);
    (void)close(fd);
    assert_int_equal(
        bridge_checkpoint_read(t.positions, "r1", pubsub_bytes_of("accounts"), &text, &len, NULL),
        PUBSUB_OK);
    assert_int_equal(len, 1);
    pubsub__free(text);
    tear_down(&t);
    assert_int_equal(pubsub__alloc_live(), 0);
}

/* What is confirmed when the time to drain is over is not written any more: whoever waited for the end
 * frees the pipe. */
static void test_pipe_writes_nothing_once_it_has_stopped(void **state)
{
    (void)state;
    static const char *const positions[] = {"1", "2", "3", "4"};
    bench t;
    set_up(&t);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(tell(&t, "accounts", positions[i], (pubsub_bytes){NULL, 0}), PUBSUB_OK);
    }
    bridge_pipe_stop(t.pipe, 0, on_stopped, &t);
    assert_true(t.stopped);
    assert_int_equal(t.pipe->flights, 4);
    kit_deadline deadline = kit_in(KIT_PATIENCE);
    while (t.pipe->flights > 0 && !kit_over(deadline)) {
        (void)pubsub_host_run(t.b.host, 1);
        assert_int_equal(t.pipe->writing, 0);
    }
    assert_int_equal(t.pipe->flights, 0);
    deadline = kit_in(150); /* longer than a position waits to be written */
    while (!kit_over(deadline)) {
        (void)pubsub_host_run(t.b.host, 1);
        assert_int_equal(t.pipe->writing, 0);
    }
    tear_down(&t);
    assert_int_equal(pubsub__alloc_live(), 0);
}

static bool has_landed(bench *t)
{
    return t->pipe->flights == 0;
}

/* Sources have ids as they like; an event must not be stuck because of its own. */
static void test_pipe_takes_any_id(void **state)
{
    (void)state;
    static char name[3000];
    static scripted_bus bus;
    bench t;
    set_up(&t);
    memset(name, 'n', sizeof name);
    pubsub_bytes ids[] = {{name, sizeof name}, {name, sizeof name}, {"\xff\xfe", 2}, {name, 1024}};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(tell(&t, "accounts", "1", ids[i]), PUBSUB_OK);
    }
    until(&t, has_landed);
    assert_int_equal(t.pipe->counts.published, 4);
    scripted_read(t.b.url, &bus);
    assert_int_equal(bus.count, 4);
    pubsub_bytes made[4];
    for (size_t i = 0; i < 4; i++) {
        made[i] = pubsub_message_header_find(bus.messages[i], "pubsub-id");
    }
    assert_int_equal(made[0].len, 32);
    assert_int_equal(made[2].len, 32);
    assert_int_equal(made[3].len, 1024);
    assert_memory_equal(made[0].data, made[1].data, 32);
    assert_memory_not_equal(made[0].data, made[2].data, 32);
    scripted_forget(&bus);
    tear_down(&t);
    assert_int_equal(pubsub__alloc_live(), 0);
}

/* More headers than a message may have: refused as the route says, not handed back for ever. */
static void test_pipe_refuses_too_many_headers(void **state)
{
    (void)state;
    static pubsub_header headers[PUBSUB_HEADERS_MAX];
    static scripted_bus bus;
    bench t;
    set_up(&t);
    pubsub_source_event event = PUBSUB_SOURCE_EVENT_INIT;
    for (size_t i = 0; i < PUBSUB_HEADERS_MAX; i++) {
        headers[i] = (pubsub_header){pubsub_bytes_of("h"), pubsub_bytes_of("v")};
    }
    event.model = pubsub_bytes_of("accounts");
    event.document = pubsub_bytes_of("{}");
    event.position = pubsub_bytes_of("1");
    event.headers = headers;
    event.header_count = PUBSUB_HEADERS_MAX;
    assert_int_equal(t.pipe->emitter.event(&t.pipe->emitter, &event), PUBSUB_OK);
    until(&t, has_landed);
    assert_int_equal(t.pipe->counts.dead_lettered, 1);
    assert_non_null(strstr(t.last_error, "headers"));
    scripted_read(t.b.url, &bus);
    assert_int_equal(bus.count, 1);
    scripted_forget(&bus);
    tear_down(&t);
    assert_int_equal(pubsub__alloc_live(), 0);
}

static bool is_told(bench *t)
{
    (void)t;
    return scripted.settled_ok + scripted.settled_bad == 2;
}

/* Whoever waits for an answer is told; one that sends too much must not end the route for all. */
static void test_pipe_tells_who_sends_too_much(void **state)
{
    (void)state;
    static char big[200000];
    bench t;
    pubsub_connector hurries = scripted_settles;
    hurries.flags |= PUBSUB_CONNECTOR_HURRIES;
    memset(big, 'b', sizeof big);
    set_up_as(&t, &hurries, true);
    pubsub_source_event event = PUBSUB_SOURCE_EVENT_INIT;
    event.model = pubsub_bytes_of("accounts");
    event.document = (pubsub_bytes){big, sizeof big};
    event.token = t.pipe->self;
    assert_int_equal(t.pipe->emitter.event(&t.pipe->emitter, &event), PUBSUB_OK);
    event.document = pubsub_bytes_of("{}");
    assert_int_equal(t.pipe->emitter.event(&t.pipe->emitter, &event), PUBSUB_OK);
    until(&t, is_told);
    assert_int_equal(scripted.settled_bad, 1);
    assert_int_equal(t.pipe->counts.rejected, 1);
    assert_int_not_equal(bridge_pipe_state(t.pipe), BRIDGE_ROUTE_STOPPED);
    tear_down(&t);
    assert_int_equal(pubsub__alloc_live(), 0);
}

static void say(bench *t, const char *model, pubsub_source_state state)
{
    t->pipe->emitter.state(&t->pipe->emitter, pubsub_bytes_of(model), state);
}

static bool is_over(bench *t)
{
    return bridge_pipe_is_over(t->pipe);
}

/* One database that is closed to us must not end the others. */
static void test_pipe_is_over_when_nothing_comes_any_more(void **state)
{
    (void)state;
    static char orders[] = "orders";
    bench t;
    set_up(&t);
    t.b.models[1] = orders;
    t.b.route[0].model_count = 2;
    say(&t, "accounts", PUBSUB_SOURCE_STOPPED);
    assert_int_equal(bridge_pipe_state(t.pipe), BRIDGE_ROUTE_STOPPED);
    assert_false(is_over(&t)); /* of the other one nothing is known yet */
    say(&t, orders, PUBSUB_SOURCE_ACTIVE);
    assert_false(is_over(&t));
    assert_int_equal(tell(&t, orders, "1", (pubsub_bytes){NULL, 0}), PUBSUB_OK);
    unsigned before = t.changes;
    say(&t, orders, PUBSUB_SOURCE_ENDED);
    assert_false(is_over(&t)); /* its last event is under way */
    assert_int_equal(t.changes, before);
    until(&t, is_over);
    assert_int_equal(t.changes, before + 1); /* and that is told, the state being the same */
    tear_down(&t);
    assert_int_equal(pubsub__alloc_live(), 0);
}

static bool has_failed(bench *t)
{
    return bridge_pipe_state(t->pipe) == BRIDGE_ROUTE_STOPPED;
}

/* The table of models is bounded; what does not fit is no reason to stand still without a word. */
static void test_pipe_stops_at_too_many_models(void **state)
{
    (void)state;
    char name[24];
    bench t;
    set_up(&t);
    t.pipe->init.notes = 1u << BRIDGE_NOTE_ERROR;
    for (unsigned i = 0; i < PIPE_MODELS_MAX; i++) {
        (void)snprintf(name, sizeof name, "m%u", i);
        say(&t, name, PUBSUB_SOURCE_ACTIVE);
    }
    assert_int_equal(tell(&t, "one more", "1", (pubsub_bytes){NULL, 0}), PUBSUB_ECLOSED);
    until(&t, has_failed);
    assert_non_null(strstr(t.last_error, "65536 models"));
    tear_down(&t);
    assert_int_equal(pubsub__alloc_live(), 0);
}

static bool is_resumed(bench *t)
{
    (void)t;
    return scripted.resumed > 0;
}

/* Nothing is under way whose end would make the pipe look again. */
static void test_pipe_goes_on_after_memory_was_short(void **state)
{
    (void)state;
    bench t;
    set_up(&t);
    assert_int_equal(tell(&t, "accounts", "1", (pubsub_bytes){NULL, 0}), PUBSUB_OK);
    until(&t, has_landed);
    until(&t, is_written);
    (void)pubsub_host_run(t.b.host, 20);
    scripted.resumed = 0;
    pubsub__alloc_fail_at(1);
    assert_int_equal(tell(&t, "orders", "1", (pubsub_bytes){NULL, 0}), PUBSUB_EAGAIN);
    pubsub__alloc_fail_at(0);
    until(&t, is_resumed);
    tear_down(&t);
    assert_int_equal(pubsub__alloc_live(), 0);
}

static bench *ordered; /* the one whose first message comes back once */

/* As if the broker had asked for patience. */
static void again_once(bridge_flight *flight, const pubsub_report *report)
{
    bench *t = ordered;
    t->pipe->user->report = bridge_pipe_report;
    (void)report;
    bridge_target_retry(flight);
    assert_int_equal(tell(t, "accounts", "2", pubsub_bytes_of("second")), PUBSUB_OK);
}

/* Events of one key keep their order, also when one has to be published again. */
static void test_pipe_keeps_the_order_behind_a_retry(void **state)
{
    (void)state;
    static scripted_bus bus;
    bench t;
    set_up(&t);
    ordered = &t;
    t.pipe->user->report = again_once;
    assert_int_equal(tell(&t, "accounts", "1", pubsub_bytes_of("first")), PUBSUB_OK);
    until(&t, has_landed);
    assert_int_equal(t.pipe->counts.published, 2);
    scripted_read(t.b.url, &bus);
    assert_int_equal(bus.count, 3); /* the first one was not really refused */
    pubsub_bytes last = pubsub_message_header_find(bus.messages[2], "pubsub-id");
    assert_int_equal(last.len, 6);
    assert_memory_equal(last.data, "second", 6);
    scripted_forget(&bus);
    tear_down(&t);
    assert_int_equal(pubsub__alloc_live(), 0);
}

static pubsub_err tell_key(bench *t, const char *key, const char *position, const char *id)
{
    pubsub_source_event event = PUBSUB_SOURCE_EVENT_INIT;
    event.model = pubsub_bytes_of("accounts");
    event.document = pubsub_bytes_of("{}");
    event.position = pubsub_bytes_of(position);
    event.id = pubsub_bytes_of(id);
    event.key = pubsub_bytes_of(key);
    return t->pipe->emitter.event(&t->pipe->emitter, &event);
}

/* As if the broker had asked for patience with the first message, while others are under way. */
static void patience_once(bridge_flight *flight, const pubsub_report *report)
{
    bench *t = ordered;
    t->pipe->user->report = bridge_pipe_report;
    (void)report;
    bridge_target_retry(flight);
}

static void expect_ids(bench *t, const char *const *ids, size_t count)
{
    static scripted_bus bus;
    scripted_read(t->b.url, &bus);
    assert_int_equal(bus.count, count);
    for (size_t i = 0; i < count; i++) {
        pubsub_bytes id = pubsub_message_header_find(bus.messages[i], "pubsub-id");
        assert_int_equal(id.len, strlen(ids[i]));
        assert_memory_equal(id.data, ids[i], id.len);
    }
    scripted_forget(&bus);
}

/* The next one of the key was taken from the source before the first one came back; those of other keys
 * do not wait. */
static void test_pipe_keeps_the_order_of_a_key(void **state)
{
    (void)state;
    static const char *const in_order[] = {"first", "other", "first", "second", "third"};
    bench t;
    set_up(&t);
    t.b.route[0].ordered = true;
    ordered = &t;
    t.pipe->user->report = patience_once;
    assert_int_equal(tell_key(&t, "a", "1", "first"), PUBSUB_OK);
    assert_int_equal(tell_key(&t, "a", "2", "second"), PUBSUB_OK);
    assert_int_equal(tell_key(&t, "b", "3", "other"), PUBSUB_OK);
    assert_int_equal(tell_key(&t, "a", "4", "third"), PUBSUB_OK);
    assert_int_equal(tell_key(&t, "c", "5", "fifth"), PUBSUB_EAGAIN);
    until(&t, has_landed);
    assert_int_equal(t.pipe->counts.published, 4);
    expect_ids(&t, in_order, 5); /* the first one was not really refused */
    tear_down(&t);
    assert_int_equal(pubsub__alloc_live(), 0);
}

static void never(bridge_flight *flight, const pubsub_report *report)
{
    (void)report;
    bridge_target_retry(flight);
}

/* What stands behind a key's first one is not forgotten when the pipe ends before its turn. */
static void test_pipe_frees_what_never_went(void **state)
{
    (void)state;
    bench t;
    set_up(&t);
    t.b.route[0].ordered = true;
    t.pipe->user->report = never;
    assert_int_equal(tell_key(&t, "a", "1", "first"), PUBSUB_OK);
    assert_int_equal(tell_key(&t, "a", "2", "second"), PUBSUB_OK);
    assert_int_equal(tell_key(&t, "a", "3", "third"), PUBSUB_OK);
    bridge_pipe_stop(t.pipe, 1, on_stopped, &t);
    until(&t, is_stopped);
    tear_down(&t);
    assert_int_equal(pubsub__alloc_live(), 0);
}

static void refuse_first(bridge_flight *flight, const pubsub_report *report)
{
    bench *t = ordered;
    pubsub_error err = PUBSUB_ERROR_INIT;
    t->pipe->user->report = bridge_pipe_report;
    (void)report;
    (void)pubsub_error_set(&err, PUBSUB_EREJECTED, "no");
    bridge_pipe_refuse(flight, &err);
}

/* A route that stops at a message publishes nothing newer of its key. */
static void test_pipe_stops_before_the_next_of_a_key(void **state)
{
    (void)state;
    static const char *const in_order[] = {"first"};
    bench t;
    set_up(&t);
    t.b.route[0].ordered = true;
    t.b.route[0].on_reject = BRIDGE_REJECT_STOP;
    ordered = &t;
    t.pipe->user->report = refuse_first;
    assert_int_equal(tell_key(&t, "a", "1", "first"), PUBSUB_OK);
    assert_int_equal(tell_key(&t, "a", "2", "second"), PUBSUB_OK);
    assert_int_equal(tell_key(&t, "a", "3", "third"), PUBSUB_OK);
    until(&t, has_landed);
    assert_true(bridge_pipe_is_over(t.pipe));
    expect_ids(&t, in_order, 1);
    tear_down(&t);
    assert_int_equal(pubsub__alloc_live(), 0);
}

static bool is_settled(bench *t)
{
    return has_landed(t) && is_written(t);
}

/* Events without a position behind the stored one come again after a crash, and are counted as such. */
static void test_pipe_counts_what_comes_again(void **state)
{
    (void)state;
    bench t;
    set_up(&t);
    t.b.route[0].in_flight = 40; /* so that a position waits for what comes behind it */
    assert_int_equal(tell(&t, "accounts", "1", pubsub_bytes_of("a")), PUBSUB_OK);
    assert_int_equal(tell(&t, "accounts", "", pubsub_bytes_of("b")), PUBSUB_OK);
    assert_int_equal(tell(&t, "accounts", "", pubsub_bytes_of("c")), PUBSUB_OK);
    until(&t, is_settled);
    assert_int_equal(t.pipe->unstored, 2);
    assert_int_equal(tell(&t, "accounts", "4", pubsub_bytes_of("d")), PUBSUB_OK);
    until(&t, is_settled);
    assert_int_equal(t.pipe->unstored, 0);
    /* With nothing that could be stored there is nothing to wait for. */
    for (unsigned i = 0; i < 45; i++) {
        assert_int_equal(tell(&t, "accounts", "", (pubsub_bytes){NULL, 0}), PUBSUB_OK);
        until(&t, is_settled);
    }
    assert_int_equal(t.pipe->unstored, 45);
    tear_down(&t);
    assert_int_equal(pubsub__alloc_live(), 0);
}

static void remember(void *ctx, pubsub_bytes model, pubsub_bytes position)
{
    char *text = ctx;
    size_t used = strlen(text);
    (void)snprintf(text + used, 256 - used, "%.*s=%.*s ", (int)model.len, (const char *)model.data,
                   (int)position.len, (const char *)position.data);
}

/* A connector whose models are patterns learns what is stored, though it knows no names. */
static void test_pipe_tells_all_that_is_stored(void **state)
{
    (void)state;
    bench t;
    char text[256] = "";
    set_up(&t);
    t.pipe->emitter.stored_all(&t.pipe->emitter, remember, text);
    assert_string_equal(text, "");
    assert_int_equal(tell(&t, "accounts", "7", pubsub_bytes_of("a")), PUBSUB_OK);
    assert_int_equal(tell(&t, "orders", "", pubsub_bytes_of("b")), PUBSUB_OK);
    until(&t, is_settled);
    t.pipe->emitter.stored_all(&t.pipe->emitter, remember, text);
    assert_string_equal(text, "accounts=7 ");
    text[0] = '\0'; /* a model that was met on the way, whose file nobody has asked for yet */
    assert_int_equal(tell(&t, "orders", "8", pubsub_bytes_of("c")), PUBSUB_OK);
    assert_int_equal(tell(&t, "people", "3", pubsub_bytes_of("d")), PUBSUB_OK);
    until(&t, is_settled);
    t.pipe->emitter.stored_all(&t.pipe->emitter, remember, text);
    assert_non_null(strstr(text, "accounts=7 "));
    assert_non_null(strstr(text, "orders=8 "));
    assert_non_null(strstr(text, "people=3 "));
    tear_down(&t);
    assert_int_equal(pubsub__alloc_live(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pipe_writes_under_its_own_name),
        cmocka_unit_test(test_pipe_writes_nothing_once_it_has_stopped),
        cmocka_unit_test(test_pipe_takes_any_id),
        cmocka_unit_test(test_pipe_refuses_too_many_headers),
        cmocka_unit_test(test_pipe_tells_who_sends_too_much),
        cmocka_unit_test(test_pipe_is_over_when_nothing_comes_any_more),
        cmocka_unit_test(test_pipe_stops_at_too_many_models),
        cmocka_unit_test(test_pipe_goes_on_after_memory_was_short),
        cmocka_unit_test(test_pipe_keeps_the_order_behind_a_retry),
        cmocka_unit_test(test_pipe_keeps_the_order_of_a_key),
        cmocka_unit_test(test_pipe_counts_what_comes_again),
        cmocka_unit_test(test_pipe_tells_all_that_is_stored),
        cmocka_unit_test(test_pipe_frees_what_never_went),
        cmocka_unit_test(test_pipe_stops_before_the_next_of_a_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
