/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_CLIENT_INTERNAL_H
#define PUBSUB_CLIENT_INTERNAL_H

/* The client's inside. docs/threading.md tells the whole story; in short:
 *
 *   user threads --(submit list, settled list, commands)--> I/O thread --> adapter
 *   user threads <--(ready queues, reports, events)-------- I/O thread <-- adapter (through the sink)
 *
 * Fields are marked: [const] set before any thread exists, [lock] guarded by client->lock, [io] touched
 * by the I/O thread only (with io=inline: by whoever drives the loop), [atomic]. */

#include "message/block.h"
#include "transport/shared.h"

#include <pubsub/client.h>
#include <pubsub/request.h>
#include <pubsub/spi/adapter.h>
#include <pubsub/spi/sink.h>

#include <pthread.h>
#include <stdatomic.h>
#include <uv.h>

#define PUBSUB__LINKS_MAX 1024u
#define PUBSUB__EVENTS_MAX 1024u
#define PUBSUB__CALL_TAG_LEN 8
#define PUBSUB__REQUEST_FEATURES                                                                   \
    (PUBSUB_BIT(PUBSUB_FEATURE_REQUEST_REPLY) | PUBSUB_BIT(PUBSUB_FEATURE_REPLY_TO))
#define PUBSUB__SUBMIT_BATCH 512u
#define PUBSUB__FOREVER_NS UINT64_MAX

typedef struct pubsub__chunk pubsub__chunk;
typedef struct pubsub__publish pubsub__publish;
typedef struct pubsub__event pubsub__event;
typedef struct pubsub__command pubsub__command;
typedef struct pubsub__lanes pubsub__lanes;

/* ---- a publish from the call until its report ---- */

typedef enum pubsub__publish_kind {
    PUBSUB__PUBLISH_PLAIN = 0,
    PUBSUB__PUBLISH_WAITER = 1,      /* a publish_wait stands behind it */
    PUBSUB__PUBLISH_DEAD_LETTER = 2, /* made by the core for a message that is given up */
    PUBSUB__PUBLISH_REQUEST = 3      /* a call of calls.c waits for its answer */
} pubsub__publish_kind;

struct pubsub__waiter {
    bool done;
    pubsub_receipt receipt;
    pubsub_error error;
};

struct pubsub__publish {
    pubsub_spi_publish spi; /* first: the adapter's view */
    pubsub__publish *next;
    pubsub__publish *prev;
    pubsub__chunk *chunk;
    size_t bytes;        /* of queue_bytes */
    uint64_t taken_ns;   /* when the I/O thread first saw it; only where somebody asks */
    uint64_t useless_ns; /* [const] not to be sent from then on; 0 = always of use */
    pubsub__publish_kind kind;
    bool report;      /* a delivery handler wants it */
    bool handed_over; /* the adapter has it */
    union {
        struct pubsub__waiter *waiter; /* [lock]; NULL when its caller gave up */
        pubsub_message *dead;
        uint64_t call; /* number of a request; it may be over */
    } for_whom;
    /* outcome */
    pubsub_outcome outcome;
    pubsub_confirm confirm;
    uint32_t flags;
    pubsub_position position;
    pubsub_error *error; /* owned, NULL when accepted */
};

/* Publishes live in chunks: bump-allocated, counted, recycled. */
typedef struct pubsub__chunk_pool {
    pubsub__chunk *open;
    pubsub__chunk *free;
    size_t kept;
} pubsub__chunk_pool;

pubsub__publish *pubsub__chunk_add(pubsub__chunk_pool *pool, const pubsub_publication *pub);
void pubsub__chunk_drop(pubsub__chunk_pool *pool, pubsub__publish *publish);
void pubsub__chunk_pool_fini(pubsub__chunk_pool *pool);

typedef struct pubsub__publish_list {
    pubsub__publish *head;
    pubsub__publish *tail;
    size_t count;
} pubsub__publish_list;

void pubsub__publish_push(pubsub__publish_list *list, pubsub__publish *publish);
pubsub__publish *pubsub__publish_pop(pubsub__publish_list *list);
void pubsub__publish_insert(pubsub__publish_list *list, pubsub__publish *publish,
                            pubsub__publish *before); /* by id; before: one of the list, or NULL */
