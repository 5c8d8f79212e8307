/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "archive/check_impl.h"
#include "archive/id_list.h"
#include "archive/object_part.h"
#include "archive/prunelist_codec.h"
#include "archive/wave.h"
#include "base/host.h"

/* ---- sessions ---- */

/* Opens the session's object, whose key is made from that of the snapshot it will be. */
static int open_session(struct check *c, const struct id *id, const char *name, struct error *err)
{
	uint8_t key[FORMAT_KEY_LEN], own[FORMAT_KEY_LEN];
	struct buf object = {0}, content = {0};
	int status = store_get_all(c->repo->store, NULL, name, OBJECT_STORED_MAX, &object, err);
	if (status == 0)
		status = object_get_key(c->repo, KIND_SNAPSHOT, id, key, err);
	if (status == 0) {
		seal_derive(key, "drfs session", own);
		status = object_unseal(c->repo, KIND_SESSION, id, own, object.data, object.len, &content, err);
	}
	host_wipe(key, sizeof(key));
	host_wipe(own, sizeof(own));
	buf_release(&object);
	buf_release(&content);
	return status;
}

int check_sessions(struct check *c)
{
	const struct id_list *l = &c->names.sessions;
	char name[FORMAT_NAME_MAX];
	for (size_t i = 0; i < l->count && check_stopped(c) == 0; i++) {
		struct error why = ERROR_INIT;
		object_name(KIND_SESSION, 0, &l->ids[i], name);
		int status = open_session(c, &l->ids[i], name, &why);
		if (status != 0 && !check_is_finding(status))
			return check_stop(c, status, &why);
		if (status != 0)
			check_tell(c, CHECK_WARNING, name, "%s; the next prune ends it", error_text(&why));
		else if (id_list_has(&c->names.snapshots, &l->ids[i]))
			check_tell(
				c, CHECK_NOTE, name, "it has ended and is still listed; the next prune takes it away");
		else
			check_tell(
				c, CHECK_NOTE, name, "a run is under way, or was cut off; then the next prune ends it");
	}
	return check_stopped(c);
}

/* ---- prune lists ---- */

static int check_prune_list(struct check *c, const struct check_prune *p)
{
	struct prunelist list = {0};
	struct buf object = {0};
	struct error why = ERROR_INIT;
	char name[FORMAT_NAME_MAX];
	snprintf(name, sizeof(name), "prune/%llu.%s", (unsigned long long)p->n, p->verdict ? "verdict" : "condemned");
	int status = store_get_all(c->repo->store, NULL, name, OBJECT_STORED_MAX, &object, &why);
	if (status == 0)
		status = prunelist_open(c->repo, p->n, p->verdict, object.data, object.len, &list, &why);
	buf_release(&object);
	if (status != 0)
		return check_failed(c, name, status, &why);
	if (!list.proven)
		check_tell(c, CHECK_WARNING, name, "it does not count: no key that may prune has signed it");
	if (p->verdict && list.proven && !id_list_add_all(&c->dead, list.packs.ids, list.packs.count))
		status = check_stop(c, error_no_memory(&why, "the prune lists"), &why);
	prunelist_release(&list);
	return status;
}

static bool has_prune(const struct check *c, uint64_t n, bool verdict)
{
	for (size_t i = 0; i < c->names.prune_count; i++)
		if (c->names.prunes[i].n == n && c->names.prunes[i].verdict == verdict)
			return true;
	return false;
}

int check_prunes(struct check *c)
{
	char name[FORMAT_NAME_MAX];
	int status = 0;
	for (size_t i = 0; status == 0 && i < c->names.prune_count; i++) {
		const struct check_prune *p = &c->names.prunes[i];
		status = check_prune_list(c, p);
		/* A prune begins with its condemned list, and the next one only after its verdict. */
		if (p->verdict && !has_prune(c, p->n, false)) {
			snprintf(name, sizeof(name), "prune/%llu.condemned", (unsigned long long)p->n);
			check_tell(c, CHECK_WARNING, name, "missing, though there is a verdict of that number");
		}
		if (!p->verdict && !has_prune(c, p->n, true) && has_prune(c, p->n + 1, false)) {
			snprintf(name, sizeof(name), "prune/%llu.verdict", (unsigned long long)p->n);
			check_tell(c, CHECK_WARNING, name, "missing, though the next prune has begun");
		}
	}
	id_list_sort(&c->dead);
	return status;
}

