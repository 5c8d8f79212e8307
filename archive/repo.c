/* SPDX-License-Identifier: MIT */
#include "archive/repo.h"

#include <stdlib.h>
#include <string.h>

#include "archive/config.h"
#include "archive/repo_slots.h"
#include "archive/wave.h"
#include "base/host.h"

/* What the first wave brings: config, and the names under keys/ and in the listing. */
struct opening {
	struct repo *repo;
	struct id_list keys;
	int config_status, keys_status, listing_status;
	struct error config_err, keys_err, listing_err;
};

static void opening_config(struct opening *o)
{
	struct buf bytes = {0};
	o->config_status = store_get_all(o->repo->store, NULL, "config", CONFIG_OBJECT_MAX, &bytes, &o->config_err);
	if (o->config_status == 0)
		o->config_status = config_decode(bytes.data, bytes.len, &o->repo->config, &o->config_err);
	buf_release(&bytes);
}

static void opening_work(void *arg, size_t index)
{
	struct opening *o = arg;
	struct repo *repo = o->repo;
	if (index == 0)
		opening_config(o);
	else if (index == 1)
		o->keys_status = repo_list_ids(repo->store, "keys/", repo->log, &o->keys, &o->keys_err);
	else
		o->listing_status = repo_listing_load(repo, &repo->listing, &o->listing_err);
}

/* One wave over a line. A local store is read step by step, so that what is no repository is not listed either. */
static int opening_read(struct opening *o, struct error *err)
{
	unsigned threads = wave_threads(o->repo->store);
	if (threads > 1)
		wave_run(3, 3, opening_work, o);
	for (size_t i = 0; threads == 1 && i < 3 && o->config_status == 0; i++)
		opening_work(o, i);
	if (o->config_status == ERR_NOT_FOUND)
		return error_set(
			err, ERR_NO_REPO, "there is no repository in '%s': no 'config' is there", o->repo->store->url);
	if (o->config_status == ERR_CORRUPT)
		return error_set(err, ERR_CORRUPT,
			"'%s' holds no repository of drfs, or a damaged one: %s; name another place, or bring its "
			"'config' "
			"back from a copy",
			o->repo->store->url, error_text(&o->config_err));
	if (o->config_status != 0)
		return error_set(err, (enum error_code)o->config_status, "%s", error_text(&o->config_err));
	if (o->keys_status != 0)
		return error_set(err, (enum error_code)o->keys_status, "%s", error_text(&o->keys_err));
	if (o->listing_status != 0)
		return error_set(err, (enum error_code)o->listing_status, "%s", error_text(&o->listing_err));
	return 0;
}

/* Finds the card of the slot that was opened, and holds its signing key against it. */
static int repo_find_own(struct repo *repo, const struct id *own, struct error *err)
{
	repo->own = (struct slot_card *)repo_slot(repo, own);
	if (!repo->own)
		return error_set(err, ERR_CORRUPT, "the card of this key slot cannot be read");
	/* An Ed25519 secret key ends in its public half. */
	if (memcmp(repo->sec->sign_secret + 32, repo->own->sign_public, 32) != 0)
		return error_set(err, ERR_CORRUPT, "this key slot's signing key is not the one on its card");
	return 0;
}

static int repo_unlock_slots(
	struct repo *repo, const struct id_list *keys, const struct repo_unlock *unlock, struct error *err)
{
	struct slot_set set;
	size_t own = 0;
	int rc = slot_set_load(repo->store, &repo->config, keys, repo->log, &set, err);
	if (rc != 0)
		return rc;
	rc = slot_set_unlock(&set, &repo->config, unlock, repo->sec, &own, err);
	if (rc == 0)
		rc = slot_set_cards(&set, &repo->config, repo->sec, repo->log, &repo->slots, &repo->slot_count, err);
	if (rc == 0)
		rc = repo_find_own(repo, &set.found[own].view.id, err);
	slot_set_release(&set);
	return rc;
}

/* Everything but the store. */
static void repo_free(struct repo *repo)
{
	if (!repo)
		return;
	/* A revoked slot's own card stands alone. */
	repo_cards_free(repo->slots, repo->slot_count, repo->own);
	slot_card_free(repo->own);
	repo_listing_free(repo->listing);
	host_secret_free(repo->sec);
	free(repo);
}

int repo_open(struct store *store, const struct repo_unlock *unlock, struct log *log, struct repo **ret_repo,
	struct error *err)
{
	struct repo *repo = calloc(1, sizeof(*repo));
	struct opening *o = calloc(1, sizeof(*o));
	int rc = ERR_NO_MEMORY;
	if (!repo || !o || !(repo->sec = host_secret_alloc(sizeof(*repo->sec)))) {
		error_no_memory(err, "a repository");
		goto out;
	}
	host_wipe(repo->sec, sizeof(*repo->sec));
	repo->store = store;
	repo->log = log;
	o->repo = repo;
	rc = opening_read(o, err);
	if (rc == 0)
		rc = repo_unlock_slots(repo, &o->keys, unlock, err);
	if (rc == 0 && repo->config.ro_unknown != 0)
		log_notice(log, "a newer drfs uses '%s': it can be read, not written", store->url);
out:
	if (o)
		id_list_release(&o->keys);
	free(o);
	if (rc != 0)
		repo_free(repo);
	else
		*ret_repo = repo;
	return rc;
}

void repo_close(struct repo *repo)
{
	if (!repo)
		return;
	store_close(repo->store);
	repo_free(repo);
}

int repo_reload_slots(struct repo *repo, struct error *err)
{
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
	/* repo->own keeps its address, which others may hold. */
	for (unsigned i = 0; i < count; i++) {
		if (id_equal(&cards[i]->id, &repo->own->id)) {
			slot_card_free(cards[i]);
			cards[i] = repo->own;
		}
	}
	repo_cards_free(repo->slots, repo->slot_count, repo->own);
	repo->slots = cards;
	repo->slot_count = count;
	return 0;
}

static int card_compare(const void *key, const void *element)
{
	const struct slot_card *const *card = element;
	return id_compare(key, &(*card)->id);
}

const struct slot_card *repo_slot(const struct repo *repo, const struct id *slot)
{
	struct slot_card **card = repo->slot_count == 0 ? NULL
							: bsearch(slot, repo->slots, repo->slot_count,
								  sizeof(struct slot_card *), card_compare);
	return card ? *card : NULL;
}

bool slot_may_write(const struct slot_card *card, const char *dataset)
{
	if (!(card->rights & RIGHT_WRITE))
		return false;
	for (unsigned i = 0; i < card->dataset_count; i++)
		if (strcmp(card->datasets[i], dataset) == 0)
			return true;
	return card->dataset_count == 0;
}

int repo_may_write(const struct repo *repo, struct error *err)
{
	if (repo->config.ro_unknown == 0)
		return 0;
	return error_set(err, ERR_UNSUPPORTED,
		"a newer drfs uses '%s' in a way that this one must not write to (flags %llx): use a newer drfs",
		repo->store->url, (unsigned long long)repo->config.ro_unknown);
}

const struct wrap_key *repo_wrap_key(const struct repo *repo, uint32_t generation)
{
	for (unsigned i = 0; i < repo->sec->wrap_count; i++)
		if (repo->sec->wraps[i].generation == generation)
			return &repo->sec->wraps[i];
	return NULL;
}

const struct wrap_key *repo_wrap_current(const struct repo *repo)
{
	return &repo->sec->wraps[repo->sec->wrap_count - 1];
}
