"""Analyses of documents: features, trees, outliers, evaluation; no input or output."""
