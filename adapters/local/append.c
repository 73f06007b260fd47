/* SPDX-License-Identifier: MIT */
#include "local/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/crc32c.h"

#define CHUNK_BYTES (UINT64_C(1) << 20) /* a batch is cut into pieces of about this size */
#define BUF_KEEP (CHUNK_BYTES * 2)      /* a larger buffer is given back after use */

/* ---- the lock ------------------------------------------------------------------------------- */

/* A process may be killed between two stores; whoever comes next completes or ignores what it did.
 *   append: pend_seq and pend_tail say what is about to come, then tail moves (that is the commit),
 *           then seq follows. So while pend_tail equals tail, pend_seq is the truth.
 *   roll:   active_base moves, then tail follows into the new segment. */
static void settle_ctl(local_ctl *ctl)
{
    uint64_t tail = atomic_load(&ctl->tail);
    if (atomic_load(&ctl->pend_tail) == tail) {
        atomic_store(&ctl->seq, atomic_load(&ctl->pend_seq));
    }
    uint64_t active = atomic_load(&ctl->active_base);
    if (tail < active) {
        atomic_store(&ctl->tail, active + SEG_HEAD);
    }
}

static void commit_tail(local_ctl *ctl, uint64_t tail, uint64_t seq)
{
    atomic_store(&ctl->pend_tail, 0);
    atomic_store(&ctl->pend_seq, seq);
    atomic_store(&ctl->pend_tail, tail);
    atomic_store(&ctl->tail, tail);
    atomic_store(&ctl->seq, seq);
}

pubsub_err pubsub__local_append_lock(local_store *store, pubsub_error *err)
{
    pthread_mutex_lock(&store->append_mu);
    int sys = pubsub__local_flock(store->append_fd, LOCK_EX);
    if (sys != 0) {
        pthread_mutex_unlock(&store->append_mu);
        return pubsub__local_fail_errno(store->dir, "cannot lock the log", sys, err);
    }
    settle_ctl(store->ctl);
    return PUBSUB_OK;
}

void pubsub__local_append_unlock(local_store *store)
{
    (void)pubsub__local_flock(store->append_fd, LOCK_UN);
    pthread_mutex_unlock(&store->append_mu);
}

/* ---- building records, outside the lock ------------------------------------------------------- */

static pubsub_err check_record(const local_store *store, const local_record *rec,
                               uint64_t max_record, uint64_t *size, pubsub_error *err)
{
    if (rec->topic.len == 0 || rec->topic.len > LOCAL_TOPIC_MAX) {
        return pubsub__local_fail(err, PUBSUB_ETOPIC, "a topic has 1 to %u bytes", LOCAL_TOPIC_MAX);
    }
    if (rec->key.len > LOCAL_KEY_MAX) {
        return pubsub__local_fail(err, PUBSUB_ETOOBIG, "a key has at most %u bytes", LOCAL_KEY_MAX);
    }
    size_t props = rec->prop_count > 0 ? pubsub__local_props_size(rec->props, rec->prop_count)
                                       : rec->props_blob.len;
    if (props > max_record || rec->payload.len > max_record ||
        local_record_size(16 + rec->topic.len + rec->key.len + props + rec->payload.len) >
            max_record) {
        return pubsub__local_fail(err, PUBSUB_ETOOBIG,
                                  "a message of %zu bytes is more than %s takes (%llu in all)",
                                  rec->payload.len, store->dir, (unsigned long long)max_record);
    }
    uint64_t body =
        (rec->expiry_ns != 0 ? 8u : 0u) + rec->topic.len + rec->key.len + props + rec->payload.len;
    *size = local_record_size(body);
    return PUBSUB_OK;
}

/* What is the same for one topic, kept while records repeat it. */
typedef struct topic_memo {
    pubsub_bytes topic;
    uint32_t hash, bits;
} topic_memo;

