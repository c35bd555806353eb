"""Pairs by capture time: clocks, bursts, photos without a partner, and the table."""

import csv
import datetime

import numpy as np
import pytest
from photo_folders import manifest, reasons, run_all, simulated_pair
from PIL import Image
from tiny import assert_one_line_error

from data_builders.dped.prepare import pairing, pairing_by_time
from data_builders.dped.prepare.clocks import ClockError, find_clock
from dped_jax.base.errors import InputError

START = datetime.datetime(2024, 5, 1, 9, 0, 0)
OFFSET = 37 * 60 + 3


def find(phone, dslr, scenes_phone, scenes_dslr):
    return find_clock(phone, dslr, lambda i, j: scenes_phone[i] == scenes_dslr[j])


def simulated_times(drift: float = 0.0, days: float = 0.2):
    """Times and scenes of 60 pairs and 5 alone on each side; two scenes are 4 s apart."""
    rng = np.random.default_rng(0)
    moments = np.sort(rng.uniform(0, 86400 * days, 65))
    moments[20] = moments[19] + 4
    scenes = np.arange(65)
    alone = rng.permutation(np.setdiff1d(scenes, (19, 20)))[:10]
    sides = []
    for lacking, offset, gain in ((alone[:5], 0, 0), (alone[5:], OFFSET, drift)):
        there = rng.permutation(np.setdiff1d(scenes, lacking))
        times = moments[there] * (1 + gain) + offset + rng.uniform(-1, 1, len(there))
        sides.append((times, there))
    (phone, phone_scenes), (dslr, dslr_scenes) = sides
    return phone, dslr, phone_scenes, dslr_scenes


@pytest.mark.parametrize(("drift", "days"), [(0.0, 0.2), (5e-5, 14.0)])
def test_clocks_with_jitter_and_drift_are_reconciled(drift, days):
    phone, dslr, phone_scenes, dslr_scenes = simulated_times(drift, days)
    clock = find(phone, dslr, phone_scenes, dslr_scenes)
    # Each time is off by at most 1 s, so a match by 2, and a line beyond its matches by twice that.
    for moment in np.linspace(phone.min(), phone.max(), 5):
        assert abs(clock.dslr_time(moment) - (moment * (1 + drift) + OFFSET)) < 4
    expected = [clock.dslr_time(time) for time in phone]
    edges = {
        (i, j): seconds
        for (i, j), seconds in pairing_by_time.near(expected, dslr, 60.0).items()
        if phone_scenes[i] == dslr_scenes[j]
    }
    found = {(phone_scenes[i], dslr_scenes[j]) for i, j in pairing_by_time.assign(edges)}
    common = set(phone_scenes) & set(dslr_scenes)
    assert found == {(scene, scene) for scene in common}
    assert len(found) == 55


def test_few_comparisons_are_needed():
    phone, dslr, phone_scenes, dslr_scenes = simulated_times()
    compared = []

    def same(i, j):
        compared.append((i, j))
        return phone_scenes[i] == dslr_scenes[j]

    find_clock(phone, dslr, same)
    assert len(compared) < 200  # of 3600


def test_clocks_that_cannot_be_reconciled():
    phone, dslr, phone_scenes, dslr_scenes = simulated_times()
    half = np.median(dslr)
    with pytest.raises(ClockError, match=r"from .* to .* seconds apart.* set in between"):
        find(phone, np.where(dslr < half, dslr, dslr + 5000), phone_scenes, dslr_scenes)
    with pytest.raises(ClockError, match="none of 12 phone photos shows what a DSLR photo shows"):
        find(phone, dslr, phone_scenes, dslr_scenes + 1000)


def test_as_many_pairs_as_can_be_and_the_nearest_of_them():
    """Against all choices."""
    edges = {(0, 0): 5.0, (0, 1): 0.5, (1, 1): 4.0, (2, 2): 3.0, (2, 3): 1.0, (3, 2): -1.0}
    assert sorted(pairing_by_time.assign(edges)) == [(0, 0), (1, 1), (2, 3), (3, 2)]
    assert pairing_by_time.assign({}) == []
    assert pairing_by_time.first_of_group(5, [(3, 1), (4, 3)]) == [0, 1, 2, 1, 1]


def write_timed(file, photo: np.ndarray, moment: datetime.datetime | None) -> None:
    image = Image.fromarray(photo)
    exif = image.getexif()
    if moment:
        exif.get_ifd(0x8769)[0x9003] = moment.strftime("%Y:%m:%d %H:%M:%S")
        exif.get_ifd(0x8769)[0x9291] = f"{moment.microsecond // 1000:03}"
    image.save(file, exif=exif.tobytes(), quality=95)


