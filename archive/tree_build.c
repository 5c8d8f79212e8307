/* SPDX-License-Identifier: MIT */
#include <sodium.h>
#include <stdlib.h>

#include "archive/node_wire.h"
#include "archive/tree_walk.h"

_Static_assert(crypto_shorthash_KEYBYTES == 16 && crypto_shorthash_BYTES == 8, "cuts are made by SipHash-2-4");

/* A node that is stored. children: 1 only for an inner node known to be a stem. */
struct built {
	struct tree_root root;
	uint32_t children;
};

/*
 * The open node of a level: its sums are those of what was added. `first` is the first node this level ever had; when a
 * stem must be dropped from the top, it is what the stem stands on.
 */
struct level {
	struct node_encoder *encoder;
	struct buf first_key;
	struct tree_root sums;
	struct built first;
	bool any; /* first is set */
};

struct tree_builder {
	struct tree_keys keys; /* a copy: only the keys themselves are borrowed */
	struct node_sink *sink;
	uint64_t cut_below; /* a hash under this is a cut */
	uint8_t cut_keys[NODE_LEVEL_MAX + 1][crypto_shorthash_KEYBYTES];
	struct level levels[NODE_LEVEL_MAX + 1];
	int height; /* levels in use; the topmost always has an open node with something in it */
	struct buf last_key;
	struct buf scratch;
	struct extent_writer *extents;
	struct node_encoder *xattrs;
	struct chunk_ref *refs; /* of an entry whose xattrs went into a piece */
};

/* ---- life ---- */

static void cut_keys_derive(struct tree_builder *b)
{
	uint8_t message[] = "drfs cut?";
	for (uint8_t level = 0; level <= NODE_LEVEL_MAX; level++) {
		message[8] = level;
		crypto_generichash(
			b->cut_keys[level], sizeof(b->cut_keys[level]), message, 9, b->keys.node_cut_key, 32);
	}
}

int tree_builder_new(
	const struct tree_keys *keys, struct node_sink *sink, struct tree_builder **ret_builder, struct error *err)
{
	struct tree_builder *b = calloc(1, sizeof(*b));
	if (!b)
		return error_no_memory(err, "a tree");
	b->keys = *keys;
	b->sink = sink;
	b->cut_below = UINT64_MAX / (keys->target ? keys->target : NODE_TARGET_ENTRIES);
	cut_keys_derive(b);
	b->xattrs = node_encoder_new(NODE_XATTRS, 0);
	int status = b->xattrs ? extent_writer_new(keys, sink, &b->extents, err) : error_no_memory(err, "a tree");
	if (status != 0) {
		tree_builder_free(b);
		return status;
	}
	*ret_builder = b;
	return 0;
}

void tree_builder_free(struct tree_builder *b)
{
	if (!b)
		return;
	for (int i = 0; i <= NODE_LEVEL_MAX; i++) {
		node_encoder_free(b->levels[i].encoder);
		buf_release(&b->levels[i].first_key);
	}
	sodium_memzero(b->cut_keys, sizeof(b->cut_keys));
	buf_release(&b->last_key);
	buf_release(&b->scratch);
	extent_writer_free(b->extents);
	node_encoder_free(b->xattrs);
	free(b->refs);
	free(b);
}

/* ---- nodes ---- */

int tree_node_store(const struct tree_keys *keys, struct node_sink *sink, struct node_encoder *encoder,
	struct buf *scratch, struct chunk_ref *ret_ref, struct error *err)
{
	size_t at, len;
	struct id id;
	struct chunk_ref ref = {0};
	int status = node_encoder_finish(encoder, scratch, &at, &len, err);
	if (status != 0)
		return status;
	seal_hash(keys->hash, keys->node_id_key, scratch->data + at, len, &id);
	status = sink->store(sink, &id, scratch->data, scratch->len, &ref, err);
	if (status != 0)
		return status;
	ref.id = id;
	*ret_ref = ref;
	return 0;
}

static bool cut_after(const struct tree_builder *b, int level, const uint8_t *key, size_t key_len)
{
	uint8_t raw[crypto_shorthash_BYTES];
	uint64_t hash = 0;
	crypto_shorthash(raw, key, key_len, b->cut_keys[level]);
	for (int i = 7; i >= 0; i--)
		hash = hash << 8 | raw[i];
	return hash < b->cut_below || node_encoder_full(b->levels[level].encoder);
}

