"""The configuration of docs/reverse-proxy.md, in a real nginx in front of a real API."""

import http.client
import json
import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from lengthwise.settings import Settings
from tests import servers as real
from tests.caller import bearer
from tests.integration.serve import raw
from tests.integration.serve.raw import JOB

ROOT = Path(__file__).parents[3]
NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin:/opt/homebrew/bin")

pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed: its configuration is not tested")


def certify(folder: Path) -> None:
    """Writes a certificate that signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "batches.example")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    (folder / "lengthwise.crt").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.PKCS8
    (folder / "lengthwise.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    )


def documented(folder: Path, port: int, api_port: int) -> str:
    page = (ROOT / "docs" / "reverse-proxy.md").read_text("utf-8")
    found = re.search(r"```nginx\n(.*?)```", page, re.DOTALL)
    assert found
    text = found[1].replace("listen 443", f"listen 127.0.0.1:{port}").replace("127.0.0.1:8000", f"127.0.0.1:{api_port}")
    text = text.replace("/etc/nginx/", f"{folder}/")
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"    {kind}_temp_path {folder}/{kind};\n" for kind in kinds)
    return f"daemon off;\npid {folder}/pid;\nerror_log {folder}/error.log;\n" + text.replace(
        "http {\n", "http {\n" + temporary, 1
    )


@pytest.fixture(scope="module")
def proxy(servers: real.Urls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of nginx."""
    with real.reachable_folder() as folder, raw.serving(servers, tmp_path_factory.mktemp("api")) as api:
        folder.chmod(0o755)  # if we are root, nginx works as another user
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port: int = probe.getsockname()[1]
        certify(folder)
        (folder / "nginx.conf").write_text(documented(folder, port, api.port))
        assert NGINX
        started = subprocess.Popen([NGINX, "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf")])
        try:
            real.wait_until(lambda: answers(port) or started.poll() is not None)
            assert started.poll() is None, (folder / "error.log").read_text()
            yield port
        finally:
            started.terminate()
            started.wait(20)


def answers(port: int) -> bool:
    try:
        return ask(port, "GET", "/healthz")[0] == 200
    except OSError:
        return False


def ask(
    port: int, method: str, target: str, body: bytes = b"", headers: dict[str, str] | None = None
) -> tuple[int, str, bytes]:
    """Status, content type and body of the answer through TLS."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=raw.PATIENCE, context=context)
    try:
        connection.request(method, target, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.getheader("content-type", ""), answer.read()
    finally:
        connection.close()


def test_a_job_passes_through_the_proxy(proxy: int) -> None:
    headers = {**bearer(), "Content-Type": "application/json"}
    status, _, job = ask(proxy, "POST", "/v1/jobs", JOB, headers)
    assert status == 202
    assert ask(proxy, "GET", f"/v1/jobs/{json.loads(job)['id']}", headers=headers)[0] == 200


def test_the_apis_own_errors_pass_unchanged(proxy: int) -> None:
    for target, status in (("/nowhere", 404), ("/v1/jobs", 401)):
        found, form, _ = ask(proxy, "GET", target)
        assert (found, form) == (status, "application/problem+json")
    assert set(json.loads(ask(proxy, "GET", "/v1/files")[2])) == {"error"}


def test_the_proxy_waits_for_the_largest_job_and_lets_go_of_idle_connections_before_the_api() -> None:
    page = (ROOT / "docs" / "reverse-proxy.md").read_text("utf-8")
    hours = re.search(r" proxy_read_timeout (\d+)h;", page)
    idle = re.search(r" keepalive_timeout (\d+)s;", page)
    assert hours and idle
    # A job at every limit takes some half an hour (``benchmarks.largest_job``).
    assert int(hours[1]) >= 1
    assert int(idle[1]) < Settings().header_seconds


REFUSED = {
    "a long path": ("/" + "a" * 20_000, {}, 414),
    "a long header": ("/healthz", {"X-Long": "a" * 20_000}, 400),
    "a large body": ("/v1/jobs", {"Content-Length": str(2 * 2**30)}, 413),
}


@pytest.mark.parametrize(("target", "headers", "status"), REFUSED.values(), ids=REFUSED)
def test_what_nginx_refuses_has_the_form_of_a_problem(
    proxy: int, target: str, headers: dict[str, str], status: int
) -> None:
    found, form, body = ask(proxy, "POST", target, headers=headers)
    assert (found, form) == (status, "application/problem+json")
    assert json.loads(body)["status"] == status
