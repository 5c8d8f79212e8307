/* SPDX-License-Identifier: MIT */
#ifndef BASE_LOG_H
#define BASE_LOG_H

/*
 * One line an event. Levels as in syslog. Where it goes: the journal's native
 * prefix ("<3>text") when stderr is the journal ($JOURNAL_STREAM names it),
 * else stderr with "drfs: " and, from -v on, the time. A struct log is made
 * once by the tool, handed down by pointer, and may be used by all threads;
 * a NULL log drops everything. Libraries log only what a returned error could
 * not carry (a retry that worked, a catalog rebuilt, one file skipped);
 * errors are returned, and logged once by whoever stops their way up.
 * Control characters in messages are written as \xNN, so a line is a line.
 */

#include "base/error.h"

enum log_level {
	LOG_LEVEL_ERROR = 3,
	LOG_LEVEL_WARN = 4,
	LOG_LEVEL_NOTICE = 5, /* default */
	LOG_LEVEL_INFO = 6,   /* -v */
	LOG_LEVEL_DEBUG = 7,  /* -v -v */
};

struct log;

/* A log to file descriptor `fd` (borrowed; 2 as a rule) that shows `level` and what is graver. NULL without memory. */
struct log *log_new(int fd, enum log_level level);
/* Leaves the descriptor open. NULL is a no-op. */
void log_free(struct log *log);
/* From now on show `level` and what is graver. */
void log_set_level(struct log *log, enum log_level level);
/* The level shown; the default one for a NULL log. */
enum log_level log_get_level(const struct log *log);
/* After the daemon lost its terminal: go on to `fd`; fd -1 means syslog(3). */
void log_redirect(struct log *log, int fd);
/*
 * Lines that are shown are also handed to `fn`, without prefix or newline, by the thread that logs (it must not log
 * itself). NULL ends that; a call under way in another thread may still finish. For tests and the mount's status.
 */
void log_tee(struct log *log, void (*fn)(void *arg, enum log_level level, const char *line), void *arg);

/* One line of that level. Safe in any thread, not in a signal handler; errno is kept. */
void log_error(struct log *log, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void log_warn(struct log *log, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void log_notice(struct log *log, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void log_info(struct log *log, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void log_debug(struct log *log, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
