/* SPDX-License-Identifier: MIT */
/* Bytes and properties come through as they were: sizes, all byte values, odd strings. */
#include "conformance/suites.h"

#include <stdio.h>
#include <stdlib.h>

#define LEN(array) (sizeof(array) / sizeof((array)[0]))

/* Names and values that broke somebody's broker once; all valid UTF-8. */
static const char *const weird[] = {"a/b/c",
                                    "../../x",
                                    "..\\..\\x",
                                    "a\"b'c`d",
                                    "   ",
                                    " leading and trailing ",
                                    "tab\tnewline\nreturn\r",
                                    "\xe2\x98\xba\xe2\x98\xba\xe2\x98\xba",
                                    "\xf0\x9f\x98\x80 astral",
                                    "\xc3\xa9",
                                    "%2E%25+&=?#;",
                                    "{\"json\":[1,2]}",
                                    "<xml/>&amp;",
                                    "$dollar ${x} $(x)",
                                    "*+#|\\^~",
                                    "Content-Type",
                                    "\x01\x02\x03\x1b\x1f",
                                    "\x7f"};

/* Bytes that differ from place to place. */
static char *pattern_bytes(size_t len)
{
    char *bytes = test_malloc(len + 1);
    uint32_t state = (uint32_t)len * 2654435761u + 1u;
    for (size_t i = 0; i < len; i++) {
        state = state * 1664525u + 1013904223u;
        bytes[i] = (char)(state >> 24);
    }
    return bytes;
}

static void check_size(conf *t, kit_peer *peer, kit_sub *sub, const char *topic, size_t len)
{
    char *bytes = pattern_bytes(len);
    size_t before = kit_count(sub);
    pubsub_publication pub = kit_publication(topic, "");
    pub.payload = (pubsub_bytes){bytes, len};
    (void)kit_store(peer, &pub);
    KIT_AWAIT(t->net, kit_count(sub) == before + 1);
    assert_int_equal(kit_at(sub, before)->payload.len, len);
    assert_true(kit_same(kit_at(sub, before)->payload, pub.payload));
    test_free(bytes);
}

static void sizes_from_empty_to_a_mebibyte(conf *t)
{
    static const size_t sizes[] = {0,    1,     7,     8,     9,     255,    256,    1000,  4095,
                                   4096, 16383, 16384, 65535, 65536, 131072, 262145, 999999};
    const char *topic = conf_topic(t, "a");
    kit_peer *peer = conf_peer(t);
    kit_sub *sub = kit_subscribe(peer, topic, NULL);
    for (size_t i = 0; i < LEN(sizes); i++) {
        if (t->caps.max_payload == 0 || sizes[i] <= t->caps.max_payload) {
            check_size(t, peer, sub, topic, sizes[i]);
        }
    }
    assert_false(kit_at(sub, 0)->tombstone);
}

static void the_biggest_payload_and_one_byte_more(conf *t)
{
    const char *topic = conf_topic(t, "a");
    pubsub_error error = PUBSUB_ERROR_INIT;
    uint64_t max = t->caps.max_payload;
    kit_peer *peer = conf_peer(t);
    kit_sub *sub = NULL;
    char *bytes = NULL;
    pubsub_publication pub = kit_publication(topic, "");
    pubsub_err result = PUBSUB_OK;
    if (max == 0 || max > 64u << 20) {
        conf_skip(t, "no limit known that fits a test");
    }
    sub = kit_subscribe(peer, topic, "prefetch_bytes=128M");
    check_size(t, peer, sub, topic, (size_t)max);
    bytes = pattern_bytes((size_t)max + 1);
    pub.payload = (pubsub_bytes){bytes, (size_t)max + 1};
    result = pubsub_client_publish(peer->client, &pub, 0, &error);
    test_free(bytes);
    KIT_ERR(PUBSUB_ETOOBIG, result);
    KIT_SAYS(error.text, conf_text(t, "%llu", (unsigned long long)max));
    conf_fence(t, peer, topic, sub);
}

