/* SPDX-License-Identifier: MIT */

/* Conformance: limits of a call, and many calls at once. */

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "tests/unit/store_conformance_parts.h"

static int count_calls(void *arg, const char *name, uint64_t size, struct error *err)
{
	(void)name;
	(void)size;
	(void)err;
	++*(unsigned *)arg;
	return 0;
}

static void assert_all_return(struct store *s, const struct store_call *call, int code)
{
	struct error err = ERROR_INIT;
	unsigned calls = 0;
	uint64_t size;
	char byte;
	size_t n;

	assert_int_equal(store_get(s, call, "there", 0, 1, &byte, &n, &err), code);
	error_clear(&err);
	assert_int_equal(store_put_mem(s, call, "new", "n", 1, NULL, &err), code);
	error_clear(&err);
	assert_int_equal(store_stat(s, call, "there", &size, &err), code);
	error_clear(&err);
	assert_int_equal(store_del(s, call, "there", &err), code);
	error_clear(&err);
	assert_int_equal(store_list(s, call, "", "", count_calls, &calls, &err), code);
	assert_int_equal(calls, 0);
}

static void test_call__cancelled_one_does_nothing(void **state)
{
	struct store *s = store_of(state);
	atomic_bool cancel = true;
	struct store_call call = {.cancel = &cancel};

	put_text(s, "there", "x");
	assert_all_return(s, &call, ERR_CANCELLED);
	assert_holds(s, "there", "x");
	atomic_store(&cancel, false);
	assert_int_equal(store_del(s, &call, "there", NULL), 0);
}

static void test_call__passed_deadline_does_nothing(void **state)
{
	struct store *s = store_of(state);
	struct store_call call = {.deadline = clock_monotonic() - 1};

	put_text(s, "there", "x");
	assert_all_return(s, &call, ERR_TIMEOUT);
	assert_holds(s, "there", "x");
	call.deadline = clock_monotonic() + 600 * CLOCK_SECOND;
	assert_int_equal(store_del(s, &call, "there", NULL), 0);
}

static int cancel_at_first(void *arg, const char *name, uint64_t size, struct error *err)
{
	(void)name;
	(void)size;
	(void)err;
	atomic_store((atomic_bool *)arg, true);
	return 0;
}

static void test_call__cancel_ends_a_listing_under_way(void **state)
{
	struct store *s = store_of(state);
	atomic_bool cancel = false;
	struct store_call call = {.cancel = &cancel};

	put_order_traps(s);
	assert_int_equal(store_list(s, &call, "", "", cancel_at_first, &cancel, NULL), ERR_CANCELLED);
}

enum { THREADS = 8, ROUNDS = 25 };

struct racer {
	pthread_t thread;
	struct store *store;
	pthread_barrier_t *start;
	unsigned number;
	int results[ROUNDS]; /* judged by the main thread: cmocka's asserts belong there */
};

