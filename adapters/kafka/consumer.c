/* SPDX-License-Identifier: MIT */
#include "kafka/consumer.h"

#include "base/alloc.h"
#include "base/clock.h"

#include <string.h>

/* Consumers of the library, their partitions, and how they end. */

#define SHARED_GROUP "pubsub.none" /* is never joined and commits nothing */

/* ---- settings -------------------------------------------------------------------------------------- */

typedef struct setting {
    const char *name;
    const char *value;
} setting;

/* Unless the user gave them. */
static const setting g_defaults[] = {
    {"kafka.session.timeout.ms", "10000"},
    {"kafka.heartbeat.interval.ms", "1000"},  /* that is how members hear of a rebalance */
    {"kafka.max.poll.interval.ms", "600000"}, /* it is polled whatever handlers do */
    {"kafka.fetch.wait.max.ms", "100"}, /* a partition that is added waits for the fetch before */
    {"kafka.topic.metadata.refresh.interval.ms", "10000"},
    {"kafka.queued.max.messages.kbytes", "32768"},
};

static const setting g_fixed[] = {
    {"enable.auto.commit", "false"},
    {"enable.auto.offset.store", "false"},
    {"auto.offset.reset", "error"}, /* where to begin is always said */
    {"partition.assignment.strategy", "range"},
};

static bool set(rd_kafka_conf_t *conf, const char *name, const char *value, pubsub_error *err)
{
    char text[160] = "";
    if (rd_kafka_conf_set(conf, name, value, text, sizeof(text)) == RD_KAFKA_CONF_OK) {
        return true;
    }
    pubsub_error_set(err, PUBSUB_EOPTION, "librdkafka refuses %s: %s", name, text);
    return false;
}

static uint64_t hash_text(uint64_t hash, const char *text)
{
    for (; *text != '\0'; text++) {
        hash = (hash ^ (unsigned char)*text) * UINT64_C(1099511628211);
    }
    return (hash ^ 1) * UINT64_C(1099511628211);
}

static uint64_t hash_conf(rd_kafka_conf_t *conf)
{
    size_t count = 0;
    const char **all = rd_kafka_conf_dump(conf, &count);
    uint64_t hash = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < count; i++) {
        hash = hash_text(hash, all[i]);
    }
    rd_kafka_conf_dump_free(all, count);
    return hash;
}

static rd_kafka_conf_t *conf_for(const kaf_sub *sub, bool grouped, uint64_t *hash,
                                 pubsub_error *err)
{
    const pubsub_options *options = sub->spi->request.options;
    rd_kafka_conf_t *conf = pubsub__kafka_conf(sub->self, options, RD_KAFKA_CONSUMER, err);
    bool ok = conf != NULL;
    for (size_t i = 0; ok && i < sizeof(g_defaults) / sizeof(g_defaults[0]); i++) {
        if (!pubsub_options_is_set(options, g_defaults[i].name)) {
            ok = set(conf, g_defaults[i].name + sizeof("kafka.") - 1, g_defaults[i].value, err);
        }
    }
    for (size_t i = 0; ok && i < sizeof(g_fixed) / sizeof(g_fixed[0]); i++) {
        ok = set(conf, g_fixed[i].name, g_fixed[i].value, err);
    }
    ok = ok && set(conf, "group.id", grouped ? sub->group : SHARED_GROUP, err);
    if (ok && grouped && sub->spi->request.group[0] == '\0') {
        ok = set(conf, "group.instance.id", sub->group, err);
    }
    if (!ok) {
        if (conf != NULL) {
            rd_kafka_conf_destroy(conf);
        }
        return NULL;
    }
    *hash = hash_conf(conf);
    rd_kafka_conf_set_error_cb(conf, pubsub__kafka_consumer_says);
    if (grouped) {
        rd_kafka_conf_set_rebalance_cb(conf, pubsub__kafka_rebalance);
    }
    return conf;
}

/* ---- beginning --------------------------------------------------------------------------------------- */

static kaf_consumer *make(kaf_sub *sub, bool grouped, rd_kafka_conf_t *conf, uint64_t hash,
                          pubsub_error *err)
{
    char text[256] = "";
    kaf_consumer *consumer = pubsub__calloc(1, sizeof(*consumer));
    if (consumer == NULL) {
        rd_kafka_conf_destroy(conf);
        pubsub_error_set(err, PUBSUB_ENOMEM, "no memory for a consumer");
        return NULL;
    }
    consumer->rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, text, sizeof(text));
    if (consumer->rk == NULL) {
        rd_kafka_conf_destroy(conf);
        pubsub__free(consumer);
        pubsub_error_set(err, PUBSUB_ECONNECT, "no consumer of librdkafka: %s", text);
        return NULL;
    }
    (void)rd_kafka_poll_set_consumer(consumer->rk);
    consumer->queue = rd_kafka_queue_get_consumer(consumer->rk);
    consumer->commits = rd_kafka_queue_new(consumer->rk);
    pubsub__kafka_listen(sub->self, consumer->queue);
    pubsub__kafka_listen(sub->self, consumer->commits);
    consumer->self = sub->self;
    consumer->grouped = grouped;
    consumer->settings = hash;
    consumer->next = sub->self->consumers;
    sub->self->consumers = consumer;
    return consumer;
}

