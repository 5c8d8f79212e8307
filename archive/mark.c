/* SPDX-License-Identifier: MIT */
#include "archive/mark.h"

#include <stdlib.h>
#include <string.h>

#include "archive/fields.h"
#include "archive/object.h"
#include "archive/signed.h"
#include "base/checked.h"
#include "base/clock.h"
#include "base/host.h"

enum mark_tag {
	TAG_ID = 1 | TLV_CRITICAL,
	TAG_SLOT = 2 | TLV_CRITICAL, /* absent: signed by root */
	TAG_KIND = 3 | TLV_CRITICAL,
	TAG_SUBJECT = 4 | TLV_CRITICAL,
	TAG_TIME = 5 | TLV_CRITICAL,
	TAG_REASON = 6,
	TAG_DATA = 7 | TLV_CRITICAL,
};

enum { MARK_REASON_MAX = 64 << 10, MARK_STATEMENT_MAX = 48 << 20 };

static const struct field fields[] = {
	{TAG_ID, FIELD_ID, offsetof(struct mark, id), 0},
	{TAG_SLOT, FIELD_ID, offsetof(struct mark, slot), 0},
	{TAG_KIND, FIELD_U32, offsetof(struct mark, kind), UINT32_MAX},
	{TAG_SUBJECT, FIELD_ID, offsetof(struct mark, subject), 0},
	{TAG_TIME, FIELD_S64, offsetof(struct mark, time), 0},
	{TAG_REASON, FIELD_STR, offsetof(struct mark, reason), MARK_REASON_MAX},
};

/* What a signer needs for a kind of mark. 0: the root key; anything else: one of these rights. False for an unknown
 * kind. */
static bool mark_right(enum mark_kind kind, unsigned *ret_rights)
{
	switch (kind) {
	case MARK_HOLD:
	case MARK_UNHOLD:
		*ret_rights = RIGHT_HOLD;
		return true;
	case MARK_FORGET:
		*ret_rights = RIGHT_FORGET;
		return true;
	case MARK_VERIFIED:
	case MARK_DAMAGED:
	case MARK_UNDAMAGED:
	case MARK_DRILL:
		*ret_rights = RIGHT_READ;
		return true;
	case MARK_REPLICAS:
		*ret_rights = RIGHT_KEYS;
		return true;
	case MARK_REVOKED:
	case MARK_GENERATION:
		*ret_rights = 0;
		return true;
	}
	return false;
}

void mark_free(struct mark *m)
{
	if (!m)
		return;
	free(m->reason);
	free(m->data);
	free(m);
}

struct mark *mark_copy(const struct mark *from)
{
	struct mark *m = malloc(sizeof(*m));
	if (!m)
		return NULL;
	*m = *from;
	m->reason = strdup(from->reason ? from->reason : "");
	m->data = from->data_len ? malloc(from->data_len) : NULL;
	if (!m->reason || (from->data_len && !m->data)) {
		mark_free(m);
		return NULL;
	}
	if (from->data_len)
		memcpy(m->data, from->data, from->data_len);
	return m;
}

/* Seals the statement of m under a fresh key and puts it. */
static int put_signed(struct repo *repo, const struct mark *m, bool by_root, const uint8_t key[static FORMAT_KEY_LEN],
	struct error *err)
{
	struct buf statement = {0}, content = {0};
	fields_put(&statement, fields, ARRAY_LEN(fields), m);
	if (m->data_len > 0)
		tlv_put(&statement, TAG_DATA, m->data, m->data_len);
	int rc = signed_put(repo, KIND_MARK, by_root, &statement, &content, err);
	if (rc == 0)
		rc = object_put(repo, KIND_MARK, &m->id, key, content.data, content.len, NULL, err);
	buf_release(&statement);
	buf_release(&content);
	return rc;
}

int mark_put(struct repo *repo, struct mark *m, struct error *err)
{
	uint8_t key[FORMAT_KEY_LEN];
	unsigned rights = 0;
	if (!mark_right(m->kind, &rights))
		return error_set(err, ERR_BUG, "a mark of unknown kind %d was to be made", (int)m->kind);
	bool by_root = rights == 0;
	if (!(repo->own->rights & (by_root ? RIGHT_KEYS : rights)))
		return error_set(err, ERR_DENIED, "this key has not the right to say that of a snapshot or key");
	object_draw(repo, KIND_MARK, key, &m->id);
	m->slot = by_root ? (struct id){0} : repo->own->id;
	m->time = clock_now();
	int rc = put_signed(repo, m, by_root, key, err);
	host_wipe(key, sizeof(key));
	return rc == 0 ? 0 : error_wrap(err, rc, "putting a mark");
}

static int take_data(struct mark *m, const struct cursor *value, struct error *err)
{
	size_t len = cursor_left(value);
	if (m->data || len == 0)
		return error_set(err, ERR_CORRUPT, "a mark holds malformed data");
	m->data = malloc(len);
	if (!m->data)
		return error_no_memory(err, "a mark");
	memcpy(m->data, value->p, len);
	m->data_len = len;
	return 0;
}

