/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/config.h"
#include "archive/repo_listing.h"
#include "archive/slot.h"
#include "backends/fault.h"
#include "base/hex.h"
#include "base/host.h"

static const uint8_t test_key[32] = "a key file's thirty-two bytes..";
static const uint8_t other_key[32] = "another key file's bytes.......";
static const struct repo_unlock by_key = {.key = test_key};
static const struct repo_unlock by_other_key = {.key = other_key};
static const struct repo_unlock by_passphrase = {.passphrase = "correct horse"};

static struct store *memory_store(void)
{
	struct store *s;
	assert_int_equal(store_memory_open(&s, NULL), 0);
	return s;
}

static struct store *fault_store(void)
{
	struct store *s;
	assert_int_equal(store_fault_open(memory_store(), &s, NULL), 0);
	return s;
}

static struct store *made(struct id *slot)
{
	struct store *s = memory_store();
	assert_int_equal(repo_init(s, &by_key, "test", slot, NULL), 0);
	return s;
}

static struct buf object_of(struct store *s, const char *name)
{
	struct buf b = {0};
	assert_int_equal(store_get_all(s, NULL, name, 1 << 20, &b, NULL), 0);
	return b;
}

/* Puts other bytes in an object's place, as who holds the bucket can. */
static void exchange(struct store *s, const char *name, const void *data, size_t len)
{
	assert_int_equal(store_del(s, NULL, name, NULL), 0);
	assert_int_equal(store_put_mem(s, NULL, name, data, len, NULL, NULL), 0);
}

static void test_repo_init__then_open_by_key_file(void **state)
{
	(void)state;
	struct id slot;
	struct repo *repo;
	struct store *s = made(&slot);
	assert_int_equal(repo_open(s, &by_key, NULL, &repo, NULL), 0);
	assert_int_equal(repo->slot_count, 1);
	assert_true(id_equal(&repo->own->id, &slot));
	assert_ptr_equal(repo_slot(repo, &slot), repo->own);
	assert_string_equal(repo->own->label, "test");
	assert_int_equal(repo->own->rights, RIGHT_ALL);
	assert_int_equal(repo->own->kind, SLOT_KEY_FILE);
	assert_int_equal(repo_wrap_current(repo)->generation, 1);
	assert_ptr_equal(repo_wrap_key(repo, 1), repo_wrap_current(repo));
	assert_null(repo_wrap_key(repo, 2));
	assert_int_equal(repo->config.chunk_avg, 1 << 20);
	assert_int_equal(repo_may_write(repo, NULL), 0);
	repo_close(repo);
}

static void test_repo_open__twice_gives_the_same_keys(void **state)
{
	(void)state;
	struct id slot;
	struct repo *one, *two;
	struct repo_secrets first;
	struct store *s = fault_store(), *copy;
	assert_int_equal(repo_init(s, &by_key, NULL, &slot, NULL), 0);
	assert_int_equal(store_fault_cut(s, store_fault_history(s), &copy, NULL), 0);
	assert_int_equal(repo_open(s, &by_key, NULL, &one, NULL), 0);
	first = *one->sec;
	assert_int_equal(repo_open(copy, &by_key, NULL, &two, NULL), 0);
	assert_memory_equal(&first, two->sec, sizeof(first));
	assert_memory_not_equal(first.chunk_id_key, first.node_id_key, 32);
	assert_memory_not_equal(first.chunk_id_key, first.chunk_secret, 32);
	repo_close(one);
	repo_close(two);
}

static void test_repo_open__passphrase_opens_and_a_wrong_one_does_not(void **state)
{
	(void)state;
	struct id slot;
	struct repo *repo = NULL;
	struct store *s = memory_store();
	struct repo_unlock wrong = {.passphrase = "correct horsE"};
	assert_int_equal(repo_init(s, &by_passphrase, NULL, &slot, NULL), 0);
	assert_int_equal(repo_open(s, &wrong, NULL, &repo, NULL), ERR_PASSPHRASE);
	assert_int_equal(repo_open(s, &by_key, NULL, &repo, NULL), ERR_PASSPHRASE);
	assert_null(repo);
	assert_int_equal(repo_open(s, &by_passphrase, NULL, &repo, NULL), 0);
	repo_close(repo);
}

