/* SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "archive/reader_impl.h"
#include "base/host.h"

/*
 * Keys lie in one block of guarded memory. A key's place is found by a hash table of chains of indexes; the one to be
 * replaced by a hand that passes over those used since it last came by.
 */
enum { KEYS_MAX = 4096, KEYS_BUCKETS = 4096, KEY_NONE = UINT16_MAX };

struct key_slot {
	struct id pack;
	uint16_t next;
	bool full, used;
};

/* A key that somebody is fetching. Who waits for it holds a ref. */
struct key_flight {
	struct key_flight *next;
	const struct id *pack;
	unsigned refs;
	bool done;
	int status;
	struct error err;
};

struct keys {
	struct repo *repo;
	pthread_mutex_t lock; /* guards all below; not held over I/O */
	pthread_cond_t settled;
	uint8_t (*bytes)[FORMAT_KEY_LEN]; /* guarded memory */
	struct key_slot *slots;
	uint16_t *buckets;
	unsigned hand;
	struct key_flight *flights;
};

int keys_new(struct repo *repo, struct keys **ret_keys, struct error *err)
{
	struct keys *k = calloc(1, sizeof(*k));

	if (k == NULL)
		return error_no_memory(err, "the keys of packs");
	k->repo = repo;
	pthread_mutex_init(&k->lock, NULL);
	pthread_cond_init(&k->settled, NULL);
	k->bytes = host_secret_alloc((size_t)KEYS_MAX * FORMAT_KEY_LEN);
	k->slots = calloc(KEYS_MAX, sizeof(*k->slots));
	k->buckets = malloc(KEYS_BUCKETS * sizeof(*k->buckets));
	if (k->bytes == NULL || k->slots == NULL || k->buckets == NULL) {
		keys_free(k);
		return error_no_memory(err, "the keys of packs");
	}
	memset(k->buckets, 0xff, KEYS_BUCKETS * sizeof(*k->buckets));
	*ret_keys = k;
	return 0;
}

void keys_free(struct keys *k)
{
	if (k == NULL)
		return;
	host_secret_free(k->bytes);
	free(k->slots);
	free(k->buckets);
	pthread_cond_destroy(&k->settled);
	pthread_mutex_destroy(&k->lock);
	free(k);
}

static uint16_t *bucket_of(struct keys *k, const struct id *pack)
{
	uint16_t h;

	memcpy(&h, pack->b, sizeof(h));
	return &k->buckets[h % KEYS_BUCKETS];
}

static unsigned find_locked(struct keys *k, const struct id *pack)
{
	unsigned i = *bucket_of(k, pack);

	while (i != KEY_NONE && !id_equal(&k->slots[i].pack, pack))
		i = k->slots[i].next;
	return i;
}

/* A place that may be written; it is in no chain. */
static unsigned place_locked(struct keys *k)
{
	for (;;) {
		unsigned i = k->hand;
		struct key_slot *s = &k->slots[i];
		k->hand = (k->hand + 1) % KEYS_MAX;
		if (s->full && s->used) {
			s->used = false;
			continue;
		}
		if (s->full) {
			uint16_t *p = bucket_of(k, &s->pack);
			while (*p != i)
				p = &k->slots[*p].next;
			*p = s->next;
		}
		return i;
	}
}

static void put_locked(struct keys *k, const struct id *pack, const uint8_t key[static FORMAT_KEY_LEN])
{
	if (find_locked(k, pack) != KEY_NONE)
		return;
	unsigned i = place_locked(k);
	uint16_t *bucket = bucket_of(k, pack);
	k->slots[i] = (struct key_slot){.pack = *pack, .next = *bucket, .full = true, .used = true};
	*bucket = (uint16_t)i;
	memcpy(k->bytes[i], key, FORMAT_KEY_LEN);
}

void keys_put(struct keys *k, const struct id *pack, const uint8_t key[static FORMAT_KEY_LEN])
{
	pthread_mutex_lock(&k->lock);
	put_locked(k, pack, key);
	pthread_mutex_unlock(&k->lock);
}

bool keys_has(struct keys *k, const struct id *pack)
{
	pthread_mutex_lock(&k->lock);
	bool has = find_locked(k, pack) != KEY_NONE;
	pthread_mutex_unlock(&k->lock);
	return has;
}

static bool take_locked(struct keys *k, const struct id *pack, uint8_t ret_key[static FORMAT_KEY_LEN])
{
	unsigned i = find_locked(k, pack);

	if (i == KEY_NONE)
		return false;
	k->slots[i].used = true;
	memcpy(ret_key, k->bytes[i], FORMAT_KEY_LEN);
	return true;
}

static struct key_flight *flight_of_locked(struct keys *k, const struct id *pack)
{
	struct key_flight *f = k->flights;

	while (f != NULL && !id_equal(f->pack, pack))
		f = f->next;
	return f;
}

static void flight_unref_locked(struct key_flight *f)
{
	if (--f->refs == 0)
		free(f);
}

/* Waits for who fetches it. The key is in the cache then, or was, or there is none. */
static int join_locked(struct keys *k, struct key_flight *f, struct error *err)
{
	f->refs++;
	while (!f->done)
		pthread_cond_wait(&k->settled, &k->lock);
	int status = f->status;
	if (status != 0 && err != NULL)
		*err = f->err;
	flight_unref_locked(f);
	return status;
}

/* Fetches it for all who want it now. The lock is let go meanwhile. */
static int fetch_locked(struct keys *k, enum object_kind kind, const struct id *pack,
	uint8_t ret_key[static FORMAT_KEY_LEN], struct error *err)
{
	struct key_flight *f = calloc(1, sizeof(*f));

	if (f == NULL)
		return error_no_memory(err, "a pack's key");
	f->pack = pack;
	f->refs = 1;
	f->next = k->flights;
	k->flights = f;
	pthread_mutex_unlock(&k->lock);
	int status = object_get_key(k->repo, kind, pack, ret_key, &f->err);
	pthread_mutex_lock(&k->lock);
	struct key_flight **p = &k->flights;
	while (*p != f)
		p = &(*p)->next;
	*p = f->next;
	f->done = true;
	f->status = status;
	if (status == 0)
		put_locked(k, pack, ret_key);
	else if (err != NULL)
		*err = f->err;
	if (f->refs > 1)
		pthread_cond_broadcast(&k->settled);
	flight_unref_locked(f);
	return status;
}

int keys_get(struct keys *k, enum object_kind kind, const struct id *pack, uint8_t ret_key[static FORMAT_KEY_LEN],
	struct error *err)
{
	int status = 0;

	pthread_mutex_lock(&k->lock);
	while (status == 0 && !take_locked(k, pack, ret_key)) {
		struct key_flight *f = flight_of_locked(k, pack);
		if (f == NULL) {
			status = fetch_locked(k, kind, pack, ret_key, err);
			break;
		}
		status = join_locked(k, f, err);
	}
	pthread_mutex_unlock(&k->lock);
	return status;
}
