/* SPDX-License-Identifier: MIT */
#include "redis/adapter.h"

#include "base/alloc.h"

#include <string.h>

/* The hub: one connection in subscriber mode for all subscriptions, each channel and pattern once. */

static uint32_t hash(bool glob, const char *name, size_t len)
{
    uint32_t value = glob ? 2166136261u : 84696351u; /* FNV-1a */
    for (size_t i = 0; i < len; i++) {
        value = (value ^ (unsigned char)name[i]) * 16777619u;
    }
    return value;
}

static bool is(const redis_channel *channel, bool glob, const char *name, size_t len)
{
    return channel->glob == glob && channel->len == len && memcmp(channel->name, name, len) == 0;
}

/* Messages come in runs, so the last one that was found often is the next. */
static redis_channel *find(redis_self *self, bool glob, const char *name, size_t len)
{
    if (self->recent != NULL && is(self->recent, glob, name, len)) {
        return self->recent;
    }
    uint32_t value = hash(glob, name, len);
    redis_channel *at =
        self->bucket_count == 0 ? NULL : self->buckets[value & (self->bucket_count - 1)];
    while (at != NULL && (at->hash != value || !is(at, glob, name, len))) {
        at = at->next;
    }
    self->recent = at;
    return at;
}

static bool grow(redis_self *self)
{
    size_t count = self->bucket_count == 0 ? 64 : self->bucket_count * 2;
    redis_channel **buckets = pubsub__calloc(count, sizeof(redis_channel *));
    if (buckets == NULL) {
        return self->bucket_count > 0;
    }
    for (size_t i = 0; i < self->bucket_count; i++) {
        while (self->buckets[i] != NULL) {
            redis_channel *one = self->buckets[i];
            self->buckets[i] = one->next;
            one->next = buckets[one->hash & (count - 1)];
            buckets[one->hash & (count - 1)] = one;
        }
    }
    pubsub__free(self->buckets);
    self->buckets = buckets;
    self->bucket_count = count;
    return true;
}

static redis_channel *add(redis_self *self, bool glob, const char *name, size_t len)
{
    if (self->channel_count >= self->bucket_count && !grow(self)) {
        return NULL;
    }
    redis_channel *channel = pubsub__calloc(1, sizeof(*channel) + len + 1);
    if (channel == NULL) {
        return NULL;
    }
    memcpy(channel->name, name, len);
    channel->len = len;
    channel->glob = glob;
    channel->hash = hash(glob, name, len);
    redis_channel **bucket = &self->buckets[channel->hash & (self->bucket_count - 1)];
    channel->next = *bucket;
    *bucket = channel;
    self->channel_count++;
    return channel;
}

static void release(redis_self *self, redis_channel *channel)
{
    redis_channel **at = &self->buckets[channel->hash & (self->bucket_count - 1)];
    while (*at != channel) {
        at = &(*at)->next;
    }
    *at = channel->next;
    self->recent = NULL;
    self->channel_count--;
    pubsub__free(channel->subs);
    pubsub__free(channel);
}

/* ---- telling the server ---------------------------------------------------------------------------- */

typedef struct asking {
    redis_self *self;
    redis_channel *channel;
} asking;

static void tell(redis_self *self, redis_channel *channel, const pubsub_error *err)
{
    if (channel == self->announcements) {
        for (redis_sub *sub = self->subs; sub != NULL; sub = sub->next) {
            if (err != NULL && sub->listening) { /* also one that reads: new topics would pass it */
                pubsub__redis_refuse(sub, err);
            } else if (err == NULL) {
                pubsub__redis_stream_hub(sub);
            }
        }
        return;
    }
    for (size_t i = channel->sub_count; i > 0; i--) {
        pubsub__redis_pubsub_confirmed(channel->subs[i - 1], err);
    }
}

static void on_answer(void *ctx, const redis_reply *reply, bool sent)
{
    asking *mine = ctx;
    redis_self *self = mine->self;
    redis_channel *channel = mine->channel;
    pubsub_error err = PUBSUB_ERROR_INIT;
    (void)sent;
    pubsub__free(mine);
    channel->asked--;
    if (channel->refs == 0 && channel->asked == 0) {
        release(self, channel);
        return;
    }
    if (reply == NULL || channel->asked > 0) {
        return;
    }
    if (pubsub__redis_error(reply, &err) != PUBSUB_OK) {
        tell(self, channel, &err);
    } else {
        channel->confirmed = true;
        tell(self, channel, NULL);
    }
}

static bool ask(redis_self *self, redis_channel *channel, bool leave)
{
    redis_conn *conn = self->hub == NULL ? NULL : self->hub->conn;
    if (!pubsub__redis_conn_is_up(conn)) {
        return true; /* when it is up */
    }
    asking *mine = pubsub__alloc(sizeof(*mine));
    if (mine == NULL) {
        return false;
    }
    *mine = (asking){self, channel};
    const char *command = leave ? (channel->glob ? "PUNSUBSCRIBE" : "UNSUBSCRIBE")
                                : (channel->glob ? "PSUBSCRIBE" : "SUBSCRIBE");
    pubsub_bytes words[2] = {pubsub_bytes_of(command), {channel->name, channel->len}};
    if (!pubsub__redis_conn_command(conn, on_answer, mine, words, 2)) {
        pubsub__free(mine);
        return false;
    }
    channel->asked++;
    channel->confirmed = false;
    return true;
}

