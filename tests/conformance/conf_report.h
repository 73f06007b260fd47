/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_TESTS_CONF_REPORT_H
#define PUBSUB_TESTS_CONF_REPORT_H

/* What a program of the suite found, as lines of words between tabs, for scripts/conformance-report:
 * <adapter>.tsv in the directory that PUBSUB_CONFORMANCE_REPORT names. Without it, nothing. And as JSON where
 * somebody asked for it. */

#include <pubsub/caps.h>

#include <stdio.h>

typedef enum conf_result {
    CONF_FAILED = 0, /* also one that ended the program */
    CONF_PASSED = 1,
    CONF_REFUSED = 2, /* the adapter refuses what the case needs, as it declared */
    CONF_SKIPPED = 3
} conf_result;

void conf_report_open(const char *adapter);
/* Besides, or instead: objects of JSON, one in a line, to a stream that stays the caller's. */
void conf_report_json(FILE *out, const char *adapter, const char *url);
void conf_report_case(const char *suite, const char *name, const char *mode, conf_result result,
                      const char *why);
void conf_report_feature(pubsub_feature feature, const pubsub_cap *cap, const char *verdict,
                         unsigned cases);
void conf_report_caps(const pubsub_caps *caps);
/* Without this last line the run counts as broken off. */
void conf_report_close(void);

#endif
