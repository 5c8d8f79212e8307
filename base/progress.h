/* SPDX-License-Identifier: MIT */
#ifndef BASE_PROGRESS_H
#define BASE_PROGRESS_H

/*
 * How far a long run is: bytes, items, rate and time left. On a terminal one
 * line is redrawn five times a second by a thread of its own; elsewhere a
 * plain line every 30 s; nothing when quiet. Counters may be added to by any
 * thread. A NULL progress does nothing.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct progress;

/* `verb` as "backing up"; drawn on `fd` (2 as a rule). NULL when quiet or without memory. */
struct progress *progress_new(int fd, const char *verb, bool quiet);
/* Stops the drawing and clears its line. NULL is a no-op. */
void progress_free(struct progress *p);
/* Totals as far as they are known; 0: unknown, then no time left is shown. */
void progress_total(struct progress *p, uint64_t bytes, uint64_t items);
/* What was done since the last call. Thread-safe. */
void progress_add(struct progress *p, uint64_t bytes, uint64_t items);

/* What a line is made of; totals 0: unknown, rate 0: nothing can be said about the time left. */
struct progress_state {
	uint64_t bytes;
	uint64_t items;
	uint64_t total_bytes;
	uint64_t total_items;
	uint64_t bytes_per_second;
};
/* The line as it is shown, without a newline, cut to `cap`: "1.0 GiB of 4.0 GiB (25 %), 3 of 9 items, …". */
void progress_line(const char *verb, const struct progress_state *state, char *dst, size_t cap);

/* "1.4 GiB", "512 B": rounded down. */
enum { PROGRESS_TEXT_MAX = 32 };
void progress_human_bytes(uint64_t bytes, char dst[static PROGRESS_TEXT_MAX]);

#endif
