/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "archive_fixture.h"

/* The dataset's own check command, over what a backup has stored. */

static enum snapshot_state state_with(struct archive_fixture *f, const char *command)
{
	struct backup_options options = archive_fixture_options(f);
	struct backup_result result;

	options.check_command = command;
	archive_fixture_run(f, &options, &result);
	enum snapshot_state state = result.snapshot->state;
	assert_int_equal(strstr(result.snapshot->name, ".partial") != NULL, state == SNAPSHOT_PARTIAL);
	snapshot_free(result.snapshot);
	return state;
}

static void test_inspect__a_bad_verdict_makes_it_partial_and_says_why(void **state)
{
	struct archive_fixture *f = *state;
	struct backup_options options = archive_fixture_options(f);
	struct backup_result result;

	archive_fixture_write(f, "a", "1", 1);
	options.check_command = "echo 'no table users' >&2; exit 1";
	archive_fixture_run(f, &options, &result);
	assert_int_equal(result.snapshot->state, SNAPSHOT_PARTIAL);
	assert_int_equal(result.snapshot->check_count, 1);
	assert_string_equal(result.snapshot->checks[0].path, SNAPSHOT_CHECK_ALL);
	assert_string_equal(result.snapshot->checks[0].kind, "command");
	assert_string_equal(result.snapshot->checks[0].reason, "the check command says: no table users");
	assert_non_null(strstr(f->last_warning, "no table users"));
	archive_fixture_expect(f->repo, result.snapshot, "a", "1", 1);
	snapshot_free(result.snapshot);

	/* The verdict is about that snapshot alone: the next is judged anew, though nothing changed. */
	options.check_command = "true";
	archive_fixture_run(f, &options, &result);
	assert_int_equal(result.snapshot->state, SNAPSHOT_WHOLE);
	assert_true(result.snapshot->check_count == 1 && result.snapshot->checks[0].ok);
	snapshot_free(result.snapshot);
	options.check_command = NULL;
	archive_fixture_run(f, &options, &result);
	assert_int_equal(result.snapshot->check_count, 0);
	snapshot_free(result.snapshot);
}

static void test_inspect__a_single_file_comes_in_on_stdin(void **state)
{
	struct archive_fixture *f = *state;
	uint8_t *p = archive_fixture_bytes(9 << 20, 1);
	char command[256];

	archive_fixture_write(f, "app.sql", p, 9 << 20);
	snprintf(command, sizeof(command),
		"test \"$DRFS_FILE\" = app.sql && test $DRFS_DATASET = t && cmp - '%s/app.sql'", f->dir);
	assert_int_equal(state_with(f, command), SNAPSHOT_WHOLE);
	assert_int_equal(state_with(f, command), SNAPSHOT_WHOLE); /* also where nothing was read anew */
	assert_int_equal(state_with(f, "grep -q nothing-of-the-kind"), SNAPSHOT_PARTIAL);
	archive_fixture_write(f, "other", "2", 1);
	assert_int_equal(state_with(f, "test -z \"$DRFS_FILE\" && test $(wc -c) = 0"), SNAPSHOT_WHOLE);
	free(p);
}

static void test_inspect__paths_are_told_as_they_were_named(void **state)
{
	struct archive_fixture *f = *state;
	struct backup_options options = archive_fixture_options(f);
	struct backup_result result;
	char *a = archive_fixture_path(f, "a b"), *c = archive_fixture_path(f, "c/"), command[300];
	char *paths[] = {a, c};

	archive_fixture_write(f, "a b", "1", 1);
	archive_fixture_write(f, "c/d", "2", 1);
	options.paths = paths;
	options.path_count = 2;
	snprintf(command, sizeof(command), "test \"$DRFS_SOURCE\" = '%s\n%s'", a, c);
	options.check_command = command;
	archive_fixture_run(f, &options, &result);
	assert_int_equal(result.snapshot->state, SNAPSHOT_WHOLE);
	snapshot_free(result.snapshot);
	free(a);
	free(c);
}

static int pipe_with(const char *text)
{
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(write(fds[1], text, strlen(text)), (ssize_t)strlen(text));
	close(fds[1]);
	return fds[0];
}

static enum snapshot_state state_of_stdin(struct archive_fixture *f, const char *text, const char *command)
{
	struct backup_options options = archive_fixture_options(f);
	struct backup_result result;

