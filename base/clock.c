/* SPDX-License-Identifier: MIT */
#include "base/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static int64_t clock_read(clockid_t id)
{
	struct timespec ts;
	if (clock_gettime(id, &ts) < 0)
		return 0;
	return (int64_t)ts.tv_sec * CLOCK_SECOND + ts.tv_nsec;
}

int64_t clock_now(void)
{
	return clock_read(CLOCK_REALTIME);
}
int64_t clock_monotonic(void)
{
	return clock_read(CLOCK_MONOTONIC);
}

/* Broken-down UTC; *ret_ns is the part below a second, never negative. */
static struct tm clock_split(int64_t t, int *ret_ns)
{
	int64_t ns = t % CLOCK_SECOND;
	time_t sec = (time_t)(t / CLOCK_SECOND);
	if (ns < 0) {
		ns += CLOCK_SECOND;
		sec--;
	}
	struct tm tm = {0};
	(void)gmtime_r(&sec, &tm); /* int64 nanoseconds stay within the years 1677 to 2262: it cannot fail */
	*ret_ns = (int)ns;
	return tm;
}

void clock_rfc3339(int64_t t, char dst[static CLOCK_TEXT_MAX])
{
	int ns;
	struct tm tm = clock_split(t, &ns);
	size_t n = strftime(dst, CLOCK_TEXT_MAX, "%Y-%m-%dT%H:%M:%S", &tm);
	(void)snprintf(dst + n, CLOCK_TEXT_MAX - n, ".%09dZ", ns);
}

static void clock_format(int64_t t, const char *form, char *dst)
{
	int ns;
	struct tm tm = clock_split(t, &ns);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	if (strftime(dst, CLOCK_TEXT_MAX, form, &tm) == 0)
		dst[0] = 0;
#pragma GCC diagnostic pop
}

