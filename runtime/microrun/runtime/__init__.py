"""Run models on patterns at the speed of the machine; never imports torch.

>>> from microrun.runtime import MemorySource, Scan, encode, open_engine
"""

from microrun.runtime.encoding.encode_scan import EncodeRequest, encode_scan
from microrun.runtime.encoding.stream import encode
from microrun.runtime.engines.open import open_engine
from microrun.runtime.errors import MicrorunError
from microrun.runtime.latents.reader import open_latents
from microrun.runtime.scans.scan import Scan
from microrun.runtime.scans.source import MemorySource
from microrun.runtime.scans.up_source import FileSource, FollowingSource

__all__ = [
    "EncodeRequest",
    "FileSource",
    "FollowingSource",
    "MemorySource",
    "MicrorunError",
    "Scan",
    "encode",
    "encode_scan",
    "open_engine",
    "open_latents",
]
