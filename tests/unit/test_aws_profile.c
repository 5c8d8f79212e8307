/* SPDX-License-Identifier: MIT */
#include "tests/unit/aws_world.h"

#include <stdlib.h>
#include <string.h>

#include "backends/aws_impl.h"
#include "base/fileio.h"

#define COUNT(steps) (sizeof(steps) / sizeof((steps)[0]))
#define PAIR(access) "aws_access_key_id = " access "\naws_secret_access_key = s3cr3t-" access "\n"
/* As STS answers. */
#define ROLE(action, access, expires)                                                                   \
	"<" action "Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><" action "Result>"    \
	"<AssumedRoleUser><Arn>arn:aws:sts::1:assumed-role/r/drfs</Arn></AssumedRoleUser><Credentials>" \
	"<AccessKeyId>" access "</AccessKeyId><SecretAccessKey>s3cr3t-" access "</SecretAccessKey>"     \
	"<SessionToken>s3cr3t-token-" access "</SessionToken><Expiration>2031-05-05T" expires           \
	"Z</Expiration></Credentials></" action "Result></" action "Response>"
#define FAULT(code, message)                                                                                   \
	"<ErrorResponse><Error><Type>Sender</Type><Code>" code "</Code><Message>" message "</Message></Error>" \
	"<RequestId>1</RequestId></ErrorResponse>"

/* ---- files ---- */

static void test_files__spaces_comments_and_line_ends_do_not_matter(void **state)
{
	struct world *w = *state;

	world_write(w, "credentials",
		"\xef\xbb\xbf# first\r\n\r\n  ; second\r\n[other] # third\r\nAWS_Access_Key_Id=O\r\n\r\n"
		"\t[ default ]\r\n  aws_access_key_id\t=  A  \r\n  aws_secret_access_key=s3cr3t/+=#x # fourth\r\n"
		"  aws_session_token = \"t\" ; fifth\r\n[last]");
	world_expect(w, "A", "s3cr3t/+=#x", "\"t\"", "profile 'default'");
}

static void test_files__a_token_may_be_longer_than_a_line_of_others(void **state)
{
	struct world *w = *state;
	char token[6001], *text;

	memset(token, 'x', sizeof(token) - 1);
	token[sizeof(token) - 1] = '\0';
	text = fileio_format("[default]\n" PAIR("A") "aws_session_token = %s\n", token);
	world_write(w, "credentials", text);
	world_expect(w, "A", "s3cr3t-A", token, "profile 'default'");
	free(text);
}

static void test_files__a_profile_of_the_configuration_file_is_found_by_its_name(void **state)
{
	struct world *w = *state;

	world_write(w, "config",
		"[default]\nregion = x\n[profile one]\n" PAIR("1") "[profile \"two words\"]\n" PAIR(
			"2") "[three]\n" PAIR("3"));
	world_set(w, "AWS_PROFILE", "one");
	world_expect(w, "1", "s3cr3t-1", NULL, "profile 'one'");
	world_set(w, "AWS_PROFILE", "two words");
	world_open(w);
	world_expect(w, "2", "s3cr3t-2", NULL, "profile 'two words'");
	world_set(w, "AWS_PROFILE", "three"); /* that is how the other file writes it */
	aws_credentials_free(w->c);
	w->c = NULL;
	EXPECT_ERROR(w, ERR_USAGE, "'three'");
}

static void test_files__the_credentials_file_goes_first_with_all_of_its_keys(void **state)
{
	struct world *w = *state;

	world_write(w, "credentials", "[default]\n" PAIR("C"));
	world_write(w, "config", "[default]\n" PAIR("F") "aws_session_token = s3cr3t-t\n");
	world_expect(w, "C", "s3cr3t-C", NULL, "profile 'default'");
}

static void test_files__may_lie_where_variables_say(void **state)
{
	struct world *w = *state;

	world_write(w, "elsewhere", "[default]\n" PAIR("E"));
	world_write(w, "credentials", "[default]\n" PAIR("C"));
	world_set(w, "AWS_SHARED_CREDENTIALS_FILE", "~/.aws/elsewhere");
	world_expect(w, "E", "s3cr3t-E", NULL, "profile 'default'");
}

