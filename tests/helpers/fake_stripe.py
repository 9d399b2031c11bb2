"""A Stripe on this machine: its wire, its signatures, its idempotency, and stricter than it about what is asked.

Speaks HTTP to the real library. Which parameters there are is read from the library's own types, so that one that
Stripe does not know is refused here too. What happens at Stripe (somebody pays, a bank disputes) are methods; each
leaves the events that Stripe would send, for the test to deliver: in any order, twice, or never. The objects are
made from Stripe's public fixtures (golden/stripe), people's names and addresses included: we must not keep them."""

import copy
import functools
import json
import re
import secrets
import sys
import threading
import time
import types
import typing
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, get_args, get_origin
from urllib.parse import parse_qsl, urlsplit

import stripe
import stripe.params
import stripe.params.checkout
import typing_extensions

Body = dict[str, Any]
SECRET = "whsec_test_0123456789"
KEY = "sk_test_0123456789"
_OBJECTS = json.loads((Path(__file__).parents[1] / "golden" / "stripe" / "objects.json").read_text())
_OPTIONS = set(stripe.RequestOptions.__annotations__)
# The least that Stripe takes, in the currency's smallest unit.
_MIN_AMOUNT = 50


class Refused(Exception):
    """What Stripe answers with 400 or 404."""

    def __init__(self, code: str, message: str, status: int = 400, kind: str = "invalid_request_error") -> None:
        super().__init__(message)
        self.status = status
        self.error = {"type": kind, "code": code, "message": message}


