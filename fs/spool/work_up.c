/* SPDX-License-Identifier: MIT */

/* Bringing entries of the base up into the index: with their ancestors, and with all links of their file. */

#include <stdlib.h>

#include "base/checked.h"
#include "fs/spool/work_impl.h"

/* ---- links of the base ---- */

static int compare_links(const void *a, const void *b)
{
	const struct link_rank *x = a, *y = b;
	if (x->group != y->group)
		return x->group < y->group ? -1 : 1;
	return x->rank < y->rank ? -1 : x->rank > y->rank;
}

static int add_link(struct work *w, size_t *cap, uint64_t group, uint64_t rank, struct error *err)
{
	if (w->link_count == *cap) {
		size_t want = *cap > 0 ? *cap * 2 : 64;
		struct link_rank *more = reallocarray(w->links, want, sizeof(*more));
		if (more == NULL)
			return error_no_memory(err, "the links of a snapshot");
		w->links = more;
		*cap = want;
	}
	w->links[w->link_count++] = (struct link_rank){.group = group, .rank = (uint32_t)rank + 1};
	return 0;
}

static int scan_links(struct work *w, struct error *err)
{
	struct tree_cursor *c = NULL;
	size_t cap = 0;
	int rc = tree_cursor_new(reader_nodes(view_reader(w->view)), &w->base->root, &c, err);
	while (rc == 0) {
		const struct entry *e = tree_cursor_entry(c);
		if (e == NULL)
			break;
		if (e->link_group != 0 && !S_ISDIR(e->mode))
			rc = add_link(w, &cap, e->link_group, tree_cursor_rank(c), err);
		if (rc == 0)
			rc = tree_cursor_next(c, err);
	}
	tree_cursor_free(c);
	if (rc < 0 && rc != ERR_NOT_FOUND) {
		free(w->links);
		w->links = NULL;
		w->link_count = 0;
		return error_wrap(err, rc, "looking for links in '%s/%s'", w->base->dataset, w->base->name);
	}
	error_clear(err);
	if (w->link_count > 0)
		qsort(w->links, w->link_count, sizeof(*w->links), compare_links);
	return 0;
}

int work_links(struct work *w, struct error *err)
{
	struct error mine = ERROR_INIT;
	pthread_mutex_lock(&w->links_lock);
	int rc = w->links_known ? 0 : scan_links(w, &mine);
	w->links_known = rc == 0;
	pthread_mutex_unlock(&w->links_lock);
	if (rc < 0 && err != NULL)
		*err = mine;
	return rc;
}

uint64_t work_known_by(struct work *w, uint64_t rank, uint64_t group)
{
	uint64_t known = rank;
	if (group != 0 && !map_get(&w->groups, group, &known))
		map_put(&w->groups, group, rank);
	return known;
}

/* ---- fetching before the lock is taken ---- */

/* Errors are left to the call under the lock, which meets them again. */
void work_warm(struct work *w, uint64_t dir, const char *name)
{
	struct index_inode row = INDEX_INODE_INIT;
	struct view_entry e;
	bool up;
	if (w->base == NULL)
		return;
	work_lock(w);
	int rc = work_peek(w, dir, &row, &up, NULL);
	work_unlock(w);
	if (rc == 0 && S_ISDIR(row.mode) && row.lower != INDEX_NONE &&
		view_lookup(w->view, w->base, (uint32_t)row.lower, name, &e, NULL) == 0) {
		bool linked = e.entry->link_group != 0 && !S_ISDIR(e.entry->mode);
		view_put(w->view, &e);
		if (linked)
			work_links(w, NULL);
	}
	index_inode_release(&row);
}

void work_warm_inode(struct work *w, uint64_t ino)
{
	struct view_entry e, above;
	if (w->base == NULL || ino >= INDEX_NEW || view_at(w->view, w->base, (uint32_t)ino, &e, NULL) < 0)
		return;
	if (e.rank > 0 && view_lookup(w->view, w->base, e.rank, "..", &above, NULL) == 0)
		view_put(w->view, &above);
	bool linked = e.entry->link_group != 0 && !S_ISDIR(e.entry->mode);
	view_put(w->view, &e);
	if (linked)
		work_links(w, NULL);
}

/* ---- rows of the base's entries ---- */

