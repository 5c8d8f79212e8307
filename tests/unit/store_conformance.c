/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/unit/store_conformance.h"

struct fixture {
	const struct store_factory *factory;
	struct store *store;
};

static int open_empty(void **state)
{
	struct fixture *fx = calloc(1, sizeof(*fx));
	struct error err = ERROR_INIT;

	if (!fx)
		return -1;
	fx->factory = *state;
	if (fx->factory->open(fx->factory->arg, &fx->store, &err) < 0) {
		print_error("%s: %s\n", fx->factory->label, error_text(&err));
		free(fx);
		return -1;
	}
	*state = fx;
	return 0;
}

static int close_and_clean(void **state)
{
	struct fixture *fx = *state;

	store_close(fx->store);
	if (fx->factory->clean)
		fx->factory->clean(fx->factory->arg);
	free(fx);
	return 0;
}

static struct store *store_of(void **state)
{
	return ((struct fixture *)*state)->store;
}

static void assert_ok(int rc, const struct error *err)
{
	if (rc != 0)
		fail_msg("%s: %s", error_code_name(rc), error_text(err));
}

static void put_text(struct store *s, const char *name, const char *text)
{
	struct error err = ERROR_INIT;

	assert_ok(store_put_mem(s, NULL, name, text, strlen(text), NULL, &err), &err);
}

static void assert_holds(struct store *s, const char *name, const char *text)
{
	struct error err = ERROR_INIT;
	struct buf got = {0};

	assert_ok(store_get_all(s, NULL, name, 1 << 20, &got, &err), &err);
	assert_int_equal(got.len, strlen(text));
	if (got.len > 0)
		assert_memory_equal(got.data, text, got.len);
	buf_release(&got);
}

static void assert_missing(struct store *s, const char *name)
{
	struct error err = ERROR_INIT;
	uint64_t size;
	char byte;
	size_t n;

	assert_int_equal(store_stat(s, NULL, name, &size, &err), ERR_NOT_FOUND);
	assert_non_null(strstr(error_text(&err), name));
	error_clear(&err);
	assert_int_equal(store_get(s, NULL, name, 0, 1, &byte, &n, &err), ERR_NOT_FOUND);
	assert_non_null(strstr(error_text(&err), name));
}

/* ---- put and get ---- */

static void test_put__object_reads_back(void **state)
{
	struct store *s = store_of(state);
	uint64_t size = 0;

	put_text(s, "config", "hello");
	put_text(s, "packs/ab/abcdef", "deep");
	assert_holds(s, "config", "hello");
	assert_holds(s, "packs/ab/abcdef", "deep");
	assert_int_equal(store_stat(s, NULL, "packs/ab/abcdef", &size, NULL), 0);
	assert_int_equal(size, 4);
}

static void test_put__empty_object_exists(void **state)
{
	struct store *s = store_of(state);
	uint64_t size = 1;
	char byte;
	size_t n = 1;

	put_text(s, "marks/none", "");
	assert_int_equal(store_stat(s, NULL, "marks/none", &size, NULL), 0);
	assert_int_equal(size, 0);
	assert_int_equal(store_get(s, NULL, "marks/none", 0, 1, &byte, &n, NULL), 0);
	assert_int_equal(n, 0);
	assert_int_equal(store_put_mem(s, NULL, "marks/none", "", 0, NULL, NULL), 0);
	assert_int_equal(store_put_mem(s, NULL, "marks/none", "x", 1, NULL, NULL), ERR_EXISTS);
}

static void test_put__second_create_with_other_bytes_is_refused(void **state)
{
	struct store *s = store_of(state);
	struct error err = ERROR_INIT;

	put_text(s, "snapshots/a", "first");
	assert_int_equal(store_put_mem(s, NULL, "snapshots/a", "other", 5, NULL, &err), ERR_EXISTS);
	assert_non_null(strstr(error_text(&err), "snapshots/a"));
	assert_int_equal(store_put_mem(s, NULL, "snapshots/a", "longer one", 10, NULL, NULL), ERR_EXISTS);
	assert_holds(s, "snapshots/a", "first");
}

