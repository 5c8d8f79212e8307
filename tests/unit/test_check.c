/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "archive/check.h"
#include "archive/mark.h"
#include "archive/object.h"
#include "archive/prunelist.h"
#include "archive/session.h"
#include "archive/summary.h"
#include "saved_tree.h"

enum { STEP = 97, OBJECT_BYTES_MAX = 1 << 22 };

/*
 * One small archive with objects of every kind: two snapshots, a void, marks, a summary of the first snapshot, a
 * session that was cut off, prune lists. Tests put the objects they change back.
 */
struct saved {
	struct repo *repo;
	struct id first, second;
	char source[SAVED_PATH_MAX];
	char **names;
	size_t name_count;
	uint64_t calm; /* what check says of it when nothing is wrong, as a number */
	uint64_t calm_bad;
};

/* ---- what check says ---- */

struct said {
	uint64_t sum; /* over all findings, in any order */
	uint64_t errors, warnings, notes;
	const char *about; /* a piece of an object's name to count */
	unsigned about_count;
};

static uint64_t hash_text(uint64_t h, const char *text)
{
	for (; *text; text++)
		h = (h ^ (uint8_t)*text) * UINT64_C(1099511628211);
	return h;
}

static void hear(void *arg, enum check_severity severity, const char *object, const char *text)
{
	struct said *s = arg;
	assert_true(*object != '\0' && *text != '\0');
	s->sum += hash_text(hash_text(14695981039346656037u + (unsigned)severity, object), text);
	s->errors += severity == CHECK_ERROR;
	s->warnings += severity == CHECK_WARNING;
	s->notes += severity == CHECK_NOTE;
	s->about_count += s->about && strstr(object, s->about) ? 1 : 0;
}

/* Opens the same store again, as another host does, without taking it from the first. */
struct shared {
	struct store base;
	struct store *below;
};

static int shared_get(struct store *store, const struct store_call *call, const char *name, uint64_t off, size_t len,
	void *dst, size_t *ret_len, struct error *err)
{
	return store_get(((struct shared *)store)->below, call, name, off, len, dst, ret_len, err);
}

static int shared_put(struct store *store, const struct store_call *call, const char *name,
	const struct store_body *body, struct store_reply *ret_reply, struct error *err)
{
	(void)store;
	(void)call;
	(void)name;
	(void)body;
	(void)ret_reply;
	(void)err;
	fail_msg("a check or a restore writes to the store");
	return ERR_BUG;
}

static int shared_del(struct store *store, const struct store_call *call, const char *name, struct error *err)
{
	(void)store;
	(void)call;
	(void)name;
	(void)err;
	fail_msg("a check or a restore deletes from the store");
	return ERR_BUG;
}

static int shared_list(struct store *store, const struct store_call *call, const char *prefix, const char *after,
	store_list_fn *fn, void *arg, struct error *err)
{
	return store_list(((struct shared *)store)->below, call, prefix, after, fn, arg, err);
}

static int shared_stat(
	struct store *store, const struct store_call *call, const char *name, uint64_t *ret_size, struct error *err)
{
	return store_stat(((struct shared *)store)->below, call, name, ret_size, err);
}

static void shared_close(struct store *store)
{
	free(store);
}

static const struct store_ops shared_ops = {
	.get = shared_get,
	.put = shared_put,
	.del = shared_del,
	.list = shared_list,
	.stat = shared_stat,
	.close = shared_close,
};

static struct repo *open_again(const struct saved *s, struct error *err)
{
	static const uint8_t key[32] = "the key of all archives in tests";
	const struct repo_unlock unlock = {.key = key};
	struct shared *shared = calloc(1, sizeof(*shared));
	struct repo *repo = NULL;
	assert_non_null(shared);
	shared->base = (struct store){.ops = &shared_ops,
		.features = s->repo->store->features,
		.parallel = s->repo->store->parallel,
		.url = s->repo->store->url};
	shared->below = s->repo->store;
	if (repo_open(&shared->base, &unlock, NULL, &repo, err) != 0) {
		free(shared);
		return NULL;
	}
	return repo;
}

