"""How the keys of pgcairn's JSON are made (docs/json.md), held against every answer that a test gets."""
import json
import re

_LSN = re.compile(r"[0-9A-F]+/[0-9A-F]+")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_EXACT = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}\+00")
_KEY = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
# Words that say a unit or a kind in another way than the rule.
_OTHER = re.compile(r".*_(seconds|secs?|ms|us|kib|mib|millis|microseconds|minutes)|bytes_(stored|raw|read|left)|seconds")
_TEXT = ("message", "reason", "hint", "context", "what", "next", "found", "expected", "meaning", "name", "label", "target")


def _is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_whole(value):
    return isinstance(value, int) and not isinstance(value, bool)


def _matches(pattern):
    return lambda value: isinstance(value, str) and pattern.fullmatch(value) is not None


# The end of a key, and what its value is; every value may be null.
_RULES = ((r"(.*_)?lsn", _matches(_LSN)), (r"(.*_)?time", _matches(_TIME)), (r"(.*_)?time_exact", _matches(_EXACT)),
          (r"(.*_)?bytes", _is_whole), (r".*_s", _is_number), (r"(.*_)?(xid|timeline|oid|pid)", _is_whole),
          (r"(.*_)?(count|segments|commits|files|objects)", lambda value: _is_whole(value) or isinstance(value, list)),
          (r"(.*_)?(is|has|ends|takes)_.*", lambda value: isinstance(value, bool)),
          (r"system_identifier", _matches(re.compile(r"\d+"))))


def _check(key, value, where):
    assert _KEY.fullmatch(key), f"{where}{key}: not lower case with underscores"
    assert not _OTHER.fullmatch(key), f"{where}{key}: says its unit in another way than the others"
    for pattern, is_right in _RULES:
        if value is not None and re.fullmatch(pattern, key):
            assert is_right(value), f"{where}{key}: {value!r} is not what its name says"
    if isinstance(value, str) and key not in _TEXT:
        for pattern, end in ((_LSN, "lsn"), (_TIME, "time"), (_EXACT, "time_exact")):
            assert not pattern.fullmatch(value) or re.fullmatch(f"(.*_)?{end}", key), f"{where}{key}: {value!r} wants a name that ends in {end}"


def check_value(value, where=""):
    if isinstance(value, dict):
        for key, inner in value.items():
            _check(key, inner, where)
            check_value(inner, f"{where}{key}.")
    elif isinstance(value, list):
        for inner in value:
            check_value(inner, where)


def _once(pairs):
    names = [name for name, _ in pairs]
    assert len(set(names)) == len(names), f"a key twice: {names}"
    return dict(pairs)


def check_answer(text):
    """What a command printed with --json: one object, or one on each line."""
    for line in text.splitlines():
        try:
            value = json.loads(line, object_pairs_hook=_once)
        except ValueError:
            continue  # whether it is JSON at all is the test's own question
        check_value(value)
