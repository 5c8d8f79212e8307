/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive/check_impl.h"
#include "archive/node.h"
#include "archive/wave.h"
#include "base/checked.h"
#include "base/host.h"

enum { READ_BYTES = 8 << 20, READ_MAX = CHUNK_STORED_MAX };

static void name_of(const struct check_pack *p, char dst[static FORMAT_NAME_MAX])
{
	object_name(KIND_DATA_PACK, 0, &p->id, dst);
}

/* ---- tables ---- */

static void check_table(void *arg, size_t index)
{
	struct check *c = arg;
	struct check_pack *p = &c->names.packs[index];
	struct error why = ERROR_INIT;
	struct check_toc *toc = NULL;
	char name[FORMAT_NAME_MAX];
	if (check_stopped(c) != 0)
		return;
	int status = check_toc_get(c, &p->id, &toc, &why);
	if (status != 0) {
		name_of(p, name);
		atomic_store(&p->bad, true);
		check_failed(c, name, status, &why);
		return;
	}
	atomic_fetch_add(&c->chunks, toc->count);
	for (size_t i = 0; i < toc->count; i++)
		if (toc->rows[i].depth > 0)
			atomic_store(&c->has_bases, true);
	check_toc_unref(toc);
	progress_add(c->options->progress, 0, 1);
}

int check_pack_tables(struct check *c)
{
	wave_run(c->threads, c->names.pack_count, check_table, c);
	return check_stopped(c);
}

/* ---- every byte ---- */

/* One pack being read from its first byte to its last. */
struct stream {
	struct check *c;
	struct check_kit *kit;
	const struct check_pack *pack;
	const struct check_toc *toc;
	struct trailer_hash *hash;
	uint8_t *buffer; /* READ_MAX */
	char name[FORMAT_NAME_MAX];
	unsigned bad;
};

static int stream_read(struct stream *s, uint64_t off, size_t len, struct error *err)
{
	size_t got = 0;
	int status = store_get(s->c->repo->store, NULL, s->name, off, len, s->buffer, &got, err);
	if (status == 0 && got != len)
		status = error_set(err, ERR_CORRUPT, "'%s' is cut off", s->name);
	atomic_fetch_add_explicit(&s->c->bytes_read, got, memory_order_relaxed);
	progress_add(s->c->options->progress, got, 0);
	return status;
}

static int load_base(struct check *c, struct check_kit *kit, const struct id *id, unsigned below, struct buf *ret,
	struct error *err);

/* Reads a row that stands alone or on another one. */
static int load_row(struct check *c, struct check_kit *kit, const struct check_toc *toc, const struct pack_row *row,
	struct buf *ret, struct error *err)
{
	struct buf base = {0};
	int status = row->depth > 0 ? load_base(c, kit, &row->base, row->depth, &base, err) : 0;
	if (status == 0)
		status = check_read_row(c, kit, toc, row, err);
	if (status == 0)
		status = check_open_row(c, kit, toc, row, kit->sealed.data, row->depth > 0 ? &base : NULL, ret, err);
	buf_release(&base);
	return status;
}

/* A base is named by id; only a copy that is less deep than what stands on it serves, so this ends. */
static int load_base(
	struct check *c, struct check_kit *kit, const struct id *id, unsigned below, struct buf *ret, struct error *err)
{
	struct catalog_chunk found;
	struct check_toc *toc = NULL;
	struct id pack;
	int status = c->catalog ? catalog_chunk_find(c->catalog, 0, id->b, &found, err) : ERR_NOT_FOUND;
	if (status != 0 || found.depth >= below)
		return error_set(err, ERR_CORRUPT, "the chunk that it is packed against is in no index segment");
	memcpy(pack.b, found.pack, sizeof(pack.b));
	status = check_toc_get(c, &pack, &toc, err);
	if (status != 0)
		return status;
	const struct pack_row *row = check_toc_row(toc, found.offset);
	if (!row || !id_equal(&row->id, id) || row->depth >= below)
		status = error_set(err, ERR_CORRUPT, "the chunk that it is packed against is not where the index says");
	else
		status = load_row(c, kit, toc, row, ret, err);
	check_toc_unref(toc);
	return status;
}

