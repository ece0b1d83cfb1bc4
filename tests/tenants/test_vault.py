"""Secrets at rest: who can open what, and with which keys."""

from __future__ import annotations

import base64
import os
import uuid

import pytest

from tenants.vault import BadKey, CannotOpen, Vault, configured_keys

ANN, BOB = uuid.uuid4(), uuid.uuid4()
OLD, NEW = os.urandom(32), os.urandom(32)


def test_what_is_sealed_opens_and_is_not_in_the_ciphertext() -> None:
    vault = Vault([NEW])
    sealed = vault.seal("sk-söcret", tenant=ANN, purpose="secret")
    assert "sk-" not in sealed
    assert sealed != vault.seal("sk-söcret", tenant=ANN, purpose="secret")
    assert vault.open(sealed, tenant=ANN, purpose="secret") == "sk-söcret"


@pytest.mark.parametrize(("tenant", "purpose"), [(BOB, "secret"), (ANN, "webhook")])
def test_a_ciphertext_opens_for_its_tenant_and_purpose_only(tenant: uuid.UUID, purpose: str) -> None:
    sealed = Vault([NEW]).seal("sk-secret", tenant=ANN, purpose="secret")
    with pytest.raises(CannotOpen, match="OPSITE_SECRETS_KEYS"):
        Vault([NEW]).open(sealed, tenant=tenant, purpose=purpose)


def test_keys_are_rotated() -> None:
    old = Vault([OLD]).seal("sk-secret", tenant=ANN, purpose="secret")
    both = Vault([NEW, OLD])
    assert both.open(old, tenant=ANN, purpose="secret") == "sk-secret"
    again = both.reseal(old, tenant=ANN, purpose="secret")
    assert Vault([NEW]).open(again, tenant=ANN, purpose="secret") == "sk-secret"
    with pytest.raises(CannotOpen):
        Vault([OLD]).open(again, tenant=ANN, purpose="secret")
    with pytest.raises(CannotOpen):
        Vault([NEW]).open(old, tenant=ANN, purpose="secret")


def test_a_changed_ciphertext_does_not_open() -> None:
    sealed = Vault([NEW]).seal("sk-secret", tenant=ANN, purpose="secret")
    with pytest.raises(CannotOpen):
        Vault([NEW]).open(sealed[:-6] + "AAAAA=", tenant=ANN, purpose="secret")


def test_keys_come_from_the_setting_and_last_from_secret_key() -> None:
    listed = ",".join(base64.urlsafe_b64encode(key).decode() for key in (NEW, OLD))
    keys = configured_keys(listed, secret_key="s")
    assert keys[:2] == (NEW, OLD)
    assert keys[2:] == configured_keys("", secret_key="s") != configured_keys("", secret_key="t")


@pytest.mark.parametrize("word", ["short", "!" * 44, base64.urlsafe_b64encode(b"x" * 31).decode()])
def test_a_key_that_is_none_is_told_by_its_place(word: str) -> None:
    good = base64.urlsafe_b64encode(NEW).decode()
    with pytest.raises(BadKey, match="key 2 of OPSITE_SECRETS_KEYS") as caught:
        configured_keys(f"{good}, {word}", secret_key="s")
    assert good not in str(caught.value)
    assert word not in str(caught.value)


@pytest.mark.parametrize("keys", [[], [b"short"]])
def test_a_vault_needs_whole_keys(keys: list[bytes]) -> None:
    with pytest.raises(BadKey):
        Vault(keys)
