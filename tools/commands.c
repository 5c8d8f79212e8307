/* SPDX-License-Identifier: MIT */
#include "tools/cli.h"

/* The commands in the order in which help shows them, and what help says of each. */

#define EVERYDAY "Every day"
#define LOOKING "Looking inside"
#define BACK "Getting it back"
#define CARE "Care"

static const char help_init[] =
	"usage: drfs init [--label TEXT]\n"
	"\n"
	"Makes the repository that -r or DRFS_REPO names, and prints a recovery sheet: print it and\n"
	"keep it apart from this machine. The folder is made, but not its parents: 'mkdir -p' does that.\n"
	"With DRFS_KEY_FILE the repository opens by a key file, which is made (0600) when it is not\n"
	"there; else by a passphrase.\n"
	"  -l, --label TEXT   a name for the first key, for people\n"
	"\n"
	"examples:\n"
	"  DRFS_KEY_FILE=/root/drfs.key drfs -r /srv/backup/dr init\n"
	"  drfs -r /srv/backup/dr init            asks for a passphrase, twice\n";

static const char help_backup[] =
	"usage: drfs backup DATASET PATH…\n"
	"       drfs backup DATASET --stdin NAME [-- COMMAND…]\n"
	"\n"
	"Saves what it is given as a new snapshot of DATASET. As with rsync, PATH adds the entry by its\n"
	"name and PATH/ adds what is inside. --stdin saves what is read as the file NAME; with a COMMAND,\n"
	"that is run and its exit status believed: when it fails, what came is kept as '.partial' and\n"
	"'latest' stays where it was. Dumps, RDB, gzip and zstd files are checked to be whole,\n"
	"and a 'check = COMMAND' of the dataset in drfs.conf judges further.\n"
	"A PATH that is not there at all stops the backup before anything is saved.\n"
	"  -e, --exclude PATTERN     leave out, as in .gitignore, or by an absolute path; may be repeated\n"
	"      --exclude-from FILE   patterns, one a line\n"
	"  -x, --one-file-system     stay on the file systems of the paths\n"
	"      --compression LEVEL   zstd 1 to 19, or off (default 3)\n"
	"      --description TEXT    for people; --tag TEXT may be repeated\n"
	"  -n, --dry-run             tell what would be saved\n"
	"\n"
	"Exit 3: some files could not be read (the snapshot is 'incomplete'), or a check failed\n"
	"('partial'); 1: the COMMAND failed.\n"
	"\n"
	"examples:\n"
	"  drfs backup files /srv/uploads/\n"
	"  drfs backup config /etc /root/.ssh --exclude '*.bak'\n"
	"  drfs backup db --stdin app.sql -- pg_dump app\n"
	"  drfs backup redis --stdin dump.rdb -- redis-cli --rdb -\n";

static const char help_commit[] =
	"usage: drfs commit DATASET [--description TEXT] [--tag TEXT]…\n"
	"\n"
	"Makes a snapshot of what was written into MNT/spool/DATASET, now, and returns when it is in the\n"
	"store; prints its name. 'touch MNT/spool/DATASET/.commit' does the same. Without it a dataset is\n"
	"committed when it has been idle for 10 s, or as 'commit' of the configuration says. The\n"
	"repository must be mounted on this host; no key is asked for.\n"
	"      --description TEXT    for people; --tag TEXT may be repeated\n"
	"\n"
	"examples:\n"
	"  drfs commit db\n"
	"  drfs commit files --description 'before the upgrade' --tag upgrade\n";

static const char help_snapshots[] =
	"usage: drfs snapshots [DATASET]\n"
	"\n"
	"Lists snapshots, oldest first; -v adds checks and notes: why one is incomplete or partial.\n"
	"\n"
	"examples:\n"
	"  drfs snapshots\n"
	"  drfs snapshots -v db\n"
	"  drfs snapshots --json | jq -r 'select(.state==\"whole\").name'\n";

static const char help_status[] =
	"usage: drfs status [DATASET]\n"
	"\n"
	"The newest good backup of each dataset and its age, against 'rpo' of the configuration. Exit 1\n"
	"when one is too old, when a dataset has no good backup, or when an object does not open: made\n"
	"for cron and monitoring.\n"
	"\n"
	"examples:\n"
	"  drfs status\n"
	"  drfs -q status || mail -s 'backups are late' ops@example.org\n";

