/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "archive/object.h"
#include "backends/fault.h"
#include "base/host.h"

static const uint8_t test_key[32] = "a key file's thirty-two bytes..";
static const struct repo_unlock by_key = {.key = test_key};

/* A repository on a fault layer over memory; `parallel` 0 leaves it the local store it is. */
static struct repo *open_repo(unsigned parallel)
{
	struct store *below, *s;
	struct repo *repo;
	struct id slot;
	assert_int_equal(store_memory_open(&below, NULL), 0);
	assert_int_equal(store_fault_open(below, &s, NULL), 0);
	if (parallel > 0) {
		s->features &= ~(unsigned)STORE_LOCAL;
		s->parallel = parallel;
	}
	assert_int_equal(repo_init(s, &by_key, NULL, &slot, NULL), 0);
	assert_int_equal(repo_open(s, &by_key, NULL, &repo, NULL), 0);
	return repo;
}

static struct id put(struct repo *repo, enum object_kind kind, const void *content, size_t len)
{
	uint8_t key[FORMAT_KEY_LEN];
	struct id id;
	object_draw(repo, kind, key, &id);
	assert_int_equal(object_put(repo, kind, &id, key, content, len, NULL, NULL), 0);
	return id;
}

static void exchange(struct store *s, const char *name, const void *data, size_t len)
{
	assert_int_equal(store_del(s, NULL, name, NULL), 0);
	assert_int_equal(store_put_mem(s, NULL, name, data, len, NULL, NULL), 0);
}

static void test_object_get__gives_back_what_was_put(void **state)
{
	(void)state;
	static const size_t lengths[] = {0, 1, 17, 1000, 100000, 3 << 20};
	for (unsigned parallel = 0; parallel < 8; parallel += 4) {
		struct repo *repo = open_repo(parallel);
		for (size_t i = 0; i < 2 * sizeof(lengths) / sizeof(lengths[0]); i++) {
			size_t len = lengths[i / 2];
			uint8_t *content = calloc(1, len + 1);
			struct buf out = {0};
			/* Noise that does not compress, and zeros that do. */
			if (i % 2)
				host_random(content, len);
			struct id id = put(repo, KIND_INDEX, content, len);
			assert_int_equal(object_get(repo, KIND_INDEX, &id, &out, NULL), 0);
			assert_int_equal(out.len, len);
			assert_memory_equal(out.data ? out.data : content, content, len);
			free(content);
			buf_release(&out);
		}
		repo_close(repo);
	}
}

struct names {
	char snapshot[FORMAT_NAME_MAX];
	size_t count;
};

static int take_name(void *arg, const char *name, uint64_t size, struct error *err)
{
	struct names *n = arg;
	(void)size;
	(void)err;
	strcpy(n->snapshot, name);
	n->count++;
	return 0;
}

/* Stopped after any put, whatever object is seen can be opened. */
static void test_object_put__what_is_seen_opens(void **state)
{
	(void)state;
	struct repo *repo = open_repo(0);
	size_t before = store_fault_history(repo->store);
	struct id id = put(repo, KIND_MARK, "abc", 3);
	assert_int_equal(store_fault_history(repo->store), before + 2);
	for (size_t n = before; n <= before + 2; n++) {
		struct store *cut;
		struct repo *then;
		struct buf out = {0};
		struct names names = {0};
		assert_int_equal(store_fault_cut(repo->store, n, &cut, NULL), 0);
		assert_int_equal(repo_open(cut, &by_key, NULL, &then, NULL), 0);
		assert_int_equal(store_list(cut, NULL, "marks/", "", take_name, &names, NULL), 0);
		assert_int_equal(names.count, n == before + 2);
		if (names.count > 0)
			assert_int_equal(object_get(then, KIND_MARK, &id, &out, NULL), 0);
		repo_close(then);
		buf_release(&out);
	}
	repo_close(repo);
}

