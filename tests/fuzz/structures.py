"""Files that are whole as their format has it, but hold something else than they should: HDF5, ONNX, npy, …"""

from __future__ import annotations

import contextlib
import io
import json
import struct
from collections.abc import Callable
from random import Random
from typing import Any

import h5py
import numpy as np
import onnx
from mutations import NUMBERS, damage_bytes, damage_json

HUGE = [
    (6000, 6000, 6000),
    (40000, 40000, 32),
    (1 << 31, 1, 1),
    (2, 100_000, 100_000),
    (1, 1, 1),
    (3, 3),
    (),
    (0, 4, 4),
]
TYPES: list[Any] = ["i1", "u1", "i4", "f2", "f8", ">f4", "c16", "S5", "i8", h5py.string_dtype(), h5py.vlen_dtype("i4"),
                    h5py.ref_dtype, np.dtype([("a", "i4")]), "V8", "bool"]  # fmt: skip
OPERATORS = ["Loop", "If", "Custom", "Conv", "Reshape", "Expand", "ConstantOfShape", "Relu", "Gemm", "Tile", "Range",
             "Resize", "Pad", "QLinearConv", "BatchNormalization", "LSTM", "Slice", ""]  # fmt: skip
SPEC = "microrun_spec"
MOST_CHANGED = 1 << 20  # values of a data set that are read to change one


def damage_hdf5(data: bytes, random: Random) -> bytes:
    """Change an attribute or an object through h5py; what it refuses stays as it is."""
    held = io.BytesIO(data)
    refused = (OSError, ValueError, TypeError, LookupError, RuntimeError, OverflowError)
    with contextlib.suppress(*refused), h5py.File(held, "r+", libver="latest") as file:
        for _ in range(random.choice([1, 1, 2])):
            _change_object(file, random)
    return held.getvalue()


def _change_object(file: h5py.File, random: Random) -> None:
    items: list[Any] = [file]
    file.visititems(lambda _, item: items.append(item))
    sets = [item for item in items if isinstance(item, h5py.Dataset)]
    with_attributes = [item for item in items if len(item.attrs)]
    kind = random.random()
    if with_attributes and kind < 0.45:
        _change_attribute(random.choice(with_attributes), random)
    elif sets and kind < 0.9:
        _replace(file, random.choice(sets).name, random)
    else:
        _link(file, random.choice(items[1:]).name, random)


def _change_attribute(item: Any, random: Random) -> None:
    name = random.choice(list(item.attrs))
    value, kind = item.attrs[name], random.random()
    if kind < 0.15:
        del item.attrs[name]
    elif isinstance(value, str) and value.startswith("{") and kind < 0.8:
        item.attrs[name] = damage_json(value, random)[:60_000]
    elif kind < 0.9:
        item.attrs[name] = random.choice(
            [-1, 0, 1 << 40, 1e300, float("nan"), "x", "", [1, 2], np.zeros((2, 2)), b"\xff"]
        )
    else:
        del item.attrs[name]
        item.attrs.create(name, h5py.Empty("f4"))


def _replace(file: h5py.File, name: str, random: Random) -> None:
    old = file[name]
    shape, dtype, attributes = old.shape or (), old.dtype, dict(old.attrs)
    values = old[()] if old.size is not None and old.size < MOST_CHANGED else np.zeros(1)
    kind = random.random()
    del file[name]
    if kind < 0.1:
        return
    if kind < 0.3:
        shape = random.choice([*HUGE, shape[:-1], (*shape, 2), shape[::-1], tuple(n + 1 for n in shape)])
        chunks = tuple(min(n, 512) or 1 for n in shape) if shape and random.random() < 0.7 else None
        packed = "gzip" if chunks else None
        made = file.create_dataset(name, shape, dtype, chunks=chunks, compression=packed, maxshape=shape or None)
    elif kind < 0.55:
        made = file.create_dataset(name, shape, random.choice(TYPES))
    elif kind < 0.65:
        made = file.create_group(name)
    elif kind < 0.7:
        made = file.create_dataset(name, dtype=dtype, shape=None, data=h5py.Empty(dtype))
    else:
        changed = np.array(values)
        if changed.size and changed.dtype.kind in "iuf":
            high = 1e30 if changed.dtype.kind == "f" else np.iinfo(changed.dtype).max
            changed.flat[random.randrange(changed.size)] = random.choice(
                [high, 0, np.nan if changed.dtype.kind == "f" else 7]
            )
        made = file.create_dataset(name, data=changed)
    made.attrs.update(attributes)


def _link(file: h5py.File, name: str, random: Random) -> None:
    del file[name]
    if random.random() < 0.5:
        file[name] = random.choice(
            [h5py.ExternalLink("/etc/passwd", "/x"), h5py.SoftLink(name), h5py.SoftLink("/none")]
        )
    else:
        file[name] = file["/"]