/* A message beyond the subscription's credit in bytes still comes, alone. */
static void bigger_than_the_prefetch(conf *t)
{
    const char *topic = conf_topic(t, "a");
    kit_peer *peer = conf_peer(t);
    kit_sub *sub = kit_subscribe(peer, topic, "prefetch_bytes=4k");
    for (size_t i = 0; i < 5; i++) {
        check_size(t, peer, sub, topic, 100000 + i);
    }
}

static void all_byte_values(conf *t)
{
    const char *topic = conf_topic(t, "a");
    unsigned char bytes[512];
    pubsub_publication pub = kit_publication(topic, "");
    kit_peer *peer = conf_peer(t);
    kit_sub *sub = kit_subscribe(peer, topic, NULL);
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (unsigned char)(i < 256 ? i : 511 - i);
    }
    pub.payload = (pubsub_bytes){bytes, sizeof(bytes)};
    kit_send(peer, &pub);
    KIT_AWAIT(t->net, kit_count(sub) == 1);
    assert_true(kit_same(kit_at(sub, 0)->payload, pub.payload));
}

/* ---- headers ------------------------------------------------------------------------------- */

static pubsub_header header(const char *name, const char *value)
{
    return (pubsub_header){pubsub_bytes_of(name), pubsub_bytes_of(value)};
}

/* Where the n-th of them is in what came: there too, or as many of its name are before it. */
static size_t place_of_header(const conf *t, const pubsub_header *headers, size_t n,
                              const kit_message *got)
{
    size_t before = 0;
    if (!t->adapter->headers_by_name) {
        return n;
    }
    for (size_t i = 0; i < n; i++) {
        before += kit_same(headers[i].name, headers[n].name) ? 1 : 0;
    }
    for (size_t i = 0; i < got->header_count; i++) {
        if (kit_same(got->headers[i].name, headers[n].name) && before-- == 0) {
            return i;
        }
    }
    fail_msg("header %zu did not come", n);
    return 0;
}

static void check_headers(conf *t, kit_peer *peer, kit_sub *sub, const pubsub_header *headers,
                          size_t count)
{
    size_t before = kit_count(sub);
    pubsub_publication pub = kit_publication(sub->pattern, "with headers");
    const kit_message *got = NULL;
    pub.headers = headers;
    pub.header_count = count;
    (void)kit_store(peer, &pub);
    KIT_AWAIT(t->net, kit_count(sub) == before + 1);
    got = kit_at(sub, before);
    assert_int_equal(got->header_count, count);
    for (size_t i = 0; i < count; i++) {
        size_t at = place_of_header(t, headers, i, got);
        assert_true(kit_same(got->headers[at].name, headers[i].name));
        assert_true(kit_same(got->headers[at].value, headers[i].value));
    }
}

static void headers_keep_order_and_repeats(conf *t)
{
    const pubsub_header headers[] = {header("b", "1"), header("a", "2"), header("b", "3"),
                                     header("empty", ""), header("b", "1")};
    kit_peer *peer = conf_peer(t);
    kit_sub *sub = kit_subscribe(peer, conf_topic(t, "a"), NULL);
    check_headers(t, peer, sub, headers, LEN(headers));
    assert_true(kit_is(kit_header(kit_at(sub, 0), "b"), "1"));
    assert_int_equal(kit_header_count(kit_at(sub, 0), "b"), 3);
    assert_null(kit_header(kit_at(sub, 0), "c").data);
    check_headers(t, peer, sub, NULL, 0);
}

static bool has_control(const char *text)
{
    for (size_t i = 0; text[i] != '\0'; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f) {
            return true;
        }
    }
    return false;
}

