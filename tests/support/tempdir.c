/* SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* nftw */
#endif
#include "support/tempdir.h"

#include "support/cmocka.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DIRS_MAX = 64 };

static char *dirs[DIRS_MAX];
static size_t dir_count;
static pid_t owner;

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *where)
{
    (void)info;
    (void)where;
    if (type == FTW_D || type == FTW_DNR) {
        (void)chmod(path, 0700);
        return 0;
    }
    return type == FTW_DP ? rmdir(path) : unlink(path);
}

static int open_one(const char *path, const struct stat *info, int type, struct FTW *where)
{
    (void)info;
    (void)where;
    if (type == FTW_D || type == FTW_DNR) {
        (void)chmod(path, 0700);
    }
    return 0;
}

static void remove_tree(const char *path)
{
    (void)nftw(path, open_one, 16, FTW_PHYS);
    (void)nftw(path, remove_one, 16, FTW_PHYS | FTW_DEPTH);
}

void kit_dir_remove(const char *path)
{
    for (size_t i = 0; i < dir_count; i++) {
        if (strcmp(dirs[i], path) == 0) {
            remove_tree(dirs[i]);
            free(dirs[i]);
            dirs[i] = dirs[--dir_count];
            return;
        }
    }
}

static void remove_all(void)
{
    if (getpid() != owner) {
        return;
    }
    while (dir_count > 0) {
        remove_tree(dirs[--dir_count]);
        free(dirs[dir_count]);
    }
}

void kit_dir_new(char path[KIT_PATH_MAX])
{
    const char *base = getenv("TMPDIR");
    if (owner == 0) {
        owner = getpid();
        (void)atexit(remove_all);
    }
    assert_true(dir_count < DIRS_MAX);
    (void)snprintf(path, KIT_PATH_MAX, "%s/pubsub-test-XXXXXX",
                   base != NULL && base[0] == '/' ? base : "/tmp");
    if (mkdtemp(path) == NULL) {
        fail_msg("cannot make a directory like %s", path);
    }
    dirs[dir_count] = strdup(path);
    assert_non_null(dirs[dir_count]);
    dir_count++;
}
