/* SPDX-License-Identifier: MIT */
#include "tests/unit/aws_world.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "backends/aws_impl.h"

/* As containers and instances answer; `expires` is a text of JSON, with its comma before it, or "". */
#define KEYS(access, expires)                                                                                   \
	"{\"Code\": \"Success\", \"AccessKeyId\": \"" access "\", \"SecretAccessKey\": \"s3cr3t-" access "\", " \
	"\"Token\": \"s3cr3t-token-" access "\"" expires "}"
#define UNTIL(time) ", \"Expiration\": \"2031-05-05T" time "Z\""
#define ROLES "/latest/meta-data/iam/security-credentials/"

static struct http_script *container(struct world *w, const struct http_step *steps, size_t count)
{
	struct http_script *s = http_script_start(steps, count);

	world_set(w, "AWS_CONTAINER_CREDENTIALS_FULL_URI", "%s/keys", http_script_url(s));
	return s;
}

static struct http_script *instance(struct world *w, const struct http_step *steps, size_t count)
{
	struct http_script *s = http_script_start(steps, count);

	world_set(w, "AWS_EC2_METADATA_SERVICE_ENDPOINT", "%s/", http_script_url(s));
	world_unset(w, "AWS_EC2_METADATA_DISABLED");
	return s;
}

#define COUNT(steps) (sizeof(steps) / sizeof((steps)[0]))

/* ---- the environment, and the order ---- */

static void test_environment__goes_before_files_and_services(void **state)
{
	struct world *w = *state;

	world_write(w, "credentials", "[default]\naws_access_key_id = F\naws_secret_access_key = s3cr3t\n");
	world_set(w, "AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1/");
	world_set(w, "AWS_ACCESS_KEY_ID", "E");
	world_set(w, "AWS_SECRET_ACCESS_KEY", "s3cr3t-e");
	world_expect(w, "E", "s3cr3t-e", NULL, "environment");
	world_set(w, "AWS_SESSION_TOKEN", "s3cr3t-t");
	world_open(w);
	world_expect(w, "E", "s3cr3t-e", "s3cr3t-t", "environment");
}

static void test_files__go_before_services(void **state)
{
	struct world *w = *state;

	world_write(w, "credentials", "[default]\naws_access_key_id = F\naws_secret_access_key = s3cr3t\n");
	world_set(w, "AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1/");
	world_expect(w, "F", "s3cr3t", NULL, "profile 'default'");
}

static void test_container__goes_before_the_instance(void **state)
{
	static const struct http_step steps[] = {{.expect = "GET /keys ", .body = KEYS("C", "")}};
	struct world *w = *state;
	struct http_script *s = container(w, steps, 1);

	world_unset(w, "AWS_EC2_METADATA_DISABLED");
	world_set(w, "AWS_EC2_METADATA_SERVICE_ENDPOINT", "%s", http_script_url(s));
	world_write(w, "config", "[default]\nregion = eu-west-1\n"); /* a profile without keys is passed by */
	world_expect(w, "C", "s3cr3t-C", "s3cr3t-token-C", "container");
	http_script_end(s);
}

static void test_profile__named_by_the_caller_goes_before_the_environment(void **state)
{
	struct world *w = *state;

	world_write(w, "credentials", "[x]\naws_access_key_id = F\naws_secret_access_key = s3cr3t\n");
	world_set(w, "AWS_ACCESS_KEY_ID", "E");
	world_set(w, "AWS_SECRET_ACCESS_KEY", "s3cr3t-e");
	w->options.profile = "x";
	world_expect(w, "F", "s3cr3t", NULL, "profile 'x'");
}

static void test_environment__with_one_key_of_two_is_refused(void **state)
{
	struct world *w = *state;

	world_set(w, "AWS_SECRET_ACCESS_KEY", "s3cr3t");
	EXPECT_ERROR(w, ERR_USAGE, "AWS_ACCESS_KEY_ID", "set both");
}

static void test_environment__a_line_end_in_a_key_is_refused_without_showing_it(void **state)
{
	struct world *w = *state;

	world_set(w, "AWS_ACCESS_KEY_ID", "s3cr3t-id\n");
	world_set(w, "AWS_SECRET_ACCESS_KEY", "s3cr3t");
	EXPECT_ERROR(w, ERR_USAGE, "environment", "access key holds");
	world_set(w, "AWS_ACCESS_KEY_ID", "A");
	world_set(w, "AWS_SECRET_ACCESS_KEY", "s3cr3t more");
	EXPECT_ERROR(w, ERR_USAGE, "environment", "secret key holds");
}

