/* SPDX-License-Identifier: MIT */
#include "sender.h"

#include "exit.h"
#include "say.h"
#include "signals.h"

#include "base/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

/* Room is looked for again at the latest after this long. */
#define SENDER_RETRY_MS 100

static void on_report(void *ctx, const pubsub_report *report)
{
    cli_sender *sender = ctx;

    sender->reported++;
    if (report->outcome == PUBSUB_ACCEPTED) {
        return;
    }
    if (sender->failed++ == 0) {
        sender->first_outcome = report->outcome;
        if (report->error != NULL) {
            sender->first_error = *report->error;
        }
    }
}

static void on_event(void *ctx, const pubsub_event *event)
{
    cli_sender *sender = ctx;

    cli_events_tell(&sender->events, event);
}

int cli_sender_init(cli_sender *sender, const cli_setup *setup, bool confirm)
{
    int code;

    memset(sender, 0, sizeof(*sender));
    sender->setup = setup;
    sender->events.setup = setup;
    sender->confirm = confirm;
    sender->progress_ns = pubsub__clock_mono_ns();
    code = cli_setup_client(setup, &sender->client);
    if (code != CLI_EXIT_OK) {
        return code;
    }
    if (pubsub_client_on_event(sender->client, on_event, sender) != PUBSUB_OK ||
        (confirm && pubsub_client_on_delivery(sender->client, on_report, sender) != PUBSUB_OK)) {
        cli_error("cannot set up the client");
        return CLI_EXIT_FAILED;
    }
    /* Not at the first message: that a broker is not there is told while input is slow, too. */
    (void)pubsub_client_connect(sender->client, NULL);
    return CLI_EXIT_OK;
}

void cli_sender_fini(cli_sender *sender)
{
    pubsub_client_free(sender->client);
    sender->client = NULL;
}

/* Run handlers; keeps the time of the last progress. */
static void dispatch(cli_sender *sender)
{
    uint64_t before = sender->reported;

    while (pubsub_client_poll(sender->client, 0, NULL) > 0) {
    }
    if (sender->reported != before) {
        sender->progress_ns = pubsub__clock_mono_ns();
    }
}

bool cli_sender_wait(cli_sender *sender, int fd, int64_t timeout_ms)
{
    uint64_t end =
        timeout_ms < 0 ? UINT64_MAX : pubsub__clock_mono_ns() + (uint64_t)timeout_ms * 1000000;

    for (;;) {
        struct pollfd fds[3] = {{.fd = cli_signals_fd(), .events = POLLIN},
                                {.fd = pubsub_client_fd(sender->client), .events = POLLIN},
                                {.fd = fd, .events = POLLIN}};
        uint64_t now = pubsub__clock_mono_ns();
        int64_t left =
            end == UINT64_MAX ? -1 : (int64_t)((end - (now < end ? now : end)) / 1000000);
        int n = poll(fds, 3, left < 0 ? -1 : (left > INT_MAX ? INT_MAX : (int)left));

        if (n < 0 && errno != EINTR) {
            return false;
        }
        if (fds[1].revents != 0) {
            dispatch(sender);
        }
        if (cli_signals_got() != 0 || n == 0 || sender->events.closed) {
            return false;
        }
        if (n > 0 && fds[2].revents != 0) {
            return true;
        }
        if (fd < 0) {
            return false; /* something was dispatched, which is what the caller waits for */
        }
    }
}

/* Whether nothing has moved for --timeout. */
static bool is_stuck(const cli_sender *sender)
{
    int64_t limit = sender->setup->timeout_ms;

    return limit >= 0 && pubsub__clock_mono_ns() - sender->progress_ns >= (uint64_t)limit * 1000000;
}

static bool refuse(cli_sender *sender, const pubsub_error *err, uint64_t number)
{
    if (err->code == PUBSUB_ETOOBIG) {
        if (sender->too_big++ == 0) {
            cli_error("message %" PRIu64 ": %s", number, pubsub_error_text(err));
        }
        return true;
    }
    if (err->code == PUBSUB_ECLOSED) {
        dispatch(sender); /* the event that says so may be on its way */
        if (sender->events.closed) {
            return false; /* cli_sender_finish tells why */
        }
    }
    if (number > 1) {
        cli_error("message %" PRIu64 ": %s", number, pubsub_error_text(err));
    } else {
        cli_error("%s", pubsub_error_text(err));
    }
    sender->code = cli_exit_of(err->code);
    return false;
}

