# SPDX-License-Identifier: MIT
"""The command beside a mount: what a mounted path means to it, and the names by which mount(8) and umount(8) call it."""
import os
import pty
import signal
import subprocess
import time

import pytest
from tree_kinds import rsync_differences

ONLY_THE_KEY = {'DRFS_REPO': None}


def called_as(repo, tmp_path, name):
    link = tmp_path / name
    link.symlink_to(repo.binary)
    return link


def test_a_mounted_path_needs_only_the_key(repo, source, tmp_path):
    repo.drfs('backup', 'files', f'{source}/')
    repo.drfs('backup', 'db', '--stdin', 'app.sql', input='select 1;\n')
    with repo.mount() as mnt:
        repo.drfs('restore', f'{mnt}/files/latest', str(tmp_path / 'back'), env=ONLY_THE_KEY)
        assert rsync_differences(str(source), str(tmp_path / 'back')) == ''
        repo.drfs('restore', f'{mnt}/db/latest.sql', str(tmp_path / 'app.sql'), env=ONLY_THE_KEY)
        assert (tmp_path / 'app.sql').read_text() == 'select 1;\n'
        repo.drfs('restore', 'files/latest/sub', str(tmp_path / 'sub'), env=ONLY_THE_KEY, cwd=mnt)
        assert rsync_differences(str(source / 'sub'), str(tmp_path / 'sub')) == ''
        assert repo.drfs('cat', f'{mnt}/db/latest/app.sql', env=ONLY_THE_KEY) == 'select 1;\n'
        assert 'b.txt' in repo.drfs('ls', f'{mnt}/files/latest/sub', env=ONLY_THE_KEY)
        assert repo.drfs('find', f'{mnt}/files', '-name', 'b.txt', env=ONLY_THE_KEY) == 'sub/b.txt\n'
        name = repo.json('snapshots', 'files')[0]['name']
        assert repo.drfs('diff', f'{mnt}/files/latest', f'{mnt}/files/{name}', env=ONLY_THE_KEY) == ''


def test_a_mounted_path_wins_over_the_variable_and_not_over_the_option(repo, fresh_repo, source, tmp_path):
    other = fresh_repo(tmp_path / 'other')
    other.drfs('init')
    repo.drfs('backup', 'files', f'{source}/')
    with repo.mount() as mnt:
        assert 'a.txt' in repo.drfs('ls', f'{mnt}/files/latest', env={'DRFS_REPO': other.path})
        done = repo.cli('-r', other.path, 'ls', f'{mnt}/files/latest', env={'DRFS_KEY_FILE': other.key}, code=2)
        assert 'another repository' in done.stderr


def test_the_root_of_a_mount_is_no_source(repo, source, tmp_path):
    repo.drfs('backup', 'files', f'{source}/')
    with repo.mount() as mnt:
        done = repo.cli('restore', mnt, str(tmp_path / 'x'), code=2)
        assert 'dataset' in done.stderr
    assert not (tmp_path / 'x').exists()


def test_a_backup_shows_at_once_in_the_mounts_of_this_host(repo):
    repo.drfs('backup', 'db', '--stdin', 'app.sql', input='one')
    with repo.mount('-o', 'poll=1h') as mnt:
        for text in ('two', 'three', 'four'):
            began = time.monotonic()
            repo.drfs('backup', 'db', '--stdin', 'app.sql', input=text)
            assert time.monotonic() - began < 2
            with open(f'{mnt}/db/latest/app.sql') as f:
                assert f.read() == text
        repo.drfs('backup', 'new', '--stdin', 'x', input='new')
        assert 'new' in os.listdir(mnt)


def test_a_backup_leaves_mounts_out(repo, source):
    repo.drfs('backup', 'files', f'{source}/')
    with repo.mount(where=str(source / 'mnt')):
        repo.drfs('backup', 'files', f'{source}/')
    paths = [e['path'] for e in repo.json('ls', '-R', 'files/latest')]
    assert 'a.txt' in paths and not any(p.startswith('mnt/') for p in paths)


