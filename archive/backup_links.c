/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "archive/backup_impl.h"
#include "base/fileio.h"

enum { FIRST_SLOTS = 1024, TAIL_BYTES = 256 << 10 };

/* How a link's content is kept: this, then xattrs, extents, pieces and refs, all as they lie in memory. */
struct kept_head {
	uint64_t size, disk_bytes;
	struct id content;
	unsigned flags;
	uint32_t xattr_ref, extent_count, piece_count, ref_count;
	size_t xattrs_len;
};

int links_init(struct backup *b, struct error *err)
{
	b->kept.fd = -1;
	b->links.slots = calloc(FIRST_SLOTS, sizeof(struct link *));
	b->links.slot_count = FIRST_SLOTS;
	return b->links.slots == NULL ? error_no_memory(err, "the table of links") : 0;
}

void link_unref(struct link *link)
{
	if (atomic_fetch_sub(&link->refs, 1) == 1)
		free(link);
}

void links_release(struct backup *b)
{
	for (size_t i = 0; b->links.slots != NULL && i < b->links.slot_count; i++) {
		while (b->links.slots[i] != NULL) {
			struct link *link = b->links.slots[i];
			b->links.slots[i] = link->next;
			link_unref(link);
		}
	}
	free(b->links.slots);
	b->links.slots = NULL;
	buf_release(&b->kept.tail);
	if (b->kept.fd >= 0)
		close(b->kept.fd);
	b->kept.fd = -1;
}

static struct link **slot_of(const struct link_table *t, dev_t dev, ino_t ino)
{
	uint64_t h = ((uint64_t)ino ^ ((uint64_t)dev << 40)) * UINT64_C(0x9e3779b97f4a7c15);

	return &t->slots[(h >> 32) & (t->slot_count - 1)];
}

static struct link **find(const struct link_table *t, const struct stat *st)
{
	struct link **at = slot_of(t, st->st_dev, st->st_ino);

	while (*at != NULL && ((*at)->ino != st->st_ino || (*at)->dev != st->st_dev))
		at = &(*at)->next;
	return at;
}

/* Doubles the table; without memory it only gets slower. */
static void grow(struct link_table *t)
{
	struct link_table bigger = {.slot_count = t->slot_count * 2, .count = t->count};

	if (t->count < t->slot_count || (bigger.slots = calloc(bigger.slot_count, sizeof(struct link *))) == NULL)
		return;
	for (size_t i = 0; i < t->slot_count; i++) {
		while (t->slots[i] != NULL) {
			struct link *link = t->slots[i];
			t->slots[i] = link->next;
			struct link **at = slot_of(&bigger, link->dev, link->ino);
			link->next = *at;
			*at = link;
		}
	}
	free(t->slots);
	*t = bigger;
}

static struct link *add(struct link_table *t, const struct stat *st, uint64_t group)
{
	struct link *link = calloc(1, sizeof(*link));

	if (link == NULL)
		return NULL;
	*link = (struct link){.dev = st->st_dev, .ino = st->st_ino, .remaining = st->st_nlink, .group = group};
	atomic_init(&link->refs, 1);
	grow(t);
	struct link **at = slot_of(t, st->st_dev, st->st_ino);
	link->next = *at;
	*at = link;
	t->count++;
	return link;
}

/*
 * A file's group keeps the number that its first link had in the parent
 * snapshot; new ones count on from the highest ever given in the dataset, so
 * that two files never share one. The table is the walker's alone.
 */
int links_meet(struct backup *b, struct item *item, const struct stat *st, uint64_t prior_group, struct error *err)
{
	struct link *link = *find(&b->links, st);

	if (link == NULL) {
		link = add(&b->links, st, prior_group != 0 ? prior_group : b->link_max + 1);
		if (link == NULL)
			return error_no_memory(err, "the table of links");
		if (prior_group == 0)
			b->link_max++;
		item->link_first = true;
	}
	item->link = link;
	item->entry.link_group = link->group;
	atomic_fetch_add(&link->refs, 1);
	if (--link->remaining == 0) {
		*find(&b->links, st) = link->next;
		b->links.count--;
		link_unref(link);
	}
	return 0;
}

