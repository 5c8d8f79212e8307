/* SPDX-License-Identifier: MIT */
#include "fs/view.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "base/checked.h"
#include "fs/nodeid.h"

enum { TOUCHED_SLOTS = 1024, READ_SIZE = 1 << 20, FOLDER_SIZE = 4096, BLOCK = 512 };

struct view {
	struct reader *reader;
	struct node_source *nodes;
	/* Numbers of snapshots whose tree was fetched ahead, by number modulo slots. To forget one costs a call. */
	atomic_uint touched[TOUCHED_SLOTS];
};

struct view *view_new(struct reader *reader)
{
	struct view *v = calloc(1, sizeof(*v));
	if (v == NULL)
		return NULL;
	v->reader = reader;
	v->nodes = reader_nodes(reader);
	return v;
}

void view_free(struct view *v)
{
	free(v);
}

struct reader *view_reader(struct view *v)
{
	return v->reader;
}

/* On first touch a small tree is fetched whole: name by name it would cost a round trip each. */
static void touch(struct view *v, const struct snapshot *s)
{
	atomic_uint *slot = &v->touched[s->number % TOUCHED_SLOTS];
	if (atomic_load_explicit(slot, memory_order_relaxed) == s->number || s->root.entries == 0)
		return;
	if (s->root_sealed.len > 0)
		reader_seed_root(v->reader, &s->root, s->root_sealed.data, s->root_sealed.len, s->root_key);
	reader_warm_tree(v->reader, &s->root);
	atomic_store_explicit(slot, s->number, memory_order_relaxed);
}

static int fail(const struct snapshot *s, int code, struct error *err)
{
	if (code == ERR_NOT_FOUND)
		return code;
	return error_wrap(err, code, "reading the tree of '%s/%s'", s->dataset, s->name);
}

int view_at(struct view *v, const struct snapshot *s, uint32_t rank, struct view_entry *ret, struct error *err)
{
	struct view_entry e = {.snapshot = s, .entry = &s->top, .rank = rank};
	if (rank > 0) {
		touch(v, s);
		int rc = tree_at(v->nodes, &s->root, rank - 1, &e.leaf, &e.entry, err);
		if (rc < 0)
			return fail(s, rc, err);
	}
	*ret = e;
	return 0;
}

void view_put(struct view *v, const struct view_entry *e)
{
	if (e->leaf != NULL)
		v->nodes->put(v->nodes, e->leaf);
}

static int find_key(
	struct view *v, const struct snapshot *s, const struct buf *key, struct view_entry *ret, struct error *err)
{
	struct view_entry e = {.snapshot = s};
	uint64_t rank = 0;
	if (buf_failed(key))
		return error_no_memory(err, "the key of an entry");
	int rc = tree_find(v->nodes, &s->root, key->data, key->len, &e.leaf, &e.entry, &rank, err);
	if (rc < 0)
		return fail(s, rc, err);
	if (rank >= UINT32_MAX) {
		view_put(v, &e);
		return error_set(
			err, ERR_UNSUPPORTED, "'%s/%s' has more entries than a mount can number", s->dataset, s->name);
	}
	e.rank = (uint32_t)rank + 1;
	*ret = e;
	return 0;
}

/* The prefix of a folder's children, the final 00 not included. */
static int prefix_of(const struct view_entry *e, struct buf *prefix, struct error *err)
{
	if (!S_ISDIR(e->entry->mode))
		return error_set(err, ERR_USAGE, "not a folder");
	if (e->rank > 0 && !entry_key_to_prefix(prefix, e->entry->key, e->entry->key_len))
		return error_set(err, ERR_CORRUPT, "an entry of '%s/%s' has a key that is none", e->snapshot->dataset,
			e->snapshot->name);
	return buf_failed(prefix) ? error_no_memory(err, "the key of a folder") : 0;
}

/* The folder that `e` lies in. Its key is the last component of e's prefix, in the folder of those before. */
static int find_parent(struct view *v, const struct view_entry *e, struct view_entry *ret, struct error *err)
{
	struct buf key = {0};
	size_t prefix_len = 0, name_len = 0;
	const uint8_t *name = NULL;

	if (e->rank == 0)
		return error_set(err, ERR_NOT_FOUND, "a snapshot's root has its parent outside");
	if (!entry_key_split(e->entry->key, e->entry->key_len, &prefix_len, &name, &name_len))
		return error_set(err, ERR_CORRUPT, "an entry has a key that is none");
	if (prefix_len == 0)
		return view_at(v, e->snapshot, 0, ret, err);
	size_t start = prefix_len - 1;
	while (start > 0 && e->entry->key[start - 1] != 0)
		start--;
	entry_key_put(&key, e->entry->key, start, e->entry->key + start, prefix_len - 1 - start);
	int rc = find_key(v, e->snapshot, &key, ret, err);
	buf_release(&key);
	return rc;
}

static int find_child(
	struct view *v, const struct view_entry *parent, const char *name, struct view_entry *ret, struct error *err)
{
	struct buf prefix = {0}, key = {0};
	int rc = prefix_of(parent, &prefix, err);
	if (rc == 0) {
		entry_key_put(&key, prefix.data, prefix.len, name, strlen(name));
		rc = find_key(v, parent->snapshot, &key, ret, err);
	}
	buf_release(&key);
	buf_release(&prefix);
	return rc;
}

