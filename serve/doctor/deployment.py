"""A running Pointsman as a client sees it: health, lanes, keys, TLS, clock. Sends no prompt."""

import os
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from urllib.parse import SplitResult, urlsplit

import httpx2

from serve import __version__
from serve.config.lanes import is_loopback
from serve.doctor.finding import Finding, fail, ok, warn
from serve.errors import ConfigError

SKEW_S = 30
EXPIRES_SOON_D = 21

Body = Mapping[str, object]


def look(url: str) -> Iterator[Finding]:
    """Everything that can be seen from outside. Raises ConfigError for what is no URL."""
    place = _place(url)
    yield from _transport(place)
    base = f"{place.scheme}://{place.netloc}{place.path.rstrip('/')}"
    with httpx2.Client(trust_env=False, timeout=15, base_url=base) as client:
        try:
            health = client.get("/healthz")
        except httpx2.HTTPError as error:
            yield fail(
                "healthz",
                f"nothing answers at {base}: {type(error).__name__}",
                "is it up? is a firewall between?",
            )
            return
        if health.status_code != 200 or not isinstance(_body(health).get("version"), str):
            yield fail(
                "healthz", f"{base} answers {health.status_code}, but is no Pointsman", "check the address"
            )
            return
        yield from _healthy(health)
        ready = client.get("/readyz")
        yield from readiness(_body(ready), ready.status_code)
        yield from _doors(client, _body(ready), place)


def readiness(body: Body, status: int) -> Iterator[Finding]:
    """What /readyz says: every lane, the audit log, the ledger, outcomes, a refused reload."""
    lanes = {name: lane for name, lane in _part(body, "lanes").items() if isinstance(lane, dict)}
    if status != 200:
        yield fail("readyz", f"{status}: no lane can answer", "see the lanes below")
    for name, lane in lanes.items():
        yield _lane(name, lane)
    for part, hint in (
        ("audit", "disk or database (docs/audit.md)"),
        ("ledger", "the state database (docs/budgets.md)"),
        ("outcomes", "the state database (docs/economics.md)"),
    ):
        yield _recorder(part, _part(body, part), hint)
    if refused := body.get("reload_refused"):
        yield warn("reload", str(refused), "see the Router's log, mend the file (docs/reload.md)")


def _lane(name: str, lane: Body) -> Finding:
    check, state, note = f"lane {name}", str(lane.get("state")), str(lane.get("note") or "")
    said = f"{state}: {note}" if note and state != "ready" else state
    if state == "ready":
        return ok(check, f"ready, {lane.get('location')}")
    todo = {
        "off": "set what is missing and restart, or leave it off",
        "full": "more replicas (docs/operations.md)",
    }
    return warn(check, said, todo.get(state, "see its engine's or provider's state; others answer meanwhile"))


def _recorder(part: str, told: Body, hint: str) -> Finding:
    state, why = str(told.get("state")), told.get("why") or told.get("note")
    if state in ("failing", "down"):
        return fail(part, f"{state}: {why}", hint)
    return warn(part, f"{told['lost']} records were lost", hint) if told.get("lost") else ok(part, state)


def _healthy(health: httpx2.Response) -> Iterator[Finding]:
    version = _body(health)["version"]
    if version == __version__:
        yield ok("healthz", f"Pointsman {version}")
    else:
        yield warn(
            "healthz", f"Pointsman {version}, this command is {__version__}", "use the same version for both"
        )
    if date := health.headers.get("date"):
        skew = parsedate_to_datetime(date).timestamp() - time.time()
        yield (
            warn("clock", f"its clock is {skew:+.0f} s off ours", "use NTP on both")
            if abs(skew) > SKEW_S
            else ok("clock", "its clock agrees with ours")
        )


def _doors(client: httpx2.Client, ready: Body, place: SplitResult) -> Iterator[Finding]:
    """Whether it asks for keys, whatever it says of itself."""
    without, mode = client.get("/v1/models").status_code, ready.get("keys")
    if without == 401:
        yield ok("keys", f"mode {mode}: who has no key gets 401")
    elif not is_loopback(place.hostname or ""):
        yield fail(
            "keys", f"who has no key gets {without}: everybody may call", "keys.mode: required (docs/keys.md)"
        )
    elif mode == "required":
        yield fail(
            "keys", f"mode required, yet without a key the answer is {without}", "what stands between?"
        )
    else:
        yield ok("keys", f"mode {mode}, on loopback")
    if key := os.environ.get("POINTSMAN_API_KEY"):
        status = client.get("/v1/models", headers={"authorization": f"Bearer {key}"}).status_code
        yield (
            ok("your key", "POINTSMAN_API_KEY is accepted")
            if status == 200
            else fail("your key", f"POINTSMAN_API_KEY is answered with {status}", "pointsman keys list")
        )


def _transport(place: SplitResult) -> Iterator[Finding]:
    if place.scheme == "https":
        yield _certificate(place)
    elif is_loopback(place.hostname or ""):
        yield ok("tls", "http, on loopback")
    else:
        yield warn(
            "tls", "http: keys and prompts cross the network in clear", "put TLS in front (docs/kuberay.md)"
        )


def _certificate(place: SplitResult) -> Finding:
    host, port = place.hostname or "", place.port or 443
    context = ssl.create_default_context()
    try:
        with (
            socket.create_connection((host, port), timeout=10) as plain,
            context.wrap_socket(plain, server_hostname=host) as secure,
        ):
            expires = str((secure.getpeercert() or {}).get("notAfter"))
            protocol = secure.version()
    except ssl.SSLCertVerificationError as error:
        return fail(
            "tls", f"its certificate is not trusted: {error.verify_message}", "the right name and authority"
        )
    except OSError as error:
        return fail("tls", f"no TLS at {host}:{port}: {type(error).__name__}", "is it http? is it up?")
    days = (ssl.cert_time_to_seconds(expires) - time.time()) / 86_400
    said = f"{protocol}, certificate for another {days:.0f} days"
    return ok("tls", said) if days > EXPIRES_SOON_D else warn("tls", said, "renew it")


def _place(url: str) -> SplitResult:
    try:
        place = urlsplit(url)
        valid = (
            place.scheme in ("http", "https")
            and bool(place.hostname)
            and (place.port is None or place.port > 0)
        )
    except ValueError:
        valid = False
    if not valid or place.username or place.query:
        raise ConfigError("--url must be like http://127.0.0.1:8000, without a user or a query")
    return place


def _body(answer: httpx2.Response) -> Body:
    try:
        body = answer.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _part(body: Body, name: str) -> Body:
    found = body.get(name)
    return found if isinstance(found, dict) else {}
