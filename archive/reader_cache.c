/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "archive/reader_impl.h"
#include "base/clock.h"

/* Nodes are what makes a walk fast: chunks go first as long as nodes take less than this part of the cap. */
enum { NODES_SHARE = 8, NODES_SHARE_KEPT = 3 };
/* How many may be looked at when something must be found for what nobody waits for. */
enum { AHEAD_STEPS = 64 };
/* What was fetched ahead is not thrown out for more of the same before this. */
static const int64_t ahead_fresh = 2 * CLOCK_SECOND;

void slot_list_push(struct slot_list *list, struct slot *s, bool front)
{
	s->prev = front ? NULL : list->last;
	s->next = front ? list->first : NULL;
	if (s->prev != NULL)
		s->prev->next = s;
	else
		list->first = s;
	if (s->next != NULL)
		s->next->prev = s;
	else
		list->last = s;
	list->count++;
}

void slot_list_remove(struct slot_list *list, struct slot *s)
{
	if (s->prev != NULL)
		s->prev->next = s->next;
	else
		list->first = s->next;
	if (s->next != NULL)
		s->next->prev = s->prev;
	else
		list->last = s->prev;
	s->prev = s->next = NULL;
	list->count--;
}

/* Ids are hashes: some of their bytes are as good as all. */
static size_t bucket_of(const struct id *id, uint64_t offset)
{
	uint64_t h;

	memcpy(&h, id->b, sizeof(h));
	if (offset != SLOT_BY_ID)
		h ^= (offset + 1) * UINT64_C(0x9e3779b97f4a7c15) >> 17;
	return (size_t)(h % CACHE_BUCKETS);
}

static pthread_cond_t *cond_of(struct reader *r, const struct slot *s)
{
	return &r->conds[((uintptr_t)s >> 7) % CACHE_CONDS];
}

struct slot *cache_find_locked(struct reader *r, enum slot_class class, const struct id *id, uint64_t offset)
{
	struct slot *s = r->buckets[bucket_of(id, offset)];

	while (s != NULL && (s->offset != offset || s->class != class || !id_equal(&s->id, id)))
		s = s->hash_next;
	return s;
}

static void table_insert_locked(struct reader *r, struct slot *s)
{
	struct slot **bucket = &r->buckets[bucket_of(&s->id, s->offset)];

	s->hash_next = *bucket;
	*bucket = s;
	s->in_table = true;
}

static void table_remove_locked(struct reader *r, struct slot *s)
{
	struct slot **p = &r->buckets[bucket_of(&s->id, s->offset)];

	while (*p != s)
		p = &(*p)->hash_next;
	*p = s->hash_next;
	s->in_table = false;
}

struct slot *cache_add_locked(struct reader *r, enum slot_class class, const struct chunk_ref *ref)
{
	struct slot *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->id = ref->id;
	s->offset = SLOT_BY_ID;
	s->class = class;
	s->state = SLOT_BUSY;
	s->refs = 1;
	s->ref = *ref;
	table_insert_locked(r, s);
	return s;
}

/* It is out of the table and nobody holds it. */
static void slot_drop_locked(struct reader *r, struct slot *s)
{
	size_t buffer = s->buf.data != NULL ? room_charge(s->buf.cap) : 0;

	if (s->state == SLOT_READY)
		r->bytes[s->class] -= s->charge;
	s->charge -= buffer;
	room_buf_free_locked(r, &s->buf);
	room_give_locked(r, s->charge);
	s->next = r->dead_slots;
	r->dead_slots = s;
}

void slot_free_list(struct slot *s)
{
	while (s != NULL) {
		struct slot *next = s->next;
		node_free(s->node);
		free(s->why);
		free(s);
		s = next;
	}
}

void cache_ref_locked(struct reader *r, struct slot *s)
{
	if (s->refs++ == 0)
		slot_list_remove(&r->lists[s->class], s);
}

void cache_unref_locked(struct reader *r, struct slot *s)
{
	if (--s->refs > 0)
		return;
	if (!s->in_table) {
		slot_drop_locked(r, s);
		return;
	}
	/* Who reads on through a file comes back to what is behind him last of all: it goes first. */
	slot_list_push(&r->lists[s->class], s, s->spent);
	if (s->spent)
		s->heat = 0;
	if (r->room_waiters > 0)
		room_give_locked(r, 0);
	/* Once more was pinned than there is room for: what was let go makes up for it. */
	while (r->live > r->cap && cache_evict_locked(r, false))
		continue;
}

void cache_wake_locked(struct reader *r, struct slot *s)
{
	if (s->waiters > 0)
		pthread_cond_broadcast(cond_of(r, s));
}

