"""An evaluation as a table for people."""

from typing import Any

from .progress import results


def show(name: str, found: dict[str, dict[str, Any]]) -> None:
    """Each bound: its ends on test examples and on simulated ones."""
    from rich.table import Table

    (step,) = {result["step"] for result in found.values()}
    table = Table(title=f"{name}, step {step:,}")
    for column in ("", "examples", "lower end", "upper end", "gap", "verdict"):
        table.add_column(
            column, justify="left" if column in ("", "verdict") else "right"
        )
    for bound, result in found.items():
        lower = result["lower"]
        draws = lower.get("se_monte_carlo")
        error = f"± {lower['se_examples'] or 0:.2f} (examples)"
        error += f"\n± {draws:.2f} (draws)" if draws is not None else ""
        table.add_row(
            bound,
            f"{lower['examples']} test",
            f"{lower['mean']:.2f} {error}",
            "–",
            "–",
            result.get("verdict", "lower only")
            if result["is_bound"]
            else "not a bound",
        )
        both = result.get("simulated")
        if both:
            table.add_row(
                bound,
                f"{both['lower']['examples']} simulated",
                f"{both['lower']['mean']:.2f}",
                f"{both['upper']['mean']:.2f}",
                f"{both['gap']['mean']:.2f} ± {both['gap']['se_examples'] or 0:.2f}",
                both["verdict"],
            )
    results.print(table)
    for bound, result in found.items():
        results.print(f"{bound}: {result['seconds']:.0f} s")
