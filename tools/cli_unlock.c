/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/fileio.h"
#include "base/host.h"
#include "tools/cli.h"

enum { PASSPHRASE_MAX = 4096 };

void cli_unlock_release(struct cli_unlock *u)
{
	host_secret_free(u->passphrase);
	host_secret_free(u->key);
	free(u->key_path);
	*u = (struct cli_unlock){0};
}

/* Takes a passphrase over from bytes, up to the first line end. */
static int take_passphrase(struct cli_unlock *u, const char *text, size_t len, const char *from, struct error *err)
{
	const char *end = memchr(text, '\n', len);

	if (end != NULL)
		len = (size_t)(end - text);
	if (len > 0 && text[len - 1] == '\r')
		len--;
	if (len == 0)
		return error_set(err, ERR_USAGE, "the passphrase from %s is empty", from);
	u->passphrase = host_secret_alloc(len + 1);
	if (u->passphrase == NULL)
		return error_no_memory(err, "a passphrase");
	memcpy(u->passphrase, text, len);
	u->passphrase[len] = '\0';
	u->unlock.passphrase = u->passphrase;
	return 0;
}

int cli_unlock_password_file(struct cli_unlock *u, const char *path, struct error *err)
{
	struct buf text = {0};
	int r = fileio_slurp(path, PASSPHRASE_MAX, &text, err);

	if (r < 0)
		r = error_wrap(err, r, "cannot read the passphrase");
	else
		r = take_passphrase(u, (const char *)text.data, text.len, path, err);
	buf_wipe(&text);
	return r;
}

static int from_command(struct cli_unlock *u, const char *command, struct error *err)
{
	char text[PASSPHRASE_MAX];
	FILE *pipe = popen(command, "re");

	if (pipe == NULL)
		return error_set_errno(err, errno, "cannot run the password command '%s'", command);
	setvbuf(pipe, NULL, _IONBF, 0); /* no copy of the secret in a stdio buffer */
	size_t len = fread(text, 1, sizeof(text), pipe);
	int status = pclose(pipe);
	int r = status != 0 ? error_set(err, ERR_DENIED, "the password command '%s' failed", command)
			    : take_passphrase(u, text, len, "the password command", err);
	host_wipe(text, sizeof(text));
	return r;
}

/*
 * One line, without its end. Signals come in only while it waits, so that Ctrl-C between looking at the flag and
 * reading is not lost.
 */
static void read_line(int fd, char *dst, size_t cap)
{
	struct pollfd wait = {.fd = fd, .events = POLLIN};
	sigset_t stop, before;
	size_t len = 0;

	sigemptyset(&stop);
	sigaddset(&stop, SIGINT);
	sigaddset(&stop, SIGTERM);
	sigprocmask(SIG_BLOCK, &stop, &before);
	while (cli_cancelled == 0 && len < cap - 1) {
		if (ppoll(&wait, 1, NULL, &before) < 0)
			continue;
		if (read(fd, dst + len, 1) != 1 || dst[len] == '\n')
			break;
		len++;
	}
	dst[len] = '\0';
	sigprocmask(SIG_SETMASK, &before, NULL);
}

