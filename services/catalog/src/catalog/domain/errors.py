"""The situations in which the catalogue says no, each with the code that clients match on."""

from uuid import UUID

from common.errors import Conflict, Forbidden, Invalid, NotFound, TooLarge


class ApiNotFound(NotFound):
    """The API does not exist or the caller may not see it: one answer, so that drafts cannot be guessed."""

    code = "API_NOT_FOUND"

    def __init__(self, **which: str) -> None:
        super().__init__("There is no such API, or it is not published.", **which)


class ProviderNotFound(NotFound):
    """No organisation with this slug publishes anything here."""

    code = "PROVIDER_NOT_FOUND"

    def __init__(self, slug: str) -> None:
        super().__init__("No provider of this name publishes APIs here.", slug=slug)


class VersionNotFound(NotFound):
    """The API has no version of this name."""

    code = "VERSION_NOT_FOUND"

    def __init__(self, name: str) -> None:
        super().__init__(f"This API has no version {name!r}; GET its versions for the list.", version=name)


class DocumentNotFound(NotFound):
    """The version exists and has no OpenAPI document."""

    code = "OPENAPI_NOT_FOUND"

    def __init__(self, version: str) -> None:
        super().__init__("No OpenAPI document has been uploaded for this version.", version=version)


class PlanNotFound(NotFound):
    """The API has no plan with this id."""

    code = "PLAN_NOT_FOUND"

    def __init__(self, plan_id: UUID) -> None:
        super().__init__("This API has no such plan.", plan_id=str(plan_id))


class SlugTaken(Conflict):
    """The provider already has an API with this slug."""

    code = "API_SLUG_TAKEN"

    def __init__(self, slug: str) -> None:
        super().__init__("Your organisation already has an API with this slug; choose another.", slug=slug)


class VersionExists(Conflict):
    """The API already has a version of this name."""

    code = "VERSION_EXISTS"

    def __init__(self, name: str) -> None:
        super().__init__("This API already has a version of this name.", version=name)


class PlanNameTaken(Conflict):
    """The API already has a plan of this name."""

    code = "PLAN_NAME_TAKEN"

    def __init__(self, name: str) -> None:
        super().__init__("This API already has a plan of this name; change that plan instead.", name=name)


class PlanArchived(Conflict):
    """The plan is no longer sold, so its terms cannot change."""

    code = "PLAN_ARCHIVED"

    def __init__(self, plan_id: UUID) -> None:
        super().__init__("An archived plan keeps its terms; make a new plan.", plan_id=str(plan_id))


class InvalidTransition(Conflict):
    """The API's status does not allow this action."""

    code = "INVALID_TRANSITION"

    def __init__(self, status: str, action: str, allowed: list[str]) -> None:
        cure = f"Possible now: {', '.join(allowed)}." if allowed else "Nothing can change it any more."
        super().__init__(f"An API that is {status} cannot be changed by {action}. {cure}", status_now=status)


class NothingToPublish(Conflict):
    """The API has no version, so there would be nothing to call."""

    code = "API_HAS_NO_VERSION"

    def __init__(self) -> None:
        super().__init__("Upload an OpenAPI document or create a version before publishing.")


class ApiWasPublished(Conflict):
    """An API that was once public may have subscribers and invoices, so it is retired, never deleted."""

    code = "API_WAS_PUBLISHED"

    def __init__(self) -> None:
        super().__init__("This API has been public; deprecate and retire it instead of deleting it.")


class ApiIsFrozen(Conflict):
    """A retired or suspended API does not change."""

    code = "API_IS_FROZEN"

    def __init__(self, status: str) -> None:
        super().__init__(f"An API that is {status} cannot be edited.", status_now=status)


class OrganisationSuspended(Forbidden):
    """The organisation is suspended, so it publishes nothing new."""

    code = "ORGANISATION_SUSPENDED"

    def __init__(self) -> None:
        super().__init__("Your organisation is suspended; write to the operator of this marketplace.")


class UpstreamSecretsOff(Conflict):
    """This marketplace has no master to derive secrets from."""

    code = "UPSTREAM_SECRETS_OFF"

    def __init__(self) -> None:
        super().__init__("The gateway of this marketplace does not sign calls; ask its operator.")


class UnknownCategory(Invalid):
    """The category is none of the marketplace's."""

    code = "UNKNOWN_CATEGORY"

    def __init__(self, category: str) -> None:
        super().__init__(
            f"There is no category {category!r}; GET /v1/categories lists them.", field="category"
        )


class BadSlug(Invalid):
    """The slug cannot stand in a path of the gateway."""

    code = "BAD_SLUG"

    def __init__(self, reason: str, *, field: str = "slug") -> None:
        super().__init__(reason, field=field)


class BadUpstream(Invalid):
    """The gateway must not send calls to this address."""

    code = "BAD_BASE_URL"

    def __init__(self, reason: str) -> None:
        super().__init__(reason, field="base_url")


class BadLifecycle(Invalid):
    """The dates of a version contradict each other."""

    code = "BAD_LIFECYCLE"

    def __init__(self, reason: str, *, field: str) -> None:
        super().__init__(reason, field=field)


class BadSettings(Invalid):
    """The gateway cannot treat calls like this; `field` names the place within the settings."""

    code = "BAD_SETTINGS"

    def __init__(self, reason: str, *, field: str) -> None:
        super().__init__(reason, field=f"settings.{field}")


class BadTerms(Invalid):
    """The plan's terms contradict themselves; `field` names the place."""

    code = "BAD_TERMS"

    def __init__(self, reason: str, *, field: str) -> None:
        super().__init__(reason, field=field)


class DocumentTooLarge(TooLarge):
    """The document has more bytes than are read."""

    code = "OPENAPI_TOO_LARGE"

    def __init__(self, max_bytes: int) -> None:
        super().__init__(f"An OpenAPI document may have at most {max_bytes} bytes.", max_bytes=max_bytes)


class DocumentUnreadable(Invalid):
    """The body is neither JSON nor YAML."""

    code = "OPENAPI_UNREADABLE"


class DocumentTooComplex(Invalid):
    """The document is nested too deeply, or unfolds into too much."""

    code = "OPENAPI_TOO_COMPLEX"


class DocumentVersionUnsupported(Invalid):
    """Readable, but not OpenAPI 3.0 or 3.1."""

    code = "OPENAPI_VERSION_UNSUPPORTED"


class DocumentInvalid(Invalid):
    """OpenAPI 3, but so that no endpoint can be derived from it; `at` is a JSON pointer to the place."""

    code = "OPENAPI_INVALID"

    def __init__(self, reason: str, *, at: str) -> None:
        super().__init__(f"{reason} (at {at or '/'})", at=at)


class ExternalReference(Invalid):
    """The document points outside itself; nothing outside is ever fetched."""

    code = "OPENAPI_EXTERNAL_REFERENCE"

    def __init__(self, reference: str, *, at: str) -> None:
        super().__init__(
            f"The document refers to {reference[:200]!r} (at {at}). Only references inside the document are"
            " followed: bundle it into one file first.",
            at=at,
        )


class NoOperations(Invalid):
    """The document describes nothing that could be called."""

    code = "OPENAPI_NO_OPERATIONS"

    def __init__(self) -> None:
        super().__init__("The document describes no operation under `paths`, so there is nothing to call.")
