/* SPDX-License-Identifier: MIT */
#include "archive/prunelist_codec.h"

#include <stdio.h>

#include "archive/signed.h"
#include "base/host.h"

enum prunelist_tag {
	TAG_NUMBER = 1 | TLV_CRITICAL,
	TAG_SLOT = 2 | TLV_CRITICAL,
	TAG_PACKS = 3 | TLV_CRITICAL,
	TAG_MARKS = 4 | TLV_CRITICAL,
};

static enum object_kind kind_of(bool verdict)
{
	return verdict ? KIND_VERDICT : KIND_CONDEMNED;
}

static int seal_content(const struct repo *repo, uint64_t n, bool verdict, const struct prunelist *list,
	struct buf *ret, struct error *err)
{
	struct buf statement = {0};
	tlv_put_u64(&statement, TAG_NUMBER, n);
	tlv_put(&statement, TAG_SLOT, &repo->own->id, sizeof(struct id));
	tlv_put(&statement, TAG_PACKS, list->packs.ids, list->packs.count * sizeof(struct id));
	if (list->marks.count > 0)
		tlv_put(&statement, TAG_MARKS, list->marks.ids, list->marks.count * sizeof(struct id));
	int rc = signed_put(repo, kind_of(verdict), false, &statement, ret, err);
	buf_release(&statement);
	return rc;
}

int prunelist_seal(
	struct repo *repo, uint64_t n, bool verdict, const struct prunelist *list, struct buf *ret, struct error *err)
{
	enum object_kind kind = kind_of(verdict);
	const struct object_header header = {
		.kind = (uint8_t)kind, .version = FORMAT_VERSION, .trailer = (uint8_t)repo->config.trailer};
	uint8_t key[FORMAT_KEY_LEN], wrap[SEAL_WRAP_LEN];
	uint32_t generation = 0;
	struct id id;
	struct buf content = {0}, inner = {0};
	object_draw(repo, kind, key, &id);
	int rc = seal_content(repo, n, verdict, list, &content, err);
	if (rc == 0)
		rc = object_seal(repo, kind, &id, key, content.data, content.len, &inner, err);
	if (rc == 0)
		rc = object_make_wrap(repo, key, wrap, &generation, err);
	if (rc == 0) {
		buf_clear(ret);
		object_header_put(ret, &header);
		buf_put(ret, &id, sizeof(id));
		buf_put_u32(ret, generation);
		buf_put(ret, wrap, sizeof(wrap));
		buf_put(ret, inner.data, inner.len);
		object_trailer_put(ret, repo->config.trailer);
		rc = buf_failed(ret) ? error_no_memory(err, "a prune list") : 0;
	}
	host_wipe(key, sizeof(key));
	buf_release(&content);
	buf_release(&inner);
	return rc;
}

static int take_tag(struct prunelist *list, uint16_t tag, struct cursor *value, const char *where, struct error *err)
{
	struct id_list *to = tag == TAG_PACKS ? &list->packs : &list->marks;
	if (tag != TAG_PACKS && tag != TAG_MARKS)
		return tlv_unknown(tag, where, err);
	if (to->count > 0 || !id_list_unpack(to, value->p, cursor_left(value)))
		return error_set(err, ERR_CORRUPT, "'%s' holds a malformed list", where);
	return 0;
}

static int take_slot(struct cursor *value, struct id *slot, const char *where, struct error *err)
{
	bool twice = !id_is_zero(slot);
	cursor_copy(value, slot, sizeof(*slot));
	return twice || !cursor_done(value) ? error_set(err, ERR_CORRUPT, "'%s' is malformed", where) : 0;
}

static int take_statement(const struct signed_view *view, uint64_t n, const char *where, struct prunelist *list,
	struct id *slot, struct error *err)
{
	struct cursor c = cursor_of(view->data, view->len), value;
	uint16_t tag = 0;
	bool numbered = false;
	int rc = 0;
	while (rc == 0 && tlv_next(&c, &tag, &value)) {
		if (tag == TAG_NUMBER)
			numbered = cursor_varint(&value) == n && cursor_done(&value);
		else if (tag == TAG_SLOT)
			rc = take_slot(&value, slot, where, err);
		else
			rc = take_tag(list, tag, &value, where, err);
	}
	if (rc == 0 && (!cursor_done(&c) || !numbered))
		rc = error_set(err, ERR_CORRUPT, "'%s' is malformed", where);
	id_list_sort(&list->packs);
	id_list_sort(&list->marks);
	return rc;
}

int prunelist_decode(const struct repo *repo, uint64_t n, bool verdict, const void *data, size_t len,
	struct prunelist *ret, struct error *err)
{
	char where[FORMAT_NAME_MAX];
	struct cursor c = cursor_of(data, len);
	struct signed_view view;
	struct prunelist list = {0};
	struct id slot = {0};
	const struct signers signers = {.repo = repo};
	snprintf(where, sizeof(where), "prune/%llu.%s", (unsigned long long)n, verdict ? "verdict" : "condemned");
	if (!signed_split(&c, len, &view) || !cursor_done(&c))
		return error_set(err, ERR_CORRUPT, "'%s' is cut off", where);
	int rc = take_statement(&view, n, where, &list, &slot, err);
	if (rc != 0) {
		prunelist_release(&list);
		return rc;
	}
	list.proven =
		signers_check(&signers, kind_of(verdict), &slot, &slot, RIGHT_PRUNE, &view, where, NULL, NULL) == 0;
	*ret = list;
	return 0;
}

int prunelist_open(struct repo *repo, uint64_t n, bool verdict, const void *data, size_t len, struct prunelist *ret,
	struct error *err)
{
	enum object_kind kind = kind_of(verdict);
	char where[FORMAT_NAME_MAX];
	struct object_header header;
	uint8_t key[FORMAT_KEY_LEN], wrap[SEAL_WRAP_LEN];
	struct id id;
	struct buf content = {0};
	snprintf(where, sizeof(where), "prune/%llu.%s", (unsigned long long)n, verdict ? "verdict" : "condemned");
	int rc = object_verify(data, len, (int)kind, where, &header, err);
	if (rc != 0)
		return rc;
	struct cursor c =
		cursor_of((const uint8_t *)data + FORMAT_HEADER_LEN, len - FORMAT_HEADER_LEN - FORMAT_TRAILER_LEN);
	cursor_copy(&c, &id, sizeof(id));
	uint32_t generation = cursor_u32(&c);
	cursor_copy(&c, wrap, sizeof(wrap));
	if (cursor_failed(&c))
		return error_set(err, ERR_CORRUPT, "'%s' is cut off", where);
	rc = object_open_wrap(repo, kind, &id, generation, wrap, sizeof(wrap), key, err);
	if (rc == 0)
		rc = object_unseal(repo, kind, &id, key, c.p, cursor_left(&c), &content, err);
	if (rc == 0)
		rc = prunelist_decode(repo, n, verdict, content.data, content.len, ret, err);
	host_wipe(key, sizeof(key));
	buf_release(&content);
	return rc == 0 ? 0 : error_wrap(err, rc, "opening '%s'", where);
}

void prunelist_release(struct prunelist *list)
{
	id_list_release(&list->packs);
	id_list_release(&list->marks);
}