/* Moves what has gathered in memory to the file. */
static int spill(struct kept *k, struct error *err)
{
	int r = 0;

	if (k->fd < 0)
		r = fileio_tmpfile(fileio_tmpdir(), &k->fd, err);
	if (r == 0)
		r = fileio_pwrite(k->fd, "a temporary file", k->tail.data, k->tail.len, k->written, err);
	if (r == 0) {
		k->written += k->tail.len;
		buf_clear(&k->tail);
	}
	return r;
}

int links_keep(struct backup *b, const struct item *item, struct error *err)
{
	const struct entry *e = &item->entry;
	struct link *link = item->link;
	struct kept *k = &b->kept;
	struct kept_head head = {.size = e->size,
		.disk_bytes = e->disk_bytes,
		.content = e->content,
		.flags = e->flags,
		.xattr_ref = e->xattr_ref,
		.extent_count = e->extent_count,
		.piece_count = e->piece_count,
		.ref_count = e->ref_count,
		.xattrs_len = e->xattrs_len};

	if (atomic_load(&link->refs) == 1) /* this one was the last to come */
		return 0;
	size_t at = k->tail.len;
	buf_put(&k->tail, &head, sizeof(head));
	buf_put(&k->tail, e->xattrs, e->xattrs_len);
	buf_put(&k->tail, e->extents, e->extent_count * sizeof(*e->extents));
	buf_put(&k->tail, e->pieces, e->piece_count * sizeof(*e->pieces));
	buf_put(&k->tail, e->refs, e->ref_count * sizeof(*e->refs));
	if (buf_failed(&k->tail) || k->tail.len - at > UINT32_MAX)
		return error_no_memory(err, "what the links of a file share");
	link->kept_at = k->written + at;
	link->kept_len = (uint32_t)(k->tail.len - at);
	return k->tail.len >= TAIL_BYTES ? spill(k, err) : 0;
}

/* An array of its own out of what was kept; NULL for none, and without memory. */
static void *take(struct cursor *c, size_t count, size_t size)
{
	void *copy = count == 0 ? NULL : reallocarray(NULL, count, size);

	if (copy != NULL)
		cursor_copy(c, copy, count * size);
	else if (count > 0)
		c->failed = true;
	return copy;
}

static int unpack(struct item *item, const void *data, size_t len, struct error *err)
{
	struct cursor c = cursor_of(data, len);
	struct kept_head head;

	cursor_copy(&c, &head, sizeof(head));
	buf_clear(&item->xattrs);
	buf_put(&item->xattrs, cursor_bytes(&c, head.xattrs_len), head.xattrs_len);
	item->extents = take(&c, head.extent_count, sizeof(*item->extents));
	item->pieces = take(&c, head.piece_count, sizeof(*item->pieces));
	item->refs = take(&c, head.ref_count, sizeof(*item->refs));
	if (cursor_failed(&c) || buf_failed(&item->xattrs))
		return error_no_memory(err, "what the links of a file share");
	item->extent_count = item->extent_cap = head.extent_count;
	item->piece_count = head.piece_count;
	item->ref_count = item->ref_cap = head.ref_count;
	item->entry.xattr_ref = head.xattr_ref;
	item->entry.size = head.size;
	item->entry.disk_bytes = head.disk_bytes;
	item->entry.content = head.content;
	item->entry.flags = head.flags;
	return 0;
}

int links_share(struct backup *b, struct item *item, struct error *err)
{
	const struct link *link = item->link;
	const struct kept *k = &b->kept;

	if (link->kept_len == 0)
		return ERR_NOT_FOUND;
	if (link->kept_at >= k->written)
		return unpack(item, k->tail.data + (link->kept_at - k->written), link->kept_len, err);
	uint8_t *data = malloc(link->kept_len);
	size_t got = 0;
	if (data == NULL)
		return error_no_memory(err, "what the links of a file share");
	int r = fileio_pread(k->fd, "a temporary file", data, link->kept_len, link->kept_at, &got, err);
	if (r == 0 && got != link->kept_len)
		r = error_set(err, ERR_IO, "a temporary file is shorter than what was written to it");
	if (r == 0)
		r = unpack(item, data, got, err);
	free(data);
	return r;
}
