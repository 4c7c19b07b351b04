"""Logs, spans, metrics and health: the only package that touches the OpenTelemetry SDK."""
