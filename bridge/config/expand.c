/* SPDX-License-Identifier: MIT */
#include "config/node.h"

#include "base/buf.h"
#include "base/text.h"
#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>

#define EXPANDED_MAX ((size_t)1024 * 1024)
#define NAME_MAX_LEN 128

typedef struct expansion {
    bridge_node *node;
    const char *path;
    bridge_findings *findings;
    pubsub__buf out;
    bool hidden;
} expansion;

static bool is_name(const char *text, size_t len)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789";
    return len > 0 && len < NAME_MAX_LEN && strspn(text, letters) >= len &&
           (*text < '0' || *text > '9');
}

static bool fail(expansion *job, const char *text)
{
    bridge_findings_add(job->findings, job->node->mark, job->path, "%s", text);
    return false;
}

static bool add(expansion *job, const char *text, size_t len)
{
    return pubsub__buf_add(&job->out, text, len) == PUBSUB__BUF_OK ||
           fail(job, "this value gets too long");
}

/* What is between the braces: NAME or NAME:-default. */
static bool add_variable(expansion *job, const char *text, size_t len)
{
    char name[NAME_MAX_LEN];
    const char *colon = memchr(text, ':', len);
    size_t name_len = colon != NULL ? (size_t)(colon - text) : len;
    size_t rest = len - name_len;
    if (!is_name(text, name_len) || (rest > 0 && (rest < 2 || colon[1] != '-'))) {
        return fail(job, "write ${NAME} or ${NAME:-default}; $$ stands for one dollar sign");
    }
    memcpy(name, text, name_len);
    name[name_len] = '\0';
    const char *value = getenv(name);
    if (rest > 0 && (value == NULL || value[0] == '\0')) {
        return add(job, colon + 2, rest - 2);
    }
    if (value == NULL) {
        bridge_findings_add(job->findings, job->node->mark, job->path,
                            "the environment has no %s: set it, or write ${%s:-default}", name,
                            name);
        return false;
    }
    if (!pubsub__utf8_check(value, strlen(value))) {
        bridge_findings_add(job->findings, job->node->mark, job->path,
                            "%s in the environment is not UTF-8", name);
        return false;
    }
    job->hidden = true;
    return add(job, value, strlen(value));
}

static bool add_piece(expansion *job, const char **at)
{
    const char *dollar = *at;
    if (dollar[1] == '$') {
        *at += 2;
        return add(job, "$", 1);
    }
    if (dollar[1] != '{') { /* "$dead/..." */
        *at += 1;
        return add(job, "$", 1);
    }
    const char *close = strchr(dollar, '}');
    if (close == NULL) {
        return fail(job, "${ has no closing brace; $$ stands for one dollar sign");
    }
    *at = close + 1;
    return add_variable(job, dollar + 2, (size_t)(close - dollar - 2));
}

bool bridge_expand(bridge_node *node, const char *path, bridge_findings *findings)
{
    const char *at = node->text;
    expansion job = {.node = node, .path = path, .findings = findings, .hidden = node->hidden};
    bool ok = true;
    if (strchr(at, '$') == NULL) {
        return true;
    }
    pubsub__buf_init(&job.out, EXPANDED_MAX);
    while (ok && *at != '\0') {
        size_t plain = strcspn(at, "$");
        ok = add(&job, at, plain);
        at += plain;
        if (ok && *at == '$') {
            ok = add_piece(&job, &at);
        }
    }
    const char *text = pubsub__buf_text(&job.out);
    if (ok && !bridge_node_set_text(node, text, strlen(text))) {
        ok = fail(&job, "out of memory");
    }
    node->hidden = job.hidden;
    if (job.out.data != NULL) {
        pubsub__wipe(job.out.data, job.out.len);
    }
    pubsub__buf_fini(&job.out);
    return ok;
}
