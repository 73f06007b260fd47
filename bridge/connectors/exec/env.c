/* SPDX-License-Identifier: MIT */
#include "connectors/exec/env.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "json/slice.h"

#include <stdlib.h>
#include <string.h>

enum { TEXT_MAX = 1024 * 1024 };

static bool add(exec_env *env, pubsub__buf *text)
{
    char *made = pubsub__buf_take(text);
    if (made == NULL || env->count == EXEC_ENV_MAX) {
        pubsub__free(made);
        return false;
    }
    env->list[env->count++] = made;
    return true;
}

/* Every model's stored position as a JSON object, and their names as a list. */
static bool add_models(exec_env *env, pubsub_emitter *emitter, char *const *models)
{
    pubsub__buf names;
    pubsub__buf positions;
    pubsub__buf one;
    bool ok = true;
    pubsub__buf_init(&names, TEXT_MAX);
    pubsub__buf_init(&positions, TEXT_MAX);
    pubsub__buf_init(&one, TEXT_MAX);
    ok = pubsub__buf_add_text(&names, "PUBSUB_MODELS=[") == PUBSUB__BUF_OK &&
         pubsub__buf_add_text(&positions, "PUBSUB_POSITIONS={") == PUBSUB__BUF_OK &&
         pubsub__buf_add_text(&one, "PUBSUB_POSITION=") == PUBSUB__BUF_OK;
    for (size_t i = 0; models[i] != NULL && ok; i++) {
        pubsub_bytes model = pubsub_bytes_of(models[i]);
        pubsub_bytes stored = emitter->stored(emitter, model);
        ok = pubsub__buf_add_text(&names, i > 0 ? "," : "") == PUBSUB__BUF_OK &&
             bridge_json_quote(model, &names) == PUBSUB__BUF_OK;
        if (ok && stored.len > 0) {
            bool is_first = positions.data[positions.len - 1] == '{';
            ok = pubsub__buf_add_text(&positions, is_first ? "" : ",") == PUBSUB__BUF_OK &&
                 bridge_json_quote(model, &positions) == PUBSUB__BUF_OK &&
                 pubsub__buf_add_byte(&positions, ':') == PUBSUB__BUF_OK &&
                 bridge_json_quote(stored, &positions) == PUBSUB__BUF_OK;
            if (ok && i == 0 && memchr(stored.data, '\0', stored.len) == NULL) {
                ok = pubsub__buf_add(&one, stored.data, stored.len) == PUBSUB__BUF_OK;
            }
        }
    }
    ok = ok && pubsub__buf_add_byte(&names, ']') == PUBSUB__BUF_OK &&
         pubsub__buf_add_byte(&positions, '}') == PUBSUB__BUF_OK;
    ok = ok && add(env, &names) && add(env, &positions) && add(env, &one);
    pubsub__buf_fini(&names);
    pubsub__buf_fini(&positions);
    pubsub__buf_fini(&one);
    return ok;
}

/* This process's environment may hold the secrets of other sources: only what programs need to run is
 * handed on. */
bool exec_env_fill(exec_env *env, pubsub_emitter *emitter, char *const *models, char *const *more)
{
    static const char *const kept[] = {"PATH",  "HOME",   "USER",           "LOGNAME",
                                       "SHELL", "LANG",   "LC_ALL",         "LC_CTYPE",
                                       "TZ",    "TMPDIR", "LD_LIBRARY_PATH"};
    bool ok = true;
    memset(env, 0, sizeof(*env));
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]) && ok; i++) {
        const char *value = getenv(kept[i]);
        pubsub__buf text;
        pubsub__buf_init(&text, TEXT_MAX);
        if (value != NULL) {
            ok = pubsub__buf_printf(&text, "%s=%s", kept[i], value) == PUBSUB__BUF_OK &&
                 add(env, &text);
        }
        pubsub__buf_fini(&text);
    }
    ok = ok && add_models(env, emitter, models);
    for (size_t i = 0; ok && more[i] != NULL; i++) {
        pubsub__buf text;
        pubsub__buf_init(&text, TEXT_MAX);
        ok = pubsub__buf_add_text(&text, more[i]) == PUBSUB__BUF_OK && add(env, &text);
        pubsub__buf_fini(&text);
    }
    return ok;
}

void exec_env_fini(exec_env *env)
{
    for (size_t i = 0; i < env->count; i++) {
        pubsub__free(env->list[i]);
    }
    env->count = 0;
}
