/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive/mark.h"
#include "archive/object.h"
#include "archive_made.h"
#include "base/checked.h"
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

/* The shown name of a snapshot; "" when it is not in the set. */
static const char *name_of(const struct snapset *set, const struct id *id)
{
	const struct snapshot *s = snapset_by_id(set, id);
	return s ? s->name : "";
}

static struct id put_at(struct repo *repo, const char *time, enum snapshot_state state)
{
	return made_snapshot(repo, &(struct made_snapshot){.time = made_time(time), .state = state});
}

static void test_snapset_load__empty_repository_is_an_empty_set(void **state)
{
	const struct snapset *set = made_set(*state);
	size_t first, count;
	assert_int_equal(set->count, 0);
	assert_int_equal(set->fault_count, 0);
	assert_false(snapset_dataset(set, "db", &first, &count));
	assert_null(snapset_latest(set, "db", 0));
	assert_null(snapset_at(set, "db", INT64_MAX));
	assert_null(snapset_named(set, "db", "2024-01-15T14:30"));
	assert_null(snapset_by_number(set, 1));
	snapset_unref(set);
}

static int gather(void *arg, const char *dataset)
{
	strcat(arg, dataset);
	strcat(arg, " ");
	return 0;
}

static int stop_at_once(void *arg, const char *dataset)
{
	(void)dataset;
	++*(int *)arg;
	return 7;
}

static void test_snapset_load__orders_by_dataset_then_time(void **state)
{
	char names[100] = "";
	int calls = 0;
	size_t first, count;
	made_snapshot(*state, &(struct made_snapshot){.dataset = "files", .time = made_time("2024-01-03")});
	made_snapshot(*state, &(struct made_snapshot){.dataset = "db", .time = made_time("2024-01-02")});
	made_snapshot(*state, &(struct made_snapshot){.dataset = "db", .time = made_time("2024-01-01")});
	const struct snapset *set = made_set(*state);
	assert_int_equal(set->count, 3);
	assert_string_equal(set->list[0]->name, "2024-01-01T00:00");
	assert_string_equal(set->list[1]->name, "2024-01-02T00:00");
	assert_string_equal(set->list[2]->dataset, "files");
	assert_int_equal(snapset_datasets(set, gather, names), 0);
	assert_string_equal(names, "db files ");
	assert_int_equal(snapset_datasets(set, stop_at_once, &calls), 7);
	assert_int_equal(calls, 1);
	assert_true(snapset_dataset(set, "db", &first, &count));
	assert_true(first == 0 && count == 2);
	assert_false(snapset_dataset(set, "d", &first, &count));
	assert_int_equal(set->archive_bytes, 7000);
	snapset_unref(set);
}

/* ---- names and numbers ---- */

static void test_snapset_load__of_two_with_one_name_the_earlier_keeps_it(void **state)
{
	int64_t t = made_time("2024-01-15T14:30:41");
	struct id late = made_snapshot(*state, &(struct made_snapshot){.time = t + 1000});
	struct id early = made_snapshot(*state, &(struct made_snapshot){.time = t});
	struct id other = made_snapshot(*state, &(struct made_snapshot){.time = t, .dataset = "files"});
	const struct snapset *set = made_set(*state);
	char hex[ID_HEX_MAX], want[SNAPSHOT_NAME_MAX];
	id_hex(&late, hex);
	snprintf(want, sizeof(want), "2024-01-15T14:30-%.6s", hex);
	assert_string_equal(name_of(set, &early), "2024-01-15T14:30");
	assert_string_equal(name_of(set, &late), want);
	assert_string_equal(name_of(set, &other), "2024-01-15T14:30");
	assert_ptr_equal(snapset_named(set, "db", want), snapset_by_id(set, &late));
	assert_ptr_equal(snapset_named(set, "db", "2024-01-15T14:30"), snapset_by_id(set, &early));
	snapset_unref(set);
	/* The one that keeps the name is forgotten: the other's does not change. */
	made_mark(*state, MARK_FORGET, &early);
	set = made_set(*state);
	assert_string_equal(name_of(set, &late), want);
	assert_string_equal(name_of(set, &early), "");
	assert_null(snapset_named(set, "db", "2024-01-15T14:30"));
	snapset_unref(set);
}

