/* SPDX-License-Identifier: MIT */
#include "ops/render.h"

#include "json/slice.h"

#include <pubsub/version.h>

#include <inttypes.h>
#include <stddef.h>
#include <string.h>

/* Where a metric's value is found in a view. */
typedef enum metric_from {
    FROM_U64,
    FROM_MS,    /* milliseconds ago, shown as seconds; not shown when -1 */
    FROM_LAG,   /* seconds; not shown when below 0 */
    FROM_STATE, /* one sample for each state, 1 for the one that holds */
} metric_from;

typedef struct metric_row {
    bridge_metric metric;
    metric_from from;
    size_t offset;
    const char *json; /* its name in /status; NULL = not there */
} metric_row;

#define COUNTER(field, name, json, help)                                                           \
    {                                                                                              \
        {name, "counter", help}, FROM_U64, offsetof(bridge_route_view, field), json                \
    }
#define GAUGE(field, from, name, json, help)                                                       \
    {                                                                                              \
        {name, "gauge", help}, from, offsetof(bridge_route_view, field), json                      \
    }

static const metric_row rows[] = {
    GAUGE(state, FROM_STATE, "pubsub_bridge_route_state", NULL, "1 for the state the route is in"),
    COUNTER(received, "pubsub_bridge_events_received_total", "received",
            "events taken from the source"),
    COUNTER(filtered, "pubsub_bridge_events_filtered_total", "filtered",
            "events the route's filter held back"),
    COUNTER(published, "pubsub_bridge_events_published_total", "published",
            "events the broker confirmed"),
    COUNTER(bytes, "pubsub_bridge_published_bytes_total", "bytes", "payload bytes of those"),
    COUNTER(rejected, "pubsub_bridge_events_rejected_total", "rejected",
            "events the broker refused for good"),
    COUNTER(dead_lettered, "pubsub_bridge_events_dead_lettered_total", "dead_lettered",
            "of those, published to the dead-letter topic"),
    COUNTER(skipped, "pubsub_bridge_events_skipped_total", "skipped",
            "of those, passed over because on_reject says so"),
    COUNTER(retried, "pubsub_bridge_events_retried_total", "retried", "events published again"),
    COUNTER(errors, "pubsub_bridge_source_errors_total", "errors", "errors the connector reported"),
    GAUGE(in_flight, FROM_U64, "pubsub_bridge_unacked_events", "in_flight",
          "events taken and not confirmed"),
    GAUGE(in_flight_bytes, FROM_U64, "pubsub_bridge_unacked_bytes", "in_flight_bytes",
          "their documents' bytes"),
    GAUGE(spooled, FROM_U64, "pubsub_bridge_spooled_events", "spooled",
          "events waiting in the spool"),
    GAUGE(last_event_ms, FROM_MS, "pubsub_bridge_last_event_age_seconds", "last_event_ms",
          "time since the last event of the source"),
    GAUGE(last_commit_ms, FROM_MS, "pubsub_bridge_last_commit_age_seconds", "last_commit_ms",
          "time since a position was stored or an event settled"),
    GAUGE(lag_s, FROM_LAG, "pubsub_bridge_source_lag_seconds", NULL,
          "age of the last confirmed event when it was confirmed"),
};
enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

const bridge_metric *bridge_metric_at(size_t index)
{
    return index < ROWS ? &rows[index].metric : NULL;
}

static uint64_t u64_at(const bridge_route_view *view, size_t offset)
{
    uint64_t value;
    memcpy(&value, (const char *)view + offset, sizeof(value));
    return value;
}

static int64_t i64_at(const bridge_route_view *view, size_t offset)
{
    int64_t value;
    memcpy(&value, (const char *)view + offset, sizeof(value));
    return value;
}

/* ---- JSON ---------------------------------------------------------------------------------- */

static void add_text(pubsub__buf *out, const char *before, const char *name, const char *value)
{
    (void)pubsub__buf_printf(out, "%s\"%s\":", before, name);
    (void)bridge_json_quote(pubsub_bytes_of(value), out);
}

static void add_counters(pubsub__buf *out, const bridge_route_view *view)
{
    for (int i = 0; i < ROWS; i++) {
        if (rows[i].json == NULL) {
            continue;
        }
        if (rows[i].from == FROM_U64) {
            (void)pubsub__buf_printf(out, ",\"%s\":%" PRIu64, rows[i].json,
                                     u64_at(view, rows[i].offset));
        } else if (i64_at(view, rows[i].offset) >= 0) {
            (void)pubsub__buf_printf(out, ",\"%s\":%" PRId64, rows[i].json,
                                     i64_at(view, rows[i].offset));
        }
    }
    if (view->lag_s >= 0) {
        (void)pubsub__buf_printf(out, ",\"lag_s\":%.3f", view->lag_s);
    }
}

