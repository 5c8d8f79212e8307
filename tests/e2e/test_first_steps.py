# SPDX-License-Identifier: MIT
"""What meets who follows the README for the first time: what is said, and what is not refused without need."""

import json
import os
import re
import signal
from pathlib import Path

import pytest

OK, FAILED, USAGE = 0, 1, 2


# ---- restore: where to ----

@pytest.mark.parametrize('dest', ['{here}/srv/uploads', 'srv/uploads', 'new', './new/', 'up/../zz', '{here}/up/./../zz'])
def test_a_destination_that_is_not_there_yet_cannot_hold_the_repository(repo, source, dest):
    repo.drfs('backup', 'files', f'{source}/')
    dest = dest.format(here=repo.folder)
    repo.drfs('restore', 'files/latest', dest, '--delete', cwd=repo.folder)
    assert Path(repo.folder, os.path.normpath(dest), 'a.txt').read_text() == 'alpha\n'
    assert 'no fault' in repo.drfs('check')


@pytest.mark.parametrize('dest', ['.', '{here}', 'up/..', 'up/../', 'repo/..', '/'])
def test_a_destination_that_holds_the_repository_is_not_deleted_in(repo, source, dest):
    repo.drfs('backup', 'files', f'{source}/')
    done = repo.cli('restore', 'files/latest', dest.format(here=repo.folder), '--delete', code=USAGE, cwd=repo.folder)
    assert 'holds the repository' in done.stderr
    assert not Path(repo.folder, 'a.txt').exists()


@pytest.mark.parametrize('dest', ['repo/new', 'repo/a/../b', 'up/../repo/new', '{here}/repo/new/deeper'])
def test_a_new_folder_in_the_repository_is_no_destination(repo, source, dest):
    repo.drfs('backup', 'files', f'{source}/')
    done = repo.cli('restore', 'files/latest', dest.format(here=repo.folder), code=USAGE, cwd=repo.folder)
    assert 'in the repository' in done.stderr


# ---- the configuration ----

@pytest.mark.parametrize('line', ['check = echo bad >&2 ; exit 1', 'alert = a ; b', f'check = {"true && " * 40} true ; false'])
def test_a_command_that_a_comment_cuts_is_told_by_file_and_line(repo, tmp_path, line):
    config = tmp_path / 'drfs.conf'
    config.write_text(f'[dataset db]\nrpo = 1h ; a comment\n{line}\n')
    said = repo.cli('-c', str(config), 'snapshots').stderr
    assert f"{config}:3: the command of '{line[:5]}' ends before ' ;'" in said and ':2:' not in said
    config.write_text('[dataset db]\n; a comment\ncheck = { echo bad; exit 1; } >&2  ; a comment too\n')
    assert 'ends before' not in repo.cli('-c', str(config), 'snapshots').stderr


# ---- nothing yet, and not all of it ----

def test_status_without_a_backup_is_an_alert(repo, tmp_path):
    for words in (['status'], ['--json', 'status'], ['-q', 'status']):
        done = repo.cli(*words, code=FAILED)
        assert 'no backups yet' in done.stderr and done.stdout == ''
    config = tmp_path / 'drfs.conf'
    config.write_text('[dataset db]\nrpo = 1h\n')
    done = repo.cli('-c', str(config), 'status', 'db', code=FAILED)
    assert 'no good backup' in done.stdout and done.stderr == ''


def test_status_of_a_dataset_that_is_not_there_names_those_that_are(repo, source):
    assert "no dataset 'nope'" in repo.cli('status', 'nope', code=FAILED).stderr
    repo.drfs('backup', 'files', f'{source}/')
    done = repo.cli('status', 'nope', code=FAILED)
    assert "no dataset 'nope': there are 'files'" in done.stderr and done.stdout == ''


def test_snapshots_of_nothing_says_so_beside_its_output(repo, tmp_path):
    config = tmp_path / 'drfs.conf'
    config.write_text('[dataset db]\nrpo = 1h\n')
    for words, what in ((['snapshots'], 'no snapshots\n'), (['--json', 'snapshots'], 'no snapshots\n'),
                        (['-c', str(config), 'snapshots', 'db'], 'no snapshots of db\n')):
        done = repo.cli(*words)
        assert done.stdout == '' and what in done.stderr
    assert repo.cli('-q', 'snapshots').stderr == ''


def test_an_empty_dump_is_shown_without_a_hole_where_its_kind_would_be(repo):
    repo.drfs('backup', 'db', '--stdin', 'app.sql', input='', code=3)
    assert '    app.sql is empty\n' in repo.drfs('snapshots', '-v')


# ---- restore: what ----

def test_a_restore_point_is_restored_dataset_by_dataset(repo, source, tmp_path):
    repo.drfs('backup', 'files', f'{source}/')
    repo.drfs('backup', 'db', '--stdin', 'app.txt', input='x')
    with repo.mount() as mnt:
        point = f'{mnt}/at/2999-01-01'
        for word in (point, point + '/'):
            done = repo.cli('restore', word, str(tmp_path / 'x'), code=USAGE)
            assert f"restore point, which comes back dataset by dataset: name '{point}/db', '{point}/files'" in done.stderr
        repo.drfs('restore', f'{point}/files', str(tmp_path / 'x'))
        assert (tmp_path / 'x' / 'a.txt').exists()
        for word in (f'{mnt}/at', f'{mnt}/.drfs', f'{mnt}/.drfs/status.json'):
            assert 'in no snapshot' in repo.cli('restore', word, str(tmp_path / 'y'), code=USAGE).stderr