static void test_snapset_load__a_partial_shares_the_base_name_and_keeps_its_ending(void **state)
{
	int64_t t = made_time("2024-01-15T14:30:41");
	struct id whole = made_snapshot(*state, &(struct made_snapshot){.time = t});
	struct id partial = made_snapshot(*state, &(struct made_snapshot){.time = t + 1, .state = SNAPSHOT_PARTIAL});
	const struct snapset *set = made_set(*state);
	char hex[ID_HEX_MAX], want[SNAPSHOT_NAME_MAX];
	id_hex(&partial, hex);
	snprintf(want, sizeof(want), "2024-01-15T14:30-%.6s.partial", hex);
	assert_string_equal(name_of(set, &whole), "2024-01-15T14:30");
	assert_string_equal(name_of(set, &partial), want);
	snapset_unref(set);
}

static void test_snapset_draw_name__goes_from_minute_to_second_to_id(void **state)
{
	char name[SNAPSHOT_NAME_MAX], hex[ID_HEX_MAX], want[SNAPSHOT_NAME_MAX];
	int64_t t = made_time("2024-01-15T14:30:41");
	struct id id = {{0xab, 0xcd, 0xef, 0x01}};
	const struct snapset *set = made_set(*state);
	snapset_draw_name(set, "db", t, &id, false, name);
	assert_string_equal(name, "2024-01-15T14:30");
	snapset_draw_name(set, "db", t, &id, true, name);
	assert_string_equal(name, "2024-01-15T14:30.partial");
	snapset_unref(set);
	struct id first = made_snapshot(*state, &(struct made_snapshot){.time = t, .state = SNAPSHOT_PARTIAL});
	set = made_set(*state);
	snapset_draw_name(set, "db", t, &id, false, name);
	assert_string_equal(name, "2024-01-15T14:30:41");
	snapset_draw_name(set, "files", t, &id, false, name);
	assert_string_equal(name, "2024-01-15T14:30");
	snapset_unref(set);
	made_snapshot(*state, &(struct made_snapshot){.time = t, .name = "2024-01-15T14:30:41"});
	made_mark(*state, MARK_FORGET, &first);
	set = made_set(*state);
	id_hex(&id, hex);
	snprintf(want, sizeof(want), "2024-01-15T14:30:41-%.6s", hex);
	snapset_draw_name(set, "db", t, &id, false, name);
	assert_string_equal(name, want);
	snapset_unref(set);
}

static void test_snapset_load__doubled_numbers_are_told_apart_and_stay(void **state)
{
	struct repo *repo = *state;
	const struct snapset *fresh = NULL, *later = NULL;
	struct id b = made_snapshot(repo, &(struct made_snapshot){.number = 5, .time = made_time("2024-01-02")});
	const struct snapset *old = made_set(repo);
	assert_int_equal(snapset_by_id(old, &b)->number, 5);
	/* Put earlier, seen later: this mount has shown 5 already. */
	struct id a = made_snapshot(repo, &(struct made_snapshot){.number = 5, .time = made_time("2024-01-01")});
	assert_int_equal(snapset_load(repo, NULL, old, &later, NULL), 0);
	assert_int_equal(snapset_by_id(later, &b)->number, 5);
	assert_int_not_equal(snapset_by_id(later, &a)->number, 5);
	assert_ptr_equal(snapset_by_number(later, snapset_by_id(later, &a)->number), snapset_by_id(later, &a));
	fresh = made_set(repo);
	assert_int_equal(snapset_by_id(fresh, &a)->number, 5);
	assert_int_not_equal(snapset_by_id(fresh, &b)->number, 5);
	for (int i = 0; i < 100; i++) {
		uint32_t n = snapset_draw_number(fresh);
		assert_true(n >= 1 && n < 1u << SNAPSHOT_NUMBER_BITS && n != 5);
		assert_null(snapset_by_number(fresh, n));
	}
	snapset_unref(old);
	snapset_unref(later);
	snapset_unref(fresh);
}

