"""How the loopback hub answers requests, with the headers and codes of the real one."""

import json
import re
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import parse_qs, unquote, urlsplit

from tests.published.snapshot import HubFile, Snapshot

if TYPE_CHECKING:
    from tests.published.loopback.hub import Hub

_INFO = re.compile(r"/api/models/(?P<name>[^/]+(?:/[^/]+)?)(?:/revision/(?P<revision>.+))?")
_TREE = re.compile(r"/api/models/(?P<name>[^/]+(?:/[^/]+)?)/tree/(?P<revision>[^/]+)(?:/(?P<under>.*))?")
_FILE = re.compile(r"/(?P<name>[^/]+(?:/[^/]+)?)/resolve/(?P<revision>[^/]+)/(?P<file>.+)")
_LARGE = re.compile(r"/cdn/(?P<sha256>[0-9a-f]{64})")
_BLOCK = 1 << 16
_NO_HEADER = re.compile(r"[^ -~]")
#: Files of a gated repository that everybody may read.
_OPEN = ("README.md", ".gitattributes")


class _Refused(Exception):
    """An answer other than 200: the status, the hub's code for it, and a message."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


class HubHandler(BaseHTTPRequestHandler):
    """Answers for ``served``, which a subclass sets."""

    protocol_version = "HTTP/1.1"
    served: ClassVar["Hub"]

    def log_message(self, *_: Any) -> None:
        """Writes nothing."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        parts = urlsplit(self.path)
        path = unquote(parts.path)
        self.served.requests.append((self.command, path))
        try:
            self._route(path, has_sizes="blobs" in parse_qs(parts.query))
        except _Refused as refused:
            headers = {"X-Error-Message": _NO_HEADER.sub("?", refused.message)} | (
                {"X-Error-Code": refused.code} if refused.code else {}
            )
            self._send(refused.status, headers, json.dumps({"error": refused.message}).encode())
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def _route(self, path: str, *, has_sizes: bool) -> None:
        if (status := self.served.status_of(path)) is not None:
            raise _Refused(status, "", "the hub fails")
        self._check_token()
        if match := _LARGE.fullmatch(path):
            self._send_file(self._large(match["sha256"]), {})
        elif match := _TREE.fullmatch(path):
            self._send_tree(self._snapshot(match["name"], match["revision"]), match["under"])
        elif match := _FILE.fullmatch(path):
            self._resolve(match["name"], self._snapshot(match["name"], match["revision"]), match["file"])
        elif match := _INFO.fullmatch(path):
            self._send_info(match["name"], self._snapshot(match["name"], match["revision"] or "main"), has_sizes)
        else:
            raise _Refused(404, "", "there is no such path")

    def _check_token(self) -> None:
        from tests.published.loopback.hub import REVOKED

        if self.headers["Authorization"] == f"Bearer {REVOKED}":  # then even what is public is not sent
            raise _Refused(401, "", "Invalid credentials in Authorization header")

    @property
    def _has_token(self) -> bool:
        return "Authorization" in self.headers

    def _snapshot(self, name: str, revision: str) -> Snapshot:
        if name not in self.served.repositories:
            # Without a token the real hub does not tell a repository that is missing from one that is private.
            status = 404 if self._has_token else 401
            message = "Repository not found" if self._has_token else "Invalid username or password."
            raise _Refused(status, "RepoNotFound", message)
        found = self.served.find(name, revision)
        if found is None:
            raise _Refused(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return found

    def _send_info(self, name: str, snapshot: Snapshot, has_sizes: bool) -> None:
        licence = snapshot.licence
        info = {
            "_id": snapshot.commit[:24], "id": name, "modelId": name, "sha": snapshot.commit, "private": False,
            "gated": "manual" if name in self.served.gated else False, "disabled": False, "downloads": 1, "likes": 0,
            "tags": [f"license:{licence}"] if licence else [], "cardData": {"license": licence} if licence else {},
            "siblings": [file.sibling(has_sizes) for file in snapshot.files.values()],
        }  # fmt: skip
        self._send_json(info)

    def _send_tree(self, snapshot: Snapshot, under: str | None) -> None:
        prefix = f"{under.rstrip('/')}/" if under else ""
        found = [file.entry() for name, file in snapshot.files.items() if name.startswith(prefix)]
        if not found:
            raise _Refused(404, "EntryNotFound", f"{under} does not exist on this revision")
        self._send_json(found)

    def _resolve(self, name: str, snapshot: Snapshot, file: str) -> None:
        if name in self.served.gated and file not in _OPEN:
            self._check_access(name)
        found = snapshot.files.get(file)
        headers = {"X-Repo-Commit": snapshot.commit}
        if found is None:
            self._send(404, headers | {"X-Error-Code": "EntryNotFound", "X-Error-Message": "Entry not found"}, b"")
        elif found.is_large:
            linked = {"X-Linked-Etag": f'"{found.etag}"', "X-Linked-Size": str(found.size)}
            self._send(302, headers | linked | {"Location": f"{self.served.content_url}/cdn/{found.sha256}"}, b"")
        else:
            self._send_file(found, headers)

    def _check_access(self, name: str) -> None:
        from tests.published.loopback.hub import TOKEN

        if not self._has_token:
            raise _Refused(401, "GatedRepo", f"Access to model {name} is restricted. You must be authenticated.")
        if self.headers["Authorization"] != f"Bearer {TOKEN}":
            raise _Refused(403, "GatedRepo", f"Access to model {name} is restricted and you are not in the list.")

    def _large(self, sha256: str) -> HubFile:
        for revisions in self.served.repositories.values():
            for snapshot in revisions.values():
                for file in snapshot.files.values():
                    if file.is_large and file.sha256 == sha256:
                        return file
        raise _Refused(404, "", "there is no such file")

    def _send_file(self, file: HubFile, headers: dict[str, str]) -> None:
        begin = 0
        if asked := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")):
            begin = int(asked[1])
            self.served.ranges.append(asked[0])
            headers = headers | {"Content-Range": f"bytes {begin}-{file.size - 1}/{file.size}"}
        size = file.size - begin
        self.send_response(206 if asked else 200)
        every = {"ETag": f'"{file.etag}"', "Accept-Ranges": "bytes", "Content-Length": str(size)} | headers
        for header, value in every.items():
            self.send_header(header, value)
        self.end_headers()
        if self.command == "GET":
            self._send_content(file, begin, size)

    def _send_content(self, file: HubFile, begin: int, size: int) -> None:
        left = self.served.bytes_to_send(file.name, size)
        self.close_connection = left < size
        with file.path.open("rb") as source:
            source.seek(begin)
            while left > 0:
                self.served.wait()
                block = source.read(min(_BLOCK, left))
                self.wfile.write(block)
                left -= len(block)

    def _send_json(self, content: Any) -> None:
        self._send(200, {"Content-Type": "application/json"}, json.dumps(content).encode())

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)
