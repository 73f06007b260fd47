/* SPDX-License-Identifier: MIT */
/* Two clients, one topic: the first program of this kind of library. Try another broker by changing
 * the URL: ./movies mqtt://localhost */
#include <pubsub/pubsub.h>
#include <stdio.h>

static int on_message(void *ctx, pubsub_message *message)
{
    pubsub_bytes topic = pubsub_message_topic(message);
    pubsub_bytes text = pubsub_message_payload(message);
    printf("%.*s %.*s\n", (int)topic.len, (const char *)topic.data, (int)text.len,
           (const char *)text.data);
    *(int *)ctx = 1;
    return 0; /* acknowledged */
}

int main(int argc, char **argv)
{
    const char *url = argc > 1 ? argv[1] : "local:";
    pubsub_client *siskel = NULL, *ebert = NULL;
    pubsub_subscription *movies = NULL;
    pubsub_error err = PUBSUB_ERROR_INIT;
    int seen = 0;

    if (pubsub_client_new(&siskel, url, NULL, &err) == PUBSUB_OK &&
        pubsub_client_new(&ebert, url, NULL, &err) == PUBSUB_OK &&
        pubsub_client_subscribe(siskel, "movies", NULL, on_message, &seen, &movies, &err) ==
            PUBSUB_OK &&
        pubsub_subscription_wait(movies, 5000, NULL, &err) == PUBSUB_OK &&
        pubsub_client_publish_text(ebert, "movies", "birdman", &err) == PUBSUB_OK) {
        while (!seen && pubsub_client_poll(siskel, 5000, &err) > 0) {
        }
        pubsub_client_end(ebert, 5000, &err);
        pubsub_client_end(siskel, 5000, &err);
    }
    if (!seen) {
        fprintf(stderr, "movies: %s\n", pubsub_error_text(&err));
    }
    pubsub_subscription_free(movies);
    pubsub_client_free(ebert);
    pubsub_client_free(siskel);
    return seen ? 0 : 1;
}
