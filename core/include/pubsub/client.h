/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_CLIENT_H
#define PUBSUB_CLIENT_H

/** @file client.h
 *  The client: connect, publish, subscribe, unsubscribe, end, ready; events connect, error, message.
 *
 *  Threads. Every function may be called from any thread unless its `Thread:` line says otherwise.
 *  All network and disk work happens on the client's own I/O thread (option `io=thread`), so
 *  keep-alive, acks and reconnecting go on while a handler runs for a minute or nobody polls.
 *  Handlers run only inside pubsub_client_poll(), on the caller's thread, or, with
 *  `dispatch=thread`, on a thread of the client's that does the same. No handler is called with a
 *  lock of the library held. Handlers of one client are serial, but for those of subscriptions with
 *  `workers` above 1: they run beside the others and beside each other, messages of one key one after
 *  the other in order of arrival, also through retries. With `dispatch=thread` the client has threads
 *  for them; otherwise several threads may call pubsub_client_poll() at once and share the work.
 *
 *  Blocking calls (ready, wait, flush, end, publish with a timeout, publish_wait, next, unsubscribe,
 *  pubsub_client_request) need nobody to poll, with one exception: delivery reports hold their place
 *  in the queue until they are dispatched, so a publish that waits for space while only undispatched
 *  reports fill the queue and nobody is polling returns PUBSUB_EAGAIN at once. Inside a handler they
 *  return PUBSUB_ESTATE, except that unsubscribe and publish with timeout 0 are allowed everywhere.
 *
 *  Fork. In a child process the only useful calls are pubsub_client_free() and pubsub_message_unref()
 *  on what was created before the fork; everything else returns PUBSUB_ESTATE. */

#include <pubsub/caps.h>
#include <pubsub/error.h>
#include <pubsub/message.h>
#include <pubsub/options.h>
#include <pubsub/stats.h>
#include <pubsub/types.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pubsub_client pubsub_client;
typedef struct pubsub_subscription pubsub_subscription;

/** Where a client stands. */
typedef enum pubsub_state {
    PUBSUB_STATE_IDLE = 0,       /**< never connected, nothing asked for */
    PUBSUB_STATE_CONNECTING = 1, /**< first attempt is under way */
    PUBSUB_STATE_CONNECTED = 2,
    PUBSUB_STATE_RECONNECTING = 3, /**< lost; attempts go on by themselves */
    PUBSUB_STATE_CLOSING = 4,      /**< end or shutdown is under way */
    PUBSUB_STATE_CLOSED = 5        /**< ended, or the first connect failed; connect opens again */
} pubsub_state;

/** "idle", "connecting", ...; "?" for values that are no state.
 *  Returns:   a string constant.
 *  Thread:    any.
 *  Ownership: static.
 *  Since:     0.1    Source: - */
PUBSUB_API const char *pubsub_state_name(pubsub_state state);

/* ---- handlers ------------------------------------------------------------------------------ */

/** A message for a subscription. With `ack=auto` returning 0 acknowledges it and any other value
 *  refuses it (it comes again, see pubsub_message_nack); with `ack=manual` the value is ignored. */
typedef int (*pubsub_message_fn)(void *ctx, pubsub_message *message);

/** What became of one publish. */
typedef void (*pubsub_delivery_fn)(void *ctx, const pubsub_report *report);

/** Why a subscription may have missed messages. */
typedef struct pubsub_gap {
    const char *reason;   /**< "retention", "reconnected", "overflow", ... one line */
    pubsub_position from; /**< last position seen before, where known */
    pubsub_position to;   /**< first position after, where known */
    uint64_t missed;      /**< how many messages, 0 = not known */
} pubsub_gap;

typedef enum pubsub_event_type {
    PUBSUB_EVENT_STATE = 0,   /**< state changed: `state`, and `error` when it was a failure */
    PUBSUB_EVENT_CONNECT = 1, /**< connected, first or again */
    PUBSUB_EVENT_ERROR = 2,   /**< something failed that no call can return: `error` */
    PUBSUB_EVENT_SUBSCRIBED =
        3,                    /**< every message accepted from now on belongs to `subscription` */
    PUBSUB_EVENT_REFUSED = 4, /**< `subscription` failed: `error`; it is over */
    PUBSUB_EVENT_INTERRUPTED =
        6,               /**< `subscription` receives nothing for now; SUBSCRIBED follows */
    PUBSUB_EVENT_GAP = 5 /**< `subscription` may have missed messages: `gap` */
} pubsub_event_type;

