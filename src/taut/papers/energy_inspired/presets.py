"""Every row of the papers' tables, and the curves of their figures."""

from ..experiment import Preset
from .curves import figure1, figure3
from .table1 import earlier, table1
from .table2 import table2

PRESETS: tuple[Preset, ...] = (
    *table1(),
    *table2(),
    *earlier(),
    *figure1(),
    *figure3(),
)