static void test_repo_open__nothing_there_is_no_repo(void **state)
{
	(void)state;
	struct repo *repo;
	struct store *s = memory_store();
	assert_int_equal(repo_open(s, &by_key, NULL, &repo, NULL), ERR_NO_REPO);
	assert_int_equal(store_put_mem(s, NULL, "config", "something else entirely, and not short at all.......", 50,
				 NULL, NULL),
		0);
	assert_int_equal(repo_open(s, &by_key, NULL, &repo, NULL), ERR_CORRUPT);
	store_close(s);
}

static void test_repo_init__second_is_refused(void **state)
{
	(void)state;
	struct id slot, second;
	struct store *s = made(&slot);
	struct repo *repo;
	assert_int_equal(repo_init(s, &by_other_key, NULL, &second, NULL), ERR_EXISTS);
	assert_int_equal(repo_open(s, &by_key, NULL, &repo, NULL), 0);
	repo_close(repo);
}

static void test_repo_init__never_over_a_damaged_repository(void **state)
{
	(void)state;
	static const char *const names[] = {"packs/ab/abc", "snapshots/x", "wraps/1/ab/abc", "index/x"};
	for (size_t i = 0; i < 4; i++) {
		struct id slot;
		struct error err = ERROR_INIT;
		struct store *s = memory_store();
		assert_int_equal(store_put_mem(s, NULL, names[i], "x", 1, NULL, NULL), 0);
		assert_int_equal(repo_init(s, &by_key, NULL, &slot, &err), ERR_CORRUPT);
		assert_non_null(strstr(error_text(&err), "'config' is missing"));
		store_close(s);
	}
}

static void test_repo_init__empty_passphrase_is_refused(void **state)
{
	(void)state;
	struct id slot;
	struct repo_unlock empty = {.passphrase = ""};
	struct store *s = memory_store();
	assert_int_equal(repo_init(s, &empty, NULL, &slot, NULL), ERR_USAGE);
	store_close(s);
}

/* After each put that took effect the machine may stop: then there is a good repository or none, and init runs again.
 */
static void test_repo_init__cut_anywhere_leaves_none_or_a_good_one(void **state)
{
	(void)state;
	struct id slot;
	struct store *s = fault_store();
	assert_int_equal(repo_init(s, &by_key, NULL, &slot, NULL), 0);
	size_t history = store_fault_history(s);
	assert_int_equal(history, 2);
	for (size_t n = 0; n <= history; n++) {
		struct store *cut;
		struct repo *repo;
		assert_int_equal(store_fault_cut(s, n, &cut, NULL), 0);
		if (n < history) {
			assert_int_equal(repo_open(cut, &by_key, NULL, &repo, NULL), ERR_NO_REPO);
			assert_int_equal(repo_init(cut, &by_other_key, NULL, &slot, NULL), 0);
			/* The slot of the first try opens nothing. */
			assert_int_equal(repo_open(cut, &by_key, NULL, &repo, NULL), ERR_PASSPHRASE);
			assert_int_equal(repo_open(cut, &by_other_key, NULL, &repo, NULL), 0);
			assert_int_equal(repo->slot_count, 1);
		} else {
			assert_int_equal(repo_open(cut, &by_key, NULL, &repo, NULL), 0);
		}
		repo_close(repo);
	}
	store_close(s);
}

