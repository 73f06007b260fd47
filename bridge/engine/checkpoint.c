/* SPDX-License-Identifier: MIT */
#include "engine/checkpoint.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/crc32c.h"
#include "base/units.h"
#include "engine/hash.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A file is text, so that a person can look at it and a script can copy it:
 *
 *     pubsub-bridge checkpoint 1
 *     route orders
 *     model accounts
 *     position 12-g1AAAA
 *     crc32c 1a2b3c4d
 *
 * Values are percent-escaped. The checksum covers every byte before its line. The names of route and
 * model are inside because a file's own name can be shortened, and to notice one that was copied to
 * the wrong place. */

#define MAGIC "pubsub-bridge checkpoint "
#define CRC_LINE "crc32c "
#define CRC_LINE_LEN (sizeof CRC_LINE - 1 + 8 + 1)
#define FILE_BYTES_MAX (4u * PUBSUB_POSITION_BYTES_MAX)
#define NAME_PART_MAX 80 /* escaped; two of them, two hashes and the suffixes stay below NAME_MAX */
#define REPAIR "put a good copy there, or remove the file to begin as the source's settings say"

/* ---- names ---- */

static bool is_plain(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

static int add_escaped(pubsub__buf *out, pubsub_bytes text)
{
    int rc = PUBSUB__BUF_OK;
    const unsigned char *data = text.data;
    for (size_t i = 0; i < text.len && rc == PUBSUB__BUF_OK; i++) {
        rc = is_plain(data[i]) || data[i] == '.'
                 ? pubsub__buf_add_byte(out, (char)data[i])
                 : pubsub__buf_printf(out, "%%%02x", (unsigned)data[i]);
    }
    return rc;
}

/* A part of a file name: escaped, and where that gets too long, cut and followed by a hash. */
static void name_part(char *out, size_t size, pubsub_bytes text)
{
    const unsigned char *data = text.data;
    size_t used = 0;
    size_t i = 0;
    for (; i < text.len && used + 3 < NAME_PART_MAX; i++) {
        int n = is_plain(data[i]) || (data[i] == '.' && i > 0)
                    ? snprintf(out + used, size - used, "%c", data[i])
                    : snprintf(out + used, size - used, "%%%02x", (unsigned)data[i]);
        used += (size_t)n;
    }
    if (i < text.len) {
        char hash[BRIDGE_HASH_TEXT];
        bridge_hash whole;
        bridge_hash_init(&whole);
        bridge_hash_add(&whole, text);
        bridge_hash_text(&whole, hash);
        (void)snprintf(out + used, size - used, "+%s", hash);
    }
}

static void path_of(char *path, size_t size, const char *directory, const char *route,
                    pubsub_bytes model)
{
    char route_part[NAME_PART_MAX + BRIDGE_HASH_TEXT + 4] = "";
    char model_part[NAME_PART_MAX + BRIDGE_HASH_TEXT + 4] = "";
    name_part(route_part, sizeof route_part, pubsub_bytes_of(route));
    name_part(model_part, sizeof model_part, model);
    (void)snprintf(path, size, "%s/%s@%s.pos", directory, route_part, model_part);
}

/* ---- reading ---- */

static pubsub_err read_file(const char *path, pubsub__buf *out, pubsub_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) {
        return PUBSUB_ENOTFOUND;
    }
    if (fd < 0) {
        return pubsub_error_set_errno(err, PUBSUB_EIO, errno,
                                      "the checkpoint %s cannot be opened; make it readable", path);
    }
    pubsub_err rc = PUBSUB_OK;
    char chunk[4096];
    for (;;) {
        ssize_t got = read(fd, chunk, sizeof chunk);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            rc = pubsub_error_set_errno(err, PUBSUB_EIO, errno, "the checkpoint %s cannot be read",
                                        path);
        } else if (got > 0) {
            int code = pubsub__buf_add(out, chunk, (size_t)got);
            if (code == PUBSUB__BUF_FULL) {
                rc = pubsub_error_set(err, PUBSUB_ECORRUPT,
                                      "the checkpoint %s is too long to be one; " REPAIR, path);
            } else if (code != PUBSUB__BUF_OK) {
                rc = pubsub_error_set(err, PUBSUB_ENOMEM, "no memory for the checkpoint %s", path);
            }
        }
        if (got <= 0 || rc != PUBSUB_OK) {
            break;
        }
    }
    (void)close(fd);
    return rc;
}

