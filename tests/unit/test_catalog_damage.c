/* SPDX-License-Identifier: MIT */

/* The catalog on SQLite over files that are damaged, foreign or of another version: never a wrong row. */

#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/checked.h"
#include "tests/unit/catalog_conformance.h"
#include "tests/unit/catalog_folder.h"

static const uint8_t other_repository[16] = "another one....";

static int set_up(void **state)
{
	*state = folder_new();
	return 0;
}

static int tear_down(void **state)
{
	folder_free(*state);
	return 0;
}

/* Opens what must not be usable: begun anew, the old one kept as `.damaged`, and said so. */
static void assert_begins_anew(struct folder *folder, const uint8_t *repository)
{
	struct buf before = {0}, aside = {0};
	folder_slurp(folder, "catalog.sqlite", &before);
	struct catalog *catalog = folder_open_at(folder, NULL, repository);
	assert_int_equal(catalog_state(catalog), CATALOG_NEW);
	assert_int_equal(folder->warnings, 1);
	assert_non_null(strstr(folder->last, "begun anew"));
	assert_int_equal(find_made(catalog, 0, 1), 0);
	assert_int_equal(add_made(catalog, 1, 0, 0, 100, NULL), 0);
	assert_int_equal(find_made(catalog, 0, 1), 1);
	catalog_close(catalog);
	folder_slurp(folder, "catalog.sqlite.damaged", &aside);
	assert_true(aside.len >= before.len);
	catalog = folder_open_at(folder, NULL, repository);
	assert_int_equal(catalog_state(catalog), CATALOG_KEPT);
	assert_int_equal(folder->warnings, 0);
	assert_int_equal(find_made(catalog, 0, 1), 1);
	catalog_close(catalog);
	buf_release(&before);
	buf_release(&aside);
}

static void make_kept(struct folder *folder, size_t chunks)
{
	struct catalog *catalog = folder_open(folder);
	assert_int_equal(add_made(catalog, 1, 0, 0, chunks, NULL), 0);
	assert_int_equal(catalog_object_put(catalog, "keys/1", "object", 6, NULL), 0);
	catalog_close(catalog);
}

static void test_open__random_bytes_are_moved_aside(void **state)
{
	struct folder *folder = *state;
	uint8_t noise[20000];
	make_kept(folder, 100);
	/* Twice: the second one takes the first one's place. */
	for (uint64_t round = 0; round < 2; round++) {
		for (size_t i = 0; i < sizeof(noise) - CATALOG_ID_LEN; i += CATALOG_ID_LEN)
			made_id('x', i + round, noise + i);
		folder_write(folder, "catalog.sqlite", noise, sizeof(noise) - 1000 * round);
		assert_begins_anew(folder, NULL);
	}
}

static void test_open__text_file_is_moved_aside(void **state)
{
	struct folder *folder = *state;
	make_kept(folder, 100);
	folder_write(folder, "catalog.sqlite", "hello\n", 6);
	assert_begins_anew(folder, NULL);
}

static void test_open__another_repositorys_catalog_is_never_used(void **state)
{
	struct folder *folder = *state;
	make_kept(folder, 100);
	assert_begins_anew(folder, other_repository);
}

