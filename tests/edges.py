"""Checks that every #include between the folders of the house is an edge that the build declares.

usage: edges.py SOURCE_DIR EDGES_FILE    (EDGES_FILE is written by the build: "folder: folder below ..."; a line of its
own for a room, "folder/room: ...", stands instead of the folder's)
"""
import pathlib
import re
import sys

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^">]+)[">]', re.M)
# The only rooms that may see these libraries.
CONFINED = {"boost/asio": {"transport", "testbed"}, "openssl/": {"ha", "transport", "testbed"}, "editline/": {"cli"}}


def main(source, edges_file):
    root = pathlib.Path(source)
    edges = {}
    for line in pathlib.Path(edges_file).read_text().splitlines():
        folder, below = line.split(":")
        edges[folder] = set(below.split())
    files, wrong = 0, []
    for folder, below in edges.items():
        for path in sorted((root / folder).rglob("*")):
            if path.suffix not in (".cc", ".h", ".def"):
                continue
            if any(other != folder and other.startswith(f"{folder}/") and (root / other) in path.parents for other in edges):
                continue
            files += 1
            for kind, name in INCLUDE.findall(path.read_text()):
                where = f"{path.relative_to(root)}: #include {name}"
                first = name.split("/")[0]
                own = first == folder or name.startswith(f"{folder}/")
                if kind == '"' and not own and first not in below:
                    wrong.append(f"{where}: {folder} has no edge to {first}")
                for prefix, rooms in CONFINED.items():
                    if name.startswith(prefix) and folder.split("/")[0] not in rooms:
                        wrong.append(f"{where}: only {', '.join(sorted(rooms))} may include it")
    print("\n".join(wrong) or f"{files} files keep the edges of {len(edges)} folders")
    return 1 if wrong or not files else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
