/* SPDX-License-Identifier: MIT */
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "tests/unit/store_place.h"

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void place_clean(void *arg)
{
	struct place *place = arg;

	if (place->mounted)
		(void)umount2(place->root, MNT_DETACH);
	place->mounted = false;
	(void)nftw(place->root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

int place_set_up(void **state)
{
	static struct place place;

	place = (struct place){0};
	*state = &place;
	strcpy(place.root, "/tmp/drfs-store-file-XXXXXX");
	if (!mkdtemp(place.root))
		return -1;
	(void)snprintf(place.repo, sizeof(place.repo), "%s/repo", place.root);
	return 0;
}

int place_tear_down(void **state)
{
	place_clean(*state);
	return 0;
}

struct store *place_open_repo(const struct place *place, bool create)
{
	struct store_options options = {.create = create};
	struct error err = ERROR_INIT;
	struct store *s = NULL;

	if (store_open(place->repo, &options, &s, &err) != 0)
		fail_msg("%s", error_text(&err));
	return s;
}

const char *place_inside(const struct place *place, const char *name)
{
	static char path[PATH_LEN];

	(void)snprintf(path, sizeof(path), "%s/%s", place->repo, name);
	return path;
}

void place_put_text(struct store *s, const char *name, const char *text)
{
	struct error err = ERROR_INIT;

	if (store_put_mem(s, NULL, name, text, strlen(text), NULL, &err) != 0)
		fail_msg("%s", error_text(&err));
}

void assert_place_reads(struct store *s, const char *name, const char *text)
{
	char got[100];
	size_t n = 0;

	assert_int_equal(store_get(s, NULL, name, 0, sizeof(got), got, &n, NULL), 0);
	assert_int_equal(n, strlen(text));
	assert_memory_equal(got, text, n);
}

int place_count_names(void *arg, const char *name, uint64_t size, struct error *err)
{
	(void)name;
	(void)size;
	(void)err;
	++*(size_t *)arg;
	return 0;
}

size_t place_count_listed(struct store *s)
{
	struct error err = ERROR_INIT;
	size_t count = 0;

	if (store_list(s, NULL, "", "", place_count_names, &count, &err) != 0)
		fail_msg("%s", error_text(&err));
	return count;
}

static size_t files_seen; /* nftw() takes no argument along */

static int count_file(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)path;
	(void)st;
	(void)ftw;
	if (type == FTW_F)
		files_seen++;
	return 0;
}

/* All files below the folder, whatever they are called. */
size_t place_count_files(const char *path)
{
	files_seen = 0;
	assert_int_equal(nftw(path, count_file, 16, FTW_PHYS), 0);
	return files_seen;
}
