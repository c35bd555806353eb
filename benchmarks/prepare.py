"""What `prepare` delivers at the sizes of real cameras; part of `make bench`.

    python benchmarks/prepare.py

Photos are simulated from what scikit-image ships, enlarged to the cameras' sizes, with noise. Each
row is a run of its own over all pairs; the first seconds of starting processes are part of it.
"""

import argparse
import json
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]
# (name, width and height of the phone's photos, of the DSLR's, number of pairs)
SIZES = (
    ("12 MP and 9 MP", (4000, 3000), (3648, 2432), 12),
    ("0.5 MP and 1 MP", (840, 600), (1218, 870), 32),
)


def write_pairs(root: pathlib.Path, phone_size, dslr_size, num_pairs: int) -> None:
    """Writes JPEG photos of both cameras, from two viewpoints."""
    import cv2
    import numpy as np
    import skimage.data

    from data_builders.dped.simulate import viewpoints

    photographs = [skimage.data.astronaut(), skimage.data.stereo_motorcycle()[0]]
    for camera in ("phone", "dslr"):
        (root / camera).mkdir(parents=True)
    for i in range(num_pairs):
        rng = np.random.default_rng(i)
        photograph = photographs[i % 2]
        for camera, size in (("phone", phone_size), ("dslr", dslr_size)):
            stance = viewpoints.Stance(rotation=3.0, perspective=0.05, step=(1.0, 1.1))
            shot = viewpoints.frame_shot(photograph.shape[1::-1], stance, 0.002, rng)
            photo = cv2.resize(viewpoints.take_shot(photograph, shot), size, interpolation=3)
            tile = np.float32(rng.normal(0, 4, (256, 256, 3)))
            rows, columns = (np.arange(length) % 256 for length in size[::-1])
            photo = photo + tile[rows[:, None], columns]
            cv2.imwrite(str(root / camera / f"{i}.jpg"), np.uint8(np.clip(photo, 0, 255)))


def run_once(folder: str, output: str, processes: int) -> dict[str, float]:
    """Prepares a folder in this process's children."""
    from data_builders.dped.prepare import folders, parallel

    def run(function, tasks, doing):
        parallel.run_processes(function, tasks, processes=processes, description=doing)

    start = time.perf_counter()
    result = folders.prepare(
        phone_dir=f"{folder}/phone", dslr_dir=f"{folder}/dslr", output_dir=output, run=run
    )
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e9
    rejected = len(result.summary.rejected)
    return {"pairs_per_second": result.pairs / seconds, "peak_gb": peak, "rejected": rejected}


def print_prepare() -> None:
    """Prints the table."""
    print("\nPrepare, raw photo pairs to patches")
    print("photos            processes  pairs/s  peak GB a worker  rejected", flush=True)
    for name, phone_size, dslr_size, num_pairs in SIZES:
        with tempfile.TemporaryDirectory() as root:
            write_pairs(pathlib.Path(root), phone_size, dslr_size, num_pairs)
            for processes in (1, 2):
                arguments = ["--one", root, f"--processes={processes}"]
                result = subprocess.run(
                    [sys.executable, __file__, *arguments],
                    capture_output=True, text=True, check=False,
                )  # fmt: skip
                if result.returncode:
                    sys.exit(result.stderr)
                row = json.loads(result.stdout.splitlines()[-1])
                print(
                    f"{name:<18}{processes:>9}{row['pairs_per_second']:>9.2f}"
                    f"{row['peak_gb']:>18.2f}{row['rejected']:>10.0f}",
                    flush=True,
                )


def main() -> None:
    """Prints the table, or runs one row in this process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one", help="folder of photos")
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args()
    if options.one:
        output = f"{options.one}/out{options.processes}"
        print(json.dumps(run_once(options.one, output, options.processes)))
        return
    print_prepare()


if __name__ == "__main__":
    main()
