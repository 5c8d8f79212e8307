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
#include "tree_model.h"

/* A file that is changed again and again, each time told as a change of what the last snapshot has. */
struct victim {
	struct archive_fixture *f;
	struct feed_script *script;
	struct reader *reader;
	struct draw draw;
	uint8_t *data;
	size_t len, cap;
	struct feed_range changes[8];
	size_t change_count;
	struct feed_range holes[8];
	size_t hole_count;
	struct backup_result base; /* the newest snapshot */
};

static void tell_read(struct victim *v, struct feed_blob *blob)
{
	feed_script_clear(v->script);
	*blob = (struct feed_blob){.data = v->data, .len = v->len, .holes = v->holes, .hole_count = v->hole_count};
	feed_step_read(v->script, "d/file", blob);
	v->script->mtime++;
}

static void begin(struct victim *v, struct archive_fixture *f, size_t len, uint64_t seed)
{
	struct feed_blob blob;

	*v = (struct victim){.f = f, .script = calloc(1, sizeof(*v->script)), .draw = {.state = seed}, .len = len};
	v->cap = 3 * len;
	v->data = calloc(1, v->cap);
	assert_non_null(v->data);
	assert_non_null(v->script);
	draw_bytes(&v->draw, v->data, len);
	v->reader = feed_script_reader(f);
	tell_read(v, &blob);
	feed_script_run(f, v->script, NULL, v->reader, &v->base);
}

static void finish(struct victim *v)
{
	feed_script_clear(v->script);
	free(v->script);
	free(v->data);
	snapshot_free(v->base.snapshot);
	reader_close(v->reader);
}

/* Tells the file as a change; checks that it reads back, and is what a whole reading makes. Bytes that were read. */
static uint64_t patch(struct victim *v, bool like_whole)
{
	struct archive_found found;
	struct feed_blob blob, whole;
	struct backup_result next, anew;

	assert_true(archive_fixture_find(v->f->repo, v->base.snapshot, "d/file", &found));
	tell_read(v, &blob);
	struct feed_step *step = &v->script->steps[0];
	step->content = (struct feed_content){.source = FEED_PATCH,
		.entry = found.entry,
		.changes = v->changes,
		.change_count = v->change_count,
		.is_changed = true};
	feed_script_run(v->f, v->script, v->base.snapshot, v->reader, &next);
	archive_fixture_let_go(&found);
	assert_non_null(next.snapshot);
	assert_int_equal(next.changed_files, 1);
	assert_int_equal(next.bytes, v->len);
	archive_fixture_expect(v->f->repo, next.snapshot, "d/file", v->data, v->len);
	assert_int_equal(blob.opened, blob.closed);
	if (like_whole) {
		tell_read(v, &whole);
		feed_script_run(v->f, v->script, NULL, v->reader, &anew);
		assert_memory_equal(
			next.snapshot->root.ref.id.b, anew.snapshot->root.ref.id.b, sizeof(next.snapshot->root.ref.id));
		assert_int_equal(anew.new_bytes, 0);
		snapshot_free(anew.snapshot);
	}
	snapshot_free(v->base.snapshot);
	v->base = next;
	return blob.read;
}

/* A few changes in order; the last may lie at the end. */
static uint64_t change_some(struct victim *v, size_t longest)
{
	size_t at = 0, n = 1 + (size_t)draw_below(&v->draw, 4);
	uint64_t sum = 0;

	v->change_count = 0;
	for (size_t i = 0; i < n && at < v->len; i++) {
		at += (size_t)draw_below(&v->draw, v->len - at);
		size_t len = 1 + (size_t)draw_below(&v->draw, longest);
		len = len > v->len - at ? v->len - at : len;
		draw_bytes(&v->draw, v->data + at, len);
		v->changes[v->change_count++] = (struct feed_range){.off = at, .len = len};
		at += len;
		sum += len;
	}
	return sum;
}

static void resize(struct victim *v, size_t len)
{
	if (len > v->len) {
		draw_bytes(&v->draw, v->data + v->len, len - v->len);
		v->changes[v->change_count++] = (struct feed_range){.off = v->len, .len = len - v->len};
	} else {
		memset(v->data + len, 0, v->len - len);
		while (v->change_count > 0 && v->changes[v->change_count - 1].off >= len)
			v->change_count--;
		if (v->change_count > 0) {
			struct feed_range *c = &v->changes[v->change_count - 1];
			c->len = min_u64(c->len, len - c->off);
		}
	}
	v->len = len;
}

/* Where cuts fall depends on the repository's key, so single changes differ: all of them together are held to a bound.
 */
struct cost {
	uint64_t changes, changed, read, stored;
};

static void count_cost(struct cost *c, const struct victim *v, uint64_t changed, uint64_t read)
{
	c->changes += v->change_count;
	c->changed += changed;
	c->read += read;
	c->stored += v->base.new_bytes;
}

static void test_feed_patch__changes_of_a_large_file_store_what_surrounds_them(void **state)
{
	struct victim v;
	struct cost some = {0}, flips = {0};

	begin(&v, *state, 20 << 20, 1);
	for (int i = 0; i < 12; i++) {
		uint64_t changed = change_some(&v, 200000);
		count_cost(&some, &v, changed, patch(&v, true));
	}
	/* A change costs itself and a few chunks (of 1 MiB on average, 4 at most). */
	assert_true(some.read <= some.changed + some.changes * (8 << 20));
	assert_true(some.stored <= some.changed + some.changes * (6 << 20));
	for (size_t at = 2 << 20; at < 20 << 20; at += 2 << 20) {
		v.data[at] ^= 1;
		v.changes[0] = (struct feed_range){.off = at, .len = 1};
		v.change_count = 1;
		count_cost(&flips, &v, 1, patch(&v, at == 10 << 20));
	}
	assert_true(flips.read <= flips.changes * (8 << 20));
	assert_true(flips.stored <= flips.changes * (6 << 20));
	finish(&v);
}

