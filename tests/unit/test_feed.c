/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "archive/feed_impl.h"
#include "archive/mark.h"
#include "archive/object.h"
#include "archive/prunelist.h"
#include "archive/snapshot_void.h"
#include "base/checked.h"
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

/* Many files at the top, told without writing them down. */
struct many {
	unsigned count;
};

static struct many *tell_all(unsigned count)
{
	struct many *m = calloc(1, sizeof(*m));

	assert_non_null(m);
	m->count = count;
	return m;
}

static int tell_all_of(void *arg, struct feed *f, struct error *err)
{
	const struct many *m = arg;
	struct entry e = {.mode = S_IFDIR | 0755, .user = "u", .group = "g", .nlink = 1, .xattr_ref = EXTENT_HOLE};
	int r = feed_root(f, &e, err);

	e.mode = S_IFREG | 0644;
	for (unsigned i = 0; r == 0 && i < m->count; i++) {
		char name[16];
		struct buf key = {0};
		snprintf(name, sizeof(name), "f%07u", i);
		entry_key_put(&key, NULL, 0, name, strlen(name));
		e.key = key.data;
		e.key_len = key.len;
		r = feed_entry(f, &e, NULL, err);
		buf_release(&key);
	}
	return r;
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

static void test_feed_range__one_change_among_many_entries_stores_few_nodes(void **state)
{
	struct archive_fixture *f = *state;
	struct reader *reader = feed_script_reader(f);
	struct backup_result base, next;
	struct feed_blob blob = {.data = (const uint8_t *)"changed", .len = 7};
	struct many *all = tell_all(20000);

	struct feed_options options = feed_script_options(f, &script, NULL, reader);
	options.feed = tell_all_of;
	options.arg = all;
	struct error err = ERROR_INIT;
	assert_int_equal(feed_run(f->repo, f->catalog, &options, &base, &err), 0);
	assert_int_equal(base.files, 20000);
	feed_step_range(&script, 0, 9000);
	feed_step_read(&script, "f0009000", &blob)->content.is_new = false;
	script.steps[1].content.is_changed = true;
	feed_step_range(&script, 9001, 20000);
	feed_script_run(f, &script, base.snapshot, reader, &next);
	assert_int_equal(next.files, 20000);
	assert_int_equal(next.changed_files, 1);
	assert_int_equal(next.unchanged_files, 19999);
	assert_int_equal(next.bytes, 7);
	/* Two leaves at most, the way up, and the right edge: not half of what all takes, however the cuts fall. */
	assert_true(next.stored_bytes < base.stored_bytes / 2);
	archive_fixture_expect(f->repo, next.snapshot, "f0009000", "changed", 7);
	assert_true(archive_fixture_has(f->repo, next.snapshot, "f0019999"));
	snapshot_free(base.snapshot);
	snapshot_free(next.snapshot);
	free(all);
	reader_close(reader);
}

/* ---- entries ---- */

static void test_feed_entry__links_of_a_file_are_read_once(void **state)
{
	struct archive_fixture *f = *state;
	struct reader *reader = feed_script_reader(f);
	struct backup_result result;
	uint8_t *data = archive_fixture_bytes(100000, 3);
	struct feed_blob blob = {.data = data, .len = 100000};

	for (int i = 0; i < 3; i++) {
		static const char *const names[] = {"a", "b", "c"};
		struct feed_step *step = feed_step_read(&script, names[i], &blob);
		step->entry.link_group = 77;
		step->entry.nlink = 3;
	}
	feed_script_run(f, &script, NULL, reader, &result);
	assert_int_equal(blob.read, 100000);
	assert_int_equal(blob.opened, 3);
	assert_int_equal(blob.closed, 3);
	assert_int_equal(result.snapshot->link_max, 77);
	archive_fixture_expect(f->repo, result.snapshot, "c", data, 100000);
	snapshot_free(result.snapshot);
	free(data);
	reader_close(reader);
}

static void test_feed_entry__a_failing_reader_fails_the_run_with_its_error(void **state)
{
	struct archive_fixture *f = *state;
	struct reader *reader = feed_script_reader(f);
	static const size_t sizes[] = {1000, 3 << 20};

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		uint8_t *data = archive_fixture_bytes(sizes[i], 3);
		struct feed_blob good = {.data = data, .len = 10}, bad = {.data = data, .len = sizes[i]};
		struct backup_result result;
		struct error err = ERROR_INIT;
		bad.fail_at = sizes[i] - 1;
		feed_step_read(&script, "a", &good);
		feed_step_read(&script, "b", &bad);
		feed_step_read(&script, "c", &good);
		assert_int_equal(feed_script_try(f, &script, NULL, reader, &result, &err), ERR_IO);
		assert_string_equal(error_text(&err), "the blob is broken");
		assert_int_equal(good.opened, good.closed);
		assert_int_equal(bad.opened, bad.closed);
		feed_script_clear(&script);
		free(data);
	}
	reader_close(reader);
}

