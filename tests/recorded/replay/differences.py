"""The list of expected differences: THEME/FILE, below it scenario and reason. What the list says must be true both ways."""
import os, re
import yaml


class Strict(yaml.SafeLoader):
    """Refuses a key that comes twice, where YAML would keep the last in silence."""


def mapping(loader, node, deep=False):
    keys = [k.value for k, _ in node.value]
    for k in set(keys):
        if keys.count(k) > 1:
            raise yaml.YAMLError(f"{k} comes twice{node.start_mark}")
    return yaml.SafeLoader.construct_mapping(loader, node, deep)


Strict.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)


def without(path, passed):
    """Takes the entries of `passed`, (THEME/FILE, scenario), out of the list; one line each, as they are written."""
    out, file = [], None
    with open(path) as f:
        for line in f:
            name = line.strip().partition(":")[0]
            if line[:1] not in (" ", "#", "\n"):
                file = name
            elif line.startswith("  ") and (file, name) in passed:
                continue
            out.append(line)
    bare = [i for i, line in enumerate(out) if line[:1] not in (" ", "#", "\n") and (i + 1 == len(out) or not out[i + 1].startswith(" "))]
    with open(path, "w") as f:
        f.writelines(line for i, line in enumerate(out) if i not in bare)


def read(path, root, known):
    """-> ({(THEME/FILE, scenario): reason}, faults of the list itself). `known`: (THEME/FILE, scenario) of every recording there is."""
    with open(path) as f:
        listed = yaml.load(f, Strict) or {}
    out, faults = {}, []
    for file, rows in listed.items():
        for name, reason in (rows or {}).items():
            at = f"{file} {name}"
            if (file, name) not in known:
                faults.append(f"{at}: there is no such recording")
                continue
            if not isinstance(reason, str) or len(reason.split()) < 3:
                faults.append(f"{at}: the reason is missing")
                continue
            faults += [f"{at}: there is no {page}" for page in re.findall(r"docs/[\w./-]+\.md", reason) if not os.path.exists(os.path.join(root, page))]
            out[file, name] = reason
    return out, faults