/* A broker may refuse control characters in names, at the call; a value always comes through. */
static bool name_is_refused(kit_peer *peer, const char *topic, const char *name)
{
    pubsub_error error = PUBSUB_ERROR_INIT;
    const pubsub_header one = header(name, "x");
    pubsub_publication pub = kit_publication(topic, "probe");
    pubsub_err result = PUBSUB_OK;
    if (!has_control(name)) {
        return false;
    }
    pub.headers = &one;
    pub.header_count = 1;
    result = pubsub_client_publish(peer->client, &pub, 0, &error);
    if (result != PUBSUB_OK) {
        KIT_ERR(PUBSUB_EINVAL, result);
        assert_true(error.text[0] != '\0');
    }
    return result != PUBSUB_OK;
}

static void weird_strings_in_headers(conf *t)
{
    pubsub_header headers[LEN(weird)];
    kit_peer *peer = conf_peer(t);
    kit_sub *sub = kit_subscribe(peer, conf_topic(t, "a"), NULL);
    for (size_t i = 0; i < LEN(weird); i++) {
        bool refused = name_is_refused(peer, conf_topic(t, "elsewhere"), weird[i]);
        headers[i] = header(refused ? "plain" : weird[i], weird[LEN(weird) - 1 - i]);
    }
    check_headers(t, peer, sub, headers, LEN(weird));
}

static void binary_header_values(conf *t)
{
    unsigned char bytes[256];
    pubsub_header headers[2] = {header("all", ""), header("nul", "")};
    kit_peer *peer = conf_peer(t);
    kit_sub *sub = kit_subscribe(peer, conf_topic(t, "a"), NULL);
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (unsigned char)i;
    }
    headers[0].value = (pubsub_bytes){bytes, sizeof(bytes)};
    headers[1].value = (pubsub_bytes){"\0", 1};
    check_headers(t, peer, sub, headers, 2);
}

static void many_headers(conf *t)
{
    static char names[PUBSUB_HEADERS_MAX + 1][16];
    static pubsub_header headers[PUBSUB_HEADERS_MAX + 1];
    kit_peer *peer = conf_peer(t);
    kit_sub *sub = kit_subscribe(peer, conf_topic(t, "a"), NULL);
    pubsub_publication pub = kit_publication(sub->pattern, "too many");
    pubsub_err result = PUBSUB_OK;
    for (size_t i = 0; i <= PUBSUB_HEADERS_MAX; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "name%zu", i);
        headers[i] = header(names[i], names[i]);
    }
    check_headers(t, peer, sub, headers, PUBSUB_HEADERS_MAX);
    pub.headers = headers;
    pub.header_count = PUBSUB_HEADERS_MAX + 1;
    result = pubsub_client_publish(peer->client, &pub, 0, NULL);
    assert_true(result == PUBSUB_ETOOBIG || result == PUBSUB_EINVAL);
}

static void bad_headers_are_refused_at_once(conf *t)
{
    char longest[PUBSUB_HEADER_NAME_MAX + 2];
    pubsub_header one = header("", "x");
    kit_peer *peer = conf_peer(t);
    pubsub_publication pub = kit_publication(conf_topic(t, "a"), "x");
    pub.headers = &one;
    pub.header_count = 1;
    KIT_ERR(PUBSUB_EINVAL, pubsub_client_publish(peer->client, &pub, 0, NULL));
    one = header("\xff\xfe", "x");
    KIT_ERR(PUBSUB_EUTF8, pubsub_client_publish(peer->client, &pub, 0, NULL));
    memset(longest, 'n', sizeof(longest));
    longest[sizeof(longest) - 1] = '\0';
    one = header(longest, "x");
    assert_int_not_equal(pubsub_client_publish(peer->client, &pub, 0, NULL), PUBSUB_OK);
    pub.headers = NULL;
    KIT_ERR(PUBSUB_EINVAL, pubsub_client_publish(peer->client, &pub, 0, NULL));
    pub = kit_publication(conf_topic(t, "a"), "x");
    pub.content_type = (pubsub_bytes){"\xff", 1};
    KIT_ERR(PUBSUB_EUTF8, pubsub_client_publish(peer->client, &pub, 0, NULL));
}

/* ---- other properties ---------------------------------------------------------------------- */

