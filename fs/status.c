/* SPDX-License-Identifier: MIT */
#include "fs/status.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hex.h"
#include "base/jsonout.h"

static void put_text(json_t *to, const char *key, const char *text)
{
	json_object_set_new(to, key, text != NULL ? jsonout_text(text, strlen(text)) : json_null());
}

static void put_number(json_t *to, const char *key, uint64_t n)
{
	json_object_set_new(to, key, json_integer((json_int_t)n));
}

/* A moment, null for "never". */
static void put_time(json_t *to, const char *key, int64_t t)
{
	json_object_set_new(to, key, t != 0 ? jsonout_time(t) : json_null());
}

static json_t *snapshot_json(const struct snapshot *s)
{
	char hex[ID_HEX_MAX];
	if (s == NULL)
		return json_null();
	json_t *o = json_object();
	id_hex(&s->id, hex);
	put_text(o, "name", s->name);
	put_text(o, "id", hex);
	put_time(o, "time", s->time);
	put_text(o, "state", snapshot_state_name(s->state));
	return o;
}

static json_t *datasets_json(const struct epoch *e)
{
	json_t *list = json_array();
	for (size_t i = 0; i < e->dataset_count; i++) {
		const struct epoch_dataset *d = &e->datasets[i];
		json_t *o = json_object();
		put_text(o, "dataset", d->name);
		put_number(o, "snapshots", d->count);
		json_object_set_new(o, "newest", snapshot_json(epoch_newest(e, d)));
		json_object_set_new(o, "latest", snapshot_json(snapset_latest(e->set, d->name, 0)));
		json_array_append_new(list, o);
	}
	return list;
}

static json_t *faults_json(const struct snapset *set)
{
	json_t *list = json_array();
	for (size_t i = 0; i < set->fault_count; i++) {
		char hex[ID_HEX_MAX];
		json_t *o = json_object();
		id_hex(&set->faults[i].id, hex);
		put_text(o, "id", hex);
		put_text(o, "reason", set->faults[i].reason);
		json_array_append_new(list, o);
	}
	return list;
}

static json_t *poll_json(struct serve_poll *poll)
{
	json_t *o = json_object();
	pthread_mutex_lock(&poll->lock);
	json_object_set_new(o, "seconds", json_real((double)poll->interval / 1e9));
	put_time(o, "last", poll->last);
	put_text(o, "error", poll->error[0] != '\0' ? poll->error : NULL);
	pthread_mutex_unlock(&poll->lock);
	return o;
}

static json_t *reads_json(struct faults *faults)
{
	char text[ERROR_TEXT_MAX];
	uint64_t count = 0;
	int64_t last = 0;
	json_t *o = json_object();
	faults_last(faults, &count, &last, text);
	put_number(o, "failed", count);
	put_time(o, "last", last);
	put_text(o, "error", count > 0 ? text : NULL);
	return o;
}

static json_t *cache_json(struct reader *reader)
{
	struct reader_stats stats = {0};
	json_t *o = json_object();
	reader_get_stats(reader, &stats);
	put_number(o, "bytes", stats.cache_bytes);
	put_number(o, "limit", stats.cache_cap);
	put_number(o, "hits", stats.hits);
	put_number(o, "misses", stats.misses);
	put_number(o, "fetched_bytes", stats.fetched_bytes);
	put_number(o, "requests", stats.requests);
	return o;
}

/* null: this mount has none. */
static json_t *spool_json(struct serve *serve)
{
	json_t *list = NULL;
	if (serve->spool == NULL || spool_status(serve->spool, &list, NULL) < 0)
		return json_null();
	return list;
}

static json_t *status_json(struct serve *serve)
{
	char hex[2 * FORMAT_REPO_LEN + 1];
	const struct mount_options *options = serve->options;
	json_t *o = json_object();
	const struct epoch *e = namespace_epoch(serve->ns);

	hex_encode(serve->repo->config.repository, FORMAT_REPO_LEN, hex);
	put_text(o, "version", options->version);
	put_number(o, "pid", (uint64_t)getpid());
	put_text(o, "repository", hex);
	put_text(o, "url", options->url != NULL ? options->url : serve->repo->store->url);
	put_text(o, "mountpoint", options->mountpoint);
	put_time(o, "started", serve->started);
	json_object_set_new(o, "poll", poll_json(&serve->poll));
	json_object_set_new(o, "datasets", datasets_json(e));
	json_object_set_new(o, "spool", spool_json(serve));
	put_text(o, "spool_folder", serve->spool != NULL ? spool_folder(serve->spool) : NULL);
	json_object_set_new(o, "faults", faults_json(e->set));
	json_object_set_new(o, "reads", reads_json(serve->faults));
	json_object_set_new(o, "cache", cache_json(serve->reader));
	epoch_unref(e);
	return o;
}

int status_render(struct serve *serve, struct buf *ret, struct error *err)
{
	json_t *o = status_json(serve);
	char *text = json_dumps(o, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
	json_decref(o);
	if (text != NULL) {
		buf_put(ret, text, strlen(text));
		buf_put_u8(ret, '\n');
	}
	bool ok = text != NULL && !buf_failed(ret);
	free(text);
	return ok ? 0 : error_no_memory(err, "the status of the mount");
}
