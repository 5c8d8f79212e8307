# SPDX-License-Identifier: MIT
"""A store that was put back to an older state, or from which snapshots were taken, is noticed and told."""
import os
import shutil
import stat
from pathlib import Path

import pytest

ROLLED = 'was rolled back or snapshots were removed'


def backups(repo, source, count):
    """Makes snapshots of one file that changes; their ids."""
    ids = []
    for n in range(count):
        (source / 'a.txt').write_text(f'{n} {os.urandom(4).hex()}\n')
        ids.append(repo.json('backup', 'files', f'{source}/')[0]['id'])
    return ids


def seen_file(repo):
    """The one file in which this host keeps what it saw."""
    folder = Path(repo.env['XDG_STATE_HOME'], 'drfs', 'seen')
    names = list(folder.iterdir())
    assert len(names) == 1, names
    return names[0]


def put_back(repo, copy):
    shutil.rmtree(repo.path)
    shutil.copytree(copy, repo.path)


@pytest.fixture
def rolled_back(repo, source, tmp_path):
    """A repository of three snapshots, put back to when it had two."""
    backups(repo, source, 2)
    shutil.copytree(repo.path, tmp_path / 'older')
    backups(repo, source, 1)
    repo.cli('status')
    shutil.copytree(repo.path, tmp_path / 'newer')
    put_back(repo, tmp_path / 'older')
    return repo


def test_a_repository_as_it_was_seen_is_told_nothing_of(repo, source):
    backups(repo, source, 3)
    for command in (['snapshots'], ['status'], ['check'], ['ls', 'files/latest'], ['backup', 'files', f'{source}/']):
        assert 'rolled back' not in repo.cli(*command).stderr
    assert stat.S_IMODE(seen_file(repo).stat().st_mode) == 0o600
    assert stat.S_IMODE(seen_file(repo).parent.stat().st_mode) == 0o700


def test_an_older_copy_put_back_is_told_by_every_command(rolled_back, source, tmp_path):
    repo = rolled_back
    failing = (['status'], ['check'], ['status', 'files'])
    going_on = (['snapshots'], ['ls', 'files/latest'], ['restore', 'files/latest', str(tmp_path / 'to')],
                ['backup', '-n', 'files', f'{source}/'], ['backup', 'files', f'{source}/'], ['-q', 'snapshots'])
    for code, commands in ((1, failing), (0, going_on), (1, failing)):
        for command in commands:
            said = repo.cli(*command, code=code).stderr
            told = [line for line in said.splitlines() if ROLLED in line]
            assert len(told) == 1, f'{command}: {said}'
            assert f"'{repo.path}'" in told[0] and 'snapshot number 3' in told[0] and str(seen_file(repo)) in told[0]
    # What was written since does not hide it, and does not count as seen in its place.
    backups(repo, source, 4)
    assert ROLLED in repo.cli('status', code=1).stderr
    put_back(repo, tmp_path / 'newer')
    assert 'rolled back' not in repo.cli('status').stderr
    assert 'rolled back' not in repo.cli('check').stderr


def test_an_older_copy_is_told_to_programs_too(rolled_back):
    lines = rolled_back.json('status', code=1)
    assert [line for line in lines if 'fault' in line and ROLLED in line['reason']]
    lines = rolled_back.json('check', code=1)
    assert [line for line in lines if line.get('severity') == 'error' and ROLLED in line['text']]
    assert lines[-1]['ok'] is False and lines[-1]['errors'] == 1


def test_a_mount_tells_and_serves_what_is_there(rolled_back):
    repo = rolled_back
    mnt = repo.folder + '/mnt'
    os.makedirs(mnt)
    with repo.mount(where=mnt):
        assert len([n for n in os.listdir(mnt + '/files') if n[0].isdigit()]) == 2
        repo.cli('umount', mnt)
        assert ROLLED in repo.cli('mount', mnt).stderr


def test_an_older_copy_that_is_meant_is_accepted_by_deleting_the_file(rolled_back):
    repo = rolled_back
    seen_file(repo).unlink()
    assert 'rolled back' not in repo.cli('status').stderr
    assert 'rolled back' not in repo.cli('check').stderr


def test_another_state_folder_knows_nothing(rolled_back, tmp_path):
    assert 'rolled back' not in rolled_back.cli('status', env={'XDG_STATE_HOME': tmp_path / 'other'}).stderr


def test_spool_dir_of_the_configuration_is_where_it_is_kept(repo, source, tmp_path):
    conf = tmp_path / 'drfs.conf'
    conf.write_text(f'[repository]\nurl = {repo.path}\nspool_dir = {tmp_path}/spool\n')
    repo.cli('-c', str(conf), 'backup', 'files', f'{source}/')
    assert len(list((tmp_path / 'spool' / 'seen').iterdir())) == 1
    assert not Path(repo.env['XDG_STATE_HOME'], 'drfs', 'seen').exists()


def test_a_state_folder_that_cannot_be_used_breaks_nothing(repo, source, tmp_path):
    (tmp_path / 'file').write_text('in the way')
    for state in ('/proc/none', tmp_path / 'file', '/dev/full'):
        env = {'XDG_STATE_HOME': state}
        for command in (['backup', 'files', f'{source}/'], ['snapshots'], ['status'], ['check']):
            said = repo.cli(*command, env=env).stderr
            assert 'error' not in said and 'seen' not in said, said


def test_a_damaged_file_begins_anew_and_says_so(repo, source):
    backups(repo, source, 1)
    seen_file(repo).write_text('drfs-seen-1\nnonsense\n')
    assert str(seen_file(repo)) in repo.cli('status').stderr
    assert repo.cli('status').stderr == ''


def test_check_tells_a_snapshot_deleted_from_the_middle(repo, source, tmp_path):
    ids = backups(repo, source, 4)
    Path(repo.path, 'snapshots', ids[1]).unlink()
    said = repo.cli('check', code=1).stderr
    assert 'snapshot number 2, written before it, is missing' in said and f'snapshots/{ids[2]}' in said
    assert "bring 'snapshots/'" in said
    # It needs no memory of this host.
    assert 'is missing' in repo.cli('check', code=1, env={'XDG_STATE_HOME': tmp_path / 'other'}).stderr


def test_check_tells_what_another_key_saw(bare, source):
    bare.cli('init')
    ids = backups(bare, source, 3)
    other = bare.folder + '/other-key'
    bare.cli('key', 'add', '--new-key-file', other)
    bare.cli('backup', 'else', f'{source}/', env={'DRFS_KEY_FILE': other})
    Path(bare.path, 'snapshots', ids[2]).unlink()
    fresh = {'XDG_STATE_HOME': bare.folder + '/fresh'}
    assert 'snapshot number 3, seen by its writer, is missing' in bare.cli('check', code=1, env=fresh).stderr


def test_the_newest_snapshot_deleted_is_told_by_status(repo, source):
    ids = backups(repo, source, 2)
    Path(repo.path, 'snapshots', ids[1]).unlink()
    said = repo.cli('status', code=1).stderr
    assert ROLLED in said and 'is there is number 1' in said
