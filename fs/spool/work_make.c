/* SPDX-License-Identifier: MIT */

/* New entries: make, symlink, link. */

#include <sys/sysmacros.h>

#include "fs/spool/work_impl.h"

enum { NLINK_MAX = 65000, PERMISSIONS = 07777 };

/* The folder a new name goes to: checked, and brought up. */
static int place_new(struct work *w, uint64_t parent, const char *name, struct index_inode *dir, struct work_name *n,
	struct error *err)
{
	int rc = work_dir_at(w, parent, dir, err);
	if (rc == 0)
		rc = work_name_at(w, dir, name, n, err);
	if (rc == 0 && n->there)
		rc = work_fail(err, WORK_EEXIST, "'%s' is there already", name);
	return rc == 0 ? work_up(w, parent, dir, err) : rc;
}

/* What the folder's default ACL makes of the new entry's mode and attributes. */
static int inherit(const struct index_inode *dir, mode_t umask, struct index_inode *row, struct error *err)
{
	const uint8_t *acl;
	size_t len;
	struct buf own = {0}, both = {0};
	mode_t mode = row->mode;
	if (S_ISLNK(mode))
		return 0;
	if (!xattrs_find(&dir->xattrs, work_acl_default, &acl, &len) || !acl_ok(acl, len)) {
		row->mode = mode & ~(umask & 0777);
		return 0;
	}
	buf_put(&own, acl, len);
	if (!buf_failed(&own)) {
		acl_inherit(own.data, own.len, &mode);
		row->mode = mode;
		if (S_ISDIR(mode))
			xattrs_set(&row->xattrs, work_acl_default, acl, len, &both);
		if (acl_is_mode(own.data, own.len))
			xattrs_set(&both, work_acl_access, NULL, 0, &row->xattrs);
		else
			xattrs_set(&both, work_acl_access, own.data, own.len, &row->xattrs);
	}
	bool failed = buf_failed(&own) || buf_failed(&both) || buf_failed(&row->xattrs);
	buf_release(&both);
	buf_release(&own);
	return failed ? error_no_memory(err, "an ACL") : 0;
}

/* Enters a row that is filled but for its number, times and what comes from its folder. */
static int enter(struct work *w, uint64_t parent, const char *name, mode_t umask, struct index_inode *row,
	struct stat *ret, struct error *err)
{
	struct index_inode dir = INDEX_INODE_INIT;
	struct work_name n = {0};
	int rc = place_new(w, parent, name, &dir, &n, err);
	if (rc == 0)
		rc = inherit(&dir, umask, row, err);
	if (rc == 0)
		rc = index_new_ino(w->index, &row->ino, err);
	if (rc < 0)
		goto out;
	uint64_t change = work_change(w);
	if ((dir.mode & S_ISGID) != 0) {
		row->gid = dir.gid;
		if (S_ISDIR(row->mode))
			row->mode |= S_ISGID;
	}
	row->mtime = row->ctime = work_now();
	row->changed = change;
	if (S_ISDIR(row->mode))
		row->parent = dir.ino;
	if (S_ISREG(row->mode)) {
		row->flags = INDEX_OPEN_NEW;
		map_put(&w->fresh, row->ino, (uint64_t)clock_monotonic());
	}
	rc = index_put(w->index, row, err);
	if (rc == 0)
		rc = index_name_put(w->index, dir.ino, name, row->ino, err);
	if (rc == 0)
		rc = work_dir_touch(w, &dir, change, err);
	if (rc == 0 && S_ISDIR(row->mode)) {
		work_folders_add(w, dir.ino, 1);
		map_put(&w->folders, row->ino, 0);
	}
	if (rc == 0)
		work_row_stat(w, row, ret);
out:
	index_inode_release(&dir);
	return rc;
}

static int enter_call(struct work *w, uint64_t parent, const char *name, mode_t umask, struct index_inode *row,
	struct stat *ret, struct error *err)
{
	int rc = work_name_ok(name, err);
	if (rc == 0) {
		work_enter(w);
		work_warm(w, parent, name);
		work_lock(w);
		rc = enter(w, parent, name, umask, row, ret, err);
		work_unlock(w);
		work_leave(w);
	}
	return rc;
}

