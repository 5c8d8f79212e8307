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
#include "archive/prunelist.h"
#include "archive/repo_listing.h"
#include "archive/session.h"
#include "archive/snapshot_void.h"
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

static struct session *begun(struct repo *repo, struct catalog *catalog)
{
	struct session *s = NULL;
	struct error err = ERROR_INIT;
	if (session_begin(repo, catalog, "db", &s, &err) != 0)
		fail_msg("%s", error_text(&err));
	return s;
}

static struct snapshot *statement(void)
{
	return made_statement(&(struct made_snapshot){.number = 1});
}

/* One backup as a writer does it: begin, a segment, commit. */
static int whole_backup(struct repo *repo, struct catalog *catalog, struct id *ret_id)
{
	struct session *s = NULL;
	struct error err = ERROR_INIT;
	int rc = session_begin(repo, catalog, "db", &s, &err);
	if (rc != 0)
		return rc;
	struct segment seg = {0};
	struct snapshot *snapshot = statement();
	rc = segment_put(repo, &seg, &err);
	if (rc == 0)
		rc = session_commit(s, snapshot, &err);
	*ret_id = s->id;
	snapshot_free(snapshot);
	session_free(s);
	return rc;
}

static void test_session_commit__snapshot_stands_and_session_is_gone(void **state)
{
	struct repo *repo = *state;
	struct session *s = begun(repo, NULL);
	struct snapshot *snapshot = statement();
	int64_t before = clock_now();
	assert_int_equal(made_count(repo, "sessions/"), 1);
	assert_int_equal(session_commit(s, snapshot, NULL), 0);
	assert_int_equal(made_count(repo, "sessions/"), 0);
	const struct snapset *set = made_set(repo);
	assert_int_equal(set->count, 1);
	assert_int_equal(set->fault_count, 0);
	const struct snapshot *got = set->list[0];
	assert_true(id_equal(&got->id, &s->id));
	assert_true(got->time >= before && got->time <= clock_now());
	assert_int_equal(got->seq, 1);
	assert_true(id_is_zero(&got->previous));
	assert_true(id_equal(&got->slot, &repo->own->id));
	assert_string_equal(got->name, snapshot->name);
	assert_int_equal(strlen(got->name), strlen("2024-01-15T14:30"));
	assert_memory_equal(&got->statement_hash, &snapshot->statement_hash, sizeof(struct id));
	snapset_unref(set);
	snapshot_free(snapshot);
	session_free(s);
}

static void test_session_commit__statements_of_a_slot_are_a_chain(void **state)
{
	struct repo *repo = *state;
	struct id ids[3];
	for (int i = 0; i < 3; i++)
		assert_int_equal(whole_backup(repo, NULL, &ids[i]), 0);
	const struct snapset *set = made_set(repo);
	for (int i = 0; i < 3; i++) {
		const struct snapshot *s = snapset_by_id(set, &ids[i]);
		assert_int_equal(s->seq, i + 1);
		if (i > 0)
			assert_memory_equal(&s->previous, &snapset_by_id(set, &ids[i - 1])->statement_hash, 32);
		assert_int_equal(s->seen_count, 0);
	}
	/* The newest is forgotten: the sequence goes on behind it. */
	made_mark(repo, MARK_FORGET, &ids[2]);
	struct id fourth;
	assert_int_equal(whole_backup(repo, NULL, &fourth), 0);
	snapset_unref(set);
	set = made_set(repo);
	assert_int_equal(snapset_by_id(set, &fourth)->seq, 4);
	snapset_unref(set);
}

static void test_session_commit__says_what_it_saw_of_other_slots(void **state)
{
	struct repo *repo = *state;
	static const uint8_t other_key[32] = "the key of some other machine...";
	const struct repo_unlock by_other = {.key = other_key};
	struct id slot, mine, theirs;
	assert_int_equal(whole_backup(repo, NULL, &mine), 0);
	assert_int_equal(repo_key_add(repo, &by_other, "other", &slot, NULL), 0);
	struct repo *other = NULL;
	struct store *copy = NULL;
	assert_int_equal(store_fault_cut(repo->store, store_fault_history(repo->store), &copy, NULL), 0);
	assert_int_equal(repo_open(copy, &by_other, NULL, &other, NULL), 0);
	assert_int_equal(whole_backup(other, NULL, &theirs), 0);
	const struct snapset *set = made_set(other);
	const struct snapshot *s = snapset_by_id(set, &theirs);
	assert_int_equal(s->seq, 1);
	assert_int_equal(s->seen_count, 1);
	assert_true(id_equal(&s->seen[0].slot, &repo->own->id));
	assert_int_equal(s->seen[0].seq, 1);
	snapset_unref(set);
	repo_close(other);
}

