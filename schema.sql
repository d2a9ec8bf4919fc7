-- chancrawl's PostgreSQL schema: the data dictionary.
--
-- Idempotent: `scrapy initdb` applies it, and a crawl's first write where the tables are not there. All times are UTC. Columns are those of the items
-- in chancrawl/items.py, in their order; the CSV files use the same names.

CREATE TABLE IF NOT EXISTS boards (
    board       text PRIMARY KEY,
    title       text,
    worksafe    boolean,
    has_archive boolean NOT NULL,
    pages       integer,
    per_page    integer,
    bump_limit  integer,
    image_limit integer,
    seen_at     timestamptz,
    raw         json NOT NULL
);
COMMENT ON TABLE boards IS 'The boards of the site, as boards.json described them last.';
COMMENT ON COLUMN boards.board IS 'Directory of the board: po for /po/.';
COMMENT ON COLUMN boards.title IS 'Title at the top of the board.';
COMMENT ON COLUMN boards.worksafe IS 'Whether the site calls the board worksafe.';
COMMENT ON COLUMN boards.has_archive IS 'Whether threads that fall off the board can be read for some days more.';
COMMENT ON COLUMN boards.pages IS 'Number of index pages. pages * per_page threads are live at a time.';
COMMENT ON COLUMN boards.per_page IS 'Threads on one index page.';
COMMENT ON COLUMN boards.bump_limit IS 'Replies after which a thread is no longer bumped.';
COMMENT ON COLUMN boards.image_limit IS 'Image replies after which a thread takes no more images.';
COMMENT ON COLUMN boards.seen_at IS 'When this description was read.';
COMMENT ON COLUMN boards.raw IS 'The description, as it was sent.';

CREATE TABLE IF NOT EXISTS threads (
    board               text NOT NULL,
    no                  bigint NOT NULL,
    subject             text,
    semantic_url        text,
    replies             integer,
    images              integer,
    unique_ips          integer,
    sticky              boolean NOT NULL,
    closed              boolean NOT NULL,
    bump_limit_reached  boolean NOT NULL,
    image_limit_reached boolean NOT NULL,
    archived_at         timestamptz,
    tail_size           integer,
    position            integer,
    last_modified       timestamptz,
    http_last_modified  text,
    fate                text NOT NULL CHECK (fate IN ('live', 'archived', 'pruned', 'deleted')),
    first_seen_at       timestamptz NOT NULL,
    last_seen_at        timestamptz NOT NULL,
    gone_at             timestamptz,
    PRIMARY KEY (board, no)
);
CREATE INDEX IF NOT EXISTS threads_live ON threads (board) WHERE fate = 'live';
COMMENT ON TABLE threads IS 'Every thread seen, with its state when it was last seen whole, and what became of it.';
COMMENT ON COLUMN threads.board IS 'Board of the thread.';
COMMENT ON COLUMN threads.no IS 'Number of the thread: that of its opening post.';
COMMENT ON COLUMN threads.subject IS 'Subject of the opening post.';
COMMENT ON COLUMN threads.semantic_url IS 'The readable part of the thread''s address.';
COMMENT ON COLUMN threads.replies IS 'Number of replies, as the site counts them; null while not all of them were seen.';
COMMENT ON COLUMN threads.images IS 'Number of replies with an image, as the site counts them.';
COMMENT ON COLUMN threads.unique_ips IS 'Number of posters, where the site tells it.';
COMMENT ON COLUMN threads.sticky IS 'Whether the thread is pinned to the top of its board.';
COMMENT ON COLUMN threads.closed IS 'Whether the thread takes no more replies.';
COMMENT ON COLUMN threads.bump_limit_reached IS 'Whether replies no longer bump the thread.';
COMMENT ON COLUMN threads.image_limit_reached IS 'Whether the thread takes no more images.';
COMMENT ON COLUMN threads.archived_at IS 'When the site archived the thread.';
COMMENT ON COLUMN threads.tail_size IS 'Posts in the thread''s short form (thread/N-tail.json), where there is one.';
COMMENT ON COLUMN threads.position IS 'Place in the bump order when the thread was read, from 0 at the top.';
COMMENT ON COLUMN threads.last_modified IS 'Time of the last change, according to the index (a page of the board tells only the time of the newest reply).';
COMMENT ON COLUMN threads.http_last_modified IS 'Last-Modified header of the last reading of its own page, to the letter: the next request repeats it. Null if an index file showed all of it.';
COMMENT ON COLUMN threads.fate IS 'live; archived; pruned (fell off the end of the board, or left the archive); deleted.';
COMMENT ON COLUMN threads.first_seen_at IS 'When the thread was first read.';
COMMENT ON COLUMN threads.last_seen_at IS 'When a change in the thread was last seen, or its own page was last read: until then every post without deleted_at was there.';
COMMENT ON COLUMN threads.gone_at IS 'When the thread was found to be gone from the board and from its archive.';

