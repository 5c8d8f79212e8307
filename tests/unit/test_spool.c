/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/checked.h"
#include "base/clock.h"
#include "fs/spool/spool_impl.h"
#include "spool_made.h"

#define WAIT (60 * CLOCK_SECOND) /* for what comes at once; a slow machine may need a while */
#define SHORT (CLOCK_SECOND / 20)

/* A spool and what it told. */
struct host {
	struct spool_made *m;
	struct spool *s;
	struct spool_rule rule;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	unsigned made, moved, done;
	int status;
	char name[SNAPSHOT_NAME_MAX], why[200];
};

static const struct work_owner me;

static void must(int r, const struct error *err)
{
	if (r < 0)
		fail_msg("%d: %s", r, error_text(err));
}

static struct spool_rule rule_of(void *arg, const char *dataset)
{
	const struct host *h = arg;

	(void)dataset;
	return h->rule;
}

static const struct epoch *epoch_now(struct host *h)
{
	struct error err = ERROR_INIT;
	const struct snapset *set = NULL;
	const struct epoch *epoch = NULL;

	must(snapset_load(h->m->f.repo, NULL, NULL, &set, &err), &err);
	must(epoch_new(set, NULL, &epoch, &err), &err);
	return epoch;
}

static void show(struct host *h)
{
	const struct epoch *epoch = epoch_now(h);

	spool_show(h->s, epoch);
	epoch_unref(epoch);
}

static void tell(struct host *h, unsigned *what)
{
	pthread_mutex_lock(&h->lock);
	++*what;
	pthread_cond_broadcast(&h->cond);
	pthread_mutex_unlock(&h->lock);
}

static void on_made(void *arg, const struct snapshot *snapshot)
{
	struct host *h = arg;

	assert_non_null(snapshot);
	show(h);
	tell(h, &h->made);
}

static void on_moved(void *arg, const char *dataset)
{
	struct host *h = arg;

	assert_non_null(dataset);
	tell(h, &h->moved);
}

static void on_done(void *arg, int status, const struct snapshot *made, const struct error *why)
{
	struct host *h = arg;

	pthread_mutex_lock(&h->lock);
	h->status = status;
	snprintf(h->name, sizeof(h->name), "%s", made == NULL ? "" : made->name);
	snprintf(h->why, sizeof(h->why), "%s", why == NULL ? "" : error_text(why));
	pthread_mutex_unlock(&h->lock);
	tell(h, &h->done);
}

/* Waits until it was told so often. */
static void expect(struct host *h, const unsigned *what, unsigned count)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += WAIT / CLOCK_SECOND;
	pthread_mutex_lock(&h->lock);
	while (*what < count && pthread_cond_timedwait(&h->cond, &h->lock, &until) == 0)
		;
	unsigned got = *what;
	pthread_mutex_unlock(&h->lock);
	assert_int_equal(got, count);
}

static int try_open(struct host *h, struct spool **ret, struct error *err)
{
	const struct spool_options options = {.repo = h->m->f.repo,
		.dir = h->m->dir,
		.view = h->m->view,
		.rule = rule_of,
		.rule_arg = h,
		.made = on_made,
		.made_arg = h,
		.moved = on_moved,
		.moved_arg = h};
	const struct epoch *epoch = epoch_now(h);
	int r = spool_open(&options, epoch, ret, err);

	epoch_unref(epoch);
	return r;
}

static void open_spool(struct host *h)
{
	struct error err = ERROR_INIT;

	must(try_open(h, &h->s, &err), &err);
}

static void close_spool(struct host *h, int64_t wait)
{
	spool_close(h->s, wait);
	h->s = NULL;
}

static int setup(void **state)
{
	struct host *h = calloc(1, sizeof(*h));
	void *made;

	assert_non_null(h);
	spool_made_setup(&made);
	h->m = made;
	h->rule = (struct spool_rule){.policy = SPOOL_MANUAL};
	pthread_mutex_init(&h->lock, NULL);
	pthread_cond_init(&h->cond, NULL);
	*state = h;
	return 0;
}