static void test_session_commit__partial_has_its_ending(void **state)
{
	struct repo *repo = *state;
	struct session *s = begun(repo, NULL);
	struct snapshot *snapshot = statement();
	snapshot->state = SNAPSHOT_PARTIAL;
	assert_int_equal(session_commit(s, snapshot, NULL), 0);
	assert_non_null(strstr(snapshot->name, ".partial"));
	const struct snapset *set = made_set(repo);
	assert_null(snapset_latest(set, "db", 0));
	snapset_unref(set);
	snapshot_free(snapshot);
	session_free(s);
}

/* ---- order ---- */

/* What stood in the store when an object first appeared: counts under the prefixes after n changes. */
static size_t standing(struct repo *repo, size_t n, const char *prefix)
{
	struct store *cut = NULL;
	struct id_list list = {0};
	assert_int_equal(store_fault_cut(repo->store, n, &cut, NULL), 0);
	assert_int_equal(repo_list_ids(cut, prefix, NULL, &list, NULL), 0);
	size_t count = list.count;
	id_list_release(&list);
	store_close(cut);
	return count;
}

static void test_session__puts_session_then_segment_then_snapshot(void **state)
{
	struct repo *repo = *state;
	struct id id;
	size_t first = store_fault_history(repo->store);
	assert_int_equal(whole_backup(repo, NULL, &id), 0);
	for (size_t n = first; n <= store_fault_history(repo->store); n++) {
		bool session = standing(repo, n, "sessions/") > 0, snapshot = standing(repo, n, "snapshots/") > 0;
		bool segment = standing(repo, n, "index/") > 0;
		assert_true(!segment || session || snapshot);
		assert_true(!snapshot || segment);
	}
	assert_int_equal(standing(repo, store_fault_history(repo->store), "sessions/"), 0);
}

static void test_session_begin__reads_nothing_before_the_session_is_acknowledged(void **state)
{
	struct repo *repo = *state;
	static const char *const read_after[] = {"prune/", "marks/", "snapshots/", "index/"};
	struct catalog *catalog = made_catalog(repo, NULL);
	/* The put of the session fails: then nothing at all may have been read. */
	const struct fault_rule no_session = {.kind = FAULT_FAIL, .ops = FAULT_PUT, .prefix = "sessions/"};
	struct session *s = NULL;
	assert_int_equal(store_fault_add(repo->store, &no_session, NULL), 0);
	uint64_t reads = store_fault_calls(repo->store, FAULT_GET | FAULT_LIST);
	assert_int_equal(session_begin(repo, catalog, "db", &s, NULL), ERR_UNAVAILABLE);
	assert_int_equal(store_fault_calls(repo->store, FAULT_GET | FAULT_LIST), reads);
	store_fault_clear(repo->store);
	/* Each of these is listed afterwards, and failing to is failing to begin. */
	for (size_t i = 0; i < sizeof(read_after) / sizeof(read_after[0]); i++) {
		const struct fault_rule no_list = {.kind = FAULT_FAIL, .ops = FAULT_LIST, .prefix = read_after[i]};
		assert_int_equal(store_fault_add(repo->store, &no_list, NULL), 0);
		assert_int_equal(session_begin(repo, catalog, "db", &s, NULL), ERR_UNAVAILABLE);
		store_fault_clear(repo->store);
	}
	/* And each of those ended its session by a void. */
	assert_int_equal(made_count(repo, "sessions/"), 0);
	const struct snapset *set = made_set(repo);
	assert_int_equal(set->void_count, 4);
	assert_int_equal(set->fault_count, 0);
	snapset_unref(set);
	catalog_close(catalog);
}

static void test_session_begin__ignores_what_was_listed_while_opening(void **state)
{
	struct repo *repo = *state;
	repo_close(repo);
	struct store *memory = NULL, *store = NULL;
	static const uint8_t key[32] = "one more key, for this test only";
	const struct repo_unlock unlock = {.key = key};
	struct id slot;
	assert_int_equal(store_memory_open(&memory, NULL), 0);
	assert_int_equal(store_fault_open(memory, &store, NULL), 0);
	assert_int_equal(repo_init(store, &unlock, "x", &slot, NULL), 0);
	assert_int_equal(repo_open(store, &unlock, NULL, &repo, NULL), 0);
	*state = repo;
	assert_non_null(repo->listing);
	made_snapshot(repo, &(struct made_snapshot){0});
	struct session *s = begun(repo, NULL);
	assert_int_equal(s->set->count, 1);
	session_free(s);
}

