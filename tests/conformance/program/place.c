/* SPDX-License-Identifier: MIT */
/* In place of conf_place.c: all cases run on the broker of one URL. Nothing is started, nothing is broken. */
#include "place.h"

#include "conformance/conf_place.h"

#include <stdio.h>

static const char *given_url;
static const char *given_dead_url;
static char dir[KIT_PATH_MAX];

void place_set(const char *url, const char *dead_url)
{
    given_url = url;
    given_dead_url = dead_url;
}

bool place_is_fixed(const char *url)
{
    return strstr(url, "{unique}") == NULL && strstr(url, "{dir}") == NULL;
}

/* Replace the words in braces. Text that does not fit is cut, and the URL then is a wrong one. */
static void fill_in(const char *from, const char *unique, const char *place, char *url, size_t size)
{
    size_t used = 0;
    url[0] = '\0';
    while (*from != '\0' && used + 1 < size) {
        const char *word = NULL;
        int len = 0;
        if (strncmp(from, "{unique}", strlen("{unique}")) == 0) {
            word = unique;
            from += strlen("{unique}");
        } else if (strncmp(from, "{dir}", strlen("{dir}")) == 0) {
            word = place;
            from += strlen("{dir}");
        }
        len = word != NULL ? snprintf(url + used, size - used, "%s", word)
                           : snprintf(url + used, size - used, "%c", *from++);
        used += len > 0 ? (size_t)len : 0;
    }
}

conf_presence conf_place_look(const conf_adapter *adapter)
{
    (void)adapter;
    return CONF_PRESENT;
}

void conf_place_nominal(const conf_adapter *adapter, char *url, size_t size)
{
    (void)adapter;
    fill_in(given_url, "none", "/nonexistent", url, size);
}

void conf_dead_url(conf *t, char *url, size_t size)
{
    if (given_dead_url == NULL) {
        conf_skip(t, "no URL was given to which no connection can be made (--dead-url)");
    }
    (void)snprintf(url, size, "%s", given_dead_url);
}

void conf_place_prepare(conf *t, unsigned modes)
{
    (void)modes;
    if (strstr(given_url, "{dir}") != NULL) {
        if (dir[0] != '\0') {
            kit_dir_remove(dir); /* the case before has ended */
        }
        kit_dir_new(dir);
    }
    fill_in(given_url, t->unique, dir, t->url, sizeof(t->url));
}

void conf_place_release(conf *t)
{
    (void)t;
}

void conf_place_end(void)
{
    if (dir[0] != '\0') {
        kit_dir_remove(dir);
        dir[0] = '\0';
    }
}
