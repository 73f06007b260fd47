/* SPDX-License-Identifier: MIT */
#include "connectors/exec/env.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "connectors/exec/child.h"
#include "connectors/models.h"
#include "json/slice.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum {
    TEXT_MAX = 1024 * 1024,
    VARIABLE_MAX = 64 * 1024,
    POSITIONS_MAX = 64 * 1024 * 1024,
};

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

/* A JSON object, model to stored position, that is being written. */
typedef struct positions {
    pubsub__buf text;
    char *const *models;
    bool ok;
} positions;

static void add_position(positions *all, pubsub_bytes model, pubsub_bytes stored)
{
    if (!all->ok || stored.len == 0) {
        return;
    }
    bool is_first = all->text.len == 1;
    all->ok = pubsub__buf_add_text(&all->text, is_first ? "" : ",") == PUBSUB__BUF_OK &&
              bridge_json_quote(model, &all->text) == PUBSUB__BUF_OK &&
              pubsub__buf_add_byte(&all->text, ':') == PUBSUB__BUF_OK &&
              bridge_json_quote(stored, &all->text) == PUBSUB__BUF_OK;
}

static bool is_pattern(const char *model)
{
    return strchr(model, '*') != NULL;
}

/* One that a pattern stands for; what has its own name in the list is there already. */
static void add_found(void *ctx, pubsub_bytes model, pubsub_bytes stored)
{
    positions *all = ctx;
    bool fits = false;
    for (size_t i = 0; all->models[i] != NULL; i++) {
        bool matches = bridge_model_fits(all->models[i], model);
        if (matches && !is_pattern(all->models[i])) {
            return;
        }
        fits = fits || matches;
    }
    if (fits) {
        add_position(all, model, stored);
    }
}

static bool knows_all(const pubsub_emitter *emitter)
{
    return emitter->size >= offsetof(pubsub_emitter, stored_all) + sizeof(emitter->stored_all) &&
           emitter->stored_all != NULL;
}

static bool add_positions(positions *all, pubsub_emitter *emitter, pubsub__buf *first)
{
    bool patterns = false;
    all->ok = pubsub__buf_add_byte(&all->text, '{') == PUBSUB__BUF_OK;
    for (size_t i = 0; all->models[i] != NULL && all->ok; i++) {
        if (is_pattern(all->models[i])) {
            patterns = true;
            continue;
        }
        pubsub_bytes stored = emitter->stored(emitter, pubsub_bytes_of(all->models[i]));
        add_position(all, pubsub_bytes_of(all->models[i]), stored);
        if (i == 0 && stored.len > 0 && memchr(stored.data, '\0', stored.len) == NULL) {
            all->ok = all->ok && pubsub__buf_add(first, stored.data, stored.len) == PUBSUB__BUF_OK;
        }
    }
    if (patterns && knows_all(emitter)) {
        emitter->stored_all(emitter, add_found, all);
    }
    return all->ok && pubsub__buf_add_byte(&all->text, '}') == PUBSUB__BUF_OK;
}

static bool add_names(pubsub__buf *names, char *const *models)
{
    bool ok = pubsub__buf_add_byte(names, '[') == PUBSUB__BUF_OK;
    for (size_t i = 0; models[i] != NULL && ok; i++) {
        ok = pubsub__buf_add_text(names, i > 0 ? "," : "") == PUBSUB__BUF_OK &&
             bridge_json_quote(pubsub_bytes_of(models[i]), names) == PUBSUB__BUF_OK;
    }
    return ok && pubsub__buf_add_byte(names, ']') == PUBSUB__BUF_OK;
}

static bool add_pair(exec_env *env, const char *name, const pubsub__buf *value)
{
    pubsub__buf text;
    pubsub__buf_init(&text, TEXT_MAX);
    bool ok = pubsub__buf_add_text(&text, name) == PUBSUB__BUF_OK &&
              pubsub__buf_add(&text, value->data, value->len) == PUBSUB__BUF_OK && add(env, &text);
    pubsub__buf_fini(&text);
    return ok;
}

/* Every model's stored position as a JSON object, and their names as a list. A system takes no variable of
 * more than 128 KiB: what is longer is in the file only. */
static bool add_models(exec_env *env, pubsub_emitter *emitter, char *const *models)
{
    positions all = {.models = models};
    pubsub__buf names;
    pubsub__buf one;
    pubsub__buf file;
    pubsub__buf_init(&all.text, POSITIONS_MAX);
    pubsub__buf_init(&names, POSITIONS_MAX);
    pubsub__buf_init(&one, PUBSUB_POSITION_BYTES_MAX);
    pubsub__buf_init(&file, TEXT_MAX);
    bool ok = pubsub__buf_printf(&file, "/dev/fd/%d", EXEC_GIVEN_FD) == PUBSUB__BUF_OK &&
              add_names(&names, models) && add_positions(&all, emitter, &one) &&
              add_pair(env, "PUBSUB_POSITION=", &one) &&
              add_pair(env, "PUBSUB_POSITIONS_FILE=", &file) &&
              (names.len > VARIABLE_MAX || add_pair(env, "PUBSUB_MODELS=", &names)) &&
              (all.text.len > VARIABLE_MAX || add_pair(env, "PUBSUB_POSITIONS=", &all.text)) &&
              pubsub__buf_add_text(&env->given, "{\"models\":") == PUBSUB__BUF_OK &&
              pubsub__buf_add(&env->given, names.data, names.len) == PUBSUB__BUF_OK &&
              pubsub__buf_add_text(&env->given, ",\"positions\":") == PUBSUB__BUF_OK &&
              pubsub__buf_add(&env->given, all.text.data, all.text.len) == PUBSUB__BUF_OK &&
              pubsub__buf_add_text(&env->given, "}\n") == PUBSUB__BUF_OK;
    pubsub__buf_fini(&names);
    pubsub__buf_fini(&all.text);
    pubsub__buf_fini(&one);
    pubsub__buf_fini(&file);
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
    pubsub__buf_init(&env->given, 3 * (size_t)POSITIONS_MAX);
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
    pubsub__buf_fini(&env->given);
}
