"""Grafana dashboards as code: `python -m monitoring.dashboards` renders `boards/*.toml` to the JSON files for Grafana.

Only rendering needs Grafana's SDK. Grafana itself is provisioned with the rendered files.
"""
