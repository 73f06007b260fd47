/* SPDX-License-Identifier: MIT */
#include "secret.h"

#include "exit.h"
#include "say.h"
#include "signals.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

/* Read up to a newline or the end; false when it does not fit or reading failed (errno). */
static bool read_line(int fd, char *out, size_t size)
{
    size_t len = 0;

    for (;;) {
        char c;
        ssize_t n = read(fd, &c, 1);

        if (n < 0) {
            return false;
        }
        if (n == 0 || c == '\n') {
            break;
        }
        if (len + 1 >= size || c == '\0') {
            errno = EFBIG;
            return false;
        }
        out[len++] = c;
    }
    out[len] = '\0';
    if (len > 0 && out[len - 1] == '\r') {
        out[len - 1] = '\0';
    }
    return true;
}

int cli_secret_file(const char *path, const char *who, char *out, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int code = CLI_EXIT_OK;

    if (fd < 0 || !read_line(fd, out, size)) {
        code = cli_usage("%s: cannot read the password from %s: %s", who, path, strerror(errno));
    } else if (out[0] == '\0') {
        code =
            cli_usage("%s: the first line of %s is empty: there is no password in it", who, path);
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return code;
}

/* Until a line was typed; false when a signal came first, also one that came before. */
static bool wait_typed(int fd)
{
    struct pollfd fds[] = {{.fd = fd, .events = POLLIN},
                           {.fd = cli_signals_fd(), .events = POLLIN}};

    for (;;) {
        int n = poll(fds, sizeof(fds) / sizeof(fds[0]), -1);

        if (cli_signals_got() != 0 || (n < 0 && errno != EINTR)) {
            return false;
        }
        if (n > 0 && fds[0].revents != 0) {
            return true;
        }
    }
}

static int ask(char *out, size_t size)
{
    static const char question[] = "Password: ";
    int fd = open("/dev/tty", O_RDWR | O_CLOEXEC);
    struct termios before;
    struct termios silent;
    bool ok;

    if (fd < 0 || tcgetattr(fd, &before) != 0) {
        if (fd >= 0) {
            (void)close(fd);
        }
        return cli_usage("--askpass needs a terminal: use --password-file or PUBSUB_PASSWORD");
    }
    silent = before;
    silent.c_lflag &= ~(tcflag_t)ECHO;
    (void)tcsetattr(fd, TCSAFLUSH, &silent);
    ok =
        write(fd, question, sizeof(question) - 1) > 0 && wait_typed(fd) && read_line(fd, out, size);
    (void)tcsetattr(fd, TCSAFLUSH, &before);
    ok = write(fd, "\n", 1) == 1 && ok;
    (void)close(fd);
    if (ok && out[0] != '\0') {
        return CLI_EXIT_OK;
    }
    return cli_signals_got() != 0 ? cli_signals_exit(CLI_EXIT_FAILED)
                                  : cli_usage("--askpass: no password was given");
}

void cli_secret_warn(const char *flag)
{
    cli_warn("%s stays in the shell's history and can be seen until the command has started: use "
             "--password-file",
             flag);
}

int cli_secret_read(const cli_args *args, const char **flag, char *out, size_t size)
{
    const char *text = cli_text(args, "password");
    const char *path = cli_text(args, "password-file");

    out[0] = '\0';
    *flag = NULL;
    if (cli_flag(args, "askpass")) {
        *flag = "askpass";
        return ask(out, size);
    }
    if (path != NULL) {
        *flag = "password-file";
        return cli_secret_file(path, "--password-file", out, size);
    }
    if (text == NULL) {
        return CLI_EXIT_OK;
    }
    *flag = "password";
    cli_secret_warn("--password");
    if (strlen(text) >= size) {
        return cli_usage("--password is longer than %zu bytes", size - 1);
    }
    memcpy(out, text, strlen(text) + 1);
    return CLI_EXIT_OK;
}
