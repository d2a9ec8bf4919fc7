"""The views of the embedded database that schema.sql does not have in words that SQLite knows.

No view needs a function that the sqlite3 program does not have.
"""

from __future__ import annotations


def _list(column: str) -> str:
    """SQL for a list as PostgreSQL writes it: {a,"b c"}.

    https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO
    """
    quoted = r"""'"' || replace(replace(value, '\', '\\'), '"', '\"') || '"'"""
    odd = (
        "value = '' OR lower(value) = 'null' OR value GLOB '*[{},\"\\ ]*' "
        "OR value GLOB '*[' || char(9, 10, 11, 12, 13) || ']*'"
    )
    element = f"CASE WHEN value IS NULL THEN 'NULL' WHEN {odd} THEN {quoted} ELSE value END"
    return (
        f"CASE WHEN {column} IS NOT NULL THEN "
        f"'{{' || (SELECT coalesce(group_concat({element}, ','), '') FROM json_each({column})) || '}}' END"
    )


def safe_json(column: str) -> str:
    """SQL for a JSON text in which escapes of NUL and of lone surrogates are replaced by U+FFFD.

    The loop goes from one backslash to the next one, because a backslash can itself be escaped. It keeps the escapes of
    both halves of a character.
    """
    place = r"instr(rest, '\')"
    pair = rf"lower(substr(rest, {place}, 12)) GLOB '\ud[89ab]??\ud[c-f]??'"
    bad = rf"lower(substr(rest, {place}, 6)) = '\u0000' OR lower(substr(rest, {place}, 4)) GLOB '\ud[89a-f]'"
    return rf"""CASE WHEN {column} NOT LIKE '%\u0000%' AND {column} NOT LIKE '%\ud%' THEN {column} ELSE (
        WITH RECURSIVE step (done, rest) AS (
            SELECT '', {column}
            UNION ALL
            SELECT
                done || CASE
                    WHEN {place} = 0 THEN rest
                    WHEN {pair} THEN substr(rest, 1, {place} + 11)
                    WHEN {bad} THEN substr(rest, 1, {place} - 1) || '\ufffd'
                    ELSE substr(rest, 1, {place} + 1)
                END,
                CASE
                    WHEN {place} = 0 THEN ''
                    WHEN {pair} THEN substr(rest, {place} + 12)
                    WHEN {bad} THEN substr(rest, {place} + 6)
                    ELSE substr(rest, {place} + 2)
                END
            FROM step WHERE rest <> ''
        )
        SELECT done FROM step WHERE rest = ''
    ) END"""


_MONTHS = "'JanFebMarAprMayJunJulAugSepOctNovDec', 3 * strftime('%m', posted_at) - 2, 3"
_DAYS = "'SunMonTueWedThuFriSat', 3 * strftime('%w', posted_at) + 1, 3"

VIEWS = {
    "tweet_articles_tweepy": f"""
SELECT
    id,
    username AS tweet_from,
    substr({_DAYS}) || ' ' || substr({_MONTHS}) || strftime(' %d %H:%M:%S +0000 %Y', posted_at) AS created_at,
    {_list("hashtags")} AS hashtags,
    {_list("urls")} AS urls,
    {_list("mention_ids")} AS user_mentions_id,
    {_list("media_urls")} AS media,
    {_list("mention_usernames")} AS user_mentions_name,
    source AS origin_device,
    json_extract(metrics, '$.like_count') AS favorite_count,
    text,
    in_reply_to_username AS in_reply_to_screen_name,
    in_reply_to_user_id,
    in_reply_to_id AS in_reply_to_status_id,
    json_extract(metrics, '$.retweet_count') AS retweet_count,
    retweeted_text AS retweeted_status_text,
    {_list("retweeted_urls")} AS retweeted_status_url,
    retweeted_id AS retweeted_status_id,
    retweeted_name AS retweeted_status_user_name,
    retweeted_username AS retweeted_status_user_handle,
    sentiment
FROM tweets
""",
    "posts_raw": f"SELECT board, no, {safe_json('raw')} AS raw FROM posts",
    "tweets_raw": f"SELECT id, {safe_json('raw')} AS raw, {safe_json('includes')} AS includes FROM tweets",
}
