/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_TEST_TOPIC_CASES_H
#define PUBSUB_TEST_TOPIC_CASES_H

/* Which pattern matches which topic: the law, as a table. The matcher, the index and every adapter run
 * the same rows. */

#include <stdbool.h>

typedef struct topic_case {
    const char *pattern;
    const char *topic;
    bool matches;
} topic_case;

static const topic_case topic_cases[] = {
    /* literal */
    {"a", "a", true},
    {"a", "b", false},
    {"a", "A", false},
    {"a", "aa", false},
    {"a", "a/b", false},
    {"a/b", "a", false},
    {"a/b/c", "a/b/c", true},
    {"my test topic", "my test topic", true},
    {"/v1/subutest", "/v1/subutest", true},
    {"/v1/subutest", "v1/subutest", false},
    {"\xC3\xA9", "\xC3\xA9", true},
    {"\xC3\xA9", "e", false},
    {"a.b", "a.b", true},
    {"a.b", "a/b", false},
    {"a_b", "a.b", false},

    /* empty levels are levels */
    {"/", "/", true},
    {"/", "//", false},
    {"//", "//", true},
    {"a/", "a", false},
    {"a/", "a/", true},
    {"a//b", "a//b", true},
    {"a//b", "a/b", false},

    /* one level */
    {"+", "a", true},
    {"+", "a/b", false},
    {"+", "/", false},
    {"+/+", "/", true},
    {"+/+", "a/b", true},
    {"/+", "/a", true},
    {"+/a", "/a", true},
    {"a/+", "a", false},
    {"a/+", "a/", true},
    {"a/+", "a/b", true},
    {"a/+", "a/b/c", false},
    {"a/+/c", "a/b/c", true},
    {"a/+/c", "a//c", true},
    {"a/+/c", "a/b/d", false},
    {"a/+/c", "a/c", false},
    {"sensor/+/temp", "sensor/kitchen/temp", true},

    /* any number of levels at the end, also none */
    {"#", "a", true},
    {"#", "a/b/c", true},
    {"#", "/", true},
    {"a/#", "a", true},
    {"a/#", "a/", true},
    {"a/#", "a/b", true},
    {"a/#", "a/b/c/d", true},
    {"a/#", "ab", false},
    {"a/#", "b", false},
    {"a/+/#", "a", false},
    {"a/+/#", "a/b", true},
    {"a/+/#", "a/b/c", true},
    {"+/#", "a", true},
    {"/#", "/a", true},
    {"/#", "a", false},

    /* in the middle and at the start */
    {"a/#/c", "a/c", true},
    {"a/#/c", "a/b/c", true},
    {"a/#/c", "a/b/b/c", true},
    {"a/#/c", "a/c/c", true},
    {"a/#/c", "a/b/c/d", false},
    {"a/#/c", "a", false},
    {"a/#/c", "c", false},
    {"a/#/#/c", "a/c", true},
    {"#/c", "c", true},
    {"#/c", "a/b/c", true},
    {"#/c", "a/b/cc", false},
    {"#/b/#", "b", true},
    {"#/b/#", "a/b/c", true},
    {"#/b/#", "a/c", false},
    {"a/#/b/#/c", "a/b/c", true},
    {"a/#/b/#/c", "a/c/b/c", true},
    {"a/#/b/#/c", "a/c/c", false},
    {"a/#/b/+/c", "a/b/b/x/c", true},
    {"a/#/b/+/c", "a/b/x/y/c", false},
    {"#/+", "a", true},
    {"a/#/+", "a", false},
    {"a/#/+", "a/b", true},

    /* a level that is just `*` is `#` */
    {"*", "a/b/c", true},
    {"a/*", "a", true},
    {"a/*", "a/b/c", true},
    {"a/*/c", "a/c", true},
    {"*/c", "a/b/c", true},

    /* inside a level these are characters */
    {"a*", "a*", true},
    {"a*", "ab", false},
    {"*.log", "*.log", true},
    {"*.log", "x.log", false},
    {"a+b", "a+b", true},
    {"a+b", "axb", false},
    {"a#", "a#", true},
    {"a#", "ab", false},
    {"x/##", "x/##", true},
    {"x/##", "x/y", false},

    /* a leading wildcard never matches a first level that begins with `$` */
    {"#", "$sys/a", false},
    {"*", "$sys/a", false},
    {"+/a", "$sys/a", false},
    {"+", "$sys", false},
    {"#/a", "$sys/a", false},
    {"#/$sys", "$sys", false},
    {"$sys/#", "$sys/a", true},
    {"$sys/+", "$sys/a", true},
    {"$sys/a", "$sys/a", true},
    {"#", "a/$sys", true},
    {"a/#", "a/$sys", true},
    {"+/+", "a/$b", true},
};

#define TOPIC_CASES (sizeof(topic_cases) / sizeof(topic_cases[0]))

#endif
