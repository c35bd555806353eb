"""Simulates phone photos from ordinary photographs, so that the demo needs no download.

    python -m data_builders.dped.simulate --output_dir=D

Writes the published layout of the `custom` config under D/custom from photographs that scikit-image
ships: the photograph stands for the DSLR camera's, a degraded copy for the phone's. One photograph
is held out whole for validation and one for test. There is no geometric difference between the two
cameras, so the pairs are aligned exactly; real ones are not. Images are RGB, (H, W, 3) uint8.
"""

import contextlib
import dataclasses
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import skimage.data
from absl import flags

from data_builders.dped import cli
from data_builders.dped.cli import InputError

PATCH_SIZE = 100  # section 3.2.1
TRAIN_STRIDE = 40  # training patches overlap, for there are few photographs; others do not
PATCH_JPEG_QUALITY = 95
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)

_OUTPUT_DIR = flags.DEFINE_string("output_dir", None, "Folder to make.", required=True)
_SEED = flags.DEFINE_integer("seed", 0, "Which simulated camera, and which noise.")


@dataclasses.dataclass(frozen=True)
class Camera:
    """A simulated phone camera; what it does to a photo is fixed but for the noise.

    Attributes:
      blur_sigma: lens blur, standard deviation of a Gaussian in pixels.
      vignetting: light lost in the corners, as a share.
      exposure: factor on all channels.
      cast: factors on R, G, B: the white balance is off.
      shot_noise: noise variance per unit of light.
      read_noise: noise variance in the dark.
      saturation: 1 keeps colours, 0 is gray.
      contrast: slope of the tone curve at mid-gray.
      haze: black level that the tone curve adds.
      jpeg_quality: of the photo that the camera saves.
    """

    blur_sigma: float
    vignetting: float
    exposure: float
    cast: tuple[float, float, float]
    shot_noise: float
    read_noise: float
    saturation: float
    contrast: float
    haze: float
    jpeg_quality: int


def make_camera(rng: np.random.Generator) -> Camera:
    """Draws one camera: soft, dark, pale, and with a cast that is warm or cold."""
    warmth, green = rng.uniform(0.08, 0.12) * rng.choice([-1, 1]), rng.uniform(-0.03, 0.03)
    return Camera(
        blur_sigma=rng.uniform(0.8, 1.0),
        vignetting=rng.uniform(0.1, 0.2),
        exposure=rng.uniform(0.82, 0.88),
        cast=(1 + warmth, 1 + green, 1 - warmth),
        shot_noise=rng.uniform(0.0002, 0.0003),
        read_noise=rng.uniform(0.00005, 0.0001),
        saturation=rng.uniform(0.65, 0.75),
        contrast=rng.uniform(0.8, 0.88),
        haze=rng.uniform(0.0, 0.02),
        jpeg_quality=int(rng.integers(80, 91)),
    )


def simulate_phone(photo: np.ndarray, camera: Camera, rng: np.random.Generator) -> np.ndarray:
    """Turns a photo into what a simulated phone would have saved.

    Args:
      photo: (H, W, 3) uint8, RGB.
      camera: what is done to it.
      rng: of the noise.

    Returns:
      (H, W, 3) uint8, RGB, decoded from the camera's JPEG.
    """
    light = np.float32(photo) / 255
    light = cv2.GaussianBlur(light, (0, 0), camera.blur_sigma, borderType=cv2.BORDER_REFLECT_101)
    light *= _lens_falloff(photo.shape[:2], camera.vignetting)[..., None]
    light *= np.float32(camera.cast) * np.float32(camera.exposure)
    variance = camera.shot_noise * light + camera.read_noise
    light += np.sqrt(variance) * rng.standard_normal(light.shape, dtype=np.float32)
    gray = (light @ _LUMA)[..., None]
    light = gray + camera.saturation * (light - gray)
    toned = 0.5 + camera.contrast * (light - 0.5) + camera.haze
    encoded = encode_jpeg(np.uint8(np.rint(255 * np.clip(toned, 0, 1))), camera.jpeg_quality)
    return cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR_RGB)


def encode_jpeg(image: np.ndarray, quality: int) -> bytes:
    """Encodes (H, W, 3) uint8 RGB as JPEG of a quality in 1…100."""
    flags_ = [cv2.IMWRITE_JPEG_QUALITY, quality]
    return cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), flags_)[1].tobytes()


