/* SPDX-License-Identifier: MIT */
/* A working copy in the cases that random calls seldom meet, and over restarts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/checked.h"
#include "fs/spool/work_impl.h"
#include "spool_made.h"

static const struct work_owner owner = {0};

static void must(int rc, const struct error *err)
{
	if (rc < 0)
		fail_msg("%d: %s", rc, error_text(err));
}

static struct spool_made *based(void **state)
{
	spool_made_base(*state);
	spool_made_work(*state);
	return *state;
}

static struct spool_made *fresh(void **state)
{
	spool_made_work(*state);
	return *state;
}

static void reopen(struct spool_made *m)
{
	work_close(m->work);
	m->work = NULL;
	spool_made_work(m);
}

/* How many staged files lie there. */
static unsigned staged(const struct spool_made *m)
{
	char path[128];
	unsigned count = 0;
	snprintf(path, sizeof(path), "%s/data", m->dir);
	DIR *d = opendir(path);
	assert_non_null(d);
	for (struct dirent *e; (e = readdir(d)) != NULL;)
		count += e->d_name[0] != '.';
	closedir(d);
	return count;
}

static uint64_t changes(struct spool_made *m)
{
	struct work_state state;
	work_get_state(m->work, &state);
	return state.changes;
}

static struct stat stat_of(struct spool_made *m, const char *path)
{
	struct error err = ERROR_INIT;
	struct stat st;
	must(work_getattr(m->work, spool_made_ino(m->work, path), &st, &err), &err);
	return st;
}

static struct work_file *open_file(struct spool_made *m, const char *path, bool write)
{
	struct error err = ERROR_INIT;
	struct work_file *f;
	must(work_file_open(m->work, spool_made_ino(m->work, path), write, false, &f, &err), &err);
	return f;
}

static void write_text(struct work_file *f, uint64_t off, const char *text)
{
	struct error err = ERROR_INIT;
	must(work_write(f, off, text, strlen(text), false, &err), &err);
}

static void expect_text(struct spool_made *m, const char *path, const char *text)
{
	char got[256] = "";
	size_t len = 0;
	struct work_file *f = open_file(m, path, false);
	assert_int_equal(work_read(f, 0, got, sizeof(got) - 1, &len, NULL), 0);
	got[len] = '\0';
	assert_string_equal(got, text);
	assert_int_equal(work_file_close(f, NULL), 0);
}

/* ---- links of folders ---- */

struct links {
	const char *name;
	nlink_t count;
};

static bool note_links(void *arg, const char *name, const struct stat *st, uint64_t next)
{
	struct links *l = arg;
	(void)next;
	if (strcmp(name, l->name) == 0)
		l->count = st->st_nlink;
	return true;
}

static nlink_t links_listed(struct spool_made *m, const char *name)
{
	struct links l = {.name = name};
	assert_int_equal(work_list(m->work, 0, 0, note_links, &l, NULL), 0);
	return l.count;
}

static void test_links__of_a_folder_are_counted_by_who_asks_and_one_until_then(void **state)
{
	struct spool_made *m = based(state);
	struct stat st, want = {.st_mode = 0700};
	assert_int_equal(links_listed(m, "a"), 1);
	assert_int_equal(stat_of(m, "a").st_nlink, 2 + 3);
	assert_int_equal(links_listed(m, "a"), 2 + 3);
	assert_int_equal(
		work_make(m->work, spool_made_ino(m->work, "a"), "new", S_IFDIR | 0700, 0, owner, &st, NULL), 0);
	assert_int_equal(work_rmdir(m->work, spool_made_ino(m->work, "a"), "empty", NULL), 0);
	assert_int_equal(work_rename(m->work, spool_made_ino(m->work, "a"), "b", 0, "b", 0, NULL), 0);
	assert_int_equal(stat_of(m, "a").st_nlink, 2 + 2);
	reopen(m);
	assert_int_equal(links_listed(m, "a"), 1);
	assert_int_equal(work_setattr(m->work, spool_made_ino(m->work, "a"), WORK_SET_MODE, &want, &st, NULL), 0);
	assert_int_equal(st.st_nlink, 2 + 2);
	assert_int_equal(stat_of(m, "").st_nlink, 2 + 6);
}

struct maker {
	struct spool_made *m;
	unsigned count;
};

static void *make_folders(void *arg)
{
	const struct maker *k = arg;
	struct stat st;
	char name[32];
	for (unsigned i = 0; i < k->count; i++) {
		snprintf(name, sizeof(name), "made%u", i);
		if (work_make(k->m->work, 0, name, S_IFDIR | 0700, 0, owner, &st, NULL) < 0)
			return arg;
	}
	return NULL;
}

static void test_links__are_counted_while_folders_are_made_elsewhere(void **state)
{
	struct spool_made *m = based(state);
	struct maker k = {.m = m, .count = 500};
	pthread_t thread;
	void *failed;
	struct stat st;
	assert_int_equal(pthread_create(&thread, NULL, make_folders, &k), 0);
	unsigned wrong = 0;
	for (unsigned i = 0; i < 200; i++) {
		work_lock(m->work);
		map_clear(&m->work->folders);
		work_unlock(m->work);
		wrong += work_lookup(m->work, 0, "a", &st, NULL) != 0 || st.st_nlink != 2 + 3;
	}
	pthread_join(thread, &failed);
	assert_null(failed);
	assert_int_equal(wrong, 0);
	assert_int_equal(stat_of(m, "").st_nlink, 2 + 5 + 500);
}

/* ---- folders of the base ---- */

