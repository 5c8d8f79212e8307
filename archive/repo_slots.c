/* SPDX-License-Identifier: MIT */
#include "archive/repo_slots.h"

#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "archive/wave.h"
#include "base/clock.h"
#include "base/host.h"

/* One fetch a slot; the first error that is no damage stops the whole. */
struct slot_fetch {
	struct store *store;
	const struct id_list *ids;
	struct slot_found *found; /* one an id */
	bool *whole;
	struct slot_set *set;
	struct log *log;
	pthread_mutex_t lock; /* set->damaged, set->why, status, err */
	int status;
	struct error err;
};

static void slot_fetch_failed(struct slot_fetch *f, int rc, const struct error *why)
{
	/* Gone since it was listed: removed by another host. */
	if (rc == ERR_NOT_FOUND)
		return;
	bool damage = rc == ERR_CORRUPT || rc == ERR_UNSUPPORTED;
	pthread_mutex_lock(&f->lock);
	if (damage && f->set->damaged++ == 0)
		f->set->why = *why;
	if (!damage && f->status == 0) {
		f->status = rc;
		f->err = *why;
	}
	pthread_mutex_unlock(&f->lock);
	if (damage)
		log_warn(f->log, "a key slot is ignored: %s", error_text(why));
}

static void slot_fetch_one(void *arg, size_t index)
{
	struct slot_fetch *f = arg;
	struct slot_found *found = &f->found[index];
	struct error err = ERROR_INIT;
	char name[FORMAT_NAME_MAX];
	object_name(KIND_SLOT, 0, &f->ids->ids[index], name);
	int rc = store_get_all(f->store, NULL, name, SLOT_OBJECT_MAX, &found->object, &err);
	if (rc == 0)
		rc = slot_parse(found->object.data, found->object.len, &f->ids->ids[index], &found->view, &err);
	f->whole[index] = rc == 0;
	if (rc != 0)
		slot_fetch_failed(f, rc, &err);
}

/* Moves what is whole and of this config to the front. */
static size_t slot_found_sift(struct slot_fetch *f, const struct repo_config *config)
{
	size_t kept = 0;
	for (size_t i = 0; i < f->ids->count; i++) {
		struct slot_found *found = &f->found[i];
		bool ours = f->whole[i] && id_equal(&found->view.config_hash, &config->hash_of_config);
		if (f->whole[i] && !ours)
			log_info(f->log, "a key slot of another config is ignored: an init was cut off here");
		if (!ours)
			buf_release(&found->object);
		else
			f->found[kept++] = *found;
	}
	return kept;
}

int slot_set_load(struct store *store, const struct repo_config *config, const struct id_list *ids, struct log *log,
	struct slot_set *ret_set, struct error *err)
{
	struct slot_fetch f = {
		.store = store, .ids = ids, .set = ret_set, .log = log, .lock = PTHREAD_MUTEX_INITIALIZER};
	*ret_set = (struct slot_set){0};
	f.found = calloc(ids->count + 1, sizeof(*f.found));
	f.whole = calloc(ids->count + 1, sizeof(*f.whole));
	if (!f.found || !f.whole) {
		free(f.found);
		free(f.whole);
		return error_no_memory(err, "the key slots");
	}
	wave_run(wave_threads(store), ids->count, slot_fetch_one, &f);
	ret_set->found = f.found;
	ret_set->count = slot_found_sift(&f, config);
	free(f.whole);
	if (f.status != 0) {
		slot_set_release(ret_set);
		return error_set(err, (enum error_code)f.status, "%s", error_text(&f.err));
	}
	return 0;
}

void slot_set_release(struct slot_set *set)
{
	for (size_t i = 0; i < set->count; i++)
		buf_release(&set->found[i].object);
	free(set->found);
	*set = (struct slot_set){0};
}

/* Says why nothing opened: a wrong passphrase and a damaged slot are different troubles. */
static int slot_set_closed(const struct slot_set *set, enum slot_kind kind, size_t tried, struct error *err)
{
	const char *given = kind == SLOT_KEY_FILE ? "this key file" : "this passphrase";
	if (tried > 0 && set->damaged == 0)
		return error_set(err, ERR_PASSPHRASE, "no key slot opens with %s", given);
	if (tried > 0)
		return error_set(err, ERR_PASSPHRASE, "no key slot opens with %s, and %zu could not be tried: %s",
			given, set->damaged, error_text(&set->why));
	if (set->damaged > 0)
		return error_set(err, ERR_CORRUPT, "no key slot could be tried: %s", error_text(&set->why));
	if (set->count == 0)
		return error_set(err, ERR_CORRUPT, "there is a 'config', but no key slot that belongs to it");
	return error_set(err, ERR_PASSPHRASE, "the repository has no key slot for a %s: give a %s",
		kind == SLOT_KEY_FILE ? "key file" : "passphrase", kind == SLOT_KEY_FILE ? "passphrase" : "key file");
}