void pubsub__publish_remove(pubsub__publish_list *list, pubsub__publish *publish);
void pubsub__publish_append(pubsub__publish_list *list, pubsub__publish_list *other);

typedef struct pubsub__message_list {
    pubsub_message *head;
    pubsub_message *tail;
    size_t count;
} pubsub__message_list;

void pubsub__message_push(pubsub__message_list *list, pubsub_message *message);
pubsub_message *pubsub__message_pop(pubsub__message_list *list);
void pubsub__message_append(pubsub__message_list *list, pubsub__message_list *other);

/* ---- subscriptions ---- */

typedef enum pubsub__sub_state {
    PUBSUB__SUB_WAITING = 0, /* not asked yet, or its link is down */
    PUBSUB__SUB_ASKED = 1,
    PUBSUB__SUB_ACTIVE = 2,
    PUBSUB__SUB_ENDED = 3
} pubsub__sub_state;

struct pubsub_subscription {
    pubsub_spi_subscription spi; /* first: the adapter's view */
    pubsub_client *client;       /* [const] counted */
    atomic_uint refs;     /* the client's list, the caller's handle, each block of its messages */
    pubsub_message_fn fn; /* [const] own handler or NULL */
    void *ctx;
    bool ack_auto;                 /* [const] */
    bool degrade;                  /* [const] */
    bool inbox;                    /* [const] of the client's requests: nobody else sees it */
    pubsub_duration_ms nack_delay; /* [const] */
    char *dead_letter;             /* [const] topic, "" = derived, NULL = off */
    pubsub_bytes *patterns;        /* [const] owned, spi.request points here, as do the next */
    char *group, *durable;         /* [const] owned */
    pubsub_options *options;       /* [const] owned */
    pubsub_grant asked;            /* [const] what the call negotiated offline */
    /* [lock] */
    struct pubsub_subscription *next; /* in client->subs */
    struct pubsub_subscription *next_run;
    bool in_run_queue;
    uint32_t workers;     /* [const] how many handlers may run at the same time */
    uint32_t running;     /* how many do */
    bool shared;          /* handlers on several threads: in the work queue, not the run queue */
    pubsub__lanes *lanes; /* [const] what keeps the order of keys; NULL with one worker */
    bool answered;        /* subscribed or refused for the first time */
    atomic_bool lazy_ack; /* what the adapter said last in spi.lazy_ack, which is [io] */
    atomic_bool ended; /* unsubscribe was called, or refused, or the client closed; set with lock */
    pubsub_grant grant;
    pubsub_error error;
    pubsub__message_list ready;
    pubsub_message *outstanding; /* handed out, to be settled by the user; doubly linked */
    /* [io] */
    struct pubsub_subscription *io_next; /* in client->io_subs */
    pubsub__sub_state state;
    bool finishing;       /* its end has begun */
    uint32_t credit_used; /* messages that were given and are not settled */
    int64_t credit_bytes; /* left; below zero when the last message was bigger than that */
    bool starved;         /* the adapter was told there is no credit */
    uint32_t generation;  /* of the messages that may still be settled */
    uint32_t attempts;    /* failed subscribes since it was active */
    uint64_t retry_ns;    /* subscribe again then; 0 = does not wait */
    bool overflowing;
    bool filtered_told;
    uint64_t filtered, matched;
    pubsub_block *blocks; /* with messages that are not gone */
};

/* ---- links ---- */

typedef enum pubsub__link_state {
    PUBSUB__LINK_NONE = 0,
    PUBSUB__LINK_DOWN = 1, /* waits for its back-off timer */
    PUBSUB__LINK_CONNECTING = 2,
    PUBSUB__LINK_UP = 3,
    PUBSUB__LINK_PAUSED = 4 /* comes back by itself */
} pubsub__link_state;

typedef struct pubsub__link {
    pubsub__link_state state;
    uint32_t attempts;   /* failed since it was up */
    uint32_t generation; /* how often it came up */
    uint64_t due_ns;     /* connect deadline, or next attempt */
    bool fresh;          /* came up; its subscriptions are not asked yet */
} pubsub__link;

/* ---- commands to the I/O thread ---- */

typedef enum pubsub__command_kind {
    PUBSUB__COMMAND_SUBSCRIBE,
    PUBSUB__COMMAND_UNSUBSCRIBE
} pubsub__command_kind;