static int teardown(void **state)
{
	struct host *h = *state;
	void *made = h->m;

	spool_close(h->s, 0);
	spool_made_teardown(&made);
	pthread_cond_destroy(&h->cond);
	pthread_mutex_destroy(&h->lock);
	free(h);
	return 0;
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static struct work *copy_of(struct host *h, const char *dataset)
{
	struct error err = ERROR_INIT;
	struct work *w = NULL;
	int r = spool_work(h->s, dataset, &w, &err);

	if (r == ERR_NOT_FOUND) {
		error_clear(&err);
		r = spool_make(h->s, dataset, me, &w, &err);
	}
	must(r, &err);
	return w;
}

static void ask(struct host *h, struct work *w)
{
	const struct spool_request request = {.done = on_done, .arg = h};

	spool_commit(h->s, w, &request);
}

static size_t snapshots(struct host *h)
{
	const struct epoch *epoch = epoch_now(h);
	size_t count = epoch->set->count;

	epoch_unref(epoch);
	return count;
}

/* ---- policies ---- */

static void test_spool__idle_commits_once_it_is_quiet(void **state)
{
	struct host *h = *state;

	h->rule = (struct spool_rule){.policy = SPOOL_IDLE, .idle_ns = SHORT};
	open_spool(h);
	struct work *w = copy_of(h, "db");
	spool_made_write(w, "a", "1", 1);
	expect(h, &h->made, 1);
	spool_made_write(w, "a", "2", 1);
	expect(h, &h->made, 2);
	assert_int_equal(snapshots(h), 2);
}

static void test_spool__unrest_is_committed_after_its_bound(void **state)
{
	struct host *h = *state;
	struct error err = ERROR_INIT;
	struct work_file *file;

	h->rule = (struct spool_rule){.policy = SPOOL_IDLE, .idle_ns = WAIT * 10, .idle_max_ns = SHORT};
	open_spool(h);
	struct work *w = copy_of(h, "db");
	spool_made_write(w, "a", "1", 1);
	must(work_file_open(w, spool_made_ino(w, "a"), true, false, &file, &err), &err);
	must(work_write(file, 0, "2", 1, false, &err), &err);
	expect(h, &h->made, 1);
	must(work_file_close(file, &err), &err);
}

static void test_spool__closes_at_one_time_become_one_commit(void **state)
{
	struct host *h = *state;

	h->rule = (struct spool_rule){.policy = SPOOL_CLOSE, .idle_ns = WAIT * 10, .idle_max_ns = WAIT * 20};
	open_spool(h);
	struct work *w = copy_of(h, "db");
	int64_t began = clock_monotonic();
	spool_made_write(w, "a", "1", 1);
	spool_made_write(w, "b", "2", 1);
	expect(h, &h->made, 1);
	assert_true(clock_monotonic() - began >= SPOOL_CLOSE_WAIT);
	const struct epoch *epoch = epoch_now(h);
	assert_int_equal(epoch->set->count, 1);
	assert_int_equal(epoch->set->list[0]->files, 2);
	epoch_unref(epoch);
}

static void test_spool__manual_commits_when_it_is_asked_to(void **state)
{
	struct host *h = *state;

	open_spool(h);
	struct work *w = copy_of(h, "db");
	ask(h, w);
	expect(h, &h->done, 1);
	assert_int_equal(h->status, 0);
	assert_string_equal(h->name, "");
	spool_made_write(w, "a", "1", 1);
	assert_int_equal(snapshots(h), 0);
	char nightly[] = "nightly", x[] = "x";
	char *tags[] = {nightly, nightly, x};
	const struct spool_request request = {
		.description = "by hand", .tags = tags, .tag_count = 3, .done = on_done, .arg = h};
	spool_commit(h->s, w, &request);
	expect(h, &h->done, 2);
	assert_int_equal(h->status, 0);
	const struct epoch *epoch = epoch_now(h);
	assert_int_equal(epoch->set->count, 1);
	assert_string_equal(h->name, epoch->set->list[0]->name);
	assert_string_equal(epoch->set->list[0]->description, "by hand");
	assert_int_equal(epoch->set->list[0]->tag_count, 2);
	epoch_unref(epoch);
}

static void test_spool__waiters_of_one_time_share_commits(void **state)
{
	struct host *h = *state;

	open_spool(h);
	struct work *w = copy_of(h, "wal");
	for (unsigned i = 0; i < 20; i++) {
		char name[16];
		snprintf(name, sizeof(name), "segment%u", i);
		spool_made_write(w, name, name, strlen(name));
		ask(h, w);
	}
	expect(h, &h->done, 20);
	assert_int_equal(h->status, 0);
	assert_true(snapshots(h) < 20);
	struct work_state now;
	work_get_state(w, &now);
	assert_int_equal(now.changes, now.committed);
}

static void test_spool_due__follows_the_policy(void **state)
{
	struct spool_rule rule = {.policy = SPOOL_IDLE, .idle_ns = 10, .idle_max_ns = 100};
	struct work_state s = {.changes = 5, .committed = 3, .last_change = 1000, .first_change = 950};

	(void)state;
	assert_int_equal(spool_due(&rule, &s, 0, 1001), 1010);
	s.first_change = 905;
	assert_int_equal(spool_due(&rule, &s, 0, 1001), 1005);
	s.open_dirty = 1;
	s.first_change = 950;
	assert_int_equal(spool_due(&rule, &s, 0, 1001), 1050);
	rule.policy = SPOOL_CLOSE;
	rule.idle_ns = rule.idle_max_ns = 10 * SPOOL_CLOSE_WAIT;
	/* Another host's snapshot is taken over soon after the last change, however long idle is. */
	struct work_state calm = {.changes = 1, .committed = 1, .last_change = 5};
	assert_int_equal(spool_movable(&rule, &calm), 5 + SPOOL_MOVE_WAIT);
	assert_int_equal(spool_due(&rule, &s, 990, 1001), 990 + SPOOL_CLOSE_WAIT);
	s.last_change = s.first_change = 0; /* of an earlier run */
	assert_int_equal(spool_due(&rule, &s, 0, 1001), 1001);
	rule.policy = SPOOL_MANUAL;
	assert_true(spool_due(&rule, &s, 0, 1001) == INT64_MAX);
	rule.policy = SPOOL_IDLE;
	s.committed = 5;
	assert_true(spool_due(&rule, &s, 0, 1001) == INT64_MAX);
}

static void test_spool_backoff__grows_to_five_minutes(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 1000; i++) {
		assert_in_range(spool_backoff(1), 1, SPOOL_RETRY_FIRST);
		assert_in_range(spool_backoff(4), 1, 8 * SPOOL_RETRY_FIRST);
		assert_in_range(spool_backoff(1 + i), 1, SPOOL_RETRY_MOST);
	}
}

