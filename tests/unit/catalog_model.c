/* SPDX-License-Identifier: MIT */

#include "tests/unit/catalog_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/checked.h"

/* Few names, so that calls meet: all things are small numbers, made into ids by made_id(). */
enum { DOMAINS = 3, CHUNKS = 40, PACKS = 8, SEGMENTS = 12, OBJECTS = 10, PLACES = 4, ROWS_MAX = 4000 };

struct row {
	unsigned domain, chunk, pack, place, depth;
};

struct model {
	struct catalog *catalog;
	uint64_t random, seed;
	struct row rows[ROWS_MAX];
	size_t row_count;
	bool pack_known[PACKS];
	uint32_t pack_generation[PACKS];
	bool segment_seen[SEGMENTS];
	unsigned object[OBJECTS]; /* its content; 0: none */
};

static unsigned draw(struct model *m, unsigned below)
{
	m->random ^= m->random << 13;
	m->random ^= m->random >> 7;
	m->random ^= m->random << 17;
	return (unsigned)(m->random >> 11) % below;
}

static bool same_row(const struct row *a, const struct row *b)
{
	return a->domain == b->domain && a->chunk == b->chunk && a->pack == b->pack && a->place == b->place &&
	       a->depth == b->depth;
}

static void model_add_row(struct model *m, const struct row *row)
{
	for (size_t i = 0; i < m->row_count; i++)
		if (same_row(&m->rows[i], row))
			return;
	assert_true(m->row_count < ROWS_MAX);
	m->rows[m->row_count++] = *row;
}

/* All but the key depends on the key, so that any row found can be checked. */
static struct catalog_chunk chunk_of(const struct row *row)
{
	struct catalog_chunk chunk = {.offset = row->place * UINT64_C(3000000000), .depth = (uint8_t)row->depth};
	made_id('c', row->chunk, chunk.id);
	made_id('p', row->pack, chunk.pack);
	if (row->depth)
		made_id('c', row->chunk + 1, chunk.base);
	chunk.stored = row->chunk * 100 + row->pack;
	chunk.plain = row->chunk * 1000 + row->depth;
	return chunk;
}

static struct catalog_pack pack_of(unsigned n, uint32_t generation)
{
	struct catalog_pack pack = made_pack(n);
	pack.generation = generation;
	pack.wrap[0] = (uint8_t)generation;
	return pack;
}

/* A segment with packs and chunks drawn at random; now and then a pack is named and not listed. */
static void step_add(struct model *m)
{
	struct catalog_chunk chunks[12];
	struct catalog_pack packs[PACKS];
	struct row rows[12];
	bool usable[PACKS];
	unsigned n = draw(m, SEGMENTS), count = draw(m, ARRAY_LEN(chunks) + 1);
	struct catalog_segment segment = {
		.domain = draw(m, DOMAINS), .packs = packs, .chunks = chunks, .chunk_count = count};
	bool valid = true;
	made_id('s', n, segment.id);
	for (unsigned i = 0; i < PACKS; i++) {
		usable[i] = m->pack_known[i];
		if (draw(m, 4) == 0)
			continue;
		packs[segment.pack_count++] = pack_of(i, 1 + draw(m, 5));
		usable[i] = true;
	}
	for (unsigned i = 0; i < count; i++) {
		rows[i] = (struct row){
			(unsigned)segment.domain, draw(m, CHUNKS), draw(m, PACKS), draw(m, PLACES), draw(m, 3)};
		if (!usable[rows[i].pack] && draw(m, 8) != 0)
			rows[i].pack = PACKS - 1;
		chunks[i] = chunk_of(&rows[i]);
		valid = valid && usable[rows[i].pack];
	}
	int r = catalog_segment_add(m->catalog, &segment, NULL);
	assert_int_equal(r, m->segment_seen[n] || valid ? 0 : ERR_USAGE);
	if (m->segment_seen[n] || !valid)
		return;
	m->segment_seen[n] = true;
	for (unsigned i = 0; i < count; i++)
		model_add_row(m, &rows[i]);
	for (size_t i = 0; i < segment.pack_count; i++)
		for (unsigned p = 0; p < PACKS; p++) {
			struct catalog_pack pack = made_pack(p);
			if (memcmp(pack.id, packs[i].id, CATALOG_ID_LEN) != 0)
				continue;
			if (!m->pack_known[p] || packs[i].generation > m->pack_generation[p])
				m->pack_generation[p] = packs[i].generation;
			m->pack_known[p] = true;
		}
}

