"""Writes records to batch files, which warehouses load in bulk, and announces the files with BATCH messages.

https://sdk.meltano.com/en/latest/batch.html

A batch file holds a stream's records from one chunk of the export's lines: from the first `batch_size` lines, the next
`batch_size` lines, and so on. A run that goes on after a failure makes the same files again, and overwrites what is
there instead of doubling it. The files of a chunk are all complete before the first of them is announced, and all
announced before the state counts the chunk's lines as done.
"""

from __future__ import annotations

import contextlib
import glob
import itertools
import tempfile
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import fsspec
import msgspec
from fsspec.implementations.local import LocalFileSystem
from typing_extensions import Self

from tap_asana_export.errors import BatchError, SettingError
from tap_asana_export.leftovers import OWNER, remove_leftovers
from tap_asana_export.limits import USUAL
from tap_asana_export.output.buffers import RowBuffer, TextBuffer
from tap_asana_export.output.jsonl import JsonLinesFile
from tap_asana_export.times import format_time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from concurrent.futures import Executor, Future

    from tap_asana_export.limits import Limits
    from tap_asana_export.output.buffers import JsonRow, RecordBuffer
    from tap_asana_export.output.messages import ExportOrigin, MessageWriter, Schemas
    from tap_asana_export.settings import Settings

Records: TypeAlias = "bytes | list[JsonRow]"
"""Records as whole lines of text, or as rows."""

BATCH_SIZE = 10_000
"""Records in a file at most: the SDK's default."""

COMPRESSIONS = {"jsonl": ("gzip", "none"), "parquet": ("zstd", "snappy", "gzip", "none")}
"""Compressions of files by format, the default one first."""

BLOCKS_WAITING = {"jsonl": 3, "parquet": 1}
"""Blocks of records that may wait for their compression, by format; a block of Parquet is a row group."""

UPLOAD_FOLDER = "tap-asana-export-"
"""Beginning of the names of temporary folders with files to upload."""


@dataclass(frozen=True)
class BatchConfig:
    """The setting `batch_config`.

    Attributes:
        filesystem: the fsspec file system of the storage.
        root: path on it, from the storage's root and prefix: what comes before the name of a stream.
        format: one of `COMPRESSIONS`.
        compression: one of those that the format has.
        size: records in a file at most.
        limits: bytes of text in a file at most, and files that are uploaded at a time.
    """

    filesystem: Any
    root: str
    format: str
    compression: str
    size: int
    limits: Limits = USUAL

    @property
    def suffix(self) -> str:
        """Suffix of the files' names."""
        if self.format == "parquet":
            return ".parquet"
        return ".jsonl.gz" if self.compression == "gzip" else ".jsonl"


def read_batch_config(settings: Settings, limits: Limits = USUAL) -> BatchConfig | None:
    """Read the setting `batch_config`; None if it is not set, so that records become messages.

    Raises:
        SettingError: it is incomplete, or cannot be used.
    """
    config = settings.get("batch_config")
    if not config:
        return None
    encoding, storage = config.get("encoding") or {}, config.get("storage") or {}
    form = encoding.get("format", "jsonl")
    size = BATCH_SIZE if config.get("batch_size") is None else config["batch_size"]
    if form not in COMPRESSIONS:
        raise SettingError(f"Settings: batch_config.encoding.format must be {' or '.join(COMPRESSIONS)}.")
    compression = encoding.get("compression") or COMPRESSIONS[form][0]
    if compression not in COMPRESSIONS[form]:
        raise SettingError(
            f"Settings: batch_config.encoding.compression must be one of {', '.join(COMPRESSIONS[form])} for {form}."
        )
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
        filesystem, root = fsspec.core.url_to_fs(storage["root"], **params)
    except (ImportError, ValueError) as error:
        cause = describe_url_error(storage["root"], error)
        raise SettingError(f"Settings: batch_config.storage.root cannot be used: {cause}") from None
    except Exception as error:  # noqa: BLE001 - each fsspec driver raises errors of its own; some show params
        name = type(error).__name__
        raise SettingError(
            f"Settings: batch_config.storage cannot be used ({name}). Check its root and its params."
        ) from None
    return BatchConfig(filesystem, f"{root.rstrip('/')}/{storage.get('prefix') or ''}", form, compression, size, limits)


