/* SPDX-License-Identifier: MIT */

#include "catalog/catalog_place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fileio.h"

/* How long another process may take to move a file and make a new one. */
#define LOCK_PATIENCE (2 * CLOCK_SECOND)

struct catalog_place {
	char *dir;  /* absolute: connections are opened later too, when the working directory may be another */
	char *file; /* dir/catalog.sqlite */
	int lock_fd;
};

static int lock(const struct catalog_place *place, int how, struct error *err)
{
	const struct timespec pause = {.tv_nsec = 5000000};
	int64_t end = clock_monotonic() + LOCK_PATIENCE;
	while (flock(place->lock_fd, how | LOCK_NB) != 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return error_set_errno(err, errno, "cannot lock the catalog's folder '%s'", place->dir);
		if (clock_monotonic() > end)
			return error_set(err, ERR_BUSY, "another process uses the catalog in '%s'", place->dir);
		nanosleep(&pause, NULL);
	}
	return 0;
}

/*
 * mknod and not open: closing a descriptor of a database that this process has open elsewhere would drop SQLite's own
 * locks on it.
 */
static int make_file(const struct catalog_place *place, struct error *err)
{
	if (mknod(place->file, S_IFREG | 0600, 0) != 0 && errno != EEXIST)
		return error_set_errno(err, errno, "cannot create '%s'", place->file);
	return 0;
}

static int open_lock(struct catalog_place *place, struct error *err)
{
	char *name = fileio_format("%s/catalog.lock", place->dir);
	if (!name)
		return error_no_memory(err, "the catalog's folder");
	place->lock_fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	int r = place->lock_fd < 0 ? error_set_errno(err, errno, "cannot open '%s'", name) : 0;
	free(name);
	return r;
}

static int find_dir(struct catalog_place *place, const char *dir, struct error *err)
{
	int r = fileio_mkdirs(dir, 0700, err);
	if (r != 0)
		return r;
	place->dir = realpath(dir, NULL);
	if (!place->dir)
		return error_set_errno(err, errno, "cannot find the catalog's folder '%s'", dir);
	place->file = fileio_format("%s/catalog.sqlite", place->dir);
	return place->file ? 0 : error_no_memory(err, "the catalog's folder");
}

int catalog_place_open(const char *dir, struct catalog_place **ret_place, struct error *err)
{
	struct catalog_place *place = calloc(1, sizeof(*place));
	if (!place)
		return error_no_memory(err, "the catalog's folder");
	place->lock_fd = -1;
	int r = find_dir(place, dir, err);
	if (r == 0)
		r = open_lock(place, err);
	if (r == 0)
		r = lock(place, LOCK_SH, err);
	if (r == 0)
		r = make_file(place, err);
	if (r != 0) {
		catalog_place_close(place);
		return r;
	}
	*ret_place = place;
	return 0;
}

void catalog_place_close(struct catalog_place *place)
{
	if (!place)
		return;
	if (place->lock_fd >= 0)
		close(place->lock_fd);
	free(place->file);
	free(place->dir);
	free(place);
}

const char *catalog_place_file(const struct catalog_place *place)
{
	return place->file;
}

int catalog_place_lock_alone(struct catalog_place *place, struct error *err)
{
	/* Two users that both wait for the other's shared lock would wait for ever. */
	flock(place->lock_fd, LOCK_UN);
	return lock(place, LOCK_EX, err);
}

int catalog_place_share(struct catalog_place *place, struct error *err)
{
	return lock(place, LOCK_SH, err);
}

/* unlink or rename (to != NULL) of the database's file with `suffix`; what is not there is fine. */
static int put_away(const struct catalog_place *place, const char *suffix, const char *to, struct error *err)
{
	char *from_name = fileio_format("%s%s", place->file, suffix);
	char *to_name = fileio_format("%s%s", place->file, to ? to : "");
	int r = 0;
	if (!from_name || !to_name) {
		r = error_no_memory(err, "the catalog's folder");
		goto out;
	}
	if ((to ? rename(from_name, to_name) : unlink(from_name)) != 0 && errno != ENOENT)
		r = error_set_errno(err, errno, "cannot move '%s' away", from_name);
out:
	free(from_name);
	free(to_name);
	return r;
}

int catalog_place_begin_anew(struct catalog_place *place, struct error *err)
{
	/* The log goes first: beside a new file it would be taken for that file's own. */
	int r = put_away(place, "-wal", NULL, err);
	if (r == 0)
		r = put_away(place, "-shm", NULL, err);
	if (r == 0)
		r = put_away(place, "-journal", NULL, err);
	if (r == 0)
		r = put_away(place, "", ".damaged", err);
	if (r == 0)
		r = put_away(place, ".suspect", NULL, err);
	if (r == 0)
		r = make_file(place, err);
	return r;
}

void catalog_place_suspect(const struct catalog_place *place)
{
	char *name = fileio_format("%s.suspect", place->file);
	if (name)
		(void)mknod(name, S_IFREG | 0600, 0);
	free(name);
}

bool catalog_place_is_suspect(const struct catalog_place *place)
{
	char *name = fileio_format("%s.suspect", place->file);
	bool suspect = name && access(name, F_OK) == 0;
	free(name);
	return suspect;
}
