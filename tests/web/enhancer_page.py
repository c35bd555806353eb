"""The page of `web/`, built, served on loopback as `python -m http.server` does, and driven."""

import contextlib
import dataclasses
import fcntl
import functools
import http.server
import json
import pathlib
import shutil
import subprocess
import threading
from collections.abc import Iterator
from typing import Any

import browser as chromium
import pytest
import tiny

from dped_jax import checkpoint
from dped_jax.export import files, metadata, onnx_files
from dped_jax.models.generator import make_generator

WEB = tiny.ROOT / "web"
CELL = [64, 96]  # rows and columns, so that small photographs need many windows
SECONDS = 60_000  # of patience, in milliseconds: machines may be busy


def install() -> None:
    """Installs the page's packages as locked; skips the test where that is not possible."""
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("needs Node and npm: the page was not built")
    stamp, lock = WEB / "node_modules" / "installed", (WEB / "package-lock.json").read_text()
    with open(WEB / "package-lock.json", "rb") as one_at_a_time:
        fcntl.flock(one_at_a_time, fcntl.LOCK_EX)  # every process of the tests comes here
        if stamp.is_file() and stamp.read_text() == lock:
            return
        argv = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
        result = subprocess.run(argv, cwd=WEB, capture_output=True, text=True, check=False)
        if result.returncode and "network" in result.stderr:
            pytest.skip("npm reaches no registry: the page was not built")
        assert result.returncode == 0, result.stderr
        stamp.write_text(lock)


def export(
    workdir: pathlib.Path, output: pathlib.Path, *, stages: bool, pixels: str, half: bool = False
) -> pathlib.Path:
    """Exports a workdir to ONNX, as the command does."""
    config, variables, step = checkpoint.load_generator(workdir, "best")
    network = make_generator(config)
    told = metadata.describe(workdir, config, step, network)
    told |= {"pixels": pixels, "weights": "float16" if half else "float32"}
    write = onnx_files.stages if stages else onnx_files.whole
    files.write(output, write(network, variables, pixels, half, told))
    return output


def build(model: pathlib.Path, output: pathlib.Path) -> subprocess.CompletedProcess:
    """Builds the page as `make web` does."""
    install()
    argv = ["node", "build.mjs", f"--model={model}", f"--output={output}"]
    return subprocess.run(argv, cwd=WEB, capture_output=True, text=True, check=False)


def small_cells(folder: pathlib.Path) -> None:
    """Makes a built page compute in small windows."""
    file = folder / "model.json"
    model = json.loads(file.read_text())
    file.write_text(json.dumps(model | {"side": CELL}))


@dataclasses.dataclass
class Server:
    """Where the page is, and the requests that came, as "METHOD /path"."""

    url: str
    requests: list[str]


@contextlib.contextmanager
def served(folder: pathlib.Path) -> Iterator[Server]:
    """Serves a folder without headers of its own."""
    requests: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_request(self, *args: Any) -> None:
            requests.append(f"{self.command} {self.path}")

        def log_message(self, *args: Any) -> None:
            pass

    handler = functools.partial(Handler, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield Server(f"http://127.0.0.1:{server.server_port}/", requests)
    finally:  # a thread that goes on would keep the tests from ending
        server.shutdown()
        thread.join()
        server.server_close()


def wait_until_ready(page: Any) -> None:
    """Waits for the model; the page may load itself once more before."""
    page.wait_for_selector("html[data-ready=model]", state="attached", timeout=SECONDS)


def open_photos(page: Any, *files: pathlib.Path) -> None:
    page.set_input_files("#file", [str(file) for file in files])


def wait_until_enhanced(page: Any) -> None:
    """Waits until all photographs are done, and the one that is chosen is shown."""
    page.wait_for_selector("#editor:not([hidden])", timeout=SECONDS)
    page.wait_for_selector("#list small.pending", state="detached", timeout=SECONDS)
    page.wait_for_selector("#save:enabled", timeout=SECONDS)
    page.wait_for_selector("#viewer.compared", timeout=SECONDS)


def save(page: Any, folder: pathlib.Path, kind: str | None = None) -> pathlib.Path:
    """Saves the photograph that is shown; returns the file."""
    if kind:
        page.select_option("#format", kind)
    with page.expect_download(timeout=SECONDS) as download:
        page.click("#save")
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


@contextlib.contextmanager
def opened(browser: Any, server: Server, viewport: dict[str, int] = chromium.DESKTOP, **options):
    """The page, with its model loaded."""
    with chromium.opened(browser, server.url, viewport, **options) as page:
        wait_until_ready(page)
        yield page
