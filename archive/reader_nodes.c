/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "archive/reader_impl.h"
#include "base/host.h"

/* A tree under this many bytes of nodes is fetched whole. */
enum { WARM_TREE_MAX = 8 << 20 };

static struct reader *reader_of(struct node_source *source)
{
	return (struct reader *)((char *)source - offsetof(struct reader, source));
}

static int source_get(
	struct node_source *source, const struct chunk_ref *ref, const struct node **ret_node, struct error *err)
{
	struct slot *s;
	int status = slot_get(reader_of(source), SLOT_NODE, ref, SLOT_WHOLE, true, &s, err);

	if (status == 0)
		*ret_node = &s->view;
	return status;
}

static void source_put(struct node_source *source, const struct node *node)
{
	slot_put(reader_of(source), (struct slot *)((char *)(uintptr_t)node - offsetof(struct slot, view)));
}

static void source_prefetch(struct node_source *source, const struct chunk_ref *refs, size_t count)
{
	(void)ahead_fetch(reader_of(source), SLOT_NODE, refs, count);
}

void nodes_source_init(struct reader *r)
{
	r->source.get = source_get;
	r->source.put = source_put;
	r->source.prefetch = source_prefetch;
}

struct node_source *reader_nodes(struct reader *r)
{
	return &r->source;
}

/* Children's bytes as they are packed; stops counting at WARM_TREE_MAX. */
static size_t children_bytes(const struct node *node)
{
	size_t sum = 0;

	for (uint32_t i = 0; i < node->ref_count && sum < WARM_TREE_MAX; i++)
		sum += node->refs[i].chain[0].plain;
	return sum;
}

/* The level below, and where that is none of leaves the one below it. Failures show when the nodes are asked for. */
static void warm_below(struct reader *r, const struct node *node, size_t *left)
{
	size_t bytes = children_bytes(node);

	if (node->type != NODE_INNER || bytes >= *left)
		return;
	*left -= bytes;
	size_t taken = ahead_fetch(r, SLOT_NODE, node->refs, node->ref_count);
	for (size_t i = 0; node->level > 1 && i < taken; i++) {
		const struct node *child;
		if (source_get(&r->source, &node->refs[i], &child, NULL) != 0)
			return;
		warm_below(r, child, left);
		source_put(&r->source, child);
	}
}

void reader_warm_tree(struct reader *r, const struct tree_root *root)
{
	const struct node *node;
	size_t left = WARM_TREE_MAX;

	/* Where short reads cost nothing it is not worth decoding what may never be looked at. */
	if (r->local || root->entries == 0 || root->level == 0)
		return;
	if (source_get(&r->source, &root->ref, &node, NULL) != 0)
		return;
	warm_below(r, node, &left);
	source_put(&r->source, node);
}

/* Takes a slot for the root if nobody has one; NULL: nothing is to be done. */
static struct slot *seed_slot(struct reader *r, const struct chunk_ref *ref, size_t need)
{
	struct slot *s = NULL;

	reader_lock(r);
	if (cache_find_locked(r, SLOT_NODE, &ref->id, SLOT_BY_ID) == NULL && room_try_locked(r, need, true)) {
		s = cache_add_locked(r, SLOT_NODE, ref);
		if (s == NULL)
			room_give_locked(r, need);
		else
			s->ahead = true;
	}
	reader_unlock(r);
	return s;
}

void reader_seed_root(struct reader *r, const struct tree_root *root, const void *sealed, size_t len,
	const uint8_t key[static FORMAT_KEY_LEN])
{
	const struct chunk_ref *ref = &root->ref;
	struct loaded l = {0};
	struct room_buf copy = {0};
	struct id fits;

	/* The pack's id, which the snapshot's signature covers, commits to its key. */
	seal_object_id(KIND_TREE_PACK, r->repo->config.repository, r->repo->config.cipher, key, &fits);
	if (root->entries == 0 || ref->depth != 0 || ref_check(ref, NULL) != 0 || len != ref->chain[0].stored ||
		!id_equal(&fits, &ref->chain[0].pack))
		return;
	keys_put(r->keys, &fits, key);
	l.spare = load_need(r, SLOT_NODE, ref, true);
	struct slot *s = seed_slot(r, ref, l.spare);
	if (s == NULL)
		return;
	int status = ERR_NO_MEMORY;
	if (room_buf_new(r, len, len, &l.spare, &copy)) {
		memcpy(copy.data, sealed, len);
		status = load_with_key(r, SLOT_NODE, ref, copy.data, key, &l, NULL);
	}
	room_buf_free(r, &copy);
	reader_lock(r);
	load_settle_locked(r, s, status, &l, NULL);
	cache_unref_locked(r, s);
	reader_unlock(r);
}
