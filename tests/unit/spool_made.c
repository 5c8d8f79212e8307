/* SPDX-License-Identifier: MIT */
#include "spool_made.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/checked.h"
#include "base/hex.h"

static void must(int r, const struct error *err)
{
	if (r < 0)
		fail_msg("%d: %s", r, error_text(err));
}

int spool_made_setup(void **state)
{
	struct spool_made *m = calloc(1, sizeof(*m));
	struct error err = ERROR_INIT;
	struct reader_options options = {.threads = 1};

	assert_non_null(m);
	archive_fixture_open(&m->f);
	must(reader_open(m->f.repo, &options, &m->reader, &err), &err);
	m->view = view_new(m->reader);
	assert_non_null(m->view);
	strcpy(m->dir, "/tmp/drfs-spool-XXXXXX");
	assert_non_null(mkdtemp(m->dir));
	m->state = 1;
	*state = m;
	return 0;
}

int spool_made_teardown(void **state)
{
	struct spool_made *m = *state;
	char command[96];

	work_close(m->work);
	view_free(m->view);
	reader_close(m->reader);
	snapshot_free(m->base);
	for (size_t i = 0; i < m->kept_count; i++)
		snapshot_free(m->kept[i]);
	archive_fixture_close(&m->f);
	snprintf(command, sizeof(command), "rm -rf '%s'", m->dir);
	assert_int_equal(system(command), 0);
	free(m);
	return 0;
}

/* Runs in the source folder. */
static void in_source(struct spool_made *m, const char *script)
{
	char command[2048];

	snprintf(command, sizeof(command), "cd '%s' && %s", m->f.dir, script);
	assert_int_equal(system(command), 0);
}

void spool_made_base(struct spool_made *m)
{
	struct backup_result result;

	for (unsigned i = 0; i < 40; i++) { /* names whose order is another with a separator behind them */
		char path[64];
		static const char *const folders[] = {"", "a/", "a-/", "a.b/", "a/b/", "a/b-c/", "z/y/x/"};
		uint8_t *data = archive_fixture_bytes(100 + i * 50, i);
		snprintf(path, sizeof(path), "%sf%u%s", folders[i % ARRAY_LEN(folders)], i, i % 3 == 0 ? "-" : "");
		archive_fixture_write(&m->f, path, data, 100 + i * 50);
		free(data);
	}
	uint8_t *big = archive_fixture_bytes(300000, 77);
	archive_fixture_write(&m->f, "a/big", big, 300000);
	archive_fixture_write(&m->f, "big", big, 200000);
	free(big);
	in_source(m, "mkdir empty a/empty && ln -s f0- link && ln big hard && ln big z/y/hard && mkfifo fifo &&"
		     " : > a/nothing && chmod 600 big && touch -d @1000000 a");
	archive_fixture_age(&m->f);
	archive_fixture_backup(&m->f, &result);
	m->base = result.snapshot;
}

const struct snapshot *spool_made_find(void *arg, const struct id *id)
{
	const struct spool_made *m = arg;

	if (m->base != NULL && id_equal(&m->base->id, id))
		return m->base;
	for (size_t i = 0; i < m->kept_count; i++)
		if (id_equal(&m->kept[i]->id, id))
			return m->kept[i];
	return NULL;
}

static void changed(void *arg, bool closed)
{
	struct spool_made *m = arg;

	(void)closed;
	m->changed++;
}

void spool_made_work(struct spool_made *m)
{
	struct error err = ERROR_INIT;
	const struct work_options options = {.dir = m->dir,
		.dataset = "t",
		.view = m->view,
		.newest = m->base,
		.find = spool_made_find,
		.find_arg = m,
		.uid = getuid(),
		.gid = getgid(),
		.changed = changed,
		.changed_arg = m};

	must(work_open(&options, &m->work, &err), &err);
}

uint64_t spool_made_draw(struct spool_made *m, uint64_t below)
{
	m->state = m->state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (m->state >> 33) % below;
}

/* ---- looking ---- */

/* An entry of a listing. */
struct shown {
	char name[ENTRY_NAME_MAX + 1];
	uint64_t ino;
	mode_t mode;
};

