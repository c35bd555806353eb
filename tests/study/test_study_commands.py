"""The commands: what is wrong with a study is said in one line, before anyone sees it."""

import csv
import pathlib
import socket
import subprocess
import sys

import cv2
import numpy as np
import pytest
import yaml
from served_study import CLASSES, Participant, recorded, serving, start, write_study
from tiny import assert_one_line_error, command

from dped_jax.base.errors import InputError
from dped_jax.study.definition import Question, define, load, order

STUDY = "dped_jax.study"


@pytest.fixture
def study(tmp_path):
    return write_study(tmp_path, 1, 3)


def rewrite(study: pathlib.Path, **keys) -> None:
    content = yaml.safe_load(study.read_text()) | keys
    study.write_text(yaml.safe_dump(content, sort_keys=False))


def check(study: pathlib.Path) -> subprocess.CompletedProcess:
    return command(STUDY, "check", f"--study={study}")


def test_check_tells_questions_and_time(tmp_path):
    study = write_study(tmp_path, 4, 9, repeats=12, seconds_per_question=6)
    result = check(study)
    assert result.returncode == 0, result.stderr
    for group in range(4):
        assert f"Group {group}: 27 questions on original, DSLR, enhanced" in result.stdout
    assert "108 questions, and 12 of them again: about 12 minutes" in result.stdout
    assert "problem" not in result.stdout


def test_order_is_every_pair_once_shuffled(tmp_path):
    definition = define(load(write_study(tmp_path, 4, 9, repeats=12)))
    asked = order(definition, 1)
    assert asked == order(definition, 1)
    assert asked != order(definition, 2)
    first = [q for q in asked if not q.repeated]
    pairs = {(q.group, q.picture, frozenset((q.left, q.right))) for q in first}
    assert len(first) == len(pairs) == 4 * 9 * 3
    again = [(i, q) for i, q in enumerate(asked) if q.repeated]
    assert len(again) == 12
    for place, question in again:
        swapped = Question(question.group, question.picture, question.right, question.left)
        assert place - asked.index(swapped) > 36  # at least a third of the study later
    # All orders and sides come about equally often, over many participants.
    seeds = range(600)
    starts = [order(definition, seed)[0] for seed in seeds]
    assert len({(q.group, q.picture, q.left, q.right) for q in starts}) > 190  # of 216
    lefts = sum(CLASSES.index(q.left) < CLASSES.index(q.right) for q in starts)
    assert 240 < lefts < 360


def test_check_lists_every_problem(study, tmp_path):
    folders = [tmp_path / f"group0/{name}_pictures" for name in CLASSES]
    cv2.imwrite(str(folders[1] / "scene0.png"), np.zeros((24, 30, 3), np.uint8))
    (folders[2] / "scene1.png").write_bytes((folders[2] / "scene1.png").read_bytes()[:60])
    (folders[0] / "scene2.png").write_bytes((folders[1] / "scene2.png").read_bytes())
    result = check(study)
    assert_one_line_error(result, "study.yaml", "3 problems")
    problems = [line for line in result.stdout.splitlines() if line.startswith("problem: ")]
    assert len(problems) == 3
    assert "scene0.png" in problems[0]
    assert "30 x 24" in problems[0]
    assert "scene1.png" in problems[1]
    assert "the same picture" in problems[2]
    serve = command(STUDY, "serve", f"--study={study}", f"--database={tmp_path}/v", "--port=0")
    assert_one_line_error(serve, "scene0.png", "30 x 24", "study check")
    assert not (tmp_path / "v").exists()


def empty(folder: pathlib.Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def make_transparent(path: pathlib.Path) -> None:
    cv2.imwrite(str(path), np.zeros((24, 32, 4), np.uint8))


@pytest.mark.parametrize(
    ("path", "spoil", "words"),
    [
        ("DSLR_pictures/scene1.png", pathlib.Path.unlink, ["scene1", "DSLR_pictures"]),
        ("original_pictures/scene1.png", pathlib.Path.unlink, ["scene1", "original_pictures"]),
        ("original_pictures", empty, ["original_pictures", "no pictures"]),
        ("enhanced_pictures", lambda path: path.rename(f"{path}2"), ["enhanced_pictures"]),
        ("DSLR_pictures/scene1.jpg", pathlib.Path.touch, ["two pictures"]),
        ("DSLR_pictures/scene1.png", lambda path: path.write_text("no"), ["not a picture that"]),
        ("DSLR_pictures/scene1.png", make_transparent, ["transparent"]),
    ],
)
def test_bad_pictures(study, tmp_path, path, spoil, words):
    spoil(tmp_path / "group0" / path)
    result = check(study)
    assert_one_line_error(result, "1 problem")
    (problem,) = (line for line in result.stdout.splitlines() if line.startswith("problem: "))
    for word in words:
        assert word in problem


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["mapping"]),
        ("- a", ["mapping"]),
        ("title: [", ["not YAML"]),
        ("title: a\ntitle: b", ["'title'", "twice"]),
        ("1: a", ["1", "quotes"]),
        ("? [a]\n: b", ["not"]),
        ("title: a", ["'groups'", "a list"]),
        ("title: a\ngroups: []", ["'groups'"]),
        ("title: ''\ngroups: [1]", ["'title'"]),
        ("title: 7\ngroups: [1]", ["'title'", "text"]),
        ("title: a\ngroups: [1]", ["group 1", "name"]),
        ("title: a\ngroups: [{name: a}]", ["group 1", "'classes'"]),
        ("title: a\ngroups: [{name: a, classes: {x: b}}]", ["group 1 (a)", "two"]),
        ("title: a\ngroups: [{name: a, classes: {x: b, y: 3}}]", ["'y'", "folder"]),
        ("title: a\ngroups: [{name: a, classes: {x: b, x: c}}]", ["'x'", "twice"]),
        ("title: a\ngroups: [{name: a, classes: {x: b, y: c}, pictures: 3}]", ["'pictures'"]),
        ("title: a\nrepeat: 3\ngroups: [1]", ["'repeat'", "did you mean 'repeats'"]),
        ("title: a\nrepeats: -1\ngroups: [1]", ["'repeats'", "0 or more"]),
        ("title: a\nrepeats: yes\ngroups: [1]", ["'repeats'", "whole number"]),
        ("title: a\nopen_places: many\ngroups: [1]", ["'open_places'", "whole number"]),
        ("title: a\nmin_median_seconds: .nan\ngroups: [1]", ["'min_median_seconds'"]),
        ("title: a\nmin_median_seconds: .inf\ngroups: [1]", ["'min_median_seconds'"]),
        ("title: !!python/object/apply:os.system [id]\ngroups: [1]", ["not YAML"]),
        ("title: a\nx: &x [*x]\ngroups: [1]", ["'x'"]),
        ("[" * 5000, ["not YAML"]),
    ],
)
def test_bad_study_files(tmp_path, text, words):
    study = tmp_path / "study.yaml"
    study.write_text(text)
    with pytest.raises(InputError) as error:
        load(study)
    for word in ("study.yaml", *words):
        assert word in str(error.value)