static struct said check_with(struct repo *repo, double percent, unsigned threads, const char *about)
{
	struct said said = {.about = about};
	struct check_result result = {0};
	struct error err = ERROR_INIT;
	const struct check_options options = {
		.read_percent = percent, .finding = hear, .finding_arg = &said, .threads = threads};
	if (check_run(repo, &options, &result, &err) != 0)
		fail_msg("%s", error_text(&err));
	assert_int_equal(result.errors, said.errors);
	assert_int_equal(result.warnings, said.warnings);
	return said;
}

/* ---- the archive ---- */

static void put_summary(struct repo *repo, const struct id *snapshot)
{
	uint8_t key[FORMAT_KEY_LEN];
	struct buf content = {0}, summary = {0};
	struct id id;
	assert_int_equal(object_get(repo, KIND_SNAPSHOT, snapshot, &content, NULL), 0);
	const struct summary_entry entry = {.id = *snapshot, .data = content.data, .len = content.len};
	assert_true(summary_put_entry(&summary, &entry, true));
	object_draw(repo, KIND_SUMMARY, key, &id);
	assert_int_equal(object_put(repo, KIND_SUMMARY, &id, key, summary.data, summary.len, NULL, NULL), 0);
	buf_release(&content);
	buf_release(&summary);
}

static void put_prunes(struct repo *repo)
{
	struct id pack = {{7}};
	assert_int_equal(prunelist_put(repo, 1, false, &pack, 1, NULL, 0, NULL), 0);
	assert_int_equal(prunelist_put(repo, 1, true, &pack, 1, NULL, 0, NULL), 0);
	assert_int_equal(prunelist_put(repo, 2, false, &pack, 1, NULL, 0, NULL), 0);
	assert_int_equal(prunelist_put(repo, 2, true, &pack, 1, NULL, 0, NULL), 0);
	assert_int_equal(prunelist_put(repo, 3, false, &pack, 1, NULL, 0, NULL), 0);
}

static void leave_session(struct repo *repo)
{
	struct session *session = NULL;
	struct catalog *catalog = made_catalog(repo, NULL);
	assert_int_equal(session_begin(repo, catalog, "files", &session, NULL), 0);
	session_free(session);
	catalog_close(catalog);
}

static int add_name(void *arg, const char *name, uint64_t size, struct error *err)
{
	struct saved *s = arg;
	(void)size;
	(void)err;
	s->names = reallocarray(s->names, s->name_count + 1, sizeof(*s->names));
	s->names[s->name_count++] = strdup(name);
	return 0;
}

static int make_saved(void **state)
{
	struct saved *s = calloc(1, sizeof(*s));
	s->repo = made_repo();
	saved_folder(s->source);
	saved_make_small(s->source);
	s->first = saved_backup(s->repo, "files", s->source);
	saved_write(s->source, "more", "something else", 14);
	s->second = saved_backup(s->repo, "files", s->source);
	made_mark(s->repo, MARK_HOLD, &s->first);
	made_mark(s->repo, MARK_VERIFIED, &s->second);
	made_void(s->repo);
	put_summary(s->repo, &s->first);
	put_prunes(s->repo);
	leave_session(s->repo);
	assert_int_equal(store_list(s->repo->store, NULL, "", "", add_name, s, NULL), 0);
	struct error err = ERROR_INIT;
	struct repo *repo = open_again(s, &err);
	struct said said = check_with(repo, 100, 0, NULL);
	s->calm = said.sum;
	s->calm_bad = said.errors + said.warnings;
	repo_close(repo);
	*state = s;
	return 0;
}

static int drop_saved(void **state)
{
	struct saved *s = *state;
	for (size_t i = 0; i < s->name_count; i++)
		free(s->names[i]);
	free(s->names);
	repo_close(s->repo);
	saved_remove(s->source);
	free(s);
	return 0;
}

