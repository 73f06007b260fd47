/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_BRIDGE_CHECKPOINT_H
#define PUBSUB_BRIDGE_CHECKPOINT_H

/* Stored positions: one small file for each route and model. Written to a temporary file, synced,
 * renamed, the directory synced; the content has a checksum. A file that cannot be read is never "no
 * position": the route must not start. */

#include "base/buf.h"

#include <pubsub/connector.h>

/* Read the position of a model. *out is empty (and PUBSUB_OK) only when the file does not exist.
 * PUBSUB_ECORRUPT, PUBSUB_EIO, PUBSUB_EVERSION: the text names the file and what to do. *out is the
 * caller's (pubsub__free). */
pubsub_err bridge_checkpoint_read(const char *directory, const char *route, pubsub_bytes model,
                                  char **out, size_t *out_len, pubsub_error *err);

/* The model of every position that is stored for a route. PUBSUB_ECORRUPT and the like as above. */
pubsub_err bridge_checkpoint_models(const char *directory, const char *route,
                                    void (*each)(void *ctx, pubsub_bytes model), void *ctx,
                                    pubsub_error *err);

/* Store a position. When it fails the old one is intact. */
pubsub_err bridge_checkpoint_write(const char *directory, const char *route, pubsub_bytes model,
                                   pubsub_bytes position, pubsub_error *err);

/* The same from bytes that were a file's; `path` is for the texts. *position is empty unless it is
 * PUBSUB_OK, and the caller's (pubsub__buf_fini). */
pubsub_err bridge_checkpoint_parse(const char *path, pubsub_bytes file, const char *route,
                                   pubsub_bytes model, pubsub__buf *position, pubsub_error *err);

/* What a file has in it. A PUBSUB__BUF_* code. */
int bridge_checkpoint_compose(pubsub__buf *out, const char *route, pubsub_bytes model,
                              pubsub_bytes position);

#endif
