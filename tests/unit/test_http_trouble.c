/* SPDX-License-Identifier: MIT */

/* What goes wrong on the line and at the server, and what is made of it. */

#include <semaphore.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/http_asking.h"

enum { LEN = SCRIPT_OBJECT };

static const int64_t soon = CLOCK_SECOND / 2; /* 50 ms are meant; the rest is for busy machines */

/* ---- statuses ---- */

static void answer_404(void *arg, struct http_peer *peer, const struct http_seen *seen)
{
	(void)arg;
	(void)seen;
	http_answer(peer, 404, "", "none", 4);
}

static void answer_429(void *arg, struct http_peer *peer, const struct http_seen *seen)
{
	(void)arg;
	(void)seen;
	http_answer(peer, 429, "x-amz-retry-after: 1\r\n", "", 0);
}

static void answer_503(void *arg, struct http_peer *peer, const struct http_seen *seen)
{
	(void)arg;
	(void)seen;
	http_answer(peer, 503, "Retry-After: 1\r\n", "", 0);
}

static void test_http_run__a_server_that_failed_once_is_asked_again(void **state)
{
	struct script s = {.times = 1, .bad = script_fail};
	struct line line;

	(void)state;
	script_start(&line, &s, NULL);
	reads_well(&line, &s, 2);
	assert_int_equal(line_metrics(&line).repeated, 1);
	assert_int_equal(line_metrics(&line).failed, 0);
	assert_int_equal(line_metrics(&line).connections, 1);
	line_stop(&line);
}

static void test_http_run__a_pause_that_the_server_asks_for_is_kept(void **state)
{
	struct script s = {.times = 1, .bad = answer_503};
	struct line line;
	int64_t began = clock_monotonic();

	(void)state;
	script_start(&line, &s, NULL);
	reads_well(&line, &s, 2);
	assert_true(clock_monotonic() - began >= CLOCK_SECOND);
	line_stop(&line);
}

static void test_http_run__a_pause_that_ends_behind_the_deadline_is_not_begun(void **state)
{
	struct script s = {.times = 1, .bad = answer_503};
	struct line line;
	struct store_call limits = {.deadline = clock_monotonic() + CLOCK_SECOND * 9 / 10};
	struct ask get = {.path = "/o", .limits = &limits};

	(void)state;
	script_start(&line, &s, NULL);
	assert_true(fails(&line, &get, ERR_THROTTLED, "slow down") < soon);
	assert_int_equal(http_server_requests(line.server), 1);
	assert_int_equal(line_metrics(&line).repeated, 0);
	assert_int_equal(line_metrics(&line).failed, 1);
	line_stop(&line);
}

static void test_http_run__too_many_requests_narrow_the_limit(void **state)
{
	struct script s = {.times = 2, .bad = answer_429};
	struct line line;

	(void)state;
	script_start(&line, &s, NULL);
	assert_int_equal(line_metrics(&line).limit, 16);
	reads_well(&line, &s, 3);
	assert_int_equal(line_metrics(&line).throttled, 2);
	assert_int_equal(line_metrics(&line).limit, 11); /* two refusals of one moment count as one */
	line_stop(&line);
}

static void test_http_run__what_is_not_there_is_not_asked_for_again(void **state)
{
	struct script s = {.times = 9, .bad = answer_404};
	struct line line;
	struct ask get = {.path = "/o"};

	(void)state;
	script_start(&line, &s, NULL);
	(void)fails(&line, &get, ERR_NOT_FOUND, "404");
	assert_int_equal(http_server_requests(line.server), 1);
	assert_int_equal(line_metrics(&line).failed, 0);
	line_stop(&line);
}

static void test_http_run__attempts_are_bounded(void **state)
{
	struct script s = {.times = 99, .bad = script_fail};
	struct http_options four = {.attempts = 4, .backoff_ns = 1};
	struct line line;
	struct ask get = {.path = "/o"};

	(void)state;
	script_start(&line, &s, &four);
	(void)fails(&line, &get, ERR_UNAVAILABLE, "500");
	assert_int_equal(http_server_requests(line.server), 4);
	assert_int_equal(get.prepared, 4);
	assert_int_equal(line_metrics(&line).failed, 1);
	line_stop(&line);
}

