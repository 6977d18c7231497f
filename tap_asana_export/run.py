"""One run: what to bring, side by side."""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from tap_asana_export.asana.auth import GRANT, Grant
from tap_asana_export.asana.client import Asana
from tap_asana_export.errors import SettingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


@contextlib.contextmanager
def connect(
    settings: Mapping[str, Any],
    undisturbed: Callable[[], AbstractContextManager[Any]] = contextlib.nullcontext,
    *,
    retries: int = 6,
) -> Iterator[Asana]:
    """Asana as the settings have it, or a sandbox that lives as long as the context.

    Args:
        settings: the tap's.
        undisturbed: as `Asana` has it.
        retries: how often to try a request again.

    Raises:
        SettingError: the setting `sandbox` names something that the sandbox does not know.
    """
    with contextlib.ExitStack() as stack:
        api_url, token = settings["api_url"], settings["access_token"] or Grant(*(settings[each] for each in GRANT))
        if sandbox := settings["sandbox"]:
            from tap_asana_export.sandbox import Sandbox  # noqa: PLC0415 - only who plays in it pays for it

            options = sandbox if isinstance(sandbox, dict) else {}
            if unknown := options.keys() - Sandbox.settings().keys():
                names = ", ".join(sorted(Sandbox.settings()))
                raise SettingError(f"Settings: sandbox knows no '{', '.join(sorted(unknown))}', only {names}.")
            try:
                stand_in = Sandbox(**options)
            except (TypeError, ValueError) as error:
                raise SettingError(f"Settings: sandbox cannot be set up: {error}") from None
            stack.enter_context(stand_in)
            api_url, token = stand_in.api_url, stand_in.access_token
        yield Asana(
            api_url,
            token,
            user_agent=settings["user_agent"],
            timeout=settings["request_timeout"],
            undisturbed=undisturbed,
            retries=retries,
        )