static void test_profile__that_is_in_no_file_is_an_error_that_names_them(void **state)
{
	struct world *w = *state;

	world_write(w, "config", "[default]\n" PAIR("A"));
	world_set(w, "AWS_PROFILE", "gone");
	EXPECT_ERROR(w, ERR_USAGE, "'gone'", w->root, "/.aws/credentials' (no such file)", "/.aws/config'");
}

static void test_files__what_cannot_be_read_names_the_line_and_not_its_text(void **state)
{
	static const struct {
		const char *text, *word;
	} cases[] = {{"[default]\nregion = x\ns3cr3t\n", "credentials:3: expected"},
		{"s3cr3t = x\n", "credentials:1: a value stands before"}, {"\n[s3cr3t\n", "credentials:2: a section"},
		{"[a] s3cr3t\n", "credentials:1: a section"}, {"[]\n", "credentials:1: a section's name"},
		{"[a]\n = s3cr3t\n", "credentials:2: the name before"}};
	struct world *w = *state;

	for (size_t i = 0; i < COUNT(cases); i++) {
		world_write(w, "credentials", cases[i].text);
		EXPECT_ERROR(w, ERR_USAGE, cases[i].word);
	}
	world_write_bytes(w, "credentials", "[a]\nx = s3cr3t\0\n", 16);
	EXPECT_ERROR(w, ERR_USAGE, "zero byte");
	world_set(w, "AWS_SHARED_CREDENTIALS_FILE", "%s", w->root);
	EXPECT_ERROR(w, ERR_IO, w->root);
}

static void test_profile__with_half_of_its_keys_is_refused(void **state)
{
	struct world *w = *state;

	world_write(w, "credentials", "[default]\naws_secret_access_key = s3cr3t\n");
	EXPECT_ERROR(w, ERR_USAGE, "profile 'default'", "no access key");
}

static void test_profile__that_signs_in_by_a_browser_says_what_to_do(void **state)
{
	struct world *w = *state;

	world_write(w, "config", "[default]\nsso_session = corp\n");
	EXPECT_ERROR(w, ERR_UNSUPPORTED, "profile 'default'", "credential_process");
}

static void test_profile__changed_on_disk_is_read_anew_when_its_keys_are_refused(void **state)
{
	struct world *w = *state;
	struct aws_keys keys = {0};

	world_write(w, "credentials", "[default]\n" PAIR("A"));
	world_open(w);
	assert_int_equal(aws_credentials_get(w->c, NULL, &keys, NULL), 0);
	world_write(w, "credentials", "[default]\n" PAIR("B"));
	world_expect(w, "A", "s3cr3t-A", NULL, "profile 'default'");
	assert_true(aws_credentials_refused(w->c, &keys));
	world_expect(w, "B", "s3cr3t-B", NULL, "profile 'default'");
	aws_keys_release(&keys);
}

/* ---- settings ---- */

static void assert_setting(struct world *w, const char *name, const char *wanted)
{
	const char *is = aws_setting(w->c, name);

	if (wanted == NULL)
		assert_null(is);
	else
		assert_string_equal(is, wanted);
}

static void test_setting__is_found_in_the_profile_and_its_services(void **state)
{
	struct world *w = *state;

	world_write(w, "config",
		"[default]\nregion = eu-west-1\nendpoint_url = http://all # of them\nservices = lab\nempty =\n"
		"s3 =\n  addressing_style = path\n  endpoint_url = http://nested\nafter = 1\n"
		"[services lab]\ns3 =\n\tendpoint_url = http://s3\n\n  # a comment\nsts =\n  endpoint_url = "
		"http://sts\n"
		"[profile bare]\ns3 =\n  addressing_style = virtual\n  endpoint_url = http://nested\n");
	world_open(w);
	assert_setting(w, "region", "eu-west-1");
	assert_setting(w, "endpoint_url", "http://all");
	assert_setting(w, "s3.endpoint_url", "http://s3");
	assert_setting(w, "s3.addressing_style", "path");
	assert_setting(w, "sts.endpoint_url", "http://sts");
	assert_setting(w, "after", "1");
	assert_setting(w, "empty", NULL);
	assert_setting(w, "s3.region", NULL);
	w->options.profile = "bare";
	world_open(w);
	assert_setting(w, "s3.endpoint_url", "http://nested");
	assert_setting(w, "s3.addressing_style", "virtual");
	assert_setting(w, "region", NULL);
}

