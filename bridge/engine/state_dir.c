/* SPDX-License-Identifier: MIT */
#include "engine/state_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

pubsub_err bridge_state_dir_make(const char *path, pubsub_error *err)
{
    char part[4096];
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof part) {
        return pubsub_error_set(err, PUBSUB_EINVAL, "the name of the state directory is %s",
                                len == 0 ? "empty" : "too long");
    }
    for (size_t i = 1; i <= len; i++) {
        if (path[i] != '/' && path[i] != '\0') {
            continue;
        }
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, 0700) != 0 && errno != EEXIST) {
            return pubsub_error_set_errno(err, PUBSUB_EIO, errno, "cannot make the directory %s",
                                          part);
        }
    }
    return PUBSUB_OK;
}

pubsub_err bridge_state_dir_take(const char *path, int *lock, pubsub_error *err)
{
    char name[4096 + 8];
    *lock = -1;
    pubsub_err rc = bridge_state_dir_make(path, err);
    if (rc != PUBSUB_OK) {
        return rc;
    }
    (void)snprintf(name, sizeof name, "%s/lock", path);
    int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        return pubsub_error_set_errno(err, PUBSUB_EIO, errno,
                                      "%s cannot be opened; the state directory has to be writable",
                                      name);
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        int sys = errno;
        (void)close(fd);
        return sys == EWOULDBLOCK
                   ? pubsub_error_set(err, PUBSUB_EBUSY,
                                      "the state directory %s is in use by another pubsub-bridge; "
                                      "stop that one or choose another `state`",
                                      path)
                   : pubsub_error_set_errno(err, PUBSUB_EIO, sys, "%s cannot be locked", name);
    }
    *lock = fd;
    return PUBSUB_OK;
}
