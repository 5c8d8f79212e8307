/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/host.h"
#include "reader_made.h"

enum { KIB = 1 << 10, MIB = 1 << 20, LEAST_CACHE = 24 << 20 };

static void read_one(struct reader *r, const struct made_chunk *c)
{
	const struct chunk *chunk = NULL;
	struct error err = ERROR_INIT;
	if (reader_chunk(r, &c->ref, &chunk, &err) != 0)
		fail_msg("%s", error_text(&err));
	reader_made_expect(c, chunk);
	reader_release(r, chunk);
}

static void add_rule(struct repo *repo, enum fault_kind kind, uint64_t nth, uint64_t count, const char *prefix)
{
	struct fault_rule rule = {
		.kind = kind, .ops = FAULT_GET, .nth = nth, .count = count, .prefix = prefix, .delay_ms = 30};
	assert_int_equal(store_fault_add(repo->store, &rule, NULL), 0);
}

static uint64_t gets(struct repo *repo)
{
	return store_fault_calls(repo->store, FAULT_GET);
}

/* Waits until nothing is on its way any more: then the cache holds what its slots hold. */
static void settle(struct reader *r, uint64_t decoded)
{
	struct reader_stats stats;
	int64_t until = clock_monotonic() + 20 * CLOCK_SECOND;
	do {
		usleep(1000);
		reader_get_stats(r, &stats);
	} while (stats.decoded_bytes < decoded && clock_monotonic() < until);
	assert_true(stats.decoded_bytes >= decoded);
}

static void test_reader_chunk__gives_back_what_was_stored(void **state)
{
	(void)state;
	for (int remote = 0; remote < 2; remote++) {
		struct reader_made m;
		reader_made_open(&m, 40, 1, 600 * KIB, remote);
		struct reader *r = reader_made_reader(&m, 0, 2);
		for (int pass = 0; pass < 2; pass++)
			for (size_t i = 0; i < m.count; i++)
				read_one(r, &m.chunks[(i * 17) % m.count]);
		struct reader_stats stats;
		reader_get_stats(r, &stats);
		assert_int_equal(stats.misses, 40);
		assert_int_equal(stats.hits, 40);
		assert_true(stats.cache_bytes <= stats.cache_cap);
		assert_int_equal(stats.cache_cap, 64 * MIB);
		reader_close(r);
		reader_made_close(&m);
	}
}

static void test_reader_chunk_cached__only_what_is_there(void **state)
{
	(void)state;
	struct reader_made m;
	reader_made_open(&m, 2, 100 * KIB, 200 * KIB, false);
	struct reader *r = reader_made_reader(&m, 0, 1);
	assert_null(reader_chunk_cached(r, &m.chunks[0].ref.id));
	read_one(r, &m.chunks[0]);
	const struct chunk *chunk = reader_chunk_cached(r, &m.chunks[0].ref.id);
	assert_non_null(chunk);
	reader_made_expect(&m.chunks[0], chunk);
	reader_release(r, chunk);
	assert_null(reader_chunk_cached(r, &m.chunks[1].ref.id));
	reader_close(r);
	reader_made_close(&m);
}

struct asker {
	struct reader *r;
	const struct made_chunk *chunk;
	pthread_t thread;
	int status;
};

static void *ask(void *arg)
{
	struct asker *a = arg;
	const struct chunk *chunk = NULL;
	a->status = reader_chunk(a->r, &a->chunk->ref, &chunk, NULL);
	if (a->status == 0)
		reader_release(a->r, chunk);
	return NULL;
}

static void ask_by_eight(struct reader *r, const struct made_chunk *chunk, int expect)
{
	struct asker askers[8];
	for (int i = 0; i < 8; i++) {
		askers[i] = (struct asker){.r = r, .chunk = chunk};
		assert_int_equal(pthread_create(&askers[i].thread, NULL, ask, &askers[i]), 0);
	}
	for (int i = 0; i < 8; i++) {
		pthread_join(askers[i].thread, NULL);
		assert_int_equal(askers[i].status, expect);
	}
}

static void test_reader_chunk__eight_who_want_one_fetch_it_once(void **state)
{
	(void)state;
	for (int remote = 0; remote < 2; remote++) {
		struct reader_made m;
		reader_made_open(&m, 4, 100 * KIB, 200 * KIB, remote);
		struct reader *r = reader_made_reader(&m, 0, 2);
		add_rule(m.repo, FAULT_DELAY, 0, 0, "packs/");
		uint64_t before = gets(m.repo);
		ask_by_eight(r, &m.chunks[2], 0);
		/* The range and the key. */
		assert_int_equal(gets(m.repo) - before, 2);
		reader_close(r);
		reader_made_close(&m);
	}
}

