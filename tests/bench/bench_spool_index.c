/* SPDX-License-Identifier: MIT */

/*
 * What the spool's index costs on this host: making a file, ending the
 * transaction after each, both with a frozen view open, looking a name up,
 * and waiting for the disk. bench_spool_index [FILES] [FOLDER]; in a folder of
 * its own under the temporary folder, removed at the end.
 */

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fileio.h"
#include "fs/spool/index.h"

static void check(int r, const char *what, const struct error *err)
{
	if (r == 0)
		return;
	fprintf(stderr, "bench_spool_index: %s: %s\n", what, error_text(err));
	exit(1);
}

static int64_t cpu_now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec * CLOCK_SECOND + t.tv_nsec;
}

struct bench {
	struct index *ix;
	unsigned files;
	int64_t wall, cpu;
};

static void begin(struct bench *b)
{
	b->wall = clock_monotonic();
	b->cpu = cpu_now();
}

static void tell(struct bench *b, const char *what, unsigned count)
{
	double wall = (double)(clock_monotonic() - b->wall) / 1000, cpu = (double)(cpu_now() - b->cpu) / 1000;
	printf("%-44s %8.2f us each, %8.2f us of processor\n", what, wall / count, cpu / count);
	fflush(stdout);
}

static void make_file(struct index *ix, unsigned i)
{
	struct error err = ERROR_INIT;
	char name[40];
	struct index_inode file = INDEX_INODE_INIT, parent = INDEX_INODE_INIT;
	check(index_new_ino(ix, &file.ino, &err), "a new number", &err);
	file.mode = S_IFREG | 0644;
	file.nlink = 1;
	file.flags = INDEX_OPEN_NEW;
	file.changed = parent.changed = index_next_change(ix);
	file.mtime.sec = file.ctime.sec = 1700000000 + i;
	(void)snprintf(name, sizeof(name), "file-%08x.dat", i * 2654435761u);
	parent.ino = INDEX_ROOT;
	parent.mode = S_IFDIR | 0755;
	parent.nlink = 2;
	parent.mtime = parent.ctime = file.mtime;
	check(index_put(ix, &file, &err), "an inode", &err);
	check(index_name_put(ix, INDEX_ROOT, name, file.ino, &err), "a name", &err);
	check(index_put(ix, &parent, &err), "its folder", &err);
}

/* What close(2) adds to a file that was written. */
static void record(struct index *ix, uint64_t ino)
{
	struct error err = ERROR_INIT;
	uint8_t layers[48] = {1};
	struct index_inode file = INDEX_INODE_INIT;
	check(index_get(ix, ino, &file, &err), "an inode", &err);
	file.size = 8192;
	file.flags = 0;
	buf_clear(&file.layers);
	buf_put(&file.layers, layers, sizeof(layers));
	check(index_put(ix, &file, &err), "an inode", &err);
	index_inode_release(&file);
}

static void measure(struct bench *b)
{
	struct error err = ERROR_INIT;
	struct index *ix = b->ix, *frozen = NULL;
	unsigned n = 0, count = b->files;
	uint64_t ino;
	begin(b);
	for (unsigned i = 0; i < count; i++)
		make_file(ix, n++);
	tell(b, "make a file, one transaction for all", count);
	check(index_end(ix, &err), "ending", &err);
	begin(b);
	for (unsigned i = 0; i < count; i++) {
		make_file(ix, n++);
		check(index_end(ix, &err), "ending", &err);
	}
	tell(b, "make a file and end", count);
	begin(b);
	for (unsigned i = 0; i < count; i++) {
		record(ix, INDEX_NEW + i);
		check(index_end(ix, &err), "ending", &err);
	}
	tell(b, "record a file and end", count);
	check(index_freeze(ix, &frozen, &err), "freezing", &err);
	begin(b);
	for (unsigned i = 0; i < count; i++) {
		make_file(ix, n++);
		check(index_end(ix, &err), "ending", &err);
		index_tidy(ix);
	}
	tell(b, "make a file and end, a view frozen", count);
	index_close(frozen);
	begin(b);
	for (unsigned i = 0; i < count; i++)
		(void)index_name(ix, INDEX_ROOT, "missing", &ino, NULL);
	tell(b, "look a missing name up", count);
	begin(b);
	for (unsigned i = 0; i < 50; i++) {
		make_file(ix, n++);
		check(index_end(ix, &err), "ending", &err);
		check(index_sync(ix, &err), "syncing", &err);
	}
	tell(b, "make a file, end and wait for the disk", 50);
}

int main(int argc, char **argv)
{
	struct error err = ERROR_INIT;
	struct bench b = {.files = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 20000};
	char *dir = fileio_format("%s/drfs-bench-XXXXXX", argc > 2 ? argv[2] : fileio_tmpdir());
	char *path = dir && mkdtemp(dir) ? fileio_format("%s/index.sqlite", dir) : NULL;
	if (!path || b.files == 0)
		return 1;
	check(index_open(path, &b.ix, &err), "opening", &err);
	measure(&b);
	index_close(b.ix);
	unlink(path);
	rmdir(dir);
	free(path);
	free(dir);
	return 0;
}
