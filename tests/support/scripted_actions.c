/* SPDX-License-Identifier: MIT */
#include "support/scripted_internal.h"

#include <stdlib.h>

void scripted__act(instance *self)
{
    scripted *broker = self->broker;
    scripted_action *action = NULL;
    scripted__lock(broker);
    action = broker->action;
    broker->action = NULL;
    scripted__unlock(broker);
    if (action != NULL) {
        action->run(self, action);
        scripted__lock(broker);
        action->done = true;
        scripted__unlock(broker);
    }
}

static bool is_done(scripted *broker, const scripted_action *action)
{
    bool done = false;
    scripted__lock(broker);
    done = action->done;
    scripted__unlock(broker);
    return done;
}

static void act(scripted *broker, scripted_action *action)
{
    kit_deadline until = kit_in(KIT_PATIENCE);
    bool live = false;
    scripted__lock(broker);
    live = broker->live != NULL;
    if (live) {
        broker->action = action;
        pubsub_sink_wake(broker->live->sink);
    }
    scripted__unlock(broker);
    assert_true(live);
    while (!is_done(broker, action)) {
        if (kit_over(until)) {
            fail_msg("the I/O thread never came to do what the script says");
        }
        if (broker->net->mode == KIT_INLINE) {
            kit_turn(broker->net);
        } else {
            kit_breathe();
        }
    }
}

static void run_drop(instance *self, scripted_action *action)
{
    pubsub_error error = scripted__error(action->code);
    if (action->link == 0) {
        scripted__fly_home(self, action->count, action->code);
    }
    pubsub_sink_link_down(self->sink, action->link, &error);
}

void scripted_drop(scripted *broker, uint32_t link, size_t unknown, pubsub_err code)
{
    scripted_action action = {.run = run_drop, .link = link, .count = unknown, .code = code};
    act(broker, &action);
}

static void run_accept(instance *self, scripted_action *action)
{
    size_t want = action->count;
    pubsub_spi_publish *publish = NULL;
    action->count = 0;
    while (action->count < want && (publish = scripted__land(self)) != NULL) {
        scripted__finish(self, publish, PUBSUB_ACCEPTED, PUBSUB_OK);
        action->count++;
    }
}

size_t scripted_accept(scripted *broker, size_t count)
{
    scripted_action action = {.run = run_accept, .count = count};
    act(broker, &action);
    return action.count;
}

static void run_answer(instance *self, scripted_action *action)
{
    pubsub_spi_publish *publish = scripted__land(self);
    if (publish != NULL) {
        scripted__finish(self, publish, action->outcome, action->code);
    }
}

void scripted_answer(scripted *broker, pubsub_outcome outcome, pubsub_err code)
{
    scripted_action action = {.run = run_answer, .outcome = outcome, .code = code};
    act(broker, &action);
}

static void run_nobody(instance *self, scripted_action *action)
{
    pubsub_spi_publish *publish = scripted__land(self);
    (void)action;
    if (publish != NULL) {
        scripted__finish_nobody(self, publish);
    }
}

void scripted_nobody(scripted *broker)
{
    scripted_action action = {.run = run_nobody};
    act(broker, &action);
}

static void run_reply(instance *self, scripted_action *action)
{
    action->count =
        scripted__reply(self, pubsub_bytes_of(action->pattern),
                        pubsub_bytes_of(action->correlation), pubsub_bytes_of(action->reason));
}

void scripted_reply(scripted *broker, const char *inbox, const char *correlation,
                    const char *payload)
{
    scripted_action action = {
        .run = run_reply, .pattern = inbox, .correlation = correlation, .reason = payload};
    act(broker, &action);
    assert_int_equal(action.count, 1);
}

static void run_writable(instance *self, scripted_action *action)
{
    (void)action;
    pubsub_sink_writable(self->sink);
}

void scripted_writable(scripted *broker)
{
    scripted_action action = {.run = run_writable};
    act(broker, &action);
}

static void run_grant(instance *self, scripted_action *action)
{
    served *mine = scripted__served(self, action->pattern);
    action->count = mine != NULL;
    if (mine != NULL) {
        scripted__answer_subscribe(self, mine->subscription);
    }
}

void scripted_grant(scripted *broker, const char *pattern)
{
    scripted_action action = {.run = run_grant, .pattern = pattern};
    act(broker, &action);
    assert_int_equal(action.count, 1);
}

