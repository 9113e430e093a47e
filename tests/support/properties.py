"""How properties are tested: many small cases, never against the clock, on one server that each case finds empty."""

from hypothesis import HealthCheck, settings

PROPERTY = settings(
    max_examples=50,
    deadline=None,
    database=None,  # nothing is written into the checkout
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
