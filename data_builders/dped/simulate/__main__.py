"""Simulates pairs of phone and DSLR photos from ordinary photographs: a demo without downloads.

    python -m data_builders.dped.simulate --output_dir=D

Both cameras photograph a photograph that scikit-image ships, each from a viewpoint of its own: the
DSLR camera almost head-on, the phone turned, shifted, tilted and through a lens that distorts; then
the phone spoils the picture. The pairs are not aligned: that is work for `prepare`. What it ought
to find is written beside them.
"""

import dataclasses
from pathlib import Path

from absl import flags

from dped_jax.base import command
from dped_jax.base.errors import InputError
from dped_jax.base.files import scratch_folder

from ..layout import command_line
from . import photos


def main(argv: list[str]) -> None:
    """Writes the simulated photos and prints what they are, and the next command."""
    del argv
    output_dir = Path(FLAGS.output_dir)
    if output_dir.exists():
        raise InputError(f"--output_dir={output_dir}: is already there: name another or remove it")
    with scratch_folder(output_dir.parent, output_dir.name) as scratch:
        camera, distortion, pairs = photos.write_photos(scratch / "photos", FLAGS.seed, FLAGS.shots)
        (scratch / "photos").rename(output_dir)
    print("SIMULATED cameras: no phone took these pictures. scikit-image's photographs, seen from")
    print(f"two viewpoints, stand for the DSLR camera's and the phone's (seed {FLAGS.seed}):")
    for name, value in {**dataclasses.asdict(camera), "distortion": distortion}.items():
        numbers = value if isinstance(value, tuple) else (value,)
        print(f"  {name:<14}" + " ".join(f"{number:.4g}" for number in numbers))
    print(f"{pairs} pairs in {output_dir}/phone and {output_dir}/dslr, not aligned;")
    print(f"what aligns them is in {output_dir}/{photos.HOMOGRAPHIES_FILE}")
    print(
        f"next: {command_line('prepare')} --phone_dir={output_dir}/phone"
        f" --dslr_dir={output_dir}/dslr --scene_separator=_ --output_dir=PATCHES_DIR"
    )


FLAGS = flags.FLAGS


if __name__ == "__main__":
    flags.DEFINE_string("output_dir", None, "Folder to make.", required=True)
    flags.DEFINE_integer("seed", 0, "Which simulated phone, viewpoints and noise.", lower_bound=0)
    flags.DEFINE_integer("shots", 6, "Pairs taken of each photograph.", lower_bound=1)
    command.run(main)