static void run_deliver(instance *self, scripted_action *action)
{
    served *mine = scripted__served(self, action->pattern);
    bool respect = false;
    scripted__lock(self->broker);
    respect = self->broker->respect_credit;
    scripted__unlock(self->broker);
    action->missed = mine != NULL;
    if (mine == NULL) {
        return;
    }
    if (!respect) {
        scripted__give(self, mine->subscription, action->messages, action->count);
        return;
    }
    mine->waiting =
        realloc(mine->waiting, (mine->waiting_count + action->count) * sizeof(*mine->waiting));
    if (mine->waiting == NULL) {
        abort();
    }
    memcpy(mine->waiting + mine->waiting_count, action->messages,
           action->count * sizeof(*mine->waiting));
    mine->waiting_count += action->count;
    scripted__give_waiting(self, mine);
}

void scripted_deliver(scripted *broker, const char *pattern, const scripted_message *messages,
                      size_t count)
{
    scripted_action action = {
        .run = run_deliver, .pattern = pattern, .messages = messages, .count = count};
    act(broker, &action);
    assert_int_equal(action.missed, 1);
}

void scripted_deliver_one(scripted *broker, const char *pattern, const char *payload,
                          uint64_t token)
{
    scripted_message message = {NULL, payload, token, 0, 1, 1, 0};
    scripted_deliver(broker, pattern, &message, 1);
}

static void run_lose(instance *self, scripted_action *action)
{
    served *mine = scripted__served(self, action->pattern);
    pubsub_error error = scripted__error(action->code);
    if (mine != NULL) {
        pubsub_sink_lost(self->sink, mine->subscription, &error);
    }
}

void scripted_lose(scripted *broker, const char *pattern, pubsub_err code)
{
    scripted_action action = {.run = run_lose, .pattern = pattern, .code = code};
    act(broker, &action);
}

static bool in_range(void *ctx, uint64_t token, const uint64_t position[2])
{
    const scripted_action *action = ctx;
    (void)position;
    return token >= action->from && token <= action->to;
}

static void run_recall(instance *self, scripted_action *action)
{
    served *mine = scripted__served(self, action->pattern);
    if (mine != NULL) {
        action->count =
            pubsub_sink_recall(self->sink, mine->subscription, in_range, action, &action->left);
    }
}

size_t scripted_recall(scripted *broker, const char *pattern, uint64_t from, uint64_t to,
                       size_t *left)
{
    scripted_action action = {.run = run_recall, .pattern = pattern, .from = from, .to = to};
    act(broker, &action);
    *left = action.left;
    return action.count;
}

static void run_pause(instance *self, scripted_action *action)
{
    pubsub_error error = scripted__error(action->code);
    if (action->code != PUBSUB_OK) {
        pubsub_sink_link_paused(self->sink, 0, &error);
    } else {
        pubsub_sink_link_up(self->sink, 0);
    }
}

void scripted_pause(scripted *broker, bool pause)
{
    scripted_action action = {.run = run_pause, .code = pause ? PUBSUB_ELOST : PUBSUB_OK};
    act(broker, &action);
}

static void run_flushed(instance *self, scripted_action *action)
{
    (void)action;
    pubsub_sink_flushed(self->sink);
}

void scripted_flushed(scripted *broker)
{
    scripted_action action = {.run = run_flushed};
    act(broker, &action);
}

static void run_error(instance *self, scripted_action *action)
{
    pubsub_error error = scripted__error(action->code);
    pubsub_sink_error(self->sink, NULL, &error);
}

void scripted_error(scripted *broker, pubsub_err code)
{
    scripted_action action = {.run = run_error, .code = code};
    act(broker, &action);
}

static void run_gap(instance *self, scripted_action *action)
{
    served *mine = scripted__served(self, action->pattern);
    pubsub_gap gap = {action->reason, PUBSUB_POSITION_NONE, PUBSUB_POSITION_NONE, action->missed};
    if (mine != NULL) {
        pubsub_sink_gap(self->sink, mine->subscription, &gap);
    }
}

void scripted_gap(scripted *broker, const char *pattern, const char *reason, uint64_t missed)
{
    scripted_action action = {
        .run = run_gap, .pattern = pattern, .reason = reason, .missed = missed};
    act(broker, &action);
}
