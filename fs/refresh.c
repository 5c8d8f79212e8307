/* SPDX-License-Identifier: MIT */
#include "fs/refresh.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "archive/seen.h"
#include "base/clock.h"
#include "base/host.h"

enum { CALLS_MAX = 16, MS_MAX = 3600 * 1000 };
static const int64_t folder_interval = 5 * CLOCK_SECOND, store_interval = 30 * CLOCK_SECOND;

struct refresh {
	struct serve *serve;
	struct catalog *catalog;
	struct announce *announce;
	struct invalidate *inv;
	const struct snapset *set; /* the one shown; owned reference, of the thread alone */
	int64_t shown_at;          /* clock_monotonic() when that began */
	size_t faults_told;
	bool failing;
	int stop_fd, ask_fd;
	bool running;
	pthread_t thread;
	pthread_mutex_t spool_lock; /* held while the spool is told, so that it stays; else for no time */
	struct spool *spool;        /* under that lock; NULL: none */
	pthread_mutex_t lock;
	pthread_cond_t answered;
	uint64_t asked, done; /* looks that were asked for, and made; both under the lock */
	bool serving;         /* the thread answers; under the lock */
};

/* Damaged or foreign statements are no reason to stop; each new crop is said once. */
static void tell_faults(struct refresh *p, const struct snapset *set)
{
	for (size_t i = 0; set->fault_count > p->faults_told && i < set->fault_count; i++)
		log_warn(p->serve->options->log, "a snapshot or mark is left out: %s", set->faults[i].reason);
	p->faults_told = set->fault_count;
}

static void note_look(struct serve_poll *state, const struct error *err)
{
	pthread_mutex_lock(&state->lock);
	state->error[0] = '\0';
	if (err == NULL)
		state->last = clock_now();
	else
		strncpy(state->error, error_text(err), sizeof(state->error) - 1);
	pthread_mutex_unlock(&state->lock);
}

/* Shows a set that was loaded; takes its reference over in any case. */
static int show(struct refresh *p, const struct snapset *set, struct error *err)
{
	const struct epoch *epoch = NULL, *old = p->set != NULL ? namespace_epoch(p->serve->ns) : NULL;
	int rc = epoch_new(set, old, &epoch, err);
	if (rc < 0) {
		snapset_unref(set);
		goto out;
	}
	snapset_unref(p->set);
	p->set = snapset_ref(set);
	tell_faults(p, set);
	namespace_show(p->serve->ns, epoch_ref(epoch));
	p->shown_at = clock_monotonic();
	pthread_mutex_lock(&p->spool_lock);
	if (p->spool != NULL)
		spool_show(p->spool, epoch);
	pthread_mutex_unlock(&p->spool_lock);
	if (old != NULL && p->inv != NULL)
		invalidate_changes(p->inv, old, epoch);
	epoch_unref(epoch);
	host_trim();
out:
	epoch_unref(old);
	return rc;
}

static bool is_forgotten(const struct snapset *set, const struct id *id)
{
	for (size_t i = 0; i < set->forgotten_count; i++)
		if (id_equal(&set->forgotten[i], id))
			return true;
	return false;
}

/*
 * Snapshots go by being forgotten. When all are gone and nobody forgot them, a disk was taken away or a folder emptied:
 * a mount that showed that would tell a running rsync --delete that everything was removed.
 */
static bool all_lost(const struct snapset *old, const struct snapset *now)
{
	if (old == NULL || now->count > 0)
		return false;
	for (size_t i = 0; i < old->count; i++)
		if (!is_forgotten(now, &old->list[i]->id))
			return true;
	return false;
}

static int look(struct refresh *p, struct error *err)
{
	const struct snapset *set = NULL;
	struct seen *seen = p->serve->options->seen;
	int rc = seen_load(seen, p->serve->repo, p->catalog, p->set, &set, err);
	if (rc < 0)
		return rc;
	if (all_lost(p->set, set)) {
		snapset_unref(set);
		return error_set(err, ERR_UNAVAILABLE, "'%s' lists no snapshot any more, and none was forgotten",
			p->serve->repo->store->url);
	}
	seen_tell(seen);
	if (set != p->set)
		return show(p, set, err);
	snapset_unref(set);
	return 0;
}

/* As look(), for the thread: tells the first failure of a row, and the end of it. */
static void look_again(struct refresh *p)
{
	struct error err = ERROR_INIT;
	struct log *log = p->serve->options->log;
	bool failed = look(p, &err) < 0;
	if (failed && !p->failing)
		log_warn(log, "cannot look for new snapshots, what is known stays: %s", error_text(&err));
	else if (!failed && p->failing)
		log_notice(log, "looking for new snapshots works again");
	p->failing = failed;
	note_look(&p->serve->poll, failed ? &err : NULL);
}

