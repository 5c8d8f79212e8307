/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "archive/check_impl.h"
#include "archive/tree_walk.h"
#include "archive/wave.h"
#include "base/hex.h"

/* Nodes as they lie in packs, each read anew and its id recomputed. */
struct check_source {
	struct node_source base;
	struct check *c;
};

/* One snapshot's tree. */
struct check_tree {
	struct check *c;
	struct check_source source;
	const struct snapshot *snapshot;
	char name[SNAPSHOT_DATASET_MAX + SNAPSHOT_NAME_MAX + 2];
	atomic_uint told;
};

/* ---- what was found whole ---- */

static struct check_key key_of(const struct chunk_ref *ref)
{
	struct check_key k;
	uint64_t pack;
	memcpy(&k.a, ref->id.b, sizeof(k.a));
	memcpy(&k.b, ref->id.b + 8, sizeof(k.b));
	memcpy(&pack, ref->chain[0].pack.b, sizeof(pack));
	k.b ^= pack + ref->chain[0].offset * UINT64_C(0x9e3779b97f4a7c15);
	k.a |= 1; /* 0 is an empty place */
	return k;
}

static struct check_key *place_of(const struct check_seen *s, struct check_key k)
{
	size_t at = (size_t)(k.a >> 1) & (s->slots - 1);
	while (s->places[at].a != 0 && (s->places[at].a != k.a || s->places[at].b != k.b))
		at = (at + 1) & (s->slots - 1);
	return &s->places[at];
}

static bool was_seen(struct check *c, const struct chunk_ref *ref)
{
	pthread_mutex_lock(&c->lock);
	bool seen = c->seen.count > 0 && place_of(&c->seen, key_of(ref))->a != 0;
	pthread_mutex_unlock(&c->lock);
	return seen;
}

/* Without memory it is looked at again when it is met again. */
static void set_seen(struct check *c, const struct chunk_ref *ref)
{
	struct check_seen *s = &c->seen;
	pthread_mutex_lock(&c->lock);
	if (s->count * 2 >= s->slots) {
		struct check_seen bigger = {.slots = s->slots ? s->slots * 2 : 1024, .count = s->count};
		bigger.places = calloc(bigger.slots, sizeof(*bigger.places));
		for (size_t i = 0; bigger.places && i < s->slots; i++)
			if (s->places[i].a != 0)
				*place_of(&bigger, s->places[i]) = s->places[i];
		if (bigger.places) {
			free(s->places);
			*s = bigger;
		}
	}
	if (s->count * 2 < s->slots) {
		struct check_key *place = place_of(s, key_of(ref));
		s->count += place->a == 0;
		*place = key_of(ref);
	}
	pthread_mutex_unlock(&c->lock);
}

/* ---- references ---- */

/* Is what locator k of a reference says what the pack's own table says? *row is the row before and becomes this one. */
static int check_locator(struct check *c, const struct chunk_ref *ref, unsigned k, enum object_kind kind,
	struct pack_row *row, struct error *err)
{
	const struct locator *loc = &ref->chain[k];
	struct check_toc *toc = NULL;
	char hex[ID_HEX_MAX];
	struct check_pack *pack = check_pack_find(c, &loc->pack);
	if (pack)
		atomic_store(&pack->referenced, true);
	int status = check_toc_get(c, &loc->pack, &toc, err);
	id_hex(&loc->pack, hex);
	if (status != 0)
		return error_wrap(err, status, "'packs/%.2s/%s'", hex, hex);
	const struct pack_row *found = check_toc_row(toc, loc->offset);
	const struct id *want = k == 0 ? &ref->id : &row->base;
	if (!found || !id_equal(&found->id, want) || found->stored != loc->stored || found->plain != loc->plain ||
		found->depth != ref->depth - k || (toc->kind != kind))
		status = error_set(err, ERR_CORRUPT,
			"'packs/%.2s/%s' does not hold at byte %llu what is looked for there", hex, hex,
			(unsigned long long)loc->offset);
	else
		*row = *found;
	check_toc_unref(toc);
	return status;
}

static int check_ref(struct check *c, const struct chunk_ref *ref, enum object_kind kind, struct error *err)
{
	struct pack_row row = {0};
	int status = ref->depth > CHUNK_DEPTH_MAX
			     ? error_set(err, ERR_CORRUPT, "a reference has a chain of %u", ref->depth)
			     : 0;
	for (unsigned k = 0; status == 0 && k <= ref->depth; k++)
		status = check_locator(c, ref, k, kind, &row, err);
	return status;
}