static void test_repo_init__a_failing_call_leaves_none_or_a_good_one(void **state)
{
	(void)state;
	static const enum fault_kind kinds[] = {FAULT_FAIL, FAULT_LOSE_REPLY};
	for (size_t k = 0; k < 2; k++) {
		for (uint64_t nth = 1;; nth++) {
			struct id slot;
			struct repo *repo;
			struct store *s = fault_store();
			struct fault_rule rule = {.kind = kinds[k], .ops = FAULT_ALL, .nth = nth};
			assert_int_equal(store_fault_add(s, &rule, NULL), 0);
			int rc = repo_init(s, &by_key, NULL, &slot, NULL);
			store_fault_clear(s);
			int opened = repo_open(s, &by_key, NULL, &repo, NULL);
			assert_true(opened == 0 || opened == ERR_NO_REPO);
			if (rc == 0)
				assert_int_equal(opened, 0);
			if (opened == ERR_NO_REPO) {
				assert_int_equal(repo_init(s, &by_key, NULL, &slot, NULL), 0);
				assert_int_equal(repo_open(s, &by_key, NULL, &repo, NULL), 0);
			}
			repo_close(repo);
			if (rc == 0)
				break;
			assert_true(nth < 50);
		}
	}
}

/* Each byte of an object flipped; with `mend`, its trailing hash is made to fit again, as an attacker would. */
static void flip_all(struct store *s, const char *name, bool mend)
{
	struct buf whole = object_of(s, name), b = {0};
	for (size_t at = 0; at < whole.len; at++) {
		struct repo *repo = NULL;
		buf_clear(&b);
		buf_put(&b, whole.data, whole.len);
		b.data[at] ^= (uint8_t)(1 + at % 255);
		if (mend) {
			b.len -= FORMAT_TRAILER_LEN;
			object_trailer_put(&b, (enum trailer_kind)whole.data[6]);
		}
		bool same = b.len == whole.len && memcmp(b.data, whole.data, b.len) == 0;
		exchange(s, name, b.data, b.len);
		int rc = repo_open(s, &by_key, NULL, &repo, NULL);
		if (same) {
			assert_int_equal(rc, 0);
			exchange(s, name, whole.data, whole.len);
			/* The store went with the repository; take it back for the next byte. */
			repo->store = NULL;
			struct store *none = memory_store();
			repo->store = none;
			repo_close(repo);
			continue;
		}
		assert_int_not_equal(rc, 0);
		assert_true(mend || rc == ERR_CORRUPT || rc == ERR_UNSUPPORTED);
		assert_null(repo);
	}
	exchange(s, name, whole.data, whole.len);
	buf_release(&whole);
	buf_release(&b);
}

static void test_repo_open__every_flipped_byte_of_config_and_slot_is_an_error(void **state)
{
	(void)state;
	struct id slot;
	struct repo *repo;
	char name[FORMAT_NAME_MAX];
	struct store *s = made(&slot);
	object_name(KIND_SLOT, 0, &slot, name);
	for (int mend = 0; mend < 2; mend++) {
		flip_all(s, "config", mend);
		flip_all(s, name, mend);
	}
	assert_int_equal(repo_open(s, &by_key, NULL, &repo, NULL), 0);
	repo_close(repo);
}

static void test_repo_open__another_repository_s_slot_or_config_is_refused(void **state)
{
	(void)state;
	struct id slot, foreign;
	struct repo *repo;
	char name[FORMAT_NAME_MAX], foreign_name[FORMAT_NAME_MAX];
	struct store *s = made(&slot), *other = made(&foreign);
	struct buf config = object_of(other, "config"), own = object_of(s, "config"), card;
	object_name(KIND_SLOT, 0, &slot, name);
	object_name(KIND_SLOT, 0, &foreign, foreign_name);
	card = object_of(other, foreign_name);
	exchange(s, "config", config.data, config.len);
	assert_int_equal(repo_open(s, &by_key, NULL, &repo, NULL), ERR_CORRUPT);
	exchange(s, "config", own.data, own.len);
	/* Under its own name it is another init's; under ours it is damage. */
	assert_int_equal(store_put_mem(s, NULL, foreign_name, card.data, card.len, NULL, NULL), 0);
	exchange(s, name, card.data, card.len);
	assert_int_equal(repo_open(s, &by_key, NULL, &repo, NULL), ERR_CORRUPT);
	buf_release(&config);
	buf_release(&own);
	buf_release(&card);
	store_close(s);
	store_close(other);
}