static void test_feed_patch__a_file_that_grows_and_shrinks_is_what_a_whole_reading_makes(void **state)
{
	struct victim v;

	begin(&v, *state, 3 << 20, 2);
	for (int i = 0; i < 24; i++) {
		v.change_count = 0;
		if (i % 3 == 0)
			change_some(&v, 5000);
		resize(&v, (300 << 10) + (size_t)draw_below(&v.draw, 6 << 20));
		patch(&v, true);
	}
	finish(&v);
}

static void test_feed_patch__many_chunks_in_pieces(void **state)
{
	struct archive_fixture *f = *state;
	struct victim v;

	archive_fixture_small_chunks(f);
	begin(&v, f, 6 << 20, 3);
	for (int i = 0; i < 6; i++) {
		uint64_t changed = change_some(&v, 3000);
		if (i % 2 == 1)
			resize(&v, (4 << 20) + (size_t)draw_below(&v.draw, 4 << 20));
		uint64_t read = patch(&v, true);
		if (i % 2 == 0)
			assert_true(read <= changed + v.change_count * (2 << 20));
	}
	finish(&v);
}

static void test_feed_patch__chunks_that_never_meet_again_are_made_to(void **state)
{
	struct archive_fixture *f = *state;
	struct victim v;

	archive_fixture_small_chunks(f);
	begin(&v, f, 4 << 20, 4);
	memset(v.data, 'x', v.len); /* one chunk of the largest size after the other */
	v.changes[0] = (struct feed_range){.off = 0, .len = v.len};
	v.change_count = 1;
	patch(&v, true);
	draw_bytes(&v.draw, v.data + 5000, 700);
	v.changes[0] = (struct feed_range){.off = 5000, .len = 700};
	assert_true(patch(&v, false) < 1 << 20);
	finish(&v);
}

/* The holes of the file, with data in between. */
static void punch(struct victim *v, size_t hole_len)
{
	size_t at = 0;

	v->hole_count = 0;
	for (size_t i = 0; i < ARRAY_LEN(v->holes) && at < v->len; i++) {
		at += (size_t)draw_below(&v->draw, 100000);
		size_t len = 1 + (size_t)draw_below(&v->draw, hole_len);
		if (at >= v->len)
			break;
		len = len > v->len - at ? v->len - at : len;
		memset(v->data + at, 0, len);
		v->holes[v->hole_count++] = (struct feed_range){.off = at, .len = len};
		at += len + 1;
	}
}

static void test_feed_patch__holes_come_and_go(void **state)
{
	struct archive_fixture *f = *state;
	struct victim v;

	archive_fixture_small_chunks(f);
	begin(&v, f, 1 << 20, 5);
	for (int i = 0; i < 16; i++) {
		/* All that differs is one change: what was there, and what is. */
		uint8_t *before = malloc(v.len);
		assert_non_null(before);
		memcpy(before, v.data, v.len);
		size_t lo = (size_t)draw_below(&v.draw, v.len / 2), hi = lo + (size_t)draw_below(&v.draw, v.len / 2);
		punch(&v, 200000);
		draw_bytes(&v.draw, v.data + v.holes[0].off + v.holes[0].len, 1);
		if (i % 4 == 3) { /* data where holes were */
			memcpy(v.data, before, v.len);
			draw_bytes(&v.draw, v.data + lo, hi - lo);
			v.hole_count = 0;
		}
		v.changes[0] = (struct feed_range){.off = 0, .len = v.len};
		v.change_count = 1;
		patch(&v, false);
		/* A small change beside the holes. */
		for (size_t k = 0; k + 1 < v.hole_count; k++) {
			size_t at = (size_t)(v.holes[k].off + v.holes[k].len);
			v.data[at] ^= 0x55;
			v.changes[0] = (struct feed_range){.off = at, .len = 1};
			assert_true(patch(&v, false) < 300 << 10);
		}
		free(before);
	}
	finish(&v);
}

static void test_feed_patch__a_reader_that_ends_early_fails_the_run(void **state)
{
	struct archive_fixture *f = *state;
	struct error err = ERROR_INIT;
	struct archive_found found;
	struct backup_result next;
	struct feed_blob blob;
	struct victim v;

	begin(&v, f, 2 << 20, 6);
	assert_true(archive_fixture_find(f->repo, v.base.snapshot, "d/file", &found));
	tell_read(&v, &blob);
	v.changes[0] = (struct feed_range){.off = v.len, .len = 1000};
	struct feed_step *step = &v.script->steps[0];
	step->entry.size = v.len + 1000;
	step->content = (struct feed_content){
		.source = FEED_PATCH, .entry = found.entry, .changes = v.changes, .change_count = 1};
	assert_int_equal(feed_script_try(f, v.script, v.base.snapshot, v.reader, &next, &err), ERR_IO);
	assert_non_null(strstr(error_text(&err), "'file' ended"));
	assert_int_equal(blob.opened, blob.closed);
	archive_fixture_let_go(&found);
	finish(&v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ARCHIVE_CASE(test_feed_patch__changes_of_a_large_file_store_what_surrounds_them),
		ARCHIVE_CASE(test_feed_patch__a_file_that_grows_and_shrinks_is_what_a_whole_reading_makes),
		ARCHIVE_CASE(test_feed_patch__many_chunks_in_pieces),
		ARCHIVE_CASE(test_feed_patch__chunks_that_never_meet_again_are_made_to),
		ARCHIVE_CASE(test_feed_patch__holes_come_and_go),
		ARCHIVE_CASE(test_feed_patch__a_reader_that_ends_early_fails_the_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
