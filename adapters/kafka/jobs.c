/* SPDX-License-Identifier: MIT */
#include "kafka/consumer.h"

#include "base/alloc.h"
#include "topic/container.h"

#include <string.h>

/* What blocks, on the worker's thread. Offsets are asked for as times: -1 is the end, -2 the beginning. */

#define MAKE_MS 10000
#define TIME_END (-1)
#define TIME_BEGINNING (-2)
#define MARK_TRANSIENT "pubsub:group"

typedef rd_kafka_topic_partition_list_t list;

static bool failed(kaf_look *look, rd_kafka_resp_err_t code, const char *what)
{
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        return false;
    }
    pubsub__kafka_explain(&look->err, code, what);
    return true;
}

bool pubsub__kafka_sub_wants(const kaf_sub *sub, const char *topic)
{
    for (size_t i = 0; i < sub->name_count; i++) {
        if (strcmp(sub->names[i], topic) == 0) {
            return true;
        }
    }
    if (sub->expr_count == 0 || pubsub__container_is_internal(topic, strlen(topic))) {
        return false;
    }
    for (size_t i = 0; i < sub->expr_count; i++) {
        if (regexec(&sub->exprs[i], topic, 0, NULL, 0) == 0) {
            return true;
        }
    }
    return false;
}

/* ---- which partitions there are ---------------------------------------------------------------------- */

static void add_all(list *to, const char *topic, int count)
{
    for (int32_t i = 0; i < count; i++) {
        if (rd_kafka_topic_partition_list_find(to, topic, i) == NULL) {
            rd_kafka_topic_partition_list_add(to, topic, i);
        }
    }
}

static bool make_one(kaf_look *look, const char *name, rd_kafka_topic_t **topic, int32_t *count)
{
    bool replicated = false;
    *topic = NULL;
    if (look->producer == NULL) {
        pubsub_error_set(&look->err, PUBSUB_ELOST, "the connection was lost");
        return false;
    }
    return pubsub__kafka_make(look->producer, &look->self->making, name, MAKE_MS, topic, count,
                              &replicated, &look->err) == PUBSUB_OK;
}

/* The container of each literal pattern, made where it is not there. */
static bool make_names(kaf_look *look, list *to)
{
    const kaf_sub *sub = look->sub;
    for (size_t i = 0; i < sub->name_count; i++) {
        rd_kafka_topic_t *topic = NULL;
        int32_t count = 0;
        if (!make_one(look, sub->names[i], &topic, &count)) {
            return false;
        }
        if (sub->inbox) {
            int32_t mine = rd_kafka_msg_partitioner_murmur2(topic, sub->literal.data,
                                                            sub->literal.len, count, NULL, NULL);
            rd_kafka_topic_partition_list_add(to, sub->names[i], mine);
        } else {
            add_all(to, sub->names[i], count);
        }
        rd_kafka_topic_destroy(topic);
    }
    return true;
}

static bool match_all(kaf_look *look, list *to)
{
    const struct rd_kafka_metadata *all = NULL;
    if (failed(look, rd_kafka_metadata(look->rk, 1, NULL, &all, KAF_STEP_MS),
               "the list of topics")) {
        return false;
    }
    for (int i = 0; i < all->topic_cnt; i++) {
        if (pubsub__kafka_sub_wants(look->sub, all->topics[i].topic)) {
            add_all(to, all->topics[i].topic, all->topics[i].partition_cnt);
        }
    }
    rd_kafka_metadata_destroy(all);
    return true;
}

static bool find_all(kaf_look *look, list *to)
{
    return make_names(look, to) && (look->sub->expr_count == 0 || match_all(look, to));
}

/* ---- where they begin ----------------------------------------------------------------------------------- */

/* The offset of a time for all of a list; -1 where there is no message of that time or later. A partition without
 * a leader makes it fail. */
static bool ask_offsets(kaf_look *look, list *of, int64_t time)
{
    if (of->cnt == 0) {
        return true;
    }
    for (int i = 0; i < of->cnt; i++) {
        of->elems[i].offset = time;
    }
    if (failed(look, rd_kafka_offsets_for_times(look->rk, of, KAF_STEP_MS), "offsets")) {
        return false;
    }
    for (int i = 0; i < of->cnt; i++) {
        if (failed(look, of->elems[i].err, of->elems[i].topic)) {
            return false;
        }
    }
    return true;
}

static int64_t read_time(rd_kafka_t *rk)
{
    int64_t time = -1;
    rd_kafka_message_t *message = rd_kafka_consumer_poll(rk, KAF_STEP_MS);
    if (message != NULL && message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        time = rd_kafka_message_timestamp(message, NULL);
    }
    if (message != NULL) {
        rd_kafka_message_destroy(message);
    }
    return time;
}

