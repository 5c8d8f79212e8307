/* SPDX-License-Identifier: MIT */
#include "archive/node_refs.h"

/* Mode and owner of an entry: there are few in a node, so each stands once, in order of first use. */
struct node_class {
	uint32_t mode, uid, gid;
	uint32_t user_at, user_len, group_at, group_len; /* in the encoder's `classes` */
};

struct node_encoder {
	enum node_type type;
	uint8_t level;
	uint32_t count;
	struct buf body;    /* encoded elements */
	struct buf classes; /* encoded classes */
	struct buf last;    /* key of the last element */
	struct node_key_check keys;
	struct node_refs refs;
	struct node_class *class_list;
	uint32_t class_count, class_cap, class_last;
	struct node_table class_table;
	uint64_t key_bytes;             /* of whole keys: what is cut by */
	uint64_t text, extents, pieces; /* what decoding will take; see FORMAT.md */
};

struct node_encoder *node_encoder_new(enum node_type type, uint8_t level)
{
	struct node_encoder *e = calloc(1, sizeof(*e));
	if (!e)
		return NULL;
	e->type = type;
	e->level = level;
	return e;
}

static void encoder_reset(struct node_encoder *e)
{
	e->count = e->class_count = 0;
	e->key_bytes = e->text = e->extents = e->pieces = 0;
	e->keys = (struct node_key_check){0};
	buf_clear(&e->body);
	buf_clear(&e->classes);
	buf_clear(&e->last);
	node_refs_clear(&e->refs);
	node_table_clear(&e->class_table);
}

void node_encoder_free(struct node_encoder *e)
{
	if (!e)
		return;
	buf_release(&e->body);
	buf_release(&e->classes);
	buf_release(&e->last);
	node_refs_release(&e->refs);
	node_table_release(&e->class_table);
	free(e->class_list);
	free(e);
}

size_t node_encoder_size(const struct node_encoder *e)
{
	return (size_t)e->refs.count * NODE_ID_LEN + e->classes.len + e->body.len;
}

uint32_t node_encoder_count(const struct node_encoder *e)
{
	return e->count;
}

bool node_encoder_full(const struct node_encoder *e)
{
	return node_encoder_size(e) >= NODE_CONTENT_CUT || e->key_bytes >= NODE_KEYS_CUT || e->count >= NODE_COUNT_CUT;
}

/* ---- classes ---- */

/* The names of an entry's owner; NULL counts as "". */
struct names {
	const char *user, *group;
	size_t user_len, group_len;
};

static bool class_is(const struct node_encoder *e, uint32_t index, const struct entry *entry, const struct names *n)
{
	const struct node_class *c = &e->class_list[index];
	return c->mode == entry->mode && c->uid == entry->uid && c->gid == entry->gid && c->user_len == n->user_len &&
	       c->group_len == n->group_len && memcmp(e->classes.data + c->user_at, n->user, n->user_len) == 0 &&
	       memcmp(e->classes.data + c->group_at, n->group, n->group_len) == 0;
}

static uint32_t class_hash(const struct entry *entry, const struct names *n)
{
	uint64_t h = entry->mode * UINT64_C(0x9e3779b97f4a7c15);
	h = (h ^ entry->uid) * UINT64_C(0x9e3779b97f4a7c15);
	h = (h ^ entry->gid) * UINT64_C(0x9e3779b97f4a7c15);
	h = (h ^ n->user_len << 16 ^ n->group_len) * UINT64_C(0x9e3779b97f4a7c15);
	return (uint32_t)(h >> 32);
}

