/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "archive/restore_impl.h"

/* ---- one entry, by a worker ---- */

static void done(struct restore *r, const struct restore_item *item, uint64_t bytes)
{
	progress_add(r->options->progress, 0, 1);
	restore_event(r, "write", &item->entry, bytes);
}

/* Writes the content and gives the attributes. 0 and *ret_ok false: it was told why not. */
static int fill_file(struct restore_worker *w, const struct restore_job *job, const struct restore_item *item,
	const char *name, int fd, bool *ret_ok)
{
	struct restore *r = w->r;
	struct error why = ERROR_INIT;
	struct stat st;
	int sys_errno = 0;
	*ret_ok = false;
	int status = restore_content_write(w, item, fd, &sys_errno, &why);
	if (status == ERR_CANCELLED || (status != 0 && restore_stopped(r) != 0))
		return status;
	if (status != 0)
		return restore_lose(r, &item->entry, status, &why);
	if (sys_errno == 0 && fstat(fd, &st) != 0)
		sys_errno = errno;
	if (sys_errno != 0)
		return restore_dest_failed(r, &item->entry, sys_errno, "cannot write it");
	const struct restore_target target = {.fd = fd, .dirfd = job->dir->fd, .name = name};
	unsigned flags = RESTORE_META_NEW | (job->dir->inherits_acl ? RESTORE_META_CLEAN : 0);
	status = restore_meta_set(r, &target, &item->entry, item->uid, item->gid, &st, flags);
	*ret_ok = status == 0;
	return status;
}

/* Puts what was made under a temporary name in its place. 1: it could not be, which was told. */
static int put_in_place(
	struct restore *r, const struct restore_job *job, const struct restore_item *item, const char *temp)
{
	int dirfd = job->dir->fd;
	if (renameat(dirfd, temp, dirfd, item->name) == 0)
		return 0;
	if ((errno == EISDIR || errno == EEXIST || errno == ENOTEMPTY) &&
		restore_clear_way(r, dirfd, item->name, &item->entry) && renameat(dirfd, temp, dirfd, item->name) == 0)
		return 0;
	int kept = errno;
	struct stat st;
	unlinkat(dirfd, temp, 0);
	if (fstatat(dirfd, item->name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode))
		return 1; /* that a folder stays was told */
	int status = restore_dest_failed(r, &item->entry, kept, "cannot rename it into its place");
	return status < 0 ? status : 1;
}

/*
 * A small file in a folder that this run made is made under its own name: nobody waits for it there yet. All others
 * get it when they are whole.
 */