	options.path_count = 0;
	options.stdin_name = "app.sql";
	options.stdin_fd = pipe_with(text);
	options.check_command = command;
	archive_fixture_run(f, &options, &result);
	close(options.stdin_fd);
	enum snapshot_state state = result.snapshot->state;
	snapshot_free(result.snapshot);
	return state;
}

static void test_inspect__a_pipe_is_judged_by_what_was_stored_of_it(void **state)
{
	static const char command[] = "test -z \"$DRFS_SOURCE\" && test $DRFS_FILE = app.sql && grep -q users";

	setenv("DRFS_SOURCE", "/of/the/caller", 1);
	assert_int_equal(state_of_stdin(*state, "CREATE TABLE users ();\n", command), SNAPSHOT_WHOLE);
	assert_int_equal(state_of_stdin(*state, "CREATE TABLE other ();\n", command), SNAPSHOT_PARTIAL);
	assert_int_equal(state_of_stdin(*state, "", command), SNAPSHOT_PARTIAL);
	unsetenv("DRFS_SOURCE");
}

static void test_inspect__the_command_comes_after_the_built_in_checks(void **state)
{
	struct archive_fixture *f = *state;
	static const char cut[] = "--\n-- PostgreSQL database dump\n--\n\nCREATE TABLE t ();\n";
	char *mark = archive_fixture_path(f, "ran"), command[128];

	snprintf(command, sizeof(command), "touch '%s'", mark);
	assert_int_equal(state_of_stdin(f, cut, command), SNAPSHOT_PARTIAL);
	assert_int_not_equal(access(mark, F_OK), 0);
	assert_int_equal(state_of_stdin(f, "whole", command), SNAPSHOT_WHOLE);
	assert_int_equal(access(mark, F_OK), 0);
	free(mark);
}

static void test_inspect__a_dry_run_asks_nobody(void **state)
{
	struct archive_fixture *f = *state;
	struct backup_options options = archive_fixture_options(f);
	struct backup_result result;
	char *mark = archive_fixture_path(f, "ran"), command[128];

	snprintf(command, sizeof(command), "touch '%s'", mark);
	options.check_command = command;
	options.dry_run = true;
	archive_fixture_run(f, &options, &result);
	assert_int_not_equal(access(mark, F_OK), 0);
	free(mark);
}

struct stopper {
	const char *mark;
	int cancel;
};

/* Calls the run off once the command is at work. */
static void *stop_when_there(void *arg)
{
	const struct timespec tick = {.tv_nsec = 10000000};
	struct stopper *s = arg;

	for (int i = 0; i < 1000 && access(s->mark, F_OK) != 0; i++)
		nanosleep(&tick, NULL);
	__atomic_store_n(&s->cancel, 1, __ATOMIC_RELAXED);
	return NULL;
}

static void test_inspect__a_stop_while_it_runs_makes_no_snapshot(void **state)
{
	struct archive_fixture *f = *state;
	struct backup_options options = archive_fixture_options(f);
	struct backup_result result;
	struct error err = ERROR_INIT;
	const struct snapset *set = NULL;
	char *mark = archive_fixture_path(f, "ran"), command[160];
	struct stopper stopper = {.mark = mark};
	pthread_t thread;

	archive_fixture_write(f, "a", "1", 1);
	snprintf(command, sizeof(command), "touch '%s'; sleep 60", mark);
	options.check_command = command;
	options.cancel = &stopper.cancel;
	assert_int_equal(pthread_create(&thread, NULL, stop_when_there, &stopper), 0);
	assert_int_equal(backup_run(f->repo, f->catalog, &options, &result, &err), ERR_CANCELLED);
	pthread_join(thread, NULL);
	assert_int_equal(access(mark, F_OK), 0);
	assert_int_equal(snapset_load(f->repo, NULL, NULL, &set, &err), 0);
	assert_int_equal(set->count, 0);
	snapset_unref(set);
	free(mark);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ARCHIVE_CASE(test_inspect__a_bad_verdict_makes_it_partial_and_says_why),
		ARCHIVE_CASE(test_inspect__a_single_file_comes_in_on_stdin),
		ARCHIVE_CASE(test_inspect__paths_are_told_as_they_were_named),
		ARCHIVE_CASE(test_inspect__a_pipe_is_judged_by_what_was_stored_of_it),
		ARCHIVE_CASE(test_inspect__the_command_comes_after_the_built_in_checks),
		ARCHIVE_CASE(test_inspect__a_dry_run_asks_nobody),
		ARCHIVE_CASE(test_inspect__a_stop_while_it_runs_makes_no_snapshot),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