static void test_rename__of_a_base_folder_brings_up_the_folder_alone(void **state)
{
	struct spool_made *m = based(state);
	uint64_t rows, a = spool_made_ino(m->work, "a"), below = spool_made_ino(m->work, "a/b/f4");
	assert_int_equal(work_rename(m->work, 0, "a", 0, "moved", 0, NULL), 0);
	assert_int_equal(index_count(m->work->index, &rows, NULL), 0);
	assert_int_equal(rows, 2); /* the root and the folder */
	assert_int_equal(spool_made_ino(m->work, "moved"), a);
	assert_int_equal(spool_made_ino(m->work, "moved/b/f4"), below);
	struct stat st;
	assert_int_equal(work_lookup(m->work, 0, "a", &st, NULL), ERR_NOT_FOUND);
	/* What is touched in it then comes up in its new place. */
	spool_made_write_at(m->work, "moved2", 0, "x", 1);
	struct stat want = {.st_mode = 0600};
	assert_int_equal(work_setattr(m->work, below, WORK_SET_MODE, &want, &st, NULL), 0);
	reopen(m);
	assert_int_equal(stat_of(m, "moved/b/f4").st_mode, S_IFREG | 0600);
}

static void test_rename__below_itself_is_refused_at_any_depth(void **state)
{
	struct spool_made *m = based(state);
	uint64_t b = spool_made_ino(m->work, "a/b"), a = spool_made_ino(m->work, "a");
	assert_int_equal(work_rename(m->work, 0, "a", b, "x", 0, NULL), WORK_EINVAL);
	assert_int_equal(work_rename(m->work, 0, "a", a, "x", 0, NULL), WORK_EINVAL);
	assert_int_equal(work_rename(m->work, a, "b", 0, "a", 0, NULL), WORK_ENOTEMPTY);
	assert_int_equal(work_rename(m->work, a, "b", 0, "a", RENAME_EXCHANGE, NULL), WORK_EINVAL);
	assert_int_equal(changes(m), 0);
}

static void test_rename__exchange_of_a_base_folder_and_a_new_file(void **state)
{
	struct spool_made *m = based(state);
	spool_made_write(m->work, "new", "new", 3);
	uint64_t z = spool_made_ino(m->work, "z");
	assert_int_equal(work_rename(m->work, z, "y", 0, "new", RENAME_EXCHANGE, NULL), 0);
	expect_text(m, "z/y", "new");
	assert_true(S_ISDIR(stat_of(m, "new/x").st_mode));
	uint64_t parent;
	assert_int_equal(work_parent(m->work, spool_made_ino(m->work, "new"), &parent, NULL), 0);
	assert_int_equal(parent, INDEX_ROOT);
	assert_int_equal(stat_of(m, "z").st_nlink, 2);
	assert_int_equal(work_rename(m->work, 0, "new", 0, "a", RENAME_NOREPLACE, NULL), WORK_EEXIST);
}

static void test_unlink__of_a_base_name_stays_gone_and_can_be_made_anew(void **state)
{
	struct spool_made *m = based(state);
	struct stat st;
	assert_int_equal(work_unlink(m->work, 0, "big", NULL), 0);
	assert_int_equal(work_unlink(m->work, 0, "big", NULL), ERR_NOT_FOUND);
	reopen(m);
	assert_int_equal(work_lookup(m->work, 0, "big", &st, NULL), ERR_NOT_FOUND);
	spool_made_write(m->work, "big", "small", 5);
	expect_text(m, "big", "small");
	assert_int_equal(work_unlink(m->work, 0, "big", NULL), 0);
	reopen(m);
	assert_int_equal(work_lookup(m->work, 0, "big", &st, NULL), ERR_NOT_FOUND);
	assert_int_equal(stat_of(m, "hard").st_nlink, 2); /* of three links */
}

static void test_rmdir__of_an_emptied_base_folder(void **state)
{
	struct spool_made *m = based(state);
	uint64_t z = spool_made_ino(m->work, "z"), y = spool_made_ino(m->work, "z/y"),
		 x = spool_made_ino(m->work, "z/y/x");
	static const char *const files[] = {"f6-", "f13", "f20", "f27-", "f34"};
	struct stat st;
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		assert_int_equal(work_rmdir(m->work, y, "x", NULL), WORK_ENOTEMPTY);
		assert_int_equal(work_unlink(m->work, x, files[i], NULL), 0);
	}
	assert_int_equal(work_rmdir(m->work, y, "x", NULL), 0);
	/* Nothing can be made in it through a number that is still known. */
	assert_int_equal(work_make(m->work, x, "new", S_IFREG | 0644, 0, owner, &st, NULL), ERR_NOT_FOUND);
	assert_int_equal(work_rmdir(m->work, z, "y", NULL), WORK_ENOTEMPTY);
	assert_int_equal(work_make(m->work, y, "x", S_IFDIR | 0755, 0, owner, &st, NULL), 0);
	assert_int_equal(work_rmdir(m->work, y, "x", NULL), 0);
}

/* ---- links ---- */

static void test_links__of_the_base_are_one_file_before_and_after_they_are_touched(void **state)
{
	struct spool_made *m = based(state);
	uint64_t ino = spool_made_ino(m->work, "z/y/hard");
	assert_int_equal(spool_made_ino(m->work, "big"), ino);
	assert_int_equal(spool_made_ino(m->work, "hard"), ino);
	struct work_file *f = open_file(m, "hard", true);
	write_text(f, 10, "written");
	assert_int_equal(work_file_close(f, NULL), 0);
	for (unsigned i = 0; i < 2; i++) {
		char got[8] = "";
		size_t len;
		f = open_file(m, "z/y/hard", false);
		assert_int_equal(work_read(f, 10, got, 7, &len, NULL), 0);
		assert_string_equal(got, "written");
		assert_int_equal(work_file_close(f, NULL), 0);
		assert_int_equal(stat_of(m, "big").st_nlink, 3);
		assert_int_equal(spool_made_ino(m->work, "big"), spool_made_ino(m->work, "hard"));
		reopen(m);
	}
}

/* ---- files ---- */

