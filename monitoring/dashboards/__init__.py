"""The Grafana dashboards as code: `python -m monitoring.dashboards` writes `monitoring/grafana/dashboards`.

Only this package needs Grafana's SDK, and only to write: whoever runs the system reads the files.
"""