class FakeStripe:
    """The server and everything at it. Start it with `running`."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.sessions: dict[str, Body] = {}
        self.refunds: dict[str, Body] = {}
        self.disputes: dict[str, Body] = {}
        self.charges: dict[str, Body] = {}
        # What Stripe's balance transactions add up to, before fees.
        self.balance = 0
        self.events: list[Body] = []
        self.asked: list[tuple[str, str]] = []
        self.answers: dict[str, tuple[Body, Body]] = {}
        # How many of the next requests get no answer at all, and how many are done but their answer is lost.
        self.away = 0
        self.lost_answers = 0
        self.refuse_refunds = ""
        self.url = ""
        self._count = 0
        self._mark = secrets.token_hex(6)

    # What happens at Stripe --------------------------------------------------------------------------------------

    def pay(self, session_id: str, *, tax: int = 0, discount: int = 0) -> Body:
        """Somebody pays by card."""
        with self.lock:
            session = self._complete(session_id, tax, discount)
            self._take(session)
            return self._send_event("checkout.session.completed", session)

    def pay_later(self, session_id: str) -> Body:
        """Somebody chooses a method whose bank answers in days."""
        with self.lock:
            return self._send_event("checkout.session.completed", self._complete(session_id, 0, 0))

    def bank_answers(self, session_id: str, *, good: bool) -> Body:
        with self.lock:
            session = self.sessions[session_id]
            if good:
                self._take(session)
            return self._send_event(f"checkout.session.async_payment_{'succeeded' if good else 'failed'}", session)

    def expire(self, session_id: str) -> Body:
        """Its time is over, or somebody asked for it."""
        with self.lock:
            session = self.sessions[session_id]
            if session["status"] != "open":
                raise Refused("", "Only open sessions can be expired.")
            session |= {"status": "expired", "url": None}
            return self._send_event("checkout.session.expired", session)

    def refund(self, payment_intent: str, amount: int | None = None, metadata: Body | None = None) -> Body:
        """Money back, all that is left or a part. Returns the refund; the events are in `events`."""
        with self.lock:
            charge = self._charge(payment_intent)
            left = charge["amount"] - charge["amount_refunded"]
            if charge["disputed"]:
                raise Refused("charge_disputed", "The charge has been charged back.")
            if left == 0:
                raise Refused("charge_already_refunded", "The charge has already been refunded.")
            amount = left if amount is None else amount
            if not 0 < amount <= left:
                raise Refused("amount_too_large", "The refund is greater than what is left.")
            refund = self._new("refund", "re") | {
                "amount": amount,
                "charge": charge["id"],
                "currency": charge["currency"],
                "metadata": metadata or {},
                "payment_intent": payment_intent,
                "status": "succeeded",
            }
            self.refunds[refund["id"]] = refund
            charge["amount_refunded"] += amount
            charge["refunded"] = charge["amount_refunded"] == charge["amount"]
            self.balance -= amount
            self._send_event("refund.created", refund)
            self._send_event("charge.refunded", charge)
            self._send_event("refund.updated", refund)
            return refund

    def fail_refund(self, refund_id: str) -> Body:
        """The bank could not take it: the money is back at the operator's."""
        with self.lock:
            refund = self.refunds[refund_id]
            refund["status"] = "failed"
            charge = self._charge(refund["payment_intent"])
            charge["amount_refunded"] -= refund["amount"]
            charge["refunded"] = False
            self.balance += refund["amount"]
            self._send_event("refund.updated", refund)
            return self._send_event("refund.failed", refund)

    def dispute(self, payment_intent: str, *, inquiry: bool = False) -> Body:
        """The card's owner objects. An inquiry moves no money yet."""
        with self.lock:
            charge = self._charge(payment_intent)
            dispute = self._new("dispute", "dp") | {
                "amount": charge["amount"],
                "charge": charge["id"],
                "currency": charge["currency"],
                "payment_intent": payment_intent,
                "status": "warning_needs_response" if inquiry else "needs_response",
            }
            self.disputes[dispute["id"]] = dispute
            self._send_event("charge.dispute.created", dispute)
            if not inquiry:
                charge["disputed"] = True
                self.balance -= dispute["amount"]
                self._send_event("charge.dispute.funds_withdrawn", dispute)
            return dispute

    def close_dispute(self, dispute_id: str, *, won: bool) -> Body:
        with self.lock:
            dispute = self.disputes[dispute_id]
            if dispute["status"].startswith("warning_"):
                dispute["status"] = "warning_closed"
                return self._send_event("charge.dispute.closed", dispute)
            dispute["status"] = "won" if won else "lost"
            if won:
                self.balance += dispute["amount"]
                self._charge(dispute["payment_intent"])["disputed"] = False
                self._send_event("charge.dispute.funds_reinstated", dispute)
            return self._send_event("charge.dispute.closed", dispute)

    def send_event(self, kind: str, about: Body) -> Body:
        """An event of any kind."""
        with self.lock:
            return self._send_event(kind, about)

    # What the wire sees ------------------------------------------------------------------------------------------

    def answer(self, method: str, path: str, pairs: list[tuple[str, str]], key: str | None) -> Body:
        asked = _nested(pairs)
        with self.lock:
            self.asked.append((method, path))
            if method != "POST" or not key:
                if method == "POST" and not path.endswith("/expire"):
                    raise Refused("", "This test server demands an Idempotency-Key.")
                return copy.deepcopy(self._route(method, path, asked))
            if key in self.answers:
                earlier, answer = self.answers[key]
                if earlier != asked:
                    kind = "idempotency_error"
                    raise Refused("", "Keys for idempotent requests belong to the same parameters.", kind=kind)
                return answer
            answer = copy.deepcopy(self._route(method, path, asked))
            self.answers[key] = asked, answer
            return answer

    def _route(self, method: str, path: str, asked: Body) -> Body:
        found = re.fullmatch(r"/v1/checkout/sessions/(\w+)(/expire)?", path)
        if (method, path) == ("POST", "/v1/checkout/sessions"):
            return self._create_session(asked)
        if found and method == ("POST" if found[2] else "GET"):
            if found[1] not in self.sessions:
                raise Refused("resource_missing", "No such checkout session", 404)
            if found[2]:
                self.expire(found[1])
            return self.sessions[found[1]]
        if (method, path) == ("POST", "/v1/refunds"):
            demand_known(asked, stripe.params.RefundCreateParams)
            if self.refuse_refunds:
                raise Refused(self.refuse_refunds, "No.")
            return self.refund(asked["payment_intent"], int(asked["amount"]), asked["metadata"])
        if (method, path) == ("GET", "/v1/refunds"):
            demand_known(asked, stripe.params.RefundListParams)
            return _page(
                path, [r for r in self.refunds.values() if r["payment_intent"] == asked["payment_intent"]], asked
            )
        if (method, path) == ("GET", "/v1/events"):
            demand_known(asked, stripe.params.EventListParams)
            since = int(asked["created"]["gte"])
            wanted = [e for e in reversed(self.events) if e["type"] in asked["types"] and e["created"] >= since]
            return _page(path, wanted, asked)
        raise Refused("", f"Unrecognized request URL ({method}: {path}).", 404)

    def _create_session(self, asked: Body) -> Body:
        demand_known(asked, stripe.params.checkout.SessionCreateParams)
        for name in ("mode", "line_items", "success_url"):
            if name not in asked:
                raise Refused("parameter_missing", f"Missing required param: {name}.")
        for name in ("success_url", "cancel_url"):
            if not re.match(r"https?://\w", asked.get(name, "http://x")):
                raise Refused("url_invalid", "Not a valid URL")
        ahead = int(asked["expires_at"]) - time.time()
        if not 30 * 60 <= ahead <= 24 * 3600:
            raise Refused("", "The `expires_at` timestamp must be 30 minutes to 24 hours from creation.")
        (item,) = asked["line_items"]
        amount = int(item["price_data"]["unit_amount"]) * int(item["quantity"])
        if amount < _MIN_AMOUNT:
            raise Refused("amount_too_small", "The total amount due must add up to at least $0.50 usd.")
        session = self._new("checkout.session", "cs_test")
        session |= {name: asked.get(name) for name in ("client_reference_id", "mode", "success_url", "cancel_url")}
        session |= {
            "amount_total": amount,
            "amount_subtotal": amount,
            "currency": item["price_data"]["currency"],
            "expires_at": int(asked["expires_at"]),
            "metadata": asked.get("metadata", {}),
            "payment_intent": None,
            "payment_status": "unpaid",
            "status": "open",
            "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
            "url": f"{self.url}/c/pay/{session['id']}",
        }
        self.sessions[session["id"]] = session
        return session

    # ------------------------------------------------------------------------------------------------------------

    def _complete(self, session_id: str, tax: int, discount: int) -> Body:
        session = self.sessions[session_id]
        if session["status"] != "open" or session["expires_at"] < time.time():
            raise Refused("", "This session cannot be paid any more.")
        total = session["amount_subtotal"] + tax - discount
        free = total == 0
        session |= {
            "amount_total": total,
            "payment_intent": None if free else self._id("pi"),
            "payment_status": "no_payment_required" if free else "unpaid",
            "status": "complete",
            "total_details": {"amount_discount": discount, "amount_shipping": 0, "amount_tax": tax},
            "url": None,
        }
        return session

    def _take(self, session: Body) -> None:
        if session["payment_intent"] is None:
            return
        session["payment_status"] = "paid"
        charge = self._new("charge", "ch") | {
            "amount": session["amount_total"],
            "amount_refunded": 0,
            "currency": session["currency"],
            "metadata": session["metadata"],
            "payment_intent": session["payment_intent"],
        }
        self.charges[session["payment_intent"]] = charge
        self.balance += session["amount_total"]

    def _charge(self, payment_intent: str) -> Body:
        if payment_intent not in self.charges:
            raise Refused("resource_missing", "No such payment_intent", 404)
        return self.charges[payment_intent]

    def _send_event(self, kind: str, about: Body) -> Body:
        event = self._new("event", "evt") | {"type": kind, "data": {"object": copy.deepcopy(about)}}
        self.events.append(event)
        return event

    def _new(self, kind: str, prefix: str) -> Body:
        return copy.deepcopy(_OBJECTS[kind]) | {"id": self._id(prefix), "created": int(time.time())}

    def _id(self, prefix: str) -> str:
        self._count += 1
        return f"{prefix}_{self._count:06d}{self._mark}"


