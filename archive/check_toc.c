/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "archive/check_impl.h"
#include "archive/node.h"
#include "base/host.h"

static size_t slot_of(const struct id *pack)
{
	return ((size_t)pack->b[0] << 8 | pack->b[1]) % CHECK_TOC_SLOTS;
}

static size_t bytes_of(const struct check_toc *toc)
{
	return sizeof(*toc) + toc->count * sizeof(*toc->rows);
}

void check_toc_unref(struct check_toc *toc)
{
	if (!toc || atomic_fetch_sub(&toc->refs, 1) != 1)
		return;
	host_wipe(toc->key, sizeof(toc->key));
	free(toc->rows);
	free(toc);
}

/* Takes what is kept at a place out. Under the lock. */
static struct check_toc *evict_locked(struct check *c, size_t slot)
{
	struct check_toc *old = c->tocs[slot];
	if (old)
		c->toc_bytes -= bytes_of(old);
	c->tocs[slot] = NULL;
	return old;
}

static void keep(struct check *c, struct check_toc *toc)
{
	pthread_mutex_lock(&c->lock);
	check_toc_unref(evict_locked(c, slot_of(&toc->pack)));
	for (size_t i = 0; i < CHECK_TOC_SLOTS && c->toc_bytes + bytes_of(toc) > CHECK_TOC_BYTES; i++)
		check_toc_unref(evict_locked(c, c->toc_hand++ % CHECK_TOC_SLOTS));
	if (c->toc_bytes + bytes_of(toc) <= CHECK_TOC_BYTES) {
		atomic_fetch_add(&toc->refs, 1);
		c->tocs[slot_of(&toc->pack)] = toc;
		c->toc_bytes += bytes_of(toc);
	}
	pthread_mutex_unlock(&c->lock);
}

/* What the first bytes say of the pack's kind, and whether they are as they should be. */
static int read_kind(struct check *c, const struct id *pack, enum object_kind *ret_kind, struct error *err)
{
	uint8_t head[FORMAT_HEADER_LEN];
	char name[FORMAT_NAME_MAX];
	struct object_header h;
	size_t len = 0;
	object_name(KIND_DATA_PACK, 0, pack, name);
	int status = store_get(c->repo->store, NULL, name, 0, sizeof(head), head, &len, err);
	if (status == 0)
		status = object_header_parse(head, len, 0, name, &h, err);
	if (status != 0)
		return status;
	if ((h.kind != KIND_DATA_PACK && h.kind != KIND_TREE_PACK) || h.cipher != c->repo->config.cipher ||
		h.trailer != c->repo->config.trailer)
		return error_set(err, ERR_CORRUPT, "'%s' does not begin as a pack of this repository does", name);
	*ret_kind = (enum object_kind)h.kind;
	return 0;
}

static int load(struct check *c, const struct id *pack, struct check_toc *toc, struct error *err)
{
	int status = read_kind(c, pack, &toc->kind, err);
	if (status == 0) {
		status = object_get_key(c->repo, toc->kind, pack, toc->key, err);
		if (status == ERR_NOT_FOUND)
			return error_wrap(err, status, "its wrapped key is missing");
	}
	if (status == 0)
		status = pack_read_toc(c->repo, toc->kind, pack, toc->key, &toc->rows, &toc->count, err);
	return status;
}

int check_toc_get(struct check *c, const struct id *pack, struct check_toc **ret_toc, struct error *err)
{
	const struct check_pack *known = check_pack_find(c, pack);
	struct check_toc *toc;
	if (!known)
		return error_set(err, ERR_NOT_FOUND, "the pack is missing");
	if (atomic_load(&known->bad))
		return error_set(err, ERR_CORRUPT, "the pack cannot be read");
	pthread_mutex_lock(&c->lock);
	toc = c->tocs[slot_of(pack)];
	if (toc && id_equal(&toc->pack, pack))
		atomic_fetch_add(&toc->refs, 1);
	else
		toc = NULL;
	pthread_mutex_unlock(&c->lock);
	if (toc) {
		*ret_toc = toc;
		return 0;
	}
	toc = calloc(1, sizeof(*toc));
	if (!toc)
		return error_no_memory(err, "a pack's table");
	atomic_init(&toc->refs, 1);
	toc->pack = *pack;
	int status = load(c, pack, toc, err);
	if (status != 0) {
		check_toc_unref(toc);
		return status;
	}
	keep(c, toc);
	*ret_toc = toc;
	return 0;
}

const struct pack_row *check_toc_row(const struct check_toc *toc, uint64_t offset)
{
	size_t low = 0, high = toc->count;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (toc->rows[mid].offset == offset)
			return &toc->rows[mid];
		if (toc->rows[mid].offset < offset)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

void check_tocs_free(struct check *c)
{
	for (size_t i = 0; i < CHECK_TOC_SLOTS; i++) {
		check_toc_unref(c->tocs[i]);
		c->tocs[i] = NULL;
	}
}

int check_read_row(struct check *c, struct check_kit *kit, const struct check_toc *toc, const struct pack_row *row,
	struct error *err)
{
	char name[FORMAT_NAME_MAX];
	size_t got = 0;
	object_name(toc->kind, 0, &toc->pack, name);
	buf_clear(&kit->sealed);
	if (!buf_reserve(&kit->sealed, row->stored))
		return error_no_memory(err, "a chunk");
	int status = store_get(c->repo->store, NULL, name, row->offset, row->stored, kit->sealed.data, &got, err);
	if (status == 0 && got != row->stored)
		status = error_set(err, ERR_CORRUPT, "'%s' is cut off", name);
	atomic_fetch_add_explicit(&c->bytes_read, got, memory_order_relaxed);
	kit->sealed.len = got;
	return status;
}

int check_open_row(struct check *c, struct check_kit *kit, const struct check_toc *toc, const struct pack_row *row,
	void *sealed, const struct buf *base, struct buf *ret_plain, struct error *err)
{
	const struct seal_place place = {.cipher = c->repo->config.cipher,
		.kind = toc->kind,
		.repository = c->repo->config.repository,
		.object = &toc->pack,
		.offset = row->offset};
	buf_clear(ret_plain);
	if (!buf_reserve(ret_plain, row->plain ? row->plain : 1))
		return error_no_memory(err, "a chunk");
	int status = chunk_decode(kit->decoder, toc->key, &place, sealed, row->stored, base ? base->data : NULL,
		base ? base->len : 0, ret_plain->data, row->plain, err);
	if (status == 0)
		ret_plain->len = row->plain;
	return status;
}

int check_row_id(const struct check *c, const struct check_toc *toc, const struct pack_row *row,
	const struct buf *plain, struct error *err)
{
	const uint8_t *data = plain->data, *key = c->repo->sec->chunk_id_key;
	size_t len = plain->len;
	struct id id;
	if (toc->kind == KIND_TREE_PACK) {
		int status = node_content(plain->data, plain->len, &data, &len, err);
		if (status != 0)
			return status;
		key = c->repo->sec->node_id_key;
	}
	seal_hash(c->repo->config.hash, key, data, len, &id);
	return id_equal(&id, &row->id) ? 0 : error_set(err, ERR_CORRUPT, "it holds other bytes than its id says");
}
