"""Tight, two-sided bounds on log-likelihood."""
