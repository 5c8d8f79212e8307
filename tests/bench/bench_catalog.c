/* SPDX-License-Identifier: MIT */

/*
 * How fast the catalog is on this host: chunks taken in a second, lookups a
 * second (known and unknown ids; one thread, two threads; while rows enter),
 * objects put and got. bench_catalog [CHUNKS] [FOLDER]; 1,000,000 chunks in a
 * folder of its own under the temporary folder where not told otherwise, all
 * removed at the end.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/clock.h"
#include "base/fileio.h"
#include "catalog/catalog.h"

enum { SEGMENT = 100000, PACK_CHUNKS = 500, LOOKUPS = 300000 };

static uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

static void fill_id(uint64_t kind, uint64_t n, uint8_t *dst)
{
	for (uint64_t i = 0; i < CATALOG_ID_LEN / 8; i++) {
		uint64_t word = mix(mix(n * 4 + i + 1) + kind);
		memcpy(dst + i * 8, &word, 8);
	}
}

static void die(const char *what, const struct error *err)
{
	fprintf(stderr, "bench_catalog: %s: %s\n", what, error_text(err));
	exit(1);
}

/* A stretch of time by the clock and by the processor, which differ where the host has other work. */
struct span {
	int64_t wall, cpu;
};

static int64_t cpu_now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec * CLOCK_SECOND + t.tv_nsec;
}

static struct span span_begin(void)
{
	return (struct span){clock_monotonic(), cpu_now()};
}

static struct span span_end(struct span begin)
{
	return (struct span){clock_monotonic() - begin.wall, cpu_now() - begin.cpu};
}

static void report(const char *what, double count, struct span spent)
{
	double wall = (double)spent.wall / 1e9, cpu = (double)spent.cpu / 1e9;
	printf("%-46s %9.0f /s %8.2f us each, %8.2f us of processor\n", what, count / wall, wall * 1e6 / count,
		cpu * 1e6 / count);
	fflush(stdout);
}

/* Segment number n, in memory made once. */
static void make_segment(
	uint64_t n, struct catalog_segment *s, struct catalog_chunk *chunks, struct catalog_pack *packs)
{
	for (uint64_t i = 0; i < SEGMENT; i++) {
		uint64_t at = n * SEGMENT + i;
		fill_id('c', at, chunks[i].id);
		fill_id('p', at / PACK_CHUNKS, chunks[i].pack);
		chunks[i].offset = at % PACK_CHUNKS * 65536;
		chunks[i].stored = 40000;
		chunks[i].plain = 65536;
	}
	for (uint64_t i = 0; i < SEGMENT / PACK_CHUNKS; i++) {
		fill_id('p', n * (SEGMENT / PACK_CHUNKS) + i, packs[i].id);
		packs[i].wrap_len = 80;
		packs[i].size = 32 << 20;
	}
	fill_id('s', n, s->id);
	s->chunks = chunks;
	s->chunk_count = SEGMENT;
	s->packs = packs;
	s->pack_count = SEGMENT / PACK_CHUNKS;
}

static void add_segments(struct catalog *catalog, uint64_t first, uint64_t end)
{
	struct error err = ERROR_INIT;
	struct catalog_segment s = {0};
	struct catalog_chunk *chunks = calloc(SEGMENT, sizeof(*chunks));
	struct catalog_pack *packs = calloc(SEGMENT / PACK_CHUNKS, sizeof(*packs));
	struct span spent = {0, 0};
	if (!chunks || !packs)
		die("memory", &err);
	for (uint64_t n = first; n < end; n++) {
		make_segment(n, &s, chunks, packs);
		struct span begin = span_begin();
		if (catalog_segment_add(catalog, &s, &err) != 0)
			die("adding", &err);
		struct span one = span_end(begin);
		spent.wall += one.wall;
		spent.cpu += one.cpu;
		if (n == first)
			report("taking in chunks, the first segment", SEGMENT, spent);
	}
	if (end - first > 1)
		report("taking in chunks, all segments", (double)((end - first) * SEGMENT), spent);
	free(chunks);
	free(packs);
}

struct seeker {
	struct catalog *catalog;
	uint64_t below, seed;
	uint64_t kind; /* 'c': ids that are known */
	unsigned lookups;
	atomic_bool *stop;
};

