/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/checked.h"
#include "feed_script.h"

static const char whole_dump[] = "--\n-- PostgreSQL database dump\n--\n\nCREATE TABLE t ();\n\n"
				 "--\n-- PostgreSQL database dump complete\n--\n\n";
static const char cut_dump[] = "--\n-- PostgreSQL database dump\n--\n\nCREATE TABLE t ();\n";

static struct feed_script script;
static struct reader *reader;

static int setup(void **state)
{
	int r = archive_fixture_setup(state);

	script.runs = 0;
	script.hook = NULL;
	reader = feed_script_reader(*state);
	return r;
}

static int teardown(void **state)
{
	feed_script_clear(&script);
	reader_close(reader);
	return archive_fixture_teardown(state);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static struct feed_blob text(const char *s)
{
	return (struct feed_blob){.data = (const uint8_t *)s, .len = strlen(s)};
}

static struct snapshot *run(struct archive_fixture *f, const struct snapshot *base)
{
	struct backup_result result;

	script.mtime++;
	feed_script_run(f, &script, base, reader, &result);
	feed_script_clear(&script);
	assert_non_null(result.snapshot);
	return result.snapshot;
}

/* "app.sql" cut short, and beside it what is good. */
static struct snapshot *run_cut(struct archive_fixture *f)
{
	struct feed_blob cut = text(cut_dump), other = text("other");

	feed_step_read(&script, "app.sql", &cut);
	feed_step_read(&script, "other", &other);
	struct snapshot *s = run(f, NULL);
	assert_int_equal(s->state, SNAPSHOT_PARTIAL);
	assert_int_equal(s->check_count, 1);
	return s;
}

static void expect_verdict(const struct snapshot *s, const char *path, bool ok)
{
	for (unsigned i = 0; i < s->check_count; i++) {
		if (strcmp(s->checks[i].path, path) == 0) {
			assert_int_equal(s->checks[i].ok, ok);
			return;
		}
	}
	fail_msg("'%s' was not judged", path);
}

static void test_feed_checks__a_cut_dump_stays_bad_until_it_is_replaced(void **state)
{
	struct archive_fixture *f = *state;
	struct snapshot *base = run_cut(f), *next, *last;
	struct feed_blob good = text(whole_dump);

	feed_step_range(&script, 0, 1);
	feed_step_empty(&script, "other");
	next = run(f, base);
	assert_int_equal(next->state, SNAPSHOT_PARTIAL);
	expect_verdict(next, "app.sql", false);
	assert_int_equal(next->check_count, 1);
	feed_step_read(&script, "app.sql", &good);
	feed_step_range(&script, 1, 2);
	last = run(f, next);
	assert_int_equal(last->state, SNAPSHOT_WHOLE);
	expect_verdict(last, "app.sql", true);
	assert_int_equal(last->check_count, 1);
	snapshot_free(base);
	snapshot_free(next);
	snapshot_free(last);
}

static void test_feed_checks__a_cut_dump_that_is_removed_is_forgotten(void **state)
{
	struct archive_fixture *f = *state;
	struct snapshot *base = run_cut(f), *next;

	feed_step_range(&script, 1, 2);
	next = run(f, base);
	assert_int_equal(next->state, SNAPSHOT_WHOLE);
	assert_int_equal(next->check_count, 0);
	snapshot_free(base);
	snapshot_free(next);
}

static void test_feed_checks__other_attributes_or_another_name_change_no_verdict(void **state)
{
	struct archive_fixture *f = *state;
	struct snapshot *base = run_cut(f), *next;
	struct archive_found found;

	assert_true(archive_fixture_find(f->repo, base, "app.sql", &found));
	struct feed_step *step = feed_step_entry(&script, found.entry);
	step->entry.mode = S_IFREG | 0600;
	next = run(f, base);
	assert_int_equal(next->state, SNAPSHOT_PARTIAL);
	expect_verdict(next, "app.sql", false);
	snapshot_free(next);
	step = feed_step_add(&script, "moved.sql", S_IFREG | 0600);
	step->entry.size = found.entry->size;
	step->content = (struct feed_content){.source = FEED_ENTRY, .entry = found.entry};
	next = run(f, base);
	assert_int_equal(next->state, SNAPSHOT_PARTIAL);
	expect_verdict(next, "moved.sql", false);
	assert_int_equal(next->check_count, 1);
	archive_fixture_expect(f->repo, next, "moved.sql", cut_dump, sizeof(cut_dump) - 1);
	archive_fixture_let_go(&found);
	snapshot_free(base);
	snapshot_free(next);
}

static void test_feed_checks__what_comes_from_below_is_read_for_its_verdict(void **state)
{
	struct archive_fixture *f = *state;
	struct feed_blob cut = text(cut_dump);
	struct archive_found found;
	struct snapshot *base, *next;

	feed_step_dir(&script, "tmp");
	feed_step_read(&script, "tmp/app.sql.part", &cut);
	base = run(f, NULL);
	assert_int_equal(base->state, SNAPSHOT_WHOLE);
	assert_true(archive_fixture_find(f->repo, base, "tmp/app.sql.part", &found));
	struct feed_step *step = feed_step_add(&script, "app.sql", S_IFREG | 0600);
	step->entry.size = found.entry->size;
	step->content = (struct feed_content){.source = FEED_ENTRY, .entry = found.entry};
	feed_step_dir(&script, "tmp");
	next = run(f, base);
	assert_int_equal(next->state, SNAPSHOT_PARTIAL);
	expect_verdict(next, "app.sql", false);
	struct archive_found moved;
	assert_true(archive_fixture_find(f->repo, next, "app.sql", &moved));
	assert_memory_equal(moved.entry->content.b, found.entry->content.b, sizeof(struct id));
	archive_fixture_let_go(&moved);
	archive_fixture_let_go(&found);
	snapshot_free(base);
	snapshot_free(next);
}

static void test_feed_checks__an_empty_dump_moved_to_the_top_is_bad(void **state)
{
	struct archive_fixture *f = *state;
	struct archive_found found;
	struct snapshot *base, *next;

	feed_step_dir(&script, "tmp");
	feed_step_empty(&script, "tmp/part");
	base = run(f, NULL);
	assert_int_equal(base->state, SNAPSHOT_WHOLE);
	assert_true(archive_fixture_find(f->repo, base, "tmp/part", &found));
	struct feed_step *step = feed_step_add(&script, "app.sql", S_IFREG | 0600);
	step->content = (struct feed_content){.source = FEED_ENTRY, .entry = found.entry};
	feed_step_dir(&script, "tmp");
	next = run(f, base);
	assert_int_equal(next->state, SNAPSHOT_PARTIAL);
	expect_verdict(next, "app.sql", false);
	archive_fixture_let_go(&found);
	snapshot_free(base);
	snapshot_free(next);
}

static void test_feed_checks__a_dump_changed_in_part_is_judged_as_a_whole(void **state)
{
	struct archive_fixture *f = *state;
	size_t len = 2 << 20;
	char *data = malloc(len + 1);
	struct archive_found found;
	struct snapshot *base, *next;

	assert_non_null(data);
	memset(data, '\n', len);
	memcpy(data, whole_dump, 60);
	memcpy(data + len - 60, whole_dump + sizeof(whole_dump) - 1 - 60, 60);
	struct feed_blob blob = {.data = (uint8_t *)data, .len = len};
	feed_step_read(&script, "app.sql", &blob);
	base = run(f, NULL);
	expect_verdict(base, "app.sql", true);
	assert_true(archive_fixture_find(f->repo, base, "app.sql", &found));
	memset(data + len - 60, 'x', 60);
	const struct feed_range change = {.off = len - 60, .len = 60};
	struct feed_step *step = feed_step_read(&script, "app.sql", &blob);
	step->content = (struct feed_content){
		.source = FEED_PATCH, .entry = found.entry, .changes = &change, .change_count = 1};
	next = run(f, base);
	expect_verdict(next, "app.sql", false);
	assert_int_equal(next->state, SNAPSHOT_PARTIAL);
	archive_fixture_let_go(&found);
	snapshot_free(base);
	snapshot_free(next);
	free(data);
}

/* ---- folders written by pg_dump -Fd ---- */

static const char *const dump_names[] = {
	"3344.dat.gz", "3345.dat.gz", "blob_16401.dat.gz", "blob_16402.dat.gz", "blobs.toc", "toc.dat"};
static uint8_t *dump_data[6];
static struct feed_blob dump_blobs[6];

static void load_dump(void)
{
	const char *slash = strrchr(__FILE__, '/'), *dir = getenv("DRFS_FIXTURES");
	char path[1000];

	for (size_t i = 0; i < ARRAY_LEN(dump_names); i++) {
		if (dir != NULL)
			snprintf(path, sizeof(path), "%s/complete/dir/%s", dir, dump_names[i]);
		else
			snprintf(path, sizeof(path), "%.*s../fixtures/complete/dir/%s",
				slash == NULL ? 0 : (int)(slash - __FILE__) + 1, __FILE__, dump_names[i]);
		FILE *file = fopen(path, "rb");
		dump_data[i] = malloc(1 << 16);
		assert_non_null(dump_data[i]);
		assert_non_null(file);
		size_t len = fread(dump_data[i], 1, 1 << 16, file);
		fclose(file);
		dump_blobs[i] = (struct feed_blob){.data = dump_data[i], .len = len};
	}
}

static void free_dump(void)
{
	for (size_t i = 0; i < ARRAY_LEN(dump_names); i++)
		free(dump_data[i]);
}

static void tell_dump(const char *folder, unsigned without)
{
	char path[64];

	for (unsigned i = 0; i < ARRAY_LEN(dump_names); i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, dump_names[i]);
		if (i != without)
			feed_step_read(&script, path, &dump_blobs[i]);
	}
}