/* Reads what a checked reference speaks of into kit->plain. */
static int read_ref(struct check *c, struct check_kit *kit, const struct chunk_ref *ref, struct error *err)
{
	int status = 0;
	for (int k = ref->depth; status == 0 && k >= 0; k--) {
		struct check_toc *toc = NULL;
		const struct buf below = kit->plain;
		bool stands = k < ref->depth;
		if (stands) { /* what was read last is what this one stands on */
			kit->plain = kit->base;
			kit->base = below;
		}
		status = check_toc_get(c, &ref->chain[k].pack, &toc, err);
		const struct pack_row *row = status == 0 ? check_toc_row(toc, ref->chain[k].offset) : NULL;
		if (status == 0 && !row)
			status = error_set(err, ERR_CORRUPT, "a node is not where it should be");
		if (status == 0)
			status = check_read_row(c, kit, toc, row, err);
		if (status == 0)
			status = check_open_row(
				c, kit, toc, row, kit->sealed.data, stands ? &kit->base : NULL, &kit->plain, err);
		if (status == 0 && k == 0)
			status = check_row_id(c, toc, row, &kit->plain, err);
		check_toc_unref(toc);
	}
	return status;
}

static int source_get(
	struct node_source *source, const struct chunk_ref *ref, const struct node **ret_node, struct error *err)
{
	struct check *c = ((struct check_source *)source)->c;
	struct node *node = NULL;
	struct check_kit *kit = NULL;
	int status = check_ref(c, ref, KIND_TREE_PACK, err);
	if (status == 0 && !(kit = check_kit_take(c, err)))
		status = ERR_NO_MEMORY;
	if (status == 0)
		status = read_ref(c, kit, ref, err);
	if (status == 0)
		status = node_decode(kit->plain.data, kit->plain.len, &node, err);
	check_kit_give(c, kit);
	if (status != 0)
		return status;
	atomic_fetch_add(&c->nodes, 1);
	*ret_node = node;
	return 0;
}

static void source_put(struct node_source *source, const struct node *node)
{
	(void)source;
	node_free((struct node *)node);
}

/* ---- leaves ---- */

/* Tells of an entry (NULL: of a stretch of the tree) of this snapshot. A few are named. Non-zero: the run must end. */
static int tell(struct check_tree *t, const struct entry *e, int status, const struct error *why)
{
	struct buf path = {0}, object = {0};
	if (!check_is_finding(status))
		return check_stop(t->c, status, why);
	if (atomic_fetch_add(&t->told, 1) >= CHECK_TOLD_MAX)
		return 0;
	buf_put(&object, t->name, strlen(t->name));
	if (e)
		entry_key_to_path(&path, e->key, e->key_len);
	char *shown = e && !buf_failed(&path) ? hex_printable(path.data, path.len) : NULL;
	buf_put(&object, ":", shown ? 1 : 0);
	buf_put(&object, shown, shown ? strlen(shown) : 0);
	buf_put_u8(&object, 0);
	check_tell(t->c, CHECK_ERROR, buf_failed(&object) ? t->name : (const char *)object.data,
		"%s; bring it back from a copy of the repository, or back it up again", error_text(why));
	free(shown);
	buf_release(&path);
	buf_release(&object);
	return 0;
}

/* Outcome of each reference of a node, so that each is looked at once. */
enum ref_state { REF_NEW, REF_GOOD, REF_BAD };

static int check_data_ref(struct check *c, const struct node *node, uint32_t ref, uint8_t *states, struct error *err)
{
	if (states[ref] == REF_GOOD)
		return 0;
	int status = check_ref(c, &node->refs[ref], KIND_DATA_PACK, err);
	states[ref] = status == 0 ? REF_GOOD : REF_BAD;
	return status;
}

/* Extents against what they refer to. *ret_length: of all. */
static int check_extents(struct check *c, const struct node *node, const struct extent *list, uint32_t count,
	uint8_t *states, uint64_t *ret_length, struct error *err)
{
	uint64_t length = 0;
	int status = 0;
	for (uint32_t i = 0; status == 0 && i < count; i++) {
		length += list[i].length;
		if (list[i].ref == EXTENT_HOLE)
			continue;
		const struct chunk_ref *ref = &node->refs[list[i].ref];
		status = check_data_ref(c, node, list[i].ref, states, err);
		uint64_t plain = ref->chain[0].plain;
		if (status == 0 && (list[i].offset > plain || list[i].length > plain - list[i].offset))
			status = error_set(err, ERR_CORRUPT, "it reaches beyond a chunk");
	}
	*ret_length = length;
	return status;
}

/* A piece of a long list of extents, or of attributes. */
static int check_piece(
	struct check_tree *t, const struct chunk_ref *ref, enum node_type type, uint64_t length, struct error *err)
{
	struct check *c = t->c;
	const struct node *node = NULL;
	uint64_t sum = 0;
	uint8_t *states = NULL;
	if (was_seen(c, ref))
		return 0;
	int status = source_get(&t->source.base, ref, &node, err);
	if (status != 0)
		return status;
	if (node->type != type || (type == NODE_EXTENTS && node->bytes != length))
		status = error_set(err, ERR_CORRUPT, "a piece of it is of another kind or length");
	if (status == 0 && type == NODE_EXTENTS) {
		states = calloc(node->ref_count + 1, sizeof(*states));
		status = states ? check_extents(c, node, node->extents, node->count, states, &sum, err)
				: error_no_memory(err, "a piece of a file");
	}
	if (status == 0)
		set_seen(c, ref);
	free(states);
	source_put(&t->source.base, node);
	return status;
}

