/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "tree_model.h"

enum { SMALL = 4 }; /* elements a node in most tests: tall trees of few entries, with stems to drop */

struct fixture {
	struct node_memory nodes;
	struct model model;
	struct draw draw;
	struct tree_keys keys;
	struct tree_root root;
	struct error err;
};

static void begin(struct fixture *f, uint64_t seed, size_t count, uint32_t target)
{
	*f = (struct fixture){.draw = {seed}, .keys = model_keys(target)};
	node_memory_init(&f->nodes);
	model_draw(&f->model, &f->draw, count);
	f->root = model_build(&f->model, &f->keys, &f->nodes);
}

static void end(struct fixture *f)
{
	model_release(&f->model);
	node_memory_release(&f->nodes);
}

/* A key near some entry: its own, a little before, a little after, or anywhere. */
static void key_near(struct fixture *f, struct buf *key)
{
	uint8_t tail = (uint8_t)draw_u64(&f->draw);
	buf_clear(key);
	if (f->model.count > 0) {
		const struct entry *e = f->model.list[draw_below(&f->draw, f->model.count)];
		buf_put(key, e->key, e->key_len);
	}
	switch (draw_below(&f->draw, 4)) {
	case 0:
		break;
	case 1:
		key->len -= key->len > 1;
		break;
	case 2:
		buf_put_u8(key, tail);
		break;
	default:
		if (key->len > 0)
			key->data[draw_below(&f->draw, key->len)] ^= tail;
	}
}

static void check_sums(struct fixture *f)
{
	uint64_t dirs = 0, bytes = 0;
	for (size_t i = 0; i < f->model.count; i++) {
		dirs += S_ISDIR(f->model.list[i]->mode);
		bytes += S_ISREG(f->model.list[i]->mode) ? f->model.list[i]->size : 0;
	}
	assert_int_equal(f->root.entries, f->model.count);
	assert_int_equal(f->root.dirs, dirs);
	assert_int_equal(f->root.bytes, bytes);
}

static void check_walk(struct fixture *f)
{
	struct tree_cursor *c;
	assert_int_equal(tree_cursor_new(&f->nodes.source, &f->root, &c, &f->err), 0);
	for (size_t i = 0; i < f->model.count; i++) {
		assert_int_equal(tree_cursor_rank(c), i);
		assert_entry_same(tree_cursor_entry(c), f->model.list[i]);
		assert_int_equal(tree_cursor_next(c, &f->err), i + 1 < f->model.count ? 0 : ERR_NOT_FOUND);
	}
	assert_null(tree_cursor_entry(c));
	assert_int_equal(tree_cursor_next(c, &f->err), ERR_NOT_FOUND);
	tree_cursor_free(c);
}

static void check_key(struct fixture *f, struct tree_cursor *c, const struct buf *key)
{
	const struct node *leaf;
	const struct entry *entry;
	uint64_t rank;
	size_t want = model_rank(&f->model, key->data, key->len);
	const struct entry *at = want < f->model.count ? f->model.list[want] : NULL;
	bool there = at && key_order(at->key, at->key_len, key->data, key->len) == 0;
	assert_int_equal(tree_rank(&f->nodes.source, &f->root, key->data, key->len, &rank, &f->err), 0);
	assert_int_equal(rank, want);
	int status = tree_find(&f->nodes.source, &f->root, key->data, key->len, &leaf, &entry, &rank, &f->err);
	assert_int_equal(status, there ? 0 : ERR_NOT_FOUND);
	if (there) {
		assert_int_equal(rank, want);
		assert_entry_same(entry, at);
		f->nodes.source.put(&f->nodes.source, leaf);
	}
	status = tree_cursor_seek(c, key->data, key->len, &f->err);
	assert_int_equal(status, at ? 0 : ERR_NOT_FOUND);
	assert_int_equal(tree_cursor_rank(c), want);
	if (at)
		assert_entry_same(tree_cursor_entry(c), at);
	else
		assert_null(tree_cursor_entry(c));
	/* A step from there on. */
	status = tree_cursor_next(c, &f->err);
	assert_int_equal(status, want + 1 < f->model.count ? 0 : ERR_NOT_FOUND);
	if (status == 0)
		assert_entry_same(tree_cursor_entry(c), f->model.list[want + 1]);
}

