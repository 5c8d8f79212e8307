/* SPDX-License-Identifier: MIT */
/* spool/ and the roots of working copies; what is in these is asked of fs/spool/work.h. */
#include <string.h>

#include "base/clock.h"
#include "fs/namespace_impl.h"

/* What is in the spool changes through this mount alone; links of one file may be known to the kernel by two ids. */
static const double spool_timeout = 60.0;
/* Requests that read from a slow store are not waited for: then it moves another time. */
static const int64_t moving_wait = CLOCK_SECOND;
enum { SPOOL_BLOCK = 1 << 20, COMMIT_MODE = 0666 };

void namespace_set_spool(struct namespace *ns, struct spool *spool)
{
	ns->spool = spool;
}

static int stale(struct error *err)
{
	return error_set(err, ERR_NOT_FOUND, "the working copy moved on");
}

void namespace_work_node(uint32_t number, const struct stat *st, struct namespace_node *ret)
{
	bool linked = !S_ISDIR(st->st_mode) && st->st_nlink > 1;
	*ret = (struct namespace_node){.id = nodeid_work(number, st->st_ino), .st = *st};
	ret->st.st_ino = ret->id;
	ret->st.st_blksize = SPOOL_BLOCK;
	ret->entry_timeout = ret->attr_timeout = linked ? 0 : spool_timeout;
}

void namespace_commit_node(struct namespace *ns, uint32_t number, struct namespace_node *ret)
{
	struct nodeid node = {.kind = NODEID_COMMIT, .number = number};
	int64_t now = clock_now();
	struct timespec t = {.tv_sec = now / CLOCK_SECOND, .tv_nsec = (long)(now % CLOCK_SECOND)};

	*ret = (struct namespace_node){.id = nodeid_make(&node), .entry_timeout = spool_timeout};
	ret->st = (struct stat){.st_ino = ret->id,
		.st_mode = S_IFREG | COMMIT_MODE,
		.st_nlink = 1,
		.st_uid = ns->uid,
		.st_gid = ns->gid,
		.st_blksize = SPOOL_BLOCK,
		.st_atim = t,
		.st_mtim = t,
		.st_ctim = t};
}

int namespace_work_find(struct namespace *ns, const struct nodeid *node, struct namespace_node *ret, struct error *err)
{
	struct stat st;
	struct work *work = worktable_find(ns->works, node->number);
	int rc = 0;
	if (work == NULL)
		return stale(err);
	if (node->kind == NODEID_COMMIT)
		namespace_commit_node(ns, node->number, ret);
	else if ((rc = work_getattr(work, node->ino, &st, err)) == 0)
		namespace_work_node(node->number, &st, ret);
	worktable_release(ns->works, node->number);
	return rc;
}

/* The root of a dataset's working copy, which is opened when it was not. */
static int enter(struct namespace *ns, const char *dataset, struct work *work, struct nodeid *ret, struct error *err)
{
	struct nodeid node = {.kind = NODEID_WORK, .number = worktable_number(ns->works, dataset), .ino = INDEX_ROOT};
	int rc = 0;
	if (node.number == 0) {
		const struct snapshot *base = work_base(work);
		rc = worktable_enter(ns->works, dataset, work, base != NULL ? base->number : 0, &node.number, err);
	}
	if (rc == 0)
		*ret = node;
	return rc;
}

int namespace_spool_lookup(struct namespace *ns, const char *dataset, struct nodeid *ret, struct error *err)
{
	struct work *work = NULL;
	if (ns->spool == NULL)
		return error_set(err, ERR_NOT_FOUND, "this mount has no spool");
	int rc = spool_work(ns->spool, dataset, &work, err);
	return rc < 0 ? rc : enter(ns, dataset, work, ret, err);
}

int namespace_spool_make(struct namespace *ns, const char *dataset, mode_t mode, struct work_owner owner,
	struct namespace_node *ret, struct error *err)
{
	struct work *work = NULL;
	struct nodeid node;
	struct stat st = {.st_mode = mode};
	if (ns->spool == NULL)
		return error_set(err, ERR_NOT_FOUND, "this mount has no spool");
	int rc = spool_make(ns->spool, dataset, owner, &work, err);
	if (rc == 0)
		rc = work_setattr(work, INDEX_ROOT, WORK_SET_MODE, &st, &st, err);
	if (rc == 0)
		rc = enter(ns, dataset, work, &node, err);
	if (rc == 0)
		namespace_work_node(node.number, &st, ret);
	return rc;
}

int namespace_spool_remove(struct namespace *ns, const char *dataset, struct error *err)
{
	if (ns->spool == NULL)
		return error_set(err, ERR_NOT_FOUND, "this mount has no spool");
	int rc = spool_remove(ns->spool, dataset, err);
	if (rc == 0)
		worktable_drop(ns->works, dataset);
	return rc;
}

bool namespace_spool_moving(struct namespace *ns, const char *dataset)
{
	return worktable_moving(ns->works, dataset, moving_wait);
}

void namespace_spool_moved(struct namespace *ns, const char *dataset, bool moved)
{
	struct work *work = worktable_work(ns->works, dataset);
	const struct snapshot *base = moved && work != NULL ? work_base(work) : NULL;
	if (moved)
		worktable_moved(ns->works, dataset, base != NULL ? base->number : 0);
	else
		worktable_stayed(ns->works, dataset);
}

uint32_t namespace_spool_count(struct namespace *ns)
{
	struct error ignored = ERROR_INIT;
	char **names = NULL;
	size_t count = 0;
	if (spool_datasets(ns->spool, &names, &count, &ignored) < 0)
		return 0;
	spool_names_free(names, count);
	return (uint32_t)count;
}
