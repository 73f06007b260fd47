/* SPDX-License-Identifier: MIT */
#include "config/config.h"

#include "base/alloc.h"
#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define FINDINGS_MAX 100

void bridge_findings_fini(bridge_findings *findings)
{
    pubsub__free(findings->items);
    *findings = (bridge_findings){0};
}

/* In the order of the file, so that a person can go through it from the top. */
static bridge_finding *insert(bridge_findings *findings, bridge_mark mark)
{
    size_t at = findings->count++;
    for (; at > 0; at--) {
        const bridge_mark *before = &findings->items[at - 1].mark;
        if (before->line < mark.line ||
            (before->line == mark.line && before->column <= mark.column)) {
            break;
        }
        findings->items[at] = findings->items[at - 1];
    }
    findings->items[at].mark = mark;
    return &findings->items[at];
}

void bridge_findings_add(bridge_findings *findings, bridge_mark mark, const char *path,
                         const char *format, ...)
{
    if (findings->items == NULL) {
        findings->items = pubsub__calloc(FINDINGS_MAX, sizeof(*findings->items));
    }
    if (findings->items == NULL || findings->count == FINDINGS_MAX) {
        findings->more++;
        return;
    }
    bridge_finding *item = insert(findings, mark);
    va_list args;
    va_start(args, format);
    (void)vsnprintf(item->text, sizeof(item->text), format, args);
    va_end(args);
    (void)snprintf(item->path, sizeof(item->path), "%s", path);
    pubsub__text_oneline(item->text);
    pubsub__text_oneline(item->path);
}