static void test_file__that_is_unlinked_while_open_lives_on_and_leaves_nothing(void **state)
{
	struct spool_made *m = based(state);
	struct stat st;
	char got[16] = "";
	size_t len;
	spool_made_write(m->work, "new", "one", 3);
	struct work_file *f = open_file(m, "new", true), *base = open_file(m, "a/big", true);
	assert_int_equal(work_unlink(m->work, 0, "new", NULL), 0);
	assert_int_equal(work_unlink(m->work, spool_made_ino(m->work, "a"), "big", NULL), 0);
	write_text(f, 3, " two");
	write_text(base, 0, "base");
	assert_int_equal(work_read(f, 0, got, sizeof(got), &len, NULL), 0);
	assert_string_equal(got, "one two");
	assert_int_equal(work_getattr(m->work, f->a->ino, &st, NULL), 0);
	assert_int_equal(st.st_nlink, 0);
	assert_int_equal(st.st_size, 7);
	assert_int_equal(work_fsync(f, NULL), 0);
	assert_int_equal(work_link(m->work, f->a->ino, 0, "again", &st, NULL), ERR_NOT_FOUND);
	assert_int_equal(work_file_close(f, NULL), 0);
	assert_int_equal(work_file_close(base, NULL), 0);
	work_sweep(m->work);
	assert_int_equal(staged(m), 0);
	struct work_state s;
	work_get_state(m->work, &s);
	assert_int_equal(s.staged_bytes, 0);
	assert_int_equal(s.open_dirty, 0);
	assert_int_equal(s.open_files, 0);
}

static void test_file__shows_its_size_and_time_while_it_is_written(void **state)
{
	struct spool_made *m = fresh(state);
	struct stat want = {.st_mtim = {.tv_sec = 1000, .tv_nsec = 5}}, st;
	struct work_state s;
	spool_made_write(m->work, "f", "1234", 4);
	assert_int_equal(work_setattr(m->work, spool_made_ino(m->work, "f"), WORK_SET_MTIME, &want, &st, NULL), 0);
	struct work_file *f = open_file(m, "f", true);
	write_text(f, 4, "5678");
	work_get_state(m->work, &s);
	assert_int_equal(s.open_dirty, 1);
	assert_int_equal(stat_of(m, "f").st_size, 8);
	assert_true(stat_of(m, "f").st_mtim.tv_sec > 1000);
	/* What is set after the write stays, over the close too. */
	assert_int_equal(work_setattr(m->work, spool_made_ino(m->work, "f"), WORK_SET_MTIME, &want, &st, NULL), 0);
	assert_int_equal(st.st_size, 8);
	assert_int_equal(work_file_close(f, NULL), 0);
	assert_int_equal(stat_of(m, "f").st_mtim.tv_sec, 1000);
	assert_int_equal(stat_of(m, "f").st_mtim.tv_nsec, 5);
	work_get_state(m->work, &s);
	assert_int_equal(s.open_dirty, 0);
}

static void test_work__what_changes_nothing_makes_no_change(void **state)
{
	struct spool_made *m = based(state);
	uint64_t ino = spool_made_ino(m->work, "a/big");
	struct stat st = stat_of(m, "a/big"), ret;
	struct work_file *f = open_file(m, "a/big", true);
	assert_int_equal(work_flush(f, NULL), 0);
	assert_int_equal(work_fsync(f, NULL), 0);
	assert_int_equal(work_file_change(f), 0);
	assert_int_equal(work_file_close(f, NULL), 0);
	assert_int_equal(
		work_setattr(m->work, ino, WORK_SET_MODE | WORK_SET_UID | WORK_SET_GID | WORK_SET_SIZE | WORK_SET_MTIME,
			&st, &ret, NULL),
		0);
	assert_int_equal(work_removexattr(m->work, ino, "user.none", NULL), WORK_ENODATA);
	assert_int_equal(work_rename(m->work, 0, "big", 0, "hard", 0, NULL), 0); /* one file */
	assert_int_equal(work_unlink(m->work, 0, "none", NULL), ERR_NOT_FOUND);
	assert_int_equal(changes(m), 0);
	uint64_t rows;
	assert_int_equal(index_count(m->work->index, &rows, NULL), 0);
	assert_int_equal(rows, 0);
	assert_int_equal(m->changed, 0);
}

static void test_copy_range__of_a_whole_file_of_the_base_stages_nothing(void **state)
{
	struct spool_made *m = based(state);
	struct error err = ERROR_INIT;
	uint64_t len = 0;
	struct stat st;
	must(work_make(m->work, 0, "copy", S_IFREG | 0644, 0, owner, &st, &err), &err);
	struct work_file *to = open_file(m, "copy", true), *from = open_file(m, "a/big", false);
	const struct work_copy copy = {.from = from};
	must(work_copy_range(to, &copy, 0, UINT32_MAX, &len, &err), &err);
	assert_int_equal(len, 300000);
	assert_int_equal(work_file_close(to, NULL), 0);
	assert_int_equal(staged(m), 0);
	/* A part is copied as bytes. */
	to = open_file(m, "copy", true);
	must(work_copy_range(to, &copy, 100, 5000, &len, &err), &err);
	assert_int_equal(len, 5000);
	assert_int_equal(work_file_close(to, NULL), 0);
	assert_int_equal(work_file_close(from, NULL), 0);
	assert_int_equal(stat_of(m, "copy").st_size, 300000);
	reopen(m);
	uint8_t *a = malloc(300000), *b = malloc(300000);
	size_t got;
	from = open_file(m, "a/big", false);
	to = open_file(m, "copy", false);
	assert_int_equal(work_read(from, 0, a, 300000, &got, NULL), 0);
	assert_int_equal(work_read(to, 0, b, 300000, &got, NULL), 0);
	assert_memory_equal(a + 5100, b + 5100, 300000 - 5100);
	assert_memory_equal(a, b + 100, 5000);
	assert_memory_equal(a, b, 100);
	work_file_close(from, NULL);
	work_file_close(to, NULL);
	free(a);
	free(b);
}

/* ---- listing ---- */

struct seen_files {
	struct spool_made *m;
	unsigned times[400], room;
	uint64_t off;
};

