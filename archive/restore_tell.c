/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive/restore_impl.h"
#include "base/hex.h"

enum { WARNING_MAX = 2048 };

int restore_stop(struct restore *r, int status, const struct error *why)
{
	int none = 0;
	pthread_mutex_lock(&r->lock);
	if (atomic_compare_exchange_strong(&r->status, &none, status))
		r->failure = *why;
	pthread_mutex_unlock(&r->lock);
	return status;
}

int restore_stopped(struct restore *r)
{
	int status = atomic_load_explicit(&r->status, memory_order_relaxed);
	if (status != 0 || !r->options->cancel || !*r->options->cancel)
		return status;
	struct error why = ERROR_INIT;
	error_set(
		&why, ERR_CANCELLED, "the restore was interrupted; run it again to go on, what is whole is left alone");
	return restore_stop(r, ERR_CANCELLED, &why);
}

char *restore_path(const struct restore *r, const uint8_t *key, size_t key_len)
{
	struct buf path = {0};
	size_t skip = r->base.len <= key_len ? r->base.len : 0;
	entry_key_to_path(&path, key, key_len);
	char *shown = NULL;
	if (!buf_failed(&path))
		shown = path.len > skip ? hex_printable(path.data + skip, path.len - skip) : strdup(".");
	buf_release(&path);
	return shown;
}

void restore_event_path(struct restore *r, const char *what, const char *path, uint64_t bytes)
{
	if (!r->options->event)
		return;
	pthread_mutex_lock(&r->tell_lock);
	r->options->event(r->options->event_arg, what, path, bytes);
	pthread_mutex_unlock(&r->tell_lock);
}

void restore_event(struct restore *r, const char *what, const struct entry *entry, uint64_t bytes)
{
	if (!r->options->event)
		return;
	char *path = restore_path(r, entry->key, entry->key_len);
	restore_event_path(r, what, path ? path : "?", bytes);
	free(path);
}

static void tell(struct restore *r, const char *path, const char *fmt, va_list ap)
	__attribute__((format(printf, 3, 0)));

static void tell(struct restore *r, const char *path, const char *fmt, va_list ap)
{
	char text[WARNING_MAX];
	int n = snprintf(text, sizeof(text), "%s: ", path);
	size_t used = n < 0 ? 0 : (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1;
	vsnprintf(text + used, sizeof(text) - used, fmt, ap);
	atomic_fetch_add(&r->warnings, 1);
	if (r->options->event)
		restore_event_path(r, "warn", text, 0);
	else
		log_warn(r->repo->log, "%s", text);
}

void restore_warn_path(struct restore *r, const char *path, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	tell(r, path, fmt, ap);
	va_end(ap);
}

void restore_warn(struct restore *r, const struct entry *entry, const char *fmt, ...)
{
	va_list ap;
	char *path = restore_path(r, entry->key, entry->key_len);
	va_start(ap, fmt);
	tell(r, path ? path : "?", fmt, ap);
	va_end(ap);
	free(path);
}

/* These speak of one object. All others (the store is down, no memory) would meet the next file as well. */
bool restore_is_damage(int status)
{
	return status == ERR_CORRUPT || status == ERR_NOT_FOUND || status == ERR_UNSUPPORTED || status == ERR_IO;
}

/* True the second time; without memory it is told once too often. */
static bool was_told(struct restore *r, const struct entry *entry)
{
	uint64_t hash = 14695981039346656037u, first;
	bool known = false;
	for (size_t i = 0; i < entry->key_len; i++)
		hash = (hash ^ entry->key[i]) * 1099511628211u;
	pthread_mutex_lock(&r->lock);
	(void)link_map_meet(&r->lost_keys, hash, 0, &known, &first, NULL);
	pthread_mutex_unlock(&r->lock);
	return known;
}

int restore_lose(struct restore *r, const struct entry *entry, int status, const struct error *why)
{
	if (!restore_is_damage(status))
		return restore_stop(r, status, why);
	if (was_told(r, entry))
		return 0;
	restore_warn(r, entry, "not restored: %s", error_text(why));
	pthread_mutex_lock(&r->lock);
	if (r->lost++ == 0)
		r->first_lost = *why;
	pthread_mutex_unlock(&r->lock);
	return 0;
}

void restore_lose_stretch(struct restore *r, uint64_t count, const struct error *why)
{
	restore_warn_path(r, "the snapshot's tree", "%llu entries cannot be read and are not restored: %s",
		(unsigned long long)count, error_text(why));
	pthread_mutex_lock(&r->lock);
	if (r->lost == 0)
		r->first_lost = *why;
	r->lost += count;
	pthread_mutex_unlock(&r->lock);
}

static int no_space(struct restore *r, int sys_errno)
{
	char left[PROGRESS_TEXT_MAX];
	struct error why = ERROR_INIT;
	uint64_t done = atomic_load(&r->bytes);
	progress_human_bytes(r->planned_bytes > done ? r->planned_bytes - done : 0, left);
	error_set(&why, ERR_NO_SPACE,
		"'%s' is full: %s; %s are still to be written; make room and run the restore again, what is whole is "
		"left alone",
		r->dest, strerror(sys_errno), left);
	return restore_stop(r, ERR_NO_SPACE, &why);
}

int restore_dest_failed(struct restore *r, const struct entry *entry, int sys_errno, const char *doing)
{
	if (sys_errno == ENOSPC || sys_errno == EDQUOT)
		return no_space(r, sys_errno);
	restore_warn(r, entry, "%s: %s", doing, strerror(sys_errno));
	return 0;
}
