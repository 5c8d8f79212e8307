/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/jsonout.h"

static void check_text(const char *bytes, size_t len, const char *expected)
{
	json_t *text = jsonout_text(bytes, len);
	assert_non_null(text);
	assert_string_equal(json_string_value(text), expected);
	json_decref(text);
}

static void test_jsonout_text__each_bad_byte_becomes_a_mark(void **state)
{
	(void)state;
	check_text("", 0, "");
	check_text(NULL, 0, "");
	check_text("caf\xc3\xa9", 5, "caf\xc3\xa9");
	check_text("a\xff\xfe"
		   "b",
		4,
		"a\xef\xbf\xbd\xef\xbf\xbd"
		"b");
	check_text("\xe2\x82", 2, "\xef\xbf\xbd\xef\xbf\xbd");
	check_text("\xed\xa0\x80", 3, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
}

static void test_jsonout_text__any_bytes_make_valid_json(void **state)
{
	(void)state;
	char bytes[256];
	for (int i = 0; i < 256; i++)
		bytes[i] = (char)i;
	for (size_t at = 0; at < sizeof(bytes); at += 16) {
		json_t *text = jsonout_text(bytes + at, 16);
		char *dumped = json_dumps(text, JSON_ENCODE_ANY);
		assert_non_null(dumped);
		json_t *back = json_loads(dumped, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
		assert_true(json_equal(back, text));
		free(dumped);
		json_decref(back);
		json_decref(text);
	}
}

static void test_jsonout_set_name__exact_bytes_beside_what_is_not_utf8(void **state)
{
	(void)state;
	json_t *obj = json_object();
	jsonout_set_name(obj, "name", "plain", 5);
	assert_null(json_object_get(obj, "name_hex"));
	jsonout_set_name(obj, "path", "a\xff", 2);
	assert_string_equal(json_string_value(json_object_get(obj, "name")), "plain");
	assert_string_equal(json_string_value(json_object_get(obj, "path")), "a\xef\xbf\xbd");
	assert_string_equal(json_string_value(json_object_get(obj, "path_hex")), "61ff");
	json_decref(obj);
}

static void test_jsonout_time__has_nine_decimals(void **state)
{
	(void)state;
	json_t *t = jsonout_time(INT64_C(1705329041000000007));
	assert_string_equal(json_string_value(t), "2024-01-15T14:30:41.000000007Z");
	json_decref(t);
}

static void test_jsonout_line__one_object_a_line_in_the_order_set(void **state)
{
	(void)state;
	char text[200] = "";
	FILE *out = fmemopen(text, sizeof(text), "w");
	assert_int_equal(jsonout_line(out, json_pack("{s:s, s:i}", "z", "a\nb", "a", 1)), 0);
	assert_int_equal(jsonout_line(out, json_pack("[]")), 0);
	assert_int_equal(jsonout_line(out, NULL), -1);
	assert_int_equal(fclose(out), 0);
	assert_string_equal(text, "{\"z\":\"a\\nb\",\"a\":1}\n[]\n");
}

static void test_jsonout_line__tells_when_writing_failed(void **state)
{
	(void)state;
	FILE *out = fopen("/dev/full", "w");
	if (!out)
		skip();
	(void)setvbuf(out, NULL, _IONBF, 0);
	assert_int_equal(jsonout_line(out, json_pack("{s:s}", "a", "b")), -1);
	(void)fclose(out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_jsonout_text__each_bad_byte_becomes_a_mark),
		cmocka_unit_test(test_jsonout_text__any_bytes_make_valid_json),
		cmocka_unit_test(test_jsonout_set_name__exact_bytes_beside_what_is_not_utf8),
		cmocka_unit_test(test_jsonout_time__has_nine_decimals),
		cmocka_unit_test(test_jsonout_line__one_object_a_line_in_the_order_set),
		cmocka_unit_test(test_jsonout_line__tells_when_writing_failed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