static bool see(void *arg, const char *name, const struct stat *st, uint64_t next)
{
	struct seen_files *s = arg;
	(void)st;
	if (s->room == 0)
		return false;
	s->room--;
	s->off = next;
	if (name[0] == 'e' && name[1] <= '9')
		s->times[atoi(name + 1)]++;
	return true;
}

static void test_list__shows_once_what_is_there_throughout(void **state)
{
	struct spool_made *m = *state;
	char name[32];
	for (unsigned i = 0; i < 200; i++) {
		snprintf(name, sizeof(name), "e%u", i);
		archive_fixture_write(&m->f, name, "x", 1);
	}
	based(state);
	for (unsigned i = 200; i < 400; i++) {
		snprintf(name, sizeof(name), "e%u", i);
		spool_made_write(m->work, name, "x", 1);
	}
	struct seen_files *s = calloc(1, sizeof(*s));
	s->m = m;
	for (unsigned i = 0; i < 100; i++) { /* between the pieces, all that may happen to a name that stays */
		struct stat want = {.st_mode = (mode_t)(0600 + i % 8)}, st;
		s->room = 1 + i % 9;
		assert_int_equal(work_list(m->work, 0, s->off, see, s, NULL), 0);
		for (unsigned k = 0; k < 4; k++) {
			snprintf(name, sizeof(name), "e%u", (i * 37 + k * 101) % 400);
			assert_int_equal(
				work_setattr(m->work, spool_made_ino(m->work, name), WORK_SET_MODE, &want, &st, NULL),
				0);
		}
		snprintf(name, sizeof(name), "other%u", i);
		spool_made_write(m->work, name, "x", 1);
		if (i % 3 == 0)
			assert_int_equal(work_unlink(m->work, 0, name, NULL), 0);
	}
	s->room = UINT32_MAX;
	assert_int_equal(work_list(m->work, 0, s->off, see, s, NULL), 0);
	for (unsigned i = 0; i < 400; i++)
		if (s->times[i] != 1)
			fail_msg("'e%u' was listed %u times", i, s->times[i]);
	free(s);
}

/* ---- commits ---- */

static void test_freeze__keeps_what_was_closed_while_writers_go_on(void **state)
{
	struct spool_made *m = fresh(state);
	struct error err = ERROR_INIT;
	struct work_frozen *frozen;
	struct index_inode row = INDEX_INODE_INIT;
	struct content *content;
	char got[16] = "";
	size_t len;
	spool_made_write(m->work, "f", "before", 6);
	struct work_file *f = open_file(m, "f", true);
	write_text(f, 0, "BE");
	must(work_freeze(m->work, &frozen, &err), &err);
	struct work_frozen *second;
	assert_int_equal(work_freeze(m->work, &second, NULL), ERR_BUSY);
	write_text(f, 2, "HIND");
	assert_int_equal(work_flush(f, NULL), 0);
	assert_int_equal(work_unlink(m->work, 0, "f", NULL), 0);
	assert_int_equal(work_file_close(f, NULL), 0);
	must(index_get(frozen->index, INDEX_NEW, &row, &err), &err);
	const struct content_options o = {.dir = frozen->data,
		.layers = row.layers.data,
		.layers_len = row.layers.len,
		.size = row.size,
		.read_only = true};
	must(content_open(&o, &content, &err), &err);
	assert_int_equal(content_read(content, 0, got, sizeof(got), &len, NULL), 0);
	assert_string_equal(got, "before");
	content_close(content);
	index_inode_release(&row);
	work_thaw(m->work, frozen);
	assert_int_equal(staged(m), 0);
}

/* Staged files that no row names, as an end in a hurry leaves them. */
static void leave_files(struct spool_made *m, unsigned count)
{
	char path[200];
	work_close(m->work);
	m->work = NULL;
	for (unsigned i = 0; i < count; i++) {
		snprintf(path, sizeof(path), "%s/data/%032x", m->dir, i);
		int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
		assert_true(fd >= 0);
		close(fd);
	}
	spool_made_work(m);
}

static void test_open__waits_for_few_of_the_staged_files_that_nothing_needs(void **state)
{
	struct spool_made *m = fresh(state);
	spool_made_write(m->work, "kept", "kept", 4);
	leave_files(m, 6000);
	assert_in_range(staged(m), 3000, 6000);
	work_sweep_all(m->work);
	assert_int_equal(staged(m), 1);
	expect_text(m, "kept", "kept");
}

static void test_sweep__ends_soon_in_a_hurry_and_goes_on_at_the_next_start(void **state)
{
	struct spool_made *m = fresh(state);
	leave_files(m, 6000);
	work_hurry(m->work);
	work_sweep_all(m->work);
	assert_in_range(staged(m), 1000, 6000);
	reopen(m);
	work_sweep_all(m->work);
	assert_int_equal(staged(m), 0);
}

static void test_committed__staged_bytes_go_with_the_last_handle(void **state)
{
	struct spool_made *m = based(state);
	struct work_state s;
	spool_made_write(m->work, "closed", "1", 1);
	spool_made_write(m->work, "open", "2", 1);
	spool_made_write_at(m->work, "a.b2", 0, "3", 1);
	struct work_file *f = open_file(m, "open", false);
	assert_non_null(spool_made_commit(m));
	assert_int_equal(staged(m), 1);
	assert_int_equal(work_file_close(f, NULL), 0);
	work_sweep(m->work);
	assert_int_equal(staged(m), 0);
	work_get_state(m->work, &s);
	assert_int_equal(s.staged_bytes, 0);
	assert_int_equal(s.changes, s.committed);
	expect_text(m, "open", "2");
	expect_text(m, "closed", "1");
	reopen(m);
	expect_text(m, "open", "2");
}

