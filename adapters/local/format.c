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
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"

/* FORMAT is text, so that a person can tell what a directory is:
 *
 *   pubsub-local 1
 *   uuid 0123456789abcdef0123456789abcdef
 *   max_bytes 1073741824
 *   max_age_s 604800
 *   max_record 16777216
 *   segment_bytes 67108864
 *   full drop
 *   end
 *
 * Lines with unknown words are skipped: a later version adds words without becoming unreadable. */
#define FORMAT_WORD "pubsub-local "
#define FORMAT_VERSION 1u
#define FORMAT_CAP 4096u

pubsub_err pubsub__local_default_dir(const char *name, char *buf, size_t cap, pubsub_error *err)
{
    const char *bus = getenv("PUBSUB_BUS");
    const char *state = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    int len;
    if (name != NULL && (name[0] == '.' || name[0] == '\0' || strchr(name, '/') != NULL)) {
        return pubsub__local_fail(err, PUBSUB_EINVAL, "'%.100s' is not the name of a bus", name);
    }
    if (name == NULL && bus != NULL && bus[0] != '\0') {
        len = snprintf(buf, cap, "%s", bus);
    } else if (state != NULL && state[0] == '/') {
        len = snprintf(buf, cap, "%s/pubsub/%s", state, name == NULL ? "default" : name);
    } else if (home != NULL && home[0] == '/') {
        len =
            snprintf(buf, cap, "%s/.local/state/pubsub/%s", home, name == NULL ? "default" : name);
    } else {
        return pubsub__local_fail(
            err, PUBSUB_EINVAL,
            "no directory for the bus: set HOME or PUBSUB_BUS, or name one as "
            "local:/path/to/directory");
    }
    if (len < 0 || (size_t)len >= cap) {
        return pubsub__local_fail(err, PUBSUB_EINVAL, "the path of the bus is too long");
    }
    return PUBSUB_OK;
}

pubsub_err pubsub__local_make_dirs(const char *path, pubsub_error *err)
{
    char *copy = pubsub__strdup(path);
    if (copy == NULL) {
        return pubsub__local_fail(err, PUBSUB_ENOMEM, "no memory for a path");
    }
    int rc = 0;
    for (char *p = copy + 1; rc == 0; p++) {
        if (*p != '/' && *p != '\0') {
            continue;
        }
        char end = *p;
        *p = '\0';
        if (mkdir(copy, 0700) < 0 && errno != EEXIST) {
            /* On the way down, a directory that cannot be written may exist all the same. */
            struct stat st;
            int saved = errno;
            rc = stat(copy, &st) == 0 && S_ISDIR(st.st_mode) ? 0 : saved;
        }
        *p = end;
        if (end == '\0') {
            break;
        }
    }
    pubsub__free(copy);
    if (rc == ENOTDIR || rc == EEXIST) {
        return pubsub__local_fail(err, PUBSUB_EINVAL, "%s is not a directory", path);
    }
    return rc == 0 ? PUBSUB_OK : pubsub__local_fail_errno(path, "cannot create the bus", rc, err);
}

