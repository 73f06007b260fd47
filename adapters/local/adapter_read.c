/* SPDX-License-Identifier: MIT */
#include "local/adapter.h"

#include <pubsub/topic.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

#define CLAIMS 256u
#define BLOCK_BYTES 65536u
#define BLOCKS_PER_TURN 4u /* of one subscription, then it is another's turn */
#define LEASE_MS 30000u
#define NS_PER_MS UINT64_C(1000000)

/* ---- subscribing -------------------------------------------------------------------------------- */

static bool match(void *ctx, const char *topic, size_t len)
{
    const pubsub_subscribe_request *request = ctx;
    for (size_t i = 0; i < request->pattern_count; i++) {
        if (pubsub_topic_matches(request->patterns[i].data, request->patterns[i].len, topic, len)) {
            return true;
        }
    }
    return false;
}

static local_filter make_filter(pubsub_subscribe_request *request)
{
    local_filter filter = {false, 0, match, request};
    if (request->literal && request->pattern_count == 1) {
        filter.exact = true;
        filter.topic_hash =
            pubsub__local_topic_hash(request->patterns[0].data, request->patterns[0].len);
    }
    return filter;
}

static uint32_t make_bits(const pubsub_subscribe_request *request)
{
    uint32_t bits = 0;
    for (size_t i = 0; i < request->pattern_count; i++) {
        const char *text = request->patterns[i].data;
        size_t len = request->patterns[i].len;
        bool wild = len > 0 && strchr("+#*", text[0]) != NULL && (len == 1 || text[1] == '/');
        bits |= wild ? LOCAL_BITS_ALL : pubsub__local_topic_bits(text, len);
    }
    return bits;
}

static int compare_bytes(const void *a, const void *b)
{
    const pubsub_bytes *x = a, *y = b;
    size_t common = x->len < y->len ? x->len : y->len;
    int order = common == 0 ? 0 : memcmp(x->data, y->data, common);
    return order != 0 ? order : x->len < y->len ? -1 : x->len > y->len;
}

/* The patterns in a fixed order, one a line. NULL: no memory. */
static char *patterns_text(const pubsub_subscribe_request *request, size_t *len)
{
    size_t count = request->pattern_count, size = 1;
    pubsub_bytes *sorted = pubsub__alloc(count * sizeof(*sorted));
    for (size_t i = 0; i < count; i++) {
        size += request->patterns[i].len + 1;
    }
    char *text = sorted == NULL ? NULL : pubsub__alloc(size);
    *len = 0;
    if (text != NULL) {
        memcpy(sorted, request->patterns, count * sizeof(*sorted));
        qsort(sorted, count, sizeof(*sorted), compare_bytes);
        for (size_t i = 0; i < count; i++) {
            memcpy(text + *len, sorted[i].data, sorted[i].len);
            *len += sorted[i].len;
            text[(*len)++] = '\n';
        }
    }
    pubsub__free(sorted);
    return text;
}

static local_from make_from(const pubsub_from *from)
{
    static const local_from_kind kinds[] = {LOCAL_FROM_NEW, LOCAL_FROM_EARLIEST, LOCAL_FROM_LAST,
                                            LOCAL_FROM_TIME, LOCAL_FROM_POSITION};
    return (local_from){.kind = kinds[from->kind],
                        .time_ns = from->time_ns,
                        .position = {(uint32_t)from->position.word[0], from->position.word[1]}};
}

