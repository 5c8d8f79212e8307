/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#include "archive/restore_impl.h"

enum { XATTR_NAMES_MAX = 64 << 10, XATTR_VALUE_MAX = 64 << 10 };

/* Where attributes are set: an open file, or a path through /proc that no link in the tree can bend. */
struct place {
	int fd;
	char path[PATH_MAX];
};

static void place_of(const struct restore_target *t, struct place *ret)
{
	ret->fd = t->fd;
	if (t->fd < 0)
		snprintf(ret->path, sizeof(ret->path), "/proc/self/fd/%d/%s", t->dirfd, t->name);
}

static int place_set(const struct place *p, const char *name, const void *value, size_t len)
{
	return p->fd >= 0 ? fsetxattr(p->fd, name, value, len, 0) : lsetxattr(p->path, name, value, len, 0);
}

static int place_remove(const struct place *p, const char *name)
{
	return p->fd >= 0 ? fremovexattr(p->fd, name) : lremovexattr(p->path, name);
}

static ssize_t place_list(const struct place *p, char *dst, size_t cap)
{
	return p->fd >= 0 ? flistxattr(p->fd, dst, cap) : llistxattr(p->path, dst, cap);
}

static ssize_t place_get(const struct place *p, const char *name, void *dst, size_t cap)
{
	return p->fd >= 0 ? fgetxattr(p->fd, name, dst, cap) : lgetxattr(p->path, name, dst, cap);
}

static bool is_acl(const char *name)
{
	return strncmp(name, "system.posix_acl_", 17) == 0;
}

/* What a tree may have too much of and this process may take away. What belongs to security modules is theirs. */
static bool is_ours(const struct restore *r, const char *name)
{
	return strncmp(name, "user.", 5) == 0 || is_acl(name) ||
	       (r->as_root && (strcmp(name, "security.capability") == 0 || strncmp(name, "trusted.", 8) == 0));
}

/* Said once for all: a file system that takes none takes none of any file. */
static int set_failed(struct restore *r, const struct entry *entry, const char *name, int sys_errno)
{
	bool refused = sys_errno == EPERM || sys_errno == ENOTSUP || sys_errno == EACCES || sys_errno == EINVAL;
	if (!refused) {
		char doing[XATTR_NAME_MAX + 64];
		snprintf(doing, sizeof(doing), "cannot set its extended attribute '%s'", name);
		return restore_dest_failed(r, entry, sys_errno, doing);
	}
	if (atomic_exchange(&r->xattr_told, true))
		return 0;
	if (!r->as_root && sys_errno == EPERM && strncmp(name, "user.", 5) != 0 && !is_acl(name))
		log_notice(r->repo->log, "some extended attributes ('%s') are not restored, that needs root", name);
	else
		restore_warn(r, entry, "its extended attribute '%s' cannot be restored here: %s; this is said once",
			name, strerror(sys_errno));
	return 0;
}

/* Has it this value already? */
static bool has_value(const struct place *p, const char *name, const void *value, size_t len)
{
	char small[1024];
	char *have = len < sizeof(small) ? small : malloc(len + 1);
	ssize_t n = have ? place_get(p, name, have, len < sizeof(small) ? sizeof(small) : len + 1) : -1;
	bool same = n >= 0 && (size_t)n == len && memcmp(have, value, len) == 0;
	if (have != small)
		free(have);
	return same;
}

/* Sets all that `want` holds. `last`: only the capability, which any other change would take away again; else all but
 * it. */
static int set_all(struct restore *r, const struct place *p, const struct entry *entry, const struct buf *want,
	bool compare, bool last)
{
	struct cursor c = cursor_of(want->data, want->len);
	const char *text;
	const uint8_t *value;
	size_t text_len, len;
	int status = 0;
	while (status == 0 && xattr_next(&c, &text, &text_len, &value, &len)) {
		char name[XATTR_NAME_MAX + 1];
		snprintf(name, sizeof(name), "%.*s", (int)text_len, text);
		if ((strcmp(name, "security.capability") == 0) != last)
			continue;
		if (compare && has_value(p, name, value, len))
			continue;
		if (place_set(p, name, value, len) != 0)
			status = set_failed(r, entry, name, errno);
	}
	return status;
}

static bool is_wanted(const struct buf *want, const char *name)
{
	struct cursor c = cursor_of(want->data, want->len);
	const char *text;
	const uint8_t *value;
	size_t text_len, len, name_len = strlen(name);
	while (xattr_next(&c, &text, &text_len, &value, &len))
		if (text_len == name_len && memcmp(text, name, name_len) == 0)
			return true;
	return false;
}

/* Takes away what the entry has not. *ret_any: it had attributes at all. */
static int remove_extra(
	struct restore *r, const struct place *p, const struct entry *entry, const struct buf *want, bool *ret_any)
{
	char small[4096], *list = small;
	ssize_t len = place_list(p, small, sizeof(small));
	int status = 0;
	if (len < 0 && errno == ERANGE) {
		list = malloc(XATTR_NAMES_MAX);
		len = list ? place_list(p, list, XATTR_NAMES_MAX) : -1;
	}
	*ret_any = len > 0;
	for (const char *name = list; status == 0 && len > 0 && name < list + len; name += strlen(name) + 1)
		if (is_ours(r, name) && !is_wanted(want, name) && place_remove(p, name) != 0 && errno != ENODATA)
			status = restore_dest_failed(r, entry, errno, "cannot remove an extended attribute");
	if (list != small)
		free(list);
	return status;
}

int restore_xattrs_set(
	struct restore *r, const struct restore_target *target, const struct entry *entry, unsigned flags)
{
	struct place p;
	struct buf want = {0};
	struct error why = ERROR_INIT;
	bool none = entry->xattrs_len == 0 && entry->xattr_ref == EXTENT_HOLE;
	bool fresh = (flags & RESTORE_META_NEW) && !(flags & RESTORE_META_CLEAN), any = false;
	if (none && fresh)
		return 0;
	place_of(target, &p);
	int status = none ? 0 : entry_xattrs(r->nodes, entry, &want, &why);
	if (status != 0) {
		buf_release(&want);
		return restore_lose(r, entry, status, &why);
	}
	if (!fresh)
		status = remove_extra(r, &p, entry, &want, &any);
	if (status == 0)
		status = set_all(r, &p, entry, &want, any, false);
	if (status == 0)
		status = set_all(r, &p, entry, &want, any, true);
	buf_release(&want);
	return status;
}