/** One event. Valid during the callback. */
typedef struct pubsub_event {
    size_t size;
    pubsub_event_type type;
    pubsub_state state;
    pubsub_subscription *subscription; /**< NULL when the event is the client's */
    const pubsub_error *error;         /**< NULL when there is none */
    const pubsub_gap *gap;             /**< only with PUBSUB_EVENT_GAP */
    bool resumed;                      /**< SUBSCRIBED: goes on where it stood before */
    uint64_t
        waiting; /**< SUBSCRIBED: messages that were stored for it by then, where the broker tells */
} pubsub_event;

/** Called with each event of a client, on the thread that dispatches. The event is borrowed for the
 *  call. */
typedef void (*pubsub_event_fn)(void *ctx, const pubsub_event *event);

/* ---- life ---------------------------------------------------------------------------------- */

/** Create a client. Does no I/O: the first publish, subscribe or connect opens the connection.
 *  @param out      the client.
 *  @param url      broker URL, "local:", "mqtt://host:1883", ...; not NULL.
 *  @param options  client options; they must not contradict the URL. May be NULL.
 *  @param err      optional detail, may be NULL.
 *  Returns:   PUBSUB_OK, PUBSUB_EINVAL, PUBSUB_EURL, PUBSUB_ESCHEME, PUBSUB_ENOTBUILT, PUBSUB_EOPTION,
 *             PUBSUB_ENOMEM, PUBSUB_ESYSTEM.
 *  Thread:    any.
 *  Ownership: the caller frees *out; url and options are copied.
 *  Since:     0.1    Source: - */
PUBSUB_API pubsub_err pubsub_client_new(pubsub_client **out, const char *url,
                                        const pubsub_options *options, pubsub_error *err);

/** Close without flushing if that was not done, and release everything. Messages that are still
 *  referenced stay valid. What was not delivered is given up; use pubsub_client_end() before.
 *  @param client  may be NULL.
 *  Returns:   nothing.
 *  Thread:    any except callbacks.
 *  Ownership: ends the caller's.
 *  Since:     0.1    Source: - */
PUBSUB_API void pubsub_client_free(pubsub_client *client);

/** @name Handlers
 *  Set before connecting. fn NULL removes the handler. The message handler serves subscriptions that
 *  have none of their own; those of which neither has one are for pubsub_subscription_next().
 *  Without a delivery handler no reports are made and failed publishes become PUBSUB_EVENT_ERROR.
 *  Returns:   PUBSUB_OK, PUBSUB_EINVAL, PUBSUB_ESTATE once the client is connecting or connected.
 *  Thread:    any.
 *  Ownership: ctx must outlive the client.
 *  Since:     0.1    Source: -
 *  @{ */
PUBSUB_API pubsub_err pubsub_client_on_message(pubsub_client *client, pubsub_message_fn fn,
                                               void *ctx);
PUBSUB_API pubsub_err pubsub_client_on_delivery(pubsub_client *client, pubsub_delivery_fn fn,
                                                void *ctx);
PUBSUB_API pubsub_err pubsub_client_on_event(pubsub_client *client, pubsub_event_fn fn, void *ctx);
/** @} */

/** Start connecting. Optional: publish and subscribe do it by themselves. Opens again after end.
 *  Returns:   PUBSUB_OK (under way), PUBSUB_EINVAL, PUBSUB_ESTATE when connecting, connected,
 *             reconnecting or closing (the text says which).
 *  Thread:    any, also callbacks.
 *  Ownership: -
 *  Since:     0.1    Source: - */
PUBSUB_API pubsub_err pubsub_client_connect(pubsub_client *client, pubsub_error *err);

/** Wait until connected; connects if idle.
 *  @param timeout  milliseconds, -1 = no limit beyond connect_timeout.
 *  Returns:   PUBSUB_OK; PUBSUB_ESTATE when closing or closed, or in a callback; PUBSUB_ETIMEDOUT; the
 *             failure of the first connect (PUBSUB_ECONNECT, PUBSUB_EAUTH, ...) to every waiter.
 *  Thread:    any except callbacks.
 *  Ownership: -
 *  Since:     0.1    Source: - */
PUBSUB_API pubsub_err pubsub_client_ready(pubsub_client *client, pubsub_duration_ms timeout,
                                          pubsub_error *err);

/** Where the client stands now.
 *  Returns:   the state; PUBSUB_STATE_CLOSED for NULL.
 *  Thread:    any.
 *  Ownership: -
 *  Since:     0.1    Source: - */
