/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "archive/mark.h"
#include "archive/repo_slots.h"
#include "base/host.h"

static bool holds_root(const struct repo *repo)
{
	static const uint8_t zeros[SEAL_SIGN_SECRET_LEN];
	return (repo->own->rights & RIGHT_KEYS) && !host_equal(repo->sec->root_secret, zeros, sizeof(zeros));
}

static int keys_check(const struct repo *repo, struct error *err)
{
	int rc = repo_may_write(repo, err);
	if (rc == 0 && !holds_root(repo))
		rc = error_set(err, ERR_DENIED, "this key may not add or remove keys");
	return rc;
}

/* Puts the card where its id belongs. */
static void cards_insert(struct slot_card **cards, unsigned count, struct slot_card *card)
{
	unsigned at = count;
	for (; at > 0 && id_compare(&card->id, &cards[at - 1]->id) < 0; at--)
		cards[at] = cards[at - 1];
	cards[at] = card;
}

int repo_key_add(
	struct repo *repo, const struct repo_unlock *unlock, const char *label, struct id *ret_slot, struct error *err)
{
	int rc = keys_check(repo, err);
	if (rc != 0)
		return rc;
	/* Room first: what is in the store must not fail to be known here. */
	struct slot_card **slots = reallocarray(repo->slots, repo->slot_count + 1, sizeof(struct slot_card *));
	if (!slots)
		return error_no_memory(err, "a key slot");
	repo->slots = slots;
	struct slot_card *card;
	rc = repo_put_slot(repo->store, &repo->config, repo->sec, unlock, label, repo->own->rights, &card, err);
	if (rc != 0)
		return rc;
	cards_insert(repo->slots, repo->slot_count++, card);
	*ret_slot = card->id;
	return 0;
}

void repo_revoke(struct repo *repo, const struct id *slot)
{
	for (unsigned i = 0; i < repo->slot_count; i++) {
		struct slot_card *card = repo->slots[i];
		if (!id_equal(&card->id, slot))
			continue;
		repo->slot_count--;
		memmove(repo->slots + i, repo->slots + i + 1, (repo->slot_count - i) * sizeof(struct slot_card *));
		if (card == repo->own)
			log_warn(repo->log, "the key slot that opened this repository was revoked");
		else
			slot_card_free(card);
		return;
	}
}

int repo_key_may_remove(struct repo *repo, const struct id *slot, bool force, struct error *err)
{
	char name[FORMAT_NAME_MAX];
	uint64_t size;
	int rc = keys_check(repo, err);
	if (rc != 0)
		return rc;
	object_name(KIND_SLOT, 0, slot, name);
	/* A removal that was cut off left a mark and the object; it is carried on here. */
	if (!repo_slot(repo, slot) && store_stat(repo->store, NULL, name, &size, err) != 0)
		return error_wrap(err, ERR_NOT_FOUND, "removing a key");
	if (!force && repo_slot(repo, slot) && repo->slot_count == 1)
		return error_set(err, ERR_USAGE, "this is the last key: without it nobody opens the repository again");
	if (!force && id_equal(slot, &repo->own->id))
		return error_set(err, ERR_USAGE, "this is the key in use: remove it with another key");
	return 0;
}

int repo_key_remove(struct repo *repo, const struct id *slot, bool force, struct error *err)
{
	char name[FORMAT_NAME_MAX];
	int rc = repo_key_may_remove(repo, slot, force, err);
	if (rc != 0)
		return rc;
	object_name(KIND_SLOT, 0, slot, name);
	rc = mark_put_revocation(repo, slot, err);
	if (rc == 0)
		rc = store_del(repo->store, NULL, name, err);
	if (rc == 0)
		repo_revoke(repo, slot);
	return rc;
}