static void test_committed__a_renamed_folder_does_not_confuse_what_is_in_it(void **state)
{
	struct spool_made *m = based(state);
	struct work_frozen *frozen;
	spool_made_write(m->work, "f", "1", 1);
	assert_non_null(spool_made_commit(m));
	/* Its bytes are where they were committed, wherever it is now. */
	assert_int_equal(work_rename(m->work, 0, "f", spool_made_ino(m->work, "a"), "g", 0, NULL), 0);
	assert_int_equal(work_rename(m->work, 0, "a", 0, "q", 0, NULL), 0);
	expect_text(m, "q/g", "1");
	assert_int_equal(work_freeze(m->work, &frozen, NULL), 0);
	work_thaw(m->work, frozen);
	const struct snapshot *s = spool_made_commit(m);
	assert_non_null(s);
	archive_fixture_expect(m->f.repo, s, "q/g", "1", 1);
}

struct worker {
	struct spool_made *m;
	unsigned number;
	pthread_t thread;
	bool failed;
};

/* Files that come, are written, renamed over each other and go, in a folder of the base that all threads share. */
static void *work_on(void *arg)
{
	struct worker *t = arg;
	struct work *w = t->m->work;
	char name[32], other[32], text[32];
	struct work_file *f = NULL;
	struct stat st, dir;
	struct seen_files *s = calloc(1, sizeof(*s));
	int rc = s ? work_lookup(w, 0, "a", &dir, NULL) : ERR_NO_MEMORY;
	for (unsigned i = 0; i < 150 && rc == 0; i++) {
		snprintf(name, sizeof(name), "t%u-%u", t->number, i);
		snprintf(other, sizeof(other), "t%u-%u", t->number, i / 10);
		int len = snprintf(text, sizeof(text), "%s of %u", name, t->number);
		rc = work_make(w, dir.st_ino, name, S_IFREG | 0644, 0, owner, &st, NULL);
		if (rc == 0)
			rc = work_file_open(w, st.st_ino, true, false, &f, NULL);
		if (rc < 0)
			break;
		rc = work_write(f, 0, text, (size_t)len, false, NULL);
		if (rc == 0 && i % 2 == 0)
			rc = work_flush(f, NULL);
		if (rc == 0)
			rc = work_getattr(w, st.st_ino, &st, NULL);
		if (rc == 0 && st.st_size != len)
			rc = ERR_BUG;
		if (work_file_close(f, NULL) < 0)
			rc = ERR_BUG;
		if (rc == 0 && i % 3 == 0)
			rc = work_rename(w, dir.st_ino, name, dir.st_ino, other, 0, NULL);
		if (rc == 0 && i % 20 == 0) {
			s->room = UINT32_MAX;
			rc = work_list(w, dir.st_ino, 0, see, s, NULL);
		}
		if (rc == 0 && i % 5 == 4)
			rc = work_setattr(w, dir.st_ino, WORK_SET_MTIME, &st, &st, NULL);
	}
	t->failed = rc != 0;
	free(s);
	return NULL;
}

static void test_work__is_used_by_threads_while_it_is_committed(void **state)
{
	struct spool_made *m = based(state);
	struct worker workers[4];
	unsigned made = 0;
	for (unsigned i = 0; i < ARRAY_LEN(workers); i++) {
		workers[i] = (struct worker){.m = m, .number = i};
		assert_int_equal(pthread_create(&workers[i].thread, NULL, work_on, &workers[i]), 0);
	}
	for (unsigned i = 0; i < 5; i++)
		made += spool_made_commit(m) != NULL;
	for (unsigned i = 0; i < ARRAY_LEN(workers); i++) {
		assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
		assert_false(workers[i].failed);
	}
	const struct snapshot *s = spool_made_commit(m);
	assert_true(made + (s != NULL) > 0);
	expect_text(m, "a/t2-149", "t2-149 of 2");
	assert_int_equal(staged(m), 0);
	if (s)
		spool_made_expect_same(m, s);
}

/* ---- restarts ---- */

/* Runs `fn` in a process that ends as by kill -9. */
static void cut_short(struct spool_made *m, void (*fn)(struct spool_made *m))
{
	pid_t child = fork();
	int how;
	assert_true(child >= 0);
	if (child == 0) {
		spool_made_work(m);
		fn(m);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &how, 0), child);
	assert_true(WIFEXITED(how) && WEXITSTATUS(how) == 0);
}

static void write_and_die(struct spool_made *m)
{
	struct stat st;
	spool_made_write(m->work, "closed", "all", 3);
	struct work_file *f = open_file(m, "closed", true);
	write_text(f, 0, "NOT");
	assert_int_equal(work_make(m->work, 0, "synced", S_IFREG | 0644, 0, owner, &st, NULL), 0);
	f = open_file(m, "synced", true);
	write_text(f, 0, "safe");
	assert_int_equal(work_fsync(f, NULL), 0);
	write_text(f, 4, " lost");
	spool_made_write(m->work, "from", "moved", 5);
	assert_int_equal(work_rename(m->work, 0, "from", 0, "to", 0, NULL), 0);
}

static void test_restart__after_a_kill_what_was_closed_synced_and_renamed_is_there(void **state)
{
	struct spool_made *m = *state;
	cut_short(m, write_and_die);
	spool_made_work(m);
	expect_text(m, "closed", "all");
	expect_text(m, "synced", "safe");
	expect_text(m, "to", "moved");
	assert_int_equal(staged(m), 3);
	const struct snapshot *s = spool_made_commit(m);
	assert_non_null(s);
	archive_fixture_expect(m->f.repo, s, "synced", "safe", 4);
	assert_int_equal(staged(m), 0);
}

/* NULL: anything but "changed". */
static void expect_start(struct spool_made *m, const char *path, const char *text)
{
	struct work_file *f = open_file(m, path, false);
	char got[8] = "";
	size_t len;
	assert_int_equal(work_read(f, 0, got, 7, &len, NULL), 0);
	if (text)
		assert_string_equal(got, text);
	else
		assert_string_not_equal(got, "changed");
	assert_int_equal(work_file_close(f, NULL), 0);
}

static void empty_folder(const struct spool_made *m)
{
	char command[160];
	snprintf(command, sizeof(command), "rm -f '%s'/data/*", m->dir);
	assert_int_equal(system(command), 0);
}

