/* SPDX-License-Identifier: MIT */
#include "kafka/adapter.h"

#include "base/alloc.h"

#include <string.h>

/* The containers this client has published to: a bounded table of those that are known to be there. */

enum { BUCKETS = 512, TOPICS_MAX = 2048, MAKE_MS = 10000 };

typedef struct ask {
    kaf_job job;
    kaf_self *self;
    rd_kafka_t *rk;
    kaf_making making;
    kaf_wish wish;
    size_t len;
    char name[KAF_NAME_MAX + 1];
} ask;

static uint64_t hash_of(const char *name, size_t len)
{
    uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a */
    for (size_t i = 0; i < len; i++) {
        hash = (hash ^ (unsigned char)name[i]) * UINT64_C(1099511628211);
    }
    return hash;
}

static kaf_topic **bucket_of(kaf_self *self, const char *name, size_t len)
{
    return &self->buckets[hash_of(name, len) % self->bucket_count];
}

static kaf_topic *find(kaf_self *self, const char *name, size_t len)
{
    kaf_topic *topic = self->bucket_count == 0 ? NULL : *bucket_of(self, name, len);
    while (topic != NULL && (topic->len != len || memcmp(topic->name, name, len) != 0)) {
        topic = topic->next;
    }
    return topic;
}

/* ---- by the last use ------------------------------------------------------------------------------ */

static void unlink_use(kaf_self *self, kaf_topic *topic)
{
    *(topic->older != NULL ? &topic->older->newer : &self->oldest) = topic->newer;
    *(topic->newer != NULL ? &topic->newer->older : &self->newest) = topic->older;
    topic->older = topic->newer = NULL;
}

static void link_use(kaf_self *self, kaf_topic *topic)
{
    topic->older = self->newest;
    *(self->newest != NULL ? &self->newest->newer : &self->oldest) = topic;
    self->newest = topic;
}

static void drop(kaf_self *self, kaf_topic *topic, bool forked)
{
    kaf_topic **at = bucket_of(self, topic->name, topic->len);
    while (*at != topic) {
        at = &(*at)->next;
    }
    *at = topic->next;
    unlink_use(self, topic);
    if (self->last == topic) {
        self->last = NULL;
        self->last_len = 0;
    }
    if (topic->handle != NULL && !forked) {
        rd_kafka_topic_destroy(topic->handle); /* messages that are on their way keep it */
    }
    self->topic_count--;
    pubsub__free(topic);
}

void pubsub__kafka_topic_drop(kaf_self *self, kaf_topic *topic)
{
    drop(self, topic, false);
}

void pubsub__kafka_topic_gone(kaf_self *self, const char *name)
{
    kaf_topic *topic = find(self, name, strlen(name));
    if (topic != NULL && topic->state == KAF_TOPIC_READY) {
        drop(self, topic, false);
    }
}

static void make_room(kaf_self *self)
{
    kaf_topic *topic = self->oldest;
    while (topic != NULL && self->topic_count >= TOPICS_MAX) {
        kaf_topic *newer = topic->newer;
        if (topic->state == KAF_TOPIC_READY) {
            drop(self, topic, false);
        }
        topic = newer;
    }
}

static kaf_topic *add(kaf_self *self, const char *name, size_t len)
{
    if (self->bucket_count == 0) {
        self->buckets = pubsub__calloc(BUCKETS, sizeof(*self->buckets));
        self->bucket_count = self->buckets != NULL ? BUCKETS : 0;
    }
    make_room(self);
    kaf_topic *topic = self->bucket_count == 0 ? NULL : pubsub__calloc(1, sizeof(*topic));
    if (topic == NULL) {
        return NULL;
    }
    kaf_topic **bucket = bucket_of(self, name, len);
    memcpy(topic->name, name, len);
    topic->len = len;
    topic->next = *bucket;
    *bucket = topic;
    link_use(self, topic);
    self->topic_count++;
    return topic;
}

/* ---- asking the broker ---------------------------------------------------------------------------- */

/* Many new topics cost the cluster not much more time than one. */
static void ask_run_all(kaf_job *first)
{
    for (kaf_job *job = first; job != NULL;) {
        ask *me = (ask *)job;
        kaf_wish *wishes[KAF_TOGETHER_MAX];
        size_t count = 0;
        for (; job != NULL && ((ask *)job)->rk == me->rk && count < KAF_TOGETHER_MAX;
             job = job->next) {
            wishes[count++] = &((ask *)job)->wish;
        }
        pubsub__kafka_make_all(me->rk, &me->making, wishes, count, MAKE_MS);
    }
}

static void ask_done(kaf_job *job, bool dropped)
{
    ask *me = (ask *)job;
    kaf_self *self = me->self;
    kaf_topic *topic = dropped ? NULL : find(self, me->name, me->len);
    if (topic != NULL && topic->state == KAF_TOPIC_ASKED && me->rk == self->producer) {
        topic->handle = me->wish.rkt;
        topic->partitions = me->wish.partitions;
        topic->keyless = RD_KAFKA_PARTITION_UA;
        if (!self->spread && me->wish.rkt != NULL) {
            topic->keyless = rd_kafka_msg_partitioner_murmur2(me->wish.rkt, topic->name, topic->len,
                                                              me->wish.partitions, NULL, NULL);
        }
        topic->replicated = me->wish.replicated;
        topic->state = KAF_TOPIC_READY;
        pubsub__kafka_topic_answer(self, topic, me->wish.rkt != NULL ? NULL : &me->wish.error);
    } else if (me->wish.rkt != NULL) {
        rd_kafka_topic_destroy(me->wish.rkt);
    }
    pubsub__free(me);
}

static bool begin(kaf_self *self, kaf_topic *topic)
{
    ask *me = pubsub__calloc(1, sizeof(*me));
    if (me == NULL) {
        return false;
    }
    me->job.run_all = ask_run_all;
    me->job.done = ask_done;
    me->self = self;
    me->rk = self->producer;
    me->making = self->making;
    me->len = topic->len;
    memcpy(me->name, topic->name, sizeof(me->name));
    me->wish = (kaf_wish){.name = me->name, .error = PUBSUB_ERROR_INIT};
    topic->state = KAF_TOPIC_ASKED;
    pubsub__kafka_worker_do(self->worker, &me->job);
    return true;
}

kaf_topic *pubsub__kafka_topic(kaf_self *self, const char *name, size_t len)
{
    kaf_topic *topic = find(self, name, len);
    if (topic != NULL && topic != self->newest) {
        unlink_use(self, topic);
        link_use(self, topic);
    }
    if (topic == NULL) {
        topic = add(self, name, len);
    }
    if (topic != NULL && topic->state == KAF_TOPIC_NEW && !begin(self, topic)) {
        drop(self, topic, false);
        return NULL;
    }
    return topic;
}

void pubsub__kafka_topics_free(kaf_self *self, bool forked)
{
    while (self->oldest != NULL) {
        drop(self, self->oldest, forked);
    }
    pubsub__free(self->buckets);
    self->buckets = NULL;
    self->bucket_count = 0;
}
