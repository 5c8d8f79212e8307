/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "fs/announce.h"

static const uint8_t repository[FORMAT_REPO_LEN] = "a repository id", other[FORMAT_REPO_LEN] = "another one, so";
static const struct id wanted = {.b = {1, 2, 3, 250}};

static char folder[128];

/* A runtime folder of the test's own, by a name far longer than a socket's address may be. */
static int set_up(void **state)
{
	char base[] = "/tmp/drfs-announce-XXXXXX", nested[128];
	(void)state;
	if (mkdtemp(base) == NULL)
		return -1;
	snprintf(nested, sizeof(nested), "%s/%060d", base, 0);
	if (mkdir(nested, 0700) != 0)
		return -1;
	snprintf(folder, sizeof(folder), "%s", nested);
	return setenv("XDG_RUNTIME_DIR", folder, 1);
}

static int tear_down(void **state)
{
	char command[160];
	(void)state;
	snprintf(command, sizeof(command), "rm -rf '%.25s'", folder);
	return system(command);
}

/* A mount that answers `count` calls. */
struct mount {
	struct announce *announce;
	pthread_t thread;
	unsigned count;
	bool ok;
	struct id heard; /* by the last call */
};

static void *answer(void *arg)
{
	struct mount *m = arg;
	while (m->count > 0) {
		struct announce_call calls[4];
		struct pollfd wait = {.fd = announce_fd(m->announce), .events = POLLIN};
		poll(&wait, 1, 5000);
		unsigned got = announce_take(m->announce, calls, 4);
		for (unsigned i = 0; i < got; i++, m->count--) {
			m->heard = calls[i].snapshot;
			announce_answer(&calls[i], m->ok);
		}
	}
	return NULL;
}

static void start(struct mount *m, const uint8_t *repo)
{
	assert_int_equal(announce_open(repo, &m->announce, NULL), 0);
	assert_int_equal(pthread_create(&m->thread, NULL, answer, m), 0);
}

static void stop(struct mount *m)
{
	pthread_join(m->thread, NULL);
	announce_close(m->announce);
}

static void test_announce_snapshot__without_a_mount_there_is_nobody_to_tell(void **state)
{
	(void)state;
	assert_int_equal(announce_snapshot(repository, &wanted, 0, NULL), 0);
}

static void test_announce_snapshot__a_mount_hears_which_one_and_its_word_comes_back(void **state)
{
	struct mount m = {.count = 1, .ok = true};
	(void)state;
	start(&m, repository);
	assert_int_equal(announce_snapshot(repository, &wanted, 0, NULL), 1);
	stop(&m);
	assert_true(id_equal(&m.heard, &wanted));
}

static void test_announce_snapshot__of_nothing_certain_asks_to_look_again(void **state)
{
	struct mount m = {.count = 1, .ok = true, .heard = wanted};
	(void)state;
	start(&m, repository);
	assert_int_equal(announce_snapshot(repository, NULL, 0, NULL), 1);
	stop(&m);
	assert_true(id_is_zero(&m.heard));
}

static void test_announce_snapshot__a_mount_that_says_no_is_not_counted(void **state)
{
	struct mount m = {.count = 1, .ok = false};
	(void)state;
	start(&m, repository);
	assert_int_equal(announce_snapshot(repository, &wanted, 0, NULL), 0);
	stop(&m);
}

static void test_announce_snapshot__other_repositories_are_left_alone(void **state)
{
	struct mount m = {.count = 1, .ok = true};
	(void)state;
	start(&m, other);
	assert_int_equal(announce_snapshot(repository, &wanted, CLOCK_SECOND / 10, NULL), 0);
	assert_int_equal(announce_snapshot(other, &wanted, 0, NULL), 1);
	stop(&m);
}

static void test_announce_snapshot__a_silent_mount_is_waited_for_no_longer_than_told(void **state)
{
	struct announce *silent = NULL;
	(void)state;
	assert_int_equal(announce_open(repository, &silent, NULL), 0);
	int64_t before = clock_monotonic();
	assert_int_equal(announce_snapshot(repository, &wanted, CLOCK_SECOND / 5, NULL), 0);
	int64_t took = clock_monotonic() - before;
	assert_in_range(took, CLOCK_SECOND / 5, 2 * CLOCK_SECOND);
	announce_close(silent);
}

static bool exists(const char *name)
{
	char path[256];
	struct stat st;
	snprintf(path, sizeof(path), "%s/drfs/%s", folder, name);
	return stat(path, &st) == 0;
}

