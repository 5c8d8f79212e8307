/* SPDX-License-Identifier: MIT */
#ifndef BASE_HOST_H
#define BASE_HOST_H

/*
 * What drfs needs from its host beside files and clocks: randomness, guarded
 * memory for secrets, threads, and names. host_init() is called once by main before
 * any thread starts (libsodium's own set-up; core dumps off; malloc arenas 2).
 */

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

/* Once, before any thread; again is harmless. ERR_UNSUPPORTED where there is no source of random numbers. */
int host_init(struct error *err);
/* Bytes fit for keys. Never fails: without a source of them the process aborts. */
void host_random(void *dst, size_t len);
/* Guarded, locked where possible, wiped on free. NULL without memory. */
void *host_secret_alloc(size_t len);
/* Wipes and frees. NULL is a no-op. */
void host_secret_free(void *p);
/* Zeros that the compiler cannot leave out. */
void host_wipe(void *p, size_t len);
/* Compares without telling by time where the difference is. 1 when equal. */
int host_equal(const void *a, const void *b, size_t len);
/* The host's name, "localhost" where it has none. Caller frees; NULL without memory. */
char *host_name(void);
/* Gives unused heap back to the system (malloc_trim). */
void host_trim(void);
/* Begins a thread with all signals blocked: they are for the main thread, whose cores it may use, even when the calling
 * thread is bound to one. 0 or an errno. The caller joins or detaches it. */
int host_thread(pthread_t *ret_thread, void *(*fn)(void *arg), void *arg);

/*
 * Names of owners, cached, thread-safe. The user database is asked without a lock held; it may ask the network.
 */
struct owners;
/* An empty cache. NULL without memory. */
struct owners *owners_new(void);
/* Ends every name that was borrowed. NULL is a no-op. */
void owners_free(struct owners *owners);
/* Borrowed from the cache until owners_free(); "" when the number has no name (or without memory). */
const char *owners_user_name(struct owners *owners, uid_t uid);
/* Likewise for a group. */
const char *owners_group_name(struct owners *owners, gid_t gid);
/* 0 and the number of that name, or ERR_NOT_FOUND. */
int owners_find_user(struct owners *owners, const char *name, uid_t *ret_uid);
/* Likewise for a group. */
int owners_find_group(struct owners *owners, const char *name, gid_t *ret_gid);

#endif
