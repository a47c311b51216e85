"""Forbidden webhook URLs and unusable secrets are refused at submission, and the answer does not repeat them."""

import pytest

from tests.integration.refusal import CANARY, RefusalProbe, refusals

__all__ = ["refusals"]

PRIVATE = [
    "127.0.0.1", "127.1", "2130706433", "0x7f.0.0.1", "0177.0.0.1", "localhost", "0.0.0.0", "10.1.2.3", "172.16.0.1",  # noqa: S104 - refused
    "192.168.1.1", "169.254.169.254", "100.64.0.1", "224.0.0.1", "255.255.255.255", "[::1]", "[::]", "[fd00::1]",
    "[fe80::1]", "[::ffff:127.0.0.1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "127.0.0.1.",
]  # fmt: skip

MALFORMED = [
    "", CANARY, "https://", "https:///path", "//8.8.8.8/", "ftp://8.8.8.8/", "javascript:alert(1)", "file:///etc/passwd",
    f"https://{CANARY}@8.8.8.8/", f"https://user:{CANARY}@8.8.8.8/", f"https://8.8.8.8/#{CANARY}", "https://8.8.8.8:0/",
    "https://8.8.8.8:65536/", "https://8.8.8.8/ x", "https://8.8.8.8/\r\nHost: x", "https://[::1", "https://8.8.8.8/\x00",
    "https://8.8.8.8/" + "x" * 2_000, "https://exa mple.com/", f"https://8.8.8.8\\{CANARY}", "https://8.8.8.8/我",
]  # fmt: skip

SECRETS = [
    "", CANARY, "whsec_", f"whsec_{CANARY}", "whsec_" + "A" * 31, "whsec_" + "A" * 12, "whsec_" + "A" * 120,
    "WHSEC_" + "A" * 32, "whsec_" + "A" * 42 + "B=", f"whsec_{'A' * 30}\x00A",
]  # fmt: skip


def webhook(**fields: object) -> dict[str, object]:
    return {"kind": "generate", "items": [CANARY], "webhook": fields}


@pytest.mark.parametrize("host", PRIVATE)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_host_that_is_not_public_is_refused(refusals: RefusalProbe, scheme: str, host: str) -> None:
    assert refusals.of_job(webhook(url=f"{scheme}://{host}/{CANARY}")) == (422, "webhook.url", None)


@pytest.mark.parametrize("url", MALFORMED)
def test_a_malformed_url_is_refused(refusals: RefusalProbe, url: str) -> None:
    assert refusals.of_job(webhook(url=url)) == (422, "webhook.url", None)


@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_that_cannot_sign_is_refused(refusals: RefusalProbe, secret: str) -> None:
    assert refusals.of_job(webhook(url="https://8.8.8.8/", secret=secret)) == (422, "webhook.secret", None)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        (CANARY, "webhook"),
        (5, "webhook"),
        ([CANARY], "webhook"),
        ({}, "webhook.url"),
        ({"url": 5}, "webhook.url"),
        ({"url": None}, "webhook.url"),
        ({"url": "https://8.8.8.8/", "secret": 5}, "webhook.secret"),
        ({"url": "https://8.8.8.8/", CANARY: 1}, "webhook"),
    ],
)
def test_an_invalid_webhook_is_refused(refusals: RefusalProbe, given: object, field: str) -> None:
    job = {"kind": "generate", "items": [CANARY], "webhook": given}
    assert refusals.of_job(job) == (422, field, None)
