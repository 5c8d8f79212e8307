/* SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "archive/pack.h"
#include "archive/segment.h"
#include "archive/writer.h"
#include "archive_fixture.h"
#include "base/checked.h"

/* ---- a session with its writer ---- */

struct work {
	struct archive_fixture *f;
	struct session *session;
	struct writer *w;
};

static struct work begin(struct archive_fixture *f, struct catalog *catalog)
{
	struct work k = {.f = f};
	struct writer_options options = {.compression = 1, .threads = 3};
	struct error err = ERROR_INIT;

	if (session_begin(f->repo, catalog, "t", &k.session, &err) < 0 ||
		writer_open(k.session, &options, &k.w, &err) < 0)
		fail_msg("%s", error_text(&err));
	return k;
}

static void end(struct work *k)
{
	writer_free(k->w);
	session_abandon(k->session, NULL);
	session_free(k->session);
}

/* What became of a chunk; written by a worker, read after writer_finish(). */
struct outcome {
	int calls, status;
	bool is_new;
	struct chunk_ref ref;
};

static void done(void *arg, int status, const struct chunk_ref *ref, bool is_new)
{
	struct outcome *o = arg;

	o->calls++;
	o->status = status;
	o->is_new = is_new;
	if (status == 0)
		o->ref = *ref;
}

/* False when the writer has failed. */
static bool submit(struct work *k, uint32_t seed, size_t len, struct outcome *o)
{
	struct writer_buffer *b = writer_buffer(k->w);

	*o = (struct outcome){0};
	if (b == NULL)
		return false;
	uint8_t *p = archive_fixture_bytes(len, seed);
	memcpy(b->data, p, len);
	b->len = (uint32_t)len;
	free(p);
	writer_submit(k->w, b, done, o);
	return true;
}

static void expect_reads(struct archive_fixture *f, const struct outcome *o, uint32_t seed, size_t len)
{
	struct reader *reader = NULL;
	const struct chunk *chunk = NULL;
	struct reader_options options = {.threads = 1};
	struct error err = ERROR_INIT;

	assert_int_equal(reader_open(f->repo, &options, &reader, NULL), 0);
	if (reader_chunk(reader, &o->ref, &chunk, &err) < 0)
		fail_msg("%s", error_text(&err));
	uint8_t *p = archive_fixture_bytes(len, seed);
	assert_int_equal(chunk->len, len);
	assert_memory_equal(chunk->data, p, len);
	free(p);
	reader_release(reader, chunk);
	reader_close(reader);
}

static void expect_same_ref(const struct chunk_ref *a, const struct chunk_ref *b)
{
	assert_true(id_equal(&a->id, &b->id));
	assert_int_equal(a->depth, b->depth);
	assert_true(id_equal(&a->chain[0].pack, &b->chain[0].pack));
	assert_int_equal(a->chain[0].offset, b->chain[0].offset);
	assert_int_equal(a->chain[0].stored, b->chain[0].stored);
	assert_int_equal(a->chain[0].plain, b->chain[0].plain);
}

/* ---- what is stored, and how often ---- */

static void test_writer__equal_chunks_are_stored_once_in_a_session(void **state)
{
	struct archive_fixture *f = *state;
	struct work k = begin(f, f->catalog);
	struct writer_stats stats;
	enum { COUNT = 60, KINDS = 5, LEN = 50000 };
	static struct outcome o[COUNT];

	for (uint32_t i = 0; i < COUNT; i++)
		assert_true(submit(&k, i % KINDS, LEN, &o[i]));
	assert_int_equal(writer_finish(k.w, NULL), 0);
	int fresh = 0;
	for (uint32_t i = 0; i < COUNT; i++) {
		assert_int_equal(o[i].calls, 1);
		assert_int_equal(o[i].status, 0);
		expect_same_ref(&o[i].ref, &o[i % KINDS].ref);
		fresh += o[i].is_new ? 1 : 0;
	}
	assert_int_equal(fresh, KINDS);
	writer_get_stats(k.w, &stats);
	assert_int_equal(stats.chunks, COUNT);
	assert_int_equal(stats.new_chunks, KINDS);
	assert_int_equal(stats.new_bytes, KINDS * LEN);
	for (uint32_t i = 0; i < KINDS; i++)
		expect_reads(f, &o[i], i, LEN);
	end(&k);
}

