/* SPDX-License-Identifier: MIT */
/*
 * From bytes to a snapshot that may be believed. Decoding comes first, since
 * it tells who should have signed; nothing decoded leaves this file before
 * the signature and the signer's rights were found good.
 */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "archive/node.h"
#include "archive/signed.h"
#include "archive/snapshot_codec.h"

/* One decoding under way. */
struct decoding {
	struct snapshot *s;
	uint64_t seen;     /* fields met */
	bool root, top;    /* these were met */
	const char *where; /* for messages */
};

static int malformed(const struct decoding *d, const char *what, struct error *err)
{
	return error_set(err, ERR_CORRUPT, "'%s' holds %s that is malformed", d->where, what);
}

static void take_locator(struct cursor *c, struct locator *l)
{
	cursor_copy(c, &l->pack, sizeof(l->pack));
	l->offset = cursor_varint_max(c, INT64_MAX);
	l->stored = (uint32_t)cursor_varint_max(c, CHUNK_STORED_MAX);
	l->plain = (uint32_t)cursor_varint_max(c, CHUNK_PLAIN_MAX);
}

static int take_root(struct decoding *d, struct cursor *c, struct error *err)
{
	struct tree_root *root = &d->s->root;
	if (d->root)
		return malformed(d, "a second root", err);
	d->root = true;
	root->level = cursor_u8(c);
	root->entries = cursor_varint(c);
	root->dirs = cursor_varint(c);
	root->bytes = cursor_varint(c);
	if (root->entries > 0) {
		cursor_copy(c, &root->ref.id, sizeof(root->ref.id));
		root->ref.depth = cursor_u8(c);
		if (root->ref.depth > CHUNK_DEPTH_MAX)
			return malformed(d, "a root", err);
		for (unsigned i = 0; i <= root->ref.depth; i++)
			take_locator(c, &root->ref.chain[i]);
	}
	bool bad = !cursor_done(c) || root->level > NODE_LEVEL_MAX || root->dirs > root->entries ||
		   (root->entries == 0 && (root->bytes > 0 || root->level > 0));
	return bad ? malformed(d, "a root", err) : 0;
}

static int take_xattrs(struct decoding *d, const struct cursor *value, struct error *err)
{
	struct entry *top = &d->s->top;
	struct cursor c = *value;
	const char *name = NULL;
	const uint8_t *bytes = NULL;
	size_t name_len = 0, len = 0, whole = cursor_left(value);
	if (top->xattrs || whole == 0 || whole > ENTRY_XATTR_MAX)
		return malformed(d, "a list of extended attributes", err);
	while (xattr_next(&c, &name, &name_len, &bytes, &len))
		;
	if (!cursor_done(&c))
		return malformed(d, "a list of extended attributes", err);
	uint8_t *copy = malloc(whole);
	if (!copy)
		return error_no_memory(err, "a snapshot");
	memcpy(copy, value->p, whole);
	top->xattrs = copy;
	top->xattrs_len = whole;
	return 0;
}

static int take_top(struct decoding *d, struct cursor *c, struct error *err)
{
	struct entry *top = &d->s->top;
	struct cursor value;
	uint64_t seen = 0;
	uint16_t tag = 0;
	int rc = 0;
	if (d->top)
		return malformed(d, "a second set of attributes", err);
	d->top = true;
	while (rc >= 0 && tlv_next(c, &tag, &value)) {
		if (tag == TOP_XATTRS)
			rc = take_xattrs(d, &value, err);
		else
			rc = fields_get(
				snapshot_top_fields, snapshot_top_field_count, &seen, top, tag, &value, d->where, err);
		if (rc == 0 && tag != TOP_XATTRS)
			rc = tlv_unknown(tag, d->where, err);
	}
	if (rc < 0)
		return rc;
	if (!cursor_done(c))
		return malformed(d, "a set of attributes", err);
	top->mode = S_IFDIR | (top->mode & 07777);
	return 0;
}

/* A text of at most SNAPSHOT_TEXT_MAX without NUL bytes, in fresh memory. */
static int take_text(struct decoding *d, const struct cursor *value, char **ret_text, struct error *err)
{
	size_t len = cursor_left(value);
	if (len > SNAPSHOT_TEXT_MAX || (len > 0 && memchr(value->p, 0, len)))
		return malformed(d, "a text", err);
	char *text = malloc(len + 1);
	if (!text)
		return error_no_memory(err, "a snapshot");
	if (len > 0)
		memcpy(text, value->p, len);
	text[len] = '\0';
	free(*ret_text);
	*ret_text = text;
	return 0;
}

