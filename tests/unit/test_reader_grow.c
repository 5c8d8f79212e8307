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

#include "reader_made.h"

enum { KIB = 1 << 10, MIB = 1 << 20, CHUNKS = 12, THREADS = 6 };

struct setting {
	struct reader_made m;
	struct made_file f;
	struct reader *r;
	struct reader_file *file;
};

static void set_up(struct setting *s, size_t cache, unsigned threads, bool remote)
{
	reader_made_open(&s->m, CHUNKS, 1 * MIB, 4 * MIB, remote);
	reader_made_file(&s->m, &s->f, 2 * CHUNKS, true, 7);
	s->r = reader_made_reader(&s->m, cache, threads);
	assert_int_equal(reader_file_open(s->r, &s->f.entry, &s->file, NULL), 0);
}

static void tear_down(struct setting *s)
{
	reader_file_close(s->file);
	reader_close(s->r);
	reader_made_file_free(&s->f);
	reader_made_close(&s->m);
}

/* Maps a few bytes, which must be one span or two, and right. Returns how many were wrong. */
static unsigned map_few(struct setting *s, uint64_t off, size_t len, struct reader_span spans[2], size_t *ret_count)
{
	unsigned wrong = reader_file_map(s->file, off, len, spans, 2, ret_count, NULL) != 0;

	for (size_t i = 0; i < *ret_count; off += spans[i++].len)
		wrong += spans[i].data == NULL || memcmp(spans[i].data, s->f.bytes + off, spans[i].len) != 0;
	return wrong;
}

static void test_reader_grow__a_pin_on_the_beginning_outlives_the_rest(void **state)
{
	struct setting s;
	struct reader_span early[2], late[2];
	size_t n_early = 0, n_late = 0;

	(void)state;
	for (int remote = 0; remote < 2; remote++) {
		set_up(&s, 0, 2, remote);
		assert_int_equal(map_few(&s, 100 * KIB, 4 * KIB, early, &n_early), 0);
		const uint8_t *data = early[0].data;
		for (uint64_t off = 200 * KIB; off < 900 * KIB; off += 60 * KIB) {
			assert_int_equal(map_few(&s, off, 8 * KIB, late, &n_late), 0);
			assert_ptr_equal(late[0].chunk, early[0].chunk);
			reader_spans_release(s.r, late, n_late);
		}
		assert_memory_equal(data, s.f.bytes + 100 * KIB, 4 * KIB);
		reader_spans_release(s.r, early, n_early);
		tear_down(&s);
	}
}

static void test_reader_grow__closing_in_the_middle_leaves_nothing(void **state)
{
	struct setting s;
	struct reader_span spans[2];
	size_t count = 0;

	(void)state;
	for (int round = 0; round < 8; round++) {
		set_up(&s, 0, 1, false);
		assert_int_equal(map_few(&s, (uint64_t)round * 40 * KIB, 4 * KIB, spans, &count), 0);
		reader_spans_release(s.r, spans, count);
		tear_down(&s);
	}
}

struct hopper {
	struct setting *s;
	unsigned seed;
	pthread_t thread;
	atomic_uint *wrong;
};

static void *hop(void *arg)
{
	struct hopper *h = arg;

	for (int i = 0; i < 400; i++) {
		struct reader_span spans[2];
		size_t count = 0;
		h->seed = h->seed * 1103515245u + 12345u;
		uint64_t off = (h->seed >> 3) % (h->s->f.entry.size - 8 * KIB);
		atomic_fetch_add(h->wrong, map_few(h->s, off, 1 + (h->seed >> 5) % (8 * KIB), spans, &count));
		reader_spans_release(h->s->r, spans, count);
	}
	return NULL;
}

static void test_reader_grow__many_threads_hop_about_in_the_same_chunks(void **state)
{
	struct setting s;
	struct hopper hoppers[THREADS];
	atomic_uint wrong;

	(void)state;
	atomic_init(&wrong, 0);
	for (int round = 0; round < 2; round++) {
		/* A cache that holds them all, and one that throws them out while they grow. */
		set_up(&s, round % 2 ? 1 : 256 * MIB, 2, round / 2);
		for (unsigned i = 0; i < THREADS; i++) {
			hoppers[i] = (struct hopper){.s = &s, .seed = i + 1, .wrong = &wrong};
			assert_int_equal(pthread_create(&hoppers[i].thread, NULL, hop, &hoppers[i]), 0);
		}
		for (unsigned i = 0; i < THREADS; i++)
			pthread_join(hoppers[i].thread, NULL);
		assert_int_equal(atomic_load(&wrong), 0);
		struct reader_stats stats;
		reader_get_stats(s.r, &stats);
		assert_true(stats.cache_bytes <= stats.cache_cap);
		tear_down(&s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reader_grow__a_pin_on_the_beginning_outlives_the_rest),
		cmocka_unit_test(test_reader_grow__closing_in_the_middle_leaves_nothing),
		cmocka_unit_test(test_reader_grow__many_threads_hop_about_in_the_same_chunks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
