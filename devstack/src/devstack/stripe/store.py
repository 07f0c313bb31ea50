"""Everything the double knows, in one SQLite file; committed before the answer that tells of it."""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Json = dict[str, Any]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS object (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, account TEXT NOT NULL,
  parent TEXT, body TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS object_list ON object (kind, account, seq);
CREATE INDEX IF NOT EXISTS object_parent ON object (parent, kind, seq);
CREATE TABLE IF NOT EXISTS journal (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, object_id TEXT NOT NULL UNIQUE, body TEXT NOT NULL);
CREATE TRIGGER IF NOT EXISTS journal_no_update BEFORE UPDATE ON journal
  BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER IF NOT EXISTS journal_no_delete BEFORE DELETE ON journal
  BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TABLE IF NOT EXISTS idempotency (
  account TEXT NOT NULL, key TEXT NOT NULL, method TEXT NOT NULL, path TEXT NOT NULL, digest TEXT NOT NULL,
  status INTEGER NOT NULL, body TEXT NOT NULL, request_id TEXT NOT NULL, created INTEGER NOT NULL,
  PRIMARY KEY (account, key));
CREATE TABLE IF NOT EXISTS delivery (
  id INTEGER PRIMARY KEY AUTOINCREMENT, event_id TEXT NOT NULL, due REAL NOT NULL, created REAL NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0, state TEXT NOT NULL DEFAULT 'pending', outcome TEXT);
CREATE INDEX IF NOT EXISTS delivery_due ON delivery (state, due);
CREATE TABLE IF NOT EXISTS fault (
  id INTEGER PRIMARY KEY AUTOINCREMENT, match TEXT NOT NULL, mode TEXT NOT NULL, times INTEGER NOT NULL,
  skip INTEGER NOT NULL, seconds REAL NOT NULL, fired INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS setting (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


class Store:
    """Objects by id, kind, account and parent; used by one thread, one transaction at a time."""

    def __init__(self, path: Path) -> None:
        self.connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self.connection.row_factory = sqlite3.Row
        # A killed process loses nothing of a WAL; only a machine that loses power could, and then synced pages stay.
        self.connection.execute("PRAGMA journal_mode=WAL")
        self.connection.execute("PRAGMA synchronous=NORMAL")
        self.connection.executescript(_SCHEMA)

    def reset(self) -> None:
        """Nothing is known any more. The tables go as a whole: a line of the journal cannot be deleted."""
        for table in ("object", "journal", "idempotency", "delivery", "fault", "setting"):
            self.connection.execute(f"DROP TABLE {table}")
        self.connection.executescript(_SCHEMA)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of it is on file at the end, or none of it."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")

    def insert(self, body: Json, *, account: str, parent: str | None = None) -> None:
        self.connection.execute(
            "INSERT INTO object (id, kind, account, parent, body) VALUES (?, ?, ?, ?, ?)",
            (body["id"], body["object"], account, parent, json.dumps(body)),
        )

    def save(self, body: Json) -> None:
        self.connection.execute("UPDATE object SET body = ? WHERE id = ?", (json.dumps(body), body["id"]))

    def set_parent(self, object_id: str, parent: str) -> None:
        self.connection.execute("UPDATE object SET parent = ? WHERE id = ?", (parent, object_id))

    def delete(self, object_id: str) -> None:
        self.connection.execute("DELETE FROM object WHERE id = ?", (object_id,))

    def find(self, object_id: str, *, account: str, kind: str | None = None) -> Json | None:
        row = self.connection.execute(
            "SELECT body FROM object WHERE id = ? AND account = ? AND (? IS NULL OR kind = ?)",
            (object_id, account, kind, kind),
        ).fetchone()
        return json.loads(row["body"]) if row else None

    def children(self, parent: str, kind: str) -> list[Json]:
        """All objects of that kind under a parent, oldest first."""
        rows = self.connection.execute(
            "SELECT body FROM object WHERE parent = ? AND kind = ? ORDER BY seq", (parent, kind)
        )
        return [json.loads(row["body"]) for row in rows]

    def seq(self, object_id: str) -> int | None:
        row = self.connection.execute("SELECT seq FROM object WHERE id = ?", (object_id,)).fetchone()
        return int(row["seq"]) if row else None

    def newest(
        self,
        kind: str,
        *,
        account: str,
        parent: str | None = None,
        equal: Mapping[str, object] | None = None,
        before: int | None = None,
        after: int | None = None,
        oldest_first: bool = False,
        limit: int = -1,
    ) -> list[Json]:
        """Objects of a kind, newest first, whose fields equal these values (or one of a list of them)."""
        conditions, values = ["kind = ?", "account = ?"], [kind, account]
        bound: list[object] = [*values]
        if parent is not None:
            conditions.append("parent = ?")
            bound.append(parent)
        for name, value in (equal or {}).items():
            accepted = value if isinstance(value, list) else [value]
            conditions.append(f"json_extract(body, ?) IN ({', '.join('?' * len(accepted))})")
            bound += [f"$.{name}", *accepted]
        for sign, seq in (("<", before), (">", after)):
            if seq is not None:
                conditions.append(f"seq {sign} ?")
                bound.append(seq)
        order = "ASC" if oldest_first else "DESC"
        query = f"SELECT body FROM object WHERE {' AND '.join(conditions)} ORDER BY seq {order} LIMIT ?"
        return [json.loads(row["body"]) for row in self.connection.execute(query, (*bound, limit))]

    def setting(self, name: str, default: Any) -> Any:
        row = self.connection.execute("SELECT value FROM setting WHERE name = ?", (name,)).fetchone()
        return json.loads(row["value"]) if row else default

    def set_setting(self, name: str, value: Any) -> None:
        self.connection.execute(
            "INSERT INTO setting VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            (name, json.dumps(value)),
        )

    def append_journal(self, entry: Json) -> None:
        self.connection.execute(
            "INSERT INTO journal (object_id, body) VALUES (?, ?)", (entry["id"], json.dumps(entry))
        )

    def journal(self, *, since: int, limit: int) -> Json:
        """Entries from number `since` (counted from 0) on, and the number to go on with."""
        rows = self.connection.execute(
            "SELECT seq, body FROM journal WHERE seq > ? ORDER BY seq LIMIT ?", (since, limit)
        ).fetchall()
        entries = [{"seq": row["seq"] - 1, **json.loads(row["body"])} for row in rows]
        total = self.connection.execute("SELECT count(*) FROM journal").fetchone()[0]
        return {"entries": entries, "next": rows[-1]["seq"] if rows else max(since, 0), "total": total}
