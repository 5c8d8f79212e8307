/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/clock.h"
#include "reader_made.h"

enum { KIB = 1 << 10, MIB = 1 << 20 };

static struct reader_file *open_file(struct reader *r, const struct made_file *f)
{
	struct reader_file *file = NULL;
	assert_int_equal(reader_file_open(r, &f->entry, &file, NULL), 0);
	assert_int_equal(reader_file_size(file), f->entry.size);
	return file;
}

/* What a map answers must be the model's bytes, and as many as were asked for. */
static void expect_map(struct reader *r, struct reader_file *file, const struct made_file *f, uint64_t off, size_t len)
{
	static const uint8_t zeros[512 * KIB];
	struct reader_span spans[READER_SPANS_MAX];
	struct error err = ERROR_INIT;
	size_t count = 0, done = 0;
	size_t want = off >= f->entry.size ? 0 : (size_t)min_u64(len, f->entry.size - off);
	if (reader_file_map(file, off, len, spans, READER_SPANS_MAX, &count, &err) != 0)
		fail_msg("%s", error_text(&err));
	for (size_t i = 0; i < count; i++) {
		assert_true(done + spans[i].len <= want);
		assert_int_equal(spans[i].data == NULL, spans[i].chunk == NULL);
		assert_int_equal(spans[i].data == NULL, reader_made_is_hole(f, off + done));
		assert_memory_equal(spans[i].data ? spans[i].data : zeros, f->bytes + off + done, spans[i].len);
		done += spans[i].len;
	}
	assert_int_equal(done, want);
	reader_spans_release(r, spans, count);
}

static void expect_read(struct reader_file *file, const struct made_file *f, uint64_t off, size_t len)
{
	uint8_t *got = malloc(len + 1);
	size_t n = 12345, want = off >= f->entry.size ? 0 : (size_t)min_u64(len, f->entry.size - off);
	assert_int_equal(reader_file_read(file, off, got, len, &n, NULL), 0);
	assert_int_equal(n, want);
	assert_memory_equal(got, f->bytes + (want > 0 ? off : 0), want);
	free(got);
}

static void test_reader_file__reads_anywhere_what_the_model_has(void **state)
{
	(void)state;
	for (unsigned seed = 0; seed < 4; seed++) {
		struct reader_made m;
		struct made_file f;
		reader_made_open(&m, 30, 1, 500 * KIB, seed % 2);
		reader_made_file(&m, &f, 60, seed == 3, seed);
		struct reader *r = reader_made_reader(&m, 1, 2);
		struct reader_file *file = open_file(r, &f);
		for (int i = 0; i < 300; i++) {
			uint64_t off = (uint64_t)rand() % (f.entry.size + 100);
			size_t len = (size_t)rand() % (i % 3 == 0 ? 900 * KIB : 5000);
			if (i % 2)
				expect_map(r, file, &f, off, len);
			else
				expect_read(file, &f, off, len);
		}
		expect_read(file, &f, f.entry.size, 10);
		expect_read(file, &f, UINT64_MAX, 10);
		expect_read(file, &f, f.entry.size - 1, 10);
		reader_file_close(file);
		reader_close(r);
		reader_made_file_free(&f);
		reader_made_close(&m);
	}
}

static void test_reader_file_open__extents_that_do_not_add_up_are_refused(void **state)
{
	(void)state;
	struct reader_made m;
	struct made_file f;
	struct reader_file *file;
	reader_made_open(&m, 3, 100, 500, false);
	reader_made_file(&m, &f, 3, true, 1);
	struct reader *r = reader_made_reader(&m, 0, 1);
	f.entry.size++;
	assert_int_equal(reader_file_open(r, &f.entry, &file, NULL), ERR_CORRUPT);
	f.entry.size--;
	f.extents[1].length = UINT64_MAX;
	assert_int_equal(reader_file_open(r, &f.entry, &file, NULL), ERR_CORRUPT);
	/* Longer than its chunk: told when it is read, what is before it reads. */
	f.extents[1].length = m.chunks[1].len + 1u;
	f.entry.size++;
	assert_int_equal(reader_file_open(r, &f.entry, &file, NULL), 0);
	struct reader_span spans[8];
	size_t count;
	assert_int_equal(reader_file_map(file, 0, 1 * MIB, spans, 8, &count, NULL), ERR_CORRUPT);
	assert_int_equal(reader_file_map(file, 0, m.chunks[0].len, spans, 8, &count, NULL), 0);
	assert_int_equal(count, 1);
	reader_spans_release(r, spans, count);
	reader_file_close(file);
	reader_close(r);
	reader_made_file_free(&f);
	reader_made_close(&m);
}

