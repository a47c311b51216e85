"""Signatures, against the ``standardwebhooks`` library as an independent verifier."""

import base64
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from lengthwise.errors import InvalidInput
from worker.delivery.signing import check_secret, new_secret, sign

keys = st.binary(min_size=24, max_size=64)
ids = st.text("abcdefghijklmnopqrstuvwxyz0123456789_", min_size=1)
bodies = st.text().map(lambda text: text.encode("utf-8", "replace"))


def secret_of(key: bytes) -> str:
    return "whsec_" + base64.b64encode(key).decode()


def is_verified(secret: str, body: bytes, headers: dict[str, str]) -> bool:
    try:
        Webhook(secret).verify(body, headers, json_parse=False)
    except WebhookVerificationError:
        return False
    return True


@given(keys, ids, bodies)
def test_an_independent_library_verifies_our_signatures(key: bytes, message_id: str, body: bytes) -> None:
    secret = secret_of(key)
    assert is_verified(secret, body, sign([secret], message_id, int(time.time()), body))


@given(keys, keys, ids, bodies)
def test_during_rotation_the_old_and_the_new_secret_both_verify(
    old: bytes, new: bytes, message_id: str, body: bytes
) -> None:
    headers = sign([secret_of(new), secret_of(old)], message_id, int(time.time()), body)
    assert is_verified(secret_of(old), body, headers)
    assert is_verified(secret_of(new), body, headers)


@given(keys, bodies, bodies)
def test_a_signature_fails_for_another_body(key: bytes, body: bytes, other: bytes) -> None:
    headers = sign([secret_of(key)], "evt_1", int(time.time()), body)
    assert is_verified(secret_of(key), other, headers) == (body == other)


def test_a_signature_fails_for_another_id_time_or_secret() -> None:
    secret, now = new_secret(), int(time.time())
    headers = sign([secret], "evt_1", now, b"{}")
    assert is_verified(secret, b"{}", headers)
    assert not is_verified(secret, b"{}", headers | {"webhook-id": "evt_2"})
    assert not is_verified(secret, b"{}", headers | {"webhook-timestamp": str(now - 1)})
    assert not is_verified(new_secret(), b"{}", headers)


def test_the_signature_matches_the_standards_example() -> None:
    # The worked example in Standard Webhooks' and Svix' documents.
    body = b'{"test": 2432232314}'
    headers = sign(["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_an_id_that_could_be_moved_into_the_timestamp_is_not_signed() -> None:
    with pytest.raises(ValueError, match="full stop"):
        sign([new_secret()], "evt.1", 1, b"")


def test_nothing_is_sent_unsigned() -> None:
    with pytest.raises(ValueError, match="at least one"):
        sign([], "evt_1", 1, b"")


def test_new_secrets_differ_and_pass_the_check() -> None:
    made = {new_secret() for _ in range(100)}
    assert len(made) == 100
    for secret in made:
        check_secret(secret)
        assert 24 <= len(base64.b64decode(secret.removeprefix("whsec_"))) <= 32


@given(keys)
def test_every_key_of_24_to_64_bytes_is_a_good_secret(key: bytes) -> None:
    check_secret(secret_of(key))


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "whsec_",
        base64.b64encode(b"k" * 32).decode(),
        "WHSEC_" + base64.b64encode(b"k" * 32).decode(),
        " " + secret_of(b"k" * 32),
        secret_of(b"k" * 32) + "\n",
        secret_of(b"k" * 23),
        secret_of(b"k" * 65),
        secret_of(b"k" * 32).rstrip("="),
        secret_of(b"k" * 32)[:-2] + "t=",
        secret_of(b"\xff" * 32).replace("/", "_"),
        "whsec_" + "é" * 44,
        "whsec_" + "\ud800" * 44,
        "whsec_" + "k" * 31 + "!" + "k" * 12,
    ],
)
def test_a_malformed_secret_is_refused_by_its_name_and_never_echoed(secret: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        check_secret(secret)
    assert refusal.value.field == "webhook.secret"
    assert refusal.value.__suppress_context__ or refusal.value.__context__ is None
    assert len(secret) < 20 or secret.removeprefix("whsec_").strip() not in str(refusal.value)


@given(st.text())
def test_the_check_of_a_secret_raises_no_other_error_for_any_text(text: str) -> None:
    for secret in (text, "whsec_" + text):
        with pytest.raises(InvalidInput):
            check_secret(secret)
