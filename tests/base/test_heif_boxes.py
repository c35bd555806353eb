import struct

import numpy as np
import pytest

from dped_jax.base import heif_boxes


def box(kind, *parts):
    body = b"".join(parts)
    return struct.pack(">I", 8 + len(body)) + kind + body


def full_box(kind, *parts, version=0, flags=0):
    return box(kind, struct.pack(">I", version << 24 | flags), *parts)


def ispe(width, height):
    return full_box(b"ispe", struct.pack(">II", width, height))


def heif(types, properties, of_items, references=(), behind=b""):
    """A file with items by number, and the numbers of the properties of each; 1 is the main one."""
    infos = [
        full_box(b"infe", struct.pack(">HH4s", number, 0, kind), b"\0", version=2)
        for number, kind in types.items()
    ]
    associations = b"".join(
        struct.pack(">HB", item, len(indices)) + bytes(indices)
        for item, indices in of_items.items()
    )
    refers = [
        box(kind, struct.pack(f">HH{len(to)}H", item, len(to), *to))
        for kind, item, to in references
    ]
    meta = full_box(
        b"meta",
        full_box(b"pitm", struct.pack(">H", 1)),
        full_box(b"iinf", struct.pack(">H", len(infos)), *infos),
        full_box(b"iref", *refers),
        box(
            b"iprp",
            box(b"ipco", *properties),
            full_box(b"ipma", struct.pack(">I", len(of_items)), associations),
        ),
    )
    return box(b"ftyp", b"heic\0\0\0\0mif1heic") + meta + box(b"mdat", b"abc") + behind


CLAP = box(b"clap", struct.pack(">IIIIIIII", 80, 1, 90, 2, 0, 1, 0, 1))
IROT = box(b"irot", b"\1")
NCLX = box(b"colr", b"nclx", struct.pack(">HHHB", 12, 16, 6, 0x80))


def test_codec_size_and_colours():
    data = heif({1: b"hvc1"}, [ispe(100, 60), CLAP, IROT, NCLX], {1: [1, 0x82, 0x83, 4]})
    picture = heif_boxes.primary(data)
    assert picture.stored_pixels == 6000
    assert picture.codec == "hvc1"
    assert picture.cicp == (12, 16)


def test_grid_has_the_codec_of_its_tiles():
    data = heif(
        {1: b"grid", 2: b"av01", 3: b"av01", 4: b"av01", 5: b"hvc1"},
        [ispe(100, 60), ispe(64, 64), ispe(400, 200)],
        {1: [1], 2: [2], 3: [2], 4: [2], 5: [3]},
        [(b"dimg", 1, [2, 3]), (b"auxl", 4, [1]), (b"prem", 1, [4])],
    )
    picture = heif_boxes.primary(data)
    assert (picture.codec, picture.stored_pixels) == ("av01", 80_000)
    assert picture.premultiplied


def test_tiles_larger_than_the_grid_count_for_memory():
    data = heif({1: b"grid", 2: b"hvc1"}, [ispe(9, 9), ispe(30_000, 30_000)], {1: [1], 2: [2]},
                [(b"dimg", 1, [2])])  # fmt: skip
    assert heif_boxes.primary(data).stored_pixels == 900_000_000


def test_files_without_still_pictures():
    assert heif_boxes.primary(box(b"ftyp", b"heic\0\0\0\0mif1heic")).codec == ""
    assert heif_boxes.is_heif(box(b"ftyp", b"msf1\0\0\0\0heis"))
    assert heif_boxes.is_heif(box(b"ftyp", b"MiHB\0\0\0\0heic"))
    assert not heif_boxes.is_heif(box(b"ftyp", b"mp42\0\0\0\0isom"))


def test_trailer_of_a_maker_is_not_minded():
    data = heif({1: b"hvc1"}, [ispe(100, 60)], {1: [1]}, behind=b"SEFT, no box at all")
    assert heif_boxes.primary(data).codec == "hvc1"


def test_damage_is_an_error_of_value_or_passed_over():
    data = heif({1: b"hvc1"}, [ispe(100, 60), CLAP, IROT, NCLX], {1: [1, 2, 3, 4]})
    with pytest.raises(ValueError, match="box"):
        heif_boxes.primary(data[:150])
    random = np.random.default_rng(0)
    for _ in range(2000):
        changed = bytearray(data)
        for position in random.integers(24, len(data), 3):
            changed[position] = random.integers(256)
        try:
            heif_boxes.primary(bytes(changed))
        except ValueError:
            continue
