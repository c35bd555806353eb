"""Finds pairs by capture time and by what the photos show.

Each photo is looked at once, for its time and its keypoints. A few phone photos are compared with
DSLR photos to reconcile the clocks; then photos that were taken at about the same time are compared
with each other. Pairs are as many as possible of those that show the same, and of these the nearest
in time.
"""

import functools
import json
import os
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import scipy.optimize
import scipy.sparse.csgraph
from etils import epath

from dped_jax.base.errors import InputError
from dped_jax.base.files import write_atomically
from dped_jax.base.folders import natural_key, some

from .clocks import Clock, ClockError, find_clock
from .looks import count_inliers, look, read_look
from .pairing import Cameras, Row, as_text, read_table
from .parallel import Run

TABLE_FILE = "pairs.csv"
MAX_SECONDS = 60.0  # between the two photos of a pair, by one clock


def by_time(
    cameras: Cameras,
    output_dir: str,
    *,
    max_seconds: float = MAX_SECONDS,
    run: Run,
) -> tuple[list[Row], dict[str, Clock]]:
    """Pairs the photos of one or more phones with those of a DSLR camera.

    The table is written to `output_dir/pairs.csv`. If the photos are those of the run before, it
    is read from there.

    Args:
      cameras: all photos.
      output_dir: where the table is written.
      max_seconds: between the two photos of a pair, by one clock.
      run: calls a function for all tasks.

    Returns:
      The rows of the table, and the clock of each phone; no clocks if the table was there.

    Raises:
      InputError: no photo has a time, clocks cannot be reconciled, or the table was changed.
      OSError: something cannot be read or written.
    """
    work = epath.Path(output_dir) / ".prepare" / "pairing"
    table = epath.Path(output_dir) / TABLE_FILE
    folders = {**cameras.phone_dirs, "": cameras.dslr_dir}
    listed = {**cameras.phone, "": cameras.dslr}
    photos = {camera: sorted(listed[camera].values(), key=natural_key) for camera in folders}
    sizes = {
        camera: [_size(f"{folders[camera]}/{name}") for name in names]
        for camera, names in photos.items()
    }
    listing = zlib.crc32(json.dumps([folders, photos, sizes, max_seconds]).encode())
    if table.exists():
        written = _written(work / "written.json")
        if written.get("table") != zlib.crc32(table.read_bytes()):
            raise InputError(
                f"{table}: was changed since it was written: give it with --pairs={table} instead"
                " of --pair_by=time, or remove it"
            )
        if written.get("listing") == listing:
            return read_table(table, cameras), {}
    files, tasks = {}, []
    for camera, names in photos.items():
        (work / (camera or "dslr")).mkdir(parents=True, exist_ok=True)
        for name, size in zip(names, sizes[camera], strict=True):
            file = os.fspath(work / (camera or "dslr") / f"{name}.{size}")
            files[camera, name] = file
            if not epath.Path(file).exists():
                kind = "phone" if camera else "dslr"
                tasks.append((f"{folders[camera]}/{name}", kind, file))
    if tasks:
        run(look, tasks, "looking at photos")
    rows, clocks = _pair_all(cameras, photos, files, max_seconds)
    text = as_text(rows).encode()
    state = {"table": zlib.crc32(text), "listing": listing}
    write_atomically(work / "written.json", json.dumps(state).encode())
    write_atomically(table, text)
    for camera in photos:
        (work / (camera or "dslr")).rmtree()
    return rows, clocks


def _size(path: str) -> int:
    """Bytes of a file; -1 of one that is not there, as behind a link."""
    try:
        return epath.Path(path).stat().length
    except OSError:
        return -1


def _written(file: epath.Path) -> dict[str, int]:
    try:
        return dict(json.loads(file.read_text()))
    except (OSError, ValueError, TypeError):
        return {}


def _times(
    folder: str, names: Sequence[str], files: Sequence[str]
) -> tuple[list[int], list[float], dict[str, str]]:
    """Indices and times of the photos that can be compared, and what is wrong with others."""
    usable, times, zones, notes = [], [], [], {}
    for i, (name, file) in enumerate(zip(names, files, strict=True)):
        found = read_look(file)
        if found.problem or found.time is None:
            notes[name] = found.problem or "no capture time"
        else:
            usable.append(i)
            times.append(found.time[0])
            zones.append(found.time[1])
    if not usable:
        timeless = [name for name, note in notes.items() if note.startswith("no capture")]
        raise InputError(
            f"{folder}: no photo has a capture time"
            f" ({some(timeless or list(notes))}): pair by name, or by a table with --pairs"
        )
    if np.all(np.isfinite(zones)):
        times = list(np.subtract(times, zones))
    return usable, times, notes


