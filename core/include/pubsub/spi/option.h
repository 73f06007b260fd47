/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_SPI_OPTION_H
#define PUBSUB_SPI_OPTION_H

/** @file option.h
 *  One row of the option table. The library has a table of generic rows; each adapter brings its
 *  own, ended by a row whose name is NULL. */

#include <pubsub/error.h>
#include <pubsub/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/** What a value may look like. */
typedef enum pubsub_option_type {
    PUBSUB_OPTION_TEXT = 0, /**< any text; min and max are its length in bytes */
    PUBSUB_OPTION_ENUM = 1, /**< one of `values` */
    PUBSUB_OPTION_INT = 2,  /**< whole number */
    PUBSUB_OPTION_BOOL = 3, /**< yes no true false on off 1 0 */
    PUBSUB_OPTION_DURATION =
        4,                 /**< milliseconds: 250ms 5s 2m 1h 1d 1500; -1 or forever if min is -1 */
    PUBSUB_OPTION_SIZE = 5 /**< bytes: 512 64k 8M 1G, powers of 1024 */
} pubsub_option_type;

/** Where an option may be given. Client plus another one means: the client's value is the default.
 */
#define PUBSUB_SCOPE_CLIENT 1u
#define PUBSUB_SCOPE_SUBSCRIBE 2u
#define PUBSUB_SCOPE_PUBLISH 4u

typedef struct pubsub_option_row pubsub_option_row;

/** A further check of a value that already has the row's type and range; it names the option in
 *  err. Called on the thread that sets the option; must not block. Returns PUBSUB_OK or
 *  PUBSUB_EOPTION. */
typedef pubsub_err (*pubsub_option_check_fn)(const pubsub_option_row *row, const char *name,
                                             const char *value, pubsub_error *err);

/** One option. All strings are constants that live as long as the program. */
struct pubsub_option_row {
    const char *name;        /**< "prefetch"; an adapter's rows carry no prefix. "*" in an adapter's
                                  last row takes every name its other rows do not have. */
    pubsub_option_type type; /**< how text is read */
    uint32_t scopes;         /**< PUBSUB_SCOPE_* bits */
    int64_t min;             /**< smallest value; -1 in a duration allows "forever" */
    int64_t max;             /**< largest value; 0 = no upper bound */
    const char *default_text;     /**< in the form a user would write; NULL = unset */
    const char *values;           /**< PUBSUB_OPTION_ENUM: "poll|thread"; else NULL */
    const char *unit;             /**< for help: "messages"; NULL when the type says it */
    const char *adapter;          /**< "mqtt"; NULL = generic */
    bool secret;                  /**< never printed */
    const char *help;             /**< one line without final stop */
    pubsub_option_check_fn check; /**< NULL = nothing more to check */
};

#ifdef __cplusplus
}
#endif

#endif
