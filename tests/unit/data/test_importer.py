"""Tests of `tsfcn.data.importer`: what a zip or a folder holds, the traditional encryption, and what is put in place.

What a malicious zip meets stands in test_fetch.py, whose server sends them.
"""

from __future__ import annotations

import io
import os
import random
import struct
import zipfile
import zlib
from pathlib import Path

import pytest

from tests.server import ITALY, encrypted, real, zipped
from tsfcn.common.errors import UserError
from tsfcn.data import archive, importer, locate, safe_zip

PASSWORD = b"some one"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def bring_all(path: Path, root: Path, password: bytes | None = None) -> list[str]:
    """Import a zip or a folder as the command does; return the names."""
    with importer.open_source(path) as origin:
        found = importer.datasets_of(origin)
        return [name for name, paths in found.items() if importer.import_dataset(origin, name, paths, root, password)]


def left(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


# ---------------------------------------------------------------------------------------------------------------------
# What a source holds


def test_the_official_layout() -> None:
    adjusted = "U/Missing_value_and_variable_length_datasets_adjusted"
    found = importer.find_datasets(
        [
            "U/Coffee/Coffee_TRAIN.tsv",
            "U/Coffee/Coffee_TEST.tsv",
            "U/Coffee/README.md",
            f"{adjusted}/PLAID/PLAID_TRAIN.tsv",
            f"{adjusted}/PLAID/PLAID_TEST.tsv",
            f"{adjusted}/Crop/Crop_TRAIN.tsv",
            f"{adjusted}/Crop/Crop_TEST.tsv",
            "U/PLAID/PLAID_TEST.tsv",
            "U/PLAID/PLAID_TRAIN.tsv",
            "__MACOSX/U/Coffee/._Coffee_TRAIN.tsv",
            "U/._Coffee_TRAIN.tsv",
        ],
        "U.zip",
    )
    assert found == {name: (f"U/{name}/{name}_TRAIN.tsv", f"U/{name}/{name}_TEST.tsv") for name in ("Coffee", "PLAID")}


def test_variants_of_a_dataset_are_left_out_of_the_layout_of_uea() -> None:
    names = ("BasicMotions", "BasicMotionsDimension1", "BasicMotionsDimension12", "JapaneseVowels", "JapaneseVowels_eq")
    files = [f"Multivariate_ts/{n[:12]}/{n}_{split}.ts" for n in names for split in ("TRAIN", "TEST")]
    assert list(importer.find_datasets(files, "U.zip")) == ["BasicMotions", "JapaneseVowels"]
    mine = [
        f"{n}_{split}.ts" for n in ("Walk_eq", "WalkDimension1", "DodgerLoopDay_nmv") for split in ("TRAIN", "TEST")
    ]
    assert list(importer.find_datasets(mine, "U.zip")) == ["Walk_eq", "WalkDimension1"], "of no dataset of the archives"


def test_the_limit_on_a_file_counts_channels() -> None:
    assert importer.n_values("FaceDetection") == (5890 + 3524) * 144 * 62
    assert importer.n_values("Coffee") == 56 * 286


def test_the_layout_of_uea_is_imported(tmp_path: Path, root: Path) -> None:
    names = ("BasicMotions", "JapaneseVowels")
    files = {f"Multivariate_ts/{name}/{path}": data for name in names for path, data in real(name).items()}
    first = "Multivariate_ts/BasicMotions/BasicMotionsDimension1"
    channels = {f"{first}_{split}.arff": b"@relation x" for split in ("TRAIN", "TEST")}
    assert bring_all(write(tmp_path / "Multivariate2018_ts.zip", zipped(files | channels)), root) == sorted(names)
    for name in names:
        assert archive.passport(name, root) == {**archive.passport(name), "source": "ts"}


def test_the_first_format_and_the_least_depth_are_taken() -> None:
    splits = [f"{folder}X_{split}" for folder in ("", "a/") for split in ("TRAIN", "TEST")]
    several = [f"{path}.{kind}" for path in splits for kind in ("arff", "ts")]
    assert importer.find_datasets(several, "x") == {"X": ("X_TRAIN.ts", "X_TEST.ts")}
    assert importer.find_datasets([*several, "a/X_TEST.tsv"], "x") == {"X": ("X_TRAIN.ts", "X_TEST.ts")}


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (["a/X_TRAIN.ts"], "'U' contains half of dataset 'X', 'a/X_TRAIN.ts': both _TRAIN and _TEST are needed"),
        (
            ["a/X_TRAIN.ts", "b/X_TEST.ts"],
            "'U' contains half of dataset 'X', 'a/X_TRAIN.ts': both _TRAIN and _TEST are needed",
        ),
        (
            [f"{folder}/X_{split}.ts" for folder in "ab" for split in ("TRAIN", "TEST")],
            "'U' contains dataset 'X' in 'a' and 'b': import one of them",
        ),
    ],
)
def test_what_leaves_a_choice_is_refused_alone(paths: list[str], message: str) -> None:
    found = importer.find_datasets([*paths, "Y_TRAIN.ts", "Y_TEST.ts"], "U")
    assert str(found["X"]) == message
    assert found["Y"] == ("Y_TRAIN.ts", "Y_TEST.ts")


