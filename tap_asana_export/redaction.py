"""Keeps secrets out of every log line, warning and error message, whatever library writes it and however it is logged.

Secrets are found in two ways. Patterns find them by their place: the query of a URL, a password in a URL, a header such
as `Authorization`. Known secrets, such as the settings' values, are found anywhere.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
import traceback
import warnings
from collections import OrderedDict
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, quote_plus, unquote

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import TextIO

MASK = "***"

SHORTEST = 8
"""Shortest known secret to look for, in characters. Asana's tokens are longer; shorter values occur in any text."""

MOST_DERIVED = 500
"""Known secrets that are no settings, such as signatures of URLs; of more than these the oldest are forgotten."""

SECRET_NAME = re.compile(
    r"secret|token|passw|credential|signature|authorization|^client_id$|^sig$|(^|_)key(_?id)?$|accesskeyid|accessid"
    r"|connection_string|^policy$",
    re.IGNORECASE,
)
"""Names of settings, storage parameters and query parameters whose values are secret."""

SECRET_PROPERTY = re.compile("secret|token|password|account_key", re.IGNORECASE)
"""Names of properties of JSON whose values are secret."""

# Each character as itself, and as escaped in a URL, in a URL within another one, in JSON, and in HTML.
_QUESTION = r"(?:\?|%(?:25)*3f|\\u003f|\\x3f|&#(?:63|x3f);)"
_EQUALS = r"(?:=|%(?:25)*3d|\\u003d|\\x3d|&#(?:61|x3d);)"
_COLON = r"(?::|%(?:25)*3a)"
_SLASH = r"(?:\\?/|%(?:25)*2f|\\u002f)"
_AT = r"(?:@|%(?:25)*40)"
# In a URL written by hand a password may contain a slash; but `host:443/a@b` has no password.
_USER = rf"(?:[^\s\"'<>/?#]*|[^\s\"'<>/?#@:]*:(?!\d+/)[^\s\"'<>?]*)(?={_AT})"
_IN_URL = r"[^\s\"'<>]"
_HEADERS = r"(?:proxy-)?authorization|(?:set-)?cookie|x-amz-security-token"
_PARAMETERS = (
    r"x-(?:amz|goog|ms)-[a-z-]+|awsaccesskeyid|googleaccessid|signature|sig|"
    r"access_token|refresh_token|client_secret|client_id|passwd|password|secret|token"
)
_QUOTE = r"\\*['\"]"
PATTERNS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        # https://user:password@host
        rf"({_COLON}{_SLASH}{{2}}){_USER}",
        # /path?query, but not a bracket or a full stop behind it
        rf"({_SLASH}[^\s\"'<>?]*?{_QUESTION}){_IN_URL}*[^\s\"'<>),.;:\]}}]",
        # Authorization: Basic …, {'authorization': b'Bearer …'}
        rf"((?:{_HEADERS})(?:['\"]\s*[:=,]|\s*[:=])\s*(?:b?['\"])?)(?:(?!\\[rn])[^'\"\r\n}}])+",
        # Bearer …, but not the words "bearer token"
        r"(\b(?:bearer|basic|digest|negotiate)(?:\s|%(?:25)*20|\+)+)(?=\S*\d|\S{20})[^\s\"'<>,;)]+",
        # X-Amz-Signature=…
        rf"((?<![a-z-])(?:{_PARAMETERS}){_EQUALS}(?:b?['\"])?)[^\s&\"'<>,;)]+",
        # "password": "…"
        rf"({_QUOTE}[a-z_]*(?:{SECRET_PROPERTY.pattern})[a-z_]*{_QUOTE}\s*:\s*b?{_QUOTE})[^'\"\\]+",
        # Signature: …
        r"(\bsignature\s*:\s*)[0-9a-z+/=]{16,}",
    )
)


class _Secrets:
    """The known secrets."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._settings: set[str] = set()
        self._derived: OrderedDict[str, None] = OrderedDict()
        self._pattern: re.Pattern[str] | None = None

    def add(self, values: Iterable[str], *, are_settings: bool) -> None:
        """Add secrets; those that are no settings may be forgotten after many others."""
        new = {value.strip() for value in values if len(value.strip()) >= SHORTEST}
        with self._lock:
            if new <= (self._settings | self._derived.keys()):
                return
            if are_settings:
                self._settings |= new
            else:
                self._derived.update(dict.fromkeys(new))
                while len(self._derived) > MOST_DERIVED:
                    self._derived.popitem(last=False)
            self._pattern = None

    def redact(self, text: str) -> str:
        """Return the text with `***` in place of each known secret."""
        with self._lock:
            if self._pattern is None:
                forms = {form for value in (*self._settings, *self._derived) for form in _forms(value)}
                longest_first = sorted(forms, key=len, reverse=True)
                self._pattern = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")
        return self._pattern.sub(MASK, text)


_secrets = _Secrets()


def redact(text: str) -> str:
    """Return the text with `***` in place of every secret."""
    # Patterns first: if "password" itself is a known secret, the patterns would miss the key `password`.
    for pattern in PATTERNS:
        text = pattern.sub(rf"\1{MASK}", text)
    return _secrets.redact(text)


def redact_texts(value: Any) -> Any:
    """Return a value of JSON's types with `***` in place of every secret in its texts."""
    if isinstance(value, dict):
        return {
            name: MASK if isinstance(each, str) and SECRET_PROPERTY.search(name) else redact_texts(each)
            for name, each in value.items()
        }
    if isinstance(value, list):
        return [redact_texts(each) for each in value]
    return redact(value) if isinstance(value, str) else value


