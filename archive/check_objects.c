/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "archive/check_impl.h"
#include "archive/config.h"
#include "archive/mark.h"
#include "archive/slot.h"
#include "archive/snapset_internal.h"
#include "archive/summary.h"
#include "archive/wave.h"

enum { SNAPSHOT_BATCH = 64 };

int check_config(struct check *c)
{
	struct repo_config config;
	struct buf object = {0};
	struct error why = ERROR_INIT;
	int status = store_get_all(c->repo->store, NULL, "config", CONFIG_OBJECT_MAX, &object, &why);
	if (status == 0)
		status = config_decode(object.data, object.len, &config, &why);
	if (status == 0 && !id_equal(&config.hash_of_config, &c->repo->config.hash_of_config))
		status = error_set(&why, ERR_CORRUPT, "it is not the one that this repository was opened with");
	buf_release(&object);
	return status == 0 ? 0 : check_failed(c, "config", status, &why);
}

static void check_slot(void *arg, size_t index)
{
	struct check *c = arg;
	const struct id *id = &c->names.slots.ids[index];
	struct slot_view view;
	struct slot_card *card = NULL;
	struct buf object = {0};
	struct error why = ERROR_INIT;
	char name[FORMAT_NAME_MAX];
	object_name(KIND_SLOT, 0, id, name);
	int status = store_get_all(c->repo->store, NULL, name, SLOT_OBJECT_MAX, &object, &why);
	if (status == 0)
		status = slot_parse(object.data, object.len, id, &view, &why);
	if (status == 0 && !id_equal(&view.config_hash, &c->repo->config.hash_of_config))
		check_tell(c, CHECK_NOTE, name,
			"it belongs to another 'config': an init was cut off here; it opens nothing");
	else if (status == 0)
		status = slot_open_card(&view, &c->repo->config, c->repo->sec, &card, &why);
	slot_card_free(card);
	buf_release(&object);
	if (status != 0)
		check_failed(c, name, status, &why);
}

int check_slots(struct check *c)
{
	char name[FORMAT_NAME_MAX];
	const struct id_list *slots = &c->names.slots;
	wave_run(c->threads, slots->count, check_slot, c);
	for (unsigned i = 0; i < c->repo->slot_count; i++) {
		const struct id *id = &c->repo->slots[i]->id;
		object_name(KIND_SLOT, 0, id, name);
		if (!id_list_has(slots, id))
			check_tell(c, CHECK_ERROR, name,
				"missing: its passphrase or key file opens nothing any more; bring it back from a "
				"copy, or add a "
				"new key");
	}
	return check_stopped(c);
}

/* What all kinds have in common. True: the content is to be looked at. */
static bool is_there(struct check *c, const char *name, int status, const struct error *why, int *ret_status)
{
	*ret_status = check_stopped(c);
	if (*ret_status != 0 || status == 0)
		return *ret_status == 0;
	if (status == ERR_NOT_FOUND)
		check_tell(c, CHECK_WARNING, name, "taken away while it was to be checked");
	else
		*ret_status = check_failed(c, name, status, why);
	return false;
}

/* An object that opens and says what it must not: damage is an error, a signer without the right a warning. */
static int judge(struct check *c, const char *name, int status, const struct error *why)
{
	if (status != ERR_DENIED)
		return status == 0 ? 0 : check_failed(c, name, status, why);
	check_tell(c, CHECK_WARNING, name, "it does not count: %s", error_text(why));
	return 0;
}

static int take_mark(void *arg, size_t index, int status, const struct buf *content, const struct error *why)
{
	struct check *c = arg;
	const struct id *id = &c->names.marks.ids[index];
	struct mark *m = NULL;
	struct error damage = ERROR_INIT;
	char name[FORMAT_NAME_MAX];
	int rc;
	object_name(KIND_MARK, 0, id, name);
	if (!is_there(c, name, status, why, &rc))
		return rc;
	rc = mark_decode_by(&c->signers, id, content->data, content->len, &m, &damage);
	mark_free(m);
	return judge(c, name, rc, &damage);
}

int check_marks(struct check *c, struct error *err)
{
	return object_get_many(c->repo, KIND_MARK, c->names.marks.ids, c->names.marks.count, take_mark, c, err);
}

static int check_summary(struct check *c, const char *name, const struct summary *s)
{
	const struct id_list forgotten = {.ids = c->set->forgotten, .count = c->set->forgotten_count};
	char hex[ID_HEX_MAX];
	for (size_t i = 0; i < s->count; i++) {
		struct snapshot *snapshot = NULL;
		struct error why = ERROR_INIT;
		const struct summary_entry *e = &s->entries[i];
		int status = snapshot_decode_by(&c->signers, &e->id, e->data, e->len, &snapshot, &why);
		snapshot_free(snapshot);
		int rc = judge(c, name, status, &why);
		if (rc != 0)
			return rc;
		id_hex(&e->id, hex);
		if (!id_list_has(&c->names.snapshots, &e->id) && !id_list_has(&forgotten, &e->id))
			check_tell(c, CHECK_ERROR, name,
				"'snapshots/%s' is missing, and no forget mark says why; this summary still holds what "
				"it said: bring it back from a copy of the repository",
				hex);
	}
	return 0;
}

static int take_summary(void *arg, size_t index, int status, const struct buf *content, const struct error *why)
{
	struct check *c = arg;
	struct summary s = {0};
	struct error damage = ERROR_INIT;
	char name[FORMAT_NAME_MAX];
	int rc;
	object_name(KIND_SUMMARY, 0, &c->names.summaries.ids[index], name);
	if (!is_there(c, name, status, why, &rc))
		return rc;
	status = summary_decode(content->data, content->len, &s, &damage);
	rc = status == 0 ? check_summary(c, name, &s) : judge(c, name, status, &damage);
	summary_release(&s);
	return rc;
}

int check_summaries(struct check *c, struct error *err)
{
	const struct id_list *l = &c->names.summaries;
	return object_get_many(c->repo, KIND_SUMMARY, l->ids, l->count, take_summary, c, err);
}

static int check_statement(struct check *c, const struct fetched *item)
{
	struct snapshot *s = NULL;
	struct error why = ERROR_INIT;
	char name[FORMAT_NAME_MAX];
	int rc, status = item->status;
	object_name(KIND_SNAPSHOT, 0, &item->id, name);
	if (status != 0)
		error_set(&why, (enum error_code)status, "%s", item->why ? item->why : "it cannot be read");
	if (!is_there(c, name, status, &why, &rc))
		return rc;
	status = snapshot_decode_by(&c->signers, &item->id, item->content.data, item->content.len, &s, &why);
	snapshot_free(s);
	return judge(c, name, status, &why);
}

int check_snapshots(struct check *c, struct error *err)
{
	const struct id_list *all = &c->names.snapshots;
	int status = 0;
	for (size_t i = 0; status == 0 && i < all->count; i += SNAPSHOT_BATCH) {
		struct fetch f = {.repo = c->repo, .signers = &c->signers, .kind = KIND_SNAPSHOT};
		size_t n = all->count - i < SNAPSHOT_BATCH ? all->count - i : SNAPSHOT_BATCH;
		if (!id_list_add_all(&f.want, all->ids + i, n))
			status = error_no_memory(err, "the snapshots");
		if (status == 0)
			fetch_run(&f);
		if (status == 0 && f.status != 0)
			status = error_set(err, (enum error_code)f.status, "%s", error_text(&f.err));
		for (size_t k = 0; status == 0 && k < f.count; k++)
			status = check_statement(c, &f.items[k]);
		fetch_release(&f);
	}
	return status;
}
