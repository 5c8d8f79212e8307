/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "base/clock.h"
#include "fs/spool/spool_impl.h"

static void set_text(json_t *o, const char *key, const char *text)
{
	json_object_set_new(o, key, text[0] == '\0' ? json_null() : jsonout_text(text, strlen(text)));
}

static const char *state_of(const struct spool_copy *c, const struct work_state *state)
{
	if (c->work == NULL)
		return "unopened";
	if (c->failures > 0)
		return "retrying";
	if (c->busy && state->changes > state->committed)
		return "committing";
	return state->changes > state->committed ? "pending" : "clean";
}

static const struct snapshot *last_of(const struct spool_copy *c)
{
	return c->last != NULL ? c->last : spool_newest(c->s, c->name);
}

/* With the lock, but for the state of the work, which was asked for before. */
static json_t *show(const struct spool_copy *c, const struct work_state *state)
{
	json_t *o = json_object();
	int64_t now = clock_monotonic();
	const struct snapshot *last = last_of(c);
	bool waits = c->next_try > now;

	jsonout_set_name(o, "dataset", c->name, strlen(c->name));
	json_object_set_new(o, "state", json_string(state_of(c, state)));
	json_object_set_new(o, "pending_changes",
		json_integer((json_int_t)(state->changes > state->committed ? state->changes - state->committed : 0)));
	json_object_set_new(o, "staged_bytes", json_integer((json_int_t)state->staged_bytes));
	json_object_set_new(o, "open_files", json_integer((json_int_t)state->open_files));
	json_object_set_new(o, "last_commit", c->last_commit == 0 ? json_null() : jsonout_time(c->last_commit));
	set_text(o, "last_snapshot", last == NULL ? "" : last->name);
	set_text(o, "last_state", last == NULL ? "" : snapshot_state_name(last->state));
	set_text(o, "last_error", c->last_error);
	json_object_set_new(o, "next_try", waits ? jsonout_time(clock_now() + (c->next_try - now)) : json_null());
	set_text(o, "crossed", c->crossed);
	set_text(o, "size_warning", c->size_warning);
	return o;
}

int spool_status(struct spool *s, json_t **ret_array, struct error *err)
{
	json_t *array = json_array();
	int r = array == NULL ? error_no_memory(err, "the status of the spool") : 0;

	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; r == 0 && i < s->copy_count; i++) {
		struct spool_copy *c = s->copies[i];
		struct work_state state = {0};
		struct work *work = c->work;
		if (c->removed)
			continue;
		pthread_mutex_unlock(&s->lock);
		if (work != NULL)
			work_get_state(work, &state);
		pthread_mutex_lock(&s->lock);
		json_t *o = c->removed ? NULL : show(c, &state);
		if (o != NULL && json_array_append_new(array, o) != 0)
			r = error_no_memory(err, "the status of the spool");
	}
	pthread_mutex_unlock(&s->lock);
	if (r == 0)
		*ret_array = array;
	else
		json_decref(array);
	return r;
}