static pubsub_err join_group(local_sub *sub, bool *resumed, pubsub_error *err)
{
    pubsub_subscribe_request *request = &sub->spi->request;
    bool grouped = request->group[0] != '\0';
    size_t len;
    char *text = patterns_text(request, &len);
    sub->claims = pubsub__alloc(CLAIMS * sizeof(*sub->claims));
    if (text == NULL || sub->claims == NULL) {
        pubsub__free(text);
        return pubsub_error_set(err, PUBSUB_ENOMEM, "no memory for a group");
    }
    local_group_options options = {
        .name = grouped ? request->group : request->durable,
        .flags = (request->durable[0] != '\0' ? LOCAL_GROUP_DURABLE : 0u) |
                 (grouped ? 0u : LOCAL_GROUP_SINGLE) |
                 (grouped && request->order_key ? LOCAL_GROUP_KEYED : 0u),
        .patterns = {text, len},
        .filter = make_filter(request),
        .from = make_from(&request->from),
        .reset = request->reset && sub->spi->subscribes == 0,
        .lease_ms = LEASE_MS,
    };
    pubsub_err rc = pubsub__local_group_join(&sub->group, sub->self->store, &options, resumed, err);
    pubsub__free(text);
    if (rc == PUBSUB_OK) {
        sub->bits = pubsub__local_group_bits(sub->group, sub->bits);
        sub->renew_at_ns = pubsub_sink_now_ns(sub->self->sink) + LEASE_MS / 3 * NS_PER_MS;
    }
    return rc;
}

static pubsub_err open_cursor(local_sub *sub, bool *resumed, pubsub_error *err)
{
    pubsub_subscribe_request *request = &sub->spi->request;
    local_from from = make_from(&request->from);
    const pubsub_position *delivered = &sub->spi->delivered;
    local_filter filter = make_filter(request);
    if (sub->spi->subscribes > 0 && delivered->adapter == &pubsub__adapter_local) {
        from.kind = LOCAL_FROM_POSITION; /* this client has read so far */
        from.position = (local_position){(uint32_t)delivered->word[0], delivered->word[1]};
        *resumed = true;
    }
    return pubsub__local_cursor_open(&sub->cursor, sub->self->store, &from, &filter, err);
}

void pubsub__local_adapter_subscribe(void *ctx, pubsub_spi_subscription *subscription)
{
    local_self *self = ctx;
    pubsub_subscribe_request *request = &subscription->request;
    pubsub_error error = PUBSUB_ERROR_INIT;
    bool resumed = false;
    local_sub *sub = subscription->data;
    if (sub != NULL) { /* it was lost; begin again */
        pubsub__local_adapter_unsubscribe(self, subscription, false);
    }
    sub = pubsub__calloc(1, sizeof(*sub));
    if (sub == NULL) {
        pubsub_error_set(&error, PUBSUB_ENOMEM, "no memory for a subscription");
        pubsub_sink_subscribed(self->sink, subscription, NULL, &error);
        return;
    }
    sub->self = self;
    sub->spi = subscription;
    sub->bits = make_bits(request);
    sub->next = self->subs;
    self->subs = sub;
    subscription->data = sub;
    bool leased = request->group[0] != '\0' || request->durable[0] != '\0';
    pubsub_err rc = leased ? join_group(sub, &resumed, &error) : open_cursor(sub, &resumed, &error);
    if (rc != PUBSUB_OK) {
        sub->broken = true;
        pubsub_sink_subscribed(self->sink, subscription, NULL, &error);
        return;
    }
    subscription->native_nack = leased;
    subscription->lazy_ack = !leased;
    subscription->broker_redelivers = false;
    pubsub_spi_subscribed answer = {
        .resumed = resumed,
        .waiting = sub->group != NULL ? pubsub__local_group_waiting(sub->group) : 0,
        .qos = request->qos == PUBSUB_AT_MOST_ONCE ? request->qos : PUBSUB_AT_LEAST_ONCE};
    pubsub_sink_subscribed(self->sink, subscription, &answer, NULL);
    pubsub_timer_start(self->timer, 0);
}

static void free_sub(local_sub *sub)
{
    pubsub__local_cursor_close(sub->cursor);
    pubsub__local_group_leave(sub->group);
    pubsub__free(sub->claims);
    pubsub__free(sub);
}

