/* SPDX-License-Identifier: MIT */

/*
 * How fast this host finds the cuts of chunks, on one core, in memory (CPU
 * time).
 * bench_chunker [MiB]; 256 where not told otherwise. The best of five runs is
 * printed: MB/s, chunks and their mean size.
 */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "archive/chunker.h"

enum { RUNS = 5 };

/* Of this process alone: what else the host does is not what is asked. */
static int64_t cpu_now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static uint8_t *random_bytes(size_t len)
{
	uint8_t *data = malloc(len);
	uint64_t z = 1;
	for (size_t i = 0; data && i < len; i++) {
		z ^= z << 13;
		z ^= z >> 7;
		z ^= z << 17;
		data[i] = (uint8_t)z;
	}
	return data;
}

static double run(const struct chunker *c, const uint8_t *data, size_t len, size_t *ret_chunks)
{
	int64_t begin = cpu_now();
	size_t chunks = 0;
	for (size_t at = 0; at < len; chunks++)
		at += chunker_cut(c, data + at, len - at);
	*ret_chunks = chunks;
	return (double)(cpu_now() - begin) / 1e9;
}

int main(int argc, char **argv)
{
	static const uint8_t key[32] = "the gear key of this bench";
	const struct chunker_params params = {.min = 256 << 10, .avg = 1 << 20, .max = 4 << 20};
	size_t len = (argc > 1 ? strtoul(argv[1], NULL, 10) : 256) << 20, chunks = 0;
	uint8_t *data = random_bytes(len);
	struct chunker *c;
	double best = 1e9;
	struct error err = ERROR_INIT;
	if (len == 0 || !data || chunker_new(key, &params, &c, &err) != 0) {
		fprintf(stderr, "bench_chunker: no memory or a wrong size: %s\n", error_text(&err));
		return 1;
	}
	for (int i = 0; i < RUNS; i++) {
		double t = run(c, data, len, &chunks);
		best = t < best ? t : best;
	}
	printf("chunker: %.0f MB/s, %zu chunks of %zu KiB on average\n", (double)len / 1e6 / best, chunks,
		len / chunks >> 10);
	chunker_free(c);
	free(data);
	return 0;
}
