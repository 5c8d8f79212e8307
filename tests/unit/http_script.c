/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "tests/unit/http_script.h"

enum { REQUESTS = 4096, CONNECTIONS = 256, REQUEST_MOST = 64 << 20, PIECE = 64 << 10, WAIT_SECONDS = 10 };

struct connection {
	struct http_script *s;
	pthread_t thread;
	int fd; /* closed by http_script_end() */
};

struct http_script {
	const struct http_step *steps;
	size_t step_count;
	int listener;
	unsigned port;
	char url[64];
	pthread_t thread;
	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t wake;
	bool ending;
	char *requests[REQUESTS];
	size_t count;
	unsigned permits; /* held answers that may go */
	struct connection connections[CONNECTIONS];
	size_t connection_count;
	char wrong[1000]; /* the first thing that was not by the script; "" none */
};

/* ---- reading a request ---- */

static size_t head_length(const struct buf *b)
{
	const char *end = b->len > 0 ? memmem(b->data, b->len, "\r\n\r\n", 4) : NULL;

	return end != NULL ? (size_t)(end - (const char *)b->data) + 4 : 0;
}

static size_t body_length(const struct buf *b, size_t head)
{
	static const char name[] = "\r\ncontent-length:";

	for (size_t i = 0; i + sizeof(name) < head; i++)
		if (strncasecmp((const char *)b->data + i, name, sizeof(name) - 1) == 0)
			return strtoul((const char *)b->data + i + sizeof(name) - 1, NULL, 10);
	return 0;
}

/* A whole request at the start of b, which may hold the next one's beginning as well; 0: the connection is over. */
static size_t read_request(int fd, struct buf *b)
{
	for (;;) {
		size_t head = head_length(b);
		if (head > 0 && b->len >= head + body_length(b, head))
			return head + body_length(b, head);
		if (b->len > REQUEST_MOST || !buf_reserve(b, PIECE))
			return 0;
		ssize_t got = recv(fd, b->data + b->len, PIECE, 0);
		if (got <= 0)
			return 0;
		b->len += (size_t)got;
	}
}

/* ---- answering it ---- */

static void note_wrong_locked(struct http_script *s, size_t at, const char *what, const char *wanted)
{
	const char *request = s->requests[at];

	if (s->wrong[0] == '\0')
		(void)snprintf(s->wrong, sizeof(s->wrong), "request %zu (%.*s) %s '%s'", at + 1,
			(int)strcspn(request, "\r\n"), request, what, wanted != NULL ? wanted : "");
}

/* The step for request `at`; NULL: it is not by the script. */
static const struct http_step *judge_locked(struct http_script *s, size_t at)
{
	const struct http_step *step = at < s->step_count ? &s->steps[at] : NULL;
	const char *request = s->requests[at];

	if (step == NULL)
		note_wrong_locked(s, at, "was not expected", NULL);
	else if (step->expect != NULL && strncmp(request, step->expect, strlen(step->expect)) != 0)
		note_wrong_locked(s, at, "should begin with", step->expect);
	else if (step->header != NULL && strcasestr(request, step->header) == NULL)
		note_wrong_locked(s, at, "does not hold", step->header);
	else if (step->absent != NULL && strcasestr(request, step->absent) != NULL)
		note_wrong_locked(s, at, "holds", step->absent);
	else
		return step;
	return NULL;
}

static void take_permit_locked(struct http_script *s)
{
	while (s->permits == 0 && !s->ending)
		pthread_cond_wait(&s->wake, &s->lock);
	if (s->permits > 0)
		s->permits--;
}

static const struct http_step *next_step(struct http_script *s, const struct buf *b, size_t len)
{
	static const struct http_step teapot = {.status = 418};
	const struct http_step *step = &teapot;
	char *copy = strndup((const char *)b->data, len);

	pthread_mutex_lock(&s->lock);
	if (copy != NULL && s->count < REQUESTS) {
		size_t at = s->count++;
		s->requests[at] = copy;
		pthread_cond_broadcast(&s->wake);
		step = judge_locked(s, at);
		if (step != NULL && step->hold)
			take_permit_locked(s);
	} else {
		free(copy);
	}
	pthread_mutex_unlock(&s->lock);
	return step != NULL ? step : &teapot;
}

static bool send_all(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
		if (n <= 0)
			return false;
		data += n;
		len -= (size_t)n;
	}
	return true;
}

/* False: the connection is to be closed. */
static bool answer(int fd, const struct http_step *step, bool is_head)
{
	const char *body = step->body != NULL ? step->body : "";
	int status = step->status != 0 ? step->status : 200;
	char head[4096];

	if (step->raw != NULL)
		return send_all(fd, step->raw, step->raw_len != 0 ? step->raw_len : strlen(step->raw)) && !step->cut;
	if (step->cut)
		return false;
	int n = snprintf(head, sizeof(head), "HTTP/1.1 %d Scripted\r\n%sContent-Length: %zu\r\n\r\n", status,
		step->headers != NULL ? step->headers : "", strlen(body));
	if (n < 0 || (size_t)n >= sizeof(head) || !send_all(fd, head, (size_t)n))
		return false;
	return is_head || send_all(fd, body, strlen(body));
}

