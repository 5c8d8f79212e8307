/* SPDX-License-Identifier: MIT */
#include "archive/backup_impl.h"

void stream_settle(struct backup *b, struct item *item)
{
	pthread_mutex_lock(&b->lock);
	while (item->chunks > 0)
		pthread_cond_wait(&b->settled, &b->lock);
	pthread_mutex_unlock(&b->lock);
}

static int hash_extents(struct backup *b, struct item *item, struct error *err)
{
	static const struct id hole = {0};

	if (item->hasher == NULL)
		item->hasher = seal_hasher_new(b->repo->config.hash, b->repo->sec->content_key);
	if (item->hasher == NULL)
		return error_no_memory(err, "a file's hash");
	for (size_t i = 0; i < item->extent_count; i++) {
		const struct extent *x = &item->extents[i];
		uint8_t row[12];
		for (unsigned k = 0; k < 8; k++)
			row[k] = (uint8_t)(x->length >> (8 * k));
		for (unsigned k = 0; k < 4; k++)
			row[8 + k] = (uint8_t)(x->offset >> (8 * k));
		seal_hasher_update(item->hasher, row, sizeof(row));
		seal_hasher_update(
			item->hasher, x->ref == EXTENT_HOLE ? hole.b : item->refs[x->ref].id.b, sizeof(hole.b));
	}
	return 0;
}

int stream_hash(struct backup *b, struct item *item, struct error *err)
{
	int r = hash_extents(b, item, err);

	if (r == 0) {
		seal_hasher_final(item->hasher, &item->entry.content);
		item->entry.flags |= ENTRY_HAS_CONTENT_HASH;
	}
	return r;
}

/* A file of very many chunks: the extents so far go to pieces of the tree, so that memory does not grow with the file.
 */
int stream_fold(struct backup *b, struct item *item, struct error *err)
{
	stream_settle(b, item);
	int r = writer_status(b->writer, err);
	if (r == 0)
		r = hash_extents(b, item, err);
	if (r == 0 && item->folded == NULL)
		r = extent_writer_new(&b->keys, writer_node_sink(b->writer), &item->folded, err);
	for (size_t i = 0; r == 0 && i < item->extent_count; i++) {
		const struct extent *x = &item->extents[i];
		r = extent_writer_add(
			item->folded, x->length, x->ref == EXTENT_HOLE ? NULL : &item->refs[x->ref], x->offset, err);
	}
	item->extent_count = item->ref_count = 0;
	return r;
}

int stream_unfold(struct item *item, struct error *err)
{
	struct entry e = {.xattr_ref = EXTENT_HOLE};
	int r = extent_writer_finish(item->folded, &e, err);

	if (r == 0)
		r = item_copy_extents(item, &e, err);
	extent_writer_free(item->folded);
	item->folded = NULL;
	return r;
}
