"""`python -m monitoring.dashboards`: write the dashboards to the folder from which Grafana is provisioned."""

from __future__ import annotations

from monitoring.dashboards.board import FOLDER, write

if __name__ == "__main__":
    write(FOLDER)