static void check_rank(struct fixture *f, struct tree_cursor *c, uint64_t rank)
{
	const struct node *leaf;
	const struct entry *entry;
	int want = rank < f->model.count ? 0 : ERR_NOT_FOUND;
	assert_int_equal(tree_at(&f->nodes.source, &f->root, rank, &leaf, &entry, &f->err), want);
	if (want == 0) {
		assert_entry_same(entry, f->model.list[rank]);
		f->nodes.source.put(&f->nodes.source, leaf);
	}
	assert_int_equal(tree_cursor_seek_rank(c, rank, &f->err), want);
	if (want == 0)
		assert_entry_same(tree_cursor_entry(c), f->model.list[rank]);
}

static void test_tree__answers_like_a_sorted_array(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 40; seed++) {
		struct fixture f;
		struct tree_cursor *c;
		struct buf key = {0};
		begin(&f, seed, seed < 10 ? seed - 1 : seed * 20, seed % 3 ? SMALL : 0);
		check_sums(&f);
		check_walk(&f);
		assert_int_equal(tree_cursor_new(&f.nodes.source, &f.root, &c, &f.err), 0);
		for (int i = 0; i < 100; i++) {
			key_near(&f, &key);
			check_key(&f, c, &key);
			check_rank(&f, c, draw_below(&f.draw, f.model.count + 2));
		}
		tree_cursor_free(c);
		buf_release(&key);
		end(&f);
	}
}

static void test_tree_cursor_new_at__stands_at_the_key_and_reads_one_path(void **state)
{
	struct fixture f;
	struct tree_cursor *c;
	(void)state;
	begin(&f, 3, 500, SMALL);
	const struct entry *e = f.model.list[321];
	f.nodes.gets = 0;
	assert_int_equal(tree_cursor_new_at(&f.nodes.source, &f.root, e->key, e->key_len, &c, &f.err), 0);
	assert_int_equal(f.nodes.gets, f.root.level + 1);
	assert_entry_same(tree_cursor_entry(c), e);
	tree_cursor_free(c);
	const uint8_t behind[] = {0xff, 0xff, 0, 0, 'x'};
	assert_int_equal(tree_cursor_new_at(&f.nodes.source, &f.root, behind, sizeof(behind), &c, &f.err), 0);
	assert_null(tree_cursor_entry(c));
	assert_int_equal(tree_cursor_rank(c), f.root.entries);
	tree_cursor_free(c);
	end(&f);
}

static void test_tree__empty_has_no_root(void **state)
{
	struct fixture f;
	struct tree_cursor *c;
	(void)state;
	begin(&f, 1, 0, 0);
	assert_int_equal(f.root.entries, 0);
	assert_true(id_is_zero(&f.root.ref.id));
	assert_int_equal(f.nodes.count, 0);
	assert_int_equal(tree_cursor_new(&f.nodes.source, &f.root, &c, &f.err), 0);
	assert_null(tree_cursor_entry(c));
	tree_cursor_free(c);
	end(&f);
}

/* Every node that is reached has more than one child if it is the root, and its level's nodes hold what was added. */
static void test_tree_build__root_is_never_a_stem(void **state)
{
	unsigned tall = 0;
	(void)state;
	for (uint64_t seed = 100; seed < 400; seed++) {
		struct fixture f;
		const struct node *node;
		begin(&f, seed, 1 + seed % 37, 3);
		assert_int_equal(f.nodes.source.get(&f.nodes.source, &f.root.ref, &node, &f.err), 0);
		assert_int_equal(node->level, f.root.level);
		assert_true(node->level == 0 || node->count > 1);
		tall += node->level > 2;
		f.nodes.source.put(&f.nodes.source, node);
		end(&f);
	}
	assert_true(tall > 20);
}

