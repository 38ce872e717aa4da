"""An ONNX graph that is written one operator at a time."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

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

    def op(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add an operator of one output, and return the name of this."""
        output = f"fairmi:{len(self._nodes)}"
        node = self._helper.make_node(kind, list(inputs), [output], domain=domain, **attributes)
        self._nodes.append(node)
        return output

    def constant(self, values: Any, dtype: DTypeLike = np.float64) -> str:
        """Return the name of a constant."""
        name = f"fairmi:constant {len(self._constants)}"
        self._constants.append(self.tensor(np.asarray(values, dtype=dtype), name))
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

    def output(self, name: str, of: str, kind: np.dtype, width: int | str | None) -> None:
        """Make a tensor of shape (n_rows, width), or (n_rows,), an output."""
        taken = {info.name for info in self._inputs}
        while name in taken:
            name += "_"
        element = self._helper.np_dtype_to_tensor_dtype(kind)
        shape = ["n_rows"] if width is None else ["n_rows", width]
        self._nodes.append(self._helper.make_node("Identity", [of], [name]))
        self._outputs.append(self._helper.make_tensor_value_info(name, element, shape))

    def take(self, of: str, columns: Sequence[int] | np.ndarray) -> str:
        """Return some columns of a matrix."""
        return self.op("Gather", of, self.constant(columns, np.int64), axis=1)

    def join(self, *parts: str) -> str:
        """Return matrices side by side."""
        return parts[0] if len(parts) == 1 else self.op("Concat", *parts, axis=1)

    def cast(self, of: str, dtype: DTypeLike) -> str:
        """Return a tensor in another type."""
        kind = self._helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self.op("Cast", of, to=kind)

    def model(self, metadata: dict[str, str]) -> Any:
        """Return the checked model."""
        helper = self._helper
        read = {name for node in self._nodes for name in node.input}
        constants = [constant for constant in self._constants if constant.name in read]
        made = helper.make_graph(self._nodes, "fairmi", self._inputs, self._outputs, constants)
        has_trees = any(node.op_type == "TreeEnsemble" for node in self._nodes)
        opsets = [
            helper.make_opsetid("", _OPSET),
            helper.make_opsetid(ML, _ML_OPSET_OF_TREES if has_trees else _ML_OPSET),
        ]
        model = helper.make_model(
            made, opset_imports=opsets, ir_version=_IR_VERSION, producer_name="fairmi"
        )
        helper.set_model_props(model, metadata)
        self._onnx.checker.check_model(model)
        return model