static void test_setting__without_files_is_none(void **state)
{
	struct world *w = *state;

	world_open(w);
	assert_setting(w, "region", NULL);
}

/* ---- commands ---- */

static void write_command(struct world *w, const char *command)
{
	char *text = fileio_format("[default]\ncredential_process = %s\n", command);

	world_write(w, "config", text);
	free(text);
	world_open(w);
}

static void test_command__prints_keys_that_expire(void **state)
{
	struct world *w = *state;
	char *command = fileio_format(
		"echo x >> %s/runs; n=$(wc -l < %s/runs); printf '{\"Version\": 1, \"AccessKeyId\": \"P%%s\", "
		"\"SecretAccessKey\": \"s3cr3t\", \"SessionToken\": \"s3cr3t-t\", \"Expiration\": "
		"\"2031-05-05T15:00:00+02:00\"}' $n # and so on",
		w->root, w->root);

	write_command(w, command);
	world_expect(w, "P1", "s3cr3t", "s3cr3t-t", "profile 'default'");
	world_expect(w, "P1", "s3cr3t", "s3cr3t-t", "profile 'default'");
	world_pass(w, 58 * 60); /* to 12:58, and it is good until 13:00 */
	world_expect(w, "P2", "s3cr3t", "s3cr3t-t", "profile 'default'");
	free(command);
}

static void test_command__does_not_get_the_repositorys_passphrase(void **state)
{
	struct world *w = *state;

	assert_int_equal(setenv("DRFS_PASSWORD", "s3cr3t-pass", 1), 0);
	assert_int_equal(setenv("OTHER_WORD", "other", 1), 0);
	write_command(w, "printf '{\"Version\": 1, \"AccessKeyId\": \"P%s%s\", \"SecretAccessKey\": \"s3cr3t\", "
			 "\"SessionToken\": \"s3cr3t-t\"}' \"$DRFS_PASSWORD\" \"$OTHER_WORD\"");
	world_expect(w, "Pother", "s3cr3t", "s3cr3t-t", "profile 'default'");
	assert_int_equal(unsetenv("DRFS_PASSWORD"), 0);
	assert_int_equal(unsetenv("OTHER_WORD"), 0);
}

static void test_command__that_gives_no_keys_is_told(void **state)
{
	struct world *w = *state;

	write_command(w, "echo s3cr3t");
	EXPECT_ERROR(w, ERR_IO, "profile 'default'", "credential_process", "no JSON");
	write_command(w, "echo '{\"Version\": 2, \"AccessKeyId\": \"A\", \"SecretAccessKey\": \"s3cr3t\"}'");
	EXPECT_ERROR(w, ERR_USAGE, "profile 'default'", "'Version' of 1");
	write_command(w, "true");
	EXPECT_ERROR(w, ERR_IO, "no JSON");
	write_command(w, "echo s3cr3t; exit 3");
	EXPECT_ERROR(w, ERR_DENIED, "profile 'default'", "status 3");
	write_command(w, "kill -9 $$");
	EXPECT_ERROR(w, ERR_DENIED, "signal 9");
	write_command(w, "yes s3cr3t");
	EXPECT_ERROR(w, ERR_USAGE, "prints more");
}

static void test_command__ends_with_the_call_that_wants_it(void **state)
{
	struct world *w = *state;
	struct store_call limits = {.deadline = clock_monotonic() + CLOCK_SECOND / 20};
	struct aws_keys keys = {0};
	int64_t began = clock_monotonic();

	write_command(w, "sleep 50 & sleep 50; true");
	assert_int_equal(aws_credentials_get(w->c, &limits, &keys, NULL), ERR_TIMEOUT);
	assert_true(clock_monotonic() - began < 20 * CLOCK_SECOND);
}

/* ---- roles ---- */

static struct http_script *sts(struct world *w, const struct http_step *steps, size_t count)
{
	struct http_script *s = http_script_start(steps, count);