PUBSUB_API pubsub_state pubsub_client_state(const pubsub_client *client);

/** End: accept nothing new, deliver what is queued, let handlers that run finish, send acks, close.
 *  What is left when the time is over gets its outcome in a report and stays listed by
 *  pubsub_client_undelivered(). After it returns no callback runs. Fine on a client that never
 *  connected or has ended. Pending reports are dispatched before it returns.
 *  @param timeout  milliseconds for all of it; 0 = close at once; -1 = no limit.
 *  Returns:   PUBSUB_OK; PUBSUB_ETIMEDOUT when messages were left undelivered (the text says how many; the
 *             client is closed all the same); PUBSUB_EINVAL; PUBSUB_ESTATE in a callback.
 *  Thread:    any except callbacks.
 *  Ownership: -
 *  Since:     0.1    Source: - */
PUBSUB_API pubsub_err pubsub_client_end(pubsub_client *client, pubsub_duration_ms timeout,
                                        pubsub_error *err);

/** Ask for the end without waiting: nothing new is accepted from now on; call pubsub_client_end()
 *  from outside the callbacks to complete it.
 *  Returns:   PUBSUB_OK, PUBSUB_EINVAL.
 *  Thread:    any, also callbacks.
 *  Ownership: -
 *  Since:     0.1    Source: - */
PUBSUB_API pubsub_err pubsub_client_shutdown(pubsub_client *client);

/* ---- publishing ---------------------------------------------------------------------------- */

/** Publish one message: returns when it is queued, not when it is stored. The result comes as a
 *  delivery report carrying pubsub_publication.token.
 *  @param publication  borrowed, copied before the call returns.
 *  @param timeout      milliseconds to wait for queue space; 0 = do not wait; -1 = no limit.
 *  @param err          optional detail, may be NULL.
 *  Returns:   PUBSUB_OK, PUBSUB_EINVAL, PUBSUB_ETOPIC, PUBSUB_EUTF8, PUBSUB_ETOOBIG, PUBSUB_ENOTSUP,
 *             PUBSUB_EAGAIN (queue full, timeout 0), PUBSUB_ETIMEDOUT (queue full all the time),
 *             PUBSUB_ECLOSED (ended), PUBSUB_ESTATE (waiting in a callback, or after fork), PUBSUB_ENOMEM.
 *             When it is not PUBSUB_OK no report comes.
 *  Thread:    any, also callbacks when timeout is 0.
 *  Ownership: nothing changes hands.
 *  Since:     0.1    Source: - */
PUBSUB_API pubsub_err pubsub_client_publish(pubsub_client *client,
                                            const pubsub_publication *publication,
                                            pubsub_duration_ms timeout, pubsub_error *err);

/** Publish several messages with one lock and at most one wake-up.
 *  @param publications  count of them, in order.
 *  @param queued        how many were queued, from the first; may be NULL.
 *  Returns:   PUBSUB_OK when all were queued; otherwise the error of the first one that was not.
 *  Thread:    any, also callbacks when timeout is 0.
 *  Ownership: nothing changes hands.
 *  Since:     0.1    Source: - */
PUBSUB_API pubsub_err pubsub_client_publish_batch(pubsub_client *client,
                                                  const pubsub_publication *publications,
                                                  size_t count, pubsub_duration_ms timeout,
                                                  size_t *queued, pubsub_error *err);

/** Publish text: the topic and the bytes of a string, everything else default, waiting for queue
 *  space without limit (in a callback: not at all).
 *  @param topic  not NULL.
 *  @param text   not NULL.
 *  Returns:   as pubsub_client_publish.
 *  Thread:    any, also callbacks.
 *  Ownership: nothing changes hands.
 *  Since:     0.1    Source: - */
PUBSUB_API pubsub_err pubsub_client_publish_text(pubsub_client *client, const char *topic,
                                                 const char *text, pubsub_error *err);

/** What pubsub_client_publish_wait() brings back. */
typedef struct pubsub_receipt {
    pubsub_outcome outcome;
    pubsub_confirm confirm;
    pubsub_qos qos;
    uint32_t flags; /**< PUBSUB_REPORT_* */
    pubsub_position position;
} pubsub_receipt;

/** Publish one message and wait for its outcome. No delivery report is made.
 *  @param timeout  milliseconds for all of it, -1 = no limit. A message whose time is over may still
 *                  be delivered; its outcome is then PUBSUB_UNKNOWN.
 *  @param receipt  filled whenever the message was queued; may be NULL.
 *  Returns:   PUBSUB_OK when accepted; otherwise the reason.
 *  Thread:    any except callbacks.
 *  Ownership: nothing changes hands.
 *  Since:     0.1    Source: - */
