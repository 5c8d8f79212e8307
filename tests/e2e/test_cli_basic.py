# SPDX-License-Identifier: MIT
"""Each command as a person or a script uses it, without a mount."""
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import time
from pathlib import Path

import pytest
from tree_kinds import rsync_differences as differences

ROOT = Path(__file__).resolve().parent.parent.parent

RFC3339 = re.compile(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z')


def test_version_and_help_need_nothing(bare):
    env = {'DRFS_REPO': None, 'DRFS_KEY_FILE': None}
    assert re.fullmatch(r'drfs \d+\.\d+\.\d+\n', bare.cli('--version', env=env).stdout)
    assert bare.cli('backup', '--version', env=env).stdout.startswith('drfs ')
    overview = bare.cli('help', env=env).stdout
    for command in ('init', 'backup', 'snapshots', 'ls', 'cat', 'find', 'diff', 'mount', 'umount', 'restore', 'check',
                    'key', 'status'):
        assert re.search(rf'^  {command} ', overview, re.M), command
        text = bare.cli('help', command, env=env).stdout
        assert text.startswith(f'drfs {command} - ') and 'usage: drfs' in text and 'example' in text
        assert bare.cli(command, '--help', env=env).stdout == text


def test_init_prints_a_recovery_sheet_and_makes_the_key_file_private(bare):
    sheet = bare.cli('init', '--label', 'ops').stdout
    assert stat.S_IMODE(os.stat(bare.key).st_mode) == 0o600
    assert bare.path in sheet and bare.key in sheet and 'RECOVERY SHEET' in sheet
    commands = [line.strip() for line in sheet.splitlines() if line.startswith('    ')]
    assert commands == ['drfs snapshots', 'mkdir -p /mnt/dr && drfs mount /mnt/dr',
                        'drfs restore DATASET/latest /where/to']
    exports = [line.strip() for line in sheet.splitlines() if line.startswith('  export ')]
    assert exports == [f"export DRFS_REPO='{bare.path}'", f"export DRFS_KEY_FILE='{bare.key}'"]
    assert 'ops' in bare.cli('key', 'list').stdout
    assert Path(bare.key).read_text().split()[1] not in sheet


def test_the_recovery_sheet_is_enough_to_bring_everything_back(bare, source, fuse):
    sheet = bare.cli('init').stdout
    bare.cli('backup', 'files', f'{source}/')
    lines = [line.strip() for line in sheet.splitlines() if line.startswith(('    ', '  export '))]
    mnt, to = f'{bare.folder}/mnt', f'{bare.folder}/to'
    script = '\n'.join(lines).replace('/mnt/dr', mnt).replace('DATASET', 'files').replace('/where/to', to)
    env = {k: v for k, v in bare.env.items() if not k.startswith('DRFS_')}
    script = script.replace('drfs ', bare.binary + ' ') + f'\ncp {mnt}/files/latest/a.txt {to}/by-mount'
    try:
        subprocess.run(['sh', '-e'], input=script, env=env, text=True, check=True, timeout=60, stdout=subprocess.DEVNULL)
    finally:
        bare.run('umount', mnt)
    assert Path(to, 'a.txt').read_text() == Path(to, 'by-mount').read_text() == 'alpha\n'


def test_the_recovery_sheet_names_the_repository_and_key_by_their_whole_paths(bare):
    sheet = bare.drfs('-r', 'repo', 'init', cwd=bare.folder, env={'DRFS_KEY_FILE': 'key'})
    assert f"export DRFS_REPO='{os.path.realpath(bare.path)}'" in sheet
    assert f"export DRFS_KEY_FILE='{os.path.realpath(bare.key)}'" in sheet


def test_init_takes_a_key_file_that_is_there(bare, tmp_path):
    bare.cli('init')
    before = Path(bare.key).read_bytes()
    bare.cli('-r', str(tmp_path / 'second'), 'init')
    assert Path(bare.key).read_bytes() == before


def test_init_with_json_says_what_was_made(bare):
    made, = bare.json('init')
    assert made['repository'] == bare.path and made['slot_kind'] == 'key-file' and len(made['id']) == 32


def test_passphrases_come_by_variable_file_and_command(bare, tmp_path):
    secret = tmp_path / 'passphrase'
    secret.write_text('correct horse\n')
    none = {'DRFS_KEY_FILE': None}
    bare.cli('init', env=none | {'DRFS_PASSWORD': 'correct horse'})
    for way in ({'DRFS_PASSWORD': 'correct horse'}, {'DRFS_PASSWORD_FILE': secret},
                {'DRFS_PASSWORD_COMMAND': f'cat {secret}'}):
        bare.cli('snapshots', env=none | way)
        bare.cli('snapshots', env=none | {'DRFS_PASSWORD': 'wrong'}, code=12)
    config = tmp_path / 'drfs.conf'
    for line in (f'password_file = {secret}', f'password_command = cat {secret}'):
        config.write_text(f'[repository]\nurl = {bare.path}\n{line}\n')
        bare.cli('-c', str(config), 'snapshots', env=none | {'DRFS_REPO': None})
    bare.cli('snapshots', env=none | {'DRFS_REPO': None, 'DRFS_CONFIG': config})


def test_a_key_file_wins_over_a_passphrase(repo):
    repo.cli('snapshots', env={'DRFS_PASSWORD': 'any'})


def test_the_repository_is_named_by_option_then_variable_then_configuration(repo, tmp_path):
    config = tmp_path / 'drfs.conf'
    config.write_text('[repository]\nurl = /nowhere/at/all\n')
    repo.cli('-c', str(config), 'snapshots')
    repo.cli('-c', str(config), 'snapshots', env={'DRFS_REPO': None}, code=10)
    repo.cli('snapshots', '-r', 'file://' + repo.path, env={'DRFS_REPO': '/nowhere/at/all'})


def test_backup_follows_rsyncs_rule_for_the_slash(repo, source):
    repo.cli('backup', 'inside', f'{source}/')
    repo.cli('backup', 'named', str(source))
    assert 'a.txt' in repo.cli('ls', 'inside/latest').stdout.split()
    assert repo.cli('ls', 'named/latest').stdout.split() == ['src']


def test_a_tree_comes_back_as_it_was(repo, source, tmp_path):
    repo.cli('backup', 'files', f'{source}/')
    done = repo.cli('restore', 'files/latest', str(tmp_path / 'back'), '--verify')
    assert 'files' in done.stdout
    assert differences(str(source), str(tmp_path / 'back')) == ''


def test_restore_of_a_file_makes_dest_or_goes_into_it(repo, source, tmp_path):
    repo.cli('backup', 'files', f'{source}/')
    repo.cli('restore', 'files/latest/sub/b.txt', str(tmp_path / 'one.txt'))
    assert (tmp_path / 'one.txt').read_bytes() == (source / 'sub' / 'b.txt').read_bytes()
    (tmp_path / 'folder').mkdir()
    repo.cli('restore', 'files/latest/sub/b.txt', str(tmp_path / 'folder'))
    assert (tmp_path / 'folder' / 'b.txt').read_bytes() == (source / 'sub' / 'b.txt').read_bytes()


def test_restore_deletes_only_when_told_and_a_dry_run_does_nothing(repo, source, tmp_path):
    dest = tmp_path / 'back'
    repo.cli('backup', 'files', f'{source}/')
    planned = repo.cli('restore', '-n', 'files/latest', str(dest)).stdout
    assert 'a.txt' in planned and not dest.exists()
    repo.cli('restore', 'files/latest', str(dest))
    (dest / 'extra').write_text('mine')
    (dest / 'a.txt').write_text('changed')
    repo.cli('restore', 'files/latest', str(dest))
    assert (dest / 'extra').exists() and (dest / 'a.txt').read_text() == 'alpha\n'
    plan = repo.json('restore', '-n', '--delete', 'files/latest', str(dest))
    assert any(e.get('event') == 'delete' and e['path'].endswith('extra') for e in plan)
    assert plan[-1]['dry_run'] is True and (dest / 'extra').exists()
    repo.cli('restore', '--delete', 'files/latest', str(dest))
    assert differences(str(source), str(dest)) == ''


def test_snapshots_have_the_promised_fields(repo, source):
    repo.cli('backup', 'files', f'{source}/', '--tag', 'one', '--tag', 'two', '--description', 'before the move')
    one, = repo.json('snapshots')
    assert {'dataset', 'name', 'id', 'time', 'host', 'size', 'state', 'tags', 'description'} <= one.keys()
    assert one['dataset'] == 'files' and one['state'] == 'whole' and one['tags'] == ['one', 'two']
    assert one['description'] == 'before the move' and RFC3339.fullmatch(one['time'])
    assert re.fullmatch(r'\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?', one['name'])
    assert one['size'] > 5_600_000
    repo.cli('backup', 'other', f'{source}/sub')
    assert [s['dataset'] for s in repo.json('snapshots')] == ['files', 'other']
    assert [s['dataset'] for s in repo.json('snapshots', 'other')] == ['other']


def test_a_backup_makes_a_snapshot_even_when_nothing_changed(repo, source):
    repo.cli('backup', 'files', f'{source}/')
    again, = repo.json('backup', 'files', f'{source}/')
    assert again['new_bytes'] == 0 and len(repo.json('snapshots', 'files')) == 2


def test_backup_dry_run_stores_nothing(repo, source):
    before = sorted(p for p in Path(repo.path).rglob('*') if p.is_file())
    plan, = repo.json('backup', '-n', 'files', f'{source}/')
    assert plan['dry_run'] is True and plan['files'] > 0
    assert repo.json('snapshots') == []
    assert sorted(p for p in Path(repo.path).rglob('*') if p.is_file()) == before


def test_backup_excludes_by_option_and_by_file(repo, source, tmp_path):
    patterns = tmp_path / 'patterns'
    patterns.write_text('# not these\n\n*.bin\n/empty/\n')
    repo.cli('backup', 'files', f'{source}/', '--exclude', 'sparse', '--exclude-from', str(patterns))
    paths = {e['path'] for e in repo.json('ls', '-R', 'files/latest')}
    assert 'a.txt' in paths and 'sub/deeper' in paths
    assert not paths & {'sparse', 'sub/deeper/c.bin', 'empty'}


def test_backup_reads_a_pipe(repo):
    repo.cli('backup', 'db', '--stdin', 'app.sql', input='select 1;\n')
    assert repo.cli('cat', 'db/latest/app.sql').stdout == 'select 1;\n'


def test_backup_runs_a_command_and_believes_its_exit_status(repo):
    repo.cli('backup', 'logs', '--stdin', 'out', '--', 'sh', '-c', 'echo first')
    done = repo.cli('backup', 'logs', '--stdin', 'out', '--', 'sh', '-c', 'echo second; exit 7', code=1)
    assert 'failed' in done.stderr
    states = [(s['state'], s['name'].endswith('.partial')) for s in repo.json('snapshots', 'logs')]
    assert states == [('whole', False), ('partial', True)]
    assert repo.cli('cat', 'logs/latest/out').stdout == 'first\n'


def test_a_dump_cut_short_never_becomes_latest(repo):
    whole = '--\n-- PostgreSQL database dump\n--\n\nSELECT 1;\n\n--\n-- PostgreSQL database dump complete\n--\n\n'
    repo.cli('backup', 'db', '--stdin', 'app.sql', input=whole)
    done = repo.cli('backup', 'db', '--stdin', 'app.sql', input=whole[:60], code=3)
    assert 'partial' in done.stderr
    assert repo.cli('cat', 'db/latest/app.sql').stdout == whole
    newest = repo.json('snapshots', 'db')[-1]
    assert newest['state'] == 'partial' and newest['checks'][0]['ok'] is False


def test_unreadable_files_make_exit_3_and_an_incomplete_snapshot(repo, source):
    (source / 'secret').write_text('x')
    (source / 'secret').chmod(0)
    words = [repo.binary, 'backup', 'files', f'{source}/']
    if os.geteuid() == 0:  # who reads everything, unless in a name space where another user's files are nobody's
        os.chown(source / 'secret', 12345, 12345)
        words = ['unshare', '--map-root-user', *words]
        if subprocess.run(['unshare', '--map-root-user', 'true'], check=False).returncode != 0:
            pytest.skip('no user name spaces here')
    done = subprocess.run(words, env=repo.env, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 3, done.stderr
    assert 'secret' in done.stderr
    assert repo.json('snapshots')[-1]['state'] == 'incomplete'
    assert 'the newest is incomplete' in repo.drfs('status').splitlines()[1]
    assert 'secret' not in repo.drfs('ls', 'files/latest')


def test_a_backup_leaves_out_its_own_repository_and_cache(repo, source, tmp_path):
    repo.cli('backup', 'all', f'{tmp_path}/')
    top = set(repo.run('ls', 'all/latest').stdout.split())
    assert 'src' in top
    paths = {e['path'] for e in repo.json('ls', '-R', 'all/latest')}
    assert not any(p.startswith(('drfs/repo/', 'drfs/cache/drfs/')) for p in paths)


def test_sources_are_named_in_every_way(repo, source):
    repo.cli('backup', 'files', f'{source}/')
    (source / 'a.txt').write_text('second\n')
    repo.cli('backup', 'files', f'{source}/')
    first, second = repo.json('snapshots', 'files')
    for word in ('files/latest~1', f'files/{first["name"]}', f'files/{first["id"]}', f'files/{first["id"][:12]}'):
        assert repo.cli('cat', f'{word}/a.txt').stdout == 'alpha\n', word
    year = second['time'][:4]
    for word in ('files/latest', f'files/{second["time"]}', f'files/at/{second["time"][:10]}', f'files/{year}-12-31',
                 f'files/{year}-12-31 23:59', f'files/{second["name"]}/'):
        assert repo.cli('cat', f'{word}/a.txt').stdout == 'second\n', word
    compact = second['time'][:19].replace('-', '').replace(':', '') + 'Z'
    repo.cli('ls', f'files/{compact}')


def test_ls_lists_as_ls_does(repo, source):
    repo.cli('backup', 'files', f'{source}/')
    assert repo.cli('ls').stdout == 'files\n'
    names = os.fsencode(repo.drfs('ls', 'files/latest')).splitlines()
    assert names == sorted(os.listdir(os.fsencode(source)))
    line = next(x for x in repo.cli('ls', '-l', 'files/latest/sub').stdout.splitlines() if x.endswith(' b.txt'))
    assert line.startswith('-rwSr-----') or line.startswith('-rwsr-----') or line.startswith('-rw')
    assert ' 5000 ' in line
    link = next(x for x in repo.cli('ls', '-l', 'files').stdout.splitlines() if 'to-b' in x)
    assert link.startswith('lrwxrwxrwx') and link.endswith('to-b -> sub/b.txt')
    entries = {e['path']: e for e in repo.json('ls', '-R', 'files/latest')}
    assert entries['sub/deeper/c.bin']['size'] == 600_000
    assert entries['a.txt']['mtime'] == '1969-12-31T23:59:59.876543211Z'
    odd = next(e for e in entries.values() if 'path_hex' in e)
    assert bytes.fromhex(odd['path_hex']) == b'not-utf8-\xff'


def test_find_filters_by_name_type_size_and_time(repo, source):
    repo.cli('backup', 'files', f'{source}/')

    def found(*words):
        return repo.cli('find', *words).stdout.splitlines()
    assert found('files', '-name', '*.txt') == ['a.txt', 'sub/a-again.txt', 'sub/b.txt']
    assert sorted(found('files/latest', '--type', 'd')) == ['empty', 'sub', 'sub/deeper']
    assert found('files/latest/sub', '--size', '+500K') == ['sub/deeper/c.bin']
    assert 'a.txt' not in found('files', '--newer', '2000-01-01') and 'a.txt' in found('files', '--newer', '1960-01-01')
    assert found('files', '--type', 'l') == ['dangling', 'to-b']
    assert repo.json('find', 'files', '-name', 'c.bin')[0]['path'] == 'sub/deeper/c.bin'


def test_diff_says_what_changed_and_why(repo, source):
    repo.cli('backup', 'files', f'{source}/')
    (source / 'a.txt').write_text('ALPHA\n')
    (source / 'sub' / 'b.txt').chmod(0o600)
    (source / 'new').write_text('n')
    (source / 'to-b').unlink()
    repo.cli('backup', 'files', f'{source}/')
    lines = {x.split()[-1]: x.split()[:-1] for x in repo.cli('diff', 'files/latest~1', 'files/latest').stdout.splitlines()}
    assert lines['new'][0] == 'A' and lines['to-b'][0] == 'D'
    assert lines['a.txt'][0] == 'M' and 'c' in lines['a.txt'][1]
    assert lines['sub/b.txt'] == ['M', 'm']
    assert set(lines) == {'new', 'to-b', 'a.txt', 'sub/b.txt', 'sub/a-again.txt'}
    rows = {r['path']: r for r in repo.json('diff', 'files/latest~1', 'files/latest')}
    assert rows['a.txt']['change'] == 'M' and rows['a.txt']['old_size'] == rows['a.txt']['size'] == 6
    inside = repo.cli('diff', 'files/latest~1/sub', 'files/latest/sub').stdout
    assert 'b.txt' in inside and 'new' not in inside


def test_status_is_an_alert(repo, source, tmp_path):
    config = tmp_path / 'drfs.conf'
    config.write_text('[dataset files]\nrpo = 1h\n')
    repo.cli('backup', 'files', f'{source}/')
    repo.cli('-c', str(config), 'status')
    row, = repo.json('-c', str(config), 'status')
    assert row['dataset'] == 'files' and row['late'] is False and row['rpo_seconds'] == 3600
    config.write_text('[dataset files]\nrpo = 1ms\n')
    done = repo.cli('-c', str(config), 'status', code=1)
    assert 'LATE' in done.stdout
    config.write_text('[dataset files]\nrpo = 1h\n[dataset db]\nrpo = 1h\n')
    assert 'no good backup' in repo.cli('-c', str(config), 'status', code=1).stdout
    assert repo.cli('-q', '-c', str(config), 'status', code=1).stdout == ''


def test_status_shows_an_object_that_does_not_open(repo, source):
    repo.cli('backup', 'files', f'{source}/')
    repo.cli('backup', 'files', f'{source}/')
    victim = next(p for p in Path(repo.path, 'snapshots').rglob('*') if p.is_file())
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.chmod(0o600)
    victim.write_bytes(data)
    shutil.rmtree(repo.folder + '/cache')  # it knows better; without it the archive must be read
    done = repo.cli('status', code=1)
    assert victim.name in done.stderr


def test_check_finds_nothing_then_damage(repo, source):
    repo.cli('backup', 'files', f'{source}/')
    assert 'no fault' in repo.cli('check').stdout
    result = repo.json('check', '--read-data')[-1]
    assert result['ok'] is True and result['bytes_read'] > 600_000
    packs = [p for p in Path(repo.path, 'packs').rglob('*') if p.is_file()]
    victim = max(packs, key=lambda p: p.stat().st_size)
    data = bytearray(victim.read_bytes())
    data[len(data) // 3] ^= 1
    victim.chmod(0o600)
    victim.write_bytes(data)
    done = repo.cli('check', '--read-data', code=1)
    assert victim.name in done.stderr
    findings = repo.json('check', '--read-data=100%', code=1)
    assert findings[-1]['ok'] is False
    assert any(victim.name in f.get('object', '') for f in findings)


def test_keys_are_added_listed_and_removed(repo, source, tmp_path):
    repo.cli('backup', 'files', f'{source}/')
    second = tmp_path / 'second.key'
    repo.cli('key', 'add', '--label', 'laptop', '--new-key-file', str(second))
    secret = tmp_path / 'pass'
    secret.write_text('horse')
    repo.cli('key', 'add', '--new-password-file', str(secret))
    keys = repo.json('key', 'list')
    assert sorted(k['kind'] for k in keys) == ['key-file', 'key-file', 'passphrase']
    assert [k['own'] for k in keys].count(True) == 1
    repo.cli('snapshots', env={'DRFS_KEY_FILE': second})
    repo.cli('snapshots', env={'DRFS_KEY_FILE': None, 'DRFS_PASSWORD_FILE': secret})
    laptop = next(k for k in keys if k['label'] == 'laptop')
    repo.cli('key', 'remove', laptop['id'][:10])
    repo.cli('snapshots', env={'DRFS_KEY_FILE': second}, code=12)
    assert len(repo.json('snapshots', )) == 1


def test_options_stand_before_or_after_the_command(repo, source):
    repo.cli('-q', 'backup', 'files', f'{source}/')
    assert repo.cli('backup', 'files', '-q', f'{source}/').stdout == ''
    assert json.loads(repo.run('snapshots', '--json', 'files').stdout.splitlines()[0])['dataset'] == 'files'


def test_ctrl_c_is_130_and_leaves_no_snapshot(repo, tmp_path):
    held, release = os.pipe()
    run = subprocess.Popen([repo.binary, 'backup', 'db', '--stdin', 'x'], env=repo.env, stdin=held,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    os.write(release, b'begun')
    sessions = Path(repo.path, 'sessions')
    end = time.monotonic() + 20
    while not (sessions.is_dir() and any(sessions.iterdir())) and time.monotonic() < end:
        time.sleep(0.02)
    run.send_signal(signal.SIGINT)
    try:
        assert run.wait(timeout=20) == 130
    finally:
        run.kill()
        run.communicate()
        os.close(held)
        os.close(release)
    assert repo.json('snapshots') == []


def test_a_closed_pipe_ends_cat_quietly(repo):
    repo.cli('backup', 'big', '--stdin', 'zeros', '--', 'head', '-c', '50000000', '/dev/urandom')
    run = subprocess.Popen([repo.binary, 'cat', 'big/latest/zeros'], env=repo.env, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE)
    run.stdout.read(10)
    run.stdout.close()
    assert run.wait(timeout=30) != 0
    run.stderr.close()


def test_completion_knows_every_command(bare):
    script = ROOT / 'tools' / 'completion' / 'drfs.bash'
    ask = f'source {script}; COMP_WORDS=(drfs ""); COMP_CWORD=1; _drfs; printf "%s\\n" "${{COMPREPLY[@]}}"'
    words = subprocess.run(['bash', '-c', ask], capture_output=True, text=True, check=True).stdout.split()
    overview = bare.cli('help').stdout
    commands = re.findall(r'^  ([a-z]+)  +[a-z]', overview, re.M)
    assert set(commands) <= set(words)


def test_a_dry_run_of_what_changes_something_tells_and_does_nothing(bare, tmp_path, fuse):
    mnt, key = tmp_path / 'mnt', str(tmp_path / 'new.key')
    mnt.mkdir()
    assert bare.path in bare.drfs('init', '-n') and not os.path.exists(bare.path) and not os.path.exists(bare.key)
    bare.cli('-r', f'{tmp_path}/no/parent', 'init', '-n', code=1)
    bare.drfs('init')
    bare.cli('init', '-n', code=1)
    assert key in bare.drfs('key', 'add', '-n', '--new-key-file', key) and not os.path.exists(key)
    bare.cli('key', 'remove', '-n', bare.json('key', 'list')[0]['id'], code=2)
    bare.drfs('key', 'add', '--new-key-file', key)
    other = next(row['id'] for row in bare.json('key', 'list') if not row['own'])
    assert other[:8] in bare.drfs('key', 'remove', '-n', other) and len(bare.json('key', 'list')) == 2
    assert str(mnt) in bare.drfs('mount', '-n', str(mnt)) and not os.path.ismount(mnt)
    bare.cli('umount', '-n', str(mnt), code=2)
    with bare.mount(where=str(mnt)):
        assert str(mnt) in bare.drfs('umount', '-n', str(mnt)) and os.path.ismount(mnt)
        bare.cli('mount', '-n', str(mnt), code=11)


def test_two_dashes_end_the_options_of_every_command(repo, tmp_path):
    (tmp_path / '-odd').write_text('odd\n')
    (tmp_path / 'even').write_text('even\n')
    repo.drfs('backup', 'files', '--', '-odd', 'even', cwd=tmp_path)
    assert repo.drfs('ls', '--', 'files') == '-odd\neven\n' == repo.drfs('ls', 'files', '--')
    assert repo.drfs('cat', '--', 'files/latest/-odd') == 'odd\n'
    repo.drfs('restore', '--', 'files/latest', '-back', cwd=tmp_path)
    assert (tmp_path / '-back' / '-odd').read_text() == 'odd\n'
    assert 'command' in repo.cli('backup', 'db', '--stdin', 'x', '--', input='data', code=2).stderr
    assert '--stdin' in repo.cli('backup', 'db', '--', 'pg_dump', 'app', code=2).stderr
    repo.drfs('backup', 'db', '--stdin', 'x', '--', 'echo', '--', '-n')
    assert repo.drfs('cat', 'db/latest/x') == '-- -n\n'


def test_verbose_names_what_is_new_and_changed(repo, tmp_path):
    (tmp_path / 'src').mkdir()
    (tmp_path / 'src' / 'edited').write_text('before')
    sources = [f'{tmp_path}/src/', '/etc/passwd']
    assert repo.cli('backup', 'files', *sources).stderr == ''
    (tmp_path / 'src' / 'edited').write_text('anew')
    (tmp_path / 'src' / 'fresh').write_text('fresh')
    said = repo.cli('backup', '-v', 'files', *sources).stderr
    assert 'changed edited\n' in said and 'new fresh\n' in said and 'passwd' not in said


def test_an_interrupted_backup_says_nothing_of_healthy_files(repo, tmp_path):
    (tmp_path / 'big').write_text(os.urandom(32 << 20).hex())  # slow to compress
    run = subprocess.Popen([repo.binary, 'backup', '--compression', '9', 'files', str(tmp_path / 'big')], env=repo.env,
                           stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    time.sleep(0.5)
    run.send_signal(signal.SIGINT)
    said = run.communicate(timeout=60)[1]
    assert run.returncode == 130 and 'big' not in said, said


def test_an_interrupted_backup_ends_all_that_its_command_started(repo, tmp_path):
    script = f'sleep 300 & echo $! > {tmp_path}/pid; echo data; wait'
    run = subprocess.Popen([repo.binary, 'backup', 'db', '--stdin', 'x', '--', 'sh', '-c', script], env=repo.env,
                           stdout=subprocess.DEVNULL, start_new_session=True)
    pid = tmp_path / 'pid'
    began = time.monotonic()
    while not (pid.exists() and pid.read_text().endswith('\n')) and time.monotonic() - began < 30:
        time.sleep(0.05)
    run.send_signal(signal.SIGINT)
    assert run.wait(timeout=30) == 130
    began = time.monotonic()
    while os.path.exists(f'/proc/{pid.read_text().strip()}') and time.monotonic() - began < 2:
        time.sleep(0.05)
    try:
        state = Path(f'/proc/{pid.read_text().strip()}/stat').read_text().split()[2]
    except OSError:
        state = 'gone'
    if state not in ('Z', 'gone'):
        os.kill(int(pid.read_text()), signal.SIGKILL)
    assert state in ('Z', 'gone')


def test_a_dump_that_was_cut_off_fails_its_service():
    unit = (ROOT / 'tools' / 'systemd' / 'drfs-backup@.service').read_text()
    assert not re.search(r'^SuccessExitStatus=', unit, re.M)


def test_an_exclude_pattern_may_be_an_absolute_path(repo, source):
    for words in ([f'{source}/'], [str(source)], ['.'], ['src'], ['./src/'], [str(source), '/etc/hostname']):
        cwd = source if words == ['.'] else source.parent
        repo.drfs('backup', 'files', *words, '--exclude', f'{source}/sub/deeper', '-e', f'{source}/*.txt', cwd=cwd)
        names = [os.path.basename(e['path']) for e in repo.json('ls', '-R', 'files/latest') if 'path' in e]
        assert 'b.txt' in names and 'deeper' not in names and 'c.bin' not in names and 'a.txt' not in names, words


def test_what_others_wrote_does_not_steer_the_terminal(repo, source):
    odd = 'red\x1b[31m\u202e'
    repo.drfs('backup', 'files', f'{source}/', '--description', odd, '--tag', odd)
    repo.drfs('key', 'add', '--label', odd, '--new-key-file', repo.folder + '/second')
    for words in (['snapshots'], ['key', 'list']):
        assert odd in repo.drfs(*words)
        shown = subprocess.run(['script', '-qec', f'{repo.binary} {" ".join(words)}', '/dev/null'], env=repo.env,
                               text=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=60, check=True).stdout
        assert 'red\\x1b[31m' in shown and '\x1b[31m' not in shown and '\u202e' not in shown
