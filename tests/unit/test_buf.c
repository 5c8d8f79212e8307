/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/checked.h"

static void test_buf__fields_come_back_as_they_were_put(void **state)
{
	(void)state;
	struct buf b = {0};
	buf_put_u8(&b, 0xab);
	buf_put_u16(&b, 0xabcd);
	buf_put_u32(&b, 0xdeadbeef);
	buf_put_u64(&b, UINT64_MAX - 1);
	buf_put_varint(&b, 300);
	buf_put_svarint(&b, INT64_MIN);
	buf_put_blob(&b, "xyz", 3);
	buf_put_str(&b, "name");
	buf_put_str(&b, NULL);
	buf_put_zeros(&b, 3);
	assert_false(buf_failed(&b));

	struct cursor c = cursor_of(b.data, b.len);
	size_t len;
	uint8_t zeros[3] = {1, 1, 1};
	assert_int_equal(cursor_u8(&c), 0xab);
	assert_int_equal(cursor_u16(&c), 0xabcd);
	assert_int_equal(cursor_u32(&c), 0xdeadbeef);
	assert_true(cursor_u64(&c) == UINT64_MAX - 1);
	assert_int_equal(cursor_varint(&c), 300);
	assert_true(cursor_svarint(&c) == INT64_MIN);
	const uint8_t *blob = cursor_blob(&c, 3, &len);
	assert_int_equal(len, 3);
	assert_memory_equal(blob, "xyz", 3);
	char *name = cursor_str(&c, 100);
	assert_string_equal(name, "name");
	free(name);
	char *empty = cursor_str(&c, 100);
	assert_string_equal(empty, "");
	free(empty);
	assert_false(cursor_done(&c));
	cursor_copy(&c, zeros, 3);
	assert_memory_equal(zeros, "\0\0\0", 3);
	assert_true(cursor_done(&c));
	buf_release(&b);
	assert_null(b.data);
}

static void test_buf__integers_are_little_endian(void **state)
{
	(void)state;
	struct buf b = {0};
	buf_put_u32(&b, 0x01020304);
	buf_put_varint(&b, 0x80);
	buf_put_svarint(&b, -1);
	buf_put_svarint(&b, 1);
	assert_int_equal(b.len, 8);
	assert_memory_equal(b.data, "\x04\x03\x02\x01\x80\x01\x01\x02", 8);
	buf_release(&b);
}

static void test_varint__edges_round_trip(void **state)
{
	(void)state;
	for (unsigned bit = 0; bit < 64; bit++) {
		uint64_t edges[] = {(UINT64_C(1) << bit) - 1, UINT64_C(1) << bit, UINT64_MAX >> bit};
		for (size_t i = 0; i < ARRAY_LEN(edges); i++) {
			struct buf b = {0};
			buf_put_varint(&b, edges[i]);
			buf_put_svarint(&b, (int64_t)edges[i]);
			struct cursor c = cursor_of(b.data, b.len);
			assert_true(cursor_varint(&c) == edges[i]);
			assert_true(cursor_svarint(&c) == (int64_t)edges[i]);
			assert_true(cursor_done(&c));
			buf_release(&b);
		}
	}
}

