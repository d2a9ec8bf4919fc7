-- chancrawl's PostgreSQL schema: the data dictionary.
-- Version: 7
--
-- It is idempotent. `scrapy initdb` applies it, and so does the first write of a crawl if the tables do not exist. When
-- a crawl starts, it migrates tables of an earlier version (chancrawl/storage/postgres/migrations.py). All times are
-- UTC. The columns are the fields of the items in chancrawl/items.py, in the same order; CSV files use the same names.

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
    gone_at     timestamptz,
    raw         json NOT NULL
);
COMMENT ON TABLE boards IS 'The boards of the site, from the last boards.json.';
COMMENT ON COLUMN boards.board IS 'Directory of the board: po for /po/.';
COMMENT ON COLUMN boards.title IS 'Title at the top of the board.';
COMMENT ON COLUMN boards.worksafe IS 'Whether the site calls the board worksafe.';
COMMENT ON COLUMN boards.has_archive IS 'Whether threads that fall off the board can be read for some days more.';
COMMENT ON COLUMN boards.pages IS 'Number of index pages. pages * per_page threads are live at a time.';
COMMENT ON COLUMN boards.per_page IS 'Threads on one index page.';
COMMENT ON COLUMN boards.bump_limit IS 'Replies after which a thread is no longer bumped.';
COMMENT ON COLUMN boards.image_limit IS 'Image replies after which a thread takes no more images.';
COMMENT ON COLUMN boards.seen_at IS 'When this description was read.';
COMMENT ON COLUMN boards.gone_at IS 'When it was first seen that the board no longer exists; null while it exists.';
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
COMMENT ON TABLE threads IS 'Every thread seen, with its state when it was last completely known, and its fate.';
COMMENT ON COLUMN threads.board IS 'Board of the thread.';
COMMENT ON COLUMN threads.no IS 'Number of the thread: that of its opening post.';
COMMENT ON COLUMN threads.subject IS 'Subject of the opening post.';
COMMENT ON COLUMN threads.semantic_url IS 'The readable part of the thread''s address.';
COMMENT ON COLUMN threads.replies IS 'Number of replies, as the site counts them; null while not all of them were seen.';
COMMENT ON COLUMN threads.images IS 'Number of replies with an image, as the site counts them.';
COMMENT ON COLUMN threads.unique_ips IS 'Number of posters, if the site shows it.';
COMMENT ON COLUMN threads.sticky IS 'Whether the thread is pinned to the top of its board.';
COMMENT ON COLUMN threads.closed IS 'Whether the thread takes no more replies.';
COMMENT ON COLUMN threads.bump_limit_reached IS 'Whether replies no longer bump the thread.';
COMMENT ON COLUMN threads.image_limit_reached IS 'Whether the thread takes no more images.';
COMMENT ON COLUMN threads.archived_at IS 'When the site archived the thread.';
COMMENT ON COLUMN threads.tail_size IS 'Number of posts in the thread''s short form (thread/N-tail.json), if there is one.';
COMMENT ON COLUMN threads.position IS 'Place in the bump order when the thread was read, from 0 at the top.';
COMMENT ON COLUMN threads.last_modified IS 'Time of the last change, according to the index (a page of the board has only the time of the newest reply).';
COMMENT ON COLUMN threads.http_last_modified IS 'Last-Modified header of its own page when it was last read, unchanged, because the next request sends it. Null if an index file showed all of the thread.';
COMMENT ON COLUMN threads.fate IS 'live; archived; pruned (fell off the end of the board, left the archive when its time was over, or went with its board); deleted.';
COMMENT ON COLUMN threads.first_seen_at IS 'When the thread was first read.';
COMMENT ON COLUMN threads.last_seen_at IS 'When a change in the thread was last seen, or its own page was last read. Every post without deleted_at existed until then.';
COMMENT ON COLUMN threads.gone_at IS 'When it was seen that the thread is gone from the board and from its archive.';

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
CREATE INDEX IF NOT EXISTS posts_deleted ON posts (board, deleted_at) WHERE deleted_at IS NOT NULL;
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
COMMENT ON COLUMN posts.file_deleted IS 'Whether the file was deleted and the post was kept.';
COMMENT ON COLUMN posts.file_spoiler IS 'Whether the image is hidden as a spoiler.';
COMMENT ON COLUMN posts.custom_spoiler IS 'Number of the board''s own spoiler image.';
COMMENT ON COLUMN posts.has_mobile_image IS 'Whether a smaller image for mobile devices exists.';
COMMENT ON COLUMN posts.revision IS 'Version of the post, from 1; earlier versions are in post_revisions.';
COMMENT ON COLUMN posts.first_seen_at IS 'When the post was first seen.';
COMMENT ON COLUMN posts.last_seen_at IS 'When this version was first seen; for a deleted post, when it was last seen. A post without deleted_at existed at least until threads.last_seen_at.';
COMMENT ON COLUMN posts.deleted_at IS 'When the post was first missing from its thread, or its thread was seen to be deleted.';
COMMENT ON COLUMN posts.deletion_confirmed_at IS 'When it was missing again, in a later version of the thread.';
COMMENT ON COLUMN posts.raw IS 'The post as it was sent when this version was first seen. The type is json and not jsonb, to keep escapes of NUL and of lone surrogates; ->> fails on them.';
COMMENT ON COLUMN posts.digest IS '64-bit hash of a version: of raw without the keys that change with the thread.';

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
COMMENT ON COLUMN validators.last_modified IS 'Its Last-Modified header, unchanged.';

CREATE TABLE IF NOT EXISTS board_polls (
    board       text NOT NULL,
    polled_at   timestamptz NOT NULL,
    newest_no   bigint,
    threads     integer NOT NULL,
    looks       integer NOT NULL,
    longest_gap double precision,
    PRIMARY KEY (board, polled_at)
);
COMMENT ON TABLE board_polls IS 'When boards were watched: about one row in ten seconds of a crawl with follow=1. `scrapy coverage` reads it.';
COMMENT ON COLUMN board_polls.board IS 'Board that was watched.';
COMMENT ON COLUMN board_polls.polled_at IS 'Time of the last look that the row counts, by the server''s clock.';
COMMENT ON COLUMN board_polls.newest_no IS 'Highest post number seen so far.';
COMMENT ON COLUMN board_polls.threads IS 'Number of live threads.';
COMMENT ON COLUMN board_polls.looks IS 'Number of looks: how often an index file of the board was read since the row before.';
COMMENT ON COLUMN board_polls.longest_gap IS 'Longest time between two of these looks, in seconds; null for the first look of a crawl, because the time before it is unknown.';