static int check_row(struct stream *s, const struct pack_row *row, uint8_t *sealed, struct error *err)
{
	struct check_kit *kit = s->kit;
	struct node *node = NULL;
	int status = 0;
	buf_clear(&kit->base);
	if (row->depth > 0)
		status = load_base(s->c, kit, &row->base, row->depth, &kit->base, err);
	if (status == 0)
		status = check_open_row(
			s->c, kit, s->toc, row, sealed, row->depth > 0 ? &kit->base : NULL, &kit->plain, err);
	if (status == 0)
		status = check_row_id(s->c, s->toc, row, &kit->plain, err);
	if (status == 0 && s->toc->kind == KIND_TREE_PACK) {
		status = node_decode(kit->plain.data, kit->plain.len, &node, err);
		node_free(node);
	}
	return status;
}

/* A few bad chunks are named; a pack that is bad throughout need not fill the screen. */
static int bad_row(struct stream *s, const struct pack_row *row, int status, const struct error *why)
{
	char hex[ID_HEX_MAX];
	if (!check_is_finding(status))
		return check_stop(s->c, status, why);
	id_hex(&row->id, hex);
	if (s->bad++ < CHECK_TOLD_MAX)
		check_tell(s->c, CHECK_ERROR, s->name,
			"the %s %.16s at byte %llu: %s; bring the pack back from a copy of the repository",
			s->toc->kind == KIND_TREE_PACK ? "node" : "chunk", hex, (unsigned long long)row->offset,
			error_text(why));
	return 0;
}

/* The rows from `first` on that are read at once, and the bytes they take. */
static size_t group_end(const struct check_toc *toc, size_t first, size_t *ret_len)
{
	size_t end = first, len = 0;
	while (end < toc->count && (end == first || len + toc->rows[end].stored <= READ_BYTES))
		len += toc->rows[end++].stored;
	*ret_len = len;
	return end;
}

static int read_rows(struct stream *s, struct error *err)
{
	const struct check_toc *toc = s->toc;
	int status = 0;
	for (size_t i = 0, end, len; status == 0 && i < toc->count; i = end) {
		end = group_end(toc, i, &len);
		uint64_t from = toc->rows[i].offset;
		status = check_stopped(s->c);
		if (status == 0)
			status = stream_read(s, from, len, err);
		if (status != 0)
			return status;
		trailer_hash_update(s->hash, s->buffer, len);
		for (size_t k = i; status == 0 && k < end; k++) {
			struct error why = ERROR_INIT;
			int rc = check_row(s, &toc->rows[k], s->buffer + (toc->rows[k].offset - from), &why);
			if (rc != 0)
				status = bad_row(s, &toc->rows[k], rc, &why);
		}
	}
	return status;
}

/* Everything behind the chunks, up to the trailing hash, which must be the one of all that came before. */
static int read_tail(struct stream *s, uint64_t off, struct error *err)
{
	uint8_t want[FORMAT_TRAILER_LEN];
	uint64_t end = s->pack->size - FORMAT_TRAILER_LEN;
	int status = 0;
	while (status == 0 && off < end) {
		size_t len = (size_t)min_u64(end - off, READ_BYTES);
		status = stream_read(s, off, len, err);
		if (status == 0)
			trailer_hash_update(s->hash, s->buffer, len);
		off += len;
	}
	if (status == 0)
		status = stream_read(s, end, FORMAT_TRAILER_LEN, err);
	if (status != 0)
		return status;
	trailer_hash_final(s->hash, want);
	if (memcmp(want, s->buffer, sizeof(want)) != 0 && s->bad == 0)
		return error_set(err, ERR_CORRUPT, "'%s': its trailing hash is not that of its bytes", s->name);
	return 0;
}

