/* SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* dladdr, secure_getenv */
#endif
#include "modules.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef PUBSUB_MODULE_DIR

#define SYMBOL "pubsub_adapter_v1"
#define NAME_MAX_BYTES 32u

/* Only what a scheme or an adapter may be called, so that a URL never leads to another directory. */
static bool is_name(const char *name)
{
    size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-");
    return len > 0 && len <= NAME_MAX_BYTES && name[len] == '\0';
}

/* dir has len bytes and no NUL behind them. */
static bool is_there(const char *dir, size_t len, const char *name, char *path, char *tried)
{
    if (len == 0) {
        return false;
    }
    int full = snprintf(path, PUBSUB__MODULE_PATH, "%.*s/%s.so", (int)len, dir, name);
    if (full < 0 || full >= PUBSUB__MODULE_PATH) {
        return false;
    }
    if (tried != NULL) {
        (void)snprintf(tried, PUBSUB__MODULE_PATH, "%.*s", (int)len, dir);
    }
    return access(path, F_OK) == 0;
}

/* Beside the library, wherever it was moved to: DIR/libpubsub.so and DIR/PUBSUB_MODULE_DIR. */
static bool is_beside(const char *library, const char *name, char *path, char *tried)
{
    const char *slash = strrchr(library, '/');
    char dir[PUBSUB__MODULE_PATH];
    if (slash == NULL) {
        return false;
    }
    int len =
        snprintf(dir, sizeof(dir), "%.*s/" PUBSUB_MODULE_DIR, (int)(slash - library), library);
    return len > 0 && (size_t)len < sizeof(dir) && is_there(dir, (size_t)len, name, path, tried);
}

bool pubsub__module_find(const char *name, char *path, char *tried)
{
    const char *dirs = secure_getenv("PUBSUB_ADAPTER_PATH"); /* not where it could gain rights */
    static const char in_the_library = 0;
    Dl_info self;
    bool found = false;
    if (tried != NULL) {
        tried[0] = '\0';
    }
    if (!is_name(name)) {
        return false;
    }
    for (const char *at = dirs; at != NULL && !found;) {
        size_t len = strcspn(at, ":");
        found = is_there(at, len, name, path, tried);
        at = at[len] == ':' ? at + len + 1 : NULL;
    }
    if (!found && dladdr(&in_the_library, &self) != 0 && self.dli_fname != NULL) {
        char real[PATH_MAX];
        found = is_beside(self.dli_fname, name, path, tried);
        if (!found && realpath(self.dli_fname, real) != NULL) { /* a link may lie elsewhere */
            found = is_beside(real, name, path, tried);
        }
    }
    return found;
}

/* dlerror begins with the file that is at fault. */
static pubsub_err cannot_open(const char *path, const char *package, pubsub_error *err)
{
    const char *why = dlerror();
    size_t len = strlen(path);
    bool missing = false;
    why = why != NULL ? why : "unknown reason";
    missing = strstr(why, "cannot open shared object file") != NULL && strncmp(why, path, len) != 0;
    if (missing) {
        return pubsub_error_set(err, PUBSUB_ENOTFOUND,
                                "%s needs a library that is not here%s%s%s: %s", path,
                                package != NULL ? " (package " : "", package != NULL ? package : "",
                                package != NULL ? " on Debian and Ubuntu)" : "", why);
    }
    if (strncmp(why, path, len) == 0 && why[len] == ':') {
        why += len + 1 + strspn(why + len + 1, " ");
    }
    return pubsub_error_set(err, PUBSUB_ENOTFOUND, "cannot load %s: %s", path, why);
}

pubsub_err pubsub__module_open(const char *path, const char *package, void **object,
                               const pubsub_adapter **out, pubsub_error *err)
{
    pubsub_err rc = PUBSUB_OK;
    *out = NULL;
    *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (*object == NULL) {
        return cannot_open(path, package, err);
    }
    const pubsub_adapter *table = dlsym(*object, SYMBOL);
    if (table == NULL) {
        rc = pubsub_error_set(
            err, PUBSUB_ENOTFOUND,
            "%s exports no adapter: `const pubsub_adapter " SYMBOL "` is missing, or hidden", path);
        goto out;
    }
    if (table->abi != PUBSUB_SPI_ABI) {
        rc = pubsub_error_set(err, PUBSUB_EVERSION,
                              "%s is built for adapter ABI %u, this is %u; build it again with the "
                              "headers of this version",
                              path, (unsigned)table->abi, PUBSUB_SPI_ABI);
        goto out;
    }
    *out = table;
out:
    if (rc != PUBSUB_OK) {
        pubsub__module_close(*object);
        *object = NULL;
    }
    return rc;
}

void pubsub__module_close(void *object)
{
    (void)dlclose(object);
}

#else /* the static library: a module would bring a second library with it */

bool pubsub__module_find(const char *name, char *path, char *tried)
{
    (void)name;
    (void)path;
    (void)tried;
    return false;
}

pubsub_err pubsub__module_open(const char *path, const char *package, void **object,
                               const pubsub_adapter **out, pubsub_error *err)
{
    (void)package;
    *object = NULL;
    *out = NULL;
    return pubsub_error_set(err, PUBSUB_ENOTSUP,
                            "cannot load %s: this program has the library built in; adapters are "
                            "loaded by the shared library only",
                            path);
}

void pubsub__module_close(void *object)
{
    (void)object;
}

#endif