static void test_repo_open__newer_config_is_unsupported(void **state)
{
	(void)state;
	struct id slot;
	struct repo *repo;
	struct store *s = made(&slot);
	struct buf b = object_of(s, "config");
	b.data[5] = FORMAT_VERSION + 1;
	b.len -= FORMAT_TRAILER_LEN;
	object_trailer_put(&b, (enum trailer_kind)b.data[6]);
	exchange(s, "config", b.data, b.len);
	assert_int_equal(repo_open(s, &by_key, NULL, &repo, NULL), ERR_UNSUPPORTED);
	buf_release(&b);
	store_close(s);
}

static void test_config_decode__values_out_of_bounds_are_refused(void **state)
{
	(void)state;
	struct repo_config good, bad, out;
	struct buf b = {0};
	config_draw(&good);
	assert_int_equal(config_encode(&good, &b, NULL), 0);
	assert_int_equal(config_decode(b.data, b.len, &out, NULL), 0);
	assert_memory_equal(out.repository, good.repository, FORMAT_REPO_LEN);
	assert_memory_equal(out.salt, good.salt, sizeof(good.salt));
	assert_int_equal(out.pack_size, good.pack_size);
	struct {
		size_t at;
		uint32_t value;
	} wrong[] = {
		{offsetof(struct repo_config, chunk_min), 0},
		{offsetof(struct repo_config, chunk_avg), (1 << 20) + 1},
		{offsetof(struct repo_config, chunk_max), 1u << 31},
		{offsetof(struct repo_config, chunk_max), 512 << 10},
		{offsetof(struct repo_config, small_file), 8 << 20},
		{offsetof(struct repo_config, pack_size), 1},
		{offsetof(struct repo_config, pack_size), 1u << 31},
		{offsetof(struct repo_config, argon_passes), 0},
		{offsetof(struct repo_config, argon_passes), 17},
		{offsetof(struct repo_config, argon_kib), 1},
		{offsetof(struct repo_config, argon_kib), (1 << 20) + 1},
	};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		bad = good;
		memcpy((uint8_t *)&bad + wrong[i].at, &wrong[i].value, sizeof(uint32_t));
		assert_int_equal(config_encode(&bad, &b, NULL), 0);
		assert_int_equal(config_decode(b.data, b.len, &out, NULL), ERR_CORRUPT);
	}
	buf_release(&b);
}

static void test_repo_key_add__both_keys_open_and_know_each_other(void **state)
{
	(void)state;
	struct id slot, second, third;
	struct repo *repo;
	struct store *s = fault_store(), *copy;
	assert_int_equal(repo_init(s, &by_key, "first", &slot, NULL), 0);
	assert_int_equal(repo_open(s, &by_key, NULL, &repo, NULL), 0);
	assert_int_equal(repo_key_add(repo, &by_other_key, "second", &second, NULL), 0);
	assert_int_equal(repo_key_add(repo, &by_passphrase, "third", &third, NULL), 0);
	assert_int_equal(repo->slot_count, 3);
	assert_string_equal(repo_slot(repo, &second)->label, "second");
	assert_ptr_equal(repo_slot(repo, &slot), repo->own);
	assert_int_equal(repo_reload_slots(repo, NULL), 0);
	assert_int_equal(repo->slot_count, 3);
	assert_ptr_equal(repo_slot(repo, &slot), repo->own);
	assert_int_equal(store_fault_cut(s, store_fault_history(s), &copy, NULL), 0);
	repo_close(repo);
	assert_int_equal(repo_open(copy, &by_passphrase, NULL, &repo, NULL), 0);
	assert_true(id_equal(&repo->own->id, &third));
	assert_int_equal(repo->slot_count, 3);
	assert_string_equal(repo_slot(repo, &slot)->label, "first");
	assert_memory_not_equal(repo_slot(repo, &slot)->sign_public, repo->own->sign_public, 32);
	repo_close(repo);
}