static void test_reader_chunk__damage_is_an_error_until_it_is_gone(void **state)
{
	(void)state;
	static const enum fault_kind kinds[] = {FAULT_CORRUPT, FAULT_TRUNCATE, FAULT_FAIL};
	static const int codes[] = {ERR_CORRUPT, ERR_CORRUPT, ERR_UNAVAILABLE};
	for (size_t k = 0; k < 3; k++) {
		struct reader_made m;
		reader_made_open(&m, 3, 100 * KIB, 200 * KIB, false);
		struct reader *r = reader_made_reader(&m, 0, 2);
		const struct chunk *chunk = NULL;
		struct error err = ERROR_INIT;
		add_rule(m.repo, kinds[k], 0, 0, "packs/");
		assert_int_equal(reader_chunk(r, &m.chunks[1].ref, &chunk, &err), codes[k]);
		assert_null(chunk);
		assert_non_null(strstr(error_text(&err), "packs/"));
		ask_by_eight(r, &m.chunks[1], codes[k]);
		store_fault_clear(m.repo->store);
		read_one(r, &m.chunks[1]);
		reader_close(r);
		reader_made_close(&m);
	}
}

static void test_reader_chunk__one_bit_flipped_on_the_line_is_fetched_again(void **state)
{
	(void)state;
	struct reader_made m;
	reader_made_open(&m, 3, 100 * KIB, 200 * KIB, true);
	struct reader *r = reader_made_reader(&m, 0, 2);
	add_rule(m.repo, FAULT_CORRUPT, 1, 1, "packs/");
	read_one(r, &m.chunks[1]);
	reader_close(r);
	reader_made_close(&m);
}

static void test_reader_chunk__a_key_that_cannot_be_had_is_not_remembered(void **state)
{
	(void)state;
	struct reader_made m;
	reader_made_open(&m, 2, 100 * KIB, 200 * KIB, true);
	struct reader *r = reader_made_reader(&m, 0, 2);
	add_rule(m.repo, FAULT_FAIL, 0, 0, "wraps/");
	ask_by_eight(r, &m.chunks[0], ERR_UNAVAILABLE);
	store_fault_clear(m.repo->store);
	read_one(r, &m.chunks[0]);
	reader_close(r);
	reader_made_close(&m);
}

/* As after a repack: the reference names a pack that is gone, the index knows better. */
static void test_reader_chunk__a_stale_locator_is_looked_up_in_the_index(void **state)
{
	(void)state;
	for (int remote = 0; remote < 2; remote++) {
		struct reader_made m;
		reader_made_open(&m, 5, 100 * KIB, 200 * KIB, remote);
		struct reader *r = reader_made_reader(&m, 0, 2);
		for (size_t i = 0; i < m.count; i++)
			host_random(&m.chunks[i].ref.chain[0].pack, sizeof(struct id));
		read_one(r, &m.chunks[3]);
		assert_int_equal(reader_prefetch(r, &m.chunks[0].ref, 1), 1);
		for (size_t i = 0; i < m.count; i++)
			read_one(r, &m.chunks[i]);
		reader_close(r);
		reader_made_close(&m);
	}
}

static void test_reader_chunk__missing_everywhere_names_the_pack(void **state)
{
	(void)state;
	struct reader_made m;
	char name[FORMAT_NAME_MAX];
	reader_made_open(&m, 2, 100 * KIB, 200 * KIB, false);
	struct reader *r = reader_made_reader(&m, 0, 2);
	const struct chunk *chunk;
	struct error err = ERROR_INIT;
	struct chunk_ref ref = m.chunks[1].ref;
	host_random(&ref.id, sizeof(ref.id));
	host_random(&ref.chain[0].pack, sizeof(struct id));
	object_name(KIND_DATA_PACK, 0, &ref.chain[0].pack, name);
	assert_int_equal(reader_chunk(r, &ref, &chunk, &err), ERR_CORRUPT);
	assert_non_null(strstr(error_text(&err), name));
	/* The pack itself is gone: the index points at the place where it was. */
	object_name(KIND_DATA_PACK, 0, &m.chunks[1].ref.chain[0].pack, name);
	assert_int_equal(store_del(m.repo->store, NULL, name, NULL), 0);
	error_clear(&err);
	assert_int_equal(reader_chunk(r, &m.chunks[1].ref, &chunk, &err), ERR_CORRUPT);
	assert_non_null(strstr(error_text(&err), name));
	reader_close(r);
	reader_made_close(&m);
}

