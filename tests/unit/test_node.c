/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "tree_model.h"

static struct buf leaf_of(const struct model *m)
{
	struct node_encoder *e = node_encoder_new(NODE_LEAF, 0);
	struct buf b = {0};
	size_t at, len;
	struct error err = ERROR_INIT;
	for (size_t i = 0; i < m->count; i++)
		if (node_encoder_entry(e, m->list[i], &err) != 0)
			fail_msg("%s", error_text(&err));
	assert_int_equal(node_encoder_finish(e, &b, &at, &len, &err), 0);
	assert_int_equal(at, 4);
	node_encoder_free(e);
	return b;
}

static struct node *decoded(const struct buf *b)
{
	struct node *node = NULL;
	struct error err = ERROR_INIT;
	if (node_decode(b->data, b->len, &node, &err) != 0)
		fail_msg("%s", error_text(&err));
	return node;
}

static void test_node__leaf_comes_back_as_it_was(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed < 60; seed++) {
		struct draw d = {seed};
		struct model m;
		uint64_t dirs = 0, bytes = 0;
		model_draw(&m, &d, 1 + seed * seed / 3);
		struct buf b = leaf_of(&m);
		struct node *node = decoded(&b);
		assert_int_equal(node->type, NODE_LEAF);
		assert_int_equal(node->count, m.count);
		for (size_t i = 0; i < m.count; i++) {
			assert_entry_same(&node->list[i], m.list[i]);
			dirs += S_ISDIR(m.list[i]->mode);
			bytes += S_ISREG(m.list[i]->mode) ? m.list[i]->size : 0;
		}
		assert_int_equal(node->entries, m.count);
		assert_int_equal(node->dirs, dirs);
		assert_int_equal(node->bytes, bytes);
		node_free(node);
		buf_release(&b);
		model_release(&m);
	}
}

static void test_node_encoder__used_again_encodes_the_same(void **state)
{
	struct node_encoder *e = node_encoder_new(NODE_LEAF, 0);
	struct buf first = {0}, second = {0};
	struct draw d = {4};
	struct model m;
	size_t at, len;
	(void)state;
	model_draw(&m, &d, 300);
	for (int turn = 0; turn < 2; turn++) {
		for (size_t i = 0; i < m.count; i++)
			assert_int_equal(node_encoder_entry(e, m.list[i], NULL), 0);
		assert_int_equal(node_encoder_count(e), m.count);
		size_t size = node_encoder_size(e);
		assert_int_equal(node_encoder_finish(e, turn ? &second : &first, &at, &len, NULL), 0);
		assert_in_range(len, size + 2, size + 40);
		assert_int_equal(node_encoder_count(e), 0);
		assert_int_equal(node_encoder_size(e), 0);
	}
	assert_int_equal(first.len, second.len);
	assert_memory_equal(first.data, second.data, first.len);
	node_encoder_free(e);
	buf_release(&first);
	buf_release(&second);
	model_release(&m);
}

static void test_node__decoded_leaf_encodes_to_the_same_bytes(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed < 20; seed++) {
		struct draw d = {seed * 99};
		struct model m, again = {0};
		model_draw(&m, &d, seed * 20);
		struct buf b = leaf_of(&m);
		struct node *node = decoded(&b);
		for (uint32_t i = 0; i < node->count; i++)
			model_put(&again, &node->list[i]);
		struct buf c = leaf_of(&again);
		assert_int_equal(b.len, c.len);
		assert_memory_equal(b.data, c.data, b.len);
		free(again.list);
		node_free(node);
		buf_release(&b);
		buf_release(&c);
		model_release(&m);
	}
}