static void test_feed_entry__a_file_written_again_as_it_was_is_not_stored_again(void **state)
{
	struct archive_fixture *f = *state;
	struct reader *reader = feed_script_reader(f);
	struct backup_result base, next;
	uint8_t *data = archive_fixture_bytes(5000, 3);
	struct feed_blob one = {.data = data, .len = 5000}, two = {.data = data + 7, .len = 4000};

	feed_step_read(&script, "a", &one);
	feed_step_read(&script, "b", &two);
	feed_script_run(f, &script, NULL, reader, &base);
	feed_script_clear(&script);
	feed_step_range(&script, 0, 1);
	struct feed_step *step = feed_step_read(&script, "b", &two);
	step->content.is_new = false;
	step->content.is_changed = true;
	feed_script_run(f, &script, base.snapshot, reader, &next);
	assert_null(next.snapshot);
	assert_int_equal(two.opened, two.closed);
	snapshot_free(base.snapshot);
	free(data);
	reader_close(reader);
}

static void test_feed_entry__many_xattrs_come_through_a_piece(void **state)
{
	struct archive_fixture *f = *state;
	struct reader *reader = feed_script_reader(f);
	struct backup_result base, next;
	struct archive_found found;
	struct buf xattrs = {0}, got = {0};
	uint8_t *value = archive_fixture_bytes(9000, 3);

	xattr_put(&xattrs, "user.large", value, 9000);
	feed_step_dir(&script, "d");
	script.steps[0].entry.xattrs = xattrs.data;
	script.steps[0].entry.xattrs_len = xattrs.len;
	feed_script_run(f, &script, NULL, reader, &base);
	feed_script_clear(&script);
	assert_true(archive_fixture_find(f->repo, base.snapshot, "d", &found));
	assert_int_not_equal(found.entry->xattr_ref, EXTENT_HOLE);
	feed_step_entry(&script, found.entry);
	feed_script_run(f, &script, base.snapshot, reader, &next);
	assert_null(next.snapshot);
	script.steps[0].entry.mode = S_IFDIR | 0700;
	feed_script_run(f, &script, base.snapshot, reader, &next);
	archive_fixture_let_go(&found);
	assert_true(archive_fixture_find(f->repo, next.snapshot, "d", &found));
	assert_int_equal(entry_xattrs(reader_nodes(found.reader), found.entry, &got, NULL), 0);
	assert_int_equal(got.len, xattrs.len);
	assert_memory_equal(got.data, xattrs.data, got.len);
	archive_fixture_let_go(&found);
	snapshot_free(base.snapshot);
	snapshot_free(next.snapshot);
	buf_release(&xattrs);
	buf_release(&got);
	free(value);
	reader_close(reader);
}

static void test_feed_entry__out_of_order_is_refused(void **state)
{
	struct archive_fixture *f = *state;
	struct reader *reader = feed_script_reader(f);
	struct backup_result result;
	struct error err = ERROR_INIT;

	feed_step_empty(&script, "b");
	feed_step_empty(&script, "a");
	assert_int_equal(feed_script_try(f, &script, NULL, reader, &result, &err), ERR_BUG);
	reader_close(reader);
}

/* ---- the run ---- */

static int note_twice(void *arg, struct feed *f, struct error *err)
{
	(void)err;
	feed_note(f, "new.sql", "was never closed", *(bool *)arg);
	return 0;
}