PUBSUB_API pubsub_err pubsub_client_publish_wait(pubsub_client *client,
                                                 const pubsub_publication *publication,
                                                 pubsub_duration_ms timeout,
                                                 pubsub_receipt *receipt, pubsub_error *err);

/** Wait until every publish so far has its outcome and every ack so far is sent.
 *  @param timeout  milliseconds, -1 = no limit.
 *  Returns:   PUBSUB_OK; PUBSUB_ETIMEDOUT, the text says how many are left and
 *             pubsub_client_undelivered() which; PUBSUB_EINVAL; PUBSUB_ESTATE in a callback.
 *  Thread:    any except callbacks.
 *  Ownership: -
 *  Since:     0.1    Source: - */
PUBSUB_API pubsub_err pubsub_client_flush(pubsub_client *client, pubsub_duration_ms timeout,
                                          pubsub_error *err);

/** A publish that has not been delivered: its content, and its outcome so far. */
typedef void (*pubsub_undelivered_fn)(void *ctx, const pubsub_publication *publication,
                                      pubsub_outcome outcome);

/** List what is not delivered: while open, what has no outcome yet; after pubsub_client_end(), what was
 *  left by it. The list is kept until the client connects again or is freed.
 *  @param fn  called for each, in publish order, before this returns; may be NULL to count only. It
 *             must not call the client.
 *  Returns:   how many there are.
 *  Thread:    any except callbacks.
 *  Ownership: what fn is given is borrowed for its call.
 *  Since:     0.1    Source: - */
PUBSUB_API size_t pubsub_client_undelivered(pubsub_client *client, pubsub_undelivered_fn fn,
                                            void *ctx);

/* ---- subscribing --------------------------------------------------------------------------- */

/** Subscribe to a pattern. Validates, negotiates and queues; the result comes as an event and from
 *  pubsub_subscription_wait().
 *  @param pattern  topic or pattern, UTF-8, NUL-terminated.
 *  @param options  subscription options (qos, group, durable, from, prefetch, ack, ...); may be NULL.
 *  @param fn       handler; NULL = the client's handler, or pulling.
 *  @param ctx      given to fn.
 *  @param out      a handle to be freed with pubsub_subscription_free(); may be NULL.
 *  @param err      optional detail, may be NULL.
 *  Returns:   PUBSUB_OK, PUBSUB_EINVAL, PUBSUB_EPATTERN, PUBSUB_EUTF8, PUBSUB_EOPTION, PUBSUB_ENOTSUP (feature
 *             and broker are named), PUBSUB_ECLOSED, PUBSUB_ESTATE (after fork), PUBSUB_ENOMEM.
 *  Thread:    any, also callbacks.
 *  Ownership: pattern and options are copied; ctx must live until the subscription has ended.
 *  Since:     0.1    Source: - */
PUBSUB_API pubsub_err pubsub_client_subscribe(pubsub_client *client, const char *pattern,
                                              const pubsub_options *options, pubsub_message_fn fn,
                                              void *ctx, pubsub_subscription **out,
                                              pubsub_error *err);

/** One entry of a map of topics. */
typedef struct pubsub_subscribe_item {
    const char *pattern;
    const pubsub_options *options; /**< may be NULL */
    pubsub_message_fn fn;          /**< may be NULL */
    void *ctx;
    pubsub_subscription *subscription; /**< out: a handle to be freed, NULL when refused */
    pubsub_error error;                /**< out: code PUBSUB_OK or why this one was refused */
} pubsub_subscribe_item;

/** Subscribe to a map of topics with their options; one refusal does not undo the others. Wait for
 *  each with pubsub_subscription_wait().
 *  Returns:   PUBSUB_OK when all were taken; otherwise the first refusal, details in each item.
 *  Thread:    any, also callbacks.
 *  Ownership: as pubsub_client_subscribe, for each item.
 *  Since:     0.1    Source: - */
PUBSUB_API pubsub_err pubsub_client_subscribe_many(pubsub_client *client,
                                                   pubsub_subscribe_item *items, size_t count,
                                                   pubsub_error *err);

/** What a subscription was granted. */
typedef struct pubsub_grant {
    pubsub_qos qos;
    uint64_t native;   /**< bit 1 << pubsub_feature: asked for and done by the broker */
    uint64_t emulated; /**< asked for and done on this side */
    uint64_t refused;  /**< asked for and given up by degrade=allow */
    bool resumed;      /**< it had a position already and goes on there */
} pubsub_grant;

