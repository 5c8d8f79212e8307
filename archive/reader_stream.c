/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "archive/reader_impl.h"
#include "base/checked.h"

/*
 * The kernel reads ahead by several requests at once, which arrive in any order and by different threads: once a stream
 * is known, a read belongs to it when it begins near where the stream goes on.
 */
enum { WINDOW_FIRST = 1 << 20, NEAR = 4 << 20, KNOWN_AFTER = 64 << 10, EAGER_LEN = 128 << 10 };

void streams_init(struct streams *s, uint64_t window_max)
{
	memset(s, 0, sizeof(*s));
	pthread_mutex_init(&s->lock, NULL);
	s->window_max = window_max;
}

void streams_release(struct streams *s)
{
	pthread_mutex_destroy(&s->lock);
}

static bool belongs(const struct stream *t, uint64_t off, uint64_t end)
{
	if (t->used == 0)
		return false;
	if (t->window == 0)
		return off <= t->next && end >= t->next;
	return off <= t->next + NEAR && off + NEAR >= t->next;
}

/* The stream that goes on here, else the one that was quiet for longest, begun anew. */
static struct stream *choose(struct streams *s, uint64_t off, uint64_t end)
{
	struct stream *quiet = &s->list[0];

	for (unsigned i = 0; i < STREAMS; i++) {
		struct stream *t = &s->list[i];
		if (belongs(t, off, end))
			return t;
		if (t->used < quiet->used)
			quiet = t;
	}
	*quiet = (struct stream){.begun = off, .next = off, .ahead = off};
	return quiet;
}

/* The window doubles each time a quarter of it was read: fast, but not by a few small reads. */
static void advance(struct streams *s, struct stream *t, uint64_t off, uint64_t end)
{
	bool first = t->used == 0;

	t->used = ++s->calls;
	t->next = max_u64(t->next, end);
	if (t->window == 0) {
		/* Who begins at the start by a large read is as a rule about to read it all. */
		if (first ? off == 0 && end >= EAGER_LEN : t->next - t->begun >= KNOWN_AFTER)
			t->window = min_u64(WINDOW_FIRST, s->window_max);
		t->grown = t->next;
	} else if (t->window < s->window_max && t->next - t->grown >= t->window / 4) {
		t->window = min_u64(t->window * 2, s->window_max);
		t->grown = t->next;
	}
}

struct stream_advice streams_read(struct streams *s, uint64_t off, uint64_t len, uint64_t size)
{
	struct stream_advice advice = {.from = off, .to = min_u64(off + len, size)};

	pthread_mutex_lock(&s->lock);
	struct stream *t = choose(s, off, advice.to);
	advance(s, t, off, advice.to);
	advice.sequential = t->window > 0;
	if (!advice.sequential) {
		t->ahead = t->next;
	} else {
		uint64_t want = min_u64(t->next + t->window, size);
		advice.from = advice.to = max_u64(t->ahead, off);
		/* Topped up by halves: what is asked for at once can be fetched at once. */
		if (want > advice.from && (want - advice.from >= t->window / 2 || want == size))
			advice.to = t->ahead = want;
	}
	pthread_mutex_unlock(&s->lock);
	return advice;
}

void streams_fetched(struct streams *s, const struct stream_advice *advice, uint64_t end)
{
	if (end >= advice->to)
		return;
	pthread_mutex_lock(&s->lock);
	for (unsigned i = 0; i < STREAMS; i++)
		if (s->list[i].ahead == advice->to)
			s->list[i].ahead = end;
	pthread_mutex_unlock(&s->lock);
}
