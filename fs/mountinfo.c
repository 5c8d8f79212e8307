/* SPDX-License-Identifier: MIT */
#include "fs/mountinfo.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

/* "\040" and the like become their byte, in place. */
static void unescape(char *text)
{
	char *to = text;
	for (const char *p = text; *p != '\0'; p++) {
		bool escape = p[0] == '\\' && p[1] >= '0' && p[1] <= '3' && p[2] >= '0' && p[2] <= '7' && p[3] >= '0' &&
			      p[3] <= '7';
		*to++ = escape ? (char)((p[1] - '0') * 64 + (p[2] - '0') * 8 + (p[3] - '0')) : *p;
		p += escape ? 3 : 0;
	}
	*to = '\0';
}

/* The next word; NULL at the end of the line. */
static char *word(char **line)
{
	return strsep(line, " \n");
}

bool mountinfo_parse(char *line, struct mountinfo_row *ret)
{
	unsigned major_number = 0, minor_number = 0;
	word(&line);
	word(&line);
	const char *dev = word(&line);
	char *root = word(&line), *mountpoint = word(&line);
	if (mountpoint == NULL || sscanf(dev, "%u:%u", &major_number, &minor_number) != 2)
		return false;
	/* Options, then any number of optional fields, then a dash. */
	const char *field = word(&line);
	while (field != NULL && strcmp(field, "-") != 0)
		field = word(&line);
	char *type = word(&line);
	if (field == NULL || type == NULL)
		return false;
	unescape(root);
	unescape(mountpoint);
	unescape(type);
	*ret = (struct mountinfo_row){
		.dev = makedev(major_number, minor_number), .root = root, .mountpoint = mountpoint, .type = type};
	return true;
}

bool mountinfo_is_drfs(const struct mountinfo_row *row)
{
	return strcmp(row->type, "fuse.drfs") == 0;
}

int mountinfo_each(int (*fn)(void *arg, const struct mountinfo_row *row), void *arg, struct error *err)
{
	FILE *list = fopen("/proc/self/mountinfo", "re");
	char *line = NULL;
	size_t cap = 0;
	int rc = 0;
	if (list == NULL)
		return error_set(err, ERR_IO, "cannot read '/proc/self/mountinfo': %s", strerror(errno));
	while (rc == 0 && getline(&line, &cap, list) > 0) {
		struct mountinfo_row row;
		if (mountinfo_parse(line, &row))
			rc = fn(arg, &row);
	}
	free(line);
	fclose(list);
	return rc;
}
