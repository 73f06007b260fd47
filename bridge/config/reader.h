/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_BRIDGE_READER_H
#define PUBSUB_BRIDGE_READER_H

/* What the parts of the file are read with. Every function goes on after a finding: the configuration is
 * only used when there was none. */

#include "base/buf.h"
#include "config/node.h"
#include "config/schema.h"

typedef struct bridge_reader {
    bridge_findings *findings;
    bridge_config *config;
    bridge_node *root;
    const char *broker; /* --broker or NULL */
    char *directory;    /* of the file, for relative names; ends in a slash, or is empty */
} bridge_reader;

/* A value of a section. */
typedef struct bridge_field {
    bridge_node *node; /* NULL when the file does not have it */
    const char *text;  /* what it has, or the default; NULL = neither, or it is wrong */
    int64_t number;
} bridge_field;

/* How much was found so far, also what was not kept. */
static inline size_t bridge_found(const bridge_reader *reader)
{
    return reader->findings->count + reader->findings->more;
}

/* Out of memory is a finding like others. Both return false / NULL after it. */
bool bridge_no_memory(bridge_reader *reader);
char *bridge_keep(bridge_reader *reader, const char *text);

/* A scalar's text for findings: not what came from the environment or a file. */
const char *bridge_shown(const bridge_node *node);

/* The text of a scalar, or of what {file: PATH} or {env: NAME} stands for (the node becomes that text).
 * NULL after a finding. */
const char *bridge_read_scalar(bridge_reader *reader, bridge_node *node, const bridge_path *path,
                               bool secret);
/* The same, checked against a row. */
bool bridge_read_value(bridge_reader *reader, const pubsub_setting *row, bridge_node *node,
                       const bridge_path *path, bridge_field *field);

/* Whether a node is a mapping, with a finding if not. */
bool bridge_expect_map(bridge_reader *reader, const bridge_node *node, const bridge_path *path,
                       const char *what);
/* Read a mapping by its schema into one field for each row; rows of type JSON and LIST get their node
 * only. With `others`, keys that are no rows are left to the caller. */
bool bridge_read_section(bridge_reader *reader, const bridge_node *map, const bridge_path *path,
                         const bridge_schema *schema, bool others, bridge_field *fields);

/* A list, or one value that stands for a list of one: how many, and which. */
size_t bridge_list_count(const bridge_node *node);
bridge_node *bridge_list_at(bridge_node *node, size_t index, const bridge_path *path,
                            bridge_path *at);

/* A name that does not exist among the keys of a mapping: "there is no broker 'mian', did you mean ..." */
void bridge_tell_unknown(bridge_reader *reader, const bridge_node *node, const bridge_path *path,
                         const char *kind, const char *name, const bridge_node *names);
/* Names of brokers and sources become parts of paths and files. */
void bridge_check_name(bridge_reader *reader, bridge_mark mark, const bridge_path *path,
                       const char *name);

/* What a file holds that is meant by {file: PATH}. NULL after a finding; *out is the caller's. */
char *bridge_read_secret_file(bridge_reader *reader, const bridge_node *node,
                              const bridge_path *path, const char *name, bool secret);
/* A name from the file, seen from the file's directory; the caller frees. NULL after a finding. */
char *bridge_beside_file(bridge_reader *reader, const char *name);

/* A structure as JSON text. False when it is too big or memory is short. */
bool bridge_node_to_json(const bridge_node *node, pubsub__buf *out);

/* Whether a topic template is one, and can give a valid topic; if not, why. */
bool bridge_template_check(const char *text, char *why, size_t why_size);

/* The parts, in this order. */
void bridge_read_top(bridge_reader *reader);
void bridge_read_brokers(bridge_reader *reader, bridge_node *node);
void bridge_read_sources(bridge_reader *reader, bridge_node *node);
void bridge_read_routes(bridge_reader *reader, bridge_node *node);

/* For tests and fuzzing: the content of a file that is called so. */
bridge_config *bridge_config_read(const char *file, const char *text, size_t len,
                                  const bridge_overrides *overrides, bridge_findings *findings);

#endif
