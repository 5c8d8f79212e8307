/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "catalog/catalog.h"
#include "fs/spool/hold.h"
#include "fs/spool/spool_impl.h"

#define HOLD_RETRY (60 * CLOCK_SECOND)

static void keep_text(char dst[static SPOOL_TEXT_MAX], const char *text)
{
	snprintf(dst, SPOOL_TEXT_MAX, "%s", text == NULL ? "" : text);
}

/* The catalog that all commits share. Whoever comes second to open it throws his away. */
static int shared_catalog(struct spool *s, struct catalog **ret_catalog, struct error *err)
{
	const struct catalog_options options = {
		.dir = s->o.catalog_dir, .repository = s->o.repo->config.repository, .log = s->o.log};
	struct catalog *mine = NULL;

	pthread_mutex_lock(&s->lock);
	struct catalog *catalog = s->catalog;
	pthread_mutex_unlock(&s->lock);
	if (catalog == NULL) {
		int r = catalog_open(&options, &mine, err);
		if (r < 0)
			return r;
		pthread_mutex_lock(&s->lock);
		if (s->catalog == NULL) {
			s->catalog = mine;
			mine = NULL;
		}
		catalog = s->catalog;
		pthread_mutex_unlock(&s->lock);
		catalog_close(mine);
	}
	*ret_catalog = catalog;
	return 0;
}

static int run_commit(struct spool_copy *c, const struct spool_asked *asked, const struct snapshot *last,
	struct commit_result *result, struct error *err)
{
	struct spool *s = c->s;
	struct spool_rule rule = s->o.rule(s->o.rule_arg, c->name);
	const struct epoch *epoch = spool_epoch(s);
	struct commit_options options = {.repo = s->o.repo,
		.reader = view_reader(s->o.view),
		.work = c->work,
		.set = epoch->set,
		.last = last,
		.find = spool_find,
		.find_arg = s,
		.compression = rule.compression,
		.check_command = rule.check,
		.description = asked->description,
		.tags = asked->tags,
		.tag_count = asked->tag_count,
		.made = s->o.made,
		.made_arg = s->o.made_arg,
		.progress = &c->progress,
		.cancel = &s->cancel,
		.log = s->o.log};
	int r = shared_catalog(s, &options.catalog, err);

	if (r == 0)
		r = commit_run(&options, result, err);
	epoch_unref(epoch);
	return r;
}

/* With the lock. What a commit that worked changes. */
static void note_done(struct spool_copy *c, const struct commit_result *result)
{
	c->failures = 0;
	c->next_try = 0;
	c->last_error[0] = '\0';
	c->last_commit = clock_now();
	c->grown = result->weight > c->s->grown;
	c->shown = c->shown || c->grown;
	if (result->snapshot != NULL) {
		keep_text(c->size_warning, result->size_warning);
		if (result->crossed != NULL) /* stays until it moves to what the other made */
			keep_text(c->crossed, result->crossed);
	}
}

/* With the lock. */
static void note_failed(struct spool_copy *c, const struct error *why, int64_t closed)
{
	c->failures++;
	c->next_try = clock_monotonic() + spool_backoff(c->failures);
	c->closed = closed != 0 ? closed : c->closed;
	keep_text(c->last_error, error_text(why));
}

/* A store that fails is waited for; what will not get better by waiting is told to whoever asked. */
static bool worth_waiting(int status)
{
	return error_is_retryable(status) || status == ERR_VOID || status == ERR_BUSY;
}

static void end_commit(
	struct spool_copy *c, int status, const struct commit_result *result, int64_t closed, const struct error *why)
{
	struct spool *s = c->s;
	struct spool_wait *told;
	const struct snapshot *made = result->snapshot == NULL ? NULL : spool_keep(s, result->snapshot);