static void test_tree_build__nodes_have_a_thousand_entries_on_average(void **state)
{
	struct fixture f;
	(void)state;
	begin(&f, 5, 60000, 0);
	assert_int_equal(f.root.level, 1);
	assert_in_range(f.root.entries / (f.nodes.count - 1), 700, 1400);
	end(&f);
}

static void test_tree_build__what_was_there_before_leaves_no_trace(void **state)
{
	(void)state;
	/* The same entries with other locators: the same ids, since those are over content alone. */
	struct fixture f;
	begin(&f, 77, 2000, SMALL);
	struct node_memory others;
	struct model moved;
	node_memory_init(&others);
	model_copy(&moved, &f.model);
	for (size_t i = 0; i < moved.count; i++) {
		struct chunk_ref *refs = (struct chunk_ref *)moved.list[i]->refs;
		for (uint32_t k = 0; k < moved.list[i]->ref_count; k++) {
			refs[k].depth = 0;
			refs[k].chain[0] =
				(struct locator){.pack = {{9, (uint8_t)i}}, .offset = i, .stored = 5, .plain = 6};
		}
	}
	struct tree_root root = model_build(&moved, &f.keys, &others);
	assert_true(id_equal(&root.ref.id, &f.root.ref.id));
	assert_int_equal(others.count, f.nodes.count);
	model_release(&moved);
	node_memory_release(&others);
	end(&f);
}

static void test_tree_build__refuses_entries_out_of_order(void **state)
{
	struct fixture f;
	struct tree_builder *b;
	(void)state;
	begin(&f, 9, 10, SMALL);
	assert_int_equal(tree_builder_new(&f.keys, &f.nodes.sink, &b, &f.err), 0);
	assert_int_equal(tree_builder_add(b, f.model.list[5], &f.err), 0);
	assert_int_equal(tree_builder_add(b, f.model.list[5], &f.err), ERR_BUG);
	tree_builder_free(b);
	assert_int_equal(tree_builder_new(&f.keys, &f.nodes.sink, &b, &f.err), 0);
	assert_int_equal(tree_builder_add(b, f.model.list[5], &f.err), 0);
	assert_int_equal(tree_builder_add(b, f.model.list[4], &f.err), ERR_BUG);
	tree_builder_free(b);
	end(&f);
}

/* ---- taking nodes over ---- */

/* Do `count` entries from old[at] on stand unchanged in new, from the same key on? */
static bool unchanged(const struct model *old, size_t at, size_t count, const struct model *new, size_t new_at)
{
	for (size_t i = 0; i < count; i++)
		if (new_at + i >= new->count || !entry_same(old->list[at + i], new->list[new_at + i]))
			return false;
	return true;
}

/* One step of a backup that knows what it did last time: takes a node, or adds one entry. */
static size_t merge_step(struct fixture *f, struct tree_builder *b, struct tree_cursor *c, const struct model *new,
	size_t at, unsigned *taken_entries)
{
	struct tree_root node;
	const uint8_t *key;
	size_t key_len;
	bool taken = false;
	const struct entry *e = new->list[at];
	while (tree_cursor_entry(c) &&
		key_order(tree_cursor_entry(c)->key, tree_cursor_entry(c)->key_len, e->key, e->key_len) < 0)
		tree_cursor_next(c, &f->err);
	bool here = tree_cursor_entry(c) && entry_same(tree_cursor_entry(c), e);
	for (int level = NODE_LEVEL_MAX; here && !taken && level >= 0; level--) {
		size_t rank = tree_cursor_rank(c);
		if (!tree_cursor_subtree_upto(c, level, &node, &key, &key_len))
			break;
		level = node.level;
		if (!unchanged(&f->model, rank, node.entries, new, at))
			continue;
		assert_int_equal(key_order(key, key_len, e->key, e->key_len), 0);
		assert_int_equal(tree_builder_add_subtree(b, &node, key, key_len, &taken, &f->err), 0);
		if (taken) {
			assert_int_equal(tree_cursor_skip(c, &node, &f->err), 0);
			*taken_entries += (unsigned)node.entries;
			return at + node.entries;
		}
	}
	assert_int_equal(tree_builder_add(b, e, &f->err), 0);
	return at + 1;
}