static void test_session_begin__another_datasets_slot_is_denied(void **state)
{
	struct repo *repo = *state;
	struct session *s = NULL;
	char *allowed[] = {(char *)"files"};
	repo->own->datasets = allowed;
	repo->own->dataset_count = 1;
	assert_int_equal(session_begin(repo, NULL, "db", &s, NULL), ERR_DENIED);
	repo->own->datasets = NULL;
	repo->own->dataset_count = 0;
	assert_int_equal(session_begin(repo, NULL, "a/b", &s, NULL), ERR_USAGE);
	assert_int_equal(made_count(repo, "sessions/"), 0);
}

/* ---- prunes ---- */

static void test_session_begin__knows_condemned_packs_and_forgets_dead_ones(void **state)
{
	struct repo *repo = *state;
	struct catalog *catalog = made_catalog(repo, NULL);
	struct id packs[3];
	made_segment(repo, 0, 24); /* three packs of eight */
	for (uint32_t i = 0; i < 3; i++)
		made_pack_id(i * 8, packs[i].b);
	assert_int_equal(prunelist_put(repo, 1, false, packs, 2, NULL, 0, NULL), 0);
	assert_int_equal(prunelist_put(repo, 1, true, packs, 1, NULL, 0, NULL), 0);
	assert_int_equal(prunelist_put(repo, 2, false, packs + 2, 1, NULL, 0, NULL), 0);
	struct session *s = begun(repo, catalog);
	/* Of prune 1 the verdict counts, not what was condemned; prune 2 is still open. */
	assert_true(session_pack_banned(s, &packs[0]));
	assert_false(session_pack_banned(s, &packs[1]));
	assert_true(session_pack_banned(s, &packs[2]));
	made_expect_chunks(catalog, 8, 16, 24);
	session_free(s);
	catalog_close(catalog);
}

static void test_session_begin__a_prune_list_that_does_not_open_stops_it(void **state)
{
	struct repo *repo = *state;
	struct id pack = {{1}};
	struct session *s = NULL;
	assert_int_equal(prunelist_put(repo, 1, true, &pack, 1, NULL, 0, NULL), 0);
	made_damage(repo, "prune/1.verdict");
	assert_int_equal(session_begin(repo, NULL, "db", &s, NULL), ERR_CORRUPT);
}

/* ---- voids ---- */

/* A pruner ends the session: it opens the wrap and takes the snapshot's name. */
static void end_by_void(struct repo *repo, const struct id *id)
{
	uint8_t key[FORMAT_KEY_LEN];
	char name[FORMAT_NAME_MAX];
	struct buf object = {0};
	assert_int_equal(object_get_key(repo, KIND_SNAPSHOT, id, key, NULL), 0);
	assert_int_equal(snapshot_void_seal(repo, id, key, &object, NULL), 0);
	object_name(KIND_SNAPSHOT, 0, id, name);
	assert_int_equal(store_put_mem(repo->store, NULL, name, object.data, object.len, NULL, NULL), 0);
	buf_release(&object);
}

static void test_session_commit__void_that_came_first_wins(void **state)
{
	struct repo *repo = *state;
	struct session *s = begun(repo, NULL);
	struct snapshot *snapshot = statement();
	end_by_void(repo, &s->id);
	assert_int_equal(session_commit(s, snapshot, NULL), ERR_VOID);
	assert_int_equal(made_count(repo, "sessions/"), 0);
	const struct snapset *set = made_set(repo);
	assert_int_equal(set->count, 0);
	assert_int_equal(set->void_count, 1);
	assert_int_equal(set->fault_count, 0);
	snapset_unref(set);
	session_free(s);
	/* Begun anew it goes through. */
	s = begun(repo, NULL);
	assert_int_equal(session_commit(s, snapshot, NULL), 0);
	snapshot_free(snapshot);
	session_free(s);
}

