/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "archive/object.h"
#include "archive_made.h"
#include "base/host.h"

static struct repo *repo;

static int set_up(void **state)
{
	(void)state;
	repo = made_repo();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	repo_close(repo);
	return 0;
}

/* A statement as bytes, with its id. */
static struct buf encoded(const struct made_snapshot *m, struct id *ret_id)
{
	struct buf b = {0};
	struct snapshot *s = made_statement(m);
	host_random(&s->id, sizeof(s->id));
	s->slot = repo->own->id;
	assert_int_equal(snapshot_encode(repo, s, &b, NULL), 0);
	*ret_id = s->id;
	snapshot_free(s);
	return b;
}

static void expect_equal(const struct snapshot *a, const struct snapshot *b)
{
	assert_string_equal(a->dataset, b->dataset);
	assert_string_equal(a->name, b->name);
	assert_int_equal(a->number, b->number);
	assert_true(a->time == b->time && a->host_time == b->host_time && a->store_date == b->store_date);
	assert_true(a->started == b->started);
	assert_memory_equal(&a->parent, &b->parent, sizeof(a->parent));
	assert_string_equal(a->host, b->host);
	assert_string_equal(a->user, b->user);
	assert_string_equal(a->description, b->description);
	assert_int_equal(a->path_count, b->path_count);
	assert_string_equal(a->paths[0], b->paths[0]);
	assert_string_equal(a->notes[0], b->notes[0]);
	assert_string_equal(a->tags[0], b->tags[0]);
	assert_int_equal(a->state, b->state);
	assert_memory_equal(&a->root, &b->root, sizeof(a->root));
	assert_int_equal(a->check_count, b->check_count);
	assert_string_equal(a->checks[0].path, b->checks[0].path);
	assert_string_equal(a->checks[0].kind, b->checks[0].kind);
	assert_string_equal(a->checks[0].reason, b->checks[0].reason);
	assert_int_equal(a->checks[0].ok, b->checks[0].ok);
	assert_int_equal(a->files, b->files);
	assert_int_equal(a->bytes, b->bytes);
	assert_int_equal(a->archive_bytes, b->archive_bytes);
	assert_int_equal(a->link_max, b->link_max);
	assert_int_equal(a->seq, b->seq);
	assert_memory_equal(a->seen, b->seen, sizeof(*a->seen));
	assert_int_equal(a->root_sealed.len, b->root_sealed.len);
}

static void expect_top_equal(const struct entry *a, const struct entry *b)
{
	assert_int_equal(a->mode, b->mode);
	assert_int_equal(a->uid, b->uid);
	assert_int_equal(a->gid, b->gid);
	assert_string_equal(a->user, b->user);
	assert_string_equal(a->group, b->group);
	assert_true(a->mtime.sec == b->mtime.sec && a->mtime.nsec == b->mtime.nsec);
	assert_true(a->ctime.sec == b->ctime.sec && a->ctime.nsec == b->ctime.nsec);
	assert_true(a->inode == b->inode);
	assert_int_equal(a->xattrs_len, b->xattrs_len);
	assert_memory_equal(a->xattrs, b->xattrs, a->xattrs_len);
}

static void test_snapshot_decode__gives_back_every_field(void **state)
{
	(void)state;
	const struct made_snapshot m = {.number = 77, .root_sealed = 5000};
	struct id id;
	struct buf b = encoded(&m, &id);
	struct snapshot *want = made_statement(&m), *got = NULL;
	assert_int_equal(snapshot_decode(repo, &id, b.data, b.len, &got, NULL), 0);
	expect_equal(got, want);
	expect_top_equal(&got->top, &want->top);
	assert_memory_equal(got->root_sealed.data, want->root_sealed.data, want->root_sealed.len);
	assert_memory_equal(got->root_key, want->root_key, sizeof(want->root_key));
	assert_string_equal(got->stated_name, want->name);
	assert_false(id_is_zero(&got->statement_hash));
	struct snapshot *copy = snapshot_copy(got);
	buf_clear(&want->root_sealed);
	expect_equal(copy, want);
	expect_top_equal(&copy->top, &want->top);
	snapshot_free(copy);
	snapshot_free(got);
	snapshot_free(want);
	buf_release(&b);
}

static void test_snapshot_decode__empty_tree_is_kept(void **state)
{
	(void)state;
	struct buf b = {0};
	struct snapshot *s = made_statement(&(struct made_snapshot){0}), *got = NULL;
	s->root = (struct tree_root){0};
	s->slot = repo->own->id;
	host_random(&s->id, sizeof(s->id));
	assert_int_equal(snapshot_encode(repo, s, &b, NULL), 0);
	assert_int_equal(snapshot_decode(repo, &s->id, b.data, b.len, &got, NULL), 0);
	assert_int_equal(got->root.entries, 0);
	snapshot_free(got);
	snapshot_free(s);
	buf_release(&b);
}