static void check_key(conf *t, kit_peer *peer, kit_sub *sub, pubsub_bytes key)
{
    size_t before = kit_count(sub);
    pubsub_publication pub = kit_publication(sub->pattern, "keyed");
    pub.key = key;
    (void)kit_store(peer, &pub);
    KIT_AWAIT(t->net, kit_count(sub) == before + 1);
    assert_int_equal(kit_at(sub, before)->has_key, key.data != NULL);
    assert_true(kit_same(kit_at(sub, before)->key, key));
}

static void keys_of_all_kinds(conf *t)
{
    kit_peer *peer = conf_peer(t);
    kit_sub *sub = kit_subscribe(peer, conf_topic(t, "a"), NULL);
    check_key(t, peer, sub, (pubsub_bytes){NULL, 0});
    check_key(t, peer, sub, (pubsub_bytes){"", 0});
    check_key(t, peer, sub, (pubsub_bytes){"\0\xff", 2});
    for (size_t i = 0; i < LEN(weird); i++) {
        check_key(t, peer, sub, pubsub_bytes_of(weird[i]));
    }
}

static void content_type_comes_along(conf *t)
{
    kit_peer *peer = conf_peer(t);
    kit_sub *sub = kit_subscribe(peer, conf_topic(t, "a"), NULL);
    pubsub_publication pub = kit_publication(sub->pattern, "{}");
    pub.content_type = pubsub_bytes_of("application/json; charset=utf-8");
    (void)kit_store(peer, &pub);
    kit_publish(peer, sub->pattern, "none");
    KIT_AWAIT(t->net, kit_count(sub) == 2);
    assert_true(kit_is(kit_at(sub, 0)->content_type, "application/json; charset=utf-8"));
    assert_int_equal(kit_at(sub, 1)->content_type.len, 0);
}

static void reply_to_and_correlation_come_along(conf *t)
{
    kit_peer *peer = conf_peer(t);
    kit_sub *sub = kit_subscribe(peer, conf_topic(t, "a"), NULL);
    kit_sub *answers = kit_subscribe(peer, conf_topic(t, "answers/1"), NULL);
    pubsub_publication pub = kit_publication(sub->pattern, "what time is it?");
    pubsub_publication answer = kit_publication("", "late");
    pub.reply_to = pubsub_bytes_of(answers->pattern);
    pub.correlation = (pubsub_bytes){"\0\x01\xff", 3};
    (void)kit_store(peer, &pub);
    KIT_AWAIT(t->net, kit_count(sub) == 1);
    assert_true(kit_same(kit_at(sub, 0)->reply_to, pub.reply_to));
    assert_true(kit_same(kit_at(sub, 0)->correlation, pub.correlation));
    answer.topic = kit_at(sub, 0)->reply_to;
    answer.correlation = kit_at(sub, 0)->correlation;
    (void)kit_store(peer, &answer);
    KIT_AWAIT(t->net, kit_count(answers) == 1);
    assert_true(kit_same(kit_at(answers, 0)->correlation, pub.correlation));
}

static void everything_at_once(conf *t)
{
    const pubsub_header headers[] = {header("h1", "v1"), header("h2", "v2")};
    kit_peer *peer = conf_peer(t);
    kit_sub *sub = kit_subscribe(peer, conf_topic(t, "a"), NULL);
    pubsub_publication pub = kit_publication(sub->pattern, "all");
    const kit_message *got = NULL;
    uint64_t now = kit_wall();
    pub.key = pubsub_bytes_of("key");
    pub.content_type = pubsub_bytes_of("text/plain");
    pub.reply_to = pubsub_bytes_of("back");
    pub.correlation = pubsub_bytes_of("id");
    pub.headers = headers;
    pub.header_count = 2;
    (void)kit_store(peer, &pub);
    KIT_AWAIT(t->net, kit_count(sub) == 1);
    got = kit_at(sub, 0);
    assert_true(kit_is(got->payload, "all") && kit_is(got->key, "key"));
    assert_true(kit_is(got->content_type, "text/plain") && kit_is(got->reply_to, "back"));
    assert_true(kit_is(got->correlation, "id") && kit_is(kit_header(got, "h2"), "v2"));
    if (got->timestamp_ns != 0) {
        assert_true(got->timestamp_ns > now - 3600 * UINT64_C(1000000000));
        assert_true(got->timestamp_ns < now + 3600 * UINT64_C(1000000000));
    }
}