static int check_entry(
	struct check_tree *t, const struct node *leaf, const struct entry *e, uint8_t *states, struct error *err)
{
	uint64_t length = 0;
	int status = check_extents(t->c, leaf, e->extents, e->extent_count, states, &length, err);
	for (uint32_t i = 0; status == 0 && i < e->piece_count; i++) {
		length += e->pieces[i].length;
		status = check_piece(t, &leaf->refs[e->pieces[i].ref], NODE_EXTENTS, e->pieces[i].length, err);
	}
	if (status == 0 && e->xattr_ref != EXTENT_HOLE)
		status = check_piece(t, &leaf->refs[e->xattr_ref], NODE_XATTRS, 0, err);
	if (status == 0 && S_ISREG(e->mode) && length != e->size)
		status = error_set(err, ERR_CORRUPT, "its extents make another length than its own");
	return status;
}

/* *ret_whole: all that it names is there. */
static int check_leaf(struct check_tree *t, const struct node *leaf, bool *ret_whole)
{
	uint8_t *states = calloc(leaf->ref_count + 1, sizeof(*states));
	struct error why = ERROR_INIT;
	bool whole = true;
	int status = 0;
	if (!states)
		return check_stop(t->c, error_no_memory(&why, "a leaf"), &why);
	for (uint32_t i = 0; status == 0 && i < leaf->count; i++) {
		error_clear(&why);
		status = check_stopped(t->c);
		int rc = status == 0 ? check_entry(t, leaf, &leaf->list[i], states, &why) : 0;
		if (rc == 0)
			continue;
		whole = false;
		status = tell(t, &leaf->list[i], rc, &why);
	}
	free(states);
	*ret_whole = whole;
	return status;
}

/* ---- inner nodes ---- */

static int check_inner(struct check_tree *t, const struct node *node);

static int check_node(struct check_tree *t, const struct node *node, const struct chunk_ref *ref)
{
	bool whole = false;
	if (node->level > 0)
		return check_inner(t, node);
	int status = check_leaf(t, node, &whole);
	if (status == 0 && whole)
		set_seen(t->c, ref);
	return status;
}

/* The children of one inner node, each by a thread of its own where they are leaves. */
struct children {
	struct check_tree *t;
	const struct node *node;
};

static void check_child(void *arg, size_t index)
{
	struct children *k = arg;
	struct check_tree *t = k->t;
	const struct chunk_ref *ref = &k->node->refs[k->node->children[index].ref];
	const struct node *child = NULL;
	struct error why = ERROR_INIT;
	/* Inner nodes are read again for each snapshot: what is bad below them is told of each. */
	if (check_stopped(t->c) != 0 || (k->node->level == 1 && was_seen(t->c, ref)))
		return;
	int status = tree_child_get(&t->source.base, k->node, (uint32_t)index, &child, &why);
	if (status != 0) {
		tell(t, NULL, status, &why);
		return;
	}
	check_node(t, child, ref);
	source_put(&t->source.base, child);
}

static int check_inner(struct check_tree *t, const struct node *node)
{
	struct children k = {.t = t, .node = node};
	wave_run(node->level == 1 ? t->c->threads : 1, node->count, check_child, &k);
	return check_stopped(t->c);
}

static void check_tree(struct check *c, const struct snapshot *s)
{
	struct check_tree t = {.c = c, .snapshot = s};
	const struct node *root = NULL;
	struct error why = ERROR_INIT;
	t.source = (struct check_source){.base = {.get = source_get, .put = source_put}, .c = c};
	snprintf(t.name, sizeof(t.name), "%s/%s", s->dataset, s->name);
	if (s->root.entries == 0 || (s->root.level == 0 && was_seen(c, &s->root.ref)))
		return;
	int status = tree_node_get(&t.source.base, &s->root, NULL, 0, &root, &why);
	if (status != 0) {
		tell(&t, NULL, status, &why);
		return;
	}
	check_node(&t, root, &s->root.ref);
	source_put(&t.source.base, root);
	if (atomic_load(&t.told) > CHECK_TOLD_MAX)
		check_tell(c, CHECK_ERROR, t.name, "%u more of its entries are damaged",
			atomic_load(&t.told) - CHECK_TOLD_MAX);
}

int check_trees(struct check *c)
{
	for (size_t i = 0; i < c->set->count && check_stopped(c) == 0; i++)
		check_tree(c, c->set->list[i]);
	return check_stopped(c);
}
