"""Prophet's options as a job gives them: checked by name, so that a typing error is no silent default."""

from __future__ import annotations

import difflib
import inspect
import logging
from functools import cache
from typing import TYPE_CHECKING, Any

from driftline.core.errors import DefinitionError

if TYPE_CHECKING:
    from prophet import Prophet

# Handled by us: sampling is not used for bounds, and the backend is fixed. A list of dates would be old at the next retrain.
_NOT_IN_JOBS = {"self", "mcmc_samples", "uncertainty_samples", "stan_backend", "changepoints", "interval_width"}
# What Prophet takes by methods, columns or not at all.
EXTRA = {"country_holidays", "seasonalities", "extra_regressors", "time_zone", "time_shifts", "cap", "floor"}
_FROM_ELSEWHERE = {"extra_regressors", "time_shifts"}  # what a job has other fields for


@cache
def known_options() -> tuple[str, ...]:
    """Names that `training.prophet` may use."""
    return tuple(sorted((_arguments() - _NOT_IN_JOBS) | (EXTRA - _FROM_ELSEWHERE)))


@cache
def _arguments() -> frozenset[str]:
    from prophet import Prophet

    return frozenset(inspect.signature(Prophet.__init__).parameters)


def check_options(options: dict[str, Any], where: str) -> None:
    """Refuses options that Prophet does not have.

    Raises:
        DefinitionError: Names the option and the nearest one that exists.
    """
    for name in options:
        if name not in known_options():
            near = difflib.get_close_matches(name, known_options(), n=1, cutoff=0)
            raise DefinitionError(
                f"'{name}' is not an option of Prophet that can be set here",
                where=where,
                expected=", ".join(known_options()),
                fix=f"Did you mean '{near[0]}'?",
            )
    try:
        try_options(options)
    except (ValueError, TypeError, AttributeError, NotImplementedError, KeyError) as error:
        raise DefinitionError(f"Prophet refuses the options: {error}", where=where) from None


def try_options(options: dict[str, Any]) -> None:
    """Sets up a model.

    Raises:
        ValueError, TypeError, AttributeError, NotImplementedError, KeyError: It cannot be done.
    """
    from zoneinfo import ZoneInfo

    new_prophet(options)

    if zone := options.get("time_zone"):
        ZoneInfo(zone)
    if options.get("growth") == "logistic" and "cap" not in options:
        raise ValueError("growth 'logistic' needs a 'cap'")
    if any(spec.get("condition_name") for spec in options.get("seasonalities", ())):
        raise ValueError("a seasonality with a condition_name needs a column that a series does not have")


def plain(options: dict[str, Any]) -> dict[str, Any]:
    """The options as JSON data: tables of holidays as records, dates as text."""
    import pandas as pd

    kept = dict(options)
    if (holidays := kept.get("holidays")) is not None:
        table = pd.DataFrame(holidays)
        table["ds"] = pd.to_datetime(table["ds"]).dt.strftime("%Y-%m-%d")
        kept["holidays"] = [
            {str(name): value for name, value in row.items() if not pd.isna(value)} for row in table.to_dict("records")
        ]
    if kept.get("changepoints") is not None:
        kept["changepoints"] = [str(pd.Timestamp(moment)) for moment in kept["changepoints"]]
    return kept


def new_prophet(options: dict[str, Any]) -> Prophet:
    """An unfitted Prophet with these options. It draws no samples: bounds come without simulation."""
    import pandas as pd
    from prophet import Prophet

    for name in ("cmdstanpy", "prophet"):  # a line for each of thousands of series helps nobody
        logging.getLogger(name).disabled = True
    arguments = {name: value for name, value in options.items() if name not in EXTRA}
    if arguments.get("holidays") is not None:
        arguments["holidays"] = pd.DataFrame(arguments["holidays"])
    model = Prophet(**{"uncertainty_samples": 0, **arguments})
    for spec in options.get("seasonalities", ()):
        model.add_seasonality(**spec)
    for name, spec in options.get("extra_regressors", {}).items():
        model.add_regressor(name, **spec)
    if country := options.get("country_holidays"):
        model.add_country_holidays(country)
    return model