struct pubsub__command {
    pubsub__command *next;
    pubsub__command_kind kind;
    pubsub_subscription *subscription; /* counted */
    bool forget;
};

struct pubsub__event {
    pubsub__event *next;
    pubsub_event event;
    pubsub_error error;
    pubsub_gap gap;
};

typedef struct pubsub__held { /* refused messages waiting for their time: a binary heap */
    pubsub_message **items;
    size_t count;
    size_t capacity;
} pubsub__held;

/* ---- requests ---- */

/* A request until its answer, error or time-out; on its caller's stack when that waits. [lock] */
typedef struct pubsub__call pubsub__call;
struct pubsub__call {
    pubsub__call *next; /* in its bucket, then in `ended`, then in `spare` */
    uint64_t number;    /* what its correlation ends in */
    uint64_t due_ns;
    pubsub_duration_ms timeout;
    size_t heap_at;       /* SIZE_MAX = not in the heap: its caller watches the time */
    pthread_cond_t *cond; /* its caller waits here; NULL = fn is called */
    pubsub_reply_fn fn;
    void *ctx;
    bool done;
    pubsub_message *reply; /* counted */
    pubsub_error error;    /* when there is no reply */
};

typedef struct pubsub__calls { /* [lock] but for next_due_ns */
    pubsub__call **buckets;    /* those that wait, by number */
    size_t bucket_count;       /* a power of two */
    size_t count;
    pubsub__call **heap; /* those that wait and have an end nobody else watches, by due_ns */
    size_t heap_count, heap_capacity;
    pubsub__call *ended, *ended_tail; /* fn is to be called */
    pubsub__call *spare;
    size_t spare_count;
    uint64_t last_number;
    char tag[PUBSUB__CALL_TAG_LEN + 1]; /* what a correlation begins with */
    char *address;                      /* where answers go; NULL before the first request */
    pubsub_subscription *inbox;         /* counted; NULL = none */
    bool open;                          /* the inbox is subscribed */
    pubsub__publish_list held;          /* requests that wait for that */
    atomic_uint_fast64_t next_due_ns;   /* of the heap; any thread may read it */
} pubsub__calls;

typedef struct pubsub__run_queue { /* subscriptions with ready messages; each counted */
    pubsub_subscription *head, *tail;
    size_t count;
} pubsub__run_queue;

/* A handler that runs on this thread, or more than one when handlers of one client use another. */
typedef struct pubsub__frame pubsub__frame;
struct pubsub__frame {
    pubsub__frame *up;
    const pubsub_client *client;
};

struct pubsub_sink {
    pubsub_client *client;
};

struct pubsub_client {
    pubsub_sink sink; /* first */
    atomic_uint refs; /* the user's handle, each subscription object */
    uint32_t fork_generation;
    const pubsub_adapter *adapter;
    pubsub_url *url;
    pubsub_options *options;
    pubsub_adapter_config config;
    pubsub_caps caps_offline;
    pubsub_caps caps;                  /* [lock] the server's */
    atomic_uint_fast64_t publish_ok;   /* features a publish may use */
    atomic_uint_fast64_t publish_last; /* a combination the adapter agreed to, as features + 1 */
    bool inline_io;
    bool dispatch_thread;
    bool degrade;
    bool reconnect;
    bool connect_retry;
    pubsub_duration_ms connect_timeout, reconnect_min, reconnect_max;
    size_t queue_messages, queue_bytes;
    pubsub_duration_ms publish_timeout, linger;
    size_t batch_messages, batch_bytes;
    pubsub_message_fn on_message;
    void *on_message_ctx;
    pubsub_delivery_fn on_delivery;
    void *on_delivery_ctx;
    pubsub_event_fn on_event;
    void *on_event_ctx;

    pubsub__transport_shared transport; /* see its header */

    pthread_mutex_t lock;
    pthread_cond_t ready_cond;  /* pollers and pullers */
    pthread_cond_t work_cond;   /* workers, and pollers beside the first */
    pthread_cond_t state_cond;  /* ready, wait, flush, end, unsubscribe */
    pthread_cond_t space_cond;  /* publishers */
    pthread_cond_t freeze_cond; /* the I/O thread, standing still */