static int level_open(struct tree_builder *b, int level, const uint8_t *key, size_t key_len, struct error *err)
{
	if (level > NODE_LEVEL_MAX)
		return error_set(err, ERR_UNSUPPORTED, "a tree would have more than %d levels", NODE_LEVEL_MAX + 1);
	struct level *l = &b->levels[level];
	if (!l->encoder)
		l->encoder = node_encoder_new(level > 0 ? NODE_INNER : NODE_LEAF, (uint8_t)level);
	if (!l->encoder)
		return error_no_memory(err, "a tree node");
	b->height = b->height > level ? b->height : level + 1;
	if (node_encoder_count(l->encoder) > 0)
		return 0;
	l->sums = (struct tree_root){.level = (uint8_t)level};
	buf_clear(&l->first_key);
	buf_put(&l->first_key, key, key_len);
	return buf_failed(&l->first_key) ? error_no_memory(err, "a tree node") : 0;
}

static int sums_add(struct tree_root *sums, uint64_t entries, uint64_t dirs, uint64_t bytes, struct error *err)
{
	if (__builtin_add_overflow(sums->entries, entries, &sums->entries) || dirs > entries)
		return error_set(err, ERR_BUG, "the sums of a tree do not fit");
	sums->dirs += dirs;
	sums->bytes = node_sum_bytes(sums->bytes, bytes);
	return 0;
}

/* Stores the open node of a level, which is then empty. */
static int level_store(struct tree_builder *b, int level, struct built *ret_built, struct error *err)
{
	struct level *l = &b->levels[level];
	struct built built = {.root = l->sums, .children = node_encoder_count(l->encoder)};
	int status = tree_node_store(&b->keys, b->sink, l->encoder, &b->scratch, &built.root.ref, err);
	if (status == 0)
		*ret_built = built;
	return status;
}

static int child_add(struct tree_builder *b, int level, const struct built *child, const uint8_t *key, size_t key_len,
	struct error *err)
{
	struct level *below = &b->levels[level - 1];
	const struct tree_root *root = &child->root;
	const struct node_child element = {
		.key = key, .key_len = key_len, .entries = root->entries, .dirs = root->dirs, .bytes = root->bytes};
	if (!below->any)
		below->first = *child;
	below->any = true;
	int status = level_open(b, level, key, key_len, err);
	if (status == 0)
		status = sums_add(&b->levels[level].sums, root->entries, root->dirs, root->bytes, err);
	if (status == 0)
		status = node_encoder_child(b->levels[level].encoder, &element, &root->ref, err);
	return status;
}

/* Adds a stored node to the level above its own; where that ends a node, this one too, and so on. */
static int child_push(struct tree_builder *b, struct built child, const uint8_t *key, size_t key_len, struct error *err)
{
	int status = 0;
	for (int level = child.root.level + 1; status == 0; level++) {
		status = child_add(b, level, &child, key, key_len, err);
		if (status != 0 || !cut_after(b, level, key, key_len))
			break;
		status = level_store(b, level, &child, err);
		key = b->levels[level].first_key.data;
		key_len = b->levels[level].first_key.len;
	}
	return status;
}

static int level_end(struct tree_builder *b, int level, struct error *err)
{
	struct built built;
	int status = level_store(b, level, &built, err);
	if (status == 0)
		status = child_push(b, built, b->levels[level].first_key.data, b->levels[level].first_key.len, err);
	return status;
}

/* ---- entries ---- */

static int key_follow(struct tree_builder *b, const uint8_t *key, size_t key_len, struct error *err)
{
	if (b->height > 0 && node_key_compare(b->last_key.data, b->last_key.len, key, key_len) >= 0)
		return error_set(err, ERR_BUG, "entries of a tree are out of order");
	buf_clear(&b->last_key);
	buf_put(&b->last_key, key, key_len);
	return buf_failed(&b->last_key) ? error_no_memory(err, "a tree") : 0;
}

/* Puts the xattrs of *entry into a piece, and a reference to it behind its others. */
static int spill_xattrs(struct tree_builder *b, struct entry *entry, struct error *err)
{
	size_t refs_len = (size_t)entry->ref_count + 1;
	struct chunk_ref *refs = reallocarray(b->refs, refs_len, sizeof(*refs));
	if (!refs || refs_len > UINT32_MAX - 1)
		return error_no_memory(err, "extended attributes");
	b->refs = refs;
	if (entry->ref_count > 0)
		memcpy(refs, entry->refs, (refs_len - 1) * sizeof(*refs));
	int status = node_encoder_xattrs(b->xattrs, entry->xattrs, entry->xattrs_len, err);
	if (status == 0)
		status = tree_node_store(&b->keys, b->sink, b->xattrs, &b->scratch, &refs[refs_len - 1], err);
	if (status != 0)
		return status;
	entry->refs = refs;
	entry->xattr_ref = entry->ref_count++;
	entry->xattrs = NULL;
	entry->xattrs_len = 0;
	return 0;
}

