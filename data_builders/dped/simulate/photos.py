"""Takes photos of the photographs that scikit-image ships, with a simulated phone and DSLR camera.

Images are RGB, (H, W, 3) uint8.
"""

import dataclasses
import json
from pathlib import Path

import cv2
import numpy as np
import skimage.data

from ..patch_files import encode
from . import viewpoints

JPEG_QUALITY = 95  # of the files; the phone has compressed its picture once already
HOMOGRAPHIES_FILE = "homographies.json"
DSLR_STANCE = viewpoints.Stance(rotation=0.5, perspective=0.003, step=(1.02, 1.02))
PHONE_STANCE = viewpoints.Stance(rotation=2.5, perspective=0.012, step=(1.04, 1.07))  # fewer pixels
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


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
    image = np.uint8(np.rint(255 * np.clip(toned, 0, 1)))
    encoded = encode(image, ".jpg", camera.jpeg_quality)
    return cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR_RGB)


def _lens_falloff(size: tuple[int, int], vignetting: float) -> np.ndarray:
    """(H, W) float32 factors: 1 in the middle, 1 - vignetting in the corners."""
    y, x = (np.linspace(-1, 1, length, dtype=np.float32) for length in size)
    return 1 - vignetting * (y[:, None] ** 2 + x[None, :] ** 2) / 2


def photographs() -> dict[str, np.ndarray]:
    """All scenes that scikit-image's wheel has, each (H, W, 3) uint8."""
    return {
        "astronaut": skimage.data.astronaut(),
        "rocket": skimage.data.rocket(),
        "motorcycle": skimage.data.stereo_motorcycle()[0],
        "chelsea": skimage.data.chelsea(),
        "coffee": skimage.data.coffee(),
    }


def write_photos(root: Path, seed: int, shots: int) -> tuple[Camera, float, int]:
    """Writes the photos of one simulated phone and DSLR camera, and how they lie to each other.

    Args:
      root: folder that gets `phone/NAME_i.jpg`, `dslr/NAME_i.jpg` and `homographies.json`. For each
        NAME_i this has the `distortion` of `viewpoints.undistort`, which comes first on the way
        from the phone's pixels to the DSLR camera's, and the `homography`, which comes second.
      seed: which phone, viewpoints and noise.
      shots: pairs of each photograph; the first ones are the same whatever their number.

    Returns:
      (the phone, its lens's distortion, number of pairs).
    """
    rng = np.random.default_rng(seed)
    camera = make_camera(rng)
    distortion = rng.uniform(0.002, 0.004) * rng.choice([-1, 1])
    for folder in ("phone", "dslr"):
        (root / folder).mkdir(parents=True)
    truth = {}
    for number, (name, photograph) in enumerate(photographs().items()):
        size = photograph.shape[1], photograph.shape[0]
        for shot in range(shots):
            stem, rng = f"{name}_{shot}", np.random.default_rng([seed, number, shot])
            dslr = viewpoints.frame_shot(size, DSLR_STANCE, 0.0, rng)
            phone = viewpoints.frame_shot(size, PHONE_STANCE, distortion, rng)
            photos = {
                "phone": simulate_phone(viewpoints.take_shot(photograph, phone), camera, rng),
                "dslr": viewpoints.take_shot(photograph, dslr),
            }
            for folder, photo in photos.items():
                encoded = encode(photo, ".jpg", JPEG_QUALITY)
                (root / folder / f"{stem}.jpg").write_bytes(encoded)
            homography = viewpoints.phone_to_dslr(phone, dslr).tolist()
            truth[stem] = {"homography": homography, "distortion": distortion}
    (root / HOMOGRAPHIES_FILE).write_text(json.dumps(truth, indent=1) + "\n", encoding="utf-8")
    return camera, distortion, len(truth)
