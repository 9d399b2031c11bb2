"""What an attacker takes of a running product, again and again: every file, every value of the database and of the
broker. What is not promised against, copies of the key rings from before a deletion, is kept apart."""

import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import redis

from tests.helpers.product import Product


@dataclass(frozen=True)
class Piece:
    """Bytes, and where they were first seen."""

    place: str
    content: bytes = field(repr=False)

    @property
    def name(self) -> str:
        return self.place.rpartition("/")[2]


class Pile:
    """Pieces, each content once."""

    def __init__(self) -> None:
        self._pieces: dict[bytes, Piece] = {}

    def add(self, pieces: Iterable[Piece]) -> None:
        for piece in pieces:
            self._pieces.setdefault(sha256(piece.content).digest(), piece)

    def __iter__(self) -> Iterator[Piece]:
        return iter(list(self._pieces.values()))

    def __len__(self) -> int:
        return len(self._pieces)


class Looter:
    """Copies of everything but the rings, into `pile`, and of the rings, into `rings`, every `seconds`."""

    def __init__(self, product: Product, folders: dict[str, Path], rings: Callable[[], list[Piece]], seconds: float):
        self._product, self._folders, self._read_rings, self._seconds = product, folders, rings, seconds
        self.pile, self.rings = Pile(), Pile()
        self.copies = 0
        self._stopped = threading.Event()
        self._turn = threading.Lock()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._error: BaseException | None = None

    def __enter__(self) -> "Looter":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join(60)
        if self._error is not None:
            raise self._error

    def take(self) -> None:
        """One more copy, now."""
        with self._turn:
            for name, folder in self._folders.items():
                self.pile.add(files_below(folder, name))
            self.pile.add(values_of_database(self._product.data / "db.sqlite3"))
            self.pile.add(values_of_server(f"unix://{self._product.data / 'run' / 'valkey.sock'}", "broker"))
            self.pile.add([Piece("printed", "".join(self._product.output).encode())])
            self.pile.add(
                [Piece(f"settings/{name}", value.encode()) for name, value in self._product.environment.items()]
            )
            self.rings.add(self._read_rings())
            self.copies += 1

    def rings_now(self) -> list[Piece]:
        return self._read_rings()

    def _watch(self) -> None:
        try:
            while not self._stopped.wait(self._seconds):
                self.take()
        except BaseException as error:  # raised where somebody sees it
            self._error = error


def files_below(folder: Path, name: str) -> list[Piece]:
    """Every file there is at this moment; what goes while it is read was not there."""
    pieces = []
    for path in sorted(folder.rglob("*")):
        try:
            if path.is_file() and not path.is_symlink():
                pieces.append(Piece(f"{name}/{path.relative_to(folder)}", path.read_bytes()))
        except OSError:
            continue
    return pieces


def values_of_database(path: Path) -> list[Piece]:
    """Every table as one piece, its values one after the other, and each value of bytes by itself."""
    if not path.exists():
        return []
    pieces = []
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=20)) as database:
        tables = database.execute("select name from sqlite_master where type = 'table'").fetchall()
        for (table,) in tables:
            rows = database.execute(f'select * from "{table}"').fetchall()  # noqa: S608 (SQLite's own names)
            values = [value for row in rows for value in row if value is not None]
            pieces += [Piece(f"database/{table}", value) for value in values if isinstance(value, bytes)]
            text = "\n".join(str(value) for value in values if not isinstance(value, bytes))
            pieces.append(Piece(f"database/{table}", text.encode()))
    return pieces


def values_of_server(url: str, name: str) -> list[Piece]:
    """Every value of a Redis, as it is and not as its files compress it."""
    client = redis.Redis.from_url(url)
    pieces = []
    try:
        for key in client.scan_iter(count=1000):
            pieces += [Piece(f"{name}/{key.decode(errors='replace')}", value) for value in _values(client, key)]
    except redis.exceptions.ConnectionError:
        return pieces  # it has stopped; its files are there
    finally:
        client.close()
    return pieces


def _values(client: "redis.Redis", key: bytes) -> list[bytes]:
    kind = client.type(key)
    if kind == b"string":
        value = client.get(key)
        return [] if value is None else [value]
    if kind == b"list":
        return client.lrange(key, 0, -1)
    if kind == b"hash":
        return [part for pair in client.hgetall(key).items() for part in pair]
    if kind == b"set":
        return list(client.smembers(key))
    if kind == b"zset":
        return client.zrange(key, 0, -1)
    return []


def rings_in_folders(product: Product) -> list[Piece]:
    return [*files_below(product.photo_keys, "source-ring"), *files_below(product.headshot_keys, "result-ring")]
