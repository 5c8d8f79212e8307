/* SPDX-License-Identifier: MIT */

/*
 * Taking in an index segment: all of it in one transaction, or nothing.
 *
 * Rows go in by rising id. Ids are hashes, so in the segment's own order each
 * row would touch another page of a large table; in theirs, neighbours share
 * one. It also makes two processes that insert the same rows meet in the same
 * order, which a database with row locks needs.
 */

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "catalog/catalog_db.h"

/* A pack that the segment lists, or that its chunks lie in. */
struct slot {
	const uint8_t *id;
	const struct catalog_pack *pack; /* NULL: not listed here, so it must be known from before */
	int64_t number;                  /* its row */
	uint64_t added;                  /* chunk rows that this segment adds to it */
};

/* A chunk in the order of insertion. */
struct turn {
	const struct catalog_chunk *chunk;
	struct slot *slot;
};

/* A segment on its way in. The pointers are owned. */
struct taking {
	const struct catalog_segment *segment;
	struct catalog_use *use;
	struct turn *turns; /* chunk_count, by chunk id */
	struct slot *slots; /* by id */
	size_t slot_count;
};

static int compare_turns(const void *a, const void *b)
{
	const struct turn *x = a, *y = b;
	return memcmp(x->chunk->id, y->chunk->id, CATALOG_ID_LEN);
}

static int compare_slots(const void *a, const void *b)
{
	const struct slot *x = a, *y = b;
	return memcmp(x->id, y->id, CATALOG_ID_LEN);
}

static struct slot *find_slot(const struct taking *t, const uint8_t *id)
{
	const struct slot key = {.id = id};
	return t->slot_count ? bsearch(&key, t->slots, t->slot_count, sizeof(key), compare_slots) : NULL;
}

static int check_packs(const struct catalog_segment *segment, struct error *err)
{
	for (size_t i = 0; i < segment->pack_count; i++)
		if (segment->packs[i].wrap_len > CATALOG_WRAP_MAX || segment->packs[i].size > INT64_MAX)
			return error_set(err, ERR_USAGE, "an index segment names a pack of an impossible size");
	return 0;
}

static int grow_slots(struct taking *t, size_t more, struct error *err)
{
	size_t count, bytes;
	if (!checked_add_size(t->slot_count, more, &count) || !checked_mul_size(count, sizeof(*t->slots), &bytes))
		return error_no_memory(err, "an index segment");
	struct slot *slots = realloc(t->slots, bytes ? bytes : 1);
	if (!slots)
		return error_no_memory(err, "an index segment");
	t->slots = slots;
	return 0;
}

/* A pack may be listed twice, with keys of two generations: both stay, and either slot finds the row. */
static int list_packs(struct taking *t, struct error *err)
{
	const struct catalog_segment *segment = t->segment;
	int r = grow_slots(t, segment->pack_count, err);
	if (r != 0)
		return r;
	for (size_t i = 0; i < segment->pack_count; i++)
		t->slots[t->slot_count++] = (struct slot){.id = segment->packs[i].id, .pack = &segment->packs[i]};
	qsort(t->slots, t->slot_count, sizeof(*t->slots), compare_slots);
	return 0;
}

/* Slots for the packs of chunks that are not listed: rare, as a segment lists its packs. */
static int list_other_packs(struct taking *t, struct error *err)
{
	const struct catalog_segment *segment = t->segment;
	size_t others = 0, end = t->slot_count;
	for (size_t i = 0; i < segment->chunk_count; i++)
		others += find_slot(t, segment->chunks[i].pack) == NULL;
	if (others == 0)
		return 0;
	int r = grow_slots(t, others, err);
	if (r != 0)
		return r;
	for (size_t i = 0; i < segment->chunk_count; i++)
		if (!find_slot(t, segment->chunks[i].pack))
			t->slots[end++] = (struct slot){.id = segment->chunks[i].pack};
	t->slot_count = end;
	qsort(t->slots, t->slot_count, sizeof(*t->slots), compare_slots);
	return 0;
}

static int line_up_chunks(struct taking *t, struct error *err)
{
	const struct catalog_segment *segment = t->segment;
	t->turns = calloc(segment->chunk_count ? segment->chunk_count : 1, sizeof(*t->turns));
	if (!t->turns)
		return error_no_memory(err, "an index segment");
	for (size_t i = 0; i < segment->chunk_count; i++) {
		const struct catalog_chunk *chunk = &segment->chunks[i];
		t->turns[i] = (struct turn){.chunk = chunk, .slot = find_slot(t, chunk->pack)};
	}
	qsort(t->turns, segment->chunk_count, sizeof(*t->turns), compare_turns);
	return 0;
}