def test_limits_hold_for_the_largest_official_files(archive_root: Path) -> None:
    sizes = {path: path.stat().st_size for path in archive_root.glob("*/*.tsv")}
    assert sizes
    assert not [path for path, n_bytes in sizes.items() if n_bytes > importer.max_file_bytes(path.parent.name)]


# ---------------------------------------------------------------------------------------------------------------------
# The traditional encryption, against Python's own


def test_decrypts_as_zipfile_does(tmp_path: Path) -> None:
    files = real("GunPoint")
    data = encrypted(files, PASSWORD)
    with zipfile.ZipFile(io.BytesIO(data)) as theirs:
        assert {info.filename: theirs.read(info, PASSWORD) for info in theirs.infolist()} == files
    with importer.open_source(write(tmp_path / "x.zip", data)) as ours:
        assert isinstance(ours, safe_zip.Zip) and ours.is_encrypted
        paths = importer.datasets_of(ours)["GunPoint"]
        assert isinstance(paths, tuple)
        ours.check_password(PASSWORD)
        assert {
            name: b"".join(pieces) for name, pieces in importer.read_files(ours, "GunPoint", paths, PASSWORD).items()
        } == files


def test_a_wrong_password_is_noticed_before_anything_is_unpacked(tmp_path: Path) -> None:
    path = write(tmp_path / "x.zip", encrypted({f"{n}.txt": b"text" for n in range(8)}, PASSWORD))
    with importer.open_source(path) as origin:
        assert isinstance(origin, safe_zip.Zip)
        for password in (b"", b"other", "ümlaut".encode()):
            with pytest.raises(UserError) as caught:
                origin.check_password(password)
            assert (
                str(caught.value)
                == f"password of '{path}' is wrong: the archive's web page states it beside the download"
            )


def test_aes_says_what_to_do(tmp_path: Path, root: Path) -> None:
    data = bytearray(zipped(real(ITALY)))
    for sign, flags, method in ((b"PK\1\2", 8, 10), (b"PK\3\4", 6, 8)):  # as WinZip and 7-Zip mark it
        at = -1
        while (at := data.find(sign, at + 1)) >= 0:
            struct.pack_into("<H", data, at + flags, 1)
            struct.pack_into("<H", data, at + method, 99)
    path = write(tmp_path / "x.zip", bytes(data))
    with pytest.raises(UserError) as caught:
        bring_all(path, root, PASSWORD)
    assert str(caught.value) == (
        f"'{path}' is encrypted with AES, which is not supported: unpack it (7z x FILE) and import the folder"
    )
    assert left(root) == []


