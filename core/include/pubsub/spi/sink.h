/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_SPI_SINK_H
#define PUBSUB_SPI_SINK_H

/** @file sink.h
 *  What an adapter may call: the core's side of one client. All functions are for the I/O thread, from
 *  inside a member of the adapter, a watch or a timer, unless their `Thread:` line says otherwise. */

#include <pubsub/client.h>
#include <pubsub/log.h>
#include <pubsub/spi/adapter.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- links --------------------------------------------------------------------------------- */

/** What the connected server can do, where that is less than the offline answer. Before link_up(0).
 *  Returns:   nothing.
 *  Thread:    I/O.
 *  Ownership: copied; strings must be static.
 *  Since:     0.1    Source: - */
PUBSUB_API void pubsub_sink_caps(pubsub_sink *sink, const pubsub_caps *caps);

/** A link is usable. The core raises its generation, then subscribes what lives on it, then (link 0)
 *  submits what waits.
 *  Returns:   nothing.
 *  Thread:    I/O.
 *  Ownership: -
 *  Since:     0.1    Source: - */
PUBSUB_API void pubsub_sink_link_up(pubsub_sink *sink, uint32_t link);

/** A link failed to open or was lost. The core connects it again with back-off when the error is
 *  retryable, otherwise gives it up: link 0 closes the client, another refuses its subscriptions.
 *  Messages of its subscriptions that are not settled belong to the past from now on.
 *  @param err  why, not NULL.
 *  Returns:   nothing.
 *  Thread:    I/O.
 *  Ownership: err is copied.
 *  Since:     0.1    Source: - */
PUBSUB_API void pubsub_sink_link_down(pubsub_sink *sink, uint32_t link, const pubsub_error *err);

/** A link is interrupted, and the library behind the adapter will bring it back by itself: the state
 *  becomes reconnecting and nothing is submitted, but there is no `connect`, no new generation and no
 *  resubscribing. The next link_up of it ends this.
 *  Returns:   nothing.
 *  Thread:    I/O.
 *  Ownership: err is copied.
 *  Since:     0.1    Source: - */
PUBSUB_API void pubsub_sink_link_paused(pubsub_sink *sink, uint32_t link, const pubsub_error *err);

/** Ask for a further link; the core calls `connect` for it soon, from the loop.
 *  Returns:   its number, above 0; 0 when there are too many (1,024) or memory is short.
 *  Thread:    I/O.
 *  Ownership: until pubsub_sink_link_free.
 *  Since:     0.1    Source: - */
PUBSUB_API uint32_t pubsub_sink_link_new(pubsub_sink *sink);

/** Give a link up, whatever state it is in. The adapter has closed it itself.
 *  Returns:   nothing.
 *  Thread:    I/O.
 *  Ownership: the number ends.
 *  Since:     0.1    Source: - */
PUBSUB_API void pubsub_sink_link_free(pubsub_sink *sink, uint32_t link);

/** Say on which link a subscription lives. Called inside `subscribe`. After binding to a link that is
 *  not up, `subscribe` is called again when it is.
 *  Returns:   nothing.
 *  Thread:    I/O.
 *  Ownership: -
 *  Since:     0.1    Source: - */
PUBSUB_API void pubsub_sink_bind(pubsub_sink *sink, pubsub_spi_subscription *subscription,
                                 uint32_t link);

/* ---- publishing ---------------------------------------------------------------------------- */

/** The core must not submit this publish again, although its outcome allows it. */
#define PUBSUB_OUTCOME_FINAL (1u << 8)

/** What became of one publish. NOT_SENT, and UNKNOWN at qos 1, are submitted again by the core, in the
 *  order of their ids, after the next link_up or pubsub_sink_writable, unless FINAL is set, the error
 *  is not retryable, or the client is closing. UNKNOWN at qos 2 never is: it could be twice. */
typedef struct pubsub_spi_outcome {
    pubsub_spi_publish *publish;
    pubsub_outcome outcome;
    pubsub_confirm confirm;
    uint32_t flags;            /**< PUBSUB_REPORT_*, PUBSUB_OUTCOME_FINAL */
    pubsub_position position;  /**< PUBSUB_POSITION_NONE where unknown */
    const pubsub_error *error; /**< NULL when accepted; borrowed for the call */
} pubsub_spi_outcome;

