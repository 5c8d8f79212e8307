/* SPDX-License-Identifier: MIT */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

/*
 * Times. A moment is int64_t nanoseconds since 1970-01-01T00:00:00Z (good to
 * the year 2262); file times outside that keep seconds and nanoseconds apart.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CLOCK_SECOND INT64_C(1000000000)

/* Now by the host's clock (CLOCK_REALTIME). */
int64_t clock_now(void);
/* A clock that only goes forward, for durations and deadlines, in ns. */
int64_t clock_monotonic(void);

enum { CLOCK_TEXT_MAX = 40 };
/* "2024-01-15T14:30:41.000000000Z" */
void clock_rfc3339(int64_t t, char dst[static CLOCK_TEXT_MAX]);
/* "2024-01-15T14:30" */
void clock_minute_name(int64_t t, char dst[static CLOCK_TEXT_MAX]);
/* "2024-01-15T14:30:41" */
void clock_second_name(int64_t t, char dst[static CLOCK_TEXT_MAX]);
/* "20240115T143041Z" */
void clock_compact_name(int64_t t, char dst[static CLOCK_TEXT_MAX]);

/*
 * Parses an ISO 8601 time or date as users type it: YYYY, YYYY-MM, YYYY-MM-DD or YYYYMMDD; after a day, with T or a
 * space, HH, HH:MM[:SS] or HHMM[SS], the seconds with a fraction or without, 24:00 for the day's end; then Z or an
 * offset (+HH:MM, +HHMM, +HH, or with a minus), UTC where there is none. T and Z may be small. *ret_first is the moment
 * named, *ret_last the last nanosecond of what was named (end of that year, month, day, hour, minute or second); what
 * 64 bits cannot count becomes the nearest they can. False when it is no such text.
 */
bool clock_parse(const char *text, int64_t *ret_first, int64_t *ret_last);

/* "10s", "10m", "2h", "7d", "1w", "500ms", or plain seconds. False when it is none, negative or too large. */
bool clock_parse_duration(const char *text, int64_t *ret_ns);
/* "3 h 20 min", "41 s": for people. */
void clock_human_duration(int64_t ns, char dst[static CLOCK_TEXT_MAX]);

#endif