static int row_of(struct work *w, const struct view_entry *e, bool whole, struct index_inode *row, struct error *err)
{
	const struct entry *entry = e->entry;
	row->ino = e->rank;
	row->parent = INDEX_NONE;
	row->mode = entry->mode;
	row->uid = entry->uid;
	row->gid = entry->gid;
	row->nlink = S_ISDIR(entry->mode) ? 2 : entry->nlink > 0 ? entry->nlink : 1;
	row->rdev_major = entry->rdev_major;
	row->rdev_minor = entry->rdev_minor;
	row->size = S_ISDIR(entry->mode) ? 0 : entry->size;
	row->mtime = entry->mtime;
	row->ctime = entry->ctime;
	row->link_group = S_ISDIR(entry->mode) ? 0 : entry->link_group;
	row->lower = S_ISDIR(entry->mode) ? e->rank : INDEX_NONE;
	row->changed = 0;
	row->flags = 0;
	row->content_snapshot = (struct id){{0}};
	if (S_ISREG(entry->mode) && entry->size > 0) {
		row->content_snapshot = w->base->id;
		buf_put(&row->content_key, entry->key, entry->key_len);
	}
	if (S_ISLNK(entry->mode))
		buf_put(&row->target, entry->target, entry->target_len);
	int rc = whole ? view_xattrs(w->view, e, &row->xattrs, err) : 0;
	if (rc == 0 && (buf_failed(&row->content_key) || buf_failed(&row->target) || buf_failed(&row->xattrs)))
		rc = error_no_memory(err, "an inode");
	return rc;
}

static void row_clear(struct index_inode *row)
{
	buf_clear(&row->content_key);
	buf_clear(&row->layers);
	buf_clear(&row->target);
	buf_clear(&row->xattrs);
}

static int gone(struct work *w, uint64_t ino, struct error *err)
{
	return error_set(err, ERR_NOT_FOUND, "inode %llu of '%s' is gone", (unsigned long long)ino, w->dataset);
}

/* 0: an inode that has a row, maybe under another of its numbers. 1: the base's entry, pinned in *ret_e. */
static int find_row(struct work *w, uint64_t ino, struct index_inode *ret, struct view_entry *ret_e, struct error *err)
{
	uint64_t known = ino;
	int rc = index_get(w->index, ino, ret, err);
	if (rc != ERR_NOT_FOUND)
		return rc;
	error_clear(err);
	if (ino >= INDEX_NEW || w->base == NULL)
		return gone(w, ino, err);
	rc = view_at(w->view, w->base, (uint32_t)ino, ret_e, err);
	if (rc < 0)
		return rc == ERR_NOT_FOUND ? gone(w, ino, err) : rc;
	if (ret_e->entry->link_group == 0 || S_ISDIR(ret_e->entry->mode))
		return 1;
	rc = index_alias(w->index, ino, &known, err);
	if (rc == ERR_NOT_FOUND) {
		error_clear(err);
		return 1;
	}
	view_put(w->view, ret_e);
	return rc == 0 ? index_get(w->index, known, ret, err) : rc;
}

int work_peek(struct work *w, uint64_t ino, struct index_inode *ret, bool *ret_up, struct error *err)
{
	struct view_entry e;
	int rc = find_row(w, ino, ret, &e, err);
	*ret_up = rc == 0;
	if (rc != 1)
		return rc;
	row_clear(ret);
	rc = row_of(w, &e, false, ret, err);
	ret->ino = work_known_by(w, ret->ino, ret->link_group);
	view_put(w->view, &e);
	return rc;
}

/* ---- bringing up ---- */

static int entry_name(const struct view_entry *e, char dst[static ENTRY_NAME_MAX + 1], struct error *err)
{
	size_t prefix_len, len;
	const uint8_t *name;
	if (!entry_key_split(e->entry->key, e->entry->key_len, &prefix_len, &name, &len) || len > ENTRY_NAME_MAX)
		return error_set(err, ERR_CORRUPT, "an entry of '%s/%s' has a key that is none", e->snapshot->dataset,
			e->snapshot->name);
	memcpy(dst, name, len);
	dst[len] = '\0';
	return 0;
}

/* Enters a name of the base in its folder, which has a row. ERR_NOT_FOUND: another thing or nothing stands there now.
 */
static int name_up(
	struct work *w, const struct index_inode *dir, const struct view_entry *e, uint64_t ino, struct error *err)
{
	char name[ENTRY_NAME_MAX + 1];
	uint64_t there;
	int rc = entry_name(e, name, err);
	if (rc < 0)
		return rc;
	if (dir->lower == INDEX_NONE || dir->nlink == 0)
		return gone(w, ino, err);
	rc = index_name(w->index, dir->ino, name, &there, err);
	if (rc == 0)
		return gone(w, ino, err);
	if (rc != ERR_NOT_FOUND)
		return rc;
	error_clear(err);
	return index_name_put(w->index, dir->ino, name, ino, err);
}

/* One entry that is no link, under a folder that is up (`dir` NULL: it is the root). *ret: its row. */
static int one_up(struct work *w, const struct index_inode *dir, const struct view_entry *e, struct index_inode *ret,
	struct error *err)
{
	row_clear(ret);
	int rc = row_of(w, e, true, ret, err);
	if (rc == 0 && dir != NULL)
		rc = name_up(w, dir, e, ret->ino, err);
	if (rc < 0)
		return rc;
	if (dir != NULL && S_ISDIR(ret->mode))
		ret->parent = dir->ino;
	if (!S_ISDIR(ret->mode))
		ret->nlink = 1;
	return index_put(w->index, ret, err);
}

