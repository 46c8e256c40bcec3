"""Images of VTK in the forms in which its own writer writes them, and a pool to fill them with."""

import base64
import zlib

import numpy as np

BLOCK = 1000  # bytes: several blocks, and one that is smaller


def pack(values, header, compressed):
    """An array with its header, as parts that base64 pads each for itself."""
    data = values.tobytes()
    if not compressed:
        return [np.array([len(data)], header).tobytes(), data]
    blocks = [data[start : start + BLOCK] for start in range(0, len(data), BLOCK)]
    packed = [zlib.compress(block) for block in blocks]
    last = len(blocks[-1]) % BLOCK
    head = np.array([len(blocks), BLOCK, last, *map(len, packed)], header)
    return [head.tobytes(), b"".join(packed)]


def write_vti(path, arrays, step, origin=(0, 0, 0), form="raw", compressed=False, big=False, points=False, head=32):
    """Write arrays (z, y, x); form is one of ascii, binary, base64 and raw."""
    order, shape = ">" if big else "<", next(iter(arrays.values())).shape
    header = np.dtype(f"{order}u{head // 8}")
    extent = " ".join(f"0 {side - points}" for side in shape[::-1])
    endian = "Big" if big else "Little"
    kind, compressor = (
        "PointData" if points else "CellData",
        ' compressor="vtkZLibDataCompressor"' if compressed else "",
    )
    lines, tail = [], b""
    for name, values in arrays.items():
        bits = 8 * values.dtype.itemsize
        attributes = f'type="Float{bits}" Name="{name}"'
        parts = pack(values.astype(values.dtype.newbyteorder(order)), header, compressed)
        text = b"".join(map(base64.b64encode, parts))
        if form == "ascii":
            lines.append(
                f'<DataArray {attributes} format="ascii">{" ".join(map(repr, values.ravel().tolist()))}</DataArray>'
            )
        elif form == "binary":
            lines.append(f'<DataArray {attributes} format="binary">\n  {text.decode()}\n</DataArray>')
        else:
            lines.append(f'<DataArray {attributes} format="appended" offset="{len(tail)}"/>')
            tail += text if form == "base64" else b"".join(parts)
    content = f"""<?xml version="1.0"?>
<VTKFile type="ImageData" version="1.0" byte_order="{endian}Endian" header_type="UInt{head}"{compressor}>
<ImageData WholeExtent="{extent}" Origin="{origin[2]} {origin[1]} {origin[0]}" Spacing="{step[2]} {step[1]} {step[0]}">
<Piece Extent="{extent}"><{kind}>{"".join(lines)}</{kind}></Piece></ImageData>
""".encode()
    if form in ("base64", "raw"):
        content += f'<AppendedData encoding="{form}">\n_'.encode() + tail + b"\n</AppendedData>\n"
    path.write_bytes(content + b"</VTKFile>\n")
