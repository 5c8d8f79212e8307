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

/* What a backup makes of the one before: unchanged files, links, pieces. */

/* All ctimes in dir are old enough for the next backup to count as settled before it. */
static void settle(void)
{
	const struct timespec window = {.tv_sec = 3, .tv_nsec = 100000000};

	nanosleep(&window, NULL);
}

static void make_link(struct archive_fixture *f, const char *from, const char *to)
{
	char *a = archive_fixture_path(f, from), *b = archive_fixture_path(f, to);

	assert_int_equal(link(a, b), 0);
	free(a);
	free(b);
}

static void test_next__what_is_settled_is_not_read_again(void **state)
{
	struct archive_fixture *f = *state;
	struct backup_result result;

	archive_fixture_write(f, "a/one", "1", 1);
	archive_fixture_write(f, "two", "2", 1);
	settle();
	archive_fixture_backup(f, &result);
	assert_int_equal(result.new_files, 2);
	snapshot_free(result.snapshot);
	archive_fixture_write(f, "two", "3", 1);
	archive_fixture_backup(f, &result);
	assert_int_equal(result.unchanged_files, 1);
	assert_int_equal(result.changed_files, 1);
	archive_fixture_expect(f->repo, result.snapshot, "a/one", "1", 1);
	archive_fixture_expect(f->repo, result.snapshot, "two", "3", 1);
	snapshot_free(result.snapshot);
}

/* Within the clock's grain a file may change again without its times telling. */
static void test_next__what_was_touched_around_the_last_backup_is_read_again(void **state)
{
	struct archive_fixture *f = *state;
	struct backup_result result;

	archive_fixture_write(f, "fresh", "1", 1);
	archive_fixture_backup(f, &result);
	snapshot_free(result.snapshot);
	archive_fixture_backup(f, &result);
	assert_int_equal(result.changed_files, 1);
	assert_int_equal(result.new_bytes, 0);
	snapshot_free(result.snapshot);
}

/* Same size, same mtime: the ctime tells. */
static void test_next__a_forged_mtime_hides_nothing(void **state)
{
	struct archive_fixture *f = *state;
	struct backup_result result;
	const struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
	char *path = archive_fixture_path(f, "file");

	archive_fixture_write(f, "file", "1", 1);
	assert_int_equal(utimensat(AT_FDCWD, path, old, 0), 0);
	settle();
	archive_fixture_backup(f, &result);
	snapshot_free(result.snapshot);
	archive_fixture_write(f, "file", "2", 1);
	assert_int_equal(utimensat(AT_FDCWD, path, old, 0), 0);
	archive_fixture_backup(f, &result);
	archive_fixture_expect(f->repo, result.snapshot, "file", "2", 1);
	snapshot_free(result.snapshot);
	free(path);
}

static void test_next__what_is_gone_is_gone_and_what_changed_its_kind_is_new(void **state)
{
	struct archive_fixture *f = *state;
	struct backup_result result;
	char *was_folder = archive_fixture_path(f, "b"), *inside = archive_fixture_path(f, "b/in");

	archive_fixture_write(f, "a", "1", 1);
	archive_fixture_write(f, "b/in", "2", 1);
	archive_fixture_write(f, "c", "3", 1);
	archive_fixture_backup(f, &result);
	snapshot_free(result.snapshot);
	assert_int_equal(unlink(inside) | rmdir(was_folder) | symlink("c", was_folder), 0);
	archive_fixture_backup(f, &result);
	assert_int_equal(result.snapshot->root.entries, 3);
	assert_int_equal(result.others, 1);
	assert_false(archive_fixture_has(f->repo, result.snapshot, "b/in"));
	snapshot_free(result.snapshot);
	free(was_folder);
	free(inside);
}

static uint64_t group_of(struct archive_fixture *f, const struct snapshot *s, const char *path)
{
	struct archive_found found;

	assert_true(archive_fixture_find(f->repo, s, path, &found));
	uint64_t group = found.entry->link_group;
	archive_fixture_let_go(&found);
	return group;
}

static void test_next__a_group_of_links_keeps_its_number(void **state)
{
	struct archive_fixture *f = *state;
	struct backup_result first, second;

	archive_fixture_write(f, "b/x", "bb", 2);
	make_link(f, "b/x", "d");
	archive_fixture_write(f, "m", "mm", 2);
	make_link(f, "m", "b/n");
	archive_fixture_backup(f, &first);
	uint64_t x = group_of(f, first.snapshot, "d"), m = group_of(f, first.snapshot, "m");
	assert_int_not_equal(x, 0);
	assert_int_not_equal(m, 0);
	assert_int_not_equal(x, m);
	archive_fixture_write(f, "0-first", "00", 2);
	make_link(f, "0-first", "a-second");
	archive_fixture_backup(f, &second);
	assert_int_equal(group_of(f, second.snapshot, "b/x"), x);
	assert_int_equal(group_of(f, second.snapshot, "d"), x);
	assert_int_equal(group_of(f, second.snapshot, "m"), m);
	uint64_t fresh = group_of(f, second.snapshot, "0-first");
	assert_int_equal(group_of(f, second.snapshot, "a-second"), fresh);
	assert_true(fresh > x && fresh > m);
	archive_fixture_expect(f->repo, second.snapshot, "b/n", "mm", 2);
	snapshot_free(first.snapshot);
	snapshot_free(second.snapshot);
}

