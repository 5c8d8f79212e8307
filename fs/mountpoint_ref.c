/* SPDX-License-Identifier: MIT */
/* What a path below a mount means, and who serves it: from the outside, by xattr and status.json. */
#include <errno.h>
#include <jansson.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/xattr.h>

#include "base/buf.h"
#include "base/fileio.h"
#include "base/hex.h"
#include "fs/mountinfo.h"
#include "fs/mountpoint.h"

enum { REF_MAX = 65536, STATUS_MAX = 64 << 20 };
static const char ref_name[] = "user.drfs.ref", ref_magic[] = "drfs1";

/* Letters that stand for themselves; all others are escaped, so that a ref is one plain word. */
static bool is_plain(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c != 0 && strchr("/._-+~@,=", c) != NULL);
}

static void put_escaped(struct buf *b, const void *text, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *p = text;
	for (size_t i = 0; i < len; i++) {
		if (is_plain(p[i])) {
			buf_put_u8(b, p[i]);
			continue;
		}
		buf_put_u8(b, '%');
		buf_put_u8(b, (uint8_t)digits[p[i] >> 4]);
		buf_put_u8(b, (uint8_t)digits[p[i] & 15]);
	}
}

char *mountpoint_ref_format(const uint8_t repository[static MOUNTPOINT_REPO_LEN], const char *dataset,
	const char *snapshot, const void *path, size_t path_len)
{
	char hex[2 * MOUNTPOINT_REPO_LEN + 1];
	struct buf b = {0};
	hex_encode(repository, MOUNTPOINT_REPO_LEN, hex);
	buf_put(&b, ref_magic, strlen(ref_magic));
	buf_put_u8(&b, ':');
	buf_put(&b, hex, strlen(hex));
	buf_put_u8(&b, ':');
	put_escaped(&b, dataset, strlen(dataset));
	buf_put_u8(&b, ':');
	put_escaped(&b, snapshot, strlen(snapshot));
	buf_put_u8(&b, ':');
	put_escaped(&b, path, path_len);
	buf_put_u8(&b, 0);
	if (!buf_failed(&b))
		return (char *)b.data;
	buf_release(&b);
	return NULL;
}

/* A field up to the colon (or the end), escapes undone, as a fresh string; NULL: not well-formed. */
static char *take_field(const char **at, const char *end)
{
	const char *stop = memchr(*at, ':', (size_t)(end - *at));
	const char *p = *at;
	uint8_t byte;
	if (stop == NULL)
		stop = end;
	char *out = malloc((size_t)(stop - p) + 1), *to = out;
	for (; to != NULL && p < stop; p++) {
		if (*p != '%') {
			*to++ = *p;
			continue;
		}
		char pair[3] = {p + 1 < stop ? p[1] : 0, p + 2 < stop ? p[2] : 0, 0};
		if (!hex_decode(pair, 1, &byte) || byte == 0) {
			free(out);
			return NULL;
		}
		*to++ = (char)byte;
		p += 2;
	}
	if (to != NULL)
		*to = '\0';
	*at = stop < end ? stop + 1 : end;
	return out;
}

bool mountpoint_ref_parse(const char *text, size_t len, struct mountpoint_ref *ret)
{
	struct mountpoint_ref ref = {0};
	const char *at = text, *end = text + len;
	unsigned colons = 0;
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '\0')
			return false;
		colons += text[i] == ':';
	}
	if (colons != 4)
		return false;
	char *magic = take_field(&at, end), *hex = take_field(&at, end);
	bool ok = magic != NULL && hex != NULL && strcmp(magic, ref_magic) == 0 &&
		  hex_decode(hex, MOUNTPOINT_REPO_LEN, ref.repository);
	free(magic);
	free(hex);
	ref.dataset = take_field(&at, end);
	ref.snapshot = take_field(&at, end);
	ref.path = take_field(&at, end);
	if (!ok || ref.dataset == NULL || ref.snapshot == NULL || ref.path == NULL) {
		mountpoint_ref_release(&ref);
		return false;
	}
	*ret = ref;
	return true;
}

void mountpoint_ref_release(struct mountpoint_ref *ref)
{
	if (ref == NULL)
		return;
	free(ref->dataset);
	free(ref->snapshot);
	free(ref->path);
	free(ref->mountpoint);
	*ref = (struct mountpoint_ref){0};
}

/*
 * The attribute's length; -1: none, with errno set. A file of another kind may carry a copy of it: it counts on FUSE
 * alone. statfs always reaches the process behind the mount, so that a dead one shows although a name is still cached.
 */
static ssize_t get_ref(const char *path, char *dst, size_t cap)
{
	struct statfs fs;
	if (statfs(path, &fs) != 0)
		return -1;
	errno = ENODATA;
	return fs.f_type == FUSE_SUPER_MAGIC ? getxattr(path, ref_name, dst, cap) : -1;
}

