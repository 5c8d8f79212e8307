/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fileio.h"
#include "base/hex.h"
#include "base/host.h"
#include "fs/spool/hold.h"
#include "fs/spool/spool_impl.h"

static bool fits(const char *name, size_t i)
{
	unsigned char c = (unsigned char)name[i];

	return c > ' ' && c != '%' && c != '/' && c != 0x7f && !(i == 0 && (c == '.' || strcmp(name, "lock") == 0));
}

char *spool_folder_name(const char *dataset)
{
	struct buf b = {0};
	char hex[4];

	for (size_t i = 0; dataset[i] != '\0'; i++) {
		snprintf(hex, sizeof(hex), "%%%02X", (unsigned char)dataset[i]);
		if (fits(dataset, i))
			buf_put_u8(&b, (uint8_t)dataset[i]);
		else
			buf_put(&b, hex, 3);
	}
	buf_put_u8(&b, 0);
	if (!buf_failed(&b))
		return (char *)b.data;
	buf_release(&b);
	return NULL;
}

static int digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

char *spool_dataset_name(const char *folder)
{
	size_t len = strlen(folder), n = 0;
	char *name = malloc(len + 1);

	for (size_t i = 0; name != NULL && i < len; i++) {
		if (folder[i] != '%') {
			name[n++] = folder[i];
			continue;
		}
		int high = digit(folder[i + 1]), low = high < 0 ? -1 : digit(folder[i + 2]);
		if (high >= 0 && low >= 0) {
			name[n++] = (char)(high * 16 + low);
			i += 2;
			continue;
		}
		free(name);
		return NULL;
	}
	if (name != NULL)
		name[n] = '\0';
	if (name != NULL && snapshot_dataset_ok(name, NULL) == 0)
		return name;
	free(name);
	return NULL;
}

struct spool_copy *spool_copy_of(struct spool *s, const char *dataset)
{
	for (size_t i = 0; i < s->copy_count; i++)
		if (!s->copies[i]->removed && strcmp(s->copies[i]->name, dataset) == 0)
			return s->copies[i];
	return NULL;
}

struct spool_copy *spool_copy_of_work(struct spool *s, const struct work *w)
{
	for (size_t i = 0; i < s->copy_count; i++)
		if (s->copies[i]->work == w)
			return s->copies[i];
	return NULL;
}

void spool_copy_free(struct spool_copy *c)
{
	work_close(c->work);
	free(c->name);
	free(c->dir);
	free(c);
}

static struct spool_copy *copy_new(struct spool *s, const char *dataset)
{
	struct spool_copy *c = calloc(1, sizeof(*c));
	char *folder = spool_folder_name(dataset);

	if (c != NULL && folder != NULL) {
		c->s = s;
		c->name = strdup(dataset);
		c->dir = fileio_format("%s/%s", s->dir, folder);
	}
	free(folder);
	if (c != NULL && c->name != NULL && c->dir != NULL)
		return c;
	if (c != NULL)
		spool_copy_free(c);
	return NULL;
}

/* With the lock. The copy of that name, added to the list where it is not there. */
static int add_copy(struct spool *s, const char *dataset, struct spool_copy **ret_copy, struct error *err)
{
	struct spool_copy *c = spool_copy_of(s, dataset);

	if (c == NULL && s->copy_count == s->copy_cap) {
		size_t cap = s->copy_cap == 0 ? 16 : s->copy_cap * 2;
		struct spool_copy **bigger = reallocarray(s->copies, cap, sizeof(struct spool_copy *));
		if (bigger == NULL)
			return error_no_memory(err, "a working copy");
		s->copies = bigger;
		s->copy_cap = cap;
	}
	if (c == NULL) {
		c = copy_new(s, dataset);
		if (c == NULL)
			return error_no_memory(err, "a working copy");
		s->copies[s->copy_count++] = c;
	}
	*ret_copy = c;
	return 0;
}