def test_mount_drfs_and_umount_fuse_drfs_do_as_mount_and_umount_ask(repo, tmp_path, fuse):
    repo.drfs('backup', 'db', '--stdin', 'app.sql', input='one')
    mnt = tmp_path / 'mnt'
    mnt.mkdir()
    env = {k: v for k, v in repo.env.items() if not k.startswith('DRFS_')}
    mount, umount = called_as(repo, tmp_path, 'mount.drfs'), called_as(repo, tmp_path, 'umount.fuse.drfs')
    words = 'rw,_netdev,nofail,noauto,dirsync,iversion,loud,'
    words += f'x-systemd.automount,dev,suid,exec,key_file={repo.key},cache=64M'
    subprocess.run([mount, repo.path, mnt, '-f', '-o', words], env=env, check=True, timeout=60)
    assert not os.path.ismount(mnt), '-f is a dry run for mount(8)'
    subprocess.run([mount, repo.path, mnt, '-s', '-v', '-o', words], env=env, check=True, timeout=60)
    try:
        assert os.listdir(mnt / 'db' / 'latest') == ['app.sql']
    finally:
        done = subprocess.run([umount, mnt, '-v'], env=env, check=False, timeout=60)
    assert done.returncode == 0 and not os.path.ismount(mnt)


def test_a_lazy_umount_does_not_wait_for_open_files(repo, tmp_path):
    if os.geteuid() != 0:
        pytest.skip('umount -l is for root')
    repo.drfs('backup', 'db', '--stdin', 'app.sql', input='one')
    umount = called_as(repo, tmp_path, 'umount.fuse.drfs')
    mnt = tmp_path / 'mnt'
    mnt.mkdir()
    why = subprocess.run([repo.binary, 'mount', mnt], env=repo.env, capture_output=True, check=False)
    if why.returncode != 0:
        pytest.skip('cannot mount here')
    with open(mnt / 'db' / 'latest' / 'app.sql') as held:
        subprocess.run([umount, mnt, '-l'], check=True, timeout=30)
        assert not os.path.ismount(mnt)
        assert held.read() == 'one'


def test_a_dataset_with_an_odd_name_is_found_by_its_mounted_path(repo, tmp_path):
    repo.drfs('backup', 'näme with: 100% odd', '--stdin', 'a:b%41.txt', input='odd')
    name = 'a:b%41.txt'
    with repo.mount() as mnt:
        path = f'{mnt}/näme with: 100% odd/latest/{name}'
        assert repo.drfs('cat', path, env=ONLY_THE_KEY) == 'odd'


def on_a_terminal(repo, typed, *args):
    """Runs drfs with a terminal of its own and types when asked for the passphrase: exit code, and what was shown."""
    env = {k: v for k, v in repo.env.items() if k != 'DRFS_KEY_FILE'}
    pid, fd = pty.fork()
    if pid == 0:
        os.execve(repo.binary, [repo.binary, *args], env)
    shown = b''
    try:
        while chunk := os.read(fd, 1000):
            shown += chunk
            if typed and shown.endswith(b'passphrase: '):
                os.write(fd, typed)
                typed = b''
    except OSError:  # the other end is closed
        pass
    os.close(fd)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown


def test_a_mount_in_the_background_asks_for_its_passphrase_first(bare, tmp_path, fuse):
    bare.drfs('init', env={'DRFS_KEY_FILE': None, 'DRFS_PASSWORD': 'secret'})
    mnt = tmp_path / 'mnt'
    mnt.mkdir()
    code, shown = on_a_terminal(bare, b'wrong\n', 'mount', str(mnt))
    assert code == 12 and b'wrong' not in shown and not os.path.ismount(mnt)
    code, shown = on_a_terminal(bare, b'\x03', 'mount', str(mnt))
    assert code == 130 and not os.path.ismount(mnt)
    code, shown = on_a_terminal(bare, b'secret\n', 'mount', str(mnt))
    assert code == 0 and os.path.ismount(mnt), shown
    bare.drfs('umount', str(mnt))


def test_a_mount_in_the_foreground_ends_with_130_by_ctrl_c_and_0_by_sigterm(repo, tmp_path, fuse):
    mnt = tmp_path / 'mnt'
    mnt.mkdir()
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 0)):
        run = subprocess.Popen([repo.binary, 'mount', '-f', str(mnt)], env=repo.env, stderr=subprocess.PIPE, text=True)
        began = time.monotonic()
        while not os.path.ismount(mnt) and time.monotonic() - began < 30:
            time.sleep(0.05)
        os.listdir(mnt)
        run.send_signal(number)
        said = run.communicate(timeout=30)[1]
        assert run.returncode == code and said == '' and not os.path.ismount(mnt)