/* Room for one more of `size` bytes at the end of a list, zeroed. Capacity grows by powers of two. */
static void *append(void **list, unsigned *count, unsigned max, size_t size)
{
	if (*count >= max)
		return NULL;
	if ((*count & (*count - 1)) == 0) {
		void *more = reallocarray(*list, *count ? (size_t)*count * 2 : 1, size);
		if (!more)
			return NULL;
		*list = more;
	}
	void *one = (char *)*list + (size_t)*count * size;
	memset(one, 0, size);
	(*count)++;
	return one;
}

static int take_list_text(struct decoding *d, const struct snapshot_texts *t, struct cursor *value, struct error *err)
{
	void **list = (void **)((char *)d->s + t->list);
	unsigned *count = (unsigned *)((char *)d->s + t->count);
	char **text = append(list, count, t->max, sizeof(*text));
	return text ? take_text(d, value, text, err) : malformed(d, "a list of texts", err);
}

static int take_ok(struct decoding *d, struct cursor *value, struct snapshot_check *check, struct error *err)
{
	check->ok = cursor_varint_max(value, 1) == 1;
	return cursor_done(value) ? 0 : malformed(d, "a check", err);
}

static int take_check(struct decoding *d, struct cursor *c, struct error *err)
{
	struct snapshot *s = d->s;
	struct cursor value;
	uint16_t tag = 0;
	struct snapshot_check *check = append((void **)&s->checks, &s->check_count, SNAPSHOT_LIST_MAX, sizeof(*check));
	int rc = check ? 0 : malformed(d, "a list of checks", err);
	while (rc == 0 && tlv_next(c, &tag, &value)) {
		if (tag == CHECK_PATH)
			rc = take_text(d, &value, &check->path, err);
		else if (tag == CHECK_KIND)
			rc = take_text(d, &value, &check->kind, err);
		else if (tag == CHECK_REASON)
			rc = take_text(d, &value, &check->reason, err);
		else if (tag == CHECK_OK)
			rc = take_ok(d, &value, check, err);
		else
			rc = tlv_unknown(tag, d->where, err);
	}
	if (rc != 0)
		return rc;
	bool whole = (check->path || (check->path = strdup(""))) && (check->kind || (check->kind = strdup(""))) &&
		     (check->reason || (check->reason = strdup("")));
	return whole && cursor_done(c) ? 0 : malformed(d, "a check", err);
}

static int take_seen(struct decoding *d, struct cursor *c, struct error *err)
{
	struct snapshot *s = d->s;
	struct snapshot_seen *seen = append((void **)&s->seen, &s->seen_count, SNAPSHOT_LIST_MAX, sizeof(*seen));
	if (!seen)
		return malformed(d, "a list of slots", err);
	cursor_copy(c, &seen->slot, sizeof(seen->slot));
	seen->seq = cursor_varint(c);
	return cursor_done(c) ? 0 : malformed(d, "a list of slots", err);
}

static int take_special(struct decoding *d, uint16_t tag, struct cursor *value, struct error *err)
{
	for (size_t i = 0; i < 3; i++)
		if (tag == snapshot_texts[i].tag)
			return take_list_text(d, &snapshot_texts[i], value, err);
	switch (tag) {
	case SNAP_VOID:
		d->s->is_void = true;
		return cursor_done(value) ? 0 : malformed(d, "a void", err);
	case SNAP_ROOT:
		return take_root(d, value, err);
	case SNAP_TOP:
		return take_top(d, value, err);
	case SNAP_CHECK:
		return take_check(d, value, err);
	case SNAP_SEEN:
		return take_seen(d, value, err);
	default:
		return tlv_unknown(tag, d->where, err);
	}
}

static int take_statement(struct decoding *d, const struct signed_view *view, struct error *err)
{
	struct cursor c = cursor_of(view->data, view->len), value;
	uint16_t tag = 0;
	int rc = 0;
	while (rc >= 0 && tlv_next(&c, &tag, &value)) {
		rc = fields_get(snapshot_fields, snapshot_field_count, &d->seen, d->s, tag, &value, d->where, err);
		if (rc == 0)
			rc = take_special(d, tag, &value, err);
	}
	if (rc >= 0 && cursor_failed(&c))
		return malformed(d, "a statement", err);
	return rc < 0 ? rc : 0;
}

