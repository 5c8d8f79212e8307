/* SPDX-License-Identifier: MIT */
#include "base/pool.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/host.h"

enum { THREADS_MAX = 1024, THREAD_NAME_MAX = 16 };

struct job {
	pool_fn *fn;
	void *arg;
};

struct pool {
	pthread_mutex_t lock; /* guards all below but threads, never held while a job runs */
	pthread_cond_t filled;
	pthread_cond_t emptied;
	struct job *jobs; /* ring of `depth` */
	size_t depth;
	size_t first;
	size_t count;
	bool stopping;
	unsigned thread_count;
	char name[THREAD_NAME_MAX];
	pthread_t threads[];
};

static void *pool_work(void *arg)
{
	struct pool *pool = arg;
	(void)pthread_setname_np(pthread_self(), pool->name);
	(void)pthread_mutex_lock(&pool->lock);
	for (;;) {
		while (pool->count == 0 && !pool->stopping)
			(void)pthread_cond_wait(&pool->filled, &pool->lock);
		if (pool->count == 0)
			break;
		struct job job = pool->jobs[pool->first];
		pool->first = (pool->first + 1) % pool->depth;
		pool->count--;
		(void)pthread_cond_signal(&pool->emptied);
		(void)pthread_mutex_unlock(&pool->lock);
		job.fn(job.arg);
		(void)pthread_mutex_lock(&pool->lock);
	}
	(void)pthread_mutex_unlock(&pool->lock);
	return NULL;
}

/* Returns how many threads began. */
static unsigned pool_start(struct pool *pool, unsigned threads)
{
	unsigned begun = 0;
	while (begun < threads && host_thread(&pool->threads[begun], pool_work, pool) == 0)
		begun++;
	return begun;
}

int pool_new(unsigned threads, size_t depth, const char *name, struct pool **ret_pool, struct error *err)
{
	if (threads == 0)
		threads = pool_cores();
	if (threads > THREADS_MAX)
		threads = THREADS_MAX;
	if (depth == 0)
		depth = (size_t)threads * 2;
	struct pool *pool = calloc(1, sizeof(*pool) + threads * sizeof(pool->threads[0]));
	struct job *jobs = calloc(depth, sizeof(*jobs));
	if (!pool || !jobs) {
		free(pool);
		free(jobs);
		return error_no_memory(err, "worker threads");
	}
	pool->jobs = jobs;
	pool->depth = depth;
	(void)snprintf(pool->name, sizeof(pool->name), "%s", name ? name : "worker");
	(void)pthread_mutex_init(&pool->lock, NULL);
	(void)pthread_cond_init(&pool->filled, NULL);
	(void)pthread_cond_init(&pool->emptied, NULL);
	pool->thread_count = pool_start(pool, threads);
	if (pool->thread_count == 0) { /* fewer than asked for is slower, none is a failure */
		pool_free(pool);
		return error_set(err, ERR_NO_MEMORY, "cannot start worker threads; raise the limit of processes");
	}
	*ret_pool = pool;
	return 0;
}

void pool_free(struct pool *pool)
{
	if (!pool)
		return;
	(void)pthread_mutex_lock(&pool->lock);
	pool->stopping = true;
	(void)pthread_cond_broadcast(&pool->filled);
	(void)pthread_mutex_unlock(&pool->lock);
	for (unsigned i = 0; i < pool->thread_count; i++)
		(void)pthread_join(pool->threads[i], NULL);
	(void)pthread_cond_destroy(&pool->filled);
	(void)pthread_cond_destroy(&pool->emptied);
	(void)pthread_mutex_destroy(&pool->lock);
	free(pool->jobs);
	free(pool);
}

static bool pool_put(struct pool *pool, pool_fn *fn, void *arg, bool wait)
{
	(void)pthread_mutex_lock(&pool->lock);
	while (wait && pool->count == pool->depth)
		(void)pthread_cond_wait(&pool->emptied, &pool->lock);
	bool room = pool->count < pool->depth;
	if (room) {
		pool->jobs[(pool->first + pool->count) % pool->depth] = (struct job){.fn = fn, .arg = arg};
		pool->count++;
		(void)pthread_cond_signal(&pool->filled);
	}
	(void)pthread_mutex_unlock(&pool->lock);
	return room;
}

void pool_submit(struct pool *pool, pool_fn *fn, void *arg)
{
	(void)pool_put(pool, fn, arg, true);
}
bool pool_try_submit(struct pool *pool, pool_fn *fn, void *arg)
{
	return pool_put(pool, fn, arg, false);
}
unsigned pool_threads(const struct pool *pool)
{
	return pool->thread_count;
}

struct group_impl {
	pthread_mutex_t lock;
	pthread_cond_t zero;
	uint64_t outstanding;
};

int pool_group_init(struct pool_group *group, struct error *err)
{
	struct group_impl *impl = calloc(1, sizeof(*impl));
	if (!impl)
		return error_no_memory(err, "a group of jobs");
	(void)pthread_mutex_init(&impl->lock, NULL);
	(void)pthread_cond_init(&impl->zero, NULL);
	group->impl = impl;
	return 0;
}

void pool_group_release(struct pool_group *group)
{
	struct group_impl *impl = group->impl;
	if (!impl)
		return;
	(void)pthread_cond_destroy(&impl->zero);
	(void)pthread_mutex_destroy(&impl->lock);
	free(impl);
	group->impl = NULL;
}

void pool_group_add(struct pool_group *group)
{
	struct group_impl *impl = group->impl;
	(void)pthread_mutex_lock(&impl->lock);
	impl->outstanding++;
	(void)pthread_mutex_unlock(&impl->lock);
}

void pool_group_done(struct pool_group *group)
{
	struct group_impl *impl = group->impl;
	(void)pthread_mutex_lock(&impl->lock);
	if (--impl->outstanding == 0)
		(void)pthread_cond_broadcast(&impl->zero);
	/* Once this is unlocked a waiter may release the group: nothing of it is touched after. */
	(void)pthread_mutex_unlock(&impl->lock);
}

void pool_group_wait(struct pool_group *group)
{
	struct group_impl *impl = group->impl;
	(void)pthread_mutex_lock(&impl->lock);
	while (impl->outstanding > 0)
		(void)pthread_cond_wait(&impl->zero, &impl->lock);
	(void)pthread_mutex_unlock(&impl->lock);
}
