/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "archive/format.h"
#include "base/host.h"

static struct buf make_object(uint8_t version, uint64_t incompat, uint64_t ro_compat, enum trailer_kind trailer)
{
	struct buf b = {0};
	struct object_header h = {.kind = KIND_MARK,
		.version = version,
		.trailer = (uint8_t)trailer,
		.cipher = CIPHER_AES_256_GCM,
		.incompat = incompat,
		.ro_compat = ro_compat,
		.compat = 7};
	object_header_put(&b, &h);
	buf_put(&b, "content", 7);
	object_trailer_put(&b, trailer);
	assert_false(buf_failed(&b));
	return b;
}

static void test_object_verify__what_was_put_is_whole(void **state)
{
	(void)state;
	enum trailer_kind kinds[] = {TRAILER_BLAKE2B_256, TRAILER_SHA256};
	for (size_t i = 0; i < 2; i++) {
		struct object_header h;
		struct buf b = make_object(FORMAT_VERSION, 0, 0, kinds[i]);
		assert_int_equal(b.len, FORMAT_HEADER_LEN + 7 + FORMAT_TRAILER_LEN);
		assert_memory_equal(b.data, "drfs\x09\x01", 6);
		assert_int_equal(object_verify(b.data, b.len, KIND_MARK, "marks/x", &h, NULL), 0);
		assert_int_equal(h.kind, KIND_MARK);
		assert_int_equal(h.cipher, CIPHER_AES_256_GCM);
		assert_int_equal(h.compat, 7);
		buf_release(&b);
	}
}

