/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>

#include "archive/check_impl.h"

enum { TEXT_MAX = 1500 };

void check_tell(struct check *c, enum check_severity severity, const char *object, const char *fmt, ...)
{
	char text[TEXT_MAX];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (severity == CHECK_ERROR)
		atomic_fetch_add(&c->errors, 1);
	else if (severity == CHECK_WARNING)
		atomic_fetch_add(&c->warnings, 1);
	if (!c->options->finding)
		return;
	pthread_mutex_lock(&c->tell_lock);
	c->options->finding(c->options->finding_arg, severity, object, text);
	pthread_mutex_unlock(&c->tell_lock);
}

bool check_is_finding(int status)
{
	return status == ERR_CORRUPT || status == ERR_NOT_FOUND || status == ERR_UNSUPPORTED || status == ERR_IO;
}

int check_failed(struct check *c, const char *object, int status, const struct error *why)
{
	if (!check_is_finding(status))
		return check_stop(c, status, why);
	if (status == ERR_UNSUPPORTED)
		check_tell(c, CHECK_ERROR, object, "%s; check it with the drfs that wrote it", error_text(why));
	else
		check_tell(c, CHECK_ERROR, object, "%s; bring it back from a copy of the repository", error_text(why));
	return 0;
}

int check_stop(struct check *c, int status, const struct error *why)
{
	int none = 0;
	pthread_mutex_lock(&c->lock);
	if (atomic_compare_exchange_strong(&c->status, &none, status))
		c->failure = *why;
	pthread_mutex_unlock(&c->lock);
	return status;
}

int check_stopped(struct check *c)
{
	struct error why = ERROR_INIT;
	int status = atomic_load_explicit(&c->status, memory_order_relaxed);
	if (status != 0 || !c->options->cancel || !*c->options->cancel)
		return status;
	error_set(&why, ERR_CANCELLED, "the check was interrupted");
	return check_stop(c, ERR_CANCELLED, &why);
}

struct check_kit *check_kit_take(struct check *c, struct error *err)
{
	pthread_mutex_lock(&c->lock);
	struct check_kit *kit = c->kits;
	if (kit)
		c->kits = kit->next;
	pthread_mutex_unlock(&c->lock);
	if (kit)
		return kit;
	kit = calloc(1, sizeof(*kit));
	if (kit && chunk_decoder_new(&kit->decoder, NULL) == 0)
		return kit;
	free(kit);
	error_no_memory(err, "a decoder");
	return NULL;
}

void check_kit_give(struct check *c, struct check_kit *kit)
{
	if (!kit)
		return;
	pthread_mutex_lock(&c->lock);
	kit->next = c->kits;
	c->kits = kit;
	pthread_mutex_unlock(&c->lock);
}

void check_kits_free(struct check *c)
{
	while (c->kits) {
		struct check_kit *kit = c->kits;
		c->kits = kit->next;
		chunk_decoder_free(kit->decoder);
		buf_release(&kit->sealed);
		buf_release(&kit->plain);
		buf_release(&kit->base);
		free(kit);
	}
}
