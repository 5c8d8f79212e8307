/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "archive/mark.h"
#include "archive/object.h"
#include "archive/repo_listing.h"
#include "archive/summary.h"
#include "archive_made.h"
#include "base/clock.h"

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

static struct id put_nth(struct repo *repo, int n)
{
	return made_snapshot(repo, &(struct made_snapshot){.time = made_time("2024-01-01") + n * 60 * CLOCK_SECOND,
					   .seq = (uint64_t)n + 1,
					   .root_sealed = 200});
}

static void summarise(struct repo *repo)
{
	struct error err = ERROR_INIT;
	const struct snapset *set = made_set(repo);
	if (snapset_summarise(repo, set, &err) != 0)
		fail_msg("%s", error_text(&err));
	snapset_unref(set);
}

/* ---- the codec ---- */

static void test_summary_decode__gives_back_entries_and_inputs(void **state)
{
	struct repo *repo = *state;
	struct buf a = {0}, content = {0};
	struct summary s;
	struct id_list inputs = {0};
	struct id first = put_nth(repo, 0), input = {{4}};
	assert_int_equal(object_get(repo, KIND_SNAPSHOT, &first, &a, NULL), 0);
	const struct summary_entry entry = {.id = first, .data = a.data, .len = a.len};
	assert_true(summary_put_entry(&content, &entry, true));
	assert_true(summary_put_entry(&content, &entry, false));
	assert_true(id_list_add(&inputs, &input));
	summary_put_inputs(&content, &inputs);
	assert_int_equal(summary_decode(content.data, content.len, &s, NULL), 0);
	assert_int_equal(s.count, 2);
	assert_int_equal(s.entries[0].len, a.len);
	assert_memory_equal(s.entries[0].data, a.data, a.len);
	assert_true(s.entries[1].len < a.len - 200);
	assert_int_equal(s.inputs.count, 1);
	assert_true(id_equal(&s.inputs.ids[0], &input));
	summary_release(&s);
	for (size_t len = 0; len < content.len; len++)
		if (summary_decode(content.data, len, &s, NULL) == 0)
			summary_release(&s);
	/* Rubbish is no entry. */
	assert_false(
		summary_put_entry(&content, &(struct summary_entry){.data = (const uint8_t *)"\x7f", .len = 1}, true));
	id_list_release(&inputs);
	buf_release(&a);
	buf_release(&content);
}

/* ---- putting them ---- */

static void test_snapset_summarise__sixteen_are_left_alone(void **state)
{
	for (int i = 0; i < 16; i++)
		put_nth(*state, i);
	summarise(*state);
	assert_int_equal(made_count(*state, "summaries/"), 0);
	put_nth(*state, 16);
	summarise(*state);
	assert_int_equal(made_count(*state, "summaries/"), 1);
}

static void test_snapset_load__reads_a_summary_instead_of_snapshots(void **state)
{
	struct repo *repo = *state;
	struct id ids[20];
	for (int i = 0; i < 19; i++)
		ids[i] = put_nth(repo, i);
	ids[19] = made_void(repo);
	made_mark(repo, MARK_FORGET, &ids[3]);
	const struct snapset *before = made_set(repo);
	summarise(repo);
	uint64_t gets = store_fault_calls(repo->store, FAULT_GET);
	const struct snapset *after = made_set(repo);
	assert_int_equal(store_fault_calls(repo->store, FAULT_GET), gets + 4); /* mark and summary, each with its key */
	assert_int_equal(after->count, 18);
	assert_int_equal(after->uncovered, 0);
	assert_int_equal(before->uncovered, 20);
	assert_int_equal(after->void_count, 1);
	for (size_t i = 0; i < 18; i++) {
		assert_true(id_equal(&after->list[i]->id, &before->list[i]->id));
		assert_string_equal(after->list[i]->name, before->list[i]->name);
		assert_int_equal(after->list[i]->number, before->list[i]->number);
		assert_memory_equal(&after->list[i]->statement_hash, &before->list[i]->statement_hash, 32);
		/* The newest two of the dataset bring their root nodes. */
		assert_int_equal(after->list[i]->root_sealed.len, i < 16 ? 0 : 200);
	}
	/* A snapshot's own object may be gone: the summary holds it. */
	char name[FORMAT_NAME_MAX];
	object_name(KIND_SNAPSHOT, 0, &ids[0], name);
	assert_int_equal(store_del(repo->store, NULL, name, NULL), 0);
	snapset_unref(before);
	before = after;
	after = made_set(repo);
	assert_int_equal(after->count, 18);
	snapset_unref(before);
	snapset_unref(after);
}

static void test_snapset_load__damaged_summary_hides_no_snapshot(void **state)
{
	struct repo *repo = *state;
	struct id_list list = {0};
	char name[FORMAT_NAME_MAX];
	for (int i = 0; i < 17; i++)
		put_nth(repo, i);
	summarise(repo);
	assert_int_equal(repo_list_ids(repo->store, "summaries/", NULL, &list, NULL), 0);
	object_name(KIND_SUMMARY, 0, &list.ids[0], name);
	made_damage(repo, name);
	const struct snapset *set = made_set(repo);
	assert_int_equal(set->count, 17);
	assert_int_equal(set->uncovered, 17);
	assert_int_equal(set->fault_count, 1);
	snapset_unref(set);
	id_list_release(&list);
}