static void test_tree_build__taking_nodes_over_makes_the_same_tree(void **state)
{
	unsigned taken = 0, total = 0;
	(void)state;
	for (uint64_t seed = 1; seed <= 400; seed++) {
		struct fixture f;
		struct model new;
		struct tree_builder *b;
		struct tree_cursor *c;
		struct tree_root root;
		begin(&f, seed * 1000, 1 + seed * 3, seed % 7 == 0 ? 40 : 4 + (uint32_t)(seed % 4));
		model_copy(&new, &f.model);
		model_mutate(&new, &f.draw, draw_below(&f.draw, 6));
		struct tree_root want = model_build(&new, &f.keys, &f.nodes);
		assert_int_equal(tree_builder_new(&f.keys, &f.nodes.sink, &b, &f.err), 0);
		assert_int_equal(tree_cursor_new(&f.nodes.source, &f.root, &c, &f.err), 0);
		for (size_t at = 0; at < new.count;)
			at = merge_step(&f, b, c, &new, at, &taken);
		assert_int_equal(tree_builder_finish(b, &root, &f.err), 0);
		assert_memory_equal(&root.ref.id, &want.ref.id, sizeof(want.ref.id));
		assert_int_equal(root.level, want.level);
		assert_int_equal(root.entries, want.entries);
		assert_int_equal(root.dirs, want.dirs);
		assert_int_equal(root.bytes, want.bytes);
		total += (unsigned)new.count;
		tree_builder_free(b);
		tree_cursor_free(c);
		model_release(&new);
		end(&f);
	}
	/* The test would prove nothing if little had been taken. */
	assert_true(taken > total / 3);
}

/* Entries that fill nodes before a hash cuts them: with 4,000 bytes of xattrs each, or keys of 8,000 bytes. */
static void draw_bulky(struct model *m, struct draw *d, size_t count, bool long_keys)
{
	char value[4000], path[8100];
	*m = (struct model){0};
	memset(value, 'v', sizeof(value));
	for (size_t i = 0; i < count; i++) {
		struct buf key = {0}, x = {0};
		size_t len = (size_t)snprintf(path, sizeof(path), "%08x", (unsigned)draw_u64(d));
		for (int k = 0; long_keys && k < 7960; k++)
			path[len++] = k % 200 == 0 ? '/' : 'x';
		assert_true(entry_key_from_path(&key, path, len));
		struct entry *e = model_entry_new(d, key.data, key.len);
		free((void *)e->xattrs);
		xattr_put(&x, "user.v", value, long_keys ? 0 : sizeof(value));
		e->xattrs = x.data;
		e->xattrs_len = x.len;
		model_put(m, e);
		buf_release(&key);
	}
	model_sort(m);
}

static void check_bulky(bool long_keys)
{
	struct fixture f;
	struct model new;
	struct tree_builder *b;
	struct tree_cursor *c;
	struct tree_root root;
	unsigned taken = 0;
	begin(&f, 1, 0, 0);
	draw_bulky(&f.model, &f.draw, 2000, long_keys);
	f.root = model_build(&f.model, &f.keys, &f.nodes);
	assert_int_equal(f.root.level, long_keys ? 2 : 1);
	assert_in_range(f.nodes.count, 2000 / 66, 2000 / 20);
	for (size_t i = 0; i < f.nodes.count; i++)
		assert_true(f.nodes.list[i].len < NODE_CONTENT_CUT + (64 << 10));
	check_walk(&f);
	model_copy(&new, &f.model);
	for (int i = 0; i < 5; i++) {
		model_mutate(&new, &f.draw, 1);
		struct tree_root want = model_build(&new, &f.keys, &f.nodes);
		assert_int_equal(tree_builder_new(&f.keys, &f.nodes.sink, &b, &f.err), 0);
		assert_int_equal(tree_cursor_new(&f.nodes.source, &f.root, &c, &f.err), 0);
		for (size_t at = 0; at < new.count;)
			at = merge_step(&f, b, c, &new, at, &taken);
		assert_int_equal(tree_builder_finish(b, &root, &f.err), 0);
		assert_memory_equal(&root.ref.id, &want.ref.id, sizeof(want.ref.id));
		tree_builder_free(b);
		tree_cursor_free(c);
	}
	/* After a change, full nodes fall into step again only at a cut by hash; before it, all is taken. */
	assert_true(taken > 1000);
	model_release(&new);
	end(&f);
}

