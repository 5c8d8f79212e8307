/* SPDX-License-Identifier: MIT */

#include "tests/unit/catalog_conformance.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/checked.h"
#include "tests/unit/catalog_model.h"

/* A fresh catalog of the kind under test; every test begins with it. */
static struct catalog *begin(void **state)
{
	const struct catalog_fixture *fixture = *state;
	fixture->wipe(fixture->arg);
	return fixture->open(fixture->arg);
}

static struct catalog_counts counts_of(struct catalog *catalog)
{
	struct catalog_counts counts;
	assert_int_equal(catalog_counts(catalog, &counts, NULL), 0);
	return counts;
}

static void test_open__new_catalog_is_empty(void **state)
{
	struct catalog *catalog = begin(state);
	const struct catalog_fixture *fixture = *state;
	assert_int_equal(catalog_state(catalog), fixture->kept ? CATALOG_NEW : CATALOG_PRIVATE);
	struct catalog_counts counts = counts_of(catalog);
	assert_int_equal(counts.chunks, 0);
	assert_int_equal(counts.packs, 0);
	assert_int_equal(counts.pack_bytes, 0);
	assert_int_equal(counts.segments, 0);
	catalog_close(catalog);
}

static void test_open__what_was_added_is_there_again(void **state)
{
	const struct catalog_fixture *fixture = *state;
	struct catalog *catalog = begin(state);
	assert_int_equal(add_made(catalog, 1, 0, 0, 250, NULL), 0);
	assert_int_equal(catalog_object_put(catalog, "keys/a", "abc", 3, NULL), 0);
	catalog_close(catalog);
	catalog = fixture->open(fixture->arg);
	assert_int_equal(catalog_state(catalog), fixture->kept ? CATALOG_KEPT : CATALOG_PRIVATE);
	for (uint64_t n = 0; n < 250; n++)
		assert_int_equal(find_made(catalog, 0, n), fixture->kept);
	struct buf object = {0};
	assert_int_equal(catalog_object_get(catalog, "keys/a", &object, NULL), fixture->kept ? 0 : ERR_NOT_FOUND);
	buf_release(&object);
	catalog_close(catalog);
}

static void test_open__two_handles_share_rows_where_they_are_kept(void **state)
{
	const struct catalog_fixture *fixture = *state;
	struct catalog *first = begin(state);
	struct catalog *second = fixture->open(fixture->arg);
	assert_int_equal(add_made(first, 1, 0, 0, 10, NULL), 0);
	assert_int_equal(find_made(first, 0, 5), 1);
	assert_int_equal(find_made(second, 0, 5), fixture->kept);
	assert_int_equal(add_made(second, 1, 0, 0, 10, NULL), 0);
	assert_int_equal(counts_of(second).chunks, 10);
	assert_int_equal(catalog_reset(second, NULL), 0);
	assert_int_equal(find_made(first, 0, 5), !fixture->kept);
	catalog_close(first);
	catalog_close(second);
}

static void test_chunk_find__unknown_id_is_not_found(void **state)
{
	struct catalog *catalog = begin(state);
	struct catalog_chunk chunk = {.depth = 77};
	struct error err = ERROR_INIT;
	uint8_t id[CATALOG_ID_LEN] = {1};
	assert_int_equal(add_made(catalog, 1, 0, 0, 10, NULL), 0);
	assert_int_equal(catalog_chunk_find(catalog, 0, id, &chunk, &err), ERR_NOT_FOUND);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	assert_int_equal(chunk.depth, 77); /* written on success only */
	catalog_close(catalog);
}

static void test_chunk_find__gives_every_field(void **state)
{
	struct catalog *catalog = begin(state);
	assert_int_equal(add_made(catalog, 1, 0, 0, 1000, NULL), 0);
	for (uint64_t n = 0; n < 1000; n++)
		assert_int_equal(find_made(catalog, 0, n), 1);
	assert_int_equal(find_made(catalog, 0, 1000), 0);
	catalog_close(catalog);
}

