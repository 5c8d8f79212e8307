/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/conf.h"
#include "base/fileio.h"

/* A folder with a file "t.conf" in it, and the warnings that reading it gave. */
struct place {
	char dir[32];
	int null_fd; /* where the log's own lines go */
	struct log *log;
	char warnings[8192];
	unsigned warning_count;
	struct error err;
};

static void keep_warning(void *arg, enum log_level level, const char *line)
{
	struct place *p = arg;
	size_t used = strlen(p->warnings);
	assert_int_equal(level, LOG_LEVEL_WARN);
	(void)snprintf(p->warnings + used, sizeof(p->warnings) - used, "%s\n", line);
	p->warning_count++;
}

static int set_up(void **state)
{
	struct place *p = calloc(1, sizeof(*p));
	*state = p;
	if (!p)
		return -1;
	strcpy(p->dir, "/tmp/drfs-test-XXXXXX");
	(void)unsetenv("DRFS_CONFIG");
	(void)unsetenv("XDG_CONFIG_HOME");
	p->null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	p->log = log_new(p->null_fd, LOG_LEVEL_NOTICE);
	if (!p->log || p->null_fd < 0 || !mkdtemp(p->dir) || chdir(p->dir) < 0)
		return -1;
	log_tee(p->log, keep_warning, p);
	return setenv("HOME", p->dir, 1);
}

static int tear_down(void **state)
{
	struct place *p = *state;
	char *command = fileio_format("rm -rf '%s'", p->dir);
	int rc = chdir("/") == 0 && command ? system(command) : -1;
	free(command);
	log_free(p->log);
	(void)close(p->null_fd);
	free(p);
	return rc;
}