static void test_tree_build__full_nodes_are_cut_by_what_they_hold_alone(void **state)
{
	(void)state;
	check_bulky(false);
	check_bulky(true);
}

/* The beginning of an old tree alone: what is taken must not leave a stem at the top. */
static void test_tree_build__beginning_of_a_tree_taken_alone_makes_the_same_tree(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 600; seed++) {
		struct fixture f;
		struct model new = {0};
		struct tree_builder *b;
		struct tree_cursor *c;
		struct tree_root node, root;
		const uint8_t *key;
		size_t key_len;
		bool taken = false;
		begin(&f, seed * 31, 2 + seed % 90, 3);
		assert_int_equal(tree_cursor_new(&f.nodes.source, &f.root, &c, &f.err), 0);
		if (tree_cursor_subtree(c, &node, &key, &key_len)) {
			for (size_t i = 0; i < node.entries; i++)
				model_put(&new, f.model.list[i]);
			struct tree_root want = model_build(&new, &f.keys, &f.nodes);
			assert_int_equal(tree_builder_new(&f.keys, &f.nodes.sink, &b, &f.err), 0);
			assert_int_equal(tree_builder_take(b, c, &taken, &f.err), 0);
			assert_true(taken);
			assert_int_equal(tree_cursor_rank(c), node.entries);
			assert_int_equal(tree_builder_finish(b, &root, &f.err), 0);
			assert_memory_equal(&root.ref.id, &want.ref.id, sizeof(want.ref.id));
			assert_int_equal(root.level, want.level);
			tree_builder_free(b);
			free(new.list);
		}
		tree_cursor_free(c);
		end(&f);
	}
}

static void test_tree_build__unchanged_tree_is_taken_almost_unread(void **state)
{
	struct fixture f;
	struct tree_builder *b;
	struct tree_cursor *c;
	struct tree_root root;
	unsigned added = 0;
	(void)state;
	begin(&f, 4, 20000, 10);
	assert_int_equal(tree_builder_new(&f.keys, &f.nodes.sink, &b, &f.err), 0);
	assert_int_equal(tree_cursor_new(&f.nodes.source, &f.root, &c, &f.err), 0);
	while (tree_cursor_entry(c)) {
		bool taken;
		assert_int_equal(tree_builder_take(b, c, &taken, &f.err), 0);
		if (taken)
			continue;
		assert_int_equal(tree_builder_add(b, tree_cursor_entry(c), &f.err), 0);
		tree_cursor_next(c, &f.err);
		added++;
	}
	assert_int_equal(tree_builder_finish(b, &root, &f.err), 0);
	assert_memory_equal(&root.ref.id, &f.root.ref.id, sizeof(root.ref.id));
	assert_true(added < 100);
	tree_builder_free(b);
	tree_cursor_free(c);
	end(&f);
}

/* ---- differences ---- */

struct seen {
	const struct model *old, *new;
	size_t old_at, new_at;
	unsigned calls;
};

/* Compares the calls with what a merge of the two arrays says. */
static void merge_to_difference(struct seen *s, const struct entry **ret_old, const struct entry **ret_new)
{
	*ret_old = *ret_new = NULL;
	while (s->old_at < s->old->count || s->new_at < s->new->count) {
		const struct entry *a = s->old_at < s->old->count ? s->old->list[s->old_at] : NULL;
		const struct entry *b = s->new_at < s->new->count ? s->new->list[s->new_at] : NULL;
		int order = !a ? 1 : !b ? -1 : key_order(a->key, a->key_len, b->key, b->key_len);
		s->old_at += order <= 0;
		s->new_at += order >= 0;
		if (order == 0 && entry_same(a, b))
			continue;
		*ret_old = order <= 0 ? a : NULL;
		*ret_new = order >= 0 ? b : NULL;
		return;
	}
}

