/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "archive/restore_impl.h"
#include "base/checked.h"

enum { ROOM_BLOCK = 4096 };

bool restore_same(
	const struct restore *r, int dirfd, const char *name, const struct entry *entry, const struct stat *st)
{
	char target[ENTRY_TARGET_MAX + 2];
	(void)r;
	if ((entry->mode & S_IFMT) != (st->st_mode & S_IFMT))
		return false;
	if (S_ISREG(st->st_mode))
		return (uint64_t)st->st_size == entry->size && st->st_mtim.tv_sec == entry->mtime.sec &&
		       (uint32_t)st->st_mtim.tv_nsec == entry->mtime.nsec;
	if (S_ISLNK(st->st_mode)) {
		ssize_t n = readlinkat(dirfd, name, target, sizeof(target));
		return n >= 0 && (size_t)n == entry->target_len && memcmp(target, entry->target, (size_t)n) == 0;
	}
	if (S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode))
		return major(st->st_rdev) == entry->rdev_major && minor(st->st_rdev) == entry->rdev_minor;
	return true;
}

/* The disk that a file's content takes; what its source took where only that is known. */
static uint64_t room_of(const struct entry *e)
{
	uint64_t data = 0;
	if (!S_ISREG(e->mode))
		return S_ISDIR(e->mode) ? ROOM_BLOCK : 0;
	if (e->piece_count > 0)
		data = e->disk_bytes > 0 && e->disk_bytes < e->size ? e->disk_bytes : e->size;
	for (uint32_t i = 0; i < e->extent_count; i++)
		if (e->extents[i].ref != EXTENT_HOLE)
			data += e->extents[i].length;
	return data > UINT64_MAX - ROOM_BLOCK ? data : (data + ROOM_BLOCK - 1) / ROOM_BLOCK * ROOM_BLOCK;
}

static void count(struct restore *r, const struct entry *e, bool link)
{
	const bool regular = S_ISREG(e->mode);
	uint64_t bytes = regular && !link ? e->size : 0;
	r->planned_items++;
	r->planned_bytes += bytes;
	if (!r->options->dry_run)
		return;
	atomic_fetch_add(regular ? &r->files : S_ISDIR(e->mode) ? &r->dirs : &r->others, 1);
	atomic_fetch_add(&r->bytes, bytes);
	restore_event(r, "write", e, bytes);
}

static bool is_full_folder(int dirfd, const char *name)
{
	bool full = false;
	int fd = restore_dir_at(dirfd, name);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	for (struct dirent *d; dir && !full && (d = readdir(dir)) != NULL;)
		full = strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0;
	if (dir)
		closedir(dir);
	else if (fd >= 0)
		close(fd);
	return full;
}

/* What writing would clear away, as restore_clear_way() does: a dry run tells it like all else that is deleted. */
static void tell_cleared(struct restore *r, int dirfd, const char *name, const struct entry *e)
{
	if (!r->options->dry_run || !r->options->delete_extra || S_ISDIR(e->mode) || !is_full_folder(dirfd, name))
		return;
	char *path = restore_path(r, e->key, e->key_len);
	restore_remove(r, dirfd, name, path ? path : name, false);
	free(path);
}