static void test_feed_checks__a_dumped_folder_is_judged_when_any_of_its_files_change(void **state)
{
	struct archive_fixture *f = *state;
	struct snapshot *base, *next, *last;

	load_dump();
	feed_step_dir(&script, "dump");
	tell_dump("dump", 9);
	base = run(f, NULL);
	expect_verdict(base, "dump", true);
	/* One of its files is removed: the folder is told, the rest stays. */
	feed_step_dir(&script, "dump");
	feed_step_range(&script, 2, 7);
	next = run(f, base);
	expect_verdict(next, "dump", false);
	assert_int_equal(next->state, SNAPSHOT_PARTIAL);
	assert_int_equal(next->check_count, 1);
	/* It stays bad while nothing is done about it, also when other things change. */
	feed_step_empty(&script, "another");
	feed_step_range(&script, 0, 6);
	last = run(f, next);
	expect_verdict(last, "dump", false);
	snapshot_free(last);
	/* And is whole again with the file. */
	feed_step_dir(&script, "dump");
	feed_step_read(&script, "dump/3344.dat.gz", &dump_blobs[0]);
	feed_step_range(&script, 1, 6);
	last = run(f, next);
	expect_verdict(last, "dump", true);
	assert_int_equal(last->state, SNAPSHOT_WHOLE);
	snapshot_free(base);
	snapshot_free(next);
	snapshot_free(last);
	free_dump();
}