static void test_session_commit__foreign_object_under_its_name_is_told(void **state)
{
	struct repo *repo = *state;
	struct session *s = begun(repo, NULL);
	struct snapshot *snapshot = statement();
	char name[FORMAT_NAME_MAX];
	object_name(KIND_SNAPSHOT, 0, &s->id, name);
	assert_int_equal(
		store_put_mem(repo->store, NULL, name, "something else that is long enough, surely", 42, NULL, NULL),
		0);
	assert_int_equal(session_commit(s, snapshot, NULL), ERR_EXISTS);
	snapshot_free(snapshot);
	session_free(s);
}

static void test_session_abandon__leaves_a_void_and_no_session(void **state)
{
	struct repo *repo = *state;
	struct session *s = begun(repo, NULL);
	assert_int_equal(session_abandon(s, NULL), 0);
	assert_int_equal(session_abandon(s, NULL), 0);
	session_free(s);
	const struct snapset *set = made_set(repo);
	assert_int_equal(made_count(repo, "sessions/"), 0);
	assert_int_equal(set->void_count, 1);
	assert_int_equal(set->fault_count, 0);
	snapset_unref(set);
}

/* ---- lost replies and crashes ---- */

static void test_session_commit__lost_reply_is_no_failure(void **state)
{
	struct repo *repo = *state;
	struct session *s = begun(repo, NULL);
	struct snapshot *snapshot = statement();
	const struct fault_rule lost = {.kind = FAULT_LOSE_REPLY, .ops = FAULT_PUT, .nth = 1, .prefix = "snapshots/"};
	assert_int_equal(store_fault_add(repo->store, &lost, NULL), 0);
	assert_int_equal(session_commit(s, snapshot, NULL), 0);
	const struct snapset *set = made_set(repo);
	assert_int_equal(set->count, 1);
	snapset_unref(set);
	snapshot_free(snapshot);
	session_free(s);
}

static void test_session_commit__second_try_puts_the_very_same_bytes(void **state)
{
	struct repo *repo = *state;
	struct session *s = begun(repo, NULL);
	struct snapshot *snapshot = statement();
	const struct fault_rule down = {.kind = FAULT_FAIL, .ops = FAULT_PUT, .nth = 0, .prefix = "snapshots/"};
	assert_int_equal(store_fault_add(repo->store, &down, NULL), 0);
	assert_int_equal(session_commit(s, snapshot, NULL), ERR_UNAVAILABLE);
	int64_t time = snapshot->time;
	store_fault_clear(repo->store);
	assert_int_equal(made_count(repo, "sessions/"), 1);
	assert_int_equal(session_commit(s, snapshot, NULL), 0);
	assert_true(snapshot->time == time);
	const struct snapset *set = made_set(repo);
	assert_true(set->list[0]->time == time);
	snapset_unref(set);
	snapshot_free(snapshot);
	session_free(s);
}

/* Whatever call fails: what is said to be committed stands, what is not is no fault, and the next backup goes through.
 */
static void test_session__every_call_failing(void **state)
{
	struct repo *repo = *state;
	static const enum fault_kind kinds[] = {FAULT_FAIL, FAULT_LOSE_REPLY};
	struct id id;
	uint64_t before = store_fault_calls(repo->store, FAULT_ALL);
	assert_int_equal(whole_backup(repo, NULL, &id), 0);
	uint64_t calls = store_fault_calls(repo->store, FAULT_ALL) - before;
	for (size_t k = 0; k < 2; k++) {
		for (uint64_t n = 1; n <= calls + 4; n++) {
			const struct fault_rule rule = {.kind = kinds[k], .ops = FAULT_ALL, .nth = n};
			size_t standing_before = made_count(repo, "snapshots/");
			assert_int_equal(store_fault_add(repo->store, &rule, NULL), 0);
			int rc = whole_backup(repo, NULL, &id);
			store_fault_clear(repo->store);
			const struct snapset *set = made_set(repo);
			assert_int_equal(set->fault_count, 0);
			assert_true(made_count(repo, "snapshots/") <= standing_before + 1);
			if (rc == 0)
				assert_non_null(snapset_by_id(set, &id));
			snapset_unref(set);
		}
	}
	assert_int_equal(whole_backup(repo, NULL, &id), 0);
}

