/* SPDX-License-Identifier: MIT */
/* The tool that starts brokers, seen from a test: ready means ready, faults happen, nothing is left. */
#include "support/broker.h"
#include "support/child.h"
#include "support/cmocka.h"
#include "support/proxy.h"
#include "support/wait.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* 0 = something accepts connections there, else errno. */
static int knock(uint16_t port, int *fd)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    *fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(*fd >= 0);
    if (connect(*fd, (struct sockaddr *)&address, sizeof(address)) == 0) {
        return 0;
    }
    int why = errno;
    (void)close(*fd);
    *fd = -1;
    return why;
}

static bool reachable(const char *url)
{
    int fd = -1;
    int why = knock(kit_url_port(url), &fd);
    if (fd >= 0) {
        (void)close(fd);
    }
    return why == 0;
}

/* Send bytes to a broker, and whether it answers within ms. */
static bool answers(const char *url, const void *data, size_t len, int64_t ms)
{
    int fd = -1;
    assert_int_equal(knock(kit_url_port(url), &fd), 0);
    struct pollfd wait = {fd, POLLIN, 0};
    char byte = 0;
    assert_int_equal(send(fd, data, len, MSG_NOSIGNAL), (ssize_t)len);
    bool any = poll(&wait, 1, (int)kit_ms(ms)) > 0 && recv(fd, &byte, 1, 0) == 1;
    (void)close(fd);
    return any;
}

static bool exists(pid_t pid)
{
    return kill(pid, 0) == 0 || errno != ESRCH;
}

static void wait_gone(pid_t pid)
{
    kit_deadline until = kit_in(KIT_PATIENCE);
    while (exists(pid)) {
        assert_false(kit_over(until));
        kit_breathe();
    }
}

/* The life of a broker: every kind goes through it. */
static void live(const char *kind, const char *variants)
{
    kit_broker *broker = kit_broker_start(kind, variants);
    char dir[512];
    char url[512];
    (void)snprintf(dir, sizeof(dir), "%s", kit_broker_need(broker, "dir"));
    (void)snprintf(url, sizeof(url), "%s", kit_broker_need(broker, "url"));
    pid_t first = kit_broker_pid(broker);
    assert_true(first > 0 && exists(first));
    assert_true(reachable(url));
    assert_int_equal(access(kit_broker_need(broker, "log"), R_OK), 0);

    kit_broker_kill(broker);
    wait_gone(first);
    assert_false(reachable(url));
    kit_broker_restart(broker);
    pid_t second = kit_broker_pid(broker);
    assert_true(second > 0 && second != first);
    assert_string_equal(kit_broker_url(broker), url);
    assert_true(reachable(url));

    kit_broker_stop(broker);
    wait_gone(second);
    assert_false(reachable(url));
    assert_int_equal(access(dir, F_OK), -1);
}

static void test_broker_mosquitto_lives(void **unused)
{
    (void)unused;
    live("mosquitto", "autosave");
}

static void test_broker_redis_lives(void **unused)
{
    (void)unused;
    live("redis", "aof-always");
}

static void test_broker_rabbitmq_lives(void **unused)
{
    (void)unused;
    live("rabbitmq", "auth,tls,mqtt");
}

static void test_broker_kafka_lives(void **unused)
{
    (void)unused;
    live("kafka", "auth,tls");
}

static void test_broker_kafka_cluster_loses_and_regains_a_node(void **unused)
{
    (void)unused;
    kit_broker *broker = kit_broker_start("kafka", "nodes-3");
    pid_t node = (pid_t)strtol(kit_broker_need(broker, "node_kafka_2"), NULL, 10);
    pid_t other = (pid_t)strtol(kit_broker_need(broker, "node_kafka_3"), NULL, 10);
    kit_broker_kill_node(broker, "kafka-2");
    wait_gone(node);
    assert_true(exists(other));
    kit_broker_restart_node(broker, "kafka-2");
    assert_true(strtol(kit_broker_need(broker, "node_kafka_2"), NULL, 10) != node);
    kit_broker_stop(broker);
    wait_gone(other);
}

/* The variants of the two that start at once; the tool checks every listener before it says ready. */
static void test_broker_mosquitto_variants(void **unused)
{
    static const char *const variants[] = {NULL,          "generous",     "small",
                                           "auth",        "tls",          "tls-client,auth",
                                           "tls-expired", "tls-mismatch", "ws,persistence"};
    (void)unused;
    for (size_t i = 0; i < sizeof(variants) / sizeof(variants[0]); i++) {
        kit_broker *broker = kit_broker_start("mosquitto", variants[i]);
        assert_true(reachable(kit_broker_url(broker)));
        if (variants[i] != NULL && strstr(variants[i], "tls") != NULL) {
            assert_int_equal(strncmp(kit_broker_url(broker), "mqtts://localhost:", 18), 0);
            assert_int_equal(access(kit_broker_need(broker, "ca"), R_OK), 0);
            assert_int_equal(access(kit_broker_need(broker, "wrong_ca"), R_OK), 0);
        }
        if (variants[i] != NULL && strstr(variants[i], "auth") != NULL) {
            assert_string_equal(kit_broker_need(broker, "user"), "pubsub");
            assert_true(strlen(kit_broker_password(broker, false)) > 10);
            assert_string_not_equal(kit_broker_password(broker, false),
                                    kit_broker_password(broker, true));
        } else {
            assert_null(kit_broker_get(broker, "user"));
        }
        kit_broker_stop(broker);
    }
}

