/* SPDX-License-Identifier: MIT */
/* Snapshots by rank: a tree of several leaves, made by a real backup, walked in every way the kernel may. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "archive_fixture.h"
#include "base/fileio.h"
#include "fs/endings.h"
#include "fs/nodeid.h"
#include "fs/view.h"

enum { MANY = 4000 };

struct scene {
	struct archive_fixture archive;
	struct backup_result result;
	struct reader *reader;
	struct view *view;
	const struct snapshot *s;
};

static void put(struct scene *t, const char *path, const char *text)
{
	archive_fixture_write(&t->archive, path, text, strlen(text));
}

/* "a/linked" and "b/file" are one file. */
static void put_link(struct scene *t)
{
	char *from = fileio_format("%s/b/file", t->archive.dir), *to = fileio_format("%s/a/linked", t->archive.dir);
	assert_int_equal(link(from, to), 0);
	free(from);
	free(to);
}

static int set_up(void **state)
{
	struct scene *t = calloc(1, sizeof(*t));
	char name[64];
	struct reader_options options = {.threads = 2};
	archive_fixture_open(&t->archive);
	put(t, "a/one.sql", "one");
	put(t, "b/c/d/deep", "deep");
	put(t, "b/file", "linked twice");
	put(t, "app.sql", "app");
	put(t, "old.tar.gz", "x");
	put(t, ".hidden.sql", "no ending");
	put(t, "plain", "no ending");
	put(t, "dot.", "no ending");
	for (unsigned i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "many/entry-with-a-rather-long-name-%05u", i);
		put(t, name, "");
	}
	put_link(t);
	archive_fixture_backup(&t->archive, &t->result);
	t->s = t->result.snapshot;
	assert_int_equal(reader_open(t->archive.repo, &options, &t->reader, NULL), 0);
	t->view = view_new(t->reader);
	*state = t;
	return 0;
}

static int tear_down(void **state)
{
	struct scene *t = *state;
	view_free(t->view);
	reader_close(t->reader);
	snapshot_free(t->result.snapshot);
	archive_fixture_close(&t->archive);
	free(t);
	return 0;
}

/* The rank of "a/b/c", name by name as the kernel asks. */
static uint32_t walk(struct scene *t, const char *path)
{
	char copy[256], *rest = copy;
	uint32_t rank = 0;
	snprintf(copy, sizeof(copy), "%s", path);
	for (char *name = strsep(&rest, "/"); name != NULL; name = strsep(&rest, "/")) {
		struct view_entry e;
		assert_int_equal(view_lookup(t->view, t->s, rank, name, &e, NULL), 0);
		rank = e.rank;
		view_put(t->view, &e);
	}
	return rank;
}

struct listed {
	unsigned count;
	uint64_t next[MANY + 100];
	uint32_t rank[MANY + 100];
	char name[MANY + 100][64];
	unsigned max; /* stop after so many */
};

static bool note(void *arg, const struct view_entry *e, const char *name, uint64_t next)
{
	struct listed *l = arg;
	l->next[l->count] = next;
	l->rank[l->count] = e->rank;
	snprintf(l->name[l->count], sizeof(l->name[0]), "%s", name);
	return ++l->count < l->max;
}

static void list(struct scene *t, uint32_t rank, uint64_t off, unsigned max, struct listed *l)
{
	struct view_dir *dir = NULL;
	l->count = 0;
	l->max = max;
	assert_int_equal(view_dir_open(t->view, t->s, rank, &dir, NULL), 0);
	assert_int_equal(view_dir_list(t->view, t->s, dir, off, note, l, NULL), 0);
	free(dir);
}

