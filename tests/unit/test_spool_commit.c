/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "archive/mark.h"
#include "archive/snapset.h"
#include "base/checked.h"
#include "fs/spool/hold.h"
#include "spool_made.h"

static void must(int r, const struct error *err)
{
	if (r < 0)
		fail_msg("%d: %s", r, error_text(err));
}

static size_t snapshots(struct spool_made *m)
{
	struct error err = ERROR_INIT;
	const struct snapset *set = NULL;

	must(snapset_load(m->f.repo, NULL, NULL, &set, &err), &err);
	size_t count = set->count;
	snapset_unref(set);
	return count;
}

static void reopen(struct spool_made *m)
{
	work_close(m->work);
	m->work = NULL;
	spool_made_work(m);
}

static uint64_t pending(struct spool_made *m)
{
	struct work_state state;

	work_get_state(m->work, &state);
	return state.changes - state.committed;
}

static void test_commit__no_change_makes_no_snapshot(void **state)
{
	struct spool_made *m = *state;

	spool_made_base(m);
	spool_made_work(m);
	assert_null(spool_made_commit(m));
	spool_made_write(m->work, "x", "1", 1);
	assert_non_null(spool_made_commit(m));
	assert_int_equal(pending(m), 0);
	assert_null(spool_made_commit(m));
	assert_int_equal(snapshots(m), 2);
}

static void test_commit__going_back_to_the_base_is_a_change(void **state)
{
	struct spool_made *m = *state;
	struct error err = ERROR_INIT;
	struct stat st, root;

	spool_made_base(m);
	spool_made_work(m);
	must(work_getattr(m->work, INDEX_ROOT, &root, &err), &err);
	spool_made_write(m->work, "x", "1", 1);
	assert_non_null(spool_made_commit(m));
	must(work_unlink(m->work, INDEX_ROOT, "x", &err), &err);
	must(work_setattr(m->work, INDEX_ROOT, WORK_SET_MTIME, &root, &st, &err), &err);
	const struct snapshot *s = spool_made_commit(m);
	assert_non_null(s);
	assert_true(id_equal(&s->root.ref.id, &m->base->root.ref.id));
	assert_null(spool_made_commit(m));
}

static void test_commit__a_crash_behind_the_snapshot_makes_no_second_one(void **state)
{
	struct spool_made *m = *state;
	char command[512], copy[80];

	spool_made_base(m);
	spool_made_work(m);
	spool_made_write(m->work, "x", "one", 3);
	spool_made_write_at(m->work, "big", 1000, "two", 3);
	reopen(m); /* all is in the folder now */
	snprintf(copy, sizeof(copy), "%s.copy", m->dir);
	snprintf(command, sizeof(command), "rm -rf '%s' && cp -a --sparse=always '%s' '%s'", copy, m->dir, copy);
	work_close(m->work);
	assert_int_equal(system(command), 0);
	spool_made_work(m);
	assert_non_null(spool_made_commit(m));
	assert_int_equal(snapshots(m), 2);
	work_close(m->work); /* and now as if the commit had not been noted */
	m->work = NULL;
	snprintf(command, sizeof(command), "rm -rf '%s' && mv '%s' '%s'", m->dir, copy, m->dir);
	assert_int_equal(system(command), 0);
	spool_made_work(m);
	assert_true(pending(m) > 0);
	assert_null(spool_made_commit(m));
	assert_int_equal(pending(m), 0);
	assert_int_equal(snapshots(m), 2);
	spool_made_expect_same(m, m->kept[m->kept_count - 1]);
	reopen(m);
	spool_made_expect_same(m, m->kept[m->kept_count - 1]);
}