/* Opens it; nothing but this touches it meanwhile. What stands on an old base with nothing changed moves on. */
static int open_work(struct spool_copy *c, struct work_owner owner, struct work **ret_work, struct error *err)
{
	struct spool *s = c->s;
	struct spool_rule rule = s->o.rule(s->o.rule_arg, c->name);
	const struct snapshot *newest = spool_newest(s, c->name);
	const struct work_options options = {.dir = c->dir,
		.dataset = c->name,
		.view = s->o.view,
		.newest = newest,
		.find = spool_find,
		.find_arg = s,
		.uid = owner.uid,
		.gid = owner.gid,
		.changed = spool_changed,
		.changed_arg = c,
		.power = rule.durability == SPOOL_POWER};
	struct work_state state;
	bool moved = false;
	int r = work_open(&options, ret_work, err);

	if (r < 0)
		return error_wrap(err, r, "cannot open the working copy of '%s'", c->name);
	for (const char *const *lost = work_lost(*ret_work); lost != NULL && *lost != NULL; lost++)
		log_warn(s->o.log, "spool: '%s': %s", c->name, *lost);
	work_get_state(*ret_work, &state);
	const struct snapshot *base = work_base(*ret_work);
	bool behind = newest != NULL && (base == NULL || !id_equal(&base->id, &newest->id));
	if (behind && state.changes <= state.committed && work_rebase(*ret_work, newest, &moved, NULL) < 0)
		log_warn(s->o.log, "spool: '%s' stays on an older snapshot for now", c->name);
	if (moved)
		hold_release(s->o.repo, c->dir, newest, s->o.log);
	return 0;
}

/* With the lock, which is given up meanwhile. Whoever comes while another opens waits for him. */
static int open_copy(struct spool_copy *c, struct work_owner owner, struct error *err)
{
	struct spool *s = c->s;
	struct work *work = NULL;
	struct work_state state = {0};
	int r = 0;

	while (c->opening)
		spool_wait_until(s, INT64_MAX);
	if (c->work != NULL || c->removed)
		return c->removed ? error_set(err, ERR_NOT_FOUND, "no such dataset") : 0;
	c->opening = true;
	pthread_mutex_unlock(&s->lock);
	r = open_work(c, owner, &work, err);
	if (r == 0)
		work_get_state(work, &state);
	pthread_mutex_lock(&s->lock);
	c->opening = false;
	c->work = work;
	if (r == 0 && state.changes > state.committed)
		spool_wake(c);
	pthread_cond_broadcast(&s->cond);
	return r;
}

int spool_take_up(struct spool *s, struct error *err)
{
	DIR *dir = opendir(s->dir);
	const struct work_owner owner = {.uid = getuid(), .gid = getgid()};
	struct error why = ERROR_INIT;
	int r = 0;

	if (dir == NULL)
		return error_set_errno(err, errno, "cannot list '%s'", s->dir);
	for (const struct dirent *d; r == 0 && (d = readdir(dir)) != NULL;) {
		struct spool_copy *c;
		char *name =
			d->d_name[0] == '.' || strcmp(d->d_name, "lock") == 0 ? NULL : spool_dataset_name(d->d_name);
		if (name == NULL)
			continue;
		pthread_mutex_lock(&s->lock);
		r = add_copy(s, name, &c, err);
		if (r == 0 && open_copy(c, owner, &why) < 0) {
			snprintf(c->last_error, sizeof(c->last_error), "%s", error_text(&why));
			log_error(s->o.log, "spool: %s", error_text(&why));
			error_clear(&why);
		}
		pthread_mutex_unlock(&s->lock);
		free(name);
	}
	closedir(dir);
	return r;
}

static bool in_repository(struct spool *s, const char *dataset)
{
	const struct epoch *epoch = spool_epoch(s);
	bool there = epoch_dataset(epoch, dataset) != NULL;

	epoch_unref(epoch);
	return there;
}

static int not_found(const char *dataset, struct error *err)
{
	return error_set(err, ERR_NOT_FOUND, "there is no dataset '%s'", dataset);
}

int spool_work(struct spool *s, const char *dataset, struct work **ret_work, struct error *err)
{
	const struct work_owner owner = {.uid = getuid(), .gid = getgid()};
	bool known = in_repository(s, dataset);
	struct spool_copy *c;
	int r = 0;

	pthread_mutex_lock(&s->lock);
	c = spool_copy_of(s, dataset);
	if (c == NULL)
		r = known ? add_copy(s, dataset, &c, err) : not_found(dataset, err);
	if (r == 0)
		r = open_copy(c, owner, err);
	if (r == 0)
		*ret_work = c->work;
	pthread_mutex_unlock(&s->lock);
	return r;
}

int spool_make(struct spool *s, const char *dataset, struct work_owner owner, struct work **ret_work, struct error *err)
{
	int r = snapshot_dataset_ok(dataset, err);
	bool known = r == 0 && in_repository(s, dataset);
	struct spool_copy *c = NULL;

	if (r < 0)
		return r;
	pthread_mutex_lock(&s->lock);
	if (known || spool_copy_of(s, dataset) != NULL)
		r = error_set(err, ERR_EXISTS, "there is a dataset '%s' already", dataset);
	if (r == 0)
		r = add_copy(s, dataset, &c, err);
	if (r == 0) {
		r = open_copy(c, owner, err);
		c->removed = r < 0;
	}
	if (r == 0)
		*ret_work = c->work;
	pthread_mutex_unlock(&s->lock);
	return r;
}

