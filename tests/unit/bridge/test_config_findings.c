/* SPDX-License-Identifier: MIT */
/* Files that are wrong: each fault with its place and its text, all of them at once. */
#include "config/reader.h"

#include "support/cmocka.h"
#include "unit/bridge/config_files.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

/* The parts that are right, so that each case has one wrong part. */
#define B BROKERS
#define S SOURCES
#define R ROUTES

typedef struct wrong_file {
    const char *text;
    const char *expected; /* "line:column: path: text", one line each */
} wrong_file;

/* All findings as lines. */
static void read_findings(const char *text, const bridge_overrides *overrides, pubsub__buf *out)
{
    bridge_findings findings = {0};
    bridge_config *config =
        bridge_config_read("/etc/bridge.yaml", text, strlen(text), overrides, &findings);
    assert_true((config == NULL) == (findings.count > 0));
    pubsub__buf_init(out, 1 << 20);
    for (size_t i = 0; i < findings.count; i++) {
        const bridge_finding *item = &findings.items[i];
        assert_int_equal(pubsub__buf_printf(out, "%u:%u: %s: %s\n", item->mark.line,
                                            item->mark.column, item->path, item->text),
                         PUBSUB__BUF_OK);
    }
    bridge_config_free(config);
    bridge_findings_fini(&findings);
}

static void check_files(const wrong_file *files, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        pubsub__buf lines;
        read_findings(files[i].text, NULL, &lines);
        if (strcmp(pubsub__buf_text(&lines), files[i].expected) != 0) {
            fail_msg("%s\nexpected:\n%sgot:\n%s", files[i].text, files[i].expected,
                     pubsub__buf_text(&lines));
        }
        pubsub__buf_fini(&lines);
    }
}

static void test_config_findings_of_yaml(void **state)
{
    (void)state;
    static const wrong_file files[] = {
        {"", "1:1: : there is nothing in this file\n"},
        {"# only a comment\n", "1:1: : there is nothing in this file\n"},
        {"a: b: c\n", "1:5: : this is no YAML: mapping values are not allowed in this context\n"},
        {"a: [1\nb: 2\n",
         "2:2: : this is no YAML: did not find expected ',' or ']' while parsing a "
         "flow sequence that begins in line 1\n"},
        {"a:\n\t- x\n", "2:1: : this is no YAML: found character that cannot start any token while "
                        "scanning for the next token\n"},
        {"a: \xC3\xA9\xFFx\n", "1:5: : this is not UTF-8\n"},
        {"just text\n", "1:1: : the file is a mapping: lines of `name: value`\n"},
        {B S R "--- \na: b\n", "4:1: : a second document begins here: the file may hold one\n"},
        {B S R "drain: 1s\ndrain: 2s\n",
         "5:1: drain: is there already, in line 4: one of them has to "
         "go\n"},
        {B S R "? [a]\n: b\n", "4:3: : a name is expected here\n"},
        {B S R "drain: !!str 5s\nlisten: !port 1\n",
         "5:9: listen: tags (!name) are not supported\n"},
        {B S "routes: [{<<: {a: b}, model: a, topic: t}]\n",
         "3:11: routes[0]: merging by << is not supported: write the settings out, or use an alias "
         "for a whole value\n"},
        {B S "routes: &r [*r]\n",
         "3:9: routes[0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0]"
         "[0][0][0][0][0][0][0][0][0][0][0][0]: this is nested too deeply, or holds itself by an "
         "alias\n"},
        {B S "routes: [{model: *no, topic: t}]\n",
         "3:18: : this is no YAML: found undefined alias\n"},
        {B S "routes: [{model: \"a\\0b\", topic: t}]\n",
         "3:18: routes[0].model: a value cannot hold a NUL\n"},
    };
    check_files(files, COUNT(files));
}

