/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "archive/feed_impl.h"

void told_close(struct backup *b, struct told *told)
{
	if (!told->open)
		return;
	told->open = false;
	if (told->reader.close != NULL)
		told->reader.close(told->reader.arg);
	atomic_fetch_sub(&b->folders, 1);
}

void told_free(struct backup *b, struct told *told)
{
	if (told == NULL)
		return;
	told_close(b, told);
	buf_release(&told->new_prefix);
	item_free(b, told->old);
	free(told->changes);
	free(told);
}

size_t told_weight(const struct told *told)
{
	size_t sum = sizeof(*told) + told->new_prefix.cap + told->change_count * sizeof(*told->changes);

	return told->old == NULL ? sum : sum + item_weight(told->old);
}

/* The reader is the item's from here on, also on failure. Open ones count as folders do: both may hold a file open. */
static int put_told(struct backup *b, struct item *item, const struct feed_content *content, struct error *err)
{
	bool reads = content->source == FEED_READ || content->source == FEED_PATCH;

	item->told = calloc(1, sizeof(*item->told));
	if (item->told == NULL) {
		if (reads && content->reader.close != NULL)
			content->reader.close(content->reader.arg);
		return error_no_memory(err, "an entry");
	}
	if (reads) {
		item->told->reader = content->reader;
		item->told->open = true;
		atomic_fetch_add(&b->folders, 1);
	}
	return 0;
}

/* They stand in the entry, or in a piece that its refs name; the builder makes a piece of them again. */
static int put_xattrs(struct feed *f, struct item *item, const struct entry *entry, struct error *err)
{
	item->entry.xattr_ref = EXTENT_HOLE;
	if (entry->xattrs_len == 0 && entry->xattr_ref < entry->ref_count)
		return entry_xattrs(reader_nodes(f->b->reader), entry, &item->xattrs, err);
	buf_put(&item->xattrs, entry->xattrs, entry->xattrs_len);
	return 0;
}

static int put_attributes(struct feed *f, struct item *item, const struct entry *entry, struct error *err)
{
	const uint8_t *name;
	size_t prefix_len, name_len;
	struct entry *e = &item->entry;

	if (!entry_key_ok(entry->key, entry->key_len) ||
		!entry_key_split(entry->key, entry->key_len, &prefix_len, &name, &name_len))
		return error_set(err, ERR_BUG, "an entry was told under a key that is none");
	*e = (struct entry){.mode = entry->mode,
		.uid = entry->uid,
		.gid = entry->gid,
		.user = feed_owner(f, entry->user),
		.group = feed_owner(f, entry->group),
		.mtime = entry->mtime,
		.ctime = entry->ctime,
		.inode = entry->inode,
		.size = S_ISDIR(entry->mode) ? 0 : entry->size,
		.disk_bytes = entry->disk_bytes,
		.link_group = entry->link_group,
		.nlink = entry->nlink,
		.rdev_major = entry->rdev_major,
		.rdev_minor = entry->rdev_minor,
		.flags = entry->flags & ~(unsigned)ENTRY_HAS_CONTENT_HASH};
	buf_put(&item->key, entry->key, entry->key_len);
	buf_put(&item->target, entry->target, entry->target_len);
	int r = put_xattrs(f, item, entry, err);
	item->name = strndup((const char *)name, name_len);
	item->top = prefix_len == 0;
	item->member = S_ISREG(entry->mode) && complete_pgdir_name((const char *)name, name_len);
	if (r == 0 && (item->name == NULL || e->user == NULL || e->group == NULL || buf_failed(&item->key) ||
			      buf_failed(&item->target) || buf_failed(&item->xattrs)))
		r = error_no_memory(err, "an entry");
	return r;
}

/* No bytes at all. An empty file may claim by its name to be a dump. */
static int plan_none(struct backup *b, struct item *item, struct error *err)
{
	if (!S_ISREG(item->entry.mode))
		return 0;
	if (item->entry.size != 0)
		return error_set(err, ERR_BUG, "'%s' was told without the bytes that it has", item->name);
	item->data = malloc(1);
	return item->data == NULL ? error_no_memory(err, "an entry") : small_finish(b, item, err);
}