static void test_chunk_find__largest_numbers_come_back(void **state)
{
	struct catalog *catalog = begin(state);
	struct made_segment made = made_segment(1, UINT64_MAX, 0, 1);
	struct catalog_chunk got;
	struct catalog_pack pack;
	made.chunks[0].offset = UINT64_MAX;
	made.chunks[0].stored = UINT32_MAX;
	made.chunks[0].plain = UINT32_MAX;
	made.chunks[0].depth = UINT8_MAX;
	made.packs[0].size = INT64_MAX;
	made.packs[0].generation = UINT32_MAX;
	made.packs[0].wrap_len = CATALOG_WRAP_MAX;
	assert_int_equal(catalog_segment_add(catalog, &made.segment, NULL), 0);
	assert_int_equal(catalog_chunk_find(catalog, UINT64_MAX, made.chunks[0].id, &got, NULL), 0);
	assert_int_equal(got.offset, UINT64_MAX);
	assert_int_equal(got.stored, UINT32_MAX);
	assert_int_equal(got.plain, UINT32_MAX);
	assert_int_equal(got.depth, UINT8_MAX);
	assert_int_equal(catalog_pack_find(catalog, made.packs[0].id, &pack, NULL), 0);
	assert_int_equal(pack.size, INT64_MAX);
	assert_int_equal(pack.generation, UINT32_MAX);
	assert_int_equal(pack.wrap_len, CATALOG_WRAP_MAX);
	made_segment_free(&made);
	catalog_close(catalog);
}

static void test_chunk_find__domains_are_apart(void **state)
{
	struct catalog *catalog = begin(state);
	assert_int_equal(add_made(catalog, 1, 7, 0, 10, NULL), 0);
	assert_int_equal(find_made(catalog, 7, 3), 1);
	assert_int_equal(find_made(catalog, 0, 3), 0);
	assert_int_equal(find_made(catalog, 8, 3), 0);
	catalog_close(catalog);
}

static void test_chunk_find__gives_the_least_deep_copy(void **state)
{
	struct catalog *catalog = begin(state);
	struct made_segment made = made_segment(1, 0, 0, 300);
	struct catalog_chunk got;
	/* Chunks 0, 100 and 200 lie in three packs: make them copies of one chunk. */
	static const uint8_t depths[] = {4, 1, 2};
	for (size_t i = 0; i < ARRAY_LEN(depths); i++) {
		memcpy(made.chunks[100 * i].id, made.chunks[0].id, CATALOG_ID_LEN);
		memset(made.chunks[100 * i].base, 5, CATALOG_ID_LEN);
		made.chunks[100 * i].depth = depths[i];
	}
	assert_int_equal(catalog_segment_add(catalog, &made.segment, NULL), 0);
	assert_int_equal(catalog_chunk_find(catalog, 0, made.chunks[0].id, &got, NULL), 0);
	assert_int_equal(got.depth, 1);
	assert_memory_equal(got.pack, made.packs[1].id, CATALOG_ID_LEN);
	/* Without that pack the next one is found. */
	assert_int_equal(catalog_packs_drop(catalog, &made.packs[1].id, 1, NULL), 0);
	assert_int_equal(catalog_chunk_find(catalog, 0, made.chunks[0].id, &got, NULL), 0);
	assert_int_equal(got.depth, 2);
	made_segment_free(&made);
	catalog_close(catalog);
}

static void test_segment_add__second_time_changes_nothing(void **state)
{
	struct catalog *catalog = begin(state);
	assert_int_equal(add_made(catalog, 1, 0, 0, 500, NULL), 0);
	struct catalog_counts before = counts_of(catalog);
	assert_int_equal(add_made(catalog, 1, 0, 0, 500, NULL), 0);
	/* The same rows under another segment's name are the same rows. */
	assert_int_equal(add_made(catalog, 2, 0, 0, 500, NULL), 0);
	struct catalog_counts after = counts_of(catalog);
	assert_int_equal(before.chunks, 500);
	assert_int_equal(after.chunks, 500);
	assert_int_equal(after.packs, before.packs);
	assert_int_equal(after.pack_bytes, before.pack_bytes);
	assert_int_equal(before.segments, 1);
	assert_int_equal(after.segments, 2);
	catalog_close(catalog);
}

static void test_segment_add__empty_segment_is_seen(void **state)
{
	struct catalog *catalog = begin(state);
	struct catalog_segment empty = {.id = {9}};
	assert_int_equal(catalog_segment_add(catalog, &empty, NULL), 0);
	assert_int_equal(counts_of(catalog).segments, 1);
	catalog_close(catalog);
}

