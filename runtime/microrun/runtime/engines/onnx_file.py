"""What an .onnx file may not be, found in its bytes before a library follows them.

Libraries are made for models that are whole: of a node that lacks an input they read memory that is not theirs, and a
tensor's sizes they believe. So the few parts of a model that matter are looked at here, as protobuf writes them:
https://protobuf.dev/programming-guides/encoding, numbers of fields from onnx.proto.
"""

from __future__ import annotations

import math
import mmap
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from microrun.runtime.errors import EngineError

LOCATION = b"\x0a\x08location"  # a key of a tensor's `external_data`: field 1, eight bytes long
GRAPH, METADATA = 7, 14  # of a model
NODES, TENSORS, INPUTS, OUTPUTS = 1, 5, 11, 12  # of a graph
PORT = 1  # name of an input or output
TAKES, GIVES, OPERATOR, ATTRIBUTES, DOMAIN = 1, 2, 4, 5, 7  # of a node
TENSOR, SUBGRAPHS = 5, (6, 11)  # of an attribute
DIMENSIONS, KIND, RAW = 1, 2, 9  # of a tensor
VARINT, BYTES = 0, 2  # kinds of a field on the wire
FIXED = {1: 8, 5: 4}
DEEPEST = 8  # graphs in one another
SIZES = {1: 4, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 12: 4, 13: 8, 14: 8, 15: 16, 16: 2}  # by KIND
# Operators that need more than one input, or none, in every version of ONNX since 13; our models are of 21.
NEEDED = {
    2: "Add AffineGrid And BitShift BitwiseAnd BitwiseOr BitwiseXor CastLike CenterCropPad Compress Conv ConvInteger "
    "ConvTranspose CumSum DequantizeLinear Div Equal Expand Gather GatherElements GatherND Gemm Greater "
    "GreaterOrEqual GridSample LayerNormalization Less LessOrEqual MatMul MatMulInteger MaxRoiPool MaxUnpool Mod "
    "Mul NegativeLogLikelihoodLoss NonMaxSuppression Or PRelu Pad Pow QuantizeLinear Reshape ReverseSequence STFT "
    "SequenceAt SequenceInsert SoftmaxCrossEntropyLoss StringConcat Sub Tile TopK Unsqueeze Upsample Xor",
    3: "Attention Col2Im DeformConv GRU GroupNormalization InstanceNormalization LSTM OneHot RNN Range RoiAlign "
    "Scatter ScatterElements ScatterND Slice Where",
    5: "BatchNormalization MelWeightMatrix",
    8: "QLinearConv QLinearMatMul",
    0: "Constant Loop Optional OptionalHasElement RandomNormal RandomUniform SequenceEmpty",
}
LEAST = {name: count for count, names in NEEDED.items() for name in names.split()}
Field = int | memoryview
Message = dict[int, list[Field]]


def check_model(path: Path) -> None:
    """Refuse a model that is damaged, or whose weights are in other files.

    A model is known by the hash of its file: resumes, caches and records of what made a result rely on it. And no
    model may have other files opened.

    Parameters
    ----------
    path
        The .onnx file.

    Raises
    ------
    EngineError
        If it has such weights, cannot be read, or is no model: cut short, with a node that lacks inputs, or a tensor
        whose sizes are not those of its values.
    """
    if not path.is_file():  # opening a pipe would wait for its writer
        raise EngineError(f"{path}: no such file")
    try:
        with path.open("rb") as file:
            # Not closed here: a profiler, as Dask's workers have, may hold frames that look into it a while longer.
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        apart = content.find(LOCATION) >= 0
        problem = None if apart else _find_problem(content)
    except (OSError, ValueError) as error:  # ValueError: an empty file
        raise EngineError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or 'it is empty'})") from None
    if apart:
        raise EngineError(
            f"{path}: has weights in a file beside it; save it as one: onnx.save(onnx.load({path.name!r}), 'one.onnx')"
        )
    if problem:
        raise EngineError(f"{path}: is not an ONNX model, or it is damaged ({problem}); export it again")