static int class_new(
	struct node_encoder *e, const struct entry *entry, const struct names *n, uint32_t hash, struct error *err)
{
	if (e->class_count == e->class_cap) {
		uint32_t cap = e->class_cap ? e->class_cap * 2 : 16;
		struct node_class *list = reallocarray(e->class_list, cap, sizeof(*list));
		if (!list)
			return error_no_memory(err, "a node's owners");
		e->class_list = list;
		e->class_cap = cap;
	}
	int status = node_table_reserve(&e->class_table, err);
	if (status != 0)
		return status;
	struct node_class *c = &e->class_list[e->class_count];
	*c = (struct node_class){.mode = entry->mode,
		.uid = entry->uid,
		.gid = entry->gid,
		.user_len = (uint32_t)n->user_len,
		.group_len = (uint32_t)n->group_len};
	buf_put_varint(&e->classes, entry->mode);
	buf_put_varint(&e->classes, entry->uid);
	buf_put_varint(&e->classes, entry->gid);
	buf_put_blob(&e->classes, n->user, n->user_len);
	buf_put_blob(&e->classes, n->group, n->group_len);
	if (buf_failed(&e->classes))
		return error_no_memory(err, "a node's owners");
	/* The group ends the encoding, before it stand its length (one byte or two) and the user. */
	c->group_at = (uint32_t)e->classes.len - c->group_len;
	c->user_at = c->group_at - (c->group_len < 0x80 ? 1 : 2) - c->user_len;
	e->text += n->user_len + n->group_len + 2;
	node_table_put(&e->class_table, hash, e->class_count);
	e->class_last = e->class_count++;
	return 0;
}

static int class_find(struct node_encoder *e, const struct entry *entry, struct error *err)
{
	struct names n = {.user = entry->user ? entry->user : "", .group = entry->group ? entry->group : ""};
	n.user_len = strlen(n.user);
	n.group_len = strlen(n.group);
	if (e->class_count > 0 && class_is(e, e->class_last, entry, &n))
		return 0;
	uint32_t hash = class_hash(entry, &n), at = hash, index;
	while (node_table_next(&e->class_table, hash, &at, &index)) {
		if (class_is(e, index, entry, &n)) {
			e->class_last = index;
			return 0;
		}
	}
	if (n.user_len > ENTRY_OWNER_MAX || n.group_len > ENTRY_OWNER_MAX)
		return error_set(err, ERR_USAGE, "the name of an owner is longer than %d bytes", ENTRY_OWNER_MAX);
	return class_new(e, entry, &n, hash, err);
}

/* ---- elements ---- */

/* The code of a reference: see node_wire.h. */
static int put_ref(struct node_encoder *e, const struct chunk_ref *ref, uint64_t *ret_code, struct error *err)
{
	uint32_t before = e->refs.count, index;
	int status = node_refs_add(&e->refs, ref, &index, err);
	if (status == 0)
		*ret_code = before + 1 - index;
	return status;
}

/* Whether key follows the last one; then how much they share. */
static int key_check(struct node_encoder *e, const uint8_t *key, size_t len, size_t *ret_shared, struct error *err)
{
	size_t shared = node_key_shared(e->last.data, e->last.len, key, len);
	if (e->count > 0 && !(shared < len && (shared == e->last.len || e->last.data[shared] < key[shared])))
		return error_set(err, ERR_BUG, "keys of a tree node are out of order");
	if (!node_key_check(&e->keys, key, len, shared))
		return error_set(err, ERR_BUG, "a key of a tree node is malformed");
	*ret_shared = shared;
	return 0;
}

static uint8_t *key_put(struct node_encoder *e, uint8_t *p, const uint8_t *key, size_t len, size_t shared)
{
	p = wire_put_varint(p, shared);
	p = wire_put_varint(p, len - shared);
	p = wire_put(p, key + shared, len - shared);
	/* Room for it was made together with the room for the element. */
	memcpy(e->last.data + shared, key + shared, len - shared);
	e->last.len = len;
	e->key_bytes += len;
	e->text += len;
	return p;
}

/* Codes one extent: its reference, whether an offset follows, and the offset. */
static int extent_put(
	struct node_encoder *e, const struct extent *x, const struct chunk_ref *ref, uint8_t **p, struct error *err)
{
	uint64_t code = 0;
	if (ref) {
		int status = put_ref(e, ref, &code, err);
		if (status != 0)
			return status;
	}
	*p = wire_put_varint(*p, code << 1 | (x->offset != 0));
	if (x->offset != 0)
		*p = wire_put_varint(*p, x->offset);
	return 0;
}

static bool extent_ok(const struct extent *x, uint32_t ref_count)
{
	if (x->ref == EXTENT_HOLE)
		return x->length > 0 && x->offset == 0;
	return x->length > 0 && x->ref < ref_count && x->length <= CHUNK_PLAIN_MAX &&
	       x->offset <= CHUNK_PLAIN_MAX - x->length;
}

