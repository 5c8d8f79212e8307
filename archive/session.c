/* SPDX-License-Identifier: MIT */
#include "archive/session.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "archive/id_list.h"
#include "archive/object.h"
#include "archive/prunelist.h"
#include "archive/segment.h"
#include "archive/snapshot_void.h"
#include "archive/wave.h"
#include "base/clock.h"
#include "base/host.h"

/* The body of sessions/<id>: for people and pruners, who is at work. */
enum session_tag { TAG_HOST = 1, TAG_PID = 2, TAG_DATASET = 3, TAG_TIME = 4, TAG_SLOT = 5 };

enum { COMMIT_TRIES = 3 };

#define SKEW_IGNORED (2 * CLOCK_SECOND)

/*
 * The session's object has the snapshot's id and is sealed at the same offset, so it needs a key of its own: no
 * (key, nonce) pair may repeat. Deriving it lets everyone who opens the wrap open both.
 */
static int seal_session(const struct session *s, const char *dataset, struct buf *ret, struct error *err)
{
	uint8_t key[FORMAT_KEY_LEN];
	struct buf body = {0};
	char *host = host_name();
	tlv_put_str(&body, TAG_HOST, host);
	tlv_put_u64(&body, TAG_PID, (uint64_t)getpid());
	tlv_put_str(&body, TAG_DATASET, dataset);
	tlv_put_s64(&body, TAG_TIME, clock_now());
	tlv_put(&body, TAG_SLOT, &s->repo->own->id, sizeof(struct id));
	seal_derive(s->key, "drfs session", key);
	int rc = buf_failed(&body) ? error_no_memory(err, "a session") : 0;
	if (rc == 0)
		rc = object_seal(s->repo, KIND_SESSION, &s->id, key, body.data, body.len, ret, err);
	host_wipe(key, sizeof(key));
	buf_release(&body);
	free(host);
	return rc;
}

/* How far the store's clock is ahead of this host's, by its reply to a call made between two moments. */
static int64_t measure_skew(int64_t date, int64_t before, int64_t after)
{
	if (date == 0)
		return 0;
	int64_t skew = date - (before + (after - before) / 2);
	return skew > -SKEW_IGNORED && skew < SKEW_IGNORED ? 0 : skew;
}

static int put_session(struct session *s, const char *dataset, struct error *err)
{
	char name[FORMAT_NAME_MAX];
	struct buf object = {0};
	struct store_reply reply = {0};
	object_name(KIND_SESSION, 0, &s->id, name);
	int rc = seal_session(s, dataset, &object, err);
	if (rc == 0)
		rc = object_put_wrap(s->repo, &s->id, s->key, err);
	int64_t before = clock_now();
	if (rc == 0)
		rc = store_put_mem(s->repo->store, NULL, name, object.data, object.len, &reply, err);
	if (rc == 0) {
		s->store_date = reply.date;
		s->skew = measure_skew(reply.date, before, clock_now());
		if (s->skew != 0)
			log_notice(s->repo->log, "this host's clock is %lld s %s the store's: times are corrected",
				(long long)(llabs(s->skew) / CLOCK_SECOND), s->skew > 0 ? "behind" : "ahead of");
	}
	buf_release(&object);
	return rc;
}

/* What is read once the session stands, side by side. */
struct reading {
	struct session *s;
	struct id *dead; /* packs that a verdict names */
	size_t dead_count;
	int status[3];
	struct error err[3];
};

static void read_one(void *arg, size_t index)
{
	struct reading *r = arg;
	struct session *s = r->s;
	struct error *err = &r->err[index];
	if (index == 0)
		r->status[0] = prunelist_read(s->repo, &s->banned, &s->banned_count, &r->dead, &r->dead_count, err);
	else if (index == 1)
		r->status[1] = snapset_load(s->repo, s->catalog, NULL, &s->set, err);
	else
		r->status[2] = segment_sync(s->repo, s->catalog, err);
}

/* Rows that lie in deleted packs leave the catalog, so that nobody finds them. What stays behind is banned all the
 * same. */
static int drop_dead(struct session *s, const struct id *dead, size_t count, struct error *err)
{
	struct id_list known = {0};
	struct error why = ERROR_INIT;
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < count; i++) {
		struct catalog_pack pack;
		if (catalog_pack_find(s->catalog, dead[i].b, &pack, NULL) == 0 && !id_list_add(&known, &dead[i]))
			rc = error_no_memory(err, "the deleted packs");
	}
	if (rc == 0 && known.count > 0 &&
		catalog_packs_drop(s->catalog, (const uint8_t(*)[CATALOG_ID_LEN])known.ids, known.count, &why) < 0)
		log_warn(s->repo->log, "the catalog fails (%s): it keeps what it knows of deleted packs",
			error_text(&why));
	id_list_release(&known);
	return rc;
}