static void test_object_get__every_flipped_byte_is_an_error(void **state)
{
	(void)state;
	struct repo *repo = open_repo(0);
	struct id id = put(repo, KIND_MARK, "the content of a mark", 21);
	char names[2][FORMAT_NAME_MAX];
	object_name(KIND_MARK, 0, &id, names[0]);
	object_name(KIND_WRAP, 1, &id, names[1]);
	for (size_t i = 0; i < 2; i++) {
		struct buf whole = {0}, b = {0}, out = {0};
		assert_int_equal(store_get_all(repo->store, NULL, names[i], 1 << 20, &whole, NULL), 0);
		for (size_t at = 0; at < 2 * whole.len; at++) {
			bool mend = at >= whole.len;
			buf_clear(&b);
			buf_put(&b, whole.data, whole.len);
			b.data[at % whole.len] ^= 0x41;
			if (mend && at % whole.len >= whole.len - FORMAT_TRAILER_LEN)
				continue;
			if (mend) {
				b.len -= FORMAT_TRAILER_LEN;
				object_trailer_put(&b, (enum trailer_kind)whole.data[6]);
			}
			exchange(repo->store, names[i], b.data, b.len);
			buf_clear(&out);
			int rc = object_get(repo, KIND_MARK, &id, &out, NULL);
			/* The flags of an envelope are bound by no seal: those that say "may be ignored" change
			 * nothing. */
			bool ignored = mend && at % whole.len >= 16 && at % whole.len < FORMAT_HEADER_LEN;
			if (rc == 0) {
				assert_true(ignored);
				assert_int_equal(out.len, 21);
				assert_memory_equal(out.data, "the content of a mark", 21);
			} else {
				assert_true(rc == ERR_CORRUPT || rc == ERR_UNSUPPORTED);
			}
		}
		exchange(repo->store, names[i], whole.data, whole.len);
		assert_int_equal(object_get(repo, KIND_MARK, &id, &out, NULL), 0);
		buf_release(&whole);
		buf_release(&b);
		buf_release(&out);
	}
	repo_close(repo);
}

static void test_object_get__swapped_objects_do_not_open(void **state)
{
	(void)state;
	struct repo *repo = open_repo(0);
	struct id a = put(repo, KIND_MARK, "first", 5), b = put(repo, KIND_MARK, "second", 6);
	char name_a[FORMAT_NAME_MAX], name_b[FORMAT_NAME_MAX];
	struct buf bytes = {0}, out = {0};
	object_name(KIND_MARK, 0, &a, name_a);
	object_name(KIND_MARK, 0, &b, name_b);
	assert_int_equal(store_get_all(repo->store, NULL, name_b, 1 << 20, &bytes, NULL), 0);
	exchange(repo->store, name_a, bytes.data, bytes.len);
	assert_int_equal(object_get(repo, KIND_MARK, &a, &out, NULL), ERR_CORRUPT);
	/* With its key, too: the key then is not the one that the id stands for. */
	object_name(KIND_WRAP, 1, &a, name_a);
	object_name(KIND_WRAP, 1, &b, name_b);
	assert_int_equal(store_get_all(repo->store, NULL, name_b, 1 << 20, &bytes, NULL), 0);
	exchange(repo->store, name_a, bytes.data, bytes.len);
	assert_int_equal(object_get(repo, KIND_MARK, &a, &out, NULL), ERR_CORRUPT);
	/* As another kind it does not open either. */
	assert_int_equal(object_get(repo, KIND_SNAPSHOT, &b, &out, NULL), ERR_NOT_FOUND);
	buf_release(&bytes);
	buf_release(&out);
	repo_close(repo);
}

static void test_object_get__absent_and_keyless_are_told_apart(void **state)
{
	(void)state;
	struct repo *repo = open_repo(4);
	struct id id = put(repo, KIND_MARK, "abc", 3), none = {{1}};
	char name[FORMAT_NAME_MAX];
	struct buf out = {0};
	assert_int_equal(object_get(repo, KIND_MARK, &none, &out, NULL), ERR_NOT_FOUND);
	object_name(KIND_WRAP, 1, &id, name);
	assert_int_equal(store_del(repo->store, NULL, name, NULL), 0);
	struct error err = ERROR_INIT;
	assert_int_equal(object_get(repo, KIND_MARK, &id, &out, &err), ERR_CORRUPT);
	assert_non_null(strstr(error_text(&err), "wrapped key"));
	buf_release(&out);
	repo_close(repo);
}

static void test_object_seal__size_is_padded(void **state)
{
	(void)state;
	struct repo *repo = open_repo(0);
	uint8_t key[FORMAT_KEY_LEN], content[5000];
	struct id id;
	struct buf b = {0};
	size_t sizes = 0, last = 0;
	host_random(content, sizeof(content));
	object_draw(repo, KIND_MARK, key, &id);
	for (size_t len = 4000; len < 5000; len++) {
		assert_int_equal(object_seal(repo, KIND_MARK, &id, key, content, len, &b, NULL), 0);
		sizes += b.len != last;
		last = b.len;
	}
	assert_in_range(sizes, 2, 12);
	buf_release(&b);
	repo_close(repo);
}

