/* SPDX-License-Identifier: MIT */

/* Extended attributes. ACLs are attributes that also speak of the mode. */

#include <sys/xattr.h>

#include "fs/spool/work_impl.h"

static int compare(const char *a, size_t a_len, const char *b, size_t b_len)
{
	int order = memcmp(a, b, a_len < b_len ? a_len : b_len);
	return order != 0 ? order : (a_len > b_len) - (a_len < b_len);
}

bool xattrs_find(const struct buf *xattrs, const char *name, const uint8_t **ret_value, size_t *ret_len)
{
	struct cursor c = cursor_of(xattrs->data, xattrs->len);
	const char *at;
	size_t at_len, want = strlen(name);
	while (xattr_next(&c, &at, &at_len, ret_value, ret_len)) {
		if (at_len == want && memcmp(at, name, want) == 0)
			return true;
	}
	return false;
}

void xattrs_set(const struct buf *xattrs, const char *name, const void *value, size_t len, struct buf *ret)
{
	struct cursor c = cursor_of(xattrs->data, xattrs->len);
	char copy[INDEX_NAME_MAX + 1];
	const char *at;
	const uint8_t *old;
	size_t at_len, old_len, want = strlen(name);
	bool put = value == NULL;
	while (xattr_next(&c, &at, &at_len, &old, &old_len)) {
		int order = compare(at, at_len, name, want);
		if (!put && order >= 0) {
			xattr_put(ret, name, value, len);
			put = true;
		}
		if (order != 0 && at_len <= INDEX_NAME_MAX) {
			memcpy(copy, at, at_len);
			copy[at_len] = '\0';
			xattr_put(ret, copy, old, old_len);
		}
	}
	if (!put)
		xattr_put(ret, name, value, len);
}

/* ---- looking ---- */

/* All attributes of an inode, appended to *ret; what only the base has is read without the lock. */
static int read_all(struct work *w, uint64_t ino, struct buf *ret, struct error *err)
{
	struct index_inode row = INDEX_INODE_INIT;
	struct view_entry e;
	bool up;
	work_lock(w);
	int rc = work_peek(w, ino, &row, &up, err);
	work_unlock(w);
	if (rc == 0 && up) {
		buf_put(ret, row.xattrs.data, row.xattrs.len);
	} else if (rc == 0) {
		rc = view_at(w->view, w->base, (uint32_t)ino, &e, err);
		if (rc == 0) {
			rc = view_xattrs(w->view, &e, ret, err);
			view_put(w->view, &e);
		}
	}
	index_inode_release(&row);
	return rc == 0 && buf_failed(ret) ? error_no_memory(err, "extended attributes") : rc;
}

int work_getxattr(struct work *w, uint64_t ino, const char *name, struct buf *ret, struct error *err)
{
	struct buf all = {0};
	const uint8_t *value;
	size_t len;
	work_enter(w);
	int rc = read_all(w, ino, &all, err);
	if (rc == 0 && !xattrs_find(&all, name, &value, &len))
		rc = work_fail(err, WORK_ENODATA, "there is no attribute '%s'", name);
	else if (rc == 0)
		buf_put(ret, value, len);
	buf_release(&all);
	work_leave(w);
	return rc == 0 && buf_failed(ret) ? error_no_memory(err, "an extended attribute") : rc;
}

int work_listxattr(struct work *w, uint64_t ino, struct buf *ret, struct error *err)
{
	struct buf all = {0};
	const char *name;
	const uint8_t *value;
	size_t name_len, len;
	work_enter(w);
	int rc = read_all(w, ino, &all, err);
	struct cursor c = cursor_of(all.data, all.len);
	while (rc == 0 && xattr_next(&c, &name, &name_len, &value, &len)) {
		buf_put(ret, name, name_len);
		buf_put_u8(ret, 0);
	}
	buf_release(&all);
	work_leave(w);
	return rc == 0 && buf_failed(ret) ? error_no_memory(err, "names of extended attributes") : rc;
}

/* ---- changing ---- */

struct wish {
	const char *name;
	const void *value; /* NULL: away with it */
	size_t len;
	int flags;
};

