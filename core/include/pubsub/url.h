/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_URL_H
#define PUBSUB_URL_H

/** @file url.h
 *  Broker URLs, taken apart:
 *
 *    scheme:path?key=value                        local:  local:name  local:./dir  local:/abs/dir
 *    scheme://user:password@host:port,host2/path?key=value&key2=value2
 *
 *  Text is percent-decoded piece by piece (`+` is not a space). IPv6 hosts stand in brackets.
 *  Control characters, `%00`, fragments (`#`) and unencoded `@` in the password are refused. What a
 *  path or a query key means is up to the adapter of the scheme. */

#include <pubsub/error.h>
#include <pubsub/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The longest URL, in bytes. */
#define PUBSUB_URL_MAX 8192
/** The most hosts in one URL. */
#define PUBSUB_URL_HOSTS_MAX 16
/** The most query parameters in one URL. */
#define PUBSUB_URL_QUERY_MAX 64

/** A parsed URL; read-only after parsing. */
typedef struct pubsub_url pubsub_url;

/** Parse a URL. No look-up of names, no check whether the scheme is known.
 *  @param out   receives the URL, not NULL; NULL is stored on failure.
 *  @param text  the URL, NUL-terminated, not NULL.
 *  @param err   optional detail: what is wrong at which byte offset, never any part of a password.
 *  Returns:   PUBSUB_OK, PUBSUB_EURL, PUBSUB_EINVAL, PUBSUB_ENOMEM.
 *  Thread:    any.
 *  Ownership: the caller frees *out with pubsub_url_free; text is borrowed for the call.
 *  Since:     0.1    Source: RFC 3986 §3, with a list of hosts */
PUBSUB_API pubsub_err pubsub_url_parse(pubsub_url **out, const char *text, pubsub_error *err);

/** Free a URL.
 *  @param url  may be NULL.
 *  Returns:   nothing.
 *  Thread:    owner.
 *  Ownership: url and everything its getters returned are gone.
 *  Since:     0.1    Source: - */
PUBSUB_API void pubsub_url_free(pubsub_url *url);

/** The scheme in lower case, "mqtt".
 *  @param url  not NULL.
 *  Returns:   a string, never NULL or empty.
 *  Thread:    any.
 *  Ownership: belongs to url.
 *  Since:     0.1    Source: - */
PUBSUB_API const char *pubsub_url_scheme(const pubsub_url *url);

/** The user, decoded.
 *  @param url  not NULL.
 *  Returns:   a string, or NULL when the URL names no user.
 *  Thread:    any.
 *  Ownership: belongs to url.
 *  Since:     0.1    Source: - */
PUBSUB_API const char *pubsub_url_user(const pubsub_url *url);

/** The password, decoded.
 *  @param url  not NULL.
 *  Returns:   a string, possibly empty, or NULL when the URL has no password.
 *  Thread:    any.
 *  Ownership: belongs to url; wiped when url is freed.
 *  Since:     0.1    Source: - */
PUBSUB_API const char *pubsub_url_password(const pubsub_url *url);

/** How many hosts the URL names.
 *  @param url  not NULL.
 *  Returns:   0..PUBSUB_URL_HOSTS_MAX; 0 for `local:name` and `local:///dir`.
 *  Thread:    any.
 *  Ownership: -
 *  Since:     0.1    Source: - */
PUBSUB_API size_t pubsub_url_host_count(const pubsub_url *url);

/** One host, decoded, IPv6 addresses without their brackets.
 *  @param url    not NULL.
 *  @param index  0..count-1.
 *  @param port   receives the port, 0 when the URL gives none; may be NULL.
 *  Returns:   a string, or NULL when index is out of range.
 *  Thread:    any.
 *  Ownership: belongs to url.
 *  Since:     0.1    Source: - */
PUBSUB_API const char *pubsub_url_host(const pubsub_url *url, size_t index, uint16_t *port);

/** The path, decoded: "name" of `local:name`, "/dir" of `local:///dir`, "" when there is none.
 *  @param url  not NULL.
 *  Returns:   a string, never NULL; with a host it is empty or begins with `/`.
 *  Thread:    any.
 *  Ownership: belongs to url.
 *  Since:     0.1    Source: - */
PUBSUB_API const char *pubsub_url_path(const pubsub_url *url);

/** How many query parameters the URL has.
 *  @param url  not NULL.
 *  Returns:   0..PUBSUB_URL_QUERY_MAX.
 *  Thread:    any.
 *  Ownership: -
 *  Since:     0.1    Source: - */
PUBSUB_API size_t pubsub_url_query_count(const pubsub_url *url);

/** One query parameter, decoded, in the order of the URL; a key may occur more than once.
 *  @param url    not NULL.
 *  @param index  0..count-1.
 *  @param value  receives the value, "" when there is no `=`; may be NULL.
 *  Returns:   the key, or NULL when index is out of range.
 *  Thread:    any.
 *  Ownership: key and value belong to url.
 *  Since:     0.1    Source: - */
PUBSUB_API const char *pubsub_url_query_at(const pubsub_url *url, size_t index, const char **value);

/** The value of the first query parameter with a key.
 *  @param url  not NULL.
 *  @param key  not NULL.
 *  Returns:   the decoded value, or NULL when there is none with that key.
 *  Thread:    any.
 *  Ownership: belongs to url.
 *  Since:     0.1    Source: - */
PUBSUB_API const char *pubsub_url_query(const pubsub_url *url, const char *key);

/** Write the URL for people: re-encoded, `***` for the password and for the values of query keys
 *  that look secret (password, secret, token, passphrase).
 *  @param url   not NULL.
 *  @param buf   receives the text, always NUL-terminated when size > 0, cut when too small.
 *  @param size  bytes in buf; 3 * PUBSUB_URL_MAX is always enough.
 *  Returns:   buf.
 *  Thread:    any.
 *  Ownership: nothing changes hands.
 *  Since:     0.1    Source: - */
PUBSUB_API const char *pubsub_url_redacted(const pubsub_url *url, char *buf, size_t size);

#ifdef __cplusplus
}
#endif

#endif