static bool find_any(void *arg, const char *name, const struct stat *st, uint64_t next)
{
	(void)name;
	(void)st;
	(void)next;
	*(bool *)arg = true;
	return false;
}

/* Removes what is in a folder and one level below it: a working copy has no more. */
static void remove_folder(const char *path, bool deeper)
{
	DIR *dir = opendir(path);

	for (const struct dirent *d; dir != NULL && (d = readdir(dir)) != NULL;) {
		char *inner = strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0
				      ? NULL
				      : fileio_format("%s/%s", path, d->d_name);
		if (inner != NULL && unlink(inner) != 0 && deeper)
			remove_folder(inner, false);
		free(inner);
	}
	if (dir != NULL)
		closedir(dir);
	rmdir(path);
}

/* Out of the way at once, so that a new one may come; its work stays open until the end. */
static int put_away(struct spool_copy *c, struct error *err)
{
	uint64_t random;
	int r = 0;

	host_random(&random, sizeof(random));
	char *gone = fileio_format("%s/.gone-%016llx", c->s->dir, (unsigned long long)random);
	if (gone == NULL)
		return error_no_memory(err, "a path");
	if (rename(c->dir, gone) != 0 && errno != ENOENT)
		r = error_set_errno(err, errno, "cannot remove '%s'", c->dir);
	else
		remove_folder(gone, true);
	free(gone);
	return r;
}

/* Called with the lock, which is given up meanwhile. */
static int remove_copy(struct spool_copy *c, struct error *err)
{
	struct spool *s = c->s;
	bool any = false;

	c->removing = true;
	while (c->running) {
		spool_wake(c);
		spool_wait_until(s, clock_monotonic() + CLOCK_SECOND);
	}
	pthread_mutex_unlock(&s->lock);
	int r = work_list(c->work, INDEX_ROOT, 0, find_any, &any, err);
	if (r == 0 && any) {
		error_set(err, ERR_BUSY, "the dataset '%s' is not empty", c->name);
		r = WORK_ENOTEMPTY;
	}
	if (r == 0)
		r = put_away(c, err);
	pthread_mutex_lock(&s->lock);
	c->removing = false;
	c->removed = r == 0;
	return r;
}

int spool_remove(struct spool *s, const char *dataset, struct error *err)
{
	struct work *work = NULL;
	struct spool_copy *c;

	if (in_repository(s, dataset)) {
		error_set(err, ERR_DENIED, "the dataset '%s' has snapshots: 'drfs forget' removes these", dataset);
		return WORK_EPERM;
	}
	int r = spool_work(s, dataset, &work, err);
	if (r < 0)
		return r;
	pthread_mutex_lock(&s->lock);
	c = spool_copy_of_work(s, work);
	r = c == NULL || c->removed ? not_found(dataset, err) : remove_copy(c, err);
	pthread_mutex_unlock(&s->lock);
	return r;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* With the lock. Names of the epoch's datasets, and of copies that it does not have. False without memory. */
static bool gather(struct spool *s, const struct epoch *epoch, char **names, size_t *ret_count)
{
	size_t n = 0;
	bool whole = true;

	for (size_t i = 0; i < epoch->dataset_count; i++)
		whole = (names[n++] = strdup(epoch->datasets[i].name)) != NULL && whole;
	for (size_t i = 0; i < s->copy_count; i++)
		if (!s->copies[i]->removed && epoch_dataset(epoch, s->copies[i]->name) == NULL)
			whole = (names[n++] = strdup(s->copies[i]->name)) != NULL && whole;
	if (whole)
		qsort(names, n, sizeof(*names), compare_names);
	*ret_count = n;
	return whole;
}

int spool_datasets(struct spool *s, char ***ret_names, size_t *ret_count, struct error *err)
{
	const struct epoch *epoch = spool_epoch(s);
	size_t count = 0;

	pthread_mutex_lock(&s->lock);
	char **names = calloc(epoch->dataset_count + s->copy_count + 1, sizeof(char *));
	bool whole = names != NULL && gather(s, epoch, names, &count);
	pthread_mutex_unlock(&s->lock);
	epoch_unref(epoch);
	if (!whole) {
		spool_names_free(names, count);
		return error_no_memory(err, "the names of datasets");
	}
	*ret_names = names;
	*ret_count = count;
	return 0;
}

void spool_names_free(char **names, size_t count)
{
	for (size_t i = 0; names != NULL && i < count; i++)
		free(names[i]);
	free(names);
}