static void test_put__same_bytes_again_is_success(void **state)
{
	struct store *s = store_of(state);
	uint8_t data[5000];

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7);
	assert_int_equal(store_put_mem(s, NULL, "index/x", data, sizeof(data), NULL, NULL), 0);
	assert_int_equal(store_put_mem(s, NULL, "index/x", data, sizeof(data), NULL, NULL), 0);
	data[sizeof(data) - 1] ^= 1;
	assert_int_equal(store_put_mem(s, NULL, "index/x", data, sizeof(data), NULL, NULL), ERR_EXISTS);
}

static void test_put__name_is_free_again_after_delete(void **state)
{
	struct store *s = store_of(state);

	put_text(s, "packs/00/a", "damaged");
	assert_holds(s, "packs/00/a", "damaged");
	assert_int_equal(store_del(s, NULL, "packs/00/a", NULL), 0);
	put_text(s, "packs/00/a", "mended");
	assert_holds(s, "packs/00/a", "mended");
}

static void test_put__body_from_a_file_is_read_from_its_start(void **state)
{
	struct store *s = store_of(state);
	FILE *file = tmpfile();
	struct error err = ERROR_INIT;

	assert_non_null(file);
	assert_int_equal(fputs("0123456789", file), 1);
	assert_int_equal(fflush(file), 0); /* the position is now at the end, which must not matter */
	struct store_body body = {.fd = fileno(file), .len = 8};
	assert_ok(store_put(s, NULL, "packs/aa/file", &body, NULL, &err), &err);
	assert_holds(s, "packs/aa/file", "01234567");
	/* The file is the caller's: what he writes now must not be seen. */
	assert_int_equal(pwrite(fileno(file), "xxxx", 4, 0), 4);
	assert_holds(s, "packs/aa/file", "01234567");
	assert_int_equal(store_put(s, NULL, "packs/aa/file", &body, NULL, NULL), ERR_EXISTS);
	assert_int_equal(fclose(file), 0);
}

static void test_put__file_shorter_than_announced_stores_nothing(void **state)
{
	struct store *s = store_of(state);
	FILE *file = tmpfile();

	assert_non_null(file);
	struct store_body body = {.fd = fileno(file), .len = 100};
	assert_true(store_put(s, NULL, "packs/aa/short", &body, NULL, NULL) < 0);
	assert_missing(s, "packs/aa/short");
	assert_int_equal(fclose(file), 0);
}

static void test_put__large_body_from_tmpfile_reads_back(void **state)
{
	enum { LEN = (9 << 20) + 5 };
	struct store *s = store_of(state);
	struct error err = ERROR_INIT;
	uint8_t *data = malloc(LEN);
	struct buf got = {0};
	FILE *file = NULL;
	int fd = -1;

	assert_non_null(data);
	for (size_t i = 0; i < LEN; i++)
		data[i] = (uint8_t)(i * 2654435761u >> 13);
	assert_ok(store_tmpfile(s, "packs/bb/large", &fd, &err), &err);
	if (fd < 0) {
		file = tmpfile();
		assert_non_null(file);
		fd = fileno(file);
	}
	for (size_t at = 0; at < LEN;) {
		ssize_t n = write(fd, data + at, LEN - at);
		assert_true(n > 0);
		at += (size_t)n;
	}
	struct store_body body = {.fd = fd, .len = LEN};
	assert_ok(store_put(s, NULL, "packs/bb/large", &body, NULL, &err), &err);
	if (file)
		assert_int_equal(fclose(file), 0);
	else
		assert_int_equal(close(fd), 0);
	assert_ok(store_get_all(s, NULL, "packs/bb/large", LEN, &got, &err), &err);
	assert_int_equal(got.len, LEN);
	assert_memory_equal(got.data, data, LEN);
	buf_release(&got);
	free(data);
}

