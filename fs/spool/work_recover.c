/* SPDX-License-Identifier: MIT */

/* What a run that was cut short left: files that were not safe, that nothing names, that were never closed. */

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "fs/spool/work_impl.h"

enum { BLOCK = 512, PURGE_MOST = 1000 };

/* ---- after a power cut ---- */

static int collect_name(void *arg, const struct index_name *name, struct error *err)
{
	struct buf *names = arg;
	buf_put_u64(names, name->parent);
	buf_put_str(names, name->name);
	return buf_failed(names) ? error_no_memory(err, "names of a file") : 0;
}

/* Takes a name out; a name that the base shows becomes a whiteout, unless the base's file there was never touched. */
static int lose_name(struct work *w, uint64_t parent, const char *name, struct error *err)
{
	struct index_inode dir = INDEX_INODE_INIT;
	struct work_name n = {0};
	struct view_entry e;
	struct error ignored = ERROR_INIT;
	bool shown = false;
	int rc = index_get(w->index, parent, &dir, err);
	if (rc == 0)
		rc = work_name_at(w, &dir, name, &n, err);
	if (rc == 0 && n.in_base && view_lookup(w->view, w->base, (uint32_t)dir.lower, name, &e, &ignored) == 0) {
		struct index_inode row = INDEX_INODE_INIT;
		shown = e.entry->link_group == 0 && index_get(w->index, e.rank, &row, &ignored) == ERR_NOT_FOUND;
		index_inode_release(&row);
		view_put(w->view, &e);
	}
	if (rc == 0)
		rc = shown ? index_name_drop(w->index, parent, name, err) : work_name_gone(w, parent, name, &n, err);
	if (rc == 0) {
		dir.changed = work_change(w);
		rc = index_put(w->index, &dir, err);
	}
	index_inode_release(&dir);
	return rc == ERR_NOT_FOUND ? 0 : rc;
}

static int lose_file(struct work *w, uint64_t ino, struct error *err)
{
	struct buf names = {0};
	int rc = index_names_of(w->index, ino, collect_name, &names, err);
	struct cursor c = cursor_of(names.data, names.len);
	while (rc == 0 && cursor_left(&c) > 0) {
		uint64_t parent = cursor_u64(&c);
		char *name = cursor_str(&c, INDEX_NAME_MAX);
		rc = name == NULL ? error_no_memory(err, "a name") : lose_name(w, parent, name, err);
		free(name);
	}
	if (rc == 0)
		rc = index_drop(w->index, ino, err);
	buf_release(&names);
	return rc;
}

/* Where a commit put what the file held while it was open, unless it was settled since. False: none did. */
static bool open_place(struct work *w, uint64_t ino, struct id *ret_at, struct buf *ret_key)
{
	char name[32];
	struct buf fact = {0};
	work_settle_name(ino, name);
	bool found = index_fact(w->index, name, &fact, NULL) == 0 && fact.len > sizeof(ret_at->b);
	if (found) {
		memcpy(ret_at->b, fact.data, sizeof(ret_at->b));
		buf_put(ret_key, fact.data + sizeof(ret_at->b), fact.len - sizeof(ret_at->b));
	}
	buf_release(&fact);
	return found;
}

/* Takes the row to what lies in the archive as of the last commit. False: nothing does. */
static bool as_committed(struct work *w, struct index_inode *row)
{
	struct buf key = {0};
	const struct node *leaf;
	const struct entry *entry;
	if (open_place(w, row->ino, &row->content_snapshot, &key)) {
		buf_release(&row->content_key);
		row->content_key = key;
	}
	if (id_is_zero(&row->content_snapshot) ||
		work_entry_of(w, &row->content_snapshot, &row->content_key, &leaf, &entry, NULL) != 0)
		return false;
	struct node_source *nodes = reader_nodes(view_reader(w->view));
	row->size = entry->size;
	row->mtime = entry->mtime;
	nodes->put(nodes, leaf);
	buf_clear(&row->layers);
	row->flags &= ~(unsigned)INDEX_UNSYNCED;
	return true;
}

/* Are there staged files that are missing, or may they hide bytes of the last commit behind some that never came? */
static bool is_unsafe(struct work *w, const struct index_inode *inode, bool peace)
{
	struct index_inode row = INDEX_INODE_INIT;
	struct buf key = {0};
	struct id at;
	bool hide = true;
	if (content_layers_there(w->data, inode->layers.data, inode->layers.len, NULL) < 0)
		return true;
	if (peace)
		return false;
	bool unsafe = open_place(w, inode->ino, &at, &key);
	if (!unsafe && index_get(w->index, inode->ino, &row, NULL) == 0 && as_committed(w, &row))
		unsafe = content_layers_hide(inode->layers.data, inode->layers.len, row.size, &hide, NULL) < 0 || hide;
	index_inode_release(&row);
	buf_release(&key);
	return unsafe;
}

/* Back to what lies in the archive. False: nothing does. */
static bool fall_back(struct work *w, const struct index_inode *inode)
{
	struct index_inode row = INDEX_INODE_INIT;
	bool done = index_get(w->index, inode->ino, &row, NULL) == 0 && as_committed(w, &row);
	if (done) {
		row.changed = work_change(w);
		done = index_put(w->index, &row, NULL) == 0;
	}
	index_inode_release(&row);
	return done;
}

struct survey {
	struct work *w;
	bool rebooted, peace;
	struct buf names; /* of staged files that rows need, STAGED_NAME bytes each */
};

static int note_name(void *arg, const char *name, struct error *err)
{
	struct survey *s = arg;
	buf_put(&s->names, name, STAGED_NAME);
	return buf_failed(&s->names) ? error_no_memory(err, "names of staged files") : 0;
}

