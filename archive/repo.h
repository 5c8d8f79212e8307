/* SPDX-License-Identifier: MIT */
#ifndef ARCHIVE_REPO_H
#define ARCHIVE_REPO_H

/*
 * An open repository: its store, its fixed parameters, the secrets that this
 * key slot may have, and the cards of all slots for checking signatures.
 * Everything in the archive starts from here.
 *
 * Lifetime: repo_open() takes the store over, repo_close() closes it. The
 * struct is read-only after opening and shared by all threads, except that slots are re-read by repo_reload_slots().
 * Secrets lie in guarded memory and are wiped by repo_close(): sec.*,
 * own.sign_secret. They never reach a log.
 */

#include "archive/format.h"
#include "archive/seal.h"
#include "backends/store.h"
#include "base/log.h"

/* The object `config`: written once by init, last of all; never changed. */
struct repo_config {
	uint8_t repository[FORMAT_REPO_LEN];
	enum cipher_kind cipher;
	enum hash_kind hash;
	enum trailer_kind trailer;
	uint32_t chunk_min, chunk_avg, chunk_max; /* bytes; avg a power of two */
	uint32_t small_file;                      /* files under this are bundled */
	uint32_t pack_size;                       /* a pack is closed when it has passed this */
	uint8_t salt[16];                         /* of every passphrase slot */
	uint32_t argon_passes, argon_kib;         /* bounded when read: 1..16, 8 MiB..1 GiB */
	struct id hash_of_config;                 /* BLAKE2b-256 over the whole object; not stored in it */
	uint64_t ro_unknown; /* ro-compat flags that this version does not know: see repo_may_write() */
};

enum slot_kind { SLOT_PASSPHRASE = 1, SLOT_KEY_FILE = 2, SLOT_PUBLIC = 3 };

enum slot_rights {
	RIGHT_READ = 1u << 0,
	RIGHT_WRITE = 1u << 1,
	RIGHT_HOLD = 1u << 2,
	RIGHT_FORGET = 1u << 3,
	RIGHT_PRUNE = 1u << 4,
	RIGHT_KEYS = 1u << 5,
	RIGHT_ALL = 63,
};

/* What all may know of a slot that read: signed by root, sealed for readers. */
struct slot_card {
	struct id id;
	enum slot_kind kind;
	unsigned rights;
	uint8_t sign_public[32];
	char *label;     /* for people: "ops laptop" */
	char **datasets; /* it may write these; none listed: all */
	unsigned dataset_count;
	int64_t created;
};

/* A generation of the wrapping key. */
struct wrap_key {
	uint32_t generation;
	uint8_t public_key[32];
	uint8_t secret_key[32];
};

/* In guarded memory. Derived keys are made from `chunk_secret` with seal_derive(). */
struct repo_secrets {
	uint8_t root_public[32];
	uint8_t root_secret[SEAL_SIGN_SECRET_LEN]; /* zeros without RIGHT_KEYS */
	uint8_t chunk_secret[32];                  /* what the next four are derived from */
	uint8_t chunk_id_key[32];                  /* "drfs chunk id" */
	uint8_t node_id_key[32];                   /* "drfs node id" */
	uint8_t node_cut_key[32];                  /* "drfs node cut" */
	uint8_t content_key[32];                   /* "drfs content": equality of files */
	uint8_t gear_key[32];                      /* "drfs gear" from the gear secret: the chunker's table */
	uint8_t gear_secret[32];
	uint8_t card_key[32];                      /* seals slot cards for readers: "drfs slot card" */
	uint8_t sign_secret[SEAL_SIGN_SECRET_LEN]; /* of this slot */
	struct wrap_key wraps[16];
	unsigned wrap_count; /* the last is the current generation */
};

struct repo {
	struct store *store;
	struct log *log; /* borrowed; may be NULL */
	struct repo_config config;
	struct repo_secrets *sec;
	struct slot_card *own;    /* this slot's card, owned */
	struct slot_card **slots; /* all cards, own among them; owned */
	unsigned slot_count;
	struct repo_listing *listing; /* names seen while opening, taken by snapset_load(); may be NULL */
};

/* Passphrase or key of the person at the keyboard. Exactly one is given. Borrowed. */
struct repo_unlock {
	const char *passphrase;
	const uint8_t *key; /* 32 bytes of a key file */
};

enum { REPO_LABEL_MAX = 200 };

/*
 * Makes a repository in `store`: slot first, `config` last. Until `config` is
 * there, there is none, and init may run again (a slot left by a try that was cut is
 * ignored: it names another config). ERR_EXISTS: a repository is there already.
 */
int repo_init(struct store *store, const struct repo_unlock *unlock, const char *label, struct id *ret_slot,
	struct error *err);

/*
 * Opens. Takes `store` over on success only. ERR_NO_REPO: no `config`;
 * ERR_CORRUPT: not ours or damaged; ERR_UNSUPPORTED: newer; ERR_PASSPHRASE: no slot opens.
 * Reads config and, at the same time, lists keys, summaries, snapshots and marks.
 */
int repo_open(struct store *store, const struct repo_unlock *unlock, struct log *log, struct repo **ret_repo,
	struct error *err);
void repo_close(struct repo *repo); /* NULL is a no-op */

/* Reads keys/ again (another host may have added one). Not while other threads use repo->slots. */
int repo_reload_slots(struct repo *repo, struct error *err);
/* The card of a slot; NULL when none (or revoked). Borrowed. */
const struct slot_card *repo_slot(const struct repo *repo, const struct id *slot);
/* May that slot write this dataset? */
bool slot_may_write(const struct slot_card *card, const char *dataset);

/* Adds a slot with the same rights; needs RIGHT_KEYS (ERR_DENIED). */
int repo_key_add(
	struct repo *repo, const struct repo_unlock *unlock, const char *label, struct id *ret_slot, struct error *err);
/* Puts a revocation mark signed by root, then deletes the slot. The last slot, or one's own, is refused (ERR_USAGE)
 * unless force. */
int repo_key_remove(struct repo *repo, const struct id *slot, bool force, struct error *err);

/* What repo_key_remove() would refuse, told before it is done; changes nothing. */
int repo_key_may_remove(struct repo *repo, const struct id *slot, bool force, struct error *err);

/* A key file: 32 bytes from 64 hex digits on a line after "drfs-key-1 ". ERR_CORRUPT when it is none. */
int repo_key_file_read(const char *path, uint8_t ret_key[static 32], struct error *err);
/* Makes one, 0600, fsynced. ERR_EXISTS when the file is there. */
int repo_key_file_make(const char *path, uint8_t ret_key[static 32], struct error *err);

/*
 * Drops the card of a revoked slot, after which repo_slot() does not find it. One's own card stays in repo->own.
 * Like repo_reload_slots(), not while other threads use repo->slots.
 */
void repo_revoke(struct repo *repo, const struct id *slot);
/* ERR_UNSUPPORTED when a newer drfs marked the repository so that this one may read it but not write. */
int repo_may_write(const struct repo *repo, struct error *err);

/* The wrapping key of a generation; NULL when this slot has it not. */
const struct wrap_key *repo_wrap_key(const struct repo *repo, uint32_t generation);
const struct wrap_key *repo_wrap_current(const struct repo *repo);

#endif
