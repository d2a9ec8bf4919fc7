"""The index of words in PostgreSQL: a GIN index on an expression, which PostgreSQL keeps in each write.

A frequent word is in millions of rows, and an index of words has no order of time. So each row is also indexed under
the hour in which it was made, and under three larger blocks of hours, as if these were words. A search asks for the
newest hour first, then for the four hours before it, and so on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from chancrawl.find.index import Progress, Words
from chancrawl.find.texts import TEXTS, TWEETS, Texts
from chancrawl.storage.postgres.connection import PostgresStore

LEVELS = (1, 32, 1024, 32768)
"""The blocks under which a row is indexed, in hours."""

LONGEST = 200_000
"""So many characters of a text are indexed. A tsvector has at most a megabyte, and a character up to four bytes."""

SEPARATORS = (
    r"[\u0001-\u002f\u003a-\u0040\u005b-\u0060\u007b-\u00a9\u00ab-\u00b4\u00b6-\u00b9\u00bb-\u00bf\u00d7\u00f7"
    r"\u2000-\u2bff\u2e00-\u2e7f\u3000-\u3004\u3008-\u3020\ufe00-\ufe1f\ufe30-\ufe6f\uff00-\uff0f\ufffd"
    r"\U0001f000-\U0001faff]+"
)
"""Punctuation and symbols. Without them, PostgreSQL's parser finds words only, and no addresses and signed numbers."""

PLAIN = f"regexp_replace(lower(left(content, {LONGEST})), '{SEPARATORS}', ' ', 'g')"
TOKENS = f"strip(to_tsvector('simple'::regconfig, {PLAIN}))"
BLOCKS = ", ".join(f"'~{level}:' || hour / {hours}" for level, hours in enumerate(LEVELS))

FUNCTIONS = f"""
CREATE OR REPLACE FUNCTION find_tokens(content text) RETURNS tsvector LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT {TOKENS}
$$;
CREATE OR REPLACE FUNCTION find_words(content text, place text, at timestamptz) RETURNS tsvector
LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 10000 AS $$
    SELECT {TOKENS} || array_to_tsvector(ARRAY['~' || coalesce(place, ''), {BLOCKS}])
    FROM (SELECT floor(extract(epoch FROM coalesce(at, 'epoch')) / 3600)::bigint AS hour) AS hours
$$;
"""


def words_of(texts: Texts) -> str:
    """The SQL that is indexed."""
    return f"find_words({texts.text}, {texts.owner.replace('{}', '')}, posted_at)"


def blocks(first: int, last: int) -> Iterator[str]:
    """The blocks of hours from `first` to `last`, as few as possible.

    >>> list(blocks(31, 65))
    ['~0:31', '~1:1', '~0:64', '~0:65']
    """
    hour = first
    while hour <= last:
        level = max(n for n, hours in enumerate(LEVELS) if hour % hours == 0 and hour + hours - 1 <= last)
        yield f"~{level}:{hour // LEVELS[level]}"
        hour += LEVELS[level]


class PostgresIndex:
    """The index of both tables."""

    def __init__(self, store: PostgresStore) -> None:
        self.store = store

    def _rows(self, sql: str, *parameters: Any) -> list[Any]:
        """By `stream`, because `rows` would end the transaction in which hits are read."""
        return list(self.store.stream(sql, *parameters))

    def is_complete(self) -> bool:
        return all(map(self._is_valid, TEXTS))

    def _is_valid(self, texts: Texts) -> bool:
        sql = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(?)"
        return any(valid for (valid,) in self._rows(sql, texts.index))

    def size(self) -> int:
        """Its bytes."""
        sql = "SELECT coalesce(sum(pg_relation_size(to_regclass(name))), 0) FROM unnest(?) AS name"
        return int(self._rows(sql, [texts.index for texts in TEXTS])[0][0])

    def build(self, progress: Progress) -> None:
        """Build it, while crawls go on writing. An index whose building was interrupted is built anew."""
        lacking = [texts for texts in TEXTS if not self._is_valid(texts)]
        connection = self.store.connection
        connection.rollback()
        connection.autocommit = True  # CREATE INDEX CONCURRENTLY runs in no transaction
        try:
            with connection.cursor() as cursor:
                cursor.execute(FUNCTIONS)
                for texts in lacking:
                    progress(texts.table, 0)
                    cursor.execute(f"DROP INDEX IF EXISTS {texts.index}")
                    cursor.execute(
                        f"CREATE INDEX CONCURRENTLY {texts.index} ON {texts.table} USING gin ({words_of(texts)})"
                    )
                    cursor.execute(f"ANALYZE {texts.table}")
        finally:
            connection.autocommit = False

    def drop(self) -> None:
        self.store.write([
            *((f"DROP INDEX IF EXISTS {texts.index}", ()) for texts in TEXTS),
            ("DROP FUNCTION IF EXISTS find_words, find_tokens", ()),
        ])  # fmt: skip

    def tokens(self, text: str) -> list[str]:
        ((words,),) = self._rows("SELECT tsvector_to_array(find_tokens(?))", text)
        return list(words)

    def rows(
        self, texts: Texts, words: Words, places: Sequence[str] | None, since: datetime | None, until: datetime | None
    ) -> Iterator[Any]:
        """The rows that have all words, newest first. Some are up to an hour outside of the stretch."""
        needed = [_quoted(word) + ":*" * is_prefix for word, is_prefix in words]
        if places is not None:
            needed.append(_any([f"~{place}" for place in places]))
        first, last = self._hours(texts, since, until)
        hours = 1
        while last >= first:
            start = max(first, last - hours + 1)
            query = " & ".join([*needed, _any(list(blocks(start, last)))])
            yield from self.store.stream(
                f"SELECT {texts.selected} FROM {texts.table} WHERE {words_of(texts)} @@ ?::tsquery "
                f"ORDER BY {texts.newest_first}", query,
            )  # fmt: skip
            last, hours = start - 1, hours * 4

    def _hours(self, texts: Texts, since: datetime | None, until: datetime | None) -> tuple[int, int]:
        """The first and the last hour of a stretch in which there can be rows."""
        if texts is TWEETS:
            sql = "SELECT 0, extract(epoch FROM max(posted_at))::bigint / 3600 FROM tweets"  # some have no time
        else:
            sql = "SELECT {}, {} FROM board_hours".format(
                *(f"extract(epoch FROM {end}(hour))::bigint / 3600" for end in ("min", "max"))
            )
        ((first, last),) = self._rows(sql)
        first, last = first or 0, last or 0
        if since is not None:
            first = max(first, int(since.timestamp()) // 3600)
        if until is not None:
            last = min(last, int(until.timestamp()) // 3600)
        return first, last


def _quoted(lexeme: str) -> str:
    escaped = lexeme.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"


def _any(lexemes: Sequence[str]) -> str:
    return f"({' | '.join(map(_quoted, lexemes))})"
