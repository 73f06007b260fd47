/* SPDX-License-Identifier: MIT */
#include "exit.h"

#include <stddef.h>

const cli_exit_row cli_exit_rows[] = {
    {CLI_EXIT_OK,
     "success; also a sub without a count that was ended by SIGINT, SIGTERM or a closed pipe"},
    {CLI_EXIT_FAILED, "a run-time error that is none of the following"},
    {CLI_EXIT_USAGE, "wrong usage or configuration"},
    {CLI_EXIT_CONNECT, "cannot connect, or the connection was lost and given up"},
    {CLI_EXIT_DENIED, "authentication, authorisation or TLS refused"},
    {CLI_EXIT_UNCONFIRMED, "a message was not confirmed, or was rejected; stderr says how many"},
    {CLI_EXIT_TIMEOUT,
     "time is over, fewer messages arrived than -c asked for, or nobody answered a request"},
    {CLI_EXIT_UNSUPPORTED, "this broker cannot do what was asked"},
    {CLI_EXIT_VERIFY, "a check failed: loss, duplicate, order or content"},
    {CLI_EXIT_INVALID, "bench: objective missed, or the measurement is not valid"},
    {CLI_EXIT_SIGINT, "ended by SIGINT before the count or duration asked for"},
    {CLI_EXIT_SIGTERM, "ended by SIGTERM before the count or duration asked for"},
    {0, NULL},
};

static int exit_of_usage(pubsub_err code)
{
    switch (code) {
    case PUBSUB_ENOTSUP:
        return CLI_EXIT_UNSUPPORTED;
    case PUBSUB_ETOOBIG:
        return CLI_EXIT_UNCONFIRMED;
    case PUBSUB_ESTATE:
    case PUBSUB_ECLOSED:
    case PUBSUB_ENOTFOUND:
        return CLI_EXIT_FAILED;
    default:
        return CLI_EXIT_USAGE;
    }
}

int cli_exit_of(pubsub_err code)
{
    switch (code) {
    case PUBSUB_OK:
        return CLI_EXIT_OK;
    case PUBSUB_ECONNECT:
    case PUBSUB_ELOST:
        return CLI_EXIT_CONNECT;
    case PUBSUB_ETIMEDOUT:
    case PUBSUB_ENORESPONDER:
        return CLI_EXIT_TIMEOUT;
    case PUBSUB_EREJECTED:
    case PUBSUB_EFULL:
        return CLI_EXIT_UNCONFIRMED;
    default:
        break;
    }
    switch (pubsub_err_class_of(code)) {
    case PUBSUB_CLASS_USAGE:
        return exit_of_usage(code);
    case PUBSUB_CLASS_DENIED:
        return CLI_EXIT_DENIED;
    default:
        return CLI_EXIT_FAILED;
    }
}
