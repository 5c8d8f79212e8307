/* SPDX-License-Identifier: MIT */
#ifndef ARCHIVE_REPO_SLOTS_H
#define ARCHIVE_REPO_SLOTS_H

/*
 * The slots of a repository as they come from its store: fetched at once,
 * taken apart, opened. What is damaged, foreign or of a cut init is told in
 * the log and left out; only a store that cannot be asked is an error.
 * For repo.c and repo_keys.c; one thread at a time.
 */

#include "archive/repo_listing.h"
#include "archive/slot.h"

/* A slot and the bytes its view borrows from. */
struct slot_found {
	struct slot_view view;
	struct buf object;
};

struct slot_set {
	struct slot_found *found; /* in the order of ids */
	size_t count;
	size_t damaged;   /* could not be taken apart, or were not readable */
	struct error why; /* of the first damaged one */
};

/* Fetches and takes apart the slots of this config. The caller releases. */
int slot_set_load(struct store *store, const struct repo_config *config, const struct id_list *ids, struct log *log,
	struct slot_set *ret_set, struct error *err);
void slot_set_release(struct slot_set *set);
/*
 * Opens the first slot that opens; *ret_own: which one. ERR_PASSPHRASE: none does; ERR_CORRUPT: none could be tried,
 * since those of the kind are damaged or not there.
 */
int slot_set_unlock(const struct slot_set *set, const struct repo_config *config, const struct repo_unlock *unlock,
	struct repo_secrets *ret_sec, size_t *ret_own, struct error *err);
/* The cards of all that root signed, in order of ids. The caller frees cards and array. */
int slot_set_cards(const struct slot_set *set, const struct repo_config *config, const struct repo_secrets *sec,
	struct log *log, struct slot_card ***ret_cards, unsigned *ret_count, struct error *err);

/* Frees the cards in the list but `keep`, and the list. */
void repo_cards_free(struct slot_card **cards, unsigned count, const struct slot_card *keep);
/* Draws id and signing key of a new slot, seals it and puts it. The caller frees the card. */
int repo_put_slot(struct store *store, const struct repo_config *config, const struct repo_secrets *sec,
	const struct repo_unlock *unlock, const char *label, unsigned rights, struct slot_card **ret_card,
	struct error *err);

#endif
