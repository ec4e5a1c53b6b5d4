"""Two-sided evidence for anyone's model."""

from .comparing import Comparison as Comparison, compare as compare
from .draws import Nuts as Nuts
from .flow import Flow as Flow
from .multiple import MultiSample as MultiSample
from .problem import Problem as Problem
from .result import (
    Calibration as Calibration,
    Curve as Curve,
    End as End,
    Estimate as Estimate,
    Evidence as Evidence,
    Verdict as Verdict,
)
from .sandwich import sandwich as sandwich
from .target import LogJoint as LogJoint, Whitened as Whitened, black_box as black_box