static void memo_topic(topic_memo *memo, pubsub_bytes topic)
{
    if (topic.len != memo->topic.len || memcmp(topic.data, memo->topic.data, topic.len) != 0) {
        memo->topic = topic;
        memo->hash = pubsub__local_topic_hash(topic.data, topic.len);
        memo->bits = pubsub__local_topic_bits(topic.data, topic.len);
    }
}

static uint16_t count_headers(const local_record *rec)
{
    size_t count = 0;
    for (size_t i = 0; i < rec->prop_count; i++) {
        count += rec->props[i].kind == LOCAL_PROP_HEADER;
    }
    pubsub_bytes blob = rec->prop_count == 0 ? rec->props_blob : (pubsub_bytes){NULL, 0};
    local_prop prop;
    while (pubsub__local_props_next(&blob, &prop) == 1) {
        count += prop.kind == LOCAL_PROP_HEADER;
    }
    return count > UINT16_MAX ? UINT16_MAX : (uint16_t)count;
}

static void build_record(uint8_t *buf, const local_record *rec, uint32_t topic_hash, bool more,
                         uint64_t now_ns)
{
    local_raw raw = {.topic_hash = topic_hash,
                     .ts_ns = rec->ts_ns != 0 ? rec->ts_ns : now_ns,
                     .expiry_ns = rec->expiry_ns,
                     .topic = rec->topic,
                     .key = rec->key,
                     .props = rec->props_blob,
                     .payload = rec->payload};
    raw.header_count = count_headers(rec);
    uint32_t flags = rec->qos & REC_F_QOS;
    flags |= rec->retain ? REC_F_RETAIN : 0u;
    flags |= rec->tombstone ? REC_F_TOMBSTONE : 0u;
    flags |= more ? REC_F_MORE : 0u;
    flags |= rec->expiry_ns != 0 ? REC_F_EXPIRES : 0u;
    if (rec->key.data != NULL) {
        flags |= REC_F_KEY;
        raw.key_hash = pubsub__crc32c(0, rec->key.data, rec->key.len);
    }
    raw.flags = (uint16_t)flags;
    size_t prefix = rec->expiry_ns != 0 ? 8u : 0u;
    if (rec->prop_count > 0) {
        uint8_t *at = buf + REC_HEAD + prefix + rec->topic.len + rec->key.len;
        raw.props.data = NULL;
        raw.props.len = pubsub__local_props_encode(rec->props, rec->prop_count, at);
    }
    raw.body_len =
        (uint32_t)(prefix + rec->topic.len + rec->key.len + raw.props.len + rec->payload.len);
    pubsub__local_record_build(buf, &raw);
}

static pubsub_err want_buffer(uint8_t **buf, size_t *cap, size_t need, pubsub_error *err)
{
    if (*cap >= need) {
        return PUBSUB_OK;
    }
    size_t size = need < CHUNK_BYTES / 16 ? CHUNK_BYTES / 16 : need < BUF_KEEP ? BUF_KEEP : need;
    uint8_t *grown = pubsub__alloc(size);
    if (grown == NULL) {
        return pubsub__local_fail(err, PUBSUB_ENOMEM, "no memory for %zu bytes", size);
    }
    pubsub__free(*buf);
    *buf = grown;
    *cap = size;
    return PUBSUB_OK;
}

/* ---- writing, under the lock -------------------------------------------------------------------- */

void pubsub__local_writer_close(local_store *store)
{
    if (store->write_fd >= 0) {
        close(store->write_fd);
        store->write_fd = -1;
    }
}