CREATE TABLE IF NOT EXISTS board_hours (
    board         text NOT NULL,
    hour          timestamptz NOT NULL,
    posts         bigint NOT NULL,
    deleted       bigint NOT NULL,
    delay_seconds bigint NOT NULL,
    no_sum        bigint NOT NULL,
    PRIMARY KEY (board, hour)
);
COMMENT ON TABLE board_hours IS 'How many posts of each board and hour are stored. It is kept in the transaction of each write to posts, so that nobody has to count posts.';
COMMENT ON COLUMN board_hours.board IS 'Board of the posts.';
COMMENT ON COLUMN board_hours.hour IS 'Beginning of the hour in which they were made (posted_at).';
COMMENT ON COLUMN board_hours.posts IS 'Number of stored posts.';
COMMENT ON COLUMN board_hours.deleted IS 'Number of these that were deleted (deleted_at).';
COMMENT ON COLUMN board_hours.delay_seconds IS 'Sum of the seconds between posted_at and first_seen_at. Divided by posts, it is the mean delay.';
COMMENT ON COLUMN board_hours.no_sum IS 'Sum of their numbers. If posts, delay_seconds and no_sum are the same as before, no post of the hour was added or removed.';

CREATE OR REPLACE FUNCTION count_posts() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    sign bigint := TG_ARGV[0];
BEGIN
    INSERT INTO board_hours AS held
    SELECT
        board, date_trunc('hour', posted_at, 'UTC'), sign * count(*), sign * count(deleted_at),
        sign * sum(floor(extract(epoch FROM first_seen_at)) - floor(extract(epoch FROM posted_at))), sign * sum(no)
    FROM changed GROUP BY 1, 2 ORDER BY 1, 2
    ON CONFLICT (board, hour) DO UPDATE SET
        posts = held.posts + excluded.posts, deleted = held.deleted + excluded.deleted,
        delay_seconds = held.delay_seconds + excluded.delay_seconds, no_sum = held.no_sum + excluded.no_sum;
    RETURN NULL;
END
$$;
CREATE OR REPLACE TRIGGER posts_added AFTER INSERT ON posts
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_posts('1');
CREATE OR REPLACE TRIGGER posts_removed AFTER DELETE ON posts
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_posts('-1');
CREATE OR REPLACE TRIGGER posts_changed_from AFTER UPDATE ON posts
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_posts('-1');
CREATE OR REPLACE TRIGGER posts_changed_to AFTER UPDATE ON posts
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_posts('1');

CREATE TABLE IF NOT EXISTS board_coverage (
    board         text NOT NULL,
    hour          timestamptz NOT NULL,
    posts         bigint NOT NULL,
    delay_seconds bigint NOT NULL,
    no_sum        bigint NOT NULL,
    first_no      bigint NOT NULL,
    after_no      bigint NOT NULL,
    missing       json NOT NULL,
    delays        json NOT NULL,
    PRIMARY KEY (board, hour)
);
COMMENT ON TABLE board_coverage IS 'The coverage of past hours of followed boards, so that `scrapy coverage` does not read their posts again. A crawl with follow=1 writes it. It can be emptied at any time.';
COMMENT ON COLUMN board_coverage.board IS 'Board of the posts.';
COMMENT ON COLUMN board_coverage.hour IS 'Beginning of the hour.';
COMMENT ON COLUMN board_coverage.posts IS 'board_hours.posts when the row was computed. If it differs by now, the row is out of date.';
COMMENT ON COLUMN board_coverage.delay_seconds IS 'board_hours.delay_seconds at that time.';
COMMENT ON COLUMN board_coverage.no_sum IS 'board_hours.no_sum at that time.';
COMMENT ON COLUMN board_coverage.first_no IS 'Lowest number of the hour.';
COMMENT ON COLUMN board_coverage.after_no IS 'The stored number before it. If there is one between them by now, the row is out of date.';
COMMENT ON COLUMN board_coverage.missing IS 'Missing numbers: [[first, last], …].';
COMMENT ON COLUMN board_coverage.delays IS 'Number of posts by the seconds between posting and the first observation: [[seconds, posts], …].';

CREATE TABLE IF NOT EXISTS accounts (
    id                bigint PRIMARY KEY,
    username          text NOT NULL,
    name              text,
    status            text NOT NULL CHECK (status IN ('active', 'protected', 'suspended', 'missing', 'blocked')),
    created_at        timestamptz,
    description       text,
    location          text,
    url               text,
    verified          boolean,
    verified_type     text,
    pinned_id         bigint,
    profile_image_url text,
    metrics           jsonb NOT NULL,
    first_metrics     jsonb NOT NULL,
    former_usernames  text[] NOT NULL,
    first_seen_at     timestamptz NOT NULL,
    last_seen_at      timestamptz NOT NULL,
    raw               json NOT NULL
);
CREATE INDEX IF NOT EXISTS accounts_username ON accounts (lower(username));
COMMENT ON TABLE accounts IS 'Accounts of X that were collected. The number identifies an account, because names change.';
COMMENT ON COLUMN accounts.id IS 'Number of the account.';
COMMENT ON COLUMN accounts.username IS 'Its name (handle), without @, as it was seen last.';
COMMENT ON COLUMN accounts.name IS 'Its display name.';
COMMENT ON COLUMN accounts.status IS 'active; protected (only followers may read it); suspended; missing (deleted, or not there for another reason); blocked (it has blocked the users whose tokens are used).';
COMMENT ON COLUMN accounts.created_at IS 'When the account was made.';
COMMENT ON COLUMN accounts.description IS 'Its description of itself.';
COMMENT ON COLUMN accounts.location IS 'The place it gives.';
COMMENT ON COLUMN accounts.url IS 'The link it gives, a t.co address.';
COMMENT ON COLUMN accounts.verified IS 'Whether it is verified.';
COMMENT ON COLUMN accounts.verified_type IS 'blue, business, government or none.';
COMMENT ON COLUMN accounts.pinned_id IS 'The post pinned to the top of its profile.';
COMMENT ON COLUMN accounts.profile_image_url IS 'Its picture.';
COMMENT ON COLUMN accounts.metrics IS 'Its counts when it was seen last: followers_count, following_count, tweet_count, listed_count, …';
COMMENT ON COLUMN accounts.first_metrics IS 'Its counts when it was seen first.';
COMMENT ON COLUMN accounts.former_usernames IS 'Names that it had before, oldest first.';
COMMENT ON COLUMN accounts.first_seen_at IS 'When it was first looked up.';
COMMENT ON COLUMN accounts.last_seen_at IS 'When a change in it was last seen.';
COMMENT ON COLUMN accounts.raw IS 'The account as it was sent when it was looked up last.';

