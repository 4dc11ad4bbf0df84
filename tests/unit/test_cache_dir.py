"""What is wrong with CACHE_DIR is a wrong setting."""

import os
import sys
from pathlib import Path

import pytest

from service.cache_dir import require_writable, temp_folder
from service.settings.errors import SettingsError


def test_a_file_in_the_way_is_told_in_one_line(tmp_path: Path) -> None:
    """It names the setting; no traceback ends a start."""
    (tmp_path / "temp").touch()
    with pytest.raises(SettingsError, match=r"^CACHE_DIR: no folder for temporary files"):
        temp_folder(tmp_path)
    with pytest.raises(SettingsError, match=r"^CACHE_DIR: .*temp is no folder"):
        require_writable(tmp_path)


@pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() != 0, reason="only root gives folders away"
)
def test_a_folder_that_all_may_write_to_is_a_wrong_setting(tmp_path: Path) -> None:
    """The mechanism's own error is not what a start ends with."""
    tmp_path.chmod(0o777)
    os.chown(tmp_path, 54_321, -1)
    with pytest.raises(SettingsError, match=r"^CACHE_DIR: .* belongs to another user"):
        require_writable(tmp_path)
