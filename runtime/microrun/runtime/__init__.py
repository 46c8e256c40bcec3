"""Run models on patterns at the speed of the machine, and look at what comes out; never imports torch.

>>> from microrun.runtime import MemorySource, Scan, encode, open_engine

Everything here is imported when it is first used; ``__init__.pyi`` says where it is defined.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
