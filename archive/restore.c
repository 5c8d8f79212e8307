/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "archive/restore_impl.h"
#include "base/checked.h"
#include "base/fileio.h"
#include "base/hex.h"

enum { QUEUE_JOBS = 32, ENTRY_ROOM = 8192 };

/* ---- what ---- */

/* Finds what `path` names: a folder, whose prefix is then the base, or a single entry. */
static int find_source(struct restore *r, const char *path, struct error *err)
{
	const struct node *leaf = NULL;
	const struct entry *e = NULL;
	size_t name_len;
	if (!*path)
		return 0;
	if (!entry_key_from_path(&r->base_key, path, strlen(path)))
		return error_set(err, ERR_NOT_FOUND, "there is no '%s' in the snapshot", path);
	int status = tree_find(r->nodes, &r->snapshot->root, r->base_key.data, r->base_key.len, &leaf, &e, NULL, err);
	if (status == ERR_NOT_FOUND) {
		error_clear(err);
		return error_set(err, ERR_NOT_FOUND, "there is no '%s' in the snapshot", path);
	}
	if (status != 0)
		return status;
	r->single = !S_ISDIR(e->mode);
	if (r->single)
		buf_put(&r->base, e->key, (size_t)(restore_name(e, &name_len) - e->key) - 1);
	else
		entry_key_to_prefix(&r->base, e->key, e->key_len);
	r->nodes->put(r->nodes, leaf);
	return buf_failed(&r->base) ? error_no_memory(err, "a path") : 0;
}

/* ---- where to ---- */

/* Appends what does not exist yet to a canonical path, as making its folders would understand it. Frees `real`. */
static char *with_missing(char *real, const char *rest)
{
	while (real && *(rest += strspn(rest, "/")) != '\0') {
		size_t len = strcspn(rest, "/");
		char *slash = strrchr(real, '/');
		if (len == 2 && strncmp(rest, "..", 2) == 0) {
			slash[slash == real] = '\0';
		} else if (len != 1 || rest[0] != '.') {
			char *longer = fileio_format("%s/%.*s", real[1] ? real : "", (int)len, rest);
			free(real);
			real = longer;
		}
		rest += len;
	}
	return real;
}

/* The canonical form of a path whose end need not exist yet. NULL without memory. */
static char *canonical(const char *path)
{
	size_t len = strlen(path);
	char *copy = strdup(path), *real = NULL;
	while (copy && !(real = realpath(len > 0 ? copy : *path == '/' ? "/" : ".", NULL)) && len > 0) {
		while (len > 0 && copy[len - 1] == '/')
			len--;
		while (len > 0 && copy[len - 1] != '/')
			len--;
		copy[len] = '\0';
	}
	free(copy);
	return with_missing(real, path + len);
}

static bool is_within(const char *path, const char *folder)
{
	size_t len = strlen(folder);
	while (len > 0 && folder[len - 1] == '/')
		len--;
	return strncmp(path, folder, len) == 0 && (path[len] == '\0' || path[len] == '/');
}

/* Neither into the repository's own folder, nor deleting around it. */
static int check_repository(const struct restore *r, struct error *err)
{
	const char *local = r->repo->store->local_path;
	if (!local)
		return 0;
	char *dest = canonical(r->options->dest);
	int status = dest ? 0 : error_no_memory(err, "a path");
	if (status == 0 && is_within(dest, local))
		status = error_set(err, ERR_USAGE, "'%s' lies in the repository '%s' itself: choose another folder",
			r->options->dest, local);
	if (status == 0 && r->options->delete_extra && is_within(local, dest))
		status = error_set(err, ERR_USAGE,
			"'%s' holds the repository '%s', which deleting would take away: choose another folder",
			r->options->dest, local);
	free(dest);
	return status;
}

/* "a/b/" to "a/b"; "/" stays. */
static char *without_slashes(const char *path)
{
	char *copy = strdup(path);
	size_t len = copy ? strlen(copy) : 0;
	while (len > 1 && copy[len - 1] == '/')
		copy[--len] = '\0';
	return copy;
}

/* Makes the folders above `path`. */
static int make_parents(const char *path, struct error *err)
{
	char *copy = strdup(path);
	char *slash = copy ? strrchr(copy, '/') : NULL;
	int status = copy ? 0 : error_no_memory(err, "a path");
	if (slash && slash != copy) {
		*slash = '\0';
		status = fileio_mkdirs(copy, 0755, err);
	}
	free(copy);
	return status;
}

static int make_dest(struct restore *r, struct error *err)
{
	int status = make_parents(r->dest, err);
	if (status != 0)
		return status;
	if (mkdir(r->dest, 0700) == 0)
		r->dest_made = true;
	else if (errno != EEXIST)
		return error_set_errno(err, errno, "cannot make the folder '%s'", r->dest);
	return 0;
}