def crop_patches(photo: np.ndarray, stride: int) -> list[np.ndarray]:
    """Cuts a photo, (H, W, 3), into whole 100x100 patches, row by row, `stride` pixels apart."""
    height, width = photo.shape[:2]
    return [
        photo[y : y + PATCH_SIZE, x : x + PATCH_SIZE]
        for y in range(0, height - PATCH_SIZE + 1, stride)
        for x in range(0, width - PATCH_SIZE + 1, stride)
    ]


def _lens_falloff(size: tuple[int, int], vignetting: float) -> np.ndarray:
    """(H, W) float32 factors: 1 in the middle, 1 - vignetting in the corners."""
    y, x = (np.linspace(-1, 1, length, dtype=np.float32) for length in size)
    return 1 - vignetting * (y[:, None] ** 2 + x[None, :] ** 2) / 2


def _photographs() -> dict[str, list[np.ndarray]]:
    """Photographs of each split, each (H, W, 3) uint8; scikit-image's wheel has no other scenes."""
    train = [skimage.data.astronaut(), skimage.data.rocket(), skimage.data.stereo_motorcycle()[0]]
    return {
        "training_data": train,
        "validation_data/patches": [skimage.data.chelsea()],
        "test_data/patches": [skimage.data.coffee()],
    }


def write_dataset(root: Path, seed: int) -> tuple[Camera, dict[str, int], float]:
    """Writes patches and the whole test photo of one simulated camera.

    Args:
      root: folder of the `custom` config; made here.
      seed: which camera, and which noise.

    Returns:
      (the camera, pairs per folder, mean PSNR in dB of the phone's test patches).
    """
    rng = np.random.default_rng(seed)
    camera = make_camera(rng)
    counts, errors = {}, []
    for folder, photos in _photographs().items():
        stride = TRAIN_STRIDE if folder == "training_data" else PATCH_SIZE
        counts[folder] = 0
        for camera_folder in ("phone", "dslr"):
            (root / folder / camera_folder).mkdir(parents=True)
        for index, photo in enumerate(photos):
            simulated = simulate_phone(photo, camera, rng)
            if folder.startswith("test"):
                whole = root / "test_data/full_size_test_images" / f"{index}.jpg"
                whole.parent.mkdir(exist_ok=True)
                whole.write_bytes(encode_jpeg(simulated, PATCH_JPEG_QUALITY))
            pairs = zip(crop_patches(simulated, stride), crop_patches(photo, stride), strict=True)
            for phone, dslr in pairs:
                for camera_folder, patch in (("phone", phone), ("dslr", dslr)):
                    file = root / folder / camera_folder / f"{counts[folder]}.jpg"
                    file.write_bytes(encode_jpeg(patch, PATCH_JPEG_QUALITY))
                counts[folder] += 1
                if folder.startswith("test"):
                    errors.append(np.mean((np.float64(phone) - dslr) ** 2))
    return camera, counts, float(np.mean(10 * np.log10(255**2 / np.array(errors))))


@contextlib.contextmanager
def _made_whole(folder: Path) -> Iterator[Path]:
    """A temporary folder that becomes `folder` when all went well, and is removed otherwise."""
    if folder.exists():
        raise InputError(f"--output_dir={folder}: is already there: name another or remove it")
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}_incomplete_", dir=folder.parent))
    try:
        scratch.chmod(0o755)
        yield scratch
        scratch.rename(folder)
    finally:
        if scratch.exists():
            shutil.rmtree(scratch)


def main(argv: list[str]) -> None:
    """Writes the simulated data set and prints what it is, and the next command."""
    del argv
    output_dir = Path(_OUTPUT_DIR.value).expanduser()
    with _made_whole(output_dir) as scratch:
        camera, counts, psnr = write_dataset(scratch / "custom", _SEED.value)
    print("SIMULATED cameras: no phone took these pictures. scikit-image's photographs stand for")
    print(f"the DSLR camera's, degraded copies for the phone's (seed {_SEED.value}):")
    for name, value in dataclasses.asdict(camera).items():
        numbers = value if isinstance(value, tuple) else (value,)
        print(f"  {name:<14}" + " ".join(f"{number:.4g}" for number in numbers))
    for folder, count in counts.items():
        print(f"  {count:>4} pairs in {output_dir}/custom/{folder}")
    print(f"the phone's test patches: {psnr:.2f} dB PSNR on average")
    print(
        f"next: python -m data_builders.dped.build --manual_dir={output_dir} --phone=custom"
        " --data_dir=DATA_DIR"
    )


if __name__ == "__main__":
    cli.run(main)