/* Extents or pieces follow each other without overflow and cover the file, no more and no less. */
static bool coverage_ok(const struct entry *entry)
{
	uint64_t sum = 0;
	if (entry->extent_count > 0 && entry->piece_count > 0)
		return false;
	for (uint32_t i = 0; i < entry->extent_count; i++)
		if (!extent_ok(&entry->extents[i], entry->ref_count) ||
			__builtin_add_overflow(sum, entry->extents[i].length, &sum))
			return false;
	for (uint32_t i = 0; i < entry->piece_count; i++)
		if (entry->pieces[i].length == 0 || entry->pieces[i].ref >= entry->ref_count ||
			__builtin_add_overflow(sum, entry->pieces[i].length, &sum))
			return false;
	return sum == (S_ISREG(entry->mode) ? entry->size : 0);
}

/* What decoding would refuse is refused here, where it can still be told whose fault it is. */
static int entry_check(const struct entry *entry, struct error *err)
{
	const char *why = NULL;
	if (!node_mode_ok(entry->mode))
		why = "mode";
	else if (entry->mtime.nsec > NODE_NSEC_MAX || entry->ctime.nsec > NODE_NSEC_MAX)
		why = "time";
	else if (!coverage_ok(entry))
		why = "list of extents";
	else if (S_ISLNK(entry->mode) != (entry->target_len > 0) || entry->target_len > ENTRY_TARGET_MAX ||
		 (entry->target_len > 0 && memchr(entry->target, 0, entry->target_len)))
		why = "target";
	else if (entry->xattrs_len > 0 &&
		 (entry->xattr_ref != EXTENT_HOLE || !xattrs_ok(entry->xattrs, entry->xattrs_len)))
		why = "list of extended attributes";
	else if (entry->xattr_ref != EXTENT_HOLE && entry->xattr_ref >= entry->ref_count)
		why = "reference to extended attributes";
	return why ? error_set(err, ERR_BUG, "the %s of an entry is malformed", why) : 0;
}

static uint32_t entry_fields(const struct entry *entry)
{
	uint64_t size = S_ISREG(entry->mode) ? entry->size : 0;
	uint32_t f = 0;
	f |= size > 0 ? FIELD_SIZE : 0;
	f |= entry->mtime.sec != entry->ctime.sec || entry->mtime.nsec != entry->ctime.nsec ? FIELD_CTIME : 0;
	f |= entry->disk_bytes != node_disk_default(entry->mode, size) ? FIELD_DISK : 0;
	f |= entry->nlink != 1 ? FIELD_NLINK : 0;
	f |= entry->link_group != 0 ? FIELD_LINK_GROUP : 0;
	f |= S_ISCHR(entry->mode) || S_ISBLK(entry->mode) ? FIELD_RDEV : 0;
	f |= S_ISLNK(entry->mode) ? FIELD_TARGET : 0;
	f |= entry->xattrs_len > 0 ? FIELD_XATTRS : 0;
	f |= entry->xattr_ref != EXTENT_HOLE ? FIELD_XATTR_REF : 0;
	f |= entry->flags & ENTRY_HAS_CONTENT_HASH ? FIELD_CONTENT : 0;
	f |= entry->flags & ENTRY_CHANGED_WHILE_READ ? FIELD_CHANGED : 0;
	f |= entry->extent_count == 1 ? FIELD_ONE : 0;
	f |= entry->extent_count > 1 ? FIELD_LIST : 0;
	f |= entry->piece_count > 0 ? FIELD_PIECES : 0;
	return f;
}

static int body_put(struct node_encoder *e, const struct entry *entry, uint32_t fields, uint8_t **pp, struct error *err)
{
	int status = 0;
	uint8_t *p = *pp;
	if (fields & FIELD_ONE)
		status = extent_put(e, entry->extents,
			entry->extents->ref == EXTENT_HOLE ? NULL : &entry->refs[entry->extents->ref], &p, err);
	if (fields & FIELD_LIST)
		p = wire_put_varint(p, entry->extent_count);
	for (uint32_t i = 0; (fields & FIELD_LIST) && i < entry->extent_count && status == 0; i++) {
		const struct extent *x = &entry->extents[i];
		p = wire_put_varint(p, x->length);
		status = extent_put(e, x, x->ref == EXTENT_HOLE ? NULL : &entry->refs[x->ref], &p, err);
	}
	if (fields & FIELD_PIECES)
		p = wire_put_varint(p, entry->piece_count);
	for (uint32_t i = 0; i < entry->piece_count && status == 0; i++) {
		uint64_t code;
		p = wire_put_varint(p, entry->pieces[i].length);
		status = put_ref(e, &entry->refs[entry->pieces[i].ref], &code, err);
		if (status == 0)
			p = wire_put_varint(p, code);
	}
	e->extents += entry->extent_count;
	e->pieces += entry->piece_count;
	*pp = p;
	return status;
}

