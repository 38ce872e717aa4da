"""An ONNX graph that is written one operator at a time."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

_OPSET, _ML_OPSET, _ML_OPSET_OF_TREES = 17, 3, 5
_IR_VERSION = 10
ML = "ai.onnx.ml"


class Graph:
    """Operators, constants, inputs and outputs; a tensor is its name."""

    def __init__(self) -> None:
        self._onnx = import_module("onnx")
        self._helper = import_module("onnx.helper")
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []

    def op(self, kind: str, *inputs: ArrayLike, domain: str = "", **attributes: Any) -> str:
        """Add an operator of one output, and return its name; inputs are names or constants."""
        names = [x if isinstance(x, str) else self._constant(np.asarray(x)) for x in inputs]
        output = f"fairmi:{len(self._nodes)}"
        node = self._helper.make_node(kind, names, [output], domain=domain, **attributes)
        self._nodes.append(node)
        return output

    def _constant(self, values: np.ndarray) -> str:
        name = f"fairmi:constant {len(self._constants)}"
        self._constants.append(self.tensor(values, name))
        return name

    def tensor(self, values: np.ndarray, name: str = "") -> Any:
        """Return an array as a tensor, for an attribute."""
        return import_module("onnx.numpy_helper").from_array(values, name or None)

    def input(self, name: str, *, is_text: bool = False, width: int = 1) -> str:
        """Add an input of shape (n_rows, width), float64 or strings."""
        kind = self._onnx.TensorProto.STRING if is_text else self._onnx.TensorProto.DOUBLE
        info = self._helper.make_tensor_value_info(name, kind, ["n_rows", width])
        self._inputs.append(info)
        return name

    def output(
        self, name: str, of: str, width: int | str | None, kind: DTypeLike = np.float64
    ) -> None:
        """Make a tensor of shape (n_rows, width), or (n_rows,), an output."""
        taken = {info.name for info in self._inputs}
        while name in taken:
            name += "_"
        element = self._helper.np_dtype_to_tensor_dtype(np.dtype(kind))
        shape = ["n_rows"] if width is None else ["n_rows", width]
        self._nodes.append(self._helper.make_node("Identity", [of], [name]))
        self._outputs.append(self._helper.make_tensor_value_info(name, element, shape))

    def take(self, of: str, columns: Sequence[int] | np.ndarray) -> str:
        """Return some columns of a matrix."""
        return self.op("Gather", of, np.asarray(columns, dtype=np.int64), axis=1)

    def join(self, *parts: str) -> str:
        """Return matrices side by side."""
        return parts[0] if len(parts) == 1 else self.op("Concat", *parts, axis=1)

    def cast(self, of: str, dtype: DTypeLike) -> str:
        """Return a tensor in another type."""
        kind = self._helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self.op("Cast", of, to=kind)

    def scores_by_class(self, scores: str, n_classes: int) -> str:
        """Return a score of each class, (n_rows, n_classes), of two of which one is told."""
        if n_classes > 2:
            return scores
        return self.join(self.op("Mul", scores, 0.0), scores)

    def level(self, z: str, n_levels: int) -> str:
        """Return the place of the nearest level to each Z, as `Channel.position` rounded."""
        return self.op("Round", self.op("Mul", self.op("Add", z, 1.0), (n_levels - 1) / 2))

    def rounded(self, z: str, n_levels: int | None) -> str:
        """Return the nearest level, as `Channel.round`."""
        if n_levels is None:
            return z
        return self.op("Sub", self.op("Div", self.level(z, n_levels), (n_levels - 1) / 2), 1.0)

    def model(self, metadata: dict[str, str]) -> Any:
        """Return the checked model."""
        helper = self._helper
        graph = (self._nodes, "fairmi", self._inputs, self._outputs, self._constants)
        has_trees = any(node.op_type == "TreeEnsemble" for node in self._nodes)
        opsets = [
            helper.make_opsetid("", _OPSET),
            helper.make_opsetid(ML, _ML_OPSET_OF_TREES if has_trees else _ML_OPSET),
        ]
        model = helper.make_model(
            helper.make_graph(*graph),
            opset_imports=opsets,
            ir_version=_IR_VERSION,
            producer_name="fairmi",
        )
        helper.set_model_props(model, metadata)
        self._onnx.checker.check_model(model)
        return model
