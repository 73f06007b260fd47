/* SPDX-License-Identifier: MIT */
#include "base/when.h"

#include "base/units.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define SECOND UINT64_C(1000000000)
/* Seconds that fit into 64 bits of nanoseconds: until the year 2554. */
#define SECONDS_MAX INT64_C(18446744072)

/* Days since 1970-01-01 of a date of the proleptic Gregorian calendar. */
static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = y / 400;
    int64_t of_era = y - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

/* Exactly n digits. */
static bool take_digits(const char **at, int n, int64_t *out)
{
    *out = 0;
    for (int i = 0; i < n; i++) {
        char c = (*at)[i];

        if (c < '0' || c > '9') {
            return false;
        }
        *out = *out * 10 + (c - '0');
    }
    *at += n;
    return true;
}

static bool take_char(const char **at, char c)
{
    if (**at != c) {
        return false;
    }
    (*at)++;
    return true;
}

/* ".123" in nanoseconds; digits beyond the ninth are dropped. False when there is no digit. */
static bool take_fraction(const char **at, int64_t *out)
{
    int64_t scale = (int64_t)SECOND / 10;

    *out = 0;
    if (**at < '0' || **at > '9') {
        return false;
    }
    for (; **at >= '0' && **at <= '9'; (*at)++) {
        *out += (**at - '0') * scale;
        scale /= 10;
    }
    return true;
}

static bool is_day(int64_t year, int64_t month, int64_t day)
{
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return month >= 1 && month <= 12 && day >= 1 &&
           day <= lengths[month - 1] + (month == 2 && leap);
}

static bool take_offset(const char **at, int64_t *seconds)
{
    int64_t hours;
    int64_t minutes;
    char sign = **at;

    *seconds = 0;
    if (sign == 'Z' || sign == 'z') {
        (*at)++;
        return true;
    }
    if (sign != '+' && sign != '-') {
        return false;
    }
    (*at)++;
    if (!take_digits(at, 2, &hours) || !take_char(at, ':') || !take_digits(at, 2, &minutes) ||
        hours > 23 || minutes > 59) {
        return false;
    }
    *seconds = (hours * 60 + minutes) * (sign == '-' ? -60 : 60);
    return true;
}

static bool parse_rfc3339(const char *at, uint64_t *out)
{
    int64_t year, month, day;
    int64_t hour = 0, minute = 0, second = 0;
    int64_t fraction = 0, offset = 0, total;

    if (!take_digits(&at, 4, &year) || !take_char(&at, '-') || !take_digits(&at, 2, &month) ||
        !take_char(&at, '-') || !take_digits(&at, 2, &day) || !is_day(year, month, day)) {
        return false;
    }
    if (*at != '\0') {
        if (!take_char(&at, 'T') && !take_char(&at, 't') && !take_char(&at, ' ')) {
            return false;
        }
        if (!take_digits(&at, 2, &hour) || !take_char(&at, ':') || !take_digits(&at, 2, &minute) ||
            !take_char(&at, ':') || !take_digits(&at, 2, &second)) {
            return false;
        }
        if (take_char(&at, '.') && !take_fraction(&at, &fraction)) {
            return false;
        }
        if (!take_offset(&at, &offset)) {
            return false;
        }
    }
    /* 60 is a leap second. */
    if (*at != '\0' || hour > 23 || minute > 59 || second > 60) {
        return false;
    }
    total = days_of(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset;
    if (total < 0 || total > SECONDS_MAX) {
        return false;
    }
    *out = (uint64_t)total * SECOND + (uint64_t)fraction;
    return true;
}

static bool parse_unix(const char *at, uint64_t *out)
{
    int64_t seconds = 0;
    int64_t fraction = 0;

    if (*at < '0' || *at > '9') {
        return false;
    }
    for (; *at >= '0' && *at <= '9'; at++) {
        seconds = seconds * 10 + (*at - '0');
        if (seconds > SECONDS_MAX) {
            return false;
        }
    }
    if (take_char(&at, '.') && !take_fraction(&at, &fraction)) {
        return false;
    }
    *out = (uint64_t)seconds * SECOND + (uint64_t)fraction;
    return *at == '\0';
}

static bool parse_relative(const char *text, uint64_t now_ns, uint64_t *out)
{
    int64_t ms;
    uint64_t ns;

    if (pubsub__parse_duration(text + 1, &ms) != PUBSUB__UNITS_OK || ms < 0 ||
        ms > INT64_C(5000000000000)) {
        return false;
    }
    ns = (uint64_t)ms * 1000000;
    if (text[0] == '+') {
        *out = now_ns + ns;
    } else {
        *out = ns < now_ns ? now_ns - ns : 0;
    }
    return true;
}

bool pubsub__when_parse(const char *text, uint64_t now_ns, uint64_t *out_ns)
{
    switch (text[0]) {
    case '@':
        return parse_unix(text + 1, out_ns);
    case '-':
    case '+':
        return parse_relative(text, now_ns, out_ns);
    default:
        return parse_rfc3339(text, out_ns);
    }
}

const char *pubsub__when_iso(uint64_t ns, char *buf, size_t size)
{
    time_t seconds = (time_t)(ns / SECOND);
    struct tm parts;
    char head[32];

    if (size == 0) {
        return buf;
    }
    if (gmtime_r(&seconds, &parts) == NULL ||
        strftime(head, sizeof(head), "%Y-%m-%dT%H:%M:%S", &parts) == 0) {
        buf[0] = '\0';
        return buf;
    }
    (void)snprintf(buf, size, "%s.%06" PRIu64 "Z", head, ns % SECOND / 1000);
    return buf;
}