static int write_file(struct restore_worker *w, const struct restore_job *job, const struct restore_item *item)
{
	struct restore *r = w->r;
	char temp[RESTORE_TEMP_MAX];
	bool direct = job->dir->fresh && !item->file, ok = false;
	const char *name = item->name;
	/* Nobody may read what the mode forbids, not even while it is being written. */
	mode_t mode = item->uid == r->euid ? item->entry.mode & 0777 : item->entry.mode & 0700;
	int fd = -1;
	if (direct)
		fd = openat(job->dir->fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	if (fd < 0 && (!direct || errno == EEXIST)) {
		direct = false;
		restore_temp_name(temp);
		name = temp;
		fd = openat(job->dir->fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	}
	if (fd < 0)
		return restore_dest_failed(r, &item->entry, errno, "cannot make it");
	int status = fill_file(w, job, item, name, fd, &ok);
	/* Some file systems find out only now that they are full. */
	if (close(fd) != 0 && ok && errno != EINTR) {
		ok = false;
		status = restore_dest_failed(r, &item->entry, errno, "cannot write it");
	}
	if (!ok) {
		unlinkat(job->dir->fd, name, 0);
		return status;
	}
	if (!direct) {
		status = put_in_place(r, job, item, name);
		if (status != 0)
			return status < 0 ? status : 0;
	}
	atomic_fetch_add(&r->files, 1);
	done(r, item, item->entry.size);
	return 0;
}

static int make_other(int dirfd, const char *name, const struct restore_item *item)
{
	const struct entry *e = &item->entry;
	if (S_ISLNK(e->mode))
		return symlinkat((const char *)e->target, dirfd, name);
	return mknodat(dirfd, name, (e->mode & S_IFMT) | 0600, makedev(e->rdev_major, e->rdev_minor));
}

/* Links, fifos, sockets, devices. */
static int write_other(struct restore *r, const struct restore_job *job, const struct restore_item *item)
{
	char temp[RESTORE_TEMP_MAX];
	struct stat st;
	int dirfd = job->dir->fd;
	const char *name = item->name;
	bool direct = job->dir->fresh;
	int rc = direct ? make_other(dirfd, name, item) : -1;
	if (rc != 0 && (!direct || errno == EEXIST)) {
		direct = false;
		restore_temp_name(temp);
		name = temp;
		rc = make_other(dirfd, name, item);
	}
	if (rc != 0 && errno == EPERM && (S_ISCHR(item->entry.mode) || S_ISBLK(item->entry.mode))) {
		restore_warn(r, &item->entry, "a device is not made: that needs root");
		return 0;
	}
	if (rc != 0 || fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return restore_dest_failed(r, &item->entry, errno, "cannot make it");
	const struct restore_target target = {
		.fd = -1, .dirfd = dirfd, .name = name, .is_link = S_ISLNK(item->entry.mode)};
	unsigned flags = RESTORE_META_NEW | (job->dir->inherits_acl ? RESTORE_META_CLEAN : 0);
	int status = restore_meta_set(r, &target, &item->entry, item->uid, item->gid, &st, flags);
	if (status == 0 && !direct)
		status = put_in_place(r, job, item, name);
	if (status != 0)
		return status < 0 ? status : 0;
	atomic_fetch_add(&r->others, 1);
	done(r, item, 0);
	return 0;
}

/* By content, where that is asked for. */
static int same_content(
	struct restore_worker *w, const struct restore_job *job, const struct restore_item *item, bool *ret_same)
{
	struct error why = ERROR_INIT;
	uint64_t at;
	int sys_errno = 0;
	int fd = openat(job->dir->fd, item->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	*ret_same = false;
	if (fd < 0)
		return 0;
	int status = restore_content_compare(w, item, fd, ret_same, &at, &sys_errno, &why);
	close(fd);
	/* What cannot be read there is written anew; if it is the archive that fails, that will be told then. */
	if (status != 0 || sys_errno != 0)
		*ret_same = false;
	return status == ERR_CANCELLED ? status : 0;
}

/* Is it there already? Then only its attributes are set right. */
static int keep_existing(
	struct restore_worker *w, const struct restore_job *job, const struct restore_item *item, bool *ret_kept)
{
	struct restore *r = w->r;
	struct stat st;
	int status = 0;
	*ret_kept = false;
	if (job->dir->fresh || fstatat(job->dir->fd, item->name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return 0;
	if (r->options->checksum && S_ISREG(item->entry.mode)) {
		if (S_ISREG(st.st_mode) && (uint64_t)st.st_size == item->entry.size)
			status = same_content(w, job, item, ret_kept);
	} else {
		*ret_kept = restore_same(r, job->dir->fd, item->name, &item->entry, &st);
	}
	if (status != 0 || !*ret_kept)
		return status;
	const struct restore_target target = {
		.fd = -1, .dirfd = job->dir->fd, .name = item->name, .is_link = S_ISLNK(st.st_mode)};
	atomic_fetch_add(&r->unchanged, 1);
	progress_add(r->options->progress, item->entry.size, 1);
	return restore_meta_set(r, &target, &item->entry, item->uid, item->gid, &st, 0);
}

static void run_write(struct restore_job *job)
{
	struct restore_worker w = {.r = job->r};
	for (unsigned i = 0; i < job->count && restore_stopped(job->r) == 0; i++) {
		struct restore_item *item = &job->items[i];
		bool kept = false;
		int status = keep_existing(&w, job, item, &kept);
		if (status != 0 || kept)
			continue;
		if (S_ISREG(item->entry.mode))
			write_file(&w, job, item);
		else
			write_other(job->r, job, item);
		reader_file_close(item->file);
		item->file = NULL;
	}
	restore_worker_release(&w);
}

/* ---- the pass ---- */

static void flush(struct restore *r)
{
	restore_job_submit(r->job);
	r->job = NULL;
}

/* Tells the reader what chunks the small file will want, so that they are decoded by the time a worker comes to it. */
static void tell_ahead(struct restore *r, const struct restore_item *item)
{
	const struct entry *e = &item->entry;
	for (uint32_t i = 0; !item->file && i < e->extent_count; i++) {
		if (e->extents[i].ref == EXTENT_HOLE)
			continue;
		const struct chunk_ref *ref = &e->refs[e->extents[i].ref];
		if (id_equal(&ref->id, &r->told))
			continue;
		r->told = ref->id;
		reader_prefetch(r->reader, ref, 1);
	}
}

static int add_item(struct restore *r, const struct entry *entry, const char *name, struct error *err)
{
	struct error why = ERROR_INIT;
	if (!r->job)
		r->job = restore_job_new(r, r->dir, run_write);
	if (!r->job)
		return error_no_memory(err, "a job");
	int status = restore_job_add(r->job, entry, name, &why);
	if (status != 0) {
		status = restore_lose(r, entry, status, &why);
		if (status != 0 && err)
			*err = why;
		return status;
	}
	const struct restore_item *item = &r->job->items[r->job->count - 1];
	tell_ahead(r, item);
	/* A large file is a job's last, so that the small ones do not wait behind it. */
	if (item->file || restore_job_full(r->job))
		flush(r);
	return 0;
}

static void made_folder(struct restore *r, const uint8_t *prefix, size_t len)
{
	struct buf key = {0};
	atomic_fetch_add(&r->dirs, 1);
	if (!r->options->event)
		return;
	/* As a key: what lies in the folder above, 00, its own name without the 00 behind it. */
	size_t at = len - 1;
	while (at > 0 && prefix[at - 1] != 0)
		at--;
	entry_key_put(&key, prefix, at, prefix + at, len - 1 - at);
	const struct entry e = {.key = key.data, .key_len = key.len};
	if (!buf_failed(&key))
		restore_event(r, "write", &e, 0);
	buf_release(&key);
}

static int enter(struct restore *r, const uint8_t *prefix, size_t len, bool *ret_skip, struct error *err)
{
	struct error why = ERROR_INIT;
	flush(r);
	restore_dir_unref(r->dir);
	r->dir = NULL;
	if (r->skip_set && !restore_begins(prefix, len, &r->skip))
		r->skip_set = false;
	unsigned flags = RESTORE_DIR_MAKE | (r->skip_set || r->dest_made ? RESTORE_DIR_FRESH : 0);
	int status = restore_dir_open(r, prefix, len, flags, &r->dir, &why);
	if (status == ERR_NO_SPACE || status == ERR_NO_MEMORY || status == ERR_BUG) {
		if (err)
			*err = why;
		return status;
	}
	if (status != 0) {
		restore_warn_path(r, error_text(&why), "nothing in it is restored");
		*ret_skip = true;
		return 0;
	}
	if (r->dir->fresh && len > r->base.len)
		made_folder(r, prefix, len);
	/* All below a folder that is new is new. */
	if (r->dir->fresh && !r->skip_set) {
		buf_clear(&r->skip);
		buf_put(&r->skip, prefix, len);
		r->skip_set = !buf_failed(&r->skip);
	}
	return 0;
}

static int entry(struct restore *r, const struct entry *e, uint64_t rank, struct error *err)
{
	if (S_ISDIR(e->mode))
		return rank_list_add(&r->folders, rank, err);
	if (e->link_group != 0 && e->nlink > 1) {
		bool known;
		uint64_t first;
		int status = link_map_meet(&r->seen, e->link_group, rank, &known, &first, err);
		if (status == 0 && known) {
			status = rank_list_add(&r->links, rank, err);
			return status == 0 ? rank_list_add(&r->links, first, err) : status;
		}
		if (status != 0)
			return status;
	}
	return add_item(r, e, NULL, err);
}

int restore_write_all(struct restore *r, struct error *err)
{
	static const struct restore_pass pass = {.enter = enter, .entry = entry};
	r->skip_set = false;
	int status = restore_walk(r, &pass, err);
	if (status == 0)
		flush(r);
	restore_job_free(r->job);
	r->job = NULL;
	restore_dir_unref(r->dir);
	r->dir = NULL;
	pool_group_wait(&r->jobs);
	link_map_release(&r->seen);
	return status;
}

int restore_write_single(struct restore *r, struct error *err)
{
	const struct node *leaf = NULL;
	const struct entry *e = NULL;
	int status = tree_find(r->nodes, &r->snapshot->root, r->base_key.data, r->base_key.len, &leaf, &e, NULL, err);
	if (status != 0)
		return status;
	status = restore_dir_open(r, r->base.data, r->base.len, 0, &r->dir, err);
	if (status == 0)
		status = add_item(r, e, r->single_name, err);
	if (status == 0)
		flush(r);
	restore_job_free(r->job);
	r->job = NULL;
	restore_dir_unref(r->dir);
	r->dir = NULL;
	pool_group_wait(&r->jobs);
	r->nodes->put(r->nodes, leaf);
	return status;
}