def signed(event: Body, *, secret: str = SECRET, at: int | None = None) -> tuple[bytes, str]:
    """The body and the signature header of a webhook."""
    payload = json.dumps(event)
    return payload.encode(), stripe.WebhookSignature.generate_signature_header(payload, secret, at)


def running(fake: FakeStripe) -> Iterator[FakeStripe]:
    """Serves until it is asked to go on."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Head and body in one packet: in two, the client's system waits 40 ms before it answers the first.
        wbufsize = -1

        def do_GET(self) -> None:
            self._serve("")

        def do_POST(self) -> None:
            self._serve(self.rfile.read(int(self.headers.get("Content-Length", 0))).decode())

        def _serve(self, body: str) -> None:
            if fake.away:
                fake.away -= 1
                self.close_connection = True
                return
            address = urlsplit(self.path)
            status = 200
            try:
                if self.headers["Authorization"] != f"Bearer {KEY}":
                    raise Refused("", "Invalid API Key provided", 401, "authentication_error")
                pairs = parse_qsl(
                    body or address.query, keep_blank_values=True, strict_parsing=bool(body or address.query)
                )
                answer = fake.answer(self.command, address.path, pairs, self.headers["Idempotency-Key"])
            except Refused as refused:
                status, answer = refused.status, {"error": refused.error}
            if fake.lost_answers:
                fake.lost_answers -= 1
                self.close_connection = True
                return
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    fake.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield fake
    server.shutdown()
    server.server_close()
    thread.join()


def demand_known(asked: object, wanted: Any, where: str = "") -> None:
    """Raises Refused for a parameter that Stripe's library does not know there, or one that is missing."""
    if get_origin(wanted) is list or wanted is list:
        if not isinstance(asked, list):
            raise Refused("parameter_invalid", f"Invalid array: {where}")
        for number, each in enumerate(asked):
            demand_known(each, *get_args(wanted)[:1], where=f"{where}[{number}]")
        return
    if get_origin(wanted) in {typing.Union, types.UnionType}:
        # Literals and unions with plain text: only the shapes matter here.
        shaped = [each for each in get_args(wanted) if typing_extensions.is_typeddict(each)]
        if not shaped or not isinstance(asked, dict):
            return
        (wanted,) = shaped
    if not typing_extensions.is_typeddict(wanted):
        if isinstance(asked, dict) and get_origin(wanted) is not dict:
            raise Refused("parameter_invalid", f"Invalid value: {where}")
        return
    if not isinstance(asked, dict):
        raise Refused("parameter_invalid", f"Invalid object: {where}")
    hints = _hints(wanted)
    for name in asked.keys() - (hints.keys() - _OPTIONS):
        raise Refused("parameter_unknown", f"Received unknown parameter: {where}{name}")
    for name, hint in hints.items():
        optional = get_origin(hint) is typing_extensions.NotRequired or name in _OPTIONS
        if name in asked:
            demand_known(asked[name], get_args(hint)[0] if optional else hint, f"{where}{name}.")
        elif not optional:
            raise Refused("parameter_missing", f"Missing required param: {where}{name}")