/* What stands at DEST in place of the entry; false: nothing. *ret_room: the disk that replacing it gives back. */
static bool is_there(struct restore *r, const struct entry *e, bool *ret_same, uint64_t *ret_room)
{
	char name[ENTRY_NAME_MAX + 1];
	struct stat st;
	size_t len;
	const uint8_t *own = restore_name(e, &len);
	*ret_room = 0;
	if (!r->dir)
		return false;
	memcpy(name, own, len);
	name[len] = '\0';
	if (fstatat(r->dir->fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return false;
	*ret_same = restore_same(r, r->dir->fd, name, e, &st);
	if (S_ISDIR(st.st_mode))
		tell_cleared(r, r->dir->fd, name, e);
	if (S_ISREG(st.st_mode) && st.st_nlink == 1)
		*ret_room = (uint64_t)st.st_blocks * 512;
	return true;
}

static void need(struct restore *r, uint64_t room)
{
	uint64_t needed = atomic_load(&r->needed);
	atomic_store(&r->needed, checked_add_u64(needed, room, &needed) ? needed : UINT64_MAX);
}

void restore_plan_entry(struct restore *r, const struct entry *entry)
{
	if (r->single && r->dest_fd >= 0)
		tell_cleared(r, r->dest_fd, r->single_name, entry);
	need(r, room_of(entry));
	count(r, entry, false);
}

static int plan_entry(struct restore *r, const struct entry *e, uint64_t rank, struct error *err)
{
	bool link = false, same = false;
	uint64_t first, given, room = room_of(e);
	if (e->link_group != 0 && e->nlink > 1 && !S_ISDIR(e->mode)) {
		int status = link_map_meet(&r->seen, e->link_group, rank, &link, &first, err);
		if (status != 0)
			return status;
		room = link ? 0 : room;
	}
	if (is_there(r, e, &same, &given) && same) {
		if (r->options->dry_run && !S_ISDIR(e->mode))
			atomic_fetch_add(&r->unchanged, 1);
		return 0;
	}
	need(r, room > given ? room - given : 0);
	/* What is replaced goes only when the new file is whole: for a while both are there. */
	if (min_u64(room, given) > r->replaced_max)
		r->replaced_max = min_u64(room, given);
	count(r, e, link);
	return 0;
}

static int plan_enter(struct restore *r, const uint8_t *prefix, size_t len, bool *ret_skip, struct error *err)
{
	struct error why = ERROR_INIT;
	(void)ret_skip;
	restore_dir_unref(r->dir);
	r->dir = NULL;
	/* What lies below a folder that is not there is not there either. */
	if (r->skip_set && restore_begins(prefix, len, &r->skip))
		return 0;
	r->skip_set = false;
	int status = restore_dir_open(r, prefix, len, 0, &r->dir, &why);
	if (status == ERR_NO_MEMORY && err)
		*err = why;
	if (status == ERR_NO_MEMORY)
		return status;
	if (status != 0) {
		buf_clear(&r->skip);
		buf_put(&r->skip, prefix, len);
		r->skip_set = !buf_failed(&r->skip);
	}
	return 0;
}

int restore_plan(struct restore *r, struct error *err)
{
	static const struct restore_pass pass = {.enter = plan_enter, .entry = plan_entry, .quiet = true};
	int status = restore_walk(r, &pass, err);
	need(r, r->replaced_max);
	restore_dir_unref(r->dir);
	r->dir = NULL;
	r->skip_set = false;
	link_map_release(&r->seen);
	if (status == 0)
		progress_total(r->options->progress, r->planned_bytes, r->planned_items);
	return status;
}

/* Of the folder that DEST is or will lie in. */
static int room_at(struct restore *r, struct statvfs *ret, struct error *err)
{
	if (r->dest_fd >= 0)
		return fstatvfs(r->dest_fd, ret) == 0 ? 0 : error_set_errno(err, errno, "cannot look at '%s'", r->dest);
	char *path = strdup(r->dest);
	int rc = -1;
	for (char *slash = path; slash; slash = strrchr(path, '/')) {
		if (slash != path)
			*slash = '\0';
		rc = statvfs(*path ? path : "/", ret);
		if (rc == 0 || !strchr(path, '/'))
			break;
	}
	if (rc != 0 && path && *path != '/')
		rc = statvfs(".", ret);
	free(path);
	return rc == 0 ? 0 : error_set_errno(err, errno, "cannot look at '%s'", r->dest);
}

int restore_check_room(struct restore *r, struct error *err)
{
	struct statvfs fs;
	char have[PROGRESS_TEXT_MAX], want[PROGRESS_TEXT_MAX], missing[PROGRESS_TEXT_MAX];
	uint64_t given = 0, needed = atomic_load(&r->needed), room;
	int status = room_at(r, &fs, err);
	if (status != 0)
		return status;
	if (__builtin_mul_overflow((uint64_t)(r->as_root ? fs.f_bfree : fs.f_bavail), (uint64_t)fs.f_frsize, &room))
		room = UINT64_MAX;
	if (needed <= room)
		return 0;
	if (r->options->delete_extra) {
		status = restore_delete_extra(r, true, &given, err);
		if (status != 0)
			return status;
	}
	if (!checked_add_u64(room, given, &room) || needed <= room)
		return 0;
	progress_human_bytes(room, have);
	progress_human_bytes(needed, want);
	progress_human_bytes(needed - room, missing);
	return error_set(err, ERR_NO_SPACE,
		"'%s' has room for %s and %s are needed: %s are missing; nothing was written", r->dest, have, want,
		missing);
}
