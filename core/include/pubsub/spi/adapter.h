/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_SPI_ADAPTER_H
#define PUBSUB_SPI_ADAPTER_H

/** @file adapter.h
 *  What an adapter implements: one table of functions. What it may call is in sink.h, transport.h and
 *  support.h, besides the public API. It is a part of the library, a shared object of its own that the
 *  library opens at the first use of its scheme, or a part of a program.
 *
 *  Versions: an adapter built for another PUBSUB_SPI_ABI is refused. The number changes when something is
 *  taken away or means something else, and when a struct grows that the adapter makes, that is passed in an
 *  array or that lies inside another. Without a new number a struct may only grow at its end: pubsub_adapter
 *  (`size` says how far the adapter's reaches; what it does not reach does not exist), and what the core makes
 *  and hands over by pointer. Enumerations may get further values.
 *
 *  Rules that hold for every member unless it says otherwise:
 *  - It is called on the client's I/O thread, one call at a time, with no lock held. Members marked
 *    "pure" are called from any thread, concurrently, and must not touch an instance.
 *  - It must not block. Waiting is done with watches, timers and links (sink.h).
 *  - Everything passed in is borrowed for the call, except publishes (until their outcome) and
 *    subscriptions (until `unsubscribe` of them was called).
 *  - It may call any function of sink.h from inside the call, if not marked otherwise. No sink function
 *    calls a member back: what follows from it happens after the member, watch or timer returned.
 *  - A function that returns pubsub_err fills `err` when that is not NULL and the result is not OK.
 *
 *  Life of an instance:
 *    init -> connect(0) -> link_up -> submit / subscribe / ack ... -> close -> sink closed -> fini
 *  `connect` and everything after it may repeat: a client that ended can connect again. `fini` is also
 *  called after a failed init and must cope with whatever state init left. */

#include <pubsub/caps.h>
#include <pubsub/error.h>
#include <pubsub/message.h>
#include <pubsub/options.h>
#include <pubsub/spi/option.h>
#include <pubsub/types.h>
#include <pubsub/url.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Version of this interface; compared for equality. */
#define PUBSUB_SPI_ABI 1u

typedef struct pubsub_sink pubsub_sink; /* the core's side of one client, see sink.h */

/** Bit of a feature in the masks below. */
#define PUBSUB_BIT(feature) (UINT64_C(1) << (feature))

/** What one instance is made from. Lives as long as the instance. */
typedef struct pubsub_adapter_config {
    const pubsub_url *url;         /**< the broker URL */
    const pubsub_options *options; /**< URL parts, query and options, checked and merged */
} pubsub_adapter_config;

/** Where a subscription begins. */
typedef enum pubsub_from_kind {
    PUBSUB_FROM_NEW = 0,
    PUBSUB_FROM_EARLIEST = 1,
    PUBSUB_FROM_LAST = 2, /**< retained values, then new */
    PUBSUB_FROM_TIME = 3,
    PUBSUB_FROM_POSITION = 4 /**< after that position */
} pubsub_from_kind;

typedef struct pubsub_from {
    pubsub_from_kind kind;
    uint64_t time_ns;         /**< FROM_TIME: nanoseconds since 1970 UTC */
    pubsub_position position; /**< FROM_POSITION */
} pubsub_from;

/** What a caller asks for with a subscribe, parsed and checked. */
typedef struct pubsub_subscribe_request {
    const pubsub_bytes *patterns; /**< each NUL-terminated behind its length; all members of a group
                                       have the same ones */
    size_t pattern_count;         /**< at least 1 */
    bool literal;                 /**< none of them has a wildcard */
    const pubsub_options *options; /**< subscribe options over client options, for the adapter's own
                                        rows; lives as long as the subscription */
    pubsub_qos qos;                /**< PUBSUB_QOS_UNSET = the stronger of 1 and 0 the broker has */
    const char *group;             /**< "" = none */
    const char *durable; /**< "" = none; with a group: the group itself is durable when not "" */
    pubsub_from from;
    bool reset;              /**< begin at `from` even where a position is stored */
    bool order_key;          /**< order per key, also inside a group */
    uint32_t prefetch;       /**< credit in messages */
    uint64_t prefetch_bytes; /**< credit in bytes */
    uint32_t max_attempts;   /**< 0 = no limit; the core dead-letters, for information only */
    uint64_t features;       /**< PUBSUB_BIT of everything asked for */
    uint64_t reserved[4];    /**< 0; so that it can grow where it is inside another */
} pubsub_subscribe_request;