static pubsub_err damaged(const char *path, const char *what, pubsub_error *err)
{
    return pubsub_error_set(err, PUBSUB_ECORRUPT, "the checkpoint %s is damaged (%s); " REPAIR,
                            path, what);
}

/* Take "name value\n" off the front. */
static bool take_line(pubsub_bytes *rest, const char *name, pubsub_bytes *value)
{
    size_t len = strlen(name);
    const char *at = rest->data;
    const char *end = rest->len > len ? memchr(at, '\n', rest->len) : NULL;
    if (end == NULL || (size_t)(end - at) < len || memcmp(at, name, len) != 0) {
        return false;
    }
    *value = (pubsub_bytes){at + len, (size_t)(end - at) - len};
    rest->len -= (size_t)(end + 1 - at);
    rest->data = end + 1;
    return true;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* In place: what the escapes mean. False where they are none. */
static bool unescape(char *text, size_t len, size_t *out_len)
{
    size_t to = 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] != '%') {
            text[to++] = text[i];
            continue;
        }
        int high = len - i > 2 ? hex_digit(text[i + 1]) : -1;
        int low = len - i > 2 ? hex_digit(text[i + 2]) : -1;
        if (high < 0 || low < 0) {
            return false;
        }
        text[to++] = (char)(high * 16 + low);
        i += 2;
    }
    *out_len = to;
    return true;
}

static bool same_escaped(pubsub_bytes escaped, pubsub_bytes plain)
{
    pubsub__buf text;
    pubsub__buf_init(&text, FILE_BYTES_MAX);
    bool same = add_escaped(&text, plain) == PUBSUB__BUF_OK && text.len == escaped.len &&
                (text.len == 0 || memcmp(text.data, escaped.data, text.len) == 0);
    pubsub__buf_fini(&text);
    return same;
}

static pubsub_err check_version(const char *path, pubsub_bytes version, pubsub_error *err)
{
    if (version.len == 1 && *(const char *)version.data == '1') {
        return PUBSUB_OK;
    }
    char text[24] = "";
    int64_t number = 0;
    if (version.len > 0 && version.len < sizeof text) {
        memcpy(text, version.data, version.len);
    }
    if (pubsub__parse_int(text, &number) != PUBSUB__UNITS_OK || number < 2) {
        return damaged(path, "its version is no number", err);
    }
    return pubsub_error_set(err, PUBSUB_EVERSION,
                            "the checkpoint %s has version %s, this program reads 1; run the newer "
                            "program, or " REPAIR,
                            path, text);
}

static pubsub_err check_crc(const char *path, pubsub_bytes whole, pubsub_error *err)
{
    if (whole.len < CRC_LINE_LEN) {
        return damaged(path, "too short", err);
    }
    const char *line = (const char *)whole.data + whole.len - CRC_LINE_LEN;
    char want[CRC_LINE_LEN + 1];
    (void)snprintf(want, sizeof want, CRC_LINE "%08x\n",
                   pubsub__crc32c(0, whole.data, whole.len - CRC_LINE_LEN));
    return memcmp(line, want, CRC_LINE_LEN) == 0
               ? PUBSUB_OK
               : damaged(path, "the checksum is not that of its content", err);
}

static pubsub_err find_position(const char *path, pubsub_bytes whole, const char *route,
                                pubsub_bytes model, pubsub_bytes *position, pubsub_error *err)
{
    pubsub_bytes rest = whole;
    pubsub_bytes value;
    if (!take_line(&rest, MAGIC, &value)) {
        return damaged(path, whole.len == 0 ? "empty" : "it is no checkpoint", err);
    }
    pubsub_err rc = check_version(path, value, err);
    rc = rc == PUBSUB_OK ? check_crc(path, whole, err) : rc;
    if (rc != PUBSUB_OK) {
        return rc;
    }
    pubsub_bytes file_route;
    pubsub_bytes file_model;
    if (!take_line(&rest, "route ", &file_route) || !take_line(&rest, "model ", &file_model) ||
        !take_line(&rest, "position ", position) || rest.len != CRC_LINE_LEN) {
        return damaged(path, "a line is missing", err);
    }
    if (!same_escaped(file_route, pubsub_bytes_of(route)) || !same_escaped(file_model, model)) {
        return pubsub_error_set(err, PUBSUB_ECORRUPT,
                                "the checkpoint %s belongs to another route or model; " REPAIR,
                                path);
    }
    return PUBSUB_OK;
}