static void test_feed_checks__a_dumped_folder_is_judged_under_its_new_name(void **state)
{
	struct archive_fixture *f = *state;
	struct snapshot *base, *next;

	load_dump();
	feed_step_dir(&script, "dump.part");
	tell_dump("dump.part", 0);
	base = run(f, NULL);
	expect_verdict(base, "dump.part", false);
	feed_step_dir(&script, "dump");
	feed_step_range(&script, 1, 6);
	script.steps[1].old_prefix = "dump.part";
	script.steps[1].new_prefix = "dump";
	next = run(f, base);
	expect_verdict(next, "dump", false);
	assert_int_equal(next->check_count, 1);
	snapshot_free(next);
	/* With the missing file it is whole. */
	feed_step_dir(&script, "dump");
	feed_step_read(&script, "dump/3344.dat.gz", &dump_blobs[0]);
	feed_step_range(&script, 1, 6);
	script.steps[2].old_prefix = "dump.part";
	script.steps[2].new_prefix = "dump";
	next = run(f, base);
	expect_verdict(next, "dump", true);
	snapshot_free(base);
	snapshot_free(next);
	free_dump();
}

static void test_feed_checks__a_dump_that_is_the_dataset_itself(void **state)
{
	struct archive_fixture *f = *state;
	struct snapshot *base, *next;

	load_dump();
	for (unsigned i = 0; i < ARRAY_LEN(dump_names); i++)
		feed_step_read(&script, dump_names[i], &dump_blobs[i]);
	base = run(f, NULL);
	expect_verdict(base, ".", true);
	feed_step_range(&script, 1, 6);
	next = run(f, base);
	expect_verdict(next, ".", false);
	snapshot_free(base);
	snapshot_free(next);
	free_dump();
}

