import sys
from pathlib import Path

# `small_problems` serves the worker processes too, which are no test modules.
sys.path.insert(0, str(Path(__file__).parent))
