/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/checked.h"
#include "fs/spool/merge_impl.h"

enum { FIRST_SLOTS = 64 };

static struct merge_group *slot_of(const struct merge *m, uint64_t ino)
{
	size_t at = (size_t)((ino * UINT64_C(0x9e3779b97f4a7c15)) >> 32) & (m->group_slots - 1);

	while (m->groups[at].group != 0 && m->groups[at].ino != ino)
		at = (at + 1) & (m->group_slots - 1);
	return &m->groups[at];
}

static bool grow_groups(struct merge *m)
{
	struct merge old = *m;

	if (m->group_count * 2 < m->group_slots)
		return true;
	m->group_slots = m->group_slots == 0 ? FIRST_SLOTS : m->group_slots * 2;
	m->groups = calloc(m->group_slots, sizeof(*m->groups));
	if (m->groups == NULL) {
		*m = old;
		return false;
	}
	for (size_t i = 0; i < old.group_slots; i++)
		if (old.groups[i].group != 0)
			*slot_of(m, old.groups[i].ino) = old.groups[i];
	free(old.groups);
	return true;
}

/* The base's groups keep their numbers; new ones count on from the highest that it gave. */
static int link_group(struct merge *m, const struct index_inode *inode, uint64_t *ret_group, struct error *err)
{
	*ret_group = 0;
	if (S_ISDIR(inode->mode) || inode->nlink < 2)
		return 0;
	*ret_group = inode->link_group;
	if (inode->link_group != 0)
		return 0;
	if (!grow_groups(m))
		return error_no_memory(err, "the table of links");
	struct merge_group *slot = slot_of(m, inode->ino);
	if (slot->group == 0) {
		*slot = (struct merge_group){.ino = inode->ino, .group = m->next_group++};
		m->group_count++;
	}
	*ret_group = slot->group;
	return 0;
}

/* What the overlay says of the inode. */
static void set_attributes(struct merge *m, const struct index_inode *inode, struct entry *e)
{
	*e = (struct entry){.mode = inode->mode,
		.uid = inode->uid,
		.gid = inode->gid,
		.user = owners_user_name(m->o->owners, inode->uid),
		.group = owners_group_name(m->o->owners, inode->gid),
		.mtime = inode->mtime,
		.ctime = inode->ctime,
		.nlink = S_ISDIR(inode->mode) ? 1 : inode->nlink,
		.rdev_major = inode->rdev_major,
		.rdev_minor = inode->rdev_minor,
		.xattrs = inode->xattrs.data,
		.xattrs_len = inode->xattrs.len,
		.xattr_ref = EXTENT_HOLE};
	if (S_ISREG(inode->mode))
		e->size = inode->size;
	if (S_ISLNK(inode->mode)) {
		e->target = inode->target.data;
		e->target_len = e->size = inode->target.len;
	}
}

/*
 * What the overlay does not know and the base does: an entry that was brought up only because something below it
 * changed is to be told just as it was.
 */
static void keep_of_base(const struct entry *was, const struct index_inode *inode, struct entry *e)
{
	if (was->uid == inode->uid)
		e->user = was->user;
	if (was->gid == inode->gid)
		e->group = was->group;
	e->inode = was->inode;
	if (S_ISDIR(inode->mode))
		e->nlink = was->nlink;
	if (!S_ISREG(inode->mode))
		e->disk_bytes = was->disk_bytes;
}

int merge_root(struct merge *m, const struct index_inode *inode, struct error *err)
{
	struct entry e;

	merge_progress(m->o);
	if (inode == NULL)
		return feed_root(m->feed, &m->base->top, err);
	set_attributes(m, inode, &e);
	if (m->base != NULL)
		keep_of_base(&m->base->top, inode, &e);
	return feed_root(m->feed, &e, err);
}

static int tell_entry(struct merge *m, const struct index_inode *inode, struct entry *e, struct error *err)
{
	struct merge_source source = {0};
	int r = merge_source(m, inode, e, &source, err);

	if (r < 0)
		return r;
	if (S_ISREG(inode->mode))
		e->disk_bytes = source.disk_bytes;
	if (!checked_add_u64(m->sums.bytes, S_ISREG(e->mode) ? e->size : 0, &m->sums.bytes))
		m->sums.bytes = UINT64_MAX;
	r = feed_entry(m->feed, e, &source.content, err);
	merge_source_release(m, &source);
	return r;
}

/* With the base's entry at hand, where the inode is one of the base. */
static int tell_with_base(struct merge *m, const struct index_inode *inode, struct entry *e, struct error *err)
{
	const struct node *leaf = NULL;
	const struct entry *was;
	int r = 0;

	if (m->base != NULL && inode->ino != INDEX_ROOT && inode->ino <= m->base->root.entries) {
		r = tree_at(m->nodes, &m->base->root, inode->ino - 1, &leaf, &was, err);
		if (r < 0)
			return r;
		keep_of_base(was, inode, e);
	}
	r = tell_entry(m, inode, e, err);
	if (leaf != NULL)
		m->nodes->put(m->nodes, leaf);
	return r;
}

int merge_tell(
	struct merge *m, const struct buf *prefix, const char *name, const struct index_inode *inode, struct error *err)
{
	struct buf key = {0};
	struct entry e;

	merge_progress(m->o);
	set_attributes(m, inode, &e);
	entry_key_put(&key, prefix->data, prefix->len, name, strlen(name));
	int r = buf_failed(&key) ? error_no_memory(err, "the key of an entry")
				 : link_group(m, inode, &e.link_group, err);
	e.key = key.data;
	e.key_len = key.len;
	if (r == 0)
		r = tell_with_base(m, inode, &e, err);
	buf_release(&key);
	if (r == 0)
		return 0;
	char *path = merge_path(prefix, name);
	r = error_wrap(err, r, "cannot save '%s'", path == NULL ? "?" : path);
	free(path);
	return r;
}