static void test_http_run__repetitions_that_do_not_help_use_up_a_budget(void **state)
{
	struct script s = {.times = 7, .bad = script_fail};
	struct http_options three = {.budget = 3, .backoff_ns = 1};
	struct line line;
	struct ask get = {.path = "/o"};

	(void)state;
	script_start(&line, &s, &three);
	(void)fails(&line, &get, ERR_UNAVAILABLE, "500");
	assert_int_equal(http_server_requests(line.server), 4);
	for (unsigned i = 5; i <= 7; i++) {
		(void)fails(&line, &get, ERR_UNAVAILABLE, "500");
		assert_int_equal(http_server_requests(line.server), i);
	}
	for (unsigned i = 8; i <= 18; i++)
		reads_well(&line, &s, i);
	s.times = 19;
	reads_well(&line, &s, 20); /* successes have earned it */
	line_stop(&line);
}

static void test_http_run__a_line_that_fails_now_and_then_is_lived_with(void **state)
{
	struct script s = {.bad = script_fail};
	struct http_options two = {.budget = 2, .backoff_ns = 1};
	struct line line;

	(void)state;
	script_start(&line, &s, &two);
	for (unsigned i = 0; i < 20; i++) {
		s.times = 2 * i + 1;
		reads_well(&line, &s, 2 * i + 2);
	}
	line_stop(&line);
}

static enum http_verdict judge_at_once(void *arg, const struct http_answer *a, struct error *err)
{
	(void)arg;
	error_set(err, ERR_DENIED, "still %d", a->status);
	return HTTP_AT_ONCE;
}

static void test_http_run__what_was_put_right_is_asked_again_a_few_times_only(void **state)
{
	struct script s = {.times = 99, .bad = answer_404};
	struct line line;
	struct ask get = {.path = "/o", .judge = judge_at_once};

	(void)state;
	script_start(&line, &s, NULL);
	(void)fails(&line, &get, ERR_DENIED, "still 404");
	assert_int_equal(http_server_requests(line.server), 4);
	line_stop(&line);
}

/* ---- connections that break ---- */

static void reset_in_the_middle(void *arg, struct http_peer *peer, const struct http_seen *seen)
{
	(void)seen;
	script_send_half(arg, peer);
	http_reset(peer);
}

static void end_in_the_middle(void *arg, struct http_peer *peer, const struct http_seen *seen)
{
	(void)seen;
	script_send_half(arg, peer);
	http_hang_up(peer);
}

static void hang_up(void *arg, struct http_peer *peer, const struct http_seen *seen)
{
	(void)arg;
	(void)seen;
	http_hang_up(peer);
}

static void talk_nonsense(void *arg, struct http_peer *peer, const struct http_seen *seen)
{
	(void)arg;
	(void)seen;
	http_say(peer, "220 mail.example ready\r\n");
	http_hang_up(peer);
}

static void test_http_run__an_answer_that_breaks_off_is_asked_for_again_whole(void **state)
{
	http_server_fn *const bad[] = {reset_in_the_middle, end_in_the_middle, hang_up, talk_nonsense};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct script s = {.times = 2, .bad = bad[i]};
		struct line line;
		struct http_answer a;
		struct ask text = {.path = "/o"};
		script_start(&line, &s, NULL);
		reads_well(&line, &s, 3);
		s.times = 4;
		ask_ok(&line, &text, &a);
		assert_int_equal(a.text.len, LEN);
		assert_memory_equal(a.text.data, s.object, LEN);
		http_answer_release(&a);
		line_stop(&line);
	}
}

static void say_too_much(void *arg, struct http_peer *peer, const struct http_seen *seen)
{
	struct script *s = arg;
	static const char *const extra = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad";

	http_answer(peer, 200, "", s->object, LEN);
	if (seen->number % 2 == 0)
		http_drip_pause(peer, 30); /* so that it is not read along with the answer */
	http_send(peer, extra, strlen(extra));
	sem_post(&s->said);
}

static void test_http_run__bytes_behind_an_answer_are_never_taken_for_the_next_one(void **state)
{
	struct script s = {.times = 5, .bad = say_too_much};
	struct line line;

	(void)state;
	assert_int_equal(sem_init(&s.said, 0, 0), 0);
	script_start(&line, &s, NULL);
	for (unsigned i = 1; i <= 6; i++) {
		reads_well(&line, &s, i);
		if (i < 6)
			assert_int_equal(sem_wait(&s.said), 0);
	}
	assert_int_equal(line_metrics(&line).repeated, 0);
	line_stop(&line);
	sem_destroy(&s.said);
}