static void run_racers(struct store *s, void *(*fn)(void *), struct racer racers[static THREADS])
{
	pthread_barrier_t start;

	assert_int_equal(pthread_barrier_init(&start, NULL, THREADS), 0);
	for (unsigned i = 0; i < THREADS; i++) {
		racers[i] = (struct racer){.store = s, .start = &start, .number = i};
		assert_int_equal(pthread_create(&racers[i].thread, NULL, fn, &racers[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(racers[i].thread, NULL), 0);
	pthread_barrier_destroy(&start);
}

static void *race_for_name(void *arg)
{
	struct racer *r = arg;
	char name[64];
	char body[64];

	for (unsigned round = 0; round < ROUNDS; round++) {
		(void)snprintf(name, sizeof(name), "race-%u/decided", round);
		(void)snprintf(body, sizeof(body), "won by number %u in round %u", r->number, round);
		(void)pthread_barrier_wait(r->start);
		r->results[round] = store_put_mem(r->store, NULL, name, body, strlen(body), NULL, NULL);
	}
	return NULL;
}

static void test_race__of_different_bodies_exactly_one_wins(void **state)
{
	struct store *s = store_of(state);
	struct racer racers[THREADS];

	run_racers(s, race_for_name, racers);
	if (!(store_features(s) & STORE_CREATE_ONLY))
		skip(); /* it says that it cannot */
	for (unsigned round = 0; round < ROUNDS; round++) {
		unsigned winners = 0;
		char name[64];
		char body[64] = "";

		for (unsigned i = 0; i < THREADS; i++) {
			if (racers[i].results[round] == 0) {
				winners++;
				(void)snprintf(body, sizeof(body), "won by number %u in round %u", i, round);
			} else {
				assert_int_equal(racers[i].results[round], ERR_EXISTS);
			}
		}
		assert_int_equal(winners, 1);
		(void)snprintf(name, sizeof(name), "race-%u/decided", round);
		assert_holds(s, name, body);
	}
}

static void *race_same_body(void *arg)
{
	struct racer *r = arg;
	char name[64];

	for (unsigned round = 0; round < ROUNDS; round++) {
		(void)snprintf(name, sizeof(name), "packs/%02x/same", round);
		(void)pthread_barrier_wait(r->start);
		r->results[round] = store_put_mem(r->store, NULL, name, name, strlen(name), NULL, NULL);
	}
	return NULL;
}

static void test_race__of_the_same_body_all_win(void **state)
{
	struct store *s = store_of(state);
	struct racer racers[THREADS];

	run_racers(s, race_same_body, racers);
	for (unsigned i = 0; i < THREADS; i++) {
		for (unsigned round = 0; round < ROUNDS; round++)
			assert_int_equal(racers[i].results[round], 0);
	}
}

/* One round of a thread's own puts, gets and deletes beside a name that all read. */
static int work_once(struct racer *r, unsigned round)
{
	char name[64];
	char body[64];
	char got[64];
	size_t n;

	(void)snprintf(name, sizeof(name), "work/%02x/%u", r->number, round);
	(void)snprintf(body, sizeof(body), "%u of %u", round, r->number);
	int rc = store_put_mem(r->store, NULL, name, body, strlen(body), NULL, NULL);
	if (rc == 0)
		rc = store_get(r->store, NULL, name, 0, sizeof(got), got, &n, NULL);
	if (rc == 0 && (n != strlen(body) || memcmp(got, body, n) != 0))
		rc = ERR_CORRUPT;
	if (rc == 0)
		rc = store_get(r->store, NULL, "shared/by/all", 2, 3, got, &n, NULL);
	if (rc == 0 && (n != 3 || memcmp(got, "all", 3) != 0))
		rc = ERR_CORRUPT;
	if (rc == 0 && round % 2)
		rc = store_del(r->store, NULL, name, NULL);
	if (rc == 0 && round % 2 && store_get(r->store, NULL, name, 0, 1, got, &n, NULL) != ERR_NOT_FOUND)
		rc = ERR_CORRUPT;
	return rc;
}

static void *work(void *arg)
{
	struct racer *r = arg;

	(void)pthread_barrier_wait(r->start);
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct names names = {0};

		r->results[round] = work_once(r, round);
		if (round % 5 == 0 && r->results[round] == 0)
			r->results[round] = store_list(r->store, NULL, "", "", collect, &names, NULL);
		for (size_t i = 1; i < names.count; i++) {
			if (strcmp(names.list[i - 1], names.list[i]) >= 0)
				r->results[round] = ERR_CORRUPT;
		}
		free(names.list);
	}
	return NULL;
}

static void test_threads__puts_gets_deletes_and_lists_do_not_disturb_each_other(void **state)
{
	struct store *s = store_of(state);
	struct racer racers[THREADS];
	struct names left = {0};

	put_text(s, "shared/by/all", "--all--");
	run_racers(s, work, racers);
	for (unsigned i = 0; i < THREADS; i++) {
		for (unsigned round = 0; round < ROUNDS; round++)
			assert_int_equal(racers[i].results[round], 0);
	}
	assert_int_equal(store_list(s, NULL, "work/", "", collect, &left, NULL), 0);
	assert_int_equal(left.count, THREADS * ((ROUNDS + 1) / 2));
	free(left.list);
}

const struct CMUnitTest conformance_call_tests[] = {
	CONFORMS(test_call__cancelled_one_does_nothing),
	CONFORMS(test_call__passed_deadline_does_nothing),
	CONFORMS(test_call__cancel_ends_a_listing_under_way),
	CONFORMS(test_race__of_different_bodies_exactly_one_wins),
	CONFORMS(test_race__of_the_same_body_all_win),
	CONFORMS(test_threads__puts_gets_deletes_and_lists_do_not_disturb_each_other),
	CONFORMS_END,
};