def test_another_packing_says_what_to_do(tmp_path: Path, root: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_BZIP2) as file:
        for name, data in real(ITALY).items():
            file.writestr(name, data)
    with pytest.raises(
        UserError, match=r"is compressed by method 12, which is not supported: unpack it with another program"
    ):
        bring_all(write(tmp_path / "x.zip", out.getvalue()), root)
    assert left(root) == []


@pytest.mark.parametrize(
    "n_bytes", [0, 1, safe_zip.CHUNK_BYTES - 1, safe_zip.CHUNK_BYTES, 3 * safe_zip.CHUNK_BYTES + 1]
)
def test_what_is_unpacked_is_what_was_packed(n_bytes: int, tmp_path: Path) -> None:
    """Of one value, which zlib gives back long after it has taken the last of its input, and of many."""
    for data in (b"1" * n_bytes, os.urandom(n_bytes)):
        files = {"Mine_TRAIN.ts": data, "Mine_TEST.ts": b"x"}
        with importer.open_source(write(tmp_path / "x.zip", zipped(files))) as origin:
            pieces = importer.read_files(origin, "Mine", ("Mine_TRAIN.ts", "Mine_TEST.ts"))
            assert {name: b"".join(parts) for name, parts in pieces.items()} == files


def test_a_damaged_zip_gives_what_was_packed_or_one_line() -> None:
    """Whatever bytes are changed or missing: never another error, and never other content."""
    files = {f"Mine_{split}.ts": f"@data\n{split}\n".encode() + b"1,2,3:1\n" * 100 for split in ("TRAIN", "TEST")}
    chance = random.Random(0)
    n_well, messages = 0, list[str]()
    for whole, password in ((zipped(files), None), (encrypted(files, PASSWORD), PASSWORD)):
        for _ in range(2000):
            data = bytearray(whole)
            if chance.random() < 0.2:
                at = chance.randrange(len(data))
                del data[at : at + chance.randrange(1, 99)]
            for _ in range(chance.randrange(1, 4)):
                data[chance.randrange(len(data))] = chance.randrange(256)
            try:
                with safe_zip.open_zip(io.BytesIO(bytes(data)), "x") as origin:
                    paths = importer.find_datasets(origin.entries, "x").get("Mine")
                    if not isinstance(paths, tuple):
                        continue
                    pieces = importer.read_files(origin, "Mine", paths, password)
                    assert {name: b"".join(parts) for name, parts in pieces.items()} == files
                    n_well += 1
            except UserError as error:
                messages.append(str(error))
    assert 0 < n_well < 2000
    assert messages and not [message for message in messages if "\n" in message]


# ---------------------------------------------------------------------------------------------------------------------
# Importing


def test_a_zip_of_several_and_a_folder(tmp_path: Path, root: Path) -> None:
    both = {**real(ITALY), **{f"deep/er/{path}": data for path, data in real("GunPoint").items()}, "read me": b""}
    assert bring_all(write(tmp_path / "x.zip", zipped(both)), root) == ["GunPoint", ITALY]
    assert archive.load("GunPoint", root).passport["source"] == "ts"
    copies = tmp_path / "copies"
    copies.mkdir()
    assert bring_all(root, copies) == ["GunPoint", ITALY]
    assert left(copies) == left(root)
    assert bring_all(root, copies) == []  # they are there
    assert bring_all(copies / ITALY, root) == []


