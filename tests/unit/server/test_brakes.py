"""How failed logins are slowed down, and that nobody can be locked out from elsewhere."""

from __future__ import annotations

import pytest

from server.auth.brakes import ADDRESS_LIMIT, NAME_LIMIT, PAIR_LIMIT, WINDOW_S, Brake, LoginBrake


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def logins(clock: Clock) -> LoginBrake:
    return LoginBrake(clock=clock)


def test_a_brake_lets_through_a_limit_and_then_one_at_a_time(clock: Clock) -> None:
    brake = Brake(3, 30.0, clock=clock)

    assert [brake.spend("a") for _ in range(3)] == [0.0, 0.0, 0.0]
    assert brake.spend("a") == pytest.approx(10.0)
    assert brake.spend("b") == 0.0
    clock.now = 10.0
    assert brake.spend("a") == 0.0
    assert brake.spend("a") > 0.0


def test_a_brake_remembers_no_more_than_it_has_room_for(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.auth.brakes._REMEMBERED", 10)
    brake = Brake(1, 60.0, clock=clock)
    for number in range(100):
        brake.spend(str(number))

    assert len(brake._buckets) == 10


def test_guessing_one_user_stops_at_that_address_only(logins: LoginBrake, clock: Clock) -> None:
    assert [logins.try_once("ruth", "attacker") for _ in range(PAIR_LIMIT)] == [0.0] * PAIR_LIMIT
    assert logins.try_once("ruth", "attacker") > 0.0
    assert logins.try_once("ruth", "ward") == 0.0
    clock.now += WINDOW_S
    assert logins.try_once("ruth", "attacker") == 0.0


def test_one_address_cannot_lock_out_everybody(logins: LoginBrake) -> None:
    users = [f"user{number}" for number in range(100)]
    for user in users:
        logins.succeeded(user, "ward")

    tried = sum(logins.try_once(user, "attacker") == 0.0 for user in users for _ in range(PAIR_LIMIT))

    assert tried == ADDRESS_LIMIT
    assert all(logins.try_once(user, "ward") == 0.0 for user in users)


def test_guessing_in_the_ward_itself_stops_a_few_users_there(logins: LoginBrake) -> None:
    users = [f"user{number}" for number in range(100)]
    known = users[:50]
    for user in known:
        logins.succeeded(user, "ward")
    for user in users[50:]:
        for _ in range(PAIR_LIMIT):
            logins.try_once(user, "ward")

    assert all(logins.try_once(user, "ward") == 0.0 for user in known), "who signs in there daily is not stopped"
    assert logins.try_once("newcomer", "ward") > 0.0


def test_guessing_from_many_addresses_stops_and_the_user_does_not(logins: LoginBrake) -> None:
    logins.succeeded("ruth", "ward")

    tried = sum(logins.try_once("ruth", f"bot{number}") == 0.0 for number in range(1000))

    assert tried == NAME_LIMIT
    assert logins.try_once("ruth", "ward") == 0.0


def test_a_login_that_succeeds_counts_for_nothing(logins: LoginBrake) -> None:
    for number in range(10 * NAME_LIMIT):
        assert logins.try_once("ruth", f"ward{number % 7}") == 0.0
        logins.succeeded("ruth", f"ward{number % 7}")
