/* SPDX-License-Identifier: MIT */
/* Looks where a caller runs, and binds the request threads there. */
#include "fs/follow.h"

#include <fcntl.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

enum {
	THREADS_MOST = 64,        /* more are left alone */
	LOOK_EVERY = 4,           /* requests; a look takes some 3 us */
	LARGE_REQUEST = 64 << 10, /* bytes of one request that count as bulk */
	BULK = 512 << 10,         /* so many of them between two looks: streaming */
	STAT_TEXT = 1024,
	STAT_CORE = 39, /* proc(5): the field of /proc/…/stat that tells the core; the name is the second */
	NEVER = -2,     /* a thread whose cores were not set yet: bound like who made it, perhaps */
};

struct thread {
	atomic_int tid; /* 0: none */
	int home;       /* what it was bound to; of who holds `looking` */
};

struct follow {
	cpu_set_t all; /* what the process may use */
	atomic_uint requests;
	atomic_size_t bulk; /* bytes of large requests since the last look */
	struct thread threads[THREADS_MOST];
	atomic_flag looking; /* held by who looks; all below is his */
	struct follow_rule rule;
	struct follow_trial trial;
	pid_t open_of; /* whose stat file is open */
	int stat_fd;   /* -1: none */
};

struct follow *follow_new(void)
{
	struct follow *f = calloc(1, sizeof(*f));

	if (f == NULL)
		return NULL;
	if (sched_getaffinity(getpid(), sizeof(f->all), &f->all) != 0 || CPU_COUNT(&f->all) < 2) {
		free(f);
		return NULL;
	}
	f->rule = FOLLOW_RULE_INIT;
	f->trial = FOLLOW_TRIAL_INIT;
	for (size_t i = 0; i < THREADS_MOST; i++)
		f->threads[i].home = NEVER;
	f->stat_fd = -1;
	atomic_flag_clear(&f->looking);
	return f;
}

void follow_free(struct follow *f)
{
	if (f == NULL)
		return;
	if (f->stat_fd >= 0)
		close(f->stat_fd);
	free(f);
}

/* The calling thread is one that answers requests. */
static void enlist(struct follow *f)
{
	int tid = gettid();

	for (size_t i = 0; i < THREADS_MOST; i++) {
		int there = atomic_load_explicit(&f->threads[i].tid, memory_order_relaxed);
		if (there == tid)
			return;
		if (there == 0 && atomic_compare_exchange_strong(&f->threads[i].tid, &there, tid))
			return;
	}
}

/* The number in field STAT_CORE; the name before may hold spaces and brackets. */
static int parse_core(const char *text)
{
	const char *at = strrchr(text, ')');

	for (int field = 2; at != NULL && field < STAT_CORE; field++) {
		at = strchr(at, ' ');
		at = at != NULL ? at + 1 : NULL;
	}
	return at != NULL && *at >= '0' && *at <= '9' ? (int)strtol(at, NULL, 10) : FOLLOW_FREE;
}

static int open_stat(struct follow *f, pid_t caller)
{
	char path[64];

	if (f->open_of == caller && f->stat_fd >= 0)
		return f->stat_fd;
	if (f->stat_fd >= 0)
		close(f->stat_fd);
	snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", caller, caller);
	f->stat_fd = open(path, O_RDONLY | O_CLOEXEC);
	f->open_of = caller;
	return f->stat_fd;
}

static int core_of(struct follow *f, pid_t caller)
{
	char text[STAT_TEXT];
	int fd = open_stat(f, caller);
	ssize_t n = fd >= 0 ? pread(fd, text, sizeof(text) - 1, 0) : -1;

	if (n <= 0) {
		f->open_of = 0; /* it has ended; its number may be another's by now */
		return FOLLOW_FREE;
	}
	text[n] = '\0';
	int core = parse_core(text);
	return core >= 0 && core < CPU_SETSIZE && CPU_ISSET((size_t)core, &f->all) ? core : FOLLOW_FREE;
}

/* All but the calling thread, which is at work where it is: another one's look will find it. */
static void bind_threads(struct follow *f, int home)
{
	int self = gettid();
	cpu_set_t one;

	CPU_ZERO(&one);
	if (home != FOLLOW_FREE)
		CPU_SET((size_t)home, &one);
	for (size_t i = 0; i < THREADS_MOST; i++) {
		struct thread *t = &f->threads[i];
		int tid = atomic_load_explicit(&t->tid, memory_order_relaxed);
		if (tid == 0)
			break;
		if (tid == self || t->home == home)
			continue;
		(void)sched_setaffinity(tid, sizeof(one), home != FOLLOW_FREE ? &one : &f->all);
		t->home = home;
	}
}

/* Where threads are to be from now on. */
static int home_for(struct follow *f, pid_t caller, bool bulk)
{
	int home = follow_judge(&f->rule, caller, core_of(f, caller), bulk);

	if (home == FOLLOW_FREE) {
		follow_weigh_none(&f->trial);
		return FOLLOW_FREE;
	}
	return follow_weigh(&f->trial, caller, clock_monotonic()) == FOLLOW_BOUND ? home : FOLLOW_FREE;
}

void follow_request(struct follow *f, pid_t caller, size_t bytes)
{
	if (f == NULL)
		return;
	enlist(f);
	if (bytes >= LARGE_REQUEST)
		atomic_fetch_add_explicit(&f->bulk, bytes, memory_order_relaxed);
	unsigned n = atomic_fetch_add_explicit(&f->requests, 1, memory_order_relaxed);
	if (n % LOOK_EVERY != 0 || caller == 0 || atomic_flag_test_and_set(&f->looking))
		return;
	bool bulk = atomic_exchange_explicit(&f->bulk, 0, memory_order_relaxed) >= BULK;
	bind_threads(f, home_for(f, caller, bulk));
	atomic_flag_clear(&f->looking);
}