static int take_statement(struct mark *m, const struct signed_view *view, const char *where, struct error *err)
{
	struct cursor c = cursor_of(view->data, view->len), value;
	uint64_t seen = 0;
	uint16_t tag = 0;
	int rc = 0;
	while (rc >= 0 && tlv_next(&c, &tag, &value)) {
		if (tag == TAG_DATA)
			rc = take_data(m, &value, err);
		else
			rc = fields_get(fields, ARRAY_LEN(fields), &seen, m, tag, &value, where, err);
		if (rc == 0 && tag != TAG_DATA)
			rc = tlv_unknown(tag, where, err);
	}
	if (rc < 0)
		return rc;
	if (!cursor_done(&c) || m->kind == 0)
		return error_set(err, ERR_CORRUPT, "'%s' is malformed", where);
	if (!m->reason && !(m->reason = strdup("")))
		return error_no_memory(err, "a mark");
	return 0;
}

static int judge(const struct signers *signers, const struct mark *m, const struct id *id,
	const struct signed_view *view, const char *where, struct error *err)
{
	unsigned rights = 0;
	if (!id_equal(&m->id, id))
		return error_set(err, ERR_CORRUPT, "'%s' holds another mark's statement", where);
	if (!mark_right(m->kind, &rights))
		return error_set(err, ERR_UNSUPPORTED, "'%s' is a mark of unknown kind %d: use a newer drfs", where,
			(int)m->kind);
	if (rights != 0)
		return signers_check(signers, KIND_MARK, id, &m->slot, rights, view, where, NULL, err);
	if (!id_is_zero(&m->slot))
		return error_set(err, ERR_DENIED, "'%s' is a mark that only the root key may make", where);
	if (!signed_fits(signers->repo, KIND_MARK, view, signers->repo->sec->root_public))
		return error_set(err, ERR_CORRUPT, "'%s' does not bear the signature of the root key", where);
	return 0;
}

int mark_decode_by(const struct signers *signers, const struct id *id, const void *data, size_t len,
	struct mark **ret_mark, struct error *err)
{
	char where[FORMAT_NAME_MAX];
	struct cursor c = cursor_of(data, len);
	struct signed_view view;
	object_name(KIND_MARK, 0, id, where);
	if (!signed_split(&c, MARK_STATEMENT_MAX, &view) || !cursor_done(&c))
		return error_set(err, ERR_CORRUPT, "'%s' is cut off", where);
	struct mark *m = calloc(1, sizeof(*m));
	int rc = m ? take_statement(m, &view, where, err) : error_no_memory(err, "a mark");
	if (rc == 0)
		rc = judge(signers, m, id, &view, where, err);
	if (rc != 0) {
		mark_free(m);
		return rc;
	}
	*ret_mark = m;
	return 0;
}

bool mark_claims_revocation(const void *data, size_t len)
{
	struct cursor c = cursor_of(data, len), value;
	struct signed_view view;
	uint16_t tag = 0;
	if (!signed_split(&c, MARK_STATEMENT_MAX, &view))
		return false;
	c = cursor_of(view.data, view.len);
	while (tlv_next(&c, &tag, &value))
		if (tag == TAG_KIND)
			return cursor_varint(&value) == MARK_REVOKED && cursor_done(&value);
	return false;
}

int mark_decode(const struct repo *repo, const struct id *id, const void *data, size_t len, struct mark **ret_mark,
	struct error *err)
{
	const struct signers signers = {.repo = repo};
	return mark_decode_by(&signers, id, data, len, ret_mark, err);
}

/* All objects that a slot may have signed, as they stand now. */
static int list_signed(struct repo *repo, struct id_list *ret, struct error *err)
{
	static const char *const prefixes[] = {"snapshots/", "summaries/", "marks/", "index/"};
	struct id_list all = {0};
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(prefixes); i++) {
		struct id_list part = {0};
		rc = repo_list_ids(repo->store, prefixes[i], repo->log, &part, err);
		if (rc == 0 && !id_list_add_all(&all, part.ids, part.count))
			rc = error_no_memory(err, "a revocation");
		id_list_release(&part);
	}
	if (rc != 0) {
		id_list_release(&all);
		return rc;
	}
	id_list_sort(&all);
	*ret = all;
	return 0;
}

int mark_put_revocation(struct repo *repo, const struct id *slot, struct error *err)
{
	struct mark m = {.kind = MARK_REVOKED, .subject = *slot};
	struct id_list ids = {0};
	struct buf data = {0};
	const struct slot_card *card = repo_slot(repo, slot);
	/* Without a card (its object is damaged) the mark says no more than that the slot is gone. */
	int rc = card ? list_signed(repo, &ids, err) : 0;
	if (rc == 0 && card)
		rc = signers_revocation(card, &ids, &data, err);
	if (rc == 0) {
		m.data = data.data;
		m.data_len = data.len;
		rc = mark_put(repo, &m, err);
	}
	buf_release(&data);
	id_list_release(&ids);
	return rc;
}