/* ---- trouble ---- */

static void fail_puts(struct host *h, int code)
{
	const struct fault_rule rule = {.kind = FAULT_FAIL, .ops = FAULT_PUT, .code = code};
	struct error err = ERROR_INIT;

	must(store_fault_add(h->m->f.store, &rule, &err), &err);
}

static const char *status_text(struct host *h, json_t **ret_array, const char *key)
{
	struct error err = ERROR_INIT;

	must(spool_status(h->s, ret_array, &err), &err);
	assert_int_equal(json_array_size(*ret_array), 1);
	const char *text = json_string_value(json_object_get(json_array_get(*ret_array, 0), key));
	return text == NULL ? "" : text;
}

static void test_spool__a_store_that_is_down_delays_and_loses_nothing(void **state)
{
	struct host *h = *state;
	json_t *array;

	h->rule = (struct spool_rule){.policy = SPOOL_IDLE, .idle_ns = SHORT};
	open_spool(h);
	h->s->patience = SHORT;
	struct work *w = copy_of(h, "db");
	fail_puts(h, ERR_UNAVAILABLE);
	spool_made_write(w, "a", "1", 1);
	ask(h, w);
	expect(h, &h->done, 1);
	assert_int_equal(h->status, ERR_TIMEOUT);
	assert_int_equal(snapshots(h), 0);
	while (strcmp(status_text(h, &array, "state"), "retrying") != 0)
		json_decref(array);
	assert_true(strlen(json_string_value(json_object_get(json_array_get(array, 0), "last_error"))) > 0);
	json_decref(array);
	store_fault_clear(h->m->f.store);
	expect(h, &h->made, 1); /* by itself */
	assert_int_equal(h->done, 1);
}

static void test_spool__what_waiting_does_not_mend_is_told_at_once(void **state)
{
	struct host *h = *state;

	open_spool(h);
	struct work *w = copy_of(h, "db");
	fail_puts(h, ERR_DENIED);
	spool_made_write(w, "a", "1", 1);
	ask(h, w);
	expect(h, &h->done, 1);
	assert_int_equal(h->status, ERR_DENIED);
	assert_true(strlen(h->why) > 0);
	store_fault_clear(h->m->f.store);
	ask(h, w);
	expect(h, &h->done, 2);
	assert_int_equal(h->status, 0);
	assert_int_equal(snapshots(h), 1);
}

