/* SPDX-License-Identifier: MIT */
/*
 * A passthrough FUSE file system that writes down every change, in order, for replaying power cuts (power.py).
 *
 *   recordfs FOLDER MNT LOG
 *
 * Runs in the foreground, with one thread (-s): the order in the log is the order in which things happened, and what a
 * caller was answered is in the log. Files are known by the handle under which they were opened: their names may
 * change. Nothing is synced for real: what an fsync makes safe is for who replays the log to say.
 *
 * A record is a line "OP A B C LEN1 LEN2 LEN3\n" with the bytes of two names and of the data behind it.
 */
#define FUSE_USE_VERSION 31
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { SIZE_MAX_IO = 1 << 20 };

struct recorder {
	int top, log;
	uint64_t handles;
};

struct handle {
	int fd;
	uint64_t number;
};

static struct recorder *recorder(void)
{
	return fuse_get_context()->private_data;
}

static int top(void)
{
	return recorder()->top;
}

/* Below the folder: "." for its root. */
static const char *below(const char *path)
{
	return path[1] != '\0' ? path + 1 : ".";
}

static struct handle *handle_of(const struct fuse_file_info *fi)
{
	return (struct handle *)(uintptr_t)fi->fh;
}

static void put(const void *data, size_t len)
{
	for (const char *at = data; len > 0;) {
		ssize_t n = write(recorder()->log, at, len);
		if (n < 0)
			abort(); /* a log with a gap would make tests pass that should not */
		at += n;
		len -= (size_t)n;
	}
}

struct change {
	const char *op, *path, *other;
	long long a, b, c;
	const void *data;
	size_t len;
};

/* Answers the request, after writing down what worked. A record is at most two writes: a reader takes whole ones. */
static int done(int result, struct change r)
{
	char line[2 * 4096 + 200];
	if (result < 0)
		return -errno;
	const char *path = r.path != NULL ? r.path : "", *other = r.other != NULL ? r.other : "";
	int n = snprintf(line, sizeof(line), "%s %lld %lld %lld %zu %zu %zu\n%s%s", r.op, r.a, r.b, r.c, strlen(path),
		strlen(other), r.len, path, other);
	put(line, (size_t)n);
	put(r.data, r.len);
	return result;
}

static int answer(int result)
{
	return result < 0 ? -errno : result;
}

static void *record_init(struct fuse_conn_info *conn, struct fuse_config *config)
{
	conn->max_read = conn->max_write = conn->max_readahead = SIZE_MAX_IO;
	conn->want &= ~(unsigned)FUSE_CAP_WRITEBACK_CACHE;
	config->entry_timeout = config->attr_timeout = 60.0;
	config->kernel_cache = 1;
	config->hard_remove = 1;
	return recorder();
}

static int record_getattr(const char *path, struct stat *st, struct fuse_file_info *fi)
{
	return answer(fi != NULL ? fstat(handle_of(fi)->fd, st) : fstatat(top(), below(path), st, AT_SYMLINK_NOFOLLOW));
}

static int record_readlink(const char *path, char *text, size_t size)
{
	ssize_t len = readlinkat(top(), below(path), text, size - 1);
	if (len < 0)
		return -errno;
	text[len] = '\0';
	return 0;
}

static int record_mkdir(const char *path, mode_t mode)
{
	return done(mkdirat(top(), below(path), mode), (struct change){.op = "mkdir", .path = path, .a = mode});
}

static int record_unlink(const char *path)
{
	return done(unlinkat(top(), below(path), 0), (struct change){.op = "unlink", .path = path});
}

static int record_rmdir(const char *path)
{
	return done(unlinkat(top(), below(path), AT_REMOVEDIR), (struct change){.op = "rmdir", .path = path});
}

static int record_symlink(const char *target, const char *path)
{
	return done(
		symlinkat(target, top(), below(path)), (struct change){.op = "symlink", .path = path, .other = target});
}

static int record_rename(const char *from, const char *to, unsigned flags)
{
	return done(renameat2(top(), below(from), top(), below(to), flags),
		(struct change){.op = "rename", .path = from, .other = to, .a = flags});
}

static int record_link(const char *from, const char *to)
{
	return done(linkat(top(), below(from), top(), below(to), 0),
		(struct change){.op = "link", .path = from, .other = to});
}

/* Rights, owners and times are taken over as they are at the end: nothing here depends on them. */
static int record_chmod(const char *path, mode_t mode, struct fuse_file_info *fi)
{
	return answer(fi != NULL ? fchmod(handle_of(fi)->fd, mode) : fchmodat(top(), below(path), mode, 0));
}

static int record_chown(const char *path, uid_t uid, gid_t gid, struct fuse_file_info *fi)
{
	return answer(fi != NULL ? fchown(handle_of(fi)->fd, uid, gid)
				 : fchownat(top(), below(path), uid, gid, AT_SYMLINK_NOFOLLOW));
}

static int record_utimens(const char *path, const struct timespec times[2], struct fuse_file_info *fi)
{
	return answer(fi != NULL ? futimens(handle_of(fi)->fd, times)
				 : utimensat(top(), below(path), times, AT_SYMLINK_NOFOLLOW));
}

