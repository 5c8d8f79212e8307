/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive/check.h"
#include "archive/mark.h"
#include "archive/object.h"
#include "archive/repo_listing.h"
#include "archive/session.h"
#include "archive_made.h"

/*
 * What check says of the numbers and hashes by which snapshots hang together. The snapshots here have trees of which
 * nothing is stored, so only what is said of snapshots and has to do with their order is heard.
 */
struct heard {
	unsigned missing, other, warnings;
	char text[1600]; /* of the last one */
};

static void hear(void *arg, enum check_severity severity, const char *object, const char *text)
{
	struct heard *h = arg;
	bool missing = strstr(text, "no forget mark") != NULL,
	     other = strstr(text, "it names another snapshot") != NULL;
	bool revoked = strstr(text, "revoked since") != NULL;
	if (strncmp(object, "snapshots/", 10) != 0 || !(missing || other || revoked))
		return;
	assert_int_equal(severity, revoked ? CHECK_WARNING : CHECK_ERROR);
	h->missing += missing;
	h->other += other;
	h->warnings += revoked;
	snprintf(h->text, sizeof(h->text), "%s", text);
}

static struct heard check_of(struct repo *repo)
{
	struct heard h = {0};
	struct error err = ERROR_INIT;
	struct check_result result;
	const struct check_options options = {.finding = hear, .finding_arg = &h, .threads = 1};
	if (check_run(repo, &options, &result, &err) != 0)
		fail_msg("%s", error_text(&err));
	return h;
}

static struct session *begun(struct repo *repo)
{
	struct session *s = NULL;
	assert_int_equal(session_begin(repo, NULL, "db", &s, NULL), 0);
	return s;
}

static struct id committed(struct session *s)
{
	struct snapshot *snapshot = made_statement(&(struct made_snapshot){.number = 1});
	assert_int_equal(session_commit(s, snapshot, NULL), 0);
	struct id id = s->id;
	snapshot_free(snapshot);
	session_free(s);
	return id;
}

static struct id backup(struct repo *repo)
{
	return committed(begun(repo));
}

static void drop(struct repo *repo, const struct id *id)
{
	char name[FORMAT_NAME_MAX];
	object_name(KIND_SNAPSHOT, 0, id, name);
	assert_int_equal(store_del(repo->store, NULL, name, NULL), 0);
}

static const uint8_t other_key[32] = "the key of some other machine...";

/* The repository with a key slot more, as the machine that has that key sees it. `repo` stays as it is. */
static struct repo *by_other_slot(struct repo *repo)
{
	const struct repo_unlock by_other = {.key = other_key};
	struct id slot;
	struct store *copy = NULL, *store = NULL;
	struct repo *other = NULL;
	assert_int_equal(repo_key_add(repo, &by_other, "other", &slot, NULL), 0);
	assert_int_equal(store_fault_cut(repo->store, store_fault_history(repo->store), &copy, NULL), 0);
	assert_int_equal(store_fault_open(copy, &store, NULL), 0);
	assert_int_equal(repo_open(store, &by_other, NULL, &other, NULL), 0);
	repo_listing_free(repo_take_listing(other));
	return other;
}

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

/* ---- tests ---- */

static void test_check_chain__a_whole_chain_is_no_finding(void **state)
{
	for (int i = 0; i < 4; i++)
		backup(*state);
	struct heard h = check_of(*state);
	assert_int_equal(h.missing + h.other + h.warnings, 0);
}

static void test_check_chain__a_snapshot_taken_from_the_middle_is_told(void **state)
{
	struct id ids[5];
	for (int i = 0; i < 5; i++)
		ids[i] = backup(*state);
	drop(*state, &ids[1]);
	struct heard h = check_of(*state);
	assert_int_equal(h.missing, 1);
	assert_non_null(strstr(h.text, "snapshot number 2, written before it, is missing"));
	assert_non_null(strstr(h.text, "bring 'snapshots/'"));
	drop(*state, &ids[2]);
	h = check_of(*state);
	assert_int_equal(h.missing, 1);
	assert_non_null(strstr(h.text, "snapshots number 2 to 3, written before it, are missing"));
}

static void test_check_chain__the_first_ones_taken_away_are_told(void **state)
{
	struct id first = backup(*state);
	backup(*state);
	drop(*state, &first);
	struct heard h = check_of(*state);
	assert_int_equal(h.missing, 1);
	assert_non_null(strstr(h.text, "snapshot number 1, "));
}

static void test_check_chain__a_forget_mark_explains_a_gap_and_only_one(void **state)
{
	struct id ids[4];
	for (int i = 0; i < 4; i++)
		ids[i] = backup(*state);
	made_mark(*state, MARK_FORGET, &ids[1]);
	drop(*state, &ids[1]);
	assert_int_equal(check_of(*state).missing, 0);
	drop(*state, &ids[2]);
	assert_int_equal(check_of(*state).missing, 1);
}

