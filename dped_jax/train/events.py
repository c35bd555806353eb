"""TensorBoard's file of a workdir.

TensorboardX imports PyTorch wherever it is installed, for tensors that do not come here: two of the
three seconds in which a training starts. It does without where there is none.
"""

import pathlib
import sys
import time

import numpy as np

_hidden = "torch" not in sys.modules
if _hidden:
    sys.modules["torch"] = None  # type: ignore[assignment]  # importing it is an ImportError
try:
    from tensorboardX import summary
    from tensorboardX.event_file_writer import EventsWriter
    from tensorboardX.proto.event_pb2 import Event, SessionLog
finally:
    if _hidden:
        del sys.modules["torch"]


class Events(EventsWriter):
    """A file of TensorBoard events, written at once: the library's own thread dies on a full disk,
    and then everything waits for it.
    """

    def __init__(self, workdir: pathlib.Path, step: int):
        """Goes on after `step`: TensorBoard drops what an interrupted run wrote after it."""
        super().__init__(str(workdir / "events"))
        start = SessionLog(status=SessionLog.START)
        self.write_event(Event(wall_time=time.time(), step=step + 1, session_log=start))

    def scalar(self, step: int, name: str, value: float) -> None:
        """Writes a value of a curve."""
        self._add(step, summary.scalar(name, value))

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        """Writes an (H, W, 3) uint8 RGB picture."""
        self._add(step, summary.image(name, image, dataformats="HWC"))

    def _add(self, step: int, values: object) -> None:
        self.write_event(Event(wall_time=time.time(), step=step, summary=values))
