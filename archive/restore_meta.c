/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "archive/restore_impl.h"

static int target_chown(const struct restore_target *t, uid_t uid, gid_t gid)
{
	return t->fd >= 0 ? fchown(t->fd, uid, gid) : fchownat(t->dirfd, t->name, uid, gid, AT_SYMLINK_NOFOLLOW);
}

static int target_chmod(const struct restore_target *t, mode_t mode)
{
	/* Of a name that is no link; links have no mode of their own. */
	return t->fd >= 0 ? fchmod(t->fd, mode) : fchmodat(t->dirfd, t->name, mode, 0);
}

static int target_times(const struct restore_target *t, const struct entry_time *mtime)
{
	const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = mtime->sec, .tv_nsec = mtime->nsec}};
	return t->fd >= 0 ? futimens(t->fd, times) : utimensat(t->dirfd, t->name, times, AT_SYMLINK_NOFOLLOW);
}

/* Said once: without root every single file would say the same. */
static void tell_owners(struct restore *r, const struct entry *entry, int sys_errno)
{
	if (atomic_exchange(&r->owner_told, true))
		return;
	if (sys_errno == 0)
		log_notice(r->repo->log, "owners are not restored, that needs root: all becomes this user's, and no "
					 "program keeps its set-user-id bit");
	else
		restore_warn(r, entry, "owners cannot be restored here: %s; this is said once", strerror(sys_errno));
}

enum owning { OWNER_WAS_RIGHT, OWNER_CHANGED, OWNER_WRONG };

static int set_owner(struct restore *r, const struct restore_target *t, const struct entry *entry, uid_t uid, gid_t gid,
	const struct stat *st, enum owning *ret_owning)
{
	*ret_owning = OWNER_WAS_RIGHT;
	if (st->st_uid == uid && st->st_gid == gid)
		return 0;
	*ret_owning = OWNER_WRONG;
	if (r->options->no_owner)
		return 0;
	if (!r->as_root) {
		tell_owners(r, entry, 0);
		return 0;
	}
	if (target_chown(t, uid, gid) == 0)
		*ret_owning = OWNER_CHANGED;
	else if (errno == EPERM || errno == EINVAL)
		tell_owners(r, entry, errno);
	else
		return restore_dest_failed(r, entry, errno, "cannot set its owner");
	return 0;
}

static int set_mode(struct restore *r, const struct restore_target *t, const struct entry *entry, const struct stat *st,
	enum owning owning)
{
	mode_t want = entry->mode & 07777;
	/* A program that ran as its owner must not come to run as someone else. */
	if (owning == OWNER_WRONG && S_ISREG(entry->mode))
		want &= ~(mode_t)06000;
	/* Changing the owner takes these bits away. */
	bool lost = owning == OWNER_CHANGED && (want & 07000);
	if (t->is_link || ((st->st_mode & 07777) == want && !lost))
		return 0;
	if (target_chmod(t, want) == 0)
		return 0;
	return restore_dest_failed(r, entry, errno, "cannot set its mode");
}

static bool same_mtime(const struct entry *entry, const struct stat *st)
{
	return st->st_mtim.tv_sec == entry->mtime.sec && (uint32_t)st->st_mtim.tv_nsec == entry->mtime.nsec;
}

int restore_meta_set(struct restore *r, const struct restore_target *target, const struct entry *entry, uid_t uid,
	gid_t gid, const struct stat *st, unsigned flags)
{
	enum owning owning;
	int status = set_owner(r, target, entry, uid, gid, st, &owning);
	if (status == 0)
		status = set_mode(r, target, entry, st, owning);
	/* After the owner: changing it drops capabilities. After the mode: an ACL's mask is part of it. */
	if (status == 0)
		status = restore_xattrs_set(r, target, entry, flags);
	if (status != 0)
		return status;
	if (!(flags & (RESTORE_META_NEW | RESTORE_META_TIMES)) && same_mtime(entry, st))
		return 0;
	if (target_times(target, &entry->mtime) == 0)
		return 0;
	return restore_dest_failed(r, entry, errno, "cannot set its time");
}
