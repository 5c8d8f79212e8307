/* SPDX-License-Identifier: MIT */
#include "fs/faults.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

enum { REMEMBERED = 32 };
static const int64_t quiet_ns = 60 * CLOCK_SECOND;

struct faults {
	struct log *log;
	pthread_mutex_t lock;
	uint64_t count;
	int64_t last; /* by the wall clock */
	char text[ERROR_TEXT_MAX];
	struct {
		uint64_t hash; /* of the text; 0: free */
		int64_t told;  /* monotonic */
	} told[REMEMBERED];
};

struct faults *faults_new(struct log *log)
{
	struct faults *f = calloc(1, sizeof(*f));
	if (f == NULL)
		return NULL;
	f->log = log;
	pthread_mutex_init(&f->lock, NULL);
	return f;
}

void faults_free(struct faults *f)
{
	if (f == NULL)
		return;
	pthread_mutex_destroy(&f->lock);
	free(f);
}

static uint64_t hash_text(const char *text)
{
	uint64_t h = UINT64_C(14695981039346656037);
	for (; *text != '\0'; text++)
		h = (h ^ (uint8_t)*text) * UINT64_C(1099511628211);
	return h != 0 ? h : 1;
}

/* True when the text was told lately; else notes that it is told now, over the oldest. */
static bool told_lately_locked(struct faults *f, const char *text)
{
	uint64_t hash = hash_text(text);
	int64_t now = clock_monotonic();
	size_t oldest = 0;
	for (size_t i = 0; i < REMEMBERED; i++) {
		if (f->told[i].hash == hash) {
			bool lately = now - f->told[i].told < quiet_ns;
			if (!lately)
				f->told[i].told = now;
			return lately;
		}
		if (f->told[i].told < f->told[oldest].told)
			oldest = i;
	}
	f->told[oldest].hash = hash;
	f->told[oldest].told = now;
	return false;
}

void faults_tell(struct faults *f, const char *what, const struct error *err)
{
	const char *text = error_text(err);
	pthread_mutex_lock(&f->lock);
	f->count++;
	f->last = clock_now();
	strncpy(f->text, text, sizeof(f->text) - 1);
	bool quiet = told_lately_locked(f, text);
	pthread_mutex_unlock(&f->lock);
	if (!quiet)
		log_error(f->log, "%s failed: %s", what, text);
}

void faults_last(struct faults *f, uint64_t *ret_count, int64_t *ret_time, char ret_text[static ERROR_TEXT_MAX])
{
	pthread_mutex_lock(&f->lock);
	*ret_count = f->count;
	*ret_time = f->last;
	memcpy(ret_text, f->text, sizeof(f->text));
	pthread_mutex_unlock(&f->lock);
}
