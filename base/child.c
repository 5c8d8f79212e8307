/* SPDX-License-Identifier: MIT */
#include "base/child.h"

#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void child_attributes(posix_spawnattr_t *attr, bool own_group)
{
	sigset_t none, all;
	int flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;

	sigemptyset(&none);
	sigfillset(&all);
	sigdelset(&all, SIGKILL);
	sigdelset(&all, SIGSTOP);
	posix_spawnattr_setsigmask(attr, &none);
	posix_spawnattr_setsigdefault(attr, &all);
	posix_spawnattr_setpgroup(attr, 0);
	posix_spawnattr_setflags(attr, (short)(own_group ? flags | POSIX_SPAWN_SETPGROUP : flags));
}

static bool sets(const char *const *variables, const char *word)
{
	size_t n = strcspn(word, "=") + 1;

	for (; variables != NULL && *variables != NULL; variables++)
		if (strncmp(*variables, word, n) == 0)
			return true;
	return false;
}

static bool is_secret(const char *word)
{
	static const char prefix[] = "DRFS_PASSWORD";

	return strncmp(word, prefix, sizeof(prefix) - 1) == 0;
}

char **child_environment(const char *const *variables)
{
	extern char **environ;
	size_t n = 1, count = 0;

	for (char **e = environ; e != NULL && *e != NULL; e++)
		n++;
	for (const char *const *v = variables; v != NULL && *v != NULL; v++)
		n++;
	char **list = calloc(n, sizeof(char *));
	for (char **e = environ; list != NULL && e != NULL && *e != NULL; e++)
		if (!sets(variables, *e) && !is_secret(*e))
			list[count++] = *e;
	for (const char *const *v = variables; list != NULL && v != NULL && *v != NULL; v++)
		list[count++] = (char *)(uintptr_t)*v; /* posix_spawn() takes what it does not write as if it did */
	return list;
}