	world_set(w, "AWS_ENDPOINT_URL_STS", "%s/", http_script_url(s));
	return s;
}

static void test_role__is_taken_with_the_keys_of_another_profile(void **state)
{
	static const struct http_step steps[] = {
		{.expect = "POST / ",
			.header = "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fb&"
				  "RoleSessionName=drfs",
			.absent = "x-amz-security-token",
			.body = ROLE("AssumeRole", "B", "13:00:00")},
		{.expect = "POST / ",
			.header = "RoleArn=a&RoleSessionName=me%20too&DurationSeconds=900&ExternalId=x%2F1",
			.body = ROLE("AssumeRole", "A", "13:00:00")}};
	struct world *w = *state;
	struct http_script *s = sts(w, steps, COUNT(steps));

	world_write(w, "credentials", "[base]\n" PAIR("S"));
	world_write(w, "config",
		"[profile a]\nrole_arn = a\nsource_profile = b\nrole_session_name = me too\nexternal_id = x/1\n"
		"duration_seconds = 900\nregion = eu-north-1\n"
		"[profile b]\nrole_arn = arn:aws:iam::1:role/b\nsource_profile = base\n");
	world_set(w, "AWS_PROFILE", "a");
	world_expect(w, "A", "s3cr3t-A", "s3cr3t-token-A", "profile 'a'");
	assert_non_null(strstr(http_script_request(s, 0),
		"Credential=S/20310505/eu-north-1/sts/aws4_request,SignedHeaders=content-type;host;"));
	assert_non_null(strstr(http_script_request(s, 1), "Credential=B/20310505/eu-north-1/sts/"));
	assert_non_null(strstr(http_script_request(s, 1), "x-amz-security-token: s3cr3t-token-B\r\n"));
	assert_null(strstr(http_script_request(s, 0), "s3cr3t"));
	http_script_end(s);
}

static void test_role__of_a_profile_that_is_its_own_source_takes_its_keys(void **state)
{
	static const struct http_step steps[] = {{.body = ROLE("AssumeRole", "R", "13:00:00")}};
	struct world *w = *state;
	struct http_script *s = sts(w, steps, 1);

	world_write(w, "credentials", "[default]\n" PAIR("S"));
	world_write(w, "config", "[default]\nrole_arn = r\nsource_profile = default\n");
	world_expect(w, "R", "s3cr3t-R", "s3cr3t-token-R", "profile 'default'");
	http_script_end(s);
}

static void test_role__by_the_environment(void **state)
{
	static const struct http_step steps[] = {
		{.header = "Credential=E/", .body = ROLE("AssumeRole", "R", "13:00:00")}};
	struct world *w = *state;
	struct http_script *s = sts(w, steps, 1);
	struct aws_keys keys = {0};

	world_write(w, "config", "[profile r]\nrole_arn = r\ncredential_source = Environment\n");
	world_set(w, "AWS_ACCESS_KEY_ID", "E");
	world_set(w, "AWS_SECRET_ACCESS_KEY", "s3cr3t-e");
	w->options.profile = "r";
	world_open(w);
	assert_int_equal(aws_credentials_get(w->c, NULL, &keys, NULL), 0);
	assert_string_equal(keys.access_key, "R");
	assert_true(aws_credentials_refused(w->c, &keys)); /* asking again gives others */
	aws_keys_release(&keys);
	http_script_end(s);
}

static void test_role__profiles_that_lead_in_a_circle_are_refused(void **state)
{
	struct world *w = *state;

	world_write(w, "config",
		"[default]\nrole_arn = r\nsource_profile = b\n[profile b]\nrole_arn = r\nsource_profile = c\n"
		"[profile c]\nrole_arn = r\nsource_profile = b\n");
	EXPECT_ERROR(w, ERR_USAGE, "source_profile", "'b'", "back to itself");
}