static void expect_counts(struct archive_fixture *f, bool dry_run, unsigned fresh, unsigned changed, unsigned unchanged)
{
	struct backup_options options = archive_fixture_options(f);
	struct backup_result result;

	options.dry_run = dry_run;
	archive_fixture_run(f, &options, &result);
	assert_int_equal(result.new_files, fresh);
	assert_int_equal(result.changed_files, changed);
	assert_int_equal(result.unchanged_files, unchanged);
	snapshot_free(result.snapshot);
}

static void test_next__every_link_is_counted_for_what_it_is(void **state)
{
	struct archive_fixture *f = *state;

	archive_fixture_write(f, "a", "1", 1);
	archive_fixture_write(f, "other", "2", 1);
	make_link(f, "a", "b");
	make_link(f, "a", "c");
	expect_counts(f, true, 4, 0, 0);
	expect_counts(f, false, 4, 0, 0);
	settle();
	expect_counts(f, false, 0, 4, 0); /* touched too near to the snapshot before: they are read again */
	expect_counts(f, false, 0, 0, 4);
	make_link(f, "a", "0-more"); /* which gives the file another ctime */
	expect_counts(f, false, 1, 3, 1);
}

static void test_next__a_link_to_what_lies_outside_is_saved_whole(void **state)
{
	struct archive_fixture *f = *state;
	struct backup_options options = archive_fixture_options(f);
	struct backup_result result;
	char *in = archive_fixture_path(f, "in/");
	char *paths[] = {in};

	archive_fixture_write(f, "in/file", "1", 1);
	make_link(f, "in/file", "outside");
	options.paths = paths;
	archive_fixture_run(f, &options, &result);
	archive_fixture_expect(f->repo, result.snapshot, "file", "1", 1);
	assert_int_equal(result.snapshot->state, SNAPSHOT_WHOLE);
	snapshot_free(result.snapshot);
	free(in);
}

/* More groups than what their contents take in memory: some are read back from the disk. */
static void test_next__thousands_of_links_have_what_their_first_has(void **state)
{
	struct archive_fixture *f = *state;
	struct backup_result result;
	enum { COUNT = 3000 };
	char a[32], b[32], text[16];

	for (int i = 0; i < COUNT; i++) {
		snprintf(a, sizeof(a), "a/%d", i);
		snprintf(b, sizeof(b), "b/%d", i);
		snprintf(text, sizeof(text), "%d", i);
		archive_fixture_write(f, a, text, strlen(text));
		if (i == 0)
			archive_fixture_write(f, "b/keep", "", 0);
		make_link(f, a, b);
	}
	for (int round = 0; round < 2; round++) {
		archive_fixture_backup(f, &result);
		assert_int_equal(result.files, 2 * COUNT + 1);
		for (int i = 0; i < COUNT; i += 97) {
			snprintf(b, sizeof(b), "b/%d", i);
			snprintf(text, sizeof(text), "%d", i);
			archive_fixture_expect(f->repo, result.snapshot, b, text, strlen(text));
		}
		snapshot_free(result.snapshot);
	}
}

static void test_next__links_of_what_cannot_be_read_are_all_told(void **state)
{
	struct archive_fixture *f = *state;
	struct backup_result result;
	char *path = archive_fixture_path(f, "a");

	if (geteuid() != 0)
		skip();
	archive_fixture_write(f, "a", "1", 1);
	make_link(f, "a", "b");
	archive_fixture_write(f, "c", "2", 1);
	assert_int_equal(chmod(path, 0) | chmod(f->dir, 0755), 0);
	assert_int_equal(seteuid(65534), 0);
	int r = archive_fixture_try(f, &result, NULL);
	assert_int_equal(seteuid(0), 0);
	assert_int_equal(r, 0);
	assert_int_equal(result.skipped, 2);
	assert_int_equal(result.snapshot->state, SNAPSHOT_INCOMPLETE);
	assert_int_equal(result.snapshot->root.entries, 1);
	snapshot_free(result.snapshot);
	free(path);
}

/* ---- files of very many extents ---- */

static void copy_pieces(const struct entry *e, struct id *ids, size_t cap)
{
	assert_true(e->piece_count <= cap);
	for (uint32_t i = 0; i < e->piece_count; i++)
		ids[i] = e->refs[e->pieces[i].ref].id;
}

