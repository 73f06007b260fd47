/* SPDX-License-Identifier: MIT */
#include "topic/index.h"

#include "base/alloc.h"
#include "topic/level.h"

#include <string.h>

typedef struct node node;

typedef struct entry {
    void *value;
    size_t times;
} entry;

/* One level of one or more patterns. `plus` and `hash` are children too, kept apart from the
 * literal ones, which are sorted by (hash of the text, length, text). */
struct node {
    node *parent;
    char *text; /* of a literal level, else NULL */
    size_t len;
    uint64_t text_hash;
    node **kids;
    size_t nkids;
    size_t kids_cap;
    node *plus;
    node *hash;
    entry *entries;
    size_t nentries;
    size_t entries_cap;
    uint64_t mark; /* the step of the match in which the node was reached last */
    node *next[2]; /* in the set reached in an even and in an odd step: a node can be in this one
                      and already in the following */
};

struct pubsub__topic_index {
    node root;
    size_t count;
    size_t max;
    uint64_t step; /* counts the levels of all matches ever made; never repeats */
};

/* FNV-1a; the tree stays right, only slower, when somebody finds clashes. */
static uint64_t hash_level(const char *text, size_t len)
{
    uint64_t hash = UINT64_C(0xCBF29CE484222325);
    for (size_t i = 0; i < len; i++) {
        hash = (hash ^ (unsigned char)text[i]) * UINT64_C(0x100000001B3);
    }
    return hash;
}

static int compare_level(const node *kid, uint64_t hash, const char *text, size_t len)
{
    if (kid->text_hash != hash) {
        return kid->text_hash < hash ? -1 : 1;
    }
    if (kid->len != len) {
        return kid->len < len ? -1 : 1;
    }
    return len == 0 ? 0 : memcmp(kid->text, text, len);
}

