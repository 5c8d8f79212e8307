/* SPDX-License-Identifier: MIT */

/* Conformance: put, get, delete, and the names they take. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/unit/store_conformance_parts.h"

static void test_put__object_reads_back(void **state)
{
	struct store *s = store_of(state);
	uint64_t size = 0;

	put_text(s, "config", "hello");
	put_text(s, "packs/ab/abcdef", "deep");
	assert_holds(s, "config", "hello");
	assert_holds(s, "packs/ab/abcdef", "deep");
	assert_int_equal(store_stat(s, NULL, "packs/ab/abcdef", &size, NULL), 0);
	assert_int_equal(size, 4);
}

static void test_put__empty_object_exists(void **state)
{
	struct store *s = store_of(state);
	uint64_t size = 1;
	char byte;
	size_t n = 1;

	put_text(s, "marks/none", "");
	assert_int_equal(store_stat(s, NULL, "marks/none", &size, NULL), 0);
	assert_int_equal(size, 0);
	assert_int_equal(store_get(s, NULL, "marks/none", 0, 1, &byte, &n, NULL), 0);
	assert_int_equal(n, 0);
	assert_int_equal(store_put_mem(s, NULL, "marks/none", "", 0, NULL, NULL), 0);
	assert_int_equal(store_put_mem(s, NULL, "marks/none", "x", 1, NULL, NULL), ERR_EXISTS);
}

static void test_put__second_create_with_other_bytes_is_refused(void **state)
{
	struct store *s = store_of(state);
	struct error err = ERROR_INIT;

	put_text(s, "snapshots/a", "first");
	assert_int_equal(store_put_mem(s, NULL, "snapshots/a", "other", 5, NULL, &err), ERR_EXISTS);
	assert_non_null(strstr(error_text(&err), "snapshots/a"));
	assert_int_equal(store_put_mem(s, NULL, "snapshots/a", "longer one", 10, NULL, NULL), ERR_EXISTS);
	assert_holds(s, "snapshots/a", "first");
}

static void test_put__same_bytes_again_is_success(void **state)
{
	struct store *s = store_of(state);
	uint8_t data[5000];

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7);
	assert_int_equal(store_put_mem(s, NULL, "index/x", data, sizeof(data), NULL, NULL), 0);
	assert_int_equal(store_put_mem(s, NULL, "index/x", data, sizeof(data), NULL, NULL), 0);
	data[sizeof(data) - 1] ^= 1;
	assert_int_equal(store_put_mem(s, NULL, "index/x", data, sizeof(data), NULL, NULL), ERR_EXISTS);
}

static void test_put__other_length_with_the_same_end_is_refused(void **state)
{
	struct store *s = store_of(state);
	uint8_t data[300];

	memset(data, 'e', sizeof(data));
	assert_int_equal(store_put_mem(s, NULL, "index/y", data, 200, NULL, NULL), 0);
	assert_int_equal(store_put_mem(s, NULL, "index/y", data, 300, NULL, NULL), ERR_EXISTS);
	assert_int_equal(store_put_mem(s, NULL, "index/y", data, 100, NULL, NULL), ERR_EXISTS);
}

static void test_put__name_is_free_again_after_delete(void **state)
{
	struct store *s = store_of(state);

	put_text(s, "packs/00/a", "damaged");
	assert_holds(s, "packs/00/a", "damaged");
	assert_int_equal(store_del(s, NULL, "packs/00/a", NULL), 0);
	put_text(s, "packs/00/a", "mended");
	assert_holds(s, "packs/00/a", "mended");
}

static void test_put__body_from_a_file_is_read_from_its_start(void **state)
{
	struct store *s = store_of(state);
	FILE *file = tmpfile();
	struct error err = ERROR_INIT;

	assert_non_null(file);
	assert_int_equal(fputs("0123456789", file), 1);
	assert_int_equal(fflush(file), 0); /* the position is now at the end, which must not matter */
	struct store_body body = {.fd = fileno(file), .len = 8};
	assert_ok(store_put(s, NULL, "packs/aa/file", &body, NULL, &err), &err);
	assert_holds(s, "packs/aa/file", "01234567");
	/* The file is the caller's: what he writes now must not be seen. */
	assert_int_equal(pwrite(fileno(file), "xxxx", 4, 0), 4);
	assert_holds(s, "packs/aa/file", "01234567");
	assert_int_equal(store_put(s, NULL, "packs/aa/file", &body, NULL, NULL), ERR_EXISTS);
	assert_int_equal(fclose(file), 0);
}