static void test_snapshot_decode__any_flipped_bit_is_refused_or_unsigned(void **state)
{
	(void)state;
	struct id id;
	struct buf b = encoded(&(struct made_snapshot){.root_sealed = 40}, &id);
	/* What is signed ends where the root node begins; that proves itself when it is opened. */
	size_t whole = b.len - (40 + 3) - (32 + 3);
	for (size_t bit = 0; bit < 8 * b.len; bit++) {
		struct snapshot *got = NULL;
		b.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		int rc = snapshot_decode(repo, &id, b.data, b.len, &got, NULL);
		if (bit / 8 < whole && rc == 0)
			fail_msg("bit %zu of %zu was flipped and nobody saw it", bit, 8 * whole);
		snapshot_free(got);
		b.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	buf_release(&b);
}

static void test_snapshot_decode__cut_anywhere_is_refused(void **state)
{
	(void)state;
	struct id id;
	struct buf b = encoded(&(struct made_snapshot){0}, &id);
	for (size_t len = 0; len < b.len; len++) {
		struct snapshot *got = NULL;
		uint8_t *exact = malloc(len + 1);
		memcpy(exact, b.data, len);
		assert_int_not_equal(snapshot_decode(repo, &id, exact, len, &got, NULL), 0);
		free(exact);
	}
	buf_release(&b);
}

static void test_snapshot_decode__statement_of_another_id_is_refused(void **state)
{
	(void)state;
	struct id id;
	struct snapshot *got = NULL;
	struct buf b = encoded(&(struct made_snapshot){0}, &id);
	id.b[0] ^= 1;
	assert_int_equal(snapshot_decode(repo, &id, b.data, b.len, &got, NULL), ERR_CORRUPT);
	buf_release(&b);
}

static void test_snapshot_decode__slot_without_right_is_denied(void **state)
{
	(void)state;
	struct id id;
	struct snapshot *got = NULL;
	struct buf b = encoded(&(struct made_snapshot){0}, &id);
	unsigned rights = repo->own->rights;
	repo->own->rights = RIGHT_READ;
	assert_int_equal(snapshot_decode(repo, &id, b.data, b.len, &got, NULL), ERR_DENIED);
	repo->own->rights = rights;
	/* It may write others, not this one. */
	char *allowed[] = {(char *)"files"};
	repo->own->datasets = allowed;
	repo->own->dataset_count = 1;
	assert_int_equal(snapshot_decode(repo, &id, b.data, b.len, &got, NULL), ERR_DENIED);
	allowed[0] = (char *)"db";
	assert_int_equal(snapshot_decode(repo, &id, b.data, b.len, &got, NULL), 0);
	repo->own->datasets = NULL;
	repo->own->dataset_count = 0;
	snapshot_free(got);
	buf_release(&b);
}

static void test_snapshot_decode__unknown_slot_is_denied(void **state)
{
	(void)state;
	struct id id;
	struct snapshot *got = NULL;
	struct repo *other = made_repo();
	struct buf b = encoded(&(struct made_snapshot){0}, &id);
	assert_int_equal(snapshot_decode(other, &id, b.data, b.len, &got, NULL), ERR_DENIED);
	repo_close(other);
	buf_release(&b);
}

static void test_snapshot_decode__names_that_could_mislead_are_refused(void **state)
{
	(void)state;
	static const char *const names[] = {"latest", "at", "../x", "2024/1", "", "2024 01", "\xff"};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct id id;
		struct snapshot *got = NULL;
		struct buf b = encoded(&(struct made_snapshot){.name = names[i]}, &id);
		assert_int_equal(snapshot_decode(repo, &id, b.data, b.len, &got, NULL), ERR_CORRUPT);
		buf_release(&b);
	}
}

static void test_snapshot_encode_void__decodes_as_one_and_never_differs(void **state)
{
	(void)state;
	struct id id;
	struct buf a = {0}, b = {0};
	struct snapshot *got = NULL;
	host_random(&id, sizeof(id));
	assert_int_equal(snapshot_encode_void(repo, &id, &a, NULL), 0);
	assert_int_equal(snapshot_encode_void(repo, &id, &b, NULL), 0);
	assert_int_equal(a.len, b.len);
	assert_memory_equal(a.data, b.data, a.len);
	assert_int_equal(snapshot_decode(repo, &id, a.data, a.len, &got, NULL), 0);
	assert_true(got->is_void);
	snapshot_free(got);
	buf_release(&a);
	buf_release(&b);
}

static void test_snapshot_dataset_ok__knows_the_rules(void **state)
{
	(void)state;
	static const char *const good[] = {"db", "a b", "db-1.x", "\xc3\xa9t\xc3\xa9", "latest", "att", "-x"};
	static const char *const bad[] = {
		"", ".", "..", ".db", "a/b", "/", "at", "spool", "clones", "a\nb", "a\x7f", "\xff", "\xc3"};
	char longest[SNAPSHOT_DATASET_MAX + 2];
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_int_equal(snapshot_dataset_ok(good[i], NULL), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(snapshot_dataset_ok(bad[i], NULL), ERR_USAGE);
	memset(longest, 'x', sizeof(longest));
	longest[SNAPSHOT_DATASET_MAX] = '\0';
	assert_int_equal(snapshot_dataset_ok(longest, NULL), 0);
	longest[SNAPSHOT_DATASET_MAX] = 'x';
	longest[SNAPSHOT_DATASET_MAX + 1] = '\0';
	assert_int_equal(snapshot_dataset_ok(longest, NULL), ERR_USAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_snapshot_decode__gives_back_every_field),
		cmocka_unit_test(test_snapshot_decode__empty_tree_is_kept),
		cmocka_unit_test(test_snapshot_decode__any_flipped_bit_is_refused_or_unsigned),
		cmocka_unit_test(test_snapshot_decode__cut_anywhere_is_refused),
		cmocka_unit_test(test_snapshot_decode__statement_of_another_id_is_refused),
		cmocka_unit_test(test_snapshot_decode__slot_without_right_is_denied),
		cmocka_unit_test(test_snapshot_decode__unknown_slot_is_denied),
		cmocka_unit_test(test_snapshot_decode__names_that_could_mislead_are_refused),
		cmocka_unit_test(test_snapshot_encode_void__decodes_as_one_and_never_differs),
		cmocka_unit_test(test_snapshot_dataset_ok__knows_the_rules),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