/* ---- putting damage in ---- */

static void take(const struct saved *s, const char *name, struct buf *ret)
{
	assert_int_equal(store_get_all(s->repo->store, NULL, name, OBJECT_BYTES_MAX, ret, NULL), 0);
}

static void put(const struct saved *s, const char *name, const void *data, size_t len)
{
	assert_int_equal(store_del(s->repo->store, NULL, name, NULL), 0);
	if (data)
		assert_int_equal(store_put_mem(s->repo->store, NULL, name, data, len, NULL, NULL), 0);
}

/* Restores the second snapshot: an error, or the right bytes, never others. */
static void expect_right_or_error(const struct saved *s, struct repo *repo)
{
	char dest[SAVED_PATH_MAX];
	struct error err = ERROR_INIT;
	saved_folder(dest);
	const struct restore_options options = {.dest = dest, .threads = 1};
	if (saved_restore(repo, &s->second, "", &options, NULL, &err) == 0)
		saved_expect_same(s->source, dest);
	saved_remove(dest);
}

/* After some damage: check says something that it did not say before; `grave`: a warning or an error. */
static void expect_found(const struct saved *s, const char *what, const char *name, size_t at, bool grave, bool restore)
{
	struct error err = ERROR_INIT;
	struct repo *repo = open_again(s, &err);
	if (!repo) /* what cannot even be opened was found */
		return;
	struct said said = check_with(repo, 100, 1, NULL);
	if (said.sum == s->calm || (grave && said.errors + said.warnings <= s->calm_bad))
		fail_msg("'%s' %s at byte %zu, and check finds nothing", name, what, at);
	if (restore)
		expect_right_or_error(s, repo);
	repo_close(repo);
}

/* ---- tests ---- */

static void test_check__a_good_archive_has_no_errors(void **state)
{
	const struct saved *s = *state;
	struct error err = ERROR_INIT;
	struct repo *repo = open_again(s, &err);
	struct check_result result = {0};
	const struct check_options options = {.read_percent = 0};
	assert_non_null(repo);
	assert_int_equal(check_run(repo, &options, &result, &err), 0);
	assert_int_equal(result.errors, 0);
	assert_int_equal(result.warnings, 0);
	assert_int_equal(result.snapshots, 2);
	assert_int_equal(result.objects, s->name_count);
	assert_true(result.packs >= 4);
	assert_true(result.chunks > 0 && result.nodes > 0);
	struct said all = check_with(repo, 100, 4, NULL);
	assert_int_equal(all.errors + all.warnings, 0);
	repo_close(repo);
}

static void test_check__every_flipped_byte_is_found(void **state)
{
	const struct saved *s = *state;
	for (size_t i = 0; i < s->name_count; i++) {
		struct buf object = {0};
		take(s, s->names[i], &object);
		/* The first and the last byte, and some in between. */
		for (size_t at = 0; at < object.len;) {
			uint8_t was = object.data[at];
			object.data[at] = (uint8_t)(was ^ (1u << at % 8));
			put(s, s->names[i], object.data, object.len);
			expect_found(s, "flipped", s->names[i], at, true, at % (STEP * 3) == 0);
			object.data[at] = was;
			at = at + STEP < object.len || at == object.len - 1 ? at + STEP : object.len - 1;
		}
		put(s, s->names[i], object.data, object.len);
		buf_release(&object);
	}
}

static void test_check__every_truncated_object_is_found(void **state)
{
	const struct saved *s = *state;
	for (size_t i = 0; i < s->name_count; i++) {
		struct buf object = {0};
		take(s, s->names[i], &object);
		const size_t lens[] = {0, 1, 32, object.len / 2, object.len - 1};
		for (size_t k = 0; k < sizeof(lens) / sizeof(lens[0]); k++) {
			put(s, s->names[i], object.data, lens[k]);
			expect_found(s, "cut off", s->names[i], lens[k], true, true);
		}
		buf_put_u8(&object, 0);
		put(s, s->names[i], object.data, object.len);
		expect_found(s, "grown", s->names[i], object.len, true, true);
		put(s, s->names[i], object.data, object.len - 1);
		buf_release(&object);
	}
}