CREATE TABLE IF NOT EXISTS handles (
    handle     text PRIMARY KEY,
    account_id bigint,
    status     text NOT NULL CHECK (status IN ('active', 'protected', 'suspended', 'missing', 'blocked')),
    checked_at timestamptz NOT NULL
);
COMMENT ON TABLE handles IS 'Names that were looked up. Names without an account are looked up again after X_RECHECK_DAYS.';
COMMENT ON COLUMN handles.handle IS 'The name, in lower case, without @.';
COMMENT ON COLUMN handles.account_id IS 'The account that had it; null for suspended and missing ones.';
COMMENT ON COLUMN handles.status IS 'The result of the look-up: active, protected, suspended, missing, blocked (it has blocked the users whose tokens are used).';
COMMENT ON COLUMN handles.checked_at IS 'When it was looked up last.';

CREATE TABLE IF NOT EXISTS feeds (
    feed           text PRIMARY KEY,
    newest_id      bigint,
    seen_id        bigint,
    oldest_id      bigint,
    complete_since timestamptz,
    posts          bigint NOT NULL,
    pages          bigint NOT NULL,
    posts_per_day  double precision,
    visited_at     timestamptz,
    timeline_at    timestamptz,
    bottom_at      timestamptz,
    next_token     text,
    walk_since_id  bigint,
    walk_until_id  bigint,
    walk_newest_id bigint,
    walk_oldest_id bigint,
    walk_posts     bigint NOT NULL
);
COMMENT ON TABLE feeds IS 'How far each timeline and each search has been read.';
COMMENT ON COLUMN feeds.feed IS 'timeline:ACCOUNT_ID, search:QUERY or trend:QUERY.';
COMMENT ON COLUMN feeds.newest_id IS 'Everything from oldest_id up to this id is stored, except the intervals in gaps. It is the since_id of the next visit. Batched searches do not change it, because they do not show everything.';
COMMENT ON COLUMN feeds.seen_id IS 'The last visit showed no other post up to this id.';
COMMENT ON COLUMN feeds.oldest_id IS 'Lowest id that was read.';
COMMENT ON COLUMN feeds.complete_since IS 'The feed is complete since this time; 1970 if it was read to its first post. If X did not show everything, the time since which it did: the oldest of the last 3,200 posts, the last seven days of a search, the end of the last interval in gaps. Null until a reading is complete.';
COMMENT ON COLUMN feeds.posts IS 'Number of posts that it has shown.';
COMMENT ON COLUMN feeds.pages IS 'Number of pages of it that were read. Of two states, the one with more pages is the later one.';
COMMENT ON COLUMN feeds.posts_per_day IS 'Its pace, which determines the time of the next visit.';
COMMENT ON COLUMN feeds.visited_at IS 'When all its new posts were last read.';
COMMENT ON COLUMN feeds.timeline_at IS 'When an account was last read by its own timeline, and not by a search with plan=search.';
COMMENT ON COLUMN feeds.bottom_at IS 'When X showed nothing older than oldest_id.';
COMMENT ON COLUMN feeds.next_token IS 'Page with which an interrupted reading continues; null if there is none.';
COMMENT ON COLUMN feeds.walk_since_id IS 'The reading under way asks for posts newer than this.';
COMMENT ON COLUMN feeds.walk_until_id IS 'The reading under way asks for posts older than this.';
COMMENT ON COLUMN feeds.walk_newest_id IS 'Becomes newest_id when the reading is complete.';
COMMENT ON COLUMN feeds.walk_oldest_id IS 'Lowest id that the reading under way has reached.';
COMMENT ON COLUMN feeds.walk_posts IS 'Number of posts that the reading under way has shown.';

CREATE TABLE IF NOT EXISTS gaps (
    feed      text NOT NULL,
    before_id bigint NOT NULL,
    after_id  bigint NOT NULL,
    starts_at timestamptz,
    ends_at   timestamptz,
    reason    text NOT NULL,
    found_at  timestamptz NOT NULL,
    PRIMARY KEY (feed, before_id)
);
COMMENT ON TABLE gaps IS 'Intervals of feeds that were not read and cannot be read any more. Posts in them may have been missed.';
COMMENT ON COLUMN gaps.feed IS 'The feed: timeline:ACCOUNT_ID, search:QUERY or trend:QUERY.';
COMMENT ON COLUMN gaps.before_id IS 'End of the interval: the oldest post that was read after it.';
COMMENT ON COLUMN gaps.after_id IS 'Start of the interval: the newest post that had been read before it.';
COMMENT ON COLUMN gaps.starts_at IS 'Time of after_id; null if the id has no time.';
COMMENT ON COLUMN gaps.ends_at IS 'Time of before_id; null if the id has no time.';
COMMENT ON COLUMN gaps.reason IS 'reach (a timeline shows the latest 3,200 posts, a search seven days) or limit (left out because of an argument of the crawl).';
COMMENT ON COLUMN gaps.found_at IS 'When it was found.';