static void test_config_findings_of_the_top(void **state)
{
    (void)state;
    static const wrong_file files[] = {
        {B S R "lsiten: 1\nzzz: 1\n", "4:1: lsiten: the file has no 'lsiten', did you mean "
                                      "'listen'?\n5:1: zzz: the file has no 'zzz'\n"},
        {"drain: 1s\n", "1:1: sources: is missing: name: source, one or more\n"
                        "1:1: routes: is missing: list of routes\n"
                        "1:1: brokers: there is no broker: write `name: URL`\n"},
        {B S R "drain: 2h\n", "4:8: drain: \"2h\" is out of range: from 0 to 1h\n"},
        {B S R "drain: [1]\n", "4:8: drain: one value is expected here, not a list\n"},
        {B S R "drain:\n", "4:7: drain: has no value; an empty text is written \"\"\n"},
        {B S R "state: ''\n", "4:8: state: must not be empty\n"},
        {B S R "log: verbose\n", "4:6: log: `log` is a mapping: lines of `name: value`\n"},
        {B S R "log: {levl: debug, format: xml}\n",
         "4:7: log.levl: `log` has no 'levl', did you mean 'level'?\n"
         "4:28: log.format: \"xml\" is none of text, json\n"},
        {B S R "listen: http://x:1/\n", "4:9: listen: write host:port, such as 127.0.0.1:9100 or "
                                        "[::1]:9100, or a port\n"},
        {B S R "listen: '::1:80'\n", "4:9: listen: write host:port, such as 127.0.0.1:9100 or "
                                     "[::1]:9100, or a port\n"},
        {B S R "listen: 70000\n", "4:9: listen: write host:port, such as 127.0.0.1:9100 or "
                                  "[::1]:9100, or a port\n"},
    };
    check_files(files, COUNT(files));
}

static void test_config_findings_of_values_from_outside(void **state)
{
    (void)state;
    (void)unsetenv("T_NOT");
    (void)setenv("T_WRONG", "hush-hush", 1);
    static const wrong_file files[] = {
        {B S R "drain: ${T_NOT}\n",
         "4:8: drain: the environment has no T_NOT: set it, or write ${T_NOT:-default}\n"},
        {B S R "state: /x/${T-NOT}\n",
         "4:8: state: write ${NAME} or ${NAME:-default}; $$ stands for one dollar sign\n"},
        {B S R "state: /x/${T\n", "4:8: state: ${ has no closing brace; $$ stands for one dollar "
                                  "sign\n"},
        {B S R "drain: ${T_WRONG}\n", "4:8: drain: this value (not shown) is no duration: write "
                                      "250ms, 5s, 2m, 1h or 1d\n"},
        {B S R "drain: {env: T_WRONG}\n",
         "4:8: drain: this value (not shown) is no duration: write "
         "250ms, 5s, 2m, 1h or 1d\n"},
        {B S R "drain: {env: T_NOT}\n", "4:14: drain: the environment has no T_NOT\n"},
        {B S R "drain: {file: [x]}\n", "4:15: drain: write {file: PATH} or {env: NAME}\n"},
        {B S R "drain: {file: x, env: y}\n",
         "4:8: drain: one value is expected here, not a mapping\n"},
        {B S R "drain: {file: nothing}\n",
         "4:15: drain: /etc/nothing: No such file or directory\n"},
        {B S R "drain: {file: /tmp}\n", "4:15: drain: /tmp: is no regular file\n"},
    };
    check_files(files, COUNT(files));
}

