/* SPDX-License-Identifier: MIT */
#include "secret.h"

#include "exit.h"
#include "say.h"

#include <errno.h>
#include <fcntl.h>
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

int cli_secret_file(const char *path, char *out, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int code = CLI_EXIT_OK;

    if (fd < 0 || !read_line(fd, out, size)) {
        code = cli_usage("cannot read the password from %s: %s", path, strerror(errno));
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return code;
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
    ok = write(fd, question, sizeof(question) - 1) > 0 && read_line(fd, out, size);
    (void)tcsetattr(fd, TCSAFLUSH, &before);
    ok = write(fd, "\n", 1) == 1 && ok;
    (void)close(fd);
    return ok ? CLI_EXIT_OK : cli_usage("no password was given");
}

int cli_secret_read(const cli_args *args, char *out, size_t size)
{
    const char *text = cli_text(args, "password");
    const char *path = cli_text(args, "password-file");

    out[0] = '\0';
    if (cli_flag(args, "askpass")) {
        return ask(out, size);
    }
    if (path != NULL) {
        return cli_secret_file(path, out, size);
    }
    if (text == NULL) {
        return CLI_EXIT_OK;
    }
    cli_warn("--password shows the password to every user of this machine: use --password-file");
    if (strlen(text) >= size) {
        return cli_usage("--password is longer than %zu bytes", size - 1);
    }
    memcpy(out, text, strlen(text) + 1);
    return CLI_EXIT_OK;
}
