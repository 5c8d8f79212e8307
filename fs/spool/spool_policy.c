/* SPDX-License-Identifier: MIT */
#include "base/checked.h"
#include "base/clock.h"
#include "base/host.h"
#include "fs/spool/spool_impl.h"

enum { IDLE_SECONDS = 10, IDLE_MAX_SECONDS = 600, SHIFT_MOST = 20 };

static int64_t later(int64_t t, int64_t by)
{
	return t > INT64_MAX - by ? INT64_MAX : t + by;
}

static int64_t sooner(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

int64_t spool_quiet(const struct spool_rule *rule, const struct work_state *state)
{
	return later(state->last_change, rule->idle_ns > 0 ? rule->idle_ns : IDLE_SECONDS * CLOCK_SECOND);
}

int64_t spool_movable(const struct spool_rule *rule, const struct work_state *state)
{
	return sooner(spool_quiet(rule, state), later(state->last_change, SPOOL_MOVE_WAIT));
}

int64_t spool_calm(const struct spool_rule *rule)
{
	int64_t idle = rule->idle_ns > 0 ? rule->idle_ns : IDLE_SECONDS * CLOCK_SECOND;
	return rule->policy == SPOOL_MANUAL  ? INT64_MAX
	       : rule->policy == SPOOL_CLOSE ? sooner(idle, SPOOL_CLOSE_WAIT)
					     : idle;
}

int64_t spool_due(const struct spool_rule *rule, const struct work_state *state, int64_t closed, int64_t now)
{
	int64_t idle_max = rule->idle_max_ns > 0 ? rule->idle_max_ns : IDLE_MAX_SECONDS * CLOCK_SECOND;
	int64_t due = INT64_MAX;

	if (rule->policy == SPOOL_MANUAL || state->changes <= state->committed)
		return INT64_MAX;
	if (state->last_change == 0) /* of a run that ended before it was committed */
		return now;
	if (state->open_dirty == 0)
		due = spool_quiet(rule, state);
	due = sooner(due, later(state->first_change != 0 ? state->first_change : state->last_change, idle_max));
	if (rule->policy == SPOOL_CLOSE && closed != 0)
		due = sooner(due, later(closed, SPOOL_CLOSE_WAIT));
	return due;
}

int64_t spool_backoff(unsigned failures)
{
	unsigned shift = failures > SHIFT_MOST ? SHIFT_MOST : failures > 0 ? failures - 1 : 0;
	int64_t window = sooner(SPOOL_RETRY_MOST, SPOOL_RETRY_FIRST << shift);
	uint64_t drawn;

	host_random(&drawn, sizeof(drawn));
	return (int64_t)(drawn % (uint64_t)window) + 1;
}