static void test_config_findings_of_brokers(void **state)
{
    (void)state;
    (void)setenv("T_WRONG", "hush-hush", 1);
    static const wrong_file files[] = {
        {"brokers: {}\n" S R, "1:10: brokers: there is no broker: write `name: URL`\n"},
        {"brokers: [x]\n" S R, "1:10: brokers: `brokers` is a mapping: lines of `name: value`\n"},
        {"brokers: {a/b: 'local:'}\n" S R,
         "1:11: brokers.a/b: a name is made of 1 to 64 letters, digits, '.', '_' and '-', and does "
         "not begin with a dot\n"},
        {"brokers: {main: {usr: x}}\n" S R, "1:17: brokers.main.url: is missing: broker URL; every "
                                            "option of a client may stand beside "
                                            "it\n1:18: brokers.main.usr: did you mean 'url'?\n"},
        {"brokers: {main: {url: 'local:', queue_messages: 0, quue_bytes: 1, group: x, io: "
         "inline}}\n" S R,
         "1:49: brokers.main.queue_messages: option 'queue_messages': '0' is not in 1..10000000 "
         "messages\n"
         "1:52: brokers.main.quue_bytes: unknown option 'quue_bytes', did you mean 'queue_bytes'?\n"
         "1:67: brokers.main.group: this is no option of a client\n"
         "1:77: brokers.main.io: this is not for the file: the bridge has one way to run its "
         "clients\n"},
        {"brokers: {main: {url: 'local:', queue_messages: '${T_WRONG}'}}\n" S R,
         "1:49: brokers.main.queue_messages: this value (not shown) is refused: unknown option or "
         "value out "
         "of range\n"},
        {"brokers: {main: 'locl:x'}\n" S R,
         "1:17: brokers.main: unknown scheme 'locl:', did you mean 'local:'?\n"},
    };
    check_files(files, COUNT(files));
}

static void test_config_findings_of_sources(void **state)
{
    (void)state;
    (void)setenv("T_WRONG", "hush-hush", 1);
    static const wrong_file files[] = {
        {B "sources: {}\n" R, "2:10: sources: there is no source in it\n"},
        {B "sources: {db: x}\n" R,
         "2:15: sources.db: a source is a mapping: lines of `name: value`\n"},
        {B "sources: {db: {url: x}}\n" R,
         "2:15: sources.db.connector: is missing: name of a connector, or a file that ends in .so; "
         "its settings stand beside it\n"},
        {B "sources: {db: {connector: no-such-thing}}\n" R,
         "2:27: sources.db.connector: there is no connector 'no-such-thing'\n"},
        {B "sources:\n  db:\n    connector: ${FAKE_CONNECTOR}\n    urll: x\n    limit: 80x\n"
           "    heartbeat: soon\n    feed: long\n    pin: 1a\n    spool: perhaps\n    selector: "
           "{a: 1}\n"
           "    secret:\n      - a\n      - {b: c}\n" R,
         "4:5: sources.db.url: is missing: URL of the server\n"
         "5:5: sources.db.urll: fake has no setting 'urll', did you mean 'url'?\n"
         "6:12: sources.db.limit: \"80x\" is no whole number\n"
         "7:16: sources.db.heartbeat: \"soon\" is no duration: write 250ms, 5s, 2m, 1h or 1d\n"
         "8:11: sources.db.feed: \"long\" is none of longpoll, continuous\n"
         "9:10: sources.db.pin: this value (not shown) is no whole number\n"
         "10:12: sources.db.spool: \"perhaps\" is none of auto, yes, no\n"
         "14:9: sources.db.secret[1]: one value is expected here, not a mapping\n"},
        {B "sources: {db: {connector: '${FAKE_CONNECTOR}', url: '', limit: [1], user: }}\n" R,
         "2:53: sources.db.url: \"\" must not be empty\n"
         "2:64: sources.db.limit: one value is expected here, not a list\n"
         "2:75: sources.db.user: has no value; an empty text is written \"\"\n"},
        {B "sources: {db: {connector: '${FAKE_CONNECTOR}', url: x, limit: '${T_WRONG}'}}\n" R,
         "2:63: sources.db.limit: this value (not shown) is no whole number\n"},
    };
    check_files(files, COUNT(files));
}

