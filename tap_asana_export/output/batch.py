"""Records in files, which warehouses and clusters load in bulk, and BATCH messages that announce them.

https://sdk.meltano.com/en/latest/batch.html

A file holds the records that a stream has of some lines of the export's file: of the first `batch_size` ones, of the
next, and so on. So whatever dies, another run makes the same files, and what was there is overwritten, not doubled. All
files of these lines are complete before one of them is announced, and announced before the state tells of the lines.
"""

from __future__ import annotations

import contextlib
import glob
import itertools
import tempfile
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fsspec
import msgspec
from fsspec.implementations.local import LocalFileSystem
from typing_extensions import Self

from tap_asana_export.errors import BatchError, SettingError
from tap_asana_export.leftovers import OWNER, remove_leftovers
from tap_asana_export.output.buffers import RecordBuffer
from tap_asana_export.output.jsonl import JsonLinesFile
from tap_asana_export.times import format_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tap_asana_export.output.messages import ExportOrigin, MessageWriter, Schemas

BATCH_SIZE = 10_000
"""Records of a file at the most, as the SDK has it."""

FILE_BYTES = 1 << 29
"""Bytes of text of a file at the most."""

BLOCKS_BEHIND = 3
"""Blocks of records that may wait to be compressed."""

UPLOADS = 4
"""Files to upload side by side."""

SPOOL = "tap-asana-export-"
"""How names of folders begin that hold what is on its way to another machine."""


@dataclass(frozen=True)
class BatchConfig:
    """The setting `batch_config`, understood.

    Attributes:
        place: the file system.
        root: where on it the files go: root and prefix, all that stands before the name of a stream.
        format: jsonl or parquet.
        compression: gzip or none.
        size: records of a file at the most.
    """

    place: Any
    root: str
    format: str
    compression: str
    size: int

    @property
    def suffix(self) -> str:
        """How names of files end."""
        if self.format == "parquet":
            return ".parquet"
        return ".jsonl.gz" if self.compression == "gzip" else ".jsonl"


def read_batch_config(settings: Mapping[str, Any]) -> BatchConfig | None:
    """The setting `batch_config`; None if there is none, and records become messages.

    Raises:
        SettingError: it is incomplete, or wants what there is not.
    """
    config = settings.get("batch_config")
    if not config:
        return None
    encoding, storage = config.get("encoding") or {}, config.get("storage") or {}
    form, compression = encoding.get("format", "jsonl"), encoding.get("compression") or "gzip"
    size = BATCH_SIZE if config.get("batch_size") is None else config["batch_size"]
    if form not in {"jsonl", "parquet"}:
        raise SettingError("Settings: batch_config.encoding.format must be jsonl or parquet.")
    if compression not in {"gzip", "none"}:
        raise SettingError("Settings: batch_config.encoding.compression must be gzip or none.")
    if not isinstance(size, int) or size < 1:
        raise SettingError("Settings: batch_config.batch_size must be a number of records.")
    if not storage.get("root"):
        raise SettingError("Settings: batch_config.storage.root is missing: give the URL of a folder.")
    if form == "parquet":
        _require_parquet()
    params = storage.get("params") or {}
    if not isinstance(params, dict):
        raise SettingError("Settings: batch_config.storage.params must be of type object.")
    try:
        place, root = fsspec.core.url_to_fs(storage["root"], **params)
    except (ImportError, ValueError) as error:
        cause = lacking(storage["root"], error)
        raise SettingError(f"Settings: batch_config.storage.root cannot be used: {cause}") from None
    except Exception as error:  # noqa: BLE001 - every driver of fsspec has errors of its own, and some tell the params
        name = type(error).__name__
        raise SettingError(
            f"Settings: batch_config.storage cannot be used ({name}). Check its root and its params."
        ) from None
    return BatchConfig(place, f"{root.rstrip('/')}/{storage.get('prefix') or ''}", form, compression, size)


def lacking(url: str, error: Exception) -> str:
    """What is said of a URL for which fsspec lacks a package, or that it does not know."""
    extras = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs", "az": "az", "abfs": "az", "abfss": "az"}
    scheme = url.partition("://")[0]
    if isinstance(error, ImportError) and scheme in extras:
        return f"{scheme}:// needs a package: pip install tap-asana-export[{extras[scheme]}]."
    return f"{str(error).rstrip('.')}."


def _require_parquet() -> None:
    try:
        import tap_asana_export.output.parquet  # noqa: F401, PLC0415 - needs an extra
    except ImportError:
        raise SettingError(
            "Settings: batch_config.encoding.format parquet needs pyarrow: install tap-asana-export[parquet]."
        ) from None


