/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/host.h"
#include "fs/follow.h"

enum { CALLER = 100, OTHER = 200 };

/* ---- the rule ---- */

static int looks(struct follow_rule *r, unsigned count, pid_t caller, int core)
{
	int home = r->home;
	for (unsigned i = 0; i < count; i++)
		home = follow_judge(r, caller, core, false);
	return home;
}

static void test_follow__threads_are_bound_once_a_caller_was_seen_to_stay(void **state)
{
	(void)state;
	struct follow_rule r = FOLLOW_RULE_INIT;
	assert_int_equal(looks(&r, 1, CALLER, 3), FOLLOW_FREE);
	assert_int_equal(looks(&r, 4, CALLER, 3), 3);
}

static void test_follow__a_caller_that_is_moved_is_followed_at_once(void **state)
{
	(void)state;
	struct follow_rule r = FOLLOW_RULE_INIT;
	assert_int_equal(looks(&r, 8, CALLER, 3), 3);
	assert_int_equal(looks(&r, 1, CALLER, 5), 5);
}

static void test_follow__one_request_of_someone_else_changes_nothing_two_do(void **state)
{
	(void)state;
	struct follow_rule r = FOLLOW_RULE_INIT;
	assert_int_equal(looks(&r, 8, CALLER, 3), 3);
	assert_int_equal(looks(&r, 1, OTHER, 1), 3);
	assert_int_equal(looks(&r, 8, CALLER, 3), 3);
	assert_int_equal(looks(&r, 1, OTHER, 1), 3);
	assert_int_equal(looks(&r, 1, OTHER + 1, 2), FOLLOW_FREE);
}

static void test_follow__callers_on_several_cores_are_served_on_all(void **state)
{
	(void)state;
	struct follow_rule r = FOLLOW_RULE_INIT;
	unsigned bound = 0;
	for (unsigned i = 0; i < 1000; i++)
		bound += follow_judge(&r, CALLER + (pid_t)(i % 7), (int)(i % 7), false) != FOLLOW_FREE;
	assert_int_equal(bound, 0);
}

static void test_follow__callers_that_share_a_core_are_followed_together(void **state)
{
	(void)state;
	struct follow_rule r = FOLLOW_RULE_INIT;
	for (unsigned i = 0; i < 20; i++)
		follow_judge(&r, i % 2 ? CALLER : OTHER, 4, false);
	assert_int_equal(r.home, 4);
}

static void test_follow__much_content_sets_threads_free(void **state)
{
	(void)state;
	struct follow_rule r = FOLLOW_RULE_INIT;
	assert_int_equal(looks(&r, 8, CALLER, 3), 3);
	assert_int_equal(follow_judge(&r, CALLER, 3, true), FOLLOW_FREE);
	assert_int_equal(looks(&r, 4, CALLER, 3), 3);
}

static void test_follow__a_caller_that_cannot_be_seen_is_not_followed(void **state)
{
	(void)state;
	struct follow_rule r = FOLLOW_RULE_INIT;
	assert_int_equal(looks(&r, 8, CALLER, 3), 3);
	assert_int_equal(follow_judge(&r, CALLER, FOLLOW_FREE, false), FOLLOW_FREE);
}

/* ---- what it is worth ---- */

enum { PACE_LOOKS = 4000 };

/* Looks of a caller for whom one takes so many ns, by the way he is answered; how many found threads bound. */
static unsigned pace(struct follow_trial *t, int64_t *now, int64_t bound, int64_t loose)
{
	unsigned count = 0;
	for (unsigned i = 0; i < PACE_LOOKS; i++) {
		*now += t->way == FOLLOW_BOUND ? bound : loose;
		count += follow_weigh(t, CALLER, *now) == FOLLOW_BOUND;
	}
	return count;
}

static void test_follow__what_takes_the_caller_less_time_is_kept(void **state)
{
	(void)state;
	struct follow_trial t = FOLLOW_TRIAL_INIT;
	int64_t now = 1;
	assert_in_range(pace(&t, &now, 50000, 400000), PACE_LOOKS * 9 / 10, PACE_LOOKS - 1);
	t = FOLLOW_TRIAL_INIT;
	assert_in_range(pace(&t, &now, 400000, 50000), 1, PACE_LOOKS / 10);
}

static void test_follow__a_change_of_the_machine_is_noticed(void **state)
{
	(void)state;
	struct follow_trial t = FOLLOW_TRIAL_INIT;
	int64_t now = 1;
	pace(&t, &now, 50000, 400000);
	assert_int_equal(t.kept, FOLLOW_BOUND);
	pace(&t, &now, 400000, 50000);
	assert_int_equal(t.kept, FOLLOW_LOOSE);
	pace(&t, &now, 50000, 400000);
	assert_int_equal(t.kept, FOLLOW_BOUND);
}

static void test_follow__pauses_and_other_callers_do_not_count(void **state)
{
	(void)state;
	struct follow_trial t = FOLLOW_TRIAL_INIT;
	int64_t now = 1;
	for (unsigned i = 0; i < PACE_LOOKS; i++)
		follow_weigh(&t, CALLER + (pid_t)(i % 2), now += 400000);
	for (unsigned i = 0; i < PACE_LOOKS; i++) {
		follow_weigh(&t, CALLER, now += 400000);
		follow_weigh_none(&t);
	}
	assert_int_equal(t.cost[FOLLOW_BOUND], 0);
	assert_int_equal(t.way, FOLLOW_BOUND);
}

