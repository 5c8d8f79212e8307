/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/checked.h"
#include "spool_made.h"

static void must(int r, const struct error *err)
{
	if (r < 0)
		fail_msg("%d: %s", r, error_text(err));
}

static const struct work_owner me;

static void reopen(struct spool_made *m)
{
	work_close(m->work);
	m->work = NULL;
	spool_made_work(m);
}

/* ---- the same told anew, with nothing taken over by stretches ---- */

struct retelling {
	struct spool_made *m;
	const struct snapshot *of;
};

static int tell_entry(struct feed *f, const struct entry *e, struct error *err)
{
	struct feed_content content = {.source = FEED_NONE};

	if (S_ISREG(e->mode) && e->size > 0)
		content = (struct feed_content){.source = FEED_ENTRY, .entry = e};
	return feed_entry(f, e, &content, err);
}

static int retell(void *arg, struct feed *f, struct error *err)
{
	const struct retelling *t = arg;
	struct tree_cursor *c = NULL;
	int r = feed_root(f, &t->of->top, err);

	if (r == 0)
		r = tree_cursor_new(reader_nodes(t->m->reader), &t->of->root, &c, err);
	while (r == 0 && tree_cursor_entry(c) != NULL) {
		r = tell_entry(f, tree_cursor_entry(c), err);
		if (r == 0)
			r = tree_cursor_next(c, err);
		if (r == ERR_NOT_FOUND)
			break;
	}
	tree_cursor_free(c);
	return r == ERR_NOT_FOUND ? 0 : r;
}

/* A tree depends on its entries alone: built from them one by one it has the same root. */
static void expect_same_root(struct spool_made *m, const struct snapshot *s)
{
	struct retelling t = {.m = m, .of = s};
	const struct feed_options options = {.dataset = "other", .reader = m->reader, .feed = retell, .arg = &t};
	struct backup_result result = {0};
	struct error err = ERROR_INIT;

	must(feed_run(m->f.repo, m->f.catalog, &options, &result, &err), &err);
	assert_non_null(result.snapshot);
	assert_int_equal(result.snapshot->root.entries, s->root.entries);
	assert_true(id_equal(&result.snapshot->root.ref.id, &s->root.ref.id));
	assert_int_equal(result.snapshot->files, s->files);
	assert_int_equal(result.snapshot->others, s->others);
	snapshot_free(result.snapshot);
}

static void random_rounds(struct spool_made *m, uint64_t seed, unsigned rounds, unsigned edits)
{
	m->state = seed;
	for (unsigned i = 0; i < rounds; i++) {
		spool_made_edit(m, 1 + (unsigned)spool_made_draw(m, edits));
		const struct snapshot *s = spool_made_commit(m);
		if (s != NULL) {
			spool_made_expect_same(m, s);
			expect_same_root(m, s);
		}
		if (spool_made_draw(m, 3) == 0)
			reopen(m);
	}
}

static void test_merge__random_changes_are_committed_as_they_are_shown(void **state)
{
	struct spool_made *m = *state;

	archive_fixture_small_chunks(&m->f);
	spool_made_base(m);
	spool_made_work(m);
	random_rounds(m, 12, 12, 60);
}

static void test_merge__another_run_of_random_changes_with_few_at_a_time(void **state)
{
	struct spool_made *m = *state;

	spool_made_base(m);
	spool_made_work(m);
	random_rounds(m, 99, 20, 8);
}

static void test_merge__a_new_dataset_is_committed_from_nothing(void **state)
{
	struct spool_made *m = *state;

	spool_made_work(m);
	random_rounds(m, 5, 6, 40);
}

/* ---- one thing at a time ---- */

