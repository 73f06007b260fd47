/* SPDX-License-Identifier: MIT */
/* Never a silent downgrade: what is refused is refused by name, what is granted is what caps say. */
#include "conformance/suites.h"

#include <stdio.h>

/* How one feature is asked for: with a subscribe, or with a publish. */
typedef struct asking {
    pubsub_feature feature;
    const char *subscribe; /* options; %s = a name */
    const char *pattern;   /* when it is the pattern that asks */
    void (*publish)(pubsub_publication *pub);
} asking;

static pubsub_header plain_header;

static void ask_qos0(pubsub_publication *pub)
{
    pub->qos = PUBSUB_AT_MOST_ONCE;
}

static void ask_qos1(pubsub_publication *pub)
{
    pub->qos = PUBSUB_AT_LEAST_ONCE;
}

static void ask_qos2(pubsub_publication *pub)
{
    pub->qos = PUBSUB_EXACTLY_ONCE;
}

static void ask_retain(pubsub_publication *pub)
{
    pub->flags |= PUBSUB_PUBLISH_RETAIN;
}

static void ask_headers(pubsub_publication *pub)
{
    plain_header = (pubsub_header){pubsub_bytes_of("name"), pubsub_bytes_of("value")};
    pub->headers = &plain_header;
    pub->header_count = 1;
}

static void ask_key(pubsub_publication *pub)
{
    pub->key = pubsub_bytes_of("key");
}

static void ask_content_type(pubsub_publication *pub)
{
    pub->content_type = pubsub_bytes_of("text/plain");
}

static void ask_reply_to(pubsub_publication *pub)
{
    pub->reply_to = pubsub_bytes_of("back");
}

static void ask_tombstone(pubsub_publication *pub)
{
    pub->flags |= PUBSUB_PUBLISH_TOMBSTONE;
    pub->payload.len = 0;
}

static void ask_expiry(pubsub_publication *pub)
{
    pub->expiry = 3600000;
}

static const asking askings[] = {
    {PUBSUB_FEATURE_QOS0, "qos=0", NULL, ask_qos0},
    {PUBSUB_FEATURE_QOS1, "qos=1", NULL, ask_qos1},
    {PUBSUB_FEATURE_QOS2, "qos=2", NULL, ask_qos2},
    {PUBSUB_FEATURE_PATTERNS, "", "a/+", NULL},
    {PUBSUB_FEATURE_INNER_MULTI, "", "a/#/c", NULL},
    {PUBSUB_FEATURE_GROUP, "group=%s", NULL, NULL},
    {PUBSUB_FEATURE_DURABLE, "durable=%s", NULL, NULL},
    {PUBSUB_FEATURE_DURABLE_GROUP, "group=%s durable=yes", NULL, NULL},
    {PUBSUB_FEATURE_ACK, "ack=manual", NULL, NULL},
    {PUBSUB_FEATURE_NACK_DELAY, "nack_delay=1s", NULL, NULL},
    {PUBSUB_FEATURE_ATTEMPTS, "max_attempts=3", NULL, NULL},
    {PUBSUB_FEATURE_DEAD_LETTER, "dead_letter=dead", NULL, NULL},
    {PUBSUB_FEATURE_FROM_EARLIEST, "from=earliest", NULL, NULL},
    {PUBSUB_FEATURE_FROM_TIME, "from=2024-01-01T00:00:00Z", NULL, NULL},
    {PUBSUB_FEATURE_RETAIN, "from=last", NULL, ask_retain},
    {PUBSUB_FEATURE_HEADERS, NULL, NULL, ask_headers},
    {PUBSUB_FEATURE_KEY, NULL, NULL, ask_key},
    {PUBSUB_FEATURE_CONTENT_TYPE, NULL, NULL, ask_content_type},
    {PUBSUB_FEATURE_REPLY_TO, NULL, NULL, ask_reply_to},
    {PUBSUB_FEATURE_TOMBSTONE, NULL, NULL, ask_tombstone},
    {PUBSUB_FEATURE_ORDER_KEY, "order=key", NULL, NULL},
    {PUBSUB_FEATURE_ORDER_KEY_GROUP, "group=%s order=key", NULL, NULL},
    {PUBSUB_FEATURE_EXPIRY, NULL, NULL, ask_expiry}};

enum { ASKINGS = sizeof(askings) / sizeof(askings[0]) };

static const char *options_of(conf *t, const asking *one)
{
    const char *name = strstr(one->subscribe, "%s");
    if (name == NULL) {
        return one->subscribe;
    }
    return conf_text(t, "%.*s%s%s", (int)(name - one->subscribe), one->subscribe,
                     conf_name(t, pubsub_feature_name(one->feature)), name + 2);
}

