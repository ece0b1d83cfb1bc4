"""Which GPUs there are: what the setting may say, and what becomes of one that falls off the bus."""

from __future__ import annotations

import threading

import pytest

from orchestrator.placement.gpus import BadInventory, Device, Reading, declared, read, unread
from orchestrator.placement.packing import Capacity, Need, Room, Taken
from orchestrator.placement.shortage import Holder, shortage
from orchestrator.runtimes.inventory import Inventory
from tests.orchestrator.conftest import Site, wait_for

REAL = (Device("0", 81_559, "NVIDIA H100", "GPU-a"), Device("1", 81_559, "NVIDIA H100", "GPU-b"))


@pytest.mark.parametrize(
    ("setting", "devices"),
    [
        ("", ()),
        (" ", ()),
        ("0,1", (Device("0"), Device("1"))),
        (" 0:81920, GPU-a:40960 ", (Device("0", 81_920), Device("GPU-a", 40_960))),
    ],
)
def test_a_setting_declares_devices(setting: str, devices: tuple[Device, ...]) -> None:
    assert declared(setting) == devices


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("0,,1", "has '' in it"),
        ("0 1", "has '0 1' in it"),
        ("0:80GB", "has '0:80GB' in it"),
        ("0:", "has '0:' in it"),
        ("0,1,0:5", "names device 0 twice"),
    ],
)
def test_a_bad_setting_gives_one_clear_line(setting: str, said: str) -> None:
    with pytest.raises(BadInventory, match=f"^OPSITE_GPUS {said}") as refusal:
        declared(setting)
    assert "\n" not in str(refusal.value)


def test_declared_devices_are_told_more_of_and_go_when_they_are_lost() -> None:
    made_up = (Device("0"), Device("7", 1000))
    told = read(unread(made_up), made_up, REAL)
    assert told.devices == (REAL[0], Device("7", 1000))
    assert read(told, made_up, ()).devices == (Device("7", 1000),)
    by_uuid = (Device("GPU-b"),)
    assert read(unread(by_uuid), by_uuid, REAL).devices[0].memory_mib == 81_559


def test_an_index_goes_on_to_mean_the_gpu_that_had_it_first() -> None:
    """Another one that moves up was not declared; and who holds the first by its index is not taken for its holder."""
    two = (Device("0"), Device("1"))
    third = Device("2", 81_559, "NVIDIA H100", "GPU-c")
    first = read(unread(two), two, (*REAL, third))
    assert [device.identity for device in first.devices] == ["GPU-a", "GPU-b"]
    moved = read(first, two, (Device("0", 1, "", "GPU-b"), Device("1", 1, "", "GPU-c")))
    assert [device.identity for device in moved.devices] == ["GPU-b"]
    assert moved.names["0"] == "GPU-a"
    everything = read(Reading(), None, (*REAL, third))
    assert [device.identity for device in everything.devices] == ["GPU-a", "GPU-b", "GPU-c"]


def test_a_uuid_may_be_given_by_its_beginning_as_cuda_reads_it() -> None:
    real = (Device("0", 1, "", "GPU-8a"), Device("1", 1, "", "GPU-8b"))
    given = declared("GPU-8b:5")
    (device,) = read(unread(given), given, real).devices
    assert (device.identity, device.memory_mib) == ("GPU-8b", 5)
    with pytest.raises(BadInventory, match="names one GPU twice, as 1 and as GPU-8b"):
        read(Reading(), declared("1,GPU-8b"), real)


def test_an_index_beside_a_uuid_is_given_out_only_once_somebody_can_tell_them_apart() -> None:
    inventory = Inventory("0,GPU-b", find=lambda: None)
    assert [device.id for device in inventory.devices()] == ["0"]


def test_a_driver_that_hangs_does_not_hold_up_the_start(caplog: pytest.LogCaptureFixture) -> None:
    answers = threading.Event()

    def find() -> tuple[Device, ...]:
        answers.wait()
        return REAL

    inventory = Inventory("0,1", find=find, first_s=0.05)
    assert [device.identity for device in inventory.devices()] == ["0", "1"]
    assert "NVML has not answered within 0.05 s" in caplog.text
    answers.set()
    wait_for(lambda: inventory.devices() == REAL, what="it is known what they are")
    assert inventory.names()["1"] == "GPU-b"


def test_a_driver_that_breaks_has_said_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def find() -> tuple[Device, ...]:
        raise UnicodeDecodeError("utf-8", b"", 0, 1, "a name of a GPU")

    assert Inventory("0", find=find).devices() == (Device("0"),)
    assert "the GPUs cannot be read" in caplog.text


def test_a_lost_device_is_gone_at_the_next_look_and_comes_back() -> None:
    there = [REAL]
    inventory = Inventory(None, find=lambda: there[0], every_s=0.0)
    assert inventory.devices() == REAL
    there[0] = REAL[:1]
    wait_for(lambda: inventory.devices() == REAL[:1], what="the lost one is gone")
    there[0] = REAL
    wait_for(lambda: inventory.devices() == REAL, what="it is back")


