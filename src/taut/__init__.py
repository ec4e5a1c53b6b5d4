"""Tight, two-sided bounds on log-likelihood.

Public names are listed in `__init__.pyi` and imported when they are first used, so that
`taut --help` answers without waiting for JAX.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