static void test_role__that_lacks_something_says_what(void **state)
{
	static const struct {
		const char *text;
		int code;
		const char *word;
	} cases[] = {{"role_arn = r\n", ERR_USAGE, "source_profile or credential_source"},
		{"role_arn = r\nsource_profile = none\n", ERR_USAGE, "'none'"},
		{"role_arn = r\nsource_profile = default\n", ERR_DENIED, "has no keys"},
		{"role_arn = r\ncredential_source = Moon\n", ERR_USAGE, "EcsContainer"},
		{"role_arn = r\ncredential_source = EcsContainer\n", ERR_DENIED, "AWS_CONTAINER"},
		{"role_arn = r\ncredential_source = Ec2InstanceMetadata\n", ERR_DENIED, "METADATA_DISABLED"},
		{"role_arn = r\nmfa_serial = 1\nsource_profile = x\n", ERR_UNSUPPORTED, "mfa_serial"},
		{"web_identity_token_file = /x\n", ERR_USAGE, "role_arn"}};
	struct world *w = *state;

	for (size_t i = 0; i < COUNT(cases); i++) {
		char *text = fileio_format("[default]\n%s", cases[i].text);
		world_write(w, "config", text);
		world_open(w);
		EXPECT_ERROR(w, cases[i].code, cases[i].word);
		free(text);
	}
}

static void test_role__refused_by_sts_says_why_but_repeats_no_secret(void **state)
{
	static const struct http_step steps[] = {
		{.status = 403, .body = FAULT("AccessDenied", "User x may not\n do so")},
		{.status = 403, .body = FAULT("SignatureDoesNotMatch", "you sent s3cr3t-S")},
		{.status = 400, .body = "s3cr3t"}, {.body = "<a>s3cr3t</a>"},
		{.body = "<!DOCTYPE x [<!ENTITY e \"s3cr3t\">]><a>&e;</a>"},
		{.body = "<a><a><a><a><a><a><a><a><a><a/></a></a></a></a></a></a></a></a></a>"},
		{.body = ROLE("AssumeRole", "", "13:00:00")}};
	struct world *w = *state;
	struct http_script *s = sts(w, steps, COUNT(steps));

	world_write(w, "credentials", "[default]\nrole_arn = r\nsource_profile = default\n" PAIR("S"));
	EXPECT_ERROR(
		w, ERR_DENIED, "profile 'default'", "127.0.0.1", "'r'", "AccessDenied: User x may not? do so (403)");
	EXPECT_ERROR(w, ERR_DENIED, "SignatureDoesNotMatch (403)");
	EXPECT_ERROR(w, ERR_IO, "no STS", "400");
	for (int i = 0; i < 3; i++)
		EXPECT_ERROR(w, ERR_IO, "no STS");
	EXPECT_ERROR(w, ERR_USAGE, "no access key");
	http_script_end(s);
}

static void test_sts__is_where_its_own_settings_say_and_not_those_for_all(void **state)
{
	static const struct http_step steps[] = {{.body = ROLE("AssumeRole", "R", "13:00:00")}};
	struct world *w = *state;
	struct http_script *s = http_script_start(steps, 1);
	char *text = fileio_format("[default]\n" PAIR("S") "role_arn = r\nsource_profile = default\n"
							   "services = l\n[services l]\nsts =\n endpoint_url = %s\n",
		http_script_url(s));

	world_write(w, "config", text);
	world_set(w, "AWS_ENDPOINT_URL", "http://127.0.0.1:1");
	world_expect(w, "R", "s3cr3t-R", "s3cr3t-token-R", "profile 'default'");
	w->options.sts_endpoint = "ftp://x";
	world_open(w);
	EXPECT_ERROR(w, ERR_USAGE, "'ftp://x'");
	w->options.sts_endpoint = NULL;
	world_set(w, "AWS_REGION", "evil.example/");
	world_open(w);
	EXPECT_ERROR(w, ERR_USAGE, "region 'evil.example/'");
	free(text);
	http_script_end(s);
}

/* ---- web identities ---- */

