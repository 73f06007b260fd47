/* SPDX-License-Identifier: MIT */
#include "cmd.h"
#include "say.h"

/* Stand-ins for a program built without bench. */
#define WEAK __attribute__((weak))

extern const cli_option cli_bench_options[] WEAK;
extern const cli_example cli_bench_examples[] WEAK;
extern const char *const cli_bench_synopsis WEAK;
extern const char *const cli_bench_description WEAK;

const cli_option cli_bench_options[] = {{.name = NULL}};
const cli_example cli_bench_examples[] = {{NULL, NULL}};
const char *const cli_bench_synopsis = "";
const char *const cli_bench_description = "";

WEAK int cmd_bench(const cli_args *args)
{
    (void)args;
    cli_error("bench is not part of this program");
    return CLI_EXIT_FAILED;
}
