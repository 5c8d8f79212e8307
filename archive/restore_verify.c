/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "archive/restore_impl.h"

/* The file at DEST is not what the archive holds. The run ends with an error, but looks at the others first. */
static void mismatch(struct restore *r, const struct restore_item *item, uint64_t at)
{
	struct error why = ERROR_INIT;
	error_set(&why, ERR_CORRUPT,
		"what was read back is not what the archive holds, from byte %llu on; restore it again with --checksum",
		(unsigned long long)at);
	(void)restore_lose(r, &item->entry, ERR_CORRUPT, &why);
}

static void verify_item(struct restore_worker *w, const struct restore_job *job, const struct restore_item *item)
{
	struct restore *r = w->r;
	struct error why = ERROR_INIT;
	bool same = false;
	uint64_t at = 0;
	int sys_errno = 0;
	int fd = openat(job->dir->fd, item->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0) {
		error_set_errno(&why, errno, "cannot read it back");
		(void)restore_lose(r, &item->entry, ERR_IO, &why);
		return;
	}
	/* So that it is the disk that is read, where everything has gone to it by now. */
	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	int status = restore_content_compare(w, item, fd, &same, &at, &sys_errno, &why);
	close(fd);
	if (status == 0 && sys_errno != 0) {
		error_set_errno(&why, sys_errno, "cannot read it back");
		status = ERR_IO;
	}
	if (status != 0 && restore_stopped(r) == 0)
		(void)restore_lose(r, &item->entry, status, &why);
	else if (status == 0 && !same)
		mismatch(r, item, at);
	else if (status == 0)
		atomic_fetch_add(&r->verified, 1);
}

static void run_verify(struct restore_job *job)
{
	struct restore_worker w = {.r = job->r};
	for (unsigned i = 0; i < job->count && restore_stopped(job->r) == 0; i++)
		verify_item(&w, job, &job->items[i]);
	restore_worker_release(&w);
}

static int add_item(struct restore *r, const struct entry *e, const char *name, struct error *err)
{
	struct error why = ERROR_INIT;
	if (!r->job)
		r->job = restore_job_new(r, r->dir, run_verify);
	if (!r->job)
		return error_no_memory(err, "a job");
	int status = restore_job_add(r->job, e, name, &why);
	if (status != 0) {
		status = restore_lose(r, e, status, &why);
		if (status != 0 && err)
			*err = why;
		return status;
	}
	if (r->job->items[r->job->count - 1].file || restore_job_full(r->job)) {
		restore_job_submit(r->job);
		r->job = NULL;
	}
	return 0;
}

static int enter(struct restore *r, const uint8_t *prefix, size_t len, bool *ret_skip, struct error *err)
{
	struct error why = ERROR_INIT;
	restore_job_submit(r->job);
	r->job = NULL;
	restore_dir_unref(r->dir);
	r->dir = NULL;
	int status = restore_dir_open(r, prefix, len, 0, &r->dir, &why);
	if (status == ERR_NO_MEMORY) {
		if (err)
			*err = why;
		return status;
	}
	/* What could not be made was told when it was tried. */
	*ret_skip = status != 0;
	return 0;
}

static int entry(struct restore *r, const struct entry *e, uint64_t rank, struct error *err)
{
	(void)rank;
	return S_ISREG(e->mode) ? add_item(r, e, NULL, err) : 0;
}

static int verify_single(struct restore *r, struct error *err)
{
	const struct node *leaf = NULL;
	const struct entry *e = NULL;
	int status = tree_find(r->nodes, &r->snapshot->root, r->base_key.data, r->base_key.len, &leaf, &e, NULL, err);
	if (status != 0)
		return status;
	status = restore_dir_open(r, r->base.data, r->base.len, 0, &r->dir, err);
	if (status == 0 && S_ISREG(e->mode))
		status = add_item(r, e, r->single_name, err);
	r->nodes->put(r->nodes, leaf);
	return status;
}

int restore_verify_all(struct restore *r, struct error *err)
{
	static const struct restore_pass pass = {.enter = enter, .entry = entry, .quiet = true};
	(void)syncfs(r->dest_fd); /* where it fails the pages stay, and are what is read */
	int status = r->single ? verify_single(r, err) : restore_walk(r, &pass, err);
	if (status == 0)
		restore_job_submit(r->job);
	else
		restore_job_free(r->job);
	r->job = NULL;
	restore_dir_unref(r->dir);
	r->dir = NULL;
	pool_group_wait(&r->jobs);
	return status;
}
