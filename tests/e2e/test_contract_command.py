# SPDX-License-Identifier: MIT
"""Repository, secrets, configuration, exit codes and what is printed for machines."""

import calendar
import json
import os
import pty
import re
import stat
import time

import pytest
from contract import put, until

RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z")
NO_KEY = {"DRFS_KEY_FILE": None}

SAMPLE = """[repository]
url = {url}
min_copies = 1
catalog = sqlite            ; or postgresql://…
spool_dir = {folder}/spool
cache_size = 10G
poll = 30s
[dataset db]
commit = close              ; or idle:10s, manual
idle_max = 10m
durability = local          ; or power, remote
keep = last:3 daily:7 weekly:4 monthly:12
rpo = 1h
rto = 2h
check = /bin/true           ; after the built-in ones
alert = /bin/true
compression = 3             ; zstd level, or off
storage_class = STANDARD_IA ; of this dataset's packs
drill = SELECT count(*) > 0 FROM users   ; must be true; the key may stand more than once
drill = SELECT true
"""


def configure(repo, text, name="drfs.conf"):
    path = f"{repo.folder}/{name}"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    return path


def test_the_key_file_is_made_by_init_and_private(bare):
    bare.drfs("init")
    st = os.stat(bare.key)
    assert stat.S_IMODE(st.st_mode) == 0o600 and st.st_size >= 32
    bare.drfs("snapshots")
    os.rename(bare.key, bare.key + ".lost")
    done = bare.run("snapshots")
    assert done.returncode in (1, 12) and bare.key in done.stderr and not os.path.exists(bare.key)


def test_the_recovery_sheet_names_repository_slot_and_three_commands(bare):
    sheet = bare.drfs("init")
    assert bare.path in sheet
    commands = [x for x in sheet.splitlines() if x.startswith("    ")]
    assert len(commands) == 3 and "drfs restore " in commands[-1]
    assert json.loads(bare.drfs("--json", "key", "list").splitlines()[0])["id"][:8] in sheet


def test_another_key_or_passphrase_is_exit_12(bare, fresh_repo):
    bare.drfs("init")
    other = fresh_repo(bare.folder + "/other")
    other.drfs("init")
    bare.drfs("snapshots", env={"DRFS_KEY_FILE": other.key}, code=12)
    bare.drfs("snapshots", env={"DRFS_KEY_FILE": None, "DRFS_PASSWORD": "guess"}, code=12)


def test_every_source_of_a_passphrase_works_and_the_first_wins(bare):
    right, wrong = bare.folder + "/right", bare.folder + "/wrong"
    for path, text in ((right, "pass phrase\n"), (wrong, "other\n")):
        with open(path, "w", encoding="ascii") as f:
            f.write(text)
    bare.drfs("init", env=NO_KEY | {"DRFS_PASSWORD": "pass phrase"})
    for ways in ({"DRFS_PASSWORD": "pass phrase"}, {"DRFS_PASSWORD_FILE": right},
                 {"DRFS_PASSWORD_COMMAND": f"cat {right}"},
                 {"DRFS_PASSWORD": "pass phrase", "DRFS_PASSWORD_FILE": wrong, "DRFS_PASSWORD_COMMAND": f"cat {wrong}"},
                 {"DRFS_PASSWORD_FILE": right, "DRFS_PASSWORD_COMMAND": f"cat {wrong}"}):
        bare.drfs("snapshots", env=NO_KEY | ways)
    for ways in ({"DRFS_PASSWORD": "no"}, {"DRFS_PASSWORD_FILE": wrong}, {"DRFS_PASSWORD_COMMAND": f"cat {wrong}"},
                 {"DRFS_PASSWORD": "no", "DRFS_PASSWORD_FILE": right}):
        bare.drfs("snapshots", env=NO_KEY | ways, code=12)
    for broken in ({"DRFS_PASSWORD_FILE": "/nowhere"}, {"DRFS_PASSWORD_COMMAND": "false"}):
        assert bare.run("snapshots", env=NO_KEY | broken).returncode in (1, 12)


