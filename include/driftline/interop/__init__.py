"""Definitions of other systems: read into jobs, and written back."""
