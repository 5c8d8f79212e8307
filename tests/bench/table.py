# SPDX-License-Identifier: MIT
"""The rows of the benchmark: what they are called, what drfs must reach in them, and the goal beyond."""
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """`need`: times better than the better of restic and borg zstd-3 that drfs must be (0: not asked); `limit`: a value
    of its own that it may not pass; `goal`: what shared targets call for later, printed as information."""
    title: str
    unit: str = 's'
    more: bool = False
    need: float = 1.0
    limit: float = 0.0
    goal: str = ''
    beside: str = ''   # a yardstick of the row that drfs is measured against instead of the peers,
    share: float = 0.0  # and how many times its value drfs must reach, or may take


ROWS = {
    'first_sql': Row('first backup, sql', goal='<= 0.75 of the best'),
    'first_tree': Row('first backup, tree', goal='<= 0.65 of the best'),
    'first_pgdata': Row('first backup, pgdata', goal='<= 0.7 of the best'),
    'first_media': Row('first backup, media', goal='<= 0.7 of the best'),
    'next_sql': Row('next dump, sql', goal='<= 0.7 of the best'),
    'next_tree': Row('next version, tree', goal='<= 0.6 of the best'),
    'same_tree': Row('nothing changed, tree', goal='<= 2 x find'),
    'mem_backup': Row('peak memory of a backup', 'MiB', need=0, limit=128, goal='<= 128'),
    'stored_sql': Row('stored, first dump', 'MB', goal='<= 1.05 of the best'),
    'stored_sql_later': Row('stored, each later dump (delta)', 'MB', need=0, goal='<= 0.06 of restic'),
    'stored_tree': Row('stored, tree', 'MB', goal='<= 0.85 of the best'),
    'stored_tree_next': Row('stored, its next version (delta)', 'MB', need=0, goal='<= 0.6 of the best'),
    'stored_pgdata': Row('stored, pgdata', 'MB', need=0),
    'stored_pgdata_next': Row('stored, pgdata after a day (delta)', 'MB', need=0, goal='<= 0.1 of the best'),
    'stored_media': Row('stored, media', 'MB', need=0),
    'stored_media_next': Row('stored, media after an edit (delta)', 'MB', need=0),
    'restore_sql': Row('restore, sql', goal='<= 0.4 of the best'),
    'restore_tree': Row('restore, tree', goal='<= 0.7 of the best'),
    'mount_ls': Row('mount to first ls, passphrase', goal='<= 0.3 s'),
    'mount_ls_key': Row('mount to first ls, key file', need=0, goal='<= 0.1 s'),
    'cat_cold': Row('cat of the dump, cold', 'MB/s', more=True, need=2, goal='>= 2 x the best; 0.5 of empty FUSE'),
    'cat_warm': Row('cat again, warm', 'MB/s', more=True, goal='>= the best'),
    'find': Row('find -size over the tree', need=2, goal='<= 1.0 x disk'),
    'cp': Row('cp -a of the tree out of the mount', need=2, goal='<= 1.5 x disk'),
    'rsync': Row('rsync -a --dry-run, tree and mount', need=2, goal='<= 1.5 x disk, no difference'),
    'rsync_differs': Row('  differences it sees', '', need=0, goal='none'),
    'rand_median': Row('random 4 KiB read, cold, median', 'ms', need=2, goal='<= 0.4 of the best'),
    'rand_p95': Row('random 4 KiB read, cold, p95', 'ms', need=2),
    'mem_mount': Row('peak memory of the mount after all that', 'MiB', need=0, goal='<= 64 + its cache'),
    'spool_stream_8k': Row('spool: stream by 8 KiB', 'MB/s', more=True, beside='passthrough', share=0.9),
    'spool_stream_1m': Row('spool: stream by 1 MiB', 'MB/s', more=True, beside='passthrough', share=0.9),
    'spool_create': Row('spool: create 50,000 files', beside='passthrough', share=1 / 0.75),
    'spool_rsync': Row('spool: rsync -a, nothing changed', beside='disk', share=1.5),
    'spool_commit_one': Row('spool: commit one of a million files', limit=0.3),
    'spool_commit_large': Row('spool: commit 1 MiB of 4 GiB'),
    'spool_rename': Row('spool: rename a folder of a million files', limit=0.1),
    'spool_commit_rename': Row('spool: commit that', limit=10),
    'spool_memory': Row('spool: peak memory of the mount', 'MiB', limit=320, goal='<= 64 + its cache'),
    'scale_backup_s': Row('peak memory of a backup, small tree', 'MiB', need=0, limit=128, goal='<= 128'),
    'scale_backup_l': Row('peak memory of a backup, large tree', 'MiB', need=0, limit=128, goal='<= 128'),
    'scale_mount_s': Row('peak memory of the mount, small tree', 'MiB', need=0, goal='<= 64 + its cache'),
    'scale_mount_l': Row('peak memory of the mount, large tree', 'MiB', need=0, goal='<= 64 + its cache'),
}

# What --rows takes: a group of steps that share their preparation.
GROUPS = ('sql', 'tree', 'pgdata', 'media', 'scale', 'limits', 'spool')
