/* SPDX-License-Identifier: MIT */
#include "archive/reader_impl.h"

/* What lies further back than this in a pack cannot be; it keeps sums of offsets from running over. */
static const uint64_t pack_end_max = UINT64_C(1) << 40;

int ref_check(const struct chunk_ref *ref, struct error *err)
{
	if (ref->depth > CHUNK_DEPTH_MAX)
		return error_set(err, ERR_CORRUPT, "a chunk has a chain of %u bases", ref->depth);
	for (unsigned i = 0; i <= ref->depth; i++) {
		const struct locator *l = &ref->chain[i];
		if (l->stored < FORMAT_TAG_LEN + CHUNK_HEADER_LEN || l->stored > CHUNK_STORED_MAX ||
			l->plain > CHUNK_PLAIN_MAX || l->offset < FORMAT_HEADER_LEN || l->offset > pack_end_max)
			return error_set(err, ERR_CORRUPT, "a chunk is said to lie where none can");
	}
	return 0;
}

static bool same_place(const struct chunk_ref *a, const struct chunk_ref *b)
{
	return id_equal(&a->chain[0].pack, &b->chain[0].pack) && a->chain[0].offset == b->chain[0].offset;
}

/*
 * Its pack is gone: looks for it in the index. 0: *ref is another place; else what to report, *why wrapped where
 * looking failed.
 */
static int look_elsewhere(struct reader *r, const struct slot *s, struct chunk_ref *ref, struct error *why)
{
	struct error looking = ERROR_INIT;
	int found = stale_resolve(r->stale, ref, ref, &looking);

	if (found == 0 && ref->chain[0].plain == s->ref.chain[0].plain)
		return 0;
	if (found == 0 || found == ERR_NOT_FOUND)
		return ERR_NOT_FOUND;
	found = error_wrap(&looking, found, "%s", error_text(why));
	*why = looking;
	return found;
}

/* Reserves what loading takes. ERR_BUSY: there is no room, and the caller does not wait. */
static int reserve_locked(struct reader *r, struct slot *s, const struct chunk_ref *ref, bool patient, struct loaded *l)
{
	size_t need = load_need(r, s->class, ref, true);

	room_give_locked(r, l->spare);
	l->spare = 0;
	if (!room_try_locked(r, need, false)) {
		if (!patient)
			return ERR_BUSY;
		cache_starve_locked(r, s, true);
		room_wait_locked(r, need);
		cache_starve_locked(r, s, false);
	}
	l->spare = need;
	return 0;
}

/* Once: all of it, or where that pays so much that the first bytes are there. The lock is let go meanwhile. */
static int load_once_locked(struct reader *r, struct slot *s, const struct chunk_ref *ref, uint32_t first,
	struct loaded *l, struct growth **ret_growth, struct error *err)
{
	bool part = grow_pays_locked(r, s->class, ref, first);

	r->growing += part;
	reader_unlock(r);
	error_clear(err);
	int status = part ? grow_begin(r, ref, first, l, ret_growth, err) : load_whole(r, s->class, ref, l, err);
	reader_lock(r);
	if (part && *ret_growth == NULL)
		r->growing--;
	return status;
}

/*
 * Loads a slot that the caller added. What a line spoilt is fetched once more; what is not where it should be is looked
 * for in the index. The lock is let go meanwhile.
 */
static int load_new_locked(struct reader *r, struct slot *s, uint32_t first, bool patient, struct error *err)
{
	struct loaded l = {0};
	struct growth *growth = NULL;
	struct chunk_ref ref = s->ref;
	struct error why = ERROR_INIT;
	bool again = true, resolve = true;
	int status;

	for (;;) {
		status = reserve_locked(r, s, &ref, patient, &l);
		if (status != 0)
			break;
		status = load_once_locked(r, s, &ref, first, &l, &growth, &why);
		if (status == ERR_NOT_FOUND && resolve) {
			resolve = false;
			reader_unlock(r);
			status = look_elsewhere(r, s, &ref, &why);
			reader_lock(r);
			if (status == 0)
				continue;
		} else if (status == ERR_CORRUPT && again) {
			again = false;
			continue;
		}
		break;
	}
	/* To who reads, "not found" means that there is no such file; this is damage. */
	if (status == ERR_NOT_FOUND) {
		status = ERR_CORRUPT;
		why.code = ERR_CORRUPT;
		(void)error_wrap(
			&why, ERR_CORRUPT, "part of the archive is missing, and the index knows no other place");
	}
	if (status == 0)
		s->ref = ref;
	/* Who waits for it may be more patient. */
	s->ahead = status == ERR_BUSY;
	if (growth != NULL)
		grow_settle_locked(r, s, growth);
	else
		load_settle_locked(r, s, status, &l, &why);
	if (status != 0 && err != NULL)
		*err = why;
	return status;
}

