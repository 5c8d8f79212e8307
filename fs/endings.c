/* SPDX-License-Identifier: MIT */
#include "fs/endings.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { REMEMBERED = 64 };

/* The newest file so far with one ending. */
struct best {
	char *ending;
	char *name;
	struct entry_time mtime;
	uint32_t rank;
};

/* What one snapshot's top level showed. Immutable once it is remembered; reference counted. */
struct endings_list {
	unsigned refs; /* under the lock of struct endings */
	struct id snapshot;
	uint32_t number;
	bool whole; /* every ending is in it */
	size_t count;
	struct best best[];
};

struct endings {
	pthread_mutex_t lock;
	struct endings_list *slots[REMEMBERED];
	unsigned next; /* slot to give up */
};

struct endings *endings_new(void)
{
	struct endings *all = calloc(1, sizeof(*all));
	if (all != NULL)
		pthread_mutex_init(&all->lock, NULL);
	return all;
}

static void list_free(struct endings_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		free(list->best[i].ending);
		free(list->best[i].name);
	}
	free(list);
}

void endings_free(struct endings *all)
{
	if (all == NULL)
		return;
	for (size_t i = 0; i < REMEMBERED; i++)
		if (all->slots[i] != NULL)
			list_free(all->slots[i]);
	pthread_mutex_destroy(&all->lock);
	free(all);
}

const char *endings_of(const char *name)
{
	const char *dot = name[0] == '.' ? NULL : strchr(name, '.');
	return dot != NULL && dot[1] != '\0' ? dot + 1 : NULL;
}

/* The walk over a snapshot's top level. */
struct walk {
	struct endings_list *list;
	const char *only; /* this ending alone; NULL: all */
	bool failed;
};

static bool newer(const struct best *old, struct entry_time mtime, const char *name)
{
	if (mtime.sec != old->mtime.sec)
		return mtime.sec > old->mtime.sec;
	if (mtime.nsec != old->mtime.nsec)
		return mtime.nsec > old->mtime.nsec;
	return strcmp(name, old->name) > 0;
}

static struct best *find_best(struct endings_list *list, const char *ending)
{
	for (size_t i = 0; i < list->count; i++)
		if (strcmp(list->best[i].ending, ending) == 0)
			return &list->best[i];
	return NULL;
}

/* A slot for an ending seen for the first time; NULL: no room, or no memory (then the walk has failed). */
static struct best *add_best(struct walk *w, const char *ending)
{
	if (w->list->count == ENDINGS_LISTED_MAX) {
		w->list->whole = false;
		return NULL;
	}
	struct best *b = &w->list->best[w->list->count];
	b->ending = strdup(ending);
	b->name = strdup("");
	w->list->count++;
	w->failed = b->ending == NULL || b->name == NULL;
	return w->failed ? NULL : b;
}

static bool see(void *arg, const struct view_entry *e, const char *name, uint64_t next)
{
	struct walk *w = arg;
	const char *ending = S_ISREG(e->entry->mode) ? endings_of(name) : NULL;
	(void)next;
	if (ending == NULL || (w->only != NULL && strcmp(ending, w->only) != 0))
		return true;
	struct best *b = find_best(w->list, ending);
	bool first = b == NULL;
	if (first)
		b = add_best(w, ending);
	if (b == NULL)
		return !w->failed;
	if (!first && !newer(b, e->entry->mtime, name))
		return true;
	char *own = strdup(name);
	w->failed = own == NULL;
	if (w->failed)
		return false;
	free(b->name);
	b->name = own;
	b->mtime = e->entry->mtime;
	b->rank = e->rank;
	return true;
}

static int make_list(
	struct view *v, const struct snapshot *s, const char *only, struct endings_list **ret, struct error *err)
{
	struct view_dir *dir = NULL;
	struct walk w = {.only = only};
	int rc = view_dir_open(v, s, 0, &dir, err);
	if (rc < 0)
		return rc;
	w.list = calloc(1, sizeof(*w.list) + ENDINGS_LISTED_MAX * sizeof(struct best));
	if (w.list == NULL) {
		rc = error_no_memory(err, "the endings of a snapshot's files");
		goto out;
	}
	*w.list = (struct endings_list){.refs = 1, .snapshot = s->id, .number = s->number, .whole = true};
	rc = view_dir_list(v, s, dir, VIEW_DIR_FIRST, see, &w, err);
	if (rc == 0 && w.failed)
		rc = error_no_memory(err, "the endings of a snapshot's files");
	if (rc == 0)
		*ret = w.list;
	else
		list_free(w.list);
out:
	free(dir);
	return rc;
}

static struct endings_list *recall(struct endings *all, const struct snapshot *s)
{
	struct endings_list *found = NULL;
	pthread_mutex_lock(&all->lock);
	for (size_t i = 0; found == NULL && i < REMEMBERED; i++) {
		struct endings_list *list = all->slots[i];
		if (list != NULL && list->number == s->number && id_equal(&list->snapshot, &s->id)) {
			found = list;
			found->refs++;
		}
	}
	pthread_mutex_unlock(&all->lock);
	return found;
}

static void release(struct endings *all, struct endings_list *list)
{
	pthread_mutex_lock(&all->lock);
	bool last = --list->refs == 0;
	pthread_mutex_unlock(&all->lock);
	if (last)
		list_free(list);
}

/* The list gets one more reference, the slot's. */
static void remember(struct endings *all, struct endings_list *list)
{
	pthread_mutex_lock(&all->lock);
	struct endings_list *old = all->slots[all->next];
	all->slots[all->next] = list;
	all->next = (all->next + 1) % REMEMBERED;
	list->refs++;
	pthread_mutex_unlock(&all->lock);
	if (old != NULL)
		release(all, old);
}

static int get_list(
	struct endings *all, struct view *v, const struct snapshot *s, struct endings_list **ret, struct error *err)
{
	struct endings_list *list = recall(all, s);
	if (list == NULL) {
		int rc = make_list(v, s, NULL, &list, err);
		if (rc < 0)
			return rc;
		remember(all, list);
	}
	*ret = list;
	return 0;
}

int endings_find(struct endings *all, struct view *v, const struct snapshot *s, const char *ending, uint32_t *ret_rank,
	struct error *err)
{
	struct endings_list *list = NULL;
	int rc = get_list(all, v, s, &list, err);
	if (rc < 0)
		return rc;
	struct best *b = find_best(list, ending);
	if (b == NULL && !list->whole) {
		/* More endings than are remembered: look for this one alone. */
		release(all, list);
		rc = make_list(v, s, ending, &list, err);
		if (rc < 0)
			return rc;
		b = find_best(list, ending);
	}
	if (b != NULL)
		*ret_rank = b->rank;
	else
		rc = error_set(err, ERR_NOT_FOUND, "no file ends in '.%s'", ending);
	release(all, list);
	return rc;
}

int endings_each(struct endings *all, struct view *v, const struct snapshot *s,
	bool (*fn)(void *arg, const char *ending, uint32_t rank), void *arg, struct error *err)
{
	struct endings_list *list = NULL;
	int rc = get_list(all, v, s, &list, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < list->count; i++)
		if (!fn(arg, list->best[i].ending, list->best[i].rank))
			break;
	release(all, list);
	return 0;
}
