/* SPDX-License-Identifier: MIT */
/* Who asks name by name, and the thread that lists for him. */
#include "fs/ahead.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/clock.h"
#include "base/host.h"
#include "fs/ahead_walk.h"
#include "fs/mountinfo.h"
#include "fs/nodeid.h"

enum {
	FOUND_LEAST = 8,         /* names of a folder found in a row before it is listed */
	BUDGET_FIRST = 4096,     /* entries */
	BUDGET_TIMES = 8,        /* more of them where the last did not reach */
	BUDGET_MOST = 128 << 10, /* the kernel keeps about 1.3 KB of each, until it needs the room */
	SEEN = 4096              /* folders of a walk that are remembered */
};
static const int64_t in_a_row = CLOCK_SECOND, soon_again = 10 * CLOCK_SECOND;

struct ahead {
	int mount; /* the detached copy; the watcher's to close */
	dev_t dev; /* of the mount */
	int stop_fd;
	pthread_t watcher;
	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t wake;
	pthread_t thread;
	bool running, stopping, walking;
	struct ahead_rule rule;
	uint64_t wanted; /* a folder to go on from; 0: none */
	unsigned budget;
	uint64_t seen[SEEN]; /* by hash: what the last walk has listed */
	int64_t walked;      /* when it ended; INT64_MAX: it has not */
};

static unsigned give(struct ahead_rule *r, int64_t now)
{
	bool again = r->budget != 0 && now - r->given < soon_again;

	r->budget = again ? (unsigned)min_u64((uint64_t)r->budget * BUDGET_TIMES, BUDGET_MOST) : BUDGET_FIRST;
	r->given = now;
	return r->budget;
}

unsigned ahead_judge(struct ahead_rule *r, uint64_t folder, int64_t now)
{
	size_t at = 0;

	for (size_t i = 0; i < AHEAD_RECENT && r->recent[at].folder != folder; i++)
		if (r->recent[i].folder == folder || r->recent[i].since < r->recent[at].since)
			at = i;
	if (r->recent[at].folder != folder || now - r->recent[at].since > in_a_row)
		r->recent[at].count = 0;
	r->recent[at].folder = folder;
	r->recent[at].since = now;
	/* Not again for each name that follows, but when as many more were asked for. */
	return ++r->recent[at].count % FOUND_LEAST == 0 ? give(r, now) : 0;
}

static bool was_seen(const struct ahead *a, uint64_t folder, int64_t now)
{
	return a->seen[folder % SEEN] == folder && (a->walked == INT64_MAX || now - a->walked < in_a_row);
}

/* Before a folder is listed: not where it is to end, or to begin elsewhere. */
static bool go_on(void *arg, uint64_t folder)
{
	struct ahead *a = arg;

	pthread_mutex_lock(&a->lock);
	bool on = !a->stopping && a->wanted == 0;
	if (on)
		a->seen[folder % SEEN] = folder;
	pthread_mutex_unlock(&a->lock);
	return on;
}

static void walk_locked(struct ahead *a)
{
	struct ahead_walk walk = {.mount = a->mount, .budget = a->budget, .go_on = go_on, .arg = a};
	uint64_t from = a->wanted;

	a->wanted = 0;
	a->walking = true;
	a->walked = INT64_MAX;
	memset(a->seen, 0, sizeof(a->seen));
	pthread_mutex_unlock(&a->lock);
	ahead_walk(&walk, from);
	pthread_mutex_lock(&a->lock);
	a->walking = false;
	a->walked = clock_monotonic();
	pthread_cond_broadcast(&a->wake);
}

static void *thread_main(void *arg)
{
	struct ahead *a = arg;

	pthread_mutex_lock(&a->lock);
	while (!a->stopping) {
		if (a->wanted != 0)
			walk_locked(a);
		else
			pthread_cond_wait(&a->wake, &a->lock);
	}
	pthread_mutex_unlock(&a->lock);
	return NULL;
}

/* ---- the watcher ---- */

static int is_ours(void *arg, const struct mountinfo_row *row)
{
	const struct ahead *a = arg;

	return row->dev == a->dev;
}

/* No walk is under way when this returns, and none begins. */
static void end_walks(struct ahead *a)
{
	pthread_mutex_lock(&a->lock);
	a->stopping = true;
	pthread_cond_broadcast(&a->wake);
	while (a->walking)
		pthread_cond_wait(&a->wake, &a->lock);
	pthread_mutex_unlock(&a->lock);
}

/* Until the mount is gone, or the session at its end: the copy must not be what keeps the file system alive. */
static void *watch(void *arg)
{
	struct ahead *a = arg;
	int list = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
	struct pollfd fds[] = {{.fd = list, .events = POLLPRI}, {.fd = a->stop_fd, .events = POLLIN}};

	while (list >= 0 && mountinfo_each(is_ours, a, NULL) == 1) {
		while (poll(fds, 2, -1) < 0 && errno == EINTR)
			;
		if (fds[1].revents != 0)
			break;
	}
	end_walks(a);
	close(a->mount);
	if (list >= 0)
		close(list);
	return NULL;
}

static bool open_mount(struct ahead *a, const char *mountpoint)
{
	struct statx st;

	a->mount = open_tree(AT_FDCWD, mountpoint, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (a->mount < 0 || statx(a->mount, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_INO, &st) != 0)
		return false;
	a->dev = makedev(st.stx_dev_major, st.stx_dev_minor);
	return mountinfo_each(is_ours, a, NULL) == 1;
}

int ahead_new(const char *mountpoint, struct ahead **ret, struct error *err)
{
	*ret = NULL;
	if (geteuid() != 0)
		return 0;
	struct ahead *a = calloc(1, sizeof(*a));
	if (a == NULL)
		return error_no_memory(err, "the mount");
	a->mount = -1;
	a->stop_fd = eventfd(0, EFD_CLOEXEC);
	pthread_mutex_init(&a->lock, NULL);
	pthread_cond_init(&a->wake, NULL);
	if (a->stop_fd >= 0 && open_mount(a, mountpoint) && host_thread(&a->watcher, watch, a) == 0) {
		*ret = a;
		return 0;
	}
	if (a->mount >= 0)
		close(a->mount);
	if (a->stop_fd >= 0)
		close(a->stop_fd);
	free(a);
	return 0;
}

void ahead_found(struct ahead *a, uint64_t folder)
{
	struct nodeid node;

	if (a == NULL || !nodeid_parse(folder, &node) || (node.kind != NODEID_ENTRY && node.kind != NODEID_WORK))
		return;
	int64_t now = clock_monotonic();
	pthread_mutex_lock(&a->lock);
	bool listed = was_seen(a, folder, now);
	unsigned budget = listed || a->stopping ? 0 : ahead_judge(&a->rule, folder, now);
	if (budget > 0) {
		a->wanted = folder;
		a->budget = budget;
		if (a->running)
			pthread_cond_broadcast(&a->wake);
		else
			a->running = host_thread(&a->thread, thread_main, a) == 0;
	}
	pthread_mutex_unlock(&a->lock);
}

void ahead_stop(struct ahead *a)
{
	uint64_t one = 1;

	if (a == NULL)
		return;
	while (write(a->stop_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

void ahead_free(struct ahead *a)
{
	if (a == NULL)
		return;
	ahead_stop(a);
	pthread_join(a->watcher, NULL);
	if (a->running)
		pthread_join(a->thread, NULL);
	close(a->stop_fd);
	pthread_cond_destroy(&a->wake);
	pthread_mutex_destroy(&a->lock);
	free(a);
}
