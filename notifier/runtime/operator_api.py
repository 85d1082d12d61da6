"""Builds the API that runs inside a command, for its operator (docs/decisions/one-cli.md)."""

from dataclasses import replace
from functools import partial

from fastapi import FastAPI, Request
from starlette.responses import Response

from notifier.api.app import create_app
from notifier.api.errors.problem_responses import build_problem
from notifier.auth.operator_access import OperatorAuthenticator
from notifier.errors import DatabaseUnavailableError
from notifier.health import checks
from notifier.health.probes import Probes
from notifier.runtime.process_parts import ProcessParts
from notifier.runtime.site import build_api_dependencies
from notifier.telemetry.request_observer import RequestObserver


def build_operator_api(parts: ProcessParts, operator: str) -> tuple[FastAPI, str]:
    """Build the API, and the token by which it knows the operator with this name."""
    probes = Probes(parts.database, parts.standby, partial(checks.check_database, parts.database), parts.clock)
    authenticator = OperatorAuthenticator(parts.database, parts.clock, operator)
    dependencies = build_api_dependencies(parts, probes, preview_niceness=0)  # no mail waits in this process
    app = create_app(replace(dependencies, authenticator=authenticator))
    app.exception_handlers = {**app.exception_handlers, DatabaseUnavailableError: _answer_with_reason}
    app.middleware_stack = RequestObserver(app.build_middleware_stack())
    return app, authenticator.token


async def _answer_with_reason(request: Request, error: Exception) -> Response:
    """Answer what is wrong with the database; a served API tells it to the log only."""
    assert isinstance(error, DatabaseUnavailableError)
    return build_problem(request, "database_unavailable", error.reason or str(error))