static void test_next__a_very_long_file_is_kept_in_pieces_that_are_used_again(void **state)
{
	struct archive_fixture *f = *state;
	struct backup_result result;
	enum { LEN = 12 << 20, PIECES = 64 };
	struct id before[PIECES], after[PIECES];
	struct archive_found found;
	uint8_t *p = archive_fixture_bytes(LEN, 5);

	archive_fixture_small_chunks(f);
	archive_fixture_write(f, "long", p, LEN);
	settle();
	archive_fixture_backup(f, &result);
	assert_true(archive_fixture_find(f->repo, result.snapshot, "long", &found));
	uint32_t count = found.entry->piece_count;
	assert_true(count >= 2);
	copy_pieces(found.entry, before, PIECES);
	archive_fixture_let_go(&found);
	archive_fixture_expect(f->repo, result.snapshot, "long", p, LEN);
	snapshot_free(result.snapshot);

	archive_fixture_backup(f, &result); /* taken over unread */
	assert_int_equal(result.unchanged_files, 1);
	archive_fixture_expect(f->repo, result.snapshot, "long", p, LEN);
	snapshot_free(result.snapshot);

	p[LEN - 10] ^= 1; /* read again: only the last piece differs */
	archive_fixture_write(f, "long", p, LEN);
	archive_fixture_backup(f, &result);
	assert_int_equal(result.changed_files, 1);
	assert_true(result.new_bytes < 4096);
	assert_true(archive_fixture_find(f->repo, result.snapshot, "long", &found));
	assert_int_equal(found.entry->piece_count, count);
	copy_pieces(found.entry, after, PIECES);
	for (uint32_t i = 0; i + 1 < count; i++)
		assert_memory_equal(&before[i], &after[i], sizeof(before[i]));
	assert_memory_not_equal(&before[count - 1], &after[count - 1], sizeof(before[0]));
	archive_fixture_let_go(&found);
	archive_fixture_expect(f->repo, result.snapshot, "long", p, LEN);
	snapshot_free(result.snapshot);
	free(p);
}

/* Islands all over a large file: no island makes a chunk of its own, and every byte and hole is where it was. */
static void test_next__a_file_of_many_islands_comes_back(void **state)
{
	struct archive_fixture *f = *state;
	struct backup_result result;
	enum { ISLANDS = 3000, STEP = 16384 };
	char *path = archive_fixture_path(f, "islands");
	struct archive_found found;
	uint64_t data = 0, holes = 0;

	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	for (uint32_t i = 0; i < ISLANDS; i++)
		assert_int_equal(pwrite(fd, &i, sizeof(i), (off_t)i * STEP + STEP / 2), sizeof(i));
	assert_int_equal(ftruncate(fd, (off_t)ISLANDS * STEP + 12345), 0);
	close(fd);
	archive_fixture_backup(f, &result);
	assert_int_equal(result.bytes, (uint64_t)ISLANDS * STEP + 12345);
	assert_true(result.new_bytes <= ISLANDS * 4096);
	struct buf got = {0};
	archive_fixture_read(f->repo, result.snapshot, "islands", &got);
	for (uint32_t i = 0; i < ISLANDS; i++)
		assert_memory_equal(got.data + (size_t)i * STEP + STEP / 2, &i, sizeof(i));
	buf_release(&got);
	assert_true(archive_fixture_find(f->repo, result.snapshot, "islands", &found));
	struct extent_reader *extents = NULL;
	assert_int_equal(extent_reader_new(reader_nodes(found.reader), found.entry, &extents, NULL), 0);
	for (uint64_t at = 0, len = 0; at < found.entry->size; at += len) {
		const struct chunk_ref *ref = NULL;
		uint32_t offset;
		assert_int_equal(extent_reader_at(extents, at, &len, &ref, &offset, NULL), 0);
		data += ref != NULL ? len : 0;
		holes += ref == NULL ? len : 0;
	}
	assert_true(data <= ISLANDS * 4096);
	assert_true(holes > 0);
	extent_reader_free(extents);
	archive_fixture_let_go(&found);
	snapshot_free(result.snapshot);
	free(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ARCHIVE_CASE(test_next__what_is_settled_is_not_read_again),
		ARCHIVE_CASE(test_next__what_was_touched_around_the_last_backup_is_read_again),
		ARCHIVE_CASE(test_next__a_forged_mtime_hides_nothing),
		ARCHIVE_CASE(test_next__what_is_gone_is_gone_and_what_changed_its_kind_is_new),
		ARCHIVE_CASE(test_next__a_group_of_links_keeps_its_number),
		ARCHIVE_CASE(test_next__every_link_is_counted_for_what_it_is),
		ARCHIVE_CASE(test_next__a_link_to_what_lies_outside_is_saved_whole),
		ARCHIVE_CASE(test_next__thousands_of_links_have_what_their_first_has),
		ARCHIVE_CASE(test_next__links_of_what_cannot_be_read_are_all_told),
		ARCHIVE_CASE(test_next__a_very_long_file_is_kept_in_pieces_that_are_used_again),
		ARCHIVE_CASE(test_next__a_file_of_many_islands_comes_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
