"""JSON with its own checksum among its fields, `crc32`: a flipped digit is noticed."""

import json
import zlib
from typing import Any


def seal(fields: dict[str, Any]) -> dict[str, Any]:
    """Fields as JSON has them, with their checksum."""
    fields = {name: value for name, value in fields.items() if name != "crc32"}
    return fields | {"crc32": zlib.crc32(json.dumps(fields, sort_keys=True).encode())}


def unseal(text: str) -> dict[str, Any]:
    """The fields of a text; one that was written before there were checksums has none.

    Raises:
      ValueError: the text is damaged.
    """
    fields = json.loads(text)
    if not isinstance(fields, dict) or ("crc32" in fields and fields != seal(fields)):
        raise ValueError("it does not have its checksum (crc32)")
    fields.pop("crc32", None)
    return fields


def with_tuples(value: Any) -> Any:
    """What JSON has made lists, as tuples again, which is what configurations have."""
    if isinstance(value, dict):
        return {name: with_tuples(item) for name, item in value.items()}
    return tuple(map(with_tuples, value)) if isinstance(value, list) else value