CREATE TABLE IF NOT EXISTS tweets (
    id                   bigint PRIMARY KEY,
    author_id            bigint,
    username             text,
    posted_at            timestamptz,
    text                 text,
    lang                 text,
    hashtags             text[],
    cashtags             text[],
    urls                 text[],
    mention_ids          bigint[],
    mention_usernames    text[],
    media_urls           text[],
    source               text,
    conversation_id      bigint,
    in_reply_to_id       bigint,
    in_reply_to_user_id  bigint,
    in_reply_to_username text,
    quoted_id            bigint,
    retweeted_id         bigint,
    retweeted_username   text,
    retweeted_name       text,
    retweeted_text       text,
    retweeted_urls       text[],
    edit_history         bigint[],
    possibly_sensitive   boolean,
    reply_settings       text,
    place_id             text,
    place_name           text,
    longitude            double precision,
    latitude             double precision,
    community_id         bigint,
    article_title        text,
    article_text         text,
    metrics              jsonb NOT NULL,
    first_metrics        jsonb NOT NULL,
    sentiment            numeric,
    found_in             text[],
    first_seen_at        timestamptz,
    last_seen_at         timestamptz,
    raw                  json,
    includes             json
);
CREATE INDEX IF NOT EXISTS tweets_author ON tweets (author_id, id);
CREATE INDEX IF NOT EXISTS tweets_time ON tweets (posted_at);
COMMENT ON TABLE tweets IS 'Every post of X seen. Typical questions: an account in order (author_id, id); a day (posted_at); who repeats whom (username, retweeted_username).';
COMMENT ON COLUMN tweets.id IS 'Number of the post.';
COMMENT ON COLUMN tweets.author_id IS 'Account that made it; null for rows taken over from the older crawler.';
COMMENT ON COLUMN tweets.username IS 'Name of that account when the post was read.';
COMMENT ON COLUMN tweets.posted_at IS 'When it was made.';
COMMENT ON COLUMN tweets.text IS 'Its whole text, also of a long post; &, < and > are escaped, as X sends them.';
COMMENT ON COLUMN tweets.lang IS 'Its language, as X guesses it (BCP 47).';
COMMENT ON COLUMN tweets.hashtags IS 'Its hashtags, without #; of a retweet, those of the retweeted post, whose text is not cut.';
COMMENT ON COLUMN tweets.cashtags IS 'Its cashtags, without $.';
COMMENT ON COLUMN tweets.urls IS 'Its links, t.co resolved, without the links to its own media; of a retweet, those of the retweeted post.';
COMMENT ON COLUMN tweets.mention_ids IS 'Accounts that it mentions; of a retweet, also those of the retweeted post. An element is null if X does not send the number.';
COMMENT ON COLUMN tweets.mention_usernames IS 'Their names, in the same order.';
COMMENT ON COLUMN tweets.media_urls IS 'Its pictures, and still pictures of its videos; null if it has none.';
COMMENT ON COLUMN tweets.source IS 'The app it was written with; sent until 2022.';
COMMENT ON COLUMN tweets.conversation_id IS 'First post of the conversation.';
COMMENT ON COLUMN tweets.in_reply_to_id IS 'Post that it answers.';
COMMENT ON COLUMN tweets.in_reply_to_user_id IS 'Account that it answers.';
COMMENT ON COLUMN tweets.in_reply_to_username IS 'Name of that account.';
COMMENT ON COLUMN tweets.quoted_id IS 'Post that it quotes.';
COMMENT ON COLUMN tweets.retweeted_id IS 'Post that it repeats (a retweet).';
COMMENT ON COLUMN tweets.retweeted_username IS 'Name of the account that made that post.';
COMMENT ON COLUMN tweets.retweeted_name IS 'Display name of that account.';
COMMENT ON COLUMN tweets.retweeted_text IS 'Whole text of that post.';
COMMENT ON COLUMN tweets.retweeted_urls IS 'Links of that post.';
COMMENT ON COLUMN tweets.edit_history IS 'Numbers of all versions of the post, oldest first.';
COMMENT ON COLUMN tweets.possibly_sensitive IS 'Whether X marks a link in it as possibly sensitive.';
COMMENT ON COLUMN tweets.reply_settings IS 'Who may answer: everyone, mentionedUsers, following, …';
COMMENT ON COLUMN tweets.place_id IS 'Place that it is tagged with.';
COMMENT ON COLUMN tweets.place_name IS 'Full name of that place.';
COMMENT ON COLUMN tweets.longitude IS 'Longitude, if the post has an exact place.';
COMMENT ON COLUMN tweets.latitude IS 'Latitude, if the post has an exact place.';
COMMENT ON COLUMN tweets.community_id IS 'Community that it was posted in.';
COMMENT ON COLUMN tweets.article_title IS 'Title, if the post is an article.';
COMMENT ON COLUMN tweets.article_text IS 'Text of that article, or its beginning, as X sends it.';
COMMENT ON COLUMN tweets.metrics IS 'Its public counts when it was seen last: like_count, retweet_count, reply_count, quote_count, bookmark_count, impression_count.';
COMMENT ON COLUMN tweets.first_metrics IS 'Its public counts when it was seen first.';
COMMENT ON COLUMN tweets.sentiment IS 'Polarity of an English text, from -1 to 1, with SENTIMENT=1.';
COMMENT ON COLUMN tweets.found_in IS 'Feeds that showed it, the first one first: timeline:ACCOUNT_ID, search:QUERY, trend:QUERY.';
COMMENT ON COLUMN tweets.first_seen_at IS 'When it was first read; null for rows taken over from the older crawler.';
COMMENT ON COLUMN tweets.last_seen_at IS 'When a change of its counts was last seen.';
COMMENT ON COLUMN tweets.raw IS 'The post as it was sent. Of a row taken over from the older crawler: that row.';
COMMENT ON COLUMN tweets.includes IS 'What X sent with it: posts that it refers to, their authors, media, polls, places.';

CREATE TABLE IF NOT EXISTS account_hours (
    account_id bigint NOT NULL,
    hour       timestamptz NOT NULL,
    posts      bigint NOT NULL,
    PRIMARY KEY (account_id, hour)
);
CREATE INDEX IF NOT EXISTS account_hours_hour ON account_hours (hour);
COMMENT ON TABLE account_hours IS 'How many posts of each account and hour are stored. It is kept in the transaction of each write to tweets.';
COMMENT ON COLUMN account_hours.account_id IS 'The account: tweets.author_id.';
COMMENT ON COLUMN account_hours.hour IS 'Beginning of the hour in which they were made (posted_at).';
COMMENT ON COLUMN account_hours.posts IS 'Number of stored posts.';