static void test_object_make_wrap__opens_for_its_object_only(void **state)
{
	(void)state;
	struct repo *repo = open_repo(0);
	uint8_t key[FORMAT_KEY_LEN], out[FORMAT_KEY_LEN], wrap[SEAL_WRAP_LEN];
	uint32_t generation;
	struct id id, other = {{3}};
	object_draw(repo, KIND_DATA_PACK, key, &id);
	assert_int_equal(object_make_wrap(repo, key, wrap, &generation, NULL), 0);
	assert_int_equal(object_open_wrap(repo, KIND_DATA_PACK, &id, generation, wrap, sizeof(wrap), out, NULL), 0);
	assert_memory_equal(out, key, sizeof(key));
	assert_int_equal(
		object_open_wrap(repo, KIND_TREE_PACK, &id, generation, wrap, sizeof(wrap), out, NULL), ERR_CORRUPT);
	assert_int_equal(
		object_open_wrap(repo, KIND_DATA_PACK, &other, generation, wrap, sizeof(wrap), out, NULL), ERR_CORRUPT);
	assert_int_equal(
		object_open_wrap(repo, KIND_DATA_PACK, &id, generation + 1, wrap, sizeof(wrap), out, NULL), ERR_DENIED);
	assert_int_equal(object_open_wrap(repo, KIND_DATA_PACK, &id, generation, wrap, 79, out, NULL), ERR_CORRUPT);
	repo_close(repo);
}

enum { MANY = 100 };

struct many_seen {
	unsigned seen[MANY], failed, stop_after, calls;
	bool inside;
};

static int many_one(void *arg, size_t index, int status, const struct buf *content, const struct error *why)
{
	struct many_seen *m = arg;
	(void)why;
	assert_false(m->inside);
	m->inside = true;
	m->seen[index]++;
	m->calls++;
	if (status == 0)
		assert_true(content->len == 1 && content->data[0] == (uint8_t)index);
	else
		m->failed++;
	m->inside = false;
	return m->stop_after != 0 && m->calls == m->stop_after ? ERR_CANCELLED : 0;
}

static void test_object_get_many__each_once_and_failures_told(void **state)
{
	(void)state;
	static const unsigned parallel[] = {0, 1, 3, 16, 200};
	for (size_t p = 0; p < 5; p++) {
		struct repo *repo = open_repo(parallel[p]);
		struct many_seen seen = {0};
		struct id ids[MANY];
		for (size_t i = 0; i < MANY; i++) {
			uint8_t byte = (uint8_t)i;
			ids[i] = put(repo, KIND_MARK, &byte, 1);
		}
		ids[17] = (struct id){{1}};
		ids[99] = (struct id){{2}};
		assert_int_equal(object_get_many(repo, KIND_MARK, ids, MANY, many_one, &seen, NULL), 0);
		for (size_t i = 0; i < MANY; i++)
			assert_int_equal(seen.seen[i], 1);
		assert_int_equal(seen.failed, 2);
		seen = (struct many_seen){.stop_after = 7};
		assert_int_equal(object_get_many(repo, KIND_MARK, ids, MANY, many_one, &seen, NULL), ERR_CANCELLED);
		assert_int_equal(seen.calls, 7);
		assert_int_equal(object_get_many(repo, KIND_MARK, ids, 0, many_one, &seen, NULL), 0);
		repo_close(repo);
	}
}

static void test_object_put__a_newer_repository_is_not_written_to(void **state)
{
	(void)state;
	struct repo *repo = open_repo(0);
	uint8_t key[FORMAT_KEY_LEN];
	struct id id;
	size_t before = store_fault_history(repo->store);
	repo->config.ro_unknown = 1;
	object_draw(repo, KIND_MARK, key, &id);
	assert_int_equal(object_put(repo, KIND_MARK, &id, key, "x", 1, NULL, NULL), ERR_UNSUPPORTED);
	assert_int_equal(store_fault_history(repo->store), before);
	repo_close(repo);
}

/* No key serves twice, so no pair of key and nonce does: ids, which stand for keys, all differ. */
static void test_object_draw__keys_never_repeat(void **state)
{
	(void)state;
	struct repo *repo = open_repo(0);
	struct id ids[200];
	for (size_t i = 0; i < 200; i++) {
		uint8_t key[FORMAT_KEY_LEN];
		object_draw(repo, KIND_MARK, key, &ids[i]);
		for (size_t j = 0; j < i; j++)
			assert_false(id_equal(&ids[i], &ids[j]));
	}
	repo_close(repo);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_object_get__gives_back_what_was_put),
		cmocka_unit_test(test_object_put__what_is_seen_opens),
		cmocka_unit_test(test_object_get__every_flipped_byte_is_an_error),
		cmocka_unit_test(test_object_get__swapped_objects_do_not_open),
		cmocka_unit_test(test_object_get__absent_and_keyless_are_told_apart),
		cmocka_unit_test(test_object_seal__size_is_padded),
		cmocka_unit_test(test_object_make_wrap__opens_for_its_object_only),
		cmocka_unit_test(test_object_get_many__each_once_and_failures_told),
		cmocka_unit_test(test_object_put__a_newer_repository_is_not_written_to),
		cmocka_unit_test(test_object_draw__keys_never_repeat),
	};
	if (host_init(NULL) != 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