static void test_reader_file_open__an_empty_file_has_no_bytes(void **state)
{
	(void)state;
	struct reader_made m;
	struct made_file f;
	reader_made_open(&m, 1, 100, 500, false);
	reader_made_file(&m, &f, 0, true, 1);
	struct reader *r = reader_made_reader(&m, 0, 1);
	struct reader_file *file = open_file(r, &f);
	uint64_t off;
	expect_map(r, file, &f, 0, 100);
	expect_read(file, &f, 0, 100);
	assert_int_equal(reader_file_seek(file, 0, true, &off, NULL), ERR_NOT_FOUND);
	assert_int_equal(reader_file_seek(file, 0, false, &off, NULL), ERR_NOT_FOUND);
	reader_file_close(file);
	reader_close(r);
	reader_made_file_free(&f);
	reader_made_close(&m);
}

static void test_reader_file_seek__finds_data_and_holes(void **state)
{
	(void)state;
	struct reader_made m;
	struct made_file f;
	reader_made_open(&m, 10, 1, 5000, false);
	reader_made_file(&m, &f, 30, false, 5);
	struct reader *r = reader_made_reader(&m, 0, 1);
	struct reader_file *file = open_file(r, &f);
	for (int i = 0; i < 400; i++) {
		uint64_t from = (uint64_t)rand() % (f.entry.size + 5), want = from, got = 0;
		bool data = i % 2;
		while (want < f.entry.size && reader_made_is_hole(&f, want) == data)
			want++;
		int status = reader_file_seek(file, from, data, &got, NULL);
		if (from >= f.entry.size || (data && want == f.entry.size)) {
			assert_int_equal(status, ERR_NOT_FOUND);
			continue;
		}
		assert_int_equal(status, 0);
		assert_int_equal(got, want);
	}
	reader_file_close(file);
	reader_close(r);
	reader_made_file_free(&f);
	reader_made_close(&m);
}

static void test_reader_file_map__stops_at_the_last_span(void **state)
{
	(void)state;
	struct reader_made m;
	struct made_file f;
	struct reader_span spans[3];
	size_t count;
	reader_made_open(&m, 10, 100, 200, false);
	reader_made_file(&m, &f, 10, true, 1);
	struct reader *r = reader_made_reader(&m, 0, 1);
	struct reader_file *file = open_file(r, &f);
	assert_int_equal(reader_file_map(file, 5, 1000, spans, 3, &count, NULL), 0);
	assert_int_equal(count, 3);
	assert_int_equal(spans[0].len, m.chunks[0].len - 5);
	assert_int_equal(spans[2].len, m.chunks[2].len);
	reader_spans_release(r, spans, count);
	reader_file_close(file);
	reader_close(r);
	reader_made_file_free(&f);
	reader_made_close(&m);
}

/* Through once, from the start: each chunk comes once, and on a line by far fewer requests than there are chunks. */
static void test_reader_file__reading_on_fetches_each_chunk_once(void **state)
{
	(void)state;
	for (int remote = 0; remote < 2; remote++) {
		struct reader_made m;
		struct made_file f;
		struct reader_stats stats;
		reader_made_open(&m, 120, 200 * KIB, 400 * KIB, remote);
		reader_made_file(&m, &f, 120, true, 1);
		struct reader *r = reader_made_reader(&m, 64 * MIB, 2);
		struct reader_file *file = open_file(r, &f);
		for (uint64_t off = 0; off < f.entry.size; off += 256 * KIB)
			expect_map(r, file, &f, off, 256 * KIB);
		reader_get_stats(r, &stats);
		assert_int_equal(stats.decoded_bytes, f.entry.size);
		assert_true(stats.requests <= (remote ? 60 : 122));
		assert_true(stats.cache_bytes <= stats.cache_cap);
		reader_file_close(file);
		reader_close(r);
		reader_made_file_free(&f);
		reader_made_close(&m);
	}
}