/* The time of one message; -1 when it is not there any more. Another consumer reads it, so that this one stays as
 * it is. */
static int64_t time_of(const kaf_look *look, const char *topic, const pubsub_position *position)
{
    char text[160] = "";
    int64_t time = -1;
    rd_kafka_conf_t *conf = rd_kafka_conf_dup(rd_kafka_conf(look->rk));
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, text, sizeof(text));
    if (rk == NULL) {
        rd_kafka_conf_destroy(conf);
        return -1;
    }
    list *one = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(one, topic, (int32_t)position->word[0])->offset =
        (int64_t)position->word[1];
    if (rd_kafka_assign(rk, one) == RD_KAFKA_RESP_ERR_NO_ERROR) {
        time = read_time(rk);
    }
    rd_kafka_topic_partition_list_destroy(one);
    (void)rd_kafka_consumer_close(rk);
    rd_kafka_destroy(rk);
    return time;
}

/* Behind a position: in its partition the next offset, in all others the messages of its time and later. Without
 * a time they begin at their end. */
static bool start_behind(kaf_look *look, list *of)
{
    const pubsub_position *position = &look->from.position;
    list *ends = rd_kafka_topic_partition_list_copy(of);
    bool ok = ask_offsets(look, ends, TIME_END);
    int64_t time = ok && of->cnt > 1 ? time_of(look, of->elems[0].topic, position) : -1;
    ok = ok && (time < 0 || ask_offsets(look, of, time));
    for (int i = 0; ok && i < of->cnt; i++) {
        int64_t end = ends->elems[i].offset;
        int64_t next = (int64_t)position->word[1] + 1;
        if ((uint64_t)of->elems[i].partition == position->word[0]) {
            of->elems[i].offset = next < end ? next : end;
        } else if (time < 0 || of->elems[i].offset < 0) {
            of->elems[i].offset = end;
        }
    }
    rd_kafka_topic_partition_list_destroy(ends);
    return ok;
}

static bool start_at_time(kaf_look *look, list *of)
{
    /* The ends first: a message that comes between the two questions is of that time or later. */
    list *ends = rd_kafka_topic_partition_list_copy(of);
    int64_t ms = (int64_t)((look->from.time_ns + 999999) / 1000000);
    bool ok = ask_offsets(look, ends, TIME_END) && ask_offsets(look, of, ms);
    for (int i = 0; ok && i < of->cnt; i++) {
        if (of->elems[i].offset < 0) {
            of->elems[i].offset = ends->elems[i].offset;
        }
    }
    rd_kafka_topic_partition_list_destroy(ends);
    return ok;
}

static bool start_at(kaf_look *look, list *of)
{
    switch (look->from.kind) {
    case PUBSUB_FROM_EARLIEST:
        return ask_offsets(look, of, TIME_BEGINNING);
    case PUBSUB_FROM_TIME:
        return start_at_time(look, of);
    case PUBSUB_FROM_POSITION:
        return start_behind(look, of);
    case PUBSUB_FROM_NEW:
    case PUBSUB_FROM_LAST:
        break;
    }
    return ask_offsets(look, of, TIME_END);
}

static void run_begin(kaf_look *look)
{
    look->list = rd_kafka_topic_partition_list_new(16);
    if (find_all(look, look->list)) {
        (void)start_at(look, look->list);
    }
}

/* ---- a group ------------------------------------------------------------------------------------------------ */

static rd_kafka_resp_err_t delete_group(kaf_look *look)
{
    rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR__TIMED_OUT;
    rd_kafka_queue_t *queue = rd_kafka_queue_new(look->rk);
    rd_kafka_DeleteGroup_t *group = rd_kafka_DeleteGroup_new(look->sub->group);
    rd_kafka_AdminOptions_t *options =
        rd_kafka_AdminOptions_new(look->rk, RD_KAFKA_ADMIN_OP_DELETEGROUPS);
    (void)rd_kafka_AdminOptions_set_request_timeout(options, KAF_STEP_MS, NULL, 0);
    rd_kafka_DeleteGroups(look->rk, &group, 1, options, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, KAF_STEP_MS + 1000);
    if (event != NULL) {
        size_t count = 0;
        const rd_kafka_group_result_t **groups = NULL;
        code = rd_kafka_event_error(event);
        if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
            groups = rd_kafka_DeleteGroups_result_groups(rd_kafka_event_DeleteGroups_result(event),
                                                         &count);
        }
        if (count > 0) {
            code = rd_kafka_error_code(rd_kafka_group_result_error(groups[0]));
        }
        rd_kafka_event_destroy(event);
    }
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_DeleteGroup_destroy(group);
    rd_kafka_queue_destroy(queue);
    return code;
}

