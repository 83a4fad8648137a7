"""Scores: residuals → evidence → probability → 0–100. Pure functions of series, model and settings."""
