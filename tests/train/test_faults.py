"""Each fault that docs/scale.md lists is tried."""

import re

import tiny


def test_each_fault_of_the_page_names_its_test():
    table = (tiny.ROOT / "docs" / "scale.md").read_text().partition("## Faults")[2]
    rows = [line for line in table.splitlines() if line.startswith("| ")][1:]
    sources = "".join(file.read_text() for file in (tiny.ROOT / "tests").rglob("test_*.py"))
    assert len(rows) > 20
    for row in rows:
        (name,) = re.findall(r"\| `(test_\w+)` \|$", row)
        assert f"def {name}(" in sources, row