static void test_view_lookup__every_listed_name_is_found_at_its_rank(void **state)
{
	struct scene *t = *state;
	struct listed *l = calloc(1, sizeof(*l));
	uint32_t many = walk(t, "many");
	list(t, many, VIEW_DIR_FIRST, UINT32_MAX, l);
	assert_int_equal(l->count, MANY);
	for (unsigned i = 0; i < l->count; i++) {
		struct view_entry e;
		assert_int_equal(view_lookup(t->view, t->s, many, l->name[i], &e, NULL), 0);
		assert_int_equal(e.rank, l->rank[i]);
		view_put(t->view, &e);
	}
	free(l);
}

static void test_view_dir_list__goes_on_from_every_offset(void **state)
{
	struct scene *t = *state;
	struct listed *all = calloc(1, sizeof(*all)), *rest = calloc(1, sizeof(*rest));
	uint32_t many = walk(t, "many");
	list(t, many, VIEW_DIR_FIRST, UINT32_MAX, all);
	for (unsigned i = 0; i + 1 < all->count; i += 37) {
		list(t, many, all->next[i], 2, rest);
		assert_string_equal(rest->name[0], all->name[i + 1]);
	}
	list(t, many, all->next[all->count - 1], UINT32_MAX, rest);
	assert_int_equal(rest->count, 0);
	free(rest);
	free(all);
}

static void test_view_dir_list__shows_a_folders_own_entries_and_nothing_below(void **state)
{
	static const char *const want[] = {".hidden.sql", "a", "app.sql", "b", "dot.", "many", "old.tar.gz", "plain"};
	struct scene *t = *state;
	struct listed *l = calloc(1, sizeof(*l));
	list(t, 0, VIEW_DIR_FIRST, UINT32_MAX, l);
	assert_int_equal(l->count, sizeof(want) / sizeof(want[0]));
	for (unsigned i = 0; i < l->count; i++)
		assert_string_equal(l->name[i], want[i]);
	list(t, walk(t, "b/c/d"), VIEW_DIR_FIRST, UINT32_MAX, l);
	assert_int_equal(l->count, 1);
	assert_string_equal(l->name[0], "deep");
	free(l);
}

static void test_view_lookup__dots_lead_where_they_should(void **state)
{
	struct scene *t = *state;
	static const char *const folders[][2] = {{"b/c/d", "b/c"}, {"b/c", "b"}, {"many", ""}};
	struct view_entry e;
	for (unsigned i = 0; i < 3; i++) {
		uint32_t from = walk(t, folders[i][0]), to = folders[i][1][0] ? walk(t, folders[i][1]) : 0;
		assert_int_equal(view_lookup(t->view, t->s, from, "..", &e, NULL), 0);
		assert_int_equal(e.rank, to);
		view_put(t->view, &e);
		assert_int_equal(view_lookup(t->view, t->s, from, ".", &e, NULL), 0);
		assert_int_equal(e.rank, from);
		view_put(t->view, &e);
	}
	assert_int_equal(view_lookup(t->view, t->s, 0, "..", &e, NULL), ERR_NOT_FOUND);
}

static void test_view_lookup__what_is_not_there_is_not_found(void **state)
{
	struct scene *t = *state;
	static const char *const names[] = {"zzz", "A", "app.sq", "app.sqll", "b/c", "", "a\xff"};
	struct view_entry e;
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_int_equal(view_lookup(t->view, t->s, 0, names[i], &e, NULL), ERR_NOT_FOUND);
	assert_int_equal(view_lookup(t->view, t->s, walk(t, "app.sql"), "x", &e, NULL), ERR_USAGE);
	assert_int_equal(view_at(t->view, t->s, (uint32_t)t->s->root.entries + 1, &e, NULL), ERR_NOT_FOUND);
	assert_int_equal(view_at(t->view, t->s, UINT32_MAX, &e, NULL), ERR_NOT_FOUND);
}

static void stat_of(struct scene *t, const char *path, struct stat *ret)
{
	struct view_entry e;
	assert_int_equal(view_at(t->view, t->s, path[0] ? walk(t, path) : 0, &e, NULL), 0);
	view_stat(&e, ret);
	view_put(t->view, &e);
}

