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
#include "archive/session.h"
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

static struct buf content_of(struct repo *repo, const struct id *id)
{
	struct buf b = {0};
	assert_int_equal(object_get(repo, KIND_MARK, id, &b, NULL), 0);
	return b;
}

static void test_mark_decode__gives_back_what_was_put(void **state)
{
	struct repo *repo = *state;
	struct mark in = {.kind = MARK_DRILL,
		.subject = {{7}},
		.reason = (char *)"monthly",
		.data = (uint8_t *)"\0x",
		.data_len = 2};
	struct mark *out = NULL;
	int64_t before = clock_now();
	assert_int_equal(mark_put(repo, &in, NULL), 0);
	struct buf b = content_of(repo, &in.id);
	assert_int_equal(mark_decode(repo, &in.id, b.data, b.len, &out, NULL), 0);
	assert_int_equal(out->kind, MARK_DRILL);
	assert_true(id_equal(&out->subject, &in.subject));
	assert_true(id_equal(&out->slot, &repo->own->id));
	assert_true(out->time >= before && out->time == in.time);
	assert_string_equal(out->reason, "monthly");
	assert_int_equal(out->data_len, 2);
	assert_memory_equal(out->data, "\0x", 2);
	struct mark *copy = mark_copy(out);
	assert_memory_equal(copy->data, out->data, 2);
	assert_string_equal(copy->reason, "monthly");
	mark_free(copy);
	mark_free(out);
	buf_release(&b);
}

static void test_mark_decode__flipped_or_cut_is_refused(void **state)
{
	struct repo *repo = *state;
	struct mark *out = NULL;
	struct id id = made_mark(repo, MARK_FORGET, &(struct id){{1}});
	struct buf b = content_of(repo, &id);
	for (size_t bit = 0; bit < 8 * b.len; bit++) {
		b.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_not_equal(mark_decode(repo, &id, b.data, b.len, &out, NULL), 0);
		b.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	for (size_t len = 0; len < b.len; len++)
		assert_int_not_equal(mark_decode(repo, &id, b.data, len, &out, NULL), 0);
	buf_release(&b);
}

/* Each kind needs its right, both of who puts it and of who reads it later. */
static void test_mark__every_kind_needs_its_right(void **state)
{
	struct repo *repo = *state;
	static const struct {
		enum mark_kind kind;
		unsigned right;
	} table[] = {
		{MARK_HOLD, RIGHT_HOLD},
		{MARK_UNHOLD, RIGHT_HOLD},
		{MARK_FORGET, RIGHT_FORGET},
		{MARK_VERIFIED, RIGHT_READ},
		{MARK_DAMAGED, RIGHT_READ},
		{MARK_UNDAMAGED, RIGHT_READ},
		{MARK_DRILL, RIGHT_READ},
		{MARK_REPLICAS, RIGHT_KEYS},
	};
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct mark m = {.kind = table[i].kind, .subject = {{1}}}, *out = NULL;
		repo->own->rights = RIGHT_ALL & ~table[i].right;
		assert_int_equal(mark_put(repo, &m, NULL), ERR_DENIED);
		repo->own->rights = table[i].right;
		assert_int_equal(mark_put(repo, &m, NULL), 0);
		struct buf b = content_of(repo, &m.id);
		assert_int_equal(mark_decode(repo, &m.id, b.data, b.len, &out, NULL), 0);
		mark_free(out);
		repo->own->rights = RIGHT_ALL & ~table[i].right;
		assert_int_equal(mark_decode(repo, &m.id, b.data, b.len, &out, NULL), ERR_DENIED);
		buf_release(&b);
	}
	repo->own->rights = RIGHT_ALL;
}

