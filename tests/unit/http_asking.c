/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "tests/unit/http_asking.h"

void forget_proxies(void)
{
	static const char *const variables[] = {
		"http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"};

	for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++)
		unsetenv(variables[i]);
}

void line_start(struct line *line, http_server_fn *fn, void *arg, const struct http_options *options)
{
	struct http_options quick = {.backoff_ns = CLOCK_SECOND / 1000};
	struct error err = ERROR_INIT;

	forget_proxies();
	line->server = http_server_start(fn, arg, NULL);
	line->http = NULL;
	if (http_new(options != NULL ? options : &quick, &line->http, &err) != 0)
		fail_msg("%s", error_text(&err));
}

void line_stop(struct line *line)
{
	http_free(line->http);
	http_server_stop(line->server);
}

struct http_metrics line_metrics(const struct line *line)
{
	struct http_metrics m;

	http_get_metrics(line->http, &m);
	return m;
}

static int prepare(void *arg, unsigned attempt, struct http_message *m, struct error *err)
{
	struct ask *a = arg;
	const char *base = a->base != NULL ? a->base : http_server_url(a->line->server);

	(void)attempt;
	(void)err;
	a->prepared++;
	m->method = a->method != NULL ? a->method : a->body != NULL ? "PUT" : "GET";
	m->head = strcmp(m->method, "HEAD") == 0;
	buf_put(&m->url, base, strlen(base));
	buf_put(&m->url, a->path, strlen(a->path) + 1);
	if (a->header != NULL)
		http_header_add(m, a->header, a->value);
	return 0;
}

static enum http_verdict judge(void *arg, const struct http_answer *answer, struct error *err)
{
	const struct ask *a = arg;

	return a->judge != NULL ? a->judge(arg, answer, err) : http_judge_status(answer, a->path, err);
}

int ask(const struct line *line, struct ask *a, struct http_answer *ret, struct error *err)
{
	struct http_call call = {.limits = a->limits,
		.what = a->path,
		.prepare = prepare,
		.judge = judge,
		.arg = a,
		.body = a->body,
		.dst = a->dst,
		.dst_len = a->dst_len,
		.hedge = a->hedge,
		.repeatable = !a->unrepeatable};

	a->line = line;
	return http_run(line->http, &call, ret, err);
}

void ask_ok(const struct line *line, struct ask *a, struct http_answer *ret)
{
	struct error err = ERROR_INIT;

	if (ask(line, a, ret, &err) != 0)
		fail_msg("%s", error_text(&err));
}

void made_bytes(uint8_t *dst, size_t len, unsigned seed)
{
	uint32_t x = seed * 2654435761u + 1;

	for (size_t i = 0; i < len; i++) {
		x = x * 1664525u + 1013904223u;
		dst[i] = (uint8_t)(x >> 24);
	}
}

void assert_text(const struct http_answer *a, const char *text)
{
	assert_int_equal(a->text.len, strlen(text));
	assert_memory_equal(a->text.data, text, strlen(text));
}