static void test_spool__what_was_parked_is_taken_up_again(void **state)
{
	struct host *h = *state;

	h->rule = (struct spool_rule){.policy = SPOOL_IDLE, .idle_ns = WAIT * 10, .idle_max_ns = WAIT * 20};
	open_spool(h);
	spool_made_write(copy_of(h, "db"), "a", "1", 1);
	close_spool(h, 0);
	assert_int_equal(snapshots(h), 0);
	open_spool(h);
	expect(h, &h->made, 1);
	assert_int_equal(snapshots(h), 1);
}

static void test_spool__closing_with_time_commits_what_is_left(void **state)
{
	struct host *h = *state;

	h->rule = (struct spool_rule){.policy = SPOOL_IDLE, .idle_ns = WAIT * 10, .idle_max_ns = WAIT * 20};
	open_spool(h);
	spool_made_write(copy_of(h, "db"), "a", "1", 1);
	close_spool(h, WAIT);
	assert_int_equal(snapshots(h), 1);
}

static void test_spool__a_second_one_is_busy(void **state)
{
	struct host *h = *state;
	struct error err = ERROR_INIT;
	struct spool *second = NULL;

	open_spool(h);
	assert_int_equal(try_open(h, &second, &err), ERR_BUSY);
	assert_null(second);
	close_spool(h, 0);
	open_spool(h);
}

/* ---- datasets ---- */

static void test_spool__datasets_are_made_listed_and_removed(void **state)
{
	struct host *h = *state;
	struct error err = ERROR_INIT;
	struct work *w;
	char **names;
	size_t count;

	spool_made_base(h->m);
	open_spool(h);
	assert_int_equal(spool_work(h->s, "none", &w, &err), ERR_NOT_FOUND);
	must(spool_make(h->s, "lock", me, &w, &err), &err);
	must(spool_make(h->s, "a%b c", me, &w, &err), &err);
	assert_int_equal(spool_make(h->s, "lock", me, &w, NULL), ERR_EXISTS);
	assert_int_equal(spool_make(h->s, "t", me, &w, NULL), ERR_EXISTS);
	assert_int_equal(spool_make(h->s, ".x", me, &w, NULL), ERR_USAGE);
	close_spool(h, 0);
	open_spool(h);
	must(spool_datasets(h->s, &names, &count, &err), &err);
	assert_int_equal(count, 3);
	assert_string_equal(names[0], "a%b c");
	assert_string_equal(names[1], "lock");
	assert_string_equal(names[2], "t");
	spool_names_free(names, count);
	assert_int_equal(spool_remove(h->s, "t", NULL), WORK_EPERM);
	spool_made_write(copy_of(h, "lock"), "x", "1", 1);
	assert_int_equal(spool_remove(h->s, "lock", NULL), WORK_ENOTEMPTY);
	must(work_unlink(copy_of(h, "lock"), INDEX_ROOT, "x", &err), &err);
	error_clear(&err);
	must(spool_remove(h->s, "lock", &err), &err);
	assert_int_equal(spool_work(h->s, "lock", &w, NULL), ERR_NOT_FOUND);
	must(spool_make(h->s, "lock", me, &w, &err), &err);
}

static void test_spool_folder_name__comes_back_as_it_was(void **state)
{
	static const char *const names[] = {"db", "lock", "a%b", "a b", "%41", "locks", "\xc3\xa4"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		char *folder = spool_folder_name(names[i]);
		char *back = spool_dataset_name(folder);
		assert_string_equal(back, names[i]);
		assert_string_not_equal(folder, "lock");
		free(folder);
		free(back);
	}
	assert_null(spool_dataset_name("a%4"));
	assert_null(spool_dataset_name("a%zz"));
}

static void test_spool__an_untouched_copy_moves_to_what_another_host_made(void **state)
{
	struct host *h = *state;
	struct error err = ERROR_INIT;
	struct backup_result other;
	struct stat st;

	spool_made_base(h->m);
	open_spool(h);
	struct work *w = copy_of(h, "t");
	assert_int_equal(work_lookup(w, INDEX_ROOT, "theirs", &st, NULL), ERR_NOT_FOUND);
	archive_fixture_write(&h->m->f, "theirs", "2", 1);
	archive_fixture_backup(&h->m->f, &other);
	show(h);
	expect(h, &h->moved, 1);
	must(work_lookup(w, INDEX_ROOT, "theirs", &st, &err), &err);
	snapshot_free(other.snapshot);
}