static void test_put__file_shorter_than_announced_stores_nothing(void **state)
{
	struct store *s = store_of(state);
	FILE *file = tmpfile();

	assert_non_null(file);
	struct store_body body = {.fd = fileno(file), .len = 100};
	assert_true(store_put(s, NULL, "packs/aa/short", &body, NULL, NULL) < 0);
	assert_missing(s, "packs/aa/short");
	assert_int_equal(fclose(file), 0);
}

static void test_put__large_body_from_tmpfile_reads_back(void **state)
{
	enum { LEN = (9 << 20) + 5 };
	struct store *s = store_of(state);
	struct error err = ERROR_INIT;
	uint8_t *data = malloc(LEN);
	struct buf got = {0};
	FILE *file = NULL;
	int fd = -1;

	assert_non_null(data);
	for (size_t i = 0; i < LEN; i++)
		data[i] = (uint8_t)(i * 2654435761u >> 13);
	assert_ok(store_tmpfile(s, "packs/bb/large", &fd, &err), &err);
	if (fd < 0) {
		file = tmpfile();
		assert_non_null(file);
		fd = fileno(file);
	}
	for (size_t at = 0; at < LEN;) {
		ssize_t n = write(fd, data + at, LEN - at);
		assert_true(n > 0);
		at += (size_t)n;
	}
	struct store_body body = {.fd = fd, .len = LEN};
	assert_ok(store_put(s, NULL, "packs/bb/large", &body, NULL, &err), &err);
	if (file)
		assert_int_equal(fclose(file), 0);
	else
		assert_int_equal(close(fd), 0);
	assert_ok(store_get_all(s, NULL, "packs/bb/large", LEN, &got, &err), &err);
	assert_int_equal(got.len, LEN);
	assert_memory_equal(got.data, data, LEN);
	buf_release(&got);
	free(data);
}

static void test_put__unused_tmpfile_leaves_no_object(void **state)
{
	struct store *s = store_of(state);
	int fd = -1;

	assert_int_equal(store_tmpfile(s, "packs/bb/unused", &fd, NULL), 0);
	if (fd >= 0) {
		assert_int_equal(write(fd, "x", 1), 1);
		close(fd);
	}
	assert_missing(s, "packs/bb/unused");
}

static void test_put__date_is_about_now_or_not_told(void **state)
{
	struct store *s = store_of(state);
	struct store_reply reply = {.date = -1};
	int64_t hour = 3600 * CLOCK_SECOND;

	int64_t now = clock_now();
	assert_int_equal(store_put_mem(s, NULL, "snapshots/t", "t", 1, &reply, NULL), 0);
	assert_true(reply.date == 0 || (reply.date > now - hour && reply.date < now + hour));
	/* A repeated put tells of the moment when the object came to be. */
	struct store_reply again = {.date = -1};
	assert_int_equal(store_put_mem(s, NULL, "snapshots/t", "t", 1, &again, NULL), 0);
	assert_true(again.date == 0 || (again.date > now - hour && again.date < now + hour));
}

static void test_get__ranges_end_where_the_object_ends(void **state)
{
	struct store *s = store_of(state);
	char got[16] = "";
	size_t n = 99;

	put_text(s, "packs/cc/r", "0123456789");
	assert_int_equal(store_get(s, NULL, "packs/cc/r", 3, 4, got, &n, NULL), 0);
	assert_int_equal(n, 4);
	assert_memory_equal(got, "3456", 4);
	assert_int_equal(store_get(s, NULL, "packs/cc/r", 8, 16, got, &n, NULL), 0);
	assert_int_equal(n, 2);
	assert_memory_equal(got, "89", 2);
	assert_int_equal(store_get(s, NULL, "packs/cc/r", 10, 5, got, &n, NULL), 0);
	assert_int_equal(n, 0);
	n = 99;
	assert_int_equal(store_get(s, NULL, "packs/cc/r", UINT64_MAX, 5, got, &n, NULL), 0);
	assert_int_equal(n, 0);
	n = 99;
	assert_int_equal(store_get(s, NULL, "packs/cc/r", 0, 0, got, &n, NULL), 0);
	assert_int_equal(n, 0);
}

static void test_get__missing_object_is_not_found(void **state)
{
	struct store *s = store_of(state);

	assert_missing(s, "packs/dd/none");
	put_text(s, "packs/dd/some", "x");
	assert_missing(s, "packs/dd/none");
	assert_missing(s, "packs/dd"); /* what objects lie under is none itself */
	assert_missing(s, "packs/dd/some/more");
}