static void test_reader_chunk__numbers_that_cannot_be_are_refused(void **state)
{
	(void)state;
	struct reader_made m;
	reader_made_open(&m, 1, 100 * KIB, 200 * KIB, false);
	struct reader *r = reader_made_reader(&m, 0, 2);
	const struct chunk *chunk;
	for (int i = 0; i < 6; i++) {
		struct chunk_ref ref = m.chunks[0].ref;
		switch (i) {
		case 0:
			ref.depth = CHUNK_DEPTH_MAX + 1;
			break;
		case 1:
			ref.chain[0].stored = CHUNK_STORED_MAX + 1;
			break;
		case 2:
			ref.chain[0].plain = UINT32_MAX;
			break;
		case 3:
			ref.chain[0].offset = UINT64_MAX - 3;
			break;
		case 4:
			ref.chain[0].stored = 3;
			break;
		case 5:
			ref.depth = 1; /* chain[1] is zeros */
			break;
		}
		assert_int_equal(reader_chunk(r, &ref, &chunk, NULL), ERR_CORRUPT);
		assert_int_equal(reader_prefetch(r, &ref, 1), 0);
	}
	reader_close(r);
	reader_made_close(&m);
}

static void test_reader_chunk__wrong_length_in_the_locator_is_corrupt(void **state)
{
	(void)state;
	struct reader_made m;
	reader_made_open(&m, 1, 100 * KIB, 200 * KIB, false);
	struct reader *r = reader_made_reader(&m, 0, 2);
	const struct chunk *chunk;
	for (int i = -1; i <= 1; i += 2) {
		struct chunk_ref ref = m.chunks[0].ref;
		ref.chain[0].plain += (uint32_t)i;
		assert_int_equal(reader_chunk(r, &ref, &chunk, NULL), ERR_CORRUPT);
	}
	read_one(r, &m.chunks[0]);
	reader_close(r);
	reader_made_close(&m);
}

/* Whoever holds more than the cache may hold gets the next chunk all the same. */
static void test_reader_chunk__goes_on_when_all_is_pinned(void **state)
{
	(void)state;
	enum { PINS = 23 };
	struct reader_made m;
	const struct chunk *pins[PINS];
	reader_made_open(&m, PINS, MIB, MIB + 1, false);
	struct reader *r = reader_made_reader(&m, 1, 2);
	for (int i = 0; i < PINS; i++)
		assert_int_equal(reader_chunk(r, &m.chunks[i].ref, &pins[i], NULL), 0);
	for (int i = 0; i < PINS; i++) {
		reader_made_expect(&m.chunks[i], pins[i]);
		reader_release(r, pins[i]);
	}
	struct reader_stats stats;
	read_one(r, &m.chunks[0]);
	for (int i = 0; i < PINS; i++)
		read_one(r, &m.chunks[i]);
	reader_get_stats(r, &stats);
	assert_int_equal(stats.cache_cap, LEAST_CACHE);
	assert_true(stats.cache_bytes <= stats.cache_cap);
	reader_close(r);
	reader_made_close(&m);
}

static void test_reader_prefetch__neighbours_come_by_few_requests(void **state)
{
	(void)state;
	for (int remote = 0; remote < 2; remote++) {
		struct reader_made m;
		struct chunk_ref refs[32];
		uint64_t sum = 0;
		reader_made_open(&m, 32, 20 * KIB, 40 * KIB, remote);
		struct reader *r = reader_made_reader(&m, 0, 2);
		/* In the order of the pack, which is not always the order of handing in. */
		for (size_t i = 0; i < m.count; i++)
			refs[i] = m.chunks[i].ref;
		for (size_t i = 1; i < m.count; i++) {
			struct chunk_ref x = refs[i];
			size_t k = i;
			for (; k > 0 && refs[k - 1].chain[0].offset > x.chain[0].offset; k--)
				refs[k] = refs[k - 1];
			refs[k] = x;
		}
		for (size_t i = 0; i < m.count; i++)
			sum += m.chunks[i].len;
		uint64_t before = gets(m.repo);
		assert_int_equal(reader_prefetch(r, refs, m.count), m.count);
		settle(r, sum);
		/* One wrap; on a line one range holds them all. */
		assert_true(gets(m.repo) - before <= (remote ? 2 : 9));
		before = gets(m.repo);
		for (size_t i = 0; i < m.count; i++)
			read_one(r, &m.chunks[i]);
		assert_int_equal(gets(m.repo), before);
		reader_close(r);
		reader_made_close(&m);
	}
}