pubsub_err bridge_checkpoint_parse(const char *path, pubsub_bytes file, const char *route,
                                   pubsub_bytes model, pubsub__buf *position, pubsub_error *err)
{
    pubsub_bytes escaped = {NULL, 0};
    pubsub__buf_init(position, FILE_BYTES_MAX);
    pubsub_err rc = find_position(path, file, route, model, &escaped, err);
    if (rc != PUBSUB_OK) {
        return rc;
    }
    if (pubsub__buf_add(position, escaped.data, escaped.len) != PUBSUB__BUF_OK) {
        return pubsub_error_set(err, PUBSUB_ENOMEM, "no memory for the checkpoint %s", path);
    }
    if (escaped.len == 0 || !unescape(position->data, escaped.len, &position->len) ||
        position->len > PUBSUB_POSITION_BYTES_MAX) {
        pubsub__buf_fini(position);
        pubsub__buf_init(position, FILE_BYTES_MAX);
        return damaged(path, "its position is none", err);
    }
    return PUBSUB_OK;
}

pubsub_err bridge_checkpoint_read(const char *directory, const char *route, pubsub_bytes model,
                                  char **out, size_t *out_len, pubsub_error *err)
{
    char path[4096];
    pubsub__buf file;
    pubsub__buf position;
    *out = NULL;
    *out_len = 0;
    path_of(path, sizeof path, directory, route, model);
    pubsub__buf_init(&file, FILE_BYTES_MAX);
    pubsub__buf_init(&position, FILE_BYTES_MAX);
    pubsub_err rc = read_file(path, &file, err);
    if (rc == PUBSUB_OK) {
        rc = bridge_checkpoint_parse(path, (pubsub_bytes){file.data, file.len}, route, model,
                                     &position, err);
    }
    if (rc == PUBSUB_OK) {
        *out_len = position.len;
        *out = pubsub__buf_take(&position);
    }
    pubsub__buf_fini(&position);
    pubsub__buf_fini(&file);
    return rc == PUBSUB_ENOTFOUND ? PUBSUB_OK : rc;
}

/* ---- all of a route ---- */

/* The model a file says it is of, escaped; whether the rest of it is right is looked at by who reads the
 * position. */
static bool model_line(pubsub_bytes file, pubsub_bytes *model)
{
    pubsub_bytes value;
    return take_line(&file, MAGIC, &value) && take_line(&file, "route ", &value) &&
           take_line(&file, "model ", model);
}

static pubsub_err tell_model(const char *path, void (*each)(void *ctx, pubsub_bytes model),
                             void *ctx, pubsub_error *err)
{
    pubsub__buf file;
    pubsub__buf name;
    pubsub_bytes escaped = {NULL, 0};
    pubsub__buf_init(&file, FILE_BYTES_MAX);
    pubsub__buf_init(&name, FILE_BYTES_MAX);
    pubsub_err rc = read_file(path, &file, err);
    if (rc == PUBSUB_OK) {
        rc = check_crc(path, (pubsub_bytes){file.data, file.len}, err);
    }
    if (rc == PUBSUB_OK && (!model_line((pubsub_bytes){file.data, file.len}, &escaped) ||
                            pubsub__buf_add(&name, escaped.data, escaped.len) != PUBSUB__BUF_OK ||
                            !unescape(name.data, name.len, &name.len) || name.len == 0)) {
        rc = damaged(path, "its model is none", err);
    }
    if (rc == PUBSUB_OK) {
        each(ctx, (pubsub_bytes){name.data, name.len});
    }
    pubsub__buf_fini(&name);
    pubsub__buf_fini(&file);
    return rc == PUBSUB_ENOTFOUND ? PUBSUB_OK : rc;
}