/* A damaged slot of someone else takes nothing from us. */
static void test_repo_open__a_damaged_other_slot_is_left_out(void **state)
{
	(void)state;
	struct id slot, second;
	struct repo *repo;
	char name[FORMAT_NAME_MAX];
	struct store *s = fault_store(), *copy;
	assert_int_equal(repo_init(s, &by_key, "first", &slot, NULL), 0);
	assert_int_equal(repo_open(s, &by_key, NULL, &repo, NULL), 0);
	assert_int_equal(repo_key_add(repo, &by_other_key, "second", &second, NULL), 0);
	assert_int_equal(store_fault_cut(s, store_fault_history(s), &copy, NULL), 0);
	repo_close(repo);
	object_name(KIND_SLOT, 0, &second, name);
	struct buf b = object_of(copy, name);
	b.data[100] ^= 1;
	exchange(copy, name, b.data, b.len);
	assert_int_equal(repo_open(copy, &by_other_key, NULL, &repo, NULL), ERR_PASSPHRASE);
	assert_int_equal(repo_open(copy, &by_key, NULL, &repo, NULL), 0);
	assert_int_equal(repo->slot_count, 1);
	buf_release(&b);
	repo_close(repo);
}

static void test_repo_key_remove__takes_the_slot_and_refuses_one_s_own(void **state)
{
	(void)state;
	struct id slot, second;
	struct repo *repo;
	uint64_t size;
	char name[FORMAT_NAME_MAX];
	struct store *s = made(&slot);
	assert_int_equal(repo_open(s, &by_key, NULL, &repo, NULL), 0);
	assert_int_equal(repo_key_remove(repo, &slot, false, NULL), ERR_USAGE);
	assert_int_equal(repo_key_add(repo, &by_other_key, "second", &second, NULL), 0);
	assert_int_equal(repo_key_remove(repo, &slot, false, NULL), ERR_USAGE);
	object_name(KIND_SLOT, 0, &second, name);
	assert_int_equal(store_stat(s, NULL, name, &size, NULL), 0);
	assert_int_equal(repo_key_remove(repo, &second, false, NULL), 0);
	assert_int_equal(store_stat(s, NULL, name, &size, NULL), ERR_NOT_FOUND);
	assert_null(repo_slot(repo, &second));
	assert_int_equal(repo_key_remove(repo, &second, false, NULL), ERR_NOT_FOUND);
	repo_close(repo);
}

static void test_repo_key_add__without_the_right_is_denied(void **state)
{
	(void)state;
	struct id slot, second;
	struct repo *repo;
	struct store *s = made(&slot);
	assert_int_equal(repo_open(s, &by_key, NULL, &repo, NULL), 0);
	memset(repo->sec->root_secret, 0, sizeof(repo->sec->root_secret));
	assert_int_equal(repo_key_add(repo, &by_other_key, NULL, &second, NULL), ERR_DENIED);
	assert_int_equal(repo_key_remove(repo, &slot, true, NULL), ERR_DENIED);
	repo_close(repo);
}

static void test_repo_revoke__one_s_own_card_stays_readable(void **state)
{
	(void)state;
	struct id slot;
	struct repo *repo;
	struct store *s = made(&slot);
	assert_int_equal(repo_open(s, &by_key, NULL, &repo, NULL), 0);
	repo_revoke(repo, &slot);
	assert_null(repo_slot(repo, &slot));
	assert_string_equal(repo->own->label, "test");
	assert_int_equal(repo_reload_slots(repo, NULL), 0);
	assert_ptr_equal(repo_slot(repo, &slot), repo->own);
	repo_close(repo);
}