static pubsub_err open_active(local_store *store, pubsub_error *err)
{
    uint64_t base = atomic_load(&store->ctl->active_base);
    if (store->write_fd >= 0 && store->write_base == base) {
        return PUBSUB_OK;
    }
    pubsub__local_writer_close(store);
    local_seg_head head;
    char name[32];
    pubsub_err rc = pubsub__local_seg_read_head(store, base, &head);
    if (rc != PUBSUB_OK) {
        return pubsub__local_fail(err, rc, "the log's last segment in %s cannot be read",
                                  store->dir);
    }
    pubsub__local_seg_name(name, base);
    store->write_fd = openat(store->log_fd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (store->write_fd < 0) {
        return pubsub__local_fail_errno(store->dir, "cannot open a segment", errno, err);
    }
    store->write_base = base;
    store->write_size = head.size;
    store->write_created_ns = head.created_ns;
    store->write_alloc = 0;
    store->write_zeroed = 0;
    return PUBSUB_OK;
}

/* Seal the active segment and go on in a new one. Nothing has changed when this fails. */
static pubsub_err roll(local_store *store, size_t len, pubsub_error *err)
{
    local_ctl *ctl = store->ctl;
    uint64_t base = store->write_base + store->write_size;
    uint64_t size = atomic_load(&ctl->segment_bytes);
    uint64_t need = SEG_HEAD + len + REC_MARK;
    size = size > need ? size : need; /* the setting may have shrunk since the chunk was cut */
    uint64_t alloc;
    uint8_t mark[REC_MARK] = {0xff, 0xff, 0xff, 0xff};
    int fd;
    pubsub_err rc = pubsub__local_retention(store, size, err);
    if (rc == PUBSUB_OK) {
        rc = pubsub__local_seg_create(store, base, size, atomic_load(&ctl->seq), &fd, &alloc, err);
    }
    if (rc != PUBSUB_OK) {
        return rc;
    }
    uint64_t at = atomic_load(&ctl->tail) - store->write_base;
    int sys = pubsub__local_may_grow(at + REC_MARK);
    if (sys == 0) {
        sys = pubsub__local_pwrite(store->write_fd, mark, sizeof(mark), at);
    }
    if (sys != 0) {
        char name[32];
        close(fd);
        pubsub__local_seg_name(name, base);
        unlinkat(store->log_fd, name, 0);
        return pubsub__local_fail_errno(store->dir, "cannot seal a segment", sys, err);
    }
    atomic_store(&ctl->active_base, base);
    atomic_store(&ctl->tail, base + SEG_HEAD);
    pubsub__local_writer_close(store);
    store->write_fd = fd;
    store->write_base = base;
    store->write_size = size;
    store->write_created_ns = pubsub__local_wall_ns();
    store->write_alloc = alloc;
    store->write_zeroed = 0;
    return PUBSUB_OK;
}

/* Age only removes whole segments, so a quiet log has to roll by age too. */
static bool too_old(const local_store *store)
{
    int64_t max_age_s = atomic_load_explicit(&store->ctl->max_age_s, memory_order_relaxed);
    uint64_t now = pubsub__local_wall_ns();
    return max_age_s > 0 && atomic_load(&store->ctl->tail) != store->write_base + SEG_HEAD &&
           now > store->write_created_ns &&
           now - store->write_created_ns > (uint64_t)max_age_s * LOCAL_NS_PER_S / 8;
}

/* Make the active segment one that has room for len bytes and a mark. */
static pubsub_err make_room(local_store *store, size_t len, pubsub_error *err)
{
    pubsub_err rc = open_active(store, err);
    if (rc != PUBSUB_OK) {
        return rc;
    }
    uint64_t at = atomic_load(&store->ctl->tail) - store->write_base;
    bool fits = at + len + REC_MARK <= store->write_size;
    if (!fits || too_old(store)) {
        rc = roll(store, len, err);
    }
    return rc;
}

/* Bytes behind the tail would be taken for records after a power failure; failed ones must not. */
static void erase_start(local_store *store, uint64_t at)
{
    static const uint8_t mark[REC_MARK];
    if (pubsub__local_may_grow(at + REC_MARK) == 0) {
        (void)pubsub__local_pwrite(store->write_fd, mark, sizeof(mark), at);
    }
}

/* Write the chunk in store->buf (len bytes and an end mark) behind the tail. */
static pubsub_err write_chunk(local_store *store, size_t len, uint64_t ret_word, uint64_t next_seq,
                              pubsub_error *err)
{
    local_ctl *ctl = store->ctl;
    uint64_t tail = atomic_load(&ctl->tail);
    uint64_t at = tail - store->write_base;
    uint64_t end = at + len + REC_MARK;
    int sys = pubsub__local_may_grow(end);
    if (sys == 0) {
        sys = pubsub__local_reserve(store->write_fd, end, store->write_size, &store->write_alloc);
    }
    if (sys == 0) {
        if (atomic_load_explicit(&store->flushes, memory_order_relaxed)) {
            pubsub__local_zero_ahead(store->write_fd, at, end, store->write_alloc,
                                     &store->write_zeroed);
        }
        sys = pubsub__local_pwrite(store->write_fd, store->buf, len + REC_MARK, at);
        if (sys != 0) {
            erase_start(store, at);
        }
    }
    if (sys != 0) {
        store->write_alloc = 0;
        return pubsub__local_fail_errno(store->dir, "cannot append", sys, err);
    }
    /* Retained values first: who reads the tail and then them must not miss one. */
    atomic_store(&ctl->ret_word, ret_word);
    commit_tail(ctl, tail + len, next_seq);
    return PUBSUB_OK;
}

/* Copy the chunk's retained records with the place of the original into ret_buf. */
static pubsub_err collect_retained(local_store *store, const local_record *records, size_t count,
                                   uint64_t tail, uint64_t seq, size_t *len, pubsub_error *err)
{
    const uint8_t *p = store->buf;
    local_raw raw;
    *len = 0;
    for (size_t i = 0; i < count; i++) {
        (void)pubsub__local_record_parse(p, UINT32_MAX, &raw);
        if (records[i].retain) {
            raw.origin = tail + (uint64_t)(p - store->buf);
            raw.flags = (uint16_t)((raw.flags | REC_F_ORIGIN) & ~REC_F_MORE);
            raw.body_len += 8;
            size_t size = (size_t)local_record_size(raw.body_len);
            if (*len + size > store->ret_cap) {
                uint8_t *grown = pubsub__realloc(store->ret_buf, (*len + size) * 2);
                if (grown == NULL) {
                    return pubsub__local_fail(err, PUBSUB_ENOMEM, "no memory for retained values");
                }
                store->ret_buf = grown;
                store->ret_cap = (*len + size) * 2;
            }
            pubsub__local_record_build(store->ret_buf + *len, &raw);
            pubsub__local_record_seal(store->ret_buf + *len, seq + i, store->ctl->epoch);
            *len += size;
        }
        p += raw.size;
    }
    return PUBSUB_OK;
}

/* Number the records in store->buf and write them; the append lock is held. */
static pubsub_err append_locked(local_store *store, local_record *records, size_t count, size_t len,
                                bool retained, pubsub_error *err)
{
    local_ctl *ctl = store->ctl;
    if (atomic_load(&ctl->failed) != 0) {
        return pubsub__local_fail(
            err, PUBSUB_EIO,
            "%s: the disk failed to store data earlier; open it alone with local.repair=yes",
            store->dir);
    }
    pubsub_err rc = make_room(store, len, err);
    if (rc != PUBSUB_OK) {
        return rc;
    }
    uint64_t tail = atomic_load(&ctl->tail), seq = atomic_load(&ctl->seq);
    uint64_t ret_word = atomic_load(&ctl->ret_word);
    if (retained) {
        size_t ret_len = 0;
        rc = collect_retained(store, records, count, tail, seq, &ret_len, err);
        if (rc == PUBSUB_OK) {
            rc = pubsub__local_retain_write(store, store->ret_buf, ret_len, &ret_word, err);
        }
        if (rc != PUBSUB_OK) {
            return rc;
        }
    }
    uint8_t *p = store->buf;
    for (size_t i = 0; i < count; i++) {
        uint64_t size = local_record_size(local_get32(p));
        pubsub__local_record_seal(p, seq + i, ctl->epoch);
        records[i].seq = seq + i;
        records[i].offset = tail + (uint64_t)(p - store->buf);
        records[i].end = records[i].offset + size;
        p += size;
    }
    local_put64(p, 0);
    rc = write_chunk(store, len, ret_word, seq + count, err);
    if (rc != PUBSUB_OK && retained) {
        pubsub__local_retain_undo(store);
    }
    return rc;
}

/* ---- a batch ------------------------------------------------------------------------------------ */

/* How many records from the first make the next chunk; *len their bytes. Everything was checked. */
static size_t cut_chunk(const local_store *store, const local_record *records, size_t count,
                        size_t *len)
{
    uint64_t segment = atomic_load(&store->ctl->segment_bytes) - SEG_HEAD - REC_MARK;
    uint64_t most = segment < CHUNK_BYTES ? segment : CHUNK_BYTES;
    size_t n = 0;
    *len = 0;
    while (n < count) {
        uint64_t size = 0;
        (void)check_record(store, &records[n], UINT64_MAX / 4, &size, NULL);
        if (n > 0 && *len + size > most) {
            break;
        }
        *len += (size_t)size;
        n++;
    }
    return n;
}

static pubsub_err append_chunk(local_store *store, local_record *records, size_t count, size_t len,
                               uint32_t *bits, pubsub_error *err)
{
    pthread_mutex_lock(&store->append_mu); /* the buffer is shared by this process's threads */
    pubsub_err rc = want_buffer(&store->buf, &store->buf_cap, len + REC_MARK, err);
    if (rc == PUBSUB_OK) {
        topic_memo memo = {{NULL, 0}, 0, 0};
        uint64_t now_ns = pubsub__local_wall_ns();
        uint8_t *p = store->buf;
        bool retained = false;
        for (size_t i = 0; i < count; i++) {
            memo_topic(&memo, records[i].topic);
            *bits |= memo.bits;
            retained = retained || records[i].retain;
            build_record(p, &records[i], memo.hash, i + 1 < count, now_ns);
            p += local_record_size(local_get32(p));
        }
        int sys = pubsub__local_flock(store->append_fd, LOCK_EX);
        if (sys == 0) {
            settle_ctl(store->ctl);
            rc = append_locked(store, records, count, len, retained, err);
            (void)pubsub__local_flock(store->append_fd, LOCK_UN);
        } else {
            rc = pubsub__local_fail_errno(store->dir, "cannot lock the log", sys, err);
        }
    }
    if (store->buf_cap > BUF_KEEP) {
        pubsub__free(store->buf);
        store->buf = NULL;
        store->buf_cap = 0;
    }
    pthread_mutex_unlock(&store->append_mu);
    return rc;
}

pubsub_err pubsub__local_append(local_store *store, local_record *records, size_t count,
                                size_t *stored, local_position *end, pubsub_error *err)
{
    size_t done = 0;
    pubsub_err rc = pubsub__local_usable(store, true, err);
    uint64_t max_record = rc == PUBSUB_OK ? pubsub__local_max_record(store) : 0;
    for (size_t i = 0; i < count && rc == PUBSUB_OK; i++) {
        uint64_t size;
        rc = check_record(store, &records[i], max_record, &size, err);
    }
    while (rc == PUBSUB_OK && done < count) {
        uint32_t bits = 0;
        size_t len;
        size_t n = cut_chunk(store, records + done, count - done, &len);
        rc = append_chunk(store, records + done, n, len, &bits, err);
        if (rc == PUBSUB_OK) {
            done += n;
            pubsub__local_ring(store, bits);
        }
    }
    if (stored != NULL) {
        *stored = done;
    }
    if (end != NULL && done > 0) {
        end->epoch = store->ctl->epoch;
        end->offset = records[done - 1].end;
    }
    return rc;
}
