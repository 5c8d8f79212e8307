/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "archive/backup_impl.h"
#include "archive/walk.h"

/* A file touched this shortly before the parent was taken may have changed again within the clock's grain. */
#define RACY_WINDOW (2 * CLOCK_SECOND)
enum { CURSOR_STEPS = 16 };

/* < 0: the entry stands before the key. */
static int compare_key(const struct entry *e, const struct buf *key)
{
	size_t n = e->key_len < key->len ? e->key_len : key->len;
	int c = memcmp(e->key, key->data, n);

	return c != 0 ? c : e->key_len < key->len ? -1 : e->key_len > key->len;
}

/* A damaged parent costs speed, nothing else. */
static void give_up_parent(struct walk *w, const struct error *why)
{
	log_warn(w->b->repo->log, "previous snapshot: %s; reading everything from here on", error_text(why));
	tree_cursor_free(w->cursor);
	w->cursor = NULL;
}

/* Moves the parent's cursor to the key; its entry when it holds one. Most keys are the next one or near. */
static const struct entry *prior_of(struct walk *w, const struct buf *key)
{
	struct error err;

	for (int steps = 0; w->cursor != NULL; steps++) {
		const struct entry *e = tree_cursor_entry(w->cursor);
		int c = e == NULL ? 1 : compare_key(e, key);
		if (c >= 0)
			return c == 0 ? e : NULL;
		err.code = 0;
		int r = steps < CURSOR_STEPS ? tree_cursor_next(w->cursor, &err)
					     : tree_cursor_seek(w->cursor, key->data, key->len, &err);
		if (r < 0 && r != ERR_NOT_FOUND)
			give_up_parent(w, &err);
	}
	return NULL;
}

static bool same_time(const struct entry_time *a, const struct timespec *b)
{
	return a->sec == b->tv_sec && a->nsec == (uint32_t)b->tv_nsec;
}

static bool settled_before(const struct timespec *t, int64_t moment)
{
	return t->tv_sec < (moment - RACY_WINDOW) / CLOCK_SECOND;
}

/* Size, mtime, ctime and inode as before, and not touched around the time of the parent. */
static bool unchanged(const struct walk *w, const struct entry *prior, const struct stat *st)
{
	if (prior == NULL)
		return false;
	int64_t taken = w->b->parent->started;
	return prior->mode == st->st_mode && prior->inode == st->st_ino &&
	       (!S_ISREG(st->st_mode) || prior->size == (uint64_t)st->st_size) &&
	       same_time(&prior->mtime, &st->st_mtim) && same_time(&prior->ctime, &st->st_ctim) &&
	       (prior->flags & ENTRY_CHANGED_WHILE_READ) == 0 && settled_before(&st->st_mtim, taken) &&
	       settled_before(&st->st_ctim, taken);
}

int item_keep_prior(struct item *item, const struct entry *prior, struct error *err)
{
	if (prior == NULL || !S_ISREG(prior->mode) || (prior->flags & ENTRY_HAS_CONTENT_HASH) == 0 ||
		prior->piece_count > 0 || prior->extent_count > 4)
		return 0;
	item->prior = item_new();
	if (item->prior == NULL)
		return error_no_memory(err, "an entry");
	item->prior->entry.size = prior->size;
	int r = item_copy_content(item->prior, prior, err);
	item_seal(item->prior);
	return r;
}

static int plan_file(struct walk *w, struct item *item, const struct entry *prior, const struct stat *st,
	struct folder *folder, const char *name, struct error *err)
{
	struct backup *b = w->b;
	bool same = unchanged(w, prior, st);