    /* [lock] */
    pubsub_state state;
    pubsub_error last_error; /* of the last failed connect or of what closed the client */
    uint32_t failed_opens;   /* counts failed connects, so that every waiter sees his */
    bool want_open;
    bool want_close;
    bool stopping; /* shutdown or end was called: nothing new */
    bool ending;   /* a thread is inside end, connect or free */
    bool io_running;
    bool io_finished;
    size_t space_waiters;
    pubsub__chunk_pool chunks;
    pubsub__publish_list submitted;
    uint64_t next_id;
    size_t queued; /* publishes not yet reported */
    size_t queued_bytes;
    size_t unresolved; /* publishes without an outcome */
    uint64_t flush_wanted, flush_done;
    size_t flushing; /* threads inside flush: no ack is lazy now */
    pubsub__message_list settled;
    size_t settling;                 /* settled, not yet given to the adapter */
    size_t lazy_settled, lazy_bytes; /* of those, what the I/O thread was not woken for */
    bool acks_expected;              /* it will look at acks_due_ns at the latest */
    pubsub__command *commands, *commands_tail;
    pubsub_subscription *subs;
    pubsub__run_queue run;  /* for the one who polls */
    pubsub__run_queue work; /* for any worker */
    pubsub__publish_list reports;
    pubsub__event *events, *events_tail;
    size_t event_count;
    pubsub__calls calls;
    size_t ready_messages;
    size_t apart_messages; /* of those, what nobody can be given now or only workers see */
    uint32_t workers;      /* the most a subscription has asked for; 0 = none has */
    pthread_t *worker_threads;
    uint32_t worker_count; /* of those */
    uint32_t idle_workers; /* threads that wait for work_cond */
    uint32_t handling;     /* workers that are in a handler */
    size_t unsettled;      /* handed out, not settled */
    bool polling;          /* a thread is inside poll */
    uint64_t polled_ns;    /* when the last poll returned, 0 = never */
    pthread_t poller;
    bool calling; /* a handler runs */
    bool interrupted;
    bool progress; /* something a blocking call may wait for has happened: an inline wait that has
                      just done it must look again instead of sleeping */
    int ready_fd;
    bool ready_fd_used, ready_fd_set;
    bool freeze_wanted, frozen;       /* the I/O thread stands still, somebody reads its lists */
    bool keep_undelivered;            /* end is under way: keep what fails */
    pubsub__publish_list undelivered; /* what the last end left */

    /* [atomic] */
    atomic_bool messages_stop; /* no handler for messages any more */
    atomic_bool wake_pending;
    atomic_bool adapter_wake;
    atomic_uint_fast64_t stats[sizeof(pubsub_stats) / sizeof(uint64_t)];

    /* [io] */
    pthread_t io_thread;
    pthread_t dispatcher;
    bool dispatcher_running, dispatcher_stop; /* [lock] */
    void *instance;
    uv_loop_t loop;
    bool loop_open;
    int wake_fd;
    uv_poll_t wake_poll;
    uv_timer_t core_timer;
    uint64_t acks_due_ns; /* 0 = nothing is expected */
    bool first_connect_done;
    bool closing;     /* close of the adapter was asked */
    bool closed;      /* and answered */
    bool fail_wanted; /* link 0 failed for good, why: */
    pubsub_error fail_error;
    bool failed; /* and all that follows from it was done */
    bool stop_loop;
    bool in_turn, turn_again;
    uint64_t close_due_ns;
    uint64_t end_deadline_ns; /* [lock] what end allows for closing */
    pubsub__link *links;      /* link_count of them, link 0 always */
    uint32_t link_count;
    pubsub__publish_list pending; /* not handed over */
    size_t pending_bytes;
    pubsub__publish_list handed_over; /* doubly linked */
    bool submit_blocked;
    pubsub_subscription *io_subs;
    pubsub__message_list io_settled; /* settled by the core itself */
    uint64_t flush_seen;
    bool flush_pending; /* the adapter will say flushed */
    bool forked;        /* free memory only */
    pubsub__held held;
    pubsub__block_pool *blocks;
};

/* Counters: pubsub__count(client, accepted, 1). */
#define pubsub__stat_index(name) ((offsetof(pubsub_stats, name)) / sizeof(uint64_t))
#define pubsub__count(client, name, n)                                                             \
    atomic_fetch_add_explicit(&(client)->stats[pubsub__stat_index(name)], (n), memory_order_relaxed)

/* ---- who is who ---- */