int refresh_new(struct serve *serve, struct catalog *catalog, struct refresh **ret, struct error *err)
{
	bool local = (serve->repo->store->features & STORE_LOCAL) != 0;
	pthread_condattr_t attr;
	struct refresh *p = calloc(1, sizeof(*p));
	if (p == NULL)
		return error_no_memory(err, "the poll");
	*p = (struct refresh){.serve = serve,
		.catalog = catalog,
		.stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
		.ask_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
	pthread_mutex_init(&p->lock, NULL);
	pthread_mutex_init(&p->spool_lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&p->answered, &attr);
	pthread_condattr_destroy(&attr);
	serve->poll.interval = serve->options->poll_ns > 0 ? serve->options->poll_ns
			       : local                     ? folder_interval
							   : store_interval;
	int rc = p->stop_fd < 0 || p->ask_fd < 0 ? error_set_errno(err, errno, "cannot make an eventfd") : look(p, err);
	if (rc < 0) {
		refresh_free(p);
		return rc;
	}
	note_look(&serve->poll, NULL);
	*ret = p;
	return 0;
}

/* Waits until the kernel has forgotten where latest led before. */
static void settle(const struct refresh *p)
{
	int64_t left = p->shown_at + NAMESPACE_SETTLE_MS * (CLOCK_SECOND / 1000) - clock_monotonic();
	struct pollfd stop = {.fd = p->stop_fd, .events = POLLIN};
	if (left > 0)
		(void)poll(&stop, 1, (int)(left / (CLOCK_SECOND / 1000)) + 1);
}

/* Answers commands that wait: with one look for all of them, unless what they mean is shown already. */
static void answer_calls(struct refresh *p)
{
	struct announce_call calls[CALLS_MAX];
	unsigned count = announce_take(p->announce, calls, CALLS_MAX);
	bool known = count > 0;
	for (unsigned i = 0; i < count; i++)
		known = known && !id_is_zero(&calls[i].snapshot) && snapset_by_id(p->set, &calls[i].snapshot) != NULL;
	if (count > 0 && !known)
		look_again(p);
	if (count > 0)
		settle(p);
	for (unsigned i = 0; i < count; i++) {
		bool any = id_is_zero(&calls[i].snapshot);
		announce_answer(&calls[i], any ? !p->failing : snapset_by_id(p->set, &calls[i].snapshot) != NULL);
	}
}

/* One look for all that asked before it began. */
static void answer_asked(struct refresh *p)
{
	uint64_t count = 0;
	if (read(p->ask_fd, &count, sizeof(count)) < 0)
		return;
	pthread_mutex_lock(&p->lock);
	uint64_t upto = p->asked;
	pthread_mutex_unlock(&p->lock);
	look_again(p);
	settle(p);
	pthread_mutex_lock(&p->lock);
	p->done = upto;
	pthread_cond_broadcast(&p->answered);
	pthread_mutex_unlock(&p->lock);
}

static int wait_ms(int64_t due)
{
	int64_t left = due - clock_monotonic();
	if (left <= 0)
		return 0;
	left = left / 1000000 + 1;
	return left > MS_MAX ? MS_MAX : (int)left;
}

static void *run(void *arg)
{
	struct refresh *p = arg;
	struct pollfd fds[] = {{.fd = p->stop_fd, .events = POLLIN}, {.fd = announce_fd(p->announce), .events = POLLIN},
		{.fd = p->ask_fd, .events = POLLIN}};
	int64_t due = clock_monotonic() + p->serve->poll.interval;

	for (;;) {
		int ready = poll(fds, 3, wait_ms(due));
		if (ready > 0 && (fds[0].revents & POLLIN) != 0)
			return NULL;
		if (ready > 0 && (fds[1].revents & (POLLERR | POLLNVAL)) != 0)
			fds[1].fd = -1;
		else if (ready > 0 && fds[1].revents != 0)
			answer_calls(p);
		if (ready > 0 && (fds[2].revents & POLLIN) != 0)
			answer_asked(p);
		if (clock_monotonic() < due)
			continue;
		look_again(p);
		due = clock_monotonic() + p->serve->poll.interval;
	}
}

void refresh_set_spool(struct refresh *p, struct spool *spool)
{
	pthread_mutex_lock(&p->spool_lock);
	p->spool = spool;
	pthread_mutex_unlock(&p->spool_lock);
}

static void set_serving(struct refresh *p, bool serving)
{
	pthread_mutex_lock(&p->lock);
	p->serving = serving;
	pthread_cond_broadcast(&p->answered);
	pthread_mutex_unlock(&p->lock);
}

int refresh_start(struct refresh *p, struct announce *announce, struct invalidate *inv, struct error *err)
{
	p->announce = announce;
	p->inv = inv;
	int failed = pthread_create(&p->thread, NULL, run, p);
	if (failed != 0)
		return error_set_errno(err, failed, "cannot start a thread");
	p->running = true;
	set_serving(p, true);
	return 0;
}

static void wake(int fd)
{
	uint64_t one = 1;
	while (write(fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

void refresh_ask(struct refresh *p, int64_t timeout_ns)
{
	int64_t deadline = clock_monotonic() + timeout_ns;
	struct timespec until = {.tv_sec = deadline / CLOCK_SECOND, .tv_nsec = (long)(deadline % CLOCK_SECOND)};
	bool late = false;

	pthread_mutex_lock(&p->lock);
	uint64_t mine = ++p->asked;
	wake(p->ask_fd);
	while (p->serving && p->done < mine && !late)
		late = pthread_cond_timedwait(&p->answered, &p->lock, &until) == ETIMEDOUT;
	pthread_mutex_unlock(&p->lock);
}

void refresh_stop(struct refresh *p)
{
	if (!p->running)
		return;
	set_serving(p, false);
	wake(p->stop_fd);
	pthread_join(p->thread, NULL);
	p->running = false;
}

void refresh_free(struct refresh *p)
{
	if (p == NULL)
		return;
	refresh_stop(p);
	snapset_unref(p->set);
	if (p->stop_fd >= 0)
		close(p->stop_fd);
	if (p->ask_fd >= 0)
		close(p->ask_fd);
	pthread_mutex_destroy(&p->spool_lock);
	pthread_mutex_destroy(&p->lock);
	pthread_cond_destroy(&p->answered);
	free(p);
}