int work_make(struct work *w, uint64_t parent, const char *name, mode_t mode, dev_t rdev, struct work_owner owner,
	struct stat *ret, struct error *err)
{
	struct index_inode row = INDEX_INODE_INIT;
	mode_t type = mode & S_IFMT;
	if (type == 0)
		type = S_IFREG;
	if (type == S_IFLNK || (!S_ISREG(type) && !S_ISDIR(type) && !S_ISFIFO(type) && !S_ISSOCK(type) &&
				       !S_ISCHR(type) && !S_ISBLK(type)))
		return work_fail(err, WORK_EINVAL, "'%s' cannot be of that type", name);
	row.mode = type | (mode & PERMISSIONS);
	row.uid = owner.uid;
	row.gid = owner.gid;
	row.nlink = S_ISDIR(type) ? 2 : 1;
	if (S_ISCHR(type) || S_ISBLK(type)) {
		row.rdev_major = major(rdev);
		row.rdev_minor = minor(rdev);
	}
	int rc = enter_call(w, parent, name, owner.umask, &row, ret, err);
	index_inode_release(&row);
	return rc;
}

int work_symlink(struct work *w, uint64_t parent, const char *name, const char *target, struct work_owner owner,
	struct stat *ret, struct error *err)
{
	struct index_inode row = INDEX_INODE_INIT;
	size_t len = strlen(target);
	if (len == 0)
		return error_set(err, ERR_NOT_FOUND, "'%s' would lead nowhere", name);
	if (len > ENTRY_TARGET_MAX)
		return work_fail(err, WORK_ENAMETOOLONG, "the target of '%s' is too long", name);
	row.mode = S_IFLNK | 0777;
	row.uid = owner.uid;
	row.gid = owner.gid;
	row.nlink = 1;
	row.size = len;
	buf_put(&row.target, target, len);
	int rc = buf_failed(&row.target) ? error_no_memory(err, "a link's target")
					 : enter_call(w, parent, name, 0, &row, ret, err);
	index_inode_release(&row);
	return rc;
}

static int link_name(
	struct work *w, uint64_t ino, uint64_t parent, const char *name, struct stat *ret, struct error *err)
{
	struct index_inode dir = INDEX_INODE_INIT, row = INDEX_INODE_INIT;
	struct work_name n = {0};
	bool up;
	int rc = work_peek(w, ino, &row, &up, err);
	if (rc == 0 && S_ISDIR(row.mode))
		rc = work_fail(err, WORK_EPERM, "a folder cannot have another name");
	if (rc == 0 && row.nlink == 0)
		rc = error_set(err, ERR_NOT_FOUND, "the file has no name any more");
	if (rc == 0 && row.nlink >= NLINK_MAX)
		rc = work_fail(err, WORK_EMLINK, "the file has too many names");
	if (rc == 0)
		rc = work_up(w, ino, &row, err);
	if (rc == 0)
		rc = place_new(w, parent, name, &dir, &n, err);
	if (rc < 0)
		goto out;
	uint64_t change = work_change(w);
	row.nlink++;
	row.ctime = work_now();
	row.changed = change;
	rc = index_put(w->index, &row, err);
	if (rc == 0)
		rc = index_name_put(w->index, dir.ino, name, row.ino, err);
	if (rc == 0)
		rc = work_dir_touch(w, &dir, change, err);
	if (rc == 0)
		work_row_stat(w, &row, ret);
out:
	index_inode_release(&dir);
	index_inode_release(&row);
	return rc;
}

int work_link(struct work *w, uint64_t ino, uint64_t parent, const char *name, struct stat *ret, struct error *err)
{
	int rc = work_name_ok(name, err);
	if (rc < 0)
		return rc;
	work_enter(w);
	work_warm_inode(w, ino);
	work_warm(w, parent, name);
	work_lock(w);
	rc = link_name(w, ino, parent, name, ret, err);
	work_unlock(w);
	work_leave(w);
	return rc;
}