/* ---- what users type ---- */

static void expect(const struct snapset *set, const char *what, const char *want)
{
	const struct snapshot *s = NULL;
	struct error err = ERROR_INIT;
	int rc = snapset_resolve(set, "db", what, &s, &err);
	if (want && (rc != 0 || strcmp(s->name, want) != 0))
		fail_msg("'%s' gives %s, not '%s'", what, rc == 0 ? s->name : error_text(&err), want);
	if (!want && rc != ERR_NOT_FOUND)
		fail_msg("'%s' gives %s", what, rc == 0 ? s->name : error_text(&err));
}

static void test_snapset_resolve__takes_every_form(void **state)
{
	put_at(*state, "2024-01-14T09:00:00", SNAPSHOT_WHOLE);
	struct id id = put_at(*state, "2024-01-15T14:30:41", SNAPSHOT_INCOMPLETE);
	made_snapshot(*state,
		&(struct made_snapshot){.time = made_time("2024-01-15T14:30:50"), .name = "2024-01-15T14:30:50"});
	put_at(*state, "2024-01-15T14:40:00", SNAPSHOT_PARTIAL);
	const struct snapset *set = made_set(*state);
	static const struct {
		const char *what, *want;
	} table[] = {
		{"2024-01-15T14:30", "2024-01-15T14:30"},    /* a name is itself, */
		{"2024-01-15 14:30", "2024-01-15T14:30:50"}, /* a time is its end */
		{"2024-01-15T14:30:50", "2024-01-15T14:30:50"},
		{"2024-01-15T14:30:49", "2024-01-15T14:30"},
		{"2024-01-15T14:30:41.5", "2024-01-15T14:30"},
		{"2024-01-15T14:30Z", "2024-01-15T14:30:50"},
		{"2024-01-15T15:30+01:00", "2024-01-15T14:30:50"},
		{"2024-01-15T09:30-0500", "2024-01-15T14:30:50"},
		{"2024-01-15 15:30:45+01", "2024-01-15T14:30"},
		{"2024-01-14", "2024-01-14T09:00"},
		{"2024-01-15", "2024-01-15T14:30:50"},
		{"20240114", "2024-01-14T09:00"},
		{"2030-01-01", "2024-01-15T14:30:50"},
		{"20240115T143041Z", "2024-01-15T14:30"},
		{"20240115T143050Z", "2024-01-15T14:30:50"},
		{"20240115T143045Z", "2024-01-15T14:30"},
		{"2024-01-15T14:40.partial", "2024-01-15T14:40.partial"},
		{"20240115T144000Z.partial", "2024-01-15T14:40.partial"},
		{"20240115T144000Z", "2024-01-15T14:30:50"}, /* never a partial one by its time */
		{"2024-01-15T14:50", "2024-01-15T14:30:50"},
		{"latest", "2024-01-15T14:30:50"},
		{"latest~0", "2024-01-15T14:30:50"},
		{"latest~1", "2024-01-15T14:30"},
		{"latest~2", "2024-01-14T09:00"},
		{"latest~3", NULL},
		{"latest~", NULL},
		{"latest~-1", NULL},
		{"latest~99999999999999999999", NULL},
		{"latest1", NULL},
		{"2024-01-13", NULL},
		{"2024-13-40", NULL},
		{"", NULL},
		{"nonsense", NULL},
		{"deadbeef", NULL},
	};
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		expect(set, table[i].what, table[i].want);
	char hex[ID_HEX_MAX];
	id_hex(&id, hex);
	expect(set, hex, "2024-01-15T14:30");
	hex[12] = '\0';
	expect(set, hex, "2024-01-15T14:30");
	hex[7] = '\0';
	expect(set, hex, NULL);
	snapset_unref(set);
}