/* The generation of this process: raised in each child of fork. */
uint32_t pubsub__fork_generation(void);
bool pubsub__client_forked(const pubsub_client *client);
/* Whether the calling thread is inside a handler of this client. */
bool pubsub__in_callback(const pubsub_client *client);
void pubsub__frame_push(pubsub__frame *frame, const pubsub_client *client);
void pubsub__frame_pop(void);
void pubsub__client_unref(pubsub_client *client);
void pubsub__subscription_ref(pubsub_subscription *subscription);
void pubsub__subscription_unref(pubsub_subscription *subscription);

/* ---- loop.c ---- */

/* @locks lock held. Starts loop and I/O thread unless they run. */
pubsub_err pubsub__loop_start(pubsub_client *client, pubsub_error *err);
/* @locks lock held. Closes the connection, waits for the I/O thread and tears the loop down. */
void pubsub__loop_stop(pubsub_client *client);
/* Have the I/O thread take what was queued; any thread, lock held or not. */
void pubsub__wake(pubsub_client *client);
/* @locks lock held. Wait for cond, or drive the loop when it is inline, until the time given.
 * Returns false when the time is over. */
bool pubsub__wait(pubsub_client *client, pthread_cond_t *cond, uint64_t deadline_ns);
uint64_t pubsub__deadline(pubsub_duration_ms timeout);
/* [io] Everything that is due now; sets the core timer for what comes. */
void pubsub__turn(pubsub_client *client);
/* [io] Have pubsub__turn called again: at the end of the one that runs, or in the next loop turn. */
void pubsub__turn_soon(pubsub_client *client);
/* [io] The loop has ended, and who waits for that hears it. */
void pubsub__io_finish(pubsub_client *client);
/* pthread_create with all signals blocked: those belong to the program's own threads. */
int pubsub__thread_start(pthread_t *thread, void *(*fn)(void *), void *arg);

/* ---- workers.c ---- */

/* @locks lock held */
void pubsub__dispatcher_start(pubsub_client *client);
/* @locks lock held. Have that many workers; PUBSUB_ESYSTEM. */
pubsub_err pubsub__workers_start(pubsub_client *client, uint32_t count, pubsub_error *err);
/* @locks lock held; left meanwhile. Dispatcher and workers end and are waited for. */
void pubsub__workers_stop(pubsub_client *client);
/* @locks lock held. There is work in the queue: wake a worker, or who polls. */
void pubsub__work_signal(pubsub_client *client);
/* @locks lock held; left while handlers run. Work on what is ready. Returns how many handlers ran. */
int pubsub__work(pubsub_client *client);

/* ---- link.c [io] ---- */

void pubsub__links_open(pubsub_client *client);
/* Links that came up since: subscribe what lives on them. */
void pubsub__links_fresh(pubsub_client *client);
void pubsub__links_fail(pubsub_client *client);
void pubsub__links_due(pubsub_client *client, uint64_t now_ns);
uint64_t pubsub__links_next_due(const pubsub_client *client);
void pubsub__set_state(pubsub_client *client, pubsub_state state, const pubsub_error *err);
/* @locks lock held */
void pubsub__set_state_locked(pubsub_client *client, pubsub_state state, const pubsub_error *err);

/* ---- check.c, publish.c, outcome.c ---- */

/* @locks lock held. Opens a client that is idle; ECLOSED for one that ended. */
pubsub_err pubsub__open_locked(pubsub_client *client, pubsub_error *err);
uint64_t pubsub__publish_features(const pubsub_publication *pub);
/* Any thread, lock not held. */
pubsub_err pubsub__publish_check(pubsub_client *client, const pubsub_publication *pub,
                                 pubsub_error *err);
/* What degrade=allow drops is dropped; a qos of the broker's choice is chosen. */
void pubsub__publish_lower(pubsub_client *client, pubsub_publication *pub);
/* [io] take over what users queued, submit what can be. */
void pubsub__publish_take(pubsub_client *client);
void pubsub__publish_submit(pubsub_client *client);
void pubsub__publish_flush(pubsub_client *client);
/* Publishes that waited too long, and when the next one will have. */
void pubsub__publish_due(pubsub_client *client, uint64_t now_ns);
uint64_t pubsub__publish_next_due(const pubsub_client *client);
/* [io] decide every publish that is left. */
void pubsub__publish_give_up(pubsub_client *client, const pubsub_error *why);
/* [io] the final outcome of one publish. */
void pubsub__publish_finish(pubsub_client *client, pubsub__publish *publish,
                            const pubsub_spi_outcome *outcome);
