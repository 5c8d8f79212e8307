/* SPDX-License-Identifier: MIT */

/* When a small read is late, what is asked for twice then, and how long to wait before asking again. */

#include <string.h>

#include "backends/http_impl.h"
#include "tests/unit/http_asking.h"

enum { LEN = 1000, WARM = 20 };

static const int64_t ms = CLOCK_SECOND / 1000;

/* ---- pure ---- */

static void test_http_pace_late__nothing_known_is_half_a_second(void **state)
{
	struct http_pace p = {0};

	(void)state;
	assert_int_equal(http_pace_late(&p), 500 * ms);
}

static void test_http_pace_late__even_answers_bring_it_near_to_their_time(void **state)
{
	struct http_pace p = {0};

	(void)state;
	for (int i = 0; i < 10; i++)
		http_pace_note(&p, 100 * ms);
	assert_int_equal(http_pace_late(&p), 500 * ms); /* a few say little */
	for (int i = 0; i < 100; i++)
		http_pace_note(&p, 100 * ms);
	assert_in_range(http_pace_late(&p), 100 * ms, 101 * ms);
}

static void test_http_pace_late__uneven_answers_keep_it_above_most_of_them(void **state)
{
	struct http_pace p = {0};

	(void)state;
	for (int i = 0; i < 100; i++)
		http_pace_note(&p, (i % 2 == 0 ? 50 : 150) * ms);
	assert_in_range(http_pace_late(&p), 200 * ms, 400 * ms);
}

static void test_http_pace_late__has_bounds(void **state)
{
	struct http_pace fast = {0}, slow = {0};

	(void)state;
	for (int i = 0; i < 100; i++) {
		http_pace_note(&fast, 1000);
		http_pace_note(&slow, 60 * CLOCK_SECOND);
	}
	assert_int_equal(http_pace_late(&fast), 20 * ms);
	assert_int_equal(http_pace_late(&slow), 2 * CLOCK_SECOND);
}

static void test_http_pace_spend__one_read_in_twenty_earns_a_second_one_up_to_ten(void **state)
{
	struct http_pace p = {0};
	unsigned spent = 0;

	(void)state;
	assert_false(http_pace_spend(&p));
	for (int i = 0; i < 21; i++)
		http_pace_note(&p, ms);
	assert_true(http_pace_spend(&p));
	assert_false(http_pace_spend(&p));
	for (int i = 0; i < 10000; i++)
		http_pace_note(&p, ms);
	while (http_pace_spend(&p))
		spent++;
	assert_int_equal(spent, 10);
}

static void test_http_pace_backoff__is_between_nothing_and_a_bound_that_doubles(void **state)
{
	(void)state;
	for (unsigned attempt = 0; attempt < 9; attempt++) {
		int64_t most = 50 * ms << attempt;
		assert_int_equal(http_pace_backoff(50 * ms, attempt, 0), 0);
		assert_int_equal(http_pace_backoff(50 * ms, attempt, (uint64_t)most), most);
		assert_int_equal(http_pace_backoff(50 * ms, attempt, (uint64_t)most + 1), 0);
		for (uint64_t random = 1; random < UINT64_MAX / 7; random *= 7)
			assert_in_range(http_pace_backoff(50 * ms, attempt, random), 0, most);
	}
}

static void test_http_pace_backoff__never_passes_twenty_seconds(void **state)
{
	(void)state;
	assert_int_equal(http_pace_backoff(50 * ms, 60, 20 * (uint64_t)CLOCK_SECOND), 20 * CLOCK_SECOND);
	assert_in_range(http_pace_backoff(50 * ms, 60, UINT64_MAX), 0, 20 * CLOCK_SECOND);
	assert_in_range(http_pace_backoff(INT64_MAX, 60, UINT64_MAX), 0, 20 * CLOCK_SECOND);
	assert_int_equal(http_pace_backoff(0, 5, UINT64_MAX), 0);
}

/* ---- asked for twice ---- */

struct late {
	struct line line;
	uint8_t object[LEN], wrong[LEN];
	http_server_fn *first, *second; /* after the warm ones */
};

static void whole(struct late *l, struct http_peer *peer)
{
	http_answer(peer, 200, "", l->object, LEN);
}

static void play(void *arg, struct http_peer *peer, const struct http_seen *seen)
{
	struct late *l = arg;

	if (seen->number <= WARM)
		whole(l, peer);
	else
		(seen->number == WARM + 1 ? l->first : l->second)(l, peer, seen);
}

static void answer_well(void *arg, struct http_peer *peer, const struct http_seen *seen)
{
	(void)seen;
	whole(arg, peer);
}

static void hold(void *arg, struct http_peer *peer, const struct http_seen *seen)
{
	(void)arg;
	(void)seen;
	http_hold(peer);
	http_hang_up(peer);
}