CREATE OR REPLACE FUNCTION count_tweets() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    sign bigint := TG_ARGV[0];
BEGIN
    INSERT INTO account_hours AS held
    SELECT author_id, date_trunc('hour', posted_at, 'UTC'), sign * count(*)
    FROM changed WHERE author_id IS NOT NULL AND posted_at IS NOT NULL GROUP BY 1, 2 ORDER BY 1, 2
    ON CONFLICT (account_id, hour) DO UPDATE SET posts = held.posts + excluded.posts;
    RETURN NULL;
END
$$;
CREATE OR REPLACE TRIGGER tweets_added AFTER INSERT ON tweets
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_tweets('1');
CREATE OR REPLACE TRIGGER tweets_removed AFTER DELETE ON tweets
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_tweets('-1');
CREATE OR REPLACE TRIGGER tweets_changed_from AFTER UPDATE ON tweets
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_tweets('-1');
CREATE OR REPLACE TRIGGER tweets_changed_to AFTER UPDATE ON tweets
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_tweets('1');

CREATE OR REPLACE VIEW posts_as_seen AS
SELECT
    posts.board,
    posts.no,
    posts.thread_no,
    posts.posted_at,
    posts.name,
    posts.tripcode,
    posts.poster_id,
    posts.capcode,
    posts.country,
    posts.subject,
    posts.comment_text,
    posts.file_name,
    posts.file_ext,
    posts.file_size,
    posts.file_md5,
    posts.file_deleted,
    posts.revision,
    posts.first_seen_at,
    CASE
        WHEN posts.deleted_at IS NULL AND threads.last_seen_at > posts.last_seen_at THEN threads.last_seen_at
        ELSE posts.last_seen_at
    END AS existed_until,
    posts.deleted_at,
    posts.deletion_confirmed_at,
    threads.fate AS thread_fate,
    threads.gone_at AS thread_gone_at
FROM posts
LEFT JOIN threads ON threads.board = posts.board AND threads.no = posts.thread_no;
COMMENT ON VIEW posts_as_seen IS 'Every post in its latest version, with what is known of its end. Earlier versions are in post_revisions.';
COMMENT ON COLUMN posts_as_seen.board IS 'posts.board.';
COMMENT ON COLUMN posts_as_seen.no IS 'posts.no.';
COMMENT ON COLUMN posts_as_seen.thread_no IS 'posts.thread_no.';
COMMENT ON COLUMN posts_as_seen.posted_at IS 'posts.posted_at.';
COMMENT ON COLUMN posts_as_seen.name IS 'posts.name.';
COMMENT ON COLUMN posts_as_seen.tripcode IS 'posts.tripcode.';
COMMENT ON COLUMN posts_as_seen.poster_id IS 'posts.poster_id.';
COMMENT ON COLUMN posts_as_seen.capcode IS 'posts.capcode.';
COMMENT ON COLUMN posts_as_seen.country IS 'posts.country.';
COMMENT ON COLUMN posts_as_seen.subject IS 'posts.subject.';
COMMENT ON COLUMN posts_as_seen.comment_text IS 'posts.comment_text.';
COMMENT ON COLUMN posts_as_seen.file_name IS 'posts.file_name.';
COMMENT ON COLUMN posts_as_seen.file_ext IS 'posts.file_ext.';
COMMENT ON COLUMN posts_as_seen.file_size IS 'posts.file_size.';
COMMENT ON COLUMN posts_as_seen.file_md5 IS 'posts.file_md5.';
COMMENT ON COLUMN posts_as_seen.file_deleted IS 'posts.file_deleted.';
COMMENT ON COLUMN posts_as_seen.revision IS 'posts.revision.';
COMMENT ON COLUMN posts_as_seen.first_seen_at IS 'posts.first_seen_at.';
COMMENT ON COLUMN posts_as_seen.existed_until IS 'The last time at which the post is known to have existed.';
COMMENT ON COLUMN posts_as_seen.deleted_at IS 'posts.deleted_at.';
COMMENT ON COLUMN posts_as_seen.deletion_confirmed_at IS 'posts.deletion_confirmed_at.';
COMMENT ON COLUMN posts_as_seen.thread_fate IS 'threads.fate; null while the thread was never completely read.';
COMMENT ON COLUMN posts_as_seen.thread_gone_at IS 'threads.gone_at. A post without deleted_at went with its thread.';

CREATE OR REPLACE VIEW threads_overview AS
SELECT
    threads.board,
    threads.no,
    threads.subject,
    threads.fate,
    min(posts.posted_at) AS first_post_at,
    max(posts.posted_at) AS last_post_at,
    count(posts.no) AS posts,
    count(posts.deleted_at) AS deleted,
    count(CASE WHEN posts.revision > 1 THEN 1 END) AS changed,
    count(posts.file_md5) AS files,
    count(DISTINCT posts.poster_id) AS poster_ids,
    threads.replies,
    threads.first_seen_at,
    threads.last_seen_at,
    threads.archived_at,
    threads.gone_at,
    'https://boards.4chan.org/' || threads.board || '/thread/' || threads.no AS url
FROM threads
LEFT JOIN posts ON posts.board = threads.board AND posts.thread_no = threads.no
GROUP BY threads.board, threads.no;
COMMENT ON VIEW threads_overview IS 'Every thread with the counts of its stored posts. Name a board and a number, or a board and few threads: the posts of each thread are counted when it is asked for.';
COMMENT ON COLUMN threads_overview.board IS 'threads.board.';
COMMENT ON COLUMN threads_overview.no IS 'threads.no.';
COMMENT ON COLUMN threads_overview.subject IS 'threads.subject.';
COMMENT ON COLUMN threads_overview.fate IS 'threads.fate.';
COMMENT ON COLUMN threads_overview.first_post_at IS 'When its first stored post was made.';
COMMENT ON COLUMN threads_overview.last_post_at IS 'When its last stored post was made.';
COMMENT ON COLUMN threads_overview.posts IS 'Number of its stored posts, the opening post and deleted ones among them.';
COMMENT ON COLUMN threads_overview.deleted IS 'Number of these that were deleted.';
COMMENT ON COLUMN threads_overview.changed IS 'Number of these that have earlier versions.';
COMMENT ON COLUMN threads_overview.files IS 'Number of these with a file.';
COMMENT ON COLUMN threads_overview.poster_ids IS 'Number of different poster IDs, on boards that show them.';
COMMENT ON COLUMN threads_overview.replies IS 'Number of replies that the site counted when the thread was read last, without deleted ones.';
COMMENT ON COLUMN threads_overview.first_seen_at IS 'threads.first_seen_at.';
COMMENT ON COLUMN threads_overview.last_seen_at IS 'threads.last_seen_at.';
COMMENT ON COLUMN threads_overview.archived_at IS 'threads.archived_at.';
COMMENT ON COLUMN threads_overview.gone_at IS 'threads.gone_at.';
COMMENT ON COLUMN threads_overview.url IS 'Address of the thread.';

