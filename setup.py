"""Packs the project into the egg that scrapyd-deploy sends to Scrapyd. To run it, requirements.txt is enough."""

from pathlib import Path

from setuptools import find_packages, setup

from chancrawl import __version__

setup(
    name="chancrawl",
    version=__version__,
    description="Archives 4chan boards and X accounts: every post once, and a report of what is missing.",
    long_description=Path("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.11",
    packages=find_packages(include=["chancrawl", "chancrawl.*", "spiders", "pipelines"]),
    package_data={
        "chancrawl": ["schema.sql"],
        "chancrawl.sandbox": ["credentials.csv"],
        "chancrawl.dashboard": ["templates/*", "static/*"],
    },  # a link to the one at the top level; the egg gets the file
    entry_points={"scrapy": ["settings = chancrawl.settings"]},
    extras_require={
        "parquet": ["pyarrow>=18,<27"],
        "metadata": ["mlcroissant>=1.1,<2", "rocrate>=0.15,<0.17"],
        "alarms": ["apprise>=1.9,<3"],
        "spidermon": ["spidermon>=1.25,<2"],
        "pseudonyms": ["pyahocorasick>=2.1,<3"],
    },
    zip_safe=True,
)