static void test_node__content_does_not_depend_on_locators(void **state)
{
	struct draw d = {12};
	struct model m;
	const uint8_t *x, *y;
	size_t x_len, y_len;
	(void)state;
	model_draw(&m, &d, 200);
	struct buf a = leaf_of(&m);
	for (size_t i = 0; i < m.count; i++)
		for (uint32_t k = 0; k < m.list[i]->ref_count; k++)
			((struct chunk_ref *)m.list[i]->refs)[k].chain[0].offset += 12345;
	struct buf b = leaf_of(&m);
	assert_int_equal(node_content(a.data, a.len, &x, &x_len, NULL), 0);
	assert_int_equal(node_content(b.data, b.len, &y, &y_len, NULL), 0);
	assert_int_equal(x_len, y_len);
	assert_memory_equal(x, y, x_len);
	assert_true(a.len != b.len || memcmp(a.data, b.data, a.len) != 0);
	buf_release(&a);
	buf_release(&b);
	model_release(&m);
}

/* ---- a leaf by hand, against the byte tables of FORMAT.md ---- */

static void test_node__bytes_are_as_specified(void **state)
{
	struct chunk_ref ref = {.id = {{0xaa}}, .depth = 1};
	ref.chain[0] = (struct locator){.pack = {{0xbb}}, .offset = 300, .stored = 5, .plain = 6};
	ref.chain[1] = (struct locator){.pack = {{0xcc}}, .offset = 7, .stored = 8, .plain = 9};
	const struct extent extent = {.length = 200, .ref = 0, .offset = 3};
	const struct entry entry = {.key = (const uint8_t *)"\0f",
		.key_len = 2,
		.mode = S_IFREG | 0644,
		.uid = 1,
		.gid = 2,
		.user = "u",
		.group = "g",
		.mtime = {-1, 5},
		.ctime = {-1, 5},
		.inode = 9,
		.size = 200,
		.disk_bytes = 4096,
		.nlink = 1,
		.xattr_ref = EXTENT_HOLE,
		.extents = &extent,
		.extent_count = 1,
		.refs = &ref,
		.ref_count = 1};
	struct entry *list[] = {(struct entry *)&entry};
	const struct model m = {.list = list, .count = 1};
	struct buf want = {0}, got = leaf_of(&m);
	(void)state;
	buf_put_u32(&want, 73);
	buf_put(&want, "\1\0\1\1\1\6\1\0", 8); /* leaf, level, entry, reference, class, text, extent, no piece */
	buf_put(&want, &ref.id, 32);
	buf_put(&want, "\xa4\x83\x02\1\2\1u\1g", 9);
	buf_put(&want, "\0\2\0f\3\0\1\5\0\0\0\x09\xc8\1\3\3", 16);
	want.data[0] = (uint8_t)(want.len - 4);
	buf_put(&want, "\2", 1);
	buf_put(&want, &ref.chain[0].pack, 32);
	buf_put(&want, &ref.chain[1].pack, 32);
	buf_put(&want, "\1\0\xac\2\5\6\1\7\x08\x09", 10);
	assert_int_equal(got.len, want.len);
	assert_memory_equal(got.data, want.data, want.len);
	buf_release(&want);
	buf_release(&got);
}

/* ---- inner nodes ---- */

static struct buf inner_of(uint32_t count, uint64_t each)
{
	struct node_encoder *e = node_encoder_new(NODE_INNER, 3);
	struct buf b = {0};
	size_t at, len;
	for (uint32_t i = 0; i < count; i++) {
		uint8_t key[] = {0, 'k', (uint8_t)('0' + i / 40), (uint8_t)('0' + i % 40)};
		struct chunk_ref ref = {.id = {{(uint8_t)i, 1}}};
		struct node_child child = {.key = key, .key_len = 4, .entries = each + i, .dirs = i, .bytes = 1000};
		assert_int_equal(node_encoder_child(e, &child, &ref, NULL), 0);
	}
	assert_int_equal(node_encoder_finish(e, &b, &at, &len, NULL), 0);
	node_encoder_free(e);
	return b;
}