def damage_onnx(data: bytes, random: Random) -> bytes:
    """Change spec, weights, nodes or ports of a model."""
    model = onnx.load_from_string(data)
    ways: list[Callable[[Any, Random], None]] = [
        _change_spec,
        _change_spec,
        _change_weights,
        _change_node,
        _change_node,
        _change_ports,
    ]
    with contextlib.suppress(ValueError, TypeError, IndexError):
        for _ in range(random.choice([1, 1, 2])):
            random.choice(ways)(model, random)
    return bytes(model.SerializeToString())


def _change_spec(model: Any, random: Random) -> None:
    for entry in model.metadata_props:
        if entry.key == SPEC:
            entry.value = damage_json(entry.value, random).encode("utf-8", "replace").decode()


def _change_weights(model: Any, random: Random) -> None:
    tensor, kind = random.choice(model.graph.initializer), random.random()
    if kind < 0.35 and len(tensor.dims):
        tensor.dims[random.randrange(len(tensor.dims))] = random.choice([0, -1, 1, 3, 1 << 31, 1 << 40, 1 << 62])
    elif kind < 0.55:
        tensor.data_type = random.choice([0, 1, 7, 9, 10, 16, 17, 99])
    elif kind < 0.7:
        tensor.ClearField("raw_data")
    elif kind < 0.85:
        tensor.raw_data = tensor.raw_data[: random.randrange(1 + len(tensor.raw_data))]
    else:
        model.graph.initializer.remove(tensor)


def _change_node(model: Any, random: Random) -> None:
    node, kind = random.choice(model.graph.node), random.random()
    if kind < 0.25:
        node.op_type = random.choice(OPERATORS)
    elif kind < 0.5 and node.input:
        del node.input[random.randrange(len(node.input)) :]
    elif kind < 0.6 and node.input:
        node.input[random.randrange(len(node.input))] = random.choice(
            [node.output[0], "zzz", "", model.graph.input[0].name]
        )
    elif kind < 0.65:
        node.input.append(random.choice(["", "zzz", model.graph.input[0].name]))
    elif kind < 0.7:
        del node.output[:]
    elif kind < 0.75:
        model.graph.node.remove(node)
    elif kind < 0.8 and node.attribute:
        del node.attribute[random.randrange(len(node.attribute))]
    else:
        for attribute in node.attribute:
            if attribute.ints:
                attribute.ints[random.randrange(len(attribute.ints))] = random.choice([0, -1, 10**9, 1 << 40, 1 << 62])
            if attribute.type == onnx.AttributeProto.INT:
                attribute.i = random.choice([0, -1, 10**9, 1 << 40])


def _change_ports(model: Any, random: Random) -> None:
    ports, kind = random.choice([model.graph.input, model.graph.output]), random.random()
    if kind < 0.2:
        del ports[random.randrange(len(ports))]
    elif kind < 0.3:
        ports.add().CopyFrom(random.choice(ports))
    elif kind < 0.4:
        random.choice(ports).type.tensor_type.elem_type = random.choice([0, 7, 8, 10, 99])
    elif kind < 0.5:
        random.choice(ports).ClearField("type")
    else:
        dims = random.choice(ports).type.tensor_type.shape.dim
        dims[random.randrange(len(dims))].dim_value = random.choice([0, -1, 7, 1 << 31, 1 << 40])


def damage_safetensors(data: bytes, random: Random) -> bytes:
    """Change the header, or the spec in it, of weights."""
    size = struct.unpack("<Q", data[:8])[0]
    header, kind = data[8 : 8 + size].decode(), random.random()
    if kind < 0.5:
        changed = json.loads(header)
        name = random.choice(list(changed["__metadata__"]))
        changed["__metadata__"][name] = (
            damage_json(changed["__metadata__"][name], random).encode("utf-8", "replace").decode()
        )
        made = json.dumps(changed).encode()
    else:
        made = damage_json(header, random).encode("utf-8", "replace")
    stated = len(made) if random.random() < 0.95 else random.choice(NUMBERS) & ((1 << 64) - 1)
    return struct.pack("<Q", stated) + made + data[8 + size :]


def damage_npy(data: bytes, random: Random) -> bytes:
    """Another shape or type in the header, or a header that is none."""
    shape = random.choice(["(3,)", "()", "(1000000, 1000000, 1000)", "(0, 4)", "(-1, 4)", "(4, 4)", "((),)", "[4, 4]",
                           "4",
                           "(" * 90 + ")" * 90, "(" * 5000, "(True, 4)", "(1e3, 4)"])  # fmt: skip
    kind = random.choice(["<f8", "<f4", "|O", "|b1", "<U9", "<c16", "<i8", "<M8[s]", ">u2", "|V0", "<f3", "x", "<f2"])
    header = f"{{'descr': '{kind}', 'fortran_order': {random.choice(['False', 'True', '0', '1'])}, 'shape': {shape}, }}"
    if random.random() < 0.2:
        header = random.choice(
            ["{", "1+" * 4000 + "1", "{'descr': " + "[" * 500 + "]" * 500, "'" * 3, "(" * 300, "0" * 9000]
        )
    encoded = header.encode() + b"\n"
    made = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(encoded)) + encoded + data[128:]
    return damage_bytes(made, random) if random.random() < 0.2 else made