/** Report outcomes; each publish ends here and must not be touched afterwards.
 *  Returns:   nothing.
 *  Thread:    I/O.
 *  Ownership: the publishes go back to the core.
 *  Since:     0.1    Source: - */
PUBSUB_API void pubsub_sink_outcomes(pubsub_sink *sink, const pubsub_spi_outcome *outcomes,
                                     size_t count);

/** `submit` took less than it was offered and would take more now.
 *  Returns:   nothing.
 *  Thread:    I/O.
 *  Ownership: -
 *  Since:     0.1    Source: - */
PUBSUB_API void pubsub_sink_writable(pubsub_sink *sink);

/* ---- receiving ----------------------------------------------------------------------------- */

/** A block of received messages of one subscription: message slots and bytes, filled by the adapter and
 *  then given to the core as a whole. */
typedef struct pubsub_block pubsub_block;

/** Most messages of one block. */
#define PUBSUB_BLOCK_MESSAGES 256u

/** Start a block, taken from a pool where its size is usual. Ask for what is there, not for what might
 *  come: one kept message keeps its whole block.
 *  @param messages   room for at least so many, up to PUBSUB_BLOCK_MESSAGES.
 *  @param min_bytes  room needed at least for bytes; the block may have more of both.
 *  Returns:   an empty block, NULL when memory is short.
 *  Thread:    I/O.
 *  Ownership: the adapter's until pubsub_sink_messages or pubsub_block_discard.
 *  Since:     0.1    Source: - */
PUBSUB_API pubsub_block *pubsub_sink_block(pubsub_sink *sink, size_t messages, size_t min_bytes);

/** Bytes still free in a block.
 *  Returns:   a number of bytes; 0 also when all message slots are taken.
 *  Thread:    I/O.
 *  Ownership: -
 *  Since:     0.1    Source: - */
PUBSUB_API size_t pubsub_block_room(const pubsub_block *block);

/** Take bytes of a block, 8-byte aligned, to be filled by the adapter.
 *  Returns:   a pointer, NULL when the room is too small.
 *  Thread:    I/O.
 *  Ownership: the block's.
 *  Since:     0.1    Source: - */
PUBSUB_API void *pubsub_block_take(pubsub_block *block, size_t len);

/** Copy bytes into a block.
 *  Returns:   the copy, {NULL,0} for no bytes; data NULL with len 0 also when there is no room: check
 *             pubsub_block_room() before.
 *  Thread:    I/O.
 *  Ownership: the block's.
 *  Since:     0.1    Source: - */
PUBSUB_API pubsub_bytes pubsub_block_copy(pubsub_block *block, pubsub_bytes bytes);

/** Take the next message slot, zeroed, with qos 1, attempt 1 and no position.
 *  Returns:   a slot, NULL when all are taken.
 *  Thread:    I/O.
 *  Ownership: the block's.
 *  Since:     0.1    Source: - */
PUBSUB_API pubsub_spi_message *pubsub_block_message(pubsub_block *block);

/** How many messages a block has.
 *  Returns:   0..PUBSUB_BLOCK_MESSAGES.
 *  Thread:    I/O.
 *  Ownership: -
 *  Since:     0.1    Source: - */
PUBSUB_API size_t pubsub_block_count(const pubsub_block *block);

/** Throw a block away that was not given to the core.
 *  Returns:   nothing.
 *  Thread:    I/O.
 *  Ownership: ends the adapter's.
 *  Since:     0.1    Source: - */
PUBSUB_API void pubsub_block_discard(pubsub_block *block);

/** Give a block of messages of one subscription to the core; takes their credit. An empty one is
 *  thrown away.
 *  Returns:   nothing.
 *  Thread:    I/O.
 *  Ownership: the block goes to the core, whatever happens to it.
 *  Since:     0.1    Source: - */
PUBSUB_API void pubsub_sink_messages(pubsub_sink *sink, pubsub_spi_subscription *subscription,
                                     pubsub_block *block);