struct submitter {
	struct work *k;
	struct outcome *o;
	uint32_t count;
};

static void *submit_main(void *arg)
{
	struct submitter *s = arg;

	for (uint32_t i = 0; i < s->count; i++)
		assert_true(submit(s->k, i, 20000, &s->o[i]));
	return NULL;
}

static void test_writer__threads_that_store_the_same_at_once_store_it_once(void **state)
{
	struct archive_fixture *f = *state;
	struct work k = begin(f, f->catalog);
	struct writer_stats stats;
	enum { THREADS = 4, COUNT = 100 };
	static struct outcome o[THREADS][COUNT];
	pthread_t threads[THREADS];
	struct submitter s[THREADS];

	for (int i = 0; i < THREADS; i++) {
		s[i] = (struct submitter){.k = &k, .o = o[i], .count = COUNT};
		assert_int_equal(pthread_create(&threads[i], NULL, submit_main, &s[i]), 0);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(writer_finish(k.w, NULL), 0);
	writer_get_stats(k.w, &stats);
	assert_int_equal(stats.new_chunks, COUNT);
	for (int i = 1; i < THREADS; i++)
		for (int n = 0; n < COUNT; n++)
			expect_same_ref(&o[i][n].ref, &o[0][n].ref);
	end(&k);
}

static void test_writer__what_an_earlier_session_stored_is_known(void **state)
{
	struct archive_fixture *f = *state;
	struct outcome first, again;
	struct work k = begin(f, f->catalog);

	assert_true(submit(&k, 1, 1000, &first));
	assert_int_equal(writer_finish(k.w, NULL), 0);
	end(&k);
	k = begin(f, f->catalog);
	assert_true(submit(&k, 1, 1000, &again));
	assert_int_equal(writer_finish(k.w, NULL), 0);
	assert_false(again.is_new);
	expect_same_ref(&again.ref, &first.ref);
	end(&k);
}

/* A prune may take these packs: what lies in them is stored again, and referred to there. */
static void test_writer__what_lies_in_a_banned_pack_is_stored_again(void **state)
{
	struct archive_fixture *f = *state;
	struct outcome first, again;
	struct work k = begin(f, f->catalog);

	assert_true(submit(&k, 1, 1000, &first));
	assert_int_equal(writer_finish(k.w, NULL), 0);
	end(&k);
	k = begin(f, f->catalog);
	struct id *before = k.session->banned;
	k.session->banned = &first.ref.chain[0].pack;
	k.session->banned_count = 1;
	assert_true(submit(&k, 1, 1000, &again));
	assert_int_equal(writer_finish(k.w, NULL), 0);
	assert_true(again.is_new);
	assert_memory_not_equal(&again.ref.chain[0].pack, &first.ref.chain[0].pack, sizeof(struct id));
	expect_reads(f, &again, 1, 1000);
	k.session->banned = before;
	k.session->banned_count = 0;
	end(&k);
}

static void test_writer__a_full_pack_is_closed_and_another_begun(void **state)
{
	struct archive_fixture *f = *state;
	enum { COUNT = 40, LEN = 60000 };
	static struct outcome o[COUNT];
	struct writer_stats stats;

	f->repo->config.pack_size = 300000;
	struct work k = begin(f, f->catalog);
	for (uint32_t i = 0; i < COUNT; i++)
		assert_true(submit(&k, i, LEN, &o[i]));
	assert_int_equal(writer_finish(k.w, NULL), 0);
	writer_get_stats(k.w, &stats);
	assert_true(stats.packs >= 4);
	for (uint32_t i = 0; i < COUNT; i++)
		expect_reads(f, &o[i], i, LEN);
	end(&k);
}

static void test_writer__an_empty_session_puts_no_pack(void **state)
{
	struct archive_fixture *f = *state;
	struct work k = begin(f, f->catalog);
	uint64_t puts = store_fault_calls(f->store, FAULT_PUT);

	assert_int_equal(writer_finish(k.w, NULL), 0);
	assert_int_equal(store_fault_calls(f->store, FAULT_PUT), puts);
	end(&k);
}

/* Nobody waits for what was handed in and never finished. */
static void test_writer__one_that_is_dropped_answers_all_and_ends(void **state)
{
	struct archive_fixture *f = *state;
	enum { COUNT = 30 };
	static struct outcome o[COUNT];
	struct work k = begin(f, f->catalog);
	struct writer_buffer *unused = writer_buffer(k.w);

	for (uint32_t i = 0; i < COUNT; i++)
		assert_true(submit(&k, i, 10000, &o[i]));
	writer_buffer_drop(k.w, unused);
	end(&k);
	for (uint32_t i = 0; i < COUNT; i++)
		assert_int_equal(o[i].calls, 1);
}

/* ---- failures ---- */

/* Stores some chunks and nodes while the nth put fails. 0 or the writer's failure; each chunk was answered once. */
static int run_failing(struct archive_fixture *f, struct catalog *catalog)
{
	enum { COUNT = 24, LEN = 60000 };
	static struct outcome o[COUNT];
	struct work k = begin(f, catalog);
	struct node_sink *sink = writer_node_sink(k.w);
	struct error err = ERROR_INIT;
	uint32_t sent = 0;

	while (sent < COUNT && submit(&k, 100 + sent, LEN, &o[sent])) {
		struct chunk_ref ref;
		struct id id = {{(uint8_t)sent, 1}};
		uint8_t *p = archive_fixture_bytes(1000, sent);
		(void)sink->store(sink, &id, p, 1000, &ref, NULL);
		free(p);
		sent++;
	}
	int r = writer_finish(k.w, &err);
	if (r < 0)
		assert_string_not_equal(error_text(&err), "no error");
	for (uint32_t i = 0; i < sent; i++)
		assert_int_equal(o[i].calls, 1);
	for (uint32_t i = 0; r == 0 && i < sent; i++)
		expect_reads(f, &o[i], 100 + i, LEN);
	end(&k);
	return r;
}

static void test_writer__any_put_may_fail(void **state)
{
	struct archive_fixture *f = *state;
	bool met = true;

	f->repo->config.pack_size = 300000;
	for (uint64_t n = 2; met; n++) { /* the first is the session's wrap */
		struct fault_rule rule = {.kind = FAULT_FAIL,
			.ops = FAULT_PUT,
			.nth = n,
			.code = ERR_NO_SPACE,
			.count = 3,
			.prefix = n % 2 == 0 ? "packs/" : NULL};
		struct catalog_options options = {.repository = f->repo->config.repository};
		struct catalog *catalog = NULL;
		assert_int_equal(catalog_open(&options, &catalog, NULL), 0);
		if (rule.prefix == NULL)
			rule.nth += 2; /* past what begins the session */
		uint64_t calls = store_fault_calls(f->store, FAULT_PUT);
		assert_int_equal(store_fault_add(f->store, &rule, NULL), 0);
		int r = run_failing(f, catalog);
		met = store_fault_calls(f->store, FAULT_PUT) - calls > n + 6;
		store_fault_clear(f->store);
		assert_true(r == 0 || r == ERR_NO_SPACE);
		catalog_close(catalog);
		assert_true(n < 60);
	}
	assert_int_equal(run_failing(f, f->catalog), 0);
}

/* A pack that is not acknowledged stands in no segment: none names what is not there. */
static void test_writer__no_segment_names_a_pack_that_was_not_put(void **state)
{
	struct archive_fixture *f = *state;
	struct fault_rule rule = {
		.kind = FAULT_FAIL, .ops = FAULT_PUT, .nth = 2, .count = 1000, .code = ERR_IO, .prefix = "packs/"};
	struct catalog_counts counts;
	struct catalog *catalog = NULL;
	struct catalog_options options = {.repository = f->repo->config.repository};

	f->repo->config.pack_size = 300000;
	assert_int_equal(store_fault_add(f->store, &rule, NULL), 0);
	assert_int_equal(run_failing(f, f->catalog), ERR_IO);
	store_fault_clear(f->store);
	assert_int_equal(catalog_open(&options, &catalog, NULL), 0);
	assert_int_equal(segment_sync(f->repo, catalog, NULL), 0);
	assert_int_equal(catalog_counts(catalog, &counts, NULL), 0);
	assert_true(counts.packs <= 1);
	catalog_close(catalog);
}

static int count_name(void *arg, const char *name, uint64_t size, struct error *err)
{
	(void)name;
	(void)size;
	(void)err;
	++*(unsigned *)arg;
	return 0;
}

static unsigned segments_of(struct archive_fixture *f)
{
	unsigned count = 0;
	assert_int_equal(store_list(f->store, NULL, "index/", "", count_name, &count, NULL), 0);
	return count;
}

/* What is lost of its index when a run is killed: here it is dropped with more than 64 MiB put. */
static void test_writer__the_first_segment_comes_early(void **state)
{
	enum { CHUNKS = 120, BYTES = 1 << 20 };
	struct archive_fixture *f = *state;
	static struct outcome o[CHUNKS];

	f->repo->config.pack_size = 4 << 20;
	struct work k = begin(f, f->catalog);
	for (unsigned i = 0; i < CHUNKS; i++)
		assert_true(submit(&k, 1000 + i, BYTES, &o[i]));
	end(&k);
	assert_int_equal(segments_of(f), 1);
}

static void test_writer__what_a_failed_run_stored_is_taken_up_by_the_next(void **state)
{
	enum { CHUNKS = 12, BYTES = 200000 };
	struct archive_fixture *f = *state;
	struct outcome o[CHUNKS];
	unsigned known = 0;

	f->repo->config.pack_size = 300000;
	struct work k = begin(f, f->catalog);
	for (unsigned i = 0; i < CHUNKS; i++)
		assert_true(submit(&k, i, BYTES, &o[i]));
	writer_salvage(k.w);
	end(&k);
	assert_int_equal(segments_of(f), 1);
	assert_int_equal(catalog_reset(f->catalog, NULL), 0);
	k = begin(f, f->catalog);
	for (unsigned i = 0; i < CHUNKS; i++)
		assert_true(submit(&k, i, BYTES, &o[i]));
	assert_int_equal(writer_finish(k.w, NULL), 0);
	for (unsigned i = 0; i < CHUNKS; i++) {
		known += o[i].is_new ? 0 : 1;
		expect_reads(f, &o[i], i, BYTES);
	}
	end(&k);
	assert_int_equal(known, CHUNKS - 1); /* all but the one in the pack that was open */
}

/* ---- keys and nonces ---- */

struct piece {
	struct id pack;
	uint64_t begin, end;
};

struct pieces {
	struct archive_fixture *f;
	struct piece *list;
	size_t count, packs;
};

static void add_piece(struct pieces *all, const struct id *pack, uint64_t begin, uint64_t end)
{
	all->list = realloc(all->list, (all->count + 1) * sizeof(*all->list));
	assert_non_null(all->list);
	all->list[all->count++] = (struct piece){.pack = *pack, .begin = begin, .end = end};
}

/* Every sealed piece of a pack, as the store has it: chunks, table, footer. */
static int add_pack(void *arg, const char *name, uint64_t size, struct error *err)
{
	struct pieces *all = arg;
	struct repo *repo = all->f->repo;
	struct pack_row *rows = NULL;
	uint8_t header[FORMAT_HEADER_LEN], key[FORMAT_KEY_LEN];
	size_t count = 0, got = 0;
	struct id id;

	assert_true(id_parse(name + strlen("packs/xx/"), &id));
	assert_int_equal(store_get(repo->store, NULL, name, 0, sizeof(header), header, &got, err), 0);
	enum object_kind kind = header[4];
	assert_int_equal(object_get_key(repo, kind, &id, key, err), 0);
	assert_int_equal(pack_read_toc(repo, kind, &id, key, &rows, &count, err), 0);
	uint64_t end = FORMAT_HEADER_LEN;
	for (size_t i = 0; i < count; i++) {
		end = rows[i].offset + rows[i].stored;
		add_piece(all, &id, rows[i].offset, end);
	}
	add_piece(all, &id, end, size - 64);
	add_piece(all, &id, size - 64, size - 32);
	all->packs++;
	free(rows);
	return 0;
}

static int compare_pieces(const void *a, const void *b)
{
	const struct piece *x = a, *y = b;
	int c = memcmp(&x->pack, &y->pack, sizeof(x->pack));

	return c != 0 ? c : x->begin < y->begin ? -1 : x->begin > y->begin;
}

/*
 * The id commits to the key, so two packs with one key would have one id; in a pack the nonce is the offset. So no pair
 * repeats if no two pieces of one id begin at one place, and pieces that do not overlap cannot.
 */
static void test_writer__no_key_and_nonce_seal_two_pieces(void **state)
{
	struct archive_fixture *f = *state;
	struct pieces all = {.f = f};
	struct error err = ERROR_INIT;

	f->repo->config.pack_size = 200000;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(catalog_reset(f->catalog, NULL), 0); /* so that all is stored again */
		struct fault_rule rule = {.kind = FAULT_LOSE_REPLY, .ops = FAULT_PUT, .nth = 9, .prefix = "packs/"};
		assert_int_equal(store_fault_add(f->store, &rule, NULL), 0);
		(void)run_failing(f, f->catalog);
		store_fault_clear(f->store);
	}
	int r = store_list(f->store, NULL, "packs/", "", add_pack, &all, &err);
	if (r < 0)
		fail_msg("%s", error_text(&err));
	assert_true(all.packs > 5);
	qsort(all.list, all.count, sizeof(*all.list), compare_pieces);
	for (size_t i = 1; i < all.count; i++) {
		const struct piece *a = &all.list[i - 1], *b = &all.list[i];
		bool same = memcmp(&a->pack, &b->pack, sizeof(a->pack)) == 0;
		assert_true(!same || a->end <= b->begin);
	}
	free(all.list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ARCHIVE_CASE(test_writer__equal_chunks_are_stored_once_in_a_session),
		ARCHIVE_CASE(test_writer__threads_that_store_the_same_at_once_store_it_once),
		ARCHIVE_CASE(test_writer__what_an_earlier_session_stored_is_known),
		ARCHIVE_CASE(test_writer__what_lies_in_a_banned_pack_is_stored_again),
		ARCHIVE_CASE(test_writer__a_full_pack_is_closed_and_another_begun),
		ARCHIVE_CASE(test_writer__an_empty_session_puts_no_pack),
		ARCHIVE_CASE(test_writer__one_that_is_dropped_answers_all_and_ends),
		ARCHIVE_CASE(test_writer__any_put_may_fail),
		ARCHIVE_CASE(test_writer__no_segment_names_a_pack_that_was_not_put),
		ARCHIVE_CASE(test_writer__the_first_segment_comes_early),
		ARCHIVE_CASE(test_writer__what_a_failed_run_stored_is_taken_up_by_the_next),
		ARCHIVE_CASE(test_writer__no_key_and_nonce_seal_two_pieces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
