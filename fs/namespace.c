/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "fs/namespace_impl.h"

enum { FOLDER_SIZE = 4096 };
/* Below a snapshot's root nothing ever changes; names of datasets and snapshots come and go; the rest moves. */
static const double forever = 86400.0 * 365, while_named = 1.0, never = 0.0, brief = NAMESPACE_BRIEF_MS / 1e3;

struct namespace *namespace_new(struct view *view, uid_t uid, gid_t gid)
{
	struct namespace *ns = calloc(1, sizeof(*ns));
	if (ns == NULL)
		return NULL;
	*ns = (struct namespace){
		.view = view, .uid = uid, .gid = gid, .endings = endings_new(), .works = worktable_new()};
	pthread_mutex_init(&ns->lock, NULL);
	if (ns->endings != NULL && ns->works != NULL)
		return ns;
	namespace_free(ns);
	return NULL;
}

void namespace_free(struct namespace *ns)
{
	if (ns == NULL)
		return;
	worktable_free(ns->works);
	endings_free(ns->endings);
	epoch_unref(ns->epoch);
	pthread_mutex_destroy(&ns->lock);
	free(ns);
}

struct worktable *namespace_works(struct namespace *ns)
{
	return ns->works;
}

struct view *namespace_view(struct namespace *ns)
{
	return ns->view;
}

const struct epoch *namespace_epoch(struct namespace *ns)
{
	pthread_mutex_lock(&ns->lock);
	const struct epoch *e = epoch_ref(ns->epoch);
	pthread_mutex_unlock(&ns->lock);
	return e;
}

bool namespace_is_shown(struct namespace *ns, const struct epoch *epoch)
{
	pthread_mutex_lock(&ns->lock);
	bool shown = ns->epoch == epoch;
	pthread_mutex_unlock(&ns->lock);
	return shown;
}

void namespace_show(struct namespace *ns, const struct epoch *epoch)
{
	pthread_mutex_lock(&ns->lock);
	const struct epoch *old = ns->epoch;
	ns->epoch = epoch;
	pthread_mutex_unlock(&ns->lock);
	epoch_unref(old);
}

const struct epoch_dataset *namespace_dataset(const struct epoch *e, const struct nodeid *node)
{
	return epoch_dataset_by_tag(e, node->tag);
}

const struct snapshot *namespace_point(const struct epoch *e, int64_t moment)
{
	const struct snapshot *newest = NULL;
	for (size_t i = 0; i < e->dataset_count; i++) {
		const struct snapshot *s = snapset_at(e->set, e->datasets[i].name, moment);
		if (s != NULL && (newest == NULL || s->time > newest->time))
			newest = s;
	}
	return newest;
}

static int gone(struct error *err)
{
	return error_set(err, ERR_NOT_FOUND, "no such file or folder");
}

/* When the folder last changed: with the newest snapshot that it shows. */
static int64_t changed(const struct epoch *e, const struct nodeid *node)
{
	int64_t newest = 0;
	for (size_t i = 0; i < e->dataset_count; i++) {
		const struct epoch_dataset *d = &e->datasets[i];
		if (node->tag != 0 && node->tag != d->tag)
			continue;
		int64_t time = epoch_newest(e, d)->time;
		newest = time > newest ? time : newest;
	}
	return newest;
}

static void virtual_stat(struct namespace *ns, mode_t mode, int64_t time, struct namespace_node *ret)
{
	struct timespec t = {.tv_sec = time / CLOCK_SECOND, .tv_nsec = (long)(time % CLOCK_SECOND)};
	ret->st = (struct stat){.st_ino = ret->id,
		.st_mode = mode,
		.st_nlink = 1,
		.st_uid = ns->uid,
		.st_gid = ns->gid,
		.st_size = S_ISDIR(mode) ? FOLDER_SIZE : 0,
		.st_blksize = FOLDER_SIZE,
		.st_atim = t,
		.st_mtim = t,
		.st_ctim = t};
}

void namespace_entry_node(const struct view_entry *entry, struct namespace_node *ret)
{
	ret->id = nodeid_entry(entry->snapshot->number, entry->rank);
	ret->entry_timeout = entry->rank == 0 ? while_named : forever;
	ret->attr_timeout = forever;
	view_stat(entry, &ret->st);
}

/* A symlink that stands for a snapshot. */
static int link_node(struct namespace *ns, const struct epoch *e, const struct nodeid *node, struct namespace_node *ret,
	struct error *err)
{
	const struct snapshot *s = epoch_snapshot(e, node->number);
	struct buf target = {0};
	struct namespace_node n = {.id = nodeid_make(node), .entry_timeout = never, .attr_timeout = never};

	if (s == NULL)
		return gone(err);
	/* A program that walks files under latest/ names it in every call. */
	if (node->kind == NODEID_LATEST && namespace_is_shown(ns, e))
		n.entry_timeout = brief;
	int rc = namespace_readlink(ns, e, n.id, &target, err);
	if (rc == 0) {
		virtual_stat(ns, S_IFLNK | 0777, s->time, &n);
		n.st.st_size = (off_t)target.len;
		*ret = n;
	}
	buf_release(&target);
	return rc;
}

static int entry_node(struct namespace *ns, const struct epoch *e, const struct nodeid *node,
	struct namespace_node *ret, struct error *err)
{
	struct view_entry entry;
	const struct snapshot *s = epoch_snapshot(e, node->number);
	if (s == NULL)
		return gone(err);
	int rc = view_at(ns->view, s, node->rank, &entry, err);
	if (rc < 0)
		return rc;
	namespace_entry_node(&entry, ret);
	view_put(ns->view, &entry);
	return 0;
}