/* The place of a literal child, or where it would be put. */
static size_t kid_place(const node *parent, uint64_t hash, const char *text, size_t len,
                        bool *found)
{
    size_t low = 0;
    size_t high = parent->nkids;
    *found = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare_level(parent->kids[middle], hash, text, len);
        if (order == 0) {
            *found = true;
            return middle;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static node *find_kid(const node *parent, uint64_t hash, const char *text, size_t len)
{
    bool found = false;
    size_t place = kid_place(parent, hash, text, len, &found);
    return found ? parent->kids[place] : NULL;
}

static void free_node(node *dead)
{
    pubsub__free(dead->text);
    pubsub__free(dead->kids);
    pubsub__free(dead->entries);
    pubsub__free(dead);
}

static bool grow(void **array, size_t *cap, size_t used, size_t item)
{
    if (used < *cap) {
        return true;
    }
    size_t more = *cap == 0 ? 2 : *cap * 2;
    void *bigger = pubsub__realloc(*array, more * item);
    if (bigger == NULL) {
        return false;
    }
    *array = bigger;
    *cap = more;
    return true;
}

static node *new_node(node *parent, const char *text, size_t len)
{
    node *made = pubsub__calloc(1, sizeof(*made));
    if (made != NULL) {
        made->parent = parent;
        if (text != NULL) {
            made->text = pubsub__strndup(text, len);
            made->len = len;
            made->text_hash = hash_level(text, len);
            if (made->text == NULL) {
                free_node(made);
                made = NULL;
            }
        }
    }
    return made;
}

/* The child of a pattern's level, made when it is not there; NULL when memory is short. */
static node *make_child(node *parent, const char *text, size_t len)
{
    if (pubsub__level_is_wild(text, len)) {
        node **slot = pubsub__level_is_plus(text, len) ? &parent->plus : &parent->hash;
        if (*slot == NULL) {
            *slot = new_node(parent, NULL, 0);
        }
        return *slot;
    }
    bool found = false;
    size_t place = kid_place(parent, hash_level(text, len), text, len, &found);
    if (found) {
        return parent->kids[place];
    }
    void *kids = parent->kids;
    bool room = grow(&kids, &parent->kids_cap, parent->nkids, sizeof(parent->kids[0]));
    parent->kids = kids;
    node *made = room ? new_node(parent, text, len) : NULL;
    if (made != NULL) {
        memmove(parent->kids + place + 1, parent->kids + place,
                (parent->nkids - place) * sizeof(parent->kids[0]));
        parent->kids[place] = made;
        parent->nkids++;
    }
    return made;
}

static node *find_child(const node *parent, const char *text, size_t len)
{
    if (pubsub__level_is_wild(text, len)) {
        return pubsub__level_is_plus(text, len) ? parent->plus : parent->hash;
    }
    return find_kid(parent, hash_level(text, len), text, len);
}

static bool is_empty(const node *at)
{
    return at->nkids == 0 && at->nentries == 0 && at->plus == NULL && at->hash == NULL;
}

/* Remove nodes that carry nothing any more, from here upwards. */
static void prune(node *at)
{
    while (at->parent != NULL && is_empty(at)) {
        node *parent = at->parent;
        if (parent->plus == at) {
            parent->plus = NULL;
        } else if (parent->hash == at) {
            parent->hash = NULL;
        } else {
            bool found = false;
            size_t place = kid_place(parent, at->text_hash, at->text, at->len, &found);
            parent->nkids--;
            memmove(parent->kids + place, parent->kids + place + 1,
                    (parent->nkids - place) * sizeof(parent->kids[0]));
        }
        free_node(at);
        at = parent;
    }
}

pubsub_err pubsub__topic_index_new(pubsub__topic_index **out, size_t max_entries)
{
    *out = pubsub__calloc(1, sizeof(**out));
    if (*out == NULL) {
        return PUBSUB_ENOMEM;
    }
    (*out)->max = max_entries;
    return PUBSUB_OK;
}

/* Patterns can have more than a thousand levels, so the tree is taken down without recursion. */
static void free_below(node *root)
{
    node *at = root;
    for (;;) {
        node *child = NULL;
        if (at->nkids > 0) {
            child = at->kids[--at->nkids];
        } else if (at->plus != NULL) {
            child = at->plus;
            at->plus = NULL;
        } else if (at->hash != NULL) {
            child = at->hash;
            at->hash = NULL;
        }
        if (child != NULL) {
            at = child;
        } else if (at == root) {
            return;
        } else {
            node *parent = at->parent;
            free_node(at);
            at = parent;
        }
    }
}

void pubsub__topic_index_free(pubsub__topic_index *index)
{
    if (index != NULL) {
        free_below(&index->root);
        pubsub__free(index->root.kids);
        pubsub__free(index);
    }
}

static pubsub_err add_entry(node *at, void *value)
{
    for (size_t i = 0; i < at->nentries; i++) {
        if (at->entries[i].value == value) {
            at->entries[i].times++;
            return PUBSUB_OK;
        }
    }
    void *entries = at->entries;
    bool room = grow(&entries, &at->entries_cap, at->nentries, sizeof(at->entries[0]));
    at->entries = entries;
    if (!room) {
        return PUBSUB_ENOMEM;
    }
    at->entries[at->nentries++] = (entry){.value = value, .times = 1};
    return PUBSUB_OK;
}

pubsub_err pubsub__topic_index_add(pubsub__topic_index *index, const char *pattern, size_t len,
                                   void *value)
{
    if (index->count >= index->max) {
        return PUBSUB_EAGAIN;
    }
    node *at = &index->root;
    bool last_was_hash = false;
    for (size_t pos = 0; pos <= len;) {
        size_t n = pubsub__level_len(pattern, len, pos);
        bool hash = pubsub__level_is_hash(pattern + pos, n);
        if (!hash || !last_was_hash) { /* `#/#` is `#` */
            node *child = make_child(at, pattern + pos, n);
            if (child == NULL) {
                prune(at);
                return PUBSUB_ENOMEM;
            }
            at = child;
        }
        last_was_hash = hash;
        pos += n + 1;
    }
    pubsub_err rc = add_entry(at, value);
    if (rc == PUBSUB_OK) {
        index->count++;
    } else {
        prune(at);
    }
    return rc;
}

bool pubsub__topic_index_remove(pubsub__topic_index *index, const char *pattern, size_t len,
                                void *value)
{
    node *at = &index->root;
    bool last_was_hash = false;
    for (size_t pos = 0; pos <= len;) {
        size_t n = pubsub__level_len(pattern, len, pos);
        bool hash = pubsub__level_is_hash(pattern + pos, n);
        if (!hash || !last_was_hash) {
            at = find_child(at, pattern + pos, n);
            if (at == NULL) {
                return false;
            }
        }
        last_was_hash = hash;
        pos += n + 1;
    }
    for (size_t i = 0; i < at->nentries; i++) {
        if (at->entries[i].value == value) {
            if (--at->entries[i].times == 0) {
                at->entries[i] = at->entries[--at->nentries];
            }
            index->count--;
            prune(at);
            return true;
        }
    }
    return false;
}

size_t pubsub__topic_index_count(const pubsub__topic_index *index)
{
    return index->count;
}

/* Put a node into the set of the step, once; a `#` behind it may match nothing, so that is reached
 * too. */
static void reach(node **set, node *at, uint64_t step)
{
    for (; at != NULL && at->mark != step; at = at->hash) {
        at->mark = step;
        at->next[step & 1] = *set;
        *set = at;
    }
}

static size_t report(const node *set, uint64_t step, pubsub__topic_index_fn fn, void *ctx)
{
    size_t count = 0;
    for (const node *at = set; at != NULL; at = at->next[step & 1]) {
        for (size_t i = 0; i < at->nentries; i++) {
            count += at->entries[i].times;
            for (size_t k = 0; fn != NULL && k < at->entries[i].times; k++) {
                fn(ctx, at->entries[i].value);
            }
        }
    }
    return count;
}

/* The nodes that are reached after one more level of the topic; step is that of the new set. */
static node *advance(node *set, const char *level, size_t len, bool dollar, uint64_t step)
{
    uint64_t hash = hash_level(level, len);
    node *reached = NULL;
    for (node *at = set; at != NULL; at = at->next[(step - 1) & 1]) {
        bool is_hash = at->parent != NULL && at->parent->hash == at;
        if (is_hash) {
            reach(&reached, at, step); /* `#` swallows the level and stays */
        }
        if (!dollar) {
            reach(&reached, at->plus, step);
        }
        reach(&reached, find_kid(at, hash, level, len), step);
    }
    return reached;
}

size_t pubsub__topic_index_match(pubsub__topic_index *index, const char *topic, size_t len,
                                 pubsub__topic_index_fn fn, void *ctx)
{
    if (len == 0) {
        return 0;
    }
    bool dollar = topic[0] == '$';
    node *set = NULL;
    uint64_t step = ++index->step;
    if (dollar) { /* a leading wildcard never matches it, so the `#` behind the root stays out */
        set = &index->root;
        set->next[step & 1] = NULL;
    } else {
        reach(&set, &index->root, step);
    }
    for (size_t at = 0; at <= len && set != NULL;) {
        size_t n = pubsub__level_len(topic, len, at);
        step = ++index->step;
        set = advance(set, topic + at, n, dollar && at == 0, step);
        at += n + 1;
    }
    return report(set, step, fn, ctx);
}
