/* SPDX-License-Identifier: MIT */
#include "archive/wave.h"

#include <stdatomic.h>

#include "base/pool.h"

struct wave {
	wave_fn *fn;
	void *arg;
	size_t count;
	atomic_size_t next;
};

unsigned wave_threads(const struct store *store)
{
	return (store->features & STORE_LOCAL) || store->parallel == 0 ? 1 : store->parallel;
}

static void wave_work(void *arg)
{
	struct wave *w = arg;
	for (;;) {
		size_t i = atomic_fetch_add(&w->next, 1);
		if (i >= w->count)
			return;
		w->fn(w->arg, i);
	}
}

void wave_run(unsigned threads, size_t count, wave_fn *fn, void *arg)
{
	struct wave w = {.fn = fn, .arg = arg, .count = count};
	struct pool *pool = NULL;
	atomic_init(&w.next, 0);
	if (threads > count)
		threads = (unsigned)count;
	if (threads <= 1 || pool_new(threads, threads, "wave", &pool, NULL) != 0) {
		wave_work(&w);
		return;
	}
	for (unsigned i = 0; i < threads; i++)
		pool_submit(pool, wave_work, &w);
	/* Runs all that was submitted to its end. */
	pool_free(pool);
}
