/* SPDX-License-Identifier: MIT */
#include "input.h"

#include "base/alloc.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define INPUT_CHUNK ((size_t)256 * 1024)

bool cli_input_init(cli_input *in, int fd, pubsub_bytes delim, size_t max)
{
    memset(in, 0, sizeof(*in));
    in->fd = fd;
    in->delim = delim.data;
    in->delim_len = delim.len;
    in->max = max;
    in->capacity = INPUT_CHUNK;
    in->data = pubsub__alloc(in->capacity);
    return in->data != NULL;
}

void cli_input_fini(cli_input *in)
{
    pubsub__free(in->data);
    memset(in, 0, sizeof(*in));
}

/* The first delim in data[0..len), NULL when there is none. */
static const char *find(const char *data, size_t len, const char *delim, size_t delim_len)
{
    const char *end = data + len;

    while ((size_t)(end - data) >= delim_len) {
        const char *at = memchr(data, delim[0], (size_t)(end - data) - delim_len + 1);

        if (at == NULL || delim_len == 1 || memcmp(at, delim, delim_len) == 0) {
            return at;
        }
        data = at + 1;
    }
    return NULL;
}

static cli_input_result take(cli_input *in, size_t len, size_t skip, pubsub_bytes *record)
{
    record->data = in->data + in->start;
    record->len = len;
    in->start += len + skip;
    in->scanned = in->start;
    in->records++;
    return CLI_INPUT_RECORD;
}

static cli_input_result next_whole(cli_input *in, pubsub_bytes *record)
{
    if (in->end - in->start > in->max) {
        return CLI_INPUT_TOO_LONG;
    }
    if (!in->eof) {
        return CLI_INPUT_MORE;
    }
    if (in->records > 0) {
        return CLI_INPUT_END;
    }
    return take(in, in->end - in->start, 0, record);
}

cli_input_result cli_input_next(cli_input *in, pubsub_bytes *record)
{
    const char *at;
    size_t have;

    if (in->delim_len == 0) {
        return next_whole(in, record);
    }
    at = find(in->data + in->scanned, in->end - in->scanned, in->delim, in->delim_len);
    if (at != NULL) {
        size_t len = (size_t)(at - in->data) - in->start;

        return len > in->max ? CLI_INPUT_TOO_LONG : take(in, len, in->delim_len, record);
    }
    have = in->end - in->start;
    /* A delimiter may have begun in the last bytes. */
    if (have >= in->delim_len && in->end - (in->delim_len - 1) > in->scanned) {
        in->scanned = in->end - (in->delim_len - 1);
    }
    if (have > in->max + in->delim_len || (in->eof && have > in->max)) {
        return CLI_INPUT_TOO_LONG;
    }
    if (!in->eof) {
        return CLI_INPUT_MORE;
    }
    return have > 0 ? take(in, have, 0, record) : CLI_INPUT_END;
}

/* Room for a read: records handed out are given up, the rest moves to the front. */
static bool make_room(cli_input *in)
{
    size_t have = in->end - in->start;
    char *data;

    if (in->start > 0) {
        memmove(in->data, in->data + in->start, have);
        in->scanned -= in->start;
        in->start = 0;
        in->end = have;
    }
    if (in->capacity - in->end >= INPUT_CHUNK / 2) {
        return true;
    }
    data = pubsub__realloc(in->data, in->capacity * 2);
    if (data == NULL) {
        return false;
    }
    in->data = data;
    in->capacity *= 2;
    return true;
}

int cli_input_fill(cli_input *in)
{
    ssize_t n;

    if (in->eof) {
        return 1;
    }
    if (!make_room(in)) {
        errno = ENOMEM;
        return -1;
    }
    n = read(in->fd, in->data + in->end, in->capacity - in->end);
    if (n < 0) {
        return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? 0 : -1;
    }
    in->end += (size_t)n;
    in->eof = n == 0;
    return 1;
}

bool cli_input_cut(pubsub_bytes record, pubsub_bytes delim, pubsub_bytes *head, pubsub_bytes *rest)
{
    const char *data = record.data;
    const char *at = delim.len > 0 ? find(data, record.len, delim.data, delim.len) : NULL;

    if (at == NULL) {
        return false;
    }
    head->data = data;
    head->len = (size_t)(at - data);
    rest->data = at + delim.len;
    rest->len = record.len - head->len - delim.len;
    return true;
}
