/* SPDX-License-Identifier: MIT */
#ifndef BASE_HOST_H
#define BASE_HOST_H

/*
 * What drfs needs from its host beside files and clocks: randomness, guarded
 * memory for secrets, and names. host_init() is called once by main before
 * any thread starts (libsodium's own set-up; core dumps off; malloc arenas 2).
 */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

int host_init(struct error *err);
void host_random(void *dst, size_t len);
/* Guarded, locked where possible, wiped on free. NULL without memory. */
void *host_secret_alloc(size_t len);
/* NULL is a no-op. */
void host_secret_free(void *p);
void host_wipe(void *p, size_t len);
/* Compares without telling by time where the difference is. 1 when equal. */
int host_equal(const void *a, const void *b, size_t len);
/* The host's name. Caller frees. */
char *host_name(void);
/* Gives unused heap back to the system (malloc_trim). */
void host_trim(void);

/* Names of owners, cached, thread-safe. Caller frees names; NULL when there is none. */
struct owners;
struct owners *owners_new(void);
void owners_free(struct owners *owners);
/* Borrowed from the cache, "" when the number has no name. */
const char *owners_user_name(struct owners *owners, uid_t uid);
const char *owners_group_name(struct owners *owners, gid_t gid);
/* 0 and the number, or ERR_NOT_FOUND. */
int owners_find_user(struct owners *owners, const char *name, uid_t *ret_uid);
int owners_find_group(struct owners *owners, const char *name, gid_t *ret_gid);

#endif