static void test_spool__changes_stay_on_their_base_which_is_held(void **state)
{
	struct host *h = *state;
	struct backup_result other;
	struct stat st;
	json_t *array;

	spool_made_base(h->m);
	open_spool(h);
	struct work *w = copy_of(h, "t");
	spool_made_write(w, "mine", "1", 1);
	archive_fixture_write(&h->m->f, "theirs", "2", 1);
	archive_fixture_backup(&h->m->f, &other);
	show(h);
	ask(h, w);
	expect(h, &h->done, 1);
	assert_int_equal(h->status, 0);
	assert_int_equal(work_lookup(w, INDEX_ROOT, "theirs", &st, NULL), ERR_NOT_FOUND);
	assert_string_equal(status_text(h, &array, "crossed"), other.snapshot->host);
	json_decref(array);
	const struct epoch *epoch = epoch_now(h);
	assert_true(snapset_by_id(epoch->set, &h->m->base->id)->held);
	epoch_unref(epoch);
	snapshot_free(other.snapshot);
}

static void test_spool__an_overlay_that_has_grown_moves_to_its_own_commit(void **state)
{
	struct host *h = *state;
	struct error err = ERROR_INIT;
	struct stat st;

	h->rule.idle_ns = SHORT;
	spool_made_base(h->m);
	open_spool(h);
	h->s->grown = 20; /* as many entries as the folder has */
	struct work *w = copy_of(h, "t");
	must(work_rename(w, INDEX_ROOT, "a", INDEX_ROOT, "renamed", 0, &err), &err);
	char *before = spool_made_show_work(w);
	ask(h, w);
	expect(h, &h->done, 1);
	expect(h, &h->moved, 1);
	assert_int_equal(h->status, 0);
	assert_string_equal(work_base(w)->name, h->name);
	char *now = spool_made_show_work(w);
	assert_string_equal(before, now);
	must(work_lookup(w, INDEX_ROOT, "renamed", &st, &err), &err);
	assert_true(st.st_ino < INDEX_NEW);
	free(before);
	free(now);
}

static void test_spool__a_commit_that_is_cut_short_goes_on_next_time(void **state)
{
	struct host *h = *state;
	const struct fault_rule slow = {.kind = FAULT_DELAY, .ops = FAULT_PUT, .delay_ms = 200};
	struct error err = ERROR_INIT;

	h->rule = (struct spool_rule){.policy = SPOOL_IDLE, .idle_ns = WAIT * 10, .idle_max_ns = WAIT * 20};
	open_spool(h);
	struct work *w = copy_of(h, "db");
	spool_made_write(w, "a", "1", 1);
	must(store_fault_add(h->m->f.store, &slow, &err), &err);
	ask(h, w);
	close_spool(h, 0);
	assert_int_equal(h->done, 1);
	store_fault_clear(h->m->f.store);
	unsigned made = h->made;
	open_spool(h);
	if (made == 0)
		expect(h, &h->made, 1);
	assert_int_equal(snapshots(h), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_spool__idle_commits_once_it_is_quiet),
		CASE(test_spool__unrest_is_committed_after_its_bound),
		CASE(test_spool__closes_at_one_time_become_one_commit),
		CASE(test_spool__manual_commits_when_it_is_asked_to),
		CASE(test_spool__waiters_of_one_time_share_commits),
		cmocka_unit_test(test_spool_due__follows_the_policy),
		cmocka_unit_test(test_spool_backoff__grows_to_five_minutes),
		CASE(test_spool__a_store_that_is_down_delays_and_loses_nothing),
		CASE(test_spool__what_waiting_does_not_mend_is_told_at_once),
		CASE(test_spool__what_was_parked_is_taken_up_again),
		CASE(test_spool__closing_with_time_commits_what_is_left),
		CASE(test_spool__a_second_one_is_busy),
		CASE(test_spool__datasets_are_made_listed_and_removed),
		cmocka_unit_test(test_spool_folder_name__comes_back_as_it_was),
		CASE(test_spool__an_untouched_copy_moves_to_what_another_host_made),
		CASE(test_spool__an_overlay_that_has_grown_moves_to_its_own_commit),
		CASE(test_spool__a_commit_that_is_cut_short_goes_on_next_time),
		CASE(test_spool__changes_stay_on_their_base_which_is_held),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
