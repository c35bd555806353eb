"""Many pairs: what the driver holds of them, and the room that the output takes."""

import hashlib
import json
import os
import pathlib
import tracemalloc

from generated_patches import encode_patch
from photo_folders import prepare_here, write_folders

from data_builders.dped.prepare import photo_pairs, records

WINDOWS = 40
PHOTO = b"photo"  # of the simulated folders; never decoded


def write_records(root: pathlib.Path, count: int) -> None:
    """Folders of photos, and finished records of them with two patches of 40 windows each."""
    work = root / "out/.prepare/custom/pairs"
    work.mkdir(parents=True)
    patch, windows = encode_patch(0), []
    for i in range(WINDOWS):
        window = {"x": i, "y": 0, "correlation": 0.9 * i / WINDOWS, "shift": [i / 7, -i / 9]}
        windows.append(window | {"angle": i / 11, "patch": None})
    windows[0] |= {"correlation": 0.95, "patch": "0000.jpg"}
    files = {"overview.jpg": patch, "phone/0000.jpg": patch, "dslr/0000.jpg": patch}
    for camera in ("phone", "dslr"):
        (root / camera).mkdir()
    for i in range(count):
        name = f"IMG_{i}"
        for camera in ("phone", "dslr"):
            (root / camera / f"{name}.jpg").write_bytes(PHOTO)
        digests = [hashlib.sha256(f"{name}{c}".encode()).hexdigest() for c in "pd"]
        description = {
            "name": name, "problem": None, "retry": False, "windows": windows, "turned": 0,
            "files": [f"{name}.jpg"] * 2, "bytes": [len(PHOTO)] * 2, "matches": 100,
            "inliers": 90, "sha256": digests,
        }  # fmt: skip
        records.write(f"{work}/{name}", description, files)


def peak_memory(root: pathlib.Path, count: int) -> int:
    """Bytes that Python holds at most while so many finished pairs are published."""
    write_records(root, count)
    tracemalloc.start()
    result = prepare_here(root, root / "out")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (result.pairs, result.done_before) == (count, count)
    assert result.summary.windows == WINDOWS * count
    assert sum(result.summary.patches.values()) == count
    return peak


def test_the_driver_holds_no_records(tmp_path):
    """What a pair adds to its memory, against the size of its record."""
    few, many = (peak_memory(tmp_path / str(count), count) for count in (50, 450))
    record = tmp_path / "450/out/.prepare/custom/pairs/IMG_1.json"
    size = len(json.dumps(json.loads(record.read_text().split("\n")[0])))
    assert size > 4000
    # Names, digests and places: measured 1.3 kB a pair. Parsed, a record takes 5 times its file.
    assert (many - few) / 400 < size / 2


def test_patches_are_on_the_disk_once(tmp_path):
    write_folders(tmp_path, {f"s{i}": i for i in range(3)})
    prepare_here(tmp_path, tmp_path / "out", settings=photo_pairs.Settings(jpeg_quality=95))
    published = tmp_path / "out/custom"
    patches = [file for file in published.rglob("*.jpg") if file.stem.isdecimal()]
    assert len(patches) > 20
    for file in patches:
        assert file.stat().st_nlink == 2  # the other name is in the record
    # Beside them, of each pair: its description and a small picture; real pairs have 400 kB of
    # patches and more.
    once = {file.stat().st_ino for file in patches}
    pairs = (tmp_path / "out/.prepare/custom/pairs").rglob("*")
    extra = [file for file in pairs if file.is_file() and file.stat().st_ino not in once]
    assert {file.name.partition(".")[2] for file in extra} == {"json", "jpg"}
    assert sum(file.stat().st_size for file in extra) < 3 * 45_000


def test_without_links_patches_are_copied(tmp_path, monkeypatch):
    def refuse(self, source):
        raise PermissionError(1, "Operation not permitted")

    write_folders(tmp_path, {f"s{i}": i for i in range(3)})
    prepare_here(tmp_path, tmp_path / "linked")
    monkeypatch.setattr(pathlib.Path, "hardlink_to", refuse)
    prepare_here(tmp_path, tmp_path / "copied")
    for file in (tmp_path / "linked/custom").rglob("*.jpg"):
        copy = tmp_path / "copied" / os.path.relpath(file, tmp_path / "linked")
        assert copy.read_bytes() == file.read_bytes()
        assert copy.stat().st_nlink == 1