	item->top = w->top;
	item->member = w->dump && complete_pgdir_name(name, strlen(name));
	if (st->st_nlink > 1) {
		uint64_t group = prior != NULL && prior->inode == st->st_ino ? prior->link_group : 0;
		int r = links_meet(b, item, st, group, err);
		if (r < 0 || !item->link_first) { /* its content is the first's: it is counted here, and not read */
			item->is_new = prior == NULL;
			item->is_changed = prior != NULL && !same;
			return r;
		}
	}
	if (same && (!item->member || w->dump_known || !complete_pgdir_judged(name, strlen(name)))) {
		int r = item_copy_content(item, prior, err);
		if (r < 0 || item_refs_allowed(b, item)) {
			if (item->member)
				judge_member_kept(b, item->key.data, item->key.len, b->parent, prior);
			else
				judge_unchanged(b, item);
			return r;
		}
		item_drop_content(item);
	}
	item->is_new = prior == NULL;
	item->is_changed = prior != NULL;
	if (b->writer == NULL)
		return 0;
	bool small = (uint64_t)st->st_size < b->repo->config.small_file;
	item->work = small ? WORK_SMALL : WORK_LARGE;
	item->charged = small ? (size_t)st->st_size : 0;
	item->read = false;
	atomic_fetch_add_explicit(&b->found, (uint64_t)st->st_size, memory_order_relaxed);
	item->folder = folder_ref(folder);
	item->name = strdup(name);
	return item->name == NULL ? error_no_memory(err, "an entry") : item_keep_prior(item, prior, err);
}

static int plan_link_target(struct item *item, struct folder *folder, const char *name, struct error *err)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(folder->fd, name, target, sizeof(target));

	if (n < 0)
		return error_set_errno(err, errno, "cannot read the link");
	buf_put(&item->target, target, (size_t)n);
	item->entry.size = (uint64_t)n;
	return buf_failed(&item->target) ? error_no_memory(err, "a link's target") : 0;
}

/* Folders, links and special files: everything is known without opening them. */
static int plan_other(struct walk *w, struct item *item, const struct entry *prior, const struct stat *st,
	struct folder *folder, const char *name, struct error *err)
{
	char proc[64 + ENTRY_NAME_MAX];
	int r = 0;

	if (st->st_nlink > 1 && !S_ISDIR(st->st_mode)) {
		uint64_t group = prior != NULL && prior->inode == st->st_ino ? prior->link_group : 0;
		r = links_meet(w->b, item, st, group, err);
	}
	if (r == 0 && S_ISLNK(st->st_mode))
		r = plan_link_target(item, folder, name, err);
	if (r < 0)
		return r;
	if (unchanged(w, prior, st)) {
		r = item_copy_content(item, prior, err);
		if (r < 0 || item_refs_allowed(w->b, item))
			return r;
		item_drop_content(item);
	}
	item->is_new = prior == NULL;
	item->is_changed = prior != NULL;
	snprintf(proc, sizeof(proc), "/proc/self/fd/%d/%s", folder->fd, name);
	r = item_read_xattrs(item, -1, proc, err);
	if (r == ERR_NOT_FOUND) { /* a chroot without /proc; else it has vanished, which shows again */
		error_clear(err);
		r = item_read_xattrs(item, -1, w->path.text, err);
	}
	return r;
}

/* ERR_UNSUPPORTED: the entry has no place in an archive. */
static int put_key(struct item *item, const struct buf *prefix, const char *name, struct error *err)
{
	size_t len = strlen(name);

	if (len > ENTRY_NAME_MAX)
		return error_set(err, ERR_UNSUPPORTED, "its name is too long (%d bytes at most)", ENTRY_NAME_MAX);
	entry_key_put(&item->key, prefix->data, prefix->len, name, len);
	if (buf_failed(&item->key))
		return error_no_memory(err, "an entry");
	if (item->key.len > ENTRY_KEY_MAX)
		return error_set(err, ERR_UNSUPPORTED, "its path is too long (%d bytes at most)", ENTRY_KEY_MAX);
	return 0;
}

int plan_entry(struct walk *w, struct folder *folder, const struct buf *prefix, const char *name, const struct stat *st,
	struct error *err)
{
	struct backup *b = w->b;
	struct item *item = item_new();
	int r = item == NULL ? error_no_memory(err, "an entry") : put_key(item, prefix, name, err);

	if (r == 0) {
		const struct entry *prior = prior_of(w, &item->key);
		item_set_stat(b, item, st);
		r = S_ISREG(st->st_mode) ? plan_file(w, item, prior, st, folder, name, err)
					 : plan_other(w, item, prior, st, folder, name, err);
	}
	if (r == 0)
		return queue_put(b, item);
	item_free(b, item);
	if (r == ERR_NO_MEMORY)
		return r;
	walk_warn(b, w->path.text, "%s", error_text(err));
	error_clear(err);
	return 0;
}
