/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/pool.h"

struct counter {
	atomic_int runs;
	atomic_int blocked_signals;
	sem_t begun;
	sem_t go;
	int order[100];
	struct pool_group group;
};

static int set_up(void **state)
{
	static struct counter counter;
	counter = (struct counter){0};
	*state = &counter;
	if (sem_init(&counter.begun, 0, 0) < 0 || sem_init(&counter.go, 0, 0) < 0)
		return -1;
	return pool_group_init(&counter.group, NULL);
}

static int tear_down(void **state)
{
	struct counter *c = *state;
	pool_group_release(&c->group);
	(void)sem_destroy(&c->begun);
	(void)sem_destroy(&c->go);
	return 0;
}

static void job_count(void *arg)
{
	struct counter *c = arg;
	(void)atomic_fetch_add(&c->runs, 1);
}

/* Says that it runs, then waits to be let go. */
static void job_hold(void *arg)
{
	struct counter *c = arg;
	(void)sem_post(&c->begun);
	while (sem_wait(&c->go) < 0)
		;
	(void)atomic_fetch_add(&c->runs, 1);
}

static void test_pool_free__runs_all_that_was_submitted(void **state)
{
	struct counter *c = *state;
	struct pool *pool = NULL;
	assert_int_equal(pool_new(3, 4, "test-of-a-long-name", &pool, NULL), 0);
	assert_int_equal(pool_threads(pool), 3);
	for (int i = 0; i < 1000; i++)
		pool_submit(pool, job_count, c);
	pool_free(pool);
	assert_int_equal(atomic_load(&c->runs), 1000);
	pool_free(NULL);
}

static void test_pool_try_submit__false_when_the_queue_is_full(void **state)
{
	struct counter *c = *state;
	struct pool *pool = NULL;
	assert_int_equal(pool_new(1, 2, NULL, &pool, NULL), 0);
	pool_submit(pool, job_hold, c);
	assert_int_equal(sem_wait(&c->begun), 0); /* it left the queue */
	assert_true(pool_try_submit(pool, job_count, c));
	assert_true(pool_try_submit(pool, job_count, c));
	assert_false(pool_try_submit(pool, job_count, c));
	(void)sem_post(&c->go);
	pool_free(pool);
	assert_int_equal(atomic_load(&c->runs), 3);
}

struct submitter {
	struct counter *counter;
	struct pool *pool;
	atomic_int submitted;
};

static void *submit_four(void *arg)
{
	struct submitter *s = arg;
	for (int i = 0; i < 4; i++) {
		pool_submit(s->pool, job_hold, s->counter);
		(void)atomic_fetch_add(&s->submitted, 1);
	}
	return NULL;
}

static void test_pool_submit__blocks_while_the_queue_is_full(void **state)
{
	struct counter *c = *state;
	struct submitter s = {.counter = c};
	pthread_t thread;
	assert_int_equal(pool_new(1, 1, NULL, &s.pool, NULL), 0);
	assert_int_equal(pthread_create(&thread, NULL, submit_four, &s), 0);
	for (int done = 1; done <= 4; done++) {
		assert_int_equal(sem_wait(&c->begun), 0);
		/* One runs, one waits: of the four at most done + 1 can have been taken. */
		assert_true(atomic_load(&s.submitted) <= done + 1);
		(void)sem_post(&c->go);
	}
	assert_int_equal(pthread_join(thread, NULL), 0);
	pool_free(s.pool);
	assert_int_equal(atomic_load(&c->runs), 4);
}

struct numbered {
	struct counter *counter;
	int number;
};

static void job_numbered(void *arg)
{
	struct numbered *n = arg;
	n->counter->order[atomic_fetch_add(&n->counter->runs, 1)] = n->number;
}

static void test_pool__jobs_begin_in_their_order(void **state)
{
	struct counter *c = *state;
	struct numbered jobs[100];
	struct pool *pool = NULL;
	assert_int_equal(pool_new(1, 7, NULL, &pool, NULL), 0);
	for (int i = 0; i < 100; i++) {
		jobs[i] = (struct numbered){.counter = c, .number = i};
		pool_submit(pool, job_numbered, &jobs[i]);
	}
	pool_free(pool);
	for (int i = 0; i < 100; i++)
		assert_int_equal(c->order[i], i);
}

static void job_grouped(void *arg)
{
	struct counter *c = arg;
	(void)atomic_fetch_add(&c->runs, 1);
	pool_group_done(&c->group);
}

