/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/hex.h"

static void test_hex__every_byte_round_trips(void **state)
{
	(void)state;
	uint8_t bytes[256];
	uint8_t back[256];
	char text[513];
	for (unsigned i = 0; i < 256; i++)
		bytes[i] = (uint8_t)i;
	hex_encode(bytes, 256, text);
	assert_int_equal(strlen(text), 512);
	assert_memory_equal(text, "000102030405060708090a0b0c0d0e0f10", 34);
	assert_true(hex_decode(text, 256, back));
	assert_memory_equal(back, bytes, 256);
}

static void test_hex_decode__takes_exactly_its_digits(void **state)
{
	(void)state;
	uint8_t out[2];
	assert_true(hex_decode("0aff", 2, out));
	assert_true(hex_decode("", 0, out));
	assert_false(hex_decode("0aFF", 2, out));
	assert_false(hex_decode("0af", 2, out));
	assert_false(hex_decode("0aff0", 2, out));
	assert_false(hex_decode("0ag0", 2, out));
	assert_false(hex_decode("", 2, out));
}

static void test_hex_utf8_length__follows_the_standard(void **state)
{
	(void)state;
	static const struct {
		const char *bytes;
		size_t len;
		size_t expected;
	} rows[] = {
		{"", 0, 0},
		{"a", 1, 1},
		{"\xc3\xa9", 2, 2},
		{"\xe2\x82\xac", 3, 3},
		{"\xf0\x9f\x98\x80", 4, 4},
		{"\xc3", 1, 0},             /* cut */
		{"\x80", 1, 0},             /* a tail alone */
		{"\xc0\xaf", 2, 0},         /* longer than need be */
		{"\xe0\x9f\xbf", 3, 0},     /* likewise */
		{"\xf0\x8f\xbf\xbf", 4, 0}, /* likewise */
		{"\xed\xa0\x80", 3, 0},     /* half of a surrogate pair */
		{"\xf4\x90\x80\x80", 4, 0}, /* past U+10FFFF */
		{"\xf5\x80\x80\x80", 4, 0},
		{"\xe2\x28\xa1", 3, 0},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(hex_utf8_length(rows[i].bytes, rows[i].len), rows[i].expected);
}

static void check_printable(const char *bytes, size_t len, const char *expected)
{
	char *text = hex_printable(bytes, len);
	assert_string_equal(text, expected);
	free(text);
}

static void test_hex_printable__escapes_what_moves_a_terminal(void **state)
{
	(void)state;
	check_printable("plain caf\xc3\xa9", 11, "plain caf\xc3\xa9");
	check_printable("a\nb\x1b[2J\x7f", 8, "a\\x0ab\\x1b[2J\\x7f");
	check_printable("\xff\xfe", 2, "\\xff\\xfe");
	check_printable("\xc2\x9b", 2, "\\xc2\\x9b");          /* a C1 control */
	check_printable("\xe2\x80\xae", 3, "\\xe2\\x80\\xae"); /* right-to-left override */
	check_printable("a\0b", 3, "a\\x00b");
	check_printable("", 0, "");
}

static void test_hex_printable_to__cuts_between_characters(void **state)
{
	(void)state;
	char dst[6];
	assert_string_equal(hex_printable_to("abcd\xc3\xa9", 6, dst, sizeof(dst)), "abcd");
	assert_string_equal(hex_printable_to("ab\x01z", 4, dst, sizeof(dst)), "ab");
	assert_string_equal(hex_printable_to("abcdefgh", 8, dst, sizeof(dst)), "abcde");
	assert_string_equal(hex_printable_to("abc", 3, dst, 1), "");
	dst[0] = 'q';
	(void)hex_printable_to("abc", 3, dst, 0);
	assert_int_equal(dst[0], 'q');
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hex__every_byte_round_trips),
		cmocka_unit_test(test_hex_decode__takes_exactly_its_digits),
		cmocka_unit_test(test_hex_utf8_length__follows_the_standard),
		cmocka_unit_test(test_hex_printable__escapes_what_moves_a_terminal),
		cmocka_unit_test(test_hex_printable_to__cuts_between_characters),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