struct listing {
	struct shown *list;
	size_t count;
};

static bool add_shown(void *arg, const char *name, const struct stat *st, uint64_t next)
{
	struct listing *l = arg;

	(void)next;
	l->list = reallocarray(l->list, l->count + 1, sizeof(*l->list));
	assert_non_null(l->list);
	snprintf(l->list[l->count].name, sizeof(l->list[0].name), "%s", name);
	l->list[l->count].ino = st->st_ino;
	l->list[l->count++].mode = st->st_mode;
	return true;
}

static struct listing list_folder(struct work *w, uint64_t dir)
{
	struct listing l = {0};
	struct error err = ERROR_INIT;

	must(work_list(w, dir, 0, add_shown, &l, &err), &err);
	return l;
}

uint64_t spool_made_ino(struct work *w, const char *path)
{
	struct error err = ERROR_INIT;
	char copy[512], *save = NULL;
	uint64_t ino = INDEX_ROOT;
	struct stat st;

	snprintf(copy, sizeof(copy), "%s", path);
	for (char *name = strtok_r(copy, "/", &save); name != NULL; name = strtok_r(NULL, "/", &save)) {
		must(work_lookup(w, ino, name, &st, &err), &err);
		ino = st.st_ino;
	}
	return ino;
}

void spool_made_write_at(struct work *w, const char *name, uint64_t off, const void *data, size_t len)
{
	struct error err = ERROR_INIT;
	const struct work_owner owner = {.uid = getuid(), .gid = getgid()};
	struct work_file *file;
	struct stat st;
	int r = work_lookup(w, INDEX_ROOT, name, &st, &err);

	if (r == ERR_NOT_FOUND) {
		error_clear(&err);
		r = work_make(w, INDEX_ROOT, name, S_IFREG | 0644, 0, owner, &st, &err);
	}
	must(r, &err);
	must(work_file_open(w, st.st_ino, true, false, &file, &err), &err);
	must(work_write(file, off, data, len, false, &err), &err);
	must(work_file_close(file, &err), &err);
}

void spool_made_write(struct work *w, const char *name, const void *data, size_t len)
{
	struct error err = ERROR_INIT;
	struct work_file *file;

	spool_made_write_at(w, name, 0, data, len);
	must(work_file_open(w, spool_made_ino(w, name), true, true, &file, &err), &err);
	must(work_write(file, 0, data, len, false, &err), &err);
	must(work_file_close(file, &err), &err);
}

/* ---- what is shown ---- */

static uint64_t hash(uint64_t h, const uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len; i++)
		h = (h ^ data[i]) * UINT64_C(1099511628211);
	return h;
}

static void put_line(struct buf *b, const char *path, const struct stat *st, uint64_t content, const char *target)
{
	char line[2 * 4096 + 1024];
	bool dir = S_ISDIR(st->st_mode);

	snprintf(line, sizeof(line), "%s mode %o owner %u:%u links %lu size %lld mtime %lld.%09ld %016llx%s%s\n", path,
		st->st_mode, st->st_uid, st->st_gid, dir ? 1ul : (unsigned long)st->st_nlink,
		dir ? 0ll : (long long)st->st_size, (long long)st->st_mtim.tv_sec, st->st_mtim.tv_nsec,
		(unsigned long long)content, target == NULL ? "" : " -> ", target == NULL ? "" : target);
	buf_put(b, line, strlen(line));
}

static uint64_t hash_work(struct work *w, const struct stat *st)
{
	struct error err = ERROR_INIT;
	struct work_file *file;
	uint8_t *data = malloc((size_t)st->st_size + 1);
	size_t len = 0;

	assert_non_null(data);
	must(work_file_open(w, st->st_ino, false, false, &file, &err), &err);
	must(work_read(file, 0, data, (size_t)st->st_size + 1, &len, &err), &err);
	must(work_file_close(file, &err), &err);
	assert_int_equal(len, st->st_size);
	uint64_t h = hash(1, data, len);
	free(data);
	return h;
}

