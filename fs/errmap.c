/* SPDX-License-Identifier: MIT */
#include "fs/errmap.h"

#include <errno.h>
#include <stddef.h>

#include "base/checked.h"
#include "base/error.h"

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
