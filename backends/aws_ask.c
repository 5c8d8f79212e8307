/* SPDX-License-Identifier: MIT */

/* A question to a service that gives keys: short, and soon given up. */

#include <string.h>

#include "backends/aws_impl.h"
#include "base/clock.h"

enum { ATTEMPTS = 3 };

void aws_put_text(struct buf *b, const char *text)
{
	buf_put(b, text, strlen(text));
}

void aws_put_header(struct buf *b, const char *name, const char *value)
{
	/* Room first: what grows leaves copies behind, and the value may be a token. */
	buf_reserve(b, strlen(name) + strlen(value) + 3);
	aws_put_text(b, name);
	aws_put_text(b, ": ");
	buf_put(b, value, strlen(value) + 1);
}

static int prepare(void *arg, unsigned attempt, struct http_message *m, struct error *err)
{
	const struct aws_question *q = arg;

	(void)attempt;
	m->method = q->method;
	buf_put(&m->url, q->url, strlen(q->url) + 1);
	if (q->headers != NULL && buf_reserve(&m->headers, q->headers->len))
		buf_put(&m->headers, q->headers->data, q->headers->len);
	return buf_failed(&m->url) || buf_failed(&m->headers) ? error_no_memory(err, q->what) : 0;
}

/* What a refusal means depends on the question: the caller's to say. */
static enum http_verdict judge(void *arg, const struct http_answer *a, struct error *err)
{
	const struct aws_question *q = arg;
	enum http_verdict verdict = http_judge_status(a, q->what, err);

	if (verdict != HTTP_FAILED)
		return verdict;
	error_clear(err);
	return HTTP_DONE;
}

/* Only the thread of the flight under way comes here. */
static int engine(struct aws_fetch *f, bool sts, struct http **ret, struct error *err)
{
	struct aws_credentials *c = f->c;
	struct http_options o = {.log = c->o.log,
		.attempts = ATTEMPTS,
		.connect_ns = CLOCK_SECOND,
		.stall_ns = 2 * CLOCK_SECOND,
		.parallel = 1,
		.no_proxy = true};
	int rc = 0;

	if (sts && c->o.http != NULL) {
		*ret = c->o.http;
		return 0;
	}
	if (c->local == NULL)
		rc = http_new(&o, &c->local, err);
	*ret = c->local;
	return rc;
}

int aws_ask(struct aws_fetch *f, const struct aws_question *q, struct http_answer *ret, struct error *err)
{
	struct store_body body = {.fd = -1};
	struct http_call call = {.limits = f->limits,
		.what = q->what,
		.prepare = prepare,
		.judge = judge,
		.arg = (void *)(uintptr_t)q,
		.repeatable = true};
	struct http *h = NULL;

	*ret = (struct http_answer){0};
	if (q->body != NULL) {
		body.data = q->body->data;
		body.len = q->body->len;
		call.body = &body;
	}
	int rc = engine(f, q->sts, &h, err);
	if (rc == 0)
		rc = http_run(h, &call, ret, err);
	if (rc == 0 && (ret->over || ret->text.len > AWS_TOKEN_MOST))
		rc = error_set(err, ERR_IO, "%s: the answer is longer than any can be", q->what);
	return rc;
}
