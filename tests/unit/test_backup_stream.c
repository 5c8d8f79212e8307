/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "archive_fixture.h"
#include "base/checked.h"
#include "base/fileio.h"

/* Pipes, commands, checks of dumps, and being stopped. */

/* Writes `len` bytes into a pipe, from a thread of its own. */
struct feed {
	int fd;
	const uint8_t *data;
	size_t len;
};

static void *feed_main(void *arg)
{
	struct feed *feed = arg;

	(void)fileio_write(feed->fd, "a pipe", feed->data, feed->len, NULL);
	close(feed->fd);
	return NULL;
}

static void test_stream__what_comes_down_a_pipe_is_the_one_file(void **state)
{
	struct archive_fixture *f = *state;
	struct backup_options options = archive_fixture_options(f);
	struct backup_result result;
	enum { LEN = (9 << 20) + 3 };
	uint8_t *p = archive_fixture_bytes(LEN, 3);
	int pipes[2];
	pthread_t thread;

	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	struct feed feed = {.fd = pipes[1], .data = p, .len = LEN};
	assert_int_equal(pthread_create(&thread, NULL, feed_main, &feed), 0);
	options.path_count = 0;
	options.stdin_name = "dump.bin";
	options.stdin_fd = pipes[0];
	archive_fixture_run(f, &options, &result);
	pthread_join(thread, NULL);
	close(pipes[0]);
	assert_int_equal(result.files, 1);
	assert_int_equal(result.bytes, LEN);
	assert_int_equal(result.snapshot->root.entries, 1);
	archive_fixture_expect(f->repo, result.snapshot, "dump.bin", p, LEN);
	snapshot_free(result.snapshot);
	free(p);
}

static int run_command(struct archive_fixture *f, const char *name, const char *script, struct backup_result *result,
	struct error *err)
{
	struct backup_options options = archive_fixture_options(f);
	char shell[] = "sh", flag[] = "-c", text[200];
	char *argv[] = {shell, flag, text, NULL};

	snprintf(text, sizeof(text), "%s", script);
	options.path_count = 0;
	options.stdin_name = name;
	options.command = argv;
	return backup_run(f->repo, f->catalog, &options, result, err);
}

static void test_stream__a_command_that_ends_well_makes_a_whole_snapshot(void **state)
{
	struct archive_fixture *f = *state;
	struct backup_result result;

	assert_int_equal(run_command(f, "out", "echo hello; exec >&-; sleep 0.2", &result, NULL), 0);
	assert_int_equal(result.command_status, 0);
	assert_int_equal(result.snapshot->state, SNAPSHOT_WHOLE);
	archive_fixture_expect(f->repo, result.snapshot, "out", "hello\n", 6);
	snapshot_free(result.snapshot);
}

static void test_stream__a_command_that_fails_leaves_what_came_as_partial(void **state)
{
	struct archive_fixture *f = *state;
	struct backup_result result;

	assert_int_equal(run_command(f, "out", "echo half; exit 7", &result, NULL), 0);
	assert_true(WIFEXITED(result.command_status));
	assert_int_equal(WEXITSTATUS(result.command_status), 7);
	assert_int_equal(result.snapshot->state, SNAPSHOT_PARTIAL);
	assert_non_null(strstr(result.snapshot->name, ".partial"));
	archive_fixture_expect(f->repo, result.snapshot, "out", "half\n", 5);
	assert_int_equal(result.snapshot->note_count, 1);
	assert_non_null(strstr(result.snapshot->notes[0], "7"));
	snapshot_free(result.snapshot);
	assert_int_equal(run_command(f, "out", "kill -9 $$", &result, NULL), 0);
	assert_true(WIFSIGNALED(result.command_status));
	assert_int_equal(result.snapshot->state, SNAPSHOT_PARTIAL);
	snapshot_free(result.snapshot);
}

