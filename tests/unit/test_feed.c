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
#include "base/host.h"
#include "feed_script.h"

static struct feed_script script;

static int setup(void **state)
{
	script.runs = 0;
	script.hook = NULL;
	script.mtime = 5;
	return archive_fixture_setup(state);
}

static int teardown(void **state)
{
	feed_script_clear(&script);
	return archive_fixture_teardown(state);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static void expect_same_root(const struct snapshot *a, const struct snapshot *b)
{
	assert_int_equal(a->root.entries, b->root.entries);
	assert_memory_equal(a->root.ref.id.b, b->root.ref.id.b, sizeof(struct id));
}

/* ---- against backup_run() ---- */

/* Tells the entry with these attributes, its bytes from where they are told. */
struct copy {
	struct feed_blob blobs[64];
	uint8_t *bytes[64];
	struct entry entries[64];
	uint8_t *keys[64];
	size_t count;
	struct archive_fixture *f;
	const struct snapshot *of;
};

static int copy_entry(void *arg, const struct entry *entry, struct error *err)
{
	struct copy *c = arg;
	size_t i = c->count++;
	struct buf path = {0};

	(void)err;
	assert_true(i < ARRAY_LEN(c->blobs));
	c->keys[i] = malloc(entry->key_len);
	assert_non_null(c->keys[i]);
	memcpy(c->keys[i], entry->key, entry->key_len);
	struct feed_step *step = feed_step_entry(&script, entry);
	step->entry.key = c->keys[i];
	step->entry.user = "root";
	step->entry.group = "root";
	step->content = (struct feed_content){.source = FEED_NONE, .is_new = true};
	if (!S_ISREG(entry->mode))
		return 0;
	entry_key_to_path(&path, entry->key, entry->key_len);
	buf_put_u8(&path, 0);
	struct buf bytes = {0};
	archive_fixture_read(c->f->repo, c->of, (const char *)path.data, &bytes);
	c->bytes[i] = bytes.data;
	c->blobs[i] = (struct feed_blob){.data = bytes.data, .len = (size_t)entry->size};
	step->blob = &c->blobs[i];
	step->content.source = FEED_READ;
	buf_release(&path);
	return 0;
}

static void test_feed_run__a_told_tree_is_the_same_as_a_walked_one(void **state)
{
	struct archive_fixture *f = *state;
	struct backup_result walked, told;
	static const size_t sizes[] = {0, 1, 5000, 70000, (256 << 10) - 1, 256 << 10, (5 << 20) + 17};
	struct copy *c = calloc(1, sizeof(*c));
	struct error err = ERROR_INIT;
	char name[32];

	assert_non_null(c);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		uint8_t *p = archive_fixture_bytes(sizes[i], (uint32_t)i);
		snprintf(name, sizeof(name), i % 2 == 0 ? "f%zu" : "d/e%zu/f", i);
		archive_fixture_write(f, name, p, sizes[i]);
		free(p);
	}
	archive_fixture_backup(f, &walked);
	c->f = f;
	c->of = walked.snapshot;
	struct reader *reader = feed_script_reader(f);
	assert_int_equal(tree_range(reader_nodes(reader), &walked.snapshot->root, 0, walked.snapshot->root.entries,
				 NULL, copy_entry, c, &err),
		0);
	feed_script_run(f, &script, NULL, reader, &told);
	expect_same_root(walked.snapshot, told.snapshot);
	assert_int_equal(told.files, walked.files);
	assert_int_equal(told.dirs, walked.dirs);
	assert_int_equal(told.bytes, walked.bytes);
	assert_int_equal(told.new_files, walked.files);
	assert_int_equal(told.new_bytes, 0);
	for (size_t i = 0; i < c->count; i++) {
		assert_int_equal(c->blobs[i].opened, c->blobs[i].closed);
		free(c->bytes[i]);
		free(c->keys[i]);
	}
	free(c);
	reader_close(reader);
	snapshot_free(walked.snapshot);
	snapshot_free(told.snapshot);
}

/* ---- stretches ---- */

/* A tree of many entries told as empty files and links: "d000/f0000" … */
static void tell_many(unsigned dirs, unsigned files)
{
	char path[64];

	for (unsigned d = 0; d < dirs; d++) {
		snprintf(path, sizeof(path), "d%03u", d);
		feed_step_dir(&script, path);
	}
	for (unsigned d = 0; d < dirs; d++) {
		for (unsigned i = 0; i < files; i++) {
			snprintf(path, sizeof(path), "d%03u/f%04u", d, i);
			if (i % 7 == 3)
				feed_step_link(&script, path, "to");
			else
				feed_step_empty(&script, path);
		}
	}
}

static void make_base(struct archive_fixture *f, struct reader *reader, struct backup_result *ret)
{
	feed_script_run(f, &script, NULL, reader, ret);
}