void pubsub__local_adapter_unsubscribe(void *ctx, pubsub_spi_subscription *subscription,
                                       bool forget)
{
    local_self *self = ctx;
    local_sub *sub = subscription->data;
    pubsub_error error = PUBSUB_ERROR_INIT;
    if (sub == NULL) {
        return;
    }
    for (local_sub **at = &self->subs; *at != NULL; at = &(*at)->next) {
        if (*at == sub) {
            *at = sub->next;
            break;
        }
    }
    bool joined = sub->group != NULL;
    for (size_t i = sub->claim_next; i < sub->claim_count; i++) {
        (void)pubsub__local_group_nack(sub->group, sub->claims[i].lease, 0, false, NULL);
    }
    free_sub(sub);
    subscription->data = NULL;
    if (forget && joined) {
        const pubsub_subscribe_request *request = &subscription->request;
        bool single = request->group[0] == '\0';
        pubsub_err rc = pubsub__local_group_remove(
            self->store, single ? request->durable : request->group, single, &error);
        if (rc != PUBSUB_OK && rc != PUBSUB_ENOTFOUND) {
            pubsub_sink_error(self->sink, NULL, &error);
        }
    }
}

void pubsub__local_adapter_drop_subs(local_self *self)
{
    while (self->subs != NULL) {
        local_sub *sub = self->subs;
        self->subs = sub->next;
        sub->spi->data = NULL;
        free_sub(sub);
    }
}

/* ---- giving messages to the core ------------------------------------------------------------------- */

static size_t body_len(const local_view *view)
{
    const unsigned char *first = view->topic.data;
    const unsigned char *last = view->payload.data;
    return (size_t)(last - first) + view->payload.len;
}

static size_t room_for(const local_view *view)
{
    return ((body_len(view) + 7) & ~(size_t)7) + view->header_count * sizeof(pubsub_header) + 8;
}

static pubsub_bytes moved(pubsub_bytes bytes, const void *from, unsigned char *to)
{
    if (bytes.data == NULL) {
        return bytes;
    }
    bytes.data = to + ((const unsigned char *)bytes.data - (const unsigned char *)from);
    return bytes;
}

static void set_props(pubsub_spi_message *message, pubsub_bytes blob, pubsub_header *headers,
                      uint32_t capacity)
{
    local_prop prop;
    while (pubsub__local_props_next(&blob, &prop) == 1) {
        switch (prop.kind) {
        case LOCAL_PROP_HEADER:
            if (message->header_count < capacity) {
                headers[message->header_count++] = (pubsub_header){prop.name, prop.value};
            }
            break;
        case LOCAL_PROP_CONTENT_TYPE:
            message->content_type = prop.value;
            break;
        case LOCAL_PROP_REPLY_TO:
            message->reply_to = prop.value;
            break;
        case LOCAL_PROP_CORRELATION:
            message->correlation = prop.value;
            break;
        }
    }
    message->headers = headers;
}

/* Copy a record into a block that has room for it. Topic, key, properties and payload lie one behind
 * the other in the log, so one copy takes all. */
static pubsub_spi_message *fill_message(const local_sub *sub, pubsub_block *block,
                                        const local_view *view)
{
    pubsub_spi_message *message = pubsub_block_message(block);
    size_t len = body_len(view);
    unsigned char *body = pubsub_block_take(block, len);
    pubsub_header *headers = NULL;
    if (view->header_count > 0) {
        headers = pubsub_block_take(block, view->header_count * sizeof(*headers));
    }
    memcpy(body, view->topic.data, len);
    message->topic = moved(view->topic, view->topic.data, body);
    message->key = moved(view->key, view->topic.data, body);
    message->payload = moved(view->payload, view->topic.data, body);
    if (view->props.len > 0) {
        set_props(message, moved(view->props, view->topic.data, body), headers, view->header_count);
    }
    bool qos0 = view->qos == 0 || sub->spi->request.qos == PUBSUB_AT_MOST_ONCE;
    message->qos = qos0 ? PUBSUB_AT_MOST_ONCE : PUBSUB_AT_LEAST_ONCE;
    message->flags = (view->flags & LOCAL_FLAG_STORED) != 0 ? PUBSUB_SPI_RETAINED : 0u;
    message->flags |= (view->flags & LOCAL_FLAG_TOMBSTONE) != 0 ? PUBSUB_SPI_TOMBSTONE : 0u;
    message->flags |= qos0 && sub->group == NULL ? PUBSUB_SPI_NO_ACK : 0u;
    message->timestamp_ns = view->ts_ns;
    message->expires_ns = view->expiry_ns;
    message->position[0] = view->next.epoch;
    message->position[1] = view->next.offset;
    return message;
}

