/* SPDX-License-Identifier: MIT */

/* An inode as bytes: one column is cheaper than twenty, and a decoder that checks each field tells damage. */

#include "fs/spool/index_impl.h"

enum {
	INODE_VERSION = 1,
	INODE_BLOB_MAX = 512 << 20, /* under SQLite's limit of a row */
};

static void put_time(struct buf *b, struct entry_time t)
{
	buf_put_svarint(b, t.sec);
	buf_put_varint(b, t.nsec);
}

/* Sums wrap on purpose: INDEX_NONE, the most common value by far, becomes the single byte 0. */
void index_inode_encode(const struct index_inode *inode, struct buf *b)
{
	buf_put_u8(b, INODE_VERSION);
	buf_put_varint(b, inode->parent + 1);
	buf_put_varint(b, inode->lower + 1);
	buf_put_varint(b, inode->mode);
	buf_put_varint(b, inode->uid);
	buf_put_varint(b, inode->gid);
	buf_put_varint(b, inode->rdev_major);
	buf_put_varint(b, inode->rdev_minor);
	buf_put_varint(b, inode->size);
	put_time(b, inode->mtime);
	put_time(b, inode->ctime);
	buf_put_varint(b, inode->link_group);
	buf_put_varint(b, inode->flags);
	bool elsewhere = !id_is_zero(&inode->content_snapshot);
	buf_put_u8(b, elsewhere);
	if (elsewhere)
		buf_put(b, inode->content_snapshot.b, sizeof(inode->content_snapshot.b));
	buf_put_blob(b, inode->content_key.data, inode->content_key.len);
	buf_put_blob(b, inode->layers.data, inode->layers.len);
	buf_put_blob(b, inode->target.data, inode->target.len);
	buf_put_blob(b, inode->xattrs.data, inode->xattrs.len);
}

static struct entry_time get_time(struct cursor *c)
{
	struct entry_time t = {.sec = cursor_svarint(c)};
	t.nsec = (uint32_t)cursor_varint_max(c, 999999999);
	return t;
}

static void get_blob(struct cursor *c, struct buf *ret)
{
	size_t len;
	const uint8_t *data = cursor_blob(c, INODE_BLOB_MAX, &len);
	buf_clear(ret);
	buf_put(ret, data, len);
}

static void get_buffers(struct cursor *c, struct index_inode *ret)
{
	get_blob(c, &ret->content_key);
	get_blob(c, &ret->layers);
	get_blob(c, &ret->target);
	get_blob(c, &ret->xattrs);
}

bool index_inode_decode(const void *data, size_t len, struct index_inode *ret)
{
	struct cursor c = cursor_of(data, len);
	if (cursor_u8(&c) != INODE_VERSION)
		return false;
	ret->parent = cursor_varint(&c) - 1;
	ret->lower = cursor_varint(&c) - 1;
	ret->mode = (uint32_t)cursor_varint_max(&c, UINT32_MAX);
	ret->uid = (uint32_t)cursor_varint_max(&c, UINT32_MAX);
	ret->gid = (uint32_t)cursor_varint_max(&c, UINT32_MAX);
	ret->rdev_major = (uint32_t)cursor_varint_max(&c, UINT32_MAX);
	ret->rdev_minor = (uint32_t)cursor_varint_max(&c, UINT32_MAX);
	ret->size = cursor_varint_max(&c, INT64_MAX);
	ret->mtime = get_time(&c);
	ret->ctime = get_time(&c);
	ret->link_group = cursor_varint(&c);
	ret->flags = (unsigned)cursor_varint_max(&c, UINT32_MAX);
	ret->content_snapshot = (struct id){0};
	if (cursor_u8(&c))
		cursor_copy(&c, ret->content_snapshot.b, sizeof(ret->content_snapshot.b));
	get_buffers(&c, ret);
	return cursor_done(&c) && !buf_failed(&ret->content_key) && !buf_failed(&ret->layers) &&
	       !buf_failed(&ret->target) && !buf_failed(&ret->xattrs);
}

void index_inode_release(struct index_inode *inode)
{
	buf_release(&inode->content_key);
	buf_release(&inode->layers);
	buf_release(&inode->target);
	buf_release(&inode->xattrs);
}
