/* SPDX-License-Identifier: MIT */
#ifndef FS_SPOOL_INDEX_VFS_H
#define FS_SPOOL_INDEX_VFS_H

/*
 * A thin layer of SQLite's file access over "unix-excl", for the write-ahead log alone. SQLite writes a frame of the
 * log by two calls, its 24 bytes of header and its page; here the frames of a transaction are gathered, and the write
 * that completes the frame of the commit writes them all by one. Every other file is the layer's below, as it is.
 *
 * Invariants: what SQLite was told is written stands in the file or is gathered, also after a write that failed; and a
 * commit succeeds only when all of it stands in the file. So a commit survives kill -9 as it does without this, and
 * its errors are told by the same call. What is gathered is never more than the frames of the open transaction.
 *
 * Other connections, each with a file object and a gather of its own, read only frames that SQLite has published in
 * its shared wal-index, which it does after the write of the commit's frame has returned: those stand in the file.
 * The connection's own reads of frames that it has not yet committed write them first. Frames that were gathered and
 * then rolled back may reach the file later, behind its end, where nobody looks: hence one connection at a time may be
 * the file's writer, for as long as it is open; others read and write the log back.
 *
 * For synchronous=NORMAL, where SQLite does not write a page in parts. Threads: as SQLite's: a connection at a time.
 * Memory: 64 KiB a log; where they are not to be had, nothing is gathered.
 */

/*
 * The name to open a database by. Registers the layer with SQLite at the first call, by any thread; that is SQLite's
 * list for the process and lasts as long. Where SQLite refuses, it is the name of the layer below.
 */
const char *index_vfs_name(void);

#endif