	pthread_mutex_lock(&s->lock);
	if (made != NULL)
		c->last = made;
	if (status == 0) {
		note_done(c, result);
		told = spool_answered(c, result->change);
	} else {
		note_failed(c, why, closed);
		told = worth_waiting(status) ? NULL : spool_refused(c, false);
	}
	bool quiet = status == 0 || (s->closing && status == ERR_CANCELLED);
	pthread_mutex_unlock(&s->lock);
	if (!quiet)
		log_warn(s->o.log, "spool: cannot commit '%s': %s; what was written is kept, and tried again", c->name,
			error_text(why));
	spool_answer(told, status, result->snapshot, status == 0 ? NULL : why);
}

/* One commit. Called with the lock, which is given up meanwhile. */
static void commit_once(struct spool_copy *c)
{
	struct spool *s = c->s;
	struct error err = ERROR_INIT;
	struct commit_result result = {0};
	struct spool_asked asked;
	int64_t closed = c->closed;
	const struct snapshot *last = c->last;

	c->busy = true;
	c->closed = 0;
	spool_take_waits(c, &asked);
	pthread_mutex_unlock(&s->lock);
	int r = run_commit(c, &asked, last, &result, &err);
	end_commit(c, r, &result, closed, &err);
	commit_result_release(&result);
	free(asked.tags);
	pthread_mutex_lock(&s->lock);
	c->busy = false;
}

static bool is_held(struct spool *s, const struct id *id)
{
	const struct epoch *epoch = spool_epoch(s);
	const struct snapshot *now = snapset_by_id(epoch->set, id);
	bool held = now != NULL && now->held;

	epoch_unref(epoch);
	return held;
}

/* Holds the base while changes stand on it. Called with the lock, which is given up meanwhile. */
static void hold_base(struct spool_copy *c)
{
	struct spool *s = c->s;
	int64_t now = clock_monotonic();

	if (c->held || (c->hold_try != 0 && now < c->hold_try))
		return;
	c->hold_try = now + HOLD_RETRY;
	c->busy = true;
	pthread_mutex_unlock(&s->lock);
	const struct snapshot *base = work_base(c->work);
	bool held = hold_take(s->o.repo, c->dir, base, base != NULL && is_held(s, &base->id), s->o.log);
	pthread_mutex_lock(&s->lock);
	c->busy = false;
	c->held = held;
}

/* What there is to move to; NULL: it stands where it should. */
static const struct snapshot *target(struct spool_copy *c, const struct snapshot *last, bool grown)
{
	const struct snapshot *newest = spool_newest(c->s, c->name), *base = work_base(c->work);

	if (newest == NULL || (base != NULL && id_equal(&newest->id, &base->id)))
		return NULL;
	if (last != NULL && id_equal(&newest->id, &last->id) && !grown)
		return NULL; /* it shows that already, on the base that it has */
	return newest;
}

/* Nothing is changed here: goes where another host has gone. Called with the lock, which is given up meanwhile. */
static void move_on(struct spool_copy *c)
{
	struct spool *s = c->s;
	struct error err = ERROR_INIT;
	const struct snapshot *last = c->last;
	bool moved = false, grown = c->grown, kept_out = false;
	int r = 0;

	c->shown = false;
	c->busy = true;
	pthread_mutex_unlock(&s->lock);
	const struct snapshot *newest = target(c, last, grown);
	if (newest != NULL)
		kept_out = s->o.moving == NULL || s->o.moving(s->o.moved_arg, c->name);
	if (kept_out)
		r = work_rebase(c->work, newest, &moved, &err);
	if (kept_out && !moved && s->o.stayed != NULL)
		s->o.stayed(s->o.moved_arg, c->name);
	if (r < 0)
		log_warn(s->o.log, "spool: '%s' cannot move to '%s': %s", c->name, newest->name, error_text(&err));
	if (moved) {
		hold_release(s->o.repo, c->dir, newest, s->o.log);
		if (s->o.moved != NULL)
			s->o.moved(s->o.moved_arg, c->name);
	}
	pthread_mutex_lock(&s->lock);
	c->busy = false;
	c->shown = c->shown || (newest != NULL && !kept_out); /* again, when the requests in it are answered */
	if (moved) {
		c->last = NULL;
		c->held = c->grown = false;
		c->hold_try = 0;
		c->crossed[0] = '\0';
	}
}