/* [io] queue a dead letter for a message; false when memory is short. */
bool pubsub__publish_dead_letter(pubsub_client *client, const pubsub_publication *pub,
                                 pubsub_message *message);
/* @locks lock held: its report was dispatched, or nobody wants one. */
void pubsub__publish_release_locked(pubsub_client *client, pubsub__publish *publish);

/* @locks lock held, may be left and taken again. Open the client, wait for room in the queue. */
pubsub_err pubsub__publish_room_locked(pubsub_client *client, const pubsub_publication *pub,
                                       uint64_t deadline, bool wait, pubsub_error *err);
/* @locks lock held, room is there. Queue the request of a call; false when memory is short. */
bool pubsub__publish_request_locked(pubsub_client *client, const pubsub_publication *pub,
                                    const pubsub__call *call);

/* ---- calls.c: requests that wait ---- */

void pubsub__calls_init(pubsub__calls *calls);
void pubsub__calls_fini(pubsub__calls *calls);
/* @locks lock held. Have it wait; its number is given. ENOMEM. */
pubsub_err pubsub__call_add_locked(pubsub_client *client, pubsub__call *call, pubsub_error *err);
/* @locks lock held. It waits no longer; nothing is told. */
void pubsub__call_remove_locked(pubsub_client *client, pubsub__call *call);
/* @locks lock held. The one of that number that still waits, or NULL. */
pubsub__call *pubsub__call_find_locked(pubsub_client *client, uint64_t number);
/* @locks lock held. Its end: a reply (a reference is taken) or an error. */
void pubsub__call_end_locked(pubsub_client *client, pubsub__call *call, pubsub_message *reply,
                             const pubsub_error *err);
/* [io] those whose time is over, and when the next one's is. */
void pubsub__calls_due(pubsub_client *client, uint64_t now_ns);
uint64_t pubsub__calls_next_due(const pubsub_client *client);
/* @locks lock held; left while handlers run. Returns how many ran. */
int pubsub__calls_dispatch(pubsub_client *client);

/* ---- inbox.c: where their answers come ---- */

/* [io] Answers: each goes to who waits for it. */
void pubsub__inbox_messages(pubsub_client *client, pubsub_subscription *inbox, pubsub_block *block);
/* [io] @locks lock held. It is subscribed: requests that waited for that may go. */
void pubsub__inbox_opened_locked(pubsub_client *client);
/* [io] It has ended for good, and with it every request. */
void pubsub__inbox_gone(pubsub_client *client, pubsub_subscription *inbox);
/* @locks lock held. What became of publishing a request. */
void pubsub__inbox_published_locked(pubsub_client *client, const pubsub__publish *publish);

/* ---- subscribe.c ---- */

/* The subscription of an inbox, not asked for yet. */
pubsub_err pubsub__subscribe_make_inbox(pubsub_client *client, const char *topic,
                                        pubsub_subscription **out, pubsub_error *err);
/* @locks lock held. Tell the I/O thread; false when memory is short. */
bool pubsub__command_push(pubsub_client *client, pubsub__command_kind kind,
                          pubsub_subscription *subscription, bool forget);
/* @locks lock held. Ask for it; takes over the reference. */
bool pubsub__subscribe_inbox_locked(pubsub_client *client, pubsub_subscription *inbox);

/* ---- request.c ---- */

pubsub_err pubsub__request_parse(pubsub_client *client, pubsub_subscription *sub,
                                 const pubsub_options *options, pubsub_error *err);
/* Answer a request from caps; ENOTSUP unless degrade allows. */
pubsub_err pubsub__negotiate(const pubsub_client *client, const pubsub_caps *caps,
                             const pubsub_request *request, bool degrade, pubsub_grant *grant,
                             pubsub_error *err);
uint64_t pubsub__caps_mask(const pubsub_caps *caps);
/* What degrade=allow gave up is not asked for any more; an unset qos gets its value. */
void pubsub__request_lower(pubsub_subscribe_request *request, const pubsub_caps *caps,
                           uint64_t refused);

/* ---- subs.c [io] ---- */

void pubsub__subs_link_up(pubsub_client *client, uint32_t link);
void pubsub__subs_link_down(pubsub_client *client, uint32_t link, const pubsub_error *err,
                            bool for_good);
