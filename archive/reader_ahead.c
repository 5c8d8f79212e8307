/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "archive/reader_impl.h"
#include "base/checked.h"

/*
 * How much one request fetches, and how far apart two chunks may lie in it. On a local store a run only saves calls and
 * must not keep the other threads waiting; over a line it is what a connection is worth.
 */
enum {
	LOCAL_RUN = 512 << 10,
	LOCAL_GAP = 128 << 10,
	LOCAL_SLOTS = 8,
	REMOTE_RUN_LEAST = 1 << 20,
	REMOTE_RUN_MOST = 4 << 20,
	REMOTE_GAP = 256 << 10,
};

/* Runs in the making, over one call. */
struct gather {
	struct reader *r;
	enum slot_class class;
	uint64_t run_max, gap_max;
	unsigned slots_max;
	struct run *run; /* open; not in the queue yet */
};

static struct gather gather_begin(struct reader *r, enum slot_class class, const struct chunk_ref *refs, size_t count)
{
	struct gather g = {
		.r = r, .class = class, .run_max = LOCAL_RUN, .gap_max = LOCAL_GAP, .slots_max = LOCAL_SLOTS};
	uint64_t sum = 0;

	if (r->local)
		return g;
	/* Little is spread over many connections, much fills each of them. */
	for (size_t i = 0; i < count; i++)
		sum += refs[i].chain[0].stored;
	g.run_max = min_u64(max_u64(sum / r->fetch_max, REMOTE_RUN_LEAST), REMOTE_RUN_MOST);
	g.gap_max = REMOTE_GAP;
	g.slots_max = RUN_SLOTS_MAX;
	return g;
}

static void gather_close_locked(struct gather *g)
{
	if (g->run != NULL)
		fetch_queue_locked(g->r, g->run);
	g->run = NULL;
}

/*
 * Does the chunk join the open run? It may lie before, in or behind its range: chunks that were stored at the same time
 * lie in a pack in another order than in the file.
 */
static bool fits(const struct gather *g, const struct chunk_ref *ref)
{
	const struct run *run = g->run;
	const struct locator *l = &ref->chain[0];
	uint64_t end = l->offset + l->stored;

	if (run == NULL || run->chain || ref->depth > 0 || run->count >= g->slots_max ||
		!id_equal(&run->pack, &l->pack))
		return false;
	return l->offset <= run->to + g->gap_max && end + g->gap_max >= run->from &&
	       max_u64(end, run->to) - min_u64(l->offset, run->from) <= g->run_max;
}

/* A new run that begins with this chunk. */
static bool open_run_locked(struct gather *g, const struct chunk_ref *ref)
{
	gather_close_locked(g);
	struct run *run = calloc(1, sizeof(*run));
	if (run == NULL)
		return false;
	run->kind = slot_kind(g->class);
	run->chain = ref->depth > 0;
	run->pack = ref->chain[0].pack;
	run->from = run->to = ref->chain[0].offset;
	g->run = run;
	return true;
}

/* What the range costs once it holds the chunk too, beyond what it costs now. */
static size_t range_more(const struct run *run, const struct locator *l)
{
	uint64_t end = l->offset + l->stored;

	if (run == NULL)
		return room_charge(l->stored);
	return room_charge((size_t)(max_u64(end, run->to) - min_u64(l->offset, run->from))) -
	       room_charge((size_t)(run->to - run->from));
}

/* False: no room, and so there is none for those after it. */
static bool gather_add_locked(struct gather *g, const struct chunk_ref *ref)
{
	struct reader *r = g->r;
	const struct locator *l = &ref->chain[0];
	bool joins = fits(g, ref);
	size_t need = load_need(r, g->class, ref, false);
	size_t range = ref->depth == 0 ? range_more(joins ? g->run : NULL, l) : 0;

	if (!room_try_locked(r, need + range, true))
		return false;
	struct slot *s = NULL;
	if (joins || open_run_locked(g, ref))
		s = cache_add_locked(r, g->class, ref);
	if (s == NULL) {
		room_give_locked(r, need + range);
		return false;
	}
	s->state = SLOT_QUEUED;
	s->ahead = true;
	s->charge = need;
	s->flight = need + range;
	r->flight += s->flight;
	s->run = g->run;
	g->run->from = min_u64(g->run->from, l->offset);
	g->run->to = max_u64(g->run->to, l->offset + l->stored);
	g->run->spare += range;
	g->run->slots[g->run->count++] = s;
	return true;
}

size_t ahead_fetch(struct reader *r, enum slot_class class, const struct chunk_ref *refs, size_t count)
{
	struct gather g = gather_begin(r, class, refs, count);
	size_t taken = 0;

	reader_lock(r);
	for (; taken < count; taken++) {
		const struct chunk_ref *ref = &refs[taken];
		if (ref_check(ref, NULL) != 0)
			break;
		if (cache_find_locked(r, class, &ref->id, SLOT_BY_ID) == NULL && !gather_add_locked(&g, ref))
			break;
	}
	/* A run without slots (no memory for the first) is none. */
	if (g.run != NULL && g.run->count == 0) {
		free(g.run);
		g.run = NULL;
	}
	gather_close_locked(&g);
	reader_unlock(r);
	return taken;
}