static void test_nothing__lists_every_place(void **state)
{
	struct world *w = *state;

	EXPECT_ERROR(w, ERR_DENIED, "AWS_ACCESS_KEY_ID is not set", "AWS_WEB_IDENTITY_TOKEN_FILE", w->root,
		"/.aws/credentials' (no such file)", "/.aws/config", "AWS_CONTAINER_CREDENTIALS",
		"AWS_EC2_METADATA_DISABLED");
	world_unset(w, "HOME");
	world_open(w);
	EXPECT_ERROR(w, ERR_DENIED, "HOME is not set");
}

/* ---- the container ---- */

static void test_container__sends_its_token_and_reads_the_file_anew(void **state)
{
	static const struct http_step steps[] = {
		{.header = "authorization: s3cr3t-given\r\n", .body = KEYS("A", UNTIL("12:10:00"))},
		{.header = "authorization: s3cr3t-1\r\n", .body = KEYS("B", UNTIL("12:20:00"))},
		{.header = "authorization: s3cr3t-2\r\n", .body = KEYS("C", UNTIL("13:00:00"))}};
	struct world *w = *state;
	struct http_script *s = container(w, steps, COUNT(steps));

	world_set(w, "AWS_CONTAINER_AUTHORIZATION_TOKEN", "s3cr3t-given");
	world_expect(w, "A", "s3cr3t-A", "s3cr3t-token-A", "container");
	world_set(w, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "%s/.aws/token", w->root);
	world_write(w, "token", "s3cr3t-1\n");
	world_pass(w, 6 * 60);
	world_expect(w, "B", "s3cr3t-B", "s3cr3t-token-B", "container");
	world_write(w, "token", "s3cr3t-2");
	world_pass(w, 10 * 60);
	world_expect(w, "C", "s3cr3t-C", "s3cr3t-token-C", "container");
	http_script_end(s);
}

static void test_container__refusals_and_garbage_are_told(void **state)
{
	static const struct http_step steps[] = {{.status = 401, .body = "s3cr3t"}, {.body = "s3cr3t is no JSON"},
		{.body = "[\"s3cr3t\"]"}, {.body = "{\"AccessKeyId\": \"A\", \"Token\": \"s3cr3t\"}"},
		{.body = "{\"AccessKeyId\": \"A\", \"SecretAccessKey\": \"s3cr3t\", \"Expiration\": \"soon\"}"}};
	struct world *w = *state;
	struct http_script *s = container(w, steps, COUNT(steps));

	EXPECT_ERROR(w, ERR_DENIED, "container", "401");
	EXPECT_ERROR(w, ERR_IO, "container", "no JSON");
	EXPECT_ERROR(w, ERR_IO, "container", "no JSON");
	EXPECT_ERROR(w, ERR_USAGE, "container", "no secret key");
	EXPECT_ERROR(w, ERR_USAGE, "container", "expire");
	http_script_end(s);
}

static void test_container__that_does_not_answer_is_unavailable(void **state)
{
	struct world *w = *state;
	struct http_script *s = container(w, NULL, 0);

	http_script_end(s); /* nobody listens there any more */
	EXPECT_ERROR(w, ERR_UNAVAILABLE, "container");
}

static void test_container__keys_go_over_plain_http_only_within_the_machine(void **state)
{
	static const struct {
		const char *url;
		int code;
	} cases[] = {{"http://localhost/x", 0}, {"http://127.9.8.7:80/x", 0}, {"http://[::1]:8/x", 0},
		{"http://169.254.170.2/x", 0}, {"http://169.254.170.23/v1/credentials", 0},
		{"http://[fd00:ec2::23]/v1/credentials", 0}, {"https://example.com/x", 0},
		{"http://example.com/x", ERR_USAGE}, {"http://127.0.0.1.example.com/", ERR_USAGE},
		{"http://169.254.170.24/x", ERR_USAGE}, {"http://localhost@example.com/", ERR_USAGE},
		{"http://[fd00:ec2::24]/", ERR_USAGE}, {"http://2130706433/", ERR_USAGE}, {"file:///etc", ERR_USAGE},
		{"http://localhost /", ERR_USAGE}};
	struct world *w = *state;
	struct error err = ERROR_INIT;

	world_open(w);
	struct aws_fetch f = {.c = w->c};
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct buf url = {0};
		world_set(w, "AWS_CONTAINER_CREDENTIALS_FULL_URI", "%s", cases[i].url);
		assert_int_equal(aws_container_url(&f, &url, &err), cases[i].code);
		if (cases[i].code == 0)
			assert_string_equal(url.data, cases[i].url);
		buf_release(&url);
	}
	struct buf url = {0};
	world_set(w, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials/1");
	assert_int_equal(aws_container_url(&f, &url, &err), 0);
	assert_string_equal(url.data, "http://169.254.170.2/v2/credentials/1");
	buf_release(&url);
	world_set(w, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "@example.com/");
	assert_int_equal(aws_container_url(&f, &url, &err), ERR_USAGE);
	buf_release(&url);
}

