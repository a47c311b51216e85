"""Clean environments, each with the wheel and one of its extras, as users install them."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path

from lengthwise.child import Child, Program, stop

ROOT = Path(__file__).parents[2]


def build_wheel(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(command, check=True)
    (wheel,) = folder.glob("lengthwise-*.whl")
    return wheel


@dataclass(frozen=True)
class Environment:
    """A virtual environment. What runs in it finds neither this checkout nor the suite's packages."""

    folder: Path

    @classmethod
    def make(cls, folder: Path, wheel: Path, extra: str, *, with_torch: bool = False) -> "Environment":
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        made = cls(folder)
        if with_torch:
            made._link_torch()
        wanted = f"lengthwise[{extra}] @ {wheel.as_uri()}" if extra else str(wheel)
        made.python("-m", "pip", "install", "--quiet", "--disable-pip-version-check", wanted)
        return made

    def _link_torch(self) -> None:
        """The suite's torch, and nothing beside it: a copy for each environment would be gigabytes."""
        (target,) = self.folder.glob("lib/python*/site-packages")
        files = distribution("torch").files or []
        for name in {file.parts[0] for file in files if file.parts[0] not in ("..", "__pycache__")}:
            (target / name).symlink_to(Path(str(distribution("torch").locate_file(name))))

    def python(self, *arguments: str, environment: Mapping[str, str] | None = None) -> str:
        return self._run("python", *arguments, environment=environment).stdout

    def lengthwise(self, *arguments: str, code: int = 0, environment: Mapping[str, str] | None = None) -> str:
        """What the command says, on stdout or, if it is to fail, on stderr."""
        ran = self._run("lengthwise", *arguments, environment=environment, code=code)
        return ran.stderr if code else ran.stdout

    def _run(
        self, program: str, *arguments: str, environment: Mapping[str, str] | None, code: int = 0
    ) -> subprocess.CompletedProcess[str]:
        ran = subprocess.run(
            [str(self.folder / "bin" / program), *arguments],
            cwd=self.folder,
            env=clean(environment),
            capture_output=True,
            text=True,
            timeout=580,
            check=False,
        )
        assert ran.returncode == code, ran.stdout + ran.stderr
        return ran

    @contextmanager
    def running(self, *arguments: str, environment: Mapping[str, str]) -> Iterator[Child]:
        """A command that goes on, ended with the block."""
        command = [str(self.folder / "bin" / "lengthwise"), *arguments]
        program = Program(arguments[0], command, environment=clean(environment), directory=self.folder)
        child = Child(program, self.folder / f"{'-'.join(arguments)}.log".replace("/", ""))
        child.start()
        try:
            yield child
        finally:
            stop([child], 60)

    def packages(self) -> set[str]:
        listed = self.python("-m", "pip", "list", "--format=freeze", "--exclude=pip", "--exclude=setuptools")
        return {line.partition("==")[0].lower() for line in listed.splitlines()}

    def megabytes(self) -> float:
        """What is in it, without pip and setuptools, and without what is linked."""
        (target,) = self.folder.glob("lib/python*/site-packages")
        files = (path for path in target.rglob("*") if path.is_file() and not path.is_symlink())
        ours = (
            path
            for path in files
            if path.relative_to(target).parts[0].split("-")[0] not in ("pip", "setuptools", "pkg_resources")
        )
        return sum(path.stat().st_size for path in ours) / 1e6


def clean(environment: Mapping[str, str] | None) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "LENGTHWISE_"))}
    return {**inherited, **(environment or {})}