static int put_pack(struct taking *t, const struct catalog_pack *pack, struct error *err)
{
	struct sql_stmt *stmt;
	int r = catalog_use_stmt(t->use, STMT_PACK_PUT, &stmt, err);
	if (r != 0)
		return r;
	const struct sql_driver *driver = stmt->driver;
	driver->bind_bytes(stmt, 1, pack->id, CATALOG_ID_LEN);
	driver->bind_int(stmt, 2, pack->generation);
	driver->bind_bytes(stmt, 3, pack->wrap, pack->wrap_len);
	driver->bind_int(stmt, 4, (int64_t)pack->size);
	driver->bind_int(stmt, 5, catalog_digest_pack(t->use->db, pack));
	r = driver->step(stmt, err);
	driver->reset(stmt);
	return r;
}

static int number_pack(struct taking *t, struct slot *slot, struct error *err)
{
	struct sql_stmt *stmt;
	int r = catalog_use_stmt(t->use, STMT_PACK_NUMBER, &stmt, err);
	if (r != 0)
		return r;
	stmt->driver->bind_bytes(stmt, 1, slot->id, CATALOG_ID_LEN);
	r = stmt->driver->step(stmt, err);
	if (r == 1)
		slot->number = stmt->driver->column_int(stmt, 0);
	else if (r == 0)
		r = error_set(err, ERR_USAGE, "an index segment names a chunk in a pack that nobody listed");
	stmt->driver->reset(stmt);
	return r < 0 ? r : 0;
}

static int put_packs(struct taking *t, struct error *err)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < t->slot_count; i++) {
		if (t->slots[i].pack)
			r = put_pack(t, t->slots[i].pack, err);
		if (r == 0)
			r = number_pack(t, &t->slots[i], err);
	}
	return r;
}

static void bind_chunk(void *arg, size_t i, struct sql_stmt *stmt)
{
	static const uint8_t zeros[CATALOG_ID_LEN];
	struct taking *t = arg;
	const struct catalog_chunk *chunk = t->turns[i].chunk;
	const struct sql_driver *driver = stmt->driver;
	bool based = memcmp(chunk->base, zeros, sizeof(zeros)) != 0;
	driver->bind_int(stmt, 1, (int64_t)t->segment->domain);
	driver->bind_bytes(stmt, 2, chunk->id, CATALOG_ID_LEN);
	driver->bind_int(stmt, 3, chunk->depth);
	driver->bind_int(stmt, 4, t->turns[i].slot->number);
	driver->bind_int(stmt, 5, (int64_t)chunk->offset);
	driver->bind_int(stmt, 6, chunk->stored);
	driver->bind_int(stmt, 7, chunk->plain);
	driver->bind_bytes(stmt, 8, chunk->base, based ? CATALOG_ID_LEN : 0);
	driver->bind_int(stmt, 9, catalog_digest_chunk(t->use->db, t->segment->domain, chunk));
}

static void ran_chunk(void *arg, size_t i, uint64_t changed)
{
	struct taking *t = arg;
	t->turns[i].slot->added += changed;
}

static int put_chunks(struct taking *t, struct error *err)
{
	struct sql_stmt *stmt;
	int r = catalog_use_stmt(t->use, STMT_CHUNK_PUT, &stmt, err);
	if (r != 0)
		return r;
	const struct sql_batch batch = {
		.count = t->segment->chunk_count, .bind = bind_chunk, .ran = ran_chunk, .arg = t};
	return stmt->driver->batch(stmt, &batch, err);
}

static void bind_tally(void *arg, size_t i, struct sql_stmt *stmt)
{
	struct taking *t = arg;
	stmt->driver->bind_int(stmt, 1, (int64_t)t->slots[i].added);
	stmt->driver->bind_int(stmt, 2, t->slots[i].number);
}

static int put_tallies(struct taking *t, struct error *err)
{
	struct sql_stmt *stmt;
	int r = catalog_use_stmt(t->use, STMT_PACK_TALLY, &stmt, err);
	if (r != 0)
		return r;
	const struct sql_batch batch = {.count = t->slot_count, .bind = bind_tally, .arg = t};
	return stmt->driver->batch(stmt, &batch, err);
}

/* Inside the transaction. *ret_new: the segment was not taken in by another process meanwhile. */
static int put_all(struct taking *t, bool *ret_new, struct error *err)
{
	uint64_t new_rows = 0;
	int r = catalog_use_run(t->use, STMT_SEGMENT_PUT, t->segment->id, CATALOG_ID_LEN, &new_rows, err);
	*ret_new = new_rows > 0;
	if (r != 0 || !*ret_new)
		return r;
	r = put_packs(t, err);
	if (r == 0)
		r = put_chunks(t, err);
	if (r == 0)
		r = put_tallies(t, err);
	return r;
}

