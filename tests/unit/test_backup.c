/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "archive_fixture.h"
#include "base/checked.h"
#include "base/clock.h"
#include "base/host.h"

static const struct {
	const char *path;
	size_t len;
} files[] = {
	{"empty", 0},
	{"one", 1},
	{"a/small", 5000},
	{"a/b/just-under", (256 << 10) - 1},
	{"a/b/just-over", 256 << 10},
	{"a/b/c/large", (5 << 20) + 17},
	{"z", 70000},
};

static void write_files(struct archive_fixture *f)
{
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		uint8_t *p = archive_fixture_bytes(files[i].len, (uint32_t)i);
		archive_fixture_write(f, files[i].path, p, files[i].len);
		free(p);
	}
}

static void expect_files(struct repo *repo, const struct snapshot *s)
{
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		uint8_t *p = archive_fixture_bytes(files[i].len, (uint32_t)i);
		archive_fixture_expect(repo, s, files[i].path, p, files[i].len);
		free(p);
	}
}

static void test_backup_run__every_byte_comes_back(void **state)
{
	struct archive_fixture *f = *state;
	struct backup_result result;

	write_files(f);
	archive_fixture_backup(f, &result);
	assert_int_equal(result.files, ARRAY_LEN(files));
	assert_int_equal(result.dirs, 3);
	assert_int_equal(result.skipped, 0);
	assert_int_equal(result.snapshot->state, SNAPSHOT_WHOLE);
	expect_files(f->repo, result.snapshot);
	snapshot_free(result.snapshot);
}

static void test_backup_run__what_was_stored_once_is_not_stored_again(void **state)
{
	struct archive_fixture *f = *state;
	struct backup_result first, second;

	write_files(f);
	archive_fixture_age(f);
	archive_fixture_backup(f, &first);
	archive_fixture_backup(f, &second);
	assert_true(first.new_bytes > 0);
	assert_int_equal(second.new_bytes, 0);
	assert_string_not_equal(first.snapshot->name, second.snapshot->name);
	expect_files(f->repo, second.snapshot);
	snapshot_free(first.snapshot);
	snapshot_free(second.snapshot);
}

static void test_backup_run__a_changed_small_file_alone_is_stored_anew(void **state)
{
	struct archive_fixture *f = *state;
	struct backup_result first, second;

	write_files(f);
	archive_fixture_backup(f, &first);
	archive_fixture_write(f, "one", "XY", 2);
	archive_fixture_backup(f, &second);
	assert_int_equal(second.new_bytes, 2);
	archive_fixture_expect(f->repo, second.snapshot, "one", "XY", 2);
	uint8_t *before = archive_fixture_bytes(1, 1);
	archive_fixture_expect(f->repo, first.snapshot, "one", before, 1);
	free(before);
	snapshot_free(first.snapshot);
	snapshot_free(second.snapshot);
}

static void test_backup_run__an_unreadable_dump_at_the_top_makes_it_partial(void **state)
{
	struct archive_fixture *f = *state;
	struct backup_result result;
	static const char cut[] = "--\n-- PostgreSQL database dump\n--\n\nCREATE TABLE t ();\n";

	archive_fixture_write(f, "app.sql", cut, sizeof(cut) - 1);
	archive_fixture_backup(f, &result);
	assert_int_equal(result.snapshot->state, SNAPSHOT_PARTIAL);
	assert_int_equal(result.snapshot->check_count, 1);
	assert_string_equal(result.snapshot->checks[0].path, "app.sql");
	assert_non_null(strstr(result.snapshot->name, ".partial"));
	snapshot_free(result.snapshot);
}

static void test_backup_run__holes_stay_holes(void **state)
{
	struct archive_fixture *f = *state;
	struct backup_result result;
	char path[96];

	snprintf(path, sizeof(path), "%s/sparse", f->dir);
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "begin", 5, 0), 5);
	assert_int_equal(pwrite(fd, "end", 3, (64 << 20) - 3), 3);
	close(fd);
	archive_fixture_backup(f, &result);
	assert_true(result.new_bytes <= 64 << 10);
	struct buf got = {0};
	archive_fixture_read(f->repo, result.snapshot, "sparse", &got);
	assert_int_equal(got.len, 64 << 20);
	assert_memory_equal(got.data, "begin", 5);
	assert_memory_equal(got.data + got.len - 3, "end", 3);
	for (size_t i = 5; i < got.len - 3; i++)
		assert_int_equal(got.data[i], 0);
	buf_release(&got);
	snapshot_free(result.snapshot);
}