/** The credit a subscription has left. An adapter that can leave messages at the broker gives no more
 *  than this (one message is allowed while bytes are above 0); one that cannot gives all, and the core
 *  drops and counts what is too much if it has PUBSUB_SPI_NO_ACK.
 *  @param messages  out.
 *  @param bytes     out, payload plus properties.
 *  Returns:   true when at least one message may be given. After false, `credit` will be called.
 *  Thread:    I/O.
 *  Ownership: -
 *  Since:     0.1    Source: - */
PUBSUB_API bool pubsub_sink_credit(pubsub_sink *sink, pubsub_spi_subscription *subscription,
                                   uint32_t *messages, uint64_t *bytes);

/** Whether a message is one of those that are meant. Called with no lock held, must not call the sink. */
typedef bool (*pubsub_recall_fn)(void *ctx, uint64_t token, const uint64_t position[2]);

/** Take back messages of a subscription that another consumer will get, for instance those of a
 *  partition that was revoked. Those that match and wait, for a handler or for their retry, are taken
 *  back: no handler sees them, their credit is returned, and nothing is settled. The others that match
 *  are with a handler, or decided, and each of them is still settled by `ack`: with an ACK, or with a
 *  RELEASE when it is refused or its handler had not begun. None of them is tried again here.
 *  @param match  asked once for each message that was given and is not settled.
 *  @param left   out, how many that match are still to be settled; may be NULL.
 *  Returns:   how many were taken back.
 *  Thread:    I/O.
 *  Ownership: tokens of what was taken back are the adapter's again when this returns.
 *  Since:     0.1    Source: - */
PUBSUB_API size_t pubsub_sink_recall(pubsub_sink *sink, pubsub_spi_subscription *subscription,
                                     pubsub_recall_fn match, void *ctx, size_t *left);

/** How a subscribe was answered. */
typedef struct pubsub_spi_subscribed {
    bool resumed;          /**< it had a stored position or session and goes on there */
    pubsub_qos qos;        /**< granted */
    const pubsub_gap *gap; /**< may have missed messages; NULL = continuous. The reason is static */
    uint64_t waiting;      /**< messages that are stored for it; 0 = none, or not known */
} pubsub_spi_subscribed;

/** The answer to `subscribe`.
 *  @param answer  NULL when refused.
 *  @param err     NULL = subscribed. Otherwise refused: with PUBSUB_ELOST and PUBSUB_ECONNECT it waits for
 *                 the next link_up of its link, everything else ends the subscription and `unsubscribe`
 *                 is called.
 *  Returns:   nothing.
 *  Thread:    I/O.
 *  Ownership: both are copied.
 *  Since:     0.1    Source: - */
PUBSUB_API void pubsub_sink_subscribed(pubsub_sink *sink, pubsub_spi_subscription *subscription,
                                       const pubsub_spi_subscribed *answer,
                                       const pubsub_error *err);

/** The broker ended a subscription on its own: deleted queue, take-over by another holder, group gone.
 *  With a retryable error the core calls `subscribe` again after a back-off and tells
 *  PUBSUB_EVENT_INTERRUPTED, once until it is subscribed; otherwise it raises PUBSUB_EVENT_REFUSED and
 *  calls `unsubscribe`.
 *  Returns:   nothing.
 *  Thread:    I/O.
 *  Ownership: err is copied.
 *  Since:     0.1    Source: - */
PUBSUB_API void pubsub_sink_lost(pubsub_sink *sink, pubsub_spi_subscription *subscription,
                                 const pubsub_error *err);

/** A subscription may have missed messages.
 *  Returns:   nothing.
 *  Thread:    I/O.
 *  Ownership: copied; gap->reason must be static.
 *  Since:     0.1    Source: - */
PUBSUB_API void pubsub_sink_gap(pubsub_sink *sink, pubsub_spi_subscription *subscription,
                                const pubsub_gap *gap);

/** Something failed that belongs to no call: a commit, a notice of the broker. Becomes
 *  PUBSUB_EVENT_ERROR.
 *  @param subscription  whose it is, NULL = the client's.
 *  Returns:   nothing.
 *  Thread:    I/O.
 *  Ownership: err is copied.
 *  Since:     0.1    Source: - */
PUBSUB_API void pubsub_sink_error(pubsub_sink *sink, pubsub_spi_subscription *subscription,
                                  const pubsub_error *err);

/** A `flush` that returned false is through: every ack given before it is with the broker.
 *  Returns:   nothing.
 *  Thread:    I/O.
 *  Ownership: -
 *  Since:     0.1    Source: - */
