/* SPDX-License-Identifier: MIT */

/*
 * The keys that are there, and when they are fetched anew.
 *
 *	none       no keys, or they have expired: who asks fetches, or waits for who does
 *	old        they expire soon: who asks fetches, others go on with them
 *	fresh      they are handed out
 *
 * One flight at a time: `fetching` is set under the lock, the work is done
 * without it. Those who waited for a flight share its failure, unless that was
 * its owner's own limits.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "backends/aws_impl.h"
#include "backends/driver.h"
#include "base/clock.h"

static const int64_t margin = 300 * CLOCK_SECOND; /* so long before they expire, keys are fetched anew */
/* After a flight there is no other one for so long, as long as there are keys: not for each request one. */
static const int64_t rest = 30 * CLOCK_SECOND;
static const int64_t slice = CLOCK_SECOND / 20; /* how soon a cancelled call is noticed */

enum state { NONE, OLD, FRESH };

/* ---- beginning and end ---- */

static int set_up(struct aws_credentials *c, const struct aws_options *o, struct error *err)
{
	const char *profile = o->profile != NULL ? o->profile : aws_env(o, "AWS_PROFILE");
	char names[500];

	c->o = *o;
	c->asked = profile != NULL;
	c->profile = strdup(profile != NULL ? profile : "default");
	c->sts_endpoint = o->sts_endpoint != NULL ? strdup(o->sts_endpoint) : NULL;
	if (c->profile == NULL || (o->sts_endpoint != NULL && c->sts_endpoint == NULL))
		return error_no_memory(err, "credentials");
	c->o.profile = o->profile != NULL ? c->profile : NULL;
	c->o.sts_endpoint = c->sts_endpoint;
	int rc = aws_files_load(o, &c->files, err);
	if (rc == 0 && c->asked && !aws_files_has(&c->files, c->profile))
		rc = error_set(err, ERR_USAGE,
			"there is no profile '%.100s' in %s; write it there, or name another by AWS_PROFILE",
			c->profile, aws_files_names(&c->files, names, sizeof(names)));
	return rc;
}

int aws_credentials_new(const struct aws_options *options, struct aws_credentials **ret, struct error *err)
{
	struct aws_credentials *c = calloc(1, sizeof(*c));
	pthread_condattr_t attr;

	if (c == NULL)
		return error_no_memory(err, "credentials");
	pthread_mutex_init(&c->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&c->wake, &attr);
	pthread_condattr_destroy(&attr);
	int rc = set_up(c, options, err);
	if (rc < 0)
		aws_credentials_free(c);
	else
		*ret = c;
	return rc;
}

void aws_credentials_free(struct aws_credentials *c)
{
	if (c == NULL)
		return;
	http_free(c->local);
	aws_keys_release(&c->keys);
	aws_keys_release(&c->refused);
	aws_files_release(&c->files);
	pthread_cond_destroy(&c->wake);
	pthread_mutex_destroy(&c->lock);
	free(c->profile);
	free(c->sts_endpoint);
	free(c);
}

const char *aws_setting(const struct aws_credentials *c, const char *name)
{
	return aws_profile_setting(&c->files, c->profile, name);
}

/* ---- what the keys are good for ---- */

/* The host's clock may have been set back: then it is long ago. */
static bool just(int64_t when, int64_t now)
{
	return when != 0 && now >= when && now - when < rest;
}

static enum state state_locked(const struct aws_credentials *c, int64_t now)
{
	const struct aws_keys *k = &c->keys;

	if (!c->has)
		return NONE;
	/* What was given this minute is good, whatever the two clocks say: the server will tell. */
	if (k->expires == 0 || just(c->fetched, now) || now < k->expires - margin)
		return FRESH;
	return now < k->expires ? OLD : NONE;
}

/* ---- a flight ---- */

static int fetch(struct aws_credentials *c, const struct store_call *limits, struct aws_keys *ret, bool *ret_fixed,
	struct error *err)
{
	struct aws_fetch f = {.c = c, .limits = limits};
	int rc = aws_files_load(&c->o, &f.files, err);

