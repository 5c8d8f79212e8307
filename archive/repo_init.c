/* SPDX-License-Identifier: MIT */
#include <sodium.h>
#include <string.h>

#include "archive/config.h"
#include "archive/repo_slots.h"
#include "base/host.h"

/* The first name under a prefix stops the listing. */
static int any_name(void *arg, const char *name, uint64_t size, struct error *err)
{
	bool *found = arg;
	(void)name;
	(void)size;
	(void)err;
	*found = true;
	return ERR_EXISTS;
}

static int init_check_prefix(struct store *store, const char *prefix, struct error *err)
{
	bool found = false;
	struct error why = ERROR_INIT;
	int rc = store_list(store, NULL, prefix, "", any_name, &found, &why);
	if (found)
		return error_set(err, ERR_CORRUPT,
			"'config' is missing in '%s', but '%s' holds objects: this is a damaged repository, whose "
			"'config' must be brought back; init would make it unreadable",
			store->url, prefix);
	return rc == 0 ? 0 : error_set(err, (enum error_code)rc, "%s", error_text(&why));
}

/* What a cut init leaves behind is key slots alone; more than that means that `config` was lost. */
static int init_check(struct store *store, struct error *err)
{
	static const char *const prefixes[] = {"packs/", "snapshots/", "index/", "wraps/"};
	struct error why = ERROR_INIT;
	uint64_t size;
	int rc = store_stat(store, NULL, "config", &size, &why);
	if (rc == 0)
		return error_set(err, ERR_EXISTS, "there is a repository in '%s' already", store->url);
	if (rc != ERR_NOT_FOUND)
		return error_set(err, (enum error_code)rc, "%s", error_text(&why));
	rc = 0;
	for (size_t i = 0; rc == 0 && i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
		rc = init_check_prefix(store, prefixes[i], err);
	return rc;
}

static void init_draw(struct repo_secrets *sec)
{
	host_wipe(sec, sizeof(*sec));
	crypto_sign_keypair(sec->root_public, sec->root_secret);
	host_random(sec->chunk_secret, sizeof(sec->chunk_secret));
	host_random(sec->gear_secret, sizeof(sec->gear_secret));
	sec->wrap_count = 1;
	sec->wraps[0].generation = 1;
	crypto_box_keypair(sec->wraps[0].public_key, sec->wraps[0].secret_key);
	slot_derive_keys(sec);
}

/* The config whose hash the slot will hold: bytes and fields. */
static int init_config(struct repo_config *ret_config, struct buf *ret_bytes, struct error *err)
{
	config_draw(ret_config);
	int rc = config_encode(ret_config, ret_bytes, err);
	return rc != 0 ? rc : config_decode(ret_bytes->data, ret_bytes->len, ret_config, err);
}

int repo_init(struct store *store, const struct repo_unlock *unlock, const char *label, struct id *ret_slot,
	struct error *err)
{
	struct repo_secrets *sec = NULL;
	struct slot_card *card = NULL;
	struct repo_config config;
	struct buf bytes = {0};
	int rc = init_check(store, err);
	if (rc == 0)
		rc = init_config(&config, &bytes, err);
	if (rc != 0)
		goto out;
	sec = host_secret_alloc(sizeof(*sec));
	if (!sec) {
		rc = error_no_memory(err, "the repository's secrets");
		goto out;
	}
	init_draw(sec);
	rc = repo_put_slot(store, &config, sec, unlock, label, RIGHT_ALL, &card, err);
	if (rc == 0)
		rc = store_put_mem(store, NULL, "config", bytes.data, bytes.len, NULL, err);
	if (rc == ERR_EXISTS) {
		error_clear(err);
		error_set(err, ERR_EXISTS, "another init made a repository in '%s' at this moment", store->url);
	}
	if (rc == 0)
		*ret_slot = card->id;
out:
	host_secret_free(sec);
	slot_card_free(card);
	buf_release(&bytes);
	return rc;
}
