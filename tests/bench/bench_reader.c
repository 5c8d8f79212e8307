/* SPDX-License-Identifier: MIT */

/*
 * How fast the reader gives back what the writer stored, without FUSE: a file
 * of text-like bytes is put into a repository in a temporary folder (in the
 * page cache), then read.
 *
 *   bench_reader [MEGABYTES [CACHE_MIB]]
 */

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "archive/reader.h"
#include "archive/writer.h"
#include "base/clock.h"
#include "base/host.h"
#include "catalog/catalog.h"

enum { CHUNK_LEN = 1 << 20, READ_LEN = 1 << 20, SMALL = 4096 };

struct bench {
	struct repo *repo;
	struct catalog *catalog;
	struct extent *extents;
	struct chunk_ref *refs;
	struct entry entry;
	size_t chunks, cache;
};

static void check(int status, const struct error *err)
{
	if (status == 0)
		return;
	fprintf(stderr, "bench_reader: %s\n", error_text(err));
	exit(1);
}

static double seconds(int64_t since)
{
	return (double)(clock_monotonic() - since) / 1e9;
}

/* What all threads of this process have used: on a machine with other work this says more than the clock. */
static double cpu(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Resident MiB of this process. */
static size_t resident(void)
{
	size_t pages = 0;
	FILE *f = fopen("/proc/self/statm", "re");
	if (f == NULL)
		return 0;
	if (fscanf(f, "%*u %zu", &pages) != 1)
		pages = 0;
	fclose(f);
	return pages * (size_t)sysconf(_SC_PAGESIZE) >> 20;
}

/* Rows as a dump of a database has them. */
static void fill(uint8_t *dst, size_t len, uint64_t *row)
{
	static const char *const words[] = {"alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel"};
	size_t at = 0;
	while (at < len) {
		char text[128];
		uint64_t r = ++*row * UINT64_C(6364136223846793005) + 1442695040888963407u;
		int n = snprintf(text, sizeof(text), "%llu\t%s %s\tuser%llu@example.com\t2024-01-%02u %02u:%02u:41\n",
			(unsigned long long)*row, words[r >> 61], words[(r >> 50) & 7],
			(unsigned long long)(r >> 40) % 1000000, (unsigned)(r >> 33) % 28 + 1, (unsigned)(r >> 20) % 24,
			(unsigned)(r >> 10) % 60);
		size_t take = (size_t)n < len - at ? (size_t)n : len - at;
		memcpy(dst + at, text, take);
		at += take;
	}
}

static void stored(void *arg, int status, const struct chunk_ref *ref, bool is_new)
{
	(void)is_new;
	if (status == 0)
		*(struct chunk_ref *)arg = *ref;
}

static void store_all(struct bench *b)
{
	struct error err = ERROR_INIT;
	struct session *session;
	struct writer *w;
	struct writer_options options = {.compression = 3};
	uint64_t row = 0;
	check(session_begin(b->repo, b->catalog, "bench", &session, &err), &err);
	check(writer_open(session, &options, &w, &err), &err);
	for (size_t i = 0; i < b->chunks; i++) {
		struct writer_buffer *buffer = writer_buffer(w);
		if (buffer == NULL)
			check(writer_status(w, &err), &err);
		fill(buffer->data, CHUNK_LEN, &row);
		buffer->len = CHUNK_LEN;
		writer_submit(w, buffer, stored, &b->refs[i]);
	}
	check(writer_finish(w, &err), &err);
	struct writer_stats stats;
	writer_get_stats(w, &stats);
	printf("%zu MiB stored as %.1f MiB\n", b->chunks, (double)stats.stored_bytes / CHUNK_LEN);
	writer_free(w);
	session_free(session);
}

static void make_file(struct bench *b)
{
	for (size_t i = 0; i < b->chunks; i++)
		b->extents[i] = (struct extent){.length = CHUNK_LEN, .ref = (uint32_t)i};
	b->entry = (struct entry){.mode = 0100600,
		.size = (uint64_t)b->chunks * CHUNK_LEN,
		.extents = b->extents,
		.extent_count = (uint32_t)b->chunks,
		.refs = b->refs,
		.ref_count = (uint32_t)b->chunks,
		.xattr_ref = EXTENT_HOLE};
}

static struct reader *open_reader(struct bench *b, unsigned threads, struct reader_file **ret_file)
{
	struct error err = ERROR_INIT;
	struct reader_options options = {.cache_bytes = b->cache, .threads = threads};
	struct reader *r;
	check(reader_open(b->repo, &options, &r, &err), &err);
	check(reader_file_open(r, &b->entry, ret_file, &err), &err);
	return r;
}

/* Through once; what a mount does with the bytes is left out but for looking at one in each page. */
static void pass(struct reader *r, struct reader_file *f, const char *what)
{
	struct error err = ERROR_INIT;
	struct reader_span spans[READER_SPANS_MAX];
	struct reader_stats stats;
	uint64_t size = reader_file_size(f), off = 0, sum = 0;
	int64_t begun = clock_monotonic();
	double used = cpu();
	while (off < size) {
		size_t count;
		check(reader_file_map(f, off, READ_LEN, spans, READER_SPANS_MAX, &count, &err), &err);
		for (size_t i = 0; i < count; i++) {
			for (size_t k = 0; k < spans[i].len; k += 4096)
				sum += spans[i].data[k];
			off += spans[i].len;
		}
		reader_spans_release(r, spans, count);
	}
	reader_get_stats(r, &stats);
	printf("%-32s %6.0f MB/s %6.0f MB a core-second   (sum %llx, requests %llu, cache %zu MiB of %zu resident)\n",
		what, (double)size / 1e6 / seconds(begun), (double)size / 1e6 / (cpu() - used), (unsigned long long)sum,
		(unsigned long long)stats.requests, (size_t)stats.cache_bytes >> 20, resident());
}

/* The limit: one core unpacks one chunk again and again. */
static void unpack_alone(void)
{
	struct error err = ERROR_INIT;
	struct chunk_encoder *e;
	struct chunk_decoder *d;
	struct buf packed = {0};
	uint8_t *plain = malloc(CHUNK_LEN);
	uint64_t row = 0;
	if (plain == NULL)
		exit(1);
	fill(plain, CHUNK_LEN, &row);
	check(chunk_encoder_new(3, &e, &err), &err);
	check(chunk_decoder_new(&d, &err), &err);
	check(chunk_encode(e, plain, CHUNK_LEN, &packed, NULL, &err), &err);
	double used = cpu();
	for (int i = 0; i < 200; i++)
		check(chunk_unpack(d, packed.data, packed.len, NULL, 0, plain, CHUNK_LEN, &err), &err);
	printf("%-32s %18.0f MB a core-second\n", "unpacking alone", 200.0 * CHUNK_LEN / 1e6 / (cpu() - used));
	chunk_encoder_free(e);
	chunk_decoder_free(d);
	buf_release(&packed);
	free(plain);
}

static void copy_pass(struct reader_file *f, const char *what)
{
	struct error err = ERROR_INIT;
	uint8_t *dst = malloc(READ_LEN);
	uint64_t off = 0;
	size_t got = 1;
	int64_t begun = clock_monotonic();
	for (; got > 0; off += got)
		check(reader_file_read(f, off, dst, READ_LEN, &got, &err), &err);
	printf("%-36s %8.0f MB/s\n", what, (double)off / 1e6 / seconds(begun));
	free(dst);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static void small_reads(struct reader_file *f, unsigned count, const char *what)
{
	struct error err = ERROR_INIT;
	uint8_t dst[SMALL];
	double *times = calloc(count, sizeof(*times));
	int64_t begun = clock_monotonic();
	size_t got;
	srand(3);
	for (unsigned i = 0; i < count; i++) {
		uint64_t off = ((uint64_t)rand() * 4096) % (reader_file_size(f) - SMALL);
		int64_t one = clock_monotonic();
		check(reader_file_read(f, off, dst, SMALL, &got, &err), &err);
		times[i] = seconds(one) * 1e3;
	}
	double total = seconds(begun);
	qsort(times, count, sizeof(*times), by_value);
	printf("%-36s %8.0f /s     (median %.3f ms, p95 %.3f ms)\n", what, count / total, times[count / 2],
		times[count - count / 20 - 1]);
	free(times);
}

static void measure(struct bench *b)
{
	char what[64];
	struct reader_file *f;
	for (unsigned threads = 1; threads <= 4; threads *= 2) {
		struct reader *r = open_reader(b, threads, &f);
		(void)snprintf(what, sizeof(what), "sequential, %u threads, cold", threads);
		pass(r, f, what);
		(void)snprintf(what, sizeof(what), "sequential, %u threads, again", threads);
		pass(r, f, what);
		reader_file_close(f);
		reader_close(r);
	}
	struct reader *r = open_reader(b, 0, &f);
	copy_pass(f, "copied, cold");
	reader_file_close(f);
	reader_close(r);
	r = open_reader(b, 0, &f);
	small_reads(f, 1000, "random 4 KiB, cold");
	small_reads(f, 20000, "random 4 KiB, after that");
	reader_file_close(f);
	reader_close(r);
}

static void open_all(struct bench *b, const char *dir)
{
	struct error err = ERROR_INIT;
	uint8_t key[32];
	struct repo_unlock unlock = {.key = key};
	struct store_options options = {.create = true};
	struct store *store;
	struct id slot;
	host_random(key, sizeof(key));
	check(host_init(&err), &err);
	check(store_open(dir, &options, &store, &err), &err);
	check(repo_init(store, &unlock, "bench", &slot, &err), &err);
	check(repo_open(store, &unlock, NULL, &b->repo, &err), &err);
	struct catalog_options catalog = {.repository = b->repo->config.repository};
	check(catalog_open(&catalog, &b->catalog, &err), &err);
}

int main(int argc, char **argv)
{
	char dir[] = "/tmp/bench_reader.XXXXXX", path[64], command[80];
	struct bench b = {.chunks = argc > 1 ? strtoul(argv[1], NULL, 10) : 400};
	b.cache = (argc > 2 ? strtoul(argv[2], NULL, 10) : 64) << 20;
	if (b.chunks == 0 || mkdtemp(dir) == NULL)
		return 2;
	b.extents = calloc(b.chunks, sizeof(*b.extents));
	b.refs = calloc(b.chunks, sizeof(*b.refs));
	(void)snprintf(path, sizeof(path), "%s/repo", dir);
	(void)snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	open_all(&b, path);
	store_all(&b);
	make_file(&b);
	unpack_alone();
	measure(&b);
	catalog_close(b.catalog);
	repo_close(b.repo);
	free(b.extents);
	free(b.refs);
	return system(command) == 0 ? 0 : 1;
}
