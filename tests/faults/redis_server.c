/* SPDX-License-Identifier: MIT */
#include "redis_server.h"

#include "support/net.h"
#include "support/proxy.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

void redis_ask(kit_broker *broker, const char *command, char *reply, size_t size)
{
    char line[512];
    struct sockaddr_in at;
    memset(&at, 0, sizeof(at));
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    at.sin_port = htons(kit_url_port(kit_broker_url(broker)));
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    int len = snprintf(line, sizeof(line), "%s\r\n", command);
    assert_true(len > 0 && (size_t)len < sizeof(line));
    assert_int_equal(send(fd, line, (size_t)len, MSG_NOSIGNAL), len);
    ssize_t got = recv(fd, reply, size - 1, 0);
    (void)close(fd);
    assert_true(got > 0);
    reply[got] = '\0';
    if (reply[0] == '-') {
        fail_msg("%s: %s", command, reply);
    }
}

void redis_say(kit_broker *broker, const char *command)
{
    char reply[512];
    redis_ask(broker, command, reply, sizeof(reply));
}

void redis_replica_of(kit_broker *broker, kit_broker *master)
{
    char command[64];
    if (master == NULL) {
        redis_say(broker, "REPLICAOF NO ONE");
        return;
    }
    (void)snprintf(command, sizeof(command), "REPLICAOF 127.0.0.1 %u",
                   (unsigned)kit_url_port(kit_broker_url(master)));
    redis_say(broker, command);
}
