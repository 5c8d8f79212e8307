/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/clock.h"

#define T0 (INT64_C(1705329041) * CLOCK_SECOND) /* 2024-01-15T14:30:41Z */

static void test_clock__names_of_a_moment(void **state)
{
	(void)state;
	char text[CLOCK_TEXT_MAX];
	clock_rfc3339(T0 + 7, text);
	assert_string_equal(text, "2024-01-15T14:30:41.000000007Z");
	clock_minute_name(T0, text);
	assert_string_equal(text, "2024-01-15T14:30");
	clock_second_name(T0, text);
	assert_string_equal(text, "2024-01-15T14:30:41");
	clock_compact_name(T0, text);
	assert_string_equal(text, "20240115T143041Z");
}

static void test_clock_rfc3339__before_1970_and_at_the_ends(void **state)
{
	(void)state;
	char text[CLOCK_TEXT_MAX];
	clock_rfc3339(-1, text);
	assert_string_equal(text, "1969-12-31T23:59:59.999999999Z");
	clock_rfc3339(INT64_MIN, text);
	assert_string_equal(text, "1677-09-21T00:12:43.145224192Z");
	clock_rfc3339(INT64_MAX, text);
	assert_string_equal(text, "2262-04-11T23:47:16.854775807Z");
}

static void test_clock_parse__what_users_type(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		const char *first;
		const char *last;
	} rows[] = {
		{"2024-01-15", "2024-01-15T00:00:00.000000000Z", "2024-01-15T23:59:59.999999999Z"},
		{"20240115", "2024-01-15T00:00:00.000000000Z", "2024-01-15T23:59:59.999999999Z"},
		{"2024-01-15T14:30", "2024-01-15T14:30:00.000000000Z", "2024-01-15T14:30:59.999999999Z"},
		{"2024-01-15 14:30", "2024-01-15T14:30:00.000000000Z", "2024-01-15T14:30:59.999999999Z"},
		{"2024-01-15T14:30Z", "2024-01-15T14:30:00.000000000Z", "2024-01-15T14:30:59.999999999Z"},
		{"2024-01-15T14:30:41", "2024-01-15T14:30:41.000000000Z", "2024-01-15T14:30:41.999999999Z"},
		{"20240115T143041Z", "2024-01-15T14:30:41.000000000Z", "2024-01-15T14:30:41.999999999Z"},
		{"20240115T1430", "2024-01-15T14:30:00.000000000Z", "2024-01-15T14:30:59.999999999Z"},
		{"20240115T1430+0200", "2024-01-15T12:30:00.000000000Z", "2024-01-15T12:30:59.999999999Z"},
		{"2024-01-15T14", "2024-01-15T14:00:00.000000000Z", "2024-01-15T14:59:59.999999999Z"},
		{"2024-01-15T14-01:00", "2024-01-15T15:00:00.000000000Z", "2024-01-15T15:59:59.999999999Z"},
		{"2024-01-15+02:00", "2024-01-14T22:00:00.000000000Z", "2024-01-15T21:59:59.999999999Z"},
		{"2024-01-15Z", "2024-01-15T00:00:00.000000000Z", "2024-01-15T23:59:59.999999999Z"},
		{"1500-01-01", "1677-09-21T00:12:43.145224192Z", "1677-09-21T00:12:43.145224192Z"},
		{"9999-12-31T10:00", "2262-04-11T23:47:16.854775807Z", "2262-04-11T23:47:16.854775807Z"},
		{"20240115T143041", "2024-01-15T14:30:41.000000000Z", "2024-01-15T14:30:41.999999999Z"},
		{"2024-01-15T14:30:41.5", "2024-01-15T14:30:41.500000000Z", "2024-01-15T14:30:41.599999999Z"},
		{"2024-01-15T14:30:41.123456789Z", "2024-01-15T14:30:41.123456789Z", "2024-01-15T14:30:41.123456789Z"},
		{"2024-01-15T14:30+02:00", "2024-01-15T12:30:00.000000000Z", "2024-01-15T12:30:59.999999999Z"},
		{"2024-01-15T14:30+0200", "2024-01-15T12:30:00.000000000Z", "2024-01-15T12:30:59.999999999Z"},
		{"2024-01-15 14:30:41.5+02", "2024-01-15T12:30:41.500000000Z", "2024-01-15T12:30:41.599999999Z"},
		{"2024-01-15T22:30-05:30", "2024-01-16T04:00:00.000000000Z", "2024-01-16T04:00:59.999999999Z"},
		{"2024", "2024-01-01T00:00:00.000000000Z", "2024-12-31T23:59:59.999999999Z"},
		{"2024+02:00", "2023-12-31T22:00:00.000000000Z", "2024-12-31T21:59:59.999999999Z"},
		{"2023-02", "2023-02-01T00:00:00.000000000Z", "2023-02-28T23:59:59.999999999Z"},
		{"2024-02Z", "2024-02-01T00:00:00.000000000Z", "2024-02-29T23:59:59.999999999Z"},
		{"2024-12", "2024-12-01T00:00:00.000000000Z", "2024-12-31T23:59:59.999999999Z"},
		{"9999", "2262-04-11T23:47:16.854775807Z", "2262-04-11T23:47:16.854775807Z"},
		{"2024-12-31T24:00", "2025-01-01T00:00:00.000000000Z", "2025-01-01T00:00:59.999999999Z"},
		{"2024-02-29T24:00:00Z", "2024-03-01T00:00:00.000000000Z", "2024-03-01T00:00:00.999999999Z"},
		{"20240115T24+02", "2024-01-15T22:00:00.000000000Z", "2024-01-15T22:59:59.999999999Z"},
		{"2024-01-15t14:30z", "2024-01-15T14:30:00.000000000Z", "2024-01-15T14:30:59.999999999Z"},
		{"2024-01-15T14:30:41,5", "2024-01-15T14:30:41.500000000Z", "2024-01-15T14:30:41.599999999Z"},
		{"2024-02-29", "2024-02-29T00:00:00.000000000Z", "2024-02-29T23:59:59.999999999Z"},
		{"1969-12-31T23:59:59", "1969-12-31T23:59:59.000000000Z", "1969-12-31T23:59:59.999999999Z"},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int64_t first;
		int64_t last;
		char text[CLOCK_TEXT_MAX];
		if (!clock_parse(rows[i].text, &first, &last))
			fail_msg("'%s' was refused", rows[i].text);
		clock_rfc3339(first, text);
		assert_string_equal(text, rows[i].first);
		clock_rfc3339(last, text);
		assert_string_equal(text, rows[i].last);
	}
}