static void test_stream__a_command_that_is_not_there_makes_nothing(void **state)
{
	struct archive_fixture *f = *state;
	struct backup_options options = archive_fixture_options(f);
	struct backup_result result;
	struct error err = ERROR_INIT;
	char name[] = "/not/there";
	char *argv[] = {name, NULL};

	options.path_count = 0;
	options.stdin_name = "out";
	options.command = argv;
	assert_int_equal(backup_run(f->repo, f->catalog, &options, &result, &err), ERR_NOT_FOUND);
	assert_non_null(strstr(error_text(&err), "/not/there"));
}

static void test_stream__a_dry_run_runs_no_command(void **state)
{
	struct archive_fixture *f = *state;
	struct backup_options options = archive_fixture_options(f);
	struct backup_result result;
	char *touched = archive_fixture_path(f, "touched");
	char name[] = "touch";
	char *argv[] = {name, touched, NULL};

	options.path_count = 0;
	options.stdin_name = "out";
	options.command = argv;
	options.dry_run = true;
	archive_fixture_run(f, &options, &result);
	assert_int_not_equal(access(touched, F_OK), 0);
	free(touched);
}

static void test_stream__a_name_with_a_slash_is_refused(void **state)
{
	struct archive_fixture *f = *state;
	struct backup_result result;
	static const char *const bad[] = {"a/b", "", ".", ".."};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(run_command(f, bad[i], "echo x", &result, NULL), ERR_USAGE);
}

/* ---- stopped ---- */

struct stop {
	volatile int flag;
	int delay_ms;
};

static void *stop_main(void *arg)
{
	struct stop *stop = arg;

	usleep((useconds_t)stop->delay_ms * 1000);
	__atomic_store_n(&stop->flag, 1, __ATOMIC_RELAXED);
	return NULL;
}

/* Runs until it is stopped; the snapshots that are there afterwards. */
static size_t run_stopped(struct archive_fixture *f, struct backup_options *options, int delay_ms)
{
	struct stop stop = {.delay_ms = delay_ms};
	struct backup_result result = {0};
	struct error err = ERROR_INIT;
	const struct snapset *set = NULL;
	pthread_t thread;

	options->cancel = &stop.flag;
	assert_int_equal(pthread_create(&thread, NULL, stop_main, &stop), 0);
	int r = backup_run(f->repo, f->catalog, options, &result, &err);
	pthread_join(thread, NULL);
	if (r == 0) {
		snapshot_free(result.snapshot);
	} else {
		assert_int_equal(r, ERR_CANCELLED);
		assert_string_not_equal(error_text(&err), "no error");
	}
	assert_int_equal(snapset_load(f->repo, f->catalog, NULL, &set, NULL), 0);
	assert_int_equal(set->fault_count, 0);
	size_t count = set->count;
	snapset_unref(set);
	assert_int_equal(count, r == 0 ? 1 : 0);
	return count;
}

static void test_stop__a_silent_pipe_does_not_hold_a_run_up(void **state)
{
	struct archive_fixture *f = *state;
	struct backup_options options = archive_fixture_options(f);
	int pipes[2];

	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	options.path_count = 0;
	options.stdin_name = "never";
	options.stdin_fd = pipes[0];
	assert_int_equal(run_stopped(f, &options, 100), 0);
	close(pipes[0]);
	close(pipes[1]);
}

static void test_stop__a_silent_command_is_ended(void **state)
{
	struct archive_fixture *f = *state;
	struct backup_options options = archive_fixture_options(f);
	char name[] = "sleep", forever[] = "1000";
	char *argv[] = {name, forever, NULL};

	options.path_count = 0;
	options.stdin_name = "never";
	options.command = argv;
	assert_int_equal(run_stopped(f, &options, 100), 0);
}

