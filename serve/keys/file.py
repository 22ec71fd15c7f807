"""Keys from a YAML file, as Kubernetes mounts a secret: `keys:` and a list of entries. Only reads."""

from pathlib import Path

import yaml

from serve.errors import KeysUnreadable
from serve.keys.entry import KeyEntry, usable


def read(path: Path) -> list[KeyEntry]:
    """Every usable entry of the file. Raises KeysUnreadable."""
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise KeysUnreadable(f"{path}: {error.strerror or 'cannot be read'}") from error
    except (yaml.YAMLError, ValueError, RecursionError):
        # Not the parser's words: they quote the file.
        raise KeysUnreadable(f"{path}: is not YAML") from None
    if not isinstance(raw, dict) or not isinstance(raw.get("keys"), list) or len(raw) != 1:
        raise KeysUnreadable(f"{path}: needs `keys:` with a list of entries, and nothing else")
    return usable(raw["keys"])


def written(entry: KeyEntry) -> str:
    """One entry as it stands below `keys:`."""
    data = entry.model_dump(mode="json", exclude_defaults=True)
    return yaml.safe_dump([data], sort_keys=False)