def test_without_any_secret_and_without_a_terminal_it_fails_at_once(repo):
    started = time.monotonic()
    done = repo.run("snapshots", env=NO_KEY, start_new_session=True)
    assert done.returncode in (1, 2, 12) and "DRFS_" in done.stderr
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("typed, code", [("pass phrase", 0), ("a wrong one", 12)])
def test_the_passphrase_is_asked_for_on_a_terminal_without_echo(bare, typed, code):
    bare.drfs("init", env=NO_KEY | {"DRFS_PASSWORD": "pass phrase"})
    env = {k: v for k, v in bare.env.items() if k != "DRFS_KEY_FILE"}
    pid, fd = pty.fork()
    if pid == 0:
        os.execve(bare.binary, [bare.binary, "snapshots"], env)
    said = b""
    while b"pass" not in said.lower():
        said += os.read(fd, 1000)
    os.write(fd, typed.encode() + b"\n")
    try:
        while True:
            more = os.read(fd, 1000)
            if not more:
                break
            said += more
    except OSError:
        pass  # the terminal ends with its process
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == code
    assert typed.encode() not in said


def test_option_then_variable_then_configuration_name_the_repository(repo):
    for url in (repo.path, "file://" + repo.path):
        repo.drfs("-r", url, "snapshots", env={"DRFS_REPO": "/nowhere"})
        repo.drfs("--repo", url, "snapshots", env={"DRFS_REPO": "/nowhere"})
        repo.drfs("snapshots", env={"DRFS_REPO": url})
    repo.drfs("-r", "/nowhere", "snapshots", code=10)
    there, nowhere = "[repository]\nurl = " + repo.path + "\n", "[repository]\nurl = /nowhere\n"
    good, bad = configure(repo, there, "good.conf"), configure(repo, nowhere, "bad.conf")
    unset = {"DRFS_REPO": None}
    repo.drfs("-c", good, "snapshots", env=unset | {"DRFS_CONFIG": bad})
    repo.drfs("-c", bad, "snapshots", env=unset | {"DRFS_CONFIG": good}, code=10)
    repo.drfs("snapshots", env=unset | {"DRFS_CONFIG": good})
    repo.drfs("-c", bad, "snapshots")
    configure(repo, there, "config/drfs/drfs.conf")
    repo.drfs("snapshots", env=unset)
    assert repo.run("snapshots", env=unset | {"XDG_CONFIG_HOME": repo.folder + "/none"}).returncode in (1, 2, 10)
    missing = repo.run("-c", "/nowhere.conf", "snapshots")
    assert missing.returncode in (1, 2) and "/nowhere.conf" in missing.stderr


def test_a_configuration_as_the_design_shows_it_is_taken(repo):
    path = configure(repo, SAMPLE.format(url=repo.path, folder=repo.folder))
    repo.drfs("-c", path, "backup", "db", "--stdin", "a", input="x", env={"DRFS_REPO": None})
    assert repo.drfs("cat", "db/latest/a") == "x"


@pytest.mark.parametrize("text, line", [
    ("[repository]\nurl = {url}\nspolo_dir = /x\n", 3), ("[dataset db]\n\nrpoo = 1h\n", 3), ("[nonsense]\nx = 1\n", 2),
    ("[repository]\nurl = {url}\n# a comment\ncache_size = many\n", 4), ("[dataset db]\nrpo = soon\n", 2),
    ("[repository]\nthis is no line\n", 2), ("[dataset db]\ncompression = 99\n", 2), ("[dataset a/b]\nrpo = 1h\n", 2),
])
def test_what_is_wrong_in_a_configuration_is_told_by_file_and_line(repo, text, line):
    path = configure(repo, text.format(url=repo.path))
    done = repo.run("-c", path, "snapshots")
    assert done.returncode in (1, 2)
    lines = {line, line - 1} if text.startswith(("[nonsense]", "[dataset a/b]")) else {line}
    assert any(f"{path}:{n}" in done.stderr for n in lines), done.stderr


def test_what_the_configuration_asks_and_is_not_done_yet_is_warned_about(repo):
    path = configure(repo, f"[repository]\nurl = {repo.path}\n[dataset db]\nalert = /bin/true\n")
    assert "alert" in repo.cli("-c", path, "backup", "db", "--stdin", "a", input="x").stderr


def test_version_and_help_need_no_repository(bare):
    nothing = {"DRFS_REPO": None, "DRFS_KEY_FILE": None}
    assert re.match(r"drfs \d", bare.drfs("--version", env=nothing))
    for command in ("init", "mount", "umount", "backup", "snapshots", "ls", "cat", "find", "diff", "restore", "check",
                    "key", "status"):
        assert bare.drfs(command, "--version", env=nothing) == bare.drfs("--version", env=nothing)
        assert command in bare.drfs(command, "--help", env=nothing)


