/* SPDX-License-Identifier: MIT */
#include "archive/node_decoder.h"

static const char *name_read(struct decoder *d)
{
	uint64_t len = wire_varint_max(&d->w, ENTRY_OWNER_MAX);
	const uint8_t *name = wire_bytes(&d->w, len);
	if (!name || memchr(name, 0, len) || len >= d->text_left)
		return NULL;
	uint8_t *at = text_take(d, name, len);
	*d->text++ = 0;
	d->text_left--;
	return (const char *)at;
}

bool node_decode_classes(struct decoder *d)
{
	for (uint32_t i = 0; i < d->class_count; i++) {
		struct node_class *c = &d->classes[i];
		c->mode = (uint32_t)wire_varint_max(&d->w, UINT32_MAX);
		c->uid = (uint32_t)wire_varint_max(&d->w, UINT32_MAX);
		c->gid = (uint32_t)wire_varint_max(&d->w, UINT32_MAX);
		c->user = name_read(d);
		c->group = c->user ? name_read(d) : NULL;
		if (d->w.bad || !c->group || !node_mode_ok(c->mode))
			return false;
	}
	return true;
}

static bool extents_read(struct decoder *d, struct entry *e, uint64_t count)
{
	uint64_t sum = 0;
	if (count < 2 || count > d->extents_left)
		return false;
	e->extents = d->extents;
	e->extent_count = (uint32_t)count;
	for (uint64_t i = 0; i < count; i++) {
		d->extents[i].length = wire_varint(&d->w);
		if (!extent_read(d, &d->extents[i]) || __builtin_add_overflow(sum, d->extents[i].length, &sum))
			return false;
	}
	d->extents += count;
	d->extents_left -= count;
	return sum == e->size;
}

static bool one_read(struct decoder *d, struct entry *e)
{
	if (d->extents_left == 0)
		return false;
	d->extents->length = e->size;
	if (!extent_read(d, d->extents))
		return false;
	e->extents = d->extents++;
	e->extent_count = 1;
	d->extents_left--;
	return true;
}

static bool pieces_read(struct decoder *d, struct entry *e, uint64_t count)
{
	uint64_t sum = 0;
	if (count < 1 || count > d->pieces_left)
		return false;
	e->pieces = d->pieces;
	e->piece_count = (uint32_t)count;
	for (uint64_t i = 0; i < count; i++) {
		struct entry_piece *p = &d->pieces[i];
		p->length = wire_varint(&d->w);
		uint64_t code = wire_varint(&d->w);
		if (d->w.bad || code == 0 || !ref_decode(d, code, &p->ref) || p->length == 0 ||
			__builtin_add_overflow(sum, p->length, &sum))
			return false;
	}
	d->pieces += count;
	d->pieces_left -= count;
	return sum == e->size;
}

static bool time_read(struct wire *w, struct entry_time *t)
{
	t->sec = wire_svarint(w);
	t->nsec = wire_u32(w);
	return t->nsec <= NODE_NSEC_MAX;
}

static bool target_read(struct decoder *d, struct entry *e)
{
	e->target_len = wire_varint_max(&d->w, ENTRY_TARGET_MAX);
	e->target = text_take(d, wire_bytes(&d->w, e->target_len), e->target_len);
	e->size = e->target_len;
	return e->target && e->target_len > 0 && !memchr(e->target, 0, e->target_len);
}

static bool xattrs_read(struct decoder *d, struct entry *e)
{
	e->xattrs_len = wire_varint_max(&d->w, ENTRY_XATTR_MAX);
	e->xattrs = text_take(d, wire_bytes(&d->w, e->xattrs_len), e->xattrs_len);
	return e->xattrs && e->xattrs_len > 0 && xattrs_ok(e->xattrs, e->xattrs_len);
}