static void test_get_all__limit_is_kept(void **state)
{
	struct store *s = store_of(state);
	struct buf got = {0};
	size_t len = 200 * 1000;
	char *data = malloc(len);

	assert_non_null(data);
	memset(data, 'd', len);
	assert_int_equal(store_put_mem(s, NULL, "index/big", data, len, NULL, NULL), 0);
	assert_int_equal(store_get_all(s, NULL, "index/big", len - 1, &got, NULL), ERR_CORRUPT);
	assert_int_equal(store_get_all(s, NULL, "index/big", 10, &got, NULL), ERR_CORRUPT);
	assert_int_equal(store_get_all(s, NULL, "index/big", 0, &got, NULL), ERR_CORRUPT);
	assert_int_equal(store_get_all(s, NULL, "index/big", len, &got, NULL), 0);
	assert_int_equal(got.len, len);
	assert_int_equal(store_get_all(s, NULL, "index/big", SIZE_MAX, &got, NULL), 0);
	assert_int_equal(got.len, len);
	assert_memory_equal(got.data, data, len);
	buf_release(&got);
	free(data);
}

static void test_del__object_is_gone(void **state)
{
	struct store *s = store_of(state);

	put_text(s, "sessions/a", "x");
	put_text(s, "sessions/b", "y");
	assert_holds(s, "sessions/a", "x"); /* so that what keeps objects open has it */
	assert_int_equal(store_del(s, NULL, "sessions/a", NULL), 0);
	assert_missing(s, "sessions/a");
	assert_holds(s, "sessions/b", "y");
}

static void test_del__missing_name_is_success(void **state)
{
	struct store *s = store_of(state);

	assert_int_equal(store_del(s, NULL, "nothing/here", NULL), 0);
	put_text(s, "nothing/there", "x");
	assert_int_equal(store_del(s, NULL, "nothing/here", NULL), 0);
	assert_int_equal(store_del(s, NULL, "nothing", NULL), 0);
	assert_holds(s, "nothing/there", "x");
}

static void test_names__bad_ones_are_refused(void **state)
{
	static const char *const bad[] = {
		"", "/a", "a/", "a//b", ".", "..", "a/../b", "./a", "A", "a_b", "a b", "\xc3\xa4"};
	struct store *s = store_of(state);
	char name[STORE_NAME_MAX + 2];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		uint64_t size;

		assert_false(store_name_ok(bad[i]));
		assert_int_equal(store_put_mem(s, NULL, bad[i], "x", 1, NULL, NULL), ERR_USAGE);
		assert_int_equal(store_stat(s, NULL, bad[i], &size, NULL), ERR_USAGE);
		assert_int_equal(store_del(s, NULL, bad[i], NULL), ERR_USAGE);
	}
	memset(name, 'a', sizeof(name));
	name[STORE_NAME_MAX + 1] = '\0';
	assert_int_equal(store_put_mem(s, NULL, name, "x", 1, NULL, NULL), ERR_USAGE);
	name[STORE_NAME_MAX] = '\0';
	put_text(s, name, "longest");
	assert_holds(s, name, "longest");
	put_text(s, "..a/...", "dots are letters here");
	assert_holds(s, "..a/...", "dots are letters here");
}

static void test_store__describes_itself(void **state)
{
	struct store *s = store_of(state);
	uint64_t bytes = 0;

	assert_non_null(s->url);
	assert_true(s->parallel >= 1);
	assert_int_equal(store_free_space(s, &bytes, NULL), 0);
	assert_true(bytes > 0);
}

const struct CMUnitTest conformance_object_tests[] = {
	CONFORMS(test_put__object_reads_back),
	CONFORMS(test_put__empty_object_exists),
	CONFORMS(test_put__second_create_with_other_bytes_is_refused),
	CONFORMS(test_put__same_bytes_again_is_success),
	CONFORMS(test_put__other_length_with_the_same_end_is_refused),
	CONFORMS(test_put__name_is_free_again_after_delete),
	CONFORMS(test_put__body_from_a_file_is_read_from_its_start),
	CONFORMS(test_put__file_shorter_than_announced_stores_nothing),
	CONFORMS(test_put__large_body_from_tmpfile_reads_back),
	CONFORMS(test_put__unused_tmpfile_leaves_no_object),
	CONFORMS(test_put__date_is_about_now_or_not_told),
	CONFORMS(test_get__ranges_end_where_the_object_ends),
	CONFORMS(test_get__missing_object_is_not_found),
	CONFORMS(test_get_all__limit_is_kept),
	CONFORMS(test_del__object_is_gone),
	CONFORMS(test_del__missing_name_is_success),
	CONFORMS(test_names__bad_ones_are_refused),
	CONFORMS(test_store__describes_itself),
	CONFORMS_END,
};
