/* SPDX-License-Identifier: MIT */
#include "exit.h"

#include "support/cmocka.h"

static void test_exit_maps_every_error(void **state)
{
    static const struct {
        pubsub_err code;
        int exit;
    } cases[] = {
        {PUBSUB_OK, 0},        {PUBSUB_EINVAL, 2},       {PUBSUB_EURL, 2},
        {PUBSUB_ESCHEME, 2},   {PUBSUB_ENOTBUILT, 2},    {PUBSUB_ETOPIC, 2},
        {PUBSUB_EPATTERN, 2},  {PUBSUB_EOPTION, 2},      {PUBSUB_EUTF8, 2},
        {PUBSUB_ESTATE, 1},    {PUBSUB_ECLOSED, 1},      {PUBSUB_ENOTFOUND, 1},
        {PUBSUB_ENOTSUP, 7},   {PUBSUB_ETOOBIG, 5},      {PUBSUB_EREJECTED, 5},
        {PUBSUB_EFULL, 5},     {PUBSUB_ECONNECT, 3},     {PUBSUB_ELOST, 3},
        {PUBSUB_ETIMEDOUT, 6}, {PUBSUB_ENORESPONDER, 6}, {PUBSUB_EAUTH, 4},
        {PUBSUB_EDENIED, 4},   {PUBSUB_ETLS, 4},         {PUBSUB_EAGAIN, 1},
        {PUBSUB_EBUSY, 1},     {PUBSUB_ECANCELED, 1},    {PUBSUB_ENOMEM, 1},
        {PUBSUB_EIO, 1},       {PUBSUB_ENOSPC, 1},       {PUBSUB_ECORRUPT, 1},
        {PUBSUB_EVERSION, 1},  {PUBSUB_EPROTO, 1},       {PUBSUB_EINTERNAL, 1},
        {PUBSUB_ESYSTEM, 1},   {(pubsub_err)-9999, 1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (cli_exit_of(cases[i].code) != cases[i].exit) {
            fail_msg("%s gives %d, not %d", pubsub_err_name(cases[i].code),
                     cli_exit_of(cases[i].code), cases[i].exit);
        }
    }
}

static void test_exit_no_error_is_success(void **state)
{
    static const pubsub_err codes[] = {
#define PUBSUB_X(name, value, class_, text) PUBSUB_##name,
        PUBSUB_ERROR_MAP(PUBSUB_X)
#undef PUBSUB_X
    };
    (void)state;
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        assert_int_equal(cli_exit_of(codes[i]) == 0, codes[i] == PUBSUB_OK);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exit_maps_every_error),
        cmocka_unit_test(test_exit_no_error_is_success),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
