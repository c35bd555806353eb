"""Where things lie in the layout of the published archive, below a phone's folder; what commands
are called.
"""

PATCH_SIZE = 100  # section 3.2.1
# Of each phone, which is a config of the builder: folders of the phone's and the DSLR's patches.
CAMERA_FOLDERS: dict[str, tuple[str, str]] = {
    "iphone": ("iphone", "canon"),
    "blackberry": ("blackberry", "canon"),
    "sony": ("sony", "canon"),
    "custom": ("phone", "dslr"),
}
SPLIT_FOLDERS = {
    "train": "training_data",
    "validation": "validation_data/patches",
    "test": "test_data/patches",
}
WHOLE_PHOTOS = "test_data/full_size_test_images"
ALIGNED_PHOTOS = "aligned"  # with --keep_aligned of `prepare`: a folder of each split and camera
MANIFEST_FILE = "manifest.csv"
RAW_DEVELOPMENT_FILE = "raw_development.txt"  # beside it, where `prepare` was given camera raw
INCOMPLETE_FILE = "INCOMPLETE"  # beside it while `prepare` writes to an object store


def command_line(name: str) -> str:
    """How a command of this folder is called, which may lie inside another package."""
    return f"python -m {__package__}.{name}"