/* Remembers which of DEST's folders are to be made. */
static void note_new(struct restore *r)
{
	struct stat st;
	char *path = strdup(r->dest);
	size_t len = path ? strlen(path) : 0;
	while (len > 0 && stat(path, &st) != 0) {
		while (len > 0 && path[len - 1] != '/')
			len--;
		while (len > 0 && path[len - 1] == '/')
			len--;
		path[len] = '\0';
	}
	r->dest_new = path != NULL;
	r->dest_kept = len;
	free(path);
}

/* Of a run that failed before anything was written nothing stays, not even an empty folder. */
static void undo_dest(struct restore *r)
{
	if (!r->dest_new)
		return;
	for (size_t len = strlen(r->dest); len > r->dest_kept && rmdir(r->dest) == 0; r->dest[len] = '\0') {
		while (len > 0 && r->dest[len - 1] != '/')
			len--;
		while (len > 0 && r->dest[len - 1] == '/')
			len--;
	}
}

/* Opens r->dest, a folder, which may itself be named by a link: its user did so. */
static int open_dest(struct restore *r, bool make, struct error *err)
{
	struct stat st;
	int status = 0;
	r->dest_fd = open(r->dest, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r->dest_fd < 0 && errno == ENOENT) {
		if (r->options->dry_run)
			return 0;
		note_new(r);
		status = make ? make_dest(r, err) : make_parents(r->dest, err);
		if (status == 0 && !make && mkdir(r->dest, 0755) != 0 && errno != EEXIST)
			status = error_set_errno(err, errno, "cannot make the folder '%s'", r->dest);
		if (status != 0)
			return status;
		r->dest_fd = open(r->dest, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	if (r->dest_fd < 0 && errno == ENOTDIR)
		return error_set(err, ERR_USAGE, "'%s' is no folder: move it away, or choose another place", r->dest);
	if (r->dest_fd < 0 || fstat(r->dest_fd, &st) != 0)
		return error_set_errno(err, errno, "cannot open '%s'", r->dest);
	r->dest_dev = st.st_dev;
	return 0;
}

/* A single entry goes into DEST where that is a folder, else it becomes DEST. */
static int place_single(struct restore *r, struct error *err)
{
	const char *dest = r->options->dest;
	struct stat st;
	size_t len = strlen(dest);
	bool into = (len > 0 && dest[len - 1] == '/') || (stat(dest, &st) == 0 && S_ISDIR(st.st_mode));
	r->dest = without_slashes(dest);
	if (!r->dest)
		return error_no_memory(err, "a path");
	if (into) {
		size_t name_len;
		const struct entry named = {.key = r->base_key.data, .key_len = r->base_key.len};
		const uint8_t *name = restore_name(&named, &name_len);
		r->single_name = strndup((const char *)name, name_len);
	} else {
		char *slash = strrchr(r->dest, '/');
		r->single_name = strdup(slash ? slash + 1 : r->dest);
		if (slash)
			slash[slash == r->dest] = '\0';
		else
			strcpy(r->dest, ".");
	}
	if (!r->single_name)
		return error_no_memory(err, "a path");
	if (!entry_name_ok((const uint8_t *)r->single_name, strlen(r->single_name)))
		return error_set(err, ERR_USAGE, "'%s' names no file", dest);
	return open_dest(r, false, err);
}

static int place(struct restore *r, struct error *err)
{
	int status = check_repository(r, err);
	if (status != 0)
		return status;
	if (!*r->options->dest)
		return error_set(err, ERR_USAGE, "the destination is empty: name a folder");
	if (r->single)
		return place_single(r, err);
	r->dest = without_slashes(r->options->dest);
	return r->dest ? open_dest(r, true, err) : error_no_memory(err, "a path");
}

/* ---- the passes ---- */

/* All of a snapshot, to where nothing is yet and where there is room to spare: no need to look closer beforehand. */
static bool has_ample_room(struct restore *r)
{
	const struct tree_root *root = &r->snapshot->root;
	struct statvfs fs;
	uint64_t want, extra;
	if (r->options->dry_run || !r->dest_made || r->base_key.len > 0 || fstatvfs(r->dest_fd, &fs) != 0)
		return false;
	if (__builtin_mul_overflow(root->entries, (uint64_t)ENTRY_ROOM, &extra) ||
		!checked_add_u64(root->bytes, extra, &want) || want / fs.f_frsize >= fs.f_bavail)
		return false;
	r->planned_bytes = root->bytes;
	r->planned_items = root->entries;
	atomic_store(&r->needed, root->bytes);
	progress_total(r->options->progress, root->bytes, root->entries);
	return true;
}

static int plan_single(struct restore *r, struct error *err)
{
	const struct node *leaf = NULL;
	const struct entry *e = NULL;
	struct stat st;
	int status = tree_find(r->nodes, &r->snapshot->root, r->base_key.data, r->base_key.len, &leaf, &e, NULL, err);
	if (status != 0)
		return status;
	bool there = r->dest_fd >= 0 && fstatat(r->dest_fd, r->single_name, &st, AT_SYMLINK_NOFOLLOW) == 0;
	if (there && restore_same(r, r->dest_fd, r->single_name, e, &st)) {
		atomic_fetch_add(&r->unchanged, r->options->dry_run ? 1 : 0);
	} else {
		restore_plan_entry(r, e);
		progress_total(r->options->progress, r->planned_bytes, r->planned_items);
	}
	r->nodes->put(r->nodes, leaf);
	return 0;
}

static int run_passes(struct restore *r, struct error *err)
{
	int status = 0;
	if (!has_ample_room(r))
		status = r->single ? plan_single(r, err) : restore_plan(r, err);
	if (status == 0 && r->options->dry_run)
		return r->options->delete_extra && !r->single ? restore_delete_extra(r, false, NULL, err) : 0;
	if (status == 0)
		status = restore_check_room(r, err);
	if (status == 0 && r->options->delete_extra && !r->single) {
		status = restore_delete_extra(r, false, NULL, err);
		if (restore_is_damage(status))
			error_wrap(err, status,
				"nothing more is deleted since part of the snapshot cannot be read; "
				"without --delete the rest can be restored");
	}
	if (status == 0)
		status = r->single ? restore_write_single(r, err) : restore_write_all(r, err);
	if (status == 0)
		status = restore_stopped(r);
	if (status == 0)
		status = restore_make_links(r, err);
	if (status == 0 && !r->single)
		status = restore_finish_folders(r, err);
	if (status == 0 && r->options->verify)
		status = restore_verify_all(r, err);
	return status;
}

static int settle(struct restore *r, int status, struct error *err)
{
	if (atomic_load(&r->status) != 0) {
		if (err)
			*err = r->failure;
		return atomic_load(&r->status);
	}
	if (status != 0)
		return status;
	if (restore_stopped(r) != 0)
		return error_set(err, r->failure.code, "%s", error_text(&r->failure));
	if (r->lost > 0)
		return error_set(err, r->first_lost.code, "%llu %s not as the archive has %s; the first: %s",
			(unsigned long long)r->lost, r->lost == 1 ? "file is" : "files are",
			r->lost == 1 ? "it" : "them", error_text(&r->first_lost));
	return 0;
}

static void fill_result(struct restore *r, struct restore_result *ret)
{
	*ret = (struct restore_result){
		.files = atomic_load(&r->files),
		.dirs = atomic_load(&r->dirs),
		.others = atomic_load(&r->others),
		.bytes = atomic_load(&r->bytes),
		.unchanged = atomic_load(&r->unchanged),
		.deleted = atomic_load(&r->deleted),
		.warnings = atomic_load(&r->warnings),
		.verified = atomic_load(&r->verified),
		.needed_bytes = atomic_load(&r->needed),
	};
}

static int init(struct restore *r, struct error *err)
{
	pthread_mutex_init(&r->lock, NULL);
	pthread_mutex_init(&r->tell_lock, NULL);
	r->euid = geteuid();
	r->as_root = r->euid == 0;
	int status = pool_group_init(&r->jobs, err);
	if (status == 0)
		status = owner_map_new(r, &r->owners, err);
	if (status == 0)
		status = pool_new(r->options->threads, QUEUE_JOBS, "restore", &r->pool, err);
	return status;
}

static void release(struct restore *r)
{
	pool_free(r->pool);
	pool_group_release(&r->jobs);
	owner_map_free(r->owners);
	if (r->dest_fd >= 0)
		close(r->dest_fd);
	free(r->dest);
	free(r->single_name);
	free(r->folders.list);
	free(r->links.list);
	link_map_release(&r->seen);
	link_map_release(&r->lost_keys);
	buf_release(&r->base);
	buf_release(&r->base_key);
	buf_release(&r->skip);
	pthread_mutex_destroy(&r->lock);
	pthread_mutex_destroy(&r->tell_lock);
}

int restore_run(struct repo *repo, struct reader *reader, const struct snapshot *snapshot, const char *path,
	const struct restore_options *options, struct restore_result *ret_result, struct error *err)
{
	struct restore r = {.repo = repo,
		.reader = reader,
		.nodes = reader_nodes(reader),
		.snapshot = snapshot,
		.options = options,
		.dest_fd = -1};
	int status = init(&r, err);
	*ret_result = (struct restore_result){0};
	if (status == 0 && snapshot->root_sealed.len > 0)
		reader_seed_root(reader, &snapshot->root, snapshot->root_sealed.data, snapshot->root_sealed.len,
			snapshot->root_key);
	if (status == 0 && snapshot->root.entries > 0)
		reader_warm_tree(reader, &snapshot->root);
	if (status == 0)
		status = find_source(&r, path, err);
	if (status == 0)
		status = place(&r, err);
	if (status == 0)
		status = settle(&r, run_passes(&r, err), err);
	if (status != 0)
		undo_dest(&r);
	fill_result(&r, ret_result);
	release(&r);
	return status;
}