static void test_stop__files_on_their_way_are_dropped(void **state)
{
	char name[32];

	for (int delay = 0; delay < 60; delay += 6) {
		struct archive_fixture f = {0};
		uint8_t *p = archive_fixture_bytes(3 << 20, 1);
		archive_fixture_open(&f);
		for (int i = 0; i < 40; i++) {
			snprintf(name, sizeof(name), "%d/%d", i % 7, i);
			archive_fixture_write(&f, name, p, (size_t)(i % 4 == 0 ? 3 << 20 : 1000 * i));
		}
		struct backup_options options = archive_fixture_options(&f);
		run_stopped(&f, &options, delay);
		archive_fixture_close(&f);
		free(p);
	}
	(void)state;
}

/* ---- dumps that are folders ---- */

static void copy_dump(struct archive_fixture *f, const char *to)
{
	char *path = archive_fixture_path(f, to), command[1200], from[600];
	const char *fixtures = getenv("DRFS_FIXTURES");
	const char *slash = strrchr(__FILE__, '/');
	int here_len = slash == NULL ? 0 : (int)(slash - __FILE__) + 1;

	if (fixtures != NULL)
		snprintf(from, sizeof(from), "%s/complete/dir", fixtures);
	else
		snprintf(from, sizeof(from), "%.*s../fixtures/complete/dir", here_len, __FILE__);
	snprintf(command, sizeof(command), "mkdir -p '%s' && cp '%s'/* '%s/'", path, from, path);
	assert_int_equal(system(command), 0);
	free(path);
}

static void test_dump__a_whole_folder_is_a_good_check(void **state)
{
	struct archive_fixture *f = *state;
	struct backup_result result;

	copy_dump(f, "app");
	archive_fixture_backup(f, &result);
	assert_int_equal(result.snapshot->state, SNAPSHOT_WHOLE);
	bool found = false;
	for (unsigned i = 0; i < result.snapshot->check_count; i++) {
		assert_true(result.snapshot->checks[i].ok);
		found = found || strcmp(result.snapshot->checks[i].path, "app") == 0;
	}
	assert_true(found);
	snapshot_free(result.snapshot);
}

static void lose(struct archive_fixture *f, const char *path)
{
	char *full = archive_fixture_path(f, path);

	assert_int_equal(unlink(full), 0);
	free(full);
}

static void test_dump__a_folder_that_lacks_a_table_an_object_or_its_end_is_partial(void **state)
{
	struct archive_fixture *f = *state;
	struct backup_result result;
	static const char *const lost[] = {"app/3344.dat.gz", "app/blob_16402.dat.gz", "app/toc.dat"};

	for (size_t i = 0; i < ARRAY_LEN(lost); i++) {
		copy_dump(f, "app");
		lose(f, lost[i]);
		archive_fixture_backup(f, &result);
		assert_int_equal(result.snapshot->state, SNAPSHOT_PARTIAL);
		snapshot_free(result.snapshot);
	}
}

static const struct snapshot_check *check_of(const struct snapshot *s, const char *path)
{
	for (unsigned i = 0; i < s->check_count; i++)
		if (strcmp(s->checks[i].path, path) == 0)
			return &s->checks[i];
	return NULL;
}

static void expect_bad_table(const struct backup_result *result, const char *folder, const char *name)
{
	const struct snapshot *s = result->snapshot;
	const struct snapshot_check *c = check_of(s, folder);

	assert_int_equal(s->state, SNAPSHOT_PARTIAL);
	assert_non_null(c);
	assert_false(c->ok);
	assert_memory_equal(c->reason, name, strlen(name));
	assert_memory_equal(c->reason + strlen(name), ": ends ", 7);
}

static void halve(struct archive_fixture *f, const char *path)
{
	char *full = archive_fixture_path(f, path);
	struct stat st;

	assert_int_equal(stat(full, &st), 0);
	assert_int_equal(truncate(full, st.st_size / 2), 0);
	free(full);
}

static void remove_folder(struct archive_fixture *f, const char *path)
{
	char *full = archive_fixture_path(f, path), command[1200];

	snprintf(command, sizeof(command), "rm -r '%s'", full);
	assert_int_equal(system(command), 0);
	free(full);
}