static void test_snapset_resolve__says_what_there_is(void **state)
{
	const struct snapshot *s = NULL;
	struct error err = ERROR_INIT;
	const struct snapset *set = made_set(*state);
	assert_int_equal(snapset_resolve(set, "db", "latest", &s, &err), ERR_NOT_FOUND);
	assert_non_null(strstr(error_text(&err), "no snapshot yet"));
	snapset_unref(set);
	put_at(*state, "2024-01-15T14:30:41", SNAPSHOT_PARTIAL);
	made_snapshot(*state, &(struct made_snapshot){.dataset = "files"});
	set = made_set(*state);
	error_clear(&err);
	assert_int_equal(snapset_resolve(set, "dbx", "latest", &s, &err), ERR_NOT_FOUND);
	assert_non_null(strstr(error_text(&err), "'db', 'files'"));
	error_clear(&err);
	assert_int_equal(snapset_resolve(set, "db", "latest", &s, &err), ERR_NOT_FOUND);
	assert_non_null(strstr(error_text(&err), "'2024-01-15T14:30.partial' (partial)"));
	error_clear(&err);
	assert_int_equal(snapset_resolve(set, "files", "2023-01-01", &s, &err), ERR_NOT_FOUND);
	assert_non_null(strstr(error_text(&err), "the oldest is '2024-01-15T14:30'"));
	error_clear(&err);
	assert_int_equal(snapset_resolve(set, "files", "yesterday", &s, &err), ERR_NOT_FOUND);
	assert_non_null(strstr(error_text(&err), "'2024-01-15T14:30'"));
	snapset_unref(set);
}

static void test_snapset_named__compact_form_gives_the_first_of_its_second(void **state)
{
	int64_t t = made_time("2024-01-15T14:30:41");
	struct id third = made_snapshot(*state, &(struct made_snapshot){.time = t + 999999999, .name = "2024-c"});
	struct id first = made_snapshot(*state, &(struct made_snapshot){.time = t, .name = "2024-a"});
	made_snapshot(*state, &(struct made_snapshot){.time = t + CLOCK_SECOND, .name = "2024-d"});
	const struct snapset *set = made_set(*state);
	assert_ptr_equal(snapset_named(set, "db", "20240115T143041Z"), snapset_by_id(set, &first));
	assert_string_equal(snapset_named(set, "db", "20240115T143042Z")->name, "2024-d");
	assert_null(snapset_named(set, "db", "20240115T143040Z"));
	assert_null(snapset_named(set, "db", "20240115T143043Z"));
	assert_null(snapset_named(set, "db", "20240115T143041"));
	assert_null(snapset_named(set, "files", "20240115T143041Z"));
	assert_null(snapset_named(set, "db", "16000101T000000Z"));
	assert_null(snapset_named(set, "db", "99991231T235959Z"));
	assert_string_equal(name_of(set, &third), "2024-c");
	snapset_unref(set);
}

static void test_snapset_named__compact_form_prefers_who_has_these_digits_as_a_name(void **state)
{
	int64_t t = made_time("2024-01-15T14:30:41");
	struct id first = made_snapshot(*state, &(struct made_snapshot){.time = t, .name = "2024-01-15T14:30"});
	struct id second = made_snapshot(*state, &(struct made_snapshot){.time = t + 5, .name = "2024-01-15T14:30:41"});
	const struct snapset *set = made_set(*state);
	assert_ptr_equal(snapset_named(set, "db", "20240115T143041Z"), snapset_by_id(set, &second));
	assert_ptr_equal(snapset_named(set, "db", "2024-01-15T14:30"), snapset_by_id(set, &first));
	snapset_unref(set);
}

/* ---- marks ---- */