static uint8_t *head_put(const struct node_encoder *e, const struct entry *entry, uint32_t fields, uint8_t *p)
{
	p = wire_put_varint(p, fields);
	p = wire_put_varint(p, e->class_last);
	p = wire_put_svarint(p, entry->mtime.sec);
	p = wire_put_u32(p, entry->mtime.nsec);
	p = wire_put_varint(p, entry->inode);
	if (fields & FIELD_SIZE)
		p = wire_put_varint(p, entry->size);
	if (fields & FIELD_CTIME) {
		p = wire_put_svarint(p, entry->ctime.sec);
		p = wire_put_u32(p, entry->ctime.nsec);
	}
	if (fields & FIELD_DISK)
		p = wire_put_varint(p, entry->disk_bytes);
	if (fields & FIELD_NLINK)
		p = wire_put_varint(p, entry->nlink);
	if (fields & FIELD_LINK_GROUP)
		p = wire_put_varint(p, entry->link_group);
	if (fields & FIELD_RDEV) {
		p = wire_put_varint(p, entry->rdev_major);
		p = wire_put_varint(p, entry->rdev_minor);
	}
	return p;
}

static uint8_t *text_put(struct node_encoder *e, const struct entry *entry, uint32_t fields, uint8_t *p)
{
	if (fields & FIELD_TARGET) {
		p = wire_put_varint(p, entry->target_len);
		p = wire_put(p, entry->target, entry->target_len);
		e->text += entry->target_len;
	}
	if (fields & FIELD_XATTRS) {
		p = wire_put_varint(p, entry->xattrs_len);
		p = wire_put(p, entry->xattrs, entry->xattrs_len);
		e->text += entry->xattrs_len;
	}
	if (fields & FIELD_CONTENT)
		p = wire_put(p, &entry->content, NODE_ID_LEN);
	return p;
}

/* Makes room for an element and its key, so that it can be written without looking. */
static int element_reserve(struct node_encoder *e, size_t key_len, size_t more, struct error *err)
{
	if (key_len > e->last.len && !buf_reserve(&e->last, key_len - e->last.len))
		return error_no_memory(err, "a node");
	return buf_reserve(&e->body, key_len + more) ? 0 : error_no_memory(err, "a node");
}

int node_encoder_entry(struct node_encoder *e, const struct entry *entry, struct error *err)
{
	enum { FIXED = 24 * NODE_VARINT_MAX + NODE_ID_LEN };
	size_t shared;
	int status = entry_check(entry, err);
	if (status == 0)
		status = key_check(e, entry->key, entry->key_len, &shared, err);
	if (status == 0)
		status = class_find(e, entry, err);
	if (status == 0)
		status = element_reserve(e, entry->key_len,
			FIXED + entry->target_len + entry->xattrs_len +
				((size_t)entry->extent_count + entry->piece_count) * 3 * NODE_VARINT_MAX,
			err);
	if (status != 0)
		return status;
	uint32_t fields = entry_fields(entry);
	uint8_t *p = key_put(e, e->body.data + e->body.len, entry->key, entry->key_len, shared);
	p = head_put(e, entry, fields, p);
	p = text_put(e, entry, fields, p);
	if (fields & FIELD_XATTR_REF) {
		uint64_t code;
		status = put_ref(e, &entry->refs[entry->xattr_ref], &code, err);
		if (status != 0)
			return status;
		p = wire_put_varint(p, code);
	}
	status = body_put(e, entry, fields, &p, err);
	if (status != 0)
		return status;
	e->body.len = (size_t)(p - e->body.data);
	e->count++;
	return 0;
}