CREATE TABLE IF NOT EXISTS posts (
    board                 text NOT NULL,
    no                    bigint NOT NULL,
    thread_no             bigint NOT NULL,
    posted_at             timestamptz NOT NULL,
    name                  text,
    tripcode              text,
    poster_id             text,
    capcode               text,
    country               text,
    country_name          text,
    board_flag            text,
    flag_name             text,
    since4pass            integer,
    email                 text,
    subject               text,
    tag                   text,
    comment_html          text,
    comment_text          text,
    quotes                jsonb NOT NULL,
    links                 text[] NOT NULL,
    file_tim              bigint,
    file_name             text,
    file_ext              text,
    file_size             bigint,
    file_md5              text,
    file_width            integer,
    file_height           integer,
    thumbnail_width       integer,
    thumbnail_height      integer,
    file_deleted          boolean NOT NULL,
    file_spoiler          boolean NOT NULL,
    custom_spoiler        integer,
    has_mobile_image      boolean NOT NULL,
    revision              integer NOT NULL,
    first_seen_at         timestamptz NOT NULL,
    last_seen_at          timestamptz NOT NULL,
    deleted_at            timestamptz,
    deletion_confirmed_at timestamptz,
    raw                   json NOT NULL,
    digest                bigint NOT NULL,
    PRIMARY KEY (board, no)
);
CREATE INDEX IF NOT EXISTS posts_thread ON posts (board, thread_no, no);
CREATE INDEX IF NOT EXISTS posts_time ON posts (board, posted_at);
CREATE INDEX IF NOT EXISTS posts_quotes ON posts USING gin (quotes jsonb_path_ops);
CREATE INDEX IF NOT EXISTS posts_file_md5 ON posts (file_md5) WHERE file_md5 IS NOT NULL;
COMMENT ON TABLE posts IS 'Every post seen, in its latest version. Typical questions: a thread in order (board, thread_no, no); a board by time (board, posted_at); the posts quoting a post (quotes @> ''[{"board": "po", "no": 570370}]''); a file (file_md5).';
COMMENT ON COLUMN posts.board IS 'Board of the post.';
COMMENT ON COLUMN posts.no IS 'Number of the post. Numbers run in one sequence per board.';
COMMENT ON COLUMN posts.thread_no IS 'Thread of the post; an opening post has no = thread_no.';
COMMENT ON COLUMN posts.posted_at IS 'When the post was made.';
COMMENT ON COLUMN posts.name IS 'Name of the poster; mostly Anonymous.';
COMMENT ON COLUMN posts.tripcode IS 'Tripcode (!…) or secure tripcode (!!…) of the poster.';
COMMENT ON COLUMN posts.poster_id IS 'The poster''s ID in this thread, on boards that show it.';
COMMENT ON COLUMN posts.capcode IS 'Staff mark: mod, admin, admin_highlight, manager, developer, founder.';
COMMENT ON COLUMN posts.country IS 'Country of the poster, ISO 3166-1 alpha-2 or XX, on boards with country flags.';
COMMENT ON COLUMN posts.country_name IS 'Name of the country.';
COMMENT ON COLUMN posts.board_flag IS 'Code of the flag that the poster chose, on boards that offer them.';
COMMENT ON COLUMN posts.flag_name IS 'Name of the chosen flag.';
COMMENT ON COLUMN posts.since4pass IS 'Year in which the poster bought a pass, where shown.';
COMMENT ON COLUMN posts.email IS 'E-mail field; sent until 2014.';
COMMENT ON COLUMN posts.subject IS 'Subject line.';
COMMENT ON COLUMN posts.tag IS 'Category of the upload; /f/ only.';
COMMENT ON COLUMN posts.comment_html IS 'The comment as it was sent, HTML; NUL and lone surrogates replaced by U+FFFD.';
COMMENT ON COLUMN posts.comment_text IS 'The comment as text, with line breaks, [spoiler], [code] and [sjis].';
COMMENT ON COLUMN posts.quotes IS 'Quoted posts: [{"board", "thread_no" (null where the link does not say), "no", "dead"}].';
COMMENT ON COLUMN posts.links IS 'Links in the comment, marked up or in plain text.';
COMMENT ON COLUMN posts.file_tim IS 'Name of the file on the server: the upload''s time in milliseconds (13 digits) or microseconds (16).';
COMMENT ON COLUMN posts.file_name IS 'Name of the file on the poster''s device, without its ending.';
COMMENT ON COLUMN posts.file_ext IS 'Ending of the file: .jpg, .png, .gif, .pdf, .swf, .webm, .mp4.';
COMMENT ON COLUMN posts.file_size IS 'Size of the file in bytes.';
COMMENT ON COLUMN posts.file_md5 IS 'MD5 of the original upload, 32 hexadecimal digits; not always that of the file served.';
COMMENT ON COLUMN posts.file_width IS 'Width of the image in pixels.';
COMMENT ON COLUMN posts.file_height IS 'Height of the image in pixels.';
COMMENT ON COLUMN posts.thumbnail_width IS 'Width of the thumbnail in pixels.';
COMMENT ON COLUMN posts.thumbnail_height IS 'Height of the thumbnail in pixels.';
COMMENT ON COLUMN posts.file_deleted IS 'Whether the file was deleted and the post left.';
COMMENT ON COLUMN posts.file_spoiler IS 'Whether the image is hidden as a spoiler.';
COMMENT ON COLUMN posts.custom_spoiler IS 'Number of the board''s own spoiler image.';
COMMENT ON COLUMN posts.has_mobile_image IS 'Whether a smaller image for mobile devices exists.';
COMMENT ON COLUMN posts.revision IS 'Version of the post, from 1; earlier versions are in post_revisions.';
COMMENT ON COLUMN posts.first_seen_at IS 'When the post was first seen.';
COMMENT ON COLUMN posts.last_seen_at IS 'When this version was first seen; for a deleted post, when it was last seen. threads.last_seen_at tells how long a post without deleted_at has been there.';
COMMENT ON COLUMN posts.deleted_at IS 'When the post was first missed while its thread was there, or its thread found deleted.';
COMMENT ON COLUMN posts.deletion_confirmed_at IS 'When it was missed again, in a later version of the thread.';
COMMENT ON COLUMN posts.raw IS 'The post as it was sent when this version was first seen. json, not jsonb: it keeps escapes of NUL and of lone surrogates, on which ->> fails.';
COMMENT ON COLUMN posts.digest IS '64-bit hash of what makes a version: of raw without the keys that change with the thread.';

