/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_VERSION_H
#define PUBSUB_VERSION_H

/** @file version.h
 *  The version: the only place where it is written. */

#include <pubsub/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PUBSUB_VERSION_STRING "0.1.0"
/** major * 10000 + minor * 100 + patch of the headers compiled against. */
#define PUBSUB_VERSION_NUMBER 100

/** The version of the library that is loaded, "0.1.0".
 *  Returns:   a string constant.
 *  Thread:    any.
 *  Ownership: static.
 *  Since:     0.1    Source: - */
PUBSUB_API const char *pubsub_version(void);

#ifdef __cplusplus
}
#endif

#endif