def _find_problem(content: mmap.mmap) -> str | None:
    """What is wrong with a model, as text; None if nothing is."""
    try:
        model = _parse(memoryview(content))
        for entry in model[METADATA]:
            _texts([part for fields in _parse(_message(entry)).values() for part in fields])
        if len(model[GRAPH]) != 1:
            raise ValueError("it contains no graph")
        _check_graph(_message(model[GRAPH][0]), 0)
    except ValueError as error:  # UnicodeDecodeError is one
        return str(error)
    return None


def _check_graph(data: memoryview, depth: int) -> None:
    if depth > DEEPEST:
        raise ValueError("its graphs are nested too deep")
    graph = _parse(data)
    if not depth and not (graph[INPUTS] and graph[OUTPUTS]):
        raise ValueError("it has no inputs or no outputs")
    for tensor in graph[TENSORS]:
        _check_tensor(_message(tensor))
    names = [name for port in (*graph[INPUTS], *graph[OUTPUTS]) for name in _texts(_parse(_message(port))[PORT])]
    if not depth and len(set(names)) < len(names):
        raise ValueError("two of its inputs and outputs have one name")
    for node in graph[NODES]:
        _check_node(_parse(_message(node)), depth)


def _check_node(node: Message, depth: int) -> None:
    takes, gives, named = (_texts(node[number]) for number in (TAKES, GIVES, OPERATOR))
    name = named[-1] if named else ""
    own = not any(_texts(node[DOMAIN]))
    needed = LEAST.get(name, 1) if own else 0
    if not name or not gives or sum(map(bool, takes[:needed])) < needed:
        raise ValueError(f"a node {name!r} lacks inputs or outputs")
    for data in node[ATTRIBUTES]:
        attribute = _parse(_message(data))
        for tensor in attribute[TENSOR]:
            _check_tensor(_message(tensor))
        for graph in (graph for number in SUBGRAPHS for graph in attribute[number]):
            _check_graph(_message(graph), depth + 1)


def _check_tensor(data: memoryview) -> None:
    """Compare the sizes that a tensor states with the values that it holds."""
    tensor = _parse(data)
    sides = [side for field in tensor[DIMENSIONS] for side in _varints(field)]
    count = math.prod(sides)
    size = SIZES.get(next((kind for kind in tensor[KIND] if isinstance(kind, int)), 0))
    stored = len(_message(tensor[RAW][-1])) if tensor[RAW] else None
    if (size and stored is not None and count * size != stored) or count > 4 * len(data):  # four of 2 bits in a byte
        raise ValueError(f"a tensor of sides {sides[:8]} holds other values")


def _parse(data: memoryview) -> Message:
    """Fields by their numbers; ValueError if the message is not whole."""
    found: Message = defaultdict(list)
    for number, value in _fields(data):
        found[number].append(value)
    return found


def _fields(data: memoryview) -> Iterator[tuple[int, Field]]:
    place = 0
    while place < len(data):
        tag, place = _varint(data, place)
        kind = tag & 7
        if kind == VARINT:
            value, place = _varint(data, place)
            yield tag >> 3, value
            continue
        if kind != BYTES and kind not in FIXED:
            raise ValueError("its fields are of unknown kinds")
        size, place = (FIXED[kind], place) if kind in FIXED else _varint(data, place)
        if place + size > len(data):
            raise ValueError("it is cut short")
        yield tag >> 3, data[place : place + size]
        place += size


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while place < len(data) and shift < 64:
        byte = data[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place
    raise ValueError("it is cut short")


def _varints(field: Field) -> Iterator[int]:
    """Numbers that were written one by one, or packed."""
    if isinstance(field, int):
        yield field
        return
    place = 0
    while place < len(field):
        value, place = _varint(field, place)
        yield value


def _message(field: Field) -> memoryview:
    if isinstance(field, int):
        raise ValueError("a number is where a part should be")
    return field


def _texts(fields: list[Field]) -> list[str]:
    return [bytes(_message(field)).decode() for field in fields]
