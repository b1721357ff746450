import pytest

from inference.anatomy import REGULAR_VERTEBRAE, Disc, EndplateSide, Laterality, Region, Site, Vertebra, parse_level


def test_regular_vertebrae_run_from_c1_to_the_sacrum_without_transitional_ones():
    assert [v.name for v in REGULAR_VERTEBRAE][:3] == ["C1", "C2", "C3"]
    assert len(REGULAR_VERTEBRAE) == 7 + 12 + 5 + 1
    assert not any(v.is_transitional for v in REGULAR_VERTEBRAE)


def test_neighbours_skip_transitional_vertebrae():
    assert Vertebra.T12.below is Vertebra.L1
    assert Vertebra.L5.below is Vertebra.S1
    assert Vertebra.S1.below is None
    assert Vertebra.C1.above is None


def test_every_disc_is_written_and_read_back():
    for vertebra in REGULAR_VERTEBRAE[1:-1]:
        disc = Disc.under(vertebra)
        assert parse_level(disc.name) == disc


def test_there_is_no_disc_between_c1_and_c2():
    with pytest.raises(ValueError, match="from C2 down"):
        Disc(above=Vertebra.C1, below=Vertebra.C2)


@pytest.mark.parametrize("name", ["", "L9", "L4-", "L4-L5-S1", "l4", "L5-L4", "S2"])
def test_a_wrong_level_is_refused_by_name(name):
    with pytest.raises(ValueError, match=r"level must be|a disc lies"):
        Site(level=name)


def test_sites_sort_head_to_foot_with_the_study_first():
    sites = [Site(level=n) for n in ("L5-S1", "L5", "T12", "T12-L1")] + [Site()]
    assert [s.level for s in sorted(sites, key=lambda s: s.order)] == [None, "T12", "T12-L1", "L5", "L5-S1"]


@pytest.mark.parametrize(
    "site",
    [
        {"level": "L4", "side": Laterality.LEFT},
        {"level": "L4-L5"},
        {"side": Laterality.LEFT},
        {"level": "L4-L5", "side": Laterality.LEFT, "endplate": EndplateSide.INFERIOR},
    ],
)
def test_a_foramen_is_named_by_a_disc_and_a_side_alone(site):
    with pytest.raises(ValueError, match="disc and a side alone"):
        Site(**site, region=Region.FORAMEN)
    Site(level="L4-L5", side=Laterality.RIGHT, region=Region.FORAMEN)


def test_a_foramen_comes_after_its_disc():
    disc = Site(level="L4-L5")
    left, right = (Site(level="L4-L5", side=s, region=Region.FORAMEN) for s in (Laterality.LEFT, Laterality.RIGHT))
    assert sorted([right, left, disc, Site(level="L5")], key=lambda s: s.order) == [disc, left, right, Site(level="L5")]


def test_sides_of_one_level_have_a_stable_order():
    left, right = Site(level="L4", side=Laterality.LEFT), Site(level="L4", side=Laterality.RIGHT)
    assert sorted([right, left], key=lambda s: s.order) == [left, right]