static int on_difference(void *arg, const struct entry *old_entry, const struct entry *new_entry, struct error *err)
{
	struct seen *s = arg;
	const struct entry *want_old, *want_new;
	(void)err;
	merge_to_difference(s, &want_old, &want_new);
	assert_int_equal(!old_entry, !want_old);
	assert_int_equal(!new_entry, !want_new);
	if (old_entry)
		assert_entry_same(old_entry, want_old);
	if (new_entry)
		assert_entry_same(new_entry, want_new);
	s->calls++;
	return 0;
}

static void test_tree_diff__tells_what_a_merge_of_arrays_tells(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 200; seed++) {
		struct fixture f;
		struct model new;
		const struct entry *left_old, *left_new;
		begin(&f, seed * 17, seed < 20 ? seed % 5 : seed * 7, seed % 5 == 0 ? 100 : 3);
		model_copy(&new, &f.model);
		model_mutate(&new, &f.draw, draw_below(&f.draw, 12));
		if (seed % 50 == 0) {
			model_release(&new);
			model_draw(&new, &f.draw, 300);
		}
		struct tree_root root = model_build(&new, &f.keys, &f.nodes);
		struct seen s = {.old = &f.model, .new = &new};
		assert_int_equal(tree_diff(&f.nodes.source, &f.root, &root, on_difference, &s, &f.err), 0);
		merge_to_difference(&s, &left_old, &left_new);
		assert_null(left_old);
		assert_null(left_new);
		model_release(&new);
		end(&f);
	}
}

static void test_tree_diff__costs_the_difference(void **state)
{
	struct fixture f;
	struct model new;
	(void)state;
	begin(&f, 8, 20000, 10);
	model_copy(&new, &f.model);
	struct entry *e = model_entry_new(&f.draw, new.list[10000]->key, new.list[10000]->key_len);
	model_entry_free(new.list[10000]);
	new.list[10000] = e;
	struct tree_root root = model_build(&new, &f.keys, &f.nodes);
	struct seen s = {.old = &f.model, .new = &new};
	f.nodes.gets = 0;
	assert_int_equal(tree_diff(&f.nodes.source, &f.root, &root, on_difference, &s, &f.err), 0);
	assert_int_equal(s.calls, 1);
	assert_true(f.nodes.gets <= 2u * (f.root.level + 1u));
	f.nodes.gets = 0;
	assert_int_equal(tree_diff(&f.nodes.source, &root, &root, on_difference, &s, &f.err), 0);
	assert_int_equal(f.nodes.gets, 0);
	model_release(&new);
	end(&f);
}

/* ---- what goes wrong ---- */

static void test_tree__every_failed_read_is_told_and_leaks_nothing(void **state)
{
	struct fixture f;
	struct tree_cursor *c = NULL;
	struct model none = {0};
	(void)state;
	begin(&f, 21, 400, SMALL);
	struct tree_root empty = {0};
	for (int n = 1; n <= f.root.level + 1; n++) {
		const struct node *leaf;
		const struct entry *entry;
		uint64_t rank;
		const struct entry *e = f.model.list[200];
		f.nodes.fail_after = n;
		assert_int_equal(tree_find(&f.nodes.source, &f.root, e->key, e->key_len, &leaf, &entry, &rank, &f.err),
			ERR_UNAVAILABLE);
		f.nodes.fail_after = n;
		assert_int_equal(tree_at(&f.nodes.source, &f.root, 200, &leaf, &entry, &f.err), ERR_UNAVAILABLE);
		f.nodes.fail_after = n;
		assert_int_equal(tree_cursor_new(&f.nodes.source, &f.root, &c, &f.err), ERR_UNAVAILABLE);
		f.nodes.fail_after = n;
		struct seen s = {.old = &f.model, .new = &none};
		assert_int_equal(
			tree_diff(&f.nodes.source, &f.root, &empty, on_difference, &s, &f.err), ERR_UNAVAILABLE);
	}
	end(&f);
}

