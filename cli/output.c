/* SPDX-License-Identifier: MIT */
#include "output.h"

#include "signals.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

void cli_output_init(cli_output *out, int fd)
{
    memset(out, 0, sizeof(*out));
    out->fd = fd;
    pubsub__buf_init(&out->buf, SIZE_MAX / 4);
}

void cli_output_fini(cli_output *out)
{
    pubsub__buf_fini(&out->buf);
}

bool cli_output_is_due(cli_output *out, uint64_t now_ns)
{
    if (out->buf.len == 0) {
        return false;
    }
    if (out->first_ns == 0) {
        out->first_ns = now_ns;
    }
    return out->buf.len >= CLI_OUTPUT_BYTES || now_ns - out->first_ns >= CLI_OUTPUT_NS;
}

/* A descriptor that somebody made non-blocking. */
static void wait_writable(int fd)
{
    struct pollfd poller = {.fd = fd, .events = POLLOUT};

    (void)poll(&poller, 1, -1);
}

bool cli_output_flush(cli_output *out)
{
    size_t done = 0;

    while (out->error == 0 && done < out->buf.len) {
        ssize_t n = write(out->fd, out->buf.data + done, out->buf.len - done);

        if (n >= 0) {
            done += (size_t)n;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            wait_writable(out->fd);
        } else if (errno != EINTR || cli_signals_got() != 0) {
            out->error = errno;
        }
    }
    pubsub__buf_reset(&out->buf);
    out->first_ns = 0;
    return out->error == 0;
}

bool cli_output_is_closed(const cli_output *out)
{
    return out->error == EPIPE;
}
