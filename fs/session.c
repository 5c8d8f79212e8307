/* SPDX-License-Identifier: MIT */
/* From an open repository to a served mount, and back: everything is made in order and taken down in the opposite one.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fileio.h"
#include "catalog/catalog.h"
#include "fs/control.h"
#include "fs/ops.h"
#include "fs/refresh.h"
#include "fs/spoolhost.h"
#include "fs/warmup.h"

enum { THREADS_MAX = 8, BACKGROUND_MAX = 64 };

/* All parts of a running mount; those that are NULL were not made (yet). */
struct session {
	struct serve serve;
	struct catalog *catalog;
	struct announce *announce;
	struct refresh *refresh;
	struct spoolhost *spool;
	struct ops_route route;
	struct fuse_session *fuse;
	struct invalidate *inv;
	struct control *control;
	struct warmup *warmup;
	sigset_t before;
	bool mounted;
};

/* Linux 6.6: from then on a write past the page cache drops what it holds of that range. */
enum { MINOR_DIRECT_WRITES = 39 };

static void do_init(void *userdata, struct fuse_conn_info *conn)
{
	struct serve *serve = userdata;
	unsigned want = FUSE_CAP_ASYNC_READ | FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_READDIRPLUS |
			FUSE_CAP_EXPORT_SUPPORT | FUSE_CAP_CACHE_SYMLINKS | FUSE_CAP_EXPLICIT_INVAL_DATA;

	/* The kernel weighs ACLs only where it also checks modes. Else getfacl sees them all the same. */
	if (serve->options->allow_other)
		want |= FUSE_CAP_POSIX_ACL | FUSE_CAP_DONT_MASK;
	serve->direct_writes = conn->proto_minor >= MINOR_DIRECT_WRITES;
	conn->max_read = OPS_READ_MAX;
	conn->max_readahead = OPS_READ_MAX;
	conn->max_write = OPS_READ_MAX;
	conn->max_background = BACKGROUND_MAX;
	conn->congestion_threshold = BACKGROUND_MAX * 3 / 4;
	conn->want |= conn->capable & want;
	/* Nothing here changes by itself, so attributes need not be compared; and every listing is worth its
	 * attributes. Sizes and times of what is written are the spool's, at once: no write-back cache. Set-ID
	 * bits the kernel takes away where it can, and ops_spool_disarm() where it does not: writes past its cache,
	 * and O_TRUNC. */
	conn->want &= ~(unsigned)(FUSE_CAP_AUTO_INVAL_DATA | FUSE_CAP_READDIRPLUS_AUTO | FUSE_CAP_WRITEBACK_CACHE |
				  FUSE_CAP_HANDLE_KILLPRIV);
}

static const char *url_of(const struct serve *serve)
{
	return serve->options->url != NULL ? serve->options->url : serve->repo->store->url;
}

/* "fsname=…": commas and backslashes in the URL would end the word. Caller frees. */
static char *source_word(const struct serve *serve)
{
	struct buf b = {0};
	buf_put(&b, "fsname=", strlen("fsname="));
	for (const char *p = url_of(serve); *p != '\0'; p++) {
		if (*p == ',' || *p == '\\')
			buf_put_u8(&b, '\\');
		buf_put_u8(&b, (uint8_t)*p);
	}
	buf_put_u8(&b, 0);
	if (!buf_failed(&b))
		return (char *)b.data;
	buf_release(&b);
	return NULL;
}

static bool set_args(struct fuse_args *args, const struct serve *serve)
{
	char *source = source_word(serve);
	bool ok = source != NULL && fuse_opt_add_arg(args, "drfs") == 0 && fuse_opt_add_arg(args, "-o") == 0 &&
		  fuse_opt_add_arg(args, source) == 0 && fuse_opt_add_arg(args, "-osubtype=drfs,max_read=1048576") == 0;
	/* Without a spool nothing can be written; and the kernel does not ask for a file's access time after each read.
	 */
	if (ok && serve->spool == NULL)
		ok = fuse_opt_add_arg(args, "-oro") == 0;
	if (ok && serve->options->allow_other)
		ok = fuse_opt_add_arg(args, "-oallow_other,default_permissions") == 0;
	if (ok && serve->options->debug)
		ok = fuse_opt_add_arg(args, "-odebug") == 0;
	free(source);
	return ok;
}

