/* SPDX-License-Identifier: MIT */
#include "fs/spool/hold.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "archive/mark.h"
#include "base/clock.h"
#include "base/fileio.h"
#include "base/host.h"

/* What stands in the file; false: nothing is held. */
static bool noted(const char *path, struct id *ret_id)
{
	struct buf text = {0};

	int r = fileio_slurp(path, ID_HEX_MAX, &text, NULL);
	buf_put_u8(&text, 0);
	bool is = r == 0 && !buf_failed(&text) && id_parse((const char *)text.data, ret_id);
	buf_release(&text);
	return is;
}

static int put(struct repo *repo, enum mark_kind kind, const struct id *subject, struct error *err)
{
	char *host = host_name();
	char *reason = host == NULL ? NULL : fileio_format("spool of %s", host);
	struct mark mark = {.kind = kind, .subject = *subject, .reason = reason};
	int r = reason == NULL ? error_no_memory(err, "a mark") : mark_put(repo, &mark, err);

	free(reason);
	free(host);
	return r;
}

/* The mark first: a note of what is not held would be worse than a mark that nobody noted. */
static int take(struct repo *repo, const char *path, const struct id *id, struct error *err)
{
	char hex[ID_HEX_MAX];
	int r = put(repo, MARK_HOLD, id, err);

	if (r < 0)
		return r;
	id_hex(id, hex);
	return fileio_create(path, 0600, hex, strlen(hex), err);
}

bool hold_take(struct repo *repo, const char *dir, const struct snapshot *base, bool held, struct log *log)
{
	struct error err = ERROR_INIT;
	struct id now;
	char *path = fileio_format("%s/hold", dir);
	int r = 0;

	if (path == NULL || base == NULL || !hold_release(repo, dir, base, log)) {
		free(path);
		return base == NULL;
	}
	bool ours = noted(path, &now);
	if (!ours && !held) {
		unlink(path); /* it could not be read */
		r = take(repo, path, &base->id, &err);
	}
	free(path);
	if (r == 0)
		return ours || !held;
	log_warn(log, "spool: cannot hold '%s/%s', on which changes stand, against pruning: %s", base->dataset,
		base->name, error_text(&err));
	return r == ERR_DENIED;
}

bool hold_release(struct repo *repo, const char *dir, const struct snapshot *base, struct log *log)
{
	struct error err = ERROR_INIT;
	struct id was;
	char *path = fileio_format("%s/hold", dir);
	int r = 0;

	if (path == NULL)
		return false;
	if (noted(path, &was) && (base == NULL || !id_equal(&was, &base->id))) {
		r = put(repo, MARK_UNHOLD, &was, &err);
		if ((r == 0 || r == ERR_DENIED) && unlink(path) != 0 && errno != ENOENT)
			r = error_set_errno(&err, errno, "cannot remove '%s'", path);
	}
	free(path);
	if (r < 0)
		log_warn(log, "spool: cannot lift a hold on an earlier snapshot: %s", error_text(&err));
	return r == 0 || r == ERR_DENIED;
}
