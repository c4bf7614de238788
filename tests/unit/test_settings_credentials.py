"""Tokens and Authorization headers: which is found, which is refused, and that none is ever shown."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pinsync.settings import (
    CredentialError,
    NodeSettings,
    RemoteSettings,
    Token,
    load_authorization,
    load_token,
)

SECRET = "eyJhbGciOi.this-must-never_be.shown"
REMOTE = RemoteSettings("my.remote-1")
NODE = NodeSettings()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return secret_file(tmp_path / "token", SECRET)


def secret_file(path: Path, text: str | bytes, mode: int = 0o600) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(mode)
    return path


def token(remote: RemoteSettings, **env: str) -> Token:
    found = load_token(remote, env)
    assert found
    return found


def refused(remote: RemoteSettings, **env: str) -> CredentialError:
    with pytest.raises(CredentialError) as caught:
        load_token(remote, env)
    assert SECRET not in str(caught.value)
    assert caught.value.exit_code == 2
    return caught.value


class TestToken:
    def test_the_first_of_file_credential_and_variable_is_taken(self, tmp_path: Path) -> None:
        credential = tmp_path / "my.remote-1.token"
        with_file = replace(REMOTE, token_file=secret_file(tmp_path / "t", "from-file"))
        env = {"CREDENTIALS_DIRECTORY": str(tmp_path), "PINSYNC_TOKEN_MY_REMOTE_1": "from-variable"}
        assert token(REMOTE, **env).secret.get_secret_value() == "from-variable"
        assert token(REMOTE, **env).where == "PINSYNC_TOKEN_MY_REMOTE_1"
        secret_file(credential, "from-credential")
        assert token(REMOTE, **env).secret.get_secret_value() == "from-credential"
        assert str(credential) in token(REMOTE, **env).where
        assert token(with_file, **env).secret.get_secret_value() == "from-file"
        assert str(with_file.token_file) in token(with_file, **env).where

    def test_none_is_needed_where_none_is_asked_for(self) -> None:
        assert load_token(replace(REMOTE, auth="none"), {"PINSYNC_TOKEN_MY_REMOTE_1": SECRET}) is None

    def test_none_found_names_the_three_places(self, tmp_path: Path) -> None:
        error = refused(REMOTE, CREDENTIALS_DIRECTORY=str(tmp_path))
        assert error.elsewhere
        for part in ("token_file", f"my.remote-1.token (not in {tmp_path})", "PINSYNC_TOKEN_MY_REMOTE_1 (not set)"):
            assert part in str(error)
        assert "PINSYNC_TOKEN_MY_REMOTE_1 (empty)" in str(refused(REMOTE, PINSYNC_TOKEN_MY_REMOTE_1=" "))

    @pytest.mark.parametrize("text", [f"{SECRET}\n", f"  {SECRET}\r\n\n", f"\ufeff{SECRET}", f"Bearer {SECRET}"])
    def test_what_editors_and_pasting_add_is_taken_off(self, tmp_path: Path, text: str) -> None:
        remote = replace(REMOTE, token_file=secret_file(tmp_path / "t", text))
        assert token(remote).secret.get_secret_value() == SECRET

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (b"", "is empty"),
            (b" \n\n", "is empty"),
            (f"{SECRET}\n{SECRET}".encode(), "more than one line"),
            (b"\x00\x01\x02", "is not text"),
            (b"\xff\xfeabc", "UTF-16"),
            (b"abc\xe9", "is not UTF-8"),
            (f"{SECRET} x".encode(), "holds a space"),
            (f"{SECRET}ä".encode(), "beyond ASCII"),
            (f"{SECRET}\x1b".encode(), "control character"),
            (f'"{SECRET}"'.encode(), "stands in quotes"),
            (b"x" * 70_000, "more than 65536 are not read"),
        ],
    )
    def test_a_file_that_holds_no_token_is_refused_although_the_variable_is_set(
        self, tmp_path: Path, content: bytes, said: str
    ) -> None:
        path = secret_file(tmp_path / "t", content)
        error = refused(replace(REMOTE, token_file=path), PINSYNC_TOKEN_MY_REMOTE_1="other")
        assert said in str(error)
        assert str(path) in str(error)
        assert str(error).startswith("remote my.remote-1: ")
        assert not error.elsewhere

    def test_a_file_that_is_missing_or_a_directory_is_refused(self, tmp_path: Path) -> None:
        missing = refused(replace(REMOTE, token_file=tmp_path / "gone"), PINSYNC_TOKEN_MY_REMOTE_1="other")
        assert "gone is not there" in str(missing)
        assert "is a directory" in str(refused(replace(REMOTE, token_file=tmp_path)))

    def test_an_empty_credential_is_refused_and_not_passed_over(self, tmp_path: Path) -> None:
        secret_file(tmp_path / "my.remote-1.token", "")
        error = refused(REMOTE, CREDENTIALS_DIRECTORY=str(tmp_path), PINSYNC_TOKEN_MY_REMOTE_1="other")
        assert "is empty" in str(error)

    def test_a_file_closed_to_this_user_may_be_open_to_the_daemon(
        self, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def closed(*_: object, **__: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "open", closed)
        error = refused(replace(REMOTE, token_file=file))
        assert error.elsewhere
        assert "may not be read by this user" in str(error)

    def test_a_file_open_to_everyone_works_with_a_warning(self, file: Path) -> None:
        remote = replace(REMOTE, token_file=file)
        assert token(remote).warnings == ()
        file.chmod(0o644)
        [warning] = token(remote).warnings
        assert f"chmod o-rwx {file}" in warning
        assert SECRET not in warning

    def test_a_variable_is_held_to_the_same_rules(self) -> None:
        assert "holds a space" in str(refused(REMOTE, PINSYNC_TOKEN_MY_REMOTE_1=f"{SECRET}\nX-Evil: 1"))

    def test_basic_wants_user_and_password(self) -> None:
        basic = replace(REMOTE, auth="basic")
        found = token(basic, PINSYNC_TOKEN_MY_REMOTE_1="me:pass word ü")
        assert found.secret.get_secret_value() == "me:pass word ü"
        assert "must be user:password" in str(refused(basic, PINSYNC_TOKEN_MY_REMOTE_1=SECRET))
        assert "control character" in str(refused(basic, PINSYNC_TOKEN_MY_REMOTE_1="me:a\nb"))

    def test_it_does_not_show_in_what_is_printed(self, file: Path) -> None:
        found = token(replace(REMOTE, token_file=file))
        assert SECRET not in repr(found) + str(found)

    @hypothesis_settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(content=st.binary(max_size=40) | st.text(max_size=40).map(lambda text: text.encode(errors="replace")))
    def test_whatever_a_file_holds_gives_a_header_value_or_a_plain_refusal(
        self, tmp_path: Path, content: bytes
    ) -> None:
        remote = replace(REMOTE, token_file=secret_file(tmp_path / "t", content))
        try:
            value = token(remote).secret.get_secret_value()
        except CredentialError as error:
            assert error.problems
        else:
            assert value
            assert value.isascii()
            assert value.isprintable()
            assert " " not in value


def basic(text: str) -> str:
    return f"Basic {b64encode(text.encode()).decode()}"


class TestAuthorization:
    @pytest.mark.parametrize(
        ("text", "header"),
        [
            ("Bearer abc", "Bearer abc"),
            ("bearer   abc\n", "Bearer abc"),
            ("bearer:abc", "Bearer abc"),
            ("abc", "Bearer abc"),
            ("me:pw", basic("me:pw")),
            ("me:p:w ü", basic("me:p:w ü")),
            ("basic:me:pw", basic("me:pw")),
            ("Basic me:pw", basic("me:pw")),
            (basic("me:pw"), basic("me:pw")),
            ("basic:bWU6cHc=", basic("me:pw")),
        ],
    )
    def test_every_usual_spelling_becomes_the_header(self, tmp_path: Path, text: str, header: str) -> None:
        node = replace(NODE, authorization_file=secret_file(tmp_path / "a", text))
        found = load_authorization(node, {})
        assert found
        assert found.get_secret_value() == header
        assert header not in repr(found)

    def test_nothing_set_is_none(self, tmp_path: Path) -> None:
        assert load_authorization(NODE, {}) is None
        assert load_authorization(NODE, {"CREDENTIALS_DIRECTORY": str(tmp_path)}) is None

    def test_the_credential_carries_the_nodes_name_and_kubo_only_where_it_is_clear(self, tmp_path: Path) -> None:
        env = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
        secret_file(tmp_path / "kubo.authorization", "shared")
        one, several = NodeSettings(name="home"), NodeSettings(name="home", sole=False)

        def header(node: NodeSettings) -> str | None:
            found = load_authorization(node, env)
            return found.get_secret_value() if found else None

        assert (header(NODE), header(one), header(several)) == ("Bearer shared", "Bearer shared", None)
        secret_file(tmp_path / "home.authorization", "own")
        assert (header(one), header(several)) == ("Bearer own", "Bearer own")
        explicit = replace(several, authorization_file=secret_file(tmp_path / "f", "from-file"))
        assert header(explicit) == "Bearer from-file"

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("", "is empty"),
            (f"{SECRET}\nx", "more than one line"),
            (f"Bearer {SECRET} x", "holds a space"),
            (f":{SECRET}", "must be user:password"),
            ("Bearer", "names a scheme and nothing after it"),
        ],
    )
    def test_what_cannot_be_a_header_is_refused_without_being_shown(self, tmp_path: Path, text: str, said: str) -> None:
        node = replace(NODE, authorization_file=secret_file(tmp_path / "a", text))
        with pytest.raises(CredentialError, match=said) as caught:
            load_authorization(node, {})
        assert SECRET not in str(caught.value)
        assert str(tmp_path / "a") in str(caught.value)

    def test_a_missing_file_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(CredentialError, match=r"kubo kubo: authorization_file .*gone is not there"):
            load_authorization(replace(NODE, authorization_file=tmp_path / "gone"), {})


class TestWhatNamesNoFile:
    """A token that was pasted where the name of its file belongs."""

    @pytest.mark.parametrize(
        "pasted",
        [
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.x1y2z3",
            "3f2b8c1e-9d41-4a7e-8f5e-0c1d2e3f4a5b",
            "user:passw0rd-that-is-long-enough",
            "AbC123+/dEf456GhI789jKlMnO==",
            "x1" * 200,
        ],
    )
    def test_is_not_shown(self, pasted: str, tmp_path: Path) -> None:
        def said(read: Callable[[], object]) -> str:
            with pytest.raises(CredentialError, match="names no file, and looks like the secret itself") as caught:
                read()
            return str(caught.value)

        remote = replace(REMOTE, token_file=tmp_path / pasted)
        node = replace(NODE, authorization_file=tmp_path / pasted)
        for text in (said(lambda: load_token(remote, {})), said(lambda: load_authorization(node, {}))):
            assert not any(part in text for part in (*pasted.split("/"), pasted[:8]))

    @pytest.mark.parametrize(
        "name",
        ["token", "nft.storage.token", "tokens/production-of-web-1-since-2026.txt", "nft-storage-production-key"],
    )
    def test_the_name_of_a_file_is(self, name: str, tmp_path: Path) -> None:
        with pytest.raises(CredentialError, match=f"{name} is not there"):
            load_token(replace(REMOTE, token_file=tmp_path / name), {})

    def test_what_is_there_is_shown_whatever_its_name(self, tmp_path: Path) -> None:
        (tmp_path / "a1b2c3d4e5f6a1b2c3d4e5f6a1b2").mkdir()
        with pytest.raises(CredentialError, match="a1b2c3d4e5f6a1b2c3d4e5f6a1b2/token is not there"):
            load_token(replace(REMOTE, token_file=tmp_path / "a1b2c3d4e5f6a1b2c3d4e5f6a1b2/token"), {})
