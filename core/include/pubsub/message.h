/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_MESSAGE_H
#define PUBSUB_MESSAGE_H

/** @file message.h
 *  What is published (pubsub_publication, a plain value that borrows everything) and what is received
 *  (pubsub_message, an opaque slice of a reference-counted block).
 *
 *  Ownership in one line: publishing borrows for the duration of the call; a received message is
 *  borrowed for the duration of its handler, and pubsub_message_ref() keeps it for longer. */

#include <pubsub/error.h>
#include <pubsub/topic.h>
#include <pubsub/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The largest number of headers of one message. */
#define PUBSUB_HEADERS_MAX 256
/** The longest header name in bytes. */
#define PUBSUB_HEADER_NAME_MAX 1024

/** One header: a name (UTF-8, not empty) and a value (any bytes). Names may repeat; order is kept. */
typedef struct pubsub_header {
    pubsub_bytes name;
    pubsub_bytes value;
} pubsub_header;

/** Quality of service of a message, as in MQTT 5 section 4.3. */
typedef enum pubsub_qos {
    PUBSUB_QOS_UNSET = -1,   /**< the stronger of 1 and 0 that the broker has */
    PUBSUB_AT_MOST_ONCE = 0, /**< no confirmation asked for */
    PUBSUB_AT_LEAST_ONCE = 1,
    PUBSUB_EXACTLY_ONCE = 2
} pubsub_qos;

/** Ask the broker to keep the message as the last value of its topic; empty payload clears it. */
#define PUBSUB_PUBLISH_RETAIN (1u << 0)
/** Accept less than asked for where the broker lacks it, instead of PUBSUB_ENOTSUP. */
#define PUBSUB_PUBLISH_DEGRADE (1u << 1)
/** No delivery report for this message, whatever handler the client has. */
#define PUBSUB_PUBLISH_NO_REPORT (1u << 2)
/** A message without a value: deletes a key where the broker has that idea. Payload must be empty. */
#define PUBSUB_PUBLISH_TOMBSTONE (1u << 3)

/** One message to publish. Start from PUBSUB_PUBLICATION_INIT; everything pointed to is borrowed until
 *  the publish call returns. Fields may be appended in later versions, `size` tells which exist. */
typedef struct pubsub_publication {
    size_t size;               /**< sizeof(pubsub_publication) */
    pubsub_bytes topic;        /**< UTF-8, 1..PUBSUB_TOPIC_MAX bytes, no wildcard level */
    pubsub_bytes payload;      /**< any bytes */
    pubsub_bytes key;          /**< messages of one key keep their order; {NULL,0} = no key */
    pubsub_bytes content_type; /**< UTF-8 media type, or empty */
    pubsub_bytes reply_to;     /**< topic an answer should go to, or empty */
    pubsub_bytes correlation;  /**< bytes an answer repeats, or empty */
    const pubsub_header *headers;
    size_t header_count;
    pubsub_qos qos;
    uint32_t flags;            /**< PUBSUB_PUBLISH_* */
    pubsub_duration_ms expiry; /**< not delivered after this long; 0 = never expires */
    void *token;               /**< handed back in the delivery report */
} pubsub_publication;

/** A publication with nothing set. */
#define PUBSUB_PUBLICATION_INIT                                                                    \
    {                                                                                              \
        sizeof(pubsub_publication), {NULL, 0}, {NULL, 0}, {NULL, 0}, {NULL, 0}, {NULL, 0},         \
            {NULL, 0}, NULL, 0, PUBSUB_QOS_UNSET, 0, 0, NULL                                       \
    }

/** Where a message is stored. Opaque: compare and keep its text, not its words. */
typedef struct pubsub_position {
    uint64_t word[2];
    const struct pubsub_adapter *adapter; /**< who can read the words; NULL = no position */
} pubsub_position;

/** "Not known", also what brokers without positions give. */
#define PUBSUB_POSITION_NONE                                                                       \
    {                                                                                              \
        {0, 0}, NULL                                                                               \
    }
/** Enough room for the text of any position with its NUL. */
#define PUBSUB_POSITION_TEXT_MAX 64