static bool is_transient(const rd_kafka_topic_partition_t *part)
{
    return part->metadata_size == sizeof(MARK_TRANSIENT) - 1 &&
           memcmp(part->metadata, MARK_TRANSIENT, sizeof(MARK_TRANSIENT) - 1) == 0;
}

static bool ask_committed(kaf_look *look, list *of)
{
    if (of->cnt > 0 &&
        failed(look, rd_kafka_committed(look->rk, of, KAF_STEP_MS), "committed offsets")) {
        return false;
    }
    for (int i = 0; i < of->cnt; i++) {
        if (failed(look, of->elems[i].err, of->elems[i].topic)) {
            return false;
        }
    }
    return true;
}

/* What the group has. One that is not durable ends with its last member: what it has committed bears a mark, and
 * goes when a first member comes. The broker refuses that while there is another one. */
static void run_group(kaf_look *look)
{
    size_t some = 0;
    size_t transient = 0;
    look->list = rd_kafka_topic_partition_list_new(16);
    if (!find_all(look, look->list) || !ask_committed(look, look->list)) {
        return;
    }
    for (int i = 0; i < look->list->cnt; i++) {
        some += look->list->elems[i].offset >= 0 ? 1 : 0;
        transient += is_transient(&look->list->elems[i]) ? 1 : 0;
    }
    if (some > 0 && transient == some && !look->sub->durable && !look->ever &&
        delete_group(look) == RD_KAFKA_RESP_ERR_NO_ERROR) {
        some = 0;
    }
    look->resumed = some > 0;
}

/* Partitions without a position: in a new group those that were there at the beginning begin at `from`, all
 * others at their first message. */
static void run_starts(kaf_look *look)
{
    list *from = rd_kafka_topic_partition_list_new(16);
    list *first = rd_kafka_topic_partition_list_new(16);
    bool ok = ask_committed(look, look->list);
    for (int i = 0; ok && i < look->list->cnt; i++) {
        rd_kafka_topic_partition_t *part = &look->list->elems[i];
        bool known = look->known != NULL && rd_kafka_topic_partition_list_find(
                                                look->known, part->topic, part->partition) != NULL;
        bool had = look->old != NULL && rd_kafka_topic_partition_list_find(look->old, part->topic,
                                                                           part->partition) != NULL;
        if (look->reset && !had && known) {
            part->offset = RD_KAFKA_OFFSET_INVALID;
        }
        if (part->offset < 0) {
            bool is_new = (look->fresh || look->reset) && known && !had;
            rd_kafka_topic_partition_list_add(is_new ? from : first, part->topic, part->partition);
        }
    }
    ok = ok && start_at(look, from) && ask_offsets(look, first, TIME_BEGINNING);
    for (int i = 0; ok && i < look->list->cnt; i++) {
        rd_kafka_topic_partition_t *part = &look->list->elems[i];
        if (part->offset < 0) {
            rd_kafka_topic_partition_t *start =
                rd_kafka_topic_partition_list_find(from, part->topic, part->partition);
            start = start != NULL
                        ? start
                        : rd_kafka_topic_partition_list_find(first, part->topic, part->partition);
            part->offset = start->offset;
            part->opaque = look; /* it had none: to be committed before anything else */
        }
    }
    rd_kafka_topic_partition_list_destroy(from);
    rd_kafka_topic_partition_list_destroy(first);
    if (ok) { /* what is there now may have been handed to somebody before */
        look->ends = rd_kafka_topic_partition_list_copy(look->list);
        (void)ask_offsets(look, look->ends, TIME_END);
    }
}

/* ---- later ------------------------------------------------------------------------------------------------- */

static void grow_one(kaf_look *look, const char *name, list *to)
{
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_topic_t *topic = rd_kafka_topic_new(look->rk, name, NULL);
    if (topic == NULL ||
        failed(look, rd_kafka_metadata(look->rk, 0, topic, &metadata, KAF_STEP_MS), name)) {
        if (topic != NULL) {
            rd_kafka_topic_destroy(topic);
        }
        return;
    }
    for (int i = 0; i < metadata->topic_cnt; i++) {
        add_all(to, metadata->topics[i].topic, metadata->topics[i].partition_cnt);
    }
    rd_kafka_metadata_destroy(metadata);
    rd_kafka_topic_destroy(topic);
}

