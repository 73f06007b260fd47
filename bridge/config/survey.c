/* SPDX-License-Identifier: MIT */
/* A first look at the file, event by event: is it YAML, one document, and small enough for the rest?
 * What comes after costs time by the square of the depth and of the number of anchors. */
#include "config/yaml.h"

#define ANCHORS_MAX 1000

typedef struct survey {
    bridge_findings *findings;
    size_t nodes;
    size_t depth;
    size_t anchors;
    size_t documents;
    bool ended;
} survey;

static bool stop(const survey *job, const yaml_event_t *event, const char *text)
{
    bridge_findings_add(job->findings, bridge_mark_of(event->start_mark), "", "%s", text);
    return false;
}

static bool see_node(survey *job, const yaml_event_t *event, const yaml_char_t *anchor)
{
    if (++job->nodes > BRIDGE_NODES_MAX) {
        return stop(job, event, "these are too many values for one file");
    }
    job->anchors += anchor != NULL ? 1 : 0;
    return job->anchors <= ANCHORS_MAX || stop(job, event, "these are too many anchors (&name)");
}

static bool see_start(survey *job, const yaml_event_t *event, const yaml_char_t *anchor)
{
    job->depth++;
    return (job->depth <= BRIDGE_NODE_DEPTH_MAX || stop(job, event, "this is nested too deeply")) &&
           see_node(job, event, anchor);
}

static bool see(survey *job, const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_STREAM_END_EVENT:
        job->ended = true;
        return true;
    case YAML_DOCUMENT_START_EVENT:
        return ++job->documents == 1 ||
               stop(job, event, "a second document begins here: the file may hold one");
    case YAML_SEQUENCE_START_EVENT:
        return see_start(job, event, event->data.sequence_start.anchor);
    case YAML_MAPPING_START_EVENT:
        return see_start(job, event, event->data.mapping_start.anchor);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        job->depth--;
        return true;
    case YAML_SCALAR_EVENT:
        return see_node(job, event, event->data.scalar.anchor);
    default:
        return true;
    }
}

bool bridge_yaml_survey(const char *text, size_t len, bridge_findings *findings)
{
    yaml_parser_t parser;
    yaml_event_t event;
    survey job = {.findings = findings};
    bool ok = true;
    if (!bridge_yaml_begin(&parser, text, len, findings)) {
        return false;
    }
    while (ok && !job.ended) {
        if (!yaml_parser_parse(&parser, &event)) {
            bridge_yaml_tell(&parser, findings);
            ok = false;
        } else {
            ok = see(&job, &event);
            yaml_event_delete(&event);
        }
    }
    yaml_parser_delete(&parser);
    if (ok && job.documents == 0) {
        bridge_findings_add(findings, (bridge_mark){1, 1}, "", "there is nothing in this file");
        ok = false;
    }
    return ok;
}