static void step_note_or_forget(struct model *m)
{
	uint8_t id[CATALOG_ID_LEN];
	unsigned n = draw(m, SEGMENTS);
	bool note = draw(m, 4) == 0;
	made_id('s', n, id);
	assert_int_equal((note ? catalog_segment_note : catalog_segment_forget)(m->catalog, id, NULL), 0);
	m->segment_seen[n] = note;
}

static void step_drop(struct model *m)
{
	uint8_t ids[2][CATALOG_ID_LEN];
	size_t kept = 0;
	unsigned gone[2] = {draw(m, PACKS), draw(m, PACKS)};
	made_id('p', gone[0], ids[0]);
	made_id('p', gone[1], ids[1]);
	assert_int_equal(catalog_packs_drop(m->catalog, ids, 2, NULL), 0);
	for (size_t i = 0; i < m->row_count; i++)
		if (m->rows[i].pack != gone[0] && m->rows[i].pack != gone[1])
			m->rows[kept++] = m->rows[i];
	m->row_count = kept;
	m->pack_known[gone[0]] = m->pack_known[gone[1]] = false;
}

static void object_name(unsigned n, char dst[static 20])
{
	snprintf(dst, 20, "%s/%u", n % 2 ? "odd" : "even", n);
}

static void step_object(struct model *m)
{
	char name[20];
	unsigned n = draw(m, OBJECTS), content = 1 + draw(m, 1000);
	object_name(n, name);
	assert_int_equal(catalog_object_put(m->catalog, name, &content, sizeof(content), NULL), 0);
	m->object[n] = content;
}

static bool keep_small(void *arg, const char *name)
{
	(void)arg;
	return atoi(strchr(name, '/') + 1) < 5;
}

static void step_sweep(struct model *m)
{
	bool odd = draw(m, 2);
	assert_int_equal(catalog_objects_sweep(m->catalog, odd ? "odd/" : "even/", keep_small, NULL, NULL), 0);
	for (unsigned n = 5; n < OBJECTS; n++)
		if (n % 2 == odd)
			m->object[n] = 0;
}

static void model_clear(struct model *m)
{
	m->row_count = 0;
	memset(m->pack_known, 0, sizeof(m->pack_known));
	memset(m->segment_seen, 0, sizeof(m->segment_seen));
	memset(m->object, 0, sizeof(m->object));
}

static void step_reopen(struct model *m, const struct catalog_fixture *fixture)
{
	catalog_close(m->catalog);
	m->catalog = fixture->open(fixture->arg);
	if (!fixture->kept)
		model_clear(m);
}

static void step_reset(struct model *m)
{
	assert_int_equal(catalog_reset(m->catalog, NULL), 0);
	model_clear(m);
}

static void check_chunk(struct model *m, unsigned domain, unsigned n)
{
	struct catalog_chunk got;
	unsigned least = UINT32_MAX;
	bool among = false;
	uint8_t id[CATALOG_ID_LEN];
	made_id('c', n, id);
	for (size_t i = 0; i < m->row_count; i++)
		if (m->rows[i].domain == domain && m->rows[i].chunk == n && m->rows[i].depth < least)
			least = m->rows[i].depth;
	int r = catalog_chunk_find(m->catalog, domain, id, &got, NULL);
	assert_int_equal(r, least == UINT32_MAX ? ERR_NOT_FOUND : 0);
	if (r != 0)
		return;
	for (size_t i = 0; i < m->row_count && !among; i++) {
		struct catalog_chunk want = chunk_of(&m->rows[i]);
		among = m->rows[i].domain == domain && m->rows[i].depth == least && got.offset == want.offset &&
			got.stored == want.stored && got.plain == want.plain && got.depth == want.depth &&
			memcmp(got.id, want.id, CATALOG_ID_LEN) == 0 &&
			memcmp(got.pack, want.pack, CATALOG_ID_LEN) == 0 &&
			memcmp(got.base, want.base, CATALOG_ID_LEN) == 0;
	}
	assert_true(among);
}

