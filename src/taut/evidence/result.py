"""The result: two ends, what they rest on, and a verdict in words."""

import json
import math
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from .statistics import log_mean_exp, mean_bound, standard_error

_ROUNDING = 64  # units in the last place
BOUND, CERTIFIED, ASYMPTOTIC = "bound", "certified", "asymptotic"


@dataclass(frozen=True)
class End:
    """One end: the mean of `log Z_hat` over independent runs of one frozen method.

    Below (`side` -1), `E[value] <= log Z`. Above (`side` +1), `E[value] >= log Z`
    for runs conditioned on exact draws; `kind` says how exact they are.
    """

    log_z: np.ndarray
    side: int
    kind: str
    level: float = 0.95
    epsilon: float = float(np.finfo(float).eps)  # of the numbers that were added up

    @property
    def value(self) -> float:
        return float(np.mean(self.log_z))

    @property
    def se(self) -> float:
        return standard_error(self.log_z)

    @property
    def bound(self) -> float:
        """The finite end of the interval, no nearer than rounding can tell."""
        rounding = _ROUNDING * self.epsilon * (1 + abs(self.value))
        return mean_bound(self.log_z, self.level, self.side) + self.side * rounding

    @property
    def interval(self) -> tuple[float, float]:
        """One-sided, for the expectation of this end, at `level`."""
        return (self.bound, math.inf) if self.side < 0 else (-math.inf, self.bound)

    def guaranteed(self, alpha: float) -> float:
        """`log Z` lies beyond it with probability at most `alpha`, by Markov's
        inequality on the average of `Z_hat` (of `1 / Z_hat`, above).
        """
        if not 0 < alpha < 1:
            raise ValueError(f"Expected alpha between 0 and 1; got {alpha}.")
        # side = -1: log mean Z_hat - log(1/alpha); side = +1: -log mean 1/Z_hat + ...
        mean = -self.side * log_mean_exp(-self.side * self.log_z)
        return mean + self.side * math.log(1 / alpha)


@dataclass(frozen=True)
class Estimate:
    """A point between the ends; consistent, not a bound."""

    value: float
    se: float
    method: str


@dataclass(frozen=True)
class Curve:
    """Thermodynamic integration: `d log Z_beta / d beta` along the annealing path."""

    beta: np.ndarray
    mean: np.ndarray
    se: np.ndarray

    @property
    def integral(self) -> float:
        """`log Z` by the trapezoid rule; discretised, so no bound."""
        return float(np.trapezoid(self.mean, self.beta))


@dataclass(frozen=True)
class Calibration:
    """Mean gap of the frozen method over data sets simulated at posterior draws: one
    whose gap on the real data is of another size met something else there.
    """

    gap: float
    se: float
    simulations: int


@dataclass(frozen=True)
class Verdict:
    """One word by a rule, and the reasons."""

    word: str  # certified, asymptotic, lower only, or do not trust
    reasons: tuple[str, ...]

    def __str__(self):
        return ". ".join([self.word, *self.reasons]) + "."


@dataclass(frozen=True)
class Evidence:
    """`log Z` from below and from above. `print` it for a summary."""

    lower: End
    upper: End | None
    estimate: Estimate
    verdict: Verdict
    method: str  # which one, with its frozen settings in words
    settings: dict[str, Any]
    ess: float  # effective weights in the final lower run, of all runs together
    khat: float
    acceptance: float | None
    invalid: int  # weights that were NaN or +inf, set to zero
    evaluations: int  # of the log joint (with gradients, for HMC), final run
    seconds: float
    seed: int
    dtype: str
    versions: dict[str, str]
    data_digest: str | None
    pilot: tuple[dict[str, Any], ...] = ()
    calibration: Calibration | None = None  # the gap on simulated data
    curve: Curve | None = None
    log_weight: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))

    @property
    def gap(self) -> float | None:
        """Upper minus lower; it bounds the sum of both ends' errors."""
        return None if self.upper is None else self.upper.value - self.lower.value

    def __str__(self):
        line = lambda name, value: f"{name:>12}  {value}"
        rows = [line("lower", f"{self.lower.value:.4f} (above {self.lower.bound:.4f})")]
        if self.upper is not None:
            value = f"{self.upper.value:.4f} (below {self.upper.bound:.4f})"
            rows.append(line("upper", f"{value}, {self.upper.kind}"))
            rows.append(line("gap", f"{self.gap:.4f}"))
        if self.calibration is not None:
            found = self.calibration
            value = f"gap {found.gap:.4f} ± {found.se:.4f} on simulated data"
            rows.append(line("calibration", value))
        point = self.estimate
        rows += [
            line("estimate", f"{point.value:.4f} ± {point.se:.4f} ({point.method})"),
            line("method", self.method),
            line("weights", f"ESS {self.ess:.0f}, k-hat {self.khat:.2f}"),
            line("cost", f"{self.evaluations:,} evaluations, {self.seconds:.1f} s"),
            line("verdict", str(self.verdict)),
        ]
        return "\n".join(rows)

    def to_json(self) -> str:
        """Everything but the single weights; infinities and NaN become null."""
        return json.dumps(_plain(self._record()), indent=2, sort_keys=True)

    def _record(self) -> dict[str, Any]:
        end = lambda e: {
            "value": e.value,
            "se": e.se,
            "bound": e.bound,
            "interval": e.interval,
            "level": e.level,
            "kind": e.kind,
            "guaranteed_0.05": e.guaranteed(0.05),
            "log_z": e.log_z,
        }
        skipped = ("lower", "upper", "log_weight", "curve")
        names = [n for n in self.__dataclass_fields__ if n not in skipped]
        record = {name: getattr(self, name) for name in names}
        record["estimate"], record["verdict"] = map(
            asdict, (self.estimate, self.verdict)
        )
        record["lower"] = end(self.lower)
        record["upper"] = None if self.upper is None else end(self.upper)
        simulated = self.calibration
        record["calibration"] = None if simulated is None else asdict(simulated)
        record["curve"] = None if self.curve is None else asdict(self.curve)
        record["gap"] = self.gap
        return record

    def to_xarray(self):
        """An `xarray.Dataset` of the runs, with the rest as attributes."""
        try:
            import xarray  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise ImportError("`to_xarray` needs xarray: `pip install xarray`.") from (
                error
            )
        variables: dict[str, Any] = {
            "lower": ("run", self.lower.log_z),
            "log_weight": (("run", "particle"), self.log_weight),
        }
        if self.upper is not None:
            variables["upper"] = ("conditional_run", self.upper.log_z)
        if self.curve is not None:
            variables["slope"] = ("beta", self.curve.mean, {"se": self.curve.se})
            variables["beta"] = ("beta", self.curve.beta)
        return xarray.Dataset(variables, attrs={"taut_evidence": self.to_json()})

    def plot(self) -> str:
        """The two ends, run by run, as SVG text."""
        from .picture import draw

        return draw(self)


def _plain(value: Any) -> Any:
    """JSON's own types; what is not finite becomes null."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