static void test_backup_run__links_of_one_file_are_read_once_and_share_a_group(void **state)
{
	struct archive_fixture *f = *state;
	struct backup_result result;
	char from[96], to[96];
	uint8_t *p = archive_fixture_bytes(100000, 1);

	archive_fixture_write(f, "a/first", p, 100000);
	snprintf(from, sizeof(from), "%s/a/first", f->dir);
	snprintf(to, sizeof(to), "%s/zz", f->dir);
	assert_int_equal(link(from, to), 0);
	archive_fixture_backup(f, &result);
	assert_int_equal(result.new_bytes, 100000);
	assert_int_equal(result.snapshot->link_max, 1);
	archive_fixture_expect(f->repo, result.snapshot, "zz", p, 100000);
	archive_fixture_expect(f->repo, result.snapshot, "a/first", p, 100000);
	free(p);
	snapshot_free(result.snapshot);
}

/* As if the power had gone after any of the puts and deletes that took effect. */
static void test_backup_run__a_cut_after_any_put_leaves_an_archive_that_reads_whole(void **state)
{
	struct archive_fixture *f = *state;
	struct backup_result first, second;
	struct error err = ERROR_INIT;

	write_files(f);
	archive_fixture_backup(f, &first);
	size_t before = store_fault_history(f->store);
	uint8_t *more = archive_fixture_bytes(3 << 20, 99);
	archive_fixture_write(f, "more", more, 3 << 20);
	free(more);
	archive_fixture_backup(f, &second);
	size_t after = store_fault_history(f->store);
	assert_true(after > before + 5);
	for (size_t n = before; n <= after; n++) {
		struct store *cut = NULL;
		struct repo *repo = NULL;
		const struct snapset *set = NULL;
		assert_int_equal(store_fault_cut(f->store, n, &cut, &err), 0);
		assert_int_equal(archive_fixture_reopen(cut, &repo, &err), 0);
		assert_int_equal(snapset_load(repo, NULL, NULL, &set, &err), 0);
		assert_int_equal(set->fault_count, 0);
		assert_true(set->count == 1 || set->count == 2);
		for (size_t i = 0; i < set->count; i++)
			expect_files(repo, set->list[i]);
		snapset_unref(set);
		repo_close(repo);
	}
	snapshot_free(first.snapshot);
	snapshot_free(second.snapshot);
}

static void test_backup_run__any_failing_call_is_told_and_the_next_run_works(void **state)
{
	struct archive_fixture *f = *state;
	struct backup_result result;
	struct error err = ERROR_INIT;
	bool failed = true;

	write_files(f);
	for (uint64_t n = 1; failed; n++) {
		struct fault_rule rule = {.kind = FAULT_FAIL, .ops = FAULT_PUT, .nth = n, .code = ERR_IO};
		uint64_t calls = store_fault_calls(f->store, FAULT_PUT);
		assert_int_equal(store_fault_add(f->store, &rule, &err), 0);
		result.snapshot = NULL;
		int r = archive_fixture_try(f, &result, &err);
		failed = store_fault_calls(f->store, FAULT_PUT) - calls >= n; /* the rule was met */
		store_fault_clear(f->store);
		if (r == 0)
			expect_files(f->repo, result.snapshot);
		if (r == 0)
			snapshot_free(result.snapshot);
		error_clear(&err);
		assert_true(n < 200);
	}
	archive_fixture_backup(f, &result);
	assert_int_equal(result.new_bytes, 0); /* what the failed runs stored was taken up */
	expect_files(f->repo, result.snapshot);
	snapshot_free(result.snapshot);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ARCHIVE_CASE(test_backup_run__every_byte_comes_back),
		ARCHIVE_CASE(test_backup_run__what_was_stored_once_is_not_stored_again),
		ARCHIVE_CASE(test_backup_run__a_changed_small_file_alone_is_stored_anew),
		ARCHIVE_CASE(test_backup_run__an_unreadable_dump_at_the_top_makes_it_partial),
		ARCHIVE_CASE(test_backup_run__holes_stay_holes),
		ARCHIVE_CASE(test_backup_run__links_of_one_file_are_read_once_and_share_a_group),
		ARCHIVE_CASE(test_backup_run__a_cut_after_any_put_leaves_an_archive_that_reads_whole),
		ARCHIVE_CASE(test_backup_run__any_failing_call_is_told_and_the_next_run_works),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