void cache_ready_locked(struct reader *r, struct slot *s, struct room_buf *buf, struct node *node, size_t *spare)
{
	size_t buffer = buf->data != NULL ? room_charge(buf->cap) : 0;
	size_t rest = sizeof(*s) + (node != NULL ? node->memory : 0);

	/* How much a node takes is known only now. */
	if (rest > *spare) {
		r->live += rest - *spare;
		*spare = rest;
	}
	*spare -= rest;
	s->charge = buffer + rest;
	r->bytes[s->class] += s->charge;
	s->buf = *buf;
	*buf = (struct room_buf){0};
	s->node = node;
	if (node != NULL)
		s->view = *node;
	/* Of one that grew the beginning is pinned: its users read this without the lock. */
	if (s->chunk.data == NULL)
		s->chunk = (struct chunk){.data = s->buf.data, .len = s->ref.chain[0].plain};
	s->heat = s->class == SLOT_NODE ? HEAT_MAX : 0;
	s->ahead_since = s->ahead ? clock_monotonic() : 0;
	s->state = SLOT_READY;
	r->flight -= s->flight;
	s->flight = 0;
	cache_wake_locked(r, s);
	while (r->live > r->cap && cache_evict_locked(r, false))
		continue;
}

void cache_fail_locked(struct reader *r, struct slot *s, int status, const struct error *why)
{
	s->state = SLOT_FAILED;
	s->status = status;
	if (s->waiters > 0 && why != NULL) {
		s->why = malloc(sizeof(*s->why));
		if (s->why != NULL)
			*s->why = *why;
	}
	if (s->in_table)
		table_remove_locked(r, s);
	room_give_locked(r, s->charge);
	s->charge = 0;
	r->flight -= s->flight;
	s->flight = 0;
	cache_wake_locked(r, s);
}

void cache_starve_locked(struct reader *r, struct slot *s, bool starved)
{
	s->starved = starved;
	if (starved)
		cache_wake_locked(r, s);
}

void cache_await_locked(struct reader *r, struct slot *s, uint32_t first, bool patient)
{
	s->waiters++;
	while (!slot_has(s, first) && s->state != SLOT_FAILED && s->state != SLOT_GROWING && (patient || !s->starved))
		pthread_cond_wait(cond_of(r, s), &r->lock);
	s->waiters--;
}

void cache_keep_base_locked(struct reader *r, const struct locator *loc, struct room_buf *buf)
{
	struct chunk_ref ref = {.id = loc->pack, .chain = {*loc}};
	struct slot *s = NULL;
	size_t spare = 0;

	if (buf->data == NULL)
		return;
	if (cache_find_locked(r, SLOT_CHUNK, &loc->pack, loc->offset) == NULL)
		s = calloc(1, sizeof(*s));
	if (s == NULL) {
		room_buf_free_locked(r, buf);
		return;
	}
	s->id = ref.id;
	s->offset = loc->offset;
	s->state = SLOT_BUSY;
	s->refs = 1;
	s->ref = ref;
	s->spent = true;
	table_insert_locked(r, s);
	cache_ready_locked(r, s, buf, NULL, &spare);
	cache_unref_locked(r, s);
}

/*
 * May it go? Takes one of its chances, where it has any. What is fetched ahead takes the chances of nodes only: a scan
 * lives on the chunks that it is through with, and does not wear down those that others come back to.
 */
static bool may_go(struct slot *s, bool ahead, int64_t now)
{
	if (ahead && s->ahead && now - s->ahead_since < ahead_fresh)
		return false;
	if (s->heat == 0)
		return true;
	if (!ahead || s->class == SLOT_NODE)
		s->heat--;
	return false;
}

static bool evict_from_locked(struct reader *r, enum slot_class class, bool ahead, int64_t now)
{
	struct slot_list *list = &r->lists[class];
	size_t steps = list->count * (HEAT_MAX + 1);

	if (ahead && steps > AHEAD_STEPS)
		steps = AHEAD_STEPS;
	for (; steps > 0; steps--) {
		struct slot *s = list->first;
		slot_list_remove(list, s);
		if (may_go(s, ahead, now)) {
			table_remove_locked(r, s);
			slot_drop_locked(r, s);
			return true;
		}
		slot_list_push(list, s, false);
	}
	return false;
}

bool cache_evict_locked(struct reader *r, bool ahead)
{
	int64_t now = ahead ? clock_monotonic() : 0;
	bool nodes_first = r->bytes[SLOT_NODE] > r->cap / NODES_SHARE * NODES_SHARE_KEPT;
	enum slot_class first = nodes_first ? SLOT_NODE : SLOT_CHUNK;

	if (evict_from_locked(r, first, ahead, now))
		return true;
	return !ahead && evict_from_locked(r, first == SLOT_NODE ? SLOT_CHUNK : SLOT_NODE, false, 0);
}

void cache_release(struct reader *r)
{
	reader_lock(r);
	while (cache_evict_locked(r, false))
		continue;
	reader_unlock(r);
	free(r->buckets);
}