int view_lookup(struct view *v, const struct snapshot *s, uint32_t parent, const char *name, struct view_entry *ret,
	struct error *err)
{
	struct view_entry e;
	touch(v, s);
	int rc = view_at(v, s, parent, &e, err);
	if (rc < 0)
		return rc;
	if (strcmp(name, ".") == 0) {
		*ret = e;
		return 0;
	}
	rc = strcmp(name, "..") == 0 ? find_parent(v, &e, ret, err) : find_child(v, &e, name, ret, err);
	view_put(v, &e);
	return rc;
}

static struct timespec to_timespec(struct entry_time t)
{
	return (struct timespec){.tv_sec = t.sec, .tv_nsec = (long)t.nsec};
}

void view_stat(const struct view_entry *e, struct stat *ret)
{
	const struct entry *entry = e->entry;
	bool is_dir = S_ISDIR(entry->mode);
	uint64_t blocks = entry->disk_bytes / BLOCK + (entry->disk_bytes % BLOCK != 0);

	*ret = (struct stat){
		.st_ino = nodeid_inode(e->snapshot->number, e->rank, is_dir ? 0 : entry->link_group),
		.st_mode = entry->mode,
		.st_nlink = is_dir || entry->nlink == 0 ? 1 : entry->nlink,
		.st_uid = entry->uid,
		.st_gid = entry->gid,
		.st_rdev = makedev(entry->rdev_major, entry->rdev_minor),
		.st_size = is_dir ? FOLDER_SIZE : (off_t)min_u64(entry->size, INT64_MAX),
		.st_blksize = S_ISREG(entry->mode) ? READ_SIZE : FOLDER_SIZE,
		.st_blocks = (blkcnt_t)blocks,
		.st_mtim = to_timespec(entry->mtime),
		.st_ctim = to_timespec(entry->ctime),
	};
	ret->st_atim = ret->st_mtim;
}

int view_xattrs(struct view *v, const struct view_entry *e, struct buf *ret, struct error *err)
{
	if (e->entry->xattrs_len == 0 && (e->entry->xattr_ref == EXTENT_HOLE || e->entry->ref_count == 0))
		return 0;
	int rc = entry_xattrs(v->nodes, e->entry, ret, err);
	return rc < 0 ? fail(e->snapshot, rc, err) : 0;
}

/* Fills what a listing needs to go on without any pin. */
static int dir_fill(struct view *v, const struct view_entry *e, struct view_dir *dir, struct error *err)
{
	struct view_entry above = {0};
	dir->number = e->snapshot->number;
	dir->rank = dir->parent = e->rank;
	if (e->rank > 0) {
		int rc = find_parent(v, e, &above, err);
		if (rc < 0)
			return rc;
		dir->parent = above.rank;
		view_put(v, &above);
	}
	return tree_rank(v->nodes, &e->snapshot->root, dir->prefix, dir->prefix_len, &dir->first, err);
}

int view_dir_open(struct view *v, const struct snapshot *s, uint32_t rank, struct view_dir **ret, struct error *err)
{
	struct view_entry e;
	struct buf prefix = {0};
	struct view_dir *dir = NULL;

	touch(v, s);
	int rc = view_at(v, s, rank, &e, err);
	if (rc < 0)
		return rc;
	rc = prefix_of(&e, &prefix, err);
	if (rc < 0)
		goto out;
	dir = calloc(1, sizeof(*dir) + prefix.len + 1);
	rc = dir == NULL ? error_no_memory(err, "an open folder") : 0;
	if (rc < 0)
		goto out;
	if (prefix.len > 0)
		memcpy(dir->prefix, prefix.data, prefix.len);
	dir->prefix_len = prefix.len + 1;
	rc = dir_fill(v, &e, dir, err);
	if (rc == 0) {
		*ret = dir;
		dir = NULL;
	}
out:
	free(dir);
	buf_release(&prefix);
	view_put(v, &e);
	return rc;
}

/* Hands on the entries of one leaf from index `at`. False when the listing is over. */
static bool list_leaf(struct view_entry *e, const struct view_dir *dir, uint64_t tree_rank, view_dir_fn *fn, void *arg)
{
	char name[ENTRY_NAME_MAX + 1];
	const struct entry *end = e->leaf->list + e->leaf->count;
	for (; e->entry < end && tree_rank < UINT32_MAX; e->entry++, tree_rank++) {
		const struct entry *entry = e->entry;
		size_t len = entry->key_len - dir->prefix_len;
		if (entry->key_len <= dir->prefix_len || len > ENTRY_NAME_MAX ||
			memcmp(entry->key, dir->prefix, dir->prefix_len) != 0)
			return false;
		memcpy(name, entry->key + dir->prefix_len, len);
		name[len] = '\0';
		e->rank = (uint32_t)tree_rank + 1;
		if (!fn(arg, e, name, tree_rank + VIEW_DIR_BEHIND))
			return false;
	}
	return tree_rank < UINT32_MAX;
}

int view_dir_list(struct view *v, const struct snapshot *s, const struct view_dir *dir, uint64_t off, view_dir_fn *fn,
	void *arg, struct error *err)
{
	uint64_t rank = off <= VIEW_DIR_FIRST ? dir->first : off - VIEW_DIR_BEHIND + 1;
	bool more = true;
	while (more) {
		struct view_entry e = {.snapshot = s};
		int rc = tree_at(v->nodes, &s->root, rank, &e.leaf, &e.entry, err);
		if (rc == ERR_NOT_FOUND)
			break;
		if (rc < 0)
			return fail(s, rc, err);
		struct view_entry pin = e;
		uint64_t left = (uint64_t)(e.leaf->list + e.leaf->count - e.entry);
		more = list_leaf(&e, dir, rank, fn, arg);
		rank += left;
		view_put(v, &pin);
	}
	return 0;
}