static void test_web_identity__goes_before_profiles_and_reads_its_token_anew(void **state)
{
	static const struct http_step steps[] = {
		{.expect = "POST / ",
			.header = "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=r&RoleSessionName=pod&"
				  "WebIdentityToken=s3cr3t.1",
			.absent = "authorization:",
			.body = ROLE("AssumeRoleWithWebIdentity", "W", "13:00:00")},
		{.header = "WebIdentityToken=s3cr3t.2", .body = ROLE("AssumeRoleWithWebIdentity", "X", "15:00:00")},
		{.status = 400, .body = FAULT("ExpiredTokenException", "Token s3cr3t.2 expired")}};
	struct world *w = *state;
	struct http_script *s = sts(w, steps, COUNT(steps));

	world_write(w, "credentials", "[default]\n" PAIR("S"));
	world_write(w, "token", "s3cr3t.1\n");
	world_set(w, "AWS_WEB_IDENTITY_TOKEN_FILE", "%s/.aws/token", w->root);
	world_set(w, "AWS_ROLE_ARN", "r");
	world_set(w, "AWS_ROLE_SESSION_NAME", "pod");
	world_expect(w, "W", "s3cr3t-W", "s3cr3t-token-W", "web identity");
	world_write(w, "token", "s3cr3t.2\n");
	world_pass(w, 56 * 60);
	world_expect(w, "X", "s3cr3t-X", "s3cr3t-token-X", "web identity");
	world_pass(w, 3 * 3600);
	EXPECT_ERROR(w, ERR_DENIED, "web identity", "ExpiredTokenException (400)");
	http_script_end(s);
}

static void test_web_identity__of_a_profile(void **state)
{
	static const struct http_step steps[] = {
		{.header = "RoleArn=p&", .body = ROLE("AssumeRoleWithWebIdentity", "W", "13:00:00")}};
	struct world *w = *state;
	struct http_script *s = sts(w, steps, 1);
	char *text = fileio_format("[default]\nrole_arn = p\nweb_identity_token_file = %s/.aws/token\n", w->root);

	world_write(w, "token", "s3cr3t");
	world_write(w, "config", text);
	world_expect(w, "W", "s3cr3t-W", "s3cr3t-token-W", "profile 'default'");
	free(text);
	http_script_end(s);
}

static void test_web_identity__without_its_file_or_role_says_so(void **state)
{
	struct world *w = *state;

	world_set(w, "AWS_WEB_IDENTITY_TOKEN_FILE", "%s/gone", w->root);
	EXPECT_ERROR(w, ERR_USAGE, "AWS_ROLE_ARN");
	world_set(w, "AWS_ROLE_ARN", "r");
	EXPECT_ERROR(w, ERR_NOT_FOUND, "web identity", "/gone'");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, world_set_up, world_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_files__spaces_comments_and_line_ends_do_not_matter),
		TEST(test_files__a_token_may_be_longer_than_a_line_of_others),
		TEST(test_files__a_profile_of_the_configuration_file_is_found_by_its_name),
		TEST(test_files__the_credentials_file_goes_first_with_all_of_its_keys),
		TEST(test_files__may_lie_where_variables_say),
		TEST(test_profile__that_is_in_no_file_is_an_error_that_names_them),
		TEST(test_files__what_cannot_be_read_names_the_line_and_not_its_text),
		TEST(test_profile__with_half_of_its_keys_is_refused),
		TEST(test_profile__that_signs_in_by_a_browser_says_what_to_do),
		TEST(test_profile__changed_on_disk_is_read_anew_when_its_keys_are_refused),
		TEST(test_setting__is_found_in_the_profile_and_its_services),
		TEST(test_setting__without_files_is_none),
		TEST(test_command__prints_keys_that_expire),
		TEST(test_command__does_not_get_the_repositorys_passphrase),
		TEST(test_command__that_gives_no_keys_is_told),
		TEST(test_command__ends_with_the_call_that_wants_it),
		TEST(test_role__is_taken_with_the_keys_of_another_profile),
		TEST(test_role__of_a_profile_that_is_its_own_source_takes_its_keys),
		TEST(test_role__by_the_environment),
		TEST(test_role__profiles_that_lead_in_a_circle_are_refused),
		TEST(test_role__that_lacks_something_says_what),
		TEST(test_role__refused_by_sts_says_why_but_repeats_no_secret),
		TEST(test_sts__is_where_its_own_settings_say_and_not_those_for_all),
		TEST(test_web_identity__goes_before_profiles_and_reads_its_token_anew),
		TEST(test_web_identity__of_a_profile),
		TEST(test_web_identity__without_its_file_or_role_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