static void tell_gap(local_sub *sub, const local_gap *gap)
{
    static const char *const reasons[] = {"",
                                          "retention: removed by size or age before it was read",
                                          "truncated: lost in a power failure", "damaged on disk"};
    pubsub_gap told = {.reason = reasons[gap->reason],
                       .from = pubsub__local_adapter_position(gap->from),
                       .to = pubsub__local_adapter_position(gap->to),
                       .missed =
                           gap->to_seq >= gap->from_seq ? gap->to_seq - gap->from_seq + 1 : 0};
    if (gap->from.epoch == 0) {
        told.from.adapter = NULL;
    }
    pubsub_sink_gap(sub->self->sink, sub->spi, &told);
}

static void lose(local_sub *sub, const pubsub_error *error)
{
    sub->broken = true;
    pubsub_sink_lost(sub->self->sink, sub->spi, error);
}

/* ---- plain subscriptions ------------------------------------------------------------------------------ */

typedef enum pull { PULL_NONE, PULL_VIEW, PULL_MORE, PULL_BROKEN } pull;

/* Have sub->view hold the next record. */
static pull next_view(local_sub *sub)
{
    pubsub_error error = PUBSUB_ERROR_INIT;
    local_gap gap;
    while (!sub->has_view) {
        switch (pubsub__local_cursor_next(sub->cursor, &sub->view, &gap, &error)) {
        case LOCAL_NEXT_RECORD:
            sub->has_view = true;
            break;
        case LOCAL_NEXT_GAP:
            tell_gap(sub, &gap);
            break;
        case LOCAL_NEXT_EMPTY:
            return PULL_NONE;
        case LOCAL_NEXT_MORE:
            return PULL_MORE;
        default:
            lose(sub, &error);
            return PULL_BROKEN;
        }
    }
    return PULL_VIEW;
}

/* Fill one block from the cursor, beginning with sub->view, within the credit. */
static pull fill_block(local_sub *sub, uint32_t messages, uint64_t bytes)
{
    size_t need = room_for(&sub->view);
    uint64_t size = sub->view.next.offset - sub->view.position.offset;
    uint64_t behind = pubsub__local_cursor_behind(sub->cursor) + need;
    uint64_t want = behind < BLOCK_BYTES ? behind : BLOCK_BYTES;
    uint64_t count = size == 0 ? 1 : behind / size + 1;
    count = count < messages ? count : messages;
    count = count < PUBSUB_BLOCK_MESSAGES ? count : PUBSUB_BLOCK_MESSAGES;
    pubsub_block *block =
        pubsub_sink_block(sub->self->sink, (size_t)count, want > need ? (size_t)want : need);
    if (block == NULL) {
        return PULL_MORE; /* memory may be back in a moment */
    }
    pull pulled = PULL_VIEW;
    uint64_t given = 0;
    while (pulled == PULL_VIEW && pubsub_block_count(block) < messages && given < bytes &&
           pubsub_block_room(block) >= room_for(&sub->view)) {
        given += body_len(&sub->view);
        (void)fill_message(sub, block, &sub->view);
        sub->has_view = false;
        pulled = next_view(sub);
    }
    pubsub_sink_messages(sub->self->sink, sub->spi, block);
    return pulled;
}