/* Content of another entry, unread. */
static int plan_taken(struct backup *b, struct item *item, const struct entry *from, struct error *err)
{
	if (from == NULL || !S_ISREG(item->entry.mode) || from->size != item->entry.size)
		return error_set(err, ERR_BUG, "'%s' was told with the bytes of another kind of entry", item->name);
	item->told->taken = true;
	item->entry.content = from->content;
	item->entry.flags |= from->flags & ENTRY_HAS_CONTENT_HASH;
	int r = item_copy_extents(item, from, err);
	return r == 0 ? judge_plan_taken(b, item, from, err) : r;
}

/* The links of one file are told one by one; the first one's bytes are read. */
static int meet_link(struct backup *b, struct item *item, struct error *err)
{
	const struct entry *e = &item->entry;
	const struct stat st = {.st_ino = e->link_group, .st_nlink = e->nlink};

	return e->link_group == 0 || e->nlink < 2 ? 0 : links_meet(b, item, &st, e->link_group, err);
}

/* What stood there before: a file that was written again as it was is not stored again. */
static int find_prior(struct backup *b, struct item *item, struct error *err)
{
	const struct snapshot *last = b->feed->options->last != NULL ? b->feed->options->last : b->parent;
	struct node_source *nodes = reader_nodes(b->reader);
	const struct node *leaf;
	const struct entry *entry;

	if (last == NULL)
		return 0;
	int r = tree_find(nodes, &last->root, item->key.data, item->key.len, &leaf, &entry, NULL, err);
	if (r == ERR_NOT_FOUND) {
		if (err != NULL)
			error_clear(err);
		return 0;
	}
	if (r < 0)
		return r;
	r = item_keep_prior(item, entry, err);
	nodes->put(nodes, leaf);
	return r;
}

/* A small file is read whole: its bytes lie beside those of others. */
static int plan_read(struct backup *b, struct item *item, const struct feed_content *content, struct error *err)
{
	uint64_t size = item->entry.size;

	if (!S_ISREG(item->entry.mode) || item->told->reader.read == NULL)
		return error_set(err, ERR_BUG, "'%s' was told to be read and cannot", item->name);
	int r = meet_link(b, item, err);
	if (r < 0)
		return r;
	if (item->link != NULL && !item->link_first) {
		told_close(b, item->told);
		return 0;
	}
	item->work = size < b->repo->config.small_file ? WORK_SMALL : WORK_LARGE;
	item->charged = item->work == WORK_SMALL ? (size_t)size : 0;
	item->read = false;
	if (item->work == WORK_SMALL)
		return content->is_changed ? find_prior(b, item, err) : 0;
	return content->source == FEED_PATCH ? patch_plan(item, content, err) : 0;
}

static int plan_content(struct feed *f, struct item *item, const struct feed_content *content, struct error *err)
{
	switch (content->source) {
	case FEED_NONE:
		return plan_none(f->b, item, err);
	case FEED_ENTRY:
		return plan_taken(f->b, item, content->entry, err);
	default:
		return plan_read(f->b, item, content, err);
	}
}

int feed_entry(struct feed *f, const struct entry *entry, const struct feed_content *content, struct error *err)
{
	static const struct feed_content none = {.source = FEED_NONE};
	struct backup *b = f->b;
	struct item *item = item_new();

	if (content == NULL)
		content = &none;
	if (item == NULL) {
		if ((content->source == FEED_READ || content->source == FEED_PATCH) && content->reader.close != NULL)
			content->reader.close(content->reader.arg);
		return error_no_memory(err, "an entry");
	}
	int r = put_told(b, item, content, err);
	if (r == 0 && !f->rooted)
		r = error_set(err, ERR_BUG, "the root folder must be told first");
	if (r == 0)
		r = put_attributes(f, item, entry, err);
	if (r == 0)
		r = dump_meet_entry(f, item, content, err);
	if (r == 0)
		r = plan_content(f, item, content, err);
	item->is_new = content->is_new;
	item->is_changed = content->is_changed;
	if (r == 0) {
		b->link_max = max_u64(b->link_max, item->entry.link_group);
		return queue_put(b, item);
	}
	item_free(b, item);
	return r;
}
