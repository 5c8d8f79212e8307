/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "archive/feed_impl.h"

/* How far back a ref is looked for among an item's own: neighbours share them. */
enum { LOOK_BACK = 8 };

struct item *item_new(void)
{
	struct item *item = calloc(1, sizeof(*item));

	if (item != NULL) {
		item->stream_fd = -1;
		item->read = true;
		item->entry.xattr_ref = EXTENT_HOLE;
	}
	return item;
}

void item_free(struct backup *b, struct item *item)
{
	if (item == NULL)
		return;
	buf_release(&item->key);
	buf_release(&item->target);
	buf_release(&item->xattrs);
	folder_unref(b, item->folder);
	free(item->name);
	free(item->data);
	free(item->runs);
	free(item->extents);
	free(item->pieces);
	free(item->refs);
	if (item->bundle != NULL)
		bundle_unref(b, item->bundle);
	seal_hasher_free(item->hasher);
	extent_writer_free(item->folded);
	item_free(b, item->prior);
	if (item->link != NULL)
		link_unref(item->link);
	told_free(b, item->told);
	free(item);
}

size_t item_weight(const struct item *item)
{
	size_t sum = sizeof(*item) + item->key.cap + item->target.cap + item->xattrs.cap;

	sum += item->run_count * sizeof(*item->runs) + item->extent_cap * sizeof(*item->extents);
	sum += item->piece_count * sizeof(*item->pieces) + item->ref_cap * sizeof(*item->refs);
	sum += item->told == NULL ? 0 : told_weight(item->told);
	return item->prior == NULL ? sum : sum + item_weight(item->prior);
}

void item_set_stat(struct backup *b, struct item *item, const struct stat *st)
{
	struct entry *e = &item->entry;

	e->mode = st->st_mode;
	e->uid = st->st_uid;
	e->gid = st->st_gid;
	e->user = owners_user_name(b->owners, st->st_uid);
	e->group = owners_group_name(b->owners, st->st_gid);
	e->mtime = (struct entry_time){.sec = st->st_mtim.tv_sec, .nsec = (uint32_t)st->st_mtim.tv_nsec};
	e->ctime = (struct entry_time){.sec = st->st_ctim.tv_sec, .nsec = (uint32_t)st->st_ctim.tv_nsec};
	e->inode = st->st_ino;
	e->size = S_ISREG(st->st_mode) || S_ISLNK(st->st_mode) ? (uint64_t)st->st_size : 0;
	e->disk_bytes = (uint64_t)st->st_blocks * 512;
	e->nlink = S_ISDIR(st->st_mode) ? 1 : (uint32_t)st->st_nlink;
	if (S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode)) {
		e->rdev_major = major(st->st_rdev);
		e->rdev_minor = minor(st->st_rdev);
	}
}

int item_add_extent(struct item *item, uint64_t length, uint32_t ref, uint32_t offset, struct error *err)
{
	if (length == 0)
		return 0;
	if (item->extent_count == item->extent_cap) {
		size_t cap = item->extent_cap == 0 ? 2 : item->extent_cap * 2;
		struct extent *bigger = reallocarray(item->extents, cap, sizeof(*bigger));
		if (bigger == NULL)
			return error_no_memory(err, "a file's extents");
		item->extents = bigger;
		item->extent_cap = cap;
	}
	item->extents[item->extent_count++] = (struct extent){.length = length, .ref = ref, .offset = offset};
	return 0;
}

int item_add_ref(struct item *item, const struct chunk_ref *ref, uint32_t *ret_index, struct error *err)
{
	if (item->ref_count == item->ref_cap) {
		size_t cap = item->ref_cap == 0 ? 1 : item->ref_cap * 2;
		struct chunk_ref *bigger = reallocarray(item->refs, cap, sizeof(*bigger));
		if (bigger == NULL)
			return error_no_memory(err, "a file's chunks");
		item->refs = bigger;
		item->ref_cap = cap;
	}
	*ret_index = (uint32_t)item->ref_count;
	item->refs[item->ref_count++] = *ref;
	return 0;
}

/* The item's own index for a ref of another table. */
static int own_ref(struct item *item, const struct chunk_ref *ref, uint32_t *ret_index, struct error *err)
{
	size_t stop = item->ref_count > LOOK_BACK ? item->ref_count - LOOK_BACK : 0;

	for (size_t i = item->ref_count; i-- > stop;) {
		if (id_equal(&item->refs[i].id, &ref->id)) {
			*ret_index = (uint32_t)i;
			return 0;
		}
	}
	return item_add_ref(item, ref, ret_index, err);
}

