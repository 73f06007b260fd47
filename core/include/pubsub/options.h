/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_OPTIONS_H
#define PUBSUB_OPTIONS_H

/** @file options.h
 *  A set of named options. One table says which exist, of what type, range and default; the same
 *  table feeds these calls, URL queries, environment, configuration files, command-line flags and
 *  the manual.
 *
 *  Generic options have plain names (`prefetch`). An adapter's options carry its name
 *  (`mqtt.client_id`) and are ignored by every other adapter, so that one set serves every broker.
 *  An unknown name is an error at once, with the nearest valid one. */

#include <pubsub/error.h>
#include <pubsub/spi/option.h>
#include <pubsub/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The longest value, in bytes. */
#define PUBSUB_OPTION_VALUE_MAX 8192
/** The most options in one set. */
#define PUBSUB_OPTIONS_MAX 256

/** A set of options. */
typedef struct pubsub_options pubsub_options;

/** Create an empty set.
 *  @param out  receives the set, not NULL; NULL is stored on failure.
 *  Returns:   PUBSUB_OK, PUBSUB_EINVAL, PUBSUB_ENOMEM.
 *  Thread:    any.
 *  Ownership: the caller frees *out with pubsub_options_free.
 *  Since:     0.1    Source: - */
PUBSUB_API pubsub_err pubsub_options_new(pubsub_options **out);

/** Create a copy of a set.
 *  @param out   receives the copy, not NULL; NULL is stored on failure.
 *  @param from  may be NULL, which gives an empty set.
 *  Returns:   PUBSUB_OK, PUBSUB_EINVAL, PUBSUB_ENOMEM.
 *  Thread:    any, while nobody changes from.
 *  Ownership: the caller frees *out with pubsub_options_free; from is borrowed for the call.
 *  Since:     0.1    Source: - */
PUBSUB_API pubsub_err pubsub_options_copy(pubsub_options **out, const pubsub_options *from);

/** Free a set; secrets are wiped.
 *  @param opts  may be NULL.
 *  Returns:   nothing.
 *  Thread:    owner.
 *  Ownership: opts and every text its getters returned are gone.
 *  Since:     0.1    Source: - */
PUBSUB_API void pubsub_options_free(pubsub_options *opts);

/** Set an option from text, as a user would write it: "5s", "64k", "yes".
 *  @param opts   not NULL.
 *  @param name   "prefetch" or "mqtt.client_id", not NULL.
 *  @param value  NUL-terminated UTF-8, not NULL.
 *  @param err    optional detail: the nearest valid name, or the values allowed.
 *  Returns:   PUBSUB_OK, PUBSUB_EOPTION, PUBSUB_EUTF8, PUBSUB_EINVAL, PUBSUB_ENOMEM.
 *  Thread:    owner.
 *  Ownership: both strings are copied.
 *  Since:     0.1    Source: - */
PUBSUB_API pubsub_err pubsub_options_set(pubsub_options *opts, const char *name, const char *value,
                                         pubsub_error *err);

/** Set a number, a duration in milliseconds or a size in bytes.
 *  @param opts   not NULL.
 *  @param name   not NULL.
 *  @param value  in the option's base unit; -1 = forever where a duration allows it.
 *  @param err    optional detail, may be NULL.
 *  Returns:   as pubsub_options_set.
 *  Thread:    owner.
 *  Ownership: name is copied.
 *  Since:     0.1    Source: - */
PUBSUB_API pubsub_err pubsub_options_set_int(pubsub_options *opts, const char *name, int64_t value,
                                             pubsub_error *err);

/** Set a yes/no option.
 *  @param opts   not NULL.
 *  @param name   not NULL.
 *  @param value  the value.
 *  @param err    optional detail, may be NULL.
 *  Returns:   as pubsub_options_set.
 *  Thread:    owner.
 *  Ownership: name is copied.
 *  Since:     0.1    Source: - */
PUBSUB_API pubsub_err pubsub_options_set_bool(pubsub_options *opts, const char *name, bool value,
                                              pubsub_error *err);

/** Remove an option, so that its default holds again.
 *  @param opts  not NULL.
 *  @param name  not NULL.
 *  Returns:   true when it was set.
 *  Thread:    owner.
 *  Ownership: texts that getters returned for it are gone.
 *  Since:     0.1    Source: - */
PUBSUB_API bool pubsub_options_unset(pubsub_options *opts, const char *name);

/** Copy every option of another set into this one; the other's values win.
 *  @param opts  not NULL.
 *  @param from  may be NULL.
 *  Returns:   PUBSUB_OK; PUBSUB_EOPTION when the set gets too big, PUBSUB_ENOMEM: then opts is as
 *             before.
 *  Thread:    owner of opts; any for from, while nobody changes it.
 *  Ownership: from is borrowed for the call.
 *  Since:     0.1    Source: - */