static void test_put__unused_tmpfile_leaves_no_object(void **state)
{
	struct store *s = store_of(state);
	int fd = -1;

	assert_int_equal(store_tmpfile(s, "packs/bb/unused", &fd, NULL), 0);
	if (fd >= 0) {
		assert_int_equal(write(fd, "x", 1), 1);
		close(fd);
	}
	assert_missing(s, "packs/bb/unused");
}

static void test_put__date_is_about_now_or_not_told(void **state)
{
	struct store *s = store_of(state);
	struct store_reply reply = {.date = -1};
	int64_t hour = 3600 * CLOCK_SECOND;

	int64_t now = clock_now();
	assert_int_equal(store_put_mem(s, NULL, "snapshots/t", "t", 1, &reply, NULL), 0);
	assert_true(reply.date == 0 || (reply.date > now - hour && reply.date < now + hour));
	/* A repeated put tells of the moment when the object came to be. */
	struct store_reply again = {.date = -1};
	assert_int_equal(store_put_mem(s, NULL, "snapshots/t", "t", 1, &again, NULL), 0);
	assert_true(again.date == 0 || (again.date > now - hour && again.date < now + hour));
}

static void test_get__ranges_end_where_the_object_ends(void **state)
{
	struct store *s = store_of(state);
	char got[16] = "";
	size_t n = 99;

	put_text(s, "packs/cc/r", "0123456789");
	assert_int_equal(store_get(s, NULL, "packs/cc/r", 3, 4, got, &n, NULL), 0);
	assert_int_equal(n, 4);
	assert_memory_equal(got, "3456", 4);
	assert_int_equal(store_get(s, NULL, "packs/cc/r", 8, 16, got, &n, NULL), 0);
	assert_int_equal(n, 2);
	assert_memory_equal(got, "89", 2);
	assert_int_equal(store_get(s, NULL, "packs/cc/r", 10, 5, got, &n, NULL), 0);
	assert_int_equal(n, 0);
	n = 99;
	assert_int_equal(store_get(s, NULL, "packs/cc/r", UINT64_MAX, 5, got, &n, NULL), 0);
	assert_int_equal(n, 0);
	n = 99;
	assert_int_equal(store_get(s, NULL, "packs/cc/r", 0, 0, got, &n, NULL), 0);
	assert_int_equal(n, 0);
}

static void test_get__missing_object_is_not_found(void **state)
{
	struct store *s = store_of(state);

	assert_missing(s, "packs/dd/none");
	put_text(s, "packs/dd/some", "x");
	assert_missing(s, "packs/dd/none");
	assert_missing(s, "packs/dd"); /* what objects lie under is none itself */
	assert_missing(s, "packs/dd/some/more");
}

static void test_get_all__limit_is_kept(void **state)
{
	struct store *s = store_of(state);
	struct buf got = {0};
	size_t len = 200 * 1000;
	char *data = malloc(len);

	assert_non_null(data);
	memset(data, 'd', len);
	assert_int_equal(store_put_mem(s, NULL, "index/big", data, len, NULL, NULL), 0);
	assert_int_equal(store_get_all(s, NULL, "index/big", len - 1, &got, NULL), ERR_CORRUPT);
	assert_int_equal(store_get_all(s, NULL, "index/big", 10, &got, NULL), ERR_CORRUPT);
	assert_int_equal(store_get_all(s, NULL, "index/big", 0, &got, NULL), ERR_CORRUPT);
	assert_int_equal(store_get_all(s, NULL, "index/big", len, &got, NULL), 0);
	assert_int_equal(got.len, len);
	assert_int_equal(store_get_all(s, NULL, "index/big", SIZE_MAX, &got, NULL), 0);
	assert_int_equal(got.len, len);
	assert_memory_equal(got.data, data, len);
	buf_release(&got);
	free(data);
}

