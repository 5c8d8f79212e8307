/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fileio.h"
#include "fs/spool/index.h"

struct place {
	char dir[200], path[240];
	struct index *ix;
};

static void reopen(struct place *p)
{
	struct error err = ERROR_INIT;
	index_close(p->ix);
	p->ix = NULL;
	if (index_open(p->path, &p->ix, &err) != 0)
		fail_msg("%s", error_text(&err));
}

static int setup(void **state)
{
	struct place *p = calloc(1, sizeof(*p));
	(void)snprintf(p->dir, sizeof(p->dir), "%.80s/drfs-index-XXXXXX", fileio_tmpdir());
	assert_non_null(mkdtemp(p->dir));
	(void)snprintf(p->path, sizeof(p->path), "%s/index.sqlite", p->dir);
	reopen(p);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	static const char *const tails[] = {"", "-wal", "-shm", "-journal"};
	struct place *p = *state;
	char path[260];
	index_close(p->ix);
	for (size_t i = 0; i < 4; i++) {
		(void)snprintf(path, sizeof(path), "%s%s", p->path, tails[i]);
		unlink(path);
	}
	assert_int_equal(rmdir(p->dir), 0);
	free(p);
	return 0;
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static void put(struct index *ix, uint64_t ino, uint32_t nlink)
{
	struct index_inode inode = INDEX_INODE_INIT;
	inode.ino = ino;
	inode.nlink = nlink;
	inode.mode = S_IFREG | 0640;
	inode.changed = index_next_change(ix);
	assert_int_equal(index_put(ix, &inode, NULL), 0);
}

static bool there(struct index *ix, uint64_t ino)
{
	struct index_inode inode = INDEX_INODE_INIT;
	int r = index_get(ix, ino, &inode, NULL);
	index_inode_release(&inode);
	assert_true(r == 0 || r == ERR_NOT_FOUND);
	return r == 0;
}

static void fill(struct index_inode *inode)
{
	inode->ino = INDEX_NEW + 5;
	inode->parent = 7;
	inode->mode = S_IFREG | 04755;
	inode->uid = UINT32_MAX;
	inode->gid = 1000;
	inode->nlink = 3;
	inode->rdev_major = 8;
	inode->rdev_minor = 1;
	inode->size = INT64_MAX;
	inode->mtime = (struct entry_time){-5, 999999999};
	inode->ctime = (struct entry_time){INT64_MAX, 1};
	inode->link_group = 9;
	inode->lower = 0;
	inode->changed = 12;
	inode->flags = INDEX_OPEN_NEW | INDEX_UNSYNCED;
	memset(inode->content_snapshot.b, 0xa5, sizeof(inode->content_snapshot.b));
	buf_put(&inode->content_key, "a\0\0b", 4);
	buf_put(&inode->layers, "layers", 6);
	buf_put(&inode->target, "target", 6);
	buf_put(&inode->xattrs, "xattrs", 6);
}

static void expect_buf(const struct buf *got, const struct buf *want)
{
	assert_int_equal(got->len, want->len);
	if (want->len > 0)
		assert_memory_equal(got->data, want->data, want->len);
}

static void expect_inode(struct index *ix, const struct index_inode *want)
{
	struct index_inode got = INDEX_INODE_INIT;
	buf_put(&got.xattrs, "left over", 9);
	assert_int_equal(index_get(ix, want->ino, &got, NULL), 0);
	assert_int_equal(got.ino, want->ino);
	assert_int_equal(got.parent, want->parent);
	assert_int_equal(got.mode, want->mode);
	assert_int_equal(got.uid, want->uid);
	assert_int_equal(got.gid, want->gid);
	assert_int_equal(got.nlink, want->nlink);
	assert_int_equal(got.rdev_major, want->rdev_major);
	assert_int_equal(got.rdev_minor, want->rdev_minor);
	assert_int_equal(got.size, want->size);
	assert_int_equal(got.mtime.sec, want->mtime.sec);
	assert_int_equal(got.mtime.nsec, want->mtime.nsec);
	assert_int_equal(got.ctime.sec, want->ctime.sec);
	assert_int_equal(got.ctime.nsec, want->ctime.nsec);
	assert_int_equal(got.link_group, want->link_group);
	assert_int_equal(got.lower, want->lower);
	assert_int_equal(got.changed, want->changed);
	assert_int_equal(got.flags, want->flags);
	assert_memory_equal(&got.content_snapshot, &want->content_snapshot, sizeof(got.content_snapshot));
	expect_buf(&got.content_key, &want->content_key);
	expect_buf(&got.layers, &want->layers);
	expect_buf(&got.target, &want->target);
	expect_buf(&got.xattrs, &want->xattrs);
	index_inode_release(&got);
}

static void test_index_get__tells_every_field_that_was_put(void **state)
{
	struct place *p = *state;
	struct index_inode inode = INDEX_INODE_INIT, bare = INDEX_INODE_INIT;
	fill(&inode);
	assert_int_equal(index_put(p->ix, &bare, NULL), 0);
	assert_int_equal(index_put(p->ix, &inode, NULL), 0);
	expect_inode(p->ix, &inode);
	assert_int_equal(index_end(p->ix, NULL), 0);
	reopen(p);
	expect_inode(p->ix, &inode);
	bare.nlink = 2;
	assert_int_equal(index_put(p->ix, &bare, NULL), 0);
	expect_inode(p->ix, &bare);
	assert_int_equal(index_drop(p->ix, inode.ino, NULL), 0);
	assert_false(there(p->ix, inode.ino));
	index_inode_release(&inode);
}

static void test_index_open__makes_files_that_nobody_else_may_read(void **state)
{
	static const char *const tails[] = {"", "-wal"};
	struct place *p = *state;
	char path[260];
	struct stat st;
	put(p->ix, 5, 1);
	assert_int_equal(index_end(p->ix, NULL), 0);
	for (size_t i = 0; i < 2; i++) {
		(void)snprintf(path, sizeof(path), "%s%s", p->path, tails[i]);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_mode & 07777, 0600);
	}
}

