"""Who asks, and what they may do: keys of programs, tokens of people, and how often each may ask.
``uv run -m rec_sys.serving.access ROLE NAME`` makes a key and the line of ``serving.keys_file``
that admits it; the file holds no key, only its SHA-256."""

import hashlib
import logging
import re
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import NoReturn

import jwt
from fastapi import HTTPException

from rec_sys.foundation.errors import InputError
from rec_sys.foundation.files import require_regular

log = logging.getLogger(__name__)

ADMIN, CLIENT, PERSON = "admin", "client", "person"
KEY_HEADER = "X-API-Key"

# RFC 7518, 3.2: a key of HS256 is at least as long as its hash.
_SECRET_BYTES = 32
_KEY_LINE = re.compile(rf"({ADMIN}|{CLIENT})\s+(\S+)\s+([0-9a-fA-F]{{64}})")
_KEY = re.compile(r"[!-~]([ -~]*[!-~])?")
_MINUTE = 60.0
# Callers whose last request is so long ago that it counts no more are forgotten beyond so many.
_MOST_CALLERS = 10_000


class Refused(HTTPException):
    """A request is not answered; the message says what is wrong with it and what to do, and `field`
    what it is about, empty for the request as a whole."""

    def __init__(
        self, status: int, message: str, field: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(status, message, headers)
        self.field = field

    def __str__(self) -> str:
        return self.detail


@dataclass(frozen=True)
class Caller:
    """Who asks: `ADMIN`, `CLIENT` (a program that may ask about everybody) or `PERSON`; `name` is
    of the key, or a person's id."""

    role: str
    name: str

    def require_person(self, user_id: str) -> None:
        if self.role == PERSON and self.name != user_id:
            raise Refused(403, "this token is another person's", "user_id")

    def require_admin(self) -> None:
        if self.role != ADMIN:
            raise Refused(403, f"needs an admin key in the header {KEY_HEADER}")


class Access:
    """Tells callers by their keys and tokens; without any configured everybody is a client. Lines
    of `keys_file` are role, name and SHA-256 of a key, read again when it changes. `person_secret`
    signs people's tokens (JWT, HS256, ``sub`` the id, ``exp``). Each may be empty. The rates are of
    one key, and of one person's token. Raises InputError if one cannot be used."""

    def __init__(
        self,
        api_key: str,
        admin_key: str,
        keys_file: str,
        person_secret: str,
        requests_per_minute: int,
        person_requests_per_minute: int,
    ) -> None:
        given = ((CLIENT, "api_key", api_key), (ADMIN, "admin_key", admin_key))
        for _, name, key in given:
            if key and not _KEY.fullmatch(key):
                why = "must be printable ASCII without spaces at its ends, as headers are"
                raise InputError(f"serving.{name}: {why}")
        self._fixed = {_digest(key): Caller(role, name) for role, name, key in given if key}
        self._file = Path(keys_file) if keys_file else None
        self._file_state: tuple[int, ...] | None = None
        self._callers = dict(self._fixed)
        if self._file:
            self._read_file(self._file)
        if person_secret and len(person_secret.encode()) < _SECRET_BYTES:
            raise InputError(f"serving.person_secret: needs at least {_SECRET_BYTES} characters")
        self._secret = person_secret
        rates = {PERSON: person_requests_per_minute, CLIENT: requests_per_minute}
        self._often = {role: RequestRate(per_minute) for role, per_minute in rates.items()}

    @property
    def is_open(self) -> bool:
        """Whether anybody may ask, as nothing tells callers apart."""
        return not (self._fixed or self._file or self._secret)

    @property
    def parties(self) -> int:
        """How many may want to ask at once: clients by their keys, and all people together."""
        clients = [each for each in self._callers.values() if each.role == CLIENT]
        return max(1, len(clients) + bool(self._secret))

    def caller(self, headers: Mapping[str, str]) -> Caller:
        """Finds out who asks by the request's headers, names in lower case. Raises Refused if it is
        nobody who may (401), or too often (429)."""
        if self.is_open:
            return Caller(CLIENT, "")
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if self._secret and scheme.lower() == "bearer" and KEY_HEADER.lower() not in headers:
            caller = self._person(token.strip())
        else:
            self._read_changed_file()
            key = headers.get(KEY_HEADER.lower())
            caller = self._callers.get(_digest(key)) if key else None
            if caller is None:
                _nobody(f"the header {KEY_HEADER} is missing or wrong")
        rate = self._often[PERSON if caller.role == PERSON else CLIENT]
        if (seconds := rate.seconds_to_wait(f"{caller.role} {caller.name}")) > 0:
            wait = str(int(seconds) + 1)
            raise Refused(429, "too many requests; try again later", headers={"Retry-After": wait})
        return caller

    def _person(self, token: str) -> Caller:
        try:
            said = jwt.decode(token, self._secret, ["HS256"], {"require": ["exp", "sub"]})
        except jwt.ExpiredSignatureError:
            _nobody("the token has expired; get a new one")
        except jwt.InvalidTokenError:
            _nobody("the token in the header Authorization is none that this service accepts")
        return Caller(PERSON, said["sub"])

    def _read_changed_file(self) -> None:
        try:
            if self._file and _state_of(self._file) != self._file_state:
                self._read_file(self._file)
        except (InputError, OSError) as error:
            # Half-written, or moved away: whoever was admitted stays so until it can be read.
            log.error("the keys that were read before stay valid: %s", error)
            self._file_state = None

    def _read_file(self, path: Path) -> None:
        try:
            require_regular(path)
            state, lines = _state_of(path), path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"serving.keys_file={path}: cannot be read ({error})") from None
        callers = {}
        for number, line in enumerate(lines, 1):
            if not (line := line.partition("#")[0].strip()):
                continue
            if not (found := _KEY_LINE.fullmatch(line)):
                form = f"`{CLIENT} NAME SHA256` or `{ADMIN} NAME SHA256`"
                printed = f"`uv run -m rec_sys.serving.access {CLIENT} NAME` prints it"
                raise InputError(f"{path}:{number}: must be {form}, as {printed}")
            role, name, digest = found.groups()
            callers[digest.lower()] = Caller(role, name)
        self._callers, self._file_state = self._fixed | callers, state


