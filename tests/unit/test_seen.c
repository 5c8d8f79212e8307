/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/mark.h"
#include "archive/object.h"
#include "archive/repo_listing.h"
#include "archive/seen.h"
#include "archive/session.h"
#include "archive_made.h"
#include "base/fileio.h"
#include "base/hex.h"

/* A host with a folder for its state, and a repository. */
struct host {
	struct repo *repo;
	char dir[40];
	char *path; /* of the file */
	struct log *log;
	int quiet_fd; /* where the log's own lines go */
	unsigned errors, warnings;
	char last[1200];
};

static void hear(void *arg, enum log_level level, const char *line)
{
	struct host *h = arg;
	h->errors += level == LOG_LEVEL_ERROR;
	h->warnings += level == LOG_LEVEL_WARN;
	snprintf(h->last, sizeof(h->last), "%s", line);
}

static int set_up(void **state)
{
	struct host *h = calloc(1, sizeof(*h));
	char hex[2 * FORMAT_REPO_LEN + 1];
	strcpy(h->dir, "/tmp/drfs-test-XXXXXX");
	assert_non_null(mkdtemp(h->dir));
	h->repo = made_repo();
	h->quiet_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	hex_encode(h->repo->config.repository, FORMAT_REPO_LEN, hex);
	h->path = fileio_format("%s/state/seen/%s", h->dir, hex);
	h->log = log_new(h->quiet_fd, LOG_LEVEL_NOTICE);
	log_tee(h->log, hear, h);
	h->repo->log = h->log;
	*state = h;
	return 0;
}

static int tear_down(void **state)
{
	struct host *h = *state;
	char *command = fileio_format("rm -rf '%s'", h->dir);
	int rc = system(command);
	repo_close(h->repo);
	log_free(h->log);
	(void)close(h->quiet_fd);
	free(h->path);
	free(command);
	free(h);
	return rc;
}

static struct seen *opened(const struct host *h, const struct repo *repo)
{
	struct seen *seen = NULL;
	char *dir = fileio_format("%s/state", h->dir);
	assert_int_equal(seen_open(repo, dir, &seen, NULL), 0);
	free(dir);
	return seen;
}

static struct id backup(struct repo *repo)
{
	struct session *s = NULL;
	struct snapshot *snapshot = made_statement(&(struct made_snapshot){.number = 1});
	assert_int_equal(session_begin(repo, NULL, "db", &s, NULL), 0);
	assert_int_equal(session_commit(s, snapshot, NULL), 0);
	struct id id = s->id;
	snapshot_free(snapshot);
	session_free(s);
	return id;
}

/* One command of this host that lists snapshots: how many slots it finds lost. */
static size_t look(const struct host *h, struct repo *repo)
{
	struct seen *seen = opened(h, repo);
	const struct snapset *set = made_set(repo);
	size_t lost = seen_look(seen, set);
	assert_int_equal(seen_tell(seen), lost);
	assert_int_equal(seen_tell(seen), lost);
	snapset_unref(set);
	seen_free(seen);
	return lost;
}

static void drop(struct repo *repo, const struct id *id)
{
	char name[FORMAT_NAME_MAX];
	object_name(KIND_SNAPSHOT, 0, id, name);
	assert_int_equal(store_del(repo->store, NULL, name, NULL), 0);
}

/* ---- tests ---- */