/* ---- delete ---- */

static void test_del__object_is_gone(void **state)
{
	struct store *s = store_of(state);

	put_text(s, "sessions/a", "x");
	put_text(s, "sessions/b", "y");
	assert_holds(s, "sessions/a", "x"); /* so that what keeps objects open has it */
	assert_int_equal(store_del(s, NULL, "sessions/a", NULL), 0);
	assert_missing(s, "sessions/a");
	assert_holds(s, "sessions/b", "y");
}

static void test_del__missing_name_is_success(void **state)
{
	struct store *s = store_of(state);

	assert_int_equal(store_del(s, NULL, "nothing/here", NULL), 0);
	put_text(s, "nothing/there", "x");
	assert_int_equal(store_del(s, NULL, "nothing/here", NULL), 0);
	assert_int_equal(store_del(s, NULL, "nothing", NULL), 0);
	assert_holds(s, "nothing/there", "x");
}

/* ---- names ---- */

static void test_names__bad_ones_are_refused(void **state)
{
	static const char *const bad[] = {
		"", "/a", "a/", "a//b", ".", "..", "a/../b", "./a", "A", "a_b", "a b", "\xc3\xa4"};
	struct store *s = store_of(state);
	char name[STORE_NAME_MAX + 2];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		uint64_t size;

		assert_false(store_name_ok(bad[i]));
		assert_int_equal(store_put_mem(s, NULL, bad[i], "x", 1, NULL, NULL), ERR_USAGE);
		assert_int_equal(store_stat(s, NULL, bad[i], &size, NULL), ERR_USAGE);
		assert_int_equal(store_del(s, NULL, bad[i], NULL), ERR_USAGE);
	}
	memset(name, 'a', sizeof(name));
	name[STORE_NAME_MAX + 1] = '\0';
	assert_int_equal(store_put_mem(s, NULL, name, "x", 1, NULL, NULL), ERR_USAGE);
	name[STORE_NAME_MAX] = '\0';
	put_text(s, name, "longest");
	assert_holds(s, name, "longest");
	put_text(s, "..a/...", "dots are letters here");
	assert_holds(s, "..a/...", "dots are letters here");
}

/* ---- list ---- */

struct names {
	char (*list)[STORE_NAME_MAX + 1];
	uint64_t total; /* of sizes */
	size_t count;
	size_t cap;
	size_t stop_after; /* 0: never */
};

static int collect(void *arg, const char *name, uint64_t size, struct error *err)
{
	struct names *names = arg;

	(void)err;
	if (names->count == names->cap) {
		names->cap = names->cap ? names->cap * 2 : 64;
		names->list = realloc(names->list, names->cap * sizeof(*names->list));
	}
	(void)snprintf(names->list[names->count++], STORE_NAME_MAX + 1, "%s", name);
	names->total += size;
	return names->stop_after && names->count == names->stop_after ? 77 : 0;
}

static void assert_lists(struct store *s, const char *prefix, const char *after, const char *const *want)
{
	struct error err = ERROR_INIT;
	struct names got = {0};
	size_t i = 0;

	assert_ok(store_list(s, NULL, prefix, after, collect, &got, &err), &err);
	for (; want[i] && i < got.count; i++)
		assert_string_equal(got.list[i], want[i]);
	assert_int_equal(i, got.count);
	assert_null(want[i]);
	free(got.list);
}

