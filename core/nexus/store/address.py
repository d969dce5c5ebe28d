"""How a store's URL is shown to people: never with its password."""

from urllib.parse import urlsplit, urlunsplit


def shown_url(url: str) -> str:
    """``url`` with its password replaced: ``redis://user:***@host:6379/0``."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    credentials, _, host = parts.netloc.rpartition("@")
    user = credentials.partition(":")[0]
    return urlunsplit(parts._replace(netloc=f"{user}:***@{host}"))
