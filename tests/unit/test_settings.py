"""The settings: read from the environment and typed. An error names the variable and not its value."""

import re
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

import pytest

from lengthwise import settings
from lengthwise.errors import ConfigurationError

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("DATABASE_URL", "REDIS_URL", "MODELS"):
        monkeypatch.delenv(f"LENGTHWISE_{name}", raising=False)
    settings.get.cache_clear()
    yield
    settings.get.cache_clear()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "65536"),
        ("PORT", "CaNaRy"),
        ("CHUNK_ITEMS", "63"),
        ("SHARD_ITEMS", "4097"),
        ("LEASE_SECONDS", "0"),
        ("LEASE_SECONDS", "-1"),
        ("LEASE_SECONDS", "nan"),
        ("PRESENCE_SECONDS", "0"),
        ("PRESENCE_SECONDS", "10.1"),
        ("MODEL_WAIT_SECONDS", "-1"),
        ("MODEL_WAIT_SECONDS", "1209601"),
        ("MAX_ITEMS", "1.5"),
        ("LEASE_SECONDS", "10"),
        ("DATABASE_URL", "CaNaRy"),
        ("DATABASE_URL", "host=CaNaRy"),
        ("DATABASE_URL", "mysql://u:CaNaRy@h/x"),
        ("DATABASE_SESSION_URL", "redis://CaNaRy/0"),
        ("REDIS_URL", "CaNaRy"),
        ("REDIS_URL", "http://CaNaRy"),
        ("REDIS_URL", "postgresql://CaNaRy/0"),
        ("REDIS_URL", "redis:CaNaRy"),
        ("REDIS_URL", "redis://CaNaRy:99999/0"),
        ("REDIS_URL", "redis://CaNaRy:port/0"),
        ("REDIS_URL", "redis://host/CaNaRy"),
        ("REDIS_URL", "redis://[::1"),
        ("REDIS_URL", "redis+socket:///path?virtual_host=CaNaRy"),
        ("WEBHOOK_ALLOWED_NETWORKS", "10.0.0.0/8,CaNaRy"),
        ("WEBHOOK_ALLOWED_NETWORKS", "10.0.0.1/8"),
    ],
)
def test_the_error_names_the_wrong_variable_and_not_its_value(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"LENGTHWISE_{name}", value)
    with pytest.raises(ConfigurationError) as caught:
        settings.get()
    named = "HEARTBEAT_SECONDS" if (name, value) == ("LEASE_SECONDS", "10") else name
    assert str(caught.value).startswith(f"LENGTHWISE_{named}: ")
    assert "CaNaRy" not in str(caught.value)
    assert caught.value.__suppress_context__, "pydantic's own message shows the value"


_NUMBERS = [
    name
    for name, field in settings.Settings.model_fields.items()
    if isinstance(field.default, (int, float)) and not isinstance(field.default, bool)
]


@pytest.mark.parametrize("value", ["inf", "1e308", "9" * 30, "-1", "nan"])
@pytest.mark.parametrize("name", [*_NUMBERS, "score_digits", "max_requests_per_minute", "max_open_jobs"])
def test_no_number_is_taken_with_which_nothing_can_compute(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"LENGTHWISE_{name.upper()}", value)
    with pytest.raises(ConfigurationError, match=f"^LENGTHWISE_{name.upper()}: "):
        settings.get()