static void test_node__inner_comes_back_with_sums_and_ranks(void **state)
{
	struct buf b = inner_of(50, 10);
	struct node *node = decoded(&b);
	uint64_t before = 0;
	(void)state;
	assert_int_equal(node->type, NODE_INNER);
	assert_int_equal(node->level, 3);
	assert_int_equal(node->count, 50);
	for (uint32_t i = 0; i < 50; i++) {
		assert_int_equal(node->children[i].before, before);
		assert_int_equal(node->children[i].entries, 10 + i);
		assert_int_equal(node->refs[node->children[i].ref].id.b[0], i);
		before += 10 + i;
	}
	assert_int_equal(node->entries, before);
	assert_int_equal(node->dirs, 49 * 25);
	assert_int_equal(node->bytes, 50000);
	node_free(node);
	buf_release(&b);
}

static void test_node__sums_of_children_that_overflow_are_corruption(void **state)
{
	struct buf b = inner_of(3, UINT64_MAX / 2);
	struct node *node = NULL;
	(void)state;
	assert_int_equal(node_decode(b.data, b.len, &node, NULL), ERR_CORRUPT);
	buf_release(&b);
}

static void test_node_search__finds_the_last_key_not_above(void **state)
{
	struct buf b = inner_of(30, 1);
	struct node *node = decoded(&b);
	(void)state;
	for (int32_t i = 0; i < 30; i++) {
		struct node_child *c = &node->children[i];
		uint8_t longer[8] = {0};
		memcpy(longer, c->key, c->key_len);
		assert_int_equal(node_search(node, c->key, c->key_len), i);
		assert_int_equal(node_search(node, longer, c->key_len + 1), i);
		longer[c->key_len - 1]--;
		assert_int_equal(node_search(node, longer, c->key_len), i - 1);
	}
	assert_int_equal(node_search(node, (const uint8_t *)"\xff", 1), 29);
	assert_int_equal(node_search(node, (const uint8_t *)"", 0), -1);
	node_free(node);
	buf_release(&b);
}

/* ---- pieces ---- */

static struct buf piece_of(void)
{
	struct node_encoder *e = node_encoder_new(NODE_EXTENTS, 0);
	struct buf b = {0};
	size_t at, len;
	struct chunk_ref refs[2] = {{.id = {{1}}}, {.id = {{2}}}};
	assert_int_equal(node_encoder_extent(e, &(struct extent){.length = 5}, &refs[0], NULL), 0);
	assert_int_equal(node_encoder_extent(e, &(struct extent){.length = 1000}, NULL, NULL), 0);
	assert_int_equal(node_encoder_extent(e, &(struct extent){.length = 6, .offset = 70000}, &refs[1], NULL), 0);
	assert_int_equal(node_encoder_extent(e, &(struct extent){.length = 7}, &refs[0], NULL), 0);
	assert_int_equal(node_encoder_extent(e, &(struct extent){.length = 0}, &refs[0], NULL), ERR_BUG);
	assert_int_equal(node_encoder_finish(e, &b, &at, &len, NULL), 0);
	node_encoder_free(e);
	return b;
}

static void test_node__piece_of_extents_comes_back(void **state)
{
	struct buf b = piece_of();
	struct node *node = decoded(&b);
	(void)state;
	assert_int_equal(node->type, NODE_EXTENTS);
	assert_int_equal(node->count, 4);
	assert_int_equal(node->bytes, 1018);
	assert_int_equal(node->ref_count, 2);
	assert_int_equal(node->extents[0].ref, 0);
	assert_int_equal(node->extents[1].ref, EXTENT_HOLE);
	assert_int_equal(node->extents[2].ref, 1);
	assert_int_equal(node->extents[2].offset, 70000);
	assert_int_equal(node->extents[3].ref, 0);
	node_free(node);
	buf_release(&b);
}

static struct buf xattr_piece_of(void)
{
	struct node_encoder *e = node_encoder_new(NODE_XATTRS, 0);
	struct buf b = {0}, x = {0};
	size_t at, len;
	xattr_put(&x, "user.a", "value", 5);
	xattr_put(&x, "user.b", "other", 5);
	assert_int_equal(node_encoder_xattrs(e, x.data, x.len, NULL), 0);
	assert_int_equal(node_encoder_finish(e, &b, &at, &len, NULL), 0);
	assert_int_equal(node_encoder_xattrs(e, "\1", 1, NULL), ERR_BUG);
	node_encoder_free(e);
	buf_release(&x);
	return b;
}

