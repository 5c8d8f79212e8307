/* SPDX-License-Identifier: MIT */

/* The file store where things go wrong: disks that are full or read-only, deadlines, and kill -9 at any moment. */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/unit/store_place.h"

/* ---- disks that are full, read-only or fail ---- */

/* Mounts a small tmpfs on the place's root, or skips the test. */
static void mount_small(struct place *place, const char *options)
{
	if (mount("drfs-test", place->root, "tmpfs", 0, options) < 0)
		skip();
	place->mounted = true;
}

static void put_too_much(struct place *place, bool named)
{
	enum { LEN = 3 << 20 };
	struct error err = ERROR_INIT;
	char *data = calloc(1, LEN);

	assert_non_null(data);
	struct store *s = place_open_repo(place, true);
	atomic_store(&store_file_of(s)->named, named);
	place_put_text(s, "packs/aa/kept", "kept");
	assert_int_equal(store_put_mem(s, NULL, "packs/aa/large", data, LEN, NULL, &err), ERR_NO_SPACE);
	assert_non_null(strstr(error_text(&err), "packs/aa/large"));
	assert_non_null(strstr(error_text(&err), "are missing"));
	assert_int_equal(place_count_files(place->repo), 1);
	assert_int_equal(place_count_listed(s), 1);
	/* What was half-written is given back, so that there is room for less. */
	assert_int_equal(store_put_mem(s, NULL, "packs/aa/small", data, LEN / 6, NULL, NULL), 0);
	/* A repeated put needs no room. */
	place_put_text(s, "packs/aa/kept", "kept");
	store_close(s);
	free(data);
}

static void test_put__full_disk_tells_what_is_missing_and_leaves_nothing(void **state)
{
	mount_small(*state, "size=1m");
	put_too_much(*state, false);
}

static void test_put__full_disk_leaves_no_temporary_name(void **state)
{
	mount_small(*state, "size=1m");
	put_too_much(*state, true);
}

static void test_free_space__is_what_the_file_system_has(void **state)
{
	uint64_t bytes = 0;

	mount_small(*state, "size=1m");
	struct store *s = place_open_repo(*state, true);
	assert_int_equal(store_free_space(s, &bytes, NULL), 0);
	assert_in_range(bytes, 1, 1 << 20);
	store_close(s);
}

static void test_read_only__reads_work_and_writes_are_denied(void **state)
{
	struct place *place = *state;
	struct error err = ERROR_INIT;

	mount_small(place, "size=1m");
	struct store *s = place_open_repo(place, true);
	place_put_text(s, "packs/aa/x", "still here");
	store_close(s);
	assert_int_equal(mount(NULL, place->root, NULL, MS_REMOUNT | MS_RDONLY, "size=1m"), 0);
	s = place_open_repo(place, false);
	assert_place_reads(s, "packs/aa/x", "still here");
	assert_int_equal(place_count_listed(s), 1);
	assert_int_equal(store_put_mem(s, NULL, "packs/aa/y", "y", 1, NULL, &err), ERR_DENIED);
	assert_non_null(strstr(error_text(&err), "packs/aa/y"));
	assert_int_equal(store_put_mem(s, NULL, "packs/bb/y", "y", 1, NULL, NULL), ERR_DENIED);
	assert_int_equal(store_del(s, NULL, "packs/aa/x", NULL), ERR_DENIED);
	place_put_text(s, "packs/aa/x", "still here");
	store_close(s);
}

static void test_put__cancelled_half_way_leaves_nothing(void **state)
{
	enum { LEN = 24 << 20 };
	struct place *place = *state;
	struct store *s = place_open_repo(place, true);
	/* The deadline passes after the first steps of the copy, or at the latest before its end. */
	struct store_call call = {.deadline = clock_monotonic() + 500 * 1000};
	char *data = malloc(LEN);

	assert_non_null(data);
	memset(data, 'x', LEN);
	assert_int_equal(store_put_mem(s, &call, "packs/aa/x", data, LEN, NULL, NULL), ERR_TIMEOUT);
	assert_int_equal(place_count_files(place->repo), 0);
	store_close(s);
	free(data);
}

/* ---- killed ---- */

/* Body number i: a length and a filling that tell each byte's right value. */
enum { BODY_MAX = 3 << 20 };
static size_t body_len(unsigned i)
{
	return (i * 7919u * 131u) % BODY_MAX;
}

static void put_until_killed(const struct place *place, bool named)
{
	struct store *s;
	char *data = malloc(BODY_MAX);
	char name[40];

	if (!data || store_open(place->repo, NULL, &s, NULL) != 0)
		_exit(1);
	atomic_store(&store_file_of(s)->named, named);
	for (unsigned i = (unsigned)getpid() * 100000u;; i++) {
		memset(data, (int)(i & 0xff), body_len(i));
		(void)snprintf(name, sizeof(name), "packs/%02x/%u", i & 3, i);
		if (store_put_mem(s, NULL, name, data, body_len(i), NULL, NULL) != 0)
			_exit(1);
	}
}

static int check_whole(void *arg, const char *name, uint64_t size, struct error *err)
{
	struct store *s = arg;
	unsigned i = (unsigned)strtoul(strrchr(name, '/') + 1, NULL, 10);
	struct buf got = {0};

	int rc = store_get_all(s, NULL, name, BODY_MAX, &got, err);
	if (rc == 0 && (size != body_len(i) || got.len != size))
		rc = error_set(err, ERR_CORRUPT, "'%s' is of the wrong length", name);
	for (size_t at = 0; rc == 0 && at < got.len; at++) {
		if (got.data[at] != (i & 0xff))
			rc = error_set(err, ERR_CORRUPT, "'%s' is wrong at %zu", name, at);
	}
	buf_release(&got);
	return rc;
}

static void kill_often(const struct place *place, bool named)
{
	struct error err = ERROR_INIT;
	struct store *s = place_open_repo(place, true);

	for (unsigned round = 0; round < 12; round++) {
		struct timespec t = {.tv_nsec = 2000000 + 3700000L * round};
		int status = 0;

		pid_t child = fork();
		assert_true(child >= 0);
		if (child == 0)
			put_until_killed(place, named);
		(void)nanosleep(&t, NULL);
		assert_int_equal(kill(child, SIGKILL), 0);
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		if (store_list(s, NULL, "", "", check_whole, s, &err) != 0)
			fail_msg("%s", error_text(&err));
	}
	if (!named)
		assert_int_equal(place_count_files(place->repo), place_count_listed(s));
	store_close(s);
}

static void test_kill__every_listed_object_is_whole(void **state)
{
	kill_often(*state, false);
}
static void test_kill__with_temporary_names_every_listed_object_is_whole(void **state)
{
	kill_often(*state, true);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		AT_PLACE(test_put__full_disk_tells_what_is_missing_and_leaves_nothing),
		AT_PLACE(test_put__full_disk_leaves_no_temporary_name),
		AT_PLACE(test_free_space__is_what_the_file_system_has),
		AT_PLACE(test_read_only__reads_work_and_writes_are_denied),
		AT_PLACE(test_put__cancelled_half_way_leaves_nothing),
		AT_PLACE(test_kill__every_listed_object_is_whole),
		AT_PLACE(test_kill__with_temporary_names_every_listed_object_is_whole),
	};

	(void)unsetenv("DRFS_FAULT");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