/* Replaces the attributes of a row, and its mode where `mode` is not NULL. */
static int change_row(struct work *w, uint64_t ino, const struct wish *x, const mode_t *mode, struct error *err)
{
	struct index_inode row = INDEX_INODE_INIT;
	struct buf xattrs = {0};
	int rc = work_up(w, ino, &row, err);
	if (rc == 0) {
		xattrs_set(&row.xattrs, x->name, x->value, x->len, &xattrs);
		if (buf_failed(&xattrs))
			rc = error_no_memory(err, "extended attributes");
		else if (xattrs.len > ENTRY_XATTR_MAX)
			rc = error_set(err, ERR_NO_SPACE, "the attributes of a file would take more than 1 MiB");
	}
	if (rc == 0) {
		struct active *a = work_active(w, row.ino);
		struct buf old = row.xattrs;
		row.xattrs = xattrs;
		xattrs = old;
		if (mode != NULL)
			row.mode = (row.mode & ~(uint32_t)0777) | (*mode & 0777);
		row.ctime = work_now();
		row.changed = work_change(w);
		rc = index_put(w->index, &row, err);
		if (rc == 0 && a != NULL) {
			atomic_store(&a->arms, work_arms(&row));
			atomic_store(&a->up, true);
		}
	}
	buf_release(&xattrs);
	index_inode_release(&row);
	return rc;
}

/* Is it as wished already? Positive then. */
static int compare_old(const struct buf *all, const struct wish *x, struct error *err)
{
	const uint8_t *old;
	size_t len;
	bool there = xattrs_find(all, x->name, &old, &len);
	if (there && (x->flags & XATTR_CREATE) != 0)
		return work_fail(err, WORK_EEXIST, "there is an attribute '%s' already", x->name);
	if (!there && (x->flags & XATTR_REPLACE) != 0)
		return work_fail(err, WORK_ENODATA, "there is no attribute '%s'", x->name);
	return there ? x->value != NULL && len == x->len && (len == 0 || memcmp(old, x->value, len) == 0)
		     : x->value == NULL;
}

/* Under the lock. */
static int change(struct work *w, uint64_t ino, struct wish x, struct error *err)
{
	struct index_inode row = INDEX_INODE_INIT;
	struct view_entry e;
	mode_t mode = 0;
	bool up, sets_mode = false, folder;
	int rc = work_peek(w, ino, &row, &up, err);
	if (rc == 0 && !up) {
		rc = view_at(w->view, w->base, (uint32_t)ino, &e, err);
		if (rc == 0) {
			rc = view_xattrs(w->view, &e, &row.xattrs, err);
			view_put(w->view, &e);
		}
	}
	if (rc < 0)
		goto out;
	folder = S_ISDIR(row.mode);
	bool access = strcmp(x.name, work_acl_access) == 0;
	if (strcmp(x.name, work_acl_default) == 0 && !folder && x.value != NULL) {
		rc = error_set(err, ERR_DENIED, "only folders have default ACLs");
		goto out;
	}
	if (access && x.value != NULL) {
		sets_mode = true;
		mode = acl_mode(x.value, x.len);
		if (acl_is_mode(x.value, x.len)) {
			x.value = NULL;
			x.flags = 0;
		}
	}
	rc = compare_old(&row.xattrs, &x, err);
	bool same = rc == 1 && (!sets_mode || (row.mode & 0777) == mode);
	if (rc >= 0)
		rc = same ? 0 : change_row(w, ino, &x, sets_mode ? &mode : NULL, err);
out:
	index_inode_release(&row);
	return rc;
}

static int change_call(struct work *w, uint64_t ino, const struct wish *x, struct error *err)
{
	if (strncmp(x->name, "user.drfs.", 10) == 0)
		return work_fail(err, WORK_EPERM, "'%s' cannot be set", x->name);
	if (x->name[0] == '\0' || strlen(x->name) > INDEX_NAME_MAX)
		return work_fail(err, WORK_ERANGE, "'%.40s' is no name of an attribute", x->name);
	work_enter(w);
	work_warm_inode(w, ino);
	work_lock(w);
	int rc = change(w, ino, *x, err);
	work_unlock(w);
	work_leave(w);
	return rc;
}

static bool is_acl(const char *name)
{
	return strcmp(name, work_acl_access) == 0 || strcmp(name, work_acl_default) == 0;
}

int work_setxattr(
	struct work *w, uint64_t ino, const char *name, const void *value, size_t len, int flags, struct error *err)
{
	struct wish x = {.name = name, .value = value != NULL ? value : "", .len = len, .flags = flags};
	if ((flags & ~(XATTR_CREATE | XATTR_REPLACE)) != 0)
		return work_fail(err, WORK_EINVAL, "setting '%s' has no such flags", name);
	if (len > ENTRY_XATTR_MAX)
		return work_fail(err, WORK_E2BIG, "the attribute '%s' is too long", name);
	if (is_acl(name)) {
		/* One without entries is none. */
		if (len <= 4)
			x.value = NULL;
		else if (!acl_ok(value, len))
			return work_fail(err, WORK_EINVAL, "not an ACL");
	}
	return change_call(w, ino, &x, err);
}

int work_removexattr(struct work *w, uint64_t ino, const char *name, struct error *err)
{
	struct wish x = {.name = name, .flags = is_acl(name) ? 0 : XATTR_REPLACE};
	return change_call(w, ino, &x, err);
}
