/* SPDX-License-Identifier: MIT */
#include "base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hex.h"

enum { TEXT_MAX = 2048, LINE_MAX_BYTES = TEXT_MAX * 4 + 64 };

struct log_target {
	int fd; /* -1: syslog */
	bool is_journal;
	bool is_terminal;
	void (*tee)(void *arg, enum log_level level, const char *line);
	void *tee_arg;
};

struct log {
	atomic_int level;
	pthread_mutex_t lock;     /* guards target; never held while a line is written */
	struct log_target target; /* copied for each line */
};

/* The journal tells a service which stream is its own, as "device:inode". */
static bool fd_is_journal(int fd)
{
	struct stat st;
	unsigned long long dev;
	unsigned long long ino;
	const char *stream = getenv("JOURNAL_STREAM");
	if (fd < 0 || !stream || sscanf(stream, "%llu:%llu", &dev, &ino) != 2 || fstat(fd, &st) < 0)
		return false;
	return st.st_dev == dev && st.st_ino == ino;
}

/* On a terminal the line of a progress is wiped before a message takes its place. */
static bool fd_is_terminal(int fd)
{
	const char *term = getenv("TERM");
	return fd >= 0 && isatty(fd) == 1 && term && strcmp(term, "dumb") != 0;
}

static void target_set(struct log_target *target, int fd)
{
	target->fd = fd;
	target->is_journal = fd_is_journal(fd);
	target->is_terminal = fd_is_terminal(fd);
}

struct log *log_new(int fd, enum log_level level)
{
	struct log *log = calloc(1, sizeof(*log));
	if (!log)
		return NULL;
	if (pthread_mutex_init(&log->lock, NULL) != 0) {
		free(log);
		return NULL;
	}
	atomic_init(&log->level, (int)level);
	target_set(&log->target, fd);
	return log;
}

void log_free(struct log *log)
{
	if (!log)
		return;
	(void)pthread_mutex_destroy(&log->lock);
	free(log);
}

void log_set_level(struct log *log, enum log_level level)
{
	if (log)
		atomic_store(&log->level, (int)level);
}

enum log_level log_get_level(const struct log *log)
{
	return log ? (enum log_level)atomic_load(&log->level) : LOG_LEVEL_NOTICE;
}

void log_redirect(struct log *log, int fd)
{
	if (!log)
		return;
	(void)pthread_mutex_lock(&log->lock);
	target_set(&log->target, fd);
	(void)pthread_mutex_unlock(&log->lock);
}

void log_tee(struct log *log, void (*fn)(void *arg, enum log_level level, const char *line), void *arg)
{
	if (!log)
		return;
	(void)pthread_mutex_lock(&log->lock);
	log->target.tee = fn;
	log->target.tee_arg = arg;
	(void)pthread_mutex_unlock(&log->lock);
}

/* A line goes out in one write, so that lines of several threads and processes do not mix. */
static void write_line(int fd, const char *line, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, line, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return; /* nobody is left to tell */
		line += n;
		len -= (size_t)n;
	}
}

static void log_emit(const struct log *log, const struct log_target *to, enum log_level level, const char *text)
{
	if (to->fd < 0) {
		syslog(LOG_DAEMON | (int)level, "%s", text);
		return;
	}
	char now[CLOCK_TEXT_MAX + 2] = "";
	char line[LINE_MAX_BYTES];
	const char *severity = level == LOG_LEVEL_WARN ? "warning: " : "";
	int n;
	if (!to->is_journal && log_get_level(log) >= LOG_LEVEL_INFO) {
		clock_second_name(clock_now(), now);
		memcpy(now + strlen(now), "Z ", 3);
	}
	if (to->is_journal)
		n = snprintf(line, sizeof(line), "<%d>%s\n", (int)level, text);
	else
		n = snprintf(
			line, sizeof(line), "%sdrfs: %s%s%s\n", to->is_terminal ? "\r\x1b[K" : "", now, severity, text);
	if (n > 0)
		write_line(to->fd, line, (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1);
}

static void log_line(struct log *log, enum log_level level, const char *fmt, va_list ap)
	__attribute__((format(printf, 3, 0)));

static void log_line(struct log *log, enum log_level level, const char *fmt, va_list ap)
{
	if (!log || (int)level > atomic_load(&log->level))
		return;
	int saved = errno; /* who logs between a call and its errno must not lose it */
	char raw[TEXT_MAX];
	char text[TEXT_MAX * 4 + 1];
	if (vsnprintf(raw, sizeof(raw), fmt, ap) < 0)
		raw[0] = 0;
	(void)hex_printable_to(raw, strlen(raw), text, sizeof(text));
	(void)pthread_mutex_lock(&log->lock);
	struct log_target to = log->target;
	(void)pthread_mutex_unlock(&log->lock);
	log_emit(log, &to, level, text);
	if (to.tee)
		to.tee(to.tee_arg, level, text);
	errno = saved;
}

#define LOG_FUNCTION(name, level)                        \
	void name(struct log *log, const char *fmt, ...) \
	{                                                \
		va_list ap;                              \
		va_start(ap, fmt);                       \
		log_line(log, level, fmt, ap);           \
		va_end(ap);                              \
	}

LOG_FUNCTION(log_error, LOG_LEVEL_ERROR)
LOG_FUNCTION(log_warn, LOG_LEVEL_WARN)
LOG_FUNCTION(log_notice, LOG_LEVEL_NOTICE)
LOG_FUNCTION(log_info, LOG_LEVEL_INFO)
LOG_FUNCTION(log_debug, LOG_LEVEL_DEBUG)
