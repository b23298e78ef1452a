"""Passwords that Prefect keeps: they go to the driver, and nowhere else."""

from typing import Any

from expectations.errors import InputError


def password_of(secret: str) -> str | None:
    """The value of the Prefect Secret block of that name; None where no name is given.

    Raises `InputError` where there is no such block.
    """
    if not secret:
        return None
    from prefect.blocks.system import Secret

    try:
        block: Any = Secret.load(secret)
        return str(block.get())
    except ValueError:
        raise InputError(
            f"there is no Prefect Secret block {secret!r}. Create it (Blocks, Secret) with the "
            "database user's password, or leave it out and set PGPASSWORD."
        ) from None
