"""Stripe's error answers."""

from typing import Any


class ApiError(Exception):
    """An error answer.

    `stored`: an idempotency key repeats it (the endpoint had begun its work). `keeps_effects`: what the endpoint
    did stays done, as with a declined charge.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        kind: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        stored: bool = False,
        keeps_effects: bool = False,
        **more: Any,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.kind = kind
        self.code = code
        self.param = param
        self.stored = stored
        self.keeps_effects = keeps_effects
        self.more = more

    def body(self) -> dict[str, Any]:
        error: dict[str, Any] = {"message": self.message, "type": self.kind}
        for name, value in (("code", self.code), ("param", self.param), *self.more.items()):
            if value is not None:
                error[name] = value
        return {"error": error}


def parameter_missing(param: str) -> ApiError:
    return ApiError(f"Missing required param: {param}.", code="parameter_missing", param=param)


def parameter_unknown(params: list[str]) -> ApiError:
    plural = "s" if len(params) > 1 else ""
    message = f"Received unknown parameter{plural}: {', '.join(params)}"
    return ApiError(message, code="parameter_unknown", param=params[0])


def resource_missing(noun: str, object_id: str, param: str) -> ApiError:
    # Stripe answers 404 for an object named in the path and 400 for one named in a parameter.
    status = 404 if param == "id" else 400
    return ApiError(f"No such {noun}: '{object_id}'", status=status, code="resource_missing", param=param)


def state_error(message: str, *, code: str | None = None, param: str | None = None, **more: Any) -> ApiError:
    """The request was understood and the object's state forbids it."""
    return ApiError(message, code=code, param=param, stored=True, **more)
