/* SPDX-License-Identifier: MIT */
#include "fs/spool/parked.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "archive/snapshot.h"
#include "base/buf.h"
#include "base/fileio.h"
#include "fs/spool/spool_impl.h"

enum { FILE_MAX = 16 << 20 };

static char *path_of(const char *folder)
{
	return fileio_format("%s/.parked", folder);
}

static int write_names(const char *path, const char *const *datasets, size_t count, struct error *err)
{
	struct buf text = {0};

	for (size_t i = 0; i < count; i++) {
		buf_put(&text, datasets[i], strlen(datasets[i]));
		buf_put_u8(&text, '\n');
	}
	int r = buf_failed(&text) ? error_no_memory(err, "what is not committed")
				  : fileio_replace(path, 0600, text.data, text.len, err);
	buf_release(&text);
	return r;
}

int parked_write(const char *folder, const char *const *datasets, size_t count, struct error *err)
{
	char *path = path_of(folder);
	int r = 0;

	if (path == NULL)
		return error_no_memory(err, "a path");
	if (count > 0)
		r = write_names(path, datasets, count, err);
	else if (unlink(path) != 0 && errno != ENOENT)
		r = error_set_errno(err, errno, "cannot remove '%s'", path);
	free(path);
	return r;
}

static int tell(const char *folder, const char *dataset, void (*fn)(void *arg, const char *dataset, const char *kept),
	void *arg, struct error *err)
{
	if (snapshot_dataset_ok(dataset, NULL) < 0)
		return error_set(err, ERR_CORRUPT, "'%s/.parked' does not name datasets", folder);
	char *name = spool_folder_name(dataset);
	char *kept = name == NULL ? NULL : fileio_format("%s/%s", folder, name);
	if (kept != NULL)
		fn(arg, dataset, kept);
	int r = kept == NULL ? error_no_memory(err, "a path") : 0;
	free(kept);
	free(name);
	return r;
}

int parked_each(
	const char *folder, void (*fn)(void *arg, const char *dataset, const char *kept), void *arg, struct error *err)
{
	struct buf text = {0};
	char *path = path_of(folder);
	int r = 0;

	if (path == NULL)
		return error_no_memory(err, "a path");
	if (access(path, F_OK) == 0 || errno != ENOENT)
		r = fileio_slurp(path, FILE_MAX, &text, err);
	buf_put_u8(&text, '\0');
	if (r == 0 && buf_failed(&text))
		r = error_no_memory(err, "what is not committed");
	char *save = NULL;
	char *line = r == 0 ? strtok_r((char *)text.data, "\n", &save) : NULL;
	for (; r == 0 && line != NULL; line = strtok_r(NULL, "\n", &save))
		r = tell(folder, line, fn, arg, err);
	buf_release(&text);
	free(path);
	return r;
}