/* One line from the terminal, unseen. */
static int ask(const char *prompt, char *dst, size_t cap, struct error *err)
{
	struct termios old, quiet;
	int fd = open("/dev/tty", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return error_set(err, ERR_USAGE,
			"no passphrase: set DRFS_PASSWORD, DRFS_PASSWORD_FILE, DRFS_PASSWORD_COMMAND or DRFS_KEY_FILE "
			"(there is no terminal to ask on)");
	bool terminal = tcgetattr(fd, &old) == 0;
	if (terminal) {
		quiet = old;
		quiet.c_lflag &= ~(tcflag_t)ECHO;
		tcsetattr(fd, TCSAFLUSH, &quiet);
	}
	int r = fileio_write(fd, "/dev/tty", prompt, strlen(prompt), err);
	if (r == 0)
		read_line(fd, dst, cap);
	if (terminal)
		tcsetattr(fd, TCSAFLUSH, &old);
	if (r == 0)
		r = fileio_write(fd, "/dev/tty", "\n", 1, err);
	if (r == 0 && cli_cancelled != 0)
		r = error_set(err, ERR_CANCELLED, "stopped on request");
	close(fd);
	return r;
}

int cli_unlock_terminal(struct cli_unlock *u, bool twice, struct error *err)
{
	char first[PASSPHRASE_MAX], second[PASSPHRASE_MAX];
	int r = ask(twice ? "new passphrase: " : "passphrase: ", first, sizeof(first), err);

	if (r == 0 && twice)
		r = ask("once more: ", second, sizeof(second), err);
	if (r == 0 && twice && strcmp(first, second) != 0)
		r = error_set(err, ERR_USAGE, "the two passphrases differ");
	if (r == 0)
		r = take_passphrase(u, first, strlen(first), "the terminal", err);
	host_wipe(first, sizeof(first));
	host_wipe(second, sizeof(second));
	return r;
}

int cli_unlock_key_file(struct cli_unlock *u, const char *path, bool fresh, struct error *err)
{
	u->key = host_secret_alloc(FORMAT_KEY_LEN);
	u->key_path = strdup(path);
	if (u->key == NULL || u->key_path == NULL)
		return error_no_memory(err, "a key");
	u->unlock.key = u->key;
	if (fresh && access(path, F_OK) != 0 && errno == ENOENT) {
		u->key_made = true;
		return repo_key_file_make(path, u->key, err);
	}
	int r = repo_key_file_read(path, u->key, err);
	if (r == ERR_USAGE) { /* far too large */
		error_clear(err);
		r = error_set(err, ERR_CORRUPT, "'%s' is no key file of drfs", path);
	}
	return r;
}

static const char *env(const char *name)
{
	const char *value = getenv(name);

	return value == NULL || value[0] == '\0' ? NULL : value;
}

int cli_unlock_why(int r, struct error *err)
{
	static const char *const passphrases[] = {"DRFS_PASSWORD", "DRFS_PASSWORD_FILE", "DRFS_PASSWORD_COMMAND"};

	for (size_t i = 0; env("DRFS_KEY_FILE") != NULL && i < ARRAY_LEN(passphrases); i++)
		if (env(passphrases[i]) != NULL)
			return error_wrap(err, r, "DRFS_KEY_FILE is set, so %s is not looked at", passphrases[i]);
	return r;
}

/* What the environment says comes before the configuration file; a key file before a passphrase. */
int cli_unlock(struct cli *cli, bool fresh, struct cli_unlock *ret, struct error *err)
{
	const struct conf *conf = cli->conf;

	if (env("DRFS_KEY_FILE") != NULL) {
		int r = cli_unlock_key_file(ret, env("DRFS_KEY_FILE"), fresh, err);
		return r < 0 ? cli_unlock_why(r, err) : r;
	}
	if (env("DRFS_PASSWORD") != NULL)
		return take_passphrase(ret, env("DRFS_PASSWORD"), strlen(env("DRFS_PASSWORD")), "DRFS_PASSWORD", err);
	if (env("DRFS_PASSWORD_FILE") != NULL)
		return cli_unlock_password_file(ret, env("DRFS_PASSWORD_FILE"), err);
	if (env("DRFS_PASSWORD_COMMAND") != NULL)
		return from_command(ret, env("DRFS_PASSWORD_COMMAND"), err);
	if (conf != NULL && conf->key_file != NULL)
		return cli_unlock_key_file(ret, conf->key_file, fresh, err);
	if (conf != NULL && conf->password_file != NULL)
		return cli_unlock_password_file(ret, conf->password_file, err);
	if (conf != NULL && conf->password_command != NULL)
		return from_command(ret, conf->password_command, err);
	return cli_unlock_terminal(ret, fresh, err);
}
