/* SPDX-License-Identifier: MIT */
#include "client_setup.h"
#include "cmd.h"

#include "support/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One command line and one environment, and what a client would be given. */
typedef struct setup_case {
    const char *words[6];
    const char *env_user;
    const char *env_password;
    const char *url;
    const char *user;
    const char *password;
} setup_case;

static void put_env(const char *name, const char *value)
{
    if (value != NULL) {
        (void)setenv(name, value, 1);
    } else {
        (void)unsetenv(name);
    }
}

static void check_text(const char *got, const char *want, const char *what)
{
    if (want == NULL ? got != NULL : (got == NULL || strcmp(got, want) != 0)) {
        fail_msg("%s: %s instead of %s", what, got != NULL ? got : "(none)",
                 want != NULL ? want : "(none)");
    }
}

static void run_case(const setup_case *row)
{
    char *argv[8] = {NULL};
    char config[] = "--config=/dev/null";
    int argc = 0;
    cli_usage_error err;
    cli_args args;
    cli_setup setup;
    bool done;

    argv[argc++] = config;
    for (size_t i = 0; i < 6 && row->words[i] != NULL; i++) {
        argv[argc++] = strdup(row->words[i]);
    }
    put_env("PUBSUB_USER", row->env_user);
    put_env("PUBSUB_PASSWORD", row->env_password);
    assert_true(cli_args_parse(&args, NULL, cli_broker_options, argc, argv, &err));
    assert_int_equal(cli_setup_init(&setup, &args, NULL, &done), CLI_EXIT_OK);
    check_text(setup.url, row->url, row->words[1]);
    check_text(pubsub_options_get(setup.client, "user"), row->user, row->words[1]);
    check_text(pubsub_options_get(setup.client, "password"), row->password, row->words[1]);
    cli_setup_fini(&setup);
    cli_args_fini(&args);
    for (int i = 1; i < argc; i++) {
        free(argv[i]);
    }
}

static void test_setup_user_and_password(void **state)
{
    static const setup_case cases[] = {
        {{"-b", "mqtt://h"}, NULL, NULL, "mqtt://h", NULL, NULL},
        {{"-b", "mqtt://u:p@h/x"}, NULL, NULL, "mqtt://h/x", "u", "p"},
        {{"-b", "mqtt://u:p@h"}, "e", "f", "mqtt://h", "u", "p"},
        {{"-b", "mqtt://u@h"}, NULL, "f", "mqtt://h", "u", "f"},
        {{"-b", "mqtt://u@h"}, "e", "f", "mqtt://h", "u", NULL},
        {{"-b", "mqtt://u@h"}, "u", "f", "mqtt://h", "u", "f"},
        {{"-b", "mqtt://u:p@h", "-u", "v"}, NULL, NULL, "mqtt://h", "v", NULL},
        {{"-b", "mqtt://u:p@h", "-u", "u"}, NULL, NULL, "mqtt://h", "u", "p"},
        {{"-b", "mqtt://u:p@h", "-q", "--password", "q"}, NULL, NULL, "mqtt://h", "u", "q"},
        {{"-b", "mqtt://u:a%40b%3Ac@h"}, NULL, NULL, "mqtt://h", "u", "a@b:c"},
        {{"-b", "redis://:p@h:1,i:2/3"}, NULL, NULL, "redis://h:1,i:2/3", NULL, "p"},
        {{"-b", "mqtt://h?user=u&password=p"}, NULL, NULL, "mqtt://h", "u", "p"},
        {{"-b", "mqtt://h"}, "e", "f", "mqtt://h", "e", "f"},
        {{"-b", "mqtt://h", "-u", "v"}, "e", "f", "mqtt://h", "v", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        run_case(&cases[i]);
    }
}

static void test_setup_flags_replace_what_the_url_says(void **state)
{
    static const setup_case cases[] = {
        {{"-b", "mqtt://h?a.b=1&client_id=x&c=2", "-i", "y"},
         NULL,
         NULL,
         "mqtt://h?a.b=1&c=2",
         NULL,
         NULL},
        {{"-b", "mqtt://h?client_id=x", "-i", "y"}, NULL, NULL, "mqtt://h", NULL, NULL},
        {{"-b", "local:/d?sync=durable", "-X", "local.sync=written"},
         NULL,
         NULL,
         "local:/d",
         NULL,
         NULL},
        {{"-b", "local:/d?sync=durable"}, NULL, NULL, "local:/d?sync=durable", NULL, NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        run_case(&cases[i]);
    }
}

static int refused(const char *flag, const char *value)
{
    char words[3][80] = {"--config=/dev/null", "", ""};
    char *argv[] = {words[0], words[1], words[2], NULL};
    cli_usage_error err;
    cli_args args;
    cli_setup setup;
    bool done;
    int code;

    (void)snprintf(words[1], sizeof(words[1]), "%s", flag);
    (void)snprintf(words[2], sizeof(words[2]), "%s", value != NULL ? value : "");
    assert_true(cli_args_parse(&args, NULL, cli_broker_options, value != NULL ? 3 : 2, argv, &err));
    code = cli_setup_init(&setup, &args, NULL, &done);
    cli_setup_fini(&setup);
    cli_args_fini(&args);
    return code;
}

static void test_setup_local_refuses_what_it_cannot_heed(void **state)
{
    (void)state;
    put_env("PUBSUB_USER", NULL);
    put_env("PUBSUB_PASSWORD", NULL);
    assert_int_equal(refused("--tls", NULL), CLI_EXIT_UNSUPPORTED);
    assert_int_equal(refused("-u", "me"), CLI_EXIT_UNSUPPORTED);
    assert_int_equal(refused("-X", "tls=yes"), CLI_EXIT_UNSUPPORTED);
    assert_int_equal(refused("-b", "local://u@h"), CLI_EXIT_UNSUPPORTED);
    assert_int_equal(refused("-X", "tls=no"), CLI_EXIT_OK);
    assert_int_equal(refused("-b", "mqtt://u@h"), CLI_EXIT_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_setup_user_and_password),
        cmocka_unit_test(test_setup_flags_replace_what_the_url_says),
        cmocka_unit_test(test_setup_local_refuses_what_it_cannot_heed),
    };
    (void)unsetenv("PUBSUB_BROKER");
    (void)unsetenv("PUBSUB_PROFILE");
    (void)unsetenv("PUBSUB_PASSWORD_FILE");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