/* Attributes that are shown, of all kinds; names come in order. */
static uint64_t hash_work_xattrs(struct work *w, uint64_t ino, uint64_t h)
{
	struct error err = ERROR_INIT;
	struct buf names = {0};

	must(work_listxattr(w, ino, &names, &err), &err);
	for (size_t at = 0; at < names.len; at += strlen((char *)names.data + at) + 1) {
		struct buf value = {0};
		must(work_getxattr(w, ino, (char *)names.data + at, &value, &err), &err);
		h = hash(h, names.data + at, strlen((char *)names.data + at));
		h = hash(h, value.data, value.len);
		buf_release(&value);
	}
	buf_release(&names);
	return h;
}

static void show_work(struct work *w, uint64_t dir, const char *above, struct buf *b)
{
	struct listing l = list_folder(w, dir);
	struct error err = ERROR_INIT;

	for (size_t i = 0; i < l.count; i++) {
		char path[1024];
		struct stat st;
		struct buf target = {0};
		uint64_t h = 0;
		snprintf(path, sizeof(path), "%s/%s", above, l.list[i].name);
		must(work_getattr(w, l.list[i].ino, &st, &err), &err);
		if (S_ISREG(st.st_mode))
			h = hash_work(w, &st);
		if (S_ISLNK(st.st_mode))
			must(work_readlink(w, st.st_ino, &target, &err), &err);
		buf_put_u8(&target, 0);
		h = hash_work_xattrs(w, st.st_ino, h);
		put_line(b, path, &st, h, S_ISLNK(st.st_mode) ? (char *)target.data : NULL);
		buf_release(&target);
		if (S_ISDIR(st.st_mode))
			show_work(w, l.list[i].ino, path, b);
	}
	free(l.list);
}

