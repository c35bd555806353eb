"""The table of docs/pictures.md: what each command makes of each kind of file.

    PYTHONPATH=.:tests python tests/camera_files/table.py

reads the made-up files in each command's way and writes the table into the page.
"""

import pathlib
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence

from camera_files import Kind, all_kinds, judge
from camera_files.limits import MAY_REFUSE
from camera_files.reading import ROOT, WAYS, Outcome, read_all

PAGE = ROOT / "docs/pictures.md"
START, END = "<!-- table: tests/camera_files/table.py -->\n", "<!-- end of table -->\n"
WRONG = "WRONG"
# What a refusal says, and how the table says it; the first that fits.
REASONS = {
    r"\d+ ?x ?\d+ pixels, not": "only of 100 x 100 pixels",
    r"not a JPEG or PNG": "only JPEG and PNG",
    r"other colours": "not stored as upright sRGB",
    r"alpha": "has alpha",
    r"gray": "grayscale",
    r"palette": "has a palette",
    r"CMYK": "CMYK without a profile",
    r"float": "floating-point values",
    r"PQ|HLG|HDR": "HDR",
    r"\d+ bits|16-bit": "more than 8 bits",
    r"raw": "raw data missing",
    r"profile|sRGB|P3": "not sRGB",
    r"cut short|damaged|truncated": "damaged",
    r"empty": "empty",
}


def happening(way: str, kind: Kind, outcome: Outcome) -> str:
    """What a command makes of a file, in a few words."""
    if outcome.got is None:
        return f"{WRONG}: {outcome.failure.splitlines()[0]}"
    problem = judge(kind, outcome.got, MAY_REFUSE[way])
    if problem:
        return f"{WRONG}: {problem}"
    if not isinstance(outcome.got, str):
        alpha = "alpha left out" if way == "evaluate" else "alpha kept"
        return kind.result.replace("alpha kept", alpha)
    words = (said for said in REASONS if re.search(said, outcome.got.split(": ", 1)[-1], re.I))
    reason = REASONS.get(next(words, ""), "")
    return f"refused: {reason}" if reason else "refused"


def table(
    kinds: Sequence[Kind], patches: Sequence[Kind], outcomes: Mapping[tuple[str, str], Outcome]
) -> str:
    """The table in Markdown, a row for every format and property of the files."""
    sized = {kind.name: kind for kind in patches}
    rows: dict[tuple[str, str], dict[str, list[str]]] = {}
    for kind in kinds:
        row = rows.setdefault((kind.format, kind.special), {way: [] for way in WAYS})
        for way, cell in row.items():
            read = sized[kind.name] if way == "build" else kind
            done = happening(way, read, outcomes[way, kind.name])
            if done not in cell:
                cell.append(done)
    lines = [f"| format | property | {' | '.join(f'`{way}`' for way in WAYS)} |"]
    lines += ["|" + " --- |" * (2 + len(WAYS))]
    for (name, special), row in rows.items():
        cells = [name, special, *("; ".join(cell) for cell in row.values())]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def with_table(page: str, lines: str) -> str:
    """The page with another table in it."""
    before, _, rest = page.partition(START)
    return before + START + lines + END + rest.partition(END)[2]


def main() -> None:
    """Writes the table of what the commands do now."""
    with tempfile.TemporaryDirectory() as folder:
        root, outcomes, listed = pathlib.Path(folder), {}, []
        for name, size, ways in (
            ("all", (104, 128), tuple(WAYS)[:-1]),
            ("sized", (100, 100), ("build",)),
        ):
            kinds = all_kinds(*size)
            (root / name).mkdir()
            for kind in kinds:
                (root / name / kind.name).write_bytes(kind.data)
            outcomes |= read_all(root / name, root / f"{name} results", ways)
            listed.append(kinds)
    lines = table(*listed, outcomes)
    if wrong := [line for line in lines.splitlines() if WRONG in line]:
        sys.exit("\n".join(["Not written, for this is wrong:", *wrong]))
    PAGE.write_text(with_table(PAGE.read_text(), lines))


if __name__ == "__main__":
    main()
