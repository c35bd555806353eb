"""Order, sharding, flips and position of the batches; and what a missing dataset says."""

import shutil

import numpy as np
import pytest

from dped_jax import input_pipeline
from dped_jax.base.errors import InputError


def draw(config, num, position=None, **kwargs):
    batches = input_pipeline.train_batches(config, **kwargs)
    if position is not None:
        batches.set_state(position)
    return [next(batches) for _ in range(num)], batches.get_state()


def assert_equal(a, b):
    for x, y in zip(a, b, strict=True):
        for name in ("phone", "dslr"):
            np.testing.assert_array_equal(x[name], y[name])


def test_batches_depend_on_the_seed_alone(tiny_config):
    first, _ = draw(tiny_config, 5)
    again, _ = draw(tiny_config, 5)
    assert_equal(first, again)
    assert first[0]["phone"].shape == (4, 100, 100, 3)
    assert first[0]["phone"].dtype == np.uint8
    tiny_config.seed = 1
    other, _ = draw(tiny_config, 1)
    assert np.any(other[0]["phone"] != first[0]["phone"])


def test_every_epoch_has_every_pair_once_in_another_order(tiny_config):
    tiny_config.train.batch_size = 7  # of 14 pairs
    batches, _ = draw(tiny_config, 4)
    epochs = [
        [batch["dslr"][i].tobytes() for batch in batches[e : e + 2] for i in range(7)]
        for e in (0, 2)
    ]
    assert len(set(epochs[0])) == 14
    assert set(epochs[0]) == set(epochs[1])
    assert epochs[0] != epochs[1]


@pytest.mark.parametrize("flip", [False, True])
def test_processes_get_the_parts_of_the_same_global_batches(tiny_config, flip):
    tiny_config.data.flip = flip
    whole, _ = draw(tiny_config, 3)
    parts = [draw(tiny_config, 3, process_index=p, process_count=2)[0] for p in range(2)]
    for k in range(3):
        for name in ("phone", "dslr"):
            joined = np.concatenate([parts[p][k][name] for p in range(2)])
            np.testing.assert_array_equal(joined, whole[k][name])


def test_the_position_can_be_set(tiny_config):
    tiny_config.data.flip = True
    whole, _ = draw(tiny_config, 6)
    _, position = draw(tiny_config, 4)
    rest, _ = draw(tiny_config, 2, position)
    assert_equal(rest, whole[4:])


def test_flips_are_the_same_for_both_images_of_a_pair():
    images = np.arange(4 * 2 * 3 * 3, dtype=np.uint8).reshape(4, 2, 3, 3)
    flips = np.array([[0, 0], [1, 0], [0, 1], [1, 1]], bool)
    flipped = input_pipeline.random_flips({"phone": images, "dslr": images + 1}, flips)
    expected = [images[0], images[1, ::-1], images[2, :, ::-1], images[3, ::-1, ::-1]]
    np.testing.assert_array_equal(flipped["phone"], expected)
    np.testing.assert_array_equal(flipped["dslr"], np.array(expected) + 1)


def test_flips_and_transposes_make_the_eight_symmetries_of_a_square(tiny_config):
    tiny_config.data.flip = tiny_config.data.transpose = True
    batches, _ = draw(tiny_config, 30)
    plain = input_pipeline.open_split(tiny_config.data.data_dir, "custom", "train")
    plain = input_pipeline.load_pairs(plain, range(len(plain)))
    symmetries = [
        (
            k,
            flipped,
            {n: np.rot90(x[:, ::-1] if flipped else x, k, (1, 2)) for n, x in plain.items()},
        )
        for k in range(4)
        for flipped in (False, True)
    ]
    seen = set()
    for batch in batches:
        for phone, dslr in zip(batch["phone"], batch["dslr"], strict=True):
            same = {
                (k, flipped)
                for k, flipped, images in symmetries
                if any(
                    np.array_equal(phone, a) and np.array_equal(dslr, b)
                    for a, b in zip(images["phone"], images["dslr"], strict=True)
                )
            }
            assert len(same) == 1
            seen |= same
    assert len(seen) == 8