/* What the committer does next. */
enum turn { TURN_END, TURN_WAIT, TURN_COMMIT, TURN_MOVE };

/* Decides, with the lock. *ret_due: until when to wait. */
static enum turn decide(
	struct spool_copy *c, const struct spool_rule *rule, const struct work_state *state, int64_t *ret_due)
{
	struct spool *s = c->s;
	int64_t now = clock_monotonic();
	bool pending = state->changes > state->committed;

	if (c->removing || c->removed || (s->closing && (!s->last_round || c->failures > 0)))
		return TURN_END;
	if (!pending && c->waits == NULL) {
		if (!c->shown || s->closing)
			return TURN_END;
		/* Whoever is at work here, if only between two files, keeps the inode numbers that he knows. */
		*ret_due = state->last_change == 0 ? now : spool_movable(rule, state);
		return *ret_due <= now ? TURN_MOVE : TURN_WAIT;
	}
	if (s->closing && rule->policy == SPOOL_MANUAL && c->waits == NULL)
		return TURN_END;
	*ret_due = c->waits != NULL || s->closing ? now : spool_due(rule, state, c->closed, now);
	*ret_due = c->next_try > *ret_due ? c->next_try : *ret_due;
	return *ret_due <= now ? TURN_COMMIT : TURN_WAIT;
}

/* Waits with the lock; spool_changed() sees for how long. */
static void rest(struct spool_copy *c, const struct spool_rule *rule, int64_t due)
{
	c->calm = spool_calm(rule);
	c->asleep = due;
	spool_wait_until(c->s, due);
	c->asleep = 0;
}

static void *committer(void *arg)
{
	struct spool_copy *c = arg;
	struct spool *s = c->s;
	struct work_state state;
	enum turn turn;
	int64_t due = 0;

	work_sweep_all(c->work);
	pthread_mutex_lock(&s->lock);
	do {
		uint64_t events = c->events;
		pthread_mutex_unlock(&s->lock);
		work_get_state(c->work, &state);
		struct spool_rule rule = s->o.rule(s->o.rule_arg, c->name);
		pthread_mutex_lock(&s->lock);
		if (state.changes > state.committed && !s->closing)
			hold_base(c);
		turn = decide(c, &rule, &state, &due);
		if (turn == TURN_COMMIT)
			commit_once(c);
		else if (turn == TURN_MOVE)
			move_on(c);
		else if (c->events != events)
			turn = TURN_WAIT; /* what was decided on is past */
		else if (turn == TURN_WAIT)
			rest(c, &rule, due);
	} while (turn != TURN_END);
	c->running = false;
	s->threads--;
	pthread_cond_broadcast(&s->cond);
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

void spool_wake(struct spool_copy *c)
{
	c->events++;
	if (!c->running && c->work != NULL && !c->removed && !c->s->opening)
		c->running = spool_thread(c->s, committer, c);
	pthread_cond_broadcast(&c->s->cond);
}

void spool_changed(void *arg, bool closed)
{
	struct spool_copy *c = arg;
	int64_t now = clock_monotonic();

	pthread_mutex_lock(&c->s->lock);
	if (closed && c->closed == 0)
		c->closed = now;
	/* To wake a thread costs more than a close: not for one that will look soon enough by itself. */
	if (c->running && c->asleep != 0 && (c->calm == INT64_MAX || c->asleep <= now + c->calm))
		c->events++;
	else if (!c->s->closing)
		spool_wake(c);
	pthread_mutex_unlock(&c->s->lock);
}
