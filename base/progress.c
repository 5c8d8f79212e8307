/* SPDX-License-Identifier: MIT */
#include "base/progress.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/host.h"

enum { LINE_CAP = 512, WIDTH_DEFAULT = 80 };

#define TERMINAL_EVERY (CLOCK_SECOND / 5)
#define PLAIN_EVERY (30 * CLOCK_SECOND)
/* The rate follows the last seconds: what is older than this counts for little. */
#define RATE_WINDOW (5 * CLOCK_SECOND)

struct progress {
	int fd;
	bool is_terminal;
	char *verb;
	_Atomic uint64_t bytes;
	_Atomic uint64_t items;
	_Atomic uint64_t total_bytes;
	_Atomic uint64_t total_items;
	pthread_t thread;
	pthread_mutex_t lock; /* guards stopping; never held while a line is written */
	pthread_cond_t stop;
	bool stopping;
};

void progress_human_bytes(uint64_t bytes, char dst[static PROGRESS_TEXT_MAX])
{
	static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	unsigned step = 0;
	if (bytes < 1024) {
		(void)snprintf(dst, PROGRESS_TEXT_MAX, "%" PRIu64 " B", bytes);
		return;
	}
	while (step < 5 && bytes >> (10 * (step + 2)) > 0)
		step++;
	unsigned shift = 10 * (step + 1);
	unsigned tenths = (unsigned)(((bytes & ((UINT64_C(1) << shift) - 1)) * 10) >> shift) % 10;
	(void)snprintf(dst, PROGRESS_TEXT_MAX, "%" PRIu64 ".%u %s", bytes >> shift, tenths, units[step]);
}

/* Percent done, at most 100: a source may grow while it is read. */
static unsigned percent(uint64_t done, uint64_t total)
{
	if (done >= total)
		return 100;
	return total > UINT64_MAX / 100 ? (unsigned)(done / (total / 100)) : (unsigned)(done * 100 / total);
}

static void text_left(const struct progress_state *s, char dst[static CLOCK_TEXT_MAX])
{
	dst[0] = 0;
	if (s->bytes_per_second == 0 || s->total_bytes <= s->bytes)
		return;
	uint64_t seconds = (s->total_bytes - s->bytes) / s->bytes_per_second + 1;
	if (seconds < (uint64_t)(INT64_MAX / CLOCK_SECOND))
		clock_human_duration((int64_t)seconds * CLOCK_SECOND, dst);
}

void progress_line(const char *verb, const struct progress_state *s, char *dst, size_t cap)
{
	char bytes[PROGRESS_TEXT_MAX];
	char total[PROGRESS_TEXT_MAX];
	char rate[PROGRESS_TEXT_MAX];
	char left[CLOCK_TEXT_MAX];
	char of_total[PROGRESS_TEXT_MAX + 32] = "";
	char of_items[32] = "";
	progress_human_bytes(s->bytes, bytes);
	progress_human_bytes(s->total_bytes, total);
	progress_human_bytes(s->bytes_per_second, rate);
	text_left(s, left);
	if (s->total_bytes > 0)
		(void)snprintf(of_total, sizeof(of_total), " of %s (%u %%)", total, percent(s->bytes, s->total_bytes));
	if (s->total_items > 0)
		(void)snprintf(of_items, sizeof(of_items), " of %" PRIu64, s->total_items);
	(void)snprintf(dst, cap, "%s: %s%s, %" PRIu64 "%s items, %s/s%s%s%s", verb, bytes, of_total, s->items, of_items,
		rate, left[0] ? ", " : "", left, left[0] ? " left" : "");
}

static void write_all(int fd, const char *text, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, text, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		text += n;
		len -= (size_t)n;
	}
}