void clock_minute_name(int64_t t, char dst[static CLOCK_TEXT_MAX])
{
	clock_format(t, "%Y-%m-%dT%H:%M", dst);
}
void clock_second_name(int64_t t, char dst[static CLOCK_TEXT_MAX])
{
	clock_format(t, "%Y-%m-%dT%H:%M:%S", dst);
}
void clock_compact_name(int64_t t, char dst[static CLOCK_TEXT_MAX])
{
	clock_format(t, "%Y%m%dT%H%M%SZ", dst);
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Takes exactly `n` digits at *p. */
static bool take_digits(const char **p, int n, int *ret)
{
	int v = 0;
	for (int i = 0; i < n; i++) {
		char c = (*p)[i];
		if (!is_digit(c))
			return false;
		v = v * 10 + (c - '0');
	}
	*p += n;
	*ret = v;
	return true;
}

static bool take_char(const char **p, char c)
{
	if (**p != c)
		return false;
	(*p)++;
	return true;
}

/* What a text named: broken-down time, the fraction, the offset from UTC, and how much time it covers. */
struct named_time {
	struct tm tm;
	int64_t fraction_ns;
	int64_t offset_s;
	int64_t span_ns;
	int span_months; /* of a year or a month, which are not of one length; else 0 */
};

static bool parse_fraction(const char **p, struct named_time *t)
{
	int64_t unit = CLOCK_SECOND;
	int64_t v = 0;
	int digit;
	while (take_digits(p, 1, &digit)) {
		if (unit == 1)
			return false;
		unit /= 10;
		v += digit * unit;
	}
	t->fraction_ns = v;
	t->span_ns = unit;
	return unit < CLOCK_SECOND;
}

static bool parse_offset(const char **p, struct named_time *t)
{
	if (**p == 0 || take_char(p, 'Z') || take_char(p, 'z'))
		return true;
	int sign = **p == '-' ? -1 : 1;
	if (!take_char(p, '+') && !take_char(p, '-'))
		return false;
	int hours = 0;
	int minutes = 0;
	if (!take_digits(p, 2, &hours))
		return false;
	bool colon = take_char(p, ':');
	if ((colon || **p != 0) && !take_digits(p, 2, &minutes))
		return false;
	if (hours > 23 || minutes > 59)
		return false;
	t->offset_s = sign * (hours * INT64_C(3600) + minutes * INT64_C(60));
	return true;
}

/* HH, HH:MM[:SS[.frac]] or HHMM[SS[.frac]], then the offset. */
static bool parse_time_of_day(const char **p, struct named_time *t)
{
	t->span_ns = 3600 * CLOCK_SECOND;
	if (!take_digits(p, 2, &t->tm.tm_hour))
		return false;
	bool colon = take_char(p, ':');
	if (!colon && !is_digit(**p))
		return parse_offset(p, t);
	t->span_ns = 60 * CLOCK_SECOND;
	if (!take_digits(p, 2, &t->tm.tm_min))
		return false;
	if (colon ? take_char(p, ':') : is_digit(**p)) {
		t->span_ns = CLOCK_SECOND;
		if (!take_digits(p, 2, &t->tm.tm_sec))
			return false;
		if ((take_char(p, '.') || take_char(p, ',')) && !parse_fraction(p, t))
			return false;
	}
	return parse_offset(p, t);
}

/* YYYY, YYYY-MM, YYYY-MM-DD or YYYYMMDD; six digits are none, since they may as well be YYMMDD. */
static bool parse_date(const char **p, struct named_time *t)
{
	int year;
	int month = 1;
	t->tm.tm_mday = 1;
	t->span_months = 12;
	if (!take_digits(p, 4, &year))
		return false;
	bool compact = is_digit(**p);
	/* What follows a minus and is no month is an offset. */
	if (compact || (**p == '-' && is_digit((*p)[1]))) {
		t->span_months = 1;
		if ((!compact && !take_char(p, '-')) || !take_digits(p, 2, &month))
			return false;
		if (compact || take_char(p, '-')) {
			t->span_months = 0;
			t->span_ns = 24 * 3600 * CLOCK_SECOND;
			if (!take_digits(p, 2, &t->tm.tm_mday))
				return false;
		}
	}
	t->tm.tm_year = year - 1900;
	t->tm.tm_mon = month - 1;
	return true;
}

/* What a year or a month covers depends on which it is. */
static void measure_months(struct named_time *t)
{
	struct tm first = t->tm;
	struct tm next = t->tm;
	if (t->span_months == 0)
		return;
	next.tm_mon += t->span_months;
	t->span_ns = ((int64_t)timegm(&next) - (int64_t)timegm(&first)) * CLOCK_SECOND;
}

/* timegm() takes any number and carries it over; a date that comes back changed was none. */
static bool named_seconds(const struct named_time *t, int64_t *ret_s)
{
	struct tm tm = t->tm;
	bool midnight = tm.tm_hour == 24 && tm.tm_min == 0 && tm.tm_sec == 0 && t->fraction_ns == 0;
	if (tm.tm_mon > 11 || (tm.tm_hour > 23 && !midnight) || tm.tm_min > 59 || tm.tm_sec > 59)
		return false;
	if (midnight) {
		/* The day's end, which is the next one's beginning. */
		tm.tm_hour = 0;
		*ret_s = (int64_t)timegm(&tm) + 24 * INT64_C(3600) - t->offset_s;
	} else {
		*ret_s = (int64_t)timegm(&tm) - t->offset_s;
	}
	return tm.tm_year == t->tm.tm_year && tm.tm_mon == t->tm.tm_mon && tm.tm_mday == t->tm.tm_mday;
}

/* The ends of what 64 bits count stand for what lies beyond: "9999-12-31" is a way to say the newest. */
static int64_t saturated(int64_t seconds, int64_t ns)
{
	__int128 whole = (__int128)seconds * CLOCK_SECOND + ns;
	if (whole > INT64_MAX)
		return INT64_MAX;
	return whole < INT64_MIN ? INT64_MIN : (int64_t)whole;
}

bool clock_parse(const char *text, int64_t *ret_first, int64_t *ret_last)
{
	struct named_time t = {0};
	const char *p = text;
	if (!parse_date(&p, &t))
		return false;
	bool timed = t.span_months == 0 && (take_char(&p, 'T') || take_char(&p, 't') || take_char(&p, ' '));
	measure_months(&t);
	if (!(timed ? parse_time_of_day(&p, &t) : parse_offset(&p, &t)))
		return false;
	int64_t seconds;
	if (*p != 0 || !named_seconds(&t, &seconds))
		return false;
	*ret_first = saturated(seconds, t.fraction_ns);
	*ret_last = saturated(seconds, t.fraction_ns + t.span_ns - 1);
	return true;
}

static int64_t duration_unit(const char *name)
{
	static const struct {
		const char *name;
		int64_t ns;
	} units[] = {
		{"", CLOCK_SECOND},
		{"ms", CLOCK_SECOND / 1000},
		{"s", CLOCK_SECOND},
		{"m", 60 * CLOCK_SECOND},
		{"min", 60 * CLOCK_SECOND},
		{"h", 3600 * CLOCK_SECOND},
		{"d", 24 * 3600 * CLOCK_SECOND},
		{"w", 7 * 24 * 3600 * CLOCK_SECOND},
	};
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(units[i].name, name) == 0)
			return units[i].ns;
	}
	return 0;
}

bool clock_parse_duration(const char *text, int64_t *ret_ns)
{
	const char *p = text;
	int64_t v = 0;
	int digit;
	while (take_digits(&p, 1, &digit)) {
		if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, digit, &v))
			return false;
	}
	int64_t unit = duration_unit(p);
	if (p == text || unit == 0 || __builtin_mul_overflow(v, unit, &v))
		return false;
	*ret_ns = v;
	return true;
}

void clock_human_duration(int64_t ns, char dst[static CLOCK_TEXT_MAX])
{
	const char *sign = ns < 0 ? "-" : "";
	uint64_t left = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;
	uint64_t s = left / (uint64_t)CLOCK_SECOND;
	if (s == 0)
		(void)snprintf(dst, CLOCK_TEXT_MAX, "%s%" PRIu64 " ms", sign, left / 1000000);
	else if (s < 60)
		(void)snprintf(dst, CLOCK_TEXT_MAX, "%s%" PRIu64 " s", sign, s);
	else if (s < 3600)
		(void)snprintf(dst, CLOCK_TEXT_MAX, "%s%" PRIu64 " min %" PRIu64 " s", sign, s / 60, s % 60);
	else if (s < 48 * 3600)
		(void)snprintf(dst, CLOCK_TEXT_MAX, "%s%" PRIu64 " h %" PRIu64 " min", sign, s / 3600, s / 60 % 60);
	else
		(void)snprintf(dst, CLOCK_TEXT_MAX, "%s%" PRIu64 " d %" PRIu64 " h", sign, s / 86400, s / 3600 % 24);
}
