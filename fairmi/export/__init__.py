"""Fitted classifiers in formats that other programs run: ONNX."""

from __future__ import annotations

from fairmi.export._onnx import onnx_inputs, to_onnx

__all__ = ["onnx_inputs", "to_onnx"]
