"""What can go wrong with people and organisations; `code` is public and stable."""

from __future__ import annotations

from common.errors import Conflict, Forbidden, Invalid, NotFound, Unauthenticated, Unavailable


class InvalidSubjectToken(Unauthenticated):
    """The presented token is not one of our issuer's, or no longer valid."""

    code = "INVALID_SUBJECT_TOKEN"

    def __init__(self, why: str) -> None:
        super().__init__(f"The subject token was refused: {why}. Sign in again and send a fresh one.")
        self.why = why


class IdentityProviderUnavailable(Unavailable):
    """The issuer's keys could not be fetched, so nobody new can be verified at the moment."""

    code = "IDENTITY_PROVIDER_UNAVAILABLE"

    def __init__(self) -> None:
        super().__init__(
            "The identity provider does not answer. Tokens already issued stay good; try again soon."
        )


class NotAMember(Forbidden):
    """The caller has no role in the organisation asked for; also said when there is no such organisation."""

    code = "NOT_A_MEMBER"

    def __init__(self, organisation: str) -> None:
        super().__init__(
            "You are not a member of this organisation; ask one of its owners.", organisation=organisation
        )


class OrganisationSuspended(Forbidden):
    """The platform's operator has suspended the organisation."""

    code = "ORGANISATION_SUSPENDED"

    def __init__(self, organisation: str) -> None:
        super().__init__(
            "This organisation is suspended; write to the platform's operator.", organisation=organisation
        )


class RoleTooLow(Forbidden):
    """The caller's role does not reach far enough for this change of membership."""

    code = "ROLE_TOO_LOW"

    def __init__(self, role: str) -> None:
        super().__init__("Your role may not make this change; an owner can.", role=role)


class LastOwner(Conflict):
    """The change would leave an organisation without an owner."""

    code = "LAST_OWNER"

    def __init__(self) -> None:
        super().__init__("An organisation keeps at least one owner; make somebody else an owner first.")


class AlreadyMember(Conflict):
    """The person belongs to the organisation already."""

    code = "ALREADY_A_MEMBER"

    def __init__(self) -> None:
        super().__init__("This person is a member already; change the role instead.")


class SlugTaken(Conflict):
    """Another organisation has the slug."""

    code = "SLUG_TAKEN"

    def __init__(self, slug: str) -> None:
        super().__init__("This slug is taken; choose another.", slug=slug)


class InvalidSlug(Invalid):
    """The slug cannot stand in a URL path the way the platform uses it."""

    code = "INVALID_SLUG"

    def __init__(self, why: str) -> None:
        super().__init__(f"The slug {why}.", field="slug")


class OrganisationNotFound(NotFound):
    """No such organisation, or none that the caller may see."""

    code = "ORGANISATION_NOT_FOUND"

    def __init__(self) -> None:
        super().__init__("There is no such organisation among those you may see.")


class UserNotFound(NotFound):
    """Nobody with this verified e-mail address has signed in yet."""

    code = "USER_NOT_FOUND"

    def __init__(self) -> None:
        super().__init__(
            "Nobody with this verified e-mail address has signed in yet; ask them to sign in once."
        )


class MemberNotFound(NotFound):
    """The person is not a member of the organisation."""

    code = "MEMBER_NOT_FOUND"

    def __init__(self) -> None:
        super().__init__("This person is not a member of the organisation.")


class AccessTokenNotFound(NotFound):
    """No such personal access token of the caller's."""

    code = "ACCESS_TOKEN_NOT_FOUND"

    def __init__(self) -> None:
        super().__init__("You have no personal access token with this id.")


class ExpiryInThePast(Invalid):
    """A personal access token must end after it begins, within a year."""

    code = "INVALID_EXPIRY"

    def __init__(self) -> None:
        super().__init__(
            "A personal access token ends in the future and within 366 days.", field="expires_at"
        )
