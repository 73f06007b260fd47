/* SPDX-License-Identifier: MIT */
#include "redis/conn.h"

#include <string.h>

/* The server's errors begin with a word that programs may rely on; the rest is for people. What to do about
 * it is ours to say. */

static const struct mapping {
    const char *word;
    pubsub_err code;
    const char *hint;
} mappings[] = {
    {"NOAUTH", PUBSUB_EAUTH, "the server wants a password: give one in the URL"},
    {"WRONGPASS", PUBSUB_EAUTH, "user or password is wrong"},
    {"NOPERM", PUBSUB_EDENIED, "the user lacks a permission (ACL)"},
    {"DENIED", PUBSUB_EDENIED,
     "the server is in protected mode: set a password or its bind address"},
    {"OOM", PUBSUB_EFULL, "the server's memory is full: raise maxmemory or trim"},
    {"MISCONF", PUBSUB_EFULL, "the server cannot write to its disk and refuses changes"},
    {"READONLY", PUBSUB_EREJECTED,
     "this server is a replica: name its master in the URL, or all hosts, as in redis://a,b"},
    {"MASTERDOWN", PUBSUB_ECONNECT, "the replica has lost its master"},
    {"LOADING", PUBSUB_ECONNECT, "the server is starting and reads its data"},
    {"BUSY", PUBSUB_EBUSY, "the server runs a script"},
    {"TRYAGAIN", PUBSUB_EBUSY, "the server moves keys"},
    {"NOREPLICAS", PUBSUB_EFULL, "too few replicas (min-replicas-to-write)"},
    {"MOVED", PUBSUB_ENOTSUP, "Redis Cluster is not supported, name a server that holds all keys"},
    {"ASK", PUBSUB_ENOTSUP, "Redis Cluster is not supported"},
    {"CROSSSLOT", PUBSUB_ENOTSUP, "Redis Cluster is not supported"},
    {"CLUSTERDOWN", PUBSUB_ENOTSUP, "Redis Cluster is not supported"},
    {"WRONGTYPE", PUBSUB_ETOPIC, "a key of that name holds something else than a stream"},
    {"NOSCRIPT", PUBSUB_EREJECTED, ""},
    {"NOGROUP", PUBSUB_EBUSY, "the consumer group or its stream was deleted"},
    {"UNBLOCKED", PUBSUB_EBUSY, "the stream was deleted"},
    {"EXECABORT", PUBSUB_EREJECTED, ""},
};

/* Before version 6 a wrong password is only a sentence. */
static const struct mapping sentences[] = {
    {"ERR invalid password", PUBSUB_EAUTH, "the password is wrong"},
    {"ERR Client sent AUTH, but no password", PUBSUB_EAUTH,
     "the server has no password: leave it out of the URL"},
    {"ERR AUTH <password> called without any password", PUBSUB_EAUTH,
     "the default user has no password: leave it out of the URL, or name a user"},
    {"ERR max number of clients", PUBSUB_ECONNECT, "the server has too many clients (maxclients)"},
    {"ERR DB index", PUBSUB_EOPTION, "the path of the URL names a database the server lacks"},
    {"ERR unknown command", PUBSUB_ENOTSUP, "the server is too old, or the command is disabled"},
    {"ERR Protocol error", PUBSUB_EPROTO, ""},
    {"ERR string exceeds", PUBSUB_ETOOBIG, "beyond proto-max-bulk-len"},
};

static bool begins(const char *text, size_t len, const char *with)
{
    size_t n = strlen(with);
    return len >= n && memcmp(text, with, n) == 0;
}

static const struct mapping *find(const char *text, size_t len)
{
    for (size_t i = 0; i < sizeof(mappings) / sizeof(mappings[0]); i++) {
        size_t n = strlen(mappings[i].word);
        if (begins(text, len, mappings[i].word) && (len == n || text[n] == ' ')) {
            return &mappings[i];
        }
    }
    for (size_t i = 0; i < sizeof(sentences) / sizeof(sentences[0]); i++) {
        if (begins(text, len, sentences[i].word)) {
            return &sentences[i];
        }
    }
    return NULL;
}

/* One line, whatever the server sent. */
static size_t clean(char *line, size_t size, const char *text, size_t len)
{
    size_t n = len < size - 1 ? len : size - 1;
    for (size_t i = 0; i < n; i++) {
        line[i] = (unsigned char)text[i] < 0x20 || (unsigned char)text[i] >= 0x7f ? '?' : text[i];
    }
    line[n] = '\0';
    return n;
}

pubsub_err pubsub__redis_error_text(const char *text, size_t len, pubsub_error *err)
{
    static const char aborted[] = "EXECABORT Transaction discarded because of: ";
    char line[150];
    if (begins(text, len, aborted)) { /* what was allowed at its commands and is not at EXEC */
        text += sizeof(aborted) - 1;
        len -= sizeof(aborted) - 1;
    }
    const struct mapping *known = find(text, len);
    (void)clean(line, sizeof(line), text, len);
    if (known == NULL || known->hint[0] == '\0') {
        return pubsub_error_set(err, known == NULL ? PUBSUB_EREJECTED : known->code,
                                "the server answers: %s", line);
    }
    return pubsub_error_set(err, known->code, "%s (the server answers: %s)", known->hint, line);
}

pubsub_err pubsub__redis_error(const redis_reply *reply, pubsub_error *err)
{
    if (reply == NULL) {
        return pubsub_error_set(err, PUBSUB_ELOST, "the connection was lost before the answer");
    }
    if (reply == &pubsub__redis_replica) {
        return pubsub_error_set(err, PUBSUB_ECONNECT,
                                "this server is a replica: the next host is asked");
    }
    if (reply->type != REDIS_ERROR) {
        return PUBSUB_OK;
    }
    return pubsub__redis_error_text(reply->as.text, reply->len, err);
}