pubsub_err bridge_checkpoint_models(const char *directory, const char *route,
                                    void (*each)(void *ctx, pubsub_bytes model), void *ctx,
                                    pubsub_error *err)
{
    char prefix[NAME_PART_MAX + BRIDGE_HASH_TEXT + 8] = "";
    char path[4096 + 256];
    const struct dirent *entry = NULL;
    pubsub_err rc = PUBSUB_OK;
    DIR *dir = opendir(directory);
    if (dir == NULL) {
        return pubsub_error_set_errno(err, PUBSUB_EIO, errno,
                                      "the directory %s of checkpoints cannot be read", directory);
    }
    name_part(prefix, sizeof prefix - 1, pubsub_bytes_of(route));
    prefix[strlen(prefix)] = '@'; /* the rest is zero */
    while (rc == PUBSUB_OK && (entry = readdir(dir)) != NULL) {
        size_t len = strlen(entry->d_name);
        if (strncmp(entry->d_name, prefix, strlen(prefix)) == 0 && len > 4 &&
            strcmp(entry->d_name + len - 4, ".pos") == 0) {
            (void)snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
            rc = tell_model(path, each, ctx, err);
        }
    }
    (void)closedir(dir);
    return rc;
}

/* ---- writing ---- */

int bridge_checkpoint_compose(pubsub__buf *out, const char *route, pubsub_bytes model,
                              pubsub_bytes position)
{
    int rc = pubsub__buf_add_text(out, MAGIC "1\nroute ");
    rc = rc == 0 ? add_escaped(out, pubsub_bytes_of(route)) : rc;
    rc = rc == 0 ? pubsub__buf_add_text(out, "\nmodel ") : rc;
    rc = rc == 0 ? add_escaped(out, model) : rc;
    rc = rc == 0 ? pubsub__buf_add_text(out, "\nposition ") : rc;
    rc = rc == 0 ? add_escaped(out, position) : rc;
    rc = rc == 0 ? pubsub__buf_add_byte(out, '\n') : rc;
    return rc == 0
               ? pubsub__buf_printf(out, CRC_LINE "%08x\n", pubsub__crc32c(0, out->data, out->len))
               : rc;
}

static bool write_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            errno = n == 0 ? ENOSPC : errno;
            return false;
        }
        data += n;
        len -= (size_t)n;
    }
    return true;
}

/* A temporary file with the content, on the disk when this returns. 0 or an errno. */
static int write_temp(const char *path, const pubsub__buf *content)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return errno;
    }
    int sys = write_all(fd, content->data, content->len) && fsync(fd) == 0 ? 0 : errno;
    if (close(fd) != 0 && sys == 0) {
        sys = errno;
    }
    return sys;
}

static int sync_directory(const char *directory)
{
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return errno;
    }
    int sys = fsync(fd) == 0 ? 0 : errno;
    (void)close(fd);
    return sys;
}

pubsub_err bridge_checkpoint_write(const char *directory, const char *route, pubsub_bytes model,
                                   pubsub_bytes position, pubsub_error *err)
{
    char path[4096];
    char temp[4096 + 8];
    pubsub__buf content;
    if (position.len == 0 || position.len > PUBSUB_POSITION_BYTES_MAX) {
        return pubsub_error_set(err, PUBSUB_ETOOBIG, "a position of %zu bytes is none",
                                position.len);
    }
    path_of(path, sizeof path, directory, route, model);
    (void)snprintf(temp, sizeof temp, "%s.tmp", path);
    pubsub__buf_init(&content, FILE_BYTES_MAX);
    if (bridge_checkpoint_compose(&content, route, model, position) != PUBSUB__BUF_OK) {
        pubsub__buf_fini(&content);
        return pubsub_error_set(err, PUBSUB_ENOMEM, "no memory for the checkpoint %s", path);
    }
    int sys = write_temp(temp, &content);
    pubsub__buf_fini(&content);
    if (sys == 0 && rename(temp, path) != 0) {
        sys = errno;
    }
    if (sys != 0) {
        (void)unlink(temp);
    } else {
        sys = sync_directory(directory);
    }
    if (sys != 0) {
        return pubsub_error_set_errno(err,
                                      sys == ENOSPC || sys == EDQUOT ? PUBSUB_ENOSPC : PUBSUB_EIO,
                                      sys, "the checkpoint %s cannot be written", path);
    }
    return PUBSUB_OK;
}
