/* SPDX-License-Identifier: MIT */
#include "archive/signed.h"

#include <stdlib.h>
#include <string.h>

#include "archive/proofs.h"
#include "archive/repo_slots.h"
#include "archive/slot.h"

int signed_put(const struct repo *repo, enum object_kind kind, bool by_root, const struct buf *statement,
	struct buf *ret, struct error *err)
{
	uint8_t signature[SEAL_SIGNATURE_LEN];
	if (buf_failed(statement))
		return error_no_memory(err, "a statement");
	if (by_root && !(repo->own->rights & RIGHT_KEYS))
		return error_set(
			err, ERR_DENIED, "this key may not sign for the repository: use one with the right 'keys'");
	const uint8_t *secret = by_root ? repo->sec->root_secret : repo->sec->sign_secret;
	int rc = seal_sign(secret, kind, repo->config.repository, statement->data, statement->len, signature, err);
	if (rc != 0)
		return rc;
	buf_put_blob(ret, statement->data, statement->len);
	buf_put(ret, signature, sizeof(signature));
	return buf_failed(ret) ? error_no_memory(err, "a statement") : 0;
}

bool signed_split(struct cursor *c, size_t max, struct signed_view *ret)
{
	const uint8_t *start = c->p;
	size_t len = 0;
	const uint8_t *data = cursor_blob(c, max, &len);
	const uint8_t *signature = cursor_bytes(c, SEAL_SIGNATURE_LEN);
	if (cursor_failed(c) || !signature)
		return false;
	*ret = (struct signed_view){.data = data, .len = len, .signature = signature, .whole = (size_t)(c->p - start)};
	return true;
}

bool signed_fits(const struct repo *repo, enum object_kind kind, const struct signed_view *view,
	const uint8_t public_key[static SEAL_PUBLIC_LEN])
{
	return seal_verify(public_key, kind, repo->config.repository, view->data, view->len, view->signature);
}

/* Is it that key's signature? Asked once: what was found good is remembered. */
static bool signature_good(const struct signers *signers, enum object_kind kind, const struct signed_view *view,
	const uint8_t public_key[static SEAL_PUBLIC_LEN])
{
	struct id hash;
	if (!signers->proofs)
		return signed_fits(signers->repo, kind, view, public_key);
	proofs_hash(kind, view, public_key, &hash);
	if (proofs_has(signers->proofs, &hash))
		return true;
	bool good = signed_fits(signers->repo, kind, view, public_key);
	if (good)
		proofs_note(signers->proofs, &hash);
	return good;
}

const struct slot_card *signers_find(const struct signers *signers, const struct id *slot, const struct id *id)
{
	const struct slot_card *card = NULL;
	bool revoked = false;
	for (size_t i = 0; i < signers->revoked_count; i++) {
		const struct revoked_slot *r = &signers->revoked[i];
		if (!id_equal(&r->card->id, slot))
			continue;
		/* A removal that was cut off and repeated leaves two marks: the first one's list is the shorter. */
		if (!id_list_has(&r->ids, id))
			return NULL;
		card = r->card;
		revoked = true;
	}
	if (revoked)
		return card;
	card = repo_slot(signers->repo, slot);
	for (unsigned i = 0; !card && i < signers->fresh_count; i++)
		if (id_equal(&signers->fresh[i]->id, slot))
			card = signers->fresh[i];
	return card;
}

int signers_check(const struct signers *signers, enum object_kind kind, const struct id *id, const struct id *slot,
	unsigned rights, const struct signed_view *view, const char *where, const struct slot_card **ret_card,
	struct error *err)
{
	char hex[ID_HEX_MAX];
	const struct slot_card *card = signers_find(signers, slot, id);
	id_hex(slot, hex);
	if (!card)
		return error_set(
			err, ERR_DENIED, "'%s' is signed by the key slot '%.8s', which is not known", where, hex);
	if (!(card->rights & rights))
		return error_set(
			err, ERR_DENIED, "'%s' is signed by the key slot '%.8s', which may not do that", where, hex);
	if (!signature_good(signers, kind, view, card->sign_public))
		return error_set(
			err, ERR_CORRUPT, "'%s' does not bear the signature of its key slot '%.8s'", where, hex);
	if (ret_card)
		*ret_card = card;
	return 0;
}