CREATE TABLE IF NOT EXISTS post_revisions (
    LIKE posts INCLUDING COMMENTS,
    replaced_at timestamptz NOT NULL,
    PRIMARY KEY (board, no, revision)
);
COMMENT ON TABLE post_revisions IS 'Earlier versions of posts that changed (file deleted, ban note, …). Columns as in posts.';
COMMENT ON COLUMN post_revisions.replaced_at IS 'When the next version was first seen.';

CREATE TABLE IF NOT EXISTS validators (
    path          text PRIMARY KEY,
    last_modified text NOT NULL
);
COMMENT ON TABLE validators IS 'Index files whose content is stored in full, for conditional requests.';
COMMENT ON COLUMN validators.path IS 'Path of the file: /po/threads.json.';
COMMENT ON COLUMN validators.last_modified IS 'Its Last-Modified header, to the letter.';

CREATE TABLE IF NOT EXISTS board_polls (
    board       text NOT NULL,
    polled_at   timestamptz NOT NULL,
    newest_no   bigint,
    threads     integer NOT NULL,
    looks       integer NOT NULL,
    longest_gap double precision,
    PRIMARY KEY (board, polled_at)
);
COMMENT ON TABLE board_polls IS 'When boards were watched: a row about every ten seconds of a crawl with follow=1. `scrapy coverage` reads it.';
COMMENT ON COLUMN board_polls.board IS 'Board that was watched.';
COMMENT ON COLUMN board_polls.polled_at IS 'Time of the last look that the row speaks of, by the server''s clock.';
COMMENT ON COLUMN board_polls.newest_no IS 'Highest post number seen so far: so many numbers had been given.';
COMMENT ON COLUMN board_polls.threads IS 'Number of live threads.';
COMMENT ON COLUMN board_polls.looks IS 'How often an index file of the board was read since the row before.';
COMMENT ON COLUMN board_polls.longest_gap IS 'Longest time between two of these looks, in seconds; null for the first look of a crawl: before it nobody watched.';

CREATE TABLE IF NOT EXISTS runs (
    run_id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    spider        text NOT NULL,
    arguments     json NOT NULL,
    source        text NOT NULL,
    started_at    timestamptz NOT NULL,
    finished_at   timestamptz,
    finish_reason text,
    stats         json
);
COMMENT ON TABLE runs IS 'Every crawl that wrote here.';
COMMENT ON COLUMN runs.run_id IS 'Number of the run.';
COMMENT ON COLUMN runs.spider IS 'Name of the spider: chan.';
COMMENT ON COLUMN runs.arguments IS 'The spider''s arguments.';
COMMENT ON COLUMN runs.source IS 'Address of the API that was read.';
COMMENT ON COLUMN runs.started_at IS 'When the crawl started, by this machine''s clock.';
COMMENT ON COLUMN runs.finished_at IS 'When it ended; null while it runs, and for ever if it was killed.';
COMMENT ON COLUMN runs.finish_reason IS 'finished, shutdown (stopped by a person), or what went wrong.';
COMMENT ON COLUMN runs.stats IS 'Scrapy''s statistics of the run.';