static void test_feed_note__stands_in_the_statement(void **state)
{
	struct archive_fixture *f = *state;
	struct reader *reader = feed_script_reader(f);
	struct backup_result result;

	for (int i = 0; i < 2; i++) {
		bool missing = i == 1;
		script.hook = note_twice;
		script.hook_arg = &missing;
		feed_script_run(f, &script, NULL, reader, &result);
		assert_int_equal(result.snapshot->state, missing ? SNAPSHOT_INCOMPLETE : SNAPSHOT_WHOLE);
		assert_int_equal(result.snapshot->note_count, 1);
		assert_string_equal(result.snapshot->notes[0], "new.sql: was never closed");
		snapshot_free(result.snapshot);
	}
	reader_close(reader);
}

/* A prune ends the session while it is told for the first time. */
static int end_session(void *arg, struct feed *f, struct error *err)
{
	struct session *s = f->b->session;
	struct buf object = {0};
	char name[FORMAT_NAME_MAX];
	int r = 0;

	(void)arg;
	if (script.runs == 1) {
		object_name(KIND_SNAPSHOT, 0, &s->id, name);
		r = snapshot_void_seal(s->repo, &s->id, s->key, &object, err);
		if (r == 0)
			r = store_put_mem(s->repo->store, NULL, name, object.data, object.len, NULL, err);
	}
	buf_release(&object);
	return r;
}

static void test_feed_run__a_session_that_was_ended_is_begun_again(void **state)
{
	struct archive_fixture *f = *state;
	struct reader *reader = feed_script_reader(f);
	struct backup_result result;
	struct feed_blob blob = {.data = (const uint8_t *)"bytes", .len = 5};

	script.hook = end_session;
	feed_step_dir(&script, "d");
	feed_step_read(&script, "d/a", &blob);
	feed_script_run(f, &script, NULL, reader, &result);
	assert_int_equal(script.runs, 2);
	assert_int_equal(result.files, 1);
	assert_int_equal(blob.opened, 2);
	assert_int_equal(blob.closed, 2);
	archive_fixture_expect(f->repo, result.snapshot, "d/a", "bytes", 5);
	snapshot_free(result.snapshot);
	reader_close(reader);
}

static void test_feed_run__without_change_it_leaves_no_session(void **state)
{
	struct archive_fixture *f = *state;
	struct reader *reader = feed_script_reader(f);
	struct backup_result base, next;
	struct error err = ERROR_INIT;
	const struct snapset *set = NULL;

	feed_step_empty(&script, "a");
	feed_script_run(f, &script, NULL, reader, &base);
	feed_script_run(f, &script, base.snapshot, reader, &next);
	assert_null(next.snapshot);
	assert_int_equal(snapset_load(f->repo, f->catalog, NULL, &set, &err), 0);
	assert_int_equal(set->count, 1);
	assert_int_equal(set->void_count, 1);
	snapset_unref(set);
	snapshot_free(base.snapshot);
	reader_close(reader);
}

/* ---- condemned packs ---- */

static int expect_unbanned(void *arg, const struct entry *entry, struct error *err)
{
	const struct id *pack = arg;

	(void)err;
	for (uint32_t i = 0; i < entry->extent_count; i++)
		assert_memory_not_equal(entry->refs[entry->extents[i].ref].chain[0].pack.b, pack->b, sizeof(pack->b));
	return 0;
}

/* The index has every chunk of the file, in other packs. */
static void expect_indexed(struct archive_fixture *f, const struct archive_found *found, const struct id *pack)
{
	struct extent_reader *extents = NULL;
	struct error err = ERROR_INIT;
	uint64_t length = 0;

	assert_int_equal(extent_reader_new(reader_nodes(found->reader), found->entry, &extents, &err), 0);
	for (uint64_t at = 0; at < found->entry->size; at += length) {
		const struct chunk_ref *ref;
		struct catalog_chunk row;
		uint32_t offset;
		assert_int_equal(extent_reader_at(extents, at, &length, &ref, &offset, &err), 0);
		assert_int_equal(catalog_chunk_find(f->catalog, 0, ref->id.b, &row, &err), 0);
		assert_memory_not_equal(row.pack, pack->b, sizeof(pack->b));
	}
	extent_reader_free(extents);
}

