"""`cardwatch simulate`: a simulated world as Parquet files."""

from cli.simulate.command import simulate

__all__ = ["simulate"]
