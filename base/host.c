/* SPDX-License-Identifier: MIT */
#include "base/host.h"

#include <errno.h>
#include <malloc.h>
#include <sched.h>
#include <signal.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

int host_init(struct error *err)
{
	struct rlimit limit;
	if (sodium_init() < 0)
		return error_set(err, ERR_UNSUPPORTED, "libsodium finds no source of random numbers on this host");
	/* A core file would hold keys. The hard limit stays, for programs that drfs runs. Making the process
	 * undumpable as well would take /proc/self from a user who is not root, and with it mounting. */
	if (getrlimit(RLIMIT_CORE, &limit) < 0)
		return error_set_errno(err, errno, "cannot read the limit of core files");
	limit.rlim_cur = 0;
	if (setrlimit(RLIMIT_CORE, &limit) < 0)
		return error_set_errno(err, errno, "cannot turn core files off");
	/* One arena a thread would let the heap grow with the number of threads. */
	(void)mallopt(M_ARENA_MAX, 2);
	return 0;
}

void host_random(void *dst, size_t len)
{
	randombytes_buf(dst, len);
}

void *host_secret_alloc(size_t len)
{
	return sodium_malloc(len);
}

void host_secret_free(void *p)
{
	sodium_free(p);
}

void host_wipe(void *p, size_t len)
{
	if (len > 0)
		sodium_memzero(p, len);
}

int host_equal(const void *a, const void *b, size_t len)
{
	return sodium_memcmp(a, b, len) == 0;
}

char *host_name(void)
{
	char name[256];
	if (gethostname(name, sizeof(name)) < 0)
		return strdup("localhost");
	name[sizeof(name) - 1] = 0;
	return strdup(name[0] ? name : "localhost");
}

void host_trim(void)
{
	(void)malloc_trim(0);
}

/* A thread else begins with the cores of the one that makes it. */
static void with_all_cores(pthread_attr_t *attr)
{
	cpu_set_t cores;
	if (sched_getaffinity(getpid(), sizeof(cores), &cores) == 0)
		(void)pthread_attr_setaffinity_np(attr, sizeof(cores), &cores);
}

int host_thread(pthread_t *ret_thread, void *(*fn)(void *arg), void *arg)
{
	pthread_attr_t attr;
	int failed = pthread_attr_init(&attr);
	if (failed != 0)
		return failed;
	with_all_cores(&attr);
	sigset_t all;
	sigset_t before;
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	failed = pthread_create(ret_thread, &attr, fn, arg);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	return failed;
}