def test_a_driver_that_does_not_answer_takes_no_device_away() -> None:
    says: list[tuple[Device, ...] | None] = [REAL]
    silent = 0

    def find() -> tuple[Device, ...] | None:
        nonlocal silent
        silent += says[0] is None
        return says[0]

    inventory = Inventory("0,1", find=find, every_s=0.0)
    says[0] = None

    def stays() -> bool:
        assert inventory.devices() == REAL
        return silent > 1

    wait_for(stays, what="it was asked twice")
    says[0] = REAL[:1]
    wait_for(lambda: inventory.devices() == REAL[:1], what="what is lost is gone, though it was silent before")
    assert Inventory("0", find=lambda: None).devices() == (Device("0"),)
    assert Inventory(None, find=lambda: None).devices() == ()


def test_one_gpu_under_two_names_is_refused() -> None:
    with pytest.raises(BadInventory, match="names one GPU twice, as 0 and as GPU-a"):
        Inventory("0,GPU-a", find=lambda: REAL)
    assert len(Inventory("0,GPU-b", find=lambda: REAL).devices()) == 2


def test_no_gpu_by_the_setting_asks_no_driver() -> None:
    def find() -> tuple[Device, ...]:
        raise AssertionError

    assert Inventory("", find=find, every_s=0.0).devices() == ()


def test_an_orchestrator_with_a_bad_setting_says_so_and_ends(site: Site) -> None:
    site.env["OPSITE_GPUS"] = "0,0"
    assert site.orchestrator().wait(60) == 1
    assert site.log().strip() == "CommandError: OPSITE_GPUS names device 0 twice: each GPU stands there once."


# -- what is said when there are too few ---------------------------------------------------------
FOUR = Capacity(("0", "1", "2", "3"), cpus=4, workers=9)


def said(need: Need, *holders: Holder, capacity: Capacity = FOUR) -> str:
    room = Room.of(capacity)
    for holder in holders:
        room.take(holder.taken)
    return shortage(need, capacity=capacity, room=room, holders=holders)


def has(pool: str, *devices: str, share: int = 1000, cpus: int = 0) -> Holder:
    return Holder(pool, Taken(devices, share, cpus))


def test_who_holds_the_gpus_is_named() -> None:
    full = [has("a", "0"), has("b", "1"), has("a", "2"), has("a", "3")]
    assert said(Need(1), *full) == "No GPU is free: 4 of 4 are held by pools a (3) and b (1)."
    assert said(Need(2), *full[:3]) == (
        "A worker of this pool needs 2 GPUs; 1 of this host's 4 is free, the others are held by pools a (2) and b (1)."
    )
    shared = [has("a", "0", "1"), has("b", "2", share=700), has("c", "2", share=300), has("", "3", share=600)]
    assert said(Need(1, share=500), *shared) == (
        "No GPU has 0.5 of it free: 4 of 4 are held by pools a (2), b (1), c (1) and workers of no pool (1)."
    )
    assert said(Need(1, share=400), *shared) == ""


def test_what_the_host_never_had_is_said_too() -> None:
    bare = Capacity((), cpus=1, workers=2)
    assert said(Need(1), capacity=bare) == (
        "A worker of this pool needs 1 GPU; this host has none (OPSITE_GPUS names them). "
        "None fits until it has more, or the pool's GPUs per worker are lowered."
    )
    assert said(Need(8)).startswith("A worker of this pool needs 8 GPUs; this host has 4 GPUs. None fits until")
    never = (
        "A worker of this pool needs 2 cores; this host has 1. "
        "None ever fits: lower the pool's CPUs per worker, or raise OPSITE_CPUS."
    )
    assert said(Need(cpus=2), capacity=bare) == never
    # Whatever else is short just now: that passes, this does not.
    assert said(Need(cpus=2), has("a"), has("a"), capacity=bare) == never
    assert said(Need(1, cpus=9), *(has("a", device) for device in FOUR.devices)).endswith("or raise OPSITE_CPUS.")
    assert said(Need(cpus=2), has("a", cpus=3)) == (
        "A worker of this pool needs 2 cores; 1 of this host's 4 is free, the others are held by pool a (3)."
    )
    assert said(Need(), has("a"), has("a"), capacity=bare) == (
        "This host holds 2 workers at most (OPSITE_MAX_LOCAL_WORKERS)."
    )


def test_many_holders_are_a_number() -> None:
    six = Capacity(tuple("012345"), cpus=0, workers=9)
    holders = [has(pool, device) for pool, device in zip("abcdef", six.devices, strict=True)]
    assert said(Need(1), *holders, capacity=six).endswith("held by pools a (1), b (1), c (1), d (1) and 2 others.")