static void test_restart__after_a_power_cut_unsynced_bytes_fall_back(void **state)
{
	struct spool_made *m = based(state);
	struct stat st;
	spool_made_write_at(m->work, "f0-", 0, "changed", 7);
	spool_made_write(m->work, "new", "1", 1);
	spool_made_write(m->work, "tmp", "2", 1);
	assert_int_equal(work_rename(m->work, 0, "tmp", 0, "f7", 0, NULL), 0);
	assert_int_equal(index_fact_put(m->work->index, "boot", "another", 7, NULL), 0);
	work_close(m->work);
	m->work = NULL;
	empty_folder(m);
	spool_made_work(m);
	unsigned told = 0;
	for (const char *const *line = work_lost(m->work); *line; line++)
		told++;
	assert_int_equal(told, 3);
	assert_int_equal(work_lookup(m->work, 0, "new", &st, NULL), ERR_NOT_FOUND);
	assert_int_equal(stat_of(m, "f0-").st_size, 100);
	assert_int_equal(stat_of(m, "f7").st_size, 450); /* as the base has it */
	expect_start(m, "f0-", NULL);
	reopen(m);
	assert_null(*work_lost(m->work));
}

/* As behind a power cut that left all staged files: another boot, and nothing was closed in peace. */
static void reopen_after_cut(struct spool_made *m)
{
	struct index *ix;
	struct error err = ERROR_INIT;
	char path[160];
	snprintf(path, sizeof(path), "%s/index.sqlite", m->dir);
	work_close(m->work);
	m->work = NULL;
	must(index_open(path, &ix, &err), &err);
	must(index_fact_put(ix, "boot", "another", 7, &err), &err);
	must(index_fact_put(ix, "closed", NULL, 0, &err), &err);
	index_close(ix);
	spool_made_work(m);
}

static void test_restart__after_a_power_cut_unsynced_bytes_hide_nothing_of_the_base(void **state)
{
	struct spool_made *m = based(state);
	spool_made_write_at(m->work, "f0-", 0, "changed", 7);
	spool_made_write_at(m->work, "f7", 450, "behind", 6);
	reopen(m);
	assert_null(*work_lost(m->work));
	expect_start(m, "f0-", "changed");
	reopen_after_cut(m);
	assert_non_null(strstr(work_lost(m->work)[0], "f0-"));
	assert_null(work_lost(m->work)[1]);
	expect_start(m, "f0-", NULL);
	assert_int_equal(stat_of(m, "f7").st_size, 456);
}

static unsigned flags_of(struct spool_made *m, const char *path)
{
	struct index_inode row = INDEX_INODE_INIT;
	struct error err = ERROR_INIT;
	must(index_get(m->work->index, stat_of(m, path).st_ino, &row, &err), &err);
	unsigned flags = row.flags;
	index_inode_release(&row);
	return flags;
}

static void test_close__syncs_what_lies_over_synced_bytes(void **state)
{
	struct spool_made *m = fresh(state);
	spool_made_write(m->work, "f", "some text", 9);
	assert_int_equal(flags_of(m, "f") & INDEX_UNSYNCED, INDEX_UNSYNCED);
	struct work_file *f = open_file(m, "f", true);
	assert_int_equal(work_fsync(f, NULL), 0);
	assert_int_equal(work_file_close(f, NULL), 0);
	assert_int_equal(flags_of(m, "f") & INDEX_UNSYNCED, 0);
	spool_made_write_at(m->work, "f", 0, "more", 4);
	assert_int_equal(flags_of(m, "f") & INDEX_UNSYNCED, 0);
	reopen(m);
	spool_made_write_at(m->work, "f", 9, "more", 4);
	assert_int_equal(flags_of(m, "f") & INDEX_UNSYNCED, 0);
	spool_made_write(m->work, "f", "anew", 4);
	assert_int_equal(flags_of(m, "f") & INDEX_UNSYNCED, INDEX_UNSYNCED);
}

static void test_restart__staged_files_that_nothing_names_are_removed(void **state)
{
	struct spool_made *m = fresh(state);
	char path[160];
	spool_made_write(m->work, "f", "1", 1);
	snprintf(path, sizeof(path), "%s/data/0123456789abcdef0123456789abcdef", m->dir);
	close(open(path, O_CREAT | O_WRONLY, 0600));
	assert_int_equal(staged(m), 2);
	reopen(m);
	assert_int_equal(staged(m), 1);
	expect_text(m, "f", "1");
}

static void test_restart__a_damaged_index_is_set_aside_and_told(void **state)
{
	struct spool_made *m = based(state);
	char path[128];
	spool_made_write(m->work, "f", "1", 1);
	work_close(m->work);
	m->work = NULL;
	snprintf(path, sizeof(path), "%s/index.sqlite", m->dir);
	int fd = open(path, O_WRONLY);
	assert_true(fd >= 0);
	char junk[8192];
	memset(junk, 'j', sizeof(junk));
	assert_int_equal(pwrite(fd, junk, sizeof(junk), 0), sizeof(junk));
	close(fd);
	spool_made_work(m);
	assert_non_null(*work_lost(m->work));
	assert_int_equal(stat_of(m, "a/big").st_size, 300000);
}

/* ---- another base ---- */

static void test_rebase__waits_for_changes_and_open_files(void **state)
{
	struct spool_made *m = based(state);
	bool moved = true;
	struct work_file *f = open_file(m, "a/big", false);
	spool_made_write(m->work, "f", "1", 1);
	const struct snapshot *s = spool_made_commit(m);
	assert_int_equal(work_rebase(m->work, s, &moved, NULL), 0);
	assert_false(moved);
	assert_int_equal(work_file_close(f, NULL), 0);
	spool_made_write(m->work, "g", "1", 1);
	assert_int_equal(work_rebase(m->work, s, &moved, NULL), 0);
	assert_false(moved);
	s = spool_made_commit(m);
	assert_int_equal(work_rebase(m->work, s, &moved, NULL), 0);
	assert_true(moved);
	expect_text(m, "f", "1");
	assert_true(spool_made_ino(m->work, "f") < INDEX_NEW);
	assert_int_equal(work_rebase(m->work, s, &moved, NULL), 0);
	assert_false(moved);
}

