/* SPDX-License-Identifier: MIT */
/* The slicer against another implementation, over many texts made by fixed random steps. */
#include "json/slice.h"

#include "support/cmocka.h"

#include <jansson.h>

#define ROUNDS 200000
#define TEXT_MAX 200

static uint64_t seed = 42;

static unsigned pick(unsigned limit)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(seed >> 33) % limit;
}

static const char *const pieces[] = {
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"a\"",
    "\"\"",
    "1",
    "-2.5",
    "1e3",
    "true",
    "null",
    "false",
    " ",
    "\n",
    "\"b\":",
    "\"\\n\"",
    "\"\\u00e9\"",
    "\"\\ud83d\\ude00\"",
    "\"\xC3\xA9\"",
    "\"\xFF\"",
    "0",
    "01",
    "\\",
    "\"",
    "x",
    "\"\\\"\"",
    "\"long enough for words of eight bytes\"",
    "{}",
    "[]",
    "\"k\":{",
    "\"k\":[",
    "-",
};

static void add(char *text, size_t *len, const char *piece)
{
    size_t more = strlen(piece);
    if (*len + more < TEXT_MAX) {
        memcpy(text + *len, piece, more);
        *len += more;
    }
}

/* A value that is valid. */
static void add_value(char *text, size_t *len, unsigned depth)
{
    static const char *const scalars[] = {"1",          "-2.5e-3",
                                          "true",       "false",
                                          "null",       "\"\"",
                                          "\"a\\\"b\"", "\"\xC3\xA9t\xC3\xA9\"",
                                          "0",          "\"a string of some length \\u0041\""};
    unsigned kind = depth > 4 || *len > TEXT_MAX / 3 ? 2 : pick(4);
    if (kind >= 2) {
        add(text, len, scalars[pick(sizeof(scalars) / sizeof(scalars[0]))]);
        return;
    }
    unsigned count = pick(4);
    add(text, len, kind == 0 ? "{" : "[");
    for (unsigned i = 0; i < count; i++) {
        add(text, len, i > 0 ? " , " : "");
        add(text, len, kind == 0 ? (pick(2) == 0 ? "\"k\":" : "\"\\u006b\" : ") : "");
        add_value(text, len, depth + 1);
    }
    add(text, len, kind == 0 ? "}" : "]");
}

static size_t make(char *text)
{
    size_t len = 0;
    if (pick(2) == 0) {
        unsigned count = 1 + pick(12);
        for (unsigned i = 0; i < count; i++) {
            add(text, &len, pieces[pick(sizeof(pieces) / sizeof(pieces[0]))]);
        }
        return len;
    }
    add_value(text, &len, 0);
    if (pick(2) == 0 && len > 0) { /* damage it; not by NUL, over which jansson reads on */
        text[pick((unsigned)len)] = (char)(1 + pick(255));
    }
    return len;
}

/* What jansson refuses although it is JSON: surrogates alone, numbers beyond double. */
static bool only_jansson_refuses(const json_error_t *error)
{
    return json_error_code(error) == json_error_numeric_overflow ||
           strstr(error->text, "invalid Unicode") != NULL;
}

static void compare_members(json_t *tree, pubsub_bytes value);

static void compare(json_t *tree, pubsub_bytes value)
{
    static const bridge_json_type types[] = {
        [JSON_OBJECT] = BRIDGE_JSON_OBJECT, [JSON_ARRAY] = BRIDGE_JSON_ARRAY,
        [JSON_STRING] = BRIDGE_JSON_STRING, [JSON_INTEGER] = BRIDGE_JSON_NUMBER,
        [JSON_REAL] = BRIDGE_JSON_NUMBER,   [JSON_TRUE] = BRIDGE_JSON_TRUE,
        [JSON_FALSE] = BRIDGE_JSON_FALSE,   [JSON_NULL] = BRIDGE_JSON_NULL,
    };
    assert_int_equal(bridge_json_type_of(value), types[json_typeof(tree)]);
    if (json_is_string(tree)) {
        pubsub__buf out;
        pubsub__buf_init(&out, 1024);
        assert_true(bridge_json_unescape(value, &out));
        assert_int_equal(out.len, json_string_length(tree));
        assert_memory_equal(pubsub__buf_text(&out), json_string_value(tree), out.len);
        pubsub__buf_fini(&out);
    } else if (json_is_array(tree) || json_is_object(tree)) {
        compare_members(tree, value);
    }
}

static void compare_members(json_t *tree, pubsub_bytes value)
{
    bridge_json_walk walk = {0};
    size_t index = 0;
    for (; bridge_json_next(&walk, value); index++) {
        if (json_is_array(tree)) {
            compare(json_array_get(tree, index), walk.value);
        }
    }
    assert_false(walk.broken);
    if (json_is_array(tree)) {
        assert_int_equal(index, json_array_size(tree));
        return;
    }
    const char *name = NULL;
    json_t *member = NULL;
    json_object_foreach(tree, name, member)
    {
        /* Of equal names jansson keeps the last, the slicer takes the first: look when there is one. */
        pubsub_bytes found = bridge_json_member(value, name);
        assert_non_null(found.data);
        if (index == json_object_size(tree)) {
            compare(member, found);
        }
    }
}

static void test_slice_agrees_with_jansson(void **state)
{
    (void)state;
    size_t valid = 0;
    char text[TEXT_MAX];
    for (int round = 0; round < ROUNDS; round++) {
        size_t len = make(text);
        json_error_t why;
        json_t *tree = json_loadb(text, len, JSON_DECODE_ANY | JSON_ALLOW_NUL, &why);
        const char *error = bridge_json_check((pubsub_bytes){text, len}, NULL);
        if ((tree == NULL) != (error != NULL) && (tree != NULL || !only_jansson_refuses(&why))) {
            fail_msg("'%.*s': %s, jansson: %s", (int)len, text, error != NULL ? error : "valid",
                     tree == NULL ? why.text : "valid");
        }
        if (tree != NULL) {
            compare(tree, (pubsub_bytes){text, len});
            valid++;
        }
        json_decref(tree);
    }
    /* Both sides of the comparison were really looked at. */
    assert_true(valid > ROUNDS / 10 && valid < ROUNDS * 9 / 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_slice_agrees_with_jansson)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