static void test_reader_file__random_reads_fetch_nothing_else(void **state)
{
	(void)state;
	struct reader_made m;
	struct made_file f;
	struct reader_stats stats;
	reader_made_open(&m, 40, MIB, MIB + KIB, true);
	reader_made_file(&m, &f, 40, true, 1);
	struct reader *r = reader_made_reader(&m, 64 * MIB, 2);
	struct reader_file *file = open_file(r, &f);
	/* Every fifth chunk, from the end. */
	for (int i = 39; i > 0; i -= 5)
		expect_map(r, file, &f, (uint64_t)i * MIB + 300000, 4096);
	reader_get_stats(r, &stats);
	assert_int_equal(stats.misses, 8);
	assert_true(stats.decoded_bytes <= 8 * (MIB + KIB));
	reader_file_close(file);
	reader_close(r);
	reader_made_file_free(&f);
	reader_made_close(&m);
}

/* A scan of what is far larger than the cache leaves alone what others use. */
static void test_reader_file__reading_on_does_not_throw_out_what_is_in_use(void **state)
{
	(void)state;
	struct reader_made m;
	struct made_file f;
	reader_made_open(&m, 100, MIB, MIB + KIB, false);
	reader_made_file(&m, &f, 90, true, 1);
	struct reader *r = reader_made_reader(&m, 1, 2);
	struct reader_file *file = open_file(r, &f);
	const struct chunk *chunk;
	for (size_t i = 95; i < 190; i++) {
		assert_int_equal(reader_chunk(r, &m.chunks[95 + i % 5].ref, &chunk, NULL), 0);
		reader_release(r, chunk);
	}
	for (uint64_t off = 0; off < f.entry.size; off += 512 * KIB)
		expect_map(r, file, &f, off, 512 * KIB);
	for (size_t i = 95; i < 100; i++) {
		chunk = reader_chunk_cached(r, &m.chunks[i].ref.id);
		assert_non_null(chunk);
		reader_release(r, chunk);
	}
	reader_file_close(file);
	reader_close(r);
	reader_made_file_free(&f);
	reader_made_close(&m);
}

/* ---- many threads, a cache that is too small for them ---- */

enum { THREADS = 8 };

struct mapper {
	struct reader *r;
	struct reader_file *file;
	const struct made_file *f;
	unsigned seed;
	pthread_t thread;
	atomic_uint *wrong;
};

static void *map_main(void *arg)
{
	struct mapper *a = arg;
	for (int i = 0; i < 60; i++) {
		struct reader_span spans[READER_SPANS_MAX];
		struct reader_stats stats;
		size_t count = 0;
		a->seed = a->seed * 1103515245u + 12345u;
		uint64_t off = (a->seed >> 4) % a->f->entry.size, at = off;
		if (reader_file_map(a->file, off, MIB, spans, READER_SPANS_MAX, &count, NULL) != 0)
			atomic_fetch_add(a->wrong, 1);
		reader_get_stats(a->r, &stats);
		if (stats.cache_bytes > stats.cache_cap)
			atomic_fetch_add(a->wrong, 1);
		for (size_t k = 0; k < count; at += spans[k++].len)
			if (spans[k].data != NULL &&
				memcmp(spans[k].data, a->f->bytes + at, 64 < spans[k].len ? 64 : 1) != 0)
				atomic_fetch_add(a->wrong, 1);
		if (at < a->f->entry.size && at - off != MIB)
			atomic_fetch_add(a->wrong, 1);
		reader_spans_release(a->r, spans, count);
	}
	return NULL;
}

static void test_reader_file_map__eight_threads_share_a_small_cache(void **state)
{
	(void)state;
	for (int remote = 0; remote < 2; remote++) {
		struct reader_made m;
		struct made_file f;
		struct mapper mappers[THREADS];
		atomic_uint wrong;
		atomic_init(&wrong, 0);
		reader_made_open(&m, 60, 500 * KIB, 2500 * KIB, remote);
		reader_made_file(&m, &f, 60, true, 1);
		struct reader *r = reader_made_reader(&m, 1, 2);
		struct reader_file *file = open_file(r, &f);
		for (unsigned i = 0; i < THREADS; i++) {
			mappers[i] = (struct mapper){.r = r, .file = file, .f = &f, .seed = i, .wrong = &wrong};
			assert_int_equal(pthread_create(&mappers[i].thread, NULL, map_main, &mappers[i]), 0);
		}
		for (unsigned i = 0; i < THREADS; i++)
			pthread_join(mappers[i].thread, NULL);
		assert_int_equal(atomic_load(&wrong), 0);
		reader_file_close(file);
		reader_close(r);
		reader_made_file_free(&f);
		reader_made_close(&m);
	}
}

/* ---- nodes ---- */

struct tree_made {
	struct session *session;
	struct writer *w;
	struct tree_keys keys;
};

