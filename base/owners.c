/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <grp.h>
#include <pthread.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/host.h"

/*
 * Both directions are kept in one chained hash table each. Entries are only
 * added, so a name once handed out stays valid until owners_free(). The lock
 * guards the tables alone: the user database may ask the network, and is asked
 * without it; of two threads that asked for one name the second drops its answer.
 */

enum { BUCKETS = 256, RECORD_FIRST = 1024, RECORD_LAST = 1024 * 1024 };

struct owner {
	struct owner *next;
	uint32_t id;
	bool is_group;
	bool is_found; /* by name: is there such a number? by number: always true, without a name `name` is "" */
	char name[];
};

struct owners {
	pthread_mutex_t lock;
	struct owner *by_id[BUCKETS];
	struct owner *by_name[BUCKETS];
};

struct owners *owners_new(void)
{
	struct owners *o = calloc(1, sizeof(*o));
	if (o && pthread_mutex_init(&o->lock, NULL) != 0) {
		free(o);
		return NULL;
	}
	return o;
}

static void chains_free(struct owner **table)
{
	for (size_t i = 0; i < BUCKETS; i++) {
		while (table[i]) {
			struct owner *next = table[i]->next;
			free(table[i]);
			table[i] = next;
		}
	}
}

void owners_free(struct owners *owners)
{
	if (!owners)
		return;
	chains_free(owners->by_id);
	chains_free(owners->by_name);
	(void)pthread_mutex_destroy(&owners->lock);
	free(owners);
}

static size_t id_bucket(uint32_t id)
{
	return id % BUCKETS;
}

static size_t name_bucket(const char *name)
{
	uint32_t h = 2166136261u;
	for (; *name; name++)
		h = (h ^ (uint8_t)*name) * 16777619u;
	return h % BUCKETS;
}

static struct owner *owner_new(const char *name, uint32_t id, bool is_group, bool is_found)
{
	size_t len = strlen(name);
	struct owner *o = malloc(sizeof(*o) + len + 1);
	if (!o)
		return NULL;
	*o = (struct owner){.id = id, .is_group = is_group, .is_found = is_found};
	memcpy(o->name, name, len + 1);
	return o;
}

/* One record of the user or group database. The strings in it lie in `space`. */
struct record {
	bool is_group;
	bool is_found;
	uint32_t id;
	const char *name;
};

/* Asks by `name`, or by `id` where that is NULL. Returns 0, or ERANGE when `space` is too small. */
static int record_ask(struct record *r, const char *name, uint32_t id, char *space, size_t size)
{
	int rc;
	if (r->is_group) {
		struct group gr;
		struct group *found = NULL;
		rc = name ? getgrnam_r(name, &gr, space, size, &found) : getgrgid_r(id, &gr, space, size, &found);
		r->is_found = found != NULL;
		r->id = found ? found->gr_gid : 0;
		r->name = found ? found->gr_name : "";
	} else {
		struct passwd pw;
		struct passwd *found = NULL;
		rc = name ? getpwnam_r(name, &pw, space, size, &found) : getpwuid_r(id, &pw, space, size, &found);
		r->is_found = found != NULL;
		r->id = found ? found->pw_uid : 0;
		r->name = found ? found->pw_name : "";
	}
	return rc == ERANGE ? ERANGE : 0;
}

/* A fresh entry with what the database says; NULL without memory. */
static struct owner *owner_ask(bool is_group, const char *name, uint32_t id)
{
	struct record r = {.is_group = is_group};
	struct owner *o = NULL;
	char *space = NULL;
	int rc = ERANGE;
	for (size_t size = RECORD_FIRST; rc == ERANGE && size <= RECORD_LAST; size *= 4) {
		free(space);
		space = malloc(size);
		if (!space)
			return NULL;
		rc = record_ask(&r, name, id, space, size);
	}
	if (rc == 0)
		o = name ? owner_new(name, r.id, is_group, r.is_found) : owner_new(r.name, id, is_group, true);
	free(space);
	return o;
}

static struct owner *find_in(struct owner *chain, bool is_group, const char *name, uint32_t id)
{
	struct owner *o = chain;
	while (o && (o->is_group != is_group || (name ? strcmp(o->name, name) != 0 : o->id != id)))
		o = o->next;
	return o;
}

static const struct owner *owners_look(struct owners *owners, bool is_group, const char *name, uint32_t id)
{
	struct owner **chain = name ? &owners->by_name[name_bucket(name)] : &owners->by_id[id_bucket(id)];
	(void)pthread_mutex_lock(&owners->lock);
	struct owner *o = find_in(*chain, is_group, name, id);
	(void)pthread_mutex_unlock(&owners->lock);
	if (o)
		return o;
	struct owner *fresh = owner_ask(is_group, name, id);
	if (!fresh)
		return NULL;
	(void)pthread_mutex_lock(&owners->lock);
	o = find_in(*chain, is_group, name, id);
	if (!o) {
		fresh->next = *chain;
		*chain = fresh;
		o = fresh;
		fresh = NULL;
	}
	(void)pthread_mutex_unlock(&owners->lock);
	free(fresh);
	return o;
}

const char *owners_user_name(struct owners *owners, uid_t uid)
{
	const struct owner *o = owners_look(owners, false, NULL, uid);
	return o ? o->name : "";
}

const char *owners_group_name(struct owners *owners, gid_t gid)
{
	const struct owner *o = owners_look(owners, true, NULL, gid);
	return o ? o->name : "";
}

int owners_find_user(struct owners *owners, const char *name, uid_t *ret_uid)
{
	const struct owner *o = owners_look(owners, false, name, 0);
	if (!o || !o->is_found)
		return ERR_NOT_FOUND;
	*ret_uid = o->id;
	return 0;
}

int owners_find_group(struct owners *owners, const char *name, gid_t *ret_gid)
{
	const struct owner *o = owners_look(owners, true, name, 0);
	if (!o || !o->is_found)
		return ERR_NOT_FOUND;
	*ret_gid = o->id;
	return 0;
}