static void test_config_findings_of_routes(void **state)
{
    (void)state;
    static const wrong_file files[] = {
        {B S "routes: {a: b}\n",
         "3:9: routes: `routes` is a list, one route or more: lines that begin with `- `\n"},
        {B S "routes: []\n",
         "3:9: routes: `routes` is a list, one route or more: lines that begin with `- `\n"},
        {B S "routes: [x]\n", "3:10: routes[0]: a route is a mapping: lines of `name: value`\n"},
        {B S "routes:\n- topik: x\n",
         "4:3: routes[0].topik: a route has no 'topik', did you mean 'topic'?\n"
         "4:3: routes[0].topic: is missing: topic template\n"
         "4:3: routes[0].models: is missing: write `model: NAME` or `models: [NAME, ...]`\n"},
        {B S "routes: [{model: a, models: b, topic: t}]\n",
         "3:29: routes[0].model: write either `model` or `models`\n"},
        {B S "routes: [{models: [], topic: t}, {models: ['', [x]], topic: t}]\n",
         "3:19: routes[0].models: names no model\n"
         "3:44: routes[1].models[0]: a model's name is 1 to 255 bytes of UTF-8\n"
         "3:48: routes[1].models[1]: one value is expected here, not a list\n"},
        {B S "routes: [{model: a, topic: t, source: bd, broker: mian}]\n",
         "3:39: routes[0].source: there is no source 'bd', did you mean 'db'?\n"
         "3:51: routes[0].broker: there is no broker 'mian', did you mean 'main'?\n"},
        {"brokers: {a: 'local:', b: 'local:'}\n" S "routes: [{model: a, topic: t}]\n",
         "3:10: routes[0].broker: is missing: there are 2 of them\n"},
        {B S "routes:\n- {model: a, topic: t}\n- {model: a, topic: u}\n",
         "5:3: routes[1]: is called like the route in line 4: give one of them another `name`\n"},
        {B S "routes: [{name: a/b, model: a, topic: t}]\n",
         "3:17: routes[0].name: a name is made of 1 to 64 letters, digits, '.', '_' and '-', and "
         "does not begin with a dot\n"},
        {B S
         "routes: [{model: a, topic: t, changes: [creat, delete]}, {model: b, topic: t, changes: "
         "[]}]\n",
         "3:41: routes[0].changes[0]: \"creat\" is none of unknown, create, update, delete\n"
         "3:88: routes[1].changes: lets nothing through: name a change, or leave it out\n"},
        {B S "routes: [{model: a, topic: t, where: {a: [1], /b~: 1}}]\n",
         "3:42: routes[0].where.a: one value is expected here, not a list\n"
         "3:47: routes[0].where./b~: in a pointer ~0 stands for '~' and ~1 for '/'\n"},
        {B S "routes: [{model: a, topic: t, qos: 3, retain: maybe, in_flight: 0, in_flight_bytes: "
             "1}]\n",
         "3:36: routes[0].qos: \"3\" is none of 0, 1, 2\n"
         "3:47: routes[0].retain: \"maybe\" is neither yes nor no\n"
         "3:65: routes[0].in_flight: \"0\" is out of range: from 1 to 1000000\n"
         "3:85: routes[0].in_flight_bytes: \"1\" is out of range: from 4k to 1T\n"},
    };
    check_files(files, COUNT(files));
}

static void test_config_findings_of_templates(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"'{modl}'", "there is no {modl}, did you mean {model}?"},
        {"'a/{}'",
         "there is no {}; there are {model}, {source}, {route}, {topic}, {key}, {event}, {id} and "
         "{/pointer}; {{ stands for one brace"},
        {"'a/{model'", "'{' has no '}'; {{ stands for one brace"},
        {"''", "topic is empty"},
        {"a/+/b", "?"},
        {"'{model}/#'", "?"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char why[256] = "";
        char text[64];
        (void)snprintf(text, sizeof(text), "%s", cases[i][0]);
        if (text[0] == '\'') { /* as YAML would read it */
            memmove(text, text + 1, strlen(text));
            text[strlen(text) - 1] = '\0';
        }
        assert_false(bridge_template_check(text, why, sizeof(why)));
        if (cases[i][1][0] != '?') {
            assert_string_equal(why, cases[i][1]);
        }
        assert_true(why[0] != '\0');
    }
    static const char *const good[] = {"{model}", "/v1/{source}/{event}/{id}/{route}/{key}",
                                       "{topic}", "{/a/b~1c}",
                                       "{{",      "}",
                                       "a{{b}}c", "$dead/x"};
    for (size_t i = 0; i < COUNT(good); i++) {
        char why[256] = "";
        if (!bridge_template_check(good[i], why, sizeof(why))) {
            fail_msg("%s: %s", good[i], why);
        }
    }
    char longest[2000];
    char why[256] = "";
    memset(longest, 'a', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    assert_false(bridge_template_check(longest, why, sizeof(why)));
    static const wrong_file files[] = {
        {B S "routes: [{model: a, topic: '{modle}', dead_letter: '{x'}]\n",
         "3:28: routes[0].topic: there is no {modle}, did you mean {model}?\n"
         "3:52: routes[0].dead_letter: '{' has no '}'; {{ stands for one brace\n"},
    };
    check_files(files, COUNT(files));
}

