/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_CLI_MASK_H
#define PUBSUB_CLI_MASK_H

/* Keeps passwords out of the list of processes. */

#include <stdbool.h>

/* Whether the name of an option or query key says that its value is secret. */
bool cli_name_is_secret(const char *name);

/* Overwrite with stars what looks secret in the words of a command line: passwords of URLs, values
 * of --password and of options and query keys that look secret. Lengths stay. To be done as early as
 * possible, on the strings the system gave to main, after they were copied. */
void cli_mask_words(int argc, char **argv);

/* The same for the passwords of URLs in a text for people, in place. */
void cli_mask_text(char *text);

/* A copy of the words, NULL at the end; NULL when there is no memory. cli_words_free wipes them. */
char **cli_words_copy(int argc, char **argv);
void cli_words_free(char **words);

#endif