static void test_mark__revocation_needs_the_root_key(void **state)
{
	struct repo *repo = *state;
	struct mark m = {.kind = MARK_GENERATION, .subject = {{1}}}, *out = NULL;
	repo->own->rights = RIGHT_ALL & ~(unsigned)RIGHT_KEYS;
	assert_int_equal(mark_put(repo, &m, NULL), ERR_DENIED);
	repo->own->rights = RIGHT_ALL;
	assert_int_equal(mark_put(repo, &m, NULL), 0);
	assert_true(id_is_zero(&m.slot));
	struct buf b = content_of(repo, &m.id);
	assert_int_equal(mark_decode(repo, &m.id, b.data, b.len, &out, NULL), 0);
	repo->sec->root_public[0] ^= 1;
	mark_free(out);
	out = NULL;
	assert_int_equal(mark_decode(repo, &m.id, b.data, b.len, &out, NULL), ERR_CORRUPT);
	repo->sec->root_public[0] ^= 1;
	buf_release(&b);
}

static void test_mark_put__unknown_kind_is_a_bug(void **state)
{
	struct mark m = {.kind = (enum mark_kind)99, .subject = {{1}}};
	assert_int_equal(mark_put(*state, &m, NULL), ERR_BUG);
}

/* ---- a key that is removed ---- */

static const uint8_t leaver_key[32] = "the key of one who leaves us....";
static const struct repo_unlock by_leaver = {.key = leaver_key};

/* The repository as the leaver opens it now: a copy of the store. */
static struct repo *as_leaver(struct repo *repo)
{
	struct store *copy = NULL, *fault = NULL;
	struct repo *leaver = NULL;
	assert_int_equal(store_fault_cut(repo->store, store_fault_history(repo->store), &copy, NULL), 0);
	assert_int_equal(store_fault_open(copy, &fault, NULL), 0);
	assert_int_equal(repo_open(fault, &by_leaver, NULL, &leaver, NULL), 0);
	repo_listing_free(repo_take_listing(leaver));
	return leaver;
}

static int copy_any(void *arg, const char *name, uint64_t size, struct error *err)
{
	struct repo **pair = arg;
	struct buf object = {0};
	uint64_t known;
	(void)size;
	(void)err;
	if (store_stat(pair[1]->store, NULL, name, &known, NULL) == 0)
		return 0;
	assert_int_equal(store_get_all(pair[0]->store, NULL, name, 1 << 20, &object, NULL), 0);
	assert_int_equal(store_put_mem(pair[1]->store, NULL, name, object.data, object.len, NULL, NULL), 0);
	buf_release(&object);
	return 0;
}

static int copy_key(void *arg, const char *name, uint64_t size, struct error *err)
{
	return strncmp(name, "keys/", 5) == 0 ? copy_any(arg, name, size, err) : 0;
}

static int copy_one(void *arg, const char *name, uint64_t size, struct error *err)
{
	return strncmp(name, "keys/", 5) != 0 ? copy_any(arg, name, size, err) : 0;
}

/* Brings what the leaver put into the one store that both would share. */
static void bring_back(struct repo *leaver, struct repo *repo)
{
	struct repo *pair[2] = {leaver, repo};
	assert_int_equal(store_list(leaver->store, NULL, "", "", copy_one, pair, NULL), 0);
}