static void test_node__piece_of_xattrs_comes_back(void **state)
{
	struct buf b = xattr_piece_of();
	struct node *node = decoded(&b);
	(void)state;
	assert_int_equal(node->type, NODE_XATTRS);
	assert_int_equal(node->xattrs_len, 26);
	assert_true(xattrs_ok(node->xattrs, node->xattrs_len));
	node_free(node);
	buf_release(&b);
}

/* ---- damage ---- */

/* What a reader relies on, whatever the bytes were; touches all memory, so that a wrong pointer is found. */
static void check_well_formed(const struct node *node)
{
	assert_true(node->count > 0);
	for (uint32_t i = 0; node->type == NODE_LEAF && i < node->count; i++) {
		const struct entry *e = &node->list[i];
		uint64_t sum = 0;
		assert_true(entry_key_ok(e->key, e->key_len));
		assert_true(i == 0 || key_order(e[-1].key, e[-1].key_len, e->key, e->key_len) < 0);
		assert_true(strlen(e->user) <= 255 && strlen(e->group) <= 255);
		for (uint32_t k = 0; k < e->extent_count; k++) {
			assert_true(e->extents[k].ref == EXTENT_HOLE || e->extents[k].ref < e->ref_count);
			sum += e->extents[k].length;
		}
		for (uint32_t k = 0; k < e->piece_count; k++) {
			assert_true(e->pieces[k].ref < e->ref_count);
			sum += e->pieces[k].length;
		}
		assert_true(!S_ISREG(e->mode) || sum == e->size);
		assert_true(e->xattr_ref == EXTENT_HOLE || e->xattr_ref < e->ref_count);
		assert_true(xattrs_ok(e->xattrs, e->xattrs_len));
		assert_true(e->target_len == 0 || !memchr(e->target, 0, e->target_len));
	}
	for (uint32_t i = 0; node->type == NODE_INNER && i < node->count; i++) {
		const struct node_child *c = &node->children[i];
		assert_true(entry_key_ok(c->key, c->key_len) && c->ref < node->ref_count && c->entries > 0);
		assert_true(i == 0 || key_order(c[-1].key, c[-1].key_len, c->key, c->key_len) < 0);
	}
	for (uint32_t i = 0; node->type == NODE_EXTENTS && i < node->count; i++)
		assert_true(node->extents[i].ref == EXTENT_HOLE || node->extents[i].ref < node->ref_count);
	for (uint32_t i = 0; i < node->ref_count; i++)
		assert_true(node->refs[i].depth <= CHUNK_DEPTH_MAX);
}

static unsigned try_decode(const uint8_t *data, size_t len)
{
	struct node *node = NULL;
	struct error err = ERROR_INIT;
	/* Memory of its own, so that a read past the end is seen. */
	uint8_t *own = malloc(len + 1);
	assert_non_null(own);
	memcpy(own, data, len);
	own = realloc(own, len ? len : 1);
	int status = node_decode(own, len, &node, &err);
	free(own);
	if (status == 0) {
		check_well_formed(node);
		node_free(node);
		return 1;
	}
	assert_int_equal(status, ERR_CORRUPT);
	assert_null(node);
	return 0;
}

static void damage(struct buf b)
{
	static const uint8_t flips[] = {0x01, 0x80, 0xff, 0x04, 0x20};
	for (size_t i = 0; i < b.len; i++) {
		for (size_t k = 0; k < sizeof(flips); k++) {
			b.data[i] ^= flips[k];
			try_decode(b.data, b.len);
			b.data[i] ^= flips[k];
		}
	}
	for (size_t len = 0; len < b.len; len++)
		assert_int_equal(try_decode(b.data, len), 0);
	buf_put_u8(&b, 0);
	assert_int_equal(try_decode(b.data, b.len), 0);
	buf_release(&b);
}

