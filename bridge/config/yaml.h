/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_BRIDGE_YAML_H
#define PUBSUB_BRIDGE_YAML_H

/* What survey.c and document.c share of libyaml. */

#include "config/node.h"

#include <yaml.h>

/* libyaml counts from 0. */
static inline bridge_mark bridge_mark_of(yaml_mark_t mark)
{
    return (bridge_mark){(unsigned)mark.line + 1, (unsigned)mark.column + 1};
}

/* A parser of a text; false after a finding, otherwise yaml_parser_delete() it. */
bool bridge_yaml_begin(yaml_parser_t *parser, const char *text, size_t len,
                       bridge_findings *findings);
/* What the parser has to complain about, as a finding. */
void bridge_yaml_tell(const yaml_parser_t *parser, bridge_findings *findings);

/* Whether the text is one document of YAML within the bounds; if not, with a finding. */
bool bridge_yaml_survey(const char *text, size_t len, bridge_findings *findings);

#endif