static void test_check__every_missing_object_is_found(void **state)
{
	const struct saved *s = *state;
	for (size_t i = 0; i < s->name_count; i++) {
		struct buf object = {0};
		/* Nothing tells a prune whose verdict is not there yet from one whose list was never put. */
		if (strcmp(s->names[i], "prune/3.condemned") == 0)
			continue;
		take(s, s->names[i], &object);
		put(s, s->names[i], NULL, 0);
		/* A summary that a merge took away is no fault. */
		bool grave = strncmp(s->names[i], "summaries/", 10) != 0;
		expect_found(s, "taken away", s->names[i], 0, grave, true);
		put(s, s->names[i], object.data, object.len);
		buf_release(&object);
	}
}

/* One by one: what a snapshot needs or is, whatever else still tells the same. */
static void test_check__what_is_needed_and_missing_is_an_error(void **state)
{
	const struct saved *s = *state;
	char summarised[FORMAT_NAME_MAX];
	unsigned tried = 0;
	object_name(KIND_SNAPSHOT, 0, &s->first, summarised);
	for (size_t i = 0; i < s->name_count; i++) {
		struct buf object = {0};
		struct error err = ERROR_INIT;
		if (strncmp(s->names[i], "index/", 6) != 0 && strncmp(s->names[i], "packs/", 6) != 0 &&
			strcmp(s->names[i], summarised) != 0)
			continue;
		take(s, s->names[i], &object);
		put(s, s->names[i], NULL, 0);
		struct repo *repo = open_again(s, &err);
		assert_non_null(repo);
		if (check_with(repo, 0, 1, NULL).errors == 0)
			fail_msg("'%s' is missing, and check calls that no error", s->names[i]);
		repo_close(repo);
		put(s, s->names[i], object.data, object.len);
		buf_release(&object);
		tried++;
	}
	assert_true(tried >= 7);
}

/* Up to the last slash: objects of one kind. */
static bool same_kind(const char *a, const char *b)
{
	size_t n = strcspn(a, "/");
	return strncmp(a, b, n + 1) == 0 && a[n] == '/';
}

static void test_check__every_pair_of_swapped_objects_is_found(void **state)
{
	const struct saved *s = *state;
	for (size_t i = 0; i + 1 < s->name_count; i++) {
		struct buf one = {0}, two = {0};
		if (!same_kind(s->names[i], s->names[i + 1]))
			continue;
		take(s, s->names[i], &one);
		take(s, s->names[i + 1], &two);
		put(s, s->names[i], two.data, two.len);
		put(s, s->names[i + 1], one.data, one.len);
		expect_found(s, "swapped", s->names[i], 0, true, true);
		put(s, s->names[i], one.data, one.len);
		put(s, s->names[i + 1], two.data, two.len);
		buf_release(&one);
		buf_release(&two);
	}
}

static void test_check__foreign_objects_are_noted_and_harmless(void **state)
{
	const struct saved *s = *state;
	const char *const names[] = {
		"readme", "packs/ab/short", "snapshots/not-an-id", "wraps/x/ab/cd", "prune/1.maybe"};
	struct error err = ERROR_INIT;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		put(s, names[i], "hello", 5);
		struct repo *repo = open_again(s, &err);
		assert_non_null(repo);
		struct said said = check_with(repo, 100, 1, names[i]);
		assert_int_equal(said.errors + said.warnings, s->calm_bad);
		assert_int_equal(said.about_count, 1);
		repo_close(repo);
		put(s, names[i], NULL, 0);
	}
}