static int read_all(struct session *s, struct error *err)
{
	struct reading r = {.s = s};
	int rc = 0;
	/* What was listed while opening may be older than the session. */
	repo_listing_free(repo_take_listing(s->repo));
	wave_run(wave_threads(s->repo->store), 3, read_one, &r);
	for (size_t i = 0; rc == 0 && i < 3; i++)
		if (r.status[i] != 0)
			rc = error_set(err, (enum error_code)r.status[i], "%s", error_text(&r.err[i]));
	if (rc == 0 && s->catalog)
		rc = drop_dead(s, r.dead, r.dead_count, err);
	free(r.dead);
	return rc;
}

/* What was begun and will not go on. Nothing refers to it, so failing to take it away is no harm. */
static void take_back(struct session *s)
{
	char name[FORMAT_NAME_MAX];
	struct error why = ERROR_INIT;
	int rc = session_abandon(s, &why);
	object_name(KIND_SESSION, 0, &s->id, name);
	if (rc != 0)
		log_info(s->repo->log, "'%s' is left behind for the next prune: %s", name, error_text(&why));
}

int session_begin(struct repo *repo, struct catalog *catalog, const char *dataset, struct session **ret_session,
	struct error *err)
{
	int rc = snapshot_dataset_ok(dataset, err);
	if (rc != 0)
		return rc;
	if (!(repo->own->rights & RIGHT_WRITE) || !slot_may_write(repo->own, dataset))
		return error_set(err, ERR_DENIED, "this key may not write the dataset '%s'", dataset);
	struct session *s = calloc(1, sizeof(*s));
	if (!s)
		return error_no_memory(err, "a session");
	s->repo = repo;
	s->catalog = catalog;
	object_draw(repo, KIND_SNAPSHOT, s->key, &s->id);
	rc = put_session(s, dataset, err);
	if (rc == 0) {
		rc = read_all(s, err);
		if (rc != 0)
			take_back(s);
	}
	if (rc != 0) {
		session_free(s);
		return error_wrap(err, rc, "beginning a session");
	}
	*ret_session = s;
	return 0;
}

static int compare_ids(const void *a, const void *b)
{
	return id_compare(a, b);
}

bool session_pack_banned(const struct session *s, const struct id *pack)
{
	return s->banned_count > 0 && bsearch(pack, s->banned, s->banned_count, sizeof(*pack), compare_ids) != NULL;
}

/* ---- the end ---- */

static int set_name(const struct session *s, struct snapshot *snapshot, struct error *err)
{
	char name[SNAPSHOT_NAME_MAX];
	snapset_draw_name(s->set, snapshot->dataset, snapshot->time, &s->id, snapshot->state == SNAPSHOT_PARTIAL, name);
	char *own = strdup(name);
	if (!own)
		return error_no_memory(err, "a snapshot");
	free(snapshot->name);
	snapshot->name = own;
	return 0;
}

/* The chain by which a rollback shows: where this slot's statements stand, and what was seen of all others. */
static int set_chain(const struct session *s, struct snapshot *snapshot, struct error *err)
{
	const struct snapshot *newest = snapset_newest_of(s->set, &s->repo->own->id);
	struct snapshot_seen *seen = NULL;
	unsigned count = 0, kept = 0;
	int rc = snapset_seen(s->set, &seen, &count, err);
	if (rc != 0)
		return rc;
	for (unsigned i = 0; i < count; i++)
		if (!id_equal(&seen[i].slot, &s->repo->own->id))
			seen[kept++] = seen[i];
	free(snapshot->seen);
	snapshot->seen = seen;
	snapshot->seen_count = kept;
	snapshot->slot = s->repo->own->id;
	snapshot->seq = newest ? newest->seq + 1 : 1;
	snapshot->previous = newest ? newest->statement_hash : (struct id){0};
	return 0;
}

/*
 * When it counts as put: after all that was seen of its dataset, whatever the clocks say. Else a clock that was set
 * back would leave `latest` at old content, and have working copies move back to it.
 */
static int64_t moment_of(const struct session *s, const char *dataset, int64_t now)
{
	size_t first, count;

	if (!snapset_dataset(s->set, dataset, &first, &count))
		return now;
	const struct snapshot *newest = s->set->list[first + count - 1];
	if (newest->time < now || newest->time == INT64_MAX)
		return now;
	/* Two hosts whose clocks were measured a little differently are nothing to tell of. */
	if (newest->time - now >= CLOCK_SECOND)
		log_warn(s->repo->log,
			"the clock was set back, or was ahead once: '%s/%s' is %lld s ahead of it, the new snapshot "
			"is put right behind that one",
			dataset, newest->name, (long long)((newest->time - now) / CLOCK_SECOND));
	return newest->time + 1;
}

