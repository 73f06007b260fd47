/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_COUCHDB_POSITION_H
#define PUBSUB_COUCHDB_POSITION_H

/* A position is {"instance":"...","seq":...}: which database it is of, and the server's own sequence,
 * whose bytes mean nothing to us. */

#include "base/buf.h"

#include <pubsub/types.h>

/* False when it does not fit. seq is JSON. */
bool couch_position_write(pubsub__buf *out, pubsub_bytes instance, pubsub_bytes seq);
/* False when it is none of ours. The results are slices of it; instance is without quotes. */
bool couch_position_read(pubsub_bytes position, pubsub_bytes *instance, pubsub_bytes *seq);

/* Append bytes so that they can stand in a URL's path or query. A PUBSUB__BUF_* code. */
int couch_url_add(pubsub__buf *out, pubsub_bytes bytes);
/* Append a sequence (JSON) as the value of `since`. */
int couch_url_add_seq(pubsub__buf *out, pubsub_bytes seq);

#endif
