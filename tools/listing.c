/* SPDX-License-Identifier: MIT */
#include "tools/listing.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/hex.h"

const char *listing_type(uint32_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return "file";
	case S_IFDIR:
		return "dir";
	case S_IFLNK:
		return "symlink";
	case S_IFCHR:
		return "char";
	case S_IFBLK:
		return "block";
	case S_IFIFO:
		return "fifo";
	case S_IFSOCK:
		return "socket";
	default:
		return "unknown";
	}
}

static char type_letter(uint32_t mode)
{
	static const char letters[] = "?pc?d?b?-?l?s???";

	return letters[(mode & S_IFMT) >> 12];
}

static void mode_text(uint32_t mode, char dst[11])
{
	static const char bits[] = "rwxrwxrwx";

	dst[0] = type_letter(mode);
	for (int i = 0; i < 9; i++)
		dst[i + 1] = (mode & (0400u >> i)) != 0 ? bits[i] : '-';
	if ((mode & S_ISUID) != 0)
		dst[3] = dst[3] == 'x' ? 's' : 'S';
	if ((mode & S_ISGID) != 0)
		dst[6] = dst[6] == 'x' ? 's' : 'S';
	if ((mode & S_ISVTX) != 0)
		dst[9] = dst[9] == 'x' ? 't' : 'T';
	dst[10] = '\0';
}

static void owner_text(const char *name, uint32_t number, char *dst, size_t cap)
{
	if (name != NULL && name[0] != '\0')
		hex_printable_to(name, strlen(name), dst, cap);
	else
		snprintf(dst, cap, "%u", number);
}

void listing_long(FILE *out, const struct entry *e)
{
	char mode[11], user[64], group[64], when[32] = "?";
	time_t t = (time_t)e->mtime.sec;
	struct tm tm;

	mode_text(e->mode, mode);
	owner_text(e->user, e->uid, user, sizeof(user));
	owner_text(e->group, e->gid, group, sizeof(group));
	if (gmtime_r(&t, &tm) != NULL)
		strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &tm);
	fprintf(out, "%s %2u %-8s %-8s ", mode, e->nlink == 0 ? 1 : e->nlink, user, group);
	if (S_ISCHR(e->mode) || S_ISBLK(e->mode))
		fprintf(out, "%6u,%6u", e->rdev_major, e->rdev_minor);
	else
		fprintf(out, "%13llu", (unsigned long long)e->size);
	fprintf(out, " %s ", when);
}

void listing_name(FILE *out, const void *name, size_t len, bool raw)
{
	char *shown = raw ? NULL : hex_printable(name, len);

	if (shown != NULL)
		fputs(shown, out);
	else
		fwrite(name, 1, len, out);
	free(shown);
}

static json_t *time_of(const struct entry_time *t)
{
	char text[64];
	time_t sec = (time_t)t->sec;
	struct tm tm;

	if (gmtime_r(&sec, &tm) == NULL)
		return json_null();
	size_t n = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text + n, sizeof(text) - n, ".%09uZ", t->nsec);
	return json_string(text);
}

void listing_text(FILE *out, const char *text)
{
	listing_name(out, text, strlen(text), isatty(fileno(out)) == 0);
}

json_t *listing_json(const struct entry *e, const void *path, size_t path_len)
{
	char mode[8];
	json_t *o = json_object();

	snprintf(mode, sizeof(mode), "%04o", e->mode & 07777u);
	jsonout_set_name(o, "path", path, path_len);
	json_object_set_new(o, "type", json_string(listing_type(e->mode)));
	json_object_set_new(o, "mode", json_string(mode));
	json_object_set_new(o, "size", json_integer((json_int_t)e->size));
	json_object_set_new(o, "mtime", time_of(&e->mtime));
	json_object_set_new(o, "uid", json_integer(e->uid));
	json_object_set_new(o, "gid", json_integer(e->gid));
	json_object_set_new(
		o, "user", jsonout_text(e->user == NULL ? "" : e->user, e->user == NULL ? 0 : strlen(e->user)));
	json_object_set_new(
		o, "group", jsonout_text(e->group == NULL ? "" : e->group, e->group == NULL ? 0 : strlen(e->group)));
	if (S_ISLNK(e->mode))
		jsonout_set_name(o, "target", e->target, e->target_len);
	return o;
}
