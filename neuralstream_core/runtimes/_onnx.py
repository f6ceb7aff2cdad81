"""ONNX models on ONNX Runtime, one thread per environment.

A classifier exported with ZipMap answers a list of dictionaries. Its scores exist one step earlier as a
tensor; that tensor is made an output (concatenating protobuf messages merges them), so that no
dictionary is ever built and both export styles look the same from here on.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from functools import partial
from math import prod
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from neuralstream_core.errors import ArtifactRejected, Invalid
from neuralstream_core.registry.records import Signature, Tensor
from neuralstream_core.runtimes._watchdog import Watchdog
from neuralstream_core.runtimes.runtime import (
    FLOATS,
    LABELS,
    MAX_CLASSES,
    MAX_WIDTH,
    Bounds,
    Findings,
    Predictions,
    check_trial,
    check_width,
    trial_inputs,
)

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

__all__ = ["OnnxRuntime", "reason"]

_RESIDENT_FACTOR: Final = 3
"""Memory of a session over its file: the parsed graph, the packed kernels and the arena."""

_DATATYPES: Final = {
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
    "tensor(float16)": "FP16",
    "tensor(int64)": "INT64",
    "tensor(int32)": "INT32",
    "tensor(int16)": "INT16",
    "tensor(int8)": "INT8",
    "tensor(uint64)": "UINT64",
    "tensor(uint32)": "UINT32",
    "tensor(uint16)": "UINT16",
    "tensor(uint8)": "UINT8",
    "tensor(bool)": "BOOL",
    "tensor(string)": "BYTES",
}
_OUT_OF_MEMORY: Final = re.compile(
    r"bad_alloc|Failed to allocate|Available memory of|out of memory|std::length_error"
)

_MAX_REASON: Final = 300
_READ: Final = 4000
"""Characters looked at, which bounds what the expressions below can take."""
_SUFFIX: Final = r"\.(?:h|hh|hpp|inl|c|cc|cpp|cxx|cu|cuh|py|so|pyd|dll)\b"
_START: Final = re.compile(r"^\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : ")
_ASSERTION: Final = re.compile(rf"\S*{_SUFFIX}:\d+ \S*[^'\"]*? was false\. ?")
"""``…/reshape_helper.h:91 onnxruntime::ReshapeHelper::ReshapeHelper(…) a == b was false.``"""
_FUNCTION: Final = re.compile(
    rf"\S*{_SUFFIX}:\d+ (?:[\w:*&<>, ]*?onnxruntime::[^()]*\([^()]*\)(?: const)?(?: \[with [^\]]*\])? )?"
)
"""``…/bfc_arena.cc:360 void* onnxruntime::BFCArena::AllocateRawInternal(size_t, bool)``"""
_PATH: Final = re.compile(rf"(?:[A-Za-z]:)?[\w.+~-]*[\\/][^\s'\":]*{_SUFFIX}(?::\d+)?")

_watchdog = Watchdog()
_arenas = threading.Lock()


class _Ended:
    """Ends one run of a session; used again by the next run unless it was called."""

    __slots__ = ("end", "options")

    def __init__(self) -> None:
        import onnxruntime

        self.options = onnxruntime.RunOptions()
        # What a run took beyond its first small block goes back to the system when it ends.
        self.options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        self.end = partial(setattr, self.options, "terminate", True)


class OnnxRuntime:
    """A `Runtime` over one ``InferenceSession``.

    Args:
        data: the artifact, which has passed `inspect_onnx`.
        findings: of that inspection.
        bounds: of loading, of the trial run and of each run.

    A run is ended between two operators of the graph: one operator that takes long (a product of huge
    matrices) ends when it is done.

    Raises:
        ArtifactRejected: the runtime or the trial run refused it.
    """

    def __init__(self, data: bytes, findings: Findings, bounds: Bounds) -> None:
        self._bounds = bounds
        self._session = _session(data, findings, bounds)
        self._ends: list[_Ended] = []
        self.nbytes = _RESIDENT_FACTOR * len(data) + (1 << 20)
        inputs = tuple(_input(node) for node in self._session.get_inputs())
        if not inputs:
            raise ArtifactRejected("the model has no inputs")
        self._fetch, self._scores, outputs = _outputs(self._session, findings)
        kind: Literal["classifier", "regressor"] = (
            "classifier" if outputs[0].datatype in LABELS else "regressor"
        )
        self.signature = Signature(
            kind=kind,
            inputs=inputs,
            outputs=outputs,
            classes=findings.classes if kind == "classifier" else None,
            zipmap_inputs=findings.zipmap_inputs,
        )
        # The Python wrapper only checks the names again, which the native session does itself, and
        # takes as long as a small model; without the attribute the wrapper does.
        self._run = getattr(self._session, "_sess", self._session).run
        trial = self._trial()
        check_trial(trial)
        self.signature = self._completed(trial)

    def run(self, inputs: Mapping[str, np.ndarray], seconds: float | None = None) -> Predictions:
        """See `Runtime.run`."""
        return check_width(self._read(self._bounded(inputs, seconds)))

    def _bounded(self, inputs: Mapping[str, np.ndarray], seconds: float | None) -> list[Any]:
        """What the session answers.

        Raises:
            Invalid: as `Runtime.run`.
        """
        seconds = seconds or self._bounds.run_seconds
        try:
            ended = self._ends.pop()
        except IndexError:
            ended = _Ended()
        watch = _watchdog.begin(seconds, ended.end)
        try:
            answers: list[Any] = self._run(self._fetch, inputs, ended.options)
        except Exception as error:  # noqa: BLE001 - the runtime's exceptions share no base but Exception
            raise self._failed(error, seconds) from None
        finally:
            if _watchdog.finish(watch):
                self._ends.append(ended)
        return answers

    def _failed(self, error: Exception, seconds: float) -> Invalid:
        text = str(error)
        if "terminate flag" in text:
            return Invalid(
                f"the model did not answer within {seconds:g} s for these values",
                code="inference_timeout",
            )
        if isinstance(error, MemoryError) or _OUT_OF_MEMORY.search(text):
            return Invalid(
                "the model asked for more memory for these values than a run has, "
                f"at most {self._bounds.run_memory >> 20} MiB",
                code="inference_memory",
            )
        return Invalid(f"the model refused the inputs: {reason(error)}", code="inference_failed")

    def _read(self, answers: list[Any]) -> Predictions:
        first = answers[0]
        if self._scores:
            if first.ndim == 2 and first.shape[1] == 1:
                first = first[:, 0]
            return Predictions(first, answers[1])
        if len(answers) > 1:
            columns = [a.reshape(len(a), -1) for a in answers]
            return Predictions(np.concatenate(columns, axis=1), None)
        if first.ndim > 1 and first.size == len(first):
            first = first.reshape(-1)
        elif first.ndim > 2:
            first = first.reshape(len(first), -1)
        return Predictions(first, None)

    def _trial(self) -> Predictions:
        try:
            answers = self._bounded(trial_inputs(self.signature), None)
        except Invalid as error:
            raise ArtifactRejected(f"the trial run failed: {error.detail}") from None
        if not all(isinstance(a, np.ndarray) and a.ndim for a in answers):
            raise ArtifactRejected("the model must answer tensors with one row per input row")
        self._widths = tuple(int(a.size // max(1, len(a))) for a in answers)
        return self._read(answers)

    def _completed(self, trial: Predictions) -> Signature:
        """The signature with the widths that the graph did not declare but the trial showed."""
        signature = self.signature
        scores = trial.scores
        if scores is not None and scores.shape[1] > MAX_CLASSES:
            raise ArtifactRejected(f"a classifier may have at most {MAX_CLASSES} classes")
        shapes: list[tuple[int, ...]]
        if scores is not None:
            shapes = [(-1,), (-1, scores.shape[1])]
        elif len(signature.outputs) == 1:
            shapes = [(-1, *trial.values.shape[1:])]
        else:
            shapes = [(-1, width) for width in self._widths]
        outputs = tuple(
            tensor.model_copy(update={"shape": shape})
            for tensor, shape in zip(signature.outputs, shapes, strict=True)
        )
        return signature.model_copy(update={"outputs": outputs})


def _session(data: bytes, findings: Findings, bounds: Bounds) -> InferenceSession:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 4
    # Memory planned from the run before counts against the limit of a run that does not need it.
    options.enable_mem_pattern = False
    options.add_session_config_entry("session.use_env_allocators", "1")
    options.add_session_config_entry("session.load_model_format", "ONNX")
    for tensor in findings.zipmap_inputs.values():
        data += _extra_output(tensor)
    # Constants that the runtime packs for its kernels are counted by the arena.
    limit = bounds.run_memory + _RESIDENT_FACTOR * len(data)
    memory = onnxruntime.OrtMemoryInfo(
        "Cpu",
        onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR,
        0,
        onnxruntime.OrtMemType.DEFAULT,
    )
    # Extended by what is asked for (1), not to the next power of two.
    arena = onnxruntime.OrtArenaCfg({"max_mem": limit, "arena_extend_strategy": 1})
    cancel = partial(options.set_load_cancellation_flag, True)
    # A session keeps the arena that was registered last when it was made, and holds it alone once the
    # next one is registered: so each has a limit of its own.
    with _arenas:
        watch = _watchdog.begin(bounds.load_seconds, cancel)
        try:
            onnxruntime.create_and_register_allocator(memory, arena)
            return onnxruntime.InferenceSession(
                data, sess_options=options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # noqa: BLE001 - the runtime's exceptions share no base but Exception
            if type(error).__name__ == "ModelLoadCanceled":
                why = f"loading it took longer than {bounds.load_seconds:g} s"
            elif isinstance(error, MemoryError) or _OUT_OF_MEMORY.search(str(error)):
                why = "loading it took more memory than there is (out of memory)"
            else:
                why = reason(error)
            raise ArtifactRejected(f"the runtime refused the model: {why}") from None
        finally:
            _watchdog.finish(watch)


def _input(node: Any) -> Tensor:
    datatype = _DATATYPES.get(node.type)
    if datatype is None:
        raise ArtifactRejected(f"the input {node.name!r} has the unsupported type {node.type}")
    shape = tuple(size if isinstance(size, int) else -1 for size in node.shape or ())
    if not shape or shape[0] > 0:
        raise ArtifactRejected(
            f"the input {node.name!r} has the shape {list(node.shape or ())}; "
            "its first axis must be free, it is the number of rows"
        )
    if prod(max(1, size) for size in shape[1:]) > MAX_WIDTH:
        raise ArtifactRejected(f"the input {node.name!r} is wider than {MAX_WIDTH}")
    return Tensor(name=node.name, datatype=datatype, shape=(-1, *shape[1:]))


def _outputs(
    session: InferenceSession, findings: Findings
) -> tuple[list[str], bool, tuple[Tensor, ...]]:
    """What to fetch, whether the second of it is scores, and the outputs as declared."""
    declared = [
        (node.name, node.type)
        for node in session.get_outputs()
        if node.name not in findings.zipmap_inputs.values()
    ]
    fetch: list[str] = []
    tensors: list[Tensor] = []
    for name, kind in declared:
        source = findings.zipmap_inputs.get(name, name)
        datatype = "FP32" if name in findings.zipmap_inputs else _DATATYPES.get(kind)
        if datatype is None:
            raise ArtifactRejected(f"the output {name!r} has the unsupported type {kind}")
        fetch.append(source)
        tensors.append(Tensor(name=name, datatype=datatype, shape=(-1,)))
    if not tensors:
        raise ArtifactRejected("the model has no outputs")
    if len(tensors) == 2 and tensors[0].datatype in FLOATS and tensors[1].datatype in LABELS:
        fetch.reverse()
        tensors.reverse()
    scores = len(tensors) == 2 and tensors[0].datatype in LABELS and tensors[1].datatype in FLOATS
    if not scores and len(tensors) > 1 and len({t.datatype for t in tensors}) > 1:
        raise ArtifactRejected("outputs of several types that are not a label and its scores")
    return fetch, scores, tuple(tensors)


def _extra_output(name: str) -> bytes:
    """``ModelProto{graph{output{name, type{tensor_type{elem_type: FLOAT}}}}}`` on the wire."""
    kind = b"\x12\x04\x0a\x02\x08\x01"
    value_info = _delimited(1, name.encode()) + kind
    return _delimited(7, _delimited(12, value_info))


def _delimited(number: int, payload: bytes) -> bytes:
    size, length = len(payload), bytearray()
    while size >= 0x80:
        length.append(size & 0x7F | 0x80)
        size >>= 7
    length.append(size)
    return bytes([number << 3 | 2]) + bytes(length) + payload


def reason(error: Exception) -> str:
    """A runtime's error message as one line of at most 300 characters; its class where it has none.

    The file, line and function of its sources that the message names are left out.
    """
    text = " ".join(str(error)[:_READ].split())
    for pattern in (_START, _ASSERTION, _FUNCTION, _PATH):
        text = pattern.sub("", text)
    return " ".join(text.split())[:_MAX_REASON] or type(error).__name__