class BatchFiles:
    """Records in files of one export, compressed and uploaded while the next ones are read.

    Args:
        config: what the files are to be, and where.
        writer: takes the BATCH messages.
        schemas: JSON Schema of the records, by name.
        origin: the export.
    """

    def __init__(self, config: BatchConfig, writer: MessageWriter, schemas: Schemas, origin: ExportOrigin) -> None:
        self._config = config
        self._writer = writer
        self._schemas = schemas
        self._folder = origin.root.gid
        time = format_time(origin.created_at)
        self._stem = f"{time.translate(dict.fromkeys(map(ord, '-:.')))}-{origin.export_gid}"
        self._time = msgspec.json.encode(time)
        self._buffers: dict[str, RecordBuffer] = {}
        self._open: dict[str, list[BatchFile]] = {}
        self._closed: list[BatchFile] = []
        self._closing: tuple[int, dict[str, list[Future[str]]]] | None = None
        self._lines = self._announced = 0
        self._behind: deque[Future[None]] = deque()
        self._compressing = ThreadPoolExecutor(1, "compress")
        self._uploading = ThreadPoolExecutor(UPLOADS, "upload")
        self._spool = tempfile.TemporaryDirectory(prefix=f"{SPOOL}{OWNER}-")
        self._remove_leftovers()

    def _remove_leftovers(self) -> None:
        """Remove what killed runs left: incomplete files of the same workspace or parent, and folders of uploads.

        Incomplete multipart uploads are the store's business: it can be told to give them up after a while.
        """
        remove_leftovers(Path(tempfile.gettempdir()).glob(f"{SPOOL}*"))
        if isinstance(self._config.place, LocalFileSystem):
            mine = f"{glob.escape(self._config.root)}*/{glob.escape(self._folder)}/.*.part"
            remove_leftovers(map(Path, glob.glob(mine)))  # noqa: PTH207 - root may end within a name

    def __enter__(self) -> Self:
        """Files that are not complete when this is left are removed."""
        return self

    def __exit__(self, *_: object) -> None:
        """Give up what is not complete."""
        self._compressing.shutdown(cancel_futures=True)
        self._uploading.shutdown(cancel_futures=True)
        for file in itertools.chain(self._closed, *self._open.values()):
            file.discard()
        self._spool.cleanup()

    def buffer(self, name: str, version: int | None) -> RecordBuffer:
        """A line a record; if rows have versions, with the columns that target-postgres takes from no BATCH message.

        Raises:
            BatchError: the files would lie outside of the root.
        """
        self._path(name, 1)
        more = b"" if version is None else b',"_sdc_table_version":%d,"_sdc_extracted_at":%b' % (version, self._time)
        return self._buffers.setdefault(name, RecordBuffer(bytearray(), b"", more, b"\n"))

    def next_flush_line(self, lines: int) -> int:
        """After the lines of which the files are."""
        return (lines // self._config.size + 1) * self._config.size

    def flush(self, lines: int) -> int:
        """Have the records compressed; after the last of the lines that files are of, have these completed."""
        texts = [(name, bytes(buffer.out)) for name, buffer in self._buffers.items() if buffer.out]
        for buffer in self._buffers.values():
            buffer.out.clear()
        if texts:
            number = (lines - 1) // self._config.size + 1
            read_until_flush = [piece for name, text in texts for piece in self._pieces(name, number, text)]
            self._behind.append(self._compressing.submit(write_all, read_until_flush))
        while len(self._behind) > BLOCKS_BEHIND:
            self._behind.popleft().result()
        if lines % self._config.size == 0 and lines > self._lines:
            self._close(lines)
        self._lines = lines
        return self._announced

    def finish(self) -> None:
        """Complete and announce all files."""
        self._close(self._lines)
        self._announce()

    def _pieces(self, name: str, number: int, text: bytes) -> Iterator[tuple[BatchFile, bytes]]:
        """The files that lines of records belong into, and what of the lines."""
        files = self._open.setdefault(name, [])
        begin = 0
        while begin < len(text):
            end = files[-1].take_fitting_lines(text, begin, self._config.size) if files else begin
            if end == begin:
                path = self._path(name, number, f"-{len(files) + 1}" if files else "")
                files.append(BatchFile(self._config, path, Path(self._spool.name), self._schemas[name], name))
                end = files[-1].take_fitting_lines(text, begin, self._config.size)
            yield files[-1], text[begin:end]
            begin = end

    def _path(self, name: str, number: int, more: str = "") -> str:
        """The path of a file.

        Raises:
            BatchError: it leads out of the root, whatever the stream or the gids are called.
        """
        below = f"{name}/{self._folder}/{self._stem}-{number:05}{more}{self._config.suffix}"
        if {"", ".", ".."} & {*below.split("/")} or "\\" in below or "\0" in below:
            raise BatchError(
                f"{self._config.root}{below}", "what stream and gids are called may not lead to another folder"
            )
        return f"{self._config.root}{below}"

    def _close(self, lines: int) -> None:
        """Have the files so far completed, and announce those before them."""
        while self._behind:
            self._behind.popleft().result()
        self._announce()
        self._closing = (
            lines,
            {name: [self._uploading.submit(file.complete) for file in files] for name, files in self._open.items()},
        )
        self._closed = [*itertools.chain.from_iterable(self._open.values())]
        self._open = {}

    def _announce(self) -> None:
        """Wait until the files that are being completed are so, and say where they are."""
        if self._closing is None:
            return
        lines, files = self._closing
        self._closing = None
        encoding = {"format": self._config.format, "compression": self._config.compression}
        manifests = {name: [each.result() for each in urls] for name, urls in files.items()}
        for name, manifest in manifests.items():
            message = {"type": "BATCH", "stream": name, "encoding": encoding, "manifest": manifest}
            self._writer.write(msgspec.json.encode(message) + b"\n")
        self._announced = lines


def write_all(read_until_flush: Iterable[tuple[BatchFile, bytes]]) -> None:
    """Write pieces of text into their files."""
    for file, text in read_until_flush:
        file.write(text)


class BatchFile:
    """One batch file on its way.

    Args:
        config: what it is to be, and where.
        path: of the file on its file system.
        spool: a folder for what is on its way to another machine.
        schema: JSON Schema of the records.
        stream: whose records they are.

    Raises:
        BatchError: it cannot be written.
    """

    def __init__(self, config: BatchConfig, path: str, spool: Path, schema: Mapping[str, Any], stream: str) -> None:
        self._config = config
        self._schema = schema
        self._stream = stream
        self._path = path
        self._is_local = isinstance(config.place, LocalFileSystem)
        # Renaming is what makes a file appear all at once; it works within one file system only.
        folder, _, name = path.rpartition("/")
        self._temporary = Path(folder if self._is_local else f"{spool}/{folder}") / f".{name}.{OWNER}.part"
        self._records = self._bytes = 0
        self._writer: Any = None

    def take_fitting_lines(self, text: bytes, begin: int, records: int) -> int:
        """Where of lines from some place on those end that still fit into the file; they are counted as written."""
        most = max(FILE_BYTES - self._bytes, 0)
        end = len(text) if len(text) - begin <= most else text.rfind(b"\n", begin, begin + most) + 1
        if not self._records and end <= begin:
            end = text.find(b"\n", begin) + 1  # a record that is larger than a file
        end = max(end, begin)
        count = text.count(b"\n", begin, end)
        if count > records - self._records:
            count, end = records - self._records, begin
            for _ in range(count):
                end = text.find(b"\n", end) + 1
        self._records += count
        self._bytes += end - begin
        return end

    def write(self, text: bytes) -> None:
        """Add whole lines."""
        with self._telling():
            if self._writer is None:
                self._temporary.parent.mkdir(parents=True, exist_ok=True)
                self._writer = self._make()
            self._writer.write(text)

    def _make(self) -> Any:
        if self._config.format == "jsonl":
            return JsonLinesFile(self._temporary, self._config.compression)
        from tap_asana_export.output.parquet import ParquetFile  # noqa: PLC0415 - needs an extra

        return ParquetFile(self._temporary, self._config.compression, self._schema, self._stream)

    def complete(self) -> str:
        """Put the file where it belongs, all at once; returns its URL."""
        with self._telling():
            self._writer.close()
            if self._is_local:
                self._temporary.replace(self._path)
            else:
                self._config.place.put_file(str(self._temporary), self._path)
                self._temporary.unlink()
        return str(self._config.place.unstrip_protocol(self._path))

    def discard(self) -> None:
        """Remove what is not complete."""
        with contextlib.suppress(Exception):
            self._temporary.unlink()

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except BatchError:
            self.discard()
            raise
        except Exception as error:  # noqa: BLE001 - every kind of store raises errors of its own
            self.discard()
            raise BatchError(self._path, str(error) or type(error).__name__) from None
