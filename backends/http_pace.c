/* SPDX-License-Identifier: MIT */

/*
 * When a small read is late, and how long to wait before asking again.
 *
 * Lateness is judged as TCP does it (RFC 6298): a smoothed mean and a smoothed distance from it. Waiting is AWS's full
 * jitter: anything between nothing and a bound that doubles.
 */

#include "backends/http_impl.h"
#include "base/clock.h"

static const int64_t late_first = CLOCK_SECOND / 2, late_least = CLOCK_SECOND / 50, late_most = 2 * CLOCK_SECOND;
static const int64_t wait_most = 20 * CLOCK_SECOND;
/* One read in twenty may be asked for twice. */
static const double hedge_share = 0.05, hedge_most = 10;

enum { SEEN_LEAST = 16 }; /* reads before their times say what is late */

void http_pace_note(struct http_pace *p, int64_t took)
{
	int64_t off = took - p->mean;

	p->hedges = p->hedges + hedge_share > hedge_most ? hedge_most : p->hedges + hedge_share;
	p->seen += p->seen < SEEN_LEAST;
	if (p->mean == 0) {
		p->mean = took;
		p->spread = took / 2;
		return;
	}
	p->mean += off / 8;
	p->spread += ((off < 0 ? -off : off) - p->spread) / 4;
}

int64_t http_pace_late(const struct http_pace *p)
{
	int64_t late = p->seen < SEEN_LEAST ? late_first : p->mean + 4 * p->spread;

	return late < late_least ? late_least : late > late_most ? late_most : late;
}

bool http_pace_spend(struct http_pace *p)
{
	if (p->hedges < 1)
		return false;
	p->hedges -= 1;
	return true;
}

int64_t http_pace_backoff(int64_t base, unsigned attempt, uint64_t random)
{
	int64_t most = base;

	for (unsigned i = 0; i < attempt && most < wait_most; i++)
		most *= 2;
	if (most > wait_most)
		most = wait_most;
	return most <= 0 ? 0 : (int64_t)(random % ((uint64_t)most + 1));
}
