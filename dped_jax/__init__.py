"""DSLR-quality photos on mobile devices with deep convolutional networks, in JAX.

    import dped_jax

    enhancer = dped_jax.load_enhancer("runs/iphone")
    enhanced = enhancer(photo)

`losses` and `metrics` are for anybody's training loop. JAX is imported when one of these is used.
"""

import importlib
from typing import TYPE_CHECKING, Any

from dped_jax.base import signals

if TYPE_CHECKING:
    from dped_jax import losses, metrics
    from dped_jax.enhance.photo_enhancer import load_enhancer

__version__ = "0.1.0"
__all__ = ["__version__", "load_enhancer", "losses", "metrics"]

signals.end_at_once_if_command(__name__)


def __getattr__(name: str) -> Any:
    if name in ("losses", "metrics"):
        return importlib.import_module(f"{__name__}.{name}")
    if name == "load_enhancer":
        return importlib.import_module(f"{__name__}.enhance.photo_enhancer").load_enhancer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