/* Every second request on a connection finds it closed, after it was read. */
static void close_when_used_again(void *arg, struct http_peer *peer, const struct http_seen *seen)
{
	unsigned *whole = arg;

	if (seen->number == 2) {
		http_hang_up(peer);
		return;
	}
	if (seen->body_len == LEN)
		++*whole;
	http_answer(peer, 200, "", "", 0);
}

static void test_http_run__a_kept_connection_that_dies_costs_no_attempt_and_no_byte(void **state)
{
	uint8_t bytes[LEN];
	struct store_body body = {.data = bytes, .len = LEN};
	struct line line;
	unsigned whole = 0;

	(void)state;
	made_bytes(bytes, LEN, 1);
	line_start(&line, close_when_used_again, &whole, NULL);
	for (int i = 0; i < 2; i++) {
		struct http_answer a;
		struct ask put = {.path = "/o", .body = &body};
		ask_ok(&line, &put, &a);
		assert_int_equal(put.prepared, 1);
		http_answer_release(&a);
	}
	assert_int_equal(whole, 2);
	assert_int_equal(http_server_requests(line.server), 3);
	line_stop(&line);
}

static void test_http_run__what_may_have_arrived_is_not_sent_twice_where_that_is_wrong(void **state)
{
	uint8_t bytes[LEN];
	struct store_body body = {.data = bytes, .len = LEN};
	struct ask put = {.path = "/o", .body = &body}, once = {.path = "/o", .body = &body, .unrepeatable = true};
	struct http_answer a;
	struct line line;
	unsigned whole = 0;

	(void)state;
	made_bytes(bytes, LEN, 1);
	line_start(&line, close_when_used_again, &whole, NULL);
	ask_ok(&line, &put, &a);
	http_answer_release(&a);
	(void)fails(&line, &once, ERR_UNAVAILABLE, "no answer");
	assert_int_equal(once.prepared, 1);
	assert_int_equal(http_server_requests(line.server), 2);
	line_stop(&line);
}

static void test_http_run__nobody_there_is_asked_again_by_all_and_said(void **state)
{
	struct script s = {0};
	struct http_options three = {.attempts = 3, .backoff_ns = 1};
	struct line line, gone;
	char base[64];

	(void)state;
	script_start(&gone, &s, NULL);
	snprintf(base, sizeof(base), "%s", http_server_url(gone.server));
	line_stop(&gone);
	script_start(&line, &s, &three);
	reads_well(&line, &s, 1); /* so that what an earlier request left behind would show */
	struct ask get = {.base = base, .path = "/o", .unrepeatable = true};
	(void)fails(&line, &get, ERR_UNAVAILABLE, "connect");
	assert_int_equal(get.prepared, 3);
	line_stop(&line);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_http_run__a_server_that_failed_once_is_asked_again),
		cmocka_unit_test(test_http_run__a_pause_that_the_server_asks_for_is_kept),
		cmocka_unit_test(test_http_run__a_pause_that_ends_behind_the_deadline_is_not_begun),
		cmocka_unit_test(test_http_run__too_many_requests_narrow_the_limit),
		cmocka_unit_test(test_http_run__what_is_not_there_is_not_asked_for_again),
		cmocka_unit_test(test_http_run__attempts_are_bounded),
		cmocka_unit_test(test_http_run__repetitions_that_do_not_help_use_up_a_budget),
		cmocka_unit_test(test_http_run__a_line_that_fails_now_and_then_is_lived_with),
		cmocka_unit_test(test_http_run__what_was_put_right_is_asked_again_a_few_times_only),
		cmocka_unit_test(test_http_run__an_answer_that_breaks_off_is_asked_for_again_whole),
		cmocka_unit_test(test_http_run__bytes_behind_an_answer_are_never_taken_for_the_next_one),
		cmocka_unit_test(test_http_run__a_kept_connection_that_dies_costs_no_attempt_and_no_byte),
		cmocka_unit_test(test_http_run__what_may_have_arrived_is_not_sent_twice_where_that_is_wrong),
		cmocka_unit_test(test_http_run__nobody_there_is_asked_again_by_all_and_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