static void *seek(void *arg)
{
	struct seeker *seeker = arg;
	struct catalog_chunk chunk;
	uint8_t id[CATALOG_ID_LEN];
	unsigned n = 0;
	for (; seeker->stop ? !atomic_load(seeker->stop) : n < LOOKUPS; n++) {
		fill_id(seeker->kind, mix(n + seeker->seed) % seeker->below, id);
		int r = catalog_chunk_find(seeker->catalog, 0, id, &chunk, NULL);
		if (r != (seeker->kind == 'c' ? 0 : ERR_NOT_FOUND)) {
			fprintf(stderr, "bench_catalog: a lookup gave %d\n", r);
			exit(1);
		}
	}
	seeker->lookups = n;
	return NULL;
}

static void seek_alone(struct catalog *catalog, uint64_t chunks)
{
	struct seeker known = {.catalog = catalog, .below = chunks, .kind = 'c'};
	struct seeker unknown = {.catalog = catalog, .below = chunks, .kind = 'u'};
	struct span begin = span_begin();
	seek(&known);
	report("lookups of known ids, one thread", LOOKUPS, span_end(begin));
	begin = span_begin();
	seek(&unknown);
	report("lookups of unknown ids, one thread", LOOKUPS, span_end(begin));
}

static void seek_together(struct catalog *catalog, uint64_t chunks)
{
	struct seeker seekers[2];
	pthread_t threads[ARRAY_LEN(seekers)];
	struct span begin = span_begin();
	for (size_t i = 0; i < ARRAY_LEN(seekers); i++) {
		seekers[i] = (struct seeker){.catalog = catalog, .below = chunks, .kind = 'c', .seed = i << 40};
		pthread_create(&threads[i], NULL, seek, &seekers[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(seekers); i++)
		pthread_join(threads[i], NULL);
	report("lookups of known ids, two threads", 2.0 * LOOKUPS, span_end(begin));
}

static void seek_beside_adding(struct catalog *catalog, uint64_t segments)
{
	atomic_bool stop = false;
	struct seeker seeker = {.catalog = catalog, .below = segments * SEGMENT, .kind = 'c', .stop = &stop};
	pthread_t thread;
	struct span begin = span_begin();
	pthread_create(&thread, NULL, seek, &seeker);
	add_segments(catalog, segments, segments + 2);
	atomic_store(&stop, true);
	pthread_join(thread, NULL);
	report("lookups of known ids, while two segments enter", seeker.lookups, span_end(begin));
}

static void objects(struct catalog *catalog)
{
	struct error err = ERROR_INIT;
	struct buf got = {0};
	char name[40];
	uint8_t data[4096] = {1};
	struct span begin = span_begin();
	for (unsigned i = 0; i < 5000; i++) {
		snprintf(name, sizeof(name), "snapshots/%u", i);
		if (catalog_object_put(catalog, name, data, sizeof(data), &err) != 0)
			die("putting", &err);
	}
	report("objects of 4 KiB put", 5000, span_end(begin));
	begin = span_begin();
	for (unsigned i = 0; i < 5000; i++) {
		snprintf(name, sizeof(name), "snapshots/%u", i);
		if (catalog_object_get(catalog, name, &got, &err) != 0)
			die("getting", &err);
	}
	report("objects of 4 KiB got", 5000, span_end(begin));
	buf_release(&got);
}

static void remove_files(const char *dir)
{
	static const char *const names[] = {
		"catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm", "catalog.lock"};
	char path[400];
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		unlink(path);
	}
	rmdir(dir);
}

int main(int argc, char **argv)
{
	static const uint8_t repository[16] = "bench";
	char dir[300];
	struct error err = ERROR_INIT;
	struct catalog *catalog;
	uint64_t segments = argc > 1 ? strtoull(argv[1], NULL, 10) / SEGMENT : 10;
	if (segments == 0)
		segments = 1;
	snprintf(dir, sizeof(dir), "%s/bench-catalog-XXXXXX", argc > 2 ? argv[2] : fileio_tmpdir());
	if (!mkdtemp(dir))
		die("a folder", &err);
	const struct catalog_options options = {.dir = dir, .repository = repository};
	if (catalog_open(&options, &catalog, &err) != 0)
		die("opening", &err);
	add_segments(catalog, 0, segments);
	seek_alone(catalog, segments * SEGMENT);
	seek_together(catalog, segments * SEGMENT);
	seek_beside_adding(catalog, segments);
	objects(catalog);
	catalog_close(catalog);
	struct span begin = span_begin();
	if (catalog_open(&options, &catalog, &err) != 0)
		die("opening again", &err);
	report("opening a kept catalog", 1, span_end(begin));
	catalog_close(catalog);
	remove_files(dir);
	return 0;
}