static int complete(const struct session *s, struct snapshot *snapshot, struct error *err)
{
	snapshot->id = s->id;
	snapshot->is_void = false;
	snapshot->number = snapset_draw_number(s->set);
	snapshot->host_time = clock_now();
	snapshot->time = moment_of(s, snapshot->dataset, snapshot->host_time + s->skew);
	snapshot->store_date = s->store_date;
	int rc = set_name(s, snapshot, err);
	return rc == 0 ? set_chain(s, snapshot, err) : rc;
}

/*
 * Makes the object, once. It is sealed under the snapshot's own key, so a second try must put these very bytes: other
 * content would repeat a (key, nonce) pair, and might exist beside what the first try left.
 */
static int make_object(struct session *s, struct snapshot *snapshot, struct error *err)
{
	struct buf content = {0};
	if (s->sealed.len > 0)
		return 0;
	int rc = complete(s, snapshot, err);
	if (rc == 0)
		rc = snapshot_encode(s->repo, snapshot, &content, err);
	if (rc == 0)
		rc = object_seal(s->repo, KIND_SNAPSHOT, &s->id, s->key, content.data, content.len, &s->sealed, err);
	if (rc != 0)
		buf_release(&s->sealed);
	buf_release(&content);
	return rc;
}

/* The name is taken: by a void, by what an earlier try left, or by something that should not be. */
static int judge_taken(const struct session *s, const char *name, struct error *err)
{
	struct buf object = {0}, content = {0};
	struct snapshot *found = NULL;
	struct error why = ERROR_INIT;
	const struct signers signers = {.repo = s->repo};
	error_clear(err);
	int rc = store_get_all(s->repo->store, NULL, name, 4 * OBJECT_MAX, &object, err);
	if (rc != 0)
		goto out;
	if (object.len == s->sealed.len && memcmp(object.data, s->sealed.data, object.len) == 0)
		goto out;
	rc = snapshot_void_open(&signers, &s->id, s->key, object.data, object.len, &content, &why);
	if (rc == 0)
		rc = snapshot_decode(s->repo, &s->id, content.data, content.len, &found, &why);
	if (rc == 0 && found->is_void)
		rc = error_set(err, ERR_VOID, "a prune ended this session: begin anew, what was stored is taken up");
	else
		rc = error_set(err, ERR_EXISTS, "'%s' holds something that this session did not put", name);
out:
	snapshot_free(found);
	buf_release(&object);
	buf_release(&content);
	return rc;
}

/* One create-only put decides; it is repeated where its outcome is not known. */
static int put_snapshot(struct session *s, struct error *err)
{
	char name[FORMAT_NAME_MAX];
	int rc = 0;
	object_name(KIND_SNAPSHOT, 0, &s->id, name);
	for (int i = 0; i < COMMIT_TRIES; i++) {
		error_clear(err);
		rc = store_put_mem(s->repo->store, NULL, name, s->sealed.data, s->sealed.len, NULL, err);
		if (!error_is_retryable(rc))
			break;
	}
	return rc == ERR_EXISTS ? judge_taken(s, name, err) : rc;
}

static int delete_session(const struct session *s, struct error *err)
{
	char name[FORMAT_NAME_MAX];
	object_name(KIND_SESSION, 0, &s->id, name);
	return store_del(s->repo->store, NULL, name, err);
}

int session_commit(struct session *s, struct snapshot *snapshot, struct error *err)
{
	struct error why = ERROR_INIT;
	int rc = make_object(s, snapshot, err);
	if (rc == 0)
		rc = put_snapshot(s, err ? err : &why);
	if (rc != 0 && rc != ERR_VOID)
		return error_wrap(err, rc, "committing the snapshot");
	/* snapshots/<id> was seen to exist: the session is decided, and a prune that finds its object sees so as well.
	 */
	error_clear(&why);
	if (delete_session(s, &why) != 0)
		log_info(s->repo->log, "a session that has ended is still listed: %s", error_text(&why));
	return rc;
}

int session_abandon(struct session *s, struct error *err)
{
	char name[FORMAT_NAME_MAX];
	struct buf object = {0};
	/* Where a second create is not refused nobody may void: the session stays, and prune waits for a person. */
	if (!(store_features(s->repo->store) & STORE_CREATE_ONLY))
		return 0;
	object_name(KIND_SNAPSHOT, 0, &s->id, name);
	int rc = snapshot_void_seal(s->repo, &s->id, s->key, &object, err);
	if (rc == 0)
		rc = store_put_mem(s->repo->store, NULL, name, object.data, object.len, NULL, err);
	/* Someone else's void, or what a commit left: decided either way. */
	if (rc == ERR_EXISTS)
		rc = 0;
	if (rc == 0)
		rc = delete_session(s, err);
	buf_release(&object);
	return rc == 0 ? 0 : error_wrap(err, rc, "ending a session");
}

void session_free(struct session *s)
{
	if (!s)
		return;
	host_wipe(s->key, sizeof(s->key));
	snapset_unref(s->set);
	free(s->banned);
	buf_release(&s->sealed);
	free(s);
}