/** What is asked for: of one publish (subscribe NULL) or one subscribe. */
typedef struct pubsub_request {
    uint64_t features; /**< PUBSUB_BIT of each */
    const pubsub_subscribe_request *subscribe;
} pubsub_request;

/** The answer: each asked bit is in exactly one mask. Prefilled from the caps cell by cell; the adapter
 *  moves bits where the combination differs. */
typedef struct pubsub_answer {
    uint64_t native;
    uint64_t emulated;
    uint64_t refused;
    char why[160]; /**< for a refused combination: one line naming it */
} pubsub_answer;

/** One publish in flight. The core owns it; the adapter may keep the pointer from `submit` until it has
 *  reported the outcome, not longer. */
typedef struct pubsub_spi_publish {
    pubsub_publication pub; /**< qos is never unset here; bytes stay in place until the outcome */
    uint64_t id;            /**< increasing in publish order */
    uint64_t expires_ns;    /**< wall clock, 0 = never; the core has dropped it if it is over */
    uint32_t sends; /**< how often it was sent before with an unknown end: above 0 it may be a
                                 duplicate */
    void *data;     /**< the adapter's, zero at first */
} pubsub_spi_publish;

/** One subscription as the adapter sees it. */
typedef struct pubsub_spi_subscription {
    pubsub_subscribe_request request;
    uint32_t subscribes;       /**< how often it was subscribed before on this client (resume) */
    pubsub_position delivered; /**< last position handed to the core; POSITION_NONE at first */
    uint32_t link;             /**< the link it lives on, see pubsub_sink_bind; 0 at first */
    bool native_nack; /**< set by the adapter in `subscribe`: nacks go to it; false = the core
                                    holds a refused message and delivers it again itself */
    bool lazy_ack;    /**< set by the adapter in `subscribe`: an ack only returns credit, so it
                                    may come late and in bulk */
    bool broker_redelivers; /**< set by the adapter in `subscribe`: when the link is lost the broker
                                    sends what is unsettled again, so the core forgets what it holds
                                    and drops late acks; false = they stay valid */
    void *data;             /**< the adapter's, zero at first and after unsubscribe */
} pubsub_spi_subscription;

/** Flags of a received message. */
#define PUBSUB_SPI_RETAINED (1u << 0)
#define PUBSUB_SPI_REDELIVERED (1u << 1)
#define PUBSUB_SPI_TOMBSTONE (1u << 2)
/** Matched by a superset: the core filters it, and acks it when it does not match. */
#define PUBSUB_SPI_FILTER (1u << 3)
/** Nothing to settle: qos 0 and the like. Gives its credit back when its handler returns. */
#define PUBSUB_SPI_NO_ACK (1u << 4)

/** One received message, filled in by the adapter inside a block (sink.h). Bytes point into the block. */
typedef struct pubsub_spi_message {
    pubsub_bytes topic;
    pubsub_bytes payload;
    pubsub_bytes key; /**< data NULL = no key */
    pubsub_bytes content_type;
    pubsub_bytes reply_to;
    pubsub_bytes correlation;
    const pubsub_header *headers;
    uint32_t header_count;
    uint32_t flags; /**< PUBSUB_SPI_* */
    int32_t qos;
    uint32_t attempt; /**< 1 at first; 0 = the broker does not count */
    uint64_t timestamp_ns;
    uint64_t expires_ns;
    uint64_t position[2]; /**< words of its pubsub_position; both UINT64_MAX = none */
    uint64_t token;       /**< handed back in pubsub_spi_ack */
} pubsub_spi_message;

/** What to tell the broker about a message. */
typedef enum pubsub_spi_settle {
    PUBSUB_SPI_ACK = 0,
    PUBSUB_SPI_NACK = 1, /**< failed: deliver again after delay_ms; only with native_nack */
    PUBSUB_SPI_RELEASE =
        2 /**< was never handed to anybody: deliver again, not counted as an attempt.
                                Given before `unsubscribe` and `close`, and after
                                pubsub_sink_recall. */
} pubsub_spi_settle;