int node_encoder_child(
	struct node_encoder *e, const struct node_child *child, const struct chunk_ref *ref, struct error *err)
{
	size_t shared;
	uint64_t code;
	int status = key_check(e, child->key, child->key_len, &shared, err);
	if (status == 0)
		status = element_reserve(e, child->key_len, 6 * NODE_VARINT_MAX, err);
	if (status == 0)
		status = put_ref(e, ref, &code, err);
	if (status != 0)
		return status;
	/* Children have different keys, so different ids; the decoder counts on one reference a child. */
	if (code != 1)
		return error_set(err, ERR_BUG, "two children of a tree node have one id");
	uint8_t *p = key_put(e, e->body.data + e->body.len, child->key, child->key_len, shared);
	p = wire_put_varint(p, child->entries);
	p = wire_put_varint(p, child->dirs);
	p = wire_put_varint(p, child->bytes);
	e->body.len = (size_t)(p - e->body.data);
	e->count++;
	return 0;
}

int node_encoder_extent(
	struct node_encoder *e, const struct extent *extent, const struct chunk_ref *ref, struct error *err)
{
	struct extent x = *extent;
	x.ref = ref ? 0 : EXTENT_HOLE;
	if (!extent_ok(&x, 1))
		return error_set(err, ERR_BUG, "an extent is malformed");
	int status = element_reserve(e, 0, 3 * NODE_VARINT_MAX, err);
	if (status != 0)
		return status;
	uint8_t *p = wire_put_varint(e->body.data + e->body.len, x.length);
	status = extent_put(e, &x, ref, &p, err);
	if (status != 0)
		return status;
	e->body.len = (size_t)(p - e->body.data);
	e->count++;
	return 0;
}

int node_encoder_xattrs(struct node_encoder *e, const void *xattrs, size_t len, struct error *err)
{
	if (len == 0 || e->count > 0 || !xattrs_ok(xattrs, len))
		return error_set(err, ERR_BUG, "extended attributes are malformed");
	buf_put(&e->body, xattrs, len);
	e->count = 1;
	return 0;
}

/* ---- the whole ---- */

static void content_put(const struct node_encoder *e, struct buf *b)
{
	buf_put_u8(b, (uint8_t)e->type);
	buf_put_u8(b, e->level);
	if (e->type != NODE_XATTRS)
		buf_put_varint(b, e->count);
	if (e->type == NODE_LEAF || e->type == NODE_EXTENTS)
		buf_put_varint(b, e->refs.count);
	if (e->type == NODE_LEAF)
		buf_put_varint(b, e->class_count);
	if (e->type == NODE_LEAF || e->type == NODE_INNER)
		buf_put_varint(b, e->text);
	if (e->type == NODE_LEAF) {
		buf_put_varint(b, e->extents);
		buf_put_varint(b, e->pieces);
	}
	node_refs_put_ids(&e->refs, b);
	buf_put(b, e->classes.data, e->classes.len);
	buf_put(b, e->body.data, e->body.len);
}

int node_encoder_finish(
	struct node_encoder *e, struct buf *ret, size_t *ret_content_offset, size_t *ret_content_len, struct error *err)
{
	enum { LENGTH = 4 };
	if (e->count > NODE_COUNT_CUT || e->key_bytes > NODE_KEYS_CUT + ENTRY_KEY_MAX)
		return error_set(err, ERR_BUG, "a tree node was not cut in time");
	buf_clear(ret);
	buf_put_zeros(ret, LENGTH);
	content_put(e, ret);
	size_t content_len = ret->len - LENGTH;
	int status = node_refs_put_locators(&e->refs, ret, err);
	if (status != 0)
		return status;
	if (buf_failed(ret) || buf_failed(&e->body) || buf_failed(&e->classes))
		return error_no_memory(err, "a node");
	if (ret->len > NODE_PLAIN_MAX)
		return error_set(err, ERR_UNSUPPORTED, "an entry is too large for a tree node (%zu bytes of %d)",
			ret->len, NODE_PLAIN_MAX);
	wire_put_u32(ret->data, (uint32_t)content_len);
	encoder_reset(e);
	*ret_content_offset = LENGTH;
	*ret_content_len = content_len;
	return 0;
}