static void check_text(const conf *t, const asking *one, const pubsub_error *error)
{
    /* Where there are no groups or patterns at all it is those that are refused. */
    bool group = one->subscribe != NULL && strstr(one->subscribe, "group=") != NULL &&
                 !conf_offers(t, F(GROUP));
    bool patterns = one->feature == PUBSUB_FEATURE_INNER_MULTI && !conf_offers(t, F(PATTERNS));
    KIT_SAYS(error->text, pubsub_feature_name(group      ? PUBSUB_FEATURE_GROUP
                                              : patterns ? PUBSUB_FEATURE_PATTERNS
                                                         : one->feature));
    assert_true(strstr(error->text, t->adapter->name) != NULL ||
                strcmp(error->adapter, t->adapter->name) == 0);
}

static pubsub_err ask_subscribe(conf *t, kit_peer *peer, const asking *one, const char *more,
                                pubsub_grant *grant, pubsub_error *error)
{
    const char *pattern = conf_topic(t, one->pattern != NULL ? one->pattern : "a");
    return kit_try_subscribe(peer, pattern, conf_text(t, "%s %s", options_of(t, one), more), grant,
                             error);
}

static pubsub_err ask_publish(conf *t, kit_peer *peer, const asking *one, uint32_t flags,
                              pubsub_error *error)
{
    pubsub_publication pub = kit_publication(conf_topic(t, "a"), "x");
    one->publish(&pub);
    pub.flags |= flags;
    return pubsub_client_publish_wait(peer->client, &pub, kit_ms(KIT_PATIENCE), NULL, error);
}

static bool is_refused(const conf *t, const asking *one)
{
    return t->caps.features[one->feature].support == PUBSUB_REFUSED;
}

/* Asked for by neither, and degrade=allow has nothing less to give. */
static void refused_request_is_refused_by_name(conf *t)
{
    pubsub_error error = PUBSUB_ERROR_INIT;
    pubsub_message *reply = NULL;
    kit_peer *peer = conf_peer_with(t, "degrade=allow");
    pubsub_publication pub = kit_publication(conf_topic(t, "a"), "x");
    if (conf_offers(t, F(REQUEST_REPLY))) {
        conf_skip(t, "requests are offered");
    }
    KIT_ERR(PUBSUB_ENOTSUP,
            pubsub_client_request(peer->client, &pub, kit_ms(KIT_PATIENCE), &reply, &error));
    KIT_SAYS(error.text, pubsub_feature_name(PUBSUB_FEATURE_REQUEST_REPLY));
    KIT_SAYS(error.text, t->adapter->name);
    assert_int_equal(pubsub_client_state(peer->client), PUBSUB_STATE_IDLE);
    conf_proves(t, F(REQUEST_REPLY));
}

static void refused_features_are_refused_by_name(conf *t)
{
    kit_peer *peer = conf_peer(t);
    for (size_t i = 0; i < ASKINGS; i++) {
        const asking *one = &askings[i];
        pubsub_error error = PUBSUB_ERROR_INIT;
        if (!is_refused(t, one)) {
            continue;
        }
        if (one->subscribe != NULL) {
            KIT_ERR(PUBSUB_ENOTSUP, ask_subscribe(t, peer, one, "", NULL, &error));
            check_text(t, one, &error);
        }
        if (one->publish != NULL) {
            KIT_ERR(PUBSUB_ENOTSUP, ask_publish(t, peer, one, 0, &error));
            check_text(t, one, &error);
        }
        conf_proves(t, UINT64_C(1) << one->feature);
    }
    assert_int_equal(pubsub_client_state(peer->client), PUBSUB_STATE_IDLE);
}

static void degrade_accepts_less_and_is_told(conf *t)
{
    kit_peer *peer = conf_peer(t);
    for (size_t i = 0; i < ASKINGS; i++) {
        const asking *one = &askings[i];
        pubsub_error error = PUBSUB_ERROR_INIT;
        pubsub_grant grant;
        if (!is_refused(t, one)) {
            continue;
        }
        memset(&grant, 0, sizeof(grant));
        if (one->subscribe != NULL) {
            KIT_OK(ask_subscribe(t, peer, one, "degrade=allow", &grant, &error), &error);
            assert_true((grant.refused >> one->feature & 1) != 0);
            assert_true(((grant.native | grant.emulated) >> one->feature & 1) == 0);
        }
        if (one->publish != NULL) {
            KIT_OK(ask_publish(t, peer, one, PUBSUB_PUBLISH_DEGRADE, &error), &error);
        }
    }
}

static void degraded_qos_is_told(conf *t)
{
    kit_peer *peer = conf_peer(t);
    pubsub_publication pub = kit_publication(conf_topic(t, "a"), "x");
    pubsub_grant grant;
    pubsub_error error = PUBSUB_ERROR_INIT;
    if (conf_offers(t, F(QOS2))) {
        conf_skip(t, "qos 2 is offered");
    }
    pub.qos = PUBSUB_EXACTLY_ONCE;
    pub.flags = PUBSUB_PUBLISH_DEGRADE;
    assert_int_equal(kit_store(peer, &pub).qos,
                     conf_offers(t, F(QOS1)) ? PUBSUB_AT_LEAST_ONCE : PUBSUB_AT_MOST_ONCE);
    KIT_OK(kit_try_subscribe(peer, conf_topic(t, "a"), "qos=2 degrade=allow", &grant, &error),
           &error);
    assert_int_equal(grant.qos,
                     conf_offers(t, F(QOS1)) ? PUBSUB_AT_LEAST_ONCE : PUBSUB_AT_MOST_ONCE);
}