static int compare_lines(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The lines in order, as one text; takes the buffer. */
static char *sorted(struct buf *b)
{
	size_t count = 0, at = 0;
	char **lines, *save = NULL;

	buf_put_u8(b, 0);
	assert_false(buf_failed(b));
	lines = calloc(b->len, sizeof(char *));
	char *out = malloc(b->len + 2);
	assert_non_null(lines);
	assert_non_null(out);
	for (char *line = strtok_r((char *)b->data, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save))
		lines[count++] = line;
	qsort(lines, count, sizeof(*lines), compare_lines);
	out[0] = '\0';
	for (size_t i = 0; i < count; i++)
		at += (size_t)sprintf(out + at, "%s\n", lines[i]);
	free(lines);
	buf_release(b);
	return out;
}

char *spool_made_show_work(struct work *w)
{
	struct buf b = {0};
	struct error err = ERROR_INIT;
	struct stat st;

	must(work_getattr(w, INDEX_ROOT, &st, &err), &err);
	put_line(&b, "/", &st, hash_work_xattrs(w, INDEX_ROOT, 0), NULL);
	show_work(w, INDEX_ROOT, "", &b);
	return sorted(&b);
}

static uint64_t hash_entry(struct spool_made *m, const struct entry *e)
{
	struct error err = ERROR_INIT;
	struct reader_file *file;
	uint8_t *data = malloc((size_t)e->size + 1);
	size_t len = 0;

	assert_non_null(data);
	must(reader_file_open(m->reader, e, &file, &err), &err);
	must(reader_file_read(file, 0, data, (size_t)e->size, &len, &err), &err);
	reader_file_close(file);
	assert_int_equal(len, e->size);
	uint64_t h = hash(1, data, len);
	free(data);
	return h;
}

static uint64_t hash_entry_xattrs(struct spool_made *m, const struct view_entry *e, uint64_t h)
{
	struct error err = ERROR_INIT;
	struct buf all = {0};
	const char *name;
	const uint8_t *value;
	size_t name_len, len;

	must(view_xattrs(m->view, e, &all, &err), &err);
	struct cursor c = cursor_of(all.data, all.len);
	while (xattr_next(&c, &name, &name_len, &value, &len)) {
		h = hash(h, (const uint8_t *)name, name_len);
		h = hash(h, value, len);
	}
	buf_release(&all);
	return h;
}

static void show_entry(struct spool_made *m, const struct view_entry *e, struct buf *b)
{
	struct buf path = {0};
	struct stat st;
	char target[ENTRY_TARGET_MAX + 1];
	uint64_t h = S_ISREG(e->entry->mode) ? hash_entry(m, e->entry) : 0;

	buf_put_u8(&path, '/');
	if (e->rank > 0)
		entry_key_to_path(&path, e->entry->key, e->entry->key_len);
	buf_put_u8(&path, 0);
	view_stat(e, &st);
	snprintf(target, sizeof(target), "%.*s", (int)e->entry->target_len, (const char *)e->entry->target);
	put_line(b, (char *)path.data, &st, hash_entry_xattrs(m, e, h), S_ISLNK(st.st_mode) ? target : NULL);
	buf_release(&path);
}

char *spool_made_show_snapshot(struct spool_made *m, const struct snapshot *s)
{
	struct error err = ERROR_INIT;
	struct buf b = {0};

	for (uint32_t rank = 0; rank <= s->root.entries; rank++) {
		struct view_entry e;
		must(view_at(m->view, s, rank, &e, &err), &err);
		show_entry(m, &e, &b);
		view_put(m->view, &e);
	}
	return sorted(&b);
}

void spool_made_expect_same(struct spool_made *m, const struct snapshot *s)
{
	char *want = spool_made_show_work(m->work), *got = spool_made_show_snapshot(m, s);

	if (strcmp(want, got) != 0) {
		size_t at = 0;
		while (want[at] == got[at])
			at++;
		while (at > 0 && want[at - 1] != '\n')
			at--;
		fail_msg("the working copy shows\n%.*s\nand the snapshot\n%.*s", (int)strcspn(want + at, "\n"),
			want + at, (int)strcspn(got + at, "\n"), got + at);
	}
	free(want);
	free(got);
}

/* ---- committing ---- */

int spool_made_try(struct spool_made *m, struct commit_result *result, struct error *err)
{
	const struct snapset *set = NULL;
	const struct commit_options options = {.repo = m->f.repo,
		.catalog = m->f.catalog,
		.reader = m->reader,
		.work = m->work,
		.find = spool_made_find,
		.find_arg = m};
	struct commit_options own = options;

	must(snapset_load(m->f.repo, NULL, NULL, &set, err), err);
	own.set = set;
	int r = commit_run(&own, result, err);
	snapset_unref(set);
	if (result->snapshot != NULL) {
		assert_true(m->kept_count < ARRAY_LEN(m->kept));
		m->kept[m->kept_count] = snapshot_copy(result->snapshot);
		assert_non_null(m->kept[m->kept_count++]);
	}
	return r;
}

const struct snapshot *spool_made_commit(struct spool_made *m)
{
	struct error err = ERROR_INIT;
	struct commit_result result = {0};

	must(spool_made_try(m, &result, &err), &err);
	bool made = result.snapshot != NULL;
	commit_result_release(&result);
	return made ? m->kept[m->kept_count - 1] : NULL;
}

/* ---- random edits ---- */

/* Somewhere in a working copy. */
struct place {
	uint64_t dir, ino;
	char name[ENTRY_NAME_MAX + 1];
	mode_t mode;
};

/* Goes down by chance; false where a folder is empty. */
static bool draw_place(struct spool_made *m, uint64_t from, struct place *ret)
{
	uint64_t dir = from;

	for (;;) {
		struct listing l = list_folder(m->work, dir);
		if (l.count == 0) {
			free(l.list);
			return false;
		}
		const struct shown *s = &l.list[spool_made_draw(m, l.count)];
		*ret = (struct place){.dir = dir, .ino = s->ino, .mode = s->mode};
		strcpy(ret->name, s->name);
		free(l.list);
		if (!S_ISDIR(ret->mode) || spool_made_draw(m, 3) == 0)
			return true;
		dir = ret->ino;
	}
}

static uint64_t draw_folder(struct spool_made *m)
{
	struct place p;

	for (int i = 0; i < 5; i++)
		if (draw_place(m, INDEX_ROOT, &p))
			return S_ISDIR(p.mode) ? p.ino : p.dir;
	return INDEX_ROOT;
}

static void draw_name(struct spool_made *m, char dst[static 16])
{
	static const char *const tails[] = {"", "-", ".b", "0"};

	snprintf(dst, 16, "%c%u%s", "afgz"[spool_made_draw(m, 4)], (unsigned)spool_made_draw(m, 6),
		tails[spool_made_draw(m, ARRAY_LEN(tails))]);
}

static void edit_bytes(struct spool_made *m, uint64_t ino)
{
	struct error err = ERROR_INIT;
	struct work_file *file;
	size_t len = 1 + (size_t)spool_made_draw(m, spool_made_draw(m, 4) == 0 ? 150000 : 2000);
	uint8_t *data = archive_fixture_bytes(len, (uint32_t)spool_made_draw(m, 1 << 30));
	uint64_t off = spool_made_draw(m, spool_made_draw(m, 3) == 0 ? 400000 : 1000);
	bool whole = spool_made_draw(m, 4) == 0;

	must(work_file_open(m->work, ino, true, whole, &file, &err), &err);
	must(work_write(file, whole ? 0 : off, data, len, false, &err), &err);
	must(work_file_close(file, &err), &err);
	free(data);
}

static void edit_make(struct spool_made *m, uint64_t dir)
{
	static const mode_t kinds[] = {S_IFREG | 0644, S_IFREG | 0600, S_IFDIR | 0755, S_IFIFO | 0600};
	const struct work_owner owner = {.uid = getuid(), .gid = getgid()};
	char name[16];
	struct stat st;
	mode_t kind = kinds[spool_made_draw(m, ARRAY_LEN(kinds))];

	draw_name(m, name);
	if (spool_made_draw(m, 6) == 0)
		work_symlink(m->work, dir, name, "where/ever", owner, &st, NULL);
	else if (work_make(m->work, dir, name, kind, 0, owner, &st, NULL) == 0 && S_ISREG(kind))
		edit_bytes(m, st.st_ino);
}

static void edit_attributes(struct spool_made *m, const struct place *p)
{
	struct error err = ERROR_INIT;
	struct stat st = {
		.st_mode = (mode_t)(0600 + spool_made_draw(m, 8)), .st_size = (off_t)spool_made_draw(m, 250000)};
	bool cut = S_ISREG(p->mode) && spool_made_draw(m, 2) == 0;

	if (S_ISLNK(p->mode))
		return;
	must(work_setattr(m->work, p->ino, cut ? WORK_SET_SIZE : WORK_SET_MODE, &st, &st, &err), &err);
	if (spool_made_draw(m, 3) == 0)
		must(work_setxattr(
			     m->work, p->ino, "user.test", "some value", 1 + (size_t)spool_made_draw(m, 9), 0, &err),
			&err);
}

static void edit_once(struct spool_made *m)
{
	struct place p;
	char name[16];
	struct stat st;

	draw_name(m, name);
	if (!draw_place(m, INDEX_ROOT, &p)) {
		edit_make(m, INDEX_ROOT);
		return;
	}
	switch (spool_made_draw(m, 12)) { /* what POSIX refuses is refused: only what is shown matters */
	case 0:
	case 1:
		edit_make(m, draw_folder(m));
		break;
	case 2:
		work_unlink(m->work, p.dir, p.name, NULL);
		break;
	case 3:
		work_rmdir(m->work, p.dir, p.name, NULL);
		break;
	case 4:
	case 5:
		work_rename(m->work, p.dir, p.name, draw_folder(m), name, 0, NULL);
		break;
	case 6:
		if (!S_ISDIR(p.mode))
			work_link(m->work, p.ino, draw_folder(m), name, &st, NULL);
		break;
	case 7:
	case 8:
		edit_attributes(m, &p);
		break;
	default:
		if (S_ISREG(p.mode))
			edit_bytes(m, p.ino);
	}
}

void spool_made_edit(struct spool_made *m, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		edit_once(m);
}