kaf_consumer *pubsub__kafka_consumer_new(kaf_sub *sub, pubsub_error *err)
{
    uint64_t hash = 0;
    rd_kafka_conf_t *conf = conf_for(sub, sub->grouped, &hash, err);
    return conf == NULL ? NULL : make(sub, sub->grouped, conf, hash, err);
}

kaf_consumer *pubsub__kafka_consumer_shared(kaf_sub *sub, pubsub_error *err)
{
    uint64_t hash = 0;
    rd_kafka_conf_t *conf = conf_for(sub, false, &hash, err);
    if (conf == NULL) {
        return NULL;
    }
    for (kaf_consumer *at = sub->self->consumers; at != NULL; at = at->next) {
        if (at->shared && at->settings == hash && at->stage != KAF_STAGE_CLOSING) {
            rd_kafka_conf_destroy(conf);
            return at;
        }
    }
    kaf_consumer *consumer = make(sub, false, conf, hash, err);
    if (consumer != NULL) {
        consumer->shared = true;
    }
    return consumer;
}

void pubsub__kafka_consumer_join(kaf_consumer *consumer, kaf_sub *sub)
{
    sub->consumer = consumer;
    sub->peer = consumer->subs;
    consumer->subs = sub;
}

/* ---- partitions ----------------------------------------------------------------------------------------- */

static size_t bucket_of(const char *topic, int32_t number)
{
    uint64_t hash = hash_text(UINT64_C(14695981039346656037) + (uint64_t)number, topic);
    return (size_t)(hash ^ hash >> 32) % KAF_BUCKETS;
}

kaf_part *pubsub__kafka_part(kaf_consumer *consumer, const char *topic, int32_t number)
{
    kaf_part *part = consumer->last;
    if (part != NULL && part->number == number && strcmp(part->topic, topic) == 0) {
        return part;
    }
    for (part = consumer->buckets[bucket_of(topic, number)]; part != NULL; part = part->next) {
        if (part->number == number && strcmp(part->topic, topic) == 0) {
            consumer->last = part;
            return part;
        }
    }
    return NULL;
}

kaf_part *pubsub__kafka_part_add(kaf_consumer *consumer, const char *topic, int32_t number)
{
    kaf_part *part = pubsub__kafka_part(consumer, topic, number);
    if (part != NULL) {
        return part;
    }
    if (consumer->part_count == consumer->part_size) {
        size_t size = consumer->part_size == 0 ? 16 : consumer->part_size * 2;
        kaf_part **parts = pubsub__realloc(consumer->parts, size * sizeof(kaf_part *));
        if (parts == NULL) {
            return NULL;
        }
        consumer->parts = parts;
        consumer->part_size = size;
    }
    part = pubsub__calloc(1, sizeof(*part));
    char *name = part == NULL ? NULL : pubsub__strdup(topic);
    if (name == NULL) {
        pubsub__free(part);
        return NULL;
    }
    part->topic = name;
    part->number = number;
    part->slot = (uint32_t)consumer->part_count;
    part->asked = part->committed = -1;
    consumer->parts[consumer->part_count++] = part;
    kaf_part **head = &consumer->buckets[bucket_of(topic, number)];
    part->next = *head;
    *head = part;
    return part;
}

bool pubsub__kafka_part_take(kaf_part *part, kaf_sub *sub, int64_t from)
{
    for (size_t i = 0; i < part->taker_count; i++) {
        if (part->takers[i].sub == sub) {
            return true;
        }
    }
    if (part->taker_count == part->taker_size) {
        size_t size = part->taker_size == 0 ? 1 : part->taker_size * 2;
        kaf_taker *takers = pubsub__realloc(part->takers, size * sizeof(*takers));
        if (takers == NULL) {
            return false;
        }
        part->takers = takers;
        part->taker_size = size;
    }
    part->takers[part->taker_count++] = (kaf_taker){sub, from};
    return true;
}

static void part_free(kaf_part *part)
{
    pubsub__kafka_window_free(&part->window);
    pubsub__free(part->takers);
    pubsub__free(part->topic);
    pubsub__free(part);
}

static void free_memory(kaf_consumer *consumer)
{
    for (size_t i = 0; i < consumer->part_count; i++) {
        part_free(consumer->parts[i]);
    }
    pubsub__free(consumer->parts);
    pubsub__free(consumer);
}

/* ---- the end ---------------------------------------------------------------------------------------------- */

static void drop_lists(kaf_consumer *consumer)
{
    if (consumer->assigned != NULL) {
        rd_kafka_topic_partition_list_destroy(consumer->assigned);
        consumer->assigned = NULL;
    }
    if (consumer->announced != NULL) {
        rd_kafka_topic_partition_list_destroy(consumer->announced);
        consumer->announced = NULL;
    }
    for (size_t i = 0; i < consumer->held_count; i++) {
        rd_kafka_message_destroy(consumer->held[i]);
    }
    consumer->held_count = 0;
}

