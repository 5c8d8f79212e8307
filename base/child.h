/* SPDX-License-Identifier: MIT */
#ifndef BASE_CHILD_H
#define BASE_CHILD_H

/*
 * What a program that drfs starts gets from it, for posix_spawn(): signals as
 * it expects to find them, and an environment without the repository's
 * passphrase. Functions without state; any thread may call them.
 */

#include <spawn.h>
#include <stdbool.h>

/* Sets in an initialised `attr`: no signal blocked or ignored; and, where asked for, a process group of its own, so
 * that all it starts can be ended with it. */
void child_attributes(posix_spawnattr_t *attr, bool own_group);

/*
 * The caller's environment without what opens the repository, which is nobody else's business, and with `variables`
 * ("NAME=value", NULL-terminated, may be NULL) in place of those of the same names. The array alone is the caller's to
 * free; NULL without memory.
 */
char **child_environment(const char *const *variables);

#endif
