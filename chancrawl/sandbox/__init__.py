"""A local 4chan that speaks the real wire format, for trying chancrawl out and for its tests.

world.py lives the boards, words.py writes their posts, recorded.py plays recorded payloads instead, faults.py
misbehaves, server.py speaks HTTP, process.py starts it beside a crawl. All text is the sandbox's own.
"""