static void grants_say_what_caps_say(conf *t)
{
    kit_peer *peer = conf_peer(t);
    for (size_t i = 0; i < ASKINGS; i++) {
        const asking *one = &askings[i];
        pubsub_error error = PUBSUB_ERROR_INIT;
        pubsub_grant grant;
        uint64_t bit = UINT64_C(1) << one->feature;
        memset(&grant, 0, sizeof(grant));
        if (is_refused(t, one)) {
            continue;
        }
        if (one->subscribe != NULL) {
            KIT_OK(ask_subscribe(t, peer, one, "", &grant, &error), &error);
            if (((grant.native | grant.emulated) & bit) == 0) {
                fail_msg("%s was asked for and is not in the grant",
                         pubsub_feature_name(one->feature));
            }
            assert_true(grant.refused == 0 && (grant.native & grant.emulated) == 0);
        }
        if (one->publish != NULL) {
            KIT_OK(ask_publish(t, peer, one, 0, &error), &error);
        }
    }
}

static void unset_qos_is_the_stronger_one(conf *t)
{
    pubsub_grant grant;
    pubsub_error error = PUBSUB_ERROR_INIT;
    pubsub_qos want = conf_offers(t, F(QOS1)) ? PUBSUB_AT_LEAST_ONCE : PUBSUB_AT_MOST_ONCE;
    kit_peer *peer = conf_peer(t);
    KIT_OK(kit_try_subscribe(peer, conf_topic(t, "a"), NULL, &grant, &error), &error);
    assert_int_equal(grant.qos, want);
    assert_int_equal(grant.refused, 0);
    assert_int_equal(kit_store_text(peer, conf_topic(t, "a"), "x").qos, want);
}

static void caps_after_connecting_are_no_more_than_before(conf *t)
{
    pubsub_caps before;
    pubsub_caps after;
    kit_peer *peer = conf_peer(t);
    KIT_OK(pubsub_client_caps(peer->client, &before), NULL);
    KIT_OK(pubsub_client_ready(peer->client, kit_ms(KIT_PATIENCE), NULL), NULL);
    KIT_OK(pubsub_client_caps(peer->client, &after), NULL);
    for (unsigned i = 0; i < PUBSUB_FEATURE_COUNT; i++) {
        assert_int_equal(before.features[i].support, t->caps.features[i].support);
        assert_non_null(before.features[i].note);
        assert_non_null(after.features[i].note);
        if (before.features[i].support == PUBSUB_REFUSED) {
            assert_int_equal(after.features[i].support, PUBSUB_REFUSED);
        }
    }
    assert_true(after.confirm <= before.confirm);
}

static void bad_values_are_refused_at_once(conf *t)
{
    static const char *const bad[] = {"from=yesterdayish", "from=-5x",      "qos=3",
                                      "prefetch=0",        "prefetch=many", "ack=often",
                                      "order=random",      "from="};
    kit_peer *peer = conf_peer(t);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char name[32];
        pubsub_error error = PUBSUB_ERROR_INIT;
        pubsub_options *options = kit_options(NULL);
        size_t len = strcspn(bad[i], "=");
        pubsub_err result = PUBSUB_OK;
        (void)snprintf(name, sizeof(name), "%.*s", (int)len, bad[i]);
        result = pubsub_options_set(options, name, bad[i] + len + 1, &error);
        if (result == PUBSUB_OK) {
            result = pubsub_client_subscribe(peer->client, conf_topic(t, "a"), options, NULL, NULL,
                                             NULL, &error);
        }
        pubsub_options_free(options);
        KIT_ERR(PUBSUB_EOPTION, result);
        KIT_SAYS(error.text, name);
    }
    assert_int_equal(pubsub_client_state(peer->client), PUBSUB_STATE_IDLE);
}

const conf_case conf_refusals[] = {
    CONF_CASE(refused_features_are_refused_by_name, CONF_POLLED, 0, 0),
    CONF_CASE(refused_request_is_refused_by_name, CONF_POLLED, 0, 0),
    CONF_CASE(degrade_accepts_less_and_is_told, CONF_POLLED, 0, 0),
    CONF_CASE(degraded_qos_is_told, CONF_POLLED, 0, 0),
    CONF_CASE(grants_say_what_caps_say, CONF_POLLED, 0, 0),
    CONF_CASE(unset_qos_is_the_stronger_one, CONF_POLLED, 0, 0),
    CONF_CASE(caps_after_connecting_are_no_more_than_before, CONF_POLLED, 0, 0),
    CONF_CASE(bad_values_are_refused_at_once, CONF_THREAD, 0, 0),
    CONF_END};