void pubsub__subs_commands(pubsub_client *client);
/* Subscriptions whose back-off is over. */
void pubsub__subs_due(pubsub_client *client, uint64_t now_ns);
uint64_t pubsub__subs_next_due(const pubsub_client *client);
uint64_t pubsub__backoff_ns(const pubsub_client *client, uint32_t attempts);
void pubsub__subs_end_all(pubsub_client *client, const pubsub_error *why);
/* Ask the server's caps about everything that waits. */
void pubsub__subs_negotiate(pubsub_client *client);
void pubsub__publish_negotiate(pubsub_client *client);
/* unsubscribe.c, @locks lock held. Marks it ended and queues the rest; false when it was ended already. */
bool pubsub__sub_end_locked(pubsub_client *client, pubsub_subscription *subscription, bool forget);
/* @locks lock held. Its refusal, or PUBSUB_ECLOSED. */
pubsub_err pubsub__sub_ended_error(const pubsub_subscription *sub, pubsub_error *err);
/* It will never be: refused at the broker, or lost. Cleans up in the next turn. */
void pubsub__sub_refuse(pubsub_client *client, pubsub_subscription *subscription,
                        const pubsub_error *err);

/* ---- deliver.c [io] ---- */

/* Settle a message on the I/O thread itself; processed at the end of the turn. */
void pubsub__settle_here(pubsub_client *client, pubsub_message *message,
                         enum pubsub__verdict verdict);
/* @locks lock held. Of what waits for handlers all but what stays is settled; returns how many. */
typedef bool (*pubsub__stays_fn)(const pubsub_message *message);
size_t pubsub__deliver_sift(pubsub_client *client, pubsub_subscription *subscription,
                            pubsub__stays_fn stays, enum pubsub__verdict verdict);
/* Throw away what waits for handlers (NO_ACK messages too when `all`). */
void pubsub__deliver_clear(pubsub_client *client, pubsub_subscription *subscription, bool all);

/* ---- recall.c [io] ---- */

/* A block was given to its subscription, or all its messages are gone. */
void pubsub__live_add(pubsub_subscription *subscription, pubsub_block *block);
void pubsub__live_remove(pubsub_block *block);
/* The core is through with a message. */
static inline void pubsub__live_drop(pubsub_message *message)
{
    message->gone = true;
    if (--message->block->live == 0) {
        pubsub__live_remove(message->block);
    }
}

/* ---- settle.c ---- */

/* [io] process what handlers decided. */
void pubsub__settle_take(pubsub_client *client);
/* Messages were handed over: their acks will be looked for soon, without a wake-up for each round of
 * handlers. @locks lock held */
void pubsub__acks_expect_locked(pubsub_client *client);
/* Looking is due: from now on acks wake the I/O thread again. */
void pubsub__acks_due(pubsub_client *client, uint64_t now_ns);
/* @locks lock held. A caller's message is settled: no longer outstanding, to the I/O thread. */
void pubsub__settle_locked(pubsub_client *client, pubsub_message *message);
/* @locks lock held */
void pubsub__outstanding_add(pubsub_subscription *subscription, pubsub_message *message);

/* ---- held.c [io] ---- */

void pubsub__held_due(pubsub_client *client, uint64_t now_ns);
uint64_t pubsub__held_next_due(const pubsub_client *client);
/* Forget held messages of a subscription (NULL = of all). */
void pubsub__held_clear(pubsub_client *client, const pubsub_subscription *subscription);
/* Hold a message until its delay is over; one that was recalled goes back instead. */
void pubsub__held_add(pubsub_client *client, pubsub_message *message, pubsub_duration_ms delay);
/* Take those of a subscription that were recalled; returns how many. */
size_t pubsub__held_recall(pubsub_client *client, const pubsub_subscription *subscription);

/* ---- deadletter.c [io] ---- */

/* Whether this delivery was the last that is allowed. */
bool pubsub__attempts_over(const pubsub_message *message);
/* Whether it is one itself: those are never given up again. */
bool pubsub__is_dead_letter(const pubsub_message *message);
/* Publish it to the dead-letter topic; the original is acked when that is confirmed. */
void pubsub__dead_letter_start(pubsub_client *client, pubsub_message *message);
void pubsub__dead_letter_done(pubsub_client *client, pubsub_message *message, bool accepted,
                              const pubsub_error *err);

