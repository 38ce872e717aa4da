"""A seed of any random_state, without a global generator."""

from __future__ import annotations

import secrets
from typing import Any

from sklearn.utils import check_random_state


def seed_of(random_state: Any) -> int:
    """Return a seed; None draws one from the system, and no global generator is touched."""
    if random_state is None:
        return secrets.randbits(31)
    return int(check_random_state(random_state).randint(2**31 - 1))