static int copy_pieces(struct item *item, const struct entry *from, struct error *err)
{
	int r = 0;

	if (from->piece_count == 0)
		return 0;
	item->pieces = calloc(from->piece_count, sizeof(*item->pieces));
	if (item->pieces == NULL)
		return error_no_memory(err, "a file's extents");
	for (uint32_t i = 0; r == 0 && i < from->piece_count; i++) {
		uint32_t ref = 0;
		r = item_add_ref(item, &from->refs[from->pieces[i].ref], &ref, err);
		item->pieces[i] = (struct entry_piece){.length = from->pieces[i].length, .ref = ref};
	}
	item->piece_count = from->piece_count;
	return r;
}

int item_copy_extents(struct item *item, const struct entry *from, struct error *err)
{
	int r = copy_pieces(item, from, err);

	for (uint32_t i = 0; r == 0 && i < from->extent_count; i++) {
		const struct extent *x = &from->extents[i];
		uint32_t ref = EXTENT_HOLE;
		if (x->ref != EXTENT_HOLE)
			r = own_ref(item, &from->refs[x->ref], &ref, err);
		if (r == 0)
			r = item_add_extent(item, x->length, ref, x->offset, err);
	}
	return r;
}

int item_copy_content(struct item *item, const struct entry *from, struct error *err)
{
	int r = item_copy_extents(item, from, err);

	if (r == 0 && from->xattr_ref != EXTENT_HOLE)
		r = own_ref(item, &from->refs[from->xattr_ref], &item->entry.xattr_ref, err);
	buf_clear(&item->xattrs);
	buf_put(&item->xattrs, from->xattrs, from->xattrs_len);
	item->entry.content = from->content;
	item->entry.flags |= from->flags & ENTRY_HAS_CONTENT_HASH;
	if (r == 0 && buf_failed(&item->xattrs))
		r = error_no_memory(err, "extended attributes");
	return r;
}

void item_drop_content(struct item *item)
{
	free(item->pieces);
	item->pieces = NULL;
	item->extent_count = item->piece_count = item->ref_count = 0;
	item->entry.xattr_ref = EXTENT_HOLE;
	item->entry.flags &= ~(unsigned)ENTRY_HAS_CONTENT_HASH;
	buf_clear(&item->xattrs);
}

void item_seal(struct item *item)
{
	struct entry *e = &item->entry;

	e->key = item->key.data;
	e->key_len = item->key.len;
	e->target = item->target.data;
	e->target_len = item->target.len;
	e->xattrs = item->xattrs.len > 0 ? item->xattrs.data : NULL;
	e->xattrs_len = item->xattrs.len;
	e->extents = item->extents;
	e->extent_count = (uint32_t)item->extent_count;
	e->pieces = item->pieces;
	e->piece_count = (uint32_t)item->piece_count;
	e->refs = item->refs;
	e->ref_count = (uint32_t)item->ref_count;
}

bool item_refs_allowed(const struct backup *b, const struct item *item)
{
	if (b->session == NULL || b->session->banned_count == 0)
		return true;
	for (size_t i = 0; i < item->ref_count; i++)
		for (unsigned d = 0; d <= item->refs[i].depth; d++)
			if (session_pack_banned(b->session, &item->refs[i].chain[d].pack))
				return false;
	return true;
}

struct folder *folder_new(struct backup *b, int fd, const char *path)
{
	struct folder *f = calloc(1, sizeof(*f));
	char *copy = strdup(path);

	if (f == NULL || copy == NULL) {
		close(fd);
		free(f);
		free(copy);
		return NULL;
	}
	*f = (struct folder){.fd = fd, .path = copy};
	atomic_init(&f->refs, 1);
	atomic_fetch_add(&b->folders, 1);
	return f;
}

struct folder *folder_ref(struct folder *f)
{
	atomic_fetch_add(&f->refs, 1);
	return f;
}

void folder_unref(struct backup *b, struct folder *f)
{
	if (f == NULL || atomic_fetch_sub(&f->refs, 1) != 1)
		return;
	close(f->fd);
	free(f->path);
	free(f);
	atomic_fetch_sub(&b->folders, 1);
}
