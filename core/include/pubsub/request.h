/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_REQUEST_H
#define PUBSUB_REQUEST_H

/** @file request.h
 *  Request and reply over publish and subscribe: a request is a message that says where its answer
 *  goes (reply_to) and which request it answers (correlation); an answer is a message to that topic.
 *
 *  A client has one inbox, made at its first request: a topic of its own below the client's option
 *  `inbox`, with one subscription that no handler, event or pubsub_client_unsubscribe() sees. A
 *  request is published once the inbox is subscribed. Answers that nobody waits for (late, double,
 *  unknown) are dropped and counted (`stray_replies` in pubsub_stats).
 *
 *  What is promised: a request is published like any other message, so with qos 1 it may arrive twice
 *  and be answered twice; the first answer counts. A lost answer, and nobody who answers, is
 *  PUBSUB_ETIMEDOUT; where the broker tells that nobody received the request it is
 *  PUBSUB_ENORESPONDER at once. Losing the connection does not end a request: the inbox is subscribed
 *  again and the request waits on until its time is over. */

#include <pubsub/client.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The most requests of one client that wait for an answer at the same time. */
#define PUBSUB_REQUESTS_MAX 16384

/** Publish a request and wait for its answer.
 *  @param publication  topic, payload and the rest of the request; borrowed, copied before it is sent.
 *                      reply_to and correlation must be empty: the library sets them.
 *  @param timeout      milliseconds for all of it, queue space and connecting included; -1 = no
 *                      limit; 0 is not allowed. A request whose time is over before it was sent is
 *                      not sent any more.
 *  @param reply        the answer; NULL when there is none.
 *  @param err          optional detail, may be NULL.
 *  Returns:   PUBSUB_OK; PUBSUB_ETIMEDOUT; PUBSUB_ENORESPONDER; PUBSUB_EAGAIN (too many requests
 *             wait); PUBSUB_ECLOSED when the client ends meanwhile; PUBSUB_ESTATE in a callback;
 *             PUBSUB_ENOTSUP; PUBSUB_EINVAL; what publishing the request or subscribing the inbox
 *             failed with.
 *  Thread:    any except callbacks, several at the same time (with `io=inline` one). Needs nobody to
 *             poll.
 *  Ownership: the caller gives *reply back with pubsub_message_unref(); there is nothing to ack.
 *  Since:     0.1    Source: - */
PUBSUB_API pubsub_err pubsub_client_request(pubsub_client *client,
                                            const pubsub_publication *publication,
                                            pubsub_duration_ms timeout, pubsub_message **reply,
                                            pubsub_error *err);

/** The end of a request.
 *  @param reply  the answer, borrowed for the call (pubsub_message_ref keeps it); NULL when none.
 *  @param error  why there is none; NULL when there is one. */
typedef void (*pubsub_reply_fn)(void *ctx, pubsub_message *reply, const pubsub_error *error);

/** Publish a request and have a function called with its answer. Does not wait for queue space.
 *  @param publication  as in pubsub_client_request().
 *  @param timeout      milliseconds until PUBSUB_ETIMEDOUT; -1 = no limit; 0 is not allowed.
 *  @param fn           called exactly once when this returns PUBSUB_OK, else never: where handlers
 *                      are called (pubsub_client_poll(), or the thread of `dispatch=thread`); what is
 *                      left when the client ends, in pubsub_client_end() or pubsub_client_free().
 *                      Not NULL.
 *  @param ctx          given to fn.
 *  @param err          optional detail, may be NULL.
 *  Returns:   PUBSUB_OK; PUBSUB_EAGAIN (too many requests wait, or the queue is full);
 *             PUBSUB_ECLOSED; PUBSUB_ENOTSUP; PUBSUB_EINVAL; as pubsub_client_publish. What fails
 *             later comes to fn as error.
 *  Thread:    any, also callbacks.
 *  Ownership: nothing changes hands.
 *  Since:     0.1    Source: - */
PUBSUB_API pubsub_err pubsub_client_request_async(pubsub_client *client,
                                                  const pubsub_publication *publication,
                                                  pubsub_duration_ms timeout, pubsub_reply_fn fn,
                                                  void *ctx, pubsub_error *err);

/** Answer a request: publish to its reply_to with its correlation, by the client it was received by.
 *  Does not acknowledge the request. The result comes as for any publish.
 *  @param request  a received message.
 *  @param answer   payload, headers and the rest; topic and correlation must be empty.
 *  @param timeout  milliseconds to wait for queue space; 0 = do not wait; -1 = no limit.
 *  @param err      optional detail, may be NULL.
 *  Returns:   PUBSUB_OK; PUBSUB_EINVAL when the request has no reply_to or the answer has a topic;
 *             otherwise as pubsub_client_publish.
 *  Thread:    any thread that may use the message, also callbacks when timeout is 0.
 *  Ownership: nothing changes hands.
 *  Since:     0.1    Source: - */
PUBSUB_API pubsub_err pubsub_message_reply(const pubsub_message *request,
                                           const pubsub_publication *answer,
                                           pubsub_duration_ms timeout, pubsub_error *err);

#ifdef __cplusplus
}
#endif

#endif