/* ---- users of a channel ----------------------------------------------------------------------------- */

redis_channel *pubsub__redis_channel_join(redis_self *self, bool glob, const char *name, size_t len,
                                          redis_sub *sub)
{
    redis_channel *channel = find(self, glob, name, len);
    if (channel == NULL) {
        channel = add(self, glob, name, len);
    }
    if (channel == NULL) {
        return NULL;
    }
    if (channel->sub_count == channel->sub_cap) {
        size_t cap = channel->sub_cap == 0 ? 4 : channel->sub_cap * 2;
        redis_sub **subs = pubsub__realloc(channel->subs, cap * sizeof(redis_sub *));
        if (subs == NULL) {
            return NULL;
        }
        channel->subs = subs;
        channel->sub_cap = cap;
    }
    /* Also one that was refused: its users are about to leave, and this one wants its own answer. */
    bool asks = channel->refs == 0 || (!channel->confirmed && channel->asked == 0);
    if (asks && !ask(self, channel, false)) {
        return NULL;
    }
    channel->refs++;
    bool twice = channel->sub_count > 0 && channel->subs[channel->sub_count - 1] == sub;
    if (sub != NULL && !twice) { /* several of its patterns may lead here */
        channel->subs[channel->sub_count++] = sub;
    }
    return channel;
}

void pubsub__redis_channel_leave(redis_self *self, redis_channel *channel, const redis_sub *sub)
{
    for (size_t i = 0; sub != NULL && i < channel->sub_count; i++) {
        if (channel->subs[i] == sub) {
            channel->subs[i] = channel->subs[--channel->sub_count];
            break;
        }
    }
    if (--channel->refs > 0) {
        return;
    }
    (void)ask(self, channel, true);
    if (channel->asked == 0) {
        release(self, channel);
    }
}

void pubsub__redis_channels_free(redis_self *self)
{
    for (size_t i = 0; i < self->bucket_count; i++) {
        while (self->buckets[i] != NULL) {
            redis_channel *one = self->buckets[i];
            self->buckets[i] = one->next;
            pubsub__free(one->subs);
            pubsub__free(one);
        }
    }
    pubsub__free(self->buckets);
    self->buckets = NULL;
    self->bucket_count = self->channel_count = 0;
    self->recent = NULL;
}

/* ---- the connection --------------------------------------------------------------------------------- */

bool pubsub__redis_hub_open(redis_self *self)
{
    if (self->hub == NULL) {
        self->hub = pubsub__redis_link_new(self, REDIS_LINK_HUB, NULL);
    }
    return self->hub != NULL;
}

void pubsub__redis_hub_up(redis_self *self)
{
    for (size_t i = 0; i < self->bucket_count; i++) {
        for (redis_channel *one = self->buckets[i]; one != NULL; one = one->next) {
            if (one->refs > 0 && !ask(self, one, false)) {
                pubsub_sink_log(self->sink, PUBSUB_LOG_ERROR, "no memory to subscribe");
            }
        }
    }
}

void pubsub__redis_hub_lost(redis_self *self)
{
    for (size_t i = 0; i < self->bucket_count; i++) {
        redis_channel *next = NULL;
        for (redis_channel *one = self->buckets[i]; one != NULL; one = next) {
            next = one->next;
            one->confirmed = false;
            one->asked = 0;
            if (one->refs == 0) {
                release(self, one);
            }
        }
    }
    for (redis_sub *sub = self->subs; sub != NULL; sub = sub->next) {
        pubsub__redis_pubsub_idle(sub);
    }
}

/* ---- messages ------------------------------------------------------------------------------------------ */

void pubsub__redis_hub_push(redis_self *self, const redis_reply *reply)
{
    const redis_reply *kind = pubsub__redis_at(reply, 0);
    bool glob = pubsub__redis_is_text(kind, "pmessage");
    if (!glob && !pubsub__redis_is_text(kind, "message")) {
        return; /* PONG */
    }
    pubsub_bytes name = pubsub__redis_bytes(pubsub__redis_at(reply, 1));
    pubsub_bytes topic = pubsub__redis_bytes(pubsub__redis_at(reply, glob ? 2 : 1));
    pubsub_bytes payload = pubsub__redis_bytes(pubsub__redis_at(reply, glob ? 3 : 2));
    redis_channel *channel = find(self, glob, name.data != NULL ? name.data : "", name.len);
    if (channel == NULL) {
        return;
    }
    if (channel == self->announcements) {
        for (redis_sub *sub = self->subs; sub != NULL; sub = sub->next) {
            pubsub__redis_stream_announced(sub, payload);
        }
        return;
    }
    for (size_t i = 0; i < channel->sub_count; i++) {
        pubsub__redis_pubsub_message(channel->subs[i], channel, topic, payload);
    }
}

void pubsub__redis_hub_idle(redis_self *self)
{
    for (redis_sub *sub = self->subs; sub != NULL; sub = sub->next) {
        pubsub__redis_pubsub_idle(sub);
    }
}
