/* SPDX-License-Identifier: MIT */
/* Runs a fuzz target without a fuzzer: over every file of the folders given, and over mutations of each
 * that are the same in every run. Fails when there is no file, because then nothing was tested. */
#include "fuzz/fuzz.h"

#include <dirent.h>
#include <string.h>
#include <sys/stat.h>

#define INPUT_MAX (1024 * 1024)
#define MUTANTS 400

static uint32_t g_seed;

static uint32_t next_random(void)
{
    g_seed = g_seed * 1664525u + 1013904223u;
    return g_seed >> 8;
}

/* A heap copy of exactly this size, so that the sanitizer sees every read beyond it. */
static void run_one(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size == 0 ? 1 : size);
    FUZZ_CHECK(copy != NULL);
    if (size > 0) {
        memcpy(copy, data, size);
    }
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

/* Change one to four bytes, or cut, or repeat a piece. */
static size_t mutate(uint8_t *data, size_t size, size_t room)
{
    static const uint8_t nasty[] = {0, '/', '#', '+', '*', '%', '@', ':', '=', '\n', 0x80, 0xFF};
    uint32_t kind = next_random() % 8;
    if (kind == 0) {
        return next_random() % (size + 1);
    }
    if (kind == 1 && size * 2 <= room) {
        memcpy(data + size, data, size);
        return size * 2;
    }
    for (uint32_t n = next_random() % 4 + 1; n > 0 && size > 0; n--) {
        uint8_t *at = &data[next_random() % size];
        *at = kind < 5 ? nasty[next_random() % sizeof(nasty)] : (uint8_t)next_random();
    }
    return size;
}

static void run_file(const char *path, uint8_t *input, uint8_t *mutant)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        exit(1);
    }
    size_t size = fread(input, 1, INPUT_MAX, file);
    fclose(file);
    run_one(input, size);
    g_seed = 1;
    /* Big files get fewer mutants, so that the whole run stays short. */
    size_t mutants = size > 65536 ? 10 : MUTANTS;
    for (size_t i = 0; i < mutants; i++) {
        memcpy(mutant, input, size);
        run_one(mutant, mutate(mutant, size, INPUT_MAX));
    }
}

static size_t run_folder(const char *folder, uint8_t *input, uint8_t *mutant)
{
    DIR *dir = opendir(folder);
    if (dir == NULL) {
        perror(folder);
        exit(1);
    }
    size_t count = 0;
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        char path[4096];
        struct stat info;
        snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        if (stat(path, &info) == 0 && S_ISREG(info.st_mode)) {
            run_file(path, input, mutant);
            count++;
        }
    }
    closedir(dir);
    return count;
}

int main(int argc, char **argv)
{
    uint8_t *input = malloc(INPUT_MAX);
    uint8_t *mutant = malloc(INPUT_MAX);
    size_t count = 0;
    FUZZ_CHECK(input != NULL && mutant != NULL);
    for (int i = 1; i < argc; i++) {
        count += run_folder(argv[i], input, mutant);
    }
    free(input);
    free(mutant);
    printf("%zu files\n", count);
    if (count == 0) {
        fprintf(stderr, "nothing to run: give folders with inputs\n");
        return 1;
    }
    return 0;
}