static void test_config_findings_of_flags(void **state)
{
    (void)state;
    static const char *const sets[][2] = {
        {"nothing", "0:0: : --set: write --set path=value, such as --set routes[0].topic=/news\n"},
        {"routes[7].topic=x", "0:0: routes[7].topic: --set: the list has no such entry\n"},
        {"routes[x].topic=x",
         "0:0: routes[x].topic: --set: write an index in brackets, such as [0]\n"},
        {"routes.no.topic=x", "0:0: routes.no.topic: --set: there is no route of that name\n"},
        {"routes=x", "0:0: routes: --set: this is a list: set one of its entries, [0] and so on\n"},
        {"sources.db=x",
         "0:0: sources.db: --set: this is a mapping: set one of its entries, such as .url\n"},
        {"sources.db.url.x=y",
         "0:0: sources.db.url.x: --set: there is no such place in the file\n"},
        {"sources.db.urll=y",
         "0:0: sources.db.urll: fake has no setting 'urll', did you mean 'url'?\n"},
        {"drian=1s", "0:0: drian: the file has no 'drian', did you mean 'drain'?\n"},
        {"routes[0].qos=9", "0:0: routes[0].qos: \"9\" is none of 0, 1, 2\n"},
        {"sources.db.pin=hunter2",
         "0:0: sources.db.pin: this value (not shown) is no whole number\n"},
        {"a..b=1",
         "0:0: a..b: --set: there is no such place in the file\n0:0: a: the file has no 'a'\n"},
        {"=1", "0:0: : --set: write --set path=value, such as --set routes[0].topic=/news\n"},
    };
    for (size_t i = 0; i < COUNT(sets); i++) {
        const bridge_overrides overrides = {.sets = &sets[i][0], .set_count = 1};
        pubsub__buf lines;
        read_findings(B S R, &overrides, &lines);
        if (strcmp(pubsub__buf_text(&lines), sets[i][1]) != 0) {
            fail_msg("%s:\n%s", sets[i][0], pubsub__buf_text(&lines));
        }
        pubsub__buf_fini(&lines);
    }
}

static void test_config_findings_of_secret_files(void **state)
{
    char text[1500];
    char path[300];
    char expected[1500];
    pubsub__buf lines;
    (void)snprintf(path, sizeof(path), "%s/secret", (const char *)*state);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs("hunter2\n", file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, 0644), 0);
    (void)snprintf(text, sizeof(text),
                   "brokers: {main: {file: '%s'}}\n"
                   "sources: {db: {connector: '${FAKE_CONNECTOR}', url: {file: '%s'},\n"
                   "  password: {file: '%s'}}}\n" R,
                   path, path, path);
    (void)snprintf(
        expected, sizeof(expected),
        "1:24: brokers.main: %s: can be read by everybody and holds a secret: chmod o-r\n"
        "3:20: sources.db.password: %s: can be read by everybody and holds a secret: chmod "
        "o-r\n",
        path, path);
    read_findings(text, NULL, &lines);
    assert_string_equal(pubsub__buf_text(&lines), expected);
    pubsub__buf_fini(&lines);
    assert_int_equal(chmod(path, 0600), 0);
    read_findings(text, NULL, &lines); /* now the URL is seen, but not shown */
    assert_null(strstr(pubsub__buf_text(&lines), "hunter2"));
    pubsub__buf_fini(&lines);
}

