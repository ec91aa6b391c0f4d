"""Files that are complete or absent, and what is not read, removed or trusted."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tsfcn.common import files
from tsfcn.common.errors import UserError

needs_permissions = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="no permissions here")
needs_root = pytest.mark.skipif(getattr(os, "geteuid", lambda: 1)() != 0, reason="only root can give files away")


@needs_permissions
@pytest.mark.parametrize(("umask", "mode"), [("022", 0o644), ("077", 0o600), ("002", 0o664)])
def test_replace_honours_the_umask(umask: str, mode: int, tmp_path: Path) -> None:
    code = (
        f"import os; os.umask(0o{umask}); from pathlib import Path; from tsfcn.common.files import replace; "
        f"replace(Path({str(tmp_path / 'file')!r}), lambda file: file.write(b'x'))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == mode


def test_replace_in_a_folder_that_others_remove(tmp_path: Path) -> None:
    """Whoever writes last removes the empty folder; the next writer creates it again."""
    folder, errors = tmp_path / "folder", list[BaseException]()

    def write(number: int) -> None:
        try:
            for _ in range(100):
                path = folder / str(number)
                files.replace(path, lambda file: file.write(b"x"), sync=False)
                path.unlink()
                try:
                    folder.rmdir()
                except OSError:
                    continue
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_replace_leaves_no_temporary_file_of_a_failure(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(ZeroDivisionError):
        files.replace(tmp_path / "file", lambda file: 1 / 0)
    assert [path.name for path in tmp_path.iterdir()] == ["file"] and (tmp_path / "file").read_bytes() == b"old"
    (tmp_path / "no folder").write_bytes(b"")
    with pytest.raises(OSError, match=r"exists|directory"):
        files.replace(tmp_path / "no folder" / "file", lambda file: file.write(b"x"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_an_output_goes_through_links_and_pipes(tmp_path: Path) -> None:
    target, link, pipe = tmp_path / "target", tmp_path / "link", tmp_path / "pipe"
    target.write_bytes(b"old")
    link.symlink_to(target)
    files.write_output(link, lambda file: file.write(b"new"))
    assert link.is_symlink() and target.read_bytes() == b"new"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(pipe.read_bytes)
        files.write_output(pipe, lambda file: file.write(b"piped"))
        assert reader.result() == b"piped"
    assert pipe.is_fifo()


@needs_root
def test_an_output_does_not_replace_a_device(tmp_path: Path) -> None:
    device = tmp_path / "full"
    os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, 7))  # as /dev/full
    with pytest.raises(UserError, match=r"full' is not writable \(No space left on device\): name another one"):
        files.write_output(device, lambda file: file.write(b"x"))
    assert device.is_char_device()


def test_an_output_that_is_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is a folder: name a file"):
        files.write_output(tmp_path, lambda file: file.write(b"x"))


def test_remove_tree_does_not_follow_links(tmp_path: Path) -> None:
    others = tmp_path / "others"
    (others / "inner" / "unpacked").mkdir(parents=True)
    (others / "inner" / "unpacked" / "file").write_bytes(b"x")
    root = tmp_path / "root"
    (root / "tree").mkdir(parents=True)
    (root / "tree" / "link").symlink_to(others)
    (root / "link").symlink_to(others / "inner")
    files.remove_tree(root / "link" / "unpacked", root)  # behind a link
    files.remove_tree(root / "link", root)  # a link
    assert (root / "link").is_symlink() and (others / "inner" / "unpacked" / "file").exists()
    files.remove_tree(root / "tree", root)  # with a link inside
    assert not (root / "tree").exists() and (others / "inner" / "unpacked" / "file").exists()


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    """A pipe would block for ever, and /dev/zero never end."""
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    (tmp_path / "zero").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "pipe")
    with files.open_regular(tmp_path / "link") as file:
        assert file.read() == b"x"
    for path, follow in (
        (tmp_path / "pipe", True),
        (tmp_path / "zero", True),
        (tmp_path, True),
        (tmp_path / "link", False),
    ):
        with pytest.raises(OSError, match=r"regular|link|symbolic|directory"):
            files.open_regular(path, follow=follow)
    assert [path.name for path in files.regular_files(tmp_path)] == ["file"]
    (tmp_path / "folder").symlink_to(tmp_path)
    assert files.regular_files(tmp_path / "folder") == files.regular_files(tmp_path / "none") == []


# ---------------------------------------------------------------------------------------------------------------------
# Trust


@needs_permissions
@pytest.mark.parametrize("mode", [0o777, 0o757, 0o702])
def test_what_others_can_write_to_is_not_trusted(mode: int, tmp_path: Path) -> None:
    inner = tmp_path / "above" / "inner"
    inner.mkdir(parents=True)
    file = inner / "file"
    file.write_bytes(b"x")
    inner.chmod(0o755)
    assert files.is_trusted(file) and files.is_trusted(inner)
    for path in (file, inner, tmp_path / "above"):
        before = stat.S_IMODE(path.stat().st_mode)
        path.chmod(mode)
        assert not files.is_trusted(file)
        path.chmod(before)
    (tmp_path / "above").chmod(0o1777)  # as /tmp: what is in it cannot be replaced
    assert files.is_trusted(file)
    assert not files.is_trusted(tmp_path / "none")


@needs_permissions
def test_a_group_is_trusted_if_it_is_the_users_own(tmp_path: Path) -> None:
    import grp

    file = tmp_path / "file"
    file.write_bytes(b"x")
    file.chmod(0o664)
    name = grp.getgrgid(file.stat().st_gid).gr_name
    import pwd

    assert files.is_trusted(file) == (name == pwd.getpwuid(os.geteuid()).pw_name)


@needs_root
def test_what_belongs_to_another_user_is_not_trusted(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "file").write_bytes(b"x")
    for path in (folder / "file", folder):
        os.chown(path, 12345, 0)
        assert not files.is_trusted(folder / "file")
        os.chown(path, 0, 0)
    assert files.is_trusted(folder / "file")


@needs_permissions
def test_a_cache_folder_that_others_can_write_to_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TSFCN_CACHE", str(tmp_path / "cache"))
    assert files.cache_folder() == tmp_path / "cache" and not (tmp_path / "cache").exists()
    assert files.create_cache_folder().is_dir()
    (tmp_path / "cache").chmod(0o777)
    for _ in range(2):
        with pytest.raises(PermissionError):
            files.create_cache_folder()
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        f"cache folder '{tmp_path / 'cache'}' is not used, other users can write to it: "
        "remove their permission, or set TSFCN_CACHE to a folder of your own"
    )