def test_two_groups_of_one_name_and_too_many_repeats(study):
    group = yaml.safe_load(study.read_text())["groups"][0]
    rewrite(study, groups=[group, group])
    assert_one_line_error(check(study), "study.yaml", "same name")
    rewrite(study, groups=[group], repeats=4)
    assert_one_line_error(check(study), "'repeats' is 4", "at most 3")
    rewrite(study, repeats=0, max_side=3)
    assert_one_line_error(check(study), "max_side")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ([], ["check, serve, invite"]),
        (["vote"], ["'vote'", "check, serve, invite"]),
        (["check", "--study=nowhere.yaml"], ["nowhere.yaml", "no such file"]),
        (["check", "--study=.", "extra"], ["'extra'"]),
        (["report", "--database=nowhere", "--output=x"], ["nowhere", "no such file"]),
        (["report", "--database=README.md", "--output=x"], ["README.md", "not a database"]),
        (["export", "--database=mysql://x/y", "--output=x"], ["mysql"]),
        (["export", "--database=postgresql://a:hidden@127.0.0.1:1/b", "--output=x"], ["refused"]),
        (["export", "--database=://", "--output=x"], ["--database"]),
    ],
)
def test_bad_commands(args, words):
    result = command(STUDY, *args)
    assert_one_line_error(result, *words)
    assert "hidden" not in result.stderr
    assert not pathlib.Path("nowhere").exists()


def test_bad_flags_of_serve_and_invite(study, tmp_path):
    flags = [f"--study={study}", f"--database={tmp_path}/v"]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = command(STUDY, "serve", *flags, f"--port={port}")
        assert_one_line_error(result, f"--port={port}", "choose another")
    result = command(STUDY, "serve", *flags, "--host=no.such.host.invalid", "--port=0")
    assert_one_line_error(result, "--host")
    assert_one_line_error(command(STUDY, "invite", *flags, "--url=javascript:x"), "--url")
    for module in ("check", "serve", "invite", "export", "report"):
        help_text = command(STUDY, module, "--help").stdout
        assert f"dped_jax.study {module}" in help_text


def test_missing_packages_are_named(study, tmp_path):
    script = f"""
import sys
sys.modules["starlette"] = sys.modules["sqlalchemy"] = None
sys.argv = ["study", "export", "--database=x", "--output=y"]
import runpy
runpy.run_module("{STUDY}", run_name="__main__", alter_sys=True)
"""
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert_one_line_error(result, "sqlalchemy", "dped_jax[study]")


def test_from_study_to_csv(study, tmp_path):
    with serving(study, tmp_path / "v") as server:
        for _ in range(2):
            someone = Participant(server)
            state = someone.join()
            while state["questions"]:
                _, state = someone.vote(state, 1, 1234)
        for action, output in (("export", "votes.csv"), ("report", "out")):  # while it serves
            flags = [f"--database={tmp_path}/v", f"--output={tmp_path / output}"]
            result = command(STUDY, action, *flags)
            assert result.returncode == 0, result.stderr
    with (tmp_path / "votes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 18
    expected = recorded(tmp_path / "v", 'participant, position, "group", picture, "left", "right"')
    for row, (participant, position, *shown) in zip(rows, expected, strict=True):
        assert int(row["participant"]) == participant
        assert int(row["question"]) == position + 1
        assert [row[name] for name in ("group", "picture", "left", "right")] == shown
        assert row["chosen"] == row["right"]
        assert (row["seconds"], row["repeated"]) == ("1.234", "0")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "figure10.png",
        "shares.csv",
        "scores.csv",
        "participants.csv",
        "report.html",
    }


def test_pictures_exchanged_under_a_running_study(study, tmp_path):
    server = start(study, tmp_path / "v")
    server.kill()
    picture = tmp_path / "group0/DSLR_pictures/scene0.png"
    cv2.imwrite(str(picture), np.full((24, 32, 3), 7, np.uint8))
    result = command(STUDY, "serve", f"--study={study}", f"--database={tmp_path}/v", "--port=0")
    assert_one_line_error(result, "take a new database")
