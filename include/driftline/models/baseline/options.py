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

# handled by us: holidays come as country_holidays, sampling is never used, the backend is fixed
_NOT_OURS = {"self", "mcmc_samples", "uncertainty_samples", "stan_backend", "holidays", "changepoints"}
_EXTRA = {"country_holidays"}


@cache
def known_options() -> tuple[str, ...]:
    """Names that `training.prophet` may use."""
    from prophet import Prophet

    return tuple(sorted((set(inspect.signature(Prophet.__init__).parameters) - _NOT_OURS) | _EXTRA))


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
                where=f"{where}, training.prophet",
                expected=", ".join(known_options()),
                fix=f"Did you mean '{near[0]}'?",
            )
    try:
        new_prophet(options)
    except (ValueError, TypeError, AttributeError, NotImplementedError) as error:
        raise DefinitionError(f"Prophet refuses the options: {error}", where=f"{where}, training.prophet") from None


def new_prophet(options: dict[str, Any]) -> Prophet:
    """An unfitted Prophet with these options. It draws no samples: bounds come in closed form."""
    from prophet import Prophet

    for name in ("cmdstanpy", "prophet"):  # a line for each of thousands of series helps nobody
        logging.getLogger(name).disabled = True
    model = Prophet(**{name: value for name, value in options.items() if name not in _EXTRA}, uncertainty_samples=0)
    if country := options.get("country_holidays"):
        model.add_country_holidays(country)
    return model
