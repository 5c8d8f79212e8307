/* SPDX-License-Identifier: MIT */
/*
 * An empty FUSE file system, the limit that a real one is measured against: "zero", a file of zeros, and "many", a
 * folder of 100,000 empty files. It asks for what drfs asks for (1 MiB reads, readdirplus, caches that never end), and
 * does nothing else.
 *
 *   nullfs MNT BYTES [direct]    BYTES: the size of "zero"; direct: past the page cache
 *
 * Runs in the foreground until it is unmounted.
 */
#define FUSE_USE_VERSION 312
#include <errno.h>
#include <fuse_lowlevel.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { NODE_ZERO = 2, NODE_MANY = 3, NODE_FIRST = 4, MANY = 100000, READ_MAX = 1 << 20 };
static const double FOREVER = 86400.0 * 365;

/* What never changes after main() has read its arguments. */
struct nullfs {
	off_t size;
	int direct;
	char *zeros; /* READ_MAX of them */
};

static struct stat nullfs_stat(const struct nullfs *fs, fuse_ino_t ino)
{
	struct stat st = {.st_ino = ino, .st_mtime = 1700000000, .st_blksize = READ_MAX};

	if (ino == FUSE_ROOT_ID || ino == NODE_MANY) {
		st.st_mode = S_IFDIR | 0755;
		st.st_nlink = 1;
	} else {
		st.st_mode = S_IFREG | 0644;
		st.st_nlink = 1;
		st.st_size = ino == NODE_ZERO ? fs->size : 0;
	}
	return st;
}

static struct fuse_entry_param nullfs_entry(const struct nullfs *fs, fuse_ino_t ino)
{
	return (struct fuse_entry_param){
		.ino = ino, .attr = nullfs_stat(fs, ino), .attr_timeout = FOREVER, .entry_timeout = FOREVER};
}

static void nullfs_init(void *userdata, struct fuse_conn_info *conn)
{
	(void)userdata;
	conn->max_read = READ_MAX;
	conn->max_readahead = READ_MAX;
	conn->want |= conn->capable & (FUSE_CAP_READDIRPLUS | FUSE_CAP_SPLICE_WRITE);
	conn->want &= ~(unsigned)FUSE_CAP_READDIRPLUS_AUTO;
}

static void nullfs_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	const struct nullfs *fs = fuse_req_userdata(req);
	fuse_ino_t ino = 0;

	if (parent == FUSE_ROOT_ID && strcmp(name, "zero") == 0)
		ino = NODE_ZERO;
	else if (parent == FUSE_ROOT_ID && strcmp(name, "many") == 0)
		ino = NODE_MANY;
	else if (parent == NODE_MANY && name[0] == 'f')
		ino = NODE_FIRST + strtoul(name + 1, NULL, 10);
	if (ino == 0) {
		fuse_reply_err(req, ENOENT);
		return;
	}
	struct fuse_entry_param e = nullfs_entry(fs, ino);
	fuse_reply_entry(req, &e);
}

static void nullfs_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat st = nullfs_stat(fuse_req_userdata(req), ino);

	(void)fi;
	fuse_reply_attr(req, &st, FOREVER);
}

static void nullfs_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	const struct nullfs *fs = fuse_req_userdata(req);

	(void)ino;
	fi->keep_cache = !fs->direct;
	fi->direct_io = fs->direct != 0;
	fuse_reply_open(req, fi);
}

static void nullfs_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	fi->keep_cache = 1;
	fi->cache_readdir = 1;
	fuse_reply_open(req, fi);
}

static void nullfs_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	const struct nullfs *fs = fuse_req_userdata(req);
	size_t left = ino == NODE_ZERO && off < fs->size ? (size_t)(fs->size - off) : 0;

	(void)fi;
	size = size < left ? size : left;
	fuse_reply_buf(req, fs->zeros, size < READ_MAX ? size : READ_MAX);
}

static size_t add_entry(fuse_req_t req, char *buf, size_t room, int plus, const char *name, fuse_ino_t ino, off_t next)
{
	struct fuse_entry_param e = nullfs_entry(fuse_req_userdata(req), ino);

	return plus ? fuse_add_direntry_plus(req, buf, room, name, &e, next)
		    : fuse_add_direntry(req, buf, room, name, &e.attr, next);
}

static void list(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, int plus)
{
	char *buf = malloc(size);
	size_t used = 0;

	if (!buf) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	for (long i = off; i < (ino == NODE_MANY ? MANY : 2); i++) {
		char name[24];
		fuse_ino_t child = ino == NODE_MANY ? NODE_FIRST + (fuse_ino_t)i : NODE_ZERO + (fuse_ino_t)i;

		if (ino == NODE_MANY)
			snprintf(name, sizeof(name), "f%ld", i);
		else
			strcpy(name, i == 0 ? "zero" : "many");
		size_t need = add_entry(req, buf + used, size - used, plus, name, child, i + 1);
		if (need > size - used)
			break;
		used += need;
	}
	fuse_reply_buf(req, buf, used);
	free(buf);
}

static void nullfs_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	(void)fi;
	list(req, ino, size, off, 0);
}

static void nullfs_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	(void)fi;
	list(req, ino, size, off, 1);
}

static const struct fuse_lowlevel_ops OPS = {
	.init = nullfs_init,
	.lookup = nullfs_lookup,
	.getattr = nullfs_getattr,
	.open = nullfs_open,
	.opendir = nullfs_opendir,
	.read = nullfs_read,
	.readdir = nullfs_readdir,
	.readdirplus = nullfs_readdirplus,
};

int main(int argc, char **argv)
{
	struct nullfs fs = {.direct = argc == 4};
	char *options[] = {argv[0], "-o", "max_read=1048576,fsname=nullfs", NULL};
	struct fuse_args args = FUSE_ARGS_INIT(3, options);
	int status = 1;

	if (argc < 3) {
		fprintf(stderr, "usage: nullfs MNT BYTES [direct]\n");
		return 2;
	}
	fs.size = strtoll(argv[2], NULL, 10);
	fs.zeros = calloc(1, READ_MAX);
	struct fuse_session *session = fuse_session_new(&args, &OPS, sizeof(OPS), &fs);
	if (fs.zeros && session && fuse_session_mount(session, argv[1]) == 0) {
		struct fuse_loop_config *config = fuse_loop_cfg_create();
		fuse_loop_cfg_set_clone_fd(config, 1);
		status = fuse_session_loop_mt(session, config) != 0;
		fuse_loop_cfg_destroy(config);
		fuse_session_unmount(session);
	}
	if (session)
		fuse_session_destroy(session);
	fuse_opt_free_args(&args);
	free(fs.zeros);
	return status;
}
