/* SPDX-License-Identifier: MIT */
#include "client_setup.h"

#include "say.h"

#include <inttypes.h>

static void tell_state(cli_events *events, const pubsub_event *event)
{
    const char *why = event->error != NULL ? pubsub_error_text(event->error) : "";
    const char *colon = event->error != NULL ? ": " : "";

    if (event->error != NULL) {
        events->last = *event->error;
    }
    if (event->state == PUBSUB_STATE_RECONNECTING && !events->lost) {
        events->lost = true;
        cli_warn("lost the connection to %s%s%s; connecting again", events->setup->shown, colon,
                 why);
    } else if (event->state == PUBSUB_STATE_CLOSED) {
        events->closed = true;
    }
}

static void tell_connect(cli_events *events)
{
    if (events->lost) {
        cli_warn("connected to %s again", events->setup->shown);
    } else {
        cli_verbose("connected to %s", events->setup->shown);
    }
    events->connected = true;
    events->lost = false;
}

static void tell_gap(const pubsub_event *event)
{
    const char *pattern =
        event->subscription != NULL ? pubsub_subscription_pattern(event->subscription) : "?";

    if (event->gap->missed > 0) {
        cli_warn("%s: %" PRIu64 " messages missed: %s", pattern, event->gap->missed,
                 event->gap->reason);
    } else {
        cli_warn("%s: messages may have been missed: %s", pattern, event->gap->reason);
    }
}

void cli_events_tell(cli_events *events, const pubsub_event *event)
{
    switch (event->type) {
    case PUBSUB_EVENT_STATE:
        tell_state(events, event);
        break;
    case PUBSUB_EVENT_CONNECT:
        tell_connect(events);
        break;
    case PUBSUB_EVENT_ERROR:
        if (event->error != NULL) {
            events->last = *event->error;
            cli_warn("%s", pubsub_error_text(event->error));
        }
        break;
    case PUBSUB_EVENT_GAP:
        if (event->gap != NULL) {
            tell_gap(event);
        }
        break;
    default:
        break;
    }
}
