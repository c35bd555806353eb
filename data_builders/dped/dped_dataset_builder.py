"""TFDS builder over aligned patch pairs; configs iphone, blackberry, sony and custom.

Reads the layout of the published archive (or two flat folders) and stores the files' bytes as they
are: nothing is decoded but to check it, nothing is encoded again. README.md beside this file has
the layout, the commands and the splits.

Build without TensorFlow: python -m data_builders.dped.build
Build with it: PYTHONPATH=. tfds build data_builders/dped --file_format=array_record
Read:                     tfds.builder_from_directory("D/dped/iphone/1.1.0").as_data_source("train")
"""

import functools
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.proto import tf_example_pb2
from tqdm import tqdm

from dped_jax.base.errors import InputError
from dped_jax.base.progress import progress_bar

from . import patch_files, patch_pairs
from .layout import CAMERA_FOLDERS, PATCH_SIZE
from .pair_list import PairList

SHARD_PAIRS = 4096  # about 65 MB of JPEG; the writer keeps one shard in memory


class Builder(tfds.core.ShardBasedBuilder):
    """Packs pairs in natural order of their names.

    It is shard-based because TFDS's generator-based builder imports TensorFlow as soon as a split
    exceeds 1 GB, and shuffles; training shuffles by itself.

    Attributes:
      skipped: (file, what is wrong) of the pairs left out by the last build.
    """

    VERSION = tfds.core.Version("1.1.0")  # also DATASET_VERSION of dped_jax.input_pipeline
    RELEASE_NOTES: ClassVar[dict[str, str]] = {
        "1.0.0": "First version.",
        "1.1.0": "Features photo and correlation, from manifest.csv.",
    }
    # A config's name is its folder under the manual directory, and a key of CAMERA_FOLDERS.
    BUILDER_CONFIGS: ClassVar[list[tfds.core.BuilderConfig]] = [
        tfds.core.BuilderConfig(name=name, description=description)
        for name, description in (
            ("iphone", "iPhone 3GS and Canon 70D"),
            ("blackberry", "BlackBerry Passport and Canon 70D"),
            ("sony", "Sony Xperia Z and Canon 70D"),
            ("custom", "Your own phone and DSLR camera, or simulated ones"),
        )
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "The manual directory holds the extracted archive:"
        " iphone/training_data/{iphone,canon}/N.jpg, iphone/test_data/patches/{iphone,canon}/N.jpg,"
        " and the like for the other phones."
    )

    def __init__(
        self,
        *,
        splits: dict[str, PairList] | None = None,
        skip_corrupt: bool = False,
        **kwargs: Any,
    ):
        """Makes a builder.

        Args:
          splits: pairs of each split, when not to be found in the manual directory.
          skip_corrupt: leave out pairs with a bad file instead of failing on the first.
          **kwargs: as for any TFDS builder: data_dir, config, version, file_format.
        """
        super().__init__(**kwargs)
        self.skipped: list[tuple[Path, str]] = []
        self._splits = splits
        self._skip_corrupt = skip_corrupt

    def _info(self) -> tfds.core.DatasetInfo:
        shape = (PATCH_SIZE, PATCH_SIZE, 3)
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "phone": tfds.features.Image(shape=shape, doc="Patch of the phone's photo."),
                    "dslr": tfds.features.Image(shape=shape, doc="The same from the DSLR camera."),
                    "name": tfds.features.Text(doc="Common stem of the two files."),
                    "photo": tfds.features.Text(
                        doc="Photograph that the patch was cut from; empty where unknown."
                    ),
                    "correlation": tfds.features.Scalar(
                        np.float32,
                        doc="Normalised cross-correlation of the pair; NaN where unknown or"
                        " undefined (blank patches).",
                    ),
                }
            ),
            supervised_keys=("phone", "dslr"),
            homepage="https://people.ee.ethz.ch/~ihnatova/",
            disable_shuffling=True,
        )

    def _shard_iterators_per_split(
        self, dl_manager: tfds.download.DownloadManager
    ) -> Mapping[str, Sequence[Callable[[], Iterator[tuple[int, dict[str, Any]]]]]]:
        phone, splits = self.builder_config.name, self._splits
        if splits is None:
            root = Path(dl_manager.manual_dir) / phone
            splits = patch_pairs.find_published(root, *CAMERA_FOLDERS[phone])
        self.skipped = []
        progress = progress_bar(
            total=sum(map(len, splits.values())),
            desc="checking and packing",
            unit=" pairs",
            mininterval=1.0,
            smoothing=0,  # the mean rate so far
        )
        return {
            split: [functools.partial(self._examples, shard, progress) for shard in _shards(pairs)]
            for split, pairs in splits.items()
        }

    def _examples(
        self, pairs: Sequence[patch_pairs.Pair], progress: tqdm
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yields the examples of one shard; the key is the position in it."""
        try:
            for position, checked in enumerate(patch_files.read_checked(pairs)):
                progress.update()
                if not checked.problems:
                    pair = checked.pair
                    example = {
                        "phone": checked.phone,
                        "dslr": checked.dslr,
                        "name": pair.name,
                        "photo": pair.photo,
                        "correlation": pair.correlation,
                    }
                    yield position, example
                elif self._skip_corrupt:
                    self.skipped += checked.problems
                else:
                    file, problem = checked.problems[0]
                    raise InputError(
                        f"{file}: {problem}: replace the file, or leave such pairs out with"
                        " --skip_corrupt of data_builders.dped.build"
                    )
        except BaseException:
            progress.close()
            raise
        if progress.n == progress.total:
            progress.close()

    def _example_writer(self) -> tfds.core.ExampleWriter:
        return _ReproducibleWriter(file_format=self.info.file_format)


class _ReproducibleWriter(tfds.core.ExampleWriter):
    """Writes the features of a record in one order, so that equal input gives equal files.

    TFDS leaves the order of a record's features to protobuf, where it changes from run to run.
    """

    def write(self, path: Any, examples: Iterable[tuple[int, bytes]]) -> Any:
        return super().write(path, ((key, _in_fixed_order(record)) for key, record in examples))


def _in_fixed_order(record: bytes) -> bytes:
    return tf_example_pb2.Example.FromString(record).SerializeToString(deterministic=True)


def _shards(pairs: Sequence[patch_pairs.Pair]) -> list[Sequence[patch_pairs.Pair]]:
    """Cuts pairs into the fewest blocks of nearly equal length, at most SHARD_PAIRS each."""
    count = math.ceil(len(pairs) / SHARD_PAIRS)
    bounds = [round(i * len(pairs) / count) for i in range(count + 1)]
    return [pairs[start:end] for start, end in itertools.pairwise(bounds)]
