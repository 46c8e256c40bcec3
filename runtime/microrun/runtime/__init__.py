"""Run models on patterns at the speed of the machine; never imports torch.

>>> from microrun.runtime import MemorySource, Scan, encode, open_engine
"""

from microrun.runtime.engine import open_engine
from microrun.runtime.errors import MicrorunError
from microrun.runtime.file_sources import FileSource, FollowingSource
from microrun.runtime.latents import open_latents
from microrun.runtime.scan import Scan
from microrun.runtime.session import EncodeRequest, encode_scan
from microrun.runtime.sources import MemorySource
from microrun.runtime.stream import encode

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