static pull pump_cursor(local_sub *sub)
{
    pull pulled = next_view(sub);
    for (unsigned blocks = 0; pulled == PULL_VIEW; blocks++) {
        uint32_t messages;
        uint64_t bytes;
        if (!pubsub_sink_credit(sub->self->sink, sub->spi, &messages, &bytes)) {
            sub->starved = true;
            return PULL_NONE;
        }
        if (blocks == BLOCKS_PER_TURN) {
            return PULL_MORE;
        }
        pulled = fill_block(sub, messages, bytes);
    }
    return pulled;
}

/* ---- groups and durable names --------------------------------------------------------------------------- */

static pull claim(local_sub *sub, uint32_t messages, uint64_t bytes)
{
    pubsub_error error = PUBSUB_ERROR_INIT;
    local_claim_info info;
    size_t max = messages < CLAIMS ? messages : CLAIMS;
    int n = pubsub__local_group_claim(sub->group, sub->claims, max,
                                      bytes < SIZE_MAX ? (size_t)bytes : SIZE_MAX, &info, &error);
    if (n < 0) {
        lose(sub, &error);
        return PULL_BROKEN;
    }
    if (info.has_gap) {
        tell_gap(sub, &info.gap);
    }
    sub->claim_next = 0;
    sub->claim_count = (size_t)n;
    sub->wake_at_ns = info.wake_at_ns;
    return n > 0 ? PULL_VIEW : info.more ? PULL_MORE : PULL_NONE;
}

/* Give claims to the core, as many as one block holds. False: no memory. */
static bool give_claims(local_sub *sub)
{
    size_t need = 0, end = sub->claim_next;
    while (end < sub->claim_count) {
        size_t room = room_for(&sub->claims[end].view);
        if (end > sub->claim_next && need + room > BLOCK_BYTES) {
            break;
        }
        need += room;
        end++;
    }
    pubsub_block *block = pubsub_sink_block(sub->self->sink, end - sub->claim_next, need);
    if (block == NULL) {
        return false;
    }
    for (; sub->claim_next < end; sub->claim_next++) {
        const local_claim *taken = &sub->claims[sub->claim_next];
        pubsub_spi_message *message = fill_message(sub, block, &taken->view);
        message->token = taken->lease;
        message->attempt = taken->attempt;
        message->flags |= taken->redelivered ? PUBSUB_SPI_REDELIVERED : 0u;
    }
    pubsub_sink_messages(sub->self->sink, sub->spi, block);
    return true;
}

static pull pump_group(local_sub *sub)
{
    for (unsigned rounds = 0;; rounds++) {
        while (sub->claim_next < sub->claim_count) {
            if (!give_claims(sub)) {
                return PULL_MORE;
            }
        }
        uint32_t messages;
        uint64_t bytes;
        if (!pubsub_sink_credit(sub->self->sink, sub->spi, &messages, &bytes)) {
            sub->starved = true;
            return PULL_NONE;
        }
        if (rounds == BLOCKS_PER_TURN) {
            return PULL_MORE;
        }
        pull claimed = claim(sub, messages, bytes);
        if (claimed != PULL_VIEW) {
            return claimed;
        }
    }
}

static void renew(local_sub *sub, uint64_t now_ns)
{
    pubsub_error error = PUBSUB_ERROR_INIT;
    if (now_ns < sub->renew_at_ns) {
        return;
    }
    sub->renew_at_ns = now_ns + LEASE_MS / 3 * NS_PER_MS;
    if (pubsub__local_group_renew(sub->group, &error) != PUBSUB_OK) {
        lose(sub, &error);
    }
}

/* ---- all subscriptions ------------------------------------------------------------------------------------ */

static void sooner(uint64_t *at_ns, uint64_t other_ns)
{
    if (other_ns != 0 && (*at_ns == 0 || other_ns < *at_ns)) {
        *at_ns = other_ns;
    }
}