static void tree_begin(struct reader_made *m, struct tree_made *t)
{
	struct writer_options options = {.compression = 1, .threads = 1};
	t->keys = (struct tree_keys){.hash = m->repo->config.hash,
		.node_id_key = m->repo->sec->node_id_key,
		.node_cut_key = m->repo->sec->node_cut_key,
		.target = 20};
	assert_int_equal(session_begin(m->repo, m->catalog, "t", &t->session, NULL), 0);
	assert_int_equal(writer_open(t->session, &options, &t->w, NULL), 0);
}

static void tree_end(struct tree_made *t)
{
	assert_int_equal(writer_finish(t->w, NULL), 0);
	writer_free(t->w);
	session_free(t->session);
}

static void add_files(struct tree_builder *b, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		struct buf key = {0};
		char name[32];
		(void)snprintf(name, sizeof(name), "file %08u", i);
		entry_key_put(&key, NULL, 0, name, strlen(name));
		struct entry e = {.key = key.data,
			.key_len = key.len,
			.mode = 0100600,
			.user = "root",
			.group = "root",
			.nlink = 1,
			.inode = i,
			.xattr_ref = EXTENT_HOLE};
		assert_int_equal(tree_builder_add(b, &e, NULL), 0);
		buf_release(&key);
	}
}

/* A tree of so many empty files; its root node as a snapshot would carry it. */
static struct tree_root make_tree(
	struct reader_made *m, uint32_t count, struct buf *sealed, uint8_t key[static FORMAT_KEY_LEN])
{
	struct tree_made t;
	struct tree_builder *b = NULL;
	struct tree_root root;
	tree_begin(m, &t);
	assert_int_equal(tree_builder_new(&t.keys, writer_node_sink(t.w), &b, NULL), 0);
	add_files(b, count);
	assert_int_equal(tree_builder_finish(b, &root, NULL), 0);
	tree_builder_free(b);
	assert_true(writer_root_node(t.w, &root.ref.id, sealed, key));
	tree_end(&t);
	return root;
}

static uint64_t walk(struct reader *r, const struct tree_root *root)
{
	struct tree_cursor *c = NULL;
	uint64_t n = 0;
	assert_int_equal(tree_cursor_new(reader_nodes(r), root, &c, NULL), 0);
	while (tree_cursor_entry(c) != NULL) {
		assert_int_equal(tree_cursor_entry(c)->inode, n);
		n++;
		if (tree_cursor_next(c, NULL) != 0)
			break;
	}
	tree_cursor_free(c);
	return n;
}

static void test_reader_nodes__a_tree_is_walked_through_a_small_cache(void **state)
{
	(void)state;
	for (int remote = 0; remote < 2; remote++) {
		struct reader_made m;
		struct buf sealed = {0};
		uint8_t key[FORMAT_KEY_LEN];
		struct reader_stats stats;
		reader_made_open(&m, 1, 100, 500, remote);
		struct tree_root root = make_tree(&m, 8000, &sealed, key);
		assert_true(root.level >= 2);
		struct reader *r = reader_made_reader(&m, 1, 2);
		for (int i = 0; i < 3; i++)
			assert_int_equal(walk(r, &root), 8000);
		reader_get_stats(r, &stats);
		assert_true(stats.cache_bytes <= stats.cache_cap);
		reader_close(r);
		buf_release(&sealed);
		reader_made_close(&m);
	}
}

static void test_reader_warm_tree__then_a_walk_asks_for_nothing(void **state)
{
	(void)state;
	struct reader_made m;
	struct buf sealed = {0};
	uint8_t key[FORMAT_KEY_LEN];
	struct reader_stats stats;
	reader_made_open(&m, 1, 100, 500, true);
	struct tree_root root = make_tree(&m, 8000, &sealed, key);
	struct reader *r = reader_made_reader(&m, 0, 2);
	reader_warm_tree(r, &root);
	reader_get_stats(r, &stats);
	/* All leaves were told; the walk awaits them. There are some 400 of them. */
	assert_int_equal(walk(r, &root), 8000);
	reader_get_stats(r, &stats);
	assert_true(stats.requests <= 40);
	reader_close(r);
	buf_release(&sealed);
	reader_made_close(&m);
}