/* Names are shown as file names: a digit first, so that none can pass for "latest" or "at", and no surprising byte. */
static bool name_ok(const char *name)
{
	if (name[0] < '0' || name[0] > '9')
		return false;
	return name[strspn(name, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ:.-_")] == '\0';
}

static bool ends_partial(const char *name)
{
	static const char suffix[] = ".partial";
	size_t len = strlen(name);
	return len >= sizeof(suffix) && strcmp(name + len - (sizeof(suffix) - 1), suffix) == 0;
}

static int judge_content(const struct decoding *d, const struct id *id, struct error *err)
{
	const struct snapshot *s = d->s;
	struct error why = ERROR_INIT;
	if (!id_equal(&s->id, id))
		return error_set(err, ERR_CORRUPT, "'%s' holds another snapshot's statement", d->where);
	if (s->is_void)
		return 0;
	if (!d->root || !d->top || s->number < 1 || s->seq < 1)
		return error_set(err, ERR_CORRUPT, "'%s' lacks a field that every snapshot has", d->where);
	if (!name_ok(s->name) || ends_partial(s->name) != (s->state == SNAPSHOT_PARTIAL))
		return malformed(d, "a name", err);
	if (snapshot_dataset_ok(s->dataset, &why) != 0)
		return error_set(err, ERR_CORRUPT, "'%s' names a dataset that is none: %s", d->where, error_text(&why));
	return 0;
}

static int judge_signer(
	const struct decoding *d, const struct signers *signers, const struct signed_view *view, struct error *err)
{
	const struct slot_card *card = NULL;
	const struct snapshot *s = d->s;
	unsigned rights = s->is_void ? RIGHT_WRITE | RIGHT_PRUNE : RIGHT_WRITE;
	int rc = signers_check(signers, KIND_SNAPSHOT, &s->id, &s->slot, rights, view, d->where, &card, err);
	if (rc != 0 || s->is_void || slot_may_write(card, s->dataset))
		return rc;
	return error_set(err, ERR_DENIED, "'%s' is signed by a key slot that may not write the dataset '%s'", d->where,
		s->dataset);
}

/* The root node that came along. It proves itself when it is opened; here only its bounds are looked at. */
static int take_extra(struct decoding *d, struct cursor *c, struct error *err)
{
	struct snapshot *s = d->s;
	struct cursor value;
	uint16_t tag = 0;
	int rc = 0;
	while (rc == 0 && tlv_next(c, &tag, &value)) {
		if (tag == EXTRA_ROOT_SEALED && cursor_left(&value) <= SNAPSHOT_ROOT_SEALED_MAX) {
			buf_clear(&s->root_sealed);
			buf_put(&s->root_sealed, value.p, cursor_left(&value));
		} else if (tag == EXTRA_ROOT_KEY) {
			cursor_copy(&value, s->root_key, sizeof(s->root_key));
		} else {
			rc = tlv_unknown(tag, d->where, err);
		}
	}
	if (rc == 0 && !cursor_done(c))
		rc = malformed(d, "a root node", err);
	return rc;
}

static int finish(struct decoding *d, const struct signed_view *view, struct error *err)
{
	struct snapshot *s = d->s;
	free(s->stated_name);
	s->stated_name = strdup(s->name);
	s->stated_number = s->number;
	s->stated_state = s->state;
	if (!s->stated_name || buf_failed(&s->root_sealed))
		return error_no_memory(err, "a snapshot");
	crypto_generichash(s->statement_hash.b, sizeof(s->statement_hash.b), view->data, view->len, NULL, 0);
	return 0;
}

int snapshot_decode_by(const struct signers *signers, const struct id *id, const void *data, size_t len,
	struct snapshot **ret_snapshot, struct error *err)
{
	char where[FORMAT_NAME_MAX];
	struct cursor c = cursor_of(data, len);
	struct signed_view view;
	object_name(KIND_SNAPSHOT, 0, id, where);
	if (!signed_split(&c, SNAPSHOT_STATEMENT_MAX, &view))
		return error_set(err, ERR_CORRUPT, "'%s' is cut off", where);
	struct decoding d = {.s = snapshot_new(), .where = where};
	int rc = d.s ? take_statement(&d, &view, err) : error_no_memory(err, "a snapshot");
	if (rc == 0)
		rc = judge_content(&d, id, err);
	if (rc == 0)
		rc = judge_signer(&d, signers, &view, err);
	if (rc == 0)
		rc = take_extra(&d, &c, err);
	if (rc == 0)
		rc = finish(&d, &view, err);
	if (rc != 0) {
		snapshot_free(d.s);
		return rc;
	}
	*ret_snapshot = d.s;
	return 0;
}

int snapshot_decode(const struct repo *repo, const struct id *id, const void *data, size_t len,
	struct snapshot **ret_snapshot, struct error *err)
{
	const struct signers signers = {.repo = repo};
	return snapshot_decode_by(&signers, id, data, len, ret_snapshot, err);
}
