/* SPDX-License-Identifier: MIT */

/* Lists of stretches: arrays in order, where the common change, at the end, costs nothing. */

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "fs/spool/content_impl.h"

enum { STRETCHES_FIRST = 8 };

void stretches_release(struct stretches *s)
{
	free(s->v);
	*s = (struct stretches){0};
}

/* A put replaces some stretches by at most three: two more than there were. */
bool stretches_reserve(struct stretches *s, size_t more)
{
	size_t need, bytes;
	if (!checked_mul_size(more, 2, &need) || !checked_add_size(need, s->count, &need))
		return false;
	if (need <= s->cap)
		return true;
	size_t cap = s->cap < STRETCHES_FIRST ? STRETCHES_FIRST : s->cap + s->cap / 2;
	if (cap < need)
		cap = need;
	if (!checked_mul_size(cap, sizeof(*s->v), &bytes))
		return false;
	struct stretch *v = realloc(s->v, bytes);
	if (!v)
		return false;
	s->v = v;
	s->cap = cap;
	return true;
}

size_t stretches_find(const struct stretches *s, uint64_t off)
{
	size_t lo = 0, hi = s->count;
	if (hi > 0 && s->v[hi - 1].end <= off)
		return hi;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (s->v[mid].end <= off)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

bool stretches_meet(const struct stretches *s, uint64_t off, uint64_t end)
{
	size_t i = stretches_find(s, off);
	return i < s->count && s->v[i].off < end;
}

static uint64_t data_of(const struct stretch *v, size_t count)
{
	uint64_t bytes = 0;
	for (size_t i = 0; i < count; i++)
		bytes += v[i].hole ? 0 : v[i].end - v[i].off;
	return bytes;
}

/* Replaces v[from..to) by `count` others. */
static void splice(struct stretches *s, size_t from, size_t to, const struct stretch *with, size_t count)
{
	s->bytes -= data_of(s->v + from, to - from);
	s->bytes += data_of(with, count);
	memmove(s->v + from + count, s->v + to, (s->count - to) * sizeof(*s->v));
	memcpy(s->v + from, with, count * sizeof(*with));
	s->count = s->count - (to - from) + count;
}

void stretches_put(struct stretches *s, uint64_t off, uint64_t end, bool hole)
{
	struct stretch mine = {off, end, hole}, with[3];
	size_t count = 0;
	if (off >= end)
		return;
	if (s->count > 0 && off >= s->v[s->count - 1].off && end <= s->v[s->count - 1].end &&
		hole == s->v[s->count - 1].hole)
		return;
	/* From the first that touches or overlaps to the first that does neither. */
	size_t from = stretches_find(s, off > 0 ? off - 1 : 0), to = from;
	while (to < s->count && s->v[to].off <= end)
		to++;
	if (from < to) {
		const struct stretch *first = &s->v[from], *last = &s->v[to - 1];
		struct stretch tail = *last;
		if (first->off < off && first->hole == hole)
			mine.off = first->off;
		else if (first->off < off)
			with[count++] = (struct stretch){first->off, off, first->hole};
		if (tail.end > end && tail.hole == hole)
			mine.end = tail.end;
		with[count++] = mine;
		if (tail.end > end && tail.hole != hole)
			with[count++] = (struct stretch){end, tail.end, tail.hole};
	} else {
		with[count++] = mine;
	}
	splice(s, from, to, with, count);
}

void stretches_cut(struct stretches *s, uint64_t from)
{
	while (s->count > 0 && s->v[s->count - 1].end > from) {
		struct stretch *last = &s->v[s->count - 1];
		uint64_t keep = max_u64(last->off, from);
		s->bytes -= last->hole ? 0 : last->end - keep;
		last->end = keep;
		if (last->off >= from)
			s->count--;
	}
}

/* The next of two lists by offset, which it steps over. */
static struct stretch take(const struct stretches *a, size_t *i, const struct stretches *b, size_t *n)
{
	bool first = *n >= b->count || (*i < a->count && a->v[*i].off <= b->v[*n].off);
	return first ? a->v[(*i)++] : b->v[(*n)++];
}

bool stretches_join(struct stretches *s, const struct stretches *other)
{
	struct stretches out = {0};
	size_t i = 0, n = 0;
	if (other->count == 0)
		return true;
	if (!stretches_reserve(&out, s->count + other->count))
		return false;
	while (i < s->count || n < other->count) {
		struct stretch next = take(s, &i, other, &n);
		stretches_put(&out, next.off, next.end, next.hole);
	}
	stretches_release(s);
	*s = out;
	return true;
}

bool stretches_keep(struct stretches *kept, const struct stretches *held)
{
	for (size_t i = 0; i < held->count; i++) {
		const struct stretch *h = &held->v[i];
		size_t n = stretches_find(kept, h->off);
		if (n < kept->count && kept->v[n].off <= h->off && h->end <= kept->v[n].end)
			continue;
		if (!stretches_reserve(kept, 1))
			return false;
		stretches_put(kept, h->off, h->end, false);
	}
	return true;
}