static void test_segment_add__pack_that_nobody_listed_takes_nothing_in(void **state)
{
	struct catalog *catalog = begin(state);
	struct made_segment made = made_segment(1, 0, 0, 300);
	struct error err = ERROR_INIT;
	made.segment.pack_count = 2; /* and three are named */
	assert_int_equal(catalog_segment_add(catalog, &made.segment, &err), ERR_USAGE);
	struct catalog_counts counts = counts_of(catalog);
	assert_int_equal(counts.chunks + counts.packs + counts.segments, 0);
	assert_int_equal(find_made(catalog, 0, 0), 0);
	/* What failed leaves the way free for what is right. */
	made.segment.pack_count = 3;
	assert_int_equal(catalog_segment_add(catalog, &made.segment, NULL), 0);
	assert_int_equal(find_made(catalog, 0, 299), 1);
	made_segment_free(&made);
	catalog_close(catalog);
}

static void test_segment_add__pack_known_from_before_need_not_be_listed(void **state)
{
	struct catalog *catalog = begin(state);
	struct made_segment made = made_segment(2, 0, 50, 50);
	assert_int_equal(add_made(catalog, 1, 0, 0, 50, NULL), 0);
	made.segment.pack_count = 0;
	assert_int_equal(catalog_segment_add(catalog, &made.segment, NULL), 0);
	for (uint64_t n = 0; n < 100; n++)
		assert_int_equal(find_made(catalog, 0, n), 1);
	assert_int_equal(counts_of(catalog).chunks, 100);
	made_segment_free(&made);
	catalog_close(catalog);
}

static void test_segment_add__impossible_pack_is_refused(void **state)
{
	struct catalog *catalog = begin(state);
	struct made_segment made = made_segment(1, 0, 0, 1);
	made.packs[0].wrap_len = CATALOG_WRAP_MAX + 1;
	assert_int_equal(catalog_segment_add(catalog, &made.segment, NULL), ERR_USAGE);
	made.packs[0].wrap_len = 0;
	made.packs[0].size = (uint64_t)INT64_MAX + 1;
	assert_int_equal(catalog_segment_add(catalog, &made.segment, NULL), ERR_USAGE);
	assert_int_equal(counts_of(catalog).segments, 0);
	made_segment_free(&made);
	catalog_close(catalog);
}

static void test_pack_find__newest_generation_stays(void **state)
{
	struct catalog *catalog = begin(state);
	struct made_segment made = made_segment(0, 0, 0, 1);
	struct catalog_pack got;
	static const uint32_t generations[] = {3, 5, 4};
	assert_int_equal(catalog_pack_find(catalog, made.packs[0].id, &got, NULL), ERR_NOT_FOUND);
	for (size_t i = 0; i < ARRAY_LEN(generations); i++) {
		made_id('s', i, made.segment.id);
		made.packs[0].generation = generations[i];
		memset(made.packs[0].wrap, (int)generations[i], made.packs[0].wrap_len);
		assert_int_equal(catalog_segment_add(catalog, &made.segment, NULL), 0);
	}
	assert_int_equal(catalog_pack_find(catalog, made.packs[0].id, &got, NULL), 0);
	assert_int_equal(got.generation, 5);
	assert_int_equal(got.wrap_len, made.packs[0].wrap_len);
	assert_int_equal(got.wrap[0], 5);
	assert_int_equal(got.size, made.packs[0].size);
	assert_memory_equal(got.id, made.packs[0].id, CATALOG_ID_LEN);
	made_segment_free(&made);
	catalog_close(catalog);
}

/* Takes down ids in the order they come; stops with 42 after `most`. */
struct seen {
	uint8_t ids[1000][CATALOG_ID_LEN];
	size_t count, most;
};

static int take_down(void *arg, const uint8_t *id)
{
	struct seen *seen = arg;
	assert_true(seen->count < ARRAY_LEN(seen->ids));
	memcpy(seen->ids[seen->count++], id, CATALOG_ID_LEN);
	return seen->count == seen->most ? 42 : 0;
}

static void test_segments__all_come_in_order_of_ids(void **state)
{
	struct catalog *catalog = begin(state);
	static struct seen seen;
	seen = (struct seen){.most = 0};
	uint8_t id[CATALOG_ID_LEN] = {0};
	assert_int_equal(catalog_segment_note(catalog, id, NULL), 0);
	for (uint64_t n = 0; n < 600; n++) {
		made_id('s', n, id);
		assert_int_equal(catalog_segment_note(catalog, id, NULL), 0);
	}
	assert_int_equal(catalog_segments(catalog, take_down, &seen, NULL), 0);
	assert_int_equal(seen.count, 601);
	for (size_t i = 1; i < seen.count; i++)
		assert_true(memcmp(seen.ids[i - 1], seen.ids[i], CATALOG_ID_LEN) < 0);
	catalog_close(catalog);
}

