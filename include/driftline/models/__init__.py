"""Models: one a package, behind one protocol.

A model is fitted on many series at once and gives a fleet; a fleet predicts, and turns into plain numbers and back:

    fleet = fit_fleet(ds, Y, **options)     ds (T,), Y (N, T) with NaN where missing
    fleet.predict(times)                    lower / typical / upper, each (N, len(times))
    fleet.to_numbers() / from_numbers(…)    JSON data, a few hundred bytes a series
"""