static void test_reader_seed_root__costs_no_request_and_believes_no_other_key(void **state)
{
	(void)state;
	struct reader_made m;
	struct buf sealed = {0};
	uint8_t key[FORMAT_KEY_LEN];
	const struct node *node = NULL;
	reader_made_open(&m, 1, 100, 500, true);
	struct tree_root root = make_tree(&m, 20, &sealed, key);
	for (int i = 0; i < 4; i++) {
		struct reader *r = reader_made_reader(&m, 0, 1);
		struct node_source *nodes = reader_nodes(r);
		uint64_t before = store_fault_calls(m.repo->store, FAULT_GET);
		uint8_t other[FORMAT_KEY_LEN];
		memcpy(other, key, sizeof(other));
		other[3] ^= (uint8_t)(i == 1);
		if (i == 2)
			sealed.data[7] ^= 1;
		reader_seed_root(r, &root, sealed.data, sealed.len - (i == 3), other);
		if (i == 2)
			sealed.data[7] ^= 1;
		assert_int_equal(store_fault_calls(m.repo->store, FAULT_GET), before);
		assert_int_equal(nodes->get(nodes, &root.ref, &node, NULL), 0);
		assert_int_equal(node->entries, 20);
		nodes->put(nodes, node);
		assert_int_equal(store_fault_calls(m.repo->store, FAULT_GET) - before, i == 0 ? 0 : i == 2 ? 1 : 2);
		reader_close(r);
	}
	buf_release(&sealed);
	reader_made_close(&m);
}

/* So many extents that they stand in pieces of their own. */
static void test_reader_file__a_long_list_of_extents(void **state)
{
	(void)state;
	for (int remote = 0; remote < 2; remote++) {
		struct reader_made m;
		struct made_file f;
		struct tree_made t;
		struct extent_writer *w = NULL;
		reader_made_open(&m, 300, 10, 200, remote);
		reader_made_file(&m, &f, ENTRY_PIECE_EXTENTS + 777, false, 3);
		tree_begin(&m, &t);
		assert_int_equal(extent_writer_new(&t.keys, writer_node_sink(t.w), &w, NULL), 0);
		for (uint32_t i = 0; i < f.entry.extent_count; i++) {
			const struct extent *x = &f.extents[i];
			assert_int_equal(extent_writer_add(w, x->length, x->ref == EXTENT_HOLE ? NULL : &f.refs[x->ref],
						 x->offset, NULL),
				0);
		}
		struct entry list = f.entry;
		assert_int_equal(extent_writer_finish(w, &f.entry, NULL), 0);
		assert_true(f.entry.piece_count > 1);
		tree_end(&t);
		struct reader *r = reader_made_reader(&m, 0, 2);
		struct reader_file *file = open_file(r, &f);
		f.entry.extent_count = list.extent_count;
		for (int i = 0; i < 100; i++) {
			uint64_t off = (((uint64_t)rand() << 20) + (uint64_t)rand()) % f.entry.size;
			expect_read(file, &f, off, (size_t)rand() % 60000);
			expect_map(r, file, &f, off, (size_t)rand() % 5000);
		}
		for (uint64_t off = 0; off < 20 * MIB; off += 200 * KIB)
			expect_read(file, &f, off, 200 * KIB);
		for (int i = 0; i < 20; i++) {
			uint64_t off = (((uint64_t)rand() << 20) + (uint64_t)rand()) % f.entry.size, got;
			if (reader_file_seek(file, off, i % 2, &got, NULL) == 0)
				assert_int_equal(reader_made_is_hole(&f, got), i % 2 == 0);
		}
		reader_file_close(file);
		reader_close(r);
		extent_writer_free(w);
		reader_made_file_free(&f);
		reader_made_close(&m);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reader_file__reads_anywhere_what_the_model_has),
		cmocka_unit_test(test_reader_file_open__extents_that_do_not_add_up_are_refused),
		cmocka_unit_test(test_reader_file_open__an_empty_file_has_no_bytes),
		cmocka_unit_test(test_reader_file_seek__finds_data_and_holes),
		cmocka_unit_test(test_reader_file_map__stops_at_the_last_span),
		cmocka_unit_test(test_reader_file__reading_on_fetches_each_chunk_once),
		cmocka_unit_test(test_reader_file__random_reads_fetch_nothing_else),
		cmocka_unit_test(test_reader_file__reading_on_does_not_throw_out_what_is_in_use),
		cmocka_unit_test(test_reader_file_map__eight_threads_share_a_small_cache),
		cmocka_unit_test(test_reader_nodes__a_tree_is_walked_through_a_small_cache),
		cmocka_unit_test(test_reader_warm_tree__then_a_walk_asks_for_nothing),
		cmocka_unit_test(test_reader_seed_root__costs_no_request_and_believes_no_other_key),
		cmocka_unit_test(test_reader_file__a_long_list_of_extents),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
