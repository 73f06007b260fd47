/* SPDX-License-Identifier: MIT */
#include "mqtt/adapter.h"

#include "base/alloc.h"
#include "base/clock.h"

#include <string.h>

/* Connections: which host and version is tried, what is kept over a loss, and how one ends. */

enum {
    TICK_CONNECT_MS = 5,
    TICK_BUSY_MS = 10,
    TICK_IDLE_MS = 500,
    /* In a row, after which a connection that breaks at once was taken over. */
    QUICK_LOSSES = 3,
    /* The same when publishes are lost with it: more than it takes to find out one that is poison. */
    QUICK_LOSSES_BUSY = 12,
    /* The library sends what is in flight again as long as the session lives. */
    BARREN_LOSSES = 5,
    /* Of one attempt, when the engine doubts its failure. */
    REPEATS = 2
};
#define QUICK_NS UINT64_C(5000000000)

mqtt_link *pubsub__mqtt_link_find(const mqtt_self *self, uint32_t number)
{
    mqtt_link *link = self->links;
    while (link != NULL && (link->number != number || link->orphan)) {
        link = link->next;
    }
    return link;
}

mqtt_link *pubsub__mqtt_link_add(mqtt_self *self, uint32_t number, mqtt_link_kind kind,
                                 const char *client_id)
{
    mqtt_link *link = pubsub__calloc(1, sizeof(*link));
    char *id = pubsub__strdup(client_id);
    if (link == NULL || id == NULL) {
        pubsub__free(link);
        pubsub__free(id);
        return NULL;
    }
    link->self = self;
    link->number = number;
    link->kind = kind;
    link->client_id = id;
    link->connack.version = self->version == MQTT_V311 ? MQTT_V311 : MQTT_V5;
    link->connack.ids_available = link->connack.version >= MQTT_V5;
    mqtt_link **at = &self->links;
    while (*at != NULL) {
        at = &(*at)->next;
    }
    *at = link;
    return link;
}

void pubsub__mqtt_link_free(mqtt_link *link, bool forked)
{
    if (link->engine != NULL) {
        link->self->engine->free(link->engine, forked);
    }
    pubsub__mqtt_ops_drop(link->self, link);
    pubsub__mqtt_stale_end(link, false);
    pubsub__free(link->client_id);
    pubsub__free(link);
}

void pubsub__mqtt_links_sweep(mqtt_self *self)
{
    for (mqtt_link **at = &self->links; *at != NULL;) {
        mqtt_link *link = *at;
        if (link->state == MQTT_LINK_GONE) {
            *at = link->next;
            pubsub__mqtt_link_free(link, false);
        } else {
            at = &link->next;
        }
    }
    if (self->close_wanted && self->links == NULL) {
        self->close_wanted = false;
        pubsub_timer_free(self->timer);
        self->timer = NULL;
        pubsub_sink_closed(self->sink);
    }
}

/* ---- connecting ---------------------------------------------------------------------------------- */

static void choose_session(const mqtt_link *link, mqtt_target *target)
{
    const mqtt_self *self = link->self;
    switch (link->kind) {
    case MQTT_LINK_PLAIN:
        target->session_expiry_s = self->session_expiry_s;
        target->clean = !link->had_session || target->version < MQTT_V5 ||
                        target->session_expiry_s == 0 || link->barren >= BARREN_LOSSES;
        if (link->number == 0) {
            pubsub__mqtt_target_will(self, target);
        }
        break;
    case MQTT_LINK_GROUP:
        target->clean = true;
        break;
    case MQTT_LINK_DURABLE:
        target->clean = link->reset || link->state == MQTT_LINK_FORGETTING;
        target->session_expiry_s = pubsub__mqtt_seconds(
            link->subs == NULL ? self->config->options : link->subs->spi->request.options,
            "mqtt.durable_expiry");
        break;
    }
}

/* What is left of connect_timeout is for the hosts that are left; a little less, so that the engine's
 * error, which says more, comes before the core's. */
static pubsub_duration_ms share(const mqtt_link *link, pubsub_duration_ms timeout)
{
    int64_t spent = (int64_t)((pubsub__clock_mono_ns() - link->begun_ns) / 1000000u);
    int64_t left = timeout - timeout / 20 - spent;
    int64_t own = left / (int64_t)(link->hosts_left + 1);
    return own > 1 ? own : 1;
}