/** One settled message. */
typedef struct pubsub_spi_ack {
    pubsub_spi_subscription *subscription;
    uint64_t token;
    uint64_t position[2];
    pubsub_spi_settle settle;
    pubsub_duration_ms delay_ms; /**< of a NACK */
} pubsub_spi_ack;

/** Flag of an adapter: all its links are transports of <pubsub/spi/transport.h>, so that an application may
 *  bring its own (pubsub_client_set_transport). */
#define PUBSUB_ADAPTER_TRANSPORT (1u << 0)

/** The adapter. Static, constant, one per broker library. */
typedef struct pubsub_adapter {
    uint32_t abi;                     /**< PUBSUB_SPI_ABI */
    uint32_t size;                    /**< sizeof(pubsub_adapter) */
    const char *name;                 /**< "kafka": also the prefix of its options */
    const char *const *schemes;       /**< {"kafka", "kafka+ssl", NULL} */
    const char *summary;              /**< one line for lists */
    const pubsub_option_row *options; /**< ends with a row whose name is NULL; may be NULL */
    size_t instance_size;             /**< the core allocates and zeroes one for each client */

    /** What this broker can ever do under this configuration. Pure. No I/O.
     *  Called at client creation and for pubsub_caps_offline. */
    pubsub_err (*caps)(const pubsub_adapter_config *config, pubsub_caps *out, pubsub_error *err);

    /** Correct the answer for a combination of features. Pure. May be NULL: then each cell counts for
     *  itself. Called at the user's call with the offline caps, and again at link_up with the server's.
     *  Errors: PUBSUB_ENOTSUP is made by the core from `refused`; return others for what can never be. */
    pubsub_err (*negotiate)(const pubsub_adapter_config *config, const pubsub_caps *caps,
                            const pubsub_request *request, pubsub_answer *answer,
                            pubsub_error *err);

    /** Refuse a message or topic the broker would choke on (a poison message). Pure. May be NULL.
     *  Topic syntax, UTF-8, caps->max_payload and max_topic are checked by the core before.
     *  Errors: PUBSUB_ETOPIC, PUBSUB_ETOOBIG, PUBSUB_EINVAL. */
    pubsub_err (*check)(const pubsub_adapter_config *config, const pubsub_caps *caps,
                        const pubsub_publication *publication, pubsub_error *err);

    /** Text of a position, like snprintf. Pure. May be NULL where there are no positions. */
    size_t (*position_text)(const pubsub_position *position, char *text, size_t size);
    /** The other way round. Pure. May be NULL. Errors: PUBSUB_EOPTION saying what is wrong. */
    pubsub_err (*position_parse)(const char *text, pubsub_position *out, pubsub_error *err);

    /** Set an instance up. No I/O, no threads, no timers or watches (the loop is not there yet).
     *  Called on a user's thread when the client opens.
     *  Errors: PUBSUB_EOPTION, PUBSUB_EINVAL, PUBSUB_ENOMEM. */
    pubsub_err (*init)(void *self, const pubsub_adapter_config *config, pubsub_sink *sink,
                       pubsub_error *err);

    /** Begin to open a link. Link 0 is the main one; others exist since pubsub_sink_link_new. The
     *  answer is pubsub_sink_link_up or pubsub_sink_link_down, now or later; the core counts
     *  connect_timeout and then calls `disconnect`. The core repeats the call with back-off after a
     *  link_down whose error is retryable. Errors: as link_down. */
    pubsub_err (*connect)(void *self, uint32_t link, pubsub_error *err);

    /** Drop a link at once, without a word: its connect timeout is over, or the client closes by force
     *  (`final`). No link_down is expected. Only when final the publishes in flight must get their
     *  outcomes before this returns; otherwise a session may still keep them. */
    void (*disconnect)(void *self, uint32_t link, bool final);

    /** Take publishes, in order. Returns how many were taken, from the first; the rest is offered
     *  again after the next outcome or pubsub_sink_writable. Only while link 0 is up. Each taken
     *  publish gets exactly one outcome, in any order, inside this call or later, also after
     *  link_down; those with an outcome inside the call count as taken. */
    size_t (*submit)(void *self, pubsub_spi_publish *const *publishes, size_t count);

    /** Begin a subscription; answered by pubsub_sink_subscribed, now or later. Called when link 0 comes
     *  up for those that are not bound to another link, and again for each subscription of a link that
     *  came up again; then request.from no longer counts but what the adapter remembers and the broker
     *  stores. Messages may be given before the answer. */
    void (*subscribe)(void *self, pubsub_spi_subscription *subscription);

    /** End a subscription and forget the pointer. Unacked messages go back to the broker. Called also
     *  for one that was refused or whose link is down; then there is nothing to say to the broker.
     *  @param forget  also delete what the broker keeps for a durable name or group. */
    void (*unsubscribe)(void *self, pubsub_spi_subscription *subscription, bool forget);

    /** Settle messages, in the order in which they were settled, of any subscriptions. Those of an
     *  older generation of their link were dropped by the core. */
    void (*ack)(void *self, const pubsub_spi_ack *acks, size_t count);

    /** Credit of a subscription that had run out is there again (see pubsub_sink_credit): at least a
     *  quarter of it, or all that is not in handlers. */
    void (*credit)(void *self, pubsub_spi_subscription *subscription);

    /** pubsub_sink_wake was called by a foreign thread since the last time. May be NULL. */
    void (*wake)(void *self);

    /** Somebody waits for outcomes and acks: send now what lingers. Returns true when every ack so far
     *  is with the broker; otherwise pubsub_sink_flushed follows. May be NULL: nothing ever lingers. */
    bool (*flush)(void *self);

    /** The end of a turn of the loop in which members, watches or timers of this adapter ran: the place
     *  to send everything that came together. May be NULL. */
    void (*turn)(void *self);

    /** Close in good order: subscriptions are ended already; publishes still in flight are reported
     *  before `closed`, what is left the core gives up as unknown. Timers and watches are freed before
     *  `closed`. Answer: pubsub_sink_closed, now or later; when the time is over the core calls
     *  disconnect for every link instead of waiting.
     *  @param left  milliseconds. */
    void (*close)(void *self, pubsub_duration_ms left);

    /** Release everything, also after a failed init. No sink function may be called except the ones
     *  that free; pubsub_sink_wake by foreign threads is legal until this returns. May join threads.
     *  @param forked  this is a child process: close descriptors, free memory, but speak to nobody and
     *                 touch no thread or lock of the parent. */
    void (*fini)(void *self, bool forked);

    uint32_t flags; /**< PUBSUB_ADAPTER_* */
} pubsub_adapter;