-- JSON keeps escapes of NUL and of lone surrogates, on which ->> fails. Here U+FFFD stands for them. Pairs of backslashes
-- are set aside first, so that every backslash that is left begins an escape.
CREATE OR REPLACE FUNCTION safe_json(value json) RETURNS json LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN value::text !~* '\\u(0000|d)' THEN value ELSE
        replace(
            regexp_replace(
                replace(value::text, '\\', chr(1)),
                '\\u0000|\\ud[89ab]..(?!\\ud[c-f])|(?<!\\ud[89ab]..)\\ud[c-f]..', '\\ufffd', 'gi'
            ),
            chr(1), '\\'
        )::json
    END
$$;
CREATE OR REPLACE VIEW posts_raw AS SELECT board, no, safe_json(raw) AS raw FROM posts;
COMMENT ON VIEW posts_raw IS 'posts.raw, in which every value can be read.';
COMMENT ON COLUMN posts_raw.board IS 'posts.board.';
COMMENT ON COLUMN posts_raw.no IS 'posts.no.';
COMMENT ON COLUMN posts_raw.raw IS 'posts.raw with U+FFFD in place of NUL and lone surrogates, on which ->> fails.';
CREATE OR REPLACE VIEW tweets_raw AS SELECT id, safe_json(raw) AS raw, safe_json(includes) AS includes FROM tweets;
COMMENT ON VIEW tweets_raw IS 'tweets.raw and tweets.includes, in which every value can be read.';
COMMENT ON COLUMN tweets_raw.id IS 'tweets.id.';
COMMENT ON COLUMN tweets_raw.raw IS 'tweets.raw with U+FFFD in place of NUL and lone surrogates.';
COMMENT ON COLUMN tweets_raw.includes IS 'tweets.includes with U+FFFD in place of NUL and lone surrogates.';

CREATE OR REPLACE VIEW post_links AS
SELECT
    board,
    no,
    thread_no,
    'https://boards.4chan.org/' || board || '/thread/' || thread_no || '#p' || no AS post_url,
    'https://i.4cdn.org/' || board || '/' || file_tim || file_ext AS file_url,
    'https://i.4cdn.org/' || board || '/' || file_tim || 's.jpg' AS thumbnail_url
FROM posts;
COMMENT ON VIEW post_links IS 'Where a post and its file are, or were, on the site.';
COMMENT ON COLUMN post_links.board IS 'posts.board.';
COMMENT ON COLUMN post_links.no IS 'posts.no.';
COMMENT ON COLUMN post_links.thread_no IS 'posts.thread_no.';
COMMENT ON COLUMN post_links.post_url IS 'Address of the post in its thread.';
COMMENT ON COLUMN post_links.file_url IS 'Address of its file; null if it has none.';
COMMENT ON COLUMN post_links.thumbnail_url IS 'Address of the thumbnail of its file; null if it has none.';

-- The older crawler's table, so that queries written for it still work.
CREATE OR REPLACE VIEW tweet_articles_tweepy AS
SELECT
    id,
    username AS tweet_from,
    to_char(posted_at AT TIME ZONE 'UTC', 'Dy Mon DD HH24:MI:SS "+0000" YYYY')::varchar AS created_at,
    hashtags::text AS hashtags,
    urls::text AS urls,
    mention_ids::text AS user_mentions_id,
    media_urls::text AS media,
    mention_usernames::text AS user_mentions_name,
    source AS origin_device,
    (metrics ->> 'like_count')::bigint AS favorite_count,
    text,
    in_reply_to_username AS in_reply_to_screen_name,
    in_reply_to_user_id,
    in_reply_to_id AS in_reply_to_status_id,
    (metrics ->> 'retweet_count')::bigint AS retweet_count,
    retweeted_text AS retweeted_status_text,
    retweeted_urls::text::varchar AS retweeted_status_url,
    retweeted_id AS retweeted_status_id,
    retweeted_name AS retweeted_status_user_name,
    retweeted_username AS retweeted_status_user_handle,
    sentiment
FROM tweets;
COMMENT ON VIEW tweet_articles_tweepy IS 'The posts in tweets with the columns of the older crawler''s table of this name.';
COMMENT ON COLUMN tweet_articles_tweepy.id IS 'The post: tweets.id.';
COMMENT ON COLUMN tweet_articles_tweepy.tweet_from IS 'Name of its author.';
COMMENT ON COLUMN tweet_articles_tweepy.created_at IS 'When it was made, as the older API wrote it: Wed Oct 10 20:19:24 +0000 2018.';
COMMENT ON COLUMN tweet_articles_tweepy.hashtags IS 'Its hashtags: {a,b}.';
COMMENT ON COLUMN tweet_articles_tweepy.urls IS 'Its links.';
COMMENT ON COLUMN tweet_articles_tweepy.user_mentions_id IS 'Accounts that it mentions.';
COMMENT ON COLUMN tweet_articles_tweepy.media IS 'Its pictures; null if it has none.';
COMMENT ON COLUMN tweet_articles_tweepy.user_mentions_name IS 'Names of the accounts that it mentions.';
COMMENT ON COLUMN tweet_articles_tweepy.origin_device IS 'The app it was written with; sent until 2022.';
COMMENT ON COLUMN tweet_articles_tweepy.favorite_count IS 'Likes, when it was seen last.';
COMMENT ON COLUMN tweet_articles_tweepy.text IS 'Its whole text.';
COMMENT ON COLUMN tweet_articles_tweepy.in_reply_to_screen_name IS 'Name of the account that it answers.';
COMMENT ON COLUMN tweet_articles_tweepy.in_reply_to_user_id IS 'Account that it answers.';
COMMENT ON COLUMN tweet_articles_tweepy.in_reply_to_status_id IS 'Post that it answers.';
COMMENT ON COLUMN tweet_articles_tweepy.retweet_count IS 'Retweets, when it was seen last.';
COMMENT ON COLUMN tweet_articles_tweepy.retweeted_status_text IS 'Whole text of the post that it repeats.';
COMMENT ON COLUMN tweet_articles_tweepy.retweeted_status_url IS 'Links of that post.';
COMMENT ON COLUMN tweet_articles_tweepy.retweeted_status_id IS 'That post.';
COMMENT ON COLUMN tweet_articles_tweepy.retweeted_status_user_name IS 'Display name of its author.';
COMMENT ON COLUMN tweet_articles_tweepy.retweeted_status_user_handle IS 'Name of its author.';
COMMENT ON COLUMN tweet_articles_tweepy.sentiment IS 'tweets.sentiment.';