static int spill_extents(struct tree_builder *b, struct entry *entry, struct error *err)
{
	uint64_t size = entry->size;
	int status = 0;
	extent_writer_reset(b->extents);
	for (uint32_t i = 0; i < entry->extent_count && status == 0; i++) {
		const struct extent *x = &entry->extents[i];
		if (x->ref != EXTENT_HOLE && x->ref >= entry->ref_count)
			return error_set(err, ERR_BUG, "an extent refers to nothing");
		status = extent_writer_add(
			b->extents, x->length, x->ref == EXTENT_HOLE ? NULL : &entry->refs[x->ref], x->offset, err);
	}
	if (status == 0)
		status = extent_writer_finish(b->extents, entry, err);
	/* So that the encoder sees when the extents do not make up the file. */
	entry->size = size;
	return status;
}

int tree_builder_add(struct tree_builder *b, const struct entry *entry, struct error *err)
{
	struct entry own = *entry;
	int status = key_follow(b, own.key, own.key_len, err);
	if (status == 0 && own.xattrs_len > ENTRY_INLINE_XATTRS)
		status = spill_xattrs(b, &own, err);
	if (status == 0 && own.extent_count > ENTRY_INLINE_EXTENTS)
		status = spill_extents(b, &own, err);
	if (status == 0)
		status = level_open(b, 0, own.key, own.key_len, err);
	if (status == 0)
		status = sums_add(&b->levels[0].sums, 1, S_ISDIR(own.mode), S_ISREG(own.mode) ? own.size : 0, err);
	if (status == 0)
		status = node_encoder_entry(b->levels[0].encoder, &own, err);
	if (status == 0 && cut_after(b, 0, own.key, own.key_len))
		status = level_end(b, 0, err);
	return status;
}

/* ---- nodes of earlier trees ---- */

/* The highest level at which nothing is open, nor below it: -1 when a leaf is. */
static int level_free(const struct tree_builder *b)
{
	int level = 0;
	if (b->height == 0)
		return NODE_LEVEL_MAX - 1;
	while (node_encoder_count(b->levels[level].encoder) == 0)
		level++;
	return level - 1;
}

int tree_builder_add_subtree(struct tree_builder *b, const struct tree_root *node, const uint8_t *first_key,
	size_t first_key_len, bool *ret_taken, struct error *err)
{
	/* The cursor tells no stems; two stands for "more than one". */
	struct built child = {.root = *node, .children = 2};
	if (node->level > level_free(b)) {
		*ret_taken = false;
		return 0;
	}
	int status = key_follow(b, first_key, first_key_len, err);
	/* So that the levels below count as in use. */
	for (int i = 0; i <= node->level && status == 0; i++)
		status = level_open(b, i, first_key, first_key_len, err);
	if (status == 0)
		status = child_push(b, child, first_key, first_key_len, err);
	if (status == 0)
		*ret_taken = true;
	return status;
}

int tree_builder_take(struct tree_builder *b, struct tree_cursor *c, bool *ret_taken, struct error *err)
{
	struct tree_root node;
	const uint8_t *key;
	size_t key_len;
	bool taken = false;
	int status = 0;
	if (tree_cursor_subtree_upto(c, level_free(b), &node, &key, &key_len)) {
		status = tree_builder_add_subtree(b, &node, key, key_len, &taken, err);
		if (status == 0 && taken)
			status = tree_cursor_skip(c, &node, err);
	}
	if (status == 0)
		*ret_taken = taken;
	return status;
}

/* ---- the end ---- */

/* Takes stems off: an inner node with one child, at the top, is dropped. */
static void stems_drop(const struct tree_builder *b, struct built top, struct tree_root *ret_root)
{
	while (top.root.level > 0 && top.children == 1)
		top = b->levels[top.root.level - 1].first;
	*ret_root = top.root;
}

int tree_builder_finish(struct tree_builder *b, struct tree_root *ret_root, struct error *err)
{
	struct built top = {0};
	int status = 0;
	/* What is open ends here, from below; the height may grow on the way. */
	for (int level = 0; level + 1 < b->height && status == 0; level++)
		if (node_encoder_count(b->levels[level].encoder) > 0)
			status = level_end(b, level, err);
	if (status != 0 || b->height == 0) {
		if (status == 0)
			*ret_root = (struct tree_root){0};
		return status;
	}
	int highest = b->height - 1;
	if (highest > 0 && node_encoder_count(b->levels[highest].encoder) == 1)
		top = b->levels[highest - 1].first;
	else
		status = level_store(b, highest, &top, err);
	if (status == 0)
		stems_drop(b, top, ret_root);
	return status;
}