/* A queued slot whose turn has not come: a local store is asked at once, without another thread. */
static bool steal_locked(struct reader *r, struct slot *s)
{
	size_t temp = load_need(r, s->class, &s->ref, true) - s->charge;

	if (!r->local || s->run->chain || !room_try_locked(r, temp, false))
		return false;
	s->charge += temp;
	s->state = SLOT_BUSY;
	return true;
}

static int load_stolen_locked(struct reader *r, struct slot *s)
{
	struct loaded l = {.spare = s->charge};
	struct error why = ERROR_INIT;

	s->charge = 0;
	reader_unlock(r);
	int status = load_whole(r, s->class, &s->ref, &l, &why);
	reader_lock(r);
	load_settle_locked(r, s, status, &l, &why);
	return status;
}

/*
 * The slot is there, with a ref of the caller's: sees that it gets READY. ERR_BUSY: it failed in a way that says
 * nothing about what the caller asked for.
 */
static int settle_old_locked(
	struct reader *r, struct slot *s, const struct chunk_ref *ref, uint32_t first, bool patient, struct error *err)
{
	if (slot_has(s, first))
		return 0;
	if (s->state == SLOT_QUEUED && steal_locked(r, s))
		return load_stolen_locked(r, s) == 0 ? 0 : ERR_BUSY;
	if (s->state == SLOT_QUEUED)
		fetch_raise_locked(r, s->run);
	if (s->state == SLOT_FETCHED) {
		fetch_claim_locked(r, s);
		return fetch_decode_locked(r, s, NULL) == 0 ? 0 : ERR_BUSY;
	}
	if (s->state == SLOT_GROWING)
		return grow_on_locked(r, s, first, NULL) == 0 ? 0 : ERR_BUSY;
	cache_await_locked(r, s, first, patient);
	if (slot_has(s, first))
		return 0;
	if (s->state != SLOT_FAILED || s->ahead || !same_place(&s->ref, ref))
		return ERR_BUSY;
	if (err != NULL && s->why != NULL)
		*err = *s->why;
	else if (err != NULL)
		(void)error_set(err, (enum error_code)s->status, "a chunk cannot be read");
	return s->status;
}

static void touch_locked(struct slot *s)
{
	if (s->ahead)
		s->ahead = false;
	else if (s->heat < HEAT_MAX)
		s->heat++;
	s->spent = false;
}

int slot_get(struct reader *r, enum slot_class class, const struct chunk_ref *ref, uint32_t first, bool patient,
	struct slot **ret_slot, struct error *err)
{
	struct slot *s;
	int status = ref_check(ref, err);

	if (status != 0)
		return status;
	reader_lock(r);
	for (;;) {
		s = cache_find_locked(r, class, &ref->id, SLOT_BY_ID);
		if (s == NULL)
			break;
		cache_ref_locked(r, s);
		r->stats.hits += slot_has(s, first);
		r->stats.misses += !slot_has(s, first);
		status = settle_old_locked(r, s, ref, first, patient, err);
		if (status == 0)
			touch_locked(s);
		if (status != ERR_BUSY || (!patient && s->starved))
			goto out;
		cache_unref_locked(r, s);
	}
	r->stats.misses++;
	s = cache_add_locked(r, class, ref);
	status = s == NULL ? error_no_memory(err, "a chunk") : load_new_locked(r, s, first, patient, err);
out:
	if (status != 0 && s != NULL)
		cache_unref_locked(r, s);
	reader_unlock(r);
	if (status == 0)
		*ret_slot = s;
	return status;
}

void slot_put(struct reader *r, struct slot *s)
{
	reader_lock(r);
	cache_unref_locked(r, s);
	reader_unlock(r);
}