static void test_index_new_ino__never_gives_a_number_twice(void **state)
{
	struct place *p = *state;
	uint64_t last = 0, ino = 0;
	for (unsigned i = 0; i < 9000; i++) {
		if (i % 2000 == 1999)
			reopen(p);
		assert_int_equal(index_new_ino(p->ix, &ino, NULL), 0);
		assert_true(ino >= INDEX_NEW && ino > last);
		last = ino;
	}
	assert_int_equal(index_clear(p->ix, NULL), 0);
	reopen(p);
	assert_int_equal(index_new_ino(p->ix, &ino, NULL), 0);
	assert_true(ino > last);
}

static void test_index_changes__go_on_where_they_were(void **state)
{
	struct place *p = *state;
	bool any = true;
	assert_int_equal(index_changes(p->ix), 0);
	for (uint64_t i = 1; i < 20; i++) {
		put(p->ix, INDEX_NEW + i, 1);
		assert_int_equal(index_changes(p->ix), i);
		reopen(p);
		assert_int_equal(index_changes(p->ix), i);
	}
	assert_int_equal(index_changed_after(p->ix, 18, &any, NULL), 0);
	assert_true(any);
	assert_int_equal(index_changed_after(p->ix, 19, &any, NULL), 0);
	assert_false(any);
}

/* ---- names against a model ---- */

enum { PARENTS = 4, NAMES = 40 };
struct model {
	uint64_t ino[PARENTS][NAMES], cookie[PARENTS][NAMES]; /* ino 0: no name */
};

struct seen {
	struct model *m;
	uint64_t parent, ino, last_cookie;
	char last_name[INDEX_NAME_MAX + 1];
	unsigned count;
	bool by_cookie;
	struct index *ix;
};

static int see(void *arg, const struct index_name *name, struct error *err)
{
	struct seen *s = arg;
	(void)err;
	unsigned long n = strtoul(name->name + 1, NULL, 10);
	assert_true(n < NAMES && name->parent < PARENTS);
	assert_int_equal(s->m->ino[name->parent][n], name->ino);
	uint64_t *cookie = &s->m->cookie[name->parent][n];
	assert_true(*cookie == 0 || *cookie == name->cookie);
	*cookie = name->cookie;
	if (s->by_cookie)
		assert_true(name->cookie > s->last_cookie);
	else if (s->ino == 0)
		assert_true(strcmp(name->name, s->last_name) > 0);
	s->last_cookie = name->cookie;
	(void)snprintf(s->last_name, sizeof(s->last_name), "%s", name->name);
	s->count++;
	return 0;
}

static int see_nested(void *arg, const struct index_name *name, struct error *err)
{
	struct seen *s = arg;
	struct seen inner = {.m = s->m, .parent = (name->parent + 1) % PARENTS};
	if (s->count % 7 == 0)
		assert_int_equal(index_list_sorted(s->ix, inner.parent, see, &inner, NULL), 0);
	return see(arg, name, err);
}

