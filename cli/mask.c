/* SPDX-License-Identifier: MIT */
#include "mask.h"

#include "base/alloc.h"
#include "base/text.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

static const char *const secret_names[] = {"password", "passwd", "passphrase", "secret", "token"};

static const char *find_nocase(const char *text, const char *word)
{
    size_t len = strlen(word);

    for (; *text != '\0'; text++) {
        if (strncasecmp(text, word, len) == 0) {
            return text;
        }
    }
    return NULL;
}

bool cli_name_is_secret(const char *name)
{
    for (size_t i = 0; i < sizeof(secret_names) / sizeof(secret_names[0]); i++) {
        if (find_nocase(name, secret_names[i]) != NULL) {
            return true;
        }
    }
    return false;
}

static void stars(char *text, size_t len)
{
    memset(text, '*', len);
}

/* user:PASSWORD@ behind each "://", up to the last @ before one of the bytes in stop: a URL that is
 * wrong is to be hidden, too. */
static void mask_logins(char *text, const char *stop)
{
    for (char *at = strstr(text, "://"); at != NULL; at = strstr(at, "://")) {
        size_t len;
        char *colon;

        at += 3;
        len = strcspn(at, stop);
        colon = at + strcspn(at, ":/?@");
        if (*colon != ':' || (size_t)(colon - at) >= len) {
            continue;
        }
        for (size_t i = len; i > (size_t)(colon - at) + 1; i--) {
            if (at[i - 1] == '@') {
                stars(colon + 1, i - 2 - (size_t)(colon - at));
                break;
            }
        }
    }
}

/* user:PASSWORD@host, where the scheme was forgotten. */
static void mask_bare_login(char *word)
{
    char *colon = strchr(word, ':');
    char *end = strrchr(word, '@');

    if (colon != NULL && end != NULL && end > colon && strncmp(colon, "://", 3) != 0 &&
        strcspn(word, " \t\n/?{\"") >= (size_t)(end - word)) {
        stars(colon + 1, (size_t)(end - colon - 1));
    }
}

/* NAME=VALUE and ?NAME=VALUE&, where the name ends in a word of the list. `--password-file=FILE`
 * is none of them. */
static void mask_values(char *word)
{
    for (char *equals = strchr(word, '='); equals != NULL; equals = strchr(equals + 1, '=')) {
        for (size_t i = 0; i < sizeof(secret_names) / sizeof(secret_names[0]); i++) {
            size_t len = strlen(secret_names[i]);

            if ((size_t)(equals - word) >= len &&
                strncasecmp(equals - len, secret_names[i], len) == 0) {
                size_t value = strcspn(equals + 1, strchr(word, '?') != NULL ? "&" : "");

                stars(equals + 1, value);
                equals += value;
                break;
            }
        }
    }
}

void cli_mask_words(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i - 1], "--password") == 0) {
            stars(argv[i], strlen(argv[i]));
            continue;
        }
        mask_logins(argv[i], "");
        mask_bare_login(argv[i]);
        mask_values(argv[i]);
    }
}

void cli_mask_text(char *text)
{
    mask_logins(text, " \t\n\"'");
}

char **cli_words_copy(int argc, char **argv)
{
    char **words = pubsub__calloc((size_t)argc + 1, sizeof(*words));

    for (int i = 0; words != NULL && i < argc; i++) {
        words[i] = pubsub__strdup(argv[i]);
        if (words[i] == NULL) {
            cli_words_free(words);
            return NULL;
        }
    }
    return words;
}

void cli_words_free(char **words)
{
    for (size_t i = 0; words != NULL && words[i] != NULL; i++) {
        pubsub__wipe(words[i], strlen(words[i]));
        pubsub__free(words[i]);
    }
    pubsub__free(words);
}