@pytest.fixture(scope="module")
def cards(tmp_path_factory):
    """A DSLR's card, and two phones': names say nothing, clocks differ, a burst, lone photos."""
    root = tmp_path_factory.mktemp("cards")
    seconds = {0: 0, 1: 4, 2: 300, 3: 900, 5: 1500, 6: 1600}  # of each scene
    for camera in ("iphone", "sony", "dslr"):
        (root / camera).mkdir()

    def write(camera, name, scene, clock, moment):
        photo = simulated_pair(scene)[camera == "dslr"]
        write_timed(root / camera / name, photo, START + datetime.timedelta(seconds=clock + moment))

    for scene, name in ((0, "N7.jpg"), (1, "N3.jpg"), (2, "N1.jpg"), (3, "N9.jpg"), (6, "N4.jpg")):
        write("dslr", name, scene, OFFSET, seconds[scene] - 1.5)
    write("dslr", "N2.jpg", 2, OFFSET, seconds[2] + 1)  # a burst of two
    for scene, name in ((0, "a.jpg"), (1, "z.jpg"), (2, "k.jpg"), (3, "b.jpg"), (5, "q.jpg")):
        write("iphone", name, scene, 0, seconds[scene])
        write("sony", f"x{name}", scene, -7200, seconds[scene] + 0.5)
    write_timed(root / "sony/timeless.jpg", simulated_pair(6)[0], None)
    return root


IPHONE = {"a.jpg": "N7.jpg", "z.jpg": "N3.jpg", "b.jpg": "N9.jpg"}


def test_two_phones_are_paired_by_time(cards, tmp_path, run_command):
    flags = (
        f"--phone_dir=iphone={cards}/iphone,sony={cards}/sony",
        f"--dslr_dir={cards}/dslr",
        f"--output_dir={tmp_path}",
        "--test_scenes=1",
        "--processes=1",
    )
    done = run_command("prepare", *flags, "--pair_by=time")
    assert done.returncode == 0, done.stderr
    assert "paired 4 photos of iphone by time: the DSLR's clock is +22" in done.stdout
    with (tmp_path / "pairs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for camera, prefix in (("iphone", ""), ("sony", "x")):
        listed = [row for row in rows if row["camera"] == camera]
        pairs = {r["phone_photo"]: r["dslr_photo"] for r in listed if r["phone_photo"]}
        assert {prefix + name: dslr for name, dslr in IPHONE.items()}.items() <= pairs.items()
        assert pairs[f"{prefix}k.jpg"] in ("N1.jpg", "N2.jpg")
        assert pairs[f"{prefix}q.jpg"] == ""
        scenes = {row["dslr_photo"]: row["scene"] for row in listed if row["dslr_photo"]}
        assert scenes["N1.jpg"] == scenes["N2.jpg"] == "N1"
        assert len(set(scenes.values())) == 5
    notes = {row["phone_photo"]: row["note"] for row in rows}
    assert "no photo within 60 s shows the same" in notes["q.jpg"]
    assert notes["timeless.jpg"] == "no capture time"
    # One split for both phones, photos by the DSLR's names, those without partner named.
    splits = [
        {row["photo"]: row["split"] for row in manifest(tmp_path, phone) if row["patch"]}
        for phone in ("iphone", "sony")
    ]
    shared = splits[0].keys() & splits[1].keys()
    assert {"N3", "N7", "N9"} <= shared
    assert all(splits[0][name] == splits[1][name] for name in shared)
    assert {"q.jpg (phone)", "N4.jpg (dslr)"} <= reasons(manifest(tmp_path, "iphone")).keys()
    assert not list((tmp_path / ".prepare/pairing").glob("*/"))
    # Again: nothing to do; a corrected table is taken with --pairs only.
    again = run_command("prepare", *flags, "--pair_by=time")
    assert again.stdout.count("is up to date") == 2
    table = tmp_path / "pairs.csv"
    table.write_text(table.read_text().replace("z.jpg,N3.jpg", "z.jpg,"))
    assert_one_line_error(
        run_command("prepare", *flags, "--pair_by=time"), "pairs.csv: was changed since", "--pairs="
    )


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["a.jpg,N7.jpg", "gone.jpg,N3.jpg"], "line 3: gone.jpg: no such photo in"),
        (["a.jpg,N7.jpg", "z.jpg,N8.jpg"], "line 3: N8.jpg: no such photo in"),
        (["a.jpg,N7.jpg", "a.jpg,N3.jpg"], "line 3: a.jpg is in line 2 already"),
        (["a.jpg,N7.jpg", "z.jpg,N7.jpg"], r"line 3: N7.jpg \(dslr\) is in line 2 already"),
        (["\xff"], "not a table in UTF-8"),
        (None, "has no column phone_photo"),
        ([",N7.jpg"], "iphone: no photo has a partner in"),
    ],
)
def test_a_table_with_mistakes(cards, tmp_path, lines, words):
    text = "scene\n" if lines is None else "\n".join(["phone_photo,dslr_photo", *lines])
    (tmp_path / "pairs.csv").write_text(text, encoding="latin-1")
    cameras = pairing.list_cameras({"iphone": f"{cards}/iphone"}, f"{cards}/dslr")
    with pytest.raises(InputError, match=words):
        pairing.from_rows(pairing.read_table(tmp_path / "pairs.csv", cameras), cameras)