CREATE TABLE IF NOT EXISTS trends (
    woeid       integer NOT NULL,
    seen_at     timestamptz NOT NULL,
    rank        integer NOT NULL,
    name        text NOT NULL,
    tweet_count bigint,
    PRIMARY KEY (woeid, seen_at, rank)
);
CREATE INDEX IF NOT EXISTS trends_name ON trends (name, seen_at);
COMMENT ON TABLE trends IS 'What trended where and when. The posts of a trend are those found in the feed of its search.';
COMMENT ON COLUMN trends.woeid IS 'Where On Earth ID of the place: 1 is the world.';
COMMENT ON COLUMN trends.seen_at IS 'When the list was read.';
COMMENT ON COLUMN trends.rank IS 'Place in the list, from 1.';
COMMENT ON COLUMN trends.name IS 'The topic, with # if it is a hashtag.';
COMMENT ON COLUMN trends.tweet_count IS 'Posts about it in the last 24 hours; null if X does not send the number.';

CREATE TABLE IF NOT EXISTS credential_limits (
    credential text NOT NULL,
    endpoint   text NOT NULL,
    call_limit integer,
    remaining  integer,
    reset_at   double precision,
    retired    text,
    retired_at timestamptz,
    PRIMARY KEY (credential, endpoint)
);
COMMENT ON TABLE credential_limits IS 'Rate limits and refusals of the credentials, shared by all crawls that use them.';
COMMENT ON COLUMN credential_limits.credential IS 'Fingerprint of the credential. The token cannot be computed from it.';
COMMENT ON COLUMN credential_limits.endpoint IS 'users, users_by_id, timeline, search, trends; * for all of them.';
COMMENT ON COLUMN credential_limits.call_limit IS 'Calls in a window.';
COMMENT ON COLUMN credential_limits.remaining IS 'Calls left in this window.';
COMMENT ON COLUMN credential_limits.reset_at IS 'End of this window, in seconds since 1970 by the server''s clock.';
COMMENT ON COLUMN credential_limits.retired IS 'Why the credential is not used there any more.';
COMMENT ON COLUMN credential_limits.retired_at IS 'When X refused it.';

CREATE TABLE IF NOT EXISTS spending (
    day     date PRIMARY KEY,
    posts   bigint NOT NULL,
    users   bigint NOT NULL,
    trends  bigint NOT NULL,
    dollars numeric NOT NULL
);
COMMENT ON TABLE spending IS 'What all crawls into this database read and were billed on each UTC day. A request under way counts with its highest possible cost.';
COMMENT ON COLUMN spending.day IS 'The UTC day.';
COMMENT ON COLUMN spending.posts IS 'Posts read, each once a day.';
COMMENT ON COLUMN spending.users IS 'Users looked up, each once a day.';
COMMENT ON COLUMN spending.trends IS 'Lists of trends read.';
COMMENT ON COLUMN spending.dollars IS 'What they cost, in US dollars, at the prices of the settings.';

CREATE TABLE IF NOT EXISTS runs (
    run_id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    spider        text NOT NULL,
    arguments     json NOT NULL,
    source        text NOT NULL,
    started_at    timestamptz NOT NULL,
    finished_at   timestamptz,
    finish_reason text,
    stats         json,
    dollars       numeric,
    host          text,
    pid           integer,
    folder        text,
    boards        text,
    alive_at      timestamptz
);
COMMENT ON TABLE runs IS 'Every crawl that wrote to this database. `scrapy status` reads it.';
COMMENT ON COLUMN runs.run_id IS 'Number of the run.';
COMMENT ON COLUMN runs.spider IS 'Name of the spider: chan, timeline, trending, search; initdb for rows taken over from the older crawler.';
COMMENT ON COLUMN runs.arguments IS 'The spider''s arguments.';
COMMENT ON COLUMN runs.source IS 'Address of the API that was read.';
COMMENT ON COLUMN runs.started_at IS 'When the crawl started, by this machine''s clock.';
COMMENT ON COLUMN runs.finished_at IS 'When it ended; null while it runs, and if it was killed.';
COMMENT ON COLUMN runs.finish_reason IS 'finished, incomplete (it ended by itself, and something could not be read or stored), shutdown (stopped by a person), or what went wrong.';
COMMENT ON COLUMN runs.stats IS 'Scrapy''s statistics of the run; while it runs, those of alive_at.';
COMMENT ON COLUMN runs.dollars IS 'What it spent at X, in US dollars.';
COMMENT ON COLUMN runs.host IS 'Name of the machine on which it runs.';
COMMENT ON COLUMN runs.pid IS 'Number of its process there.';
COMMENT ON COLUMN runs.folder IS 'Its CSV_FOLDER there.';
COMMENT ON COLUMN runs.boards IS 'The boards that it follows, between commas; null for a crawl that follows none, and for one that waits until another crawl ends.';
COMMENT ON COLUMN runs.alive_at IS 'Its last sign of life, by the clock of the database. A crawl writes one every 30 seconds.';