/** The text of a position, to be stored and given to option `from` later.
 *  @param position  not NULL.
 *  @param text      room for size bytes, NUL-terminated on return unless size is 0.
 *  Returns:   the length of the whole text as snprintf does; 0 for PUBSUB_POSITION_NONE.
 *  Thread:    any.
 *  Ownership: text is the caller's.
 *  Since:     0.1    Source: - */
PUBSUB_API size_t pubsub_position_text(const pubsub_position *position, char *text, size_t size);

/** What became of a publish. An error explains an outcome, it does not replace it. */
typedef enum pubsub_outcome {
    PUBSUB_ACCEPTED = 0, /**< the broker took responsibility (qos 0: handed to the transport) */
    PUBSUB_REJECTED = 1, /**< refused for good; repeating the same message will fail again */
    PUBSUB_NOT_SENT = 2, /**< never left this process; safe to repeat */
    PUBSUB_UNKNOWN = 3,  /**< sent, but the connection was lost before the answer; may be there */
    PUBSUB_DROPPED = 4   /**< given up here (expired or discarded before it was sent) */
} pubsub_outcome;

/** What an accepted message has survived. */
typedef enum pubsub_confirm {
    PUBSUB_CONFIRM_NONE = 0,      /**< nothing was confirmed (qos 0) */
    PUBSUB_CONFIRM_RECEIVED = 1,  /**< in the broker's memory */
    PUBSUB_CONFIRM_WRITTEN = 2,   /**< survives kill -9 of the broker */
    PUBSUB_CONFIRM_DURABLE = 3,   /**< survives loss of power */
    PUBSUB_CONFIRM_REPLICATED = 4 /**< on several machines */
} pubsub_confirm;

/** Report flag: the broker had nobody to deliver the message to. Set only where brokers tell. */
#define PUBSUB_REPORT_NO_SUBSCRIBER (1u << 0)
/** Report flag: the message was sent more than once and may be there twice. */
#define PUBSUB_REPORT_MAYBE_DUPLICATE (1u << 1)

/** The report on one publish. Valid during the callback. */
typedef struct pubsub_report {
    void *token; /**< pubsub_publication.token */
    pubsub_outcome outcome;
    pubsub_confirm confirm;    /**< meaningful when accepted */
    pubsub_qos qos;            /**< what was used when qos was unset */
    uint32_t flags;            /**< PUBSUB_REPORT_* */
    pubsub_position position;  /**< where it was stored; PUBSUB_POSITION_NONE where unknown */
    const pubsub_error *error; /**< why, when not accepted; NULL otherwise */
} pubsub_report;

/** A received message. All getters return memory that lives as long as the message. */
typedef struct pubsub_message pubsub_message;

/** @name Getters
 *  Each returns a property of a received message; absent ones are empty bytes, 0 or "".
 *  Thread:    any thread that may use the message.
 *  Ownership: the result belongs to the message.
 *  Returns:   as each line says.
 *  Since:     0.1    Source: -
 *  @{ */
PUBSUB_API pubsub_bytes pubsub_message_topic(const pubsub_message *message);
PUBSUB_API pubsub_bytes pubsub_message_payload(const pubsub_message *message);
PUBSUB_API pubsub_bytes pubsub_message_key(const pubsub_message *message);
PUBSUB_API bool pubsub_message_has_key(const pubsub_message *message);
PUBSUB_API pubsub_bytes pubsub_message_content_type(const pubsub_message *message);
PUBSUB_API pubsub_bytes pubsub_message_reply_to(const pubsub_message *message);
PUBSUB_API pubsub_bytes pubsub_message_correlation(const pubsub_message *message);
PUBSUB_API size_t pubsub_message_header_count(const pubsub_message *message);
/** The index-th header; {{NULL,0},{NULL,0}} when out of range. */
PUBSUB_API pubsub_header pubsub_message_header(const pubsub_message *message, size_t index);
/** The value of the first header of that name; {NULL,0} when there is none. */
PUBSUB_API pubsub_bytes pubsub_message_header_find(const pubsub_message *message, const char *name);
PUBSUB_API pubsub_qos pubsub_message_qos(const pubsub_message *message);
/** Whether this is a stored last value rather than a live message. */
PUBSUB_API bool pubsub_message_is_retained(const pubsub_message *message);
/** Whether it may have been delivered before. */
PUBSUB_API bool pubsub_message_is_redelivered(const pubsub_message *message);
/** A message without a value (see PUBSUB_PUBLISH_TOMBSTONE). */
PUBSUB_API bool pubsub_message_is_tombstone(const pubsub_message *message);
/** How often it has been handed out, this time included; 1 at first. 0 where the broker cannot count. */
PUBSUB_API uint32_t pubsub_message_attempt(const pubsub_message *message);
/** Nanoseconds since 1970 UTC by the broker's or publisher's clock; 0 when unknown. */
PUBSUB_API uint64_t pubsub_message_timestamp_ns(const pubsub_message *message);
/** Nanoseconds since 1970 UTC after which the message has expired; 0 = never. */
PUBSUB_API uint64_t pubsub_message_expires_ns(const pubsub_message *message);
/** Where the message stands; its text, given to option `from`, starts again AFTER this message. */
PUBSUB_API pubsub_position pubsub_message_position(const pubsub_message *message);
/** @} */

