/* SPDX-License-Identifier: MIT */

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backends/store_file.h"

struct file_fds {
	pthread_mutex_t lock; /* guards all of it, and refs and used of every entry */
	uint64_t epoch;
	uint64_t uses;
	size_t count;
	struct file_fd *entries[FILE_FDS_MAX];
};

struct file_fds *file_fds_new(void)
{
	struct file_fds *fds = calloc(1, sizeof(*fds));

	if (fds)
		pthread_mutex_init(&fds->lock, NULL);
	return fds;
}

/* Takes one reference away; the lock is held. Returns the entry when it was the last one, for closing. */
static struct file_fd *unref(struct file_fd *entry)
{
	return --entry->refs == 0 ? entry : NULL;
}

static void entry_close(struct file_fd *entry)
{
	if (!entry)
		return;
	close(entry->fd);
	free(entry);
}

void file_fds_free(struct file_fds *fds)
{
	if (!fds)
		return;
	for (size_t i = 0; i < fds->count; i++)
		entry_close(fds->entries[i]);
	pthread_mutex_destroy(&fds->lock);
	free(fds);
}

/* Index of `name`, or count. 64 comparisons cost less than the system call that follows. */
static size_t find(const struct file_fds *fds, const char *name)
{
	size_t i = 0;

	while (i < fds->count && strcmp(fds->entries[i]->name, name) != 0)
		i++;
	return i;
}

/* Removes the entry at `i` from the cache; the lock is held. What is returned is to be closed after unlocking. */
static struct file_fd *evict(struct file_fds *fds, size_t i)
{
	struct file_fd *entry = fds->entries[i];

	fds->entries[i] = fds->entries[--fds->count];
	return unref(entry);
}

static size_t oldest(const struct file_fds *fds)
{
	size_t at = 0;

	for (size_t i = 1; i < fds->count; i++) {
		if (fds->entries[i]->used < fds->entries[at]->used)
			at = i;
	}
	return at;
}

struct file_fd *file_fds_take(struct file_fds *fds, const char *name)
{
	struct file_fd *entry = NULL;

	pthread_mutex_lock(&fds->lock);
	size_t i = find(fds, name);
	if (i < fds->count) {
		entry = fds->entries[i];
		entry->refs++;
		entry->used = ++fds->uses;
	}
	pthread_mutex_unlock(&fds->lock);
	return entry;
}

uint64_t file_fds_epoch(struct file_fds *fds)
{
	pthread_mutex_lock(&fds->lock);
	uint64_t epoch = fds->epoch;
	pthread_mutex_unlock(&fds->lock);
	return epoch;
}

struct file_fd *file_fds_add(struct file_fds *fds, uint64_t epoch, const char *name, int fd)
{
	struct file_fd *entry = calloc(1, sizeof(*entry));
	struct file_fd *gone = NULL;

	if (!entry)
		return NULL;
	entry->fd = fd;
	entry->refs = 1;
	memcpy(entry->name, name, strlen(name) + 1);
	pthread_mutex_lock(&fds->lock);
	if (epoch == fds->epoch && find(fds, name) == fds->count) {
		if (fds->count == FILE_FDS_MAX)
			gone = evict(fds, oldest(fds));
		fds->entries[fds->count++] = entry;
		entry->refs++;
		entry->used = ++fds->uses;
	}
	pthread_mutex_unlock(&fds->lock);
	entry_close(gone);
	return entry;
}

void file_fds_put(struct file_fds *fds, struct file_fd *entry)
{
	pthread_mutex_lock(&fds->lock);
	struct file_fd *gone = unref(entry);
	pthread_mutex_unlock(&fds->lock);
	entry_close(gone);
}

void file_fds_drop(struct file_fds *fds, const char *name)
{
	struct file_fd *gone = NULL;

	pthread_mutex_lock(&fds->lock);
	fds->epoch++;
	size_t i = find(fds, name);
	if (i < fds->count)
		gone = evict(fds, i);
	pthread_mutex_unlock(&fds->lock);
	entry_close(gone);
}