static void test_reader_prefetch__takes_what_there_is_room_for(void **state)
{
	(void)state;
	struct reader_made m;
	struct chunk_ref refs[60];
	struct reader_stats stats;
	reader_made_open(&m, 60, MIB, MIB + 1, true);
	struct reader *r = reader_made_reader(&m, 1, 2);
	for (size_t i = 0; i < m.count; i++)
		refs[i] = m.chunks[i].ref;
	add_rule(m.repo, FAULT_DELAY, 0, 0, "packs/");
	size_t taken = reader_prefetch(r, refs, m.count);
	assert_true(taken >= 4 && taken <= 24);
	/* In flight they count as taken. */
	assert_true(reader_prefetch(r, refs, taken) >= taken);
	for (size_t i = m.count; i-- > 0;)
		read_one(r, &m.chunks[i]);
	reader_get_stats(r, &stats);
	assert_true(stats.cache_bytes <= stats.cache_cap);
	reader_close(r);
	reader_made_close(&m);
}

static void test_reader_prefetch__failing_is_not_told_to_who_reads(void **state)
{
	(void)state;
	for (int remote = 0; remote < 2; remote++) {
		struct reader_made m;
		reader_made_open(&m, 8, 100 * KIB, 200 * KIB, remote);
		struct reader *r = reader_made_reader(&m, 0, 1);
		/* Slow at first, so that the reader meets them on their way; then failing. */
		add_rule(m.repo, FAULT_DELAY, 1, 2, NULL);
		add_rule(m.repo, FAULT_FAIL, 1, 1, "packs/");
		for (size_t i = 0; i < m.count; i++)
			assert_int_equal(reader_prefetch(r, &m.chunks[i].ref, 1), 1);
		/* The failure may meet the reading itself: that is told, and the next try succeeds. */
		const struct chunk *chunk;
		if (reader_chunk(r, &m.chunks[0].ref, &chunk, NULL) == 0)
			reader_release(r, chunk);
		for (size_t i = 0; i < m.count; i++)
			read_one(r, &m.chunks[i]);
		reader_close(r);
		reader_made_close(&m);
	}
}

static void test_reader_close__drops_what_is_on_its_way(void **state)
{
	(void)state;
	for (int remote = 0; remote < 2; remote++) {
		struct reader_made m;
		struct chunk_ref refs[24];
		reader_made_open(&m, 24, 100 * KIB, 200 * KIB, remote);
		struct reader *r = reader_made_reader(&m, 0, 2);
		add_rule(m.repo, FAULT_DELAY, 0, 0, "packs/");
		for (size_t i = 0; i < m.count; i++)
			refs[i] = m.chunks[i].ref;
		assert_int_equal(reader_prefetch(r, refs, m.count), m.count);
		reader_close(r);
		reader_made_close(&m);
	}
}

static void test_reader_chunk__chains_of_bases(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 8; i++) {
		unsigned depth = i / 2;
		struct reader_made m;
		struct made_chunk top;
		reader_made_open(&m, 1, 1000, 2000, i % 2);
		reader_made_chain(&m, depth, 700 * KIB, &top);
		struct reader *r = reader_made_reader(&m, 0, 2);
		uint64_t before = gets(m.repo);
		read_one(r, &top);
		assert_int_equal(gets(m.repo) - before, 2 * (depth + 1));
		/* Another chunk on the same base finds it in the cache. */
		if (depth > 0) {
			struct made_chunk other = top;
			before = gets(m.repo);
			host_random(&other.ref.id, sizeof(other.ref.id));
			read_one(r, &other);
			assert_int_equal(gets(m.repo) - before, 1);
		}
		host_random(&top.ref.id, sizeof(top.ref.id));
		assert_int_equal(reader_prefetch(r, &top.ref, 1), 1);
		read_one(r, &top);
		/* A chain that is said to be shorter or longer than it is. */
		struct made_chunk wrong = top;
		const struct chunk *chunk;
		host_random(&wrong.ref.id, sizeof(wrong.ref.id));
		wrong.ref.depth = (uint8_t)(depth > 0 ? depth - 1 : 1);
		wrong.ref.chain[1] = depth > 0 ? top.ref.chain[1] : m.chunks[0].ref.chain[0];
		/* Deeper down the nearest base, decoded before, stands for the rest of the chain. */
		if (depth < 2)
			assert_int_equal(reader_chunk(r, &wrong.ref, &chunk, NULL), ERR_CORRUPT);
		reader_close(r);
		reader_made_close(&m);
	}
}