static void check_packs(struct model *m, uint64_t *ret_packs, uint64_t *ret_bytes)
{
	for (unsigned n = 0; n < PACKS; n++) {
		struct catalog_pack want = pack_of(n, m->pack_generation[n]), got;
		int r = catalog_pack_find(m->catalog, want.id, &got, NULL);
		assert_int_equal(r, m->pack_known[n] ? 0 : ERR_NOT_FOUND);
		if (r != 0)
			continue;
		assert_int_equal(got.generation, want.generation);
		assert_int_equal(got.size, want.size);
		assert_int_equal(got.wrap_len, want.wrap_len);
		assert_memory_equal(got.wrap, want.wrap, want.wrap_len);
		++*ret_packs;
		*ret_bytes += want.size;
	}
}

static void check_objects(struct model *m)
{
	struct buf got = {0};
	for (unsigned n = 0; n < OBJECTS; n++) {
		char name[20];
		object_name(n, name);
		int r = catalog_object_get(m->catalog, name, &got, NULL);
		assert_int_equal(r, m->object[n] ? 0 : ERR_NOT_FOUND);
		if (r == 0)
			assert_memory_equal(got.data, &m->object[n], sizeof(m->object[n]));
	}
	buf_release(&got);
}

static int count_segment(void *arg, const uint8_t *id)
{
	struct model *m = arg;
	uint8_t want[CATALOG_ID_LEN];
	for (unsigned n = 0; n < SEGMENTS; n++) {
		made_id('s', n, want);
		if (memcmp(want, id, CATALOG_ID_LEN) == 0)
			return m->segment_seen[n] ? 0 : 1;
	}
	return 1;
}

static void check_all(struct model *m)
{
	struct catalog_counts counts;
	uint64_t packs = 0, bytes = 0, segments = 0;
	for (unsigned domain = 0; domain < DOMAINS; domain++)
		for (unsigned n = 0; n < CHUNKS; n++)
			check_chunk(m, domain, n);
	check_packs(m, &packs, &bytes);
	check_objects(m);
	assert_int_equal(catalog_segments(m->catalog, count_segment, m, NULL), 0);
	for (unsigned n = 0; n < SEGMENTS; n++)
		segments += m->segment_seen[n];
	assert_int_equal(catalog_counts(m->catalog, &counts, NULL), 0);
	assert_int_equal(counts.chunks, m->row_count);
	assert_int_equal(counts.packs, packs);
	assert_int_equal(counts.pack_bytes, bytes);
	assert_int_equal(counts.segments, segments);
}

void catalog_model_run(const struct catalog_fixture *fixture, uint64_t seed, unsigned steps)
{
	struct model *m = calloc(1, sizeof(*m));
	assert_non_null(m);
	m->random = seed * UINT64_C(0x9e3779b97f4a7c15);
	m->seed = seed;
	m->catalog = fixture->open(fixture->arg);
	print_message("           seed %llu\n", (unsigned long long)seed);
	for (unsigned i = 0; i < steps; i++) {
		unsigned what = draw(m, 100);
		if (what < 45)
			step_add(m);
		else if (what < 70)
			step_note_or_forget(m);
		else if (what < 80)
			step_drop(m);
		else if (what < 90)
			step_object(m);
		else if (what < 94)
			step_sweep(m);
		else if (what < 98)
			step_reopen(m, fixture);
		else
			step_reset(m);
		check_all(m);
	}
	catalog_close(m->catalog);
	free(m);
}