static void test_snapset_latest__follows_marks(void **state)
{
	struct id a = put_at(*state, "2024-01-01", SNAPSHOT_WHOLE);
	struct id b = put_at(*state, "2024-01-02", SNAPSHOT_WHOLE);
	put_at(*state, "2024-01-03", SNAPSHOT_PARTIAL);
	const struct snapset *set = made_set(*state);
	assert_true(id_equal(&snapset_latest(set, "db", 0)->id, &b));
	snapset_unref(set);
	made_mark(*state, MARK_DAMAGED, &b);
	made_mark(*state, MARK_VERIFIED, &a);
	made_mark(*state, MARK_HOLD, &a);
	set = made_set(*state);
	assert_true(id_equal(&snapset_latest(set, "db", 0)->id, &a));
	assert_true(id_equal(&snapset_at(set, "db", INT64_MAX)->id, &a));
	assert_int_equal(snapset_by_id(set, &b)->state, SNAPSHOT_DAMAGED);
	assert_true(snapset_by_id(set, &a)->held && snapset_by_id(set, &a)->verified);
	assert_false(snapset_by_id(set, &b)->held || snapset_by_id(set, &b)->verified);
	snapset_unref(set);
	made_mark(*state, MARK_UNDAMAGED, &b);
	made_mark(*state, MARK_UNHOLD, &a);
	set = made_set(*state);
	assert_true(id_equal(&snapset_latest(set, "db", 0)->id, &b));
	assert_int_equal(snapset_by_id(set, &b)->state, SNAPSHOT_WHOLE);
	assert_false(snapset_by_id(set, &a)->held);
	snapset_unref(set);
	made_mark(*state, MARK_FORGET, &b);
	set = made_set(*state);
	assert_true(id_equal(&snapset_latest(set, "db", 0)->id, &a));
	assert_int_equal(set->forgotten_count, 1);
	assert_true(id_equal(&set->forgotten[0], &b));
	/* Its place in the slot's sequence stays known. */
	assert_non_null(snapset_newest_of(set, &((struct repo *)*state)->own->id));
	snapset_unref(set);
}

/* ---- what does not open ---- */

static void test_snapset_load__tells_what_does_not_open_and_keeps_the_rest(void **state)
{
	struct repo *repo = *state;
	char name[FORMAT_NAME_MAX];
	struct id good = put_at(repo, "2024-01-01", SNAPSHOT_WHOLE);
	struct id bad = put_at(repo, "2024-01-02", SNAPSHOT_WHOLE);
	struct id keyless = put_at(repo, "2024-01-03", SNAPSHOT_WHOLE);
	object_name(KIND_SNAPSHOT, 0, &bad, name);
	made_damage(repo, name);
	object_name(KIND_WRAP, 1, &keyless, name);
	assert_int_equal(store_del(repo->store, NULL, name, NULL), 0);
	struct id mark = made_mark(repo, MARK_HOLD, &good);
	object_name(KIND_MARK, 0, &mark, name);
	made_damage(repo, name);
	made_void(repo);
	const struct snapset *set = made_set(repo);
	assert_int_equal(set->count, 1);
	assert_true(id_equal(&set->list[0]->id, &good));
	assert_int_equal(set->fault_count, 3);
	for (size_t i = 0; i < 3; i++) {
		bool known = id_equal(&set->faults[i].id, &bad) || id_equal(&set->faults[i].id, &keyless) ||
			     id_equal(&set->faults[i].id, &mark);
		assert_true(known);
		assert_true(strlen(set->faults[i].reason) > 20);
	}
	assert_int_equal(set->void_count, 1);
	assert_int_equal(set->uncovered, 2);
	snapset_unref(set);
}

static void test_snapset_load__not_found_is_believed_after_a_second_listing(void **state)
{
	struct repo *repo = *state;
	const struct snapset *set = NULL;
	put_at(repo, "2024-01-01", SNAPSHOT_WHOLE);
	put_at(repo, "2024-01-02", SNAPSHOT_WHOLE);
	const struct fault_rule once = {
		.kind = FAULT_FAIL, .ops = FAULT_GET, .nth = 1, .prefix = "snapshots/", .code = ERR_NOT_FOUND};
	assert_int_equal(store_fault_add(repo->store, &once, NULL), 0);
	set = made_set(repo);
	assert_int_equal(set->count, 2);
	assert_int_equal(set->fault_count, 0);
	snapset_unref(set);
	store_fault_clear(repo->store);
	const struct fault_rule always = {
		.kind = FAULT_FAIL, .ops = FAULT_GET, .prefix = "snapshots/", .code = ERR_NOT_FOUND};
	assert_int_equal(store_fault_add(repo->store, &always, NULL), 0);
	set = made_set(repo);
	assert_int_equal(set->count, 0);
	assert_int_equal(set->fault_count, 2);
	snapset_unref(set);
	store_fault_clear(repo->store);
}

