/* SPDX-License-Identifier: MIT */
/* Is it worth following? Both ways are tried, and the caller's own pace tells. */
#include "base/clock.h"
#include "fs/follow.h"

enum {
	WINDOW = 48,  /* looks that make a figure */
	SETTLE = 8,   /* looks after a change of ways that make none: threads are on their way */
	TRIAL_AT = 24 /* windows of what is kept before the other way is tried again */
};
/* A caller that paused does something else: of a look that came late, so much is counted. */
#define LATE (CLOCK_SECOND / 250)
/* What is kept stays until the other is better by one part in so many. */
#define EDGE 16

static enum follow_way other(enum follow_way way)
{
	return way == FOLLOW_BOUND ? FOLLOW_LOOSE : FOLLOW_BOUND;
}

static void begin(struct follow_trial *t, enum follow_way way)
{
	t->way = way;
	t->looks = 0;
	t->sum = 0;
}

/* After a window: the next one's way. */
static void judge(struct follow_trial *t)
{
	int64_t kept = t->cost[t->kept], tried = t->cost[other(t->kept)];

	if (t->way != t->kept) {
		if (tried < kept - kept / EDGE)
			t->kept = t->way;
		t->windows = 0;
		begin(t, t->kept);
		return;
	}
	bool again = tried == 0 || ++t->windows >= TRIAL_AT;
	begin(t, again ? other(t->kept) : t->kept);
}

enum follow_way follow_weigh(struct follow_trial *t, pid_t caller, int64_t now)
{
	int64_t passed = now - t->last;
	bool counts = t->last != 0 && caller == t->caller && passed >= 0;

	t->last = now;
	t->caller = caller;
	if (!counts || ++t->looks <= SETTLE)
		return t->way;
	t->sum += passed < LATE ? passed : LATE;
	if (t->looks == SETTLE + WINDOW) {
		t->cost[t->way] = t->sum / WINDOW;
		judge(t);
	}
	return t->way;
}

void follow_weigh_none(struct follow_trial *t)
{
	t->last = 0;
}