static pubsub_err attempt(mqtt_link *link, pubsub_error *err)
{
    mqtt_target target;
    pubsub__mqtt_target(link->self, link->host, &target);
    target.version = link->version;
    target.client_id = link->client_id;
    target.timeout = share(link, target.timeout);
    choose_session(link, &target);
    return link->self->engine->connect(link->engine, &target, err);
}

static pubsub_err begin(mqtt_link *link, pubsub_error *err)
{
    mqtt_self *self = link->self;
    if (link->engine == NULL) {
        self->host.host = link;
        link->engine = self->engine->open(&self->host, err);
        if (link->engine == NULL) {
            return PUBSUB_ENOMEM;
        }
        link->had_session = false;
        link->unsure = false;
        link->in_flight = 0;
        link->barren = 0;
        self->alone = self->alone && link->number != 0;
    }
    link->begun_ns = pubsub__clock_mono_ns();
    link->version = self->wanted_version != 0 ? self->wanted_version
                    : self->version != 0      ? self->version
                                              : MQTT_V5;
    link->host = self->good_host;
    link->hosts_left = pubsub__mqtt_host_count(self->config) - 1;
    link->repeats = 0;
    return attempt(link, err);
}

pubsub_err pubsub__mqtt_connect(void *ctx, uint32_t number, pubsub_error *err)
{
    mqtt_self *self = ctx;
    self->closing = false;
    mqtt_link *link = pubsub__mqtt_link_find(self, number);
    if (link == NULL && number == 0) {
        link = pubsub__mqtt_link_add(self, 0, MQTT_LINK_PLAIN, self->client_id);
    }
    if (self->timer == NULL) {
        self->timer = pubsub_timer_new(self->sink, pubsub__mqtt_on_timer, self);
    }
    if (link == NULL || self->timer == NULL) {
        return pubsub_error_set(err, PUBSUB_ENOMEM, "no memory for a connection");
    }
    link->state = MQTT_LINK_CONNECTING;
    pubsub_err rc = begin(link, err);
    if (rc != PUBSUB_OK) {
        link->state = MQTT_LINK_DOWN;
        return rc;
    }
    pubsub__mqtt_timer_set(self);
    return PUBSUB_OK;
}

void pubsub__mqtt_disconnect(void *ctx, uint32_t number, bool final)
{
    mqtt_self *self = ctx;
    if (final && number == 0) { /* also what is only on its way out */
        self->close_wanted = false;
        for (mqtt_link *link = self->links; link != NULL; link = link->next) {
            if (link->orphan) {
                link->state = MQTT_LINK_GONE;
            }
        }
    }
    mqtt_link *link = pubsub__mqtt_link_find(self, number);
    if (link != NULL && link->state == MQTT_LINK_CONNECTING) { /* not with this one again */
        self->good_host = (link->host + 1) % pubsub__mqtt_host_count(self->config);
        link->unsure = true;
    }
    if (link != NULL && link->engine != NULL) {
        if (final) {
            self->engine->free(link->engine, false);
            link->engine = NULL;
            link->in_flight = 0;
            pubsub__mqtt_ops_drop(self, link);
        } else {
            self->engine->abort(link->engine);
        }
        link->state = MQTT_LINK_DOWN;
    }
    if (final && link != NULL && link->subs == NULL) {
        link->state = MQTT_LINK_GONE;
    }
    pubsub__mqtt_links_sweep(self);
}

/* ---- what became of it --------------------------------------------------------------------------- */

static uint64_t main_up_ns(const mqtt_self *self)
{
    const mqtt_link *main = pubsub__mqtt_link_find(self, 0);
    return main != NULL && main->state == MQTT_LINK_UP ? main->up_ns : 0;
}

static void on_connected(void *host, const mqtt_connack *connack)
{
    mqtt_link *link = host;
    mqtt_self *self = link->self;
    self->progress++;
    if (link->state == MQTT_LINK_FORGETTING) {
        link->state = MQTT_LINK_CLOSING;
        self->engine->disconnect(link->engine, true);
        return;
    }
    link->connack = *connack;
    if (link->number != 0 && (link->main_up_ns == 0 || link->main_up_ns != main_up_ns(self))) {
        link->quick_losses = 0; /* all of them were lost: the network, or the broker */
    }
    link->state = MQTT_LINK_UP;
    link->reset = false;
    link->had_session = true;
    link->lost_some = false;
    link->old_first = link->in_flight > 0;
    link->up_ns = pubsub__clock_mono_ns();
    self->good_host = link->host;
    if (connack->version >= MQTT_V5 && link->host < 64) {
        self->spoke_5 |= UINT64_C(1) << link->host;
    }
    if (link->barren >= BARREN_LOSSES) {
        link->barren = 0;
    }
    for (mqtt_sub *sub = link->subs; sub != NULL; sub = sub->next) {
        sub->asked = sub->asked && connack->session_present;
        sub->subscribed = sub->subscribed && connack->session_present;
        /* Until it is answered: the next connection finds the session that this one has begun. */
        sub->broken = sub->ever && (sub->broken || link->unsure || !connack->session_present);
    }
    pubsub__mqtt_stale_end(link, connack->session_present);
    link->unsure = false;
    if (link->number == 0) {
        pubsub_caps caps;
        self->version = connack->version;
        pubsub__mqtt_server_caps(self, connack, &caps);
        pubsub_sink_caps(self->sink, &caps);
    }
    pubsub_sink_link_up(self->sink, link->number);
}