static void test_merge__a_renamed_folder_takes_all_below_it_along(void **state)
{
	struct spool_made *m = *state;
	struct error err = ERROR_INIT;

	spool_made_base(m);
	spool_made_work(m);
	must(work_rename(m->work, INDEX_ROOT, "a", spool_made_ino(m->work, "z/y"), "a-new", 0, &err), &err);
	const struct snapshot *s = spool_made_commit(m);
	assert_non_null(s);
	assert_int_equal(s->root.entries, m->base->root.entries);
	assert_int_equal(s->bytes, m->base->bytes);
	spool_made_expect_same(m, s);
	expect_same_root(m, s);
	struct stat st;
	must(work_make(m->work, spool_made_ino(m->work, "z/y/a-new/b"), "later", S_IFDIR | 0755, 0, me, &st, &err),
		&err);
	must(work_unlink(m->work, spool_made_ino(m->work, "z/y/a-new"), "nothing", &err), &err);
	s = spool_made_commit(m);
	spool_made_expect_same(m, s);
	expect_same_root(m, s);
}

static void test_merge__a_folder_in_place_of_a_file_and_back(void **state)
{
	struct spool_made *m = *state;
	struct error err = ERROR_INIT;
	struct stat st;

	spool_made_base(m);
	spool_made_work(m);
	must(work_rename(m->work, INDEX_ROOT, "a", INDEX_ROOT, "tmp", 0, &err), &err);
	spool_made_write(m->work, "a", "file", 4);
	must(work_unlink(m->work, INDEX_ROOT, "big", &err), &err);
	must(work_make(m->work, INDEX_ROOT, "big", S_IFDIR | 0755, 0, me, &st, &err), &err);
	must(work_rename(m->work, INDEX_ROOT, "tmp", st.st_ino, "within", 0, &err), &err);
	const struct snapshot *s = spool_made_commit(m);
	spool_made_expect_same(m, s);
	expect_same_root(m, s);
	must(work_unlink(m->work, INDEX_ROOT, "a", &err), &err);
	must(work_rename(m->work, st.st_ino, "within", INDEX_ROOT, "a", 0, &err), &err);
	s = spool_made_commit(m);
	spool_made_expect_same(m, s);
	expect_same_root(m, s);
}

static void test_merge__a_file_that_was_never_closed_is_left_out_and_named(void **state)
{
	struct spool_made *m = *state;
	struct error err = ERROR_INIT;
	struct work_file *file;
	struct stat st;

	spool_made_work(m);
	spool_made_write(m->work, "closed", "text", 4);
	must(work_make(m->work, INDEX_ROOT, "open", S_IFREG | 0644, 0, me, &st, &err), &err);
	must(work_file_open(m->work, st.st_ino, true, false, &file, &err), &err);
	must(work_write(file, 0, "half", 4, false, &err), &err);
	const struct snapshot *s = spool_made_commit(m);
	assert_non_null(s);
	assert_int_equal(s->root.entries, 1);
	assert_int_equal(s->state, SNAPSHOT_WHOLE);
	assert_int_equal(s->note_count, 1);
	assert_non_null(strstr(s->notes[0], "open"));
	must(work_file_close(file, &err), &err);
	s = spool_made_commit(m);
	assert_non_null(s);
	assert_int_equal(s->note_count, 0);
	spool_made_expect_same(m, s);
}