static void test_slot_may_write__only_listed_datasets(void **state)
{
	(void)state;
	char db[] = "db", files[] = "files", *datasets[] = {db, files};
	struct slot_card card = {.rights = RIGHT_READ};
	assert_false(slot_may_write(&card, "db"));
	card.rights |= RIGHT_WRITE;
	assert_true(slot_may_write(&card, "anything"));
	card.datasets = datasets;
	card.dataset_count = 2;
	assert_true(slot_may_write(&card, "files"));
	assert_false(slot_may_write(&card, "file"));
}

static void test_slot__card_with_datasets_reads_back(void **state)
{
	(void)state;
	char db[] = "db", files[] = "files", label[] = "a label", *datasets[] = {db, files};
	struct slot_card card = {.rights = RIGHT_READ | RIGHT_WRITE,
				 .label = label,
				 .datasets = datasets,
				 .dataset_count = 2,
				 .created = -5},
			 *back;
	struct buf b = {0};
	slot_card_put(&b, &card);
	struct cursor c = cursor_of(b.data, b.len);
	assert_int_equal(slot_card_read(&c, &back, NULL), 0);
	assert_int_equal(back->rights, card.rights);
	assert_string_equal(back->label, label);
	assert_int_equal(back->dataset_count, 2);
	assert_string_equal(back->datasets[1], "files");
	assert_int_equal(back->created, -5);
	slot_card_free(back);
	for (size_t len = 0; len < b.len; len++) {
		c = cursor_of(b.data, len);
		if (slot_card_read(&c, &back, NULL) == 0)
			slot_card_free(back); /* a shorter list of fields, whole in itself */
	}
	buf_release(&b);
}

/* Names of labels and rights are not to be told by a slot's size. */
static void test_slot_seal__size_does_not_tell_the_label(void **state)
{
	(void)state;
	struct id one, two;
	char name[FORMAT_NAME_MAX];
	uint64_t size_one, size_two;
	struct store *a = memory_store(), *b = memory_store();
	assert_int_equal(repo_init(a, &by_key, "", &one, NULL), 0);
	assert_int_equal(repo_init(b, &by_key, "a label that is quite a bit longer than none at all", &two, NULL), 0);
	object_name(KIND_SLOT, 0, &one, name);
	assert_int_equal(store_stat(a, NULL, name, &size_one, NULL), 0);
	object_name(KIND_SLOT, 0, &two, name);
	assert_int_equal(store_stat(b, NULL, name, &size_two, NULL), 0);
	assert_int_equal(size_one, size_two);
	store_close(a);
	store_close(b);
}

static void test_repo_open__keeps_what_it_listed(void **state)
{
	(void)state;
	struct id slot, seen = {{7}};
	struct repo *repo;
	struct repo_listing *listing;
	char name[FORMAT_NAME_MAX];
	struct store *s = made(&slot);
	object_name(KIND_SNAPSHOT, 0, &seen, name);
	assert_int_equal(store_put_mem(s, NULL, name, "x", 1, NULL, NULL), 0);
	assert_int_equal(store_put_mem(s, NULL, "marks/of-no-form", "x", 1, NULL, NULL), 0);
	assert_int_equal(repo_open(s, &by_key, NULL, &repo, NULL), 0);
	listing = repo_take_listing(repo);
	assert_non_null(listing);
	assert_null(repo_take_listing(repo));
	assert_int_equal(listing->snapshots.count, 1);
	assert_true(id_list_has(&listing->snapshots, &seen));
	assert_false(id_list_has(&listing->summaries, &seen));
	assert_int_equal(listing->marks.count, 0);
	repo_listing_free(listing);
	assert_int_equal(repo_listing_load(repo, &listing, NULL), 0);
	assert_int_equal(listing->snapshots.count, 1);
	repo_listing_free(listing);
	repo_close(repo);
}

