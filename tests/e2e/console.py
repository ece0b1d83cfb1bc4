"""The console as a person with a browser uses it: log in, open a form, change some fields, save."""

from __future__ import annotations

from html.parser import HTMLParser

import httpx


class Form(HTMLParser):
    """The fields of a page with what stands in them, as a browser would send them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}
        self._select = self._textarea = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        name = given.get("name", "")
        if tag == "input" and name and given.get("type") not in ("checkbox", "submit"):
            self.fields[name] = given.get("value", "")
        elif tag == "textarea":
            self._textarea = name
            self.fields[name] = ""
        elif tag == "select":
            self._select = name
        elif tag == "option" and self._select and ("selected" in given or self._select not in self.fields):
            self.fields[self._select] = given.get("value", "")

    def handle_data(self, data: str) -> None:
        if self._textarea:
            self.fields[self._textarea] += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            self._textarea = ""
        elif tag == "select":
            self._select = ""


class Console:
    """One logged-in member of staff."""

    def __init__(self, url: str, *, user: str, password: str) -> None:
        self._client = httpx.Client(base_url=f"{url}/console/", timeout=60)
        self.save("login/", login=user, password=password)

    def save(self, path: str, **changed: object) -> None:
        """Fill in the form at `path` and send it; it is taken."""
        form = Form(self.page(path)).fields
        unknown = changed.keys() - form.keys()
        assert not unknown, f"the form {path} has no {unknown}, but {sorted(form)}"
        answer = self._client.post(path, data={**form, **{name: str(value) for name, value in changed.items()}})
        assert answer.status_code == 302, f"{path} was not taken: {answer.text}"

    def page(self, path: str) -> str:
        """A page as it is shown."""
        return self._client.get(path).raise_for_status().text

    def close(self) -> None:
        self._client.close()
