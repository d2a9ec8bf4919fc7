-- A database of version 1, as pg_dump wrote it (--no-owner --no-privileges --no-comments --inserts): what an upgrade has to cope with.
-- PostgreSQL database dump
-- Dumped from database version 18.4
-- Dumped by pg_dump version 18.4
SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;
SET default_tablespace = '';
SET default_table_access_method = heap;
CREATE TABLE public.accounts (
    id bigint NOT NULL,
    username text NOT NULL,
    name text,
    status text NOT NULL,
    created_at timestamp with time zone,
    description text,
    location text,
    url text,
    verified boolean,
    verified_type text,
    pinned_id bigint,
    profile_image_url text,
    metrics jsonb NOT NULL,
    first_metrics jsonb NOT NULL,
    former_usernames text[] NOT NULL,
    first_seen_at timestamp with time zone NOT NULL,
    last_seen_at timestamp with time zone NOT NULL,
    raw json NOT NULL,
    CONSTRAINT accounts_status_check CHECK ((status = ANY (ARRAY['active'::text, 'protected'::text, 'suspended'::text, 'missing'::text])))
);
CREATE TABLE public.board_polls (
    board text NOT NULL,
    polled_at timestamp with time zone NOT NULL,
    newest_no bigint,
    threads integer NOT NULL,
    looks integer NOT NULL,
    longest_gap double precision
);
CREATE TABLE public.boards (
    board text NOT NULL,
    title text,
    worksafe boolean,
    has_archive boolean NOT NULL,
    pages integer,
    per_page integer,
    bump_limit integer,
    image_limit integer,
    seen_at timestamp with time zone,
    raw json NOT NULL
);
CREATE TABLE public.credential_limits (
    credential text NOT NULL,
    endpoint text NOT NULL,
    call_limit integer,
    remaining integer,
    reset_at double precision,
    retired text,
    retired_at timestamp with time zone
);
CREATE TABLE public.feeds (
    feed text NOT NULL,
    newest_id bigint,
    seen_id bigint,
    oldest_id bigint,
    complete_since timestamp with time zone,
    posts bigint NOT NULL,
    pages bigint NOT NULL,
    posts_per_day double precision,
    visited_at timestamp with time zone,
    next_token text,
    walk_since_id bigint,
    walk_until_id bigint,
    walk_newest_id bigint,
    walk_oldest_id bigint,
    walk_posts bigint NOT NULL
);
CREATE TABLE public.handles (
    handle text NOT NULL,
    account_id bigint,
    status text NOT NULL,
    checked_at timestamp with time zone NOT NULL,
    CONSTRAINT handles_status_check CHECK ((status = ANY (ARRAY['active'::text, 'protected'::text, 'suspended'::text, 'missing'::text])))
);
CREATE TABLE public.post_revisions (
    board text CONSTRAINT posts_board_not_null NOT NULL,
    no bigint CONSTRAINT posts_no_not_null NOT NULL,
    thread_no bigint CONSTRAINT posts_thread_no_not_null NOT NULL,
    posted_at timestamp with time zone CONSTRAINT posts_posted_at_not_null NOT NULL,
    name text,
    tripcode text,
    poster_id text,
    capcode text,
    country text,
    country_name text,
    board_flag text,
    flag_name text,
    since4pass integer,
    email text,
    subject text,
    tag text,
    comment_html text,
    comment_text text,
    quotes jsonb CONSTRAINT posts_quotes_not_null NOT NULL,
    links text[] CONSTRAINT posts_links_not_null NOT NULL,
    file_tim bigint,
    file_name text,
    file_ext text,
    file_size bigint,
    file_md5 text,
    file_width integer,
    file_height integer,
    thumbnail_width integer,
    thumbnail_height integer,
    file_deleted boolean CONSTRAINT posts_file_deleted_not_null NOT NULL,
    file_spoiler boolean CONSTRAINT posts_file_spoiler_not_null NOT NULL,
    custom_spoiler integer,
    has_mobile_image boolean CONSTRAINT posts_has_mobile_image_not_null NOT NULL,
    revision integer CONSTRAINT posts_revision_not_null NOT NULL,
    first_seen_at timestamp with time zone CONSTRAINT posts_first_seen_at_not_null NOT NULL,
    last_seen_at timestamp with time zone CONSTRAINT posts_last_seen_at_not_null NOT NULL,
    deleted_at timestamp with time zone,
    deletion_confirmed_at timestamp with time zone,
    raw json CONSTRAINT posts_raw_not_null NOT NULL,
    digest bigint CONSTRAINT posts_digest_not_null NOT NULL,
    replaced_at timestamp with time zone NOT NULL
);
CREATE TABLE public.posts (
    board text NOT NULL,
    no bigint NOT NULL,
    thread_no bigint NOT NULL,
    posted_at timestamp with time zone NOT NULL,
    name text,
    tripcode text,
    poster_id text,
    capcode text,
    country text,
    country_name text,
    board_flag text,
    flag_name text,
    since4pass integer,
    email text,
    subject text,
    tag text,
    comment_html text,
    comment_text text,
    quotes jsonb NOT NULL,
    links text[] NOT NULL,
    file_tim bigint,
    file_name text,
    file_ext text,
    file_size bigint,
    file_md5 text,
    file_width integer,
    file_height integer,
    thumbnail_width integer,
    thumbnail_height integer,
    file_deleted boolean NOT NULL,
    file_spoiler boolean NOT NULL,
    custom_spoiler integer,
    has_mobile_image boolean NOT NULL,
    revision integer NOT NULL,
    first_seen_at timestamp with time zone NOT NULL,
    last_seen_at timestamp with time zone NOT NULL,
    deleted_at timestamp with time zone,
    deletion_confirmed_at timestamp with time zone,
    raw json NOT NULL,
    digest bigint NOT NULL
);
CREATE TABLE public.runs (
    run_id bigint NOT NULL,
    spider text NOT NULL,
    arguments json NOT NULL,
    source text NOT NULL,
    started_at timestamp with time zone NOT NULL,
    finished_at timestamp with time zone,
    finish_reason text,
    stats json,
    dollars numeric
);
ALTER TABLE public.runs ALTER COLUMN run_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.runs_run_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.spending (
    day date NOT NULL,
    posts bigint NOT NULL,
    users bigint NOT NULL,
    trends bigint NOT NULL,
    dollars numeric NOT NULL
);
CREATE TABLE public.threads (
    board text NOT NULL,
    no bigint NOT NULL,
    subject text,
    semantic_url text,
    replies integer,
    images integer,
    unique_ips integer,
    sticky boolean NOT NULL,
    closed boolean NOT NULL,
    bump_limit_reached boolean NOT NULL,
    image_limit_reached boolean NOT NULL,
    archived_at timestamp with time zone,
    tail_size integer,
    "position" integer,
    last_modified timestamp with time zone,
    http_last_modified text,
    fate text NOT NULL,
    first_seen_at timestamp with time zone NOT NULL,
    last_seen_at timestamp with time zone NOT NULL,
    gone_at timestamp with time zone,
    CONSTRAINT threads_fate_check CHECK ((fate = ANY (ARRAY['live'::text, 'archived'::text, 'pruned'::text, 'deleted'::text])))
);
CREATE TABLE public.trends (
    woeid integer NOT NULL,
    seen_at timestamp with time zone NOT NULL,
    rank integer NOT NULL,
    name text NOT NULL,
    tweet_count bigint
);
CREATE TABLE public.tweets (
    id bigint NOT NULL,
    author_id bigint,
    username text,
    posted_at timestamp with time zone,
    text text,
    lang text,
    hashtags text[],
    cashtags text[],
    urls text[],
    mention_ids bigint[],
    mention_usernames text[],
    media_urls text[],
    source text,
    conversation_id bigint,
    in_reply_to_id bigint,
    in_reply_to_user_id bigint,
    in_reply_to_username text,
    quoted_id bigint,
    retweeted_id bigint,
    retweeted_username text,
    retweeted_name text,
    retweeted_text text,
    retweeted_urls text[],
    edit_history bigint[],
    possibly_sensitive boolean,
    reply_settings text,
    place_id text,
    place_name text,
    longitude double precision,
    latitude double precision,
    metrics jsonb NOT NULL,
    first_metrics jsonb NOT NULL,
    sentiment numeric,
    found_in text,
    first_seen_at timestamp with time zone,
    last_seen_at timestamp with time zone,
    raw json,
    includes json
);
CREATE VIEW public.tweet_articles_tweepy AS
 SELECT id,
    username AS tweet_from,
    (to_char((posted_at AT TIME ZONE 'UTC'::text), 'Dy Mon DD HH24:MI:SS "+0000" YYYY'::text))::character varying AS created_at,
    (hashtags)::text AS hashtags,
    (urls)::text AS urls,
    (mention_ids)::text AS user_mentions_id,
    (media_urls)::text AS media,
    (mention_usernames)::text AS user_mentions_name,
    source AS origin_device,
    ((metrics ->> 'like_count'::text))::bigint AS favorite_count,
    text,
    in_reply_to_username AS in_reply_to_screen_name,
    in_reply_to_user_id,
    in_reply_to_id AS in_reply_to_status_id,
    ((metrics ->> 'retweet_count'::text))::bigint AS retweet_count,
    retweeted_text AS retweeted_status_text,
    ((retweeted_urls)::text)::character varying AS retweeted_status_url,
    retweeted_id AS retweeted_status_id,
    retweeted_name AS retweeted_status_user_name,
    retweeted_username AS retweeted_status_user_handle,
    sentiment
   FROM public.tweets;
