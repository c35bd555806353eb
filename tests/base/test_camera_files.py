"""Made-up files of the kinds that cameras and phones write, in each command's way of reading."""

import re
from collections.abc import Iterator

import numpy as np
import pytest
from camera_files import MAKERS, REFUSE, judge, levels
from camera_files.kinds import ROUNDING, difference
from camera_files.limits import MAY_REFUSE
from camera_files.reading import WAYS

FORMATS = {"JPEG": "jpeg", "PNG": "png", "TIFF": "tiff", "WebP": "webp", "HEIC": "heif"}
FORMATS |= {"AVIF": "avif", "camera raw": "raw"}

each_way = pytest.mark.parametrize("way", WAYS)
each_format = pytest.mark.parametrize("file_format", MAKERS.values())


@pytest.fixture
def of_way(made_up_files, made_up_patches, way):
    """The kinds of file that a command is to read."""
    return (made_up_patches if way == "build" else made_up_files)[1]


@each_format
@each_way
def test_right_or_refused_with_the_limit(way, file_format, of_way, outcomes):
    wrong = {}
    for kind in of_way:
        if kind.format == file_format:
            outcome = outcomes[way, kind.name]
            problem = outcome.failure or judge(kind, outcome.got, MAY_REFUSE[way])
            wrong |= {kind.name: problem} if problem else {}
    assert wrong == {}


@each_way
def test_the_same_where_freed_memory_is_overwritten(way, of_way, outcomes, perturbed):
    wrong = []
    for kind in of_way:
        one, other = outcomes[way, kind.name], perturbed[way, kind.name]
        if one.failure or other.failure or not np.array_equal(one.got, other.got):
            wrong.append(f"{kind.name}: {one.failure} {other.failure}")
    assert wrong == []


def beside_the_pixels(kind, outcome) -> Iterator[str]:
    """What is wrong with the other fields of a `Picture`."""
    fields, bits = outcome.fields, outcome.got.dtype.itemsize * 8
    alpha = fields.get("alpha")
    if (alpha is None) != (kind.alpha is None):
        yield "alpha where there is none, or none where there is"
    elif alpha is not None:
        off = difference(levels(alpha), levels(kind.alpha / 255))
        if alpha.dtype != outcome.got.dtype or off > max(kind.limit, ROUNDING):
            yield f"{alpha.dtype} alpha, {off:.2f} levels off"
    if fields["bits"] != kind.bits or bits != (8 if kind.bits == 8 else 16):
        yield f"{fields['bits']} bits in {bits}"
    # Decoders of these give RGB.
    is_gray = "gray" in kind.features and kind.name not in (
        "heif_gray_alpha.heif",
        "avif_gray.avif",
    )
    if fields["gray"] != is_gray:
        yield f"gray: {fields['gray']}"
    if kind.format in FORMATS and fields["format"] != FORMATS[kind.format]:
        yield f"format {fields['format']}"
    warnings = str(fields["warnings"])
    if bool(warnings) != bool(kind.warning) or not re.search(kind.warning, warnings):
        yield f"warnings {warnings!r}"


def test_what_the_reader_says_beside_the_pixels(made_up_files, outcomes):
    """Alpha, bits, grayscale, format and warnings."""
    wrong = {}
    for kind in made_up_files[1]:
        outcome = outcomes["enhance", kind.name]
        if kind.right != REFUSE and isinstance(outcome.got, np.ndarray):
            problems = list(beside_the_pixels(kind, outcome))
            wrong |= {kind.name: problems} if problems else {}
    assert wrong == {}


@each_way
def test_refusals_name_the_file(way, of_way, outcomes):
    if way == "prepare":
        pytest.skip("prepare names the photo where it writes the reason")
    for kind in of_way:
        outcome = outcomes[way, kind.name]
        if isinstance(outcome.got, str):
            assert kind.name in outcome.got