/* ---- the instance ---- */

static void test_instance__is_asked_with_a_token(void **state)
{
	static const struct http_step steps[] = {
		{.expect = "PUT /latest/api/token ", .header = "ttl-seconds: 21600", .body = "s3cr3t-t"},
		{.expect = "GET " ROLES " ",
			.header = "x-aws-ec2-metadata-token: s3cr3t-t\r\n",
			.body = "role/1\nmore"},
		{.expect = "GET " ROLES "role%2F1 ",
			.header = "x-aws-ec2-metadata-token: s3cr3t-t\r\n",
			.body = KEYS("I", UNTIL("18:00:00"))}};
	struct world *w = *state;
	struct http_script *s = instance(w, steps, COUNT(steps));

	world_expect(w, "I", "s3cr3t-I", "s3cr3t-token-I", "instance");
	http_script_end(s);
}

static void test_instance__without_tokens_is_asked_by_version_1(void **state)
{
	static const struct http_step steps[] = {{.expect = "PUT /latest/api/token ", .status = 404},
		{.expect = "GET " ROLES " ", .absent = "metadata-token", .body = "r"},
		{.expect = "GET " ROLES "r ", .absent = "metadata-token", .body = KEYS("I", "")},
		{.expect = "PUT /latest/api/token ", .status = 405}};
	struct world *w = *state;
	struct http_script *s = instance(w, steps, COUNT(steps));

	world_expect(w, "I", "s3cr3t-I", "s3cr3t-token-I", "instance");
	world_set(w, "AWS_EC2_METADATA_V1_DISABLED", "true");
	world_open(w);
	EXPECT_ERROR(w, ERR_DENIED, "instance", "405");
	http_script_end(s);
}

static void test_instance__without_a_role_is_a_place_with_nothing(void **state)
{
	static const struct http_step steps[] = {{.body = "t"}, {.status = 404},
		/* and one whose role gives none */
		{.body = "t"}, {.body = "r"}, {.body = "{\"Code\": \"AssumeRoleUnauthorizedAccess\"}"},
		{.body = "two\nlines"}};
	struct world *w = *state;
	struct http_script *s = instance(w, steps, COUNT(steps));

	EXPECT_ERROR(w, ERR_DENIED, "no role", "AWS_ACCESS_KEY_ID is not set");
	EXPECT_ERROR(w, ERR_DENIED, "instance", "AssumeRoleUnauthorizedAccess");
	EXPECT_ERROR(w, ERR_IO, "gives no token");
	http_script_end(s);
}

static void test_instance__that_is_none_is_a_place_with_nothing(void **state)
{
	struct world *w = *state;
	struct http_script *s = instance(w, NULL, 0);

	http_script_end(s);
	EXPECT_ERROR(w, ERR_DENIED, "no instance metadata service answers at http://127.0.0.1");
}

/* ---- keys that expire ---- */

static void test_refresh__comes_five_minutes_before_the_end(void **state)
{
	static const struct http_step steps[] = {
		{.body = KEYS("A", UNTIL("13:00:00"))}, {.body = KEYS("B", UNTIL("14:00:00"))}};
	struct world *w = *state;
	struct http_script *s = container(w, steps, COUNT(steps));

	world_expect(w, "A", "s3cr3t-A", "s3cr3t-token-A", "container");
	world_pass(w, 54 * 60);
	world_expect(w, "A", "s3cr3t-A", "s3cr3t-token-A", "container");
	assert_int_equal(http_script_count(s), 1);
	world_pass(w, 2 * 60);
	world_expect(w, "B", "s3cr3t-B", "s3cr3t-token-B", "container");
	http_script_end(s);
}

