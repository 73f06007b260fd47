/* SPDX-License-Identifier: MIT */
#include "base/units.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

typedef struct unit {
    const char *name;
    int64_t factor;
} unit;

/* Largest first: formatting takes the first that divides. */
static const unit duration_units[] = {
    {"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1},
};

static const unit size_units[] = {
    {"T", INT64_C(1) << 40},
    {"G", INT64_C(1) << 30},
    {"M", INT64_C(1) << 20},
    {"k", INT64_C(1) << 10},
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Reads digits; *end is behind the last. The value is negative, because that side reaches further.
 */
static int parse_digits(const char *text, const char **end, int64_t *negative)
{
    int64_t value = 0;
    int rc = is_digit(*text) ? PUBSUB__UNITS_OK : PUBSUB__UNITS_SYNTAX;
    for (; is_digit(*text); text++) {
        int digit = *text - '0';
        if (value < (INT64_MIN + digit) / 10) {
            rc = PUBSUB__UNITS_RANGE;
            continue;
        }
        value = value * 10 - digit;
    }
    *end = text;
    *negative = value;
    return rc;
}

int pubsub__parse_int(const char *text, int64_t *out)
{
    bool minus = *text == '-';
    const char *end = NULL;
    int64_t value = 0;
    int rc = parse_digits(text + (minus ? 1 : 0), &end, &value);
    if (*end != '\0') {
        return PUBSUB__UNITS_SYNTAX;
    }
    if (rc != PUBSUB__UNITS_OK) {
        return rc;
    }
    if (!minus && value == INT64_MIN) {
        return PUBSUB__UNITS_RANGE;
    }
    *out = minus ? value : -value;
    return PUBSUB__UNITS_OK;
}

/* "12", "1.5": whole part and the fraction in billionths. */
static int parse_decimal(const char *text, const char **end, int64_t *whole, int64_t *billionths)
{
    int64_t negative = 0;
    int rc = parse_digits(text, end, &negative);
    if (rc != PUBSUB__UNITS_OK || negative == INT64_MIN) {
        return rc != PUBSUB__UNITS_OK ? rc : PUBSUB__UNITS_RANGE;
    }
    *whole = -negative;
    *billionths = 0;
    if (**end != '.') {
        return PUBSUB__UNITS_OK;
    }
    text = *end + 1;
    if (!is_digit(*text)) {
        return PUBSUB__UNITS_SYNTAX;
    }
    int64_t place = 100000000;
    for (; is_digit(*text); text++, place /= 10) {
        *billionths += place * (*text - '0');
    }
    *end = text;
    return PUBSUB__UNITS_OK;
}

static int scale(int64_t whole, int64_t billionths, int64_t factor, int64_t *out)
{
    if (whole > INT64_MAX / factor) {
        return PUBSUB__UNITS_RANGE;
    }
    int64_t value = whole * factor;
    /* Split, so that factors up to 2^40 do not overflow; rounded up. */
    int64_t part = (factor / 1000000000) * billionths;
    part += ((factor % 1000000000) * billionths + 999999999) / 1000000000;
    if (part > INT64_MAX - value) {
        return PUBSUB__UNITS_RANGE;
    }
    *out = value + part;
    return PUBSUB__UNITS_OK;
}

int pubsub__parse_duration(const char *text, int64_t *out_ms)
{
    if (strcmp(text, "-1") == 0 || strcasecmp(text, "forever") == 0) {
        *out_ms = -1;
        return PUBSUB__UNITS_OK;
    }
    const char *end = NULL;
    int64_t whole = 0;
    int64_t billionths = 0;
    int rc = parse_decimal(text, &end, &whole, &billionths);
    if (rc == PUBSUB__UNITS_SYNTAX) {
        return rc;
    }
    const char *name = *end == '\0' ? "ms" : end;
    for (size_t i = 0; i < COUNT(duration_units); i++) {
        if (strcmp(name, duration_units[i].name) == 0) {
            return rc != PUBSUB__UNITS_OK
                       ? rc
                       : scale(whole, billionths, duration_units[i].factor, out_ms);
        }
    }
    return PUBSUB__UNITS_SYNTAX;
}

/* "", "B", "k", "K", "kB", "KiB", ... */
static bool size_factor(const char *name, int64_t *factor)
{
    *factor = 1;
    for (size_t i = 0; i < COUNT(size_units); i++) {
        if (*name != '\0' && strncasecmp(name, size_units[i].name, 1) == 0) {
            *factor = size_units[i].factor;
            name++;
            return *name == '\0' || strcasecmp(name, "B") == 0 || strcasecmp(name, "iB") == 0;
        }
    }
    return *name == '\0' || strcasecmp(name, "B") == 0;
}

int pubsub__parse_size(const char *text, int64_t *out)
{
    const char *end = NULL;
    int64_t whole = 0;
    int64_t billionths = 0;
    int64_t factor = 1;
    int rc = parse_decimal(text, &end, &whole, &billionths);
    if (rc == PUBSUB__UNITS_SYNTAX || !size_factor(end, &factor) ||
        (factor == 1 && billionths != 0)) {
        return PUBSUB__UNITS_SYNTAX;
    }
    return rc != PUBSUB__UNITS_OK ? rc : scale(whole, billionths, factor, out);
}

int pubsub__parse_bool(const char *text, bool *out)
{
    static const char *const words[][2] = {
        {"no", "yes"}, {"false", "true"}, {"off", "on"}, {"0", "1"}};
    for (size_t i = 0; i < COUNT(words); i++) {
        for (int value = 0; value < 2; value++) {
            if (strcasecmp(text, words[i][value]) == 0) {
                *out = value == 1;
                return PUBSUB__UNITS_OK;
            }
        }
    }
    return PUBSUB__UNITS_SYNTAX;
}

static const char *format_unit(int64_t value, const unit *units, size_t count, char *buf,
                               size_t size)
{
    for (size_t i = 0; i < count; i++) {
        if (value != 0 && value % units[i].factor == 0) {
            snprintf(buf, size, "%" PRId64 "%s", value / units[i].factor, units[i].name);
            return buf;
        }
    }
    snprintf(buf, size, "%" PRId64, value);
    return buf;
}

const char *pubsub__format_duration(int64_t ms, char *buf, size_t size)
{
    if (ms == -1) {
        snprintf(buf, size, "forever");
        return buf;
    }
    return format_unit(ms, duration_units, COUNT(duration_units), buf, size);
}

const char *pubsub__format_size(int64_t bytes, char *buf, size_t size)
{
    return format_unit(bytes, size_units, COUNT(size_units), buf, size);
}