PUBSUB_API pubsub_err pubsub_options_merge(pubsub_options *opts, const pubsub_options *from);

/** Whether an option was set in this set.
 *  @param opts  may be NULL.
 *  @param name  not NULL.
 *  Returns:   true when set; false when only its default holds.
 *  Thread:    any, while nobody changes opts.
 *  Ownership: -
 *  Since:     0.1    Source: - */
PUBSUB_API bool pubsub_options_is_set(const pubsub_options *opts, const char *name);

/** The text of an option, as it was set, or its default.
 *  @param opts  may be NULL, then the default.
 *  @param name  not NULL.
 *  Returns:   a string, or NULL when it is not set and has no default.
 *  Thread:    any, while nobody changes opts.
 *  Ownership: belongs to opts, until the option is set or unset again.
 *  Since:     0.1    Source: - */
PUBSUB_API const char *pubsub_options_get(const pubsub_options *opts, const char *name);

/** The value of a number, duration (milliseconds), size (bytes), bool (0, 1) or enum (its index in
 *  the row's values), or its default.
 *  @param opts  may be NULL, then the default.
 *  @param name  not NULL.
 *  @param out   receives the value, not NULL; not written on failure.
 *  Returns:   PUBSUB_OK; PUBSUB_ENOTFOUND when not set and without default; PUBSUB_EOPTION when
 *             there is no such option or it is text.
 *  Thread:    any, while nobody changes opts.
 *  Ownership: -
 *  Since:     0.1    Source: - */
PUBSUB_API pubsub_err pubsub_options_int(const pubsub_options *opts, const char *name,
                                         int64_t *out);

/** The value of a yes/no option, or its default.
 *  @param opts  may be NULL, then the default.
 *  @param name  not NULL.
 *  @param out   receives the value, not NULL; not written on failure.
 *  Returns:   as pubsub_options_int.
 *  Thread:    any, while nobody changes opts.
 *  Ownership: -
 *  Since:     0.1    Source: - */
PUBSUB_API pubsub_err pubsub_options_bool(const pubsub_options *opts, const char *name, bool *out);

/** Check that everything set may be given at one place.
 *  @param opts   may be NULL.
 *  @param scope  PUBSUB_SCOPE_CLIENT, PUBSUB_SCOPE_SUBSCRIBE or PUBSUB_SCOPE_PUBLISH.
 *  @param err    optional detail naming the first option that is out of place.
 *  Returns:   PUBSUB_OK, PUBSUB_EOPTION.
 *  Thread:    any, while nobody changes opts.
 *  Ownership: -
 *  Since:     0.1    Source: - */
PUBSUB_API pubsub_err pubsub_options_check(const pubsub_options *opts, uint32_t scope,
                                           pubsub_error *err);

/** How many options are set.
 *  @param opts  may be NULL.
 *  Returns:   0..PUBSUB_OPTIONS_MAX.
 *  Thread:    any, while nobody changes opts.
 *  Ownership: -
 *  Since:     0.1    Source: - */
PUBSUB_API size_t pubsub_options_count(const pubsub_options *opts);

/** One option that is set, in the order of names.
 *  @param opts    may be NULL.
 *  @param index   0..count-1.
 *  @param value   receives the text as it was set, also of secrets; may be NULL.
 *  @param secret  receives whether it must not be printed; may be NULL.
 *  Returns:   the name, or NULL when index is out of range.
 *  Thread:    any, while nobody changes opts.
 *  Ownership: belongs to opts, until the option is set or unset again.
 *  Since:     0.1    Source: - */
PUBSUB_API const char *pubsub_options_at(const pubsub_options *opts, size_t index,
                                         const char **value, bool *secret);

/** One row of the table: the generic rows first, then those of each adapter that is built in.
 *  @param index  0, 1, ...
 *  Returns:   the row, or NULL after the last.
 *  Thread:    any.
 *  Ownership: static.
 *  Since:     0.1    Source: - */
PUBSUB_API const pubsub_option_row *pubsub_option_at(size_t index);

/** Find the row of a name.
 *  @param name  "prefetch" or "mqtt.client_id", not NULL.
 *  @param err   optional detail with the nearest valid name, may be NULL.
 *  Returns:   the row, or NULL when there is none or its adapter is not built in.
 *  Thread:    any.
 *  Ownership: static.
 *  Since:     0.1    Source: - */
PUBSUB_API const pubsub_option_row *pubsub_option_find(const char *name, pubsub_error *err);

#ifdef __cplusplus
}
#endif

#endif