static void test_check__a_damaged_pack_names_the_files_that_need_it(void **state)
{
	const struct saved *s = *state;
	struct error err = ERROR_INIT;
	for (size_t i = 0; i < s->name_count; i++) {
		struct buf object = {0};
		if (strncmp(s->names[i], "packs/", 6) != 0)
			continue;
		take(s, s->names[i], &object);
		put(s, s->names[i], NULL, 0);
		struct repo *repo = open_again(s, &err);
		assert_non_null(repo);
		/* Every pack here is needed by one of the two snapshots. */
		struct said said = check_with(repo, 0, 2, "files/");
		assert_true(said.about_count >= 1);
		struct said pack = check_with(repo, 0, 2, s->names[i]);
		assert_int_equal(pack.about_count, 1);
		repo_close(repo);
		put(s, s->names[i], object.data, object.len);
		buf_release(&object);
	}
}

static void test_check__a_store_that_is_down_is_an_error_and_no_finding(void **state)
{
	const struct saved *s = *state;
	struct error err = ERROR_INIT;
	struct repo *repo = open_again(s, &err);
	struct said said = {0};
	struct check_result result = {.errors = 77};
	const struct check_options options = {.read_percent = 100, .finding = hear, .finding_arg = &said};
	for (uint64_t n = 1; n < 40; n += 3) {
		const struct fault_rule rule = {.kind = FAULT_FAIL, .ops = FAULT_ALL, .nth = n, .count = 1000000};
		error_clear(&err);
		assert_int_equal(store_fault_add(s->repo->store, &rule, NULL), 0);
		assert_int_equal(check_run(repo, &options, &result, &err), ERR_UNAVAILABLE);
		store_fault_clear(s->repo->store);
	}
	assert_int_equal(result.errors, 77);
	repo_close(repo);
}

static void test_check__a_set_flag_stops_it(void **state)
{
	const struct saved *s = *state;
	const volatile int cancel = 1;
	struct error err = ERROR_INIT;
	struct repo *repo = open_again(s, &err);
	struct check_result result = {0};
	const struct check_options options = {.cancel = &cancel};
	assert_int_equal(check_run(repo, &options, &result, &err), ERR_CANCELLED);
	repo_close(repo);
}

static void test_check__a_forgotten_snapshot_leaves_no_gap(void **state)
{
	const struct saved *s = *state;
	struct error err = ERROR_INIT;
	size_t before = store_fault_history(s->repo->store);
	struct id mark = made_mark(s->repo, MARK_FORGET, &s->first);
	struct repo *repo = open_again(s, &err);
	assert_non_null(repo);
	struct said said = check_with(repo, 100, 2, NULL);
	assert_int_equal(said.errors + said.warnings, s->calm_bad);
	repo_close(repo);
	char name[FORMAT_NAME_MAX];
	object_name(KIND_MARK, 0, &mark, name);
	put(s, name, NULL, 0);
	object_name(KIND_WRAP, 1, &mark, name);
	put(s, name, NULL, 0);
	assert_true(store_fault_history(s->repo->store) > before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_check__a_good_archive_has_no_errors),
		cmocka_unit_test(test_check__every_missing_object_is_found),
		cmocka_unit_test(test_check__what_is_needed_and_missing_is_an_error),
		cmocka_unit_test(test_check__every_truncated_object_is_found),
		cmocka_unit_test(test_check__every_pair_of_swapped_objects_is_found),
		cmocka_unit_test(test_check__foreign_objects_are_noted_and_harmless),
		cmocka_unit_test(test_check__a_damaged_pack_names_the_files_that_need_it),
		cmocka_unit_test(test_check__a_store_that_is_down_is_an_error_and_no_finding),
		cmocka_unit_test(test_check__a_set_flag_stops_it),
		cmocka_unit_test(test_check__a_forgotten_snapshot_leaves_no_gap),
		cmocka_unit_test(test_check__every_flipped_byte_is_found),
	};
	return cmocka_run_group_tests(tests, make_saved, drop_saved);
}