CREATE TABLE IF NOT EXISTS removals (
    removal_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    token        text,
    kind         text NOT NULL,
    reason       text,
    requested_at timestamptz NOT NULL,
    finished_at  timestamptz,
    lifted_at    timestamptz,
    rows         json,
    subject      text
);
COMMENT ON TABLE removals IS 'What was removed with `scrapy forget`: when and why, without what it was.';
COMMENT ON COLUMN removals.removal_id IS 'Number of the removal.';
COMMENT ON COLUMN removals.token IS 'Its random name in tombstones.removal.';
COMMENT ON COLUMN removals.kind IS 'What was removed: post, thread, poster, tweet, account, handle; age for posts older than KEEP_DAYS or KEEP_DELETED_DAYS.';
COMMENT ON COLUMN removals.reason IS 'Why, as the person wrote it who removed it.';
COMMENT ON COLUMN removals.requested_at IS 'When the removal began.';
COMMENT ON COLUMN removals.finished_at IS 'When all of it was removed from the database and from the files beside it; null while it is under way.';
COMMENT ON COLUMN removals.lifted_at IS 'When its tombstones were lifted (`scrapy forget --undo`), so that it is collected again.';
COMMENT ON COLUMN removals.rows IS 'Numbers of removed and changed rows by table.';
COMMENT ON COLUMN removals.subject IS 'What is removed. It is only kept until finished_at, to go on after a crash.';

CREATE TABLE IF NOT EXISTS tombstones (
    mark       text PRIMARY KEY,
    kind       text NOT NULL,
    removal    text NOT NULL,
    is_lifted  boolean NOT NULL,
    changed_at timestamptz NOT NULL
);
COMMENT ON TABLE tombstones IS 'What must not be stored again. Each write of a crawl, a spool or an import asks it, in its own transaction.';
COMMENT ON COLUMN tombstones.mark IS 'Keyed hash of a post, thread, poster or account (BLAKE2b, chancrawl/storage/forgotten.py). Without the key, nothing can be tested against it.';
COMMENT ON COLUMN tombstones.kind IS 'Of what: post, thread, poster, tweet, account, handle (whoever has it), name (of an account, where its number is not given).';
COMMENT ON COLUMN tombstones.removal IS 'The removal that made it: removals.token.';
COMMENT ON COLUMN tombstones.is_lifted IS 'Whether it was lifted, so that it is collected again.';
COMMENT ON COLUMN tombstones.changed_at IS 'When it was made or lifted. Of two copies, the later one counts.';

CREATE TABLE IF NOT EXISTS tombstone_keys (
    key     text PRIMARY KEY,
    changes bigint NOT NULL
);
COMMENT ON TABLE tombstone_keys IS 'The keys of the tombstones: none if nothing was ever removed, several if copies of databases came together. Readers need not see them.';
COMMENT ON COLUMN tombstone_keys.key IS 'The key, in hexadecimal digits.';
COMMENT ON COLUMN tombstone_keys.changes IS 'How often tombstones were added or lifted. Crawls read them again when it differs.';

CREATE TABLE IF NOT EXISTS removed_hours (
    board text NOT NULL,
    hour  timestamptz NOT NULL,
    posts bigint NOT NULL,
    PRIMARY KEY (board, hour)
);
COMMENT ON TABLE removed_hours IS 'How many posts of each board and hour were removed, so that coverage does not count them as missing.';
COMMENT ON COLUMN removed_hours.board IS 'Board of the posts.';
COMMENT ON COLUMN removed_hours.hour IS 'Beginning of the hour in which they were made.';
COMMENT ON COLUMN removed_hours.posts IS 'Number of removed posts.';

CREATE TABLE IF NOT EXISTS alarms (
    alarm       text NOT NULL,
    subject     text NOT NULL,
    since       timestamptz NOT NULL,
    sentence    text NOT NULL,
    seen_at     timestamptz NOT NULL,
    told        json NOT NULL,
    over_at     timestamptz,
    closed_at   timestamptz,
    PRIMARY KEY (alarm, subject)
);
COMMENT ON TABLE alarms IS 'What `scrapy watchdog` has found and told, so that a restart repeats nothing.';
COMMENT ON COLUMN alarms.alarm IS 'What is wrong: board_silent, coverage_fell, disk_fills, …; watchdog for the watchdog itself, the one that sends.';
COMMENT ON COLUMN alarms.subject IS 'Of what: a board, a crawl, the fingerprint of a credential; empty for the store.';
COMMENT ON COLUMN alarms.since IS 'Since when it is so.';
COMMENT ON COLUMN alarms.sentence IS 'The message.';
COMMENT ON COLUMN alarms.seen_at IS 'When it was found last.';
COMMENT ON COLUMN alarms.told IS 'What each address was told last, and when, by its fingerprint: {"ab12…": ["began", time]}.';
COMMENT ON COLUMN alarms.over_at IS 'When it was first not found any more; null while it lasts.';
COMMENT ON COLUMN alarms.closed_at IS 'When it had stayed over, and everybody who was told of it was told that.';

CREATE TABLE IF NOT EXISTS spools (
    spool      text PRIMARY KEY,
    applied    bigint NOT NULL,
    applied_at timestamptz NOT NULL
);
COMMENT ON TABLE spools IS 'Batches that waited on a crawl''s disk while this database was out of reach (scrapy spool).';
COMMENT ON COLUMN spools.spool IS 'Name of the folder in which they waited.';
COMMENT ON COLUMN spools.applied IS 'Number of the last batch of the folder that is stored here. It is committed with that batch, so that no batch is stored twice.';
COMMENT ON COLUMN spools.applied_at IS 'When that batch was stored.';

CREATE TABLE IF NOT EXISTS schema_version (
    version     integer PRIMARY KEY,
    database_id uuid NOT NULL DEFAULT gen_random_uuid(),
    applied_at  timestamptz NOT NULL DEFAULT now()
);
INSERT INTO schema_version (version) SELECT 7 WHERE NOT EXISTS (SELECT FROM schema_version);
COMMENT ON TABLE schema_version IS 'The version of these tables: one row.';
COMMENT ON COLUMN schema_version.version IS 'Version of schema.sql.';
COMMENT ON COLUMN schema_version.database_id IS 'Identifies this database for spools, whose batches belong to one database.';
COMMENT ON COLUMN schema_version.applied_at IS 'When the tables were created in this version, or migrated to it.';
