/* SPDX-License-Identifier: MIT */

/*
 * The catalog on SQLite when processes die and disks fill: a process is killed
 * at every single call that changes a file, and every such call is refused for
 * want of space, by SQLite's own hook for its system calls. And several
 * processes at work on one catalog.
 */

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/checked.h"
#include "tests/unit/catalog_conformance.h"
#include "tests/unit/catalog_folder.h"

/* --- system calls that fail or kill --- */

/* What SQLite calls to change files counts down `left`; at 0 the fault happens. The hook has no argument to carry it.
 */
static struct {
	long left; /* calls that still work; negative: no fault planned */
	bool kill; /* die; else refuse with ENOSPC, this call and all after it */
	long seen;
} fault = {.left = -1};

static bool refused(void)
{
	fault.seen++;
	if (fault.left < 0 || fault.left-- > 0)
		return false;
	if (fault.kill)
		raise(SIGKILL);
	fault.left = 0;
	errno = ENOSPC;
	return true;
}

static ssize_t hooked_pwrite(int fd, const void *data, size_t len, off_t at)
{
	return refused() ? -1 : pwrite(fd, data, len, at);
}

static ssize_t hooked_write(int fd, const void *data, size_t len)
{
	return refused() ? -1 : write(fd, data, len);
}

static int hooked_ftruncate(int fd, off_t len)
{
	return refused() ? -1 : ftruncate(fd, len);
}

static int hooked_unlink(const char *path)
{
	return refused() ? -1 : unlink(path);
}

static int hook_calls(void **state)
{
	static const struct {
		const char *name;
		sqlite3_syscall_ptr fn;
	} hooks[] = {
		{"pwrite", (sqlite3_syscall_ptr)(void (*)(void))hooked_pwrite},
		{"pwrite64", (sqlite3_syscall_ptr)(void (*)(void))hooked_pwrite},
		{"write", (sqlite3_syscall_ptr)(void (*)(void))hooked_write},
		{"ftruncate", (sqlite3_syscall_ptr)(void (*)(void))hooked_ftruncate},
		{"unlink", (sqlite3_syscall_ptr)(void (*)(void))hooked_unlink},
	};
	(void)state;
	sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
	if (!vfs || vfs->iVersion < 3 || !vfs->xSetSystemCall)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(hooks); i++)
		(void)vfs->xSetSystemCall(vfs, hooks[i].name, hooks[i].fn); /* each build has its own choice of calls */
	return 0;
}

static void plan_fault(long left, bool kill)
{
	fault.left = left;
	fault.kill = kill;
	fault.seen = 0;
}

static int set_up(void **state)
{
	plan_fault(-1, false);
	*state = folder_new();
	return 0;
}

static int tear_down(void **state)
{
	plan_fault(-1, false);
	folder_free(*state);
	return 0;
}

/* --- death --- */

enum { SEGMENTS = 5, CHUNKS = 150 };

/* The child's life: each segment that was taken in is reported by a byte. Never returns. */
static void live_and_die(struct folder *folder, long calls, int report)
{
	plan_fault(calls, true);
	struct catalog *catalog = folder_open(folder);
	for (uint8_t n = 0; n < SEGMENTS; n++) {
		if (add_made(catalog, n, 0, n * UINT64_C(1000), CHUNKS, NULL) != 0)
			_exit(2);
		if (write(report, &n, 1) != 1)
			_exit(3);
	}
	if (catalog_object_put(catalog, "keys/1", "object", 6, NULL) != 0)
		_exit(4);
	catalog_close(catalog);
	_exit(0);
}

/* Runs a child that dies after `calls`. *ret_reported: segments that it saw taken in. True: it lived to its end. */
static bool run_child(struct folder *folder, long calls, unsigned *ret_reported)
{
	int ends[2], status;
	uint8_t n;
	*ret_reported = 0;
	assert_int_equal(pipe(ends), 0);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0)
		live_and_die(folder, calls, ends[1]);
	close(ends[1]);
	while (read(ends[0], &n, 1) == 1)
		++*ret_reported;
	close(ends[0]);
	assert_int_equal(waitpid(child, &status, 0), child);
	if (WIFEXITED(status)) {
		assert_int_equal(WEXITSTATUS(status), 0);
		return true;
	}
	assert_int_equal(WTERMSIG(status), SIGKILL);
	return false;
}

static int is_listed(void *arg, const uint8_t *id)
{
	return memcmp(arg, id, CATALOG_ID_LEN) == 0 ? 1 : 0;
}

