/* SPDX-License-Identifier: MIT */
#include <pubsub/connector.h>

#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

/* A connector from a shared object. What it says of itself is checked before anything of it is called:
 * it may be of another version, or no connector at all. */

/* Everything up to `fini` must be there; `check` may be missing in an object that is older. */
#define NEEDED offsetof(pubsub_connector, check)

static pubsub_err check_table(const pubsub_connector *table, const char *path, pubsub_error *err)
{
    if (table->abi != PUBSUB_CONNECTOR_ABI) {
        return pubsub_error_set(err, PUBSUB_EVERSION,
                                "%s is built for connector ABI %u, this is %u; build it again with "
                                "the headers of this version",
                                path, (unsigned)table->abi, PUBSUB_CONNECTOR_ABI);
    }
    if (table->size < NEEDED) {
        return pubsub_error_set(
            err, PUBSUB_EVERSION,
            "%s: its table of functions has %zu bytes, at least %zu are needed; "
            "set .size to sizeof(pubsub_connector)",
            path, table->size, NEEDED);
    }
    if (table->name == NULL || table->name[0] == '\0' || table->summary == NULL ||
        table->initialize == NULL || table->start == NULL || table->resume == NULL ||
        table->stop == NULL || table->fini == NULL) {
        return pubsub_error_set(err, PUBSUB_EVERSION,
                                "%s: its table of functions is not complete (name, summary, "
                                "initialize, start, resume, stop and fini are needed)",
                                path);
    }
    if ((table->flags & PUBSUB_CONNECTOR_SETTLES) != 0 && table->settled == NULL) {
        return pubsub_error_set(err, PUBSUB_EVERSION,
                                "%s: PUBSUB_CONNECTOR_SETTLES is set and `settled` is missing",
                                path);
    }
    if (table->setting_count > 0 && table->settings == NULL) {
        return pubsub_error_set(err, PUBSUB_EVERSION, "%s: its settings are missing", path);
    }
    return PUBSUB_OK;
}

pubsub_err pubsub_connector_load(const char *path, const pubsub_connector **out, pubsub_error *err)
{
    void *object = NULL;
    const pubsub_connector *table = NULL;
    pubsub_err code = PUBSUB_OK;
    if (path == NULL || out == NULL) {
        return pubsub_error_set(err, PUBSUB_EINVAL, "no file name or no place for the result");
    }
    *out = NULL;
    object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (object == NULL) {
        const char *why = dlerror();
        return pubsub_error_set(err, PUBSUB_ENOTFOUND, "cannot load %s: %s", path,
                                why != NULL ? why : "unknown reason");
    }
    table = dlsym(object, "pubsub_connector_v1");
    if (table == NULL) {
        (void)dlclose(object);
        return pubsub_error_set(err, PUBSUB_ENOTFOUND,
                                "%s exports no connector: `const pubsub_connector "
                                "pubsub_connector_v1` is missing, or hidden",
                                path);
    }
    code = check_table(table, path, err);
    if (code == PUBSUB_OK) {
        *out = table;
    } else {
        (void)dlclose(object);
    }
    return code;
}
