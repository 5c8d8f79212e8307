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

/* ---- a server by a script ---- */

static void play(void *arg, struct http_peer *peer, const struct http_seen *seen)
{
	struct script *s = arg;

	if (seen->number <= s->times)
		s->bad(s, peer, seen);
	else
		http_answer(peer, 200, "", s->object, SCRIPT_OBJECT);
}

void script_start(struct line *line, struct script *s, const struct http_options *options)
{
	made_bytes(s->object, SCRIPT_OBJECT, 3);
	line_start(line, play, s, options);
}

void reads_well(struct line *line, const struct script *s, unsigned requests)
{
	uint8_t dst[SCRIPT_OBJECT] = {0};
	struct ask get = {.path = "/o", .dst = dst, .dst_len = SCRIPT_OBJECT};
	struct http_answer a;

	ask_ok(line, &get, &a);
	assert_int_equal(a.len, SCRIPT_OBJECT);
	assert_memory_equal(dst, s->object, SCRIPT_OBJECT);
	assert_int_equal(http_server_requests(line->server), requests);
	http_answer_release(&a);
}

int64_t fails(struct line *line, struct ask *a, int code, const char *word)
{
	struct error err = ERROR_INIT;
	struct http_answer answer;
	int64_t began = clock_monotonic();

	assert_int_equal(ask(line, a, &answer, &err), code);
	assert_int_equal(err.code, code);
	if (strstr(error_text(&err), word) == NULL)
		fail_msg("'%s' says nothing of '%s'", error_text(&err), word);
	http_answer_release(&answer);
	return clock_monotonic() - began;
}

void script_send_half(const struct script *s, struct http_peer *peer)
{
	http_say(peer, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", SCRIPT_OBJECT);
	http_send(peer, s->object, SCRIPT_OBJECT / 2);
}

void script_hold(void *arg, struct http_peer *peer, const struct http_seen *seen)
{
	(void)arg;
	(void)seen;
	http_hold(peer);
	http_hang_up(peer);
}

void script_fail(void *arg, struct http_peer *peer, const struct http_seen *seen)
{
	(void)arg;
	(void)seen;
	http_answer(peer, 500, "", "oops", 4);
}