static void test_session__cut_after_every_call(void **state)
{
	struct repo *repo = *state;
	struct id first, second, third;
	assert_int_equal(whole_backup(repo, NULL, &first), 0);
	size_t from = store_fault_history(repo->store);
	assert_int_equal(whole_backup(repo, NULL, &second), 0);
	for (size_t n = from; n <= store_fault_history(repo->store); n++) {
		struct repo *cut = made_cut(repo, n);
		const struct snapset *set = made_set(cut);
		assert_int_equal(set->fault_count, 0);
		assert_non_null(snapset_by_id(set, &first));
		snapset_unref(set);
		assert_int_equal(whole_backup(cut, NULL, &third), 0);
		set = made_set(cut);
		assert_non_null(snapset_by_id(set, &third));
		assert_int_equal(set->fault_count, 0);
		snapset_unref(set);
		repo_close(cut);
	}
}

/* Over a line the reading goes on side by side; the outcome is the same. */
static void test_session__on_a_remote_store_it_is_the_same(void **state)
{
	struct repo *repo = *state;
	struct catalog *catalog = made_catalog(repo, NULL);
	struct id id, pack = {{1}};
	repo->store->features &= ~(unsigned)STORE_LOCAL;
	repo->store->parallel = 8;
	for (int i = 0; i < 100; i++)
		id = made_snapshot(
			repo, &(struct made_snapshot){.time = made_time("2024-01-01") + i * 60 * CLOCK_SECOND});
	for (uint32_t i = 0; i < 20; i++)
		made_segment(repo, i * 10, 10);
	for (uint64_t i = 1; i < 10; i++)
		assert_int_equal(prunelist_put(repo, i, true, &pack, 1, NULL, 0, NULL), 0);
	made_mark(repo, MARK_HOLD, &id);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(whole_backup(repo, catalog, &id), 0);
		struct session *s = begun(repo, catalog);
		assert_int_equal(s->set->count, 101 + i);
		assert_int_equal(s->set->fault_count, 0);
		assert_int_equal(s->banned_count, 1);
		made_expect_chunks(catalog, 0, 200, 210);
		assert_int_equal(snapset_summarise(repo, s->set, NULL), 0);
		assert_int_equal(segment_merge(repo, catalog, NULL), 0);
		assert_int_equal(session_abandon(s, NULL), 0);
		session_free(s);
	}
	catalog_close(catalog);
}

static void test_session__no_two_objects_share_their_sealed_bytes(void **state)
{
	struct repo *repo = *state;
	struct session *s = begun(repo, NULL);
	char name[FORMAT_NAME_MAX];
	struct buf session = {0}, content = {0};
	object_name(KIND_SESSION, 0, &s->id, name);
	assert_int_equal(store_get_all(repo->store, NULL, name, 1 << 20, &session, NULL), 0);
	/* Sealed at the same offset, but under another key: the snapshot's own does not open it. */
	assert_int_equal(object_unseal(repo, KIND_SESSION, &s->id, s->key, session.data, session.len, &content, NULL),
		ERR_CORRUPT);
	uint8_t key[FORMAT_KEY_LEN];
	seal_derive(s->key, "drfs session", key);
	assert_int_equal(object_unseal(repo, KIND_SESSION, &s->id, key, session.data, session.len, &content, NULL), 0);
	buf_release(&session);
	buf_release(&content);
	session_free(s);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_session_commit__snapshot_stands_and_session_is_gone),
		TEST(test_session_commit__statements_of_a_slot_are_a_chain),
		TEST(test_session_commit__says_what_it_saw_of_other_slots),
		TEST(test_session_commit__partial_has_its_ending),
		TEST(test_session__puts_session_then_segment_then_snapshot),
		TEST(test_session_begin__reads_nothing_before_the_session_is_acknowledged),
		TEST(test_session_begin__ignores_what_was_listed_while_opening),
		TEST(test_session_begin__another_datasets_slot_is_denied),
		TEST(test_session_begin__knows_condemned_packs_and_forgets_dead_ones),
		TEST(test_session_begin__a_prune_list_that_does_not_open_stops_it),
		TEST(test_session_commit__void_that_came_first_wins),
		TEST(test_session_commit__foreign_object_under_its_name_is_told),
		TEST(test_session_abandon__leaves_a_void_and_no_session),
		TEST(test_session_commit__lost_reply_is_no_failure),
		TEST(test_session_commit__second_try_puts_the_very_same_bytes),
		TEST(test_session__every_call_failing),
		TEST(test_session__cut_after_every_call),
		TEST(test_session__on_a_remote_store_it_is_the_same),
		TEST(test_session__no_two_objects_share_their_sealed_bytes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
