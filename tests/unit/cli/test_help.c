/* SPDX-License-Identifier: MIT */
#include "help.h"

#include "support/cmocka.h"

#include <stdlib.h>
#include <string.h>

/* What a writer wrote; to be freed. */
static char *text_of(void (*write)(FILE *, const cli_command *), const cli_command *command)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);

    assert_non_null(out);
    write(out, command);
    (void)fclose(out);
    return text;
}

static void each_row(void (*fn)(const cli_command *, const cli_option *))
{
    for (const cli_command *command = cli_commands; command->name != NULL; command++) {
        const cli_option *tables[] = {command->options, command->shared};

        for (int t = 0; t < 2; t++) {
            for (const cli_option *row = tables[t]; row->name != NULL; row++) {
                fn(command, row);
            }
        }
    }
}

static void check_row(const cli_command *command, const cli_option *row)
{
    if (row->help == NULL || row->help[0] == '\0' || row->help[strlen(row->help) - 1] == '.') {
        fail_msg("%s --%s: help is missing or ends in a full stop", command->name, row->name);
    }
    if ((row->kind == CLI_FLAG) != (row->arg == NULL)) {
        fail_msg("%s --%s: a value needs a placeholder, a flag none", command->name, row->name);
    }
    if ((row->kind == CLI_CHOICE) != (row->choices != NULL)) {
        fail_msg("%s --%s: choices", command->name, row->name);
    }
}

static void test_help_rows_are_complete(void **state)
{
    (void)state;
    each_row(check_row);
}

static void check_default(const cli_command *command, const cli_option *row)
{
    char word[128];
    char *argv[] = {word, NULL};
    cli_usage_error err;
    cli_args args;

    if (row->def == NULL || row->kind == CLI_FLAG) {
        return;
    }
    (void)snprintf(word, sizeof(word), "--%s=%s", row->name, row->def);
    if (!cli_args_parse(&args, command->options, command->shared, 1, argv, &err)) {
        fail_msg("%s: the default is refused: %s", command->name, err.text);
    }
    cli_args_fini(&args);
}

static void test_help_defaults_can_be_given(void **state)
{
    (void)state;
    each_row(check_default);
}

static void test_help_letters_are_unique_within_a_table(void **state)
{
    (void)state;
    for (const cli_command *command = cli_commands; command->name != NULL; command++) {
        const cli_option *tables[] = {command->options, command->shared};

        for (int t = 0; t < 2; t++) {
            for (const cli_option *a = tables[t]; a->name != NULL; a++) {
                for (const cli_option *b = a + 1; b->name != NULL; b++) {
                    if ((a->letter != 0 && a->letter == b->letter) ||
                        strcmp(a->name, b->name) == 0) {
                        fail_msg("%s: --%s and --%s clash", command->name, a->name, b->name);
                    }
                }
            }
        }
    }
}

static void test_help_shows_every_option(void **state)
{
    (void)state;
    for (const cli_command *command = cli_commands; command->name != NULL; command++) {
        const cli_option *tables[] = {command->options, command->shared};
        char *help = text_of(cli_help_command, command);
        char *man = text_of(cli_man_page, command);

        for (int t = 0; t < 2; t++) {
            for (const cli_option *row = tables[t]; row->name != NULL; row++) {
                if ((row->flags & CLI_HIDDEN) != 0) {
                    continue;
                }
                if (strstr(help, row->name) == NULL || strstr(man, row->name) == NULL) {
                    fail_msg("%s --%s is not shown", command->name, row->name);
                }
            }
        }
        assert_non_null(strstr(help, "EXAMPLES"));
        assert_non_null(strstr(man, ".Sh EXAMPLES"));
        free(help);
        free(man);
    }
}

static void test_help_lines_fit(void **state)
{
    (void)state;
    for (const cli_command *command = cli_commands; command->name != NULL; command++) {
        char *help = text_of(cli_help_command, command);

        for (const char *at = help; *at != '\0';) {
            size_t len = strcspn(at, "\n");

            if (len > 100) {
                fail_msg("%s: %.*s", command->name, (int)len, at);
            }
            at += len + (at[len] == '\n');
        }
        free(help);
    }
}

static void test_help_completion_knows_the_shells(void **state)
{
    static const char *const shells[] = {"bash", "zsh", "fish"};
    (void)state;
    for (int i = 0; i < 3; i++) {
        char *text = NULL;
        size_t len = 0;
        FILE *out = open_memstream(&text, &len);

        assert_true(cli_complete_script(out, shells[i]));
        (void)fclose(out);
        assert_non_null(strstr(text, "completion"));
        assert_non_null(strstr(text, "null-delim"));
        free(text);
    }
    assert_false(cli_complete_script(stdout, "tcsh"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_help_rows_are_complete),
        cmocka_unit_test(test_help_defaults_can_be_given),
        cmocka_unit_test(test_help_letters_are_unique_within_a_table),
        cmocka_unit_test(test_help_shows_every_option),
        cmocka_unit_test(test_help_lines_fit),
        cmocka_unit_test(test_help_completion_knows_the_shells),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
