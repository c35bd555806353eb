"""What the steps are fed with: the same batches from the host and on the devices; one step a call
or several, streamed or not: the same training.
"""

import jax
import numpy as np
import pytest
import tiny
from test_train import saved_arrays

from dped_jax import input_pipeline
from dped_jax.base.errors import InputError
from dped_jax.models.layers import DEVICES
from dped_jax.train import feeds
from dped_jax.train.calls import steps_of_call
from dped_jax.train.decoded import PAIR_BYTES, open_decoded
from dped_jax.train.fingerprint import fingerprint
from dped_jax.train.loop import train


@pytest.fixture(scope="module")
def pairs(tiny_data):
    return open_decoded(tiny_data, "custom", fingerprint(tiny_data, "custom"))


def fed(config, feed, devices, drawn):
    """The global batches that a call's steps see, whole, by name: (steps, B, H, W, 3)."""

    def steps(inputs, held):
        return jax.lax.scan(lambda _, x: (None, feed.batch(held, x)), None, inputs)[1]

    mapped = jax.pmap(steps, axis_name=DEVICES, in_axes=(feed.axis, 0), out_axes=1, devices=devices)
    batches = jax.device_get(mapped(feed.place(drawn), feed.held))  # (steps, devices, n, ...)
    return jax.tree.map(lambda x: x.reshape(len(x), -1, *x.shape[3:]), batches)


@pytest.mark.parametrize("num_devices", [1, 4])
@pytest.mark.parametrize("following", ["same", "next"])
@pytest.mark.parametrize(
    "fields", [{}, {"flip": True, "transpose": True, "crop": 33, "gain": 0.3, "channel_gain": 0.2}]
)
def test_both_feeds_give_the_batches_of_the_pipeline(
    tiny_config, pairs, num_devices, following, fields
):
    tiny_config.data.update(fields)
    tiny_config.train.discriminator_batch = following
    devices = jax.devices()[:num_devices]
    batches = input_pipeline.train_batches(tiny_config)
    expected = [next(batches) for _ in range(12)]  # more than three epochs
    draws = input_pipeline.iterate(input_pipeline.train_draws(tiny_config, len(pairs)))
    resident = feeds.PairsOnDevices(tiny_config, devices, pairs)
    streamed = feeds.StreamedBatches(tiny_config, devices)
    found = fed(tiny_config, resident, devices, [next(draws) for _ in range(12)])
    others = fed(tiny_config, streamed, devices, expected)
    assert draws.get_state() == batches.get_state()
    for batch in (found, others):
        per_step = 1
        if following == "next":
            per_step = 2
            following_batch = batch.pop("next")
        for name in ("phone", "dslr"):
            assert batch[name].dtype == np.uint8
            wanted = np.stack([each[name] for each in expected])
            np.testing.assert_array_equal(batch[name], wanted[::per_step])
            if per_step == 2:
                np.testing.assert_array_equal(following_batch[name], wanted[1::2])


def test_each_device_has_an_equal_part_of_the_pairs(tiny_config, pairs):
    devices = jax.devices()[:4]
    held = feeds.PairsOnDevices(tiny_config, devices, pairs).held
    rows = np.concatenate([pairs.rows(0, 14), np.zeros((2, PAIR_BYTES), np.uint8)])
    for shard, device, part in zip(
        held.addressable_shards, devices, rows.reshape(4, 1, 4, -1), strict=True
    ):
        assert shard.device == device
        np.testing.assert_array_equal(shard.data, part)


class FakeDevice:
    platform = "gpu"
    process_index = 0

    def __init__(self, limit):
        self.limit = limit

    def memory_stats(self):
        return {"bytes_limit": self.limit}


def test_where_pairs_are_kept_follows_from_memory(tiny_config, pairs, monkeypatch):
    chosen = []
    monkeypatch.setattr(feeds, "PairsOnDevices", lambda *args: chosen.append("devices"))
    monkeypatch.setattr(feeds, "StreamedBatches", lambda *args: chosen.append("host"))
    part = 7 * PAIR_BYTES  # of 14 pairs on two devices
    for wanted, limit in (
        *(("auto", 2 * part), ("auto", 2 * part - 1)),
        *(("always", part), ("never", 100 * part)),
    ):
        tiny_config.data.on_device = wanted
        feeds.choose_feed(tiny_config, [FakeDevice(limit)] * 2, pairs)
    tiny_config.data.on_device = "auto"
    feeds.choose_feed(tiny_config, jax.devices(), pairs)  # of a host, whose memory it is anyway
    feeds.choose_feed(tiny_config, [FakeDevice(100 * part)], None)
    assert chosen == ["devices", "host", "devices", "host", "host", "host"]
    tiny_config.data.on_device = "always"
    with pytest.raises(InputError, match=r"always: 0\.0 GB of pairs a device, which has 0\.0 GB"):
        feeds.choose_feed(tiny_config, [FakeDevice(part - 1)] * 2, pairs)
    with pytest.raises(InputError, match=r"on_device=always: takes the decoded copy"):
        feeds.choose_feed(tiny_config, jax.devices(), None)


