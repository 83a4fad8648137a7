"""Data with known anomalies, deterministic by seed: access-log traffic and the classic smoke events, with the truth."""
