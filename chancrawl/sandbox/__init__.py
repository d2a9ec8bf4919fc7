"""A local 4chan that speaks the real wire format, for trying chancrawl out and for its tests.

board.py lives a board, words.py writes its posts, files.py shows it as the API does, and world.py has all boards;
recorded.py plays recorded payloads instead. faults.py misbehaves, server.py speaks HTTP, process.py starts it beside a
crawl. All text is the sandbox's own.
"""