/* ---- ACLs ---- */

struct acl {
	uint32_t version;
	struct {
		uint16_t tag, permissions;
		uint32_t id;
	} list[5];
};

static void test_acl__speaks_of_the_mode_both_ways(void **state)
{
	struct spool_made *m = fresh(state);
	const struct acl acl = {2, {{1, 7, -1u}, {2, 5, 1000}, {4, 4, -1u}, {16, 5, -1u}, {32, 0, -1u}}};
	const struct acl plain = {2, {{1, 6, -1u}, {4, 4, -1u}, {32, 4, -1u}}};
	struct stat want = {.st_mode = 0741}, st;
	struct buf got = {0};
	spool_made_write(m->work, "f", "1", 1);
	uint64_t ino = spool_made_ino(m->work, "f");
	assert_int_equal(work_setxattr(m->work, ino, work_acl_access, &acl, sizeof(acl), 0, NULL), 0);
	assert_int_equal(stat_of(m, "f").st_mode & 0777, 0750);
	assert_int_equal(work_setattr(m->work, ino, WORK_SET_MODE, &want, &st, NULL), 0);
	assert_int_equal(work_getxattr(m->work, ino, work_acl_access, &got, NULL), 0);
	const struct acl *now = (const struct acl *)got.data;
	assert_int_equal(now->list[3].permissions, 4); /* the mask */
	assert_int_equal(now->list[2].permissions, 4);
	assert_int_equal(now->list[4].permissions, 1);
	assert_int_equal(work_setxattr(m->work, ino, work_acl_access, &plain, 4 + 3 * 8, 0, NULL), 0);
	assert_int_equal(stat_of(m, "f").st_mode & 0777, 0644);
	buf_clear(&got);
	assert_int_equal(work_getxattr(m->work, ino, work_acl_access, &got, NULL), WORK_ENODATA);
	assert_int_equal(work_setxattr(m->work, ino, work_acl_access, &acl, 13, 0, NULL), WORK_EINVAL);
	buf_release(&got);
}