/* ---- wraps ---- */

static const enum object_kind wrapped_kinds[] = {
	KIND_DATA_PACK, KIND_TREE_PACK, KIND_INDEX, KIND_SNAPSHOT, KIND_SUMMARY, KIND_MARK};

static bool is_listed(const struct check *c, const struct id *id)
{
	const struct check_names *n = &c->names;
	return check_pack_find(c, id) || id_list_has(&n->index, id) || id_list_has(&n->snapshots, id) ||
	       id_list_has(&n->summaries, id) || id_list_has(&n->marks, id) || id_list_has(&n->sessions, id);
}

/* Which kind of object the wrap opens: its key fits the id for one kind alone. 0: none. */
static int kind_of_wrap(
	struct check *c, const struct check_wrap *w, const char *name, enum object_kind *ret_kind, struct error *err)
{
	enum { WRAP_LEN = FORMAT_HEADER_LEN + SEAL_WRAP_LEN + FORMAT_TRAILER_LEN };
	struct buf object = {0};
	struct object_header header;
	uint8_t key[FORMAT_KEY_LEN];
	int status = store_get_all(c->repo->store, NULL, name, WRAP_LEN, &object, err);
	if (status == 0)
		status = object_verify(object.data, object.len, KIND_WRAP, name, &header, err);
	if (status == 0 && object.len != WRAP_LEN)
		status = error_set(err, ERR_CORRUPT, "'%s' has not the form of a wrapped key", name);
	for (size_t i = 0; status == 0 && i < sizeof(wrapped_kinds) / sizeof(wrapped_kinds[0]); i++) {
		error_clear(err);
		int rc = object_open_wrap(c->repo, wrapped_kinds[i], &w->id, w->generation,
			object.data + FORMAT_HEADER_LEN, SEAL_WRAP_LEN, key, err);
		*ret_kind = wrapped_kinds[i];
		if (rc == 0)
			break;
		if (i + 1 == sizeof(wrapped_kinds) / sizeof(wrapped_kinds[0]))
			status = rc;
	}
	host_wipe(key, sizeof(key));
	buf_release(&object);
	return status;
}

static void tell_loose(struct check *c, const struct check_wrap *w, const char *name, enum object_kind kind)
{
	char missing[FORMAT_NAME_MAX];
	object_name(kind, 0, &w->id, missing);
	/* Who puts an object puts its wrap first; so a run that was cut off leaves one, and so does who takes one away.
	 */
	bool grave = kind == KIND_SNAPSHOT || kind == KIND_MARK;
	check_tell(c, grave ? CHECK_WARNING : CHECK_NOTE, name,
		"the object that it opens, '%s', is not there: a run was cut off before it was put, or it was taken "
		"away",
		missing);
}

static void check_wrap(void *arg, size_t index)
{
	struct check *c = arg;
	const struct check_wrap *all = c->names.wraps, *w = &all[index];
	struct error why = ERROR_INIT;
	enum object_kind kind = KIND_DATA_PACK;
	char name[FORMAT_NAME_MAX];
	bool listed = is_listed(c, &w->id);
	/* The newest generation's wrap of an object that is there was opened with it. */
	bool newest = index + 1 == c->names.wrap_count || !id_equal(&all[index + 1].id, &w->id);
	if (check_stopped(c) != 0 || (listed && newest) || id_list_has(&c->dead, &w->id))
		return;
	object_name(KIND_WRAP, w->generation, &w->id, name);
	int status = kind_of_wrap(c, w, name, &kind, &why);
	if (status == ERR_DENIED)
		check_tell(c, CHECK_NOTE, name, "%s", error_text(&why));
	else if (status != 0)
		check_failed(c, name, status, &why);
	else if (!listed)
		tell_loose(c, w, name, kind);
}

int check_wraps(struct check *c)
{
	wave_run(c->threads, c->names.wrap_count, check_wrap, c);
	return check_stopped(c);
}
