"""What a person reads on release day: a report as one HTML file."""

from __future__ import annotations

from gnomon.report.html import render_report

__all__ = ["render_report"]