void bridge_render_routes(const bridge_engine *engine, bool all, pubsub__buf *out)
{
    (void)pubsub__buf_printf(out, "{\"ready\":%s", bridge_engine_ready(engine) ? "true" : "false");
    if (all) {
        add_text(out, ",", "version", pubsub_version());
    }
    (void)pubsub__buf_add_text(out, ",\"routes\":[");
    for (size_t i = 0; i < bridge_engine_route_count(engine); i++) {
        bridge_route_view view;
        bridge_engine_view(engine, i, &view);
        add_text(out, i > 0 ? ",{" : "{", "name", view.name);
        add_text(out, ",", "source", view.source);
        add_text(out, ",", "broker", view.broker);
        add_text(out, ",", "state", bridge_route_state_name(view.state));
        add_text(out, ",", "error", view.error);
        if (all) {
            add_counters(out, &view);
        }
        (void)pubsub__buf_add_byte(out, '}');
    }
    (void)pubsub__buf_add_text(out, "]}\n");
}

/* ---- Prometheus ---------------------------------------------------------------------------- */

/* A label's value: \ " and newline are escaped (text format 0.0.4). */
static void add_label(pubsub__buf *out, const char *name, const char *value)
{
    (void)pubsub__buf_printf(out, "%s=\"", name);
    for (; *value != '\0'; value++) {
        if (*value == '\\' || *value == '"') {
            (void)pubsub__buf_add_byte(out, '\\');
        }
        (void)pubsub__buf_add_text(out, *value == '\n' ? "\\n" : "");
        if (*value != '\n') {
            (void)pubsub__buf_add_byte(out, *value);
        }
    }
    (void)pubsub__buf_add_byte(out, '"');
}

static void begin_sample(pubsub__buf *out, const metric_row *row, const bridge_route_view *view)
{
    (void)pubsub__buf_printf(out, "%s{", row->metric.name);
    add_label(out, "route", view->name);
    (void)pubsub__buf_add_byte(out, ',');
    add_label(out, "source", view->source);
    (void)pubsub__buf_add_byte(out, ',');
    add_label(out, "broker", view->broker);
}

static void add_states(pubsub__buf *out, const metric_row *row, const bridge_route_view *view)
{
    for (int state = BRIDGE_ROUTE_STARTING; state <= BRIDGE_ROUTE_DRAINING; state++) {
        begin_sample(out, row, view);
        (void)pubsub__buf_add_byte(out, ',');
        add_label(out, "state", bridge_route_state_name((bridge_route_state)state));
        (void)pubsub__buf_printf(out, "} %d\n", (int)view->state == state);
    }
}

static void add_sample(pubsub__buf *out, const metric_row *row, const bridge_route_view *view)
{
    switch (row->from) {
    case FROM_STATE:
        add_states(out, row, view);
        return;
    case FROM_U64:
        begin_sample(out, row, view);
        (void)pubsub__buf_printf(out, "} %" PRIu64 "\n", u64_at(view, row->offset));
        return;
    case FROM_MS:
        if (i64_at(view, row->offset) >= 0) {
            begin_sample(out, row, view);
            (void)pubsub__buf_printf(out, "} %.3f\n", (double)i64_at(view, row->offset) / 1000.0);
        }
        return;
    case FROM_LAG:
        if (view->lag_s >= 0) {
            begin_sample(out, row, view);
            (void)pubsub__buf_printf(out, "} %.3f\n", view->lag_s);
        }
        return;
    }
}

void bridge_render_metrics(const bridge_engine *engine, pubsub__buf *out)
{
    for (int i = 0; i < ROWS; i++) {
        (void)pubsub__buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", rows[i].metric.name,
                                 rows[i].metric.help, rows[i].metric.name, rows[i].metric.type);
        for (size_t route = 0; route < bridge_engine_route_count(engine); route++) {
            bridge_route_view view;
            bridge_engine_view(engine, route, &view);
            add_sample(out, &rows[i], &view);
        }
    }
    (void)pubsub__buf_printf(out,
                             "# HELP pubsub_bridge_info version of the bridge\n"
                             "# TYPE pubsub_bridge_info gauge\n"
                             "pubsub_bridge_info{version=\"%s\"} 1\n",
                             pubsub_version());
}
