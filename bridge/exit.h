/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_BRIDGE_EXIT_H
#define PUBSUB_BRIDGE_EXIT_H

/* Exit codes, the same numbers as the pubsub command's. Scripts branch on them: values never change. */
enum bridge_exit {
    BRIDGE_EXIT_OK = 0,
    BRIDGE_EXIT_FAILED = 1,      /* a run-time error; a route stopped for good */
    BRIDGE_EXIT_USAGE = 2,       /* wrong usage, or the file is wrong */
    BRIDGE_EXIT_CONNECT = 3,     /* check --connect, status: cannot be reached */
    BRIDGE_EXIT_DENIED = 4,      /* check --connect: credentials or permission */
    BRIDGE_EXIT_TIMEOUT = 6,     /* the drain took longer than it may */
    BRIDGE_EXIT_UNSUPPORTED = 7, /* the broker cannot do what a route asks for */
    BRIDGE_EXIT_VERIFY = 8,      /* a spool is damaged */
};

#endif
