/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive/object.h"
#include "archive_made.h"

static int set_up(void **state)
{
	*state = made_repo();
	return 0;
}

static int tear_down(void **state)
{
	repo_close(*state);
	return 0;
}

static void sync_ok(struct repo *repo, struct catalog *catalog)
{
	struct error err = ERROR_INIT;
	if (segment_sync(repo, catalog, &err) != 0)
		fail_msg("%s", error_text(&err));
}

static void merge_ok(struct repo *repo, struct catalog *catalog)
{
	struct error err = ERROR_INIT;
	if (segment_merge(repo, catalog, &err) != 0)
		fail_msg("%s", error_text(&err));
}

static void name_of(const struct id *id, char dst[static FORMAT_NAME_MAX])
{
	object_name(KIND_INDEX, 0, id, dst);
}

/* ---- the codec ---- */

static void test_segment_decode__gives_back_what_was_put(void **state)
{
	struct repo *repo = *state;
	struct buf content = {0};
	struct segment *s = NULL;
	struct id id = made_segment(repo, 100, 50);
	assert_int_equal(object_get(repo, KIND_INDEX, &id, &content, NULL), 0);
	assert_int_equal(segment_decode(repo, &id, content.data, content.len, &s, NULL), 0);
	assert_true(id_equal(&s->slot, &repo->own->id));
	assert_int_equal(s->chunk_count, 50);
	assert_int_equal(s->pack_count, 7);
	assert_int_equal(s->domain, 0);
	for (size_t i = 0; i < s->chunk_count; i++) {
		uint32_t number;
		uint8_t pack[CATALOG_ID_LEN];
		memcpy(&number, s->chunks[i].id + 8, sizeof(number));
		made_pack_id(number, pack);
		assert_memory_equal(s->chunks[i].pack, pack, sizeof(pack));
		assert_int_equal(s->chunks[i].plain, 2000 + number);
		assert_int_equal(s->chunks[i].offset, 32 + number % 8 * 1000);
		assert_true(i == 0 || memcmp(s->chunks[i - 1].id, s->chunks[i].id, CATALOG_ID_LEN) < 0);
	}
	assert_int_equal(s->packs[0].wrap_len, SEAL_WRAP_LEN);
	assert_int_equal(s->packs[0].size, 9000);
	segment_free(s);
	buf_release(&content);
}

static void test_segment_decode__keeps_bases_and_depth(void **state)
{
	struct repo *repo = *state;
	struct catalog_pack pack = {.id = {1}, .generation = 3, .wrap_len = 0, .size = 5};
	struct catalog_chunk chunk = {
		.id = {9}, .pack = {1}, .base = {8}, .offset = 1, .stored = 2, .plain = 3, .depth = 2};
	struct segment in = {.packs = &pack, .pack_count = 1, .chunks = &chunk, .chunk_count = 1}, *out = NULL;
	struct buf content = {0};
	assert_int_equal(segment_put(repo, &in, NULL), 0);
	assert_int_equal(object_get(repo, KIND_INDEX, &in.id, &content, NULL), 0);
	assert_int_equal(segment_decode(repo, &in.id, content.data, content.len, &out, NULL), 0);
	const struct catalog_chunk *got = &out->chunks[0];
	assert_memory_equal(got->id, chunk.id, CATALOG_ID_LEN);
	assert_memory_equal(got->pack, chunk.pack, CATALOG_ID_LEN);
	assert_memory_equal(got->base, chunk.base, CATALOG_ID_LEN);
	assert_true(got->offset == 1 && got->stored == 2 && got->plain == 3 && got->depth == 2);
	segment_free(out);
	buf_release(&content);
}