/* A server that goes down, or a proxy before one that is down, closes connections without a word, as some
 * do that speak only 3.1.1; not those that have spoken 5 before. */
static bool is_old_server(const mqtt_link *link, const mqtt_failure *failure)
{
    bool spoke_5 = link->host < 64 && (link->self->spoke_5 >> link->host & 1) != 0;
    return failure->version_refused && (failure->reason != 0 || !spoke_5);
}

/* The core connects again only after some errors. What it does not mend it gives up: the number of the
 * link may be another's soon, and publishes are no longer ours to report. */
static void link_down(mqtt_link *link, const pubsub_error *error)
{
    mqtt_self *self = link->self;
    bool reconnect = true;
    (void)pubsub_options_bool(self->config->options, "reconnect", &reconnect);
    bool for_good = !reconnect || !pubsub_err_is_retryable(error->code);
    link->state = MQTT_LINK_DOWN;
    pubsub_sink_link_down(self->sink, link->number, error);
    if (for_good) {
        link->orphan = link->number != 0;
        link->in_flight = 0;
        self->engine->free(link->engine, false);
        link->engine = NULL;
        pubsub__mqtt_ops_drop(self, link);
    }
}

/* The same again in doubt, another version on the same host, then the next host. */
static bool try_other(mqtt_link *link, const mqtt_failure *failure)
{
    mqtt_self *self = link->self;
    pubsub_error error = PUBSUB_ERROR_INIT;
    if (failure->doubtful && link->repeats < REPEATS) {
        link->repeats++;
        return attempt(link, &error) == PUBSUB_OK;
    }
    link->repeats = 0;
    if (is_old_server(link, failure) && self->wanted_version == 0 && link->version == MQTT_V5) {
        link->version = MQTT_V311;
    } else if (link->hosts_left > 0 &&
               (!failure->reached || pubsub_err_is_retryable(failure->error.code))) {
        link->hosts_left--;
        link->host = (link->host + 1) % pubsub__mqtt_host_count(self->config);
        link->version = self->wanted_version != 0 ? self->wanted_version : MQTT_V5;
    } else {
        return false;
    }
    return attempt(link, &error) == PUBSUB_OK;
}

static void on_failed(void *host, const mqtt_failure *failure)
{
    mqtt_link *link = host;
    link->self->progress++;
    link->unsure = link->unsure || failure->perhaps_made;
    if (link->state == MQTT_LINK_FORGETTING) {
        link->state = MQTT_LINK_GONE;
        return;
    }
    if (link->state != MQTT_LINK_CONNECTING || try_other(link, failure)) {
        return;
    }
    pubsub_error error = failure->error;
    if (failure->version_refused && link->self->wanted_version == MQTT_V5) {
        pubsub_error_set(&error, error.code, "%s; it may speak only 3.1.1, and mqtt.version is 5",
                         pubsub_error_text(&failure->error));
        error.native_code = failure->error.native_code;
    }
    link->self->version = 0; /* whoever answers next may be another broker */
    link_down(link, &error);
}

/* Of two clients with one name each throws the other out, and brokers often do not say so (3.1.1 cannot,
 * mosquitto never does). It looks like a bad network, but for this: link 0 is not lost with the others. */
static bool is_thrown_out(mqtt_link *link, const mqtt_failure *failure)
{
    bool named = link->kind == MQTT_LINK_DURABLE ||
                 pubsub_options_is_set(link->self->config->options, "client_id");
    bool quick = pubsub__clock_mono_ns() - link->up_ns < QUICK_NS;
    bool busy = link->in_flight > 0 || link->lost_some;
    link->main_up_ns = link->number == 0 ? 0 : main_up_ns(link->self);
    if (!named || failure->reason != 0 || !quick) {
        link->quick_losses = 0;
        return false;
    }
    return ++link->quick_losses >= (busy ? QUICK_LOSSES_BUSY : QUICK_LOSSES);
}

