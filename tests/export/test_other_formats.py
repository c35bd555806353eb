"""LiteRT, StableHLO and Core ML: against JAX, each in its own runtime where there is one here."""

import json
import logging
import re
import subprocess
import sys
import warnings

import numpy as np
import pytest
import random_networks

from dped_jax.export import check, coreml, files, litert, stablehlo

# An odd size after another: the file is resized.
SHAPES = [(1, 64, 96), (2, 51, 77)]
families = pytest.mark.parametrize("family", ["unet", "instance_norm"])


def largest_difference(run, family: str, pixels: str = "float32") -> float:
    _, network, variables = random_networks.make(family)
    text = check.compare(run, network, variables, pixels, SHAPES)
    return float(text.removeprefix("largest difference "))


@families
def test_litert_takes_a_size_after_another(family, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TensorFlow's own
        _, network, variables = random_networks.make(family)
        content = litert.export(network, variables, "float32", False, {"step": 7})
        (tmp_path / "f.tflite").write_bytes(content)
        assert largest_difference(litert.runner(tmp_path / "f.tflite"), family) <= 1e-4
    assert b'{"step": 7}' in content


@families
def test_stablehlo_is_bitwise_the_same_in_a_process_without_this_package(family, tmp_path):
    _, network, variables = random_networks.make(family)
    contents = stablehlo.export(network, variables, "float32", False, {"step": 7})
    files.write(tmp_path / "made", contents)
    photo = check.photographs((1, 51, 77), "float32")
    np.save(tmp_path / "photo.npy", photo)
    readme = contents["README.md"].decode()
    assert "six months" in readme
    program = [
        "import sys; import numpy as np; photo = np.load('../photo.npy')",
        *re.findall("^    (.*)", readme, re.MULTILINE),
        "np.save('../out', enhanced); assert 'dped_jax' not in sys.modules",
    ]
    argv = [sys.executable, "-c", "\n".join(program)]
    subprocess.run(argv, cwd=tmp_path / "made", check=True, capture_output=True)
    expected = stablehlo.runner(tmp_path / "made")(photo)
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), expected)
    assert largest_difference(stablehlo.runner(tmp_path / "made"), family) <= 1e-5
    assert json.loads(contents["metadata.json"]) == {"step": 7}


def test_core_ml_is_written_and_reads_back(tmp_path):
    logging.getLogger("coremltools").setLevel(logging.ERROR)  # that nothing runs it here
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import coremltools as ct

        _, network, variables = random_networks.make("student")
        contents = coreml.export(network, variables, False, (64, 96), {"step": 7})
        files.write(tmp_path / "f.mlpackage", contents)
        model = ct.models.MLModel(str(tmp_path / "f.mlpackage"), skip_model_load=True)
    (photo,), (enhanced,) = model.input_description, model.output_description
    assert (photo, enhanced) == ("photo", "enhanced")
    shape = model.get_spec().description.input[0].type.multiArrayType.shape
    assert list(shape) == [1, 64, 96, 3]
    assert model.user_defined_metadata["step"] == "7"