static bool is_ours(const char *name)
{
    static const char *const known[] = {
        ".",   "..",     "FORMAT",     "FORMAT.tmp", "append.lock", "sync.lock", "alive.lock",
        "ctl", "epochs", "epochs.tmp", "log",        "ret",         "groups",    "lost+found"};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcmp(name, known[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* Whether the log has segments, so that stored messages would be lost by starting anew. */
static bool has_log(const local_store *store)
{
    int fd = openat(store->dir_fd, "log", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (dir == NULL) {
        if (fd >= 0) {
            close(fd);
        }
        return false;
    }
    bool found = false;
    for (struct dirent *entry = readdir(dir); entry != NULL && !found; entry = readdir(dir)) {
        size_t len = strlen(entry->d_name);
        found = len > 4 && strcmp(entry->d_name + len - 4, ".seg") == 0;
    }
    closedir(dir);
    return found;
}

pubsub_err pubsub__local_check_dir(local_store *store, bool *is_bus, pubsub_error *err)
{
    struct stat st;
    *is_bus = fstatat(store->dir_fd, "FORMAT", &st, AT_SYMLINK_NOFOLLOW) == 0;
    if (*is_bus) {
        return PUBSUB_OK;
    }
    if (has_log(store)) {
        return pubsub__local_fail(
            err, PUBSUB_ECORRUPT,
            "%s has messages but its file FORMAT is missing; restore it from a "
            "backup, or name another directory",
            store->dir);
    }
    int fd = openat(store->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (dir == NULL) {
        int saved = errno;
        if (fd >= 0) {
            close(fd);
        }
        return pubsub__local_fail_errno(store->dir, "cannot list the bus", saved, err);
    }
    pubsub_err rc = PUBSUB_OK;
    struct dirent *entry;
    while (rc == PUBSUB_OK && (entry = readdir(dir)) != NULL) {
        if (!is_ours(entry->d_name)) {
            rc =
                pubsub__local_fail(err, PUBSUB_EINVAL,
                                   "%s is not a bus and not empty (it has \"%.40s\"); name another "
                                   "directory",
                                   store->dir, entry->d_name);
        }
    }
    closedir(dir);
    return rc;
}

static bool parse_u64(const char *text, uint64_t *out)
{
    char *end;
    if (text[0] < '0' || text[0] > '9') {
        return false;
    }
    errno = 0;
    *out = strtoull(text, &end, 10);
    return errno == 0 && *end == '\0';
}

static bool parse_uuid(const char *text, uint8_t out[16])
{
    if (strlen(text) != 32) {
        return false;
    }
    for (int i = 0; i < 32; i++) {
        char c = text[i];
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (digit < 0) {
            return false;
        }
        out[i / 2] = (uint8_t)((i % 2) == 0 ? digit << 4 : (out[i / 2] | digit));
    }
    return true;
}

enum {
    HAVE_UUID = 1,
    HAVE_BYTES = 2,
    HAVE_AGE = 4,
    HAVE_RECORD = 8,
    HAVE_SEGMENT = 16,
    HAVE_FULL = 32,
    HAVE_END = 64,
    HAVE_ALL = 127
};

/* One line "word value". Returns its HAVE_ bit, 0 for unknown words, -1 for a malformed value. */
static int format_line(local_store *store, char *line, local_settings *out)
{
    char *value = strchr(line, ' ');
    uint64_t number = 0;
    if (strcmp(line, "end") == 0) {
        return HAVE_END;
    }
    if (value == NULL) {
        return 0;
    }
    *value++ = '\0';
    bool is_number = parse_u64(value, &number);
    if (strcmp(line, "uuid") == 0) {
        return parse_uuid(value, store->uuid) ? HAVE_UUID : -1;
    }
    if (strcmp(line, "max_bytes") == 0) {
        out->max_bytes = number;
        return is_number ? HAVE_BYTES : -1;
    }
    if (strcmp(line, "max_age_s") == 0) {
        bool forever = strcmp(value, "-1") == 0;
        out->max_age_s = forever ? -1 : (int64_t)(number & INT64_MAX);
        return is_number || forever ? HAVE_AGE : -1;
    }
    if (strcmp(line, "max_record") == 0) {
        out->max_record = number;
        return is_number ? HAVE_RECORD : -1;
    }
    if (strcmp(line, "segment_bytes") == 0) {
        out->segment_bytes = number;
        bool ok =
            is_number && number >= SEG_MIN_BYTES && number <= SEG_MAX_BYTES && number % 8 == 0;
        return ok ? HAVE_SEGMENT : -1;
    }
    if (strcmp(line, "full") == 0) {
        bool reject = strcmp(value, "reject") == 0;
        out->full = reject ? LOCAL_FULL_REJECT : LOCAL_FULL_DROP;
        return reject || strcmp(value, "drop") == 0 ? HAVE_FULL : -1;
    }
    return 0;
}

static pubsub_err format_parse(local_store *store, char *text, local_settings *out,
                               pubsub_error *err)
{
    size_t word = strlen(FORMAT_WORD);
    if (strncmp(text, FORMAT_WORD, word) != 0) {
        return pubsub__local_fail(err, text[0] == '\0' ? PUBSUB_ECORRUPT : PUBSUB_EINVAL,
                                  "%s/FORMAT does not describe a bus; name another directory",
                                  store->dir);
    }
    int have = 0;
    char *next = NULL;
    for (char *line = text; line != NULL && *line != '\0'; line = next) {
        next = strchr(line, '\n');
        if (next != NULL) {
            *next++ = '\0';
        }
        if (line == text) {
            uint64_t version;
            if (!parse_u64(line + word, &version) || version == 0) {
                have = -1;
                break;
            }
            if (version > FORMAT_VERSION) {
                return pubsub__local_fail(err, PUBSUB_EVERSION,
                                          "%s has format %" PRIu64
                                          ", this program reads up to %u: use a newer one",
                                          store->dir, version, FORMAT_VERSION);
            }
            continue;
        }
        int bit = format_line(store, line, out);
        have = bit < 0 || have < 0 ? -1 : have | bit;
    }
    if (have != HAVE_ALL) {
        return pubsub__local_fail(err, PUBSUB_ECORRUPT,
                                  "%s/FORMAT is damaged; restore it from a backup", store->dir);
    }
    return PUBSUB_OK;
}

pubsub_err pubsub__local_format_load(local_store *store, local_settings *out, pubsub_error *err)
{
    char text[FORMAT_CAP];
    size_t got = 0;
    int fd = openat(store->dir_fd, "FORMAT", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        return pubsub__local_fail_errno(store->dir, "cannot open FORMAT", errno, err);
    }
    int rc = pubsub__local_pread(fd, text, sizeof(text) - 1, 0, &got);
    close(fd);
    if (rc != 0) {
        return pubsub__local_fail_errno(store->dir, "cannot read FORMAT", rc, err);
    }
    text[got] = '\0';
    pubsub_err code = format_parse(store, text, out, err);
    if (code == PUBSUB_OK) {
        for (int i = 0; i < 16; i++) {
            snprintf(store->uuid_text + 2 * i, 3, "%02x", store->uuid[i]);
        }
    }
    return code;
}

pubsub_err pubsub__local_format_save(const local_store *store, const local_settings *settings,
                                     pubsub_error *err)
{
    char uuid[33];
    for (int i = 0; i < 16; i++) {
        snprintf(uuid + 2 * i, 3, "%02x", store->uuid[i]);
    }
    char text[FORMAT_CAP];
    int len = snprintf(
        text, sizeof(text),
        FORMAT_WORD "%u\nuuid %s\nmax_bytes %" PRIu64 "\nmax_age_s %" PRId64 "\nmax_record %" PRIu64
                    "\nsegment_bytes %" PRIu64 "\nfull %s\nend\n",
        FORMAT_VERSION, uuid, settings->max_bytes, settings->max_age_s, settings->max_record,
        settings->segment_bytes, settings->full == LOCAL_FULL_REJECT ? "reject" : "drop");
    int rc = pubsub__local_replace(store, "FORMAT", "FORMAT.tmp", text, (size_t)len);
    return rc == 0 ? PUBSUB_OK
                   : pubsub__local_fail_errno(store->dir, "cannot write FORMAT", rc, err);
}

static uint64_t default_segment(uint64_t max_bytes)
{
    uint64_t size = max_bytes / 8 & ~(uint64_t)4095;
    return size > LOCAL_DEFAULT_SEGMENT ? LOCAL_DEFAULT_SEGMENT
           : size < (1u << 20)          ? 1u << 20
                                        : size;
}

pubsub_err pubsub__local_settings_apply(const local_store *store, const local_options *options,
                                        local_settings *settings, bool *changed, pubsub_error *err)
{
    local_settings now = *settings;
    if (now.max_bytes == 0) { /* a new bus */
        now.max_bytes = LOCAL_DEFAULT_MAX_BYTES;
        now.max_age_s = LOCAL_DEFAULT_MAX_AGE_S;
        now.max_record = LOCAL_DEFAULT_MAX_RECORD;
        now.segment_bytes = LOCAL_DEFAULT_SEGMENT;
        now.full = LOCAL_FULL_DROP;
    }
    if (options->max_bytes != 0 && options->max_bytes != now.max_bytes) {
        now.max_bytes = options->max_bytes;
        now.segment_bytes = default_segment(now.max_bytes);
    }
    if (options->segment_bytes != 0) {
        now.segment_bytes = options->segment_bytes & ~(uint64_t)7;
    }
    now.max_age_s = options->max_age_s != 0 ? options->max_age_s : now.max_age_s;
    now.max_record = options->max_record != 0 ? options->max_record : now.max_record;
    now.full = options->full != LOCAL_FULL_KEEP ? (uint64_t)options->full : now.full;
    if (now.max_bytes < LOCAL_MIN_MAX_BYTES || now.max_bytes > (uint64_t)INT64_MAX / 4) {
        return pubsub__local_fail(err, PUBSUB_EOPTION, "max_bytes of %s is not 4M or more",
                                  store->dir);
    }
    if (now.segment_bytes < SEG_MIN_BYTES || now.segment_bytes > SEG_MAX_BYTES ||
        now.segment_bytes > now.max_bytes / 2) {
        return pubsub__local_fail(err, PUBSUB_EOPTION,
                                  "segment_bytes of %s is not between 64k and half of max_bytes "
                                  "(at most 1G)",
                                  store->dir);
    }
    *changed = memcmp(&now, settings, sizeof(now)) != 0;
    *settings = now;
    return PUBSUB_OK;
}