def describe_url_error(url: str, error: Exception) -> str:
    """Say why fsspec cannot open a URL: it needs a package, or does not know the scheme."""
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
    """Writes the records of one export to files, which are compressed and uploaded while the next lines are read.

    Args:
        config: format and storage of the files.
        writer: writes the BATCH messages.
        schemas: JSON Schema of the records by stream name.
        origin: the export.
    """

    def __init__(self, config: BatchConfig, writer: MessageWriter, schemas: Schemas, origin: ExportOrigin) -> None:
        self._config = config
        self._writer = writer
        self._schemas = schemas
        self._root_gid = origin.root.gid
        time = format_time(origin.created_at)
        self._stem = f"{time.translate(dict.fromkeys(map(ord, '-:.')))}-{origin.export_gid}"
        self._time = msgspec.json.encode(time)
        self._buffers: dict[str, TextBuffer | RowBuffer] = {}
        self._open_files: dict[str, list[BatchFile]] = {}
        self._completing: list[BatchFile] = []
        self._pending: tuple[int, dict[str, list[Future[str]]]] | None = None
        self._lines = self._announced_lines = 0
        self._compressions: deque[Future[None]] = deque()
        self._compressing = ThreadPoolExecutor(1, "compress")
        self._uploading = ThreadPoolExecutor(config.limits.uploads, "upload")
        self._upload_folder = tempfile.TemporaryDirectory(prefix=f"{UPLOAD_FOLDER}{OWNER}-")
        self._remove_leftovers()

    def _remove_leftovers(self) -> None:
        """Remove what killed runs left behind: incomplete files of the same workspace or parent, and upload folders.

        Incomplete multipart uploads are left to the store, where a lifecycle rule can remove them.
        """
        remove_leftovers(Path(tempfile.gettempdir()).glob(f"{UPLOAD_FOLDER}*"))
        if isinstance(self._config.filesystem, LocalFileSystem):
            pattern = f"{glob.escape(self._config.root)}*/{glob.escape(self._root_gid)}/.*.part"
            remove_leftovers(map(Path, glob.glob(pattern)))  # noqa: PTH207 - root may end within a name

    def __enter__(self) -> Self:
        """Begin; files that are incomplete at the end are removed."""
        return self

    def __exit__(self, *_: object) -> None:
        """Cancel what is pending, and remove incomplete files."""
        self._compressing.shutdown(cancel_futures=True)
        self._uploading.shutdown(cancel_futures=True)
        for file in itertools.chain(self._completing, *self._open_files.values()):
            file.discard()
        self._upload_folder.cleanup()

    def buffer(self, name: str, version: int | None) -> RecordBuffer:
        """Return the buffer for records of a stream, one a line.

        With a version, records also get the columns of the version and of the extraction time: target-postgres does
        not find them in a BATCH message.

        Raises:
            BatchError: the files' path would lead out of the root.
        """
        self._path(name, 1)
        appended = (
            b"" if version is None else b',"_sdc_table_version":%d,"_sdc_extracted_at":%b' % (version, self._time)
        )
        if self._config.format == "parquet":
            return self._buffers.setdefault(name, RowBuffer(appended))
        return self._buffers.setdefault(name, TextBuffer(bytearray(), b"", appended, b"\n"))

    def next_flush_line(self, lines: int) -> int:
        """Return the last line of the chunk after these lines."""
        return (lines // self._config.size + 1) * self._config.size

    def flush(self, lines: int) -> int:
        """Start to compress the records if there are enough of them and, at the end of a chunk, to complete its files.

        Files that are complete by now are announced.

        Returns:
            Number of lines whose files are announced.
        """
        is_end = lines % self._config.size == 0 and lines > self._lines
        self._lines = lines
        if is_end:
            self._close()
        elif any(buffer.size >= self._config.limits.batch_block for buffer in self._buffers.values()):
            self._compress()
        if self._pending and all(url.done() for urls in self._pending[1].values() for url in urls):
            self._announce()
        return self._announced_lines

    def finish(self) -> None:
        """Complete and announce the remaining files."""
        self._close()
        self._announce()

    def _compress(self) -> None:
        """Start to compress the records so far."""
        chunks = [(name, buffer.count, buffer.take()) for name, buffer in self._buffers.items()]
        number = (self._lines - 1) // self._config.size + 1
        pieces = (piece for name, count, chunk in chunks for piece in self._pieces(name, number, count, chunk))
        if writes := [write for file, records in pieces if (write := file.add(records))]:
            self._compressions.append(self._compressing.submit(run_all, writes))
        while len(self._compressions) > BLOCKS_WAITING[self._config.format]:
            self._compressions.popleft().result()

    def _pieces(self, name: str, number: int, count: int, records: Records) -> Iterator[tuple[BatchFile, Records]]:
        """Yield files with the records to write to each; a file that is full is followed by another one.

        Args:
            name: name of the stream.
            number: number of the chunk, counted from 1.
            count: number of records.
            records: whole lines, or rows.
        """
        begin = 0
        while begin < len(records):
            files = self._open_files.setdefault(name, [])
            end = files[-1].take_fitting(records, count, begin, self._config.size) if files else begin
            if end == begin:
                path = self._path(name, number, f"-{len(files) + 1}" if files else "")
                files.append(BatchFile(self._config, path, Path(self._upload_folder.name), self._schemas[name], name))
                end = files[-1].take_fitting(records, count, begin, self._config.size)
            yield files[-1], records[begin:end]
            begin = end

    def _path(self, name: str, number: int, part: str = "") -> str:
        """Return the path of a file.

        Raises:
            BatchError: the stream's name or a gid would lead out of the root.
        """
        below = f"{name}/{self._root_gid}/{self._stem}-{number:05}{part}{self._config.suffix}"
        if {"", ".", ".."} & {*below.split("/")} or "\\" in below or "\0" in below:
            raise BatchError(
                f"{self._config.root}{below}", "what stream and gids are called may not lead to another folder"
            )
        return f"{self._config.root}{below}"

    def _close(self) -> None:
        """Start to complete the open files with what is left, and announce the files of the chunk before."""
        self._compress()
        while self._compressions:
            self._compressions.popleft().result()
        self._announce()
        self._completing = [*itertools.chain.from_iterable(self._open_files.values())]
        for file in self._completing:
            file.close_by(self._compressing)
        self._pending = (
            self._lines,
            {
                name: [self._uploading.submit(file.complete) for file in files]
                for name, files in self._open_files.items()
            },
        )
        self._open_files = {}

    def _announce(self) -> None:
        """Wait until the pending files are complete, and write their BATCH messages."""
        if self._pending is None:
            return
        lines, files = self._pending
        self._pending = None
        encoding = {"format": self._config.format, "compression": self._config.compression}
        manifests = {name: [each.result() for each in urls] for name, urls in files.items()}
        for name, manifest in manifests.items():
            message = {"type": "BATCH", "stream": name, "encoding": encoding, "manifest": manifest}
            self._writer.write(msgspec.json.encode(message) + b"\n")
        self._announced_lines = lines


def run_all(writes: Iterable[Callable[[], None]]) -> None:
    """Do one after the other."""
    for write in writes:
        write()


class BatchFile:
    """One batch file. It appears under its name only when it is complete.

    Args:
        config: format and storage.
        path: path on the storage's file system.
        upload_folder: local folder for files that are to be uploaded.
        schema: JSON Schema of the records.
        stream: name of the records' stream.

    Raises:
        BatchError: by all methods, if the file cannot be written.
    """

    def __init__(
        self, config: BatchConfig, path: str, upload_folder: Path, schema: Mapping[str, Any], stream: str
    ) -> None:
        self._config = config
        self._schema = schema
        self._stream = stream
        self._path = path
        self._is_local = isinstance(config.filesystem, LocalFileSystem)
        # A rename makes a file appear all at once, but only within one file system.
        folder, _, name = path.rpartition("/")
        self._temporary = Path(folder if self._is_local else f"{upload_folder}/{folder}") / f".{name}.{OWNER}.part"
        self._records = self._bytes = 0
        self._writer: Any = None

    def take_fitting(self, found: Records, count: int, begin: int, records: int) -> int:
        """Count the records that still fit into the file as written, and return the offset where they end.

        Args:
            found: whole lines, or rows.
            count: number of them.
            begin: offset of the first one to take.
            records: records in a file at most.
        """
        if isinstance(found, bytes):
            return self.take_fitting_lines(found, count, begin, records)
        return self.take_fitting_rows(found, begin, records)

    def take_fitting_rows(self, rows: list[JsonRow], begin: int, records: int) -> int:
        """Do what `take_fitting` says, for rows."""
        last = min(begin + records - self._records, len(rows))
        for end in range(begin, last):
            size = rows[end].size
            if self._records and self._bytes + size > self._config.limits.batch_file:
                return end
            self._records += 1
            self._bytes += size
        return last

    def take_fitting_lines(self, text: bytes, count: int, begin: int, records: int) -> int:
        """Do what `take_fitting` says, for whole lines."""
        free = max(self._config.limits.batch_file - self._bytes, 0)
        end = len(text) if len(text) - begin <= free else text.rfind(b"\n", begin, begin + free) + 1
        if not self._records and end <= begin:
            end = text.find(b"\n", begin) + 1  # a record larger than a file: it gets a file of its own
        end = max(end, begin)
        if begin or end < len(text):  # else they are counted already: to find their ends takes 6 % of a run
            count = text.count(b"\n", begin, end)
        if count > records - self._records:
            count, end = records - self._records, begin
            for _ in range(count):
                end = text.find(b"\n", end) + 1
        self._records += count
        self._bytes += end - begin
        return end

    def add(self, records: Records) -> Callable[[], None] | None:
        """Add whole lines, or rows, and return what is to be written of them in another thread, if anything is.

        What needs Python's interpreter is done here: of two threads that need it, each mostly waits for the other.
        """
        with self._removed_on_error():
            if self._writer is None:
                self._temporary.parent.mkdir(parents=True, exist_ok=True)
                self._writer = self._open()
            write = self._writer.add(records)
        return partial(self._write, write) if write else None

    def _write(self, write: Callable[[], None]) -> None:
        with self._removed_on_error():
            write()

    def _open(self) -> Any:
        if self._config.format == "jsonl":
            return JsonLinesFile(self._temporary, self._config.compression)
        from tap_asana_export.output.parquet import ParquetFile  # noqa: PLC0415 - needs an extra

        return ParquetFile(self._temporary, self._config.compression, self._schema, self._stream)

    def close_by(self, executor: Executor) -> None:
        """Start to close the file, one file after the other: a Parquet file then writes its last row group."""
        self._closed = executor.submit(self._writer.close)

    def complete(self) -> str:
        """Move or upload the file to its path once it is closed, and return its URL."""
        with self._removed_on_error():
            self._closed.result()
            if self._is_local:
                self._temporary.replace(self._path)
            else:
                self._config.filesystem.put_file(str(self._temporary), self._path)
                self._temporary.unlink()
        return str(self._config.filesystem.unstrip_protocol(self._path))

    def discard(self) -> None:
        """Remove the incomplete file."""
        with contextlib.suppress(Exception):
            self._temporary.unlink()

    @contextlib.contextmanager
    def _removed_on_error(self) -> Iterator[None]:
        """Remove the file if writing fails, and raise BatchError."""
        try:
            yield
        except BatchError:
            self.discard()
            raise
        except Exception as error:  # noqa: BLE001 - each fsspec driver raises errors of its own
            self.discard()
            raise BatchError(self._path, str(error) or type(error).__name__) from None
