"""The command dped_jax.export: what it writes and says, and how bad input ends."""

import importlib.metadata
import json
import re
import subprocess
import sys

import onnx
import pytest
import random_networks
import tiny

from dped_jax.base.errors import InputError
from dped_jax.export import files


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """A U-Net."""
    config, _, variables = random_networks.make("unet")
    config.unlock()
    config.data.data_dir = "/secret/place"
    return tiny.write_model(tmp_path_factory.mktemp("model") / "unet", config, variables)


def export(workdir, output, *args, format_name="onnx"):
    given = (f"--workdir={workdir}", f"--output={output}", f"--format={format_name}", *args)
    return tiny.command("dped_jax.export", *given)


def test_a_file_tells_what_it_is_and_is_checked(workdir, tmp_path):
    scores = {"protocol": "pirm", "images": 3}
    scores["enhanced"] = {"psnr": 22.5, "ms_ssim": 0.9, "ssim": 0.8, "identical_pairs": 0}
    (tmp_path / "scores.json").write_text(json.dumps(scores))
    output = tmp_path / "f.onnx"
    told = ("--half", "--check", "--license=CC BY 4.0", f"--scores={tmp_path}/scores.json")
    result = export(workdir, output, *told)
    assert result.returncode == 0, result.stderr
    difference = re.search(r"largest difference (\S+)$", result.stdout.strip())
    assert 0 < float(difference[1]) < 1e-3
    props = {prop.key: prop.value for prop in onnx.load(output).metadata_props}
    assert "/secret" not in str(props)
    assert json.loads(props["config"])["generator"]["architecture"] == "unet"
    assert json.loads(props["scores"]) == scores
    plain = {"architecture": "unet", "step": "0", "weights": "float16", "pixels": "float32"}
    plain |= {"license": "CC BY 4.0", "stride": "8", "margin": "24", "statistics": "1"}
    assert plain.items() <= props.items()


def test_stages_are_a_folder_and_are_checked(workdir, tmp_path):
    result = export(workdir, tmp_path / "made", "--stages", "--pixels=uint8", "--check")
    assert result.returncode == 0, result.stderr
    share = re.search(r"(\S+)% of values differ, at most by [01] of 255$", result.stdout.strip())
    assert float(share[1]) <= 0.01
    names = {"stages.json", "stage0.onnx", "stage1.onnx"}
    assert {path.name for path in (tmp_path / "made").iterdir()} == names
    manifest = json.loads((tmp_path / "made" / "stages.json").read_text())
    assert manifest["format"] == "dped_jax stages"
    assert manifest["pixels"] == "uint8"
    assert [stage["measures"] for stage in manifest["stages"]] == ["statistics0", None]


def test_an_output_that_exists_is_left_alone(workdir, tmp_path):
    output = tmp_path / "f.onnx"
    output.write_text("mine")
    tiny.assert_one_line_error(export(workdir, output), f"--output={output}", "exists already")
    assert output.read_text() == "mine"


def test_a_workdir_without_a_generator(tmp_path):
    result = export(tmp_path / "none", tmp_path / "f.onnx")
    tiny.assert_one_line_error(result, "none/config.json", "dped_jax.train")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("format_name", "flag", "words"),
    [
        ("litert", "--stages", ["--stages", "--format=onnx"]),
        ("coreml", "--size=12", ["--size=12", "WIDTHxHEIGHT"]),
        ("coreml", "--check", ["--check", "Apple"]),
    ],
)
def test_flags_that_do_not_go_together(workdir, tmp_path, format_name, flag, words):
    result = export(workdir, tmp_path / "f", flag, format_name=format_name)
    tiny.assert_one_line_error(result, *words)
    assert list(tmp_path.iterdir()) == []


def test_a_library_that_is_absent_or_old(monkeypatch):
    files.check_libraries("onnx", check=True)
    found = dict(importlib.metadata.packages_distributions())
    monkeypatch.setattr(importlib.metadata, "version", lambda package: "1.16.2")
    with pytest.raises(InputError, match=r"needs onnx>=1.23, not 1.16.2: pip install 'onnx>=1.23'"):
        files.check_libraries("onnx", check=False)
    monkeypatch.setattr(importlib.metadata, "packages_distributions", lambda: found)
    del found["onnx"]
    with pytest.raises(InputError, match=r"needs onnx, which is absent: pip install 'onnx>=1.23'"):
        files.check_libraries("onnx", check=False)
    files.check_libraries("stablehlo", check=True)


def test_other_formats_do_without_onnx():
    code = """if True:
        import sys
        sys.modules["onnx"] = None  # as where it is absent
        import dped_jax.export.__main__, dped_jax.export.check, dped_jax.export.stablehlo
        import dped_jax.export.litert, dped_jax.export.coreml
        """
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_folder_that_cannot_be_written_whole_is_not_there(tmp_path):
    with pytest.raises(TypeError):
        files.write(tmp_path / "made", {"a/b": b"1", "c": None})
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match="no folder"):
        files.check_output(tmp_path / "no" / "f.onnx")