def _state_of(path: Path) -> tuple[int, ...]:
    found = path.stat()
    return found.st_ctime_ns, found.st_ino, found.st_size  # `cp -p` sets st_mtime_ns


class RequestRate:
    """How often each caller may ask: evenly, or a minute's requests at once after a pause. The
    generic cell rate algorithm: one number per caller."""

    def __init__(self, per_minute: int) -> None:
        self._interval = _MINUTE / per_minute
        self._paid_until: dict[str, float] = {}

    def seconds_to_wait(self, caller: str) -> float:
        """Counts a request, unless it comes too early; then the seconds until it may come."""
        now = monotonic()
        if len(self._paid_until) > _MOST_CALLERS:
            self._paid_until = {who: t for who, t in self._paid_until.items() if t > now}
        paid = max(now, self._paid_until.get(caller, now)) + self._interval
        wait = paid - now - _MINUTE
        if wait <= 0:
            self._paid_until[caller] = paid
        return max(wait, 0.0)


def pseudonym(user_id: str) -> str:
    """What stands for a person in the audit log; the same for the same id."""
    return _digest(user_id)[:16]


def _nobody(message: str) -> NoReturn:
    raise Refused(401, message, headers={"WWW-Authenticate": "Bearer"})


def _digest(key: str) -> str:
    # Keys are long and random: nothing is gained by a slow hash.
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def main() -> None:
    """The command line."""
    if len(sys.argv) != 3 or sys.argv[1] not in (ADMIN, CLIENT) or not sys.argv[2].isidentifier():
        sys.exit(f"usage: uv run -m rec_sys.serving.access {CLIENT}|{ADMIN} NAME")
    key = secrets.token_urlsafe(_SECRET_BYTES)
    print(f"key (shown once):          {key}")
    print(f"line of serving.keys_file: {sys.argv[1]} {sys.argv[2]} {_digest(key)}")


if __name__ == "__main__":
    main()
