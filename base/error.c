/* SPDX-License-Identifier: MIT */
#include "base/error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* A link of the chain is cut at this length, so that the cause at the end of the chain keeps its room. */
enum { LINK_MAX = 400 };

static void error_store(struct error *err, const char *text)
{
	size_t len = strlen(text);
	if (len > ERROR_TEXT_MAX - 1)
		len = ERROR_TEXT_MAX - 1;
	memcpy(err->text, text, len);
	err->text[len] = 0;
	err->used = (unsigned)len;
}

int error_set(struct error *err, enum error_code code, const char *fmt, ...)
{
	if (!err)
		return code;
	char tmp[ERROR_TEXT_MAX]; /* not straight into err->text: an argument may be error_text(err) */
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(tmp, sizeof(tmp), fmt, ap);
	va_end(ap);
	err->code = code;
	err->sys_errno = 0;
	error_store(err, tmp);
	return code;
}

static enum error_code error_code_of_errno(int sys_errno)
{
	switch (sys_errno) {
	case ENOENT:
		return ERR_NOT_FOUND;
	case ENOSPC:
	case EDQUOT:
		return ERR_NO_SPACE;
	case EACCES:
	case EPERM:
	case EROFS:
		return ERR_DENIED;
	case EEXIST:
		return ERR_EXISTS;
	case ENOMEM:
		return ERR_NO_MEMORY;
	default:
		return ERR_IO;
	}
}

int error_set_errno(struct error *err, int sys_errno, const char *fmt, ...)
{
	enum error_code code = error_code_of_errno(sys_errno);
	if (!err)
		return code;
	char what[ERROR_TEXT_MAX];
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	char reason[128];
	(void)error_set(err, code, "%.*s: %s", ERROR_TEXT_MAX - (int)sizeof(reason) - 3, what,
		strerror_r(sys_errno, reason, sizeof(reason)));
	err->sys_errno = sys_errno;
	return code;
}

int error_wrap(struct error *err, int code, const char *fmt, ...)
{
	if (!err)
		return code;
	char link[LINK_MAX];
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(link, sizeof(link), fmt, ap);
	va_end(ap);
	if (err->code == ERR_OK)
		err->code = (enum error_code)code;
	if (err->used == 0) {
		error_store(err, link);
		return err->code;
	}
	char old[ERROR_TEXT_MAX];
	memcpy(old, err->text, err->used + 1);
	char joined[LINK_MAX + ERROR_TEXT_MAX + 2];
	(void)snprintf(joined, sizeof(joined), "%s: %s", link, old);
	error_store(err, joined);
	return err->code;
}

int error_no_memory(struct error *err, const char *what)
{
	return error_set(err, ERR_NO_MEMORY, "out of memory for %s", what);
}

const char *error_text(const struct error *err)
{
	return err && err->used > 0 ? err->text : "no error";
}

void error_clear(struct error *err)
{
	if (err)
		*err = ERROR_INIT;
}

const char *error_code_name(int code)
{
	static const char *const names[] = {"ok", "not-found", "exists", "denied", "throttled", "unavailable",
		"corrupt", "timeout", "cancelled", "io", "no-space", "no-memory", "usage", "unsupported", "passphrase",
		"busy", "no-repo", "void", "bug"};
	if (code > 0 || code < -(int)(sizeof(names) / sizeof(names[0]) - 1))
		return "unknown";
	return names[-code];
}

int error_is_retryable(int code)
{
	return code == ERR_THROTTLED || code == ERR_UNAVAILABLE || code == ERR_TIMEOUT;
}
