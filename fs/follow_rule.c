/* SPDX-License-Identifier: MIT */
/* When to bind, when to follow, when to let go. */
#include "fs/follow.h"

enum {
	SAME_LEAST = 2,   /* looks that found the same core before threads are bound to it */
	STRIKES_MOST = 2, /* looks in a row that found someone else elsewhere before they are freed */
};

static int let_go(struct follow_rule *r)
{
	r->same = r->strikes = 0;
	return r->home = FOLLOW_FREE;
}

static int stayed(struct follow_rule *r)
{
	r->strikes = 0;
	if (r->same < SAME_LEAST)
		r->same++;
	if (r->same == SAME_LEAST)
		r->home = r->core;
	return r->home;
}

static int moved(struct follow_rule *r, int core)
{
	r->core = core;
	if (r->home != FOLLOW_FREE)
		r->home = core;
	return r->home;
}

/* Another caller on another core: perhaps in passing. */
static int struck(struct follow_rule *r, int core)
{
	if (r->home != FOLLOW_FREE && ++r->strikes < STRIKES_MOST)
		return r->home;
	r->core = core;
	return let_go(r);
}

int follow_judge(struct follow_rule *r, pid_t caller, int core, bool bulk)
{
	bool again = caller == r->caller;

	r->caller = caller;
	if (bulk || core == FOLLOW_FREE)
		return let_go(r);
	if (core == r->core)
		return stayed(r);
	return again ? moved(r, core) : struck(r, core);
}