/** The message as a publication, to publish it again unchanged (another topic may then be set).
 *  qos is kept, the retain flag is not.
 *  @param headers  room for header_capacity headers; borrowed by the result.
 *  Returns:   PUBSUB_OK, PUBSUB_EINVAL, PUBSUB_ETOOBIG when there are more headers than room.
 *  Thread:    any thread that may use the message.
 *  Ownership: out borrows from message and headers.
 *  Since:     0.1    Source: - */
PUBSUB_API pubsub_err pubsub_message_to_publication(const pubsub_message *message,
                                                    pubsub_header *headers, size_t header_capacity,
                                                    pubsub_publication *out);

/** Keep a message beyond its handler. It is counted, not copied, and holds its share of the
 *  subscription's prefetch_bytes until unref. Does not delay an automatic ack.
 *  @param message  not NULL.
 *  Returns:   the message to use from now on; NULL only for NULL.
 *  Thread:    any thread that may use the message.
 *  Ownership: the caller owns one reference and gives it back with pubsub_message_unref.
 *  Since:     0.1    Source: - */
PUBSUB_API pubsub_message *pubsub_message_ref(pubsub_message *message);

/** Give back a reference from pubsub_message_ref, pubsub_subscription_next or next_batch.
 *  @param message  may be NULL.
 *  Returns:   nothing.
 *  Thread:    any.
 *  Ownership: the caller's reference ends.
 *  Since:     0.1    Source: - */
PUBSUB_API void pubsub_message_unref(pubsub_message *message);

/** pubsub_message_unref for many at once. Whoever keeps messages and lets go of them in bulk, behind
 *  pubsub_message_ack_batch, gets in the way of the client's own thread once instead of for each.
 *  @param messages  count messages, of one client or several; NULL in it is passed over.
 *  Returns:   nothing.
 *  Thread:    any.
 *  Ownership: the caller's references end, the array stays the caller's.
 *  Since:     0.1    Source: - */
PUBSUB_API void pubsub_message_unref_batch(pubsub_message *const *messages, size_t count);

/** Acknowledge: the message has been dealt with and is not delivered again.
 *  Once per message, in subscriptions with `ack=manual` or when pulling.
 *  Returns:   PUBSUB_OK; PUBSUB_ESTATE when it was settled already or is acked automatically;
 *             PUBSUB_ECLOSED when the subscription has ended (the broker will deliver it again).
 *  Thread:    any, also callbacks.
 *  Ownership: the reference stays the caller's.
 *  Since:     0.1    Source: - */
PUBSUB_API pubsub_err pubsub_message_ack(pubsub_message *message);

/** Refuse: deliver again after a delay, to any member of the group; after `max_attempts` the message
 *  goes to the dead-letter topic instead.
 *  @param delay   milliseconds until redelivery, -1 = the subscription's nack_delay.
 *  @param reason  one line stored with a dead letter, may be NULL.
 *  Returns:   as pubsub_message_ack.
 *  Thread:    any, also callbacks.
 *  Ownership: the reference stays the caller's; reason is copied.
 *  Since:     0.1    Source: - */
PUBSUB_API pubsub_err pubsub_message_nack(pubsub_message *message, pubsub_duration_ms delay,
                                          const char *reason);

#ifdef __cplusplus
}
#endif

#endif
