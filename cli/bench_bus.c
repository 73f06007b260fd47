/* SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* nftw */
#endif
#include "bench.h"

#include "base/alloc.h"
#include "base/buf.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Beside the default bus, so that both are on the same file system. */
static bool parent_dir(char *dir, size_t size)
{
    const char *state = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    int len = 0;
    if (state != NULL && state[0] == '/') {
        len = snprintf(dir, size, "%s/pubsub", state);
    } else if (home != NULL && home[0] == '/') {
        len = snprintf(dir, size, "%s/.local/state/pubsub", home);
    } else {
        len = snprintf(dir, size, "/tmp");
    }
    return len > 0 && (size_t)len < size;
}

static bool make_dirs(char *dir)
{
    for (char *at = strchr(dir + 1, '/'); at != NULL; at = strchr(at + 1, '/')) {
        *at = '\0';
        int failed = mkdir(dir, 0700);
        *at = '/';
        if (failed != 0 && errno != EEXIST) {
            return false;
        }
    }
    return mkdir(dir, 0700) == 0 || errno == EEXIST;
}

/* The path as a part of a URL. */
static void add_encoded(pubsub__buf *url, const char *path)
{
    for (const char *at = path; *at != '\0'; at++) {
        if (strchr("/-._~", *at) != NULL || (*at >= '0' && *at <= '9') ||
            (*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z')) {
            pubsub__buf_add_byte(url, *at);
        } else {
            pubsub__buf_printf(url, "%%%02X", (unsigned)(unsigned char)*at);
        }
    }
}

char *bench_bus_make(const char *url, char *dir, size_t dir_size, pubsub_error *err)
{
    static const char leaf[] = "/bench-XXXXXX";
    if (!parent_dir(dir, dir_size - sizeof(leaf)) || !make_dirs(dir)) {
        pubsub_error_set_errno(err, PUBSUB_ESYSTEM, errno, "cannot make directory %s", dir);
        return NULL;
    }
    memcpy(dir + strlen(dir), leaf, sizeof(leaf));
    if (mkdtemp(dir) == NULL) {
        pubsub_error_set_errno(err, PUBSUB_ESYSTEM, errno, "cannot make directory %s", dir);
        dir[0] = '\0';
        return NULL;
    }
    const char *query = strchr(url, '?');
    pubsub__buf made;
    pubsub__buf_init(&made, PUBSUB_OPTION_VALUE_MAX);
    pubsub__buf_add_text(&made, "local:");
    add_encoded(&made, dir);
    pubsub__buf_add_text(&made, query == NULL ? "" : query);
    char *text = pubsub__buf_take(&made);
    if (text == NULL) {
        pubsub_error_set(err, PUBSUB_ENOMEM, "out of memory");
        bench_bus_remove(dir);
    }
    return text;
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *at)
{
    (void)info;
    (void)kind;
    (void)at;
    return remove(path);
}

void bench_bus_remove(const char *dir)
{
    nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}
