/* SPDX-License-Identifier: MIT */
#ifndef BASE_POOL_H
#define BASE_POOL_H

/*
 * A worker pool with a bounded queue, and groups to wait for.
 *
 * pool_submit() blocks while the queue is full: that is how memory stays
 * bounded. Jobs begin in the order they were submitted. A job must not call
 * pool_submit() on its own pool (it could wait for itself); it may call
 * pool_try_submit(). Threads have all signals blocked. Thread-safe.
 */

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct pool;
/* A job; `arg` is the submitter's, who keeps it alive until the job has run. */
typedef void pool_fn(void *arg);

/*
 * `threads` 0: one a core that this process may use. `depth`: jobs waiting at most (0: 2 a thread). `name` is what the
 * threads are called in ps, cut to 15 bytes; may be NULL. ERR_NO_MEMORY when not even one thread began.
 */
int pool_new(unsigned threads, size_t depth, const char *name, struct pool **ret_pool, struct error *err);
/* Runs what was submitted to its end, then stops the threads. Nobody may submit any more. NULL is a no-op. */
void pool_free(struct pool *pool);
/* Queues a job; blocks while the queue is full. */
void pool_submit(struct pool *pool, pool_fn *fn, void *arg);
/* False when the queue is full. */
bool pool_try_submit(struct pool *pool, pool_fn *fn, void *arg);
/* How many threads began: as many as asked for, or fewer where the host refused. */
unsigned pool_threads(const struct pool *pool);
/* Cores that this process may run on (its affinity mask and cgroup quota), at least 1. */
unsigned pool_cores(void);
/* The cores that the text of a cgroup's cpu.max allows, rounded up; 65536 where it sets no limit. */
unsigned pool_quota_cores(const char *cpu_max);

/* Counts work that is outstanding; embed it, pool_group_init() it. */
struct pool_group {
	void *impl;
};
/* Must be released. ERR_NO_MEMORY. */
int pool_group_init(struct pool_group *group, struct error *err);
/* Nothing may be outstanding. Again, or of a zeroed group, is a no-op. */
void pool_group_release(struct pool_group *group);
/* One more is outstanding. Call it before the job is submitted. */
void pool_group_add(struct pool_group *group);
/* One is done; the last one wakes the waiters, who may release the group at once. */
void pool_group_done(struct pool_group *group);
/* Blocks until as many done as add. */
void pool_group_wait(struct pool_group *group);

#endif
