/* SPDX-License-Identifier: MIT */

/* The shared credentials file and the configuration file, and a profile's values out of both. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backends/aws_impl.h"
#include "base/fileio.h"

enum { FILE_MOST = 1 << 20, SECTION_MOST = 256 };

/* ---- reading ---- */

int aws_read_secret(const char *path, size_t most, struct buf *ret, struct error *err)
{
	size_t len = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return error_set_errno(err, errno, "cannot open '%s'", path);
	/* All room at once: a buffer that grows leaves copies behind. */
	int rc = buf_reserve(ret, most + 1) ? 0 : error_no_memory(err, path);
	if (rc == 0)
		rc = fileio_read(fd, path, ret->data, most + 1, &len, err);
	(void)close(fd);
	if (rc < 0)
		return rc;
	if (len > most)
		return error_set(err, ERR_USAGE, "'%s' is larger than the %zu bytes that it can have", path, most);
	while (len > 0 && strchr(" \t\r\n", ret->data[len - 1]) != NULL && ret->data[len - 1] != '\0')
		len--;
	ret->data[len] = '\0';
	ret->len = len;
	return 0;
}

static char *file_path(const struct aws_options *o, const char *variable, const char *name)
{
	const char *given = aws_env(o, variable), *home = aws_env(o, "HOME");

	if (given != NULL && strncmp(given, "~/", 2) == 0 && home != NULL)
		return fileio_format("%s%s", home, given + 1);
	if (given != NULL)
		return strdup(given);
	return home != NULL ? fileio_format("%s/.aws/%s", home, name) : NULL;
}

static int load(
	const struct aws_options *o, const char *variable, const char *name, struct aws_file *ret, struct error *err)
{
	struct error why = ERROR_INIT;
	struct buf text = {0};
	int rc;

	ret->path = file_path(o, variable, name);
	if (ret->path == NULL) {
		bool memory = aws_env(o, variable) != NULL || aws_env(o, "HOME") != NULL;
		(void)snprintf(ret->why, sizeof(ret->why), "HOME is not set");
		return memory ? error_no_memory(err, "credentials") : 0;
	}
	rc = aws_read_secret(ret->path, FILE_MOST, &text, &why);
	if (rc == 0)
		rc = aws_ini_parse(ret->path, (const char *)text.data, text.len, &ret->ini, err);
	else if (rc == ERR_NOT_FOUND || (rc != ERR_USAGE && rc != ERR_NO_MEMORY && aws_env(o, variable) == NULL)) {
		(void)snprintf(ret->why, sizeof(ret->why), "%s", rc == ERR_NOT_FOUND ? "no such file" : "unreadable");
		rc = 0;
	} else {
		rc = error_set(err, (enum error_code)rc, "%s", error_text(&why));
	}
	buf_wipe(&text);
	return rc;
}

int aws_files_load(const struct aws_options *o, struct aws_files *ret, struct error *err)
{
	*ret = (struct aws_files){0};
	int rc = load(o, "AWS_SHARED_CREDENTIALS_FILE", "credentials", &ret->credentials, err);
	return rc < 0 ? rc : load(o, "AWS_CONFIG_FILE", "config", &ret->config, err);
}

void aws_files_release(struct aws_files *files)
{
	aws_ini_release(&files->credentials.ini);
	aws_ini_release(&files->config.ini);
	free(files->credentials.path);
	free(files->config.path);
	*files = (struct aws_files){0};
}

/* ---- looking up ---- */

/* The configuration file says "profile" before the name, but for the default one, where it may. */
static const char *config_section(const struct aws_files *files, const char *profile, char dst[static SECTION_MOST])
{
	int n = snprintf(dst, SECTION_MOST, "profile %s", profile);

	if (n < 0 || n >= SECTION_MOST)
		return "";
	if (strcmp(profile, "default") == 0 && !aws_ini_has(&files->config.ini, dst))
		return "default";
	return dst;
}

const char *aws_file_get(
	const struct aws_files *files, const struct aws_file *one, const char *profile, const char *name)
{
	char section[SECTION_MOST];

	return aws_ini_get(&one->ini, one == &files->config ? config_section(files, profile, section) : profile, name);
}

bool aws_files_has(const struct aws_files *files, const char *profile)
{
	char section[SECTION_MOST];

	return aws_ini_has(&files->credentials.ini, profile) ||
	       aws_ini_has(&files->config.ini, config_section(files, profile, section));
}

const char *aws_files_get(const struct aws_files *files, const char *profile, const char *name)
{
	const char *value = aws_file_get(files, &files->credentials, profile, name);

	return value != NULL ? value : aws_file_get(files, &files->config, profile, name);
}

/* In a section of services, which profiles share, or in the profile itself. */
const char *aws_profile_setting(const struct aws_files *files, const char *profile, const char *name)
{
	const char *services = strchr(name, '.') != NULL ? aws_files_get(files, profile, "services") : NULL;
	const char *value = NULL;
	char section[SECTION_MOST];

	if (services != NULL) {
		int n = snprintf(section, sizeof(section), "services %s", services);
		if (n > 0 && n < SECTION_MOST)
			value = aws_ini_get(&files->config.ini, section, name);
	}
	return value != NULL ? value : aws_files_get(files, profile, name);
}

static int put_name(const struct aws_file *file, const char *fallback, char *dst, size_t room)
{
	return snprintf(dst, room, "'%.150s'%s%s%s", file->path != NULL ? file->path : fallback,
		file->why[0] != '\0' ? " (" : "", file->why, file->why[0] != '\0' ? ")" : "");
}

const char *aws_files_names(const struct aws_files *files, char *dst, size_t room)
{
	int n = put_name(&files->credentials, "~/.aws/credentials", dst, room);

	if (n > 0 && (size_t)n + 5 < room) {
		memcpy(dst + n, " or ", 5);
		(void)put_name(&files->config, "~/.aws/config", dst + n + 4, room - (size_t)n - 4);
	}
	return dst;
}