int slot_set_unlock(const struct slot_set *set, const struct repo_config *config, const struct repo_unlock *unlock,
	struct repo_secrets *ret_sec, size_t *ret_own, struct error *err)
{
	uint8_t kek[FORMAT_KEY_LEN];
	enum slot_kind kind = slot_unlock_kind(unlock);
	struct error why = ERROR_INIT;
	size_t tried = 0;
	int rc = 0;
	for (size_t i = 0; i < set->count && rc == 0; i++) {
		if (set->found[i].view.kind != kind)
			continue;
		/* All slots of a kind share the one derivation, which may take a while. */
		if (tried++ == 0)
			rc = slot_kek(config, unlock, kek, err);
		if (rc != 0)
			break;
		struct error one = ERROR_INIT;
		int opened = slot_open_secrets(&set->found[i].view, config, kek, ret_sec, &one);
		if (opened == 0) {
			host_wipe(kek, sizeof(kek));
			*ret_own = i;
			return 0;
		}
		if (opened != ERR_PASSPHRASE && why.code == 0)
			why = one;
	}
	host_wipe(kek, sizeof(kek));
	host_wipe(ret_sec, sizeof(*ret_sec));
	if (rc != 0)
		return rc;
	if (why.code != 0)
		return error_set(err, why.code, "%s", error_text(&why));
	return slot_set_closed(set, kind, tried, err);
}

int slot_set_cards(const struct slot_set *set, const struct repo_config *config, const struct repo_secrets *sec,
	struct log *log, struct slot_card ***ret_cards, unsigned *ret_count, struct error *err)
{
	struct slot_card **cards = calloc(set->count + 1, sizeof(struct slot_card *));
	unsigned count = 0;
	if (!cards)
		return error_no_memory(err, "the key slots");
	for (size_t i = 0; i < set->count; i++) {
		struct error why = ERROR_INIT;
		int rc = slot_open_card(&set->found[i].view, config, sec, &cards[count], &why);
		if (rc == ERR_NO_MEMORY) {
			repo_cards_free(cards, count, NULL);
			return error_no_memory(err, "the key slots");
		}
		if (rc == 0) {
			count++;
			continue;
		}
		char hex[ID_HEX_MAX];
		id_hex(&set->found[i].view.id, hex);
		log_warn(log, "key slot '%s' is ignored: %s", hex, error_text(&why));
	}
	*ret_cards = cards;
	*ret_count = count;
	return 0;
}

void repo_cards_free(struct slot_card **cards, unsigned count, const struct slot_card *keep)
{
	for (unsigned i = 0; i < count; i++)
		if (cards[i] != keep)
			slot_card_free(cards[i]);
	free(cards);
}

static int slot_put_object(struct store *store, const struct repo_config *config, const struct repo_secrets *sec,
	const struct repo_unlock *unlock, const struct slot_card *card, struct error *err)
{
	uint8_t kek[FORMAT_KEY_LEN];
	char name[FORMAT_NAME_MAX];
	struct buf object = {0};
	struct slot_view view;
	int rc = slot_kek(config, unlock, kek, err);
	if (rc == 0)
		rc = slot_seal(config, kek, sec, card, &object, err);
	host_wipe(kek, sizeof(kek));
	/* Everything hangs on this object: it is taken apart once before it is sent. */
	if (rc == 0)
		rc = slot_parse(object.data, object.len, &card->id, &view, err);
	object_name(KIND_SLOT, 0, &card->id, name);
	if (rc == 0)
		rc = store_put_mem(store, NULL, name, object.data, object.len, NULL, err);
	buf_release(&object);
	return rc;
}

int repo_put_slot(struct store *store, const struct repo_config *config, const struct repo_secrets *sec,
	const struct repo_unlock *unlock, const char *label, unsigned rights, struct slot_card **ret_card,
	struct error *err)
{
	if (!unlock->key && (!unlock->passphrase || unlock->passphrase[0] == '\0'))
		return error_set(err, ERR_USAGE, "an empty passphrase protects nothing: give one, or a key file");
	if (label && strlen(label) > REPO_LABEL_MAX)
		return error_set(err, ERR_USAGE, "a key's label may have %d bytes at most", REPO_LABEL_MAX);
	struct slot_card *card = calloc(1, sizeof(*card));
	struct repo_secrets *own = host_secret_alloc(sizeof(*own));
	int rc = ERR_NO_MEMORY;
	if (!card || !own || !(card->label = strdup(label ? label : ""))) {
		error_no_memory(err, "a key slot");
		goto out;
	}
	*own = *sec;
	crypto_sign_keypair(card->sign_public, own->sign_secret);
	host_random(card->id.b, sizeof(card->id.b));
	card->kind = slot_unlock_kind(unlock);
	card->rights = rights;
	card->created = clock_now();
	rc = slot_put_object(store, config, own, unlock, card, err);
out:
	host_secret_free(own);
	if (rc != 0)
		slot_card_free(card);
	else
		*ret_card = card;
	return rc;
}