def test_gains_are_the_same_for_both_images_of_a_pair(tiny_config):
    images = np.array([[[[100, 3, 200]]], [[[50, 7, 0]]]], np.uint8)
    gains = np.array([[1.5, 0.5, 1.5], [1.0, 2.0, 3.0]], np.float32)
    changed = input_pipeline.random_gains({"phone": images, "dslr": images // 2}, gains)
    np.testing.assert_array_equal(changed["phone"].reshape(2, 3), [[150, 2, 255], [50, 14, 0]])
    np.testing.assert_array_equal(changed["dslr"].reshape(2, 3), [[75, 0, 150], [25, 6, 0]])
    plain, _ = draw(tiny_config, 20)
    tiny_config.data.update({"gain": 0.1, "channel_gain": 0.05})
    changed, _ = draw(tiny_config, 20)
    ratios = [
        [np.float64(batch["dslr"]).mean((1, 2)) for batch in batches]
        for batches in (changed, plain)
    ]
    logs = np.log(np.divide(*map(np.concatenate, ratios)))  # (80 pairs, 3)
    # Of 80 draws the deviation is known within 8 % (one sigma); clipping at 255 takes some of it.
    assert 0.07 < logs.mean(axis=1).std() < 0.13
    assert 0.03 < (logs - logs.mean(axis=1, keepdims=True)).std() < 0.06  # 0.05 * sqrt(2/3)


def test_crops_are_at_the_same_place_of_both_images(tiny_config):
    images = np.arange(2 * 5 * 6 * 3).reshape(2, 5, 6, 3)
    corners = np.array([[0, 0], [1, 1]])
    cropped = input_pipeline.random_crops({"phone": images, "dslr": images + 1}, corners, 4)
    expected = [images[0, :4, :4], images[1, 1:5, 1:5]]
    np.testing.assert_array_equal(cropped["phone"], expected)
    np.testing.assert_array_equal(cropped["dslr"], np.array(expected) + 1)
    tiny_config.data.crop = 30
    batches, _ = draw(tiny_config, 2)
    assert batches[0]["dslr"].shape == (4, 30, 30, 3)


def test_stored_patches_are_read_as_they_are(shared_data, tmp_path, tiny_config):
    import tiny
    from real_images import read_patches

    folder = shared_data / "dped_sony"
    result = tiny.command(
        "data_builders.dped.build",
        f"--phone_dir={folder / 'sony'}",
        f"--dslr_dir={folder / 'canon'}",
        "--phone=custom",
        "--test_pairs=1",
        "--validation_pairs=1",
        f"--data_dir={tmp_path}",
    )
    assert result.returncode == 0, result.stderr
    tiny_config.data.data_dir = str(tmp_path)
    source = input_pipeline.open_split(tiny_config.data.data_dir, "custom", "train")
    pairs = input_pipeline.load_pairs(source, [1, 0])
    np.testing.assert_array_equal(pairs["phone"], read_patches(folder / "sony", [1, 0], ".png"))
    np.testing.assert_array_equal(pairs["dslr"], read_patches(folder / "canon", [1, 0], ".png"))
    assert [len(b["dslr"]) for b in input_pipeline.eval_batches(source, 2)] == [2]


def test_a_dataset_of_another_version_is_refused(tiny_config, tiny_data, tmp_path):
    (made,) = (tiny_data / "dped/custom").iterdir()
    tiny_config.data.data_dir = str(tmp_path)
    shutil.copytree(made, tmp_path / "dped/custom/1.0.0")
    with pytest.raises(InputError, match=r"of version 1\.0\.0, not .*: build it with"):
        input_pipeline.open_split(tiny_config.data.data_dir, "custom", "train")
    # Beside one of the right version it does no harm.
    shutil.copytree(made, tmp_path / "dped/custom" / made.name)
    shutil.copytree(made, tmp_path / "dped/custom/9.0.0")
    assert len(input_pipeline.open_split(tiny_config.data.data_dir, "custom", "train")) == 14


def test_what_is_missing_is_named(tiny_config, tmp_path):
    with pytest.raises(InputError, match="no nosuch split"):
        input_pipeline.open_split(tiny_config.data.data_dir, "custom", "nosuch")
    tiny_config.data.data_dir = str(tmp_path)
    with pytest.raises(InputError, match=r"data_dir: no dataset in .*custom"):
        input_pipeline.open_split(tiny_config.data.data_dir, "custom", "train")