/** What a shared object with an adapter exports under this name: its table. Called NAME.so, where NAME is the
 *  adapter's, and put where adapters are looked for, it is opened when a URL's scheme (up to a `+`) or an
 *  option's prefix is NAME. Never closed again once it was taken. */
extern PUBSUB_API const pubsub_adapter pubsub_adapter_v1;

/** Open an adapter from a file and make it known to this process, as by its scheme. A second call for the
 *  same file finds what the first one opened.
 *  @param path  shared object with `pubsub_adapter_v1`; a name without a slash is looked for by the dynamic
 *               linker.
 *  @param out   the adapter's table, may be NULL.
 *  @param err   optional detail, may be NULL.
 *  Returns:   PUBSUB_OK; PUBSUB_ENOTFOUND when it cannot be loaded or exports no adapter; else as
 *             pubsub_adapter_register; PUBSUB_ENOTSUP in a program that has the library built in.
 *  Thread:    any. Takes as long as loading the object takes.
 *  Ownership: the table is the object's, which stays for ever.
 *  Since:     0.1    Source: - */
PUBSUB_API pubsub_err pubsub_adapter_load(const char *path, const pubsub_adapter **out,
                                          pubsub_error *err);

/** Make an adapter known to this process, for schemes the library has no adapter for. Its table must
 *  stay in place for ever.
 *  Returns:   PUBSUB_OK; PUBSUB_EVERSION for another ABI or size; PUBSUB_EINVAL for one with missing members;
 *             PUBSUB_EBUSY when a scheme or the name is taken; PUBSUB_EFULL beyond 32 adapters.
 *  Thread:    any.
 *  Ownership: the table stays the caller's.
 *  Since:     0.1    Source: - */
PUBSUB_API pubsub_err pubsub_adapter_register(const pubsub_adapter *adapter, pubsub_error *err);

#ifdef __cplusplus
}
#endif

#endif
