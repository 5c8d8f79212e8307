/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fileio.h"
#include "base/pool.h"

enum { CPUS_MAX = 65536, CGROUP_TEXT_MAX = 64 * 1024 };
#define CGROUP_ROOT "/sys/fs/cgroup"

/* The main thread's: others may be bound to one core. */
static unsigned affinity_cores(void)
{
	/* The kernel refuses a mask smaller than its own, so larger ones are tried. */
	for (unsigned cpus = 1024; cpus <= CPUS_MAX; cpus *= 4) {
		cpu_set_t *set = CPU_ALLOC(cpus);
		if (!set)
			break;
		int rc = sched_getaffinity(getpid(), CPU_ALLOC_SIZE(cpus), set);
		int n = rc == 0 ? CPU_COUNT_S(CPU_ALLOC_SIZE(cpus), set) : 0;
		CPU_FREE(set);
		if (n > 0)
			return (unsigned)n;
	}
	long n = sysconf(_SC_NPROCESSORS_ONLN);
	return n > 0 && n <= CPUS_MAX ? (unsigned)n : 1;
}

unsigned pool_quota_cores(const char *cpu_max)
{
	uint64_t quota;
	uint64_t period;
	if (sscanf(cpu_max, "%" SCNu64 " %" SCNu64, &quota, &period) != 2 || quota == 0 || period == 0)
		return CPUS_MAX; /* "max 100000": no quota */
	uint64_t cores = quota / period + (quota % period != 0);
	return cores < CPUS_MAX ? (unsigned)cores : CPUS_MAX;
}

/* A small file as a fresh C string, or NULL. */
static char *read_text(const char *path)
{
	struct buf b = {0};
	if (fileio_slurp(path, CGROUP_TEXT_MAX, &b, NULL) < 0)
		return NULL;
	buf_put_u8(&b, 0);
	if (!buf_failed(&b))
		return (char *)b.data;
	buf_release(&b);
	return NULL;
}

static unsigned quota_of_folder(const char *cgroup)
{
	char *path = fileio_format(CGROUP_ROOT "%s/cpu.max", cgroup);
	char *text = path ? read_text(path) : NULL;
	unsigned cores = text ? pool_quota_cores(text) : CPUS_MAX;
	free(text);
	free(path);
	return cores;
}

/* The least quota of this process's cgroup and of those above it; version 2 is the line that begins "0::". */
static unsigned quota_cores(void)
{
	char *text = read_text("/proc/self/cgroup");
	unsigned least = CPUS_MAX;
	char *line = text ? (strncmp(text, "0::", 3) == 0 ? text : strstr(text, "\n0::")) : NULL;
	char *path = line ? strchr(line, '/') : NULL;
	if (path) {
		path[strcspn(path, "\n")] = 0;
		for (char *slash; (slash = strrchr(path, '/')) != NULL; *slash = 0) {
			unsigned cores = quota_of_folder(path);
			least = cores < least ? cores : least;
		}
	}
	free(text);
	return least;
}

unsigned pool_cores(void)
{
	unsigned cores = affinity_cores();
	unsigned quota = quota_cores();
	return quota < cores ? quota : cores;
}
