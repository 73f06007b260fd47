/* SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "local/internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"

#define RESERVE_MIN (UINT64_C(1) << 20)
#define RESERVE_MAX (UINT64_C(8) << 20)
#define ZERO_PIECE (UINT64_C(64) << 10)
#define ZERO_AHEAD (ZERO_PIECE * 4)

int pubsub__local_flock(int fd, int operation)
{
    int rc;
    do {
        rc = flock(fd, operation);
    } while (rc < 0 && errno == EINTR);
    return rc < 0 ? errno : 0;
}

int pubsub__local_pwrite(int fd, const void *data, size_t len, uint64_t at)
{
    const uint8_t *p = data;
    while (len > 0) {
        ssize_t n = pwrite(fd, p, len, (off_t)at);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n < 0 ? errno : EIO;
        }
        p += n;
        len -= (size_t)n;
        at += (uint64_t)n;
    }
    return 0;
}

int pubsub__local_pread(int fd, void *data, size_t len, uint64_t at, size_t *got)
{
    uint8_t *p = data;
    *got = 0;
    while (*got < len) {
        ssize_t n = pread(fd, p + *got, len - *got, (off_t)(at + *got));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return errno;
        }
        if (n == 0) {
            break;
        }
        *got += (size_t)n;
    }
    return 0;
}

int pubsub__local_fdatasync(int fd)
{
    int rc = pubsub__local_hooks.fdatasync_fn != NULL ? pubsub__local_hooks.fdatasync_fn(fd)
                                                      : fdatasync(fd);
    return rc < 0 ? errno : 0;
}

uint64_t pubsub__local_mono_ns(void)
{
    return pubsub__clock_mono_ns() + pubsub__local_hooks.mono_offset_ns;
}

uint64_t pubsub__local_wall_ns(void)
{
    return pubsub__clock_wall_ns() + pubsub__local_hooks.wall_offset_ns;
}

int pubsub__local_create(const local_store *store, int dir_fd, const char *name, int flags)
{
    int fd =
        openat(dir_fd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | flags, store->file_mode);
    /* The umask may have taken bits that the directory's mode grants to others. */
    struct stat st;
    if (fd >= 0 && fstat(fd, &st) == 0 && st.st_uid == geteuid() &&
        (st.st_mode & 0777) != store->file_mode) {
        (void)fchmod(fd, store->file_mode);
    }
    return fd;
}

int pubsub__local_may_grow(uint64_t end)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
        end > limit.rlim_cur) {
        return EFBIG;
    }
    return 0;
}

static int try_allocate(int fd, uint64_t from, uint64_t to)
{
    int rc;
    do {
        rc = fallocate(fd, 0, (off_t)from, (off_t)(to - from));
    } while (rc < 0 && errno == EINTR);
    return rc < 0 ? errno : 0;
}

int pubsub__local_reserve(int fd, uint64_t end, uint64_t limit, uint64_t *alloc)
{
    if (end <= *alloc) {
        return 0;
    }
    struct stat st;
    if (fstat(fd, &st) < 0) {
        return errno;
    }
    uint64_t size = (uint64_t)st.st_size;
    if (end <= size) { /* another process was here */
        *alloc = size;
        return 0;
    }
    uint64_t step = size < RESERVE_MIN ? RESERVE_MIN : size > RESERVE_MAX ? RESERVE_MAX : size;
    uint64_t want = size + step > end ? size + step : end;
    if (want > limit) {
        want = limit;
    }
    int rc = pubsub__local_may_grow(want) != 0 ? EFBIG : try_allocate(fd, size, want);
    if (rc != 0 && want > end) { /* the large step did not fit; the needed bytes may */
        want = end;
        rc = try_allocate(fd, size, want);
    }
    if (rc == EOPNOTSUPP || rc == ENOSYS) {
        return 0; /* the write itself will tell */
    }
    if (rc == 0) {
        *alloc = want;
    }
    return rc;
}

void pubsub__local_zero_ahead(int fd, uint64_t at, uint64_t end, uint64_t limit, uint64_t *zeroed)
{
    static uint8_t zeros[ZERO_PIECE]; /* never written to: not constant, so that no file has it */
    uint64_t from = at > *zeroed ? at : *zeroed;
    uint64_t to = end + ZERO_AHEAD < limit ? end + ZERO_AHEAD : limit;
    /* What others have reserved may be more than this process may write: it would be ended by a signal. */
    if (end <= *zeroed || pubsub__local_may_grow(to) != 0) {
        return;
    }
    while (from < to) {
        size_t piece = to - from < ZERO_PIECE ? (size_t)(to - from) : ZERO_PIECE;
        if (pubsub__local_pwrite(fd, zeros, piece, from) != 0) {
            break; /* it is only slower without */
        }
        from += piece;
    }
    *zeroed = to;
}

int pubsub__local_replace(const local_store *store, const char *name, const char *tmp,
                          const void *data, size_t len)
{
    int fd = pubsub__local_create(store, store->dir_fd, tmp, O_TRUNC);
    if (fd < 0) {
        return errno;
    }
    int rc = pubsub__local_may_grow(len);
    if (rc == 0) {
        rc = pubsub__local_pwrite(fd, data, len, 0);
    }
    if (rc == 0 && fsync(fd) < 0) {
        rc = errno;
    }
    close(fd);
    if (rc == 0 && renameat(store->dir_fd, tmp, store->dir_fd, name) < 0) {
        rc = errno;
    }
    if (rc != 0) {
        unlinkat(store->dir_fd, tmp, 0);
    } else if (fsync(store->dir_fd) < 0 && errno != EINVAL) {
        rc = errno;
    }
    return rc;
}

void pubsub__local_seg_name(char buf[32], uint64_t base)
{
    snprintf(buf, 32, "%016" PRIx64 ".seg", base);
}

static bool parse_seg_name(const char *name, uint64_t *base)
{
    if (strlen(name) != 20 || strcmp(name + 16, ".seg") != 0) {
        return false;
    }
    uint64_t value = 0;
    for (int i = 0; i < 16; i++) {
        char c = name[i];
        uint64_t digit;
        if (c >= '0' && c <= '9') {
            digit = (uint64_t)(c - '0');
        } else if (c >= 'a' && c <= 'f') {
            digit = (uint64_t)(c - 'a') + 10;
        } else {
            return false;
        }
        value = value << 4 | digit;
    }
    *base = value;
    return true;
}

static int compare_bases(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

int pubsub__local_list(int dir_fd, uint64_t **out, size_t *count)
{
    *out = NULL;
    *count = 0;
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return errno;
    }
    DIR *dir = fdopendir(fd);
    if (dir == NULL) {
        int rc = errno;
        close(fd);
        return rc;
    }
    int rc = 0;
    size_t cap = 0;
    struct dirent *entry;
    while (rc == 0 && (entry = readdir(dir)) != NULL) {
        uint64_t base;
        if (!parse_seg_name(entry->d_name, &base)) {
            continue;
        }
        if (*count == cap) {
            cap = cap == 0 ? 64 : cap * 2;
            uint64_t *grown = pubsub__realloc(*out, cap * sizeof(**out));
            if (grown == NULL) {
                rc = ENOMEM;
                break;
            }
            *out = grown;
        }
        (*out)[(*count)++] = base;
    }
    closedir(dir);
    if (rc != 0) {
        pubsub__free(*out);
        *out = NULL;
        *count = 0;
    } else if (*count > 1) {
        qsort(*out, *count, sizeof(**out), compare_bases);
    }
    return rc;
}