static void *connection_main(void *arg)
{
	struct connection *c = arg;
	struct buf b = {0};
	size_t len;

	while ((len = read_request(c->fd, &b)) > 0) {
		bool is_head = b.len > 5 && memcmp(b.data, "HEAD ", 5) == 0;
		if (!answer(c->fd, next_step(c->s, &b, len), is_head))
			break;
		memmove(b.data, b.data + len, b.len - len);
		b.len -= len;
	}
	shutdown(c->fd, SHUT_RDWR);
	buf_release(&b);
	return NULL;
}

/* ---- connections ---- */

static bool add_connection(struct http_script *s, int fd)
{
	bool ok = false;

	pthread_mutex_lock(&s->lock);
	if (!s->ending && s->connection_count < CONNECTIONS) {
		struct connection *c = &s->connections[s->connection_count];
		*c = (struct connection){.s = s, .fd = fd};
		ok = pthread_create(&c->thread, NULL, connection_main, c) == 0;
		s->connection_count += ok;
	}
	pthread_mutex_unlock(&s->lock);
	return ok;
}

static void *listener_main(void *arg)
{
	struct http_script *s = arg;
	int fd;

	while ((fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0)
		if (!add_connection(s, fd))
			(void)close(fd);
	return NULL;
}

static int listen_somewhere(unsigned *ret_port)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(fd, CONNECTIONS) < 0 ||
		getsockname(fd, (struct sockaddr *)&at, &len) < 0)
		fail_msg("no server for the test");
	*ret_port = ntohs(at.sin_port);
	return fd;
}

struct http_script *http_script_start(const struct http_step *steps, size_t count)
{
	struct http_script *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	s->steps = steps;
	s->step_count = count;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->wake, NULL);
	s->listener = listen_somewhere(&s->port);
	(void)snprintf(s->url, sizeof(s->url), "http://127.0.0.1:%u", s->port);
	assert_int_equal(pthread_create(&s->thread, NULL, listener_main, s), 0);
	return s;
}

/* ---- for the test ---- */

const char *http_script_url(const struct http_script *s)
{
	return s->url;
}

unsigned http_script_port(const struct http_script *s)
{
	return s->port;
}

size_t http_script_count(struct http_script *s)
{
	pthread_mutex_lock(&s->lock);
	size_t count = s->count;
	pthread_mutex_unlock(&s->lock);
	return count;
}

bool http_script_wait(struct http_script *s, size_t count)
{
	struct timespec until;
	int failed = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += WAIT_SECONDS;
	pthread_mutex_lock(&s->lock);
	while (s->count < count && failed == 0)
		failed = pthread_cond_timedwait(&s->wake, &s->lock, &until);
	bool came = s->count >= count;
	pthread_mutex_unlock(&s->lock);
	return came;
}

const char *http_script_request(struct http_script *s, size_t at)
{
	pthread_mutex_lock(&s->lock);
	const char *request = at < s->count ? s->requests[at] : NULL;
	pthread_mutex_unlock(&s->lock);
	return request;
}

void http_script_let_go(struct http_script *s)
{
	pthread_mutex_lock(&s->lock);
	s->permits++;
	pthread_cond_broadcast(&s->wake);
	pthread_mutex_unlock(&s->lock);
}

static void stop(struct http_script *s)
{
	pthread_mutex_lock(&s->lock);
	s->ending = true;
	pthread_cond_broadcast(&s->wake);
	pthread_mutex_unlock(&s->lock);
	shutdown(s->listener, SHUT_RDWR); /* accept() returns */
	pthread_join(s->thread, NULL);
	for (size_t i = 0; i < s->connection_count; i++) {
		shutdown(s->connections[i].fd, SHUT_RDWR);
		pthread_join(s->connections[i].thread, NULL);
		(void)close(s->connections[i].fd);
	}
	(void)close(s->listener);
}

void http_script_end(struct http_script *s)
{
	char wrong[sizeof(s->wrong)];

	stop(s);
	if (s->wrong[0] == '\0' && s->count < s->step_count)
		(void)snprintf(s->wrong, sizeof(s->wrong), "%zu of %zu requests came", s->count, s->step_count);
	memcpy(wrong, s->wrong, sizeof(wrong));
	for (size_t i = 0; i < s->count; i++)
		free(s->requests[i]);
	pthread_cond_destroy(&s->wake);
	pthread_mutex_destroy(&s->lock);
	free(s);
	if (wrong[0] != '\0')
		fail_msg("the script was not followed: %s", wrong);
}