static void test_seen_look__what_was_seen_is_kept_in_a_private_file(void **state)
{
	struct host *h = *state;
	struct stat st;
	backup(h->repo);
	struct id second = backup(h->repo);
	assert_int_equal(look(h, h->repo), 0);
	assert_int_equal(stat(h->path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	struct seen *seen = opened(h, h->repo);
	assert_int_equal(seen->count, 1);
	assert_int_equal(seen->rows[0].seq, 2);
	assert_true(id_equal(&seen->rows[0].slot, &h->repo->own->id));
	assert_true(id_equal(&seen->rows[0].snapshot, &second));
	seen_free(seen);
	*strrchr(h->path, '/') = '\0';
	assert_int_equal(stat(h->path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(h->errors + h->warnings, 0);
}

static void test_seen_look__nothing_new_writes_nothing(void **state)
{
	struct host *h = *state;
	struct stat one, two;
	backup(h->repo);
	look(h, h->repo);
	assert_int_equal(stat(h->path, &one), 0);
	look(h, h->repo);
	assert_int_equal(stat(h->path, &two), 0);
	assert_int_equal(one.st_ino, two.st_ino);
	assert_int_equal(one.st_mtim.tv_nsec, two.st_mtim.tv_nsec);
}

static void test_seen_look__an_older_state_is_told_until_the_newer_is_back(void **state)
{
	struct host *h = *state;
	backup(h->repo);
	size_t then = store_fault_history(h->repo->store);
	backup(h->repo);
	backup(h->repo);
	assert_int_equal(look(h, h->repo), 0);
	struct repo *older = made_cut(h->repo, then);
	older->log = h->log;
	assert_int_equal(look(h, older), 1);
	assert_int_equal(h->errors, 1);
	assert_non_null(strstr(h->last, "was rolled back or snapshots were removed"));
	assert_non_null(strstr(h->last, "saw snapshot number 3"));
	assert_non_null(strstr(h->last, "is there is number 1"));
	assert_non_null(strstr(h->last, h->path));
	/* Writing on, past the number that was seen, does not hide it. */
	for (int i = 0; i < 4; i++)
		backup(older);
	assert_int_equal(look(h, older), 1);
	assert_int_equal(look(h, older), 1);
	assert_int_equal(look(h, h->repo), 0);
	/* A person may say that it is meant. */
	assert_int_equal(unlink(h->path), 0);
	assert_int_equal(look(h, older), 0);
	repo_close(older);
}

static void test_seen_look__a_store_that_lost_all_snapshots_is_told(void **state)
{
	struct host *h = *state;
	size_t then = store_fault_history(h->repo->store);
	backup(h->repo);
	look(h, h->repo);
	struct repo *older = made_cut(h->repo, then);
	older->log = h->log;
	assert_int_equal(look(h, older), 1);
	assert_non_null(strstr(h->last, "none of it is there"));
	repo_close(older);
}

static void test_seen_look__what_was_forgotten_may_go(void **state)
{
	struct host *h = *state;
	backup(h->repo);
	struct id second = backup(h->repo);
	look(h, h->repo);
	made_mark(h->repo, MARK_FORGET, &second);
	assert_int_equal(look(h, h->repo), 0);
	drop(h->repo, &second);
	assert_int_equal(look(h, h->repo), 0);
	assert_int_equal(h->errors, 0);
}

static void test_seen_look__what_is_there_and_does_not_open_is_no_rollback(void **state)
{
	struct host *h = *state;
	char name[FORMAT_NAME_MAX];
	struct id id = backup(h->repo);
	look(h, h->repo);
	object_name(KIND_SNAPSHOT, 0, &id, name);
	made_damage(h->repo, name);
	assert_int_equal(look(h, h->repo), 0);
	drop(h->repo, &id);
	assert_int_equal(look(h, h->repo), 1);
}

static void test_seen_note__ones_own_snapshot_is_known_at_once(void **state)
{
	struct host *h = *state;
	size_t then = store_fault_history(h->repo->store);
	struct seen *seen = opened(h, h->repo);
	struct id id = backup(h->repo);
	const struct snapset *set = made_set(h->repo);
	seen_note(seen, snapset_by_id(set, &id));
	seen_note(NULL, snapset_by_id(set, &id));
	snapset_unref(set);
	seen_free(seen);
	struct repo *older = made_cut(h->repo, then);
	older->log = h->log;
	assert_int_equal(look(h, older), 1);
	repo_close(older);
}

static void test_seen_look__of_two_processes_the_higher_number_stays(void **state)
{
	struct host *h = *state;
	backup(h->repo);
	struct seen *slow = opened(h, h->repo);
	const struct snapset *set = made_set(h->repo);
	struct id second = backup(h->repo);
	assert_int_equal(look(h, h->repo), 0);
	assert_int_equal(seen_look(slow, set), 0);
	snapset_unref(set);
	seen_free(slow);
	struct seen *seen = opened(h, h->repo);
	assert_true(id_equal(&seen->rows[0].snapshot, &second));
	seen_free(seen);
}

static void test_seen_load__an_old_listing_is_no_rollback(void **state)
{
	struct host *h = *state;
	struct repo_listing *before = NULL;
	const struct snapset *set = NULL;
	backup(h->repo);
	assert_int_equal(repo_listing_load(h->repo, &before, NULL), 0);
	backup(h->repo);
	look(h, h->repo);
	/* As repo_open() leaves it, when another process put a snapshot and noted it right after. */
	h->repo->listing = before;
	struct seen *seen = opened(h, h->repo);
	assert_int_equal(seen_load(seen, h->repo, NULL, NULL, &set, NULL), 0);
	assert_int_equal(seen_tell(seen), 0);
	assert_int_equal(set->count, 2);
	snapset_unref(set);
	drop(h->repo, &seen->rows[0].snapshot);
	assert_int_equal(seen_load(seen, h->repo, NULL, NULL, &set, NULL), 0);
	assert_int_equal(seen_tell(seen), 1);
	snapset_unref(set);
	seen_free(seen);
	assert_int_equal(seen_load(NULL, h->repo, NULL, NULL, &set, NULL), 0);
	assert_int_equal(set->count, 1);
	snapset_unref(set);
}

static void test_seen_open__a_folder_that_cannot_be_breaks_nothing(void **state)
{
	struct host *h = *state;
	struct seen *seen = NULL;
	char *file = fileio_format("%s/file", h->dir);
	assert_int_equal(fileio_create(file, 0600, "x", 1, NULL), 0);
	const char *const dirs[] = {"/proc/none", file, "/dev/null"};
	backup(h->repo);
	const struct snapset *set = made_set(h->repo);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(seen_open(h->repo, dirs[i], &seen, NULL), 0);
		assert_int_equal(seen_look(seen, set), 0);
		assert_int_equal(seen_tell(seen), 0);
		seen_free(seen);
	}
	assert_int_equal(h->errors + h->warnings, 0);
	snapset_unref(set);
	free(file);
}

static void test_seen_open__a_file_that_is_not_ours_begins_anew(void **state)
{
	struct host *h = *state;
	backup(h->repo);
	look(h, h->repo);
	assert_int_equal(fileio_replace(h->path, 0600, "drfs-seen-1\nwhat?\n", 18, NULL), 0);
	assert_int_equal(look(h, h->repo), 0);
	assert_true(h->warnings > 0);
	assert_non_null(strstr(h->last, h->path));
	struct seen *seen = opened(h, h->repo);
	assert_int_equal(seen->count, 1);
	seen_free(seen);
}

static void test_seen_decode__takes_what_encode_makes_and_nothing_else(void **state)
{
	(void)state;
	struct seen_row rows[2] = {{.seq = 1}, {.seq = UINT64_MAX}}, *got = NULL;
	size_t count = 0;
	struct buf text = {0};
	memset(&rows[0].slot, 0xab, sizeof(struct id));
	memset(&rows[1].snapshot, 0x01, sizeof(struct id));
	seen_encode(rows, 2, &text);
	assert_int_equal(seen_decode(text.data, text.len, &got, &count, NULL), 0);
	assert_int_equal(count, 2);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(got[i].seq, rows[i].seq);
		assert_true(id_equal(&got[i].slot, &rows[i].slot) && id_equal(&got[i].snapshot, &rows[i].snapshot));
	}
	free(got);
	/* Cut anywhere but at a line's end, and changed anywhere, it is refused. */
	size_t line = 12 + 64 + 3 + 64 + 1;
	for (size_t len = 0; len < text.len; len++)
		if (len != 12 && len != line)
			assert_int_equal(seen_decode(text.data, len, &got, &count, NULL), ERR_CORRUPT);
	for (size_t at = 0; at < text.len; at++) {
		uint8_t was = text.data[at];
		text.data[at] = 'x';
		assert_int_equal(seen_decode(text.data, text.len, &got, &count, NULL), ERR_CORRUPT);
		text.data[at] = was;
	}
	/* A number that is zero, or does not fit. */
	text.data[12 + 65] = '0';
	assert_int_equal(seen_decode(text.data, text.len, &got, &count, NULL), ERR_CORRUPT);
	text.data[12 + 65] = '1';
	text.data[line + 65] = '9';
	assert_int_equal(seen_decode(text.data, text.len, &got, &count, NULL), ERR_CORRUPT);
	buf_release(&text);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_seen_look__what_was_seen_is_kept_in_a_private_file),
		CASE(test_seen_look__nothing_new_writes_nothing),
		CASE(test_seen_look__an_older_state_is_told_until_the_newer_is_back),
		CASE(test_seen_look__a_store_that_lost_all_snapshots_is_told),
		CASE(test_seen_look__what_was_forgotten_may_go),
		CASE(test_seen_look__what_is_there_and_does_not_open_is_no_rollback),
		CASE(test_seen_note__ones_own_snapshot_is_known_at_once),
		CASE(test_seen_look__of_two_processes_the_higher_number_stays),
		CASE(test_seen_load__an_old_listing_is_no_rollback),
		CASE(test_seen_open__a_folder_that_cannot_be_breaks_nothing),
		CASE(test_seen_open__a_file_that_is_not_ours_begins_anew),
		cmocka_unit_test(test_seen_decode__takes_what_encode_makes_and_nothing_else),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
