/* SPDX-License-Identifier: MIT */
#include "sub.h"

#include "exit.h"
#include "say.h"

#include "base/clock.h"

#include <string.h>
#include <unistd.h>

/* What the client of `sub` tells. */

static sub_topic *topic_of(sub_run *run, const pubsub_subscription *handle)
{
    for (size_t i = 0; i < run->topic_count; i++) {
        if (run->topics[i].handle == handle) {
            return &run->topics[i];
        }
    }
    return NULL;
}

static bool begins_new(const sub_run *run)
{
    const char *from = pubsub_options_get(run->options, "from");

    return from == NULL || strcmp(from, "new") == 0;
}

static void on_subscribed(sub_run *run, sub_topic *topic, const pubsub_event *event)
{
    bool first = !topic->subscribed;
    const char *how = !first           ? ", again" /* what it missed is told by a gap */
                      : event->resumed ? ", going on where it stood"
                                       : "";

    if (first) {
        topic->subscribed = true;
        run->subscribed++;
    }
    if (run->subscribed + run->refused == run->topic_count && first) {
        run->active_ns = pubsub__clock_mono_ns();
        run->within_ns = run->active_ns + (uint64_t)run->within_ms * 1000000;
    }
    cli_verbose("subscribed to %s%s", topic->pattern, how);
    if (first && begins_new(run) && !event->resumed && isatty(STDERR_FILENO) == 1 &&
        strcmp(run->setup.scheme, "local") == 0) {
        cli_verbose("only messages published from now on are shown; --from earliest shows those "
                    "that are stored");
    }
}

static void on_refused(sub_run *run, sub_topic *topic, const pubsub_event *event)
{
    if (topic->refused || run->taken == run->limit) {
        return; /* all that was wanted may come before the broker says that it is subscribed */
    }
    topic->refused = true;
    run->refused++;
    run->over = run->over || run->refused == run->topic_count;
    if (run->events.closed) {
        return; /* the connection's fault, told at the end */
    }
    if (event->error == NULL) {
        run->code = run->code != CLI_EXIT_OK ? run->code : CLI_EXIT_FAILED;
    } else if (run->events.connected) {
        run->code = cli_fail(topic->pattern, event->error);
    } else if (run->code == CLI_EXIT_OK) {
        /* The connection's fault, so said once. */
        run->code = cli_fail_connect(&run->setup, event->error);
    }
}

void sub_on_event(void *ctx, const pubsub_event *event)
{
    sub_run *run = ctx;
    sub_topic *topic = event->subscription != NULL ? topic_of(run, event->subscription) : NULL;

    cli_events_tell(&run->events, event);
    if (topic != NULL && event->type == PUBSUB_EVENT_SUBSCRIBED) {
        on_subscribed(run, topic, event);
    } else if (topic != NULL && event->type == PUBSUB_EVENT_REFUSED) {
        on_refused(run, topic, event);
    }
}