static void write_file(const char *name, const void *text, size_t len)
{
	FILE *f = fopen(name, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
}

static int load(struct place *p, const char *text, struct conf **ret)
{
	write_file("t.conf", text, strlen(text));
	p->warnings[0] = 0;
	p->warning_count = 0;
	error_clear(&p->err);
	return conf_load("t.conf", p->log, ret, &p->err);
}

static struct conf *load_good(struct place *p, const char *text)
{
	struct conf *conf = NULL;
	if (load(p, text, &conf) != 0)
		fail_msg("refused: %s", error_text(&p->err));
	return conf;
}

static void load_bad(struct place *p, const char *text, const char *expected)
{
	struct conf *conf = NULL;
	assert_int_equal(load(p, text, &conf), ERR_USAGE);
	assert_null(conf);
	if (!strstr(error_text(&p->err), expected))
		fail_msg("'%s' lacks '%s'", error_text(&p->err), expected);
}

static const char sample[] = "[repository]\n"
			     "url = s3://bluesmind-backups/dr\n"
			     "replica = gs://bluesmind-backups/dr\n"
			     "replica = /mnt/second\n"
			     "min_copies = 1\n"
			     "password_command = cat /run/secrets/drfs\n"
			     "catalog = sqlite            ; or postgresql://…\n"
			     "spool_dir = /var/lib/drfs\n"
			     "cache_size = 10G\n"
			     "poll = 30s\n"
			     "[dataset db]\n"
			     "commit = close              ; or idle:10s, manual\n"
			     "idle_max = 10m\n"
			     "durability = remote         ; or power, local\n"
			     "keep = last:3 daily:7 weekly:4 monthly:12\n"
			     "rpo = 1h\n"
			     "rto = 2h\n"
			     "check = /etc/drfs/check-db  ; after the built-in ones\n"
			     "alert = /etc/drfs/page-me\n"
			     "compression = 7             ; zstd level, or off\n"
			     "storage_class = STANDARD_IA ; of this dataset's packs\n"
			     "drill = SELECT count(*) > 0 FROM users   ; must be true\n"
			     "drill = SELECT 1 = 1;\n"
			     "drill_url = postgresql://h/d\n";

static void test_conf_load__reads_every_key_of_the_sample(void **state)
{
	struct conf *conf = load_good(*state, sample);
	assert_string_equal(conf->path, "t.conf");
	assert_string_equal(conf->url, "s3://bluesmind-backups/dr");
	assert_int_equal(conf->replica_count, 2);
	assert_string_equal(conf->replicas[1], "/mnt/second");
	assert_int_equal(conf->min_copies, 1);
	assert_string_equal(conf->password_command, "cat /run/secrets/drfs");
	assert_string_equal(conf->catalog, "sqlite");
	assert_string_equal(conf->spool_dir, "/var/lib/drfs");
	assert_true(conf->cache_size == UINT64_C(10) << 30);
	assert_true(conf->poll_ns == 30 * CLOCK_SECOND);
	assert_int_equal(conf->dataset_count, 1);
	const struct conf_dataset *db = conf_dataset(conf, "db");
	assert_string_equal(db->name, "db");
	assert_int_equal(db->commit, CONF_COMMIT_CLOSE);
	assert_true(db->idle_max_ns == 600 * CLOCK_SECOND);
	assert_int_equal(db->durability, CONF_DURABLE_REMOTE);
	assert_string_equal(db->keep, "last:3 daily:7 weekly:4 monthly:12");
	assert_true(db->rpo_ns == 3600 * CLOCK_SECOND);
	assert_true(db->rto_ns == 7200 * CLOCK_SECOND);
	assert_string_equal(db->check, "/etc/drfs/check-db");
	assert_string_equal(db->alert, "/etc/drfs/page-me");
	assert_int_equal(db->compression, 7);
	assert_string_equal(db->storage_class, "STANDARD_IA");
	assert_int_equal(db->drill_count, 2);
	assert_string_equal(db->drills[0], "SELECT count(*) > 0 FROM users");
	assert_string_equal(db->drills[1], "SELECT 1 = 1;");
	assert_string_equal(db->drill_url, "postgresql://h/d");
	conf_free(conf);
}

static void test_conf_load__warns_once_of_what_is_not_acted_on(void **state)
{
	struct place *p = *state;
	conf_free(load_good(p, sample));
	assert_non_null(strstr(p->warnings, "t.conf:3: this version does not act on 'replica' yet\n"));
	assert_null(strstr(p->warnings, "t.conf:4:"));
	assert_non_null(strstr(p->warnings, "'storage_class'"));
	assert_non_null(strstr(p->warnings, "'drill'"));
	assert_non_null(strstr(p->warnings, "'drill_url'"));
	assert_non_null(strstr(p->warnings, "'alert'"));
	assert_null(strstr(p->warnings, "'min_copies'"));
	assert_null(strstr(p->warnings, "'catalog'"));
	assert_null(strstr(p->warnings, "ends before")); /* what stands two spaces off is meant as a comment */
	assert_null(strstr(p->warnings, "does not act on 'check'"));
	conf_free(load_good(p, "[repository]\nmin_copies = 2\ncatalog = postgresql://h/db\n"
			       "[dataset a]\nalert = x\n[dataset b]\nalert = y\n"));
	assert_int_equal(p->warning_count, 3);
	conf_free(load_good(p, "[repository]\nurl = /b\nmin_copies = 1\n[dataset a]\nrpo = 1h\n"));
	assert_int_equal(p->warning_count, 0);
}

static void test_conf_dataset__others_have_the_defaults(void **state)
{
	struct conf *conf =
		load_good(*state, "[dataset a]\nrpo = 1h\n[dataset b]\ncommit = idle:1m\ncompression = off\n");
	const struct conf_dataset *rows[] = {
		conf_dataset(conf, "a"), conf_dataset(conf, "none"), conf_dataset(NULL, "a")};
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(rows[i]->commit, CONF_COMMIT_IDLE);
		assert_true(rows[i]->idle_ns == 10 * CLOCK_SECOND);
		assert_true(rows[i]->idle_max_ns == 600 * CLOCK_SECOND);
		assert_int_equal(rows[i]->durability, CONF_DURABLE_LOCAL);
		assert_int_equal(rows[i]->compression, 3);
		assert_null(rows[i]->keep);
		assert_true(rows[i]->rpo_ns == (i == 0 ? 3600 * CLOCK_SECOND : 0));
	}
	assert_true(conf_dataset(conf, "b")->idle_ns == 60 * CLOCK_SECOND);
	assert_int_equal(conf_dataset(conf, "b")->compression, 0);
	assert_int_equal(conf->min_copies, 1);
	assert_null(conf->url);
	conf_free(conf);
}