/* Past the time within which a file may have changed unseen. */
static void settle(void)
{
	const struct timespec window = {.tv_sec = 3, .tv_nsec = 100000000};

	nanosleep(&window, NULL);
}

static void test_dump__a_cut_file_makes_it_bad_for_as_long_as_it_stays(void **state)
{
	struct archive_fixture *f = *state;
	struct backup_result result;

	copy_dump(f, "app");
	halve(f, "app/3344.dat.gz");
	halve(f, "app/3345.dat.gz");
	settle();
	archive_fixture_backup(f, &result);
	expect_bad_table(&result, "app", "3344.dat.gz");
	assert_int_equal(result.snapshot->check_count, 3);
	snapshot_free(result.snapshot);
	/* Nothing is read again. */
	archive_fixture_write(f, "other", "x", 1);
	archive_fixture_backup(f, &result);
	expect_bad_table(&result, "app", "3344.dat.gz");
	assert_int_equal(result.new_files + result.changed_files, 1);
	snapshot_free(result.snapshot);
	/* One of the two is made whole; the other's verdict is its own. */
	lose(f, "app/3344.dat.gz");
	copy_dump(f, "good");
	char *from = archive_fixture_path(f, "good/3344.dat.gz"), *to = archive_fixture_path(f, "app/3344.dat.gz");
	assert_int_equal(rename(from, to), 0);
	free(from);
	free(to);
	remove_folder(f, "good");
	archive_fixture_backup(f, &result);
	expect_bad_table(&result, "app", "3345.dat.gz");
	assert_int_equal(result.snapshot->check_count, 2);
	snapshot_free(result.snapshot);
	copy_dump(f, "app");
	archive_fixture_backup(f, &result);
	assert_int_equal(result.snapshot->state, SNAPSHOT_WHOLE);
	assert_int_equal(result.snapshot->check_count, 1);
	snapshot_free(result.snapshot);
}

static void test_dump__files_that_an_earlier_backup_saw_without_the_table_of_contents_are_read(void **state)
{
	struct archive_fixture *f = *state;
	struct backup_result result;

	copy_dump(f, "app");
	lose(f, "app/toc.dat");
	lose(f, "app/blobs.toc");
	halve(f, "app/3345.dat.gz");
	settle();
	archive_fixture_backup(f, &result);
	assert_int_equal(result.snapshot->state, SNAPSHOT_WHOLE); /* it is no dump */
	snapshot_free(result.snapshot);
	copy_dump(f, "new");
	char *from = archive_fixture_path(f, "new/toc.dat"), *to = archive_fixture_path(f, "app/toc.dat");
	assert_int_equal(rename(from, to), 0);
	free(from);
	free(to);
	from = archive_fixture_path(f, "new/blobs.toc");
	to = archive_fixture_path(f, "app/blobs.toc");
	assert_int_equal(rename(from, to), 0);
	free(from);
	free(to);
	archive_fixture_backup(f, &result);
	expect_bad_table(&result, "app", "3345.dat.gz");
	snapshot_free(result.snapshot);
}

static void test_dump__a_cut_file_of_the_dataset_itself(void **state)
{
	struct archive_fixture *f = *state;
	struct backup_result result;

	copy_dump(f, "");
	halve(f, "3345.dat.gz");
	archive_fixture_backup(f, &result);
	expect_bad_table(&result, ".", "3345.dat.gz");
	snapshot_free(result.snapshot);
}

static void test_dump__a_file_of_such_a_name_elsewhere_is_no_tables_data(void **state)
{
	struct archive_fixture *f = *state;
	struct backup_result result;

	archive_fixture_write(f, "2020.dat", "some", 4);
	archive_fixture_write(f, "app/2020.dat", "some", 4);
	archive_fixture_backup(f, &result);
	assert_int_equal(result.snapshot->state, SNAPSHOT_WHOLE);
	assert_int_equal(result.snapshot->check_count + result.snapshot->note_count, 0);
	snapshot_free(result.snapshot);
}