static int read_ref(const char *path, struct mountpoint_ref *ret, struct error *err)
{
	int rc = 0;
	char *text = malloc(REF_MAX);
	if (text == NULL)
		return error_no_memory(err, "a path's ref");
	ssize_t len = get_ref(path, text, REF_MAX);
	if (len < 0 && (errno == ENOTCONN || errno == ECONNABORTED))
		rc = error_set_errno(err, errno, "cannot ask for '%s'", path);
	else if (len < 0 || !mountpoint_ref_parse(text, (size_t)len, ret))
		rc = error_set(err, ERR_NOT_FOUND, "'%s' does not lie in a drfs mount", path);
	free(text);
	return rc;
}

/* The folder that a path's last component stands in: the caller's. *ret_name points into `path`. */
static char *folder_of(const char *path, const char **ret_name)
{
	const char *slash = strrchr(path, '/');
	*ret_name = slash != NULL ? slash + 1 : path;
	if (slash == NULL)
		return strdup(".");
	return slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
}

/* The ref of what the kernel asks no xattrs for: the folder's, and the name. */
static int ref_by_folder(const char *path, struct mountpoint_ref *ret, struct error *err)
{
	const char *name = NULL;
	struct mountpoint_ref ref = {0};
	char *folder = folder_of(path, &name);
	if (folder == NULL)
		return error_no_memory(err, "a path");
	int rc = read_ref(folder, &ref, err);
	free(folder);
	if (rc < 0)
		return rc;
	char *whole = fileio_format("%s%s%s", ref.path, ref.path[0] != '\0' ? "/" : "", name);
	if (whole == NULL || ref.snapshot[0] == '\0') {
		rc = whole == NULL ? error_no_memory(err, "a path")
				   : error_set(err, ERR_NOT_FOUND, "'%s' is not inside a snapshot", path);
		free(whole);
		mountpoint_ref_release(&ref);
		return rc;
	}
	free(ref.path);
	ref.path = whole;
	*ret = ref;
	return 0;
}

struct device_search {
	dev_t dev;
	char *mountpoint;
};

static int match_device(void *arg, const struct mountinfo_row *row)
{
	struct device_search *s = arg;
	if (row->dev != s->dev || !mountinfo_is_drfs(row) || strcmp(row->root, "/") != 0)
		return 0;
	s->mountpoint = strdup(row->mountpoint);
	return s->mountpoint != NULL;
}

int mountpoint_ref(const char *path, struct mountpoint_ref *ret, struct error *err)
{
	struct stat st;
	struct mountpoint_ref ref = {0};
	if (lstat(path, &st) != 0)
		return error_set_errno(err, errno, "cannot find '%s'", path);
	bool link = S_ISLNK(st.st_mode), plain = S_ISREG(st.st_mode) || S_ISDIR(st.st_mode);
	int rc = plain ? read_ref(path, &ref, err) : ref_by_folder(path, &ref, link ? NULL : err);
	if (rc < 0 && link)
		rc = read_ref(path, &ref, err);
	if (rc < 0)
		return rc;
	struct device_search search = {.dev = st.st_dev};
	mountinfo_each(match_device, &search, NULL);
	ref.mountpoint = search.mountpoint;
	*ret = ref;
	return 0;
}

static char *copy_text(const json_t *o, const char *key)
{
	const char *text = json_string_value(json_object_get(o, key));
	return strdup(text != NULL ? text : "");
}

int mountpoint_status(const char *mountpoint, struct mountpoint_status *ret, struct error *err)
{
	struct buf text = {0};
	struct mountpoint_status s = {0};
	char *path = fileio_format("%s/.drfs/status.json", mountpoint);
	int rc = path == NULL ? error_no_memory(err, "a path") : fileio_slurp(path, STATUS_MAX, &text, err);
	json_t *o = rc == 0 ? json_loadb((const char *)text.data, text.len, 0, NULL) : NULL;
	const char *hex = json_string_value(json_object_get(o, "repository"));
	s.pid = (pid_t)json_integer_value(json_object_get(o, "pid"));
	bool ok = hex != NULL && hex_decode(hex, MOUNTPOINT_REPO_LEN, s.repository) && s.pid > 0;
	if (ok) {
		s.url = copy_text(o, "url");
		s.version = copy_text(o, "version");
		s.spool_folder = copy_text(o, "spool_folder");
		ok = s.url != NULL && s.version != NULL && s.spool_folder != NULL;
	}
	if (ok)
		*ret = s;
	else
		mountpoint_status_release(&s);
	if (rc == 0 && !ok)
		rc = error_set(err, ERR_NOT_FOUND, "'%s' does not say who serves it", path);
	json_decref(o);
	buf_release(&text);
	free(path);
	return rc;
}

void mountpoint_status_release(struct mountpoint_status *status)
{
	if (status == NULL)
		return;
	free(status->url);
	free(status->version);
	free(status->spool_folder);
	*status = (struct mountpoint_status){0};
}
