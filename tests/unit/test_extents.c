/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "tree_model.h"

/* A file of `count` extents, each of its own chunk but where holes or repeats come in. */
struct file {
	struct extent *extents;
	struct chunk_ref *refs;
	uint32_t count;
	uint64_t size;
	struct entry entry;
};

static void file_make(struct file *f, uint32_t count, uint64_t seed)
{
	struct draw d = {seed};
	*f = (struct file){.count = count};
	f->extents = calloc(count, sizeof(*f->extents));
	f->refs = calloc(count, sizeof(*f->refs));
	assert_true(f->extents && f->refs);
	for (uint32_t i = 0; i < count; i++) {
		memcpy(f->refs[i].id.b, &(uint64_t){i + seed * 1000003}, 8);
		f->refs[i].chain[0] =
			(struct locator){.pack = {{(uint8_t)(i / 100)}}, .offset = i, .stored = 3, .plain = 4};
		f->extents[i] = (struct extent){.length = 1 + draw_below(&d, 5000), .ref = i};
		if (draw_below(&d, 10) == 0)
			f->extents[i].ref = EXTENT_HOLE;
		else if (i > 0 && draw_below(&d, 10) == 0)
			f->extents[i].ref = i - 1;
		if (f->extents[i].ref != EXTENT_HOLE && draw_below(&d, 3) == 0)
			f->extents[i].offset = (uint32_t)draw_below(&d, 100000);
		f->size += f->extents[i].length;
	}
	f->entry = (struct entry){.key = (const uint8_t *)"\0file",
		.key_len = 5,
		.mode = S_IFREG | 0600,
		.user = "root",
		.group = "root",
		.nlink = 1,
		.size = f->size,
		.xattr_ref = EXTENT_HOLE,
		.extents = f->extents,
		.extent_count = count,
		.refs = f->refs,
		.ref_count = count};
}

static void file_free(struct file *f)
{
	free(f->extents);
	free(f->refs);
}

static struct tree_root tree_of(const struct entry *e, struct node_memory *nodes)
{
	struct entry *list[] = {(struct entry *)e};
	const struct model m = {.list = list, .count = 1};
	const struct tree_keys keys = model_keys(0);
	return model_build(&m, &keys, nodes);
}

/* The entry as it was stored; *ret_leaf is to be put back. */
static const struct entry *stored(struct node_memory *nodes, const struct tree_root *root, const struct node **ret_leaf)
{
	const struct entry *e;
	assert_int_equal(tree_at(&nodes->source, root, 0, ret_leaf, &e, NULL), 0);
	return e;
}

static void check_at(struct extent_reader *r, const struct file *f, uint32_t i, uint64_t start, uint64_t off)
{
	uint64_t length;
	const struct chunk_ref *ref;
	uint32_t offset;
	const struct extent *x = &f->extents[i];
	assert_int_equal(extent_reader_at(r, off, &length, &ref, &offset, NULL), 0);
	assert_int_equal(length, x->length - (off - start));
	if (x->ref == EXTENT_HOLE) {
		assert_null(ref);
		return;
	}
	assert_non_null(ref);
	assert_memory_equal(&ref->id, &f->refs[x->ref].id, 32);
	assert_int_equal(ref->chain[0].offset, f->refs[x->ref].chain[0].offset);
	assert_int_equal(offset, x->offset + (off - start));
}

static void check_reader(const struct file *f, struct node_memory *nodes, const struct entry *e)
{
	struct extent_reader *r;
	uint64_t *starts = calloc(f->count + 1, sizeof(*starts)), length;
	struct draw d = {f->count};
	const struct chunk_ref *ref;
	uint32_t offset;
	assert_int_equal(extent_reader_new(&nodes->source, e, &r, NULL), 0);
	unsigned gets = nodes->gets;
	for (uint32_t i = 0; i < f->count; i++) {
		starts[i + 1] = starts[i] + f->extents[i].length;
		check_at(r, f, i, starts[i], starts[i]);
		check_at(r, f, i, starts[i], starts[i + 1] - 1);
	}
	/* Read on and on, each piece is loaded once. */
	assert_int_equal(nodes->gets - gets, e->piece_count);
	for (int k = 0; k < 100; k++) {
		uint32_t i = (uint32_t)draw_below(&d, f->count);
		check_at(r, f, i, starts[i], starts[i] + draw_below(&d, f->extents[i].length));
	}
	assert_int_equal(extent_reader_at(r, f->size, &length, &ref, &offset, NULL), ERR_USAGE);
	extent_reader_free(r);
	free(starts);
}

static void test_extents__a_file_reads_back_whether_in_the_entry_or_in_pieces(void **state)
{
	static const uint32_t counts[] = {1, 2, 50, 384, 385, 16384, 16385, 40000};
	static const uint32_t pieces[] = {0, 0, 0, 0, 1, 1, 2, 3};
	(void)state;
	for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
		struct node_memory nodes;
		struct file f;
		const struct node *leaf;
		node_memory_init(&nodes);
		file_make(&f, counts[i], i + 1);
		struct tree_root root = tree_of(&f.entry, &nodes);
		const struct entry *e = stored(&nodes, &root, &leaf);
		assert_int_equal(e->piece_count, pieces[i]);
		assert_int_equal(e->extent_count, pieces[i] ? 0 : counts[i]);
		assert_int_equal(nodes.count, 1 + pieces[i]);
		check_reader(&f, &nodes, e);
		/* The entry with its pieces, as an unchanged file is added again, makes the same tree. */
		struct tree_root again = tree_of(e, &nodes);
		assert_memory_equal(&again.ref.id, &root.ref.id, 32);
		nodes.source.put(&nodes.source, leaf);
		file_free(&f);
		node_memory_release(&nodes);
	}
}

