/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "archive/seal.h"
#include "base/clock.h"

/* Small enough to stay in the cache: what is compared is the arithmetic. */
enum { MEASURE_BYTES = 128 << 10, MEASURE_ROUNDS = 5 };

typedef void measure_fn(int choice, uint8_t *bytes);

/* The shortest of a few rounds, in ns: interruptions only ever lengthen one. */
static int64_t measure(measure_fn *fn, int choice, uint8_t *bytes)
{
	int64_t best = INT64_MAX;
	for (int i = 0; i < MEASURE_ROUNDS; i++) {
		int64_t start = clock_monotonic();
		fn(choice, bytes);
		int64_t took = clock_monotonic() - start;
		best = took < best ? took : best;
	}
	return best;
}

/* `first` where there is no memory to measure in. */
static int faster(measure_fn *fn, int first, int second)
{
	uint8_t *bytes = calloc(1, MEASURE_BYTES + FORMAT_TAG_LEN);
	if (!bytes)
		return first;
	int choice = measure(fn, first, bytes) <= measure(fn, second, bytes) ? first : second;
	free(bytes);
	return choice;
}

static void measure_cipher(int cipher, uint8_t *bytes)
{
	static const uint8_t key[FORMAT_KEY_LEN], repository[FORMAT_REPO_LEN];
	static const struct id object;
	struct seal_place place = {.cipher = (enum cipher_kind)cipher,
		.kind = KIND_DATA_PACK,
		.repository = repository,
		.object = &object};
	seal_bytes(key, &place, bytes, MEASURE_BYTES, bytes, NULL);
}

static void measure_hash(int hash, uint8_t *bytes)
{
	static const uint8_t key[32];
	struct id id;
	seal_hash((enum hash_kind)hash, key, bytes, MEASURE_BYTES, &id);
}

static void measure_trailer(int trailer, uint8_t *bytes)
{
	uint8_t hash[FORMAT_TRAILER_LEN];
	struct trailer_hash *h = trailer_hash_new((enum trailer_kind)trailer);
	if (!h)
		return;
	trailer_hash_update(h, bytes, MEASURE_BYTES);
	trailer_hash_final(h, hash);
	trailer_hash_free(h);
}

enum cipher_kind seal_fastest_cipher(void)
{
	return (enum cipher_kind)faster(measure_cipher, CIPHER_XCHACHA20_POLY1305, CIPHER_AES_256_GCM);
}

enum hash_kind seal_fastest_hash(void)
{
	return (enum hash_kind)faster(measure_hash, HASH_BLAKE2B_256, HASH_HMAC_SHA256);
}

enum trailer_kind seal_fastest_trailer(void)
{
	return (enum trailer_kind)faster(measure_trailer, TRAILER_BLAKE2B_256, TRAILER_SHA256);
}