@pytest.mark.parametrize("line", [
    [], ["nonsense"], ["--nonsense"], ["backup"], ["backup", "db"], ["backup", "db", "--nonsense", "x"], ["mount"],
    ["umount"], ["cat"], ["restore", "db"], ["snapshots", "a", "b"], ["key", "nonsense"], ["backup", "db", "--stdin"],
    ["check", "--read-data=200%"], ["restore", "db", "x", "--jobs", "none"],
])
def test_wrong_usage_is_exit_2_and_says_what(repo, line):
    done = repo.cli(*line, code=2)
    assert done.stderr.strip() or not line and "help" in done.stdout


def test_every_report_is_json_lines_where_asked(repo, source):
    repo.drfs("backup", "files", f"{source}/")
    (source / "a.txt").write_text("changed")
    assert len(repo.json("backup", "files", f"{source}/")) >= 1
    for line in (["snapshots"], ["snapshots", "files"], ["ls"], ["ls", "files/latest"], ["find", "files/latest"],
                 ["diff", "files/latest~1", "files/latest"], ["check"], ["check", "--read-data"], ["status"],
                 ["key", "list"], ["restore", "-n", "files/latest", repo.folder + "/x"],
                 ["restore", "files/latest", repo.folder + "/x"], ["backup", "-n", "files", f"{source}/"]):
        lines = repo.json(*line)
        assert lines and all(isinstance(x, dict) for x in lines), line


def test_snapshots_in_json_have_the_nine_fields(repo, source):
    repo.drfs("backup", "files", f"{source}/", "--tag", "a", "--tag", "b", "--description", "say why")
    put(repo, "db", "x", "12345")
    one, = repo.json("snapshots", "files")
    fields = {"dataset": str, "name": str, "id": str, "time": str, "host": str, "size": int, "state": str, "tags": list,
              "description": str}
    assert fields.keys() <= one.keys()
    assert {k: type(one[k]) for k in fields} == fields
    assert one["dataset"] == "files" and one["state"] == "whole" and sorted(one["tags"]) == ["a", "b"]
    assert one["description"] == "say why" and one["host"] == os.uname().nodename
    assert RFC3339.fullmatch(one["time"])
    other, = repo.json("snapshots", "db")
    assert other["tags"] == [] and other["description"] in ("", None) and other["size"] == 5
    assert {s["dataset"] for s in repo.json("snapshots")} == {"files", "db"}
    assert repo.drfs("snapshots").count(one["name"]) >= 1
    assert repo.run("snapshots", "never-made").returncode in (0, 1)


def test_the_time_of_a_snapshot_is_when_it_was_made(repo):
    before = time.time()
    made = put(repo, "db", "x", "x")
    stamp = time.strptime(made["time"][:19] + " UTC", "%Y-%m-%dT%H:%M:%S %Z")
    assert int(before) - 1 <= calendar.timegm(stamp) <= time.time() + 1


def test_quiet_says_nothing_and_progress_never_reaches_a_log(repo, source):
    done = repo.cli("-q", "backup", "files", f"{source}/")
    assert done.stdout == "" and done.stderr == ""
    done = repo.cli("-v", "backup", "files", f"{source}/")
    assert "\r" not in done.stdout + done.stderr and "\x1b" not in done.stdout + done.stderr
    assert repo.cli("-q", "restore", "files/latest", repo.folder + "/x").stdout == ""


def test_status_judges_the_age_of_backups_by_their_rpo(repo):
    put(repo, "db", "x", "x")
    repo.drfs("status")
    late = configure(repo, f"[repository]\nurl = {repo.path}\n[dataset db]\nrpo = 1s\n", "late.conf")
    good = configure(repo, f"[repository]\nurl = {repo.path}\n[dataset db]\nrpo = 1h\n", "good.conf")
    none = configure(repo, f"[repository]\nurl = {repo.path}\n[dataset never]\nrpo = 1h\n", "none.conf")
    assert "db" in repo.drfs("-c", good, "status")
    assert any(x.get("dataset") == "db" for x in repo.json("-c", good, "status"))
    done = until(lambda: (lambda r: r.returncode and r)(repo.run("-c", late, "status")), "the backup is too old")
    assert done.returncode in (1, 3) and "db" in done.stdout + done.stderr
    done = repo.run("-c", none, "status")
    assert done.returncode in (1, 3) and "never" in done.stdout + done.stderr
    repo.drfs("backup", "torn", "--stdin", "x", "--", "false", code=1)
    torn = configure(repo, f"[repository]\nurl = {repo.path}\n[dataset torn]\nrpo = 1h\n", "torn.conf")
    assert repo.run("-c", torn, "status").returncode in (1, 3), "a partial snapshot is no good backup"
