"""The list of datasets must not wait for JAX or SciPy."""

import subprocess
import sys
from pathlib import Path

import taut

SCRIPT = """
import sys, types
package = types.ModuleType("taut")
package.__path__ = [sys.argv[1]]
sys.modules["taut"] = package
import taut.data
assert len(taut.data.listing()) >= 9
taut.data.load("digits", "train")
heavy = {"jax", "scipy", "PIL", "equinox"} & set(sys.modules)
assert not heavy, heavy
"""


def test_data_without_jax():
    # The package's own __init__ is left out: it names everything.
    folder = Path(taut.__file__).parent
    subprocess.run([sys.executable, "-c", SCRIPT, str(folder)], check=True)
