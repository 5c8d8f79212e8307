/* SPDX-License-Identifier: MIT */
#include "fs/errmap.h"

#include <errno.h>
#include <stddef.h>

#include "base/checked.h"
#include "base/error.h"
#include "fs/spool/work.h"

static const struct errmap_row {
	int code;
	int number;
	bool fault;
} rows[] = {
	{ERR_OK, 0, false},
	{ERR_NOT_FOUND, ENOENT, false},
	{ERR_EXISTS, EEXIST, false},
	{ERR_DENIED, EIO, true}, /* by the store; who may read the mount, the kernel decides */
	{ERR_THROTTLED, EIO, true},
	{ERR_UNAVAILABLE, EIO, true},
	{ERR_CORRUPT, EIO, true},
	{ERR_TIMEOUT, EIO, true},
	{ERR_CANCELLED, EINTR, false},
	{ERR_IO, EIO, true},
	{ERR_NO_SPACE, ENOSPC, true},
	{ERR_NO_MEMORY, ENOMEM, true},
	{ERR_USAGE, EINVAL, false},
	{ERR_UNSUPPORTED, EOPNOTSUPP, true},
	{ERR_PASSPHRASE, EIO, true},
	{ERR_BUSY, EBUSY, false},
	{ERR_NO_REPO, EIO, true},
	{ERR_VOID, EIO, true},
	{ERR_BUG, EIO, true},
	{WORK_EEXIST, EEXIST, false},
	{WORK_ENOTEMPTY, ENOTEMPTY, false},
	{WORK_ENOTDIR, ENOTDIR, false},
	{WORK_EISDIR, EISDIR, false},
	{WORK_EINVAL, EINVAL, false},
	{WORK_ENODATA, ENODATA, false},
	{WORK_EPERM, EPERM, false},
	{WORK_EMLINK, EMLINK, false},
	{WORK_EXDEV, EXDEV, false},
	{WORK_ENXIO, ENXIO, false},
	{WORK_EOPNOTSUPP, EOPNOTSUPP, false},
	{WORK_ERANGE, ERANGE, false},
	{WORK_E2BIG, E2BIG, false},
	{WORK_ENAMETOOLONG, ENAMETOOLONG, false},
};

static const struct errmap_row *find(int code)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].code == code)
			return &rows[i];
	return NULL;
}

int errmap_errno(int code)
{
	const struct errmap_row *row = find(code);
	return row != NULL ? row->number : EIO;
}

bool errmap_is_fault(int code)
{
	const struct errmap_row *row = find(code);
	return row == NULL || row->fault;
}
