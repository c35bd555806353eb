"""What each command does not take, as docs/pictures.md says."""

# Words of `Kind.features` by command; everything else must be read.
MAY_REFUSE: dict[str, frozenset[str]] = {
    "enhance": frozenset(),
    "prepare": frozenset({"gray", "alpha", "deep"}),
    "evaluate": frozenset(),
    "build": frozenset(
        {"gray", "alpha", "deep", "turned", "profile", "cmyk", "palette"}
        | {"tiff", "webp", "heic", "avif", "camera raw", "others"}
    ),
}
# The same of `features` in shared/data/camera_files/expected.json; "small" is smaller than a patch.
MAY_REFUSE_SHARED: dict[str, frozenset[str]] = {
    "enhance": frozenset({"pq"}),
    "prepare": frozenset({"gray", "alpha", "deep", "small", "pq"}),
    "evaluate": frozenset({"pq"}),
    "build": frozenset({"any"}),
}