/* Each segment is there with all its rows, or not at all; what was reported is there. */
static void assert_all_or_nothing(struct folder *folder, unsigned reported)
{
	struct catalog *catalog = folder_open(folder);
	assert_int_not_equal(catalog_state(catalog), CATALOG_PRIVATE);
	assert_int_equal(folder->warnings, 0);
	uint64_t listed = 0;
	for (uint64_t n = 0; n < SEGMENTS; n++) {
		uint8_t id[CATALOG_ID_LEN];
		made_id('s', n, id);
		int there = catalog_segments(catalog, is_listed, id, NULL);
		assert_true(there == 1 || n >= reported);
		for (uint64_t i = 0; i < CHUNKS; i++)
			assert_int_equal(find_made(catalog, 0, n * 1000 + i), there);
		listed += there == 1;
	}
	struct catalog_counts counts;
	assert_int_equal(catalog_counts(catalog, &counts, NULL), 0);
	assert_int_equal(counts.chunks, listed * CHUNKS);
	assert_int_equal(counts.segments, listed);
	for (uint64_t n = 0; n < SEGMENTS; n++)
		assert_int_equal(add_made(catalog, n, 0, n * 1000, CHUNKS, NULL), 0);
	assert_int_equal(find_made(catalog, 0, (SEGMENTS - 1) * 1000 + CHUNKS - 1), 1);
	catalog_close(catalog);
}

static void test_kill__at_every_write_leaves_each_segment_whole_or_absent(void **state)
{
	struct folder *folder = *state;
	unsigned reported, middle = 0;
	bool lived = false;
	long calls = 0;
	for (; !lived; calls++) {
		folder_wipe(folder);
		lived = run_child(folder, calls, &reported);
		middle += !lived && reported > 0;
		assert_all_or_nothing(folder, reported);
	}
	assert_true(calls > 50);  /* else the hook was not in the way */
	assert_true(middle > 20); /* and deaths fell between segments too */
}

static void test_kill__at_any_moment_leaves_each_segment_whole_or_absent(void **state)
{
	struct folder *folder = *state;
	for (unsigned round = 0; round < 30; round++) {
		int status;
		folder_wipe(folder);
		pid_t child = fork();
		assert_true(child >= 0);
		if (child == 0) {
			struct catalog *catalog = folder_open(folder);
			for (uint64_t n = 0;; n = (n + 1) % SEGMENTS) {
				if (n == 0 && catalog_reset(catalog, NULL) != 0)
					_exit(2);
				if (add_made(catalog, n, 0, n * 1000, CHUNKS, NULL) != 0)
					_exit(3);
			}
		}
		usleep(2000 + round * 1700);
		kill(child, SIGKILL);
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFSIGNALED(status));
		assert_all_or_nothing(folder, 0);
	}
}

/* --- no space --- */

static void test_full__every_refused_write_is_told_and_rows_stay_right(void **state)
{
	struct folder *folder = *state;
	bool worked = false;
	unsigned refusals = 0;
	for (long calls = 0; !worked; calls++) {
		struct error err = ERROR_INIT;
		folder_wipe(folder);
		struct catalog *catalog = folder_open(folder);
		assert_int_equal(add_made(catalog, 0, 0, 0, CHUNKS, NULL), 0);
		plan_fault(calls, false);
		int r = add_made(catalog, 1, 0, 1000, CHUNKS * 20, &err);
		worked = fault.left != 0;
		assert_true(r == 0 || r == ERR_NO_SPACE);
		refusals += r != 0;
		/* Still without space: what was known is known. */
		for (uint64_t i = 0; i < CHUNKS; i++)
			assert_int_equal(find_made(catalog, 0, i), 1);
		assert_int_equal(find_made(catalog, 0, 1000), r == 0);
		plan_fault(-1, false);
		assert_int_equal(add_made(catalog, 1, 0, 1000, CHUNKS * 20, NULL), 0);
		assert_int_equal(find_made(catalog, 0, 1000 + CHUNKS * 20 - 1), 1);
		catalog_close(catalog);
	}
	assert_true(refusals > 20);
}

