/* SPDX-License-Identifier: MIT */

/* Changing attributes. What is set to what it is makes no change. */

#include "fs/spool/work_impl.h"

enum { PERMISSIONS = 07777 };

static bool same_time(struct entry_time a, const struct timespec *b)
{
	return a.sec == b->tv_sec && a.nsec == (uint32_t)b->tv_nsec;
}

static struct entry_time to_time(const struct timespec *t)
{
	return (struct entry_time){.sec = t->tv_sec, .nsec = (uint32_t)t->tv_nsec};
}

/* An access ACL says the same as the mode. */
static int set_mode(struct index_inode *row, mode_t mode, struct error *err)
{
	const uint8_t *acl;
	size_t len;
	struct buf xattrs = {0}, own = {0};
	row->mode = (row->mode & S_IFMT) | (mode & PERMISSIONS);
	if (!xattrs_find(&row->xattrs, work_acl_access, &acl, &len) || !acl_ok(acl, len))
		return 0;
	buf_put(&own, acl, len);
	if (!buf_failed(&own)) {
		acl_set_mode(own.data, own.len, mode);
		xattrs_set(&row->xattrs, work_acl_access, own.data, own.len, &xattrs);
	}
	int rc = buf_failed(&own) || buf_failed(&xattrs) ? error_no_memory(err, "an ACL") : 0;
	buf_release(&own);
	if (rc == 0) {
		struct buf old = row->xattrs;
		row->xattrs = xattrs;
		xattrs = old;
	}
	buf_release(&xattrs);
	return rc;
}

/* Does setting this change anything? `row` may be one that is only peeked at: then a chown to who owns it already
 * leaves a capability, which the kernel takes away by itself. */
static bool differs(const struct index_inode *row, unsigned set, const struct stat *st)
{
	return ((set & WORK_SET_MODE) != 0 && (row->mode & PERMISSIONS) != (st->st_mode & PERMISSIONS)) ||
	       ((set & (WORK_SET_UID | WORK_SET_GID)) != 0 && work_arms(row) != 0) ||
	       ((set & WORK_SET_UID) != 0 && row->uid != st->st_uid) ||
	       ((set & WORK_SET_GID) != 0 && row->gid != st->st_gid) ||
	       ((set & WORK_SET_MTIME) != 0 && !same_time(row->mtime, &st->st_mtim)) ||
	       ((set & WORK_SET_CTIME) != 0 && !same_time(row->ctime, &st->st_ctim));
}

static int apply(struct index_inode *row, unsigned set, const struct stat *st, struct error *err)
{
	int rc = 0;
	row->ctime = (set & WORK_SET_CTIME) != 0 ? to_time(&st->st_ctim) : work_now();
	if ((set & WORK_SET_UID) != 0)
		row->uid = st->st_uid;
	if ((set & WORK_SET_GID) != 0)
		row->gid = st->st_gid;
	if ((set & WORK_SET_MTIME) != 0)
		row->mtime = to_time(&st->st_mtim);
	/* A new owner's file is not run as the old one, or as its group. */
	if ((set & (WORK_SET_UID | WORK_SET_GID)) != 0)
		rc = work_disarm_row(row, WORK_ARM_SET_ID | WORK_ARM_CAPABILITY, err);
	if (rc == 0 && (set & WORK_SET_MODE) != 0)
		rc = set_mode(row, st->st_mode, err);
	return rc;
}

/* Under the lock. */
static int set_attributes(struct work *w, uint64_t ino, unsigned set, const struct stat *st, struct error *err)
{
	struct index_inode row = INDEX_INODE_INIT;
	bool up;
	int rc = work_peek(w, ino, &row, &up, err);
	struct active *a = rc == 0 && S_ISREG(row.mode) ? work_active(w, row.ino) : NULL;
	int64_t written = a != NULL ? atomic_load(&a->written) : 0;
	/* Times of writes that are not recorded yet are what is seen, and so what is changed. */
	if (rc == 0 && written == 0 && !differs(&row, set, st))
		goto out;
	if (rc == 0)
		rc = work_up(w, ino, &row, err);
	if (rc == 0 && written != 0) {
		row.mtime =
			(struct entry_time){.sec = written / CLOCK_SECOND, .nsec = (uint32_t)(written % CLOCK_SECOND)};
		row.ctime = row.mtime;
	}
	if (rc == 0)
		rc = apply(&row, set, st, err);
	if (rc == 0) {
		row.changed = work_change(w);
		rc = index_put(w->index, &row, err);
	}
	if (rc == 0 && a != NULL) {
		atomic_compare_exchange_strong(&a->written, &written, 0);
		atomic_store(&a->arms, work_arms(&row));
		atomic_store(&a->up, true);
	}
out:
	index_inode_release(&row);
	return rc;
}

/* Cut or grown: through those who have it open, else recorded at once. */
static int set_size(struct work *w, uint64_t ino, uint64_t size, bool kill_set_id, struct error *err)
{
	struct active *a;
	bool dropped = false;
	int rc = work_active_get(w, ino, &a, err);
	if (rc < 0)
		return rc;
	rc = work_disarm_active(w, a, kill_set_id, &dropped, err);
	pthread_rwlock_rdlock(&a->swap);
	if (rc == 0 && content_size(a->content) != size) {
		rc = work_active_ready(w, a, err);
		if (rc == 0)
			rc = content_truncate(a->content, size, err);
		if (rc == 0) {
			atomic_store(&a->written, clock_now());
			atomic_store(&a->cut, true);
		}
	}
	pthread_rwlock_unlock(&a->swap);
	work_lock(w);
	bool alone = a->writers == 0;
	work_unlock(w);
	if (rc == 0 && alone)
		rc = work_active_record(w, a, 0, NULL, err);
	work_active_put(w, a);
	return rc;
}

int work_setattr(struct work *w, uint64_t ino, unsigned set, const struct stat *st, struct stat *ret, struct error *err)
{
	int rc = 0;
	unsigned rest = set & ~(unsigned)(WORK_SET_SIZE | WORK_KILL_SET_ID);
	if ((set & WORK_SET_SIZE) != 0 && st->st_size < 0)
		return work_fail(err, WORK_EINVAL, "a size below 0");
	work_enter(w);
	work_warm_inode(w, ino);
	if ((set & WORK_SET_SIZE) != 0)
		rc = set_size(w, ino, (uint64_t)st->st_size, (set & WORK_KILL_SET_ID) != 0, err);
	if (rc == 0 && rest != 0) {
		work_lock(w);
		rc = set_attributes(w, ino, rest, st, err);
		work_unlock(w);
	}
	if (rc == 0)
		rc = work_stat_counted(w, ino, ret, err);
	work_leave(w);
	return rc;
}