static int put_in_transaction(struct taking *t, struct error *err)
{
	struct sql *sql = t->use->conn->sql;
	bool is_new = false;
	int r = sql->driver->begin(sql, err);
	if (r != 0)
		return r;
	r = put_all(t, &is_new, err);
	if (r == 0 && is_new)
		return sql->driver->commit(sql, err);
	sql->driver->rollback(sql);
	return r;
}

/* 1: seen before, 0: not. */
static int segment_seen(struct catalog *catalog, const uint8_t *id, struct error *err)
{
	struct catalog_use use;
	struct sql_stmt *stmt;
	int r = catalog_use_reader(catalog, &use, err);
	if (r != 0)
		return r;
	r = catalog_use_stmt(&use, STMT_SEGMENT_SEEN, &stmt, err);
	if (r != 0)
		goto out;
	stmt->driver->bind_bytes(stmt, 1, id, CATALOG_ID_LEN);
	r = stmt->driver->step(stmt, err);
	stmt->driver->reset(stmt);
out:
	return catalog_use_end(&use, r);
}

int catalog_segment_add(struct catalog *catalog, const struct catalog_segment *segment, struct error *err)
{
	struct catalog_use use;
	struct taking t = {.segment = segment, .use = &use};
	int r = check_packs(segment, err);
	/* Asked first without the right to write, which another process may hold for a while. */
	if (r == 0)
		r = segment_seen(catalog, segment->id, err);
	if (r != 0)
		return r < 0 ? r : 0;
	r = list_packs(&t, err);
	if (r == 0)
		r = list_other_packs(&t, err);
	if (r == 0)
		r = line_up_chunks(&t, err);
	if (r == 0)
		r = catalog_use_writer(catalog, &use, err);
	if (r == 0)
		r = catalog_use_end(&use, put_in_transaction(&t, err));
	free(t.turns);
	free(t.slots);
	return r;
}

static int run_for_segment(struct catalog *catalog, enum catalog_stmt which, const uint8_t *id, struct error *err)
{
	struct catalog_use use;
	int r = catalog_use_writer(catalog, &use, err);
	return r == 0 ? catalog_use_end(&use, catalog_use_run(&use, which, id, CATALOG_ID_LEN, NULL, err)) : r;
}

int catalog_segment_note(struct catalog *catalog, const uint8_t id[static CATALOG_ID_LEN], struct error *err)
{
	int r = segment_seen(catalog, id, err);
	if (r == 0)
		r = run_for_segment(catalog, STMT_SEGMENT_PUT, id, err);
	return r < 0 ? r : 0;
}

int catalog_segment_forget(struct catalog *catalog, const uint8_t id[static CATALOG_ID_LEN], struct error *err)
{
	return run_for_segment(catalog, STMT_SEGMENT_FORGET, id, err);
}

/* The next ids after `after` (empty: from the start), as many as fit. */
static int page_of_segments(struct catalog *catalog, const uint8_t *after, size_t after_len,
	uint8_t (*ids)[CATALOG_ID_LEN], size_t *ret_count, struct error *err)
{
	struct catalog_use use;
	struct sql_stmt *stmt;
	size_t count = 0, len;
	int r = catalog_use_reader(catalog, &use, err);
	if (r != 0)
		return r;
	r = catalog_use_stmt(&use, STMT_SEGMENT_PAGE, &stmt, err);
	if (r != 0)
		goto out;
	stmt->driver->bind_bytes(stmt, 1, after, after_len);
	while ((r = stmt->driver->step(stmt, err)) == 1 && count < CATALOG_PAGE) {
		const void *id = stmt->driver->column_bytes(stmt, 0, &len);
		if (len != CATALOG_ID_LEN) {
			r = error_set(err, ERR_CORRUPT, "the catalog holds a segment id of %zu bytes", len);
			break;
		}
		memcpy(ids[count++], id, CATALOG_ID_LEN);
	}
	stmt->driver->reset(stmt);
out:
	r = catalog_use_end(&use, r < 0 ? r : 0);
	if (r == 0)
		*ret_count = count;
	return r;
}

int catalog_segments(struct catalog *catalog, int (*fn)(void *arg, const uint8_t *id), void *arg, struct error *err)
{
	uint8_t ids[CATALOG_PAGE][CATALOG_ID_LEN];
	uint8_t last[CATALOG_ID_LEN];
	size_t count = 0, last_len = 0;
	do {
		int r = page_of_segments(catalog, last, last_len, ids, &count, err);
		for (size_t i = 0; r == 0 && i < count; i++)
			r = fn(arg, ids[i]);
		if (r != 0)
			return r;
		if (count > 0)
			memcpy(last, ids[count - 1], CATALOG_ID_LEN);
		last_len = CATALOG_ID_LEN;
	} while (count == CATALOG_PAGE);
	return 0;
}
