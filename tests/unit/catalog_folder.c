/* SPDX-License-Identifier: MIT */

#include "tests/unit/catalog_folder.h"

#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fileio.h"

const uint8_t test_repository[16] = "one repository!";

static void keep_warning(void *arg, enum log_level level, const char *line)
{
	struct folder *folder = arg;
	if (level > LOG_LEVEL_WARN)
		return;
	folder->warnings++;
	snprintf(folder->last, sizeof(folder->last), "%s", line);
}

struct folder *folder_new(void)
{
	struct folder *folder = calloc(1, sizeof(*folder));
	assert_non_null(folder);
	snprintf(folder->path, sizeof(folder->path), "%s/drfs-catalog-XXXXXX", fileio_tmpdir());
	assert_non_null(mkdtemp(folder->path));
	snprintf(folder->dir, sizeof(folder->dir), "%s/cache/repo", folder->path);
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	assert_true(null >= 0);
	folder->log = log_new(null, LOG_LEVEL_DEBUG);
	assert_non_null(folder->log);
	log_tee(folder->log, keep_warning, folder);
	return folder;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

static void remove_all(const char *path)
{
	nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void folder_free(struct folder *folder)
{
	if (!folder)
		return;
	remove_all(folder->path);
	log_free(folder->log);
	free(folder);
}

void folder_wipe(struct folder *folder)
{
	remove_all(folder->dir);
}

struct catalog *folder_open_at(struct folder *folder, const char *dir, const uint8_t *repository)
{
	struct catalog *catalog = NULL;
	struct error err = ERROR_INIT;
	const struct catalog_options options = {.dir = dir ? dir : folder->dir,
		.repository = repository ? repository : test_repository,
		.log = folder->log};
	folder->warnings = 0;
	folder->last[0] = '\0';
	if (catalog_open(&options, &catalog, &err) != 0)
		fail_msg("catalog_open: %s", error_text(&err));
	assert_non_null(catalog);
	return catalog;
}

struct catalog *folder_open(struct folder *folder)
{
	return folder_open_at(folder, NULL, NULL);
}

const char *folder_file(const struct folder *folder, const char *name)
{
	static char paths[4][200];
	static unsigned next;
	char *path = paths[next++ % 4];
	snprintf(path, sizeof(paths[0]), "%s/%s", folder->dir, name);
	return path;
}

bool folder_has(const struct folder *folder, const char *name)
{
	return access(folder_file(folder, name), F_OK) == 0;
}

void folder_slurp(const struct folder *folder, const char *name, struct buf *ret)
{
	assert_int_equal(fileio_slurp(folder_file(folder, name), 1 << 30, ret, NULL), 0);
}

void folder_write(const struct folder *folder, const char *name, const void *data, size_t len)
{
	const char *path = folder_file(folder, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(fileio_write(fd, path, data, len, NULL), 0);
	close(fd);
}