/* Was it committed while it was open, and the run ended before its last close? Then its layers can go now. */
static int settle_late(struct work *w, const struct index_inode *inode, bool *ret_done, struct error *err)
{
	struct buf key = {0};
	struct id at;
	int rc = 0;
	*ret_done = false;
	if (inode->changed <= w->committed && open_place(w, inode->ino, &at, &key)) {
		rc = work_settle(w, inode->ino, inode->changed, &at, &key, err);
		*ret_done = rc == 0;
	}
	buf_release(&key);
	return rc;
}

static int survey_one(void *arg, const struct index_inode *inode, struct error *err)
{
	struct survey *s = arg;
	struct work *w = s->w;
	bool done = false;
	int rc = settle_late(w, inode, &done, err);
	if (rc < 0 || done)
		return rc;
	if (s->rebooted && (inode->flags & INDEX_UNSYNCED) != 0 && is_unsafe(w, inode, s->peace)) {
		char *path = work_path(w->index, inode->ino);
		done = fall_back(w, inode);
		work_lose(w, "'%s/%s' was not safe on disk when the host stopped; %s", w->dataset,
			path != NULL ? path : "?", done ? "it is as it was before" : "it is gone");
		free(path);
		return done ? 0 : lose_file(w, inode->ino, err);
	}
	return content_layer_names(inode->layers.data, inode->layers.len, note_name, s, err) == ERR_NO_MEMORY
		       ? ERR_NO_MEMORY
		       : 0;
}

static int compare_names(const void *a, const void *b)
{
	return memcmp(a, b, STAGED_NAME);
}

/* Removes staged files that no row names: of writes that were never recorded, and what an end in a hurry left. Many of
 * them wait for work_sweep_all(): nobody's mount does. */
static int purge(struct work *w, struct buf *names, struct error *err)
{
	int fd = openat(w->data, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	if (d == NULL) {
		if (fd >= 0)
			close(fd);
		return error_set_errno(err, errno, "cannot list '%s/data'", w->dir);
	}
	size_t count = names->len / STAGED_NAME;
	if (count > 0)
		qsort(names->data, count, STAGED_NAME, compare_names);
	w->staged = 0;
	size_t removed = 0;
	for (struct dirent *e; (e = readdir(d)) != NULL;) {
		struct stat st;
		if (e->d_name[0] == '.')
			continue;
		bool needed = strlen(e->d_name) == STAGED_NAME - 1 && count > 0 &&
			      bsearch(e->d_name, names->data, count, STAGED_NAME, compare_names) != NULL;
		if (!needed && (++removed <= PURGE_MOST || strlen(e->d_name) != STAGED_NAME - 1))
			unlinkat(w->data, e->d_name, 0);
		else if (!needed)
			buf_put(&w->garbage, e->d_name, STAGED_NAME);
		else if (fstatat(w->data, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
			w->staged += (uint64_t)st.st_blocks * BLOCK;
	}
	closedir(d);
	return 0;
}

/* ---- files that were never closed ---- */

struct new_files {
	struct work *w;
	struct buf inos, dirs;
};

static int see_new(void *arg, const struct index_name *name, struct error *err)
{
	struct new_files *n = arg;
	struct index_inode row = INDEX_INODE_INIT;
	if (name->ino == INDEX_NONE)
		return 0;
	int rc = index_get(n->w->index, name->ino, &row, err);
	if (rc == 0 && S_ISDIR(row.mode))
		buf_put_u64(&n->dirs, row.ino);
	else if (rc == 0 && (row.flags & INDEX_OPEN_NEW) != 0)
		buf_put_u64(&n->inos, row.ino);
	index_inode_release(&row);
	if (rc == ERR_NOT_FOUND)
		rc = 0;
	return rc == 0 && (buf_failed(&n->inos) || buf_failed(&n->dirs)) ? error_no_memory(err, "new files") : rc;
}

static int close_one(struct work *w, uint64_t ino, struct error *err)
{
	struct index_inode row = INDEX_INODE_INIT;
	int rc = index_get(w->index, ino, &row, err);
	if (rc == 0) {
		row.flags &= ~(unsigned)INDEX_OPEN_NEW;
		row.changed = work_change(w);
		rc = index_put(w->index, &row, err);
	}
	index_inode_release(&row);
	return rc;
}

static int close_new(struct work *w, uint64_t dir, unsigned depth, struct error *err)
{
	struct new_files n = {.w = w};
	if (depth > ENTRY_KEY_MAX)
		return 0;
	int rc = index_list(w->index, dir, 0, see_new, &n, err);
	struct cursor inos = cursor_of(n.inos.data, n.inos.len), dirs = cursor_of(n.dirs.data, n.dirs.len);
	while (rc == 0 && cursor_left(&inos) > 0)
		rc = close_one(w, cursor_u64(&inos), err);
	while (rc == 0 && cursor_left(&dirs) > 0)
		rc = close_new(w, cursor_u64(&dirs), depth + 1, err);
	buf_release(&n.inos);
	buf_release(&n.dirs);
	return rc;
}

int work_close_new(struct work *w, struct error *err)
{
	return close_new(w, INDEX_ROOT, 0, err);
}

/* ---- all of it ---- */

int work_recover(struct work *w, bool rebooted, bool peace, struct error *err)
{
	struct survey s = {.w = w, .rebooted = rebooted, .peace = peace};
	int rc = index_staged(w->index, survey_one, &s, err);
	if (rc == 0)
		rc = work_end(w, err);
	if (rc == 0)
		rc = index_sync(w->index, err);
	buf_clear(&w->garbage); /* no row names it: it is found again */
	if (rc == 0)
		rc = purge(w, &s.names, err);
	buf_release(&s.names);
	return rc;
}
