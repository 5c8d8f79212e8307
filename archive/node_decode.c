/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "archive/node_decoder.h"

/*
 * One pass over the bytes into one block. The head of a node says how much of
 * everything follows; each of these numbers is first held against what so many
 * bytes could hold, then allocated, and in the end must be used up exactly.
 */

struct head {
	enum node_type type;
	uint8_t level;
	uint64_t count, refs, classes, text, extents, pieces;
};

static int corrupt(struct error *err, const char *what)
{
	return error_set(err, ERR_CORRUPT, "a tree node has a damaged %s", what);
}

/* ---- head and block ---- */

static bool head_ok(const struct head *h, uint64_t left)
{
	switch (h->type) {
	case NODE_LEAF:
		return h->level == 0 && h->classes >= 1 && h->classes <= h->count;
	case NODE_INNER:
		return h->level >= 1 && h->level <= NODE_LEVEL_MAX && h->refs == h->count;
	case NODE_EXTENTS:
		return h->level == 0 && h->count <= ENTRY_PIECE_EXTENTS;
	case NODE_XATTRS:
		return h->level == 0 && left <= ENTRY_XATTR_MAX;
	}
	return false;
}

static bool head_read(struct wire *w, struct head *h)
{
	uint64_t content = (uint64_t)(w->end - w->p);
	*h = (struct head){.type = (enum node_type)wire_u8(w), .level = wire_u8(w)};
	/* An element, an extent and a piece take a byte at least; text is keys, which may share, and what content
	 * spells out. */
	h->count = h->type == NODE_XATTRS ? 1 : wire_varint_max(w, NODE_COUNT_CUT);
	if (h->type == NODE_INNER)
		h->refs = h->count;
	if (h->type == NODE_LEAF || h->type == NODE_EXTENTS)
		h->refs = wire_varint_max(w, content / NODE_ID_LEN);
	if (h->type == NODE_LEAF)
		h->classes = wire_varint_max(w, NODE_COUNT_CUT);
	if (h->type == NODE_LEAF || h->type == NODE_INNER)
		h->text = wire_varint_max(w, content + NODE_KEYS_CUT + ENTRY_KEY_MAX);
	if (h->type == NODE_LEAF) {
		h->extents = wire_varint_max(w, content);
		h->pieces = wire_varint_max(w, content);
	}
	return !w->bad && h->count > 0 && head_ok(h, (uint64_t)(w->end - w->p));
}

/* Hands out parts of a block; without one (base 0) it measures. */
struct layout {
	uint8_t *base;
	size_t used;
};

static void *layout_take(struct layout *l, uint64_t count, size_t size)
{
	size_t at = l->used;
	/* All counts were bounded by head_read(), so that no sum comes near the end of size_t. */
	l->used += (size_t)count * size;
	l->used = (l->used + 7) & ~(size_t)7;
	return l->base ? l->base + at : NULL;
}

static void layout_block(struct decoder *d, const struct head *h, size_t xattrs_len, struct layout *l)
{
	struct node *node = layout_take(l, 1, sizeof(*node));
	struct entry *list = layout_take(l, h->type == NODE_LEAF ? h->count : 0, sizeof(*list));
	struct node_child *children = layout_take(l, h->type == NODE_INNER ? h->count : 0, sizeof(*children));
	struct chunk_ref *refs = layout_take(l, h->refs, sizeof(*refs));
	struct extent *extents = layout_take(l, h->type == NODE_EXTENTS ? h->count : h->extents, sizeof(*extents));
	struct entry_piece *pieces = layout_take(l, h->pieces, sizeof(*pieces));
	struct node_class *classes = layout_take(l, h->classes, sizeof(*classes));
	uint8_t *text = layout_take(l, h->text + xattrs_len, 1);
	if (!l->base)
		return;
	*node = (struct node){.type = h->type,
		.level = h->level,
		.count = (uint32_t)h->count,
		.list = list,
		.children = children,
		.extents = extents,
		.refs = refs,
		.ref_count = (uint32_t)h->refs};
	d->node = node;
	d->classes = classes;
	d->class_count = (uint32_t)h->classes;
	d->extents = extents;
	d->extents_left = h->type == NODE_EXTENTS ? h->count : h->extents;
	d->pieces = pieces;
	d->pieces_left = h->pieces;
	d->text = text;
	d->text_left = h->text + xattrs_len;
}

static int block_new(struct decoder *d, const struct head *h, struct error *err)
{
	size_t xattrs_len = h->type == NODE_XATTRS ? (size_t)(d->w.end - d->w.p) : 0;
	struct layout l = {0};
	layout_block(d, h, xattrs_len, &l);
	l.base = malloc(l.used);
	if (!l.base)
		return error_no_memory(err, "a tree node");
	size_t memory = l.used;
	l.used = 0;
	layout_block(d, h, xattrs_len, &l);
	d->node->memory = memory;
	return 0;
}

/* ---- references ---- */

static bool ids_read(struct decoder *d)
{
	const uint8_t *p = wire_bytes(&d->w, (uint64_t)d->node->ref_count * NODE_ID_LEN);
	for (uint32_t i = 0; p && i < d->node->ref_count; i++)
		memcpy(&d->node->refs[i].id, p + (size_t)i * NODE_ID_LEN, NODE_ID_LEN);
	return p != NULL;
}

static bool link_read(struct wire *w, const uint8_t *packs, uint64_t pack_count, struct locator *ret)
{
	uint64_t pack = wire_varint(w);
	ret->offset = wire_varint(w);
	ret->stored = (uint32_t)wire_varint_max(w, CHUNK_STORED_MAX);
	ret->plain = (uint32_t)wire_varint_max(w, CHUNK_PLAIN_MAX);
	if (w->bad || pack >= pack_count)
		return false;
	memcpy(&ret->pack, packs + pack * NODE_ID_LEN, NODE_ID_LEN);
	return true;
}

