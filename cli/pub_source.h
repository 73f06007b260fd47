/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_CLI_PUB_SOURCE_H
#define PUBSUB_CLI_PUB_SOURCE_H

/* Where the bodies of `pub` come from: words, files, stdin as a whole or cut into records. */

#include "input.h"
#include "jsonl.h"
#include "opt.h"

#include "base/buf.h"

#include <pubsub/message.h>

typedef enum pub_kind {
    PUB_BODIES = 0, /* words of the command line, or none with --null */
    PUB_FILES,      /* each file one message */
    PUB_WHOLE,      /* stdin is one message */
    PUB_RECORDS,    /* stdin or files, cut at a delimiter */
    PUB_JSONL,      /* stdin or files, a JSON object a line */
} pub_kind;

typedef struct pub_source {
    const cli_args *args;
    pub_kind kind;
    const char *body; /* the body that is a word of the command line; NULL = see -m */
    size_t bodies;    /* how many there are */
    size_t next_body;
    size_t next_file;
    bool reading; /* in is open */
    bool ended;   /* and at its end */
    cli_input in;
    const char *in_name;
    pubsub__buf delims[3]; /* record, key, topic */
    pubsub__buf decoded;
    size_t max;
    uint64_t expiry_now_ns;
    cli_jsonl_reader *jsonl;
    bool topic_given; /* overrides what lines say */
    int encode;       /* 0 raw, 1 hex, 2 base64 */
} pub_source;

typedef enum pub_source_result {
    PUB_SOURCE_RECORD = 0, /* slot is filled */
    PUB_SOURCE_WAIT = 1,   /* wait for pub_source_fd, then call pub_source_fill */
    PUB_SOURCE_END = 2,
    PUB_SOURCE_FAILED = 3, /* *code says why, it has been printed */
} pub_source_result;

/* Choose the source from the flags; body is the word after the topic or NULL. Returns an exit code,
 * errors have been printed. */
int pub_source_init(pub_source *source, const cli_args *args, const char *body, bool topic_given);
void pub_source_fini(pub_source *source);

/* Fill the parts of *slot that the source knows; base has what the flags say. What slot points to
 * lives until pub_source_release. */
pub_source_result pub_source_next(pub_source *source, const pubsub_publication *base,
                                  pubsub_publication *slot, int *code);
int pub_source_fd(const pub_source *source);
/* Read more. False when that failed; it has been printed. */
bool pub_source_fill(pub_source *source);
/* Everything handed out has been published. */
void pub_source_release(pub_source *source);
/* Whether slots stay valid only until the next call, so that batches hold one message. */
bool pub_source_is_single(const pub_source *source);
/* Begin again with the first body, for --count; false when the source can be read only once. */
bool pub_source_rewind(pub_source *source);

#endif
