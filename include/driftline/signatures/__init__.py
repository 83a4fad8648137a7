"""Signatures of many entities: profiles of how each behaves, groups of them, and how far a span is from what is usual.

Arrays in, arrays out: no input or output. Shapes: E entities, S spans, B bins (slots of a workday, then of a weekend day), C
values of a mix, F features.
"""