static void expect_names(struct index *ix, struct model *m)
{
	for (uint64_t parent = 0; parent < PARENTS; parent++) {
		struct seen sorted = {.m = m, .ix = ix}, listed = {.m = m, .by_cookie = true};
		unsigned want = 0;
		bool any;
		for (unsigned n = 0; n < NAMES; n++)
			want += m->ino[parent][n] != 0;
		assert_int_equal(index_list_sorted(ix, parent, see_nested, &sorted, NULL), 0);
		assert_int_equal(index_list(ix, parent, 0, see, &listed, NULL), 0);
		assert_int_equal(sorted.count, want);
		assert_int_equal(listed.count, want);
		assert_int_equal(index_has_names(ix, parent, &any, NULL), 0);
		assert_int_equal(any, want > 0);
		assert_int_equal(index_list(ix, parent, listed.last_cookie, see, &listed, NULL), 0);
		assert_int_equal(listed.count, want);
	}
	for (uint64_t ino = 1; ino < 8; ino++) {
		struct seen of = {.m = m, .ino = ino};
		unsigned want = 0;
		for (unsigned i = 0; i < PARENTS * NAMES; i++)
			want += m->ino[i / NAMES][i % NAMES] == ino;
		assert_int_equal(index_names_of(ix, ino, see, &of, NULL), 0);
		assert_int_equal(of.count, want);
	}
}

static void change_names(struct index *ix, struct model *m)
{
	char name[20];
	uint64_t parent = (uint64_t)rand() % PARENTS, got;
	unsigned n = (unsigned)rand() % NAMES, what = (unsigned)rand() % 20;
	(void)snprintf(name, sizeof(name), "n%u", n);
	if (what == 0) {
		assert_int_equal(index_names_drop(ix, parent, NULL), 0);
		memset(m->ino[parent], 0, sizeof(m->ino[parent]));
		memset(m->cookie[parent], 0, sizeof(m->cookie[parent]));
	} else if (what < 8) {
		assert_int_equal(index_name_drop(ix, parent, name, NULL), 0);
		m->ino[parent][n] = m->cookie[parent][n] = 0;
	} else {
		m->ino[parent][n] = what == 8 ? INDEX_NONE : (uint64_t)rand() % 7 + 1;
		assert_int_equal(index_name_put(ix, parent, name, m->ino[parent][n], NULL), 0);
	}
	int r = index_name(ix, parent, name, &got, NULL);
	assert_int_equal(r, m->ino[parent][n] ? 0 : ERR_NOT_FOUND);
	if (r == 0)
		assert_int_equal(got, m->ino[parent][n]);
}

static void test_index_names__are_what_a_model_says_also_frozen(void **state)
{
	struct place *p = *state;
	struct index *frozen = NULL;
	struct model m = {0}, kept = {0};
	srand(4);
	for (unsigned i = 0; i < 1500; i++) {
		change_names(p->ix, &m);
		if (i % 50 == 0)
			expect_names(p->ix, &m);
		if (i % 50 == 10)
			assert_int_equal(index_end(p->ix, NULL), 0);
		if (i % 200 == 30) {
			assert_int_equal(index_freeze(p->ix, &frozen, NULL), 0);
			kept = m;
		}
		if (i % 200 == 190) {
			expect_names(frozen, &kept);
			assert_int_equal(index_name_put(frozen, 0, "x", 1, NULL), ERR_BUG);
			index_close(frozen);
			frozen = NULL;
		}
		if (i % 400 == 195)
			reopen(p);
	}
	index_close(frozen);
}

static int stop(void *arg, const struct index_name *name, struct error *err)
{
	(void)name;
	unsigned *count = arg;
	return ++*count == 2 ? error_set(err, ERR_CANCELLED, "enough") : 0;
}

static void test_index_list__ends_with_what_the_caller_says(void **state)
{
	struct place *p = *state;
	char name[300];
	unsigned count = 0;
	memset(name, 'x', sizeof(name));
	name[256] = 0;
	assert_int_equal(index_name_put(p->ix, 0, name, 1, NULL), ERR_USAGE);
	name[255] = 0;
	assert_int_equal(index_name_put(p->ix, 0, name, 1, NULL), 0);
	assert_int_equal(index_name_put(p->ix, 0, "a", 1, NULL), 0);
	assert_int_equal(index_name_put(p->ix, 0, "b", 1, NULL), 0);
	assert_int_equal(index_list(p->ix, 0, 0, stop, &count, NULL), ERR_CANCELLED);
	assert_int_equal(count, 2);
}