/* A folder of the base with all its ancestors, from the top down. */
static int folder_up(struct work *w, uint32_t rank, struct index_inode *ret, struct error *err)
{
	struct index_inode dir = INDEX_INODE_INIT;
	struct view_entry e, above;
	struct buf chain = {0};
	int rc;
	/* Ranks on the way up, until one that is here. */
	while ((rc = index_get(w->index, rank, &dir, err)) == ERR_NOT_FOUND) {
		error_clear(err);
		buf_put_u32(&chain, rank);
		if (rank == 0) {
			rc = buf_failed(&chain) ? error_no_memory(err, "a path") : 0;
			break;
		}
		rc = view_lookup(w->view, w->base, rank, "..", &above, err);
		if (rc == 0 && buf_failed(&chain)) {
			view_put(w->view, &above);
			rc = error_no_memory(err, "a path");
		}
		if (rc < 0)
			goto out;
		rank = above.rank;
		view_put(w->view, &above);
	}
	for (size_t at = chain.len; rc == 0 && at > 0; at -= sizeof(rank)) {
		memcpy(&rank, chain.data + at - sizeof(rank), sizeof(rank));
		rc = view_at(w->view, w->base, rank, &e, err);
		if (rc < 0)
			break;
		rc = one_up(w, rank == 0 ? NULL : &dir, &e, ret, err);
		view_put(w->view, &e);
		struct index_inode below = *ret; /* swapped: the row just made is the next one's folder */
		*ret = dir;
		dir = below;
	}
	if (rc == 0) {
		struct index_inode last = dir;
		dir = *ret;
		*ret = last;
	}
out:
	index_inode_release(&dir);
	buf_release(&chain);
	return rc;
}

static int parent_up(struct work *w, uint32_t rank, struct index_inode *ret, struct error *err)
{
	struct view_entry above;
	int rc = view_lookup(w->view, w->base, rank, "..", &above, err);
	if (rc < 0)
		return rc;
	rank = above.rank;
	view_put(w->view, &above);
	return folder_up(w, rank, ret, err);
}

/* One more link of a file that is being brought up. */
static int link_up(struct work *w, uint32_t rank, uint64_t ino, struct error *err)
{
	struct index_inode dir = INDEX_INODE_INIT;
	struct view_entry e;
	int rc = view_at(w->view, w->base, rank, &e, err);
	if (rc < 0)
		return rc;
	rc = parent_up(w, rank, &dir, err);
	if (rc == 0)
		rc = name_up(w, &dir, &e, ino, err);
	view_put(w->view, &e);
	index_inode_release(&dir);
	if (rc == 0 && rank != ino)
		rc = index_alias_put(w->index, rank, ino, err);
	return rc;
}

/* All links of a file. Links that the snapshot does not hold are not counted any more. */
static int group_up(struct work *w, const struct view_entry *e, struct index_inode *ret, struct error *err)
{
	uint64_t group = e->entry->link_group;
	uint64_t ino = work_known_by(w, e->rank, group);
	int rc = work_links(w, err);
	if (rc < 0)
		return rc;
	size_t low = 0, high = w->link_count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (w->links[middle].group < group)
			low = middle + 1;
		else
			high = middle;
	}
	row_clear(ret);
	rc = row_of(w, e, true, ret, err);
	ret->ino = ino;
	ret->nlink = 0;
	for (; rc == 0 && low < w->link_count && w->links[low].group == group; low++) {
		rc = link_up(w, w->links[low].rank, ino, err);
		if (rc == ERR_NOT_FOUND) {
			error_clear(err);
			rc = 0;
		} else if (rc == 0) {
			ret->nlink++;
		}
	}
	if (rc == 0 && ret->nlink == 0)
		return gone(w, e->rank, err);
	return rc == 0 ? index_put(w->index, ret, err) : rc;
}

int work_up(struct work *w, uint64_t ino, struct index_inode *ret, struct error *err)
{
	struct index_inode dir = INDEX_INODE_INIT;
	struct view_entry e = {0};
	int rc = find_row(w, ino, ret, &e, err);
	if (rc != 1 || e.entry == NULL)
		return rc;
	if (S_ISDIR(e.entry->mode)) {
		rc = folder_up(w, e.rank, ret, err);
	} else if (e.entry->link_group != 0) {
		rc = group_up(w, &e, ret, err);
	} else {
		rc = parent_up(w, e.rank, &dir, err);
		if (rc == 0)
			rc = one_up(w, &dir, &e, ret, err);
	}
	view_put(w->view, &e);
	index_inode_release(&dir);
	return rc;
}