def test_a_table_by_hand_is_followed(cards, tmp_path):
    file = tmp_path / "mine.csv"
    file.write_text("dslr_photo,phone_photo,scene\nN9.jpg,b.jpg,yard\nN2.jpg,k.jpg,\n")
    cameras = pairing.list_cameras({"iphone": f"{cards}/iphone"}, f"{cards}/dslr")
    found = pairing.from_rows(pairing.read_table(file, cameras), cameras)["iphone"]
    assert found.files == {"N2": ("k.jpg", "N2.jpg"), "N9": ("b.jpg", "N9.jpg")}
    assert found.pair("N9").phone == f"{cards}/iphone/b.jpg"
    assert (found.scenes["N9"], found.scenes["N2"], found.scenes["N4"]) == ("yard", "N2", "N4")
    assert found.unmatched["a.jpg (phone)"] == "no partner in the table of pairs"


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("hint", ["", "sep={}\r\n", '"sep={}"\r\n'])
def test_a_table_that_a_spreadsheet_has_saved(cards, tmp_path, separator, encoding, hint):
    lines = ["phone_photo,dslr_photo,note", 'b.jpg,N9.jpg,"far; dark, and\r\nwet"', "gone.jpg,,"]
    text = (
        "\r\n".join(lines).replace("photo,", f"photo{separator}").replace("jpg,", f"jpg{separator}")
    )
    text = text.replace("jpg\t,", "jpg\t\t").replace("jpg;,", "jpg;;")
    file = tmp_path / "saved.csv"
    file.write_bytes((hint.format(separator) + text).encode(encoding))
    cameras = pairing.list_cameras({"iphone": f"{cards}/iphone"}, f"{cards}/dslr")
    with pytest.raises(InputError, match=rf"line {4 + bool(hint)}: gone.jpg: no such photo"):
        pairing.read_table(file, cameras)
    file.write_bytes((hint.format(separator) + text.partition("gone")[0]).encode(encoding))
    (row,) = pairing.read_table(file, cameras)
    assert (row.phone_photo, row.dslr_photo) == ("b.jpg", "N9.jpg")
    assert row.note.startswith("far; dark, and")


def test_photos_of_the_same_name_have_notes_of_their_own(tmp_path):
    rows = [
        pairing.Row("iphone", "a.jpg", "", note="of the phone's"),
        pairing.Row("iphone", "", "a.jpg", note="of the DSLR's"),
        pairing.Row("iphone", "b.jpg", "b.jpg"),
    ]
    photos = {"a": "a.jpg", "b": "b.jpg"}
    cameras = pairing.Cameras({"iphone": "p"}, "d", {"iphone": photos}, photos)
    found = pairing.from_rows(rows, cameras)["iphone"].unmatched
    assert found == {"a.jpg (phone)": "of the phone's", "a.jpg (dslr)": "of the DSLR's"}


def test_photos_without_times_and_without_scenes_in_common(cards, tmp_path):
    for folder in ("timeless", "other"):
        (tmp_path / folder).mkdir()
    write_timed(tmp_path / "timeless/p.jpg", simulated_pair(0)[0], None)
    write_timed(tmp_path / "other/p.jpg", simulated_pair(7)[0], START)
    for folder, words in (
        ("timeless", r"timeless: no photo has a capture time \(p.jpg\)"),
        ("other", r"clocks cannot be reconciled: none of 1 phone photos shows .*--pairs"),
    ):
        cameras = pairing.list_cameras({"custom": f"{tmp_path}/{folder}"}, f"{cards}/dslr")
        with pytest.raises(InputError, match=words):
            pairing_by_time.by_time(cameras, f"{tmp_path}/out", run=run_all)


def test_phones_that_cannot_be_told(cards, tmp_path, run_command):
    flag = f"--phone_dir=pixel={cards}/iphone,sony={cards}/sony"
    folders = flag, f"--dslr_dir={cards}/dslr", f"--output_dir={tmp_path}/out"
    assert_one_line_error(run_command("prepare", *folders), "'pixel' is no NAME=FOLDER")
    assert not (tmp_path / "out").exists()
