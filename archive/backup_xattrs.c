/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#include "archive/backup_impl.h"

enum { LIST_SMALL = 1024, LIST_MAX = 64 << 10, VALUE_SMALL = 1024, VALUE_MAX = 64 << 10 };

static ssize_t list_names(int fd, const char *path, char *dst, size_t cap)
{
	return fd >= 0 ? flistxattr(fd, dst, cap) : llistxattr(path, dst, cap);
}

static ssize_t get_value(int fd, const char *path, const char *name, void *dst, size_t cap)
{
	return fd >= 0 ? fgetxattr(fd, name, dst, cap) : lgetxattr(path, name, dst, cap);
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names in `list` (each ended by NUL), in order. Caller frees; NULL without memory. */
static char **sort_names(char *list, size_t len, size_t *ret_count)
{
	size_t count = 0;
	char **names = calloc(len / 2 + 1, sizeof(char *));

	for (char *p = list; names != NULL && p < list + len; p += strlen(p) + 1)
		names[count++] = p;
	if (names != NULL)
		qsort(names, count, sizeof(char *), compare_names);
	*ret_count = count;
	return names;
}

/* Adds one attribute. One that has gone meanwhile is no error. */
static int read_value(struct item *item, int fd, const char *path, const char *name, struct error *err)
{
	char small[VALUE_SMALL], *big = NULL;
	ssize_t n = get_value(fd, path, name, small, sizeof(small));

	if (n < 0 && errno == ERANGE) {
		big = malloc(VALUE_MAX);
		if (big == NULL)
			return error_no_memory(err, "extended attributes");
		n = get_value(fd, path, name, big, VALUE_MAX);
	}
	int failed = n < 0 ? errno : 0;
	if (n >= 0)
		xattr_put(&item->xattrs, name, big != NULL ? big : small, (size_t)n);
	free(big);
	if (failed == 0 || failed == ENODATA || failed == ENOTSUP)
		return 0;
	return error_set_errno(err, failed, "cannot read the extended attribute '%s'", name);
}

static int read_values(struct item *item, int fd, const char *path, char *list, size_t len, struct error *err)
{
	size_t count = 0;
	char **names = sort_names(list, len, &count);
	int r = names == NULL ? error_no_memory(err, "extended attributes") : 0;

	for (size_t i = 0; r == 0 && i < count; i++)
		r = read_value(item, fd, path, names[i], err);
	free(names);
	if (r == 0 && buf_failed(&item->xattrs))
		r = error_no_memory(err, "extended attributes");
	if (r == 0 && item->xattrs.len > ENTRY_XATTR_MAX)
		r = error_set(
			err, ERR_UNSUPPORTED, "its extended attributes are larger than %d bytes", ENTRY_XATTR_MAX);
	return r;
}

int item_read_xattrs(struct item *item, int fd, const char *path, struct error *err)
{
	char small[LIST_SMALL], *big = NULL;
	ssize_t len = list_names(fd, path, small, sizeof(small));
	int r = 0;

	buf_clear(&item->xattrs);
	if (len < 0 && errno == ERANGE) {
		big = malloc(LIST_MAX);
		if (big == NULL)
			return error_no_memory(err, "extended attributes");
		len = list_names(fd, path, big, LIST_MAX);
	}
	if (len > 0)
		r = read_values(item, fd, path, big != NULL ? big : small, (size_t)len, err);
	else if (len < 0 && errno != ENOTSUP && errno != ENOSYS)
		r = error_set_errno(err, errno, "cannot list the extended attributes");
	free(big);
	return r;
}