void pubsub__kafka_consumer_reap(kaf_consumer *consumer)
{
    kaf_self *self = consumer->self;
    if (consumer->stage != KAF_STAGE_CLOSING || consumer->jobs > 0) {
        return;
    }
    for (kaf_consumer **at = &self->consumers; *at != NULL; at = &(*at)->next) {
        if (*at == consumer) {
            *at = consumer->next;
            break;
        }
    }
    free_memory(consumer);
    pubsub__kafka_flushed(self);
}

static void on_closed(kaf_look *look, bool dropped)
{
    if (!dropped && look->err.code != PUBSUB_OK) {
        pubsub_sink_error(look->self->sink, NULL, &look->err);
    }
}

/* Nothing of the library may be out when it is destroyed. */
static void end_consumer(kaf_consumer *consumer, kaf_sub *sub, bool forget)
{
    rd_kafka_topic_partition_list_t *list =
        consumer->grouped ? pubsub__kafka_commit_list(consumer, true) : NULL;
    kaf_look *look =
        pubsub__kafka_look_new(KAF_LOOK_CLOSE, consumer->self, sub, consumer, on_closed);
    drop_lists(consumer);
    consumer->stage = KAF_STAGE_CLOSING;
    if (look == NULL) { /* no memory: it stays as it is, without a reader */
        if (list != NULL) {
            rd_kafka_topic_partition_list_destroy(list);
        }
        return;
    }
    look->list = list;
    look->forget = forget;
    look->queue = consumer->queue;
    look->commits = consumer->commits;
    consumer->rk = NULL;
    pubsub__kafka_look_do(look);
}

static void unwatch(kaf_sub *sub)
{
    kaf_consumer *consumer = sub->watcher;
    sub->watcher = NULL;
    if (consumer != NULL && --consumer->watchers == 0 && consumer->subs == NULL) {
        end_consumer(consumer, sub, false);
    }
}

void pubsub__kafka_consumer_leave(kaf_sub *sub, bool forget)
{
    kaf_consumer *consumer = sub->consumer;
    unwatch(sub);
    if (consumer == NULL) {
        return;
    }
    sub->consumer = NULL;
    for (kaf_sub **at = &consumer->subs; *at != NULL; at = &(*at)->peer) {
        if (*at == sub) {
            *at = sub->peer;
            break;
        }
    }
    for (size_t i = 0; i < consumer->part_count; i++) {
        kaf_part *part = consumer->parts[i];
        for (size_t k = 0; k < part->taker_count; k++) {
            if (part->takers[k].sub == sub) {
                part->takers[k] = part->takers[--part->taker_count];
                break;
            }
        }
    }
    if (consumer->subs == NULL && consumer->watchers == 0) {
        end_consumer(consumer, sub, forget);
    } else if (!consumer->grouped) {
        pubsub__kafka_assign_prune(consumer);
    }
}

void pubsub__kafka_sub_reap(kaf_sub *sub)
{
    if (sub->spi != NULL || sub->jobs > 0) {
        return;
    }
    for (size_t i = 0; i < sub->name_count; i++) {
        pubsub__free(sub->names[i]);
    }
    for (size_t i = 0; i < sub->expr_count; i++) {
        regfree(&sub->exprs[i]);
        pubsub__free(sub->texts[i]);
    }
    if (sub->known != NULL) {
        rd_kafka_topic_partition_list_destroy(sub->known);
    }
    pubsub__free(sub->names);
    pubsub__free(sub->texts);
    pubsub__free(sub->exprs);
    pubsub__free(sub->group);
    pubsub__free(sub);
}

bool pubsub__kafka_consumers_close(kaf_self *self)
{
    pubsub_timer_free(self->tick);
    self->tick = NULL;
    self->tick_ns = 0;
    return self->consumers == NULL;
}

void pubsub__kafka_consumers_free(kaf_self *self, bool forked)
{
    while (self->consumers != NULL) {
        kaf_consumer *consumer = self->consumers;
        self->consumers = consumer->next;
        if (!forked && consumer->rk != NULL) {
            drop_lists(consumer);
            rd_kafka_queue_destroy(consumer->queue);
            rd_kafka_queue_destroy(consumer->commits);
            (void)rd_kafka_consumer_close(consumer->rk);
            rd_kafka_destroy(consumer->rk);
        }
        free_memory(consumer);
    }
    while (self->subs != NULL) {
        kaf_sub *sub = self->subs;
        self->subs = sub->next;
        if (forked && sub->known != NULL) {
            sub->known = NULL; /* of the library: left as it is */
        }
        sub->jobs = 0;
        sub->spi = NULL;
        pubsub__kafka_sub_reap(sub);
    }
    pubsub_timer_free(self->tick);
    self->tick = NULL;
}