static void test_extent_writer__makes_what_the_builder_makes_of_a_list(void **state)
{
	static const uint32_t counts[] = {1, 384, 385, 16384, 33000, 3, 16385};
	const struct tree_keys keys = model_keys(0);
	struct node_memory nodes;
	struct extent_writer *w;
	(void)state;
	node_memory_init(&nodes);
	assert_int_equal(extent_writer_new(&keys, &nodes.sink, &w, NULL), 0);
	for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
		struct file f;
		file_make(&f, counts[i], i + 1);
		struct tree_root want = tree_of(&f.entry, &nodes);
		struct entry e = f.entry;
		e.size = 0;
		extent_writer_reset(w);
		for (uint32_t k = 0; k < f.count; k++) {
			const struct extent *x = &f.extents[k];
			assert_int_equal(extent_writer_add(w, x->length, x->ref == EXTENT_HOLE ? NULL : &f.refs[x->ref],
						 x->offset, NULL),
				0);
		}
		assert_int_equal(extent_writer_finish(w, &e, NULL), 0);
		assert_int_equal(e.size, f.size);
		struct tree_root got = tree_of(&e, &nodes);
		assert_memory_equal(&got.ref.id, &want.ref.id, 32);
		file_free(&f);
	}
	extent_writer_free(w);
	node_memory_release(&nodes);
}

static void check_xattrs(size_t value_len, bool want_piece, uint32_t extents)
{
	struct node_memory nodes;
	struct file f;
	struct buf x = {0}, back = {0};
	const struct node *leaf;
	uint8_t *value = calloc(1, value_len + 1);
	node_memory_init(&nodes);
	file_make(&f, extents, 3);
	memset(value, 'v', value_len);
	xattr_put(&x, "user.big", value, value_len);
	f.entry.xattrs = x.data;
	f.entry.xattrs_len = x.len;
	struct tree_root root = tree_of(&f.entry, &nodes);
	const struct entry *e = stored(&nodes, &root, &leaf);
	assert_int_equal(e->xattr_ref != EXTENT_HOLE, want_piece);
	assert_int_equal(e->xattrs_len, want_piece ? 0 : x.len);
	assert_int_equal(entry_xattrs(&nodes.source, e, &back, NULL), 0);
	assert_int_equal(back.len, x.len);
	assert_memory_equal(back.data, x.data, x.len);
	check_reader(&f, &nodes, e);
	struct tree_root again = tree_of(e, &nodes);
	assert_memory_equal(&again.ref.id, &root.ref.id, 32);
	nodes.source.put(&nodes.source, leaf);
	buf_release(&x);
	buf_release(&back);
	free(value);
	file_free(&f);
	node_memory_release(&nodes);
}

static void test_entry_xattrs__come_back_whether_in_the_entry_or_in_a_piece(void **state)
{
	(void)state;
	/* One byte and the name, then length and value: 11 bytes more than the value. */
	check_xattrs(0, false, 1);
	check_xattrs(4096 - 11, false, 1);
	check_xattrs(4096 - 10, true, 1);
	check_xattrs(65536, true, 1);
	check_xattrs(65536, true, 500);
}

static void test_extent_reader__a_piece_of_another_kind_or_length_is_corruption(void **state)
{
	struct node_memory nodes;
	struct file f;
	const struct node *leaf;
	struct extent_reader *r;
	const struct chunk_ref *ref;
	uint64_t length;
	uint32_t offset;
	(void)state;
	node_memory_init(&nodes);
	file_make(&f, 1000, 9);
	struct tree_root root = tree_of(&f.entry, &nodes);
	const struct entry *e = stored(&nodes, &root, &leaf);
	struct entry lie = *e;
	struct entry_piece piece = e->pieces[0];
	lie.pieces = &piece;
	piece.length++;
	assert_int_equal(extent_reader_new(&nodes.source, &lie, &r, NULL), 0);
	assert_int_equal(extent_reader_at(r, 0, &length, &ref, &offset, NULL), ERR_CORRUPT);
	extent_reader_free(r);
	lie.refs = &root.ref;
	piece.ref = 0;
	assert_int_equal(extent_reader_new(&nodes.source, &lie, &r, NULL), 0);
	assert_int_equal(extent_reader_at(r, 0, &length, &ref, &offset, NULL), ERR_CORRUPT);
	extent_reader_free(r);
	nodes.source.put(&nodes.source, leaf);
	file_free(&f);
	node_memory_release(&nodes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_extents__a_file_reads_back_whether_in_the_entry_or_in_pieces),
		cmocka_unit_test(test_extent_writer__makes_what_the_builder_makes_of_a_list),
		cmocka_unit_test(test_entry_xattrs__come_back_whether_in_the_entry_or_in_a_piece),
		cmocka_unit_test(test_extent_reader__a_piece_of_another_kind_or_length_is_corruption),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
