/* SPDX-License-Identifier: MIT */

/* Deadlines, cancelling, and what moves too slowly or not at all. */

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/http_asking.h"

enum { LEN = SCRIPT_OBJECT, SLOW = 1200 << 10 };

static const int64_t soon = CLOCK_SECOND; /* 50 ms are meant; the rest is for busy machines */

static void test_http_run__a_deadline_ends_the_wait_for_an_answer(void **state)
{
	struct script s = {.times = 99, .bad = script_hold};
	struct line line;
	struct store_call limits = {.deadline = clock_monotonic() + CLOCK_SECOND / 5};
	struct ask get = {.path = "/o", .limits = &limits};

	(void)state;
	script_start(&line, &s, NULL);
	assert_true(fails(&line, &get, ERR_TIMEOUT, "/o") < CLOCK_SECOND / 5 + soon);
	get.prepared = 0;
	assert_true(fails(&line, &get, ERR_TIMEOUT, "/o") < soon);
	assert_int_equal(get.prepared, 0); /* no time is left: nothing is sent */
	line_stop(&line);
}

struct canceller {
	struct line *line;
	unsigned requests;
	atomic_bool flag;
	atomic_llong at;
};

static void *cancel_when_seen(void *arg)
{
	struct canceller *c = arg;

	http_server_await(c->line->server, c->requests);
	atomic_store(&c->at, clock_monotonic());
	atomic_store(&c->flag, true);
	return NULL;
}

static void cancelled_soon(struct line *line, unsigned requests)
{
	struct canceller c = {.line = line, .requests = requests};
	struct store_call limits = {.cancel = &c.flag};
	struct ask get = {.path = "/o", .limits = &limits};
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, cancel_when_seen, &c), 0);
	(void)fails(line, &get, ERR_CANCELLED, "/o");
	int64_t ended = clock_monotonic();
	pthread_join(thread, NULL);
	assert_true(ended - atomic_load(&c.at) < soon);
}

static void test_http_run__a_cancelled_call_ends_soon(void **state)
{
	struct http_options patient = {.backoff_ns = 30 * CLOCK_SECOND};
	struct script held = {.times = 99, .bad = script_hold}, failing = {.times = 99, .bad = script_fail};
	struct line line;

	(void)state;
	script_start(&line, &held, NULL);
	cancelled_soon(&line, 1);
	line_stop(&line);
	script_start(&line, &failing, &patient);
	cancelled_soon(&line, 1); /* as a rule between two attempts */
	line_stop(&line);
}

static void hold_half(void *arg, struct http_peer *peer, const struct http_seen *seen)
{
	script_send_half(arg, peer);
	script_hold(arg, peer, seen);
}

static void drip(void *arg, struct http_peer *peer, const struct http_seen *seen)
{
	const struct script *s = arg;

	(void)seen;
	http_say(peer, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", LEN);
	for (size_t i = 0; i < LEN && !http_gone(peer); i++) {
		http_send(peer, s->object + i, 1);
		http_drip_pause(peer, 20);
	}
}

static void test_http_run__a_transfer_that_stalls_is_given_up_and_asked_for_again(void **state)
{
	http_server_fn *const bad[] = {script_hold, hold_half, drip};
	struct http_options hasty = {.stall_ns = CLOCK_SECOND, .backoff_ns = 1};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct script s = {.times = 1, .bad = bad[i]};
		struct line line;
		int64_t began = clock_monotonic();
		script_start(&line, &s, &hasty);
		reads_well(&line, &s, 2);
		assert_true(clock_monotonic() - began < CLOCK_SECOND * 10);
		line_stop(&line);
	}
}

static void test_http_run__a_server_that_only_stalls_is_unavailable(void **state)
{
	struct http_options hasty = {.stall_ns = CLOCK_SECOND / 10, .backoff_ns = 1, .attempts = 2};
	struct script s = {.times = 99, .bad = script_hold};
	struct line line;
	struct ask get = {.path = "/o"};

	(void)state;
	script_start(&line, &s, &hasty);
	(void)fails(&line, &get, ERR_UNAVAILABLE, "nothing moved");
	assert_int_equal(get.prepared, 2);
	line_stop(&line);
}

static void answer_with_patience(void *arg, struct http_peer *peer, const struct http_seen *seen)
{
	(void)arg;
	(void)seen;
	http_say(peer, "HTTP/1.1 200 OK\r\nContent-Length: 22\r\n\r\n");
	for (int i = 0; i < 20; i++) {
		http_say(peer, " ");
		http_drip_pause(peer, 90);
	}
	http_say(peer, "ok");
}

static void test_http_run__an_answer_that_is_kept_alive_by_blanks_is_waited_for(void **state)
{
	struct http_options hasty = {.stall_ns = CLOCK_SECOND * 3 / 2};
	struct script s = {.times = 1, .bad = answer_with_patience};
	struct line line;
	struct ask get = {.path = "/o"};
	struct http_answer a;

	(void)state;
	script_start(&line, &s, &hasty);
	ask_ok(&line, &get, &a);
	assert_text(&a, "                    ok");
	assert_int_equal(http_server_requests(line.server), 1);
	http_answer_release(&a);
	line_stop(&line);
}

/* All of it is the kernel's at once, and libcurl has nothing to do until the answer comes. */
static void test_http_run__a_body_that_leaves_slowly_is_no_stall(void **state)
{
	struct http_options hasty = {.stall_ns = CLOCK_SECOND * 3 / 4, .attempts = 1};
	struct script s = {0};
	struct line line;
	uint8_t *bytes = calloc(1, SLOW);
	struct store_body body = {.data = bytes, .len = SLOW};
	struct ask put = {.path = "/o", .body = &body};
	struct http_answer a;
	int64_t began = clock_monotonic();

	(void)state;
	assert_non_null(bytes);
	script_start(&line, &s, &hasty);
	http_server_read_slowly(line.server);
	ask_ok(&line, &put, &a);
	assert_true(clock_monotonic() - began > 2 * hasty.stall_ns); /* or this shows nothing */
	http_answer_release(&a);
	line_stop(&line);
	free(bytes);
}

static void test_http_free__transfers_of_cancelled_calls_are_gone(void **state)
{
	struct script s = {.times = 99, .bad = script_hold};
	struct line line;

	(void)state;
	script_start(&line, &s, NULL);
	for (unsigned i = 1; i <= 3; i++)
		cancelled_soon(&line, i);
	http_free(line.http);
	line.http = NULL;
	http_server_stop(line.server);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_http_run__a_deadline_ends_the_wait_for_an_answer),
		cmocka_unit_test(test_http_run__a_cancelled_call_ends_soon),
		cmocka_unit_test(test_http_run__a_transfer_that_stalls_is_given_up_and_asked_for_again),
		cmocka_unit_test(test_http_run__a_server_that_only_stalls_is_unavailable),
		cmocka_unit_test(test_http_run__an_answer_that_is_kept_alive_by_blanks_is_waited_for),
		cmocka_unit_test(test_http_run__a_body_that_leaves_slowly_is_no_stall),
		cmocka_unit_test(test_http_free__transfers_of_cancelled_calls_are_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