static void run_sql(const struct folder *folder, const char *text)
{
	sqlite3 *db;
	assert_int_equal(sqlite3_open(folder_file(folder, "catalog.sqlite"), &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void test_open__another_version_is_begun_anew(void **state)
{
	struct folder *folder = *state;
	make_kept(folder, 100);
	run_sql(folder, "UPDATE meta SET value = x'39' WHERE name = CAST('version' AS BLOB)");
	assert_begins_anew(folder, NULL);
}

static void test_open__a_table_of_another_shape_is_begun_anew(void **state)
{
	struct folder *folder = *state;
	make_kept(folder, 100);
	run_sql(folder, "ALTER TABLE chunks RENAME COLUMN place TO elsewhere");
	assert_begins_anew(folder, NULL);
	run_sql(folder, "DROP TABLE objects");
	assert_begins_anew(folder, NULL);
	catalog_close(folder_open(folder));
	assert_int_equal(unlink(folder_file(folder, "catalog.sqlite")), 0);
	run_sql(folder, "CREATE TABLE chunks (a, b)");
	assert_begins_anew(folder, NULL);
}

/* Everything that a damaged catalog may do: right answers, no answers, errors; then it is left for a private one. */
static void assert_never_wrong(struct folder *folder, uint64_t chunks)
{
	struct buf object = {0};
	struct catalog_pack pack;
	struct catalog *catalog = folder_open(folder);
	bool failed = false;
	for (uint64_t n = 0; n < chunks; n++)
		failed = find_made(catalog, 0, n) < 0 || failed;
	for (uint64_t n = 0; n <= chunks / 100; n++) {
		struct catalog_pack want = made_pack(n);
		if (catalog_pack_find(catalog, want.id, &pack, NULL) == 0)
			assert_memory_equal(&pack, &want, sizeof(want));
	}
	if (catalog_object_get(catalog, "keys/1", &object, NULL) == 0)
		assert_memory_equal(object.data, "object", 6);
	if (add_made(catalog, 2, 0, 100000, 50, NULL) != 0) {
		assert_int_equal(catalog_make_private(catalog, NULL), 0);
		assert_int_equal(add_made(catalog, 2, 0, 100000, 50, NULL), 0);
	}
	int r = find_made(catalog, 0, 100001);
	assert_true(r == 1 || r == ERR_CORRUPT);
	catalog_close(catalog);
	if (failed) {
		catalog = folder_open(folder);
		assert_int_equal(catalog_state(catalog), CATALOG_NEW);
		catalog_close(catalog);
	}
	buf_release(&object);
}

static void put_back(const struct folder *folder, const void *data, size_t len)
{
	static const char *const others[] = {
		"catalog.sqlite-wal", "catalog.sqlite-shm", "catalog.sqlite.damaged", "catalog.sqlite.suspect"};
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		unlink(folder_file(folder, others[i]));
	folder_write(folder, "catalog.sqlite", data, len);
}

static void test_damage__truncated_file_never_answers_wrongly(void **state)
{
	struct folder *folder = *state;
	struct buf whole = {0};
	make_kept(folder, 500);
	folder_slurp(folder, "catalog.sqlite", &whole);
	assert_true(whole.len > 40000);
	for (size_t len = 0; len < whole.len; len += len < 4096 ? 512 : 4096) {
		put_back(folder, whole.data, len);
		assert_never_wrong(folder, 500);
		put_back(folder, whole.data, len + 100);
		assert_never_wrong(folder, 500);
	}
	buf_release(&whole);
}

static void test_damage__flipped_pages_never_answer_wrongly(void **state)
{
	struct folder *folder = *state;
	struct buf whole = {0};
	make_kept(folder, 500);
	folder_slurp(folder, "catalog.sqlite", &whole);
	for (size_t page = 0; page < whole.len; page += 4096) {
		for (size_t i = page; i < page + 4096; i++)
			whole.data[i] ^= 0xff;
		put_back(folder, whole.data, whole.len);
		assert_never_wrong(folder, 500);
		for (size_t i = page; i < page + 4096; i++)
			whole.data[i] ^= 0xff;
	}
	buf_release(&whole);
}

static void test_damage__flipped_bits_never_answer_wrongly(void **state)
{
	struct folder *folder = *state;
	struct buf whole = {0};
	make_kept(folder, 200);
	folder_slurp(folder, "catalog.sqlite", &whole);
	for (uint64_t round = 0; round < 400; round++) {
		uint8_t random[CATALOG_ID_LEN];
		uint64_t at;
		made_id('r', round, random);
		memcpy(&at, random, sizeof(at));
		at %= whole.len;
		whole.data[at] ^= (uint8_t)(1 << round % 8);
		put_back(folder, whole.data, whole.len);
		assert_never_wrong(folder, 200);
		whole.data[at] ^= (uint8_t)(1 << round % 8);
	}
	buf_release(&whole);
}

static void test_damage__wrong_row_is_an_error_and_the_next_run_begins_anew(void **state)
{
	struct folder *folder = *state;
	struct error err = ERROR_INIT;
	struct catalog_pack pack;
	uint8_t id[CATALOG_ID_LEN];
	make_kept(folder, 300);
	run_sql(folder, "UPDATE chunks SET place = place + 1; UPDATE packs SET size = size + 1");
	struct catalog *catalog = folder_open(folder);
	assert_int_equal(catalog_state(catalog), CATALOG_KEPT);
	assert_int_equal(find_made(catalog, 0, 7), ERR_CORRUPT);
	made_id('p', 1, id);
	assert_int_equal(catalog_pack_find(catalog, id, &pack, &err), ERR_CORRUPT);
	assert_non_null(strstr(error_text(&err), "damaged"));
	catalog_close(catalog);
	assert_begins_anew(folder, NULL);
}

static void test_damage__file_in_use_is_left_and_a_private_one_taken(void **state)
{
	struct folder *folder = *state;
	make_kept(folder, 300);
	struct catalog *first = folder_open(folder);
	struct catalog *second = folder_open_at(folder, NULL, other_repository);
	assert_int_equal(catalog_state(second), CATALOG_PRIVATE);
	assert_int_equal(folder->warnings, 1);
	assert_false(folder_has(folder, "catalog.sqlite.damaged"));
	assert_int_equal(find_made(first, 0, 7), 1);
	assert_int_equal(add_made(first, 2, 0, 300, 10, NULL), 0);
	catalog_close(second);
	catalog_close(first);
}

static void test_damage__left_over_log_of_a_lost_file_does_no_harm(void **state)
{
	struct folder *folder = *state;
	struct buf log = {0};
	struct catalog *catalog = folder_open(folder);
	assert_int_equal(add_made(catalog, 1, 0, 0, 300, NULL), 0);
	folder_slurp(folder, "catalog.sqlite-wal", &log);
	catalog_close(catalog);
	assert_int_equal(unlink(folder_file(folder, "catalog.sqlite")), 0);
	folder_write(folder, "catalog.sqlite-wal", log.data, log.len);
	assert_never_wrong(folder, 300);
	buf_release(&log);
}

#define folder_test(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		folder_test(test_open__random_bytes_are_moved_aside),
		folder_test(test_open__text_file_is_moved_aside),
		folder_test(test_open__another_repositorys_catalog_is_never_used),
		folder_test(test_open__another_version_is_begun_anew),
		folder_test(test_open__a_table_of_another_shape_is_begun_anew),
		folder_test(test_damage__truncated_file_never_answers_wrongly),
		folder_test(test_damage__flipped_pages_never_answer_wrongly),
		folder_test(test_damage__flipped_bits_never_answer_wrongly),
		folder_test(test_damage__wrong_row_is_an_error_and_the_next_run_begins_anew),
		folder_test(test_damage__file_in_use_is_left_and_a_private_one_taken),
		folder_test(test_damage__left_over_log_of_a_lost_file_does_no_harm),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
