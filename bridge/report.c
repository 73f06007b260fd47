/* SPDX-License-Identifier: MIT */
#include "report.h"

#include "base/buf.h"
#include "base/text.h"
#include "json/slice.h"

#include <stdio.h>

void bridge_report_text(const char *file, const bridge_findings *findings)
{
    char shown[1024];
    for (size_t i = 0; i < findings->count; i++) {
        const bridge_finding *finding = &findings->items[i];
        if (finding->mark.line > 0) {
            fprintf(stderr, "%s:%u:%u: ", file, finding->mark.line, finding->mark.column);
        } else {
            fprintf(stderr, "%s: ", file);
        }
        pubsub_bytes text = pubsub_bytes_of(finding->text);
        fprintf(stderr, "%s%s%s\n", finding->path, finding->path[0] != '\0' ? ": " : "",
                pubsub__text_escape(shown, sizeof(shown), text.data, text.len));
    }
    if (findings->more > 0) {
        fprintf(stderr, "%s: and %zu more\n", file, findings->more);
    }
}

void bridge_report_json(const char *file, const bridge_findings *findings, bool ok)
{
    pubsub__buf out;
    pubsub__buf_init(&out, (size_t)1 << 20);
    (void)pubsub__buf_add_text(&out, "{\"file\":");
    (void)bridge_json_quote(pubsub_bytes_of(file), &out);
    (void)pubsub__buf_printf(&out, ",\"ok\":%s,\"more\":%zu,\"findings\":[", ok ? "true" : "false",
                             findings->more);
    for (size_t i = 0; i < findings->count; i++) {
        const bridge_finding *finding = &findings->items[i];
        (void)pubsub__buf_printf(&out, "%s{\"line\":%u,\"column\":%u,\"path\":", i > 0 ? "," : "",
                                 finding->mark.line, finding->mark.column);
        (void)bridge_json_quote(pubsub_bytes_of(finding->path), &out);
        (void)pubsub__buf_add_text(&out, ",\"text\":");
        (void)bridge_json_quote(pubsub_bytes_of(finding->text), &out);
        (void)pubsub__buf_add_byte(&out, '}');
    }
    (void)pubsub__buf_add_text(&out, "]}\n");
    (void)fwrite(pubsub__buf_text(&out), 1, out.len, stdout);
    pubsub__buf_fini(&out);
}