#define ASSERT_LISTS(store, prefix, after, ...) \
	assert_lists(store, prefix, after, (const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

static void test_list__empty_store_lists_nothing(void **state)
{
	struct store *s = store_of(state);

	ASSERT_LISTS(s, "", "");
	ASSERT_LISTS(s, "packs/", "");
	ASSERT_LISTS(s, "packs/ab/c", "packs/ab/b");
}

static void put_order_traps(struct store *s)
{
	/* Not in their order on purpose. '-' and '.' sort before '/', digits and letters after it. */
	static const char *const names[] = {
		"b", "a/b", "a-b", "a0", "a.b", "a/b-c/d", "a/b.c", "a/c/0", "a/c-0", "a1/x", "0"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		put_text(s, names[i], names[i]);
}

static void test_list__order_is_bytewise_over_whole_names(void **state)
{
	struct store *s = store_of(state);

	put_order_traps(s);
	ASSERT_LISTS(s, "", "", "0", "a-b", "a.b", "a/b", "a/b-c/d", "a/b.c", "a/c-0", "a/c/0", "a0", "a1/x", "b");
}

static void test_list__prefix_need_not_end_at_a_slash(void **state)
{
	struct store *s = store_of(state);

	put_order_traps(s);
	ASSERT_LISTS(s, "a/b", "", "a/b", "a/b-c/d", "a/b.c");
	ASSERT_LISTS(s, "a/c", "", "a/c-0", "a/c/0");
	ASSERT_LISTS(s, "a/c/", "", "a/c/0");
	ASSERT_LISTS(s, "a/c/0", "", "a/c/0");
	ASSERT_LISTS(s, "a1", "", "a1/x");
	ASSERT_LISTS(s, "a/c/0/1", "");
	ASSERT_LISTS(s, "c", "");
	ASSERT_LISTS(s, "/", "");
	ASSERT_LISTS(s, "a//", "");
	ASSERT_LISTS(s, "../", "");
}

static void test_list__after_is_exclusive_and_need_not_exist(void **state)
{
	struct store *s = store_of(state);

	put_order_traps(s);
	ASSERT_LISTS(s, "", "a/c-0", "a/c/0", "a0", "a1/x", "b");
	ASSERT_LISTS(s, "", "a/b-zzz", "a/b.c", "a/c-0", "a/c/0", "a0", "a1/x", "b");
	ASSERT_LISTS(s, "", "a/", "a/b", "a/b-c/d", "a/b.c", "a/c-0", "a/c/0", "a0", "a1/x", "b");
	ASSERT_LISTS(s, "a/", "a-zzz", "a/b", "a/b-c/d", "a/b.c", "a/c-0", "a/c/0");
	ASSERT_LISTS(s, "a/", "a/c-0", "a/c/0");
	ASSERT_LISTS(s, "a/", "b");
	ASSERT_LISTS(s, "", "b");
	ASSERT_LISTS(s, "", "a1/x", "b");
}

static void test_list__caller_stops_it(void **state)
{
	struct store *s = store_of(state);
	struct names got = {.stop_after = 3};

	put_order_traps(s);
	assert_int_equal(store_list(s, NULL, "", "", collect, &got, NULL), 77);
	assert_int_equal(got.count, 3);
	free(got.list);
}

static int delete_each(void *arg, const char *name, uint64_t size, struct error *err)
{
	(void)size;
	return store_del(arg, NULL, name, err);
}

static void test_list__store_may_be_used_from_the_callback(void **state)
{
	struct store *s = store_of(state);
	struct error err = ERROR_INIT;

	put_order_traps(s);
	assert_ok(store_list(s, NULL, "a", "", delete_each, s, &err), &err);
	ASSERT_LISTS(s, "", "", "0", "b");
}

static void test_list__many_names_in_order_and_in_pages(void **state)
{
	struct store *s = store_of(state);
	unsigned many = ((struct fixture *)*state)->factory->many;
	struct names got = {0};
	char name[64];
	char after[STORE_NAME_MAX + 1] = "";
	size_t paged = 0;

	many = many ? many : 10000;
	for (unsigned i = 0; i < many; i++) {
		uint32_t x = i * 2654435761u; /* a different number each, in no order */

		(void)snprintf(name, sizeof(name), "packs/%02x/%08x", x >> 24, x);
		assert_int_equal(store_put_mem(s, NULL, name, name, i % 50, NULL, NULL), 0);
	}
	assert_int_equal(store_list(s, NULL, "", "", collect, &got, NULL), 0);
	assert_int_equal(got.count, many);
	for (size_t i = 1; i < got.count; i++)
		assert_true(strcmp(got.list[i - 1], got.list[i]) < 0);
	for (;;) {
		struct names page = {.stop_after = 1000};

		(void)store_list(s, NULL, "packs/", after, collect, &page, NULL);
		for (size_t i = 0; i < page.count; i++)
			assert_string_equal(page.list[i], got.list[paged + i]);
		paged += page.count;
		if (page.count > 0)
			memcpy(after, page.list[page.count - 1], sizeof(after));
		free(page.list);
		if (page.count == 0)
			break;
	}
	assert_int_equal(paged, many);
	free(got.list);
}

/* ---- limits of a call ---- */

static int count_calls(void *arg, const char *name, uint64_t size, struct error *err)
{
	(void)name;
	(void)size;
	(void)err;
	++*(unsigned *)arg;
	return 0;
}

static void assert_all_return(struct store *s, const struct store_call *call, int code)
{
	struct error err = ERROR_INIT;
	unsigned calls = 0;
	uint64_t size;
	char byte;
	size_t n;

	assert_int_equal(store_get(s, call, "there", 0, 1, &byte, &n, &err), code);
	error_clear(&err);
	assert_int_equal(store_put_mem(s, call, "new", "n", 1, NULL, &err), code);
	error_clear(&err);
	assert_int_equal(store_stat(s, call, "there", &size, &err), code);
	error_clear(&err);
	assert_int_equal(store_del(s, call, "there", &err), code);
	error_clear(&err);
	assert_int_equal(store_list(s, call, "", "", count_calls, &calls, &err), code);
	assert_int_equal(calls, 0);
}

static void test_call__cancelled_one_does_nothing(void **state)
{
	struct store *s = store_of(state);
	atomic_bool cancel = true;
	struct store_call call = {.cancel = &cancel};

	put_text(s, "there", "x");
	assert_all_return(s, &call, ERR_CANCELLED);
	assert_holds(s, "there", "x");
	atomic_store(&cancel, false);
	assert_int_equal(store_del(s, &call, "there", NULL), 0);
}

static void test_call__passed_deadline_does_nothing(void **state)
{
	struct store *s = store_of(state);
	struct store_call call = {.deadline = clock_monotonic() - 1};

	put_text(s, "there", "x");
	assert_all_return(s, &call, ERR_TIMEOUT);
	assert_holds(s, "there", "x");
	call.deadline = clock_monotonic() + 600 * CLOCK_SECOND;
	assert_int_equal(store_del(s, &call, "there", NULL), 0);
}

static int cancel_at_first(void *arg, const char *name, uint64_t size, struct error *err)
{
	(void)name;
	(void)size;
	(void)err;
	atomic_store((atomic_bool *)arg, true);
	return 0;
}

static void test_call__cancel_ends_a_listing_under_way(void **state)
{
	struct store *s = store_of(state);
	atomic_bool cancel = false;
	struct store_call call = {.cancel = &cancel};

	put_order_traps(s);
	assert_int_equal(store_list(s, &call, "", "", cancel_at_first, &cancel, NULL), ERR_CANCELLED);
}

/* ---- many threads ---- */

enum { THREADS = 8, ROUNDS = 25 };

struct racer {
	pthread_t thread;
	struct store *store;
	pthread_barrier_t *start;
	unsigned number;
	int results[ROUNDS]; /* judged by the main thread: cmocka's asserts belong there */
};

static void run_racers(struct store *s, void *(*fn)(void *), struct racer racers[static THREADS])
{
	pthread_barrier_t start;

	assert_int_equal(pthread_barrier_init(&start, NULL, THREADS), 0);
	for (unsigned i = 0; i < THREADS; i++) {
		racers[i] = (struct racer){.store = s, .start = &start, .number = i};
		assert_int_equal(pthread_create(&racers[i].thread, NULL, fn, &racers[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(racers[i].thread, NULL), 0);
	pthread_barrier_destroy(&start);
}

static void *race_for_name(void *arg)
{
	struct racer *r = arg;
	char name[64];
	char body[64];

	for (unsigned round = 0; round < ROUNDS; round++) {
		(void)snprintf(name, sizeof(name), "race-%u/decided", round);
		(void)snprintf(body, sizeof(body), "won by number %u in round %u", r->number, round);
		(void)pthread_barrier_wait(r->start);
		r->results[round] = store_put_mem(r->store, NULL, name, body, strlen(body), NULL, NULL);
	}
	return NULL;
}

static void test_race__of_different_bodies_exactly_one_wins(void **state)
{
	struct store *s = store_of(state);
	struct racer racers[THREADS];

	run_racers(s, race_for_name, racers);
	for (unsigned round = 0; round < ROUNDS; round++) {
		unsigned winners = 0;
		char name[64];
		char body[64] = "";

		for (unsigned i = 0; i < THREADS; i++) {
			if (racers[i].results[round] == 0) {
				winners++;
				(void)snprintf(body, sizeof(body), "won by number %u in round %u", i, round);
			} else {
				assert_int_equal(racers[i].results[round], ERR_EXISTS);
			}
		}
		assert_int_equal(winners, 1);
		(void)snprintf(name, sizeof(name), "race-%u/decided", round);
		assert_holds(s, name, body);
	}
}

static void *race_same_body(void *arg)
{
	struct racer *r = arg;
	char name[64];

	for (unsigned round = 0; round < ROUNDS; round++) {
		(void)snprintf(name, sizeof(name), "packs/%02x/same", round);
		(void)pthread_barrier_wait(r->start);
		r->results[round] = store_put_mem(r->store, NULL, name, name, strlen(name), NULL, NULL);
	}
	return NULL;
}

static void test_race__of_the_same_body_all_win(void **state)
{
	struct store *s = store_of(state);
	struct racer racers[THREADS];

	run_racers(s, race_same_body, racers);
	for (unsigned i = 0; i < THREADS; i++) {
		for (unsigned round = 0; round < ROUNDS; round++)
			assert_int_equal(racers[i].results[round], 0);
	}
}

/* One round of a thread's own puts, gets and deletes beside a name that all read. */
static int work_once(struct racer *r, unsigned round)
{
	char name[64];
	char body[64];
	char got[64];
	size_t n;

	(void)snprintf(name, sizeof(name), "work/%02x/%u", r->number, round);
	(void)snprintf(body, sizeof(body), "%u of %u", round, r->number);
	int rc = store_put_mem(r->store, NULL, name, body, strlen(body), NULL, NULL);
	if (rc == 0)
		rc = store_get(r->store, NULL, name, 0, sizeof(got), got, &n, NULL);
	if (rc == 0 && (n != strlen(body) || memcmp(got, body, n) != 0))
		rc = ERR_CORRUPT;
	if (rc == 0)
		rc = store_get(r->store, NULL, "shared/by/all", 2, 3, got, &n, NULL);
	if (rc == 0 && (n != 3 || memcmp(got, "all", 3) != 0))
		rc = ERR_CORRUPT;
	if (rc == 0 && round % 2)
		rc = store_del(r->store, NULL, name, NULL);
	if (rc == 0 && round % 2 && store_get(r->store, NULL, name, 0, 1, got, &n, NULL) != ERR_NOT_FOUND)
		rc = ERR_CORRUPT;
	return rc;
}

static void *work(void *arg)
{
	struct racer *r = arg;

	(void)pthread_barrier_wait(r->start);
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct names names = {0};

		r->results[round] = work_once(r, round);
		if (round % 5 == 0 && r->results[round] == 0)
			r->results[round] = store_list(r->store, NULL, "", "", collect, &names, NULL);
		for (size_t i = 1; i < names.count; i++) {
			if (strcmp(names.list[i - 1], names.list[i]) >= 0)
				r->results[round] = ERR_CORRUPT;
		}
		free(names.list);
	}
	return NULL;
}

static void test_threads__puts_gets_deletes_and_lists_do_not_disturb_each_other(void **state)
{
	struct store *s = store_of(state);
	struct racer racers[THREADS];
	struct names left = {0};

	put_text(s, "shared/by/all", "--all--");
	run_racers(s, work, racers);
	for (unsigned i = 0; i < THREADS; i++) {
		for (unsigned round = 0; round < ROUNDS; round++)
			assert_int_equal(racers[i].results[round], 0);
	}
	assert_int_equal(store_list(s, NULL, "work/", "", collect, &left, NULL), 0);
	assert_int_equal(left.count, THREADS * ((ROUNDS + 1) / 2));
	free(left.list);
}

/* ---- the store itself ---- */

static void test_store__describes_itself(void **state)
{
	struct store *s = store_of(state);
	uint64_t bytes = 0;

	assert_non_null(s->url);
	assert_true(s->parallel >= 1);
	assert_int_equal(store_free_space(s, &bytes, NULL), 0);
	assert_true(bytes > 0);
}

#define CONFORMS(test)                                         \
	{                                                      \
#test, test, open_empty, close_and_clean, NULL \
	}

int store_conformance_run(const struct store_factory *factory)
{
	struct CMUnitTest tests[] = {
		CONFORMS(test_put__object_reads_back),
		CONFORMS(test_put__empty_object_exists),
		CONFORMS(test_put__second_create_with_other_bytes_is_refused),
		CONFORMS(test_put__same_bytes_again_is_success),
		CONFORMS(test_put__name_is_free_again_after_delete),
		CONFORMS(test_put__body_from_a_file_is_read_from_its_start),
		CONFORMS(test_put__file_shorter_than_announced_stores_nothing),
		CONFORMS(test_put__large_body_from_tmpfile_reads_back),
		CONFORMS(test_put__unused_tmpfile_leaves_no_object),
		CONFORMS(test_put__date_is_about_now_or_not_told),
		CONFORMS(test_get__ranges_end_where_the_object_ends),
		CONFORMS(test_get__missing_object_is_not_found),
		CONFORMS(test_get_all__limit_is_kept),
		CONFORMS(test_del__object_is_gone),
		CONFORMS(test_del__missing_name_is_success),
		CONFORMS(test_names__bad_ones_are_refused),
		CONFORMS(test_list__empty_store_lists_nothing),
		CONFORMS(test_list__order_is_bytewise_over_whole_names),
		CONFORMS(test_list__prefix_need_not_end_at_a_slash),
		CONFORMS(test_list__after_is_exclusive_and_need_not_exist),
		CONFORMS(test_list__caller_stops_it),
		CONFORMS(test_list__store_may_be_used_from_the_callback),
		CONFORMS(test_list__many_names_in_order_and_in_pages),
		CONFORMS(test_call__cancelled_one_does_nothing),
		CONFORMS(test_call__passed_deadline_does_nothing),
		CONFORMS(test_call__cancel_ends_a_listing_under_way),
		CONFORMS(test_race__of_different_bodies_exactly_one_wins),
		CONFORMS(test_race__of_the_same_body_all_win),
		CONFORMS(test_threads__puts_gets_deletes_and_lists_do_not_disturb_each_other),
		CONFORMS(test_store__describes_itself),
	};

	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		tests[i].initial_state = (void *)(uintptr_t)factory;
	return _cmocka_run_group_tests(factory->label, tests, sizeof(tests) / sizeof(tests[0]), NULL, NULL);
}