/* Who can write to the bucket makes a summary that says other things of a snapshot: its own object is read then. */
static void test_snapset_load__false_entry_in_a_summary_hides_no_snapshot(void **state)
{
	struct repo *repo = *state;
	struct buf content = {0}, summary = {0};
	uint8_t key[FORMAT_KEY_LEN];
	struct id id = put_nth(repo, 0), summary_id;
	assert_int_equal(object_get(repo, KIND_SNAPSHOT, &id, &content, NULL), 0);
	content.data[40] ^= 1;
	assert_true(summary_put_entry(&summary, &(struct summary_entry){id, content.data, content.len}, true));
	object_draw(repo, KIND_SUMMARY, key, &summary_id);
	assert_int_equal(object_put(repo, KIND_SUMMARY, &summary_id, key, summary.data, summary.len, NULL, NULL), 0);
	const struct snapset *set = made_set(repo);
	assert_int_equal(set->count, 1);
	assert_int_equal(set->fault_count, 0);
	snapset_unref(set);
	buf_release(&content);
	buf_release(&summary);
}

static void test_snapset_summarise__small_ones_are_merged(void **state)
{
	struct repo *repo = *state;
	const struct snapset *set = NULL;
	int n = 0;
	size_t most = 0;
	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < 17; i++)
			put_nth(repo, n++);
		summarise(repo);
		size_t count = made_count(repo, "summaries/");
		most = count > most ? count : most;
		set = made_set(repo);
		assert_int_equal(set->count, n);
		assert_int_equal(set->uncovered, 0);
		assert_int_equal(set->fault_count, 0);
		snapset_unref(set);
	}
	assert_true(most <= 9);
}

/* A host lists, another merges, the first fetches what is no more: it sees all the same. */
static void test_snapset_load__summary_that_was_merged_away_meanwhile(void **state)
{
	struct repo *repo = *state;
	const struct snapset *set = NULL;
	int n = 0;
	while (made_count(repo, "summaries/") < 8) {
		for (int i = 0; i < 17; i++)
			put_nth(repo, n++);
		summarise(repo);
	}
	/* Listed now, as a mount that is about to fetch has it. */
	struct repo *slow = made_other_host(repo);
	assert_int_equal(repo_listing_load(slow, &slow->listing, NULL), 0);
	for (int i = 0; i < 17; i++)
		put_nth(slow, n++);
	const struct snapset *other = NULL;
	struct repo_listing *kept = repo_take_listing(slow);
	assert_int_equal(snapset_load(slow, NULL, NULL, &other, NULL), 0);
	assert_int_equal(snapset_summarise(slow, other, NULL), 0);
	assert_true(made_count(slow, "summaries/") < 8);
	slow->listing = kept;
	assert_int_equal(snapset_load(slow, NULL, NULL, &set, NULL), 0);
	assert_int_equal(set->count, n);
	assert_int_equal(set->fault_count, 0);
	snapset_unref(set);
	snapset_unref(other);
	repo_close(slow);
}

static void test_snapset_summarise__cut_after_every_call_loses_nothing(void **state)
{
	struct repo *repo = *state;
	int n = 0;
	while (made_count(repo, "summaries/") < 8) {
		for (int i = 0; i < 17; i++)
			put_nth(repo, n++);
		summarise(repo);
	}
	for (int i = 0; i < 17; i++)
		put_nth(repo, n++);
	size_t from = store_fault_history(repo->store);
	summarise(repo);
	for (size_t cut_at = from; cut_at <= store_fault_history(repo->store); cut_at++) {
		struct repo *cut = made_cut(repo, cut_at);
		for (int again = 0; again < 2; again++) {
			const struct snapset *set = made_set(cut);
			assert_int_equal(set->count, n);
			assert_int_equal(set->fault_count, 0);
			snapset_unref(set);
			summarise(cut);
		}
		repo_close(cut);
	}
}

static void test_snapset_summarise__failing_calls_are_told_and_harmless(void **state)
{
	struct repo *repo = *state;
	for (int i = 0; i < 17; i++)
		put_nth(repo, i);
	const struct snapset *set = made_set(repo);
	const struct fault_rule down = {.kind = FAULT_FAIL, .ops = FAULT_PUT, .prefix = "summaries/"};
	assert_int_equal(store_fault_add(repo->store, &down, NULL), 0);
	assert_int_equal(snapset_summarise(repo, set, NULL), ERR_UNAVAILABLE);
	store_fault_clear(repo->store);
	snapset_unref(set);
	set = made_set(repo);
	assert_int_equal(set->count, 17);
	assert_int_equal(set->fault_count, 0);
	assert_int_equal(snapset_summarise(repo, set, NULL), 0);
	snapset_unref(set);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_summary_decode__gives_back_entries_and_inputs),
		TEST(test_snapset_summarise__sixteen_are_left_alone),
		TEST(test_snapset_load__reads_a_summary_instead_of_snapshots),
		TEST(test_snapset_load__damaged_summary_hides_no_snapshot),
		TEST(test_snapset_load__false_entry_in_a_summary_hides_no_snapshot),
		TEST(test_snapset_summarise__small_ones_are_merged),
		TEST(test_snapset_load__summary_that_was_merged_away_meanwhile),
		TEST(test_snapset_summarise__cut_after_every_call_loses_nothing),
		TEST(test_snapset_summarise__failing_calls_are_told_and_harmless),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