static void test_view_stat__is_the_sources_but_for_folders_links(void **state)
{
	struct scene *t = *state;
	static const char *const paths[] = {"", "b/c", "app.sql", "b/file"};
	for (unsigned i = 0; i < 4; i++) {
		struct stat shown, real;
		char *path = fileio_format("%s/%s", t->archive.dir, paths[i]);
		stat_of(t, paths[i], &shown);
		assert_int_equal(lstat(path, &real), 0);
		assert_int_equal(shown.st_mode, real.st_mode);
		assert_int_equal(shown.st_uid, real.st_uid);
		assert_int_equal(shown.st_mtim.tv_sec, real.st_mtim.tv_sec);
		assert_int_equal(shown.st_mtim.tv_nsec, real.st_mtim.tv_nsec);
		assert_int_equal(shown.st_nlink, S_ISDIR(real.st_mode) ? 1 : real.st_nlink);
		if (S_ISREG(real.st_mode)) {
			assert_int_equal(shown.st_size, real.st_size);
			assert_int_equal(shown.st_blocks, real.st_blocks);
		}
		free(path);
	}
}

static void test_view_stat__links_of_a_file_share_an_inode_number_and_no_node(void **state)
{
	struct scene *t = *state;
	struct stat one, two, single;
	stat_of(t, "b/file", &one);
	stat_of(t, "a/linked", &two);
	stat_of(t, "app.sql", &single);
	assert_int_equal(one.st_ino, two.st_ino);
	assert_int_equal(one.st_nlink, 2);
	assert_int_not_equal(walk(t, "b/file"), walk(t, "a/linked"));
	assert_int_equal(single.st_ino, nodeid_entry(t->s->number, walk(t, "app.sql")));
}

static void expect_ending(struct scene *t, struct endings *all, const char *ending, const char *path)
{
	uint32_t rank = 0;
	int rc = endings_find(all, t->view, t->s, ending, &rank, NULL);
	assert_int_equal(rc, path != NULL ? 0 : ERR_NOT_FOUND);
	if (path != NULL)
		assert_int_equal(rank, walk(t, path));
}

static void test_endings_find__the_top_level_alone_and_all_behind_the_first_dot(void **state)
{
	struct scene *t = *state;
	struct endings *all = endings_new();
	for (unsigned again = 0; again < 2; again++) {
		expect_ending(t, all, "sql", "app.sql");
		expect_ending(t, all, "tar.gz", "old.tar.gz");
		expect_ending(t, all, "gz", NULL);
		expect_ending(t, all, "hidden.sql", NULL);
		expect_ending(t, all, "", NULL);
	}
	endings_free(all);
}

static void test_endings_of__a_name_that_begins_or_ends_with_its_dot_has_none(void **state)
{
	(void)state;
	assert_string_equal(endings_of("app.sql"), "sql");
	assert_string_equal(endings_of("app.sql.gz"), "sql.gz");
	assert_string_equal(endings_of("a..b"), ".b");
	assert_null(endings_of("plain"));
	assert_null(endings_of(".hidden"));
	assert_null(endings_of(".hidden.sql"));
	assert_null(endings_of("dot."));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_view_lookup__every_listed_name_is_found_at_its_rank),
		cmocka_unit_test(test_view_dir_list__goes_on_from_every_offset),
		cmocka_unit_test(test_view_dir_list__shows_a_folders_own_entries_and_nothing_below),
		cmocka_unit_test(test_view_lookup__dots_lead_where_they_should),
		cmocka_unit_test(test_view_lookup__what_is_not_there_is_not_found),
		cmocka_unit_test(test_view_stat__is_the_sources_but_for_folders_links),
		cmocka_unit_test(test_view_stat__links_of_a_file_share_an_inode_number_and_no_node),
		cmocka_unit_test(test_endings_find__the_top_level_alone_and_all_behind_the_first_dot),
		cmocka_unit_test(test_endings_of__a_name_that_begins_or_ends_with_its_dot_has_none),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
