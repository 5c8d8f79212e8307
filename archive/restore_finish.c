/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "archive/restore_impl.h"

static size_t prefix_length(const struct entry *e)
{
	size_t name_len;
	return (size_t)(restore_name(e, &name_len) - e->key) - 1;
}

/* Opens the folder of an entry, unless it is the one in *dir. A folder that cannot be opened was told before. */
static int folder_of(struct restore *r, const struct entry *e, struct restore_dir **dir)
{
	size_t len = prefix_length(e);
	if (*dir && (*dir)->prefix_len == len && memcmp((*dir)->prefix, e->key, len) == 0)
		return 0;
	restore_dir_unref(*dir);
	*dir = NULL;
	return restore_dir_open(r, e->key, len, 0, dir, NULL);
}

static void name_of(const struct entry *e, char dst[static ENTRY_NAME_MAX + 1])
{
	size_t len;
	const uint8_t *name = restore_name(e, &len);
	memcpy(dst, name, len);
	dst[len] = '\0';
}

/* The two folders that are open while links are made, one after another. */
struct linking {
	struct restore_dir *from, *to;
};

static int link_in_place(
	struct restore *r, const struct linking *l, const char *first, const char *name, const struct entry *e)
{
	char temp[RESTORE_TEMP_MAX];
	restore_temp_name(temp);
	if (linkat(l->from->fd, first, l->to->fd, temp, 0) != 0)
		return -1;
	if (renameat(l->to->fd, temp, l->to->fd, name) == 0)
		return 0;
	int kept = errno;
	bool clear = kept == EISDIR && restore_clear_way(r, l->to->fd, name, e);
	if (clear && renameat(l->to->fd, temp, l->to->fd, name) == 0)
		return 0;
	unlinkat(l->to->fd, temp, 0);
	errno = kept == EISDIR && !clear ? 0 : kept; /* that a folder stays was told */
	return -1;
}

static int make_link(struct restore *r, struct linking *l, const struct entry *leader, const struct entry *e)
{
	char first[ENTRY_NAME_MAX + 1], name[ENTRY_NAME_MAX + 1];
	struct stat a, b;
	if (folder_of(r, leader, &l->from) != 0 || folder_of(r, e, &l->to) != 0)
		return 0;
	name_of(leader, first);
	name_of(e, name);
	int rc = linkat(l->from->fd, first, l->to->fd, name, 0);
	if (rc != 0 && errno == EEXIST) {
		/* rename() of one link onto another does nothing, so it is asked first. */
		if (fstatat(l->from->fd, first, &a, AT_SYMLINK_NOFOLLOW) == 0 &&
			fstatat(l->to->fd, name, &b, AT_SYMLINK_NOFOLLOW) == 0 && a.st_ino == b.st_ino &&
			a.st_dev == b.st_dev) {
			atomic_fetch_add(&r->unchanged, 1);
			return 0;
		}
		rc = link_in_place(r, l, first, name, e);
		if (rc != 0 && errno == 0)
			return 0;
	}
	if (rc != 0)
		return restore_dest_failed(r, e, errno, "cannot link it to the other name of its file");
	atomic_fetch_add(S_ISREG(e->mode) ? &r->files : &r->others, 1);
	progress_add(r->options->progress, 0, 1);
	restore_event(r, "write", e, 0);
	return 0;
}

int restore_make_links(struct restore *r, struct error *err)
{
	struct linking l = {0};
	int status = 0;
	for (size_t i = 0; status == 0 && i + 1 < r->links.count; i += 2) {
		const struct node *leaf = NULL, *first_leaf = NULL;
		const struct entry *e = NULL, *first = NULL;
		const struct tree_root *root = &r->snapshot->root;
		status = restore_stopped(r);
		if (status == 0)
			status = tree_at(r->nodes, root, r->links.list[i], &leaf, &e, err);
		if (status == 0)
			status = tree_at(r->nodes, root, r->links.list[i + 1], &first_leaf, &first, err);
		if (status == 0)
			status = make_link(r, &l, first, e);
		if (leaf)
			r->nodes->put(r->nodes, leaf);
		if (first_leaf)
			r->nodes->put(r->nodes, first_leaf);
	}
	restore_dir_unref(l.from);
	restore_dir_unref(l.to);
	return status;
}

/* ---- folders ---- */

static int set_folder(struct restore *r, struct restore_dir *dir, const struct entry *e)
{
	struct stat st;
	uid_t uid;
	gid_t gid;
	if (fstat(dir->fd, &st) != 0)
		return restore_dest_failed(r, e, errno, "cannot look at the folder");
	owner_map_apply(r->owners, e, &uid, &gid);
	const struct restore_target target = {.fd = dir->fd, .dirfd = dir->fd, .name = "."};
	return restore_meta_set(r, &target, e, uid, gid, &st, 0);
}

static int finish_folder(struct restore *r, const struct entry *e, struct buf *prefix, struct error *err)
{
	struct restore_dir *dir = NULL;
	struct error why = ERROR_INIT;
	buf_clear(prefix);
	if (!entry_key_to_prefix(prefix, e->key, e->key_len) || buf_failed(prefix))
		return error_no_memory(err, "a path");
	/* A folder with nothing in it was not met before. */
	int status = restore_dir_open(r, prefix->data, prefix->len, RESTORE_DIR_MAKE, &dir, &why);
	if (status == ERR_NO_SPACE)
		return restore_dest_failed(r, e, ENOSPC, "cannot make the folder");
	if (status != 0) {
		restore_warn(r, e, "%s", error_text(&why));
		return 0;
	}
	if (dir->fresh) {
		atomic_fetch_add(&r->dirs, 1);
		restore_event(r, "write", e, 0);
	}
	status = set_folder(r, dir, e);
	restore_dir_unref(dir);
	return status;
}

/* DEST itself. */
static int finish_base(struct restore *r, struct error *err)
{
	struct restore_dir *dir = NULL;
	const struct node *leaf = NULL;
	const struct entry *e = &r->snapshot->top;
	struct entry top = *e;
	int status = 0;
	if (r->base_key.len > 0)
		status = tree_find(
			r->nodes, &r->snapshot->root, r->base_key.data, r->base_key.len, &leaf, &e, NULL, err);
	if (status != 0)
		return status;
	if (!leaf) { /* the root has no key; its attributes stand in the snapshot */
		top.key = (const uint8_t *)"";
		top.key_len = 0;
		top.xattr_ref = EXTENT_HOLE;
		e = &top;
	}
	status = restore_dir_open(r, r->base.data, r->base.len, 0, &dir, err);
	if (status == 0)
		status = set_folder(r, dir, e);
	restore_dir_unref(dir);
	if (leaf)
		r->nodes->put(r->nodes, leaf);
	return status;
}

int restore_finish_folders(struct restore *r, struct error *err)
{
	struct buf prefix = {0};
	int status = 0;
	/* In the order of keys a folder stands before what is in it, so backwards the deepest come first. */
	for (size_t i = r->folders.count; status == 0 && i-- > 0;) {
		const struct node *leaf = NULL;
		const struct entry *e = NULL;
		status = restore_stopped(r);
		if (status == 0)
			status = tree_at(r->nodes, &r->snapshot->root, r->folders.list[i], &leaf, &e, err);
		if (status == 0)
			status = finish_folder(r, e, &prefix, err);
		if (leaf)
			r->nodes->put(r->nodes, leaf);
	}
	buf_release(&prefix);
	return status == 0 ? finish_base(r, err) : status;
}