static void run_grow(kaf_look *look)
{
    const struct rd_kafka_metadata *all = NULL;
    list *found = rd_kafka_topic_partition_list_new(16);
    for (int i = 0; !look->all && i < look->list->cnt; i++) {
        grow_one(look, look->list->elems[i].topic, found);
    }
    if (look->all &&
        !failed(look, rd_kafka_metadata(look->rk, 1, NULL, &all, KAF_STEP_MS), "topics")) {
        for (int i = 0; i < all->topic_cnt; i++) {
            add_all(found, all->topics[i].topic, all->topics[i].partition_cnt);
        }
        rd_kafka_metadata_destroy(all);
    }
    rd_kafka_topic_partition_list_destroy(look->list);
    look->list = found;
}

static void run_topics(kaf_look *look)
{
    rd_kafka_topic_t *topic = NULL;
    int32_t count = 0;
    look->list = rd_kafka_topic_partition_list_new(1);
    if (make_one(look, KAF_CONTAINER_TOPICS, &topic, &count)) {
        rd_kafka_topic_destroy(topic);
        add_all(look->list, KAF_CONTAINER_TOPICS, 1);
        (void)ask_offsets(look, look->list, TIME_END);
    }
}

static void run_all(kaf_look *look)
{
    const struct rd_kafka_metadata *all = NULL;
    if (!failed(look, rd_kafka_metadata(look->rk, 1, NULL, &all, KAF_STEP_MS), "topics")) {
        rd_kafka_metadata_destroy(all);
    }
}

/* ---- ends --------------------------------------------------------------------------------------------------- */

static void run_commit(kaf_look *look)
{
    if (look->list == NULL || look->list->cnt == 0) {
        return;
    }
    rd_kafka_queue_t *queue = rd_kafka_queue_new(look->rk);
    rd_kafka_resp_err_t code = rd_kafka_commit_queue(look->rk, look->list, queue, NULL, NULL);
    rd_kafka_event_t *event =
        code == RD_KAFKA_RESP_ERR_NO_ERROR ? rd_kafka_queue_poll(queue, KAF_STEP_MS) : NULL;
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        code = event == NULL ? RD_KAFKA_RESP_ERR__TIMED_OUT : rd_kafka_event_error(event);
    }
    (void)failed(look, code, "the commit");
    if (event != NULL) {
        rd_kafka_event_destroy(event);
    }
    rd_kafka_queue_destroy(queue);
}

static _Thread_local bool t_closes;

bool pubsub__kafka_look_closes(void)
{
    return t_closes;
}

/* A static member stays in its group when it only closes; who forgets it leaves before. */
static void run_close(kaf_look *look)
{
    t_closes = true;
    run_commit(look);
    if (look->list != NULL) {
        rd_kafka_topic_partition_list_destroy(look->list);
        look->list = NULL;
    }
    rd_kafka_queue_destroy(look->queue);
    rd_kafka_queue_destroy(look->commits);
    (void)rd_kafka_unsubscribe(look->rk);
    for (int i = 0; i < KAF_STEP_MS / 10 && look->forget; i++) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(look->rk, 10);
        if (message != NULL) {
            rd_kafka_message_destroy(message);
        }
        rd_kafka_resp_err_t code = i < 5 ? RD_KAFKA_RESP_ERR_NON_EMPTY_GROUP : delete_group(look);
        if (code != RD_KAFKA_RESP_ERR_NON_EMPTY_GROUP) {
            if (code != RD_KAFKA_RESP_ERR_GROUP_ID_NOT_FOUND) {
                (void)failed(look, code, "forgetting a group");
            }
            break;
        }
    }
    (void)rd_kafka_consumer_close(look->rk);
    rd_kafka_destroy(look->rk);
    t_closes = false;
}

void pubsub__kafka_look_run(kaf_look *look)
{
    switch (look->kind) {
    case KAF_LOOK_BEGIN:
        run_begin(look);
        break;
    case KAF_LOOK_GROUP:
        run_group(look);
        break;
    case KAF_LOOK_STARTS:
        run_starts(look);
        break;
    case KAF_LOOK_EARLIEST:
        (void)ask_offsets(look, look->list, TIME_BEGINNING);
        break;
    case KAF_LOOK_GROW:
        run_grow(look);
        break;
    case KAF_LOOK_TOPICS:
        run_topics(look);
        break;
    case KAF_LOOK_ALL:
        run_all(look);
        break;
    case KAF_LOOK_COMMIT:
        run_commit(look);
        break;
    case KAF_LOOK_CLOSE:
        run_close(look);
        break;
    }
}