def redact_line(text: str) -> str:
    """Return the text without secrets, control characters and lone surrogates, all of which a server may send."""
    return re.sub(r"[\x00-\x1f\x7f\ud800-\udfff]+", " ", redact(text)).strip()


def add_secrets(*values: str) -> None:
    """Add secrets that the run has received, such as an access token."""
    _secrets.add(values, are_settings=False)


def add_secrets_of_url(url: str) -> None:
    """Add the password and the signature of a URL: a server may repeat them without the URL."""
    _secrets.add(_secrets_of_url(url), are_settings=False)


def add_secret_settings(settings: Mapping[str, Any]) -> None:
    """Add the values of all secret settings, and the passwords and signatures of all URLs in settings."""
    # The sandbox has no secrets, and its token may be a common word.
    others = {name: value for name, value in settings.items() if name != "sandbox"}
    _secrets.add(_secrets_of(others), are_settings=True)


def _secrets_of(value: Any, *, is_secret: bool = False) -> Iterator[str]:
    """Yield the secrets within a setting's value."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield from _secrets_of(each, is_secret=is_secret or bool(SECRET_NAME.search(str(name))))
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _secrets_of(each, is_secret=is_secret)
    elif is_secret and isinstance(value, (str, int)):
        yield str(value)
        yield from str(value).splitlines()
    elif isinstance(value, str) and "://" in value:
        yield from _secrets_of_url(value)


def _secrets_of_url(url: str) -> Iterator[str]:
    location, _, query = url.partition("?")
    if found := re.search(f"://({_USER})", location):
        password = found[1].partition(":")[2]
        yield from (password, unquote(password))
    for name, value in parse_qsl(query):
        if SECRET_NAME.search(name):
            yield value


def _forms(value: str) -> set[str]:
    """Return a value as it may appear in a text: plain, or escaped for a URL, JSON or Python."""
    quoted = {quote(value, safe=""), quote(value), quote_plus(value)}
    return {
        value,
        *quoted,
        *(re.sub("%..", lambda found: found[0].lower(), form) for form in quoted),
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
        repr(value)[1:-1],
        repr(value.encode())[2:-1],
    }


# ── where texts leave the process ─────────────────────────────────────────────────────────────────────────


def install() -> None:
    """Redact all log records, warnings and uncaught exceptions of this process from now on.

    Texts without a secret are not changed. A second call does nothing.
    """
    if getattr(logging.getLogRecordFactory(), "is_redacting", False):
        return
    _install_record_factory()
    _install_warnings()
    _install_hooks()


def _install_record_factory() -> None:
    make_record = logging.getLogRecordFactory()

    def make_clean_record(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make_record(*args, **kwargs)
        try:
            said = record.getMessage()
        except Exception:  # noqa: BLE001 - logging itself would print the values that do not fit the format
            record.msg, record.args = redact(f"{record.msg!r} {record.args!r}"), ()
        else:
            if (clean := redact(said)) != said:
                record.msg, record.args = clean, ()
        if record.exc_info and (error := record.exc_info[1]) is not None:
            error = redact_error(error)
            record.exc_info = (type(error), error, error.__traceback__)
        if record.stack_info:
            record.stack_info = redact(record.stack_info)
        return record

    make_clean_record.is_redacting = True  # type: ignore[attr-defined]
    logging.setLogRecordFactory(make_clean_record)


def _install_warnings() -> None:
    show = warnings.showwarning

    def show_clean(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        said = str(message)
        clean = redact(said)
        show(message if clean == said else clean, category, filename, lineno, file, line)

    warnings.showwarning = show_clean


def _install_hooks() -> None:
    except_hook, thread_hook, unraisable_hook = sys.excepthook, threading.excepthook, sys.unraisablehook

    def clean_except_hook(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        clean = redact_error(error)
        except_hook(kind if clean is error else type(clean), clean, trace)

    def clean_thread_hook(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None and (clean := redact_error(args.exc_value)) is not args.exc_value:
            args = threading.ExceptHookArgs((type(clean), clean, args.exc_traceback, args.thread))
        thread_hook(args)

    def clean_unraisable_hook(args: sys.UnraisableHookArgs) -> None:
        error = args.exc_value
        what = repr(args.object)
        if (error is None or redact_error(error) is error) and redact(what) == what:
            unraisable_hook(args)
            return
        lines = traceback.format_exception(redact_error(error)) if error is not None else []
        sys.stderr.write(f"{args.err_msg or 'Exception ignored in'}: {redact(what)}\n{''.join(lines)}")

    sys.excepthook, threading.excepthook, sys.unraisablehook = (
        clean_except_hook,
        clean_thread_hook,
        clean_unraisable_hook,
    )


def redact_error(error: BaseException) -> BaseException:
    """Return the error itself if its traceback shows no secret, else a redacted copy that looks like it."""
    lines = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    return error if redact(lines) == lines else _clean_copy(error, set())


def _clean_copy(error: BaseException, seen: set[int]) -> BaseException:
    seen.add(id(error))
    kind = type(error)
    names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__}
    copy: BaseException = type(kind.__name__, (Exception,), names)(redact(str(error)))
    cause, context = error.__cause__, error.__context__
    copy.__cause__ = _clean_copy(cause, seen) if cause is not None and id(cause) not in seen else None
    copy.__context__ = _clean_copy(context, seen) if context is not None and id(context) not in seen else None
    copy.__suppress_context__ = error.__suppress_context__
    return copy.with_traceback(error.__traceback__)


def without_credentials(url: str) -> str:
    """Return a URL without its query, user and password; a local path stays as it is."""
    return re.sub(rf"(?<=://){_USER}", MASK, url.partition("?")[0]) if "://" in url else url