static void test_refresh__that_fails_leaves_keys_that_are_good(void **state)
{
	static const struct http_step steps[] = {{.body = KEYS("A", UNTIL("13:00:00"))}, {.status = 403},
		{.status = 403}, {.status = 403}, {.body = KEYS("B", UNTIL("15:00:00"))}};
	struct world *w = *state;
	struct http_script *s = container(w, steps, COUNT(steps));

	world_expect(w, "A", "s3cr3t-A", "s3cr3t-token-A", "container");
	world_pass(w, 56 * 60);
	world_expect(w, "A", "s3cr3t-A", "s3cr3t-token-A", "container");
	world_expect(w, "A", "s3cr3t-A", "s3cr3t-token-A", "container"); /* no second request at once */
	assert_int_equal(http_script_count(s), 2);
	world_pass(w, 60);
	world_expect(w, "A", "s3cr3t-A", "s3cr3t-token-A", "container");
	world_pass(w, 4 * 60); /* expired */
	EXPECT_ERROR(w, ERR_DENIED, "403");
	world_expect(w, "B", "s3cr3t-B", "s3cr3t-token-B", "container");
	http_script_end(s);
}

static void test_expired__keys_fresh_from_their_source_are_left_to_the_server(void **state)
{
	static const struct http_step steps[] = {
		{.body = KEYS("A", UNTIL("11:00:00"))}, {.body = KEYS("B", UNTIL("15:00:00"))}};
	struct world *w = *state;
	struct http_script *s = container(w, steps, COUNT(steps));

	world_expect(w, "A", "s3cr3t-A", "s3cr3t-token-A", "container");
	world_expect(w, "A", "s3cr3t-A", "s3cr3t-token-A", "container");
	world_pass(w, 31);
	world_expect(w, "B", "s3cr3t-B", "s3cr3t-token-B", "container");
	http_script_end(s);
}

static void test_refused__keys_are_fetched_anew_once(void **state)
{
	static const struct http_step steps[] = {
		{.body = KEYS("A", "")}, {.body = KEYS("B", "")}, {.body = KEYS("B", "")}};
	struct world *w = *state;
	struct http_script *s = container(w, steps, COUNT(steps));
	struct aws_keys a = {0}, b = {0};

	world_open(w);
	assert_int_equal(aws_credentials_get(w->c, NULL, &a, NULL), 0);
	assert_true(aws_credentials_refused(w->c, &a));
	assert_true(aws_credentials_refused(w->c, &a)); /* by a second request that was under way */
	assert_int_equal(aws_credentials_get(w->c, NULL, &b, NULL), 0);
	assert_string_equal(b.access_key, "B");
	assert_true(aws_credentials_refused(w->c, &a)); /* there are others already */
	assert_int_equal(http_script_count(s), 2);
	assert_true(aws_credentials_refused(w->c, &b));
	world_expect(w, "B", "s3cr3t-B", "s3cr3t-token-B", "container");
	assert_false(aws_credentials_refused(w->c, &b)); /* they came back: there are no others */
	world_expect(w, "B", "s3cr3t-B", "s3cr3t-token-B", "container");
	aws_keys_release(&a);
	aws_keys_release(&b);
	http_script_end(s);
}

static void test_refused__the_environment_has_no_others(void **state)
{
	struct world *w = *state;
	struct aws_keys keys = {0};

	world_set(w, "AWS_ACCESS_KEY_ID", "E");
	world_set(w, "AWS_SECRET_ACCESS_KEY", "s3cr3t-e");
	world_open(w);
	assert_int_equal(aws_credentials_get(w->c, NULL, &keys, NULL), 0);
	assert_false(aws_credentials_refused(w->c, &keys));
	aws_keys_release(&keys);
}

/* ---- many threads ---- */

enum { THREADS = 8 };

struct asker {
	struct aws_credentials *c;
	pthread_t thread;
	int rc;
	char access[20];
	struct error err;
};

static void *ask(void *arg)
{
	struct asker *a = arg;
	struct aws_keys keys = {0};

	a->rc = aws_credentials_get(a->c, NULL, &keys, &a->err);
	if (a->rc == 0)
		strcpy(a->access, keys.access_key);
	aws_keys_release(&keys);
	return NULL;
}

static void start_all(struct asker *a, struct aws_credentials *c)
{
	for (size_t i = 0; i < THREADS; i++) {
		a[i] = (struct asker){.c = c};
		assert_int_equal(pthread_create(&a[i].thread, NULL, ask, &a[i]), 0);
	}
}

static void test_threads__ask_once_for_all(void **state)
{
	static const struct http_step steps[] = {{.body = KEYS("A", UNTIL("18:00:00")), .hold = true}};
	struct world *w = *state;
	struct http_script *s = container(w, steps, 1);
	struct asker a[THREADS];

	world_open(w);
	start_all(a, w->c);
	assert_true(http_script_wait(s, 1));
	http_script_let_go(s);
	for (size_t i = 0; i < THREADS; i++) {
		pthread_join(a[i].thread, NULL);
		assert_int_equal(a[i].rc, 0);
		assert_string_equal(a[i].access, "A");
	}
	http_script_end(s);
}

