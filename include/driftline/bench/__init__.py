"""Benchmarks: ours against others' in one run, as ratios, because machines differ and are noisy."""