CREATE TABLE public.validators (
    path text NOT NULL,
    last_modified text NOT NULL
);
-- Data for Name: accounts; Type: TABLE DATA; Schema: public; Owner: -
INSERT INTO public.accounts VALUES (134097611071195715, 'CraneRed', 'Red Crane 🫖', 'active', '2026-11-12 14:28:04+00', 'Folds cranes.', 'Paper Town', NULL, false, 'none', NULL, NULL, '{"tweet_count": 124, "listed_count": 8, "followers_count": 1717, "following_count": 84}', '{"tweet_count": 124, "listed_count": 8, "followers_count": 1717, "following_count": 84}', '{}', '2026-11-18 11:06:40+00', '2026-11-18 11:06:40+00', '{"id":"134097611071195715","name":"Red Crane 🫖","username":"CraneRed","created_at":"2026-11-12T14:28:04.000Z","description":"Folds cranes.","location":"Paper Town","protected":false,"public_metrics":{"followers_count":1717,"following_count":84,"tweet_count":124,"listed_count":8},"verified":false,"verified_type":"none"}');
INSERT INTO public.accounts VALUES (540274549, 'KettleRed', 'Red Kettle 🫖', 'active', '2026-11-14 15:26:04+00', 'Folds kettles.', 'Paper Town', NULL, false, 'none', NULL, NULL, '{"tweet_count": 62, "listed_count": 9, "followers_count": 7220, "following_count": 187}', '{"tweet_count": 62, "listed_count": 9, "followers_count": 7220, "following_count": 187}', '{}', '2026-11-18 11:06:40+00', '2026-11-18 11:06:40+00', '{"id":"540274549","name":"Red Kettle 🫖","username":"KettleRed","created_at":"2026-11-14T15:26:04.000Z","description":"Folds kettles.","location":"Paper Town","protected":false,"public_metrics":{"followers_count":7220,"following_count":187,"tweet_count":62,"listed_count":9},"verified":false,"verified_type":"none"}');
-- Data for Name: board_polls; Type: TABLE DATA; Schema: public; Owner: -
-- Data for Name: boards; Type: TABLE DATA; Schema: public; Owner: -
INSERT INTO public.boards VALUES ('b', 'Bakery', true, false, 10, 15, 300, 150, '2026-11-18 11:06:40+00', '{"board":"b","title":"Bakery","ws_board":1,"per_page":15,"pages":10,"max_filesize":4194304,"max_webm_filesize":3145728,"max_comment_chars":2000,"max_webm_duration":120,"bump_limit":300,"image_limit":150,"cooldowns":{"threads":600,"replies":60,"images":60},"meta_description":"&quot;/b/ - Bakery&quot; is a board of the sandbox.","forced_anon":1}');
INSERT INTO public.boards VALUES ('g', 'Gardening', true, true, 10, 15, 310, 150, '2026-11-18 11:06:40+00', '{"board":"g","title":"Gardening","ws_board":1,"per_page":15,"pages":10,"max_filesize":4194304,"max_webm_filesize":3145728,"max_comment_chars":2000,"max_webm_duration":120,"bump_limit":310,"image_limit":150,"cooldowns":{"threads":600,"replies":60,"images":60},"meta_description":"&quot;/g/ - Gardening&quot; is a board of the sandbox.","is_archived":1,"code_tags":1}');
INSERT INTO public.boards VALUES ('int', 'Interrail', true, true, 10, 15, 310, 150, '2026-11-18 11:06:40+00', '{"board":"int","title":"Interrail","ws_board":1,"per_page":15,"pages":10,"max_filesize":4194304,"max_webm_filesize":3145728,"max_comment_chars":2000,"max_webm_duration":120,"bump_limit":310,"image_limit":150,"cooldowns":{"threads":600,"replies":60,"images":60},"meta_description":"&quot;/int/ - Interrail&quot; is a board of the sandbox.","is_archived":1,"country_flags":1}');
INSERT INTO public.boards VALUES ('po', 'Papercraft & Origami', true, true, 10, 15, 310, 150, '2026-11-18 11:06:40+00', '{"board":"po","title":"Papercraft &amp; Origami","ws_board":1,"per_page":15,"pages":10,"max_filesize":4194304,"max_webm_filesize":3145728,"max_comment_chars":2000,"max_webm_duration":120,"bump_limit":310,"image_limit":150,"cooldowns":{"threads":600,"replies":60,"images":60},"meta_description":"&quot;/po/ - Papercraft &amp; Origami&quot; is a board of the sandbox.","is_archived":1,"spoilers":1}');
INSERT INTO public.boards VALUES ('pol', 'Post Office Lobby', true, true, 10, 20, 300, 150, '2026-11-18 11:06:40+00', '{"board":"pol","title":"Post Office Lobby","ws_board":1,"per_page":20,"pages":10,"max_filesize":4194304,"max_webm_filesize":3145728,"max_comment_chars":2000,"max_webm_duration":120,"bump_limit":300,"image_limit":150,"cooldowns":{"threads":600,"replies":60,"images":60},"meta_description":"&quot;/pol/ - Post Office Lobby&quot; is a board of the sandbox.","is_archived":1,"user_ids":1,"country_flags":1,"board_flags":{"TH":"Teahouse","OR":"Origami","GD":"Garden"}}');
INSERT INTO public.boards VALUES ('qst', 'Quilting', true, false, 10, 15, 310, 150, '2026-11-18 11:06:40+00', '{"board":"qst","title":"Quilting","ws_board":1,"per_page":15,"pages":10,"max_filesize":4194304,"max_webm_filesize":3145728,"max_comment_chars":2000,"max_webm_duration":120,"bump_limit":310,"image_limit":150,"cooldowns":{"threads":600,"replies":60,"images":60},"meta_description":"&quot;/qst/ - Quilting&quot; is a board of the sandbox.","sjis_tags":1}');
INSERT INTO public.boards VALUES ('wsr', 'Window Sill Recipes', true, true, 2, 15, 310, 150, '2026-11-18 11:06:40+00', '{"board":"wsr","title":"Window Sill Recipes","ws_board":1,"per_page":15,"pages":2,"max_filesize":4194304,"max_webm_filesize":3145728,"max_comment_chars":2000,"max_webm_duration":120,"bump_limit":310,"image_limit":150,"cooldowns":{"threads":600,"replies":60,"images":60},"meta_description":"&quot;/wsr/ - Window Sill Recipes&quot; is a board of the sandbox.","is_archived":1}');
-- Data for Name: credential_limits; Type: TABLE DATA; Schema: public; Owner: -
INSERT INTO public.credential_limits VALUES ('user:03a313b6db978a3b24', 'users', 900, 898, 1795000900, NULL, NULL);
INSERT INTO public.credential_limits VALUES ('user:03a313b6db978a3b24', 'timeline', 900, 899, 1795000900, NULL, NULL);
INSERT INTO public.credential_limits VALUES ('app:30cad65da40c9c9b1c', 'timeline', 10000, 9999, 1795000900, NULL, NULL);
-- Data for Name: feeds; Type: TABLE DATA; Schema: public; Owner: -
INSERT INTO public.feeds VALUES ('timeline:134097611071195715', 2122990579288637440, 2122990579288637440, 2122823303797145604, '2026-11-17 22:44:50.432+00', 5, 1, 10.832066980286767, '2026-11-21 14:24:44.366654+00', NULL, NULL, NULL, NULL, NULL, 0);
INSERT INTO public.feeds VALUES ('timeline:540274549', 2122933188601840640, 2122933188601840640, 2122866516905952260, '2026-11-18 01:36:33.24+00', 5, 1, 27.177039729623683, '2026-11-21 14:24:44.36759+00', NULL, NULL, NULL, NULL, NULL, 0);
-- Data for Name: handles; Type: TABLE DATA; Schema: public; Owner: -
INSERT INTO public.handles VALUES ('cranered', 134097611071195715, 'active', '2026-11-18 11:06:40+00');
INSERT INTO public.handles VALUES ('kettlered', 540274549, 'active', '2026-11-18 11:06:40+00');
-- Data for Name: post_revisions; Type: TABLE DATA; Schema: public; Owner: -
-- Data for Name: posts; Type: TABLE DATA; Schema: public; Owner: -
INSERT INTO public.posts VALUES ('po', 109853, 109853, '2026-11-17 01:08:34+00', 'Anonymous', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'Wooden owl general & friends', NULL, '<span class="quote">&gt;Did anyone sketch the quiet harbour!</span>', '>Did anyone sketch the quiet harbour!', '[]', '{}', 1794877714202285, '73613826077681', '.jpg', 2055964, 'f979e67525d22d7a0fb325c4d34b7262', 3388, 1225, 250, 90, false, false, NULL, false, 1, '2026-11-18 11:06:40+00', '2026-11-18 11:06:40+00', NULL, NULL, '{"no":109853,"now":"11/21/26(Sat)00:00:00","name":"Anonymous","sub":"Wooden owl general &amp; friends","com":"<span class=\"quote\">&gt;Did anyone sketch the quiet harbour!</span>","filename":"73613826077681","ext":".jpg","w":3388,"h":1225,"tn_w":250,"tn_h":90,"tim":1794877714202285,"md5":"+XnmdSXSLXoPsyXE00tyYg==","fsize":2055964,"time":1794877714,"resto":0,"bumplimit":0,"imagelimit":0,"semantic_url":"wooden-owl-general","replies":1,"images":1}', 6324892339974733949);
INSERT INTO public.posts VALUES ('po', 110028, 109853, '2026-11-17 04:58:45+00', 'Anonymous', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '<a href="#p109853" class="quotelink">&gt;&gt;109853</a><br>You should stack the soft marble.<br>see https://example.org/clock/bicycle?p<wbr>age=40&amp;id=776146108 for more', '>>109853
You should stack the soft marble.
see https://example.org/clock/bicycle?page=40&id=776146108 for more', '[{"no": 109853, "dead": false, "board": "po", "thread_no": 109853}]', '{https://example.org/clock/bicycle?page=40&id=776146108}', 1794891525453810, '412660990834272', '.png', 433837, 'da41e3d43ca0c6f5f79ff85c8f8a66c0', 1103, 3810, 72, 250, false, false, NULL, false, 1, '2026-11-18 11:06:40+00', '2026-11-18 11:06:40+00', NULL, NULL, '{"no":110028,"now":"11/21/26(Sat)00:00:00","name":"Anonymous","com":"<a href=\"#p109853\" class=\"quotelink\">&gt;&gt;109853</a><br>You should stack the soft marble.<br>see https://example.org/clock/bicycle?p<wbr>age=40&amp;id=776146108 for more","filename":"412660990834272","ext":".png","w":1103,"h":3810,"tn_w":72,"tn_h":250,"tim":1794891525453810,"md5":"2kHj1DygxvX3n/hcj4pmwA==","fsize":433837,"time":1794891525,"resto":109853}', -5668634495907229402);
-- Data for Name: runs; Type: TABLE DATA; Schema: public; Owner: -
INSERT INTO public.runs OVERRIDING SYSTEM VALUE VALUES (1, 'chan', '{"board": "po", "follow": "0", "archive": "1", "threads": "109853", "sample": ""}', 'http://127.0.0.1:35991', '2026-11-21 14:24:43.207173+00', '2026-11-21 14:24:43.433152+00', 'finished', '{"chan/boards": 1, "downloader/request_bytes": 324, "downloader/request_count": 2, "downloader/request_method_count/GET": 2, "downloader/response_bytes": 1601, "downloader/response_count": 2, "downloader/response_status_count/200": 2, "elapsed_time_seconds": 0.058733595000376226, "finish_reason": "finished", "finish_time": "2026-11-21 14:24:43.432934+00:00", "httpcompression/response_bytes": 3898, "httpcompression/response_count": 2, "item_scraped_count": 11, "items/board": 7, "items/post": 2, "items/thread": 1, "items/validator": 1, "log_count/INFO": 1, "memusage/max": 90501120, "memusage/startup": 90501120, "response_received_count": 2, "scheduler/dequeued": 1, "scheduler/dequeued/memory": 1, "scheduler/enqueued": 1, "scheduler/enqueued/memory": 1, "start_time": "2026-11-21 14:24:43.374188+00:00", "store/batches": 1, "store/rows": 11}', NULL);
INSERT INTO public.runs OVERRIDING SYSTEM VALUE VALUES (2, 'timeline', '{"handles": "handle.txt", "since": "", "limit": "4", "follow": "", "plan": "timeline", "snowball": "0", "sample": "2"}', 'http://127.0.0.1:35991', '2026-11-21 14:24:44.176717+00', '2026-11-21 14:24:44.379476+00', 'finished', '{"downloader/request_bytes": 3491, "downloader/request_count": 4, "downloader/request_method_count/GET": 4, "downloader/response_bytes": 4427, "downloader/response_count": 4, "downloader/response_status_count/200": 3, "downloader/response_status_count/401": 1, "elapsed_time_seconds": 0.0636774909999076, "finish_reason": "finished", "finish_time": "2026-11-21 14:24:44.379101+00:00", "httpcompression/response_bytes": 9984, "httpcompression/response_count": 3, "item_scraped_count": 16, "items/account": 2, "items/feed": 2, "items/handle": 2, "items/tweet": 10, "log_count/INFO": 1, "memusage/max": 90333184, "memusage/startup": 90333184, "response_received_count": 3, "scheduler/dequeued": 4, "scheduler/dequeued/memory": 4, "scheduler/enqueued": 4, "scheduler/enqueued/memory": 4, "start_time": "2026-11-21 14:24:44.315422+00:00", "store/batches": 1, "store/rows": 16, "x/accounts/active": 2, "x/billed/posts": 10, "x/billed/users": 2, "x/dollars": 0.07, "x/timelines": 2, "x/walks": 2}', 0.07);
-- Data for Name: spending; Type: TABLE DATA; Schema: public; Owner: -
INSERT INTO public.spending VALUES ('2026-11-21', 10, 2, 0, 0.070);
-- Data for Name: threads; Type: TABLE DATA; Schema: public; Owner: -
INSERT INTO public.threads VALUES ('po', 109853, 'Wooden owl general & friends', 'wooden-owl-general', 1, 1, NULL, false, false, false, false, NULL, NULL, NULL, NULL, 'Tue, 17 Nov 2026 04:58:45 GMT', 'live', '2026-11-18 11:06:40+00', '2026-11-18 11:06:40+00', NULL);
-- Data for Name: trends; Type: TABLE DATA; Schema: public; Owner: -
-- Data for Name: tweets; Type: TABLE DATA; Schema: public; Owner: -
INSERT INTO public.tweets VALUES (2122823303797145604, 134097611071195715, 'CraneRed', '2026-11-17 22:44:50+00', '@bright_lante244 I glue the slow turtle!', 'ja', '{}', '{}', '{}', '{11932236}', '{bright_lante244}', NULL, NULL, 2122819046578585601, 2122819046578585601, 11932236, 'bright_lante244', NULL, NULL, NULL, NULL, NULL, NULL, '{2122823303797145604}', false, 'everyone', NULL, NULL, NULL, NULL, '{"like_count": 2, "quote_count": 0, "reply_count": 0, "retweet_count": 1, "bookmark_count": 0, "impression_count": 76}', '{"like_count": 2, "quote_count": 0, "reply_count": 0, "retweet_count": 1, "bookmark_count": 0, "impression_count": 76}', NULL, 'timeline:134097611071195715', '2026-11-18 11:06:40+00', '2026-11-18 11:06:40+00', '{"id":"2122823303797145604","text":"@bright_lante244 I glue the slow turtle!","edit_history_tweet_ids":["2122823303797145604"],"in_reply_to_user_id":"11932236","author_id":"134097611071195715","conversation_id":"2122819046578585601","created_at":"2026-11-17T22:44:50.000Z","lang":"ja","possibly_sensitive":false,"public_metrics":{"retweet_count":1,"reply_count":0,"like_count":2,"quote_count":0,"bookmark_count":0,"impression_count":76},"reply_settings":"everyone","referenced_tweets":[{"type":"replied_to","id":"2122819046578585601"}],"entities":{"mentions":[{"start":0,"end":16,"username":"bright_lante244","id":"11932236"}]}}', '{"users":[{"id":"11932236","name":"Bright Lantern","username":"bright_lante244"}]}');
INSERT INTO public.tweets VALUES (2122866516905952260, 540274549, 'KettleRed', '2026-11-18 01:36:33+00', '@ancien_lante124 I sort the ancient garden! 🎉👩🏽‍🚀 My aunt and I carry the gentle orchard, then the owl. 1 &lt; 2', 'en', '{}', '{}', '{}', '{10981956}', '{ancien_lante124}', NULL, NULL, 2122835311284191233, 2122835311284191233, 10981956, 'ancien_lante124', NULL, NULL, NULL, NULL, NULL, NULL, '{2122866516905952260}', false, 'everyone', NULL, NULL, NULL, NULL, '{"like_count": 2, "quote_count": 6, "reply_count": 12, "retweet_count": 31, "bookmark_count": 4, "impression_count": 1029}', '{"like_count": 2, "quote_count": 6, "reply_count": 12, "retweet_count": 31, "bookmark_count": 4, "impression_count": 1029}', NULL, 'timeline:540274549', '2026-11-18 11:06:40+00', '2026-11-18 11:06:40+00', '{"id":"2122866516905952260","text":"@ancien_lante124 I sort the ancient garden! 🎉👩🏽‍🚀 My aunt and I carry the gentle orchard, then the owl. 1 &lt; 2","edit_history_tweet_ids":["2122866516905952260"],"in_reply_to_user_id":"10981956","author_id":"540274549","conversation_id":"2122835311284191233","created_at":"2026-11-18T01:36:33.000Z","lang":"en","possibly_sensitive":false,"public_metrics":{"retweet_count":31,"reply_count":12,"like_count":2,"quote_count":6,"bookmark_count":4,"impression_count":1029},"reply_settings":"everyone","referenced_tweets":[{"type":"replied_to","id":"2122835311284191233"}],"entities":{"mentions":[{"start":0,"end":16,"username":"ancien_lante124","id":"10981956"}]}}', '{"users":[{"id":"10981956","name":"Ancient Lantern","username":"ancien_lante124"}]}');
INSERT INTO public.tweets VALUES (2122876415035572227, 134097611071195715, 'CraneRed', '2026-11-18 02:15:53+00', 'Did anyone measure the slow crane, then the bridge. https://t.co/3a68ddc9b3', 'de', '{}', '{}', '{https://twitter.com/wooden_mount224/status/2122653571664052224}', '{}', '{}', NULL, NULL, 2122876415035572227, NULL, NULL, NULL, 2122653571664052224, NULL, NULL, NULL, NULL, NULL, '{2122876415035572227}', false, 'everyone', NULL, NULL, NULL, NULL, '{"like_count": 0, "quote_count": 1, "reply_count": 1, "retweet_count": 9, "bookmark_count": 0, "impression_count": 260}', '{"like_count": 0, "quote_count": 1, "reply_count": 1, "retweet_count": 9, "bookmark_count": 0, "impression_count": 260}', NULL, 'timeline:134097611071195715', '2026-11-18 11:06:40+00', '2026-11-18 11:06:40+00', '{"id":"2122876415035572227","text":"Did anyone measure the slow crane, then the bridge. https://t.co/3a68ddc9b3","edit_history_tweet_ids":["2122876415035572227"],"author_id":"134097611071195715","conversation_id":"2122876415035572227","created_at":"2026-11-18T02:15:53.000Z","lang":"de","possibly_sensitive":false,"public_metrics":{"retweet_count":9,"reply_count":1,"like_count":0,"quote_count":1,"bookmark_count":0,"impression_count":260},"reply_settings":"everyone","referenced_tweets":[{"type":"quoted","id":"2122653571664052224"}],"attachments":{"poll_ids":["2122876415035572232"]},"entities":{"urls":[{"start":52,"end":75,"url":"https://t.co/3a68ddc9b3","expanded_url":"https://twitter.com/wooden_mount224/status/2122653571664052224","display_url":"twitter.com/wooden_mount22…"}]}}', '{"tweets":[{"id":"2122653571664052224","text":"My aunt and I carry the bright orchard. Tea &amp; paper.","edit_history_tweet_ids":["2122653571664052224"],"author_id":"11773856","conversation_id":"2122653571664052224","created_at":"2026-11-17T11:30:23.000Z","lang":"de","possibly_sensitive":false,"public_metrics":{"retweet_count":0,"reply_count":1,"like_count":0,"quote_count":0,"bookmark_count":0,"impression_count":61},"reply_settings":"everyone"}],"users":[{"id":"11773856","name":"Wooden Mountain","username":"wooden_mount224"}],"polls":[{"id":"2122876415035572232","options":[{"position":1,"label":"river","votes":94},{"position":2,"label":"pumpkin","votes":23}],"voting_status":"closed","duration_minutes":1440,"end_datetime":"2026-11-19T02:15:53.000Z"}]}');
INSERT INTO public.tweets VALUES (2122881247108662275, 540274549, 'KettleRed', '2026-11-18 02:35:05+00', '@gentle_orcha168 You should sketch the red window!', 'en', '{}', '{}', '{}', '{11330392}', '{gentle_orcha168}', NULL, NULL, 2122875454774837249, 2122875454774837249, 11330392, 'gentle_orcha168', NULL, NULL, NULL, NULL, NULL, NULL, '{2122881247108662275}', false, 'everyone', NULL, NULL, NULL, NULL, '{"like_count": 1, "quote_count": 5, "reply_count": 0, "retweet_count": 12, "bookmark_count": 0, "impression_count": 373}', '{"like_count": 1, "quote_count": 5, "reply_count": 0, "retweet_count": 12, "bookmark_count": 0, "impression_count": 373}', NULL, 'timeline:540274549', '2026-11-18 11:06:40+00', '2026-11-18 11:06:40+00', '{"id":"2122881247108662275","text":"@gentle_orcha168 You should sketch the red window!","edit_history_tweet_ids":["2122881247108662275"],"in_reply_to_user_id":"11330392","author_id":"540274549","conversation_id":"2122875454774837249","created_at":"2026-11-18T02:35:05.000Z","lang":"en","possibly_sensitive":false,"public_metrics":{"retweet_count":12,"reply_count":0,"like_count":1,"quote_count":5,"bookmark_count":0,"impression_count":373},"reply_settings":"everyone","referenced_tweets":[{"type":"replied_to","id":"2122875454774837249"}],"entities":{"mentions":[{"start":0,"end":16,"username":"gentle_orcha168","id":"11330392"}]}}', '{"users":[{"id":"11330392","name":"Gentle Orchard","username":"gentle_orcha168"}]}');
INSERT INTO public.tweets VALUES (2122887951091236866, 134097611071195715, 'CraneRed', '2026-11-18 03:01:43+00', '折り紙は楽しい https://t.co/2a1b8e2398', 'en', '{}', '{}', '{https://twitter.com/humble_pumpk386/status/2122759437616676864}', '{}', '{}', NULL, NULL, 2122887951091236866, NULL, NULL, NULL, 2122759437616676864, NULL, NULL, NULL, NULL, NULL, '{2122887951091236866}', false, 'everyone', NULL, NULL, NULL, NULL, '{"like_count": 0, "quote_count": 0, "reply_count": 0, "retweet_count": 0, "bookmark_count": 0, "impression_count": 23}', '{"like_count": 0, "quote_count": 0, "reply_count": 0, "retweet_count": 0, "bookmark_count": 0, "impression_count": 23}', NULL, 'timeline:134097611071195715', '2026-11-18 11:06:40+00', '2026-11-18 11:06:40+00', '{"id":"2122887951091236866","text":"折り紙は楽しい https://t.co/2a1b8e2398","edit_history_tweet_ids":["2122887951091236866"],"author_id":"134097611071195715","conversation_id":"2122887951091236866","created_at":"2026-11-18T03:01:43.000Z","lang":"en","possibly_sensitive":false,"public_metrics":{"retweet_count":0,"reply_count":0,"like_count":0,"quote_count":0,"bookmark_count":0,"impression_count":23},"reply_settings":"everyone","referenced_tweets":[{"type":"quoted","id":"2122759437616676864"}],"entities":{"urls":[{"start":8,"end":31,"url":"https://t.co/2a1b8e2398","expanded_url":"https://twitter.com/humble_pumpk386/status/2122759437616676864","display_url":"twitter.com/humble_pumpk38…"}]}}', '{"tweets":[{"id":"2122759437616676864","text":"I stack the wooden compass? 1 &lt; 2","edit_history_tweet_ids":["2122759437616676864"],"author_id":"13056734","conversation_id":"2122759437616676864","created_at":"2026-11-17T18:31:03.000Z","lang":"en","possibly_sensitive":false,"public_metrics":{"retweet_count":0,"reply_count":5,"like_count":0,"quote_count":0,"bookmark_count":1,"impression_count":102},"reply_settings":"everyone"}],"users":[{"id":"13056734","name":"Humble Pumpkin","username":"humble_pumpk386"}]}');
INSERT INTO public.tweets VALUES (2122911671771988994, 540274549, 'KettleRed', '2026-11-18 04:35:58+00', 'Did anyone sketch the wooden owl. My aunt and I borrow the clever window! Tea &amp; paper.', 'en', '{}', '{}', '{}', '{}', '{}', NULL, NULL, 2122911671771988994, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '{2122911671771988994}', false, 'everyone', NULL, NULL, NULL, NULL, '{"like_count": 14, "quote_count": 0, "reply_count": 0, "retweet_count": 0, "bookmark_count": 0, "impression_count": 321}', '{"like_count": 14, "quote_count": 0, "reply_count": 0, "retweet_count": 0, "bookmark_count": 0, "impression_count": 321}', NULL, 'timeline:540274549', '2026-11-18 11:06:40+00', '2026-11-18 11:06:40+00', '{"id":"2122911671771988994","text":"Did anyone sketch the wooden owl. My aunt and I borrow the clever window! Tea &amp; paper.","edit_history_tweet_ids":["2122911671771988994"],"author_id":"540274549","conversation_id":"2122911671771988994","created_at":"2026-11-18T04:35:58.000Z","lang":"en","possibly_sensitive":false,"public_metrics":{"retweet_count":0,"reply_count":0,"like_count":14,"quote_count":0,"bookmark_count":0,"impression_count":321},"reply_settings":"everyone"}', '{}');
INSERT INTO public.tweets VALUES (2122926821975524353, 540274549, 'KettleRed', '2026-11-18 05:36:11+00', 'Did anyone fold the clever pebble. https://t.co/dc8bde82c8 https://t.co/ee2409f640', 'en', '{}', '{}', '{"https://example.org/pebble/543207?a=1&b=teapot,{x}"}', '{}', '{}', '{https://pbs.twimg.com/media/f6150684ebcc313.jpg}', NULL, 2122926821975524353, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '{2122926821975524353}', false, 'everyone', NULL, NULL, NULL, NULL, '{"like_count": 18, "quote_count": 0, "reply_count": 3, "retweet_count": 0, "bookmark_count": 1, "impression_count": 443}', '{"like_count": 18, "quote_count": 0, "reply_count": 3, "retweet_count": 0, "bookmark_count": 1, "impression_count": 443}', NULL, 'timeline:540274549', '2026-11-18 11:06:40+00', '2026-11-18 11:06:40+00', '{"id":"2122926821975524353","text":"Did anyone fold the clever pebble. https://t.co/dc8bde82c8 https://t.co/ee2409f640","edit_history_tweet_ids":["2122926821975524353"],"author_id":"540274549","conversation_id":"2122926821975524353","created_at":"2026-11-18T05:36:11.000Z","lang":"en","possibly_sensitive":false,"public_metrics":{"retweet_count":0,"reply_count":3,"like_count":18,"quote_count":0,"bookmark_count":1,"impression_count":443},"reply_settings":"everyone","attachments":{"media_keys":["3_2122926821975524353"]},"entities":{"urls":[{"start":35,"end":58,"url":"https://t.co/dc8bde82c8","expanded_url":"https://example.org/pebble/543207?a=1&b=teapot,{x}","display_url":"example.org/pebble/543207?…"},{"start":59,"end":82,"url":"https://t.co/ee2409f640","expanded_url":"https://twitter.com/KettleRed/status/2122926821975524353/photo/1","display_url":"pic.twitter.com/ee2409f640","media_key":"3_2122926821975524353"}]}}', '{"media":[{"media_key":"3_2122926821975524353","type":"photo","width":1200,"height":675,"url":"https://pbs.twimg.com/media/f6150684ebcc313.jpg"}]}');
INSERT INTO public.tweets VALUES (2122930603329323009, 134097611071195715, 'CraneRed', '2026-11-18 05:51:12+00', 'They stack the striped feather? They sort the striped crane! https://t.co/32a874c182', 'und', '{}', '{}', '{https://twitter.com/round_crane300/status/2122708598818603008}', '{}', '{}', NULL, NULL, 2122930603329323009, NULL, NULL, NULL, 2122708598818603008, NULL, NULL, NULL, NULL, NULL, '{2122930603329323009}', false, 'everyone', NULL, NULL, NULL, NULL, '{"like_count": 0, "quote_count": 35, "reply_count": 0, "retweet_count": 13, "bookmark_count": 0, "impression_count": 1002}', '{"like_count": 0, "quote_count": 35, "reply_count": 0, "retweet_count": 13, "bookmark_count": 0, "impression_count": 1002}', NULL, 'timeline:134097611071195715', '2026-11-18 11:06:40+00', '2026-11-18 11:06:40+00', '{"id":"2122930603329323009","text":"They stack the striped feather? They sort the striped crane! https://t.co/32a874c182","edit_history_tweet_ids":["2122930603329323009"],"author_id":"134097611071195715","conversation_id":"2122930603329323009","created_at":"2026-11-18T05:51:12.000Z","lang":"und","possibly_sensitive":false,"public_metrics":{"retweet_count":13,"reply_count":0,"like_count":0,"quote_count":35,"bookmark_count":0,"impression_count":1002},"reply_settings":"everyone","referenced_tweets":[{"type":"quoted","id":"2122708598818603008"}],"entities":{"urls":[{"start":61,"end":84,"url":"https://t.co/32a874c182","expanded_url":"https://twitter.com/round_crane300/status/2122708598818603008","display_url":"twitter.com/round_crane300…"}]}}', '{"tweets":[{"id":"2122708598818603008","text":"My aunt and I polish the square orchard, then the puzzle.","edit_history_tweet_ids":["2122708598818603008"],"author_id":"12375700","conversation_id":"2122708598818603008","created_at":"2026-11-17T15:09:02.000Z","lang":"en","possibly_sensitive":false,"public_metrics":{"retweet_count":1,"reply_count":1,"like_count":0,"quote_count":2,"bookmark_count":0,"impression_count":81},"reply_settings":"everyone"}],"users":[{"id":"12375700","name":"Round Crane","username":"round_crane300"}]}');
INSERT INTO public.tweets VALUES (2122933188601840640, 540274549, 'KettleRed', '2026-11-18 06:01:29+00', 'You should sort the crooked feather?', 'en', '{}', '{}', '{}', '{}', '{}', NULL, NULL, 2122933188601840640, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '{2122933188601840640}', false, 'everyone', NULL, NULL, NULL, NULL, '{"like_count": 0, "quote_count": 0, "reply_count": 0, "retweet_count": 0, "bookmark_count": 0, "impression_count": 18}', '{"like_count": 0, "quote_count": 0, "reply_count": 0, "retweet_count": 0, "bookmark_count": 0, "impression_count": 18}', NULL, 'timeline:540274549', '2026-11-18 11:06:40+00', '2026-11-18 11:06:40+00', '{"id":"2122933188601840640","text":"You should sort the crooked feather?","edit_history_tweet_ids":["2122933188601840640"],"author_id":"540274549","conversation_id":"2122933188601840640","created_at":"2026-11-18T06:01:29.000Z","lang":"en","possibly_sensitive":false,"public_metrics":{"retweet_count":0,"reply_count":0,"like_count":0,"quote_count":0,"bookmark_count":0,"impression_count":18},"reply_settings":"everyone"}', '{}');
INSERT INTO public.tweets VALUES (2122990579288637440, 134097611071195715, 'CraneRed', '2026-11-18 09:49:32+00', 'You should bake the red teapot. My aunt and I wind the ancient owl?', 'en', '{}', '{}', '{}', '{}', '{}', NULL, NULL, 2122990579288637440, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '{2122990579288637440}', false, 'everyone', NULL, NULL, NULL, NULL, '{"like_count": 0, "quote_count": 0, "reply_count": 0, "retweet_count": 0, "bookmark_count": 0, "impression_count": 31}', '{"like_count": 0, "quote_count": 0, "reply_count": 0, "retweet_count": 0, "bookmark_count": 0, "impression_count": 31}', NULL, 'timeline:134097611071195715', '2026-11-18 11:06:40+00', '2026-11-18 11:06:40+00', '{"id":"2122990579288637440","text":"You should bake the red teapot. My aunt and I wind the ancient owl?","edit_history_tweet_ids":["2122990579288637440"],"author_id":"134097611071195715","conversation_id":"2122990579288637440","created_at":"2026-11-18T09:49:32.000Z","lang":"en","possibly_sensitive":false,"public_metrics":{"retweet_count":0,"reply_count":0,"like_count":0,"quote_count":0,"bookmark_count":0,"impression_count":31},"reply_settings":"everyone"}', '{}');
-- Data for Name: validators; Type: TABLE DATA; Schema: public; Owner: -
INSERT INTO public.validators VALUES ('/boards.json', 'Wed, 18 Nov 2026 11:06:39 GMT');
SELECT pg_catalog.setval('public.runs_run_id_seq', 2, true);
ALTER TABLE ONLY public.accounts
    ADD CONSTRAINT accounts_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.board_polls
    ADD CONSTRAINT board_polls_pkey PRIMARY KEY (board, polled_at);
ALTER TABLE ONLY public.boards
    ADD CONSTRAINT boards_pkey PRIMARY KEY (board);
ALTER TABLE ONLY public.credential_limits
    ADD CONSTRAINT credential_limits_pkey PRIMARY KEY (credential, endpoint);
ALTER TABLE ONLY public.feeds
    ADD CONSTRAINT feeds_pkey PRIMARY KEY (feed);
ALTER TABLE ONLY public.handles
    ADD CONSTRAINT handles_pkey PRIMARY KEY (handle);
ALTER TABLE ONLY public.post_revisions
    ADD CONSTRAINT post_revisions_pkey PRIMARY KEY (board, no, revision);
ALTER TABLE ONLY public.posts
    ADD CONSTRAINT posts_pkey PRIMARY KEY (board, no);
ALTER TABLE ONLY public.runs
    ADD CONSTRAINT runs_pkey PRIMARY KEY (run_id);
ALTER TABLE ONLY public.spending
    ADD CONSTRAINT spending_pkey PRIMARY KEY (day);
ALTER TABLE ONLY public.threads
    ADD CONSTRAINT threads_pkey PRIMARY KEY (board, no);
ALTER TABLE ONLY public.trends
    ADD CONSTRAINT trends_pkey PRIMARY KEY (woeid, seen_at, rank);
ALTER TABLE ONLY public.tweets
    ADD CONSTRAINT tweets_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.validators
    ADD CONSTRAINT validators_pkey PRIMARY KEY (path);
CREATE INDEX accounts_username ON public.accounts USING btree (lower(username));
CREATE INDEX posts_file_md5 ON public.posts USING btree (file_md5) WHERE (file_md5 IS NOT NULL);
CREATE INDEX posts_quotes ON public.posts USING gin (quotes jsonb_path_ops);
CREATE INDEX posts_thread ON public.posts USING btree (board, thread_no, no);
CREATE INDEX posts_time ON public.posts USING btree (board, posted_at);
CREATE INDEX threads_live ON public.threads USING btree (board) WHERE (fate = 'live'::text);
CREATE INDEX trends_name ON public.trends USING btree (name, seen_at);
CREATE INDEX tweets_author ON public.tweets USING btree (author_id, id);
CREATE INDEX tweets_time ON public.tweets USING btree (posted_at);
-- PostgreSQL database dump complete
