"""A study as its author writes it: a YAML file of groups, classes and folders of pictures.

    title: Which photograph looks better?
    open_places: 42               # participants through the open link; 0: by invitation only
    groups:
      - name: iPhone
        classes:                  # folders beside this file, with the same file names
          original: iphone/original
          DSLR: iphone/dslr
          enhanced: iphone/enhanced

Every pair of classes is asked for every picture: 3 classes of 9 pictures are 27 questions, and 4
such groups the paper's 108 (section 4.3).
"""

import dataclasses
import difflib
import hashlib
import itertools
import pathlib
import random
from collections.abc import Iterator, Sequence
from typing import Any

import yaml

from dped_jax.base.errors import InputError
from dped_jax.base.folders import is_picture

INSTRUCTIONS = (
    "You will see two pictures of the same scene, side by side or one above the other. Choose the"
    " one that looks better to you. Please ignore differences of composition, such as field of"
    " view and perspective: only the quality of the picture counts. There is no right answer."
)


@dataclasses.dataclass(frozen=True)
class Group:
    """One experiment: classes of pictures that are compared with each other."""

    name: str
    folders: dict[str, pathlib.Path]  # by class

    def files(self, name: str) -> dict[str, list[pathlib.Path]]:
        """The pictures of a class by name without suffix."""
        found: dict[str, list[pathlib.Path]] = {}
        folder = self.folders[name]
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if is_picture(path.name):
                found.setdefault(path.stem, []).append(path)
        return found


@dataclasses.dataclass(frozen=True)
class Study:
    """What a study file says; the fields have the names of its keys."""

    title: str
    groups: tuple[Group, ...]
    instructions: str = INSTRUCTIONS
    open_places: int = 0  # participants through the open link; 0: by invitation only
    repeats: int = 0  # questions asked a second time, with sides swapped
    seconds_per_question: float = 5.0  # for how long the study takes
    min_median_seconds: float = 1.0  # participants whose median answer is faster are flagged
    max_side: int = 2048  # pixels; larger pictures are shown scaled down to this


@dataclasses.dataclass(frozen=True)
class Question:
    """Two pictures of a scene, by class."""

    group: str
    picture: str
    left: str
    right: str
    repeated: bool = False


class _Loader(yaml.SafeLoader):
    """Refuses a key that is given twice, where YAML's own would take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if not isinstance(key, str):
                raise InputError(f"{key!r} is not text; write it in quotes")
            if keys.count(key) > 1:
                raise InputError(f"{key!r} is given twice; give each name once")
        return super().construct_mapping(node, deep)


def _fields(where: str, value: Any, required: dict[str, type], optional: dict[str, Any]) -> dict:
    """Checks a mapping's keys and types; returns it with defaults filled in."""
    if not isinstance(value, dict):
        raise InputError(f"{where} must be a mapping of {', '.join(required)}")
    for key in value:
        if key not in required | optional:
            near = difflib.get_close_matches(key, required | optional, 1)
            hint = f"did you mean {near[0]!r}?" if near else "remove it"
            raise InputError(f"{where}: {key!r} is no key of a study; {hint}")
    for key, kind in required.items():
        if not isinstance(value.get(key), kind) or not value[key]:
            raise InputError(f"{where}: {key!r} must be given, as {_KINDS[kind]}")
    for key, default in optional.items():
        given, kind = value.get(key, default), type(default)
        if kind is float and isinstance(given, int) and not isinstance(given, bool):
            given = float(given)
        if type(given) is not kind:
            raise InputError(f"{where}: {key!r} must be {_KINDS[kind]}, not {given!r}")
        if kind is not str and not 0 <= given < 1e9:
            raise InputError(f"{where}: {key!r} must be 0 or more, not {given!r}")
    return value


_KINDS = {str: "text", int: "a whole number", float: "a number", list: "a list", dict: "a mapping"}


def _group(where: str, value: Any, folder: pathlib.Path) -> Group:
    fields = _fields(where, value, {"name": str, "classes": dict}, {})
    where = f"{where} ({fields['name']})"
    if len(fields["classes"]) < 2:
        raise InputError(f"{where}: one class cannot be compared; give at least two")
    for name, path in fields["classes"].items():
        if not name or not isinstance(path, str) or not path:
            raise InputError(f"{where}: class {name!r} must be a name with a folder")
    return Group(fields["name"], {name: folder / p for name, p in fields["classes"].items()})


def load(path: pathlib.Path) -> Study:
    """Reads a study file.

    Raises:
      InputError: it is missing or says something that no study can be.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise InputError(f"--study={path}: no such file") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not text in UTF-8") from error
    optional = {
        field.name: field.default
        for field in dataclasses.fields(Study)
        if field.default is not dataclasses.MISSING
    }
    try:
        fields = _fields(
            "the study",
            yaml.load(text, _Loader),
            {"title": str, "groups": list},
            optional,
        )
        groups = [
            _group(f"group {i}", value, path.parent) for i, value in enumerate(fields["groups"], 1)
        ]
        names = [group.name for group in groups]
        if len(set(names)) < len(names):
            raise InputError("two groups have the same name; give each its own")
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise InputError(f"{path}: not YAML: {error}") from error
    study = Study(**(fields | {"groups": tuple(groups)}))
    if study.max_side < 16:
        raise InputError(f"{path}: 'max_side' must be 16 pixels or more")
    return study


def define(study: Study) -> dict[str, Any]:
    """What must stay the same while a study runs, as JSON: its questions and pictures.

    Raises:
      InputError: more repeats than a third of the questions.
      OSError: a picture cannot be read.
    """
    groups, asked = [], 0
    for group in study.groups:
        digest = hashlib.sha256()
        classes = {name: group.files(name) for name in group.folders}
        for files in classes.values():
            for path in itertools.chain.from_iterable(files.values()):
                digest.update(hashlib.sha256(path.read_bytes()).digest())
        pictures = list(next(iter(classes.values())))
        asked += len(pictures) * len(list(pairs(list(classes))))
        groups.append(
            {
                "name": group.name,
                "classes": list(classes),
                "pictures": pictures,
                "sha256": digest.hexdigest(),
            }
        )
    if study.repeats > asked // 3:
        raise InputError(
            f"'repeats' is {study.repeats}, but of {asked} questions at most {asked // 3} can be"
            " asked again; lower it"
        )
    return {"groups": groups, "repeats": study.repeats, "max_side": study.max_side}


def pairs(classes: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    """Every pair of classes, in the order of the study file."""
    return itertools.combinations(classes, 2)


def order(definition: dict[str, Any], seed: int) -> list[Question]:
    """The questions of one participant: order and sides shuffled (section 4.3).

    Questions asked again are drawn from the first third and come, sides swapped, in the last.
    """
    rng = random.Random(seed)  # Python's: its sequences are the same in all versions
    questions = [
        Question(group["name"], picture, left, right)
        for group in definition["groups"]
        for picture in group["pictures"]
        for left, right in (rng.sample(pair, 2) for pair in pairs(group["classes"]))
    ]
    rng.shuffle(questions)
    third = len(questions) // 3
    again = [
        dataclasses.replace(q, left=q.right, right=q.left, repeated=True)
        for q in rng.sample(questions[:third], definition["repeats"])
    ]
    last = questions[len(questions) - third :] + again
    rng.shuffle(last)
    return questions[: len(questions) - third] + last
