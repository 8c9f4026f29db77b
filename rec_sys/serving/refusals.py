"""Errors as answers: which status, and which field is to blame."""

import logging
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import OperationalError
from starlette.exceptions import HTTPException

from rec_sys.inference.backend import BackendUnavailable
from rec_sys.serving.answer_schemas import Refused
from rec_sys.serving.limits import FieldError

log = logging.getLogger(__name__)

#: For the documentation of every route that takes something.
REFUSALS: dict[int | str, dict[str, Any]] = {
    401: {"model": Refused, "description": "The API key is missing or wrong."},
    413: {"model": Refused, "description": "The body is too large."},
    422: {"model": Refused, "description": "A field cannot be accepted."},
    503: {"model": Refused, "description": "Too busy, or the models do not run; see Retry-After."},
}
# Where FastAPI found a value; the name of the field says enough.
_SOURCES = ("body", "query", "path", "header")
_PREFIX = "Value error, "


def add_refusals(app: FastAPI, retry_after: int) -> None:
    """Teaches an application to answer errors in the form of `Refused`.

    Args:
        app: The application.
        retry_after: What to tell if the database does not answer, in seconds.
    """

    @app.exception_handler(FieldError)
    def field_error(request: Request, error: FieldError) -> JSONResponse:
        return refused(422, [(error.field, error.message)])

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        return refused(422, list(map(_trouble, error.errors())))

    @app.exception_handler(BackendUnavailable)
    def unavailable(request: Request, error: BackendUnavailable) -> JSONResponse:
        log.warning("%s", error)
        seconds = max(1, round(error.retry_after))
        message = "the models do not run at the moment; try again"
        return refused(503, [("", message)], {"Retry-After": str(seconds)})

    @app.exception_handler(OperationalError)
    def no_database(request: Request, error: OperationalError) -> JSONResponse:
        # Not the statement: it holds what people wrote.
        log.error("the database does not answer: %s", error.orig)
        message = "the database does not answer at the moment; try again"
        return refused(503, [("", message)], {"Retry-After": str(retry_after)})

    @app.exception_handler(Exception)
    def fault(request: Request, error: Exception) -> JSONResponse:
        # It is logged with its traceback by the server.
        return refused(500, [("", "a fault of the service; please report it")])

    @app.exception_handler(HTTPException)
    def other(request: Request, error: HTTPException) -> JSONResponse:
        return refused(error.status_code, [("", str(error.detail))], error.headers)


def refused(status: int, troubles: Sequence[tuple[str, str]], headers: Any = None) -> JSONResponse:
    """An answer that names fields and what is wrong with them."""
    detail = [{"field": field, "message": message} for field, message in troubles]
    return JSONResponse({"detail": detail}, status, headers)


def _trouble(error: dict[str, Any]) -> tuple[str, str]:
    if error["type"] == "json_invalid":
        return "", f"not JSON: {error['ctx']['error']} at character {error['loc'][-1]}"
    if error["type"] == "extra_forbidden":
        return _field(error["loc"]), "no such field; see /openapi.json for those that there are"
    return _field(error["loc"]), str(error["msg"]).removeprefix(_PREFIX)


def _field(location: Sequence[int | str]) -> str:
    parts = location[1:] if location and location[0] in _SOURCES else location
    return ".".join(map(str, parts))