static void test_segment_decode__flipped_cut_or_unsigned_is_refused(void **state)
{
	struct repo *repo = *state;
	struct buf content = {0};
	struct segment *s = NULL;
	struct id id = made_segment(repo, 0, 9);
	assert_int_equal(object_get(repo, KIND_INDEX, &id, &content, NULL), 0);
	for (size_t bit = 0; bit < 8 * content.len; bit++) {
		content.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_not_equal(segment_decode(repo, &id, content.data, content.len, &s, NULL), 0);
		content.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	for (size_t len = 0; len < content.len; len++)
		assert_int_not_equal(segment_decode(repo, &id, content.data, len, &s, NULL), 0);
	repo->own->rights = RIGHT_READ;
	assert_int_equal(segment_decode(repo, &id, content.data, content.len, &s, NULL), ERR_DENIED);
	repo->own->rights = RIGHT_ALL;
	struct id other = id;
	other.b[3] ^= 1;
	assert_int_equal(segment_decode(repo, &other, content.data, content.len, &s, NULL), ERR_CORRUPT);
	buf_release(&content);
}

static void test_segment_put__chunk_in_an_unnamed_pack_is_a_bug(void **state)
{
	struct catalog_chunk chunk = {.id = {9}, .pack = {1}};
	struct segment in = {.chunks = &chunk, .chunk_count = 1};
	assert_int_equal(segment_put(*state, &in, NULL), ERR_BUG);
	assert_int_equal(made_count(*state, "index/"), 0);
}

/* ---- following the store ---- */

static void test_segment_sync__takes_in_what_is_new_once(void **state)
{
	struct repo *repo = *state;
	struct catalog *catalog = made_catalog(repo, NULL);
	struct catalog_pack pack;
	uint8_t id[CATALOG_ID_LEN];
	sync_ok(repo, catalog);
	made_expect_chunks(catalog, 0, 0, 10);
	made_segment(repo, 0, 40);
	sync_ok(repo, catalog);
	made_expect_chunks(catalog, 0, 40, 60);
	made_pack_id(0, id);
	assert_int_equal(catalog_pack_find(catalog, id, &pack, NULL), 0);
	assert_int_equal(pack.size, 9000);
	made_segment(repo, 40, 20);
	uint64_t gets = store_fault_calls(repo->store, FAULT_GET);
	sync_ok(repo, catalog);
	assert_int_equal(store_fault_calls(repo->store, FAULT_GET), gets + 2);
	made_expect_chunks(catalog, 0, 60, 70);
	sync_ok(repo, catalog);
	assert_int_equal(store_fault_calls(repo->store, FAULT_GET), gets + 2);
	catalog_close(catalog);
}

static void test_segment_sync__damaged_one_is_left_out(void **state)
{
	struct repo *repo = *state;
	struct catalog *catalog = made_catalog(repo, NULL);
	char name[FORMAT_NAME_MAX];
	made_segment(repo, 0, 10);
	struct id bad = made_segment(repo, 10, 10);
	name_of(&bad, name);
	made_damage(repo, name);
	sync_ok(repo, catalog);
	made_expect_chunks(catalog, 0, 10, 20);
	sync_ok(repo, catalog);
	catalog_close(catalog);
}

static void test_segment_sync__segment_that_vanished_means_a_stale_catalog(void **state)
{
	struct repo *repo = *state;
	struct catalog *catalog = made_catalog(repo, NULL);
	char name[FORMAT_NAME_MAX];
	struct id gone = made_segment(repo, 0, 10);
	made_segment(repo, 10, 10);
	sync_ok(repo, catalog);
	made_expect_chunks(catalog, 0, 20, 20);
	name_of(&gone, name);
	assert_int_equal(store_del(repo->store, NULL, name, NULL), 0);
	sync_ok(repo, catalog);
	made_expect_chunks(catalog, 10, 10, 20);
	catalog_close(catalog);
}

static void test_segment_sync__store_that_is_down_is_an_error(void **state)
{
	struct repo *repo = *state;
	made_segment(repo, 0, 10);
	for (uint64_t n = 1; n <= 3; n++) {
		struct catalog *catalog = made_catalog(repo, NULL);
		const struct fault_rule down = {.kind = FAULT_FAIL, .ops = FAULT_ALL, .nth = n};
		assert_int_equal(store_fault_add(repo->store, &down, NULL), 0);
		assert_int_equal(segment_sync(repo, catalog, NULL), ERR_UNAVAILABLE);
		assert_int_equal(catalog_state(catalog), CATALOG_PRIVATE);
		store_fault_clear(repo->store);
		sync_ok(repo, catalog);
		made_expect_chunks(catalog, 0, 10, 10);
		catalog_close(catalog);
	}
}

static void test_segment_sync__not_found_once_is_asked_again(void **state)
{
	struct repo *repo = *state;
	struct catalog *catalog = made_catalog(repo, NULL);
	made_segment(repo, 0, 10);
	const struct fault_rule once = {
		.kind = FAULT_FAIL, .ops = FAULT_GET, .nth = 1, .prefix = "index/", .code = ERR_NOT_FOUND};
	assert_int_equal(store_fault_add(repo->store, &once, NULL), 0);
	sync_ok(repo, catalog);
	made_expect_chunks(catalog, 0, 10, 10);
	catalog_close(catalog);
}

/* ---- merging ---- */

static void test_segment_merge__fifteen_stay_sixteen_become_one(void **state)
{
	struct repo *repo = *state;
	struct catalog *catalog = made_catalog(repo, NULL), *fresh = made_catalog(repo, NULL);
	for (uint32_t i = 0; i < 15; i++)
		made_segment(repo, i * 20, 20);
	merge_ok(repo, catalog);
	assert_int_equal(made_count(repo, "index/"), 15);
	made_segment(repo, 300, 20);
	sync_ok(repo, catalog);
	merge_ok(repo, catalog);
	assert_int_equal(made_count(repo, "index/"), 1);
	/* The catalog that merged knows all without reading it again. */
	uint64_t gets = store_fault_calls(repo->store, FAULT_GET);
	sync_ok(repo, catalog);
	assert_int_equal(store_fault_calls(repo->store, FAULT_GET), gets);
	made_expect_chunks(catalog, 0, 320, 330);
	sync_ok(repo, fresh);
	made_expect_chunks(fresh, 0, 320, 330);
	struct catalog_counts counts;
	assert_int_equal(catalog_counts(fresh, &counts, NULL), 0);
	assert_int_equal(counts.chunks, 320);
	catalog_close(catalog);
	catalog_close(fresh);
}

/* A host that saw the inputs, then only the merged one: nothing is fetched twice into rows, nothing is thought stale.
 */
static void test_segment_sync__merge_by_another_host_is_no_staleness(void **state)
{
	struct repo *repo = *state;
	struct catalog *mine = made_catalog(repo, NULL), *theirs = made_catalog(repo, NULL);
	struct catalog_counts before, after;
	for (uint32_t i = 0; i < 16; i++)
		made_segment(repo, i * 20, 20);
	sync_ok(repo, mine);
	assert_int_equal(catalog_counts(mine, &before, NULL), 0);
	merge_ok(repo, theirs);
	sync_ok(repo, mine);
	made_expect_chunks(mine, 0, 320, 330);
	assert_int_equal(catalog_counts(mine, &after, NULL), 0);
	assert_int_equal(after.segments, 1);
	assert_int_equal(after.chunks, before.chunks);
	catalog_close(mine);
	catalog_close(theirs);
}

/* Two levels of merging while a host sleeps: ancestors tell it where what it knew has gone. */
static void test_segment_sync__sleeps_through_two_merges(void **state)
{
	struct repo *repo = *state;
	struct catalog *mine = made_catalog(repo, NULL), *theirs = made_catalog(repo, NULL);
	uint32_t next = 0;
	for (; next < 16; next++)
		made_segment(repo, next * 16, 16);
	sync_ok(repo, mine);
	/* A marker row that only a catalog which was never reset still has. */
	struct catalog_pack pack = {.id = {0xee}, .size = 1};
	struct catalog_segment marker = {.id = {0xee}, .packs = &pack, .pack_count = 1};
	assert_int_equal(catalog_segment_add(mine, &marker, NULL), 0);
	assert_int_equal(catalog_segment_forget(mine, marker.id, NULL), 0);
	for (; next < 320; next++) {
		made_segment(repo, next * 16, 16);
		merge_ok(repo, theirs);
	}
	/* Each 16 or 17 made one, and those have been merged again. */
	assert_in_range(made_count(repo, "index/"), 1, 25);
	sync_ok(repo, mine);
	made_expect_chunks(mine, 0, next * 16, next * 16 + 10);
	assert_int_equal(catalog_pack_find(mine, pack.id, &pack, NULL), 0);
	catalog_close(mine);
	catalog_close(theirs);
}

static void test_segment_merge__cut_after_every_call_loses_nothing(void **state)
{
	struct repo *repo = *state;
	struct catalog *catalog = made_catalog(repo, NULL);
	for (uint32_t i = 0; i < 16; i++)
		made_segment(repo, i * 20, 20);
	sync_ok(repo, catalog);
	size_t from = store_fault_history(repo->store);
	merge_ok(repo, catalog);
	assert_true(store_fault_history(repo->store) >= from + 34);
	for (size_t n = from; n <= store_fault_history(repo->store); n++) {
		struct repo *cut = made_cut(repo, n);
		struct catalog *after = made_catalog(cut, NULL), *again = made_catalog(cut, NULL);
		sync_ok(cut, after);
		made_expect_chunks(after, 0, 320, 330);
		/* The next merge goes on, and ends with one segment if the merged one had been put. */
		merge_ok(cut, after);
		sync_ok(cut, after);
		made_expect_chunks(after, 0, 320, 330);
		assert_true(made_count(cut, "index/") <= 16);
		sync_ok(cut, again);
		made_expect_chunks(again, 0, 320, 330);
		catalog_close(after);
		catalog_close(again);
		repo_close(cut);
	}
	catalog_close(catalog);
}

static void test_segment_merge__every_call_failing_loses_nothing(void **state)
{
	struct repo *repo = *state;
	for (uint32_t i = 0; i < 16; i++)
		made_segment(repo, i * 20, 20);
	for (uint64_t n = 1; n < 80; n += n < 20 ? 1 : 7) {
		struct repo *copy = made_other_host(repo);
		struct catalog *catalog = made_catalog(copy, NULL), *fresh = made_catalog(copy, NULL);
		const struct fault_rule rule = {
			.kind = n % 2 ? FAULT_FAIL : FAULT_LOSE_REPLY, .ops = FAULT_ALL, .nth = n};
		sync_ok(copy, catalog);
		assert_int_equal(store_fault_add(copy->store, &rule, NULL), 0);
		segment_merge(copy, catalog, NULL);
		store_fault_clear(copy->store);
		sync_ok(copy, catalog);
		made_expect_chunks(catalog, 0, 320, 330);
		sync_ok(copy, fresh);
		made_expect_chunks(fresh, 0, 320, 330);
		merge_ok(copy, catalog);
		assert_true(made_count(copy, "index/") <= 2);
		catalog_close(catalog);
		catalog_close(fresh);
		repo_close(copy);
	}
}

static void test_segment_merge__damaged_input_stays_where_it_is(void **state)
{
	struct repo *repo = *state;
	struct catalog *catalog = made_catalog(repo, NULL);
	char name[FORMAT_NAME_MAX];
	uint64_t size;
	struct id bad = {{0}};
	for (uint32_t i = 0; i < 16; i++)
		bad = made_segment(repo, i * 20, 20);
	name_of(&bad, name);
	made_damage(repo, name);
	merge_ok(repo, catalog);
	assert_int_equal(made_count(repo, "index/"), 2);
	assert_int_equal(store_stat(repo->store, NULL, name, &size, NULL), 0);
	sync_ok(repo, catalog);
	made_expect_chunks(catalog, 0, 300, 320);
	catalog_close(catalog);
}

/* Random segments, merges and syncs of two hosts against a set of numbers. */
static void test_segment__random_work_of_two_hosts_agrees_with_a_model(void **state)
{
	struct repo *repo = *state;
	struct catalog *hosts[2] = {made_catalog(repo, NULL), made_catalog(repo, NULL)};
	uint32_t next = 0;
	srandom(7);
	for (int step = 0; step < 300; step++) {
		struct catalog *host = hosts[random() % 2];
		long what = random() % 10;
		if (what < 6) {
			uint32_t count = (uint32_t)(random() % 30) + 1;
			made_segment(repo, next, count);
			next += count;
		} else if (what < 8) {
			merge_ok(repo, host);
		} else {
			sync_ok(repo, host);
			made_expect_chunks(host, 0, next, next + 5);
		}
	}
	assert_true(made_count(repo, "index/") < 60);
	for (int i = 0; i < 2; i++) {
		sync_ok(repo, hosts[i]);
		made_expect_chunks(hosts[i], 0, next, next + 5);
		catalog_close(hosts[i]);
	}
}

/* ---- a catalog in a folder ---- */

static void test_segment_sync__catalog_in_a_folder_outlives_its_process_and_its_damage(void **state)
{
	struct repo *repo = *state;
	char dir[] = "/tmp/drfs-segment-XXXXXX", command[120];
	assert_non_null(mkdtemp(dir));
	made_segment(repo, 0, 10);
	struct catalog *catalog = made_catalog(repo, dir);
	sync_ok(repo, catalog);
	catalog_close(catalog);
	catalog = made_catalog(repo, dir);
	uint64_t gets = store_fault_calls(repo->store, FAULT_GET);
	sync_ok(repo, catalog);
	assert_int_equal(store_fault_calls(repo->store, FAULT_GET), gets);
	made_expect_chunks(catalog, 0, 10, 10);
	catalog_close(catalog);
	/* Every file of it becomes rubbish. */
	snprintf(command, sizeof(command), "for f in %s/*; do printf rubbish > $f; done", dir);
	assert_int_equal(system(command), 0);
	catalog = made_catalog(repo, dir);
	sync_ok(repo, catalog);
	made_expect_chunks(catalog, 0, 10, 10);
	catalog_close(catalog);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	assert_int_equal(system(command), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_segment_decode__gives_back_what_was_put),
		TEST(test_segment_decode__keeps_bases_and_depth),
		TEST(test_segment_decode__flipped_cut_or_unsigned_is_refused),
		TEST(test_segment_put__chunk_in_an_unnamed_pack_is_a_bug),
		TEST(test_segment_sync__takes_in_what_is_new_once),
		TEST(test_segment_sync__damaged_one_is_left_out),
		TEST(test_segment_sync__segment_that_vanished_means_a_stale_catalog),
		TEST(test_segment_sync__store_that_is_down_is_an_error),
		TEST(test_segment_sync__not_found_once_is_asked_again),
		TEST(test_segment_merge__fifteen_stay_sixteen_become_one),
		TEST(test_segment_sync__merge_by_another_host_is_no_staleness),
		TEST(test_segment_sync__sleeps_through_two_merges),
		TEST(test_segment_merge__cut_after_every_call_loses_nothing),
		TEST(test_segment_merge__every_call_failing_loses_nothing),
		TEST(test_segment_merge__damaged_input_stays_where_it_is),
		TEST(test_segment__random_work_of_two_hosts_agrees_with_a_model),
		TEST(test_segment_sync__catalog_in_a_folder_outlives_its_process_and_its_damage),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