void pubsub__local_adapter_pump(local_self *self)
{
    if (self->closing || self->store == NULL) {
        return;
    }
    if (self->pumping) { /* the core gave credit from inside: soon */
        pubsub_timer_start(self->timer, 0);
        self->again = true;
        return;
    }
    self->pumping = true;
    self->again = false;
    /* Read first: what is appended from here on either is read below or changes this number. */
    uint32_t generation = pubsub__local_generation(self->store);
    uint64_t now_ns = pubsub_sink_now_ns(self->sink), next_ns = 0;
    uint32_t bits = 0;
    bool more = false;
    for (local_sub *sub = self->subs, *next; sub != NULL; sub = next) {
        next = sub->next;
        if (sub->group != NULL && !sub->broken) {
            renew(sub, now_ns);
        }
        if (!sub->broken && !sub->starved) {
            more |= (sub->group != NULL ? pump_group(sub) : pump_cursor(sub)) == PULL_MORE;
        }
        if (sub->broken) {
            continue;
        }
        sooner(&next_ns, sub->group != NULL ? sub->renew_at_ns : 0);
        if (!sub->starved) {
            bits |= sub->bits;
            sooner(&next_ns, sub->group != NULL ? sub->wake_at_ns : 0);
        }
    }
    self->pumping = false;
    more = more || self->again;
    if (next_ns != 0) {
        uint64_t wait_ns = next_ns > now_ns ? next_ns - now_ns : 0;
        pubsub_timer_start(self->timer, (pubsub_duration_ms)(wait_ns / NS_PER_MS + 1));
    }
    if (more) {
        pubsub_timer_start(self->timer, 0);
    } else if (bits != 0) {
        pubsub__local_helper_arm(self, generation, bits);
    }
}

void pubsub__local_adapter_credit(void *ctx, pubsub_spi_subscription *subscription)
{
    local_sub *sub = subscription->data;
    if (sub != NULL && sub->starved) {
        sub->starved = false;
        pubsub__local_adapter_pump(ctx);
    }
}

/* ---- settling ------------------------------------------------------------------------------------------------ */

static void settle_one(local_self *self, const pubsub_spi_ack *ack, pubsub_error *err)
{
    local_sub *sub = ack->subscription->data;
    bool release = ack->settle == PUBSUB_SPI_RELEASE;
    uint64_t delay = release || ack->delay_ms < 0 ? 0 : (uint64_t)ack->delay_ms;
    pubsub_err rc = pubsub__local_group_nack(sub->group, ack->token, delay, !release, err);
    if (rc != PUBSUB_OK && rc != PUBSUB_ENOTFOUND) {
        pubsub_sink_error(self->sink, ack->subscription, err);
    }
}

/* How many acks from the first belong together: one group, plain acks. */
static size_t run_length(const pubsub_spi_ack *acks, size_t count)
{
    size_t n = 1;
    while (n < count && n < CLAIMS && acks[n].subscription == acks[0].subscription &&
           acks[n].settle == PUBSUB_SPI_ACK) {
        n++;
    }
    return n;
}

void pubsub__local_adapter_ack(void *ctx, const pubsub_spi_ack *acks, size_t count)
{
    local_self *self = ctx;
    pubsub_error error = PUBSUB_ERROR_INIT;
    bool touched = false;
    for (size_t at = 0; at < count;) {
        local_sub *sub = acks[at].subscription->data;
        if (sub == NULL || sub->group == NULL) {
            at++; /* nobody keeps track of it */
            continue;
        }
        touched = true;
        if (acks[at].settle != PUBSUB_SPI_ACK) {
            settle_one(self, &acks[at++], &error);
            continue;
        }
        uint64_t leases[CLAIMS];
        size_t n = run_length(acks + at, count - at);
        for (size_t i = 0; i < n; i++) {
            leases[i] = acks[at + i].token;
        }
        if (pubsub__local_group_ack(sub->group, leases, n, NULL, &error) != PUBSUB_OK) {
            pubsub_sink_error(self->sink, acks[at].subscription, &error);
        }
        at += n;
    }
    if (touched && self->timer != NULL) {
        pubsub_timer_start(self->timer, 0); /* what waited for these may be free now */
    }
}