static void test_config_findings_are_bounded(void **state)
{
    (void)state;
    pubsub__buf text;
    bridge_findings findings = {0};
    pubsub__buf_init(&text, 1 << 20);
    for (int i = 0; i < 150; i++) {
        assert_int_equal(pubsub__buf_printf(&text, "wrong%d: 1\n", i), PUBSUB__BUF_OK);
    }
    assert_null(bridge_config_read("f", pubsub__buf_text(&text), text.len, NULL, &findings));
    assert_int_equal(findings.count, 100);
    assert_int_equal(findings.more, 53); /* and brokers, sources, routes */
    bridge_findings_fini(&findings);
    assert_int_equal(findings.count, 0);
    pubsub__buf_fini(&text);
}

/* Nine aliases of nine aliases ...: 9^9 values if somebody wrote them all out. */
static void test_config_findings_bound_aliases(void **state)
{
    (void)state;
    static const char text[] =
        "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\n"
        "c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\n"
        "e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n"
        "g: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f]\nh: &h [*g,*g,*g,*g,*g,*g,*g,*g,*g]\n";
    bridge_findings findings = {0};
    assert_null(bridge_config_read("f", text, strlen(text), NULL, &findings));
    assert_int_equal(findings.count, 1);
    assert_string_equal(findings.items[0].text,
                        "these are too many values, with aliases written out");
    bridge_findings_fini(&findings);
}

/* What would keep the parser busy for minutes. */
static void test_config_findings_bound_the_parser(void **state)
{
    (void)state;
    pubsub__buf anchors;
    char brackets[20000];
    memset(brackets, '[', sizeof(brackets));
    bridge_findings findings = {0};
    assert_null(bridge_config_read("f", brackets, sizeof(brackets), NULL, &findings));
    assert_int_equal(findings.count, 1);
    assert_int_equal(findings.items[0].mark.column, BRIDGE_NODE_DEPTH_MAX + 1);
    assert_string_equal(findings.items[0].text, "this is nested too deeply");
    bridge_findings_fini(&findings);
    pubsub__buf_init(&anchors, 1 << 20);
    for (int i = 0; i < 2000; i++) {
        assert_int_equal(pubsub__buf_printf(&anchors, "- &a%d x\n", i), PUBSUB__BUF_OK);
    }
    assert_null(bridge_config_read("f", pubsub__buf_text(&anchors), anchors.len, NULL, &findings));
    assert_int_equal(findings.count, 1);
    assert_int_equal(findings.items[0].mark.line, 1001);
    assert_string_equal(findings.items[0].text, "these are too many anchors (&name)");
    bridge_findings_fini(&findings);
    pubsub__buf_fini(&anchors);
}

static void test_config_findings_bound_the_file(void **state)
{
    (void)state;
    bridge_findings findings = {0};
    size_t len = BRIDGE_FILE_MAX + 1;
    char *text = test_malloc(len);
    memset(text, ' ', len);
    assert_null(bridge_config_read("f", text, len, NULL, &findings));
    assert_int_equal(findings.count, 1);
    assert_string_equal(findings.items[0].text, "the file is longer than 4 MiB");
    bridge_findings_fini(&findings);
    test_free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_config_findings_of_yaml),
        cmocka_unit_test(test_config_findings_of_the_top),
        cmocka_unit_test(test_config_findings_of_values_from_outside),
        cmocka_unit_test(test_config_findings_of_brokers),
        cmocka_unit_test(test_config_findings_of_sources),
        cmocka_unit_test(test_config_findings_of_routes),
        cmocka_unit_test(test_config_findings_of_templates),
        cmocka_unit_test(test_config_findings_of_flags),
        cmocka_unit_test(test_config_findings_of_secret_files),
        cmocka_unit_test(test_config_findings_are_bounded),
        cmocka_unit_test(test_config_findings_bound_aliases),
        cmocka_unit_test(test_config_findings_bound_the_parser),
        cmocka_unit_test(test_config_findings_bound_the_file),
    };
    return cmocka_run_group_tests(tests, config_set_up, config_tear_down);
}
