"""Part of `make bench`: what the page of `web/` takes for a photograph, and how exact it is.

    python benchmarks/web.py [--workdir=W] [--megapixels=12] [--rounds=3]

WebAssembly with as many threads as the process may use cores. Time is the page's own, from opening
the file to the enhanced JPEG; memory is the peak of the tab's process (VmHWM). The same photograph
goes through `dped_jax.enhance`, and both results are compared as PNG. Without a workdir the network
is that of `mobile.py` with `generator.width=12` and random weights.
"""

import argparse
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "web")]


def make_workdir(folder: pathlib.Path) -> pathlib.Path:
    """A workdir of the small network, with random weights."""
    import tiny

    from configs import mobile

    config = mobile.get_config()
    config.generator.width = 12
    _, variables = tiny.random_generator(**config.generator.to_dict())
    return tiny.write_model(folder, config, variables)


def peak_memory(browser) -> int:
    """Largest VmHWM of the tabs' processes, in bytes."""
    session = browser.new_browser_cdp_session()
    processes = session.send("SystemInfo.getProcessInfo")["processInfo"]
    peaks = []
    for process in processes:
        if process["type"] == "renderer":
            status = pathlib.Path(f"/proc/{process['id']}/status").read_text()
            peaks.append(1024 * int(re.search(r"VmHWM:\s+(\d+)", status).group(1)))
    return max(peaks)


def compare(page_file: pathlib.Path, file: pathlib.Path) -> str:
    """How many 8-bit values of two PNG files differ."""
    import cv2
    import numpy as np

    a, b = (cv2.imread(str(path)).astype(np.int16) for path in (page_file, file))
    difference = np.abs(a - b)
    one, more = (difference == 1).mean(), (difference > 1).mean()
    return f"{one:.4%} of the values differ by one level, {more:.4%} by more"


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", type=pathlib.Path)
    parser.add_argument("--megapixels", type=float, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()

    import browser as chromium
    import enhancer_page
    from enhance import make_photo

    enhancer_page.install()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        workdir = args.workdir or make_workdir(folder / "model")
        photo, expected = folder / "photo.jpg", folder / "enhanced.png"
        make_photo(photo, args.megapixels)
        export = [f"--workdir={workdir}", f"--output={folder}/stages", "--pixels=uint8"]
        export += ["--format=onnx", "--stages"]
        enhance = [f"--workdir={workdir}", f"--input={photo}", f"--output={expected}"]
        for module, flags in (("export", export), ("enhance", enhance)):
            argv = [sys.executable, "-m", f"dped_jax.{module}", *flags]
            subprocess.run(argv, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        built = enhancer_page.build(folder / "stages", folder / "page")
        assert built.returncode == 0, built.stderr
        seconds, place = [], ""
        with enhancer_page.served(folder / "page") as server, chromium.launched() as browser:
            for _ in range(args.rounds):
                with enhancer_page.opened(browser, server) as page:
                    enhancer_page.open_photos(page, photo)
                    enhancer_page.wait_until_enhanced(page)
                    facts, place = page.text_content("#facts"), page.text_content("#place")
                    seconds.append(float(re.search(r"took ([\d.]+) s", facts).group(1)))
                    memory = peak_memory(browser)
            with enhancer_page.opened(browser, server) as page:
                page.select_option("#format", "image/png", force=True)
                enhancer_page.open_photos(page, photo)
                enhancer_page.wait_until_enhanced(page)
                saved = enhancer_page.save(page, folder)
        print(f"\nThe page, {args.megapixels:g} megapixels, {len(os.sched_getaffinity(0))} cores")
        print(place)
        print(f"{statistics.median(seconds):.1f} s (of {args.rounds}: {sorted(seconds)})")
        print(f"the tab's peak memory: {memory / 1e6:.0f} MB")
        print(compare(saved, expected))


if __name__ == "__main__":
    main()
