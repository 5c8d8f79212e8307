/* SPDX-License-Identifier: MIT */
/*
 * Thousands of random snapshots, marks, voids and summaries against a list
 * that is searched from end to end. The set is loaded from scratch, on top of
 * the one before, and with a catalog; all must agree with the list.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive/mark.h"
#include "archive_made.h"
#include "base/clock.h"

enum { MODEL_MAX = 4000 };

struct made {
	struct id id;
	int dataset;
	int64_t time;
	bool partial, damaged, forgotten, held;
};

struct model {
	struct made list[MODEL_MAX];
	size_t count, voids;
};

static const char *const datasets[] = {"config", "db", "files"};

static bool is_good(const struct made *m)
{
	return !m->partial && !m->damaged && !m->forgotten;
}

/* The nth good one, counted from the newest not later than `moment`; NULL: none. */
static const struct made *model_at(const struct model *m, int dataset, int64_t moment, unsigned back)
{
	for (;; back--) {
		const struct made *best = NULL;
		for (size_t i = 0; i < m->count; i++) {
			const struct made *one = &m->list[i];
			if (one->dataset != dataset || !is_good(one) || one->time > moment)
				continue;
			if (!best || one->time > best->time)
				best = one;
		}
		if (!best || back == 0)
			return best;
		moment = best->time - 1;
	}
}

static void expect_same(const struct snapshot *s, const struct made *m)
{
	if (!m)
		assert_null(s);
	else if (!s || !id_equal(&s->id, &m->id))
		fail_msg("%s is not what the model says", s ? s->name : "nothing");
}

static void expect_names(const struct snapset *set)
{
	for (size_t i = 0; i < set->count; i++) {
		const struct snapshot *s = set->list[i];
		assert_ptr_equal(snapset_named(set, s->dataset, s->name), s);
		assert_ptr_equal(snapset_by_number(set, s->number), s);
		assert_ptr_equal(snapset_by_id(set, &s->id), s);
	}
}

static void expect_model(const struct snapset *set, const struct model *m)
{
	size_t standing = 0, forgotten = 0;
	for (size_t i = 0; i < m->count; i++) {
		const struct made *one = &m->list[i];
		const struct snapshot *s = snapset_by_id(set, &one->id);
		standing += !one->forgotten;
		forgotten += one->forgotten;
		assert_true((s == NULL) == one->forgotten);
		if (s) {
			assert_string_equal(s->dataset, datasets[one->dataset]);
			assert_true(s->time == one->time && s->held == one->held);
			assert_true((s->state == SNAPSHOT_DAMAGED) == one->damaged);
		}
	}
	assert_int_equal(set->count, standing);
	assert_int_equal(set->forgotten_count, forgotten);
	assert_int_equal(set->void_count, m->voids);
	assert_int_equal(set->fault_count, 0);
	for (int d = 0; d < 3; d++) {
		for (unsigned back = 0; back < 4; back++)
			expect_same(snapset_latest(set, datasets[d], back), model_at(m, d, INT64_MAX, back));
		for (int i = 0; i < 20; i++) {
			int64_t moment = made_time("2024-01-01") + random() % (40 * 86400) * CLOCK_SECOND;
			expect_same(snapset_at(set, datasets[d], moment), model_at(m, d, moment, 0));
		}
	}
	expect_names(set);
}

/* Names and numbers do not depend on how the set came to be. */
static void expect_equal(const struct snapset *a, const struct snapset *b)
{
	assert_int_equal(a->count, b->count);
	assert_int_equal(a->uncovered, b->uncovered);
	for (size_t i = 0; i < a->count; i++) {
		assert_true(id_equal(&a->list[i]->id, &b->list[i]->id));
		assert_string_equal(a->list[i]->name, b->list[i]->name);
		assert_int_equal(a->list[i]->state, b->list[i]->state);
	}
}

static void do_snapshot(struct repo *repo, struct model *m)
{
	struct made *one = &m->list[m->count++];
	/* Minutes collide often, moments never. */
	*one = (struct made){.dataset = (int)(random() % 3),
		.time = made_time("2024-01-01") + random() % (40 * 1440) / 20 * 20 * 60 * CLOCK_SECOND +
			(int64_t)m->count,
		.partial = random() % 6 == 0};
	one->id = made_snapshot(repo, &(struct made_snapshot){.dataset = datasets[one->dataset],
					      .time = one->time,
					      .number = random() % 10 == 0 ? (uint32_t)(random() % 5) + 1 : 0,
					      .seq = m->count,
					      .state = one->partial ? SNAPSHOT_PARTIAL : SNAPSHOT_WHOLE});
}

static void do_mark(struct repo *repo, struct model *m)
{
	static const enum mark_kind kinds[] = {MARK_FORGET, MARK_DAMAGED, MARK_UNDAMAGED, MARK_HOLD, MARK_UNHOLD};
	if (m->count == 0)
		return;
	struct made *one = &m->list[(size_t)random() % m->count];
	enum mark_kind kind = kinds[random() % 5];
	made_mark(repo, (int)kind, &one->id);
	one->forgotten |= kind == MARK_FORGET;
	if (kind == MARK_DAMAGED || kind == MARK_UNDAMAGED)
		one->damaged = kind == MARK_DAMAGED;
	if (kind == MARK_HOLD || kind == MARK_UNHOLD)
		one->held = kind == MARK_HOLD;
}

static void run(struct repo *repo, int steps, int check_every)
{
	struct model *m = calloc(1, sizeof(*m));
	const struct snapset *kept = NULL;
	struct catalog *catalog = made_catalog(repo, NULL);
	assert_int_equal(snapset_load(repo, catalog, NULL, &kept, NULL), 0);
	for (int step = 1; step <= steps; step++) {
		long what = random() % 20;
		if (what < 15)
			do_snapshot(repo, m);
		else if (what < 19)
			do_mark(repo, m);
		else {
			made_void(repo);
			m->voids++;
		}
		if (step % check_every != 0)
			continue;
		const struct snapset *fresh = made_set(repo), *cached = NULL, *next = NULL;
		assert_int_equal(snapset_load(repo, catalog, kept, &next, NULL), 0);
		assert_int_equal(snapset_load(repo, catalog, NULL, &cached, NULL), 0);
		expect_model(fresh, m);
		expect_model(next, m);
		expect_equal(fresh, next);
		expect_equal(fresh, cached);
		if (random() % 2)
			assert_int_equal(snapset_summarise(repo, next, NULL), 0);
		snapset_unref(fresh);
		snapset_unref(cached);
		snapset_unref(kept);
		kept = next;
	}
	snapset_unref(kept);
	catalog_close(catalog);
	free(m);
}

static void test_snapset__many_small_histories_agree_with_the_model(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed <= 10; seed++) {
		struct repo *repo = made_repo();
		srandom(seed);
		run(repo, 120, 10);
		repo_close(repo);
	}
}

static void test_snapset__one_long_history_agrees_with_the_model(void **state)
{
	(void)state;
	struct repo *repo = made_repo();
	srandom(99);
	run(repo, 3000, 300);
	repo_close(repo);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_snapset__many_small_histories_agree_with_the_model),
		cmocka_unit_test(test_snapset__one_long_history_agrees_with_the_model),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