static void test_node_decode__damaged_bytes_are_an_error_or_a_node_that_holds_together(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed < 6; seed++) {
		struct draw d = {seed};
		struct model m;
		model_draw(&m, &d, seed * 5);
		damage(leaf_of(&m));
		model_release(&m);
	}
	damage(inner_of(20, 3));
	damage(piece_of());
	damage(xattr_piece_of());
}

static void test_node_decode__random_bytes_are_an_error(void **state)
{
	struct draw d = {1};
	uint8_t data[300];
	(void)state;
	for (int i = 0; i < 20000; i++) {
		size_t len = draw_below(&d, sizeof(data));
		draw_bytes(&d, data, len);
		if (len > 6) {
			uint32_t content = (uint32_t)draw_below(&d, len - 3);
			memcpy(data, &content, 4);
			data[4] = (uint8_t)(1 + draw_below(&d, 4));
			data[5] = 0;
		}
		try_decode(data, len);
	}
}

static void test_node_encoder__refuses_what_could_not_be_read(void **state)
{
	(void)state;
	for (int what = 0; what < 12; what++) {
		struct node_encoder *e = node_encoder_new(NODE_LEAF, 0);
		struct extent x = {.length = 10, .ref = 0};
		struct chunk_ref ref = {.id = {{5}}};
		struct entry entry = {.key = (const uint8_t *)"\0a",
			.key_len = 2,
			.mode = S_IFREG | 0644,
			.user = "",
			.group = "",
			.nlink = 1,
			.size = 10,
			.xattr_ref = EXTENT_HOLE,
			.extents = &x,
			.extent_count = 1,
			.refs = &ref,
			.ref_count = 1};
		assert_int_equal(node_encoder_entry(e, &entry, NULL), 0);
		entry.key = (const uint8_t *)"\0b";
		entry.size -= what == 0;
		x.ref += what == 1;
		entry.mtime.nsec = what == 2 ? 1000000000 : 0;
		entry.mode = what == 3 ? 0644 : entry.mode;
		entry.mode = what == 4 ? S_IFLNK | 0777 : entry.mode;
		entry.key_len -= what == 5;
		entry.key = what == 6 ? (const uint8_t *)"\0a" : entry.key;
		entry.key = what == 7 ? (const uint8_t *)"\0/" : entry.key;
		entry.xattr_ref = what == 8 ? 1 : entry.xattr_ref;
		x.offset = what == 9 ? CHUNK_PLAIN_MAX : 0;
		entry.xattrs = (const uint8_t *)"\7";
		entry.xattrs_len = what == 10;
		ref.depth = what == 11 ? CHUNK_DEPTH_MAX + 1 : 0;
		ref.id.b[0] = 6;
		assert_int_equal(node_encoder_entry(e, &entry, NULL), ERR_BUG);
		node_encoder_free(e);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_node__leaf_comes_back_as_it_was),
		cmocka_unit_test(test_node_encoder__used_again_encodes_the_same),
		cmocka_unit_test(test_node__decoded_leaf_encodes_to_the_same_bytes),
		cmocka_unit_test(test_node__content_does_not_depend_on_locators),
		cmocka_unit_test(test_node__bytes_are_as_specified),
		cmocka_unit_test(test_node__inner_comes_back_with_sums_and_ranks),
		cmocka_unit_test(test_node__sums_of_children_that_overflow_are_corruption),
		cmocka_unit_test(test_node_search__finds_the_last_key_not_above),
		cmocka_unit_test(test_node__piece_of_extents_comes_back),
		cmocka_unit_test(test_node__piece_of_xattrs_comes_back),
		cmocka_unit_test(test_node_decode__damaged_bytes_are_an_error_or_a_node_that_holds_together),
		cmocka_unit_test(test_node_decode__random_bytes_are_an_error),
		cmocka_unit_test(test_node_encoder__refuses_what_could_not_be_read),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