static void test_commit__a_failing_store_loses_nothing(void **state)
{
	struct spool_made *m = *state;
	struct error err = ERROR_INIT;

	spool_made_base(m);
	spool_made_work(m);
	m->state = 4;
	spool_made_edit(m, 40);
	char *before = spool_made_show_work(m->work);
	for (uint64_t nth = 1; nth < 12; nth++) { /* each of the first puts in turn */
		struct fault_rule rule = {.kind = FAULT_FAIL, .ops = FAULT_PUT, .nth = nth, .count = 1000};
		struct commit_result result;
		must(store_fault_add(m->f.store, &rule, &err), &err);
		int r = spool_made_try(m, &result, &err);
		store_fault_clear(m->f.store);
		commit_result_release(&result);
		if (r == 0)
			break;
		assert_int_equal(r, ERR_UNAVAILABLE);
		error_clear(&err);
		char *now = spool_made_show_work(m->work);
		assert_string_equal(before, now);
		free(now);
	}
	free(before);
	spool_made_commit(m);
	assert_int_equal(pending(m), 0);
	assert_true(m->kept_count > 0);
	spool_made_expect_same(m, m->kept[m->kept_count - 1]);
}

static void test_commit__writes_go_on_while_it_runs_and_are_for_the_next(void **state)
{
	struct spool_made *m = *state;
	struct error err = ERROR_INIT;
	struct work_frozen *frozen;

	spool_made_work(m);
	spool_made_write(m->work, "x", "before", 6);
	must(work_freeze(m->work, &frozen, &err), &err);
	spool_made_write(m->work, "x", "behind", 6);
	work_thaw(m->work, frozen);
	const struct snapshot *s = spool_made_commit(m);
	archive_fixture_expect(m->f.repo, s, "x", "behind", 6);
}

static void test_commit__an_unusual_size_is_kept_and_said(void **state)
{
	struct spool_made *m = *state;
	struct error err = ERROR_INIT;
	struct commit_result result;
	uint8_t *data = archive_fixture_bytes(4 << 20, 8);

	spool_made_work(m);
	for (unsigned i = 0; i < 3; i++) {
		spool_made_write(m->work, "dump", data + i, 3 << 20);
		must(spool_made_try(m, &result, &err), &err);
		assert_null(result.size_warning);
		commit_result_release(&result);
	}
	spool_made_write(m->work, "dump", data, (3 << 19) + 100); /* half is not far less */
	must(spool_made_try(m, &result, &err), &err);
	assert_null(result.size_warning);
	commit_result_release(&result);
	spool_made_write(m->work, "dump", data, 100);
	must(spool_made_try(m, &result, &err), &err);
	assert_non_null(result.size_warning);
	assert_non_null(result.snapshot);
	assert_int_equal(result.snapshot->state, SNAPSHOT_WHOLE);
	assert_int_equal(result.snapshot->note_count, 1);
	assert_non_null(strstr(result.snapshot->notes[0], "100 bytes"));
	commit_result_release(&result);
	free(data);
}

static void test_commit__a_small_difference_is_not_unusual(void **state)
{
	struct spool_made *m = *state;
	struct error err = ERROR_INIT;
	struct commit_result result;
	uint8_t *data = archive_fixture_bytes(COMMIT_FLOOR + 1000, 8);
	const size_t sizes[] = {1000, 1000, 1000, 10, COMMIT_FLOOR + 999};

	spool_made_work(m);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		spool_made_write(m->work, "notes", data + i, sizes[i] - i);
		must(spool_made_try(m, &result, &err), &err);
		assert_null(result.size_warning);
		commit_result_release(&result);
	}
	free(data);
}

static void test_commit__a_dump_that_was_cut_short_is_partial(void **state)
{
	struct spool_made *m = *state;
	static const char text[] = "--\n-- PostgreSQL database dump\n--\n\nCREATE TABLE t (a integer);\n";

	spool_made_work(m);
	spool_made_write(m->work, "app.sql", text, sizeof(text) - 1);
	const struct snapshot *s = spool_made_commit(m);
	assert_non_null(s);
	assert_int_equal(s->state, SNAPSHOT_PARTIAL);
	assert_non_null(strstr(s->name, ".partial"));
	spool_made_write(m->work, "notes", "x", 1); /* the dump is still what it was */
	s = spool_made_commit(m);
	assert_non_null(s);
	assert_int_equal(s->state, SNAPSHOT_PARTIAL);
}

