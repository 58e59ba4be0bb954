import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data():
    """The folder of the real data sets, where they are."""
    folder = os.environ.get("DYNET_DATA")
    if not folder:
        pytest.skip("DYNET_DATA is not set: the folder that holds mnist, cifar10, war_and_peace and cmu_mocap")
    return Path(folder)