@functools.cache
def _hints(wanted: Any) -> dict[str, Any]:
    bases = {name: each for name, each in vars(typing).items() if not name.startswith("_")}
    names = bases | vars(sys.modules[wanted.__module__]) | {"StripeContext": stripe.StripeContext}
    return typing.get_type_hints(wanted, names, include_extras=True)


def _nested(pairs: list[tuple[str, str]]) -> Body:
    """`a[b][0][c]=d` as the dictionaries and lists that it means."""
    root: Body = {}
    for name, value in pairs:
        keys = re.findall(r"[^\[\]]+|(?<=\[)(?=\])", name)
        place: Any = root
        for key in keys[:-1]:
            place = place.setdefault(key, {})
        if keys[-1] in place:
            raise Refused("parameter_invalid", f"Given twice: {name}")
        place[keys[-1]] = value
    return typing.cast("Body", _lists(root))


def _lists(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    inner = {key: _lists(each) for key, each in value.items()}
    return [inner[key] for key in sorted(inner, key=int)] if inner and all(key.isdigit() for key in inner) else inner


def _page(path: str, rows: list[Body], asked: Body) -> Body:
    """One page of a list, after the row that was named."""
    start = 0
    if "starting_after" in asked:
        start = [row["id"] for row in rows].index(asked["starting_after"]) + 1
    limit = int(asked.get("limit", 10))
    return {"object": "list", "url": path, "data": rows[start : start + limit], "has_more": len(rows) > start + limit}