static int read_pack(struct stream *s, struct error *err)
{
	const struct check_toc *toc = s->toc;
	uint64_t behind = FORMAT_HEADER_LEN;
	if (toc->count > 0)
		behind = toc->rows[toc->count - 1].offset + toc->rows[toc->count - 1].stored;
	if (s->pack->size < behind + FORMAT_TRAILER_LEN)
		return error_set(err, ERR_CORRUPT, "'%s' is cut off", s->name);
	int status = stream_read(s, 0, FORMAT_HEADER_LEN, err);
	if (status == 0)
		trailer_hash_update(s->hash, s->buffer, FORMAT_HEADER_LEN);
	if (status == 0)
		status = read_rows(s, err);
	return status == 0 ? read_tail(s, behind, err) : status;
}

static void check_data(void *arg, size_t index)
{
	struct check *c = arg;
	struct check_pack *p = &c->names.packs[index];
	struct stream s = {.c = c, .pack = p};
	struct error why = ERROR_INIT;
	struct check_toc *toc = NULL;
	uint32_t draw;
	host_random(&draw, sizeof(draw));
	bool chosen = c->options->read_percent >= 100 || draw < c->options->read_percent / 100 * UINT32_MAX;
	if (check_stopped(c) != 0 || atomic_load(&p->bad) || !chosen)
		return;
	name_of(p, s.name);
	int status = check_toc_get(c, &p->id, &toc, &why);
	s.toc = toc;
	s.kit = check_kit_take(c, &why);
	s.buffer = malloc(READ_MAX);
	s.hash = trailer_hash_new(c->repo->config.trailer);
	if (status == 0 && (!s.kit || !s.buffer || !s.hash))
		status = error_no_memory(&why, "reading a pack");
	if (status == 0)
		status = read_pack(&s, &why);
	if (status != 0 && check_stopped(c) == 0)
		check_failed(c, s.name, status, &why);
	if (s.bad > CHECK_TOLD_MAX)
		check_tell(c, CHECK_ERROR, s.name, "%u more of its chunks are damaged", s.bad - CHECK_TOLD_MAX);
	trailer_hash_free(s.hash);
	free(s.buffer);
	check_kit_give(c, s.kit);
	check_toc_unref(toc);
}

int check_pack_data(struct check *c)
{
	if (c->options->read_percent > 0)
		wave_run(c->threads, c->names.pack_count, check_data, c);
	return check_stopped(c);
}

/* ---- uses ---- */

/* A pack that a snapshot needs was in a segment before that snapshot was put. */
static bool lacks_index(struct check_pack *p)
{
	return !atomic_load(&p->bad) && !atomic_load(&p->indexed) && atomic_load(&p->referenced);
}

static int look_again(struct check *c, struct error *err)
{
	for (size_t i = 0; i < c->names.pack_count; i++)
		if (lacks_index(&c->names.packs[i]))
			return check_index_again(c, err);
	return 0;
}

int check_pack_uses(struct check *c, struct error *err)
{
	char name[FORMAT_NAME_MAX];
	/* Of a backup that is under way packs stand before their segment does. */
	enum check_severity loose = c->names.sessions.count > 0 ? CHECK_NOTE : CHECK_WARNING;
	int status = look_again(c, err);
	if (status != 0)
		return status;
	for (size_t i = 0; i < c->names.pack_count; i++) {
		struct check_pack *p = &c->names.packs[i];
		if (atomic_load(&p->bad))
			continue;
		name_of(p, name);
		if (lacks_index(p))
			check_tell(c, c->index_denied ? CHECK_WARNING : CHECK_ERROR, name,
				"in no index segment, though snapshots need it: the segment that held it is missing or "
				"damaged, and backups store what it holds once more; bring 'index/' back from a copy "
				"of the repository");
		else if (!atomic_load(&p->indexed))
			check_tell(c, loose, name,
				"in no index segment: backups store what it holds once more; a segment is missing, or "
				"a backup was cut off");
		if (!atomic_load(&p->referenced))
			check_tell(c, CHECK_NOTE, name,
				"no snapshot needs it: it was left by a run that was cut off, or by snapshots that "
				"are gone; the next prune takes it away");
	}
	return check_stopped(c);
}