def test_the_archive_of_2015(tmp_path: Path, root: Path) -> None:
    """Text without a suffix, under names of its own."""
    official = archive.load("GunPoint")
    for split, x, y in (("TRAIN", official.x_train, official.y_train), ("TEST", official.x_test, official.y_test)):
        lines = [",".join([label, *(f"{v:.17g}" for v in case)]) for label, case in zip(y, x[:, 0], strict=True)]
        write(tmp_path / "UCR_TS_Archive_2015" / "Gun_Point" / f"Gun_Point_{split}", "\n".join(lines).encode())
    assert bring_all(tmp_path / "UCR_TS_Archive_2015", root) == ["GunPoint"]
    assert left(root) == ["GunPoint/GunPoint_TEST", "GunPoint/GunPoint_TRAIN"]
    passport = archive.load("GunPoint", root).passport
    assert (passport["source"], passport["content"]) == ("ucr2015", official.passport["content"])


def test_a_dataset_of_the_users_own(tmp_path: Path, root: Path) -> None:
    mine = {f"Mine_{split}.tsv": b"a\t1\t2\nb\t2\t1\n" for split in ("TRAIN", "TEST")}
    assert bring_all(write(tmp_path / "x.zip", zipped(mine)), root) == ["Mine"]
    assert archive.load("Mine", root).passport["archive"] == "user"


def test_a_refused_dataset_leaves_nothing(tmp_path: Path, root: Path) -> None:
    folder = tmp_path / "folder"
    for path, data in real("GunPoint").items():
        write(folder / path.replace("GunPoint", "Coffee"), data)
    with pytest.raises(UserError) as caught:
        bring_all(folder, root)
    assert str(caught.value).startswith(f"dataset 'Coffee' in '{folder}' is of the content of 'GunPoint': take")
    assert list(root.iterdir()) == []


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "'{path}' is empty: download it again, or from elsewhere"),
        (b"text", "'{path}' is not a zip: download it again, or from elsewhere"),
        (b" <!DOCTYPE html>", "'{path}' is a web page, not a zip: download it again, or from elsewhere"),
        (zipped({"a": b""}), "'{path}' contains no dataset: use the archive's zip or a folder with NAME_TRAIN and "),
        (zipped({"a/b.ZIP": b""}), "'{path}' contains another zip, 'a/b.ZIP', and no NAME_TRAIN and NAME_TEST files "),
        (zipped({"a": bytes(100)})[:-30], "'{path}' is cut short or damaged: download it again, or from elsewhere"),
    ],
    ids=["empty", "text", "page", "no dataset", "zip in zip", "cut"],  # a zip holds the time: no name for a test
)
def test_what_is_no_archive(data: bytes, message: str, tmp_path: Path, root: Path) -> None:
    path = write(tmp_path / "x.zip", data)
    with pytest.raises(UserError) as caught:
        bring_all(path, root)
    assert str(caught.value).startswith(message.format(path=path)) and "\n" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path, root: Path) -> None:
    with pytest.raises(UserError, match=r"^file '.*no\.zip' is not readable \(No such file or directory\): use a zip"):
        bring_all(tmp_path / "no.zip", root)


def test_an_empty_folder(tmp_path: Path, root: Path) -> None:
    with pytest.raises(UserError, match=r"contains no dataset: use the archive's zip or a folder with NAME_TRAIN and"):
        bring_all(tmp_path, root)


def test_an_oversized_file_in_a_folder(tmp_path: Path, root: Path) -> None:
    folder = tmp_path / "folder"
    write(folder / "Coffee_TRAIN.tsv", b"x")
    with write(folder / "Coffee_TEST.tsv", b"").open("r+b") as file:
        file.truncate(10**9)
    with pytest.raises(UserError, match=r"^file '.*Coffee_TEST\.tsv' is too large, 1\.0 GB: the limit is 1\.5 MB$"):
        bring_all(folder, root)
    assert list(root.iterdir()) == []


# ---------------------------------------------------------------------------------------------------------------------
# Where datasets go


