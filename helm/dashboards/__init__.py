"""Grafana's dashboards as code: `python -m helm.dashboards` writes `helm/sluice/dashboards`."""