static void test_segments__callers_stop_is_returned(void **state)
{
	struct catalog *catalog = begin(state);
	static struct seen seen;
	seen = (struct seen){.most = 2};
	for (uint64_t n = 0; n < 5; n++)
		assert_int_equal(add_made(catalog, n, 0, 0, 0, NULL), 0);
	assert_int_equal(catalog_segments(catalog, take_down, &seen, NULL), 42);
	assert_int_equal(seen.count, 2);
	catalog_close(catalog);
}

static void test_segment_forget__rows_stay_and_it_can_be_added_again(void **state)
{
	struct catalog *catalog = begin(state);
	uint8_t id[CATALOG_ID_LEN];
	made_id('s', 1, id);
	assert_int_equal(catalog_segment_forget(catalog, id, NULL), 0); /* unknown: nothing to forget */
	assert_int_equal(add_made(catalog, 1, 0, 0, 10, NULL), 0);
	assert_int_equal(catalog_segment_forget(catalog, id, NULL), 0);
	assert_int_equal(counts_of(catalog).segments, 0);
	assert_int_equal(find_made(catalog, 0, 4), 1);
	assert_int_equal(add_made(catalog, 1, 0, 0, 20, NULL), 0);
	assert_int_equal(find_made(catalog, 0, 15), 1);
	assert_int_equal(counts_of(catalog).chunks, 20);
	catalog_close(catalog);
}

static void test_segment_note__noted_segment_counts_as_taken_in(void **state)
{
	struct catalog *catalog = begin(state);
	uint8_t id[CATALOG_ID_LEN];
	made_id('s', 1, id);
	assert_int_equal(catalog_segment_note(catalog, id, NULL), 0);
	assert_int_equal(catalog_segment_note(catalog, id, NULL), 0);
	assert_int_equal(add_made(catalog, 1, 0, 0, 10, NULL), 0);
	assert_int_equal(counts_of(catalog).segments, 1);
	assert_int_equal(counts_of(catalog).chunks, 0);
	catalog_close(catalog);
}

static void test_packs_drop__their_chunks_go_and_others_stay(void **state)
{
	struct catalog *catalog = begin(state);
	uint8_t ids[3][CATALOG_ID_LEN];
	struct catalog_pack pack;
	made_id('p', 1, ids[0]);
	made_id('p', 999, ids[1]); /* unknown: no matter */
	made_id('p', 3, ids[2]);
	assert_int_equal(add_made(catalog, 1, 0, 0, 500, NULL), 0);
	assert_int_equal(add_made(catalog, 2, 9, 0, 500, NULL), 0);
	assert_int_equal(catalog_packs_drop(catalog, NULL, 0, NULL), 0);
	assert_int_equal(catalog_packs_drop(catalog, &ids[1], 1, NULL), 0);
	assert_int_equal(counts_of(catalog).packs, 5);
	assert_int_equal(catalog_packs_drop(catalog, ids, 3, NULL), 0);
	for (uint64_t n = 0; n < 500; n++) {
		int want = n / 100 != 1 && n / 100 != 3;
		assert_int_equal(find_made(catalog, 0, n), want);
		assert_int_equal(find_made(catalog, 9, n), want);
	}
	assert_int_equal(catalog_pack_find(catalog, ids[0], &pack, NULL), ERR_NOT_FOUND);
	struct catalog_counts counts = counts_of(catalog);
	assert_int_equal(counts.packs, 3);
	assert_int_equal(counts.chunks, 600);
	assert_int_equal(counts.segments, 2);
	catalog_close(catalog);
}

static void test_reset__nothing_is_left(void **state)
{
	struct catalog *catalog = begin(state);
	struct buf object = {0};
	assert_int_equal(add_made(catalog, 1, 0, 0, 500, NULL), 0);
	assert_int_equal(catalog_object_put(catalog, "keys/a", "abc", 3, NULL), 0);
	assert_int_equal(catalog_reset(catalog, NULL), 0);
	struct catalog_counts counts = counts_of(catalog);
	assert_int_equal(counts.chunks + counts.packs + counts.pack_bytes + counts.segments, 0);
	assert_int_equal(find_made(catalog, 0, 0), 0);
	assert_int_equal(catalog_object_get(catalog, "keys/a", &object, NULL), ERR_NOT_FOUND);
	assert_int_equal(add_made(catalog, 1, 0, 0, 500, NULL), 0);
	assert_int_equal(find_made(catalog, 0, 0), 1);
	buf_release(&object);
	catalog_close(catalog);
}

