/* SPDX-License-Identifier: MIT */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "archive/signed.h"
#include "archive/snapshot_codec.h"

static void put_locator(struct buf *b, const struct locator *l)
{
	buf_put(b, &l->pack, sizeof(l->pack));
	buf_put_varint(b, l->offset);
	buf_put_varint(b, l->stored);
	buf_put_varint(b, l->plain);
}

static void put_root(struct buf *b, const struct tree_root *root)
{
	buf_put_u8(b, root->level);
	buf_put_varint(b, root->entries);
	buf_put_varint(b, root->dirs);
	buf_put_varint(b, root->bytes);
	if (root->entries == 0)
		return;
	buf_put(b, &root->ref.id, sizeof(root->ref.id));
	buf_put_u8(b, root->ref.depth);
	for (unsigned i = 0; i <= root->ref.depth && i <= CHUNK_DEPTH_MAX; i++)
		put_locator(b, &root->ref.chain[i]);
}

static void put_top(struct buf *b, const struct entry *top)
{
	fields_put(b, snapshot_top_fields, snapshot_top_field_count, top);
	if (top->xattrs_len > 0)
		tlv_put(b, TOP_XATTRS, top->xattrs, top->xattrs_len);
}

static void put_check(struct buf *b, const struct snapshot_check *check)
{
	tlv_put_str(b, CHECK_PATH, check->path);
	tlv_put_str(b, CHECK_KIND, check->kind);
	tlv_put_u64(b, CHECK_OK, check->ok);
	if (check->reason && *check->reason)
		tlv_put_str(b, CHECK_REASON, check->reason);
}

/* Moves what was gathered in `inner` into b as one TLV, and empties it. */
static void put_inner(struct buf *b, uint16_t tag, struct buf *inner)
{
	if (buf_failed(inner))
		b->failed = true;
	else
		tlv_put(b, tag, inner->data, inner->len);
	buf_clear(inner);
}

static void put_texts(struct buf *b, const struct snapshot *s)
{
	for (size_t i = 0; i < 3; i++) {
		char *const *list = *(char **const *)((const char *)s + snapshot_texts[i].list);
		unsigned count = *(const unsigned *)((const char *)s + snapshot_texts[i].count);
		for (unsigned n = 0; n < count && n < snapshot_texts[i].max; n++)
			tlv_put_str(b, snapshot_texts[i].tag, list[n]);
	}
}

static void put_seen(struct buf *b, const struct snapshot *s)
{
	struct buf inner = {0};
	for (unsigned i = 0; i < s->seen_count && i < SNAPSHOT_LIST_MAX; i++) {
		buf_put(&inner, &s->seen[i].slot, sizeof(s->seen[i].slot));
		buf_put_varint(&inner, s->seen[i].seq);
		put_inner(b, SNAP_SEEN, &inner);
	}
	buf_release(&inner);
}

static void put_statement(struct buf *b, const struct snapshot *s)
{
	struct buf inner = {0};
	fields_put(b, snapshot_fields, snapshot_field_count, s);
	put_root(&inner, &s->root);
	put_inner(b, SNAP_ROOT, &inner);
	put_top(&inner, &s->top);
	put_inner(b, SNAP_TOP, &inner);
	for (unsigned i = 0; i < s->check_count && i < SNAPSHOT_LIST_MAX; i++) {
		put_check(&inner, &s->checks[i]);
		put_inner(b, SNAP_CHECK, &inner);
	}
	put_texts(b, s);
	put_seen(b, s);
	buf_release(&inner);
}

/* What stands behind the signature: the root node, where it is at hand and small. */
static void put_extra(struct buf *b, const struct snapshot *s)
{
	if (s->root_sealed.len == 0 || s->root_sealed.len > SNAPSHOT_ROOT_SEALED_MAX)
		return;
	tlv_put(b, EXTRA_ROOT_SEALED, s->root_sealed.data, s->root_sealed.len);
	tlv_put(b, EXTRA_ROOT_KEY, s->root_key, sizeof(s->root_key));
}

int snapshot_encode(const struct repo *repo, struct snapshot *s, struct buf *ret, struct error *err)
{
	struct buf statement = {0};
	if (s->state > SNAPSHOT_PARTIAL || s->number < 1 || s->number > SNAPSHOT_NUMBER_MAX || s->seq < 1)
		return error_set(err, ERR_BUG, "a snapshot without state, number or sequence was to be signed");
	int rc = snapshot_dataset_ok(s->dataset, err);
	if (rc != 0)
		return rc;
	put_statement(&statement, s);
	if (statement.len > SNAPSHOT_STATEMENT_MAX)
		rc = error_set(err, ERR_USAGE,
			"the snapshot's statement passes %d MiB: give fewer paths, tags or notes",
			SNAPSHOT_STATEMENT_MAX >> 20);
	else
		rc = signed_put(repo, KIND_SNAPSHOT, false, &statement, ret, err);
	if (rc == 0) {
		crypto_generichash(
			s->statement_hash.b, sizeof(s->statement_hash.b), statement.data, statement.len, NULL, 0);
		put_extra(ret, s);
		rc = buf_failed(ret) ? error_no_memory(err, "a snapshot's statement") : 0;
	}
	buf_wipe(&statement);
	return rc;
}

int snapshot_encode_void(const struct repo *repo, const struct id *id, struct buf *ret, struct error *err)
{
	struct buf statement = {0};
	tlv_put(&statement, SNAP_ID, id, sizeof(*id));
	tlv_put(&statement, SNAP_SLOT, &repo->own->id, sizeof(repo->own->id));
	tlv_put(&statement, SNAP_VOID, NULL, 0);
	int rc = signed_put(repo, KIND_SNAPSHOT, false, &statement, ret, err);
	buf_release(&statement);
	return rc;
}
