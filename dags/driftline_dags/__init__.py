"""Wiring only: one stage a file."""