/* The queue is full: wait for some progress. */
static bool wait_for_room(cli_sender *sender)
{
    (void)cli_sender_wait(sender, -1, SENDER_RETRY_MS);
    if (!is_stuck(sender)) {
        return cli_signals_got() == 0 && !sender->events.closed;
    }
    return false;
}

bool cli_sender_send(cli_sender *sender, const pubsub_publication *publications, size_t count,
                     uint64_t first)
{
    size_t done = 0;

    while (done < count) {
        pubsub_error err = PUBSUB_ERROR_INIT;
        size_t queued = 0;
        pubsub_err rc = pubsub_client_publish_batch(sender->client, publications + done,
                                                    count - done, 0, &queued, &err);

        done += queued;
        sender->queued += queued;
        if (queued > 0) {
            sender->progress_ns = pubsub__clock_mono_ns();
        }
        if (rc == PUBSUB_OK) {
            break;
        }
        if (rc == PUBSUB_EAGAIN) {
            if (!wait_for_room(sender)) {
                return false;
            }
            continue;
        }
        err.code = rc;
        if (!refuse(sender, &err, first + done)) {
            return false;
        }
        done++;
    }
    return true;
}

/* Until all is confirmed, nothing moves any more, or a second thought came by signal. */
static void wait_for_all(cli_sender *sender)
{
    while (sender->confirm && sender->reported < sender->queued && !sender->events.closed &&
           !is_stuck(sender)) {
        int64_t ms = SENDER_RETRY_MS;

        if (cli_signals_got() != 0) {
            /* The signals' descriptor stays readable: wait for the client alone. */
            struct pollfd fd = {.fd = pubsub_client_fd(sender->client), .events = POLLIN};

            (void)poll(&fd, 1, SENDER_RETRY_MS);
            dispatch(sender);
            continue;
        }
        (void)cli_sender_wait(sender, -1, ms);
    }
}

/* What is to be said about messages that were not confirmed. */
static int tell_failed(cli_sender *sender, uint64_t open)
{
    const pubsub_error *why = &sender->first_error;
    uint64_t bad = sender->failed + open;

    if (!sender->events.connected) {
        const pubsub_error *last =
            sender->events.last.code != PUBSUB_OK ? &sender->events.last : why;

        if (last->code != PUBSUB_OK) {
            return cli_fail_connect(sender->setup, last);
        }
    }
    if (open > 0 && why->code == PUBSUB_OK) {
        cli_error("%" PRIu64 " of %" PRIu64 " messages not confirmed: no answer from %s%s", bad,
                  sender->queued, sender->setup->shown,
                  sender->events.lost ? ", the connection is lost" : "");
    } else {
        cli_error("%" PRIu64 " of %" PRIu64 " messages not confirmed: %s", bad, sender->queued,
                  why->code != PUBSUB_OK ? pubsub_error_text(why) : "the broker gave no reason");
    }
    if (cli_exit_of(why->code) == CLI_EXIT_DENIED || why->code == PUBSUB_ENOTSUP) {
        return cli_exit_of(why->code);
    }
    return sender->events.lost || !sender->events.connected ? CLI_EXIT_CONNECT
                                                            : CLI_EXIT_UNCONFIRMED;
}

int cli_sender_finish(cli_sender *sender)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    pubsub_err rc;
    uint64_t open;
    bool never;
    int code = sender->code;

    wait_for_all(sender);
    dispatch(sender);
    never = sender->events.closed && !sender->events.connected; /* the end below closes, too */
    open = sender->confirm ? sender->queued - sender->reported : 0;
    rc = pubsub_client_end(sender->client, open > 0 ? 0 : sender->setup->timeout_ms, &err);
    if (!sender->confirm && rc != PUBSUB_OK) {
        cli_error("%s", pubsub_error_text(&err));
        code = code == CLI_EXIT_OK ? CLI_EXIT_UNCONFIRMED : code;
    }
    /* The end itself brought reports: only what it left without one stays open. */
    open = sender->confirm ? sender->queued - sender->reported : 0;
    if (sender->failed + open > 0 || never) {
        int failed = tell_failed(sender, open);

        code = code == CLI_EXIT_OK ? failed : code;
    }
    if (sender->too_big > 0) {
        cli_error("%" PRIu64 " messages were too big", sender->too_big);
        code = code == CLI_EXIT_OK ? CLI_EXIT_UNCONFIRMED : code;
    }
    return code;
}
