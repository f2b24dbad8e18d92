"""`python -m monitoring.dashboards`: write the dashboards where Grafana is provisioned from."""

from __future__ import annotations

from monitoring.dashboards.written import FOLDER, write

if __name__ == "__main__":
    write(FOLDER)