def test_the_destination(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    default = tmp_path / "data" / "tsfcn" / "ucr2018"
    assert locate.root_folder(None) is None
    assert importer.destination(None) == default == locate.root_folder(None)  # found from now on
    monkeypatch.setenv("TSFCN_ARCHIVE", str(tmp_path / "mine"))
    assert importer.destination(None) == tmp_path / "mine" == locate.root_folder(None)
    assert importer.destination(tmp_path / "given") == tmp_path / "given"


def test_a_default_folder_that_is_no_absolute_path_is_ignored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert locate.default_folder() == tmp_path / ".local" / "share" / "tsfcn" / "ucr2018"


def test_a_destination_that_cannot_be(tmp_path: Path) -> None:
    file = write(tmp_path / "file", b"")
    for path, reason in ((file, "File exists"), (file / "under", "Not a directory")):
        with pytest.raises(UserError) as caught:
            importer.destination(path)
        assert str(caught.value) == f"archive root '{path}' cannot be created ({reason}): use another folder"


def test_no_room(root: Path) -> None:
    importer.check_free_space(root, 1)
    with pytest.raises(UserError, match=r"^archive root '.*' has .* free, 10000 GB are needed: free some space, or"):
        importer.check_free_space(root, 10**13)


def test_an_interruption_keeps_only_what_has_arrived(root: Path) -> None:
    def interrupted(name: str, arrived: bytes) -> None:
        with importer.Incoming(name, root) as place:
            place.part.write(arrived)
            write(place.unpacked / name / f"{name}_TRAIN.ts", b"")
            raise KeyboardInterrupt

    for name, arrived in (("X", b"half"), ("Y", b"")):
        with pytest.raises(KeyboardInterrupt):
            interrupted(name, arrived)
        assert left(root) == [".incoming/X/part"]
    with importer.Incoming("X", root) as place:
        assert place.part.read() == b"half"
    assert list(root.iterdir()) == []


# ---------------------------------------------------------------------------------------------------------------------
# What strangers may have prepared


def linked(root: Path, tmp_path: Path, name: str) -> Path:
    """Make root/.incoming, or a folder in it, a link to a folder of others with files of its own, and return a file."""
    others = tmp_path / "others"
    mine = write(others / "unpacked" / "mine.txt", b"x")
    write(others / "X" / "unpacked" / "mine.txt", b"x")
    link = root / name
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(others)
    return mine


@pytest.mark.parametrize("name", [".incoming", ".incoming/X"])
def test_a_linked_incoming_folder_is_refused_and_not_emptied(name: str, root: Path, tmp_path: Path) -> None:
    mine = linked(root, tmp_path, name)
    before = left(tmp_path / "others")
    with pytest.raises(UserError, match=r"is or is behind a symbolic link, which is not followed\): "):
        importer.Incoming("X", root).__enter__()
    assert mine.exists() and left(tmp_path / "others") == before


def test_a_linked_part_is_not_written_to(root: Path, tmp_path: Path) -> None:
    mine = write(tmp_path / "mine.txt", b"x")
    (root / ".incoming" / "X").mkdir(parents=True)
    (root / ".incoming" / "X" / "part").symlink_to(mine)
    with pytest.raises(UserError, match=r"^archive root '.*' is not writable \("):
        importer.Incoming("X", root).__enter__()
    assert mine.read_bytes() == b"x"


def test_links_among_unpacked_files_are_not_followed(root: Path, tmp_path: Path) -> None:
    mine = write(tmp_path / "others" / "mine.txt", b"x")
    (root / ".incoming" / "X" / "unpacked").mkdir(parents=True)
    (root / ".incoming" / "X" / "unpacked" / "link").symlink_to(mine.parent)
    with importer.Incoming("X", root):
        assert not (root / ".incoming" / "X" / "unpacked").exists()
    assert mine.exists() and list(root.iterdir()) == []


@pytest.mark.parametrize("kind", ["pipe", "device", "endless"])
def test_only_regular_files_are_imported(kind: str, root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    write(folder / "X_TRAIN.tsv", b"a\t1\nb\t2\n")
    test = folder / "X_TEST.tsv"
    if kind == "pipe":
        os.mkfifo(test)
    else:
        test.symlink_to("/dev/zero" if kind == "device" else "/dev/urandom")
    with pytest.raises(UserError, match=r"^file '.*X_TEST\.tsv' is not readable \(not a regular file\): correct its"):
        bring_all(folder, root)
    with pytest.raises(UserError, match=r"^file '.*' is not readable \(not a regular file\): use a zip or a folder$"):
        bring_all(test, root)
    assert list(root.iterdir()) == []


def test_a_file_whose_size_is_not_stated_is_counted(root: Path, tmp_path: Path) -> None:
    """Files of /proc are of 0 bytes, as the system states it."""
    write(tmp_path / "Coffee_TRAIN.tsv", b"x")
    (tmp_path / "Coffee_TEST.tsv").symlink_to("/proc/self/maps")
    with importer.open_source(tmp_path) as source:
        assert source.n_bytes("Coffee_TEST.tsv") == 0
        with pytest.raises(UserError, match=r"is too large, .*: the limit is 100 bytes$"):
            b"".join(source.read("Coffee_TEST.tsv", 100))


def test_text_of_one_value_is_a_bomb_before_it_is_unpacked(root: Path, tmp_path: Path) -> None:
    """306 MB of a dataset that is not in the catalogue, whose size nothing else limits."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("Mine_TEST.tsv", b"a\t1\n")
        with file.open("Mine_TRAIN.tsv", "w") as entry:
            for _ in range(306):
                entry.write(b"1\t" * 500_000)
    path = write(tmp_path / "x.zip", out.getvalue())
    with importer.open_source(path) as source, pytest.raises(UserError, match=r"'Mine_TRAIN\.tsv' unpacks to far more"):
        next(source.read("Mine_TRAIN.tsv", importer.max_file_bytes("Mine")))


def test_official_files_are_far_from_a_bomb(archive_root: Path) -> None:
    for path in sorted(archive_root.glob("*/*_TRAIN.tsv"))[::10]:
        data = path.read_bytes()
        assert len(data) < safe_zip.MAX_RATIO / 5 * len(zlib.compress(data))


def directory_of(n_entries: int, end64: bool) -> bytes:
    """Return a zip of empty entries, with an end record in zip64 beside one that states a single entry, if wanted."""
    entry = b"PK\1\2" + bytes(24) + struct.pack("<H", 1) + bytes(16) + b"a"
    directory = entry * n_entries
    end = b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(entry), 0, 0)
    if not end64:
        return directory + b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(directory), 0, 0)
    sizes = struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, n_entries, n_entries, len(directory), 0)
    locator = b"PK\6\7" + struct.pack("<IQI", 0, len(directory), 1)
    return directory + b"PK\6\6" + sizes + locator + end


@pytest.mark.parametrize("end64", [False, True])
@pytest.mark.parametrize(
    ("n_entries", "message"),
    [
        (10_001, "'x' has 10001 entries, the limit is 10000: use"),
        (50_000, "'x' has a list of entries of more than 2.0 MB: use"),
    ],
)
def test_the_list_of_entries_is_limited_whatever_the_zip_states(n_entries: int, message: str, end64: bool) -> None:
    with pytest.raises(UserError) as caught, safe_zip.open_zip(io.BytesIO(directory_of(n_entries, end64)), "x"):
        pass
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("name", ["A..B", "A. .. B", "X" * 5 + "..y"])
def test_a_name_that_no_command_accepts_is_not_imported(name: str, root: Path, tmp_path: Path) -> None:
    for split in ("TRAIN", "TEST"):
        write(tmp_path / "folder" / f"{name}_{split}.tsv", b"a\t1\nb\t2\n")
    with pytest.raises(UserError, match=r"contains dataset '.*', which cannot be used as a name: rename its files$"):
        bring_all(tmp_path / "folder", root)
    assert list(root.iterdir()) == []