static void draw(const struct progress *p, const struct progress_state *state)
{
	char line[LINE_CAP];
	char out[LINE_CAP + 16];
	size_t cap = sizeof(line);
	if (p->is_terminal) {
		struct winsize size;
		bool known = ioctl(p->fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
		size_t width = known ? size.ws_col : WIDTH_DEFAULT;
		cap = width < cap ? width : cap; /* one column stays free, so that the line never wraps */
	}
	progress_line(p->verb, state, line, cap);
	int n = p->is_terminal ? snprintf(out, sizeof(out), "\r%s\x1b[K", line)
			       : snprintf(out, sizeof(out), "drfs: %s\n", line);
	if (n > 0)
		write_all(p->fd, out, (size_t)n);
}

/* Brings the counters up to now and lets the rate follow. */
static void state_update(struct progress *p, struct progress_state *s, int64_t elapsed)
{
	uint64_t bytes = atomic_load(&p->bytes);
	double seconds = (double)(elapsed > 0 ? elapsed : 1) / (double)CLOCK_SECOND;
	double now = (double)(bytes - s->bytes) / seconds;
	double weight = (double)elapsed / (double)(elapsed + RATE_WINDOW);
	double before = (double)s->bytes_per_second;
	double rate = s->bytes_per_second == 0 ? now : before + (now - before) * weight;
	s->bytes_per_second = rate < 1e18 ? (uint64_t)rate : UINT64_C(1000000000000000000);
	s->bytes = bytes;
	s->items = atomic_load(&p->items);
	s->total_bytes = atomic_load(&p->total_bytes);
	s->total_items = atomic_load(&p->total_items);
}

/* Waits until `deadline` by the monotonic clock. True when the progress is to stop. */
static bool wait_for_stop(struct progress *p, int64_t deadline)
{
	struct timespec until = {.tv_sec = deadline / CLOCK_SECOND, .tv_nsec = deadline % CLOCK_SECOND};
	(void)pthread_mutex_lock(&p->lock);
	int rc = 0;
	while (!p->stopping && rc != ETIMEDOUT)
		rc = pthread_cond_timedwait(&p->stop, &p->lock, &until);
	bool stopping = p->stopping;
	(void)pthread_mutex_unlock(&p->lock);
	return stopping;
}

static void *draw_loop(void *arg)
{
	struct progress *p = arg;
	struct progress_state state = {0};
	int64_t last = clock_monotonic();
	while (!wait_for_stop(p, last + (p->is_terminal ? TERMINAL_EVERY : PLAIN_EVERY))) {
		int64_t now = clock_monotonic();
		state_update(p, &state, now - last);
		last = now;
		draw(p, &state);
	}
	if (p->is_terminal)
		write_all(p->fd, "\r\x1b[K", 4);
	return NULL;
}

static int start_thread(struct progress *p)
{
	pthread_condattr_t attr;
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&p->stop, &attr);
	(void)pthread_condattr_destroy(&attr);
	(void)pthread_mutex_init(&p->lock, NULL);
	return host_thread(&p->thread, draw_loop, p);
}

static void progress_release(struct progress *p)
{
	(void)pthread_cond_destroy(&p->stop);
	(void)pthread_mutex_destroy(&p->lock);
	free(p->verb);
	free(p);
}

struct progress *progress_new(int fd, const char *verb, bool quiet)
{
	struct progress *p = quiet ? NULL : calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	const char *term = getenv("TERM");
	p->fd = fd;
	p->is_terminal = isatty(fd) == 1 && term && strcmp(term, "dumb") != 0;
	p->verb = strdup(verb);
	if (!p->verb) {
		free(p);
		return NULL;
	}
	if (start_thread(p) != 0) {
		progress_release(p);
		return NULL;
	}
	return p;
}

void progress_free(struct progress *p)
{
	if (!p)
		return;
	(void)pthread_mutex_lock(&p->lock);
	p->stopping = true;
	(void)pthread_cond_signal(&p->stop);
	(void)pthread_mutex_unlock(&p->lock);
	(void)pthread_join(p->thread, NULL);
	progress_release(p);
}

void progress_total(struct progress *p, uint64_t bytes, uint64_t items)
{
	if (!p)
		return;
	atomic_store(&p->total_bytes, bytes);
	atomic_store(&p->total_items, items);
}

void progress_add(struct progress *p, uint64_t bytes, uint64_t items)
{
	if (!p)
		return;
	(void)atomic_fetch_add(&p->bytes, bytes);
	(void)atomic_fetch_add(&p->items, items);
}