static void tombstones_are_not_empty_messages(conf *t)
{
    kit_peer *peer = conf_peer(t);
    kit_sub *sub = kit_subscribe(peer, conf_topic(t, "a"), NULL);
    pubsub_publication pub = kit_publication(sub->pattern, "");
    pub.key = pubsub_bytes_of("k");
    (void)kit_store(peer, &pub);
    pub.flags = PUBSUB_PUBLISH_TOMBSTONE;
    (void)kit_store(peer, &pub);
    KIT_AWAIT(t->net, kit_count(sub) == 2);
    assert_false(kit_at(sub, 0)->tombstone);
    assert_true(kit_at(sub, 1)->tombstone);
    assert_true(kit_is(kit_at(sub, 1)->key, "k"));
    pub.payload = pubsub_bytes_of("not empty");
    KIT_ERR(PUBSUB_EINVAL, pubsub_client_publish(peer->client, &pub, 0, NULL));
}

/* ---- expiry -------------------------------------------------------------------------------- */

enum { SHORT = 30, SHORT_REMOTE = 500, LONG = 3600000 };

/* A connection takes its time before it sends anything, on a busy machine. */
static pubsub_duration_ms short_life(const conf *t)
{
    pubsub_duration_ms least =
        t->adapter->network != NULL || t->adapter->remote ? SHORT_REMOTE : SHORT;
    return t->adapter->expiry_step > least ? t->adapter->expiry_step : least;
}

/* One that expires soon, one that expires late, one that never does; on three topics where the last
 * value of each is asked for. */
static void store_three(conf *t, kit_peer *peer, const char *topic, uint32_t flags)
{
    const struct {
        const char *payload;
        pubsub_duration_ms expiry;
    } rows[] = {{"short-lived", short_life(t)}, {"long-lived", LONG}, {"for ever", 0}};
    for (size_t i = 0; i < LEN(rows); i++) {
        bool apart = (flags & PUBSUB_PUBLISH_RETAIN) != 0;
        pubsub_publication pub =
            kit_publication(apart ? conf_text(t, "%s/%zu", topic, i) : topic, rows[i].payload);
        pub.expiry = rows[i].expiry;
        pub.flags = flags;
        (void)kit_store(peer, &pub);
    }
}

/* `others` came besides. */
static void check_not_expired(conf *t, kit_sub *sub, uint64_t stored, size_t others)
{
    KIT_AWAIT(t->net, kit_find(sub, "for ever") != NULL && kit_find(sub, "long-lived") != NULL);
    assert_null(kit_find(sub, "short-lived"));
    assert_int_equal(kit_count(sub), 2 + others);
    assert_true(kit_find(sub, "long-lived")->expires_ns > stored);
    assert_int_equal(kit_find(sub, "for ever")->expires_ns, 0);
}

static void await_expiry(conf *t, uint64_t stored)
{
    uint64_t over =
        stored + (uint64_t)(2 * short_life(t) + t->adapter->expiry_step) * UINT64_C(1000000);
    KIT_AWAIT(t->net, kit_wall() > over);
}

/* Where messages wait for nobody but a subscriber that is busy. */
static void expired_behind_another(conf *t, kit_peer *peer, const char *topic)
{
    kit_sub *sub = NULL;
    uint64_t stored = 0;
    if (t->net->mode == KIT_DISPATCH) {
        conf_skip(t, "messages wait nowhere");
    }
    sub = kit_subscribe(conf_peer(t), topic, "prefetch=1");
    sub->peer->unpolled = true;
    (void)kit_store_text(peer, topic, "first");
    store_three(t, peer, topic, 0);
    stored = kit_wall();
    await_expiry(t, stored);
    sub->peer->unpolled = false;
    check_not_expired(t, sub, stored, 1);
}