static int make_fuse(struct session *s, struct error *err)
{
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	ops_route_init(&s->route);
	s->serve.route = &s->route;
	struct fuse_lowlevel_ops ops = {.init = do_init, .statfs = s->route.rest.statfs};
	ops_set_route(&ops);
	if (set_args(&args, &s->serve))
		s->fuse = fuse_session_new(&args, &ops, sizeof(ops), &s->serve);
	fuse_opt_free_args(&args);
	s->serve.fuse = s->fuse;
	return s->fuse != NULL ? 0 : error_set(err, ERR_IO, "cannot make a FUSE session");
}

/* A folder on the disk whose free space df shows: where the spool will be, or the nearest that is there. */
static char *spool_disk(const struct mount_options *options)
{
	struct stat st;
	char *path = options->spool_dir != NULL ? strdup(options->spool_dir) : fileio_state_dir();
	while (path != NULL && stat(path, &st) != 0) {
		char *slash = strrchr(path, '/');
		if (slash == NULL || slash[1] == '\0')
			break;
		slash[slash == path] = '\0';
	}
	return path;
}

static int open_catalog(struct session *s, struct error *err)
{
	const struct mount_options *o = s->serve.options;
	struct catalog_options options = {
		.dir = o->catalog_dir, .repository = s->serve.repo->config.repository, .log = o->log};
	/* It saves fetching small objects again; where they lie in a folder, there is nothing to save. */
	if ((s->serve.repo->store->features & STORE_LOCAL) != 0 || o->catalog_dir == NULL)
		return 0;
	return catalog_open(&options, &s->catalog, err);
}

static int make_serve(struct session *s, struct error *err)
{
	struct serve *serve = &s->serve;
	struct reader_options options = {
		.cache_bytes = serve->options->cache_bytes != 0 ? serve->options->cache_bytes : MOUNT_CACHE_DEFAULT,
		.catalog_dir = serve->options->catalog_dir};
	int rc = reader_open(serve->repo, &options, &serve->reader, err);
	if (rc < 0)
		return rc;
	serve->spool_disk = spool_disk(serve->options);
	serve->follow = follow_new();
	serve->faults = faults_new(serve->options->log);
	serve->view = view_new(serve->reader);
	if (serve->view != NULL)
		serve->ns = namespace_new(serve->view, geteuid(), getegid());
	if (serve->faults == NULL || serve->ns == NULL)
		return error_no_memory(err, "the mount");
	return refresh_new(serve, s->catalog, &s->refresh, err);
}

static int mount_it(struct session *s, struct error *err)
{
	const char *mountpoint = s->serve.options->mountpoint;
	int rc = make_fuse(s, err);
	if (rc < 0)
		return rc;
	if (fuse_session_mount(s->fuse, mountpoint) != 0)
		return error_set(err, ERR_IO, "cannot mount at '%s'; what the system said stands above", mountpoint);
	s->mounted = true;
	return 0;
}

/* Notifications go out while requests are still served, or they would wait for ever. */
static void quiet(void *arg)
{
	struct session *s = arg;
	ahead_stop(s->serve.ahead);
	spoolhost_set_invalidate(s->spool, NULL);
	refresh_stop(s->refresh);
	invalidate_free(s->inv);
	s->inv = NULL;
}