static const char help_ls[] =
	"usage: drfs ls [-l] [-R] [SRC]\n"
	"\n"
	"Lists a folder of a snapshot; without SRC the datasets. SRC is a path inside a mount, or\n"
	"DATASET[/SNAPSHOT[/PATH]], where SNAPSHOT is a name, latest, latest~1, a time (the newest not\n"
	"later; a minute or a date counts to its end), or an id or 8 digits or more of its beginning.\n"
	"  -l, --long       modes, owners, sizes and times (UTC)\n"
	"  -R, --recursive  everything beneath\n"
	"\n"
	"examples:\n"
	"  drfs ls\n"
	"  drfs ls -l files/latest/uploads\n"
	"  drfs ls 'files/2024-01-15 14:30'\n";

static const char help_cat[] = "usage: drfs cat SRC…\n"
			       "\n"
			       "Writes files of a snapshot to standard output. SRC as for 'drfs ls'.\n"
			       "\n"
			       "examples:\n"
			       "  drfs cat db/latest/app.sql | psql app\n"
			       "  drfs cat config/latest~1/etc/fstab\n";

static const char help_find[] =
	"usage: drfs find SRC [--name GLOB] [--type f|d|l] [--size +N|-N] [--newer TIME] [-l]\n"
	"\n"
	"Lists all beneath SRC that fits. Without a mount: one pass over the tree of the snapshot.\n"
	"find's own spellings of these, -name and so on, work too; the rest of find does not.\n"
	"  --name GLOB    the name, as '*.pdf'\n"
	"  --type T       f: files, d: folders, l: symlinks\n"
	"  --size +10M    larger than; -10M: smaller than\n"
	"  --newer TIME   changed after that time (UTC)\n"
	"  -l, --long     as ls -l\n"
	"\n"
	"examples:\n"
	"  drfs find files/latest -name '*.pdf' -size +10M\n"
	"  drfs find files/latest/uploads --newer 2024-01-15T12:00 -l\n";

static const char help_diff[] =
	"usage: drfs diff SRC SRC\n"
	"\n"
	"What differs between two snapshots, at the cost of the difference. A: added, D: removed, M:\n"
	"changed, with why: c content, m mode, o owner, t time, l link target, x attributes.\n"
	"\n"
	"examples:\n"
	"  drfs diff files/latest~1 files/latest\n"
	"  drfs diff config/2024-01-15/etc config/latest/etc --json\n";

static const char help_mount[] =
	"usage: drfs mount MNT [-f] [-o OPTION,…]\n"
	"\n"
	"Shows the repository as a directory: MNT/DATASET/SNAPSHOT/…, MNT/DATASET/latest,\n"
	"MNT/db/latest.sql, MNT/DATASET/at/TIME, MNT/at/TIME. When the command returns 0 the mount is\n"
	"usable; one process stays in the background. Only its own user gets in, unless allow_other.\n"
	"MNT/spool/DATASET/ is a working copy: what is written there becomes the next snapshot.\n"
	"  -f, --foreground     stay; tells systemd when it is ready\n"
	"  -o cache=256M        memory for decoded data\n"
	"  -o allow_other       let other users in, each with the rights that modes give\n"
	"  -o poll=TIME         how often other hosts' snapshots are looked for: 5s on a folder, else 30s\n"
	"  -o no_spool, -o ro   snapshots alone: no MNT/spool/ to write into\n"
	"  -o key_file=FILE, password_file=FILE, config=FILE\n"
	"\n"
	"In /etc/fstab (the words of fstab are understood):\n"
	"  /srv/backup/dr  /mnt/dr  drfs  key_file=/root/drfs.key,_netdev,nofail  0 0\n"
	"\n"
	"examples:\n"
	"  drfs mount /mnt/dr && ls /mnt/dr/db/latest\n"
	"  drfs mount /mnt/dr -o allow_other,cache=1G\n";