/* In every way in which messages wait: in the history, for a durable name, as last value; else for a busy
 * subscriber. */
static void expired_messages_do_not_come(conf *t)
{
    const char *topic = conf_topic(t, "a");
    const char *options = NULL;
    bool history = conf_offers(t, F(FROM_EARLIEST));
    /* The queue of the topic keeps them for the next one, whatever name he gives. */
    bool shared = t->adapter->shared_topics;
    bool durable = conf_offers(t, F(DURABLE)) || shared;
    bool last = conf_offers(t, F(RETAIN) | F(PATTERNS));
    kit_peer *peer = conf_peer(t);
    uint64_t stored = 0;
    if (!history && !durable && !last) {
        expired_behind_another(t, peer, topic);
        return;
    }
    if (durable) {
        options = shared ? NULL : conf_text(t, "durable=%s", conf_name(t, "d"));
        kit_sub *away = kit_subscribe(conf_peer(t), topic, options);
        KIT_OK(pubsub_client_end(away->peer->client, kit_ms(KIT_PATIENCE), NULL), NULL);
    }
    (void)kit_store_text(peer, conf_topic(t, "before"),
                         "x"); /* connecting may take longer than SHORT */
    store_three(t, peer, topic, 0);
    if (last) {
        store_three(t, peer, conf_topic(t, "last"), PUBSUB_PUBLISH_RETAIN);
    }
    stored = kit_wall();
    await_expiry(t, stored);
    if (history) {
        check_not_expired(t, kit_subscribe(conf_peer(t), topic, "from=earliest"), stored, 0);
    }
    if (durable) {
        check_not_expired(t, kit_subscribe(conf_peer(t), topic, options), stored, 0);
    }
    if (last) {
        const char *pattern = conf_topic(t, "last/+");
        check_not_expired(t, kit_subscribe(conf_peer(t), pattern, "from=last"), stored, 0);
    }
}

const conf_case conf_payloads[] = {
    CONF_CASE(sizes_from_empty_to_a_mebibyte, CONF_ALL, 0, 0),
    CONF_CASE(the_biggest_payload_and_one_byte_more, CONF_THREAD, 0, 0),
    CONF_CASE(bigger_than_the_prefetch, CONF_ALL, 0, 0),
    CONF_CASE(all_byte_values, CONF_ALL, 0, 0),
    CONF_CASE(headers_keep_order_and_repeats, CONF_ALL, F(HEADERS), F(HEADERS)),
    CONF_CASE(weird_strings_in_headers, CONF_ALL, F(HEADERS), F(HEADERS)),
    CONF_CASE(binary_header_values, CONF_ALL, F(HEADERS), F(HEADERS)),
    CONF_CASE(many_headers, CONF_ALL, F(HEADERS), F(HEADERS)),
    CONF_CASE(bad_headers_are_refused_at_once, CONF_THREAD, F(HEADERS) | F(CONTENT_TYPE), 0),
    CONF_CASE(keys_of_all_kinds, CONF_ALL, F(KEY), F(KEY)),
    CONF_CASE(content_type_comes_along, CONF_ALL, F(CONTENT_TYPE), F(CONTENT_TYPE)),
    CONF_CASE(reply_to_and_correlation_come_along, CONF_ALL, F(REPLY_TO), F(REPLY_TO)),
    CONF_CASE(everything_at_once, CONF_ALL, F(HEADERS) | F(KEY) | F(CONTENT_TYPE) | F(REPLY_TO), 0),
    CONF_CASE(tombstones_are_not_empty_messages, CONF_ALL, F(TOMBSTONE) | F(KEY), F(TOMBSTONE)),
    CONF_CASE(expired_messages_do_not_come, CONF_ALL, F(EXPIRY), F(EXPIRY)),
    CONF_END};