static void test_acl__of_a_folder_is_inherited_instead_of_the_umask(void **state)
{
	struct spool_made *m = fresh(state);
	const struct acl acl = {2, {{1, 7, -1u}, {2, 7, 1000}, {4, 5, -1u}, {16, 7, -1u}, {32, 0, -1u}}};
	const struct work_owner masked = {.umask = 077};
	struct buf got = {0};
	struct stat st;
	assert_int_equal(work_make(m->work, 0, "plain", S_IFREG | 0666, 0, masked, &st, NULL), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(work_make(m->work, 0, "d", S_IFDIR | 02755, 0, owner, &st, NULL), 0);
	uint64_t d = st.st_ino;
	assert_int_equal(work_setxattr(m->work, d, work_acl_default, &acl, sizeof(acl), 0, NULL), 0);
	assert_int_equal(work_make(m->work, d, "f", S_IFREG | 0666, 0, masked, &st, NULL), 0);
	assert_int_equal(st.st_mode & 0777, 0660);
	assert_int_equal(work_getxattr(m->work, st.st_ino, work_acl_access, &got, NULL), 0);
	assert_int_equal(got.len, sizeof(acl));
	assert_int_equal(work_getxattr(m->work, st.st_ino, work_acl_default, &got, NULL), WORK_ENODATA);
	assert_int_equal(work_make(m->work, d, "e", S_IFDIR | 0777, 0, masked, &st, NULL), 0);
	buf_clear(&got);
	assert_int_equal(work_getxattr(m->work, st.st_ino, work_acl_default, &got, NULL), 0);
	assert_memory_equal(got.data, &acl, sizeof(acl));
	assert_int_equal(st.st_mode, S_IFDIR | S_ISGID | 0770);
	buf_release(&got);
}

static void set_mode(struct spool_made *m, uint64_t ino, mode_t mode)
{
	struct stat want = {.st_mode = mode}, st;
	assert_int_equal(work_setattr(m->work, ino, WORK_SET_MODE, &want, &st, NULL), 0);
}

static void test_setattr__a_new_owner_takes_the_set_id_bits_away(void **state)
{
	struct spool_made *m = fresh(state);
	struct stat want = {.st_uid = 7}, st;
	spool_made_write(m->work, "f", "1", 1);
	uint64_t ino = spool_made_ino(m->work, "f");
	set_mode(m, ino, 06755);
	assert_int_equal(work_setattr(m->work, ino, WORK_SET_UID, &want, &st, NULL), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
	assert_int_equal(work_setxattr(m->work, ino, "user.drfs.ref", "x", 1, 0, NULL), WORK_EPERM);
}

/* Disarms by an open file; did that change anything? */
static bool disarm(struct work_file *f, bool set_id)
{
	struct error err = ERROR_INIT;
	bool dropped = false;
	must(work_disarm(f, set_id, &dropped, &err), &err);
	return dropped;
}

static bool has_capability(struct spool_made *m, uint64_t ino)
{
	struct buf value = {0};
	int rc = work_getxattr(m->work, ino, "security.capability", &value, NULL);
	buf_release(&value);
	assert_true(rc == 0 || rc == WORK_ENODATA);
	return rc == 0;
}

static void give_capability(struct spool_made *m, uint64_t ino)
{
	assert_int_equal(work_setxattr(m->work, ino, "security.capability", "cap", 3, 0, NULL), 0);
}

static void test_disarm__takes_the_set_id_bits_from_all_but_root(void **state)
{
	struct spool_made *m = based(state);
	uint64_t ino = spool_made_ino(m->work, "big");
	struct work_file *f = open_file(m, "big", true);
	assert_false(disarm(f, true));
	set_mode(m, ino, 06755);
	assert_false(disarm(f, false));
	assert_int_equal(stat_of(m, "big").st_mode & 07777, 06755);
	assert_true(disarm(f, true));
	assert_int_equal(stat_of(m, "big").st_mode & 07777, 0755);
	assert_false(disarm(f, true));
	/* Without the right to run it as its group the bit means another thing. */
	set_mode(m, ino, 02745);
	assert_false(disarm(f, true));
	assert_int_equal(work_file_close(f, NULL), 0);
}

static void test_disarm__takes_the_capability_whoever_writes(void **state)
{
	struct spool_made *m = based(state);
	uint64_t ino = spool_made_ino(m->work, "a/big");
	struct work_file *f = open_file(m, "a/big", true);
	give_capability(m, ino);
	assert_true(disarm(f, false));
	assert_false(has_capability(m, ino));
	give_capability(m, ino);
	/* What another run gave it is known to the next one. */
	assert_int_equal(work_file_close(f, NULL), 0);
	reopen(m);
	f = open_file(m, "a/big", true);
	ino = spool_made_ino(m->work, "a/big");
	assert_true(has_capability(m, ino));
	assert_true(disarm(f, false));
	assert_false(has_capability(m, ino));
	assert_int_equal(work_file_close(f, NULL), 0);
}

static void test_disarm__costs_a_plain_file_no_change(void **state)
{
	struct spool_made *m = fresh(state);
	spool_made_write(m->work, "f", "1", 1);
	struct work_file *f = open_file(m, "f", true);
	uint64_t before = changes(m);
	for (unsigned i = 0; i < 3; i++)
		assert_false(disarm(f, true));
	assert_int_equal(changes(m), before);
	assert_int_equal(work_file_close(f, NULL), 0);
}

static void test_setattr__a_size_and_an_owner_disarm(void **state)
{
	struct spool_made *m = fresh(state);
	struct stat want = {.st_size = 1, .st_uid = 7}, st;
	spool_made_write(m->work, "f", "1", 1);
	uint64_t ino = spool_made_ino(m->work, "f");
	set_mode(m, ino, 04755);
	give_capability(m, ino);
	/* The size that it has, by root; then by another. */
	assert_int_equal(work_setattr(m->work, ino, WORK_SET_SIZE, &want, &st, NULL), 0);
	assert_int_equal(st.st_mode & 07777, 04755);
	assert_false(has_capability(m, ino));
	assert_int_equal(work_setattr(m->work, ino, WORK_SET_SIZE | WORK_KILL_SET_ID, &want, &st, NULL), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
	give_capability(m, ino);
	assert_int_equal(work_setattr(m->work, ino, WORK_SET_UID, &want, &st, NULL), 0);
	assert_false(has_capability(m, ino));
	give_capability(m, ino);
	assert_int_equal(work_setattr(m->work, ino, WORK_SET_UID, &want, &st, NULL), 0);
	assert_false(has_capability(m, ino));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SPOOL_CASE(test_links__of_a_folder_are_counted_by_who_asks_and_one_until_then),
		SPOOL_CASE(test_links__are_counted_while_folders_are_made_elsewhere),
		SPOOL_CASE(test_rename__of_a_base_folder_brings_up_the_folder_alone),
		SPOOL_CASE(test_rename__below_itself_is_refused_at_any_depth),
		SPOOL_CASE(test_rename__exchange_of_a_base_folder_and_a_new_file),
		SPOOL_CASE(test_unlink__of_a_base_name_stays_gone_and_can_be_made_anew),
		SPOOL_CASE(test_rmdir__of_an_emptied_base_folder),
		SPOOL_CASE(test_links__of_the_base_are_one_file_before_and_after_they_are_touched),
		SPOOL_CASE(test_file__that_is_unlinked_while_open_lives_on_and_leaves_nothing),
		SPOOL_CASE(test_file__shows_its_size_and_time_while_it_is_written),
		SPOOL_CASE(test_work__what_changes_nothing_makes_no_change),
		SPOOL_CASE(test_copy_range__of_a_whole_file_of_the_base_stages_nothing),
		SPOOL_CASE(test_list__shows_once_what_is_there_throughout),
		SPOOL_CASE(test_freeze__keeps_what_was_closed_while_writers_go_on),
		SPOOL_CASE(test_open__waits_for_few_of_the_staged_files_that_nothing_needs),
		SPOOL_CASE(test_sweep__ends_soon_in_a_hurry_and_goes_on_at_the_next_start),
		SPOOL_CASE(test_committed__staged_bytes_go_with_the_last_handle),
		SPOOL_CASE(test_committed__a_renamed_folder_does_not_confuse_what_is_in_it),
		SPOOL_CASE(test_work__is_used_by_threads_while_it_is_committed),
		SPOOL_CASE(test_restart__after_a_kill_what_was_closed_synced_and_renamed_is_there),
		SPOOL_CASE(test_restart__after_a_power_cut_unsynced_bytes_fall_back),
		SPOOL_CASE(test_restart__after_a_power_cut_unsynced_bytes_hide_nothing_of_the_base),
		SPOOL_CASE(test_close__syncs_what_lies_over_synced_bytes),
		SPOOL_CASE(test_restart__staged_files_that_nothing_names_are_removed),
		SPOOL_CASE(test_restart__a_damaged_index_is_set_aside_and_told),
		SPOOL_CASE(test_rebase__waits_for_changes_and_open_files),
		SPOOL_CASE(test_acl__speaks_of_the_mode_both_ways),
		SPOOL_CASE(test_acl__of_a_folder_is_inherited_instead_of_the_umask),
		SPOOL_CASE(test_setattr__a_new_owner_takes_the_set_id_bits_away),
		SPOOL_CASE(test_disarm__takes_the_set_id_bits_from_all_but_root),
		SPOOL_CASE(test_disarm__takes_the_capability_whoever_writes),
		SPOOL_CASE(test_disarm__costs_a_plain_file_no_change),
		SPOOL_CASE(test_setattr__a_size_and_an_owner_disarm),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