static bool locators_read(struct node *node, struct wire *w)
{
	uint64_t pack_count = wire_varint_max(w, NODE_PLAIN_MAX / NODE_ID_LEN);
	const uint8_t *packs = wire_bytes(w, pack_count * NODE_ID_LEN);
	for (uint32_t i = 0; packs && i < node->ref_count; i++) {
		struct chunk_ref *ref = &node->refs[i];
		ref->depth = wire_u8(w);
		if (w->bad || ref->depth > CHUNK_DEPTH_MAX)
			return false;
		memset(&ref->chain[ref->depth], 0, (CHUNK_DEPTH_MAX + 1u - ref->depth) * sizeof(ref->chain[0]));
		for (unsigned k = 0; k <= ref->depth; k++)
			if (!link_read(w, packs, pack_count, &ref->chain[k]))
				return false;
	}
	return packs && !w->bad && w->p == w->end;
}

/* ---- the four kinds ---- */

static int leaf_read(struct decoder *d, struct error *err)
{
	struct node *node = d->node;
	if (!ids_read(d) || !node_decode_classes(d))
		return corrupt(err, "table of owners");
	for (uint32_t i = 0; i < node->count; i++) {
		if (!node_decode_entry(d, &node->list[i]))
			return corrupt(err, "entry");
		node->dirs += S_ISDIR(node->list[i].mode);
		if (S_ISREG(node->list[i].mode))
			node->bytes = node_sum_bytes(node->bytes, node->list[i].size);
	}
	node->entries = node->count;
	/* Parts of the block that this kind does not have are not pointed at. */
	node->children = NULL;
	node->extents = NULL;
	return d->text_left == 0 && d->extents_left == 0 && d->pieces_left == 0 ? 0 : corrupt(err, "head");
}

static bool child_read(struct decoder *d, uint32_t i)
{
	struct node *node = d->node;
	struct node_child *c = &node->children[i];
	if (!key_read(d, &c->key, &c->key_len))
		return false;
	c->entries = wire_varint(&d->w);
	c->dirs = wire_varint(&d->w);
	c->bytes = wire_varint(&d->w);
	c->before = node->entries;
	c->ref = i;
	d->refs_seen++;
	if (d->w.bad || c->entries == 0 || c->dirs > c->entries ||
		__builtin_add_overflow(node->entries, c->entries, &node->entries))
		return false;
	/* dirs <= entries, so that their sum cannot overflow where that of entries did not. */
	node->dirs += c->dirs;
	node->bytes = node_sum_bytes(node->bytes, c->bytes);
	return true;
}

static int inner_read(struct decoder *d, struct error *err)
{
	if (!ids_read(d))
		return corrupt(err, "table of ids");
	for (uint32_t i = 0; i < d->node->count; i++)
		if (!child_read(d, i))
			return corrupt(err, "child");
	d->node->list = NULL;
	d->node->extents = NULL;
	return d->text_left == 0 ? 0 : corrupt(err, "head");
}

static int piece_read(struct decoder *d, struct error *err)
{
	struct node *node = d->node;
	if (!ids_read(d))
		return corrupt(err, "table of ids");
	for (uint32_t i = 0; i < node->count; i++) {
		struct extent *x = &node->extents[i];
		x->length = wire_varint(&d->w);
		if (!extent_read(d, x) || __builtin_add_overflow(node->bytes, x->length, &node->bytes))
			return corrupt(err, "list of extents");
	}
	node->list = NULL;
	node->children = NULL;
	return 0;
}

static int xattrs_piece_read(struct decoder *d, struct error *err)
{
	struct node *node = d->node;
	size_t len = (size_t)(d->w.end - d->w.p);
	node->xattrs = text_take(d, wire_bytes(&d->w, len), len);
	node->xattrs_len = len;
	node->list = NULL;
	node->children = NULL;
	node->extents = NULL;
	return len > 0 && xattrs_ok(node->xattrs, len) ? 0 : corrupt(err, "list of extended attributes");
}

static int kind_read(struct decoder *d, struct error *err)
{
	switch (d->node->type) {
	case NODE_LEAF:
		return leaf_read(d, err);
	case NODE_INNER:
		return inner_read(d, err);
	case NODE_EXTENTS:
		return piece_read(d, err);
	case NODE_XATTRS:
		return xattrs_piece_read(d, err);
	}
	return corrupt(err, "head");
}

int node_decode(const void *plain, size_t len, struct node **ret_node, struct error *err)
{
	const uint8_t *content;
	size_t content_len;
	struct head head;
	int status = node_content(plain, len, &content, &content_len, err);
	if (status != 0)
		return status;
	struct decoder d = {
		.w = {.p = content, .end = content + content_len}, .keys_left = NODE_KEYS_CUT + ENTRY_KEY_MAX};
	if (!head_read(&d.w, &head))
		return corrupt(err, "head");
	status = block_new(&d, &head, err);
	if (status != 0)
		return status;
	status = kind_read(&d, err);
	if (status == 0 && (d.w.bad || d.w.p != d.w.end || d.refs_seen != d.node->ref_count))
		status = corrupt(err, "end");
	struct wire locators = {.p = content + content_len, .end = (const uint8_t *)plain + len};
	if (status == 0 && !locators_read(d.node, &locators))
		status = corrupt(err, "list of locators");
	if (status == 0)
		*ret_node = d.node;
	else
		node_free(d.node);
	return status;
}