static void test_dump__the_dataset_itself_may_be_one(void **state)
{
	struct archive_fixture *f = *state;
	struct backup_result result;

	copy_dump(f, "");
	lose(f, "3345.dat.gz");
	archive_fixture_backup(f, &result);
	assert_int_equal(result.snapshot->state, SNAPSHOT_PARTIAL);
	snapshot_free(result.snapshot);
}

static void test_dump__deeper_down_it_is_a_note(void **state)
{
	struct archive_fixture *f = *state;
	struct backup_result result;

	copy_dump(f, "old/app");
	lose(f, "old/app/3345.dat.gz");
	archive_fixture_backup(f, &result);
	assert_int_equal(result.snapshot->state, SNAPSHOT_WHOLE);
	assert_int_equal(result.snapshot->note_count, 1);
	assert_non_null(strstr(result.snapshot->notes[0], "old/app"));
	snapshot_free(result.snapshot);
}

/* A statement has an end; what is said beyond it is counted, and the backup goes on. */
static void test_dump__more_bad_files_than_a_statement_holds_are_no_hindrance(void **state)
{
	struct archive_fixture *f = *state;
	struct backup_result result;
	char name[300];

	for (int i = 0; i < 2500; i++) {
		snprintf(name, sizeof(name), "%0200d.sql", i);
		archive_fixture_write(f, name, "", 0);
		snprintf(name, sizeof(name), "deep/%0240d.sql", i);
		archive_fixture_write(f, name, "", 0);
	}
	archive_fixture_backup(f, &result);
	assert_int_equal(result.snapshot->state, SNAPSHOT_PARTIAL);
	assert_true(result.snapshot->check_count > 1000);
	assert_true(result.snapshot->note_count > 500);
	assert_non_null(strstr(result.snapshot->notes[result.snapshot->note_count - 1], "more"));
	assert_int_equal(result.files, 5000);
	snapshot_free(result.snapshot);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ARCHIVE_CASE(test_stream__what_comes_down_a_pipe_is_the_one_file),
		ARCHIVE_CASE(test_stream__a_command_that_ends_well_makes_a_whole_snapshot),
		ARCHIVE_CASE(test_stream__a_command_that_fails_leaves_what_came_as_partial),
		ARCHIVE_CASE(test_stream__a_command_that_is_not_there_makes_nothing),
		ARCHIVE_CASE(test_stream__a_dry_run_runs_no_command),
		ARCHIVE_CASE(test_stream__a_name_with_a_slash_is_refused),
		ARCHIVE_CASE(test_stop__a_silent_pipe_does_not_hold_a_run_up),
		ARCHIVE_CASE(test_stop__a_silent_command_is_ended),
		cmocka_unit_test(test_stop__files_on_their_way_are_dropped),
		ARCHIVE_CASE(test_dump__a_whole_folder_is_a_good_check),
		ARCHIVE_CASE(test_dump__a_folder_that_lacks_a_table_an_object_or_its_end_is_partial),
		ARCHIVE_CASE(test_dump__a_cut_file_makes_it_bad_for_as_long_as_it_stays),
		ARCHIVE_CASE(test_dump__files_that_an_earlier_backup_saw_without_the_table_of_contents_are_read),
		ARCHIVE_CASE(test_dump__a_cut_file_of_the_dataset_itself),
		ARCHIVE_CASE(test_dump__a_file_of_such_a_name_elsewhere_is_no_tables_data),
		ARCHIVE_CASE(test_dump__the_dataset_itself_may_be_one),
		ARCHIVE_CASE(test_dump__deeper_down_it_is_a_note),
		ARCHIVE_CASE(test_dump__more_bad_files_than_a_statement_holds_are_no_hindrance),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
