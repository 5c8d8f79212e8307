/* SPDX-License-Identifier: MIT */
#include "fs/spool/stage.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hex.h"
#include "base/host.h"

/* The thread makes SPARES when half of them are gone; before it is worth while, files must follow one another. */
enum { SPARES = 16, NAME_RAW = STAGE_NAME_LEN / 2, EAGER_AFTER = 8 };
static const int64_t follow_ns = CLOCK_SECOND / 10;

struct spare {
	int fd;
	char name[STAGE_NAME_LEN + 1];
};

struct stage {
	int dir;
	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t wake;
	pthread_t thread;
	bool running, stopping, wanted;
	struct spare spares[SPARES];
	unsigned count;
	unsigned run;  /* taken one shortly after the other */
	int64_t taken; /* when the last one was */
};

int stage_make(int dir, char ret_name[static STAGE_NAME_LEN + 1], int *ret_fd, struct error *err)
{
	uint8_t raw[NAME_RAW];

	if (getrandom(raw, sizeof(raw), 0) != (ssize_t)sizeof(raw))
		return error_set_errno(err, errno, "drawing a name for a staged file");
	hex_encode(raw, sizeof(raw), ret_name);
	*ret_fd = openat(dir, ret_name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	return *ret_fd < 0 ? error_set_errno(err, errno, "making the staged file '%s'", ret_name) : 0;
}

static void remove_spares(int dir, const struct spare *spares, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		close(spares[i].fd);
		unlinkat(dir, spares[i].name, 0);
	}
}

/* It came too late. The lock is let go meanwhile. */
static void remove_late_locked(struct stage *s, struct spare late)
{
	pthread_mutex_unlock(&s->lock);
	remove_spares(s->dir, &late, 1);
	pthread_mutex_lock(&s->lock);
}

/* Fills up, as long as that is wanted. A disk that is full is told to who asks for a file, not here. */
static void fill_locked(struct stage *s)
{
	struct spare made = {.fd = -1};

	while (s->wanted && !s->stopping && s->count < SPARES) {
		pthread_mutex_unlock(&s->lock);
		int r = stage_make(s->dir, made.name, &made.fd, NULL);
		pthread_mutex_lock(&s->lock);
		if (r != 0)
			s->wanted = false;
		else if (s->wanted)
			s->spares[s->count++] = made;
		else
			remove_late_locked(s, made);
	}
}

static void *thread_main(void *arg)
{
	struct stage *s = arg;

	pthread_mutex_lock(&s->lock);
	while (!s->stopping) {
		if (s->wanted && s->count <= SPARES / 2)
			fill_locked(s);
		else
			pthread_cond_wait(&s->wake, &s->lock);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

int stage_new(int dir, struct stage **ret_stage, struct error *err)
{
	struct stage *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return error_no_memory(err, "a staging folder");
	s->dir = dir;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->wake, NULL);
	*ret_stage = s;
	return 0;
}

void stage_free(struct stage *s)
{
	if (s == NULL)
		return;
	pthread_mutex_lock(&s->lock);
	s->stopping = true;
	pthread_cond_signal(&s->wake);
	pthread_mutex_unlock(&s->lock);
	if (s->running)
		pthread_join(s->thread, NULL);
	remove_spares(s->dir, s->spares, s->count);
	pthread_cond_destroy(&s->wake);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

/* Files that follow one another are made beforehand from the EAGER_AFTER-th on. */
static void look_ahead_locked(struct stage *s)
{
	int64_t now = clock_monotonic();

	s->run = now - s->taken < follow_ns ? s->run + 1 : 0;
	s->taken = now;
	if (s->run < EAGER_AFTER || s->count > SPARES / 2)
		return;
	s->wanted = true;
	if (!s->running)
		s->running = host_thread(&s->thread, thread_main, s) == 0;
	else
		pthread_cond_signal(&s->wake);
}

int stage_take(struct stage *s, char ret_name[static STAGE_NAME_LEN + 1], int *ret_fd, struct error *err)
{
	struct spare got = {.fd = -1};

	pthread_mutex_lock(&s->lock);
	look_ahead_locked(s);
	if (s->count > 0)
		got = s->spares[--s->count];
	pthread_mutex_unlock(&s->lock);
	if (got.fd < 0)
		return stage_make(s->dir, ret_name, ret_fd, err);
	memcpy(ret_name, got.name, sizeof(got.name));
	*ret_fd = got.fd;
	return 0;
}

void stage_rest(struct stage *s)
{
	struct spare left[SPARES];

	pthread_mutex_lock(&s->lock);
	unsigned count = s->count;
	memcpy(left, s->spares, sizeof(left));
	s->count = 0;
	s->wanted = false;
	s->run = 0;
	pthread_mutex_unlock(&s->lock);
	remove_spares(s->dir, left, count);
}