static void test_make_private__goes_on_empty_and_takes_in(void **state)
{
	struct catalog *catalog = begin(state);
	assert_int_equal(add_made(catalog, 1, 0, 0, 100, NULL), 0);
	for (int round = 0; round < 2; round++) {
		assert_int_equal(catalog_make_private(catalog, NULL), 0);
		assert_int_equal(catalog_state(catalog), CATALOG_PRIVATE);
		assert_int_equal(counts_of(catalog).segments, 0);
		assert_int_equal(find_made(catalog, 0, 1), 0);
		assert_int_equal(add_made(catalog, 1, 0, 0, 100, NULL), 0);
		assert_int_equal(find_made(catalog, 0, 1), 1);
	}
	catalog_close(catalog);
	/* What lay in the folder is as it was. */
	const struct catalog_fixture *fixture = *state;
	catalog = fixture->open(fixture->arg);
	assert_int_equal(find_made(catalog, 0, 1), fixture->kept);
	catalog_close(catalog);
}

static void test_object__comes_back_as_it_was_put(void **state)
{
	struct catalog *catalog = begin(state);
	struct buf got = {0};
	size_t large = 1 << 20;
	uint8_t *data = malloc(large + 1);
	assert_non_null(data);
	for (size_t i = 0; i <= large; i++)
		data[i] = (uint8_t)(i * 7 + i / 251);
	buf_put(&got, "left", 4);
	assert_int_equal(catalog_object_get(catalog, "marks/none", &got, NULL), ERR_NOT_FOUND);
	assert_int_equal(got.len, 4); /* written on success only */
	assert_int_equal(catalog_object_put(catalog, "marks/large", data, large, NULL), 0);
	assert_int_equal(catalog_object_put(catalog, "marks/empty", NULL, 0, NULL), 0);
	assert_int_equal(catalog_object_put(catalog, "marks/too-large", data, large + 1, NULL), 0);
	assert_int_equal(catalog_object_get(catalog, "marks/large", &got, NULL), 0);
	assert_int_equal(got.len, large);
	assert_memory_equal(got.data, data, large);
	assert_int_equal(catalog_object_get(catalog, "marks/empty", &got, NULL), 0);
	assert_int_equal(got.len, 0);
	assert_int_equal(catalog_object_get(catalog, "marks/too-large", &got, NULL), ERR_NOT_FOUND);
	assert_int_equal(catalog_object_put(catalog, "marks/empty", "now", 3, NULL), 0);
	assert_int_equal(catalog_object_get(catalog, "marks/empty", &got, NULL), 0);
	assert_memory_equal(got.data, "now", 3);
	free(data);
	buf_release(&got);
	catalog_close(catalog);
}

static bool keep_even(void *arg, const char *name)
{
	++*(size_t *)arg;
	assert_int_equal(strncmp(name, "snap/", 5), 0);
	return (name[strlen(name) - 1] - '0') % 2 == 0;
}

static void test_objects_sweep__only_what_is_under_the_prefix_and_not_kept_goes(void **state)
{
	struct catalog *catalog = begin(state);
	struct buf got = {0};
	char name[40];
	size_t asked = 0;
	for (int i = 0; i < 600; i++) {
		snprintf(name, sizeof(name), "snap/%d", i);
		assert_int_equal(catalog_object_put(catalog, name, name, strlen(name), NULL), 0);
	}
	assert_int_equal(catalog_object_put(catalog, "sna", "x", 1, NULL), 0);
	assert_int_equal(catalog_object_put(catalog, "snap0", "x", 1, NULL), 0);
	assert_int_equal(catalog_objects_sweep(catalog, "snap/", keep_even, &asked, NULL), 0);
	assert_int_equal(asked, 600);
	for (int i = 0; i < 600; i++) {
		snprintf(name, sizeof(name), "snap/%d", i);
		assert_int_equal(catalog_object_get(catalog, name, &got, NULL), i % 2 == 0 ? 0 : ERR_NOT_FOUND);
	}
	assert_int_equal(catalog_object_get(catalog, "sna", &got, NULL), 0);
	assert_int_equal(catalog_object_get(catalog, "snap0", &got, NULL), 0);
	buf_release(&got);
	catalog_close(catalog);
}