static void test_feed_checks__a_dumps_file_that_is_cut_makes_it_bad_wherever_it_goes(void **state)
{
	struct archive_fixture *f = *state;
	struct snapshot *base, *next, *last;

	load_dump();
	size_t whole = dump_blobs[0].len;
	dump_blobs[0].len /= 2;
	feed_step_dir(&script, "dump");
	tell_dump("dump", 9);
	base = run(f, NULL);
	assert_int_equal(base->state, SNAPSHOT_PARTIAL);
	expect_verdict(base, "dump", false);
	expect_verdict(base, "dump/3344.dat.gz", false);
	assert_int_equal(base->check_count, 2);
	/* It stays; and so it does when the folder is looked at again. */
	feed_step_empty(&script, "another");
	feed_step_range(&script, 0, 7);
	next = run(f, base);
	expect_verdict(next, "dump", false);
	expect_verdict(next, "dump/3344.dat.gz", false);
	assert_int_equal(next->check_count, 2);
	snapshot_free(next);
	feed_step_dir(&script, "dump");
	feed_step_empty(&script, "dump/0000");
	feed_step_range(&script, 1, 7);
	next = run(f, base);
	expect_verdict(next, "dump", false);
	assert_int_equal(next->check_count, 2);
	snapshot_free(next);
	/* It is moved. */
	feed_step_dir(&script, "moved");
	feed_step_range(&script, 1, 7);
	script.steps[1].old_prefix = "dump";
	script.steps[1].new_prefix = "moved";
	next = run(f, base);
	expect_verdict(next, "moved", false);
	expect_verdict(next, "moved/3344.dat.gz", false);
	assert_int_equal(next->check_count, 2);
	/* It is whole. */
	dump_blobs[0].len = whole;
	feed_step_dir(&script, "moved");
	feed_step_read(&script, "moved/3344.dat.gz", &dump_blobs[0]);
	feed_step_range(&script, 2, 7);
	last = run(f, next);
	assert_int_equal(last->state, SNAPSHOT_WHOLE);
	assert_int_equal(last->check_count, 1);
	snapshot_free(base);
	snapshot_free(next);
	snapshot_free(last);
	free_dump();
}

static void test_feed_checks__files_that_came_before_the_table_of_contents_are_judged_with_it(void **state)
{
	struct archive_fixture *f = *state;
	struct snapshot *base, *next;

	load_dump();
	dump_blobs[0].len /= 2;
	feed_step_dir(&script, "dump");
	feed_step_read(&script, "dump/3344.dat.gz", &dump_blobs[0]);
	feed_step_read(&script, "dump/3345.dat.gz", &dump_blobs[1]);
	base = run(f, NULL);
	assert_int_equal(base->state, SNAPSHOT_WHOLE); /* no dump yet */
	assert_int_equal(base->check_count, 0);
	feed_step_range(&script, 0, 3);
	for (unsigned i = 2; i < ARRAY_LEN(dump_names); i++) {
		char path[64];
		snprintf(path, sizeof(path), "dump/%s", dump_names[i]);
		feed_step_read(&script, path, &dump_blobs[i]);
	}
	next = run(f, base);
	assert_int_equal(next->state, SNAPSHOT_PARTIAL);
	expect_verdict(next, "dump", false);
	expect_verdict(next, "dump/3344.dat.gz", false);
	snapshot_free(base);
	snapshot_free(next);
	free_dump();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_feed_checks__a_cut_dump_stays_bad_until_it_is_replaced),
		CASE(test_feed_checks__a_cut_dump_that_is_removed_is_forgotten),
		CASE(test_feed_checks__other_attributes_or_another_name_change_no_verdict),
		CASE(test_feed_checks__what_comes_from_below_is_read_for_its_verdict),
		CASE(test_feed_checks__an_empty_dump_moved_to_the_top_is_bad),
		CASE(test_feed_checks__a_dump_changed_in_part_is_judged_as_a_whole),
		CASE(test_feed_checks__a_dumped_folder_is_judged_when_any_of_its_files_change),
		CASE(test_feed_checks__a_dumped_folder_is_judged_under_its_new_name),
		CASE(test_feed_checks__a_dump_that_is_the_dataset_itself),
		CASE(test_feed_checks__a_dumps_file_that_is_cut_makes_it_bad_wherever_it_goes),
		CASE(test_feed_checks__files_that_came_before_the_table_of_contents_are_judged_with_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