static const char help_umount[] =
	"usage: drfs umount MNT\n"
	"\n"
	"Unmounts, and returns when the process behind it has gone. Needs no repository and no key.\n"
	"\n"
	"example:\n"
	"  drfs umount /mnt/dr\n";

static const char help_restore[] =
	"usage: drfs restore SRC DEST\n"
	"\n"
	"Brings SRC back to the directory DEST as 'rsync -a SRC/ DEST/' would, straight from the archive\n"
	"and in parallel: a folder's content and its own attributes go to DEST; a file becomes DEST, or\n"
	"goes into the folder DEST. What is there and equal (size and time) is left alone; nothing is\n"
	"deleted without --delete. SRC is a path inside a mount, or DATASET[/SNAPSHOT[/PATH]].\n"
	"      --delete          delete in DEST what SRC has not\n"
	"  -n, --dry-run         tell what would be done, with sizes\n"
	"      --verify          read back what was written and compare\n"
	"      --checksum        compare what is there by content\n"
	"      --jobs N          threads (default: one a core)\n"
	"      --numeric-ids     owners by number (default: by name)\n"
	"      --no-owner        leave owners alone\n"
	"      --map-user A:B[,C:D]   give A's files to B; likewise --map-group\n"
	"\n"
	"examples:\n"
	"  drfs restore files/latest /srv/files\n"
	"  drfs restore /mnt/dr/files/latest/uploads /srv/uploads --delete\n"
	"  drfs restore 'db/2024-01-15 14:30/app.sql' /tmp/app.sql --verify\n";

static const char help_check[] =
	"usage: drfs check [--read-data[=P%]]\n"
	"\n"
	"Is everything there, and is it what was written? Reads, never writes. Exit 1 when not.\n"
	"  --read-data      also every byte of every pack; --read-data=5%: of a random part of them\n"
	"  --jobs N         threads (default: one a core)\n"
	"\n"
	"examples:\n"
	"  drfs check\n"
	"  drfs check --read-data=10%        daily: after a month all was seen, most likely\n";

static const char help_key[] =
	"usage: drfs key list\n"
	"       drfs key add [--label TEXT] [--new-key-file FILE | --new-password-file FILE]\n"
	"       drfs key remove ID [--force]\n"
	"\n"
	"The keys that open the repository. 'add' makes the key file when it is not there; without a\n"
	"file it asks for a new passphrase. 'remove' takes the beginning of an id; the last key, or the\n"
	"one in use, goes only with --force.\n"
	"\n"
	"examples:\n"
	"  drfs key list\n"
	"  drfs key add --label 'ops laptop' --new-key-file /media/usb/drfs.key\n"
	"  drfs key remove 3f2a9c11\n";

static const char help_help[] = "usage: drfs help [COMMAND]\n";

const struct command_row command_table[] = {
	{"backup", cmd_backup, EVERYDAY, "save files, folders or a program's output as a snapshot", help_backup},
	{"commit", cmd_commit, EVERYDAY, "make a snapshot of what was written into the mount's spool/", help_commit},
	{"snapshots", cmd_snapshots, EVERYDAY, "list what there is", help_snapshots},
	{"status", cmd_status, EVERYDAY, "are the backups new enough? (for alerts)", help_status},
	{"restore", cmd_restore, BACK, "write a snapshot or a part of it to a directory", help_restore},
	{"mount", cmd_mount, BACK, "show all snapshots as a directory", help_mount},
	{"umount", cmd_umount, BACK, "take the mount away", help_umount},
	{"ls", cmd_ls, LOOKING, "list a folder of a snapshot", help_ls},
	{"cat", cmd_cat, LOOKING, "print a file of a snapshot", help_cat},
	{"find", cmd_find, LOOKING, "look for files in a snapshot", help_find},
	{"diff", cmd_diff, LOOKING, "what changed between two snapshots", help_diff},
	{"init", cmd_init, CARE, "make a repository", help_init},
	{"check", cmd_check, CARE, "is everything there and undamaged?", help_check},
	{"key", cmd_key, CARE, "list, add and remove keys", help_key},
	{"help", cmd_help, CARE, "this overview, or a command with examples", help_help},
	{NULL, NULL, NULL, NULL, NULL},
};
