/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "archive/entry.h"

static struct buf key_of(const char *path)
{
	struct buf b = {0};
	assert_true(entry_key_from_path(&b, path, strlen(path)));
	return b;
}

static int order(const char *a, const char *b)
{
	struct buf x = key_of(a), y = key_of(b);
	size_t most = x.len < y.len ? x.len : y.len;
	int o = memcmp(x.data, y.data, most);
	o = o ? o : (x.len > y.len) - (x.len < y.len);
	buf_release(&x);
	buf_release(&y);
	return o;
}

static void test_entry_key__bytes_are_as_specified(void **state)
{
	(void)state;
	struct buf b = key_of("a/bc/d");
	assert_int_equal(b.len, 7);
	assert_memory_equal(b.data, "a\0bc\0\0d", 7);
	buf_clear(&b);
	entry_key_put(&b, (const uint8_t *)"a\0", 2, "x", 1);
	assert_memory_equal(b.data, "a\0\0x", 4);
	assert_int_equal(b.len, 4);
	buf_release(&b);
	b = key_of("top");
	assert_memory_equal(b.data, "\0top", 4);
	buf_release(&b);
}

static void test_entry_key__own_entries_of_a_directory_stand_together_before_what_is_below(void **state)
{
	/* Ascending. A name that begins like another, and bytes below '/', are what goes wrong with paths as keys. */
	static const char *const paths[] = {
		"a", "a!b", "a.d", "b", "z", "a/a", "a/z", "a/a/x", "a/b/c", "a!b/c", "a.d/e", "b/c", "\xff/x"};
	(void)state;
	for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++)
		for (size_t k = 0; k < sizeof(paths) / sizeof(*paths); k++)
			assert_int_equal(order(paths[i], paths[k]) < 0, i < k);
}

static void test_entry_key__turns_back_into_its_path(void **state)
{
	static const char *const paths[] = {"a", "a/b", "some/deep/er/path.txt", "\xff\xfe/\x01", "...", "a/.b/..c"};
	(void)state;
	for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
		struct buf key = key_of(paths[i]), path = {0}, prefix = {0};
		entry_key_to_path(&path, key.data, key.len);
		assert_int_equal(path.len, strlen(paths[i]));
		assert_memory_equal(path.data, paths[i], path.len);
		assert_true(entry_key_ok(key.data, key.len));
		/* A child of it, made by way of its prefix, is the path with a component more. */
		assert_true(entry_key_to_prefix(&prefix, key.data, key.len));
		buf_clear(&key);
		entry_key_put(&key, prefix.data, prefix.len, "child", 5);
		buf_clear(&path);
		entry_key_to_path(&path, key.data, key.len);
		assert_int_equal(path.len, strlen(paths[i]) + 6);
		assert_memory_equal(path.data + path.len - 6, "/child", 6);
		buf_release(&key);
		buf_release(&path);
		buf_release(&prefix);
	}
}

static void test_entry_key_split__gives_directory_and_name(void **state)
{
	struct buf key = key_of("a/bc/name");
	size_t prefix_len, name_len;
	const uint8_t *name;
	(void)state;
	assert_true(entry_key_split(key.data, key.len, &prefix_len, &name, &name_len));
	assert_int_equal(prefix_len, 5);
	assert_int_equal(name_len, 4);
	assert_memory_equal(name, "name", 4);
	buf_release(&key);
	assert_false(entry_key_split((const uint8_t *)"", 0, &prefix_len, &name, &name_len));
	assert_false(entry_key_split((const uint8_t *)"abc", 3, &prefix_len, &name, &name_len));
	assert_false(entry_key_split((const uint8_t *)"a\0b", 3, &prefix_len, &name, &name_len));
	assert_false(entry_key_split((const uint8_t *)"a\0\0", 3, &prefix_len, &name, &name_len));
}

static void test_entry_key_from_path__refuses_what_is_no_path_and_leaves_the_buffer(void **state)
{
	static const char *const paths[] = {"", "/a", "a/", "a//b", ".", "..", "a/..", "./a", "a/../b"};
	struct buf b = {0};
	char *long_name = calloc(1, 300);
	(void)state;
	buf_put(&b, "keep", 4);
	for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++)
		assert_false(entry_key_from_path(&b, paths[i], strlen(paths[i])));
	assert_false(entry_key_from_path(&b, "a\0b", 3));
	memset(long_name, 'n', 256);
	assert_false(entry_key_from_path(&b, long_name, 256));
	assert_int_equal(b.len, 4);
	assert_true(entry_key_from_path(&b, long_name, 255));
	assert_int_equal(b.len, 4 + 256);
	free(long_name);
	buf_release(&b);
}

