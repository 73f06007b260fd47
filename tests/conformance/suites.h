/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_TESTS_SUITES_H
#define PUBSUB_TESTS_SUITES_H

/* The tables of cases, one for each suite_*.c. */

#include "conformance/conf.h"

extern const conf_case conf_lifecycle[];
extern const conf_case conf_calls[];
extern const conf_case conf_delivery[];
extern const conf_case conf_reports[];
extern const conf_case conf_topics[];
extern const conf_case conf_order[];
extern const conf_case conf_workers[];
extern const conf_case conf_payloads[];
extern const conf_case conf_refusals[];
extern const conf_case conf_ack[];
extern const conf_case conf_groups[];
extern const conf_case conf_request[];
extern const conf_case conf_retained[];
extern const conf_case conf_replay[];
extern const conf_case conf_close[];
extern const conf_case conf_limits[];
extern const conf_case conf_crash[];
extern const conf_case conf_once[];
extern const conf_case conf_faults[];

#endif