enum revocation_tag {
	REVOKED_CARD = 1 | TLV_CRITICAL,
	REVOKED_IDS = 2 | TLV_CRITICAL,
};

int signers_revocation(const struct slot_card *card, const struct id_list *ids, struct buf *ret, struct error *err)
{
	struct buf inner = {0};
	slot_card_put(&inner, card);
	if (buf_failed(&inner))
		ret->failed = true;
	else
		tlv_put(ret, REVOKED_CARD, inner.data, inner.len);
	tlv_put(ret, REVOKED_IDS, ids->ids, ids->count * sizeof(struct id));
	buf_release(&inner);
	return buf_failed(ret) ? error_no_memory(err, "a revocation") : 0;
}

static void revoked_release(struct revoked_slot *r)
{
	slot_card_free(r->card);
	id_list_release(&r->ids);
}

static int take_tag(struct revoked_slot *r, uint16_t tag, struct cursor *value, struct error *err)
{
	if (tag == REVOKED_CARD && !r->card)
		return slot_card_read(value, &r->card, err);
	if (tag != REVOKED_IDS)
		return tlv_unknown(tag, "a revocation", err);
	if (!id_list_unpack(&r->ids, value->p, cursor_left(value)))
		return error_set(err, ERR_CORRUPT, "a revocation holds a malformed list");
	return 0;
}

int signers_revoke(struct signers *signers, const struct id *slot, const void *data, size_t len, struct error *err)
{
	struct revoked_slot r = {0};
	struct cursor c = cursor_of(data, len), value;
	uint16_t tag = 0;
	int rc = 0;
	if (len == 0)
		return 0; /* of a slot that could not be read: nobody can check what it signed */
	while (rc == 0 && tlv_next(&c, &tag, &value))
		rc = take_tag(&r, tag, &value, err);
	if (rc == 0 && (cursor_failed(&c) || !r.card))
		rc = error_set(err, ERR_CORRUPT, "a revocation is cut off");
	struct revoked_slot *more = NULL;
	if (rc == 0) {
		more = realloc(signers->revoked, (signers->revoked_count + 1) * sizeof(*more));
		rc = more ? 0 : error_no_memory(err, "a revocation");
	}
	if (rc != 0) {
		revoked_release(&r);
		return rc;
	}
	r.card->id = *slot;
	id_list_sort(&r.ids);
	signers->revoked = more;
	more[signers->revoked_count++] = r;
	return 0;
}

int signers_refresh(struct signers *signers, struct error *err)
{
	const struct repo *repo = signers->repo;
	struct id_list keys = {0};
	struct slot_set set = {0};
	struct slot_card **cards = NULL;
	unsigned count = 0;
	int rc = repo_list_ids(repo->store, "keys/", repo->log, &keys, err);
	if (rc == 0)
		rc = slot_set_load(repo->store, &repo->config, &keys, repo->log, &set, err);
	if (rc == 0)
		rc = slot_set_cards(&set, &repo->config, repo->sec, repo->log, &cards, &count, err);
	slot_set_release(&set);
	id_list_release(&keys);
	if (rc != 0)
		return rc;
	repo_cards_free(signers->fresh, signers->fresh_count, NULL);
	signers->fresh = cards;
	signers->fresh_count = count;
	return 0;
}

void signers_release(struct signers *signers)
{
	repo_cards_free(signers->fresh, signers->fresh_count, NULL);
	signers->fresh = NULL;
	signers->fresh_count = 0;
	signers_forget_revoked(signers);
}

void signers_forget_revoked(struct signers *signers)
{
	for (size_t i = 0; i < signers->revoked_count; i++)
		revoked_release(&signers->revoked[i]);
	free(signers->revoked);
	signers->revoked = NULL;
	signers->revoked_count = 0;
}
