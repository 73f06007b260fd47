/* SPDX-License-Identifier: MIT */
#include "config/reader.h"

#include "base/alloc.h"
#include "base/text.h"
#include "base/utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECRET_MAX ((size_t)64 * 1024)

char *bridge_beside_file(bridge_reader *reader, const char *name)
{
    pubsub__buf path;
    pubsub__buf_init(&path, BRIDGE_FILE_MAX);
    if (name[0] != '/') {
        (void)pubsub__buf_add_text(&path, reader->directory);
    }
    (void)pubsub__buf_add_text(&path, name);
    char *taken = pubsub__buf_take(&path);
    pubsub__buf_fini(&path);
    if (taken == NULL) {
        (void)bridge_no_memory(reader);
    }
    return taken;
}

/* Up to SECRET_MAX bytes; the number, or -1 with errno. */
static ssize_t read_all(int fd, char *out)
{
    size_t len = 0;
    while (len < SECRET_MAX) {
        ssize_t n = read(fd, out + len, SECRET_MAX - len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return -1;
        }
        if (n == 0) {
            break;
        }
        len += (size_t)n;
    }
    if (len == SECRET_MAX) {
        errno = EFBIG;
        return -1;
    }
    return (ssize_t)len;
}

/* What is wrong with the file itself; NULL = nothing. */
static const char *check_mode(int fd, bool secret)
{
    struct stat about;
    if (fstat(fd, &about) != 0) {
        return strerror(errno);
    }
    if (!S_ISREG(about.st_mode)) {
        return "is no regular file";
    }
    if (secret && (about.st_mode & S_IROTH) != 0) {
        return "can be read by everybody and holds a secret: chmod o-r";
    }
    return NULL;
}

/* One line end at the end is the editor's. */
static const char *check_content(char *text, size_t *len)
{
    if (*len > 0 && text[*len - 1] == '\n') {
        --*len;
    }
    if (*len > 0 && text[*len - 1] == '\r') {
        --*len;
    }
    text[*len] = '\0';
    if (*len == 0) {
        return "is empty";
    }
    return memchr(text, '\0', *len) != NULL || !pubsub__utf8_check(text, *len) ? "is no UTF-8 text"
                                                                               : NULL;
}

static const char *load(int fd, bool secret, char *text)
{
    const char *wrong = check_mode(fd, secret);
    if (wrong != NULL) {
        return wrong;
    }
    ssize_t got = read_all(fd, text);
    if (got < 0) {
        return errno == EFBIG ? "is longer than 64 KiB" : strerror(errno);
    }
    size_t len = (size_t)got;
    return check_content(text, &len);
}

char *bridge_read_secret_file(bridge_reader *reader, const bridge_node *node,
                              const bridge_path *path, const char *name, bool secret)
{
    char *file = bridge_beside_file(reader, name);
    char *text = pubsub__calloc(1, SECRET_MAX + 1);
    if (file == NULL || text == NULL) {
        (void)bridge_no_memory(reader);
        pubsub__free(file);
        pubsub__free(text);
        return NULL;
    }
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe must not hold it up */
    const char *wrong = fd < 0 ? strerror(errno) : load(fd, secret, text);
    if (wrong != NULL) {
        bridge_findings_add(reader->findings, node->mark, path->text, "%s: %s",
                            node->hidden ? bridge_shown(node) : file, wrong);
        pubsub__wipe(text, SECRET_MAX);
        pubsub__free(text);
        text = NULL;
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    pubsub__free(file);
    return text;
}