static void test_commit__another_hosts_snapshot_is_kept_and_told(void **state)
{
	struct spool_made *m = *state;
	struct error err = ERROR_INIT;
	struct backup_result other;
	struct commit_result result;

	spool_made_base(m);
	spool_made_work(m);
	spool_made_write(m->work, "mine", "1", 1);
	archive_fixture_write(&m->f, "theirs", "2", 1);
	archive_fixture_backup(&m->f, &other);
	must(spool_made_try(m, &result, &err), &err);
	assert_non_null(result.snapshot);
	assert_string_equal(result.crossed, other.snapshot->host);
	assert_false(archive_fixture_has(m->f.repo, result.snapshot, "theirs"));
	assert_int_equal(snapshots(m), 3);
	commit_result_release(&result);
	snapshot_free(other.snapshot);
	spool_made_write(m->work, "mine", "2", 1);
	must(spool_made_try(m, &result, &err), &err);
	assert_null(result.crossed); /* said once */
	commit_result_release(&result);
}

static void test_commit__a_forgotten_snapshot_behind_a_file_is_found_in_the_next(void **state)
{
	struct spool_made *m = *state;

	spool_made_work(m);
	spool_made_write(m->work, "x", "kept", 4);
	assert_non_null(spool_made_commit(m));
	spool_made_write(m->work, "y", "more", 4);
	assert_non_null(spool_made_commit(m));
	snapshot_free(m->kept[0]); /* where x was committed first */
	memmove(m->kept, m->kept + 1, --m->kept_count * sizeof(m->kept[0]));
	spool_made_write(m->work, "y", "most", 4);
	const struct snapshot *s = spool_made_commit(m);
	assert_non_null(s);
	archive_fixture_expect(m->f.repo, s, "x", "kept", 4);
}

static bool is_held(struct spool_made *m)
{
	struct error err = ERROR_INIT;
	const struct snapset *set = NULL;

	must(snapset_load(m->f.repo, NULL, NULL, &set, &err), &err);
	bool held = snapset_by_id(set, &m->base->id)->held;
	snapset_unref(set);
	return held;
}

static void test_hold__the_base_is_held_once_and_let_go_when_it_is_left(void **state)
{
	struct spool_made *m = *state;

	spool_made_base(m);
	assert_true(hold_take(m->f.repo, m->dir, m->base, false, NULL));
	assert_true(is_held(m));
	uint64_t puts = store_fault_calls(m->f.store, FAULT_PUT);
	assert_true(hold_take(m->f.repo, m->dir, m->base, true, NULL));
	assert_true(hold_release(m->f.repo, m->dir, m->base, NULL));
	assert_int_equal(store_fault_calls(m->f.store, FAULT_PUT), puts);
	assert_true(hold_release(m->f.repo, m->dir, NULL, NULL));
	assert_false(is_held(m));
}

static void test_hold__someone_elses_is_left_alone(void **state)
{
	struct spool_made *m = *state;
	struct mark mark = {.kind = MARK_HOLD};
	struct error err = ERROR_INIT;

	spool_made_base(m);
	mark.subject = m->base->id;
	must(mark_put(m->f.repo, &mark, &err), &err);
	assert_false(hold_take(m->f.repo, m->dir, m->base, true, NULL));
	assert_true(hold_release(m->f.repo, m->dir, NULL, NULL));
	assert_true(is_held(m));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SPOOL_CASE(test_commit__no_change_makes_no_snapshot),
		SPOOL_CASE(test_commit__going_back_to_the_base_is_a_change),
		SPOOL_CASE(test_commit__a_crash_behind_the_snapshot_makes_no_second_one),
		SPOOL_CASE(test_commit__a_failing_store_loses_nothing),
		SPOOL_CASE(test_commit__writes_go_on_while_it_runs_and_are_for_the_next),
		SPOOL_CASE(test_commit__an_unusual_size_is_kept_and_said),
		SPOOL_CASE(test_commit__a_small_difference_is_not_unusual),
		SPOOL_CASE(test_commit__a_dump_that_was_cut_short_is_partial),
		SPOOL_CASE(test_commit__another_hosts_snapshot_is_kept_and_told),
		SPOOL_CASE(test_commit__a_forgotten_snapshot_behind_a_file_is_found_in_the_next),
		SPOOL_CASE(test_hold__someone_elses_is_left_alone),
		SPOOL_CASE(test_hold__the_base_is_held_once_and_let_go_when_it_is_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