static void test_merge__links_made_here_share_a_group_and_those_of_the_base_keep_theirs(void **state)
{
	struct spool_made *m = *state;
	struct error err = ERROR_INIT;
	struct archive_found one, two;
	struct stat st;

	spool_made_base(m);
	spool_made_work(m);
	uint64_t folder = spool_made_ino(m->work, "empty");
	spool_made_write(m->work, "new", "bytes", 5);
	must(work_link(m->work, spool_made_ino(m->work, "new"), folder, "also", &st, &err), &err);
	must(work_link(m->work, spool_made_ino(m->work, "hard"), folder, "fourth", &st, &err), &err);
	const struct snapshot *s = spool_made_commit(m);
	spool_made_expect_same(m, s);
	assert_true(archive_fixture_find(m->f.repo, s, "new", &one));
	assert_true(archive_fixture_find(m->f.repo, s, "empty/also", &two));
	assert_int_equal(one.entry->link_group, two.entry->link_group);
	assert_true(one.entry->link_group > m->base->link_max);
	assert_int_equal(one.entry->link_group, s->link_max);
	archive_fixture_let_go(&one);
	archive_fixture_let_go(&two);
	assert_true(archive_fixture_find(m->f.repo, m->base, "big", &one));
	assert_true(archive_fixture_find(m->f.repo, s, "empty/fourth", &two));
	assert_int_equal(one.entry->link_group, two.entry->link_group);
	assert_int_equal(two.entry->nlink, 4);
	archive_fixture_let_go(&one);
	archive_fixture_let_go(&two);
}

static void test_merge__a_change_costs_by_its_size_and_not_by_the_file(void **state)
{
	struct spool_made *m = *state;
	size_t len = 48 << 20;
	uint8_t *data = archive_fixture_bytes(len, 3);

	spool_made_work(m);
	spool_made_write(m->work, "large", data, len);
	assert_non_null(spool_made_commit(m));
	memcpy(data + (10 << 20), "changed", 7);
	spool_made_write_at(m->work, "large", 10 << 20, "changed", 7);
	struct reader_stats before, after;
	reader_get_stats(m->reader, &before);
	const struct snapshot *s = spool_made_commit(m);
	assert_non_null(s);
	reader_get_stats(m->reader, &after);
	assert_true(after.decoded_bytes - before.decoded_bytes < 30 << 20); /* what is read ahead included */
	assert_true(s->new_bytes < 12 << 20);
	archive_fixture_expect(m->f.repo, s, "large", data, len);
	spool_made_expect_same(m, s);
	free(data);
}

static void test_merge__what_was_brought_up_and_not_changed_is_told_as_it_was(void **state)
{
	struct spool_made *m = *state;
	struct error err = ERROR_INIT;
	struct archive_found was, is;
	struct work_file *file;

	spool_made_base(m);
	spool_made_work(m);
	must(work_file_open(m->work, spool_made_ino(m->work, "a/big"), true, false, &file, &err), &err);
	must(work_write(file, 5, "x", 1, false, &err), &err);
	must(work_file_close(file, &err), &err);
	const struct snapshot *s = spool_made_commit(m);
	assert_true(archive_fixture_find(m->f.repo, m->base, "a", &was));
	assert_true(archive_fixture_find(m->f.repo, s, "a", &is));
	assert_int_equal(is.entry->inode, was.entry->inode);
	assert_int_equal(is.entry->disk_bytes, was.entry->disk_bytes);
	assert_int_equal(is.entry->nlink, was.entry->nlink);
	assert_int_equal(is.entry->ctime.nsec, was.entry->ctime.nsec);
	assert_string_equal(is.entry->user, was.entry->user);
	archive_fixture_let_go(&was);
	archive_fixture_let_go(&is);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SPOOL_CASE(test_merge__random_changes_are_committed_as_they_are_shown),
		SPOOL_CASE(test_merge__another_run_of_random_changes_with_few_at_a_time),
		SPOOL_CASE(test_merge__a_new_dataset_is_committed_from_nothing),
		SPOOL_CASE(test_merge__a_renamed_folder_takes_all_below_it_along),
		SPOOL_CASE(test_merge__a_folder_in_place_of_a_file_and_back),
		SPOOL_CASE(test_merge__a_file_that_was_never_closed_is_left_out_and_named),
		SPOOL_CASE(test_merge__links_made_here_share_a_group_and_those_of_the_base_keep_theirs),
		SPOOL_CASE(test_merge__what_was_brought_up_and_not_changed_is_told_as_it_was),
		SPOOL_CASE(test_merge__a_change_costs_by_its_size_and_not_by_the_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