static void test_full__opening_works_at_every_refused_write(void **state)
{
	struct folder *folder = *state;
	bool worked = false;
	unsigned private = 0;
	for (long calls = 0; !worked; calls++) {
		folder_wipe(folder);
		plan_fault(calls, false);
		struct catalog *catalog = folder_open(folder);
		worked = fault.left != 0;
		plan_fault(-1, false);
		private += catalog_state(catalog) == CATALOG_PRIVATE;
		assert_int_equal(folder->warnings, catalog_state(catalog) == CATALOG_PRIVATE);
		assert_int_equal(add_made(catalog, 0, 0, 0, CHUNKS, NULL), 0);
		assert_int_equal(find_made(catalog, 0, 1), 1);
		catalog_close(catalog);
		catalog = folder_open(folder);
		assert_int_not_equal(catalog_state(catalog), CATALOG_PRIVATE);
		catalog_close(catalog);
	}
	assert_true(private > 0);
}

/* --- several processes --- */

static void work_with_others(struct folder *folder, uint64_t own)
{
	for (int round = 0; round < 3; round++) {
		struct catalog *catalog = folder_open(folder);
		if (catalog_state(catalog) == CATALOG_PRIVATE)
			_exit(2);
		for (uint64_t n = 0; n < 20; n++)
			if (add_made(catalog, n, 0, n * 1000, CHUNKS, NULL) != 0 ||
				add_made(catalog, 100 + own * 20 + n, own, n * 1000, CHUNKS, NULL) != 0)
				_exit(3);
		for (uint64_t n = 0; n < 20; n++)
			if (find_made(catalog, 0, n * 1000) != 1 || find_made(catalog, own, n * 1000) != 1)
				_exit(4);
		catalog_close(catalog);
	}
	_exit(0);
}

/* Runs three processes of `work` and waits; each must end well. */
static void run_three(struct folder *folder, void (*work)(struct folder *folder, uint64_t own))
{
	pid_t children[3];
	for (size_t i = 0; i < ARRAY_LEN(children); i++) {
		children[i] = fork();
		assert_true(children[i] >= 0);
		if (children[i] == 0)
			work(folder, i + 1);
	}
	for (size_t i = 0; i < ARRAY_LEN(children); i++) {
		int status;
		assert_int_equal(waitpid(children[i], &status, 0), children[i]);
		assert_int_equal(status, 0);
	}
}

static void test_processes__the_same_segments_added_at_once_are_there_once(void **state)
{
	struct folder *folder = *state;
	struct catalog_counts counts;
	run_three(folder, work_with_others);
	struct catalog *catalog = folder_open(folder);
	assert_int_equal(catalog_counts(catalog, &counts, NULL), 0);
	assert_int_equal(counts.segments, 20 + 3 * 20);
	assert_int_equal(counts.chunks, 4 * 20 * CHUNKS);
	catalog_close(catalog);
}

static void open_once(struct folder *folder, uint64_t own)
{
	struct catalog *catalog = folder_open(folder);
	if (catalog_state(catalog) == CATALOG_PRIVATE || add_made(catalog, own, 0, own * 1000, CHUNKS, NULL) != 0)
		_exit(2);
	catalog_close(catalog);
	_exit(0);
}

static void test_processes__a_damaged_file_is_moved_aside_by_one_of_them(void **state)
{
	struct folder *folder = *state;
	char noise[9000];
	memset(noise, 'x', sizeof(noise));
	for (int round = 0; round < 10; round++) {
		struct buf aside = {0};
		catalog_close(folder_open(folder));
		folder_write(folder, "catalog.sqlite", noise, sizeof(noise));
		run_three(folder, open_once);
		folder_slurp(folder, "catalog.sqlite.damaged", &aside);
		assert_int_equal(aside.len, sizeof(noise));
		assert_memory_equal(aside.data, noise, sizeof(noise));
		struct catalog *catalog = folder_open(folder);
		for (uint64_t n = 1; n <= 3; n++)
			assert_int_equal(find_made(catalog, 0, n * 1000), 1);
		catalog_close(catalog);
		buf_release(&aside);
	}
}

#define folder_test(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		folder_test(test_kill__at_every_write_leaves_each_segment_whole_or_absent),
		folder_test(test_kill__at_any_moment_leaves_each_segment_whole_or_absent),
		folder_test(test_full__every_refused_write_is_told_and_rows_stay_right),
		folder_test(test_full__opening_works_at_every_refused_write),
		folder_test(test_processes__the_same_segments_added_at_once_are_there_once),
		folder_test(test_processes__a_damaged_file_is_moved_aside_by_one_of_them),
	};
	return cmocka_run_group_tests(tests, hook_calls, NULL);
}