def test_calls_end_before_checkpoints(tiny_config):
    tiny_config.train.update(
        {"num_steps": 25, "steps_per_call": 4, "eval_every_steps": 10, "checkpoint_every_steps": 5}
    )
    calls, step = [], 0
    while step < 25:
        calls.append(steps_of_call(tiny_config, step))
        step += calls[-1]
    assert calls == [4, 1] * 5
    assert steps_of_call(tiny_config, 7) == 1  # resumed there
    tiny_config.train.update({"checkpoint_every_steps": 8, "num_steps": 19})
    assert [steps_of_call(tiny_config, step) for step in (0, 4, 8, 12, 16)] == [4, 4, 1, 4, 1]


@pytest.fixture(scope="module")
def plain(tmp_path_factory, tiny_data):
    """20 steps, one a call, streamed and decoded anew: (config, workdir)."""
    config = tiny.tiny_config(tiny_data)
    config.data.flip = True
    config.data.crop = 32
    config.data.decode_once = False
    config.train.discriminator_batch = "next"
    config.train.update({"num_steps": 20, "log_every_steps": 3})
    config.train.update({"eval_every_steps": 20, "checkpoint_every_steps": 10})
    workdir = tmp_path_factory.mktemp("plain") / "w"
    train(config, workdir)
    return config, workdir


def assert_same_training(workdir, expected):
    """Bit for bit: on CPU a call is the same steps one after another."""
    arrays, wanted = saved_arrays(workdir, 20), saved_arrays(expected, 20)
    assert arrays.keys() == wanted.keys()
    for name, array in wanted.items():
        np.testing.assert_array_equal(arrays[name], array, err_msg=name)
    assert tiny.logged(workdir) == tiny.logged(expected)


@pytest.mark.parametrize(
    "fields",
    [
        {"train.steps_per_call": 10, "data.decode_once": True},
        {"train.steps_per_call": 10, "data.decode_once": True, "data.on_device": "always"},
        {"data.decode_once": True, "data.on_device": "always"},
    ],
)
def test_steps_a_call_and_where_pairs_are_do_not_matter(plain, tmp_path, fields):
    config = plain[0].copy_and_resolve_references()
    config.update_from_flattened_dict(fields)
    train(config, tmp_path / "w")
    assert_same_training(tmp_path / "w", plain[1])


@pytest.mark.parametrize("stopped", [6, 8])  # between calls of six steps, and inside of one
def test_what_is_resumed_is_the_same_training(plain, tmp_path, stopped, caplog):
    config = plain[0].copy_and_resolve_references()
    config.update_from_flattened_dict({"data.decode_once": True, "data.on_device": "always"})
    config.train.update({"steps_per_call": 6, "num_steps": stopped})
    config.train.update({"log_every_steps": stopped})
    train(config, tmp_path / "w")
    (tmp_path / "w" / "metrics.jsonl").unlink()
    config.update_from_flattened_dict({"data.on_device": "never"})
    config.train.update({"num_steps": 20, "log_every_steps": 3})
    train(config, tmp_path / "w")
    arrays, wanted = (saved_arrays(folder, 20) for folder in (tmp_path / "w", plain[1]))
    for name, array in wanted.items():
        np.testing.assert_array_equal(arrays[name], array, err_msg=name)
    since = [line for line in tiny.logged(plain[1]) if line["step"] > 9]
    assert [line for line in tiny.logged(tmp_path / "w") if line["step"] > 9] == since
    assert "steps_per_call=6 does not divide train.num_steps=20: the last 2 steps" in caplog.text


def test_a_loss_that_is_not_finite_names_its_step(plain, tmp_path):
    config = plain[0].copy_and_resolve_references()
    config.train.update({"steps_per_call": 10, "learning_rate": 1e30})
    config.train.discriminator_batch = "same"
    with pytest.raises(InputError, match=r"^step [2-9]: .* not finite; no checkpoint yet; .*lower"):
        train(config, tmp_path / "w")