static bool rdev_read(struct wire *w, struct entry *e)
{
	e->rdev_major = (uint32_t)wire_varint_max(w, UINT32_MAX);
	e->rdev_minor = (uint32_t)wire_varint_max(w, UINT32_MAX);
	return !w->bad;
}

/* Which fields an entry of that type must and may have. */
static bool fields_ok(uint32_t mode, uint64_t fields)
{
	const uint64_t body = fields & (FIELD_ONE | FIELD_LIST | FIELD_PIECES);
	const bool sized = fields & FIELD_SIZE;
	return fields <= FIELD_ALL && (S_ISREG(mode) || !sized) && !S_ISLNK(mode) == !(fields & FIELD_TARGET) &&
	       !(S_ISCHR(mode) || S_ISBLK(mode)) == !(fields & FIELD_RDEV) && sized == (body != 0) &&
	       (body & (body - 1)) == 0 &&
	       (fields & (FIELD_XATTRS | FIELD_XATTR_REF)) != (FIELD_XATTRS | FIELD_XATTR_REF);
}

/* The fields that are numbers, in their order on the wire. */
static inline bool numbers_read(struct decoder *d, struct entry *e, uint64_t fields)
{
	struct wire *w = &d->w;
	if (!time_read(w, &e->mtime))
		return false;
	e->inode = wire_varint(w);
	e->size = fields & FIELD_SIZE ? wire_varint(w) : 0;
	if (fields & FIELD_SIZE && e->size == 0)
		return false;
	e->ctime = e->mtime;
	if (fields & FIELD_CTIME && !time_read(w, &e->ctime))
		return false;
	e->disk_bytes = fields & FIELD_DISK ? wire_varint(w) : node_disk_default(e->mode, e->size);
	e->nlink = fields & FIELD_NLINK ? (uint32_t)wire_varint_max(w, UINT32_MAX) : 1;
	e->link_group = fields & FIELD_LINK_GROUP ? wire_varint(w) : 0;
	if (fields & FIELD_RDEV && !rdev_read(w, e))
		return false;
	return !w->bad;
}

static bool texts_read(struct decoder *d, struct entry *e, uint64_t fields)
{
	if (fields & FIELD_TARGET && !target_read(d, e))
		return false;
	if (fields & FIELD_XATTRS && !xattrs_read(d, e))
		return false;
	if (fields & FIELD_CONTENT) {
		const uint8_t *hash = wire_bytes(&d->w, NODE_ID_LEN);
		if (!hash)
			return false;
		memcpy(&e->content, hash, NODE_ID_LEN);
		e->flags |= ENTRY_HAS_CONTENT_HASH;
	}
	if (fields & FIELD_XATTR_REF) {
		uint64_t code = wire_varint(&d->w);
		if (code == 0 || !ref_decode(d, code, &e->xattr_ref))
			return false;
	}
	return !d->w.bad;
}

bool node_decode_entry(struct decoder *d, struct entry *e)
{
	*e = (struct entry){.refs = d->node->refs, .ref_count = d->node->ref_count, .xattr_ref = EXTENT_HOLE};
	if (!key_read(d, &e->key, &e->key_len))
		return false;
	uint64_t fields = wire_varint(&d->w);
	uint64_t which = wire_varint(&d->w);
	if (d->w.bad || which >= d->class_count || !fields_ok(d->classes[which].mode, fields))
		return false;
	const struct node_class *c = &d->classes[which];
	e->mode = c->mode;
	e->uid = c->uid;
	e->gid = c->gid;
	e->user = c->user;
	e->group = c->group;
	e->flags = fields & FIELD_CHANGED ? ENTRY_CHANGED_WHILE_READ : 0;
	if (!numbers_read(d, e, fields) || !texts_read(d, e, fields))
		return false;
	if (fields & FIELD_ONE)
		return one_read(d, e);
	if (fields & FIELD_LIST)
		return extents_read(d, e, wire_varint(&d->w));
	return !(fields & FIELD_PIECES) || pieces_read(d, e, wire_varint(&d->w));
}