/** Wait for the result of a subscribe: from a successful return on, every message the broker accepts
 *  falls under the subscription's guarantee.
 *  @param timeout  milliseconds, -1 = no limit.
 *  @param grant    filled on success; may be NULL.
 *  Returns:   PUBSUB_OK; PUBSUB_ETIMEDOUT; PUBSUB_ECLOSED when it has ended; or the refusal.
 *  Thread:    any except callbacks.
 *  Ownership: -
 *  Since:     0.1    Source: - */
PUBSUB_API pubsub_err pubsub_subscription_wait(pubsub_subscription *subscription,
                                               pubsub_duration_ms timeout, pubsub_grant *grant,
                                               pubsub_error *err);

/** The subscription a message came by.
 *  Returns:   a handle that lives as long as the message; not to be freed.
 *  Thread:    any thread that may use the message.
 *  Ownership: the message's.
 *  Since:     0.1    Source: - */
PUBSUB_API pubsub_subscription *pubsub_message_subscription(const pubsub_message *message);

/** The pattern it was made with; the first one of several.
 *  Returns:   NUL-terminated text.
 *  Thread:    any.
 *  Ownership: lives as long as the handle.
 *  Since:     0.1    Source: - */
PUBSUB_API const char *pubsub_subscription_pattern(const pubsub_subscription *subscription);

/** Take the next message of a subscription without handler. Settle it with pubsub_message_ack() or
 *  nack (qos 0: nothing to settle) and give it back with pubsub_message_unref().
 *  @param timeout  milliseconds, 0 = do not wait, -1 = no limit.
 *  @param out      an owned message; NULL when none.
 *  Returns:   PUBSUB_OK; PUBSUB_EAGAIN (timeout 0) or PUBSUB_ETIMEDOUT when there is none; PUBSUB_ECLOSED;
 *             PUBSUB_ESTATE when a handler serves it, or in a callback; or the refusal of the subscribe.
 *  Thread:    any except callbacks; one thread at a time for one subscription.
 *  Ownership: the caller owns *out.
 *  Since:     0.1    Source: - */
PUBSUB_API pubsub_err pubsub_subscription_next(pubsub_subscription *subscription,
                                               pubsub_duration_ms timeout, pubsub_message **out,
                                               pubsub_error *err);

/** Take up to capacity messages with one lock; waits only for the first.
 *  @param count  how many were stored in out.
 *  Returns:   as pubsub_subscription_next.
 *  Thread:    as pubsub_subscription_next.
 *  Ownership: the caller owns each message.
 *  Since:     0.1    Source: - */
PUBSUB_API pubsub_err pubsub_subscription_next_batch(pubsub_subscription *subscription,
                                                     pubsub_duration_ms timeout,
                                                     pubsub_message **out, size_t capacity,
                                                     size_t *count, pubsub_error *err);

/** Settle several messages with one lock. Those settled already are passed over.
 *  @param messages  count of them, may be of different subscriptions.
 *  Returns:   PUBSUB_OK, PUBSUB_EINVAL; PUBSUB_ECLOSED when a subscription of one of them has ended.
 *  Thread:    any, also callbacks.
 *  Ownership: the references stay the caller's.
 *  Since:     0.1    Source: - */
PUBSUB_API pubsub_err pubsub_message_ack_batch(pubsub_message *const *messages, size_t count);

/** Also forget what the broker keeps for a durable name or group. Without it a durable subscription
 *  is only left, and goes on where it stood when subscribed again. */
#define PUBSUB_UNSUBSCRIBE_FORGET (1u << 0)

/** End one subscription. Returns when no handler of it runs or will run, but at once when called from a
 *  handler of this client: with `workers` others of it may still run then. Messages not yet handled go
 *  back unacknowledged.
 *  @param flags  PUBSUB_UNSUBSCRIBE_*.
 *  Returns:   PUBSUB_OK; PUBSUB_ECLOSED when it has ended already; PUBSUB_EINVAL.
 *  Thread:    any, also callbacks.
 *  Ownership: the handle stays the caller's.
 *  Since:     0.1    Source: - */
PUBSUB_API pubsub_err pubsub_subscription_unsubscribe(pubsub_subscription *subscription,
                                                      uint32_t flags, pubsub_error *err);

