"""The configurations that ship: each is a whole deployment, beside the tables that they name."""

from pathlib import Path

_CONFIGS = Path(__file__).parents[2] / "configs"
_TABLES = {"prices.yaml", "routing.yaml"}

SHIPPED = sorted(path for path in _CONFIGS.glob("*.yaml") if path.name not in _TABLES)
