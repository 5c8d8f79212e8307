/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "archive/reader_impl.h"
#include "base/host.h"

/*
 * Who reads a few bytes somewhere waits only until these are unpacked: a chunk is opened, and so authenticated, as a
 * whole, and then unpacked from its beginning on. A thread does the rest behind his back, unless he comes back before.
 */

/* With less than 1/8 of the chunk left to unpack, it is not worth another thread's while. */
enum { REST_SHIFT = 3, STEP_LEN = 128 << 10 };

struct growth {
	struct kit *kit;
	struct room_buf sealed; /* opened: what is still to be unpacked lies in it */
	struct chunk_steps steps;
	struct loaded l;
	struct locator loc;
};

bool grow_pays_locked(const struct reader *r, enum slot_class class, const struct chunk_ref *ref, uint32_t first)
{
	uint32_t plain = ref->chain[0].plain;

	return class == SLOT_CHUNK && ref->depth == 0 && plain > 2 * STEP_LEN &&
	       first < plain - (plain >> REST_SHIFT) && r->growing < r->decode_max;
}

static void growth_free(struct reader *r, struct growth *g)
{
	if (g->kit != NULL)
		kit_give(r, g->kit);
	room_buf_free(r, &g->sealed);
	free(g);
}

/* Fetched and opened, with a buffer to unpack into. */
static int open_sealed(struct reader *r, struct growth *g, uint32_t first, struct error *err)
{
	uint8_t key[FORMAT_KEY_LEN];
	struct seal_place place = load_place(r, KIND_DATA_PACK, &g->loc);
	int status = load_fetch(r, SLOT_CHUNK, &g->loc, &g->l.spare, &g->sealed, key, err);

	if (status == 0)
		status = load_damaged(KIND_DATA_PACK, &g->loc,
			seal_open(key, &place, g->sealed.data, g->loc.stored, g->sealed.data, err), err);
	host_wipe(key, sizeof(key));
	if (status == 0 && !room_buf_new(r, g->loc.plain, first + STEP_LEN, &g->l.spare, &g->l.buf))
		status = error_no_memory(err, "a chunk");
	return status;
}

/* Unpacks until `first` bytes are there. */
static int step_to(struct growth *g, uint32_t first, struct error *err)
{
	int status = 0;

	while (status == 0 && !g->steps.done && g->steps.have < first)
		status = chunk_steps_more(g->kit->decoder, &g->steps, err);
	return load_damaged(KIND_DATA_PACK, &g->loc, status, err);
}

static int begin_steps(struct growth *g, uint32_t first, struct error *err)
{
	int status = chunk_steps_begin(g->kit->decoder, g->sealed.data, g->loc.stored - FORMAT_TAG_LEN, g->l.buf.data,
		g->loc.plain, &g->steps, err);

	return status != 0 ? load_damaged(KIND_DATA_PACK, &g->loc, status, err) : step_to(g, first, err);
}

int grow_begin(struct reader *r, const struct chunk_ref *ref, uint32_t first, struct loaded *l,
	struct growth **ret_growth, struct error *err)
{
	struct growth *g = calloc(1, sizeof(*g));

	if (g == NULL)
		return error_no_memory(err, "a chunk");
	g->loc = ref->chain[0];
	g->l.spare = l->spare;
	l->spare = 0;
	g->kit = kit_take(r, err);
	int status = g->kit == NULL ? ERR_NO_MEMORY : open_sealed(r, g, first, err);
	if (status == 0)
		status = begin_steps(g, first, err);
	if (status == 0 && !g->steps.done) {
		*ret_growth = g;
		return 0;
	}
	if (status != 0)
		room_buf_free(r, &g->l.buf);
	*l = g->l;
	growth_free(r, g);
	return status;
}

/* What is there may be pinned; the slot waits for somebody to go on with it. */
static void show_locked(struct reader *r, struct slot *s)
{
	s->state = SLOT_GROWING;
	slot_list_push(&r->grow_queue, s, false);
	cache_wake_locked(r, s);
	fetch_rouse_locked(r);
}

void grow_settle_locked(struct reader *r, struct slot *s, struct growth *growth)
{
	s->growth = growth;
	s->grown = (uint32_t)growth->steps.have;
	s->chunk = (struct chunk){.data = growth->l.buf.data, .len = growth->loc.plain};
	cache_ref_locked(r, s);
	show_locked(r, s);
}

/* Who pinned its beginning reads on in the buffer: it goes with the last of them. */
static void fail_locked(struct reader *r, struct slot *s, struct loaded *l, int status, const struct error *why)
{
	s->grown = 0;
	cache_fail_locked(r, s, status, why);
	s->charge = room_charge(l->buf.cap);
	s->buf = l->buf;
	room_give_locked(r, l->spare);
}

/* The growth is over, one way or the other. The lock is let go meanwhile. */
static void end_locked(struct reader *r, struct slot *s, int status, const struct error *why)
{
	struct growth *g = s->growth;
	struct loaded l = g->l;

	s->growth = NULL;
	r->growing--;
	reader_unlock(r);
	growth_free(r, g);
	reader_lock(r);
	if (status == 0) {
		load_settle_locked(r, s, 0, &l, NULL);
		s->grown = 0;
	} else {
		fail_locked(r, s, &l, status, why);
	}
	cache_unref_locked(r, s); /* the growth's */
}

int grow_on_locked(struct reader *r, struct slot *s, uint32_t first, struct error *err)
{
	struct growth *g = s->growth;
	struct error why = ERROR_INIT;
	int status = 0;

	slot_list_remove(&r->grow_queue, s);
	s->state = SLOT_BUSY;
	while (status == 0 && !g->steps.done && g->steps.have < first) {
		uint32_t next = s->grown + STEP_LEN;
		reader_unlock(r);
		room_buf_touch(&g->l.buf, next, (size_t)next + STEP_LEN);
		status = step_to(g, next < first ? next : first, &why);
		reader_lock(r);
		s->grown = (uint32_t)g->steps.have;
		cache_wake_locked(r, s);
	}
	if (status == 0 && !g->steps.done)
		show_locked(r, s);
	else
		end_locked(r, s, status, &why);
	if (status != 0 && err != NULL)
		*err = why;
	return status;
}

void grow_drop_locked(struct reader *r)
{
	while (r->grow_queue.first != NULL) {
		struct slot *s = r->grow_queue.first;
		slot_list_remove(&r->grow_queue, s);
		s->state = SLOT_BUSY;
		end_locked(r, s, ERR_CANCELLED, NULL);
	}
}