static void test_feed_run__what_lies_in_a_condemned_pack_is_stored_anew(void **state)
{
	struct archive_fixture *f = *state;
	struct reader *reader = feed_script_reader(f);
	struct backup_result base, next;
	struct error err = ERROR_INIT;
	struct archive_found found;
	uint8_t *data = archive_fixture_bytes(600000, 3);
	struct feed_blob small = {.data = data, .len = 1000}, large = {.data = data, .len = 600000};

	archive_fixture_small_chunks(f);
	feed_step_read(&script, "a", &small);
	feed_step_read(&script, "b", &small);
	feed_step_read(&script, "large", &large);
	feed_script_run(f, &script, NULL, reader, &base);
	assert_true(archive_fixture_find(f->repo, base.snapshot, "a", &found));
	const struct id pack = found.entry->refs[found.entry->extents[0].ref].chain[0].pack;
	assert_int_equal(prunelist_put(f->repo, 1, false, &pack, 1, NULL, 0, &err), 0);
	feed_script_clear(&script);
	struct feed_step *step = feed_step_entry(&script, found.entry);
	step->entry.mode = S_IFREG | 0600;
	feed_step_range(&script, 1, 3);
	feed_script_run(f, &script, base.snapshot, reader, &next);
	archive_fixture_let_go(&found);
	assert_int_equal(tree_range(reader_nodes(reader), &next.snapshot->root, 0, 3, NULL, expect_unbanned,
				 (void *)&pack, &err),
		0);
	/* The prune goes on. What pieces name that were not written again lies elsewhere too. */
	struct session *session = NULL;
	assert_int_equal(prunelist_put(f->repo, 1, true, &pack, 1, NULL, 0, &err), 0);
	assert_int_equal(session_begin(f->repo, f->catalog, "t", &session, &err), 0);
	assert_true(archive_fixture_find(f->repo, next.snapshot, "large", &found));
	assert_true(found.entry->piece_count > 0);
	expect_indexed(f, &found, &pack);
	archive_fixture_let_go(&found);
	session_free(session);
	archive_fixture_expect(f->repo, next.snapshot, "a", data, 1000);
	archive_fixture_expect(f->repo, next.snapshot, "b", data, 1000);
	archive_fixture_expect(f->repo, next.snapshot, "large", data, 600000);
	snapshot_free(base.snapshot);
	snapshot_free(next.snapshot);
	free(data);
	reader_close(reader);
}

/* Nodes of a snapshot that was forgotten may not be named unread: they are read, and make the same tree. */
static void test_feed_range__a_forgotten_base_is_read_entry_by_entry(void **state)
{
	struct archive_fixture *f = *state;
	struct reader *reader = feed_script_reader(f);
	struct backup_result base, next;
	struct error err = ERROR_INIT;

	tell_many(2, 1400);
	make_base(f, reader, &base);
	struct mark mark = {.kind = MARK_FORGET, .subject = base.snapshot->id};
	assert_int_equal(mark_put(f->repo, &mark, &err), 0);
	feed_script_clear(&script);
	feed_step_range(&script, 0, base.snapshot->root.entries);
	script.mtime++;
	feed_script_run(f, &script, base.snapshot, reader, &next);
	expect_same_root(base.snapshot, next.snapshot);
	assert_int_equal(next.others, base.others);
	snapshot_free(base.snapshot);
	snapshot_free(next.snapshot);
	reader_close(reader);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_feed_run__a_told_tree_is_the_same_as_a_walked_one),
		CASE(test_feed_range__the_whole_base_is_no_snapshot),
		CASE(test_feed_range__random_stretches_and_entries_make_the_tree_of_all_told_anew),
		CASE(test_feed_range__renamed_is_as_if_all_were_told_with_new_keys),
		CASE(test_feed_range__one_change_among_many_entries_stores_few_nodes),
		CASE(test_feed_range__a_forgotten_base_is_read_entry_by_entry),
		CASE(test_feed_entry__links_of_a_file_are_read_once),
		CASE(test_feed_entry__a_failing_reader_fails_the_run_with_its_error),
		CASE(test_feed_entry__a_file_written_again_as_it_was_is_not_stored_again),
		CASE(test_feed_entry__many_xattrs_come_through_a_piece),
		CASE(test_feed_entry__out_of_order_is_refused),
		CASE(test_feed_note__stands_in_the_statement),
		CASE(test_feed_run__a_session_that_was_ended_is_begun_again),
		CASE(test_feed_run__without_change_it_leaves_no_session),
		CASE(test_feed_run__what_lies_in_a_condemned_pack_is_stored_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