/* ---- ready.c: @locks lock held for all of these ---- */

/* The handler of a subscription, its own or the client's; NULL = it is pulled from. */
static inline pubsub_message_fn pubsub__handler_of(const pubsub_subscription *subscription,
                                                   void **ctx)
{
    bool own = subscription->fn != NULL;
    *ctx = own ? subscription->ctx : subscription->client->on_message_ctx;
    return own ? subscription->fn : subscription->client->on_message;
}
/* Put a subscription with ready messages in the run queue. The caller signals ready_cond after it has
 * left the lock, so that who wakes does not run into it. */
void pubsub__ready_sub(pubsub_client *client, pubsub_subscription *subscription);
/* Recompute whether something is ready: conditions and the descriptor. */
void pubsub__ready_changed(pubsub_client *client);
/* n messages came into, or left, what is ready or waits in lanes of a subscription. */
void pubsub__ready_add(pubsub_subscription *subscription, size_t n);
void pubsub__ready_less(pubsub_subscription *subscription, size_t n);
void pubsub__run_push(pubsub_subscription *subscription);
/* The next one, with the queue's reference; NULL = none. */
pubsub_subscription *pubsub__run_pop(pubsub__run_queue *queue);
void pubsub__run_queue_clear(pubsub_client *client);

/* ---- lanes.c: order per key; @locks lock held but for the first three ---- */

pubsub__lanes *pubsub__lanes_new(uint32_t prefetch, bool by_topic);
void pubsub__lanes_free(pubsub__lanes *lanes);
/* [io] What its key comes to, before it is given to pubsub__lane_enter. */
void pubsub__lane_hash(const pubsub_subscription *subscription, pubsub_message *message);
/* A message that came: true when it may be handled now, false when it waits for one of its key. */
bool pubsub__lane_enter(pubsub_subscription *subscription, pubsub_message *message);
/* A message is settled for good: the next of its key is ready now, or when its handler returns. */
void pubsub__lane_leave(pubsub_client *client, pubsub_message *message);
/* Its handler has returned. */
void pubsub__lane_returned(pubsub_client *client, pubsub_message *message);
/* Take out all that wait for others. */
void pubsub__lanes_drain(pubsub_subscription *subscription, pubsub__message_list *out);

/* ---- dispatch.c, events.c, poll.c ---- */

/* Its handler for one message, without the lock: what it decided goes to `settled`, but with ack=manual.
 * False when the message goes back unseen. */
bool pubsub__handle(pubsub_subscription *subscription, pubsub_message *message,
                    pubsub__message_list *settled);
/* @locks lock held. Settled messages go to the I/O thread. Returns whether it has to be woken: not for
 * each ack that only returns credit or that it looks for soon, which costs two threads a trip for every
 * message that trickles in. */
bool pubsub__flush_settled(pubsub_client *client, const pubsub_subscription *subscription,
                           pubsub__message_list *settled);
/* pubsub_client_poll without the check for dispatch=thread. */
int pubsub__poll(pubsub_client *client, pubsub_duration_ms timeout, pubsub_error *err);
/* @locks lock held; may be left and taken again. Dispatch reports and events only. */
void pubsub__dispatch_rest(pubsub_client *client);
/* @locks lock held; left while handlers run. Each returns how many ran. */
int pubsub__dispatch_events(pubsub_client *client);
int pubsub__dispatch_reports(pubsub_client *client);
int pubsub__dispatch_messages(pubsub_client *client);
/* Any thread, lock not held. */
void pubsub__emit(pubsub_client *client, const pubsub_event *event);
/* @locks lock held. */
void pubsub__emit_locked(pubsub_client *client, const pubsub_event *event);
/* @locks lock held */
void pubsub__events_clear(pubsub_client *client);

/* ---- close.c ---- */

/* @locks lock held; may be left and taken again. `talk`: dispatch the last reports and events. */
void pubsub__end_locked(pubsub_client *client, uint64_t deadline, bool talk);
/* @locks lock held */
void pubsub__undelivered_clear(pubsub_client *client);

/* adapters/registry.c, given at link time */
const pubsub_adapter *pubsub__registry_find(const char *scheme, pubsub_error *err);
bool pubsub__registry_implies_tls(const char *scheme);

#endif