static void test_index_facts_and_aliases__are_kept(void **state)
{
	struct place *p = *state;
	struct buf b = {0};
	uint64_t ino = 0;
	assert_int_equal(index_fact(p->ix, "base", &b, NULL), ERR_NOT_FOUND);
	assert_int_equal(index_fact_put(p->ix, "base", "1", 1, NULL), 0);
	assert_int_equal(index_fact_put(p->ix, "base", "22", 2, NULL), 0);
	assert_int_equal(index_alias(p->ix, 9, &ino, NULL), ERR_NOT_FOUND);
	assert_int_equal(index_alias_put(p->ix, 9, 4, NULL), 0);
	reopen(p);
	assert_int_equal(index_fact(p->ix, "base", &b, NULL), 0);
	assert_int_equal(b.len, 2);
	assert_int_equal(index_alias(p->ix, 9, &ino, NULL), 0);
	assert_int_equal(ino, 4);
	put(p->ix, 4, 1);
	assert_int_equal(index_clear(p->ix, NULL), 0);
	assert_int_equal(index_fact(p->ix, "base", &b, NULL), 0);
	assert_int_equal(index_alias(p->ix, 9, &ino, NULL), ERR_NOT_FOUND);
	assert_int_equal(index_count(p->ix, &ino, NULL), 0);
	assert_int_equal(ino, 0);
	buf_release(&b);
}

static int drop_seen(void *arg, const struct index_inode *inode, struct error *err)
{
	struct place *p = arg;
	assert_int_equal(inode->layers.len, 3);
	return index_drop(p->ix, inode->ino, err);
}

static void test_index_staged__tells_all_with_layers_and_lets_them_be_changed(void **state)
{
	struct place *p = *state;
	uint64_t count = 0;
	for (uint64_t i = 0; i < 300; i++) {
		struct index_inode inode = INDEX_INODE_INIT;
		inode.ino = i * 3;
		inode.nlink = 1;
		if (i % 3)
			buf_put(&inode.layers, "abc", 3);
		assert_int_equal(index_put(p->ix, &inode, NULL), 0);
		index_inode_release(&inode);
	}
	assert_int_equal(index_staged(p->ix, drop_seen, p, NULL), 0);
	assert_int_equal(index_count(p->ix, &count, NULL), 0);
	assert_int_equal(count, 100);
}

/* ---- runs that are cut short ---- */

static void in_child(struct place *p, void (*run)(struct place *p))
{
	index_close(p->ix); /* a child must not inherit a database */
	p->ix = NULL;
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (index_open(p->path, &p->ix, NULL) == 0)
			run(p);
		kill(getpid(), SIGKILL);
	}
	int status = 0;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	reopen(p);
}

static void child_changes(struct place *p)
{
	uint64_t ino;
	for (uint64_t i = 1; i <= 3000; i++) {
		char name[20];
		(void)snprintf(name, sizeof(name), "f%u", (unsigned)i);
		if (index_new_ino(p->ix, &ino, NULL) != 0 || ino != INDEX_NEW + i - 1)
			return;
		put(p->ix, ino, i == 2999 ? 0 : 1);
		(void)index_name_put(p->ix, 0, name, ino, NULL);
		if (i % 100 == 0 && index_end(p->ix, NULL) != 0)
			return;
	}
	put(p->ix, 77, 1); /* never ended */
}

static void test_index_end__survives_kill_9_and_what_was_not_ended_is_gone(void **state)
{
	struct place *p = *state;
	uint64_t ino = 0, count = 0;
	bool any = false;
	in_child(p, child_changes);
	assert_int_equal(index_count(p->ix, &count, NULL), 0);
	assert_int_equal(count, 2999); /* the orphan was dropped */
	assert_int_equal(index_name(p->ix, 0, "f3000", &ino, NULL), 0);
	assert_int_equal(ino, INDEX_NEW + 2999);
	assert_false(there(p->ix, 77));
	assert_false(there(p->ix, INDEX_NEW + 2998));
	assert_int_equal(index_changed_after(p->ix, 2999, &any, NULL), 0);
	assert_true(any);
	assert_int_equal(index_changed_after(p->ix, 3000, &any, NULL), 0);
	assert_false(any);
	assert_int_equal(index_new_ino(p->ix, &ino, NULL), 0);
	assert_true(ino >= INDEX_NEW + 3000);
	assert_true(index_next_change(p->ix) > 3001);
}

static void *sync_often(void *arg)
{
	struct place *p = arg;
	for (unsigned i = 0; i < 30; i++)
		if (index_sync(p->ix, NULL) != 0)
			return p;
	return NULL;
}

