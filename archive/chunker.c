/* SPDX-License-Identifier: MIT */
#include "archive/chunker.h"

#include <sodium.h>
#include <stdlib.h>

#include "archive/chunkref.h"

enum { GEAR_SIZE = 256, MIN_LEAST = 64, AVG_LEAST = 256, LEVEL = 2 };

struct chunker {
	struct chunker_params params;
	uint64_t strict; /* mask before params.avg: LEVEL bits more than log2(avg) */
	uint64_t loose;  /* from there on: as many fewer */
	uint64_t gear[GEAR_SIZE];
	uint64_t gear_twice[GEAR_SIZE]; /* shifted by one, for the first of two bytes */
};

/* `bits` bits spread over the upper 48: the lower ones see only the last few bytes. */
static uint64_t spread_mask(unsigned bits)
{
	uint64_t mask = 0;
	for (unsigned i = 0; i < bits; i++)
		mask |= UINT64_C(1) << (63 - i * 48 / bits);
	return mask;
}

static bool params_ok(const struct chunker_params *p)
{
	return p->min >= MIN_LEAST && p->avg >= AVG_LEAST && (p->avg & (p->avg - 1)) == 0 && p->min <= p->avg / 2 &&
	       p->avg < p->max && p->max <= CHUNK_PLAIN_MAX;
}

static void gear_draw(struct chunker *c, const uint8_t gear_key[static 32])
{
	static const uint8_t nonce[crypto_stream_chacha20_NONCEBYTES];
	uint8_t raw[GEAR_SIZE * 8];
	crypto_stream_chacha20(raw, sizeof(raw), nonce, gear_key);
	for (size_t i = 0; i < GEAR_SIZE; i++) {
		uint64_t v = 0;
		for (int k = 7; k >= 0; k--)
			v = v << 8 | raw[i * 8 + (size_t)k];
		c->gear[i] = v;
		c->gear_twice[i] = v << 1;
	}
	sodium_memzero(raw, sizeof(raw));
}

int chunker_new(const uint8_t gear_key[static 32], const struct chunker_params *params, struct chunker **ret_chunker,
	struct error *err)
{
	if (!params_ok(params))
		return error_set(err, ERR_UNSUPPORTED, "chunk sizes of %u, %u and %u bytes are out of range",
			params->min, params->avg, params->max);
	struct chunker *c = calloc(1, sizeof(*c));
	if (!c)
		return error_no_memory(err, "a chunker");
	unsigned bits = (unsigned)__builtin_ctz(params->avg);
	c->params = *params;
	c->strict = spread_mask(bits + LEVEL);
	c->loose = spread_mask(bits - LEVEL);
	gear_draw(c, gear_key);
	*ret_chunker = c;
	return 0;
}

void chunker_free(struct chunker *c)
{
	if (!c)
		return;
	sodium_memzero(c, sizeof(*c));
	free(c);
}

/*
 * Hashes data[at..end) and returns the index behind the first byte after which all bits of mask are clear, or 0. Two
 * bytes a turn: the hash that runs through the loop then waits for one shift and one sum a turn, the one between is
 * aside.
 */
static inline size_t scan(
	const struct chunker *c, uint64_t mask, const uint8_t *data, size_t at, size_t end, uint64_t *hash)
{
	uint64_t h = *hash;
	for (; at + 4 <= end; at += 4) {
		const uint64_t h1 = (h << 1) + c->gear[data[at]];
		const uint64_t h2 = (h << 2) + c->gear_twice[data[at]] + c->gear[data[at + 1]];
		const uint64_t h3 = (h2 << 1) + c->gear[data[at + 2]];
		h = (h2 << 2) + c->gear_twice[data[at + 2]] + c->gear[data[at + 3]];
		if (__builtin_expect((h1 & mask) == 0, 0))
			return at + 1;
		if (__builtin_expect((h2 & mask) == 0, 0))
			return at + 2;
		if (__builtin_expect((h3 & mask) == 0, 0))
			return at + 3;
		if (__builtin_expect((h & mask) == 0, 0))
			return at + 4;
	}
	for (; at < end; at++) {
		h = (h << 1) + c->gear[data[at]];
		if ((h & mask) == 0)
			return at + 1;
	}
	*hash = h;
	return 0;
}

size_t chunker_scan(const struct chunker *c, struct chunker_state *state, const uint8_t *data, size_t len)
{
	const struct chunker_params *p = &c->params;
	const size_t avg_end = len < p->avg ? len : p->avg, max_end = len < p->max ? len : p->max;
	size_t at = state->at > p->min ? state->at : p->min, cut = 0;
	if (at < avg_end) {
		cut = scan(c, c->strict, data, at, avg_end, &state->hash);
		at = avg_end;
	}
	if (cut == 0 && at < max_end) {
		cut = scan(c, c->loose, data, at, max_end, &state->hash);
		at = max_end;
	}
	if (cut != 0)
		return cut;
	state->at = at;
	return len >= p->max ? p->max : 0;
}

size_t chunker_cut(const struct chunker *c, const uint8_t *data, size_t len)
{
	struct chunker_state state = {0};
	size_t cut = chunker_scan(c, &state, data, len);
	return cut ? cut : len;
}