@pytest.mark.parametrize(
    "url",
    [
        "redis://:p@host",
        "redis://host/",
        "rediss://[::1]:6379/3",
        "redis+socket:///run/redis.sock?virtual_host=0",
        "redis+socket:///run/redis.sock",
        "amqp://u:p@host:5672//",
    ],
)
def test_every_form_of_a_brokers_url_is_taken(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("LENGTHWISE_REDIS_URL", url)
    assert settings.get().require_redis_url() == url


@pytest.mark.parametrize(
    ("value", "networks"),
    [
        ("", ()),
        (" , ", ()),
        ("10.1.2.0/24", (ip_network("10.1.2.0/24"),)),
        ("10.1.2.3, fd00::/8", (ip_network("10.1.2.3/32"), ip_network("fd00::/8"))),
    ],
)
def test_networks_are_separated_by_commas(
    monkeypatch: pytest.MonkeyPatch, value: str, networks: tuple[object, ...]
) -> None:
    monkeypatch.setenv("LENGTHWISE_WEBHOOK_ALLOWED_NETWORKS", value)
    assert settings.get().webhook_allowed_networks == networks


def test_a_missing_server_url_is_an_error() -> None:
    current = settings.get()
    with pytest.raises(ConfigurationError, match="LENGTHWISE_DATABASE_URL is not set"):
        current.require_database_url()
    with pytest.raises(ConfigurationError, match="LENGTHWISE_REDIS_URL is not set"):
        current.require_redis_url()


def test_configured_servers_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LENGTHWISE_DATABASE_URL", "postgresql://here/x")
    monkeypatch.setenv("lengthwise_redis_url", "redis://here/0")
    assert settings.get().require_database_url() == "postgresql://here/x"
    assert settings.get().require_redis_url() == "redis://here/0"


def test_variables_of_other_programs_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LENGTHWISE_NO_SUCH_KNOB", "1")
    monkeypatch.setenv("PORT", "1")
    assert settings.get().port == 8000
    assert settings.get() is settings.get()


def test_default_settings_are_consistent() -> None:
    current = settings.get()
    assert 2 * current.heartbeat_seconds < current.lease_seconds, "one heartbeat may be lost"
    assert current.sweep_seconds < current.lease_seconds
    assert current.max_line_bytes <= current.max_json_bytes <= current.max_body_bytes
    # Escaped as JSON, a character outside the basic plane takes twelve bytes.
    assert 6 * current.max_text_characters + current.max_metadata_bytes < current.max_line_bytes


@pytest.mark.parametrize("name", settings.PUBLISHED_SECRETS)
def test_a_secret_that_everybody_knows_is_refused_where_others_reach_the_api(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(f"LENGTHWISE_{name.upper()}", settings.PUBLISHED_SECRETS[name])
    for host in ("127.0.0.1", "::1", "localhost", "127.8.8.8"):
        settings.Settings().refuse_published_secrets(host)
    for host in ("::", "192.168.1.7", "gateway"):
        with pytest.raises(ConfigurationError) as caught:
            settings.Settings().refuse_published_secrets(host)
        assert str(caught.value).startswith(f"LENGTHWISE_{name.upper()} is the default of docker-compose.yml")
        assert settings.PUBLISHED_SECRETS[name] not in str(caught.value)


def test_in_a_container_the_published_address_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LENGTHWISE_KEY_PEPPER", settings.PUBLISHED_SECRETS["key_pepper"])
    monkeypatch.setenv("LENGTHWISE_PUBLISHED_ON", "127.0.0.1")
    settings.Settings().refuse_published_secrets("192.168.1.7")
    monkeypatch.setenv("LENGTHWISE_PUBLISHED_ON", "192.168.1.7")
    with pytest.raises(ConfigurationError):
        settings.Settings().refuse_published_secrets("127.0.0.1")


def test_secrets_of_one_s_own_are_accepted_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    settings.Settings().refuse_published_secrets("192.168.1.7")
    monkeypatch.setenv("LENGTHWISE_ADMIN_KEY", "x" * 32)
    settings.Settings().refuse_published_secrets("192.168.1.7")


def test_the_secrets_that_docker_compose_publishes_are_known() -> None:
    defaults = dict(re.findall(r"\$\{LENGTHWISE_([A-Z_]+):-([^}]+)\}", (ROOT / "docker-compose.yml").read_text()))
    assert {name.lower(): value for name, value in defaults.items()} == settings.PUBLISHED_SECRETS