PUBSUB_API void pubsub_sink_flushed(pubsub_sink *sink);

/* ---- the loop ------------------------------------------------------------------------------ */

/** Have `wake` called soon on the I/O thread. Several calls may become one.
 *  Returns:   nothing.
 *  Thread:    any; besides pubsub_sink_log the only function for foreign threads.
 *  Ownership: -
 *  Since:     0.1    Source: - */
PUBSUB_API void pubsub_sink_wake(pubsub_sink *sink);

/** Monotonic nanoseconds, read once per turn of the loop.
 *  Returns:   the time.
 *  Thread:    I/O.
 *  Ownership: -
 *  Since:     0.1    Source: - */
PUBSUB_API uint64_t pubsub_sink_now_ns(const pubsub_sink *sink);

typedef struct pubsub_timer pubsub_timer;

/** A timer, stopped.
 *  Returns:   a timer, NULL when memory is short.
 *  Thread:    I/O.
 *  Ownership: the adapter frees it.
 *  Since:     0.1    Source: - */
PUBSUB_API pubsub_timer *pubsub_timer_new(pubsub_sink *sink, void (*fn)(void *ctx), void *ctx);

/** Run a timer once after a delay; a running one is set anew.
 *  @param delay  milliseconds, 0 = in the next turn of the loop.
 *  Returns:   nothing.
 *  Thread:    I/O.
 *  Ownership: -
 *  Since:     0.1    Source: - */
PUBSUB_API void pubsub_timer_start(pubsub_timer *timer, pubsub_duration_ms delay);

/** Stop a timer; fine when it does not run.
 *  Returns:   nothing.
 *  Thread:    I/O.
 *  Ownership: -
 *  Since:     0.1    Source: - */
PUBSUB_API void pubsub_timer_stop(pubsub_timer *timer);

/** Free a timer; it does not run any more. NULL is fine.
 *  Returns:   nothing.
 *  Thread:    I/O; also in `fini`.
 *  Ownership: ends.
 *  Since:     0.1    Source: - */
PUBSUB_API void pubsub_timer_free(pubsub_timer *timer);

#define PUBSUB_WATCH_READ (1u << 0)
#define PUBSUB_WATCH_WRITE (1u << 1)

typedef struct pubsub_watch pubsub_watch;

/** Watch a non-blocking descriptor, level-triggered.
 *  @param fn  gets PUBSUB_WATCH_* bits; errors and hang-ups appear as readable.
 *  Returns:   a watch that waits for nothing yet; NULL when memory is short or the descriptor cannot be
 *             watched.
 *  Thread:    I/O.
 *  Ownership: the adapter frees it, before it closes the descriptor.
 *  Since:     0.1    Source: - */
PUBSUB_API pubsub_watch *pubsub_watch_new(pubsub_sink *sink, int fd,
                                          void (*fn)(void *ctx, uint32_t events), void *ctx);

/** Wait for these events from now on.
 *  @param events  PUBSUB_WATCH_* bits, 0 = none.
 *  Returns:   nothing.
 *  Thread:    I/O.
 *  Ownership: -
 *  Since:     0.1    Source: - */
PUBSUB_API void pubsub_watch_set(pubsub_watch *watch, uint32_t events);

/** Free a watch; NULL is fine. Does not close the descriptor.
 *  Returns:   nothing.
 *  Thread:    I/O; also in `fini`.
 *  Ownership: ends.
 *  Since:     0.1    Source: - */
PUBSUB_API void pubsub_watch_free(pubsub_watch *watch);

/** `close` is complete.
 *  Returns:   nothing.
 *  Thread:    I/O.
 *  Ownership: -
 *  Since:     0.1    Source: - */
PUBSUB_API void pubsub_sink_closed(pubsub_sink *sink);

/** Write a line to the library's log under the adapter's name.
 *  Returns:   nothing.
 *  Thread:    any.
 *  Ownership: -
 *  Since:     0.1    Source: - */
PUBSUB_API void pubsub_sink_log(const pubsub_sink *sink, pubsub_log_level level, const char *format,
                                ...) PUBSUB_PRINTF(3, 4);

#ifdef __cplusplus
}
#endif

#endif
