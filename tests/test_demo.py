"""The commands of `make demo`, in its order, with two training steps."""

import re
import shlex

import tiny


def test_the_demo_goes_from_photographs_to_a_report(tmp_path):
    makefile = (tiny.ROOT / "Makefile").read_text()
    recipe = makefile.split("\ndemo:")[1].split("\n\n")[0].replace("\\\n", " ")
    lines = [
        line.strip()
        for line in recipe.splitlines()
        if re.search(r"-m (dped_jax|data_builders)", line)
    ]
    modules = [re.search(r"-m (\S+)", line).group(1).rsplit(".", 1)[1] for line in lines]
    assert modules == [
        *("simulate", "prepare", "build", "train", "evaluate", "enhance", "export", "report")
    ]
    for line in lines:
        _, _, module, *flags = shlex.split(line.replace("$(DEMO)", str(tmp_path / "demo")))
        if module == "dped_jax.train":
            flags += ["--config.train.num_steps=2", "--config.train.batch_size=4"]
        result = tiny.command(module, *flags)
        assert result.returncode == 0, result.stderr
        if module.endswith("simulate"):
            assert "SIMULATED" in result.stdout
    assert (tmp_path / "demo" / "stages" / "stages.json").is_file()
    last = result.stdout.splitlines()[-1]
    assert re.match(r"PSNR of the test patches: input 2[34]\.\d\d dB, enhanced \d+\.\d\d dB", last)
    page = (tmp_path / "demo" / "report.html").read_text()
    assert "SIMULATED" in page