static int start_threads(struct session *s, struct error *err)
{
	const struct mount_options *o = s->serve.options;
	struct control_options control = {
		.session = s->fuse, .mountpoint = o->mountpoint, .log = o->log, .quiet = quiet, .arg = s};
	int rc = invalidate_new(s->fuse, &s->inv, err);
	if (rc == 0)
		spoolhost_set_invalidate(s->spool, s->inv);
	if (rc == 0)
		rc = refresh_start(s->refresh, s->announce, s->inv, err);
	if (rc == 0)
		rc = control_new(&control, &s->control, err);
	if (rc == 0)
		rc = warmup_new(o, &s->warmup, err);
	if (rc == 0)
		rc = ahead_new(o->mountpoint, &s->serve.ahead, err);
	return rc;
}

static int serve_loop(struct session *s, struct error *err)
{
	struct fuse_loop_config *config = fuse_loop_cfg_create();
	if (config == NULL)
		return error_no_memory(err, "the threads of the mount");
	fuse_loop_cfg_set_clone_fd(config, 1);
	fuse_loop_cfg_set_max_threads(config, THREADS_MAX);
	fuse_loop_cfg_set_idle_threads(config, THREADS_MAX);
	int failed = fuse_session_loop_mt(s->fuse, config);
	fuse_loop_cfg_destroy(config);
	/* A positive number is a signal's, which the control thread has dealt with. A connection that is aborted is one
	 * that was unmounted while a request came in. */
	return failed < 0 && failed != -ECONNABORTED
		       ? error_set_errno(err, -failed, "serving '%s' failed", s->serve.options->mountpoint)
		       : 0;
}

static void serve_release(struct serve *serve)
{
	ahead_free(serve->ahead); /* first: it waits for requests that nobody answers now but the kernel */
	namespace_free(serve->ns);
	view_free(serve->view);
	reader_close(serve->reader);
	follow_free(serve->follow);
	faults_free(serve->faults);
	free(serve->spool_disk);
	pthread_mutex_destroy(&serve->poll.lock);
}

/* True: Ctrl-C ended it. */
static bool session_release(struct session *s)
{
	bool left_dead = false, interrupted = false;
	ahead_stop(s->serve.ahead);
	control_free(s->control, &left_dead, &interrupted);
	if (s->mounted && !left_dead)
		fuse_session_unmount(s->fuse);
	/* While the refresh still runs, so that other mounts hear of what is committed on the way out. */
	spoolhost_set_invalidate(s->spool, NULL);
	spoolhost_close(s->spool);
	warmup_free(s->warmup);
	refresh_stop(s->refresh);
	invalidate_free(s->inv);
	announce_close(s->announce);
	if (s->fuse != NULL)
		fuse_session_destroy(s->fuse);
	refresh_free(s->refresh);
	serve_release(&s->serve);
	catalog_close(s->catalog);
	return interrupted;
}

int mount_run(struct repo *repo, const struct mount_options *options, struct error *err)
{
	struct error ignored = ERROR_INIT;
	struct session s = {.serve = {.repo = repo, .options = options, .started = clock_now()}};

	pthread_mutex_init(&s.serve.poll.lock, NULL);
	control_block(&s.before);
	/* Listens before it looks: what is announced from here on is either seen or heard. */
	if (announce_open(repo->config.repository, &s.announce, &ignored) < 0)
		log_warn(options->log, "commands cannot tell this mount what is new, it finds it by itself: %s",
			error_text(&ignored));
	int rc = open_catalog(&s, err);
	if (rc == 0)
		rc = make_serve(&s, err);
	if (rc == 0)
		rc = spoolhost_open(&s.serve, s.refresh, &s.spool, err);
	if (rc == 0)
		rc = mount_it(&s, err);
	if (rc == 0)
		rc = start_threads(&s, err);
	if (rc == 0)
		rc = serve_loop(&s, err);
	bool interrupted = session_release(&s);
	if (rc == 0 && interrupted)
		rc = error_set(err, ERR_CANCELLED, "interrupted");
	control_unblock(&s.before);
	return rc;
}
