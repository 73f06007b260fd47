/* SPDX-License-Identifier: MIT */
#include "conformance/conf_report.h"

#include <inttypes.h>
#include <stdlib.h>

static FILE *report;
static FILE *json;

static const char *const results[] = {"FAIL", "pass", "refused", "skipped"};
static const char *const worth[] = {"none", "received", "written", "durable", "replicated"};

/* ---- JSON ---------------------------------------------------------------------------------- */

static void put_text(const char *key, const char *text)
{
    (void)fprintf(json, ",\"%s\":\"", key);
    for (; *text != '\0'; text++) {
        unsigned char byte = (unsigned char)*text;
        if (byte == '"' || byte == '\\') {
            (void)fprintf(json, "\\%c", byte);
        } else if (byte < ' ') {
            (void)fprintf(json, "\\u%04x", (unsigned)byte);
        } else {
            (void)fputc(byte, json);
        }
    }
    (void)fputc('"', json);
}

static void begin(const char *type)
{
    (void)fprintf(json, "{\"type\":\"%s\"", type);
}

static void end(void)
{
    (void)fputs("}\n", json);
    (void)fflush(json);
}

void conf_report_json(FILE *out, const char *adapter, const char *url)
{
    json = out;
    begin("adapter");
    put_text("adapter", adapter);
    put_text("url", url);
    end();
}

static void json_case(const char *suite, const char *name, const char *mode, conf_result result,
                      const char *why)
{
    begin("case");
    put_text("suite", suite);
    put_text("case", name);
    put_text("mode", mode);
    put_text("result", result == CONF_FAILED ? "failed" : results[result]);
    if (why[0] != '\0') {
        put_text("why", why);
    }
    end();
}

static void json_feature(pubsub_feature feature, const pubsub_cap *cap, const char *verdict,
                         unsigned cases)
{
    begin("feature");
    put_text("feature", pubsub_feature_name(feature));
    put_text("support", pubsub_support_name(cap->support));
    put_text("proof", verdict);
    (void)fprintf(json, ",\"cases\":%u", cases);
    put_text("note", cap->note);
    end();
}

/* ---- lines of words ------------------------------------------------------------------------ */

void conf_report_open(const char *adapter)
{
    const char *dir = getenv("PUBSUB_CONFORMANCE_REPORT");
    char path[4200];
    if (dir == NULL || dir[0] == '\0') {
        return;
    }
    (void)snprintf(path, sizeof(path), "%s/%s.tsv", dir, adapter);
    report = fopen(path, "we");
    if (report == NULL) {
        perror(path);
        return;
    }
    (void)fprintf(report, "adapter\t%s\n", adapter);
}

/* Each line is out before the next case runs, and no child process writes it a second time. */
static void end_line(void)
{
    (void)fflush(report);
}

void conf_report_case(const char *suite, const char *name, const char *mode, conf_result result,
                      const char *why)
{
    if (json != NULL) {
        json_case(suite, name, mode, result, why);
    }
    if (report != NULL) {
        (void)fprintf(report, "case\t%s.%s\t%s\t%s\t%s\n", suite, name, mode, results[result], why);
        end_line();
    }
}

void conf_report_feature(pubsub_feature feature, const pubsub_cap *cap, const char *verdict,
                         unsigned cases)
{
    if (json != NULL) {
        json_feature(feature, cap, verdict, cases);
    }
    if (report != NULL) {
        (void)fprintf(report, "feature\t%s\t%s\t%s\t%u\t%s\n", pubsub_feature_name(feature),
                      pubsub_support_name(cap->support), verdict, cases, cap->note);
        end_line();
    }
}

void conf_report_caps(const pubsub_caps *caps)
{
    if (report != NULL) {
        (void)fprintf(report, "confirm\t%s\t%s\n", caps->confirm < 5 ? worth[caps->confirm] : "?",
                      caps->confirm_note != NULL ? caps->confirm_note : "");
        (void)fprintf(report, "max\t%" PRIu64 "\t%" PRIu32 "\n", caps->max_payload,
                      caps->max_topic);
        end_line();
    }
}

void conf_report_close(void)
{
    if (report != NULL) {
        (void)fputs("end\n", report);
        (void)fclose(report);
        report = NULL;
    }
}