static int folder_node(struct namespace *ns, const struct epoch *e, const struct nodeid *node,
	struct namespace_node *ret, struct error *err)
{
	struct namespace_node n = {.id = nodeid_make(node), .entry_timeout = while_named, .attr_timeout = while_named};
	int64_t time = 0;

	if (node->tag != 0 && namespace_dataset(e, node) == NULL)
		return gone(err);
	if (node->kind == NODEID_SPOOL && ns->spool == NULL)
		return gone(err);
	if (node->kind == NODEID_POINT) {
		const struct snapshot *s = epoch_snapshot(e, node->number);
		if (s == NULL)
			return gone(err);
		time = s->time;
		n.entry_timeout = n.attr_timeout = never;
	} else {
		time = changed(e, node);
	}
	virtual_stat(ns, S_IFDIR | 0755, time, &n);
	if (node->kind == NODEID_SPOOL)
		n.st.st_nlink = 2 + namespace_spool_count(ns);
	*ret = n;
	return 0;
}

static int find_node(struct namespace *ns, const struct epoch *e, const struct nodeid *node, struct namespace_node *ret,
	struct error *err)
{
	switch (node->kind) {
	case NODEID_ENTRY:
		return entry_node(ns, e, node, ret, err);
	case NODEID_LATEST:
	case NODEID_AT_LINK:
	case NODEID_POINT_LINK:
	case NODEID_ENDING_LINK:
		return link_node(ns, e, node, ret, err);
	case NODEID_STATUS:
		*ret = (struct namespace_node){
			.id = NODEID_STATUS, .entry_timeout = while_named, .attr_timeout = never};
		virtual_stat(ns, S_IFREG | 0444, clock_now(), ret);
		return 0;
	case NODEID_WORK:
	case NODEID_COMMIT:
		return namespace_work_find(ns, node, ret, err);
	case NODEID_SPOOL:
	case NODEID_ROOT:
	case NODEID_FACTS:
	case NODEID_POINTS:
	case NODEID_DATASET:
	case NODEID_DATASET_AT:
	case NODEID_POINT:
		break;
	}
	return folder_node(ns, e, node, ret, err);
}

int namespace_node(
	struct namespace *ns, const struct epoch *e, uint64_t id, struct namespace_node *ret, struct error *err)
{
	struct nodeid node;
	return nodeid_parse(id, &node) ? find_node(ns, e, &node, ret, err) : gone(err);
}

/* "NAME/file" of the snapshot's file with that rank. */
static int ending_target(
	struct namespace *ns, const struct snapshot *s, uint32_t rank, struct buf *ret, struct error *err)
{
	struct view_entry entry;
	size_t prefix_len = 0, name_len = 0;
	const uint8_t *name = NULL;
	int rc = view_at(ns->view, s, rank, &entry, err);
	if (rc < 0)
		return rc;
	if (entry_key_split(entry.entry->key, entry.entry->key_len, &prefix_len, &name, &name_len)) {
		buf_put(ret, s->name, strlen(s->name));
		buf_put_u8(ret, '/');
		buf_put(ret, name, name_len);
	} else {
		rc = error_set(err, ERR_CORRUPT, "an entry of '%s/%s' has a key that is none", s->dataset, s->name);
	}
	view_put(ns->view, &entry);
	return rc;
}

static int entry_target(
	struct namespace *ns, const struct snapshot *s, uint32_t rank, struct buf *ret, struct error *err)
{
	struct view_entry entry;
	int rc = view_at(ns->view, s, rank, &entry, err);
	if (rc < 0)
		return rc;
	if (S_ISLNK(entry.entry->mode))
		buf_put(ret, entry.entry->target, entry.entry->target_len);
	else
		rc = error_set(err, ERR_USAGE, "not a symlink");
	view_put(ns->view, &entry);
	return rc;
}

int namespace_readlink(struct namespace *ns, const struct epoch *e, uint64_t id, struct buf *ret, struct error *err)
{
	struct nodeid node;
	int rc = 0;
	if (!nodeid_parse(id, &node) || node.number == 0 || nodeid_in_spool(id))
		return error_set(err, ERR_USAGE, "not a symlink");
	const struct snapshot *s = epoch_snapshot(e, node.number);
	if (s == NULL)
		return gone(err);
	if (node.kind == NODEID_ENTRY)
		rc = entry_target(ns, s, node.rank, ret, err);
	else if (node.kind == NODEID_ENDING_LINK)
		rc = ending_target(ns, s, node.rank, ret, err);
	else if (node.kind == NODEID_POINT)
		rc = error_set(err, ERR_USAGE, "not a symlink");
	else {
		buf_put(ret, "../../", node.kind == NODEID_POINT_LINK ? 6 : node.kind == NODEID_AT_LINK ? 3 : 0);
		if (node.kind == NODEID_POINT_LINK) {
			buf_put(ret, s->dataset, strlen(s->dataset));
			buf_put_u8(ret, '/');
		}
		buf_put(ret, s->name, strlen(s->name));
	}
	return rc == 0 && buf_failed(ret) ? error_no_memory(err, "the target of a link") : rc;
}

bool namespace_ref(
	const struct epoch *e, const struct nodeid *node, const char **ret_dataset, const char **ret_snapshot)
{
	*ret_dataset = *ret_snapshot = "";
	if (node->kind == NODEID_ENTRY) {
		const struct snapshot *s = epoch_snapshot(e, node->number);
		if (s == NULL)
			return false;
		*ret_dataset = s->dataset;
		*ret_snapshot = s->name;
		return true;
	}
	if (node->kind == NODEID_DATASET) {
		const struct epoch_dataset *d = namespace_dataset(e, node);
		if (d == NULL)
			return false;
		*ret_dataset = d->name;
		return true;
	}
	return node->kind == NODEID_ROOT;
}
