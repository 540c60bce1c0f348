"""How long hypothesis looks for a failure: the profile that HYPOTHESIS_PROFILE names."""

import os

from hypothesis import HealthCheck, settings

# Others may use the machine, so no example has a deadline; a whole test has one (pytest-timeout).
settings.register_profile("dev", deadline=None)
# The same commit gives the same result every time.
settings.register_profile("ci", deadline=None, derandomize=True, database=None)
settings.register_profile("deep", deadline=None, max_examples=5_000)
# A turn of `python -m fuzz`: new seeds each time, nothing remembered, so that examples are counted.
settings.register_profile(
    "turn",
    deadline=None,
    max_examples=100,
    database=None,
    suppress_health_check=list(HealthCheck),
)


def load() -> None:
    """Make the profile that the environment names the default; `dev` where it names none."""
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))