static void test_repo_open__a_store_that_fails_is_no_wrong_passphrase(void **state)
{
	(void)state;
	struct id slot;
	struct store *s = fault_store();
	assert_int_equal(repo_init(s, &by_key, NULL, &slot, NULL), 0);
	for (uint64_t nth = 1;; nth++) {
		struct repo *repo;
		struct fault_rule rule = {.kind = FAULT_FAIL, .ops = FAULT_ALL, .nth = nth, .code = ERR_UNAVAILABLE};
		store_fault_clear(s);
		assert_int_equal(store_fault_add(s, &rule, NULL), 0);
		int rc = repo_open(s, &by_key, NULL, &repo, NULL);
		if (rc == 0) {
			repo_close(repo);
			assert_true(nth > 5);
			return;
		}
		assert_int_equal(rc, ERR_UNAVAILABLE);
		assert_true(nth < 30);
	}
}

static void test_repo_key_file__made_read_and_never_overwritten(void **state)
{
	(void)state;
	char dir[] = "/tmp/drfs-test-XXXXXX", path[64];
	uint8_t made_key[32], read_key[32];
	struct stat st;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/key", dir);
	assert_int_equal(repo_key_file_make(path, made_key, NULL), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(repo_key_file_read(path, read_key, NULL), 0);
	assert_memory_equal(made_key, read_key, 32);
	assert_int_equal(repo_key_file_make(path, made_key, NULL), ERR_EXISTS);
	for (off_t len = 0; len < st.st_size - 1; len++) {
		FILE *f = fopen(path, "w");
		fprintf(f, "drfs-key-1 %.*s", (int)len,
			"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdeF");
		fclose(f);
		assert_int_equal(repo_key_file_read(path, read_key, NULL), ERR_CORRUPT);
	}
	FILE *f = fopen(path, "w");
	fputs("# of the ops laptop\r\n\ndrfs-key-1 "
	      "00000000000000000000000000000000000000000000000000000000000000ff\r\n",
		f);
	fclose(f);
	assert_int_equal(repo_key_file_read(path, read_key, NULL), 0);
	assert_int_equal(read_key[31], 0xff);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(repo_key_file_read(path, read_key, NULL), ERR_NOT_FOUND);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_repo_init__then_open_by_key_file),
		cmocka_unit_test(test_repo_open__twice_gives_the_same_keys),
		cmocka_unit_test(test_repo_open__passphrase_opens_and_a_wrong_one_does_not),
		cmocka_unit_test(test_repo_open__nothing_there_is_no_repo),
		cmocka_unit_test(test_repo_init__second_is_refused),
		cmocka_unit_test(test_repo_init__never_over_a_damaged_repository),
		cmocka_unit_test(test_repo_init__empty_passphrase_is_refused),
		cmocka_unit_test(test_repo_init__cut_anywhere_leaves_none_or_a_good_one),
		cmocka_unit_test(test_repo_init__a_failing_call_leaves_none_or_a_good_one),
		cmocka_unit_test(test_repo_open__every_flipped_byte_of_config_and_slot_is_an_error),
		cmocka_unit_test(test_repo_open__another_repository_s_slot_or_config_is_refused),
		cmocka_unit_test(test_repo_open__newer_config_is_unsupported),
		cmocka_unit_test(test_config_decode__values_out_of_bounds_are_refused),
		cmocka_unit_test(test_repo_key_add__both_keys_open_and_know_each_other),
		cmocka_unit_test(test_repo_open__a_damaged_other_slot_is_left_out),
		cmocka_unit_test(test_repo_key_remove__takes_the_slot_and_refuses_one_s_own),
		cmocka_unit_test(test_repo_key_add__without_the_right_is_denied),
		cmocka_unit_test(test_repo_revoke__one_s_own_card_stays_readable),
		cmocka_unit_test(test_slot_may_write__only_listed_datasets),
		cmocka_unit_test(test_slot__card_with_datasets_reads_back),
		cmocka_unit_test(test_slot_seal__size_does_not_tell_the_label),
		cmocka_unit_test(test_repo_open__keeps_what_it_listed),
		cmocka_unit_test(test_repo_open__a_store_that_fails_is_no_wrong_passphrase),
		cmocka_unit_test(test_repo_key_file__made_read_and_never_overwritten),
	};
	if (host_init(NULL) != 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
