/* SPDX-License-Identifier: MIT */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/catalog_conformance.h"

static uint64_t mix(uint64_t x)
{
	x += UINT64_C(0x9e3779b97f4a7c15);
	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

void made_id(uint8_t kind, uint64_t n, uint8_t dst[static CATALOG_ID_LEN])
{
	for (unsigned i = 0; i < CATALOG_ID_LEN / 8; i++) {
		uint64_t word = mix(mix(n) ^ mix((uint64_t)kind << 8 | i));
		memcpy(dst + (size_t)i * 8, &word, 8);
	}
}

struct catalog_pack made_pack(uint64_t n)
{
	struct catalog_pack pack = {.generation = 3, .wrap_len = 80, .size = (32 << 20) + n};
	made_id('p', n, pack.id);
	for (size_t i = 0; i < pack.wrap_len; i++)
		pack.wrap[i] = (uint8_t)(n + i);
	return pack;
}

struct catalog_chunk made_chunk(uint64_t n)
{
	struct catalog_chunk chunk = {
		.offset = n % 100 * 50000,
		.stored = (uint32_t)(20000 + n % 9999),
		.plain = (uint32_t)(50000 + n % 9999),
		.depth = (uint8_t)(n % 10 == 9 ? 1 + n % 3 : 0),
	};
	made_id('c', n, chunk.id);
	made_id('p', n / 100, chunk.pack);
	if (chunk.depth > 0)
		made_id('c', n - 1, chunk.base);
	return chunk;
}

struct made_segment made_segment(uint64_t n, uint64_t domain, uint64_t first, size_t count)
{
	uint64_t first_pack = first / 100;
	size_t packs = count ? (size_t)((first + count - 1) / 100 - first_pack) + 1 : 0;
	struct made_segment made = {
		.chunks = calloc(count + 1, sizeof(*made.chunks)),
		.packs = calloc(packs + 1, sizeof(*made.packs)),
	};
	assert_non_null(made.chunks);
	assert_non_null(made.packs);
	for (size_t i = 0; i < count; i++)
		made.chunks[i] = made_chunk(first + i);
	for (size_t i = 0; i < packs; i++)
		made.packs[i] = made_pack(first_pack + i);
	made.segment = (struct catalog_segment){.domain = domain,
		.packs = made.packs,
		.pack_count = packs,
		.chunks = made.chunks,
		.chunk_count = count};
	made_id('s', n, made.segment.id);
	return made;
}

void made_segment_free(struct made_segment *made)
{
	free(made->chunks);
	free(made->packs);
}

int add_made(struct catalog *catalog, uint64_t n, uint64_t domain, uint64_t first, size_t count, struct error *err)
{
	struct made_segment made = made_segment(n, domain, first, count);
	int r = catalog_segment_add(catalog, &made.segment, err);
	made_segment_free(&made);
	return r;
}

int find_made(struct catalog *catalog, uint64_t domain, uint64_t n)
{
	struct catalog_chunk want = made_chunk(n), got;
	int r = catalog_chunk_find(catalog, domain, want.id, &got, NULL);
	if (r == ERR_NOT_FOUND)
		return 0;
	if (r != 0)
		return r;
	assert_memory_equal(got.id, want.id, CATALOG_ID_LEN);
	assert_memory_equal(got.pack, want.pack, CATALOG_ID_LEN);
	assert_memory_equal(got.base, want.base, CATALOG_ID_LEN);
	assert_int_equal(got.offset, want.offset);
	assert_int_equal(got.stored, want.stored);
	assert_int_equal(got.plain, want.plain);
	assert_int_equal(got.depth, want.depth);
	return 1;
}