static void on_lost(void *host, const mqtt_failure *failure)
{
    mqtt_link *link = host;
    mqtt_self *self = link->self;
    pubsub_error error = failure->error;
    self->progress++;
    if (link->state == MQTT_LINK_CLOSING) {
        link->state = MQTT_LINK_GONE;
        return;
    }
    if (link->state != MQTT_LINK_UP) {
        return;
    }
    link->barren += link->in_flight > 0 || link->lost_some;
    if (is_thrown_out(link, failure)) {
        pubsub_error_set(&error, PUBSUB_ETAKEN,
                         "the broker closed the connection of '%.80s' %u times right after it was "
                         "opened: probably another client uses this name",
                         link->client_id, link->quick_losses);
    }
    link_down(link, &error);
}

/* ---- ending -------------------------------------------------------------------------------------- */

static void say_disconnect(mqtt_link *link)
{
    link->state = MQTT_LINK_CLOSING;
    bool end = link->kind != MQTT_LINK_DURABLE || link->forget;
    link->self->engine->disconnect(link->engine, end);
}

void pubsub__mqtt_link_end(mqtt_link *link, bool forget)
{
    link->orphan = true;
    link->forget = forget;
    if (link->engine != NULL && link->state == MQTT_LINK_UP) {
        say_disconnect(link);
        pubsub__mqtt_timer_set(link->self);
        return;
    }
    link->state = MQTT_LINK_GONE;
    pubsub_sink_wake(link->self->sink); /* freed there: its engine may be under us now */
}

static void on_closed(void *host)
{
    mqtt_link *link = host;
    link->self->progress++;
    bool again = link->forget && link->kind == MQTT_LINK_DURABLE &&
                 link->connack.version < MQTT_V5 && link->state == MQTT_LINK_CLOSING;
    pubsub_error error = PUBSUB_ERROR_INIT;
    link->forget = false;
    link->state = again ? MQTT_LINK_FORGETTING : MQTT_LINK_GONE;
    if (again && attempt(link, &error) != PUBSUB_OK) {
        link->state = MQTT_LINK_GONE;
    }
}

const mqtt_events pubsub__mqtt_events = {.connected = on_connected,
                                         .failed = on_failed,
                                         .lost = on_lost,
                                         .published = pubsub__mqtt_published,
                                         .subscribed = pubsub__mqtt_subscribed,
                                         .unsubscribed = pubsub__mqtt_unsubscribed,
                                         .message = pubsub__mqtt_message,
                                         .overflowed = pubsub__mqtt_overflowed,
                                         .closed = on_closed};

/* ---- the timer ----------------------------------------------------------------------------------- */

static pubsub_duration_ms tick(const mqtt_self *self)
{
    pubsub_duration_ms wait = self->ops != NULL ? TICK_BUSY_MS : PUBSUB_FOREVER;
    for (const mqtt_link *link = self->links; link != NULL; link = link->next) {
        pubsub_duration_ms own = link->state == MQTT_LINK_UP
                                     ? (link->in_flight > 0 ? TICK_BUSY_MS : TICK_IDLE_MS)
                                 : link->state == MQTT_LINK_DOWN ? PUBSUB_FOREVER
                                                                 : TICK_CONNECT_MS;
        if (own != PUBSUB_FOREVER && (wait == PUBSUB_FOREVER || own < wait)) {
            wait = own;
        }
    }
    return wait;
}

void pubsub__mqtt_timer_set(mqtt_self *self)
{
    pubsub_duration_ms wait = tick(self);
    if (self->timer != NULL && wait != PUBSUB_FOREVER) {
        pubsub_timer_start(self->timer, wait);
    }
}

void pubsub__mqtt_on_timer(void *ctx)
{
    mqtt_self *self = ctx;
    if (self->retry_ns != 0 && pubsub_sink_now_ns(self->sink) >= self->retry_ns) {
        self->retry_ns = 0;
        pubsub_sink_writable(self->sink);
    }
    /* While events come, the library is awake. */
    for (mqtt_link *link = self->links; self->progress == self->progress_seen && link != NULL;
         link = link->next) {
        if (link->engine != NULL) {
            self->engine->nudge(link->engine);
        }
    }
    self->progress_seen = self->progress;
    pubsub__mqtt_timer_set(self);
}