static void test_mark_put_revocation__what_the_slot_signed_before_counts_on(void **state)
{
	struct repo *repo = *state;
	struct id slot;
	assert_int_equal(repo_key_add(repo, &by_leaver, "leaver", &slot, NULL), 0);
	struct repo *leaver = as_leaver(repo);
	struct id before = made_snapshot(leaver, &(struct made_snapshot){.time = made_time("2024-01-01")});
	struct id held = made_mark(leaver, MARK_HOLD, &before);
	made_segment(leaver, 0, 10);
	(void)held;
	bring_back(leaver, repo);
	assert_int_equal(repo_key_remove(repo, &slot, false, NULL), 0);
	assert_null(repo_slot(repo, &slot));
	/* The leaver still has his copy of the key, and writes on. */
	struct id after = made_snapshot(leaver, &(struct made_snapshot){.time = made_time("2024-01-02")});
	made_mark(leaver, MARK_FORGET, &before);
	made_segment(leaver, 10, 10);
	made_void(leaver);
	bring_back(leaver, repo);
	const struct snapset *set = made_set(repo);
	assert_int_equal(set->count, 1);
	assert_true(id_equal(&set->list[0]->id, &before));
	assert_true(set->list[0]->held);
	assert_null(snapset_by_id(set, &after));
	assert_int_equal(set->fault_count, 3); /* the snapshot, the mark, the void */
	snapset_unref(set);
	struct catalog *catalog = made_catalog(repo, NULL);
	assert_int_equal(segment_sync(repo, catalog, NULL), 0);
	made_expect_chunks(catalog, 0, 10, 20);
	catalog_close(catalog);
	repo_close(leaver);
}

static void test_mark_put_revocation__repeated_removal_does_not_let_more_in(void **state)
{
	struct repo *repo = *state;
	struct id slot;
	assert_int_equal(repo_key_add(repo, &by_leaver, "leaver", &slot, NULL), 0);
	struct repo *leaver = as_leaver(repo);
	struct id before = made_snapshot(leaver, &(struct made_snapshot){.time = made_time("2024-01-01")});
	bring_back(leaver, repo);
	assert_int_equal(mark_put_revocation(repo, &slot, NULL), 0);
	/* The removal is cut off here; the leaver writes, then it is carried on. */
	made_snapshot(leaver, &(struct made_snapshot){.time = made_time("2024-01-02")});
	bring_back(leaver, repo);
	assert_int_equal(repo_key_remove(repo, &slot, false, NULL), 0);
	const struct snapset *set = made_set(repo);
	assert_int_equal(set->count, 1);
	assert_true(id_equal(&set->list[0]->id, &before));
	snapset_unref(set);
	repo_close(leaver);
}

/* A mount runs for months, meanwhile another host gets a key and writes. */
static void test_signers__slot_that_was_added_later_is_learned(void **state)
{
	struct repo *repo = *state, *admin = made_other_host(repo);
	struct id slot;
	assert_int_equal(repo_key_add(admin, &by_leaver, "newcomer", &slot, NULL), 0);
	struct repo *newcomer = as_leaver(admin);
	struct id id = made_snapshot(newcomer, &(struct made_snapshot){.time = made_time("2024-01-01")});
	made_mark(newcomer, MARK_HOLD, &id);
	made_void(newcomer);
	made_segment(newcomer, 0, 10);
	struct repo *pair[2] = {newcomer, repo};
	assert_int_equal(store_list(newcomer->store, NULL, "", "", copy_key, pair, NULL), 0);
	bring_back(newcomer, repo);
	assert_null(repo_slot(repo, &slot));
	const struct snapset *set = made_set(repo);
	assert_int_equal(set->count, 1);
	assert_true(set->list[0]->held);
	assert_int_equal(set->void_count, 1);
	assert_int_equal(set->fault_count, 0);
	snapset_unref(set);
	struct catalog *catalog = made_catalog(repo, NULL);
	assert_int_equal(segment_sync(repo, catalog, NULL), 0);
	made_expect_chunks(catalog, 0, 10, 20);
	catalog_close(catalog);
	repo_close(newcomer);
	repo_close(admin);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_mark_decode__gives_back_what_was_put),
		TEST(test_mark_decode__flipped_or_cut_is_refused),
		TEST(test_mark__every_kind_needs_its_right),
		TEST(test_mark__revocation_needs_the_root_key),
		TEST(test_mark_put__unknown_kind_is_a_bug),
		TEST(test_mark_put_revocation__what_the_slot_signed_before_counts_on),
		TEST(test_mark_put_revocation__repeated_removal_does_not_let_more_in),
		TEST(test_signers__slot_that_was_added_later_is_learned),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