static void test_threads__go_on_with_old_keys_while_new_ones_are_fetched(void **state)
{
	static const struct http_step steps[] = {
		{.body = KEYS("A", UNTIL("13:00:00"))}, {.body = KEYS("B", UNTIL("18:00:00")), .hold = true}};
	struct world *w = *state;
	struct http_script *s = container(w, steps, COUNT(steps));
	struct asker a[1] = {{.rc = -1}};

	world_expect(w, "A", "s3cr3t-A", "s3cr3t-token-A", "container");
	world_pass(w, 57 * 60);
	a[0].c = w->c;
	assert_int_equal(pthread_create(&a[0].thread, NULL, ask, &a[0]), 0);
	assert_true(http_script_wait(s, 2));
	world_expect(w, "A", "s3cr3t-A", "s3cr3t-token-A", "container"); /* does not wait */
	http_script_let_go(s);
	pthread_join(a[0].thread, NULL);
	assert_string_equal(a[0].access, "B");
	world_expect(w, "B", "s3cr3t-B", "s3cr3t-token-B", "container");
	http_script_end(s);
}

static void test_threads__share_a_failure_that_they_waited_for(void **state)
{
	static const struct http_step steps[] = {{.status = 403, .hold = true}};
	struct world *w = *state;
	struct http_script *s = container(w, steps, 1);
	struct asker a = {.rc = 0};

	world_open(w);
	a.c = w->c;
	assert_int_equal(pthread_create(&a.thread, NULL, ask, &a), 0);
	assert_true(http_script_wait(s, 1));
	atomic_store(&w->let_go, s); /* looked at under the lock, so before the flight can land */
	EXPECT_ERROR(w, ERR_DENIED, "403");
	pthread_join(a.thread, NULL);
	assert_int_equal(a.rc, ERR_DENIED);
	http_script_end(s);
}

static void test_cancelled__ends_the_wait(void **state)
{
	static const struct http_step steps[] = {{.body = KEYS("A", ""), .hold = true}};
	struct world *w = *state;
	struct http_script *s = container(w, steps, 1);
	atomic_bool cancel = true;
	struct store_call limits = {.cancel = &cancel};
	struct asker a = {.rc = -1};
	struct aws_keys keys = {0};

	world_open(w);
	a.c = w->c;
	assert_int_equal(pthread_create(&a.thread, NULL, ask, &a), 0);
	assert_true(http_script_wait(s, 1));
	assert_int_equal(aws_credentials_get(w->c, &limits, &keys, NULL), ERR_CANCELLED);
	http_script_let_go(s);
	pthread_join(a.thread, NULL);
	assert_string_equal(a.access, "A");
	http_script_end(s);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, world_set_up, world_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_environment__goes_before_files_and_services),
		TEST(test_files__go_before_services),
		TEST(test_container__goes_before_the_instance),
		TEST(test_profile__named_by_the_caller_goes_before_the_environment),
		TEST(test_environment__with_one_key_of_two_is_refused),
		TEST(test_environment__a_line_end_in_a_key_is_refused_without_showing_it),
		TEST(test_nothing__lists_every_place),
		TEST(test_container__sends_its_token_and_reads_the_file_anew),
		TEST(test_container__refusals_and_garbage_are_told),
		TEST(test_container__that_does_not_answer_is_unavailable),
		TEST(test_container__keys_go_over_plain_http_only_within_the_machine),
		TEST(test_instance__is_asked_with_a_token),
		TEST(test_instance__without_tokens_is_asked_by_version_1),
		TEST(test_instance__without_a_role_is_a_place_with_nothing),
		TEST(test_instance__that_is_none_is_a_place_with_nothing),
		TEST(test_refresh__comes_five_minutes_before_the_end),
		TEST(test_refresh__that_fails_leaves_keys_that_are_good),
		TEST(test_expired__keys_fresh_from_their_source_are_left_to_the_server),
		TEST(test_refused__keys_are_fetched_anew_once),
		TEST(test_refused__the_environment_has_no_others),
		TEST(test_threads__ask_once_for_all),
		TEST(test_threads__go_on_with_old_keys_while_new_ones_are_fetched),
		TEST(test_threads__share_a_failure_that_they_waited_for),
		TEST(test_cancelled__ends_the_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