/* Wrong bytes of the first must not be among what the caller gets. */
static void send_wrong_half(const struct late *l, struct http_peer *peer)
{
	http_say(peer, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", LEN);
	http_send(peer, l->wrong, LEN / 2);
}

static void send_wrong_half_and_hold(void *arg, struct http_peer *peer, const struct http_seen *seen)
{
	send_wrong_half(arg, peer);
	hold(arg, peer, seen);
}

static void answer_when_asked_twice(void *arg, struct http_peer *peer, const struct http_seen *seen)
{
	struct late *l = arg;

	(void)seen;
	http_server_await(l->line.server, WARM + 2);
	whole(l, peer);
}

static void reset_when_asked_twice(void *arg, struct http_peer *peer, const struct http_seen *seen)
{
	struct late *l = arg;

	(void)seen;
	send_wrong_half(l, peer);
	http_server_await(l->line.server, WARM + 2);
	http_reset(peer);
}

static void fail_and_open(void *arg, struct http_peer *peer, const struct http_seen *seen)
{
	struct late *l = arg;

	(void)seen;
	http_answer(peer, 500, "", "", 0);
	http_server_open(l->line.server);
}

static void answer_when_open(void *arg, struct http_peer *peer, const struct http_seen *seen)
{
	(void)seen;
	http_hold(peer);
	http_drip_pause(peer, 50); /* the other one's failure is there by then */
	whole(arg, peer);
}

static void read_once(struct late *l, bool hedge)
{
	uint8_t dst[LEN] = {0};
	struct ask get = {.path = "/o", .dst = dst, .dst_len = LEN, .hedge = hedge};
	struct http_answer a;

	ask_ok(&l->line, &get, &a);
	assert_int_equal(a.len, LEN);
	assert_memory_equal(dst, l->object, LEN);
	http_answer_release(&a);
}

/* Reads so often that an answer is expected soon; then the one that is late. */
static struct http_metrics read_late(http_server_fn *first, http_server_fn *second, bool hedge)
{
	struct late l = {.first = first, .second = second};

	made_bytes(l.object, LEN, 1);
	made_bytes(l.wrong, LEN, 2);
	line_start(&l.line, play, &l, NULL);
	for (int i = 0; i < WARM; i++)
		read_once(&l, false);
	read_once(&l, hedge);
	struct http_metrics m = line_metrics(&l.line);
	line_stop(&l.line);
	return m;
}

static void test_http_run__the_twin_of_a_late_read_may_win(void **state)
{
	http_server_fn *const late[] = {hold, send_wrong_half_and_hold, reset_when_asked_twice};

	(void)state;
	for (size_t i = 0; i < sizeof(late) / sizeof(late[0]); i++) {
		struct http_metrics m = read_late(late[i], answer_well, true);
		assert_int_equal(m.hedged, 1);
		assert_int_equal(m.hedges_won, 1);
		assert_int_equal(m.repeated, 0);
		assert_int_equal(m.connections, 2);
	}
}

static void test_http_run__a_late_read_may_win_against_its_twin(void **state)
{
	http_server_fn *const twin[] = {hold, send_wrong_half_and_hold};

	(void)state;
	for (size_t i = 0; i < sizeof(twin) / sizeof(twin[0]); i++) {
		struct http_metrics m = read_late(answer_when_asked_twice, twin[i], true);
		assert_int_equal(m.hedged, 1);
		assert_int_equal(m.hedges_won, 0);
		assert_int_equal(m.repeated, 0);
	}
}

static void test_http_run__a_twin_that_fails_does_not_take_the_others_chance(void **state)
{
	(void)state;
	struct http_metrics m = read_late(answer_when_open, fail_and_open, true);

	assert_int_equal(m.hedged, 1);
	assert_int_equal(m.hedges_won, 0);
	assert_int_equal(m.repeated, 0);
}

static void answer_after_a_while(void *arg, struct http_peer *peer, const struct http_seen *seen)
{
	(void)seen;
	http_drip_pause(peer, 200);
	whole(arg, peer);
}

static void test_http_run__nothing_is_asked_twice_that_was_not_to_be(void **state)
{
	(void)state;
	struct http_metrics m = read_late(answer_after_a_while, hold, false);

	assert_int_equal(m.hedged, 0);
	assert_int_equal(m.requests, WARM + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_http_pace_late__nothing_known_is_half_a_second),
		cmocka_unit_test(test_http_pace_late__even_answers_bring_it_near_to_their_time),
		cmocka_unit_test(test_http_pace_late__uneven_answers_keep_it_above_most_of_them),
		cmocka_unit_test(test_http_pace_late__has_bounds),
		cmocka_unit_test(test_http_pace_spend__one_read_in_twenty_earns_a_second_one_up_to_ten),
		cmocka_unit_test(test_http_pace_backoff__is_between_nothing_and_a_bound_that_doubles),
		cmocka_unit_test(test_http_pace_backoff__never_passes_twenty_seconds),
		cmocka_unit_test(test_http_run__the_twin_of_a_late_read_may_win),
		cmocka_unit_test(test_http_run__a_late_read_may_win_against_its_twin),
		cmocka_unit_test(test_http_run__a_twin_that_fails_does_not_take_the_others_chance),
		cmocka_unit_test(test_http_run__nothing_is_asked_twice_that_was_not_to_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