def _pair_all(
    cameras: Cameras,
    photos: Mapping[str, Sequence[str]],
    files: Mapping[tuple[str, str], str],
    max_seconds: float,
) -> tuple[list[Row], dict[str, Clock]]:
    """The table, and the clocks."""
    names = photos[""]
    dslr_files = [files["", name] for name in names]
    usable, dslr_times, dslr_notes = _times(cameras.dslr_dir, names, dslr_files)
    linked: list[tuple[int, int]] = []  # DSLR photos that one phone photo shows
    found, clocks = {}, {}
    for camera, folder in cameras.phone_dirs.items():
        phone_files = [files[camera, name] for name in photos[camera]]
        indices, times, notes = _times(folder, photos[camera], phone_files)

        @functools.cache
        def inliers(i: int, j: int, indices=indices, phone_files=phone_files) -> int:
            looks = read_look(phone_files[indices[i]]), read_look(dslr_files[usable[j]])
            return count_inliers(*looks)

        def same_scene(i: int, j: int, inliers=inliers) -> bool:
            return inliers(i, j) > 0

        try:
            clock = find_clock(times, dslr_times, same_scene)
        except ClockError as error:
            raise InputError(
                f"{folder} and {cameras.dslr_dir}: clocks cannot be reconciled: {error}: pair by"
                " name, or by a table with --pairs"
            ) from error
        expected = [clock.dslr_time(time) for time in times]
        edges = {
            edge: seconds
            for edge, seconds in near(expected, dslr_times, max_seconds).items()
            if inliers(*edge)
        }
        first: dict[int, int] = {}
        linked += [(usable[first.setdefault(i, j)], usable[j]) for i, j in edges]
        pairs = {indices[i]: (usable[j], edges[i, j], inliers(i, j)) for i, j in assign(edges)}
        found[camera], clocks[camera] = (pairs, notes), clock
    scenes = [os.path.splitext(names[i])[0] for i in first_of_group(len(names), linked)]
    rows = []
    for camera, (pairs, notes) in found.items():
        alone = f"no photo within {max_seconds:g} s shows the same, or it has a nearer partner"
        for i, name in enumerate(photos[camera]):
            if i in pairs:
                j, seconds, count = pairs[i]
                rows.append(Row(camera, name, names[j], scenes[j], seconds, count))
            else:
                rows.append(Row(camera, name, "", note=notes.get(name, alone)))
        taken = {j for j, _, _ in pairs.values()}
        rows += [
            Row(camera, "", name, scenes[j], note=dslr_notes.get(name, alone))
            for j, name in enumerate(names)
            if j not in taken
        ]
    return rows, clocks


def near(
    expected: Sequence[float], dslr_times: Sequence[float], max_seconds: float
) -> dict[tuple[int, int], float]:
    """Seconds by which a DSLR photo is later than expected, of each (phone photo, DSLR photo).

    Args:
      expected: time of each phone photo by the DSLR's clock.
      dslr_times: of the DSLR photos.
      max_seconds: those that are further apart are left out.
    """
    order = np.argsort(dslr_times, kind="stable")
    times = np.asarray(dslr_times)[order]
    apart = {}
    for i, time in enumerate(expected):
        start = np.searchsorted(times, time - max_seconds, "left")
        end = np.searchsorted(times, time + max_seconds, "right")
        apart |= {(i, int(j)): float(dslr_times[j] - time) for j in order[start:end]}
    return apart


def assign(edges: Mapping[tuple[int, int], float]) -> list[tuple[int, int]]:
    """Chooses pairs: as many as can be, and of these choices the one nearest in time.

    Args:
      edges: seconds between the (phone photo, DSLR photo) that show the same.

    Returns:
      Chosen edges; no photo is in two.
    """
    count = 1 + max((i for i, _ in edges), default=0)
    groups: dict[int, list[tuple[int, int]]] = {}
    nodes = count + 1 + max((j for _, j in edges), default=0)
    group = first_of_group(nodes, [(i, count + j) for i, j in edges])
    for i, j in edges:
        groups.setdefault(group[i], []).append((i, j))
    chosen = []
    for members in groups.values():
        phone, dslr = (sorted(set(side)) for side in zip(*members, strict=True))
        # More than what all pairs of a choice cost together:
        lacking = 1 + sum(abs(edges[edge]) for edge in members)
        cost = np.full((len(phone), len(dslr)), lacking)
        for i, j in members:
            cost[phone.index(i), dslr.index(j)] = abs(edges[i, j])
        rows, columns = scipy.optimize.linear_sum_assignment(cost)
        chosen += [(phone[i], dslr[j]) for i, j in zip(rows, columns, strict=True)]
    return [edge for edge in chosen if edge in edges]


def first_of_group(count: int, links: Sequence[tuple[int, int]]) -> list[int]:
    """The first member of the group of each of `count` things; linked ones are in one group."""
    ends = np.array(links, int).reshape(-1, 2)
    graph = scipy.sparse.coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), (count, count))
    _, group = scipy.sparse.csgraph.connected_components(graph, directed=False)
    first: dict[int, int] = {}
    return [first.setdefault(int(number), i) for i, number in enumerate(group)]