static void test_feed_range__the_whole_base_is_no_snapshot(void **state)
{
	struct archive_fixture *f = *state;
	struct reader *reader = feed_script_reader(f);
	struct backup_result base, next;

	tell_many(3, 900);
	make_base(f, reader, &base);
	assert_int_equal(base.others, 3 * 129);
	feed_script_clear(&script);
	feed_step_range(&script, 0, base.snapshot->root.entries);
	feed_script_run(f, &script, base.snapshot, reader, &next);
	assert_null(next.snapshot);
	script.mtime++;
	feed_script_run(f, &script, base.snapshot, reader, &next);
	assert_non_null(next.snapshot);
	expect_same_root(base.snapshot, next.snapshot);
	assert_int_equal(next.files, base.files);
	assert_int_equal(next.dirs, base.dirs);
	assert_int_equal(next.others, base.others);
	assert_memory_equal(next.snapshot->parent.b, base.snapshot->id.b, sizeof(struct id));
	snapshot_free(base.snapshot);
	snapshot_free(next.snapshot);
	reader_close(reader);
}

static void test_feed_range__random_stretches_and_entries_make_the_tree_of_all_told_anew(void **state)
{
	struct archive_fixture *f = *state;
	struct reader *reader = feed_script_reader(f);
	struct backup_result base, a, b;
	struct error err = ERROR_INIT;

	tell_many(4, 900);
	make_base(f, reader, &base);
	srandom(7);
	for (int round = 0; round < 12; round++) {
		struct node_source *nodes = reader_nodes(reader);
		uint64_t n = base.snapshot->root.entries;
		const struct node *leaves[128];
		unsigned pinned = 0;
		/* Stretches with single entries dropped, changed or added between them. */
		feed_script_clear(&script);
		for (uint64_t at = 0; at < n && pinned < ARRAY_LEN(leaves);) {
			uint64_t end = at + (uint64_t)random() % (round % 3 == 0 ? 60 : 2500);
			end = end > n ? n : end;
			feed_step_range(&script, at, end);
			at = end + (round % 2 == 0 ? 1 : (uint64_t)random() % 30);
			if (end == n || random() % 3 == 0)
				continue;
			const struct entry *e;
			assert_int_equal(tree_at(nodes, &base.snapshot->root, end, &leaves[pinned], &e, &err), 0);
			pinned++;
			struct feed_step *step = feed_step_entry(&script, e);
			step->entry.mtime.sec = random();
			if (at == end)
				at++;
		}
		script.mtime++;
		feed_script_run(f, &script, base.snapshot, reader, &a);
		/* The same, entry by entry, with no base to take from. */
		feed_script_clear(&script);
		for (uint64_t i = 0; i < a.snapshot->root.entries; i++) {
			const struct node *leaf;
			const struct entry *e;
			assert_int_equal(tree_at(nodes, &a.snapshot->root, i, &leaf, &e, &err), 0);
			struct feed_step *step = feed_step_entry(&script, e);
			step->key = malloc(e->key_len);
			assert_non_null(step->key);
			memcpy(step->key, e->key, e->key_len);
			step->entry.key = step->key;
			step->entry.user = "u";
			step->entry.group = "g";
			step->entry.target = e->target_len > 0 ? (const uint8_t *)"to" : NULL;
			step->content = (struct feed_content){.source = FEED_NONE};
			nodes->put(nodes, leaf);
		}
		feed_script_run(f, &script, NULL, reader, &b);
		expect_same_root(a.snapshot, b.snapshot);
		assert_int_equal(a.files, b.files);
		assert_int_equal(a.dirs, b.dirs);
		assert_int_equal(a.others, b.others);
		assert_int_equal(a.bytes, b.bytes);
		snapshot_free(a.snapshot);
		snapshot_free(b.snapshot);
		while (pinned > 0)
			nodes->put(nodes, leaves[--pinned]);
	}
	snapshot_free(base.snapshot);
	reader_close(reader);
}

static void test_feed_range__renamed_is_as_if_all_were_told_with_new_keys(void **state)
{
	struct archive_fixture *f = *state;
	struct reader *reader = feed_script_reader(f);
	struct backup_result base, moved, anew;
	char path[64];

	tell_many(2, 1500);
	make_base(f, reader, &base);
	feed_script_clear(&script);
	feed_step_range(&script, 0, 1);
	feed_step_dir(&script, "e");
	feed_step_range(&script, 2, 1502);
	feed_step_range(&script, 1502, 3002);
	script.steps[script.count - 1].old_prefix = "d001";
	script.steps[script.count - 1].new_prefix = "e";
	feed_script_run(f, &script, base.snapshot, reader, &moved);
	feed_script_clear(&script);
	feed_step_dir(&script, "d000");
	feed_step_dir(&script, "e");
	for (unsigned d = 0; d < 2; d++) {
		for (unsigned i = 0; i < 1500; i++) {
			snprintf(path, sizeof(path), "%s/f%04u", d == 0 ? "d000" : "e", i);
			if (i % 7 == 3)
				feed_step_link(&script, path, "to");
			else
				feed_step_empty(&script, path);
		}
	}
	feed_script_run(f, &script, NULL, reader, &anew);
	expect_same_root(moved.snapshot, anew.snapshot);
	assert_int_equal(moved.others, anew.others);
	assert_int_equal(moved.others, base.others);
	snapshot_free(base.snapshot);
	snapshot_free(moved.snapshot);
	snapshot_free(anew.snapshot);
	reader_close(reader);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_feed_run__a_told_tree_is_the_same_as_a_walked_one),
		CASE(test_feed_range__the_whole_base_is_no_snapshot),
		CASE(test_feed_range__random_stretches_and_entries_make_the_tree_of_all_told_anew),
		CASE(test_feed_range__renamed_is_as_if_all_were_told_with_new_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