/** End every subscription whose pattern text is one of those given.
 *  Returns:   PUBSUB_OK; PUBSUB_ENOTFOUND naming the first that was not subscribed (the others are ended
 *             all the same); PUBSUB_EINVAL.
 *  Thread:    any, also callbacks.
 *  Ownership: nothing changes hands.
 *  Since:     0.1    Source: - */
PUBSUB_API pubsub_err pubsub_client_unsubscribe(pubsub_client *client, const char *const *patterns,
                                                size_t count, uint32_t flags, pubsub_error *err);

/** Release a handle. Does not end the subscription while the client lives.
 *  @param subscription  may be NULL.
 *  Returns:   nothing.
 *  Thread:    any, also callbacks.
 *  Ownership: the caller's handle ends.
 *  Since:     0.1    Source: - */
PUBSUB_API void pubsub_subscription_free(pubsub_subscription *subscription);

/** Subscribe to several patterns as one subscription: one handler, one credit, one order. The way to
 *  give a group or a durable name more than one pattern (all its members then have the same ones).
 *  @param patterns  count of them, 1..64, NUL-terminated.
 *  Returns:   as pubsub_client_subscribe.
 *  Thread:    any, also callbacks.
 *  Ownership: as pubsub_client_subscribe.
 *  Since:     0.1    Source: - */
PUBSUB_API pubsub_err pubsub_client_subscribe_set(pubsub_client *client,
                                                  const char *const *patterns, size_t count,
                                                  const pubsub_options *options,
                                                  pubsub_message_fn fn, void *ctx,
                                                  pubsub_subscription **out, pubsub_error *err);

/* ---- dispatching --------------------------------------------------------------------------- */

/** Run the handlers of what is ready: messages, reports, events, answers to requests. Does no I/O itself (with `io=inline`
 *  it does all of it). Dispatches what was ready when it began, so that it returns.
 *  @param timeout  milliseconds to wait for something to be ready; 0 = do not wait; -1 = no limit.
 *  @param err      optional detail, may be NULL.
 *  Returns:   how many handlers were called (0 = time is over), or a negative pubsub_err:
 *             PUBSUB_ESTATE in a callback, with dispatch=thread, or while another thread polls and no
 *             subscription has had `workers` above 1;
 *             PUBSUB_ECLOSED when the client has ended and nothing is left.
 *  Thread:    one at a time; with `workers` above 1 any number. One of them does everything, the others
 *             run handlers of those subscriptions, and one of them takes its place when it is gone.
 *  Ownership: -
 *  Since:     0.1    Source: - */
PUBSUB_API int pubsub_client_poll(pubsub_client *client, pubsub_duration_ms timeout,
                                  pubsub_error *err);

/** Make a pubsub_client_poll() that waits return now with 0; of several threads that poll, one. For
 *  signal handling by another thread.
 *  Returns:   nothing.
 *  Thread:    any, also callbacks; not async-signal-safe.
 *  Ownership: -
 *  Since:     0.1    Source: - */
PUBSUB_API void pubsub_client_interrupt(pubsub_client *client);

/** A descriptor for poll(2), epoll or an event loop: readable exactly while pubsub_client_poll() or
 *  pubsub_subscription_next() would find something. Only to be waited on, never read or closed.
 *  Returns:   the descriptor, or PUBSUB_ESTATE with io=inline, PUBSUB_EINVAL.
 *  Thread:    any.
 *  Ownership: the client's, closed by pubsub_client_free().
 *  Since:     0.1    Source: - */
PUBSUB_API int pubsub_client_fd(const pubsub_client *client);

/* ---- asking -------------------------------------------------------------------------------- */

/** What this client's server can do; before it is connected, what the adapter can ever do.
 *  @param out  filled.
 *  Returns:   PUBSUB_OK, PUBSUB_EINVAL, PUBSUB_ESTATE (after fork).
 *  Thread:    any.
 *  Ownership: static strings.
 *  Since:     0.1    Source: - */
PUBSUB_API pubsub_err pubsub_client_caps(const pubsub_client *client, pubsub_caps *out);

/** Counters of this client.
 *  @param out  filled; out->size must be set by the caller to sizeof(pubsub_stats).
 *  Returns:   PUBSUB_OK, PUBSUB_EINVAL, PUBSUB_ESTATE (after fork).
 *  Thread:    any.
 *  Ownership: -
 *  Since:     0.1    Source: - */
PUBSUB_API pubsub_err pubsub_client_stats(const pubsub_client *client, pubsub_stats *out);

#ifdef __cplusplus
}
#endif

#endif
