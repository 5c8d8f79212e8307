/* SPDX-License-Identifier: MIT */
/* Preloaded into what ran "before the power cut": shows another boot id than the kernel's, given in OTHERBOOT. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const char *shown(const char *path)
{
	const char *other = getenv("OTHERBOOT");
	return other != NULL && strcmp(path, "/proc/sys/kernel/random/boot_id") == 0 ? other : path;
}

static int pass(const char *name, const char *path, int flags, int mode)
{
	int (*next)(const char *, int, ...);
	*(void **)&next = dlsym(RTLD_NEXT, name);
	return next(shown(path), flags, mode);
}

int open(const char *path, int flags, ...)
{
	va_list args;
	va_start(args, flags);
	int mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(args, int) : 0;
	va_end(args);
	return pass("open", path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
	va_list args;
	va_start(args, flags);
	int mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(args, int) : 0;
	va_end(args);
	return pass("open64", path, flags, mode);
}