def test_a_path_into_a_dead_mount_says_to_mount_it_again(repo, source, tmp_path, fuse):
    repo.drfs('backup', 'files', f'{source}/')
    mnt = Path(repo.folder, 'mnt')
    mnt.mkdir()
    repo.drfs('mount', str(mnt))
    try:
        os.kill(json.loads((mnt / '.drfs' / 'status.json').read_text())['pid'], signal.SIGKILL)
        for word in ('mnt/files/latest', './mnt/files', f'{mnt}/files/latest/a.txt', 'mnt', f'{mnt}/'):
            where = str(mnt) if word.startswith('/') else './mnt' if word.startswith('.') else 'mnt'
            said = repo.cli('restore', word, str(tmp_path / 'r'), code=FAILED, cwd=repo.folder).stderr
            assert f"the mount at '{where}' has lost its process: mount it again, by 'drfs mount {where}'" in said
        repo.drfs('restore', 'files/latest', str(tmp_path / 'r'), cwd=repo.folder)
    finally:
        repo.run('umount', str(mnt))


def test_latest_with_an_ending_is_answered_with_the_words_for_it(repo, tmp_path):
    repo.drfs('backup', 'db', '--stdin', 'app.sql', '--', 'printf', '%s', '-- a script\n')
    said = repo.cli('restore', 'db/latest.sql', str(tmp_path / 'x'), code=FAILED).stderr
    assert "'db/latest/FILE'" in said and "'drfs ls db/latest'" in said
    assert "no snapshot 'latest2'" in repo.cli('cat', 'db/latest2', code=FAILED).stderr


# ---- the key ----

def test_a_key_file_that_hides_a_passphrase_is_told(repo, tmp_path):
    secret = {'DRFS_KEY_FILE': None, 'DRFS_PASSWORD': 'right'}
    other = {'DRFS_REPO': str(tmp_path / 'by-passphrase')}
    repo.drfs('init', env=other | secret)
    hidden = 'DRFS_KEY_FILE is set, so DRFS_PASSWORD is not looked at'
    assert hidden in repo.cli('snapshots', env=other | {'DRFS_PASSWORD': 'right'}, code=12).stderr
    missing = {'DRFS_KEY_FILE': str(tmp_path / 'none'), 'DRFS_PASSWORD': 'right'}
    assert hidden in repo.cli('snapshots', env=other | missing, code=FAILED).stderr
    assert 'DRFS_KEY_FILE' not in repo.cli('snapshots', env=other | secret | {'DRFS_PASSWORD': 'wrong'}, code=12).stderr
    assert 'is set' not in repo.cli('snapshots', env=other, code=12).stderr


# ---- looking ----

def test_words_of_find_that_are_not_here_are_told_with_those_that_are(repo, source):
    repo.drfs('backup', 'files', f'{source}/')
    for words in (['-mtime', '-1'], ['-iname', 'A*'], ['--iname', 'A*'], ['-ctime', '1'], ['-regex', '.*'], ['-print']):
        said = repo.cli('find', 'files/latest', *words, code=USAGE).stderr
        assert f"'{words[0]}' of find is not here; there are --name, --type, --size, --newer and -l" in said
    assert repo.drfs('find', 'files/latest', '-name', 'a.txt', '-type', 'f', '-size', '-1k') == 'a.txt\n'
    assert repo.drfs('find', 'files/latest', '-lq', '--name', 'a.txt').endswith(' a.txt\n')


def test_a_size_to_find_needs_its_sign(repo, source):
    repo.drfs('backup', 'files', f'{source}/')
    for option in ('-size', '--size'):
        said = repo.cli('find', 'files/latest', option, '1M', code=USAGE).stderr
        assert "+1M for larger or -1M for smaller" in said
        repo.cli('find', 'files/latest', option, '++1M', code=USAGE)
    assert repo.drfs('find', 'files/latest', '-size', '+1M') == 'sparse\n'


def test_what_would_be_deleted_is_shown_with_its_size(repo, source, tmp_path):
    repo.drfs('backup', 'files', f'{source}/')
    dest = tmp_path / 'back'
    repo.drfs('restore', 'files/latest', str(dest))
    (dest / 'new').write_text('x')
    (dest / 'folder').mkdir()
    planned = {e['path'].rsplit('/')[-1]: e['size'] for e in repo.json('restore', '-n', '--delete', 'files/latest', str(dest))
               if e.get('event') == 'delete'}
    assert planned == {'new': 1, 'folder': 0}


# ---- what is written about it ----

TOP = Path(__file__).resolve().parents[2]


def test_every_source_file_has_its_place_in_the_readme():
    lists = {}
    for line in (TOP / 'README.md').read_text().split('### Files')[1].split('```')[1].splitlines():
        folder = re.match(r'(\w+)/', line)
        name = folder[1] if folder else name if lists else ''
        lists[name] = lists.get(name, set()) | set(re.findall(r'\w+', line))

    def has_place(words, stem):
        cuts = [m.start() for m in re.finditer('_', stem)]
        return stem in words or any(stem[:i] in words and stem[i:] in words for i in cuts) or \
            (stem.startswith('cmd_') and stem[4:] in words)

    for folder in ('base', 'backends', 'catalog', 'archive', 'fs', 'fs/spool', 'tools'):
        words = lists[folder.split('/')[0]]
        missing = {f.stem for f in (TOP / folder).glob('*.[ch]') if not has_place(words, f.stem)}
        assert not missing, f'{folder}: {missing}'