static void test_broker_redis_variants(void **unused)
{
    static const char *const variants[] = {NULL,    "aof-off", "aof-on", "generous",
                                           "small", "auth",    "tls",    "tls-client,auth"};
    (void)unused;
    for (size_t i = 0; i < sizeof(variants) / sizeof(variants[0]); i++) {
        kit_broker *broker = kit_broker_start("redis", variants[i]);
        assert_true(reachable(kit_broker_url(broker)));
        kit_broker_stop(broker);
    }
}

static void test_broker_settings_win(void **unused)
{
    static const char *const settings[] = {"timeout 17", NULL};
    static const char question[] = "CONFIG GET timeout\r\n";
    char text[64] = "";
    int fd = -1;
    (void)unused;
    kit_broker *broker = kit_broker_start_with("redis", NULL, settings);
    assert_int_equal(knock(kit_url_port(kit_broker_url(broker)), &fd), 0);
    struct pollfd wait = {fd, POLLIN, 0};
    assert_int_equal(send(fd, question, sizeof(question) - 1, MSG_NOSIGNAL),
                     (ssize_t)sizeof(question) - 1);
    assert_true(poll(&wait, 1, (int)kit_ms(KIT_PATIENCE)) > 0);
    assert_true(recv(fd, text, sizeof(text) - 1, 0) > 0);
    assert_non_null(strstr(text, "17"));
    (void)close(fd);
    kit_broker_stop(broker);
}

static void test_broker_pause_silences_and_resume_wakes(void **unused)
{
    static const char ping[] = "PING\r\n";
    (void)unused;
    kit_broker *broker = kit_broker_start("redis", "aof-off");
    const char *url = kit_broker_url(broker);
    assert_true(answers(url, ping, sizeof(ping) - 1, KIT_PATIENCE));
    kit_broker_pause(broker);
    assert_false(answers(url, ping, sizeof(ping) - 1, 100));
    kit_broker_resume(broker);
    assert_true(answers(url, ping, sizeof(ping) - 1, KIT_PATIENCE));
    kit_broker_pause(broker);
    kit_broker_stop(broker); /* a paused one too */
}

static void test_broker_works_through_the_proxy(void **unused)
{
    static const char ping[] = "PING\r\n";
    (void)unused;
    kit_broker *broker = kit_broker_start("redis", "aof-off");
    kit_proxy *proxy = kit_proxy_start(kit_url_port(kit_broker_url(broker)));
    char url[256];
    kit_proxy_url(proxy, kit_broker_url(broker), url, sizeof(url));
    assert_true(answers(url, ping, sizeof(ping) - 1, KIT_PATIENCE));
    assert_int_equal(kit_proxy_bytes(proxy, KIT_TO_BROKER), sizeof(ping) - 1);
    kit_proxy_stop(proxy);
    kit_broker_stop(broker);
}

static void test_broker_shared_instances_answer(void **unused)
{
    static const char *const kinds[] = {"mosquitto", "redis"};
    (void)unused;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        const char *url = kit_broker_shared(kinds[i]);
        assert_true(reachable(url));
        assert_string_equal(kit_broker_shared(kinds[i]), url);
    }
}

/* --- a test program that dies takes its brokers along --- */

static int role_die(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    kit_broker *broker = kit_broker_start("mosquitto", NULL);
    kit_say("%ld", (long)kit_broker_pid(broker));
    char line[16];
    (void)kit_hear(line, sizeof(line)); /* until it is killed */
    return 0;
}

static void test_broker_ends_with_a_killed_test(void **unused)
{
    static const char *const none[] = {NULL};
    kit_child child;
    char line[64];
    (void)unused;
    if (!kit_broker_installed("mosquitto")) {
        kit_broker_stop(kit_broker_start("mosquitto", NULL)); /* skips, or fails where it must be */
    }
    kit_child_start(&child, "die", none);
    assert_true(kit_child_line(&child, line, sizeof(line), 30000));
    pid_t broker = (pid_t)strtol(line, NULL, 10);
    assert_true(broker > 0 && exists(broker));
    kit_child_signal(&child, SIGKILL);
    (void)kit_child_wait(&child, KIT_PATIENCE);
    wait_gone(broker);
    kit_child_end(&child);
}

int main(int argc, char **argv)
{
    static const kit_role roles[] = {{"die", role_die}, {NULL, NULL}};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_broker_mosquitto_lives),
        cmocka_unit_test(test_broker_mosquitto_variants),
        cmocka_unit_test(test_broker_redis_lives),
        cmocka_unit_test(test_broker_redis_variants),
        cmocka_unit_test(test_broker_settings_win),
        cmocka_unit_test(test_broker_pause_silences_and_resume_wakes),
        cmocka_unit_test(test_broker_works_through_the_proxy),
        cmocka_unit_test(test_broker_shared_instances_answer),
        cmocka_unit_test(test_broker_ends_with_a_killed_test),
        cmocka_unit_test(test_broker_rabbitmq_lives),
        cmocka_unit_test(test_broker_kafka_lives),
        cmocka_unit_test(test_broker_kafka_cluster_loses_and_regains_a_node),
    };
    kit_roles(argc, argv, roles);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