static void test_object_verify__every_flipped_bit_is_found(void **state)
{
	(void)state;
	struct buf b = make_object(FORMAT_VERSION, 0, 0, TRAILER_SHA256);
	for (size_t bit = 0; bit < b.len * 8; bit++) {
		struct object_header h;
		b.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		int rc = object_verify(b.data, b.len, KIND_MARK, "marks/x", &h, NULL);
		/* Only a flip in the kind of trailing hash may look like another version's. */
		assert_true(rc == ERR_CORRUPT || (rc == ERR_UNSUPPORTED && bit / 8 == 6));
		b.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	buf_release(&b);
}

static void test_object_verify__every_cut_is_found(void **state)
{
	(void)state;
	struct buf b = make_object(FORMAT_VERSION, 0, 0, TRAILER_BLAKE2B_256);
	for (size_t len = 0; len < b.len; len++) {
		struct object_header h;
		uint8_t *exact = malloc(len + 1);
		memcpy(exact, b.data, len);
		assert_int_equal(object_verify(exact, len, KIND_MARK, "marks/x", &h, NULL), ERR_CORRUPT);
		free(exact);
	}
	buf_release(&b);
}

static void test_object_verify__newer_is_unsupported_and_named(void **state)
{
	(void)state;
	struct object_header h;
	struct error err = ERROR_INIT;
	struct buf b = make_object(FORMAT_VERSION + 1, 0, 0, TRAILER_SHA256);
	assert_int_equal(object_verify(b.data, b.len, KIND_MARK, "marks/x", &h, &err), ERR_UNSUPPORTED);
	assert_non_null(strstr(error_text(&err), "marks/x"));
	buf_release(&b);
	b = make_object(FORMAT_VERSION, 1u << 5, 0, TRAILER_SHA256);
	assert_int_equal(object_verify(b.data, b.len, KIND_MARK, "marks/x", &h, NULL), ERR_UNSUPPORTED);
	buf_release(&b);
	b = make_object(FORMAT_VERSION, 0, 1u << 5, TRAILER_SHA256);
	assert_int_equal(object_verify(b.data, b.len, KIND_MARK, "marks/x", &h, NULL), 0);
	assert_int_equal(h.ro_compat, 1u << 5);
	buf_release(&b);
}

static void test_object_verify__another_kind_is_refused(void **state)
{
	(void)state;
	struct object_header h;
	struct buf b = make_object(FORMAT_VERSION, 0, 0, TRAILER_SHA256);
	assert_int_equal(object_verify(b.data, b.len, KIND_INDEX, "index/x", &h, NULL), ERR_CORRUPT);
	assert_int_equal(object_verify(b.data, b.len, 0, "any", &h, NULL), 0);
	buf_release(&b);
}

static void test_trailer_hash__in_pieces_is_the_same(void **state)
{
	(void)state;
	enum trailer_kind kinds[] = {TRAILER_BLAKE2B_256, TRAILER_SHA256};
	for (size_t i = 0; i < 2; i++) {
		uint8_t hash[FORMAT_TRAILER_LEN];
		struct buf b = make_object(FORMAT_VERSION, 0, 0, kinds[i]);
		struct trailer_hash *h = trailer_hash_new(kinds[i]);
		assert_non_null(h);
		for (size_t at = 0; at < b.len - FORMAT_TRAILER_LEN; at++)
			trailer_hash_update(h, b.data + at, 1);
		trailer_hash_final(h, hash);
		assert_memory_equal(hash, b.data + b.len - FORMAT_TRAILER_LEN, sizeof(hash));
		trailer_hash_free(h);
		buf_release(&b);
	}
	assert_null(trailer_hash_new((enum trailer_kind)9));
}

static void test_object_name__reads_back_by_its_prefix(void **state)
{
	(void)state;
	char name[FORMAT_NAME_MAX];
	struct id id, back;
	host_random(id.b, sizeof(id.b));
	id.b[0] = 0xab;
	object_name(KIND_SNAPSHOT, 0, &id, name);
	assert_memory_equal(name, "snapshots/ab", 12);
	assert_true(object_name_parse(name, "snapshots/", &back));
	assert_true(id_equal(&id, &back));
	assert_false(object_name_parse(name, "index/", &back));
	object_name(KIND_DATA_PACK, 0, &id, name);
	assert_memory_equal(name, "packs/ab/ab", 11);
	assert_true(object_name_parse(name, "packs/", &back));
	assert_true(object_name_parse(name, "packs/ab/", &back));
	object_name(KIND_WRAP, 12, &id, name);
	assert_memory_equal(name, "wraps/12/ab/ab", 14);
	assert_true(object_name_parse(name, "wraps/12/", &back));
	assert_true(id_equal(&id, &back));
	object_name(KIND_CONFIG, 0, NULL, name);
	assert_string_equal(name, "config");
	object_name(KIND_VERDICT, 3, NULL, name);
	assert_string_equal(name, "prune/3.verdict");
}

static void test_object_name_parse__other_forms_are_refused(void **state)
{
	(void)state;
	char name[FORMAT_NAME_MAX];
	struct id id = {{0}}, back;
	object_name(KIND_DATA_PACK, 0, &id, name);
	name[6] = 'f'; /* the folder is not that of the id */
	assert_false(object_name_parse(name, "packs/", &back));
	object_name(KIND_INDEX, 0, &id, name);
	name[10] = 'A';
	assert_false(object_name_parse(name, "index/", &back));
	name[10] = '0';
	name[strlen(name) - 1] = '\0';
	assert_false(object_name_parse(name, "index/", &back));
	assert_false(object_name_parse("index/", "index/", &back));
	assert_false(object_name_parse("packs/00", "packs/", &back));
	assert_false(object_name_parse("", "packs/", &back));
}

static void test_format_padme__adds_little_and_keeps_few_bits(void **state)
{
	(void)state;
	assert_int_equal(format_padme(0), 0);
	assert_int_equal(format_padme(1), 1);
	assert_int_equal(format_padme(9), 10);
	for (uint64_t len = 2; len < 1u << 20; len += 1 + len / 97) {
		uint64_t padded = format_padme(len);
		assert_true(padded >= len && (padded - len) * 100 <= len * 12);
		assert_true(format_padme(padded) == padded);
	}
	assert_true(format_padme(UINT64_MAX) == UINT64_MAX);
}

static void test_tlv__fields_read_back_in_order(void **state)
{
	(void)state;
	struct buf b = {0};
	uint16_t tag;
	struct cursor value, c;
	int64_t signs[] = {0, -1, 1, INT64_MIN, INT64_MAX};
	tlv_put(&b, 1, "abc", 3);
	tlv_put_str(&b, 2, NULL);
	tlv_put_u64(&b, TLV_CRITICAL | 3, UINT64_MAX);
	for (size_t i = 0; i < 5; i++)
		tlv_put_s64(&b, 4, signs[i]);
	c = cursor_of(b.data, b.len);
	assert_true(tlv_next(&c, &tag, &value) && tag == 1 && cursor_left(&value) == 3);
	assert_true(tlv_next(&c, &tag, &value) && tag == 2 && cursor_left(&value) == 0);
	assert_true(tlv_next(&c, &tag, &value) && tag == (TLV_CRITICAL | 3));
	assert_true(cursor_varint(&value) == UINT64_MAX && cursor_done(&value));
	for (size_t i = 0; i < 5; i++) {
		assert_true(tlv_next(&c, &tag, &value) && tag == 4);
		assert_true(cursor_svarint(&value) == signs[i] && cursor_done(&value));
	}
	assert_false(tlv_next(&c, &tag, &value));
	assert_false(c.failed);
	buf_release(&b);
}

static void test_tlv__a_cut_field_fails(void **state)
{
	(void)state;
	struct buf b = {0};
	tlv_put(&b, 1, "abcdefgh", 8);
	for (size_t len = 1; len < b.len; len++) {
		uint16_t tag;
		struct cursor value, c = cursor_of(b.data, len);
		assert_false(tlv_next(&c, &tag, &value));
		assert_true(c.failed);
	}
	buf_release(&b);
}

static void test_tlv__only_unknown_critical_tags_are_refused(void **state)
{
	(void)state;
	assert_int_equal(tlv_unknown(500, "x", NULL), 0);
	assert_int_equal(tlv_unknown(TLV_CRITICAL | 500, "x", NULL), ERR_UNSUPPORTED);
}

static void test_id_parse__takes_64_lower_digits_only(void **state)
{
	(void)state;
	char hex[80];
	struct id id;
	memset(hex, 'a', 64);
	hex[64] = '\0';
	assert_true(id_parse(hex, &id));
	assert_int_equal(id.b[31], 0xaa);
	assert_false(id_is_zero(&id));
	hex[3] = 'G';
	assert_false(id_parse(hex, &id));
	hex[3] = 'a';
	hex[64] = 'a';
	hex[65] = '\0';
	assert_false(id_parse(hex, &id));
	hex[63] = '\0';
	assert_false(id_parse(hex, &id));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_object_verify__what_was_put_is_whole),
		cmocka_unit_test(test_object_verify__every_flipped_bit_is_found),
		cmocka_unit_test(test_object_verify__every_cut_is_found),
		cmocka_unit_test(test_object_verify__newer_is_unsupported_and_named),
		cmocka_unit_test(test_object_verify__another_kind_is_refused),
		cmocka_unit_test(test_trailer_hash__in_pieces_is_the_same),
		cmocka_unit_test(test_object_name__reads_back_by_its_prefix),
		cmocka_unit_test(test_object_name_parse__other_forms_are_refused),
		cmocka_unit_test(test_format_padme__adds_little_and_keeps_few_bits),
		cmocka_unit_test(test_tlv__fields_read_back_in_order),
		cmocka_unit_test(test_tlv__a_cut_field_fails),
		cmocka_unit_test(test_tlv__only_unknown_critical_tags_are_refused),
		cmocka_unit_test(test_id_parse__takes_64_lower_digits_only),
	};
	if (host_init(NULL) != 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
