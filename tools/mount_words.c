/* SPDX-License-Identifier: MIT */
#include "tools/mount_words.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/clock.h"

/* fstab and mount(8) say these to every file system. Snapshots are read-only whatever rw says. */
static const char *const passed_over[] = {"_netdev", "async", "atime", "auto", "defaults", "dev", "diratime", "dirsync",
	"exec", "group", "iversion", "lazytime", "loud", "mand", "noatime", "noauto", "nodev", "nodiratime", "noexec",
	"nofail", "noiversion", "nolazytime", "nomand", "norelatime", "nostrictatime", "nosuid", "nouser", "owner",
	"private", "relatime", "remount", "rw", "shared", "silent", "slave", "strictatime", "suid", "sync", "user",
	"users"};
static const char *const passed_over_from[] = {"x-", "X-", "comment=", "user=", "fsname=", "subtype="};

static bool means_nothing(const char *word)
{
	for (size_t i = 0; i < ARRAY_LEN(passed_over); i++)
		if (strcmp(word, passed_over[i]) == 0)
			return true;
	for (size_t i = 0; i < ARRAY_LEN(passed_over_from); i++)
		if (strncmp(word, passed_over_from[i], strlen(passed_over_from[i])) == 0)
			return true;
	return false;
}

/* The value of "name=value"; NULL for another word. */
static const char *value_of(const char *word, const char *name)
{
	size_t n = strlen(name);

	return strncmp(word, name, n) == 0 && word[n] == '=' ? word + n + 1 : NULL;
}

static int take_cache(struct cli *cli, struct mount_request *q, const char *value)
{
	uint64_t bytes;

	if (!conf_parse_size(value, &bytes) || bytes == 0 || bytes > SIZE_MAX / 2)
		return cli_usage(cli, "-o cache= takes a size, as 256M, not '%s'", value);
	q->o.cache_bytes = (size_t)bytes;
	return CLI_OK;
}

static int take_poll(struct cli *cli, struct mount_request *q, const char *value)
{
	if (!clock_parse_duration(value, &q->o.poll_ns) || q->o.poll_ns < CLOCK_SECOND / 10)
		return cli_usage(cli, "-o poll= takes a time, as 30s, not '%s'", value);
	return CLI_OK;
}

/* What the mount names comes before what the environment had. */
static int take_path(struct cli *cli, const char *name, const char *value)
{
	if (value[0] == '\0' || setenv(name, value, 1) != 0)
		return cli_usage(cli, "-o key_file=, password_file= and config= take a path");
	return CLI_OK;
}

static int take_secret(struct cli *cli, const char *name, const char *value)
{
	unsetenv("DRFS_KEY_FILE");
	unsetenv("DRFS_PASSWORD");
	return take_path(cli, name, value);
}

static int take_word(struct cli *cli, struct mount_request *q, const char *word)
{
	const char *value;

	if ((value = value_of(word, "cache")) != NULL)
		return take_cache(cli, q, value);
	if ((value = value_of(word, "poll")) != NULL)
		return take_poll(cli, q, value);
	if ((value = value_of(word, "key_file")) != NULL)
		return take_secret(cli, "DRFS_KEY_FILE", value);
	if ((value = value_of(word, "password_file")) != NULL)
		return take_secret(cli, "DRFS_PASSWORD_FILE", value);
	if ((value = value_of(word, "config")) != NULL)
		return take_path(cli, "DRFS_CONFIG", value);
	if (strcmp(word, "allow_other") == 0)
		q->o.allow_other = true;
	else if (strcmp(word, "no_spool") == 0 || strcmp(word, "ro") == 0)
		q->o.no_spool = true;
	else if (strcmp(word, "debug") == 0)
		q->o.debug = true;
	else if (word[0] != '\0' && !means_nothing(word))
		return cli_usage(cli,
			"-o does not know '%s'; it takes cache=, poll=, allow_other, no_spool, key_file=, "
			"password_file=, config= and the words of fstab",
			word);
	return CLI_OK;
}

int mount_words_take(struct cli *cli, struct mount_request *q, const char *list)
{
	char *copy = strdup(list); /* argv stays as it is: it is what ps shows */
	int code = copy == NULL ? CLI_FAILED : CLI_OK;

	for (char *save = NULL, *word = copy == NULL ? NULL : strtok_r(copy, ",", &save);
		word != NULL && code == CLI_OK; word = strtok_r(NULL, ",", &save))
		code = take_word(cli, q, word);
	free(copy);
	return code;
}
