/* SPDX-License-Identifier: MIT */
/*
 * A bare passthrough FUSE file system: every request becomes the same call on a path below a folder. What the spool's
 * writing is measured against: the same read and write sizes and timeouts, write-back cache off.
 *
 *   passfs FOLDER MNT
 *
 * Runs in the foreground until it is unmounted. Files are opened by path and hold one descriptor each while open.
 */
#define FUSE_USE_VERSION 31
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { SIZE_MAX_IO = 1 << 20 };
static const double TIMEOUT = 60.0;

static int top(void)
{
	return (int)(intptr_t)fuse_get_context()->private_data;
}

/* Below the folder: "." for its root. */
static const char *below(const char *path)
{
	return path[1] != '\0' ? path + 1 : ".";
}

static int answer(int result)
{
	return result < 0 ? -errno : result;
}

static void *pass_init(struct fuse_conn_info *conn, struct fuse_config *config)
{
	conn->max_read = conn->max_write = conn->max_readahead = SIZE_MAX_IO;
	conn->want &= ~(unsigned)FUSE_CAP_WRITEBACK_CACHE;
	config->entry_timeout = config->attr_timeout = TIMEOUT;
	config->kernel_cache = 1;
	config->nullpath_ok = 1;
	config->hard_remove = 1;
	return fuse_get_context()->private_data;
}

static int pass_getattr(const char *path, struct stat *st, struct fuse_file_info *fi)
{
	return answer(fi != NULL ? fstat((int)fi->fh, st) : fstatat(top(), below(path), st, AT_SYMLINK_NOFOLLOW));
}

static int pass_readlink(const char *path, char *text, size_t size)
{
	ssize_t len = readlinkat(top(), below(path), text, size - 1);
	if (len < 0)
		return -errno;
	text[len] = '\0';
	return 0;
}

static int pass_mkdir(const char *path, mode_t mode)
{
	return answer(mkdirat(top(), below(path), mode));
}

static int pass_unlink(const char *path)
{
	return answer(unlinkat(top(), below(path), 0));
}

static int pass_rmdir(const char *path)
{
	return answer(unlinkat(top(), below(path), AT_REMOVEDIR));
}

static int pass_symlink(const char *target, const char *path)
{
	return answer(symlinkat(target, top(), below(path)));
}

static int pass_rename(const char *from, const char *to, unsigned flags)
{
	return answer(renameat2(top(), below(from), top(), below(to), flags));
}

static int pass_link(const char *from, const char *to)
{
	return answer(linkat(top(), below(from), top(), below(to), 0));
}

static int pass_chmod(const char *path, mode_t mode, struct fuse_file_info *fi)
{
	return answer(fi != NULL ? fchmod((int)fi->fh, mode) : fchmodat(top(), below(path), mode, 0));
}

static int pass_chown(const char *path, uid_t uid, gid_t gid, struct fuse_file_info *fi)
{
	return answer(fi != NULL ? fchown((int)fi->fh, uid, gid)
				 : fchownat(top(), below(path), uid, gid, AT_SYMLINK_NOFOLLOW));
}

static int pass_truncate(const char *path, off_t size, struct fuse_file_info *fi)
{
	if (fi != NULL)
		return answer(ftruncate((int)fi->fh, size));
	int fd = openat(top(), below(path), O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	int result = answer(ftruncate(fd, size));
	close(fd);
	return result;
}

static int pass_utimens(const char *path, const struct timespec times[2], struct fuse_file_info *fi)
{
	return answer(
		fi != NULL ? futimens((int)fi->fh, times) : utimensat(top(), below(path), times, AT_SYMLINK_NOFOLLOW));
}

static int keep(struct fuse_file_info *fi, int fd)
{
	if (fd < 0)
		return -errno;
	fi->fh = (uint64_t)fd;
	return 0;
}

static int pass_create(const char *path, mode_t mode, struct fuse_file_info *fi)
{
	return keep(fi, openat(top(), below(path), (fi->flags & ~O_APPEND) | O_CREAT | O_CLOEXEC, mode));
}

static int pass_open(const char *path, struct fuse_file_info *fi)
{
	return keep(fi, openat(top(), below(path), (fi->flags & ~O_APPEND) | O_CLOEXEC));
}

static int pass_read(const char *path, char *data, size_t size, off_t off, struct fuse_file_info *fi)
{
	(void)path;
	return answer((int)pread((int)fi->fh, data, size, off));
}

static int pass_write(const char *path, const char *data, size_t size, off_t off, struct fuse_file_info *fi)
{
	(void)path;
	return answer((int)pwrite((int)fi->fh, data, size, off));
}

static int pass_flush(const char *path, struct fuse_file_info *fi)
{
	(void)path;
	return answer(close(dup((int)fi->fh)));
}

static int pass_release(const char *path, struct fuse_file_info *fi)
{
	(void)path;
	return answer(close((int)fi->fh));
}

static int pass_fsync(const char *path, int data_only, struct fuse_file_info *fi)
{
	(void)path;
	return answer(data_only ? fdatasync((int)fi->fh) : fsync((int)fi->fh));
}

static int pass_opendir(const char *path, struct fuse_file_info *fi)
{
	int fd = openat(top(), below(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	fi->fh = (uint64_t)(uintptr_t)dir;
	return dir != NULL ? 0 : -errno;
}

static int pass_readdir(const char *path, void *reply, fuse_fill_dir_t fill, off_t off, struct fuse_file_info *fi,
	enum fuse_readdir_flags flags)
{
	(void)path, (void)off;
	DIR *dir = (DIR *)(uintptr_t)fi->fh;
	rewinddir(dir);
	for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
		struct stat st = {.st_ino = e->d_ino, .st_mode = (mode_t)DTTOIF(e->d_type)};
		bool full = (flags & FUSE_READDIR_PLUS) != 0 &&
			    fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0;
		if (fill(reply, e->d_name, &st, 0, full ? FUSE_FILL_DIR_PLUS : 0) != 0)
			break;
	}
	return 0;
}

static int pass_releasedir(const char *path, struct fuse_file_info *fi)
{
	(void)path;
	return answer(closedir((DIR *)(uintptr_t)fi->fh));
}

static int pass_statfs(const char *path, struct statvfs *st)
{
	(void)path;
	return answer(fstatvfs(top(), st));
}

int main(int argc, char **argv)
{
	static const struct fuse_operations ops = {.init = pass_init,
		.getattr = pass_getattr,
		.readlink = pass_readlink,
		.mkdir = pass_mkdir,
		.unlink = pass_unlink,
		.rmdir = pass_rmdir,
		.symlink = pass_symlink,
		.rename = pass_rename,
		.link = pass_link,
		.chmod = pass_chmod,
		.chown = pass_chown,
		.truncate = pass_truncate,
		.utimens = pass_utimens,
		.create = pass_create,
		.open = pass_open,
		.read = pass_read,
		.write = pass_write,
		.flush = pass_flush,
		.release = pass_release,
		.fsync = pass_fsync,
		.opendir = pass_opendir,
		.readdir = pass_readdir,
		.releasedir = pass_releasedir,
		.statfs = pass_statfs};

	if (argc != 3) {
		fprintf(stderr, "usage: passfs FOLDER MNT\n");
		return 2;
	}
	int fd = open(argv[1], O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) {
		perror(argv[1]);
		return 1;
	}
	umask(0);
	char *words[] = {argv[0], "-f", "-o", "fsname=passfs,max_read=1048576", argv[2], NULL};
	return fuse_main(5, words, &ops, (void *)(intptr_t)fd);
}