static void test_check_chain__sessions_that_ended_in_a_void_leave_no_gap(void **state)
{
	backup(*state);
	struct session *s = begun(*state);
	assert_int_equal(session_abandon(s, NULL), 0);
	session_free(s);
	made_void(*state);
	backup(*state);
	struct heard h = check_of(*state);
	assert_int_equal(h.missing + h.other, 0);
}

static void test_check_chain__two_hosts_with_one_key_may_draw_one_number(void **state)
{
	struct repo *repo = *state;
	backup(repo);
	struct session *one = begun(repo), *two = begun(repo);
	struct id ids[2] = {committed(one), committed(two)};
	struct id next = backup(repo);
	struct heard h = check_of(repo);
	assert_int_equal(h.missing + h.other, 0);
	/* Without the one that the next names, that one does not follow what is there. */
	const struct snapset *set = made_set(repo);
	const struct id *named = &snapset_by_id(set, &next)->previous;
	bool first = id_equal(named, &snapset_by_id(set, &ids[0])->statement_hash);
	snapset_unref(set);
	drop(repo, &ids[first ? 0 : 1]);
	h = check_of(repo);
	assert_int_equal(h.other, 1);
	assert_non_null(strstr(h.text, "another snapshot number 2 "));
	made_mark(repo, MARK_FORGET, &ids[first ? 0 : 1]);
	assert_int_equal(check_of(repo).other, 0);
}

static void test_check_chain__what_another_slot_saw_must_be_there(void **state)
{
	struct repo *repo = *state;
	backup(repo);
	struct id second = backup(repo);
	struct repo *other = by_other_slot(repo);
	backup(other);
	struct heard h = check_of(other);
	assert_int_equal(h.missing + h.other, 0);
	drop(other, &second);
	h = check_of(other);
	assert_int_equal(h.missing, 1);
	assert_non_null(strstr(h.text, "snapshot number 2, seen by its writer, is missing"));
	made_mark(other, MARK_FORGET, &second);
	assert_int_equal(check_of(other).missing, 0);
	repo_close(other);
}

/* The slot's last snapshot was put while the slot was being revoked: it stands, was seen, and does not count. */
static void test_check_chain__what_a_revoked_slot_wrote_too_late_is_no_rollback(void **state)
{
	struct repo *repo = *state;
	backup(repo);
	struct repo *other = by_other_slot(repo);
	struct id slot = repo->own->id;
	struct id late = backup(repo);
	char name[FORMAT_NAME_MAX];
	struct buf object = {0}, wrap = {0};
	object_name(KIND_SNAPSHOT, 0, &late, name);
	assert_int_equal(store_get_all(repo->store, NULL, name, 1 << 20, &object, NULL), 0);
	char wrap_name[FORMAT_NAME_MAX];
	object_name(KIND_WRAP, 1, &late, wrap_name);
	assert_int_equal(store_get_all(repo->store, NULL, wrap_name, 1 << 20, &wrap, NULL), 0);
	assert_int_equal(mark_put_revocation(other, &slot, NULL), 0);
	assert_int_equal(store_put_mem(other->store, NULL, wrap_name, wrap.data, wrap.len, NULL, NULL), 0);
	assert_int_equal(store_put_mem(other->store, NULL, name, object.data, object.len, NULL, NULL), 0);
	/* A writer that has not heard of the revocation yet. */
	struct snapshot *by = made_statement(&(struct made_snapshot){.number = 9});
	uint8_t key[FORMAT_KEY_LEN];
	struct buf content = {0};
	object_draw(other, KIND_SNAPSHOT, key, &by->id);
	by->slot = other->own->id;
	by->seen[0] = (struct snapshot_seen){.slot = slot, .seq = 2};
	assert_int_equal(snapshot_encode(other, by, &content, NULL), 0);
	assert_int_equal(object_put(other, KIND_SNAPSHOT, &by->id, key, content.data, content.len, NULL, NULL), 0);
	struct heard h = check_of(other);
	assert_int_equal(h.missing, 0);
	assert_int_equal(h.warnings, 1);
	drop(other, &late);
	h = check_of(other);
	assert_int_equal(h.missing, 1);
	assert_int_equal(h.warnings, 0);
	snapshot_free(by);
	buf_release(&content);
	buf_release(&object);
	buf_release(&wrap);
	repo_close(other);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_check_chain__a_whole_chain_is_no_finding),
		CASE(test_check_chain__a_snapshot_taken_from_the_middle_is_told),
		CASE(test_check_chain__the_first_ones_taken_away_are_told),
		CASE(test_check_chain__a_forget_mark_explains_a_gap_and_only_one),
		CASE(test_check_chain__sessions_that_ended_in_a_void_leave_no_gap),
		CASE(test_check_chain__two_hosts_with_one_key_may_draw_one_number),
		CASE(test_check_chain__what_another_slot_saw_must_be_there),
		CASE(test_check_chain__what_a_revoked_slot_wrote_too_late_is_no_rollback),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
