/* SPDX-License-Identifier: MIT */
#include <pwd.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fileio.h"

/* A variable that holds an absolute path; others are ignored, as the XDG specification asks. */
static const char *env_path(const char *name)
{
	const char *value = getenv(name);
	return value && value[0] == '/' ? value : NULL;
}

const char *fileio_tmpdir(void)
{
	const char *dir = env_path("TMPDIR");
	if (dir)
		return dir;
	return access("/var/tmp", W_OK | X_OK) == 0 ? "/var/tmp" : "/tmp";
}

/* The user's home folder, from the environment or the user database. Caller frees; NULL when there is none. */
static char *home_dir(void)
{
	enum { RECORD_MAX = 16 * 1024 };
	const char *home = env_path("HOME");
	if (home)
		return strdup(home);
	char *space = malloc(RECORD_MAX);
	struct passwd pw;
	struct passwd *found = NULL;
	char *copy = NULL;
	if (space && getpwuid_r(geteuid(), &pw, space, RECORD_MAX, &found) == 0 && found && found->pw_dir[0] == '/')
		copy = strdup(found->pw_dir);
	free(space);
	return copy;
}

static char *tmp_named_for_user(void)
{
	return fileio_format("/tmp/drfs-%u", (unsigned)geteuid());
}

static char *drfs_dir(const char *variable, const char *below_home, const char *of_root)
{
	const char *base = env_path(variable);
	if (base)
		return fileio_format("%s/drfs", base);
	if (geteuid() == 0)
		return strdup(of_root);
	char *home = home_dir();
	char *dir = home ? fileio_format("%s/%s/drfs", home, below_home) : tmp_named_for_user();
	free(home);
	return dir;
}

char *fileio_cache_dir(void)
{
	return drfs_dir("XDG_CACHE_HOME", ".cache", "/var/cache/drfs");
}
char *fileio_state_dir(void)
{
	return drfs_dir("XDG_STATE_HOME", ".local/state", "/var/lib/drfs");
}

/* Anyone may have made that name in /tmp before us: it must be a folder of this user's that nobody else can enter. */
static bool is_private_dir(const char *path)
{
	struct stat st;
	if (mkdir(path, 0700) == 0)
		return true;
	return lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid() && (st.st_mode & 077) == 0;
}

char *fileio_runtime_dir(void)
{
	const char *base = env_path("XDG_RUNTIME_DIR");
	if (base)
		return fileio_format("%s/drfs", base);
	if (geteuid() == 0)
		return strdup("/run/drfs");
	char *dir = tmp_named_for_user();
	if (dir && !is_private_dir(dir)) {
		free(dir);
		dir = NULL;
	}
	return dir;
}

char *fileio_runtime_place(unsigned at)
{
	const char *base = env_path("XDG_RUNTIME_DIR");
	if (base && at-- == 0)
		return fileio_format("%s/drfs", base);
	if (at == 0)
		return geteuid() == 0 ? strdup("/run/drfs") : tmp_named_for_user();
	/* Where a login session has the variable point. */
	return at == 1 ? fileio_format("/run/user/%u/drfs", (unsigned)geteuid()) : NULL;
}