static void test_tree_cursor__a_failed_step_can_be_tried_again(void **state)
{
	struct fixture f;
	struct tree_cursor *c;
	(void)state;
	begin(&f, 22, 300, SMALL);
	assert_int_equal(tree_cursor_new(&f.nodes.source, &f.root, &c, &f.err), 0);
	for (size_t i = 0; i + 1 < f.model.count; i++) {
		f.nodes.fail_after = 1;
		int status = tree_cursor_next(c, &f.err);
		f.nodes.fail_after = 0;
		if (status != 0) {
			assert_int_equal(status, ERR_UNAVAILABLE);
			assert_null(tree_cursor_entry(c));
			assert_int_equal(tree_cursor_next(c, &f.err), 0);
		}
		assert_entry_same(tree_cursor_entry(c), f.model.list[i + 1]);
	}
	tree_cursor_free(c);
	end(&f);
}

static void test_tree__missing_node_is_corruption_not_absence(void **state)
{
	struct fixture f;
	struct node_memory nothing;
	const struct node *leaf;
	const struct entry *entry;
	uint64_t rank;
	(void)state;
	begin(&f, 23, 100, SMALL);
	node_memory_init(&nothing);
	const struct entry *e = f.model.list[50];
	assert_int_equal(
		tree_find(&nothing.source, &f.root, e->key, e->key_len, &leaf, &entry, &rank, &f.err), ERR_CORRUPT);
	assert_int_equal(f.err.code, ERR_CORRUPT);
	assert_int_equal(tree_rank(&nothing.source, &f.root, e->key, e->key_len, &rank, &f.err), ERR_CORRUPT);
	node_memory_release(&nothing);
	end(&f);
}

static void test_tree__sums_that_do_not_fit_are_corruption(void **state)
{
	struct fixture f;
	const struct node *leaf;
	const struct entry *entry;
	(void)state;
	begin(&f, 24, 100, SMALL);
	struct tree_root lies[4] = {f.root, f.root, f.root, f.root};
	lies[0].entries++;
	lies[1].dirs--;
	lies[2].bytes ^= 1;
	lies[3].level--;
	for (int i = 0; i < 4; i++)
		assert_int_equal(tree_at(&f.nodes.source, &lies[i], 0, &leaf, &entry, &f.err), ERR_CORRUPT);
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tree__answers_like_a_sorted_array),
		cmocka_unit_test(test_tree_cursor_new_at__stands_at_the_key_and_reads_one_path),
		cmocka_unit_test(test_tree__empty_has_no_root),
		cmocka_unit_test(test_tree_build__root_is_never_a_stem),
		cmocka_unit_test(test_tree_build__nodes_have_a_thousand_entries_on_average),
		cmocka_unit_test(test_tree_build__what_was_there_before_leaves_no_trace),
		cmocka_unit_test(test_tree_build__refuses_entries_out_of_order),
		cmocka_unit_test(test_tree_build__taking_nodes_over_makes_the_same_tree),
		cmocka_unit_test(test_tree_build__beginning_of_a_tree_taken_alone_makes_the_same_tree),
		cmocka_unit_test(test_tree_build__full_nodes_are_cut_by_what_they_hold_alone),
		cmocka_unit_test(test_tree_build__unchanged_tree_is_taken_almost_unread),
		cmocka_unit_test(test_tree_diff__tells_what_a_merge_of_arrays_tells),
		cmocka_unit_test(test_tree_diff__costs_the_difference),
		cmocka_unit_test(test_tree__every_failed_read_is_told_and_leaks_nothing),
		cmocka_unit_test(test_tree_cursor__a_failed_step_can_be_tried_again),
		cmocka_unit_test(test_tree__missing_node_is_corruption_not_absence),
		cmocka_unit_test(test_tree__sums_that_do_not_fit_are_corruption),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