static void test_clock_parse__refuses_what_is_no_time(void **state)
{
	(void)state;
	static const char *const texts[] = {"", "latest", "202", "2024-", "2024-1", "202401", "2024T12", "2024-01T12",
		"2024-13", "2024-00", "2024-01-", "2024-01-15T24:01", "2024-01-15T24:00:00.5", "2024-02-30T24:00",
		"2024-01-15T25:00", "2024-1-15", "2024-01-15T", "2024-01-15T1", "2024-13-01", "2024-00-01",
		"2024-02-30", "2023-02-29", "2024-01-00", "2024-01-15T14:60", "2024-01-15T14:30:60",
		"2024-01-15T14:30:41.", "2024-01-15T14:30:41.1234567890", "2024-01-15T14:30+", "2024-01-15T14:30+24:00",
		"2024-01-15T14:30+02:60", "2024-01-15T14:30+2", "2024-01-15T14:30+02:0", "2024-01-15T14:30Zx",
		"2024-01-15x", "20240115T143", "20240115T14301", "202401151", "9999-02-30", "-024-01-15",
		" 2024-01-15"};
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		int64_t first = 1;
		int64_t last = 2;
		if (clock_parse(texts[i], &first, &last))
			fail_msg("'%s' was taken", texts[i]);
		assert_true(first == 1 && last == 2);
	}
}

static void test_clock_parse__reads_back_every_name(void **state)
{
	(void)state;
	for (int64_t t = -9 * INT64_C(1000000000000000000); t < 9 * INT64_C(1000000000000000000);
		t += INT64_C(123456789012345678)) {
		char text[CLOCK_TEXT_MAX];
		int64_t first;
		int64_t last;
		clock_rfc3339(t, text);
		assert_true(clock_parse(text, &first, &last));
		assert_true(first == t && last == t);
		clock_compact_name(t, text);
		assert_true(clock_parse(text, &first, &last));
		assert_true(first <= t && t <= last);
	}
}

static void test_clock_parse_duration__units(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int64_t ms;
	} rows[] = {{"0", 0}, {"10", 10000}, {"10s", 10000}, {"10m", 600000}, {"10min", 600000}, {"2h", 7200000},
		{"7d", 604800000}, {"1w", 604800000}, {"500ms", 500}};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int64_t ns = -1;
		assert_true(clock_parse_duration(rows[i].text, &ns));
		assert_true(ns == rows[i].ms * 1000000);
	}
}

static void test_clock_parse_duration__refuses_the_rest(void **state)
{
	(void)state;
	static const char *const texts[] = {"", "s", "-1s", "+1s", " 1s", "1 s", "1s ", "1.5h", "1y", "10S", "0x10",
		"9223372037s", "15251w", "99999999999999999999"};
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		int64_t ns = 5;
		if (clock_parse_duration(texts[i], &ns))
			fail_msg("'%s' was taken", texts[i]);
		assert_true(ns == 5);
	}
	int64_t most;
	assert_true(clock_parse_duration("9223372036", &most));
}

static void test_clock_human_duration__two_units_at_most(void **state)
{
	(void)state;
	static const struct {
		int64_t seconds;
		const char *text;
	} rows[] = {{0, "0 ms"}, {41, "41 s"}, {61, "1 min 1 s"}, {12000, "3 h 20 min"}, {180000, "2 d 2 h"},
		{-41, "-41 s"}};
	char text[CLOCK_TEXT_MAX];
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		clock_human_duration(rows[i].seconds * CLOCK_SECOND, text);
		assert_string_equal(text, rows[i].text);
	}
	clock_human_duration(INT64_MIN, text);
	assert_string_equal(text, "-106751 d 23 h");
	clock_human_duration(CLOCK_SECOND / 2, text);
	assert_string_equal(text, "500 ms");
}

static void test_clock_monotonic__never_goes_back(void **state)
{
	(void)state;
	int64_t before = clock_monotonic();
	for (int i = 0; i < 1000; i++) {
		int64_t now = clock_monotonic();
		assert_true(now >= before);
		before = now;
	}
	assert_true(clock_now() > T0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clock__names_of_a_moment),
		cmocka_unit_test(test_clock_rfc3339__before_1970_and_at_the_ends),
		cmocka_unit_test(test_clock_parse__what_users_type),
		cmocka_unit_test(test_clock_parse__refuses_what_is_no_time),
		cmocka_unit_test(test_clock_parse__reads_back_every_name),
		cmocka_unit_test(test_clock_parse_duration__units),
		cmocka_unit_test(test_clock_parse_duration__refuses_the_rest),
		cmocka_unit_test(test_clock_human_duration__two_units_at_most),
		cmocka_unit_test(test_clock_monotonic__never_goes_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