/* ---- the threads ---- */

/* A thread on a core of its own that asks, and one that answers: requests are handed over by turns. */
struct pair {
	struct follow *f;
	pthread_barrier_t ready, end;
	atomic_int caller, answerer;
	int core;
};

static int first_core(const cpu_set_t *set, int from)
{
	while (from < CPU_SETSIZE && !CPU_ISSET((size_t)from, set))
		from++;
	return from;
}

static void *ask(void *arg)
{
	struct pair *p = arg;
	cpu_set_t one;
	CPU_ZERO(&one);
	CPU_SET((size_t)p->core, &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	atomic_store(&p->caller, gettid());
	pthread_barrier_wait(&p->ready);
	pthread_barrier_wait(&p->end);
	return NULL;
}

static void *answer(void *arg)
{
	struct pair *p = arg;
	atomic_store(&p->answerer, gettid());
	follow_request(p->f, 0, 0);
	pthread_barrier_wait(&p->ready);
	pthread_barrier_wait(&p->end);
	return NULL;
}

static int cores_of(pid_t tid)
{
	cpu_set_t set;
	assert_int_equal(sched_getaffinity(tid, sizeof(set), &set), 0);
	return CPU_COUNT(&set);
}

static void *count_cores(void *arg)
{
	*(int *)arg = cores_of(gettid());
	return NULL;
}

static void test_follow__answering_threads_go_where_the_caller_is_and_come_back(void **state)
{
	(void)state;
	cpu_set_t all, now;
	pthread_t asks, answers;
	struct pair p = {.f = follow_new()};
	if (p.f == NULL)
		skip(); /* one core */
	assert_int_equal(sched_getaffinity(getpid(), sizeof(all), &all), 0);
	p.core = first_core(&all, first_core(&all, 0) + 1);
	pthread_barrier_init(&p.ready, NULL, 3);
	pthread_barrier_init(&p.end, NULL, 3);
	assert_int_equal(pthread_create(&asks, NULL, ask, &p), 0);
	assert_int_equal(pthread_create(&answers, NULL, answer, &p), 0);
	pthread_barrier_wait(&p.ready);
	for (unsigned i = 0; i < 100; i++)
		follow_request(p.f, atomic_load(&p.caller), 0);
	assert_int_equal(sched_getaffinity(atomic_load(&p.answerer), sizeof(now), &now), 0);
	assert_int_equal(CPU_COUNT(&now), 1);
	assert_true(CPU_ISSET((size_t)p.core, &now));
	for (unsigned i = 0; i < 100; i++)
		follow_request(p.f, atomic_load(&p.caller), 1 << 20);
	assert_int_equal(cores_of(atomic_load(&p.answerer)), CPU_COUNT(&all));
	pthread_barrier_wait(&p.end);
	pthread_join(asks, NULL);
	pthread_join(answers, NULL);
	pthread_barrier_destroy(&p.ready);
	pthread_barrier_destroy(&p.end);
	follow_free(p.f);
}

/* From a thread that is bound: what it makes is not. */
static void *make_one(void *arg)
{
	pthread_t made;
	cpu_set_t all, one;
	CPU_ZERO(&one);
	assert_int_equal(sched_getaffinity(getpid(), sizeof(all), &all), 0);
	CPU_SET((size_t)first_core(&all, 0), &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	assert_int_equal(host_thread(&made, count_cores, arg), 0);
	pthread_join(made, NULL);
	return NULL;
}

static void test_follow__a_thread_that_a_bound_one_makes_may_use_all_cores(void **state)
{
	(void)state;
	pthread_t bound;
	int cores = 0;
	assert_int_equal(pthread_create(&bound, NULL, make_one, &cores), 0);
	pthread_join(bound, NULL);
	assert_int_equal(cores, cores_of(getpid()));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_follow__threads_are_bound_once_a_caller_was_seen_to_stay),
		cmocka_unit_test(test_follow__a_caller_that_is_moved_is_followed_at_once),
		cmocka_unit_test(test_follow__one_request_of_someone_else_changes_nothing_two_do),
		cmocka_unit_test(test_follow__callers_on_several_cores_are_served_on_all),
		cmocka_unit_test(test_follow__callers_that_share_a_core_are_followed_together),
		cmocka_unit_test(test_follow__much_content_sets_threads_free),
		cmocka_unit_test(test_follow__a_caller_that_cannot_be_seen_is_not_followed),
		cmocka_unit_test(test_follow__what_takes_the_caller_less_time_is_kept),
		cmocka_unit_test(test_follow__a_change_of_the_machine_is_noticed),
		cmocka_unit_test(test_follow__pauses_and_other_callers_do_not_count),
		cmocka_unit_test(test_follow__answering_threads_go_where_the_caller_is_and_come_back),
		cmocka_unit_test(test_follow__a_thread_that_a_bound_one_makes_may_use_all_cores),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