static void test_conf_load__bad_lines_are_told_by_file_and_line(void **state)
{
	static const struct {
		const char *text;
		const char *expected;
	} rows[] = {
		{"[repository]\nurl = /a\nulr = /b\n", "t.conf:3: unknown key 'ulr'"},
		{"# x\n\n[repo]\n", "t.conf:3: unknown section [repo]"},
		{"[dataset]\n", "t.conf:1: unknown section [dataset]"},
		{"[datasets x]\n", "t.conf:1: unknown section [datasets x]"},
		{"url = /a\n", "t.conf:1: 'url' belongs into a section [repository]"},
		{"[repository]\nrpo = 1h\n", "t.conf:2: 'rpo' belongs into a section [dataset NAME]"},
		{"[dataset a]\nurl = /a\n", "t.conf:2: 'url' belongs into a section [repository]"},
		{"[repository]\nurl\n", "t.conf:2: expected 'key = value'"},
		{"[repository]\nurl /x\nfoo = 1\n", "t.conf:2: expected 'key = value'"},
		{"[repository]\nurl /x\n[bad]\n", "t.conf:2: expected 'key = value'"},
		{"[repository\nurl = /x\n", "t.conf:1: a section is written"},
		{"[repository] url = /x\n", "t.conf:1: a section is written"},
		{"[repository]\nurl = /a\nurl = /b\n", "t.conf:3: 'url' stands a second time"},
		{"[repository]\nurl = /a\n[dataset a]\n[repository]\nurl = /b\n",
			"t.conf:5: 'url' stands a second time"},
		{"[dataset a]\n[dataset  a ]\n", "t.conf:2: there is a second section [dataset a]"},
		{"[dataset at]\n", "t.conf:1: no dataset can be called 'at'"},
		{"[dataset .x]\n", "no dataset can be called '.x'"},
		{"[dataset a/b]\n", "no dataset can be called 'a/b'"},
		{"[repository]\nurl =\n", "t.conf:2: 'url' cannot be ''"},
		{"[repository]\npoll = 30x\n", "t.conf:2: 'poll' cannot be '30x'; expected a time as"},
		{"[repository]\npoll = 0s\n", "'poll' cannot be '0s'"},
		{"[repository]\npoll = 99999999999d\n", "'poll' cannot be"},
		{"[repository]\ncache_size = 10X\n", "'cache_size' cannot be '10X'; expected a size"},
		{"[repository]\ncache_size = -1\n", "'cache_size' cannot be '-1'"},
		{"[repository]\nmin_copies = 0\n", "'min_copies' cannot be '0'"},
		{"[repository]\nmin_copies = 4294967297\n", "'min_copies' cannot be"},
		{"[repository]\ncatalog = mysql://x\n", "'catalog' cannot be 'mysql://x'"},
		{"[repository]\nspool_dir = var/lib\n", "'spool_dir' cannot be 'var/lib'; expected an absolute path"},
		{"[dataset a]\ncommit = sometimes\n", "'commit' cannot be 'sometimes'"},
		{"[dataset a]\ncommit = idle:\n", "'commit' cannot be 'idle:'"},
		{"[dataset a]\ndurability = none\n", "'durability' cannot be 'none'"},
		{"[dataset a]\nkeep = last:3 dialy:7\n", "'keep' cannot be"},
		{"[dataset a]\nkeep = last:0\n", "'keep' cannot be"},
		{"[dataset a]\nkeep = last\n", "'keep' cannot be"},
		{"[dataset a]\nkeep = last:3,daily:7\n", "'keep' cannot be"},
		{"[dataset a]\ncompression = 20\n", "'compression' cannot be '20'"},
		{"[dataset a]\ncompression = 3x\n", "'compression' cannot be '3x'"},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		load_bad(*state, rows[i].text, rows[i].expected);
}

static void test_conf_load__forms_of_lines(void **state)
{
	struct conf *conf = load_good(*state, "\xef\xbb\xbf; a comment\r\n"
					      "  [repository]   ; main\r\n"
					      "\turl=/a;b\r\n"
					      "   poll : 5s\r\n"
					      "# another\r\n"
					      "[ dataset my data ]\r\n"
					      "  rpo = 1h"); /* without a newline */
	assert_string_equal(conf->url, "/a;b");
	assert_true(conf->poll_ns == 5 * CLOCK_SECOND);
	assert_true(conf_dataset(conf, "my data")->rpo_ns == 3600 * CLOCK_SECOND);
	conf_free(conf);
}

static void test_conf_load__long_lines_and_names_are_whole(void **state)
{
	char text[6000];
	char name[256];
	char value[4001];
	memset(name, 'n', 255);
	name[255] = 0;
	memset(value, 'v', 4000);
	value[4000] = 0;
	value[1000] = ';';
	value[2000] = ' ';
	value[3000] = '=';
	(void)snprintf(text, sizeof(text), "[dataset %s]\ncheck = %s   ; a comment\nrpo = 1h\n", name, value);
	struct conf *conf = load_good(*state, text);
	const struct conf_dataset *dataset = conf_dataset(conf, name);
	assert_string_equal(dataset->check, value);
	assert_true(dataset->rpo_ns == 3600 * CLOCK_SECOND);
	conf_free(conf);
	for (size_t len = 150; len < 250; len++) { /* around where lines are cut */
		value[1000] = 'v';
		(void)snprintf(text, sizeof(text), "[dataset a]\ncheck=%.*s\n", (int)len, value);
		conf = load_good(*state, text);
		assert_int_equal(strlen(conf->datasets[0].check), len);
		conf_free(conf);
	}
}

static void test_conf_load__a_file_that_was_named_must_be_there(void **state)
{
	struct place *p = *state;
	struct conf *conf = NULL;
	assert_int_equal(conf_load("none.conf", p->log, &conf, &p->err), ERR_USAGE);
	assert_non_null(strstr(error_text(&p->err), "'none.conf'"));
	(void)setenv("DRFS_CONFIG", "/nowhere/none.conf", 1);
	assert_int_equal(conf_load(NULL, p->log, &conf, &p->err), ERR_USAGE);
	assert_null(conf);
	write_file("t.conf", "[repository]\nurl = /a\0b", 23);
	assert_int_equal(conf_load("t.conf", NULL, &conf, &p->err), ERR_USAGE);
	conf_free(NULL);
}

static void test_conf_load__looks_for_a_file_in_order(void **state)
{
	struct place *p = *state;
	struct conf *conf = NULL;
	assert_int_equal(fileio_mkdirs(".config/drfs", 0700, NULL), 0);
	assert_int_equal(fileio_mkdirs("xdg/drfs", 0700, NULL), 0);
	write_file(".config/drfs/drfs.conf", "[repository]\nurl = /home\n", 25);
	write_file("xdg/drfs/drfs.conf", "[repository]\nurl = /xdg\n", 24);
	write_file("env.conf", "[repository]\nurl = /env\n", 24);
	assert_int_equal(conf_load(NULL, p->log, &conf, &p->err), 0);
	assert_string_equal(conf->url, "/home");
	conf_free(conf);
	char *xdg = fileio_format("%s/xdg", p->dir);
	(void)setenv("XDG_CONFIG_HOME", xdg, 1);
	free(xdg);
	assert_int_equal(conf_load(NULL, p->log, &conf, &p->err), 0);
	assert_string_equal(conf->url, "/xdg");
	conf_free(conf);
	(void)setenv("DRFS_CONFIG", "env.conf", 1);
	assert_int_equal(conf_load(NULL, p->log, &conf, &p->err), 0);
	assert_string_equal(conf->url, "/env");
	conf_free(conf);
	assert_int_equal(conf_load("xdg/drfs/drfs.conf", p->log, &conf, &p->err), 0);
	assert_string_equal(conf->url, "/xdg");
	conf_free(conf);
}

static void test_conf_load__no_file_is_an_empty_configuration(void **state)
{
	struct place *p = *state;
	struct conf *conf = NULL;
	if (access("/etc/drfs/drfs.conf", F_OK) == 0)
		skip();
	assert_int_equal(conf_load(NULL, p->log, &conf, &p->err), 0);
	assert_null(conf->path);
	assert_null(conf->url);
	assert_int_equal(p->err.code, ERR_OK);
	conf_free(conf);
}

static void test_conf_parse_size__units_and_edges(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		uint64_t bytes;
	} good[] = {{"0", 0}, {"4096", 4096}, {"1K", 1024}, {"1k", 1024}, {"256M", UINT64_C(256) << 20},
		{"10G", UINT64_C(10) << 30}, {"1Ti", UINT64_C(1) << 40}, {"1TiB", UINT64_C(1) << 40}, {"1KB", 1024},
		{"7B", 7}, {"16777215T", UINT64_C(16777215) << 40}, {"18446744073709551615", UINT64_MAX}};
	static const char *const bad[] = {"", "K", "1X", "-1", "+1", " 1", "1 K", "1Kx", "1i", "1.5G", "16777216T",
		"18446744073709551616", "99999999999999999999999"};
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		uint64_t bytes = 1;
		assert_true(conf_parse_size(good[i].text, &bytes));
		assert_true(bytes == good[i].bytes);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		uint64_t bytes = 5;
		if (conf_parse_size(bad[i], &bytes))
			fail_msg("'%s' was taken", bad[i]);
		assert_true(bytes == 5);
	}
}

#define PLACED(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PLACED(test_conf_load__reads_every_key_of_the_sample),
		PLACED(test_conf_load__warns_once_of_what_is_not_acted_on),
		PLACED(test_conf_dataset__others_have_the_defaults),
		PLACED(test_conf_load__bad_lines_are_told_by_file_and_line),
		PLACED(test_conf_load__forms_of_lines),
		PLACED(test_conf_load__long_lines_and_names_are_whole),
		PLACED(test_conf_load__a_file_that_was_named_must_be_there),
		PLACED(test_conf_load__looks_for_a_file_in_order),
		PLACED(test_conf_load__no_file_is_an_empty_configuration),
		cmocka_unit_test(test_conf_parse_size__units_and_edges),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
