"""Builds an ONNX graph: the layers that the generators are made of.

Values of the graph are named by strings. Images are (N, C, H, W) inside, as ONNX convolves them,
and computed with in float32.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from dped_jax.checkpoint import Tree
from dped_jax.export.functions import type_kept

OPSET, IR_VERSION = 18, 9  # of 2022 and 2023: runtimes of today read them
EPSILON = 1e-3  # of all norms, as in models.layers
REGION = "region"  # int32: top, bottom, left and right of what is kept of a window


class Graph:
    """A graph under construction, with the variables of the network that it computes.

    A graph of the whole network takes statistics itself, of all its input. That of a `stage` reads
    statistics of the photograph that earlier stages have measured. The first that are not known
    yet it measures: its value `statistics` is of its `region`. What comes after that is built on
    nothing, and is left out by `finish`.
    """

    def __init__(self, variables: Tree, half: bool = False, stage: int | None = None):
        """Begins a graph; with `half` kernels are kept as float16, see `type_kept`."""
        self.num_statistics = 0  # that the network has used so far
        self.read: list[str] = []  # inputs with statistics
        self._params, self._batch_stats = variables["params"], variables.get("batch_stats", {})
        self._half, self._stage = half, stage
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}

    def op(self, kind: str, *inputs: str, name: str | None = None, **attributes: Any) -> str:
        """Adds a node with one output, and returns that output's name."""
        name = name or f"{kind.lower()}{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def constant(self, value: Any, dtype: Any = np.float32, name: str | None = None) -> str:
        """A constant, which takes the name of its value unless it is given one."""
        array = np.asarray(value, dtype)
        name = name or f"{array.dtype}_{'_'.join(map(str, array.ravel()))}_{array.ndim}d"
        self._constants[name] = numpy_helper.from_array(array, name)
        return name

    def param(self, path: str, transposed: Sequence[int] = (), batch_stats: bool = False) -> str:
        """A variable of the network by path, as "down0_conv0/kernel"."""
        array = self._batch_stats if batch_stats else self._params
        for part in path.split("/"):
            array = array[part]
        array = np.asarray(array, np.float32)
        if not transposed:
            return self.constant(array, name=path)
        kept = self.constant(array.transpose(transposed), type_kept(array, self._half), path)
        return self.op("Cast", kept, to=TensorProto.FLOAT) if self._half else kept

    def conv(
        self, name: str, x: str, *, strides: int = 1, dilation: int = 1, same: bool = True
    ) -> str:
        """A conv with zero 'SAME' padding, or none, and a bias where the network has one."""
        layer = self._params[name]
        size = layer["kernel"].shape[:2]
        sides = [dilation * (length // 2) if same else 0 for length in size]
        bias = [self.param(f"{name}/bias")] if "bias" in layer else []
        options: dict[str, Any] = {"strides": [strides] * 2, "dilations": [dilation] * 2}
        kernel = self.param(f"{name}/kernel", (3, 2, 0, 1))
        return self.op("Conv", x, kernel, *bias, pads=sides * 2, **options)

    def dense(self, name: str, x: str) -> str:
        """A dense layer on the channels of each pixel."""
        layer = self._params[name]
        bias = [self.param(f"{name}/bias")] if "bias" in layer else []
        kernel = self.param(f"{name}/kernel", (1, 0))
        axes = self.constant([2, 3], np.int64)
        return self.op("Conv", x, self.op("Unsqueeze", kernel, axes), *bias)

    def tanh(self, z: str, scale: float) -> str:
        """`scale * tanh(z) + 0.5`, with which several networks end."""
        scaled = self.op("Mul", self.op("Tanh", z), self.constant(scale))
        return self.op("Add", scaled, self.constant(0.5))

    def extend(self, x: str, pads: str) -> str:
        """Repeats the outermost pixels; `pads` are those of ONNX, (8,) int64."""
        return self.op("Pad", x, pads, mode="edge")

    def size(self, x: str) -> str:
        """Height and width of images."""
        return self.op("Shape", x, start=2, end=4)

    def crop(self, x: str, starts: str, ends: str) -> str:
        """Cuts out of images; both are (2,) integers."""
        return self.op("Slice", x, starts, ends, self.constant([2, 3], np.int64))

    def region(self, x: str, scale: int = 1) -> str:
        """The region of a stage, out of images `scale` times smaller than its window."""
        bounds = self.op("Cast", REGION, to=TensorProto.INT64)
        if scale > 1:
            rounded = self.op("Add", bounds, self.constant(scale - 1, np.int64))
            bounds = self.op("Div", rounded, self.constant(scale, np.int64))
        starts, ends = (self.op("Gather", bounds, self.constant(i, "i8")) for i in ((0, 2), (1, 3)))
        return self.crop(x, starts, ends)

    def _statistics(self, x: str, scale: int) -> str | None:
        """In a graph of a stage: mean and variance of the photograph, (2, C)."""
        if self._stage is None:
            return None
        number, self.num_statistics = self.num_statistics, self.num_statistics + 1
        name = f"statistics{number}"
        if number < self._stage:
            self.read.append(name)
        elif number == self._stage:
            self.measure(x, scale)
        return name

    def _row(self, statistics: str, row: int) -> str:
        """(1, C, 1, 1) of (2, C)."""
        values = self.op("Gather", statistics, self.constant(row, np.int64))
        return self.op("Reshape", values, self.constant([1, -1, 1, 1], np.int64))

    def measure(self, x: str, scale: int = 1) -> None:
        """Makes `statistics`: count, mean and sum of squares around it, (3, rows, C), by row."""
        x = self.region(x, scale)
        columns = self.constant([3], np.int64)
        count = self.op("Cast", self.op("Shape", x, start=3, end=4), to=TensorProto.FLOAT)
        total = self.op("ReduceSum", x, columns)
        mean = self.op("Div", total, self.op("Max", count, self.constant(1)))
        centred = self.op("Sub", x, mean)
        squares = self.op("ReduceSum", self.op("Mul", centred, centred), columns)
        count = self.op("Expand", count, self.op("Shape", mean))
        all_three = self.op("Concat", count, mean, squares, axis=0)
        all_three = self.op("Squeeze", all_three, columns)
        self.op("Transpose", all_three, perm=[0, 2, 1], name="statistics")

    def window_means(self, x: str, size: int) -> str:
        """Means over all windows inside, or over a whole that is smaller than one."""
        for pads, kernel in (([0, 0, size - 1, 0], [size, 1]), ([0, 0, 0, size - 1], [1, size])):
            x = self.op("AveragePool", x, pads=pads, kernel_shape=kernel)  # of what is inside
        ends = self.op("Sub", self.size(x), self.constant([size - 1] * 2, np.int64))
        ends = self.op("Max", ends, self.constant(1, np.int64))
        return self.crop(x, self.constant([0, 0], np.int64), ends)

    def mean(self, x: str, scale: int = 1) -> str:
        """Mean of each channel over the photograph, of which `x` is `scale` times smaller."""
        statistics = self._statistics(x, scale)
        return self._row(statistics, 0) if statistics else self._own_mean(x)

    def _own_mean(self, x: str) -> str:
        """In two steps: a sum of millions in float32 is not exact enough."""
        rows = self.op("ReduceMean", x, self.constant([3], np.int64))
        return self.op("ReduceMean", rows, self.constant([2], np.int64))

    def norm(self, name: str, kind: str, x: str) -> str:
        """Batch, instance or no norm; statistics of a batch are the running ones."""
        if kind == "none":
            return x
        if kind == "batch":
            path = f"{name}/BatchNorm_0"
            affine = [self.param(f"{path}/{part}") for part in ("scale", "bias")]
            running = [self.param(f"{path}/{part}", batch_stats=True) for part in ("mean", "var")]
            return self.op("BatchNormalization", x, *affine, *running, epsilon=EPSILON)
        statistics = self._statistics(x, 1)
        scale, bias = (self.param(f"{name}/InstanceNorm_0/{part}") for part in ("scale", "bias"))
        shape = self.constant([1, -1, 1, 1], np.int64)
        scale, bias = (self.op("Reshape", vector, shape) for vector in (scale, bias))
        mean = self._row(statistics, 0) if statistics else self._own_mean(x)
        centred = self.op("Sub", x, mean)
        if statistics:
            variance = self._row(statistics, 1)
        else:  # ONNX's own operator sums all pixels at once
            variance = self._own_mean(self.op("Mul", centred, centred))
        deviation = self.op("Sqrt", self.op("Add", variance, self.constant(EPSILON)))
        scaled = self.op("Mul", centred, self.op("Div", scale, deviation))
        return self.op("Add", scaled, bias)

    def finish(
        self,
        inputs: Sequence[onnx.ValueInfoProto],
        outputs: Sequence[onnx.ValueInfoProto],
        metadata: dict[str, str],
    ) -> onnx.ModelProto:
        """The model of what the outputs depend on, checked."""
        needed, nodes = {output.name for output in outputs}, []
        for node in reversed(self._nodes):
            if needed & set(node.output):
                nodes.append(node)
                needed |= set(node.input)
        constants = [tensor for name, tensor in self._constants.items() if name in needed]
        graph = helper.make_graph(nodes[::-1], "dped_jax", inputs, outputs, constants)
        opset = helper.make_opsetid("", OPSET)
        model = helper.make_model(
            graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name="dped_jax"
        )
        helper.set_model_props(model, metadata)
        onnx.checker.check_model(model, full_check=True)
        return model