	if (rc == 0)
		rc = aws_fetch_keys(&f, ret, err);
	*ret_fixed = f.fixed;
	aws_files_release(&f.files);
	return rc;
}

static void land_locked(struct aws_credentials *c, int rc, struct aws_keys *keys, bool fixed, const struct error *err)
{
	int64_t now = aws_now(&c->o);

	c->fetching = false;
	c->flights++;
	c->last = rc < 0 ? *err : ERROR_INIT;
	if (rc < 0) {
		c->failed = now;
	} else {
		aws_keys_release(&c->keys);
		c->keys = *keys;
		c->has = true;
		c->fixed = fixed;
		c->fetched = now;
		c->failed = 0;
		c->came_back = c->refused.access_key != NULL && aws_keys_equal(keys, &c->refused);
	}
	pthread_cond_broadcast(&c->wake);
}

/* With the lock, which is let go of in between. */
static int fly_locked(struct aws_credentials *c, const struct store_call *limits, struct error *err)
{
	struct aws_keys keys = {0};
	bool fixed = false;

	c->fetching = true;
	pthread_mutex_unlock(&c->lock);
	int rc = fetch(c, limits, &keys, &fixed, err);
	if (rc < 0)
		log_debug(c->o.log, "credentials: %s", error_text(err));
	pthread_mutex_lock(&c->lock);
	land_locked(c, rc, &keys, fixed, err);
	return rc;
}

static void wait_locked(struct aws_credentials *c)
{
	int64_t until = clock_monotonic() + slice;
	struct timespec at = {.tv_sec = until / CLOCK_SECOND, .tv_nsec = until % CLOCK_SECOND};

	pthread_cond_timedwait(&c->wake, &c->lock, &at);
}

/* Did the flight that this caller waited for fail, and for a reason that is the caller's too? */
static bool shared_failure_locked(const struct aws_credentials *c, uint64_t seen, struct error *err)
{
	int code = c->last.code;

	if (c->flights == seen || code == ERR_OK || code == ERR_CANCELLED || code == ERR_TIMEOUT)
		return false;
	*err = c->last;
	return true;
}

/* Until there are keys to hand out; *ret_kept: old ones, as new ones could not be had. */
static int await_locked(struct aws_credentials *c, const struct store_call *limits, bool *ret_kept, struct error *err)
{
	uint64_t seen = c->flights;

	for (;;) {
		int64_t now = aws_now(&c->o);
		enum state state = state_locked(c, now);
		if (state == FRESH || (state == OLD && (c->fetching || just(c->failed, now))))
			return 0;
		if (state == NONE && shared_failure_locked(c, seen, err))
			return err->code;
		if (!c->fetching) {
			int rc = fly_locked(c, limits, err);
			*ret_kept = rc < 0 && state_locked(c, aws_now(&c->o)) != NONE;
			return *ret_kept ? 0 : rc;
		}
		int rc = store_go_on(limits, "credentials", err);
		if (rc < 0)
			return rc;
		wait_locked(c);
	}
}

int aws_credentials_get(
	struct aws_credentials *c, const struct store_call *limits, struct aws_keys *ret, struct error *err)
{
	struct error own = ERROR_INIT;
	bool kept = false;

	pthread_mutex_lock(&c->lock);
	int rc = await_locked(c, limits, &kept, &own);
	if (rc == 0)
		rc = aws_keys_copy(&c->keys, ret, err);
	else if (err != NULL)
		*err = own;
	pthread_mutex_unlock(&c->lock);
	if (kept)
		log_warn(c->o.log, "credentials that expire soon stay in use, as new ones could not be fetched: %s",
			error_text(&own));
	return rc;
}

bool aws_credentials_refused(struct aws_credentials *c, const struct aws_keys *keys)
{
	bool helps = true;

	pthread_mutex_lock(&c->lock);
	if (c->has && aws_keys_equal(&c->keys, keys)) {
		helps = !c->fixed && !c->came_back;
		if (helps) {
			aws_keys_release(&c->refused);
			c->refused = c->keys;
			c->keys = (struct aws_keys){0};
			c->has = false;
		}
	}
	pthread_mutex_unlock(&c->lock);
	return helps;
}