/* ---- many threads ---- */

enum { STRESS_THREADS = 8, STRESS_ROUNDS = 60 };

struct stress {
	struct reader_made *m;
	struct reader *r;
	unsigned seed;
	bool faults;
	pthread_t thread;
	atomic_uint *wrong;
};

static unsigned draw(struct stress *s)
{
	s->seed = s->seed * 1103515245u + 12345u;
	return s->seed >> 8;
}

static void stress_one(struct stress *s)
{
	const struct made_chunk *c = &s->m->chunks[draw(s) % s->m->count];
	const struct chunk *chunk = NULL;
	if (draw(s) % 4 == 0) {
		struct chunk_ref refs[6];
		size_t from = draw(s) % (s->m->count - 6);
		for (size_t i = 0; i < 6; i++)
			refs[i] = s->m->chunks[from + i].ref;
		(void)reader_prefetch(s->r, refs, 6);
	}
	int status = reader_chunk(s->r, &c->ref, &chunk, NULL);
	if (status != 0) {
		if (!s->faults || status != ERR_UNAVAILABLE)
			atomic_fetch_add(s->wrong, 1);
		return;
	}
	uint32_t at = draw(s) % c->len;
	if (chunk->len != c->len || chunk->data[at] != reader_made_byte(c->number, at))
		atomic_fetch_add(s->wrong, 1);
	reader_release(s->r, chunk);
}

static void *stress_main(void *arg)
{
	struct stress *s = arg;
	for (int i = 0; i < STRESS_ROUNDS; i++) {
		struct reader_stats stats;
		stress_one(s);
		reader_get_stats(s->r, &stats);
		if (stats.cache_bytes > stats.cache_cap)
			atomic_fetch_add(s->wrong, 1);
	}
	return NULL;
}

static void test_reader__eight_threads_never_pass_the_cap(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++) {
		struct reader_made m;
		struct stress stress[STRESS_THREADS];
		atomic_uint wrong;
		atomic_init(&wrong, 0);
		reader_made_open(&m, 80, 300 * KIB, 1400 * KIB, i % 2);
		struct reader *r = reader_made_reader(&m, 1, 2);
		if (i >= 2)
			for (uint64_t n = 5; n < 400; n += 7)
				add_rule(m.repo, FAULT_FAIL, n, 1, "packs/");
		for (unsigned t = 0; t < STRESS_THREADS; t++) {
			stress[t] = (struct stress){.m = &m, .r = r, .seed = t + 1, .faults = i >= 2, .wrong = &wrong};
			assert_int_equal(pthread_create(&stress[t].thread, NULL, stress_main, &stress[t]), 0);
		}
		for (unsigned t = 0; t < STRESS_THREADS; t++)
			pthread_join(stress[t].thread, NULL);
		assert_int_equal(atomic_load(&wrong), 0);
		reader_close(r);
		reader_made_close(&m);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reader_chunk__gives_back_what_was_stored),
		cmocka_unit_test(test_reader_chunk_cached__only_what_is_there),
		cmocka_unit_test(test_reader_chunk__eight_who_want_one_fetch_it_once),
		cmocka_unit_test(test_reader_chunk__damage_is_an_error_until_it_is_gone),
		cmocka_unit_test(test_reader_chunk__one_bit_flipped_on_the_line_is_fetched_again),
		cmocka_unit_test(test_reader_chunk__a_key_that_cannot_be_had_is_not_remembered),
		cmocka_unit_test(test_reader_chunk__a_stale_locator_is_looked_up_in_the_index),
		cmocka_unit_test(test_reader_chunk__missing_everywhere_names_the_pack),
		cmocka_unit_test(test_reader_chunk__numbers_that_cannot_be_are_refused),
		cmocka_unit_test(test_reader_chunk__wrong_length_in_the_locator_is_corrupt),
		cmocka_unit_test(test_reader_chunk__goes_on_when_all_is_pinned),
		cmocka_unit_test(test_reader_prefetch__neighbours_come_by_few_requests),
		cmocka_unit_test(test_reader_prefetch__takes_what_there_is_room_for),
		cmocka_unit_test(test_reader_prefetch__failing_is_not_told_to_who_reads),
		cmocka_unit_test(test_reader_close__drops_what_is_on_its_way),
		cmocka_unit_test(test_reader_chunk__chains_of_bases),
		cmocka_unit_test(test_reader__eight_threads_never_pass_the_cap),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