static int record_truncate(const char *path, off_t size, struct fuse_file_info *fi)
{
	if (fi != NULL)
		return done(ftruncate(handle_of(fi)->fd, size),
			(struct change){.op = "truncate", .a = (long long)handle_of(fi)->number, .b = size});
	int fd = openat(top(), below(path), O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	int result = done(ftruncate(fd, size), (struct change){.op = "truncate", .path = path, .b = size});
	close(fd);
	return result;
}

static int keep(const char *op, const char *path, struct fuse_file_info *fi, mode_t mode)
{
	int flags = (fi->flags & ~O_APPEND) | (op[0] == 'c' ? O_CREAT : 0) | O_CLOEXEC;
	int fd = openat(top(), below(path), flags, mode);
	struct handle *h = fd >= 0 ? malloc(sizeof(*h)) : NULL;
	if (h == NULL)
		return fd < 0 ? -errno : -ENOMEM;
	*h = (struct handle){.fd = fd, .number = ++recorder()->handles};
	fi->fh = (uint64_t)(uintptr_t)h;
	done(0, (struct change){
			.op = op, .path = path, .a = (long long)h->number, .b = (fi->flags & O_TRUNC) != 0, .c = mode});
	return 0;
}

static int record_create(const char *path, mode_t mode, struct fuse_file_info *fi)
{
	return keep("create", path, fi, mode);
}

static int record_open(const char *path, struct fuse_file_info *fi)
{
	return keep("open", path, fi, 0);
}

static int record_read(const char *path, char *data, size_t size, off_t off, struct fuse_file_info *fi)
{
	(void)path;
	return answer((int)pread(handle_of(fi)->fd, data, size, off));
}

static int record_write(const char *path, const char *data, size_t size, off_t off, struct fuse_file_info *fi)
{
	(void)path;
	ssize_t n = pwrite(handle_of(fi)->fd, data, size, off);
	return done((int)n, (struct change){.op = "write",
				    .a = (long long)handle_of(fi)->number,
				    .b = off,
				    .data = data,
				    .len = n > 0 ? (size_t)n : 0});
}

static int record_fallocate(const char *path, int mode, off_t off, off_t len, struct fuse_file_info *fi)
{
	char how[16];
	(void)path;
	snprintf(how, sizeof(how), "%d", mode);
	return done(fallocate(handle_of(fi)->fd, mode, off, len),
		(struct change){
			.op = "fallocate", .path = how, .a = (long long)handle_of(fi)->number, .b = off, .c = len});
}

static off_t record_lseek(const char *path, off_t off, int whence, struct fuse_file_info *fi)
{
	(void)path;
	off_t at = lseek(handle_of(fi)->fd, off, whence);
	return at < 0 ? -errno : at;
}

static int record_release(const char *path, struct fuse_file_info *fi)
{
	struct handle *h = handle_of(fi);
	(void)path;
	int result = done(close(h->fd), (struct change){.op = "release", .a = (long long)h->number});
	free(h);
	return result;
}

static int record_fsync(const char *path, int data_only, struct fuse_file_info *fi)
{
	(void)path;
	return done(0, (struct change){.op = "fsync", .a = (long long)handle_of(fi)->number, .b = data_only});
}

static int record_fsyncdir(const char *path, int data_only, struct fuse_file_info *fi)
{
	(void)fi;
	return done(0, (struct change){.op = "fsyncdir", .path = path, .b = data_only});
}

/* By path, as no handle is kept: nullpath_ok is not set. */
static int record_readdir(const char *path, void *reply, fuse_fill_dir_t fill, off_t off, struct fuse_file_info *fi,
	enum fuse_readdir_flags flags)
{
	(void)off, (void)fi, (void)flags;
	int fd = openat(top(), below(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	if (dir == NULL)
		return -errno;
	for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
		struct stat st = {.st_ino = e->d_ino, .st_mode = (mode_t)DTTOIF(e->d_type)};
		if (fill(reply, e->d_name, &st, 0, 0) != 0)
			break;
	}
	closedir(dir);
	return 0;
}

static int record_statfs(const char *path, struct statvfs *st)
{
	(void)path;
	return answer(fstatvfs(top(), st));
}

int main(int argc, char **argv)
{
	static const struct fuse_operations ops = {.init = record_init,
		.getattr = record_getattr,
		.readlink = record_readlink,
		.mkdir = record_mkdir,
		.unlink = record_unlink,
		.rmdir = record_rmdir,
		.symlink = record_symlink,
		.rename = record_rename,
		.link = record_link,
		.chmod = record_chmod,
		.chown = record_chown,
		.truncate = record_truncate,
		.utimens = record_utimens,
		.create = record_create,
		.open = record_open,
		.read = record_read,
		.write = record_write,
		.fallocate = record_fallocate,
		.lseek = record_lseek,
		.release = record_release,
		.fsync = record_fsync,
		.fsyncdir = record_fsyncdir,
		.readdir = record_readdir,
		.statfs = record_statfs};

	if (argc != 4) {
		fprintf(stderr, "usage: recordfs FOLDER MNT LOG\n");
		return 2;
	}
	struct recorder r = {.top = open(argv[1], O_PATH | O_DIRECTORY | O_CLOEXEC),
		.log = open(argv[3], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600)};
	if (r.top < 0 || r.log < 0) {
		perror(r.top < 0 ? argv[1] : argv[3]);
		return 1;
	}
	umask(0);
	char *words[] = {argv[0], "-f", "-s", "-o", "fsname=recordfs,max_read=1048576", argv[2], NULL};
	return fuse_main(6, words, &ops, &r);
}
