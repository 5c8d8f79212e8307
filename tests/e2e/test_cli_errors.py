# SPDX-License-Identifier: MIT
"""What is wrong is told in words that help, with the exit code that scripts rely on."""
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

OK, FAILED, USAGE, PARTLY, NO_REPO, BUSY, PASSPHRASE = 0, 1, 2, 3, 10, 11, 12


def fails(repo, code, *args, says=(), **options):
    """Runs drfs, which must end with `code` and say each of `says` in few lines, with no crash and no secret."""
    done = repo.cli(*args, code=code, **options)
    text = done.stderr
    assert text.strip() and len(text.splitlines()) <= 3, text
    assert 'bug' not in text and 'no error' not in text
    for word in [says] if isinstance(says, str) else says:
        assert word in text, f'{word!r} is not in {text!r}'
    return text


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 4 MiB, where this machine lets us have one."""
    folder = tmp_path / 'small'
    folder.mkdir()
    done = subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', folder], capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip('cannot mount a tmpfs')
    yield folder
    subprocess.run(['umount', '-l', folder], check=True)


def in_own_dev(repo, script, *args):
    """Runs drfs where `script` has changed /dev, seen by nobody else."""
    done = subprocess.run(['unshare', '-m', 'true'], capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip('cannot have a mount name space of its own')
    words = ['unshare', '-m', 'sh', '-ec', f'{script}\nexec "$@"', 'sh', repo.binary, *args]
    return subprocess.run(words, env=repo.env, capture_output=True, text=True, timeout=60, check=False,
                          stdin=subprocess.DEVNULL)


def reseal(path, change):
    """Changes a whole object in place and gives it a good trailing hash again."""
    data = bytearray(Path(path).read_bytes()[:-32])
    hasher = hashlib.sha256 if data[6] == 2 else lambda d: hashlib.blake2b(d, digest_size=32)
    assert hasher(bytes(data)).digest() == Path(path).read_bytes()[-32:]
    change(data)
    os.chmod(path, 0o600)
    Path(path).write_bytes(data + hasher(bytes(data)).digest())


# ---- the repository ----

def test_no_repository_is_10_and_says_how_to_make_one(bare, tmp_path):
    for command in (['snapshots'], ['backup', 'a', '/etc/hostname'], ['ls'], ['check'], ['status'], ['key', 'list'],
                    ['restore', 'a/latest', str(tmp_path / 'x')]):
        fails(bare, NO_REPO, *command, says=[bare.path, 'init'])
    os.makedirs(bare.path)
    fails(bare, NO_REPO, 'snapshots', says=[bare.path, 'init'])


def test_a_key_file_is_not_made_where_there_is_no_repository(bare):
    fails(bare, NO_REPO, 'snapshots')
    assert not os.path.exists(bare.key)


def test_no_repository_named_is_usage(bare):
    fails(bare, USAGE, 'snapshots', env={'DRFS_REPO': None}, says=['-r', 'DRFS_REPO'])


def test_a_url_of_no_known_kind_is_usage(bare):
    fails(bare, USAGE, '-r', 'ftp://host/x', 'snapshots', says='ftp://host/x')


def test_init_over_a_repository_changes_nothing(repo):
    before = sorted(os.listdir(repo.path + '/keys'))
    fails(repo, FAILED, 'init', says=[repo.path, 'already'])
    assert sorted(os.listdir(repo.path + '/keys')) == before


def test_init_makes_no_parents(bare, tmp_path):
    fails(bare, FAILED, '-r', str(tmp_path / 'no' / 'parent'), 'init', says=str(tmp_path / 'no'))
    assert not (tmp_path / 'no').exists()


def test_init_refuses_a_folder_with_other_data_in_it(bare):
    os.makedirs(bare.path + '/lost+found')
    Path(bare.path, 'photo.jpg').write_text('x')
    fails(bare, USAGE, 'init', says=[bare.path, 'photo.jpg'])
    assert sorted(os.listdir(bare.path)) == ['lost+found', 'photo.jpg'] and not os.path.exists(bare.key)
    os.unlink(bare.path + '/photo.jpg')
    bare.drfs('init')
    os.unlink(bare.path + '/config')  # as an init leaves it that was cut
    bare.drfs('init')


def test_an_init_that_fails_leaves_no_folder_behind(bare, tmp_path):
    (tmp_path / 'bad.key').write_text('no key')
    for env in ({'DRFS_KEY_FILE': tmp_path / 'bad.key'}, {'DRFS_KEY_FILE': None, 'DRFS_PASSWORD_COMMAND': 'false'},
                {'DRFS_KEY_FILE': None, 'DRFS_PASSWORD': ''}):
        bare.cli('init', env=env, code=USAGE if 'DRFS_PASSWORD' in env else FAILED, start_new_session=True)
        assert not os.path.exists(bare.path)
    os.mkdir(bare.path)
    fails(bare, FAILED, 'init', env={'DRFS_KEY_FILE': tmp_path / 'bad.key'})
    assert os.listdir(bare.path) == []


def test_something_else_is_not_taken_for_a_repository(bare):
    os.makedirs(bare.path)
    Path(bare.path, 'config').write_text('{"version": 2, "id": "of some other program"}' * 20)
    Path(bare.key).write_text('drfs-key-1 ' + 'ab' * 32 + '\n')
    fails(bare, FAILED, 'snapshots', says=[bare.path, 'config', 'another place'])
    Path(bare.path, 'config').write_text('hi')
    fails(bare, FAILED, 'snapshots', says=[bare.path, 'config', 'another place'])
    assert 'already' not in fails(bare, FAILED, 'init', says=[bare.path, 'config', 'another folder'])


def test_a_newer_version_is_told_as_that(repo):
    def newer(data):
        data[5] = 77
    reseal(repo.path + '/config', newer)
    fails(repo, FAILED, 'snapshots', says=['77', 'newer drfs'])


def test_an_unknown_feature_is_told_as_that(repo):
    def feature(data):
        data[8 + 6] = 1
    reseal(repo.path + '/config', feature)
    fails(repo, FAILED, 'snapshots', says='newer drfs')


# ---- keys ----

def test_a_wrong_passphrase_is_12(bare):
    secret = {'DRFS_KEY_FILE': None, 'DRFS_PASSWORD': 'right'}
    bare.drfs('init', env=secret)
    for command in (['snapshots'], ['backup', 'a', '/etc/hostname'], ['check']):
        text = fails(bare, PASSPHRASE, *command, env=secret | {'DRFS_PASSWORD': 'wrong-secret'})
        assert 'wrong-secret' not in text


def test_another_key_file_is_12(repo, tmp_path):
    other = tmp_path / 'other'
    other.write_text('drfs-key-1 ' + '12' * 32 + '\n')
    other.chmod(0o600)
    fails(repo, PASSPHRASE, 'snapshots', env={'DRFS_KEY_FILE': other})


def test_no_passphrase_and_no_terminal_says_where_it_may_come_from(repo):
    done = subprocess.run(['setsid', '-w', repo.binary, 'snapshots'], stdin=subprocess.DEVNULL, capture_output=True,
                          env={k: v for k, v in repo.env.items() if k != 'DRFS_KEY_FILE'}, text=True, timeout=60,
                          check=False)
    assert done.returncode == USAGE
    assert 'DRFS_PASSWORD' in done.stderr and 'DRFS_KEY_FILE' in done.stderr


def test_a_file_that_is_no_key_file_is_told(repo, tmp_path):
    bad = tmp_path / 'bad.key'
    for text in ('', 'drfs-key-1 12', 'x' * 100_000, 'drfs-key-1 ' + 'zz' * 32):
        bad.write_text(text)
        said = fails(repo, FAILED, 'snapshots', env={'DRFS_KEY_FILE': bad}, says=str(bad))
        assert 'zz' not in said
    fails(repo, FAILED, 'snapshots', env={'DRFS_KEY_FILE': tmp_path / 'missing.key'}, says='missing.key')


def test_a_password_command_that_fails_is_told(repo):
    env = {'DRFS_KEY_FILE': None, 'DRFS_PASSWORD_COMMAND': 'echo x; exit 3'}
    fails(repo, FAILED, 'snapshots', env=env, says='password command')
    fails(repo, USAGE, 'snapshots', env=env | {'DRFS_PASSWORD_COMMAND': 'true'}, says='empty')
    fails(repo, FAILED, 'snapshots', env={'DRFS_KEY_FILE': None, 'DRFS_PASSWORD_FILE': '/nowhere/p'}, says='/nowhere/p')


def test_the_last_key_and_an_unknown_key_are_not_removed(repo):
    own = repo.json('key', 'list')[0]['id']
    fails(repo, USAGE, 'key', 'remove', own[:12], says='--force')
    fails(repo, FAILED, 'key', 'remove', 'ffffffff', says='ffffffff')
    fails(repo, USAGE, 'key', 'remove')
    fails(repo, USAGE, 'key')
    fails(repo, USAGE, 'key', 'shuffle')


# ---- backup ----

@pytest.mark.parametrize('name', ['a/b', 'at', 'spool', 'clones', '.hidden', '', '/', 'new\nline', 'x' * 300])
def test_dataset_names_that_cannot_be(repo, name):
    fails(repo, USAGE, 'backup', name, '/etc/hostname')
    assert repo.json('snapshots') == []


def test_a_source_that_is_not_there_makes_no_snapshot(repo, tmp_path):
    fails(repo, FAILED, 'backup', 'files', str(tmp_path / 'missing'), says=str(tmp_path / 'missing'))
    fails(repo, FAILED, 'backup', 'files', '/etc/hostname', str(tmp_path / 'missing') + '/', says='missing')
    assert repo.json('snapshots') == []


def test_a_source_inside_the_repository_or_the_cache_is_refused(repo, source, tmp_path):
    repo.drfs('backup', 'files', f'{source}/')
    cache = repo.folder + '/cache/drfs'
    (tmp_path / 'link').symlink_to(repo.path)
    for path in (repo.path, repo.path + '/', repo.path + '/packs', cache, cache + '/', f'{tmp_path}/link/',
                 f'{source}/../drfs/repo'):
        fails(repo, USAGE, 'backup', 'x', path, says=[path, 'not saved'])
        fails(repo, USAGE, 'backup', 'x', str(source), path, says=path)
    fails(repo, USAGE, 'backup', 'x', '.', cwd=repo.path)
    fails(repo, USAGE, 'backup', '-n', 'x', '.', cwd=repo.path)
    assert not any(row['dataset'] == 'x' for row in repo.json('snapshots'))
    repo.drfs('backup', 'x', f'{tmp_path}/link')
    assert [e['type'] for e in repo.json('ls', 'x/latest')] == ['symlink']


def test_a_source_that_is_the_repository_by_a_bind_mount_is_refused(repo, tmp_path):
    (tmp_path / 'bound').mkdir()
    done = subprocess.run(['mount', '--bind', repo.path, tmp_path / 'bound'], capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip('cannot make a bind mount')
    try:
        fails(repo, USAGE, 'backup', 'x', str(tmp_path / 'bound'), says='not saved')
        fails(repo, USAGE, 'backup', 'x', f'{tmp_path}/bound/', says='not saved')
    finally:
        subprocess.run(['umount', tmp_path / 'bound'], check=True)


def test_a_source_inside_a_mount_of_the_same_repository_is_refused(repo, fresh_repo, source, tmp_path):
    repo.drfs('backup', 'files', f'{source}/')
    with repo.mount() as mnt:
        for path in (mnt, mnt + '/', mnt + '/files/latest/', mnt + '/files/latest/sub'):
            fails(repo, USAGE, 'backup', 'x', path, says=[mnt, 'not saved'])
        other = fresh_repo(tmp_path / 'other')
        other.drfs('init')
        fails(other, USAGE, 'backup', 'x', mnt, says='not saved')
        other.drfs('backup', 'x', mnt + '/files/latest/')
        assert other.drfs('cat', 'x/latest/a.txt') == 'alpha\n'


def test_backup_says_what_it_lacks(repo, tmp_path):
    fails(repo, USAGE, 'backup', says='dataset')
    fails(repo, USAGE, 'backup', 'files', says='--stdin')
    fails(repo, USAGE, 'backup', 'files', '--stdin', 'a/b')
    fails(repo, USAGE, 'backup', 'files', '--stdin', '..')
    fails(repo, USAGE, 'backup', 'files', '--stdin', 'x', '/etc/hostname')
    fails(repo, USAGE, 'backup', 'files', '/etc/hostname', '--', 'true')
    fails(repo, USAGE, 'backup', 'files', '/etc/hostname', '--compression', 'much')
    fails(repo, USAGE, 'backup', 'files', '/etc/hostname', '--compression')
    fails(repo, FAILED, 'backup', 'files', '/etc/hostname', '--exclude-from', str(tmp_path / 'none'), says='none')
    assert repo.json('snapshots') == []


def test_a_command_that_cannot_be_run_is_told(repo):
    fails(repo, FAILED, 'backup', 'db', '--stdin', 'x', '--', '/nowhere/pg_dump', says='/nowhere/pg_dump')


def test_a_full_repository_disk_makes_no_snapshot_and_the_next_run_works(bare, small_disk, tmp_path):
    big = tmp_path / 'big'
    big.write_bytes(os.urandom(12 << 20))
    where = str(small_disk / 'repo')
    bare.drfs('-r', where, 'init')
    text = fails(bare, FAILED, '-r', where, 'backup', 'files', str(big))
    for word in ('space', f"'{where}'", 'missing', 'make room', 'run the backup again'):
        assert word in text.lower(), text
    assert bare.json('-r', where, 'snapshots') == []
    subprocess.run(['mount', '-o', 'remount,size=64m', small_disk], check=True)
    bare.drfs('-r', where, 'backup', 'files', str(big))
    assert 'no fault' in bare.drfs('-r', where, 'check', '--read-data')


def test_a_cache_that_cannot_be_written_breaks_nothing(repo, source):
    shutil.rmtree(repo.folder + '/cache', ignore_errors=True)
    Path(repo.folder, 'cache').write_text('a file where the folder should be')
    repo.drfs('backup', 'files', f'{source}/')
    assert repo.drfs('cat', 'files/latest/a.txt') == 'alpha\n'


# ---- naming a source ----

def test_what_is_not_in_the_archive_is_told_with_what_is(repo, source, tmp_path):
    repo.drfs('backup', 'files', f'{source}/')
    fails(repo, FAILED, 'ls', 'filse', says='filse')
    fails(repo, FAILED, 'ls', 'files/1999-01-01', says='1999-01-01')
    fails(repo, FAILED, 'cat', 'files/latest/nothing', says='nothing')
    fails(repo, FAILED, 'cat', 'files/latest~5/a.txt')
    fails(repo, FAILED, 'restore', 'files/latest/nothing', str(tmp_path / 'x'), says='nothing')
    assert not (tmp_path / 'x').exists()
    fails(repo, FAILED, 'find', 'files/latest/nothing')
    fails(repo, FAILED, 'snapshots', 'filse', says='filse')


def test_a_path_of_this_machine_without_a_ref_is_told_so(repo, source, tmp_path):
    repo.drfs('backup', 'files', f'{source}/')
    fails(repo, USAGE, 'restore', str(source), str(tmp_path / 'x'), says='no drfs mount')
    fails(repo, USAGE, 'ls', './', cwd=str(tmp_path), says='no drfs mount')
    fails(repo, USAGE, 'ls', '../src', cwd=str(source), says='no drfs mount')
    fails(repo, FAILED, 'ls', '/nowhere/at/all', says='/nowhere/at/all')


def test_a_folder_is_not_printed(repo, source):
    repo.drfs('backup', 'files', f'{source}/')
    fails(repo, USAGE, 'cat', 'files/latest/sub', says='no regular file')
    fails(repo, USAGE, 'cat', 'files')


def test_words_too_few_or_too_many(repo):
    for words in (['restore'], ['restore', 'a'], ['restore', 'a', 'b', 'c'], ['cat'], ['diff', 'a'], ['diff', 'a', 'b', 'c'],
                  ['find'], ['ls', 'a', 'b'], ['snapshots', 'a', 'b'], ['status', 'a', 'b'], ['mount'], ['umount'],
                  ['mount', 'a', 'b'], ['umount', 'a', 'b'], ['check', 'a'], ['init', 'a'], ['help', 'a', 'b']):
        fails(repo, USAGE, *words)


def test_values_that_cannot_be(repo):
    for words in (['check', '--read-data=0'], ['check', '--read-data=200%'], ['check', '--read-data=x'],
                  ['restore', 'a', 'b', '--jobs', '0'], ['restore', 'a', 'b', '--jobs', 'many'],
                  ['find', 'a', '--size', 'big'], ['find', 'a', '--type', 'z'], ['find', 'a', '--newer', 'yesterday'],
                  ['mount', '/mnt', '-o', 'cache=lots'], ['mount', '/mnt', '-o', 'poll=often'],
                  ['mount', '/mnt', '-o', 'nonsense'], ['ls', '--nonsense'], ['ls', '-Z'], ['--nonsense', 'ls'],
                  ['ls', '-r'], ['ls', '--long=yes']):
        fails(repo, USAGE, *words)


# ---- the command itself ----

def test_a_slip_of_the_finger_is_answered_with_the_command_meant(bare):
    for typed, meant in (('snapshot', 'snapshots'), ('bakcup', 'backup'), ('restor', 'restore'), ('unmount', 'umount'),
                         ('chekc', 'check'), ('snap', 'snapshots'), ('Backup', 'backup')):
        fails(bare, USAGE, typed, says=[typed, f"'{meant}'"])
    assert 'did you mean' not in fails(bare, USAGE, 'xyzzy', says='xyzzy')
    fails(bare, USAGE, 'help', 'bakcup', says="'backup'")


def test_what_a_coming_version_brings_is_told_apart(bare):
    for later in ('forget', 'prune', 'hold', 'sync', 'clone', 'drill', 'serve', 'doctor', 'repair'):
        fails(bare, USAGE, later, says='not in this version')
        assert f'\n  {later} ' not in bare.drfs('help')


def test_restoring_into_a_database_is_not_in_this_version(repo):
    for dest in ('postgresql://localhost/app', 'postgres:///app', 'dbname=app host=/tmp'):
        fails(repo, USAGE, 'restore', 'db/latest/app.sql', dest, says='not in this version')
    assert not os.path.exists('postgres:')


def test_no_command_prints_help_and_is_usage(bare):
    done = bare.cli(code=USAGE)
    assert 'usage: drfs' in done.stdout


def test_output_that_cannot_be_written_is_told(repo, source):
    repo.drfs('backup', 'files', f'{source}/')
    for words in (['snapshots'], ['--json', 'snapshots'], ['ls', 'files'], ['find', 'files'],
                  ['backup', 'a', str(source)], ['--json', 'backup', 'a', str(source)], ['cat', 'files/latest/a.txt'],
                  ['help'], ['--version'], ['backup', '--help'], ['key', 'list'], ['status'], ['check'], ['--json', 'check']):
        with open('/dev/full', 'w') as full:
            done = subprocess.run([repo.binary, *words], env=repo.env, stdout=full, stderr=subprocess.PIPE, text=True,
                                  timeout=60, check=False)
        assert done.returncode == FAILED and 'output' in done.stderr and done.stderr.count('\n') == 1, (words, done)


def test_a_reader_that_has_seen_enough_is_no_news(repo, source):
    repo.drfs('backup', 'files', f'{source}/')
    done = subprocess.run(['sh', '-c', '("$0" find files; echo $? >&2) | true', repo.binary], env=repo.env, text=True,
                          capture_output=True, timeout=60, check=True)
    assert done.stderr in ('0\n', '1\n')


# ---- configuration ----

@pytest.mark.parametrize('text,line', [('[repository]\nurll = /x\n', 2), ('[repository]\npoll = sometimes\n', 2),
                                       ('[nonsense]\na = b\n', 1), ('[repository]\n\nno equals sign\n', 3),
                                       ('[dataset db]\nrpo = soon\n', 2), ('[dataset a/b]\nrpo = 1h\n', 1)])
def test_a_broken_configuration_is_told_by_file_and_line(repo, tmp_path, text, line):
    config = tmp_path / 'drfs.conf'
    config.write_text(text)
    said = fails(repo, USAGE, '-c', str(config), 'snapshots', says=str(config))
    assert f'{config}:{line}' in said or f'{config}:{line + 1}' in said
    fails(repo, USAGE, 'snapshots', env={'DRFS_CONFIG': config}, says=str(config))


def test_a_named_configuration_that_is_not_there_is_told(repo, tmp_path):
    fails(repo, USAGE, '-c', str(tmp_path / 'none.conf'), 'snapshots', says='none.conf')


# ---- restoring ----

def test_a_destination_without_room_says_how_much_is_missing_and_leaves_nothing_half_named(repo, small_disk, tmp_path):
    src = tmp_path / 'src'
    src.mkdir()
    (src / 'a-small').write_text('fits\n')
    (src / 'big').write_bytes(os.urandom(9 << 20))
    repo.drfs('backup', 'files', f'{src}/')
    text = fails(repo, FAILED, 'restore', 'files/latest', str(small_disk / 'back'))
    assert 'MiB' in text and ('space' in text.lower() or 'room' in text.lower())
    left = [p for p in small_disk.rglob('*') if p.is_file()]
    assert all(p.name in ('a-small', 'big') and p.read_bytes() == (src / p.name).read_bytes() for p in left)


def test_a_destination_that_cannot_be(repo, source, tmp_path):
    repo.drfs('backup', 'files', f'{source}/')
    (tmp_path / 'file').write_text('in the way')
    fails(repo, USAGE, 'restore', 'files/latest', str(tmp_path / 'file'), says=[str(tmp_path / 'file'), 'no folder'])
    assert (tmp_path / 'file').read_text() == 'in the way'
    fails(repo, FAILED, 'restore', 'files/latest', '/proc/nothing/here')


def test_a_damaged_file_is_counted_once_by_restore_with_verify(repo, tmp_path):
    src = tmp_path / 'src'
    src.mkdir()
    for i in range(3):
        (src / f'{i}').write_bytes(os.urandom(2 << 20))
    repo.drfs('backup', 'files', f'{src}/')
    pack = max(Path(repo.path, 'packs').rglob('*'), key=lambda p: p.stat().st_size)
    pack.chmod(0o600)
    with open(pack, 'r+b') as f:
        f.seek(1 << 20)
        f.write(b'damage')
    text = repo.cli('restore', 'files/latest', str(tmp_path / 'back'), '--verify', code=FAILED).stderr
    assert '1 file is not as the archive has it' in text and text.count('not restored') == 1


# ---- mounting ----

def test_mount_points_that_cannot_be(repo, tmp_path, fuse):
    full = tmp_path / 'full'
    full.mkdir()
    (full / 'something').write_text('x')
    fails(repo, USAGE, 'mount', str(full), says=[str(full), 'empty'])
    missing = tmp_path / 'missing'
    fails(repo, FAILED, 'mount', str(missing), says=str(missing))
    plain = tmp_path / 'plain'
    plain.write_text('x')
    fails(repo, USAGE, 'mount', str(plain), says=str(plain))
    fails(repo, USAGE, 'mount', repo.path)
    inside = Path(repo.path, 'packs', 'mnt')
    inside.mkdir(parents=True)
    fails(repo, USAGE, 'mount', str(inside))


def test_a_repository_named_by_a_relative_path_is_not_mounted_over(repo, fuse):
    for url in ('repo', './repo/', f'file://{repo.path}', f'file:{repo.path}'):
        fails(repo, USAGE, 'mount', 'repo/keys', env={'DRFS_REPO': url}, cwd=repo.folder, says='repository itself')


def test_a_mounted_mount_point_is_busy(repo):
    with repo.mount() as mnt:
        fails(repo, BUSY, 'mount', mnt, says=mnt)
        assert os.path.ismount(mnt)


def test_mounting_what_is_not_there_or_not_ours_says_so(bare, tmp_path, fuse):
    mnt = tmp_path / 'mnt'
    mnt.mkdir()
    fails(bare, NO_REPO, 'mount', str(mnt), says=bare.path)
    secret = {'DRFS_KEY_FILE': None, 'DRFS_PASSWORD': 'right'}
    bare.drfs('init', env=secret)
    fails(bare, PASSPHRASE, 'mount', str(mnt), env=secret | {'DRFS_PASSWORD': 'wrong'})
    assert not os.path.ismount(mnt)


def test_umount_of_what_is_no_mount(bare, tmp_path):
    fails(bare, USAGE, 'umount', str(tmp_path), env={'DRFS_REPO': None, 'DRFS_KEY_FILE': None}, says=str(tmp_path))
    assert bare.run('umount', str(tmp_path / 'missing')).returncode in (FAILED, USAGE)


def test_without_dev_fuse_all_but_mount_works(repo, source, tmp_path):
    (tmp_path / 'mnt').mkdir()
    hide = 'mount -t tmpfs none /dev; mknod /dev/null c 1 3; mknod /dev/urandom c 1 9; chmod 666 /dev/null /dev/urandom'
    done = in_own_dev(repo, hide, 'mount', str(tmp_path / 'mnt'))
    assert done.returncode == FAILED
    assert '/dev/fuse' in done.stderr and len(done.stderr.splitlines()) <= 3
    assert in_own_dev(repo, hide, 'backup', 'files', f'{source}/').returncode == OK
    assert in_own_dev(repo, hide, 'cat', 'files/latest/a.txt').stdout == 'alpha\n'
    assert in_own_dev(repo, hide, 'restore', 'files/latest', str(tmp_path / 'back')).returncode == OK


def test_a_forbidden_dev_fuse_is_told_as_that(repo, tmp_path):
    (tmp_path / 'mnt').mkdir()
    forbid = (f'mkdir {tmp_path}/dev; mount -t tmpfs -o nodev none {tmp_path}/dev; mknod {tmp_path}/dev/fuse c 10 229; '
              f'[ -e /dev/fuse ] || exit 77; mount --bind {tmp_path}/dev/fuse /dev/fuse')
    done = in_own_dev(repo, forbid, 'mount', str(tmp_path / 'mnt'))
    if done.returncode == 77:
        pytest.skip('there is no /dev/fuse')
    assert done.returncode == FAILED
    assert '/dev/fuse' in done.stderr