static void test_model__random_calls_agree_with_a_naive_catalog(void **state)
{
	const struct catalog_fixture *fixture = *state;
	for (uint64_t seed = 1; seed <= 6; seed++) {
		fixture->wipe(fixture->arg);
		catalog_model_run(fixture, seed, 400);
	}
}

/* Threads that look up, and one that adds, while the catalog is made private under them. */
struct crowd {
	struct catalog *catalog;
	atomic_bool stop;
	atomic_uint wrong, found;
};

static void *look_up(void *arg)
{
	struct crowd *crowd = arg;
	for (uint64_t n = 0; !atomic_load(&crowd->stop); n = (n + 7) % 4000) {
		struct catalog_chunk want = made_chunk(n), got;
		int r = catalog_chunk_find(crowd->catalog, 0, want.id, &got, NULL);
		if (r == 0 && got.offset == want.offset && memcmp(got.pack, want.pack, CATALOG_ID_LEN) == 0)
			atomic_fetch_add(&crowd->found, 1);
		else if (r != ERR_NOT_FOUND)
			atomic_fetch_add(&crowd->wrong, 1);
	}
	return NULL;
}

static void test_threads__lookups_go_on_while_rows_enter_and_the_catalog_turns_private(void **state)
{
	struct crowd crowd = {.catalog = begin(state)};
	pthread_t threads[3];
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, look_up, &crowd), 0);
	for (uint64_t n = 0; n < 40; n++) {
		assert_int_equal(add_made(crowd.catalog, n, 0, n * 100, 100, NULL), 0);
		if (n % 15 == 14)
			assert_int_equal(catalog_make_private(crowd.catalog, NULL), 0);
	}
	while (atomic_load(&crowd.found) == 0)
		;
	atomic_store(&crowd.stop, true);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(atomic_load(&crowd.wrong), 0);
	assert_int_equal(find_made(crowd.catalog, 0, 3950), 1);
	catalog_close(crowd.catalog);
}

int catalog_conformance_run(const struct catalog_fixture *fixture)
{
	static struct CMUnitTest tests[] = {
		cmocka_unit_test(test_open__new_catalog_is_empty),
		cmocka_unit_test(test_open__what_was_added_is_there_again),
		cmocka_unit_test(test_open__two_handles_share_rows_where_they_are_kept),
		cmocka_unit_test(test_chunk_find__unknown_id_is_not_found),
		cmocka_unit_test(test_chunk_find__gives_every_field),
		cmocka_unit_test(test_chunk_find__largest_numbers_come_back),
		cmocka_unit_test(test_chunk_find__domains_are_apart),
		cmocka_unit_test(test_chunk_find__gives_the_least_deep_copy),
		cmocka_unit_test(test_segment_add__second_time_changes_nothing),
		cmocka_unit_test(test_segment_add__empty_segment_is_seen),
		cmocka_unit_test(test_segment_add__pack_that_nobody_listed_takes_nothing_in),
		cmocka_unit_test(test_segment_add__pack_known_from_before_need_not_be_listed),
		cmocka_unit_test(test_segment_add__impossible_pack_is_refused),
		cmocka_unit_test(test_pack_find__newest_generation_stays),
		cmocka_unit_test(test_segments__all_come_in_order_of_ids),
		cmocka_unit_test(test_segments__callers_stop_is_returned),
		cmocka_unit_test(test_segment_forget__rows_stay_and_it_can_be_added_again),
		cmocka_unit_test(test_segment_note__noted_segment_counts_as_taken_in),
		cmocka_unit_test(test_packs_drop__their_chunks_go_and_others_stay),
		cmocka_unit_test(test_reset__nothing_is_left),
		cmocka_unit_test(test_make_private__goes_on_empty_and_takes_in),
		cmocka_unit_test(test_object__comes_back_as_it_was_put),
		cmocka_unit_test(test_objects_sweep__only_what_is_under_the_prefix_and_not_kept_goes),
		cmocka_unit_test(test_model__random_calls_agree_with_a_naive_catalog),
		cmocka_unit_test(test_threads__lookups_go_on_while_rows_enter_and_the_catalog_turns_private),
	};
	for (size_t i = 0; i < ARRAY_LEN(tests); i++)
		tests[i].initial_state = (void *)(uintptr_t)fixture;
	return cmocka_run_group_tests_name(fixture->name, tests, NULL, NULL);
}
