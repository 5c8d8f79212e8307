/* SPDX-License-Identifier: MIT */
/*
 * Included before passfs.c: while there is a file that REFUSING names, the file system takes no change any more, as one
 * that turned read-only by itself after a fault of its disk: EROFS, for files that are open already, too.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static inline bool refusing(void)
{
	if (access(getenv("REFUSING"), F_OK) != 0)
		return false;
	errno = EROFS;
	return true;
}

#define UNLESS_REFUSING(call) (refusing() ? -1 : (call))
#define openat(dir, path, flags, ...) \
	(((flags) & (O_CREAT | O_WRONLY | O_RDWR)) != 0 && refusing() ? -1 : openat(dir, path, flags, ##__VA_ARGS__))
#define pwrite(...) UNLESS_REFUSING(pwrite(__VA_ARGS__))
#define ftruncate(...) UNLESS_REFUSING(ftruncate(__VA_ARGS__))
#define fsync(...) UNLESS_REFUSING(fsync(__VA_ARGS__))
#define fdatasync(...) UNLESS_REFUSING(fdatasync(__VA_ARGS__))
#define mkdirat(...) UNLESS_REFUSING(mkdirat(__VA_ARGS__))
#define unlinkat(...) UNLESS_REFUSING(unlinkat(__VA_ARGS__))
#define symlinkat(...) UNLESS_REFUSING(symlinkat(__VA_ARGS__))
#define linkat(...) UNLESS_REFUSING(linkat(__VA_ARGS__))
#define renameat2(...) UNLESS_REFUSING(renameat2(__VA_ARGS__))
