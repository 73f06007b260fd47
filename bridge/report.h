/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_BRIDGE_REPORT_H
#define PUBSUB_BRIDGE_REPORT_H

/* A file's findings, for people ("bridge.yaml:12:5: routes[0].topic: ...") or as JSON. */

#include "config/config.h"

/* On stderr. */
void bridge_report_text(const char *file, const bridge_findings *findings);
/* On stdout: {"file":..., "ok":..., "findings":[{"line":...}]}. */
void bridge_report_json(const char *file, const bridge_findings *findings, bool ok);

#endif
