/* SPDX-License-Identifier: MIT */
#include "signals.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t signals_first;
static int signals_pipe[2] = {-1, -1};

static void on_signal(int number)
{
    int saved = errno;
    ssize_t ignored;

    if (signals_first != 0) {
        _exit(128 + number);
    }
    signals_first = number;
    /* Never read, so it stays readable. */
    ignored = write(signals_pipe[1], "", 1);
    (void)ignored;
    errno = saved;
}

bool cli_signals_install(void)
{
    struct sigaction action;

    if (pipe(signals_pipe) != 0) {
        return false;
    }
    for (int i = 0; i < 2; i++) {
        (void)fcntl(signals_pipe[i], F_SETFD, FD_CLOEXEC);
        (void)fcntl(signals_pipe[i], F_SETFL, O_NONBLOCK);
    }
    memset(&action, 0, sizeof(action));
    (void)sigemptyset(&action.sa_mask);
    action.sa_handler = on_signal;
    if (sigaction(SIGINT, &action, NULL) != 0 || sigaction(SIGTERM, &action, NULL) != 0) {
        return false;
    }
    action.sa_handler = SIG_IGN;
    return sigaction(SIGPIPE, &action, NULL) == 0;
}

int cli_signals_got(void)
{
    return signals_first;
}

int cli_signals_fd(void)
{
    return signals_pipe[0];
}

int cli_signals_exit(int otherwise)
{
    return signals_first == 0 ? otherwise : 128 + (int)signals_first;
}