static void test_index_sync__is_called_by_many_while_the_owner_goes_on(void **state)
{
	struct place *p = *state;
	pthread_t threads[4];
	void *failed;
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, sync_often, p), 0);
	for (uint64_t i = 0; i < 3000; i++) {
		put(p->ix, INDEX_NEW + i, 1);
		if (i % 3 == 0)
			assert_int_equal(index_end(p->ix, NULL), 0);
	}
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(pthread_join(threads[i], &failed), 0);
		assert_null(failed);
	}
}

static void test_index_tidy__keeps_the_log_from_growing_for_ever(void **state)
{
	struct place *p = *state;
	char log[260];
	struct stat st;
	(void)snprintf(log, sizeof(log), "%s-wal", p->path);
	for (uint64_t i = 0; i < 20000; i++) {
		put(p->ix, INDEX_NEW + (i * 7919) % 5000, 1);
		assert_int_equal(index_end(p->ix, NULL), 0);
		index_tidy(p->ix);
	}
	assert_int_equal(stat(log, &st), 0);
	assert_true(st.st_size < 24 << 20);
	for (uint64_t i = 0; i < 5000; i++)
		assert_true(there(p->ix, INDEX_NEW + i));
}

/* ---- a full disk ---- */

static void fill_disk(struct place *p)
{
	struct index *frozen = NULL; /* keeps the log from starting again */
	reopen(p);
	put(p->ix, 1, 1);
	assert_int_equal(index_freeze(p->ix, &frozen, NULL), 0);
	uint64_t i = 0, ended = 0;
	uint8_t xattrs[500];
	struct index_inode inode = INDEX_INODE_INIT;
	int r = 0;
	for (; r == 0 && i < 100000; i++) {
		inode.ino = INDEX_NEW + i;
		inode.nlink = 1;
		inode.changed = index_next_change(p->ix);
		memset(xattrs, (int)i, sizeof(xattrs));
		buf_clear(&inode.xattrs);
		buf_put(&inode.xattrs, xattrs, sizeof(xattrs));
		r = index_put(p->ix, &inode, NULL);
		if (r == 0 && i % 10 == 9) {
			assert_int_equal(index_end(p->ix, NULL), 0);
			ended = i;
		}
	}
	index_inode_release(&inode);
	assert_int_equal(r, ERR_NO_SPACE);
	index_urgent(p->ix, true);
	put(p->ix, 2, 1);
	assert_int_equal(index_end(p->ix, NULL), 0);
	index_urgent(p->ix, false);
	index_close(frozen);
	reopen(p);
	assert_true(there(p->ix, 2));
	for (uint64_t n = 0; n <= ended; n++)
		assert_true(there(p->ix, INDEX_NEW + n));
}

static void test_index_begin__refuses_on_a_full_disk_and_undoes_nothing(void **state)
{
	struct place *p = *state, q = {0};
	(void)snprintf(q.dir, sizeof(q.dir), "%.120s/full", p->dir);
	(void)snprintf(q.path, sizeof(q.path), "%s/index.sqlite", q.dir);
	assert_int_equal(mkdir(q.dir, 0700), 0);
	if (mount("none", q.dir, "tmpfs", 0, "size=32m") != 0) {
		assert_int_equal(rmdir(q.dir), 0);
		skip();
	}
	fill_disk(&q);
	index_close(q.ix);
	assert_int_equal(umount2(q.dir, MNT_DETACH), 0);
	assert_int_equal(rmdir(q.dir), 0);
}

static void test_index_open__tells_damage(void **state)
{
	struct place *p = *state;
	put(p->ix, 1, 1);
	index_close(p->ix);
	p->ix = NULL;
	int fd = open(p->path, O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "not SQLite at all", 17, 0), 17);
	close(fd);
	assert_int_equal(index_open(p->path, &p->ix, NULL), ERR_CORRUPT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_index_get__tells_every_field_that_was_put),
		CASE(test_index_open__makes_files_that_nobody_else_may_read),
		CASE(test_index_new_ino__never_gives_a_number_twice),
		CASE(test_index_changes__go_on_where_they_were),
		CASE(test_index_names__are_what_a_model_says_also_frozen),
		CASE(test_index_list__ends_with_what_the_caller_says),
		CASE(test_index_facts_and_aliases__are_kept),
		CASE(test_index_staged__tells_all_with_layers_and_lets_them_be_changed),
		CASE(test_index_end__survives_kill_9_and_what_was_not_ended_is_gone),
		CASE(test_index_sync__is_called_by_many_while_the_owner_goes_on),
		CASE(test_index_tidy__keeps_the_log_from_growing_for_ever),
		CASE(test_index_begin__refuses_on_a_full_disk_and_undoes_nothing),
		CASE(test_index_open__tells_damage),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