static void test_snapset_load__store_that_is_down_is_an_error(void **state)
{
	struct repo *repo = *state;
	put_at(repo, "2024-01-01", SNAPSHOT_WHOLE);
	made_mark(repo, MARK_HOLD, &(struct id){{1}});
	uint64_t before = store_fault_calls(repo->store, FAULT_ALL);
	snapset_unref(made_set(repo));
	uint64_t calls = store_fault_calls(repo->store, FAULT_ALL) - before;
	assert_true(calls >= 7);
	for (uint64_t n = 1; n <= calls; n++) {
		const struct snapset *set = NULL;
		const struct fault_rule down = {.kind = FAULT_FAIL, .ops = FAULT_ALL, .nth = n};
		assert_int_equal(store_fault_add(repo->store, &down, NULL), 0);
		assert_int_equal(snapset_load(repo, NULL, NULL, &set, NULL), ERR_UNAVAILABLE);
		store_fault_clear(repo->store);
	}
}

/* ---- loading again ---- */

static void test_snapset_load__nothing_new_is_the_same_set(void **state)
{
	struct repo *repo = *state;
	const struct snapset *again = NULL, *later = NULL;
	put_at(repo, "2024-01-01", SNAPSHOT_WHOLE);
	const struct snapset *set = made_set(repo);
	uint64_t gets = store_fault_calls(repo->store, FAULT_GET);
	assert_int_equal(snapset_load(repo, NULL, set, &again, NULL), 0);
	assert_ptr_equal(set, again);
	assert_int_equal(store_fault_calls(repo->store, FAULT_GET), gets);
	put_at(repo, "2024-01-02", SNAPSHOT_WHOLE);
	assert_int_equal(snapset_load(repo, NULL, set, &later, NULL), 0);
	assert_int_equal(store_fault_calls(repo->store, FAULT_GET), gets + 2); /* the new one and its key */
	assert_int_equal(later->count, 2);
	assert_int_equal(set->count, 1);
	snapset_unref(set);
	snapset_unref(again);
	snapset_unref(later);
}

static void test_snapset_load__catalog_saves_every_get(void **state)
{
	struct repo *repo = *state;
	const struct snapset *first = NULL, *second = NULL;
	struct catalog *catalog = made_catalog(repo, NULL);
	for (int i = 0; i < 5; i++)
		made_snapshot(repo, &(struct made_snapshot){.time = made_time("2024-01-01") + i * 60 * CLOCK_SECOND});
	made_void(repo);
	made_mark(repo, MARK_HOLD, &(struct id){{1}});
	assert_int_equal(snapset_load(repo, catalog, NULL, &first, NULL), 0);
	uint64_t gets = store_fault_calls(repo->store, FAULT_GET);
	assert_int_equal(snapset_load(repo, catalog, NULL, &second, NULL), 0);
	assert_int_equal(store_fault_calls(repo->store, FAULT_GET), gets);
	assert_int_equal(second->count, 5);
	assert_int_equal(second->void_count, 1);
	for (size_t i = 0; i < 5; i++)
		assert_memory_equal(
			&first->list[i]->statement_hash, &second->list[i]->statement_hash, sizeof(struct id));
	snapset_unref(first);
	snapset_unref(second);
	catalog_close(catalog);
}