/* The socket that a process left which ended without a word. */
static void leave_socket(char name[static 64])
{
	pid_t child = fork();
	if (child == 0) {
		struct announce *a = NULL;
		_exit(announce_open(repository, &a, NULL) == 0 ? 0 : 1);
	}
	int status = 0;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	snprintf(name, 64, "mount-61207265-%ld.sock", (long)child);
}

static void test_announce_snapshot__a_dead_mounts_socket_is_removed(void **state)
{
	char name[64];
	(void)state;
	leave_socket(name);
	assert_true(exists(name));
	assert_int_equal(announce_snapshot(repository, &wanted, 0, NULL), 0);
	assert_false(exists(name));
}

/* As a mount that systemd started and a command in a login session have it, and the other way round. */
static void test_announce_snapshot__a_mount_started_with_another_runtime_folder_hears(void **state)
{
	struct mount m = {.count = 1, .ok = true};
	char session[64];
	(void)state;
	unsetenv("XDG_RUNTIME_DIR");
	int rc = announce_open(repository, &m.announce, NULL);
	setenv("XDG_RUNTIME_DIR", folder, 1);
	if (rc != 0)
		skip();
	assert_int_equal(pthread_create(&m.thread, NULL, answer, &m), 0);
	assert_int_equal(announce_snapshot(repository, &wanted, 0, NULL), 1);
	stop(&m);
	assert_true(id_equal(&m.heard, &wanted));

	snprintf(session, sizeof(session), "/run/user/%u", (unsigned)geteuid());
	if (access(session, W_OK) != 0)
		return;
	m = (struct mount){.count = 1, .ok = true};
	setenv("XDG_RUNTIME_DIR", session, 1);
	start(&m, repository);
	unsetenv("XDG_RUNTIME_DIR");
	assert_int_equal(announce_snapshot(repository, &wanted, 0, NULL), 1);
	setenv("XDG_RUNTIME_DIR", folder, 1);
	stop(&m);
}

static void test_announce_open__the_socket_is_private_and_goes_with_the_mount(void **state)
{
	struct announce *a = NULL;
	char path[256];
	struct stat st;
	(void)state;
	assert_int_equal(announce_open(repository, &a, NULL), 0);
	snprintf(path, sizeof(path), "%s/drfs/mount-61207265-%ld.sock", folder, (long)getpid());
	assert_int_equal(stat(path, &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(st.st_mode & 07777, 0600);
	announce_close(a);
	assert_int_not_equal(stat(path, &st), 0);
}

/* Sends raw bytes to this process's socket. */
static int say(const void *data, size_t len)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char path[256], cwd[256];
	snprintf(path, sizeof(path), "mount-61207265-%ld.sock", (long)getpid());
	memcpy(address.sun_path, path, strlen(path));
	assert_non_null(getcwd(cwd, sizeof(cwd)));
	snprintf(path, sizeof(path), "%s/drfs", folder);
	assert_int_equal(chdir(path), 0);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(chdir(cwd), 0);
	assert_int_equal(send(fd, data, len, 0), (int)len);
	return fd;
}

static void test_announce_take__words_of_another_kind_are_hung_up_on(void **state)
{
	static const char *const bad[] = {"x", "new", "new 12", "changed it", "new zz", "CHANGED"};
	struct announce *a = NULL;
	struct announce_call calls[4];
	char byte;
	(void)state;
	assert_int_equal(announce_open(repository, &a, NULL), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int fd = say(bad[i], strlen(bad[i]));
		assert_int_equal(announce_take(a, calls, 4), 0);
		assert_int_equal(recv(fd, &byte, 1, 0), 0);
		close(fd);
	}
	announce_close(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_announce_snapshot__without_a_mount_there_is_nobody_to_tell),
		cmocka_unit_test(test_announce_snapshot__a_mount_hears_which_one_and_its_word_comes_back),
		cmocka_unit_test(test_announce_snapshot__of_nothing_certain_asks_to_look_again),
		cmocka_unit_test(test_announce_snapshot__a_mount_that_says_no_is_not_counted),
		cmocka_unit_test(test_announce_snapshot__other_repositories_are_left_alone),
		cmocka_unit_test(test_announce_snapshot__a_silent_mount_is_waited_for_no_longer_than_told),
		cmocka_unit_test(test_announce_snapshot__a_dead_mounts_socket_is_removed),
		cmocka_unit_test(test_announce_snapshot__a_mount_started_with_another_runtime_folder_hears),
		cmocka_unit_test(test_announce_open__the_socket_is_private_and_goes_with_the_mount),
		cmocka_unit_test(test_announce_take__words_of_another_kind_are_hung_up_on),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