static void test_varint__only_the_shortest_form_is_read(void **state)
{
	(void)state;
	static const struct {
		const char *bytes;
		size_t len;
		bool valid;
	} rows[] = {
		{"\x00", 1, true},
		{"\x80\x00", 2, false},
		{"\xff\x80\x00", 3, false},
		{"\x80", 1, false},
		{"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10, true},
		{"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10, false},
		{"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x81\x01", 11, false},
		{"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00", 10, false},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct cursor c = cursor_of(rows[i].bytes, rows[i].len);
		uint64_t v = cursor_varint(&c);
		assert_int_equal(cursor_done(&c), rows[i].valid);
		assert_true(rows[i].valid || v == 0);
	}
}

static void test_cursor__first_failure_sticks(void **state)
{
	(void)state;
	struct cursor c = cursor_of("\x01\x02", 2);
	uint8_t copy[4] = {9, 9, 9, 9};
	assert_int_equal(cursor_u32(&c), 0);
	assert_true(cursor_failed(&c));
	assert_int_equal(cursor_u8(&c), 0);
	assert_int_equal(cursor_left(&c), 0);
	assert_null(cursor_bytes(&c, 0));
	cursor_copy(&c, copy, 4);
	assert_memory_equal(copy, "\0\0\0\0", 4);
	assert_false(cursor_done(&c));
}

static void test_cursor_blob__longer_than_allowed_or_there_fails(void **state)
{
	(void)state;
	size_t len = 77;
	struct cursor c = cursor_of("\x03xyz", 4);
	assert_null(cursor_blob(&c, 2, &len));
	assert_int_equal(len, 0);
	assert_true(cursor_failed(&c));
	c = cursor_of("\x04xyz", 4);
	assert_null(cursor_blob(&c, 100, &len));
	assert_true(cursor_failed(&c));
	c = cursor_of("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01z", 11);
	assert_null(cursor_blob(&c, SIZE_MAX, &len));
	assert_true(cursor_failed(&c));
}

static void test_cursor_str__refuses_a_zero_byte(void **state)
{
	(void)state;
	struct cursor c = cursor_of("\x03x\0y", 4);
	assert_null(cursor_str(&c, 10));
	assert_true(cursor_failed(&c));
}

static void test_cursor__empty_input_is_done(void **state)
{
	(void)state;
	struct cursor c = cursor_of(NULL, 0);
	assert_true(cursor_done(&c));
	assert_non_null(cursor_bytes(&c, 0));
	assert_int_equal(cursor_u8(&c), 0);
	assert_true(cursor_failed(&c));
}

static void test_buf__failure_sticks_until_cleared(void **state)
{
	(void)state;
	struct buf b = {0};
	buf_put_u8(&b, 1);
	assert_false(buf_reserve(&b, SIZE_MAX));
	buf_put_u8(&b, 2);
	assert_true(buf_failed(&b));
	assert_int_equal(b.len, 1);
	buf_clear(&b);
	assert_false(buf_failed(&b));
	assert_int_equal(b.len, 0);
	buf_put_u8(&b, 3);
	assert_int_equal(b.data[0], 3);
	buf_wipe(&b);
	assert_null(b.data);
	assert_int_equal(b.cap, 0);
}

static void test_buf__grows_over_many_puts(void **state)
{
	(void)state;
	struct buf b = {0};
	for (uint32_t i = 0; i < 100000; i++)
		buf_put_u32(&b, i);
	assert_int_equal(b.len, 400000);
	struct cursor c = cursor_of(b.data, b.len);
	for (uint32_t i = 0; i < 100000; i++)
		assert_int_equal(cursor_u32(&c), i);
	buf_release(&b);
}

static void test_checked__overflow_is_refused(void **state)
{
	(void)state;
	size_t size = 7;
	uint64_t u = 7;
	assert_false(checked_add_size(SIZE_MAX, 1, &size));
	assert_false(checked_mul_size(SIZE_MAX / 2, 3, &size));
	assert_false(checked_add_u64(UINT64_MAX, 1, &u));
	assert_int_equal(size, 7);
	assert_int_equal(u, 7);
	assert_true(checked_add_size(SIZE_MAX - 1, 1, &size) && size == SIZE_MAX);
	assert_true(checked_mul_size(3, 4, &size) && size == 12);
	assert_true(checked_add_u64(3, 4, &u) && u == 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_buf__fields_come_back_as_they_were_put),
		cmocka_unit_test(test_buf__integers_are_little_endian),
		cmocka_unit_test(test_varint__edges_round_trip),
		cmocka_unit_test(test_varint__only_the_shortest_form_is_read),
		cmocka_unit_test(test_cursor__first_failure_sticks),
		cmocka_unit_test(test_cursor_blob__longer_than_allowed_or_there_fails),
		cmocka_unit_test(test_cursor_str__refuses_a_zero_byte),
		cmocka_unit_test(test_cursor__empty_input_is_done),
		cmocka_unit_test(test_buf__failure_sticks_until_cleared),
		cmocka_unit_test(test_buf__grows_over_many_puts),
		cmocka_unit_test(test_checked__overflow_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