static void test_entry_key__longest_key_is_8192_bytes(void **state)
{
	struct buf path = {0}, key = {0};
	(void)state;
	while (path.len + 128 < ENTRY_KEY_MAX)
		buf_put(&path, "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde/", 64);
	while (path.len < ENTRY_KEY_MAX - 1)
		buf_put(&path, "x", 1);
	assert_true(entry_key_from_path(&key, (char *)path.data, path.len));
	assert_int_equal(key.len, ENTRY_KEY_MAX);
	buf_put(&path, "x", 1);
	assert_false(entry_key_from_path(&key, (char *)path.data, path.len));
	buf_release(&path);
	buf_release(&key);
}

static void test_entry_key_ok__refuses_malformed_keys(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		bool ok;
	} cases[] = {
		{"\0a", 2, true},
		{"d\0\0a", 4, true},
		{"", 0, false},
		{"\0", 1, false},
		{"a", 1, false},
		{"a\0", 2, false},
		{"a\0\0", 3, false},
		{"a\0b\0", 4, false},
		{"\0a\0", 3, false},
		{"\0.", 2, false},
		{"\0..", 3, false},
		{"..\0\0a", 5, false},
		{"\0a/b", 4, false},
		{"a/b\0\0c", 6, false},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		assert_int_equal(entry_key_ok((const uint8_t *)cases[i].bytes, cases[i].len), cases[i].ok);
}

static void test_xattr__what_was_put_comes_back_in_order(void **state)
{
	struct buf b = {0};
	const char *name;
	const uint8_t *value;
	size_t name_len, len;
	(void)state;
	xattr_put(&b, "security.capability", "\0\1\2", 3);
	xattr_put(&b, "user.empty", NULL, 0);
	assert_true(xattrs_ok(b.data, b.len));
	struct cursor c = cursor_of(b.data, b.len);
	assert_true(xattr_next(&c, &name, &name_len, &value, &len));
	assert_int_equal(name_len, 19);
	assert_memory_equal(name, "security.capability", 19);
	assert_int_equal(len, 3);
	assert_memory_equal(value, "\0\1\2", 3);
	assert_true(xattr_next(&c, &name, &name_len, &value, &len));
	assert_int_equal(len, 0);
	assert_false(xattr_next(&c, &name, &name_len, &value, &len));
	assert_false(c.failed);
	buf_release(&b);
}

static void test_xattrs_ok__refuses_damage_and_disorder(void **state)
{
	struct buf b = {0};
	(void)state;
	assert_true(xattrs_ok(NULL, 0));
	xattr_put(&b, "user.b", "1", 1);
	size_t one = b.len;
	for (size_t cut = 1; cut < one; cut++)
		assert_false(xattrs_ok(b.data, cut));
	xattr_put(&b, "user.a", "1", 1);
	assert_false(xattrs_ok(b.data, b.len));
	b.len = one;
	xattr_put(&b, "user.b", "2", 1);
	assert_false(xattrs_ok(b.data, b.len));
	b.len = one;
	xattr_put(&b, "user.bb", "2", 1);
	assert_true(xattrs_ok(b.data, b.len));
	assert_false(xattrs_ok("\0\0", 2));
	assert_false(xattrs_ok("\2a\0\0", 4));
	buf_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_entry_key__bytes_are_as_specified),
		cmocka_unit_test(test_entry_key__own_entries_of_a_directory_stand_together_before_what_is_below),
		cmocka_unit_test(test_entry_key__turns_back_into_its_path),
		cmocka_unit_test(test_entry_key_split__gives_directory_and_name),
		cmocka_unit_test(test_entry_key_from_path__refuses_what_is_no_path_and_leaves_the_buffer),
		cmocka_unit_test(test_entry_key__longest_key_is_8192_bytes),
		cmocka_unit_test(test_entry_key_ok__refuses_malformed_keys),
		cmocka_unit_test(test_xattr__what_was_put_comes_back_in_order),
		cmocka_unit_test(test_xattrs_ok__refuses_damage_and_disorder),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