static void test_pool_group_wait__returns_when_all_are_done(void **state)
{
	struct counter *c = *state;
	struct pool *pool = NULL;
	assert_int_equal(pool_new(4, 0, NULL, &pool, NULL), 0);
	pool_group_wait(&c->group);
	for (int round = 1; round <= 50; round++) {
		for (int i = 0; i < 10; i++) {
			pool_group_add(&c->group);
			pool_submit(pool, job_grouped, c);
		}
		pool_group_wait(&c->group);
		assert_int_equal(atomic_load(&c->runs), round * 10);
	}
	pool_free(pool);
}

static void test_pool_group__may_be_released_right_after_the_wait(void **state)
{
	(void)state;
	struct pool *pool = NULL;
	assert_int_equal(pool_new(2, 0, NULL, &pool, NULL), 0);
	for (int round = 0; round < 500; round++) {
		struct counter c = {0};
		assert_int_equal(pool_group_init(&c.group, NULL), 0);
		pool_group_add(&c.group);
		pool_submit(pool, job_grouped, &c);
		pool_group_wait(&c.group);
		pool_group_release(&c.group);
		pool_group_release(&c.group);
	}
	pool_free(pool);
}

static void job_signals(void *arg)
{
	struct counter *c = arg;
	sigset_t set;
	if (pthread_sigmask(SIG_SETMASK, NULL, &set) == 0 && sigismember(&set, SIGTERM) == 1 &&
		sigismember(&set, SIGINT) == 1)
		(void)atomic_fetch_add(&c->blocked_signals, 1);
}

static void test_pool__threads_take_no_signals_and_the_caller_still_does(void **state)
{
	struct counter *c = *state;
	struct pool *pool = NULL;
	sigset_t set;
	assert_int_equal(pool_new(1, 0, NULL, &pool, NULL), 0);
	pool_submit(pool, job_signals, c);
	pool_free(pool);
	assert_int_equal(atomic_load(&c->blocked_signals), 1);
	assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, &set), 0);
	assert_int_equal(sigismember(&set, SIGTERM), 0);
}

static void test_pool_new__zero_threads_is_one_a_core(void **state)
{
	(void)state;
	struct pool *pool = NULL;
	assert_int_equal(pool_new(0, 0, NULL, &pool, NULL), 0);
	assert_int_equal(pool_threads(pool), pool_cores());
	pool_free(pool);
}

static void test_pool_cores__follows_the_affinity_mask(void **state)
{
	(void)state;
	cpu_set_t before;
	cpu_set_t one;
	size_t first = 0;
	assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
	assert_in_range(pool_cores(), 1, CPU_COUNT(&before));
	while (!CPU_ISSET(first, &before))
		first++;
	CPU_ZERO(&one);
	CPU_SET(first, &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	unsigned cores = pool_cores();
	assert_int_equal(sched_setaffinity(0, sizeof(before), &before), 0);
	assert_int_equal(cores, 1);
}

static void test_pool_quota_cores__rounds_up(void **state)
{
	(void)state;
	assert_int_equal(pool_quota_cores("200000 100000\n"), 2);
	assert_int_equal(pool_quota_cores("150000 100000\n"), 2);
	assert_int_equal(pool_quota_cores("1000 100000\n"), 1);
	assert_int_equal(pool_quota_cores("max 100000\n"), 65536);
	assert_int_equal(pool_quota_cores(""), 65536);
	assert_int_equal(pool_quota_cores("5 0"), 65536);
	assert_int_equal(pool_quota_cores("18446744073709551615 1"), 65536);
}

#define COUNTED(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		COUNTED(test_pool_free__runs_all_that_was_submitted),
		COUNTED(test_pool_try_submit__false_when_the_queue_is_full),
		COUNTED(test_pool_submit__blocks_while_the_queue_is_full),
		COUNTED(test_pool__jobs_begin_in_their_order),
		COUNTED(test_pool_group_wait__returns_when_all_are_done),
		COUNTED(test_pool_group__may_be_released_right_after_the_wait),
		COUNTED(test_pool__threads_take_no_signals_and_the_caller_still_does),
		COUNTED(test_pool_new__zero_threads_is_one_a_core),
		COUNTED(test_pool_cores__follows_the_affinity_mask),
		COUNTED(test_pool_quota_cores__rounds_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
