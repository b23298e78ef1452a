"""Run a flow by hand: against a Prefect server of our own, unless one is configured."""

import gc
from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING

from deployments import console, ephemeral
from deployments.console import Shown

if TYPE_CHECKING:
    from prefect.states import State

    Call = Callable[[], State]


def run_flow(prepare: "Callable[[], Call]", shown: Shown, debug: bool) -> "State":
    """Run the flow that `prepare` gives as a call, and give back the state that it ended in.

    The server comes up in a process of its own while `prepare` imports what the flow needs; what
    it finds wrong is told before anything is run. Raises what failed the flow, unless it is that
    a gate refused.
    """
    server = ephemeral.start_if_needed(debug=debug)
    gc.disable()  # a tenth of the time these imports take
    try:
        with shown.listening():
            call = prepare()
            gc.freeze()
            gc.enable()
            if server:
                server.wait_ready()
            with ephemeral.without_heartbeats() if server else nullcontext():
                state = call()
        if state.is_failed() and state.name != "Refused":
            raise console.error_of(state)
        return state
    finally:
        gc.enable()
        if server:
            server.stop()
