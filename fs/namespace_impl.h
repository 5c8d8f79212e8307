/* SPDX-License-Identifier: MIT */
#ifndef FS_NAMESPACE_IMPL_H
#define FS_NAMESPACE_IMPL_H

/* What the namespace_* files share: the struct, and finding what a node id stands for. */

#include <pthread.h>

#include "fs/namespace.h"

struct namespace
{
	struct view *view;
	struct endings *endings;
	uid_t uid;
	gid_t gid;
	struct spool *spool; /* NULL: this mount has none */
	struct worktable *works;
	pthread_mutex_t lock;
	const struct epoch *epoch; /* under the lock */
};

/* The dataset of a node that has a tag; NULL: it is gone. */
const struct epoch_dataset *namespace_dataset(const struct epoch *e, const struct nodeid *node);
/* The newest snapshot of any dataset as of a moment, by which a restore point is known. NULL: there is none. */
const struct snapshot *namespace_point(const struct epoch *e, int64_t moment);

/* A node of the spool's: of a working copy, or a .commit. ERR_NOT_FOUND: it is gone. */
int namespace_work_find(struct namespace *ns, const struct nodeid *node, struct namespace_node *ret, struct error *err);
/* The root of a dataset's working copy. ERR_NOT_FOUND: no such dataset. */
int namespace_spool_lookup(struct namespace *ns, const char *dataset, struct nodeid *ret, struct error *err);
/* How many folders spool/ has. There must be a spool. */
uint32_t namespace_spool_count(struct namespace *ns);

#endif