/* What the catalog remembers of signatures vouches for nothing but what was checked, whoever writes to it. */
static void test_snapset_load__remembered_signatures_let_no_other_in(void **state)
{
	struct repo *repo = *state;
	const struct snapset *set = NULL;
	struct catalog *catalog = made_catalog(repo, NULL);
	char proofs[FORMAT_NAME_MAX], hex[ID_HEX_MAX];
	struct buf kept = {0}, content = {0};
	uint8_t key[FORMAT_KEY_LEN];
	struct id forged;
	made_snapshot(repo, &(struct made_snapshot){.time = made_time("2024-01-01")});
	assert_int_equal(snapset_load(repo, catalog, NULL, &set, NULL), 0);
	snapset_unref(set);
	id_hex(&repo->own->id, hex);
	snprintf(proofs, sizeof(proofs), "proofs/%s", hex);
	assert_int_equal(catalog_object_get(catalog, proofs, &kept, NULL), 0);
	assert_int_equal(kept.len, 16 + 32 + FORMAT_TAG_LEN);
	/* A statement whose signature is wrong, well sealed. */
	struct snapshot *s = made_statement(&(struct made_snapshot){.time = made_time("2024-01-02")});
	object_draw(repo, KIND_SNAPSHOT, key, &forged);
	s->id = forged;
	s->slot = repo->own->id;
	assert_int_equal(snapshot_encode(repo, s, &content, NULL), 0);
	content.data[content.len - 1] ^= 1;
	assert_int_equal(object_put(repo, KIND_SNAPSHOT, &forged, key, content.data, content.len, NULL, NULL), 0);
	assert_int_equal(snapset_load(repo, catalog, NULL, &set, NULL), 0);
	assert_int_equal(set->count, 1);
	assert_int_equal(set->fault_count, 1);
	snapset_unref(set);
	/* Rubbish in its place is forgotten, and everything is checked again. */
	memset(kept.data, 0x55, kept.len);
	assert_int_equal(catalog_object_put(catalog, proofs, kept.data, kept.len, NULL), 0);
	assert_int_equal(snapset_load(repo, catalog, NULL, &set, NULL), 0);
	assert_int_equal(set->count, 1);
	assert_int_equal(set->fault_count, 1);
	snapset_unref(set);
	/* A right that was taken away is gone, remembered signature or not. */
	repo->own->rights = RIGHT_READ;
	assert_int_equal(snapset_load(repo, catalog, NULL, &set, NULL), 0);
	assert_int_equal(set->count, 0);
	snapset_unref(set);
	repo->own->rights = RIGHT_ALL;
	snapshot_free(s);
	buf_release(&kept);
	buf_release(&content);
	catalog_close(catalog);
}

static void test_snapset_load__root_nodes_stay_for_the_newest_two(void **state)
{
	for (int i = 0; i < 4; i++)
		made_snapshot(*state, &(struct made_snapshot){.time = made_time("2024-01-01") + i * 60 * CLOCK_SECOND,
					      .root_sealed = 100});
	const struct snapset *set = made_set(*state), *later = NULL;
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(set->list[i]->root_sealed.len, i < 2 ? 0 : 100);
	made_void(*state);
	assert_int_equal(snapset_load(*state, NULL, set, &later, NULL), 0);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(later->list[i]->root_sealed.len, i < 2 ? 0 : 100);
	snapset_unref(set);
	snapset_unref(later);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_snapset_load__empty_repository_is_an_empty_set),
		TEST(test_snapset_load__orders_by_dataset_then_time),
		TEST(test_snapset_load__of_two_with_one_name_the_earlier_keeps_it),
		TEST(test_snapset_load__a_partial_shares_the_base_name_and_keeps_its_ending),
		TEST(test_snapset_draw_name__goes_from_minute_to_second_to_id),
		TEST(test_snapset_load__doubled_numbers_are_told_apart_and_stay),
		TEST(test_snapset_resolve__takes_every_form),
		TEST(test_snapset_resolve__says_what_there_is),
		TEST(test_snapset_named__compact_form_gives_the_first_of_its_second),
		TEST(test_snapset_named__compact_form_prefers_who_has_these_digits_as_a_name),
		TEST(test_snapset_latest__follows_marks),
		TEST(test_snapset_load__tells_what_does_not_open_and_keeps_the_rest),
		TEST(test_snapset_load__not_found_is_believed_after_a_second_listing),
		TEST(test_snapset_load__store_that_is_down_is_an_error),
		TEST(test_snapset_load__nothing_new_is_the_same_set),
		TEST(test_snapset_load__catalog_saves_every_get),
		TEST(test_snapset_load__remembered_signatures_let_no_other_in),
		TEST(test_snapset_load__root_nodes_stay_for_the_newest_two),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
